//! What a quote is: in one word, and with what belongs to that.

use serde::{Deserialize, Serialize};

use super::event::{CancelCause, Deadline, Settle};
use crate::ids::HoldId;

/// What a quote is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Written down, holding nothing.
    Draft,
    /// Sent: its places are kept, and it waits for the signed form.
    Sent,
    /// Accepted: it waits for confirmation or money.
    Accepted,
    /// Paid: its tickets are being issued.
    Paid,
    /// Done.
    Ticketed,
    /// Nobody answered or paid in time.
    Lapsed,
    /// Not wanted.
    Refused,
    /// Taken back.
    Cancelled,
}

impl Status {
    /// The name used in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Sent => "sent",
            Self::Accepted => "accepted",
            Self::Paid => "paid",
            Self::Ticketed => "ticketed",
            Self::Lapsed => "lapsed",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether something may still happen to it: it stands in the lists of the office.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Draft | Self::Sent | Self::Accepted | Self::Paid)
    }
}

/// What a quote is, with what belongs to that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// See [`Status::Draft`].
    Draft,
    /// See [`Status::Sent`].
    Sent,
    /// See [`Status::Accepted`].
    Accepted {
        /// Which revision.
        revision: u32,
        /// How it is to be paid.
        settle: Settle,
        /// To whom a payment is due: the creditor's number in the settings.
        creditor: u16,
        /// Whether nobody has to confirm it any more.
        confirmed: bool,
    },
    /// See [`Status::Paid`].
    Paid,
    /// See [`Status::Ticketed`].
    Ticketed {
        /// The sale of each part that has tickets.
        sales: Vec<HoldId>,
        /// Parts without.
        missing: Vec<u16>,
    },
    /// See [`Status::Lapsed`].
    Lapsed {
        /// Which deadline passed.
        deadline: Deadline,
    },
    /// See [`Status::Refused`].
    Refused,
    /// See [`Status::Cancelled`].
    Cancelled {
        /// Why.
        cause: CancelCause,
    },
    /// See [`Status::Cancelled`]; it had tickets.
    CalledOff {
        /// Why.
        cause: CancelCause,
        /// The sale of each part that had tickets.
        sales: Vec<HoldId>,
        /// Parts that had none.
        missing: Vec<u16>,
        /// Whether nothing is left to be cancelled and paid back for it.
        unwound: bool,
    },
}

impl Stage {
    /// In one word.
    #[must_use]
    pub const fn status(&self) -> Status {
        match self {
            Self::Draft => Status::Draft,
            Self::Sent => Status::Sent,
            Self::Accepted { .. } => Status::Accepted,
            Self::Paid => Status::Paid,
            Self::Ticketed { .. } => Status::Ticketed,
            Self::Lapsed { .. } => Status::Lapsed,
            Self::Refused => Status::Refused,
            Self::Cancelled { .. } | Self::CalledOff { .. } => Status::Cancelled,
        }
    }
}
