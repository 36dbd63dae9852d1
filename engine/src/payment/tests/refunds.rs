//! The money that goes back: of extras that are called off, of tickets that are cancelled, and on which way.

use super::*;
use crate::ids::PersonId;

#[test]
fn extras_that_are_called_off_go_back_once() {
    table(Given::pending, &[(2, Command::RefundExtras, Err("not_paid"))]);
    table(Given::paid, &[(3, Command::RefundExtras, Err("refund_too_large"))]);
    let mut sold = Given::sold();
    assert_eq!(sold.ask(4, &Command::RefundExtras).as_deref().map(names), Ok(vec!["extras_cancelled"]));
    let money = *sold.payment.money();
    assert_eq!((money.tickets, money.extras, money.owed), (Cents::new(3_600), Cents::ZERO, Cents::new(300)));
    assert_eq!((sold.ask(5, &Command::RefundExtras), sold.payment.refunded()), (Err(Refusal::RefundKnown { refund: 0 }), Refunded::Part));
    for (n, cents) in [(1, 2_400), (2, 1_200)] {
        sold.ask(6, &refund(n, 1, cents)).unwrap();
    }
    assert_eq!((sold.payment.money().owed, sold.payment.refunded()), (Cents::new(3_900), Refunded::Whole));
    assert_eq!(sold.payment.back_of(0), (Cents::ZERO, Cents::new(3_900)), "what is owed has not gone back");
    sold.ask(7, &confirm(0, till())).unwrap();
    assert_eq!(sold.payment.money().paid_back, Cents::new(300));
    assert_eq!((sold.payment.back_of(0), sold.payment.back_of(1)), ((Cents::new(300), Cents::new(3_600)), (Cents::ZERO, Cents::ZERO)));
    // Half of it, or twice, is found.
    for events in [vec![200], vec![300, 300]] {
        let mut payment = Given::sold().payment;
        let why = RefundReason::ExtrasCancelled;
        let opened = |(refund, cents)| Event::RefundOpened(RefundOpened { refund, amount_cents: Cents::new(cents), why, receipt: 0 });
        payment.apply(&Record { seq: payment.seq() + 1, at: at(4), envelope: None, events: (0..).zip(events).map(opened).collect() });
        assert!(payment.recount().is_err());
    }
}

#[test]
fn refunds_of_cancelled_tickets_and_the_way_back_of_money() {
    table(
        Given::sold,
        &[
            (4, refund(1, 9, 2_400), Ok(&["cancelled"])),
            (4, refund(1, 9, 2_401), Err("refund_too_large")),
            (4, refund(1, 9, 0), Err("refund_too_large")),
            (4, refund(3, 9, 1), Err("unknown_sale")),
            // Of tickets that were moved: the money is of the sale that they were bought as.
            (4, Command::Refund { origin: hold(1), sale: hold(3), seq: 9, amount_cents: Cents::new(2_400) }, Ok(&["cancelled"])),
            (4, Command::Refund { origin: hold(3), sale: hold(1), seq: 9, amount_cents: Cents::new(2_400) }, Err("unknown_sale")),
            (4, export(0), Err("unknown_refund")),
            (4, confirm(0, till()), Err("unknown_refund")),
            (4, back(0), Err("unknown_refund")),
        ],
    );
    let owed = || {
        let mut given = Given::sold();
        given.ask(4, &refund(1, 9, 1_200)).unwrap();
        given
    };
    let payee = Command::SetPayee { refund: 0, person: PersonId(3) };
    let blank = Command::ConfirmRefund { refund: 0, by: till(), reference: String::new(), executed_on: jiff::civil::date(2026, 6, 1) };
    table(
        owed,
        &[
            (5, refund(1, 9, 1_200), Err("refund_known")),
            (5 + DAY_S * 9, refund(1, 9, 7), Err("refund_known")),
            (5, refund(1, 10, 1_201), Err("refund_too_large")),
            (5, refund(1, 10, 1_200), Ok(&["cancelled"])),
            (5, export(0), Ok(&["exported"])),
            (5, confirm(0, till()), Ok(&["confirmed"])),
            (5, confirm(0, PaidBackBy::Transfer), Ok(&["confirmed"])),
            (5, confirm(0, PaidBackBy::Voucher { voucher: VoucherId(1) }), Err("refund_not_open")),
            (5, back(0), Err("refund_not_sent")),
            (5, payee.clone(), Ok(&["payee_set"])),
            (5, blank, Err("bad_reference")),
        ],
    );
    let with = |more: Vec<Command>| {
        move || {
            let mut given = owed();
            more.iter().for_each(|command| drop(given.ask(5, command).unwrap()));
            given
        }
    };
    table(
        with(vec![export(0)]),
        &[
            (6, export(0), Err("refund_not_open")),
            (6, payee, Err("refund_not_open")),
            (6, confirm(0, till()), Err("refund_not_open")),
            (6, confirm(0, PaidBackBy::Transfer), Ok(&["confirmed"])),
            (6, back(0), Ok(&["returned"])),
        ],
    );
    table(with(vec![confirm(0, till())]), &[(6, back(0), Err("refund_not_sent")), (6, confirm(0, till()), Err("refund_not_open"))]);
    let returned = with(vec![export(0), confirm(0, PaidBackBy::Transfer), back(0)]);
    table(returned, &[(6, export(0), Ok(&["exported"])), (6, confirm(0, till()), Ok(&["confirmed"]))]);
    let given = with(vec![export(0), confirm(0, PaidBackBy::Transfer), back(0)])();
    assert_eq!((given.payment.money().owed, given.payment.refunds()[0].returned), (Cents::new(1_200), Some(code("account_closed"))));
}
