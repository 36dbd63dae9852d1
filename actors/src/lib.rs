//! The shell of Tornello: it gives the pure core mailboxes, a journal, a clock and neighbours. Start reading at [`node`], which puts everything together.
//!
//! The cast:
//!
//! - one [`owner`] for each stream in use, found and rebuilt by the [`registry`];
//! - the journal's one [`journal::writer`], on its own thread;
//! - the [`board`] that the writer keeps, from which everybody reads counters, and the [`views`] that follow the journal;
//! - [`sensors`] that turn readings into commands, and [`buildings`] that know how many are inside;
//! - flows over several streams: [`moves`] lead tickets from one slot to another, [`payments`] make sales of money, [`quotes`] lead a group from its quote to its
//!   tickets, [`accounts`] are charged for what is sold on them, [`days`] close and reopen all slots of one.

pub mod accounts;
pub mod attended;
pub mod availability;
pub mod beyond;
pub mod board;
pub mod buildings;
pub mod cases;
pub mod clock;
pub mod codes;
pub mod days;
mod deadlines;
pub mod defences;
pub mod digest;
pub mod failure;
pub mod forecaster;
pub mod fraud;
mod gone;
pub mod hex;
pub mod history;
pub mod journal;
pub mod keys;
pub mod limits;
pub mod moves;
pub mod museums;
pub mod nightly;
pub mod node;
pub mod outcomes;
pub mod owner;
mod pauses;
pub mod payments;
pub mod people;
pub mod plans;
pub mod quotes;
pub mod registry;
pub mod rooms;
pub mod roster;
pub mod secret_file;
pub mod sensors;
pub mod signing;
mod sqlite;
pub mod start;
pub mod streams;
pub mod threads;
pub mod tills;
pub mod verify;
pub mod views;
