//! The cancellation model: a logistic regression on one-hot columns and boosted trees, each calibrated on the newest bookings of training, and a blend of the two
//! where a window inside training says that it is better than either.
//!
//! Time is the order of the examples. Three pieces of training are used in turn: the members learn on the oldest, are calibrated on the next, and the newest
//! says how much of each is best. Then the members learn again on all but the newest bookings, on which they are calibrated. The bookings that are to be
//! predicted are never seen.

use serde::{Deserialize, Serialize};

use super::encoding::{Encoding, Example};
use crate::ModelError;
use crate::boost::{self, Loss, Recipe, Table};
use crate::discrimination::{brier, outcomes};
use crate::ensemble::Ensemble;
use crate::fraud::calibration::Isotonic;
use crate::logistic::{Logistic, log_odds, probability};

/// The share of training, newest, on which probabilities are calibrated.
const CALIBRATION_SHARE: f64 = 0.15;
/// Fewer bookings than this are too few to fit on.
pub const BOOKINGS_MIN: usize = 500;

/// The penalty of the regression: the columns are many and some levels rare.
const PENALTY: f64 = 10.0;

/// Few leaves, many rounds, leaves with at least some twenty bookings' worth of doubt: the next season is never quite as the last.
fn recipe(seed: u64) -> Recipe {
    Recipe { rounds: 200, eta: 0.05, max_leaves: 12, min_child_weight: 20.0, l2: 10.0, seed, ..Recipe::new(Loss::Log) }
}

/// Which of the members speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Member {
    /// The logistic regression, calibrated.
    Logistic,
    /// The boosted trees, calibrated.
    Boosted,
    /// Both, with the shares chosen in training.
    Blend,
}

/// A fitted model. Its serde form is the body of an artifact of kind `cancellation`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    members: Members,
    logistic_curve: Isotonic,
    boosted_curve: Isotonic,
    blend_curve: Isotonic,
    /// The part of the trees in the blend, 0 to 1.
    boosted_share: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Members {
    encoding: Encoding,
    logistic: Logistic,
    boosted: Ensemble,
}

impl Model {
    /// Fits on bookings in the order of their arrival; `lost` says which were cancelled or did not show. `progress` hears of four stages.
    pub fn fit(examples: &[Example], lost: &[bool], seed: u64, progress: &mut dyn FnMut(u32)) -> Result<Self, ModelError> {
        if examples.len() != lost.len() || examples.len() < BOOKINGS_MIN {
            return Err(ModelError::BadShape { what: "at least 500 bookings with a fate each" });
        }
        let count = examples.len();
        let piece = (count as f64 * CALIBRATION_SHARE) as usize;
        let (calibrate, judge) = (count - 2 * piece, count - piece);
        let early = Members::fit(&examples[..calibrate], &lost[..calibrate], seed)?;
        progress(1);
        let logistic = Isotonic::fit(&early.logistic_odds(&examples[calibrate..judge]), &lost[calibrate..judge])?;
        let boosted = Isotonic::fit(&early.boosted_odds(&examples[calibrate..judge])?, &lost[calibrate..judge])?;
        let by_logistic: Vec<f64> = early.logistic_odds(&examples[judge..]).iter().map(|&odds| logistic.probability(odds)).collect();
        let by_boosted: Vec<f64> = early.boosted_odds(&examples[judge..])?.iter().map(|&odds| boosted.probability(odds)).collect();
        let boosted_share = best_share(&by_logistic, &by_boosted, &lost[judge..]);
        progress(2);
        let members = Members::fit(&examples[..judge], &lost[..judge], seed)?;
        progress(3);
        let newest = (&examples[judge..], &lost[judge..]);
        let (logistic_odds, boosted_odds) = (members.logistic_odds(newest.0), members.boosted_odds(newest.0)?);
        let (logistic_curve, boosted_curve) = (Isotonic::fit(&logistic_odds, newest.1)?, Isotonic::fit(&boosted_odds, newest.1)?);
        let blend: Vec<f64> = logistic_odds.iter().zip(&boosted_odds).map(|(l, b)| (1.0 - boosted_share) * l + boosted_share * b).collect();
        let blend_curve = Isotonic::fit(&blend, newest.1)?;
        progress(4);
        Ok(Self { members, logistic_curve, boosted_curve, blend_curve, boosted_share })
    }

    /// The probability that a booking is lost.
    pub fn probability(&self, example: &Example) -> Result<f64, ModelError> {
        self.of(Member::Blend, example)
    }

    /// What one of the members says alone, for comparison.
    pub fn of(&self, member: Member, example: &Example) -> Result<f64, ModelError> {
        self.members.encoding.check(example)?;
        let logistic = || self.members.logistic_odds(std::slice::from_ref(example))[0];
        let boosted = || Ok::<f64, ModelError>(self.members.boosted_odds(std::slice::from_ref(example))?[0]);
        Ok(match member {
            Member::Logistic => self.logistic_curve.probability(logistic()),
            Member::Boosted => self.boosted_curve.probability(boosted()?),
            Member::Blend => self.blend_curve.probability((1.0 - self.boosted_share) * logistic() + self.boosted_share * boosted()?),
        })
    }

    /// What the logistic regression says uncalibrated: a floor.
    pub fn uncalibrated(&self, example: &Example) -> Result<f64, ModelError> {
        self.members.encoding.check(example)?;
        Ok(probability(self.members.logistic_odds(std::slice::from_ref(example))[0]))
    }

    /// The part of the trees in the blend, 0 to 1.
    #[must_use]
    pub const fn boosted_share(&self) -> f64 {
        self.boosted_share
    }
}

