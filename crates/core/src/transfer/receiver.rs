//! The receiving half: asks for pieces as far ahead as the window allows, has each checked, and goes back once for a
//! wrong one.

use super::frame::{Frame, HASH};
use super::layout::{Layout, Place};
use super::{ASKED, HASHES, WINDOW};
use crate::error::{Code, Error};

/// What came, and what its owner is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Check the bytes that follow, and put them where they belong: then [`Receiver::checked`].
    Take {
        /// The piece's number.
        piece: u32,
        /// Where it belongs.
        place: Place,
        /// The bytes are compressed.
        deflated: bool,
        /// What their hash must be.
        hash: [u8; HASH],
    },
    /// Compare the hashes that follow with one's own: then [`Receiver::compared`].
    Compare {
        /// The first one's piece.
        from: u32,
        /// How many there are.
        count: u32,
    },
    /// The sender waits, or goes on.
    Paused(bool),
    /// The sender has the same hashes: it is done.
    Confirmed,
    /// Nothing.
    Nothing,
}

/// Pieces held from an earlier time, which are compared before anything else.
#[derive(Debug)]
struct Comparison {
    /// Everything before it is the same.
    from: u32,
    /// How many hashes were asked for.
    count: u32,
    /// They have come.
    heard: bool,
    /// Where what is held ends.
    to: u32,
}

/// The receiving half of one transfer.
#[derive(Debug)]
pub struct Receiver {
    layout: Layout,
    /// Pieces asked for ahead, at most.
    window: u32,
    round: u32,
    /// Everything before it was asked for in this round.
    asked: u32,
    /// Everything before it has come.
    come: u32,
    /// Everything before it was checked and is in its place.
    held: u32,
    /// The piece that came wrong before.
    wrong: Option<u32>,
    comparison: Option<Comparison>,
    paused: bool,
    said_done: bool,
    confirmed: bool,
}

impl Receiver {
    /// For a transfer of which the first `held` pieces are here, from an earlier time: they are compared first.
    #[must_use]
    pub fn new(layout: Layout, held: u32) -> Self {
        let held = held.min(layout.pieces());
        Self {
            window: (WINDOW / u64::from(layout.piece())).clamp(2, u64::from(ASKED / 2)) as u32,
            layout,
            round: 0,
            asked: held,
            come: held,
            held,
            wrong: None,
            comparison: (held > 0).then_some(Comparison {
                from: 0,
                count: 0,
                heard: false,
                to: held,
            }),
            paused: false,
            said_done: false,
            confirmed: false,
        }
    }

    /// Pieces that are in their place.
    #[must_use]
    pub fn held(&self) -> u32 {
        self.held
    }

    /// Whether the pieces of an earlier time are being compared.
    #[must_use]
    pub fn compares(&self) -> bool {
        self.comparison.is_some()
    }

    /// Asks for nothing more, or goes on. Returns what to tell the sender.
    pub fn pause(&mut self, paused: bool) -> Frame {
        self.paused = paused;
        if paused { Frame::Pause } else { Frame::Resume }
    }

    /// What to say next, if anything: questions for pieces or hashes. [`Frame::Done`] is its owner's, when
    /// [`Self::is_complete`].
    pub fn poll(&mut self) -> Option<Frame> {
        if self.paused {
            return None;
        }
        if let Some(comparison) = &mut self.comparison {
            // One question at a time: the other side reads its file for it.
            if comparison.count > 0 {
                return None;
            }
            comparison.count = HASHES.min(comparison.to - comparison.from);
            return Some(Frame::Compare {
                from: comparison.from,
                count: comparison.count,
            });
        }
        if self.asked >= self.layout.pieces() || self.asked - self.held >= self.window {
            return None;
        }
        self.asked += 1;
        Some(Frame::Want {
            round: self.round,
            piece: self.asked - 1,
        })
    }

    /// Whether everything is in its place, and the sender is to be told: once.
    pub fn is_complete(&mut self) -> bool {
        let complete = self.held == self.layout.pieces() && self.comparison.is_none();
        complete && !std::mem::replace(&mut self.said_done, true)
    }

