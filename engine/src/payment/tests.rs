//! Given what was done, when this is asked, then this happens: one table per stage of a payment's life. Below, random commands against a naive recount.

use proptest::prelude::*;

use super::*;
use crate::channel::Channel;
use crate::ids::{MuseumId, PersonId, RouteId, SlotId};
use crate::ledger;
use crate::slot::{self, DeskMethod, Line};
use crate::tariff::Proof;
use crate::time::DAY_S;

const DUE: i64 = 1_800;

fn at(s: i64) -> Timestamp {
    Timestamp::from_seconds(1_780_000_000 + s)
}

fn code(text: &str) -> Code {
    text.parse().unwrap()
}

fn hold(n: u64) -> HoldId {
    HoldId::new(SlotId::new(MuseumId(1), RouteId(1), at(DAY_S)), n)
}

fn item(n: u64, count: u16, cents: i64) -> Item {
    let lines = vec![Line { category: code("full"), count, price_cents: Cents::new(cents), proof: Proof::None }];
    Item { hold: hold(n), amount_cents: slot::total(&lines), lines }
}

fn opened(gateway: Gateway, items: Vec<Item>, extra_cents: i64) -> Opened {
    let extras = Vec::from_iter((extra_cents > 0).then(|| Extra { code: code("fee"), count: 1, price_cents: Cents::new(extra_cents) }));
    let amount_cents = items.iter().map(|item| item.amount_cents).sum::<Cents>().plus(Cents::new(extra_cents));
    Opened {
        who: KeyId(7),
        order: None,
        quote: None,
        channel: Channel::Web,
        items,
        extras,
        amount_cents,
        payer: None,
        museum: MuseumId(1),
        subject: "Biglietti".to_owned(),
        gateway,
        due_at: at(DUE),
    }
}

/// Two items of 24 and 12 euros, and 3 euros of extras.
fn usual() -> Opened {
    opened(Gateway::Notice, vec![item(1, 2, 1_200), item(2, 1, 1_200)], 300)
}

fn open(opened: Opened) -> Command {
    Command::Open { opened: Box::new(opened) }
}

fn receipt(id: &str, source: Source, cents: i64) -> Receipt {
    let text = String::new;
    Receipt {
        id: id.to_owned(),
        source,
        amount_cents: Cents::new(cents),
        paid_at: at(0),
        psp: text(),
        channel: text(),
        method: text(),
        stand_in: false,
        fee_cents: None,
    }
}

fn money(id: &str, cents: i64) -> Command {
    Command::Receive { receipt: receipt(id, Source::Node, cents) }
}

fn desk(id: &str, cents: i64) -> Command {
    let source = Source::Desk { till: code("desk-1"), method: DeskMethod::Cash, reference: "R-1".to_owned() };
    Command::Receive { receipt: receipt(id, source, cents) }
}

fn fulfil(item: u16) -> Command {
    Command::Fulfil { item, sale: hold(u64::from(item) + 1) }
}

fn forgo(item: u16) -> Command {
    Command::Forgo { item, why: slot::Refusal::SlotClosed { reason: code("strike") } }
}

fn refund(n: u64, seq: u64, cents: i64) -> Command {
    Command::Refund { origin: hold(n), sale: hold(n), seq, amount_cents: Cents::new(cents) }
}

fn export(refund: u32) -> Command {
    Command::ExportRefund { refund, batch: code("sepa-1") }
}

fn confirm(refund: u32, by: PaidBackBy) -> Command {
    Command::ConfirmRefund { refund, by, reference: "TRN-1".to_owned(), executed_on: jiff::civil::date(2026, 6, 1) }
}

fn back(refund: u32) -> Command {
    Command::ReturnRefund { refund, why: code("account_closed") }
}

fn till() -> PaidBackBy {
    PaidBackBy::Till { till: code("desk-1"), method: DeskMethod::Cash }
}

fn cancel() -> Command {
    Command::Cancel { owner: Some(KeyId(7)), cause: code("buyer") }
}

