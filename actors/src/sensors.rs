//! Readings come in, people inside go out: an estimate for each museum in memory. What follows for the slots is shared out by the node.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::broadcast;
use tornello_engine::ids::{Code, KeyId, MuseumId};
use tornello_engine::time::Timestamp;
use tornello_models::ModelError;
use tornello_models::dwell::{Dwell, Entries, Inside};

use crate::board::Board;
use crate::museums::Museums;

/// How far a sensor's clock may be ahead, in seconds; as in the slot.
const AHEAD_S: i64 = 60;
/// A reading older than this says nothing about now.
const OLD_S: i64 = 3_600;
/// The most doors of one museum.
const DOORS_MAX: usize = 256;
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
    /// People who came in since the sensor's last reading. What follows is inside = entries within the dwell time.
    Entries {
        /// How many.
        people: u32,
    },
}

/// People inside a museum now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occupancy {
    /// Which museum.
    pub museum: MuseumId,
    /// The estimate.
    pub inside: Inside,
    /// When it was measured.
    pub at: Timestamp,
    /// By which sensor.
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

/// What is known of one museum's building.
#[derive(Debug, Default)]
struct Site {
    /// Those who came in, door by door.
    doors: HashMap<Code, Entries>,
    /// Those who were inside when the program started, as if they had all just come in.
    before: Option<Entries>,
    occupancy: Option<Occupancy>,
}

impl Site {
    /// Takes a reading in; answers the people inside at that moment. People inside as measured replace what was known; entries add up over all doors.
    fn take(&mut self, reading: Reading) -> Result<Inside, Rejected> {
        let newest = self.occupancy.map_or(Timestamp::MIN, |occupancy| occupancy.at);
        match reading.measured {
            Measured::Inside { .. } if reading.at <= newest => Err(Rejected::OutOfOrder),
            Measured::Inside { people, sd } => Ok(Inside { people, sd: sd.unwrap_or(Inside::counted(people).sd) }),
            Measured::Entries { people } => {
                let at_s = reading.at.max(newest).as_seconds();
                self.doors.retain(|sensor, door| *sensor == reading.sensor || people_of(door, at_s) > 0);
                if !self.doors.contains_key(&reading.sensor) && self.doors.len() >= DOORS_MAX {
                    return Err(Rejected::TooManySensors);
                }
                let door = self.doors.entry(reading.sensor).or_insert_with(|| Entries::new(Dwell::default()));
                // A door refuses nothing but a count that is old or was taken before.
                door.push(reading.at.as_seconds(), people).map_err(|_: ModelError| Rejected::OutOfOrder)?;
                let before = self.before.iter().map(|before| people_of(before, at_s));
                let doors = self.doors.values().map(|door| people_of(door, at_s));
                Ok(Inside::counted(doors.chain(before).fold(0, u32::saturating_add)))
            }
        }
    }
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

impl Sensors {
    /// Takes a reading in. Answers the new estimate.
    pub fn take(&self, reading: Reading, who: KeyId, now: Timestamp, museums: &Museums) -> Result<Occupancy, Rejected> {
        museums.get(reading.museum).ok_or(Rejected::UnknownMuseum)?;
        if reading.at > now.plus_seconds(AHEAD_S) {
            return Err(Rejected::InFuture);
        }
        if reading.at <= now.plus_seconds(-OLD_S) {
            return Err(Rejected::Old);
        }
        let mut sites = self.sites.lock();
        let site = sites.entry(reading.museum).or_default();
        let inside = site.take(reading)?;
        // A door that is a little behind the others changes the sum, not the time of it.
        let at = site.occupancy.map_or(reading.at, |last| last.at.max(reading.at));
        let occupancy = Occupancy { museum: reading.museum, inside, at, sensor: reading.sensor, who };
        site.occupancy = Some(occupancy);
        drop(sites);
        let _ = self.feed.send(occupancy);
        Ok(occupancy)
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

    /// Starts from what the slots were told last: after a restart nobody has left meanwhile, which errs on the safe side.
    pub fn restore(&self, board: &Board, museums: &Museums) {
        let mut sites = self.sites.lock();
        for known in museums.all() {
            let museum = known.museum.id();
            let last = board.heads_of(museum).into_iter().filter_map(|(_, head)| head.places.live).max_by_key(|live| live.measured_at);
            if let Some(live) = last {
                let inside = Inside { people: live.people, sd: live.sd };
                let site = sites.entry(museum).or_default();
                site.occupancy = Some(Occupancy { museum, inside, at: live.measured_at, sensor: live.source, who: KeyId::SYSTEM });
                site.before = Some(begun(inside, live.measured_at));
            }
        }
    }
}

/// Those who came in by one door and are still inside; no door is asked for a time before its last count.
fn people_of(door: &Entries, at_s: i64) -> u32 {
    door.inside(at_s).map_or(0, |inside| inside.people)
}

/// An estimator that begins with people who are inside as if they had all just come in.
fn begun(inside: Inside, at: Timestamp) -> Entries {
    let mut entries = Entries::new(Dwell::default());
    // An empty estimator takes any first count.
    let _ = entries.push(at.as_seconds(), inside.people);
    entries
}
