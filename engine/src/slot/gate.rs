//! Rules at the gate: the right museum and time, once only unless the policy lets people come back, not cancelled, not blocked, and room in the building. What
//! a ticket lets its holder do is said in `verdict`; here it becomes events, also long after, when the scans of a gate without a network come in.

use std::collections::BTreeMap;

use super::event::{
    AdmissionConflict, Admitted, BlockLifted, Blocked, ConflictReason, Direction, Event, Exited, Judged, JudgedScan, Scan, ScansJudged, Unblocked,
    line_of,
};
use super::passages::{self, Passage};
use super::sale::{chosen, fallen};
use super::verdict::{self, Room, Shown, Window};
use super::{Refusal, Sale, Slot, Ticket, TicketState};
use crate::ids::{Code, HoldId, MuseumId, TicketId};
use crate::time::{DAY_S, Timestamp};

/// How far the clock of a gate without a network may be ahead, in seconds.
const CLOCK_AHEAD_S: i64 = 60;
/// How old a scan may be that comes in, in seconds: 7 days.
pub(super) const SCAN_AGE_MAX_S: i64 = 7 * DAY_S;
/// The most conflicts that a slot keeps: beyond it something else is wrong than a few tickets.
const CONFLICTS_MAX: u32 = 10_000;
/// The most exits that are kept of one ticket of which nobody knows how its holder came in.
const LEFT_UNSEEN_MAX: usize = 100;

impl Slot {
    /// `counted` is the count of the gates of all slots. The slot itself knows its own reading, and who has passed its own gates since. Nobody comes in if either is full.
    pub(super) fn admit(&self, now: Timestamp, shown: Shown, gate: Code, counted: Option<Room>) -> Result<Vec<Event>, Refusal> {
        let found = self.ticket_of(shown.ticket);
        let inside = self.places.people_upper(now);
        let own = inside.zip(self.places.live.and_then(|live| live.ceiling)).map(|(inside, ceiling)| Room { inside, ceiling });
        let room = counted.filter(Room::is_full).or(own);
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

    /// A scan that a gate without a network has acted on already. It is judged by its own time among all that is known of its ticket, and with it every other scan of
    /// that ticket anew ([`passages`]): by the issue, the block and the review that there were then, whatever came later. What cannot stand beside the rest is a
    /// conflict: it happened, so it is written down. It counts as an admission all the same if nobody had used the ticket: whoever holds it is inside, and nobody else
    /// comes in on it (SL-3). So does an older code, unless somebody came with the newer one.
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
        let window = Window::of(&self.opening);
        if matches!(ticket.state, TicketState::Cancelled | TicketState::Moving | TicketState::Moved) {
            return self.merge_of_none(scan, verdict::admission(shown, Some((window, ticket)), None, scanned_at));
        }
        let mut known = self.ledger.passages(scan, ticket.state);
        let new = Passage::new(scan, now);
        known.push(new);
        let then = self.ledger.bars_at(id, ticket, new.at);
        // A newer code than that is read by a gate whose clock is behind.
        let issue = issue.filter(|issue| !(then.issue..=ticket.issue).contains(issue));
        let state = passages::judge(&mut known, window, &then.on(ticket.state), Shown { issue, ..shown });
        let is_this = |passage: &&Passage| passage.scan == Some(scan);
        let Some(judged) = known.iter().find(is_this).map(|passage| passage.judged) else { return Err(Refusal::UnknownTicket) };
        self.may_keep(judged, &known)?;
        let is_alone = known.iter().filter(|passage| passage.is_changed()).count() == 1;
        let is_last = known.last().as_ref().is_some_and(is_this);
        let conflict = |reason| Event::AdmissionConflict(AdmissionConflict { ticket: id, gate, scanned_at, reason });
        match judged {
            Judged::Conflict { reason } if is_alone => return Ok(vec![conflict(reason)]),
            Judged::Passed if is_alone && is_last && direction == Direction::Out => {
                return Ok(vec![Event::Exited(Exited { ticket: id, gate, scanned_at: Some(scanned_at) })]);
            }
            Judged::Passed if is_alone && is_last => return Ok(vec![Self::admitted(sale, id, gate, state.entries(), Some(scanned_at))?]),
            Judged::PassedInConflict { reason } if is_alone && is_last => {
                return Ok(vec![Self::admitted(sale, id, gate, state.entries(), Some(scanned_at))?, conflict(reason)]);
            }
            _ => {}
        }
        let changed = known.iter().filter(|passage| passage.is_changed());
        let judged_scan = |passage: &Passage| Some(JudgedScan { scan: passage.scan?, before: passage.before, judged: passage.judged });
        let used = ticket.state.first_at().is_none() && state.first_at().is_some();
        Ok(vec![Event::ScansJudged(ScansJudged { ticket: id, scans: changed.filter_map(judged_scan).collect(), state, used })])
    }

