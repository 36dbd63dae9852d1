//! Quotes that have tickets and are called off, by the museum or because the last of their tickets is gone: tickets, fee and extras go back, whatever stops in between.

use super::super::payments::balances;
use super::*;
use crate::moves::{self, move_tickets};

/// A school of twenty with a fee, paid and with tickets: 180.00 by its account's prices, and 5.00 beside.
async fn with_tickets(office: &Office, settle: Settle) -> (QuoteId, Vec<HoldId>) {
    let id = office.sent(1, about(Kind::School, Some("tours")), visit(20)).await;
    assert_eq!(office.quote(id).await.offer().unwrap().total_cents, Cents::new(18_500));
    office.accept(id, 3, 1, settle).await.unwrap();
    if settle == Settle::Notice {
        office.pay(id).await;
    }
    let Stage::Ticketed { sales, .. } = office.quote(id).await.stage().clone() else { panic!("it has tickets") };
    (id, sales)
}

const CALL_OFF: quote::Command = quote::Command::Cancel { owner: None, cause: quote::CancelCause::Museum };

/// What the payment of a quote keeps for tickets and for extras, and what is to go back.
async fn kept(office: &Office, id: QuoteId) -> [i64; 3] {
    let payment = office.quote(id).await.payment().unwrap();
    let payment = office.node().look_payment(payment, Clone::clone).await.unwrap();
    assert_eq!(payment.recount(), Ok(()));
    let payment::Money { tickets, extras, owed, .. } = *payment.money();
    [tickets, extras, owed].map(Cents::get)
}

/// The fee goes back with the tickets to whoever paid, a payment or the account; tickets that have moved are cancelled where they are.
#[actix_rt::test]
async fn what_the_museum_calls_off_goes_back_whole() {
    for settle in [Settle::Notice, Settle::OnAccount] {
        let office = Office::new().await;
        let node = office.node();
        let (id, sales) = with_tickets(&office, settle).await;
        let (arrival, prices) = (HoldId::new(slot_at(2), 7), vec![(code("full"), Cents::new(900))]);
        let begin = Command::BeginMove { sale: sales[0], owner: None, tickets: vec![0, 1], arrival, via: Channel::BoxOffice, prices };
        move_tickets(node, slot_at(0), by(4), begin).await.unwrap();
        let group = quote::Command::Cancel { owner: None, cause: quote::CancelCause::Group };
        let other_state = quote::Refusal::WrongState { state: Status::Ticketed };
        assert_eq!(ask(node, id, by(5), group).await, Err(Failure::Refused(quotes::Refusal::Quote(other_state))));
        ask(node, id, by(6), CALL_OFF).await.unwrap();
        for _ in 0..2 {
            office.settle().await;
            let quote = office.quote(id).await;
            assert_eq!((quote.status(), quote.work(), office.places().await), (Status::Cancelled, None, [(0, 0), (0, 0)]), "{settle:?}");
            let there = node.look(slot_at(2), |slot| slot.places().sold.iter().sum::<u32>()).await.unwrap();
            assert_eq!((there, office.owed().await, node.board().owing()), (0, 0, vec![]), "{settle:?}");
        }
        if settle == Settle::Notice {
            assert_eq!(kept(&office, id).await, [0, 0, 18_500]);
            let payment = office.quote(id).await.payment().unwrap();
            let refunded = node.look_payment(payment, Payment::refunded).await.unwrap();
            assert_eq!(refunded, payment::Refunded::Whole);
        }
        let balances: Vec<i64> = balances(node).await.into_values().collect();
        let expected: &[i64] = if settle == Settle::Notice { &[18_500, -18_500] } else { &[] };
        assert_eq!(balances, expected, "{settle:?}: nothing is on its way, and no extra is kept");
        ask(node, id, by(6), CALL_OFF).await.unwrap();
        office.stop().await;
    }
}

/// When none of its tickets stands any more a quote is cancelled too; its fee goes back if the museum was the cause.
#[actix_rt::test]
async fn a_quote_follows_the_last_of_its_tickets() {
    for (cause, fee) in [(slot::CancelCause::Museum, 0), (slot::CancelCause::Visitor, 500)] {
        let office = Office::new().await;
        let node = office.node();
        let (id, sales) = with_tickets(&office, Settle::Notice).await;
        let cancel = |sale| Command::Cancel { sale, owner: None, tickets: vec![], cause };
        node.slot(slot_at(0), by(4), cancel(sales[0])).await.unwrap();
        office.settle().await;
        assert_eq!((office.status(id).await, kept(&office, id).await[1]), (Status::Ticketed, 500), "{cause:?}: the others come");
        node.slot(slot_at(1), by(5), cancel(sales[1])).await.unwrap();
        for _ in 0..2 {
            office.settle().await;
            assert_eq!((office.status(id).await, kept(&office, id).await[1]), (Status::Cancelled, fee), "{cause:?}");
        }
        let called_off = if fee == 0 { quote::CancelCause::Museum } else { quote::CancelCause::Group };
        assert!(matches!(office.quote(id).await.stage(), Stage::CalledOff { cause, .. } if *cause == called_off));
        office.stop().await;
    }
}

