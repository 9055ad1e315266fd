// What an error says to a visitor.
// @ts-check

/** What went wrong and what to do about it, in plain words. @param {unknown} error */
export function explain(error) {
  if (!(error instanceof Error)) return "Something unexpected went wrong.";
  const remedy = "remedy" in error && typeof error.remedy === "string" ? error.remedy : "";
  const sentence = /[.!?…]$/.test(error.message) ? error.message : `${error.message}.`;
  return remedy === "" || sentence.includes(remedy) ? sentence : `${sentence} ${remedy}`;
}
