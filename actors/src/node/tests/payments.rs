//! Payments over slots: in time, late, too late, twice, too much and too little; stopped after every step in turn every cent is in one place, and every ticket
//! was sold once.

use std::collections::BTreeMap;
use std::time::Duration;

use tornello_engine::ids::{OrderId, PaymentId, VoucherId};
use tornello_engine::ledger::{self, Account};
use tornello_engine::order;
use tornello_engine::payment::{self, ItemEnd, Money, Payment, Receipt, RefundReason, Source, Stage};
use tornello_engine::slot::CancelCause;
use tornello_engine::voucher;

use super::limits::{an_hour_later, has, limit_day, of};
use super::streams::Watched;
use super::*;
use crate::journal::wire;
use crate::moves::move_tickets;
use crate::payments::{self, Cart, Confirmation, Gateway, GatewayError, Request, drive, receive, resume};

/// What the gateway was told; the next answers, if not yes.
#[derive(Default)]
struct Told {
    heard: Mutex<Vec<(&'static str, PaymentId)>>,
    answers: Mutex<VecDeque<GatewayError>>,
    /// Whether it never answers.
    hangs: AtomicBool,
}

impl Told {
    fn answer(&self, what: &'static str, id: PaymentId) -> BoxFuture<'_, Result<(), GatewayError>> {
        if self.hangs.load(Ordering::Relaxed) {
            return Box::pin(std::future::pending());
        }
        let answer = self.answers.lock().pop_front().map_or(Ok(()), Err);
        if answer.is_ok() {
            self.heard.lock().push((what, id));
        }
        Box::pin(std::future::ready(answer))
    }

    fn words(&self) -> Vec<&'static str> {
        self.heard.lock().iter().map(|(what, _)| *what).collect()
    }
}

impl Gateway for Told {
    fn publish<'a>(&'a self, id: PaymentId, _: &'a payment::Opened) -> BoxFuture<'a, Result<(), GatewayError>> {
        self.answer("publish", id)
    }
    fn withdraw(&self, id: PaymentId) -> BoxFuture<'_, Result<(), GatewayError>> {
        self.answer("withdraw", id)
    }
    fn paid_elsewhere<'a>(&'a self, id: PaymentId, _: &'a Receipt) -> BoxFuture<'a, Result<(), GatewayError>> {
        self.answer("paid_elsewhere", id)
    }
    fn checkout<'a>(&'a self, cart: &'a Cart) -> BoxFuture<'a, Result<String, GatewayError>> {
        Box::pin(std::future::ready(Ok(format!("https://checkout.example/{}", cart.payments.len()))))
    }
}

struct Shop {
    house: House,
    gateway: Arc<Told>,
}

impl Shop {
    async fn on(journal: Arc<dyn Journal>) -> Self {
        let (house, gateway) = (House::on(journal).await, Arc::new(Told::default()));
        assert!(house.node().connect(Arc::clone(&gateway) as _));
        Self { house, gateway }
    }

    async fn new() -> Self {
        let shop = Self::on(Arc::new(MemoryJournal::default())).await;
        open_museum(shop.node()).await;
        shop
    }

    fn node(&self) -> &Arc<Node> {
        self.house.node()
    }

    async fn stop(self) {
        self.house.running.stop().await;
    }

    /// Holds so many places, and a notice for them.
    async fn due(&self, n: u64, count: u16) -> PaymentId {
        self.house.ask(u128::from(n), hold(n, count)).await.unwrap();
        payments::begin(self.node(), by(100 + u128::from(n)), request(&[n])).await.unwrap()
    }

    /// Takes money in, and waits until everything that follows is done.
    async fn pay(&self, id: PaymentId, receipt: Receipt) -> payments::Step<()> {
        receive(self.node(), id, receipt).await?;
        self.settle().await;
        Ok(())
    }

    async fn settle(&self) {
        assert_eq!(resume(self.node()).await, 0);
    }

    async fn payment(&self, id: PaymentId) -> Payment {
        self.node().look_payment(id, Clone::clone).await.unwrap()
    }

    /// Where its money is: unallotted, tickets, owed, paid back.
    async fn money(&self, id: PaymentId) -> [i64; 4] {
        let payment = self.payment(id).await;
        assert_eq!(payment.recount(), Ok(()));
        let Money { unallotted, tickets, owed, paid_back, .. } = *payment.money();
        [unallotted, tickets, owed, paid_back].map(Cents::get)
    }

    /// What is free once nobody is served any more who must not be.
    async fn fill(&self, n: u64) {
        let taken = self.house.taken() as u16;
        if taken < 20 {
            self.house.ask(900 + u128::from(n), sell(900 + n, 20 - taken)).await.unwrap();
        }
    }
}

fn request(holds: &[u64]) -> Request {
    Request {
        creditor: 1,
        order: None,
        quote: None,
        holds: holds.iter().map(|&n| HoldId::new(tomorrow(), n)).collect(),
        owner: Some(KeyId(7)),
        channel: Channel::Web,
        extras: Vec::new(),
        payer: None,
        museum: MUSEUM,
        subject: "Biglietti".to_owned(),
        gateway: payment::Gateway::Notice,
        due_at: now().plus_seconds(1_800),
    }
}

fn receipt(id: &str, source: Source, cents: i64) -> Receipt {
    let text = String::new;
    let (id, amount_cents) = (id.to_owned(), Cents::new(cents));
    Receipt { id, source, amount_cents, paid_at: now(), psp: text(), channel: text(), method: text(), stand_in: false, fee_cents: None }
}

fn node_says(id: &str, cents: i64) -> Receipt {
    receipt(id, Source::Node, cents)
}

fn desk() -> Source {
    Source::Desk { till: code("desk-1"), method: DeskMethod::Cash, reference: "R-1".to_owned() }
}

fn cancel_sale(sale: HoldId, tickets: &[u16]) -> Command {
    Command::Cancel { sale, owner: None, tickets: tickets.to_vec(), cause: CancelCause::Museum }
}

fn whys(payment: &Payment) -> Vec<(&'static str, i64)> {
    payment.refunds().iter().map(|refund| (refund.why.name(), refund.amount_cents.get())).collect()
}

/// What each account comes to, over the whole journal.
pub(super) async fn balances(node: &Node) -> BTreeMap<Account, i64> {
    let mut lines = Vec::new();
    for batch in node.journal().batches(0, u32::MAX).await.unwrap() {
        for frame in wire::frames(&batch.records) {
            let frame = frame.unwrap();
            match frame.stream {
                StreamId::Slot(id) => {
                    let record = frame.record().unwrap();
                    lines.extend(ledger::of_slot(id, &record));
                }
                StreamId::Account(_) => {
                    let record = frame.record().unwrap();
                    let account = node.look_account(code("tours"), move |account| ledger::of_account(account, &record)).await;
                    lines.extend(account.unwrap());
                }
                StreamId::Voucher(_) => lines.extend(ledger::of_voucher(&frame.record().unwrap())),
                StreamId::Payment(id) => {
                    let record = frame.record().unwrap();
                    lines.extend(node.look_payment(id, move |payment| ledger::of_payment(payment, &record)).await.unwrap());
                }
                _ => {}
            }
        }
    }
    let mut balances = BTreeMap::new();
    lines.iter().for_each(|line| *balances.entry(line.account).or_default() += line.amount_cents.get());
    balances.retain(|_, cents| *cents != 0);
    balances
}

