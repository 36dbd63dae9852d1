//! Which slots follow from a plan, through nights and changes of the clock, and what is said of a plan that is wrong. Below, plans at random.

use std::collections::BTreeSet;

use super::*;
use jiff::civil::{date, time};
use proptest::prelude::*;

const MUSEUM: MuseumId = MuseumId(7);

fn session(opens: &str, closes: &str, slot_minutes: u16, last_entry: &str) -> Session {
    let [opens, closes, last_entry] = [opens, closes, last_entry].map(|time| time.parse().unwrap());
    Session { opens, closes, slot_minutes, last_entry, capacity: 50, quotas: Default::default() }
}

fn every_day(sessions: Vec<Session>) -> OpeningPlan {
    let route = Route {
        id: RouteId(1),
        code: "main".parse().unwrap(),
        name: Text::new("Percorso", "Route"),
        week: std::array::from_fn(|_| sessions.clone()),
        exceptions: Vec::new(),
        policy: Policy::default(),
    };
    OpeningPlan { routes: vec![route] }
}

fn exception(date: Date, sessions: Vec<Session>) -> Exception {
    Exception { date, sessions, reason: "Chiusura".to_owned() }
}

fn slots(plan: &OpeningPlan, date: &str) -> String {
    let minute = |at: Timestamp| calendar::local(at).strftime("%H:%M").to_string();
    let slots = plan.slots(MUSEUM, 3, date.parse().unwrap());
    slots.iter().map(|slot| format!("{}-{}", minute(slot.slot.start()), minute(slot.end))).collect::<Vec<_>>().join(" ")
}

fn open_minutes(plan: &OpeningPlan, date: Date) -> i64 {
    plan.slots(MUSEUM, 3, date).iter().map(|slot| slot.end.micros_since(slot.slot.start()) / MICROS_PER_MINUTE).sum()
}

#[test]
fn slots_follow_from_the_session() {
    let cases = [
        (session("09:00", "11:00", 30, "10:30"), "2026-06-10", "09:00-09:30 09:30-10:00 10:00-10:30 10:30-11:00"),
        (session("09:00", "11:00", 45, "10:29"), "2026-06-10", "09:00-09:45 09:45-10:30"),
        (session("09:00", "11:00", 45, "11:00"), "2026-06-10", "09:00-09:45 09:45-10:30 10:30-11:00"),
        (session("09:00", "11:00", 1440, "09:00"), "2026-06-10", "09:00-11:00"),
        (session("22:00", "01:00", 60, "00:00"), "2026-06-10", "22:00-23:00 23:00-00:00 00:00-01:00"),
        (session("22:00", "01:00", 60, "23:59"), "2026-06-10", "22:00-23:00 23:00-00:00"),
        (session("00:00", "00:00", 720, "23:00"), "2026-06-10", "00:00-12:00 12:00-00:00"),
        (session("00:00", "00:00", 720, "00:00"), "2026-06-10", "00:00-12:00"),
        // The clocks leap from 02:00 to 03:00: real time goes on, an opening in the gap waits for its end.
        (session("01:00", "05:00", 60, "04:00"), "2026-03-29", "01:00-03:00 03:00-04:00 04:00-05:00"),
        (session("02:30", "04:00", 30, "03:30"), "2026-03-29", "03:00-03:30 03:30-04:00"),
        (session("02:00", "03:00", 30, "02:30"), "2026-03-29", ""),
        (session("22:00", "04:00", 120, "03:00"), "2026-03-28", "22:00-00:00 00:00-03:00 03:00-04:00"),
        // They fall from 03:00 to 02:00: what opens at 02:00 opens the first time, and the hour comes again.
        (session("02:00", "04:00", 60, "03:00"), "2026-10-25", "02:00-02:00 02:00-03:00 03:00-04:00"),
        (session("01:00", "02:30", 60, "02:00"), "2026-10-25", "01:00-02:00 02:00-02:30"),
        (session("23:00", "03:00", 60, "02:00"), "2026-10-24", "23:00-00:00 00:00-01:00 01:00-02:00 02:00-02:00"),
    ];
    for (session, date, expected) in cases {
        assert_eq!(slots(&every_day(vec![session.clone()]), date), expected, "{session:?} on {date}");
    }
}

