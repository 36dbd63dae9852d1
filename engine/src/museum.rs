//! A museum as a stream: who it is, and its opening plans, tariffs, building ceilings and rules for groups, each version with the day from which it holds; and which days are called
//! off (`days`).
//!
//! The contract of every [`Aggregate`]: `decide` holds all rules, `apply` none, `check` asserts the invariants; there are no deadlines. The past cannot be
//! changed: a version holds from today in Rome at the earliest, and slots that were opened keep the plan under which they were, but those of a day that was
//! called off and of which nobody has anything.
//!
//! - MU-1: nothing is set for a museum that is not registered.
//! - MU-2: of each kind there is one version per day from which it holds, in order of days, and no revision stands twice.
//! - MU-3: every plan, tariff and policy for groups is sound, and no session of a plan reaches into one of the plan that follows it; so every planned slot has one id.
//! - MU-5: of each name there is one waiting room, and the numbers given out in it never go back.
//! - MU-4: replay equals live: the records of a museum, applied in order, give the same state to the byte.

mod days;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Broken};
use crate::calendar::{self, MonthDay};
use crate::ids::{Code, KeyId, MuseumId, SlotId};
use crate::past::Past;
use crate::plan::{OpeningPlan, PlanError};
use crate::quote::policy::{GroupPolicy, PolicyError};
use crate::record::Record;
use crate::room::{self, Announced, Numbers, Room, RoomError};
use crate::slot::{Opening, Slot};
use crate::tariff::{Tariff, TariffError};
use crate::text::is_line;
use crate::time::Timestamp;
use days::Days;

pub use days::{DAYS_OFF_MAX, DayCalledOff, DayHeard, DayTakenUp, DayWord, Unheard};

/// The most versions of one kind that may wait for their day.
pub const VERSIONS_AHEAD_MAX: usize = 400;
/// The highest ceiling, in people.
pub const CEILING_MAX: u32 = 1_000_000;

/// Who and where a museum is. It holds no personal data.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its short name in addresses.
    pub slug: Code,
    /// Its name, as it calls itself.
    pub name: String,
    /// The municipality.
    pub city: String,
    /// The region.
    pub region: String,
    /// Degrees north (WGS 84), in millionths.
    pub latitude_microdeg: i32,
    /// Degrees east (WGS 84), in millionths.
    pub longitude_microdeg: i32,
    /// The feast of the town's patron saint: a day of rest there (not by law but by custom, save in Rome).
    #[serde(default)]
    pub patron: Option<MonthDay>,
}

impl Profile {
    fn is_sound(&self) -> bool {
        let names = [&self.name, &self.city, &self.region];
        let on_earth = self.latitude_microdeg.unsigned_abs() <= 90_000_000 && self.longitude_microdeg.unsigned_abs() <= 180_000_000;
        names.into_iter().all(|name| is_line(name)) && on_earth
    }
}

/// What can be asked of a museum.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Command {
    /// Take the museum in.
    Register {
        /// Who it is.
        profile: Profile,
    },
    /// Say anew who and where it is, but for its slug.
    Correct {
        /// Who it is.
        profile: Profile,
    },
    /// Open by this plan from a day on, until a plan with a later day.
    SetPlan {
        /// The first day in Rome, today at the earliest.
        valid_from: Date,
        /// The plan.
        plan: OpeningPlan,
    },
    /// Sell by this tariff for visits from a day on.
    SetTariff {
        /// The first day in Rome, today at the earliest.
        valid_from: Date,
        /// The tariff.
        tariff: Tariff,
    },
    /// Let at most so many people be inside the building at once from a day on.
    SetCeiling {
        /// The first day in Rome, today at the earliest.
        valid_from: Date,
        /// How many; none: no ceiling.
        ceiling: Option<u32>,
    },
    /// Sell to groups by these rules for visits from a day on.
    SetGroupPolicy {
        /// The first day in Rome, today at the earliest.
        valid_from: Date,
        /// The rules.
        policy: Box<GroupPolicy>,
    },
    /// Let people wait for the opening of sales.
    AnnounceRoom {
        /// The waiting room.
        room: Box<Room>,
    },
    /// Sell without a waiting room after all.
    WithdrawRoom {
        /// Which.
        code: Code,
    },
    /// Write down how many have come to a waiting room, before more numbers are given out.
    CountRoom {
        /// Its name.
        code: Code,
        /// Its secret: one that was announced again under that name is another room.
        signing: [u8; 32],
        /// Up to which numbers.
        numbers: Numbers,
    },
    /// Call a day off, or take it up again.
    SayOfDay {
        /// What is said of it.
        word: DayWord,
    },
    /// Note that all slots of a day have heard what was said of it.
    DayHeard {
        /// By which record it was said.
        seq: u64,
    },
    /// Set one of these only if what is in force on its first day is what the caller has read.
    OnlyIf {
        /// The revisions that the caller has read, any of which will do.
        revisions: Vec<u32>,
        /// What to set.
        set: Box<Command>,
    },
}

