//! P5: frauds among card payments. In the order of time the first half trains and the second is judged; features are all columns but time, label and weight,
//! and weights count in figures only. Judged twice: by the scorer that training's shape chooses, which sees no label, and by what learned from labels.

use anyhow::Context;
use tornello_datasets::labelled::{self, Labelled};
use tornello_models::fraud::preparation::ABSURD;

use super::{apart, key};
use crate::Inputs;
use crate::progress::Progress;
use crate::race::{self, BLEND, Race};
use crate::report::{Aim, Report};
use crate::source::Source;

/// Runs the protocol.
pub fn evaluate(inputs: &Inputs, progress: Progress) -> anyhow::Result<Report> {
    let mut report = Report::new("P5");
    let (train, test) = halves(inputs, labelled::PAYMENTS_FILE, labelled::PAYMENTS, &mut report)?;
    let race = race::run(&train, &test, progress)?;
    note_choice(&race, &mut report);
    let chosen = race.standing(race.chosen.name()).context("the chosen scorer ran")?;
    report.metric("weighted_aucpr", chosen.weighted_aucpr, "without labels", Some(Aim::AtLeast(0.735)));
    report.metric("aucpr", chosen.aucpr, "without labels", None);
    report.metric("auc", chosen.auc, "without labels", None);
    report.metric("recall", chosen.recall, "of frauds in 0.5% alerts", None);
    match race.standing(BLEND) {
        Some(blend) => {
            report.metric("weighted_aucpr_labels", blend.weighted_aucpr, "with labels", Some(Aim::AtLeast(0.84)));
            report.metric("aucpr_labels", blend.aucpr, "with labels", None);
            report.metric("auc_labels", blend.auc, "with labels", None);
            report.metric("recall_labels", blend.recall, "of frauds in 0.5% alerts", None);
        }
        None if train.positives() == train.len() => report.notes.push("all rows of training are positive: they teach nothing".to_owned()),
        None => report.notes.push(format!("training has {} labels: too few to learn from", train.positives())),
    }
    report.comparisons.push(race.comparison());
    Ok(report)
}

/// The two halves of the data in the order of time (of the file, where there is no time), or all of both files.
pub(super) fn halves(inputs: &Inputs, shipped_name: &str, shipped: &[u8], report: &mut Report) -> anyhow::Result<(Labelled, Labelled)> {
    let all = load(&Source::open(inputs.data.as_deref(), shipped_name, shipped)?, report)?;
    let (train, test) = match &inputs.test_data {
        Some(path) => {
            let test = load(&Source::read(path)?, report)?;
            // The columns of a file come in any order.
            let test = if test.features == all.features { test } else { test.ordered(&all.features).unwrap_or(test) };
            // Without times rows of like values are many, and not the same.
            let left = match (&all.times_s, &test.times_s) {
                (Some(learned), Some(judged)) if all.features == test.features => apart(keys(&all, learned), keys(&test, judged), report),
                _ => {
                    if matches!(report.data.as_slice(), [(_, learned, _), (_, judged, _)] if learned == judged) {
                        report.notes.push("both files are the same: the figures flatter".to_owned());
                    }
                    None
                }
            };
            (if let Some(left) = left { all.select(&left) } else { all }, test)
        }
        None => {
            let rows: Vec<usize> = (0..all.len()).collect();
            let (first, second) = rows.split_at(all.len() / 2);
            (all.select(first), all.select(second))
        }
    };
    anyhow::ensure!(test.positives() > 0, "there is nothing to find in the rows to be judged on");
    anyhow::ensure!(test.positives() < test.len(), "all rows to be judged on are positive: there is none to tell them from");
    let part = |table: &Labelled| format!("{} rows, {} of them positive", table.len(), table.positives());
    report.notes.push(format!("trained on {}; judged on {}", part(&train), part(&test)));
    Ok((train, test))
}

/// What each row is: when it was, and its values.
fn keys(table: &Labelled, times: &[f64]) -> impl Iterator<Item = Vec<u64>> {
    let rows = table.values.chunks_exact(table.features.len().max(1));
    times.iter().zip(rows).map(|(time, values)| std::iter::once(time).chain(values).map(|number| key(*number)).collect::<Vec<u64>>())
}

