//! An operator's account as a stream: who it is, what was agreed with it, how much it may owe, and what it owes.
//!
//! What is charged here are quotes and sales that were settled on account, as the shell tells it; what is paid are payments and bank transfers. The tickets' own
//! money stands in their slots: this stream is the debt, not the revenue. A sale is charged before it is made, and waits until it is noted that it was, or taken
//! back because it was not.
//!
//! - AC-1: what is owed is what was charged, less what was taken back of charges, less what was paid; it equals a recount.
//! - AC-2: a charge is taken once, no more is taken back of it than it was, and once for each reason; a payment is taken once.
//! - AC-3: a charge leaves no more owed than the limit allows; where a lowered limit left more, no charge adds to it.
//! - AC-4: nothing happens to an account that was not opened, and one that is suspended is charged with nothing.
//! - AC-5: replay equals live, and time does not go back.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Broken};
use crate::ids::{AccountId, Code, HoldId, MuseumId, PaymentId, QuoteId};
use crate::institution::Institution;
use crate::money::Cents;
use crate::past::Past;
use crate::record::Record;
use crate::slot::Line;
use crate::tariff::PRICE_MAX;
use crate::time::Timestamp;

/// The most price agreements of one account.
pub const AGREEMENTS_MAX: usize = 500;
/// The highest limit and the highest single charge or payment: 10,000,000 euros.
pub const AMOUNT_MAX: Cents = Cents::new(1_000_000_000);
/// The longest reference of a bank transfer, in bytes: that of ISO 20022's end-to-end id.
pub const REFERENCE_MAX: usize = 35;

/// What was agreed for one category at one museum, or at all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// Where; none: at every museum.
    #[serde(default)]
    pub museum: Option<MuseumId>,
    /// For which category of its tariff.
    pub category: Code,
    /// What it costs.
    pub price: AgreedPrice,
    /// The first day of visits, in Rome.
    pub from: Date,
    /// The last one.
    pub to: Date,
}

/// What a place costs by an agreement; never more than by the tariff.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgreedPrice {
    /// So many percent less than the tariff, the reduction rounded down to the cent.
    PercentOff(u8),
    /// So much, whatever the tariff says.
    Fixed(Cents),
}

impl Agreement {
    fn is_sound(&self) -> bool {
        let price = match self.price {
            AgreedPrice::PercentOff(percent) => (1..=100).contains(&percent),
            AgreedPrice::Fixed(cents) => (Cents::ZERO..=PRICE_MAX).contains(&cents),
        };
        price && self.from <= self.to
    }

    /// Whether a visit could fall under both.
    fn overlaps(&self, other: &Self) -> bool {
        self.category == other.category && self.museum == other.museum && self.from <= other.to && other.from <= self.to
    }
}

impl AgreedPrice {
    fn of(self, tariff_cents: Cents) -> Cents {
        match self {
            Self::PercentOff(percent) => tariff_cents.minus(tariff_cents.percent(percent)),
            Self::Fixed(cents) => cents.min(tariff_cents),
        }
    }
}

/// What an account is charged for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChargeOf {
    /// A quote, accepted in that revision.
    Quote {
        /// Which.
        quote: QuoteId,
        /// Its revision.
        revision: u32,
        /// The how-manieth acceptance of the quote, from 1: one that was taken back may come again.
        acceptance: u32,
    },
    /// A sale without a quote.
    Sale {
        /// Which.
        sale: HoldId,
    },
}

/// Why a charge is taken back, or a part of it: each of these is done once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TakeBackReason {
    /// What it was for was not to be had.
    NotDelivered,
    /// Tickets were cancelled.
    Cancelled {
        /// Of which sale.
        sale: HoldId,
        /// By which record of its slot.
        seq: u64,
    },
    /// A quote was called off with its tickets: this is what it cost beside these.
    CalledOff,
}

/// How a debt was paid.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaidBy {
    /// A payment of ours.
    Payment {
        /// Which.
        payment: PaymentId,
    },
    /// A bank transfer that somebody has seen.
    BankTransfer {
        /// Its reference, as the bank knows it.
        reference: String,
    },
}

