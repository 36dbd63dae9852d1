//! A server while it is measured: what it costs, and whether it has done all that it puts off.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::http::must;
use crate::process::cpu_us;

/// A server that has used less processor time than this in [`QUIET`] has nothing more to do, unless it says so.
const QUIET_US: u64 = 10_000;
const QUIET: Duration = Duration::from_millis(200);
/// The longest that is waited for it.
const SETTLE_WITHIN: Duration = Duration::from_secs(120);

/// Whose processor time counts, and who is asked whether lists are behind.
#[derive(Debug, Clone)]
pub struct Watched {
    /// With all that descend from them.
    pub processes: Vec<u32>,
    /// Where, and with which key; nobody if the server has no lists.
    pub lists: Option<(SocketAddr, String)>,
}

/// What a server did until it had nothing left to do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settled {
    pub took: Duration,
    /// Processor time, in microseconds.
    pub cpu_us: u64,
}

impl Watched {
    /// Its processor time until now, in microseconds.
    pub fn cpu_us(&self) -> anyhow::Result<u64> {
        cpu_us(&self.processes)
    }

    /// Waits until it has done what it does after it has answered, so that it costs nobody else. Lists rest, and are quiet meanwhile: they count as work until they have all.
    pub fn settle(&self) -> anyhow::Result<Settled> {
        let started = Instant::now();
        let begun_us = self.cpu_us()?;
        let mut before_us = begun_us;
        loop {
            std::thread::sleep(QUIET);
            let now_us = self.cpu_us()?;
            let is_quiet = now_us.saturating_sub(before_us) <= QUIET_US && self.behind()? == 0;
            let settled = Settled { took: started.elapsed().saturating_sub(QUIET), cpu_us: now_us.saturating_sub(begun_us) };
            if is_quiet {
                return Ok(settled);
            }
            if started.elapsed() > SETTLE_WITHIN {
                eprintln!("   the server is still busy after {SETTLE_WITHIN:?}");
                return Ok(settled);
            }
            before_us = now_us;
        }
    }

    /// By how many batches its lists are behind.
    fn behind(&self) -> anyhow::Result<u64> {
        let Some((address, key)) = &self.lists else { return Ok(0) };
        let status = must(*address, "GET", "/status", key, None)?;
        status["views_lag_batches"].as_u64().with_context(|| format!("no word of the lists: {status}"))
    }
}