#[test]
fn a_day_of_the_clock_change_has_its_true_length() {
    let all_day = every_day(vec![session("00:00", "00:00", 60, "23:59")]);
    let night = every_day(vec![session("20:00", "09:00", 60, "08:00")]);
    for (day, all_day_hours, night_hours) in [("2026-03-28", 24, 12), ("2026-03-29", 23, 13), ("2026-10-24", 24, 14), ("2026-10-25", 25, 13)] {
        let day = day.parse().unwrap();
        assert_eq!(open_minutes(&all_day, day), all_day_hours * 60, "{day}");
        assert_eq!(open_minutes(&night, day), night_hours * 60, "{day}");
    }
}

#[test]
fn exceptions_replace_the_day_and_closing_is_one() {
    let mut plan = every_day(vec![session("09:00", "10:00", 60, "09:00")]);
    plan.routes[0].week[0].clear();
    plan.routes[0].exceptions =
        vec![exception(date(2026, 12, 25), vec![]), exception(date(2026, 6, 15), vec![session("20:00", "21:00", 60, "20:00")])];
    assert_eq!(plan.validate(), Ok(()));
    for (day, expected) in [("2026-12-24", "09:00-10:00"), ("2026-12-25", ""), ("2026-06-08", ""), ("2026-06-15", "20:00-21:00")] {
        assert_eq!(slots(&plan, day), expected, "{day}");
    }
}

#[test]
fn a_slot_carries_what_was_planned() {
    let mut plan = every_day(vec![session("22:00", "01:00", 60, "00:00")]);
    plan.routes[0].week[2][0].quotas[Channel::Group.index()] = Quota { reserved: 10, limit: Some(20), release_s: 86_400 };
    plan.routes[0].policy.party_max = 6;
    let planned = plan.slots(MUSEUM, 3, date(2026, 6, 10));
    let midnight = &planned[2];
    assert_eq!(midnight.slot.start().to_string(), "2026-06-10T22:00:00Z");
    assert_eq!((midnight.revision, midnight.capacity, midnight.quotas[3].reserved, midnight.policy.party_max), (3, 50, 10, 6));
    assert_eq!(plan.find(MUSEUM, 3, midnight.slot).as_ref(), Some(midnight));
    assert_eq!(plan.find_on(MUSEUM, 3, midnight.slot, date(2026, 6, 11)), None);
    for other in [
        SlotId::new(MuseumId(8), RouteId(1), midnight.slot.start()),
        SlotId::new(MUSEUM, RouteId(2), midnight.slot.start()),
        SlotId::new(MUSEUM, RouteId(1), midnight.slot.start().plus_seconds(60)),
        SlotId::new(MUSEUM, RouteId(1), midnight.slot.start().plus_seconds(3_600)),
        SlotId::from_raw(0),
        SlotId::from_raw(u64::MAX),
    ] {
        assert_eq!(plan.find(MUSEUM, 3, other), None, "{other}");
    }
}

#[test]
fn no_date_makes_a_plan_panic() {
    let plan = every_day(vec![session("20:00", "19:00", 5, "18:00")]);
    for day in [Date::MIN, date(1969, 12, 31), date(1970, 1, 1), Date::MAX] {
        let planned = plan.slots(MUSEUM, 1, day);
        assert!(planned.iter().all(|slot| plan.find(MUSEUM, 1, slot.slot).as_ref() == Some(slot)), "{day}");
    }
    assert_eq!(plan.slots(MUSEUM, 1, date(1960, 1, 1)), []);
    // Unvalidated nonsense is empty, not endless.
    assert_eq!(every_day(vec![session("09:00", "10:00", 0, "09:30")]).slots(MUSEUM, 1, date(2026, 1, 1)), []);
}

