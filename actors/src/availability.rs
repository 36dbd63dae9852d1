//! What can be booked: the plan's slots with the counters of those that have been written to, without asking any owner.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use jiff::civil::Date;
use parking_lot::Mutex;
use tornello_engine::calendar;
use tornello_engine::channel::Channel;
use tornello_engine::ids::{RouteId, SlotId};
use tornello_engine::slot::{LimitedBy, Places, Policy, sale_ends_at, sale_opens_at};
use tornello_engine::time::Timestamp;

use crate::board::Board;
use crate::museums::Known;

/// Whether a channel may book a slot now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Places are left.
    Available,
    /// Fewer than one place in ten is left.
    Few,
    /// Places are left, but not for this channel: others have reserved them, or the day's entry is free and tickets are given on site alone.
    Reserved,
    /// None is left.
    SoldOut,
    /// Closed by staff.
    Closed,
    /// Sales have not begun: it is too soon, or nobody has said yet what a place costs.
    NotOpen,
    /// Sales have ended.
    Over,
}

/// A slot as one channel sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotAvailability {
    /// Which slot.
    pub slot: SlotId,
    /// When it ends.
    pub end: Timestamp,
    /// How it is sold.
    pub policy: Policy,
    /// Its places, counted.
    pub places: Places,
    /// How many this channel may still take.
    pub available: u32,
    /// What holds back the rest.
    pub limited_by: LimitedBy,
    /// Whether this channel may book now.
    pub status: Status,
    /// Time of the last record; none if nobody has touched the slot.
    pub changed_at: Option<Timestamp>,
}

/// Which slots of a museum, and as seen by whom and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The first day in Rome.
    pub from: Date,
    /// The last day, included.
    pub to: Date,
    /// Of which route; of all if none.
    pub route: Option<RouteId>,
    /// For which channel.
    pub channel: Channel,
    /// As of when.
    pub now: Timestamp,
}

/// The slots whose sessions open on these days: those that are planned, and those that were opened under an older plan.
#[must_use]
pub fn of_museum(known: &Known, board: &Board, asked: Asked) -> Vec<SlotAvailability> {
    let Asked { from, to, route, channel, now } = asked;
    let mut slots: BTreeMap<(Timestamp, SlotId), SlotAvailability> = BTreeMap::new();
    let wanted = |id: RouteId| route.is_none_or(|route| route == id);
    let mut books = Books { known, channel, last: None };
    let mut seen = |slot, end, policy, places, changed_at| seen(slot, end, policy, places, changed_at, (channel, books.of(slot)), now);
    let mut routes: Vec<RouteId> = Vec::new();
    let mut date = Some(from);
    while let Some(day) = date.filter(|day| *day <= to) {
        for opening in known.day(day).iter().filter(|opening| wanted(opening.slot.route())) {
            let seen = seen(opening.slot, opening.end, opening.policy, known.places(opening), None);
            slots.insert((opening.slot.start(), opening.slot), seen);
            if !routes.contains(&opening.slot.route()) {
                routes.push(opening.slot.route());
            }
        }
        date = day.tomorrow().ok();
    }
    let first = calendar::instant(from.at(0, 0, 0, 0));
    let next_day = to.tomorrow().unwrap_or(to);
    let last = slots.last_key_value().map_or(first, |((start, _), _)| *start).max(calendar::instant(next_day.at(0, 0, 0, 0)).plus_seconds(-1));
    let heads = match route {
        Some(route) => board.heads(known.museum.id(), route, first, last),
        None => board.heads_of(known.museum.id()),
    };
    for (slot, head) in heads.into_iter().filter(|(slot, _)| (first..=last).contains(&slot.start())) {
        slots.insert((slot.start(), slot), seen(slot, head.end, head.policy, head.places, Some(head.at)));
    }
    slots.into_values().collect()
}

/// Where else there are places: what many who are refused at once are told is worked out once and holds for a moment.
#[derive(Debug, Default)]
pub struct Nearby {
    known: Mutex<HashMap<(SlotId, Channel), Worked>>,
}

/// When it was worked out, and what.
type Worked = (Timestamp, Arc<[Near]>);

/// Another slot of the same route with places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Near {
    /// Which.
    pub slot: SlotId,
    /// How many a channel may take.
    pub available: u32,
}

impl Nearby {
    /// How long it holds.
    const HOLDS_US: i64 = 250_000;
    /// For how many slots it is kept; of more, all are forgotten.
    const SLOTS_MAX: usize = 4_096;

