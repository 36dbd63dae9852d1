//! How long a model takes for a score, and whether what it says is a number. One that takes too long or says none is not put to work, and one that turns out to is set
//! aside: selling never waits for a model, nor depends on one that is broken.
//!
//! What counts is the quickest of some scores, because a score is also slow when others take the processor away, which is no fault of the model's. A single score that is no
//! number is forgiven too: whoever finds out how to bring that about must not be able to switch the model off.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tornello_models::fraud::scorer::{Scored, Scorer};
use tornello_models::fraud::signals::N;

use crate::clock::Stopwatch;

/// Of so many scores the quickest counts.
const LOOKS: u32 = 64;

/// At work one of so many is timed.
const TIMED_EVERY: u32 = 8;

/// What was seen of some scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Looked {
    /// How long the quickest took.
    pub(super) quickest: Duration,
    /// How many were numbers.
    pub(super) numbers: u32,
}

/// Why a model is not to be at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// It takes too long.
    #[error("a score takes {} microseconds, and {} is the most that is waited for", .took.as_micros(), .most.as_micros())]
    Slow {
        /// So long.
        took: Duration,
        /// So long it may.
        most: Duration,
    },
    /// What it says is no number.
    #[error("what it says is no number")]
    NoNumber,
}

impl Looked {
    /// What is wrong with a model at work, of which no score may take longer than `most`: it says nothing but what is no number, or takes too long.
    pub(super) const fn fault(self, most: Duration) -> Option<Fault> {
        if self.numbers == 0 {
            Some(Fault::NoNumber)
        } else if self.quickest.as_nanos() > most.as_nanos() {
            Some(Fault::Slow { took: self.quickest, most })
        } else {
            None
        }
    }

    /// As [`Looked::fault`], of a model that is to be put to work: of sound rows it says a number each time.
    pub(super) const fn fault_before(self, most: Duration) -> Option<Fault> {
        if self.numbers < LOOKS { Some(Fault::NoNumber) } else { self.fault(most) }
    }
}

/// What a model answers; nothing if it panics. A model that was checked does not: this is for the one that was not checked for what it does.
pub(super) fn answer(score: impl FnOnce() -> Scored) -> Option<Scored> {
    catch_unwind(AssertUnwindSafe(score)).ok()
}

/// Whether what was answered is a number.
pub(super) fn is_number(said: Option<&Scored>) -> bool {
    said.is_some_and(|said| said.score.is_finite() && said.percentile.is_finite() && said.probability.is_none_or(f64::is_finite))
}

/// A look at some scores of made-up rows, quiet and busy ones.
pub(super) fn look(scorer: &Scorer) -> Looked {
    let mut looked = Looked { quickest: Duration::MAX, numbers: 0 };
    for look in 0..LOOKS {
        let watch = Stopwatch::start();
        let said = answer(|| scorer.score((0..N as u32).map(|column| f64::from((look * 7 + column * 5) % 13) * f64::from(look % 4))));
        looked.quickest = looked.quickest.min(watch.elapsed());
        looked.numbers += u32::from(is_number(std::hint::black_box(said).as_ref()));
    }
    looked
}

/// The scores of a model at work, as they come.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The id of that model.
    of: Option<String>,
    looks: u32,
    numbers: u32,
    quickest: Option<Duration>,
}

impl Pace {
    /// Whether the next score of a model is to be timed.
    pub(super) fn is_timed(&self, id: &str) -> bool {
        self.of.as_deref() != Some(id) || self.looks.is_multiple_of(TIMED_EVERY)
    }

    /// Takes in how long a score took, if it was timed, and whether it is a number; answers with what was seen of the last scores each time that there are enough of them to tell.
    pub(super) fn take(&mut self, id: &str, took: Option<Duration>, is_number: bool) -> Option<Looked> {
        if self.of.as_deref() != Some(id) {
            *self = Self { of: Some(id.to_owned()), ..Self::default() };
        }
        self.looks += 1;
        self.numbers += u32::from(is_number);
        self.quickest = self.quickest.into_iter().chain(took).min();
        if self.looks < LOOKS {
            return None;
        }
        let quickest = self.quickest.unwrap_or_default();
        let looked = Looked { quickest, numbers: self.numbers };
        (self.looks, self.numbers, self.quickest) = (0, 0, None);
        Some(looked)
    }
}

#[cfg(test)]
mod tests {
    use tornello_models::fraud::explain::Reason;

    use super::*;

    fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    #[test]
    fn the_quickest_of_the_last_scores_of_one_model_is_told() {
        let mut pace = Pace::default();
        for look in 1..LOOKS {
            assert_eq!(pace.take("a", Some(us(500 + u64::from(look))), look > 1), None);
        }
        assert_eq!(pace.take("a", Some(us(900)), true), Some(Looked { quickest: us(501), numbers: LOOKS - 1 }));
        assert_eq!(pace.take("a", Some(us(100)), true), None);
        // Another model begins anew.
        for _ in 1..LOOKS {
            assert_eq!(pace.take("b", Some(us(700)), false), None);
        }
        assert_eq!(pace.take("b", None, false), Some(Looked { quickest: us(700), numbers: 0 }));
        assert_eq!(pace.take("b", Some(us(700)), true), None, "and so does the next look");
    }

    #[test]
    fn some_scores_of_each_look_are_timed_and_the_first_of_a_model_always() {
        let mut pace = Pace::default();
        for id in ["a", "b"] {
            for look in 0..2 * LOOKS {
                let timed = pace.is_timed(id);
                assert_eq!(timed, look % TIMED_EVERY == 0, "{id} {look}");
                let looked = pace.take(id, timed.then(|| us(300)), true);
                assert_eq!(looked, (look % LOOKS == LOOKS - 1).then_some(Looked { quickest: us(300), numbers: LOOKS }));
            }
            pace.take(id, None, true);
        }
    }

    #[test]
    fn a_model_is_at_fault_that_is_always_too_slow_or_never_says_a_number() {
        let looked = |quickest, numbers| Looked { quickest: us(quickest), numbers };
        let slow = Fault::Slow { took: us(251), most: us(250) };
        for (looked, at_work, before) in [
            (looked(250, LOOKS), None, None),
            (looked(251, LOOKS), Some(slow), Some(slow)),
            (looked(9, 1), None, Some(Fault::NoNumber)),
            (looked(251, 1), Some(slow), Some(Fault::NoNumber)),
            (looked(9, 0), Some(Fault::NoNumber), Some(Fault::NoNumber)),
        ] {
            assert_eq!((looked.fault(us(250)), looked.fault_before(us(250))), (at_work, before), "{looked:?}");
        }
        assert_eq!(slow.to_string(), "a score takes 251 microseconds, and 250 is the most that is waited for");
    }

    #[test]
    fn a_model_that_panics_answers_nothing() {
        let sound = Scored { score: 0.5, percentile: 0.5, probability: None, reasons: [Reason::default(); 3], suspect_inputs: 0 };
        let no_number = Scored { score: f64::NAN, ..sound };
        assert_eq!(answer(|| sound), Some(sound));
        assert_eq!(answer(|| panic!("as a test wants it")), None);
        let no_chance = Scored { probability: Some(f64::INFINITY), ..sound };
        let said = [Some(sound), None, Some(no_number), Some(no_chance), Some(Scored { percentile: f32::NAN, ..sound })];
        assert_eq!(said.map(|said| is_number(said.as_ref())), [true, false, false, false, false]);
    }
}
