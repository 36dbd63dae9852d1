//! What was paid for a slot's tickets, what goes back, and how sales are settled.

use tornello_engine::channel::Channel;
use tornello_engine::ids::HoldId;
use tornello_engine::slot::{CancelCause, Cancelled, Line, Policy, Settlement};
use tornello_engine::time::Timestamp;

use super::super::rule;
use super::{Naive, Sale};

impl Naive {
    /// Cents paid for what has not moved to other slots, and paid back.
    pub fn money(&self) -> (i64, i64) {
        let stays = self.tickets().filter(|ticket| !self.has_moved(ticket));
        (stays.map(|ticket| ticket.line.price_cents.get()).sum(), self.sales.values().map(|sale| sale.refunded).sum())
    }

    /// Of each sale: cents paid back, those of them that whoever has the money knows of, those that went to other slots with tickets, and the most percent that a visitor
    /// gets back.
    pub fn sums(&self) -> Vec<(HoldId, [i64; 4])> {
        let owed = |sale: &HoldId| self.owed.iter().filter(|((of, _), _)| of == sale).map(|(_, cents)| *cents).sum::<i64>();
        let carried = |sale: &Sale| {
            let gone = sale.tickets.iter().filter(|ticket| self.has_moved(ticket));
            gone.map(|ticket| ticket.line.price_cents.get()).sum::<i64>()
        };
        self.sales.iter().map(|(id, sale)| (*id, [sale.refunded, sale.refunded - owed(id), carried(sale), sale.percent_max])).collect()
    }

    /// The percentage that is paid back.
    pub(super) fn percent(&self, at: Timestamp, sale: HoldId, cause: CancelCause) -> i64 {
        let Policy { refund, .. } = self.opening.policy;
        let left_us = self.opening.slot.start().micros_since(at);
        if cause == CancelCause::Museum || self.closed.is_some() {
            return 100;
        }
        let by_policy = if left_us >= i64::from(refund.full_until_s) * 1_000_000 {
            100
        } else if left_us >= i64::from(refund.part_until_s) * 1_000_000 {
            i64::from(refund.part_percent)
        } else {
            0
        };
        by_policy.min(self.sales.get(&sale).map_or(0, |sale| sale.percent_max))
    }

    /// Tickets are cancelled by the record of that number.
    pub(super) fn cancel(&mut self, at: Timestamp, cancelled: &Cancelled, seq: u64) -> Result<(), String> {
        if cancelled.tickets.is_empty() {
            return self.correct(cancelled, seq);
        }
        rule(cancelled.cause == CancelCause::Museum || at < self.opening.end, "a visitor cancels when the slot is over")?;
        let percent = self.percent(at, cancelled.sale, cancelled.cause);
        let sale = self.sales.get_mut(&cancelled.sale).ok_or("an unknown sale is cancelled")?;
        rule(cancelled.tickets.is_sorted(), "tickets are not cancelled in order")?;
        let mut refund = 0;
        for number in &cancelled.tickets {
            let ticket = sale.tickets.get_mut(usize::from(*number)).ok_or("an unknown ticket is cancelled")?;
            rule(ticket.stands(), "a ticket that does not stand is cancelled")?;
            let suspected = ticket.is_blocked() || ticket.is_reviewed(at);
            rule(cancelled.cause == CancelCause::Museum || !suspected, "a visitor cancels what somebody suspects")?;
            ticket.cancelled = true;
            refund += ticket.line.price_cents.get() * percent / 100;
        }
        rule(cancelled.refund_cents.get() == refund, "another sum is paid back than is due")?;
        sale.refunded += refund;
        if refund > 0 {
            self.owed.insert((cancelled.sale, seq), refund);
        }
        Ok(())
    }

    /// All that is cancelled of a sale was the museum's doing: what was not paid back of it is.
    fn correct(&mut self, corrected: &Cancelled, seq: u64) -> Result<(), String> {
        let sale = self.sales.get_mut(&corrected.sale).ok_or("the cause of an unknown sale is corrected")?;
        let cost: i64 = sale.tickets.iter().filter(|ticket| ticket.cancelled).map(|ticket| ticket.line.price_cents.get()).sum();
        let left = cost - sale.refunded;
        rule(corrected.cause == CancelCause::Museum && left > 0, "a cause is corrected of which nothing follows")?;
        rule(corrected.refund_cents.get() == left, "another sum is paid back than was not")?;
        sale.refunded += left;
        self.owed.insert((corrected.sale, seq), left);
        Ok(())
    }
}

pub(super) fn settles(channel: Channel, lines: &[Line], settlement: &Settlement) -> Result<(), String> {
    let due: i64 = lines.iter().map(|line| i64::from(line.count) * line.price_cents.get()).sum();
    let fits = match settlement {
        Settlement::Free => due == 0,
        Settlement::Desk { .. } => due > 0 && matches!(channel, Channel::BoxOffice | Channel::Kiosk),
        Settlement::OnAccount { .. } => due > 0 && matches!(channel, Channel::Group | Channel::Reseller),
        Settlement::Quoted { .. } => due > 0 && channel == Channel::Group,
        // Nobody sells like that: it is how tickets of another slot arrive.
        Settlement::Moved { .. } => false,
        Settlement::Payment { .. } => due > 0,
    };
    rule(fits, "something is sold that is not paid as it must be")
}
