//! Why a quote says no. Codes are stable: callers match on them.
//!
//! Precedence, first match wins: whether there is such a quote; what state it is in; what it waits for; the shape of what is asked; the museum's rules; deadlines.

use serde::{Deserialize, Serialize};

use super::Status;
use crate::ids::Code;
use crate::time::Timestamp;

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// There is a quote of that id already.
    #[error("there is such a quote already")]
    AlreadyDrafted,
    /// There is no such quote, or not for this caller.
    #[error("there is no such quote")]
    UnknownQuote,
    /// The state that it is in does not allow that.
    #[error("the quote is {}: that cannot be done to it", state.name())]
    WrongState {
        /// What it is.
        state: Status,
    },
    /// Options are being taken: it takes a moment.
    #[error("options are being taken for the quote: ask again in a moment")]
    OptionsUnderWay,
    /// It is being settled: it takes a moment.
    #[error("the quote is being settled: ask again in a moment")]
    SettlementUnderWay,
    /// A payment of it can still be paid.
    #[error("a payment of the quote can still be paid: reopen the quote first")]
    PaymentUnderWay,
    /// Another revision is in force.
    #[error("revision {revision} is in force: read it again")]
    OtherRevision {
        /// Which.
        revision: u32,
    },
    /// The note does not fit what is known.
    #[error("that is not what the quote waits for")]
    NotExpected,
    /// The acceptance waits for nobody's confirmation.
    #[error("nothing is to be confirmed")]
    NothingToConfirm,
    /// Lines that cannot be: none, more than 15, a category twice, nobody in one, more than 2,000 people, a price that is none.
    #[error("give 1 to 15 categories, each once, of 1 to 2000 people in all, at 0.00 to 10000.00 euros")]
    BadLines,
    /// Extras that cannot be.
    #[error("give at most 16 extras, each of 1 to 2000, at 0.00 to 10000.00 euros")]
    BadExtras,
    /// The same extra twice, or one that has to be taken anyway.
    #[error("extra {extra} stands twice, or has to be taken anyway")]
    ExtraTwice {
        /// Which.
        extra: Code,
    },
    /// Slots that cannot be: none, more than 40, one twice, of several museums or days.
    #[error("give 1 to 40 different slots of the museum, all on one day")]
    BadSlots,
    /// Ids of options that do not fit the parts.
    #[error("give an unused hold id for each part, in its slot")]
    BadOptions,
    /// A quote on account without an account, or a way to pay that the museum does not allow for this group.
    #[error("the quote cannot be paid like that")]
    SettleNotAllowed,
    /// The group is smaller than the museum's groups.
    #[error("a group has at least {min} people beside its escorts")]
    GroupTooSmall {
        /// The fewest.
        min: u16,
    },
    /// More escorts than come in free.
    #[error("{free} escorts come in free with this group: count the others as members")]
    TooManyEscorts {
        /// How many.
        free: u32,
    },
    /// Members in the category that free escorts have.
    #[error("category {category} is that of free escorts: give their number instead")]
    EscortCategory {
        /// Which.
        category: Code,
    },
    /// The group is split into more or fewer parts.
    #[error("this group goes round in {parts} parts: give a slot for each")]
    WrongNumberOfSlots {
        /// How many.
        parts: u32,
    },
    /// It would have to be paid before now.
    #[error("it had to be paid by {pay_by}: choose a later day")]
    TooLate {
        /// When.
        pay_by: Timestamp,
    },
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::AlreadyDrafted => "already_drafted",
            Self::UnknownQuote => "unknown_quote",
            Self::WrongState { .. } => "quote_in_other_state",
            Self::OptionsUnderWay => "options_under_way",
            Self::SettlementUnderWay => "settlement_under_way",
            Self::PaymentUnderWay => "payment_under_way",
            Self::OtherRevision { .. } => "other_revision",
            Self::NotExpected => "not_expected",
            Self::NothingToConfirm => "nothing_to_confirm",
            Self::BadLines => "bad_lines",
            Self::BadExtras => "bad_extras",
            Self::ExtraTwice { .. } => "extra_twice",
            Self::BadSlots => "bad_slots",
            Self::BadOptions => "bad_options",
            Self::SettleNotAllowed => "settle_not_allowed",
            Self::GroupTooSmall { .. } => "group_too_small",
            Self::TooManyEscorts { .. } => "too_many_escorts",
            Self::EscortCategory { .. } => "escort_category",
            Self::WrongNumberOfSlots { .. } => "wrong_number_of_slots",
            Self::TooLate { .. } => "too_late_to_pay",
        }
    }
}
