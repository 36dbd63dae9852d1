//! The passages of one ticket, in the order in which they happened, whenever the slot came to know of them: what each scan of a gate without a network comes to,
//! and what has become of the ticket. It is a function of the passages alone, so it does not matter which of two gates sends its scans first.
//!
//! What a gate saw that asked the slot is certain, as somebody was told so. Between such passages each scan is judged like a ticket at a gate ([`verdict`]); if the
//! last of them does not go together with what was seen next, it is the one that cannot stand. What speaks against a scan apart from other passages, as that the
//! ticket was blocked when it was made, or is cancelled, was found when it came in and is not asked anew.

use serde::{Deserialize, Serialize};

use super::event::{ConflictReason, Direction, Judged, Scan};
use super::refusal::Refusal;
use super::state::{Ticket, TicketState};
use super::verdict::{self, Shown, Window};
use crate::ids::Code;
use crate::time::Timestamp;

/// What of a ticket staff and holders change, and a gate looks at: a scan is judged by how it was when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bars {
    pub(super) issue: u16,
    pub(super) blocked: Option<Code>,
    pub(super) review_until: Option<Timestamp>,
}

impl Bars {
    pub(super) const fn of(ticket: &Ticket) -> Self {
        Self { issue: ticket.issue, blocked: ticket.blocked, review_until: ticket.review_until }
    }

    /// The ticket with these, whatever stands against it today.
    pub(super) const fn on(self, state: TicketState) -> Ticket {
        Ticket { issue: self.issue, state, blocked: self.blocked, review_until: self.review_until }
    }
}

/// A scan that was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    /// When it counts: at its own time, or at that of the record which took it in, if the gate's clock was ahead of that.
    pub(super) at: Timestamp,
    pub(super) judged: Judged,
}

/// The written form of what is known of a passage. Variants are numbered in snapshots and in the hashes of golden journals, the first two as what speaks against a
/// scan was written before there were others: append only.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum Told {
    Passed,
    Conflict(ConflictReason),
    PassedInConflict(ConflictReason),
    LeftUnseen,
    /// Seen by a gate that asked.
    Online,
    /// A scan that counts earlier than its gate's clock says.
    Ahead(Timestamp, Judged),
    /// No passage: how a ticket was until the time that stands where a scan's would.
    Was(Bars),
}

impl Told {
    pub(super) fn of(scan: Scan, taken: Taken) -> Self {
        match taken.judged {
            judged if taken.at != scan.scanned_at => Self::Ahead(taken.at, judged),
            Judged::Passed => Self::Passed,
            Judged::Conflict { reason } => Self::Conflict(reason),
            Judged::PassedInConflict { reason } => Self::PassedInConflict(reason),
            Judged::LeftUnseen => Self::LeftUnseen,
        }
    }

    /// The scan as it was taken in; none if it was seen by a gate that asked, or is no passage.
    pub(super) const fn taken(self, scan: Scan) -> Option<Taken> {
        let judged = match self {
            Self::Passed => Judged::Passed,
            Self::Conflict(reason) => Judged::Conflict { reason },
            Self::PassedInConflict(reason) => Judged::PassedInConflict { reason },
            Self::LeftUnseen => Judged::LeftUnseen,
            Self::Online | Self::Was(_) => return None,
            Self::Ahead(at, judged) => return Some(Taken { at, judged }),
        };
        Some(Taken { at: scan.scanned_at, judged })
    }
}

/// Somebody who has come in by a gate, or left, by what is known of it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crossing {
    /// When it counts.
    pub at: Timestamp,
    /// One more inside, or one less.
    pub people: i32,
    /// The scan that tells of it; none: the gate asked.
    pub scan: Option<Scan>,
}

/// A ticket at a gate, in or out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Passage {
    pub(super) at: Timestamp,
    pub(super) direction: Direction,
    /// The scan that tells of it; none: the gate asked.
    pub(super) scan: Option<Scan>,
    /// What it came to before; none: it was not known.
    pub(super) before: Option<Judged>,
    pub(super) judged: Judged,
}

impl Passage {
    pub(super) const fn online(seen: Scan) -> Self {
        Self { at: seen.scanned_at, direction: seen.direction, scan: None, before: Some(Judged::Passed), judged: Judged::Passed }
    }

    pub(super) const fn taken(scan: Scan, taken: Taken) -> Self {
        Self { at: taken.at, direction: scan.direction, scan: Some(scan), before: Some(taken.judged), judged: taken.judged }
    }

    /// A scan that comes in.
    pub(super) fn new(scan: Scan, now: Timestamp) -> Self {
        Self { at: scan.scanned_at.min(now), direction: scan.direction, scan: Some(scan), before: None, judged: Judged::LeftUnseen }
    }

    /// Who has passed by it; nobody if it cannot stand beside the rest.
    pub(super) fn crossing(&self) -> Option<Crossing> {
        let people = if self.direction == Direction::In { 1 } else { -1 };
        self.judged.passed().then_some(Crossing { at: self.at, people, scan: self.scan })
    }

    pub(super) fn is_changed(&self) -> bool {
        self.before != Some(self.judged)
    }
}

