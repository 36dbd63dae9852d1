//! What happened to a slot: the journal's words. Each event is a fact that `apply` takes as it is; no rule is needed to understand it. An answer to a caller
//! is always built from events, so that a repeat of the same key gives the same answer for as long as the journal exists.

use serde::{Deserialize, Serialize};

use super::opening::{Opening, Quota};
use super::refusal::Refusal;
use super::state::TicketState;
use crate::channel::Channel;
use crate::envelope::Digest;
use crate::ids::{Code, HoldId, KeyId, OrderId, PaymentId, PersonId, QuoteId, TicketId};
use crate::money::Cents;
use crate::tariff::Proof;
use crate::time::Timestamp;

/// Some places of one category at one price, frozen when they were held.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Line {
    /// The tariff's category.
    pub category: Code,
    /// How many people.
    pub count: u16,
    /// For each of them.
    pub price_cents: Cents,
    /// What the gate has to look at.
    pub proof: Proof,
}

/// How a sale was paid. Money stands in one stream only: desk and account money is a fact of the slot. Variants are numbered in the journal: append only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settlement {
    /// Nothing was due.
    Free,
    /// Paid at a desk or kiosk.
    Desk {
        /// Which till.
        till: Code,
        /// With what.
        method: DeskMethod,
        /// Receipt or terminal reference, as the desk knows it.
        reference: String,
    },
    /// To be invoiced to a reseller or group.
    OnAccount {
        /// Which account.
        account: Code,
    },
    /// Paid for in another slot, whose sale carried the amount out when its tickets moved here.
    Moved {
        /// The sale there.
        from: HoldId,
    },
    /// By a payment, whose stream has the money.
    Payment {
        /// Which.
        id: PaymentId,
    },
    /// On the account of an operator, charged for the quote that the places were kept for.
    Quoted {
        /// Which account.
        account: Code,
        /// Which quote.
        quote: QuoteId,
    },
}

/// For what places are kept longer than for a buyer who makes up his mind. Variants are numbered in the journal: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keeper {
    /// A payment under way.
    Payment(PaymentId),
    /// A quote of the group office.
    Quote(QuoteId),
}

/// What was handed over at a desk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeskMethod {
    /// Notes and coins.
    Cash,
    /// A card on the desk's terminal.
    Card,
}

/// Why tickets were cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelCause {
    /// The visitor asked: the refund policy decides.
    Visitor,
    /// The museum cannot keep its word: all is paid back.
    Museum,
}

/// The slot was touched for the first time: how it was planned. Or its day takes place after all and nobody has anything of it: how it is planned by then.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Opened {
    /// As planned at that moment.
    pub opening: Opening,
}

/// Places are kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Held {
    /// The new hold.
    pub hold: HoldId,
    /// Through which channel.
    pub channel: Channel,
    /// What is held, at which prices.
    pub lines: Vec<Line>,
    /// When the hold ends by itself.
    pub expires_at: Timestamp,
}

/// A hold lives longer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Extended {
    /// Which hold.
    pub hold: HoldId,
    /// When it ends by itself now.
    pub expires_at: Timestamp,
}

/// A hold lives longer, or at least as long, for a payment or a quote.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Prolonged {
    /// Which hold.
    pub hold: HoldId,
    /// When it ends by itself now; never earlier than before.
    pub expires_at: Timestamp,
    /// For what.
    pub cause: Keeper,
}

/// A hold is of something else: as many places as its lines say now, which it had or took. Or an entry that waits does so for fewer places, and keeps its turn.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Amended {
    /// Which hold, or entry.
    pub hold: HoldId,
    /// What is held now, or waited for, at which prices.
    pub lines: Vec<Line>,
}

/// A hold was given back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Released {
    /// Which hold.
    pub hold: HoldId,
}

/// A hold's time was over.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Expired {
    /// Which hold.
    pub hold: HoldId,
}

