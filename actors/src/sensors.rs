//! Readings come in, people inside go out: an estimate for each museum in memory, and a command to each slot that it concerns. A slot hears of a change that
//! matters to it, or that its last word is getting old; not of every reading.

use std::collections::HashMap;

use jiff::ToSpan;
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tornello_engine::calendar;
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{Code, KeyId, MuseumId, SlotId};
use tornello_engine::slot::{Command, Policy};
use tornello_engine::time::Timestamp;
use tornello_models::ModelError;
use tornello_models::dwell::{Dwell, Entries, Inside};

use crate::board::Board;
use crate::digest::digest;
use crate::museums::{Known, Museums};

/// How far a sensor's clock may be ahead, in seconds; as in the slot.
const AHEAD_S: i64 = 60;
/// A reading older than this says nothing about now.
const OLD_S: i64 = 3_600;
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
    /// A newer one of the same museum is known.
    #[error("a reading of this instant or a later one is known")]
    OutOfOrder,
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
        }
    }
}

/// A command that follows from a reading.
#[derive(Debug, Clone)]
pub struct Told {
    /// To which slot.
    pub slot: SlotId,
    /// Under which key: the same reading makes the same key.
    pub envelope: Envelope,
    /// [`Command::Observe`].
    pub command: Command,
}

#[derive(Debug, Default)]
struct State {
    estimators: HashMap<(MuseumId, Code), Entries>,
    occupancy: HashMap<MuseumId, Occupancy>,
    /// What each slot was told last: when, and the upper bound.
    told: HashMap<SlotId, (Timestamp, u32)>,
}

/// The estimates of all museums.
#[derive(Debug)]
pub struct Sensors {
    state: Mutex<State>,
    feed: broadcast::Sender<Occupancy>,
}

impl Default for Sensors {
    fn default() -> Self {
        Self { state: Mutex::default(), feed: broadcast::channel(FEED).0 }
    }
}

impl Sensors {
    /// Takes a reading in. Answers the new estimate and the commands that follow from it.
    pub fn take(&self, reading: Reading, who: KeyId, now: Timestamp, museums: &Museums, board: &Board) -> Result<(Occupancy, Vec<Told>), Rejected> {
        let known = museums.get(reading.museum).ok_or(Rejected::UnknownMuseum)?;
        if reading.at > now.plus_seconds(AHEAD_S) {
            return Err(Rejected::InFuture);
        }
        if reading.at <= now.plus_seconds(-OLD_S) {
            return Err(Rejected::Old);
        }
        let mut state = self.state.lock();
        if state.occupancy.get(&reading.museum).is_some_and(|last| last.sensor == reading.sensor && reading.at <= last.at) {
            return Err(Rejected::OutOfOrder);
        }
        let inside = match reading.measured {
            Measured::Inside { people, sd } => Inside { people, sd: sd.unwrap_or(Inside::counted(people).sd) },
            Measured::Entries { people } => {
                let before = state.occupancy.get(&reading.museum).copied();
                let estimator = state.estimators.entry((reading.museum, reading.sensor)).or_insert_with(|| begun(before));
                estimator.push(reading.at.as_seconds(), people).map_err(|error| match error {
                    ModelError::Repeated { .. } | ModelError::TimeWentBack { .. } | ModelError::BadDwell { .. } => Rejected::OutOfOrder,
                })?
            }
        };
        let occupancy = Occupancy { museum: reading.museum, inside, at: reading.at, sensor: reading.sensor };
        state.occupancy.insert(reading.museum, occupancy);
        let told = concerned(&known, board, now)
            .into_iter()
            .filter_map(|(slot, policy)| {
                let upper = inside.people.saturating_add(inside.sd.saturating_mul(2));
                let ceiling = policy.ceiling?;
                if let Some((at, before)) = state.told.get(&slot) {
                    let matters = upper.abs_diff(*before) >= (ceiling / 100).max(1);
                    if !matters && now.micros_since(*at) < i64::from(policy.stale_after_s) * 1_000_000 / 3 {
                        return None;
                    }
                }
                state.told.insert(slot, (now, upper));
                Some(tell(slot, occupancy, who))
            })
            .collect();
        state.told.retain(|slot, (at, _)| slot.museum() != reading.museum || now.micros_since(*at) < 86_400_000_000);
        drop(state);
        let _ = self.feed.send(occupancy);
        Ok((occupancy, told))
    }

    /// Notes that a slot could not be told, so that it is told of the next reading whatever that says.
    pub fn not_told(&self, slot: SlotId) {
        self.state.lock().told.remove(&slot);
    }

    /// The last estimate of a museum.
    #[must_use]
    pub fn occupancy(&self, museum: MuseumId) -> Option<Occupancy> {
        self.state.lock().occupancy.get(&museum).copied()
    }

    /// Follows the estimates from now on.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Occupancy> {
        self.feed.subscribe()
    }

    /// Starts from what the slots were told last: after a restart nobody has left meanwhile, which errs on the safe side.
    pub fn restore(&self, board: &Board, museums: &Museums) {
        let mut state = self.state.lock();
        for known in museums.all() {
            let museum = known.museum.id();
            let last = board.heads_of(museum).into_iter().filter_map(|(_, head)| head.places.live).max_by_key(|live| live.measured_at);
            if let Some(live) = last {
                let inside = Inside { people: live.people, sd: live.sd };
                state.occupancy.insert(museum, Occupancy { museum, inside, at: live.measured_at, sensor: live.source });
            }
        }
    }
}

/// An estimator that begins with the people known to be inside as if they had all just come in.
fn begun(before: Option<Occupancy>) -> Entries {
    let mut entries = Entries::new(Dwell::default());
    if let Some(before) = before {
        // An empty estimator takes any first count.
        let _ = entries.push(before.at.as_seconds(), before.inside.people);
    }
    entries
}

/// The slots that people inside now concern: those that run, and those that begin before everybody has left.
fn concerned(known: &Known, board: &Board, now: Timestamp) -> Vec<(SlotId, Policy)> {
    let today = calendar::local_day(now);
    let matters = |slot: SlotId, end: Timestamp, policy: &Policy| now < end && slot.start() < now.plus_seconds(i64::from(policy.dwell_s));
    let mut slots = Vec::new();
    for date in [today.saturating_sub(1.day()), today, today.saturating_add(1.day())] {
        for opening in known.day(date).iter().filter(|opening| matters(opening.slot, opening.end, &opening.policy)) {
            // A slot that was opened follows the policy under which it was.
            let policy = board.head(opening.slot).map_or(opening.policy, |head| head.policy);
            slots.push((opening.slot, policy));
        }
    }
    slots
}

fn tell(slot: SlotId, occupancy: Occupancy, who: KeyId) -> Told {
    let Occupancy { inside, at, sensor, .. } = occupancy;
    let key = digest(&[b"reading", sensor.as_str().as_bytes(), &at.as_micros().to_be_bytes(), &slot.get().to_be_bytes()]);
    let body = digest(&[&inside.people.to_be_bytes(), &inside.sd.to_be_bytes()]);
    let envelope = Envelope { who, key, body, parties: Vec::new(), assessment: None, order: None };
    Told { slot, envelope, command: Command::Observe { source: sensor, inside: inside.people, sd: inside.sd, measured_at: at } }
}
