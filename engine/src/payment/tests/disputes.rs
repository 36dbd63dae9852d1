//! What payers' banks contest and take back, by a dispute or by a reporting flow, and the refunds that wait meanwhile.

use super::*;
use crate::ids::PersonId;

#[test]
fn disputes_and_reports_stand_beside() {
    let disputed = || {
        let mut given = Given::sold();
        given.ask(4, &dispute()).unwrap();
        given
    };
    table(Given::sold, &[(4, resolve(true), Err("no_dispute")), (4, report(0), Ok(&["reported"]))]);
    table(disputed, &[(5, dispute(), Err("dispute_open")), (5, resolve(false), Ok(&["dispute_resolved"]))]);
    let mut given = disputed();
    given.ask(5, &resolve(true)).unwrap();
    assert_eq!(given.payment.dispute().and_then(|dispute| dispute.upheld), Some(true));
    given.ask(6, &report(0)).unwrap();
    assert_eq!(given.ask(6, &report(0)), Err(Refusal::ReportKnown));
    given.ask(6, &report(9)).unwrap();
    assert_eq!(given.payment.reports().iter().map(|reported| reported.code).collect::<Vec<_>>(), [9], "the flow was issued again");
}

/// What the payer's bank takes back is what it had a part in and has not gone back already. It is posted, of the receipt that it came with.
#[test]
fn what_the_payers_bank_takes_back_is_no_longer_there() {
    let treasury = |given: &Given| -> i64 {
        let lines = given.records.iter().flat_map(|record| ledger::of_payment(&given.payment, record));
        lines.filter(|line| line.account == ledger::Account::Treasury).map(|line| line.amount_cents.get()).sum()
    };
    let taken = |given: &Given| given.payment.taken_back.iter().map(|taken| (taken.receipt, taken.amount_cents.get())).collect::<Vec<_>>();
    let disputed = |before: &[Command]| {
        let mut given = Given::sold();
        for command in before.iter().chain([&dispute()]) {
            given.ask(4, command).unwrap();
        }
        given
    };
    let twice = || vec![desk("cash", 3_900), money("b", 3_900)];
    // What has gone back, or is on its way, is not there to be taken; what waits is.
    let gone = vec![refund(1, 9, 1_200), confirm(0, PaidBackBy::Transfer), refund(1, 8, 1_200), export(1), refund(2, 9, 1_200)];
    for (before, command, expected) in [
        (vec![], resolve(true), vec![(0, 3_900)]),
        (vec![], resolve(false), vec![]),
        (gone, resolve(true), vec![(0, 1_500)]),
        (twice(), resolve(true), vec![(0, 3_900)]),
        (twice(), lose(Some("b"), None), vec![(2, 3_900)]),
        (vec![], lose(None, Some(100)), vec![(0, 100)]),
        (vec![], lose(None, Some(0)), vec![(0, 0)]),
    ] {
        let mut given = disputed(&before);
        let before = treasury(&given);
        given.ask(5, &command).unwrap();
        let sum: i64 = expected.iter().map(|(_, cents): &(u32, i64)| *cents).sum();
        assert_eq!((taken(&given), treasury(&given)), (expected, before - sum), "{command:?}");
    }
    // The next dispute takes what is left, of the next receipt where nothing is; and in the end nothing.
    let mut given = disputed(&twice());
    for (command, expected) in [
        (lose(None, Some(3_000)), vec![(0, 3_000)]),
        (resolve(true), vec![(0, 3_000), (0, 900)]),
        (resolve(true), vec![(0, 3_000), (0, 900), (2, 3_900)]),
        (resolve(true), vec![(0, 3_000), (0, 900), (2, 3_900)]),
    ] {
        given.ask(5, &command).unwrap();
        assert_eq!(taken(&given), expected);
        given.ask(5, &dispute()).unwrap();
    }
    for receipt in [None, Some("b")] {
        assert_eq!(given.ask(5, &lose(receipt, Some(1))), Err(Refusal::TakenTooLarge { left_cents: Cents::ZERO }));
    }
    let replayed = Payment::replay(given.payment.id(), &given.records);
    assert_eq!((replayed.taken_back(), replayed.taken_of(2)), (Cents::new(7_800), Cents::new(3_900)));
    table(
        || disputed(&twice()),
        &[
            (5, lose(Some("x"), None), Err("unknown_receipt")),
            (5, lose(Some("cash"), None), Err("source_not_allowed")),
            (5, lose(None, Some(3_901)), Err("taken_too_large")),
            (5, lose(None, Some(-1)), Err("taken_too_large")),
            (5, lose(Some("b"), Some(3_900)), Ok(&["dispute_resolved", "taken_back"])),
        ],
    );
    // Cash has no bank, nor has a voucher.
    let mut cash = Given::of(&[(0, open(usual())), (1, desk("cash", 3_900)), (2, dispute())]);
    assert_eq!(cash.ask(3, &lose(None, Some(1))), Err(Refusal::TakenTooLarge { left_cents: Cents::ZERO }));
    assert_eq!(names(&cash.ask(3, &resolve(true)).unwrap()), ["dispute_resolved"]);
    // A card at a desk has one.
    let voucher = VoucherId(4);
    let at_desk = |method| Source::Desk { till: code("desk-1"), method, reference: "R-1".to_owned() };
    for (gateway, source, expected) in [
        (Gateway::Notice, at_desk(DeskMethod::Cash), &["dispute_resolved"][..]),
        (Gateway::Voucher { voucher }, Source::Voucher { voucher }, &["dispute_resolved"][..]),
        (Gateway::Notice, at_desk(DeskMethod::Card), &["dispute_resolved", "taken_back"][..]),
    ] {
        let came = Command::Receive { receipt: receipt("a", source, 3_900) };
        let mut given = Given::of(&[(0, open(Opened { gateway, ..usual() })), (1, came.clone()), (2, dispute())]);
        assert_eq!(names(&given.ask(3, &resolve(true)).unwrap()), expected, "{came:?}");
        assert_eq!(given.payment.is_charged_back(0), expected.contains(&"taken_back"), "{came:?}");
    }
    // Of a dispute that ended before it was noted what was taken back nothing is known.
    let mut before = disputed(&[]);
    before.write(5, vec![Event::DisputeResolved(DisputeResolved { upheld: true })]);
    assert_eq!((before.payment.taken_back(), before.payment.is_charged_back(0)), (Cents::ZERO, true));
}

