//! The pace of who builds the lists. In a rush of sales they are built in short turns, with a pause after each: a round without pauses keeps a core for some hundred
//! milliseconds, and whoever buys meanwhile waits behind it. Nobody pauses while somebody waits for the lists.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Stopwatch;

/// How long is worked between two pauses: whoever buys may have to wait so long for the core. Shorter turns cost more processor time than they save anybody.
const TURN: Duration = Duration::from_micros(500);
/// A pause lasts so many times as long as the turn before it, if the lists are near the end of the journal.
const PAUSE: f32 = 2.0;
/// How long the turn before a pause counts at most: whoever was not at work, because there was nothing to do, did not keep anybody waiting.
const TURN_MAX: Duration = Duration::from_millis(1);
/// After how many steps of its virtual machine SQLite asks whether it is time for a pause: some ten microseconds.
pub(super) const STEPS: i32 = 500;

/// How those work who build the lists.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    /// How many times as long as its turn a pause lasts, as the bits of an `f32`.
    pause: Arc<AtomicU32>,
    /// How many wait for the lists.
    waiting: Arc<watch::Sender<usize>>,
}

impl Pace {
    /// Without pauses, until it is told of a rush. `waiting` says how many wait for the lists.
    pub(super) fn new(waiting: Arc<watch::Sender<usize>>) -> Self {
        Self { pause: Arc::default(), waiting }
    }

    /// In a rush, with pauses: long ones if the lists are `near` (1) the end of the journal, none if they are far behind (0).
    pub(super) fn rush(&self, near: f64) {
        self.pause.store((PAUSE * near as f32).to_bits(), Ordering::Relaxed);
    }

    /// There is no rush: without pauses.
    pub(super) fn no_rush(&self) {
        self.rush(0.0);
    }

    /// The turns of one who works at this pace, of which the first begins now.
    pub(super) fn turns(&self) -> Turns {
        Turns { pace: self.clone(), begun: Stopwatch::start() }
    }
}

/// One after the other.
#[derive(Debug)]
pub(super) struct Turns {
    pace: Pace,
    begun: Stopwatch,
}

impl Turns {
    /// How long the pause is that is due now, if one is. The next turn begins with [`Turns::begin`].
    pub(super) fn pause_due(&self) -> Option<Duration> {
        let worked = self.begun.elapsed();
        let pause = f32::from_bits(self.pace.pause.load(Ordering::Relaxed));
        let is_due = worked >= TURN && pause > 0.0 && *self.pace.waiting.borrow() == 0;
        is_due.then(|| worked.min(TURN_MAX).mul_f32(pause))
    }

    /// The next turn begins.
    pub(super) fn begin(&mut self) {
        self.begun = Stopwatch::start();
    }

    /// For SQLite, which asks every so many [`STEPS`] whether it may go on: makes the pause that is due on its own thread, and always says yes.
    pub(super) fn go_on(&mut self) -> bool {
        if let Some(pause) = self.pause_due() {
            std::thread::sleep(pause);
            self.begin();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits until a turn is over, by the clock.
    fn worked(turns: &Turns) {
        while turns.begun.elapsed() < TURN {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn pauses_are_made_in_a_rush_shorter_the_further_the_lists_are_behind_and_none_while_somebody_waits() {
        let waiting = Arc::new(watch::Sender::new(0));
        let pace = Pace::new(Arc::clone(&waiting));
        let mut turns = pace.turns();
        worked(&turns);
        assert_eq!(turns.pause_due(), None, "there is no rush");
        pace.rush(1.0);
        let near = turns.pause_due().unwrap();
        assert!((TURN.mul_f32(PAUSE)..=TURN_MAX.mul_f32(PAUSE)).contains(&near), "{near:?}");
        pace.rush(0.25);
        assert!(turns.pause_due().unwrap() <= TURN_MAX.mul_f32(PAUSE / 4.0));
        pace.rush(0.0);
        assert_eq!(turns.pause_due(), None, "far behind");
        pace.rush(1.0);
        waiting.send_replace(1);
        assert_eq!(turns.pause_due(), None, "somebody waits");
        waiting.send_replace(0);
        assert!(turns.pause_due().is_some() && turns.go_on());
        turns.begin();
        // Right after a pause none is due; a clock that was slow in between says nothing.
        assert!(turns.begun.elapsed() >= TURN || turns.pause_due().is_none());
        pace.no_rush();
        worked(&turns);
        assert_eq!(turns.pause_due(), None);
    }
}