fn close(closing: Closing) -> Command {
    Command::Close { closing, refused: None }
}

fn dispute() -> Command {
    Command::Dispute { reason: code("fraud"), reference: "CB-1".to_owned() }
}

fn resolve(upheld: bool) -> Command {
    Command::ResolveDispute { upheld, took: Took::default() }
}

/// A dispute that the payer's bank wins, of so much of the money of that receipt.
fn lose(receipt: Option<&str>, cents: Option<i64>) -> Command {
    let took = Took { receipt: receipt.map(str::to_owned), amount_cents: cents.map(Cents::new) };
    Command::ResolveDispute { upheld: true, took }
}

fn report(code: u8) -> Command {
    let reported = Reported { flow: "2026-06-01PSP-1".to_owned(), iur: "a".to_owned(), index: 1, amount_cents: Cents::new(3_900), code };
    Command::Report { reported }
}

/// A payment with all its records.
struct Given {
    payment: Payment,
    records: Vec<Record<Event>>,
}

impl Given {
    fn new() -> Self {
        Self { payment: Payment::new(PaymentId::new(1, 5)), records: Vec::new() }
    }

    fn write(&mut self, s: i64, events: Vec<Event>) {
        let record = self.payment.record(at(s), None, events);
        self.payment.apply(&record);
        assert_eq!(self.payment.recount(), Ok(()), "{record:?}");
        let lines = ledger::of_payment(&self.payment, &record);
        assert!(lines.iter().map(|line| line.amount_cents).sum::<Cents>().is_zero(), "{record:?} posts {lines:?}");
        self.records.push(record);
    }

    /// Does one command as the shell does: ends what is due, decides, applies, checks everything.
    fn ask(&mut self, s: i64, command: &Command) -> Result<Vec<Event>, Refusal> {
        let due = self.payment.due(at(s));
        if !due.is_empty() {
            self.write(s, due);
        }
        let events = self.payment.decide(at(s), command)?;
        self.write(s, events.clone());
        Ok(events)
    }

    fn of(commands: &[(i64, Command)]) -> Self {
        let mut given = Self::new();
        for (s, command) in commands {
            given.ask(*s, command).unwrap_or_else(|refusal| panic!("{command:?}: {refusal:?}"));
        }
        given
    }

    fn pending() -> Self {
        Self::of(&[(0, open(usual())), (1, Command::Publish)])
    }

    fn paid() -> Self {
        Self::of(&[(0, open(usual())), (1, Command::Publish), (2, money("a", 3_900))])
    }

    fn sold() -> Self {
        Self::of(&[(0, open(usual())), (1, Command::Publish), (2, money("a", 3_900)), (3, fulfil(0)), (3, fulfil(1))])
    }
}

fn names(events: &[Event]) -> Vec<&'static str> {
    let name = |event: &Event| match event {
        Event::Opened(_) => "opened",
        Event::Published(_) => "published",
        Event::PublishFailed(_) => "publish_failed",
        Event::Activated(_) => "activated",
        Event::Received(received) => {
            if received.pays {
                "paid"
            } else {
                "received"
            }
        }
        Event::Fulfilled(_) => "fulfilled",
        Event::Unfulfilled(_) => "unfulfilled",
        Event::RefundOpened(opened) => opened.why.name(),
        Event::RefundExported(_) => "exported",
        Event::RefundConfirmed(_) => "confirmed",
        Event::RefundReturned(_) => "returned",
        Event::RefundReleased(_) => "released",
        Event::PayeeSet(_) => "payee_set",
        Event::Cancelled(_) => "cancelled_payment",
        Event::Expired(_) => "expired",
        Event::Closed(_) => "closed",
        Event::Disputed(_) => "disputed",
        Event::DisputeResolved(_) => "dispute_resolved",
        Event::TakenBack(_) => "taken_back",
        Event::Reported(_) => "reported",
    };
    events.iter().map(name).collect()
}

/// A command at its time, and the names of its events or the code of its refusal.
type Row<'a> = (i64, Command, Result<&'a [&'a str], &'a str>);

