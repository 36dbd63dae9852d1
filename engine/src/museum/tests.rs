//! Given what was done to a museum, when this is asked, then this happens. Below, random commands.

use std::collections::BTreeSet;

use super::*;
use crate::envelope::{Digest, Envelope};
use crate::ids::{KeyId, RouteId};
use crate::money::Cents;
use crate::plan::{Route, Session};
use crate::recall::Recall;
use crate::slot::Policy;
use crate::text::Text;
use crate::time::DAY_S;
use jiff::civil::date;
use proptest::prelude::*;

const ID: MuseumId = MuseumId(4);
/// 10 June 2026 in Rome, though the day before in UTC.
const NOW: &str = "2026-06-09T22:30:00Z";
const TODAY: Date = date(2026, 6, 10);
const LATER: Date = date(2026, 7, 1);

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn profile() -> Profile {
    Profile {
        slug: "torre".parse().unwrap(),
        name: "Museo della Torre".to_owned(),
        city: "Torrechiara".to_owned(),
        region: "Emilia-Romagna".to_owned(),
        latitude_microdeg: 44_655_000,
        longitude_microdeg: 10_275_000,
        patron: MonthDay::new(1, 17).ok(),
    }
}

/// Open every day between two hours, in slots of an hour.
fn plan(opens: i8, closes: i8) -> OpeningPlan {
    let at = |hour: i8| jiff::civil::time(hour.rem_euclid(24), 0, 0, 0);
    let session =
        Session { opens: at(opens), closes: at(closes), slot_minutes: 60, last_entry: at(closes - 1), capacity: 20, quotas: Default::default() };
    let route = Route {
        id: RouteId(1),
        code: "main".parse().unwrap(),
        name: Text::new("Percorso", "Route"),
        week: std::array::from_fn(|_| vec![session.clone()]),
        exceptions: Vec::new(),
        policy: Policy::default(),
    };
    OpeningPlan { routes: vec![route] }
}

fn tariff() -> Tariff {
    Tariff::state_museum(Cents::new(800))
}

fn asked(key: u128) -> Envelope {
    Envelope { who: KeyId(1), key: Digest(key), body: Digest(key + 1), parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() }
}

/// Gives commands in order at the same moment; each must be accepted.
fn given(commands: &[Command]) -> (Museum, Vec<Record<Event>>) {
    let (mut museum, mut records) = (Museum::new(ID), Vec::new());
    for (key, command) in commands.iter().enumerate() {
        let events = museum.decide(now(), command).unwrap();
        let record = museum.record(now(), Some(asked(key as u128)), events);
        museum.apply(&record);
        assert_eq!(museum.recount(), Ok(()));
        records.push(record);
    }
    (museum, records)
}

fn register() -> Command {
    Command::Register { profile: profile() }
}

fn set_plan(valid_from: Date, plan: OpeningPlan) -> Command {
    Command::SetPlan { valid_from, plan }
}

fn set_group_policy(valid_from: Date, group_max: u16) -> Command {
    Command::SetGroupPolicy { valid_from, policy: Box::new(GroupPolicy { group_max, ..GroupPolicy::default() }) }
}

fn set_ceiling(valid_from: Date, ceiling: Option<u32>) -> Command {
    Command::SetCeiling { valid_from, ceiling }
}

#[test]
fn who_changes_what_he_has_read_is_told_when_somebody_was_faster() {
    let mut museum = Museum::new(ID);
    let mut ask = |command: &Command| {
        let events = museum.decide(now(), command)?;
        museum.apply(&museum.record(now(), None, events));
        Ok(())
    };
    let set = |ceiling| Command::SetCeiling { valid_from: LATER, ceiling: Some(ceiling) };
    let only_if = |revision, ceiling| Command::OnlyIf { revisions: vec![revision], set: Box::new(set(ceiling)) };
    assert_eq!(ask(&only_if(1, 5)), Err(Refusal::NotRegistered));
    assert_eq!(ask(&Command::Register { profile: profile() }), Ok(()));
    assert_eq!(ask(&only_if(1, 5)), Err(Refusal::PreconditionFailed { revision: 0 }));
    assert_eq!(ask(&set(5)), Ok(()));
    assert_eq!(ask(&only_if(1, 6)), Ok(()));
    assert_eq!(ask(&only_if(1, 7)), Err(Refusal::PreconditionFailed { revision: 2 }));
    let nested = Command::OnlyIf { revisions: vec![2], set: Box::new(only_if(2, 8)) };
    assert_eq!(ask(&nested), Err(Refusal::PreconditionFailed { revision: 0 }));
    for (revisions, expected) in [(vec![], Err(Refusal::PreconditionFailed { revision: 2 })), (vec![7, 2, 1], Ok(()))] {
        assert_eq!(ask(&Command::OnlyIf { revisions, set: Box::new(set(6)) }), expected);
    }
    assert_eq!(museum.ceiling_on(LATER), Some(6));
}

