//! A museum's attendance, day by day, as a stream: what Tornello counted itself when a day was over, and what was brought in of the time before. Forecasts are
//! learned from it. Numbers of people only.
//!
//! - AD-1: nothing is known of days that were not over when it was written.
//! - AD-2: a day has one figure with one provenance; what was counted here is never replaced by what is brought in, and counted again only when scans of its gates have come in since.
//! - AD-3: replay equals live, and time does not go back.

use std::collections::BTreeMap;

use jiff::ToSpan;
use jiff::civil::{Date, date};
use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Broken};
use crate::calendar;
use crate::ids::{MuseumId, RouteId};
use crate::past::Past;
use crate::record::Record;
use crate::text::is_line;
use crate::time::Timestamp;

/// The most days that are brought in at once, and that are known in all.
pub const DAYS_MAX: usize = 12_000;
/// The most people of a day.
pub const PEOPLE_MAX: u32 = 1_000_000;
/// The most slots of a day.
pub const SLOTS_MAX: usize = 2_000;
/// The most looks at the books of one day, and how many days of looks are kept.
pub const LOOKS_MAX: usize = 64;
const BOOKED_DAYS: i32 = 3 * 366;
/// Nothing is known of earlier days.
pub const FIRST: Date = date(1990, 1, 1);
/// Of so many days it is remembered how people spread over the slots, and what sensors counted.
pub const DETAILED_DAYS: usize = 120;

/// Where a figure comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// Tornello let them in.
    Counted,
    /// Somebody brought it in.
    Imported,
    /// It was made up, to try things out.
    Simulated,
}

/// People who came by one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SlotCount {
    /// Which route.
    pub route: RouteId,
    /// The minute of the day, by the clocks in Rome, at which the slot begins.
    pub from_min: u16,
    /// Places sold in the end.
    pub sold: u32,
    /// Tickets let in.
    pub admitted: u32,
}

/// A slot that was sold beyond its places, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BeyondCount {
    /// Which route.
    pub route: RouteId,
    /// The minute of the day, by the clocks in Rome, at which the slot began.
    pub from_min: u16,
    /// Its places.
    pub places: u32,
    /// Places sold in the end: more than those.
    pub sold: u32,
    /// Tickets let in.
    pub admitted: u32,
    /// The probability, in millionths, that more would come than places: as it was estimated when it was last decided how many more to sell.
    pub turn_away_ppm: u32,
}

impl BeyondCount {
    /// How many people came for whom there was no place.
    #[must_use]
    pub const fn over(&self) -> u32 {
        self.admitted.saturating_sub(self.places)
    }
}

/// What door counters summed up over a day: see `occupancy` in `models`, which learns from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct DoorDay {
    /// People counted in.
    pub entered: u32,
    /// People counted out.
    pub left: u32,
    /// People let in by gates.
    pub scanned: u32,
    /// The minutes of the day at which people came in, added up over these people.
    pub entered_minutes: u64,
    /// The squares of these minutes, added up likewise.
    pub entered_squares: u64,
    /// The minutes of the day at which people went out, added up over these people.
    pub left_minutes: u64,
    /// The squares of these minutes, added up likewise.
    pub left_squares: u64,
    /// Minutes during which a counter was dead.
    pub dead_minutes: u32,
}

/// Places on the books for a later day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Look {
    /// How many days later.
    pub ahead: u16,
    /// Places sold for it and not given back.
    pub booked: u32,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Command {
    /// A day is over: this is how many came.
    Count {
        /// The day in Rome.
        date: Date,
        /// How many were let in.
        people: u32,
        /// By which slots; those that nobody booked may be left out.
        slots: Vec<SlotCount>,
        /// What the doors summed up.
        doors: Option<DoorDay>,
        /// What stands on the books for days after it, as the day ends.
        books: Vec<Look>,
        /// The slots that were sold beyond their places.
        beyond: Vec<BeyondCount>,
    },
    /// Take in what was counted elsewhere, or made up.
    Import {
        /// Which of both.
        provenance: Provenance,
        /// By whom, for people.
        source: String,
        /// The first day.
        from: Date,
        /// Each day from then on; none: not known.
        people: Vec<Option<u32>>,
    },
}