/// A flow that names a receipt as revoked takes it back, in whatever order the two come, and not what a dispute has taken already.
#[test]
fn what_a_flow_names_as_revoked_is_taken_back_once() {
    let revoked = |flow: &str, cents: i64| {
        let reported = Reported { flow: flow.to_owned(), iur: "a".to_owned(), index: 1, amount_cents: Cents::new(cents), code: 3 };
        Command::Report { reported }
    };
    let elsewhere = |index: u8, iur: &str| {
        let reported = Reported { flow: "F".to_owned(), iur: iur.to_owned(), index, amount_cents: Cents::new(3_900), code: 3 };
        Command::Report { reported }
    };
    table(
        Given::sold,
        &[
            (4, report(0), Ok(&["reported"])),
            (4, report(3), Ok(&["reported", "taken_back"])),
            (4, elsewhere(2, "a"), Ok(&["reported"])),
            (4, elsewhere(1, "b"), Ok(&["reported"])),
        ],
    );
    let taken = |given: &Given| given.payment.taken_back().get();
    // Each flow takes what it says, one that is issued again what is new in it, all together no more than had come.
    let mut given = Given::sold();
    for (flow, cents, expected) in [("F", 1_000, 1_000), ("F", 1_500, 1_500), ("G", 1_000, 2_500), ("H", 3_900, 3_900), ("I", 1, 3_900)] {
        given.ask(5, &revoked(flow, cents)).unwrap();
        assert_eq!(taken(&given), expected, "{flow} {cents}");
    }
    assert_eq!(given.ask(5, &revoked("F", 1_500)), Err(Refusal::ReportKnown));
    let lines = given.records.iter().flat_map(|record| ledger::of_payment(&given.payment, record));
    let treasury: i64 = lines.filter(|line| line.account == ledger::Account::Treasury).map(|line| line.amount_cents.get()).sum();
    assert_eq!((treasury, given.payment.is_charged_back(0)), (0, true));
    // One that is issued anew and takes less gives back what it took; not what a refund is noted to be paid by, nor what a dispute took.
    for (before, settled, expected) in [(vec![], 0, 0), (vec![refund(1, 9, 1_200), confirm(0, PaidBackBy::PayersBank)], 1_200, 1_200)] {
        let mut given = Given::sold();
        given.ask(4, &revoked("2026-06-01PSP-1", 3_900)).unwrap();
        for command in &before {
            given.ask(4, command).unwrap();
        }
        given.ask(5, &revoked("2026-06-01PSP-1", 3_000)).unwrap();
        assert_eq!(taken(&given), 3_000, "{before:?}");
        assert_eq!(names(&given.ask(5, &report(0)).unwrap()), ["reported", "taken_back"]);
        assert_eq!(taken(&given), expected, "{before:?}");
        let lines = given.records.iter().flat_map(|record| ledger::of_payment(&given.payment, record));
        let treasury: i64 = lines.filter(|line| line.account == ledger::Account::Treasury).map(|line| line.amount_cents.get()).sum();
        assert_eq!(treasury, 3_900 - settled, "{before:?}");
    }
    // Of what was sent twice, as after a stand-in, the second time is the sender's: who takes one of them back takes nothing of what came, whichever flow is heard of first.
    let sent = |flow: &str, cents: i64| {
        let reported = Reported { flow: flow.to_owned(), iur: "a".to_owned(), index: 1, amount_cents: Cents::new(cents), code: 8 };
        Command::Report { reported }
    };
    for steps in [
        [(sent("F", 3_900), 0), (sent("G", 3_900), 0), (revoked("H", 3_900), 0), (revoked("I", 1_000), 1_000)],
        [(sent("F", 3_900), 0), (revoked("H", 3_900), 3_900), (sent("G", 3_900), 0), (sent("G", 3_000), 900)],
        [(revoked("H", 3_900), 3_900), (sent("F", 3_900), 3_900), (sent("G", 3_900), 0), (revoked("G", 3_900), 3_900)],
        // What was sent twice by mistake is put right by an issue without it: who takes it back then takes what came.
        [(sent("F", 3_900), 0), (sent("G", 3_900), 0), (sent("G", 0), 0), (revoked("H", 3_900), 3_900)],
    ] {
        let mut given = Given::sold();
        for (command, expected) in &steps {
            given.ask(5, command).unwrap();
            assert_eq!(taken(&given), *expected, "{command:?} of {steps:?}");
        }
    }
    // One that is issued anew without it takes nothing, and may take it yet again.
    let mut given = Given::sold();
    for (cents, expected) in [(3_900, 3_900), (0, 0), (1_000, 1_000), (0, 0)] {
        given.ask(5, &revoked("F", cents)).unwrap();
        assert_eq!((taken(&given), given.payment.is_charged_back(0)), (expected, expected > 0), "{cents}");
    }
    assert_eq!(given.ask(5, &revoked("F", 0)), Err(Refusal::ReportKnown));
    // That there is another dispute, or that the bank loses that one, gives nothing back of what it took over this one.
    for then in [vec![], vec![dispute()], vec![dispute(), resolve(false)]] {
        let mut given = Given::sold();
        for command in [dispute(), resolve(true), report(3)].iter().chain(&then).chain([&report(0)]) {
            given.ask(5, command).unwrap();
        }
        assert_eq!(taken(&given), 3_900, "{then:?}");
    }
    // A dispute that the payer wins is about the same money, whichever is noted first.
    let mut given = Given::sold();
    for (command, expected) in [(dispute(), 0), (lose(None, Some(1_000)), 1_000), (revoked("F", 1_000), 1_000), (revoked("F", 3_900), 3_900)] {
        given.ask(5, &command).unwrap();
        assert_eq!(taken(&given), expected, "{command:?}");
    }
    given.ask(6, &dispute()).unwrap();
    assert_eq!(names(&given.ask(6, &resolve(true)).unwrap()), ["dispute_resolved"]);
    // Before the receipt it is known, and taken as soon as that comes. What no bank had a part in is none of it.
    let mut early = Given::pending();
    assert_eq!(names(&early.ask(2, &report(3)).unwrap()), ["reported"]);
    assert_eq!(names(&early.ask(3, &money("a", 3_900)).unwrap()), ["paid", "taken_back"]);
    let mut cash = Given::of(&[(0, open(usual())), (1, desk("a", 3_900))]);
    assert_eq!(names(&cash.ask(2, &report(3)).unwrap()), ["reported"]);
    // What was let go and nobody has sent waits again.
    let mut waits = Given::sold();
    for command in [dispute(), refund(1, 9, 1_200), Command::ReleaseRefund { refund: 0 }, report(3)] {
        waits.ask(4, &command).unwrap();
    }
    assert_eq!(waits.ask(5, &export(0)), Err(Refusal::RefundContested));
    let replayed = Payment::replay(waits.payment.id(), &waits.records);
    assert_eq!(postcard::to_allocvec(&replayed).unwrap(), postcard::to_allocvec(&waits.payment).unwrap());
}

