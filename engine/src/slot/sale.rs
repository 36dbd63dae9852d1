//! Rules of sales: a hold confirmed, a direct sale at the desk, cancellations with the refund due by policy, and the refunds that payments have to be told of.

use super::event::{CancelCause, Cancelled, Event, HandedOver, Keeper, Line, Renamed, Settlement, Sold, line_of, people, total};
use super::{Command, Refusal, Sale, Slot, Ticket, TicketState};
use crate::channel::Channel;
use crate::ids::{HoldId, KeyId, PaymentId, PersonId};
use crate::money::Cents;
use crate::time::Timestamp;

/// What is sold of a slot and was not used: what the museum would cancel if nobody could come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unused {
    /// Of how many sales.
    pub sales: u32,
    /// How many tickets, with those that are blocked or under review.
    pub tickets: u32,
    /// What is paid back if the museum cancels them all.
    pub refund_cents: Cents,
}

/// The issue of a code with the first name on it: what was sold without one had the first.
pub(super) const NAMED_ISSUE: u16 = 2;

impl Slot {
    /// What a command that sells comes to; any other sells nothing.
    pub(super) fn selling(&self, now: Timestamp, command: &Command) -> Result<Vec<Event>, Refusal> {
        match command {
            Command::Sell { hold, owner, settlement, contact } => self.sell(now, *hold, *owner, None, (settlement, *contact)),
            Command::SellPaid { hold, owner, lines, keeper, settlement, contact } => {
                self.sell_paid(now, *hold, *owner, lines, *keeper, (settlement, *contact))
            }
            Command::SellDirect { sale, channel, lines, settlement, contact } => self.sell_direct(now, *sale, *channel, lines, settlement, *contact),
            _ => Err(Refusal::UnknownSale),
        }
    }

    /// As [`Slot::selling`], with a name on every ticket. Asked for later it could be refused, as while the sale is under review: so both happen at once.
    pub(super) fn sell_named(&self, now: Timestamp, sell: &Command, holder: PersonId) -> Result<Vec<Event>, Refusal> {
        let mut events = self.selling(now, sell)?;
        let named = |sold: &Sold| Renamed {
            sale: sold.sale,
            tickets: (0..u16::try_from(people(&sold.lines)).unwrap_or(u16::MAX)).map(|number| (number, NAMED_ISSUE)).collect(),
            holder: Some(holder),
            replaced: Vec::new(),
        };
        let named: Vec<Event> =
            events.iter().filter_map(|event| if let Event::Sold(sold) = event { Some(Event::Renamed(named(sold))) } else { None }).collect();
        events.extend(named);
        Ok(events)
    }

    /// What a payment keeps is sold for its money alone (SL-12): whoever names it as `keeper` has that money, or knows that none is waited for any more.
    pub(super) fn sell(
        &self,
        now: Timestamp,
        id: HoldId,
        owner: Option<KeyId>,
        keeper: Option<PaymentId>,
        (settlement, contact): (&Settlement, Option<PersonId>),
    ) -> Result<Vec<Event>, Refusal> {
        let hold = self.live_hold(now, id, owner)?;
        self.on_sale(now, hold.channel)?;
        if let Some(Keeper::Payment(payment)) = hold.kept_for
            && keeper != Some(payment)
            && *settlement != (Settlement::Payment { id: payment })
        {
            return Err(Refusal::HoldKept { payment });
        }
        settles(hold.channel, &hold.lines, settlement)?;
        Ok(vec![sold(id, Some(hold.who), hold.channel, &hold.lines, settlement, contact)])
    }

    pub(super) fn sell_paid(
        &self,
        now: Timestamp,
        id: HoldId,
        owner: Option<KeyId>,
        lines: &[Line],
        keeper: Option<PaymentId>,
        settled: (&Settlement, Option<PersonId>),
    ) -> Result<Vec<Event>, Refusal> {
        if self.live_hold(now, id, owner)?.lines != lines {
            return Err(Refusal::UnknownHold);
        }
        self.sell(now, id, owner, keeper, settled)
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
        // Late money finds what it was for, if that still rests: it counts as taken either way, so that the sale comes first.
        let (freed, own) = self.rests_for(channel, settlement, party);
        self.places_for(now, channel, party.saturating_sub(own))?;
        Ok([sold(id, None, channel, lines, settlement, contact)].into_iter().chain(freed.into_iter().map(Event::Freed)).collect())
    }

