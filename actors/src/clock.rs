//! Time for the shell: the only place in `actors` that may ask the machine. The real clock is wall time at start plus monotonic time since, gently slewed;
//! a jump of the wall clock is reported and not followed. Time in which the machine was suspended has passed like any other, where the system counts it. The
//! manual clock belongs to tests and to the replay.

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

/// How long something takes on this machine, whatever time it is.
#[derive(Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// From now on.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Since then.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The rules of a clock that a house can build on, whatever its sources say: it starts at the wall clock's time, goes on with the monotonic clock, follows the
/// wall clock slowly, does not follow a jump, and never goes back. The sources are given with each call.
#[derive(Debug)]
pub struct Steady {
    /// Microseconds to add to the monotonic time since the start.
    base_us: AtomicI64,
    /// The latest answer.
    latest_us: AtomicI64,
}

/// The most that one second of slewing moves the clock.
const SLEW_US_PER_TICK: i64 = 500;
/// A wall clock further away than this has jumped.
const JUMP_US: i64 = 2_000_000;
/// The longest single sleep: a sleep does not go on while the machine is suspended, and what became due meanwhile is late by no more than this.
const SLEEP_MAX: Duration = Duration::from_secs(1);

impl Steady {
    /// Starts at the wall clock's time.
    #[must_use]
    pub const fn start(wall: Timestamp) -> Self {
        Self { base_us: AtomicI64::new(wall.as_micros()), latest_us: AtomicI64::new(i64::MIN) }
    }

    /// Now, so many microseconds of monotonic time after the start; never earlier than an answer given before.
    pub fn now(&self, elapsed_us: i64) -> Timestamp {
        let now = self.base_us.load(Ordering::Relaxed).saturating_add(elapsed_us);
        Timestamp::from_micros(self.latest_us.fetch_max(now, Ordering::Relaxed).max(now))
    }

    /// Moves towards the wall clock by at most half a millisecond; call once a second. Answers by how many microseconds the wall clock has jumped away.
    pub fn slew(&self, elapsed_us: i64, wall: Timestamp) -> Option<i64> {
        let apart = wall.micros_since(self.now(elapsed_us));
        if apart.abs() > JUMP_US {
            return Some(apart);
        }
        self.base_us.fetch_add(apart.clamp(-SLEW_US_PER_TICK, SLEW_US_PER_TICK), Ordering::Relaxed);
        None
    }
}

/// A moment of a clock that never goes back, nor stands still while the machine is suspended: `Instant` does on Linux. Elsewhere `Instant` has to do.
#[derive(Debug, Clone, Copy)]
struct Moment(#[cfg(target_os = "linux")] Duration, #[cfg(not(target_os = "linux"))] Instant);

#[cfg(target_os = "linux")]
impl Moment {
    /// Asked for with each command: the system answers without a change into the kernel, as it does for `Instant`.
    fn now() -> Self {
        let since_boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        // The time since the boot is not below zero.
        Self(Duration::try_from(since_boot).unwrap_or_default())
    }

    fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

#[cfg(not(target_os = "linux"))]
impl Moment {
    fn now() -> Self {
        Self(Instant::now())
    }

    fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// The machine's time.
#[derive(Debug)]
pub struct RealClock {
    started: Moment,
    steady: Steady,
    /// By how much the wall clock was ahead when it was last looked at.
    wall_ahead_us: AtomicI64,
}

impl RealClock {
    /// Starts at the wall clock's time.
    #[must_use]
    pub fn start() -> Self {
        Self { started: Moment::now(), steady: Steady::start(Self::wall()), wall_ahead_us: AtomicI64::new(0) }
    }

    /// What the machine's wall clock says, whatever it is worth.
    #[must_use]
    pub fn wall() -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    /// Moves towards the wall clock by at most half a millisecond; call once a second. Answers by how many microseconds the wall clock has jumped away.
    pub fn slew(&self) -> Option<i64> {
        let wall = Self::wall();
        self.wall_ahead_us.store(wall.micros_since(self.now()), Ordering::Relaxed);
        self.steady.slew(self.elapsed_us(), wall)
    }

    fn elapsed_us(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        self.steady.now(self.elapsed_us())
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
    fn a_steady_clock_follows_a_small_difference_slowly_and_a_jump_not_at_all() {
        const SECOND: i64 = 1_000_000;
        let steady = Steady::start(Timestamp::from_seconds(1_000));
        let wall = |seconds, apart_us| Timestamp::from_micros((1_000 + seconds) * SECOND + apart_us);
        // (wall clock beside the monotonic one, what is reported, how far the clock is off afterwards)
        let seconds = [
            (0, None, 0),
            (300, None, 300),
            (SECOND, None, 300 + SLEW_US_PER_TICK),
            (-SECOND, None, 300),
            (3_600 * SECOND, Some(3_600 * SECOND - 300), 300),
            (-3_600 * SECOND, Some(-3_600 * SECOND - 300), 300),
            (86_400 * SECOND, Some(86_400 * SECOND - 300), 300),
            (-86_400 * SECOND, Some(-86_400 * SECOND - 300), 300),
            (0, None, 0),
        ];
        for (second, (apart_us, reported, off_us)) in (1..).zip(seconds) {
            assert_eq!(steady.slew(second * SECOND, wall(second, apart_us)), reported, "second {second}");
            assert_eq!(steady.now((second + 1) * SECOND), wall(second + 1, off_us), "second {second}");
        }
        let latest = steady.now(20 * SECOND);
        assert_eq!(steady.now(10 * SECOND), latest, "an answer never goes back");
    }

    #[test]
    fn a_steady_clock_goes_on_after_the_machine_was_suspended() {
        let steady = Steady::start(Timestamp::from_seconds(1_000));
        assert_eq!(steady.now(1_000_000), Timestamp::from_seconds(1_001));
        // Ten minutes later by every clock that counts them.
        assert_eq!(steady.slew(602_000_000, Timestamp::from_seconds(1_602)), None, "nothing has jumped");
        assert_eq!(steady.now(602_000_000), Timestamp::from_seconds(1_602));
    }

    /// On a machine that was suspended since its boot, `Instant` is behind by as much.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_time_that_a_machine_was_suspended_is_counted() {
        let uptime = || {
            let text = std::fs::read_to_string("/proc/uptime").unwrap();
            Duration::from_secs_f64(text.split_whitespace().next().unwrap().parse().unwrap())
        };
        let (before, now, after) = (uptime(), Moment::now().0, uptime());
        let tick = Duration::from_millis(10);
        assert!(before <= now + tick && now <= after + tick, "{before:?}, {now:?}, {after:?}");
    }

    #[test]
    fn the_real_clock_stands_by_the_wall_clock_at_its_start() {
        let clock = RealClock::start();
        assert!(clock.now().micros_since(RealClock::wall()).abs() < JUMP_US);
        assert_eq!(clock.slew(), None);
    }
}
