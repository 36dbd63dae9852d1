//! Readings come in, people inside go out: an estimate for each museum in memory. What follows for the slots is shared out by the node. What is known of one
//! building stands in [`site`], people in the area around it in [`cells`].

pub mod cells;
mod site;

use std::collections::HashMap;

use jiff::ToSpan;
use jiff::civil::Date;
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tornello_engine::attendance::DoorDay;
use tornello_engine::calendar;
use tornello_engine::ids::{Code, KeyId, MuseumId, SlotId};
use tornello_engine::slot::{Live, Words};
use tornello_engine::time::Timestamp;
pub use tornello_models::dwell::Inside;
use tornello_models::occupancy::{Balance, Quality};

use crate::attended::{Attended, balance_of};
use crate::board::{Board, SlotHead};
use crate::buildings::Buildings;
use crate::journal::JournalError;
use crate::museums::Museums;
use crate::plans::Plans;
use crate::streams::Streams;
use cells::{Around, Seen};
use site::Site;

/// How far a sensor's clock may be ahead, in seconds; as in the slot.
const AHEAD_S: i64 = 60;
/// A reading older than this says nothing about now.
const OLD_S: i64 = 3_600;
/// A building's day begins at this hour in Rome: by then the last visitors of the evening before have left.
const DAY_BEGINS_H: i8 = 4;
/// More people than so many times the ceiling are not thought to be inside.
const ROOM_FACTOR: f64 = 2.0;
/// Where there is no ceiling.
const ROOM: f64 = 100_000.0;
/// How many changes a slow watcher may be behind.
const FEED: usize = 1_024;

/// What a sensor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Of which museum.
    pub museum: MuseumId,
    /// Which sensor.
    pub sensor: Code,
    /// When it was measured; for a count of entries, the end of its interval.
    pub at: Timestamp,
    /// What was measured.
    pub measured: Measured,
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measured {
    /// People inside, with the standard deviation if the sensor knows it.
    Inside {
        /// How many.
        people: u32,
        /// Give or take.
        sd: Option<u32>,
    },
    /// People who came in since the sensor's last reading. Of a museum whose doors count nothing else what follows is inside = entries within the dwell time.
    Entries {
        /// How many.
        people: u32,
    },
    /// People who came in and went out by one door since the sensor's last reading.
    Flow {
        /// How many in.
        entered: u32,
        /// How many out.
        left: u32,
    },
    /// People in one part of the building, as a camera sees it: all parts together are the building.
    Zone {
        /// How many.
        people: u32,
        /// Give or take.
        sd: u32,
    },
    /// Phones of one operator that a microcell sees: the sensor is the cell. Never which phones.
    Cell {
        /// Whose.
        operator: Code,
        /// How many.
        devices: u32,
        /// The operator's share of the market there, in thousandths, and its standard deviation.
        share_permille: u16,
        /// See `share_permille`.
        share_sd_permille: u16,
    },
}

impl Measured {
    /// Whether it says something of the building, and not only of the area around it.
    #[must_use]
    pub const fn is_inside(&self) -> bool {
        !matches!(self, Self::Cell { .. })
    }
}

/// People inside a museum now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occupancy {
    /// Which museum.
    pub museum: MuseumId,
    /// The estimate.
    pub inside: Inside,
    /// How far to trust it.
    pub quality: Quality,
    /// When it was measured.
    pub at: Timestamp,
    /// By which sensor then.
    pub sensor: Code,
    /// Under which key the reading came; after a restart the system's.
    pub who: KeyId,
}

/// Why a reading was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// No such museum.
    #[error("there is no such museum")]
    UnknownMuseum,
    /// The sensor's clock is wrong.
    #[error("the reading is from the future: check the sensor's clock")]
    InFuture,
    /// Too old to say anything about now.
    #[error("the reading is more than an hour old")]
    Old,
    /// A newer one is known: of the building, or of entries through the same door.
    #[error("a reading of this instant or a later one is known")]
    OutOfOrder,
    /// More doors than any building has.
    #[error("256 sensors of this museum have counted entries lately: use one name for each door")]
    TooManySensors,
}