#[test]
fn what_a_museum_refuses() {
    let yesterday = date(2026, 6, 9);
    let past = Refusal::ValidFromPast { today: TODAY };
    let unsound = |change: fn(&mut Profile)| {
        let mut profile = profile();
        change(&mut profile);
        Command::Register { profile }
    };
    let overlap = |day| {
        let (route, day) = ("main".parse().unwrap(), crate::plan::Day::Date(day));
        Refusal::InvalidPlan(PlanError::Overlap { route, day, opens: jiff::civil::time(1, 0, 0, 0) })
    };
    let mut free_for_nobody = tariff();
    free_for_nobody.categories.clear();
    let mut twice = plan(9, 19);
    twice.routes.push(twice.routes[0].clone());
    let set_tariff = |valid_from, tariff| Command::SetTariff { valid_from, tariff };
    let registered = [register()];
    let nightly = [register(), set_plan(TODAY, plan(20, 3))];
    let later = [register(), set_plan(LATER, plan(1, 12))];
    let cases: Vec<(&[Command], Command, Refusal)> = vec![
        (&registered, register(), Refusal::AlreadyRegistered),
        (&[], set_plan(TODAY, plan(9, 19)), Refusal::NotRegistered),
        (&[], set_tariff(TODAY, tariff()), Refusal::NotRegistered),
        (&[], set_ceiling(TODAY, None), Refusal::NotRegistered),
        (&[], call_off(TODAY, None, "strike"), Refusal::NotRegistered),
        (&[], unsound(|p| p.name.clear()), Refusal::InvalidProfile),
        (&[], unsound(|p| p.city = "\u{202e}".to_owned()), Refusal::InvalidProfile),
        (&[], unsound(|p| p.latitude_microdeg = 90_000_001), Refusal::InvalidProfile),
        (&[], unsound(|p| p.longitude_microdeg = i32::MIN), Refusal::InvalidProfile),
        (&[], Command::Correct { profile: profile() }, Refusal::NotRegistered),
        (&registered, Command::Correct { profile: Profile { name: String::new(), ..profile() } }, Refusal::InvalidProfile),
        (&registered, Command::Correct { profile: Profile { slug: "other".parse().unwrap(), ..profile() } }, Refusal::InvalidProfile),
        (&registered, set_plan(yesterday, twice.clone()), past.clone()),
        (&registered, set_tariff(yesterday, tariff()), past.clone()),
        (&registered, set_ceiling(yesterday, None), past.clone()),
        (&registered, set_group_policy(yesterday, 25), past),
        (&[], set_group_policy(TODAY, 25), Refusal::NotRegistered),
        (&registered, set_group_policy(TODAY, 0), Refusal::InvalidGroupPolicy(PolicyError::Sizes)),
        (&registered, set_plan(TODAY, twice), Refusal::InvalidPlan(PlanError::RouteTwice { route: "main".parse().unwrap() })),
        (&registered, set_tariff(TODAY, free_for_nobody), Refusal::InvalidTariff(TariffError::Categories { count: 0 })),
        (&registered, set_ceiling(TODAY, Some(0)), Refusal::InvalidCeiling),
        (&registered, set_ceiling(TODAY, Some(CEILING_MAX + 1)), Refusal::InvalidCeiling),
        // The night of the plan before reaches into the new one, and the new one's night into the plan after.
        (&nightly, set_plan(LATER, plan(1, 12)), overlap(LATER)),
        (&later, set_plan(TODAY, plan(20, 3)), overlap(LATER)),
    ];
    for (given_before, command, expected) in cases {
        let (museum, _) = given(given_before);
        assert_eq!(museum.decide(now(), &command), Err(expected.clone()), "{} {command:?}", expected.code());
    }
}

