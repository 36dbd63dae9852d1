//! Who has passed the gates: what that makes of tickets and of the counted people, and what is kept of it, by gates that asked and in scans of those that could not.

use super::super::capacity::Places;
use super::super::event::{AdmissionConflict, Admitted, Direction, Exited, Judged, Scan, ScansJudged};
use super::super::passages::{Crossing, Passage, Taken};
use super::{Ledger, TicketState};
use crate::ids::{Code, TicketId};
use crate::time::Timestamp;

impl Ledger {
    pub(in crate::slot) fn admitted(&mut self, places: &mut Places, admitted: &Admitted, at: Timestamp) {
        let Admitted { ticket, gate, entry, .. } = *admitted;
        let Some(state) = self.state_of(ticket) else { return };
        let scan = Scan { ticket, scanned_at: admitted.scanned_at.unwrap_or(at), gate, direction: Direction::In };
        let at = self.passed(places, scan, admitted.scanned_at.is_some(), state, at);
        self.becomes(places, ticket, state.entered(at, entry));
    }

    pub(in crate::slot) fn exited(&mut self, places: &mut Places, exited: &Exited, at: Timestamp) {
        let Exited { ticket, gate, .. } = *exited;
        let Some(state) = self.state_of(ticket).filter(|state| state.is_inside()) else { return };
        let scan = Scan { ticket, scanned_at: exited.scanned_at.unwrap_or(at), gate, direction: Direction::Out };
        let at = self.passed(places, scan, exited.scanned_at.is_some(), state, at);
        self.becomes(places, ticket, state.left(at));
    }

    /// Somebody passed a gate; answers when, as it counts.
    fn passed(&mut self, places: &mut Places, passage: Scan, is_scan: bool, state: TicketState, at: Timestamp) -> Timestamp {
        if !is_scan {
            self.keep_online(passage, state);
            return at;
        }
        self.keep_told(passage, state);
        let people = self.note(places, passage, Judged::Passed, at);
        counted_by_sensors(places, people);
        passage.scanned_at.min(at)
    }

    /// The ticket stays as it is: what the conflict says of people is not counted.
    pub(in crate::slot) fn conflicted(&mut self, places: &mut Places, conflict: &AdmissionConflict, at: Timestamp) {
        let AdmissionConflict { ticket, gate, scanned_at, reason } = *conflict;
        let scan = Scan { ticket, scanned_at, gate, direction: Direction::In };
        if let Some(state) = self.state_of(ticket) {
            self.keep_told(scan, state);
        }
        // The admission that it belongs to stands before it in the same record.
        let counts = self.scans.get(&scan).is_some_and(|taken| taken.judged == Judged::Passed);
        let judged = if counts { Judged::PassedInConflict { reason } } else { Judged::Conflict { reason } };
        let people = self.note(places, scan, judged, at);
        counted_by_sensors(places, people);
    }

    pub(in crate::slot) fn judged(&mut self, places: &mut Places, judged: &ScansJudged, at: Timestamp) {
        let (Some(state), Some(first)) = (self.state_of(judged.ticket), judged.scans.first()) else { return };
        self.keep_told(first.scan, state);
        let people: i32 = judged.scans.iter().map(|found| self.note(places, found.scan, found.judged, at)).sum();
        counted_by_sensors(places, people);
        self.becomes(places, judged.ticket, judged.state);
    }

    fn state_of(&self, ticket: TicketId) -> Option<TicketState> {
        self.sales.get(&ticket.sale())?.tickets.get(usize::from(ticket.number())).map(|ticket| ticket.state)
    }

    /// The ticket is what its passages have made of it.
    fn becomes(&mut self, places: &mut Places, id: TicketId, state: TicketState) {
        let found = self.sales.get_mut(&id.sale()).and_then(|sale| sale.tickets.get_mut(usize::from(id.number())));
        let Some(ticket) = found else { return };
        let before = std::mem::replace(&mut ticket.state, state);
        let is_used = |state: TicketState| u32::from(state.first_at().is_some());
        places.admitted = places.admitted + is_used(state) - is_used(before);
        places.inside = places.inside + u32::from(state.is_inside()) - u32::from(before.is_inside());
    }

    /// Notes what a scan comes to. Answers how many people more or fewer that makes of those whom the sensors had counted already.
    fn note(&mut self, places: &mut Places, scan: Scan, judged: Judged, at: Timestamp) -> i32 {
        let at = self.scans.get(&scan).map_or(scan.scanned_at.min(at), |taken| taken.at);
        let before = self.scans.insert(scan, Taken { at, judged }).map(|taken| taken.judged);
        let conflicts = |judged: Option<Judged>| u32::from(judged.is_some_and(|judged| judged.conflict().is_some()));
        places.conflicts = places.conflicts + conflicts(Some(judged)) - conflicts(before);
        if places.live.is_none_or(|live| at > live.measured_at) {
            return 0;
        }
        let passed = |judged: Option<Judged>| i32::from(judged.is_some_and(Judged::passed));
        let people = passed(Some(judged)) - passed(before);
        if scan.direction == Direction::In { people } else { -people }
    }

