//! Given what was done, when this is asked, then this happens: one table per stage of a payment's life. Here are the words of all tables, and a payment from its opening to
//! its tickets. Below: money that goes back (`refunds`), what payers' banks take (`disputes`), and random commands against a naive recount (`model`).

mod disputes;
mod model;
mod refunds;

use super::*;
use crate::channel::Channel;
use crate::ids::{MuseumId, RouteId, SlotId};
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
