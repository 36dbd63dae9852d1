//! Processes that a bench starts: what they cost, and that none is left behind.

use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take to stop when asked to.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// A process of ours. It is told to stop when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    signal: Signal,
}

impl Process {
    /// Starts it; `signal` asks it to stop.
    pub fn start(command: &mut Command, signal: Signal) -> anyhow::Result<Self> {
        let child = command.spawn().with_context(|| format!("cannot start {:?}", command.get_program()))?;
        Ok(Self { child, signal })
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error if it has ended.
    pub fn alive(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("a process ended too early: {status}"),
        }
    }

    /// The memory that it has, in MiB.
    pub fn memory_mib(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kib / 1_024.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.id() as i32)
            && matches!(self.child.try_wait(), Ok(None))
        {
            let _ = kill_process(pid, self.signal);
        }
        let asked = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if asked.elapsed() > STOP_WITHIN {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The processor time of some processes and all that descend from them, in microseconds; in steps of a clock tick, which is 10 ms almost everywhere.
pub fn cpu_us(roots: &[u32]) -> anyhow::Result<u64> {
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(id) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
        // It may have ended since.
        let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else { continue };
        // The name may contain spaces and brackets; what counts follows the last one.
        let Some((_, fields)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<&str> = fields.split(' ').collect();
        let number = |field: usize| fields.get(field).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
        // Its own time, and that of its children that have ended.
        processes.push((id, number(1) as u32, (11..=14).map(number).sum::<u64>()));
    }
    let mut ours: Vec<u32> = roots.to_vec();
    let mut next = 0;
    while let Some(parent) = ours.get(next).copied() {
        ours.extend(processes.iter().filter(|process| process.1 == parent).map(|process| process.0));
        next += 1;
    }
    let ticks: u64 = processes.iter().filter(|process| ours.contains(&process.0)).map(|process| process.2).sum();
    Ok(ticks * 1_000_000 / rustix::param::clock_ticks_per_second())
}

/// The processor time of the thread that asks, in microseconds: a generator is one thread, and beside it there may be others here.
pub fn thread_cpu_us() -> u64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    spent.tv_sec as u64 * 1_000_000 + spent.tv_nsec as u64 / 1_000
}