    /// A visitor cancels until the slot is over, and nothing that is blocked or under review: what somebody suspects pays nobody back by itself. The museum cancels at any time.
    /// Tickets that were let in are used and stay: a whole sale is cancelled without them, and whoever names one is refused.
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
        let numbers = match cause {
            CancelCause::Visitor => standing_unblocked(now, sale, tickets)?,
            CancelCause::Museum => standing(sale, tickets)?,
        };
        let percent = self.refund_percent(now, sale, cause);
        let refund_cents =
            numbers.iter().filter_map(|&number| line_of(&sale.lines, number)).map(|line| line.price_cents.percent(percent)).sum::<Cents>();
        Ok(vec![Event::Cancelled(Cancelled { sale: id, tickets: numbers, refund_cents, cause })])
    }

    /// All that is cancelled of a sale is the museum's doing: what its tickets cost goes back, less what was paid back of them. Then nothing is left, however often it is asked.
    pub(super) fn correct_cause(&self, id: HoldId, owner: Option<KeyId>) -> Result<Vec<Event>, Refusal> {
        let sale = self.ledger.sales.get(&id).filter(|sale| owner.is_none_or(|owner| owner == sale.who)).ok_or(Refusal::UnknownSale)?;
        let cancelled = (0_u16..).zip(&sale.tickets).filter(|(_, ticket)| ticket.state == TicketState::Cancelled);
        let cost_cents: Cents = cancelled.filter_map(|(number, _)| line_of(&sale.lines, number)).map(|line| line.price_cents).sum();
        let refund_cents = cost_cents.minus(sale.refunded_cents);
        if refund_cents <= Cents::ZERO {
            return Err(Refusal::NothingToPayBack);
        }
        Ok(vec![Event::Cancelled(Cancelled { sale: id, tickets: Vec::new(), refund_cents, cause: CancelCause::Museum })])
    }

    /// Whoever has the money knows of a refund: the slot owes that word no more.
    pub(super) fn handed_over(&self, sale: HoldId, seq: u64) -> Result<Vec<Event>, Refusal> {
        if self.ledger.owed.contains_key(&(sale, seq)) { Ok(vec![Event::HandedOver(HandedOver { sale, seq })]) } else { Err(Refusal::NotOwed) }
    }

    /// What is sold and was not used, as [`CancelCause::Museum`] would cancel it. It walks all tickets.
    #[must_use]
    pub fn unused(&self) -> Unused {
        let mut unused = Unused::default();
        for (_, sale) in self.sales() {
            let tickets = (0_u16..).zip(&sale.tickets).filter(|(_, ticket)| is_unused(ticket));
            let prices: Vec<Cents> = tickets.filter_map(|(number, _)| Some(line_of(&sale.lines, number)?.price_cents)).collect();
            unused.sales += u32::from(!prices.is_empty());
            unused.tickets += prices.len() as u32;
            unused.refund_cents = unused.refund_cents.plus(prices.into_iter().sum());
        }
        unused
    }

    /// How many refunds the slot owes a word of, each of which has to be handed over to whoever has the money.
    #[must_use]
    pub fn owing(&self) -> u32 {
        self.ledger.owed.len() as u32
    }

    /// The refunds that the slot owes a word of: of which sale, by which of the slot's records, how much. Of a sale whose tickets came from another slot the money
    /// is where that of the sale there is.
    pub fn owed(&self) -> impl Iterator<Item = (HoldId, u64, Cents)> {
        self.ledger.owed.iter().map(|(&(sale, seq), &cents)| (sale, seq, cents))
    }

    /// How many percent of a price are paid back: all if the museum is the cause or the slot is closed, else by policy, and no more than where the tickets came
    /// from, or a move would buy back a refund that was lost.
    pub(super) fn refund_percent(&self, now: Timestamp, sale: &Sale, cause: CancelCause) -> u8 {
        let refund = &self.opening.policy.refund;
        let until = |before_s: u32| now <= self.opening.slot.start().plus_seconds(-i64::from(before_s));
        if cause == CancelCause::Museum || self.places.closed.is_some() {
            return 100;
        }
        let by_policy = if until(refund.full_until_s) {
            100
        } else if until(refund.part_until_s) {
            refund.part_percent.min(100)
        } else {
            0
        };
        by_policy.min(sale.refund_percent_max)
    }
}

