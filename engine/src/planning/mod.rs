//! A museum's planning as a stream: its policy, each version with the day from which it holds, and what managers decided otherwise than the roster proposes.
//!
//! What the roster proposes is worked out anew whenever somebody looks; what a manager decided stays until it is taken back or long past, whatever a new forecast
//! says.
//!
//! - PL-1: of the policy there is one version per day, in order of days, and no revision stands twice; every one is sound.
//! - PL-2: of one role and one begin on one day there is one decision at most; it ends after it begins, and long past ones are gone. None is taken that overlaps another
//!   one of its role (journals of before may have such: there the one that begins later counts).
//! - PL-3: replay equals live, and time does not go back.

pub mod policy;

use std::collections::BTreeMap;

use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Broken};
use crate::calendar;
use crate::ids::{KeyId, MuseumId};
use crate::past::Past;
use crate::record::Record;
use crate::text::is_line;
use crate::time::Timestamp;
pub use policy::{Policy, PolicyError};

/// The most versions of the policy.
pub const VERSIONS_MAX: usize = 400;
/// The most decisions that stand at once.
pub const OVERRIDES_MAX: usize = 5_000;
/// The most people of one role.
pub const PEOPLE_MAX: u16 = 1_000;
/// A decision is kept for so many days after its own.
const KEPT_DAYS: i32 = 60;
/// How far ahead one may decide, in days: no farther than rosters are proposed, or nobody could read what was decided.
pub const AHEAD_DAYS: i32 = 59;
/// The last minute of a day.
const MINUTES_PER_DAY: u16 = 1_440;

/// What somebody does at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sells tickets.
    Desk,
    /// Lets people in.
    Gate,
    /// Watches rooms.
    Guard,
}

impl Role {
    /// All roles, in the order of wages.
    pub const ALL: [Self; 3] = [Self::Desk, Self::Gate, Self::Guard];

    /// The name in files and addresses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Desk => "desk",
            Self::Gate => "gate",
            Self::Guard => "guard",
        }
    }

    /// Its place in [`Role::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Which line of a roster a decision is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The day in Rome.
    pub date: Date,
    /// From which minute of the day on.
    pub from_min: u16,
    /// Whom.
    pub role: Role,
}

/// What a manager decided.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Override {
    /// Until which minute of the day.
    pub to_min: u16,
    /// How many.
    pub people: u16,
    /// Why, for whoever reads the roster; may be empty.
    pub note: String,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Command {
    /// Plan by this policy from a day on.
    SetPolicy {
        /// The first day in Rome, today at the earliest.
        valid_from: Date,
        /// The policy.
        policy: Box<Policy>,
        /// Only if one of these revisions is in force on that day.
        only_if: Option<Vec<u32>>,
    },
    /// Let so many work there, whatever is proposed.
    Decide {
        /// Which line.
        place: Place,
        /// What is decided.
        what: Override,
    },
    /// Take a decision back.
    TakeBack {
        /// Which line.
        place: Place,
    },
}

/// What happened. Numbers are written in the journal: append only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Event {
    /// See [`PolicySet`].
    PolicySet(PolicySet),
    /// See [`Decided`].
    Decided(Decided),
    /// See [`TakenBack`].
    TakenBack(TakenBack),
}

/// There is a new policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PolicySet {
    /// Counts the museum's policies from 1.
    pub revision: u32,
    /// The first day in Rome.
    pub valid_from: Date,
    /// The policy.
    pub policy: Policy,
}

/// A manager has decided on a line.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Decided {
    /// Which line.
    pub place: Place,
    /// What.
    pub what: Override,
}

/// A decision was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TakenBack {
    /// Which line.
    pub place: Place,
}

