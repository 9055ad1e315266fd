//! The Peerloom protocol without I/O: no clock, no randomness, no sockets, no browser.
//!
//! [`client::Client`] is one page's half, [`hub::Hub`] the server's. Both are fed one input at a time, with the present
//! time as an argument, and leave their effects in a queue of outputs that the caller drains afterwards. That is the one
//! rule of the run loop: *one mutation, then drain*. Nothing in here calls back.
//!
//! | module | holds |
//! |---|---|
//! | [`wire`] | what travels: frames, values, names, limits, and the two codecs |
//! | [`session`] | the client's session with a server: open, heartbeat, back-off, resume |
//! | [`recovery`] | when each step of recovery is tried |
//! | [`negotiation`] | perfect negotiation of one `RTCPeerConnection` |
//! | [`privacy`] | what the other side may learn of where this page is |
//! | [`link`] | numbered, acknowledged messages to one peer, over whichever carrier there is |
//! | [`thread`] | the client's view of threads and their members |
//! | [`transfer`] | files on their way: what is asked for, and what is answered |
//! | [`client`] | all of the client's machines put together |
//! | [`hub`] | who is connected, who is where, who may do what |
//! | [`error`] | the one table of error codes |

pub mod client;
pub mod error;
#[cfg(feature = "hub")]
pub mod hub;
pub mod link;
pub mod map;
pub mod negotiation;
pub mod privacy;
pub mod recovery;
pub mod session;
pub mod thread;
pub mod time;
pub mod transfer;
pub mod wire;

pub use error::{Code, Error};