/// What happened to a museum. Numbers are written in the journal: append only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Event {
    /// It was taken in.
    Registered(Registered),
    /// It has a new plan.
    PlanSet(PlanSet),
    /// It has a new tariff.
    TariffSet(TariffSet),
    /// It has a new ceiling.
    CeilingSet(CeilingSet),
    /// It has new rules for groups.
    GroupPolicySet(GroupPolicySet),
    /// It has a waiting room.
    RoomAnnounced(RoomAnnounced),
    /// It has one less.
    RoomWithdrawn(RoomWithdrawn),
    /// So many may have come to one.
    RoomCounted(RoomCounted),
    /// It was said anew who and where it is.
    Corrected(Corrected),
    /// A day does not take place.
    DayCalledOff(DayCalledOff),
    /// It does after all.
    DayTakenUp(DayTakenUp),
    /// Its slots have heard it.
    DayHeard(DayHeard),
}

/// The museum has a waiting room.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RoomAnnounced {
    /// The room.
    pub room: Room,
}

/// A waiting room is there no more.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RoomWithdrawn {
    /// Which.
    pub code: Code,
}

/// Numbers of a waiting room may have been given out up to these.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RoomCounted {
    /// Which.
    pub code: Code,
    /// Up to which numbers.
    pub numbers: Numbers,
}

/// The museum was taken in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Registered {
    /// Who it is.
    pub profile: Profile,
}

/// Who and where the museum is was said anew.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Corrected {
    /// Who it is, with the slug that it had.
    pub profile: Profile,
}

/// The museum has a new plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PlanSet {
    /// Counts the museum's plans from 1.
    pub revision: u32,
    /// The first day in Rome.
    pub valid_from: Date,
    /// The plan.
    pub plan: OpeningPlan,
}

/// The museum has a new tariff.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TariffSet {
    /// Counts the museum's tariffs from 1.
    pub revision: u32,
    /// The first day in Rome.
    pub valid_from: Date,
    /// The tariff.
    pub tariff: Tariff,
}

/// The museum has a new ceiling.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CeilingSet {
    /// Counts the museum's ceilings from 1.
    pub revision: u32,
    /// The first day in Rome.
    pub valid_from: Date,
    /// The most people inside at once; none: no ceiling.
    pub ceiling: Option<u32>,
}

/// The museum has new rules for groups.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GroupPolicySet {
    /// Counts the museum's policies for groups from 1.
    pub revision: u32,
    /// The first day in Rome.
    pub valid_from: Date,
    /// The rules.
    pub policy: GroupPolicy,
}

