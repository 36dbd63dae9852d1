//! Waiting rooms of a whole node: the lot before the opening, the order after it, who is let through, and what a restart leaves.

use tornello_engine::room::Room;

use super::*;
use crate::rooms::{Comer, HOLDS_OF_ONE_MAX, Passage, Place, RoomRefusal, commitment, lot_of, number_of, through};

const ROOM: &str = "spring";

fn room() -> Room {
    Room {
        code: code(ROOM),
        route: None,
        slots_from: now(),
        slots_to: now().plus_seconds(10 * 86_400),
        opens_at: now().plus_seconds(3_600),
        closes_at: now().plus_seconds(2 * 86_400),
        per_minute: 60,
        seed: [7; 32],
        signing: [9; 32],
    }
}

async fn announced(house: &House) {
    house.node().museum(MUSEUM, by(3_000), museum::Command::AnnounceRoom { room: Box::new(room()) }).await.unwrap();
}

async fn join(house: &House, who: u128) -> Place {
    join_on(house, who, None).await
}

/// Joins on a device, if there is one.
async fn join_on(house: &House, who: u128, device: Option<u128>) -> Place {
    house.node().join_room(MUSEUM, code(ROOM), Comer { who: Digest(who), device: device.map(Digest) }).await.unwrap()
}

/// The number by which somebody waits, as it stands in a token.
fn number_in(token: &str) -> String {
    token.split('.').nth(1).unwrap().to_owned()
}

fn place(house: &House, token: &str) -> Place {
    house.node().room_place(MUSEUM, code(ROOM), token).unwrap()
}

/// Somebody without a device.
fn named(who: u128) -> Comer {
    Comer { who: Digest(who), device: None }
}

fn let_through(house: &House, carried: Option<&str>, who: u128) -> bool {
    house.node().room_lets_through(tomorrow(), &by(90), carried, |_| Some(named(who))).is_ok()
}

/// What lets the first who came hold places, if anything does, by a request of that key.
fn passage<'a>(house: &'a House, admission: &str, key: u128) -> Option<Passage<'a>> {
    house.node().room_lets_through(tomorrow(), &by(key), Some(admission), |_| Some(named(1))).ok().flatten()
}

/// A house with a room that has opened, and what lets the first who came through.
async fn opened(journal: Arc<dyn Journal>) -> (House, String) {
    let house = House::on(journal).await;
    open_museum(house.node()).await;
    announced(&house).await;
    let joined = join(&house, 1).await;
    house.clock.set(room().opens_at.plus_seconds(1));
    let (admission, _) = place(&house, &joined.token).admission.expect("one a second, and only one is here");
    (house, admission)
}

#[actix_rt::test]
async fn whoever_comes_early_is_drawn_by_lot_and_the_others_follow_in_their_order() {
    let house = House::new().await;
    announced(&house).await;
    let mut early = Vec::new();
    for who in 0..50_u128 {
        let joined = join(&house, who).await;
        assert_eq!((joined.position, joined.admission), (None, None), "nobody knows before the opening");
        early.push(joined.token);
    }
    assert_eq!(join(&house, 3).await.token, early[3], "who comes again is the same");
    house.clock.set(room().opens_at);
    assert_eq!(join(&house, 3).await.token, early[3], "also after the opening");
    let positions: Vec<u64> = early.iter().map(|token| place(&house, token).position.unwrap()).collect();
    assert!(positions.iter().all(|position| (1..=50).contains(position)) && !positions.is_sorted(), "{positions:?}");
    // Anybody can check: the published seed and one's own number decide the order.
    let lot = |who: u128| lot_of(&room().seed, number_of(&room(), Digest(who)));
    for (a, b) in (0..50_u128).flat_map(|a| (0..50_u128).map(move |b| (a, b))) {
        if lot(a) < lot(b) {
            assert!(positions[a as usize] <= positions[b as usize]);
        }
    }
    let late: Vec<u64> =
        [join(&house, 100).await, join(&house, 101).await, join(&house, 100).await].iter().map(|place| place.position.unwrap()).collect();
    assert_eq!(late, [51, 52, 51]);
    assert_eq!(commitment(&room().seed).len(), 64);
    house.running.stop().await;
}

