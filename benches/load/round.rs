//! A round: one script against one target for some seconds, and what it cost both sides; and several rounds of the same.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use crate::generator::{Edge, Loop, Run, Tally};
use crate::generators;
use crate::script::Pairs;
use crate::table::{Figure, median};
use crate::target::{PLACES, Place, Target, Which};
use crate::watched::{Settled, Watched};
use crate::work::Work;

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
    /// How many rounds, each in fresh slots
    #[arg(long, value_name = "N", default_value_t = 1)]
    rounds: usize,
    /// How many slots of 100,000 places a round may use up, one after the other
    #[arg(long, value_name = "N", default_value_t = 1)]
    slots: usize,
    /// The server may say that it has too much to do
    #[arg(long)]
    may_shed: bool,
}

/// What a round came to.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub tally: Tally,
    /// Processor time of each generator in the measured time, in microseconds.
    pub own_us: Vec<u64>,
    /// Processor time of the target in the measured time, in microseconds.
    pub target_us: u64,
    /// What the target did after the round, until it had nothing left to do.
    pub after: Settled,
}

impl Outcome {
    /// Processor time of the target for each unit of work, in microseconds: in the measured time, and after the round.
    pub fn cost_us(&self) -> f64 {
        self.target_us as f64 / self.tally.done.max(1) as f64 + self.after_us()
    }

    /// The part of that which was put off until after the round; of all units, as those of the warm-up leave work too.
    pub fn after_us(&self) -> f64 {
        self.after.cpu_us as f64 / self.tally.done_ever.max(1) as f64
    }

    /// How much of a core the busiest generator used.
    pub fn generator(&self) -> f64 {
        self.own_us.iter().max().map_or(0.0, |us| *us as f64 / self.tally.seconds.max(1e-9) / 1e6)
    }

    /// As one value.
    pub fn json(&self) -> Value {
        let Self { tally, own_us, target_us, after } = self;
        let own: u64 = own_us.iter().sum();
        let per = |us: u64, count: u64| (us as f64 / count.max(1) as f64 * 100.0).round() / 100.0;
        let ms = |ms: f64| (ms * 1_000.0).round() / 1_000.0;
        json!({
            "per_second": tally.rate().round(), "done": tally.done, "shed": tally.shed, "unsent": tally.unsent, "seconds": ms(tally.seconds),
            "latency_ms": {"p50": ms(tally.latency.at_ms(0.5)), "p99": ms(tally.latency.at_ms(0.99)), "p99.9": ms(tally.latency.at_ms(0.999)),
                "max": ms(tally.latency.max_ms())},
            "cpu_us_per_request": {"target": per(*target_us, tally.answers), "generator": per(own, tally.answers)},
            "cpu_us_per_unit": {"target": ms(self.cost_us()), "of_which_after_the_round": ms(self.after_us())},
            "cores": {"target": ms(*target_us as f64 / tally.seconds / 1e6), "generator": ms(own as f64 / tally.seconds / 1e6),
                "busiest_generator": ms(self.generator())},
            "quiet_after_seconds": ms(after.took.as_secs_f64()),
            "statuses": tally.statuses,
        })
    }
}

/// What some rounds of the same came to.
#[derive(Debug, Clone, Default)]
pub struct Rounds(Vec<Outcome>);

impl Rounds {
    /// Adds one, and says what it came to.
    pub fn add(&mut self, what: &str, outcome: Outcome) {
        eprintln!("   {what}{}", outcome.json());
        self.0.push(outcome);
    }

    /// The median of something, with the busiest generator of any round.
    pub fn median(&self, of: impl Fn(&Outcome) -> f64) -> Figure {
        let generator = self.0.iter().map(Outcome::generator).fold(0.0, f64::max);
        Figure { value: median(self.0.iter().map(of).collect()), generator: Some(generator) }
    }

    /// The most of something in any round.
    pub fn most(&self, of: impl Fn(&Outcome) -> f64) -> f64 {
        self.0.iter().map(of).fold(0.0, f64::max)
    }

    /// Units done per second.
    pub fn rate(&self) -> Figure {
        self.median(|outcome| outcome.tally.rate())
    }

    /// The latency that a share of all requests did not exceed, in milliseconds.
    pub fn at_ms(&self, share: f64) -> Figure {
        self.median(|outcome| outcome.tally.latency.at_ms(share))
    }

    /// Processor time of the target for each unit, in microseconds, as a text: what is done after the round is part of it.
    pub fn cost(&self) -> String {
        let (all, after) = (self.median(Outcome::cost_us), self.median(Outcome::after_us));
        format!("{:.0} (of which after the round {:.1})", all.value, after.value)
    }
}

/// A number that no other generator of this run or another has: part of the idempotency keys.
pub fn unique() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Milliseconds in 30 bits, then the count: 40 bits are written.
    (since.as_millis() as u64 & 0x3fff_ffff) << 10 | COUNT.fetch_add(1, Ordering::Relaxed) & 0x3ff
}

/// Asks of a server that is watched, takes the processor times when the measured time begins and ends, and waits until the server has nothing left to do.
pub fn drive(watched: &Watched, run: &Run, work: Work) -> anyhow::Result<Outcome> {
    let mut times = Vec::with_capacity(2);
    let driven = generators::run(run, work, |edge| {
        if edge != Edge::Connected {
            times.push(watched.cpu_us());
        }
    })?;
    let [before, after] = <[_; 2]>::try_from(times).ok().context("the measured time never began or never ended")?;
    let target_us = after?.saturating_sub(before?);
    Ok(Outcome { tally: driven.tally, own_us: driven.own_us, target_us, after: watched.settle()? })
}

/// Pairs of hold and sale in so many fresh slots, one after the other. What the clients were told is compared with what the target has.
pub fn pairs(target: &mut Target, run: &Run, slots: usize, may_shed: bool) -> anyhow::Result<Outcome> {
    let slots = (0..slots).map(|_| target.fresh_slot()).collect::<anyhow::Result<Vec<String>>>()?;
    // Asked before: whatever keeps the places is there when the first client comes.
    for slot in &slots {
        ensure!(target.sold(slot)?.unwrap_or(0) == 0, "a slot that is not fresh: {slot}");
    }
    let places = if target.which == Which::Ceiling { u64::MAX } else { PLACES };
    let of = if target.which == Which::Web { Pairs::of_buyers } else { Pairs::new };
    let script = of(&slots, &target.seller, run.connections, places).may_shed(may_shed);
    let outcome = drive(&target.watched(), run, Work::Pairs(script))?;
    let mut sold: Option<u64> = None;
    for slot in &slots {
        if let Some(count) = target.sold(slot)? {
            sold = Some(sold.unwrap_or(0) + count);
        }
    }
    if let Some(sold) = sold
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
    let run = Run { warm_up, generators: place.generators(), ..Run::new(target.address, clients, pace, measured) };
    for _ in 0..arguments.rounds {
        println!("{}", pairs(&mut target, &run, arguments.slots, arguments.may_shed)?.json());
    }
    Ok(())
}
