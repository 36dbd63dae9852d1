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

    /// When a review that begins now ends by itself; none if there is no time for one.
    fn review_until(&self, now: Timestamp) -> Option<Timestamp> {
        let latest = Window::of(&self.opening).opens_at.plus_seconds(-REVIEW_ENDS_BEFORE_S);
        Some(now.plus_seconds(i64::from(self.opening.policy.limits.review_s)).min(latest)).filter(|until| *until > now)
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
