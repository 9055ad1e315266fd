//! Where pieces lie: files one after the other, each cut anew from its beginning, the pieces numbered through.

use super::{FILES, PIECE, PIECES, TOTAL};

/// Files and their pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of each file.
    sizes: Vec<u64>,
    /// The number of each file's first piece, and of all pieces.
    firsts: Vec<u32>,
    piece: u32,
}

/// A piece's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which file.
    pub file: usize,
    /// Where in it, in bytes.
    pub offset: u64,
    /// How many bytes.
    pub length: u32,
}

impl Layout {
    /// Files of these sizes in bytes, in pieces of at most `piece` bytes; `None` if there are too many of either, or a
    /// piece has a size that it can't have.
    #[must_use]
    pub fn new(sizes: Vec<u64>, piece: u32) -> Option<Self> {
        let sound = piece.is_power_of_two() && (PIECE.0..=PIECE.1).contains(&piece);
        if !sound || sizes.is_empty() || sizes.len() > FILES {
            return None;
        }
        let mut firsts = vec![0];
        let (mut count, mut total) = (0_u64, 0_u64);
        for size in &sizes {
            count = count.checked_add(size.div_ceil(u64::from(piece)))?;
            total = total.checked_add(*size).filter(|total| *total <= TOTAL)?;
            firsts.push(u32::try_from(count).ok().filter(|count| *count <= PIECES)?);
        }
        Some(Self { sizes, firsts, piece })
    }

    /// The size of pieces that suits so many bytes: few for a little, and hashes that stay small for a lot.
    #[must_use]
    pub fn piece_for(total: u64) -> u32 {
        let mut piece = 256 * 1024;
        while piece < PIECE.1 && total / u64::from(piece) > 16_384 {
            piece *= 2;
        }
        piece
    }

    /// How many pieces there are.
    #[must_use]
    pub fn pieces(&self) -> u32 {
        self.firsts.last().copied().unwrap_or_default()
    }

    /// Bytes of a whole piece.
    #[must_use]
    pub fn piece(&self) -> u32 {
        self.piece
    }

    /// Where a piece is.
    #[must_use]
    pub fn place(&self, piece: u32) -> Option<Place> {
        if piece >= self.pieces() {
            return None;
        }
        let file = self.firsts.partition_point(|first| *first <= piece) - 1;
        let offset = u64::from(piece - self.firsts[file]) * u64::from(self.piece);
        let length = (self.sizes[file] - offset).min(u64::from(self.piece));
        Some(Place {
            file,
            offset,
            length: length as u32,
        })
    }

    /// How many whole pieces the first `bytes` bytes hold.
    #[must_use]
    pub fn held(&self, mut bytes: u64) -> u32 {
        let mut pieces = 0;
        for size in &self.sizes {
            if bytes < *size {
                return pieces + (bytes / u64::from(self.piece)) as u32;
            }
            bytes -= size;
            pieces += size.div_ceil(u64::from(self.piece)) as u32;
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const K: u64 = 64 * 1024;

    #[test]
    fn what_can_not_be_is_refused() {
        let new = |sizes: &[u64], piece| Layout::new(sizes.to_vec(), piece).is_some();
        assert!(new(&[0], 1 << 16));
        for piece in [0, 1, 65_535, 65_537, 3 << 16, 8 << 20, u32::MAX] {
            assert!(!new(&[1], piece), "{piece}");
        }
        assert!(!new(&[], 1 << 16), "nothing");
        assert!(!new(&[u64::MAX, 2], 1 << 22), "more than can be counted");
        assert!(!new(&[1 << 53], 1 << 22), "more than a page can count");
        assert!(!new(&[u64::from(PIECES) * K + 1], 1 << 16), "a piece too many");
        assert!(!new(&vec![1; FILES + 1], 1 << 16), "a file too many");
    }

    #[test]
    fn pieces_suit_the_size() {
        assert_eq!(Layout::piece_for(1), 256 * 1024);
        assert_eq!(Layout::piece_for((4 << 30) + 1), 256 * 1024);
        assert_eq!(Layout::piece_for(8 << 30), 512 * 1024);
        assert_eq!(Layout::piece_for(TOTAL), PIECE.1);
    }

    proptest! {
        #[test]
        fn pieces_lie_end_to_end(sizes in proptest::collection::vec(0..5 * K, 1..12)) {
            let layout = Layout::new(sizes.clone(), 1 << 16).expect("sound");
            let mut ends = vec![0; sizes.len()];
            let mut bytes = 0;
            for piece in 0..layout.pieces() {
                let place = layout.place(piece).expect("is there");
                prop_assert_eq!(place.offset, ends[place.file]);
                prop_assert!(place.length > 0);
                prop_assert!(layout.held(bytes) >= piece);
                prop_assert_eq!(layout.held(bytes + u64::from(place.length) - 1), piece);
                ends[place.file] += u64::from(place.length);
                bytes += u64::from(place.length);
            }
            prop_assert_eq!(layout.held(bytes), layout.pieces());
            prop_assert_eq!(ends, sizes);
            prop_assert_eq!(layout.place(layout.pieces()), None);
        }
    }
}
