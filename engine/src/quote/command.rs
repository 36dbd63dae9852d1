//! What can be asked of a quote. A command carries all that comes from outside: prices, the museum's rules for groups, ids of options, who acts for whom.

use serde::{Deserialize, Serialize};

use super::event::{About, CancelCause, Settle};
use super::policy::GroupPolicy;
use super::pricing::Asked;
use crate::calendar::MonthDay;
use crate::ids::{Code, HoldId, PaymentId};
use crate::slot;
use crate::time::Timestamp;

/// What the museum says of groups on the day of the visit, looked up before.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rules {
    /// Its policy.
    pub policy: GroupPolicy,
    /// The policy's revision; 0: nobody has set one.
    pub revision: u32,
    /// The feast of the town's patron saint, on which offices rest.
    pub patron: Option<MonthDay>,
    /// How many people (or parts) of that day are still free of the booking fee.
    pub fee_free_left: u32,
    /// The most people whom each of the slots takes in one hold.
    pub party_max: u16,
    /// When the group office can sell the first of the slots no more.
    pub closes_at: Timestamp,
}

/// One command to one quote. `owner` fields: when given, the quote must be for that operator's account, else it is unknown to the caller; the office gives none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Write a quote down.
    Draft {
        /// Who comes from where.
        about: About,
        /// What they want.
        asked: Asked,
        /// What the museum says of groups.
        rules: Box<Rules>,
    },
    /// Price it anew. A draft is changed in place; of one that was sent, the options for the new revision are taken first, and only then are the old ones given
    /// back.
    Revise {
        /// For which account it must be.
        owner: Option<Code>,
        /// What they want now.
        asked: Asked,
        /// What the museum says of groups.
        rules: Box<Rules>,
        /// An unused id for the option of each part; not looked at for a draft, nor for a part that stays in its slot and keeps its option.
        holds: Vec<HoldId>,
    },
    /// Send a draft: take the options, from which on deadlines run.
    Send {
        /// For which account it must be.
        owner: Option<Code>,
        /// What the museum says of groups.
        rules: Box<Rules>,
        /// An unused id for the option of each part.
        holds: Vec<HoldId>,
    },
    /// All options were taken: a note of the driver.
    NoteOptioned {
        /// In which attempt.
        attempt: u32,
    },
    /// An option was refused, so none is kept: a note of the driver.
    NoteOptionsRefused {
        /// In which attempt.
        attempt: u32,
        /// Which part, from 0.
        part: u16,
        /// Why.
        why: slot::Refusal,
    },
    /// All options of an attempt are given back, or were never taken: a note of the driver.
    NoteOptionsReleased {
        /// Of which attempt.
        attempt: u32,
    },
    /// Accept the revision that was sent, with the form signed.
    Accept {
        /// For which account it must be.
        owner: Option<Code>,
        /// The revision that was read.
        revision: u32,
        /// How it is to be paid.
        settle: Settle,
        /// To whom a payment is due: the creditor's number in the settings.
        creditor: u16,
        /// Whether the office itself notes it: then nobody has to confirm.
        by_office: bool,
    },
    /// Confirm what was accepted, where the museum asks for it.
    Confirm,
    /// It is not wanted.
    Refuse {
        /// For which account it must be.
        owner: Option<Code>,
    },
    /// Take it back. What has tickets only the museum takes back, all of it; a group that comes no more cancels its tickets. What went with these as
    /// the group's doing becomes the museum's so.
    Cancel {
        /// For which account it must be.
        owner: Option<Code>,
        /// Why.
        cause: CancelCause,
    },
    /// Undo the acceptance, so that it can be revised or paid another way; its payment is withdrawn.
    Reopen,
    /// A payment was begun for it: a note of the driver.
    AttachPayment {
        /// Which.
        payment: PaymentId,
    },
    /// The payment can be paid no more: a note of the driver.
    DetachPayment {
        /// Which.
        payment: PaymentId,
    },
    /// It could not be settled like that: a note of the driver.
    NoteSettlementRefused {
        /// The code of what said no.
        why: Code,
    },
    /// It is paid: a note of the driver.
    MarkPaid {
        /// By which payment; none: nothing was due, or its account was charged.
        payment: Option<PaymentId>,
    },
    /// Its tickets were issued: a note of the driver.
    MarkTicketed {
        /// The sale of each part that has tickets.
        sales: Vec<HoldId>,
        /// Parts for which there were no places any more; what they cost is refunded or taken back.
        missing: Vec<u16>,
    },
    /// Remind the group of the deadline that runs before the policy would, as it is thought to let it pass.
    RemindEarly {
        /// How likely it is that the quote is never paid, in thousandths.
        lapse_permille: u16,
    },
    /// None of its tickets stands any more, or was used: a note of the driver.
    NoteTicketsCancelled {
        /// Why the last of them were cancelled.
        cause: CancelCause,
    },
    /// What calling it off asks for is done: a note of the driver.
    NoteUnwound,
}