/// Why not. In order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The past cannot be changed.
    #[error("plans hold from {today} at the earliest")]
    Past {
        /// Today in Rome.
        today: Date,
    },
    /// Nobody plans so far ahead.
    #[error("decide at most 59 days ahead, as far as there are rosters")]
    TooFarAhead,
    /// Somebody was faster.
    #[error("another revision is in force on that day: read it again, and change what you have read")]
    PolicyChanged {
        /// The one in force; 0: none.
        revision: u32,
    },
    /// Too many versions wait for their day.
    #[error("400 versions of the policy stand: replace one of them (same day) instead")]
    TooManyVersions,
    /// The policy cannot be used.
    #[error("the policy is refused: {0}")]
    InvalidPolicy(PolicyError),
    /// A line that cannot be.
    #[error(
        "let a line end after it begins and within its day, at times that the clocks of that day show, with at most 1000 people and a note of at most 200 characters in one line"
    )]
    InvalidLine,
    /// Another decision about the role holds for some of that time.
    #[error(
        "another decision about that role stands, from minute {from_min} to minute {to_min} of the day: take it back first, or decide it anew from its begin"
    )]
    Overlaps {
        /// From which minute of the day the other one holds.
        from_min: u16,
        /// Until which.
        to_min: u16,
        /// How many it lets work.
        people: u16,
    },
    /// Too many decisions.
    #[error("5000 decisions stand: take some back")]
    TooManyDecisions,
    /// Nothing was decided there.
    #[error("nothing was decided for that role, day and time")]
    UnknownDecision,
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Past { .. } => "plan_in_past",
            Self::TooFarAhead => "plan_too_far_ahead",
            Self::PolicyChanged { .. } => "planning_policy_changed",
            Self::TooManyVersions => "too_many_planning_policies",
            Self::InvalidPolicy(_) => "invalid_planning_policy",
            Self::InvalidLine => "invalid_roster_line",
            Self::Overlaps { .. } => "overlapping_override",
            Self::TooManyDecisions => "too_many_overrides",
            Self::UnknownDecision => "unknown_override",
        }
    }
}

/// A decision that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What.
    pub what: Override,
    /// By whom; none if the record has no caller.
    pub who: Option<KeyId>,
    /// When.
    pub at: Timestamp,
}

/// A museum's planning. Serialized, equal states give equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planning {
    museum: MuseumId,
    policies: BTreeMap<Date, (u32, Policy)>,
    last_revision: u32,
    overrides: BTreeMap<Place, Standing>,
    past: Past,
}

impl Aggregate for Planning {
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn past(&self) -> &Past {
        &self.past
    }

    fn decide(&self, now: Timestamp, command: &Command) -> Result<Vec<Event>, Refusal> {
        let today = calendar::local_day(self.past.at_least(now));
        let event = match command {
            Command::SetPolicy { valid_from, policy, only_if } => {
                if *valid_from < today {
                    return Err(Refusal::Past { today });
                }
                let revision = self.policy_on(*valid_from).0;
                if only_if.as_ref().is_some_and(|expected| !expected.contains(&revision)) {
                    return Err(Refusal::PolicyChanged { revision });
                }
                if !self.policies.contains_key(valid_from) && self.policies.len() >= VERSIONS_MAX {
                    return Err(Refusal::TooManyVersions);
                }
                policy.validate().map_err(Refusal::InvalidPolicy)?;
                let revision = self.last_revision.saturating_add(1);
                Event::PolicySet(PolicySet { revision, valid_from: *valid_from, policy: (**policy).clone() })
            }
            Command::Decide { place, what } => {
                if place.date < today {
                    return Err(Refusal::Past { today });
                }
                if place.date > today.saturating_add(AHEAD_DAYS.days()) {
                    return Err(Refusal::TooFarAhead);
                }
                let in_day = place.from_min < what.to_min && what.to_min <= MINUTES_PER_DAY;
                if !in_day || !is_on_the_clock(place, what) || what.people > PEOPLE_MAX || !(what.note.is_empty() || is_line(&what.note)) {
                    return Err(Refusal::InvalidLine);
                }
                if let Some((other, standing)) = self.overlapped(place, what) {
                    return Err(Refusal::Overlaps { from_min: other.from_min, to_min: standing.what.to_min, people: standing.what.people });
                }
                if !self.overrides.contains_key(place) && self.overrides.len() >= OVERRIDES_MAX {
                    return Err(Refusal::TooManyDecisions);
                }
                Event::Decided(Decided { place: *place, what: what.clone() })
            }
            Command::TakeBack { place } if place.date < today => return Err(Refusal::Past { today }),
            Command::TakeBack { place } if !self.overrides.contains_key(place) => return Err(Refusal::UnknownDecision),
            Command::TakeBack { place } => Event::TakenBack(TakenBack { place: *place }),
        };
        Ok(vec![event])
    }

