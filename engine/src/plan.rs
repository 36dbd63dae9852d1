//! When a museum is open, route by route: weekly hours in civil time, exceptions by date, and the slots that follow from them.
//!
//! Slots of the plan are computed, never stored: any date gives the same slots again, and an id finds its slot without a list. Civil time becomes instants
//! through [`calendar::instant`] alone; from the opening on, slots follow each other in real time, so that a night in which the clocks change has one hour of
//! slots less or more. A slot that somebody touched is a stream of its own (`slot`) and no later plan changes it. Plans with their dates: `museum`.

use std::fmt;

use jiff::civil::{Date, Time, Weekday};
use serde::{Deserialize, Serialize};

use crate::calendar;
use crate::channel::Channel;
use crate::ids::{Code, MuseumId, RouteId, SlotId};
use crate::slot::{Limits, Opening, Policy, Quota, REST_MAX_S};
use crate::text::{Text, is_line};
use crate::time::{MICROS_PER_S, Timestamp};

/// The most routes of one museum.
pub const ROUTES_MAX: usize = 16;
/// The most sessions of one route on one day.
pub const SESSIONS_MAX: usize = 24;
/// The most exceptions of one route.
pub const EXCEPTIONS_MAX: usize = 1_000;
/// The most places of one slot.
pub const CAPACITY_MAX: u32 = 100_000;

const MINUTES_PER_DAY: u32 = 1_440;
const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_S;

/// When a museum is open, on each of its routes. No route: it is closed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpeningPlan {
    /// The routes, at most [`ROUTES_MAX`].
    pub routes: Vec<Route>,
}

/// One kind of visit with slots of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Its number, part of every slot's id: the same number is the same route in all plans of a museum.
    pub id: RouteId,
    /// Its short name in the API.
    pub code: Code,
    /// Its name for visitors.
    pub name: Text,
    /// The sessions of each day of the week, Monday first; none: closed.
    pub week: [Vec<Session>; 7],
    /// Dates that are not as their day of the week, at most [`EXCEPTIONS_MAX`], in any order.
    #[serde(default)]
    pub exceptions: Vec<Exception>,
    /// How its slots are sold and entered. The building's ceiling is not set here but for the museum.
    pub policy: Policy,
}

/// A date with sessions of its own. Closing days such as 25 December are exceptions without sessions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// The date in Rome on which the sessions open.
    pub date: Date,
    /// They replace those of the day of the week; none: closed. A session that began the evening before still ends as planned.
    pub sessions: Vec<Session>,
    /// Why, for visitors and staff.
    pub reason: String,
}

/// A time of opening without a break. All times are civil times in Rome, in whole minutes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// When it opens.
    pub opens: Time,
    /// When it closes; at or before `opens`: on the next day.
    pub closes: Time,
    /// Length of a slot in minutes, 5 to 1440. The last slot ends at closing, even if it is shorter.
    pub slot_minutes: u16,
    /// The last slot starts at or before this time.
    pub last_entry: Time,
    /// Places of each slot.
    pub capacity: u32,
    /// Each channel's share of a slot, in the order of [`Channel::ALL`].
    #[serde(default)]
    pub quotas: [Quota; Channel::COUNT],
}

/// The day of a plan that an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    /// A day of the week, 0 for Monday to 6 for Sunday.
    Week(u8),
    /// The date of an exception.
    Date(Date),
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
        match self {
            Self::Week(day) => f.write_str(NAMES[usize::from(*day) % 7]),
            Self::Date(date) => date.fmt(f),
        }
    }
}

