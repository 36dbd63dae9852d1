//! Rules of reviews: what was sold under suspicion stands, but its tickets let nobody in until somebody has looked, or the time for that is over. The clock is
//! compared at the gate, so an honest visitor is let in without anybody doing anything.

use super::event::{Event, ReviewEnded, ReviewOpened};
use super::verdict::Window;
use super::{Refusal, Slot};
use crate::envelope::Envelope;
use crate::ids::HoldId;
use crate::time::Timestamp;

/// How long before the gate opens for a slot every review of its sales is over, in seconds.
pub const REVIEW_ENDS_BEFORE_S: i64 = 30 * 60;

impl Slot {
    /// The reviews that begin with what is sold: the sale itself was assessed so, or its hold. None where the gate opens too soon.
    pub(super) fn reviewed(&self, now: Timestamp, envelope: &Envelope, events: &[Event]) -> Option<Event> {
        let sold = events.iter().find_map(|event| if let Event::Sold(sold) = event { Some(sold) } else { None })?;
        let of_hold = || self.ledger.holds.get(&sold.sale).is_some_and(|hold| hold.asks_review);
        if !(envelope.asks_review() || of_hold()) {
            return None;
        }
        self.review_of(now, sold.sale)
    }

    /// The review that begins now of a sale that is being made; none where the gate opens too soon.
    pub(super) fn review_of(&self, now: Timestamp, sale: HoldId) -> Option<Event> {
        Some(Event::ReviewOpened(ReviewOpened { sale, until: self.review_until(now)? }))
    }

    /// The review under which tickets arrive from another slot: one that the move asks for, and the one that they were under there, which lasts until the same time, or as
    /// long as there is time here. None where there is neither, or the gate opens too soon.
    pub(super) fn review_of_arrival(&self, now: Timestamp, sale: HoldId, asks_review: bool, goes_on_until: Option<Timestamp>) -> Option<Event> {
        let asked = if asks_review { self.review_until(now) } else { None };
        let until = asked.max(goes_on_until.and_then(|until| self.ends_in_time(now, until)))?;
        Some(Event::ReviewOpened(ReviewOpened { sale, until }))
    }

    /// When a review that begins now ends by itself; none if there is no time for one.
    fn review_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.ends_in_time(now, now.plus_seconds(i64::from(self.opening.policy.limits.review_s)))
    }

    /// When a review that would last until then is over, in time for the gate; none if that is not to come.
    fn ends_in_time(&self, now: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let latest = Window::of(&self.opening).opens_at.plus_seconds(-REVIEW_ENDS_BEFORE_S);
        Some(until.min(latest)).filter(|until| *until > now)
    }

    /// Puts a sale under review that was not, or whose review has ended.
    pub(super) fn review(&self, now: Timestamp, sale: HoldId) -> Result<Vec<Event>, Refusal> {
        if !self.ledger.sales.contains_key(&sale) {
            return Err(Refusal::UnknownSale);
        }
        Ok(vec![self.review_of(now, sale).ok_or(Refusal::ReviewTooLate)?])
    }

    pub(super) fn end_review(&self, now: Timestamp, id: HoldId, cleared: bool) -> Result<Vec<Event>, Refusal> {
        let sale = self.ledger.sales.get(&id).ok_or(Refusal::UnknownSale)?;
        if sale.tickets.iter().any(|ticket| ticket.review_until.is_some_and(|until| now < until)) {
            Ok(vec![Event::ReviewEnded(ReviewEnded { sale: id, cleared })])
        } else {
            Err(Refusal::NotUnderReview)
        }
    }
}
