//! A museum as a stream: who it is, and its opening plans, tariffs, building ceilings and rules for groups, each version with the day from which it holds.
//!
//! The contract of every [`Aggregate`]: `decide` holds all rules, `apply` none, `check` asserts the invariants; there are no deadlines. The past cannot be
//! changed: a version holds from today in Rome at the earliest, and slots that were opened keep the plan under which they were.
//!
//! - MU-1: nothing is set for a museum that is not registered.
//! - MU-2: of each kind there is one version per day from which it holds, in order of days, and no revision stands twice.
//! - MU-3: every plan, tariff and policy for groups is sound, and no session of a plan reaches into one of the plan that follows it; so every planned slot has one id.
//! - MU-5: of each name there is one waiting room, and the numbers given out in it never go back.
//! - MU-4: replay equals live: the records of a museum, applied in order, give the same state to the byte.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Broken};
use crate::calendar::{self, MonthDay};
use crate::envelope::Envelope;
use crate::ids::{Code, MuseumId, SlotId};
use crate::plan::{OpeningPlan, PlanError};
use crate::quote::policy::{GroupPolicy, PolicyError};
use crate::recall::{Keys, Recall};
use crate::record::Record;
use crate::room::{self, Announced, Numbers, Room, RoomError};
use crate::slot::Opening;
use crate::tariff::{Tariff, TariffError};
use crate::text::is_line;
use crate::time::Timestamp;

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
        /// Which.
        code: Code,
        /// Up to which numbers.
        numbers: Numbers,
    },
    /// Set one of these only if what is in force on its first day is what the caller has read.
    OnlyIf {
        /// The revision that the caller has read.
        revision: u32,
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
    #[error("give name, city and region of 1 to 200 bytes without control characters, and a latitude and longitude on earth")]
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
    /// There is no such waiting room.
    #[error("there is no such waiting room")]
    UnknownRoom,
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
            Self::UnknownRoom => "unknown_waiting_room",
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
    keys: Keys,
    /// Number of the last record; records of a stream are numbered from 1.
    seq: u64,
    /// Time of the last record.
    last_at: Timestamp,
}

impl Aggregate for Museum {
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn recall(&self, envelope: &Envelope) -> Recall {
        self.keys.recall(envelope)
    }

    /// Time never goes backwards: `now` counts as at least the time of the last record.
    fn decide(&self, now: Timestamp, command: &Command) -> Result<Vec<Event>, Refusal> {
        let today = calendar::local_day(self.at_least(now));
        let event = match (command, &self.profile) {
            (Command::Register { .. }, Some(_)) => return Err(Refusal::AlreadyRegistered),
            (Command::Register { profile }, None) if !profile.is_sound() => return Err(Refusal::InvalidProfile),
            (Command::Register { profile }, None) => Event::Registered(Registered { profile: profile.clone() }),
            (_, None) => return Err(Refusal::NotRegistered),
            (Command::OnlyIf { revision, set }, _) => {
                let in_force = self.revision_under(set);
                return if in_force == Some(*revision) {
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
                let now = self.at_least(now);
                room.validate(now).map_err(Refusal::InvalidRoom)?;
                if self.rooms.iter().any(|known| known.room.code == room.code && known.room.closes_at > now) {
                    return Err(Refusal::RoomExists);
                }
                if self.rooms.iter().filter(|known| known.room.closes_at > now).count() >= room::ROOMS_MAX {
                    return Err(Refusal::TooManyRooms);
                }
                Event::RoomAnnounced(RoomAnnounced { room: (**room).clone() })
            }
            (Command::WithdrawRoom { code }, _) => {
                self.room(*code).ok_or(Refusal::UnknownRoom)?;
                Event::RoomWithdrawn(RoomWithdrawn { code: *code })
            }
            (Command::CountRoom { code, numbers }, _) => {
                let known = self.room(*code).ok_or(Refusal::UnknownRoom)?.numbers;
                let numbers = Numbers { early: numbers.early.max(known.early), late: numbers.late.max(known.late) };
                Event::RoomCounted(RoomCounted { code: *code, numbers })
            }
        };
        Ok(vec![event])
    }

    fn due(&self, _now: Timestamp) -> Vec<Event> {
        Vec::new()
    }

    fn record(&self, now: Timestamp, envelope: Option<Envelope>, events: Vec<Event>) -> Record<Event> {
        Record { seq: self.seq + 1, at: self.at_least(now), envelope, events }
    }

    fn apply(&mut self, record: &Record<Event>) {
        self.seq = record.seq;
        self.last_at = record.at;
        if let Some(envelope) = &record.envelope {
            self.keys.remember(envelope.who, envelope.key, envelope.body, record.seq, record.at);
        }
        for event in &record.events {
            match event {
                Event::Registered(registered) => self.profile = Some(registered.profile.clone()),
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
            }
        }
    }

    /// MU-1 and MU-2, in a walk over the versions of the museum, which are few.
    fn check(&self) -> Result<(), Broken> {
        let broken = |invariant, what| Err(Broken { invariant, what });
        let empty =
            self.plans.list.is_empty() && self.tariffs.list.is_empty() && self.ceilings.list.is_empty() && self.group_policies.list.is_empty();
        let empty = empty && self.rooms.is_empty();
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

    fn wake_at(&self) -> Option<Timestamp> {
        None
    }

    fn seq(&self) -> u64 {
        self.seq
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
            keys: Keys::default(),
            seq: 0,
            last_at: Timestamp::MIN,
        }
    }

    /// Rebuilds a museum from all its records.
    #[must_use]
    pub fn replay<'a>(id: MuseumId, records: impl IntoIterator<Item = &'a Record<Event>>) -> Self {
        let mut museum = Self::new(id);
        records.into_iter().for_each(|record| museum.apply(record));
        museum
    }

