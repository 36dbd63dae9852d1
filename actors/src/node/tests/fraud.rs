//! What is said of commands before they are given: it follows from the journal up to the position that it names, live, in a replay and after a restart, and is of all who take
//! part. What models say and what rules do is in files of their own.

mod models;
mod rules;

use tornello_engine::envelope::{Assessment, Outcome};
use tornello_engine::ids::PaymentId;
use tornello_models::fraud::signals::{SignalEvent, SignalKind, features};

use super::again::{is_said_again, replayed};
use super::*;
use crate::fraud::fold::{digest_of, replay_to};
use crate::fraud::signal_of;

/// A buyer and their device.
fn of(key: u128, buyer: u128) -> Envelope {
    Envelope { parties: vec![party(PartyKind::Buyer, buyer), party(PartyKind::Device, 9_000 + buyer)], ..by(key) }
}

fn asked(house: &House, n: u64, envelope: &Envelope) -> SignalEvent {
    signal_of(house.node().now(), SignalKind::Held, Channel::Web, HoldId::new(tomorrow(), n), &lines(1), envelope)
}

/// Assesses, then holds with the assessment, as `api` does; then lets the hold expire if it is one of those.
async fn held(house: &House, n: u64, buyer: u128) -> Assessment {
    let mut envelope = of(u128::from(n), buyer);
    let assessment = house.node().scoring().assess(&asked(house, n, &envelope));
    envelope.assessment = Some(Box::new(assessment.clone()));
    house.node().slot(tomorrow(), envelope, hold(n, 1)).await.unwrap();
    assessment
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
            house.heard().await;
        }
    }
    house.heard().await;
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
    replayed(&house).await;
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
        house.heard().await;
        assert!(house.node().scoring().state().caught_up);
        let after = (house.node().scoring().counters().stores(), house.node().scoring().assess(&asked(&house, 100, &next)));
        assert_eq!(postcard::to_allocvec(&before.0).unwrap(), postcard::to_allocvec(&after.0).unwrap(), "saved: {saved}");
        assert_eq!(before.1, after.1, "saved: {saved}");
        house.running.stop().await;
    }
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
    house.heard().await;
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
        house.heard().await;
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
    house.heard().await;
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
    house.heard().await;
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
    let (fold, _) = replayed(&house).await;
    let row = fold.rows().last().unwrap();
    let features: FeatureVector = row.features.as_slice().try_into().unwrap();
    assert_eq!((row.subject, digest_of(&features)), (u128::from(payment.get()), of_both.features));
    house.running.stop().await;
}
