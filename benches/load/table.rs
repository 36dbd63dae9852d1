//! All rows, one after the other, and the table of what came of them: each figure beside that of a peer or a limit, taken in the same run.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};

use crate::rows;
use crate::target::Place;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Which rows; none: all
    #[arg(value_enum)]
    rows: Vec<Row>,
    /// How many rounds of each; the median counts
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    /// Seconds of a round that are measured
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    seconds: f64,
    /// Seconds of the sustained row that are measured, once
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    sustained: f64,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Row {
    /// Pairs of hold and sale at a desk, to nobody who is named, from 1, 16, 64 and 256 clients, beside PostgreSQL, Redis and the ceiling
    Pairs,
    /// Pairs over the web from 64 and 256 clients, each of another buyer who is named, beside those of the desk, PostgreSQL and Redis
    Web,
    /// Pairs of the desk from 64 clients for a minute, in one slot after the other, with all that was put off before
    Sustained,
    /// Refusals of a slot that is sold out, beside the ceiling
    Refusals,
    /// Reading what is available, beside the ceiling
    Reads,
    /// Latency at half of the most
    Open,
    /// What is left at one and a half times the most
    Overload,
    /// Tickets checked at gates, alone and while sales open, at everybody's listener and at one of their own
    Gates,
    /// Notices verified, got and paid at one station of pagoPA
    Station,
    /// Readings of sensors in batches
    Readings,
    /// 600,000 slots to come
    Dormant,
    /// Starting on a million records
    Recovery,
    /// The core alone, from what `--bench slot` has measured
    Core,
}

/// What must hold of a figure.
#[derive(Debug, Clone, Copy)]
pub enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

impl Aim {
    fn is_met(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(least) => figure >= least,
            Self::AtMost(most) => figure <= most,
        }
    }
}

/// A figure, and how much of a core the busiest generator used for it; none if nothing was loaded.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figure {
    pub value: f64,
    pub generator: Option<f64>,
}

impl From<f64> for Figure {
    fn from(value: f64) -> Self {
        Self { value, generator: None }
    }
}

/// A generator that uses more of its core than this may be what limits the figure.
const GENERATOR_LIMIT: f64 = 0.9;

/// How much the generators had to do for figures, and whether they may be the limit.
fn generators(figures: &[(&str, Figure)]) -> String {
    let used = figures.iter().filter_map(|(whose, figure)| Some(format!("{whose}{:.2}", figure.generator?)));
    let told: Vec<String> = used.collect();
    let may_limit = figures.iter().any(|(_, figure)| figure.generator.is_some_and(|cores| cores > GENERATOR_LIMIT));
    told.join(", ") + if may_limit { ": may be the limit" } else { "" }
}

/// What all rows share.
pub struct Bench<'a> {
    pub place: &'a Place,
    pub rounds: usize,
    pub seconds: f64,
    /// How long the sustained row is measured, in seconds.
    pub sustained: f64,
    /// The most pairs per second that Tornello did in this run.
    most: Option<Figure>,
    /// The place with as many connections to PostgreSQL as do best.
    tuned: Option<Place>,
    lines: Vec<[String; 7]>,
    notes: Vec<String>,
}

impl Bench<'_> {
    /// Adds a figure beside a peer's, as a multiple of it.
    pub fn beside(&mut self, what: &str, ours: Figure, peer: &str, theirs: Figure, least: f64) {
        let ratio = ours.value / theirs.value;
        let percent = least < 1.0;
        let used = generators(&[("", ours), (format!("{peer} ").as_str(), theirs)]);
        let text = |ratio: f64| if percent { format!("{:.0} %", ratio * 100.0) } else { format!("{ratio:.1}x") };
        self.line([
            what.to_owned(),
            number(ours.value),
            format!("{peer} {}", number(theirs.value)),
            text(ratio),
            format!(">= {}", text(least)),
            met(ratio >= least),
            used,
        ]);
    }

    /// Adds a figure that has a limit of its own.
    pub fn limited(&mut self, what: &str, figure: impl Into<Figure>, unit: &str, aim: Aim) {
        let figure = figure.into();
        let aim_text = match aim {
            Aim::AtLeast(least) => format!(">= {} {unit}", number(least)),
            Aim::AtMost(most) => format!("<= {} {unit}", number(most)),
        };
        let (value, used) = (format!("{} {unit}", number(figure.value)), generators(&[("", figure)]));
        self.line([what.to_owned(), value, String::new(), String::new(), aim_text, met(aim.is_met(figure.value)), used]);
    }

    /// Adds a line under the table.
    pub fn note(&mut self, note: String) {
        eprintln!("   {note}");
        self.notes.push(note);
    }

    /// The most pairs per second that Tornello does from 256 clients: as measured in this run.
    pub fn most(&mut self) -> anyhow::Result<Figure> {
        match self.most {
            Some(most) => Ok(most),
            None => {
                let most = rows::sales::most(self)?;
                self.most = Some(most);
                Ok(most)
            }
        }
    }

    /// Remembers it.
    pub fn set_most(&mut self, most: Figure) {
        self.most = Some(most);
    }

    /// The place with as many connections to PostgreSQL as do best: tried once in this run.
    pub fn tuned(&mut self) -> anyhow::Result<Place> {
        match &self.tuned {
            Some(tuned) => Ok(tuned.clone()),
            None => {
                let tuned = rows::sales::tuned(self)?;
                Ok(self.tuned.insert(tuned).clone())
            }
        }
    }

    fn line(&mut self, line: [String; 7]) {
        eprintln!("   {}", line.join("  "));
        self.lines.push(line);
    }
}