impl Members {
    fn fit(examples: &[Example], lost: &[bool], seed: u64) -> Result<Self, ModelError> {
        let encoding = Encoding::fit(examples)?;
        let logistic = Logistic::fit_sparse(&encoding.rows(examples)?, lost, PENALTY)?;
        let (words, numbers) = encoding.shape();
        let mut values = Vec::with_capacity(examples.len() * (words + numbers));
        examples.iter().for_each(|example| encoding.codes(example, &mut values));
        let table = Table {
            columns: (0..words + numbers).map(|column| format!("c{column}")).collect(),
            categorical: (0..words).collect(),
            values,
            targets: lost.iter().map(|&lost| f32::from(u8::from(lost))).collect(),
            weights: Vec::new(),
        };
        let boosted = Ensemble::new(boost::fit(&table.prepare()?, &recipe(seed), &mut |_| {})?)?;
        Ok(Self { encoding, logistic, boosted })
    }

    fn logistic_odds(&self, examples: &[Example]) -> Vec<f64> {
        let mut row = Vec::new();
        let odds = |example| {
            row.clear();
            self.encoding.one_hot(example, &mut row);
            self.logistic.log_odds(&row)
        };
        examples.iter().map(odds).collect()
    }

    fn boosted_odds(&self, examples: &[Example]) -> Result<Vec<f64>, ModelError> {
        let mut row = Vec::new();
        let odds = |example| {
            row.clear();
            self.encoding.codes(example, &mut row);
            self.boosted.predict_narrow(&row).map(log_odds)
        };
        examples.iter().map(odds).collect()
    }
}

/// Whether bookings in the order of their arrival can be learned from: each piece that a fit looks at alone must have both fates.
#[must_use]
pub fn teaches(lost: &[bool]) -> bool {
    let both = |lost: &[bool]| lost.iter().any(|lost| *lost) && lost.iter().any(|lost| !lost);
    let (count, piece) = (lost.len(), lost.len() / 7);
    both(&lost[count - piece..]) && both(&lost[count - 2 * piece..count - piece])
}

/// The share of the trees, in tenths, with which the blend's Brier score is best; the regression alone on a tie.
fn best_share(logistic: &[f64], boosted: &[f64], lost: &[bool]) -> f64 {
    let tried = (0..=10).map(|tenth| {
        let share = f64::from(tenth) / 10.0;
        let blend: Vec<f64> = logistic.iter().zip(boosted).map(|(l, b)| (1.0 - share) * l + share * b).collect();
        (share, brier(&outcomes(&blend, lost, None)))
    });
    tried.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0.0, |best| best.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fraud::chance::Chance;

    /// Bookings of which those through an agency and those made long before are lost more often, and the truth of each.
    fn bookings(seed: u64, count: usize) -> (Vec<Example>, Vec<f64>, Vec<bool>) {
        let mut chance = Chance::new(seed);
        let (mut examples, mut truths, mut lost) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..count {
            let (agency, lead) = (chance.unit() < 0.4, 200.0 * chance.unit());
            let truth = 0.05 + if agency { 0.25 } else { 0.0 } + if lead > 100.0 { 0.3 } else { 0.0 };
            let words = vec![if agency { "agency" } else { "direct" }.to_owned(), format!("room {}", chance.below(5))];
            examples.push(Example { words, numbers: vec![lead, chance.normal()] });
            truths.push(truth);
            lost.push(chance.unit() < truth);
        }
        (examples, truths, lost)
    }

    fn fitted() -> Model {
        let (examples, _, lost) = bookings(1, 6_000);
        let mut stages = Vec::new();
        let model = Model::fit(&examples, &lost, 3, &mut |stage| stages.push(stage)).unwrap();
        assert_eq!(stages, [1, 2, 3, 4]);
        model
    }

    #[test]
    fn probabilities_are_those_of_the_bookings() {
        let model = fitted();
        let (examples, truths, _) = bookings(2, 2_000);
        let said: Vec<f64> = examples.iter().map(|example| model.probability(example).unwrap()).collect();
        let error = said.iter().zip(&truths).map(|(p, truth)| (p - truth).abs()).sum::<f64>() / 2_000.0;
        assert!(error < 0.04, "{error}");
        let (sum, expected) = (said.iter().sum::<f64>(), truths.iter().sum::<f64>());
        assert!((sum / expected - 1.0).abs() < 0.08, "{sum} for {expected}");
    }

    #[test]
    fn the_same_bookings_are_the_same_model_and_it_survives_its_bytes() {
        let (one, other) = (fitted(), fitted());
        let bytes = postcard::to_allocvec(&one).unwrap();
        assert_eq!(bytes, postcard::to_allocvec(&other).unwrap());
        let loaded: Model = postcard::from_bytes(&bytes).unwrap();
        for example in bookings(4, 50).0 {
            assert_eq!(loaded.probability(&example), one.probability(&example));
        }
    }

    #[test]
    fn strange_bookings_are_answered_or_refused_and_few_are_not_enough() {
        let model = fitted();
        for (word, number) in [("never seen", f64::NAN), ("", f64::INFINITY), ("agency", -1e300), ("direct", f64::MAX)] {
            let p = model.probability(&Example { words: vec![word.to_owned(), String::new()], numbers: vec![number, number] }).unwrap();
            assert!((0.0..=1.0).contains(&p), "{word} {number}: {p}");
        }
        assert_eq!(model.probability(&Example::default()), Err(ModelError::OtherFeatures));
        let (examples, _, lost) = bookings(1, BOOKINGS_MIN - 1);
        assert!(Model::fit(&examples, &lost, 3, &mut |_| {}).is_err());
        let (examples, _, _) = bookings(1, 1_000);
        assert!(Model::fit(&examples, &[false; 1_000], 3, &mut |_| {}).is_err(), "nothing was ever lost: there is nothing to learn");
    }
}
