//! Given events, then features: each feature by the behaviour that it is there for, and what must hold of all of them.

use super::*;
use crate::fraud::behaviours::Plan;
use crate::fraud::decay::ln_1p;
use crate::fraud::preparation::Treatment;
use crate::fraud::rows::Rows;
use crate::fraud::scorer::Scorer;
use crate::fraud::select::Unsupervised;

const MINUTE_US: i64 = 60_000_000;
const START_US: i64 = 1_764_000_000_000_000;

fn taking(role: Role, id: u128) -> Taking {
    Taking { role, id }
}

fn event(minute: i64, kind: SignalKind, parties: &[Taking]) -> SignalEvent {
    let mut event = SignalEvent::new(START_US + minute * MINUTE_US, kind, Outlet::Web, 1);
    event.slot = 77;
    event.parties = parties.to_vec();
    event.people = 2;
    event.cents = 3_200;
    event.list_cents = 3_200;
    event.lead_s = 86_400;
    event.minute = 720;
    event
}

fn value(store: &Store, event: &SignalEvent, name: &str) -> f32 {
    store.features(event)[index_of(name).expect(name)]
}

fn saved(store: &Store) -> Vec<u8> {
    postcard::to_allocvec(store).expect("a store is saved")
}

const BUYER: Taking = Taking { role: Role::Buyer, id: 11 };
const DEVICE: Taking = Taking { role: Role::Device, id: 12 };
const CARD: Taking = Taking { role: Role::Card, id: 13 };

