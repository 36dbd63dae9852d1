//! Fraud cases over restarts: what a verdict asks for is done by whoever finds it, a case that nobody looks at lapses by itself, and what follows from the journal at start
//! is what was known before.

use tornello_engine::attempts::{Attempt, Ending, day_of};
use tornello_engine::case::{self, Known, Label, LabelSource, Opened, Origin, Status, Subject, Verdict};
use tornello_engine::envelope::{Assessment, Outcome, Party, PartyKind};
use tornello_engine::fraud_rules::{self, Action, Condition, Op, Rule};
use tornello_engine::ids::{AttemptId, CaseId};
use tornello_engine::model_registry::{self, ModelKind};

use super::limits::an_hour_later;
use super::*;
use crate::cases::appeals::{self, Appealed};
use crate::cases::{Blocked, blocked_of as blocked_by_verdict, case_of, decide, fraud_said_of, label, resume, step_at, undo};
use crate::moves::{self, move_tickets};

fn sale() -> HoldId {
    HoldId::new(tomorrow(), 1)
}

fn opened() -> case::Command {
    opened_about(sale())
}

fn opened_about(sale: HoldId) -> case::Command {
    let (due_at, lapses_at) = (now().plus_seconds(3_600), now().plus_seconds(7_200));
    let of_web = suspicion(Subject::Sale(sale), Some(sale.slot()), None, lapses_at);
    case::Command::Open(Box::new(Opened { channel: Channel::BoxOffice, amount_cents: Cents::new(2_400), due_at, ..of_web }))
}

/// Something that a web buyer did is suspected, for what was said of it, until it lapses.
pub(super) fn suspicion(subject: Subject, slot: Option<SlotId>, assessment: Option<Assessment>, lapses_at: Timestamp) -> Opened {
    Opened {
        subject,
        origin: Origin::Review,
        assessment,
        slot,
        museum: MUSEUM,
        channel: Channel::Web,
        amount_cents: Cents::new(1_200),
        parties: Vec::new(),
        due_at: lapses_at,
        lapses_at,
    }
}

/// A house with a sale of two tickets, and a case about it that nobody has looked at.
async fn suspected() -> (House, CaseId) {
    let (house, id) = (House::new().await, case_of(Subject::Sale(sale())));
    house.ask(1, sell(1, 2)).await.unwrap();
    house.node().case(id, by(10), opened()).await.unwrap();
    (house, id)
}

/// The same, with the tickets under review.
async fn under_review() -> (House, CaseId) {
    let (house, id) = suspected().await;
    house.ask(2, Command::Review { sale: sale() }).await.unwrap();
    (house, id)
}

async fn blocked(node: &Node) -> Vec<bool> {
    blocked_of(node, sale()).await
}