#[actix_rt::test]
async fn only_who_was_let_through_holds_places_while_the_room_is_open() {
    let house = House::new().await;
    assert!(let_through(&house, None, 1), "no room, no waiting");
    announced(&house).await;
    let joined = join(&house, 1).await;
    assert!(!let_through(&house, None, 1) && !let_through(&house, Some(&joined.token), 1), "sales are not open yet");
    house.clock.set(room().opens_at);
    assert!(place(&house, &joined.token).admission.is_none(), "the first minute has not begun");
    house.clock.set(room().opens_at.plus_seconds(1));
    let (admission, until) = place(&house, &joined.token).admission.expect("one a second, and only one is here");
    assert!(let_through(&house, Some(&admission), 1));
    assert!(!let_through(&house, Some(&admission), 2), "it is not another's");
    assert!(!let_through(&house, Some(&joined.token), 1) && !let_through(&house, Some("a1.0.9999999999999999.00"), 1));
    let mut forged = admission.clone();
    forged.replace_range(3..4, if forged.as_bytes()[3] == b'0' { "1" } else { "0" });
    assert!(!let_through(&house, Some(&forged), 1));
    // One admission is good for so many holds, each counted when it is made, and another one is not given for more.
    let keys = 1..=HOLDS_OF_ONE_MAX as u128;
    let at_once: Vec<_> = keys.clone().map(|key| passage(&house, &admission, key).unwrap()).collect();
    assert!(passage(&house, &admission, 9).is_none() && place(&house, &joined.token).admission.is_none());
    assert!(passage(&house, &admission, 1).is_some(), "the same request again is no other hold");
    assert!(passage(&house, &admission, 9).is_none(), "and gives nothing back that is still under way");
    drop(at_once);
    for key in keys.skip(1) {
        through(passage(&house, &admission, key), async { Ok::<(), Failure<Refusal>>(()) }).await.unwrap();
    }
    assert!(let_through(&house, Some(&admission), 1) && place(&house, &joined.token).admission.is_some(), "what was not made is given back");
    house.clock.set(until);
    assert!(!let_through(&house, Some(&admission), 1), "it was not used in time");
    house.clock.set(room().closes_at);
    assert!(let_through(&house, None, 5));
    assert_eq!(house.node().join_room(MUSEUM, code(ROOM), named(1)).await, Err(RoomRefusal::Unknown));
    house.running.stop().await;
}

#[actix_rt::test]
async fn all_names_of_a_device_and_all_devices_of_a_name_are_one_number_with_its_holds() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    announced(&house).await;
    let honest = join(&house, 900).await;
    let (mut names, mut devices) = (Vec::new(), Vec::new());
    for n in 0..50_u128 {
        names.push(join_on(&house, n, Some(1_000)).await.token);
        devices.push(join_on(&house, 500, Some(2_000 + n)).await.token);
    }
    let one = |tokens: &[String]| tokens.iter().all(|token| number_in(token) == number_in(&tokens[0]));
    assert!(one(&names) && one(&devices) && number_in(&names[0]) != number_in(&devices[0]));
    assert_ne!(names[0], names[1], "each name has what lets it through and nobody else");
    let known = house.node().museums().get(MUSEUM).unwrap();
    let has_come = |who, device: Option<u128>| {
        let comer = Comer { who: Digest(who), device: device.map(Digest) };
        house.node().has_come(MUSEUM, &known.museum.room(code(ROOM)).unwrap().room, comer)
    };
    assert!(has_come(0, None) && !has_come(7, None), "the second name of a device was not worked for: it stays anybody's");
    assert!(has_come(777, Some(1_000)) && has_come(500, Some(9_999)) && !has_come(777, Some(9_999)));
    // A name of one, on the device of the other: still one of both, and who shares with either has it too.
    assert_eq!(number_in(&join_on(&house, 0, Some(2_049)).await.token), number_in(&names[0]));
    assert_eq!(number_in(&join_on(&house, 600, Some(2_049)).await.token), number_in(&devices[0]));
    house.clock.set(room().opens_at.plus_seconds(60));
    let places: Vec<_> = names.iter().map(|token| place(&house, token).position).collect();
    assert!(places.iter().all(|position| *position == places[0] && position.is_some_and(|position| position <= 3)), "{places:?}");
    assert!(place(&house, &honest.token).position.is_some_and(|position| position <= 3), "three have come");
    // Three holds are all that they have together.
    let admission = |n: usize| place(&house, &names[n]).admission.map(|(admission, _)| admission);
    let through_as = |who: u128, key: u128, admission: &str| {
        house.node().room_lets_through(tomorrow(), &by(key), Some(admission), |_| Some(named(who))).ok().flatten()
    };
    let (first, last) = (admission(0).unwrap(), admission(49).unwrap());
    assert!(through_as(1, 1, &first).is_none(), "what lets one name through is no other's");
    let held: Vec<_> = (1..=HOLDS_OF_ONE_MAX).filter_map(|n| through_as(n as u128, n as u128, &admission(n)?)).collect();
    assert_eq!(held.len(), HOLDS_OF_ONE_MAX);
    assert!(through_as(49, 9, &last).is_none() && admission(49).is_none());
    drop(held);
    drop(known);
    house.running.stop().await;
    // After a restart a device is the number that it was, whatever its names.
    let house = House::in_folder_at(&folder, room().opens_at).await.unwrap();
    names.iter().for_each(|token| drop(place(&house, token)));
    for who in [3, 4_000] {
        assert_eq!(number_in(&join_on(&house, who, Some(1_000)).await.token), number_in(&names[0]), "{who}");
    }
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_device_that_came_before_anybody_was_named_holds_for_a_buyer_and_has_no_more_holds_for_many() {
    let house = House::new().await;
    announced(&house).await;
    let device = 1_000;
    // A device alone is who comes, and is the device.
    let joined = join_on(&house, device, Some(device)).await;
    let other = join_on(&house, 7, Some(2_000)).await;
    house.clock.set(room().opens_at.plus_seconds(60));
    let admission = |token: &str| place(&house, token).admission.map(|(admission, _)| admission).unwrap();
    let (by_device, by_name) = (admission(&joined.token), admission(&other.token));
    let through_as = |key: u128, admission: &str, who: u128, device: u128| {
        let comer = Comer { who: Digest(who), device: Some(Digest(device)) };
        house.node().room_lets_through(tomorrow(), &by(key), Some(admission), |_| Some(comer)).ok().flatten()
    };
    assert!(through_as(1, &by_device, 1, 3_000).is_none(), "on another device it lets nobody through");
    assert!(through_as(2, &by_name, 8, 2_000).is_none(), "who came by a name holds by that name");
    // However many buyers are named on it: three holds are all that the number has, by the device alone as well.
    let held: Vec<_> = (1..=5).filter_map(|n| through_as(10 + n, &by_device, n, device)).collect();
    assert_eq!(held.len(), HOLDS_OF_ONE_MAX);
    assert!(through_as(20, &by_device, device, device).is_none() && place(&house, &joined.token).admission.is_none());
    drop(held);
    house.running.stop().await;
}

