//! What becomes known of sales is learned: labels with the features of what they are about, and what speaks for a model that has learned them.

use tornello_engine::attempts::{Attempt, Ending, day_of};
use tornello_engine::case::{self, LabelSource, Subject, Verdict};
use tornello_engine::envelope::{Assessment, Party, PartyKind};
use tornello_engine::ids::{AttemptId, PaymentId, TillId};
use tornello_engine::model_registry::Window;
use tornello_engine::till;
use tornello_models::artifact::Artifact;
use tornello_models::fraud::budget::Budget;
use tornello_models::fraud::preparation::{Preparation, Treatment};
use tornello_models::fraud::rows::Rows;
use tornello_models::fraud::scorer::Scorer;
use tornello_models::fraud::signals::{N, SignalKind};
use tornello_models::fraud::supervised::Supervised;

use super::cases::suspicion;
use super::*;
use crate::cases::case_of;
use crate::fraud::evidence::{Promotion, compare};
use crate::fraud::hearing::figures;
use crate::fraud::judge::Post;
use crate::fraud::judge::tests::{model, sealed};
use crate::fraud::labels::{Examples, examples};
use crate::fraud::{Sizes, signal_of, signal_of_count, signal_of_return};

/// Of so many days' slots there is room for all who buy here.
fn slot_of(n: u64) -> SlotId {
    let day = jiff::civil::date(2026, 6, 12 + (n / 9 % 15) as i8);
    SlotId::new(MUSEUM, RouteId(1), calendar::instant(day.at(9 + (n % 9) as i8, 0, 0, 0)))
}

fn sale_of(n: u64) -> HoldId {
    HoldId::new(slot_of(n), n)
}

/// Whoever shares a device with many others is a fraud here.
fn parties(n: u64, fraud: bool) -> Vec<Party> {
    let device = if fraud { 9_000 + u128::from(n % 4) } else { 100_000 + u128::from(n) };
    vec![Party { kind: PartyKind::Buyer, pseudonym: Digest(1_000_000 + u128::from(n)) }, Party { kind: PartyKind::Device, pseudonym: Digest(device) }]
}

const fn is_fraud(n: u64) -> bool {
    n.is_multiple_of(3)
}

/// Somebody buys, is suspected, and what it was becomes known.
async fn sold_and_decided(house: &House, n: u64) {
    let (node, sale, key) = (house.node(), sale_of(n), u128::from(n) * 10);
    node.scoring().counters().heard(node.head().number).await;
    let hold = Command::Hold { hold: sale, channel: Channel::Web, lines: lines(1) };
    let mut envelope = Envelope { parties: parties(n, is_fraud(n)), ..by(10_000 + key) };
    let signal = signal_of(node.now(), SignalKind::Held, Channel::Web, sale, &lines(1), &envelope);
    let assessment = node.scoring().assess(&signal);
    envelope.assessment = Some(Box::new(assessment.clone()));
    node.slot(slot_of(n), envelope, hold).await.unwrap();
    let settlement = Settlement::Payment { id: PaymentId::new(1, n) };
    let sell = Command::Sell { hold: sale, owner: None, settlement, contact: None };
    node.slot(slot_of(n), Envelope { parties: parties(n, is_fraud(n)), ..by(10_001 + key) }, sell).await.unwrap();
    house.clock.set(node.now().plus_seconds(20));
    let (subject, due_at) = (Subject::Sale(sale), node.now().plus_seconds(3_600));
    let opened = suspicion(subject, Some(slot_of(n)), Some(assessment), due_at);
    node.case(case_of(subject), by(10_002 + key), case::Command::Open(Box::new(opened))).await.unwrap();
    let verdict = if is_fraud(n) { Verdict::Fraud } else { Verdict::Legit };
    let decide = case::Command::Decide { verdict, reason: code("known"), by: KeyId(4) };
    node.case(case_of(subject), by(10_003 + key), decide).await.unwrap();
}

async fn known(house: &House, until: Timestamp) -> Examples {
    let node = house.node();
    examples(node.journal().as_ref(), until, node.head().number, Sizes::default().parties).await.unwrap()
}

fn later(house: &House, days: i64) -> Timestamp {
    house.node().now().plus_seconds(days * 86_400)
}

const AS_THEY_ARE: Treatment = Treatment { logarithm: false, clip: false };