/// Places were sold; one ticket for each person, numbered from 0 in the order of the lines.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sold {
    /// The sale: the id of the hold that it was.
    pub sale: HoldId,
    /// Whether there was a hold before.
    pub held: bool,
    /// Through which channel.
    pub channel: Channel,
    /// What was sold, at which prices.
    pub lines: Vec<Line>,
    /// How it was paid.
    pub settlement: Settlement,
    /// Contact data, kept apart under this number.
    pub contact: Option<PersonId>,
    /// Whose hold it was, and so whose sale it is, whoever sold it; none if nobody had held it, or the system had for a quote, and of sales from before this was noted.
    pub held_by: Option<KeyId>,
}

/// Tickets were cancelled; or the museum was the cause of what was cancelled of the sale before, and not the visitor.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cancelled {
    /// Of which sale.
    pub sale: HoldId,
    /// Their numbers, ascending; none, where another cause is named of those that were cancelled before.
    pub tickets: Vec<u16>,
    /// What is to be paid back.
    pub refund_cents: Cents,
    /// Why.
    pub cause: CancelCause,
}

/// Whoever has the money knows of a refund that the slot owed a word of: the payment, also that of a desk's sale, or the account.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HandedOver {
    /// The sale of which tickets were cancelled.
    pub sale: HoldId,
    /// The number of the slot's record that cancelled them.
    pub seq: u64,
}

/// Tickets may not be admitted until the block is lifted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Blocked {
    /// Of which sale.
    pub sale: HoldId,
    /// Their numbers, ascending.
    pub tickets: Vec<u16>,
    /// Why, in one word.
    pub reason: Code,
}

/// All blocks of tickets were lifted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Unblocked {
    /// Of which sale.
    pub sale: HoldId,
    /// Their numbers, ascending.
    pub tickets: Vec<u16>,
}

/// One of two blocks was lifted: the tickets stay blocked for the other reason.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BlockLifted {
    /// Of which sale.
    pub sale: HoldId,
    /// Their numbers, ascending.
    pub tickets: Vec<u16>,
    /// Why they were blocked, and are no more.
    pub reason: Code,
}

/// Somebody went in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Admitted {
    /// On which ticket.
    pub ticket: TicketId,
    /// Through which gate.
    pub gate: Code,
    /// The how-manieth time, from 1.
    pub entry: u8,
    /// The ticket's category.
    pub category: Code,
    /// What the gate has to look at.
    pub proof: Proof,
    /// When a gate without a network let them in; none: at the time of the record.
    pub scanned_at: Option<Timestamp>,
}

/// Somebody left.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Exited {
    /// On which ticket.
    pub ticket: TicketId,
    /// Through which gate.
    pub gate: Code,
    /// When a gate without a network saw them leave; none: at the time of the record.
    pub scanned_at: Option<Timestamp>,
}

/// The number of places was changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CapacitySet {
    /// The new number of places.
    pub capacity: u32,
}

/// So many places are for sale beyond the slot's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BeyondSet {
    /// How many more than there are.
    pub beyond: u32,
    /// The probability that anybody is turned away if all of them are sold, in millionths, as it was estimated then.
    pub turn_away_ppm: u32,
}

/// The channels' shares were changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct QuotasSet {
    /// In the order of [`Channel::ALL`].
    pub quotas: [Quota; Channel::COUNT],
}

/// Sales stopped.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Closed {
    /// Why, in one word.
    pub reason: Code,
}

/// Sales go on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reopened {}

/// People were counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Observed {
    /// Which sensor or estimate: the cause of the change.
    pub source: Code,
    /// People inside.
    pub inside: u32,
    /// Its standard deviation, in people.
    pub sd: u32,
    /// When it was measured.
    pub measured_at: Timestamp,
    /// The most people who may be inside at once, as the museum said then.
    pub ceiling: Option<u32>,
    /// How many people might come in by this slot from then on: its share of the room; none: no share was given.
    pub share: Option<u32>,
    /// What follows for this slot: the most places that may be taken; none: no limit from sensors.
    pub sellable: Option<u32>,
    /// Until when this is believed.
    pub until: Timestamp,
    /// Of what the people inside were counted.
    pub words: Words,
}

