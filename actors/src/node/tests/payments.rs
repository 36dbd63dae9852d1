//! Payments over slots: in time, twice, too much and too little. Who pays late, what one buyer may have, who pays for places of many that would, what goes back, and what is
//! stopped on its way have files of their own; here is the shop that they share.

mod buyers;
mod kept;
mod late;
mod refunds;
mod stopped;

use std::collections::BTreeMap;

use tornello_engine::ids::PaymentId;
use tornello_engine::ledger::{self, Account};
use tornello_engine::payment::{self, ItemEnd, Money, Payment, Receipt, Source, Stage};
use tornello_engine::slot::CancelCause;

use super::limits::of;
use super::*;
use crate::journal::wire;
use crate::payments::{self, Cart, Gateway, GatewayError, Request, receive, resume};

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
    fn stand_in<'a>(&'a self, id: PaymentId, _: &'a payment::Opened, may: bool) -> BoxFuture<'a, Result<(), GatewayError>> {
        self.answer(if may { "stand_in" } else { "no_stand_in" }, id)
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

/// From now on slots that are opened have such limits.
async fn limit(node: &Node, change: impl FnOnce(&mut slot::Limits)) {
    let mut plan = plan();
    change(&mut plan.routes[0].policy.limits);
    node.museum(MUSEUM, by(2_000), museum::Command::SetPlan { valid_from: calendar::local_day(now()), plan }).await.unwrap();
}

/// Whether somebody who begins to pay is told that somebody else does, or has.
fn is_taken(begun: &payments::Step<PaymentId>) -> bool {
    use slot::Refusal::{HoldKept, HoldSold};
    matches!(begun, Err(Failure::Refused(payments::Refusal::Slot { why: HoldKept { .. } | HoldSold, .. })))
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

/// While a slot is closed nobody is to pay for its places where our station cannot be asked: the gateway hears that of what can still be paid, and that the slot is open again. Each
/// once, however often it does not answer; after a start anew.
#[actix_rt::test]
async fn the_gateway_hears_which_positions_are_for_a_slot_that_is_closed() {
    let journal = Arc::new(MemoryJournal::default());
    let shop = Shop::on(Arc::clone(&journal) as _).await;
    open_museum(shop.node()).await;
    let [waits, paid, cancelled] = [shop.due(1, 2).await, shop.due(2, 1).await, shop.due(3, 1).await];
    shop.pay(paid, node_says("a", 1_200)).await.unwrap();
    payments::cancel(shop.node(), cancelled, by(60), None, code("buyer")).await.unwrap();
    let heard = |shop: &Shop| {
        let words = shop.gateway.heard.lock();
        words.iter().filter(|(what, _)| what.ends_with("stand_in")).copied().collect::<Vec<_>>()
    };
    shop.house.ask(50, Command::Close { reason: code("strike") }).await.unwrap();
    shop.gateway.answers.lock().push_back(GatewayError::Later("busy".to_owned()));
    let mut left = 1;
    for _ in 0..3 {
        left = resume(shop.node()).await;
    }
    assert_eq!((left, heard(&shop)), (0, vec![("no_stand_in", waits)]));
    shop.house.ask(51, Command::Reopen).await.unwrap();
    for _ in 0..2 {
        shop.settle().await;
        assert_eq!(heard(&shop), [("no_stand_in", waits), ("stand_in", waits)]);
    }
    shop.house.ask(52, Command::Close { reason: code("flood") }).await.unwrap();
    shop.stop().await;
    let shop = Shop::on(journal).await;
    shop.settle().await;
    assert_eq!(heard(&shop), [("no_stand_in", waits)]);
    // What is over hears nothing of it.
    payments::cancel(shop.node(), waits, by(61), None, code("buyer")).await.unwrap();
    shop.house.ask(53, Command::Reopen).await.unwrap();
    shop.settle().await;
    assert_eq!(heard(&shop), [("no_stand_in", waits)]);
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
