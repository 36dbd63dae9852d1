//! What is known of one museum's building. Where doors count entries only, people inside are those of the last dwell time; where they count people in and out, the
//! filter of `models` follows them minute by minute, with gates beside it; people measured inside replace what was known.

use std::collections::{BTreeMap, HashMap, VecDeque};

use jiff::civil::Date;
use tornello_engine::attendance::DoorDay;
use tornello_engine::ids::Code;
use tornello_engine::slot::Words;
use tornello_engine::time::{DAY_S, MICROS_PER_S, Timestamp};
use tornello_models::ModelError;
use tornello_models::dwell::{Dwell, Entries, Inside};
use tornello_models::occupancy::{Counts, Filter, Quality};

use super::cells::Cells;
use super::{AHEAD_S, Measured, OLD_S, Occupancy, Reading, Rejected, Setting, Summed};

/// The most doors or zones of one museum.
const DOORS_MAX: usize = 256;
/// A zone that has said nothing for so long is silent, in seconds. Whoever it saw last may be there yet, and counts, until it is forgotten.
const ZONE_OLD_S: i64 = 600;
/// After so long without a word a zone is forgotten, in seconds.
const ZONE_GONE_S: i64 = 6 * ZONE_OLD_S;
/// How far apart the points of the day's curve are, in seconds.
const CURVE_EVERY_S: i64 = 300;
/// As many as two days have.
const CURVE_MAX: usize = 600;
/// The sums of so many days wait to be told.
const DAYS_WAIT: usize = 10;

/// What is known of one museum's building.
#[derive(Debug, Default)]
pub(super) struct Site {
    /// Those who came in, door by door.
    doors: HashMap<Code, Door>,
    /// Those who were inside when the program started, as if they had all just come in.
    before: Option<Entries>,
    /// When people inside were measured last, and these, as if they had all come in then: they stand for whoever was inside before.
    measured: Option<(Timestamp, Entries)>,
    /// When the program started, if the museum was there before: what its doors had counted by then is not known.
    pub(super) started_at: Option<Timestamp>,
    /// The last word of sensors of which that was made. What doors had counted by then is among them.
    heard: HashMap<Code, Timestamp>,
    /// Those who came and went, minute by minute; none as long as no door counts both.
    flow: Option<Flow>,
    /// What zones said of a building without counted doors.
    zones: Zones,
    pub(super) occupancy: Option<Occupancy>,
    /// When the newest reading of it was made; what time and gates have made of it since is none.
    read_at: Option<Timestamp>,
    /// People inside, every five minutes.
    pub(super) curve: VecDeque<(Timestamp, Inside)>,
    pub(super) around: Cells,
}

/// Those who came in by one door.
#[derive(Debug)]
struct Door {
    entries: Entries,
    /// Its last reading.
    last: Timestamp,
}

impl Door {
    /// Takes in whom it has counted up to some time: of a door that tells of one after the other there may be several such times in a second.
    fn count(&mut self, at: Timestamp, people: u32) -> Result<(), Rejected> {
        if at <= self.last {
            return Err(Rejected::OutOfOrder);
        }
        if at.as_seconds() == self.last.as_seconds() {
            self.entries.add(people);
        } else {
            // A door refuses nothing but a count that is old or was taken before.
            self.entries.push(at.as_seconds(), people).map_err(|_: ModelError| Rejected::OutOfOrder)?;
        }
        self.last = at;
        Ok(())
    }
}

/// People followed minute by minute.
#[derive(Debug)]
struct Flow {
    filter: Filter,
    date: Date,
    /// The last reading of each door.
    doors: HashMap<Code, Timestamp>,
    /// When people inside were measured last: what doors had counted by then is among them.
    measured_at: Option<Timestamp>,
    zones: Zones,
    /// People let in by gates, as last looked at.
    scanned: u32,
    /// How many of them were told of late.
    late: u32,
    /// When that was, and when it was before the running minute: of whom gates have let in since then the filter knows nothing yet.
    looked_at: Timestamp,
    stepped_at: Timestamp,
    /// Those of them whom minutes that passed have made known since the last reading, and when.
    let_in: Vec<(Timestamp, u32)>,
    /// Those of them of whom no estimate knows yet: a reading that was not taken may have brought them up.
    untold: u32,
    /// Days that are over, with what the doors summed up.
    days: BTreeMap<Date, Summed>,
    /// Whether the day's sums began in its middle.
    is_torn: bool,
}