/// What is wrong with a plan, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum PlanError {
    /// Too many routes.
    #[error("{count} routes: keep at most 16")]
    TooManyRoutes {
        /// How many there are.
        count: usize,
    },
    /// Two routes have one number or one code.
    #[error("route {route}: its number or code is used twice; give each route its own")]
    RouteTwice {
        /// The second one.
        route: Code,
    },
    /// A name that cannot be shown.
    #[error("route {route}: give it a name of 1 to 200 characters in each language, without control characters")]
    BadName {
        /// Where.
        route: Code,
    },
    /// A policy that cannot be followed.
    #[error("route {route}: {fault}")]
    BadPolicy {
        /// Where.
        route: Code,
        /// What is wrong with it.
        fault: PolicyFault,
    },
    /// Too many exceptions.
    #[error("route {route}: {count} exceptions; keep at most 1000, past ones can go")]
    TooManyExceptions {
        /// Where.
        route: Code,
        /// How many there are.
        count: usize,
    },
    /// Two exceptions for one date.
    #[error("route {route}: {date} has two exceptions; put all sessions of the date into one")]
    ExceptionTwice {
        /// Where.
        route: Code,
        /// The date.
        date: Date,
    },
    /// A reason that cannot be shown.
    #[error("route {route}, {date}: give the exception a reason of 1 to 200 characters, without control characters")]
    BadReason {
        /// Where.
        route: Code,
        /// The date.
        date: Date,
    },
    /// Too many sessions on one day.
    #[error("route {route}, {day}: {count} sessions; keep at most 24 and let slots divide them")]
    TooManySessions {
        /// Where.
        route: Code,
        /// When.
        day: Day,
        /// How many there are.
        count: usize,
    },
    /// A session that cannot be.
    #[error("route {route}, {day}, session at {opens}: {fault}")]
    BadSession {
        /// Where.
        route: Code,
        /// When.
        day: Day,
        /// When it opens.
        opens: Time,
        /// What is wrong with it.
        fault: SessionFault,
    },
    /// A session opens before an earlier one, of the same day or the night before, has closed.
    #[error("route {route}, {day}: the session at {opens} opens before the one before it has closed; move one of them")]
    Overlap {
        /// Where.
        route: Code,
        /// When.
        day: Day,
        /// When the later session opens.
        opens: Time,
    },
}

/// What is wrong with a [`Session`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum SessionFault {
    /// A time with seconds.
    #[error("give its times in whole minutes")]
    NotWholeMinutes,
    /// Slots too short or too long.
    #[error("make its slots 5 to 1440 minutes long")]
    SlotMinutes,
    /// No or too many places.
    #[error("give each slot 1 to 100000 places")]
    Capacity,
    /// The last entry is before the opening or after the closing.
    #[error("set the last entry between opening and closing")]
    LastEntry,
    /// More places are reserved than there are.
    #[error("reserve no more places for channels than a slot has")]
    Reserved,
    /// A channel may take less than is reserved for it.
    #[error("let the limit of {channel} be at least what is reserved for it")]
    Limit {
        /// Which.
        channel: Channel,
    },
}

/// What is wrong with a [`Policy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum PolicyFault {
    /// More is paid back than was paid.
    #[error("pay back at most 100 percent")]
    RefundPercent,
    /// The part is paid back until an earlier time than everything.
    #[error("let the time until which a part is paid back not be before the time until which all is (part_until_s at most full_until_s)")]
    RefundOrder,
    /// Nobody can be in a party.
    #[error("let a party have at least 1 person")]
    PartyMax,
    /// A hold ends as it begins.
    #[error("let a hold live at least 1 second")]
    HoldTtl,
    /// Sales close before they open.
    #[error("let sales open before they close (sale_opens_s more than sale_closes_s)")]
    SaleTimes,
    /// The building's ceiling is not a route's.
    #[error("set the ceiling for the museum, not for a route")]
    Ceiling,
    /// A buyer may have nothing.
    #[error("let a buyer have at least 1 person and 1 hold, or set no limit")]
    BuyerLimits,
    /// Places would rest too long.
    #[error("let places rest at most 3600 seconds")]
    Rest,
}

