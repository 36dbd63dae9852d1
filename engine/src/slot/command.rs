//! What can be asked of a slot. A command carries all that comes from outside: ids, prices, who acts for whom.

use serde::{Deserialize, Serialize};

use super::event::{Arrived, CancelCause, Keeper, Line, Scan, Settlement, Words};
use super::opening::{Opening, Quota};
use super::refusal::Refusal;
use super::verdict::Room;
use crate::channel::Channel;
use crate::grant::Grant;
use crate::ids::{Code, HoldId, KeyId, MuseumId, PaymentId, PersonId, TicketId};
use crate::money::Cents;
use crate::time::Timestamp;

/// One command to one slot.
///
/// `owner` fields: when one is given, the hold or sale must have been made by that key; any other is unknown to the caller. Staff give none, and may not
/// touch the holds that a quote keeps: these are the system's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Keep places for a while, all or nothing, at the prices given.
    Hold {
        /// The new hold's id.
        hold: HoldId,
        /// Through which channel.
        channel: Channel,
        /// Categories, counts and prices.
        lines: Vec<Line>,
    },
    /// Prolong a hold, once.
    Extend {
        /// Which hold.
        hold: HoldId,
        /// Whose hold it must be.
        owner: Option<KeyId>,
    },
    /// Give held places back.
    Release {
        /// Which hold.
        hold: HoldId,
        /// Whose hold it must be.
        owner: Option<KeyId>,
    },
    /// Make a hold a sale; one that a payment keeps only if it is settled by that payment.
    Sell {
        /// Which hold.
        hold: HoldId,
        /// Whose hold it must be.
        owner: Option<KeyId>,
        /// How it was paid.
        settlement: Settlement,
        /// Contact data, kept apart under this number.
        contact: Option<PersonId>,
    },
    /// As [`Command::Sell`], for a hold that somebody has paid for. The hold must still have these lines: one that was amended meanwhile is unknown.
    SellPaid {
        /// Which hold.
        hold: HoldId,
        /// Whose hold it must be.
        owner: Option<KeyId>,
        /// Categories, counts and prices, as they were paid for.
        lines: Vec<Line>,
        /// The payment that may keep it all the same: the one whose money this is, or one that needs it no more.
        keeper: Option<PaymentId>,
        /// How it was paid.
        settlement: Settlement,
        /// Contact data, kept apart under this number.
        contact: Option<PersonId>,
    },
    /// Sell without a hold before it, as at the desk.
    SellDirect {
        /// The new sale's id.
        sale: HoldId,
        /// Through which channel.
        channel: Channel,
        /// Categories, counts and prices.
        lines: Vec<Line>,
        /// How it was paid.
        settlement: Settlement,
        /// Contact data, kept apart under this number.
        contact: Option<PersonId>,
    },
    /// Cancel a whole sale, or some of its tickets.
    Cancel {
        /// Which sale.
        sale: HoldId,
        /// Whose sale it must be.
        owner: Option<KeyId>,
        /// Ticket numbers; empty: all that are neither used nor cancelled.
        tickets: Vec<u16>,
        /// Why, which decides the refund.
        cause: CancelCause,
    },
    /// Say of what is cancelled of a sale already that the museum was the cause of it, and not the visitor: what was not paid back of it is.
    CorrectCause {
        /// Which sale.
        sale: HoldId,
        /// Whose sale it must be.
        owner: Option<KeyId>,
    },
    /// Keep tickets from being admitted.
    Block {
        /// Which sale.
        sale: HoldId,
        /// Ticket numbers; empty: all that still stand.
        tickets: Vec<u16>,
        /// Why, in one word; shown at the gate.
        reason: Code,
    },
    /// Lift a block.
    Unblock {
        /// Which sale.
        sale: HoldId,
        /// Ticket numbers; empty: all that are blocked.
        tickets: Vec<u16>,
        /// Only what they are blocked for with this word; none: whatever they are blocked for.
        reason: Option<Code>,
        /// What stays all the same, as a verdict that stands says it.
        keeps: Option<Code>,
    },
    /// Let a ticket in at a gate.
    Admit {
        /// Which ticket.
        ticket: TicketId,
        /// The issue number on the code that was shown; none: the gate typed the ticket's id.
        issue: Option<u16>,
        /// Which gate.
        gate: Code,
        /// The museum where the gate stands.
        museum: MuseumId,
    },
    /// Note that a ticket's holder left.
    Exit {
        /// Which ticket.
        ticket: TicketId,
        /// Which gate.
        gate: Code,
        /// The museum where the gate stands.
        museum: MuseumId,
    },
    /// Change the number of places; a cut below what is taken is accepted and never sold into.
    SetCapacity {
        /// The new number of places.
        capacity: u32,
    },
    /// Change the channels' shares.
    SetQuotas {
        /// In the order of [`Channel::ALL`].
        quotas: [Quota; Channel::COUNT],
    },
    /// Stop selling; what was sold stays sold and may be cancelled with a full refund.
    Close {
        /// Why, in one word.
        reason: Code,
    },
    /// Sell again.
    Reopen,
    /// As [`Command::Close`], because the museum calls off the whole day. What is closed already stays closed for its own reason, and what is over stays as it is.
    CloseWithDay {
        /// Why, in one word.
        reason: Code,
    },
    /// As [`Command::Reopen`], because the day takes place after all: only what is closed for this reason.
    ReopenWithDay {
        /// Why the day was called off, in one word.
        reason: Code,
        /// For what else it is called off, if it is: then the slot stays closed, and for that from now on.
        still: Option<Code>,
    },
    /// As [`Command::ReopenWithDay`] where it is called off for nothing else, by what is planned by now: a slot of which nobody has anything, and whose places nobody has set by hand,
    /// is opened anew as that says.
    ReopenAsPlanned {
        /// Why the day was called off, in one word.
        reason: Code,
        /// The slot as it is planned now.
        opening: Box<Opening>,
    },
    /// What sensors say of the people inside the building.
    Observe {
        /// Which sensor or estimate.
        source: Code,
        /// People inside.
        inside: u32,
        /// Its standard deviation, in people, rounded up.
        sd: u32,
        /// When it was measured.
        measured_at: Timestamp,
        /// The most people who may be inside the building at once, as the museum says today; none: readings limit nothing.
        ceiling: Option<u32>,
        /// This slot's part of the room that the reading leaves, where the museum shares it out; none: all of it.
        grant: Option<Grant>,
        /// Of what the people inside were counted.
        words: Words,
    },
    /// Take in what a gate without a network has let in or out.
    Merge {
        /// What was scanned, where and when.
        scan: Scan,
        /// The issue number on the code that was shown; none: the gate typed the ticket's id.
        issue: Option<u16>,
        /// The museum where the gate stands.
        museum: MuseumId,
    },
    /// Wait for places that are not to be had now, all or nothing, at the prices given.
    Wait {
        /// The new entry's id; an offer will be a hold of the same id.
        entry: HoldId,
        /// Who asks: one caller may have so many parties on the list and no more.
        who: KeyId,
        /// Through which channel.
        channel: Channel,
        /// Categories, counts and prices.
        lines: Vec<Line>,
    },
    /// Wait no longer; an offer is given back.
    LeaveWaiting {
        /// Which entry.
        entry: HoldId,
        /// Whose entry it must be.
        owner: Option<KeyId>,
    },
    /// Wait for fewer places, at the prices that they have, and keep the turn; of an offer the others are given back, as by [`Command::Shrink`].
    WaitForFewer {
        /// Which entry.
        entry: HoldId,
        /// How many people of each category from now on, as many as wait or fewer; none of a category that is not named.
        counts: Vec<(Code, u16)>,
        /// Whose entry it must be.
        owner: Option<KeyId>,
        /// The payment that its offer was kept for, which needs it no more.
        over: Option<PaymentId>,
    },
    /// Send tickets on their way to another slot of the museum: the first step of a move. With no owner also those that are under review.
    BeginMove {
        /// Which sale.
        sale: HoldId,
        /// Whose sale it must be.
        owner: Option<KeyId>,
        /// Ticket numbers; empty: all that are neither used nor cancelled.
        tickets: Vec<u16>,
        /// The id of the new sale, and with it the other slot.
        arrival: HoldId,
        /// The channel of whoever moves them.
        via: Channel,
        /// What each category of the sale costs in the other slot, for the channel that sold; those that it does not have are left out.
        prices: Vec<(Code, Cents)>,
    },
    /// Take tickets of another slot in: the second step.
    Arrive {
        /// What would have happened then.
        arrived: Box<Arrived>,
        /// The channel of whoever moves them.
        via: Channel,
        /// Whether they are to be under review from then on, as the move was suspected when it was asked for.
        asks_review: bool,
        /// Until when they are under review where they come from: that goes on, at most until half an hour before the gate opens here.
        review_until: Option<Timestamp>,
        /// Whether whoever bought them is known where they come from, or had to be named there.
        named: bool,
    },
    /// Let go of tickets that have arrived in the other slot: the third step.
    FinishMove {
        /// The sale that they became.
        arrival: HoldId,
    },
    /// Let tickets stand again that the other slot did not take: the undo of the first step.
    UndoMove {
        /// The sale that they did not become.
        arrival: HoldId,
        /// Why not.
        why: Refusal,
    },
    /// Issue the codes of tickets anew, for another holder.
    Rename {
        /// Which sale.
        sale: HoldId,
        /// Whose sale it must be.
        owner: Option<KeyId>,
        /// Ticket numbers; empty: all that are neither used nor cancelled.
        tickets: Vec<u16>,
        /// Whose name stands on them, kept apart under this number; none: nobody's.
        holder: Option<PersonId>,
    },
    /// Keep places for a payment or a quote, until a time that it says.
    HoldFor {
        /// The new hold's id.
        hold: HoldId,
        /// Through which channel.
        channel: Channel,
        /// Categories, counts and prices.
        lines: Vec<Line>,
        /// Until when, if the sales of the channel last so long.
        until: Timestamp,
        /// For what.
        cause: Keeper,
    },
    /// Let a hold live until a time that a payment or a quote says. It never ends earlier for that, and keeps the extension that its buyer may ask for.
    Prolong {
        /// Which hold.
        hold: HoldId,
        /// Until when, if the sales of the channel last so long.
        until: Timestamp,
        /// For what.
        cause: Keeper,
    },
    /// Change what a hold is of: only the places that it has not are taken, those that it needs no more are free.
    Amend {
        /// Which hold.
        hold: HoldId,
        /// Categories, counts and prices, all of them.
        lines: Vec<Line>,
        /// Whose hold it must be.
        owner: Option<KeyId>,
    },
    /// Keep the tickets of a sale from the gate until somebody has looked at it, or the time for that is over.
    Review {
        /// Which sale.
        sale: HoldId,
    },
    /// End a review before its time.
    EndReview {
        /// Which sale.
        sale: HoldId,
        /// Whether the sale was found to be honest; else its tickets are blocked by another command.
        cleared: bool,
    },
    /// As [`Command::Release`], for a hold that was kept for something that is over.
    GiveBack {
        /// Which hold.
        hold: HoldId,
        /// Whose hold it must be.
        owner: Option<KeyId>,
        /// For what it was kept, which needs it no more.
        over: Keeper,
    },
    /// Note that whoever has the money knows of a refund that the slot owed a word of.
    HandedOver {
        /// The sale of which tickets were cancelled.
        sale: HoldId,
        /// The number of the slot's record that cancelled them.
        seq: u64,
    },
    /// Sell so many places beyond the slot's own, because some of those who have tickets will not come; 0: no more than there are. What is sold stays sold. If less is
    /// asked for than is taken beyond the places already, or kept for a channel, that much stays for sale, and one less with each place that is given back.
    SellBeyond {
        /// How many more than there are.
        beyond: u32,
        /// The most people that may be sold to: what the museum's ceiling leaves beside the slots that run at the same time; none: there is no ceiling.
        ceiling: Option<u32>,
        /// The probability that anybody is turned away if all of them are sold, in millionths.
        turn_away_ppm: u32,
    },
    /// Keep a hold for a payment that is about to begin. The hold lives no longer for that. Of several payments that begin for one hold at once, one has it.
    Bind {
        /// Which hold.
        hold: HoldId,
        /// For which payment.
        payment: PaymentId,
        /// The payment that it was kept for, which needs it no more.
        over: Option<PaymentId>,
    },
    /// Give a command that sells, and put one person's name on every ticket from the start, as [`Command::Rename`] does: both, or neither.
    SellNamed {
        /// [`Command::Sell`], [`Command::SellPaid`] or [`Command::SellDirect`].
        sell: Box<Self>,
        /// Whose name stands on all tickets, kept apart under this number.
        holder: PersonId,
    },
    /// As [`Command::Admit`], with a count of the people in the building, made at the gates of all slots. Nobody comes in if the building is full by that count, or by
    /// what the slot itself knows.
    AdmitWithin {
        /// Which ticket.
        ticket: TicketId,
        /// The issue number on the code that was shown; none: the gate typed the ticket's id.
        issue: Option<u16>,
        /// Which gate.
        gate: Code,
        /// The museum where the gate stands.
        museum: MuseumId,
        /// The people in the building, and how many may be.
        room: Room,
    },
    /// A command that keeps places, waits for some or gives some of a hold back, together with a number that was drawn by lot and is told to nobody. In a slot that lets places
    /// rest, the number decides how long these places rest: if nobody buys them, or from now on if they are given back.
    Drawn {
        /// [`Command::Hold`], [`Command::Wait`], [`Command::Shrink`] or [`Command::WaitForFewer`]; to any other the lot says nothing.
        asked: Box<Self>,
        /// Any number, each as likely as another.
        draw: u32,
    },
    /// Keep fewer places of a hold, at the prices that it has: those that are left out are given back, as by [`Command::Release`].
    Shrink {
        /// Which hold.
        hold: HoldId,
        /// How many people of each category from now on, as many as are held or fewer; none of a category that is not named.
        counts: Vec<(Code, u16)>,
        /// Whose hold it must be.
        owner: Option<KeyId>,
        /// The payment that it was kept for, which needs it no more.
        over: Option<PaymentId>,
    },
}

impl Command {
    /// The same command, with a person's name on every ticket that it sells; without one it stays as it is.
    #[must_use]
    pub fn named(self, holder: Option<PersonId>) -> Self {
        match holder {
            Some(holder) => Self::SellNamed { sell: Box::new(self), holder },
            None => self,
        }
    }

    /// What is asked for, whoever's name is to stand on it and whatever was drawn with it.
    #[must_use]
    pub fn unnamed(&self) -> &Self {
        match self {
            Self::SellNamed { sell, .. } => sell,
            Self::Drawn { asked, .. } => asked,
            other => other,
        }
    }

    /// The same command, with what was drawn for it.
    #[must_use]
    pub fn drawn(self, draw: u32) -> Self {
        Self::Drawn { asked: Box::new(self), draw }
    }
}
