//! The transfer of what was offered: one or more files, laid end to end and cut into pieces, pulled by the receiver.
//!
//! An offer is a connection: it is accepted, declined, withdrawn, and ends with its owner as connections do, and travels
//! over a channel of its own that outlives what a link outlives. What the two sides say over it once it is accepted is in
//! [`frame`]. [`Receiver`] and [`Sender`] decide what is asked for, what may be answered, and what is against the rules;
//! bytes and hashes stay with their owners.

pub mod frame;
mod layout;
mod name;
mod receiver;
mod sender;

pub use layout::Layout;
pub use name::safe_file_name;
pub use receiver::{Heard, Receiver};
pub use sender::{Asked, Sender};

/// Bytes of pieces that a receiver asks for ahead of what it has put in place.
pub const WINDOW: u64 = 4 * 1024 * 1024;
/// Bytes that a piece has at least, and at most; always a power of two.
pub const PIECE: (u32, u32) = (64 * 1024, 4 * 1024 * 1024);
/// Pieces of one transfer.
pub const PIECES: u32 = 1 << 22;
/// Files of one offer.
pub const FILES: usize = 16_384;
/// Bytes of all files of one offer: what a JavaScript number counts exactly.
pub const TOTAL: u64 = (1 << 53) - 1;
/// Pieces that may be asked for and not answered.
pub const ASKED: u32 = 64;
/// Hashes in one answer.
pub const HASHES: u32 = 256;
