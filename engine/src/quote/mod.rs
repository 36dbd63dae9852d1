//! A quote of the group office (preventivo): what a group visit costs, the options that keep its places, its acceptance, its payment, its tickets.
//!
//! The contract of every [`Aggregate`]. A quote is a draft, then sent, accepted, paid and ticketed; or it lapses, is refused or is cancelled, the last also when it has
//! tickets. It takes places in
//! no slot by itself: it says what is to be done ([`Quote::work`]), the shell does it in the slots, the payment and the account, and notes here what came of it.
//! So the quote's stream is the journal of its flow, and a flow that was cut off goes on from what is written.
//!
//! Options are taken in attempts, all or none. A revision of a quote that was sent is an attempt beside the options in force: only when it has all of its own does
//! it take their place, and they are given back; if one is refused, the old revision stands. A part that stays in its slot keeps its option, which grows before
//! the attempt has all, and shrinks only after it: so both ways back are open.
//!
//! Money that arrives wins: a quote whose own payment for the revision in force is paid after all is paid, though it had lapsed or was cancelled meanwhile, or
//! another payment was begun; that one is ended then. Money for anything else goes back: its payment asks here before it makes tickets.
//!
//! - QU-1: what a quote costs is what its parts, its fee and its extras add up to.
//! - QU-2: the options of one attempt at most are in force, and of the revision in force; a quote that is sent or accepted has them, one that has ended has none.
//! - QU-3: a quote is paid once, and has tickets only when it is paid.
//! - QU-4: whatever keeps places has a deadline: a quote that is sent or accepted lapses by itself.
//! - QU-5: what is accepted is the revision in force; a later one needs a new acceptance.
//! - QU-6: an option belongs to one part of an attempt; attempts share one only as that of the part in the same slot.
//! - QU-7: replay equals live, and time does not go back.

mod command;
mod deadline;
mod event;
pub mod policy;
pub mod pricing;
mod refusal;
mod revision;
mod stage;
mod state;
#[cfg(test)]
mod tests;

pub use command::{Command, Rules};
pub use event::*;
pub use policy::GroupPolicy;
pub use pricing::{Asked, Extra, Offer, Part};
pub use refusal::Refusal;
pub use stage::{Stage, Status};

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::account::ChargeOf;
use crate::aggregate::{Aggregate, Broken};
use crate::ids::{Code, HoldId, KeyId, PaymentId, QuoteId};
use crate::past::Past;
use crate::record::Record;
use crate::time::{DAY_S, Timestamp};

/// How long after its deadline a payment that was begun before may still arrive: as long as a slot prolongs a hold for a payment.
pub const PAYMENT_GRACE_S: i64 = 7_200;
/// How long a draft stands that nobody sends, in seconds: thirty days, and not beyond the visit. Meanwhile it keeps its share of the fee's free quota.
pub const DRAFT_KEPT_S: i64 = 30 * DAY_S;
/// A quote is doubtful if it is likelier to lapse than so many thousandths: likelier than not.
pub const DOUBTFUL_PERMILLE: u16 = 500;

/// The options of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// What was asked.
    pub asked: OptionsAsked,
    /// What became of it.
    pub state: OptionsState,
}

/// What became of an attempt to take options. Those that are given back are forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptionsState {
    /// They are being taken.
    Taking,
    /// They are in force.
    Taken,
    /// They are being given back.
    GivingBack,
}

/// What is to be done for a quote elsewhere; when it is done, it is noted here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Work {
    /// Withdraw a payment, or find out that it is paid.
    EndPayment(PaymentId),
    /// Begin a payment, charge the account, or nothing if nothing is due.
    Settle,
    /// Make its options sales: it is paid without a payment.
    IssueTickets,
    /// Cancel what stands of its tickets, and see to it that its fee and extras go back.
    Unwind,
    /// Take the options of an attempt.
    TakeOptions(u32),
    /// Give the options of an attempt back.
    GiveBack(u32),
}

