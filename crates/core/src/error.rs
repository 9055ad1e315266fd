//! The one table of error codes. The API's `PeerloomError.code`, the `Fault` frame and `docs/errors.md` come from it.

use serde::{Deserialize, Serialize};

use crate::wire::Id;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident $code:literal $cause:literal $remedy:literal;)+) => {
        /// What went wrong, in kind. Stable: an entry is never renamed, and new ones are added at the end.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $cause] #[serde(rename = $code)] $variant,)+
        }

        impl Code {
            /// Every code, in the table's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// What happened, in one sentence.
            #[must_use]
            pub fn cause(self) -> &'static str {
                match self { $(Self::$variant => $cause,)+ }
            }

            /// What to do about it, in one sentence.
            #[must_use]
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)+ }
            }
        }
    };
}

codes! {
    InvalidOption "invalid_option"
        "An option or argument has a value that it can't have."
        "Correct the value; the detail names the option and what it takes.";
    InvalidName "invalid_name"
        "An id, tag, thread id or message name is empty, longer than 128 bytes, or has a control character."
        "Use 1 to 128 bytes of UTF-8 without control characters.";
    InvalidData "invalid_data"
        "The data holds something that can't be sent, such as a function, a symbol or a cycle."
        "Send strings, JSON values, buffers, Blob, Date, Map, Set or BigInt; the detail names the place.";
    TooLarge "too_large"
        "The message or user data is larger than the limit."
        "Send less at once: messages take 16 MiB, user data 4096 bytes of JSON; offer large things as files.";
    NotOpen "not_open"
        "The client has not been opened yet."
        "Call `await client.open()` first, or get the client from `await connect()`.";
    Closed "closed"
        "The client, thread or peer was closed, by this page or by leaving."
        "Open a new client or join the thread again.";
    Aborted "aborted"
        "The call was cancelled by its own AbortSignal."
        "Nothing to do: the page asked for it.";
    Timeout "timeout"
        "No answer came in time."
        "Try again, or give the call more time.";
    Unsupported "unsupported"
        "This browser lacks something that is needed."
        "Use a current browser; the detail names what is missing.";
    LoadFailed "load_failed"
        "A part of the library could not be loaded."
        "Serve diagnose.js, files.js, files-worker.js and peerloom_bg.wasm (application/wasm) beside index.js, and allow 'wasm-unsafe-eval' in the page's CSP.";
    ServerUnreachable "server_unreachable"
        "The signalling server could not be reached."
        "Check the server's address, that it runs, and that the page's network lets WebSockets through.";
    ServerIncompatible "server_incompatible"
        "The server does not speak this version of the protocol."
        "Use a peerloom-server of the same major version as the page's peerloom.";
    Unauthorized "unauthorized"
        "The server refused the token, or wants one and got none."
        "Give `connect` a valid `token`; ask the server's operator for one.";
    Forbidden "forbidden"
        "The token does not allow this."
        "Ask the server's operator for a token with that right.";
    IdTaken "id_taken"
        "Another client has this id now, or had it a moment ago and may come back."
        "Choose another id, leave it out to be given one, or wait until it is free.";
    RateLimited "rate_limited"
        "Too much was sent in too short a time."
        "Wait for the time in `retryAfter`, then go on more slowly.";
    LimitReached "limit_reached"
        "A limit of the server's is reached, such as members of a thread or threads of a client."
        "Leave something first, or ask the server's operator for higher limits.";
    ServerBusy "server_busy"
        "The server takes no more clients for now."
        "Try again after a while.";
    ProtocolViolation "protocol_violation"
        "The other side sent something that the protocol does not allow."
        "Update both sides to the same version; if that does not help, report it.";
    PeerUnavailable "peer_unavailable"
        "Nobody with that id or tag is connected."
        "Check the name, or `watch` it and send when it comes online.";
    PeerLeft "peer_left"
        "The other client left before it had confirmed this."
        "Send it again when the other is back, if it still matters.";
    NotConfirmed "not_confirmed"
        "The other client may or may not have received this: it began a new life before confirming."
        "Ask the other side what it has before sending it again.";
    RequestFailed "request_failed"
        "The other side's handler threw an error."
        "See the detail for the handler's message.";
    RequestUnhandled "request_unhandled"
        "The other side handles no requests of that name."
        "Check the name, and that the other page calls `client.handle` with it.";
    NotMember "not_member"
        "This client is not a member of that thread."
        "Join it with `await client.thread(id)` first.";
    Crashed "crashed"
        "The library met a defect of its own and closed this client; other clients go on."
        "Make a new client, and report the detail.";
    BacklogFull "backlog_full"
        "More than 256 MiB wait for this peer already."
        "Await `send` before sending more; the peer may be away, or slow.";
    OfferClosed "offer_closed"
        "The offer was withdrawn, has expired, or its owner is gone."
        "Ask the owner to offer the files again.";
    Declined "declined"
        "The other side does not want this, or does not let this page have it."
        "Nothing to do, unless the people agree otherwise; the detail is the reason that was given.";
    Cancelled "cancelled"
        "The transfer was cancelled; the detail says by whom."
        "Accept the offer again to go on where it stopped, as long as it stands.";
    FileCorrupt "file_corrupt"
        "What the other side sent does not match its own hash, for the second time."
        "The fault is at the sender, who is in `peers`: ask for the file another way.";
    FileChanged "file_changed"
        "The file can't be read any more, or is not the one that was offered."
        "Offer the file again as it is now.";
    StorageFull "storage_full"
        "There is no room left where the file is kept."
        "Make room on the device, then accept the offer again: what has arrived is not sent twice.";
    StorageFailed "storage_failed"
        "The file can't be written where it is to go."
        "Check the permission, or give `accept` another place in `to`; the detail has the browser's own words.";
}

/// A code with what exactly happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The kind.
    pub code: Code,
    /// What exactly happened this time; may be empty.
    pub detail: String,
    /// Milliseconds after which another try may succeed.
    pub retry_after: Option<u32>,
    /// Who did not confirm what was sent.
    pub peers: Vec<Id>,
}

impl Error {
    /// An error of that kind.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            retry_after: None,
            peers: Vec::new(),
        }
    }

    /// An error of that kind about what was sent to somebody.
    #[must_use]
    pub fn about(code: Code, peer: &Id) -> Self {
        Self {
            peers: vec![peer.clone()],
            ..Self::new(code, peer.as_str())
        }
    }
}

impl From<Code> for Error {
    fn from(code: Code) -> Self {
        Self::new(code, "")
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.code.cause())?;
        if !self.detail.is_empty() {
            write!(f, " ({})", self.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