#[test]
fn what_is_wrong_with_a_plan_is_told() {
    let good = || session("09:00", "19:00", 30, "18:00");
    let code: Code = "main".parse().unwrap();
    let monday = Day::Week(0);
    let in_session = |fault| PlanError::BadSession { route: code, day: monday, opens: time(9, 0, 0, 0), fault };
    let in_policy = |fault| PlanError::BadPolicy { route: code, fault };
    let christmas = date(2026, 12, 25);
    type Change = fn(&mut Route);
    let cases: [(Change, PlanError); 29] = [
        (|r| r.name.en.clear(), PlanError::BadName { route: code }),
        (|r| r.policy.refund.part_percent = 101, in_policy(PolicyFault::RefundPercent)),
        (|r| r.policy.refund.part_until_s = u32::MAX, in_policy(PolicyFault::RefundOrder)),
        (|r| r.policy.party_max = 0, in_policy(PolicyFault::PartyMax)),
        (|r| r.policy.hold_ttl_s = 0, in_policy(PolicyFault::HoldTtl)),
        (|r| r.policy.sale_opens_s = 0, in_policy(PolicyFault::SaleTimes)),
        (|r| r.policy.ceiling = Some(5), in_policy(PolicyFault::Ceiling)),
        (|r| r.policy.limits.day_max = Some(0), in_policy(PolicyFault::BuyerLimits)),
        (|r| r.policy.limits.rest_max_s = 3_601, in_policy(PolicyFault::Rest)),
        (
            |r| r.week[0][0].opens = time(9, 0, 1, 0),
            PlanError::BadSession { route: code, day: monday, opens: time(9, 0, 1, 0), fault: SessionFault::NotWholeMinutes },
        ),
        (|r| r.week[0][0].closes = time(19, 0, 0, 1), in_session(SessionFault::NotWholeMinutes)),
        (|r| r.week[0][0].slot_minutes = 4, in_session(SessionFault::SlotMinutes)),
        (|r| r.week[0][0].slot_minutes = 1_441, in_session(SessionFault::SlotMinutes)),
        (|r| r.week[0][0].capacity = 0, in_session(SessionFault::Capacity)),
        (|r| r.week[0][0].capacity = 100_001, in_session(SessionFault::Capacity)),
        (|r| r.week[0][0].last_entry = time(8, 59, 0, 0), in_session(SessionFault::LastEntry)),
        (|r| r.week[0][0].last_entry = time(19, 1, 0, 0), in_session(SessionFault::LastEntry)),
        (|r| r.week[0][0].quotas = [Quota { reserved: u32::MAX, ..Quota::default() }; 5], in_session(SessionFault::Reserved)),
        (|r| r.week[0][0].quotas = [Quota { reserved: 11, ..Quota::default() }; 5], in_session(SessionFault::Reserved)),
        (
            |r| r.week[0][0].quotas[1] = Quota { reserved: 5, limit: Some(4), release_s: 0 },
            in_session(SessionFault::Limit { channel: Channel::Kiosk }),
        ),
        (
            |r| {
                let again = r.week[0][0].clone();
                r.week[0].push(again);
            },
            PlanError::Overlap { route: code, day: monday, opens: time(9, 0, 0, 0) },
        ),
        (|r| r.week[0].push(session("18:59", "20:00", 30, "19:00")), PlanError::Overlap { route: code, day: monday, opens: time(18, 59, 0, 0) }),
        // Sunday night is still open on Monday morning.
        (|r| r.week[6].push(session("20:00", "09:01", 30, "08:00")), PlanError::Overlap { route: code, day: monday, opens: time(9, 0, 0, 0) }),
        // So is the night of an exception on the day after it, and an ordinary night in the morning of an exception.
        (
            |r| r.exceptions.push(exception(date(2026, 12, 25), vec![session("20:00", "10:00", 30, "08:00")])),
            PlanError::Overlap { route: code, day: Day::Date(date(2026, 12, 26)), opens: time(9, 0, 0, 0) },
        ),
        (
            |r| {
                r.week = std::array::from_fn(|_| vec![session("20:00", "02:00", 30, "01:00")]);
                r.exceptions.push(exception(date(2026, 12, 25), vec![session("01:00", "03:00", 30, "01:00")]));
            },
            PlanError::Overlap { route: code, day: Day::Date(christmas), opens: time(1, 0, 0, 0) },
        ),
        (
            |r| r.exceptions = vec![exception(date(2026, 12, 25), vec![]), exception(date(2026, 12, 25), vec![])],
            PlanError::ExceptionTwice { route: code, date: christmas },
        ),
        (
            |r| r.exceptions.push(Exception { date: date(2026, 12, 25), sessions: vec![], reason: "\n".to_owned() }),
            PlanError::BadReason { route: code, date: christmas },
        ),
        (
            |r| r.exceptions = (0..1_001).map(|_| exception(date(2026, 1, 1), vec![])).collect(),
            PlanError::TooManyExceptions { route: code, count: 1_001 },
        ),
        (|r| r.week[0] = vec![session("09:00", "09:30", 30, "09:00"); 25], PlanError::TooManySessions { route: code, day: monday, count: 25 }),
    ];
    assert_eq!(every_day(vec![good()]).validate(), Ok(()));
    for (change, expected) in cases {
        let mut plan = every_day(vec![good()]);
        change(&mut plan.routes[0]);
        assert_eq!(plan.validate(), Err(expected.clone()), "{expected}");
    }
    let mut plan = every_day(vec![good()]);
    plan.routes.push(plan.routes[0].clone());
    assert_eq!(plan.validate(), Err(PlanError::RouteTwice { route: code }));
    plan.routes[1].id = RouteId(2);
    assert_eq!(plan.validate(), Err(PlanError::RouteTwice { route: code }));
    plan.routes[1].code = "other".parse().unwrap();
    assert_eq!(plan.validate(), Ok(()));
    plan.routes = vec![plan.routes[0].clone(); 17];
    assert_eq!(plan.validate(), Err(PlanError::TooManyRoutes { count: 17 }));
}

