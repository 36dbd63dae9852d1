//! Models that estimate and predict: figures in, figures out. Pure: no clock, no I/O, no randomness but a seed passed in, and nothing else of ours.
//!
//! [`dwell`] estimates how many people are inside from entries alone, [`occupancy`] from counters that miss people; `datasets` feeds them in replays, `actors` live.
//! [`presence`] is people around a museum, [`staffing`] who is needed at work, [`what_if`] what would be under other rules.

pub mod dwell;
pub mod occupancy;
pub mod outlook;
pub mod presence;
pub mod staffing;
pub mod what_if;

use std::fmt;

/// Why a model refuses what it was given. What was refused has changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadDwell { dwell_s } => write!(f, "a dwell time of {dwell_s} s is not between 1 s and {} s", dwell::DWELL_S_MAX),
            Self::Repeated { at_s } => write!(f, "the count of second {at_s} was already taken"),
            Self::TimeWentBack { last_s, at_s } => write!(f, "second {at_s} is before the last count at second {last_s}"),
        }
    }
}

impl std::error::Error for ModelError {}