impl OpeningPlan {
    /// Whether the plan can be followed: if so, slots of a route never overlap and ids are unique on every date. The first error found is told.
    pub fn validate(&self) -> Result<(), PlanError> {
        if self.routes.len() > ROUTES_MAX {
            return Err(PlanError::TooManyRoutes { count: self.routes.len() });
        }
        for (i, route) in self.routes.iter().enumerate() {
            if self.routes[..i].iter().any(|other| other.id == route.id || other.code == route.code) {
                return Err(PlanError::RouteTwice { route: route.code });
            }
            route.validate()?;
        }
        Ok(())
    }

    /// Whether on `date` this plan can follow another that was in force until the day before: no session of the night before may still be open.
    pub fn may_follow(&self, before: &Self, date: Date) -> Result<(), PlanError> {
        let Ok(eve) = date.yesterday() else { return Ok(()) };
        for route in &self.routes {
            let tail = before.route(route.id).map_or(0, |before| tail(before.sessions_on(eve)));
            no_overlap(route.sessions_on(date), tail, route.code, Day::Date(date))?;
        }
        Ok(())
    }

    /// Whether any session is planned at all, on a day of the week or on a date; if not, the museum is shut for as long as the plan holds.
    #[must_use]
    pub fn ever_opens(&self) -> bool {
        let has_sessions = |sessions: &Vec<Session>| !sessions.is_empty();
        let opens = |route: &Route| route.week.iter().any(has_sessions) || route.exceptions.iter().any(|exception| has_sessions(&exception.sessions));
        self.routes.iter().any(opens)
    }

    /// The route with this number.
    #[must_use]
    pub fn route(&self, id: RouteId) -> Option<&Route> {
        self.routes.iter().find(|route| route.id == id)
    }

    /// The slots of the sessions that open on `date` in Rome, ordered by start, then route; some may start after midnight. `revision` is noted in each.
    #[must_use]
    pub fn slots(&self, museum: MuseumId, revision: u32, date: Date) -> Vec<Opening> {
        let mut openings = Vec::new();
        for route in &self.routes {
            for session in route.sessions_on(date) {
                let Some(span) = session.span(date) else { continue };
                openings.extend(span.starts().filter_map(|start| route.opening(museum, revision, session, &span, start)));
            }
        }
        openings.sort_by_key(|opening| (opening.slot.start(), opening.slot));
        openings
    }

    /// The planned slot with this id, as [`OpeningPlan::slots`] gives it, whether its session opens on the date of its start or on the evening before.
    #[must_use]
    pub fn find(&self, museum: MuseumId, revision: u32, slot: SlotId) -> Option<Opening> {
        let date = calendar::local_day(slot.start());
        self.find_on(museum, revision, slot, date).or_else(|| self.find_on(museum, revision, slot, date.yesterday().ok()?))
    }

    /// The planned slot with this id among those of the sessions that open on `date`.
    #[must_use]
    pub fn find_on(&self, museum: MuseumId, revision: u32, slot: SlotId, date: Date) -> Option<Opening> {
        let route = self.route(slot.route()).filter(|_| slot.museum() == museum)?;
        route.sessions_on(date).iter().find_map(|session| {
            let span = session.span(date).filter(|span| span.is_start(slot.start()))?;
            route.opening(museum, revision, session, &span, slot.start())
        })
    }
}

impl Route {
    /// The sessions that open on `date` in Rome.
    #[must_use]
    pub fn sessions_on(&self, date: Date) -> &[Session] {
        let exception = self.exceptions.iter().find(|exception| exception.date == date);
        exception.map_or(&self.week[index(date.weekday())], |exception| &exception.sessions)
    }

    /// The planned slot that starts at `start`; none if its id cannot say so (before 1970).
    fn opening(&self, museum: MuseumId, revision: u32, session: &Session, span: &Span, start: Timestamp) -> Option<Opening> {
        let slot = SlotId::new(museum, self.id, start);
        (slot.start() == start).then(|| Opening {
            slot,
            revision,
            end: Timestamp::from_micros(start.as_micros().saturating_add(span.step)).min(span.closes),
            capacity: session.capacity,
            quotas: session.quotas,
            policy: self.policy,
        })
    }