    /// A scan of a ticket that is good for nobody, and on which nobody has come in: it was not given back, or moved, once it had been used.
    fn merge_of_none(&self, scan: Scan, verdict: Result<u8, Refusal>) -> Result<Vec<Event>, Refusal> {
        let Scan { ticket, scanned_at, gate, direction } = scan;
        let refusal = verdict.err().unwrap_or(Refusal::NotInside);
        // Nobody knows yet whether the ticket was good here. As a conflict of one that stays after all it would be forgotten that it was used.
        if refusal == Refusal::TicketMoving {
            return Err(refusal);
        }
        if direction == Direction::Out {
            return Err(Refusal::NotInside);
        }
        let reason = ConflictReason::of(&refusal).ok_or(refusal)?;
        self.may_keep(Judged::Conflict { reason }, &[])?;
        Ok(vec![Event::AdmissionConflict(AdmissionConflict { ticket, gate, scanned_at, reason })])
    }

    /// A gate gone mad fills no memory.
    fn may_keep(&self, judged: Judged, known: &[Passage]) -> Result<(), Refusal> {
        if judged.conflict().is_some() && self.places.conflicts >= CONFLICTS_MAX {
            return Err(Refusal::TooManyConflicts);
        }
        let unseen = || known.iter().filter(|passage| passage.judged == Judged::LeftUnseen).count();
        if judged == Judged::LeftUnseen && unseen() > LEFT_UNSEEN_MAX { Err(Refusal::NotInside) } else { Ok(()) }
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

    /// Lifts what tickets are blocked for with that word, or whatever it is, but for what is to stay: a ticket is free once it is blocked for nothing any more.
    pub(super) fn unblock(&self, id: HoldId, tickets: &[u16], reason: Option<Code>, keeps: Option<Code>) -> Result<Vec<Event>, Refusal> {
        let sale = self.ledger.sales.get(&id).ok_or(Refusal::UnknownSale)?;
        let numbers = chosen(sale, tickets, |ticket| ticket.blocked.is_some())?;
        let (mut free, mut lifted, mut kept) = (Vec::new(), BTreeMap::<Code, Vec<u16>>::new(), None);
        for number in numbers {
            let shown = sale.tickets[usize::from(number)].blocked;
            let blocks: Vec<Code> = shown.into_iter().chain(sale.beneath.get(&number).copied()).collect();
            let meant = blocks.iter().copied().filter(|of| reason.is_none_or(|only| only == *of));
            let (stays, goes): (Vec<Code>, Vec<Code>) = meant.partition(|of| keeps == Some(*of));
            kept = kept.or(stays.first().copied());
            match goes.first() {
                Some(_) if goes.len() == blocks.len() => free.push(number),
                Some(of) => lifted.entry(*of).or_default().push(number),
                None => {}
            }
        }
        let unblocked = (!free.is_empty()).then_some(Event::Unblocked(Unblocked { sale: id, tickets: free }));
        let lifted = lifted.into_iter().map(|(reason, tickets)| Event::BlockLifted(BlockLifted { sale: id, tickets, reason }));
        let events: Vec<Event> = unblocked.into_iter().chain(lifted).collect();
        if events.is_empty() { Err(kept.map_or(Refusal::NotBlocked, |reason| Refusal::TicketBlocked { reason })) } else { Ok(events) }
    }
}
