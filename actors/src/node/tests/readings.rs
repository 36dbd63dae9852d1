//! Readings limit what slots may sell; slots that run at once share the room, and never more than there is.

use std::collections::HashMap;

use futures_util::FutureExt;
use tornello_engine::ids::QuoteId;
use tornello_engine::slot::{CancelCause, Direction, Event, Reentry, Scan, Words};
use tornello_models::occupancy::Quality;

use super::*;
use crate::sensors::Measured;

#[actix_rt::test]
async fn a_reading_limits_the_running_slot_and_is_written_down() {
    let house = House::new().await;
    let running = SlotId::new(MUSEUM, RouteId(1), now());
    let reading = Reading { museum: MUSEUM, sensor: code("door"), at: now(), measured: Measured::Inside { people: 22, sd: Some(2) } };
    let occupancy = house.node().read(reading, KeyId(3)).await.unwrap().unwrap();
    assert_eq!((occupancy.inside.people, occupancy.inside.sd), (22, 2));
    let head = house.node().board().head(running).expect("the running slot was told");
    assert_eq!(head.places.available(Channel::BoxOffice, now()).0, 4);
    assert_eq!(house.node().read(reading, KeyId(3)).await, Err(Rejected::OutOfOrder));
    assert_eq!(house.node().read(Reading { museum: MuseumId(9), ..reading }, KeyId(3)).await, Err(Rejected::UnknownMuseum));
    house.running.stop().await;
}

#[actix_rt::test]
async fn doors_add_up_and_todays_ceiling_reaches_slots_that_were_opened_before() {
    let house = House::new().await;
    let running = SlotId::new(MUSEUM, RouteId(1), now());
    let entries = |sensor: &str, at_s: i64, people| {
        let at = now().plus_seconds(at_s);
        Reading { museum: MUSEUM, sensor: code(sensor), at, measured: Measured::Entries { people } }
    };
    for (sensor, at_s, people, inside) in [("north", 0, 10, 10), ("south", 0, 7, 17), ("south", 5, 1, 18), ("north", 5, 2, 20)] {
        let occupancy = house.node().read(entries(sensor, at_s, people), KeyId(3)).await.unwrap().unwrap();
        assert_eq!(occupancy.inside.people, inside, "{sensor} at {at_s}");
    }
    assert_eq!(house.node().read(entries("north", 5, 2), KeyId(3)).await, Err(Rejected::OutOfOrder));
    let live = house.node().board().head(running).and_then(|head| head.places.live).expect("the running slot was told");
    assert_eq!((live.people, live.ceiling), (20, Some(30)));
    let valid_from = calendar::local_day(now());
    house.node().museum(MUSEUM, by(2_000), museum::Command::SetCeiling { valid_from, ceiling: Some(12) }).await.unwrap();
    house.node().read(entries("north", 10, 1), KeyId(3)).await.unwrap();
    let head = house.node().board().head(running).unwrap();
    assert_eq!((head.places.live.and_then(|live| live.ceiling), head.places.available(Channel::BoxOffice, now()).0), (Some(12), 0));
    let old = Reading { museum: MUSEUM, sensor: code("camera"), at: now().plus_seconds(-60), measured: Measured::Inside { people: 1, sd: None } };
    assert_eq!(house.node().read(old, KeyId(3)).await, Err(Rejected::OutOfOrder), "an older word of another sensor does not count");
    house.running.stop().await;
}

#[actix_rt::test]
async fn another_ceiling_holds_from_now_on_also_one_that_held_before_and_none_limits_nothing() {
    let house = House::new().await;
    let (node, running) = (house.node(), SlotId::new(MUSEUM, RouteId(1), now()));
    people(node, 0, 25).await;
    let told = || {
        let places = node.board().head(running).map(|head| head.places);
        places.map(|places| (places.live.and_then(|live| live.ceiling), places.available(Channel::BoxOffice, now()).0))
    };
    assert_eq!(told(), Some((Some(30), 5)));
    let valid_from = calendar::local_day(now());
    for (key, ceiling, available) in [(2_000, Some(26), 1), (2_001, Some(100), 20), (2_002, Some(26), 1), (2_003, None, 20), (2_004, Some(25), 0)] {
        node.museum(MUSEUM, by(key), museum::Command::SetCeiling { valid_from, ceiling }).await.unwrap();
        assert_eq!(told(), Some((ceiling, available)));
    }
    house.running.stop().await;
}

