//! What was said of commands is said again by a replay: of all that is assessed, by rules and by models, before and after a restart. What was written down otherwise is found,
//! and what cannot be said again is told apart from what is the same.

use std::collections::BTreeMap;

use tornello_engine::attempts::{Attempt, Ending, day_of};
use tornello_engine::case::{self, Subject};
use tornello_engine::envelope::{Assessment, Outcome};
use tornello_engine::ids::{AttemptId, CaseId, PaymentId, TillId};
use tornello_engine::slot::CancelCause;
use tornello_engine::till;
use tornello_models::fraud::signals::{SignalEvent, SignalKind};

use super::cases::suspicion;
use super::limits::an_hour_later;
use super::*;
use crate::cases::case_of;
use crate::fraud::again::{Again, Came, LeftOut, Unfounded, Wanted, assessment_of, say_again};
use crate::fraud::counters::Counters;
use crate::fraud::fold::{Fold, replay_to};
use crate::fraud::hearing::{by_whom, figures, kind_of_return, outlet};
use crate::fraud::judge::Post;
use crate::fraud::judge::tests::model;
use crate::fraud::shelf::Shelf;
use crate::fraud::{Held, signal_of, signal_of_count, signal_of_held, signal_of_move, signal_of_payment, signal_of_return};
use crate::moves::{move_tickets, would_take};

/// What comes of saying everything of a journal again.
pub(super) async fn said_again(journal: &dyn Journal, shelf: Option<Shelf>) -> Again {
    say_again(journal, shelf, Wanted::All { told: 100 }, Sizes::default().parties).await.unwrap()
}

/// Whether all that was said is said again, without a model: so many assessments.
pub(super) async fn is_said_again(house: &House, count: u64) {
    let again = said_again(house.node().journal().as_ref(), None).await;
    assert_eq!((again.assessed, again.same, again.by_rules), (count, count, count), "{:?} {:?}", again.told, again.left_out);
}

/// What the journal says, heard again.
pub(super) async fn replayed(house: &House) -> (Fold, Counters) {
    house.heard().await;
    let replayed = replay_to(house.node().journal().as_ref(), house.node().head().number, Sizes::default().parties).await.unwrap();
    let bytes = |stores: &Counters| stores.stores().iter().map(|store| postcard::to_allocvec(store).unwrap()).collect::<Vec<_>>();
    assert_eq!(bytes(house.node().scoring().counters()), bytes(&replayed.1), "what is counted live is what a replay counts");
    replayed
}

/// A buyer and their device.
fn of(key: u128, buyer: u128) -> Envelope {
    Envelope { parties: vec![party(PartyKind::Buyer, 10_000 + buyer), party(PartyKind::Device, 20_000 + buyer)], ..by(key) }
}

/// Assesses a command a second before it is given, as requests are.
fn said(house: &House, signal: &SignalEvent, envelope: Envelope) -> Envelope {
    let assessment = house.node().scoring().assess(signal);
    house.clock.set(house.node().now().plus_seconds(1));
    Envelope { assessment: Some(Box::new(assessment)), ..envelope }
}

/// Holds places for somebody over the web, as a shop does.
async fn held(house: &House, hold: HoldId, lines: Vec<Line>, envelope: Envelope) {
    let node = house.node();
    let signal = signal_of(node.now(), SignalKind::Held, Channel::Web, hold, &lines, &envelope);
    let envelope = said(house, &signal, envelope);
    node.slot(hold.slot(), envelope, Command::Hold { hold, channel: Channel::Web, lines: lines.clone() }).await.unwrap();
    node.scoring().remember(hold, Channel::Web, &lines, signal.parties);
    house.heard().await;
}