/// Each command at its time to a copy of the given payment: the names of its events, or the code of its refusal.
fn table(given: impl Fn() -> Given, rows: &[Row]) {
    for (s, command, expected) in rows {
        let answer = given().ask(*s, command);
        let answer = answer.as_deref().map(names).map_err(Refusal::code);
        assert_eq!(answer, expected.map(<[&str]>::to_vec), "{command:?} at {s}");
    }
}

#[test]
fn what_may_be_opened() {
    let changed = |change: fn(&mut Opened)| {
        let mut opened = usual();
        change(&mut opened);
        open(opened)
    };
    let rows: &[Row] = &[
        (0, open(usual()), Ok(&["opened"])),
        (0, open(opened(Gateway::Free, vec![item(1, 2, 0)], 0)), Ok(&["opened", "paid"])),
        (0, open(opened(Gateway::Desk, vec![], 300)), Ok(&["opened"])),
        (0, open(opened(Gateway::Desk, vec![], 0)), Err("bad_items")),
        (0, open(opened(Gateway::Notice, vec![item(1, 1, 100), item(1, 1, 100)], 0)), Err("bad_items")),
        (0, open(opened(Gateway::Notice, vec![item(1, 1, -100), item(2, 1, 200)], 0)), Err("bad_items")),
        (0, open(opened(Gateway::Notice, vec![item(1, 0, 100), item(2, 1, 200)], 0)), Err("bad_items")),
        (0, open(opened(Gateway::Notice, vec![], 100_000_000_000)), Err("bad_items")),
        (0, open(opened(Gateway::Notice, vec![], 99_999_999_999)), Ok(&["opened"])),
        (0, open(opened(Gateway::Notice, (0..65).map(|n| item(n, 1, 1)).collect(), 0)), Err("bad_items")),
        (0, open(opened(Gateway::Notice, (0..64).map(|n| item(n, 1, 1)).collect(), 0)), Ok(&["opened"])),
        (0, changed(|opened| opened.amount_cents = Cents::new(3_901)), Err("bad_items")),
        (0, changed(|opened| opened.items[0].amount_cents = Cents::new(1)), Err("bad_items")),
        (0, changed(|opened| opened.items[0].lines.clear()), Err("bad_items")),
        (0, changed(|opened| opened.extras[0].count = 0), Err("bad_items")),
        (0, changed(|opened| (opened.extras[0].price_cents, opened.amount_cents) = (Cents::new(-1), Cents::new(3_599))), Err("bad_items")),
        (0, changed(|opened| (opened.extras, opened.amount_cents) = (vec![opened.extras[0].clone(); 65], Cents::new(23_100))), Err("bad_items")),
        (0, changed(|opened| opened.subject = " ".to_owned()), Err("bad_subject")),
        (0, changed(|opened| opened.subject = "à".repeat(141)), Err("bad_subject")),
        (0, changed(|opened| opened.subject = "Caffè al Museo".repeat(10)), Ok(&["opened"])),
        (0, changed(|opened| opened.gateway = Gateway::Free), Err("gateway_mismatch")),
        (0, open(opened(Gateway::Notice, vec![item(1, 2, 0)], 0)), Err("gateway_mismatch")),
        (0, Command::Publish, Err("unknown_payment")),
        (0, money("a", 3_900), Err("unknown_payment")),
    ];
    table(Given::new, rows);
}

