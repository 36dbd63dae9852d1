//! What one buyer may have is asked when a payment names somebody, and when late money buys places anew.

use super::super::limits::{an_hour_later, has, limit_day};
use super::*;

/// From now on slots that are opened let one buyer have so many people, and any number on a day.
async fn limit_slot(node: &Node, tickets_max: u16) {
    limit(node, |limits| limits.tickets_max = Some(tickets_max)).await;
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