#[actix_rt::test]
async fn nothing_is_sold_while_it_cannot_be_read_what_was_said_of_its_payment() {
    let journal = Arc::new(Watched::default());
    let shop = Shop::on(Arc::clone(&journal) as _).await;
    open_museum(shop.node()).await;
    let id = shop.due(1, 3).await;
    let sold = || async { shop.node().look(tomorrow(), |slot| slot.sale_of(HoldId::new(tomorrow(), 1)).is_some()).await.unwrap() };
    journal.lose_payments();
    receive(shop.node(), id, node_says("a", 3_600)).await.unwrap();
    assert!(drive(shop.node(), id).await.is_err(), "a review that is due would be lost");
    assert!(!sold().await);
    journal.find();
    shop.settle().await;
    assert!(sold().await);
    shop.stop().await;
}

#[actix_rt::test]
async fn paid_in_time_it_is_a_sale() {
    let shop = Shop::new().await;
    let id = shop.due(1, 3).await;
    let payment = shop.payment(id).await;
    assert_eq!((payment.stage(), payment.payable(now()).map(|payable| payable.amount_cents)), (Stage::Pending, Ok(Cents::new(3_600))));
    // The places are kept until it can no longer be started, not only as long as a hold lives.
    let until = async || shop.node().look(tomorrow(), |slot| slot.hold_of(HoldId::new(tomorrow(), 1)).map(|hold| hold.expires_at)).await.unwrap();
    assert_eq!(until().await, Some(now().plus_seconds(1_800)));
    payments::activate(shop.node(), id, now().plus_seconds(3_000)).await.unwrap();
    assert_eq!(until().await, Some(now().plus_seconds(3_000)));
    shop.house.clock.set(now().plus_seconds(2_900));
    shop.pay(id, node_says("t1", 3_600)).await.unwrap();
    let (payment, sale) = (shop.payment(id).await, HoldId::new(tomorrow(), 1));
    assert_eq!(payment.items(), [ItemEnd::Sold { sale, refunded_cents: Cents::ZERO }]);
    let sold = shop.node().look(tomorrow(), move |slot| slot.sale_of(sale).map(|sale| (sale.settlement.clone(), sale.who))).await.unwrap();
    assert_eq!(sold, Some((Settlement::Payment { id }, KeyId(7))));
    assert_eq!((shop.house.taken(), shop.money(id).await), (3, [0, 3_600, 0, 0]));
    assert_eq!((shop.gateway.words(), shop.node().payments().heads()), (vec!["publish"], vec![]), "it is finished and leaves the memory");
    assert_eq!(balances(shop.node()).await.into_values().collect::<Vec<_>>(), [3_600, -3_600]);
    shop.stop().await;
}

#[actix_rt::test]
async fn a_repeat_of_the_key_is_the_same_payment_and_ids_that_nobody_opened_do_not_exist() {
    let shop = Shop::new().await;
    let id = shop.due(1, 3).await;
    assert_eq!(payments::begin(shop.node(), by(101), request(&[1])).await, Ok(id));
    let other = Envelope { body: Digest(0), ..by(101) };
    assert_eq!(payments::begin(shop.node(), other, request(&[1])).await, Err(Failure::KeyReused));
    let unknown = PaymentId::new(1, 77);
    let answer = receive(shop.node(), unknown, node_says("t", 1)).await;
    assert_eq!(answer, Err(Failure::Refused(payments::Refusal::Payment(payment::Refusal::UnknownPayment))));
    assert_eq!((shop.node().payment_owners.len(), shop.gateway.words()), (1, vec!["publish"]));
    // A hold of somebody else, or none, is not paid for.
    let begin = async |key, request| payments::begin(shop.node(), by(key), request).await;
    let slot = |n, why| Err(Failure::Refused(payments::Refusal::Slot { hold: HoldId::new(tomorrow(), n), why }));
    assert_eq!(begin(201, Request { owner: Some(KeyId(8)), ..request(&[1]) }).await, slot(1, Refusal::UnknownHold));
    assert_eq!(begin(202, request(&[1, 9])).await, slot(9, Refusal::UnknownHold));
    let free = Request { gateway: payment::Gateway::Free, ..request(&[1]) };
    let mismatch = payment::Refusal::GatewayMismatch { due_cents: Cents::new(3_600) };
    assert_eq!(begin(203, free).await, Err(Failure::Refused(payments::Refusal::Payment(mismatch))));
    shop.stop().await;
}

#[actix_rt::test]
async fn late_money_buys_places_anew_or_is_owed() {
    for sold_out in [false, true] {
        let shop = Shop::new().await;
        let id = shop.due(1, 3).await;
        shop.house.clock.set(now().plus_seconds(1_800));
        shop.node().wake_due().await;
        shop.house.ask(2, hold(2, 1)).await.unwrap();
        shop.settle().await;
        let payment = shop.payment(id).await;
        assert_eq!((payment.stage().name(), shop.gateway.words()), ("expired", vec!["publish", "withdraw"]));
        assert_eq!(shop.node().payments().heads(), []);
        if sold_out {
            shop.fill(1).await;
        }
        shop.pay(id, node_says("t1", 3_600)).await.unwrap();
        let payment = shop.payment(id).await;
        if sold_out {
            let short = Refusal::NotEnoughPlaces { asked: 3, available: 0, limited_by: slot::LimitedBy::Capacity };
            assert_eq!(payment.items(), [ItemEnd::PaidBack { why: short }]);
            assert_eq!((shop.money(id).await, whys(&payment)), ([0, 0, 3_600, 0], vec![("unfulfilled", 3_600)]));
            assert_eq!(shop.node().payments().head(id).map(|head| head.owed), Some(1), "an operator has to pay back");
        } else {
            let [ItemEnd::Sold { sale, .. }] = payment.items() else { panic!("{:?}", payment.items()) };
            let sale = *sale;
            assert_ne!(sale, HoldId::new(tomorrow(), 1));
            let who = shop.node().look(tomorrow(), move |slot| slot.sale_of(sale).map(|sale| sale.who)).await.unwrap();
            assert_eq!((who, shop.house.taken(), shop.money(id).await), (Some(KeyId(7)), 4, [0, 3_600, 0, 0]));
        }
        shop.stop().await;
    }
}

/// Buyer 7 holds three places, begins to pay for them, and lets both go.
async fn let_go(shop: &Shop) -> PaymentId {
    shop.node().slot(tomorrow(), of(1, Some(7)), hold(1, 3)).await.unwrap();
    let id = payments::begin(shop.node(), by(101), request(&[1])).await.unwrap();
    shop.house.clock.set(now().plus_seconds(1_800));
    shop.node().wake_due().await;
    shop.node().look(tomorrow(), |_| ()).await.unwrap();
    shop.settle().await;
    id
}

/// Who lets places go and pays late is asked as if they bought them now, and has them counted.
#[actix_rt::test]
async fn late_money_buys_anew_no_more_than_its_buyer_may_have() {
    for meanwhile in [0, 2] {
        let shop = Shop::new().await;
        limit_day(shop.node(), 4).await;
        let id = let_go(&shop).await;
        assert_eq!((shop.payment(id).await.stage().name(), has(shop.node(), 7)), ("expired", 0));
        if meanwhile > 0 {
            let other = Command::Hold { hold: HoldId::new(an_hour_later(), 1), channel: Channel::Web, lines: lines(meanwhile) };
            shop.node().slot(an_hour_later(), of(2, Some(7)), other).await.unwrap();
        }
        shop.pay(id, node_says("t1", 3_600)).await.unwrap();
        let payment = shop.payment(id).await;
        if meanwhile > 0 {
            assert_eq!(payment.items(), [ItemEnd::PaidBack { why: Refusal::TooManyForDay { max: 4, has: 2 } }]);
            assert_eq!((shop.money(id).await, has(shop.node(), 7)), ([0, 0, 3_600, 0], 2));
        } else {
            let [ItemEnd::Sold { sale, .. }] = payment.items() else { panic!("{:?}", payment.items()) };
            let sale = *sale;
            assert_ne!(sale, HoldId::new(tomorrow(), 1));
            let buyer = shop.node().look(tomorrow(), move |slot| slot.sale_of(sale).and_then(|sale| sale.buyer)).await.unwrap();
            assert_eq!((buyer, shop.money(id).await, has(shop.node(), 7)), (Some(Digest(7)), [0, 3_600, 0, 0], 3));
        }
        shop.stop().await;
    }
}