/// It is paid, and its tickets are out; it is one sale, and nothing beside that.
#[test]
fn what_a_desk_sold_is_taken_over_as_it_was_sold() {
    let sold = |gateway, items, extra_cents| {
        let opened = Box::new(opened(gateway, items, extra_cents));
        Command::TakeOver { opened, sale: hold(1), sold_at: at(-9) }
    };
    let usual = || sold(Gateway::Desk, vec![item(1, 2, 1_200)], 0);
    table(
        Given::new,
        &[
            (0, usual(), Ok(&["opened", "paid", "fulfilled"])),
            (0, sold(Gateway::Desk, vec![item(2, 2, 1_200)], 0), Err("bad_items")),
            (0, sold(Gateway::Desk, vec![item(1, 2, 1_200), item(2, 1, 1_200)], 0), Err("bad_items")),
            (0, sold(Gateway::Desk, vec![item(1, 2, 1_200)], 300), Err("bad_items")),
            (0, sold(Gateway::Notice, vec![item(1, 2, 1_200)], 0), Err("bad_items")),
        ],
    );
    table(
        || Given::of(&[(0, usual())]),
        &[
            (1, usual(), Err("id_taken")),
            (1, refund(1, 9, 2_400), Ok(&["cancelled"])),
            (1, refund(1, 9, 2_401), Err("refund_too_large")),
            (1, desk("a", 2_400), Ok(&["received", "double_payment"])),
        ],
    );
}

#[test]
fn until_money_comes() {
    let created = || Given::of(&[(0, open(usual()))]);
    let failed = || Given::of(&[(0, open(usual())), (0, Command::FailPublish { code: code("iban") })]);
    let activate = |s| Command::Activate { until: at(s) };
    let other = Command::Cancel { owner: Some(KeyId(8)), cause: code("buyer") };
    table(
        created,
        &[
            (1, Command::Publish, Ok(&["published"])),
            (1, Command::FailPublish { code: code("iban") }, Ok(&["publish_failed"])),
            (1, open(usual()), Err("id_taken")),
            (1, activate(100), Err("not_published")),
            (1, cancel(), Ok(&["cancelled_payment"])),
            (1, other, Err("unknown_payment")),
            (1, fulfil(0), Err("not_paid")),
            (1, forgo(0), Err("not_paid")),
            (1, fulfil(2), Err("unknown_item")),
            (1, refund(1, 1, 1), Err("unknown_sale")),
            (1, close(Closing::Withdrawn), Err("not_closing")),
            (1, dispute(), Err("not_paid")),
            (DUE, Command::Publish, Err("payment_expired")),
        ],
    );
    table(
        Given::pending,
        &[
            (2, Command::Publish, Ok(&["published"])),
            (2, Command::FailPublish { code: code("iban") }, Err("not_paid")),
            (2, activate(100), Ok(&["activated"])),
            (DUE - 1, activate(DUE + 1_800), Ok(&["activated"])),
            (DUE, activate(DUE + 1_800), Err("payment_expired")),
            (2, cancel(), Ok(&["cancelled_payment"])),
            (DUE, cancel(), Err("payment_expired")),
        ],
    );
    table(
        failed,
        &[
            (1, Command::Publish, Err("payment_failed")),
            (1, activate(100), Err("payment_failed")),
            (1, cancel(), Ok(&["cancelled_payment"])),
            (DUE, cancel(), Ok(&["cancelled_payment"])),
            (1, money("a", 3_900), Ok(&["paid"])),
        ],
    );
}