#[test]
fn codes_are_stable() {
    let cases = [
        (Refusal::AlreadyRegistered, "already_registered"),
        (Refusal::NotRegistered, "not_registered"),
        (Refusal::InvalidProfile, "invalid_profile"),
        (Refusal::ValidFromPast { today: TODAY }, "valid_from_past"),
        (Refusal::TooManyVersions, "too_many_versions"),
        (Refusal::InvalidPlan(PlanError::TooManyRoutes { count: 17 }), "invalid_plan"),
        (Refusal::InvalidTariff(TariffError::BookingFee), "invalid_tariff"),
        (Refusal::InvalidCeiling, "invalid_ceiling"),
        (Refusal::InvalidGroupPolicy(PolicyError::Fee), "invalid_group_policy"),
        (Refusal::TooManyDays, "too_many_days"),
        (Refusal::DayOver { today: TODAY }, "day_over"),
    ];
    for (refusal, code) in cases {
        assert_eq!(refusal.code(), code);
    }
}

#[test]
fn what_happens_is_what_was_asked() {
    let cases = [
        (vec![], register(), Event::Registered(Registered { profile: profile() })),
        (
            vec![register()],
            Command::Correct { profile: Profile { region: "Lazio".to_owned(), patron: None, ..profile() } },
            Event::Corrected(Corrected { profile: Profile { region: "Lazio".to_owned(), patron: None, ..profile() } }),
        ),
        (vec![register()], set_plan(TODAY, plan(9, 19)), Event::PlanSet(PlanSet { revision: 1, valid_from: TODAY, plan: plan(9, 19) })),
        (
            vec![register()],
            Command::SetTariff { valid_from: TODAY, tariff: tariff() },
            Event::TariffSet(TariffSet { revision: 1, valid_from: TODAY, tariff: tariff() }),
        ),
        (
            vec![register(), set_ceiling(TODAY, None)],
            set_ceiling(TODAY, Some(300)),
            Event::CeilingSet(CeilingSet { revision: 2, valid_from: TODAY, ceiling: Some(300) }),
        ),
    ];
    for (before, command, expected) in cases {
        assert_eq!(given(&before).0.decide(now(), &command), Ok(vec![expected]), "{command:?}");
    }
}

#[test]
fn the_latest_day_up_to_the_date_is_in_force() {
    let autumn = date(2026, 9, 1);
    let (museum, _) = given(&[
        register(),
        set_plan(TODAY, plan(9, 19)),
        set_plan(autumn, plan(10, 17)),
        set_plan(LATER, plan(9, 22)),
        set_plan(TODAY, plan(9, 20)),
        Command::SetTariff { valid_from: LATER, tariff: tariff() },
    ]);
    let cases = [("2026-06-09", None), ("2026-06-10", Some(4)), ("2026-06-30", Some(4)), ("2026-07-01", Some(3)), ("2026-09-01", Some(2))];
    for (day, expected) in cases {
        assert_eq!(museum.plan_on(day.parse().unwrap()).map(|(revision, _)| revision), expected, "{day}");
    }
    assert_eq!(museum.tariff_on(TODAY), None);
    assert_eq!(museum.tariff_on(autumn), Some((1, &tariff())));
    let (museum, _) = given(&[register(), set_group_policy(LATER, 20), set_group_policy(autumn, 16)]);
    let groups = |date| (museum.group_policy_on(date).0, museum.group_policy_on(date).1.group_max, museum.group_policy_since(date));
    assert_eq!([TODAY, LATER, autumn].map(groups), [(0, 25, None), (1, 20, Some(LATER)), (2, 16, Some(autumn))]);
}