    fn validate(&self) -> Result<(), PlanError> {
        let route = self.code;
        if !self.name.is_sound() {
            return Err(PlanError::BadName { route });
        }
        if let Some(fault) = policy_fault(&self.policy) {
            return Err(PlanError::BadPolicy { route, fault });
        }
        if self.exceptions.len() > EXCEPTIONS_MAX {
            return Err(PlanError::TooManyExceptions { route, count: self.exceptions.len() });
        }
        for (i, exception) in self.exceptions.iter().enumerate() {
            let date = exception.date;
            if self.exceptions[..i].iter().any(|other| other.date == date) {
                return Err(PlanError::ExceptionTwice { route, date });
            }
            if !is_line(&exception.reason) {
                return Err(PlanError::BadReason { route, date });
            }
        }
        let days = self.week.iter().enumerate().map(|(day, sessions)| (Day::Week(day as u8), sessions));
        let dates = self.exceptions.iter().map(|exception| (Day::Date(exception.date), &exception.sessions));
        for (day, sessions) in days.chain(dates) {
            if sessions.len() > SESSIONS_MAX {
                return Err(PlanError::TooManySessions { route, day, count: sessions.len() });
            }
            if let Some((opens, fault)) = sessions.iter().find_map(|session| Some((session.opens, session.fault()?))) {
                return Err(PlanError::BadSession { route, day, opens, fault });
            }
        }
        for (day, sessions) in self.week.iter().enumerate() {
            no_overlap(sessions, tail(&self.week[(day + 6) % 7]), route, Day::Week(day as u8))?;
        }
        for exception in &self.exceptions {
            for date in [Some(exception.date), exception.date.tomorrow().ok()].into_iter().flatten() {
                let eve = date.yesterday().map_or(&[][..], |eve| self.sessions_on(eve));
                no_overlap(self.sessions_on(date), tail(eve), route, Day::Date(date))?;
            }
        }
        Ok(())
    }
}

/// A session in real time, in microseconds since 1970.
struct Span {
    opens: Timestamp,
    last_entry: Timestamp,
    closes: Timestamp,
    step: i64,
}

impl Span {
    fn starts(&self) -> impl Iterator<Item = Timestamp> + use<> {
        let (opens, step, last) = (self.opens.as_micros(), self.step, self.last_start());
        (0..).map(move |number| opens + number * step).take_while(move |&start| start <= last).map(Timestamp::from_micros)
    }

    fn is_start(&self, at: Timestamp) -> bool {
        let since = at.micros_since(self.opens);
        since >= 0 && since % self.step == 0 && at.as_micros() <= self.last_start()
    }

    /// No slot starts later than this.
    fn last_start(&self) -> i64 {
        self.last_entry.as_micros().min(self.closes.as_micros() - 1)
    }
}

impl Session {
    /// Minutes of the wall clock from midnight of the opening day to the opening.
    fn from(&self) -> u32 {
        minute(self.opens)
    }

    /// Minutes of the wall clock from midnight of the opening day to `time`, which is after the opening.
    fn after_opening(&self, time: Time) -> u32 {
        if time > self.opens { minute(time) } else { minute(time) + MINUTES_PER_DAY }
    }

    /// Minutes of the wall clock from midnight of the opening day to the closing, up to two days.
    fn to(&self) -> u32 {
        self.after_opening(self.closes)
    }

    fn last_entry_minute(&self) -> u32 {
        if self.last_entry == self.opens { self.from() } else { self.after_opening(self.last_entry) }
    }

