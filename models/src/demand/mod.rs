//! Attendance forecasts, per site and day, 1 to 60 days ahead, with bands and reasons.
//!
//! Start here: [`Forecaster::fit`] learns from the [`Site`]s' histories, [`Forecaster::forecast`] answers for one site from its history, calendar and books as known
//! at the origin; this is the contract for those who serve forecasts. A [`Forecaster`] becomes bytes by serde and may be swapped while others read. The rest:
//! [`day`] and [`history`] are what comes in, [`features`] the base table, [`champion`] boosting over it, [`bands`] what makes the bands hold, [`cold_start`] the
//! new and the tiny, [`floors`] what a champion must beat, [`slots`] and [`reconcile`] make parts and totals agree, [`pickup`] reads booking curves, [`months`]
//! forecasts for the budget, [`backtest`] judges on past origins.

pub mod backtest;
pub mod bands;
pub mod champion;
pub mod cold_start;
pub mod day;
pub mod features;
pub mod floors;
pub mod forecaster;
pub mod history;
pub mod months;
pub mod pickup;
pub mod reconcile;
pub mod slots;

pub use bands::Band;
pub use champion::Settings;
pub use day::Day;
pub use features::Theme;
pub use forecaster::{Answered, DayForecast, Forecaster, Quality, Reason, Why};
pub use history::{Booked, Calendar, DayFlags, LEADS, Site};
