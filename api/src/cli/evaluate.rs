//! `tornello evaluate`: judges the models by a stated protocol, on the shipped data or on any file with its columns.

use std::path::PathBuf;

use tornello_training::progress::Progress;
use tornello_training::{Inputs, Protocol};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The protocol: P1 daily attendance, P2 monthly attendance, P3 bookings to come, P4 lost bookings, P5 fraud, P6 attacks without
    /// labels; fraud: P5 and P6 with the card of the model; or occupancy: people inside simulated buildings
    protocol: Protocol,
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

pub(super) fn evaluate(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { protocol, data, test_data, holidays, json } = arguments;
    let report = tornello_training::evaluate(protocol, &Inputs { data, test_data, holidays }, Progress::Shown)?;
    super::say(if json { report.to_json() } else { report.to_string() })
}
