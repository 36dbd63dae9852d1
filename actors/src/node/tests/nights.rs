//! What a night counts of the day that is over, all who came by any of its slots, and what is forecast while it lasts.

use jiff::civil::Date;
use tornello_engine::attendance::{self, SlotCount};
use tornello_engine::planning::{self, Override, Place, Role};

use super::*;
use crate::sensors::Measured;
use crate::{attended, days, roster};

#[actix_rt::test]
async fn rosters_reach_as_far_ahead_after_midnight_as_managers_may_decide() {
    let house = House::new().await;
    let node = house.node();
    // It is one o'clock in Rome.
    house.clock.set("2026-06-10T23:00:00Z".parse().unwrap());
    let date = calendar::local_day(node.now()).saturating_add(jiff::Span::new().days(planning::AHEAD_DAYS));
    let place = Place { date, from_min: 600, role: Role::Desk };
    let what = Override { to_min: 660, people: 7, note: String::new() };
    node.planning(MUSEUM, by(1), planning::Command::Decide { place, what }).await.unwrap();
    let known = node.museums().get(MUSEUM).unwrap();
    let roster = roster::of_day(node, &known, date).expect("what was decided can be read");
    let desks = roster.lines.iter().find(|line| (line.role, line.from_min) == (Role::Desk, 600)).map(|line| line.stands.people);
    assert_eq!(desks, Some(7));
    assert_eq!(roster::of_day(node, &known, date.saturating_add(jiff::Span::new().days(1))), None, "and no farther");
    house.running.stop().await;
}

/// As most small museums are: of one without any past its places and other museums are all there is.
#[actix_rt::test]
async fn a_museum_that_is_open_on_saturdays_alone_is_forecast_on_any_day_of_the_week() {
    let house = House::new().await;
    let node = house.node();
    let [thursday, saturday] = [jiff::civil::date(2026, 6, 11), jiff::civil::date(2026, 6, 13)];
    let mut saturdays = plan();
    let weekdays = saturdays.routes[0].week.iter_mut().enumerate().filter(|(day, _)| *day != 5);
    weekdays.for_each(|(_, sessions)| sessions.clear());
    node.museum(MUSEUM, by(2_000), museum::Command::SetPlan { valid_from: thursday, plan: saturdays }).await.unwrap();
    for now in ["2026-06-11T08:00:00Z", "2026-06-12T08:00:00Z", "2026-06-13T05:00:00Z"] {
        house.clock.set(now.parse().unwrap());
        let known = node.museums().get(MUSEUM).unwrap();
        let day = node.forecaster().days(node, &known, saturday, 1).remove(0);
        // Somewhat more than a third of nine slots of twenty places.
        assert!((60.0..70.0).contains(&day.outlook.mid), "at {now}: {day:?}");
    }
    house.running.stop().await;
}

/// A museum opens in the evening from tomorrow on, which it has never done.
#[actix_rt::test]
async fn hours_that_are_new_have_their_part_of_the_day_until_it_is_known_who_comes() {
    let house = House::new().await;
    let node = house.node();
    let [thursday, friday, monday] = [11, 12, 15].map(|day| jiff::civil::date(2026, 6, day));
    let count = async |date: Date| {
        let slots = (9..18_u16).map(|hour| SlotCount { route: RouteId(1), from_min: hour * 60, sold: 20, admitted: 15 }).collect();
        let count = attendance::Command::Count { date, people: 9 * 15, slots, doors: None, books: Vec::new(), beyond: Vec::new() };
        node.attendance(MUSEUM, by(20_000 + date.day_of_year().unsigned_abs() as u128), count).await.unwrap();
    };
    for before in 1..=40_i32 {
        count(calendar::local_day(now()).saturating_sub(jiff::Span::new().days(before))).await;
    }
    let mut longer = plan();
    for session in longer.routes[0].week.iter_mut().flatten() {
        (session.closes, session.last_entry) = (jiff::civil::time(22, 0, 0, 0), jiff::civil::time(21, 0, 0, 0));
    }
    node.museum(MUSEUM, by(2_000), museum::Command::SetPlan { valid_from: thursday, plan: longer }).await.unwrap();
    let slots = |date: Date| {
        let known = node.museums().get(MUSEUM).unwrap();
        let day = node.forecaster().days(node, &known, date, 1).remove(0);
        let sum: f64 = day.slots.iter().map(|slot| slot.mid).sum();
        assert!((130.0..140.0).contains(&sum) && day.slots.len() == 13, "{day:?}");
        [day.slots[1].mid, day.slots[11].mid]
    };
    let [morning, evening] = slots(thursday);
    assert!(evening > 5.0 && morning > evening, "{morning} in the morning, {evening} in the evening");
    // Nobody comes in the evening.
    house.clock.set("2026-06-13T08:00:00Z".parse().unwrap());
    for date in [thursday, friday] {
        count(date).await;
    }
    let [later, nobody] = slots(monday);
    assert!(nobody < evening / 2.0 && later > morning, "{later} in the morning, {nobody} in the evening");
    house.running.stop().await;
}

