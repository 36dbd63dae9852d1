//! Places that are held: until when, for what and whom they are kept, and how that ends without a sale.

use tornello_engine::channel::Channel;
use tornello_engine::envelope::Digest;
use tornello_engine::ids::{HoldId, KeyId};
use tornello_engine::slot::{Amended, Expired, Extended, Held, Keeper, Line, Prolonged, Released};
use tornello_engine::time::Timestamp;

use super::super::rule;
use super::{Asked, Fate, Hold, Naive, Turn, people};

impl Naive {
    pub(super) fn hold(&mut self, at: Timestamp, held: &Held, (by, named): (KeyId, Option<Digest>), asked: &Asked) -> Result<(), String> {
        let policy = self.opening.policy;
        self.on_sale(at, held.channel)?;
        self.has_room(at, held.hold, held.channel, &held.lines)?;
        self.within_limits(&asked.buyers, held.channel, people(&held.lines), true)?;
        self.has_let_none_go(at, &asked.buyers, held.channel)?;
        let expires_at = match asked.until {
            Some(until) => self.kept_until(at, held.channel, until),
            None => at.plus_seconds(policy.hold_ttl_s.into()).min(self.sale_end(held.channel)),
        };
        rule(held.expires_at == expires_at && at < expires_at, "a hold ends at another time than promised")?;
        self.holds.insert(held.hold, Hold::new((by, named), held.channel, &held.lines, (at, expires_at)));
        Ok(())
    }

    pub(super) fn prolong(&mut self, at: Timestamp, prolonged: &Prolonged, named: Option<Digest>, asked: &Asked) -> Result<(), String> {
        let (until, cause) = asked.until.ok_or("a hold is prolonged until nobody knows when")?;
        rule(cause == prolonged.cause, "a hold is prolonged for something else")?;
        let hold = self.live_hold(at, prolonged.hold)?;
        let expires_at = self.kept_until(hold.held_at, hold.channel, (until, cause)).max(hold.expires_at);
        self.on_sale(at, hold.channel)?;
        let other = hold.paying.filter(|paying| matches!(cause, Keeper::Payment(payment) if payment != *paying));
        rule(other.is_none() || other == asked.over, "a hold is taken from the payment that it is kept for")?;
        rule(prolonged.expires_at == expires_at, "a hold is shortened, or kept longer than it may be")?;
        // What was kept for nobody is of whoever is named with its payment.
        let taken_over = hold.buyer.is_none() && matches!(cause, Keeper::Payment(_));
        if taken_over {
            self.within_limits(&asked.buyers, hold.channel, people(&hold.lines), true)?;
        }
        let hold = self.live_hold_mut(at, prolonged.hold)?;
        if taken_over {
            hold.buyer = named;
        }
        hold.quoted |= matches!(cause, Keeper::Quote(_));
        hold.expires_at = expires_at;
        hold.paying = if let (Keeper::Payment(payment), false) = (cause, hold.quoted) { Some(payment) } else { None };
        Ok(())
    }

