//! What payments, vouchers and orders say no to, as callers are told: one line for each refusal, with its status, what is the matter and what to do.

use actix_web::http::StatusCode;
use serde::Serialize;
use tornello_actors::payments;
use tornello_engine::{order, payment, voucher};

use super::{Problem, data_of};

/// Status, title, detail.
pub(super) type Told = (StatusCode, &'static str, &'static str);

pub(super) const UNKNOWN: StatusCode = StatusCode::NOT_FOUND;
pub(super) const AGAINST: StatusCode = StatusCode::CONFLICT;
const GONE: StatusCode = StatusCode::GONE;
pub(super) const IMPOSSIBLE: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;

fn payment(refusal: &payment::Refusal) -> Told {
    use payment::Refusal as R;
    match refusal {
        R::BadItems => (IMPOSSIBLE, "that cannot be paid for", "Name 1 to 64 holds, each once."),
        R::BadSubject => (IMPOSSIBLE, "the subject cannot be shown", "Give 1 to 140 printable characters, and no personal data."),
        R::GatewayMismatch { .. } => {
            (IMPOSSIBLE, "that gateway does not fit what is due", "`due_cents` is due: `free` is for nothing, every other gateway for something.")
        }
        R::BadReceipt => (IMPOSSIBLE, "the receipt cannot be", "An id of 1 to 35 characters and an amount above zero are expected."),
        R::BadReference => (IMPOSSIBLE, "the reference cannot be kept", "Give 1 to 200 printable characters."),
        R::IdTaken => (AGAINST, "this booking exists already", "Repeat with the same Idempotency-Key."),
        R::UnknownPayment => (UNKNOWN, "there is no such payment", "Check the id; it may belong to another caller."),
        R::UnknownItem => (UNKNOWN, "the payment has no such item", "Read the payment."),
        R::UnknownRefund => (UNKNOWN, "there is no such refund", "Read the payment: its refunds are numbered from 0."),
        R::UnknownSale => (UNKNOWN, "there is no such sale", "Check the id; it may belong to another caller."),
        R::ReceiptDuplicate => (AGAINST, "the receipt is known", "Nothing has to be done."),
        R::RefundKnown { .. } => (AGAINST, "the refund is known", "`refund` is its number. Nothing has to be done."),
        R::ReportKnown => (AGAINST, "the report is known", "Nothing has to be done."),
        R::ItemEnded => (AGAINST, "the item has become a sale or a refund", "Read the payment."),
        R::AlreadyPaid => (AGAINST, "it is paid", "Nothing more is due. To have money back, cancel the tickets."),
        R::PaymentCancelled => (GONE, "the payment was cancelled", "Begin another one while the holds live."),
        R::PaymentExpired { .. } => (GONE, "the time to pay is over", "It was over at `due_at`. Hold places again, and begin another payment."),
        R::PaymentFailed { .. } => (GONE, "the gateway would not take the payment", "`reason` says why. Begin another one."),
        R::NotPublished => (AGAINST, "the gateway does not know the payment yet", "Ask again in a moment."),
        R::NotPaid => (AGAINST, "it is not paid", "Wait for the money, or cancel the payment."),
        R::NotClosing => (AGAINST, "the gateway has nothing to be told", "Nothing has to be done."),
        R::SourceNotAllowed => (
            IMPOSSIBLE,
            "money does not come or go on that way here",
            "Use the payment's own gateway; a voucher's money goes back to the voucher by itself.",
        ),
        R::RefundNotOpen => (AGAINST, "the refund is not open", "Read it: it has gone out, or is paid back."),
        R::RefundNotSent => (AGAINST, "the refund has not gone out by transfer", "Only what a bank was asked to pay can come back."),
        R::RefundTooLarge { .. } => (AGAINST, "more is to go back than is left", "`left_cents` is left of what the tickets took."),
        R::DisputeOpen => (AGAINST, "a dispute is open already", "Resolve it first."),
        R::NoDispute => (AGAINST, "no dispute is open", "Nothing has to be done."),
        R::RefundContested => (
            AGAINST,
            "the payer's bank contests the payment, or took it back",
            "It takes the money back by itself: a refund beside that pays twice. Note how the dispute ended, or let the refund go: POST /v1/refunds/{refund}/release.",
        ),
        R::RefundNotContested => (AGAINST, "the refund waits for nobody's word", "Nothing has to be done."),
        R::UnknownReceipt => (UNKNOWN, "no such receipt came for the payment", "Read the payment: `receipts` has those that did."),
        R::TakenTooLarge { .. } => (
            AGAINST,
            "more is said to be taken back than can be",
            "`left_cents` can be: of what came with that receipt, or, of a refund, of what the payer's bank took of it. Name the receipt, if it was another one.",
        ),
    }
}