/// What can be asked of an account.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Begin.
    Open {
        /// Its code.
        code: Code,
        /// Who it is, by codes.
        institution: Institution,
        /// How much may be owed; none: no limit. An account whose limit is written a moment later could be charged without one in between, or for good.
        limit_cents: Option<Cents>,
    },
    /// Put these agreements in the place of all before.
    SetAgreements {
        /// At most [`AGREEMENTS_MAX`].
        agreements: Vec<Agreement>,
    },
    /// The same for somebody who agrees for some museums only: what was agreed for others, or for all of them, has to stay as it is.
    SetAgreementsAt {
        /// For which museums.
        museums: Vec<MuseumId>,
        /// At most [`AGREEMENTS_MAX`], with those that stay.
        agreements: Vec<Agreement>,
    },
    /// Say anew who it is, how much it may owe and whether it is charged: all of it, or nothing.
    Change {
        /// Who it is, by codes.
        institution: Institution,
        /// How much may be owed; none: no limit.
        limit_cents: Option<Cents>,
        /// Whether it is charged no more for now.
        suspended: bool,
    },
    /// Take a debt in.
    Charge {
        /// For what.
        of: ChargeOf,
        /// How much.
        amount_cents: Cents,
        /// What of it is for fees and extras, beside tickets.
        extras_cents: Cents,
        /// At which museum.
        museum: MuseumId,
    },
    /// Note that a sale that was charged is made.
    NoteDelivered {
        /// Which.
        sale: HoldId,
    },
    /// Take a debt back, or a part of it, as when tickets are cancelled.
    TakeBack {
        /// Of which charge.
        of: ChargeOf,
        /// Why.
        why: TakeBackReason,
        /// How much.
        amount_cents: Cents,
        /// What of it was for fees and extras, beside tickets.
        extras_cents: Cents,
    },
    /// Take a payment in. What is more than owed stays as credit.
    Settle {
        /// How it was paid.
        by: PaidBy,
        /// How much.
        amount_cents: Cents,
    },
}

/// What happened to an account. Numbers are written in the journal: append only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Event {
    /// It was opened.
    Opened(Opened),
    /// It is said anew who it is.
    InstitutionSet(InstitutionSet),
    /// It has other agreements.
    AgreementsSet(AgreementsSet),
    /// It has another limit.
    LimitSet(LimitSet),
    /// It is charged no more.
    Suspended(Suspended),
    /// It is charged again.
    Resumed(Resumed),
    /// It owes more.
    Charged(Charged),
    /// It owes less, because less was delivered.
    TakenBack(TakenBack),
    /// It owes less, because it has paid.
    Settled(Settled),
    /// A sale that was charged is made.
    Delivered(Delivered),
}

/// The account was opened.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Opened {
    /// Its code.
    pub code: Code,
    /// Who it is, by codes.
    pub institution: Institution,
}

/// It is said anew who the account is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InstitutionSet {
    /// Who it is, by codes.
    pub institution: Institution,
}

/// The account has other agreements.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AgreementsSet {
    /// All of them.
    pub agreements: Vec<Agreement>,
}

/// The account has another limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LimitSet {
    /// How much may be owed; none: no limit.
    pub limit_cents: Option<Cents>,
}

/// The account is charged no more.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Suspended {}

/// The account is charged again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Resumed {}

/// The account owes more.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Charged {
    /// For what.
    pub of: ChargeOf,
    /// How much.
    pub amount_cents: Cents,
    /// What of it is for fees and extras, beside tickets; nothing where that was not noted yet.
    pub extras_cents: Cents,
    /// At which museum; none where that was not noted yet.
    pub museum: Option<MuseumId>,
}

/// A sale that was charged is made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Delivered {
    /// Which.
    pub sale: HoldId,
}

/// The account owes less, because less was delivered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TakenBack {
    /// Of which charge.
    pub of: ChargeOf,
    /// How much.
    pub amount_cents: Cents,
    /// What of it was for fees and extras, beside tickets; nothing where that was not noted yet.
    pub extras_cents: Cents,
    /// Why; none where that was not noted yet.
    pub why: Option<TakeBackReason>,
}

/// The account owes less, because it has paid.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Settled {
    /// How it was paid.
    pub by: PaidBy,
    /// How much.
    pub amount_cents: Cents,
}

