//! What travels between clients and server, and between clients. One set of serde types, two codecs ([`codec`]).
//! Everything that comes from outside passes the limits of [`limits`] while it is decoded.

mod close;
pub mod codec;
pub mod limits;
mod link;
mod name;
mod signal;
mod signalling;
mod value;

pub use close::CloseCode;
pub use link::{Acknowledgement, Item, LinkFrame, LinkHeader, Outcome};
pub use name::{Id, Name, NameError, ThreadId};
pub use signal::{Candidate, Description, DescriptionKind, Signal};
pub use signalling::{
    ClientFrame, Hello, Instance, LeaveReason, Media, Member, PeerInfo, Resume, Secret, ServerFrame, Welcome,
};
pub use value::{Body, Bytes, JsonText, Manifest};
