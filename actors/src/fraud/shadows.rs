//! Three scorers in the shadow of the model that acts: robust covariance, isolation forest and empirical tails. They need no labels, and need not be told which features say the
//! same. Each day they are fitted on a part of the rows that the node's own model is fitted on, and they are asked about the same events. What they said of the last of these is
//! remembered and compared. It reaches no assessment, and none of them can be put to work from here: a model that is to act is registered, challenges and is promoted.
//!
//! Which of the three is best differs from data to data, so all are kept and labels choose. They are compared as for a promotion. Each has its own line, drawn through the greatest
//! score of each party on each day, so that analysts would read of as many because of it as because of the others; of each case with a label it counts whether it was above.

use std::collections::{BTreeMap, HashMap, VecDeque};

use tornello_engine::ids::Code;
use tornello_engine::time::{MICROS_PER_S, Timestamp};
use tornello_models::ModelError;
use tornello_models::fraud::budget::Budget;
use tornello_models::fraud::preparation::Treatment;
use tornello_models::fraud::rows::Rows;
use tornello_models::fraud::scorer::{Scored, Scorer};
pub use tornello_models::fraud::select::Unsupervised;
use tornello_models::fraud::signals::{N, Taking};

use super::agreement::Agreed;
use super::fold::{ROWS, Row};
use super::judge::{Acting, ROWS_MIN};
use super::pace::answer;
use super::scores::PartyDays;

/// They are fitted on so many rows at most, evenly taken of the [`ROWS`] before: that takes a second or so of a thread that yields to all others.
const SAMPLE: usize = 4_096;
/// Of so many events it is remembered what was said: some eight megabytes.
const EVENTS: usize = 65_536;
/// They are asked about so many events of one second at most: in a rush that is enough to compare them by, and what all of them would cost is not there to spend.
const ASKED_A_SECOND: u32 = 64;
/// The one that acts, and then the three.
const PLACES: usize = 1 + Unsupervised::ALL.len();

/// What is known of something that was asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// When its case was opened: what came later is what somebody did because of it.
    pub opened_at: Timestamp,
    /// Whether it was fraud.
    pub is_fraud: bool,
}

/// How much one of them would have found.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Found {
    /// Events above its line.
    pub raised: u64,
    /// Of the frauds among the cases with a label the share that it would have had looked at, 0 to 1; none if there is no fraud.
    pub recall: Option<f64>,
    /// Of the cases with a label that it would have had looked at the share that was fraud, 0 to 1; none if it raised none of them.
    pub precision: Option<f64>,
}

/// One of the three.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shadow {
    /// Which.
    pub scorer: Unsupervised,
    /// How much it would have found.
    pub found: Found,
    /// By event, whether it and the one that acts would have had the same looked at; here `challenger` is the shadow.
    pub agreed: Agreed,
    /// How far its percentile and that of the one that acts lie apart on average, 0 to 1; none if there is no event of which both said one.
    pub apart: Option<f64>,
}

/// How the three fare beside the one that acts.
#[derive(Debug, Clone, PartialEq)]
pub struct Raced {
    /// The model that acts, by its last name: one that the node fits has a new one each day.
    pub acting: Option<Code>,
    /// The first event that is compared.
    pub since: Timestamp,
    /// The last.
    pub until: Timestamp,
    /// How many are compared.
    pub events: u64,
    /// The last of what the three were fitted on.
    pub fitted_until: Timestamp,
    /// How many rows that were.
    pub fitted_on: u64,
    /// How many cases with a label are among what is compared, and prove to be fraud.
    pub frauds: u64,
    /// How many prove to be honest.
    pub honest: u64,
    /// How much the one that acts would have found.
    pub acts: Found,
    /// The three, in the order of [`Unsupervised::ALL`].
    pub shadows: [Shadow; Unsupervised::ALL.len()],
}

/// What one of them said of an event; no numbers: nothing.
#[derive(Debug, Clone, Copy)]
struct Told {
    score: f32,
    percentile: f32,
}

impl Told {
    fn of(said: Option<&Scored>) -> Self {
        said.map_or(Self { score: f32::NAN, percentile: f32::NAN }, |said| Self { score: said.score as f32, percentile: said.percentile })
    }
}

/// What all said of an event because of which analysts might read of somebody.
#[derive(Debug, Clone, Copy)]
struct Judged {
    at_us: i64,
    subject: u128,
    outlet: usize,
    read_of: Taking,
    said: [Told; PLACES],
}