#[test]
fn a_plan_follows_another_only_once_its_night_is_over() {
    let night = every_day(vec![session("20:00", "02:00", 60, "01:00")]);
    let (early, late) = (every_day(vec![session("01:00", "03:00", 60, "02:00")]), every_day(vec![session("02:00", "03:00", 60, "02:00")]));
    let day = date(2026, 6, 1);
    assert!(matches!(early.may_follow(&night, day), Err(PlanError::Overlap { .. })));
    assert_eq!(late.may_follow(&night, day), Ok(()));
    assert_eq!(early.may_follow(&OpeningPlan::default(), day), Ok(()));
}

/// Sessions of one day, none overlapping: cut points of a day that may run into the next one by less than the first opening.
fn sessions() -> impl Strategy<Value = Vec<Session>> {
    let one = (5_u16..=240, 0_u32..=100, 1_u32..500);
    (prop::collection::btree_set(0_u32..288, 0..8), prop::collection::vec(one, 4), 0_u32..=100).prop_map(|(cuts, shapes, overnight)| {
        let cuts: Vec<u32> = cuts.into_iter().map(|cut| cut * 5).collect();
        let first = cuts.first().copied().unwrap_or(0);
        let at = |minute: u32| time((minute / 60 % 24) as i8, (minute % 60) as i8, 0, 0);
        let mut sessions = Vec::new();
        for (pair, (slot_minutes, last, capacity)) in cuts.chunks(2).zip(shapes) {
            // A last cut without a partner opens a session over midnight, up to the first opening of the next day.
            let (opens, closes) = (pair[0], pair.get(1).copied().unwrap_or(MINUTES_PER_DAY + first * overnight / 100));
            let last_entry = at(opens + (closes - opens) * last / 101);
            sessions.push(Session { opens: at(opens), closes: at(closes), slot_minutes, last_entry, capacity, quotas: Default::default() });
        }
        sessions
    })
}

