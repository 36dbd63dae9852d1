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
mod event;
pub mod policy;
pub mod pricing;
mod refusal;
#[cfg(test)]
mod tests;

pub use command::{Command, Rules};
pub use event::*;
pub use policy::GroupPolicy;
pub use pricing::{Asked, Extra, Offer, Part};
pub use refusal::Refusal;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::account::ChargeOf;
use crate::aggregate::{Aggregate, Broken};
use crate::envelope::Envelope;
use crate::ids::{Code, HoldId, KeyId, PaymentId, QuoteId};
use crate::past::Past;
use crate::recall::Recall;
use crate::record::Record;
use crate::time::Timestamp;

/// How long after its deadline a payment that was begun before may still arrive: as long as a slot prolongs a hold for a payment.
pub const PAYMENT_GRACE_S: i64 = 7_200;
/// How long a draft stands that nobody sends, in seconds: thirty days, and not beyond the visit. Meanwhile it keeps its share of the fee's free quota.
pub const DRAFT_KEPT_S: i64 = 30 * 86_400;
/// A quote is doubtful if it is likelier to lapse than so many thousandths: likelier than not.
pub const DOUBTFUL_PERMILLE: u16 = 500;

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

    fn recall(&self, envelope: &Envelope) -> Recall {
        self.past.recall(envelope)
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
            Command::Cancel { owner, cause: CancelCause::Museum } if matches!(self.stage, Stage::Ticketed { .. }) => {
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

    fn record(&self, now: Timestamp, envelope: Option<Envelope>, events: Vec<Event>) -> Record<Event> {
        self.past.next(now, envelope, events)
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

    fn seq(&self) -> u64 {
        self.past.seq()
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

    fn draft(&self, about: &About, asked: &Asked, rules: &Rules) -> Result<Event, Refusal> {
        if self.about.is_some() {
            return Err(Refusal::AlreadyDrafted);
        }
        Ok(Event::Drafted(Drafted { about: about.clone(), offer: priced(about, asked, rules)? }))
    }

    fn revise(&self, now: Timestamp, owner: Option<Code>, asked: &Asked, rules: &Rules, holds: &[HoldId]) -> Result<Event, Refusal> {
        let about = self.owned(owner)?;
        match self.stage {
            Stage::Draft | Stage::Sent | Stage::Accepted { .. } => self.is_still()?,
            _ => return Err(self.wrong_state()),
        }
        if self.payment_open {
            return Err(Refusal::PaymentUnderWay);
        }
        let offer = priced(about, asked, rules)?;
        if self.stage == Stage::Draft {
            return Ok(Event::Revised(Revised { offer }));
        }
        self.ask_options(now, about, self.revision + 1, &offer, rules, holds)
    }

    /// The option of each part: that in force where the part stays in its slot, else one of those that are new.
    fn options_for(&self, offer: &Offer, new: &[HoldId]) -> Vec<HoldId> {
        let kept = |slot| self.options_in_force()?.holds.iter().copied().find(|hold| hold.slot() == slot);
        offer.parts.iter().zip(new).map(|(part, new)| kept(part.slot).unwrap_or(*new)).collect()
    }

    fn send(&self, now: Timestamp, owner: Option<Code>, rules: &Rules, holds: &[HoldId]) -> Result<Event, Refusal> {
        let about = self.owned(owner)?;
        let Some(offer) = self.offer.as_ref().filter(|_| self.stage == Stage::Draft) else { return Err(self.wrong_state()) };
        self.is_still()?;
        self.ask_options(now, about, self.revision, offer, rules, holds)
    }

    /// The deadlines of what is sent now, and how long its options have to live.
    fn ask_options(&self, now: Timestamp, about: &About, revision: u32, offer: &Offer, rules: &Rules, holds: &[HoldId]) -> Result<Event, Refusal> {
        let known = |hold: &HoldId| self.options.values().any(|options| options.asked.holds.contains(hold));
        let twice = |i: usize, hold: &HoldId| holds[..i].contains(hold);
        let in_place = offer.parts.iter().zip(holds).all(|(part, hold)| part.slot == hold.slot());
        if holds.len() != offer.parts.len() || !in_place || holds.iter().enumerate().any(|(i, hold)| twice(i, hold) || known(hold)) {
            return Err(Refusal::BadOptions);
        }
        let policy = &rules.policy;
        let starts_at = offer.starts_at().ok_or(Refusal::BadSlots)?;
        let closes_at = rules.closes_at.min(starts_at);
        let pay_by = if offer.total_cents.is_zero() { closes_at } else { pricing::pay_by(policy, rules.patron, starts_at).min(closes_at) };
        let desk_by = policy.desk_for.contains(&about.kind).then_some(closes_at);
        let last = desk_by.unwrap_or(pay_by).max(pay_by);
        if last <= now {
            return Err(Refusal::TooLate { pay_by });
        }
        let conditions = Conditions {
            policy: rules.revision,
            sign_by: pricing::sign_by(policy, rules.patron, now).min(last),
            pay_by,
            desk_by,
            remind_s: u32::from(policy.reminder_days) * 86_400,
            confirmation: policy.confirmation,
        };
        let (attempt, until) = (self.attempts + 1, last.plus_seconds(PAYMENT_GRACE_S));
        let holds = self.options_for(offer, holds);
        Ok(Event::OptionsAsked(OptionsAsked { attempt, revision, offer: offer.clone(), holds, until, conditions }))
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

    /// Whether an option in force may still be of something else: another attempt had it, and is not done with it.
    fn options_settle(&self) -> bool {
        let in_force = self.options_in_force().map_or(&[][..], |asked| &asked.holds);
        let giving_back = self.options.values().filter(|options| options.state == OptionsState::GivingBack);
        giving_back.flat_map(|options| &options.asked.holds).any(|hold| in_force.contains(hold))
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

    /// The deadline that it waits for, and when that is; none while it waits for none, or is being settled.
    #[must_use]
    pub fn deadline(&self) -> Option<(Deadline, Timestamp)> {
        if matches!(self.stage, Stage::Draft) {
            // What is being sent is a draft until the places are taken, and does not lapse meanwhile.
            let is_still = !self.options.values().any(|options| options.state == OptionsState::Taking);
            let visit = self.offer.iter().flat_map(|offer| &offer.parts).map(|part| part.slot.start()).min()?;
            return is_still.then(|| (Deadline::Sending, self.since.plus_seconds(DRAFT_KEPT_S).min(visit)));
        }
        let conditions = self.conditions?;
        match self.stage {
            // The form is here, though it is not settled: another way is open as long as it may be paid.
            Stage::Sent if self.accepted == self.revision => Some((Deadline::Payment, conditions.desk_by.unwrap_or(conditions.pay_by))),
            Stage::Sent => Some((Deadline::Signature, conditions.sign_by)),
            Stage::Accepted { .. } if self.is_settling() => None,
            Stage::Accepted { settle: Settle::Desk, .. } => Some((Deadline::Payment, conditions.desk_by.unwrap_or(conditions.pay_by))),
            Stage::Accepted { .. } => Some((Deadline::Payment, conditions.pay_by)),
            _ => None,
        }
    }

    /// When it lapses: with its deadline, or a little later if a payment was begun in time and may still be on its way.
    fn lapses_at(&self) -> Option<(Deadline, Timestamp)> {
        let (deadline, at) = self.deadline()?;
        let grace_s = if self.payment_open && deadline == Deadline::Payment { PAYMENT_GRACE_S } else { 0 };
        Some((deadline, at.plus_seconds(grace_s)))
    }

    /// The deadline of which the group is to be reminded, and when. Not if that time was past already when the deadline began to run.
    fn reminder(&self) -> Option<(Deadline, Timestamp, Timestamp)> {
        let ((deadline, at), remind_s) = (self.deadline()?, self.conditions?.remind_s);
        let remind_at = at.plus_seconds(-i64::from(remind_s));
        let is_due = deadline != Deadline::Sending && remind_s > 0 && remind_at > self.since && !self.reminded.contains(&(self.revision, deadline));
        is_due.then_some((deadline, at, remind_at))
    }

    /// From when on a doubtful quote's group is reminded of the deadline that runs: half of its time has gone by then. None: no reminder is to come, or the policy's
    /// own comes no later.
    #[must_use]
    pub fn early_reminder_from(&self) -> Option<Timestamp> {
        let (_, at, remind_at) = self.reminder()?;
        let half = Timestamp::from_micros(self.since.as_micros() + at.micros_since(self.since) / 2);
        (half < remind_at).then_some(half)
    }

    /// The reminder of the deadline that runs, before its time. It stands for that of the policy, so nobody is reminded more often.
    fn remind_early(&self, now: Timestamp, lapse_permille: u16) -> Result<Reminded, Refusal> {
        self.owned(None)?;
        let is_time = lapse_permille > DOUBTFUL_PERMILLE && self.early_reminder_from().is_some_and(|from| from <= now);
        let (deadline, at, _) = self.reminder().filter(|(_, at, _)| is_time && now < *at).ok_or(Refusal::NotExpected)?;
        Ok(Reminded { deadline, at })
    }

    fn apply_event(&mut self, record: &Record<Event>, event: &Event) {
        match event {
            Event::Drafted(drafted) => {
                self.about = Some(drafted.about.clone());
                self.drafted = Some((record.envelope.as_ref().map_or(KeyId::SYSTEM, |envelope| envelope.who), record.at));
                self.offer = Some(drafted.offer.clone());
                self.become_at(record.at, Stage::Draft);
            }
            Event::Revised(revised) => self.offer = Some(revised.offer.clone()),
            Event::OptionsAsked(asked) => {
                self.attempts = asked.attempt;
                self.options_refused = None;
                self.options.insert(asked.attempt, Options { asked: asked.clone(), state: OptionsState::Taking });
            }
            Event::Optioned(optioned) => self.optioned(optioned.attempt, record.at),
            Event::OptionsRefused(refused) => {
                self.options_refused = Some(refused.clone());
                if let Some(options) = self.options.get_mut(&refused.attempt) {
                    options.state = OptionsState::GivingBack;
                }
            }
            Event::OptionsReleased(released) => drop(self.options.remove(&released.attempt)),
            Event::Accepted(accepted) => {
                self.acceptances = accepted.acceptance;
                self.settlement_refused = None;
                self.accepted = accepted.revision;
                let Accepted { revision, settle, creditor, confirmed, .. } = *accepted;
                self.become_at(record.at, Stage::Accepted { revision, settle, creditor, confirmed });
            }
            Event::Confirmed(_) => {
                if let Stage::Accepted { confirmed, .. } = &mut self.stage {
                    *confirmed = true;
                }
            }
            Event::SettlementRefused(refused) => {
                self.settlement_refused = Some(refused.why);
                self.become_at(record.at, Stage::Sent);
            }
            Event::PaymentAttached(attached) => {
                (self.payment, self.payment_open) = (Some(attached.payment), true);
                self.payments.insert(attached.payment, self.revision);
            }
            Event::PaymentDetached(detached) if self.superseded == Some(detached.payment) => self.superseded = None,
            Event::PaymentDetached(_) => {
                self.payment_open = false;
                if matches!(self.stage, Stage::Accepted { .. }) {
                    self.become_at(record.at, Stage::Sent);
                }
            }
            Event::Reopened(_) => self.become_at(record.at, Stage::Sent),
            Event::Paid(paid) => {
                self.paid = Some(paid.clone());
                self.payments_made += 1;
                self.superseded = self.payment.filter(|payment| self.payment_open && paid.payment != Some(*payment));
                (self.payment, self.payment_open) = (paid.payment.or(self.payment), false);
                self.take_again();
                self.become_at(record.at, Stage::Paid);
            }
            Event::Ticketed(ticketed) => {
                // What was held is sold now, or was gone.
                self.options.retain(|_, options| options.state != OptionsState::Taken);
                self.become_at(record.at, Stage::Ticketed { sales: ticketed.sales.clone(), missing: ticketed.missing.clone() });
            }
            Event::Lapsed(lapsed) => self.end(record.at, Stage::Lapsed { deadline: lapsed.deadline }),
            Event::Refused(_) => self.end(record.at, Stage::Refused),
            Event::Cancelled(cancelled) => self.end(record.at, Stage::Cancelled { cause: cancelled.cause }),
            Event::Reminded(reminded) => drop(self.reminded.insert((self.revision, reminded.deadline))),
            Event::CalledOff(called) => {
                let (cause, unwound) = (called.cause, called.cause != CancelCause::Museum);
                if let Stage::Ticketed { sales, missing } = self.stage.clone() {
                    self.become_at(record.at, Stage::CalledOff { cause, sales, missing, unwound });
                }
            }
            Event::Unwound(_) => {
                if let Stage::CalledOff { unwound, .. } = &mut self.stage {
                    *unwound = true;
                }
            }
        }
    }

    fn become_at(&mut self, at: Timestamp, stage: Stage) {
        (self.stage, self.since) = (stage, at);
    }

    fn optioned(&mut self, attempt: u32, at: Timestamp) {
        for (&number, options) in &mut self.options {
            match options.state {
                OptionsState::Taking if number == attempt => {
                    options.state = OptionsState::Taken;
                    self.revision = options.asked.revision;
                    self.offer = Some(options.asked.offer.clone());
                    self.conditions = Some(options.asked.conditions);
                }
                OptionsState::Taken => options.state = OptionsState::GivingBack,
                OptionsState::Taking | OptionsState::GivingBack => {}
            }
        }
        self.become_at(at, Stage::Sent);
    }

    /// A payment arrived after the end: what was not given back yet is what its tickets are made of.
    fn take_again(&mut self) {
        let is_none = !self.options.values().any(|options| options.state == OptionsState::Taken);
        let mut ended = self.options.values_mut().rev().filter(|options| options.asked.revision == self.revision);
        if let Some(options) = ended.next().filter(|_| is_none) {
            options.state = OptionsState::Taken;
        }
    }

    fn end(&mut self, at: Timestamp, stage: Stage) {
        self.options.values_mut().for_each(|options| options.state = OptionsState::GivingBack);
        self.become_at(at, stage);
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
        let ended = !matches!(self.stage, Stage::Accepted { .. });
        if let Some(payment) = self.superseded.or(self.payment.filter(|_| self.payment_open && ended)) {
            return Some(Work::EndPayment(payment));
        }
        let first = |state| self.options.iter().find(move |(_, options)| options.state == state).map(|(attempt, _)| *attempt);
        // Before anything is sold or due, every option is of what it is for.
        if let Some(attempt) = first(OptionsState::GivingBack) {
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
        first(OptionsState::Taking).map(Work::TakeOptions)
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

/// What was asked, priced, if it is all of the museum.
fn priced(about: &About, asked: &Asked, rules: &Rules) -> Result<Offer, Refusal> {
    if asked.slots.iter().any(|slot| slot.museum() != about.museum) {
        return Err(Refusal::BadSlots);
    }
    pricing::price(&rules.policy, about.kind, asked, rules.fee_free_left, rules.party_max)
}