#[actix_rt::test]
async fn who_is_named_when_the_payment_begins_is_limited_before_anything_is_paid() {
    let shop = Shop::new().await;
    limit_day(shop.node(), 4).await;
    for (n, count) in [(1, 3), (2, 2)] {
        shop.house.ask(u128::from(n), hold(n, count)).await.unwrap();
    }
    let begin = async |key, buyer, holds: &[u64]| payments::begin(shop.node(), of(key, Some(buyer)), request(holds)).await;
    let refused = |has| {
        let (hold, why) = (HoldId::new(tomorrow(), 2), Refusal::TooManyForDay { max: 4, has });
        Err(Failure::Refused(payments::Refusal::Slot { hold, why }))
    };
    assert_eq!(begin(101, 7, &[1, 2]).await, refused(3), "of two holds together, the second is too much");
    let first = begin(102, 7, &[1]).await.unwrap();
    shop.pay(first, node_says("a", 3_600)).await.unwrap();
    assert_eq!(has(shop.node(), 7), 3);
    assert_eq!(begin(103, 7, &[2]).await, refused(3));
    let second = begin(104, 8, &[2]).await.unwrap();
    shop.pay(second, node_says("b", 2_400)).await.unwrap();
    assert_eq!([7, 8].map(|buyer| has(shop.node(), buyer)), [3, 2]);
    shop.stop().await;
}

#[actix_rt::test]
async fn receipts_that_come_twice_or_say_another_amount() {
    let shop = Shop::new().await;
    let [twice, less, more] = [shop.due(1, 1).await, shop.due(2, 1).await, shop.due(3, 1).await];
    shop.pay(twice, node_says("a", 1_200)).await.unwrap();
    let duplicate = Err(Failure::Refused(payments::Refusal::Payment(payment::Refusal::ReceiptDuplicate)));
    assert_eq!(shop.pay(twice, node_says("a", 1_200)).await, duplicate);
    shop.house.clock.set(now().plus_seconds(2 * 86_400));
    assert_eq!(shop.pay(twice, node_says("a", 1_200)).await, duplicate, "long after the keys are forgotten");
    shop.pay(twice, node_says("b", 1_200)).await.unwrap();
    assert_eq!((whys(&shop.payment(twice).await), shop.money(twice).await), (vec![("double_payment", 1_200)], [0, 1_200, 1_200, 0]));
    shop.pay(less, node_says("a", 1_100)).await.unwrap();
    assert_eq!((whys(&shop.payment(less).await), shop.money(less).await), (vec![("amount_too_small", 1_100)], [0, 0, 1_100, 0]));
    shop.pay(more, node_says("a", 1_300)).await.unwrap();
    assert_eq!(whys(&shop.payment(more).await)[0], ("excess", 100));
    shop.stop().await;
}

#[actix_rt::test]
async fn money_after_a_cancellation_and_money_at_the_desk() {
    let shop = Shop::new().await;
    let [late, at_desk] = [shop.due(1, 2).await, shop.due(2, 2).await];
    let cause = code("buyer");
    let other = payments::cancel(shop.node(), late, by(500), Some(KeyId(8)), cause).await;
    assert_eq!(other, Err(Failure::Refused(payments::Refusal::Payment(payment::Refusal::UnknownPayment))));
    payments::cancel(shop.node(), late, by(500), Some(KeyId(7)), cause).await.unwrap();
    assert_eq!((shop.gateway.words(), shop.house.taken()), (vec!["publish", "publish", "withdraw"], 4), "no hold is released");
    shop.pay(late, node_says("a", 2_400)).await.unwrap();
    assert_eq!((shop.payment(late).await.stage().name(), shop.money(late).await), ("paid", [0, 2_400, 0, 0]));
    // The gateway hears that it was paid at a desk; it says later, then that it will not hear of it.
    shop.gateway.answers.lock().extend([GatewayError::Later("timeout".into()), GatewayError::Never(code("conflict"))]);
    receive(shop.node(), at_desk, receipt("d", desk(), 2_400)).await.unwrap();
    drive(shop.node(), at_desk).await.ok();
    shop.settle().await;
    let payment = shop.payment(at_desk).await;
    assert_eq!(payment.closed().and_then(|closed| closed.refused), Some(code("conflict")));
    assert_eq!(shop.money(at_desk).await, [0, 2_400, 0, 0]);
    shop.stop().await;
}

#[actix_rt::test]
async fn a_gateway_that_says_no_fails_the_payment_and_a_lost_hold_cancels_it() {
    let shop = Shop::new().await;
    shop.gateway.answers.lock().extend([GatewayError::Never(code("iban"))]);
    let failed = shop.due(1, 1).await;
    assert_eq!(shop.payment(failed).await.stage(), Stage::Failed { code: code("iban") });
    shop.gateway.answers.lock().extend([GatewayError::Later("timeout".into()), GatewayError::Later("timeout".into())]);
    let later = shop.due(2, 1).await;
    assert_eq!(shop.payment(later).await.stage(), Stage::Created);
    let hold = HoldId::new(tomorrow(), 2);
    let kept = payments::release(shop.node(), hold, by(90), None).await;
    assert_eq!(kept, Err(Failure::Refused(Refusal::HoldKept { payment: later })), "it can still be paid for");
    let over = slot::Keeper::Payment(later);
    shop.house.ask(90, Command::GiveBack { hold, owner: None, over }).await.unwrap();
    shop.house.clock.set(now().plus_seconds(1));
    shop.gateway.answers.lock().clear();
    shop.settle().await;
    let payment = shop.payment(later).await;
    assert!(matches!(payment.stage(), Stage::Cancelled { cause, .. } if cause == code("hold_released")), "{:?}", payment.stage());
    assert_eq!(shop.gateway.words(), ["withdraw"], "it may have heard of it the first time");
    shop.pay(later, node_says("a", 1_200)).await.unwrap();
    assert_eq!(shop.money(later).await, [0, 1_200, 0, 0]);
    shop.stop().await;
}

