//! A token bucket that may go into debt: what was already read is never thrown away, the debt is waited for instead.

use crate::time::Time;

/// How much may be spent: `rate` a second, and `burst` at once after a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Units that come back every second. At least 1 is assumed.
    pub rate: u64,
    /// Units that can be saved up.
    pub burst: u64,
}

impl Rate {
    /// `rate` a second, `burst` at once.
    #[must_use]
    pub const fn new(rate: u64, burst: u64) -> Self {
        Self { rate, burst }
    }
}

/// The state of one budget.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate: Rate,
    /// Thousandths of a unit; negative is debt.
    level: i64,
    filled: Time,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn new(rate: Rate, now: Time) -> Self {
        Self {
            rate,
            level: thousandths(rate.burst),
            filled: now,
        }
    }

    /// Spends `units` in any case; milliseconds until the debt is paid, 0 if there is none.
    pub fn spend(&mut self, now: Time, units: u64) -> u64 {
        self.fill(now);
        self.level = self.level.saturating_sub(thousandths(units));
        self.debt()
    }

    /// Spends one unit if there is one; otherwise the milliseconds until there is.
    ///
    /// # Errors
    /// Those milliseconds.
    pub fn take(&mut self, now: Time) -> Result<(), u64> {
        self.fill(now);
        if self.level >= 1000 {
            self.level -= 1000;
            Ok(())
        } else {
            Err((1000 - self.level).unsigned_abs().div_ceil(self.rate.rate.max(1)))
        }
    }

    /// Whether nothing has been spent lately.
    #[must_use]
    pub fn is_full(&mut self, now: Time) -> bool {
        self.fill(now);
        self.level >= thousandths(self.rate.burst)
    }

    fn debt(&self) -> u64 {
        if self.level >= 0 {
            0
        } else {
            self.level.unsigned_abs().div_ceil(self.rate.rate.max(1))
        }
    }

    fn fill(&mut self, now: Time) {
        // A rate per second is the same number of thousandths per millisecond.
        let gained = (now - self.filled).saturating_mul(self.rate.rate.max(1));
        let gained = i64::try_from(gained).unwrap_or(i64::MAX);
        self.level = self
            .level
            .saturating_add(gained)
            .min(thousandths(self.rate.burst));
        self.filled = self.filled.max(now);
    }
}

fn thousandths(units: u64) -> i64 {
    i64::try_from(units.saturating_mul(1000)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debt_is_waited_for_and_paid() {
        let mut bucket = Bucket::new(Rate::new(10, 5), Time(0));
        assert_eq!(bucket.spend(Time(0), 5), 0);
        assert_eq!(bucket.spend(Time(0), 1), 100);
        assert_eq!(bucket.spend(Time(100), 0), 0);
        assert_eq!(bucket.spend(Time(100), 1), 100);
        assert!(!bucket.is_full(Time(500)));
        assert!(bucket.is_full(Time(10_000)));
        assert_eq!(bucket.spend(Time(10_000), 5), 0);
    }

    #[test]
    fn taking_refuses_and_says_how_long() {
        let mut bucket = Bucket::new(Rate::new(2, 1), Time(0));
        assert_eq!(bucket.take(Time(0)), Ok(()));
        assert_eq!(bucket.take(Time(0)), Err(500));
        assert_eq!(bucket.take(Time(250)), Err(250));
        assert_eq!(bucket.take(Time(500)), Ok(()));
    }

    #[test]
    fn extreme_numbers_do_no_harm() {
        let mut bucket = Bucket::new(Rate::new(u64::MAX, u64::MAX), Time(0));
        bucket.spend(Time(u64::MAX), u64::MAX);
        bucket.spend(Time(0), u64::MAX);
        let mut bucket = Bucket::new(Rate::new(0, 0), Time(0));
        assert_eq!(bucket.spend(Time(0), 1), 1000);
    }
}