/// A dispute is about one receipt: what came twice goes back to whoever paid it the second time, when it is known that the bank took the other.
#[test]
fn refunds_wait_of_the_receipt_of_which_the_payers_bank_took() {
    let twice = |then: &[Command]| {
        let mut given = Given::sold();
        for command in [money("b", 3_900), refund(1, 9, 1_200), dispute()].iter().chain(then) {
            given.ask(4, command).unwrap();
        }
        given
    };
    let waits = |given: &Given| given.payment.refunds().iter().map(|refund| given.payment.is_contested(refund)).collect::<Vec<_>>();
    // The first is of what came twice, the second of tickets that the first receipt paid.
    for (then, expected) in [
        (vec![], [true, true]),
        (vec![resolve(false)], [false, false]),
        (vec![resolve(true)], [false, true]),
        (vec![lose(Some("b"), None)], [true, false]),
        (vec![lose(Some("b"), Some(100))], [true, false]),
        // Whatever was taken, it is that receipt's money that was contested.
        (vec![lose(Some("a"), Some(0))], [false, true]),
        (vec![lose(Some("a"), Some(0)), dispute(), resolve(false)], [false, false]),
        // What is contested again may be of either.
        (vec![lose(Some("b"), None), dispute()], [true, true]),
        (vec![lose(Some("b"), None), dispute(), resolve(false)], [true, false]),
        (vec![lose(Some("b"), None), dispute(), lose(Some("a"), None)], [true, true]),
        (vec![resolve(false), report(3)], [false, true]),
    ] {
        assert_eq!(waits(&twice(&then)), expected, "{then:?}");
    }
    table(
        || twice(&[resolve(true)]),
        &[
            (5, export(0), Ok(&["exported"])),
            (5, Command::ReleaseRefund { refund: 0 }, Err("refund_not_contested")),
            (5, export(1), Err("refund_contested")),
        ],
    );
    // What was on its way when the dispute ended waits when it comes back: nobody said that the bank took nothing.
    let mut sent = Given::sold();
    for command in [money("b", 3_900), refund(1, 9, 2_400), refund(2, 9, 1_200), Command::RefundExtras, export(1), export(2), export(3), dispute()] {
        sent.ask(4, &command).unwrap();
    }
    for command in [lose(Some("a"), None), back(1)] {
        sent.ask(5, &command).unwrap();
    }
    assert_eq!((waits(&sent), sent.payment.taken_back()), (vec![false, true, false, false], Cents::ZERO));
    // Of which receipt a bank took before that was noted nobody knows, also where a flow took of another.
    let mut before = twice(&[report(3)]);
    before.write(5, vec![Event::DisputeResolved(DisputeResolved { upheld: true })]);
    assert_eq!(waits(&before), [true, true]);
    before.ask(6, &dispute()).unwrap();
    before.ask(6, &lose(Some("b"), None)).unwrap();
    assert_eq!(waits(&before), [true, true], "one by the dispute, the other by the flow");
    let mut unnoted = twice(&[]);
    unnoted.write(5, vec![Event::DisputeResolved(DisputeResolved { upheld: true })]);
    for command in [dispute(), lose(Some("b"), None)] {
        unnoted.ask(6, &command).unwrap();
    }
    assert_eq!(waits(&unnoted), [true, true], "the dispute before may have been about the other");
}

