//! Fraud: from what parties do to the features of a sale, its score, what that means and why. Pure and deterministic: the same events in the same order give the
//! same features, and the same features the same score.
//!
//! [`signals`] makes the features, and [`rules`] decides over them what nobody has to learn. [`scorer`] is what acts live. Without labels one of three scorers
//! acts, [`covariance`] (with [`relations`]), [`isolation`] or [`tails`], chosen by [`select`], or [`behaviours`] where it is known which features say the same; with labels [`trees`], boosting or a regression ([`supervised`]). [`preparation`] keeps
//! out what cannot be, [`explain`] gives reasons, [`calibration`] probabilities, [`budget`] the line above which somebody looks; [`drift`] says, by [`psi`],
//! whether what is fed still looks like what there was, and [`promotion`] weighs whether a challenger may act. [`decay`] counts and forgets.

pub mod behaviours;
pub mod budget;
pub mod calibration;
pub mod chance;
pub mod covariance;
pub mod decay;
pub mod drift;
pub mod explain;
pub mod isolation;
pub mod preparation;
pub mod promotion;
pub mod psi;
pub mod relations;
pub mod rows;
pub mod rules;
pub mod scorer;
pub mod select;
pub mod signals;
pub mod supervised;
pub mod tails;
pub mod trees;