impl Site {
    /// Takes a reading in; answers the people inside at that moment.
    pub(super) fn take(&mut self, reading: Reading, setting: Option<&Setting>) -> Result<(Inside, Quality), Rejected> {
        let is_count = matches!(reading.measured, Measured::Entries { .. } | Measured::Flow { .. });
        if is_count && self.heard.get(&reading.sensor).is_some_and(|heard| reading.at <= *heard) {
            return Err(Rejected::OutOfOrder);
        }
        let newest = self.occupancy.map_or(Timestamp::MIN, |occupancy| occupancy.at);
        if let Some(setting) = setting {
            self.follow(reading.at, setting);
        }
        let is_old = self.read_at.is_some_and(|read_at| reading.at <= read_at);
        match (reading.measured, &mut self.flow) {
            (Measured::Inside { .. }, _) if is_old => Err(Rejected::OutOfOrder),
            (Measured::Inside { people, sd }, flow) => {
                let mut inside = Inside { people, sd: sd.unwrap_or(Inside::counted(people).sd) };
                if let Some(flow) = flow {
                    // It says nothing of those who have come in since, and may be told when the minute in which they did has passed.
                    let since = flow.let_in.iter().filter(|(known_at, _)| *known_at > reading.at).map(|(_, people)| *people);
                    inside.people = since.fold(inside.people, u32::saturating_add);
                    flow.filter.set(minute(reading.at), f64::from(inside.people), f64::from(inside.sd));
                    flow.measured_at = Some(reading.at);
                } else {
                    self.doors.clear();
                    self.measured = Some((reading.at, just_in(people, reading.at)));
                }
                Ok((inside, Quality::Good))
            }
            (Measured::Entries { people }, Some(flow)) => flow.count(reading, people, 0),
            (Measured::Flow { entered, left }, Some(flow)) => flow.count(reading, entered, left),
            (Measured::Zone { people, sd }, Some(flow)) => flow.see(reading, Inside { people, sd }),
            (Measured::Entries { people }, None) => Ok((self.enter(reading, people, newest)?, Quality::Uncalibrated)),
            (Measured::Zone { people, sd }, None) => {
                // Without doors the zones are all there is: nothing is known before each of them, and nothing in between.
                let seen = self.zones.see(reading, Inside { people, sd }, self.occupancy)?;
                // Nobody has left whom a zone saw that has not spoken since the start, or since all of them were silent.
                let before = self.before.iter().chain(&self.zones.before).filter(|_| !seen.is_heard_out);
                let before = before.map(|before| people_of(before, reading.at.max(newest).as_seconds())).max().unwrap_or(0);
                let quality = match seen.is_complete {
                    false => Quality::Silent,
                    true if before > seen.inside.people => Quality::Uncalibrated,
                    true => Quality::Good,
                };
                Ok((Inside { people: seen.inside.people.max(before), ..seen.inside }, quality))
            }
            // Nothing is followed without a setting, and whoever sends these gives one.
            (Measured::Flow { .. } | Measured::Cell { .. }, _) => Err(Rejected::OutOfOrder),
        }
    }

    /// Entries alone: they add up over all doors, and to the people who were measured inside.
    fn enter(&mut self, reading: Reading, people: u32, newest: Timestamp) -> Result<Inside, Rejected> {
        // Whom a door had counted by then is among those.
        let is_measured = self.measured.as_ref().is_some_and(|(measured_at, _)| reading.at <= *measured_at);
        let people = if is_measured { 0 } else { people };
        let at_s = reading.at.max(newest).as_seconds();
        self.doors.retain(|sensor, door| *sensor == reading.sensor || people_of(&door.entries, at_s) > 0);
        if !self.doors.contains_key(&reading.sensor) && self.doors.len() >= DOORS_MAX {
            return Err(Rejected::TooManySensors);
        }
        let door = self.doors.entry(reading.sensor).or_insert_with(|| Door { entries: Entries::new(Dwell::default()), last: Timestamp::MIN });
        door.count(reading.at, people)?;
        let before = self.measured.as_ref().map(|(_, measured)| measured).or(self.before.as_ref());
        let before = before.map(|before| people_of(before, at_s));
        let doors = self.doors.values().map(|door| people_of(&door.entries, at_s));
        Ok(Inside::counted(doors.chain(before).fold(0, u32::saturating_add)))
    }

