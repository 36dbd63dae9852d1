//! Payments stopped after every step in turn, and beside what cannot be read, is not written or does not answer: every cent is in one place, and every ticket was sold once.

use std::time::Duration;

use tornello_engine::ids::OrderId;
use tornello_engine::order;

use super::super::streams::Watched;
use super::*;
use crate::payments::{Confirmation, drive};

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
async fn what_is_paid_for_in_a_slot_that_cannot_be_read_keeps_nothing_else_of_its_payment_from_its_tickets() {
    let journal = Arc::new(Watched::default());
    let shop = Shop::on(Arc::clone(&journal) as _).await;
    open_museum(shop.node()).await;
    let later = SlotId::new(MUSEUM, RouteId(1), tomorrow().start().plus_seconds(3_600));
    let holds = [tomorrow(), later].map(|slot| HoldId::new(slot, 1));
    for hold in holds {
        let command = Command::Hold { hold, channel: Channel::Web, lines: lines(1) };
        shop.node().slot(hold.slot(), by(1), command).await.unwrap();
    }
    let id = payments::begin(shop.node(), by(101), Request { holds: holds.to_vec(), ..request(&[]) }).await.unwrap();
    shop.stop().await;
    let shop = Shop::on(Arc::clone(&journal) as _).await;
    journal.lose(tomorrow());
    receive(shop.node(), id, node_says("a", 2_400)).await.unwrap();
    assert!(drive(shop.node(), id).await.is_err(), "one of two waits");
    assert_eq!(shop.money(id).await, [1_200, 1_200, 0, 0]);
    journal.find();
    shop.settle().await;
    assert_eq!(shop.money(id).await, [0, 2_400, 0, 0]);
    shop.stop().await;
}

#[actix_rt::test]
async fn a_notice_that_a_desk_was_paid_for_is_closed_also_while_no_tickets_can_be_made() {
    let journal = Arc::new(Watched::default());
    let shop = Shop::on(Arc::clone(&journal) as _).await;
    open_museum(shop.node()).await;
    let id = shop.due(1, 3).await;
    journal.lose_payments();
    receive(shop.node(), id, receipt("d", desk(), 3_600)).await.unwrap();
    assert!(drive(shop.node(), id).await.is_err(), "its tickets wait");
    assert_eq!((shop.gateway.words(), shop.money(id).await), (vec!["publish", "paid_elsewhere"], [3_600, 0, 0, 0]));
    journal.find();
    shop.settle().await;
    assert_eq!((shop.gateway.words(), shop.money(id).await), (vec!["publish", "paid_elsewhere"], [0, 3_600, 0, 0]));
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
