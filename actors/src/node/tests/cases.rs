//! Fraud cases over restarts: what a verdict asks for is done by whoever finds it, a case that nobody looks at lapses by itself, and what follows from the journal at start
//! is what was known before.

use tornello_engine::case::{self, Opened, Origin, Status, Subject, Verdict};
use tornello_engine::fraud_rules::{self, Action, Condition, Op, Rule};
use tornello_engine::model_registry::{self, ModelKind};

use super::*;
use crate::cases::{case_of, decide, resume, undo};

fn sale() -> HoldId {
    HoldId::new(tomorrow(), 1)
}

fn opened() -> case::Command {
    let (due_at, lapses_at) = (now().plus_seconds(3_600), now().plus_seconds(7_200));
    case::Command::Open(Box::new(Opened {
        subject: Subject::Sale(sale()),
        origin: Origin::Review,
        assessment: None,
        slot: Some(tomorrow()),
        museum: MUSEUM,
        channel: Channel::BoxOffice,
        amount_cents: Cents::new(2_400),
        parties: vec![],
        due_at,
        lapses_at,
    }))
}

async fn blocked(node: &Node) -> Vec<bool> {
    let tickets = |slot: &Slot| slot.sale_of(sale()).map(|sale| sale.tickets.iter().map(|ticket| ticket.blocked.is_some()).collect());
    node.look(tomorrow(), tickets).await.unwrap().unwrap_or_default()
}

#[actix_rt::test]
async fn what_a_verdict_asks_for_is_done_after_a_crash_and_undone_once() {
    let journal = Arc::new(MemoryJournal::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    house.ask(1, sell(1, 2)).await.unwrap();
    let id = case_of(Subject::Sale(sale()));
    house.node().case(id, by(10), opened()).await.unwrap();
    // Only the verdict is written: whoever gave it went away before the tickets were blocked.
    let fraud = case::Command::Decide { verdict: Verdict::Fraud, reason: code("bot"), by: KeyId(4) };
    house.node().case(id, by(11), fraud).await.unwrap();
    house.running.stop().await;

    let house = House::on(Arc::clone(&journal) as _).await;
    let node = house.node();
    resume(node).await.unwrap();
    assert_eq!((blocked(node).await, node.cases().working()), (vec![true, true], vec![]));
    // Staff have blocked one for another reason: that stays.
    house.ask(12, Command::Block { sale: sale(), tickets: vec![1], reason: code("torn") }).await.unwrap();
    undo(node, id, by(13)).await.unwrap();
    assert_eq!(blocked(node).await, [false, true]);
    decide(node, id, by(14), Verdict::Legit, code("family")).await.unwrap();
    decide(node, id, by(14), Verdict::Legit, code("family")).await.unwrap();
    let records = node.look_case(id, |case| (case.seq(), case.pending(), case.status())).await.unwrap();
    resume(node).await.unwrap();
    assert_eq!(node.look_case(id, |case| (case.seq(), case.pending(), case.status())).await.unwrap(), records, "nothing is done twice");
    assert_eq!((records.1, records.2), (None, Some(Status::Decided)));
    house.running.stop().await;
    let verified = crate::verify::verify(journal.as_ref(), false, |_| {}).await.unwrap();
    assert_eq!(verified.beside, 1);
}

#[actix_rt::test]
async fn a_case_that_nobody_looks_at_lapses_also_after_a_restart() {
    let journal = Arc::new(MemoryJournal::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    let mut news = house.node().cases().watch();
    let id = case_of(Subject::Sale(sale()));
    house.node().case(id, by(10), opened()).await.unwrap();
    assert_eq!(news.try_recv().map(|news| news.case).ok(), Some(id));
    house.running.stop().await;
    let house = House::on(Arc::clone(&journal) as _).await;
    let node = house.node();
    assert_eq!((node.cases().open(), node.cases().next_wake()), (1, Some(now().plus_seconds(7_200))));
    house.clock.set(now().plus_seconds(7_200));
    node.wake_due().await;
    assert_eq!(node.look_case(id, |case| case.status()).await, Ok(Some(Status::Lapsed)));
    assert_eq!((node.cases().open(), node.cases().next_wake()), (0, None));
    house.running.stop().await;
}

#[actix_rt::test]
async fn rules_and_models_are_at_hand_after_a_restart() {
    let journal = Arc::new(MemoryJournal::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    let when = vec![Condition { feature: code("person_unsold_1h"), op: Op::AtLeast, threshold_milli: 5_000 }];
    let sentence = Text::new("Troppe prenotazioni", "Too many holds");
    let rule = Box::new(Rule { name: code("hoarding"), when, channels: vec![], museums: vec![], action: Action::Review, sentence });
    house.node().rules(by(1), fraud_rules::Command::Draft { rule, by: KeyId(1) }).await.unwrap();
    house.node().rules(by(2), fraud_rules::Command::Activate { name: code("hoarding"), by: KeyId(2) }).await.unwrap();
    let register = model_registry::Command::Register { artifact: code("forest-1"), checksum: Digest(1), card: Digest(2), by: KeyId(1) };
    house.node().models(ModelKind::Fraud, by(3), register).await.unwrap();
    let before = (house.node().defences().rules(), house.node().defences().models(ModelKind::Fraud));
    assert_eq!((before.0.version(), before.1.known().len()), (1, 1));
    house.running.stop().await;
    let house = House::on(journal).await;
    assert_eq!((house.node().defences().rules(), house.node().defences().models(ModelKind::Fraud)), before);
    house.running.stop().await;
}