#[test]
fn money_is_taken_whatever_the_payment_has_become() {
    let cancelled = || Given::of(&[(0, open(usual())), (1, Command::Publish), (1, cancel())]);
    let rows: &[Row] = &[
        (2, money("a", 3_900), Ok(&["paid"])),
        (2, money("a", 3_899), Ok(&["received", "amount_too_small"])),
        (2, money("a", 4_000), Ok(&["paid", "excess"])),
        (2, desk("a", 3_900), Ok(&["paid"])),
        (DUE + DAY_S, money("a", 3_900), Ok(&["paid"])),
        (2, money("a", 0), Err("bad_receipt")),
        (2, money("", 3_900), Err("bad_receipt")),
        (2, money(&"x".repeat(36), 3_900), Err("bad_receipt")),
        (2, money(&"x".repeat(35), 3_900), Ok(&["paid"])),
        (2, Command::Receive { receipt: Receipt { psp: "x".repeat(281), ..receipt("a", Source::Node, 1) } }, Err("bad_receipt")),
        (2, Command::Receive { receipt: receipt("a", Source::Report, 3_900) }, Ok(&["paid"])),
        (2, Command::Receive { receipt: receipt("a", Source::Free, 3_900) }, Err("source_not_allowed")),
        (2, Command::Receive { receipt: receipt("a", Source::Sale { sale: hold(1) }, 3_900) }, Err("source_not_allowed")),
        (2, Command::Receive { receipt: receipt("a", Source::Voucher { voucher: VoucherId(1) }, 3_900) }, Err("source_not_allowed")),
        (
            2,
            Command::Receive { receipt: receipt("a", Source::Desk { till: code("d"), method: DeskMethod::Card, reference: String::new() }, 1) },
            Err("bad_reference"),
        ),
    ];
    table(Given::pending, rows);
    table(cancelled, rows);
    let at_desk = || Given::of(&[(0, open(Opened { gateway: Gateway::Desk, ..usual() }))]);
    table(at_desk, &[(1, money("a", 3_900), Err("source_not_allowed")), (1, desk("a", 3_900), Ok(&["paid"]))]);
    let [this, other] = [1, 2].map(VoucherId);
    let with_voucher = || Given::of(&[(0, open(Opened { gateway: Gateway::Voucher { voucher: this }, ..usual() }))]);
    let by = |voucher| Command::Receive { receipt: receipt("a", Source::Voucher { voucher }, 3_900) };
    table(
        with_voucher,
        &[(1, by(this), Ok(&["paid"])), (1, by(other), Err("source_not_allowed")), (1, money("a", 3_900), Err("source_not_allowed"))],
    );
    table(
        Given::paid,
        &[
            (3, money("a", 3_900), Err("receipt_duplicate")),
            (3, desk("a", 1), Err("receipt_duplicate")),
            (3, money("b", 3_900), Ok(&["received", "double_payment"])),
            (3, desk("b", 100), Ok(&["received", "double_payment"])),
            (3, cancel(), Err("already_paid")),
            (3, Command::Publish, Err("already_paid")),
            (3, Command::Activate { until: at(10) }, Err("already_paid")),
            (3, close(Closing::PaidElsewhere), Err("not_closing")),
        ],
    );
    let too_little = || Given::of(&[(0, open(usual())), (1, Command::Publish), (2, money("a", 5))]);
    table(too_little, &[(3, money("a", 3_900), Err("receipt_duplicate")), (3, money("b", 3_900), Ok(&["paid"])), (3, fulfil(0), Err("not_paid"))]);
}

#[test]
fn each_item_ends_once_and_extras_go_with_the_tickets() {
    table(
        Given::paid,
        &[(3, fulfil(0), Ok(&["fulfilled"])), (3, forgo(1), Ok(&["unfulfilled", "unfulfilled"])), (3, fulfil(2), Err("unknown_item"))],
    );
    table(Given::sold, &[(4, fulfil(0), Err("item_ended")), (4, forgo(1), Err("item_ended"))]);
    // None of them: the extras too.
    let mut none = Given::paid();
    none.ask(3, &forgo(1)).unwrap();
    assert_eq!(none.ask(3, &forgo(0)).as_deref().map(names), Ok(vec!["unfulfilled", "unfulfilled", "extras"]));
    assert_eq!((none.payment.money().owed, none.payment.refunded()), (Cents::new(3_900), Refunded::Whole));
    // One of them: they are earned.
    let mut one = Given::paid();
    one.ask(3, &fulfil(1)).unwrap();
    assert_eq!(one.ask(3, &forgo(0)).as_deref().map(names), Ok(vec!["unfulfilled", "unfulfilled"]));
    assert_eq!((one.payment.money().owed, one.payment.money().extras, one.payment.refunded()), (Cents::new(2_400), Cents::new(300), Refunded::Part));
    // Nothing but extras, or nothing at all.
    let begun = || (0, open(opened(Gateway::Desk, vec![], 300)));
    table(|| Given::of(&[begun()]), &[(1, desk("a", 299), Ok(&["received", "amount_too_small"])), (1, desk("a", 300), Ok(&["paid"]))]);
    table(|| Given::of(&[begun(), (1, desk("a", 300))]), &[(2, desk("b", 300), Ok(&["received", "double_payment"]))]);
    let extras = Given::of(&[(0, open(opened(Gateway::Desk, vec![], 300))), (1, desk("a", 400))]);
    assert_eq!((extras.payment.money().extras, extras.payment.work()), (Cents::new(300), Work::default()));
    assert_eq!(extras.payment.refunded(), Refunded::None, "what came too much was never due");
    let mut free = Given::of(&[(0, open(opened(Gateway::Free, vec![item(1, 2, 0), item(2, 1, 0)], 0))), (1, fulfil(0))]);
    assert_eq!(free.ask(1, &forgo(1)).as_deref().map(names), Ok(vec!["unfulfilled"]));
}

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

