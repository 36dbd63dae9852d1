//! Simulated time: a machine whose monotonic and wall clocks the run sets, and the clock of one life of the node on it, by the rules of the real one. The node
//! wakes its slots by itself only while the run lets it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tornello_actors::clock::{Clock, Steady};
use tornello_engine::time::Timestamp;

const SECOND_US: i64 = 1_000_000;

/// The clocks of a machine; they survive the node.
pub struct Machine {
    monotonic_us: AtomicI64,
    wall_us: AtomicI64,
}

impl Machine {
    pub fn new(wall: Timestamp) -> Arc<Self> {
        Arc::new(Self { monotonic_us: AtomicI64::new(0), wall_us: AtomicI64::new(wall.as_micros()) })
    }

    /// Somebody sets the wall clock; no time passes.
    pub fn jump(&self, seconds: i64) {
        self.wall_us.fetch_add(seconds * SECOND_US, Ordering::Relaxed);
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_micros(self.wall_us.load(Ordering::Relaxed))
    }
}

/// The clock of one life of the node.
pub struct SimulatedClock {
    machine: Arc<Machine>,
    started_us: i64,
    steady: Steady,
    /// Whether those who sleep may wake.
    wakes: AtomicBool,
    /// Wakes them in the order in which they went to sleep, to look what time it is.
    passed: Notify,
}

impl SimulatedClock {
    pub fn start(machine: &Arc<Machine>) -> Arc<Self> {
        let started_us = machine.monotonic_us.load(Ordering::Relaxed);
        Arc::new(Self {
            machine: Arc::clone(machine),
            started_us,
            steady: Steady::start(machine.wall()),
            wakes: AtomicBool::new(false),
            passed: Notify::new(),
        })
    }

    /// Time passes, on both clocks of the machine; then the wall clock is looked at, as every second. Answers whether it was found to have jumped.
    pub fn pass(&self, seconds: i64) -> bool {
        self.machine.monotonic_us.fetch_add(seconds * SECOND_US, Ordering::Relaxed);
        self.machine.wall_us.fetch_add(seconds * SECOND_US, Ordering::Relaxed);
        let jumped = self.steady.slew(self.elapsed_us(), self.machine.wall()).is_some();
        self.passed.notify_waiters();
        jumped
    }

    /// From now on the node wakes its slots by itself.
    pub fn let_wake(&self) {
        self.wakes.store(true, Ordering::Relaxed);
        self.passed.notify_waiters();
    }

    fn elapsed_us(&self) -> i64 {
        self.machine.monotonic_us.load(Ordering::Relaxed) - self.started_us
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        self.steady.now(self.elapsed_us())
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            loop {
                let passed = self.passed.notified();
                if self.wakes.load(Ordering::Relaxed) && self.now() >= at {
                    return;
                }
                passed.await;
            }
        })
    }

    fn wall_ahead_us(&self) -> i64 {
        0
    }
}