#[actix_rt::test]
async fn what_doors_have_summed_up_waits_for_the_night_that_can_write_it_down() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    let (node, date) = (house.node(), calendar::local_day(now()));
    open_museum(node).await;
    let door = Reading { museum: MUSEUM, sensor: code("door"), at: now(), measured: Measured::Flow { entered: 30, left: 0 } };
    node.read(door, KeyId(3)).await.unwrap();
    house.clock.set(now().plus_seconds(20 * 3_600));
    journal.faults.lock().extend(vec![Fault::Full; 50]);
    assert_eq!(attended::count_days(node).await, 0);
    journal.faults.lock().clear();
    assert_eq!(attended::count_days(node).await, 1);
    let attendance = node.attended().get(MUSEUM);
    assert_eq!(attendance.days().get(&date).map(|day| day.people), Some(30), "nobody else has counted them");
    assert_eq!(attendance.details()[&date].doors.map(|doors| doors.entered), Some(30));
    house.running.stop().await;
}

/// Where there is a ceiling slots are told of people inside, and so a start knows of them; or else nobody is.
#[actix_rt::test]
async fn a_day_of_which_doors_alone_know_a_part_is_not_counted() {
    for ceiling in [Some(40), None] {
        let journal = Arc::new(MemoryJournal::default());
        let house = House::on(Arc::clone(&journal) as _).await;
        open_museum(house.node()).await;
        let valid_from = calendar::local_day(now());
        house.node().museum(MUSEUM, by(2_000), museum::Command::SetCeiling { valid_from, ceiling }).await.unwrap();
        let count = async |house: &House, at_s: i64, entered: u32| {
            let door = Reading { museum: MUSEUM, sensor: code("door"), at: now().plus_seconds(at_s), measured: Measured::Flow { entered, left: 0 } };
            house.node().read(door, KeyId(3)).await.unwrap();
        };
        count(&house, 0, 20).await;
        house.running.stop().await;
        // It is started again in the middle of the day: how many the door had counted nobody knows any more.
        let house = House::on(journal).await;
        count(&house, 10, 5).await;
        house.clock.set(now().plus_seconds(20 * 3_600));
        assert_eq!(attended::count_days(house.node()).await, 0, "{ceiling:?}");
        assert!(house.node().attended().get(MUSEUM).days().is_empty(), "nor does a part of it stand in the way of whoever brings the day in");
        // The next day is whole.
        count(&house, 20 * 3_600, 7).await;
        house.clock.set(now().plus_seconds(44 * 3_600));
        assert_eq!(attended::count_days(house.node()).await, 1, "{ceiling:?}");
        assert_eq!(house.node().attended().get(MUSEUM).days().values().map(|day| day.people).collect::<Vec<_>>(), [7]);
        house.running.stop().await;
    }
}