    /// The scans of a ticket that were taken in, in the order of their times.
    fn scans_of(&self, scan: Scan) -> impl Iterator<Item = (&Scan, &Taken)> {
        // Nothing was scanned in the first instant that there is, so it does not matter at which gate.
        let first = Scan { scanned_at: Timestamp::MIN, direction: Direction::In, ..scan };
        self.scans.range(first..).take_while(move |(found, _)| found.ticket == scan.ticket)
    }

    /// What gates that asked saw of a ticket before that passage, in order. As long as it was let in once at most, and no scan has come in, its state tells.
    fn seen_online(&self, passage: Scan, state: TicketState) -> Vec<Scan> {
        if let Some(kept) = self.online.get(&passage.ticket) {
            return kept.clone();
        }
        if self.scans_of(passage).next().is_some() {
            return Vec::new();
        }
        let seen = |scanned_at, direction| Scan { scanned_at, direction, ..passage };
        match state {
            TicketState::Inside { first_at, .. } => vec![seen(first_at, Direction::In)],
            TicketState::Outside { first_at, left_at, .. } => vec![seen(first_at, Direction::In), seen(left_at, Direction::Out)],
            TicketState::Valid | TicketState::Cancelled | TicketState::Moving | TicketState::Moved => Vec::new(),
        }
    }

    /// Keeps what the state tells of a ticket, before a scan makes another one of it.
    fn keep_told(&mut self, scan: Scan, state: TicketState) {
        if self.online.contains_key(&scan.ticket) {
            return;
        }
        let seen = self.seen_online(scan, state);
        if !seen.is_empty() {
            self.online.insert(scan.ticket, seen);
        }
    }

    /// Keeps what a gate that asked saw, unless the state will tell it.
    fn keep_online(&mut self, passage: Scan, state: TicketState) {
        let comes_back = passage.direction == Direction::In && matches!(state, TicketState::Outside { .. });
        if comes_back || self.online.contains_key(&passage.ticket) || self.scans_of(passage).next().is_some() {
            let mut seen = self.seen_online(passage, state);
            seen.push(passage);
            self.online.insert(passage.ticket, seen);
        }
    }

    /// All that is known of a ticket's passages, in no order but that of what gates that asked saw.
    pub(in crate::slot) fn passages(&self, scan: Scan, state: TicketState) -> Vec<Passage> {
        let online = self.seen_online(scan, state).into_iter().map(Passage::online);
        online.chain(self.scans_of(scan).map(|(scan, taken)| Passage::taken(*scan, *taken))).collect()
    }

    /// Whether a gate that asked saw the ticket of a scan pass that way, from some time on and before the scan was made.
    pub(in crate::slot) fn saw(&self, scan: Scan, since: Timestamp) -> bool {
        let Some(state) = self.state_of(scan.ticket) else { return false };
        let is_it =
            |passage: &Passage| passage.scan.is_none() && passage.direction == scan.direction && (since..=scan.scanned_at).contains(&passage.at);
        self.passages(scan, state).iter().any(is_it)
    }

    /// How many have come in after some time, less those who have left.
    pub(in crate::slot) fn came_since(&self, since: Timestamp) -> i32 {
        self.crossings(since).iter().filter(|crossing| crossing.at > since).map(|crossing| crossing.people).sum()
    }

    /// Who has passed the gates from some time on, in no order.
    pub(in crate::slot) fn crossings(&self, from: Timestamp) -> Vec<Crossing> {
        let mut crossings = Vec::new();
        for (id, sale) in &self.sales {
            for (number, ticket) in (0..).zip(&sale.tickets) {
                // Nobody has passed on a ticket after it became what it is.
                let last = match ticket.state {
                    TicketState::Inside { since, .. } => since,
                    TicketState::Outside { left_at, .. } => left_at,
                    TicketState::Valid | TicketState::Cancelled | TicketState::Moving | TicketState::Moved => continue,
                };
                if last >= from {
                    let any = Scan { ticket: id.ticket(number), scanned_at: from, gate: Code::NOTHING, direction: Direction::In };
                    let of_ticket = self.passages(any, ticket.state).into_iter().filter_map(|passage| passage.crossing());
                    crossings.extend(of_ticket.filter(|crossing| crossing.at >= from));
                }
            }
        }
        crossings
    }
}

/// Somebody of whom a gate tells late came or went before the last reading: the sensors had seen it.
fn counted_by_sensors(places: &mut Places, people: i32) {
    if let Some(live) = &mut places.live {
        live.inside_then = live.inside_then.saturating_add_signed(people);
    }
}