/// The office named the group as the cause, and it was the museum: what was not paid back of the tickets goes back, and the fee with it, once.
#[actix_rt::test]
async fn a_quote_hears_that_the_museum_was_the_cause_after_all() {
    for settle in [Settle::Notice, Settle::OnAccount] {
        let office = Office::new().await;
        let node = office.node();
        let (id, sales) = with_tickets(&office, settle).await;
        // So late that nothing goes back by the policy.
        office.house.clock.set(slot_at(0).start());
        for (key, sale) in [(4, sales[0]), (5, sales[1])] {
            let cancel = Command::Cancel { sale, owner: None, tickets: vec![], cause: slot::CancelCause::Visitor };
            node.slot(sale.slot(), by(key), cancel).await.unwrap();
        }
        quotes::tickets_cancelled(node, id, slot::CancelCause::Visitor).await.unwrap();
        office.settle().await;
        let called_off = |quote: &Quote, by: quote::CancelCause| matches!(quote.stage(), Stage::CalledOff { cause, .. } if *cause == by);
        assert!(called_off(&office.quote(id).await, quote::CancelCause::Group), "{settle:?}");
        assert_eq!(node.board().owing(), vec![], "{settle:?}: nothing is handed over");
        for (key, sale) in [(6, sales[0]), (7, sales[1])] {
            node.slot(sale.slot(), by(key), Command::CorrectCause { sale, owner: None }).await.unwrap();
        }
        for _ in 0..2 {
            office.settle().await;
            let quote = office.quote(id).await;
            assert!(called_off(&quote, quote::CancelCause::Museum) && quote.work().is_none(), "{settle:?}: {:?}", quote.stage());
            assert_eq!((office.owed().await, node.board().owing()), (0, vec![]), "{settle:?}");
            if settle == Settle::Notice {
                assert_eq!(kept(&office, id).await, [0, 0, 18_500]);
            }
        }
        let again = node.slot(sales[0].slot(), by(8), Command::CorrectCause { sale: sales[0], owner: None }).await;
        assert_eq!(again.map(drop), Err(Failure::Refused(Refusal::NothingToPayBack)), "{settle:?}");
        office.stop().await;
    }
}

/// Twenty pupils who enter free, five of whom are beyond the free quota of the fee: 5.00, and nothing that a slot would have to hand over when their tickets are cancelled.
async fn pupils_with_tickets(office: &Office) -> (QuoteId, Vec<HoldId>) {
    let id = office.sent(1, about(Kind::School, None), pupils(20)).await;
    office.accept(id, 3, 1, Settle::Notice).await.unwrap();
    office.pay(id).await;
    let Stage::Ticketed { sales, .. } = office.quote(id).await.stage().clone() else { panic!("it has tickets") };
    assert_eq!(kept(office, id).await, [0, 500, 0]);
    (id, sales)
}

/// An office that does nothing by itself: what is resumed is resumed when it is asked for.
async fn in_folder(folder: &TempDir, at: Timestamp) -> Office {
    let clock = Arc::new(ManualClock::new(at));
    let settings = Settings { drives: false, ..Settings::new(folder.path()) };
    let running = Node::start(&settings, Arc::clone(&clock) as _, |_| {}).await.unwrap();
    assert!(running.node().connect(Arc::new(Yes)));
    Office { house: House { running, clock } }
}

async fn listed(office: &Office) {
    office.node().files().unwrap().views.reach(office.node().head().number).await;
}

