//! The data that Tornello ships: one loader per source, files in, plain records out (strings, integers, civil dates), every row checked.
//!
//! [`museums`] is the set of real museums that a fresh installation opens with, [`school_breaks`] the calendars of Italy's schools; [`hotel`] and [`calit2`] are the real
//! bookings and door counts that `tornello replay` plays, turned into visits by [`replay_mapping`] and counted a second time by [`recount`]. [`pedestrians`], [`museum_visits`], [`books`]
//! and [`holidays`] are what forecasts are judged on, [`reservations`] and [`labelled`] what models of cancellation and fraud are; [`simulated_attendance`] draws
//! museums that do not exist. [`rows`] reads tables whose every error names file, line and column. The files are embedded, so that the one
//! binary works anywhere. Provenance and licence of each stand in `README.md`. This crate knows nothing of slots, sales or actors.

pub mod attendance_world;
pub mod books;
pub mod calit2;
pub mod chance;
mod error;
pub mod fraud_world;
pub mod holidays;
pub mod hotel;
pub mod labelled;
pub mod museum_visits;
pub mod museums;
pub mod occupancy_world;
pub mod pedestrians;
pub mod recount;
pub mod replay_mapping;
pub mod reservations;
pub mod rows;
pub mod school_breaks;
pub mod simulated_attendance;

pub use error::LoadError;
