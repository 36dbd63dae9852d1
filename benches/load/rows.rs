//! The rows of the table, by what they are about.

pub mod gates;
pub mod million;
pub mod readings;
pub mod reads;
pub mod sales;
pub mod starts;
pub mod station;

use std::net::SocketAddr;
use std::time::Duration;

use crate::generator::{Loop, Run};
use crate::table::Bench;

/// Before a measurement: connections are made, caches filled.
const WARM_UP: Duration = Duration::from_millis(500);

/// A run after warming up.
fn run(bench: &Bench<'_>, address: SocketAddr, connections: usize, pace: Loop, seconds: f64) -> Run {
    let measured = Duration::from_secs_f64(seconds);
    Run { warm_up: WARM_UP, generators: bench.place.generators(), ..Run::new(address, connections, pace, measured) }
}