    /// Begins with people who are inside, as at a start, and with what sensors had said of them.
    pub(super) fn begin_with(&mut self, inside: Inside, at: Timestamp, words: &Words) {
        (self.before, self.read_at) = (Some(just_in(inside.people, at)), Some(at));
        self.measured = words.measured.map(|measured_at| (measured_at, just_in(inside.people, at)));
        for (sensor, last) in &words.counted {
            self.has_heard(*sensor, *last);
        }
    }

    /// The last estimate, and of what it was made, as far as it may be said once more.
    pub(super) fn to_tell(&self) -> Option<(Occupancy, Words)> {
        let occupancy = self.occupancy?;
        let may_be_sent = |last: Timestamp| last > occupancy.at.plus_seconds(-AHEAD_S - OLD_S);
        let mut counted = BTreeMap::new();
        let alone = self.doors.iter().map(|(sensor, door)| (*sensor, door.last));
        let followed = self.flow.iter().flat_map(|flow| &flow.doors).chain(&self.heard).map(|(sensor, last)| (*sensor, *last));
        for (sensor, last) in alone.chain(followed).filter(|(_, last)| may_be_sent(*last)) {
            let known = counted.entry(sensor).or_insert(last);
            *known = last.max(*known);
        }
        let alone = || self.measured.as_ref().map(|(measured_at, _)| *measured_at);
        let measured = self.flow.as_ref().map_or_else(alone, |flow| flow.measured_at).filter(|measured_at| may_be_sent(*measured_at));
        Some((occupancy, Words { counted: counted.into_iter().collect(), measured }))
    }

    /// What a sensor said up to some time was heard before the start: sent again, as where its answer was lost, it is not counted once more.
    pub(super) fn has_heard(&mut self, sensor: Code, at: Timestamp) {
        let heard = self.heard.entry(sensor).or_insert(at);
        *heard = at.max(*heard);
    }

    /// Whether people are followed minute by minute.
    pub(super) const fn follows(&self) -> bool {
        self.flow.is_some()
    }

    /// Follows people minute by minute from now on, and brings the day and the gates up to date.
    fn follow(&mut self, now: Timestamp, setting: &Setting) {
        let flow = self.flow.get_or_insert_with(|| {
            let mut filter = Filter::new(&setting.balance, setting.gated, setting.room);
            filter.begin_day(&setting.balance, setting.gated, setting.room, setting.midnight_min);
            // Also where slots are told nothing, as without a ceiling.
            let mut is_torn = setting.scanned > 0 || self.started_at.is_some_and(|started_at| started_at > setting.opens);
            // Who was inside before is known at least as well as nobody.
            if let Some(last) = self.occupancy.filter(|last| super::building_day(last.at) == setting.date) {
                filter.set(minute(last.at.min(now)), f64::from(last.inside.people), f64::from(last.inside.sd));
                is_torn = true;
            }
            let (zones, let_in, days) = (Zones::default(), Vec::new(), BTreeMap::new());
            // What these have told is among those: sent again it is not counted once more.
            let doors = self.doors.iter().map(|(sensor, door)| (*sensor, door.last)).collect();
            let (date, scanned, late) = (setting.date, setting.scanned, setting.late);
            let measured_at = self.measured.as_ref().map(|(measured_at, _)| *measured_at);
            Flow { filter, date, doors, measured_at, zones, scanned, late, looked_at: now, stepped_at: now, let_in, untold: 0, days, is_torn }
        });
        flow.bring_up(now, setting);
    }

    /// Lets time pass; answers the people inside if a gate has let somebody in since, and as of when. Whom gates let in counts beside what was known by then: doors that have
    /// not spoken since have not counted them, and where gates stand in for dead ones they are counted minute by minute.
    pub(super) fn pass(&mut self, now: Timestamp, setting: &Setting) -> Option<(Inside, Quality, Timestamp)> {
        let last = self.occupancy?.at;
        let flow = self.flow.as_mut()?;
        let was = flow.date;
        flow.bring_up(now, setting);
        let let_in = std::mem::take(&mut flow.untold);
        if let_in > 0 {
            flow.let_in.push((now, let_in));
        }
        if let_in == 0 && flow.date == was {
            return None;
        }
        let (inside, quality) = flow.estimate();
        // In the night nobody is inside.
        let at = if flow.date == was { self.as_of(quality, last) } else { now };
        Some((inside, quality, at.max(last)))
    }

    /// As of when an estimate is that was made by readings up to some time.
    pub(super) fn as_of(&self, quality: Quality, read_at: Timestamp) -> Timestamp {
        match (&self.flow, quality) {
            (Some(flow), Quality::DeadEntries) => flow.stepped_at,
            _ => read_at,
        }
    }