    fn apply(&mut self, record: &Record<Event>) {
        self.past.take(record);
        for event in &record.events {
            match event {
                Event::PolicySet(set) => {
                    self.last_revision = self.last_revision.max(set.revision);
                    self.policies.insert(set.valid_from, (set.revision, set.policy.clone()));
                    // The versions that no day will ask for any more leave room for new ones.
                    let oldest = calendar::local_day(record.at).saturating_sub(KEPT_DAYS.days());
                    if let Some((in_force, _)) = self.policies.range(..=oldest).next_back().map(|(date, version)| (*date, version.0)) {
                        self.policies = self.policies.split_off(&in_force);
                    }
                }
                Event::Decided(decided) => {
                    let who = record.envelope.as_ref().map(|envelope| envelope.who);
                    self.overrides.insert(decided.place, Standing { what: decided.what.clone(), who, at: record.at });
                }
                Event::TakenBack(taken) => drop(self.overrides.remove(&taken.place)),
            }
        }
        let oldest = Place { date: calendar::local_day(record.at).saturating_sub(KEPT_DAYS.days()), from_min: 0, role: Role::Desk };
        if self.overrides.first_key_value().is_some_and(|(first, _)| *first < oldest) {
            self.overrides = self.overrides.split_off(&oldest);
        }
    }

    /// PL-1 and PL-2 as far as they are O(1): sums and ends. The rest is recounted after a replay.
    fn check(&self) -> Result<(), Broken> {
        if self.policies.values().next_back().is_some_and(|(revision, _)| *revision > self.last_revision) {
            return Err(Broken { invariant: "PL-1", what: "a policy has a revision that was not counted" });
        }
        if self.overrides.len() > OVERRIDES_MAX {
            return Err(Broken { invariant: "PL-2", what: "more decisions stand than may" });
        }
        Ok(())
    }
}

/// Whether the clocks show both ends of a line on its day; it may end where they are put forward.
fn is_on_the_clock(place: &Place, what: &Override) -> bool {
    let shows = |minute: u16| minute >= MINUTES_PER_DAY || calendar::exists(place.date.at((minute / 60) as i8, (minute % 60) as i8, 0, 0));
    shows(place.from_min) && (shows(what.to_min) || shows(what.to_min - 1))
}

impl Planning {
    /// The planning of a museum of which nothing is known yet: the defaults hold.
    #[must_use]
    pub fn new(museum: MuseumId) -> Self {
        let (policies, overrides) = (BTreeMap::new(), BTreeMap::new());
        Self { museum, policies, last_revision: 0, overrides, past: Past::default() }
    }

