//! Which options of groups are worth releasing: those in slots where more people are expected than find a place, ordered by how many places would come back of which others
//! would have use. It is advice: an option is a promise until its deadline, and who takes it back is a clerk.

use std::collections::HashMap;

use tornello_engine::calendar;
use tornello_engine::ids::{QuoteId, SlotId};
use tornello_engine::quote::{Deadline, Kind, Status};
use tornello_engine::time::Timestamp;
use tornello_models::cancellation::lapse::{SlotDemand, worth};

use super::{AHEAD_DAYS, Forecaster, LapseChance, SlotForecast, sites};
use crate::museums::Known;
use crate::node::Node;

/// A quote whose options are worth a look.
#[derive(Debug, Clone, PartialEq)]
pub struct Releasable {
    /// Which.
    pub quote: QuoteId,
    /// Whether it is sent or accepted.
    pub status: Status,
    /// What kind of group it is.
    pub kind: Kind,
    /// How likely it is never paid.
    pub chance: LapseChance,
    /// The deadline that runs, and when that is.
    pub deadline: (Deadline, Timestamp),
    /// Places that would come back and that others are thought to want, over all its slots.
    pub worth: f64,
    /// Its slots, in the order of their starts.
    pub slots: Vec<OptionSlot>,
}

/// What an option keeps in a slot, and what is expected there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OptionSlot {
    /// Which.
    pub slot: SlotId,
    /// Places that the option keeps.
    pub places: u32,
    /// How many people come to the slot in all.
    pub expected: f64,
    /// Places sold so far.
    pub booked: u32,
    /// Its places.
    pub capacity: u32,
    /// Places that options keep in it, of all quotes, and how many of these are expected back.
    pub options: (u32, f64),
    /// Places that are neither sold nor kept by options.
    pub free: u32,
    /// How many more would come than find a free place.
    pub short: f64,
    /// Places that would come back and that others are thought to want.
    pub worth: f64,
}

impl Forecaster {
    /// The quotes of a museum whose options keep others out, the one worth most first; only as far ahead as forecasts reach. It costs as much as a forecast of these days.
    #[must_use]
    pub fn releasable(&self, node: &Node, known: &Known) -> Vec<Releasable> {
        let now = node.now();
        let keeping = node.quotes().keeping(known.museum.id());
        let days = || keeping.iter().flat_map(|(_, head)| head.options.iter()).map(|(slot, _)| calendar::local_day(slot.start()));
        let (Some(first), Some(last)) = (days().min(), days().max()) else { return Vec::new() };
        let first = first.max(calendar::local_day(now));
        let span = (sites::number(last) - sites::number(first) + 1).clamp(0, AHEAD_DAYS);
        let forecast = self.days(node, known, first, span);
        let slots: HashMap<SlotId, &SlotForecast> = forecast.iter().flat_map(|day| &day.slots).map(|slot| (slot.slot, slot)).collect();
        let mut releasable: Vec<Releasable> = keeping
            .iter()
            .filter_map(|(quote, head)| {
                let (chance, deadline) = (self.lapse(head, now)?, head.deadline?);
                let told = |&(slot, places): &(SlotId, u32)| slots.get(&slot).map(|forecast| option_slot(forecast, places, chance.probability));
                let mut slots: Vec<OptionSlot> = head.options.iter().filter_map(told).collect();
                slots.sort_unstable_by_key(|slot| (slot.slot.start(), slot.slot));
                let worth = slots.iter().map(|slot| slot.worth).sum();
                Some(Releasable { quote: *quote, status: head.status, kind: head.kind, chance, deadline, worth, slots })
            })
            .filter(|releasable| releasable.worth > 0.0)
            .collect();
        releasable.sort_unstable_by(|a, b| b.worth.total_cmp(&a.worth).then(a.quote.cmp(&b.quote)));
        releasable
    }
}

/// A slot as the option of a quote finds it.
fn option_slot(slot: &SlotForecast, places: u32, lapse: f64) -> OptionSlot {
    let free = slot.capacity.saturating_sub(slot.booked).saturating_sub(slot.options.0);
    let demand = SlotDemand { expected: slot.mid, shows: slot.shows.0, kept: slot.options.0, expected_back: slot.options.1, free };
    OptionSlot {
        slot: slot.slot,
        places,
        expected: slot.mid,
        booked: slot.booked,
        capacity: slot.capacity,
        options: slot.options,
        free,
        short: demand.short(),
        worth: worth(&demand, places, lapse),
    }
}
