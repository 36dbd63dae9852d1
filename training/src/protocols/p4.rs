//! P4: which bookings are lost, by cancellation or because nobody comes. Sorted by arrival, the day of arrival at three quarters of the rows is the cut: what
//! arrives before it trains, what arrives on it or later is judged. What is filled in after the booking is not used. Judged by how well lost bookings are told
//! apart (AUC), by how well the probabilities are meant (Brier), and by the days: the expected kept bookings of each against those that were kept.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context;
use jiff::civil::Date;
use tornello_datasets::hotel;
use tornello_datasets::reservations::{self, Fate, NUMBERS, Reservation, WORDS};
use tornello_models::cancellation::encoding::{Encoding, Example};
use tornello_models::cancellation::model::{Member, Model};
use tornello_models::discrimination::{auc, brier, outcomes};
use tornello_models::logistic::Logistic;

use super::{apart, key};
use crate::Inputs;
use crate::bookings::examples;
use crate::progress::Progress;
use crate::race::SEED;
use crate::report::{Aim, Comparison, Report};
use crate::source::Source;

/// No-shows are one booking in a hundred: their regression is held back more.
const NO_SHOW_PENALTY: f64 = 30.0;

/// Runs the protocol.
pub fn evaluate(inputs: &Inputs, progress: Progress) -> anyhow::Result<Report> {
    let mut report = Report::new("P4");
    let (train, test) = split(inputs, &mut report)?;
    let lost: Vec<bool> = test.iter().map(|booking| booking.fate != Fate::Kept).collect();
    anyhow::ensure!(lost.contains(&true) && lost.contains(&false), "the bookings to be judged on are all kept or all lost");
    let stage = progress.stage("cancellation", 8);
    let mut rows = vec![("table of segment and lead time (floor)".to_owned(), judge(&test, &lost, &Table::fit(&train).probabilities(&test)))];
    let as_stated = Fitted::new(&train, &test, false, |booking| booking.fate != Fate::Kept, &mut |_| stage.step())?;
    let uncalibrated = as_stated.judged.iter().map(|example| as_stated.model.uncalibrated(example)).collect::<Result<Vec<_>, _>>()?;
    rows.push(("logistic, not calibrated".to_owned(), judge(&test, &lost, &uncalibrated)));
    for (name, member) in [("logistic, isotonic", Member::Logistic), ("boosted trees, isotonic", Member::Boosted)] {
        rows.push((name.to_owned(), judge(&test, &lost, &as_stated.probabilities(member)?)));
    }
    let champion = judge(&test, &lost, &as_stated.probabilities(Member::Blend)?);
    rows.push((format!("blend, {:.1} trees, isotonic", as_stated.model.boosted_share()), champion.clone()));
    let strict = Fitted::new(&train, &test, true, |booking| booking.fate != Fate::Kept, &mut |_| stage.step())?;
    rows.push(("blend without country and requests".to_owned(), judge(&test, &lost, &strict.probabilities(Member::Blend)?)));
    let [area, distance, daily] = champion[..] else { anyhow::bail!("three figures were taken") };
    report.metric("auc", area, "of lost bookings", Some(Aim::AtLeast(0.865)));
    report.metric("brier", distance, "mean square", Some(Aim::AtMost(0.150)));
    report.metric("wape_daily", daily, "of kept bookings a day", Some(Aim::AtMost(0.105)));
    match no_shows(&train, &test) {
        Ok(area) => report.metric("auc_no_show", area, "of no-shows", None),
        Err(why) => report.notes.push(format!("no-shows were not judged: {why}")),
    }
    let figures = ["auc", "brier", "wape_daily"].map(str::to_owned).to_vec();
    report.comparisons.push(Comparison { title: "Models".to_owned(), key: "models", figures, rows });
    Ok(report)
}

/// A model, and the bookings it is judged on.
struct Fitted {
    model: Model,
    judged: Vec<Example>,
}

impl Fitted {
    fn new(
        train: &[Reservation],
        test: &[Reservation],
        strict: bool,
        is_lost: impl Fn(&Reservation) -> bool,
        progress: &mut dyn FnMut(u32),
    ) -> anyhow::Result<Self> {
        let lost: Vec<bool> = train.iter().map(is_lost).collect();
        let model = Model::fit(&examples(train, strict), &lost, SEED, progress).context("fitting the cancellation model")?;
        Ok(Self { model, judged: examples(test, strict) })
    }

    fn probabilities(&self, member: Member) -> anyhow::Result<Vec<f64>> {
        Ok(self.judged.iter().map(|example| self.model.of(member, example)).collect::<Result<_, _>>()?)
    }
}