/// A desk does not sell what somebody else may still pay for, and is told which payment that is. Once that is over, it does.
#[actix_rt::test]
async fn what_a_payment_keeps_is_sold_by_nobody_else_until_it_is_over() {
    let shop = Shop::new().await;
    let node = shop.node();
    let at_counter = |n| Command::Hold { hold: HoldId::new(tomorrow(), n), channel: Channel::BoxOffice, lines: lines(1) };
    let of_desk = |n| Settlement::Desk { till: code("desk-1"), method: DeskMethod::Card, reference: format!("R-{n}") };
    let confirm = async |key: u128, n: u64| {
        let mut confirmation = Confirmation::new(HoldId::new(tomorrow(), n), None);
        confirmation.look(node).await.unwrap();
        node.slot(tomorrow(), by(key), confirmation.command(&of_desk(n), None)).await
    };
    let mut payments = Vec::new();
    for n in 1..=2 {
        shop.house.ask(u128::from(n), at_counter(n)).await.unwrap();
        let request = Request { channel: Channel::BoxOffice, ..request(&[n]) };
        payments.push(payments::begin(node, by(100 + u128::from(n)), request).await.unwrap());
        let kept = || Err(Failure::Refused(Refusal::HoldKept { payment: payments[payments.len() - 1] }));
        assert_eq!(confirm(200 + u128::from(n), n).await, kept());
        let without_a_look = Command::Sell { hold: HoldId::new(tomorrow(), n), owner: None, settlement: of_desk(n), contact: None };
        assert_eq!(shop.house.ask(200 + u128::from(n), without_a_look).await, kept());
    }
    let [paid, over] = payments[..] else { panic!("two were begun: {payments:?}") };
    // Its own money makes the sale, at a desk too.
    shop.pay(paid, receipt("d", desk(), 1_200)).await.unwrap();
    assert_eq!(shop.money(paid).await, [0, 1_200, 0, 0]);
    assert_eq!(confirm(201, 1).await, Err(Failure::Refused(Refusal::HoldSold)));
    // What was refused is decided anew with the same key; what was done is answered as it was.
    payments::cancel(node, over, by(400), None, code("desk")).await.unwrap();
    let sold = confirm(202, 2).await.unwrap();
    assert_eq!(confirm(202, 2).await, Ok(sold), "a repeat is the same sale");
    assert_eq!(confirm(203, 2).await, Err(Failure::Refused(Refusal::HoldSold)));
    // Who pays for it all the same has the money back.
    shop.pay(over, node_says("late", 1_200)).await.unwrap();
    assert_eq!((shop.money(over).await, shop.house.taken()), ([0, 0, 1_200, 0], 2));
    shop.stop().await;
}

/// Money that comes late, for a payment that is over, takes nothing from the one that keeps the hold by then.
#[actix_rt::test]
async fn late_money_leaves_a_hold_to_the_payment_that_keeps_it_now() {
    for sold_out in [false, true] {
        let shop = Shop::new().await;
        let first = shop.due(1, 3).await;
        payments::cancel(shop.node(), first, by(500), None, code("buyer")).await.unwrap();
        let second = payments::begin(shop.node(), by(102), request(&[1])).await.unwrap();
        if sold_out {
            shop.fill(1).await;
        }
        shop.pay(first, node_says("a", 3_600)).await.unwrap();
        shop.pay(second, node_says("b", 3_600)).await.unwrap();
        let sale = HoldId::new(tomorrow(), 1);
        assert_eq!(shop.payment(second).await.items(), [ItemEnd::Sold { sale, refunded_cents: Cents::ZERO }], "sold out: {sold_out}");
        assert_eq!(shop.money(second).await, [0, 3_600, 0, 0], "sold out: {sold_out}");
        let expected = if sold_out { ([0, 0, 3_600, 0], 20) } else { ([0, 3_600, 0, 0], 6) };
        assert_eq!((shop.money(first).await, shop.house.taken()), expected, "sold out: {sold_out}");
        shop.stop().await;
    }
}

/// The next payment is over as well when the late money of the first comes: then that has the hold.
#[actix_rt::test]
async fn late_money_has_a_hold_that_another_payment_needs_no_more() {
    let shop = Shop::new().await;
    let first = shop.due(1, 3).await;
    payments::cancel(shop.node(), first, by(500), None, code("buyer")).await.unwrap();
    let second = payments::begin(shop.node(), by(102), request(&[1])).await.unwrap();
    payments::cancel(shop.node(), second, by(501), None, code("buyer")).await.unwrap();
    shop.fill(1).await;
    shop.pay(first, node_says("a", 3_600)).await.unwrap();
    assert_eq!((shop.money(first).await, shop.house.taken()), ([0, 3_600, 0, 0], 20));
    shop.stop().await;
}

#[actix_rt::test]
async fn an_order_has_one_payment_at_a_time() {
    let shop = Shop::new().await;
    let order = OrderId(5);
    shop.house.ask(1, hold(1, 1)).await.unwrap();
    let of_order = Request { order: Some(order), ..request(&[1]) };
    let first = payments::begin(shop.node(), by(101), of_order.clone()).await.unwrap();
    let under_way = order::Refusal::PaymentUnderWay { payment: first };
    assert_eq!(payments::begin(shop.node(), by(102), of_order.clone()).await, Err(Failure::Refused(payments::Refusal::Order(under_way))));
    payments::cancel(shop.node(), first, by(103), None, code("buyer")).await.unwrap();
    let second = payments::begin(shop.node(), by(104), of_order).await.unwrap();
    shop.pay(second, node_says("a", 1_200)).await.unwrap();
    // The first is paid too: its hold is a sale of the second, so its money goes back.
    shop.pay(first, node_says("b", 1_200)).await.unwrap();
    assert_eq!((shop.money(second).await, shop.money(first).await), ([0, 1_200, 0, 0], [0, 0, 1_200, 0]));
    assert_eq!(shop.payment(first).await.items(), [ItemEnd::PaidBack { why: Refusal::HoldSold }]);
    let payments = shop.node().look_order(order, |order| order.payments().to_vec()).await.unwrap();
    assert_eq!(payments, [(first, order::Progress::Paid), (second, order::Progress::Paid)]);
    shop.stop().await;
}

/// A payment that is refused begins and ends in its order each time it is asked for again with the same key.
#[actix_rt::test]
async fn a_payment_that_is_refused_twice_leaves_its_order_free() {
    let shop = Shop::new().await;
    let order = OrderId(5);
    let other = shop.due(1, 1).await;
    let of_order = Request { order: Some(order), ..request(&[1]) };
    for seconds in 1..=2 {
        shop.house.clock.set(now().plus_seconds(seconds));
        assert!(is_taken(&payments::begin(shop.node(), by(201), of_order.clone()).await));
        assert_eq!(shop.node().look_order(order, Order::under_way).await, Ok(None), "after {seconds}");
    }
    payments::cancel(shop.node(), other, by(202), None, code("buyer")).await.unwrap();
    let next = payments::begin(shop.node(), by(203), of_order).await.unwrap();
    assert_eq!(shop.node().look_order(order, Order::under_way).await, Ok(Some(next)));
    shop.stop().await;
}