#[test]
fn slots_are_those_of_the_plan_and_the_ceiling_in_force() {
    let (museum, _) = given(&[
        register(),
        set_plan(TODAY, plan(21, 2)),
        set_plan(LATER, plan(2, 4)),
        set_ceiling(TODAY, Some(100)),
        set_ceiling(LATER, Some(80)),
        set_ceiling(date(2026, 7, 2), None),
    ]);
    let planned = museum.openings(date(2026, 6, 30), date(2026, 7, 2));
    let seen: Vec<String> = planned
        .iter()
        .map(|slot| format!("{} r{} {:?}", calendar::local(slot.slot.start()).strftime("%d %H"), slot.revision, slot.policy.ceiling))
        .collect();
    let expected = [
        "30 21 r1 Some(100)",
        "30 22 r1 Some(100)",
        "30 23 r1 Some(100)",
        "01 00 r1 Some(80)",
        "01 01 r1 Some(80)",
        "01 02 r2 Some(80)",
        "01 03 r2 Some(80)",
        "02 02 r2 None",
        "02 03 r2 None",
    ];
    assert_eq!(seen, expected);
    for slot in &planned {
        assert_eq!(museum.opening(slot.slot).as_ref(), Some(slot));
    }
    // At midnight of 2 July the first plan would have a slot, but it ended; and ids of nowhere find nothing.
    for slot in [SlotId::new(ID, RouteId(1), "2026-07-01T22:00:00Z".parse().unwrap()), SlotId::from_raw(0), SlotId::from_raw(u64::MAX)] {
        assert_eq!(museum.opening(slot), None);
    }
    assert_eq!(museum.openings(LATER, TODAY), []);
    assert_eq!(Museum::new(ID).openings(Date::MAX, Date::MAX), []);
}

#[test]
fn few_versions_wait_for_their_day() {
    let ahead = |days: i32| TODAY.saturating_add(jiff::Span::new().days(days));
    let (mut museum, _) = given(&[register()]);
    for days in 0..=VERSIONS_AHEAD_MAX as i32 {
        let events = museum.decide(now(), &set_ceiling(ahead(days), None)).unwrap();
        museum.apply(&museum.record(now(), None, events));
    }
    assert_eq!(museum.decide(now(), &set_ceiling(ahead(401), None)), Err(Refusal::TooManyVersions));
    assert!(museum.decide(now(), &set_ceiling(ahead(7), Some(5))).is_ok());
    assert!(museum.decide(now().plus_seconds(DAY_S), &set_ceiling(ahead(401), None)).is_ok());
}

#[test]
fn a_command_is_recalled_and_time_does_not_go_back() {
    let (mut museum, _) = given(&[register(), set_ceiling(TODAY, Some(10))]);
    let other_body = Envelope { body: Digest(99), ..asked(1) };
    let cases = [(asked(0), Recall::Done { seq: 1 }), (asked(1), Recall::Done { seq: 2 }), (asked(2), Recall::New), (other_body, Recall::OtherBody)];
    for (envelope, expected) in cases {
        assert_eq!(museum.recall(&envelope), expected);
    }
    let record = museum.record(Timestamp::MIN, None, Vec::new());
    assert_eq!((record.seq, record.at), (3, now()));
    museum.apply(&museum.record(now().plus_seconds(2 * DAY_S), Some(asked(5)), Vec::new()));
    assert_eq!(museum.recall(&asked(0)), Recall::New);
    let expected = Refusal::ValidFromPast { today: date(2026, 6, 12) };
    assert_eq!(museum.decide(now(), &set_ceiling(TODAY, None)), Err(expected));
}

