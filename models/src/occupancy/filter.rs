//! The estimate of the running day: entries less exits as the balance of the last days corrects them, pulled every five minutes towards those whom the law of the
//! stay leaves inside, each by how much it is to be trusted (a Kalman filter with one number as its state).
//!
//! A counter of entries that says nothing while gates scan is dead: entries are then what gates scan, divided by the share of people who pass one. A counter of
//! exits that says nothing while people must be leaving is dead too: exits are then what the law of the stay expects. A counter that was only cut off, or tells
//! seldom, tells afterwards of those for whom something stood in: they came and went once.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::balance::{Balance, Day};
use super::stay::STAY_MIN_MAX;

/// How much the variance grows with each person counted, and with each minute.
const VARIANCE_A_PERSON: f64 = 0.08;
const VARIANCE_A_MINUTE: f64 = 0.02;
/// How often the law of the stay is heard, in minutes.
const OBSERVE_EVERY_MIN: i64 = 5;
/// Its standard deviation: a share of the people it leaves inside, and some people beside.
const STAY_SD_SHARE: f64 = 0.15;
const STAY_SD_PEOPLE: f64 = 3.0;
/// Over how many minutes a counter of entries is held against the gates, and how many scans make a case.
const ENTRY_WINDOW_MIN: usize = 15;
const SCANS_MIN: f64 = 8.0;
/// Below this share of what gates say a counter of entries is dead; above the second it lives again.
const DEAD_SHARE: f64 = 0.1;
const ALIVE_SHARE: f64 = 0.4;
/// Over how many minutes a counter of exits is held against the law of the stay, and how many exits make a case.
const EXIT_WINDOW_MIN: usize = 60;
const EXITS_MIN: f64 = 20.0;
/// Without anything counted for so many minutes the estimate has nothing to go by.
const SILENT_MIN: i64 = 30;
/// The counters' own errors that no balance shows, as a share of the people inside: it widens what is published, not what the filter works with.
const UNSEEN_SD_SHARE: f64 = 0.05;
/// The most minutes that are worked through at once; after a longer silence the day begins anew.
const CATCH_UP_MIN: i64 = 1_440;

/// What was counted since the last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// People in.
    pub entered: u32,
    /// People out.
    pub left: u32,
    /// People let in by gates.
    pub scanned: u32,
}

/// How far an estimate can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// All is as usual.
    Good,
    /// Too few days are known: counters are taken at their word.
    Uncalibrated,
    /// The counters of exits are dead: exits are what the law of the stay expects.
    DeadExits,
    /// The counters of entries are dead: entries are what gates scan.
    DeadEntries,
    /// Nothing was counted lately, or not everywhere.
    Silent,
}

impl Quality {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Uncalibrated => "uncalibrated",
            Self::DeadExits => "dead_exits",
            Self::DeadEntries => "dead_entries",
            Self::Silent => "silent",
        }
    }
}

/// People inside.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// How many.
    pub people: f64,
    /// One standard deviation.
    pub sd: f64,
    /// How far to trust it.
    pub quality: Quality,
}

/// The estimate of a running day.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Filter {
    /// The minute that is being counted, since any epoch; none before the first count.
    minute: Option<i64>,
    /// What that minute's day began with, to know the minute of the day.
    midnight: i64,
    counted: Counts,
    people: f64,
    variance: f64,
    /// No more fit in.
    room: f64,
    /// Entries, minute by minute, the newest last: those who may still be inside.
    entries: VecDeque<f64>,
    /// What entered and what was scanned, minute by minute.
    entry_window: VecDeque<(f64, f64)>,
    /// What left and what the law of the stay expected to, minute by minute.
    exit_window: VecDeque<(f64, f64)>,
    entries_dead: bool,
    exits_dead: bool,
    /// The minute in which somebody has counted the people inside by other means: whom counters had missed by then is among these.
    seen_at: Option<i64>,
    /// Who came in, and who went out, by what stood in for dead counters.
    came_in: StandIn,
    went_out: StandIn,
    last_counted: i64,
    day: Day,
    learned: Learned,
}

