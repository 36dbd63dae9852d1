//! What a quote offers, and with which options: it is drafted and revised, and sent with places of its own and the deadlines that run from then on.

use super::event::{About, Conditions, Drafted, Event, OptionsAsked, Revised};
use super::pricing::{self, Asked, Offer};
use super::{PAYMENT_GRACE_S, Quote, Refusal, Rules, Stage};
use crate::ids::{Code, HoldId};
use crate::time::{DAY_S, Timestamp};

impl Quote {
    pub(super) fn draft(&self, about: &About, asked: &Asked, rules: &Rules) -> Result<Event, Refusal> {
        if self.about.is_some() {
            return Err(Refusal::AlreadyDrafted);
        }
        Ok(Event::Drafted(Drafted { about: about.clone(), offer: priced(about, asked, rules)? }))
    }

    pub(super) fn revise(&self, now: Timestamp, owner: Option<Code>, asked: &Asked, rules: &Rules, holds: &[HoldId]) -> Result<Event, Refusal> {
        let about = self.owned(owner)?;
        match self.stage {
            Stage::Draft | Stage::Sent | Stage::Accepted { .. } => self.is_still()?,
            _ => return Err(self.wrong_state()),
        }
        if self.payment_open {
            return Err(Refusal::PaymentUnderWay);
        }
        let offer = priced(about, asked, rules)?;
        if self.stage == Stage::Draft {
            return Ok(Event::Revised(Revised { offer }));
        }
        self.ask_options(now, about, self.revision + 1, &offer, rules, holds)
    }

    /// The option of each part: that in force where the part stays in its slot, else one of those that are new.
    fn options_for(&self, offer: &Offer, new: &[HoldId]) -> Vec<HoldId> {
        let kept = |slot| self.options_in_force()?.holds.iter().copied().find(|hold| hold.slot() == slot);
        offer.parts.iter().zip(new).map(|(part, new)| kept(part.slot).unwrap_or(*new)).collect()
    }

    pub(super) fn send(&self, now: Timestamp, owner: Option<Code>, rules: &Rules, holds: &[HoldId]) -> Result<Event, Refusal> {
        let about = self.owned(owner)?;
        let Some(offer) = self.offer.as_ref().filter(|_| self.stage == Stage::Draft) else { return Err(self.wrong_state()) };
        self.is_still()?;
        self.ask_options(now, about, self.revision, offer, rules, holds)
    }

    /// The deadlines of what is sent now, and how long its options have to live.
    fn ask_options(&self, now: Timestamp, about: &About, revision: u32, offer: &Offer, rules: &Rules, holds: &[HoldId]) -> Result<Event, Refusal> {
        let known = |hold: &HoldId| self.options.values().any(|options| options.asked.holds.contains(hold));
        let twice = |i: usize, hold: &HoldId| holds[..i].contains(hold);
        let in_place = offer.parts.iter().zip(holds).all(|(part, hold)| part.slot == hold.slot());
        if holds.len() != offer.parts.len() || !in_place || holds.iter().enumerate().any(|(i, hold)| twice(i, hold) || known(hold)) {
            return Err(Refusal::BadOptions);
        }
        let policy = &rules.policy;
        let starts_at = offer.starts_at().ok_or(Refusal::BadSlots)?;
        let closes_at = rules.closes_at.min(starts_at);
        let pay_by = if offer.total_cents.is_zero() { closes_at } else { pricing::pay_by(policy, rules.patron, starts_at).min(closes_at) };
        let desk_by = policy.desk_for.contains(&about.kind).then_some(closes_at);
        let last = desk_by.unwrap_or(pay_by).max(pay_by);
        if last <= now {
            return Err(Refusal::TooLate { pay_by });
        }
        let conditions = Conditions {
            policy: rules.revision,
            sign_by: pricing::sign_by(policy, rules.patron, now).min(last),
            pay_by,
            desk_by,
            remind_s: u32::from(policy.reminder_days) * DAY_S as u32,
            confirmation: policy.confirmation,
        };
        let (attempt, until) = (self.attempts + 1, last.plus_seconds(PAYMENT_GRACE_S));
        let holds = self.options_for(offer, holds);
        Ok(Event::OptionsAsked(OptionsAsked { attempt, revision, offer: offer.clone(), holds, until, conditions }))
    }
}

/// What was asked, priced, if it is all of the museum.
fn priced(about: &About, asked: &Asked, rules: &Rules) -> Result<Offer, Refusal> {
    if asked.slots.iter().any(|slot| slot.museum() != about.museum) {
        return Err(Refusal::BadSlots);
    }
    pricing::price(&rules.policy, about.kind, asked, rules.fee_free_left, rules.party_max)
}
