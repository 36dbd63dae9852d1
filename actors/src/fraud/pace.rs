//! How long a model takes for a score. One that takes too long is not put to work, and one that turns out to is set aside: selling never waits for a model.
//!
//! What is measured is the quickest of some scores: that others take the processor away meanwhile makes a score slow, and is no fault of the model's.

use std::time::Duration;

use tornello_models::fraud::scorer::Scorer;
use tornello_models::fraud::signals::N;

use crate::clock::Stopwatch;

/// Of so many scores the quickest counts.
const LOOKS: u32 = 64;

/// The quickest of some scores of made-up rows, quiet and busy ones.
pub(super) fn quickest(scorer: &Scorer) -> Duration {
    let one = |look: u32| {
        let watch = Stopwatch::start();
        let scored = scorer.score((0..N as u32).map(|column| f64::from((look * 7 + column * 5) % 13) * f64::from(look % 4)));
        let took = watch.elapsed();
        std::hint::black_box(scored);
        took
    };
    (0..LOOKS).map(one).min().unwrap_or_default()
}

/// The scores of a model at work, as they come.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The id of that model.
    of: Option<String>,
    looks: u32,
    quickest: Option<Duration>,
}

impl Pace {
    /// Takes in how long a score took; answers with the quickest of the last scores each time that there are enough of them to tell.
    pub(super) fn take(&mut self, id: &str, took: Duration) -> Option<Duration> {
        if self.of.as_deref() != Some(id) {
            *self = Self { of: Some(id.to_owned()), ..Self::default() };
        }
        self.looks += 1;
        self.quickest = Some(self.quickest.map_or(took, |quickest| quickest.min(took)));
        if self.looks < LOOKS {
            return None;
        }
        self.looks = 0;
        self.quickest.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickest_of_the_last_scores_of_one_model_is_told() {
        let mut pace = Pace::default();
        let us = Duration::from_micros;
        for look in 1..LOOKS {
            assert_eq!(pace.take("a", us(500 + u64::from(look))), None);
        }
        assert_eq!(pace.take("a", us(900)), Some(us(501)));
        assert_eq!(pace.take("a", us(100)), None);
        // Another model begins anew.
        for _ in 1..LOOKS {
            assert_eq!(pace.take("b", us(700)), None);
        }
        assert_eq!(pace.take("b", us(700)), Some(us(700)));
    }
}
