//! Given what was done to an account, when this is asked, then this happens. Below, random commands.

use super::*;
use crate::envelope::{Digest, Envelope};
use crate::ids::KeyId;
use crate::tariff::Proof;
use jiff::civil::date;
use proptest::prelude::*;

fn code(text: &str) -> Code {
    text.parse().unwrap()
}

fn at(s: i64) -> Timestamp {
    Timestamp::from_seconds(1_780_000_000 + s)
}

fn quote(n: u64) -> ChargeOf {
    ChargeOf::Quote { quote: QuoteId(n), revision: 1, acceptance: 1 }
}

fn open() -> Command {
    open_within(None)
}

fn open_within(limit_cents: Option<i64>) -> Command {
    let institution = Institution { vat: "00484960588".parse().ok(), ..Institution::default() };
    Command::Open { code: code("tours"), institution, limit_cents: limit_cents.map(Cents::new) }
}

fn limit(cents: i64) -> Command {
    change(Some(cents), false)
}

fn change(limit_cents: Option<i64>, suspended: bool) -> Command {
    Command::Change { institution: Institution::default(), limit_cents: limit_cents.map(Cents::new), suspended }
}

fn charge(n: u64, cents: i64) -> Command {
    Command::Charge { of: quote(n), amount_cents: Cents::new(cents), extras_cents: Cents::ZERO, museum: MuseumId(1) }
}

fn cancelled(seq: u64) -> TakeBackReason {
    TakeBackReason::Cancelled { sale: HoldId::new(crate::ids::SlotId::from_raw(1), 1), seq }
}

/// Each amount for another reason.
fn take_back(n: u64, cents: i64) -> Command {
    let why = cancelled(cents.unsigned_abs());
    Command::TakeBack { of: quote(n), why, amount_cents: Cents::new(cents), extras_cents: Cents::ZERO }
}

fn transfer(reference: &str, cents: i64) -> Command {
    Command::Settle { by: PaidBy::BankTransfer { reference: reference.to_owned() }, amount_cents: Cents::new(cents) }
}

fn agreement(category: &str, price: AgreedPrice) -> Agreement {
    Agreement { museum: None, category: code(category), price, from: date(2026, 1, 1), to: date(2026, 12, 31) }
}

fn step(account: &mut Account, records: &mut Vec<Record<Event>>, s: i64, command: &Command) -> Result<Event, Refusal> {
    let mut events = account.decide(at(s), command)?;
    let key = Digest(records.len() as u128);
    let envelope = Envelope { who: KeyId(3), key, body: key, parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() };
    let before = account.last_at();
    let record = account.record(at(s), Some(envelope), events.clone());
    assert!(record.at >= before, "AC-5: the time of a record went backwards");
    account.apply(&record);
    assert_eq!(account.recount(), Ok(()), "AC-1, AC-2, AC-3, AC-4 after {record:?}");
    records.push(record);
    assert_eq!(Account::replay(account.id(), records.iter()), *account, "AC-5: replay equals live");
    Ok(events.remove(0))
}

fn given(commands: &[Command]) -> (Account, Vec<Record<Event>>) {
    let (mut account, mut records) = (Account::new(AccountId(9)), Vec::new());
    for command in commands {
        step(&mut account, &mut records, 0, command).unwrap();
    }
    (account, records)
}

