//! What goes back for cancelled tickets, wherever its money came from: a payment, a desk, a voucher.

use tornello_engine::ids::VoucherId;
use tornello_engine::payment::RefundReason;
use tornello_engine::voucher;

use super::*;
use crate::moves::move_tickets;

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

#[actix_rt::test]
async fn what_was_paid_for_tickets_goes_back_however_often_they_have_moved() {
    let shop = Shop::new().await;
    let id = shop.due(1, 1).await;
    shop.pay(id, node_says("a", 1_200)).await.unwrap();
    let later = SlotId::new(MUSEUM, RouteId(1), tomorrow().start().plus_seconds(3_600));
    let mut sale = HoldId::new(tomorrow(), 1);
    for n in 0..257 {
        let arrival = HoldId::new(if sale.slot() == later { tomorrow() } else { later }, 1_000 + n);
        let prices = vec![(code("full"), Cents::new(1_200))];
        let begin = Command::BeginMove { sale, owner: None, tickets: vec![], arrival, via: Channel::BoxOffice, prices };
        move_tickets(shop.node(), sale.slot(), by(5_000 + u128::from(n)), begin).await.unwrap();
        sale = arrival;
    }
    shop.node().slot(sale.slot(), by(60), cancel_sale(sale, &[])).await.unwrap();
    shop.settle().await;
    assert_eq!((shop.node().board().owing(), shop.money(id).await), (vec![], [0, 0, 1_200, 0]));
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
