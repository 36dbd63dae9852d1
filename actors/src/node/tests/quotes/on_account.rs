//! What an operator's account is charged for: quotes and sales, as far as its limit goes, and nothing of what was not delivered.

use super::super::payments::balances;
use super::super::streams::Watched;
use super::*;
use crate::accounts;
use crate::pauses::Pauses;
use crate::payments::Confirmation;

#[actix_rt::test]
async fn on_account_as_far_as_the_limit_goes() {
    let office = Office::new().await;
    let first = office.sent(10, operator(), visit(12)).await;
    office.accept(first, 12, 1, Settle::OnAccount).await.unwrap();
    assert_eq!((office.status(first).await, office.owed().await, office.places().await[0]), (Status::Ticketed, 10_800, (0, 12)));
    // 92.00 are left, and 108.00 are asked: it stands as sent, its places are kept, another way is open.
    let second = office.sent(20, operator(), Asked { slots: vec![slot_at(1)], ..visit(12) }).await;
    let beyond = Err(Failure::Refused(quotes::Refusal::Settlement { why: code("credit_limit") }));
    assert_eq!(office.accept(second, 22, 1, Settle::OnAccount).await, beyond);
    assert_eq!((office.status(second).await, office.owed().await, office.places().await[1]), (Status::Sent, 10_800, (12, 0)));
    office.accept(second, 23, 1, Settle::Checkout).await.unwrap();
    office.pay(second).await;
    assert_eq!((office.status(second).await, office.owed().await), (Status::Ticketed, 10_800));
    // Others do not see it.
    let foreign = quote::Command::Cancel { owner: Some(code("others")), cause: quote::CancelCause::Group };
    let unknown = Err(Failure::Refused(quotes::Refusal::Quote(quote::Refusal::UnknownQuote)));
    assert_eq!(ask(office.node(), second, by(24), foreign).await, unknown);
    let stranger = draft(office.node(), by(30), about(Kind::TourOperator, Some("nobody")), visit(12)).await;
    assert_eq!(stranger, Err(Failure::Refused(quotes::Refusal::Account(account::Refusal::UnknownAccount))));
    office.stop().await;
}

#[actix_rt::test]
async fn a_repeat_of_an_acceptance_hears_nothing_of_another_one() {
    let office = Office::new().await;
    let first = office.sent(10, operator(), visit(12)).await;
    office.accept(first, 12, 1, Settle::OnAccount).await.unwrap();
    let id = office.sent(20, operator(), Asked { slots: vec![slot_at(1)], ..visit(12) }).await;
    office.accept(id, 22, 1, Settle::Notice).await.unwrap();
    ask(office.node(), id, by(23), quote::Command::Reopen).await.unwrap();
    let beyond = || Err(Failure::Refused(quotes::Refusal::Settlement { why: code("credit_limit") }));
    assert_eq!(office.accept(id, 24, 1, Settle::OnAccount).await, beyond());
    assert_eq!(office.accept(id, 22, 1, Settle::Notice).await, Ok(()), "it had its notice");
    office.accept(id, 25, 1, Settle::Notice).await.unwrap();
    assert_eq!(office.accept(id, 24, 1, Settle::OnAccount).await, beyond(), "and this one was beyond the limit");
    assert_eq!((office.status(id).await, office.owed().await), (Status::Accepted, 10_800));
    office.stop().await;
}

/// An account is charged for nothing that a payment keeps, unless whoever asks knows that it needs it no more.
#[actix_rt::test]
async fn an_account_is_charged_for_a_hold_once_no_payment_needs_it() {
    let office = Office::new().await;
    let node = office.node();
    let (hold, payment, on_account) = (HoldId::new(slot_at(3), 1), PaymentId::new(1, 9), Settlement::OnAccount { account: code("tours") });
    node.slot(slot_at(3), by(1), Command::Hold { hold, channel: Channel::Group, lines: lines(2) }).await.unwrap();
    node.slot(slot_at(3), by(2), Command::Bind { hold, payment, over: None }).await.unwrap();
    let mut confirmation = Confirmation::new(hold, None);
    let kept = accounts::sell(node, code("tours"), by(3), confirmation.command(&on_account, None)).await;
    assert_eq!(kept, Err(Failure::Refused(accounts::Refusal::Slot(Refusal::HoldKept { payment }))));
    assert_eq!((accounts::resume(node).await, office.owed().await), (0, 0));
    // It was never written down.
    assert_eq!(confirmation.look(node).await, Ok(true));
    let sold = accounts::sell(node, code("tours"), by(3), confirmation.command(&on_account, None)).await.unwrap();
    assert_eq!((accounts::resume(node).await, office.owed().await), (0, 2_400));
    // A repeat finds it sold, and nothing to say of a payment.
    assert_eq!(confirmation.look(node).await, Ok(false));
    assert_eq!(accounts::sell(node, code("tours"), by(3), confirmation.command(&on_account, None)).await, Ok(sold));
    assert_eq!((accounts::resume(node).await, office.owed().await), (0, 2_400));
    office.stop().await;
}