/// A flow that is issued anew gives back what it took of one receipt, though a dispute about another one was decided for the payer; not where that was about the same money, or nobody
/// knows about which.
#[test]
fn what_a_flow_took_of_a_receipt_is_kept_by_a_dispute_about_that_receipt_alone() {
    let revoked = |iur: &str, cents: i64| {
        let reported = Reported { flow: "F".to_owned(), iur: iur.to_owned(), index: 1, amount_cents: Cents::new(cents), code: 3 };
        Command::Report { reported }
    };
    // What is left as taken of the first receipt and of the second when the flow that took all of the first says no more of it.
    for (resolved, expected) in [
        (resolve(false), (0, 0)),
        (lose(Some("b"), None), (0, 3_900)),
        (lose(Some("b"), Some(0)), (0, 0)),
        (lose(Some("a"), None), (3_900, 0)),
        // Of the first nothing is left to take, so it was about the second.
        (resolve(true), (0, 3_900)),
    ] {
        let mut given = Given::sold();
        for command in [money("b", 3_900), revoked("a", 3_900), dispute(), resolved.clone(), revoked("a", 0)] {
            given.ask(4, &command).unwrap();
        }
        assert_eq!((given.payment.taken_of(0).get(), given.payment.taken_of(1).get()), expected, "{resolved:?}");
        let replayed = Payment::replay(given.payment.id(), &given.records);
        assert_eq!(replayed, given.payment, "{resolved:?}");
    }
    let mut before = Given::sold();
    for command in [money("b", 3_900), revoked("a", 3_900), dispute()] {
        before.ask(4, &command).unwrap();
    }
    before.write(5, vec![Event::DisputeResolved(DisputeResolved { upheld: true })]);
    before.ask(6, &revoked("a", 0)).unwrap();
    assert_eq!(before.payment.taken_of(0), Cents::new(3_900), "of which receipt that one took nobody noted");
}