    /// What the doors summed up over a day that is over, until it is forgotten.
    pub(super) fn door_day(&mut self, date: Date, setting: &Setting) -> Option<Summed> {
        let flow = self.flow.as_mut()?;
        if setting.date > flow.date {
            flow.end_day(setting);
        }
        flow.days.get(&date).copied()
    }

    /// What the doors summed up over a day is written down.
    pub(super) fn forget_day(&mut self, date: Date) {
        if let Some(flow) = &mut self.flow {
            flow.days.remove(&date);
        }
    }

    /// Notes an estimate that a reading of some instant has made.
    pub(super) fn publish_read(&mut self, occupancy: Occupancy, read_at: Timestamp) {
        self.read_at = self.read_at.max(Some(read_at));
        if let Some(flow) = &mut self.flow {
            flow.let_in.retain(|(known_at, _)| *known_at > read_at);
            flow.untold = 0;
        }
        self.publish(occupancy);
    }

    /// Notes an estimate as the newest one, and as a point of the curve if the last one is far enough back.
    pub(super) fn publish(&mut self, occupancy: Occupancy) {
        self.occupancy = Some(occupancy);
        match self.curve.back_mut() {
            Some((at, inside)) if occupancy.at.micros_since(*at) < CURVE_EVERY_S * MICROS_PER_S => *inside = occupancy.inside,
            _ => self.curve.push_back((occupancy.at, occupancy.inside)),
        }
        while self.curve.len() > CURVE_MAX {
            self.curve.pop_front();
        }
    }
}

impl Flow {
    /// Takes in whom gates have let in since. Of whom they told late, those who came in long ago, doors have counted by now if they count at all.
    fn bring_up(&mut self, now: Timestamp, setting: &Setting) {
        if setting.date > self.date {
            self.end_day(setting);
        }
        // Of two readings that come in at once the later one may bring what was looked up before the other one, and with it a day that is over.
        let is_of_today = setting.date == self.date;
        if is_of_today {
            self.filter.make_room(setting.room);
        }
        let since = |now: u32, before: u32| if is_of_today { now.saturating_sub(before) } else { 0 };
        let scanned = since(setting.scanned, self.scanned);
        // Who is told of late is known as that a moment before the slot's counters show it.
        let late = since(setting.late, self.late).min(scanned);
        (self.scanned, self.late) = (self.scanned.saturating_add(scanned), self.late.saturating_add(late));
        if minute(now) > minute(self.looked_at) {
            (self.stepped_at, self.looked_at) = (self.looked_at, now);
        }
        let scanned = scanned - late;
        self.filter.count(minute(now), Counts { scanned, ..Counts::default() });
        if late > 0 {
            self.filter.count_late(minute(now), late);
        }
        self.untold = self.untold.saturating_add(scanned);
    }

    fn end_day(&mut self, setting: &Setting) {
        let mut balance = setting.balance.clone();
        self.filter.advance(minute(super::day_begins(setting.date)));
        balance.push(*self.filter.day());
        let day = self.filter.begin_day(&balance, setting.gated, setting.room, setting.midnight_min);
        let is_whole = !std::mem::take(&mut self.is_torn);
        let doors = DoorDay {
            entered: day.entered,
            left: day.left,
            scanned: day.scanned,
            entered_minutes: day.entered_minutes,
            entered_squares: day.entered_squares,
            left_minutes: day.left_minutes,
            left_squares: day.left_squares,
            dead_minutes: day.dead_minutes + u32::from(!is_whole),
        };
        self.days.insert(self.date, Summed { doors, is_whole });
        while self.days.len() > DAYS_WAIT {
            self.days.pop_first();
        }
        (self.date, self.scanned, self.late) = (setting.date, 0, 0);
        self.zones = Zones::default();
        self.let_in.clear();
        self.untold = 0;
    }

    fn count(&mut self, reading: Reading, entered: u32, left: u32) -> Result<(Inside, Quality), Rejected> {
        match self.doors.get(&reading.sensor) {
            Some(last) if reading.at <= *last => return Err(Rejected::OutOfOrder),
            None if self.doors.len() >= DOORS_MAX => {
                let oldest = reading.at.plus_seconds(-DAY_S);
                self.doors.retain(|_, last| *last > oldest);
                if self.doors.len() >= DOORS_MAX {
                    return Err(Rejected::TooManySensors);
                }
            }
            Some(_) | None => {}
        }
        let since = self.doors.insert(reading.sensor, reading.at).map(minute);
        let counts = Counts { entered, left, scanned: 0 };
        if self.measured_at.is_some_and(|measured_at| reading.at <= measured_at) {
            self.filter.count_known(minute(reading.at), counts);
        } else {
            self.filter.count_since(minute(reading.at), since, counts);
        }
        Ok(self.estimate())
    }