fn learned(known: &Examples) -> Artifact {
    let values = known.labelled.iter().flat_map(|example| &example.row.features).map(|value| f64::from(*value)).collect();
    let labels: Vec<bool> = known.labelled.iter().map(|example| example.fraud).collect();
    let rows = Rows::new(N, values).unwrap();
    let preparation = Preparation::fit(&rows, AS_THEY_ARE).unwrap();
    let rows = preparation.prepare_all(&rows).unwrap();
    let model = Supervised::fit(&rows, &labels, 1).unwrap();
    let raw: Vec<f64> = rows.iter().map(|row| model.log_odds(row)).collect();
    let mut scorer = Scorer::supervised(preparation, model, &raw).unwrap();
    scorer.calibrate(&raw, &labels).unwrap();
    sealed(&scorer)
}

#[actix_rt::test]
async fn what_became_known_is_found_with_the_features_that_were_assessed() {
    let house = House::new().await;
    for n in 0..12 {
        sold_and_decided(&house, n).await;
    }
    let now = known(&house, house.node().now()).await;
    assert_eq!((now.labelled.len(), now.young), (8, 8), "four frauds, held and sold; honesty waits 30 days");
    assert!(now.labelled.iter().all(|example| example.fraud && example.source == LabelSource::Verdict));
    let all = known(&house, later(&house, 31)).await;
    assert_eq!(
        (all.labelled.len(), all.usual.len(), all.young, all.unheard),
        (24, 12, 0, 0),
        "a sale that a payment brings about is not asked about again"
    );
    let assessed: Vec<bool> = all.labelled.iter().map(|example| example.assessed).collect();
    assert_eq!(assessed.iter().filter(|assessed| **assessed).count(), 12, "the holds were assessed, and are found again to the bit: {assessed:?}");
    assert!(all.labelled.is_sorted_by_key(|example| example.row.at_us));
    // What is undone is unknown; what a bank says counts more than what an analyst does.
    let of = |n| case_of(Subject::Sale(sale_of(n)));
    house.node().case(of(1), by(1), case::Command::Undo).await.unwrap();
    let chargeback = case::Command::Label { label: case::Label::Fraud, source: LabelSource::Chargeback };
    house.node().case(of(2), by(2), chargeback).await.unwrap();
    let after = known(&house, later(&house, 31)).await;
    assert_eq!(after.labelled.len(), 22);
    assert!(after.labelled.iter().filter(|example| example.case == of(2)).all(|example| example.fraud && example.source == LabelSource::Chargeback));
    // What staff do to a sale because of its case is not what it was suspected for.
    let cancel = Command::Cancel { sale: sale_of(3), owner: None, tickets: vec![0], cause: slot::CancelCause::Museum };
    house.node().slot(slot_of(3), by(3), cancel).await.unwrap();
    let cancelled = known(&house, later(&house, 31)).await;
    assert_eq!((cancelled.labelled.len(), cancelled.usual.len()), (22, after.usual.len() + 1));
    // A sale of nobody known teaches nothing, and is counted as such; the same journal up to the same batch says the same.
    assert_eq!(known(&house, later(&house, 31)).await.labelled, cancelled.labelled);
    house.running.stop().await;
}

/// Opens a case about something, and gives a verdict on it.
async fn decided(house: &House, key: u128, subject: Subject, assessment: Assessment, verdict: Verdict) {
    let (node, due_at) = (house.node(), house.node().now().plus_seconds(3_600));
    let opened = suspicion(subject, None, Some(assessment), due_at);
    node.case(case_of(subject), by(key), case::Command::Open(Box::new(opened))).await.unwrap();
    let decide = case::Command::Decide { verdict, reason: code("known"), by: KeyId(4) };
    node.case(case_of(subject), by(key + 1), decide).await.unwrap();
}