#[test]
fn a_broken_state_is_told() {
    let set = |valid_from, revision, plan| Event::PlanSet(PlanSet { revision, valid_from, plan });
    let registered = Event::Registered(Registered { profile: profile() });
    let policy = |group_max| GroupPolicy { group_max, ..GroupPolicy::default() };
    let groups = |group_max| Event::GroupPolicySet(GroupPolicySet { revision: 1, valid_from: TODAY, policy: policy(group_max) });
    let mut unsound = plan(9, 19);
    unsound.routes[0].policy.party_max = 0;
    let cases = [
        (vec![set(TODAY, 1, plan(9, 19))], "MU-1"),
        (vec![registered.clone(), set(TODAY, 1, plan(9, 19)), set(LATER, 1, plan(9, 19))], "MU-2"),
        (vec![registered.clone(), set(TODAY, 1, plan(20, 3)), set(LATER, 2, plan(1, 12))], "MU-3"),
        (vec![registered.clone(), set(TODAY, 1, unsound)], "MU-3"),
        (vec![groups(25)], "MU-1"),
        (vec![registered, groups(0)], "MU-3"),
    ];
    for (events, expected) in cases {
        let mut museum = Museum::new(ID);
        museum.apply(&museum.record(now(), None, events));
        assert_eq!(museum.recount().map_err(|broken| broken.invariant), Err(expected));
    }
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    let day = (0_i32..6).prop_map(|days| TODAY.saturating_add(jiff::Span::new().days(days)));
    let command = prop_oneof![
        1 => Just(register()),
        1 => prop::sample::select(vec!["Lazio", "Liguria"])
            .prop_map(|region| Command::Correct { profile: Profile { region: region.to_owned(), ..profile() } }),
        6 => (day.clone(), 0_i8..24, 1_i8..24).prop_map(|(day, opens, hours)| set_plan(day, plan(opens, opens + hours))),
        1 => (day.clone(), 0_i64..2_000).prop_map(|(valid_from, full)| Command::SetTariff { valid_from, tariff: Tariff::state_museum(Cents::new(full)) }),
        2 => (day.clone(), prop::option::of(0_u32..3)).prop_map(|(day, ceiling)| set_ceiling(day, ceiling)),
        1 => (day.clone(), 8_u16..30).prop_map(|(day, group_max)| set_group_policy(day, group_max)),
        1 => (day.clone(), prop::option::of(0_i64..6 * DAY_S)).prop_map(|(day, from)| call_off(day, from.map(|s| now().plus_seconds(s)), "strike")),
        1 => day.prop_map(|day| take_up(day, "strike")),
        1 => (1_u64..8).prop_map(|seq| Command::DayHeard { seq }),
    ];
    prop::collection::vec(command, 0..12)
}

/// MU-5: of each name there is one waiting room, its numbers only grow, and those that have closed make room.
#[test]
fn waiting_rooms_are_announced_counted_and_withdrawn() {
    let room = |code: &str, opens_s: i64| Room {
        code: code.parse().unwrap(),
        route: None,
        slots_from: now(),
        slots_to: now().plus_seconds(1_000_000),
        opens_at: now().plus_seconds(opens_s),
        closes_at: now().plus_seconds(opens_s + 100),
        per_minute: 10,
        seed: [1; 32],
        signing: [2; 32],
    };
    let announce = |code: &str| Command::AnnounceRoom { room: Box::new(room(code, 60)) };
    let on_route = |code: &str, route| Command::AnnounceRoom { room: Box::new(Room { route: Some(RouteId(route)), ..room(code, 60) }) };
    let code: Code = "spring".parse().unwrap();
    let count = |early, late| Command::CountRoom { code, signing: [2; 32], numbers: Numbers { early, late } };
    let (mut museum, mut records) = given(&[Command::Register { profile: profile() }, announce("spring"), count(5, 9), count(3, 10)]);
    assert_eq!(museum.room(code).map(|known| known.numbers), Some(Numbers { early: 5, late: 10 }));
    assert_eq!(museum.decide(now(), &announce("spring")), Err(Refusal::RoomExists));
    let past = Command::AnnounceRoom { room: Box::new(room("x", 0)) };
    assert_eq!(museum.decide(now(), &past), Err(Refusal::InvalidRoom(RoomError::OpensInThePast)));
    let other = Command::WithdrawRoom { code: "autumn".parse().unwrap() };
    assert_eq!(museum.decide(now(), &other), Err(Refusal::UnknownRoom));
    // For the same slots there is one: whoever a second lets through the first would keep out, whenever each opens.
    let overlap = Err(Refusal::RoomOverlaps { room: code });
    assert_eq!((museum.decide(now(), &announce("second")), museum.decide(now(), &on_route("of-a-route", 1))), (overlap.clone(), overlap.clone()));
    let ends_later = Room { opens_at: now().plus_seconds(5_000), closes_at: now().plus_seconds(6_000), ..room("later", 60) };
    assert_eq!(museum.decide(now(), &Command::AnnounceRoom { room: Box::new(ends_later.clone()) }), overlap);
    assert!(museum.decide(now().plus_seconds(160), &Command::AnnounceRoom { room: Box::new(ends_later) }).is_ok(), "the first has closed");
    let events = museum.decide(now(), &Command::WithdrawRoom { code }).unwrap();
    let record = museum.record(now(), None, events);
    museum.apply(&record);
    records.push(record);
    for i in 0..16 {
        let events = museum.decide(now(), &on_route(&format!("room-{i}"), i)).unwrap();
        let record = museum.record(now(), None, events);
        museum.apply(&record);
        museum.check().unwrap();
        records.push(record);
    }
    assert_eq!(museum.decide(now(), &announce("one-more")), Err(Refusal::TooManyRooms));
    let later = now().plus_seconds(1_000);
    let again = Command::AnnounceRoom { room: Box::new(room("spring", 2_000)) };
    let record = museum.record(later, None, museum.decide(later, &again).unwrap());
    museum.apply(&record);
    records.push(record);
    assert_eq!((museum.rooms().len(), museum.room(code).map(|known| known.numbers)), (1, Some(Numbers::default())));
    museum.recount().unwrap();
    assert_eq!(Museum::replay(ID, &records), museum);
}