/// The node stops between the last of a quote's free tickets and the word to the quote: nothing goes back for them, so no slot owes a word. The next one tells it, and knows why.
#[actix_rt::test]
async fn a_quote_hears_after_a_restart_that_the_last_of_its_free_tickets_is_gone() {
    for (cause, fee) in [(slot::CancelCause::Museum, 0), (slot::CancelCause::Visitor, 500)] {
        let folder = TempDir::new().unwrap();
        let office = in_folder(&folder, now()).await;
        office.open().await;
        let (id, sales) = pupils_with_tickets(&office).await;
        let cancel = |sale, cause| Command::Cancel { sale, owner: None, tickets: vec![], cause };
        // The first part for another reason, and moved before.
        let (arrival, prices) = (HoldId::new(slot_at(2), 7), vec![(code("school-pupil"), Cents::ZERO)]);
        let begin = Command::BeginMove { sale: sales[0], owner: None, tickets: vec![0, 1], arrival, via: Channel::BoxOffice, prices };
        move_tickets(office.node(), slot_at(0), by(4), begin).await.unwrap();
        for (key, sale) in [(5, sales[0]), (6, arrival)] {
            office.node().slot(sale.slot(), by(key), cancel(sale, slot::CancelCause::Visitor)).await.unwrap();
        }
        listed(&office).await;
        assert_eq!((resume(office.node()).await, office.status(id).await), (0, Status::Ticketed), "{cause:?}: the others come");
        office.house.clock.set(now().plus_seconds(60));
        office.node().slot(slot_at(1), by(7), cancel(sales[1], cause)).await.unwrap();
        assert_eq!(office.node().board().owing(), vec![], "{cause:?}: nobody hands anything over");
        office.stop().await;

        let office = in_folder(&folder, now().plus_seconds(120)).await;
        listed(&office).await;
        for _ in 0..2 {
            office.settle().await;
            let quote = office.quote(id).await;
            let called_off = if fee == 0 { quote::CancelCause::Museum } else { quote::CancelCause::Group };
            assert!(matches!(quote.stage(), Stage::CalledOff { cause, .. } if *cause == called_off), "{cause:?}: {:?}", quote.stage());
            assert_eq!((quote.status(), kept(&office, id).await), (Status::Cancelled, [0, fee, 500 - fee]), "{cause:?}");
        }
        office.stop().await;
    }
}

/// Tickets may be cancelled where they have just arrived, before it is written that they have left: their quote is asked again when it is.
#[actix_rt::test]
async fn a_quote_follows_tickets_that_are_cancelled_before_their_move_has_ended() {
    let office = Office::new().await;
    let node = office.node();
    let (id, sales) = with_tickets(&office, Settle::Notice).await;
    let (sale, arrival, prices) = (sales[0], HoldId::new(slot_at(2), 7), vec![(code("full"), Cents::new(900))]);
    let begin = Command::BeginMove { sale, owner: None, tickets: vec![], arrival, via: Channel::BoxOffice, prices };
    node.slot(slot_at(0), by(4), begin).await.unwrap();
    let arrive = move |slot: &Slot| slot.begun(arrival).and_then(|begun| slot.arrival(begun));
    let arrive = node.look(slot_at(0), arrive).await.unwrap().unwrap();
    node.slot(slot_at(2), by(5), arrive).await.unwrap();
    for (key, sale) in [(6, arrival), (7, sales[1])] {
        let cancel = Command::Cancel { sale, owner: None, tickets: vec![], cause: slot::CancelCause::Museum };
        node.slot(sale.slot(), by(key), cancel).await.unwrap();
    }
    assert!(payments::resume(node).await > 0, "where some of them stand is not known yet");
    assert_eq!((office.status(id).await, kept(&office, id).await), (Status::Ticketed, [0, 500, 18_000]));
    assert_eq!(moves::resume(node).await, 0);
    office.settle().await;
    assert_eq!((office.status(id).await, kept(&office, id).await), (Status::Cancelled, [0, 0, 18_500]));
    assert_eq!(node.board().owing(), vec![]);
    office.stop().await;
}

/// The node fails at the given append of calling a quote off, in one of the ways in which a journal fails; then another one starts on the same journal.
#[actix_rt::test]
async fn calling_off_goes_on_from_any_step() {
    for settle in [Settle::Notice, Settle::OnAccount] {
        for step in 0..10 {
            for fault in [Fault::Full, Fault::Lost, Fault::Written, Fault::Flush] {
                let case = format!("{fault:?} at step {step}, {settle:?}");
                let journal = Arc::new(Faulty::default());
                let office = Office::on(Arc::clone(&journal) as _).await;
                office.open().await;
                let (id, _) = with_tickets(&office, settle).await;
                journal.faults.lock().extend(std::iter::repeat_n(Fault::Pass, step).chain([fault]));
                let _ = ask(office.node(), id, by(6), CALL_OFF).await;
                let _ = payments::resume(office.node()).await;
                let _ = resume(office.node()).await;
                office.stop().await;
                journal.faults.lock().clear();

                let office = Office::on(Arc::clone(&journal) as _).await;
                office.settle().await;
                assert_eq!(ask(office.node(), id, by(6), CALL_OFF).await, Ok(()), "{case}");
                office.settle().await;
                let quote = office.quote(id).await;
                assert_eq!((quote.status(), quote.work(), office.places().await), (Status::Cancelled, None, [(0, 0), (0, 0)]), "{case}");
                if settle == Settle::Notice {
                    assert_eq!(kept(&office, id).await, [0, 0, 18_500], "{case}");
                }
                assert_eq!((office.owed().await, office.node().board().owing()), (0, vec![]), "{case}");
                let balances = balances(office.node()).await;
                assert_eq!(balances.len(), if settle == Settle::Notice { 2 } else { 0 }, "{case}: {balances:?}");
                office.stop().await;
                crate::verify::verify(journal.as_ref(), false, |_| {}).await.unwrap();
            }
        }
    }
}