/// The three, as they were fitted for a day.
#[derive(Debug, PartialEq)]
pub(super) struct Fitted {
    day: i64,
    rows: usize,
    until_us: i64,
    /// None where it could not be fitted.
    scorers: [Option<Scorer>; Unsupervised::ALL.len()],
}

impl Fitted {
    /// Fits them for a day, on what was before it as long as that is enough, so that they are the same whenever on that day they are fitted. None of no rows.
    pub(super) fn of(rows: &[Row], day: i64) -> Result<Option<Self>, ModelError> {
        let before = rows.iter().filter(|row| row.day() < day).count();
        let from_before = before as u64 >= ROWS_MIN;
        let learned: Vec<&Row> = rows.iter().filter(|row| !from_before || row.day() < day).collect();
        let learned = &learned[learned.len().saturating_sub(ROWS)..];
        let Some(last) = learned.last() else { return Ok(None) };
        let sample: Vec<&Row> = learned.iter().copied().step_by(learned.len().div_ceil(SAMPLE).max(1)).collect();
        let table = Rows::new(N, sample.iter().flat_map(|row| &row.features).map(|value| f64::from(*value)).collect())?;
        // As the node's own model has them: logarithms already, and their far ends are what is looked for.
        let treatment = Treatment { logarithm: false, clip: false };
        let fit = |method: Unsupervised| {
            let fitted = Scorer::fit(method, &table, treatment, day.unsigned_abs()).and_then(Scorer::check);
            fitted.inspect_err(|error| tracing::warn!(%error, scorer = method.name(), "a scorer in the shadow could not be fitted")).ok()
        };
        Ok(Some(Self { day, rows: sample.len(), until_us: last.at_us, scorers: Unsupervised::ALL.map(fit) }))
    }
}

/// The three, and what was said of the last events.
#[derive(Debug, Default)]
pub(super) struct Shadows {
    fitted: Option<Fitted>,
    /// The line of models that what is remembered was said beside: those that the node fits follow one another, any other stands for itself.
    beside: Option<String>,
    acting: Option<Code>,
    events: VecDeque<Judged>,
    asked: Asked,
}

/// The second of the event that was asked about last, and about how many of it.
#[derive(Debug, Default)]
struct Asked {
    second: i64,
    count: u32,
}

