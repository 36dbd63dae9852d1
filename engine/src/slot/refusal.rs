//! Why a slot says no. Codes are stable: callers match on them. The journal keeps the refusal that undid a move, so variants and their fields are append only.
//!
//! Precedence, first match wins; within a command, cheapest and most specific first:
//! 1. the shape of what is asked: `bad_lines`, `party_empty`, `party_too_large`, `same_slot`, `other_museum`, `id_taken`,
//!    `until_past`;
//! 2. the thing named: `unknown_hold`, `hold_sold`, `hold_released`, `hold_expired`, `hold_quoted`, `unknown_sale`, `unknown_ticket`,
//!    `unknown_entry`, `entry_ended`, `unknown_slot`, `not_moving`, `not_owed`;
//! 3. the state of the slot: `slot_closed`, `sale_not_open`, `sale_over`, `slot_over`, `not_closed`;
//! 4. the state of the thing: `already_extended`, `hold_kept`, `ticket_cancelled`, `ticket_used`, `ticket_moving`, `ticket_moved`, `ticket_blocked`,
//!    `ticket_under_review`, `not_blocked`, `not_under_review`, `review_too_late`, `issues_used_up`;
//! 5. money: `settlement_mismatch`, `settlement_not_allowed`, `not_sold_there`, `price_differs`, `nothing_to_pay_back`;
//! 6. places: `not_enough_places`; of staff: `quotas_too_large`; of the planning: `places_by_hand`, `beyond_stands`; of those who would wait:
//!    `places_available`, `waiting_list_full`, `too_many_waiting`;
//! 7. the buyer: `buyer_missing`, `hold_renewed`, `too_many_for_buyer`, `too_many_open_holds`, `too_many_for_day`.
//!
//! At the gate: `wrong_museum`, `unknown_ticket`, `code_outdated`, `ticket_cancelled`, `ticket_blocked`, `ticket_moving`, `ticket_moved`, `ticket_inside`,
//! `ticket_under_review`, `too_early`, `too_late`, `ticket_used`, `not_inside`, `wait`. Scans that come in later: `wrong_museum`, `unknown_ticket`, `scan_known`, `scan_in_future`,
//! `scan_too_old`, `not_inside`, `ticket_moving`, `too_many_conflicts`. Readings: `reading_in_future`, `reading_out_of_order`, `reading_stale`.

use serde::{Deserialize, Serialize};

use super::waiting_list::WaitingEnd;
use crate::channel::Channel;
use crate::ids::{Code, PaymentId, QuoteId, TicketId};
use crate::money::Cents;
use crate::time::Timestamp;

/// The order of the checks within a command, as above: what is looked at, and the codes of what may be wrong with it.
pub const STEPS: [(&str, &[&str]); 7] = [
    ("the shape of what is asked", &["bad_lines", "party_empty", "party_too_large", "same_slot", "other_museum", "id_taken", "until_past"]),
    (
        "the thing named",
        &[
            "unknown_hold",
            "hold_sold",
            "hold_released",
            "hold_expired",
            "hold_quoted",
            "unknown_sale",
            "unknown_ticket",
            "unknown_entry",
            "entry_ended",
            "unknown_slot",
            "not_moving",
            "not_owed",
        ],
    ),
    ("the state of the slot", &["slot_closed", "sale_not_open", "sale_over", "slot_over", "not_closed"]),
    (
        "the state of the thing",
        &[
            "already_extended",
            "hold_kept",
            "ticket_cancelled",
            "ticket_used",
            "ticket_moving",
            "ticket_moved",
            "ticket_blocked",
            "ticket_under_review",
            "not_blocked",
            "not_under_review",
            "review_too_late",
            "issues_used_up",
        ],
    ),
    ("money", &["settlement_mismatch", "settlement_not_allowed", "not_sold_there", "price_differs", "nothing_to_pay_back"]),
    (
        "places",
        &["not_enough_places", "quotas_too_large", "places_by_hand", "beyond_stands", "places_available", "waiting_list_full", "too_many_waiting"],
    ),
    ("the buyer", &["buyer_missing", "hold_renewed", "too_many_for_buyer", "too_many_open_holds", "too_many_for_day"]),
];