    /// The slots of the same route on the day before, the same and the next that have places for a channel, nearest first.
    #[must_use]
    pub fn of(&self, known: &Known, board: &Board, slot: SlotId, channel: Channel, now: Timestamp) -> Arc<[Near]> {
        if let Some((at, near)) = self.known.lock().get(&(slot, channel))
            && (0..Self::HOLDS_US).contains(&now.micros_since(*at))
        {
            return Arc::clone(near);
        }
        let date = calendar::local_day(slot.start());
        let (from, to) = (date.yesterday().unwrap_or(date), date.tomorrow().unwrap_or(date));
        let mut others = of_museum(known, board, Asked { from, to, route: Some(slot.route()), channel, now });
        others.retain(|other| other.slot != slot && other.available > 0 && matches!(other.status, Status::Available | Status::Few));
        others.sort_by_key(|other| other.slot.start().micros_since(slot.start()).abs());
        let near: Arc<[Near]> = others.into_iter().map(|other| Near { slot: other.slot, available: other.available }).collect();
        let mut kept = self.known.lock();
        if kept.len() >= Self::SLOTS_MAX {
            kept.clear();
        }
        kept.insert((slot, channel), (now, Arc::clone(&near)));
        near
    }
}

/// As [`of_museum`], the slots that start on these days in Rome: a night's session begins on the day before.
#[must_use]
pub fn starting_on(known: &Known, board: &Board, asked: Asked) -> Vec<SlotAvailability> {
    let eve = asked.from.yesterday().unwrap_or(asked.from);
    let mut slots = of_museum(known, board, Asked { from: eve, ..asked });
    slots.retain(|seen| (asked.from..=asked.to).contains(&calendar::local_day(seen.slot.start())));
    slots
}

/// One slot, if it is planned or has been written to.
#[must_use]
pub fn of_slot(known: &Known, board: &Board, slot: SlotId, channel: Channel, now: Timestamp) -> Option<SlotAvailability> {
    let by = (channel, books(known, slot, channel));
    if let Some(head) = board.head(slot) {
        return Some(seen(slot, head.end, head.policy, head.places, Some(head.at), by, now));
    }
    let opening = known.museum.opening(slot)?;
    Some(seen(slot, opening.end, opening.policy, known.places(&opening), None, by, now))
}

/// Whether a channel books a slot at all, by the tariff of its day, whatever places are left; none: there is no tariff, and a place has no price.
#[must_use]
pub fn books(known: &Known, slot: SlotId, channel: Channel) -> Option<bool> {
    let day = calendar::local_day(slot.start());
    known.museum.tariff_on(day).map(|(_, tariff)| tariff.books(day, channel))
}

/// The same of many slots: those of one day, of which lists have many, share one look at the calendar and the tariffs.
struct Books<'a> {
    known: &'a Known,
    channel: Channel,
    /// The day that was asked for last, and what was found.
    last: Option<(Range<Timestamp>, Option<bool>)>,
}

impl Books<'_> {
    fn of(&mut self, slot: SlotId) -> Option<bool> {
        if let Some((_, found)) = self.last.as_ref().filter(|(day, _)| day.contains(&slot.start())) {
            return *found;
        }
        let date = calendar::local_day(slot.start());
        let begins = |date: Date| calendar::instant(date.at(0, 0, 0, 0));
        let found = books(self.known, slot, self.channel);
        self.last = Some((begins(date)..begins(date.tomorrow().unwrap_or(date)), found));
        found
    }
}

fn seen(
    slot: SlotId,
    end: Timestamp,
    policy: Policy,
    places: Places,
    changed_at: Option<Timestamp>,
    (channel, books): (Channel, Option<bool>),
    now: Timestamp,
) -> SlotAvailability {
    let (available, limited_by) = match places.available(channel, now) {
        (1.., _) if books == Some(false) => (0, LimitedBy::OwnLimit),
        left => left,
    };
    let status = if places.closed.is_some() {
        Status::Closed
    } else if now < sale_opens_at(slot, &policy) {
        Status::NotOpen
    } else if now >= sale_ends_at(slot, end, &policy, channel) {
        Status::Over
    } else if books.is_none() {
        Status::NotOpen
    } else if available == 0 && places.sellable(now) > places.taken() {
        Status::Reserved
    } else if available == 0 {
        Status::SoldOut
    } else if u64::from(available) * 10 < u64::from(places.capacity) {
        Status::Few
    } else {
        Status::Available
    };
    let sold = matches!(status, Status::Available | Status::Few);
    SlotAvailability { slot, end, policy, places, available: if sold { available } else { 0 }, limited_by, status, changed_at }
}
