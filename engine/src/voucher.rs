//! A voucher: a prepaid amount that payments are taken off, whole, and go back to.
//!
//! The contract of every [`Aggregate`]; there are no deadlines: whether a voucher is still valid is asked when it is redeemed. What goes back to it can be spent
//! for [`RESTORED_VALID_S`] at least, so nobody's money is lost because their visit was cancelled when the voucher was over, or nearly.
//!
//! - VO-1: the balance is what was issued, less what was redeemed, plus what was restored, and never below zero nor above what was issued.
//! - VO-2: a payment redeems once; what is restored of it is never more than it redeemed, and each of its refunds is restored once.
//! - VO-3: replay equals live: the records of a voucher, applied in order, give the same state to the byte.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Broken};
use crate::ids::{MuseumId, PaymentId, VoucherId};
use crate::money::Cents;
use crate::past::Past;
use crate::record::Record;
use crate::time::{DAY_S, Timestamp};

/// The highest amount of a voucher: 10,000 euros.
pub const AMOUNT_CENTS_MAX: i64 = 1_000_000;
/// How long a voucher can be redeemed at least after something was put back on it, in seconds: 90 days.
pub const RESTORED_VALID_S: i64 = 90 * DAY_S;

/// What can be asked of a voucher.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Issue it.
    Issue {
        /// For how much.
        amount_cents: Cents,
        /// Until when it can be redeemed.
        valid_until: Timestamp,
        /// Where it can be redeemed; none: everywhere.
        museum: Option<MuseumId>,
    },
    /// Take a payment off it, whole.
    Redeem {
        /// Which payment.
        payment: PaymentId,
        /// Of which museum.
        museum: MuseumId,
        /// How much.
        amount_cents: Cents,
    },
    /// Put back what a payment pays back. A voucher that is no longer valid takes it too, and is valid again: the money was its own.
    Restore {
        /// Which payment.
        payment: PaymentId,
        /// Which of its refunds.
        refund: u32,
        /// How much.
        amount_cents: Cents,
    },
}

/// It was issued.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Issued {
    /// For how much.
    pub amount_cents: Cents,
    /// Until when it can be redeemed.
    pub valid_until: Timestamp,
    /// Where it can be redeemed; none: everywhere.
    pub museum: Option<MuseumId>,
}

/// A payment was taken off it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Redeemed {
    /// Which payment.
    pub payment: PaymentId,
    /// How much.
    pub amount_cents: Cents,
}

/// Something of a payment was put back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Restored {
    /// Which payment.
    pub payment: PaymentId,
    /// Which of its refunds.
    pub refund: u32,
    /// How much.
    pub amount_cents: Cents,
    /// Until when the voucher can be redeemed from now on.
    pub valid_until: Timestamp,
}

/// Everything that can happen to a voucher.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// See [`Issued`].
    Issued(Issued),
    /// See [`Redeemed`].
    Redeemed(Redeemed),
    /// See [`Restored`].
    Restored(Restored),
}

/// Why a voucher says no. In order of precedence.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Nothing, or more than 10,000 euros.
    BadAmount,
    /// The id chosen for a new voucher is in use; choose another.
    IdTaken,
    /// There is no such voucher.
    UnknownVoucher,
    /// The payment was taken off it before: nothing has changed.
    AlreadyRedeemed,
    /// The refund was put back before: nothing has changed.
    AlreadyRestored,
    /// The payment has not redeemed so much that is not put back yet.
    NotRedeemed {
        /// What of the payment can still be put back.
        left_cents: Cents,
    },
    /// It is valid in another museum.
    OtherMuseum {
        /// Where.
        museum: MuseumId,
    },
    /// It is valid no more.
    VoucherExpired {
        /// Since when.
        valid_until: Timestamp,
    },
    /// Less is left on it.
    BalanceTooLow {
        /// What is left.
        balance_cents: Cents,
    },
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadAmount => "bad_amount",
            Self::IdTaken => "id_taken",
            Self::UnknownVoucher => "unknown_voucher",
            Self::AlreadyRedeemed => "already_redeemed",
            Self::AlreadyRestored => "already_restored",
            Self::NotRedeemed { .. } => "not_redeemed",
            Self::OtherMuseum { .. } => "other_museum",
            Self::VoucherExpired { .. } => "voucher_expired",
            Self::BalanceTooLow { .. } => "balance_too_low",
        }
    }
}