    pub(super) fn amend(&mut self, at: Timestamp, amended: &Amended, asked: &Asked) -> Result<(), String> {
        let policy = self.opening.policy;
        // Who waits becomes smaller where it stands, and has no places yet to give back.
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == amended.hold && entry.turn == Turn::Waiting) {
            rule(asked.gives_back && !amended.lines.is_empty(), "somebody who waits is to have something else")?;
            rule(is_fewer(&entry.lines, &amended.lines), "a party that becomes smaller has something that it had not")?;
            entry.lines.clone_from(&amended.lines);
            return Ok(());
        }
        let hold = self.live_hold(at, amended.hold)?;
        let (channel, before, after) = (hold.channel, people(&hold.lines), people(&amended.lines));
        let is_over = asked.gives_back && hold.paying == asked.over;
        rule(hold.paying.is_none() || is_over, "a hold changes while it is paid for")?;
        if asked.gives_back {
            rule(is_fewer(&hold.lines, &amended.lines), "a hold that is made smaller has something that it had not")?;
        } else {
            self.on_sale(at, channel)?;
        }
        rule((1..=u32::from(policy.party_max)).contains(&after), "a party of a size that may not be")?;
        rule(after <= before + self.room(at, channel), "more places are taken than there are (SL-1)")?;
        let owner: Vec<Digest> = hold.buyer.into_iter().collect();
        let is_own = owner.iter().any(|buyer| asked.buyers.contains(buyer));
        self.within_limits(if is_own { &asked.buyers } else { &owner }, channel, after.saturating_sub(before), false)?;
        if after > before {
            self.has_let_none_go(at, &[asked.buyers.as_slice(), owner.as_slice()].concat(), channel)?;
        }
        let lets_go = (after < before && !asked.by_staff).then_some(before.saturating_sub(after));
        self.lets_go(at, amended.hold, channel, lets_go)?;
        self.live_hold_mut(at, amended.hold)?.lines.clone_from(&amended.lines);
        Ok(())
    }

    pub(super) fn extend(&mut self, at: Timestamp, extended: &Extended) -> Result<(), String> {
        let policy = self.opening.policy;
        let end = self.live_hold(at, extended.hold).map(|hold| self.sale_end(hold.channel))?;
        let hold = self.live_hold_mut(at, extended.hold)?;
        rule(!hold.extended, "a hold was prolonged twice")?;
        rule(extended.expires_at == hold.expires_at.plus_seconds(policy.hold_extend_s.into()).min(end), "a hold is prolonged wrongly")?;
        (hold.extended, hold.expires_at) = (true, extended.expires_at);
        Ok(())
    }

    pub(super) fn release(&mut self, at: Timestamp, released: &Released, by_staff: bool) -> Result<(), String> {
        let hold = self.live_hold(at, released.hold)?;
        let (channel, places) = (hold.channel, people(&hold.lines));
        self.lets_go(at, released.hold, channel, (!by_staff).then_some(places))?;
        self.live_hold_mut(at, released.hold)?.fate = Fate::Released;
        Ok(())
    }

    pub(super) fn expire(&mut self, at: Timestamp, expired: &Expired) -> Result<(), String> {
        let hold = self.holds.get(&expired.hold).ok_or("an unknown hold expires")?;
        rule(hold.fate == Fate::Live, "a hold ends twice (SL-2)")?;
        rule(self.ends_at(expired.hold, hold) <= at, "a hold expires before its time")?;
        let (channel, places) = (hold.channel, people(&hold.lines));
        self.lets_go(at, expired.hold, channel, Some(places))?;
        self.holds.get_mut(&expired.hold).ok_or("an unknown hold expires")?.fate = Fate::Expired;
        Ok(())
    }

    /// When a hold ends that is to be kept until then.
    pub fn prolonged(&self, hold: HoldId, until: (Timestamp, Keeper)) -> Option<Timestamp> {
        self.holds.get(&hold).map(|hold| self.kept_until(hold.held_at, hold.channel, until).max(hold.expires_at))
    }

    /// Until when a payment or a quote may keep places that were taken at `held_at`.
    fn kept_until(&self, held_at: Timestamp, channel: Channel, (until, cause): (Timestamp, Keeper)) -> Timestamp {
        let end = until.min(self.sale_end(channel));
        if matches!(cause, Keeper::Payment(_)) { end.min(held_at.plus_seconds(7_200)) } else { end }
    }

    /// Held, not sold and not ended.
    pub fn live(&self) -> impl Iterator<Item = (&HoldId, &Hold)> {
        self.holds.iter().filter(|(_, hold)| hold.fate == Fate::Live)
    }

    pub(super) fn live_hold(&self, at: Timestamp, id: HoldId) -> Result<&Hold, String> {
        let hold = self.holds.get(&id).ok_or("an unknown hold changes")?;
        rule(hold.fate == Fate::Live, "a hold that has ended changes (SL-2)")?;
        rule(at < self.ends_at(id, hold), "a hold is used after its time")?;
        Ok(hold)
    }

    pub(super) fn live_hold_mut(&mut self, at: Timestamp, id: HoldId) -> Result<&mut Hold, String> {
        self.live_hold(at, id)?;
        self.holds.get_mut(&id).ok_or_else(|| "an unknown hold changes".into())
    }

    pub(super) fn is_new(&self, id: HoldId, lines: &[Line]) -> Result<(), String> {
        rule(id.slot() == self.opening.slot, "places of another slot are taken")?;
        let waits = self.entries.iter().any(|entry| entry.id == id);
        rule(!waits && !self.holds.contains_key(&id) && !self.sales.contains_key(&id), "one id stands for two things")?;
        rule((1..=u32::from(self.opening.policy.party_max)).contains(&people(lines)), "a party of a size that may not be")
    }
}

/// Whether the second lines are of the first, at the same prices, for no more people of any.
fn is_fewer(lines: &[Line], fewer: &[Line]) -> bool {
    let of = |line: &Line| lines.iter().any(|before| *before == Line { count: before.count, ..line.clone() } && line.count <= before.count);
    fewer.iter().all(of)
}
