//! `tornello train`: fits models and writes them as artifacts.

use std::path::PathBuf;

use clap::Subcommand;
use tornello_actors::clock::RealClock;
use tornello_training::demand::{self, Data, Job};
use tornello_training::fraud;
use tornello_training::progress::Progress;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The forecaster of daily attendance
    Demand(Demand),
    /// The scorer of fraud: what learns from labels where there are 50, and the three that need none
    Fraud(Fraud),
}

#[derive(Debug, clap::Args)]
pub(super) struct Fraud {
    /// Rows of numbers with a column `label`, and `time_s` and `weight` if there are any, plain or gzipped [default: the shipped payments]
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// The folder to write to: `champion`, and a folder for each model that stands in its shadow
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
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
    /// Report as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demand(arguments) => train_demand(arguments),
        Command::Fraud(arguments) => train_fraud(&arguments),
    }
}

fn train_fraud(Fraud { data, out, json }: &Fraud) -> anyhow::Result<()> {
    let trained = fraud::train(data.as_deref(), &RealClock::wall().to_string(), Progress::Shown)?;
    trained.write(out)?;
    println!("{}", if *json { trained.champion()?.card.clone() } else { fraud::show(&trained.card()?) });
    Ok(())
}

fn train_demand(arguments: Demand) -> anyhow::Result<()> {
    let Demand { data, holidays, simulated, horizon, threads, champion, out, json } = arguments;
    let data = simulated.map_or(Data::File(data, holidays), Data::Simulated);
    let job = Job { data, horizon_max: horizon, threads, champion, created: RealClock::wall().to_string() };
    let report = demand::train(&job, &out, Progress::Shown)?;
    println!("{}", if json { report.to_json() } else { report.to_string() });
    Ok(())
}