/// What a payment has taken off, and which of its refunds were put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Use {
    redeemed: Cents,
    restored: BTreeMap<u32, Cents>,
}

impl Use {
    fn left(&self) -> Cents {
        self.redeemed.minus(self.restored.values().copied().sum())
    }
}

/// A voucher. Serialized, equal states give equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voucher {
    id: VoucherId,
    issued: Option<Issued>,
    /// Until when it can be redeemed: as it was issued, or later since something was put back.
    valid_until: Timestamp,
    balance: Cents,
    uses: BTreeMap<PaymentId, Use>,
    past: Past,
}

impl Aggregate for Voucher {
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn past(&self) -> &Past {
        &self.past
    }

    /// Time never goes backwards: `now` counts as at least the time of the last record.
    fn decide(&self, now: Timestamp, command: &Command) -> Result<Vec<Event>, Refusal> {
        let now = self.past.at_least(now);
        let event = match (command, &self.issued) {
            (Command::Issue { amount_cents, .. }, _) if !(1..=AMOUNT_CENTS_MAX).contains(&amount_cents.get()) => return Err(Refusal::BadAmount),
            (Command::Issue { .. }, Some(_)) => return Err(Refusal::IdTaken),
            (Command::Issue { amount_cents, valid_until, museum }, None) => {
                Event::Issued(Issued { amount_cents: *amount_cents, valid_until: *valid_until, museum: *museum })
            }
            (_, None) => return Err(Refusal::UnknownVoucher),
            (Command::Redeem { payment, museum, amount_cents }, Some(issued)) => self.redeem(now, issued, (*payment, *museum), *amount_cents)?,
            (Command::Restore { payment, refund, amount_cents }, Some(_)) => self.restore(now, (*payment, *refund), *amount_cents)?,
        };
        Ok(vec![event])
    }

    fn apply(&mut self, record: &Record<Event>) {
        self.past.take(record);
        for event in &record.events {
            match event {
                Event::Issued(issued) => {
                    (self.balance, self.valid_until, self.issued) = (issued.amount_cents, issued.valid_until, Some(issued.clone()));
                }
                Event::Redeemed(redeemed) => {
                    self.balance = self.balance.minus(redeemed.amount_cents);
                    self.uses.insert(redeemed.payment, Use { redeemed: redeemed.amount_cents, restored: BTreeMap::new() });
                }
                Event::Restored(restored) => {
                    if let Some(used) = self.uses.get_mut(&restored.payment) {
                        used.restored.insert(restored.refund, restored.amount_cents);
                        self.balance = self.balance.plus(restored.amount_cents);
                        self.valid_until = restored.valid_until;
                    }
                }
            }
        }
    }

    fn check(&self) -> Result<(), Broken> {
        let issued = self.issued.as_ref().map_or(Cents::ZERO, |issued| issued.amount_cents);
        if self.balance < Cents::ZERO || self.balance > issued {
            return Err(Broken { invariant: "VO-1", what: "the balance is below zero or above what was issued" });
        }
        Ok(())
    }
}

impl Voucher {
    /// The voucher with this id, of which nothing is known yet.
    #[must_use]
    pub fn new(id: VoucherId) -> Self {
        Self { id, issued: None, valid_until: Timestamp::MIN, balance: Cents::ZERO, uses: BTreeMap::new(), past: Past::default() }
    }

