//! The verdict of a gate: whether a ticket lets its holder in, or out, at a time. One piece of code for the slot, which knows all tickets and is asked online,
//! and for a gate without a network ([`crate::offline`]), which knows what its list says: on the same data both say the same.
//!
//! Pure functions of what was shown, what is known and the time; nothing is changed here.

use serde::{Deserialize, Serialize};

use super::opening::{Opening, Policy, Reentry};
use super::refusal::Refusal;
use super::state::{Ticket, TicketState};
use crate::ids::{MuseumId, SlotId, TicketId};
use crate::time::Timestamp;

/// When the tickets of a slot let in: what a gate needs of its plan and policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// The first instant of a first admission.
    pub opens_at: Timestamp,
    /// The last instant of a first admission.
    pub closes_at: Timestamp,
    /// Coming back after leaving.
    pub reentry: Reentry,
}

impl Window {
    /// The window of a slot as it was planned.
    #[must_use]
    pub const fn of(opening: &Opening) -> Self {
        Self::planned(opening.slot, opening.end, &opening.policy)
    }

    /// The window of a slot that ends at `end` under a policy.
    #[must_use]
    pub const fn planned(slot: SlotId, end: Timestamp, policy: &Policy) -> Self {
        Self {
            opens_at: slot.start().plus_seconds(-(policy.admit_early_s as i64)),
            closes_at: end.plus_seconds(policy.admit_late_s as i64),
            reentry: policy.reentry,
        }
    }

    /// The last instant in which any ticket may let in: the gate's close, or later where people may come back.
    #[must_use]
    pub const fn over_at(&self) -> Timestamp {
        if self.reentry.times_max == 0 { self.closes_at } else { self.closes_at.plus_seconds(self.reentry.within_s as i64) }
    }

    fn lets_in(&self, at: Timestamp) -> Result<(), Refusal> {
        if at < self.opens_at {
            Err(Refusal::TooEarly { opens_at: self.opens_at })
        } else if at > self.closes_at {
            Err(Refusal::TooLate { closed_at: self.closes_at })
        } else {
            Ok(())
        }
    }
}

/// What was shown at a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shown {
    /// Which ticket.
    pub ticket: TicketId,
    /// The issue number on the code; none: the ticket's id was typed.
    pub issue: Option<u16>,
    /// The museum where the gate stands.
    pub museum: MuseumId,
}

impl Shown {
    /// What is known of the ticket, if it is for this museum and there is one.
    pub(super) fn look_up<T>(&self, known: Option<T>) -> Result<T, Refusal> {
        if self.ticket.slot().museum() != self.museum {
            return Err(Refusal::WrongMuseum);
        }
        known.ok_or(Refusal::UnknownTicket)
    }
}

/// People in the building, and how many may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Room {
    /// People inside, at the upper bound of the estimate.
    pub inside: u32,
    /// The most who may be.
    pub ceiling: u32,
}

impl Room {
    /// Whether nobody else may come in.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.inside >= self.ceiling
    }
}

/// Whether a ticket lets its holder in at `at`: the how-manieth time (from 1), or why not. `known` is the window of the ticket's slot and what became of the
/// ticket; `room` is none where nobody knows it, and then nobody waits.
///
/// # Errors
/// The first that holds of: `wrong_museum`, `unknown_ticket`, `code_outdated`, `ticket_cancelled`, `ticket_blocked`, `ticket_moving`, `ticket_moved`,
/// `ticket_inside`, `ticket_under_review`, `too_early`, `too_late`, `ticket_used`, `wait`.
pub fn admission(shown: Shown, known: Option<(Window, &Ticket)>, room: Option<Room>, at: Timestamp) -> Result<u8, Refusal> {
    let (window, ticket) = shown.look_up(known)?;
    if shown.issue.is_some_and(|issue| issue != ticket.issue) {
        return Err(Refusal::CodeOutdated { issue: ticket.issue });
    }
    if let Some(reason) = ticket.blocked.filter(|_| ticket.state != TicketState::Cancelled) {
        return Err(Refusal::TicketBlocked { reason });
    }
    let entry = match ticket.state {
        TicketState::Cancelled => return Err(Refusal::TicketCancelled),
        TicketState::Moving => return Err(Refusal::TicketMoving),
        // What it became, the slot adds.
        TicketState::Moved => return Err(Refusal::TicketMoved { to: None }),
        TicketState::Inside { since, .. } => return Err(Refusal::TicketInside { since }),
        // A scan that comes to light late: its holder had not left yet.
        TicketState::Outside { first_at, left_at, .. } if at < left_at => return Err(Refusal::TicketInside { since: first_at }),
        TicketState::Valid => {
            // Compared here and nowhere else: nobody has to be woken for a ticket to become valid.
            if let Some(until) = ticket.review_until.filter(|until| at < *until) {
                return Err(Refusal::TicketUnderReview { until });
            }
            window.lets_in(at)?;
            1
        }
        TicketState::Outside { first_at, entries, .. } => {
            if entries > window.reentry.times_max || at > first_at.plus_seconds(i64::from(window.reentry.within_s)) {
                return Err(Refusal::TicketUsed { at: first_at });
            }
            entries.saturating_add(1)
        }
    };
    match room {
        Some(room) if room.is_full() => Err(Refusal::Wait { inside: room.inside, ceiling: room.ceiling }),
        _ => Ok(entry),
    }
}

/// Whether a ticket's holder may be noted as having left at `at`.
///
/// # Errors
/// The first that holds of: `wrong_museum`, `unknown_ticket`, `not_inside`.
pub fn exit(shown: Shown, known: Option<&Ticket>, at: Timestamp) -> Result<(), Refusal> {
    match shown.look_up(known)?.state {
        TicketState::Inside { since, .. } if since <= at => Ok(()),
        _ => Err(Refusal::NotInside),
    }
}