fn met(is_met: bool) -> String {
    if is_met { "met".to_owned() } else { "not met".to_owned() }
}

/// With three digits that count, and commas between thousands.
fn number(value: f64) -> String {
    let digits = if value.abs() < 10.0 { 2 } else { usize::from(value.abs() < 100.0) };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), String::new()), |(whole, rest)| (whole, format!(".{rest}")));
    let mut grouped = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + &rest
}

/// The middle one; of an even number the lower.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

/// How long the disk takes to make 4 KiB that were appended to a file durable: the median of 200, in milliseconds.
pub fn flush_ms(folder: &Path) -> anyhow::Result<f64> {
    let mut file = File::create(folder.join("flush"))?;
    let mut times = Vec::new();
    for _ in 0..200 {
        let started = Instant::now();
        file.write_all(&[7; 4_096])?;
        file.sync_data()?;
        times.push(started.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(median(times))
}

/// The command `table`.
pub fn run(arguments: &Arguments, place: &Place) -> anyhow::Result<()> {
    let Arguments { rounds, seconds, sustained, .. } = *arguments;
    let mut bench = Bench { place, rounds, seconds, sustained, most: None, tuned: None, lines: Vec::new(), notes: Vec::new() };
    facts(&mut bench)?;
    let all = <Row as clap::ValueEnum>::value_variants();
    let mut failed = Vec::new();
    for row in if arguments.rows.is_empty() { all } else { &arguments.rows } {
        eprintln!("== {row:?}");
        let measured = match row {
            Row::Pairs => rows::sales::pairs(&mut bench),
            Row::Web => rows::sales::web(&mut bench),
            Row::Sustained => rows::sales::sustained(&mut bench),
            Row::Refusals => rows::reads::refusals(&mut bench),
            Row::Reads => rows::reads::availability(&mut bench),
            Row::Open => rows::sales::open_loop(&mut bench),
            Row::Overload => rows::sales::overload(&mut bench),
            Row::Gates => rows::gates::gates(&mut bench),
            Row::Station => rows::station::station(&mut bench),
            Row::Readings => rows::readings::readings(&mut bench),
            Row::Dormant => rows::starts::dormant(&mut bench),
            Row::Recovery => rows::starts::recovery(&mut bench),
            Row::Core => core(&mut bench),
        };
        // The other rows are worth as much as before.
        if let Err(error) = measured {
            bench.note(format!("the row {row:?} failed: {error:#}"));
            failed.push(format!("{row:?}"));
        }
    }
    print(&bench);
    ensure!(failed.is_empty(), "these rows failed: {}", failed.join(", "));
    Ok(())
}

/// What Criterion measured last.
fn core(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(3).context("no folder above")?;
    let path = target.join("criterion/slot/hold and sell/new/estimates.json");
    let text = fs::read_to_string(&path).with_context(|| format!("no {}: run `cargo bench -p tornello-benches --bench slot`", path.display()))?;
    let estimates: serde_json::Value = serde_json::from_str(&text)?;
    let ns = estimates["median"]["point_estimate"].as_f64().context("no median")?;
    // As many as the bench gives in one go: a thousand pairs.
    bench.limited("core: decide and apply, one core", 2_000.0 / ns * 1e9, "/s", Aim::AtLeast(5_000_000.0));
    Ok(())
}

/// On what it is measured.
fn facts(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("unknown", |found| found.1);
    let cores = std::thread::available_parallelism()?;
    let load = fs::read_to_string("/proc/loadavg")?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let folder = bench.place.folder()?;
    let flush = flush_ms(folder.path())?;
    let version = |program: &str| {
        let said = Command::new(program).arg("--version").output().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        said.unwrap_or_else(|_| format!("no {program}"))
    };
    bench.note(format!("{cores} cores ({model}), Linux {}, load before: {}", kernel.trim(), load.trim()));
    bench.note(format!("flush of 4 KiB: {flush:.2} ms, in {}", folder.path().parent().unwrap_or(folder.path()).display()));
    bench.note(format!("{}; {}", version("postgres"), version("redis-server")));
    bench.note(format!("the last column: the share of a core that the busiest of {} generators used at most", bench.place.generators()));
    if flush < 0.03 {
        bench.note("nothing is flushed that quickly: choose with --folder a folder that is on a disk".to_owned());
    }
    Ok(())
}

fn print(bench: &Bench<'_>) {
    let head = ["what", "Tornello", "beside", "ratio", "aim", "", "generator"].map(str::to_owned);
    let rows: Vec<&[String; 7]> = std::iter::once(&head).chain(&bench.lines).collect();
    let widths: [usize; 7] = std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let line = |cells: &[String; 7]| {
        let cells: Vec<String> = cells.iter().zip(widths).map(|(cell, width)| format!(" {cell:<width$} ")).collect();
        println!("|{}|", cells.join("|"));
    };
    line(&head);
    println!("|{}|", widths.map(|width| "-".repeat(width + 2)).join("|"));
    bench.lines.iter().for_each(line);
    println!();
    bench.notes.iter().for_each(|note| println!("- {note}"));
}