/// A quote. Serialized, equal states give equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    id: QuoteId,
    about: Option<About>,
    drafted: Option<(KeyId, Timestamp)>,
    /// The revision in force, from 1.
    revision: u32,
    offer: Option<Offer>,
    conditions: Option<Conditions>,
    stage: Stage,
    /// When it became that.
    since: Timestamp,
    attempts: u32,
    acceptances: u32,
    options: BTreeMap<u32, Options>,
    /// The last attempt in which an option was refused.
    options_refused: Option<OptionsRefused>,
    settlement_refused: Option<Code>,
    /// The revision that was accepted last; 0: none.
    accepted: u32,
    /// The last payment that was begun for it.
    payment: Option<PaymentId>,
    /// Whether that can still be paid, as far as is known here.
    payment_open: bool,
    /// One that could still be paid when another one was.
    superseded: Option<PaymentId>,
    /// All payments that were begun for it, with the revision that each is for.
    payments: BTreeMap<PaymentId, u32>,
    paid: Option<Paid>,
    payments_made: u32,
    reminded: BTreeSet<(u32, Deadline)>,
    past: Past,
}

impl Aggregate for Quote {
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn past(&self) -> &Past {
        &self.past
    }

    /// Time never goes backwards: `now` counts as at least the time of the last record.
    fn decide(&self, now: Timestamp, command: &Command) -> Result<Vec<Event>, Refusal> {
        let now = self.past.at_least(now);
        let event = match command {
            Command::Draft { about, asked, rules } => self.draft(about, asked, rules)?,
            Command::Revise { owner, asked, rules, holds } => self.revise(now, *owner, asked, rules, holds)?,
            Command::Send { owner, rules, holds } => self.send(now, *owner, rules, holds)?,
            Command::NoteOptioned { attempt } => {
                self.taking(*attempt)?;
                Event::Optioned(Optioned { attempt: *attempt })
            }
            Command::NoteOptionsRefused { attempt, part, why } => {
                self.taking(*attempt)?;
                Event::OptionsRefused(OptionsRefused { attempt: *attempt, part: *part, why: why.clone() })
            }
            Command::NoteOptionsReleased { attempt } => {
                self.options.get(attempt).filter(|options| options.state == OptionsState::GivingBack).ok_or(Refusal::NotExpected)?;
                Event::OptionsReleased(OptionsReleased { attempt: *attempt })
            }
            Command::Accept { owner, revision, settle, creditor, by_office } => {
                self.accept(now, *owner, *revision, (*settle, *creditor), *by_office)?
            }
            Command::Confirm => match self.stage {
                Stage::Accepted { confirmed: false, .. } => {
                    self.is_still()?;
                    Event::Confirmed(Confirmed {})
                }
                Stage::Accepted { .. } => return Err(Refusal::NothingToConfirm),
                _ => return Err(self.wrong_state()),
            },
            Command::Refuse { owner } => {
                self.may_end(*owner)?;
                Event::Refused(Refused {})
            }
            // What the group is said to have called off may be the museum's doing after all.
            Command::Cancel { owner, cause: CancelCause::Museum }
                if matches!(self.stage, Stage::Ticketed { .. } | Stage::CalledOff { cause: CancelCause::Group, .. }) =>
            {
                self.owned(*owner)?;
                Event::CalledOff(CalledOff { cause: CancelCause::Museum })
            }
            Command::Cancel { owner, cause } => {
                self.may_end(*owner)?;
                if *cause == CancelCause::NoPlaces {
                    return Err(Refusal::NotExpected);
                }
                Event::Cancelled(Cancelled { cause: *cause })
            }
            Command::Reopen => {
                self.owned(None)?;
                match self.stage {
                    Stage::Accepted { .. } if self.is_settling() => return Err(Refusal::SettlementUnderWay),
                    Stage::Accepted { .. } => Event::Reopened(Reopened {}),
                    _ => return Err(self.wrong_state()),
                }
            }
            Command::AttachPayment { payment } => {
                let by_payment = matches!(self.stage, Stage::Accepted { settle, .. } if settle != Settle::OnAccount) && !self.is_free();
                self.expected(self.is_settling() && by_payment)?;
                Event::PaymentAttached(PaymentAttached { payment: *payment })
            }
            Command::DetachPayment { payment } => {
                self.expected(self.has_open(*payment) || self.superseded == Some(*payment))?;
                Event::PaymentDetached(PaymentDetached { payment: *payment })
            }
            Command::NoteSettlementRefused { why } => {
                self.expected(self.is_settling())?;
                Event::SettlementRefused(SettlementRefused { why: *why })
            }
            Command::MarkPaid { payment } => {
                let on_account = matches!(self.stage, Stage::Accepted { settle: Settle::OnAccount, .. });
                let without = self.is_settling() && (on_account || self.is_free());
                match payment {
                    Some(payment) => self.is_paid_by(*payment)?,
                    None => self.expected(without)?,
                }
                Event::Paid(Paid { payment: *payment })
            }
            Command::MarkTicketed { sales, missing } => {
                let parts = self.offer.as_ref().map_or(0, |offer| offer.parts.len());
                self.expected(self.stage == Stage::Paid && sales.len() + missing.len() == parts)?;
                if sales.is_empty() {
                    Event::Cancelled(Cancelled { cause: CancelCause::NoPlaces })
                } else {
                    Event::Ticketed(Ticketed { sales: sales.clone(), missing: missing.clone() })
                }
            }
            Command::NoteTicketsCancelled { cause } => {
                self.expected(matches!(self.stage, Stage::Ticketed { .. }) && *cause != CancelCause::NoPlaces)?;
                Event::CalledOff(CalledOff { cause: *cause })
            }
            Command::NoteUnwound => {
                self.expected(self.unwinds())?;
                Event::Unwound(Unwound {})
            }
            Command::RemindEarly { lapse_permille } => Event::Reminded(self.remind_early(now, *lapse_permille)?),
        };
        Ok(vec![event])
    }