/// Why an account says no. In order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// It is open already, under this or another code.
    #[error("the account is open already")]
    AlreadyOpen,
    /// It was never opened.
    #[error("there is no such account: open it first")]
    UnknownAccount,
    /// What was agreed for museums that are somebody else's would change.
    #[error("what was agreed for museums that are not yours must stay as it is")]
    AgreementsOfOthers,
    /// An agreement that cannot be, or too many.
    #[error("have at most 500 agreements, each 1 to 100 percent off or 0.00 to 1000.00 euros, from a day up to a later or the same one")]
    BadAgreement,
    /// Two agreements for the same category, museum and day.
    #[error("two agreements are for category {category} at the same museum on the same day: let one end before the other begins")]
    AgreementsOverlap {
        /// Which category.
        category: Code,
    },
    /// An amount that cannot be.
    #[error("let the amount be 0.01 to 10000000.00 euros")]
    BadAmount,
    /// A reference that cannot be shown.
    #[error("give the reference of the bank transfer: 1 to 35 printable ASCII characters")]
    BadReference,
    /// The charge was taken before.
    #[error("this was charged before")]
    AlreadyCharged,
    /// The payment was taken before.
    #[error("this payment was taken before")]
    AlreadySettled,
    /// It was taken back for that reason before.
    #[error("this was taken back before")]
    AlreadyTakenBack,
    /// Nothing was charged for that.
    #[error("nothing was charged for that")]
    UnknownCharge,
    /// More would be taken back than is left of the charge.
    #[error("{left_cents} euros are left of the charge: no more can be taken back")]
    MoreThanCharged {
        /// What is left of it.
        left_cents: Cents,
    },
    /// It is charged no more for now.
    #[error("the account is suspended: settle another way")]
    AccountSuspended,
    /// It would owe more than it may.
    #[error("the credit limit leaves {left_cents} euros: settle another way, or pay what is owed first")]
    CreditLimit {
        /// What may still be charged.
        left_cents: Cents,
    },
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::AlreadyOpen => "account_already_open",
            Self::UnknownAccount => "unknown_account",
            Self::AgreementsOfOthers => "invalid",
            Self::BadAgreement => "bad_agreement",
            Self::AgreementsOverlap { .. } => "agreements_overlap",
            Self::BadAmount => "bad_amount",
            Self::BadReference => "bad_reference",
            Self::AlreadyCharged => "already_charged",
            Self::AlreadySettled => "already_settled",
            Self::AlreadyTakenBack => "already_taken_back",
            Self::UnknownCharge => "unknown_charge",
            Self::MoreThanCharged { .. } => "more_than_charged",
            Self::AccountSuspended => "account_suspended",
            Self::CreditLimit { .. } => "credit_limit",
        }
    }
}

/// A charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// How much it was.
    pub amount_cents: Cents,
    /// What of it is for fees and extras, beside tickets.
    pub extras_cents: Cents,
    /// At which museum, where that was noted.
    pub museum: Option<MuseumId>,
    /// What of it was taken back.
    pub taken_back_cents: Cents,
    /// When.
    pub at: Timestamp,
}

/// An account. Serialized, equal states give equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    id: AccountId,
    opened: Option<Opened>,
    agreements: Vec<Agreement>,
    limit_cents: Option<Cents>,
    is_suspended: bool,
    charges: BTreeMap<ChargeOf, Charge>,
    /// Sales that are charged, and of which it is not known yet whether they were made.
    awaited: BTreeSet<HoldId>,
    /// Why what was taken back.
    taken: BTreeSet<(ChargeOf, TakeBackReason)>,
    payments: BTreeMap<PaidBy, (Cents, Timestamp)>,
    owed_cents: Cents,
    /// The excess over the limit that the last event other than a charge left, lowered by every charge since (AC-3).
    over_allowed_cents: Cents,
    past: Past,
}

impl Aggregate for Account {
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn past(&self) -> &Past {
        &self.past
    }