/// What is sold on account is charged, and what is cancelled of it taken back, once each.
#[actix_rt::test]
async fn an_account_is_charged_for_what_is_sold_on_it_and_no_more() {
    let office = Office::new().await;
    let node = office.node();
    let on_account = || Settlement::OnAccount { account: code("tours") };
    let direct = |n: u64, count| Command::SellDirect {
        sale: HoldId::new(slot_at(2), n),
        channel: Channel::Group,
        lines: lines(count),
        settlement: on_account(),
        contact: None,
    };
    let sell = |key: u128, command| accounts::sell(node, code("tours"), by(key), command);
    let first = sell(1, direct(1, 10)).await.unwrap();
    assert_eq!(sell(1, direct(1, 10)).await.unwrap(), first, "a repeat is the same sale");
    assert_eq!(office.owed().await, 12_000);
    let beyond = account::Refusal::CreditLimit { left_cents: Cents::new(8_000) };
    assert_eq!(sell(2, direct(2, 7)).await, Err(Failure::Refused(accounts::Refusal::Account(beyond))));
    let full = Refusal::NotEnoughPlaces { asked: 11, available: 10, limited_by: LimitedBy::Capacity };
    assert_eq!(sell(3, direct(3, 11)).await, Err(Failure::Refused(accounts::Refusal::Slot(full))));
    let stranger = accounts::sell(node, code("nobody"), by(4), direct(4, 1)).await;
    assert_eq!(stranger, Err(Failure::Refused(accounts::Refusal::Account(account::Refusal::UnknownAccount))));
    // Charged, and the machine stopped before the slot was asked: nobody has the places, so nothing is owed.
    let of = account::ChargeOf::Sale { sale: HoldId::new(slot_at(2), 5) };
    let charge = account::Command::Charge { of, amount_cents: Cents::new(1_200), extras_cents: Cents::ZERO, museum: MUSEUM };
    node.account(code("tours"), by(5), charge).await.unwrap();
    assert_eq!((office.owed().await, node.accounts().awaiting()), (13_200, vec![code("tours")]));
    assert_eq!(accounts::resume(node).await, 0);
    assert_eq!((office.owed().await, node.accounts().awaiting()), (12_000, vec![]));
    // It may be sold yet.
    sell(6, direct(5, 1)).await.unwrap();
    assert_eq!(accounts::resume(node).await, 0);
    assert_eq!(office.owed().await, 13_200);
    // Charged for a hold of one place, which is of two by now: it is not sold at the price of one.
    let hold = HoldId::new(slot_at(3), 1);
    let of = account::ChargeOf::Sale { sale: hold };
    let charge = account::Command::Charge { of, amount_cents: Cents::new(1_200), extras_cents: Cents::ZERO, museum: MUSEUM };
    node.account(code("tours"), by(40), charge).await.unwrap();
    node.slot(slot_at(3), by(41), Command::Hold { hold, channel: Channel::Group, lines: lines(2) }).await.unwrap();
    let from_hold = || Command::Sell { hold, owner: None, settlement: on_account(), contact: None };
    assert_eq!(sell(42, from_hold()).await, Err(Failure::Refused(accounts::Refusal::Account(account::Refusal::AlreadyCharged))));
    assert_eq!((accounts::resume(node).await, office.owed().await), (0, 13_200));
    let sold = sell(42, from_hold()).await.unwrap();
    assert_eq!(sell(42, from_hold()).await.unwrap(), sold, "a repeat is the same sale");
    assert_eq!((accounts::resume(node).await, office.owed().await), (0, 15_600));
    let all = Command::Cancel { sale: hold, owner: None, tickets: vec![], cause: slot::CancelCause::Museum };
    node.slot(slot_at(3), by(43), all).await.unwrap();
    office.settle().await;
    assert_eq!(office.owed().await, 13_200);
    // Cancelled tickets, of a direct sale and of a quote, are taken back.
    let cancel = |sale, tickets| Command::Cancel { sale, owner: None, tickets, cause: slot::CancelCause::Museum };
    node.slot(slot_at(2), by(7), cancel(HoldId::new(slot_at(2), 1), vec![0, 1])).await.unwrap();
    office.settle().await;
    assert_eq!(office.owed().await, 10_800);
    let quoted = office.sent(20, operator(), visit(10)).await;
    office.accept(quoted, 22, 1, Settle::OnAccount).await.unwrap();
    assert_eq!(office.owed().await, 19_800);
    let Stage::Ticketed { sales, .. } = office.quote(quoted).await.stage().clone() else { panic!("it has tickets") };
    node.slot(slot_at(0), by(24), cancel(sales[0], vec![])).await.unwrap();
    for _ in 0..2 {
        office.settle().await;
        assert_eq!((office.owed().await, node.board().owing()), (10_800, vec![]));
    }
    // The double entry has the debt and the tickets, and nothing on its way.
    let balances: Vec<i64> = balances(node).await.into_values().collect();
    assert_eq!(balances, [10_800, -10_800]);
    office.stop().await;
}