    /// What all zones see together is heard as far as it is sure, as soon as each of them has said something lately: when they begin to speak, each that there is, unless those who
    /// have spoken see more than are thought to be inside.
    fn see(&mut self, reading: Reading, inside: Inside) -> Result<(Inside, Quality), Rejected> {
        let all = self.zones.see(reading, inside, None)?;
        if all.is_complete && (all.is_heard_out || f64::from(all.inside.people) >= self.filter.estimate().people) {
            self.filter.advance(minute(reading.at));
            self.filter.observe(f64::from(all.inside.people), f64::from(all.inside.sd));
        }
        Ok(self.estimate())
    }

    fn estimate(&self) -> (Inside, Quality) {
        let estimate = self.filter.estimate();
        // Both are bounded by the room, which is no more than a u32 holds.
        (Inside { people: estimate.people.round() as u32, sd: estimate.sd.ceil() as u32 }, estimate.quality)
    }
}

/// What each zone said last.
#[derive(Debug, Default)]
struct Zones {
    last: HashMap<Code, (Timestamp, Inside)>,
    /// When the first of them spoke, since all were silent.
    since: Option<Timestamp>,
    /// Those who were thought to be inside then, as if they had all just come in.
    before: Option<Entries>,
}

/// What zones see together.
struct Together {
    inside: Inside,
    /// Whether each of them has spoken lately.
    is_complete: bool,
    /// Whether the first of them spoke so long ago that there is no other one, or it is silent.
    is_heard_out: bool,
}

impl Zones {
    /// Takes in what one zone sees; answers what all see together, each as of its last word. `thought` is what was thought so far.
    fn see(&mut self, reading: Reading, inside: Inside, thought: Option<Occupancy>) -> Result<Together, Rejected> {
        if self.last.get(&reading.sensor).is_some_and(|(last, _)| reading.at <= *last) {
            return Err(Rejected::OutOfOrder);
        }
        let within = |then: Timestamp, seconds: i64| reading.at.micros_since(then) < seconds * MICROS_PER_S;
        self.last.retain(|_, (last, _)| within(*last, ZONE_GONE_S));
        if self.last.is_empty() {
            (self.since, self.before) = (None, thought.map(|last| just_in(last.inside.people, last.at)));
        }
        if !self.last.contains_key(&reading.sensor) && self.last.len() >= DOORS_MAX {
            return Err(Rejected::TooManySensors);
        }
        self.last.insert(reading.sensor, (reading.at, inside));
        let since = *self.since.get_or_insert(reading.at);
        let add = |(people, variance): (u32, f64), (_, zone): &(Timestamp, Inside)| {
            (people.saturating_add(zone.people), variance + f64::from(zone.sd).powi(2))
        };
        let (people, variance) = self.last.values().fold((0, 0.0), add);
        Ok(Together {
            inside: Inside { people, sd: variance.sqrt().ceil() as u32 },
            is_complete: self.last.values().all(|(last, _)| within(*last, ZONE_OLD_S)),
            is_heard_out: !within(since, ZONE_OLD_S),
        })
    }
}

/// The minute of an instant, since 1970.
fn minute(at: Timestamp) -> i64 {
    at.as_seconds().div_euclid(60)
}

/// People as if they had all come in at once.
fn just_in(people: u32, at: Timestamp) -> Entries {
    let mut entries = Entries::new(Dwell::default());
    // An empty estimator takes any first count.
    let _ = entries.push(at.as_seconds(), people);
    entries
}

/// Those who came in by one door and are still inside; no door is asked for a time before its last count.
fn people_of(door: &Entries, at_s: i64) -> u32 {
    door.inside(at_s).map_or(0, |inside| inside.people)
}