/// Everything that is assessed, once, as `api` does it: ten times, and a move if it is wanted. A sale carries what was said of its payment.
async fn story(house: &House, n: u64, moves: bool) {
    let (node, buyer) = (house.node(), u128::from(n));
    let key = |k: u128| buyer * 1_000 + k;
    let id = |k: u64| HoldId::new(tomorrow(), n * 10 + k);

    // Held over the web, paid for by a card, given back by whoever bought it, and at a desk.
    let sale = id(1);
    held(house, sale, lines(2), of(key(1), buyer)).await;
    let paying = Envelope { parties: vec![party(PartyKind::Card, 30_000 + buyer)], ..by(key(2)) };
    let holders = [node.scoring().held(sale).unwrap()];
    let signal = signal_of_payment(node.now(), Channel::Web, MUSEUM, 2_400, &paying, sale, &holders);
    let paying = said(house, &signal, paying);
    let (of_payment, payment) = (paying.assessment.clone(), PaymentId::new(0, n));
    node.payment(payment, paying, pay(&[(sale, 2)], node.now())).await.unwrap();
    let settlement = Settlement::Payment { id: payment };
    let paid = Command::SellPaid { hold: sale, owner: None, lines: lines(2), keeper: Some(payment), settlement, contact: None };
    node.slot(tomorrow(), Envelope { assessment: of_payment, ..by(key(3)) }, paid).await.unwrap();
    house.heard().await;
    let bought = node.scoring().held(sale).unwrap();
    let kind = kind_of_return(outlet(bought.channel), CancelCause::Visitor);
    for (ticket, channel) in [(0_u16, Channel::Web), (1, Channel::BoxOffice)] {
        let mut back = by(key(4 + u128::from(ticket)));
        back.parties.extend(by_whom(back.who, channel, kind));
        let signal = signal_of_return(node.now(), kind, channel, sale, 1, &back, Some(bought.as_ref()));
        let back = said(house, &signal, back);
        let cancel = Command::Cancel { sale, owner: None, tickets: vec![ticket], cause: CancelCause::Visitor };
        node.slot(tomorrow(), back, cancel).await.unwrap();
        house.heard().await;
    }

    // Sold at a desk, and taken back there.
    let at_desk = id(2);
    let signal = signal_of(node.now(), SignalKind::Sold { held: false }, Channel::BoxOffice, at_desk, &lines(1), &by(key(6)));
    let selling = said(house, &signal, by(key(6)));
    node.slot(tomorrow(), selling, sell(n * 10 + 2, 1)).await.unwrap();
    house.heard().await;
    let (had, mut back) = (Held::in_slot(Channel::BoxOffice, lines(1), None), by(key(7)));
    let kind = kind_of_return(outlet(had.channel), CancelCause::Museum);
    back.parties.extend(by_whom(back.who, Channel::BoxOffice, kind));
    let signal = signal_of_return(node.now(), kind, Channel::BoxOffice, at_desk, 1, &back, Some(&had));
    let back = said(house, &signal, back);
    node.slot(tomorrow(), back, Command::Cancel { sale: at_desk, owner: None, tickets: vec![], cause: CancelCause::Museum }).await.unwrap();
    house.heard().await;

    // Held and bought for nothing, and moved.
    let (kept, free) = (id(3), vec![Line { price_cents: Cents::ZERO, ..lines(1).remove(0) }]);
    held(house, kept, free, of(key(8), buyer)).await;
    let signal = signal_of_held(node.now(), SignalKind::Sold { held: true }, kept, &node.scoring().held(kept).unwrap(), &by(key(9)));
    let buying = said(house, &signal, by(key(9)));
    node.slot(tomorrow(), buying, Command::Sell { hold: kept, owner: None, settlement: Settlement::Free, contact: None }).await.unwrap();
    house.heard().await;
    if moves {
        let (arrival, prices) = (HoldId::new(an_hour_later(), n * 10 + 4), vec![(code("full"), Cents::ZERO)]);
        let command = Command::BeginMove { sale: kept, owner: None, tickets: vec![], arrival, via: Channel::Web, prices };
        let moving = Envelope { parties: vec![party(PartyKind::Device, 99)], ..by(key(10)) };
        let taken = would_take(node, tomorrow(), &moving, &command).await.unwrap().unwrap();
        let signal = signal_of_move(node.now(), Channel::Web, arrival, &taken, &moving, node.scoring().held(kept).as_deref());
        let moving = said(house, &signal, moving);
        move_tickets(node, tomorrow(), moving, command).await.unwrap();
        house.heard().await;
    }

    // A drawer that is counted, and an attempt that was refused.
    let session = TillId(n);
    node.till(session, by(key(11)), till::Command::Open { museum: MUSEUM, till: code("desk-1"), float_cents: Cents::new(10_000) }).await.unwrap();
    house.heard().await;
    let signal = signal_of_count(node.now(), MUSEUM, Cents::new(-1_000), &by(key(12)), Some(by(0).who));
    let closing = said(house, &signal, by(key(12)));
    let close = till::Command::Close { counted_cents: Cents::new(9_000), taken_cents: Cents::ZERO, summed_to: 0 };
    node.till(session, closing, close).await.unwrap();
    house.heard().await;
    attempted(house, n, of(key(13), buyer), |_| {}).await;
    house.heard().await;
}