/// Why a museum says no. In order of precedence.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The museum is taken in already.
    #[error("the museum is registered already")]
    AlreadyRegistered,
    /// The museum is not taken in yet.
    #[error("the museum is not registered: register it first")]
    NotRegistered,
    /// A name that cannot be shown, or a place that is not on earth.
    #[error("give name, city and region of 1 to 200 characters without control characters, and a latitude and longitude on earth")]
    InvalidProfile,
    /// Somebody was faster.
    #[error("another revision is in force on that day: read it again, and change what you have read")]
    PreconditionFailed {
        /// The one in force; 0: none.
        revision: u32,
    },
    /// The past cannot be changed.
    #[error("a version holds from {today} at the earliest")]
    ValidFromPast {
        /// Today in Rome.
        today: Date,
    },
    /// Too many versions of this kind wait for their day.
    #[error("400 versions wait for their day: replace one of them (same day) instead")]
    TooManyVersions,
    /// The plan cannot be followed, or reaches into another version's day.
    #[error("the plan is refused: {0}")]
    InvalidPlan(PlanError),
    /// The tariff cannot be used.
    #[error("the tariff is refused: {0}")]
    InvalidTariff(TariffError),
    /// The ceiling is nobody or more than any building holds.
    #[error("let the ceiling be 1 to 1000000 people, or none")]
    InvalidCeiling,
    /// The rules for groups cannot be used.
    #[error("the rules for groups are refused: {0}")]
    InvalidGroupPolicy(PolicyError),
    /// The waiting room cannot be used.
    #[error("the waiting room is refused: {0}")]
    InvalidRoom(RoomError),
    /// There is a waiting room of that name.
    #[error("there is a waiting room of that name")]
    RoomExists,
    /// Too many waiting rooms.
    #[error("16 waiting rooms of this museum have not closed")]
    TooManyRooms,
    /// Its slots have a waiting room already: whoever one lets through the other would keep out.
    #[error("places of some of these slots are held through the waiting room {room}")]
    RoomOverlaps {
        /// Which.
        room: Code,
    },
    /// There is no such waiting room.
    #[error("there is no such waiting room")]
    UnknownRoom,
    /// Too many days are called off.
    #[error("400 days of this museum, or parts of days, are called off")]
    TooManyDays,
    /// The last slots of that day are over.
    #[error("that day is over: today is {today}")]
    DayOver {
        /// Today in Rome.
        today: Date,
    },
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AlreadyRegistered => "already_registered",
            Self::NotRegistered => "not_registered",
            Self::InvalidProfile => "invalid_profile",
            Self::PreconditionFailed { .. } => "precondition_failed",
            Self::ValidFromPast { .. } => "valid_from_past",
            Self::TooManyVersions => "too_many_versions",
            Self::InvalidPlan(_) => "invalid_plan",
            Self::InvalidTariff(_) => "invalid_tariff",
            Self::InvalidCeiling => "invalid_ceiling",
            Self::InvalidGroupPolicy(_) => "invalid_group_policy",
            Self::InvalidRoom(_) => "invalid_waiting_room",
            Self::RoomExists => "waiting_room_exists",
            Self::TooManyRooms => "too_many_waiting_rooms",
            Self::RoomOverlaps { .. } => "waiting_room_overlaps",
            Self::UnknownRoom => "unknown_waiting_room",
            Self::TooManyDays => "too_many_days",
            Self::DayOver { .. } => "day_over",
        }
    }
}

/// What holds from a day on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Version<T> {
    valid_from: Date,
    revision: u32,
    what: T,
}

/// All versions of one kind, by day. A version with the day of another takes its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Versions<T> {
    list: Vec<Version<T>>,
    last_revision: u32,
}

impl<T> Versions<T> {
    const fn new() -> Self {
        Self { list: Vec::new(), last_revision: 0 }
    }

    /// How many hold from `date` or earlier.
    fn begun(&self, date: Date) -> usize {
        self.list.partition_point(|version| version.valid_from <= date)
    }

    fn on(&self, date: Date) -> Option<&Version<T>> {
        self.list.get(self.begun(date).checked_sub(1)?)
    }

    fn after(&self, date: Date) -> Option<&Version<T>> {
        self.list.get(self.begun(date))
    }

    fn set(&mut self, valid_from: Date, revision: u32, what: T) {
        self.last_revision = self.last_revision.max(revision);
        let version = Version { valid_from, revision, what };
        match self.list.binary_search_by_key(&valid_from, |version| version.valid_from) {
            Ok(place) => self.list[place] = version,
            Err(place) => self.list.insert(place, version),
        }
    }

    /// The revision of a version that may be set today from `valid_from` on.
    fn next(&self, today: Date, valid_from: Date) -> Result<u32, Refusal> {
        if valid_from < today {
            return Err(Refusal::ValidFromPast { today });
        }
        let replaces = self.on(valid_from).is_some_and(|version| version.valid_from == valid_from);
        if !replaces && self.list.len() - self.begun(today) >= VERSIONS_AHEAD_MAX {
            return Err(Refusal::TooManyVersions);
        }
        Ok(self.last_revision.saturating_add(1))
    }

    fn are_in_order(&self) -> bool {
        let in_order = self.list.windows(2).all(|pair| pair[0].valid_from < pair[1].valid_from);
        let mut revisions: Vec<u32> = self.list.iter().map(|version| version.revision).collect();
        revisions.sort_unstable();
        in_order && revisions.windows(2).all(|pair| pair[0] < pair[1]) && revisions.last().is_none_or(|&last| last <= self.last_revision)
    }
}