    fn decide(&self, _now: Timestamp, command: &Command) -> Result<Vec<Event>, Refusal> {
        if self.opened.is_some() == matches!(command, Command::Open { .. }) {
            return Err(if self.opened.is_some() { Refusal::AlreadyOpen } else { Refusal::UnknownAccount });
        }
        let event = match command {
            Command::Open { code, institution, limit_cents } => {
                let limit = limit_cents.map(|cents| limited(Some(cents))).transpose()?;
                let opened = Event::Opened(Opened { code: *code, institution: *institution });
                return Ok(std::iter::once(opened).chain(limit).collect());
            }
            Command::Change { institution, limit_cents, suspended } => {
                let charged = if *suspended { Event::Suspended(Suspended {}) } else { Event::Resumed(Resumed {}) };
                return Ok(vec![limited(*limit_cents)?, Event::InstitutionSet(InstitutionSet { institution: *institution }), charged]);
            }
            Command::SetAgreements { agreements } => {
                sound_agreements(agreements)?;
                Event::AgreementsSet(AgreementsSet { agreements: agreements.clone() })
            }
            Command::SetAgreementsAt { museums, agreements } => {
                if !others_stay(museums, &self.agreements, agreements) {
                    return Err(Refusal::AgreementsOfOthers);
                }
                sound_agreements(agreements)?;
                Event::AgreementsSet(AgreementsSet { agreements: agreements.clone() })
            }
            Command::Charge { of, amount_cents, extras_cents, museum } => self.charge(*of, amount(*amount_cents)?, *extras_cents, *museum)?,
            Command::NoteDelivered { sale } if self.awaited.contains(sale) => Event::Delivered(Delivered { sale: *sale }),
            Command::NoteDelivered { .. } => return Err(Refusal::UnknownCharge),
            Command::TakeBack { of, why, amount_cents, extras_cents } => {
                if self.taken.contains(&(*of, *why)) {
                    return Err(Refusal::AlreadyTakenBack);
                }
                let (charge, amount_cents) = (self.charges.get(of).ok_or(Refusal::UnknownCharge)?, amount(*amount_cents)?);
                let left_cents = charge.amount_cents.minus(charge.taken_back_cents);
                if amount_cents > left_cents {
                    return Err(Refusal::MoreThanCharged { left_cents });
                }
                let extras_cents = part(*extras_cents, amount_cents)?;
                Event::TakenBack(TakenBack { of: *of, amount_cents, extras_cents, why: Some(*why) })
            }
            Command::Settle { by, amount_cents } => {
                let (by, amount_cents) = (reference_checked(by)?, amount(*amount_cents)?);
                if self.payments.contains_key(by) {
                    return Err(Refusal::AlreadySettled);
                }
                Event::Settled(Settled { by: by.clone(), amount_cents })
            }
        };
        Ok(vec![event])
    }

    fn apply(&mut self, record: &Record<Event>) {
        self.past.take(record);
        for event in &record.events {
            self.apply_event(record.at, event);
            let over_cents = self.over_cents();
            self.over_allowed_cents = if matches!(event, Event::Charged(_)) { over_cents.min(self.over_allowed_cents) } else { over_cents };
        }
    }

    fn check(&self) -> Result<(), Broken> {
        if self.over_cents() > self.over_allowed_cents {
            return Err(Broken { invariant: "AC-3", what: "a charge went beyond the credit limit" });
        }
        let untouched = self.agreements.is_empty() && self.charges.is_empty() && self.payments.is_empty() && self.limit_cents.is_none();
        if self.opened.is_none() && !untouched {
            return Err(Broken { invariant: "AC-4", what: "something happened to an account that was not opened" });
        }
        Ok(())
    }
}

impl Account {
    /// The account with this id, of which nothing is known yet.
    #[must_use]
    pub fn new(id: AccountId) -> Self {
        Self {
            id,
            opened: None,
            agreements: Vec::new(),
            limit_cents: None,
            is_suspended: false,
            charges: BTreeMap::new(),
            awaited: BTreeSet::new(),
            taken: BTreeSet::new(),
            payments: BTreeMap::new(),
            owed_cents: Cents::ZERO,
            over_allowed_cents: Cents::ZERO,
            past: Past::default(),
        }
    }