/// People who passed one way, minute by minute, and of whom something stood in for a dead counter.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct StandIn {
    /// The minutes of the day in which somebody passed, the newest last.
    minutes: VecDeque<Passed>,
    /// How many of those whom the running minute has counted are known already.
    known: f64,
}

/// People who passed one way in a minute.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Passed {
    minute: i64,
    /// Whom counters told of, where nothing stood in for any.
    counted: f64,
    /// Who were taken to pass, and no counter has told of them since.
    stood_in: f64,
}

impl StandIn {
    /// Counters told of so many in a minute, and nothing stood in for any.
    fn count(&mut self, minute: i64, counted: f64) {
        self.note(Passed { minute, counted, stood_in: 0.0 });
    }

    /// Something has stood in since after a minute, as is known now: whom counters told of since are no others.
    fn begin(&mut self, since: i64) {
        self.minutes.iter_mut().rev().take_while(|passed| passed.minute > since).for_each(|passed| passed.counted = 0.0);
    }

    /// In a minute so many were taken to pass, of whom counters have told of so many.
    fn stand(&mut self, minute: i64, people: f64, told: f64) {
        self.note(Passed { minute, counted: 0.0, stood_in: people - told });
    }

    fn note(&mut self, passed: Passed) {
        if passed.counted > 0.0 || passed.stood_in > 0.0 {
            self.minutes.push_back(passed);
        }
    }

    /// A counter that had said nothing after a minute, or nothing at all, tells of so many up to a minute. Of a long silence some may have passed while nothing stood in for it: who
    /// is known already is as large a share of them as of all who have passed since.
    fn tell(&mut self, counted: f64, since: Option<i64>, until: i64) {
        if counted <= 0.0 {
            return;
        }
        let first = self.minutes.partition_point(|passed| since.is_some_and(|since| passed.minute <= since));
        let is_told = |passed: &&Passed| passed.minute <= until;
        let stood_in: f64 = self.minutes.range(first..).map(|passed| passed.stood_in).sum();
        let others: f64 = self.minutes.range(first..).filter(is_told).map(|passed| passed.counted).sum();
        if stood_in <= 0.0 {
            return;
        }
        let known = (counted * stood_in / (stood_in + others)).min(stood_in);
        self.known += known;
        let mut left = known;
        for passed in self.minutes.range_mut(first..) {
            let told = left.min(passed.stood_in);
            passed.stood_in -= told;
            left -= told;
        }
    }
}

/// What the balance of the last days says, worked out once a day.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Learned {
    exit_ratio: f64,
    gate_share: f64,
    entry_factor: f64,
    calibrated: bool,
    survival: Vec<f64>,
}

impl Filter {
    /// An empty building with room for so many people; `gated` is the share of entries that pass a gate, if the site knows it.
    #[must_use]
    pub fn new(balance: &Balance, gated: Option<f64>, room: f64) -> Self {
        let mut filter = Self {
            minute: None,
            midnight: 0,
            counted: Counts::default(),
            people: 0.0,
            variance: 0.0,
            room,
            entries: VecDeque::new(),
            entry_window: VecDeque::new(),
            exit_window: VecDeque::new(),
            entries_dead: false,
            exits_dead: false,
            seen_at: None,
            came_in: StandIn::default(),
            went_out: StandIn::default(),
            last_counted: 0,
            day: Day::default(),
            learned: Learned::default(),
        };
        filter.begin_day(balance, gated, room, 0);
        filter
    }

    /// Ends the day: answers its sums, and begins the next one with nobody inside. `midnight` is the minute with which it begins.
    pub fn begin_day(&mut self, balance: &Balance, gated: Option<f64>, room: f64, midnight: i64) -> Day {
        let factor = balance.entry_factor(gated);
        self.learned = Learned {
            exit_ratio: balance.exit_ratio(),
            gate_share: balance.gate_share().unwrap_or(1.0),
            entry_factor: factor,
            calibrated: balance.is_calibrated(),
            survival: balance.stay().survival(),
        };
        (self.people, self.variance, self.room, self.midnight, self.minute) = (0.0, 0.0, room.max(1.0), midnight, None);
        (self.entries_dead, self.exits_dead, self.seen_at) = (false, false, None);
        (self.came_in, self.went_out) = (StandIn::default(), StandIn::default());
        self.counted = Counts::default();
        self.entries.clear();
        self.entry_window.clear();
        self.exit_window.clear();
        std::mem::take(&mut self.day)
    }

