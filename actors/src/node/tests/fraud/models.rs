//! Models beside the rules: they are swapped while places are held, damaged ones are not put to work, and without one the node fits its own.

use super::super::again::said_again;
use super::*;
use crate::fraud::again::LeftOut;
use crate::fraud::judge::Post;
use crate::fraud::judge::tests::model;
use crate::fraud::shelf::Shelf;

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
    house.heard().await;
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
    house.heard().await;
    let records = crate::streams::all_of::<Event>(house.node().journal().as_ref(), StreamId::Slot(tomorrow())).await.unwrap();
    let written = records.iter().flat_map(|record| record.events.iter().map(move |event| (record, event)));
    let mut count = 0;
    for (record, held) in written.filter_map(|(record, event)| if let Event::Held(held) = event { Some((record, held)) } else { None }) {
        assert_eq!(record.envelope.as_ref().and_then(|envelope| envelope.assessment.as_deref()), said.get(&held.hold));
        count += 1;
    }
    let state = house.node().scoring().state();
    assert_eq!((count, state.assessed, state.unread), (said.len(), said.len() as u64, unread));
    replayed(&house).await;

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
                house.heard().await;
            }
        }
        house.heard().await;
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
