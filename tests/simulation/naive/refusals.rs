//! Why a slot says no: whether what it says is so, by the lists. What places there are, and what buyers have, is held against refusals by the auditor.

use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{Code, HoldId, KeyId, TicketId};
use tornello_engine::record::Record;
use tornello_engine::slot::{Command, Direction, Event, Refusal};
use tornello_engine::time::Timestamp;

use super::money::settles;
use super::{DAY_S, Fate, Hold, Naive, Ticket, Turn, people};

impl Naive {
    /// Why nobody may pass on a ticket at that time who shows that issue of its code, by the code of the refusal; but for the room in the building.
    pub fn against_passing(&mut self, passage: (Direction, TicketId), at: Timestamp, shown: Option<u16>) -> Option<&'static str> {
        let (direction, id) = passage;
        let Ok(ticket) = self.ticket(id) else { return Some("unknown_ticket") };
        match direction {
            Direction::Out => (!ticket.inside || at < ticket.last_at).then_some("not_inside"),
            Direction::In => self.against(id, at, shown).ok().flatten().map(|reason| reason.code()),
        }
    }

    /// What was done under the key of a command last, if it is remembered: until something is done more than a day later.
    pub fn remembered(&self, envelope: &Envelope) -> Option<&Record<Event>> {
        let seq = *self.keys.get(&(envelope.who, envelope.key))?.last()?;
        let done = self.records.get(usize::try_from(seq).ok()?.checked_sub(1)?)?;
        let is_soon = |record: &&Record<Event>| record.at.micros_since(done.at) <= DAY_S * 1_000_000;
        self.records.iter().filter(|record| record.envelope.is_some()).all(|record| is_soon(&record)).then_some(done)
    }

    /// Whether it is so what somebody was refused for who asked this at that time, while nothing else was on its way.
    pub fn is_so(&self, at: Timestamp, command: &Command, refusal: &Refusal) -> bool {
        use Refusal as R;
        let (slot, end) = (self.opening.slot, self.opening.end);
        match refusal {
            R::UnknownHold
            | R::HoldSold
            | R::HoldReleased
            | R::HoldExpired { .. }
            | R::HoldQuoted { .. }
            | R::AlreadyExtended
            | R::HoldKept { .. } => hold_of(command).is_some_and(|named| self.is_so_of_hold(named, command, refusal)),
            R::UnknownEntry | R::EntryEnded { .. } => hold_of(command).is_some_and(|(id, owner)| {
                let entry = self.entries.iter().find(|entry| entry.id == id);
                let is_open = |turn| turn == Turn::Waiting || self.is_offered(id);
                let is_theirs = |who| owner.is_none_or(|owner| owner == who);
                let is_ended = entry.is_some_and(|entry| !is_open(entry.turn));
                is_ended || (*refusal == R::UnknownEntry && entry.is_none_or(|entry| !is_theirs(entry.who)))
            }),
            R::UnknownSale
            | R::UnknownTicket
            | R::TicketCancelled
            | R::TicketUsed { .. }
            | R::TicketMoving
            | R::TicketMoved { .. }
            | R::TicketBlocked { .. }
            | R::TicketUnderReview { .. }
            | R::NotBlocked
            | R::NotUnderReview => self.is_so_of_sale(at, command, refusal),
            R::ReviewTooLate => self.review_ends(at).is_none(),
            R::SlotClosed { reason } => self.closed == Some(*reason),
            R::NotClosed => self.closed.is_none(),
            R::SaleNotOpen { opens_at } => at < *opens_at && *opens_at == slot.start().plus_seconds(-i64::from(self.opening.policy.sale_opens_s)),
            R::SaleOver { closed_at } => {
                let channel = match command {
                    Command::Hold { channel, .. } | Command::HoldFor { channel, .. } | Command::SellDirect { channel, .. } => Some(*channel),
                    Command::Wait { channel, .. } => Some(*channel),
                    other => hold_of(other).and_then(|(id, _)| self.holds.get(&id)).map(|hold| hold.channel),
                };
                channel.is_some_and(|channel| *closed_at == self.sale_end(channel) && at >= *closed_at)
            }
            R::SlotOver { ended_at } => *ended_at == end && at >= end,
            R::SettlementMismatch { .. } | R::SettlementNotAllowed { .. } => match command {
                Command::Sell { hold, settlement, .. } | Command::SellPaid { hold, settlement, .. } => {
                    self.holds.get(hold).is_some_and(|hold| settles(hold.channel, &hold.lines, settlement).is_err())
                }
                Command::SellDirect { channel, lines, settlement, .. } => settles(*channel, lines, settlement).is_err(),
                _ => false,
            },
            R::NotEnoughPlaces { asked, available, .. } => match command {
                Command::Amend { hold, .. } => {
                    self.holds.get(hold).is_some_and(|hold| asked > available && self.room(at, hold.channel) == *available)
                }
                _ => asked > available,
            },
            R::QuotasTooLarge { reserved, capacity } => reserved > capacity && *capacity == self.capacity,
            R::PlacesByHand => self.beyond.is_none(),
            R::BeyondStands { beyond } => self.beyond == Some(*beyond),
            R::NotOwed => matches!(command, Command::HandedOver { sale, seq } if !self.owed.contains_key(&(*sale, *seq))),
            R::UntilPast => matches!(command, Command::HoldFor { until, .. } if *until <= at),
            R::IdTaken => match command {
                Command::Hold { hold: id, .. } | Command::HoldFor { hold: id, .. } | Command::SellDirect { sale: id, .. } => self.is_taken(*id),
                Command::Wait { entry: id, .. } => self.is_taken(*id),
                Command::BeginMove { arrival, .. } => self.moves.contains_key(arrival),
                _ => false,
            },
            R::PartyTooLarge { max } => match command {
                Command::Hold { lines, .. } | Command::HoldFor { lines, .. } | Command::SellDirect { lines, .. } => people(lines) > u32::from(*max),
                Command::Wait { lines, .. } | Command::Amend { lines, .. } => people(lines) > u32::from(*max),
                _ => false,
            },
            R::SameSlot => matches!(command, Command::BeginMove { arrival, .. } if arrival.slot() == slot),
            R::OtherMuseum => matches!(command, Command::BeginMove { arrival, .. } if arrival.slot().museum() != slot.museum()),
            R::ReadingInFuture => matches!(command, Command::Observe { measured_at, .. } if *measured_at > at.plus_seconds(60)),
            R::ReadingOutOfOrder => {
                let last = self.reading.as_ref().map(|reading| reading.event.measured_at);
                matches!(command, Command::Observe { measured_at, .. } if Some(*measured_at) < last)
            }
            R::ReadingStale => {
                let stale_after_s = i64::from(self.opening.policy.stale_after_s);
                matches!(command, Command::Observe { measured_at, .. } if measured_at.plus_seconds(stale_after_s) <= at)
            }
            _ => true,
        }
    }

    fn is_taken(&self, id: HoldId) -> bool {
        id.slot() != self.opening.slot
            || self.holds.contains_key(&id)
            || self.sales.contains_key(&id)
            || self.entries.iter().any(|entry| entry.id == id)
    }

    fn is_so_of_hold(&self, (id, owner): (HoldId, Option<KeyId>), command: &Command, refusal: &Refusal) -> bool {
        use Refusal as R;
        let is_theirs = |who| owner.is_none_or(|owner| owner == who);
        let hold = self.holds.get(&id).filter(|hold| is_theirs(hold.who));
        let has = |what: fn(&Hold) -> bool| hold.is_some_and(what);
        match refusal {
            // That one ended is known for a day at least, and that it was sold for ever.
            R::UnknownHold => {
                let is_sold = self.sales.get(&id).is_some_and(|sale| is_theirs(sale.who));
                let has_other_lines = hold.is_some_and(|hold| matches!(command, Command::SellPaid { lines, .. } if *lines != hold.lines));
                !is_sold && (has_other_lines || hold.is_none_or(|hold| hold.fate != Fate::Live || hold.who == KeyId::SYSTEM))
            }
            R::HoldSold => self.sales.contains_key(&id),
            R::HoldReleased => has(|hold| hold.fate == Fate::Released),
            R::HoldExpired { .. } => has(|hold| hold.fate == Fate::Expired),
            R::HoldQuoted { .. } => has(|hold| hold.quoted && hold.who == KeyId::SYSTEM),
            R::AlreadyExtended => has(|hold| hold.extended),
            R::HoldKept { payment } => hold.is_some_and(|hold| hold.fate == Fate::Live && hold.paying == Some(*payment)),
            _ => true,
        }
    }

    fn is_so_of_sale(&self, at: Timestamp, command: &Command, refusal: &Refusal) -> bool {
        use Refusal as R;
        let Some((id, owner, numbers)) = tickets_of(command) else { return false };
        let Some(sale) = self.sales.get(&id).filter(|sale| owner.is_none_or(|owner| owner == sale.who)) else {
            return *refusal == R::UnknownSale;
        };
        let chosen: Vec<&Ticket> = match numbers {
            [] => sale.tickets.iter().collect(),
            numbers => numbers.iter().filter_map(|number| sale.tickets.get(usize::from(*number))).collect(),
        };
        let any = |what: &dyn Fn(&Ticket) -> bool| chosen.iter().any(|ticket| what(ticket));
        match refusal {
            R::UnknownTicket => chosen.len() < numbers.len(),
            R::TicketCancelled => any(&|ticket| ticket.cancelled),
            R::TicketUsed { at } => any(&|ticket| ticket.entries > 0 && ticket.first_at == *at),
            R::TicketMoving => any(&|ticket| ticket.gone.is_some() && !self.has_moved(ticket)),
            R::TicketMoved { .. } => any(&|ticket| self.has_moved(ticket)),
            R::TicketBlocked { reason } => any(&|ticket| if is_fraud(*reason) { ticket.is_fraud } else { ticket.blocked }),
            R::TicketUnderReview { until } => any(&|ticket| ticket.review_until == Some(*until) && at < *until),
            R::NotBlocked => {
                let Command::Unblock { reason, keeps, .. } = command else { return false };
                let lifts =
                    |of_fraud: bool| reason.is_none_or(|only| is_fraud(only) == of_fraud) && keeps.is_none_or(|kept| is_fraud(kept) != of_fraud);
                !any(&|ticket| (ticket.is_fraud && lifts(true)) || (ticket.blocked && lifts(false)))
            }
            R::NotUnderReview => !any(&|ticket| ticket.is_reviewed(at)),
            _ => false,
        }
    }
}