/// A count that was on its way when a room was withdrawn is none of the room that was announced again under its name.
#[test]
fn a_room_that_is_announced_again_takes_no_count_of_the_one_before() {
    let room = |signing: u8| Room {
        code: "spring".parse().unwrap(),
        route: None,
        slots_from: now(),
        slots_to: now().plus_seconds(1_000_000),
        opens_at: now().plus_seconds(60),
        closes_at: now().plus_seconds(160),
        per_minute: 10,
        seed: [1; 32],
        signing: [signing; 32],
    };
    let announce = |signing| Command::AnnounceRoom { room: Box::new(room(signing)) };
    let code = room(1).code;
    let count = |signing: u8, early| Command::CountRoom { code, signing: [signing; 32], numbers: Numbers { early, late: 0 } };
    let again = [Command::Register { profile: profile() }, announce(1), count(1, 500), Command::WithdrawRoom { code }, announce(2)];
    let (museum, _) = given(&again);
    assert_eq!(museum.decide(now(), &count(1, 600)), Err(Refusal::UnknownRoom));
    assert_eq!(museum.room(code).map(|known| known.numbers), Some(Numbers::default()), "nobody has come to the second one");
    let own = Event::RoomCounted(RoomCounted { code, numbers: Numbers { early: 3, late: 0 } });
    assert_eq!(museum.decide(now(), &count(2, 3)), Ok(vec![own]));
}

fn call_off(date: Date, from: Option<Timestamp>, reason: &str) -> Command {
    Command::SayOfDay { word: DayWord::Off(DayCalledOff { date, from, reason: reason.parse().unwrap() }) }
}

fn take_up(date: Date, reason: &str) -> Command {
    Command::SayOfDay { word: DayWord::On(DayTakenUp { date, reason: reason.parse().unwrap() }) }
}