/// A refund that waits is done with when the payer has it from their bank; that is so of no more than the bank took, and nobody sends it as well.
#[test]
fn what_the_payers_bank_took_back_stands_for_refunds_that_wait() {
    let by_bank = |number| confirm(number, PaidBackBy::PayersBank);
    let taken = |cents| {
        move || {
            let mut given = Given::sold();
            for command in [refund(1, 9, 1_200), refund(2, 9, 1_200), dispute(), lose(None, Some(cents))] {
                given.ask(4, &command).unwrap();
            }
            given
        }
    };
    for (cents, expected) in [(0, Err("taken_too_large")), (1_199, Err("taken_too_large")), (1_200, Ok(&["confirmed"][..]))] {
        table(taken(cents), &[(5, by_bank(0), expected)]);
    }
    let mut given = taken(2_399)();
    given.ask(5, &by_bank(0)).unwrap();
    assert_eq!(given.ask(5, &by_bank(1)), Err(Refusal::TakenTooLarge { left_cents: Cents::new(1_199) }));
    for again in [by_bank(0), confirm(0, till()), export(0)] {
        assert_eq!(given.ask(5, &again), Err(Refusal::RefundNotOpen));
    }
    assert_eq!(given.ask(5, &back(0)), Err(Refusal::RefundNotSent));
    let money = given.payment.money();
    assert_eq!((money.owed, money.paid_back, given.payment.back_of(0)), (Cents::new(1_200), Cents::new(1_200), (Cents::ZERO, Cents::new(1_200))));
    let lines = given.records.iter().flat_map(|record| ledger::of_payment(&given.payment, record));
    let lost: i64 = lines.filter(|line| line.account == ledger::Account::TakenBack { museum: MuseumId(1) }).map(|line| line.amount_cents.get()).sum();
    assert_eq!(lost, 1_199, "what no refund stands for");
    // The next dispute finds what is left, and not what the refund was.
    given.ask(6, &dispute()).unwrap();
    given.ask(6, &resolve(true)).unwrap();
    assert_eq!(given.payment.taken_back(), Cents::new(3_900));
}