fn is_fraud(reason: Code) -> bool {
    reason.as_str() == "fraud"
}

/// The hold or entry that a command names, and whose it must be.
fn hold_of(command: &Command) -> Option<(HoldId, Option<KeyId>)> {
    Some(match command {
        Command::Extend { hold, owner }
        | Command::Release { hold, owner }
        | Command::Sell { hold, owner, .. }
        | Command::SellPaid { hold, owner, .. }
        | Command::Amend { hold, owner, .. }
        | Command::Shrink { hold, owner, .. }
        | Command::LeaveWaiting { entry: hold, owner }
        | Command::WaitForFewer { entry: hold, owner, .. } => (*hold, *owner),
        Command::Prolong { hold, .. } | Command::Bind { hold, .. } => (*hold, None),
        _ => return None,
    })
}

/// The sale that a command names, whose it must be, and which of its tickets.
fn tickets_of(command: &Command) -> Option<(HoldId, Option<KeyId>, &[u16])> {
    Some(match command {
        Command::Cancel { sale, owner, tickets, .. }
        | Command::Rename { sale, owner, tickets, .. }
        | Command::BeginMove { sale, owner, tickets, .. } => (*sale, *owner, tickets.as_slice()),
        Command::Block { sale, tickets, .. } | Command::Unblock { sale, tickets, .. } => (*sale, None, tickets.as_slice()),
        Command::Review { sale } | Command::EndReview { sale, .. } => (*sale, None, &[]),
        _ => return None,
    })
}