#[test]
fn every_feature_has_a_name_that_fits_a_code_and_no_two_are_the_same() {
    for (i, (name, unit)) in FEATURES.iter().enumerate() {
        assert!(name.len() <= 23 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'), "{name}");
        assert!(!unit.is_empty());
        assert_eq!(index_of(name), Some(i));
    }
    assert_eq!(index_of("nothing"), None);
}

#[test]
fn holds_that_nobody_buys_show_and_fade() {
    let mut store = Store::new(100);
    for minute in 0..10 {
        store.fold(&event(minute, SignalKind::Held, &[BUYER]));
        store.fold(&event(minute, SignalKind::Expired, &[BUYER]));
    }
    let now = event(10, SignalKind::Held, &[BUYER]);
    assert!(value(&store, &now, "person_unsold_1h") > ln_1p(8.0));
    assert!(value(&store, &now, "person_expired_1h") > ln_1p(8.0));
    assert!(value(&store, &now, "person_unsold_share_1d") > 0.85);
    let later = event(10 + 600, SignalKind::Held, &[BUYER]);
    assert!(value(&store, &later, "person_unsold_1h") < ln_1p(0.1));
    assert!(value(&store, &later, "person_holds_7d") > ln_1p(9.0));
    let mut honest = Store::new(100);
    honest.fold(&event(0, SignalKind::Held, &[BUYER]));
    honest.fold(&event(1, SignalKind::Sold { held: true }, &[BUYER]));
    assert!(value(&honest, &now, "person_unsold_1h") < 0.05);
    assert_eq!(value(&honest, &now, "person_expired_1d"), 0.0);
}

#[test]
fn whoever_waits_for_places_asks_for_them_and_keeps_none_from_others() {
    let mut store = Store::new(100);
    for minute in 0..12 {
        store.fold(&event(minute, SignalKind::Waited, &[BUYER]));
    }
    let now = event(12, SignalKind::Held, &[BUYER]);
    assert!(value(&store, &now, "person_holds_1h") > ln_1p(10.0));
    for name in ["person_unsold_1h", "person_unsold_1d", "person_unsold_share_1d"] {
        assert!(value(&store, &now, name).abs() < 1e-3, "{name}: {}", value(&store, &now, name));
    }
    // Nor do those who wait make a slot one that somebody keeps from others.
    let other = event(12, SignalKind::Held, &[taking(Role::Buyer, 99)]);
    assert!(value(&store, &other, "slot_unsold_1h").abs() < 1e-3, "{}", value(&store, &other, "slot_unsold_1h"));
    store.fold(&now);
    assert!((value(&store, &event(12, SignalKind::Held, &[BUYER]), "person_unsold_1h") - ln_1p(1.0)).abs() < 1e-3);
    assert!((value(&store, &other, "slot_unsold_1h") - ln_1p(1.0)).abs() < 1e-3);
}

#[test]
fn nobody_hides_holds_that_are_not_bought_among_what_is_no_hold() {
    let mut store = Store::new(100);
    for _ in 0..12 {
        store.fold(&event(0, SignalKind::Held, &[BUYER]));
    }
    let (now, other) = (event(0, SignalKind::Held, &[BUYER]), event(0, SignalKind::Held, &[taking(Role::Buyer, 99)]));
    let told = |store: &Store| {
        let own = ["person_unsold_1h", "person_unsold_1d", "person_unsold_share_1d"].map(|name| value(store, &now, name));
        let of_slot = ["slot_unsold_1h", "slot_unsold_1d", "slot_unsold_share_1d"].map(|name| value(store, &other, name));
        [own, of_slot].concat()
    };
    let before = told(&store);
    assert!((before[0] - ln_1p(12.0)).abs() < 1e-3 && before[2] > 0.9 && (before[3] - ln_1p(12.0)).abs() < 1e-3 && before[5] > 0.9, "{before:?}");
    for _ in 0..12 {
        store.fold(&event(0, SignalKind::Waited, &[BUYER]));
    }
    assert_eq!(told(&store), before, "whoever waits has not bought more of what they hold");
    for _ in 0..12 {
        store.fold(&SignalEvent { no_hold: true, ..event(0, SignalKind::Sold { held: true }, &[BUYER]) });
    }
    assert_eq!(told(&store), before, "nor has whoever buys what was offered to them");
    for kind in [SignalKind::Held, SignalKind::Sold { held: true }].into_iter().cycle().take(24) {
        store.fold(&SignalEvent { no_hold: true, ..event(0, kind, &[BUYER]) });
    }
    assert_eq!(told(&store), before, "nor has whoever moves tickets to and fro");
    assert!(value(&store, &now, "person_holds_1h") > ln_1p(35.0) && value(&store, &now, "person_sales_1h") > ln_1p(23.0), "all of it is counted");
    store.fold(&event(0, SignalKind::Sold { held: true }, &[BUYER]));
    assert!(told(&store).iter().zip(&before).all(|(now, before)| now < before), "what was held and is bought is one less");
}

#[test]
fn many_cards_of_a_device_and_many_slots_and_museums_show() {
    let mut store = Store::new(100);
    for i in 0..12 {
        let mut tried = event(i, SignalKind::PaymentFailed, &[taking(Role::Buyer, 50 + i as u128), DEVICE, taking(Role::Card, 900 + i as u128)]);
        tried.slot = 100 + i as u64 % 4;
        tried.museum = i as u16 % 3;
        store.fold(&tried);
    }
    let now = event(12, SignalKind::PaymentBegun, &[BUYER, DEVICE, CARD]);
    let exact = |name: &str, x: f32| assert!((value(&store, &now, name) - ln_1p(x)).abs() < 0.2, "{name}: {}", value(&store, &now, name));
    exact("device_cards_1h", 12.0);
    exact("device_cards_1d", 12.0);
    exact("device_buyers_1d", 12.0);
    exact("person_slots_1h", 4.0);
    exact("person_museums_1d", 3.0);
    exact("card_devices_1d", 0.0);
    assert!(value(&store, &now, "person_failed_1h") > ln_1p(9.0));
    let day = event(12 + 2 * 1_440, SignalKind::PaymentBegun, &[BUYER, DEVICE, CARD]);
    assert_eq!((value(&store, &day, "device_cards_1h"), value(&store, &day, "device_cards_1d")), (0.0, 0.0));
}

#[test]
fn many_slots_museums_and_cards_within_minutes_show_and_the_same_over_hours_do_not() {
    const NETWORK: Taking = Taking { role: Role::Network, id: 14 };
    let all_after = |every: i64| {
        let mut store = Store::new(1_000);
        for i in 0..8 {
            let mut tried = event(i * every, SignalKind::PaymentFailed, &[BUYER, DEVICE, taking(Role::Card, 900 + i as u128), NETWORK]);
            tried.slot = 100 + i as u64;
            tried.museum = i as u16 % 4;
            store.fold(&tried);
        }
        store
    };
    let now = |minute: i64| event(minute, SignalKind::Held, &[BUYER, DEVICE, NETWORK]);
    let near = |store: &Store, event: &SignalEvent, name: &str, x: f32| {
        assert!((value(store, event, name) - ln_1p(x)).abs() < 0.1, "{name}: {} and not {x}", value(store, event, name));
    };
    let windows = [("person_slots_10m", 8.0), ("person_museums_10m", 4.0), ("device_cards_10m", 8.0), ("network_cards_10m", 8.0)];
    let hasty = all_after(1);
    for (name, many) in windows {
        for minute in [8, 9, 10, 19] {
            near(&hasty, &now(minute), name, many);
        }
        assert_eq!(value(&hasty, &now(20), name), 0.0, "{name}");
    }
    assert!(value(&hasty, &now(8), "network_failed_10m") > ln_1p(5.5) && value(&hasty, &now(78), "network_failed_10m") < ln_1p(0.1));
    // As many over some hours are as many in a day, and one in the last minutes.
    let patient = all_after(50);
    for (name, many) in windows {
        near(&patient, &now(351), name, 1.0);
        if name.starts_with("person_") {
            near(&patient, &now(351), &name.replace("10m", "1d"), many);
        }
    }
    assert!(value(&patient, &now(351), "network_failed_10m") < ln_1p(1.1));
    // Who comes through the same device under other names is not hidden by them; another device is another.
    let other = event(8, SignalKind::Held, &[taking(Role::Buyer, 99), DEVICE]);
    near(&hasty, &other, "person_slots_10m", 8.0);
    assert_eq!(value(&hasty, &event(8, SignalKind::Held, &[taking(Role::Device, 98)]), "person_slots_10m"), 0.0);
}

#[test]
fn an_operator_who_voids_before_the_cash_is_counted_shows_and_a_museum_that_closes_does_not_mark_its_buyers() {
    let operator = taking(Role::Operator, 5);
    let mut store = Store::new(100);
    store.fold(&event(0, SignalKind::Sold { held: false }, &[BUYER, operator]));
    store.fold(&event(100, SignalKind::Voided, &[BUYER, operator]));
    store.fold(&event(105, SignalKind::TillClosed { difference_cents: -1_500 }, &[operator]));
    let now = event(106, SignalKind::Voided, &[BUYER, operator]);
    assert!(value(&store, &now, "operator_late_voids_7d") > ln_1p(1.0));
    assert!(value(&store, &now, "operator_gap_7d") > ln_1p(1_400.0));
    assert!(value(&store, &now, "operator_void_share_1d") > 0.6);
    assert_eq!(value(&store, &now, "person_refunds_7d"), 0.0);
    assert!(value(&store, &now, "price_ratio") == 1.0, "a void has no price");
}

#[test]
fn tickets_shown_twice_or_far_apart_and_refunds_show() {
    let mut store = Store::new(100);
    store.fold(&event(0, SignalKind::Sold { held: true }, &[BUYER]));
    store.fold(&event(1, SignalKind::AdmittedTwice { apart: true }, &[BUYER]));
    store.fold(&event(2, SignalKind::Conflict, &[BUYER]));
    store.fold(&event(3, SignalKind::Refunded, &[BUYER]));
    let now = event(4, SignalKind::Held, &[BUYER]);
    assert!(value(&store, &now, "person_twice_7d") > ln_1p(1.9));
    assert!((value(&store, &now, "person_apart_7d") - ln_1p(1.0)).abs() < 0.01);
    assert!(value(&store, &now, "person_refund_share_7d") > 0.6);
}

#[test]
fn a_ticket_that_was_not_let_in_twice_after_all_leaves_nothing_behind() {
    let mut store = Store::new(100);
    store.fold(&event(0, SignalKind::Sold { held: true }, &[BUYER]));
    let (twice, conflict) = (event(1, SignalKind::AdmittedTwice { apart: true }, &[BUYER]), event(5, SignalKind::Conflict, &[BUYER]));
    store.fold(&twice);
    store.fold(&conflict);
    store.fold(&event(90, SignalKind::Withdrawn { since_us: twice.at_us, apart: true }, &[BUYER]));
    let now = event(91, SignalKind::Held, &[BUYER]);
    assert!((value(&store, &now, "person_twice_7d") - ln_1p(1.0)).abs() < 0.02, "the other one stays");
    assert!(value(&store, &now, "person_apart_7d") < 0.001);
    store.fold(&event(92, SignalKind::Withdrawn { since_us: conflict.at_us, apart: false }, &[BUYER]));
    assert!(value(&store, &event(93, SignalKind::Held, &[BUYER]), "person_twice_7d") < 0.001);
}

#[test]
fn whoever_stands_under_two_pseudonyms_keeps_what_is_known_and_is_taken_for_one() {
    let (old_device, new_device) = (taking(Role::Device, 1_012), DEVICE);
    let mut store = Store::new(100);
    for i in 0..6 {
        store.fold(&event(i, SignalKind::Held, &[taking(Role::Buyer, 1_011), old_device, taking(Role::Card, 1_013)]));
    }
    let both = [BUYER, taking(Role::Buyer, 1_011), new_device, old_device, CARD, taking(Role::Card, 1_013)];
    let turn = event(6, SignalKind::Held, &both);
    assert!(value(&store, &turn, "person_holds_1h") > ln_1p(5.5));
    store.fold(&turn);
    let after = event(7, SignalKind::Held, &both);
    assert!((value(&store, &after, "device_cards_1d") - ln_1p(1.0)).abs() < 0.01, "one card under two keys is one card");
    assert!((value(&store, &after, "device_buyers_1d") - ln_1p(1.0)).abs() < 0.01);
    // Nor is it another one than itself, under whichever of both it was seen before.
    for name in [
        "device_other_cards_1d",
        "device_other_buyers_1d",
        "card_other_devices_1d",
        "card_other_buyers_1d",
        "buyer_other_cards_1d",
        "buyer_other_devices_1d",
    ] {
        let found = [&turn, &after].map(|event| value(&store, event, name));
        assert!(found.iter().all(|found| found.abs() < 1e-6), "{name}: {found:?}");
    }
    let other = [BUYER, taking(Role::Buyer, 1_011), taking(Role::Device, 88), taking(Role::Device, 1_088), CARD, taking(Role::Card, 1_013)];
    let crossed = event(7, SignalKind::Held, &other);
    assert!((value(&store, &crossed, "card_other_devices_1d") - ln_1p(1.0)).abs() < 0.02, "one other device under two keys is one");
    let alone = event(8, SignalKind::Held, &[BUYER, new_device, CARD]);
    assert!(value(&store, &alone, "person_holds_1h") > ln_1p(0.9), "the new pseudonym has begun to count");
}

#[test]
fn hostile_figures_are_large_and_never_no_number() {
    let mut store = Store::new(10);
    let mut huge = event(0, SignalKind::Sold { held: true }, &[BUYER, BUYER, CARD]);
    (huge.people, huge.cheap, huge.cents, huge.list_cents, huge.lead_s, huge.minute) = (u32::MAX, u32::MAX, i64::MAX, 1, i64::MIN, u16::MAX);
    for _ in 0..1_000 {
        store.fold(&huge);
    }
    store.fold(&event(0, SignalKind::TillClosed { difference_cents: i64::MIN }, &[BUYER]));
    (huge.at_us, huge.lead_s) = (i64::MAX, i64::MAX);
    for at_us in [i64::MIN, START_US, i64::MAX] {
        huge.at_us = at_us;
        assert!(store.features(&huge).iter().all(|value| value.is_finite() && (0.0..=VALUE_MAX).contains(value)), "{:?}", store.features(&huge));
        store.fold(&huge);
    }
    assert_eq!(store.features(&event(0, SignalKind::Held, &[]))[index_of("anonymous").expect("known")], 1.0);
    // Whoever is first seen at the beginning of time, and next at its end.
    let mut ends = Store::new(10);
    for at_us in [i64::MIN, i64::MAX, i64::MIN] {
        huge.at_us = at_us;
        ends.fold(&huge);
        assert!(ends.features(&huge).iter().all(|value| value.is_finite() && (0.0..=VALUE_MAX).contains(value)), "{at_us}");
    }
}

#[test]
fn the_same_events_are_the_same_bytes_also_after_a_restart_in_between() {
    let story = |from: i64, to: i64, store: &mut Store| {
        for i in from..to {
            let _ = store.begin(i as u64 + 1);
            let kind = [SignalKind::Held, SignalKind::Sold { held: true }, SignalKind::Expired, SignalKind::PaymentFailed][i as usize % 4];
            store.fold(&event(i * 7, kind, &[taking(Role::Buyer, i as u128 % 31), taking(Role::Card, i as u128 % 17), DEVICE]));
        }
    };
    let (mut whole, mut first) = (Store::new(20), Store::new(20));
    story(0, 500, &mut whole);
    story(0, 321, &mut first);
    let mut second = postcard::from_bytes::<Store>(&saved(&first)).expect("restored");
    story(321, 500, &mut second);
    assert_eq!(saved(&whole), saved(&second));
    for minute in [3_494, 4_000] {
        let now = event(minute, SignalKind::Held, &[taking(Role::Buyer, 3), taking(Role::Card, 4), DEVICE]);
        assert_eq!(whole.features(&now).map(f32::to_bits), second.features(&now).map(f32::to_bits));
        assert_eq!(value(&whole, &now, "person_slots_10m") > 0.0, minute == 3_494);
    }
    assert!(whole.len() <= 20 + 3, "memory is bounded: {}", whole.len());
}

#[test]
fn whoever_was_not_heard_of_for_longest_is_forgotten_first() {
    let mut store = Store::new(8);
    for i in 0..40 {
        let _ = store.begin(i as u64 + 1);
        store.fold(&event(i, SignalKind::Held, &[taking(Role::Buyer, i as u128), DEVICE]));
    }
    assert!(store.len() <= 10);
    let sight = |id| store.sight((Role::Buyer, id), 40);
    assert_eq!(sight(0), Sight::Unknown);
    assert!(matches!(sight(39), Sight::Known(_)));
    assert!(matches!(store.sight((Role::Device, DEVICE.id), 40), Sight::Known(_)), "who comes again and again stays");
}

#[test]
fn readers_see_whole_batches() {
    let mut store = Store::new(100);
    let key = (Role::Buyer, BUYER.id);
    let _ = store.begin(5);
    store.fold(&event(0, SignalKind::Held, &[BUYER]));
    assert_eq!(store.sight(key, 4), Sight::Unknown, "made by a batch that is not seen yet");
    let Sight::Known(after_5) = store.sight(key, 5) else { panic!("known") };
    let after_5 = after_5.clone();
    let _ = store.begin(6);
    store.fold(&event(1, SignalKind::Held, &[BUYER]));
    store.fold(&event(2, SignalKind::Held, &[BUYER]));
    assert_eq!(store.sight(key, 5), Sight::Known(&after_5));
    let Sight::Known(after_6) = store.sight(key, 6) else { panic!("known") };
    let after_6 = after_6.clone();
    assert_ne!(after_5, after_6);
    assert_eq!(store.sight(key, 9), Sight::Known(&after_6), "batches that say nothing of anybody here are seen too");
    let _ = store.begin(7);
    assert_eq!(store.sight(key, 5), Sight::Moved);
    assert_eq!(store.sight(key, 6), Sight::Known(&after_6));
}

#[test]
fn while_a_store_forgets_readers_see_whom_it_knew_before() {
    // Two are young: the third batch makes them old, the fifth forgets them.
    let mut store = Store::new(4);
    let key = |id: u128| (Role::Buyer, id);
    for (batch, id) in [(1, 1), (2, 2), (3, 3), (4, 4)] {
        let _ = store.begin(batch);
        store.put(key(id), State::new(Role::Buyer, START_US + id as i64));
    }
    let seen = |store: &Store, id: u128, position: u64| match store.sight(key(id), position) {
        Sight::Known(state) => Some(state.clone()),
        Sight::Unknown | Sight::Moved => None,
    };
    let state = |id: u128| Some(State::new(Role::Buyer, START_US + id as i64));
    let forgotten = store.begin(5);
    assert!(forgotten.is_empty(), "what this batch forgets may still be asked for");
    store.put(key(5), State::new(Role::Buyer, START_US + 5));
    // Whoever is forgotten and comes again in the same batch begins anew, and not for readers of the batch before.
    store.put(key(1), State::new(Role::Buyer, START_US + 100));
    for id in 1..=4 {
        assert_eq!(seen(&store, id, 4), state(id), "{id} before the batch");
    }
    assert_eq!((store.sight(key(5), 4), store.sight(key(2), 5)), (Sight::Unknown, Sight::Unknown));
    assert_eq!([1, 3, 4, 5].map(|id| seen(&store, id, 5)), [state(100), state(3), state(4), state(5)]);
    assert_eq!(store.sight(key(3), 3), Sight::Moved);
    // What is saved says nothing of it: nobody reads before where a start goes on.
    let again = postcard::from_bytes::<Store>(&saved(&store)).expect("restored");
    assert_eq!((again.sight(key(3), 4), seen(&again, 3, 5)), (Sight::Moved, state(3)));
    assert_eq!(store.begin(6).len(), 2, "freed when nobody can ask any more");
    assert_eq!(store.sight(key(2), 5), Sight::Unknown);
}

#[test]
fn what_others_leave_in_a_slot_shows_to_who_comes_there_and_not_elsewhere() {
    let mut store = Store::new(1_000);
    for i in 0..6 {
        let other = taking(Role::Device, 500 + i as u128);
        store.fold(&event(i, SignalKind::Held, &[other]));
        store.fold(&event(i, SignalKind::Expired, &[other]));
        store.fold(&event(i, SignalKind::PaymentBegun, &[other]));
        store.fold(&event(i, SignalKind::PaymentFailed, &[other]));
    }
    let here = event(6, SignalKind::Held, &[DEVICE]);
    assert!(value(&store, &here, "slot_expired_1h") > ln_1p(5.0) && value(&store, &here, "slot_failed_1h") > ln_1p(5.0));
    assert!(value(&store, &here, "slot_unsold_share_1d") > 0.8 && value(&store, &here, "museum_failed_share_1h") > 0.8);
    assert!(value(&store, &here, "person_unsold_slot_1h").abs() < 1e-6, "who did nothing does not do it too");
    let mut elsewhere = here.clone();
    elsewhere.slot = 78;
    assert!(value(&store, &elsewhere, "slot_expired_1h").abs() < 1e-6 && value(&store, &elsewhere, "museum_failed_1h") > ln_1p(5.0));
    // What one has done alone is no one else's doing.
    let mut alone = Store::new(1_000);
    for i in 0..6 {
        alone.fold(&event(i, SignalKind::Held, &[DEVICE]));
        alone.fold(&event(i, SignalKind::Expired, &[DEVICE]));
    }
    assert!(value(&alone, &here, "slot_expired_1h").abs() < 1e-6 && value(&alone, &here, "person_unsold_slot_1h").abs() < 1e-6);
    // An account or a group has no device of its own: it is no one else either.
    for asker in [taking(Role::Account, 31), taking(Role::Group, 32)] {
        let mut agency = Store::new(1_000);
        for i in 0..6 {
            for kind in [SignalKind::Held, SignalKind::Expired, SignalKind::PaymentBegun, SignalKind::PaymentFailed] {
                agency.fold(&event(i, kind, &[asker]));
            }
        }
        let again = event(6, SignalKind::Held, &[asker]);
        for name in ["slot_expired_1h", "slot_unsold_1h", "slot_failed_1d", "museum_failed_1h"] {
            assert!(value(&agency, &again, name).abs() < 1e-3, "{name} of {asker:?}");
            assert!(value(&agency, &here, name) > ln_1p(4.0), "{name} to others than {asker:?}");
        }
    }
    store.fold(&event(6, SignalKind::Held, &[DEVICE]));
    assert!(value(&store, &event(7, SignalKind::Held, &[DEVICE]), "person_unsold_slot_1h") > 0.9);
}

#[test]
fn cards_and_devices_that_cross_show_at_the_second_and_not_when_the_same_pay_again() {
    let mut store = Store::new(100);
    let other = taking(Role::Device, 99);
    store.fold(&event(0, SignalKind::PaymentBegun, &[BUYER, DEVICE, CARD]));
    let again = event(1, SignalKind::PaymentBegun, &[BUYER, DEVICE, CARD]);
    assert!(value(&store, &again, "card_other_devices_1d").abs() < 1e-3, "{}", value(&store, &again, "card_other_devices_1d"));
    let crossed = event(1, SignalKind::PaymentBegun, &[BUYER, other, CARD]);
    assert!((value(&store, &crossed, "card_other_devices_1d") - ln_1p(1.0)).abs() < 0.02);
    assert!(value(&store, &event(1, SignalKind::Held, &[BUYER, other]), "card_other_devices_1d").abs() < 1e-6, "no card is known yet");
}

#[test]
fn large_parties_again_and_again_show_and_families_do_not() {
    let (mut family, mut reseller) = (Store::new(100), Store::new(100));
    for day in 0..4 {
        for (store, people) in [(&mut family, 4), (&mut reseller, 9)] {
            for kind in [SignalKind::Held, SignalKind::Sold { held: true }] {
                store.fold(&SignalEvent { people, ..event(day * 1_440, kind, &[BUYER]) });
            }
        }
    }
    let now = event(4 * 1_440, SignalKind::Held, &[BUYER]);
    assert_eq!((value(&family, &now, "person_large_7d"), value(&family, &now, "person_large_before_7d")), (0.0, 0.0));
    assert!(value(&family, &now, "person_people_before_7d") > ln_1p(6.0));
    assert!(value(&reseller, &now, "person_large_7d") > ln_1p(14.0) && value(&reseller, &now, "person_large_before_7d") > 2.5);
}

#[test]
fn many_places_in_a_slot_that_others_hold_show_and_not_at_a_desk() {
    let mut store = Store::new(1_000);
    for i in 0..6 {
        store.fold(&event(i, SignalKind::Held, &[taking(Role::Device, 500 + i as u128)]));
    }
    let many = SignalEvent { people: 5, ..event(6, SignalKind::Held, &[DEVICE]) };
    let rush = value(&store, &many, "people_slot_1h");
    assert!((rush - value(&store, &many, "slot_unsold_1h")).abs() < 1e-6 && rush > ln_1p(5.0), "{rush}");
    let of = |people: u32| value(&store, &SignalEvent { people, ..many.clone() }, "people_slot_1h");
    assert!((of(3) - rush / 2.0).abs() < 1e-6 && (of(9) - rush).abs() < 1e-6, "{} {}", of(3), of(9));
    let none = [
        SignalEvent { people: 1, ..many.clone() },
        SignalEvent { slot: 78, ..many.clone() },
        SignalEvent { kind: SignalKind::Refunded, ..many.clone() },
        SignalEvent { people: 5, ..event(6, SignalKind::Sold { held: false }, &[CARD, taking(Role::Operator, 9)]) },
        SignalEvent { people: 5, ..event(6, SignalKind::Sold { held: false }, &[CARD, taking(Role::Kiosk, 9)]) },
    ];
    for event in none {
        assert!(value(&store, &event, "people_slot_1h").abs() < 1e-6, "{event:?}");
    }
}

#[test]
fn a_count_of_cash_is_asked_about_with_its_own_difference_and_the_voids_before_it() {
    let mut store = Store::new(100);
    let operator = taking(Role::Operator, 5);
    store.fold(&event(0, SignalKind::Sold { held: false }, &[operator]));
    store.fold(&event(9, SignalKind::Voided, &[operator]));
    let count = event(10, SignalKind::TillClosed { difference_cents: -4_000 }, &[operator]);
    let asked = store.features(&count);
    assert!((asked[index_of("operator_gap_7d").expect("known")] - ln_1p(4_000.0)).abs() < 1e-3);
    assert!(asked[index_of("operator_late_voids_7d").expect("known")] > ln_1p(1.5));
    assert!(value(&store, &event(10, SignalKind::Voided, &[operator]), "operator_gap_7d").abs() < 1e-6, "no other command is a count");
    store.fold(&count);
    assert!((value(&store, &event(10, SignalKind::Voided, &[operator]), "operator_gap_7d") - ln_1p(4_000.0)).abs() < 1e-2);
}

/// What somebody does, the events of it, what is asked for then, and the feature in which it shows; without events it shows in what is asked for.
type Sign<'a> = (&'a str, Vec<SignalEvent>, &'a SignalEvent, &'a str);

