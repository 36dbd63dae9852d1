//! Days of a museum that are called off, and what was said of days and not all of their slots have heard yet. A slot that nobody has written to is closed by what is said here;
//! one that was written to is told, as the shell finds here what is left to be told.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::calendar;
use crate::ids::{Code, KeyId};
use crate::time::Timestamp;

/// The most days to come, or parts of them, that may be called off at once.
pub const DAYS_OFF_MAX: usize = 400;

/// What is said of a day in Rome: of the slots that start on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DayWord {
    /// It does not take place.
    Off(DayCalledOff),
    /// It takes place after all.
    On(DayTakenUp),
}

/// A day is called off, whole or from some moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DayCalledOff {
    /// The date in Rome.
    pub date: Date,
    /// Only the slots that start then or later; none: all of the day.
    pub from: Option<Timestamp>,
    /// Why.
    pub reason: Code,
}

/// A day takes place after all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DayTakenUp {
    /// The date in Rome.
    pub date: Date,
    /// For which reason it was called off.
    pub reason: Code,
}

/// All slots of a day have heard what was said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DayHeard {
    /// By which record it was said.
    pub seq: u64,
}

/// What was said of a day, and not all of its slots have heard yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unheard {
    /// By which record.
    pub seq: u64,
    /// By whom.
    pub who: KeyId,
    /// What.
    pub word: DayWord,
}

impl DayCalledOff {
    /// Whether it concerns what starts then on its date.
    #[must_use]
    pub fn concerns(&self, start: Timestamp) -> bool {
        self.from.is_none_or(|from| start >= from)
    }
}

/// What stands of days. Serialized, equal states give equal bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Days {
    /// Those that do not take place and are not long over, in the order in which they were called off.
    off: Vec<DayCalledOff>,
    /// By their records.
    unheard: Vec<Unheard>,
}

impl Days {
    /// Whether nothing is said of any.
    pub(super) fn are_as_planned(&self) -> bool {
        self.off.is_empty() && self.unheard.is_empty()
    }

    /// Whether another one may be called off today.
    pub(super) fn have_room(&self, today: Date, off: &DayCalledOff) -> bool {
        self.off.iter().filter(|known| is_known(known.date, today) && *known != off).count() < DAYS_OFF_MAX
    }

    pub(super) fn call_off(&mut self, today: Date, off: DayCalledOff) {
        self.off.retain(|known| is_known(known.date, today) && *known != off);
        if is_known(off.date, today) {
            self.off.push(off);
        }
    }

    pub(super) fn take_up(&mut self, today: Date, up: DayTakenUp) {
        self.off.retain(|known| is_known(known.date, today) && (known.date, known.reason) != (up.date, up.reason));
    }

    pub(super) fn said(&mut self, unheard: Unheard) {
        self.unheard.push(unheard);
    }

    pub(super) fn heard(&mut self, heard: DayHeard) {
        self.unheard.retain(|unheard| unheard.seq != heard.seq);
    }

    /// Why what starts then does not take place: as the first says who called its day off.
    pub(super) fn off_at(&self, start: Timestamp) -> Option<Code> {
        if self.off.is_empty() {
            return None;
        }
        let date = calendar::local_day(start);
        self.off.iter().find(|off| off.date == date && off.concerns(start)).map(|off| off.reason)
    }

    /// Whether what starts then does not take place for that reason, whatever others there are.
    pub(super) fn is_off_for(&self, start: Timestamp, reason: Code) -> bool {
        let date = calendar::local_day(start);
        self.off.iter().any(|off| off.reason == reason && off.date == date && off.concerns(start))
    }

    pub(super) fn unheard(&self) -> &[Unheard] {
        &self.unheard
    }
}

/// Whether a day is to come, or its last slots may still run.
pub(super) fn is_known(date: Date, today: Date) -> bool {
    today.yesterday().is_ok_and(|eve| date >= eve)
}
