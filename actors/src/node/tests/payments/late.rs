//! Money that comes when its payment is over: it buys places anew, or is owed, and takes nothing from others.

use tornello_engine::envelope::{Assessment, Outcome};

use super::*;
use crate::payments::drive;

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

/// Who is suspected when they hold, and not when they pay, does not come by valid tickets by paying late.
#[actix_rt::test]
async fn late_money_for_places_that_were_to_be_looked_at_buys_tickets_that_are() {
    let shop = Shop::new().await;
    let suspected = Assessment {
        model: code("none"),
        rules_version: 0,
        at: now(),
        position: 0,
        features: Digest(0),
        score: 70,
        reasons: Vec::new(),
        outcome: Outcome::Review,
        rules: Vec::new(),
        probability_ppm: None,
        basis: None,
    };
    shop.node().slot(tomorrow(), Envelope { assessment: Some(Box::new(suspected)), ..of(1, Some(7)) }, hold(1, 3)).await.unwrap();
    let id = payments::begin(shop.node(), by(101), request(&[1])).await.unwrap();
    shop.house.clock.set(now().plus_seconds(1_800));
    shop.node().wake_due().await;
    shop.node().look(tomorrow(), |_| ()).await.unwrap();
    shop.settle().await;
    shop.pay(id, node_says("t1", 3_600)).await.unwrap();
    let payment = shop.payment(id).await;
    let [ItemEnd::Sold { sale, .. }] = payment.items() else { panic!("{:?}", payment.items()) };
    let sale = *sale;
    assert_ne!(sale, HoldId::new(tomorrow(), 1));
    let is_reviewed = |sale: &slot::Sale| sale.tickets.iter().all(|ticket| ticket.review_until.is_some());
    let found = shop.node().look(tomorrow(), move |slot| slot.sale_of(sale).map(|sale| (sale.buyer, is_reviewed(sale)))).await.unwrap();
    assert_eq!(found, Some((Some(Digest(7)), true)), "and it is of whoever held them");
    shop.stop().await;
}
