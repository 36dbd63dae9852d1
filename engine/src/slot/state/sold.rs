//! What was sold: a sale with its tickets and what has become of each, and its moves to other slots.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::Channel;
use super::super::event::{Line, MoveBegun, Settlement, people};
use crate::envelope::Digest;
use crate::ids::{Code, KeyId, OrderId, PersonId, TicketId};
use crate::money::Cents;
use crate::time::Timestamp;

/// Places that were sold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sale {
    /// Who sold.
    pub who: KeyId,
    /// Through which channel.
    pub channel: Channel,
    /// What was sold, at which prices.
    pub lines: Vec<Line>,
    /// How it was paid.
    pub settlement: Settlement,
    /// Contact data, kept apart under this number.
    pub contact: Option<PersonId>,
    /// The order that it belongs to.
    pub order: Option<OrderId>,
    /// When it was sold.
    pub sold_at: Timestamp,
    /// What was paid back or is to be.
    pub refunded_cents: Cents,
    /// What of that whoever has the money has been told of.
    pub handed_over_cents: Cents,
    /// One for each person, in the order of the lines.
    pub tickets: Vec<Ticket>,
    /// What of it stands in other slots, because tickets have moved there.
    pub carried_cents: Cents,
    /// The most percent that a cancellation by the visitor pays back: 100, unless the tickets came from a slot that would have paid back less.
    pub refund_percent_max: u8,
    /// Moves of its tickets to other slots, under way or done, in the order in which they began.
    pub moves: Vec<Move>,
    /// Whose names stand on tickets, kept apart, by the tickets' numbers; also on those that were cancelled.
    pub holders: BTreeMap<u16, PersonId>,
    /// The pseudonym of who bought, if the channel named one.
    pub buyer: Option<Digest>,
    /// Why staff block tickets that are blocked as [`FRAUD`] as well, by the tickets' numbers: that is what they are blocked for once nobody says fraud any more.
    pub beneath: BTreeMap<u16, Code>,
}

/// What a verdict blocks tickets for. Whatever else they are blocked for is a word of staff, the last one: that of a verdict stands beside it, and above.
pub const FRAUD: &str = "fraud";

impl Sale {
    /// The ticket that one of this sale became, or is to become, in another slot.
    #[must_use]
    pub fn moved_to(&self, number: u16) -> Option<TicketId> {
        // An undone move is not kept, so a ticket is in one at most.
        self.moves.iter().find_map(|moved| moved.begun.ticket(number))
    }

    /// Whose names tickets bear, by their numbers. One that was cancelled lets nobody in, and bears none any more.
    pub fn names(&self) -> impl Iterator<Item = (u16, PersonId)> {
        let counts = move |number: u16| self.tickets.get(usize::from(number)).is_some_and(|ticket| ticket.state != TicketState::Cancelled);
        self.holders.iter().map(|(number, person)| (*number, *person)).filter(move |(number, _)| counts(*number))
    }

    pub(super) fn new(who: KeyId, channel: Channel, lines: Vec<Line>, settlement: Settlement, at: Timestamp) -> Box<Self> {
        Box::new(Self {
            who,
            channel,
            tickets: vec![Ticket { issue: 1, state: TicketState::Valid, blocked: None, review_until: None }; people(&lines) as usize],
            lines,
            settlement,
            contact: None,
            order: None,
            sold_at: at,
            refunded_cents: Cents::ZERO,
            handed_over_cents: Cents::ZERO,
            carried_cents: Cents::ZERO,
            refund_percent_max: 100,
            moves: Vec::new(),
            holders: BTreeMap::new(),
            buyer: None,
            beneath: BTreeMap::new(),
        })
    }
}

/// A move of tickets to another slot, unless it was undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// What was begun.
    pub begun: MoveBegun,
    /// How far it is.
    pub stage: MoveStage,
}

impl Move {
    /// Whether the tickets have arrived.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.stage, MoveStage::Done)
    }
}

/// How far a move is. Variants are numbered in snapshots, and the first two as the yes or no that stood there before moves were reviewed: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MoveStage {
    /// The tickets are on their way.
    UnderWay,
    /// They have arrived.
    Done,
    /// They are on their way, and to be under review from when they arrive.
    UnderWayToReview,
}

impl MoveBegun {
    /// The ticket that the one with this number becomes.
    #[must_use]
    pub fn ticket(&self, number: u16) -> Option<TicketId> {
        self.tickets.binary_search(&number).ok().map(|place| self.arrival.ticket(place as u16))
    }
}

/// One person's ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Which issue of the code counts.
    pub issue: u16,
    /// What became of it.
    pub state: TicketState,
    /// Why it may not be admitted, if it may not; [`FRAUD`] if that is one of two reasons.
    pub blocked: Option<Code>,
    /// Before then it is not admitted, as its sale is being looked at.
    pub review_until: Option<Timestamp>,
}

/// What became of a ticket. Variants are numbered in the journal: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TicketState {
    /// Not used yet.
    Valid,
    /// Its holder is inside.
    Inside {
        /// When it was first let in.
        first_at: Timestamp,
        /// When it was last let in.
        since: Timestamp,
        /// How many times it was let in.
        entries: u8,
    },
    /// Its holder has left.
    Outside {
        /// When it was first let in.
        first_at: Timestamp,
        /// When its holder left.
        left_at: Timestamp,
        /// How many times it was let in.
        entries: u8,
    },
    /// It counts no more.
    Cancelled,
    /// It is on its way to another slot, and good nowhere meanwhile.
    Moving,
    /// It has become a ticket of another slot.
    Moved,
}

impl TicketState {
    /// Whether its holder is inside.
    #[must_use]
    pub const fn is_inside(self) -> bool {
        matches!(self, Self::Inside { .. })
    }

    /// How many times it was let in.
    #[must_use]
    pub const fn entries(self) -> u8 {
        match self {
            Self::Inside { entries, .. } | Self::Outside { entries, .. } => entries,
            Self::Valid | Self::Cancelled | Self::Moving | Self::Moved => 0,
        }
    }

    /// When the ticket was first let in, if it was.
    #[must_use]
    pub const fn first_at(self) -> Option<Timestamp> {
        match self {
            Self::Inside { first_at, .. } | Self::Outside { first_at, .. } => Some(first_at),
            Self::Valid | Self::Cancelled | Self::Moving | Self::Moved => None,
        }
    }

    /// What becomes of the ticket when its holder is let in at `at` for the `entry`th time.
    #[must_use]
    pub const fn entered(self, at: Timestamp, entry: u8) -> Self {
        let first_at = match self {
            // Inside already: of what is certain of one instant somebody may have come twice.
            Self::Outside { first_at, .. } | Self::Inside { first_at, .. } => first_at,
            Self::Valid | Self::Cancelled | Self::Moving | Self::Moved => at,
        };
        Self::Inside { first_at, since: at, entries: entry }
    }

    /// What becomes of the ticket when its holder leaves at `at`.
    #[must_use]
    pub const fn left(self, at: Timestamp) -> Self {
        match self {
            // Outside already: what is certain may tell twice that somebody left, and then it was the later time.
            Self::Inside { first_at, entries, .. } | Self::Outside { first_at, entries, .. } => Self::Outside { first_at, left_at: at, entries },
            other @ (Self::Valid | Self::Cancelled | Self::Moving | Self::Moved) => other,
        }
    }
}