/// A museum. Serialized, equal states give equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Museum {
    id: MuseumId,
    profile: Option<Profile>,
    plans: Versions<OpeningPlan>,
    tariffs: Versions<Tariff>,
    ceilings: Versions<Option<u32>>,
    group_policies: Versions<GroupPolicy>,
    /// By name.
    rooms: Vec<Announced>,
    past: Past,
    /// It stands last, and not at all if nothing is said of any day: so states of before days were called off here are the same bytes.
    /// Nobody reads a museum back from them.
    #[serde(default, skip_serializing_if = "Days::are_as_planned")]
    days: Days,
}

impl Aggregate for Museum {
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn past(&self) -> &Past {
        &self.past
    }

    /// Time never goes backwards: `now` counts as at least the time of the last record.
    fn decide(&self, now: Timestamp, command: &Command) -> Result<Vec<Event>, Refusal> {
        let today = calendar::local_day(self.past.at_least(now));
        let event = match (command, &self.profile) {
            (Command::Register { .. }, Some(_)) => return Err(Refusal::AlreadyRegistered),
            (Command::Register { profile }, None) if !profile.is_sound() => return Err(Refusal::InvalidProfile),
            (Command::Register { profile }, None) => Event::Registered(Registered { profile: profile.clone() }),
            (_, None) => return Err(Refusal::NotRegistered),
            // Its addresses are for good.
            (Command::Correct { profile }, Some(known)) if !profile.is_sound() || profile.slug != known.slug => return Err(Refusal::InvalidProfile),
            (Command::Correct { profile }, _) => Event::Corrected(Corrected { profile: profile.clone() }),
            (Command::OnlyIf { revisions, set }, _) => {
                let in_force = self.revision_under(set);
                return if in_force.is_some_and(|revision| revisions.contains(&revision)) {
                    self.decide(now, set)
                } else {
                    Err(Refusal::PreconditionFailed { revision: in_force.unwrap_or(0) })
                };
            }
            (Command::SetPlan { valid_from, plan }, _) => {
                let (revision, valid_from) = (self.plans.next(today, *valid_from)?, *valid_from);
                plan.validate().and_then(|()| self.fits_in(valid_from, plan)).map_err(Refusal::InvalidPlan)?;
                Event::PlanSet(PlanSet { revision, valid_from, plan: plan.clone() })
            }
            (Command::SetTariff { valid_from, tariff }, _) => {
                let (revision, valid_from) = (self.tariffs.next(today, *valid_from)?, *valid_from);
                tariff.validate().map_err(Refusal::InvalidTariff)?;
                Event::TariffSet(TariffSet { revision, valid_from, tariff: tariff.clone() })
            }
            (Command::SetCeiling { valid_from, ceiling }, _) => {
                let (revision, valid_from, ceiling) = (self.ceilings.next(today, *valid_from)?, *valid_from, *ceiling);
                if ceiling.is_some_and(|people| !(1..=CEILING_MAX).contains(&people)) {
                    return Err(Refusal::InvalidCeiling);
                }
                Event::CeilingSet(CeilingSet { revision, valid_from, ceiling })
            }
            (Command::SetGroupPolicy { valid_from, policy }, _) => {
                let (revision, valid_from) = (self.group_policies.next(today, *valid_from)?, *valid_from);
                policy.validate().map_err(Refusal::InvalidGroupPolicy)?;
                Event::GroupPolicySet(GroupPolicySet { revision, valid_from, policy: (**policy).clone() })
            }
            (Command::AnnounceRoom { room }, _) => {
                let now = self.past.at_least(now);
                room.validate(now).map_err(Refusal::InvalidRoom)?;
                if self.rooms.iter().any(|known| known.room.code == room.code && known.room.closes_at > now) {
                    return Err(Refusal::RoomExists);
                }
                if self.rooms.iter().filter(|known| known.room.closes_at > now).count() >= room::ROOMS_MAX {
                    return Err(Refusal::TooManyRooms);
                }
                if let Some(known) = self.rooms.iter().find(|known| known.room.closes_at > now && known.room.overlaps(room)) {
                    return Err(Refusal::RoomOverlaps { room: known.room.code });
                }
                Event::RoomAnnounced(RoomAnnounced { room: (**room).clone() })
            }
            (Command::WithdrawRoom { code }, _) => {
                self.room(*code).ok_or(Refusal::UnknownRoom)?;
                Event::RoomWithdrawn(RoomWithdrawn { code: *code })
            }
            (Command::CountRoom { code, signing, numbers }, _) => {
                let known = self.room(*code).filter(|known| known.room.signing == *signing).ok_or(Refusal::UnknownRoom)?.numbers;
                let numbers = Numbers { early: numbers.early.max(known.early), late: numbers.late.max(known.late) };
                Event::RoomCounted(RoomCounted { code: *code, numbers })
            }
            (Command::SayOfDay { word: DayWord::Off(off) }, _) if !days::is_known(off.date, today) => return Err(Refusal::DayOver { today }),
            (Command::SayOfDay { word: DayWord::Off(off) }, _) if !self.days.have_room(today, off) => return Err(Refusal::TooManyDays),
            (Command::SayOfDay { word: DayWord::Off(off) }, _) => Event::DayCalledOff(*off),
            (Command::SayOfDay { word: DayWord::On(up) }, _) => Event::DayTakenUp(*up),
            (Command::DayHeard { seq }, _) => Event::DayHeard(DayHeard { seq: *seq }),
        };
        Ok(vec![event])
    }

