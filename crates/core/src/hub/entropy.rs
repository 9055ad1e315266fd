//! Where the hub's secrets come from, and the form that they have.

/// A source of unpredictable bytes: the operating system's in the server, a seeded one in tests.
pub trait Entropy {
    /// Fills all of `bytes`.
    fn fill(&mut self, bytes: &mut [u8]);
}

impl<F: FnMut(&mut [u8])> Entropy for F {
    fn fill(&mut self, bytes: &mut [u8]) {
        self(bytes);
    }
}

/// Letters and digits that are not mistaken for one another: 5 bits each.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// 26 letters and digits with 130 bits: what nobody guesses.
pub(super) fn unguessable(entropy: &mut dyn Entropy) -> String {
    let mut bytes = [0; 26];
    entropy.fill(&mut bytes);
    bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
        .collect()
}

/// A number below `limit`, evenly enough for jitter; 0 if `limit` is 0.
pub(super) fn below(entropy: &mut dyn Entropy, limit: u32) -> u32 {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    u32::try_from(
        u64::from_le_bytes(bytes)
            .checked_rem(u64::from(limit))
            .unwrap_or(0),
    )
    .unwrap_or(0)
}
