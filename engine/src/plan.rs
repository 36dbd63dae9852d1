//! When a museum is open, route by route: weekly hours in civil time, exceptions by date, and the slots that follow from them.
//!
//! Slots of the plan are computed, never stored: any date gives the same slots again, and an id finds its slot without a list. Civil time becomes instants
//! through [`calendar::instant`] alone; from the opening on, slots follow each other in real time, so that a night in which the clocks change has one hour of
//! slots less or more. A slot that somebody touched is a stream of its own (`slot`), and no later plan changes it once
//! somebody has something of it. Plans with their dates: `museum`.

mod fault;
#[cfg(test)]
mod tests;

pub use self::fault::{Day, PlanError, PolicyFault, SessionFault};

use jiff::civil::{Date, Time, Weekday};
use serde::{Deserialize, Serialize};

use crate::calendar;
use crate::channel::Channel;
use crate::ids::{Code, MuseumId, RouteId, SlotId};
use crate::slot::{Opening, Policy, Quota};
use crate::text::Text;
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

impl OpeningPlan {
    /// Whether any session is planned at all if it holds from `from` on, on a day of the week or on a date to come; if not, the museum is shut for as long as the plan holds.
    #[must_use]
    pub fn ever_opens(&self, from: Date) -> bool {
        let has_sessions = |sessions: &Vec<Session>| !sessions.is_empty();
        let is_open = |exception: &Exception| exception.date >= from && has_sessions(&exception.sessions);
        let opens = |route: &Route| route.week.iter().any(has_sessions) || route.exceptions.iter().any(is_open);
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
}

fn minute(time: Time) -> u32 {
    time.hour() as u32 * 60 + time.minute() as u32
}

/// The place of a day in [`Route::week`].
fn index(day: Weekday) -> usize {
    day.to_monday_zero_offset() as usize
}