/// What sensors had said when people inside were estimated: what of it is sent once more, also after a restart, is known by that.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Words {
    /// The last word of each sensor that counts who comes and goes, as far as it is not too old to be sent again.
    pub counted: Vec<(Code, Timestamp)>,
    /// When people inside were measured last: whom sensors had counted by then is among these.
    pub measured: Option<Timestamp>,
}

/// A ticket at a gate without a network. It is known by all its parts: the same scan sent again is the same scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scan {
    /// Which ticket.
    pub ticket: TicketId,
    /// When, by the gate's clock.
    pub scanned_at: Timestamp,
    /// At which gate.
    pub gate: Code,
    /// In or out.
    pub direction: Direction,
}

/// Through a gate, one way or the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Into the building.
    In,
    /// Out of it.
    Out,
}

/// Why a scan that a gate without a network let in cannot stand beside what is known: what would have been said online.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictReason {
    /// Somebody else is, or then was, inside on the same ticket.
    TicketInside,
    /// The ticket had been used.
    TicketUsed,
    /// The ticket was cancelled.
    TicketCancelled,
    /// The ticket is blocked.
    TicketBlocked,
    /// The code is of an older issue: the ticket was issued anew.
    CodeOutdated,
    /// The gate was not open for the slot yet.
    TooEarly,
    /// The gate was closed for the slot.
    TooLate,
    /// The ticket was on its way to another slot. Not written any more: such a scan is to be sent again when it is known where the ticket stands. Journals hold it.
    TicketMoving,
    /// The ticket was moved to another slot.
    TicketMoved,
    /// The ticket's sale is under review.
    TicketUnderReview,
}

impl ConflictReason {
    /// What a refusal at a gate says of somebody who is inside already; none if it is about the request.
    #[must_use]
    pub const fn of(refusal: &Refusal) -> Option<Self> {
        match refusal {
            Refusal::TicketInside { .. } => Some(Self::TicketInside),
            Refusal::TicketUsed { .. } => Some(Self::TicketUsed),
            Refusal::TicketCancelled => Some(Self::TicketCancelled),
            Refusal::TicketBlocked { .. } => Some(Self::TicketBlocked),
            Refusal::CodeOutdated { .. } => Some(Self::CodeOutdated),
            Refusal::TooEarly { .. } => Some(Self::TooEarly),
            Refusal::TooLate { .. } => Some(Self::TooLate),
            Refusal::TicketMoving => Some(Self::TicketMoving),
            Refusal::TicketMoved { .. } => Some(Self::TicketMoved),
            Refusal::TicketUnderReview { .. } => Some(Self::TicketUnderReview),
            _ => None,
        }
    }

    /// The stable code: that of the refusal.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TicketInside => "ticket_inside",
            Self::TicketUsed => "ticket_used",
            Self::TicketCancelled => "ticket_cancelled",
            Self::TicketBlocked => "ticket_blocked",
            Self::CodeOutdated => "code_outdated",
            Self::TooEarly => "too_early",
            Self::TooLate => "too_late",
            Self::TicketMoving => "ticket_moving",
            Self::TicketMoved => "ticket_moved",
            Self::TicketUnderReview => "ticket_under_review",
        }
    }
}

/// A gate without a network let somebody in who should not have been. It is a signal of fraud, and changes no counter of people.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AdmissionConflict {
    /// On which ticket.
    pub ticket: TicketId,
    /// Through which gate.
    pub gate: Code,
    /// When, by the gate's clock.
    pub scanned_at: Timestamp,
    /// What speaks against it.
    pub reason: ConflictReason,
}

/// What a scan of a gate without a network comes to, beside all that is known of its ticket. Variants are numbered in the journal: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judged {
    /// The ticket's holder went in, or left.
    Passed,
    /// Somebody was let in who should not have been. It counts nobody.
    Conflict {
        /// What speaks against it.
        reason: ConflictReason,
    },
    /// Somebody was let in who should not have been, on a ticket that nobody had used: a conflict, and one visitor.
    PassedInConflict {
        /// What speaks against it.
        reason: ConflictReason,
    },
    /// Somebody left of whom nobody knows how they came in: the scan that says so may still come.
    LeftUnseen,
}