fn load(source: &Source, report: &mut Report) -> anyhow::Result<Labelled> {
    let table = labelled::read(&source.name, source.text())?.by_time();
    report.data.push((source.name.clone(), source.sha256(), table.len() as u64));
    if table.missing() > 0 {
        let stands_in = "the median of training stands in for each; where columns are held against each other each counts as on average";
        report.notes.push(format!("{} values of {} are missing: {stands_in}", table.missing(), source.name));
    }
    let absurd = table.values.iter().filter(|value| value.abs() > ABSURD).count();
    if absurd > 0 {
        report
            .notes
            .push(format!("{absurd} values of {} are beyond {ABSURD:e}, which nothing measured is: they are taken as missing too", source.name));
    }
    Ok(table)
}

pub(super) fn note_choice(race: &Race, report: &mut Report) {
    let (shape, chosen) = (race.shape, race.chosen.name());
    let few = if race.chosen == shape.scorer() { "" } else { ", and there are too few rows for the covariance that this asks for" };
    report.notes.push(format!("without labels {chosen} acts: {} of {} columns of training are smooth{few}", shape.smooth, shape.columns));
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::super::p6;
    use super::*;

    fn file(name: &str, rows: &[u32], times: bool) -> std::path::PathBuf {
        let mut text = if times { "time_s,a,b,label\n" } else { "other,a,b,label\n" }.to_owned();
        for row in rows {
            let _ = writeln!(text, "{},{}.5,,{}", 10 * row, row % 4, u8::from(row % 5 == 1));
        }
        let path = std::env::temp_dir().join(format!("tornello-p5-{name}-{}.csv", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn what_is_to_be_judged_does_not_teach_its_label() {
        let all: Vec<u32> = (0..30).collect();
        let newest: Vec<u32> = (22..40).collect();
        let told = |times: bool, judged: &[u32]| {
            let paths = [file("learned", &all, times), file("judged", judged, times)];
            let inputs = Inputs { data: Some(paths[0].clone()), test_data: Some(paths[1].clone()), holidays: None };
            let mut report = Report::new("P5");
            let (train, test) = halves(&inputs, "", &[], &mut report).unwrap();
            for path in paths {
                std::fs::remove_file(path).unwrap();
            }
            (train.len(), test.len(), report.notes.iter().find(|note| note.contains("8 rows are in both") || note.contains("flatter")).cloned())
        };
        let left_out = "8 rows are in both files: they are judged, and not learned from".to_owned();
        assert_eq!(told(true, &newest), (22, 18, Some(left_out)));
        assert_eq!(told(true, &[31, 36, 40]), (30, 3, None));
        // The same data on purpose.
        let same = "30 of the rows to learn from are to be judged on as well: the figures flatter".to_owned();
        assert_eq!(told(true, &all), (30, 30, Some(same)));
        // Without times rows of like values are many.
        assert_eq!(told(false, &newest), (30, 18, None));
        assert_eq!(told(false, &all), (30, 30, Some("both files are the same: the figures flatter".to_owned())));
    }

    #[test]
    fn rows_of_one_kind_are_no_measure() {
        let told = |labels: [u8; 60]| {
            let mut text = "time_s,a,label\n".to_owned();
            for (row, label) in labels.iter().enumerate() {
                let _ = writeln!(text, "{row},{},{label}", row % 7);
            }
            let path = std::env::temp_dir().join(format!("tornello-p5-kinds-{}-{}.csv", labels[29], std::process::id()));
            std::fs::write(&path, text).unwrap();
            let inputs = Inputs { data: Some(path.clone()), test_data: None, holidays: None };
            let reports = [evaluate(&inputs, Progress::Hidden), p6::evaluate(&inputs, Progress::Hidden)];
            std::fs::remove_file(path).unwrap();
            reports.map(|report| report.unwrap_err().to_string())
        };
        // Sorted by label: whatever a scorer says, all that it finds is right.
        let none = ["all rows to be judged on are positive: there is none to tell them from"; 2];
        assert_eq!(told(std::array::from_fn(|row| u8::from(row >= 30))), none);
        assert_eq!(told(std::array::from_fn(|row| u8::from(row < 30))), ["there is nothing to find in the rows to be judged on"; 2]);
    }

    #[test]
    fn what_cannot_be_is_told() {
        let path = std::env::temp_dir().join(format!("tornello-p5-absurd-{}.csv", std::process::id()));
        std::fs::write(&path, "card,a,label\n4000123412341234,1,0\n-4e12,2,1\n7,,0\n").unwrap();
        let mut report = Report::new("P5");
        load(&Source::read(&path).unwrap(), &mut report).unwrap();
        std::fs::remove_file(path).unwrap();
        assert!(report.notes.len() == 2 && report.notes[1].starts_with("2 values of ") && report.notes[1].contains("1e12"), "{:?}", report.notes);
    }
}
