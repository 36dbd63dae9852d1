//! Models that estimate and predict: figures in, figures out. Pure: no clock, no I/O, no randomness but a seed passed in, and nothing else of ours.
//!
//! [`dwell`] estimates how many people are inside from entries alone, [`occupancy`] from counters that miss people; [`presence`] is people around a museum.
//! [`boost`] grows trees; [`demand`] forecasts attendance with them, [`outlook`] from a site's last weeks alone; [`staffing`] says who is needed at work, [`what_if`]
//! what would be under other rules. `datasets` feeds them in replays, `actors` feeds them live, `training` fits and judges them.

pub mod artifact;
pub mod boost;
pub mod cancellation;
pub mod demand;
pub mod discrimination;
pub mod dwell;
pub mod ensemble;
pub mod feature_list;
pub mod fraud;
pub mod logistic;
pub mod occupancy;
pub mod outlook;
pub mod presence;
pub mod quantile;
pub mod ridge;
pub mod score;
pub mod staffing;
pub mod what_if;

use std::fmt;

/// Why a model refuses what it was given. What was refused has changed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelError {
    /// A dwell time of no or negative length, or beyond [`dwell::DWELL_S_MAX`].
    BadDwell {
        /// The seconds that were given.
        dwell_s: i64,
    },
    /// A count for the same instant was already taken: a repeated message must not count twice.
    Repeated {
        /// The instant, in seconds.
        at_s: i64,
    },
    /// A count, or a question, older than the last count taken.
    TimeWentBack {
        /// The last instant taken, in seconds.
        last_s: i64,
        /// The instant that was given, in seconds.
        at_s: i64,
    },
    /// What a model was to learn from or to answer is not of the shape or kind that it needs.
    BadInput {
        /// What is wrong, where.
        problem: String,
    },
    /// The boosting library refused.
    Boosting {
        /// What it said.
        problem: String,
    },
    /// Data of a shape that the model cannot take.
    BadShape {
        /// What would be needed.
        what: &'static str,
    },
    /// A fit that came to nothing.
    Unfit {
        /// Why.
        why: &'static str,
    },
    /// Bytes that are no model, or not the one that was asked for.
    BadArtifact {
        /// What is wrong.
        problem: String,
    },
    /// A model that expects other features, or the same in another order, than it is fed.
    OtherFeatures,
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadDwell { dwell_s } => write!(f, "a dwell time of {dwell_s} s is not between 1 s and {} s", dwell::DWELL_S_MAX),
            Self::Repeated { at_s } => write!(f, "the count of second {at_s} was already taken"),
            Self::TimeWentBack { last_s, at_s } => write!(f, "second {at_s} is before the last count at second {last_s}"),
            Self::BadInput { problem } => f.write_str(problem),
            Self::Boosting { problem } => write!(f, "boosting: {problem}"),
            Self::BadShape { what } => write!(f, "the model needs {what}"),
            Self::Unfit { why } => write!(f, "the model could not be fitted: {why}"),
            Self::BadArtifact { problem } => write!(f, "not a model that can be used: {problem}"),
            Self::OtherFeatures => write!(f, "the model expects other features than it would be fed"),
        }
    }
}

impl std::error::Error for ModelError {}