#[cfg(test)]
mod tests {
    use tornello_engine::ids::{KeyId, MuseumId};
    use tornello_models::occupancy::Balance;

    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_seconds(1_780_000_000 + s)
    }

    /// The building's day that begins so many days after the first one, of which gates have let so many in.
    fn setting(days: i32, scanned: u32) -> Setting {
        let date = jiff::civil::date(2026, 5, 28).saturating_add(jiff::Span::new().days(days));
        let midnight_min = minute(tornello_engine::calendar::instant(date.at(0, 0, 0, 0)));
        let (opens, balance) = (super::super::day_begins(date), Balance::default());
        Setting { date, midnight_min, opens, balance, gated: None, room: 1_000.0, scanned, late: 0 }
    }

    #[test]
    fn whom_a_gate_lets_in_is_counted_once_also_by_two_readings_that_come_in_at_once() {
        let mut site = Site::default();
        let mut count = |sensor: &str, s: i64, setting: &Setting| {
            let measured = Measured::Flow { entered: 1, left: 0 };
            site.take(Reading { museum: MuseumId(1), sensor: sensor.parse().unwrap(), at: at(s), measured }, Some(setting)).unwrap();
        };
        count("north", 0, &setting(0, 0));
        // The second of two that looked when nine and ten were inside takes its turn first.
        count("north", 10, &setting(0, 10));
        count("south", 10, &setting(0, 9));
        count("north", 20, &setting(0, 11));
        // And so where the building's day ends in between.
        count("north", 86_400, &setting(1, 2));
        count("south", 86_400, &setting(0, 11));
        count("north", 86_410, &setting(1, 3));
        let [first, second] = [(0, setting(1, 3)), (1, setting(2, 0))].map(|(day, after)| site.door_day(setting(day, 0).date, &after).unwrap().doors);
        assert_eq!((first.scanned, first.entered, second.scanned, second.entered), (11, 4, 3, 3));
    }

    #[test]
    fn whoever_comes_in_after_the_ceiling_was_raised_is_inside() {
        let mut site = Site::default();
        let mut count = |s: i64, entered, room: f64| {
            let reading = Reading { museum: MuseumId(1), sensor: "door".parse().unwrap(), at: at(s), measured: Measured::Flow { entered, left: 0 } };
            site.take(reading, Some(&Setting { room, ..setting(0, 0) })).unwrap().0.people
        };
        assert_eq!([count(0, 8, 10.0), count(60, 8, 10.0), count(120, 8, 100.0), count(180, 8, 10.0)], [8, 10, 24, 32]);
    }

    #[test]
    fn an_estimate_is_as_of_the_last_word_of_a_door_or_of_the_gates_that_stand_in_for_it() {
        let mut site = Site::default();
        let reading =
            |s, left| Reading { museum: MuseumId(1), sensor: "door".parse().unwrap(), at: at(s), measured: Measured::Flow { entered: 0, left } };
        let (inside, quality) = site.take(reading(0, 0), Some(&setting(0, 0))).unwrap();
        let occupancy = Occupancy { museum: MuseumId(1), inside, quality, at: at(0), sensor: "door".parse().unwrap(), who: KeyId::SYSTEM };
        site.publish_read(occupancy, at(0));
        // Gates let five in each minute, and the door counts nobody: after ten it is dead, and those of the minutes that are over are known by the gates.
        for (s, scanned, as_of, is_dead) in [(60, 5, 0, false), (120, 10, 0, false), (180, 15, 120, true), (240, 20, 180, true)] {
            let (_, quality, said) = site.pass(at(s), &setting(0, scanned)).unwrap();
            assert_eq!((said, quality == Quality::DeadEntries), (at(as_of), is_dead), "at {s}");
        }
        let (_, quality) = site.take(reading(250, 1), Some(&setting(0, 22))).unwrap();
        assert_eq!((quality, site.as_of(quality, at(250))), (Quality::DeadEntries, at(180)));
        assert_eq!(site.as_of(Quality::Good, at(250)), at(250));
    }

    #[test]
    fn what_a_door_that_counts_both_ways_had_counted_is_among_the_people_who_were_measured_inside() {
        let mut site = Site::default();
        let flow = |entered, left| Measured::Flow { entered, left };
        for (sensor, s, says, inside) in [
            ("door", 0, flow(40, 0), 40),
            ("camera", 60, Measured::Inside { people: 30, sd: Some(1) }, 30),
            // It was on its way when people inside were measured.
            ("south", 59, flow(5, 15), 30),
            ("south", 120, flow(3, 1), 32),
        ] {
            let reading = Reading { museum: MuseumId(1), sensor: sensor.parse().unwrap(), at: at(s), measured: says };
            let (found, _) = site.take(reading, Some(&setting(0, 0))).unwrap();
            assert_eq!(found.people, inside, "{sensor} at {s}");
        }
        let day = site.door_day(setting(0, 0).date, &setting(1, 0)).unwrap().doors;
        assert_eq!((day.entered, day.left), (48, 16), "and they are of the day");
    }

    #[test]
    fn whom_gates_let_in_while_a_door_was_cut_off_came_in_once_when_it_tells_of_them() {
        let mut site = Site::default();
        let reading =
            |s, entered| Reading { museum: MuseumId(1), sensor: "door".parse().unwrap(), at: at(s), measured: Measured::Flow { entered, left: 0 } };
        let (inside, quality) = site.take(reading(0, 0), Some(&setting(0, 0))).unwrap();
        let occupancy = Occupancy { museum: MuseumId(1), inside, quality, at: at(0), sensor: "door".parse().unwrap(), who: KeyId::SYSTEM };
        site.publish_read(occupancy, at(0));
        for passed in 1..=10_u32 {
            assert!(site.pass(at(i64::from(passed) * 60), &setting(0, passed * 5)).is_some());
        }
        // Of the running minute nobody has counted those yet whom the gates have let in.
        let (inside, quality) = site.take(reading(610, 45), Some(&setting(0, 50))).unwrap();
        assert_eq!((inside.people, quality), (45, Quality::DeadEntries));
        let (inside, quality) = site.take(reading(670, 5), Some(&setting(0, 50))).unwrap();
        assert_eq!((inside.people, quality), (50, Quality::Uncalibrated), "and who comes afterwards is new");
    }

    #[test]
    fn whom_gates_let_in_is_told_also_where_a_door_sends_again_and_again_what_is_known() {
        let mut site = Site::default();
        let measured = Measured::Flow { entered: 0, left: 0 };
        let reading = Reading { museum: MuseumId(1), sensor: "door".parse().unwrap(), at: at(0), measured };
        let (inside, quality) = site.take(reading, Some(&setting(0, 0))).unwrap();
        let occupancy = Occupancy { museum: MuseumId(1), inside, quality, at: at(0), sensor: reading.sensor, who: KeyId::SYSTEM };
        site.publish_read(occupancy, at(0));
        for passed in 1..=4_u32 {
            let now = setting(0, passed * 5);
            assert_eq!(site.take(reading, Some(&now)).err(), Some(Rejected::OutOfOrder));
            let (inside, quality, said) = site.pass(at(i64::from(passed) * 60), &now).expect("gates have let somebody in since");
            site.publish(Occupancy { inside, quality, at: said, ..occupancy });
        }
        let last = site.occupancy.unwrap();
        assert_eq!((last.inside.people, last.quality, last.at), (20, Quality::DeadEntries, at(180)));
        assert_eq!(site.pass(at(300), &setting(0, 20)), None, "nobody has come in");
    }

    #[test]
    fn whom_doors_count_in_is_added_to_the_people_who_were_measured_inside() {
        let mut site = Site::default();
        let counted = |people| Measured::Entries { people };
        let measured = |people| Measured::Inside { people, sd: Some(1) };
        for (sensor, s, says, inside) in [
            ("door", 0, counted(200), 200),
            ("camera", 60, measured(10), 10),
            ("door", 61, counted(1), 11),
            // It was on its way when people inside were measured.
            ("south", 59, counted(5), 11),
            ("south", 120, counted(2), 13),
            ("camera", 180, measured(150), 150),
            ("door", 181, counted(1), 151),
            ("door", 179 + 5_400, counted(3), 154),
            ("door", 181 + 5_400, counted(4), 7),
        ] {
            let reading = Reading { museum: MuseumId(1), sensor: sensor.parse().unwrap(), at: at(s), measured: says };
            let (found, quality) = site.take(reading, None).unwrap();
            assert_eq!(found.people, inside, "{sensor} at {s}");
            let newest = site.occupancy.map_or(reading.at, |last| last.at.max(reading.at));
            let occupancy = Occupancy { museum: MuseumId(1), inside: found, quality, at: newest, sensor: reading.sensor, who: KeyId::SYSTEM };
            site.publish_read(occupancy, reading.at);
        }
    }

    #[test]
    fn whom_a_door_counts_one_after_the_other_within_a_second_are_all_inside() {
        let mut site = Site::default();
        let mut count = |millis: u32, measured: Measured, setting: Option<&Setting>| -> Result<u32, Rejected> {
            let reading = Reading { museum: MuseumId(1), sensor: "door".parse().unwrap(), at: at(0).plus_millis(millis), measured };
            let (inside, quality) = site.take(reading, setting)?;
            let occupancy = Occupancy { museum: MuseumId(1), inside, quality, at: reading.at, sensor: reading.sensor, who: KeyId::SYSTEM };
            site.publish_read(occupancy, reading.at);
            Ok(inside.people)
        };
        let (one, again) = (Measured::Entries { people: 1 }, Err(Rejected::OutOfOrder));
        for (millis, inside) in [(100, Ok(1)), (700, Ok(2)), (700, again), (100, again), (900, Ok(3)), (1_200, Ok(4))] {
            assert_eq!(count(millis, one, None), inside, "{millis}");
        }
        // Nor is it counted once more when it is sent again after a door has counted both ways.
        let day = setting(0, 0);
        assert_eq!(count(1_200, one, Some(&day)), again);
        assert_eq!(count(1_300, Measured::Flow { entered: 1, left: 0 }, Some(&day)), Ok(5));
    }

    /// What people inside come to with what a zone says at a second.
    fn see(site: &mut Site, zone: &str, s: i64, people: u32) -> (u32, Quality) {
        let measured = Measured::Zone { people, sd: 0 };
        let (inside, quality) = site.take(Reading { museum: MuseumId(1), sensor: zone.parse().unwrap(), at: at(s), measured }, None).unwrap();
        (inside.people, quality)
    }

    #[test]
    fn whom_a_silent_zone_saw_last_counts_until_it_is_forgotten() {
        let mut site = Site::default();
        for (zone, s, people, inside, quality) in [
            ("hall", 0, 80, 80, Quality::Good),
            ("garden", 5, 70, 150, Quality::Good),
            ("hall", 604, 80, 150, Quality::Good),
            ("hall", 605, 80, 150, Quality::Silent),
            ("hall", 3_604, 60, 130, Quality::Silent),
            ("garden", 3_604, 20, 80, Quality::Good),
            ("hall", 7_204, 50, 50, Quality::Good),
        ] {
            assert_eq!(see(&mut site, zone, s, people), (inside, quality), "{zone} at {s}");
        }
    }

    #[test]
    fn where_all_zones_were_silent_nobody_has_left_before_every_one_has_had_time_to_speak() {
        let mut site = Site::default();
        for (zone, s, people, inside, quality) in [
            ("hall", 0, 80, 80, Quality::Good),
            ("garden", 5, 70, 150, Quality::Good),
            // What they said meanwhile was lost on its way.
            ("hall", 3_700, 78, 150, Quality::Uncalibrated),
            ("garden", 3_705, 60, 150, Quality::Uncalibrated),
            ("hall", 4_299, 78, 150, Quality::Uncalibrated),
            ("garden", 4_300, 60, 138, Quality::Good),
            // In the night all have left.
            ("hall", 40_000, 3, 3, Quality::Good),
        ] {
            let seen = see(&mut site, zone, s, people);
            assert_eq!(seen, (inside, quality), "{zone} at {s}");
            let inside = Inside { people: seen.0, sd: 0 };
            let occupancy = Occupancy { museum: MuseumId(1), inside, quality, at: at(s), sensor: zone.parse().unwrap(), who: KeyId::SYSTEM };
            site.publish_read(occupancy, at(s));
        }
    }

    #[test]
    fn a_zone_that_is_the_first_to_speak_takes_nobody_away_whom_doors_have_counted() {
        let mut site = Site::default();
        let flow = Measured::Flow { entered: 200, left: 0 };
        site.take(Reading { museum: MuseumId(1), sensor: "door".parse().unwrap(), at: at(0), measured: flow }, Some(&setting(0, 0))).unwrap();
        let (first, _) = see(&mut site, "hall", 10, 80);
        assert_eq!(first, 200, "in the garden there may be as many as have come");
        see(&mut site, "garden", 15, 110);
        see(&mut site, "hall", 605, 80);
        let (both, _) = see(&mut site, "garden", 610, 110);
        assert!((185..=195).contains(&both), "{both}");
    }

    #[test]
    fn after_a_start_nobody_has_left_before_every_zone_has_had_time_to_speak() {
        let mut site = Site::default();
        site.begin_with(Inside { people: 150, sd: 4 }, at(0), &Words::default());
        for (zone, s, people, inside, quality) in [
            ("hall", 60, 80, 150, Quality::Uncalibrated),
            ("garden", 65, 75, 155, Quality::Good),
            ("garden", 70, 30, 150, Quality::Uncalibrated),
            ("hall", 659, 80, 150, Quality::Uncalibrated),
            ("garden", 660, 30, 110, Quality::Good),
        ] {
            assert_eq!(see(&mut site, zone, s, people), (inside, quality), "{zone} at {s}");
        }
    }
}