#[actix_rt::test]
async fn whoever_comes_late_by_a_slot_that_is_over_comes_in_where_there_is_room_by_now() {
    let house = House::new().await;
    let (node, over) = (house.node(), SlotId::new(MUSEUM, RouteId(1), now()));
    node.slot(over, by(1), sell_in(over, 1, 2)).await.unwrap();
    let enter = async |key: u128, number: u16| {
        let ticket = HoldId::new(over, 1).ticket(number);
        let passage = Passage { ticket, issue: Some(1), gate: code("north"), museum: MUSEUM, direction: Direction::In };
        node.pass(by(key), passage).await.map(drop)
    };
    let full = Err(Failure::Refused(Refusal::Wait { inside: 30, ceiling: 30 }));
    house.clock.set(now().plus_seconds(59 * 60));
    people(node, 59 * 60, 30).await;
    assert_eq!(enter(2, 0).await, full);
    // It is over, and lets in for a quarter of an hour yet.
    house.clock.set(now().plus_seconds(65 * 60));
    people(node, 65 * 60, 29).await;
    assert_eq!((enter(3, 0).await, enter(4, 1).await), (Ok(()), full));
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_gate_that_keeps_people_out_hears_of_the_first_who_leave() {
    let house = House::new().await;
    let (node, running, valid_from) = (house.node(), SlotId::new(MUSEUM, RouteId(1), now()), calendar::local_day(now()));
    node.museum(MUSEUM, by(2_000), museum::Command::SetCeiling { valid_from, ceiling: Some(300) }).await.unwrap();
    node.slot(running, by(1), sell_in(running, 1, 1)).await.unwrap();
    let ticket = HoldId::new(running, 1).ticket(0);
    let passage = Passage { ticket, issue: Some(1), gate: code("north"), museum: MUSEUM, direction: Direction::In };
    people(node, 0, 300).await;
    assert_eq!(node.pass(by(2), passage).await.map(drop), Err(Failure::Refused(Refusal::Wait { inside: 300, ceiling: 300 })));
    // They are less than a hundredth.
    people(node, 1, 298).await;
    assert_eq!(node.pass(by(3), passage).await.map(drop), Ok(()));
    house.running.stop().await;
}

#[actix_rt::test]
async fn whoever_comes_back_days_later_waits_before_a_full_building_too() {
    let house = House::new().await;
    let (node, over, valid_from) = (house.node(), SlotId::new(MUSEUM, RouteId(1), now()), calendar::local_day(now()));
    let mut plan = plan();
    plan.routes[0].policy.reentry = Reentry { times_max: 1, within_s: 6 * 86_400 };
    node.museum(MUSEUM, by(2_000), museum::Command::SetPlan { valid_from, plan }).await.unwrap();
    node.slot(over, by(1), sell_in(over, 1, 1)).await.unwrap();
    let pass = async |key: u128, direction: Direction| {
        let passage = Passage { ticket: HoldId::new(over, 1).ticket(0), issue: Some(1), gate: code("north"), museum: MUSEUM, direction };
        node.pass(by(key), passage).await.map(drop)
    };
    assert_eq!((pass(2, Direction::In).await, pass(3, Direction::Out).await), (Ok(()), Ok(())));
    let later_s = 4 * 86_400;
    house.clock.set(now().plus_seconds(later_s));
    people(node, later_s, 30).await;
    // As if its head were saved.
    drop(node.board().take_unsaved());
    node.tidy().await;
    assert!(node.board().head(over).is_none(), "it ended more than three days ago");
    assert_eq!(pass(4, Direction::In).await, Err(Failure::Refused(Refusal::Wait { inside: 30, ceiling: 30 })));
    people(node, later_s + 1, 29).await;
    assert_eq!(pass(5, Direction::In).await, Ok(()));
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_camera_is_heard_also_when_a_minute_has_passed_before_its_word_comes_in() {
    let house = House::new().await;
    let (node, running) = (house.node(), SlotId::new(MUSEUM, RouteId(1), now()));
    node.slot(running, by(1), sell_in(running, 1, 1)).await.unwrap();
    let reading = |sensor: &str, at_s: i64, measured| Reading { museum: MUSEUM, sensor: code(sensor), at: now().plus_seconds(at_s), measured };
    let seen = |at_s: i64, people| reading("camera", at_s, Measured::Inside { people, sd: Some(0) });
    node.read(reading("door", 0, Measured::Flow { entered: 0, left: 0 }), KeyId(3)).await.unwrap();
    house.clock.set(now().plus_seconds(30));
    let ticket = HoldId::new(running, 1).ticket(0);
    let passage = Passage { ticket, issue: Some(1), gate: code("north"), museum: MUSEUM, direction: Direction::In };
    node.pass(by(2), passage).await.unwrap();
    house.clock.set(now().plus_seconds(60));
    node.pass_minute().await;
    let last = node.sensors().occupancy(MUSEUM).unwrap();
    assert_eq!((last.at, node.passed_since(&last)), (now(), 1), "whom a gate has let in no door has counted yet");
    let told = node.read(seen(59, 10), KeyId(3)).await.unwrap().unwrap();
    // When in the minute the gate let somebody in is not known any more: they may have come after it.
    assert_eq!((told.inside.people, told.at), (11, now().plus_seconds(59)));
    assert_eq!(node.board().head(running).and_then(|head| head.places.live).map(|live| live.people), Some(11));
    assert_eq!(node.read(seen(58, 3), KeyId(3)).await, Err(Rejected::OutOfOrder), "a later word of it is known");
    house.clock.set(now().plus_seconds(61));
    let told = node.read(seen(61, 12), KeyId(3)).await.unwrap().unwrap();
    assert_eq!((told.inside.people, told.at), (12, now().plus_seconds(61)), "and this one has seen everybody");
    house.running.stop().await;
}

#[actix_rt::test]
async fn whom_gates_have_let_in_counts_until_a_door_has_spoken_however_many_minutes_pass() {
    let house = House::new().await;
    let (node, running) = (house.node(), SlotId::new(MUSEUM, RouteId(1), now()));
    node.slot(running, by(1), sell_in(running, 1, 3)).await.unwrap();
    let door = |at_s: i64, entered| Reading {
        museum: MUSEUM,
        sensor: code("door"),
        at: now().plus_seconds(at_s),
        measured: Measured::Flow { entered, left: 0 },
    };
    let passed = || node.sensors().occupancy(MUSEUM).map(|last| (last.at, node.passed_since(&last)));
    node.read(door(0, 10), KeyId(3)).await.unwrap();
    for number in 0..3 {
        house.clock.set(now().plus_seconds(30 + 60 * i64::from(number)));
        let ticket = HoldId::new(running, 1).ticket(number);
        let passage = Passage { ticket, issue: Some(1), gate: code("north"), museum: MUSEUM, direction: Direction::In };
        node.pass(by(2 + u128::from(number)), passage).await.unwrap();
        house.clock.set(now().plus_seconds(60 + 60 * i64::from(number)));
        node.pass_minute().await;
        assert_eq!(passed(), Some((now(), 1 + i64::from(number))));
    }
    node.read(door(180, 3), KeyId(3)).await.unwrap();
    assert_eq!(passed(), Some((now().plus_seconds(180), 0)), "it has counted them");
    house.running.stop().await;
}

#[actix_rt::test]
async fn whom_a_gate_tells_of_long_after_doors_have_counted_them_came_in_once() {
    let house = House::new().await;
    let (node, running) = (house.node(), SlotId::new(MUSEUM, RouteId(1), now()));
    node.slot(running, by(1), sell_in(running, 1, 15)).await.unwrap();
    let door = async |at_s: i64, entered| {
        house.clock.set(now().plus_seconds(at_s));
        let measured = Measured::Flow { entered, left: 0 };
        let reading = Reading { museum: MUSEUM, sensor: code("door"), at: now().plus_seconds(at_s), measured };
        node.read(reading, KeyId(3)).await.unwrap().unwrap()
    };
    door(0, 0).await;
    door(60, 15).await;
    door(1_500, 0).await;
    let phones = Measured::Cell { operator: code("alfa"), devices: 300, share_permille: 300, share_sd_permille: 10 };
    let cell = Reading { museum: MUSEUM, sensor: code("cell"), at: node.now(), measured: phones };
    assert_eq!(node.read(cell, KeyId(3)).await, Ok(None));
    node.pass_minute().await;
    // All fifteen had come by a gate without a network, which has one again.
    for number in 0..15 {
        let ticket = HoldId::new(running, 1).ticket(number);
        let scan = Scan { ticket, scanned_at: now().plus_seconds(30), gate: code("north"), direction: Direction::In };
        node.slot(running, by(10 + u128::from(number)), Command::Merge { scan, issue: Some(1), museum: MUSEUM }).await.unwrap();
    }
    assert_eq!(node.board().head(running).map(|head| head.places.admitted), Some(15));
    house.clock.set(now().plus_seconds(1_560));
    node.pass_minute().await;
    let around = node.sensors().around(MUSEUM, node.now(), node.beside()).unwrap();
    assert_eq!((around.present.is_some(), around.conversion), (true, None), "nor did fifteen of those around come in just now");
    let told = door(1_620, 1).await;
    assert_eq!(told.quality, Quality::Uncalibrated, "no door is dead");
    assert!((10..=17).contains(&told.inside.people), "{} inside", told.inside.people);
    house.running.stop().await;
}

/// Two routes whose slots run at the same hours, in a building for 100 people.
async fn open_two_routes(node: &Node) {
    open_museum(node).await;
    let mut plan = plan();
    let second = Route { id: RouteId(2), code: code("tower"), ..plan.routes[0].clone() };
    plan.routes.push(second);
    let valid_from = calendar::local_day(now());
    node.museum(MUSEUM, by(3_000), museum::Command::SetPlan { valid_from, plan }).await.unwrap();
    node.museum(MUSEUM, by(3_001), museum::Command::SetCeiling { valid_from, ceiling: Some(100) }).await.unwrap();
}

/// The slots of both routes that run now.
fn both() -> [SlotId; 2] {
    [1, 2].map(|route| SlotId::new(MUSEUM, RouteId(route), now()))
}

async fn people(node: &Node, at_s: i64, people: u32) {
    let reading = Reading { museum: MUSEUM, sensor: code("door"), at: now().plus_seconds(at_s), measured: Measured::Inside { people, sd: Some(0) } };
    node.read(reading, KeyId(3)).await.unwrap();
}

/// What the running slots may still sell.
fn left(node: &Node) -> [u32; 2] {
    both().map(|slot| node.board().head(slot).map_or(20, |head| head.places.available(Channel::BoxOffice, now()).0))
}

#[actix_rt::test]
async fn two_routes_that_run_at_once_share_the_room_and_readings_do_not_race_with_sales() {
    let house = House::on(Arc::new(MemoryJournal::default())).await;
    let node = house.node();
    open_two_routes(node).await;
    people(node, 0, 90).await;
    assert_eq!(left(node), [5, 5]);
    let seqs = || both().map(|slot| node.board().head(slot).map(|head| head.seq));
    let before = seqs();
    people(node, 1, 90).await;
    assert_eq!(seqs(), before, "nothing has changed, nothing is written");
    let sales = join_all((0..60_u64).map(|n| {
        let slot = both()[n as usize % 2];
        node.slot(slot, by(u128::from(n)), sell_in(slot, n, 1))
    }));
    let readings = async {
        for i in 2..20 {
            people(node, i, 90 + i as u32 % 4).await;
        }
    };
    let (sold, ()) = futures_util::future::join(sales, readings).await;
    let sold = sold.iter().filter(|answer| answer.is_ok()).count();
    assert!(sold <= 10, "{sold} were sold, for 10 people there is room");
    people(node, 30, 90).await;
    let more = join_all((100..160_u64).map(|n| {
        let slot = both()[n as usize % 2];
        node.slot(slot, by(u128::from(n)), sell_in(slot, n, 1))
    }));
    let more = more.await.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!((sold + more, left(node)), (10, [0, 0]), "all the room is used, and no more");
    house.running.stop().await;
}

#[actix_rt::test]
async fn who_has_come_in_since_a_reading_was_measured_leaves_no_room_for_others() {
    let house = House::on(Arc::new(MemoryJournal::default())).await;
    let (node, [first, _]) = (house.node(), both());
    open_two_routes(node).await;
    node.slot(first, by(1), sell_in(first, 1, 5)).await.unwrap();
    house.clock.set(now().plus_seconds(600));
    for number in 0..5 {
        let passage =
            Passage { ticket: HoldId::new(first, 1).ticket(number), issue: Some(1), gate: code("north"), museum: MUSEUM, direction: Direction::In };
        node.pass(by(10 + u128::from(number)), passage).await.unwrap();
    }
    // It comes in ten minutes late: of the ten for whom there was room then five are inside.
    people(node, 0, 90).await;
    assert_eq!(left(node), [2, 3]);
    // Another ceiling is no newer reading.
    let valid_from = calendar::local_day(now());
    node.museum(MUSEUM, by(3_002), museum::Command::SetCeiling { valid_from, ceiling: Some(95) }).await.unwrap();
    assert_eq!(left(node), [0, 0]);
    node.museum(MUSEUM, by(3_003), museum::Command::SetCeiling { valid_from, ceiling: Some(100) }).await.unwrap();
    assert_eq!(left(node), [2, 3]);
    // One that has seen them counts them once.
    people(node, 600, 96).await;
    assert_eq!(left(node), [2, 2]);
    house.running.stop().await;
}

#[actix_rt::test]
async fn who_has_come_in_while_a_reading_was_on_its_way_is_counted_after_a_restart_too() {
    let journal = Arc::new(MemoryJournal::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    let (node, [first, _]) = (house.node(), both());
    open_two_routes(node).await;
    node.slot(first, by(1), sell_in(first, 1, 4)).await.unwrap();
    let pass = async |key: u128, number: u16, direction: Direction| {
        let passage = Passage { ticket: HoldId::new(first, 1).ticket(number), issue: Some(1), gate: code("north"), museum: MUSEUM, direction };
        node.pass(by(key), passage).await.map(drop)
    };
    assert_eq!(pass(10, 0, Direction::In).await, Ok(()));
    house.clock.set(now().plus_seconds(60));
    for (key, number, direction) in [(11, 1, Direction::In), (12, 2, Direction::In), (13, 3, Direction::In), (14, 0, Direction::Out)] {
        assert_eq!(pass(key, number, direction).await, Ok(()));
    }
    house.clock.set(now().plus_seconds(90));
    // As it was half a minute before they came.
    people(node, 30, 90).await;
    let since = |node: &Node| node.sensors().occupancy(MUSEUM).map(|occupancy| (occupancy.at, node.passed_since(&occupancy)));
    assert_eq!(since(node), Some((now().plus_seconds(30), 2)));
    house.running.stop().await;
    let clock = Arc::new(ManualClock::new(now().plus_seconds(90)));
    let running = Node::start_on(journal, Arc::clone(&clock) as _, Limits::default()).await.unwrap();
    let house = House { running, clock };
    assert_eq!(since(house.node()), Some((now().plus_seconds(30), 2)));
    house.running.stop().await;
}

#[actix_rt::test]
async fn what_a_door_counted_before_a_restart_is_not_counted_once_more_when_it_is_sent_again() {
    let ways: [fn(u32) -> Measured; 2] = [|people| Measured::Entries { people }, |entered| Measured::Flow { entered, left: 0 }];
    for measured in ways {
        let journal = Arc::new(MemoryJournal::default());
        let house = House::on(Arc::clone(&journal) as _).await;
        open_museum(house.node()).await;
        let counted = |sensor: &str, at_s: i64, people| {
            let at = now().plus_seconds(at_s);
            Reading { museum: MUSEUM, sensor: code(sensor), at, measured: measured(people) }
        };
        let inside = async |house: &House, reading: Reading| {
            let read = house.node().read(reading, KeyId(3)).await;
            read.map(|occupancy| occupancy.map(|occupancy| occupancy.inside.people))
        };
        assert_eq!(inside(&house, counted("north", 0, 10)).await, Ok(Some(10)));
        assert_eq!(inside(&house, counted("north", 5, 2)).await, Ok(Some(12)));
        house.running.stop().await;
        let house = House::on(journal).await;
        for (at_s, people) in [(0, 10), (5, 2)] {
            assert_eq!(inside(&house, counted("north", at_s, people)).await, Err(Rejected::OutOfOrder), "{people} at {at_s}");
        }
        assert_eq!(house.node().sensors().occupancy(MUSEUM).map(|last| last.inside.people), Some(12));
        // What another door has counted by then nobody has heard, nor what comes after.
        assert_eq!(inside(&house, counted("south", 5, 3)).await, Ok(Some(15)));
        assert_eq!(inside(&house, counted("north", 10, 1)).await, Ok(Some(16)));
        house.running.stop().await;
    }
}

#[actix_rt::test]
async fn what_a_door_that_is_behind_the_others_counts_after_a_restart_is_counted() {
    let ways: [fn(u32) -> Measured; 2] = [|people| Measured::Entries { people }, |entered| Measured::Flow { entered, left: 0 }];
    for measured in ways {
        let journal = Arc::new(MemoryJournal::default());
        let house = House::on(Arc::clone(&journal) as _).await;
        open_museum(house.node()).await;
        let inside = async |house: &House, sensor: &str, at_s: i64, people: u32| {
            let reading = Reading { museum: MUSEUM, sensor: code(sensor), at: now().plus_seconds(at_s), measured: measured(people) };
            let read = house.node().read(reading, KeyId(3)).await;
            read.map(|occupancy| occupancy.map(|occupancy| occupancy.inside.people))
        };
        assert_eq!(inside(&house, "north", 10, 10).await, Ok(Some(10)));
        assert_eq!(inside(&house, "south", 5, 2).await, Ok(Some(12)));
        let last = house.node().sensors().occupancy(MUSEUM).map(|last| (last.sensor, last.at));
        assert_eq!(last, Some((code("north"), now().plus_seconds(10))), "that is as far as anybody has counted");
        house.running.stop().await;
        let house = House::on(journal).await;
        assert_eq!(inside(&house, "south", 8, 3).await, Ok(Some(15)), "south had said nothing of what came after 5");
        assert_eq!(inside(&house, "north", 10, 10).await, Err(Rejected::OutOfOrder));
        house.running.stop().await;
    }
}

#[actix_rt::test]
async fn what_any_door_counted_before_a_restart_is_known_when_it_is_sent_again() {
    let ways: [fn(u32) -> Measured; 2] = [|people| Measured::Entries { people }, |entered| Measured::Flow { entered, left: 0 }];
    for measured in ways {
        let journal = Arc::new(MemoryJournal::default());
        let house = House::on(Arc::clone(&journal) as _).await;
        open_museum(house.node()).await;
        let inside = async |house: &House, sensor: &str, at_s: i64, people: u32| {
            let reading = Reading { museum: MUSEUM, sensor: code(sensor), at: now().plus_seconds(at_s), measured: measured(people) };
            let read = house.node().read(reading, KeyId(3)).await;
            read.map(|occupancy| occupancy.map(|occupancy| occupancy.inside.people))
        };
        for (sensor, at_s, people, all) in [("north", 0, 10, 10), ("south", 5, 3, 13), ("east", 10, 4, 17)] {
            assert_eq!(inside(&house, sensor, at_s, people).await, Ok(Some(all)), "{sensor}");
        }
        house.running.stop().await;
        // And so after another start, before which nothing new was said.
        for _ in 0..2 {
            let house = House::on(Arc::clone(&journal) as _).await;
            // As their answers were lost.
            for (sensor, at_s, people) in [("north", 0, 10), ("south", 5, 3), ("east", 10, 4)] {
                assert_eq!(inside(&house, sensor, at_s, people).await, Err(Rejected::OutOfOrder), "{sensor}");
            }
            assert_eq!(house.node().sensors().occupancy(MUSEUM).map(|last| last.inside.people), Some(17));
            house.running.stop().await;
        }
        let house = House::on(journal).await;
        assert_eq!(inside(&house, "south", 8, 2).await, Ok(Some(19)), "south had said nothing of what came after 5");
        house.running.stop().await;
    }
}

#[actix_rt::test]
async fn whom_a_camera_had_seen_before_a_restart_no_door_brings_in_again() {
    let ways: [fn(u32) -> Measured; 2] = [|people| Measured::Entries { people }, |entered| Measured::Flow { entered, left: 0 }];
    for measured in ways {
        let journal = Arc::new(MemoryJournal::default());
        let house = House::on(Arc::clone(&journal) as _).await;
        open_museum(house.node()).await;
        let read = async |house: &House, sensor: &str, at_s: i64, measured: Measured| {
            let reading = Reading { museum: MUSEUM, sensor: code(sensor), at: now().plus_seconds(at_s), measured };
            let read = house.node().read(reading, KeyId(3)).await;
            read.map(|occupancy| occupancy.map(|occupancy| occupancy.inside.people))
        };
        assert_eq!(read(&house, "north", 0, measured(10)).await, Ok(Some(10)));
        assert_eq!(read(&house, "camera", 30, Measured::Inside { people: 8, sd: Some(0) }).await, Ok(Some(8)));
        house.running.stop().await;
        let house = House::on(journal).await;
        // It was on its way when the camera saw them.
        assert_eq!(read(&house, "south", 29, measured(3)).await, Ok(Some(8)));
        assert_eq!(read(&house, "south", 31, measured(2)).await, Ok(Some(10)));
        house.running.stop().await;
    }
}

#[actix_rt::test]
async fn of_two_words_of_one_instant_a_restart_believes_the_one_by_which_more_are_inside() {
    let journal = Arc::new(MemoryJournal::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_two_routes(house.node()).await;
    for (slot, inside) in both().into_iter().zip([40, 30]) {
        let words = Words::default();
        let told = Command::Observe { source: code("door"), inside, sd: 0, measured_at: now(), ceiling: Some(100), grant: None, words };
        house.node().slot(slot, by(u128::from(inside)), told).await.unwrap();
    }
    house.running.stop().await;
    let house = House::on(journal).await;
    assert_eq!(house.node().sensors().occupancy(MUSEUM).map(|last| last.inside.people), Some(40));
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_cut_is_on_the_disk_before_another_slots_raise() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_two_routes(house.node()).await;
    let [first, second] = both();
    house.node().slot(second, by(1), Command::Close { reason: code("strike") }).await.unwrap();
    people(house.node(), 0, 90).await;
    assert_eq!(left(house.node()), [10, 0], "who is closed needs no room");
    house.node().slot(second, by(2), Command::Reopen).await.unwrap();
    assert_eq!(left(house.node()), [10, 0], "what is granted stays until the next reading");
    // The journal takes nothing: the first slot keeps its ten, so the second one gets none.
    journal.faults.lock().extend(vec![Fault::Full; 50]);
    people(house.node(), 1, 90).await;
    journal.faults.lock().clear();
    assert_eq!(left(house.node()), [10, 0]);
    house.running.stop().await;
    // What is in force stands in the journal.
    let house = House::on(Arc::clone(&journal) as _).await;
    assert_eq!(left(house.node()), [10, 0]);
    people(house.node(), 2, 90).await;
    assert_eq!(left(house.node()), [5, 5]);
    house.running.stop().await;
    // In no prefix of the journal may both together sell more than ten, from the first grants on.
    let (mut in_force, mut sums) = (HashMap::new(), Vec::new());
    for batch in journal.batches(0, u32::MAX).await.unwrap() {
        for frame in crate::journal::wire::frames(&batch.records).map(Result::unwrap) {
            let StreamId::Slot(slot) = frame.stream else { continue };
            for event in frame.record::<Event>().unwrap().events {
                if let Event::Observed(observed) = event
                    && [first, second].contains(&slot)
                {
                    in_force.insert(slot, observed.share.unwrap());
                    sums.push((batch.number, in_force.values().sum::<u32>()));
                }
            }
        }
    }
    assert!(sums.iter().all(|(_, sum)| *sum <= 10), "{sums:?}");
    assert!(sums[sums.len() - 2].0 < sums[sums.len() - 1].0, "the cut and the raise stand in different batches: {sums:?}");
}

#[actix_rt::test]
async fn a_sensor_that_goes_away_before_it_is_answered_leaves_no_slot_with_room_that_is_gone() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    let (node, running) = (house.node(), SlotId::new(MUSEUM, RouteId(1), now()));
    open_museum(node).await;
    // When the next slot begins, everybody inside has left: this one has all the room.
    let mut plan = plan();
    plan.routes[0].policy.dwell_s = 3_600;
    node.museum(MUSEUM, by(2_000), museum::Command::SetPlan { valid_from: calendar::local_day(now()), plan }).await.unwrap();
    let available = || node.board().head(running).map(|head| head.places.available(Channel::BoxOffice, now()).0);
    people(node, 0, 25).await;
    assert_eq!(available(), Some(5));
    let stall = journal.stall.lock().await;
    let reading = Reading { museum: MUSEUM, sensor: code("door"), at: now().plus_seconds(1), measured: Measured::Inside { people: 10, sd: Some(0) } };
    assert!(node.read(reading, KeyId(3)).now_or_never().is_none(), "the disk stalls");
    drop(stall);
    node.look(running, |_| ()).await.unwrap();
    assert_eq!(available(), Some(20), "the slot was told, though nobody waits for that");
    people(node, 2, 25).await;
    assert_eq!(available(), Some(5), "as many are inside as two readings ago, and the slot has heard of the one between");
    house.running.stop().await;
}

#[actix_rt::test]
async fn slots_of_which_nobody_has_heard_whether_they_were_told_are_all_asked_at_once() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    let node = house.node();
    open_two_routes(node).await;
    people(node, 0, 90).await;
    let told: Vec<SlotId> = node.board().heads_of(MUSEUM).into_iter().map(|(slot, _)| slot).collect();
    assert!(told.len() > 2, "those that run, and those that begin before everybody has left");
    let inside = |at_s: i64, people| {
        let at = now().plus_seconds(at_s);
        node.read(Reading { museum: MUSEUM, sensor: code("door"), at, measured: Measured::Inside { people, sd: Some(0) } }, KeyId(3))
    };
    let stall = journal.stall.lock().await;
    assert!(inside(1, 50).now_or_never().is_none(), "whoever brings it does not wait for the answer");
    drop(stall);
    for slot in &told {
        node.look(*slot, |_| ()).await.unwrap();
    }
    // Nobody is in memory: whoever is asked is one who is being read back.
    for _ in 0..2 {
        node.slots.retire_idle().await;
    }
    assert_eq!(node.slots.len(), 0);
    let mut next = inside(2, 90).boxed_local();
    assert!((&mut next).now_or_never().is_none());
    assert_eq!(node.slots.len(), told.len());
    next.await.unwrap();
    house.running.stop().await;
}

#[actix_rt::test]
async fn who_holds_a_ticket_and_finds_no_room_now_leaves_the_next_slot_less_to_sell() {
    let house = House::new().await;
    let (node, running) = (house.node(), SlotId::new(MUSEUM, RouteId(1), now()));
    let next = SlotId::new(MUSEUM, RouteId(1), now().plus_seconds(3_600));
    node.slot(running, by(1), sell_in(running, 1, 9)).await.unwrap();
    people(node, 0, 26).await;
    let available = |slot| node.board().head(slot).map(|head| head.places.available(Channel::BoxOffice, now()).0);
    // In an hour 9 of the 26 are still inside, and the 9 with tickets of now, though for 4 of them only there is room yet.
    assert_eq!((available(running), available(next)), (Some(0), Some(30 - 9 - 9)));
    house.running.stop().await;
}

#[actix_rt::test]
async fn of_what_was_promised_beyond_the_room_nothing_is_sold_again_when_it_ends() {
    let house = House::new().await;
    let (node, running) = (house.node(), SlotId::new(MUSEUM, RouteId(1), now()));
    let next = SlotId::new(MUSEUM, RouteId(1), now().plus_seconds(3_600));
    for (n, slot, count) in [(1, running, 9), (2, next, 10), (3, next, 5)] {
        node.slot(slot, by(u128::from(n)), sell_in(slot, n, count)).await.unwrap();
    }
    people(node, 0, 26).await;
    let available = || node.board().head(next).map(|head| head.places.available(Channel::BoxOffice, now()).0);
    assert_eq!(available(), Some(0));
    let cancel = Command::Cancel { sale: HoldId::new(next, 3), owner: None, tickets: vec![], cause: CancelCause::Visitor };
    node.slot(next, by(4), cancel).await.unwrap();
    // Of the 21 for whom there is room then, 9 come by the slot that runs, and 10 have tickets still.
    assert_eq!(available(), Some(30 - 9 - 9 - 10));
    house.running.stop().await;
}

#[actix_rt::test]
async fn what_a_plan_adds_to_a_building_has_its_part_of_the_room_before_anybody_reads_anew() {
    let house = House::new().await;
    let (node, valid_from, [_, second]) = (house.node(), calendar::local_day(now()), both());
    people(node, 0, 25).await;
    let mut plan = plan();
    plan.routes.push(Route { id: RouteId(2), code: code("tower"), ..plan.routes[0].clone() });
    node.museum(MUSEUM, by(3_000), museum::Command::SetPlan { valid_from, plan }).await.unwrap();
    assert_eq!((left(node).iter().sum::<u32>(), node.slot(second, by(1), sell_in(second, 1, 6)).await.is_ok()), (5, false));
    house.running.stop().await;
}

#[actix_rt::test]
async fn an_offer_in_a_closed_slot_keeps_no_room_from_others_and_stands_when_it_reopens() {
    let house = House::on(Arc::new(MemoryJournal::default())).await;
    let (node, [_, second]) = (house.node(), both());
    open_two_routes(node).await;
    let (sale, entry) = (HoldId::new(second, 1), HoldId::new(second, 2));
    let waits = Command::Wait { entry, who: KeyId(7), channel: Channel::BoxOffice, lines: lines(5) };
    let cancels = Command::Cancel { sale, owner: None, tickets: (0..5).collect(), cause: CancelCause::Museum };
    for (key, command) in [(1, sell_in(second, 1, 20)), (2, waits), (3, cancels), (4, Command::Close { reason: code("flood") })] {
        node.slot(second, by(key), command).await.unwrap();
    }
    let offer = async || node.look(second, move |slot| slot.hold_of(entry).map(|hold| hold.lines.clone())).await;
    assert_eq!(offer().await, Ok(Some(lines(5))));
    people(node, 0, 70).await;
    assert_eq!(left(node), [15, 0], "fifteen have tickets for the closed slot; the five with an offer cannot take it");
    node.slot(second, by(5), Command::Reopen).await.unwrap();
    assert_eq!((left(node), offer().await), ([10, 0], Ok(Some(lines(5)))), "now they can, and the other has five less");
    people(node, 1, 70).await;
    assert_eq!((left(node), offer().await), ([10, 0], Ok(Some(lines(5)))));
    house.running.stop().await;
}

/// Five places that are held as an option, which does not end while the slot is closed.
fn kept_in(slot: SlotId) -> Command {
    let (hold, until, cause) = (HoldId::new(slot, 2), now().plus_seconds(1_800), slot::Keeper::Quote(QuoteId(4)));
    Command::HoldFor { hold, channel: Channel::BoxOffice, lines: lines(5), until, cause }
}

#[actix_rt::test]
async fn a_reopening_that_is_asked_for_again_takes_no_room_from_the_others_when_the_slot_is_closed_once_more() {
    let house = House::on(Arc::new(MemoryJournal::default())).await;
    let (node, [_, second]) = (house.node(), both());
    open_two_routes(node).await;
    let flood = || Command::Close { reason: code("flood") };
    for (key, command) in [(1, sell_in(second, 1, 15)), (2, kept_in(second)), (3, flood())] {
        node.slot(second, by(key), command).await.unwrap();
    }
    people(node, 0, 70).await;
    let reopened = node.slot(second, by(4), Command::Reopen).await.unwrap();
    assert_eq!(left(node), [10, 0]);
    node.slot(second, by(5), flood()).await.unwrap();
    people(node, 1, 70).await;
    assert_eq!(left(node), [15, 0]);
    assert_eq!(node.slot(second, by(4), Command::Reopen).await, Ok(reopened), "it is told what was so then");
    assert_eq!((left(node), node.board().head(second).and_then(|head| head.places.closed)), ([15, 0], Some(code("flood"))));
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_slot_whose_held_places_others_may_still_sell_does_not_reopen() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    let (node, [first, second]) = (house.node(), both());
    open_two_routes(node).await;
    for (key, command) in [(1, sell_in(second, 1, 15)), (2, kept_in(second)), (3, Command::Close { reason: code("flood") })] {
        node.slot(second, by(key), command).await.unwrap();
    }
    people(node, 0, 70).await;
    assert_eq!(left(node), [15, 0]);
    journal.faults.lock().extend(vec![Fault::Full; 50]);
    assert_eq!(node.slot(second, by(4), Command::Reopen).await.map(drop), Err(Failure::Busy));
    journal.faults.lock().clear();
    assert_eq!((left(node), node.board().head(second).and_then(|head| head.places.closed)), ([15, 0], Some(code("flood"))));
    house.running.stop().await;

    let house = House::on(journal).await;
    let node = house.node();
    // Whoever buys all that the other may sell comes before it, or finds what is left.
    let sold = node.slot(first, by(5), sell_in(first, 1, 4)).await;
    assert!(sold.is_ok(), "{sold:?}");
    node.slot(second, by(6), Command::Reopen).await.unwrap();
    assert_eq!(left(node), [6, 0]);
    assert!(node.slot(second, by(7), Command::Reopen).await.is_ok(), "it is open, and says so again");
    house.running.stop().await;
}

#[actix_rt::test]
async fn readings_go_on_where_the_disk_failed_just_as_a_slot_was_to_reopen() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    let (node, [_, second]) = (house.node(), both());
    open_two_routes(node).await;
    for (key, command) in [(1, kept_in(second)), (2, Command::Close { reason: code("flood") })] {
        node.slot(second, by(key), command).await.unwrap();
    }
    journal.faults.lock().push_back(Fault::Flush);
    assert_eq!(node.slot(second, by(3), Command::Reopen).await.map(drop), Err(Failure::OutcomeUnknown));
    // Nothing can be written any more, and what became of that is not known before the next start: nobody waits for it.
    people(node, 0, 70).await;
    assert_eq!(node.sensors().occupancy(MUSEUM).map(|last| last.inside.people), Some(70));
    house.running.stop().await;
}