/// Somebody is refused who asks for three places.
async fn attempted(house: &House, n: u64, envelope: Envelope, change: impl FnOnce(&mut Attempt)) {
    let (node, hold) = (house.node(), HoldId::new(tomorrow(), n * 10 + 5));
    let signal = signal_of(node.now(), SignalKind::Held, Channel::Web, hold, &lines(3), &envelope);
    let refused = said(house, &signal, envelope.clone());
    let mut attempt = Attempt {
        id: AttemptId::new(day_of(node.now()), n),
        at: node.now(),
        channel: Channel::Web,
        museum: MUSEUM,
        slot: Some(tomorrow()),
        people: 3,
        amount_cents: Cents::new(3_600),
        parties: envelope.parties.clone(),
        assessment: refused.assessment.as_deref().cloned(),
        ending: Ending::Blocked,
        figures: figures(&signal, hold).map(Box::new),
    };
    change(&mut attempt);
    node.attempt(envelope, attempt).await.unwrap();
}

#[actix_rt::test]
async fn what_is_said_of_the_web_and_of_a_desk_is_said_again_by_rules_and_by_a_model_also_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    story(&house, 1, true).await;
    let artifact = model(0, 8.0);
    house.node().scoring().judge().install(&artifact, Post::Champion).unwrap();
    story(&house, 2, true).await;
    let at = house.node().now();
    house.running.stop().await;
    let house = House::in_folder_at(&folder, at).await.unwrap();
    // Who has heard of this has begun before.
    house.ask(90_000, hold(900, 1)).await.unwrap();
    house.heard().await;
    let judge = Arc::clone(house.node().scoring().judge());
    judge.settled().await;
    let [web, ..] = judge.champion().expect("it acts on").cuts;
    assert!(web.score < 1.0, "its line is drawn through what was heard before: {web:?}");
    drop(judge);
    story(&house, 3, false).await;
    house.running.stop().await;

    let (journal, shelf) = (FileJournal::open(&folder.path().join(file::FILE)).await.unwrap(), Shelf::in_folder(folder.path()));
    let again = said_again(&journal, Some(shelf.clone())).await;
    assert!(again.told.is_empty(), "{:?}", again.told);
    assert_eq!((again.assessed, again.same, again.differ, again.carried), (32, 32, 0, 3));
    // A sale at a desk names nobody of whom a model could know anything.
    assert_eq!((again.by_rules, again.left_out), (11 + 2, BTreeMap::new()));
    assert_eq!(said_again(&journal, Some(shelf.clone())).await.same, 32, "nothing was changed by it");

    // Without the model what it said is not said again, nor by another one; rules are asked all the same.
    let id = artifact.card().unwrap().id;
    for (why, stands) in [(LeftOut::ModelGone, None), (LeftOut::ModelOther, Some(model(1, 8.0)))] {
        let _ = std::fs::remove_dir_all(shelf.place(&id));
        if let Some(other) = &stands {
            shelf.keep(&id, other).unwrap();
        }
        let again = said_again(&journal, Some(shelf.clone())).await;
        assert_eq!((again.same, again.differ, again.left_out), (13, 0, BTreeMap::from([(why, 19)])));
    }
}

/// Holds a place with an assessment that was changed.
async fn planted(house: &House, n: u64, change: impl FnOnce(&mut Assessment)) {
    let (node, hold) = (house.node(), HoldId::new(tomorrow(), n));
    let envelope = of(n.into(), n.into());
    let signal = signal_of(node.now(), SignalKind::Held, Channel::Web, hold, &lines(1), &envelope);
    let mut envelope = said(house, &signal, envelope);
    let assessment = envelope.assessment.as_mut().unwrap();
    assert_eq!(assessment.outcome, Outcome::Allow);
    change(assessment);
    node.slot(tomorrow(), envelope, Command::Hold { hold, channel: Channel::Web, lines: lines(1) }).await.unwrap();
    house.heard().await;
}