/// How well the regression tells those who neither cancel nor come from all others.
fn no_shows(train: &[Reservation], test: &[Reservation]) -> anyhow::Result<f64> {
    let is_no_show = |bookings: &[Reservation]| bookings.iter().map(|booking| booking.fate == Fate::NoShow).collect::<Vec<_>>();
    let (learned, judged) = (examples(train, false), examples(test, false));
    let encoding = Encoding::fit(&learned)?;
    let labels = is_no_show(train);
    anyhow::ensure!(labels.contains(&true), "no booking of training is a no-show");
    let judged_labels = is_no_show(test);
    anyhow::ensure!(judged_labels.contains(&true), "no booking to be judged is a no-show");
    let regression = Logistic::fit_sparse(&encoding.rows(&learned)?, &labels, NO_SHOW_PENALTY)?;
    let odds: Vec<f64> = encoding.rows(&judged)?.iter().map(|row| regression.log_odds(row)).collect();
    Ok(auc(&outcomes(&odds, &judged_labels, None)))
}

fn split(inputs: &Inputs, report: &mut Report) -> anyhow::Result<(Vec<Reservation>, Vec<Reservation>)> {
    let mut load = |source: &Source| -> anyhow::Result<Vec<Reservation>> {
        let mut bookings = reservations::read(&source.name, source.text())?;
        report.data.push((source.name.clone(), source.sha256(), bookings.len() as u64));
        // Stable: of one day of arrival the order of the file.
        bookings.sort_by_key(|booking| booking.arrival);
        Ok(bookings)
    };
    let mut train = load(&Source::open(inputs.data.as_deref(), hotel::FILE, hotel::EMBEDDED)?)?;
    let test = match &inputs.test_data {
        Some(path) => {
            let test = load(&Source::read(path)?)?;
            if let Some(left) = apart(train.iter().map(what), test.iter().map(what), report) {
                train = left.into_iter().map(|row| train[row].clone()).collect();
            }
            test
        }
        None => {
            let cut = train[train.len() * 3 / 4].arrival;
            let first = train.partition_point(|booking| booking.arrival < cut);
            train.split_off(first)
        }
    };
    let (Some(from), Some(to)) = (test.first(), test.last()) else { anyhow::bail!("no booking is left to judge on") };
    report.notes.push(format!("trained on {} bookings; judged on {} that arrive from {} to {}", train.len(), test.len(), from.arrival, to.arrival));
    Ok((train, test))
}

/// What a booking is, whatever became of it.
fn what(booking: &Reservation) -> (Date, Date, &[String], [u64; NUMBERS.len()]) {
    (booking.booked, booking.arrival, booking.words.as_slice(), booking.numbers.map(key))
}

/// AUC, Brier score, error of the daily sums as a share of all kept bookings.
fn judge(test: &[Reservation], lost: &[bool], probabilities: &[f64]) -> Vec<f64> {
    let judged = outcomes(probabilities, lost, None);
    let mut days: BTreeMap<Date, (f64, f64)> = BTreeMap::new();
    for ((booking, lost), probability) in test.iter().zip(lost).zip(probabilities) {
        let (expected, kept) = days.entry(booking.arrival).or_default();
        *expected += 1.0 - probability;
        *kept += f64::from(u8::from(!lost));
    }
    let kept: f64 = days.values().map(|day| day.1).sum();
    let error: f64 = days.values().map(|(expected, kept)| (expected - kept).abs()).sum();
    vec![auc(&judged), brier(&judged), error / kept]
}

/// The floor: the share of lost bookings of training by market segment and lead time, as somebody would keep it in a spreadsheet.
struct Table {
    shares: HashMap<(String, u8), f64>,
    all: f64,
}

impl Table {
    /// Twenty bookings' worth of the overall share steadies a cell with few.
    const PRIOR: f64 = 20.0;

    fn fit(train: &[Reservation]) -> Self {
        let share = |lost: f64, count: f64, prior: f64| (lost + Self::PRIOR * prior) / (count + Self::PRIOR);
        let mut cells: HashMap<(String, u8), (f64, f64)> = HashMap::new();
        for booking in train {
            let (lost, count) = cells.entry(Self::cell(booking)).or_default();
            *lost += f64::from(u8::from(booking.fate != Fate::Kept));
            *count += 1.0;
        }
        let (lost, count) = cells.values().fold((0.0, 0.0), |(lost, count), cell| (lost + cell.0, count + cell.1));
        let all = share(lost, count, 0.3);
        Self { shares: cells.into_iter().map(|(key, (lost, count))| (key, share(lost, count, all))).collect(), all }
    }