/// Puts the passages in order and judges the scans among them; answers what has become of the ticket. `ticket` is as it was when the scan was made that comes in,
/// and `shown` what was shown then.
pub(super) fn judge(passages: &mut [Passage], window: Window, ticket: &Ticket, shown: Shown) -> TicketState {
    // In one instant what is certain comes first, in its own order: the sort is stable.
    passages.sort_by_key(|passage| (passage.at, passage.scan));
    let is_outdated = |passage: &Passage| match (passage.scan, passage.before) {
        (None, _) => false,
        (Some(_), None) => shown.issue.is_some_and(|issue| issue != ticket.issue),
        (Some(_), Some(before)) => before.conflict() == Some(ConflictReason::CodeOutdated),
    };
    // Whether anybody came with the code that counted.
    let is_claimed = passages.iter().any(|passage| passage.direction == Direction::In && !is_outdated(passage));
    let mut state = TicketState::Valid;
    let mut to_come = passages.iter().filter(|passage| passage.scan.is_none() && passage.direction == Direction::In).count();
    // The last scan that passed since a gate that asked saw the ticket, and what the ticket was before it.
    let mut last: Option<(usize, TicketState)> = None;
    for place in 0..passages.len() {
        take_next(&mut passages[place..], state);
        let Passage { at, direction, scan, .. } = passages[place];
        let Some(scan) = scan else {
            if state.is_inside() == (direction == Direction::In)
                && let Some((other, before)) = last
            {
                passages[other].judged = contradicted(&passages[other]);
                state = before;
            }
            last = None;
            to_come -= usize::from(direction == Direction::In);
            state = passed(state, direction, at);
            continue;
        };
        let judged = match direction {
            Direction::In => admission(&passages[place], scan, window, Ticket { state, ..ticket.clone() }, shown, (to_come, is_claimed)),
            Direction::Out if state.is_inside() => Judged::Passed,
            Direction::Out => Judged::LeftUnseen,
        };
        passages[place].judged = judged;
        if judged.passed() {
            last = Some((place, state));
            state = passed(state, direction, at);
        }
    }
    state
}

/// Of passages in one instant, puts first what can have happened next. What is certain stays in its order.
fn take_next(passages: &mut [Passage], state: TicketState) {
    let Some(&first) = passages.first() else { return };
    let next = if state.is_inside() { Direction::Out } else { Direction::In };
    if first.direction == next {
        return;
    }
    let may = |passage: &Passage| passage.direction == next && (passage.scan.is_some() || first.scan.is_some());
    if let Some(place) = passages.iter().take_while(|passage| passage.at == first.at).position(may) {
        passages[..=place].rotate_right(1);
    }
}

const fn passed(state: TicketState, direction: Direction, at: Timestamp) -> TicketState {
    match direction {
        Direction::In => state.entered(at, state.entries().saturating_add(1)),
        Direction::Out => state.left(at),
    }
}

/// What a scan comes to that does not go together with what was seen next.
const fn contradicted(passage: &Passage) -> Judged {
    match (passage.direction, passage.judged.conflict()) {
        (Direction::In, Some(reason)) => Judged::Conflict { reason },
        (Direction::In, None) => Judged::Conflict { reason: ConflictReason::TicketInside },
        (Direction::Out, _) => Judged::LeftUnseen,
    }
}

/// What an admission comes to. `ticket` is as it was just before; `to_come` is how many times gates that asked let it in later, and `is_claimed` whether anybody
/// came, before or later, with the code that counted.
fn admission(passage: &Passage, scan: Scan, window: Window, ticket: Ticket, shown: Shown, (to_come, is_claimed): (usize, bool)) -> Judged {
    use ConflictReason as R;
    // As often as it may be let in, it was: also by what is certain, and happened later.
    let too_often = to_come > 0 && usize::from(ticket.state.entries()) + to_come > usize::from(window.reentry.times_max);
    let unused = ticket.state == TicketState::Valid && !too_often;
    // An older code uses a ticket up only if nobody came with the newer one, whose ticket it is.
    let uses = |reason: ConflictReason| unused && (reason != R::CodeOutdated || !is_claimed);
    let conflict = |reason| if uses(reason) { Judged::PassedInConflict { reason } } else { Judged::Conflict { reason } };
    let (shown, ticket) = match passage.before {
        None => (shown, ticket),
        Some(before) => {
            match before.conflict() {
                // Nobody had used the ticket, and nothing that it was then let it become used.
                Some(reason @ (R::TicketCancelled | R::TicketMoving | R::TicketMoved)) => return Judged::Conflict { reason },
                Some(reason @ (R::TicketBlocked | R::CodeOutdated)) => return conflict(reason),
                // A review keeps only those out who had not been in.
                Some(reason @ R::TicketUnderReview) if ticket.state == TicketState::Valid => return conflict(reason),
                _ => {}
            }
            (Shown { issue: None, ..shown }, Ticket { blocked: None, review_until: None, ..ticket })
        }
    };
    match verdict::admission(shown, Some((window, &ticket)), None, scan.scanned_at) {
        Ok(_) if too_often => conflict(R::TicketInside),
        Ok(_) => Judged::Passed,
        Err(refusal) => conflict(reason_of(&refusal)),
    }
}

/// What a refusal at a gate says of somebody who is inside already. Those about the request were said before.
fn reason_of(refusal: &Refusal) -> ConflictReason {
    ConflictReason::of(refusal).unwrap_or(ConflictReason::TicketUsed)
}