#[test]
fn what_an_account_answers() {
    let left = |cents| Err(Refusal::CreditLimit { left_cents: Cents::new(cents) });
    let charged = |n, cents| {
        let (of, amount_cents) = (quote(n), Cents::new(cents));
        Ok(Event::Charged(Charged { of, amount_cents, extras_cents: Cents::ZERO, museum: Some(MuseumId(1)) }))
    };
    let beyond = Command::Charge { of: quote(1), amount_cents: Cents::new(5), extras_cents: Cents::new(6), museum: MuseumId(1) };
    let twice = Command::SetAgreements { agreements: vec![agreement("full", AgreedPrice::PercentOff(5)); 2] };
    let bad = |price| Command::SetAgreements { agreements: vec![agreement("full", price)] };
    let backwards = Command::SetAgreements { agreements: vec![Agreement { to: date(2025, 1, 1), ..agreement("full", AgreedPrice::PercentOff(5)) }] };
    type Case = (Vec<Command>, Command, Result<Event, Refusal>);
    let cases: Vec<Case> = vec![
        (vec![], charge(1, 5), Err(Refusal::UnknownAccount)),
        (vec![], change(None, true), Err(Refusal::UnknownAccount)),
        (vec![open()], open(), Err(Refusal::AlreadyOpen)),
        (vec![open()], twice, Err(Refusal::AgreementsOverlap { category: code("full") })),
        (vec![open()], bad(AgreedPrice::PercentOff(0)), Err(Refusal::BadAgreement)),
        (vec![open()], bad(AgreedPrice::PercentOff(101)), Err(Refusal::BadAgreement)),
        (vec![open()], bad(AgreedPrice::Fixed(Cents::new(-1))), Err(Refusal::BadAgreement)),
        (vec![open()], backwards, Err(Refusal::BadAgreement)),
        (vec![open()], limit(-1), Err(Refusal::BadAmount)),
        (vec![], open_within(Some(-1)), Err(Refusal::BadAmount)),
        (vec![], open_within(Some(1_000_000_001)), Err(Refusal::BadAmount)),
        // The limit is there with the account: nothing is charged in between.
        (vec![open_within(Some(100))], charge(1, 101), left(100)),
        (vec![open_within(Some(0))], charge(1, 1), left(0)),
        (vec![open()], charge(1, 0), Err(Refusal::BadAmount)),
        (vec![open()], charge(1, 1_000_000_001), Err(Refusal::BadAmount)),
        (vec![open()], beyond, Err(Refusal::BadAmount)),
        (vec![open(), charge(1, 60), take_back(1, 10)], take_back(1, 10), Err(Refusal::AlreadyTakenBack)),
        (vec![open()], charge(1, 100), charged(1, 100)),
        (vec![open(), limit(100)], charge(1, 100), charged(1, 100)),
        (vec![open(), limit(100)], charge(1, 101), left(100)),
        (vec![open(), limit(100), charge(1, 60)], charge(2, 41), left(40)),
        (vec![open(), limit(100), charge(1, 60), take_back(1, 10)], charge(2, 50), charged(2, 50)),
        (vec![open(), limit(100), charge(1, 60), transfer("TRN 1", 30)], charge(2, 70), charged(2, 70)),
        // A limit below what is owed: nothing more, and what is paid first goes into the excess.
        (vec![open(), charge(1, 60), limit(10), transfer("TRN 1", 30)], charge(2, 1), left(0)),
        (vec![open(), charge(1, 60)], charge(1, 60), Err(Refusal::AlreadyCharged)),
        (vec![open(), change(None, true)], charge(1, 60), Err(Refusal::AccountSuspended)),
        (vec![open(), change(None, true), change(None, false)], charge(1, 60), charged(1, 60)),
        (vec![open(), charge(1, 60)], take_back(2, 1), Err(Refusal::UnknownCharge)),
        (vec![open(), charge(1, 60), take_back(1, 50)], take_back(1, 11), Err(Refusal::MoreThanCharged { left_cents: Cents::new(10) })),
        (vec![open(), transfer("TRN 1", 30)], transfer("TRN 1", 30), Err(Refusal::AlreadySettled)),
        (vec![open()], transfer(" ", 30), Err(Refusal::BadReference)),
        (vec![open()], transfer("à", 30), Err(Refusal::BadReference)),
        (vec![open()], transfer(&"1".repeat(36), 30), Err(Refusal::BadReference)),
    ];
    for (before, command, expected) in cases {
        let (mut account, mut records) = given(&before);
        assert_eq!(step(&mut account, &mut records, 1, &command), expected, "{command:?} after {before:?}");
    }
}

