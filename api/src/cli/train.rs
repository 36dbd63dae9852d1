//! `tornello train`: fits models and writes them as artifacts.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{ArgGroup, Subcommand};
use tornello_actors::clock::RealClock;
use tornello_api::learning;
use tornello_engine::ids::Code;
use tornello_engine::time::Timestamp;
use tornello_training::demand::{self, Data, Job};
use tornello_training::fraud;
use tornello_training::progress::Progress;
use tornello_training::source::{no_file_at, no_model_below, no_model_in};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The forecaster of daily attendance
    Demand(Demand),
    /// The scorer of fraud: what learns from labels where there are 50, and the three that need none; or, with --from, of what a node has found out
    Fraud(Fraud),
}

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("written").args(["rows", "out"]).multiple(true)))]
pub(super) struct Fraud {
    /// Rows of numbers with a column `label`, and `time_s` and `weight` if there are any, plain or gzipped [default: the shipped payments]
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Learn what is known of the cases in this data folder instead; its node may run meanwhile. Makes one model, fed with what the node feeds its own
    #[arg(long, value_name = "DIR", conflicts_with = "data", requires = "name")]
    from: Option<PathBuf>,
    /// Put that model where the node looks for it when it is registered under this name
    #[arg(long, value_name = "NAME", requires = "from")]
    name: Option<Code>,
    /// Learn what was known at this instant (RFC 3339) [default: now]
    #[arg(long, value_name = "INSTANT", requires = "from")]
    until: Option<String>,
    /// Write the rows that are learned to this file too, as CSV
    #[arg(long, value_name = "FILE", requires = "from")]
    rows: Option<PathBuf>,
    /// The folder to write to: `champion`, and a folder for each model that stands in its shadow
    #[arg(long, value_name = "DIR", required_unless_present = "from", conflicts_with = "from")]
    out: Option<PathBuf>,
    /// Write there, and the rows, even if a model or a file stands there already, over it
    #[arg(long, requires = "written")]
    overwrite: bool,
    /// Print the champion's card as it is written, instead of as text
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Demand {
    /// Counts per sensor and hour, plain or gzipped, with the columns of the shipped file [default: the shipped one]
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Whose holidays hold, as AU-VIC or IT
    #[arg(long, value_name = "REGION", default_value = "AU-VIC")]
    holidays: String,
    /// Fit on so many simulated museums, three years each, instead of a file
    #[arg(long, value_name = "MUSEUMS", conflicts_with = "data", value_parser = clap::value_parser!(u32).range(1..=2000))]
    simulated: Option<u32>,
    /// The farthest day ahead
    #[arg(long, value_name = "DAYS", default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=300))]
    horizon: u16,
    /// Threads to fit on; the model does not depend on it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: u32,
    /// The folder of the champion that acts now: the new model is put against it on the last eight weeks
    #[arg(long, value_name = "DIR")]
    champion: Option<PathBuf>,
    /// The folder to write model.bin and card.json to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Write there even if a model stands there already, over it
    #[arg(long)]
    overwrite: bool,
    /// Report as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demand(arguments) => train_demand(arguments),
        Command::Fraud(Fraud { from: Some(folder), name: Some(name), until, rows, overwrite, json, .. }) => {
            if let Some(path) = rows.as_deref().filter(|_| !overwrite) {
                no_file_at(path)?;
            }
            super::block_on(async move { learn_fraud(&folder, name, until.as_deref(), rows.as_deref(), json).await })
        }
        Command::Fraud(arguments) => train_fraud(&arguments),
    }
}

