//! The flow of a quote, stopped after every step in turn, and beside a quote that does not go on: no place is kept for nobody, no account charged for nothing.

use super::super::streams::Watched;
use super::*;
use crate::pauses::Pauses;

/// A quote whose slot cannot be read is tried again and again, less and less often; whatever others have to do is done in the same second.
#[actix_rt::test]
async fn a_quote_that_does_not_go_on_keeps_no_other() {
    let journal = Arc::new(Watched::default());
    let office = Office::on(Arc::clone(&journal) as _).await;
    office.open().await;
    let mut others = Vec::new();
    for n in 0..9 {
        others.push(office.sent(10 + 2 * n as u128, operator(), Asked { slots: vec![slot_at(1 + n / 3)], ..visit(5) }).await);
    }
    let stuck = office.sent(40, operator(), visit(10)).await;
    office.stop().await;

    let office = Office::on(Arc::clone(&journal) as _).await;
    journal.lose(slot_at(0));
    let (node, mut pauses, mut tries) = (office.node(), Pauses::default(), Vec::new());
    // What follows is left to whoever resumes it.
    let cancel = |n: u64, id| node.quote(id, by(100 + u128::from(n)), quote::Command::Cancel { owner: None, cause: quote::CancelCause::Group });
    cancel(99, stuck).await.unwrap();
    for (s, other) in (0..).zip(&others) {
        office.house.clock.set(now().plus_seconds(s));
        cancel(s as u64, *other).await.unwrap();
        tries.extend((quotes::resume_due(node, &mut pauses).await == 1).then_some(s));
        assert_eq!(node.quotes().working(), [stuck], "after {s} seconds the others have given their places back");
    }
    assert_eq!(tries, [0, 1, 3, 7]);
    journal.find();
    office.settle().await;
    assert_eq!((node.quotes().working(), office.places().await), (vec![], [(0, 0), (0, 0)]));
    office.stop().await;
}

/// A quote that was sent for two slots, and what was done with it; an office that has started anew since, so that nobody is in memory; and a journal of which the first slot cannot be read.
async fn half_lost(then: impl AsyncFnOnce(&Office, QuoteId)) -> (Arc<Watched>, Office, QuoteId) {
    let journal = Arc::new(Watched::default());
    let office = Office::on(Arc::clone(&journal) as _).await;
    office.open().await;
    let id = office.sent(1, operator(), visit(20)).await;
    then(&office, id).await;
    office.stop().await;
    let office = Office::on(Arc::clone(&journal) as _).await;
    journal.lose(slot_at(0));
    (journal, office, id)
}

#[actix_rt::test]
async fn a_part_whose_slot_cannot_be_read_keeps_no_other_from_being_given_back() {
    let (journal, office, id) = half_lost(async |_, _| {}).await;
    let node = office.node();
    ask(node, id, by(3), quote::Command::Cancel { owner: None, cause: quote::CancelCause::Group }).await.unwrap();
    let held = node.look(slot_at(1), |slot: &Slot| slot.places().held.iter().sum::<u32>()).await.unwrap();
    assert_eq!((node.quotes().working(), held), (vec![id], 0));
    journal.find();
    office.settle().await;
    assert_eq!((node.quotes().working(), office.places().await), (vec![], [(0, 0), (0, 0)]));
    office.stop().await;
}

/// A group is taken out of a slot that does not answer: it pays and has its tickets elsewhere, and that slot gives its places back when it can.
#[actix_rt::test]
async fn a_slot_that_a_group_has_left_and_that_cannot_be_read_keeps_no_tickets_in_others() {
    let (journal, office, id) = half_lost(async |_, _| {}).await;
    let node = office.node();
    let elsewhere = Asked { slots: vec![slot_at(1), slot_at(2)], ..visit(20) };
    assert_eq!(revise(node, id, by(3), None, elsewhere).await, Ok(()));
    assert_eq!((office.status(id).await, office.quote(id).await.revision()), (Status::Sent, 2));
    assert_eq!(office.accept(id, 4, 2, Settle::Notice).await, Ok(()));
    let payment = office.quote(id).await.payment().unwrap();
    payments::receive(node, payment, receipt(Cents::new(18_000))).await.unwrap();
    assert_eq!((payments::resume(node).await, resume(node).await), (0, 1), "the places in the slot that cannot be read are left");
    let Stage::Ticketed { sales, missing } = office.quote(id).await.stage().clone() else { panic!("it has tickets") };
    assert_eq!((sales.iter().map(|sale| sale.slot()).collect::<Vec<_>>(), missing), (vec![slot_at(1), slot_at(2)], vec![]));
    assert_eq!(node.quotes().working(), [id]);
    journal.find();
    office.settle().await;
    assert_eq!((node.quotes().working(), office.places().await), (vec![], [(0, 0), (0, 10)]));
    office.stop().await;
}

#[actix_rt::test]
async fn a_part_whose_slot_cannot_be_read_keeps_no_other_from_its_tickets() {
    let (journal, office, id) = half_lost(async |_, _| {}).await;
    // As when it was charged, and the slot could be read no more when its tickets were to be made.
    let node = office.node();
    node.quote(id, by(3), accepted(1, Settle::OnAccount)).await.unwrap();
    let of = office.quote(id).await.charge();
    let charge = account::Command::Charge { of, amount_cents: Cents::new(18_000), extras_cents: Cents::ZERO, museum: MUSEUM };
    node.account(code("tours"), by(4), charge).await.unwrap();
    node.quote(id, by(5), quote::Command::MarkPaid { payment: None }).await.unwrap();
    assert_eq!(resume(node).await, 1);
    let sold = node.look(slot_at(1), |slot: &Slot| slot.places().sold.iter().sum::<u32>()).await.unwrap();
    assert_eq!((office.status(id).await, sold), (Status::Paid, 10));
    journal.find();
    office.settle().await;
    assert_eq!((office.status(id).await, office.places().await, office.owed().await), (Status::Ticketed, [(0, 10), (0, 10)], 18_000));
    office.stop().await;
}