async fn blocked_of(node: &Node, sale: HoldId) -> Vec<bool> {
    let tickets = move |slot: &Slot| slot.sale_of(sale).map(|sale| sale.tickets.iter().map(|ticket| ticket.blocked.is_some()).collect());
    node.look(sale.slot(), tickets).await.unwrap().unwrap_or_default()
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

/// What the case is told of it is what the report counts by: whoever was blocked by mistake, and is so no more before they complained, was not hurt.
#[actix_rt::test]
async fn a_block_that_was_lifted_before_a_crash_is_noted_as_lifted() {
    let (house, id) = suspected().await;
    let node = house.node();
    decide(node, id, by(11), Verdict::Fraud, code("resold")).await.unwrap();
    // The slot has lifted it, and whoever asked for that ended before the case was told.
    let acting = node.cases().acting().await;
    node.case(id, by(12), case::Command::Undo).await.unwrap();
    let seq = node.look_case(id, |case| case.seq()).await.unwrap();
    let lift = Command::Unblock { sale: sale(), tickets: vec![0, 1], reason: Some(code("fraud")), keeps: None };
    node.slot(tomorrow(), step_at(id, b"unblock", seq, sale(), &[]), lift).await.unwrap();
    drop(acting);
    resume(node).await.unwrap();
    let acted = |event| if let case::Event::Acted(acted) = event { Some((acted.action, acted.done)) } else { None };
    let records = node.case_records(id).await.unwrap();
    let acted: Vec<_> = records.into_iter().flat_map(|record| record.events).filter_map(acted).collect();
    assert_eq!(acted, [(case::Action::Block, true), (case::Action::Unblock, true)]);
    assert_eq!((blocked(node).await, node.cases().working()), (vec![false, false], vec![]));
    house.running.stop().await;
}

/// Nobody acts in between, as when a slot does not answer for a while, or several analysts decide at once.
#[actix_rt::test]
async fn verdicts_that_are_undone_faster_than_they_are_followed_leave_nothing_blocked() {
    let (house, id) = suspected().await;
    let node = house.node();
    decide(node, id, by(11), Verdict::Fraud, code("resold")).await.unwrap();
    assert_eq!(blocked(node).await, [true, true]);
    let legit = case::Command::Decide { verdict: Verdict::Legit, reason: code("family"), by: KeyId(4) };
    for (key, command) in [(12, case::Command::Undo), (13, legit), (14, case::Command::Undo)] {
        node.case(id, by(key), command).await.unwrap();
    }
    assert_eq!(node.look_case(id, |case| (case.pending(), case.verdict().cloned())).await, Ok((Some(case::Action::Review), None)));
    resume(node).await.unwrap();
    assert_eq!((blocked(node).await, node.cases().working()), (vec![false, false], vec![]), "no verdict stands");
    house.running.stop().await;
}

#[actix_rt::test]
async fn what_cannot_be_done_about_a_case_is_told_so_that_it_is_tried_again() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    let node = house.node();
    open_museum(node).await;
    house.ask(1, sell(1, 2)).await.unwrap();
    let id = case_of(Subject::Sale(sale()));
    node.case(id, by(10), opened()).await.unwrap();
    let fraud = case::Command::Decide { verdict: Verdict::Fraud, reason: code("bot"), by: KeyId(4) };
    // Nobody acts before the disk is full: the node looks for what is to be done by itself.
    let acting = node.cases().acting().await;
    node.case(id, by(11), fraud).await.unwrap();
    journal.full.store(true, Ordering::Relaxed);
    drop(acting);
    assert_eq!((resume(node).await.unwrap(), blocked(node).await), (1, vec![false, false]));
    journal.full.store(false, Ordering::Relaxed);
    while node.health() != Health::Writing {
        tokio::task::yield_now().await;
    }
    assert_eq!((resume(node).await.unwrap(), blocked(node).await), (0, vec![true, true]));
    house.running.stop().await;
}