    /// The session in real time if it opens on `date`; none if it takes no time, within an hour that is leapt over, or slots have no length.
    fn span(&self, date: Date) -> Option<Span> {
        let at = |time: Time, minute: u32| {
            let day = if minute < MINUTES_PER_DAY { date } else { date.tomorrow().ok()? };
            Some(calendar::instant(day.to_datetime(time)))
        };
        let span = Span {
            opens: at(self.opens, self.from())?,
            last_entry: at(self.last_entry, self.last_entry_minute())?,
            closes: at(self.closes, self.to())?,
            step: i64::from(self.slot_minutes) * MICROS_PER_MINUTE,
        };
        (span.opens < span.closes && span.step > 0).then_some(span)
    }

    fn fault(&self) -> Option<SessionFault> {
        let whole = |time: Time| (time.second(), time.subsec_nanosecond()) == (0, 0);
        let reserved: u64 = self.quotas.iter().map(|quota| u64::from(quota.reserved)).sum();
        let limited = Channel::ALL.into_iter().find(|channel| {
            let quota = self.quotas[channel.index()];
            quota.limit.is_some_and(|limit| limit < quota.reserved)
        });
        if ![self.opens, self.closes, self.last_entry].into_iter().all(whole) {
            Some(SessionFault::NotWholeMinutes)
        } else if !(5..=1_440).contains(&self.slot_minutes) {
            Some(SessionFault::SlotMinutes)
        } else if !(1..=CAPACITY_MAX).contains(&self.capacity) {
            Some(SessionFault::Capacity)
        } else if self.last_entry_minute() > self.to() {
            Some(SessionFault::LastEntry)
        } else if reserved > u64::from(self.capacity) {
            Some(SessionFault::Reserved)
        } else {
            limited.map(|channel| SessionFault::Limit { channel })
        }
    }
}

const fn policy_fault(policy: &Policy) -> Option<PolicyFault> {
    if policy.refund.part_percent > 100 {
        Some(PolicyFault::RefundPercent)
    } else if policy.refund.part_until_s > policy.refund.full_until_s {
        Some(PolicyFault::RefundOrder)
    } else if policy.party_max == 0 {
        Some(PolicyFault::PartyMax)
    } else if policy.hold_ttl_s == 0 {
        Some(PolicyFault::HoldTtl)
    } else if policy.sale_opens_s <= policy.sale_closes_s {
        Some(PolicyFault::SaleTimes)
    } else if policy.ceiling.is_some() {
        Some(PolicyFault::Ceiling)
    } else if matches!(policy.limits, Limits { tickets_max: Some(0), .. } | Limits { holds_max: Some(0), .. } | Limits { day_max: Some(0), .. }) {
        Some(PolicyFault::BuyerLimits)
    } else if policy.limits.rest_max_s > REST_MAX_S {
        Some(PolicyFault::Rest)
    } else {
        None
    }
}

fn minute(time: Time) -> u32 {
    time.hour() as u32 * 60 + time.minute() as u32
}

/// The place of a day in [`Route::week`].
fn index(day: Weekday) -> usize {
    day.to_monday_zero_offset() as usize
}

/// Minutes after midnight of the next day until which the latest of `sessions` is open.
fn tail(sessions: &[Session]) -> u32 {
    sessions.iter().map(|session| session.to().saturating_sub(MINUTES_PER_DAY)).max().unwrap_or(0)
}

/// Whether each of `sessions` opens only when the earlier ones have closed, the last of the night before at minute `tail`. Civil times order real ones
/// (`calendar::instant`), so what does not overlap on the wall never does.
fn no_overlap(sessions: &[Session], tail: u32, route: Code, day: Day) -> Result<(), PlanError> {
    let mut sorted: Vec<&Session> = sessions.iter().collect();
    sorted.sort_by_key(|session| session.opens);
    let mut closed = tail;
    for session in sorted {
        if session.from() < closed {
            return Err(PlanError::Overlap { route, day, opens: session.opens });
        }
        closed = session.to();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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
}
