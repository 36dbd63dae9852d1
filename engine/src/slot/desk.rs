//! What staff, sensors and the planning change: closing and reopening, by itself or with the whole day (by the plan of then), the live cap that follows
//! from the people inside, what is sold beyond the places.

use super::event::{BeyondSet, Closed, Event, Observed, Opened, QuotasSet, Reopened, Words};
use super::{Opening, Quota, Refusal, Slot};
use crate::channel::Channel;
use crate::grant::{self, Grant};
use crate::ids::Code;
use crate::time::Timestamp;

/// How far a sensor's clock may be ahead, in seconds.
const CLOCK_AHEAD_S: i64 = 60;

impl Slot {
    pub(super) fn set_quotas(&self, quotas: [Quota; Channel::COUNT]) -> Result<Vec<Event>, Refusal> {
        let (reserved, capacity) = (quotas.iter().fold(0_u32, |sum, quota| sum.saturating_add(quota.reserved)), self.places.capacity);
        if reserved > capacity { Err(Refusal::QuotasTooLarge { reserved, capacity }) } else { Ok(vec![Event::QuotasSet(QuotasSet { quotas })]) }
    }

    /// What is sold beyond the places, unless staff set these by hand. Who asks for what stands already is told so.
    pub(super) fn sell_beyond(&self, now: Timestamp, asked: u32, ceiling: Option<u32>, turn_away_ppm: u32) -> Result<Vec<Event>, Refusal> {
        let ended_at = self.opening.end;
        if now >= ended_at {
            return Err(Refusal::SlotOver { ended_at });
        }
        let beyond = self.places.beyond_if(asked, ceiling, now).ok_or(Refusal::PlacesByHand)?;
        if beyond == self.places.beyond() {
            return Err(Refusal::BeyondStands { beyond });
        }
        Ok(vec![Event::BeyondSet(BeyondSet { beyond, turn_away_ppm })])
    }

    pub(super) fn close(&self, reason: Code) -> Result<Vec<Event>, Refusal> {
        Ok(vec![Event::Closed(Closed { reason })])
    }

    pub(super) fn reopen(&self, now: Timestamp) -> Result<Vec<Event>, Refusal> {
        let renewed = if self.places.closed.is_some() { self.renew_offers(now) } else { Vec::new() };
        Ok([Event::Reopened(Reopened {})].into_iter().chain(renewed).collect())
    }

    /// What staff have closed by itself keeps its reason, so that it stays closed when the day takes place after all. One to which nobody has written is closed already, by what the
    /// museum says of its day: now it writes that down.
    pub(super) fn close_with_day(&self, now: Timestamp, reason: Code) -> Result<Vec<Event>, Refusal> {
        match self.places.closed {
            Some(own) if self.opened || own != reason => Err(Refusal::SlotClosed { reason: own }),
            _ if now >= self.opening.end => Err(Refusal::SlotOver { ended_at: self.opening.end }),
            _ => self.close(reason),
        }
    }

    /// A day that is called off for something else as well does not take place: when that is over too, the slot is found by its new reason.
    pub(super) fn reopen_with_day(&self, now: Timestamp, reason: Code, still: Option<Code>) -> Result<Vec<Event>, Refusal> {
        self.reopen_until(self.opening.end, now, reason, still)
    }

    fn reopen_until(&self, ended_at: Timestamp, now: Timestamp, reason: Code, still: Option<Code>) -> Result<Vec<Event>, Refusal> {
        match self.places.closed {
            Some(other) if other != reason => Err(Refusal::SlotClosed { reason: other }),
            _ if now >= ended_at => Err(Refusal::SlotOver { ended_at }),
            Some(_) => still.map_or_else(|| self.reopen(now), |still| self.close(still)),
            None => Err(Refusal::NotClosed),
        }
    }

    /// That its day was called off is written down in every slot of it, and so how each was planned then. It binds nobody: where nobody has anything of a slot, a plan that was set meanwhile
    /// holds for it as for one to which nobody has written.
    pub(super) fn reopen_as_planned(&self, now: Timestamp, reason: Code, opening: &Opening) -> Result<Vec<Event>, Refusal> {
        let is_another = opening.slot == self.opening.slot && opening.revision != self.opening.revision;
        let anew = (self.opened && is_another && self.is_nobodys()).then_some(opening);
        // What would be over by now as it was planned then runs on where it is longer.
        let ended_at = anew.map_or(self.opening.end, |anew| anew.end.max(self.opening.end));
        let reopened = self.reopen_until(ended_at, now, reason, None)?;
        let opened = anew.map(|opening| Event::Opened(Opened { opening: opening.clone() }));
        Ok(opened.into_iter().chain(reopened).collect())
    }

    /// Whether nobody has, or ever bought, anything of it, and its places and quotas are as they were planned.
    fn is_nobodys(&self) -> bool {
        let (places, ledger) = (&self.places, &self.ledger);
        let is_by_hand = places.beyond.is_none() || places.quotas != self.opening.quotas;
        !is_by_hand && places.taken() == 0 && places.conflicts == 0 && ledger.sales.is_empty() && ledger.list.is_empty()
    }

    /// A reading, and what follows for this slot. Readings count in the order in which they were measured, of the same instant the one that comes last; a late
    /// one is refused, never mixed in. The ceiling is today's: a slot may have been opened months ago, under another one. Of the room that is left the slot has
    /// what the museum grants it.
    pub(super) fn observe(
        &self,
        now: Timestamp,
        (source, words): (Code, &Words),
        (inside, sd): (u32, u32),
        measured_at: Timestamp,
        ceiling: Option<u32>,
        grant: Option<Grant>,
    ) -> Result<Vec<Event>, Refusal> {
        if measured_at > now.plus_seconds(CLOCK_AHEAD_S) {
            return Err(Refusal::ReadingInFuture);
        }
        if self.places.live.is_some_and(|live| measured_at < live.measured_at) {
            return Err(Refusal::ReadingOutOfOrder);
        }
        let until = measured_at.plus_seconds(i64::from(self.opening.policy.stale_after_s));
        if until <= now {
            return Err(Refusal::ReadingStale);
        }
        let upper = inside.saturating_add(sd.saturating_mul(2));
        let room = ceiling.and_then(|ceiling| self.live_cap(now, upper, ceiling));
        let sellable = room.map(|places| grant.map_or(places, |grant| places.min(grant.places())));
        let share = grant.map(|grant| grant.share);
        let words = words.clone();
        Ok(vec![Event::Observed(Observed { source, inside, sd, measured_at, ceiling, share, sellable, until, words })])
    }

    /// The most places of this slot that may be taken, given the upper bound of the people inside the building now. Who has a ticket of this slot and is not
    /// in yet will come; so beyond those already let in, only the room that is left may be taken. None when the slot is over, or begins so late that nobody who
    /// is inside now will be.
    fn live_cap(&self, now: Timestamp, upper: u32, ceiling: u32) -> Option<u32> {
        if now >= self.opening.end {
            return None;
        }
        let room = grant::room(ceiling, upper, self.opening.slot.start().micros_since(now), self.opening.policy.dwell_s)?;
        Some(self.places.admitted.saturating_add(room))
    }
}