fn line_of(assessment: &mut Assessment) -> &mut Option<[u8; 8]> {
    &mut assessment.basis.as_mut().unwrap().line
}

#[actix_rt::test]
async fn what_was_written_down_otherwise_is_found_with_what_differs() {
    let (house, folder) = (House::new().await, TempDir::new().unwrap());
    let (artifact, shelf) = (model(0, 8.0), Shelf::in_folder(folder.path()));
    shelf.keep(&artifact.card().unwrap().id, &artifact).unwrap();
    house.node().scoring().judge().install(&artifact, Post::Champion).unwrap();
    planted(&house, 1, |_| {}).await;
    // Another line than the one that was acted on: by this one it would have been looked at.
    planted(&house, 2, |said| *line_of(said) = Some(0.0_f64.to_le_bytes())).await;
    planted(&house, 3, |said| said.score ^= 1).await;
    planted(&house, 4, |said| said.outcome = Outcome::Block).await;
    planted(&house, 5, |said| said.rules.push(code("velocity"))).await;
    planted(&house, 6, |said| said.reasons = vec![code("nothing")]).await;
    planted(&house, 7, |said| said.features = Digest(1)).await;
    planted(&house, 8, |said| said.probability_ppm = Some(1)).await;
    planted(&house, 9, |said| said.position = u64::MAX).await;
    planted(&house, 10, |said| said.rules_version = 9).await;
    // As if no model had taken part.
    planted(&house, 11, |said| *line_of(said) = None).await;
    let again = said_again(house.node().journal().as_ref(), Some(shelf)).await;
    assert_eq!((again.assessed, again.same, again.differ, again.left_out.len()), (11, 1, 10, 0));
    let mut found: Vec<(u64, Vec<&str>)> =
        again.told.iter().map(|told| (told.place.seq, told.differences().iter().map(|found| found.field).collect())).collect();
    let (last, fields) = found.pop().unwrap();
    assert!(last == 11 && fields.contains(&"model"), "{fields:?}");
    let fields = ["outcome", "score", "outcome", "rules", "reasons", "features", "probability"].map(|field| vec![field]);
    let expected: Vec<(u64, Vec<&str>)> = (2..).zip(fields.into_iter().chain([Vec::new(), Vec::new()])).collect();
    assert_eq!(found, expected);
    let unfounded: Vec<&Came> = again.told[7..9].iter().map(|told| &told.came).collect();
    assert_eq!(unfounded, [&Came::Unfounded(Unfounded::Position), &Came::Unfounded(Unfounded::Rules)]);
    let of_line = again.told[0].differences();
    assert_eq!((of_line[0].was.as_str(), of_line[0].is.as_str(), again.told[0].place.asked), ("allow", "review", "hold"));
    house.running.stop().await;
}

#[actix_rt::test]
async fn what_cannot_be_said_again_is_counted_by_its_reason_and_never_as_the_same() {
    let house = House::new().await;
    let scoring = house.node().scoring();
    planted(&house, 1, |said| said.basis = None).await;
    planted(&house, 2, |said| said.basis.as_mut().unwrap().edition ^= 1).await;
    attempted(&house, 3, of(3, 3), |attempt| attempt.figures = None).await;
    // One of eight names: there may have been more.
    let many: Vec<Party> = (0..8).map(|n| party(PartyKind::Device, 500 + n)).collect();
    attempted(&house, 4, Envelope { parties: many, ..by(4) }, |attempt| attempt.assessment.iter_mut().for_each(|said| said.features = Digest(1)))
        .await;
    scoring.judge().install(&model(0, 8.0), Post::Champion).unwrap();
    house.heard().await;
    planted(&house, 5, |_| {}).await;
    // Two batches of which no reader is told.
    let (hold, envelope, position) = (HoldId::new(tomorrow(), 6), of(6, 6), scoring.counters().position());
    let signal = signal_of(house.node().now(), SignalKind::Held, Channel::Web, hold, &lines(1), &envelope);
    for batch in [position + 1, position + 2] {
        scoring.counters().fold(|_| true, batch, std::slice::from_ref(&signal));
    }
    let blind = said(&house, &signal, envelope);
    assert_eq!(blind.assessment.as_ref().unwrap().reasons, [code("counters_unread")]);
    house.node().slot(tomorrow(), blind, Command::Hold { hold, channel: Channel::Web, lines: lines(1) }).await.unwrap();
    let again = said_again(house.node().journal().as_ref(), None).await;
    let reasons = [LeftOut::Older, LeftOut::OtherEdition, LeftOut::Unread, LeftOut::ModelGone, LeftOut::Unsaid, LeftOut::Forgotten];
    assert_eq!((again.assessed, again.same, again.differ, again.left_out), (6, 0, 0, BTreeMap::from(reasons.map(|why| (why, 1)))));
    house.running.stop().await;
}

