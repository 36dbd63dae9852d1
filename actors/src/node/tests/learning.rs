//! What becomes known of sales is learned: labels with the features of what they are about, and what speaks for a model that has learned them.

use tornello_engine::case::{self, LabelSource, Opened, Origin, Subject, Verdict};
use tornello_engine::envelope::{Party, PartyKind};
use tornello_models::artifact::{Artifact, Kind, Particulars, TrainingData};
use tornello_models::fraud::budget::Budget;
use tornello_models::fraud::preparation::{Preparation, Treatment};
use tornello_models::fraud::rows::Rows;
use tornello_models::fraud::scorer::Scorer;
use tornello_models::fraud::select::Unsupervised;
use tornello_models::fraud::signals::{N, SignalKind};
use tornello_models::fraud::supervised::Supervised;

use super::*;
use crate::cases::case_of;
use crate::fraud::evidence::{Promotion, compare};
use crate::fraud::judge::{Post, feature_list};
use crate::fraud::labels::{Examples, examples};
use crate::fraud::{Sizes, signal_of};

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
    let opened = Opened {
        subject,
        origin: Origin::Review,
        assessment: Some(assessment),
        slot: Some(slot_of(n)),
        museum: MUSEUM,
        channel: Channel::Web,
        amount_cents: Cents::new(1_200),
        parties: Vec::new(),
        due_at,
        lapses_at: due_at,
    };
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

fn sealed(scorer: &Scorer) -> Artifact {
    let particulars = Particulars {
        kind: Kind::Fraud,
        method: "test".into(),
        created: String::new(),
        code_revision: "test".into(),
        data: TrainingData { name: "made up".into(), sha256: String::new(), rows: 0, period: String::new() },
        seed: 1,
        settings: Vec::new(),
        metrics: Vec::new(),
        parent: None,
        approver: None,
    };
    Artifact::seal(scorer, &feature_list().unwrap(), particulars).unwrap()
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

/// A model that knows nothing of what it is asked.
fn ignorant() -> Artifact {
    let values = (0..400 * N).map(|i| 8.0 * ((i * 7_919) % 101) as f64 / 101.0).collect();
    sealed(&Scorer::fit(Unsupervised::Tails, &Rows::new(N, values).unwrap(), AS_THEY_ARE, 1).unwrap())
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
    assert_eq!((all.labelled.len(), all.usual.len(), all.young, all.unheard), (24, 24, 0, 0));
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
    let cancel = Command::Cancel { sale: sale_of(3), owner: None, tickets: vec![0], cause: slot::CancelCause::Visitor };
    house.node().slot(slot_of(3), by(3), cancel).await.unwrap();
    let cancelled = known(&house, later(&house, 31)).await;
    assert_eq!((cancelled.labelled.len(), cancelled.usual.len()), (22, after.usual.len() + 1));
    // A sale of nobody known teaches nothing, and is counted as such; the same journal up to the same batch says the same.
    assert_eq!(known(&house, later(&house, 31)).await.labelled, cancelled.labelled);
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
    assert_eq!((then.labelled.len(), then.young, then.usual.len()), (8, 8, 24));
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
    assert_eq!((since.labelled.len(), since.usual.len()), (10, 30), "frauds of five sales: one more, one by a bank, one undone");
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
    judge.install(&ignorant(), Post::Champion).unwrap();
    judge.install(&learned, Post::Challenger).unwrap();
    let since = house.node().now();
    for n in 180..420 {
        sold_and_decided(&house, n).await;
    }
    let (node, budgets) = (house.node(), [Budget { alerts_per_day: 60 }; 5]);
    node.scoring().counters().heard(node.head().number).await;
    judge.settled().await;
    let models = [judge.champion().unwrap(), judge.challenger().unwrap()];
    let end = node.head().number;
    let weighed = async |models, since| compare(node.journal().as_ref(), models, budgets, since, end, Sizes::default().parties).await.unwrap();
    let compared = weighed(models.clone(), since).await;
    assert_eq!((compared.events, compared.cases), (480, 240));
    let Promotion::Deserved(evidence) = compared.promotion else { panic!("{compared:?}") };
    assert!(evidence.frauds == 80 && evidence.confidence > 0.95 && evidence.challenger_precision > 0.9, "{evidence:?}");
    let [champion, challenger] = models;
    let turned = weighed([Arc::clone(&challenger), Arc::clone(&champion)], since).await;
    assert!(matches!(turned.promotion, Promotion::NotShown(_)), "{turned:?}");
    let same = weighed([Arc::clone(&challenger), challenger], since).await;
    assert!(matches!(same.promotion, Promotion::NotShown(_)), "{same:?}");
    let soon = weighed([champion.clone(), champion], node.now().plus_seconds(-60)).await;
    assert!(matches!(soon.promotion, Promotion::TooFewLabels { .. }) && soon.events < 20, "{soon:?}");
    house.running.stop().await;
}