impl Judged {
    /// Whether somebody counts as let in by it, or as gone.
    #[must_use]
    pub const fn passed(self) -> bool {
        matches!(self, Self::Passed | Self::PassedInConflict { .. })
    }

    /// What speaks against it, if it is a conflict.
    #[must_use]
    pub const fn conflict(self) -> Option<ConflictReason> {
        match self {
            Self::Conflict { reason } | Self::PassedInConflict { reason } => Some(reason),
            Self::Passed | Self::LeftUnseen => None,
        }
    }
}

/// A scan that is new, or seen in another light.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JudgedScan {
    /// Which scan.
    pub scan: Scan,
    /// What it came to before; none: it is the one that came in.
    pub before: Option<Judged>,
    /// What it comes to.
    pub judged: Judged,
}

/// A scan of a gate without a network came in, and it does not simply follow what was known of its ticket. So all scans of the ticket were judged anew, in the order in
/// which they happened. It does not matter which gate sends its scans first: what was taken for a conflict before may be none now, and the other way round.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ScansJudged {
    /// On which ticket.
    pub ticket: TicketId,
    /// The scan that came in, and every other that comes to something else now, in the order in which they happened.
    pub scans: Vec<JudgedScan>,
    /// What has become of the ticket by all of its passages.
    pub state: TicketState,
    /// Whether the ticket counts as let in by this, and did not before.
    pub used: bool,
}

/// A party waits for places, all or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Waited {
    /// The new entry.
    pub entry: HoldId,
    /// The how-manieth to join the list, from 1: the order of the list.
    pub number: u64,
    /// Through which channel.
    pub channel: Channel,
    /// For what it waits, at which prices.
    pub lines: Vec<Line>,
    /// How many parties waited when it joined.
    pub parties_ahead: u32,
    /// How many people those were.
    pub people_ahead: u32,
}

/// A party waits no longer, by its own will.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WaitingLeft {
    /// Which entry.
    pub entry: HoldId,
}

/// Places are kept for a party that waited: a hold of the entry's id, with its channel, lines and prices.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Offered {
    /// Which entry.
    pub entry: HoldId,
    /// When the offer lapses.
    pub expires_at: Timestamp,
    /// How many places each channel might have taken just before, of the channels through which somebody waited, in the order of [`Channel::ALL`]. It says why this party
    /// was served, and not a larger one that joined earlier.
    pub free: [u32; Channel::COUNT],
    /// How many parties that joined earlier go on waiting, because they did not fit.
    pub passed_over: u32,
}

/// A party waited in vain: sales of its channel have ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WaitingEnded {
    /// Which entry.
    pub entry: HoldId,
}

/// Tickets are on their way to another slot: they are good nowhere until it is known whether they arrived.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MoveBegun {
    /// Of which sale.
    pub sale: HoldId,
    /// The sale that they become in the other slot, whose id is part of it.
    pub arrival: HoldId,
    /// Their numbers, ascending; there they are numbered from 0 in this order.
    pub tickets: Vec<u16>,
    /// What moves, at the prices that were paid.
    pub lines: Vec<Line>,
    /// The channel of whoever moves them: until when the other slot takes them is asked for this one.
    pub via: Channel,
    /// How many percent a visitor who cancelled at that moment would have been paid back: a move makes it no more.
    pub refund_percent: u8,
}

/// Tickets of another slot have moved here: places were taken, and there is a new ticket for each person.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Arrived {
    /// The new sale.
    pub sale: HoldId,
    /// The sale that the tickets were of.
    pub from: HoldId,
    /// Whose sale it is, as before.
    pub who: KeyId,
    /// The order that it belongs to, as before.
    pub order: Option<OrderId>,
    /// The channel that sold, as before: its places are taken.
    pub channel: Channel,
    /// What moved, at the prices that were paid.
    pub lines: Vec<Line>,
    /// Contact data, kept apart under this number.
    pub contact: Option<PersonId>,
    /// Whose names stand on tickets, by the tickets' new numbers.
    pub holders: Vec<(u16, PersonId)>,
    /// The most percent that a cancellation by the visitor pays back.
    pub refund_percent: u8,
    /// The pseudonym of who bought them, as before.
    pub buyer: Option<Digest>,
}