#[actix_rt::test]
async fn what_names_a_batch_of_long_before_is_said_again_as_well() {
    let house = House::new().await;
    let (node, hold, envelope) = (house.node(), HoldId::new(tomorrow(), 1), of(1, 1));
    held(&house, HoldId::new(tomorrow(), 2), lines(1), of(2, 1)).await;
    let signal = signal_of(node.now(), SignalKind::Held, Channel::Web, hold, &lines(1), &envelope);
    let early = said(&house, &signal, envelope);
    for n in 3..12_u64 {
        held(&house, HoldId::new(tomorrow(), n), lines(1), of(n.into(), n.into())).await;
    }
    node.slot(tomorrow(), early, Command::Hold { hold, channel: Channel::Web, lines: lines(1) }).await.unwrap();
    is_said_again(&house, 11).await;
    house.running.stop().await;
}

#[actix_rt::test]
async fn of_a_case_what_it_was_opened_for_is_said_again_and_told_whatever_comes_of_it() {
    let house = House::new().await;
    for n in 1..4 {
        planted(&house, n, |said| said.score = if n == 3 { 77 } else { said.score }).await;
    }
    let (node, due_at) = (house.node(), house.node().now().plus_seconds(3_600));
    let records = crate::streams::all_of::<Event>(node.journal().as_ref(), StreamId::Slot(tomorrow())).await.unwrap();
    for (n, record) in (1_u64..).zip(&records) {
        let subject = Subject::Sale(HoldId::new(tomorrow(), n));
        let said = record.envelope.as_ref().and_then(|envelope| envelope.assessment.as_deref().cloned());
        let opened = suspicion(subject, Some(tomorrow()), said, due_at);
        node.case(case_of(subject), by(100 + u128::from(n)), case::Command::Open(Box::new(opened))).await.unwrap();
    }
    for (n, differs) in [(2, false), (3, true)] {
        let case = case_of(Subject::Sale(HoldId::new(tomorrow(), n)));
        let said = assessment_of(node.journal().as_ref(), case).await.unwrap().unwrap();
        let again = say_again(node.journal().as_ref(), None, Wanted::Of(&said), Sizes::default().parties).await.unwrap();
        assert_eq!((again.assessed, again.same, again.differ), (1, u64::from(!differs), u64::from(differs)), "{n}");
        assert_eq!((again.told[0].place.seq, again.told[0].came.differs(), &again.told[0].written), (n, differs, &said));
    }
    assert_eq!(assessment_of(node.journal().as_ref(), CaseId(1)).await, Ok(None));
    house.running.stop().await;
}

#[actix_rt::test]
async fn of_a_hold_that_was_made_smaller_the_same_is_said_again_when_it_is_bought() {
    let house = House::new().await;
    let (node, hold) = (house.node(), HoldId::new(tomorrow(), 1));
    held(&house, hold, vec![Line { price_cents: Cents::ZERO, ..lines(3).remove(0) }], of(1, 7)).await;
    let shrink = async |key, count| crate::payments::shrink(node, hold, by(key), (vec![(code("full"), count)], 0), Some(KeyId(7))).await;
    let first = shrink(2, 2).await.unwrap();
    shrink(3, 1).await.unwrap();
    assert_eq!(shrink(2, 2).await, Ok(first), "a repeat says nothing new");
    assert!(shrink(4, 2).await.is_err(), "nor does what is refused");
    house.heard().await;
    let signal = signal_of_held(node.now(), SignalKind::Sold { held: true }, hold, &node.scoring().held(hold).unwrap(), &by(5));
    assert_eq!(signal.people, 1);
    let buying = said(&house, &signal, by(5));
    node.slot(tomorrow(), buying, Command::Sell { hold, owner: None, settlement: Settlement::Free, contact: None }).await.unwrap();
    house.heard().await;
    is_said_again(&house, 2).await;
    house.running.stop().await;
}