/// Its review begins anew, and nobody would see that it does.
#[actix_rt::test]
async fn a_verdict_that_is_undone_when_the_time_of_its_case_is_over_is_to_be_looked_at_again() {
    let (house, id) = suspected().await;
    let node = house.node();
    decide(node, id, by(11), Verdict::Legit, code("family")).await.unwrap();
    let undone_at = now().plus_seconds(10_000);
    house.clock.set(undone_at);
    node.wake_due().await;
    undo(node, id, by(12)).await.unwrap();
    node.wake_due().await;
    // The visit is in less than a day: whoever looked when that is over would find tickets that had been good for hours.
    let until = reviewed_until(node, sale()).await.unwrap();
    assert!(undone_at < until && until < undone_at.plus_seconds(86_400), "{until}");
    let deadlines = (until, undone_at.plus_seconds(7 * 86_400));
    assert_eq!(node.look_case(id, |case| (case.status(), case.deadlines())).await, Ok((Some(Status::Open), deadlines)));
    assert_eq!((node.cases().open(), node.cases().next_wake()), (1, Some(deadlines.1)));
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_case_is_open_as_long_as_the_review_that_an_undone_verdict_begins_anew() {
    let (house, id) = suspected().await;
    let node = house.node();
    decide(node, id, by(11), Verdict::Legit, code("family")).await.unwrap();
    undo(node, id, by(12)).await.unwrap();
    let until = reviewed_until(node, sale()).await;
    assert!(until.is_some_and(|until| until > now().plus_seconds(7_200)), "longer than the first one");
    assert_eq!(node.look_case(id, |case| (case.status(), case.pending(), Some(case.deadlines().1))).await, Ok((Some(Status::Open), None, until)));
    // Whoever looks for what is to be done finds nothing.
    let seq = node.look_case(id, |case| case.seq()).await.unwrap();
    resume(node).await.unwrap();
    assert_eq!(node.look_case(id, |case| case.seq()).await, Ok(seq));
    house.running.stop().await;
}

/// A bank had taken a chargeback back before anybody looked, so the case was never told of that; then it was, by lists that were being built again.
#[actix_rt::test]
async fn a_case_knows_what_a_bank_said_last_whatever_it_was_told_in_between() {
    let (house, id) = suspected().await;
    let node = house.node();
    let (won, charged_back) = ((Label::Legit, LabelSource::Dispute), (Label::Fraud, LabelSource::Chargeback));
    for (n, said) in (0..).zip([won, charged_back, won, won]) {
        let at = if said == won { now() } else { now().plus_seconds(-60) };
        label(node, sale(), Known { label: said.0, source: said.1, at }).await.unwrap();
        let known = node.look_case(id, |case| case.label().map(|known| (known.label, known.source))).await;
        assert_eq!(known, Ok(Some(said)), "{n}");
    }
    assert_eq!(node.look_case(id, |case| case.labels().len()).await, Ok(3), "told once more it is no news");
    house.running.stop().await;
}

/// Nobody suspected it, so its tickets waited for nobody.
#[actix_rt::test]
async fn what_chance_picked_is_good_also_when_a_verdict_of_honest_is_taken_back() {
    let house = House::new().await;
    let (node, id) = (house.node(), case_of(Subject::Sale(sale())));
    house.ask(1, sell(1, 2)).await.unwrap();
    let case::Command::Open(mut picked) = opened() else { panic!("it opens a case") };
    picked.origin = Origin::Picked;
    node.case(id, by(10), case::Command::Open(picked)).await.unwrap();
    decide(node, id, by(11), Verdict::Legit, code("family")).await.unwrap();
    undo(node, id, by(12)).await.unwrap();
    assert_eq!((reviewed_until(node, sale()).await, node.look_case(id, |case| case.pending()).await), (None, Ok(None)));
    assert_eq!(node.look_case(id, |case| case.status()).await, Ok(Some(Status::Open)));
    house.running.stop().await;
}

/// Staff had blocked them before the verdict, and lift that again: what the verdict says stands until it is undone, and what staff say after that.
#[actix_rt::test]
async fn a_verdict_holds_whatever_staff_block_and_lift() {
    let (house, id) = suspected().await;
    let node = house.node();
    house.ask(2, Command::Block { sale: sale(), tickets: vec![0], reason: code("lost") }).await.unwrap();
    decide(node, id, by(11), Verdict::Fraud, code("resold")).await.unwrap();
    assert_eq!(blocked_by_verdict(node, sale()).await, Ok(Blocked { blocked: 2, of: 2 }));
    let lift = |keeps| Command::Unblock { sale: sale(), tickets: vec![], reason: None, keeps };
    house.ask(3, lift(Some(code("fraud")))).await.unwrap();
    assert_eq!(blocked(node).await, [true, true], "what staff said is lifted, and no more");
    let stays = Err(Failure::Refused(Refusal::TicketBlocked { reason: code("fraud") }));
    assert_eq!(house.ask(4, lift(Some(code("fraud")))).await.map(drop), stays);
    house.ask(5, Command::Block { sale: sale(), tickets: vec![1], reason: code("torn") }).await.unwrap();
    undo(node, id, by(12)).await.unwrap();
    assert_eq!(blocked(node).await, [false, true], "as staff had it");
    assert_eq!(blocked_by_verdict(node, sale()).await, Ok(Blocked { blocked: 0, of: 2 }));
    house.running.stop().await;
}

/// Of three tickets one has moved, and moved on, one is on its way, and one stays.
#[actix_rt::test]
async fn a_verdict_follows_tickets_that_have_moved_and_that_move_while_it_is_given() {
    let house = House::new().await;
    let (node, id) = (house.node(), case_of(Subject::Sale(sale())));
    let third = SlotId::new(MUSEUM, RouteId(1), tomorrow().start().plus_seconds(7_200));
    let [once, twice, late] = [(an_hour_later(), 7), (third, 8), (an_hour_later(), 9)].map(|(slot, n)| HoldId::new(slot, n));
    let begin = |sale: HoldId, ticket: u16, arrival| {
        let prices = vec![(code("full"), Cents::new(1_200))];
        Command::BeginMove { sale, owner: None, tickets: vec![ticket], arrival, via: Channel::BoxOffice, prices }
    };
    house.ask(1, sell(1, 3)).await.unwrap();
    node.case(id, by(10), opened()).await.unwrap();
    move_tickets(node, tomorrow(), by(2), begin(sale(), 0, once)).await.unwrap();
    move_tickets(node, an_hour_later(), by(3), begin(once, 0, twice)).await.unwrap();
    house.ask(4, begin(sale(), 1, late)).await.unwrap();
    decide(node, id, by(11), Verdict::Fraud, code("resold")).await.unwrap();
    assert_eq!(moves::resume(node).await, 0);
    resume(node).await.unwrap();
    assert_eq!(blocked(node).await, [false, false, true]);
    assert_eq!((blocked_of(node, twice).await, blocked_of(node, late).await), (vec![true], vec![true]));
    assert_eq!(node.look_case(id, |case| case.pending()).await, Ok(None));
    assert_eq!(fraud_said_of(node, twice).await, Ok(Some(id)), "this is what whoever has them appeals");
    assert_eq!(appeals::appeal(node, &Appealed::Sale(twice), by(16)).await, Ok(id));
    let standing = appeals::standing(node, &Appealed::Sale(twice)).await.unwrap();
    assert_eq!(standing.map(|standing| standing.state), Some(case::AppealState::Received));
    let stays = Err(Failure::Refused(Refusal::TicketBlocked { reason: code("fraud") }));
    assert_eq!(move_tickets(node, third, by(5), begin(twice, 0, HoldId::new(tomorrow(), 60))).await, stays, "and gets no farther");

    // A verdict of its own on what has moved stands when the other one is undone.
    node.case(case_of(Subject::Sale(late)), by(12), opened_about(late)).await.unwrap();
    decide(node, case_of(Subject::Sale(late)), by(13), Verdict::Fraud, code("resold")).await.unwrap();
    undo(node, id, by(14)).await.unwrap();
    assert_eq!((blocked(node).await, blocked_of(node, twice).await, blocked_of(node, late).await), (vec![false; 3], vec![false], vec![true]));
    undo(node, case_of(Subject::Sale(late)), by(15)).await.unwrap();
    assert_eq!(blocked_of(node, late).await, [false]);
    house.running.stop().await;
}

/// A move of the first ticket by staff, under review.
fn move_first(arrival: HoldId) -> Command {
    let prices = vec![(code("full"), Cents::new(1_200))];
    Command::BeginMove { sale: sale(), owner: None, tickets: vec![0], arrival, via: Channel::BoxOffice, prices }
}

/// Until when the first ticket of a sale is under review.
async fn reviewed_until(node: &Node, sale: HoldId) -> Option<Timestamp> {
    let until = move |slot: &Slot| slot.sale_of(sale).and_then(|sale| sale.tickets[0].review_until);
    node.look(sale.slot(), until).await.unwrap()
}

#[actix_rt::test]
async fn a_verdict_and_its_undo_reach_what_staff_have_moved_under_review() {
    for verdict in [Verdict::Fraud, Verdict::Legit] {
        let (house, id) = under_review().await;
        let (node, moved) = (house.node(), HoldId::new(an_hour_later(), 7));
        let until = reviewed_until(node, sale()).await;
        move_tickets(node, tomorrow(), by(3), move_first(moved)).await.unwrap();
        assert!(until.is_some());
        assert_eq!(reviewed_until(node, moved).await, until, "as long as where it was");
        decide(node, id, by(11), verdict, code("looked")).await.unwrap();
        let is_fraud = verdict == Verdict::Fraud;
        assert_eq!((blocked_of(node, moved).await, blocked(node).await), (vec![is_fraud], vec![false, is_fraud]), "{verdict:?}");
        assert_eq!(reviewed_until(node, moved).await.is_some(), is_fraud, "{verdict:?}");
        undo(node, id, by(12)).await.unwrap();
        assert_eq!((blocked_of(node, moved).await, reviewed_until(node, moved).await.is_some()), (vec![false], true), "{verdict:?}");
        assert_eq!(node.look_case(id, |case| case.pending()).await, Ok(None), "{verdict:?}");
        house.running.stop().await;
    }
}

/// The gate opens a day sooner there than where it was bought for, and so the review is over sooner.
#[actix_rt::test]
async fn a_case_is_due_before_the_review_of_what_has_moved_is_over() {
    let house = House::new().await;
    let (node, day_after) = (house.node(), SlotId::new(MUSEUM, RouteId(1), tomorrow().start().plus_seconds(86_400)));
    let (bought, moved) = (HoldId::new(day_after, 1), HoldId::new(tomorrow(), 7));
    node.slot(day_after, by(1), sell_in(day_after, 1, 2)).await.unwrap();
    node.slot(day_after, by(2), Command::Review { sale: bought }).await.unwrap();
    let case::Command::Open(mut opened) = opened_about(bought) else { panic!("it opens a case") };
    (opened.due_at, opened.lapses_at) = (now().plus_seconds(86_400), now().plus_seconds(2 * 86_400));
    let (id, lapses_at) = (case_of(Subject::Sale(bought)), opened.lapses_at);
    node.case(id, by(10), case::Command::Open(opened)).await.unwrap();
    let mut earlier = move_first(moved);
    if let Command::BeginMove { sale, .. } = &mut earlier {
        *sale = bought;
    }
    move_tickets(node, day_after, by(3), earlier).await.unwrap();
    let until = reviewed_until(node, moved).await;
    assert!(until.is_some_and(|until| until < now().plus_seconds(86_400)), "{until:?}");
    assert_eq!(node.look_case(id, |case| case.deadlines()).await.ok(), until.map(|until| (until, lapses_at)));
    house.running.stop().await;
}

/// One case is about what was bought, another one about how it moved: a verdict of honest on either ends no review that the other one still asks for.
#[actix_rt::test]
async fn tickets_wait_until_somebody_has_looked_at_what_was_bought_and_at_how_it_moved() {
    let (moved, third) = (HoldId::new(an_hour_later(), 7), SlotId::new(MUSEUM, RouteId(1), tomorrow().start().plus_seconds(7_200)));
    let (of_sale, of_move) = (case_of(Subject::Sale(sale())), case_of(Subject::Sale(moved)));
    for order in [[of_sale, of_move], [of_move, of_sale]] {
        looked_at_in(order, moved, HoldId::new(third, 8)).await;
    }
}

async fn looked_at_in([first, second]: [CaseId; 2], moved: HoldId, further: HoldId) {
    let house = House::new().await;
    let node = house.node();
    let (of_sale, of_move) = (case_of(Subject::Sale(sale())), case_of(Subject::Sale(moved)));
    house.ask(1, sell(1, 2)).await.unwrap();
    node.case(of_sale, by(10), opened()).await.unwrap();
    move_tickets(node, tomorrow(), by(2), move_first(moved)).await.unwrap();
    node.slot(an_hour_later(), by(3), Command::Review { sale: moved }).await.unwrap();
    node.case(of_move, by(11), opened_about(moved)).await.unwrap();
    // Staff move it on.
    let mut on = move_first(further);
    if let Command::BeginMove { sale, .. } = &mut on {
        *sale = moved;
    }
    move_tickets(node, an_hour_later(), by(4), on).await.unwrap();
    decide(node, first, by(12), Verdict::Legit, code("family")).await.unwrap();
    assert_eq!((reviewed_until(node, further).await.is_some(), node.look_case(first, |case| case.pending()).await), (true, Ok(None)));
    decide(node, second, by(13), Verdict::Legit, code("family")).await.unwrap();
    assert_eq!((reviewed_until(node, further).await, node.look_case(second, |case| case.pending()).await), (None, Ok(None)));
    house.running.stop().await;
}

/// The lists have not come to the move yet, as while they are built again, so there is no case about it.
#[actix_rt::test]
async fn a_move_that_was_suspected_itself_waits_for_its_case_whatever_is_said_of_what_was_bought() {
    let house = House::new().await;
    let (node, id, moved) = (house.node(), case_of(Subject::Sale(sale())), HoldId::new(an_hour_later(), 7));
    house.ask(1, sell(1, 2)).await.unwrap();
    node.case(id, by(10), opened()).await.unwrap();
    let suspicion = Assessment {
        model: code("none"),
        rules_version: 0,
        at: now(),
        position: 0,
        features: Digest(0),
        score: 90,
        reasons: Vec::new(),
        outcome: Outcome::Review,
        rules: Vec::new(),
        probability_ppm: None,
        basis: None,
    };
    let envelope = Envelope { assessment: Some(Box::new(suspicion)), ..by(2) };
    move_tickets(node, tomorrow(), envelope, move_first(moved)).await.unwrap();
    decide(node, id, by(11), Verdict::Legit, code("family")).await.unwrap();
    assert_eq!((reviewed_until(node, moved).await.is_some(), node.look_case(id, |case| case.pending()).await), (true, Ok(None)));
    let of_move = case_of(Subject::Sale(moved));
    node.case(of_move, by(12), opened_about(moved)).await.unwrap();
    decide(node, of_move, by(13), Verdict::Legit, code("family")).await.unwrap();
    assert_eq!(reviewed_until(node, moved).await, None);
    house.running.stop().await;
}

/// They have arrived, and where they come from nobody knows it yet.
#[actix_rt::test]
async fn a_verdict_reaches_what_was_on_its_way_under_review_when_it_was_given() {
    for verdict in [Verdict::Fraud, Verdict::Legit] {
        let (house, id) = under_review().await;
        let (node, moved) = (house.node(), HoldId::new(an_hour_later(), 7));
        house.ask(3, move_first(moved)).await.unwrap();
        let arrive = node.look(tomorrow(), move |slot| slot.begun(moved).and_then(|begun| slot.arrival(begun))).await.unwrap();
        if let Some(arrive) = arrive {
            let _ = node.slot(an_hour_later(), by(999), arrive).await;
        }
        decide(node, id, by(11), verdict, code("looked")).await.unwrap();
        assert_eq!(moves::resume(node).await, 0);
        assert_eq!(resume(node).await.unwrap(), 0);
        let is_fraud = verdict == Verdict::Fraud;
        assert_eq!((blocked_of(node, moved).await, reviewed_until(node, moved).await.is_some()), (vec![is_fraud], is_fraud), "{verdict:?}");
        assert_eq!(node.look_case(id, |case| case.pending()).await, Ok(None), "{verdict:?}");
        house.running.stop().await;
    }
}

/// Something that rules refused, as it is kept.
async fn refused(node: &Node, n: u64, parties: &[Party]) -> Appealed {
    let at = node.now();
    let attempt = Attempt {
        id: AttemptId::new(day_of(at), n),
        at,
        channel: Channel::Web,
        museum: MUSEUM,
        slot: Some(tomorrow()),
        people: 10,
        amount_cents: Cents::new(18_000),
        parties: parties.to_vec(),
        assessment: None,
        ending: Ending::Blocked,
        figures: None,
    };
    let id = attempt.id;
    node.attempt(by(7_000 + u128::from(n)), attempt).await.unwrap();
    Appealed::Attempt(id)
}

/// How appeals stand, one after the other.
async fn stand(node: &Node, appealed: &[&Appealed]) -> Vec<case::AppealState> {
    let mut states = Vec::new();
    for appealed in appealed {
        states.push(appeals::standing(node, appealed).await.unwrap().unwrap().state);
    }
    states
}

#[actix_rt::test]
async fn of_those_who_have_a_party_in_common_one_appeal_waits_at_a_time() {
    use case::AppealState::{Granted, Lapsed, Received};
    let journal = Arc::new(MemoryJournal::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    let node = house.node();
    let party = |kind, n| Party { kind, pseudonym: Digest(n) };
    let (buyer, device, network) = (|n| party(PartyKind::Buyer, n), |n| party(PartyKind::Device, n), |n| party(PartyKind::Network, n));
    let first = refused(node, 1, &[buyer(1), device(2), network(3)]).await;
    let renamed = refused(node, 2, &[buyer(4), device(2)]).await;
    let again = refused(node, 3, &[buyer(4)]).await;
    let neighbour = refused(node, 4, &[buyer(5), device(6), network(3)]).await;
    let other = refused(node, 5, &[buyer(7), device(8), network(9)]).await;
    let (case, own) = (case_of(first.subject()), case_of(other.subject()));
    for (appealed, key, expected) in [(&first, 1, case), (&renamed, 2, case), (&again, 3, case), (&neighbour, 4, case), (&other, 5, own)] {
        for time in 0..2 {
            assert_eq!(appeals::appeal(node, appealed, by(100 + key)).await, Ok(expected), "{key}, the {time}th time");
        }
        assert_eq!(appeals::appeal(node, appealed, by(200 + key)).await, Err(Failure::Refused(case::Refusal::AlreadyAppealed)), "{key}");
    }
    assert_eq!(node.cases().open(), 2, "two stand in the queue");
    let joined = node.look_case(case, |case| case.joined().iter().map(|joined| joined.is_same).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(joined, [true, true, false]);
    assert_eq!(stand(node, &[&first, &renamed, &again, &neighbour, &other]).await, [Received; 5]);
    assert_eq!(node.look_case(case_of(renamed.subject()), |case| case.opened().is_none()).await, Ok(true), "it is no case of its own");
    house.running.stop().await;

    // It all follows from the journal: who has a party in common joins after a restart as well.
    let house = House::on(Arc::clone(&journal) as _).await;
    let node = house.node();
    assert_eq!(stand(node, &[&first, &renamed, &again, &neighbour, &other]).await, [Received; 5]);
    let later = refused(node, 6, &[buyer(4), device(60)]).await;
    assert_eq!(appeals::appeal(node, &later, by(106)).await, Ok(case));
    decide(node, case, by(20), Verdict::Legit, code("family")).await.unwrap();
    // What is said of it holds for the same people; who only came from the same network may be anybody, and is next.
    assert_eq!(stand(node, &[&first, &renamed, &again, &later, &neighbour, &other]).await, [Granted, Granted, Granted, Granted, Lapsed, Received]);
    assert_eq!(appeals::appeal(node, &renamed, by(300)).await, Err(Failure::Refused(case::Refusal::AlreadyAppealed)), "somebody has looked");
    let of_neighbour = case_of(neighbour.subject());
    assert_eq!(appeals::appeal(node, &neighbour, by(104)).await, Ok(case), "the request that joined is no other appeal when it is repeated");
    assert_eq!(stand(node, &[&neighbour]).await, [Lapsed]);
    let as_made = appeals::as_made(node, case, &neighbour, &by(104)).await.unwrap();
    assert_eq!(as_made.map(|standing| standing.state), Some(Received), "and is told what it was told");
    assert_eq!(appeals::appeal(node, &neighbour, by(301)).await, Ok(of_neighbour));
    assert_eq!((stand(node, &[&neighbour]).await, node.cases().open()), (vec![Received], 2));
    house.running.stop().await;
    let house = House::on(journal).await;
    assert_eq!(stand(house.node(), &[&later, &neighbour]).await, [Granted, Received]);
    house.running.stop().await;
}

/// Whoever is first goes away while the disk stands still: nobody knows yet what becomes of the appeal. Chance has picked the attempt before, so there is a case about it.
#[actix_rt::test]
async fn who_has_a_party_in_common_with_an_appeal_on_its_way_waits_for_it_and_joins() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    let node = house.node();
    let device = Party { kind: PartyKind::Device, pseudonym: Digest(2) };
    let (first, second) = (refused(node, 1, &[device]).await, refused(node, 2, &[device]).await);
    let case = case_of(first.subject());
    let opened = Opened { origin: Origin::Picked, parties: vec![device], ..suspicion(first.subject(), None, None, now().plus_seconds(7_200)) };
    node.case(case, by(1), case::Command::Open(Box::new(opened))).await.unwrap();
    let stall = journal.stall.lock().await;
    let (going, mut next) = (Box::pin(appeals::appeal(node, &first, by(2))), Box::pin(appeals::appeal(node, &second, by(3))));
    go_away(&journal, going).await;
    waits(&mut next, "nobody knows yet whether an appeal waits").await;
    drop(stall);
    assert_eq!(next.await, Ok(case));
    assert_eq!((stand(node, &[&first, &second]).await, node.cases().open()), (vec![case::AppealState::Received; 2], 1));
    house.running.stop().await;
}

/// An appeal is two records, and the case is opened by the first.
#[actix_rt::test]
async fn an_appeal_is_made_to_its_end_whoever_goes_away_before_that() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    let node = house.node();
    let device = Party { kind: PartyKind::Device, pseudonym: Digest(2) };
    let (first, second) = (refused(node, 1, &[device]).await, refused(node, 2, &[device]).await);
    let stall = journal.stall.lock().await;
    let going = Box::pin(appeals::appeal_to_its_end(node, &first, by(1)));
    go_away(&journal, going).await;
    drop(stall);
    // Who has the device in common waits for it, and joins.
    assert_eq!(appeals::appeal(node, &second, by(2)).await, Ok(case_of(first.subject())));
    assert_eq!((stand(node, &[&first, &second]).await, node.cases().open()), (vec![case::AppealState::Received; 2], 1));
    house.running.stop().await;
}

#[actix_rt::test]
async fn who_joins_costs_no_place_among_those_that_are_written_because_somebody_appeals() {
    let house = House::new().await;
    let node = house.node();
    let device = Party { kind: PartyKind::Device, pseudonym: Digest(1) };
    let carried = |n: u64| {
        let parties = vec![Party { kind: PartyKind::Buyer, pseudonym: Digest(1_000 + u128::from(n)) }, device];
        Appealed::Carried(Box::new(Attempt {
            id: AttemptId::new(day_of(now()), n),
            at: now(),
            channel: Channel::Web,
            museum: MUSEUM,
            slot: None,
            people: 1,
            amount_cents: Cents::new(1_800),
            parties,
            assessment: None,
            ending: Ending::Blocked,
            figures: None,
        }))
    };
    let mut news = node.cases().watch();
    for n in 1..=30 {
        assert_eq!(appeals::appeal(node, &carried(n), by(100 + u128::from(n))).await, Ok(case_of(carried(1).subject())), "{n}");
    }
    let told: Vec<_> = std::iter::from_fn(|| news.try_recv().ok()).map(|news| news.case).collect();
    assert_eq!(told, [case_of(carried(1).subject())], "whoever watches is told once");
    let kept = node.look_attempts(day_of(now()), |attempts| attempts.entries().len()).await;
    assert_eq!((kept, node.cases().open()), (Ok(1), 1));
    house.running.stop().await;
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
async fn whoever_watches_is_told_again_of_a_case_whose_verdict_is_taken_back() {
    let house = House::on(Arc::new(MemoryJournal::default())).await;
    open_museum(house.node()).await;
    house.ask(1, sell(1, 2)).await.unwrap();
    let mut news = house.node().cases().watch();
    let id = case_of(Subject::Sale(sale()));
    house.node().case(id, by(10), opened()).await.unwrap();
    assert_eq!(news.try_recv().map(|news| news.case).ok(), Some(id));
    let legit = case::Command::Decide { verdict: Verdict::Legit, reason: code("family"), by: KeyId(4) };
    house.node().case(id, by(11), legit).await.unwrap();
    assert!(news.try_recv().is_err(), "there is nothing to look at");
    // After its time: it begins anew.
    house.clock.set(now().plus_seconds(7_300));
    house.node().case(id, by(12), case::Command::Undo).await.unwrap();
    let told = news.try_recv().map(|news| (news.case, news.due_at > now().plus_seconds(7_300))).ok();
    assert_eq!((told, news.try_recv().is_err()), (Some((id, true)), true));
    house.running.stop().await;
}

#[actix_rt::test]
async fn rules_and_models_are_at_hand_after_a_restart() {
    let journal = Arc::new(MemoryJournal::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    let when = vec![Condition { feature: code("person_unsold_1h"), op: Op::AtLeast, threshold_milli: 5_000 }];
    let sentence = Text::new("Troppe prenotazioni", "Too many holds");
    let rule = Box::new(Rule { name: code("hoarding"), when, channels: vec![], museums: vec![], action: Action::Review, sentence });
    house.node().rules(by(1), fraud_rules::Command::Draft { rule, replaces: None, by: KeyId(1) }).await.unwrap();
    house.node().rules(by(2), fraud_rules::Command::Activate { name: code("hoarding"), draft: 1, by: KeyId(2) }).await.unwrap();
    let register = model_registry::Command::Register { artifact: code("forest-1"), checksum: Digest(1), card: Digest(2), by: KeyId(1) };
    house.node().models(ModelKind::Fraud, by(3), register).await.unwrap();
    let before = (house.node().defences().rules(), house.node().defences().models(ModelKind::Fraud));
    assert_eq!((before.0.version(), before.1.known().len()), (1, 1));
    house.running.stop().await;
    let house = House::on(journal).await;
    assert_eq!((house.node().defences().rules(), house.node().defences().models(ModelKind::Fraud)), before);
    house.running.stop().await;
}