fn around_changes() -> impl Strategy<Value = Date> {
    let days = |month, days: std::ops::RangeInclusive<i8>| days.prop_map(move |day| date(2026, month, day));
    prop_oneof![days(3, 27..=30), days(10, 23..=26), (1_i8..=12, 1_i8..=28).prop_map(|(month, day)| date(2027, month, day))]
}

proptest! {
    #[test]
    fn slots_never_overlap_and_are_found_by_their_ids(day in sessions(), other in sessions(), date in around_changes()) {
        let mut plan = every_day(day);
        let mut second = plan.routes[0].clone();
        (second.id, second.code) = (RouteId(2), "second".parse().unwrap());
        second.week = std::array::from_fn(|_| other.clone());
        plan.routes.push(second);
        prop_assert_eq!(plan.validate(), Ok(()));
        let days = [date.yesterday().unwrap(), date, date.tomorrow().unwrap()];
        let all: Vec<Opening> = days.iter().flat_map(|&date| plan.slots(MUSEUM, 9, date)).collect();
        prop_assert_eq!(all.iter().map(|slot| slot.slot).collect::<BTreeSet<_>>().len(), all.len());
        for route in [RouteId(1), RouteId(2)] {
            let on_route: Vec<&Opening> = all.iter().filter(|slot| slot.slot.route() == route).collect();
            for pair in on_route.windows(2) {
                prop_assert!(pair[0].end <= pair[1].slot.start(), "{:?}", pair);
            }
        }
        for slot in &all {
            prop_assert!(slot.slot.start() < slot.end);
            let found = plan.find(MUSEUM, 9, slot.slot);
            prop_assert_eq!(found.as_ref(), Some(slot));
        }
        let bytes = postcard::to_allocvec(&plan).unwrap();
        prop_assert_eq!(postcard::from_bytes::<OpeningPlan>(&bytes).unwrap(), plan);
    }

    /// With entry until closing, slots fill the session's real time: that of the wall, less the hour that is leapt over, plus the one that comes twice.
    #[test]
    fn slots_fill_the_day(mut day in sessions(), change in prop_oneof![Just(date(2026, 3, 29)), Just(date(2026, 10, 25)), Just(date(2026, 6, 1))]) {
        for session in &mut day {
            session.last_entry = if session.closes == session.opens { session.opens } else { session.closes };
        }
        let expected: i64 = day.iter().filter(|session| session.closes != session.opens).map(|session| {
            let shown = |minute: u32| {
                let (day, minute) = if minute < MINUTES_PER_DAY { (change, minute) } else { (change.tomorrow().unwrap(), minute - MINUTES_PER_DAY) };
                let hours = i64::from(minute / 60);
                // Minutes since the change's midnight, first time shown; an independent account of both changes.
                let wall = i64::from(minute) + if day == change { 0 } else { 1_440 };
                let later = day != change || hours >= 3;
                match (change.month(), later) {
                    (3, true) => wall - 60,
                    (3, false) => wall.min(120),
                    (10, true) => wall + 60,
                    _ => wall,
                }
            };
            shown(session.to()) - shown(session.from())
        }).sum();
        day.retain(|session| session.closes != session.opens);
        prop_assert_eq!(open_minutes(&every_day(day), change), expected);
    }

    #[test]
    fn no_plan_makes_anything_panic(times in prop::array::uniform3(0_i8..24), minutes: u16, raw: u64, days in -300_000_i32..300_000) {
        let [opens, closes, last_entry] = times.map(|hour| time(hour, 59, 59, 999_999_999));
        let plan = every_day(vec![Session { opens, closes, slot_minutes: minutes, last_entry, capacity: 0, quotas: Default::default() }]);
        let _ = plan.validate();
        let _ = plan.find(SlotId::from_raw(raw).museum(), 1, SlotId::from_raw(raw));
        let _ = plan.slots(MUSEUM, 1, date(1970, 1, 1).saturating_add(jiff::Span::new().days(days)));
    }
}
