//! What is said of commands before they are given: it follows from the journal up to the position that it names, live, in a replay and after a restart; whatever
//! becomes of models, what is sold is sold.

use std::collections::HashSet;

use futures_util::FutureExt;
use tornello_engine::envelope::{Assessment, Outcome, Party, PartyKind};
use tornello_engine::ids::PaymentId;
use tornello_models::fraud::signals::{SignalEvent, SignalKind, features};

use super::again::{is_said_again, said_again};
use super::*;
use crate::fraud::again::LeftOut;
use crate::fraud::counters::Counters;
use crate::fraud::fold::{digest_of, replay_to};
use crate::fraud::judge::Post;
use crate::fraud::judge::tests::model;
use crate::fraud::shelf::Shelf;
use crate::fraud::signal_of;

fn party(kind: PartyKind, pseudonym: u128) -> Party {
    Party { kind, pseudonym: Digest(pseudonym) }
}

/// A buyer and their device.
fn of(key: u128, buyer: u128) -> Envelope {
    Envelope { parties: vec![party(PartyKind::Buyer, buyer), party(PartyKind::Device, 9_000 + buyer)], ..by(key) }
}

fn asked(house: &House, n: u64, envelope: &Envelope) -> SignalEvent {
    signal_of(house.node().now(), SignalKind::Held, Channel::Web, HoldId::new(tomorrow(), n), &lines(1), envelope)
}

async fn heard(house: &House) {
    house.node().scoring().counters().heard(house.node().head().number).await;
}

/// Assesses, then holds with the assessment, as `api` does; then lets the hold expire if it is one of those.
async fn held(house: &House, n: u64, buyer: u128) -> Assessment {
    let mut envelope = of(u128::from(n), buyer);
    let assessment = house.node().scoring().assess(&asked(house, n, &envelope));
    envelope.assessment = Some(Box::new(assessment.clone()));
    house.node().slot(tomorrow(), envelope, hold(n, 1)).await.unwrap();
    assessment
}

fn same(live: &Counters, replayed: &Counters) -> bool {
    live.stores()
        .iter()
        .zip(replayed.stores())
        .all(|(live, replayed)| postcard::to_allocvec(live).unwrap() == postcard::to_allocvec(&replayed).unwrap())
}

/// Holds, expiries and sales of some buyers, with what was said of each hold.
async fn story(house: &House) -> Vec<(u64, u128, Assessment)> {
    let mut said = Vec::new();
    for n in 1..=12_u64 {
        let buyer = 50 + u128::from(n % 3);
        said.push((n, buyer, held(house, n, buyer).await));
        if n % 4 == 0 {
            let settlement = Settlement::Payment { id: PaymentId::new(1, 7) };
            let command = Command::Sell { hold: HoldId::new(tomorrow(), n), owner: None, settlement, contact: None };
            house.node().slot(tomorrow(), by(10_000 + u128::from(n)), command).await.unwrap();
        }
        house.clock.set(house.node().now().plus_seconds(if n % 5 == 0 { 1_000 } else { 7 }));
        house.node().wake_due().await;
        if n % 2 == 0 {
            heard(house).await;
        }
    }
    heard(house).await;
    said
}

#[actix_rt::test]
async fn what_was_said_is_said_again_by_a_replay_to_the_position_that_it_names() {
    let house = House::new().await;
    let said = story(&house).await;
    assert!(said.iter().any(|(_, _, assessment)| assessment.position > 5), "counters were heard of meanwhile");
    let journal = Arc::clone(house.node().journal());
    for (n, buyer, assessment) in said {
        let (_, counters) = replay_to(journal.as_ref(), assessment.position, Sizes::default().parties).await.unwrap();
        let envelope = of(u128::from(n), buyer);
        let signal = signal_of(assessment.at, SignalKind::Held, Channel::Web, HoldId::new(tomorrow(), n), &lines(1), &envelope);
        let (position, known) = counters.known(&signal).unwrap();
        assert_eq!((position, digest_of(&features(&known, &signal))), (assessment.position, assessment.features), "hold {n}");
    }
    let (_, counters) = replay_to(journal.as_ref(), house.node().head().number, Sizes::default().parties).await.unwrap();
    assert!(same(house.node().scoring().counters(), &counters), "to the byte");
    is_said_again(&house, 12).await;
    house.running.stop().await;
}