    /// Rebuilds an account from all its records.
    #[must_use]
    pub fn replay<'a>(id: AccountId, records: impl IntoIterator<Item = &'a Record<Event>>) -> Self {
        Self::new(id).after(records)
    }

    fn charge(&self, of: ChargeOf, amount_cents: Cents, extras_cents: Cents, museum: MuseumId) -> Result<Event, Refusal> {
        let extras_cents = part(extras_cents, amount_cents)?;
        // A sale that was not made after all may be made yet.
        let was_not_made = matches!(of, ChargeOf::Sale { .. }) && self.was_taken_back(of, TakeBackReason::NotDelivered);
        if self.charges.contains_key(&of) && !was_not_made {
            return Err(Refusal::AlreadyCharged);
        }
        if self.is_suspended {
            return Err(Refusal::AccountSuspended);
        }
        match self.credit_left_cents() {
            Some(left_cents) if amount_cents > left_cents => Err(Refusal::CreditLimit { left_cents }),
            _ => Ok(Event::Charged(Charged { of, amount_cents, extras_cents, museum: Some(museum) })),
        }
    }

    fn apply_event(&mut self, at: Timestamp, event: &Event) {
        match event {
            Event::Opened(opened) => self.opened = Some(opened.clone()),
            Event::InstitutionSet(set) => {
                if let Some(opened) = &mut self.opened {
                    opened.institution = set.institution;
                }
            }
            Event::AgreementsSet(set) => self.agreements.clone_from(&set.agreements),
            Event::LimitSet(set) => self.limit_cents = set.limit_cents,
            Event::Suspended(_) => self.is_suspended = true,
            Event::Resumed(_) => self.is_suspended = false,
            Event::Charged(charged) => {
                let Charged { of, amount_cents, extras_cents, museum } = *charged;
                self.charges.insert(of, Charge { amount_cents, extras_cents, museum, taken_back_cents: Cents::ZERO, at });
                self.taken.remove(&(of, TakeBackReason::NotDelivered));
                if let ChargeOf::Sale { sale } = of {
                    self.awaited.insert(sale);
                }
                self.owed_cents = self.owed_cents.plus(charged.amount_cents);
            }
            Event::Delivered(delivered) => drop(self.awaited.remove(&delivered.sale)),
            Event::TakenBack(taken) => {
                if let Some(why) = taken.why {
                    self.taken.insert((taken.of, why));
                }
                if let (ChargeOf::Sale { sale }, Some(TakeBackReason::NotDelivered)) = (taken.of, taken.why) {
                    self.awaited.remove(&sale);
                }
                let Some(charge) = self.charges.get_mut(&taken.of) else { return };
                charge.taken_back_cents = charge.taken_back_cents.plus(taken.amount_cents);
                self.owed_cents = self.owed_cents.minus(taken.amount_cents);
            }
            Event::Settled(settled) => {
                self.payments.insert(settled.by.clone(), (settled.amount_cents, at));
                self.owed_cents = self.owed_cents.minus(settled.amount_cents);
            }
        }
    }

    /// Whether moreover the sums equal a recount (AC-1, AC-2): for tests and after a replay, as it walks everything.
    pub fn recount(&self) -> Result<(), Broken> {
        self.check()?;
        let charged_cents: Cents = self.charges.values().map(|charge| charge.amount_cents.minus(charge.taken_back_cents)).sum();
        let paid_cents: Cents = self.payments.values().map(|(cents, _)| *cents).sum();
        if charged_cents.minus(paid_cents) != self.owed_cents {
            return Err(Broken { invariant: "AC-1", what: "what is owed is not what was charged less what was paid" });
        }
        let overdrawn = |charge: &Charge| charge.taken_back_cents > charge.amount_cents || charge.taken_back_cents < Cents::ZERO;
        if self.charges.values().any(overdrawn) {
            return Err(Broken { invariant: "AC-2", what: "more was taken back of a charge than it was" });
        }
        Ok(())
    }

    /// Which account.
    #[must_use]
    pub const fn id(&self) -> AccountId {
        self.id
    }

    /// Its code and who it is; none before it is opened.
    #[must_use]
    pub const fn opened(&self) -> Option<&Opened> {
        self.opened.as_ref()
    }

    /// Whether it is charged no more for now.
    #[must_use]
    pub const fn is_suspended(&self) -> bool {
        self.is_suspended
    }

    /// All agreements, past and future.
    #[must_use]
    pub fn agreements(&self) -> &[Agreement] {
        &self.agreements
    }

    /// How much it may owe; none: no limit.
    #[must_use]
    pub const fn limit_cents(&self) -> Option<Cents> {
        self.limit_cents
    }

    /// What it owes; below zero: a credit.
    #[must_use]
    pub const fn owed_cents(&self) -> Cents {
        self.owed_cents
    }

    /// What may still be charged; none: no limit.
    #[must_use]
    pub fn credit_left_cents(&self) -> Option<Cents> {
        self.limit_cents.map(|limit| limit.minus(self.owed_cents).max(Cents::ZERO))
    }

    /// A charge.
    #[must_use]
    pub fn charge_of(&self, of: &ChargeOf) -> Option<&Charge> {
        self.charges.get(of)
    }

    /// Whether something was taken back for that reason.
    #[must_use]
    pub fn was_taken_back(&self, of: ChargeOf, why: TakeBackReason) -> bool {
        self.taken.contains(&(of, why))
    }

    /// Sales that are charged, and of which it is not known yet whether they were made.
    pub fn awaited(&self) -> impl Iterator<Item = HoldId> {
        self.awaited.iter().copied()
    }

    /// All charges, in the order of what they are for.
    pub fn charges(&self) -> impl Iterator<Item = (&ChargeOf, &Charge)> {
        self.charges.iter()
    }

    /// All payments, with amount and time.
    pub fn payments(&self) -> impl Iterator<Item = (&PaidBy, &(Cents, Timestamp))> {
        self.payments.iter()
    }

    /// Time of the last record.
    #[must_use]
    pub const fn last_at(&self) -> Timestamp {
        self.past.last_at()
    }

    /// Lines of the tariff at the prices that were agreed for a visit on `date`. One for the museum comes before one for all.
    #[must_use]
    pub fn priced(&self, museum: MuseumId, date: Date, lines: &[Line]) -> Vec<Line> {
        let price = |line: &Line| {
            let on_day = |agreement: &&Agreement| agreement.category == line.category && (agreement.from..=agreement.to).contains(&date);
            let at = |place: Option<MuseumId>| self.agreements.iter().filter(on_day).find(|agreement| agreement.museum == place);
            at(Some(museum)).or_else(|| at(None)).map_or(line.price_cents, |agreement| agreement.price.of(line.price_cents))
        };
        lines.iter().map(|line| Line { price_cents: price(line), ..line.clone() }).collect()
    }

    fn over_cents(&self) -> Cents {
        self.limit_cents.map_or(Cents::ZERO, |limit| self.owed_cents.minus(limit).max(Cents::ZERO))
    }
}