fn voucher(refusal: &voucher::Refusal) -> Told {
    use voucher::Refusal as R;
    match refusal {
        R::BadAmount => (IMPOSSIBLE, "a voucher cannot be of that amount", "Let it be 0.01 to 10000.00 euros."),
        R::IdTaken => (AGAINST, "this booking exists already", "Repeat with the same Idempotency-Key."),
        R::UnknownVoucher => (UNKNOWN, "there is no such voucher", "Check the code as it is printed."),
        R::AlreadyRedeemed => (AGAINST, "the payment was taken off the voucher already", "Nothing has to be done."),
        R::AlreadyRestored => (AGAINST, "the refund was put back already", "Nothing has to be done."),
        R::NotRedeemed { .. } => (AGAINST, "that payment has not taken so much", "`left_cents` can still be put back."),
        R::OtherMuseum { .. } => (IMPOSSIBLE, "that is of another museum", "Use it there, or another way to pay."),
        R::VoucherExpired { .. } => (GONE, "the voucher is valid no more", "It was valid until `valid_until`. Pay on another way."),
        R::BalanceTooLow { .. } => (
            AGAINST,
            "less is left on the voucher",
            "`balance_cents` is left. A voucher pays the whole amount: pay for fewer holds, or on another way.",
        ),
    }
}

fn order(refusal: &order::Refusal) -> Told {
    use order::Refusal as R;
    match refusal {
        R::TooManyItems { .. } => (IMPOSSIBLE, "the order has too many holds", "`max` are the most: begin another order."),
        R::UnknownOrder => (UNKNOWN, "there is no such order", "Check the id; it may belong to another caller."),
        R::UnknownPayment => (UNKNOWN, "there is no such payment", "Check the id; it may belong to another caller."),
        R::PaymentOver => (AGAINST, "the payment has ended", "Nothing has to be done."),
        R::PaymentUnderWay { .. } => (AGAINST, "another payment of the order is under way", "Let `payment` go on, or cancel it first."),
        R::TooManyPayments { .. } => (AGAINST, "too many payments were begun for the order", "`max` are the most: begin another order."),
    }
}

pub(super) fn told(code: &'static str, (status, title, detail): Told, refusal: &impl Serialize) -> Problem {
    let mut problem = Problem::new(status, code, title).detail(detail);
    problem.0.data.values = data_of(refusal);
    problem
}

impl From<payment::Refusal> for Problem {
    fn from(refusal: payment::Refusal) -> Self {
        told(refusal.code(), payment(&refusal), &refusal)
    }
}

impl From<payments::Refusal> for Problem {
    fn from(refusal: payments::Refusal) -> Self {
        match refusal {
            payments::Refusal::Payment(why) => why.into(),
            payments::Refusal::Slot { hold, why } => Self::from(why).with("hold", hold),
            payments::Refusal::Order(why) => why.into(),
            payments::Refusal::Voucher(why) => why.into(),
        }
    }
}

impl From<voucher::Refusal> for Problem {
    fn from(refusal: voucher::Refusal) -> Self {
        told(refusal.code(), voucher(&refusal), &refusal)
    }
}

impl From<order::Refusal> for Problem {
    fn from(refusal: order::Refusal) -> Self {
        told(refusal.code(), order(&refusal), &refusal)
    }
}
