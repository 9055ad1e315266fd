//! What the two sides of a transfer say: a kind, and numbers of a fixed width, little-endian, so that what follows them,
//! a piece's bytes or hashes, is found without a copy. `docs/protocol.md` has the table.

/// Bytes of a SHA-256.
pub const HASH: usize = 32;

/// One message, without the bytes that follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Receiver: send this piece.
    Want {
        /// Counts how often the receiver has gone back.
        round: u32,
        /// Which one, of all.
        piece: u32,
    },
    /// Receiver: what are the hashes of these pieces, which it has already?
    Compare {
        /// The first one.
        from: u32,
        /// How many: at most [`super::HASHES`].
        count: u32,
    },
    /// Receiver: everything is in its place, and this is the hash of all pieces' hashes.
    Done([u8; HASH]),
    /// Either: wait.
    Pause,
    /// Either: go on.
    Resume,
    /// Sender: this piece. Its bytes follow.
    Piece {
        /// From the question.
        round: u32,
        /// From the question.
        piece: u32,
        /// What follows is compressed: RFC 1951.
        deflated: bool,
        /// Of the piece as it is in the file.
        hash: [u8; HASH],
    },
    /// Sender: the hashes of these pieces follow.
    Hashes {
        /// From the question.
        from: u32,
        /// From the question.
        count: u32,
    },
    /// Sender: its hashes are the same; all is well.
    Confirmed,
}

impl Frame {
    /// The message's first bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(42);
        let mut put = |kind: u8, numbers: &[u32]| {
            bytes.push(kind);
            for number in numbers {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        };
        match self {
            Self::Want { round, piece } => put(0, &[*round, *piece]),
            Self::Compare { from, count } => put(1, &[*from, *count]),
            Self::Done(hash) => {
                put(2, &[]);
                bytes.extend_from_slice(hash);
            }
            Self::Pause => put(3, &[]),
            Self::Resume => put(4, &[]),
            Self::Piece {
                round,
                piece,
                deflated,
                hash,
            } => {
                put(if *deflated { 6 } else { 5 }, &[*round, *piece]);
                bytes.extend_from_slice(hash);
            }
            Self::Hashes { from, count } => put(7, &[*from, *count]),
            Self::Confirmed => put(8, &[]),
        }
        bytes
    }

    /// Reads one, and returns it with the number of bytes that it takes; `None` if it is none.
    #[must_use]
    pub fn decode(message: &[u8]) -> Option<(Self, usize)> {
        let (kind, rest) = message.split_first()?;
        let number = |index: usize| -> Option<u32> {
            let bytes = rest.get(4 * index..4 * index + 4)?;
            Some(u32::from_le_bytes(bytes.try_into().ok()?))
        };
        let hash = |at: usize| -> Option<[u8; HASH]> { rest.get(at..at + HASH)?.try_into().ok() };
        let (frame, length) = match kind {
            0 => (
                Self::Want {
                    round: number(0)?,
                    piece: number(1)?,
                },
                8,
            ),
            1 => (
                Self::Compare {
                    from: number(0)?,
                    count: number(1)?,
                },
                8,
            ),
            2 => (Self::Done(hash(0)?), HASH),
            3 => (Self::Pause, 0),
            4 => (Self::Resume, 0),
            5 | 6 => (
                Self::Piece {
                    round: number(0)?,
                    piece: number(1)?,
                    deflated: *kind == 6,
                    hash: hash(8)?,
                },
                8 + HASH,
            ),
            7 => (
                Self::Hashes {
                    from: number(0)?,
                    count: number(1)?,
                },
                8,
            ),
            8 => (Self::Confirmed, 0),
            _ => return None,
        };
        Some((frame, 1 + length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames() -> impl Strategy<Value = Frame> {
        let pair = (any::<u32>(), any::<u32>());
        prop_oneof![
            pair.prop_map(|(round, piece)| Frame::Want { round, piece }),
            pair.prop_map(|(from, count)| Frame::Compare { from, count }),
            any::<[u8; HASH]>().prop_map(Frame::Done),
            Just(Frame::Pause),
            Just(Frame::Resume),
            Just(Frame::Confirmed),
            (pair, any::<bool>(), any::<[u8; HASH]>()).prop_map(|((round, piece), deflated, hash)| {
                Frame::Piece {
                    round,
                    piece,
                    deflated,
                    hash,
                }
            }),
            pair.prop_map(|(from, count)| Frame::Hashes { from, count }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(frame in frames(), rest in proptest::collection::vec(any::<u8>(), 0..50)) {
            let mut bytes = frame.encode();
            let length = bytes.len();
            bytes.extend(rest);
            prop_assert_eq!(Frame::decode(&bytes), Some((frame, length)));
        }

        #[test]
        fn any_bytes_are_a_frame_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some((frame, length)) = Frame::decode(&bytes) {
                prop_assert_eq!(&frame.encode()[..], &bytes[..length]);
            }
        }
    }
}