    /// Takes in a message; returns what it is, and where the bytes behind it begin.
    ///
    /// # Errors
    /// `protocol_violation`: nobody asked for it, or it has another size than it can have.
    pub fn receive(&mut self, message: &[u8], length: usize) -> Result<(Heard, usize), Error> {
        let violation = |what: &str| Err(Error::new(Code::ProtocolViolation, what));
        let Some((frame, at)) = Frame::decode(message) else {
            return violation("not a message of a transfer");
        };
        let rest = length.saturating_sub(at);
        let heard = match frame {
            Frame::Piece { round, .. } if round < self.round => Heard::Nothing,
            Frame::Piece {
                round,
                piece,
                deflated,
                hash,
            } => {
                let Some(place) = self.layout.place(piece) else {
                    return violation("a piece beyond the last one");
                };
                if round != self.round || piece != self.come || piece >= self.asked {
                    return violation("a piece that was not asked for");
                }
                let whole = place.length as usize;
                if rest == 0 || rest > whole || (!deflated && rest != whole) {
                    return violation("a piece of another size");
                }
                self.come += 1;
                Heard::Take {
                    piece,
                    place,
                    deflated,
                    hash,
                }
            }
            Frame::Hashes { from, count } => {
                let comparison = self.comparison.as_mut().filter(|comparison| !comparison.heard);
                let Some(comparison) = comparison.filter(|comparison| comparison.count > 0) else {
                    return violation("hashes that nobody asked for");
                };
                if (from, count) != (comparison.from, comparison.count) || rest != HASH * count as usize {
                    return violation("other hashes than those asked for");
                }
                comparison.heard = true;
                Heard::Compare { from, count }
            }
            Frame::Pause => Heard::Paused(true),
            Frame::Resume => Heard::Paused(false),
            Frame::Confirmed if self.said_done && !self.confirmed => {
                self.confirmed = true;
                Heard::Confirmed
            }
            _ => return violation("what a sender has no reason to say"),
        };
        Ok((heard, at))
    }

    /// The next piece of those that came was checked: it is in its place, or wrong. Pieces are checked in order.
    ///
    /// # Errors
    /// `file_corrupt`: wrong for the second time.
    pub fn checked(&mut self, right: bool) -> Result<(), Error> {
        if right {
            self.held = (self.held + 1).min(self.come);
            return Ok(());
        }
        if self.wrong == Some(self.held) {
            return Err(Code::FileCorrupt.into());
        }
        self.wrong = Some(self.held);
        self.go_back();
        Ok(())
    }

    /// What was asked for and is not in its place is asked for again.
    fn go_back(&mut self) {
        self.round += 1;
        self.asked = self.held;
        self.come = self.held;
    }