#[test]
fn it_expires_when_nobody_can_pay_any_more() {
    let mut given = Given::pending();
    assert_eq!(given.payment.wake_at(), Some(at(DUE)));
    given.ask(DUE - 10, &Command::Activate { until: at(DUE + 1_790) }).unwrap();
    assert_eq!(given.payment.wake_at(), Some(at(DUE + 1_790)));
    // A shorter token does not end the longer one; none lives longer than it counts.
    given.ask(DUE - 9, &Command::Activate { until: at(DUE) }).unwrap();
    assert_eq!(given.payment.active_until(), Some(at(DUE + 1_790)));
    given.ask(DUE - 9, &Command::Activate { until: at(DUE + 99_999) }).unwrap();
    assert_eq!(given.payment.active_until(), Some(at(DUE - 9 + TOKEN_S_MAX)));
    // It can no longer be started, but who has started may end.
    assert_eq!(given.payment.payable(at(DUE)), Err(Refusal::PaymentExpired { due_at: at(DUE) }));
    assert_eq!(given.payment.due(at(DUE)), []);
    let expired = given.payment.due(at(DUE - 9 + TOKEN_S_MAX));
    assert_eq!(names(&expired), ["expired"]);
    given.write(DUE - 9 + TOKEN_S_MAX, expired);
    assert_eq!((given.payment.wake_at(), given.payment.stage().name()), (None, "expired"));
}

#[test]
fn who_begins_to_pay_again_at_once_is_noted_once() {
    let mut given = Given::pending();
    assert_eq!(given.payment.activates(at(2), at(0)), Ok(true), "the first is noted, whatever they are given");
    given.ask(10, &Command::Activate { until: at(1_000) }).unwrap();
    for (s, until, expected) in [(10, 1_000, false), (20, 1_010, false), (70, 1_060, false), (71, 1_061, true), (10, TOKEN_S_MAX * 2, true)] {
        assert_eq!(given.payment.activates(at(s), at(until)), Ok(expected), "at {s} until {until}");
    }
    // None lives longer than it counts, and so is not noted again for being given more.
    given.ask(10, &Command::Activate { until: at(TOKEN_S_MAX * 2) }).unwrap();
    assert_eq!(given.payment.activates(at(70), at(TOKEN_S_MAX * 2)), Ok(false));
    assert_eq!(given.payment.activates(at(DUE), at(DUE + 9)), Err(Refusal::PaymentExpired { due_at: at(DUE) }));
}

