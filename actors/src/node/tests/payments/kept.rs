//! Of many who would pay for the same places one does, and what that payment keeps nobody else has until it is over. An order has one payment at a time.

use futures_util::FutureExt;
use tornello_engine::ids::{OrderId, VoucherId};
use tornello_engine::order;
use tornello_engine::voucher;

use super::*;
use crate::payments::Confirmation;

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

/// Else the payment would be for three places, of which the hold has two: who pays has none of these, and three anew only if so many are free.
#[actix_rt::test]
async fn a_hold_stays_as_it_is_while_somebody_begins_to_pay_for_it() {
    let shop = Shop::new().await;
    let (node, id) = (shop.node(), HoldId::new(tomorrow(), 1));
    shop.house.ask(1, hold(1, 3)).await.unwrap();
    let held = async || node.look(tomorrow(), move |slot| slot.hold_of(id).map(|hold| hold.lines.clone())).await.unwrap();
    let shrink = move |key, count| payments::shrink(node, id, by(key), (vec![(code("full"), count)], 0), Some(KeyId(7)));
    // What is due was read, and the hold is not kept for it yet.
    let turn = node.paying().beginning(&[id]).await;
    let mut asked = Box::pin(shrink(2, 2));
    for _ in 0..16 {
        assert!(asked.as_mut().now_or_never().is_none(), "it is not its turn");
        assert_eq!(held().await, Some(lines(3)));
    }
    drop(turn);
    assert!(asked.await.is_ok());
    assert_eq!(held().await, Some(lines(2)));
    let payment = payments::begin(node, by(101), request(&[1])).await.unwrap();
    assert_eq!(shop.payment(payment).await.opened().map(|opened| opened.amount_cents), Some(Cents::new(2_400)));
    assert_eq!(shrink(3, 1).await, Err(Failure::Refused(Refusal::HoldKept { payment })));
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