impl Asked {
    /// Whether one more event is to be asked about at an instant, in UTC microseconds.
    const fn has_time(&mut self, at_us: i64) -> bool {
        let second = at_us.div_euclid(MICROS_PER_S);
        if second != self.second {
            *self = Self { second, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count <= ASKED_A_SECOND
    }
}

impl Shadows {
    /// Whether they were fitted for this day, or a later one.
    pub(super) fn are_of(&self, day: i64) -> bool {
        self.fitted.as_ref().is_some_and(|fitted| fitted.day >= day)
    }

    /// Others are asked from now on. What those before said stays: they were asked before anybody knew.
    pub(super) fn follow(&mut self, fitted: Fitted) {
        self.fitted = Some(fitted);
    }

    /// Asks them about an event, and remembers the answers with what the acting model said. They are not asked about events that open no case, events that they were fitted on, or
    /// more events than they can take in one second.
    pub(super) fn take(&mut self, row: &Row, acting: Option<&Acting>, said: Option<&Scored>) {
        let Some(fitted) = self.fitted.as_ref().filter(|fitted| row.at_us > fitted.until_us) else { return };
        let Some(read_of) = row.read_of else { return };
        if !self.asked.has_time(row.at_us) {
            return;
        }
        let beside = acting.map(|acting| if acting.own { "own" } else { acting.id.as_str() });
        if self.beside.as_deref() != beside {
            self.beside = beside.map(str::to_owned);
            self.events.clear();
        }
        self.acting = acting.map(|acting| acting.code);
        // Nobody reads the reasons of what acts on nobody.
        let ask = |scorer: &Scorer| answer(|| scorer.rate(row.features.iter().map(|value| f64::from(*value))));
        let mut told = [Told::of(said); PLACES];
        for (told, scorer) in told.iter_mut().skip(1).zip(&fitted.scorers) {
            *told = Told::of(scorer.as_ref().and_then(ask).as_ref());
        }
        if self.events.len() >= EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(Judged { at_us: row.at_us, subject: row.subject, outlet: row.outlet as usize, read_of, said: told });
    }

    /// A copy to compare, so that whoever asks is not waited for; none as long as there is nothing to compare.
    pub(super) fn copied(&self) -> Option<Copied> {
        let fitted = self.fitted.as_ref()?;
        let events: Vec<Judged> = self.events.iter().copied().collect();
        (!events.is_empty()).then_some(Copied { acting: self.acting, fitted_until_us: fitted.until_us, fitted_on: fitted.rows, events })
    }
}

/// What is compared.
#[derive(Debug)]
pub(super) struct Copied {
    acting: Option<Code>,
    fitted_until_us: i64,
    fitted_on: usize,
    events: Vec<Judged>,
}

impl Copied {
    /// How they fare, by what is known of sales by now: `known` by the number of the sale. `budgets` are the alerts a day of each channel, the same for all.
    pub(super) fn raced(&self, known: &HashMap<u128, Known>, budgets: &[Budget; 5]) -> Raced {
        let mut channels: [PartyDays<PLACES>; 5] = Default::default();
        for event in &self.events {
            channels[event.outlet].push(event.at_us, event.read_of, event.said.map(|told| f64::from(told.score)));
        }
        let lines: Vec<[f64; PLACES]> = channels
            .iter()
            .zip(budgets)
            .map(|(channel, budget)| std::array::from_fn(|place| channel.cut(place, None, None, *budget).score))
            .collect();
        let mut raised = [0; PLACES];
        let mut agreed = [Agreed::default(); Unsupervised::ALL.len()];
        let mut apart = [(0.0, 0_u64); Unsupervised::ALL.len()];
        let mut cases: BTreeMap<u128, ([bool; PLACES], bool)> = BTreeMap::new();
        for event in &self.events {
            let above: [bool; PLACES] = std::array::from_fn(|place| f64::from(event.said[place].score) > lines[event.outlet][place]);
            for (raised, above) in raised.iter_mut().zip(above) {
                *raised += u64::from(above);
            }
            if let Some(known) = known.get(&event.subject).filter(|known| event.at_us <= known.opened_at.as_micros()) {
                let (case, _) = cases.entry(event.subject).or_insert(([false; PLACES], known.is_fraud));
                case.iter_mut().zip(above).for_each(|(case, above)| *case |= above);
            }
            let [acts, shadows @ ..] = &event.said;
            for (place, told) in shadows.iter().enumerate().filter(|_| acts.score.is_finite()).filter(|(_, told)| told.score.is_finite()) {
                agreed[place].count(above[0], above[place + 1]);
                apart[place].0 += f64::from((told.percentile - acts.percentile).abs());
                apart[place].1 += 1;
            }
        }
        let frauds = cases.values().filter(|(_, is_fraud)| *is_fraud).count() as u64;
        let found = |place: usize| {
            let read = cases.values().filter(|(above, _)| above[place]);
            let (caught, read) = read.fold((0_u64, 0_u64), |(caught, read), (_, is_fraud)| (caught + u64::from(*is_fraud), read + 1));
            let share = |of: u64| (of > 0).then(|| caught as f64 / of as f64);
            Found { raised: raised[place], recall: share(frauds), precision: share(read) }
        };
        let at = |event: Option<&Judged>| Timestamp::from_micros(event.map_or(0, |event| event.at_us));
        Raced {
            acting: self.acting,
            since: at(self.events.iter().min_by_key(|event| event.at_us)),
            until: at(self.events.iter().max_by_key(|event| event.at_us)),
            events: self.events.len() as u64,
            fitted_until: Timestamp::from_micros(self.fitted_until_us),
            fitted_on: self.fitted_on as u64,
            frauds,
            honest: cases.len() as u64 - frauds,
            acts: found(0),
            shadows: std::array::from_fn(|place| Shadow {
                scorer: Unsupervised::ALL[place],
                found: found(place + 1),
                agreed: agreed[place],
                apart: (apart[place].1 > 0).then(|| apart[place].0 / apart[place].1 as f64),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use tornello_models::fraud::chance::Chance;
    use tornello_models::fraud::signals::{Outlet, Role};

    use super::super::fold::DAY_US;
    use super::*;

    const BUDGETS: [Budget; 5] = [Budget { alerts_per_day: 20 }; 5];

    /// Somebody every 40 seconds; each has features of its own.
    fn row(n: i64) -> Row {
        let mut chance = Chance::new(n as u64 + 1);
        Row {
            at_us: n * 40_000_000,
            subject: n as u128,
            outlet: Outlet::Web,
            read_of: Some(Taking { role: Role::Device, id: n as u128 }),
            features: (0..N).map(|_| chance.normal().abs() as f32).collect(),
        }
    }

    fn shadows(rows: &[Row], day: i64) -> Shadows {
        let mut shadows = Shadows::default();
        shadows.follow(Fitted::of(rows, day).expect("rows of the right width").expect("there are rows"));
        shadows
    }

    #[test]
    fn they_are_the_same_whenever_on_a_day_they_are_fitted_and_on_no_more_than_a_part() {
        // 2,160 on each day.
        let rows: Vec<Row> = (0..6_000).map(row).collect();
        let (early, late) = (Fitted::of(&rows[..4_321], 2).unwrap().unwrap(), Fitted::of(&rows, 2).unwrap().unwrap());
        assert_eq!((early.rows, early.until_us), (2_160, rows[4_319].at_us), "every second one of 4,320");
        assert!(early.scorers.iter().all(Option::is_some) && early == late);
        assert!(early.rows <= SAMPLE);
        // On the first day there is nothing before it.
        assert_eq!(Fitted::of(&rows[..2_100], 0).unwrap().unwrap().rows, 2_100);
        assert!(Fitted::of(&[], 0).unwrap().is_none());
    }

    #[test]
    fn what_is_known_says_how_much_each_would_have_found_with_as_many_reads() {
        let rows: Vec<Row> = (0..2_160).map(row).collect();
        let mut shadows = shadows(&rows, 1);
        assert!(shadows.copied().is_none(), "nothing was asked yet");
        // A day of the usual, with six that are far out everywhere; the acting model says of all that they are the same.
        let far = |n: i64| (n - 2_160) % 360 == 7;
        let said = Scored { score: 0.5, percentile: 0.5, probability: None, reasons: Default::default(), suspect_inputs: 0 };
        for n in 2_160..4_320 {
            let mut next = row(n);
            if far(n) {
                next.features = vec![30.0; N];
            } else if n == 2_161 {
                // As usual as can be.
                next.features = vec![0.7; N];
            }
            shadows.take(&next, None, Some(&said));
            shadows.take(&Row { read_of: None, ..row(n) }, None, Some(&said));
        }
        let opened_at = Timestamp::from_micros(3 * DAY_US);
        let known = |is_fraud| Known { opened_at, is_fraud };
        let mut labels: HashMap<u128, Known> = (2_160..4_320).filter(|n| far(*n)).map(|n| (n as u128, known(true))).collect();
        labels.insert(2_161, known(false));
        // What came after its case was opened is none.
        labels.insert(2_162, Known { opened_at: Timestamp::from_micros(0), is_fraud: true });
        let raced = shadows.copied().expect("events").raced(&labels, &BUDGETS);
        assert_eq!((raced.events, raced.frauds, raced.honest, raced.acting), (2_160, 6, 1, None));
        assert_eq!(raced.acts, Found { raised: 0, recall: Some(0.0), precision: None }, "equal scores stay below a line together");
        assert_eq!((raced.fitted_on, raced.fitted_until), (2_160, Timestamp::from_micros(rows[2_159].at_us)));
        for shadow in raced.shadows {
            assert_eq!((shadow.found.recall, shadow.found.precision), (Some(1.0), Some(1.0)), "{shadow:?}");
            // Twenty reads a day, one of them for chance.
            assert!((6..=19).contains(&shadow.found.raised), "{shadow:?}");
            assert_eq!(shadow.agreed.challenger_only, shadow.found.raised);
            assert_eq!(shadow.agreed.neither + shadow.agreed.challenger_only, 2_160);
            assert!(shadow.apart.is_some_and(|apart| apart > 0.1 && apart < 0.5), "{shadow:?}");
        }
    }

    #[test]
    fn in_a_rush_they_are_asked_about_some_events_of_each_second() {
        let rows: Vec<Row> = (0..2_160).map(row).collect();
        let mut shadows = shadows(&rows, 1);
        // A hundred in each of two seconds.
        for n in 0..200 {
            let at_us = DAY_US + n * MICROS_PER_S / 100;
            shadows.take(&Row { at_us, ..row(2_160 + n) }, None, None);
        }
        let asked: Vec<u128> = shadows.events.iter().map(|event| event.subject - 2_160).collect();
        assert_eq!(asked, (0..64).chain(100..164).collect::<Vec<_>>());
    }

    #[test]
    fn memory_is_bounded() {
        let rows: Vec<Row> = (0..2_160).map(row).collect();
        let mut shadows = shadows(&rows, 1);
        // Asking takes time, so that it does not have to be done so often: what is remembered is put there.
        let judged = Judged { at_us: 1, subject: 1, outlet: 0, read_of: Taking { role: Role::Device, id: 1 }, said: [Told::of(None); PLACES] };
        shadows.events.extend(std::iter::repeat_n(judged, EVENTS));
        shadows.take(&row(2_161), None, None);
        assert_eq!((shadows.events.len(), shadows.events.back().map(|last| last.subject)), (EVENTS, Some(2_161)));
    }
}
