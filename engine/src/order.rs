//! An order: what a buyer puts together, written down when it is first paid for. It sees to it that one payment at a time is under way for it; whether that
//! one was paid, and what became of the places, stands in the payment and the slots.
//!
//! The contract of every [`Aggregate`]; there are no deadlines.
//!
//! - OR-1: one payment at most is under way, and it is the last that has begun.
//! - OR-2: a payment ends only after it has begun, and one that was paid stays paid.
//! - OR-3: replay equals live: the records of an order, applied in order, give the same state to the byte.

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Broken};
use crate::ids::{HoldId, KeyId, OrderId, PaymentId, PersonId};
use crate::past::Past;
use crate::record::Record;
use crate::time::Timestamp;

/// The most holds of one order.
pub const ITEMS_MAX: usize = 256;
/// The most payments of one order.
pub const PAYMENTS_MAX: usize = 256;

/// What can be asked of an order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Begin to pay for some of it; holds that are new to it become part of it.
    BeginPayment {
        /// Whose order it is, or becomes.
        who: KeyId,
        /// Which payment.
        payment: PaymentId,
        /// What is paid for.
        items: Vec<HoldId>,
        /// Contact data, kept apart under this number.
        contact: Option<PersonId>,
    },
    /// Note how a payment ended. Money may come after the end too: then it was paid after all.
    EndPayment {
        /// Which payment.
        payment: PaymentId,
        /// Whether it was paid.
        paid: bool,
    },
}

/// It was put together, or more was added.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Placed {
    /// Whose order it is.
    pub who: KeyId,
    /// The holds that are new to it.
    pub items: Vec<HoldId>,
    /// Contact data, kept apart under this number.
    pub contact: Option<PersonId>,
}

/// A payment is under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PaymentBegun {
    /// Which.
    pub payment: PaymentId,
}

/// A payment is over.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PaymentEnded {
    /// Which.
    pub payment: PaymentId,
    /// Whether it was paid.
    pub paid: bool,
}

/// Everything that can happen to an order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// See [`Placed`].
    Placed(Placed),
    /// See [`PaymentBegun`].
    PaymentBegun(PaymentBegun),
    /// See [`PaymentEnded`].
    PaymentEnded(PaymentEnded),
}

/// Why an order says no. In order of precedence.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// More holds than an order may have.
    TooManyItems {
        /// The most.
        max: u32,
    },
    /// There is no such order, or not for this caller.
    UnknownOrder,
    /// The order has begun no such payment.
    UnknownPayment,
    /// The payment has ended so: nothing has changed.
    PaymentOver,
    /// Another payment is under way: end that first.
    PaymentUnderWay {
        /// Which.
        payment: PaymentId,
    },
    /// As many payments were begun as an order may have.
    TooManyPayments {
        /// The most.
        max: u32,
    },
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooManyItems { .. } => "too_many_items",
            Self::UnknownOrder => "unknown_order",
            Self::UnknownPayment => "unknown_payment",
            Self::PaymentOver => "payment_over",
            Self::PaymentUnderWay { .. } => "payment_under_way",
            Self::TooManyPayments { .. } => "too_many_payments",
        }
    }
}

/// How a payment of an order stands, as far as the order was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// It is under way.
    UnderWay,
    /// It was paid.
    Paid,
    /// It ended without.
    Unpaid,
}

/// An order. Serialized, equal states give equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    id: OrderId,
    /// Whose it is; none before it was placed.
    who: Option<KeyId>,
    contact: Option<PersonId>,
    items: Vec<HoldId>,
    payments: Vec<(PaymentId, Progress)>,
    past: Past,
}

impl Aggregate for Order {
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn past(&self) -> &Past {
        &self.past
    }

    fn decide(&self, _now: Timestamp, command: &Command) -> Result<Vec<Event>, Refusal> {
        match command {
            Command::BeginPayment { who, payment, items, contact } => self.begin(*who, *payment, items, *contact),
            Command::EndPayment { payment, paid } => self.end(*payment, *paid),
        }
    }

    fn apply(&mut self, record: &Record<Event>) {
        self.past.take(record);
        for event in &record.events {
            match event {
                Event::Placed(placed) => {
                    self.who = Some(placed.who);
                    self.contact = placed.contact.or(self.contact);
                    self.items.extend(&placed.items);
                }
                Event::PaymentBegun(begun) => {
                    // One that ended without money may begin again.
                    self.payments.retain(|(payment, _)| *payment != begun.payment);
                    self.payments.push((begun.payment, Progress::UnderWay));
                }
                Event::PaymentEnded(ended) => {
                    if let Some((_, progress)) = self.payments.iter_mut().find(|(payment, _)| *payment == ended.payment) {
                        *progress = if ended.paid { Progress::Paid } else { Progress::Unpaid };
                    }
                }
            }
        }
    }