/// The machine stops at any append of an acceptance on account, one part of which has lost its places; then these are free again. Whatever has tickets is paid.
#[actix_rt::test]
async fn what_was_taken_back_is_not_sold_when_there_is_room_again() {
    let mut sold = Vec::new();
    for step in 0..8 {
        let journal = Arc::new(Faulty::default());
        let office = Office::on(Arc::clone(&journal) as _).await;
        office.open().await;
        let id = office.sent(1, operator(), visit(20)).await;
        let option = office.quote(id).await.options_in_force().unwrap().holds[1];
        office.node().slot(slot_at(1), by(3), Command::Release { hold: option, owner: Some(KeyId::SYSTEM) }).await.unwrap();
        office.node().slot(slot_at(1), by(4), sell_there(1, 1, 15)).await.unwrap();
        journal.faults.lock().extend(std::iter::repeat_n(Fault::Pass, step).chain([Fault::Full]));
        let _ = office.accept(id, 5, 1, Settle::OnAccount).await;
        office.stop().await;
        journal.faults.lock().clear();

        let office = Office::on(Arc::clone(&journal) as _).await;
        let cancel = Command::Cancel { sale: HoldId::new(slot_at(1), 1), owner: None, tickets: vec![], cause: slot::CancelCause::Museum };
        office.node().slot(slot_at(1), by(6), cancel).await.unwrap();
        let accepted = office.accept(id, 5, 1, Settle::OnAccount).await;
        assert_eq!(accepted, Ok(()), "stopped at {step}");
        office.settle().await;
        let places = office.places().await;
        let people: u32 = places.iter().map(|(_, sold)| sold).sum();
        assert_eq!((office.status(id).await, office.owed().await), (Status::Ticketed, i64::from(people) * 900), "stopped at {step}: {places:?}");
        sold.push(people);
        office.stop().await;
    }
    assert_eq!((sold[0], sold[7]), (20, 10), "{sold:?}: the flow has been stopped before and after it was known that places are gone");
}

/// A charged sale whose slot cannot be read is looked for again and again, less and less often; others of the same account are settled at once.
#[actix_rt::test]
async fn a_charge_that_cannot_be_settled_keeps_no_other() {
    let journal = Arc::new(Watched::default());
    let office = Office::on(Arc::clone(&journal) as _).await;
    office.open().await;
    office.node().slot(slot_at(0), by(10), sell_there(0, 2, 1)).await.unwrap();
    office.stop().await;
    let office = Office::on(Arc::clone(&journal) as _).await;
    journal.lose(slot_at(0));
    let (node, mut pauses, mut tries) = (office.node(), Pauses::default(), Vec::new());
    for hour in 0..2 {
        let of = account::ChargeOf::Sale { sale: HoldId::new(slot_at(hour), 1) };
        let charge = account::Command::Charge { of, amount_cents: Cents::new(1_200), extras_cents: Cents::ZERO, museum: MUSEUM };
        node.account(code("tours"), by(1 + hour as u128), charge).await.unwrap();
    }
    for s in 0..9 {
        office.house.clock.set(now().plus_seconds(s));
        tries.extend((accounts::resume_due(node, &mut pauses).await == 1).then_some(s));
        assert_eq!(office.owed().await, 1_200, "after {s} seconds the other one is taken back");
    }
    assert_eq!(tries, [0, 1, 3, 7]);
    journal.find();
    assert_eq!((accounts::resume(node).await, office.owed().await), (0, 0));
    office.stop().await;
}