#[actix_rt::test]
async fn refunds_of_cancelled_and_of_moved_tickets_are_handed_over_once() {
    let shop = Shop::new().await;
    let id = shop.due(1, 3).await;
    shop.pay(id, node_says("a", 3_600)).await.unwrap();
    let sale = HoldId::new(tomorrow(), 1);
    let later = SlotId::new(MUSEUM, RouteId(1), tomorrow().start().plus_seconds(3_600));
    let arrival = HoldId::new(later, 7);
    let prices = vec![(code("full"), Cents::new(1_200))];
    let begin = Command::BeginMove { sale, owner: None, tickets: vec![0, 1], arrival, via: Channel::BoxOffice, prices };
    move_tickets(shop.node(), tomorrow(), by(60), begin).await.unwrap();
    shop.house.ask(61, cancel_sale(sale, &[2])).await.unwrap();
    shop.node().slot(later, by(62), cancel_sale(arrival, &[0])).await.unwrap();
    // A sale of the desk whose tickets have moved.
    let desk_sale = HoldId::new(tomorrow(), 40);
    shop.house.ask(63, sell(40, 1)).await.unwrap();
    let there = HoldId::new(later, 8);
    let prices = vec![(code("full"), Cents::new(1_200))];
    let begin = Command::BeginMove { sale: desk_sale, owner: None, tickets: vec![], arrival: there, via: Channel::BoxOffice, prices };
    move_tickets(shop.node(), tomorrow(), by(64), begin).await.unwrap();
    shop.node().slot(later, by(65), cancel_sale(there, &[])).await.unwrap();
    for _ in 0..2 {
        shop.settle().await;
        assert_eq!(shop.node().board().owing(), []);
        assert_eq!(shop.money(id).await, [0, 1_200, 2_400, 0]);
    }
    let refunds = shop.payment(id).await;
    assert!(refunds.refunds().iter().all(|refund| matches!(refund.why, RefundReason::Cancelled { item: 0, .. })));
    // What the desk took back is a task too; each cent is in one place, and nothing is on its way.
    let desks: Vec<_> = shop.node().payments().heads().into_iter().filter(|(payment, _)| *payment != id).collect();
    let [(of_desk, head)] = desks.as_slice() else { panic!("one payment stands for the desk's sale: {desks:?}") };
    assert_eq!((head.owed, head.stage.name(), shop.money(*of_desk).await), (1, "paid", [0, 0, 1_200, 0]));
    let balances = balances(shop.node()).await;
    assert_eq!((balances.get(&Account::Transit), balances.get(&Account::Refunds)), (None, Some(&-3_600)), "{balances:?}");
    shop.stop().await;
}

/// Of a sale that a desk made without a payment what is cancelled is an open task, until somebody has paid it out.
#[actix_rt::test]
async fn what_a_desk_took_for_cancelled_tickets_is_owed_until_it_is_paid_back() {
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::default());
    let shop = Shop::on(Arc::clone(&journal)).await;
    open_museum(shop.node()).await;
    let sale = HoldId::new(tomorrow(), 1);
    shop.house.ask(1, sell(1, 3)).await.unwrap();
    for (key, ticket) in [(2, 0), (3, 2)] {
        shop.house.ask(key, cancel_sale(sale, &[ticket])).await.unwrap();
    }
    shop.stop().await;
    let shop = Shop::on(journal).await;
    shop.settle().await;
    let [(id, head)] = shop.node().payments().heads()[..] else { panic!("one payment stands for the sale") };
    assert_eq!((head.owed, head.museum, shop.node().board().owing()), (2, Some(MUSEUM), vec![]));
    let payment = shop.payment(id).await;
    assert_eq!((payment.receipts()[0].source.clone(), payment.items().len()), (Source::Sale { sale }, 1));
    assert_eq!((whys(&payment), shop.money(id).await), (vec![("cancelled", 1_200), ("cancelled", 1_200)], [0, 1_200, 2_400, 0]));
    let till = |method| payment::PaidBackBy::Till { till: code("desk-1"), method };
    let executed_on = calendar::local_day(now());
    for (refund, by_) in [(0, till(DeskMethod::Cash)), (1, payment::PaidBackBy::Transfer)] {
        let command = payment::Command::ConfirmRefund { refund, by: by_, reference: "R-9".to_owned(), executed_on };
        shop.node().payment(id, by(u128::from(refund) + 50), command).await.unwrap();
    }
    assert_eq!((shop.money(id).await, shop.node().payments().heads()), ([0, 1_200, 0, 2_400], vec![]));
    let balances: Vec<i64> = balances(shop.node()).await.into_values().collect();
    assert_eq!(balances, [-1_200, -1_200, 3_600, -1_200], "the treasury and the till have paid, the till has taken, one ticket stands");
    shop.stop().await;
}

#[actix_rt::test]
async fn a_start_reads_no_payment_back_because_a_flow_has_named_it() {
    let journal = Arc::new(Watched::default());
    let shop = Shop::on(Arc::clone(&journal) as _).await;
    open_museum(shop.node()).await;
    let (reported, owing) = (shop.due(1, 1).await, shop.due(2, 1).await);
    for (key, (id, iur)) in (700..).zip([(reported, "a"), (owing, "b")]) {
        shop.pay(id, node_says(iur, 1_200)).await.unwrap();
        let (flow, iur, amount_cents) = ("2026-06-10BANK-1".to_owned(), iur.to_owned(), Cents::new(1_200));
        let command = payment::Command::Report { reported: payment::Reported { flow, iur, index: 1, amount_cents, code: 0 } };
        shop.node().payment(id, by(key), command).await.unwrap();
    }
    // Of one something is to be done after that.
    shop.house.ask(50, cancel_sale(HoldId::new(tomorrow(), 2), &[0])).await.unwrap();
    shop.settle().await;
    let open = |shop: &Shop| shop.node().payments().heads().into_iter().map(|(id, head)| (id, head.owed)).collect::<Vec<_>>();
    assert_eq!(open(&shop), [(owing, 1)]);
    shop.stop().await;
    journal.payments_read();
    let again = Shop::on(Arc::clone(&journal) as _).await;
    let read = journal.payments_read();
    assert_eq!(open(&again), [(owing, 1)]);
    assert!(read.contains(&StreamId::Payment(owing)) && !read.contains(&StreamId::Payment(reported)), "{read:?}");
    assert_eq!(again.payment(reported).await.reports().len(), 1);
    again.stop().await;
}

#[actix_rt::test]
async fn a_voucher_pays_at_once_and_takes_back() {
    let shop = Shop::new().await;
    let id = VoucherId(3);
    let issue = voucher::Command::Issue { amount_cents: Cents::new(2_000), valid_until: now().plus_seconds(86_400), museum: None };
    assert_eq!(
        shop.node().voucher(id, by(1), voucher::Command::Restore { payment: PaymentId::from_raw(1), refund: 0, amount_cents: Cents::new(1) }).await,
        Err(Failure::Refused(voucher::Refusal::UnknownVoucher))
    );
    shop.node().voucher(id, by(1), issue).await.unwrap();
    for n in [1, 2] {
        shop.house.ask(u128::from(n), hold(n, 1)).await.unwrap();
    }
    let pay = |n: u64| {
        payments::begin(shop.node(), by(100 + u128::from(n)), Request { gateway: payment::Gateway::Voucher { voucher: id }, ..request(&[n]) })
    };
    let (first, second) = (pay(1).await.unwrap(), pay(2).await.unwrap());
    assert_eq!((shop.money(first).await, shop.payment(second).await.stage()), ([0, 1_200, 0, 0], Stage::Failed { code: code("balance_too_low") }));
    shop.house.ask(60, cancel_sale(HoldId::new(tomorrow(), 1), &[])).await.unwrap();
    let owed = async || balances(shop.node()).await.get(&Account::Vouchers).copied();
    assert_eq!(owed().await, Some(-800), "what is left on it is owed to whoever has it");
    // It is over when its money comes back, and can be spent for a while again.
    shop.house.clock.set(now().plus_seconds(86_400 * 2));
    shop.settle().await;
    assert_eq!(shop.money(first).await, [0, 0, 0, 1_200]);
    let seen = shop.node().look_voucher(id, |voucher| (voucher.balance().get(), voucher.valid_until())).await;
    assert_eq!(seen, Ok((2_000, Some(now().plus_seconds(86_400 * 2 + voucher::RESTORED_VALID_S)))));
    let balances = balances(shop.node()).await;
    assert_eq!((balances.get(&Account::Vouchers), balances.values().sum::<i64>()), (Some(&-2_000), 0), "{balances:?}");
    assert!(shop.gateway.words().is_empty());
    // Whoever has the code can spend it: nothing that is printed or listed says it.
    let payment = shop.payment(first).await;
    let payment::RefundState::PaidBack { reference, .. } = &payment.refunds()[0].state else { panic!("{:?}", payment.refunds()) };
    assert_eq!(reference, &payment.receipts()[0].id);
    assert!(reference.starts_with("voucher-") && !reference.contains(&id.to_string()) && !reference.contains("0000000003"), "{reference}");
    shop.stop().await;
}

