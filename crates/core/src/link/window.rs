//! How much of a stream may be on its way at once, after LEDBAT (RFC 6817, section 2.4.2): as much as makes nobody wait.
//!
//! All channels to a peer share one association, which sends what it was given in order, more or less: whatever a large
//! stream has put in stands in front of the next message. How long that takes is seen in the stream's own
//! acknowledgements.

use std::collections::VecDeque;

use crate::time::Time;

/// Bytes that may always be on their way: less would leave the network idle between two acknowledgements.
const LEAST: usize = 64 * 1024;
/// More than any browser's association takes in flight.
const MOST: usize = 4 * 1024 * 1024;
/// Milliseconds that what is on its way may make others wait.
const DELAY: u64 = 30;
/// The same while somebody talks.
const DELAY_BESIDE_TALK: u64 = 4;
/// Milliseconds after which the way itself may have become another one, shorter or longer.
const FRESH: u64 = 30_000;

#[derive(Debug)]
pub(super) struct Window {
    size: usize,
    /// Frames on their way: the number that confirms each, when it went, its bytes.
    frames: VecDeque<(u64, Time, usize)>,
    flying: usize,
    /// Milliseconds that the way takes by itself.
    base: Option<u64>,
    /// Until then.
    fresh_until: Time,
    /// It was never too much so far: grows by all that arrives.
    starts: bool,
    /// What went before this was sent with a larger window.
    narrowed: u64,
    talks: bool,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            size: LEAST,
            frames: VecDeque::new(),
            flying: 0,
            base: None,
            fresh_until: Time(0),
            starts: true,
            narrowed: 0,
            talks: false,
        }
    }
}

impl Window {
    /// Another way, of which nothing is known.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn is_open(&self) -> bool {
        self.flying < self.size
    }

    /// Whether somebody talks beside it.
    pub(super) fn talk(&mut self, talks: bool) {
        if talks && !self.talks {
            self.narrow(LEAST);
        }
        self.talks = talks;
    }

    /// A frame goes, whose last number comes before `next`.
    pub(super) fn sent(&mut self, now: Time, next: u64, bytes: usize) {
        self.flying += bytes;
        self.frames.push_back((next, now, bytes));
    }

    /// Everything before `next` has arrived.
    pub(super) fn confirmed(&mut self, now: Time, next: u64) {
        // A window that is not used says nothing about a larger one.
        let was_used = 2 * self.flying >= self.size;
        let mut last = None;
        let mut arrived = 0;
        while let Some((number, at, bytes)) = self
            .frames
            .front()
            .copied()
            .filter(|(number, ..)| *number <= next)
        {
            self.frames.pop_front();
            self.flying -= bytes;
            arrived += bytes;
            last = Some((number, now - at));
        }
        let Some((number, took)) = last else {
            return;
        };
        if now >= self.fresh_until {
            // What is on its way now goes with the least window, and shows how long the way is by itself.
            self.fresh_until = now + FRESH;
            self.base = None;
            self.starts = true;
            self.narrow(LEAST);
        }
        let base = self.base.map_or(took, |base| base.min(took));
        self.base = Some(base);
        let most = if self.talks { DELAY_BESIDE_TALK } else { DELAY };
        if number <= self.narrowed {
            return;
        }
        if took - base > most {
            self.starts = false;
            self.narrow(self.size / 4 * 3);
        } else if was_used {
            let more = if self.starts { arrived } else { arrived / 8 };
            self.size = (self.size + more).min(MOST);
        }
    }

    fn narrow(&mut self, size: usize) {
        self.size = size.max(LEAST);
        self.narrowed = self.frames.back().map_or(self.narrowed, |(number, ..)| *number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: usize = 60 * 1024;

    /// A way of `rate` bytes a millisecond that takes `takes` milliseconds there and back, with always more to send.
    struct Way {
        rate: usize,
        takes: u64,
        now: Time,
        free_at: Time,
        next: u64,
        arriving: VecDeque<(Time, u64)>,
    }

    impl Way {
        fn new(rate: usize, takes: u64) -> Self {
            Self {
                rate,
                takes,
                now: Time(1),
                free_at: Time(1),
                next: 0,
                arriving: VecDeque::new(),
            }
        }

        /// Returns how much of the rate was used, and for how long the median frame waited for others.
        fn run(&mut self, window: &mut Window, milliseconds: u64) -> (f64, u64) {
            let mut waits = Vec::new();
            for _ in 0..milliseconds {
                self.now = self.now + 1;
                while let Some((_, number)) = self.arriving.pop_front_if(|(at, _)| *at <= self.now) {
                    window.confirmed(self.now, number);
                }
                while window.is_open() {
                    self.next += 1;
                    window.sent(self.now, self.next, FRAME);
                    let begins = self.free_at.max(self.now);
                    waits.push(begins - self.now);
                    self.free_at = begins + (FRAME / self.rate) as u64;
                    self.arriving.push_back((self.free_at + self.takes, self.next));
                }
            }
            waits.sort_unstable();
            let used = (waits.len() * FRAME) as f64 / (self.rate * milliseconds as usize) as f64;
            (used, waits[waits.len() / 2])
        }
    }

    #[test]
    fn fills_every_way_and_makes_nobody_wait_long() {
        for (rate, takes) in [(20_000, 1), (10_000, 20), (4_000, 100), (30_000, 60), (1_000, 30)] {
            let (mut window, mut way) = (Window::default(), Way::new(rate, takes));
            way.run(&mut window, 3_000);
            let (used, wait) = way.run(&mut window, 20_000);
            let frame = (FRAME / rate) as u64;
            assert!(used > 0.85, "{used} of {rate} over {takes}");
            assert!(wait <= DELAY + 2 * frame, "{wait} at {rate} over {takes}");
        }
    }

    #[test]
    fn makes_room_for_talk_at_once() {
        let (mut window, mut way) = (Window::default(), Way::new(15_000, 2));
        way.run(&mut window, 3_000);
        let before = window.size();
        window.talk(true);
        assert!(window.size() == LEAST && before > 2 * LEAST, "{before}");
        let (_, wait) = way.run(&mut window, 3_000);
        assert!(wait <= DELAY_BESIDE_TALK + 4, "{wait}");
    }

    #[test]
    fn learns_that_the_way_is_longer_now() {
        let (mut window, mut way) = (Window::default(), Way::new(10_000, 2));
        way.run(&mut window, 5_000);
        way.takes = 100;
        way.run(&mut window, 2 * FRESH);
        let (used, _) = way.run(&mut window, 20_000);
        assert!(used > 0.8, "{used}");
    }

    #[test]
    fn never_closes() {
        let mut window = Window::default();
        for n in 1..1_000_u64 {
            window.sent(Time(n * 1_000), n, FRAME);
            window.confirmed(Time(n * 1_000 + 900 * (n % 2)), n);
            assert!(window.is_open() && window.size() <= MOST);
        }
    }
}