    fn apply(&mut self, record: &Record<Event>) {
        self.past.take(record);
        for event in &record.events {
            match event {
                Event::Registered(registered) => self.profile = Some(registered.profile.clone()),
                Event::Corrected(corrected) => self.profile = Some(corrected.profile.clone()),
                Event::PlanSet(set) => self.plans.set(set.valid_from, set.revision, set.plan.clone()),
                Event::TariffSet(set) => self.tariffs.set(set.valid_from, set.revision, set.tariff.clone()),
                Event::CeilingSet(set) => self.ceilings.set(set.valid_from, set.revision, set.ceiling),
                Event::GroupPolicySet(set) => self.group_policies.set(set.valid_from, set.revision, set.policy.clone()),
                Event::RoomAnnounced(announced) => {
                    // Those that have ended make room.
                    self.rooms.retain(|known| known.room.closes_at > record.at && known.room.code != announced.room.code);
                    self.rooms.push(Announced { room: announced.room.clone(), numbers: Numbers::default() });
                    self.rooms.sort_by_key(|known| known.room.code);
                }
                Event::RoomWithdrawn(withdrawn) => self.rooms.retain(|known| known.room.code != withdrawn.code),
                Event::RoomCounted(counted) => {
                    if let Some(known) = self.rooms.iter_mut().find(|known| known.room.code == counted.code) {
                        known.numbers = counted.numbers;
                    }
                }
                Event::DayCalledOff(off) => {
                    self.days.call_off(calendar::local_day(record.at), *off);
                    self.days.said(unheard(record, DayWord::Off(*off)));
                }
                Event::DayTakenUp(up) => {
                    self.days.take_up(calendar::local_day(record.at), *up);
                    self.days.said(unheard(record, DayWord::On(*up)));
                }
                Event::DayHeard(heard) => self.days.heard(*heard),
            }
        }
    }

    /// MU-1 and MU-2, in a walk over the versions of the museum, which are few.
    fn check(&self) -> Result<(), Broken> {
        let broken = |invariant, what| Err(Broken { invariant, what });
        let empty =
            self.plans.list.is_empty() && self.tariffs.list.is_empty() && self.ceilings.list.is_empty() && self.group_policies.list.is_empty();
        let empty = empty && self.rooms.is_empty() && self.days.are_as_planned();
        if self.profile.is_none() && !empty {
            return broken("MU-1", "something is set for a museum that is not registered");
        }
        let in_order = self.plans.are_in_order() && self.tariffs.are_in_order() && self.ceilings.are_in_order() && self.group_policies.are_in_order();
        if !in_order {
            return broken("MU-2", "versions are out of order or stand twice");
        }
        if !room::are_sound(&self.rooms) {
            return broken("MU-5", "a waiting room stands twice, or there are too many");
        }
        Ok(())
    }
}

