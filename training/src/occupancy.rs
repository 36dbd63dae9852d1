//! How good the estimate of people inside is, on a simulated site where it is known who was: the plain sums of the counters, each correction added in turn, and the
//! filter that `actors` runs. The first two weeks only teach the balance; then every minute of opening is judged.

use anyhow::bail;
use serde::Serialize;
use tornello_datasets::occupancy_world::{CLOSES_MIN, Minute, OPENS_MIN, World};
use tornello_models::occupancy::{Balance, Counts, Day, Filter};

use crate::Inputs;
use crate::report::{Aim, Comparison, Report};

/// What is judged without a word about it: the seed of the first of so many sites, and the days of each after those that teach.
const SEED: u64 = 2_026;
const SITES: u64 = 6;
const JUDGED_DAYS: usize = 60;
/// Days that only teach.
const TEACHING: usize = 14;
/// No more people than this fit in.
const ROOM: f64 = 1_500.0;
/// Scans without an entry that show a dead counter, in the simplest form: over a quarter of an hour.
const SCANS_MIN: f64 = 8.0;
/// The aim for the filter: mean absolute error, as a share of the mean of people inside.
pub const AIM: f64 = 0.06;

/// One way to estimate, and how far off it was.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Which.
    pub name: &'static str,
    /// Mean absolute error over all minutes of opening, as a share of the mean of people inside.
    pub error: f64,
    /// Mean of estimate less truth, as a share of the same.
    pub bias: f64,
    /// Share of minutes in which no more people were inside than the upper bound that limits sales says; only the filter gives one.
    pub held: Option<f64>,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Judged {
    /// The seed of the first site.
    pub seed: u64,
    /// How many sites.
    pub sites: u64,
    /// Judged days of each.
    pub days: usize,
    /// People inside in a minute of opening, on average.
    pub mean_inside: f64,
    /// Each way to estimate.
    pub rows: Vec<Row>,
}

/// The report of a run on the usual seed. There is no file to judge on: nobody has counted who really was inside.
pub fn evaluate(inputs: &Inputs) -> anyhow::Result<Report> {
    if inputs.data.is_some() || inputs.test_data.is_some() || inputs.holidays.is_some() {
        bail!("people inside are judged on a simulated site: there is no data to name");
    }
    let judged = judge(SEED, SITES, JUDGED_DAYS);
    let mut report = Report::new("occupancy");
    report.notes.push(format!(
        "{} simulated sites (seeds {} on), {} days of each after {TEACHING} that teach; {:.0} people inside in a minute of opening on average",
        judged.sites, judged.seed, judged.days, judged.mean_inside
    ));
    for (row, name) in judged.rows.iter().zip(["raw", "clamp", "balance", "gates", "filter", "filter_gated"]) {
        report.metric(&format!("mae_{name}"), row.error, "of the mean inside", (name == "filter").then_some(Aim::AtMost(AIM)));
    }
    let figures = ["mae", "bias", "within_upper"].map(str::to_owned).to_vec();
    let rows = judged.rows.iter().map(|row| (row.name.to_owned(), vec![row.error, row.bias, row.held.unwrap_or(f64::NAN)]));
    let title = "Errors as a share of the mean of people inside; share of minutes within the upper bound that limits sales".to_owned();
    report.comparisons.push(Comparison { title, key: "models", figures, rows: rows.collect() });
    Ok(report)
}