#[actix_rt::test]
async fn after_a_restart_the_counters_are_the_same_with_what_was_saved_and_without() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    story(&house).await;
    let next = of(100, 51);
    let before = (house.node().scoring().counters().stores(), house.node().scoring().assess(&asked(&house, 100, &next)));
    let at = house.node().now();
    house.running.stop().await;
    let file = folder.path().join("scorers.state");
    for saved in [true, false] {
        assert!(file.exists());
        if !saved {
            std::fs::write(&file, b"tornello and nothing else").unwrap();
        }
        let house = House::in_folder_at(&folder, at).await.unwrap();
        heard(&house).await;
        assert!(house.node().scoring().state().caught_up);
        let after = (house.node().scoring().counters().stores(), house.node().scoring().assess(&asked(&house, 100, &next)));
        assert_eq!(postcard::to_allocvec(&before.0).unwrap(), postcard::to_allocvec(&after.0).unwrap(), "saved: {saved}");
        assert_eq!(before.1, after.1, "saved: {saved}");
        house.running.stop().await;
    }
}

#[actix_rt::test]
async fn whoever_holds_and_never_buys_is_refused_by_rules_and_an_honest_buyer_is_not() {
    let house = House::new().await;
    for n in 0..15_u64 {
        held(&house, n, 66).await;
        house.node().slot(tomorrow(), by(5_000 + u128::from(n)), Command::Release { hold: HoldId::new(tomorrow(), n), owner: None }).await.unwrap();
        house.clock.set(house.node().now().plus_seconds(30));
    }
    heard(&house).await;
    let outcome = |buyer| {
        let assessment = house.node().scoring().assess(&asked(&house, 99, &of(99, buyer)));
        (assessment.outcome, assessment.rules.iter().map(ToString::to_string).collect::<Vec<_>>(), assessment.model.to_string())
    };
    assert_eq!(outcome(66), (Outcome::Block, vec!["hoarding".to_owned(), "unsold-holds".to_owned()], "none".to_owned()));
    assert_eq!(outcome(67), (Outcome::Allow, vec![], "none".to_owned()));
    // At a desk somebody sees who is there.
    let signal = signal_of(house.node().now(), SignalKind::Held, Channel::BoxOffice, HoldId::new(tomorrow(), 99), &lines(1), &of(99, 66));
    assert_eq!(house.node().scoring().assess(&signal).outcome, Outcome::Allow);
    house.running.stop().await;
}

#[actix_rt::test]
async fn whoever_gives_a_command_takes_part_in_it_whatever_names_it_gives() {
    use tornello_models::fraud::signals::{Role, Taking};
    let made_up = Envelope { parties: vec![party(PartyKind::Operator, 77)], ..by(1) };
    let signal = signal_of(now(), SignalKind::Sold { held: false }, Channel::BoxOffice, HoldId::new(tomorrow(), 1), &lines(1), &made_up);
    let themselves = Taking { role: Role::Operator, id: u128::from(made_up.who.0) };
    assert!(signal.parties.contains(&themselves) && signal.parties.len() == 2, "{:?}", signal.parties);
    let twice = Envelope { parties: vec![party(PartyKind::Operator, themselves.id)], ..by(1) };
    assert_eq!(crate::fraud::hearing::parties(&twice, crate::fraud::hearing::outlet(Channel::BoxOffice)), [themselves]);
}

#[actix_rt::test]
async fn a_hold_that_is_bought_under_another_name_is_bought() {
    use crate::fraud::{Held, hearing, signal_of_held};
    let house = House::new().await;
    for n in 0..15_u64 {
        held(&house, n, 66).await;
        let settlement = Settlement::Payment { id: PaymentId::new(1, 100 + n) };
        let command = Command::Sell { hold: HoldId::new(tomorrow(), n), owner: None, settlement, contact: None };
        house.node().slot(tomorrow(), of(u128::from(10_000 + n), 300 + u128::from(n)), command).await.unwrap();
        house.clock.set(house.node().now().plus_seconds(90));
    }
    heard(&house).await;
    assert_eq!(house.node().scoring().assess(&asked(&house, 99, &of(99, 66))).outcome, Outcome::Allow, "nothing of it is unsold");
    // What is assessed when it is bought is what is found in the journal.
    let (hold, parties) = (HoldId::new(tomorrow(), 99), hearing::parties(&of(99, 66), hearing::outlet(Channel::Web)));
    let remembered = Held { channel: Channel::Web, lines: lines(1), parties: parties.clone() };
    let signal = signal_of_held(now(), SignalKind::Sold { held: true }, hold, &remembered, &of(100, 67));
    assert_eq!(signal.parties.len(), 4, "both buyers and both devices");
    assert!(signal.parties.ends_with(&parties));
    house.running.stop().await;
}