/// MU-4: a day that is called off closes what nobody has written to, as the first says who called it off, until it is taken up again; and what is said of it is told until all have heard.
#[test]
fn a_day_is_called_off_and_taken_up_again() {
    let [strike, flood]: [Code; 2] = ["strike", "flood"].map(|reason| reason.parse().unwrap());
    let noon = calendar::instant(LATER.at(12, 0, 0, 0));
    let (mut museum, mut records) =
        given(&[register(), set_plan(TODAY, plan(9, 19)), call_off(LATER, Some(noon), "strike"), call_off(LATER, None, "flood")]);
    let closed = |museum: &Museum| {
        let slots = museum.openings(LATER, LATER.tomorrow().unwrap());
        let reasons = slots.iter().map(|opening| museum.planned(opening.slot).unwrap().places().closed).collect::<Vec<_>>();
        (reasons[2], reasons[3], reasons[9], reasons[10])
    };
    assert_eq!(closed(&museum), (Some(flood), Some(strike), Some(strike), None), "from noon on for the strike; the day after takes place");
    assert_eq!(museum.unheard().iter().map(|unheard| (unheard.seq, unheard.who)).collect::<Vec<_>>(), [(3, KeyId(1)), (4, KeyId(1))]);
    let mut ask = |museum: &mut Museum, at: Timestamp, command: &Command| {
        let record = museum.record(at, None, museum.decide(at, command).unwrap());
        museum.apply(&record);
        assert_eq!(museum.recount(), Ok(()));
        records.push(record);
    };
    ask(&mut museum, now(), &Command::DayHeard { seq: 3 });
    ask(&mut museum, now(), &take_up(LATER, "flood"));
    assert_eq!(closed(&museum), (None, Some(strike), Some(strike), None));
    assert_eq!(museum.unheard().iter().map(|unheard| unheard.seq).collect::<Vec<_>>(), [4, 6]);
    let afternoon = noon.plus_seconds(2 * 3_600);
    assert!(museum.is_called_off_for(afternoon, strike) && !museum.is_called_off_for(afternoon, flood) && !museum.is_called_off_for(now(), strike));
    ask(&mut museum, now(), &call_off(LATER, Some(noon), "strike"));
    ask(&mut museum, now(), &take_up(LATER, "strike"));
    assert_eq!(closed(&museum), (None, None, None, None), "what was said twice is taken back at once");
    assert_eq!(museum.decide(now(), &set_plan(LATER, plan(1, 12))).map(|events| events.len()), Ok(1), "the rest goes on as before");
    // Of a day that is over nothing is kept but what is left to be told.
    ask(&mut museum, now(), &call_off(LATER, None, "strike"));
    let after = noon.plus_seconds(2 * DAY_S);
    let over = Refusal::DayOver { today: calendar::local_day(after) };
    assert_eq!(museum.decide(after, &call_off(LATER, None, "flood")), Err(over), "a year may be mistyped");
    ask(&mut museum, after, &call_off(calendar::local_day(after), None, "flood"));
    assert_eq!((closed(&museum), museum.unheard().len()), ((None, None, None, None), 6));
    assert_eq!(Museum::replay(ID, &records), museum);
}

#[test]
fn so_many_days_are_called_off_and_no_more() {
    let ahead = |days: usize| TODAY.saturating_add(jiff::Span::new().days(days as i64));
    let (mut museum, _) = given(&[register()]);
    for days in 0..DAYS_OFF_MAX {
        let events = museum.decide(now(), &call_off(ahead(days), None, "works")).unwrap();
        museum.apply(&museum.record(now(), None, events));
    }
    assert_eq!(museum.decide(now(), &call_off(ahead(DAYS_OFF_MAX), None, "works")), Err(Refusal::TooManyDays));
    assert!(museum.decide(now(), &call_off(ahead(7), None, "works")).is_ok(), "one that is called off already may be again");
    assert!(museum.decide(now().plus_seconds(2 * DAY_S), &call_off(ahead(DAYS_OFF_MAX), None, "works")).is_ok(), "some are over");
}

proptest! {
    /// MU-1 to MU-4 whatever is asked; and every planned slot has one id, by which it is found.
    #[test]
    fn invariants_hold_whatever_is_asked(commands in commands()) {
        let (mut museum, mut records) = (Museum::new(ID), Vec::new());
        for (key, command) in [register()].iter().chain(&commands).enumerate() {
            let Ok(events) = museum.decide(now(), command) else { continue };
            let record = museum.record(now(), Some(asked(key as u128)), events);
            museum.apply(&record);
            prop_assert_eq!(museum.recount(), Ok(()));
            records.push(record);
        }
        let bytes = postcard::to_allocvec(&museum).unwrap();
        prop_assert_eq!(&postcard::to_allocvec(&Museum::replay(ID, &records)).unwrap(), &bytes);
        for record in &records {
            let bytes = postcard::to_allocvec(record).unwrap();
            prop_assert_eq!(&postcard::from_bytes::<Record<Event>>(&bytes).unwrap(), record);
        }
        let planned = museum.openings(TODAY, TODAY.saturating_add(jiff::Span::new().days(8)));
        prop_assert_eq!(planned.iter().map(|slot| slot.slot).collect::<BTreeSet<_>>().len(), planned.len());
        for pair in planned.windows(2) {
            prop_assert!(pair[0].end <= pair[1].slot.start());
        }
        for slot in &planned {
            let found = museum.opening(slot.slot);
            prop_assert_eq!(found.as_ref(), Some(slot));
        }
    }
}