/// The order of the checks at the gate, as above, by their codes.
pub const STEPS_AT_GATE: [&str; 14] = [
    "wrong_museum",
    "unknown_ticket",
    "code_outdated",
    "ticket_cancelled",
    "ticket_blocked",
    "ticket_moving",
    "ticket_moved",
    "ticket_inside",
    "ticket_under_review",
    "too_early",
    "too_late",
    "ticket_used",
    "not_inside",
    "wait",
];

/// The order of the checks of a scan that comes in later, as above, by their codes.
pub const STEPS_OF_SCANS: [&str; 8] =
    ["wrong_museum", "unknown_ticket", "scan_known", "scan_in_future", "scan_too_old", "not_inside", "ticket_moving", "too_many_conflicts"];

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Lines that cannot be: none, more than 16, a category twice, a negative price or one above 10,000 euros; of a hold that is to have fewer places, more than it has.
    BadLines,
    /// Nobody is in the party.
    PartyEmpty,
    /// The party is larger than one hold may be.
    PartyTooLarge {
        /// The most people of one hold.
        max: u16,
    },
    /// The id chosen for a new hold or sale is in use; choose another.
    IdTaken,
    /// There is no such hold, or not for this caller.
    UnknownHold,
    /// The hold has become a sale.
    HoldSold,
    /// The hold was given back.
    HoldReleased,
    /// The hold ended by itself.
    HoldExpired {
        /// When its time was over, whenever that was noted.
        at: Timestamp,
    },
    /// There is no such sale, or not for this caller.
    UnknownSale,
    /// There is no such ticket.
    UnknownTicket,
    /// The slot is closed for sale.
    SlotClosed {
        /// Why, in one word.
        reason: Code,
    },
    /// Sales have not begun.
    SaleNotOpen {
        /// When they will.
        opens_at: Timestamp,
    },
    /// Sales have ended.
    SaleOver {
        /// When they did.
        closed_at: Timestamp,
    },
    /// The slot is over.
    SlotOver {
        /// When it ended.
        ended_at: Timestamp,
    },
    /// A hold is prolonged once only.
    AlreadyExtended,
    /// The ticket was cancelled.
    TicketCancelled,
    /// The ticket was admitted, and may not be again (or be cancelled any more).
    TicketUsed {
        /// When it was admitted.
        at: Timestamp,
    },
    /// None of these tickets is blocked.
    NotBlocked,
    /// The settlement does not fit what is due: `free` is for nothing, anything else for something.
    SettlementMismatch {
        /// What is due.
        due_cents: Cents,
    },
    /// This channel may not settle like that.
    SettlementNotAllowed {
        /// The channel of the hold.
        channel: Channel,
    },
    /// Fewer places are left, for this channel and now, than people.
    NotEnoughPlaces {
        /// How many people.
        asked: u32,
        /// How many places this channel may still have.
        available: u32,
        /// What holds the places back.
        limited_by: LimitedBy,
    },
    /// The channels' shares together are more than the slot has places.
    QuotasTooLarge {
        /// What they reserve together.
        reserved: u32,
        /// How many places there are.
        capacity: u32,
    },
    /// The ticket is for another museum.
    WrongMuseum,
    /// The code was issued before the ticket was moved or renamed: ask for the new one.
    CodeOutdated {
        /// The issue number that counts now.
        issue: u16,
    },
    /// The ticket is blocked.
    TicketBlocked {
        /// Why, in one word.
        reason: Code,
    },
    /// The ticket's holder is inside.
    TicketInside {
        /// Since when.
        since: Timestamp,
    },
    /// The gate is not open for this slot yet.
    TooEarly {
        /// When it will be.
        opens_at: Timestamp,
    },
    /// The gate is closed for this slot.
    TooLate {
        /// When it closed.
        closed_at: Timestamp,
    },
    /// The ticket's holder is not inside.
    NotInside,
    /// The building is full: wait for people to leave. The ticket stays good.
    Wait {
        /// People inside, as estimated, at the upper bound.
        inside: u32,
        /// How many may be.
        ceiling: u32,
    },
    /// A reading from the future: check the sensor's clock.
    ReadingInFuture,
    /// A newer reading is known.
    ReadingOutOfOrder,
    /// The reading is older than the policy believes.
    ReadingStale,
    /// The scan is known: it was sent before.
    ScanKnown,
    /// A scan from the future: check the gate's clock.
    ScanInFuture,
    /// The scan is too old to be taken in.
    ScanTooOld,
    /// The slot keeps as many conflicts as it can.
    TooManyConflicts,
    /// Nobody has to wait: these places can be held now.
    PlacesAvailable {
        /// How many places this channel may have.
        available: u32,
    },
    /// Too many wait already.
    WaitingListFull {
        /// The most parties that wait for one slot.
        max: u32,
    },
    /// There is no such entry of the waiting list, or not for this caller.
    UnknownEntry,
    /// The entry is over.
    EntryEnded {
        /// How it ended.
        how: WaitingEnd,
        /// When.
        at: Timestamp,
    },
    /// A move to the slot where the tickets are.
    SameSlot,
    /// A move to another museum.
    OtherMuseum,
    /// There is no such slot to move to.
    UnknownSlot,
    /// The other slot does not sell this category.
    NotSoldThere {
        /// Which.
        category: Code,
    },
    /// The same categories cost something else in the other slot: cancel, and book anew.
    PriceDiffers {
        /// What was paid for these tickets.
        paid_cents: Cents,
        /// What they cost there.
        price_cents: Cents,
    },
    /// The ticket is on its way to another slot, for a moment.
    TicketMoving,
    /// The ticket was moved to another slot.
    TicketMoved {
        /// The ticket that it became, where that is known.
        to: Option<TicketId>,
    },
    /// Nothing is on its way under that id.
    NotMoving,
    /// The ticket's code was issued anew so often that there is no number left.
    IssuesUsedUp,
    /// Places would be kept until a time that is over.
    UntilPast,
    /// A payment is under way for what is held: it stays as it is, and is sold to nobody else.
    HoldKept {
        /// Which payment.
        payment: PaymentId,
    },
    /// Nobody has to be told of a refund under that number.
    NotOwed,
    /// The caller has as many parties on the waiting list as one may.
    TooManyWaiting {
        /// The most parties of one caller that wait for one slot.
        max: u32,
    },
    /// The sale is being looked at: its tickets are valid later.
    TicketUnderReview {
        /// When, at the latest.
        until: Timestamp,
    },
    /// The sale is not under review.
    NotUnderReview,
    /// The gate opens too soon for a review.
    ReviewTooLate,
    /// The buyer would have more people in this slot than one may.
    TooManyForBuyer {
        /// The most people.
        max: u16,
        /// How many are in its holds and tickets.
        has: u32,
    },
    /// The buyer has as many open holds, in this slot or at this museum, as one may: pay or give one back.
    TooManyOpenHolds {
        /// The most holds.
        max: u16,
    },
    /// The buyer would have more people in this museum on this day than one may.
    TooManyForDay {
        /// The most people.
        max: u16,
        /// How many are in its holds, entries of waiting lists and tickets.
        has: u32,
    },
    /// The hold is an option of a quote: it is sold and given back by what becomes of the quote.
    HoldQuoted {
        /// Which quote.
        quote: QuoteId,
    },
    /// Staff set the places of this slot by hand: nothing is sold beyond them by itself.
    PlacesByHand,
    /// So many are sold beyond the places already, or have to stay so because they are taken.
    BeyondStands {
        /// How many.
        beyond: u32,
    },
    /// Over the web places are kept for somebody: a buyer or a device.
    BuyerMissing,
    /// The same buyer or device has just held places of this slot and not bought them: others come first.
    HoldRenewed {
        /// From when they may hold places here again.
        again_at: Timestamp,
        /// In how many seconds that is, rounded up.
        wait_s: u32,
    },
    /// The slot is not closed, so that there is nothing to take back.
    NotClosed,
    /// All that the cancelled tickets of the sale cost goes back already, or none is cancelled.
    NothingToPayBack,
}