    /// How many of the hashes of the last answer are this side's, too. With the first other one the comparison ends, and
    /// the transfer goes on from there.
    pub fn compared(&mut self, same: u32) {
        let Some(comparison) = &mut self.comparison else {
            return;
        };
        let all = same >= comparison.count;
        comparison.from += same.min(comparison.count);
        comparison.count = 0;
        comparison.heard = false;
        if all && comparison.from < comparison.to {
            return;
        }
        self.held = comparison.from;
        self.asked = self.held;
        self.come = self.held;
        self.comparison = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: u32 = 64 * 1024;

    fn receiver(size: u64, held: u32) -> Receiver {
        let layout = Layout::new(vec![size], PIECE).expect("sound");
        Receiver::new(layout, held)
    }

    fn wants(receiver: &mut Receiver) -> Vec<u32> {
        std::iter::from_fn(|| receiver.poll())
            .map(|frame| match frame {
                Frame::Want { piece, .. } => piece,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn piece(round: u32, piece: u32) -> Frame {
        Frame::Piece {
            round,
            piece,
            deflated: false,
            hash: [0; HASH],
        }
    }

    fn come(receiver: &mut Receiver, frame: Frame, bytes: usize) -> Result<Heard, Code> {
        let head = frame.encode();
        let heard = receiver.receive(&head, head.len() + bytes);
        heard.map(|(heard, _)| heard).map_err(|error| error.code)
    }

    #[test]
    fn pieces_are_asked_for_as_far_as_the_window() {
        let mut a = receiver(100 * u64::from(PIECE), 0);
        assert_eq!(wants(&mut a), (0..32).collect::<Vec<_>>());
        for n in 0..10 {
            assert!(matches!(
                come(&mut a, piece(0, n), PIECE as usize),
                Ok(Heard::Take { .. })
            ));
        }
        assert!(wants(&mut a).is_empty(), "nothing is in its place yet");
        (0..3).for_each(|_| a.checked(true).expect("right"));
        assert_eq!(wants(&mut a), [32, 33, 34]);
    }

    #[test]
    fn a_wrong_piece_is_asked_for_once_more() {
        let mut a = receiver(5 * u64::from(PIECE), 0);
        wants(&mut a);
        for n in 0..3 {
            come(&mut a, piece(0, n), PIECE as usize).expect("asked for");
        }
        a.checked(true).expect("right");
        a.checked(false).expect("the first time");
        assert_eq!(wants(&mut a), [1, 2, 3, 4]);
        assert_eq!(
            come(&mut a, piece(0, 3), PIECE as usize),
            Ok(Heard::Nothing),
            "of before"
        );
        come(&mut a, piece(1, 1), PIECE as usize).expect("asked for");
        assert_eq!(
            a.checked(false).map_err(|error| error.code),
            Err(Code::FileCorrupt)
        );
    }

    #[test]
    fn what_nobody_asked_for_is_refused() {
        let whole = PIECE as usize;
        let violation = Err(Code::ProtocolViolation);
        let mut a = receiver(3 * u64::from(PIECE) + 5, 0);
        assert_eq!(come(&mut a, piece(0, 0), whole), violation, "not asked for");
        wants(&mut a);
        for (frame, bytes) in [
            (piece(0, 1), whole),        // out of turn
            (piece(0, 4), whole),        // beyond the last
            (piece(0, u32::MAX), whole), // far beyond
            (piece(1, 0), whole),        // of a round to come
            (piece(0, 0), whole - 1),    // too short
            (piece(0, 0), whole + 1),    // too long
            (piece(0, 0), 0),            // empty
            (Frame::Confirmed, 0),
            (Frame::Hashes { from: 0, count: 1 }, HASH),
            (Frame::Want { round: 0, piece: 0 }, 0),
            (Frame::Done([0; HASH]), 0),
        ] {
            assert_eq!(come(&mut a, frame, bytes), violation, "{frame:?} with {bytes}");
        }
        come(&mut a, piece(0, 0), whole).expect("asked for");
        assert_eq!(come(&mut a, piece(0, 0), whole), violation, "twice");
        assert_eq!(
            a.receive(&[77], 1).map_err(|error| error.code),
            Err(Code::ProtocolViolation)
        );
        assert_eq!(
            a.receive(&[], 0).map_err(|error| error.code),
            Err(Code::ProtocolViolation)
        );
    }

    #[test]
    fn what_is_held_is_compared_first() {
        let mut a = receiver(1000 * u64::from(PIECE), 600);
        for (from, count) in [(0, 256), (256, 256), (512, 88)] {
            assert_eq!(a.poll(), Some(Frame::Compare { from, count }));
            assert_eq!(a.poll(), None);
            let bytes = HASH * count as usize;
            let wrong = come(
                &mut a,
                Frame::Hashes {
                    from: from + 1,
                    count,
                },
                bytes,
            );
            assert_eq!(wrong, Err(Code::ProtocolViolation));
            assert_eq!(
                come(&mut a, Frame::Hashes { from, count }, bytes),
                Ok(Heard::Compare { from, count })
            );
            let again = come(&mut a, Frame::Hashes { from, count }, bytes);
            assert_eq!(again, Err(Code::ProtocolViolation));
            a.compared(if from == 512 { 8 } else { count });
        }
        assert_eq!((a.held(), a.compares()), (520, false));
        assert_eq!(wants(&mut a).first(), Some(&520));
    }

    #[test]
    fn it_is_complete_once() {
        let mut a = receiver(0, 0);
        assert!(a.is_complete());
        assert!(!a.is_complete());
        assert_eq!(come(&mut a, Frame::Confirmed, 0), Ok(Heard::Confirmed));
        assert_eq!(come(&mut a, Frame::Confirmed, 0), Err(Code::ProtocolViolation));
    }

    #[test]
    fn who_waits_asks_for_nothing() {
        let mut a = receiver(100, 0);
        assert_eq!(a.pause(true), Frame::Pause);
        assert_eq!(a.poll(), None);
        assert_eq!(a.pause(false), Frame::Resume);
        assert_eq!(wants(&mut a), [0]);
    }
}
