//! P6: attacks among connections, without labels. In the order of the file the first half trains and the second is judged. The scorer is the one that the shape
//! of training chooses.

use anyhow::Context;
use tornello_datasets::labelled;

use super::p5::{halves, note_choice};
use crate::Inputs;
use crate::progress::Progress;
use crate::race;
use crate::report::{Aim, Report};

/// Runs the protocol.
pub fn evaluate(inputs: &Inputs, progress: Progress) -> anyhow::Result<Report> {
    let mut report = Report::new("P6");
    let (mut train, test) = halves(inputs, labelled::CONNECTIONS_FILE, labelled::CONNECTIONS, &mut report)?;
    // No scorer may see a label here, however many training has.
    train.labels.fill(false);
    let race = race::run(&train, &test, progress)?;
    note_choice(&race, &mut report);
    let chosen = race.standing(race.chosen.name()).context("the chosen scorer ran")?;
    report.metric("aucpr", chosen.aucpr, "of the chosen scorer", Some(Aim::AtLeast(0.80)));
    report.metric("auc", chosen.auc, "of the chosen scorer", None);
    report.metric("recall", chosen.recall, "of attacks in 0.5% alerts", None);
    report.comparisons.push(race.comparison());
    Ok(report)
}