async fn learn_fraud(folder: &Path, name: Code, until: Option<&str>, rows: Option<&Path>, json: bool) -> anyhow::Result<()> {
    let until: Timestamp = match until {
        Some(text) => text.parse().map_err(|_| anyhow::anyhow!("--until: {text} is no RFC 3339 instant"))?,
        None => RealClock::wall(),
    };
    // Said before it takes long.
    learning::place(folder, name)?;
    let known = learning::known(folder, until).await?;
    if let Some(path) = rows {
        let mut file = std::io::BufWriter::new(std::fs::File::create(path).with_context(|| format!("writing {}", path.display()))?);
        learning::write_rows(&known, &mut file)
            .and_then(|()| std::io::Write::flush(&mut file))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    // What it learned was known then, and the same journal and instant give the same card.
    let artifact = learning::learn(&known, &until.to_string())?;
    let place = learning::shelve(folder, name, &artifact)?;
    if json {
        return super::say(&artifact.card);
    }
    let card = artifact.card()?;
    super::say(fraud::show(&card))?;
    let sum = tornello_training::source::sha256(artifact.card.as_bytes());
    super::say(format_args!("It stands in {}. To have it beside the one that acts, register it:", place.display()))?;
    let body = format!(r#"{{"kind": "fraud", "artifact": "{name}", "checksum": "{}", "card": "{}"}}"#, card.id, &sum[..32]);
    super::say(format_args!("  POST /v1/fraud/models {body}"))?;
    super::say(format_args!("  POST /v1/fraud/models/{name}/challenge"))
}

fn train_fraud(Fraud { data, out, overwrite, json, .. }: &Fraud) -> anyhow::Result<()> {
    let out = out.as_deref().context("say with --out where to")?;
    if !overwrite {
        no_model_below(out)?;
    }
    let trained = fraud::train(data.as_deref(), Progress::Shown)?;
    trained.write(out)?;
    super::say(if *json { trained.champion()?.card.clone() } else { fraud::show(&trained.card()?) })
}

fn train_demand(arguments: Demand) -> anyhow::Result<()> {
    let Demand { data, holidays, simulated, horizon, threads, champion, out, overwrite, json } = arguments;
    if !overwrite {
        no_model_in(&out)?;
    }
    let data = simulated.map_or(Data::File(data, holidays), Data::Simulated);
    let job = Job { data, horizon_max: horizon, threads, champion, created: RealClock::wall().to_string() };
    let report = demand::train(&job, &out, Progress::Shown)?;
    super::say(if json { report.to_json() } else { report.to_string() })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    fn parsed(line: &[&str]) -> Result<Command, clap::Error> {
        Line::try_parse_from(std::iter::once("train").chain(line.iter().copied())).map(|line| line.command)
    }

    #[test]
    fn a_model_that_stands_there_is_not_overwritten_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().to_str().unwrap();
        std::fs::create_dir(folder.path().join("champion")).unwrap();
        for path in [folder.path().join("model.bin"), folder.path().join("champion").join("model.bin")] {
            std::fs::write(path, "the one that acts").unwrap();
        }
        for line in [["demand", "--out", out], ["fraud", "--out", out]] {
            let error = run(parsed(&line).unwrap()).unwrap_err().to_string();
            assert!(error.contains("model.bin stands there already") && error.contains("--overwrite"), "{line:?}: {error}");
        }
        assert_eq!(std::fs::read(folder.path().join("model.bin")).unwrap(), b"the one that acts");
        // The word for it is there for both, and for nothing else.
        for line in [["demand", "--out", out, "--overwrite"], ["fraud", "--out", out, "--overwrite"]] {
            assert!(parsed(&line).is_ok(), "{line:?}");
        }
        let learn = ["fraud", "--from", "data", "--name", "x"];
        assert!(parsed(&[&learn[..], &["--overwrite"]].concat()).is_err(), "what stands on the shelf is never overwritten");
        // Nor is a file of rows, before anything is read.
        let rows = folder.path().join("rows.csv");
        std::fs::write(&rows, "what somebody keeps").unwrap();
        let asked = [&learn[..], &["--rows", rows.to_str().unwrap()]].concat();
        let error = run(parsed(&asked).unwrap()).unwrap_err().to_string();
        assert!(error.contains("rows.csv stands there already") && error.contains("--overwrite"), "{error}");
        assert!(parsed(&[&asked[..], &["--overwrite"]].concat()).is_ok());
    }
}