impl Rejected {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::UnknownMuseum => "unknown_museum",
            Self::InFuture => "reading_in_future",
            Self::Old => "reading_stale",
            Self::OutOfOrder => "reading_out_of_order",
            Self::TooManySensors => "too_many_sensors",
        }
    }
}

/// What the doors of a building summed up over a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summed {
    /// The sums.
    pub doors: DoorDay,
    /// Whether they are of the whole day, and do not begin in its middle, as where the program was started again.
    pub is_whole: bool,
}

/// The estimates of all museums.
#[derive(Debug)]
pub struct Sensors {
    sites: Mutex<HashMap<MuseumId, Site>>,
    feed: broadcast::Sender<Occupancy>,
}

impl Default for Sensors {
    fn default() -> Self {
        Self { sites: Mutex::default(), feed: broadcast::channel(FEED).0 }
    }
}

/// What an estimate is made with beside readings.
#[derive(Debug, Clone, Copy)]
pub struct Beside<'a> {
    /// Plans and ceilings.
    pub museums: &'a Museums,
    /// What gates let in.
    pub board: &'a Board,
    /// Whom of those they told of late.
    pub buildings: &'a Buildings,
    /// What doors counted on the days before.
    pub attended: &'a Attended,
    /// What museums know of their gates.
    pub plans: &'a Plans,
}

/// What a building's day is made with.
#[derive(Debug, Clone)]
struct Setting {
    /// The day in Rome.
    date: Date,
    /// Its first midnight, in minutes since 1970.
    midnight_min: i64,
    /// When its first slot begins, or the day itself where none is planned.
    opens: Timestamp,
    balance: Balance,
    /// Share of entries that pass a gate, if the museum knows it.
    gated: Option<f64>,
    /// More people are not thought to fit in.
    room: f64,
    /// People let in by gates that day, so far.
    scanned: u32,
    /// How many of them gates told of late.
    late: u32,
}

impl Beside<'_> {
    fn setting(&self, museum: MuseumId, now: Timestamp) -> Setting {
        let date = building_day(now);
        let known = self.museums.get(museum);
        let room_on = |date: Date| {
            let ceiling = known.as_ref().and_then(|known| known.museum.ceiling_on(date));
            ceiling.map_or(ROOM, |ceiling| f64::from(ceiling) * ROOM_FACTOR)
        };
        Setting {
            date,
            midnight_min: calendar::instant(date.at(0, 0, 0, 0)).as_seconds().div_euclid(60),
            opens: known.as_ref().and_then(|known| Some(known.day(date).first()?.slot.start())).unwrap_or_else(|| day_begins(date)),
            balance: balance_of(&self.attended.get(museum)),
            gated: self.plans.policy_on(museum, date).gated_percent.map(|percent| f64::from(percent) / 100.0),
            // In the night another ceiling may hold by now than that of the evening.
            room: room_on(date).max(room_on(calendar::local_day(now))),
            scanned: self.scanned(museum, date),
            // Counted before the slots' counters show them, and so looked up behind these.
            late: self.buildings.told_late(museum, date),
        }
    }

    /// People let in by gates, by slots of that day.
    fn scanned(&self, museum: MuseumId, date: Date) -> u32 {
        let [from, to] = [date, date.saturating_add(1.day())].map(day_begins);
        let heads = self.board.heads_between(museum, from, to.plus_seconds(-1));
        heads.into_iter().map(|(_, head)| head.places.admitted).fold(0, u32::saturating_add)
    }

    /// Those of them whom gates told of in time: when the others came in a count of now does not say.
    fn scanned_in_time(&self, museum: MuseumId, date: Date) -> u32 {
        let scanned = self.scanned(museum, date);
        scanned.saturating_sub(self.buildings.told_late(museum, date))
    }
}

