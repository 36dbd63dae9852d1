//! The core of Tornello: what a museum timeslot is and what it decides.
//!
//! Everything here is synchronous, total and deterministic: no clock, no I/O, no randomness. Whatever comes from outside (the time, ids, prices) is carried
//! inside the command. Start reading at [`slot`], then [`payment`]; `actors` is the shell that gives it a mailbox, a journal and a clock.

pub mod account;
pub mod aggregate;
pub mod attempts;
pub mod attendance;
pub mod calendar;
pub mod case;
pub mod channel;
pub mod envelope;
pub mod fraud_rules;
pub mod grant;
pub mod iban;
pub mod ids;
pub mod institution;
pub mod ledger;
pub mod limit;
pub mod model_registry;
pub mod money;
pub mod museum;
pub mod notice;
pub mod offline;
pub mod order;
pub mod past;
pub mod payment;
pub mod plan;
pub mod planning;
pub mod quote;
pub mod recall;
pub mod record;
pub mod room;
pub mod slot;
pub mod spread;
pub mod tariff;
pub mod text;
pub mod ticket;
pub mod till;
pub mod time;
pub mod voucher;
