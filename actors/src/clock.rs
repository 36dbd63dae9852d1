//! Time for the shell: the only place in `actors` that may ask the machine. The real clock is wall time at start plus monotonic time since, gently slewed;
//! a jump of the wall clock is reported and not followed. The manual clock belongs to tests and to the replay.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tornello_engine::time::Timestamp;

/// What tells the time and wakes at a time.
pub trait Clock: Send + Sync + 'static {
    /// Now; never earlier than an answer given before.
    fn now(&self) -> Timestamp;
    /// Ends when `now` has reached `at`.
    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()>;
    /// By how many microseconds the machine's wall clock is ahead of `now`, as it was last looked at; of interest when it has jumped.
    fn wall_ahead_us(&self) -> i64;
}

/// The machine's time.
#[derive(Debug)]
pub struct RealClock {
    started: Instant,
    /// Microseconds to add to the monotonic time since `started`.
    base_us: AtomicI64,
    /// The latest answer.
    latest_us: AtomicI64,
    /// By how much the wall clock was ahead.
    wall_ahead_us: AtomicI64,
}

/// The most that one second of slewing moves the clock.
const SLEW_US_PER_TICK: i64 = 500;
/// A wall clock further away than this has jumped.
const JUMP_US: i64 = 2_000_000;
/// The longest single sleep, so that slewing is not missed.
const SLEEP_MAX: Duration = Duration::from_secs(60);

impl RealClock {
    /// Starts at the wall clock's time.
    #[must_use]
    pub fn start() -> Self {
        let base_us = AtomicI64::new(Self::wall().as_micros());
        Self { started: Instant::now(), base_us, latest_us: AtomicI64::new(i64::MIN), wall_ahead_us: AtomicI64::new(0) }
    }

    /// What the machine's wall clock says, whatever it is worth.
    #[must_use]
    pub fn wall() -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    /// Moves towards the wall clock by at most half a millisecond; call once a second. Answers by how many microseconds the wall clock has jumped away.
    pub fn slew(&self) -> Option<i64> {
        let apart = Self::wall().micros_since(self.now());
        self.wall_ahead_us.store(apart, Ordering::Relaxed);
        if apart.abs() > JUMP_US {
            return Some(apart);
        }
        self.base_us.fetch_add(apart.clamp(-SLEW_US_PER_TICK, SLEW_US_PER_TICK), Ordering::Relaxed);
        None
    }
}

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        let now = self.base_us.load(Ordering::Relaxed).saturating_add(elapsed);
        Timestamp::from_micros(self.latest_us.fetch_max(now, Ordering::Relaxed).max(now))
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            loop {
                let left_us = at.micros_since(self.now());
                if left_us <= 0 {
                    return;
                }
                tokio::time::sleep(Duration::from_micros(left_us.unsigned_abs()).min(SLEEP_MAX)).await;
            }
        })
    }

    fn wall_ahead_us(&self) -> i64 {
        self.wall_ahead_us.load(Ordering::Relaxed)
    }
}

/// A clock that stands still until it is set.
#[derive(Debug)]
pub struct ManualClock {
    now: watch::Sender<Timestamp>,
}

impl ManualClock {
    /// Stands at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { now: watch::Sender::new(now) }
    }

    /// Sets the time; it does not go backwards.
    pub fn set(&self, now: Timestamp) {
        self.now.send_if_modified(|current| {
            let later = now > *current;
            *current = now.max(*current);
            later
        });
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()> {
        let mut now = self.now.subscribe();
        Box::pin(async move {
            // The sender lives as long as `self`, so waiting cannot fail.
            let _ = now.wait_for(|now| *now >= at).await;
        })
    }

    fn wall_ahead_us(&self) -> i64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_manual_clock_wakes_at_its_time_and_never_goes_back() {
        let clock = ManualClock::new(Timestamp::from_seconds(100));
        let mut sleep = clock.sleep_until(Timestamp::from_seconds(110));
        assert!((&mut sleep).now_or_never().is_none());
        clock.set(Timestamp::from_seconds(109));
        assert!((&mut sleep).now_or_never().is_none());
        clock.set(Timestamp::from_seconds(110));
        assert!((&mut sleep).now_or_never().is_some());
        clock.set(Timestamp::from_seconds(5));
        assert_eq!(clock.now(), Timestamp::from_seconds(110));
    }

    #[test]
    fn a_real_clock_follows_a_small_difference_slowly_and_a_jump_not_at_all() {
        let clock = RealClock::start();
        clock.base_us.fetch_sub(1_000_000, Ordering::Relaxed);
        clock.latest_us.store(i64::MIN, Ordering::Relaxed);
        let before = clock.base_us.load(Ordering::Relaxed);
        assert_eq!(clock.slew(), None);
        assert_eq!(clock.base_us.load(Ordering::Relaxed) - before, SLEW_US_PER_TICK);
        clock.base_us.fetch_sub(3_600_000_000, Ordering::Relaxed);
        let before_jump = clock.now();
        assert!(clock.now() >= before_jump, "an answer never goes back");
        clock.latest_us.store(i64::MIN, Ordering::Relaxed);
        let before = clock.base_us.load(Ordering::Relaxed);
        let apart = clock.slew().unwrap();
        assert!(apart > 3_600_000_000 - 1_000_000);
        assert_eq!(clock.wall_ahead_us(), apart);
        assert_eq!(clock.base_us.load(Ordering::Relaxed), before);
    }
}