#[actix_rt::test]
async fn who_came_to_a_room_that_was_withdrawn_is_not_ahead_of_anybody_in_the_one_that_is_announced_in_its_place() {
    let house = House::new().await;
    announced(&house).await;
    for who in 0..50_u128 {
        join(&house, who).await;
    }
    // So many are let through that somebody sees it at once, and announces the same opening anew.
    house.node().museum(MUSEUM, by(3_001), museum::Command::WithdrawRoom { code: code(ROOM) }).await.unwrap();
    let anew = Room { per_minute: 120, seed: [8; 32], signing: [10; 32], ..room() };
    house.node().museum(MUSEUM, by(3_002), museum::Command::AnnounceRoom { room: Box::new(anew.clone()) }).await.unwrap();
    assert!(!house.node().has_come(MUSEUM, &anew, named(3)), "nobody has come to this one");
    let (first, second) = (join(&house, 100).await, join(&house, 101).await);
    house.clock.set(room().opens_at);
    for joined in [first, second] {
        let position = place(&house, &joined.token).position;
        assert!(position.is_some_and(|position| position <= 2), "two have come: {position:?}");
    }
    assert_eq!(join(&house, 102).await.position, Some(3));
    house.running.stop().await;
}

#[actix_rt::test]
async fn an_admission_is_not_given_back_while_it_is_not_known_what_became_of_its_request() {
    for fault in [Fault::Written, Fault::Lost] {
        let journal = Arc::new(Faulty::default());
        let (house, admission) = opened(Arc::clone(&journal) as _).await;
        let ask = async |key: u128, n: u64| match passage(&house, &admission, key) {
            Some(passage) => through(Some(passage), house.ask(key, hold(n, 1))).await,
            None => Err(Failure::Busy),
        };
        house.ask(100, hold(100, 1)).await.unwrap();
        journal.faults.lock().push_back(fault.clone());
        assert_eq!(ask(1, 1).await, Err(Failure::OutcomeUnknown), "{fault:?}");
        for n in 2..=HOLDS_OF_ONE_MAX as u64 {
            ask(u128::from(n), n).await.unwrap();
        }
        assert!(passage(&house, &admission, 9).is_none(), "{fault:?}: the first may stand");
        // Its repeat is the same one, whether it was written or not.
        ask(1, 11).await.unwrap();
        assert!(passage(&house, &admission, 9).is_none(), "{fault:?}");
        assert_eq!(house.taken(), 1 + HOLDS_OF_ONE_MAX as u32, "{fault:?}");
        house.running.stop().await;
    }
}