/// The scorer that a node fits by itself is more suspicious for each behaviour. Circumstances, which by themselves speak against nobody there, count for those in the shadow.
#[test]
fn each_signal_has_a_feature_that_alone_makes_a_score_higher() {
    let (network, account, group) = (taking(Role::Network, 14), taking(Role::Account, 15), taking(Role::Group, 16));
    let (operator, kiosk) = (taking(Role::Operator, 5), taking(Role::Kiosk, 6));
    let all = [BUYER, DEVICE, CARD, network];
    let did = |kind: SignalKind, parties: &[Taking]| (0..6).map(|minute| event(minute, kind, parties)).collect::<Vec<_>>();
    let each = |change: &dyn Fn(u128) -> SignalEvent| (0..6).map(change).collect::<Vec<_>>();
    let held = |minute: u128| event(minute as i64, SignalKind::Held, &all);
    let paid = |minute: u128, device: Taking, card: Taking| event(minute as i64, SignalKind::PaymentBegun, &[BUYER, device, card]);
    let void = SignalKind::Voided;
    let now = event(10, SignalKind::Held, &all);
    let count = event(10, SignalKind::TillClosed { difference_cents: 0 }, &[operator]);
    let [by_account, by_group, at_kiosk] = [account, group, kiosk].map(|party| event(10, SignalKind::Held, &[party]));
    let reduced = SignalEvent { cheap: 2, ..now.clone() };
    let below_list = SignalEvent { list_cents: 2 * now.list_cents, ..now.clone() };
    let at_the_last_moment = SignalEvent { lead_s: 60, ..now.clone() };
    let signs: [Sign<'_>; 26] = [
        ("many holds", did(SignalKind::Held, &all), &now, "person_holds_10m"),
        ("many purchases", did(SignalKind::Sold { held: false }, &all), &now, "person_sales_1h"),
        ("holds that are not bought", did(SignalKind::Held, &all), &now, "person_unsold_1h"),
        ("holds that are given back", did(SignalKind::Released, &all), &now, "person_released_1h"),
        ("holds that run out", did(SignalKind::Expired, &all), &now, "person_expired_1h"),
        ("many slots", each(&|n| SignalEvent { slot: 100 + n as u64, ..held(n) }), &now, "person_slots_10m"),
        ("many museums", each(&|n| SignalEvent { museum: 100 + n as u16, ..held(n) }), &now, "person_museums_10m"),
        ("many cards of a device", each(&|n| paid(n, DEVICE, taking(Role::Card, 800 + n))), &now, "device_cards_1h"),
        ("many devices of a card", each(&|n| paid(n, taking(Role::Device, 700 + n), CARD)), &now, "card_devices_1d"),
        ("payments that fail", did(SignalKind::PaymentFailed, &all), &now, "person_failed_1h"),
        ("tickets that are given back", did(SignalKind::Refunded, &all), &now, "person_refunds_7d"),
        (
            "reduced tickets before",
            each(&|n| SignalEvent { cheap: 2, kind: SignalKind::Sold { held: false }, ..held(n) }),
            &now,
            "person_cheap_share_7d",
        ),
        ("reduced tickets now", Vec::new(), &reduced, "cheap_share"),
        ("a price below the list's", Vec::new(), &below_list, "price_ratio"),
        ("a purchase at the last moment", Vec::new(), &at_the_last_moment, "lead_s"),
        ("a ticket that is shown twice", did(SignalKind::AdmittedTwice { apart: false }, &all), &now, "person_twice_7d"),
        ("at gates far apart", did(SignalKind::AdmittedTwice { apart: true }, &all), &now, "person_apart_7d"),
        ("at a gate without a network", did(SignalKind::Conflict, &all), &now, "person_twice_7d"),
        ("what rules refused", did(SignalKind::Blocked, &all), &now, "person_blocked_1d"),
        ("much of one network", did(SignalKind::Held, &all), &now, "network_holds_10m"),
        ("an account's holds that are not bought", did(SignalKind::Held, &[account]), &by_account, "account_unsold_1d"),
        ("a group's holds", did(SignalKind::Held, &[group]), &by_group, "account_holds_1h"),
        ("tickets that a desk takes back", did(void, &[operator]), &count, "operator_voids_1d"),
        ("shortly before its cash is counted", did(void, &[operator]), &count, "operator_late_voids_7d"),
        ("cash that is off", did(SignalKind::TillClosed { difference_cents: -1_500 }, &[operator]), &count, "operator_gap_7d"),
        ("tickets that a totem takes back", did(void, &[kiosk]), &at_kiosk, "operator_voids_1h"),
    ];
    let (groups, treatment) = (behaviours(), Treatment { logarithm: false, clip: false });
    for (what, story, asked, feature) in signs {
        let (place, mut store) = (index_of(feature).expect(feature), Store::new(1_000));
        let before = store.features(if story.is_empty() { &now } else { asked });
        story.iter().for_each(|event| store.fold(event));
        let after = store.features(asked);
        // Nothing else of what was done counts here.
        let mut alone = before;
        alone[place] = after[place];
        let usual = Rows::new(N, (0..200).flat_map(|_| before.map(f64::from)).collect()).expect("whole rows");
        let scorer = match family(feature) {
            Family::Circumstance => Scorer::fit(Unsupervised::Tails, &usual, treatment, 1),
            _ => Scorer::fit_behaviours(&usual, treatment, Plan { groups: &groups, weights: &WEIGHTS }),
        };
        let scorer = scorer.expect("it fits");
        let score = |row: FeatureVector| scorer.rate(row.into_iter().map(f64::from)).score;
        assert!(score(alone) > score(before), "{what}: {feature} was {} and is {}", before[place], after[place]);
    }
}
