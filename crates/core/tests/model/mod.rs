//! Pages, their browsers, a network and a server, on virtual time, from one seed.
#![allow(dead_code)]

pub mod browser;
pub mod ledger;
pub mod random;
pub mod world;

pub use ledger::Outcome;
pub use world::{PageOptions, World};

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `schedule` for many seeds; `PEERLOOM_SCHEDULES` says how many, `PEERLOOM_SEED` runs one alone.
///
/// # Panics
/// If one failed, with its seed and the way to run just it.
pub fn schedules(test: &str, usual: u64, schedule: impl Fn(u64)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("PEERLOOM_SEED") {
        schedule(seed);
        return;
    }
    for seed in 0..number("PEERLOOM_SCHEDULES").unwrap_or(usual) {
        if catch_unwind(AssertUnwindSafe(|| schedule(seed))).is_err() {
            let name = std::env::args()
                .next()
                .and_then(|path| {
                    let file = std::path::Path::new(&path).file_stem()?.to_str()?.to_owned();
                    Some(file.rsplit_once('-')?.0.to_owned())
                })
                .unwrap_or_default();
            panic!(
                "schedule {seed} failed; just it, step by step: PEERLOOM_SEED={seed} PEERLOOM_TRACE=1 \
                 cargo test -p peerloom-core --all-features --test {name} -- {test} --exact --nocapture"
            );
        }
    }
}