#[actix_rt::test]
async fn an_admission_is_given_back_only_by_a_word_that_nothing_was_made() {
    let journal = Arc::new(Faulty::default());
    let (house, admission) = opened(Arc::clone(&journal) as _).await;
    let left = || {
        let lent: Vec<_> = (0..HOLDS_OF_ONE_MAX as u128).filter_map(|n| passage(&house, &admission, 50 + n)).collect();
        lent.len()
    };
    let ask = async |key: u128, n: u64| through(Some(passage(&house, &admission, key).unwrap()), house.ask(key, hold(n, 1))).await;
    house.ask(100, hold(100, 1)).await.unwrap();
    journal.faults.lock().push_back(Fault::Lost);
    assert_eq!((ask(1, 1).await, left()), (Err(Failure::OutcomeUnknown), HOLDS_OF_ONE_MAX - 1));
    // That a repeat does nothing says nothing of the first.
    journal.faults.lock().push_back(Fault::Full);
    assert!(matches!(ask(1, 11).await, Err(Failure::Journal(_))));
    assert_eq!(left(), HOLDS_OF_ONE_MAX - 1);
    // Nor does a caller who goes away before anything is heard.
    let stall = journal.stall.lock().await;
    let mut going = Box::pin(ask(2, 2));
    tokio::select! {
        biased;
        answer = &mut going => panic!("the disk stands still: {answer:?}"),
        () = std::future::ready(()) => {}
    }
    drop(going);
    drop(stall);
    assert_eq!(left(), HOLDS_OF_ONE_MAX - 2);
    ask(2, 12).await.unwrap();
    assert_eq!(left(), HOLDS_OF_ONE_MAX - 2, "it is the same one");
    // Whoever is refused has made none, now or before.
    house.ask(200, hold(200, 18)).await.unwrap();
    assert!(matches!(ask(1, 21).await, Err(Failure::Refused(Refusal::NotEnoughPlaces { .. }))));
    assert_eq!((left(), house.taken()), (HOLDS_OF_ONE_MAX - 1, 20));
    assert!(matches!(ask(3, 3).await, Err(Failure::Refused(_))));
    assert_eq!(left(), HOLDS_OF_ONE_MAX - 1);
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_restart_takes_nobodys_place_and_gives_no_number_twice() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    announced(&house).await;
    let early: Vec<String> = {
        let mut tokens = Vec::new();
        for who in 0..20_u128 {
            tokens.push(join(&house, who).await.token);
        }
        tokens
    };
    house.clock.set(room().opens_at);
    let late = join(&house, 100).await;
    let before: Vec<_> = early.iter().map(|token| place(&house, token).position).collect();
    house.running.stop().await;
    let house = House::in_folder_at(&folder, room().opens_at).await.unwrap();
    early.iter().for_each(|token| drop(place(&house, token)));
    let after: Vec<_> = early.iter().map(|token| place(&house, token).position).collect();
    assert_eq!(before, after);
    assert_eq!(place(&house, &late.token).position, late.position);
    let next = join(&house, 101).await;
    assert!(next.position > late.position, "{next:?}");
    assert_eq!(house.node().room_place(MUSEUM, code(ROOM), "w1.00.e.00"), Err(RoomRefusal::BadToken));
    house.running.stop().await;
}

/// Each record is of a quarter more than the one before, and of 65 at least: by that a thousand who come at once are ten at most.
#[actix_rt::test]
async fn a_rush_before_the_opening_is_a_record_a_block_too() {
    let house = House::new().await;
    announced(&house).await;
    let written = || house.node().museums().get(MUSEUM).unwrap().museum.seq();
    let before = written();
    join_all((0..1_000).map(|who| join(&house, who))).await;
    assert!(written() - before <= 10, "{} records", written() - before);
    house.clock.set(room().opens_at);
    assert_eq!(join(&house, 5_000).await.position, Some(1_001), "all of them were counted");
    house.running.stop().await;
}

#[actix_rt::test]
async fn after_a_restart_the_next_one_waits_a_minute_longer_at_most_and_a_rush_is_a_record_a_block() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    announced(&house).await;
    house.clock.set(room().opens_at);
    let late = join(&house, 100).await.position.unwrap();
    house.running.stop().await;
    let house = House::in_folder_at(&folder, room().opens_at).await.unwrap();
    let next = join(&house, 101).await.position.unwrap();
    assert!(next > late && next <= late + u64::from(room().per_minute), "{late}, then {next}");
    let written = || house.node().museums().get(MUSEUM).unwrap().museum.seq();
    let before = written();
    let places: Vec<u64> = join_all((1_000..1_300).map(|who| join(&house, who))).await.iter().map(|place| place.position.unwrap()).collect();
    let told: std::collections::BTreeSet<u64> = places.iter().copied().collect();
    assert_eq!((told.len(), told.first(), told.last()), (300, Some(&(next + 1)), Some(&(next + 300))), "each has a number, and none is left out");
    assert!(written() - before <= 300 / u64::from(room().per_minute) + 1, "{} records", written() - before);
    house.running.stop().await;
}