    /// The deadline that has passed, else the reminder whose time has come.
    fn due(&self, now: Timestamp) -> Vec<Event> {
        let now = self.past.at_least(now);
        if let Some((deadline, _)) = self.lapses_at().filter(|(_, at)| *at <= now) {
            return vec![Event::Lapsed(Lapsed { deadline })];
        }
        let reminder = self.reminder().filter(|(.., remind_at)| *remind_at <= now);
        reminder.map(|(deadline, at, _)| Event::Reminded(Reminded { deadline, at })).into_iter().collect()
    }

    fn apply(&mut self, record: &Record<Event>) {
        self.past.take(record);
        record.events.iter().for_each(|event| self.apply_event(record, event));
    }

    fn check(&self) -> Result<(), Broken> {
        let broken = |invariant, what| Err(Broken { invariant, what });
        if self.offer.as_ref().is_some_and(|offer| offer.sum() != offer.total_cents) {
            return broken("QU-1", "a quote does not add up");
        }
        let in_state = |state| self.options.values().filter(move |options| options.state == state);
        let (taken, taking) = (in_state(OptionsState::Taken).count(), in_state(OptionsState::Taking).count());
        let fits = match self.stage {
            Stage::Draft => taken == 0 && taking <= 1,
            Stage::Sent | Stage::Accepted { .. } => taken == 1 && taking <= 1,
            Stage::Paid => taken <= 1 && taking == 0,
            Stage::Ticketed { .. } | Stage::Lapsed { .. } | Stage::Refused | Stage::Cancelled { .. } | Stage::CalledOff { .. } => taken + taking == 0,
        };
        if !fits || in_state(OptionsState::Taken).any(|options| options.asked.revision != self.revision) {
            return broken("QU-2", "a quote has not the options that are due to it");
        }
        let is_paid = matches!(self.stage, Stage::Paid | Stage::Ticketed { .. } | Stage::CalledOff { .. });
        if self.payments_made > 1 || (is_paid && self.paid.is_none()) {
            return broken("QU-3", "a quote is paid twice, or has tickets and is not paid");
        }
        let waits = matches!(self.stage, Stage::Sent | Stage::Accepted { .. }) && !self.is_settling();
        if waits && self.wake_at().is_none() {
            return broken("QU-4", "a quote keeps places without a deadline");
        }
        if matches!(self.stage, Stage::Accepted { revision, .. } if revision != self.revision) {
            return broken("QU-5", "another revision is in force than was accepted");
        }
        Ok(())
    }

    fn wake_at(&self) -> Option<Timestamp> {
        let reminder = self.reminder().map(|(.., remind_at)| remind_at);
        self.lapses_at().map(|(_, at)| at).into_iter().chain(reminder).min()
    }
}

impl Quote {
    /// The quote with this id, of which nothing is known yet.
    #[must_use]
    pub fn new(id: QuoteId) -> Self {
        Self {
            id,
            about: None,
            drafted: None,
            revision: 1,
            offer: None,
            conditions: None,
            stage: Stage::Draft,
            since: Timestamp::MIN,
            attempts: 0,
            acceptances: 0,
            options: BTreeMap::new(),
            options_refused: None,
            settlement_refused: None,
            accepted: 0,
            payment: None,
            payment_open: false,
            superseded: None,
            payments: BTreeMap::new(),
            paid: None,
            payments_made: 0,
            reminded: BTreeSet::new(),
            past: Past::default(),
        }
    }

