//! The page of one group visit, as a clerk would keep it: what options were asked for and which are in force, which payments were begun, what became of it.

use std::collections::{BTreeMap, BTreeSet};

use tornello_engine::ids::{HoldId, PaymentId};
use tornello_engine::quote::{CancelCause, Event, OptionsAsked};
use tornello_engine::record::Record;
use tornello_engine::time::Timestamp;

use crate::rule;

/// What a visit is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Draft,
    Sent,
    Accepted,
    Paid,
    Ticketed,
    Over,
}

/// The page of one visit.
pub struct Group {
    pub state: State,
    pub revision: u32,
    attempts: BTreeMap<u32, OptionsAsked>,
    in_force: Option<u32>,
    pub payments: BTreeSet<PaymentId>,
    /// By which payment it was paid, or without one.
    pub paid: Option<Option<PaymentId>>,
    pub sales: Vec<HoldId>,
    /// Whether it is called off by the museum, and what that asks for is not done yet.
    pub unwinds: bool,
    /// Whether it is called off by the group: the museum may say that it was its own doing.
    by_group: bool,
    records: u64,
    at: Timestamp,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            state: State::Draft,
            revision: 1,
            attempts: BTreeMap::new(),
            in_force: None,
            payments: BTreeSet::new(),
            paid: None,
            sales: Vec::new(),
            unwinds: false,
            by_group: false,
            records: 0,
            at: Timestamp::MIN,
        }
    }
}

impl Group {
    pub fn take(&mut self, record: &Record<Event>) -> Result<(), String> {
        self.records += 1;
        rule(record.seq == self.records && record.at >= self.at, "records of a quote are out of order (QU-7)")?;
        self.at = record.at;
        for event in &record.events {
            self.happen(event).map_err(|wrong| format!("{wrong}: {event:?}, {:?}", self.state))?;
        }
        Ok(())
    }

    fn happen(&mut self, event: &Event) -> Result<(), String> {
        let is_open = !matches!(self.state, State::Paid | State::Ticketed | State::Over);
        match event {
            Event::Drafted(_) => rule(self.records == 1, "a quote is drafted twice"),
            Event::OptionsAsked(asked) => {
                rule(is_open, "options for what is over, or paid")?;
                self.attempts.insert(asked.attempt, asked.clone());
                Ok(())
            }
            Event::Optioned(optioned) => {
                rule(is_open, "options for what is over, or paid")?;
                self.revision = self.attempts.get(&optioned.attempt).ok_or("options that nobody asked for")?.revision;
                (self.in_force, self.state) = (Some(optioned.attempt), State::Sent);
                Ok(())
            }
            Event::Accepted(accepted) => {
                rule(self.state == State::Sent && accepted.revision == self.revision, "something is accepted that is not in force (QU-5)")?;
                self.state = State::Accepted;
                Ok(())
            }
            Event::SettlementRefused(_) | Event::Reopened(_) => {
                rule(self.state == State::Accepted, "what was not accepted is taken back")?;
                self.state = State::Sent;
                Ok(())
            }
            Event::PaymentAttached(attached) => {
                rule(self.state == State::Accepted, "a payment for what is not accepted")?;
                self.payments.insert(attached.payment);
                Ok(())
            }
            Event::PaymentDetached(detached) => {
                rule(self.payments.contains(&detached.payment), "a payment of nobody is over")?;
                if self.state == State::Accepted {
                    self.state = State::Sent;
                }
                Ok(())
            }
            Event::Paid(paid) => {
                rule(self.paid.is_none(), "a quote is paid twice (QU-3)")?;
                rule(paid.payment.is_none_or(|payment| self.payments.contains(&payment)), "a quote is paid by a payment of others")?;
                (self.paid, self.state) = (Some(paid.payment), State::Paid);
                Ok(())
            }
            Event::Ticketed(ticketed) => {
                rule(self.state == State::Paid && !ticketed.sales.is_empty(), "tickets for what is not paid (QU-3)")?;
                (self.sales, self.state) = (ticketed.sales.clone(), State::Ticketed);
                Ok(())
            }
            Event::Lapsed(_) | Event::Refused(_) => {
                rule(is_open, "what is paid, or over, ends")?;
                self.state = State::Over;
                Ok(())
            }
            Event::Cancelled(_) => {
                rule(!matches!(self.state, State::Ticketed | State::Over), "what has tickets, or is over, ends")?;
                self.state = State::Over;
                Ok(())
            }
            Event::CalledOff(called) => {
                let by_museum = called.cause == CancelCause::Museum;
                rule(self.state == State::Ticketed || (self.by_group && by_museum), "what has no tickets is called off, or twice")?;
                (self.state, self.unwinds, self.by_group) = (State::Over, by_museum, !by_museum);
                Ok(())
            }
            Event::Unwound(_) => rule(std::mem::take(&mut self.unwinds), "what is not called off is unwound, or twice"),
            Event::Revised(_) | Event::OptionsRefused(_) | Event::OptionsReleased(_) | Event::Confirmed(_) | Event::Reminded(_) => Ok(()),
        }
    }

    /// Until when an option is to be kept, by the last attempt that has it.
    pub fn keeps_until(&self, hold: HoldId) -> Option<Timestamp> {
        self.attempts.values().rev().find(|asked| asked.holds.contains(&hold)).map(|asked| asked.until)
    }

    /// The options that it may have when nobody has anything to do.
    pub fn options(&self) -> &[HoldId] {
        let waits = matches!(self.state, State::Sent | State::Accepted);
        self.in_force.filter(|_| waits).and_then(|attempt| self.attempts.get(&attempt)).map_or(&[], |asked| &asked.holds)
    }
}
