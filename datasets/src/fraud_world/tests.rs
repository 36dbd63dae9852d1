//! What must be true of the world whoever scores it: the same seed is the same world, parties and rates are plausible, holds and tickets keep to the rules.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use tornello_models::fraud::signals::SignalKind;

use super::*;

const SMALL: Settings = Settings { seed: 11, days: 20, buyers_per_day: 150, attacked: true };

/// Plays a world in the plainest house.
fn play(settings: Settings) -> (Vec<(Intent, Happened)>, BTreeMap<&'static str, u32>, World) {
    let (mut world, mut house) = (World::new(settings), House::default());
    let (mut history, mut events) = (Vec::new(), BTreeMap::new());
    while let Some(intent) = world.next() {
        let expired = house.expire(intent.at_us);
        let (happened, told) = house.play(&intent);
        for event in expired.iter().chain(&told) {
            let name = match event.kind {
                SignalKind::Held => "held",
                SignalKind::Sold { .. } => "sold",
                SignalKind::Expired => "expired",
                SignalKind::PaymentFailed => "failed",
                SignalKind::Refunded => "refunded",
                SignalKind::Voided => "voided",
                SignalKind::Admitted => "admitted",
                SignalKind::AdmittedTwice { .. } => "twice",
                SignalKind::Conflict => "conflict",
                SignalKind::TillClosed { .. } => "counted",
                _ => "other",
            };
            *events.entry(name).or_default() += 1;
        }
        world.tell(&intent, happened);
        history.push((intent, happened));
    }
    (history, events, world)
}

#[test]
fn the_same_seed_is_the_same_world_and_another_is_another() {
    let intents = |seed| play(Settings { seed, days: 8, buyers_per_day: 60, ..SMALL }).0;
    assert_eq!(intents(1), intents(1));
    assert_ne!(intents(1), intents(2));
}

#[test]
fn what_an_agent_does_follows_from_what_it_is_told() {
    // Were everything refused, nobody would pay or come.
    let mut world = World::new(Settings { days: 4, ..SMALL });
    let mut asked = BTreeSet::new();
    while let Some(intent) = world.next() {
        asked.insert(match intent.action {
            Action::Hold { .. } => "hold",
            Action::Buy { .. } => "buy",
            Action::OpenTill { .. } => "open",
            _ => "more",
        });
        world.tell(&intent, Happened::Blocked);
    }
    assert_eq!(asked, BTreeSet::from(["buy", "hold", "open"]), "desks sell when their till is open, so only totems do");
}

#[test]
fn time_goes_forward_and_numbers_follow() {
    let (history, _, world) = play(SMALL);
    assert!(history.windows(2).all(|pair| pair[0].0.at_us <= pair[1].0.at_us));
    assert!((0..).zip(&history).all(|(number, (intent, _))| intent.number == number));
    assert_eq!(world.truth().deeds.len(), history.len());
}

#[test]
fn rates_are_plausible() {
    let (history, events, world) = play(Settings { attacked: false, ..SMALL });
    let count = |name| f64::from(events.get(name).copied().unwrap_or(0));
    let within = |what: &str, share: f64, low: f64, high: f64| assert!((low..high).contains(&share), "{what}: {share}");
    let web =
        |action: fn(&Action) -> bool| history.iter().filter(|(intent, _)| intent.channel == Channel::Web && action(&intent.action)).count() as f64;
    within("holds that expire", count("expired") / count("held"), 0.08, 0.30);
    within("payments that fail", count("failed") / web(|action| matches!(action, Action::Pay { .. })), 0.02, 0.12);
    within("sales that are given back", count("refunded") / count("sold"), 0.005, 0.05);
    within("sales that are voided", count("voided") / count("sold"), 0.001, 0.03);
    within("tickets scanned twice", count("twice") / count("admitted"), 0.0001, 0.01);
    assert!(count("conflict") < 1.0, "no honest visitor comes in twice");
    let people: Vec<u16> = history
        .iter()
        .filter(|(intent, _)| intent.channel == Channel::Web)
        .filter_map(|(intent, _)| if let Action::Hold { party, .. } = intent.action { Some(party.people()) } else { None })
        .collect();
    within("people of a party", people.iter().map(|people| f64::from(*people)).sum::<f64>() / people.len() as f64, 1.8, 3.5);
    assert!(people.iter().all(|people| (1..=12).contains(people)), "no party is larger here");
    let groups = history.iter().filter(|(intent, _)| intent.channel == Channel::Group);
    assert!(
        groups
            .filter_map(|(intent, _)| if let Action::Hold { party, .. } = intent.action { Some(party) } else { None })
            .all(|party| party.full == 0 && party.free >= 18)
    );
    assert!(world.truth().natures().iter().all(|nature| nature.attack().is_none()));
    let there: HashSet<&str> =
        world.truth().natures().iter().filter_map(|nature| if let Nature::Honest(persona) = nature { Some(persona.name()) } else { None }).collect();
    assert_eq!(there.len(), Persona::ALL.len(), "every persona comes");
}