/// Which settlement fits: nothing due is settled by `free` and by nothing else; a desk serves the channels on site, an account those on contract, a payment all.
fn settles(channel: Channel, lines: &[Line], settlement: &Settlement) -> Result<(), Refusal> {
    let due_cents = total(lines);
    let allowed = match settlement {
        Settlement::Free | Settlement::Payment { .. } => true,
        Settlement::Desk { .. } => matches!(channel, Channel::BoxOffice | Channel::Kiosk),
        Settlement::OnAccount { .. } => matches!(channel, Channel::Group | Channel::Reseller),
        Settlement::Quoted { .. } => channel == Channel::Group,
        Settlement::Moved { .. } => false,
    };
    if matches!(settlement, Settlement::Free) != due_cents.is_zero() {
        Err(Refusal::SettlementMismatch { due_cents })
    } else if allowed {
        Ok(())
    } else {
        Err(Refusal::SettlementNotAllowed { channel })
    }
}

/// What is sold that somebody had held, or nobody.
fn sold(sale: HoldId, held_by: Option<KeyId>, channel: Channel, lines: &[Line], settlement: &Settlement, contact: Option<PersonId>) -> Event {
    let (held, held_by) = (held_by.is_some(), held_by.filter(|who| *who != KeyId::SYSTEM));
    Event::Sold(Sold { sale, held, channel, lines: lines.to_vec(), settlement: settlement.clone(), contact, held_by })
}

/// The ticket numbers meant, each of which stands: those named, or all that are neither used nor cancelled nor gone. While one of them is on its way nobody knows
/// where it will stand, so nothing is done to it.
fn standing(sale: &Sale, named: &[u16]) -> Result<Vec<u16>, Refusal> {
    let numbers = chosen(sale, named, is_unused)?;
    if let Some(fallen) = numbers.iter().find_map(|&number| fallen(sale, number)) {
        return Err(fallen);
    }
    if numbers.is_empty() {
        // Nothing stands any more: a ticket that was used says why, else the first.
        let mut reasons: Vec<Refusal> = (0_u16..).zip(&sale.tickets).filter_map(|(number, _)| fallen(sale, number)).collect();
        reasons.sort_by_key(|reason| !matches!(reason, Refusal::TicketUsed { .. }));
        return Err(reasons.into_iter().next().unwrap_or(Refusal::TicketCancelled));
    }
    Ok(numbers)
}

/// Whether nobody was let in with a ticket, and it was not cancelled and is not gone.
const fn is_unused(ticket: &Ticket) -> bool {
    matches!(ticket.state, TicketState::Valid | TicketState::Moving)
}

/// As [`standing`], and none of them is blocked.
pub(super) fn unblocked(sale: &Sale, named: &[u16]) -> Result<Vec<u16>, Refusal> {
    let numbers = standing(sale, named)?;
    match numbers.iter().find_map(|&number| sale.tickets[usize::from(number)].blocked) {
        Some(reason) => Err(Refusal::TicketBlocked { reason }),
        None => Ok(numbers),
    }
}

/// As [`unblocked`], and none of them is under review: until somebody has looked they stay as they are.
pub(super) fn standing_unblocked(now: Timestamp, sale: &Sale, named: &[u16]) -> Result<Vec<u16>, Refusal> {
    let numbers = unblocked(sale, named)?;
    match numbers.iter().find_map(|&number| sale.tickets[usize::from(number)].review_until.filter(|until| now < *until)) {
        Some(until) => Err(Refusal::TicketUnderReview { until }),
        None => Ok(numbers),
    }
}

/// Why a ticket does not stand, if it does not.
pub(super) fn fallen(sale: &Sale, number: u16) -> Option<Refusal> {
    match sale.tickets.get(usize::from(number)).map(|ticket| ticket.state) {
        Some(TicketState::Valid) => None,
        Some(TicketState::Cancelled) => Some(Refusal::TicketCancelled),
        Some(TicketState::Inside { first_at, .. } | TicketState::Outside { first_at, .. }) => Some(Refusal::TicketUsed { at: first_at }),
        Some(TicketState::Moving) => Some(Refusal::TicketMoving),
        Some(TicketState::Moved) => Some(Refusal::TicketMoved { to: sale.moved_to(number) }),
        None => Some(Refusal::UnknownTicket),
    }
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