/// The tickets have arrived in the other slot: their places here are free, and their money stands there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MovedOut {
    /// Of which sale.
    pub sale: HoldId,
    /// The sale that they became.
    pub arrival: HoldId,
    /// Their numbers, ascending.
    pub tickets: Vec<u16>,
    /// What of this sale's money stands there now.
    pub carried_cents: Cents,
}

/// The other slot did not take the tickets: they stand as before.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MoveUndone {
    /// Of which sale.
    pub sale: HoldId,
    /// The sale that they did not become.
    pub arrival: HoldId,
    /// Their numbers, ascending.
    pub tickets: Vec<u16>,
    /// Why not.
    pub why: Refusal,
}

/// Tickets have another holder, or none that is known: their codes were issued anew, and the old ones are good no more.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Renamed {
    /// Of which sale.
    pub sale: HoldId,
    /// Their numbers, ascending, each with the issue that counts now.
    pub tickets: Vec<(u16, u16)>,
    /// Whose name stands on them now, kept apart under this number.
    pub holder: Option<PersonId>,
    /// Whose names stand on no ticket of this sale any more. Earlier ones leave those out that stand on a cancelled one.
    pub replaced: Vec<PersonId>,
}

/// A sale is to be looked at: until then its tickets let nobody in, but no longer than said.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReviewOpened {
    /// Which sale.
    pub sale: HoldId,
    /// When its tickets are valid by themselves.
    pub until: Timestamp,
}

/// Somebody has looked at a sale.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReviewEnded {
    /// Which sale.
    pub sale: HoldId,
    /// Whether it was found to be honest.
    pub cleared: bool,
}

/// How long places rest if they are not bought: those of a hold, or of an offer to an entry of the waiting list. Drawn by lot when the places were asked for, and told to
/// nobody.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RestDrawn {
    /// Which hold, or entry of the waiting list.
    pub hold: HoldId,
    /// How long, in milliseconds.
    pub rest_ms: u32,
}

/// Places that a hold has and is about to lose, as the next event of the record says, are not free at once: they rest, and count as taken.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rested {
    /// Which hold.
    pub hold: HoldId,
    /// How many places.
    pub places: u32,
    /// When they come free.
    pub until: Timestamp,
    /// Until when whoever held them may not hold places of this slot again over the web; none: the hold lives on, and nobody gave them back.
    pub barred_until: Option<Timestamp>,
}

/// Places have rested, and are free.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Freed {
    /// Which hold had them.
    pub hold: HoldId,
    /// Until when they were to rest: a hold may have had to let go of places at several times.
    pub until: Timestamp,
}

/// An offer to somebody who waited begins anew: its slot reopens, and nobody could take it meanwhile. It is extended once more, and a payment keeps it for as long, as if it
/// was made now.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OfferRenewed {
    /// To which entry; the hold has its id.
    pub entry: HoldId,
    /// When the hold ends by itself now; never earlier than before.
    pub expires_at: Timestamp,
}