#[test]
fn an_account_is_changed_in_everything_or_in_nothing() {
    let institution = Institution { vat: "12345678903".parse().ok(), ..Institution::default() };
    let change = |cents, suspended| Command::Change { institution, limit_cents: Some(Cents::new(cents)), suspended };
    let (mut account, mut records) = given(&[open(), charge(1, 60)]);
    let before = account.clone();
    assert_eq!(step(&mut account, &mut records, 1, &change(-1, true)), Err(Refusal::BadAmount));
    assert_eq!(account, before);
    step(&mut account, &mut records, 1, &change(50, true)).unwrap();
    let is_now = |account: &Account| (account.limit_cents().map(Cents::get), account.is_suspended(), account.opened().unwrap().institution);
    assert_eq!((is_now(&account), records.len()), ((Some(50), true, institution), 3), "in one record, which is written or not");
    step(&mut account, &mut records, 1, &change(200, false)).unwrap();
    assert_eq!((is_now(&account), account.credit_left_cents()), ((Some(200), false, institution), Some(Cents::new(140))));
}

#[test]
fn who_agrees_for_some_museums_changes_nothing_for_others() {
    let at = |museum, percent| Agreement { museum, ..agreement("full", AgreedPrice::PercentOff(percent)) };
    let [one, two] = [1, 2].map(|museum| Some(MuseumId(museum)));
    let set = |museum: u16, agreements: &[Agreement]| Command::SetAgreementsAt { museums: vec![MuseumId(museum)], agreements: agreements.to_vec() };
    let (mut account, mut records) = given(&[open(), Command::SetAgreements { agreements: vec![at(None, 5), at(one, 10), at(two, 20)] }]);
    // Both have read the same; the second one has not seen what the first one made of it.
    step(&mut account, &mut records, 1, &set(1, &[at(two, 20), at(one, 11), at(None, 5)])).unwrap();
    let mut refused = |command: &Command| step(&mut account, &mut records, 1, command);
    for agreements in [&[at(None, 5), at(one, 10), at(two, 21)][..], &[at(None, 5), at(two, 21)], &[at(one, 11), at(two, 21)], &[]] {
        assert_eq!(refused(&set(2, agreements)), Err(Refusal::AgreementsOfOthers), "{agreements:?}");
    }
    let twice = [at(None, 5), at(one, 11), at(one, 11)];
    assert_eq!(refused(&set(2, &twice)), Err(Refusal::AgreementsOfOthers));
    let overlapping = [at(None, 5), at(one, 11), at(two, 21), at(two, 22)];
    assert_eq!(refused(&set(2, &overlapping)), Err(Refusal::AgreementsOverlap { category: code("full") }));
    step(&mut account, &mut records, 1, &set(2, &[at(None, 5), at(one, 11)])).unwrap();
    assert_eq!(account.agreements(), [at(None, 5), at(one, 11)]);
}

#[test]
fn what_is_paid_beyond_the_debt_is_a_credit() {
    let (account, _) = given(&[open(), limit(100), charge(1, 60), transfer("TRN 1", 80)]);
    assert_eq!((account.owed_cents(), account.credit_left_cents()), (Cents::new(-20), Some(Cents::new(120))));
}

#[test]
fn a_sale_that_is_charged_waits_until_it_is_made_or_taken_back() {
    let sale = |n| HoldId::new(crate::ids::SlotId::from_raw(1), n);
    let charge =
        |n| Command::Charge { of: ChargeOf::Sale { sale: sale(n) }, amount_cents: Cents::new(60), extras_cents: Cents::ZERO, museum: MuseumId(1) };
    let not_made = |n| Command::TakeBack {
        of: ChargeOf::Sale { sale: sale(n) },
        why: TakeBackReason::NotDelivered,
        amount_cents: Cents::new(60),
        extras_cents: Cents::ZERO,
    };
    let (mut account, mut records) = given(&[open(), charge(1), charge(2)]);
    assert_eq!(account.awaited().collect::<Vec<_>>(), [sale(1), sale(2)]);
    step(&mut account, &mut records, 1, &Command::NoteDelivered { sale: sale(1) }).unwrap();
    step(&mut account, &mut records, 1, &not_made(2)).unwrap();
    assert_eq!((account.awaited().count(), account.owed_cents()), (0, Cents::new(60)));
    for (command, why) in [
        (Command::NoteDelivered { sale: sale(1) }, Refusal::UnknownCharge),
        (not_made(2), Refusal::AlreadyTakenBack),
        (not_made(3), Refusal::UnknownCharge),
        (charge(1), Refusal::AlreadyCharged),
    ] {
        assert_eq!(step(&mut account, &mut records, 2, &command), Err(why), "{command:?}");
    }
    assert!(account.was_taken_back(ChargeOf::Sale { sale: sale(2) }, TakeBackReason::NotDelivered));
    // It may be made yet.
    step(&mut account, &mut records, 3, &charge(2)).unwrap();
    assert_eq!((account.awaited().collect::<Vec<_>>(), account.owed_cents()), (vec![sale(2)], Cents::new(120)));
}