impl Museum {
    /// The museum with this number, of which nothing is known yet.
    #[must_use]
    pub fn new(id: MuseumId) -> Self {
        Self {
            id,
            profile: None,
            plans: Versions::new(),
            tariffs: Versions::new(),
            ceilings: Versions::new(),
            group_policies: Versions::new(),
            rooms: Vec::new(),
            past: Past::default(),
            days: Days::default(),
        }
    }

    /// Rebuilds a museum from all its records.
    #[must_use]
    pub fn replay<'a>(id: MuseumId, records: impl IntoIterator<Item = &'a Record<Event>>) -> Self {
        Self::new(id).after(records)
    }

    /// The revision in force on the first day of what a command would set.
    fn revision_under(&self, set: &Command) -> Option<u32> {
        match set {
            Command::SetPlan { valid_from, .. } => self.plans.on(*valid_from).map(|version| version.revision),
            Command::SetTariff { valid_from, .. } => self.tariffs.on(*valid_from).map(|version| version.revision),
            Command::SetCeiling { valid_from, .. } => self.ceilings.on(*valid_from).map(|version| version.revision),
            Command::SetGroupPolicy { valid_from, .. } => self.group_policies.on(*valid_from).map(|version| version.revision),
            Command::Register { .. }
            | Command::Correct { .. }
            | Command::OnlyIf { .. }
            | Command::AnnounceRoom { .. }
            | Command::WithdrawRoom { .. }
            | Command::CountRoom { .. }
            | Command::SayOfDay { .. }
            | Command::DayHeard { .. } => None,
        }
    }

    /// Whether a plan may follow the one in force before `valid_from` and be followed by the next one (MU-3).
    fn fits_in(&self, valid_from: Date, plan: &OpeningPlan) -> Result<(), PlanError> {
        if let Some(before) = valid_from.yesterday().ok().and_then(|eve| self.plans.on(eve)) {
            plan.may_follow(&before.what, valid_from)?;
        }
        self.plans.after(valid_from).map_or(Ok(()), |after| after.what.may_follow(plan, after.valid_from))
    }

    /// Whether moreover every version is sound in itself and beside its neighbours (MU-3): for tests and after a replay, as it walks all of them.
    pub fn recount(&self) -> Result<(), Broken> {
        self.check()?;
        let broken = |what| Err(Broken { invariant: "MU-3", what });
        let plans = self.plans.list.iter().all(|plan| plan.what.validate().is_ok());
        let tariffs = self.tariffs.list.iter().all(|tariff| tariff.what.validate().is_ok());
        if !plans || !tariffs || !self.group_policies.list.iter().all(|policy| policy.what.validate().is_ok()) {
            return broken("a plan, tariff or policy for groups is not sound");
        }
        if self.plans.list.windows(2).any(|pair| pair[1].what.may_follow(&pair[0].what, pair[1].valid_from).is_err()) {
            return broken("a plan reaches into the one that follows it");
        }
        Ok(())
    }

    /// Its number.
    #[must_use]
    pub const fn id(&self) -> MuseumId {
        self.id
    }

    /// Who it is; none before it is registered.
    #[must_use]
    pub const fn profile(&self) -> Option<&Profile> {
        self.profile.as_ref()
    }

    /// Its waiting rooms, by name; those that have closed may be among them.
    #[must_use]
    pub fn rooms(&self) -> &[Announced] {
        &self.rooms
    }

    /// A waiting room.
    #[must_use]
    pub fn room(&self, code: Code) -> Option<&Announced> {
        self.rooms.iter().find(|known| known.room.code == code)
    }

    /// Why what starts then does not take place; none if its day is not called off.
    #[must_use]
    pub fn called_off(&self, start: Timestamp) -> Option<Code> {
        self.days.off_at(start)
    }

    /// Whether the day of what starts then is called off for that reason, for whichever others it is besides.
    #[must_use]
    pub fn is_called_off_for(&self, start: Timestamp, reason: Code) -> bool {
        self.days.is_off_for(start, reason)
    }

    /// What was said of days and not all of their slots have heard yet, in the order in which it was said.
    #[must_use]
    pub fn unheard(&self) -> &[Unheard] {
        self.days.unheard()
    }

    /// The slot with this id as nobody has written to it, closed if its day is called off; none if the plan has no such slot.
    #[must_use]
    pub fn planned(&self, slot: SlotId) -> Option<Slot> {
        self.opening(slot).map(|opening| Slot::planned_on(opening, self.called_off(slot.start())))
    }

    /// Time of the last record.
    #[must_use]
    pub const fn last_at(&self) -> Timestamp {
        self.past.last_at()
    }

    /// The plan in force on `date` in Rome, with its revision: the one with the latest day up to then.
    #[must_use]
    pub fn plan_on(&self, date: Date) -> Option<(u32, &OpeningPlan)> {
        self.plans.on(date).map(|version| (version.revision, &version.what))
    }

    /// The day from which the plan in force on `date` holds.
    #[must_use]
    pub fn plan_since(&self, date: Date) -> Option<Date> {
        self.plans.on(date).map(|version| version.valid_from)
    }

    /// The tariff in force for visits on `date` in Rome, with its revision.
    #[must_use]
    pub fn tariff_on(&self, date: Date) -> Option<(u32, &Tariff)> {
        self.tariffs.on(date).map(|version| (version.revision, &version.what))
    }

    /// The day from which the tariff in force on `date` holds.
    #[must_use]
    pub fn tariff_since(&self, date: Date) -> Option<Date> {
        self.tariffs.on(date).map(|version| version.valid_from)
    }

    /// The revision of the ceiling in force on `date`, and the day from which it holds; none if nobody has set one, or none.
    #[must_use]
    pub fn ceiling_since(&self, date: Date) -> Option<(u32, Date)> {
        self.ceilings.on(date).map(|version| (version.revision, version.valid_from))
    }

    /// The most people who may be inside at once on `date` in Rome; none: no ceiling.
    #[must_use]
    pub fn ceiling_on(&self, date: Date) -> Option<u32> {
        self.ceilings.on(date).and_then(|version| version.what)
    }

    /// Whether somebody has said that there is no ceiling on `date` in Rome, and not merely nothing of that day.
    #[must_use]
    pub fn has_no_ceiling_on(&self, date: Date) -> bool {
        self.ceilings.on(date).is_some_and(|version| version.what.is_none())
    }

    /// The rules for groups in force for visits on `date` in Rome, with their revision; the defaults, as revision 0, where nobody has set any.
    #[must_use]
    pub fn group_policy_on(&self, date: Date) -> (u32, GroupPolicy) {
        self.group_policies.on(date).map_or_else(|| (0, GroupPolicy::default()), |version| (version.revision, version.what.clone()))
    }

    /// The day from which the rules for groups in force on `date` hold; none if nobody has set any.
    #[must_use]
    pub fn group_policy_since(&self, date: Date) -> Option<Date> {
        self.group_policies.on(date).map(|version| version.valid_from)
    }

    /// The planned slot with this id, with the ceiling of its day; none if the plan has no such slot. A session that began the evening before is of that
    /// evening's plan.
    #[must_use]
    pub fn opening(&self, slot: SlotId) -> Option<Opening> {
        let date = calendar::local_day(slot.start());
        let on = |date: Date| self.plan_on(date).and_then(|(revision, plan)| plan.find_on(self.id, revision, slot, date));
        on(date).or_else(|| on(date.yesterday().ok()?)).map(|opening| self.with_ceiling(opening))
    }

    /// The planned slots of all sessions that open from `from` to `to` (both included, in Rome), ordered by start, then route. The caller bounds the range.
    #[must_use]
    pub fn openings(&self, from: Date, to: Date) -> Vec<Opening> {
        let mut openings = Vec::new();
        let mut next = Some(from);
        while let Some(date) = next.filter(|&date| date <= to) {
            if let Some((revision, plan)) = self.plan_on(date) {
                openings.extend(plan.slots(self.id, revision, date).into_iter().map(|opening| self.with_ceiling(opening)));
            }
            next = date.tomorrow().ok();
        }
        openings.sort_by_key(|opening| (opening.slot.start(), opening.slot));
        openings
    }

    fn with_ceiling(&self, mut opening: Opening) -> Opening {
        opening.policy.ceiling = self.ceiling_on(calendar::local_day(opening.slot.start()));
        opening
    }
}

/// What a record says of a day, which no slot has heard yet.
fn unheard(record: &Record<Event>, word: DayWord) -> Unheard {
    Unheard { seq: record.seq, who: record.envelope.as_ref().map_or(KeyId::SYSTEM, |envelope| envelope.who), word }
}

#[cfg(test)]
mod tests;