    /// The day so far.
    #[must_use]
    pub const fn day(&self) -> &Day {
        &self.day
    }

    /// Has room for so many people at least until the day ends, as where a ceiling was raised. Where it was lowered nobody has left by that.
    pub fn make_room(&mut self, room: f64) {
        self.room = self.room.max(room);
    }

    /// Takes counts in that are known at `minute`; those of a door that is behind the others count now.
    pub fn count(&mut self, minute: i64, counts: Counts) {
        self.advance(minute);
        self.counted.entered = self.counted.entered.saturating_add(counts.entered);
        self.counted.left = self.counted.left.saturating_add(counts.left);
        self.counted.scanned = self.counted.scanned.saturating_add(counts.scanned);
        if counts.entered > 0 || counts.left > 0 {
            self.last_counted = self.minute.unwrap_or(minute);
        }
    }

    /// As [`Filter::count`], by a counter that had said nothing after the minute `since`, or nothing at all. For whom something stood in meanwhile, as it was taken for dead, has come
    /// in or gone out already; if other counters have told of people meanwhile, only a part of those whom this one tells of is among these.
    pub fn count_since(&mut self, minute: i64, since: Option<i64>, counts: Counts) {
        self.count(minute, counts);
        let (entered, left) = self.stands_for(counts);
        self.came_in.tell(entered, since, minute);
        self.went_out.tell(left, since, minute);
    }

    /// As [`Filter::count`], where somebody has counted the people inside since by other means: whoever came in or went out by then is of the day, and among these.
    pub fn count_known(&mut self, minute: i64, counts: Counts) {
        self.count(minute, counts);
        let (entered, left) = self.stands_for(counts);
        self.came_in.known += entered;
        self.went_out.known += left;
    }

    /// Takes in whom gates have let in so long before `minute` that doors are held against others by now, as when a gate tells late what it did without a network. They are of the
    /// day. Where counters of entries speak these have counted them already; where none does they come in now, as nobody else has counted them.
    pub fn count_late(&mut self, minute: i64, scanned: u32) {
        self.advance(minute);
        let entered = f64::from(self.day.entered.saturating_add(self.counted.entered));
        let of_day = f64::from(self.day.scanned.saturating_add(self.counted.scanned).saturating_add(scanned));
        let is_silent = self.minute.is_none_or(|minute| minute - self.last_counted >= SILENT_MIN);
        if self.entries_dead || is_silent || entered < ALIVE_SHARE * of_day / self.learned.gate_share {
            self.counted.scanned = self.counted.scanned.saturating_add(scanned);
        } else {
            self.day.count(0, 0, 0, scanned);
        }
    }

    /// Works through the minutes before `minute`.
    pub fn advance(&mut self, minute: i64) {
        let Some(mut current) = self.minute else {
            (self.minute, self.last_counted) = (Some(minute), minute);
            return;
        };
        if minute - current > CATCH_UP_MIN {
            // What was counted last is still the day's.
            self.step(current);
            (self.people, self.variance) = (0.0, 0.0);
            (self.came_in, self.went_out) = (StandIn::default(), StandIn::default());
            self.entries.clear();
            current = minute;
        }
        while current < minute {
            self.step(current);
            current += 1;
        }
        self.minute = Some(current);
    }

    /// Somebody counted the people inside by other means, as with cameras over every room: how many, and how sure of it.
    pub fn observe(&mut self, people: f64, sd: f64) {
        let noise = (sd * sd).max(1e-6);
        let gain = self.variance / (self.variance + noise);
        // They are seen with those whom the running minute has counted, and whom its end adds.
        let since = self.since();
        let thought = (self.people + since).clamp(0.0, self.room);
        self.people = (thought + gain * (people - thought)).clamp(0.0, self.room) - since;
        self.variance *= 1.0 - gain;
    }