#[actix_rt::test]
async fn a_part_whose_slot_cannot_be_read_keeps_no_other_from_being_called_off() {
    let (journal, office, id) = half_lost(async |office: &Office, id| {
        office.accept(id, 3, 1, Settle::OnAccount).await.unwrap();
        assert_eq!(office.places().await, [(0, 10), (0, 10)]);
    })
    .await;
    let node = office.node();
    ask(node, id, by(4), quote::Command::Cancel { owner: None, cause: quote::CancelCause::Museum }).await.unwrap();
    let sold = node.look(slot_at(1), |slot: &Slot| slot.places().sold.iter().sum::<u32>()).await.unwrap();
    assert_eq!((node.quotes().working(), sold), (vec![id], 0));
    journal.find();
    for _ in 0..2 {
        office.settle().await;
    }
    assert_eq!((node.quotes().working(), office.places().await, office.owed().await), (vec![], [(0, 0), (0, 0)], 0));
    office.stop().await;
}

/// How a flow goes on after it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    OnAccount,
    Notice,
    Revision,
    Full,
}

/// The node fails at the given append of the flow, in one of the ways in which a journal fails; then another one starts on the same journal.
#[actix_rt::test]
async fn stopped_at_any_step_it_ends_as_if_nothing_had_happened() {
    for then in [Then::OnAccount, Then::Notice, Then::Revision, Then::Full] {
        for step in 0..14 {
            for fault in [Fault::Full, Fault::Lost, Fault::Written, Fault::Flush] {
                let case = format!("{fault:?} at step {step}, then {then:?}");
                stopped(step, fault, then, &case).await;
            }
        }
    }
}

/// What everybody asks, in order; each repeats it under the same key until it is answered.
async fn flow(office: &Office, then: Then) -> quotes::Step<QuoteId> {
    let node = office.node();
    let id = draft(node, by(10), operator(), visit(20)).await?;
    let sent = send(node, id, by(11), None).await;
    match then {
        Then::Full => {
            if let Err(failure) = &sent
                && !matches!(failure, Failure::Refused(_))
            {
                sent?;
            } else {
                assert_eq!(sent, refused(1, 10, 5));
            }
        }
        Then::OnAccount => {
            sent?;
            office.accept(id, 12, 1, Settle::OnAccount).await?;
        }
        Then::Revision => {
            sent?;
            revise(node, id, by(12), None, visit(10)).await?;
        }
        Then::Notice => {
            sent?;
            office.accept(id, 12, 1, Settle::Notice).await?;
            let payment = node.look_quote(id, |quote| quote.payment()).await.map_err(|failure| failure.map(quotes::Refusal::Quote))?;
            let Some(payment) = payment else { return Err(Failure::OutcomeUnknown) };
            match payments::receive(node, payment, receipt(Cents::new(18_000))).await {
                Ok(()) | Err(Failure::Refused(_)) => {}
                Err(_) => return Err(Failure::OutcomeUnknown),
            }
            let _ = payments::resume(node).await;
            let _ = resume(node).await;
        }
    }
    Ok(id)
}

async fn stopped(step: usize, fault: Fault, then: Then, case: &str) {
    let journal = Arc::new(Faulty::default());
    let office = Office::on(Arc::clone(&journal) as _).await;
    office.open().await;
    if then == Then::Full {
        office.node().slot(slot_at(1), by(1), sell_there(1, 1, 15)).await.unwrap();
    }
    journal.faults.lock().extend(std::iter::repeat_n(Fault::Pass, step).chain([fault]));
    let _ = flow(&office, then).await;
    office.stop().await;
    journal.faults.lock().clear();
    for round in ["at once", "after another restart"] {
        let office = Office::on(Arc::clone(&journal) as _).await;
        office.settle().await;
        let id = flow(&office, then).await;
        let id = id.unwrap_or_else(|failure| panic!("{case}, {round}: {failure:?}"));
        office.settle().await;
        let (status, revision, places, owed) = match then {
            Then::OnAccount => (Status::Ticketed, 1, [(0, 10), (0, 10)], 18_000),
            Then::Notice => (Status::Ticketed, 1, [(0, 10), (0, 10)], 0),
            Then::Revision => (Status::Sent, 2, [(10, 0), (0, 0)], 0),
            Then::Full => (Status::Draft, 1, [(0, 0), (0, 15)], 0),
        };
        let quote = office.quote(id).await;
        assert_eq!((quote.status(), quote.revision()), (status, revision), "{case}, {round}: {quote:?}");
        assert_eq!((office.places().await, office.owed().await), (places, owed), "{case}, {round}");
        let head = office.node().quotes().head(id).unwrap();
        assert!(!head.has_work && quote.options().len() <= 1, "{case}, {round}: {:?}", quote.options());
        office.stop().await;
        crate::verify::verify(journal.as_ref(), false, |_| {}).await.unwrap();
    }
}