#[actix_rt::test]
async fn what_nobody_remembers_of_a_hold_is_known_to_whoever_follows_the_journal() {
    use crate::fraud::{Held, hearing};
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    for n in [1, 2] {
        held(&house, n, 60 + u128::from(n)).await;
    }
    let settlement = Settlement::Payment { id: PaymentId::new(1, 7) };
    let command = Command::Sell { hold: HoldId::new(tomorrow(), 2), owner: None, settlement, contact: None };
    house.node().slot(tomorrow(), of(10_002, 300), command).await.unwrap();
    let at = house.node().now();
    house.running.stop().await;
    let parties = |buyer| hearing::parties(&of(1, buyer), hearing::outlet(Channel::Web));
    for saved in [true, false] {
        if !saved {
            std::fs::remove_file(folder.path().join("scorers.state")).unwrap();
        }
        let house = House::in_folder_at(&folder, at).await.unwrap();
        heard(&house).await;
        let scoring = house.node().scoring();
        let recalled = async |n: u64, buyer| {
            let hold = HoldId::new(tomorrow(), n);
            assert!(scoring.held(hold).is_none(), "saved: {saved}");
            scoring.recalled(hold, Held::in_slot(Channel::Web, lines(1), Some(Digest(buyer)))).await.parties
        };
        assert_eq!(recalled(1, 61).await, parties(61), "saved: {saved}, the device as well");
        assert_eq!(recalled(2, 62).await, [parties(300), parties(62)].concat(), "saved: {saved}, who bought it and who held it");
        assert_eq!(recalled(3, 63).await, parties(63)[..1], "saved: {saved}, what nobody knows the slot knows best");
        house.running.stop().await;
    }
}

