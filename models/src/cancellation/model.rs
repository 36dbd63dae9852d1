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
use crate::fraud::rows::Rows;
use crate::logistic::{Logistic, log_odds, probability};

/// The share of training, newest, on which probabilities are calibrated.
const CALIBRATION_SHARE: f64 = 0.15;
/// Fewer bookings than this are too few to fit on.
pub const BOOKINGS_MIN: usize = 500;

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
        let logistic = Logistic::fit(&encoding.rows(examples)?, lost, PENALTY)?;
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

/// The share of the trees, in tenths, with which the blend's Brier score is best; the regression alone on a tie.
fn best_share(logistic: &[f64], boosted: &[f64], lost: &[bool]) -> f64 {
    let tried = (0..=10).map(|tenth| {
        let share = f64::from(tenth) / 10.0;
        let blend: Vec<f64> = logistic.iter().zip(boosted).map(|(l, b)| (1.0 - share) * l + share * b).collect();
        (share, brier(&outcomes(&blend, lost, None)))
    });
    tried.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0.0, |best| best.0)
}
