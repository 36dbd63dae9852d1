//! What happened to a quote: the journal's words.

use serde::{Deserialize, Serialize};

use super::pricing::Offer;
use crate::ids::{Code, HoldId, MuseumId, PaymentId, PersonId};
use crate::institution::Institution;
use crate::slot;
use crate::time::Timestamp;

/// What kind of group it is. Numbers are written in the journal: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A school with its teachers (visita d'istruzione).
    School,
    /// A tour operator or agency.
    TourOperator,
    /// A company.
    Company,
    /// An association.
    Association,
    /// Any other group.
    Other,
}

/// Who comes from where. No personal data: names are in `people`, under the contact's number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct About {
    /// Where they go.
    pub museum: MuseumId,
    /// What kind of group it is.
    pub kind: Kind,
    /// Whom to write to, kept apart under this number.
    pub contact: Option<PersonId>,
    /// Who they are, by codes.
    pub institution: Institution,
    /// The operator's account that it is for.
    pub account: Option<Code>,
}

/// How an accepted quote is to be paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settle {
    /// By a pagoPA notice.
    Notice,
    /// On pagoPA's page.
    Checkout,
    /// At the desk, where the museum allows it for this kind of group.
    Desk,
    /// On the operator's account.
    OnAccount,
}

/// Until when what must be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Conditions {
    /// The revision of the policy that they come from; 0: the defaults.
    pub policy: u32,
    /// Until when the signed form must come back.
    pub sign_by: Timestamp,
    /// Until when it must be paid.
    pub pay_by: Timestamp,
    /// Until when, if it is paid at the desk; none: it cannot be.
    pub desk_by: Option<Timestamp>,
    /// How long before a deadline the group is reminded, in seconds; 0: never.
    pub remind_s: u32,
    /// Whether the office confirms what is accepted.
    pub confirmation: bool,
}

/// A deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deadline {
    /// To send the form back, signed.
    Signature,
    /// To pay.
    Payment,
    /// To be sent: a draft keeps a share of the fee's free quota from others.
    Sending,
}

/// Why a quote was taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelCause {
    /// The group comes no more.
    Group,
    /// The museum cannot keep its word.
    Museum,
    /// It was paid, but there were no places any more for any part.
    NoPlaces,
}

/// It was written down.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Drafted {
    /// Who comes from where.
    pub about: About,
    /// What it costs.
    pub offer: Offer,
}

/// The draft has another content.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Revised {
    /// What it costs now.
    pub offer: Offer,
}

/// Options are to be taken for a revision, all or none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OptionsAsked {
    /// Counts the attempts of this quote from 1.
    pub attempt: u32,
    /// For which revision.
    pub revision: u32,
    /// Its content.
    pub offer: Offer,
    /// The option of each part.
    pub holds: Vec<HoldId>,
    /// How long they are to live.
    pub until: Timestamp,
    /// What holds once they are taken.
    pub conditions: Conditions,
}

/// The options were taken: this revision is in force, and not accepted yet. Those of an earlier one are to be given back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Optioned {
    /// In which attempt.
    pub attempt: u32,
}

/// An option was refused: those already taken are to be given back, and what was in force before stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OptionsRefused {
    /// In which attempt.
    pub attempt: u32,
    /// Which part, from 0.
    pub part: u16,
    /// Why.
    pub why: slot::Refusal,
}

/// Options were given back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OptionsReleased {
    /// Of which attempt.
    pub attempt: u32,
}

/// The revision in force was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Accepted {
    /// Which revision.
    pub revision: u32,
    /// Counts the acceptances of this quote from 1.
    pub acceptance: u32,
    /// How it is to be paid.
    pub settle: Settle,
    /// To whom a payment is due: the creditor's number in the settings.
    pub creditor: u16,
    /// Whether nobody has to confirm it any more.
    pub confirmed: bool,
}

/// The office has confirmed it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Confirmed {}

/// It could not be settled like that: it stands as sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SettlementRefused {
    /// The code of what said no.
    pub why: Code,
}

/// A payment was begun for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PaymentAttached {
    /// Which.
    pub payment: PaymentId,
}

/// Its payment can be paid no more.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PaymentDetached {
    /// Which.
    pub payment: PaymentId,
}

/// The acceptance was undone: it stands as sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reopened {}

/// It is paid.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Paid {
    /// By which payment; none: nothing was due, or its account was charged.
    pub payment: Option<PaymentId>,
}

/// Its tickets were issued.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ticketed {
    /// The sale of each part that has tickets.
    pub sales: Vec<HoldId>,
    /// Parts without, because there were no places any more.
    pub missing: Vec<u16>,
}

/// A deadline has passed: it is good no more.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lapsed {
    /// Which.
    pub deadline: Deadline,
}

/// It is not wanted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Refused {}

/// It was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cancelled {
    /// Why.
    pub cause: CancelCause,
}

/// What has tickets was taken back: by the museum, or because none of its tickets stands any more.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CalledOff {
    /// Why. If the museum cannot keep its word, every ticket that stands is cancelled, and the fee and the extras go back too.
    pub cause: CancelCause,
}

/// What calling it off asks for is done: no ticket of it stands, and what beside tickets is to go back is owed, or was taken off its account.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Unwound {}

/// It is time to remind the group. Who writes to people follows the journal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reminded {
    /// Of which deadline.
    pub deadline: Deadline,
    /// When that is.
    pub at: Timestamp,
}

/// Everything that can happen to a quote.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// See [`Drafted`].
    Drafted(Drafted),
    /// See [`Revised`].
    Revised(Revised),
    /// See [`OptionsAsked`].
    OptionsAsked(OptionsAsked),
    /// See [`Optioned`].
    Optioned(Optioned),
    /// See [`OptionsRefused`].
    OptionsRefused(OptionsRefused),
    /// See [`OptionsReleased`].
    OptionsReleased(OptionsReleased),
    /// See [`Accepted`].
    Accepted(Accepted),
    /// See [`Confirmed`].
    Confirmed(Confirmed),
    /// See [`SettlementRefused`].
    SettlementRefused(SettlementRefused),
    /// See [`PaymentAttached`].
    PaymentAttached(PaymentAttached),
    /// See [`PaymentDetached`].
    PaymentDetached(PaymentDetached),
    /// See [`Reopened`].
    Reopened(Reopened),
    /// See [`Paid`].
    Paid(Paid),
    /// See [`Ticketed`].
    Ticketed(Ticketed),
    /// See [`Lapsed`].
    Lapsed(Lapsed),
    /// See [`Refused`].
    Refused(Refused),
    /// See [`Cancelled`].
    Cancelled(Cancelled),
    /// See [`Reminded`].
    Reminded(Reminded),
    /// See [`CalledOff`].
    CalledOff(CalledOff),
    /// See [`Unwound`].
    Unwound(Unwound),
}