#[test]
fn what_is_left_to_do_is_known_at_every_step() {
    let mut given = Given::new();
    let mut work = |s: i64, command: Command| {
        given.ask(s, &command).unwrap();
        let work = given.payment.work();
        (work.publish, work.close, work.items)
    };
    assert_eq!(work(0, open(usual())), (true, None, vec![]));
    assert_eq!(work(1, Command::Publish), (false, None, vec![]));
    assert_eq!(work(2, cancel()), (false, Some(Closing::Withdrawn), vec![]));
    assert_eq!(work(3, desk("a", 3_900)), (false, Some(Closing::PaidElsewhere), vec![0, 1]));
    assert_eq!(work(4, close(Closing::PaidElsewhere)), (false, None, vec![0, 1]));
    assert_eq!(work(5, fulfil(1)), (false, None, vec![0]));
    assert_eq!(work(5, forgo(0)), (false, None, vec![]));
    // Expired, and told; then the node says that it was paid all the same.
    let mut late = Given::pending();
    late.write(DUE, late.payment.due(at(DUE)));
    late.ask(DUE, &close(Closing::Withdrawn)).unwrap();
    assert_eq!(late.ask(DUE, &close(Closing::Withdrawn)), Err(Refusal::NotClosing));
    assert!(late.payment.work().is_done() && late.payment.closed().is_some());
    late.ask(DUE + 1, &money("a", 3_900)).unwrap();
    assert_eq!(late.payment.work(), Work { items: vec![0, 1], ..Work::default() });
    // A voucher: its money goes back to it, other money does not.
    let voucher = VoucherId(4);
    let by_voucher = Command::Receive { receipt: receipt("v", Source::Voucher { voucher }, 3_900) };
    let mut given = Given::of(&[(0, open(Opened { gateway: Gateway::Voucher { voucher }, ..usual() })), (1, by_voucher.clone()), (2, desk("b", 1))]);
    for item in [0, 1] {
        given.ask(3, &forgo(item)).unwrap();
    }
    let back: Vec<_> = given.payment.work().vouchers.iter().map(|(number, _, cents)| (*number, cents.get())).collect();
    assert_eq!(back, [(1, 2_400), (2, 1_200), (3, 300)]);
    for otherwise in [export(1), confirm(1, PaidBackBy::Transfer), confirm(1, till())] {
        assert_eq!(given.ask(4, &otherwise), Err(Refusal::SourceNotAllowed), "the voucher takes it back, and nobody pays it twice");
    }
    given.ask(4, &confirm(1, PaidBackBy::Voucher { voucher })).unwrap();
    assert_eq!(given.ask(4, &confirm(1, till())), Err(Refusal::RefundNotOpen));
    assert_eq!(given.ask(4, &confirm(2, PaidBackBy::Voucher { voucher: VoucherId(5) })), Err(Refusal::RefundNotOpen));
    // Paid at a desk: the voucher may have been redeemed in the same moment.
    let mut given = Given::of(&[(0, open(Opened { gateway: Gateway::Voucher { voucher }, ..usual() })), (1, desk("b", 3_900))]);
    assert_eq!(given.payment.work().close, Some(Closing::Withdrawn));
    given.ask(2, &by_voucher).unwrap();
    assert_eq!((given.payment.work().vouchers.len(), given.payment.work().close), (1, Some(Closing::Withdrawn)));
    // So it may when the payment is called off; a desk is told nothing.
    for (gateway, expected) in [(Gateway::Voucher { voucher }, Some(Closing::Withdrawn)), (Gateway::Desk, None)] {
        let given = Given::of(&[(0, open(Opened { gateway, ..usual() })), (1, cancel())]);
        assert_eq!(given.payment.work().close, expected, "{gateway:?}");
    }
}

/// Whoever knows a payment sells and gives back nothing that it may still make tickets of.
#[test]
fn what_holds_it_needs_is_known_at_every_step() {
    let mut given = Given::new();
    let mut needs = |command: Command| {
        given.ask(1, &command).unwrap();
        [1, 2, 3].map(|n| given.payment.needs(hold(n)))
    };
    for (command, expected) in [
        (open(usual()), [true, true, false]),
        (Command::Publish, [true, true, false]),
        (cancel(), [false, false, false]),
        // Money comes all the same.
        (money("a", 3_900), [true, true, false]),
        (fulfil(0), [false, true, false]),
        (forgo(1), [false, false, false]),
    ] {
        assert_eq!(needs(command.clone()), expected, "{command:?}");
    }
}