#[test]
fn every_attack_is_there_and_does_harm_but_attackers_are_few() {
    let (history, events, world) = play(Settings { days: 42, buyers_per_day: 400, ..SMALL });
    let mut harmed: BTreeMap<(Attack, Variant), HashSet<u32>> = BTreeMap::new();
    for (intent, _) in &history {
        let deed = world.truth().deed(intent.number).unwrap();
        match world.truth().nature(deed.agent).unwrap() {
            Nature::Attacker(attack, variant) if deed.harmful => {
                harmed.entry((attack, variant)).or_default().insert(deed.agent);
            }
            Nature::Honest(_) => assert!(!deed.harmful),
            Nature::Attacker(..) => {}
        }
    }
    assert_eq!(harmed.len(), Attack::ALL.len() * Variant::ALL.len(), "{:?}", harmed.keys());
    let attackers = world.truth().natures().iter().filter(|nature| nature.attack().is_some()).count();
    assert!(attackers * 50 < world.truth().natures().len(), "{attackers} attackers");
    assert!(events.get("conflict").copied().unwrap_or(0) > 0);
}

#[test]
fn a_house_sells_no_place_twice_and_a_hold_ends_once() {
    let (history, events, _) = play(SMALL);
    let mut ended: HashSet<u64> = HashSet::new();
    let mut sold: BTreeMap<Slot, i64> = BTreeMap::new();
    let mut held: BTreeMap<u64, (Slot, i64)> = BTreeMap::new();
    for (intent, _) in history.iter().filter(|(_, happened)| *happened == Happened::Done) {
        match intent.action {
            Action::Hold { slot, party } => {
                held.insert(intent.number, (slot, party.people().into()));
            }
            Action::Buy { slot, party, .. } => {
                held.insert(intent.number, (slot, party.people().into()));
                *sold.entry(slot).or_default() += i64::from(party.people());
            }
            Action::Pay { hold, .. } => {
                assert!(ended.insert(hold), "a hold was paid twice");
                let (slot, people) = held[&hold];
                *sold.entry(slot).or_default() += people;
            }
            Action::Refund { sale } | Action::Void { sale } => {
                let (slot, people) = held[&sale];
                *sold.entry(slot).or_default() -= people;
            }
            _ => {}
        }
    }
    for (slot, people) in sold {
        assert!((0..=i64::from(slot.venue().capacity)).contains(&people), "{slot:?}: {people}");
    }
    assert!(events["expired"] > 0);
}

#[test]
fn a_check_that_is_passed_is_asked_for_once() {
    let mut world = World::new(Settings { days: 1, attacked: false, ..SMALL });
    let (mut first, mut again) = (0, 0);
    while let Some(intent) = world.next() {
        let hold = matches!(intent.action, Action::Hold { .. });
        first += u32::from(hold && !intent.checked);
        again += u32::from(hold && intent.checked);
        world.tell(&intent, if hold && !intent.checked { Happened::SteppedUp } else { Happened::Refused(Refusal::Other) });
    }
    assert!(first > 50);
    assert!(again <= first && again + 5 > first, "{again} of {first}: the last may come after the end");
}
