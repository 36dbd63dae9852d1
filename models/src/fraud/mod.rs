//! Fraud: what a party's events add up to, what rules make of it, and what models score. Pure and deterministic: the same events in the same order give the same
//! bytes on every machine, so that an assessment can be computed again from the journal.
//!
//! Start at [`signals`]: it turns events into features. [`rules`] decides over features what nobody has to learn.

pub mod decay;
pub mod rules;
pub mod signals;