    /// Somebody knows how many are inside, as at a restart: what was thought before is forgotten.
    pub fn set(&mut self, minute: i64, people: f64, sd: f64) {
        self.advance(minute);
        // However few were thought to fit in.
        self.make_room(people);
        let people = people.max(0.0);
        // Those whom the running minute has counted are among them, and its end adds them.
        (self.people, self.variance) = (people - self.since(), sd * sd);
        self.seen_at = self.minute;
        let entered = self.stands_for(self.counted).0 - self.came_in.known;
        // For the law of the stay they came in just now, which errs on the safe side.
        self.entries.clear();
        self.entries.push_back((people - entered).max(0.0));
    }

    /// By how many more people what the running minute has counted makes them.
    fn since(&self) -> f64 {
        let (entered, left) = self.stands_for(self.counted);
        (entered - self.came_in.known) - (left - self.went_out.known)
    }

    /// How many people counts in and out stand for.
    fn stands_for(&self, counts: Counts) -> (f64, f64) {
        let Learned { exit_ratio, entry_factor, .. } = self.learned;
        (f64::from(counts.entered) * entry_factor, f64::from(counts.left) * entry_factor * exit_ratio)
    }

    /// The estimate as of the last minute that is over, with what was counted since.
    #[must_use]
    pub fn estimate(&self) -> Estimate {
        let people = (self.people + self.since()).clamp(0.0, self.room);
        let variance = self.variance + VARIANCE_A_PERSON * f64::from(self.counted.entered.saturating_add(self.counted.left));
        let unseen = UNSEEN_SD_SHARE * people;
        Estimate { people, sd: (variance + unseen * unseen).sqrt(), quality: self.quality() }
    }

    fn quality(&self) -> Quality {
        let silent = self.minute.is_none_or(|minute| minute - self.last_counted >= SILENT_MIN);
        if self.entries_dead {
            Quality::DeadEntries
        } else if silent && (self.people >= 1.0 || self.minute.is_none()) {
            Quality::Silent
        } else if self.exits_dead {
            Quality::DeadExits
        } else if !self.learned.calibrated {
            Quality::Uncalibrated
        } else {
            Quality::Good
        }
    }

    /// One minute that is over.
    fn step(&mut self, minute: i64) {
        let counts = std::mem::take(&mut self.counted);
        let [known_in, known_out] = [&mut self.came_in, &mut self.went_out].map(|stand_in| std::mem::take(&mut stand_in.known));
        let minute_of_day = u32::try_from(minute - self.midnight).unwrap_or(0);
        self.day.count(minute_of_day, counts.entered, counts.left, counts.scanned);
        let (counted_in, counted_out) = self.stands_for(counts);
        let scanned = f64::from(counts.scanned) / self.learned.gate_share * self.learned.entry_factor;
        // Of whom counters tell, whoever is known has come in or gone out already.
        let (mut entered, mut left) = (counted_in - known_in, counted_out - known_out);

        keep(&mut self.entry_window, (counted_in, scanned), ENTRY_WINDOW_MIN);
        let (sum_entered, sum_scanned) = sum(self.entry_window.iter());
        if !self.entries_dead && sum_scanned >= SCANS_MIN && sum_entered < DEAD_SHARE * sum_scanned {
            self.entries_dead = true;
            // Those whom the dead counter missed so far come in at once; this minute's are among them.
            let (told, passed) = self.since_seen(&self.entry_window, minute);
            let missed = passed - (told - counted_in);
            self.came_in.begin(minute - ENTRY_WINDOW_MIN as i64);
            self.came_in.stand(minute, missed, entered);
            entered = missed;
        } else if self.entries_dead && sum_entered >= ALIVE_SHARE * sum_scanned.max(1.0) {
            self.entries_dead = false;
        } else if self.entries_dead {
            self.came_in.stand(minute, scanned, entered);
            entered = scanned;
        }
        if !self.entries_dead {
            self.came_in.count(minute, entered);
        }

        let expected = self.leaving();
        keep(&mut self.exit_window, (counted_out, expected), EXIT_WINDOW_MIN);
        let (sum_left, sum_expected) = sum(self.exit_window.iter());
        if !self.exits_dead && sum_expected >= EXITS_MIN && sum_left < DEAD_SHARE * sum_expected {
            self.exits_dead = true;
            let (told, passed) = self.since_seen(&self.exit_window, minute);
            let missed = passed - (told - counted_out);
            self.went_out.begin(minute - EXIT_WINDOW_MIN as i64);
            self.went_out.stand(minute, missed, left);
            left = missed;
        } else if self.exits_dead && sum_left >= ALIVE_SHARE * sum_expected.max(1.0) {
            self.exits_dead = false;
        } else if self.exits_dead {
            self.went_out.stand(minute, expected, left);
            left = expected;
        }
        if !self.exits_dead {
            self.went_out.count(minute, left);
        }
        self.day.dead_minutes += u32::from(self.entries_dead || self.exits_dead);

        keep(&mut self.entries, entered, STAY_MIN_MAX);
        self.people = (self.people + entered - left).clamp(0.0, self.room);
        self.variance += VARIANCE_A_PERSON * (entered + left) + VARIANCE_A_MINUTE;
        if minute.rem_euclid(OBSERVE_EVERY_MIN) == OBSERVE_EVERY_MIN - 1 {
            let staying = self.staying();
            self.observe(staying, STAY_SD_SHARE * staying + STAY_SD_PEOPLE);
        }
    }