/// What happened. Numbers are written in the journal: append only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Event {
    /// See [`Counted`].
    Counted(Counted),
    /// See [`Imported`].
    Imported(Imported),
    /// See [`SoldBeyond`].
    SoldBeyond(SoldBeyond),
}

/// A day was counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Counted {
    /// The day in Rome.
    pub date: Date,
    /// How many were let in.
    pub people: u32,
    /// By which slots.
    pub slots: Vec<SlotCount>,
    /// What the doors summed up.
    pub doors: Option<DoorDay>,
    /// What stood on the books for days after it, as the day ended.
    pub books: Vec<Look>,
}

/// On a day that was counted slots were sold beyond their places. Stands beside [`Counted`], where there were any.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SoldBeyond {
    /// The day in Rome.
    pub date: Date,
    /// Which slots, and what became of them.
    pub slots: Vec<BeyondCount>,
}

/// Figures were brought in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Imported {
    /// Brought in, or made up.
    pub provenance: Provenance,
    /// By whom.
    pub source: String,
    /// The first day.
    pub from: Date,
    /// Each day from then on.
    pub people: Vec<Option<u32>>,
}

/// Why not. In order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The day is not over, or nobody remembers it.
    #[error("days from 1990-01-01 to yesterday can be told of, which is before {today}")]
    NotOver {
        /// Today in Rome.
        today: Date,
    },
    /// The day was counted already, and no gate has said since that it let in more.
    #[error("that day was counted already")]
    AlreadyCounted,
    /// Nothing, or too much, or more people than come in a day.
    #[error("bring in 1 to 12000 days with at most 1000000 people each, under a source of 1 to 200 characters in one line")]
    BadImport,
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotOver { .. } => "day_not_over",
            Self::AlreadyCounted => "day_already_counted",
            Self::BadImport => "invalid_attendance",
        }
    }
}

/// A day's figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayCount {
    /// How many came.
    pub people: u32,
    /// Where that comes from.
    pub provenance: Provenance,
}

/// What is known of a day in detail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// Slot by slot.
    pub slots: Vec<SlotCount>,
    /// What the doors summed up.
    pub doors: Option<DoorDay>,
}

/// A museum's attendance. Serialized, equal states give equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attendance {
    museum: MuseumId,
    days: BTreeMap<Date, DayCount>,
    details: BTreeMap<Date, Detail>,
    /// The slots that were sold beyond their places, of the days that are known in detail.
    beyond: BTreeMap<Date, Vec<BeyondCount>>,
    /// What stood on the books for a day, so many days before it.
    books: BTreeMap<Date, Vec<Look>>,
    /// By whom figures were last brought in, for each provenance.
    sources: BTreeMap<Provenance, String>,
    past: Past,
}

impl Aggregate for Attendance {
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn past(&self) -> &Past {
        &self.past
    }

    fn decide(&self, now: Timestamp, command: &Command) -> Result<Vec<Event>, Refusal> {
        let today = calendar::local_day(self.past.at_least(now));
        let is_over = |day: Date| (FIRST..today).contains(&day);
        let event = match command {
            Command::Count { date, .. } if !is_over(*date) => return Err(Refusal::NotOver { today }),
            Command::Count { date, slots, .. } if self.is_counted(*date) && !self.have_more_come(*date, slots) => {
                return Err(Refusal::AlreadyCounted);
            }
            Command::Count { people, slots, books, beyond, .. }
                if *people > PEOPLE_MAX || slots.len().max(beyond.len()) > SLOTS_MAX || books.len() > LOOKS_MAX =>
            {
                return Err(Refusal::BadImport);
            }
            Command::Count { date, people, slots, doors, books, beyond } => {
                let date = *date;
                // What stands beside its gates was written down when it was first counted.
                let known = self.details.get(&date);
                let doors = doors.or(known.and_then(|known| known.doors));
                let books = if known.is_some() { Vec::new() } else { books.clone() };
                let counted = Event::Counted(Counted { date, people: *people, slots: slots.clone(), doors, books });
                let beyond = (!beyond.is_empty()).then(|| Event::SoldBeyond(SoldBeyond { date, slots: beyond.clone() }));
                return Ok([counted].into_iter().chain(beyond).collect());
            }
            Command::Import { from, people, .. } if !is_over(*from) || last_day(*from, people.len()).is_none_or(|last| !is_over(last)) => {
                return Err(if people.is_empty() { Refusal::BadImport } else { Refusal::NotOver { today } });
            }
            Command::Import { provenance, source, from, people } => {
                let sound = *provenance != Provenance::Counted && is_line(source) && people.iter().flatten().all(|people| *people <= PEOPLE_MAX);
                let new = people.len().saturating_add(self.days.len());
                if !sound || people.len() > DAYS_MAX || new > 2 * DAYS_MAX || people.iter().all(Option::is_none) {
                    return Err(Refusal::BadImport);
                }
                Event::Imported(Imported { provenance: *provenance, source: source.clone(), from: *from, people: people.clone() })
            }
        };
        Ok(vec![event])
    }