#[actix_rt::test]
async fn where_counters_cannot_be_read_the_record_says_so_and_a_web_buyer_is_asked_for_a_proof() {
    use tornello_models::fraud::signals::Outlet;
    let house = House::new().await;
    held(&house, 1, 66).await;
    heard(&house).await;
    let (scoring, signal) = (house.node().scoring(), asked(&house, 2, &of(2, 66)));
    let said = scoring.say(&signal);
    assert_eq!((said.proof_due, said.assessment.outcome), (false, Outcome::Allow));
    // Two batches of which no reader is told.
    let position = scoring.counters().position();
    for batch in [position + 1, position + 2] {
        scoring.counters().fold(|_| true, batch, std::slice::from_ref(&signal));
    }
    let said = scoring.say(&signal);
    assert_eq!((said.proof_due, said.assessment.outcome, said.assessment.reasons), (true, Outcome::StepUp, vec![code("counters_unread")]));
    let said = scoring.say(&SignalEvent { outlet: Outlet::BoxOffice, ..signal });
    assert_eq!((said.proof_due, said.assessment.outcome, said.assessment.reasons), (false, Outcome::Allow, vec![code("counters_unread")]));
    assert_eq!(scoring.state().unread, 2);
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_payment_is_assessed_and_heard_as_of_whoever_held_the_places_of_any_of_its_holds() {
    use tornello_models::fraud::signals::FeatureVector;

    use crate::fraud::{Held, hearing, signal_of_payment};
    let house = House::new().await;
    held(&house, 1, 61).await;
    for n in 2..6_u64 {
        held(&house, n, 62).await;
        if n > 2 {
            house
                .node()
                .slot(tomorrow(), by(5_000 + u128::from(n)), Command::Release { hold: HoldId::new(tomorrow(), n), owner: None })
                .await
                .unwrap();
        }
    }
    heard(&house).await;
    let held_by = |n, buyer| {
        let parties = hearing::parties(&of(n, buyer), hearing::outlet(Channel::Web));
        Arc::new(Held { channel: Channel::Web, lines: lines(1), parties })
    };
    let paying = Envelope { parties: vec![party(PartyKind::Card, 7)], ..by(200) };
    let [first, second] = [1, 2].map(|n| HoldId::new(tomorrow(), n));
    let assess = |held: &[Arc<Held>]| {
        let signal = signal_of_payment(house.node().now(), Channel::Web, MUSEUM, 2_400, &paying, first, held);
        house.node().scoring().assess(&signal)
    };
    let (of_first, of_both) = (assess(&[held_by(1, 61)]), assess(&[held_by(1, 61), held_by(2, 62)]));
    assert_ne!(of_first.features, of_both.features, "the second one leaves holds");
    let payment = PaymentId::new(0, 9);
    house.node().payment(payment, paying, pay(&[(first, 1), (second, 1)], house.node().now())).await.unwrap();
    let journal = Arc::clone(house.node().journal());
    let (fold, _) = replay_to(journal.as_ref(), house.node().head().number, Sizes::default().parties).await.unwrap();
    let row = fold.rows().last().unwrap();
    let features: FeatureVector = row.features.as_slice().try_into().unwrap();
    assert_eq!((row.subject, digest_of(&features)), (u128::from(payment.get()), of_both.features));
    house.running.stop().await;
}

#[actix_rt::test]
async fn models_are_swapped_between_holds_and_whoever_watches_misses_none() {
    let house = House::new().await;
    let judge = Arc::clone(house.node().scoring().judge());
    let (mut with, mut names) = (0, std::collections::BTreeSet::new());
    for n in 0..40_u64 {
        if n % 5 == 3 {
            let post = if n % 2 == 0 { Post::Champion } else { Post::Challenger };
            judge.install(&model(n as usize, 8.0), post).unwrap();
        }
        let assessment = held(&house, n, 200 + u128::from(n)).await;
        with += usize::from(assessment.model.as_str() != "none");
        names.insert(assessment.model);
        house.node().slot(tomorrow(), by(5_000 + u128::from(n)), Command::Release { hold: HoldId::new(tomorrow(), n), owner: None }).await.unwrap();
    }
    assert!(with >= 30 && names.len() >= 4, "{with} {names:?}");
    heard(&house).await;
    judge.settled().await;
    let state = house.node().scoring().state();
    assert!(state.champion.is_some() && state.challenger.is_some());
    assert_eq!((state.assessed, state.skipped, state.missed, state.unread), (40, 0, 0, 0));
    house.running.stop().await;
}

/// Tells others that it has ended, however it did.
struct Ends(Arc<AtomicBool>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What a holder was told: of which hold, by which of the models that acted one after the other it may have been said, and what.
type Told = (HoldId, std::ops::RangeInclusive<usize>, Assessment);

/// Holds places and gives them back, again and again, on a thread of its own as requests are answered, until the last model acts.
fn hold_until(node: &Arc<Node>, holder: u64, (begun, done): (&AtomicUsize, &AtomicUsize), ended: &AtomicBool) -> Vec<Told> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut said = Vec::new();
        while !ended.load(Ordering::SeqCst) {
            let n = holder * 1_000_000 + said.len() as u64;
            let (id, mut envelope) = (HoldId::new(tomorrow(), n), of(u128::from(n), 1_000 + u128::from(n)));
            let signal = signal_of(node.now(), SignalKind::Held, Channel::Web, id, &lines(1), &envelope);
            let from = done.load(Ordering::SeqCst);
            let assessment = node.scoring().assess(&signal);
            let to = begun.load(Ordering::SeqCst);
            envelope.assessment = Some(Box::new(assessment.clone()));
            node.slot(tomorrow(), envelope, hold(n, 1)).await.unwrap();
            node.slot(tomorrow(), by(100_000_000 + u128::from(n)), Command::Release { hold: id, owner: None }).await.unwrap();
            said.push((id, from..=to, assessment));
        }
        said
    })
}