/// The last reading that slots were told of a building, and one that was. Of one instant several may have been told, as when a door was behind the others: then the one by which
/// more may be inside, which errs on the safe side.
pub(crate) fn last_told(heads: &[(SlotId, SlotHead)]) -> Option<(SlotId, Live)> {
    heads.iter().filter_map(|(slot, head)| Some((*slot, head.places.live?))).max_by_key(|(_, live)| (live.measured_at, live.upper()))
}

/// The day of a building in Rome: it ends in the night, when nobody is inside, by the clocks and not so many hours after midnight.
#[must_use]
pub fn building_day(now: Timestamp) -> Date {
    let shown = calendar::local(now);
    if shown.hour() < DAY_BEGINS_H { shown.date().saturating_sub(1.day()) } else { shown.date() }
}

/// When a building's day begins.
#[must_use]
pub fn day_begins(date: Date) -> Timestamp {
    calendar::instant(date.at(DAY_BEGINS_H, 0, 0, 0))
}

impl Sensors {
    /// Takes a reading in. Answers the new estimate; none if it says nothing of the building.
    pub fn take(&self, reading: Reading, who: KeyId, now: Timestamp, beside: Beside<'_>) -> Result<Option<Occupancy>, Rejected> {
        beside.museums.get(reading.museum).ok_or(Rejected::UnknownMuseum)?;
        if reading.at > now.plus_seconds(AHEAD_S) {
            return Err(Rejected::InFuture);
        }
        if reading.at <= now.plus_seconds(-OLD_S) {
            return Err(Rejected::Old);
        }
        let counts = matches!(reading.measured, Measured::Flow { .. });
        let setting = (counts || self.follows(reading.museum)).then(|| beside.setting(reading.museum, now));
        let mut sites = self.sites.lock();
        let site = sites.entry(reading.museum).or_default();
        if let Measured::Cell { operator, devices, share_permille, share_sd_permille } = reading.measured {
            site.around.take((reading.sensor, operator), Seen { at: reading.at, devices, share_permille, share_sd_permille })?;
            return Ok(None);
        }
        let (inside, quality) = site.take(reading, setting.as_ref())?;
        // A door that is a little behind the others changes the sum, not the time of it, nor whose word that time is: its next count may be from before it.
        let as_of = site.as_of(quality, reading.at);
        let newer = site.occupancy.filter(|last| last.at > as_of);
        let (at, sensor) = newer.map_or((as_of, reading.sensor), |last| (last.at, last.sensor));
        let occupancy = Occupancy { museum: reading.museum, inside, quality, at, sensor, who };
        site.publish_read(occupancy, reading.at);
        drop(sites);
        let _ = self.feed.send(occupancy);
        Ok(Some(occupancy))
    }

    /// Whether people in and out are followed minute by minute there.
    fn follows(&self, museum: MuseumId) -> bool {
        self.sites.lock().get(&museum).is_some_and(Site::follows)
    }

    /// The museums whose people are followed minute by minute.
    #[must_use]
    pub fn followed(&self) -> Vec<MuseumId> {
        self.sites.lock().iter().filter(|(_, site)| site.follows()).map(|(museum, _)| *museum).collect()
    }

    /// Lets time pass where people are followed minute by minute: gates may have let people in though no sensor says so. Answers the new estimate if somebody was
    /// counted since the last one.
    pub fn pass(&self, museum: MuseumId, now: Timestamp, beside: Beside<'_>) -> Option<Occupancy> {
        let setting = beside.setting(museum, now);
        let mut sites = self.sites.lock();
        let site = sites.get_mut(&museum)?;
        let (inside, quality, at) = site.pass(now, &setting)?;
        let occupancy = Occupancy { inside, quality, at, ..site.occupancy? };
        site.publish(occupancy);
        drop(sites);
        let _ = self.feed.send(occupancy);
        Some(occupancy)
    }

    /// What the doors of a building summed up over a day that is over, until that is written down ([`Sensors::forget_day`]).
    pub fn door_day(&self, museum: MuseumId, date: Date, now: Timestamp, beside: Beside<'_>) -> Option<Summed> {
        let setting = beside.setting(museum, now);
        self.sites.lock().get_mut(&museum)?.door_day(date, &setting)
    }