/// A caller who asks again is answered with what has come of the request by itself, and not with what others did since.
#[test]
fn what_comes_of_the_request_that_began_it_goes_on() {
    let voucher = VoucherId(4);
    let pays = || Command::Receive { receipt: receipt("v", Source::Voucher { voucher }, 3_900) };
    for (commands, expected) in [
        (vec![Command::Publish], true),
        (vec![Command::FailPublish { code: code("iban") }], true),
        (vec![cancel()], false),
        (vec![cancel(), close(Closing::Withdrawn)], true),
        (vec![pays()], true),
        (vec![desk("a", 3_900)], false),
        (vec![pays(), fulfil(0)], true),
        (vec![pays(), fulfil(0), refund(1, 9, 1_200)], false),
        (vec![pays(), forgo(0)], true),
        (vec![pays(), forgo(0), confirm(0, PaidBackBy::Voucher { voucher })], true),
        (vec![desk("a", 3_900), forgo(0), confirm(0, till())], false),
    ] {
        let mut given = Given::of(&[(0, open(Opened { gateway: Gateway::Voucher { voucher }, ..usual() }))]);
        for command in &commands {
            given.ask(1, command).unwrap();
        }
        let last = given.records.last().unwrap();
        assert_eq!(given.payment.goes_on(last), expected, "{commands:?}");
    }
}

#[test]
fn what_the_station_may_say() {
    let payable = Payable { amount_cents: Cents::new(3_900), due_at: at(DUE) };
    let mut cancelled = Given::pending();
    cancelled.ask(2, &cancel()).unwrap();
    let failed = Given::of(&[(0, open(usual())), (0, Command::FailPublish { code: code("iban") })]);
    for (given, s, expected) in [
        (Given::new(), 0, Err("unknown_payment")),
        (Given::of(&[(0, open(usual()))]), 1, Err("not_published")),
        (Given::pending(), 2, Ok(payable)),
        (Given::pending(), DUE, Err("payment_expired")),
        (Given::paid(), 3, Err("already_paid")),
        (cancelled, 3, Err("payment_cancelled")),
        (failed, 3, Err("payment_failed")),
    ] {
        assert_eq!(given.payment.payable(at(s)).map_err(|refusal| refusal.code()), expected);
    }
}

#[test]
fn what_no_payment_would_do_is_found() {
    let broken = |given: Given, s: i64, events: Vec<Event>| {
        let mut payment = given.payment;
        payment.apply(&Record { seq: payment.seq() + 1, at: at(s), envelope: None, events });
        payment.recount().map_err(|broken| broken.invariant)
    };
    let received = |id: &str, pays| Event::Received(Received { receipt: receipt(id, Source::Node, 3_900), pays, extras_cents: Cents::ZERO });
    let refunded = |cents, why| Event::RefundOpened(RefundOpened { refund: 0, amount_cents: Cents::new(cents), why, receipt: 0 });
    let of = |seq| RefundReason::Cancelled { item: 0, sale: hold(1), seq };
    let taken = |cents| Event::Fulfilled(Fulfilled { item: 0, sale: hold(1), amount_cents: Cents::new(cents), extras_cents: Cents::ZERO });
    for (expected, given, s, events) in [
        ("PY-1", Given::paid(), 3, vec![taken(9_999)]),
        ("PY-1", Given::paid(), 3, vec![taken(2_300)]),
        ("PY-1", Given::pending(), 3, vec![received("a", false)]),
        ("PY-2", Given::paid(), 3, vec![received("a", true)]),
        ("PY-3", Given::paid(), 3, vec![Event::Unfulfilled(Unfulfilled { item: 0, why: slot::Refusal::UnknownHold })]),
        ("PY-4", Given::sold(), 4, vec![refunded(2_500, of(1))]),
        ("PY-4", Given::sold(), 4, vec![refunded(100, of(1)), refunded(100, of(1))]),
        ("PY-1", Given::sold(), 4, vec![Event::TakenBack(TakenBack { receipt: 0, amount_cents: Cents::new(3_901) })]),
        ("PY-5", Given::paid(), 1, vec![Event::Activated(Activated { until: at(9) })]),
    ] {
        assert_eq!(broken(given, s, events), Err(expected));
    }
}

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
