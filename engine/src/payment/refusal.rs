//! Why a payment says no. Codes are stable: callers match on them.
//!
//! Precedence, first match wins:
//! 1. the shape of what is asked: `bad_items`, `bad_subject`, `gateway_mismatch`, `bad_receipt`, `bad_reference`;
//! 2. the thing named: `id_taken`, `unknown_payment`, `unknown_item`, `unknown_refund`, `unknown_sale`, `unknown_receipt`;
//! 3. what is known already: `receipt_duplicate`, `refund_known`, `report_known`, `item_ended`;
//! 4. the state of the payment: `already_paid`, `payment_cancelled`, `payment_expired`, `payment_failed`, `not_published`, `not_paid`, `not_closing`;
//! 5. the state of the thing: `source_not_allowed`, `refund_not_open`, `refund_contested`, `refund_not_contested`, `refund_not_sent`, `refund_too_large`,
//!    `taken_too_large`, `dispute_open`, `no_dispute`.

use serde::{Deserialize, Serialize};

use crate::ids::Code;
use crate::money::Cents;
use crate::time::Timestamp;

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Items or extras that cannot be: none at all, too many, a hold twice, an amount that is not what the lines or all together cost.
    BadItems,
    /// A subject that cannot be shown: blank, longer than 140 characters, or with control characters.
    BadSubject,
    /// `free` is for nothing, any other gateway for something.
    GatewayMismatch {
        /// What is due.
        due_cents: Cents,
    },
    /// A receipt that cannot be: an id of no or more than 35 characters, an overlong text, an amount below one cent.
    BadReceipt,
    /// A reference that cannot be shown, or is longer than 200 characters.
    BadReference,
    /// The id chosen for a new payment is in use; choose another.
    IdTaken,
    /// There is no such payment, or not for this caller.
    UnknownPayment,
    /// There is no such item.
    UnknownItem,
    /// There is no such refund.
    UnknownRefund,
    /// Nothing of this payment has become that sale.
    UnknownSale,
    /// The receipt is known: nothing has changed.
    ReceiptDuplicate,
    /// The refund of that cancellation is known: nothing has changed.
    RefundKnown {
        /// Its number.
        refund: u32,
    },
    /// The flow has said so before.
    ReportKnown,
    /// The item has become a sale or a refund.
    ItemEnded,
    /// It is paid.
    AlreadyPaid,
    /// It was cancelled.
    PaymentCancelled,
    /// Its time is over.
    PaymentExpired {
        /// Since when.
        due_at: Timestamp,
    },
    /// The gateway would not have it.
    PaymentFailed {
        /// Why, in one word.
        reason: Code,
    },
    /// The gateway does not know it yet.
    NotPublished,
    /// It is not paid.
    NotPaid,
    /// The gateway has nothing to be told, or not that.
    NotClosing,
    /// Money does not come on that way here.
    SourceNotAllowed,
    /// The refund is not open.
    RefundNotOpen,
    /// The refund has not gone out by transfer.
    RefundNotSent,
    /// More than what is left of what the tickets took.
    RefundTooLarge {
        /// What is left.
        left_cents: Cents,
    },
    /// A dispute is open already.
    DisputeOpen,
    /// No dispute is open.
    NoDispute,
    /// The payment is contested, or the payer's bank was right, or has taken money back before: the refund waits until somebody says that it may go.
    RefundContested,
    /// The refund waits for nobody's word.
    RefundNotContested,
    /// No such receipt came for the payment.
    UnknownReceipt,
    /// The payer's bank cannot have taken back more than came with the receipt, less what one took of it before; nor paid a refund back by more than it took, less other refunds.
    TakenTooLarge {
        /// What can be.
        left_cents: Cents,
    },
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadItems => "bad_items",
            Self::BadSubject => "bad_subject",
            Self::GatewayMismatch { .. } => "gateway_mismatch",
            Self::BadReceipt => "bad_receipt",
            Self::BadReference => "bad_reference",
            Self::IdTaken => "id_taken",
            Self::UnknownPayment => "unknown_payment",
            Self::UnknownItem => "unknown_item",
            Self::UnknownRefund => "unknown_refund",
            Self::UnknownSale => "unknown_sale",
            Self::ReceiptDuplicate => "receipt_duplicate",
            Self::RefundKnown { .. } => "refund_known",
            Self::ReportKnown => "report_known",
            Self::ItemEnded => "item_ended",
            Self::AlreadyPaid => "already_paid",
            Self::PaymentCancelled => "payment_cancelled",
            Self::PaymentExpired { .. } => "payment_expired",
            Self::PaymentFailed { .. } => "payment_failed",
            Self::NotPublished => "not_published",
            Self::NotPaid => "not_paid",
            Self::NotClosing => "not_closing",
            Self::SourceNotAllowed => "source_not_allowed",
            Self::RefundNotOpen => "refund_not_open",
            Self::RefundNotSent => "refund_not_sent",
            Self::RefundTooLarge { .. } => "refund_too_large",
            Self::DisputeOpen => "dispute_open",
            Self::NoDispute => "no_dispute",
            Self::RefundContested => "refund_contested",
            Self::RefundNotContested => "refund_not_contested",
            Self::UnknownReceipt => "unknown_receipt",
            Self::TakenTooLarge { .. } => "taken_too_large",
        }
    }
}
