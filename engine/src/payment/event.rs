//! What happened to a payment: the journal's words. Amounts are in the events, so that `apply` and the ledger add up and never decide.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::channel::Channel;
use crate::ids::{Code, HoldId, KeyId, MuseumId, OrderId, PersonId, QuoteId, VoucherId};
use crate::money::Cents;
use crate::slot::{self, DeskMethod, Line};
use crate::time::Timestamp;

/// One hold that is paid for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Item {
    /// The hold, and the sale that it is to become.
    pub hold: HoldId,
    /// What it holds, at the prices frozen then: what is sold anew if the hold is gone when the money comes.
    pub lines: Vec<Line>,
    /// What the lines cost together.
    pub amount_cents: Cents,
}

/// Something beside tickets: a booking fee, audio guides.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Extra {
    /// Which, as the museum names it.
    pub code: Code,
    /// How many.
    pub count: u16,
    /// For each.
    pub price_cents: Cents,
}

/// On which way the money is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gateway {
    /// A pagoPA notice that the payer takes wherever they like.
    Notice,
    /// A pagoPA notice that the payer is led to at once, by Checkout.
    Checkout,
    /// At a desk or kiosk.
    Desk,
    /// From a voucher.
    Voucher {
        /// Which.
        voucher: VoucherId,
    },
    /// Nothing is due.
    Free,
}

impl Gateway {
    /// Whether the payment is a position at pagoPA: such a one is registered there, and closed there when it can be paid no more.
    #[must_use]
    pub const fn is_position(self) -> bool {
        matches!(self, Self::Notice | Self::Checkout)
    }
}

/// Money is due.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Opened {
    /// Who asked for it.
    pub who: KeyId,
    /// The order that it belongs to.
    pub order: Option<OrderId>,
    /// The quote that it belongs to.
    pub quote: Option<QuoteId>,
    /// Through which channel the places are sold.
    pub channel: Channel,
    /// The holds that are paid for.
    pub items: Vec<Item>,
    /// What else is paid for.
    pub extras: Vec<Extra>,
    /// Everything together.
    pub amount_cents: Cents,
    /// Who pays, kept apart under this number.
    pub payer: Option<PersonId>,
    /// To which museum the money belongs.
    pub museum: MuseumId,
    /// What the payer reads: up to 140 characters without personal data (SANP 3.12, `paymentDescription`).
    pub subject: String,
    /// On which way the money is to come.
    pub gateway: Gateway,
    /// From when on it can no longer be started to pay.
    pub due_at: Timestamp,
}

/// The gateway knows the payment: it can be paid.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Published {}

/// The gateway will not have it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PublishFailed {
    /// Why, in one word.
    pub code: Code,
}

/// Somebody is paying: the gateway has asked for everything and gives them a token that lives for a while (pagoPA: 30 minutes unless the PSP says less).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Activated {
    /// Until when the token lives.
    pub until: Timestamp,
}

/// Where money was seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The pagoPA node sent a receipt.
    Node,
    /// A reporting flow named it, and no receipt did.
    Report,
    /// A desk took it.
    Desk {
        /// Which till.
        till: Code,
        /// Cash or card.
        method: DeskMethod,
        /// Receipt or terminal reference, as the desk knows it.
        reference: String,
    },
    /// It was taken off a voucher.
    Voucher {
        /// Which.
        voucher: VoucherId,
    },
    /// There was nothing to pay.
    Free,
    /// A desk had taken it for a sale without a payment, whose tickets were cancelled since: its till has it.
    Sale {
        /// Which sale.
        sale: HoldId,
    },
}

