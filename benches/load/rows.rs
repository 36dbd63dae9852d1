//! The rows of the table, by what they are about.

pub mod gates;
pub mod million;
pub mod readings;
pub mod reads;
pub mod sales;
pub mod starts;
pub mod station;

use std::time::{Duration, Instant};

use crate::generator::{Loop, Run};
use crate::process::cpu_us;

/// Before a measurement: connections are made, caches filled.
const WARM_UP: Duration = Duration::from_millis(500);
/// A server that has used less processor time than this in [`QUIET`] has nothing more to do.
const QUIET_US: u64 = 10_000;
const QUIET: Duration = Duration::from_millis(200);
/// The longest that is waited for it.
const SETTLE_WITHIN: Duration = Duration::from_secs(30);

/// Waits until some processes have done what they do after they have answered (read models, say), so that it costs nobody else; answers how long that took.
fn settle(processes: &[u32]) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let mut before = cpu_us(processes)?;
    while started.elapsed() < SETTLE_WITHIN {
        std::thread::sleep(QUIET);
        let now = cpu_us(processes)?;
        if now - before <= QUIET_US {
            break;
        }
        before = now;
    }
    Ok(started.elapsed().saturating_sub(QUIET))
}

/// A run after warming up.
fn run(address: std::net::SocketAddr, connections: usize, pace: Loop, seconds: f64) -> Run {
    Run { address, connections, pace, warm_up: WARM_UP, measured: Duration::from_secs_f64(seconds) }
}
