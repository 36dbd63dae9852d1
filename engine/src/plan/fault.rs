//! What can be wrong with a plan, and what to do about it: no museum takes one of which any of this is true. What follows from a sound plan is in `plan`.

use std::fmt;

use jiff::civil::{Date, Time};
use serde::{Deserialize, Serialize};

use super::{CAPACITY_MAX, EXCEPTIONS_MAX, MINUTES_PER_DAY, OpeningPlan, ROUTES_MAX, Route, SESSIONS_MAX, Session};
use crate::channel::Channel;
use crate::ids::Code;
use crate::slot::{Limits, Policy, REST_MAX_S};
use crate::text::is_line;

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
}

impl Route {
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

impl Session {
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
