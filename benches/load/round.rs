//! A round: one script against one target for some seconds, and what it cost both sides.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::generator::{self, Edge, Loop, Run, Script, Tally};
use crate::process::{cpu_us, own_cpu_us};
use crate::script::Pairs;
use crate::target::{PLACES, Place, Target, Which};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Whom to load
    #[arg(value_enum, default_value_t = Which::Tornello)]
    target: Which,
    /// Closed loop: so many clients, each asks when it is answered
    #[arg(long, value_name = "N", default_value_t = 64)]
    clients: usize,
    /// Open loop instead: so many pairs begin in a second, whatever is answered
    #[arg(long, value_name = "PAIRS")]
    rate: Option<f64>,
    /// Seconds before measuring begins
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    warm_up: f64,
    /// Seconds that are measured
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    seconds: f64,
    /// How many rounds, each in a fresh slot
    #[arg(long, value_name = "N", default_value_t = 1)]
    rounds: usize,
    /// The server may say that it has too much to do
    #[arg(long)]
    may_shed: bool,
}

/// What a round came to.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub tally: Tally,
    /// Processor time of the generator in the measured time, in microseconds.
    pub own_us: u64,
    /// Processor time of the target in the measured time, in microseconds.
    pub target_us: u64,
}

impl Outcome {
    /// Processor time of the target for each unit of work, in microseconds.
    pub fn cost_us(&self) -> f64 {
        self.target_us as f64 / self.tally.done.max(1) as f64
    }

    /// As one value.
    pub fn json(&self) -> Value {
        let Self { tally, own_us, target_us } = self;
        let per = |us: u64, count: u64| (us as f64 / count.max(1) as f64 * 100.0).round() / 100.0;
        let ms = |ms: f64| (ms * 1_000.0).round() / 1_000.0;
        json!({
            "per_second": tally.rate().round(), "done": tally.done, "shed": tally.shed, "unsent": tally.unsent, "seconds": ms(tally.seconds),
            "latency_ms": {"p50": ms(tally.latency.at_ms(0.5)), "p99": ms(tally.latency.at_ms(0.99)), "p99.9": ms(tally.latency.at_ms(0.999)),
                "max": ms(tally.latency.max_ms())},
            "cpu_us_per_request": {"target": per(*target_us, tally.answers), "generator": per(*own_us, tally.answers)},
            "cores": {"target": ms(*target_us as f64 / tally.seconds / 1e6), "generator": ms(*own_us as f64 / tally.seconds / 1e6)},
            "statuses": tally.statuses,
        })
    }
}

/// A number that no other generator of this run or another has: part of the idempotency keys.
pub fn unique() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Milliseconds in 30 bits, then the count: 40 bits are written.
    (since.as_millis() as u64 & 0x3fff_ffff) << 10 | COUNT.fetch_add(1, Ordering::Relaxed) & 0x3ff
}

/// Runs a script against a target, and takes the processor times when the measured time begins and ends.
pub fn drive(target: &Target, run: &Run, script: &mut impl Script) -> anyhow::Result<Outcome> {
    drive_processes(&target.processes(), run, script)
}

/// As [`drive`], for processes that are not a [`Target`].
pub fn drive_processes(processes: &[u32], run: &Run, script: &mut impl Script) -> anyhow::Result<Outcome> {
    let mut times = Vec::with_capacity(2);
    let tally = generator::run(run, script, |_: Edge| times.push((own_cpu_us(), cpu_us(processes))))?;
    let [(own_before, before), (own_after, after)] = <[_; 2]>::try_from(times).ok().context("the measured time never began or never ended")?;
    Ok(Outcome { tally, own_us: own_after - own_before, target_us: after?.saturating_sub(before?) })
}

/// Pairs of hold and sale in one fresh slot. What the clients were told is compared with what the target has.
pub fn pairs(target: &mut Target, clients: usize, pace: Loop, warm_up: Duration, measured: Duration, may_shed: bool) -> anyhow::Result<Outcome> {
    let slot = target.fresh_slot()?;
    let places = if target.which == Which::Ceiling { u64::MAX } else { PLACES };
    let script = Pairs::new(&slot, &target.seller, clients, places, unique());
    let mut script = if may_shed { script.may_shed() } else { script };
    let run = Run { address: target.address, connections: clients, pace, warm_up, measured };
    let outcome = drive(target, &run, &mut script)?;
    if let Some(sold) = target.sold(&slot)?
        && sold != outcome.tally.done_ever
    {
        bail!("{} sales were acknowledged, and {sold} are there", outcome.tally.done_ever);
    }
    Ok(outcome)
}

/// The command `round`.
pub fn one(arguments: &Arguments, place: &Place) -> anyhow::Result<()> {
    let mut target = Target::start(arguments.target, place)?;
    let (warm_up, measured) = (Duration::from_secs_f64(arguments.warm_up), Duration::from_secs_f64(arguments.seconds));
    let (clients, pace) = match arguments.rate {
        None => (arguments.clients, Loop::Closed),
        Some(per_second) => (arguments.clients.max(1_024), Loop::Open { per_second }),
    };
    for _ in 0..arguments.rounds {
        println!("{}", pairs(&mut target, clients, pace, warm_up, measured, arguments.may_shed)?.json());
    }
    Ok(())
}
