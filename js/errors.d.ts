// Made from crates/core/src/error.rs by: UPDATE_DOCS=1 cargo test -p peerloom-core --test docs

/** What an error code means. */
export interface ErrorEntry {
  /** What happened, in one sentence. */
  readonly cause: string;
  /** What to do about it, in one sentence. */
  readonly remedy: string;
}

/** Every code of a `PeerloomError`, what happened, and what to do about it. */
export declare const errors: {
  /** An option or argument has a value that it can't have. */
  readonly invalid_option: ErrorEntry;
  /** An id, tag, thread id or message name is empty, longer than 128 bytes, or has a control character. */
  readonly invalid_name: ErrorEntry;
  /** The data holds something that can't be sent, such as a function, a symbol or a cycle. */
  readonly invalid_data: ErrorEntry;
  /** The message or user data is larger than the limit. */
  readonly too_large: ErrorEntry;
  /** The client has not been opened yet. */
  readonly not_open: ErrorEntry;
  /** The client, thread or peer was closed, by this page or by leaving. */
  readonly closed: ErrorEntry;
  /** The call was cancelled by its own AbortSignal. */
  readonly aborted: ErrorEntry;
  /** No answer came in time. */
  readonly timeout: ErrorEntry;
  /** This browser lacks something that is needed. */
  readonly unsupported: ErrorEntry;
  /** A part of the library could not be loaded. */
  readonly load_failed: ErrorEntry;
  /** The signalling server could not be reached. */
  readonly server_unreachable: ErrorEntry;
  /** The server does not speak this version of the protocol. */
  readonly server_incompatible: ErrorEntry;
  /** The server refused the token, or wants one and got none. */
  readonly unauthorized: ErrorEntry;
  /** The token does not allow this. */
  readonly forbidden: ErrorEntry;
  /** Another client has this id now, or had it a moment ago and may come back. */
  readonly id_taken: ErrorEntry;
  /** Too much was sent in too short a time. */
  readonly rate_limited: ErrorEntry;
  /** A limit of the server's is reached, such as members of a thread or threads of a client. */
  readonly limit_reached: ErrorEntry;
  /** The server takes no more clients for now. */
  readonly server_busy: ErrorEntry;
  /** The other side sent something that the protocol does not allow. */
  readonly protocol_violation: ErrorEntry;
  /** Nobody with that id or tag is connected. */
  readonly peer_unavailable: ErrorEntry;
  /** The other client left before it had confirmed this. */
  readonly peer_left: ErrorEntry;
  /** The other client may or may not have received this: it began a new life before confirming. */
  readonly not_confirmed: ErrorEntry;
  /** The other side's handler threw an error. */
  readonly request_failed: ErrorEntry;
  /** The other side handles no requests of that name. */
  readonly request_unhandled: ErrorEntry;
  /** This client is not a member of that thread. */
  readonly not_member: ErrorEntry;
  /** The library met a defect of its own and closed this client; other clients go on. */
  readonly crashed: ErrorEntry;
  /** More than 256 MiB wait for this peer already. */
  readonly backlog_full: ErrorEntry;
  /** The offer was withdrawn, has expired, or its owner is gone. */
  readonly offer_closed: ErrorEntry;
  /** The other side does not want this, or does not let this page have it. */
  readonly declined: ErrorEntry;
  /** The transfer was cancelled; the detail says by whom. */
  readonly cancelled: ErrorEntry;
  /** What the other side sent does not match its own hash, for the second time. */
  readonly file_corrupt: ErrorEntry;
  /** The file can't be read any more, or is not the one that was offered. */
  readonly file_changed: ErrorEntry;
  /** There is no room left where the file is kept. */
  readonly storage_full: ErrorEntry;
  /** The file can't be written where it is to go. */
  readonly storage_failed: ErrorEntry;
};