#[actix_rt::test]
async fn a_hundred_who_begin_to_pay_within_a_minute_are_written_down_once() {
    let shop = Shop::new().await;
    let id = shop.due(1, 1).await;
    let records = async || (shop.payment(id).await.seq(), shop.node().look(tomorrow(), Slot::seq).await.unwrap());
    let (payment, slot) = records().await;
    for n in 0..100 {
        shop.house.clock.set(Timestamp::from_micros(now().as_micros() + n * 590_000));
        payments::activate(shop.node(), id, shop.node().now().plus_seconds(payments::TOKEN_S)).await.unwrap();
        if n == 0 {
            assert_eq!(shop.payment(id).await.active_until(), Some(now().plus_seconds(payments::TOKEN_S)));
        }
    }
    assert_eq!(records().await, (payment + 1, slot), "its hold lives as long already");
    // Later it is one of each.
    shop.house.clock.set(now().plus_seconds(600));
    let until = shop.node().now().plus_seconds(payments::TOKEN_S);
    for answer in join_all((0..100).map(|_| payments::activate(shop.node(), id, until))).await {
        answer.unwrap();
    }
    assert_eq!((records().await, shop.payment(id).await.active_until()), ((payment + 2, slot + 1), Some(until)));
    // Places that a payment has kept as long as it may are not asked for any more.
    let last = now().plus_seconds(slot::PAYMENT_KEEPS_S);
    payments::activate(shop.node(), id, last).await.unwrap();
    let before = records().await;
    payments::activate(shop.node(), id, last.plus_seconds(600)).await.unwrap();
    assert_eq!(records().await, (before.0 + 1, before.1));
    shop.stop().await;
}

#[actix_rt::test]
async fn who_has_paid_gets_tickets_at_once_while_a_gateway_does_not_answer() {
    let shop = Shop::new().await;
    // Twenty that the gateway is still to hear of, and it has failed before. More than are resumed at once.
    shop.gateway.answers.lock().extend(std::iter::repeat_n(GatewayError::Later("timeout".into()), 100));
    let mut all = Vec::new();
    for n in 1..=20 {
        all.push(shop.due(n, 1).await);
    }
    shop.gateway.hangs.store(true, Ordering::Relaxed);
    shop.house.clock.set(now().plus_seconds(1));
    // The last in order was paid, and then the house fell; nobody drives it.
    let id = all.into_iter().max().unwrap();
    shop.node().payment(id, by(700), payment::Command::Receive { receipt: node_says("a", 1_200) }).await.unwrap();
    shop.house.clock.set(now().plus_seconds(2));
    let settled = async {
        while !shop.payment(id).await.work().is_done() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), settled).await.expect("who has paid has tickets, whatever became of the others");
    assert_eq!(shop.money(id).await, [0, 1_200, 0, 0]);
    shop.stop().await;
}

/// From now on slots that are opened let one buyer have so many people, and any number on a day.
async fn limit_slot(node: &Node, tickets_max: u16) {
    limit(node, |limits| limits.tickets_max = Some(tickets_max)).await;
}

/// From now on slots that are opened have such limits.
async fn limit(node: &Node, change: impl FnOnce(&mut slot::Limits)) {
    let mut plan = plan();
    change(&mut plan.routes[0].policy.limits);
    node.museum(MUSEUM, by(2_000), museum::Command::SetPlan { valid_from: calendar::local_day(now()), plan }).await.unwrap();
}

#[actix_rt::test]
async fn late_money_of_a_slot_that_limits_buyers_is_of_whoever_held_the_places() {
    for meanwhile in [0, 2] {
        let shop = Shop::new().await;
        limit_slot(shop.node(), 4).await;
        let id = let_go(&shop).await;
        assert_eq!(shop.payment(id).await.stage().name(), "expired");
        if meanwhile > 0 {
            shop.node().slot(tomorrow(), of(2, Some(7)), hold(2, meanwhile)).await.unwrap();
        }
        shop.pay(id, node_says("t1", 3_600)).await.unwrap();
        let payment = shop.payment(id).await;
        if meanwhile > 0 {
            assert_eq!(payment.items(), [ItemEnd::PaidBack { why: Refusal::TooManyForBuyer { max: 4, has: 2 } }]);
            assert_eq!(shop.money(id).await, [0, 0, 3_600, 0]);
        } else {
            let [ItemEnd::Sold { sale, .. }] = payment.items() else { panic!("{:?}", payment.items()) };
            let sale = *sale;
            assert_ne!(sale, HoldId::new(tomorrow(), 1));
            let buyer = shop.node().look(tomorrow(), move |slot| slot.sale_of(sale).and_then(|sale| sale.buyer)).await.unwrap();
            assert_eq!((buyer, shop.money(id).await), (Some(Digest(7)), [0, 3_600, 0, 0]));
        }
        shop.stop().await;
    }
}

#[actix_rt::test]
async fn holds_of_one_slot_count_together_for_a_buyer_who_is_named_when_the_payment_begins() {
    let shop = Shop::new().await;
    limit_slot(shop.node(), 4).await;
    for (n, count) in [(1, 3), (2, 2)] {
        shop.house.ask(u128::from(n), hold(n, count)).await.unwrap();
    }
    let begin = async |key, holds: &[u64]| payments::begin(shop.node(), of(key, Some(7)), request(holds)).await;
    let (second, why) = (HoldId::new(tomorrow(), 2), Refusal::TooManyForBuyer { max: 4, has: 3 });
    assert_eq!(begin(101, &[1, 2]).await, Err(Failure::Refused(payments::Refusal::Slot { hold: second, why })));
    let id = begin(102, &[1]).await.unwrap();
    shop.pay(id, node_says("a", 3_600)).await.unwrap();
    assert_eq!(shop.money(id).await, [0, 3_600, 0, 0]);
    shop.stop().await;
}

#[actix_rt::test]
async fn late_money_of_a_slot_that_is_for_somebody_only_is_of_whoever_held_the_places() {
    let shop = Shop::new().await;
    limit(shop.node(), |limits| limits.buyer_required = true).await;
    let id = let_go(&shop).await;
    shop.pay(id, node_says("t1", 3_600)).await.unwrap();
    let payment = shop.payment(id).await;
    assert!(matches!(payment.items(), [ItemEnd::Sold { .. }]), "they had been named: {:?}", payment.items());
    assert_eq!(shop.money(id).await, [0, 3_600, 0, 0]);
    shop.stop().await;
}

/// What somebody let go while they paid rests like anything else that is let go, and is there for their money; for others it is not.
#[actix_rt::test]
async fn late_money_finds_what_rests_of_its_own() {
    let shop = Shop::new().await;
    limit(shop.node(), |limits| limits.rest_max_s = 60).await;
    shop.house.ask(50, sell(50, 17)).await.unwrap();
    let id = let_go(&shop).await;
    let resting = || shop.node().look(tomorrow(), |slot| slot.places().resting);
    assert_eq!((shop.payment(id).await.stage().name(), resting().await), ("expired", Ok(3)));
    let renewed = shop.node().slot(tomorrow(), of(60, Some(7)), hold(60, 1)).await;
    assert!(matches!(renewed, Err(Failure::Refused(Refusal::NotEnoughPlaces { available: 0, .. }))), "{renewed:?}");
    shop.pay(id, node_says("t1", 3_600)).await.unwrap();
    let payment = shop.payment(id).await;
    assert!(matches!(payment.items(), [ItemEnd::Sold { .. }]), "{:?}", payment.items());
    assert_eq!((shop.money(id).await, shop.house.taken(), resting().await), ([0, 3_600, 0, 0], 20, Ok(0)));
    shop.stop().await;
}

