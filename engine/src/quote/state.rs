//! What events change in a quote. No rule is here, and nothing that could fail.

use super::event::{Accepted, CancelCause, Event};
use super::{Options, OptionsState, Quote, Stage};
use crate::ids::KeyId;
use crate::record::Record;
use crate::time::Timestamp;

impl Quote {
    pub(super) fn apply_event(&mut self, record: &Record<Event>, event: &Event) {
        match event {
            Event::Drafted(drafted) => {
                self.about = Some(drafted.about.clone());
                self.drafted = Some((record.envelope.as_ref().map_or(KeyId::SYSTEM, |envelope| envelope.who), record.at));
                self.offer = Some(drafted.offer.clone());
                self.become_at(record.at, Stage::Draft);
            }
            Event::Revised(revised) => self.offer = Some(revised.offer.clone()),
            Event::OptionsAsked(asked) => {
                self.attempts = asked.attempt;
                self.options_refused = None;
                self.options.insert(asked.attempt, Options { asked: asked.clone(), state: OptionsState::Taking });
            }
            Event::Optioned(optioned) => self.optioned(optioned.attempt, record.at),
            Event::OptionsRefused(refused) => {
                self.options_refused = Some(refused.clone());
                if let Some(options) = self.options.get_mut(&refused.attempt) {
                    options.state = OptionsState::GivingBack;
                }
            }
            Event::OptionsReleased(released) => drop(self.options.remove(&released.attempt)),
            Event::Accepted(accepted) => {
                self.acceptances = accepted.acceptance;
                self.settlement_refused = None;
                self.accepted = accepted.revision;
                let Accepted { revision, settle, creditor, confirmed, .. } = *accepted;
                self.become_at(record.at, Stage::Accepted { revision, settle, creditor, confirmed });
            }
            Event::Confirmed(_) => {
                if let Stage::Accepted { confirmed, .. } = &mut self.stage {
                    *confirmed = true;
                }
            }
            Event::SettlementRefused(refused) => {
                self.settlement_refused = Some(refused.why);
                self.become_at(record.at, Stage::Sent);
            }
            Event::PaymentAttached(attached) => {
                (self.payment, self.payment_open) = (Some(attached.payment), true);
                self.payments.insert(attached.payment, self.revision);
            }
            Event::PaymentDetached(detached) if self.superseded == Some(detached.payment) => self.superseded = None,
            Event::PaymentDetached(_) => {
                self.payment_open = false;
                if matches!(self.stage, Stage::Accepted { .. }) {
                    self.become_at(record.at, Stage::Sent);
                }
            }
            Event::Reopened(_) => self.become_at(record.at, Stage::Sent),
            Event::Paid(paid) => {
                self.paid = Some(paid.clone());
                self.payments_made += 1;
                self.superseded = self.payment.filter(|payment| self.payment_open && paid.payment != Some(*payment));
                (self.payment, self.payment_open) = (paid.payment.or(self.payment), false);
                self.take_again();
                self.become_at(record.at, Stage::Paid);
            }
            Event::Ticketed(ticketed) => {
                // What was held is sold now, or was gone.
                self.options.retain(|_, options| options.state != OptionsState::Taken);
                self.become_at(record.at, Stage::Ticketed { sales: ticketed.sales.clone(), missing: ticketed.missing.clone() });
            }
            Event::Lapsed(lapsed) => self.end(record.at, Stage::Lapsed { deadline: lapsed.deadline }),
            Event::Refused(_) => self.end(record.at, Stage::Refused),
            Event::Cancelled(cancelled) => self.end(record.at, Stage::Cancelled { cause: cancelled.cause }),
            Event::Reminded(reminded) => drop(self.reminded.insert((self.revision, reminded.deadline))),
            Event::CalledOff(called) => {
                let (cause, unwound) = (called.cause, called.cause != CancelCause::Museum);
                if let Stage::Ticketed { sales, missing } | Stage::CalledOff { sales, missing, .. } = self.stage.clone() {
                    self.become_at(record.at, Stage::CalledOff { cause, sales, missing, unwound });
                }
            }
            Event::Unwound(_) => {
                if let Stage::CalledOff { unwound, .. } = &mut self.stage {
                    *unwound = true;
                }
            }
        }
    }

    fn become_at(&mut self, at: Timestamp, stage: Stage) {
        (self.stage, self.since) = (stage, at);
    }

    fn optioned(&mut self, attempt: u32, at: Timestamp) {
        for (&number, options) in &mut self.options {
            match options.state {
                OptionsState::Taking if number == attempt => {
                    options.state = OptionsState::Taken;
                    self.revision = options.asked.revision;
                    self.offer = Some(options.asked.offer.clone());
                    self.conditions = Some(options.asked.conditions);
                }
                OptionsState::Taken => options.state = OptionsState::GivingBack,
                OptionsState::Taking | OptionsState::GivingBack => {}
            }
        }
        self.become_at(at, Stage::Sent);
    }

    /// A payment arrived after the end: what was not given back yet is what its tickets are made of.
    fn take_again(&mut self) {
        let is_none = !self.options.values().any(|options| options.state == OptionsState::Taken);
        let mut ended = self.options.values_mut().rev().filter(|options| options.asked.revision == self.revision);
        if let Some(options) = ended.next().filter(|_| is_none) {
            options.state = OptionsState::Taken;
        }
    }

    fn end(&mut self, at: Timestamp, stage: Stage) {
        self.options.values_mut().for_each(|options| options.state = OptionsState::GivingBack);
        self.become_at(at, stage);
    }
}