/// What holds places back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitedBy {
    /// All places are taken.
    Capacity,
    /// The rest is kept for other channels until their release.
    OtherQuotas,
    /// This channel has reached its own limit.
    OwnLimit,
    /// Too many people are inside the building.
    LiveCap,
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadLines => "bad_lines",
            Self::PartyEmpty => "party_empty",
            Self::PartyTooLarge { .. } => "party_too_large",
            Self::IdTaken => "id_taken",
            Self::UnknownHold => "unknown_hold",
            Self::HoldSold => "hold_sold",
            Self::HoldReleased => "hold_released",
            Self::HoldExpired { .. } => "hold_expired",
            Self::UnknownSale => "unknown_sale",
            Self::UnknownTicket => "unknown_ticket",
            Self::SlotClosed { .. } => "slot_closed",
            Self::SaleNotOpen { .. } => "sale_not_open",
            Self::SaleOver { .. } => "sale_over",
            Self::SlotOver { .. } => "slot_over",
            Self::AlreadyExtended => "already_extended",
            Self::TicketCancelled => "ticket_cancelled",
            Self::TicketUsed { .. } => "ticket_used",
            Self::NotBlocked => "not_blocked",
            Self::SettlementMismatch { .. } => "settlement_mismatch",
            Self::SettlementNotAllowed { .. } => "settlement_not_allowed",
            Self::NotEnoughPlaces { .. } => "not_enough_places",
            Self::QuotasTooLarge { .. } => "quotas_too_large",
            Self::WrongMuseum => "wrong_museum",
            Self::CodeOutdated { .. } => "code_outdated",
            Self::TicketBlocked { .. } => "ticket_blocked",
            Self::TicketInside { .. } => "ticket_inside",
            Self::TooEarly { .. } => "too_early",
            Self::TooLate { .. } => "too_late",
            Self::NotInside => "not_inside",
            Self::Wait { .. } => "wait",
            Self::ReadingInFuture => "reading_in_future",
            Self::ReadingOutOfOrder => "reading_out_of_order",
            Self::ReadingStale => "reading_stale",
            Self::ScanKnown => "scan_known",
            Self::ScanInFuture => "scan_in_future",
            Self::ScanTooOld => "scan_too_old",
            Self::TooManyConflicts => "too_many_conflicts",
            Self::PlacesAvailable { .. } => "places_available",
            Self::WaitingListFull { .. } => "waiting_list_full",
            Self::UnknownEntry => "unknown_entry",
            Self::EntryEnded { .. } => "entry_ended",
            Self::SameSlot => "same_slot",
            Self::OtherMuseum => "other_museum",
            Self::UnknownSlot => "unknown_slot",
            Self::NotSoldThere { .. } => "not_sold_there",
            Self::PriceDiffers { .. } => "price_differs",
            Self::TicketMoving => "ticket_moving",
            Self::TicketMoved { .. } => "ticket_moved",
            Self::NotMoving => "not_moving",
            Self::IssuesUsedUp => "issues_used_up",
            Self::UntilPast => "until_past",
            Self::HoldKept { .. } => "hold_kept",
            Self::NotOwed => "not_owed",
            Self::TooManyWaiting { .. } => "too_many_waiting",
            Self::TicketUnderReview { .. } => "ticket_under_review",
            Self::NotUnderReview => "not_under_review",
            Self::ReviewTooLate => "review_too_late",
            Self::TooManyForBuyer { .. } => "too_many_for_buyer",
            Self::TooManyOpenHolds { .. } => "too_many_open_holds",
            Self::TooManyForDay { .. } => "too_many_for_day",
            Self::HoldQuoted { .. } => "hold_quoted",
            Self::PlacesByHand => "places_by_hand",
            Self::BeyondStands { .. } => "beyond_stands",
            Self::BuyerMissing => "buyer_missing",
            Self::HoldRenewed { .. } => "hold_renewed",
            Self::NotClosed => "not_closed",
            Self::NothingToPayBack => "nothing_to_pay_back",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_order_is_the_published_one() {
        let heading = |line: &&str| line.starts_with("//!");
        let documented: Vec<&str> = include_str!("refusal.rs").lines().filter(heading).flat_map(|line| line.split('`').skip(1).step_by(2)).collect();
        let published: Vec<&str> = STEPS.iter().flat_map(|(_, codes)| codes.iter().copied()).chain(STEPS_AT_GATE).chain(STEPS_OF_SCANS).collect();
        let readings = [Refusal::ReadingInFuture, Refusal::ReadingOutOfOrder, Refusal::ReadingStale].map(|refusal| refusal.code());
        assert_eq!(documented, [published, readings.to_vec()].concat());
    }
}
