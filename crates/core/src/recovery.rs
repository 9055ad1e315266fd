//! When each step of recovery is tried, and when it is given up. A page can replace any of these.

/// Times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Before each try to come back to the server; the last one repeats. Each wait takes half to all of it, at random.
    pub server: Vec<u64>,
    /// Between tries to get a direct path to a peer; the last one repeats.
    pub direct: Vec<u64>,
    /// What an ICE restart may take before the connection is made anew; 0: it is made anew at once.
    pub restart: u64,
    /// Without a direct path, before messages travel through the server.
    pub relay: u64,
    /// Without any path, before what waits is rejected.
    pub outage: u64,
}

impl Default for Recovery {
    fn default() -> Self {
        Self {
            server: vec![0, 300, 1_200, 2_700, 4_800, 7_000],
            direct: vec![0, 1_000, 3_000, 6_000, 12_000, 30_000],
            restart: 5_000,
            relay: 2_000,
            outage: 60_000,
        }
    }
}

/// The `n`th of these, the last one repeating.
pub(crate) fn step(waits: &[u64], n: u32) -> u64 {
    let last = waits.len().saturating_sub(1);
    waits.get((n as usize).min(last)).copied().unwrap_or(0)
}