/// The payer's bank takes it back, or may: nothing goes out beside that, unless somebody says so.
#[test]
fn what_the_payers_bank_contests_goes_back_to_nobody_by_itself() {
    let release = Command::ReleaseRefund { refund: 0 };
    let contested = |then: Vec<Command>| {
        move || {
            let mut given = Given::sold();
            for command in [dispute(), refund(1, 9, 1_200)].iter().chain(&then) {
                given.ask(4, command).unwrap();
            }
            given
        }
    };
    let payee = Command::SetPayee { refund: 0, person: PersonId(3) };
    for then in [
        vec![],
        vec![resolve(true)],
        // That the bank loses the next one gives nothing back of what it took over this one.
        vec![resolve(true), dispute(), resolve(false)],
        vec![resolve(false), dispute()],
        // Whoever let it go did not know yet that the bank would be right, or that there would be another dispute.
        vec![release.clone(), resolve(true)],
        vec![release.clone(), resolve(false), dispute()],
    ] {
        table(
            contested(then),
            &[
                (5, export(0), Err("refund_contested")),
                (5, confirm(0, till()), Err("refund_contested")),
                (5, confirm(0, PaidBackBy::Transfer), Err("refund_contested")),
                (5, payee.clone(), Ok(&["payee_set"])),
                (5, release.clone(), Ok(&["released"])),
            ],
        );
    }
    let goes: &[Row] = &[
        (5, export(0), Ok(&["exported"])),
        (5, confirm(0, till()), Ok(&["confirmed"])),
        (5, confirm(0, PaidBackBy::Transfer), Ok(&["confirmed"])),
        (5, back(0), Err("refund_not_sent")),
        (5, release.clone(), Err("refund_not_contested")),
    ];
    table(contested(vec![release.clone()]), goes);
    table(contested(vec![resolve(false)]), goes);
    table(contested(vec![release.clone(), resolve(false)]), goes);
    table(contested(vec![resolve(true), release.clone()]), goes);
    // What is with the bank already is gone; what comes back from there waits anew.
    let sent = contested(vec![release.clone(), export(0)]);
    table(&sent, &[(5, confirm(0, PaidBackBy::Transfer), Ok(&["confirmed"])), (5, release.clone(), Err("refund_not_open"))]);
    let mut returned = sent();
    returned.ask(5, &back(0)).unwrap();
    assert_eq!(returned.ask(5, &export(0)), Err(Refusal::RefundContested));
    // A voucher has nothing of it either; what it has already is written down.
    let voucher = VoucherId(4);
    let by_voucher = Command::Receive { receipt: receipt("v", Source::Voucher { voucher }, 3_900) };
    let mut given =
        Given::of(&[(0, open(Opened { gateway: Gateway::Voucher { voucher }, ..usual() })), (1, by_voucher), (2, fulfil(0)), (2, fulfil(1))]);
    given.ask(3, &refund(1, 9, 1_200)).unwrap();
    assert_eq!(given.payment.work().vouchers.len(), 1);
    given.ask(4, &dispute()).unwrap();
    assert!(given.payment.work().is_done());
    given.ask(5, &release).unwrap();
    assert_eq!(given.payment.work().vouchers, [(0, voucher, Cents::new(1_200))]);
    given.ask(6, &confirm(0, PaidBackBy::Voucher { voucher })).unwrap();
    assert_eq!((given.payment.owed(), given.payment.money().paid_back), (0, Cents::new(1_200)));
}