    /// Rebuilds it from all its records.
    #[must_use]
    pub fn replay<'a>(museum: MuseumId, records: impl IntoIterator<Item = &'a Record<Event>>) -> Self {
        Self::new(museum).after(records)
    }

    /// Whether moreover every version and decision is sound in itself: for tests and after a replay, as it walks all of them.
    pub fn recount(&self) -> Result<(), Broken> {
        self.check()?;
        let mut revisions: Vec<u32> = self.policies.values().map(|(revision, _)| *revision).collect();
        revisions.sort_unstable();
        let once = revisions.windows(2).all(|pair| pair[0] < pair[1]) && revisions.last().is_none_or(|last| *last <= self.last_revision);
        if !once || self.policies.values().any(|(_, policy)| policy.validate().is_err()) {
            return Err(Broken { invariant: "PL-1", what: "a policy is not sound, or its revision stands twice" });
        }
        if self.overrides.iter().any(|(place, standing)| place.from_min >= standing.what.to_min) {
            return Err(Broken { invariant: "PL-2", what: "a decision ends before it begins" });
        }
        Ok(())
    }

    /// Whose planning.
    #[must_use]
    pub const fn museum(&self) -> MuseumId {
        self.museum
    }

    /// The policy in force on `date` in Rome, with its revision; the defaults, as revision 0, where nobody has set any.
    #[must_use]
    pub fn policy_on(&self, date: Date) -> (u32, Policy) {
        self.policies.range(..=date).next_back().map_or_else(|| (0, Policy::default()), |(_, version)| version.clone())
    }

    /// The day from which the policy in force on `date` holds; none for the defaults.
    #[must_use]
    pub fn policy_since(&self, date: Date) -> Option<Date> {
        self.policies.range(..=date).next_back().map(|(since, _)| *since)
    }

    /// The first decision about the same role that a new one overlaps; the one that it takes the place of, which begins at the same time, is none.
    fn overlapped(&self, place: &Place, what: &Override) -> Option<(&Place, &Standing)> {
        let meets = |other: &Place, standing: &Standing| other.from_min < what.to_min && place.from_min < standing.what.to_min;
        self.overrides_on(place.date).find(|(other, standing)| other.role == place.role && **other != *place && meets(other, standing))
    }

    /// What managers decided for a day, in the order of time, then role.
    pub fn overrides_on(&self, date: Date) -> impl Iterator<Item = (&Place, &Standing)> {
        let first = Place { date, from_min: 0, role: Role::Desk };
        self.overrides.range(first..).take_while(move |(place, _)| place.date == date)
    }

    /// Time of the last record.
    #[must_use]
    pub const fn last_at(&self) -> Timestamp {
        self.past.last_at()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Digest, Envelope};
    use crate::time::DAY_S;
    use jiff::civil::date;
    use proptest::prelude::*;

    const TODAY: Date = date(2026, 6, 10);

    fn now() -> Timestamp {
        "2026-06-10T08:00:00Z".parse().unwrap()
    }

    fn place(days: i32, from_min: u16) -> Place {
        Place { date: TODAY.saturating_add(days.days()), from_min, role: Role::Desk }
    }

    fn line(to_min: u16, people: u16) -> Override {
        Override { to_min, people, note: "strike".to_owned() }
    }

    fn decide(days: i32, from_min: u16, to_min: u16, people: u16) -> Command {
        Command::Decide { place: place(days, from_min), what: line(to_min, people) }
    }

    fn policy(days: i32, rooms: u16, only_if: Option<u32>) -> Command {
        let policy = Box::new(Policy { rooms, ..Policy::default() });
        Command::SetPolicy { valid_from: TODAY.saturating_add(days.days()), policy, only_if: only_if.map(|revision| vec![revision]) }
    }

    fn step(planning: &mut Planning, records: &mut Vec<Record<Event>>, at: Timestamp, command: &Command) -> Result<(), Refusal> {
        let events = planning.decide(at, command)?;
        let key = Digest(records.len() as u128);
        let envelope = Envelope { who: KeyId(3), key, body: key, parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() };
        let record = planning.record(at, Some(envelope), events);
        planning.apply(&record);
        assert_eq!(planning.recount(), Ok(()), "PL-1, PL-2 after {record:?}");
        records.push(record);
        assert_eq!(Planning::replay(planning.museum(), records.iter()), *planning, "PL-3: replay equals live");
        Ok(())
    }

    #[test]
    fn what_is_decided_and_what_is_refused() {
        let past = Err(Refusal::Past { today: TODAY });
        let long = Command::Decide { place: place(0, 0), what: Override { note: "a\nb".to_owned(), ..line(60, 1) } };
        let cases: Vec<(Vec<Command>, Command, Result<(), Refusal>)> = vec![
            (vec![], decide(-1, 540, 600, 2), past),
            (vec![], decide(60, 540, 600, 2), Err(Refusal::TooFarAhead)),
            (vec![], decide(0, 540, 540, 2), Err(Refusal::InvalidLine)),
            (vec![], decide(0, 540, 1_441, 2), Err(Refusal::InvalidLine)),
            (vec![], decide(0, 540, 600, 1_001), Err(Refusal::InvalidLine)),
            (vec![], long, Err(Refusal::InvalidLine)),
            (vec![], decide(59, 540, 600, 0), Ok(())),
            (vec![], Command::TakeBack { place: place(1, 540) }, Err(Refusal::UnknownDecision)),
            (vec![decide(1, 540, 600, 2)], Command::TakeBack { place: place(1, 540) }, Ok(())),
            (vec![], Command::TakeBack { place: place(-1, 540) }, past),
            (vec![], policy(-1, 3, None), past),
            (vec![], policy(0, 1_001, None), Err(Refusal::InvalidPolicy(PolicyError::Guards))),
            (vec![], policy(0, 3, Some(1)), Err(Refusal::PolicyChanged { revision: 0 })),
            (vec![policy(0, 3, Some(0))], policy(5, 4, Some(1)), Ok(())),
        ];
        for (before, command, expected) in cases {
            let (mut planning, mut records) = (Planning::new(MuseumId(1)), Vec::new());
            for command in &before {
                step(&mut planning, &mut records, now(), command).unwrap();
            }
            assert_eq!(step(&mut planning, &mut records, now(), &command), expected, "{command:?} after {before:?}");
        }
    }

    #[test]
    fn no_line_begins_or_ends_in_the_hour_that_the_clocks_leave_out() {
        let (planning, at) = (Planning::new(MuseumId(1)), "2027-03-01T08:00:00Z".parse().unwrap());
        let decide = |date: Date, from_min: u16, to_min: u16| {
            planning.decide(at, &Command::Decide { place: Place { date, from_min, role: Role::Gate }, what: line(to_min, 2) }).map(|_| ())
        };
        let (forward, usual) = (date(2027, 3, 28), date(2027, 3, 29));
        for (from_min, to_min, expected) in [
            (60, 120, Ok(())),
            (60, 180, Ok(())),
            (180, 210, Ok(())),
            (0, 1_440, Ok(())),
            (120, 210, Err(Refusal::InvalidLine)),
            (150, 210, Err(Refusal::InvalidLine)),
            (60, 150, Err(Refusal::InvalidLine)),
        ] {
            assert_eq!(decide(forward, from_min, to_min), expected, "{from_min} to {to_min}");
            assert_eq!(decide(usual, from_min, to_min), Ok(()), "{from_min} to {to_min}");
        }
        assert_eq!(
            Planning::new(MuseumId(1))
                .decide(
                    "2026-10-01T08:00:00Z".parse().unwrap(),
                    &Command::Decide { place: Place { date: date(2026, 10, 25), from_min: 150, role: Role::Gate }, what: line(180, 2) }
                )
                .map(|_| ()),
            Ok(()),
            "an hour that comes twice is there"
        );
    }

    #[test]
    fn a_decision_stands_until_it_is_replaced_taken_back_or_long_past() {
        let (mut planning, mut records) = (Planning::new(MuseumId(1)), Vec::new());
        for command in [decide(1, 540, 600, 2), decide(1, 540, 660, 5), decide(1, 660, 720, 1), policy(0, 9, None)] {
            step(&mut planning, &mut records, now(), &command).unwrap();
        }
        let stands =
            |planning: &Planning| planning.overrides_on(TODAY.saturating_add(1.day())).map(|(_, standing)| standing.what.people).collect::<Vec<_>>();
        assert_eq!(stands(&planning), [5, 1]);
        let later = |days: i64| now().plus_seconds(days * DAY_S);
        step(&mut planning, &mut records, later(60), &policy(60, 8, None)).unwrap();
        assert_eq!(stands(&planning), [5, 1]);
        step(&mut planning, &mut records, later(62), &policy(90, 7, None)).unwrap();
        assert!(stands(&planning).is_empty());
        assert_eq!([0, 60, 89, 90].map(|days: i32| planning.policy_on(TODAY.saturating_add(days.days())).1.rooms), [9, 8, 8, 7]);
    }

    #[test]
    fn of_one_role_one_decision_holds_at_a_time() {
        let overlaps = |from_min, to_min, people| Err(Refusal::Overlaps { from_min, to_min, people });
        let of = |role: Role, from_min: u16, to_min: u16| Command::Decide { place: Place { role, ..place(1, from_min) }, what: line(to_min, 3) };
        let (mut planning, mut records) = (Planning::new(MuseumId(1)), Vec::new());
        for (command, expected) in [
            (decide(1, 660, 1_440, 4), Ok(())),
            (decide(1, 690, 750, 2), overlaps(660, 1_440, 4)),
            (decide(1, 600, 661, 2), overlaps(660, 1_440, 4)),
            (decide(1, 600, 1_440, 2), overlaps(660, 1_440, 4)),
            (decide(1, 600, 660, 2), Ok(())),
            // What takes its place may be longer, but not reach into another one.
            (decide(1, 600, 670, 2), overlaps(660, 1_440, 4)),
            (decide(1, 660, 690, 5), Ok(())),
            (decide(1, 690, 750, 2), Ok(())),
            (decide(1, 660, 700, 5), overlaps(690, 750, 2)),
            // Another role, and another day.
            (of(Role::Gate, 690, 750), Ok(())),
            (decide(2, 690, 750, 2), Ok(())),
            (Command::TakeBack { place: place(1, 690) }, Ok(())),
            (decide(1, 660, 700, 5), Ok(())),
        ] {
            assert_eq!(step(&mut planning, &mut records, now(), &command), expected, "{command:?}");
        }
    }

    /// PL-2: what a journal of before has of decisions that overlap still stands, is read, and can be put in order.
    #[test]
    fn decisions_that_overlap_from_before_stand_until_they_are_taken_back() {
        let decided = |from_min, to_min, people| Event::Decided(Decided { place: place(1, from_min), what: line(to_min, people) });
        let mut planning = Planning::new(MuseumId(1));
        planning.apply(&planning.record(now(), None, vec![decided(660, 1_440, 4), decided(690, 750, 2)]));
        assert_eq!((planning.recount(), planning.overrides_on(TODAY.saturating_add(1.day())).count()), (Ok(()), 2));
        let refused = Err(Refusal::Overlaps { from_min: 690, to_min: 750, people: 2 });
        assert_eq!(planning.decide(now(), &decide(1, 660, 1_440, 5)), refused);
        let taken = planning.decide(now(), &Command::TakeBack { place: place(1, 690) }).unwrap();
        planning.apply(&planning.record(now(), None, taken));
        assert!(planning.decide(now(), &decide(1, 660, 1_440, 5)).is_ok());
    }

    #[test]
    fn a_broken_state_is_told() {
        let set = |revision, rooms| Event::PolicySet(PolicySet { revision, valid_from: TODAY, policy: Policy { rooms, ..Policy::default() } });
        let backwards = Event::Decided(Decided { place: place(0, 600), what: line(540, 1) });
        for (event, expected) in [(set(1, 1_001), "PL-1"), (backwards, "PL-2")] {
            let mut planning = Planning::new(MuseumId(1));
            planning.apply(&planning.record(now(), None, vec![event]));
            assert_eq!(planning.recount().map_err(|broken| broken.invariant), Err(expected));
        }
    }

    #[test]
    fn codes_are_stable() {
        let refusals = [
            Refusal::Past { today: TODAY },
            Refusal::TooFarAhead,
            Refusal::PolicyChanged { revision: 1 },
            Refusal::TooManyVersions,
            Refusal::InvalidPolicy(PolicyError::Gates),
            Refusal::InvalidLine,
            Refusal::Overlaps { from_min: 660, to_min: 1_440, people: 4 },
            Refusal::TooManyDecisions,
            Refusal::UnknownDecision,
        ];
        let codes = [
            "plan_in_past",
            "plan_too_far_ahead",
            "planning_policy_changed",
            "too_many_planning_policies",
            "invalid_planning_policy",
            "invalid_roster_line",
            "overlapping_override",
            "too_many_overrides",
            "unknown_override",
        ];
        assert_eq!(refusals.map(|refusal| refusal.code()), codes);
    }

    proptest! {
        /// PL-1 to PL-3 whatever is asked.
        #[test]
        fn invariants_hold_whatever_is_asked(asked in prop::collection::vec((0_u8..3, -2_i32..400, 0_u16..1_500, 0_u16..1_500, 0_i64..200), 0..15)) {
            let (mut planning, mut records) = (Planning::new(MuseumId(7)), Vec::new());
            for (kind, days, one, other, later) in asked {
                let command = match kind {
                    0 => decide(days, one, other, one),
                    1 => Command::TakeBack { place: place(days, one) },
                    _ => policy(days, one, None),
                };
                let _ = step(&mut planning, &mut records, now().plus_seconds(later * DAY_S), &command);
            }
        }
    }
}