    fn apply(&mut self, record: &Record<Event>) {
        self.past.take(record);
        for event in &record.events {
            match event {
                Event::Counted(counted) => {
                    self.days.insert(counted.date, DayCount { people: counted.people, provenance: Provenance::Counted });
                    self.details.insert(counted.date, Detail { slots: counted.slots.clone(), doors: counted.doors });
                    while self.details.len() > DETAILED_DAYS {
                        self.details.pop_first();
                    }
                    // What was sold beyond the places is known as long as the rest of a day.
                    if let Some(first) = self.details.keys().next() {
                        self.beyond = self.beyond.split_off(first);
                    }
                    for look in &counted.books {
                        self.books.entry(counted.date.saturating_add(i32::from(look.ahead).days())).or_default().push(*look);
                    }
                    let oldest = counted.date.saturating_sub(BOOKED_DAYS.days());
                    while self.books.first_key_value().is_some_and(|(date, _)| *date < oldest) {
                        self.books.pop_first();
                    }
                }
                Event::Imported(imported) => {
                    let days = (0_i64..).zip(&imported.people).filter_map(|(ahead, people)| Some((ahead, (*people)?)));
                    for (ahead, people) in days {
                        let figure = DayCount { people, provenance: imported.provenance };
                        let day = self.days.entry(imported.from.saturating_add(ahead.days())).or_insert(figure);
                        if day.provenance != Provenance::Counted {
                            *day = figure;
                        }
                    }
                    self.sources.insert(imported.provenance, imported.source.clone());
                }
                Event::SoldBeyond(sold) => {
                    if self.details.contains_key(&sold.date) {
                        self.beyond.insert(sold.date, sold.slots.clone());
                    }
                }
            }
        }
    }

    /// AD-1 and AD-2 as far as they are O(1): no day from the record's own on.
    fn check(&self) -> Result<(), Broken> {
        if self.days.last_key_value().is_some_and(|(last, _)| *last >= calendar::local_day(self.past.last_at())) {
            return Err(Broken { invariant: "AD-1", what: "a day is known that was not over" });
        }
        if self.details.len() > DETAILED_DAYS {
            return Err(Broken { invariant: "AD-2", what: "more days are known in detail than are kept" });
        }
        Ok(())
    }
}

/// How many gates let in, over all slots.
#[must_use]
pub fn admitted(slots: &[SlotCount]) -> u32 {
    slots.iter().fold(0, |sum, slot| sum.saturating_add(slot.admitted))
}

/// The last of so many days from `from` on.
fn last_day(from: Date, days: usize) -> Option<Date> {
    from.checked_add(i64::try_from(days.checked_sub(1)?).ok()?.days()).ok()
}

impl Attendance {
    /// The attendance of a museum of which nothing is known yet.
    #[must_use]
    pub fn new(museum: MuseumId) -> Self {
        let (days, details, beyond, sources) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { museum, days, details, beyond, books: BTreeMap::new(), sources, past: Past::default() }
    }