/// Proof that money came.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Receipt {
    /// Its id: of the node the payment token, which is the IUR of the report too; 1 to 35 characters.
    pub id: String,
    /// Where it was seen.
    pub source: Source,
    /// How much came.
    pub amount_cents: Cents,
    /// When it was paid: what counts in law (SACI 3.2.1, `paymentDateTime`).
    pub paid_at: Timestamp,
    /// Which payment service provider, as the receipt says; empty: it does not.
    pub psp: String,
    /// Through which of its channels; empty: it does not say.
    pub channel: String,
    /// With what, as the receipt says; empty: it does not.
    pub method: String,
    /// Whether it was paid while our station could not be asked.
    pub stand_in: bool,
    /// What the provider took of the payer on top, if the receipt says so.
    pub fee_cents: Option<Cents>,
}

impl Receipt {
    /// One that no payment service provider has issued: of a desk, a voucher, a sale that was made before, or of nothing due.
    #[must_use]
    pub fn without_provider(id: String, source: Source, amount_cents: Cents, paid_at: Timestamp) -> Self {
        let none = String::new;
        Self { id, source, amount_cents, paid_at, psp: none(), channel: none(), method: none(), stand_in: false, fee_cents: None }
    }
}

/// Money has come.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Received {
    /// The proof.
    pub receipt: Receipt,
    /// Whether what was due is paid by it; else all of it is to go back.
    pub pays: bool,
    /// What the extras took of it at once, because nothing else is paid for.
    pub extras_cents: Cents,
}

/// An item has become a sale.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fulfilled {
    /// Its place among the items.
    pub item: u16,
    /// The sale.
    pub sale: HoldId,
    /// What the tickets took.
    pub amount_cents: Cents,
    /// What the extras took with them: they are earned with the first tickets.
    pub extras_cents: Cents,
}

/// An item could not become a sale: what it cost is to go back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Unfulfilled {
    /// Its place among the items.
    pub item: u16,
    /// Why not.
    pub why: slot::Refusal,
}

/// Why money goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundReason {
    /// Less came than was due.
    AmountTooSmall,
    /// More came than was due.
    Excess,
    /// It was paid already.
    DoublePayment,
    /// There were no places any more.
    Unfulfilled {
        /// Which item.
        item: u16,
    },
    /// None of the tickets could be had that the extras went with.
    Extras,
    /// Tickets were cancelled.
    Cancelled {
        /// Of which item.
        item: u16,
        /// In which sale: that of the item, or one that its tickets have moved to.
        sale: HoldId,
        /// By which record of that sale's slot.
        seq: u64,
    },
    /// The extras were called off with the tickets that they went with.
    ExtrasCancelled,
}

impl RefundReason {
    /// The name used in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AmountTooSmall => "amount_too_small",
            Self::Excess => "excess",
            Self::DoublePayment => "double_payment",
            Self::Unfulfilled { .. } => "unfulfilled",
            Self::Extras => "extras",
            Self::Cancelled { .. } => "cancelled",
            Self::ExtrasCancelled => "extras_cancelled",
        }
    }
}

/// Money is to go back. pagoPA has no way to do it, so this is a task for an operator, unless a voucher takes it back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RefundOpened {
    /// Its number in the payment, from 0.
    pub refund: u32,
    /// How much.
    pub amount_cents: Cents,
    /// Why.
    pub why: RefundReason,
    /// Of which receipt's money, by its place among all that came, from 0.
    pub receipt: u32,
}

/// A refund went out to the bank with others.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RefundExported {
    /// Which, by its number in the payment.
    pub refund: u32,
    /// The id of the file.
    pub batch: Code,
}

/// On which way money went back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaidBackBy {
    /// A bank transfer.
    Transfer,
    /// At a till.
    Till {
        /// Which.
        till: Code,
        /// Cash or card.
        method: DeskMethod,
    },
    /// To the voucher that it came from.
    Voucher {
        /// Which.
        voucher: VoucherId,
    },
    /// By the payer's bank: it is of what that took back over a dispute.
    PayersBank,
}

/// Money has gone back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RefundConfirmed {
    /// Which, by its number in the payment.
    pub refund: u32,
    /// On which way.
    pub by: PaidBackBy,
    /// The bank's or desk's reference.
    pub reference: String,
    /// On which day.
    pub executed_on: Date,
}