    /// What the minutes of a window sum up to that nobody has seen since by other means; the newest of them is `minute`.
    fn since_seen(&self, window: &VecDeque<(f64, f64)>, minute: i64) -> (f64, f64) {
        let minutes = self.seen_at.and_then(|seen_at| usize::try_from(minute - seen_at + 1).ok()).unwrap_or(usize::MAX);
        sum(window.iter().rev().take(minutes))
    }

    /// Those whom the law of the stay leaves inside.
    fn staying(&self) -> f64 {
        self.entries.iter().rev().zip(&self.learned.survival).map(|(entered, survival)| entered * survival).sum()
    }

    /// Those who leave in this minute by the law of the stay.
    fn leaving(&self) -> f64 {
        self.entries.iter().rev().zip(self.learned.survival.windows(2)).map(|(entered, pair)| entered * (pair[0] - pair[1])).sum()
    }
}

fn keep<T>(window: &mut VecDeque<T>, newest: T, most: usize) {
    window.push_back(newest);
    while window.len() > most {
        window.pop_front();
    }
}

fn sum<'a>(minutes: impl Iterator<Item = &'a (f64, f64)>) -> (f64, f64) {
    minutes.fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Days on which everybody is counted, stays an hour and passes a gate.
    fn balance() -> Balance {
        let mut balance = Balance::default();
        for _ in 0..5 {
            let mut day = Day::default();
            for minute in 540..1_000 {
                day.count(minute, 4, 0, 4);
                day.count(minute + 60, 0, 4, 0);
            }
            balance.push(day);
        }
        balance
    }

    fn counts(entered: u32, left: u32, scanned: u32) -> Counts {
        Counts { entered, left, scanned }
    }

    fn people(filter: &Filter) -> f64 {
        filter.estimate().people
    }

    #[test]
    fn people_are_entries_less_exits_and_never_below_nobody_or_above_the_room() {
        let mut filter = Filter::new(&Balance::default(), None, 50.0);
        filter.count(600, counts(10, 0, 0));
        assert_eq!((people(&filter), filter.estimate().quality), (10.0, Quality::Uncalibrated));
        filter.count(601, counts(0, 4, 0));
        assert_eq!(people(&filter), 6.0);
        filter.count(602, counts(0, 30, 0));
        assert_eq!(people(&filter), 0.0);
        filter.count(603, counts(400, 0, 0));
        assert_eq!(people(&filter), 50.0);
    }

    #[test]
    fn more_fit_in_once_that_is_known_and_nobody_leaves_because_fewer_may_be_inside() {
        let mut filter = Filter::new(&Balance::default(), None, 50.0);
        filter.count(600, counts(400, 0, 0));
        assert_eq!(people(&filter), 50.0);
        filter.make_room(200.0);
        filter.count(602, counts(30, 0, 0));
        assert_eq!(people(&filter), 200.0);
        filter.make_room(10.0);
        filter.count(603, counts(0, 20, 0));
        assert_eq!(people(&filter), 180.0);
        // As somebody knows who has counted them.
        filter.set(603, 300.0, 1.0);
        assert_eq!(people(&filter), 300.0);
        filter.count(604, counts(1, 2, 0));
        assert_eq!(people(&filter), 299.0);
    }

    #[test]
    fn uncertainty_grows_with_people_and_less_so_when_the_stay_is_heard() {
        let mut filter = Filter::new(&balance(), None, 10_000.0);
        filter.count(540, counts(0, 0, 0));
        let mut unheard = 0.0;
        for minute in 541..700 {
            let left = if minute > 600 { 4 } else { 0 };
            filter.count(minute, counts(4, left, 4));
            unheard += VARIANCE_A_PERSON * f64::from(4 + left) + VARIANCE_A_MINUTE;
        }
        assert!(filter.variance < 0.75 * unheard && filter.variance > 10.0, "{} of {unheard}", filter.variance);
        let estimate = filter.estimate();
        assert!((200.0..280.0).contains(&estimate.people), "{estimate:?}");
        assert_eq!(estimate.quality, Quality::Good);
    }

    #[test]
    fn a_dead_counter_of_entries_is_replaced_by_the_gates_from_its_first_minute_on() {
        let mut filter = Filter::new(&balance(), None, 10_000.0);
        filter.count(540, counts(0, 0, 0));
        for minute in 541..580 {
            filter.count(minute, counts(0, 0, 4));
        }
        filter.advance(581);
        assert_eq!(filter.estimate().quality, Quality::DeadEntries);
        assert!((people(&filter) - 156.0).abs() < 20.0, "{}", people(&filter));
        for minute in 581..640 {
            filter.count(minute, counts(4, 4, 4));
        }
        assert_eq!(filter.estimate().quality, Quality::Good, "it counts again");
        assert!(!filter.day().is_sound(), "such a day teaches nothing");
    }

    #[test]
    fn whom_a_counter_tells_of_that_was_cut_off_came_in_once() {
        let mut filter = Filter::new(&balance(), None, 10_000.0);
        filter.count(540, counts(0, 0, 0));
        for minute in 541..580 {
            filter.count(minute, counts(0, 0, 4));
        }
        filter.advance(580);
        let before = people(&filter);
        assert_eq!(filter.estimate().quality, Quality::DeadEntries);
        // In two parts, of which the first one alone does not make it live again.
        for (minute, since, entered, quality) in [(580, 540, 16, Quality::DeadEntries), (581, 544, 140, Quality::Good)] {
            filter.count_since(minute, Some(since), counts(entered, 0, 0));
            assert!((people(&filter) - before).abs() < 1e-6, "{before} before, {} since", people(&filter));
            filter.advance(minute + 1);
            assert!((people(&filter) - before).abs() < 1e-6, "nor does the minute's end add them: {}", people(&filter));
            assert_eq!(filter.estimate().quality, quality);
        }
        assert_eq!(filter.day().entered, 156, "the day has all of them");
        filter.count_since(582, Some(581), counts(4, 0, 4));
        assert!((people(&filter) - before - 4.0).abs() < 1e-6, "who comes now is new");
    }

    #[test]
    fn of_whom_a_counter_tells_that_was_silent_for_long_those_came_in_who_are_not_known() {
        let mut filter = Filter::new(&balance(), None, 10_000.0);
        filter.count(540, counts(0, 0, 0));
        for minute in 541..580 {
            filter.count(minute, counts(0, 0, 4));
        }
        // Of those for whom gates stood in no counter ever tells; then the large door counts again.
        for minute in 580..700 {
            filter.count_since(minute, Some(minute - 1), counts(4, 4, 4));
        }
        filter.advance(700);
        let before = people(&filter);
        // A group by the side door, which nobody had used all day.
        filter.count_since(700, Some(540), counts(100, 0, 0));
        let came = people(&filter) - before;
        assert!((60.0..90.0).contains(&came), "{came} of a hundred");
        filter.advance(701);
        assert!((people(&filter) - before - came).abs() < 20.0, "{before} before, {} since", people(&filter));
        assert_eq!(filter.estimate().quality, Quality::Good);
    }

    #[test]
    fn whom_a_counter_tells_of_that_was_cut_off_went_out_once() {
        let mut filter = Filter::new(&balance(), None, 10_000.0);
        filter.set(600, 200.0, 5.0);
        filter.advance(661);
        let before = people(&filter);
        assert!(filter.exits_dead && before < 120.0, "the law of the stay stands in: {before}");
        filter.count_since(661, Some(600), counts(0, 100, 0));
        assert!((people(&filter) - before).abs() < 1e-6, "{before} before, {} since", people(&filter));
        filter.advance(662);
        assert!(!filter.exits_dead && (people(&filter) - before).abs() < 1e-6, "{before} before, {} since", people(&filter));
        filter.count_since(662, Some(661), counts(0, 3, 0));
        assert!((people(&filter) - before + 3.0).abs() < 1e-6, "who goes now is not known yet");
    }

    #[test]
    fn whom_a_counter_had_missed_when_people_were_seen_is_among_these_when_it_turns_out_to_be_dead() {
        // A door counts a quarter of an hour and then nobody more, while gates let four in each minute.
        let mut doors = Filter::new(&balance(), None, 10_000.0);
        doors.count(540, counts(0, 0, 0));
        for minute in 541..569 {
            doors.count(minute, counts(if minute < 556 { 4 } else { 0 }, 0, 4));
        }
        assert!(!doors.entries_dead);
        doors.set(568, 100.0, 1.0);
        doors.count(569, counts(0, 0, 4));
        doors.advance(570);
        assert!(doors.entries_dead && (100.0..115.0).contains(&people(&doors)), "{}", people(&doors));

        // Nobody is counted out, of whom twenty must have left by the minute before which people are seen.
        let until = |last: i64| {
            let mut exits = Filter::new(&balance(), None, 10_000.0);
            exits.count(540, counts(0, 0, 0));
            (541..=last).for_each(|minute| exits.count(minute, counts(4, 0, 4)));
            exits
        };
        let dead_at = (541..700).find(|last| until(*last).exits_dead).unwrap();
        let mut exits = until(dead_at - 1);
        exits.set(dead_at - 1, 150.0, 1.0);
        let dead = (dead_at..dead_at + 60).find(|minute| {
            let before = people(&exits);
            exits.advance(*minute);
            assert!(before - people(&exits) < 10.0, "{before} before, {} in minute {minute}", people(&exits));
            exits.exits_dead
        });
        assert!(dead.is_some());
    }

    #[test]
    fn whom_a_counter_tells_of_from_before_people_were_seen_is_of_the_day_alone() {
        let mut filter = Filter::new(&balance(), None, 10_000.0);
        filter.set(600, 100.0, 1.0);
        filter.count_known(600, counts(20, 50, 0));
        assert!((people(&filter) - 100.0).abs() < 1e-6, "{}", people(&filter));
        filter.count(600, counts(3, 1, 0));
        filter.advance(601);
        assert!((people(&filter) - 102.0).abs() < 1e-6, "{}", people(&filter));
        assert_eq!((filter.day().entered, filter.day().left), (23, 51));
    }

    #[test]
    fn whom_gates_tell_of_late_counters_have_counted_unless_none_speaks() {
        let mut filter = Filter::new(&balance(), None, 10_000.0);
        filter.count(540, counts(0, 0, 0));
        for minute in 541..700 {
            filter.count(minute, counts(4, 2, 0));
        }
        let before = people(&filter);
        filter.count_late(700, 600);
        filter.count(702, counts(4, 2, 0));
        assert!((people(&filter) - before).abs() < 60.0, "{before} before, {} since", people(&filter));
        assert_eq!((filter.estimate().quality, filter.day().scanned, filter.day().dead_minutes), (Quality::Good, 600, 0));

        let mut dead = Filter::new(&balance(), None, 10_000.0);
        dead.count(540, counts(0, 0, 0));
        dead.count_late(700, 200);
        dead.advance(701);
        assert_eq!((dead.estimate().quality, dead.day().scanned), (Quality::DeadEntries, 200));
        assert!((people(&dead) - 200.0).abs() < 20.0, "{}", people(&dead));
    }

    #[test]
    fn a_dead_counter_of_exits_is_replaced_by_the_stay() {
        let mut filter = Filter::new(&balance(), None, 10_000.0);
        filter.count(540, counts(0, 0, 0));
        for minute in 541..900 {
            filter.count(minute, counts(4, 0, 4));
        }
        let estimate = filter.estimate();
        assert_eq!(estimate.quality, Quality::DeadExits);
        assert!((200.0..290.0).contains(&estimate.people), "{estimate:?}");
    }

    #[test]
    fn a_night_empties_the_building_and_a_silence_is_told() {
        let balance = balance();
        let mut filter = Filter::new(&balance, None, 10_000.0);
        filter.count(600, counts(30, 0, 30));
        filter.advance(600 + SILENT_MIN);
        assert_eq!(filter.estimate().quality, Quality::Silent);
        let day = filter.begin_day(&balance, None, 10_000.0, 1_440);
        assert_eq!((day.entered, day.scanned, day.entered_minutes), (30, 30, 18_000));
        assert_eq!((people(&filter), filter.day().entered), (0.0, 0));
        filter.count(2_000, counts(3, 0, 0));
        filter.count(9_000, counts(2, 0, 0));
        assert_eq!(people(&filter), 2.0, "days without a word are not walked through");
    }

    #[test]
    fn who_counted_by_other_means_is_heard_as_far_as_it_is_sure() {
        let mut filter = Filter::new(&Balance::default(), None, 1_000.0);
        filter.set(600, 100.0, 10.0);
        filter.observe(120.0, 10.0);
        assert!((people(&filter) - 110.0).abs() < 1e-9);
        filter.observe(200.0, 1e-9);
        assert!((people(&filter) - 200.0).abs() < 0.1);
    }

    #[test]
    fn whom_the_running_minute_has_counted_is_among_those_who_are_seen() {
        let mut filter = Filter::new(&Balance::default(), None, 1_000.0);
        filter.set(600, 100.0, 10.0);
        filter.count(601, counts(40, 10, 0));
        filter.set(601, 130.0, 1.0);
        assert!((people(&filter) - 130.0).abs() < 1e-9, "{}", people(&filter));
        filter.count(601, counts(5, 1, 0));
        assert!((people(&filter) - 134.0).abs() < 1e-9, "who comes afterwards is not");
        filter.advance(602);
        assert!((people(&filter) - 134.0).abs() < 1e-9, "the minute's end adds nobody twice: {}", people(&filter));
        assert_eq!((filter.day().entered, filter.day().left), (45, 11), "and the day has all of them");
        filter.count(602, counts(50, 0, 0));
        filter.observe(180.0, 1e-9);
        assert!((people(&filter) - 180.0).abs() < 0.1, "{}", people(&filter));
        // More may be counted than are seen.
        filter.set(602, 20.0, 3.0);
        assert!((people(&filter) - 20.0).abs() < 1e-9, "{}", people(&filter));
        filter.count(603, counts(50, 0, 0));
        assert!((people(&filter) - 70.0).abs() < 1e-9, "{}", people(&filter));
        filter.observe(20.0, 1e-9);
        filter.advance(604);
        assert!((people(&filter) - 20.0).abs() < 0.1, "{}", people(&filter));
    }
}