#[actix_rt::test]
async fn models_are_swapped_while_many_hold_at_once_and_nothing_is_lost() {
    const HOLDERS: u64 = 4;
    const SWAPS: usize = 8;
    let house = House::new().await;
    let mut models: Vec<_> = (0..=SWAPS).map(|seed| model(seed, 8.0)).collect();
    let (folder, kept) = (TempDir::new().unwrap(), models.clone());
    let first = house.node().scoring().judge().install(&models.remove(0), Post::Champion).unwrap();
    let (begun, done, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let holders: Vec<_> = (0..HOLDERS)
        .map(|holder| {
            let (node, begun, done, ended) = (Arc::clone(house.node()), Arc::clone(&begun), Arc::clone(&done), Arc::clone(&ended));
            tokio::task::spawn_blocking(move || {
                // One that fails ends the others, and the test with them.
                let ends = Ends(Arc::clone(&ended));
                let said = hold_until(&node, holder, (&*begun, &*done), &ended);
                drop(ends);
                said
            })
        })
        .collect();
    let (node, started, finished, over) = (Arc::clone(house.node()), Arc::clone(&begun), Arc::clone(&done), Arc::clone(&ended));
    let swapped = tokio::task::spawn_blocking(move || {
        let (_ends, mut codes) = (Ends(Arc::clone(&over)), vec![first]);
        for (swap, model) in (1..).zip(&models) {
            // So many have begun since the last swap that one of them at least was asked of the model that it put to work.
            let before = node.scoring().state().assessed;
            while node.scoring().state().assessed < before + 2 * HOLDERS {
                assert!(!over.load(Ordering::SeqCst), "a holder failed");
                std::thread::yield_now();
            }
            started.store(swap, Ordering::SeqCst);
            codes.push(node.scoring().judge().install(model, Post::Champion).unwrap());
            finished.store(swap, Ordering::SeqCst);
        }
        codes
    });
    let (codes, mut said) = (swapped.await.unwrap(), std::collections::HashMap::new());
    let (mut names, mut unread) = (std::collections::BTreeSet::new(), 0);
    for holder in holders {
        for (hold, when, assessment) in holder.await.unwrap() {
            let in_force = &codes[when];
            // Where batches overtook the reader again and again no model was asked, and the record says so.
            let is_unread = assessment.reasons.contains(&code("counters_unread"));
            unread += u64::from(is_unread);
            assert!(is_unread || in_force.contains(&assessment.model), "{hold}: {} is none of {in_force:?}", assessment.model);
            names.insert(assessment.model);
            said.insert(hold, assessment);
        }
    }
    assert!(codes[..SWAPS].iter().all(|code| names.contains(code)), "each of them acted: {names:?} of {codes:?}");

    // What was said of each hold stands in the journal, and all of it is counted.
    heard(&house).await;
    let records = crate::streams::all_of::<Event>(house.node().journal().as_ref(), StreamId::Slot(tomorrow())).await.unwrap();
    let written = records.iter().flat_map(|record| record.events.iter().map(move |event| (record, event)));
    let mut count = 0;
    for (record, held) in written.filter_map(|(record, event)| if let Event::Held(held) = event { Some((record, held)) } else { None }) {
        assert_eq!(record.envelope.as_ref().and_then(|envelope| envelope.assessment.as_deref()), said.get(&held.hold));
        count += 1;
    }
    let state = house.node().scoring().state();
    assert_eq!((count, state.assessed, state.unread), (said.len(), said.len() as u64, unread));
    let (_, counters) = replay_to(house.node().journal().as_ref(), house.node().head().number, Sizes::default().parties).await.unwrap();
    assert!(same(house.node().scoring().counters(), &counters), "to the byte");

    // And all of it is said again, by whichever of the models said it.
    let shelf = Shelf::in_folder(folder.path());
    kept.iter().for_each(|model| shelf.keep(&model.card().unwrap().id, model).unwrap());
    let again = said_again(house.node().journal().as_ref(), Some(shelf)).await;
    assert_eq!((again.assessed, again.same, again.by_rules), (count as u64, count as u64 - unread, 0), "{:?} {:?}", again.told, again.left_out);
    assert_eq!(again.left_out.get(&LeftOut::Unread).copied().unwrap_or(0), unread);
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_model_that_is_damaged_or_made_for_other_features_is_not_put_to_work() {
    let house = House::new().await;
    let judge = house.node().scoring().judge();
    let good = model(1, 8.0);
    let mut broken = good.clone();
    let middle = broken.model.len() / 2;
    broken.model[middle] ^= 1;
    assert!(judge.install(&broken, Post::Champion).is_err());
    assert!(judge.champion().is_none(), "rules act alone");
    judge.install(&good, Post::Champion).unwrap();
    assert!(judge.install(&broken, Post::Champion).is_err());
    assert!(judge.champion().is_some(), "the one before goes on");
    house.running.stop().await;
}

#[actix_rt::test]
async fn without_a_trained_model_the_node_fits_one_of_its_own_the_same_each_time() {
    let mut ids = Vec::new();
    for _ in 0..2 {
        let house = House::new().await;
        for n in 0..2_000_u64 {
            let envelope = of(u128::from(n), 1_000 + u128::from(n % 700));
            house.node().slot(tomorrow(), envelope, hold(n, 1)).await.unwrap();
            house
                .node()
                .slot(tomorrow(), by(100_000 + u128::from(n)), Command::Release { hold: HoldId::new(tomorrow(), n), owner: None })
                .await
                .unwrap();
            if n % 100 == 0 {
                house.clock.set(house.node().now().plus_seconds(60));
                heard(&house).await;
            }
        }
        heard(&house).await;
        let judge = Arc::clone(house.node().scoring().judge());
        judge.settled().await;
        let champion = judge.champion().expect("2,000 events were heard");
        assert!(champion.own && champion.code.as_str().starts_with("own-"));
        let usual = house.node().scoring().assess(&asked(&house, 9_999, &of(9_999, 3)));
        assert_eq!(usual.model, champion.code);
        assert!(usual.outcome != Outcome::Block, "a model never refuses");
        ids.push(champion.id.clone());
        house.running.stop().await;
    }
    assert_eq!(ids[0], ids[1]);
}

#[actix_rt::test]
async fn figures_that_cannot_be_are_judged_all_the_same() {
    let house = House::new().await;
    house.node().scoring().judge().install(&model(3, 1.0), Post::Champion).unwrap();
    let envelope = of(1, 5);
    let mut signal = asked(&house, 1, &envelope);
    (signal.people, signal.cheap, signal.cents, signal.list_cents, signal.lead_s, signal.at_us) = (u32::MAX, 0, i64::MAX, 1, i64::MIN, i64::MAX);
    let assessment = house.node().scoring().assess(&signal);
    assert!(assessment.score >= 99, "beyond anything that the model has seen");
    signal.parties = (0..5_000).map(|id| tornello_models::fraud::signals::Taking { role: tornello_models::fraud::signals::Role::Card, id }).collect();
    assert!(house.node().scoring().assess(&signal).reasons.len() <= 3);
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_rule_is_tried_on_what_has_happened() {
    use tornello_engine::case::{self, Subject, Verdict};
    use tornello_models::fraud::rules::RuleSet;

    use crate::cases::case_of;
    use crate::fraud::trial::{Trial, try_rules};
    let house = House::new().await;
    for n in 0..15_u64 {
        held(&house, n, 66).await;
        house.node().slot(tomorrow(), by(5_000 + u128::from(n)), Command::Release { hold: HoldId::new(tomorrow(), n), owner: None }).await.unwrap();
        house.clock.set(house.node().now().plus_seconds(30));
    }
    held(&house, 50, 67).await;
    // The last hold of the bot is bought: stopped would have been somebody who paid.
    held(&house, 60, 66).await;
    let settlement = Settlement::Payment { id: PaymentId::new(1, 7) };
    let command = Command::Sell { hold: HoldId::new(tomorrow(), 60), owner: None, settlement, contact: None };
    house.node().slot(tomorrow(), by(9_000), command).await.unwrap();
    let journal = Arc::clone(house.node().journal());
    let tried = try_rules(journal.as_ref(), &RuleSet::hard_defaults(), Timestamp::MIN, 1_000, &HashSet::new()).await.unwrap();
    // That its payment makes a sale of it is asked about by nobody.
    assert_eq!((tried.asked, tried.good), (17, 1), "{tried:?}");
    assert!(tried.step_up >= 5 && tried.block >= 2 && tried.stopped >= 2, "{tried:?}");
    // If their key had desk rights nobody would ask for a proof, through whichever channel they sell, and all else would be as it is.
    let desks = HashSet::from([by(0).who]);
    let at_desk = try_rules(journal.as_ref(), &RuleSet::hard_defaults(), Timestamp::MIN, 1_000, &desks).await.unwrap();
    assert_eq!(at_desk, Trial { step_up: 0, ..tried.clone() });
    let later = try_rules(journal.as_ref(), &RuleSet::hard_defaults(), house.node().now().plus_seconds(60), 1_000, &HashSet::new()).await.unwrap();
    assert_eq!(later.asked, 0);
    // An analyst finds fraud in it and no ticket was left to block; then that it was none, after staff have blocked one; then the bank takes the money back.
    let (subject, at) = (Subject::Sale(HoldId::new(tomorrow(), 60)), house.node().now());
    let opened = case::Command::Open(Box::new(case::Opened {
        subject,
        origin: case::Origin::Review,
        assessment: None,
        slot: Some(tomorrow()),
        museum: MUSEUM,
        channel: Channel::Web,
        amount_cents: Cents::new(1_200),
        parties: Vec::new(),
        due_at: at,
        lapses_at: at.plus_seconds(86_400),
    }));
    let say = |verdict| case::Command::Decide { verdict, reason: code("known"), by: KeyId(4) };
    let by_bank = case::Command::Label { label: case::Label::Fraud, source: case::LabelSource::Chargeback };
    house.node().case(case_of(subject), by(9_100), opened).await.unwrap();
    house.ask(9_101, Command::Block { sale: HoldId::new(tomorrow(), 60), tickets: vec![0], reason: code("torn") }).await.unwrap();
    let steps = [(say(Verdict::Fraud), 0), (case::Command::Undo, 0), (say(Verdict::Legit), 1), (by_bank, 0)];
    for (n, (command, good)) in (0_u128..).zip(steps) {
        house.node().case(case_of(subject), by(9_200 + n), command).await.unwrap();
        let again = try_rules(journal.as_ref(), &RuleSet::hard_defaults(), Timestamp::MIN, 1_000, &HashSet::new()).await.unwrap();
        assert_eq!((again.good, again.stopped), (good, tried.stopped), "{n}: {again:?}");
    }
    house.running.stop().await;
}

/// Places are held and paid for, tickets move and go back, an option of a quote is kept: each as it is asked about when it is done, and once.
#[actix_rt::test]
async fn a_rule_is_tried_on_each_command_once_and_as_it_would_be_followed() {
    use tornello_engine::ids::QuoteId;
    use tornello_engine::slot::{CancelCause, Keeper};
    use tornello_models::fraud::rules::{Action, Comparison, Condition, Rule, RuleSet};

    use super::limits::an_hour_later;
    use crate::fraud::trial::{Trial, try_rules};
    use crate::moves::move_tickets;
    let house = House::new().await;
    let (node, at) = (house.node(), house.node().now());
    let (one, two, option) = (HoldId::new(tomorrow(), 1), HoldId::new(tomorrow(), 2), HoldId::new(tomorrow(), 3));
    let rule = |feature: &str, action| {
        let condition = Condition { feature: feature.to_owned(), comparison: Comparison::AtLeast, threshold: 1.0 };
        let (name, it, en) = ("all".to_owned(), "Tutti.".to_owned(), "All.".to_owned());
        RuleSet::new(vec![Rule { name, conditions: vec![condition], outlets: Vec::new(), museums: Vec::new(), action, it, en }]).unwrap()
    };
    let tried = async |rules: RuleSet| try_rules(node.journal().as_ref(), &rules, Timestamp::MIN, 1_000, &HashSet::new()).await.unwrap();

    // A place is held, a payment begins, and brings about a sale: that follows, and nobody is asked about it.
    held(&house, 1, 61).await;
    let paying = Envelope { parties: vec![party(PartyKind::Card, 7)], ..by(200) };
    let payment = PaymentId::new(0, 9);
    node.payment(payment, paying, pay(&[(one, 1)], at)).await.unwrap();
    let settlement = Settlement::Payment { id: payment };
    let paid = Command::SellPaid { hold: one, owner: None, lines: lines(1), keeper: Some(payment), settlement, contact: None };
    node.slot(tomorrow(), by(201), paid).await.unwrap();
    let (asks, looks, stops) = (Action::StepUp, Action::Review, Action::Block);
    let told = |tried: &Trial| (tried.asked, tried.step_up, tried.review, tried.block);
    assert_eq!(told(&tried(rule("people", looks)).await), (2, 0, 1, 0), "the payment names no people");
    assert_eq!(told(&tried(rule("cents", looks)).await), (2, 0, 2, 0));
    let stopped = tried(rule("people", stops)).await;
    assert_eq!((told(&stopped), stopped.stopped, stopped.good), ((2, 0, 0, 1), 1, 1), "and it is known what became of it");

    // Tickets move: they are held and sold where they arrive, and asked about once.
    let prices = vec![(code("full"), Cents::new(1_200))];
    let command = Command::BeginMove { sale: one, owner: None, tickets: vec![], arrival: HoldId::new(an_hour_later(), 4), via: Channel::Web, prices };
    move_tickets(node, tomorrow(), of(202, 61), command).await.unwrap();
    assert_eq!(told(&tried(rule("people", asks)).await), (3, 2, 0, 0));
    // Whoever has desk rights is asked for none, through whichever channel tickets are moved.
    let desks = HashSet::from([by(0).who]);
    let at_desk = try_rules(node.journal().as_ref(), &rule("people", asks), Timestamp::MIN, 1_000, &desks).await.unwrap();
    assert_eq!(told(&at_desk), (3, 0, 0, 0));

    // Nobody at a desk is asked for a proof, nor who takes tickets back.
    node.slot(tomorrow(), by(203), sell(2, 1)).await.unwrap();
    let cancel = Command::Cancel { sale: two, owner: None, tickets: vec![], cause: CancelCause::Museum };
    node.slot(tomorrow(), by(204), cancel).await.unwrap();
    assert_eq!(told(&tried(rule("people", asks)).await), (5, 2, 0, 0));

    // An option of a quote is kept whatever a rule says, and looked at.
    let cause = Keeper::Quote(QuoteId(7));
    let kept = Command::HoldFor { hold: option, channel: Channel::Group, lines: lines(1), until: at.plus_seconds(9_000), cause };
    node.slot(tomorrow(), Envelope { parties: vec![party(PartyKind::Group, 8)], ..Envelope::by_system(Digest(205)) }, kept).await.unwrap();
    let before = stopped.block;
    let stopped = tried(rule("account_holds_1h", stops)).await;
    assert_eq!(told(&stopped), (6, 0, 0, 0), "it is their first");
    let stopped = tried(rule("people", stops)).await;
    assert_eq!((stopped.asked, stopped.review, stopped.block), (6, 1, before + 3), "a desk's sale and what it took back besides");
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_rule_is_asked_as_soon_as_it_is_in_force_also_where_whoever_put_it_there_has_gone_away() {
    use tornello_engine::fraud_rules::{Action, Command as RulesCommand, Condition, Op, Rule};
    let house = House::new().await;
    let (node, name) = (house.node(), code("crowd"));
    let rule = Rule {
        name,
        when: vec![Condition { feature: code("people"), op: Op::AtLeast, threshold_milli: 1_000 }],
        channels: vec![Channel::Web],
        museums: Vec::new(),
        action: Action::Block,
        sentence: Text::new("Troppo.", "Too much."),
    };
    node.rules(by(1), RulesCommand::Draft { rule: Box::new(rule), by: KeyId(1) }).await.unwrap();
    // It is on its way, and nobody waits for the answer.
    drop(node.rules(by(2), RulesCommand::Activate { name, draft: 1, by: KeyId(2) }).now_or_never());
    while node.defences().rules().version() == 0 {
        tokio::task::yield_now().await;
    }
    let assessment = node.scoring().assess(&asked(&house, 99, &of(99, 66)));
    assert_eq!((assessment.outcome, assessment.rules_version), (Outcome::Block, 1));
    // What was in force before is not asked again, however late somebody comes with it.
    let before = node.defences().rules();
    node.rules(by(3), RulesCommand::Retire { name }).await.unwrap();
    node.scoring().follow(&before);
    let assessment = node.scoring().assess(&asked(&house, 98, &of(98, 66)));
    assert_eq!((assessment.outcome, assessment.rules_version), (Outcome::Allow, 2));
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_rule_that_is_put_in_force_is_asked_at_once_and_takes_the_place_of_the_default_of_its_name() {
    use tornello_engine::fraud_rules::{Action, Command as RulesCommand, Condition, Op, Rule};
    let house = House::new().await;
    let rule = |name: &str, feature: &str, threshold_milli| Rule {
        name: code(name),
        when: vec![Condition { feature: code(feature), op: Op::AtLeast, threshold_milli }],
        channels: vec![Channel::Web],
        museums: Vec::new(),
        action: Action::Block,
        sentence: Text::new("Troppo.", "Too much."),
    };
    let outcome = || house.node().scoring().assess(&asked(&house, 99, &of(99, 66)));
    assert_eq!((outcome().outcome, outcome().rules_version), (Outcome::Allow, 0));
    let many = Box::new(rule("crowd", "people", 1_000));
    house.node().rules(by(1), RulesCommand::Draft { rule: many, by: KeyId(1) }).await.unwrap();
    assert_eq!(outcome().outcome, Outcome::Allow, "a draft is not asked");
    house.node().rules(by(2), RulesCommand::Activate { name: code("crowd"), draft: 1, by: KeyId(2) }).await.unwrap();
    let assessment = outcome();
    assert_eq!((assessment.outcome, assessment.rules, assessment.rules_version), (Outcome::Block, vec![code("crowd")], 1));
    let sentence = house.node().scoring().rules().sentence("crowd");
    assert_eq!(sentence, ("Troppo.".to_owned(), "Too much.".to_owned()));
    // A default is turned off by a rule of its name that never fires; one that could not be asked is left out and stops nobody.
    for (draft, written) in [(3, rule("velocity", "person_holds_1m", 1_000_000_000)), (5, rule("crowd", "shoe_size", 1))] {
        let (name, key) = (written.name, u128::from(draft));
        house.node().rules(by(key), RulesCommand::Draft { rule: Box::new(written), by: KeyId(1) }).await.unwrap();
        house.node().rules(by(key + 1), RulesCommand::Activate { name, draft, by: KeyId(2) }).await.unwrap();
    }
    let rules = house.node().scoring().rules();
    assert_eq!((rules.version, rules.set.rules().filter(|rule| rule.name == "velocity").count(), outcome().outcome), (3, 1, Outcome::Allow));
    house.running.stop().await;
}