    /// The revision in force on the first day of what a command would set.
    fn revision_under(&self, set: &Command) -> Option<u32> {
        match set {
            Command::SetPlan { valid_from, .. } => self.plans.on(*valid_from).map(|version| version.revision),
            Command::SetTariff { valid_from, .. } => self.tariffs.on(*valid_from).map(|version| version.revision),
            Command::SetCeiling { valid_from, .. } => self.ceilings.on(*valid_from).map(|version| version.revision),
            Command::SetGroupPolicy { valid_from, .. } => self.group_policies.on(*valid_from).map(|version| version.revision),
            Command::Register { .. }
            | Command::OnlyIf { .. }
            | Command::AnnounceRoom { .. }
            | Command::WithdrawRoom { .. }
            | Command::CountRoom { .. } => None,
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

    /// Time of the last record.
    #[must_use]
    pub const fn last_at(&self) -> Timestamp {
        self.last_at
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

    fn at_least(&self, now: Timestamp) -> Timestamp {
        now.max(self.last_at)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::envelope::Digest;
    use crate::ids::{KeyId, RouteId};
    use crate::money::Cents;
    use crate::plan::{Route, Session};
    use crate::slot::Policy;
    use crate::text::Text;
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
        Envelope { who: KeyId(1), key: Digest(key), body: Digest(key + 1), parties: Vec::new(), assessment: None, order: None }
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
        let only_if = |revision, ceiling| Command::OnlyIf { revision, set: Box::new(set(ceiling)) };
        assert_eq!(ask(&only_if(1, 5)), Err(Refusal::NotRegistered));
        assert_eq!(ask(&Command::Register { profile: profile() }), Ok(()));
        assert_eq!(ask(&only_if(1, 5)), Err(Refusal::PreconditionFailed { revision: 0 }));
        assert_eq!(ask(&set(5)), Ok(()));
        assert_eq!(ask(&only_if(1, 6)), Ok(()));
        assert_eq!(ask(&only_if(1, 7)), Err(Refusal::PreconditionFailed { revision: 2 }));
        let nested = Command::OnlyIf { revision: 2, set: Box::new(only_if(2, 8)) };
        assert_eq!(ask(&nested), Err(Refusal::PreconditionFailed { revision: 0 }));
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
            (&[], unsound(|p| p.name.clear()), Refusal::InvalidProfile),
            (&[], unsound(|p| p.city = "\u{202e}".to_owned()), Refusal::InvalidProfile),
            (&[], unsound(|p| p.latitude_microdeg = 90_000_001), Refusal::InvalidProfile),
            (&[], unsound(|p| p.longitude_microdeg = i32::MIN), Refusal::InvalidProfile),
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
        ];
        for (refusal, code) in cases {
            assert_eq!(refusal.code(), code);
        }
    }

    #[test]
    fn what_happens_is_what_was_asked() {
        let cases = [
            (vec![], register(), Event::Registered(Registered { profile: profile() })),
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
        assert!(museum.decide(now().plus_seconds(86_400), &set_ceiling(ahead(401), None)).is_ok());
    }

    #[test]
    fn a_command_is_recalled_and_time_does_not_go_back() {
        let (mut museum, _) = given(&[register(), set_ceiling(TODAY, Some(10))]);
        let other_body = Envelope { body: Digest(99), ..asked(1) };
        let cases =
            [(asked(0), Recall::Done { seq: 1 }), (asked(1), Recall::Done { seq: 2 }), (asked(2), Recall::New), (other_body, Recall::OtherBody)];
        for (envelope, expected) in cases {
            assert_eq!(museum.recall(&envelope), expected);
        }
        let record = museum.record(Timestamp::MIN, None, Vec::new());
        assert_eq!((record.seq, record.at), (3, now()));
        museum.apply(&museum.record(now().plus_seconds(2 * 86_400), Some(asked(5)), Vec::new()));
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
            6 => (day.clone(), 0_i8..24, 1_i8..24).prop_map(|(day, opens, hours)| set_plan(day, plan(opens, opens + hours))),
            1 => (day.clone(), 0_i64..2_000).prop_map(|(valid_from, full)| Command::SetTariff { valid_from, tariff: Tariff::state_museum(Cents::new(full)) }),
            2 => (day.clone(), prop::option::of(0_u32..3)).prop_map(|(day, ceiling)| set_ceiling(day, ceiling)),
            1 => (day, 8_u16..30).prop_map(|(day, group_max)| set_group_policy(day, group_max)),
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
        let code: Code = "spring".parse().unwrap();
        let count = |early, late| Command::CountRoom { code, numbers: Numbers { early, late } };
        let (mut museum, mut records) = given(&[Command::Register { profile: profile() }, announce("spring"), count(5, 9), count(3, 10)]);
        assert_eq!(museum.room(code).map(|known| known.numbers), Some(Numbers { early: 5, late: 10 }));
        assert_eq!(museum.decide(now(), &announce("spring")), Err(Refusal::RoomExists));
        let past = Command::AnnounceRoom { room: Box::new(room("x", 0)) };
        assert_eq!(museum.decide(now(), &past), Err(Refusal::InvalidRoom(RoomError::OpensInThePast)));
        let other = Command::WithdrawRoom { code: "autumn".parse().unwrap() };
        assert_eq!(museum.decide(now(), &other), Err(Refusal::UnknownRoom));
        for i in 0..15 {
            let events = museum.decide(now(), &announce(&format!("room-{i}"))).unwrap();
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
            prop_assert_eq!(&postcard::from_bytes::<Museum>(&bytes).unwrap(), &museum);
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
}
