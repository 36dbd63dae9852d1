//! `tornello evaluate`: judges the models by a stated protocol, on the shipped data or on any file with its columns.

use std::path::PathBuf;

use anyhow::Context;
use tornello_training::progress::Progress;
use tornello_training::{Inputs, Protocol};

use super::world;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    simulated: Option<Simulated>,
    /// The protocol: P1 daily attendance, P2 monthly attendance, P3 bookings to come
    #[arg(required = true)]
    protocol: Option<Protocol>,
    /// The file to learn from, plain or gzipped, with the columns of the shipped one [default: the shipped one]
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// The file to judge by [default: the newest part of the data, as the protocol says]
    #[arg(long, value_name = "FILE")]
    test_data: Option<PathBuf>,
    /// Whose holidays hold, as AU-VIC or IT, where the protocol has a calendar [default: those of the shipped data]
    #[arg(long, value_name = "REGION")]
    holidays: Option<String>,
    /// Report as one line of JSON
    #[arg(long)]
    json: bool,
}

/// What is judged on no data at all.
#[derive(Debug, clap::Subcommand)]
enum Simulated {
    /// Judge fraud scoring on a simulated world of honest buyers and attackers
    World(world::Arguments),
}

pub(super) fn evaluate(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { simulated, protocol, data, test_data, holidays, json } = arguments;
    if let Some(Simulated::World(arguments)) = simulated {
        return world::evaluate(arguments);
    }
    let protocol = protocol.context("name a protocol, or `world`")?;
    let report = tornello_training::evaluate(protocol, &Inputs { data, test_data, holidays }, Progress::Shown)?;
    println!("{}", if json { report.to_json() } else { report.to_string() });
    Ok(())
}
