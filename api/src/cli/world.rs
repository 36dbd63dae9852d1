//! `tornello evaluate world`: judges rules and models on the simulated world of fraud, and plays the world through the real node if asked to.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use tornello_api::rehearsal;
use tornello_datasets::fraud_world::World;
use tornello_training::fraud_world::{self, Protocol};
use tornello_training::progress::Progress;
use tornello_training::source::no_file_at;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What every draw starts from: another number is another world of the same kind
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How many days; five ninths of them are there to learn from
    #[arg(long, value_name = "N", default_value_t = fraud_world::DAYS, value_parser = clap::value_parser!(u16).range(15..=200))]
    days: u16,
    /// Honest buyers a day on the web; everything else follows from it
    #[arg(long, value_name = "N", default_value_t = 1_200, value_parser = clap::value_parser!(u32).range(50..=20_000))]
    buyers: u32,
    /// Play the world through the real node instead, on a journal in memory, and say what it answered
    #[arg(long)]
    node: bool,
    /// Write all that was scored to a file as CSV, a row each: features by name, who was behind it, and what the scorer without labels says
    #[arg(long, value_name = "FILE", conflicts_with = "node")]
    rows: Option<PathBuf>,
    /// Write there even if a file stands there already, over it
    #[arg(long, requires = "rows")]
    overwrite: bool,
    /// Report as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn evaluate(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { seed, days, buyers, node, rows, overwrite, json } = arguments;
    let protocol = Protocol::new(seed, days, buyers)?;
    if node {
        return super::block_on(play(protocol, json));
    }
    if let Some(path) = rows.as_deref().filter(|_| !overwrite) {
        no_file_at(path)?;
    }
    let mut table = match &rows {
        Some(path) => Some(BufWriter::new(File::create(path).with_context(|| format!("creating {}", path.display()))?)),
        None => None,
    };
    let report = fraud_world::evaluate(protocol, table.as_mut().map(|table| table as &mut dyn Write), Progress::Shown)?;
    if let Some(table) = &mut table {
        table.flush().context("writing the rows")?;
    }
    if json { super::say(format_args!("{:#}", report.to_json())) } else { super::put(report) }
}

async fn play(protocol: Protocol, json: bool) -> anyhow::Result<()> {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message("counting who acts");
    bar.tick();
    let (running, clock) = rehearsal::open(protocol).await?;
    let mut world = World::new(protocol.settings);
    let played = rehearsal::play(running.node(), &clock, &mut world, |day| {
        bar.set_message(format!("day {day}"));
        bar.tick();
    })
    .await;
    bar.finish_and_clear();
    let verified = tornello_actors::verify::verify(running.node().journal().as_ref(), false, |_| {}).await;
    running.stop().await;
    let ((tally, live), verified) = (played?, verified.context("reading the journal back")?);
    let report = live.finish(world.truth(), tally.values().sum(), protocol.learn_days);
    if json {
        let rows: Vec<_> =
            tally.iter().map(|((action, outcome), count)| serde_json::json!({"action": action, "outcome": outcome, "count": count})).collect();
        let mut value = report.to_json();
        value["records"] = serde_json::json!(verified.checked.records);
        value["outcomes"] = serde_json::json!(rows);
        return super::say(format_args!("{value:#}"));
    }
    super::put(report)?;
    super::say(format_args!(
        "\nPlayed through the node; its journal has {} records and holds. What became of the intents:",
        verified.checked.records
    ))?;
    let rows: Vec<[String; 3]> =
        tally.iter().map(|((action, outcome), count)| [(*action).to_owned(), (*outcome).to_owned(), count.to_string()]).collect();
    super::print_table(["intent", "outcome", "count"], &rows)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn a_file_that_stands_there_is_not_overwritten_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        std::fs::write(&path, "what somebody keeps").unwrap();
        let parsed = |more: &[&str]| Line::try_parse_from(std::iter::once("world").chain(more.iter().copied())).map(|line| line.arguments);
        let error = evaluate(parsed(&["--rows", path.to_str().unwrap()]).unwrap()).unwrap_err().to_string();
        assert!(error.contains("rows.csv stands there already") && error.contains("--overwrite"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"what somebody keeps");
        assert!(parsed(&["--rows", "rows.csv", "--overwrite"]).is_ok() && parsed(&["--overwrite"]).is_err());
    }
}