#[test]
fn agreed_prices_are_never_above_the_tariff() {
    let here = MuseumId(1);
    let agreements = vec![
        agreement("full", AgreedPrice::PercentOff(15)),
        Agreement { museum: Some(here), ..agreement("full", AgreedPrice::Fixed(Cents::new(900))) },
        agreement("eu-18-25", AgreedPrice::Fixed(Cents::new(500))),
        Agreement { to: date(2026, 3, 31), ..agreement("teacher", AgreedPrice::PercentOff(100)) },
    ];
    let (account, _) = given(&[open(), Command::SetAgreements { agreements }]);
    let (june, march) = (date(2026, 6, 10), date(2026, 3, 31));
    for (museum, day, category, tariff, expected) in [
        (here, june, "full", 1_205, 900),
        (MuseumId(2), june, "full", 1_205, 1_025),
        (here, date(2027, 1, 1), "full", 1_205, 1_205),
        (here, june, "eu-18-25", 200, 200),
        (here, june, "teacher", 300, 300),
        (here, march, "teacher", 300, 0),
        (here, june, "under-18", 0, 0),
    ] {
        let line = Line { category: code(category), count: 3, price_cents: Cents::new(tariff), proof: Proof::None };
        let expected = vec![Line { price_cents: Cents::new(expected), ..line.clone() }];
        assert_eq!(account.priced(museum, day, &[line]), expected, "{category} on {day}");
    }
}

#[test]
fn a_broken_state_is_told() {
    let opened = || Event::Opened(Opened { code: code("tours"), institution: Institution::default() });
    let charged = |cents| Event::Charged(Charged { of: quote(1), amount_cents: Cents::new(cents), extras_cents: Cents::ZERO, museum: None });
    let limit = Event::LimitSet(LimitSet { limit_cents: Some(Cents::new(5)) });
    let back = Event::TakenBack(TakenBack { of: quote(1), amount_cents: Cents::new(6), extras_cents: Cents::ZERO, why: None });
    for (events, expected) in [
        (vec![opened(), charged(4), charged(4)], "AC-1"),
        (vec![opened(), charged(4), back], "AC-2"),
        (vec![opened(), limit, charged(6)], "AC-3"),
        (vec![charged(4)], "AC-4"),
    ] {
        let mut account = Account::new(AccountId(9));
        account.apply(&account.record(at(0), None, events));
        assert_eq!(account.recount().map_err(|broken| broken.invariant), Err(expected));
    }
}

fn commands() -> impl Strategy<Value = Command> {
    prop_oneof![
        1 => Just(open()),
        2 => (0_i64..200).prop_map(limit),
        1 => (0_i64..200, any::<bool>()).prop_map(|(cents, suspended)| change(Some(cents), suspended)),
        4 => (0_u64..4, 0_i64..100).prop_map(|(n, cents)| charge(n, cents)),
        2 => (0_u64..4, 0_i64..100).prop_map(|(n, cents)| take_back(n, cents)),
        2 => (0_u64..4, 0_i64..100).prop_map(|(n, cents)| transfer(&format!("TRN {n}"), cents)),
    ]
}

proptest! {
    /// AC-1 to AC-5 whatever is asked, also when clocks go back; and a state survives its bytes.
    #[test]
    fn invariants_hold_whatever_is_asked(asked in prop::collection::vec((commands(), 0_i64..50), 0..30)) {
        let (mut account, mut records) = given(&[open()]);
        for (command, s) in asked {
            let _ = step(&mut account, &mut records, s, &command);
        }
        let bytes = postcard::to_allocvec(&account).unwrap();
        prop_assert_eq!(&postcard::from_bytes::<Account>(&bytes).unwrap(), &account);
    }
}