/// As it is started again by night, or before anybody has come.
#[actix_rt::test]
async fn a_day_before_which_the_program_was_started_again_is_whole() {
    let journal = Arc::new(MemoryJournal::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    house.running.stop().await;
    // It is eight in Rome; the museum opens at nine.
    let early = now().plus_seconds(22 * 3_600);
    let clock = Arc::new(ManualClock::new(early));
    let running = Node::start_on(journal, Arc::clone(&clock) as _, Limits::default()).await.unwrap();
    let house = House { running, clock };
    house.clock.set(early.plus_seconds(2 * 3_600));
    let door = Reading { museum: MUSEUM, sensor: code("door"), at: house.node().now(), measured: Measured::Flow { entered: 9, left: 0 } };
    house.node().read(door, KeyId(3)).await.unwrap();
    house.clock.set(early.plus_seconds(20 * 3_600 + 1_800));
    assert_eq!(attended::count_days(house.node()).await, 1);
    assert_eq!(house.node().attended().get(MUSEUM).days().values().map(|day| day.people).collect::<Vec<_>>(), [9]);
    house.running.stop().await;
}

#[actix_rt::test]
async fn who_came_by_a_slot_that_is_not_planned_any_more_is_counted_with_the_day() {
    let house = House::new().await;
    let (node, date) = (house.node(), calendar::local_day(tomorrow().start()));
    let evening = SlotId::new(MUSEUM, RouteId(1), tomorrow().start().plus_seconds(7 * 3_600));
    node.slot(tomorrow(), by(1), sell_in(tomorrow(), 1, 2)).await.unwrap();
    node.slot(evening, by(2), sell_in(evening, 2, 3)).await.unwrap();
    // That day the museum closes two hours before its last visitors come.
    let mut shorter = plan();
    let at = |hour| jiff::civil::time(hour, 0, 0, 0);
    shorter.routes[0].week.iter_mut().flatten().for_each(|session| (session.closes, session.last_entry) = (at(15), at(14)));
    node.museum(MUSEUM, by(2_000), museum::Command::SetPlan { valid_from: date, plan: shorter }).await.unwrap();
    let known = node.museums().get(MUSEUM).unwrap();
    assert!(known.day(date).iter().all(|opening| opening.slot != evening), "it is not planned any more");
    assert_eq!(node.forecaster().days(node, &known, date, 1).remove(0).booked, 5);
    // And then it is closed on that day of the week.
    let mut closed = plan();
    closed.routes[0].week[3].clear();
    node.museum(MUSEUM, by(2_001), museum::Command::SetPlan { valid_from: date, plan: closed }).await.unwrap();
    let known = node.museums().get(MUSEUM).unwrap();
    assert!(known.day(date).is_empty(), "a Thursday");
    let day = node.forecaster().days(node, &known, date, 1).remove(0);
    assert!(day.booked == 5 && day.outlook.mid > 4.0, "who has booked comes: {day:?}");
    house.clock.set("2026-06-12T03:00:00Z".parse().unwrap());
    assert_eq!(attended::count_days(node).await, 1);
    let attendance = node.attended().get(MUSEUM);
    assert_eq!(attendance.days().get(&date).map(|day| day.people), Some(5));
    let slots: Vec<(u16, u32)> = attendance.details()[&date].slots.iter().map(|slot| (slot.from_min, slot.sold)).collect();
    assert_eq!(slots, [(600, 2), (1_020, 3)]);
    house.running.stop().await;
}

/// On a strike staff close what was sold from, and who has a ticket is paid back some day: it is not the count of a museum without gates.
#[actix_rt::test]
async fn nobody_came_on_a_day_that_was_called_off_where_gates_let_people_in_on_others() {
    for (has_gates, came) in [(true, 0), (false, 4)] {
        let house = House::new().await;
        let (node, today, strike) = (house.node(), SlotId::new(MUSEUM, RouteId(1), now()), calendar::local_day(tomorrow().start()));
        node.slot(today, by(1), sell_in(today, 1, 2)).await.unwrap();
        if has_gates {
            let admit = Command::Admit { ticket: HoldId::new(today, 1).ticket(0), issue: Some(1), gate: code("north"), museum: MUSEUM };
            node.slot(today, by(2), admit).await.unwrap();
        }
        house.clock.set("2026-06-11T03:00:00Z".parse().unwrap());
        assert_eq!(attended::count_days(node).await, 1);
        node.slot(tomorrow(), by(3), sell_in(tomorrow(), 3, 4)).await.unwrap();
        node.slot(tomorrow(), by(4), Command::Close { reason: code("strike") }).await.unwrap();
        let known = node.museums().get(MUSEUM).unwrap();
        let day = |date| node.forecaster().days(node, &known, date, 1).remove(0);
        // In the afternoon the slot is over.
        house.clock.set("2026-06-11T12:00:00Z".parse().unwrap());
        let told = day(strike).slots.iter().find(|slot| slot.slot == tomorrow()).and_then(|slot| slot.came);
        assert_eq!(told, Some(came), "{has_gates}");
        house.clock.set("2026-06-12T03:00:00Z".parse().unwrap());
        let after = calendar::local_day(node.now());
        let before = day(after).outlook;
        assert_eq!(attended::count_days(node).await, 1);
        let attendance = node.attended().get(MUSEUM);
        assert_eq!(attendance.days().get(&strike).map(|day| day.people), Some(came), "{has_gates}");
        assert_eq!(attendance.details()[&strike].slots.is_empty(), has_gates);
        assert!(!has_gates || day(after).outlook == before, "a strike says nothing of other days");
        house.running.stop().await;
    }
}

/// Where no gate says who came, those who bought are taken to have: but not on a day that the museum has called off, nor from the time on from which it has.
#[actix_rt::test]
async fn nobody_came_by_what_a_museum_without_gates_has_called_off() {
    let (start, date) = (tomorrow().start(), calendar::local_day(tomorrow().start()));
    let noon = SlotId::new(MUSEUM, RouteId(1), start.plus_seconds(2 * 3_600));
    for (from, came) in [(None, 0), (Some(noon.start()), 4)] {
        let house = House::new().await;
        let node = house.node();
        node.slot(tomorrow(), by(1), sell_in(tomorrow(), 1, 4)).await.unwrap();
        node.slot(noon, by(2), sell_in(noon, 2, 3)).await.unwrap();
        let known = node.museums().get(MUSEUM).unwrap();
        days::close(node, &known, date, from, &by(3), code("strike")).await.unwrap();
        // In the afternoon both slots are over.
        house.clock.set("2026-06-11T12:00:00Z".parse().unwrap());
        let known = node.museums().get(MUSEUM).unwrap();
        let day = node.forecaster().days(node, &known, date, 1).remove(0);
        let told = [tomorrow(), noon].map(|slot| day.slots.iter().find(|told| told.slot == slot).and_then(|told| told.came));
        assert_eq!(told, [Some(came), Some(0)]);
        house.clock.set("2026-06-12T03:00:00Z".parse().unwrap());
        assert_eq!(attended::count_days(node).await, 1);
        let attendance = node.attended().get(MUSEUM);
        assert_eq!(attendance.days().get(&date).map(|day| day.people), Some(came), "{from:?}");
        let slots: Vec<(u16, u32)> = attendance.details()[&date].slots.iter().map(|slot| (slot.from_min, slot.sold)).collect();
        assert_eq!(slots, if came == 0 { vec![] } else { vec![(600, 4)] });
        house.running.stop().await;
    }
}

/// Long before nobody has bought, or has been paid back by then: no slot of it says that anybody stayed away.
#[actix_rt::test]
async fn a_day_that_is_called_off_is_none_of_its_month_whether_anybody_had_bought_or_not() {
    let house = House::new().await;
    let (node, strike, works) = (house.node(), calendar::local_day(tomorrow().start()), jiff::civil::date(2026, 9, 15));
    let june_and_september = || {
        let months = node.forecaster().months(node, &node.museums().get(MUSEUM).unwrap(), 4);
        [months[0], months[3]]
    };
    let [june, september] = june_and_september();
    assert_eq!((june.open_days, september.open_days), (30, 30));
    for (key, date) in [(2, strike), (3, works)] {
        let known = node.museums().get(MUSEUM).unwrap();
        days::close(node, &known, date, None, &by(key), code("strike")).await.unwrap();
    }
    let [_, without] = june_and_september();
    assert_eq!(without.open_days, 29);
    assert!(without.expected.mid < september.expected.mid - 10.0, "{without:?}");
    // Whoever is at home there goes in and out that day.
    house.clock.set("2026-06-11T08:00:00Z".parse().unwrap());
    let door = Reading { museum: MUSEUM, sensor: code("door"), at: node.now(), measured: Measured::Flow { entered: 12, left: 0 } };
    node.read(door, KeyId(3)).await.unwrap();
    house.clock.set("2026-06-12T03:00:00Z".parse().unwrap());
    assert_eq!(attended::count_days(node).await, 1);
    let attendance = node.attended().get(MUSEUM);
    assert_eq!(attendance.days().get(&strike).map(|day| day.people), Some(0));
    assert_eq!(attendance.details()[&strike].doors.map(|doors| doors.entered), Some(12));
    let [after, _] = june_and_september();
    assert_eq!((after.open_days, after.came), (29, 0));
    house.running.stop().await;
}

/// Until they are paid back those who have booked an afternoon that is called off stand on its books: nobody waits for them.
#[actix_rt::test]
async fn nobody_is_expected_by_what_a_museum_has_called_off() {
    let house = House::new().await;
    let (node, date) = (house.node(), calendar::local_day(tomorrow().start()));
    let noon = SlotId::new(MUSEUM, RouteId(1), tomorrow().start().plus_seconds(2 * 3_600));
    node.slot(tomorrow(), by(1), sell_in(tomorrow(), 1, 4)).await.unwrap();
    node.slot(noon, by(2), sell_in(noon, 2, 18)).await.unwrap();
    let told = || {
        let known = node.museums().get(MUSEUM).unwrap();
        let day = node.forecaster().days(node, &known, date, 1).remove(0);
        let of = |slot: SlotId| *day.slots.iter().find(|told| told.slot == slot).unwrap();
        (of(tomorrow()), of(noon), day)
    };
    let (_, before, _) = told();
    assert!(!before.off && before.mid > 16.0 && before.shows.0 > 16.0, "{before:?}");
    let known = node.museums().get(MUSEUM).unwrap();
    days::close(node, &known, date, Some(noon.start()), &by(3), code("strike")).await.unwrap();
    let (morning, closed, day) = told();
    assert_eq!((closed.off, closed.booked, day.booked), (true, 18, 22), "the books are as they are");
    assert_eq!((closed.mid, closed.band_80, closed.band_95, closed.shows), (0.0, (0.0, 0.0), (0.0, 0.0), (0.0, 0.0)));
    assert!(!morning.off && morning.mid > 3.5 && morning.shows.0 > 3.5, "{morning:?}");
    let sum: f64 = day.slots.iter().map(|slot| slot.mid).sum();
    assert!((sum - day.outlook.mid).abs() < 1e-6 && day.outlook.mid <= 60.0 + 1e-6, "three slots of 20 places are left: {day:?}");
    house.running.stop().await;
}

/// A gate without a network sends its scans in when it has one again, which may be in the morning after.
#[actix_rt::test]
async fn scans_that_come_in_after_the_night_are_counted_with_their_day() {
    let house = House::new().await;
    let (node, today, date) = (house.node(), SlotId::new(MUSEUM, RouteId(1), now()), calendar::local_day(now()));
    node.slot(today, by(1), sell_in(today, 1, 5)).await.unwrap();
    let door = Reading { museum: MUSEUM, sensor: code("door"), at: now(), measured: Measured::Flow { entered: 7, left: 0 } };
    node.read(door, KeyId(3)).await.unwrap();
    let merge = async |key: u128, number: u16| {
        let ticket = HoldId::new(today, 1).ticket(number);
        let scan = slot::Scan { ticket, scanned_at: now().plus_seconds(60), gate: code("pda"), direction: slot::Direction::In };
        node.slot(today, by(key), Command::Merge { scan, issue: Some(1), museum: MUSEUM }).await.unwrap();
    };
    let known = || {
        let attendance = node.attended().get(MUSEUM);
        let detail = &attendance.details()[&date];
        (
            attendance.days()[&date].people,
            detail.slots.iter().map(|slot| (slot.sold, slot.admitted)).collect::<Vec<_>>(),
            detail.doors.map(|doors| doors.entered),
        )
    };
    house.clock.set(now().plus_seconds(600));
    merge(2, 0).await;
    house.clock.set("2026-06-11T03:00:00Z".parse().unwrap());
    assert_eq!((attended::count_days(node).await, known()), (1, (1, vec![(5, 1)], Some(7))));
    house.clock.set("2026-06-11T07:00:00Z".parse().unwrap());
    merge(3, 1).await;
    merge(4, 2).await;
    house.clock.set("2026-06-12T03:00:00Z".parse().unwrap());
    assert_eq!((attended::count_days(node).await, known()), (1, (3, vec![(5, 3)], Some(7))));
    assert_eq!(attended::count_days(node).await, 0, "nothing is new");
    house.running.stop().await;
}
