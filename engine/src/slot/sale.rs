//! Rules of sales: a hold confirmed, a direct sale at the desk, cancellations with the refund due by policy.

use super::event::{CancelCause, Cancelled, Event, Line, Settlement, Sold, line_of, total};
use super::{Refusal, Sale, Slot, Ticket, TicketState};
use crate::channel::Channel;
use crate::ids::{HoldId, KeyId, PersonId};
use crate::money::Cents;
use crate::time::Timestamp;

impl Slot {
    pub(super) fn sell(
        &self,
        now: Timestamp,
        id: HoldId,
        owner: Option<KeyId>,
        settlement: &Settlement,
        contact: Option<PersonId>,
    ) -> Result<Vec<Event>, Refusal> {
        let hold = self.live_hold(now, id, owner)?;
        self.on_sale(now, hold.channel)?;
        settles(hold.channel, &hold.lines, settlement)?;
        Ok(vec![sold(id, true, hold.channel, &hold.lines, settlement, contact)])
    }

    pub(super) fn sell_direct(
        &self,
        now: Timestamp,
        id: HoldId,
        channel: Channel,
        lines: &[Line],
        settlement: &Settlement,
        contact: Option<PersonId>,
    ) -> Result<Vec<Event>, Refusal> {
        let party = self.party(id, lines)?;
        self.on_sale(now, channel)?;
        settles(channel, lines, settlement)?;
        self.places_for(now, channel, party)?;
        Ok(vec![sold(id, false, channel, lines, settlement, contact)])
    }

    /// A visitor cancels until the slot is over; the museum at any time. Tickets that were let in are used and stay: a whole sale is cancelled without them, and
    /// whoever names one is refused.
    pub(super) fn cancel(
        &self,
        now: Timestamp,
        id: HoldId,
        owner: Option<KeyId>,
        tickets: &[u16],
        cause: CancelCause,
    ) -> Result<Vec<Event>, Refusal> {
        let sale = self.ledger.sales.get(&id).filter(|sale| owner.is_none_or(|owner| owner == sale.who)).ok_or(Refusal::UnknownSale)?;
        if cause == CancelCause::Visitor && now >= self.opening.end {
            return Err(Refusal::SlotOver { ended_at: self.opening.end });
        }
        let numbers = chosen(sale, tickets, |ticket| ticket.state == TicketState::Valid)?;
        for &number in &numbers {
            match sale.tickets[usize::from(number)].state {
                TicketState::Valid => {}
                TicketState::Cancelled => return Err(Refusal::TicketCancelled),
                TicketState::Inside { first_at, .. } | TicketState::Outside { first_at, .. } => return Err(Refusal::TicketUsed { at: first_at }),
            }
        }
        if numbers.is_empty() {
            // Nothing stands any more: the first ticket says why.
            let used = sale.tickets.iter().find_map(|ticket| match ticket.state {
                TicketState::Inside { first_at, .. } | TicketState::Outside { first_at, .. } => Some(Refusal::TicketUsed { at: first_at }),
                TicketState::Valid | TicketState::Cancelled => None,
            });
            return Err(used.unwrap_or(Refusal::TicketCancelled));
        }
        let percent = self.refund_percent(now, cause);
        let refund_cents =
            numbers.iter().filter_map(|&number| line_of(&sale.lines, number)).map(|line| line.price_cents.percent(percent)).sum::<Cents>();
        Ok(vec![Event::Cancelled(Cancelled { sale: id, tickets: numbers, refund_cents, cause })])
    }

    /// How many percent of a price are paid back: all if the museum is the cause or the slot is closed, else by policy.
    fn refund_percent(&self, now: Timestamp, cause: CancelCause) -> u8 {
        let refund = &self.opening.policy.refund;
        let until = |before_s: u32| now <= self.opening.slot.start().plus_seconds(-i64::from(before_s));
        if cause == CancelCause::Museum || self.places.closed.is_some() || until(refund.full_until_s) {
            100
        } else if until(refund.part_until_s) {
            refund.part_percent.min(100)
        } else {
            0
        }
    }
}

/// Which settlement fits: nothing due is settled by `free` and by nothing else; a desk serves the channels on site; an account those on contract.
fn settles(channel: Channel, lines: &[Line], settlement: &Settlement) -> Result<(), Refusal> {
    let due_cents = total(lines);
    let allowed = match settlement {
        Settlement::Free => true,
        Settlement::Desk { .. } => matches!(channel, Channel::BoxOffice | Channel::Kiosk),
        Settlement::OnAccount { .. } => matches!(channel, Channel::Group | Channel::Reseller),
    };
    if matches!(settlement, Settlement::Free) != due_cents.is_zero() {
        Err(Refusal::SettlementMismatch { due_cents })
    } else if allowed {
        Ok(())
    } else {
        Err(Refusal::SettlementNotAllowed { channel })
    }
}

fn sold(sale: HoldId, held: bool, channel: Channel, lines: &[Line], settlement: &Settlement, contact: Option<PersonId>) -> Event {
    Event::Sold(Sold { sale, held, channel, lines: lines.to_vec(), settlement: settlement.clone(), contact })
}

/// The ticket numbers meant: those named, sorted and each once, or all that `standing` accepts.
pub(super) fn chosen(sale: &Sale, named: &[u16], standing: impl Fn(&Ticket) -> bool) -> Result<Vec<u16>, Refusal> {
    if named.is_empty() {
        return Ok((0_u16..).zip(&sale.tickets).filter(|(_, ticket)| standing(ticket)).map(|(number, _)| number).collect());
    }
    let mut numbers = named.to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.iter().any(|&number| usize::from(number) >= sale.tickets.len()) { Err(Refusal::UnknownTicket) } else { Ok(numbers) }
}
