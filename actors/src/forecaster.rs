//! Forecasts of every museum, served from memory: what the models need of attendance, plans, calendar and books is put together here, and what they say is brought
//! down to slots and up to regions. Selling never waits for any of it.
//!
//! What a day has in all is split over its slots as the last counted days were, within their places; so slots add up to the day, and days of museums to the
//! region. Days are those of Rome; one of 23 or 25 hours is a day.

mod shares;
mod sites;

use std::collections::HashMap;
use std::sync::Arc;

use jiff::ToSpan;
use jiff::civil::Date;
use parking_lot::{Mutex, RwLock};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::calendar;
use tornello_engine::ids::{MuseumId, SlotId};
use tornello_engine::time::Timestamp;
use tornello_models::outlook::{History, Learned};
pub use tornello_models::outlook::{Outlook, Reasons, Score};

use crate::attended::heads_on;
use crate::museums::Known;
use crate::node::Node;
use crate::sensors::building_day;

/// How far ahead forecasts reach, in days.
pub const AHEAD_DAYS: i32 = 60;

/// What the forecast of a day rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The site's own last weeks.
    LastWeeks,
    /// Nothing of its own: its places, and what other sites make of theirs.
    Others,
    /// The plan: it is closed.
    Plan,
}

impl Source {
    /// The name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LastWeeks => "last_weeks",
            Self::Others => "other_sites",
            Self::Plan => "plan",
        }
    }
}

/// The forecast of a day.
#[derive(Debug, Clone, PartialEq)]
pub struct DayForecast {
    /// The day in Rome.
    pub date: Date,
    /// How many will come.
    pub outlook: Outlook,
    /// What that rests on.
    pub source: Source,
    /// Places sold so far and not given back.
    pub booked: u32,
    /// Places of all slots that are open.
    pub capacity: u32,
    /// Slot by slot, in the order of their starts.
    pub slots: Vec<SlotForecast>,
}

/// The forecast of a slot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlotForecast {
    /// Which.
    pub slot: SlotId,
    /// When it ends.
    pub end: Timestamp,
    /// How many will come: all slots of a day add up to the day.
    pub mid: f64,
    /// Eight of ten times it is from here to there.
    pub band_80: (f64, f64),
    /// Nineteen of twenty times.
    pub band_95: (f64, f64),
    /// Places sold so far and not given back.
    pub booked: u32,
    /// Its places; 0: closed.
    pub capacity: u32,
}

/// What a museum's forecasts are made from, worked out once for each state of its streams and each day.
#[derive(Debug)]
struct Prepared {
    /// The states it was made from.
    of: Made,
    history: History,
    learned: Learned,
}

/// The streams' states and the day that something was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Made {
    attendance: u64,
    museum: u64,
    planning: u64,
    today: Date,
}

/// The forecasts of all museums.
#[derive(Debug)]
pub struct Forecaster {
    prepared: Mutex<HashMap<MuseumId, Arc<Prepared>>>,
    /// Visitors of an open day for each of its places, over all museums.
    fill: RwLock<f64>,
}

impl Default for Forecaster {
    /// A third of a day's places are taken where nobody knows better: an assumption, until a month was counted anywhere.
    fn default() -> Self {
        Self { prepared: Mutex::default(), fill: RwLock::new(0.35) }
    }
}

impl Forecaster {
    /// Learns anew from everything that was counted, museum by museum; takes a while, so not on a thread that answers.
    pub fn learn(&self, node: &Node) -> usize {
        let all = node.museums().all();
        if let Some(fill) = sites::fill(node, &all) {
            *self.fill.write() = fill;
        }
        all.iter().filter(|known| self.prepared(node, known).history.known() > 0).count()
    }

    fn prepared(&self, node: &Node, known: &Known) -> Arc<Prepared> {
        let museum = known.museum.id();
        let (attendance, planning) = (node.attended().get(museum), node.plans().get(museum));
        let today = building_day(node.now());
        let of = Made { attendance: attendance.seq(), museum: known.museum.seq(), planning: planning.seq(), today };
        if let Some(prepared) = self.prepared.lock().get(&museum).filter(|prepared| prepared.of == of) {
            return Arc::clone(prepared);
        }
        let history = sites::history(known, &attendance, today, *self.fill.read());
        let learned = history.learn();
        let prepared = Arc::new(Prepared { of, history, learned });
        self.prepared.lock().insert(museum, Arc::clone(&prepared));
        prepared
    }

    /// The forecast of some days of a museum, from today on at the earliest and [`AHEAD_DAYS`] ahead at most.
    #[must_use]
    pub fn days(&self, node: &Node, known: &Known, from: Date, days: i32) -> Vec<DayForecast> {
        let prepared = self.prepared(node, known);
        let (today, attendance) = (prepared.of.today, node.attended().get(known.museum.id()));
        let (first, last) = (from.max(today), today.saturating_add((AHEAD_DAYS - 1).days()));
        let asked = first.series(1.day()).take(usize::try_from(days).unwrap_or(0)).take_while(|date| *date <= last);
        asked
            .map(|date| {
                let mut slots = slots_of(node, known, date);
                let capacity = slots.iter().fold(0_u32, |sum, slot| sum.saturating_add(slot.capacity));
                let booked = slots.iter().fold(0_u32, |sum, slot| sum.saturating_add(slot.booked));
                let day = sites::number(date);
                let books = sites::books(&prepared.history, &attendance, day, booked);
                let mut outlook = prepared.history.outlook(day, books, &prepared.learned);
                let source = match prepared.history.known() {
                    _ if capacity == 0 => Source::Plan,
                    0 => Source::Others,
                    _ => Source::LastWeeks,
                };
                if capacity == 0 {
                    outlook = Outlook::CLOSED;
                }
                shares::split(&mut outlook, &mut slots, &attendance, date);
                DayForecast { date, outlook, source, booked, capacity, slots }
            })
            .collect()
    }

    /// How good the forecasts of a museum were on its last days.
    #[must_use]
    pub fn scores(&self, node: &Node, known: &Known) -> (usize, Vec<Score>) {
        let prepared = self.prepared(node, known);
        (prepared.history.known(), prepared.learned.scores.clone())
    }
}

/// The slots of a day, as planned or as they were opened, without a forecast yet; those that staff have closed have no places.
fn slots_of(node: &Node, known: &Known, date: Date) -> Vec<SlotForecast> {
    let none = (0.0, 0.0);
    let empty = |slot, end, booked, capacity| SlotForecast { slot, end, mid: 0.0, band_80: none, band_95: none, booked, capacity };
    let mut slots: Vec<SlotForecast> = known.day(date).iter().map(|opening| empty(opening.slot, opening.end, 0, opening.capacity)).collect();
    for (slot, head) in heads_on(node, known, date) {
        let booked = head.places.sold.iter().fold(0, |sum: u32, sold| sum.saturating_add(*sold));
        let written = empty(slot, head.end, booked, if head.places.closed.is_some() { 0 } else { head.places.capacity });
        match slots.iter_mut().find(|planned| planned.slot == slot) {
            Some(planned) => *planned = written,
            None => slots.push(written),
        }
    }
    slots.sort_by_key(|slot| (slot.slot.start(), slot.slot));
    slots
}

/// The minute of the day, by the clocks in Rome, of an instant.
#[must_use]
pub fn minute_of_day(at: Timestamp) -> u16 {
    let local = calendar::local(at);
    // Hours are 0 to 23 and minutes 0 to 59.
    (i32::from(local.hour()) * 60 + i32::from(local.minute())) as u16
}
