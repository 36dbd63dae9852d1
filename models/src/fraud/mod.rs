//! Fraud: from the features of a sale to a score, what it means and why. Pure; the features are made elsewhere and named by a [`FeatureList`].
//!
//! Start at [`scorer`], which is what acts live. Without labels one of three scorers acts, [`covariance`], [`isolation`] or [`tails`], chosen by [`select`]; with
//! labels [`trees`], boosting or a regression. [`preparation`] keeps out what cannot be, [`explain`] gives reasons, [`calibration`] probabilities, [`budget`] the
//! line above which somebody looks; [`psi`] watches for drift and [`promotion`] weighs whether a challenger may act.
//!
//! [`FeatureList`]: crate::feature_list::FeatureList

pub mod budget;
pub mod calibration;
pub mod chance;
pub mod covariance;
pub mod explain;
pub mod isolation;
pub mod preparation;
pub mod promotion;
pub mod psi;
pub mod rows;
pub mod scorer;
pub mod select;
pub mod supervised;
pub mod tails;
pub mod trees;