    /// Rebuilds a quote from all its records.
    #[must_use]
    pub fn replay<'a>(id: QuoteId, records: impl IntoIterator<Item = &'a Record<Event>>) -> Self {
        Self::new(id).after(records)
    }

    fn accept(
        &self,
        now: Timestamp,
        owner: Option<Code>,
        revision: u32,
        (settle, creditor): (Settle, u16),
        by_office: bool,
    ) -> Result<Event, Refusal> {
        let about = self.owned(owner)?;
        let Some(conditions) = self.conditions.filter(|_| self.stage == Stage::Sent) else { return Err(self.wrong_state()) };
        self.is_still()?;
        if self.payment_open {
            return Err(Refusal::PaymentUnderWay);
        }
        if revision != self.revision {
            return Err(Refusal::OtherRevision { revision: self.revision });
        }
        if !self.is_free() {
            match settle {
                Settle::OnAccount if about.account.is_none() => return Err(Refusal::SettleNotAllowed),
                Settle::Desk if conditions.desk_by.is_none() => return Err(Refusal::SettleNotAllowed),
                Settle::Notice | Settle::Checkout if conditions.pay_by <= now => return Err(Refusal::TooLate { pay_by: conditions.pay_by }),
                Settle::Notice | Settle::Checkout | Settle::Desk | Settle::OnAccount => {}
            }
        }
        let confirmed = by_office || !conditions.confirmation;
        Ok(Event::Accepted(Accepted { revision, acceptance: self.acceptances + 1, settle, creditor, confirmed }))
    }

    /// What the quote is about, if it is there and the caller's.
    fn owned(&self, owner: Option<Code>) -> Result<&About, Refusal> {
        self.about.as_ref().filter(|about| owner.is_none() || about.account == owner).ok_or(Refusal::UnknownQuote)
    }

    /// Whether nothing is on the way that must end first.
    fn is_still(&self) -> Result<(), Refusal> {
        if self.options.values().any(|options| options.state == OptionsState::Taking) {
            return Err(Refusal::OptionsUnderWay);
        }
        if self.is_settling() { Err(Refusal::SettlementUnderWay) } else { Ok(()) }
    }

    /// Whether it may be refused or cancelled without tickets. What is being settled ends in a moment, paid or not.
    fn may_end(&self, owner: Option<Code>) -> Result<(), Refusal> {
        self.owned(owner)?;
        match self.stage {
            Stage::Draft | Stage::Sent | Stage::Accepted { .. } if self.is_settling() => Err(Refusal::SettlementUnderWay),
            Stage::Draft | Stage::Sent | Stage::Accepted { .. } => Ok(()),
            _ => Err(self.wrong_state()),
        }
    }

    fn taking(&self, attempt: u32) -> Result<(), Refusal> {
        self.expected(self.options.get(&attempt).is_some_and(|options| options.state == OptionsState::Taking))
    }

    fn expected(&self, is_expected: bool) -> Result<(), Refusal> {
        self.owned(None)?;
        if is_expected { Ok(()) } else { Err(Refusal::NotExpected) }
    }

    fn has_open(&self, payment: PaymentId) -> bool {
        self.payment_open && self.payment == Some(payment)
    }

    /// Whether money of that payment pays it: one of its own for the revision in force, whether it was thought to be over or not, and whether another one could
    /// still be paid or not. What is on the way ends first; then it is to be asked again.
    fn is_paid_by(&self, payment: PaymentId) -> Result<(), Refusal> {
        self.owned(None)?;
        self.expected(self.paid.is_none())?;
        self.is_still()?;
        if self.options_settle() {
            return Err(Refusal::OptionsUnderWay);
        }
        match self.payments.get(&payment) {
            Some(revision) if *revision == self.revision => Ok(()),
            Some(_) => Err(Refusal::OtherRevision { revision: self.revision }),
            None => Err(Refusal::NotExpected),
        }
    }

    /// Whether money of that payment pays it, or has: whoever is about to take it can ask before, as what a quote does not want goes back.
    ///
    /// # Errors
    /// Why it does not: [`Refusal::NotExpected`] if the quote is paid on another way.
    pub fn welcomes(&self, payment: PaymentId) -> Result<(), Refusal> {
        if self.paid.as_ref().is_some_and(|paid| paid.payment == Some(payment)) { Ok(()) } else { self.is_paid_by(payment) }
    }

    /// Whether an option in force may still be of something else: a later attempt had it, and is not done with it. What earlier ones left of it was made right before the payment
    /// was begun.
    fn options_settle(&self) -> bool {
        let Some(asked) = self.options_in_force() else { return false };
        let later = self.options.range(asked.attempt + 1..).filter(|(_, options)| options.state == OptionsState::GivingBack);
        later.flat_map(|(_, options)| &options.asked.holds).any(|hold| asked.holds.contains(hold))
    }

    const fn wrong_state(&self) -> Refusal {
        if self.about.is_none() { Refusal::UnknownQuote } else { Refusal::WrongState { state: self.stage.status() } }
    }

    fn is_free(&self) -> bool {
        self.offer.as_ref().is_none_or(|offer| offer.total_cents.is_zero())
    }

    /// Whether it is accepted for good and the shell is about to settle it: meanwhile it neither lapses nor changes.
    const fn is_settling(&self) -> bool {
        matches!(self.stage, Stage::Accepted { confirmed: true, .. }) && !self.payment_open
    }

    /// Whether it was called off by the museum, and that is not done yet.
    const fn unwinds(&self) -> bool {
        matches!(self.stage, Stage::CalledOff { unwound: false, .. })
    }

    /// Whether moreover no option stands twice (QU-6): for tests and after a replay.
    pub fn recount(&self) -> Result<(), Broken> {
        self.check()?;
        let is_once = |options: &Options| {
            let (holds, parts) = (&options.asked.holds, &options.asked.offer.parts);
            let in_place = holds.len() == parts.len() && holds.iter().zip(parts).all(|(hold, part)| hold.slot() == part.slot);
            in_place && holds.iter().collect::<BTreeSet<_>>().len() == holds.len()
        };
        if self.options.values().all(is_once) { Ok(()) } else { Err(Broken { invariant: "QU-6", what: "an option stands twice" }) }
    }

    /// What is to be done next for it elsewhere; none if it waits for people, for time or for its payment.
    #[must_use]
    pub fn work(&self) -> Option<Work> {
        self.work_beside(&BTreeSet::new())
    }

    /// As [`Self::work`], beside the attempts whose options cannot all be given back now: what else is to be done does not wait for a slot that the group has left.
    #[must_use]
    pub fn work_beside(&self, put_off: &BTreeSet<u32>) -> Option<Work> {
        let ended = !matches!(self.stage, Stage::Accepted { .. });
        if let Some(payment) = self.superseded.or(self.payment.filter(|_| self.payment_open && ended)) {
            return Some(Work::EndPayment(payment));
        }
        let all = |state| self.options.iter().filter(move |(_, options)| options.state == state).map(|(attempt, _)| *attempt);
        // Before anything is sold or due, every option is of what it is for.
        if let Some(attempt) = all(OptionsState::GivingBack).find(|attempt| !put_off.contains(attempt)) {
            return Some(Work::GiveBack(attempt));
        }
        if self.is_settling() {
            return Some(Work::Settle);
        }
        if self.stage == Stage::Paid && self.paid == Some(Paid { payment: None }) {
            return Some(Work::IssueTickets);
        }
        if self.unwinds() {
            return Some(Work::Unwind);
        }
        all(OptionsState::Taking).next().map(Work::TakeOptions)
    }

    /// Whether an attempt that is being taken has that option too: until it has come to its end, the option may be of what it asks for.
    #[must_use]
    pub fn is_taking(&self, hold: HoldId) -> bool {
        self.options.values().any(|options| options.state == OptionsState::Taking && options.asked.holds.contains(&hold))
    }

    /// Whether an attempt asks for places in a slot where another option of these attempts is yet to be given back: until then it might be refused for the quote's own places.
    #[must_use]
    pub fn waits_for(&self, attempt: u32, put_off: &BTreeSet<u32>) -> bool {
        let asked = self.options.get(&attempt).map_or(&[][..], |options| &options.asked.holds);
        let is_in_the_way = |left: &HoldId| asked.iter().any(|new| new.slot() == left.slot() && new != left);
        put_off.iter().filter_map(|left| self.options.get(left)).flat_map(|left| &left.asked.holds).any(is_in_the_way)
    }

    /// What a hold that an attempt gives back stays for: the lines of the option in force, if it is one.
    #[must_use]
    pub fn stays_for(&self, hold: HoldId) -> Option<&[crate::slot::Line]> {
        let asked = self.options_in_force()?;
        let part = asked.holds.iter().position(|kept| *kept == hold)?;
        asked.offer.parts.get(part).map(|part| part.lines.as_slice())
    }

    /// The payment that it waits for: to be paid, or to sell its tickets.
    #[must_use]
    pub fn awaits(&self) -> Option<PaymentId> {
        let sells = self.stage == Stage::Paid && self.paid.as_ref().is_some_and(|paid| paid.payment.is_some());
        self.payment.filter(|_| self.payment_open || sells)
    }

    /// Under which name its account is charged for the acceptance that stands, or stood last.
    #[must_use]
    pub const fn charge(&self) -> ChargeOf {
        ChargeOf::Quote { quote: self.id, revision: self.revision, acceptance: self.acceptances }
    }

    /// Which quote.
    #[must_use]
    pub const fn id(&self) -> QuoteId {
        self.id
    }

    /// Who comes from where; none before it is drafted.
    #[must_use]
    pub const fn about(&self) -> Option<&About> {
        self.about.as_ref()
    }

    /// Who drafted it, and when.
    #[must_use]
    pub const fn drafted(&self) -> Option<(KeyId, Timestamp)> {
        self.drafted
    }

    /// The revision in force, from 1.
    #[must_use]
    pub const fn revision(&self) -> u32 {
        self.revision
    }

    /// The content in force.
    #[must_use]
    pub const fn offer(&self) -> Option<&Offer> {
        self.offer.as_ref()
    }

    /// The deadlines in force; none before it is sent.
    #[must_use]
    pub const fn conditions(&self) -> Option<&Conditions> {
        self.conditions.as_ref()
    }

    /// What it is.
    #[must_use]
    pub const fn stage(&self) -> &Stage {
        &self.stage
    }

    /// What it is, in one word.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.stage.status()
    }

    /// Since when.
    #[must_use]
    pub const fn since(&self) -> Timestamp {
        self.since
    }

    /// How many attempts to take options there were: the number of the last.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// All attempts whose options are not given back, by number.
    #[must_use]
    pub const fn options(&self) -> &BTreeMap<u32, Options> {
        &self.options
    }

    /// The options in force.
    #[must_use]
    pub fn options_in_force(&self) -> Option<&OptionsAsked> {
        self.options.values().find(|options| options.state == OptionsState::Taken).map(|options| &options.asked)
    }

    /// Why the last attempt took no options, if it did not.
    #[must_use]
    pub const fn options_refused(&self) -> Option<&OptionsRefused> {
        self.options_refused.as_ref()
    }

    /// Why the last settlement was refused, if it was.
    #[must_use]
    pub const fn settlement_refused(&self) -> Option<Code> {
        self.settlement_refused
    }

    /// Whether a record still follows by itself from the step before, and from nobody who has done something since: options that are taken or given back, a payment that is begun or
    /// withdrawn, and tickets where no money is waited for.
    #[must_use]
    pub fn goes_on(&self, record: &Record<Event>) -> bool {
        let costs_nothing = self.offer.as_ref().is_some_and(|offer| offer.total_cents.is_zero());
        record.events.iter().all(|event| match event {
            Event::Optioned(_)
            | Event::OptionsRefused(_)
            | Event::OptionsReleased(_)
            | Event::SettlementRefused(_)
            | Event::PaymentAttached(_)
            | Event::Unwound(_) => true,
            // Of what is accepted and waits for money it is withdrawn because none came.
            Event::PaymentDetached(_) => self.status() != Status::Accepted,
            // Money that comes later is somebody else's doing, and the tickets with it.
            Event::Paid(_) => self.status() == Status::Accepted && (!self.payment_open || costs_nothing),
            Event::Ticketed(_) => true,
            _ => false,
        })
    }

    /// The last payment that was begun for it.
    #[must_use]
    pub const fn payment(&self) -> Option<PaymentId> {
        self.payment
    }

    /// How it was paid, if it is.
    #[must_use]
    pub const fn paid(&self) -> Option<&Paid> {
        self.paid.as_ref()
    }

    /// Time of the last record.
    #[must_use]
    pub const fn last_at(&self) -> Timestamp {
        self.past.last_at()
    }
}
