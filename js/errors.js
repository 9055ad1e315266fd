// Made from crates/core/src/error.rs by: UPDATE_DOCS=1 cargo test -p peerloom-core --test docs

/** Every code of a PeerloomError, what happened, and what to do about it. */
export const errors = Object.freeze({
  __proto__: null,
  invalid_option: Object.freeze({
    cause: "An option or argument has a value that it can't have.",
    remedy: "Correct the value; the detail names the option and what it takes.",
  }),
  invalid_name: Object.freeze({
    cause: "An id, tag, thread id or message name is empty, longer than 128 bytes, or has a control character.",
    remedy: "Use 1 to 128 bytes of UTF-8 without control characters.",
  }),
  invalid_data: Object.freeze({
    cause: "The data holds something that can't be sent, such as a function, a symbol or a cycle.",
    remedy: "Send strings, JSON values, buffers, Blob, Date, Map, Set or BigInt; the detail names the place.",
  }),
  too_large: Object.freeze({
    cause: "The message or user data is larger than the limit.",
    remedy: "Send less at once: messages take 16 MiB, user data 4096 bytes of JSON; offer large things as files.",
  }),
  not_open: Object.freeze({
    cause: "The client has not been opened yet.",
    remedy: "Call `await client.open()` first, or get the client from `await connect()`.",
  }),
  closed: Object.freeze({
    cause: "The client, thread or peer was closed, by this page or by leaving.",
    remedy: "Open a new client or join the thread again.",
  }),
  aborted: Object.freeze({
    cause: "The call was cancelled by its own AbortSignal.",
    remedy: "Nothing to do: the page asked for it.",
  }),
  timeout: Object.freeze({
    cause: "No answer came in time.",
    remedy: "Try again, or give the call more time.",
  }),
  unsupported: Object.freeze({
    cause: "This browser lacks something that is needed.",
    remedy: "Use a current browser; the detail names what is missing.",
  }),
  load_failed: Object.freeze({
    cause: "A part of the library could not be loaded.",
    remedy: "Serve diagnose.js, files.js, files-worker.js and peerloom_bg.wasm (application/wasm) beside index.js, and allow 'wasm-unsafe-eval' in the page's CSP.",
  }),
  server_unreachable: Object.freeze({
    cause: "The signalling server could not be reached.",
    remedy: "Check the server's address, that it runs, and that the page's network lets WebSockets through.",
  }),
  server_incompatible: Object.freeze({
    cause: "The server does not speak this version of the protocol.",
    remedy: "Use a peerloom-server of the same major version as the page's peerloom.",
  }),
  unauthorized: Object.freeze({
    cause: "The server refused the token, or wants one and got none.",
    remedy: "Give `connect` a valid `token`; ask the server's operator for one.",
  }),
  forbidden: Object.freeze({
    cause: "The token does not allow this.",
    remedy: "Ask the server's operator for a token with that right.",
  }),
  id_taken: Object.freeze({
    cause: "Another client has this id now, or had it a moment ago and may come back.",
    remedy: "Choose another id, leave it out to be given one, or wait until it is free.",
  }),
  rate_limited: Object.freeze({
    cause: "Too much was sent in too short a time.",
    remedy: "Wait for the time in `retryAfter`, then go on more slowly.",
  }),
  limit_reached: Object.freeze({
    cause: "A limit of the server's is reached, such as members of a thread or threads of a client.",
    remedy: "Leave something first, or ask the server's operator for higher limits.",
  }),
  server_busy: Object.freeze({
    cause: "The server takes no more clients for now.",
    remedy: "Try again after a while.",
  }),
  protocol_violation: Object.freeze({
    cause: "The other side sent something that the protocol does not allow.",
    remedy: "Update both sides to the same version; if that does not help, report it.",
  }),
  peer_unavailable: Object.freeze({
    cause: "Nobody with that id or tag is connected.",
    remedy: "Check the name, or `watch` it and send when it comes online.",
  }),
  peer_left: Object.freeze({
    cause: "The other client left before it had confirmed this.",
    remedy: "Send it again when the other is back, if it still matters.",
  }),
  not_confirmed: Object.freeze({
    cause: "The other client may or may not have received this: it began a new life before confirming.",
    remedy: "Ask the other side what it has before sending it again.",
  }),
  request_failed: Object.freeze({
    cause: "The other side's handler threw an error.",
    remedy: "See the detail for the handler's message.",
  }),
  request_unhandled: Object.freeze({
    cause: "The other side handles no requests of that name.",
    remedy: "Check the name, and that the other page calls `client.handle` with it.",
  }),
  not_member: Object.freeze({
    cause: "This client is not a member of that thread.",
    remedy: "Join it with `await client.thread(id)` first.",
  }),
  crashed: Object.freeze({
    cause: "The library met a defect of its own and closed this client; other clients go on.",
    remedy: "Make a new client, and report the detail.",
  }),
  backlog_full: Object.freeze({
    cause: "More than 256 MiB wait for this peer already.",
    remedy: "Await `send` before sending more; the peer may be away, or slow.",
  }),
  offer_closed: Object.freeze({
    cause: "The offer was withdrawn, has expired, or its owner is gone.",
    remedy: "Ask the owner to offer the files again.",
  }),
  declined: Object.freeze({
    cause: "The other side does not want this, or does not let this page have it.",
    remedy: "Nothing to do, unless the people agree otherwise; the detail is the reason that was given.",
  }),
  cancelled: Object.freeze({
    cause: "The transfer was cancelled; the detail says by whom.",
    remedy: "Accept the offer again to go on where it stopped, as long as it stands.",
  }),
  file_corrupt: Object.freeze({
    cause: "What the other side sent does not match its own hash, for the second time.",
    remedy: "The fault is at the sender, who is in `peers`: ask for the file another way.",
  }),
  file_changed: Object.freeze({
    cause: "The file can't be read any more, or is not the one that was offered.",
    remedy: "Offer the file again as it is now.",
  }),
  storage_full: Object.freeze({
    cause: "There is no room left where the file is kept.",
    remedy: "Make room on the device, then accept the offer again: what has arrived is not sent twice.",
  }),
  storage_failed: Object.freeze({
    cause: "The file can't be written where it is to go.",
    remedy: "Check the permission, or give `accept` another place in `to`; the detail has the browser's own words.",
  }),
});