    fn probabilities(&self, bookings: &[Reservation]) -> Vec<f64> {
        bookings.iter().map(|booking| self.shares.get(&Self::cell(booking)).copied().unwrap_or(self.all)).collect()
    }

    fn cell(booking: &Reservation) -> (String, u8) {
        let segment = WORDS.iter().position(|word| *word == "market_segment").map_or("", |place| booking.words[place].as_str());
        let lead = match (booking.arrival - booking.booked).get_days() {
            ..=7 => 0,
            8..=30 => 1,
            31..=90 => 2,
            91..=180 => 3,
            _ => 4,
        };
        (segment.to_owned(), lead)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use tornello_models::fraud::chance::Chance;

    use super::*;

    /// Bookings of a hotel that does not exist: those made long before through an agency are lost more often.
    fn file(name: &str, flip_last: bool) -> std::path::PathBuf {
        let words = WORDS.iter().filter(|word| **word != "arrival_weekday").copied().collect::<Vec<_>>().join(",");
        let mut text = format!("booking_date,arrival_date,reservation_status,{words},{}\n", NUMBERS.join(","));
        let mut chance = Chance::new(5);
        let first = jiff::civil::date(2016, 1, 1);
        for row in 0..3_000 {
            let arrival = first + jiff::Span::new().days(row / 10);
            let (lead, agency) = (chance.below(200) as i64, chance.unit() < 0.5);
            let booked = arrival - jiff::Span::new().days(lead);
            let lost = chance.unit() < 0.05 + if agency { 0.2 } else { 0.0 } + 0.003 * lead as f64;
            let lost = lost != (flip_last && row == 2_999);
            let (status, segment) = (if lost { "Canceled" } else { "Check-Out" }, if agency { "Online TA" } else { "Direct" });
            let _ = writeln!(text, "{booked},{arrival},{status},BB,ITA,{segment},TA/TO,A,No Deposit,Transient,9,,0,{lead},1,1,2,0,0,0,0,80.0,1");
        }
        let path = std::env::temp_dir().join(format!("tornello-p4-{name}-{}.csv", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn the_planted_causes_are_found_and_no_judged_fate_is_seen() {
        let inputs = |path: &std::path::Path| Inputs { data: Some(path.to_owned()), test_data: None, holidays: None };
        let (plain, flipped) = (file("plain", false), file("flipped", true));
        let reports = [&plain, &flipped].map(|path| evaluate(&inputs(path), Progress::Hidden).unwrap());
        assert!(reports[0].value("auc").unwrap() > 0.7, "{}", reports[0]);
        let train = split(&inputs(&plain), &mut Report::new("P4")).unwrap();
        let other = split(&inputs(&flipped), &mut Report::new("P4")).unwrap();
        assert_eq!(train.0, other.0, "the flipped booking is judged and not trained on");
        let mut with_no_show = train.0.clone();
        with_no_show[0].fate = Fate::NoShow;
        assert!(no_shows(&with_no_show, &train.1).unwrap_err().to_string().contains("to be judged"), "there is no figure of nobody");
        let fit = |pair: &(Vec<Reservation>, Vec<Reservation>)| {
            Fitted::new(&pair.0, &pair.1, false, |booking| booking.fate != Fate::Kept, &mut |_| {}).unwrap().probabilities(Member::Blend).unwrap()
        };
        assert_eq!(fit(&train), fit(&other));
        for path in [plain, flipped] {
            std::fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn what_is_to_be_judged_does_not_teach_its_fate() {
        let whole = file("whole", false);
        let text = std::fs::read_to_string(&whole).unwrap();
        let (header, rows) = text.split_once('\n').unwrap();
        let newest = std::env::temp_dir().join(format!("tornello-p4-newest-{}.csv", std::process::id()));
        std::fs::write(&newest, rows.lines().skip(2_500).fold(header.to_owned(), |text, row| text + "\n" + row)).unwrap();
        let told = |judged: &std::path::Path| {
            let inputs = Inputs { data: Some(whole.clone()), test_data: Some(judged.to_owned()), holidays: None };
            let mut report = Report::new("P4");
            let (train, test) = split(&inputs, &mut report).unwrap();
            (train.len(), test.len(), report.notes[0].clone())
        };
        assert_eq!(told(&newest), (2_500, 500, "500 rows are in both files: they are judged, and not learned from".to_owned()));
        let same = "3000 of the rows to learn from are to be judged on as well: the figures flatter".to_owned();
        assert_eq!(told(&whole), (3_000, 3_000, same));
        for path in [whole, newest] {
            std::fs::remove_file(path).unwrap();
        }
    }
}
