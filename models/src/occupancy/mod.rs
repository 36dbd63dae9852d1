//! People inside, minute by minute, from counters that miss people: what came in, what went out, what gates scanned.
//!
//! [`balance`] learns from the last days how the counters of a site disagree (a day must balance), which share of those who enter passes a gate, and how long
//! people stay. [`filter`] holds the estimate of the running day with its uncertainty. [`stay`] is the law of the time between in and out. Nothing here knows what
//! a sensor or a museum is; `actors` feeds it live, `datasets` simulates a site to judge it on.

pub mod balance;
pub mod filter;
pub mod stay;

pub use balance::{Balance, Day};
pub use filter::{Counts, Estimate, Filter, Quality};
pub use stay::Stay;
