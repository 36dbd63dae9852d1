//! Random commands against a naive recount: PY-1 to PY-6, whatever is asked.

use proptest::prelude::*;

use super::*;
use crate::ids::PersonId;

/// One command out of everything that can be asked, most of it sensible.
fn any_command() -> impl Strategy<Value = Command> {
    let by = prop_oneof![Just(PaidBackBy::Transfer), Just(till()), Just(PaidBackBy::PayersBank)];
    let ids = prop::sample::select(vec!["a", "b", "c", "d"]);
    let cents = prop::sample::select(vec![100_i64, 3_899, 3_900, 4_000]);
    prop_oneof![
        2 => Just(Command::Publish),
        1 => Just(Command::FailPublish { code: code("iban") }),
        1 => (0_i64..4_000).prop_map(|s| Command::Activate { until: at(s) }),
        4 => (ids.clone(), cents.clone()).prop_map(|(id, cents)| money(id, cents)),
        2 => (ids, cents).prop_map(|(id, cents)| desk(id, cents)),
        4 => (0_u16..3).prop_map(fulfil),
        2 => (0_u16..3).prop_map(forgo),
        3 => (1_u64..4, 0_u64..4, 1_i64..1_500).prop_map(|(n, seq, cents)| refund(n, seq, cents)),
        1 => Just(Command::RefundExtras),
        2 => (0_u32..6).prop_map(export),
        2 => (0_u32..6, by).prop_map(|(number, by)| confirm(number, by)),
        2 => (0_u32..6).prop_map(back),
        1 => (0_u32..6).prop_map(|refund| Command::ReleaseRefund { refund }),
        1 => (0_u32..6).prop_map(|refund| Command::SetPayee { refund, person: PersonId(1) }),
        1 => Just(cancel()),
        1 => Just(close(Closing::Withdrawn)),
        1 => Just(close(Closing::PaidElsewhere)),
        1 => Just(dispute()),
        1 => any::<bool>().prop_map(resolve),
        1 => (0_u8..4).prop_map(report),
    ]
}

proptest! {
    /// PY-1 to PY-6 whatever is asked, counted again from nothing but the events.
    #[test]
    fn whatever_is_asked_every_cent_is_in_one_place(extra in prop::bool::ANY, steps in prop::collection::vec((0_i64..400, any_command()), 0..80)) {
        let mut given = Given::of(&[(0, open(opened(Gateway::Notice, vec![item(1, 2, 1_200), item(2, 1, 1_200)], if extra { 300 } else { 0 })))]);
        let mut now = 0;
        for (pause, command) in steps {
            now += pause;
            let _ = given.ask(now, &command);
        }
        let mut naive = Naive::default();
        for pair in given.records.windows(2) {
            prop_assert!(pair[0].at <= pair[1].at && pair[0].seq + 1 == pair[1].seq);
        }
        given.records.iter().flat_map(|record| &record.events).for_each(|event| naive.take(event));
        let money = given.payment.money();
        prop_assert_eq!(naive.received.values().sum::<i64>(), money.received.get());
        prop_assert_eq!(naive.owed, money.owed.get());
        prop_assert_eq!(naive.paid_back, money.paid_back.get());
        prop_assert_eq!(naive.sold.values().map(|(took, back)| took - back).sum::<i64>(), money.tickets.get());
        prop_assert!(naive.sold.values().all(|(took, back)| back <= took));
        prop_assert!(naive.paying <= 1);
        let replayed = Payment::replay(given.payment.id(), &given.records);
        prop_assert_eq!(postcard::to_allocvec(&replayed).unwrap(), postcard::to_allocvec(&given.payment).unwrap());
        // The ledger says the same.
        let lines: Vec<_> = given.records.iter().flat_map(|record| ledger::of_payment(&given.payment, record)).collect();
        let on = |account| -> i64 { lines.iter().filter(|line| line.account == account).map(|line| line.amount_cents.get()).sum() };
        prop_assert_eq!(-on(ledger::Account::Unallotted), money.unallotted.get());
        prop_assert_eq!(-on(ledger::Account::Refunds), money.owed.get());
        prop_assert_eq!(on(ledger::Account::Transit), -money.tickets.get());
        prop_assert_eq!(on(ledger::Account::TakenBack { museum: MuseumId(1) }), given.payment.taken_back().get() - naive.settled);
        prop_assert_eq!(naive.taken, given.payment.taken_back().get());
    }
}

/// The plainest count: sums by receipt and by item.
#[derive(Default)]
struct Naive {
    received: std::collections::BTreeMap<String, i64>,
    paying: u32,
    owed: i64,
    paid_back: i64,
    /// By item: what its tickets took, and what of it was refunded.
    sold: std::collections::BTreeMap<u16, (i64, i64)>,
    refunds: Vec<(i64, bool)>,
    taken: i64,
    settled: i64,
}

impl Naive {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Received(received) => {
                self.paying += u32::from(received.pays);
                let before = self.received.insert(received.receipt.id.clone(), received.receipt.amount_cents.get());
                assert_eq!(before, None, "a receipt was taken twice");
            }
            Event::Fulfilled(fulfilled) => assert_eq!(self.sold.insert(fulfilled.item, (fulfilled.amount_cents.get(), 0)), None),
            Event::Unfulfilled(unfulfilled) => assert!(!self.sold.contains_key(&unfulfilled.item)),
            Event::RefundOpened(opened) => {
                self.owed += opened.amount_cents.get();
                self.refunds.push((opened.amount_cents.get(), false));
                if let RefundReason::Cancelled { item, .. } = opened.why {
                    self.sold.entry(item).or_default().1 += opened.amount_cents.get();
                }
            }
            Event::RefundConfirmed(confirmed) => {
                let (cents, is_back) = &mut self.refunds[confirmed.refund as usize];
                assert!(!std::mem::replace(is_back, true));
                (self.owed, self.paid_back) = (self.owed - *cents, self.paid_back + *cents);
                self.settled += if confirmed.by == PaidBackBy::PayersBank { *cents } else { 0 };
            }
            Event::RefundReturned(returned) => {
                let (cents, is_back) = &mut self.refunds[returned.refund as usize];
                if std::mem::replace(is_back, false) {
                    (self.owed, self.paid_back) = (self.owed + *cents, self.paid_back - *cents);
                }
            }
            Event::TakenBack(taken) => self.taken += taken.amount_cents.get(),
            _ => {}
        }
    }
}