/// Judges every way to estimate on some sites, each with so many days after the teaching ones.
#[must_use]
pub fn judge(seed: u64, sites: u64, days: usize) -> Judged {
    let mut sums = [Sum::default(); 6];
    let (mut inside, mut minutes) = (0.0, 0.0);
    for site in 0..sites {
        let mut world = World::new(seed.wrapping_add(site));
        let mut balance = Balance::default();
        for number in 0..TEACHING + days {
            let day = world.day();
            let guesses = guesses(&day, &balance);
            if number >= TEACHING {
                for minute in OPENS_MIN as usize..CLOSES_MIN as usize {
                    let truth = f64::from(day[minute].inside);
                    inside += truth;
                    minutes += 1.0;
                    for (sum, guess) in sums.iter_mut().zip(&guesses) {
                        sum.take(guess.people[minute], guess.upper.as_ref().map(|upper| upper[minute]), truth);
                    }
                }
            }
            balance.push(summed(&day, &balance));
        }
    }
    let names =
        ["counters", "counters, never below nobody", "+ balance of exits", "+ gates for dead counters", "+ filter", "+ filter, gated share known"];
    let mean_inside = inside / minutes;
    let row = |(name, sum): (&'static str, &Sum)| Row {
        name,
        error: sum.absolute / minutes / mean_inside,
        bias: sum.signed / minutes / mean_inside,
        held: sum.bounded.then(|| sum.held / minutes),
    };
    Judged { seed, sites, days, mean_inside, rows: names.into_iter().zip(&sums).map(row).collect() }
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    absolute: f64,
    signed: f64,
    held: f64,
    bounded: bool,
}

impl Sum {
    fn take(&mut self, people: f64, upper: Option<f64>, truth: f64) {
        self.absolute += (people - truth).abs();
        self.signed += people - truth;
        if let Some(upper) = upper {
            self.bounded = true;
            self.held += f64::from(u8::from(truth <= upper));
        }
    }
}

/// The estimate for each minute of a day, and its upper bound.
struct Guess {
    people: Vec<f64>,
    upper: Option<Vec<f64>>,
}

fn guesses(day: &[Minute], balance: &Balance) -> [Guess; 6] {
    let simple = |clamp: bool, ratio: f64, gates: Option<f64>| {
        let mut people = 0.0_f64;
        let minutes = day.iter().enumerate().map(|(number, minute)| {
            let since = &day[number.saturating_sub(14)..=number];
            let sum = |of: fn(&Minute) -> u32| since.iter().map(|minute| f64::from(of(minute))).sum::<f64>();
            let dead = sum(|minute| minute.scanned) >= SCANS_MIN && sum(|minute| minute.entered) == 0.0;
            let entered = match gates {
                Some(share) if dead => f64::from(minute.scanned) / share,
                _ => f64::from(minute.entered),
            };
            people += entered - ratio * f64::from(minute.left);
            if clamp {
                people = people.clamp(0.0, ROOM);
            }
            people
        });
        Guess { people: minutes.collect(), upper: None }
    };
    let (ratio, share) = (balance.exit_ratio(), balance.gate_share().unwrap_or(1.0));
    [
        simple(false, 1.0, None),
        simple(true, 1.0, None),
        simple(true, ratio, None),
        simple(true, ratio, Some(share)),
        filtered(day, balance, None),
        filtered(day, balance, Some(tornello_datasets::occupancy_world::GATED)),
    ]
}

fn filtered(day: &[Minute], balance: &Balance, gated: Option<f64>) -> Guess {
    let mut filter = Filter::new(balance, gated, ROOM);
    let (mut people, mut upper) = (Vec::with_capacity(day.len()), Vec::with_capacity(day.len()));
    for (number, minute) in (0..).zip(day) {
        filter.count(number, Counts { entered: minute.entered, left: minute.left, scanned: minute.scanned });
        let estimate = filter.estimate();
        people.push(estimate.people);
        upper.push(estimate.people + 2.0 * estimate.sd);
    }
    Guess { people, upper: Some(upper) }
}

/// A day's sums, as the filter of the running system adds them up.
fn summed(day: &[Minute], balance: &Balance) -> Day {
    let mut filter = Filter::new(balance, None, ROOM);
    for (number, minute) in (0..).zip(day) {
        filter.count(number, Counts { entered: minute.entered, left: minute.left, scanned: minute.scanned });
    }
    filter.advance(1_440);
    *filter.day()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_correction_helps_and_the_filter_reaches_the_aim() {
        let judged = judge(2_026, 2, 40);
        let errors: Vec<f64> = judged.rows.iter().map(|row| row.error).collect();
        assert!(errors[0] > errors[3] && errors[3] > errors[4], "{errors:?}");
        assert!(errors[4] <= AIM && errors[5] <= AIM, "{errors:?}");
        assert_eq!(judge(2_026, 2, 40).rows.iter().map(|row| row.error).collect::<Vec<_>>(), errors, "the same seed, the same figures");
    }
}
