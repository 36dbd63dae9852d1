//! Readings of sensors in batches of lines, and how soon somebody who watches sees them.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::generator::{Loop, Run, Script, Verdict};
use crate::histogram::Histogram;
use crate::round::{Rounds, drive};
use crate::rows::run;
use crate::table::{Aim, Bench};
use crate::target::Installed;
use crate::work::{Part, Work};

/// Lines of a batch: the most that are taken.
const LINES: usize = 10_000;
/// Who sends: each for museums of its own, because of one museum's readings a later one makes an earlier one worthless.
const SENDERS: usize = 4;
const MUSEUMS: u16 = 24;
/// Sensors of a museum.
const SENSORS: usize = 8;

/// Longer than the watcher ever waits for a reading: between rounds there are none.
const WATCHED_WITHIN: Duration = Duration::from_secs(150);

/// Batches of readings, each sender's of its own museums.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Batches {
    bearer: String,
    /// Which sender the first client is.
    first: usize,
    /// The instant of each museum's last reading, in microseconds.
    last_us: Vec<i64>,
    people: u32,
    #[serde(skip)]
    body: Vec<u8>,
}

impl Batches {
    fn new(bearer: &str) -> Self {
        Self { bearer: bearer.to_owned(), first: 0, last_us: vec![0; usize::from(MUSEUMS)], people: 0, body: Vec::new() }
    }

    /// Some of the senders.
    pub fn part(&self, part: &Part) -> Self {
        Self { first: self.first + part.before, ..self.clone() }
    }
}

impl Script for Batches {
    fn begin(&mut self, client: usize, out: &mut Vec<u8>) -> bool {
        let now = Timestamp::now().as_microsecond();
        let museums: Vec<usize> = (0..self.last_us.len()).filter(|museum| museum % SENDERS == self.first + client).collect();
        // Readings of the time since the last batch, at least a microsecond apart.
        let each = LINES.div_ceil(museums.len()) as i64;
        self.body.clear();
        for line in 0..LINES {
            let museum = museums[line % museums.len()];
            if line < museums.len() {
                self.last_us[museum] = self.last_us[museum].max(now - each);
            }
            self.last_us[museum] += 1;
            self.people = (self.people + 1) % 50_000;
            let at = Timestamp::from_microsecond(self.last_us[museum]).unwrap_or_default();
            let (number, sensor) = (museum + 1, line / museums.len() % SENSORS);
            let people = self.people;
            // Writing to memory does not fail.
            let _ = writeln!(self.body, r#"{{"museum":{number},"sensor":"s{sensor}","at":"{at:.6}","inside":{{"people":{people}}}}}"#);
        }
        let head = format!(
            "POST /v1/readings HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {}\r\ncontent-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
            self.bearer,
            self.body.len()
        );
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(&self.body);
        true
    }

    fn answered(&mut self, _: usize, status: u16, body: &[u8], _: &mut Vec<u8>) -> Verdict {
        // All of them: a batch of which some were rejected is not what is measured.
        if status == 200 && body == br#"{"accepted":10000,"rejected":[]}"# { Verdict::Done } else { Verdict::Wrong }
    }
}

/// Watches a museum until `done`: how old each estimate was when it was seen.
fn watch(address: SocketAddr, bearer: &str, done: &AtomicBool, seen: &Mutex<Histogram>) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(WATCHED_WITHIN))?;
    write!(stream, "GET /v1/live?museum=1 HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {bearer}\r\n\r\n")?;
    let mut occupancy = false;
    for line in BufReader::new(stream).lines() {
        let line = line?;
        if done.load(Ordering::Relaxed) {
            break;
        }
        if occupancy && let Some(at) = line.split_once(r#""at":""#).and_then(|(_, rest)| rest.split('"').next()?.parse::<Timestamp>().ok()) {
            let age_us = Timestamp::now().as_microsecond() - at.as_microsecond();
            if let Ok(mut seen) = seen.lock() {
                seen.add(age_us.max(0).unsigned_abs() * 1_000);
            }
        }
        occupancy = line == "event: occupancy";
    }
    Ok(())
}

/// Both.
pub fn readings(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let installed = Installed::new(bench.place)?;
    for museum in 1..=MUSEUMS {
        installed.open_museum(museum, 1, true)?;
    }
    let (done, seen) = (AtomicBool::new(false), Mutex::new(Histogram::default()));
    let mut rounds = Rounds::default();
    let send = |run: &Run| drive(&installed.watched(), run, Work::Readings(Batches::new(&installed.sensor)));
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch(installed.address, &installed.box_office, &done, &seen));
        for _ in 0..bench.rounds {
            match send(&run(bench, installed.address, SENDERS, Loop::Closed, bench.seconds)) {
                Ok(outcome) => rounds.add("", outcome),
                Err(error) => {
                    done.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        done.store(true, Ordering::Relaxed);
        // One more reading wakes the watcher, which then ends.
        send(&run(bench, installed.address, 1, Loop::Closed, 0.05))?;
        watching.join().map_err(|_| anyhow::anyhow!("the watcher panicked"))?
    })?;
    bench.limited("sensor readings/s in batches", rounds.median(|outcome| outcome.tally.rate() * LINES as f64), "/s", Aim::AtLeast(200_000.0));
    let seen = seen.into_inner().unwrap_or_default();
    bench.limited("age of a reading when seen live, p99", seen.at_ms(0.99), "ms", Aim::AtMost(1_000.0));
    Ok(())
}
