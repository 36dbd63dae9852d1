//! Load by several processes, for a server that is quicker than one generator: this program once more for each of them, told over a pipe what to ask. What
//! came of all is put together. One generator alone works in the thread that asks for it.

use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Write, pipe};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::generator::{Edge, Run, Tally};
use crate::process::{Process, thread_cpu_us};
use crate::work::Work;

/// What a generator says when it has connected, and when its measured time begins and ends.
const CONNECTED: &str = "connected";
const BEGINS: &str = "begins";
const ENDS: &str = "ends";
/// What it then waits for.
const GO: &[u8] = b"go\n";

/// What came of a load.
#[derive(Debug, Clone, Default)]
pub struct Driven {
    pub tally: Tally,
    /// Processor time of each generator in the measured time, in microseconds.
    pub own_us: Vec<u64>,
}

/// What another process is told.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    run: Run,
    work: Work,
}

/// What it says in the end.
#[derive(Debug, Serialize, Deserialize)]
struct Done {
    tally: Tally,
    own_us: u64,
}

/// Asks, by as many generators as the run says. `at` is called when the measured time of the first begins, and when that of the last has ended.
pub fn run(run: &Run, work: Work, mut at: impl FnMut(Edge)) -> anyhow::Result<Driven> {
    let of = run.generators.min(run.connections);
    if of <= 1 {
        let Done { tally, own_us } = alone(run, work, at)?;
        return Ok(Driven { tally, own_us: vec![own_us] });
    }
    let program = std::env::current_exe()?;
    let mut others = Vec::with_capacity(of);
    for (number, work) in work.parts(of, run.connections).into_iter().enumerate() {
        others.push(Other::start(&program, &Order { run: run.share(number, of), work })?);
    }
    others.iter_mut().try_for_each(|other| other.comes_to(CONNECTED))?;
    at(Edge::Connected);
    others.iter_mut().try_for_each(Other::go)?;
    for (number, other) in others.iter_mut().enumerate() {
        other.comes_to(BEGINS)?;
        if number == 0 {
            at(Edge::Begins);
        }
    }
    others.iter_mut().try_for_each(|other| other.comes_to(ENDS))?;
    at(Edge::Ends);
    let mut driven = Driven::default();
    for other in &mut others {
        let Done { tally, own_us } = serde_json::from_str(&other.line()?)?;
        driven.tally.add(&tally);
        driven.own_us.push(own_us);
    }
    Ok(driven)
}

/// In this thread.
fn alone(run: &Run, work: Work, mut at: impl FnMut(Edge)) -> anyhow::Result<Done> {
    let mut times = Vec::with_capacity(2);
    let tally = work.run(run, |edge| {
        if edge != Edge::Connected {
            times.push(thread_cpu_us());
        }
        at(edge);
    })?;
    let [before, after] = <[_; 2]>::try_from(times).ok().context("the measured time never began or never ended")?;
    Ok(Done { tally, own_us: after - before })
}

/// The command `generate`: one of several generators. Its order is the first line that it reads.
pub fn generate() -> anyhow::Result<()> {
    let mut lines = io::stdin().lines();
    let Order { run, work } = serde_json::from_str(&lines.next().context("nobody says what to ask")??)?;
    let mut told = Ok(());
    let done = alone(&run, work, |edge| {
        if told.is_ok() {
            told = tell(edge, &mut lines);
        }
    })?;
    told?;
    say(&serde_json::to_string(&done)?)
}

/// Says how far it is; when it has connected, it waits for the others.
fn tell(edge: Edge, lines: &mut impl Iterator<Item = io::Result<String>>) -> anyhow::Result<()> {
    match edge {
        Edge::Connected => {
            say(CONNECTED)?;
            lines.next().context("nobody says when to begin")?.map(drop).map_err(Into::into)
        }
        Edge::Begins => say(BEGINS),
        Edge::Ends => say(ENDS),
    }
}

fn say(line: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// A generator in a process of its own. It ends when this is dropped.
struct Other {
    _process: Process,
    to: PipeWriter,
    from: BufReader<PipeReader>,
}

impl Other {
    fn start(program: &Path, order: &Order) -> anyhow::Result<Self> {
        let ((reads, mut to), (from, says)) = (pipe()?, pipe()?);
        let mut command = Command::new(program);
        let process = Process::start(command.arg("generate").stdin(reads).stdout(says), Signal::TERM)?;
        // It has the ends of the pipes that are its own, and nobody else may keep them open.
        drop(command);
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        to.write_all(&line)?;
        Ok(Self { _process: process, to, from: BufReader::new(from) })
    }

    fn go(&mut self) -> anyhow::Result<()> {
        Ok(self.to.write_all(GO)?)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        ensure!(self.from.read_line(&mut line)? > 0, "a generator has ended too early");
        Ok(line)
    }

    /// Waits until it is so far.
    fn comes_to(&mut self, edge: &str) -> anyhow::Result<()> {
        let line = self.line()?;
        ensure!(line.trim_end() == edge, "a generator says {line:?} instead of {edge}");
        Ok(())
    }
}
