//! What can be asked of a payment. Most commands tell it a fact of the world outside: what the gateway said, what the slots did.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::dispute::Took;
use super::event::{Closing, Opened, PaidBackBy, Receipt, Reported};
use crate::ids::{Code, HoldId, KeyId, PersonId};
use crate::money::Cents;
use crate::slot;
use crate::time::Timestamp;

/// One command to one payment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Let money be due.
    Open {
        /// What would have happened then.
        opened: Box<Opened>,
    },
    /// Take a sale over that a desk made without a payment, as paid and fulfilled: something of it is to go back.
    TakeOver {
        /// What would have happened then: one item, for what the sale cost.
        opened: Box<Opened>,
        /// The sale.
        sale: HoldId,
        /// When it was made.
        sold_at: Timestamp,
    },
    /// Note that the gateway knows it.
    Publish,
    /// Note that the gateway will not have it.
    FailPublish {
        /// Why, in one word.
        code: Code,
    },
    /// Note that somebody is paying.
    Activate {
        /// Until when they may; at most [`super::TOKEN_S_MAX`] ahead counts.
        until: Timestamp,
    },
    /// Take money in. It is never refused for the payment's state.
    Receive {
        /// The proof.
        receipt: Receipt,
    },
    /// Note that an item has become a sale.
    Fulfil {
        /// Its place among the items.
        item: u16,
        /// The sale.
        sale: HoldId,
    },
    /// Note that an item could not become a sale, and pay it back.
    Forgo {
        /// Its place among the items.
        item: u16,
        /// Why not.
        why: slot::Refusal,
    },
    /// Pay back what a slot owes for tickets that were cancelled.
    Refund {
        /// The sale that the payment was for.
        origin: HoldId,
        /// The sale whose tickets were cancelled: that one, or one that they had moved to.
        sale: HoldId,
        /// By which record of its slot: with the sale, what makes this one refund however often it is asked.
        seq: u64,
        /// How much.
        amount_cents: Cents,
    },
    /// Pay back what the extras took: they are called off with the tickets that they went with.
    RefundExtras,
    /// Note that a refund went out to the bank.
    ExportRefund {
        /// Which.
        refund: u32,
        /// The id of the file.
        batch: Code,
    },
    /// Note that money has gone back.
    ConfirmRefund {
        /// Which.
        refund: u32,
        /// On which way.
        by: PaidBackBy,
        /// The bank's or desk's reference.
        reference: String,
        /// On which day.
        executed_on: Date,
    },
    /// Note that a transfer came back.
    ReturnRefund {
        /// Which.
        refund: u32,
        /// Why, in one word.
        why: Code,
    },
    /// Let a refund go although the payment is contested, or the payer's bank was right.
    ReleaseRefund {
        /// Which.
        refund: u32,
    },
    /// Say whom a refund goes to.
    SetPayee {
        /// Which.
        refund: u32,
        /// Name and account, kept apart under this number.
        person: PersonId,
    },
    /// Let it not be paid any more.
    Cancel {
        /// Whose payment it must be.
        owner: Option<KeyId>,
        /// Why, in one word.
        cause: Code,
    },
    /// Note what the gateway was told of a payment that can be paid there no more.
    Close {
        /// What.
        closing: Closing,
        /// Why it would not hear of it, in one word, if so.
        refused: Option<Code>,
    },
    /// Note that the payment is contested.
    Dispute {
        /// Why, in one word.
        reason: Code,
        /// The case, as the other side knows it.
        reference: String,
    },
    /// Note how a dispute ended.
    ResolveDispute {
        /// Whether the payer was found to be right.
        upheld: bool,
        /// What is known of what their bank took back then; of no meaning if they were not.
        took: Took,
    },
    /// Note that a reporting flow names it.
    Report {
        /// How.
        reported: Reported,
    },
}