    /// What the doors of a building summed up over a day is written down: nobody asks for it any more.
    pub fn forget_day(&self, museum: MuseumId, date: Date) {
        if let Some(site) = self.sites.lock().get_mut(&museum) {
            site.forget_day(date);
        }
    }

    /// People inside over the running day, every five minutes: when, how many, give or take.
    #[must_use]
    pub fn curve(&self, museum: MuseumId, now: Timestamp) -> Vec<(Timestamp, Inside)> {
        let begins = day_begins(building_day(now));
        self.sites.lock().get(&museum).map(|site| site.curve.iter().filter(|(at, _)| *at >= begins).copied().collect()).unwrap_or_default()
    }

    /// People in the area around a museum, and the share of them who came in.
    #[must_use]
    pub fn around(&self, museum: MuseumId, now: Timestamp, beside: Beside<'_>) -> Option<Around> {
        let scanned = beside.scanned_in_time(museum, building_day(now));
        self.sites.lock().get(&museum)?.around.at(now, scanned)
    }

    /// Notes what gates have let in wherever cells speak of the area around: once a minute, so that the share of those present who came in does not hang on who asks.
    pub fn note_admitted(&self, now: Timestamp, beside: Beside<'_>) {
        let spoken: Vec<MuseumId> = self.sites.lock().iter().filter(|(_, site)| site.around.speak(now)).map(|(museum, _)| *museum).collect();
        for museum in spoken {
            let scanned = beside.scanned_in_time(museum, building_day(now));
            if let Some(site) = self.sites.lock().get_mut(&museum) {
                site.around.note(now, scanned);
            }
        }
    }

    /// The last estimate of a museum.
    #[must_use]
    pub fn occupancy(&self, museum: MuseumId) -> Option<Occupancy> {
        self.sites.lock().get(&museum)?.occupancy
    }

    /// Follows the estimates from now on.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Occupancy> {
        self.feed.subscribe()
    }

    /// The last estimate of a museum, with that of which it was made, as slots are told it.
    pub(crate) fn to_tell(&self, museum: MuseumId) -> Option<(Occupancy, Words)> {
        self.sites.lock().get(&museum)?.to_tell()
    }

    /// Starts from what the slots were told last: after a restart nobody has left meanwhile, which errs on the safe side. What sensors say once more of what they had said by then
    /// is known. Of the day so far nobody knows what the doors of a museum had counted that was there before.
    ///
    /// # Errors
    /// Those of the journal, which has what they had said.
    pub async fn restore(&self, board: &Board, museums: &Museums, streams: &Streams, now: Timestamp) -> Result<(), JournalError> {
        for known in museums.all() {
            let museum = known.museum.id();
            self.sites.lock().entry(museum).or_default().started_at = Some(now);
            let heads = board.heads_of(museum);
            let Some((slot, live)) = last_told(&heads) else { continue };
            // What was said long before is refused as old, and nobody has to know of it.
            let is_fresh = live.measured_at.plus_seconds(2 * OLD_S) > now;
            let last = heads.iter().find(|(other, _)| is_fresh && *other == slot).map_or(0, |(_, head)| head.seq);
            let observed = streams.last_observed(slot, last).await?;
            let words = observed.filter(|observed| observed.measured_at == live.measured_at).map(|observed| observed.words).unwrap_or_default();
            let inside = Inside { people: live.people, sd: live.sd };
            let mut sites = self.sites.lock();
            let site = sites.entry(museum).or_default();
            site.occupancy =
                Some(Occupancy { museum, inside, quality: Quality::Uncalibrated, at: live.measured_at, sensor: live.source, who: KeyId::SYSTEM });
            site.begin_with(inside, live.measured_at, &words);
            for live in heads.iter().filter_map(|(_, head)| head.places.live) {
                site.has_heard(live.source, live.measured_at);
            }
        }
        Ok(())
    }
}
