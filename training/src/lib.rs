//! Fits models on data files, judges them by stated protocols and writes artifacts. Reached through the one binary: `tornello train` and `tornello evaluate`.
//!
//! It reads what [`tornello_datasets`] loads and calls what [`tornello_models`] can; it knows nothing of slots, sales or HTTP. [`evaluate`] runs a protocol
//! ([`protocols`]) and answers with a [`report::Report`]; [`demand`] and [`fraud`] make artifacts.

pub mod bookings;
pub mod demand;
pub mod fraud;
pub mod fraud_world;
pub mod histograms;
pub mod occupancy;
pub mod progress;
pub mod protocols;
pub mod race;
pub mod report;
pub mod source;
pub mod verdicts;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use progress::Progress;
use report::Report;

/// How models are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Daily attendance, 1 to 28 days ahead.
    P1,
    /// Monthly attendance, 1 to 12 months ahead.
    P2,
    /// The final bookings of a day from those on the books.
    P3,
    /// Which bookings are lost.
    P4,
    /// Frauds among card payments.
    P5,
    /// Attacks among connections, without labels.
    P6,
    /// P5 and P6 on the shipped data, and the card of the model that training makes.
    Fraud,
    /// People inside, on a simulated site where it is known who was.
    Occupancy,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 8] = [Self::P1, Self::P2, Self::P3, Self::P4, Self::P5, Self::P6, Self::Fraud, Self::Occupancy];
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P1 => "P1",
            Self::P2 => "P2",
            Self::P3 => "P3",
            Self::P4 => "P4",
            Self::P5 => "P5",
            Self::P6 => "P6",
            Self::Fraud => "fraud",
            Self::Occupancy => "occupancy",
        })
    }
}

impl FromStr for Protocol {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(|protocol| protocol.to_string()).join(", ");
        Self::ALL
            .into_iter()
            .find(|protocol| protocol.to_string().eq_ignore_ascii_case(text))
            .ok_or_else(|| format!("known protocols are {}", known()))
    }
}

/// What a protocol runs on.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The file to learn from; without one, the file that ships.
    pub data: Option<PathBuf>,
    /// The file to judge by; without one, the protocol's own cut of the data.
    pub test_data: Option<PathBuf>,
    /// The region whose holidays hold, as `AU-VIC`, where the protocol has a calendar; without one, the protocol's own.
    pub holidays: Option<String>,
}

/// Runs a protocol. The report's processor time is that of the run.
pub fn evaluate(protocol: Protocol, inputs: &Inputs, progress: Progress) -> anyhow::Result<Report> {
    let before = report::cpu_time();
    let mut report = match protocol {
        Protocol::P1 => protocols::p1::evaluate(inputs, progress),
        Protocol::P2 => protocols::p2::evaluate(inputs, progress),
        Protocol::P3 => protocols::p3::evaluate(inputs, progress),
        Protocol::P4 => protocols::p4::evaluate(inputs, progress),
        Protocol::P5 => protocols::p5::evaluate(inputs, progress),
        Protocol::P6 => protocols::p6::evaluate(inputs, progress),
        Protocol::Fraud => protocols::fraud::evaluate(inputs, progress),
        Protocol::Occupancy => occupancy::evaluate(inputs),
    }?;
    report.cpu_s = (report::cpu_time() - before).as_secs_f64();
    Ok(report)
}
