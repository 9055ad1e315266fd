//! The sending half: answers what it is asked for, as long as that is within reason.

use super::frame::{Frame, HASH};
use super::layout::{Layout, Place};
use super::{ASKED, HASHES};
use crate::error::{Code, Error};

/// What the receiver asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A piece; [`Sender::sent`] when it was sent.
    Piece {
        /// Comes back with it.
        round: u32,
        /// Which one.
        piece: u32,
        /// Where it is.
        place: Place,
    },
    /// Hashes of pieces; [`Sender::sent`] when they were sent.
    Hashes {
        /// The first one's piece.
        from: u32,
        /// How many.
        count: u32,
    },
    /// The receiver waits, or goes on.
    Paused(bool),
    /// The receiver has everything, and this is the hash of all hashes.
    Done([u8; HASH]),
}

/// The sending half of one transfer.
#[derive(Debug)]
pub struct Sender {
    layout: Layout,
    /// What was asked for and not answered.
    open: u32,
}

impl Sender {
    /// For a transfer that begins, or goes on.
    #[must_use]
    pub fn new(layout: Layout) -> Self {
        Self { layout, open: 0 }
    }

    /// Takes in a message.
    ///
    /// # Errors
    /// `protocol_violation`: there is no such piece, or more was asked for at once than may be.
    pub fn receive(&mut self, message: &[u8]) -> Result<Asked, Error> {
        let violation = |what: &str| Err(Error::new(Code::ProtocolViolation, what));
        let asked = match Frame::decode(message) {
            Some((Frame::Want { round, piece }, _)) => match self.layout.place(piece) {
                Some(place) => Asked::Piece { round, piece, place },
                None => return violation("there is no such piece"),
            },
            Some((Frame::Compare { from, count }, _)) => {
                let end = from.checked_add(count);
                if count == 0 || count > HASHES || end.is_none_or(|end| end > self.layout.pieces()) {
                    return violation("there are no such pieces");
                }
                Asked::Hashes { from, count }
            }
            Some((Frame::Pause, _)) => return Ok(Asked::Paused(true)),
            Some((Frame::Resume, _)) => return Ok(Asked::Paused(false)),
            Some((Frame::Done(hash), _)) => return Ok(Asked::Done(hash)),
            _ => return violation("what a receiver has no reason to say"),
        };
        if self.open >= ASKED {
            return violation("too much was asked for at once");
        }
        self.open += 1;
        Ok(asked)
    }

    /// Something that was asked for is on its way.
    pub fn sent(&mut self) {
        self.open = self.open.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender() -> Sender {
        Sender::new(Layout::new(vec![1 << 20, 5], 1 << 16).expect("sound"))
    }

    #[test]
    fn a_question_beyond_reason_is_refused() {
        let mut a = sender();
        for frame in [
            Frame::Want { round: 0, piece: 17 },
            Frame::Want {
                round: 0,
                piece: u32::MAX,
            },
            Frame::Compare { from: 0, count: 0 },
            Frame::Compare { from: 0, count: 257 },
            Frame::Compare { from: 16, count: 2 },
            Frame::Compare {
                from: u32::MAX,
                count: 1,
            },
            Frame::Confirmed,
            Frame::Hashes { from: 0, count: 1 },
        ] {
            let refused = a.receive(&frame.encode()).map_err(|error| error.code);
            assert_eq!(refused, Err(Code::ProtocolViolation), "{frame:?}");
        }
        assert!(a.receive(&[]).is_err() && a.receive(&[0, 1]).is_err());
    }

    #[test]
    fn no_more_is_taken_on_than_can_be_answered() {
        let mut a = sender();
        let want = Frame::Want { round: 0, piece: 16 }.encode();
        for _ in 0..ASKED {
            assert!(a.receive(&want).is_ok());
        }
        assert!(a.receive(&want).is_err());
        a.sent();
        assert!(a.receive(&want).is_ok());
    }
}
