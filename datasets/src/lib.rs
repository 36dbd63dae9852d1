//! The data that Tornello ships: one loader per source, files in, plain records out (strings, integers, civil dates), every row checked.
//!
//! [`museums`] is the set of real museums that a fresh installation opens with; [`hotel`] and [`calit2`] are the real bookings and door counts that
//! `tornello replay` plays, turned into visits by [`replay_mapping`] and counted a second time by [`recount`]; [`reservations`] and [`labelled`] are what
//! models of cancellation and fraud are fitted on and judged by. The files are embedded, so that the one
//! binary works anywhere. Provenance and licence of each stand in `README.md`. This crate knows nothing of slots, sales or actors.

pub mod calit2;
mod error;
pub mod fraud_world;
pub mod hotel;
pub mod labelled;
pub mod museums;
pub mod recount;
pub mod replay_mapping;
pub mod reservations;
pub mod rows;

pub use error::LoadError;
