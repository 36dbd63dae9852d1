//! Rules at the gate: the right museum and time, once only unless the policy lets people come back, not cancelled, not blocked, and room in the building. What
//! a ticket lets its holder do is said in `verdict`; here it becomes events, also long after, when the scans of a gate without a network come in.

use super::event::{AdmissionConflict, Admitted, Blocked, ConflictReason, Direction, Event, Exited, Scan, Unblocked, line_of};
use super::sale::{chosen, fallen};
use super::verdict::{self, Room, Shown, Window};
use super::{Refusal, Sale, Slot, Ticket, TicketState};
use crate::ids::{Code, HoldId, MuseumId, TicketId};
use crate::time::Timestamp;

/// How far the clock of a gate without a network may be ahead, in seconds.
const CLOCK_AHEAD_S: i64 = 60;
/// How old a scan may be that comes in, in seconds: 7 days.
const SCAN_AGE_MAX_S: i64 = 7 * 86_400;
/// The most conflicts that a slot keeps: beyond it something else is wrong than a few tickets.
const CONFLICTS_MAX: u32 = 10_000;

impl Slot {
    pub(super) fn admit(&self, now: Timestamp, shown: Shown, gate: Code) -> Result<Vec<Event>, Refusal> {
        let found = self.ticket_of(shown.ticket);
        let inside = self.places.people_upper(now);
        let room = inside.zip(self.places.live.and_then(|live| live.ceiling)).map(|(inside, ceiling)| Room { inside, ceiling });
        let entry = verdict::admission(shown, found.map(|(_, ticket)| (Window::of(&self.opening), ticket)), room, now);
        let entry = entry.map_err(|refusal| match (refusal, found) {
            (Refusal::TicketMoved { .. }, Some((sale, _))) => Refusal::TicketMoved { to: sale.moved_to(shown.ticket.number()) },
            (refusal, _) => refusal,
        })?;
        let (sale, _) = found.ok_or(Refusal::UnknownTicket)?;
        Ok(vec![Self::admitted(sale, shown.ticket, gate, entry, None)?])
    }

    fn admitted(sale: &Sale, ticket: TicketId, gate: Code, entry: u8, scanned_at: Option<Timestamp>) -> Result<Event, Refusal> {
        let line = line_of(&sale.lines, ticket.number()).ok_or(Refusal::UnknownTicket)?;
        Ok(Event::Admitted(Admitted { ticket, gate, entry, category: line.category, proof: line.proof, scanned_at }))
    }

    pub(super) fn exit(&self, now: Timestamp, id: TicketId, gate: Code, museum: MuseumId) -> Result<Vec<Event>, Refusal> {
        let shown = Shown { ticket: id, issue: None, museum };
        verdict::exit(shown, self.ticket_of(id).map(|(_, ticket)| ticket), now)?;
        Ok(vec![Event::Exited(Exited { ticket: id, gate, scanned_at: None })])
    }

    /// A scan that a gate without a network has acted on already, judged by the time of the scan. What cannot stand beside what is known is a conflict: it
    /// happened, so it is written down. It counts as an admission all the same if the ticket had not been used in this issue: whoever holds it is inside, and
    /// nobody else comes in on it (SL-3).
    pub(super) fn merge(&self, now: Timestamp, scan: Scan, issue: Option<u16>, museum: MuseumId) -> Result<Vec<Event>, Refusal> {
        let Scan { ticket: id, scanned_at, gate, direction } = scan;
        let shown = Shown { ticket: id, issue, museum };
        let (sale, ticket) = shown.look_up(self.ticket_of(id))?;
        if self.ledger.scans.contains_key(&scan) {
            return Err(Refusal::ScanKnown);
        }
        if scanned_at > now.plus_seconds(CLOCK_AHEAD_S) {
            return Err(Refusal::ScanInFuture);
        }
        if scanned_at < now.plus_seconds(-SCAN_AGE_MAX_S) {
            return Err(Refusal::ScanTooOld);
        }
        if direction == Direction::Out {
            verdict::exit(shown, Some(ticket), scanned_at)?;
            return Ok(vec![Event::Exited(Exited { ticket: id, gate, scanned_at: Some(scanned_at) })]);
        }
        let refusal = match verdict::admission(shown, Some((Window::of(&self.opening), ticket)), None, scanned_at) {
            Ok(entry) => return Ok(vec![Self::admitted(sale, id, gate, entry, Some(scanned_at))?]),
            // Nobody knows yet whether the ticket was good here. As a conflict of one that stays after all it would be forgotten that it was used.
            Err(Refusal::TicketMoving) => return Err(Refusal::TicketMoving),
            Err(refusal) => refusal,
        };
        let reason = ConflictReason::of(&refusal).ok_or(refusal)?;
        if self.places.conflicts >= CONFLICTS_MAX {
            return Err(Refusal::TooManyConflicts);
        }
        let mut events = Vec::with_capacity(2);
        if ticket.state == TicketState::Valid && reason != ConflictReason::CodeOutdated {
            events.push(Self::admitted(sale, id, gate, 1, Some(scanned_at))?);
        }
        events.push(Event::AdmissionConflict(AdmissionConflict { ticket: id, gate, scanned_at, reason }));
        Ok(events)
    }

    pub(super) fn block(&self, id: HoldId, tickets: &[u16], reason: Code) -> Result<Vec<Event>, Refusal> {
        let sale = self.ledger.sales.get(&id).ok_or(Refusal::UnknownSale)?;
        let counts = |ticket: &Ticket| !matches!(ticket.state, TicketState::Cancelled | TicketState::Moved);
        let tickets = chosen(sale, tickets, counts)?;
        let gone = |number: &u16| match fallen(sale, *number) {
            None | Some(Refusal::TicketUsed { .. }) => None,
            gone => gone,
        };
        if tickets.is_empty() {
            return Err(fallen(sale, 0).unwrap_or(Refusal::TicketCancelled));
        }
        if let Some(gone) = tickets.iter().find_map(gone) {
            return Err(gone);
        }
        Ok(vec![Event::Blocked(Blocked { sale: id, tickets, reason })])
    }

    pub(super) fn unblock(&self, id: HoldId, tickets: &[u16]) -> Result<Vec<Event>, Refusal> {
        let sale = self.ledger.sales.get(&id).ok_or(Refusal::UnknownSale)?;
        let mut tickets = chosen(sale, tickets, |ticket| ticket.blocked.is_some())?;
        tickets.retain(|&number| sale.tickets[usize::from(number)].blocked.is_some());
        if tickets.is_empty() { Err(Refusal::NotBlocked) } else { Ok(vec![Event::Unblocked(Unblocked { sale: id, tickets })]) }
    }
}