/// A transfer came back: the refund is open again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RefundReturned {
    /// Which, by its number in the payment.
    pub refund: u32,
    /// Why, in one word.
    pub why: Code,
    /// Whether it had been confirmed, so that the money is here again.
    pub was_paid_back: bool,
}

/// A refund may go, although the payment is contested, or the payer's bank was right.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RefundReleased {
    /// Which, by its number in the payment.
    pub refund: u32,
}

/// It is known whom a refund goes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PayeeSet {
    /// Which, by its number in the payment.
    pub refund: u32,
    /// Name and account, kept apart under this number.
    pub person: PersonId,
}

/// It is not to be paid any more.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cancelled {
    /// Why, in one word.
    pub cause: Code,
}

/// Its time was over.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Expired {}

/// What a gateway is told of a payment that can be paid there no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closing {
    /// That it is withdrawn.
    Withdrawn,
    /// That it was paid on another way.
    PaidElsewhere,
}

/// The gateway was told.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Closed {
    /// What.
    pub closing: Closing,
    /// Why it would not hear of it, in one word, if so.
    pub refused: Option<Code>,
}

/// The payer's bank or provider contests the payment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Disputed {
    /// Why, in one word.
    pub reason: Code,
    /// The case, as the other side knows it.
    pub reference: String,
}

/// The dispute is over.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DisputeResolved {
    /// Whether the payer was found to be right.
    pub upheld: bool,
}

/// The payer's bank took money back: a dispute was decided for the payer, or a flow names the receipt as revoked. It follows that in the same record, or the receipt, where the
/// flow came before it; of what was from before this was noted nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TakenBack {
    /// Of which receipt's money, by its place among all that came, from 0.
    pub receipt: u32,
    /// How much; nothing only where somebody said so, or that the dispute was about this receipt, and below zero where a flow was issued anew that takes less.
    pub amount_cents: Cents,
}

/// A reporting flow names the payment (FlussoRiversamento, `datiSingoliPagamenti`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reported {
    /// The flow's id.
    pub flow: String,
    /// The id of the collection: the receipt's id.
    pub iur: String,
    /// Which transfer of the payment, from 1.
    pub index: u8,
    /// How much, as reported; nothing where the flow was issued anew without it.
    pub amount_cents: Cents,
    /// The outcome: 0 executed, 3 revoked, 4 and 8 stand-in, 9 executed without a receipt.
    pub code: u8,
}

impl Reported {
    /// Whether the money was taken back. A payment has one transfer.
    #[must_use]
    pub const fn is_revoked(&self) -> bool {
        self.code == 3 && self.index == 1
    }
}

/// Everything that can happen to a payment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// See [`Opened`].
    Opened(Opened),
    /// See [`Published`].
    Published(Published),
    /// See [`PublishFailed`].
    PublishFailed(PublishFailed),
    /// See [`Activated`].
    Activated(Activated),
    /// See [`Received`].
    Received(Received),
    /// See [`Fulfilled`].
    Fulfilled(Fulfilled),
    /// See [`Unfulfilled`].
    Unfulfilled(Unfulfilled),
    /// See [`RefundOpened`].
    RefundOpened(RefundOpened),
    /// See [`RefundExported`].
    RefundExported(RefundExported),
    /// See [`RefundConfirmed`].
    RefundConfirmed(RefundConfirmed),
    /// See [`RefundReturned`].
    RefundReturned(RefundReturned),
    /// See [`PayeeSet`].
    PayeeSet(PayeeSet),
    /// See [`Cancelled`].
    Cancelled(Cancelled),
    /// See [`Expired`].
    Expired(Expired),
    /// See [`Closed`].
    Closed(Closed),
    /// See [`Disputed`].
    Disputed(Disputed),
    /// See [`DisputeResolved`].
    DisputeResolved(DisputeResolved),
    /// See [`Reported`].
    Reported(Reported),
    /// See [`RefundReleased`].
    RefundReleased(RefundReleased),
    /// See [`TakenBack`].
    TakenBack(TakenBack),
}
