// Arguments of events, and the functions that `on` returns. Made here so that each costs one crossing from the wasm.

/** A message to the client or a peer. */
export function message(from, name, data) {
  return { from, name, data };
}

/** A message to a thread. */
export function threadMessage(from, data) {
  return { from, data };
}

export function left(member, reason) {
  return { member, reason };
}

export function presence(id, tag, online) {
  return tag === undefined ? { id, online } : { id, tag, online };
}

export function member(id, userData, media, peer) {
  return Object.freeze({ id, userData, media: Object.freeze(media), peer });
}

export function media(audio, video) {
  return { audio, video };
}

/** Ends a listener; good for any number of calls. */
export function unsubscriber(emitter, name, listener) {
  return () => emitter.off(name, listener);
}

/** Throws later, where the page's own error handling sees it, and nothing of ours is in the way. */
export function report(error) {
  if (typeof reportError === "function") reportError(error);
  else setTimeout(() => { throw error; });
}

/** A promise that ends like `promise`, or with the error that `abort` returns once `signal` is aborted. */
export function abortable(signal, promise, abort) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      signal.removeEventListener("abort", stop);
      reject(abort());
    };
    signal.addEventListener("abort", stop);
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
    if (signal.aborted) stop();
  });
}