#[actix_rt::test]
async fn of_holds_that_would_be_too_many_open_ones_none_is_kept_for_a_payment() {
    let shop = Shop::new().await;
    limit(shop.node(), |limits| limits.holds_max = Some(2)).await;
    for n in 1..=3 {
        shop.house.ask(u128::from(n), hold(n, 1)).await.unwrap();
    }
    let begin = async |key, holds: &[u64]| payments::begin(shop.node(), of(key, Some(7)), request(holds)).await;
    let refused = begin(101, &[1, 2, 3]).await;
    assert!(matches!(refused, Err(Failure::Refused(payments::Refusal::Slot { why: Refusal::TooManyOpenHolds { .. }, .. }))), "{refused:?}");
    let kept = |slot: &Slot| (1..=3).filter(|n| slot.hold_of(HoldId::new(tomorrow(), *n)).unwrap().kept_for.is_some()).count();
    assert_eq!(shop.node().look(tomorrow(), kept).await.unwrap(), 0);
    begin(102, &[1, 2]).await.unwrap();
    assert_eq!(shop.node().look(tomorrow(), kept).await.unwrap(), 2);
    shop.stop().await;
}

/// Whether somebody who begins to pay is told that somebody else does, or has.
fn is_taken(begun: &payments::Step<PaymentId>) -> bool {
    use slot::Refusal::{HoldKept, HoldSold};
    matches!(begun, Err(Failure::Refused(payments::Refusal::Slot { why: HoldKept { .. } | HoldSold, .. })))
}

/// Whichever way the money is to come, of many who begin at once one does; who repeats its own request is answered with its own payment.
#[actix_rt::test]
async fn of_many_who_begin_to_pay_for_a_hold_at_once_one_does() {
    let voucher = VoucherId(3);
    for gateway in
        [payment::Gateway::Notice, payment::Gateway::Checkout, payment::Gateway::Desk, payment::Gateway::Voucher { voucher }, payment::Gateway::Free]
    {
        let shop = Shop::new().await;
        let issue = voucher::Command::Issue { amount_cents: Cents::new(9_000), valid_until: now().plus_seconds(86_400), museum: None };
        shop.node().voucher(voucher, by(1), issue).await.unwrap();
        let mut asked = hold(1, 1);
        if let (Command::Hold { lines, .. }, payment::Gateway::Free) = (&mut asked, gateway) {
            lines[0].price_cents = Cents::ZERO;
        }
        shop.house.ask(1, asked).await.unwrap();
        // Six keys, each twice.
        let begin = |n: u128| payments::begin(shop.node(), by(100 + n % 6), Request { gateway, ..request(&[1]) });
        let begun = join_all((0..12).map(begin)).await;
        let ids: Vec<PaymentId> = begun.iter().filter_map(|begun| begun.clone().ok()).collect();
        assert!(matches!(ids[..], [one, same] if one == same), "{gateway:?}: {begun:?}");
        assert!(begun.iter().filter(|begun| begun.is_err()).all(is_taken), "{gateway:?}: {begun:?}");
        shop.settle().await;
        let mut written = 0;
        for key in 100..106 {
            written += u32::from(matches!(payments::free_id(shop.node(), &by(key), 1).await, Ok(Some((_, false)))));
        }
        assert_eq!(written, 1, "{gateway:?}: nothing is left of the others");
        let left = shop.node().look_voucher(voucher, |voucher| voucher.balance().get()).await.unwrap();
        assert_eq!(left, if matches!(gateway, payment::Gateway::Voucher { .. }) { 7_800 } else { 9_000 }, "{gateway:?}");
        shop.stop().await;
    }
}

/// Payments for several holds have all or none, in whatever order they name them, and do not wait for each other for ever.
#[actix_rt::test]
async fn payments_that_share_holds_have_all_or_none_of_them() {
    let shop = Shop::new().await;
    for n in 1..=4 {
        shop.house.ask(u128::from(n), hold(n, 1)).await.unwrap();
    }
    let wanted: [&[u64]; 4] = [&[1, 2, 3], &[3, 2, 1], &[2, 3], &[3, 4, 1]];
    let begun = join_all((101..).zip(wanted).map(|(key, holds)| payments::begin(shop.node(), by(key), request(holds)))).await;
    let ids: Vec<PaymentId> = begun.iter().filter_map(|begun| begun.clone().ok()).collect();
    assert_eq!(ids.len(), 1, "each of them needs the third: {begun:?}");
    assert!(begun.iter().filter(|begun| begun.is_err()).all(is_taken), "{begun:?}");
    let kept: Vec<HoldId> = shop.payment(ids[0]).await.opened().unwrap().items.iter().map(|item| item.hold).collect();
    for n in 1..=4 {
        let hold = HoldId::new(tomorrow(), n);
        let found = shop.node().look(tomorrow(), move |slot| slot.hold_of(hold).and_then(|found| found.kept_for)).await.unwrap();
        assert_eq!(found, kept.contains(&hold).then_some(slot::Keeper::Payment(ids[0])), "{n}: who was refused keeps nothing");
    }
    shop.stop().await;
}

/// The node fails between keeping a hold for a payment and writing that down: the next payment has the hold, and the first one, asked for again, does not.
#[actix_rt::test]
async fn a_hold_that_was_kept_for_a_payment_that_was_never_written_down_is_free_for_the_next() {
    for (repeats_first, confirms) in [(false, false), (true, false), (false, true)] {
        let journal = Arc::new(Faulty::default());
        let shop = Shop::on(Arc::clone(&journal) as _).await;
        open_museum(shop.node()).await;
        shop.house.ask(1, hold(1, 1)).await.unwrap();
        journal.faults.lock().extend([Fault::Pass, Fault::Full]);
        assert!(payments::begin(shop.node(), by(101), request(&[1])).await.is_err());
        shop.stop().await;
        journal.faults.lock().clear();
        let shop = Shop::on(journal).await;
        let hold = HoldId::new(tomorrow(), 1);
        let seen = shop.node().look(tomorrow(), move |slot| slot.hold_of(hold).map(|found| (found.kept_for, found.expires_at))).await.unwrap();
        let (Some(slot::Keeper::Payment(first)), expires_at) = seen.unwrap() else { panic!("it was kept for the first: {seen:?}") };
        assert!(expires_at < now().plus_seconds(1_800), "no longer than it would have lived");
        if confirms {
            let mut confirmation = Confirmation::new(hold, Some(KeyId(7)));
            assert_eq!(confirmation.look(shop.node()).await, Ok(true));
            let settlement = Settlement::Payment { id: PaymentId::new(1, 77) };
            shop.house.ask(9, confirmation.command(&settlement, None)).await.unwrap();
            assert!(is_taken(&payments::begin(shop.node(), by(101), request(&[1])).await));
        } else if repeats_first {
            assert_eq!(payments::begin(shop.node(), by(101), request(&[1])).await, Ok(first));
            assert!(is_taken(&payments::begin(shop.node(), by(102), request(&[1])).await));
        } else {
            let next = payments::begin(shop.node(), by(102), request(&[1])).await.unwrap();
            assert_ne!(next, first);
            assert!(is_taken(&payments::begin(shop.node(), by(101), request(&[1])).await));
            shop.pay(next, node_says("a", 1_200)).await.unwrap();
            assert_eq!(shop.money(next).await, [0, 1_200, 0, 0]);
        }
        shop.stop().await;
    }
}