/// Everything that can happen to a slot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// See [`Opened`].
    Opened(Opened),
    /// See [`Held`].
    Held(Held),
    /// See [`Extended`].
    Extended(Extended),
    /// See [`Released`].
    Released(Released),
    /// See [`Expired`].
    Expired(Expired),
    /// See [`Sold`].
    Sold(Sold),
    /// See [`Cancelled`].
    Cancelled(Cancelled),
    /// See [`Blocked`].
    Blocked(Blocked),
    /// See [`Unblocked`].
    Unblocked(Unblocked),
    /// See [`Admitted`].
    Admitted(Admitted),
    /// See [`Exited`].
    Exited(Exited),
    /// See [`CapacitySet`].
    CapacitySet(CapacitySet),
    /// See [`QuotasSet`].
    QuotasSet(QuotasSet),
    /// See [`Closed`].
    Closed(Closed),
    /// See [`Reopened`].
    Reopened(Reopened),
    /// See [`Observed`].
    Observed(Observed),
    /// See [`AdmissionConflict`].
    AdmissionConflict(AdmissionConflict),
    /// See [`Waited`].
    Waited(Waited),
    /// See [`WaitingLeft`].
    WaitingLeft(WaitingLeft),
    /// See [`Offered`].
    Offered(Offered),
    /// See [`WaitingEnded`].
    WaitingEnded(WaitingEnded),
    /// See [`MoveBegun`].
    MoveBegun(MoveBegun),
    /// See [`Arrived`].
    Arrived(Arrived),
    /// See [`MovedOut`].
    MovedOut(MovedOut),
    /// See [`MoveUndone`].
    MoveUndone(MoveUndone),
    /// See [`Renamed`].
    Renamed(Renamed),
    /// See [`Prolonged`].
    Prolonged(Prolonged),
    /// See [`Amended`].
    Amended(Amended),
    /// See [`HandedOver`].
    HandedOver(HandedOver),
    /// See [`ReviewOpened`].
    ReviewOpened(ReviewOpened),
    /// See [`ReviewEnded`].
    ReviewEnded(ReviewEnded),
    /// See [`BeyondSet`].
    BeyondSet(BeyondSet),
    /// See [`ScansJudged`].
    ScansJudged(ScansJudged),
    /// See [`BlockLifted`].
    BlockLifted(BlockLifted),
    /// See [`RestDrawn`].
    RestDrawn(RestDrawn),
    /// See [`Rested`].
    Rested(Rested),
    /// See [`Freed`].
    Freed(Freed),
    /// See [`OfferRenewed`].
    OfferRenewed(OfferRenewed),
}

impl Event {
    /// Whether this event changes how many places there are, rather than who has them. Only such an event may leave more places taken than there are. The event about
    /// places sold beyond the slot's own is not one of them, because these are never lowered below what is taken.
    #[must_use]
    pub const fn is_about_capacity(&self) -> bool {
        matches!(self, Self::Opened(_) | Self::CapacitySet(_) | Self::QuotasSet(_) | Self::Closed(_) | Self::Reopened(_) | Self::Observed(_))
    }
}

/// What the events say a scan came to; none if they do not speak of it.
#[must_use]
pub fn judged(events: &[Event], scan: &Scan) -> Option<Judged> {
    let (mut passed, mut conflict) = (false, None);
    for event in events {
        let of = |ticket: TicketId, gate: Code, scanned_at: Option<Timestamp>, direction: Direction| {
            scanned_at == Some(scan.scanned_at) && (ticket, gate, direction) == (scan.ticket, scan.gate, scan.direction)
        };
        match event {
            Event::Admitted(admitted) => passed |= of(admitted.ticket, admitted.gate, admitted.scanned_at, Direction::In),
            Event::Exited(exited) => passed |= of(exited.ticket, exited.gate, exited.scanned_at, Direction::Out),
            Event::AdmissionConflict(found) if of(found.ticket, found.gate, Some(found.scanned_at), Direction::In) => conflict = Some(found.reason),
            Event::ScansJudged(judged) => {
                if let Some(found) = judged.scans.iter().find(|found| found.scan == *scan) {
                    return Some(found.judged);
                }
            }
            _ => {}
        }
    }
    match (passed, conflict) {
        (true, None) => Some(Judged::Passed),
        (true, Some(reason)) => Some(Judged::PassedInConflict { reason }),
        (false, Some(reason)) => Some(Judged::Conflict { reason }),
        (false, None) => None,
    }
}

/// How many people the lines are for.
#[must_use]
pub fn people(lines: &[Line]) -> u32 {
    lines.iter().map(|line| u32::from(line.count)).sum()
}

/// What the lines cost together.
#[must_use]
pub fn total(lines: &[Line]) -> Cents {
    lines.iter().map(|line| line.price_cents.times(u32::from(line.count))).sum()
}

/// The line that the ticket with the given number belongs to.
#[must_use]
pub fn line_of(lines: &[Line], number: u16) -> Option<&Line> {
    let mut before = 0_u32;
    lines.iter().find(|line| {
        before += u32::from(line.count);
        u32::from(number) < before
    })
}