    /// OR-1, in a walk over the payments of the order, which are few.
    fn check(&self) -> Result<(), Broken> {
        let before_last = self.payments.len().saturating_sub(1);
        if self.payments[..before_last].iter().any(|(_, progress)| *progress == Progress::UnderWay) {
            return Err(Broken { invariant: "OR-1", what: "two payments are under way" });
        }
        Ok(())
    }
}

impl Order {
    /// The order with this id, of which nothing is known yet.
    #[must_use]
    pub fn new(id: OrderId) -> Self {
        Self { id, who: None, contact: None, items: Vec::new(), payments: Vec::new(), past: Past::default() }
    }

    /// Rebuilds an order from all its records.
    #[must_use]
    pub fn replay<'a>(id: OrderId, records: impl IntoIterator<Item = &'a Record<Event>>) -> Self {
        Self::new(id).after(records)
    }

    fn begin(&self, who: KeyId, payment: PaymentId, items: &[HoldId], contact: Option<PersonId>) -> Result<Vec<Event>, Refusal> {
        let mut new: Vec<HoldId> = items.iter().copied().filter(|item| !self.items.contains(item)).collect();
        new.sort_unstable();
        new.dedup();
        if self.items.len() + new.len() > ITEMS_MAX {
            return Err(Refusal::TooManyItems { max: ITEMS_MAX as u32 });
        }
        if self.who.is_some_and(|owner| owner != who) {
            return Err(Refusal::UnknownOrder);
        }
        match self.under_way() {
            Some(other) if other != payment => return Err(Refusal::PaymentUnderWay { payment: other }),
            None if self.progress(payment) == Some(Progress::Paid) => return Err(Refusal::PaymentOver),
            None if self.payments.len() >= PAYMENTS_MAX => return Err(Refusal::TooManyPayments { max: PAYMENTS_MAX as u32 }),
            _ => {}
        }
        let placed = (self.who.is_none() || !new.is_empty()).then_some(Event::Placed(Placed { who, items: new, contact }));
        Ok(placed.into_iter().chain([Event::PaymentBegun(PaymentBegun { payment })]).collect())
    }

    fn end(&self, payment: PaymentId, paid: bool) -> Result<Vec<Event>, Refusal> {
        if self.who.is_none() {
            return Err(Refusal::UnknownOrder);
        }
        match (self.progress(payment), paid) {
            (None, _) => Err(Refusal::UnknownPayment),
            (Some(Progress::Paid), _) | (Some(Progress::Unpaid), false) => Err(Refusal::PaymentOver),
            (Some(Progress::UnderWay), _) | (Some(Progress::Unpaid), true) => Ok(vec![Event::PaymentEnded(PaymentEnded { payment, paid })]),
        }
    }

    /// Whether moreover nothing stands twice (OR-1, OR-2): for tests and after a replay.
    pub fn recount(&self) -> Result<(), Broken> {
        self.check()?;
        let mut payments: Vec<PaymentId> = self.payments.iter().map(|(payment, _)| *payment).collect();
        payments.sort_unstable();
        if payments.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Broken { invariant: "OR-2", what: "a payment stands twice" });
        }
        Ok(())
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> OrderId {
        self.id
    }

    /// Whose it is; none before it was placed.
    #[must_use]
    pub const fn who(&self) -> Option<KeyId> {
        self.who
    }

    /// Contact data, kept apart under this number.
    #[must_use]
    pub const fn contact(&self) -> Option<PersonId> {
        self.contact
    }

    /// Its holds, and the sales that they have become.
    #[must_use]
    pub fn items(&self) -> &[HoldId] {
        &self.items
    }

    /// Its payments with what it was told of them, in the order in which they began.
    #[must_use]
    pub fn payments(&self) -> &[(PaymentId, Progress)] {
        &self.payments
    }

    /// The payment that is under way.
    #[must_use]
    pub fn under_way(&self) -> Option<PaymentId> {
        self.payments.iter().find(|(_, progress)| *progress == Progress::UnderWay).map(|(payment, _)| *payment)
    }

    fn progress(&self, payment: PaymentId) -> Option<Progress> {
        self.payments.iter().find(|(of, _)| *of == payment).map(|(_, progress)| *progress)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::SlotId;

    fn payment(n: u64) -> PaymentId {
        PaymentId::new(1, n)
    }

    fn begin(n: u64, who: u64, items: &[u64]) -> Command {
        let items = items.iter().map(|&n| HoldId::new(SlotId::from_raw(1), n)).collect();
        Command::BeginPayment { who: KeyId(who), payment: payment(n), items, contact: None }
    }

    fn end(n: u64, paid: bool) -> Command {
        Command::EndPayment { payment: payment(n), paid }
    }

    fn step(order: &mut Order, command: &Command) -> Result<Record<Event>, Refusal> {
        let now = Timestamp::from_seconds(1);
        let record = order.record(now, None, order.decide(now, command)?);
        order.apply(&record);
        assert_eq!(order.recount(), Ok(()));
        Ok(record)
    }

    #[test]
    fn one_payment_at_a_time_and_what_was_paid_stays_paid() {
        let mut order = Order::new(OrderId(1));
        let under_way = |n| Err(Refusal::PaymentUnderWay { payment: payment(n) });
        let many: Vec<u64> = (0..=ITEMS_MAX as u64).collect();
        for (command, expected) in [
            (end(1, true), Err(Refusal::UnknownOrder)),
            (begin(1, 7, &many), Err(Refusal::TooManyItems { max: 256 })),
            (begin(1, 7, &[1, 2]), Ok((2, Some(1)))),
            (begin(1, 7, &[1, 2]), Ok((2, Some(1)))),
            (begin(2, 7, &[1]), under_way(1)),
            (begin(2, 8, &[1]), Err(Refusal::UnknownOrder)),
            (end(2, false), Err(Refusal::UnknownPayment)),
            (end(1, false), Ok((2, None))),
            (end(1, false), Err(Refusal::PaymentOver)),
            (begin(2, 7, &[2, 3]), Ok((3, Some(2)))),
            (end(1, true), Ok((3, Some(2)))),
            (end(1, false), Err(Refusal::PaymentOver)),
            (end(2, true), Ok((3, None))),
            (begin(2, 7, &[2]), Err(Refusal::PaymentOver)),
        ] {
            let answer = step(&mut order, &command).map(|_| (order.items().len(), order.under_way().map(|payment| payment.number())));
            assert_eq!(answer, expected, "{command:?}: {}", expected.as_ref().err().map_or("", Refusal::code));
        }
        assert_eq!(order.payments(), [(payment(1), Progress::Paid), (payment(2), Progress::Paid)]);
    }

    #[test]
    fn an_order_has_so_many_payments_and_no_more() {
        let mut order = Order::new(OrderId(1));
        for n in 0..PAYMENTS_MAX as u64 {
            step(&mut order, &begin(n, 7, &[1])).unwrap();
            step(&mut order, &end(n, false)).unwrap();
        }
        assert_eq!(step(&mut order, &begin(1_000, 7, &[1])), Err(Refusal::TooManyPayments { max: 256 }));
    }

    #[test]
    fn what_no_order_would_do_is_found() {
        let mut order = Order::new(OrderId(1));
        let begun = |n| Event::PaymentBegun(PaymentBegun { payment: payment(n) });
        order.apply(&order.record(Timestamp::from_seconds(1), None, vec![begun(1), begun(2)]));
        assert_eq!(order.check().map_err(|broken| broken.invariant), Err("OR-1"));
        let twice = Order { payments: vec![(payment(1), Progress::Paid), (payment(1), Progress::Unpaid)], ..Order::new(OrderId(1)) };
        assert_eq!(twice.recount().map_err(|broken| broken.invariant), Err("OR-2"));
    }

    proptest! {
        /// OR-1 whatever is asked; OR-3.
        #[test]
        fn whatever_is_asked_one_payment_is_under_way(steps in prop::collection::vec((0_u64..4, 7_u64..9, any::<bool>(), any::<bool>()), 0..60)) {
            let mut order = Order::new(OrderId(1));
            let mut records = Vec::new();
            for (n, who, begins, paid) in steps {
                let before = order.payments().iter().filter(|(_, progress)| *progress == Progress::Paid).count();
                records.extend(step(&mut order, &if begins { begin(n, who, &[n]) } else { end(n, paid) }));
                prop_assert!(order.payments().iter().filter(|(_, progress)| *progress == Progress::Paid).count() >= before);
            }
            let replayed = Order::replay(OrderId(1), &records);
            prop_assert_eq!(postcard::to_allocvec(&replayed).unwrap(), postcard::to_allocvec(&order).unwrap());
        }
    }
}