    /// Rebuilds a voucher from all its records.
    #[must_use]
    pub fn replay<'a>(id: VoucherId, records: impl IntoIterator<Item = &'a Record<Event>>) -> Self {
        Self::new(id).after(records)
    }

    fn redeem(&self, now: Timestamp, issued: &Issued, (payment, museum): (PaymentId, MuseumId), amount_cents: Cents) -> Result<Event, Refusal> {
        if amount_cents <= Cents::ZERO {
            return Err(Refusal::BadAmount);
        }
        // First of all: whoever asks again after a day must hear that it is done, whatever else has changed.
        if self.uses.contains_key(&payment) {
            return Err(Refusal::AlreadyRedeemed);
        }
        if let Some(valid_in) = issued.museum.filter(|valid_in| *valid_in != museum) {
            return Err(Refusal::OtherMuseum { museum: valid_in });
        }
        if now >= self.valid_until {
            return Err(Refusal::VoucherExpired { valid_until: self.valid_until });
        }
        if amount_cents > self.balance {
            return Err(Refusal::BalanceTooLow { balance_cents: self.balance });
        }
        Ok(Event::Redeemed(Redeemed { payment, amount_cents }))
    }

    fn restore(&self, now: Timestamp, (payment, refund): (PaymentId, u32), amount_cents: Cents) -> Result<Event, Refusal> {
        if amount_cents <= Cents::ZERO {
            return Err(Refusal::BadAmount);
        }
        let used = self.uses.get(&payment);
        if used.is_some_and(|used| used.restored.contains_key(&refund)) {
            return Err(Refusal::AlreadyRestored);
        }
        let left_cents = used.map_or(Cents::ZERO, Use::left);
        if amount_cents > left_cents {
            Err(Refusal::NotRedeemed { left_cents })
        } else {
            let valid_until = self.valid_until.max(now.plus_seconds(RESTORED_VALID_S));
            Ok(Event::Restored(Restored { payment, refund, amount_cents, valid_until }))
        }
    }

    /// Whether moreover the balance is that of all uses (VO-1, VO-2): for tests and after a replay.
    pub fn recount(&self) -> Result<(), Broken> {
        self.check()?;
        let issued = self.issued.as_ref().map_or(Cents::ZERO, |issued| issued.amount_cents);
        let out: Cents = self.uses.values().map(Use::left).sum();
        if issued.minus(out) != self.balance {
            return Err(Broken { invariant: "VO-1", what: "the balance is not that of what was redeemed and restored" });
        }
        if self.uses.values().any(|used| used.left() < Cents::ZERO) {
            return Err(Broken { invariant: "VO-2", what: "more was restored than redeemed" });
        }
        Ok(())
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> VoucherId {
        self.id
    }

    /// How it was issued; none before.
    #[must_use]
    pub const fn issued(&self) -> Option<&Issued> {
        self.issued.as_ref()
    }

    /// Until when it can be redeemed; none before it is issued.
    #[must_use]
    pub fn valid_until(&self) -> Option<Timestamp> {
        self.issued.as_ref().map(|_| self.valid_until)
    }

    /// What is left on it.
    #[must_use]
    pub const fn balance(&self) -> Cents {
        self.balance
    }

    /// What a payment has taken off it, whatever was put back since.
    #[must_use]
    pub fn redeemed_by(&self, payment: PaymentId) -> Option<Cents> {
        self.uses.get(&payment).map(|used| used.redeemed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_seconds(s)
    }

    fn payment(n: u64) -> PaymentId {
        PaymentId::new(1, n)
    }

    fn redeem(n: u64, cents: i64) -> Command {
        Command::Redeem { payment: payment(n), museum: MuseumId(1), amount_cents: Cents::new(cents) }
    }

    fn restore(n: u64, refund: u32, cents: i64) -> Command {
        Command::Restore { payment: payment(n), refund, amount_cents: Cents::new(cents) }
    }

    fn issue(cents: i64) -> Command {
        Command::Issue { amount_cents: Cents::new(cents), valid_until: at(100), museum: Some(MuseumId(1)) }
    }

    fn step(voucher: &mut Voucher, now: Timestamp, command: &Command) -> Result<Record<Event>, Refusal> {
        let record = voucher.record(now, None, voucher.decide(now, command)?);
        voucher.apply(&record);
        assert_eq!(voucher.recount(), Ok(()));
        Ok(record)
    }

    #[test]
    fn a_voucher_pays_until_it_is_empty_or_over_and_takes_back_once() {
        let mut voucher = Voucher::new(VoucherId(1));
        let over_s = 1 + RESTORED_VALID_S;
        let elsewhere = Command::Redeem { payment: payment(9), museum: MuseumId(2), amount_cents: Cents::new(1) };
        for (s, command, expected) in [
            (0, redeem(1, 10), Err(Refusal::UnknownVoucher)),
            (0, issue(0), Err(Refusal::BadAmount)),
            (0, issue(AMOUNT_CENTS_MAX + 1), Err(Refusal::BadAmount)),
            (0, issue(1_000), Ok(1_000)),
            (0, issue(1_000), Err(Refusal::IdTaken)),
            (1, redeem(1, 0), Err(Refusal::BadAmount)),
            (1, redeem(1, 700), Ok(300)),
            (1, redeem(1, 100), Err(Refusal::AlreadyRedeemed)),
            (1, redeem(2, 301), Err(Refusal::BalanceTooLow { balance_cents: Cents::new(300) })),
            (1, elsewhere, Err(Refusal::OtherMuseum { museum: MuseumId(1) })),
            (1, restore(2, 0, 1), Err(Refusal::NotRedeemed { left_cents: Cents::ZERO })),
            (1, restore(1, 0, 500), Ok(800)),
            (1, restore(1, 0, 1), Err(Refusal::AlreadyRestored)),
            (1, restore(1, 1, 201), Err(Refusal::NotRedeemed { left_cents: Cents::new(200) })),
            (over_s, redeem(3, 1), Err(Refusal::VoucherExpired { valid_until: at(over_s) })),
            (over_s, redeem(1, 1), Err(Refusal::AlreadyRedeemed)),
            (over_s, restore(1, 1, 200), Ok(1_000)),
        ] {
            let answer = step(&mut voucher, at(s), &command).map(|_| voucher.balance().get());
            assert_eq!(answer, expected, "{command:?} at {s}: {}", expected.as_ref().err().map_or("", Refusal::code));
        }
        assert_eq!(voucher.redeemed_by(payment(1)), Some(Cents::new(700)));
    }

    #[test]
    fn what_goes_back_to_a_voucher_can_be_spent_for_a_while() {
        let day = |days: i64| at(days * DAY_S);
        let issue = Command::Issue { amount_cents: Cents::new(1_000), valid_until: day(100), museum: None };
        // Long before the end nothing changes; shortly before it, and after it, there is time to spend what was put back.
        for (restored_on, valid_until) in [(5, 100), (10, 100), (99, 189), (100, 190), (400, 490)] {
            let mut voucher = Voucher::new(VoucherId(1));
            for (now, command) in [(at(0), &issue), (at(1), &redeem(1, 700)), (day(restored_on), &restore(1, 0, 700))] {
                step(&mut voucher, now, command).unwrap();
            }
            assert_eq!(voucher.valid_until(), Some(day(valid_until)), "restored on day {restored_on}");
            let over = Refusal::VoucherExpired { valid_until: day(valid_until) };
            assert_eq!(voucher.decide(day(valid_until), &redeem(2, 1_000)), Err(over));
            step(&mut voucher, day(valid_until).plus_seconds(-1), &redeem(2, 1_000)).unwrap();
        }
    }

    #[test]
    fn what_no_voucher_would_do_is_found() {
        let mut voucher = Voucher::new(VoucherId(1));
        step(&mut voucher, at(0), &issue(10)).unwrap();
        let taken = Event::Redeemed(Redeemed { payment: payment(1), amount_cents: Cents::new(11) });
        let mut over = voucher.clone();
        over.apply(&over.record(at(1), None, vec![taken]));
        assert_eq!(over.check().map_err(|broken| broken.invariant), Err("VO-1"));
        let taken = Event::Redeemed(Redeemed { payment: payment(1), amount_cents: Cents::new(5) });
        let back = |refund, cents| Event::Restored(Restored { payment: payment(1), refund, amount_cents: Cents::new(cents), valid_until: at(100) });
        let more = Event::Redeemed(Redeemed { payment: payment(2), amount_cents: Cents::new(5) });
        voucher.apply(&voucher.record(at(1), None, vec![taken, more, back(0, 5), back(1, 3)]));
        assert_eq!(voucher.recount().map_err(|broken| broken.invariant), Err("VO-2"));
    }

    proptest! {
        /// VO-1 against a list of all that was done; VO-3.
        #[test]
        fn the_balance_is_what_a_list_says(steps in prop::collection::vec((0_u64..4, 0_u32..3, 0_i64..400, any::<bool>()), 0..60)) {
            let mut voucher = Voucher::new(VoucherId(1));
            let mut records = vec![step(&mut voucher, at(0), &issue(1_000)).unwrap()];
            let mut balance = 1_000;
            for (n, refund, cents, back) in steps {
                let command = if back { restore(n, refund, cents) } else { redeem(n, cents) };
                if let Ok(record) = step(&mut voucher, at(1), &command) {
                    balance += if back { cents } else { -cents };
                    records.push(record);
                }
                prop_assert_eq!(voucher.balance().get(), balance);
                prop_assert!((0..=1_000).contains(&balance));
            }
            let replayed = Voucher::replay(VoucherId(1), &records);
            prop_assert_eq!(postcard::to_allocvec(&replayed).unwrap(), postcard::to_allocvec(&voucher).unwrap());
        }
    }
}