fn sound_agreements(agreements: &[Agreement]) -> Result<(), Refusal> {
    if agreements.len() > AGREEMENTS_MAX || !agreements.iter().all(Agreement::is_sound) {
        return Err(Refusal::BadAgreement);
    }
    for (i, agreement) in agreements.iter().enumerate() {
        if agreements[..i].iter().any(|earlier| earlier.overlaps(agreement)) {
            return Err(Refusal::AgreementsOverlap { category: agreement.category });
        }
    }
    Ok(())
}

/// Whether the agreements that are not of these museums alone are the same before and after.
fn others_stay(museums: &[MuseumId], before: &[Agreement], after: &[Agreement]) -> bool {
    let is_of_others = |agreement: &&Agreement| agreement.museum.is_none_or(|museum| !museums.contains(&museum));
    let others = |all: &[Agreement]| all.iter().filter(is_of_others).copied().collect::<Vec<_>>();
    let (were, are) = (others(before), others(after));
    were.len() == are.len() && were.iter().all(|agreement| are.contains(agreement))
}

fn limited(limit_cents: Option<Cents>) -> Result<Event, Refusal> {
    if limit_cents.is_some_and(|cents| !(Cents::ZERO..=AMOUNT_MAX).contains(&cents)) {
        return Err(Refusal::BadAmount);
    }
    Ok(Event::LimitSet(LimitSet { limit_cents }))
}

fn amount(cents: Cents) -> Result<Cents, Refusal> {
    if cents > Cents::ZERO && cents <= AMOUNT_MAX { Ok(cents) } else { Err(Refusal::BadAmount) }
}

/// An amount that is a part of another, or nothing of it.
fn part(cents: Cents, of: Cents) -> Result<Cents, Refusal> {
    if (Cents::ZERO..=of).contains(&cents) { Ok(cents) } else { Err(Refusal::BadAmount) }
}

fn reference_checked(by: &PaidBy) -> Result<&PaidBy, Refusal> {
    let is_shown = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    match by {
        PaidBy::BankTransfer { reference } if reference.trim().is_empty() || reference.len() > REFERENCE_MAX || !reference.bytes().all(is_shown) => {
            Err(Refusal::BadReference)
        }
        _ => Ok(by),
    }
}

#[cfg(test)]
mod tests;