#[actix_rt::test]
async fn verdicts_on_returns_counts_and_refused_attempts_are_learned_where_it_is_known_what_was_asked() {
    let house = House::new().await;
    let node = house.node();
    let heard = async || node.scoring().counters().heard(node.head().number).await;
    let (slot, sale, till) = (slot_of(1), sale_of(1), TillId(9));
    let named = |key| Envelope { parties: parties(1, false), ..by(key) };
    node.slot(slot, named(1), Command::Hold { hold: sale, channel: Channel::Web, lines: lines(2) }).await.unwrap();
    let settlement = Settlement::Payment { id: PaymentId::new(1, 1) };
    node.slot(slot, by(2), Command::Sell { hold: sale, owner: None, settlement, contact: None }).await.unwrap();
    node.till(till, by(3), till::Command::Open { museum: MUSEUM, till: code("desk-1"), float_cents: Cents::new(10_000) }).await.unwrap();

    heard().await;
    let signal = signal_of_return(node.now(), SignalKind::Refunded, Channel::Web, sale, 1, &named(4), None);
    let of_return = node.scoring().assess(&signal);
    let cancel = Command::Cancel { sale, owner: None, tickets: vec![0], cause: slot::CancelCause::Visitor };
    let envelope = Envelope { assessment: Some(Box::new(of_return.clone())), ..named(4) };
    let seq = node.slot(slot, envelope, cancel).await.unwrap().seq;

    heard().await;
    let of_count = node.scoring().assess(&signal_of_count(node.now(), MUSEUM, Cents::new(-1_000), &by(5), Some(by(3).who)));
    let close = till::Command::Close { counted_cents: Cents::new(9_000), taken_cents: Cents::ZERO, summed_to: 0 };
    let envelope = Envelope { assessment: Some(Box::new(of_count.clone())), ..by(5) };
    node.till(till, envelope, close).await.unwrap();

    heard().await;
    let (hold, by_bot) = (HoldId::new(slot, 77), Envelope { parties: parties(3, true), ..by(6) });
    let signal = signal_of(node.now(), SignalKind::Held, Channel::Web, hold, &lines(3), &by_bot);
    let of_attempt = node.scoring().assess(&signal);
    let attempt = |n, figures| Attempt {
        id: AttemptId::new(day_of(node.now()), n),
        at: node.now(),
        channel: Channel::Web,
        museum: MUSEUM,
        slot: Some(slot),
        people: 3,
        amount_cents: Cents::new(3_600),
        parties: by_bot.parties.clone(),
        assessment: Some(of_attempt.clone()),
        ending: Ending::Blocked,
        figures,
    };
    // The second is one of before it was written what attempts had asked for.
    let (first, old) = (attempt(1, figures(&signal, hold).map(Box::new)), attempt(2, None));
    let attempts = [Subject::Attempt(first.id), Subject::Attempt(old.id)];
    node.attempt(by_bot.clone(), first).await.unwrap();
    node.attempt(Envelope { key: Digest(7), body: Digest(7), ..by_bot }, old).await.unwrap();

    house.clock.set(node.now().plus_seconds(20));
    let returned = Subject::Return { sale, seq };
    decided(&house, 20, returned, of_return, Verdict::Fraud).await;
    decided(&house, 30, Subject::Till(till), of_count, Verdict::Fraud).await;
    decided(&house, 40, attempts[0], of_attempt.clone(), Verdict::Legit).await;
    decided(&house, 50, attempts[1], of_attempt, Verdict::Fraud).await;
    let all = known(&house, later(&house, 31)).await;
    let learned: Vec<(Subject, bool, bool)> = all.labelled.iter().map(|example| (example.about, example.fraud, example.assessed)).collect();
    let expected = [(returned, true, true), (Subject::Till(till), true, true), (attempts[0], false, true)];
    assert_eq!(learned, expected, "each with the features that were assessed, to the bit");
    assert_eq!((all.unscored, all.unheard, all.young), (1, 0, 0));
    assert_eq!(all.usual.len(), 3, "held, returned, counted: what was refused is not what usually happens");
    let soon = known(&house, node.now()).await;
    assert_eq!((soon.labelled.len(), soon.young, soon.unscored), (2, 1, 1), "honesty waits here too");
    house.running.stop().await;
}

#[actix_rt::test]
async fn of_a_hold_that_was_not_bought_is_learned_what_was_held() {
    let house = House::new().await;
    let (node, hold) = (house.node(), sale_of(1));
    let mut envelope = Envelope { parties: parties(1, true), ..by(1) };
    let of_hold = node.scoring().assess(&signal_of(node.now(), SignalKind::Held, Channel::Web, hold, &lines(1), &envelope));
    envelope.assessment = Some(Box::new(of_hold.clone()));
    node.slot(slot_of(1), envelope, Command::Hold { hold, channel: Channel::Web, lines: lines(1) }).await.unwrap();
    node.slot(slot_of(1), by(2), Command::Release { hold, owner: None }).await.unwrap();
    house.clock.set(node.now().plus_seconds(20));
    decided(&house, 10, Subject::Hold(hold), of_hold, Verdict::Fraud).await;
    let all = known(&house, node.now()).await;
    let learned: Vec<(Subject, bool, bool)> = all.labelled.iter().map(|example| (example.about, example.fraud, example.assessed)).collect();
    assert_eq!(learned, [(Subject::Hold(hold), true, true)]);
    assert_eq!((all.unheard, all.unscored), (0, 0));
    house.running.stop().await;
}