    /// Rebuilds it from all its records.
    #[must_use]
    pub fn replay<'a>(museum: MuseumId, records: impl IntoIterator<Item = &'a Record<Event>>) -> Self {
        Self::new(museum).after(records)
    }

    /// Whether moreover every detail belongs to a day that was counted: for tests and after a replay.
    pub fn recount(&self) -> Result<(), Broken> {
        self.check()?;
        let counted = |date: &Date| self.days.get(date).is_some_and(|day| day.provenance == Provenance::Counted);
        if self.details.keys().chain(self.beyond.keys()).all(counted) {
            Ok(())
        } else {
            Err(Broken { invariant: "AD-2", what: "a day that was counted here was replaced" })
        }
    }

    fn is_counted(&self, date: Date) -> bool {
        self.days.get(&date).is_some_and(|day| day.provenance == Provenance::Counted)
    }

    /// Whether gates have let in more on a day than was known when it was counted: what gates without a network let in is sent in later.
    fn have_more_come(&self, date: Date, slots: &[SlotCount]) -> bool {
        self.admitted_on(date).is_some_and(|before| admitted(slots) > before)
    }

    /// How many gates had let in on a day when it was counted, as long as that is known slot by slot.
    #[must_use]
    pub fn admitted_on(&self, date: Date) -> Option<u32> {
        self.details.get(&date).map(|detail| admitted(&detail.slots))
    }

    /// Whose.
    #[must_use]
    pub const fn museum(&self) -> MuseumId {
        self.museum
    }

    /// Every day that is known, in order.
    #[must_use]
    pub const fn days(&self) -> &BTreeMap<Date, DayCount> {
        &self.days
    }

    /// The last days that were counted here, slot by slot.
    #[must_use]
    pub const fn details(&self) -> &BTreeMap<Date, Detail> {
        &self.details
    }

    /// The slots that were sold beyond their places on those days; days without any are left out.
    #[must_use]
    pub const fn sold_beyond(&self) -> &BTreeMap<Date, Vec<BeyondCount>> {
        &self.beyond
    }

    /// What stood on the books for a day, so many days before it, in the order in which it was looked at.
    #[must_use]
    pub fn books(&self, date: Date) -> &[Look] {
        self.books.get(&date).map_or(&[], Vec::as_slice)
    }

    /// By whom figures of a provenance were last brought in.
    #[must_use]
    pub fn source(&self, provenance: Provenance) -> Option<&str> {
        self.sources.get(&provenance).map(String::as_str)
    }

    /// Time of the last record.
    #[must_use]
    pub const fn last_at(&self) -> Timestamp {
        self.past.last_at()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Digest, Envelope};
    use crate::ids::KeyId;
    use proptest::prelude::*;

    const TODAY: Date = date(2026, 6, 10);

    fn now() -> Timestamp {
        "2026-06-10T08:00:00Z".parse().unwrap()
    }

    fn day(days: i32) -> Date {
        TODAY.saturating_add(days.days())
    }

    fn count(days: i32, people: u32) -> Command {
        let slots = vec![SlotCount { route: RouteId(1), from_min: 540, sold: people, admitted: people }];
        Command::Count {
            date: day(days),
            people,
            slots,
            doors: Some(DoorDay { entered: people, ..DoorDay::default() }),
            books: vec![Look { ahead: 7, booked: people }],
            beyond: Vec::new(),
        }
    }

    fn import(days: i32, people: &[Option<u32>]) -> Command {
        Command::Import { provenance: Provenance::Imported, source: "SIMU 2025".to_owned(), from: day(days), people: people.to_vec() }
    }

    fn step(attendance: &mut Attendance, records: &mut Vec<Record<Event>>, command: &Command) -> Result<(), Refusal> {
        let events = attendance.decide(now(), command)?;
        let key = Digest(records.len() as u128);
        let envelope = Envelope { who: KeyId(3), key, body: key, parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() };
        let record = attendance.record(now(), Some(envelope), events);
        attendance.apply(&record);
        assert_eq!(attendance.recount(), Ok(()), "AD-1, AD-2 after {record:?}");
        records.push(record);
        assert_eq!(Attendance::replay(attendance.museum(), records.iter()), *attendance, "AD-3: replay equals live");
        Ok(())
    }

    #[test]
    fn what_is_taken_in_and_what_is_refused() {
        let not_over = Err(Refusal::NotOver { today: TODAY });
        let counted = Command::Import { provenance: Provenance::Counted, source: "x".to_owned(), from: day(-9), people: vec![Some(1)] };
        let unnamed = Command::Import { provenance: Provenance::Imported, source: String::new(), from: day(-9), people: vec![Some(1)] };
        let cases: Vec<(Vec<Command>, Command, Result<(), Refusal>)> = vec![
            (vec![], count(0, 5), not_over),
            (vec![], count(-1, 5), Ok(())),
            (vec![], count(-1, PEOPLE_MAX + 1), Err(Refusal::BadImport)),
            (vec![count(-1, 5)], count(-1, 5), Err(Refusal::AlreadyCounted)),
            (vec![count(-1, 5)], count(-1, 4), Err(Refusal::AlreadyCounted)),
            (vec![count(-1, 5)], count(-1, 6), Ok(())),
            (vec![import(-1, &[Some(9)])], count(-1, 6), Ok(())),
            (vec![], import(-2, &[Some(1), Some(2), Some(3)]), not_over),
            (vec![], import(-20_000, &[Some(1)]), not_over),
            (vec![], import(-2, &[]), Err(Refusal::BadImport)),
            (vec![], import(-2, &[None, None]), Err(Refusal::BadImport)),
            (vec![], import(-2, &[Some(PEOPLE_MAX + 1)]), Err(Refusal::BadImport)),
            (vec![], counted, Err(Refusal::BadImport)),
            (vec![], unnamed, Err(Refusal::BadImport)),
            (vec![], import(-2, &[None, Some(0)]), Ok(())),
        ];
        for (before, command, expected) in cases {
            let (mut attendance, mut records) = (Attendance::new(MuseumId(1)), Vec::new());
            for command in &before {
                step(&mut attendance, &mut records, command).unwrap();
            }
            assert_eq!(step(&mut attendance, &mut records, &command), expected, "{command:?} after {before:?}");
        }
    }

    #[test]
    fn what_was_counted_here_stays() {
        let (mut attendance, mut records) = (Attendance::new(MuseumId(1)), Vec::new());
        for command in [count(-2, 7), import(-3, &[Some(100), Some(200), None]), import(-3, &[Some(90)])] {
            step(&mut attendance, &mut records, &command).unwrap();
        }
        let known: Vec<_> = attendance.days().iter().map(|(date, day)| (*date, day.people, day.provenance)).collect();
        assert_eq!(known, [(day(-3), 90, Provenance::Imported), (day(-2), 7, Provenance::Counted)]);
        assert_eq!(attendance.books(day(5)), [Look { ahead: 7, booked: 7 }]);
        assert_eq!((attendance.details().len(), attendance.source(Provenance::Imported)), (1, Some("SIMU 2025")));
        for days in 3..200 {
            step(&mut attendance, &mut records, &count(-days, 1)).unwrap();
        }
        assert_eq!((attendance.days().len(), attendance.details().len()), (198, DETAILED_DAYS));
    }

    /// Scans of gates without a network come in when the day was counted: it has more people then, and whatever else was known of it.
    #[test]
    fn a_day_is_counted_again_when_gates_have_let_in_more() {
        let (mut attendance, mut records) = (Attendance::new(MuseumId(1)), Vec::new());
        step(&mut attendance, &mut records, &count(-1, 5)).unwrap();
        let slots = vec![SlotCount { route: RouteId(1), from_min: 540, sold: 9, admitted: 8 }];
        let (books, beyond) = (vec![Look { ahead: 7, booked: 99 }], Vec::new());
        step(&mut attendance, &mut records, &Command::Count { date: day(-1), people: 8, slots, doors: None, books, beyond }).unwrap();
        let doors = attendance.details()[&day(-1)].doors.map(|doors| doors.entered);
        assert_eq!((attendance.days()[&day(-1)].people, attendance.admitted_on(day(-1)), doors), (8, Some(8), Some(5)));
        assert_eq!(attendance.books(day(6)), [Look { ahead: 7, booked: 5 }], "the books are those of the night");
        // What is brought in changes nothing, and of a day that is long past it is not known any more who came by which slot.
        step(&mut attendance, &mut records, &import(-1, &[Some(900)])).unwrap();
        assert_eq!(attendance.days()[&day(-1)].people, 8);
        (-200..-2).for_each(|days| step(&mut attendance, &mut records, &count(days, 1)).unwrap());
        assert_eq!(step(&mut attendance, &mut records, &count(-200, 9)), Err(Refusal::AlreadyCounted));
    }

    #[test]
    fn what_was_sold_beyond_the_places_is_known_as_long_as_the_rest_of_its_day() {
        let (mut attendance, mut records) = (Attendance::new(MuseumId(1)), Vec::new());
        let slot = |admitted| BeyondCount { route: RouteId(1), from_min: 540, places: 20, sold: 22, admitted, turn_away_ppm: 30_000 };
        let with = |days, beyond: Vec<BeyondCount>| match count(days, 22) {
            Command::Count { date, people, slots, doors, books, .. } => Command::Count { date, people, slots, doors, books, beyond },
            other => other,
        };
        assert_eq!((slot(19).over(), slot(20).over(), slot(22).over()), (0, 0, 2));
        for command in [with(-3, vec![slot(21)]), with(-2, vec![])] {
            step(&mut attendance, &mut records, &command).unwrap();
        }
        assert_eq!(attendance.sold_beyond().iter().collect::<Vec<_>>(), [(&day(-3), &vec![slot(21)])]);
        let too_many = vec![slot(20); SLOTS_MAX + 1];
        assert_eq!(step(&mut attendance, &mut records, &with(-1, too_many)), Err(Refusal::BadImport));
        let mut told: Vec<usize> = Vec::new();
        for days in 4..200 {
            step(&mut attendance, &mut records, &with(-days, vec![slot(20)])).unwrap();
            told.push(attendance.sold_beyond().len());
            assert!(attendance.sold_beyond().keys().all(|date| attendance.details().contains_key(date)));
        }
        // One of the days that are known in detail had none.
        assert_eq!(told.iter().max(), Some(&(DETAILED_DAYS - 1)));
    }

    #[test]
    fn a_broken_state_is_told() {
        let counted = |days| Event::Counted(Counted { date: day(days), people: 1, slots: Vec::new(), doors: None, books: Vec::new() });
        let imported = Imported { provenance: Provenance::Imported, source: "x".to_owned(), from: day(-1), people: vec![Some(1)] };
        let mut attendance = Attendance::new(MuseumId(1));
        attendance.apply(&attendance.record(now(), None, vec![counted(0)]));
        assert_eq!(attendance.check().map_err(|broken| broken.invariant), Err("AD-1"));
        let mut attendance = Attendance::new(MuseumId(1));
        attendance.apply(&attendance.record(now(), None, vec![Event::Imported(imported), counted(-2)]));
        attendance.days.remove(&day(-2));
        assert_eq!(attendance.recount().map_err(|broken| broken.invariant), Err("AD-2"));
    }

    #[test]
    fn codes_are_stable() {
        let refusals = [Refusal::NotOver { today: TODAY }, Refusal::AlreadyCounted, Refusal::BadImport];
        assert_eq!(refusals.map(|refusal| refusal.code()), ["day_not_over", "day_already_counted", "invalid_attendance"]);
    }

    proptest! {
        /// AD-1 to AD-3 whatever is asked.
        #[test]
        fn invariants_hold_whatever_is_asked(asked in prop::collection::vec((any::<bool>(), -40_i32..2, prop::collection::vec(prop::option::of(0_u32..9), 0..20)), 0..15)) {
            let (mut attendance, mut records) = (Attendance::new(MuseumId(7)), Vec::new());
            for (counts, days, people) in asked {
                let command = if counts { count(days, people.len() as u32) } else { import(days, &people) };
                let _ = step(&mut attendance, &mut records, &command);
            }
        }
    }
}
