//! What the acting model was fed in the last days, held against what there was when it was made. It is counted where models score beside the work, so no sale waits for it,
//! and is saved nowhere: after a start it is counted again from the last events that the scorers know, and says since when.

use std::collections::VecDeque;
use std::sync::Arc;

use tornello_engine::ids::Code;
use tornello_engine::time::Timestamp;
pub use tornello_models::fraud::drift::{ChannelDrift, FeatureDrift};
use tornello_models::fraud::drift::{Counts, Reference};
pub use tornello_models::fraud::psi::Drift;

use super::fold::{DAY_US, Row};
use super::judge::Acting;

/// So many days count, the one that runs among them: scores are held against those before over as many.
const DAYS: i64 = 7;

/// How far what a model is fed is from what it was made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Drifted {
    /// The model.
    pub model: Code,
    /// The last of what it was made of.
    pub made_until: Timestamp,
    /// The first and the last event that were counted since; none if there was none.
    pub window: Option<(Timestamp, Timestamp)>,
    /// How many were counted.
    pub events: u64,
    /// The share of them that came through a channel of which there was none when it was made; none of no events.
    pub unseen_share: Option<f64>,
    /// By channel, in the order of channels.
    pub channels: Vec<ChannelDrift>,
}

/// What one model was fed lately.
#[derive(Debug, Default)]
pub(super) struct Lately {
    of: Option<(String, Code)>,
    reference: Option<Arc<Reference>>,
    days: VecDeque<Day>,
}

#[derive(Debug)]
struct Day {
    day: i64,
    first_us: i64,
    last_us: i64,
    counts: Counts,
}

impl Lately {
    /// What a model was fed, of some rows in their order.
    pub(super) fn of(acting: Option<&Acting>, rows: &[Row]) -> Self {
        let of = acting.map(|acting| (acting.id.clone(), acting.code));
        let mut lately = Self { of, reference: acting.and_then(|acting| acting.reference.clone()), days: VecDeque::new() };
        rows.iter().for_each(|row| lately.take(row));
        lately
    }

    /// Counts one more. What the model was made of is not held against itself.
    pub(super) fn take(&mut self, row: &Row) {
        let Some(reference) = self.reference.as_ref().filter(|reference| row.at_us > reference.until_us()) else { return };
        let day = row.at_us.div_euclid(DAY_US);
        if self.days.back().is_none_or(|last| last.day < day) {
            self.days.push_back(Day { day, first_us: row.at_us, last_us: row.at_us, counts: Counts::default() });
            while self.days.front().is_some_and(|first| first.day <= day - DAYS) {
                self.days.pop_front();
            }
        }
        // What is a little late counts with the day that runs.
        if let Some(last) = self.days.back_mut() {
            last.last_us = last.last_us.max(row.at_us);
            last.counts.take(reference, row.fed());
        }
    }

    /// What that says now; none where nothing is known of what the model was made of, or another one acts by now.
    pub(super) fn found(&self, acting: &Acting, now: Timestamp) -> Option<Drifted> {
        let (id, model) = self.of.as_ref()?;
        let reference = self.reference.as_ref().filter(|_| *id == acting.id)?;
        let since = now.as_micros().div_euclid(DAY_US) - DAYS;
        let days: Vec<&Day> = self.days.iter().filter(|day| day.day > since).collect();
        let mut counts = Counts::default();
        days.iter().for_each(|day| counts.add(&day.counts));
        let at = Timestamp::from_micros;
        Some(Drifted {
            model: *model,
            made_until: at(reference.until_us()),
            window: days.first().zip(days.last()).map(|(first, last)| (at(first.first_us), at(last.last_us))),
            events: counts.events(),
            unseen_share: counts.unseen_share(reference),
            channels: counts.found(reference),
        })
    }
}