#[actix_rt::test]
async fn what_was_known_at_an_instant_is_the_same_whatever_comes_after() {
    let house = House::new().await;
    for n in 0..12 {
        sold_and_decided(&house, n).await;
    }
    let until = house.node().now();
    let then = known(&house, until).await;
    assert_eq!((then.labelled.len(), then.young, then.usual.len()), (8, 8, 12));
    // A verdict is undone, a bank says what an analyst had said, or the contrary, and others buy.
    house.clock.set(until.plus_seconds(60));
    let of = |n| case_of(Subject::Sale(sale_of(n)));
    house.node().case(of(3), by(1), case::Command::Undo).await.unwrap();
    let chargeback = case::Command::Label { label: case::Label::Fraud, source: LabelSource::Chargeback };
    for (key, n) in [(2, 0), (3, 1)] {
        house.node().case(of(n), by(key), chargeback.clone()).await.unwrap();
    }
    for n in 12..15 {
        sold_and_decided(&house, n).await;
    }
    let now = known(&house, until).await;
    assert_eq!((&now.labelled, &now.usual), (&then.labelled, &then.usual));
    assert_eq!((now.young, now.unscored, now.unheard), (then.young, then.unscored, then.unheard));
    let since = known(&house, house.node().now()).await;
    assert_eq!((since.labelled.len(), since.usual.len()), (10, 15), "frauds of five sales: one more, one by a bank, one undone");
    // Cases of the last 30 days measure nothing: honesty cannot be known of them yet.
    assert!(since.labelled.iter().all(|example| !example.settled));
    assert!(known(&house, later(&house, 31)).await.labelled.iter().all(|example| example.settled && example.trains_at <= later(&house, 31)));
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_model_that_has_learned_is_better_by_what_became_known_since_and_an_ignorant_one_is_not() {
    let house = House::new().await;
    for n in 0..180 {
        sold_and_decided(&house, n).await;
    }
    let learned = learned(&known(&house, later(&house, 31)).await);
    let judge = Arc::clone(house.node().scoring().judge());
    // The one in force knows nothing of what it is asked.
    judge.install(&model(0, 8.0), Post::Champion).unwrap();
    judge.install(&learned, Post::Challenger).unwrap();
    let since = house.node().now();
    for n in 180..300 {
        sold_and_decided(&house, n).await;
    }
    let middle = house.node().now();
    for n in 300..420 {
        sold_and_decided(&house, n).await;
    }
    // In 80 minutes, of 80 a day, four: the four devices that are shared.
    let (node, budgets) = (house.node(), [Budget { alerts_per_day: 80 }; 5]);
    node.scoring().counters().heard(node.head().number).await;
    judge.settled().await;
    let models = [judge.champion().unwrap(), judge.challenger().unwrap()];
    let end = node.head().number;
    let within = async |models, from, to| {
        let window = Window { from, to };
        compare(node.journal().as_ref(), models, budgets, window, end, Sizes::default().parties).await.unwrap()
    };
    let weighed = async |models, since| within(models, since, Timestamp::MAX).await;
    let compared = weighed(models.clone(), since).await;
    assert_eq!((compared.events, compared.cases), (480, 240));
    let Promotion::Deserved(evidence) = compared.promotion else { panic!("{compared:?}") };
    assert!(evidence.frauds == 80 && evidence.confidence > 0.95 && evidence.challenger_precision > 0.9, "{evidence:?}");
    // Of a part of it both are asked the same, and what is known by now counts.
    let first = within(models.clone(), since, middle.plus_seconds(-1)).await;
    let second = within(models.clone(), middle, node.now()).await;
    assert_eq!([(first.events, first.cases), (second.events, second.cases)], [(240, 120); 2]);
    assert_eq!(first.promotion, Promotion::TooFewLabels { frauds: 40 });
    let [champion, challenger] = models;
    let turned = weighed([Arc::clone(&challenger), Arc::clone(&champion)], since).await;
    assert!(matches!(turned.promotion, Promotion::NotShown(_)), "{turned:?}");
    let same = weighed([Arc::clone(&challenger), challenger], since).await;
    assert!(matches!(same.promotion, Promotion::NotShown(_)), "{same:?}");
    let soon = weighed([champion.clone(), champion], node.now().plus_seconds(-60)).await;
    assert!(matches!(soon.promotion, Promotion::TooFewLabels { .. }) && soon.events < 20, "{soon:?}");
    house.running.stop().await;
}