/// Nothing is due, so the sale does not say which payment it is of.
#[actix_rt::test]
async fn one_hold_for_nothing_is_the_sale_of_one_payment() {
    let shop = Shop::new().await;
    let mut free = hold(1, 1);
    if let Command::Hold { lines, .. } = &mut free {
        lines[0].price_cents = Cents::ZERO;
    }
    shop.house.ask(1, free).await.unwrap();
    let request = || Request { gateway: payment::Gateway::Free, ..request(&[1]) };
    let (one, other) = tokio::join!(payments::begin(shop.node(), by(101), request()), payments::begin(shop.node(), by(102), request()));
    let id = one.clone().or(other.clone()).unwrap();
    let refused = if one.is_ok() { other } else { one };
    assert!(is_taken(&refused), "{refused:?}");
    let sold = ItemEnd::Sold { sale: HoldId::new(tomorrow(), 1), refunded_cents: Cents::ZERO };
    assert_eq!(shop.payment(id).await.items(), [sold]);
    // Nor is it that of a payment whose driver comes when the keys are forgotten.
    let (third, opened) = (PaymentId::new(1, 9), shop.payment(id).await.opened().unwrap().clone());
    shop.node().payment(third, by(103), payment::Command::Open { opened: Box::new(opened) }).await.unwrap();
    shop.house.clock.set(now().plus_seconds(90_000));
    shop.settle().await;
    assert!(matches!(shop.payment(third).await.items(), [ItemEnd::PaidBack { .. }]));
    shop.stop().await;
}

/// A hold that is not what was paid for is left alone: other places are sold, and that stays so though nobody could note it before the hold was sold to others.
#[actix_rt::test]
async fn what_was_sold_anew_is_not_paid_back_when_the_hold_is_sold_to_others() {
    let journal = Arc::new(Faulty::default());
    let shop = Shop::on(Arc::clone(&journal) as _).await;
    open_museum(shop.node()).await;
    let (other, id) = (shop.due(1, 1).await, PaymentId::new(1, 9));
    let mut opened = shop.payment(other).await.opened().unwrap().clone();
    (opened.items[0].lines[0].count, opened.items[0].amount_cents, opened.amount_cents) = (2, Cents::new(2_400), Cents::new(2_400));
    shop.node().payment(id, by(103), payment::Command::Open { opened: Box::new(opened) }).await.unwrap();
    shop.node().payment(id, by(104), payment::Command::Receive { receipt: node_says("a", 2_400) }).await.unwrap();
    journal.faults.lock().extend([Fault::Pass, Fault::Full]);
    assert!(drive(shop.node(), id).await.is_err());
    shop.pay(other, node_says("b", 1_200)).await.unwrap();
    assert_eq!((shop.money(id).await, shop.money(other).await, shop.house.taken()), ([0, 2_400, 0, 0], [0, 1_200, 0, 0], 3));
    shop.stop().await;
}

/// The node fails at the given append of the flow, in one of the ways in which a journal fails; then another one starts on the same journal.
#[actix_rt::test]
async fn stopped_at_any_step_every_cent_is_in_one_place() {
    for (is_late, is_full) in [(false, false), (true, false), (true, true)] {
        for step in 0..15 {
            for fault in [Fault::Full, Fault::Lost, Fault::Written, Fault::Flush] {
                let case = format!("{fault:?} at step {step}, late: {is_late}, full: {is_full}");
                stopped(step, fault, is_late, is_full, &case).await;
            }
        }
    }
}

async fn stopped(step: usize, fault: Fault, is_late: bool, is_full: bool, case: &str) {
    let journal = Arc::new(Faulty::default());
    let shop = Shop::on(Arc::clone(&journal) as _).await;
    open_museum(shop.node()).await;
    shop.house.ask(1, hold(1, 3)).await.unwrap();
    if is_full {
        shop.house.ask(2, sell(2, 17)).await.unwrap();
    }
    let of_order = Request { order: Some(OrderId(5)), ..request(&[1]) };
    journal.faults.lock().extend(std::iter::repeat_n(Fault::Pass, step).chain([fault]));
    let flow = async |shop: &Shop| -> Option<PaymentId> {
        let id = payments::begin(shop.node(), by(101), of_order.clone()).await.ok()?;
        if is_late {
            shop.house.clock.set(now().plus_seconds(1_800));
            shop.house.ask(3, if is_full { sell(3, 3) } else { hold(3, 1) }).await.ok()?;
        }
        receive(shop.node(), id, node_says("a", 3_600)).await.ok()?;
        drive(shop.node(), id).await.ok()?;
        shop.house.ask(4, cancel_sale(HoldId::new(tomorrow(), 1), &[0])).await.ok();
        resume(shop.node()).await;
        Some(id)
    };
    flow(&shop).await;
    shop.stop().await;
    journal.faults.lock().clear();

    for round in ["at once", "after another restart"] {
        let shop = Shop::on(Arc::clone(&journal) as _).await;
        if is_late {
            shop.house.clock.set(now().plus_seconds(1_800));
        }
        assert_eq!(resume(shop.node()).await, 0, "{case}, {round}");
        // Everybody who does not know repeats: the buyer, the others, the gateway.
        let begun = payments::begin(shop.node(), by(101), of_order.clone()).await;
        if is_late && begun.is_err() {
            // The hold was gone before the payment was written down: nothing is due.
            assert!(matches!(begun, Err(Failure::Refused(payments::Refusal::Slot { .. }))), "{case}: {begun:?}");
            shop.stop().await;
            return;
        }
        let id = begun.unwrap();
        if is_late {
            let _ = shop.house.ask(3, if is_full { sell(3, 3) } else { hold(3, 1) }).await;
        }
        let received = shop.pay(id, node_says("a", 3_600)).await;
        let duplicate = Err(Failure::Refused(payments::Refusal::Payment(payment::Refusal::ReceiptDuplicate)));
        assert!(received == Ok(()) || received == duplicate, "{case}: {received:?}");
        let _ = shop.house.ask(4, cancel_sale(HoldId::new(tomorrow(), 1), &[0])).await;
        shop.settle().await;
        let others = u32::from(is_full) * 20 + u32::from(is_late && !is_full);
        let expected = if is_full {
            ([0, 0, 3_600, 0], others)
        } else if is_late {
            ([0, 3_600, 0, 0], others + 3)
        } else {
            ([0, 2_400, 1_200, 0], others + 2)
        };
        assert_eq!((shop.money(id).await, shop.house.taken()), expected, "{case}, {round}: {:?}", shop.payment(id).await.items());
        let balances = balances(shop.node()).await;
        assert_eq!((balances.values().sum::<i64>(), balances.get(&Account::Transit)), (0, None), "{case}: {balances:?}");
        let receipts = shop.payment(id).await.receipts().len();
        assert_eq!(receipts, 1, "{case}");
        let order = shop.node().look_order(OrderId(5), |order| order.payments().to_vec()).await.unwrap();
        assert_eq!(order, [(id, order::Progress::Paid)], "{case}");
        let verified = crate::verify::verify(journal.as_ref(), false, |_| {}).await.unwrap();
        assert_eq!(verified.beside, 2, "{case}");
        shop.stop().await;
    }
}
