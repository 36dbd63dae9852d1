//! The load: many connections on one thread, driven by epoll, with as little work for each request as possible, because it runs on the cores of what it measures.
//!
//! Closed loop: each of N clients asks, waits, and asks again. Open loop: units of work arrive at a rate, whatever the answers do, and the latency of each counts
//! from when it was to begin; an arrival that finds no free connection waits for one, and that counts. It knows nothing of what is asked: see [`Script`].

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;
use crate::http;

/// A connection that was not used for so long is made anew: servers close those that they have not heard of for a few seconds.
const FRESH: Duration = Duration::from_secs(2);
/// What a server says to a connection on which nothing is asked, before it closes it.
const REQUEST_TIMEOUT: u16 = 408;
/// How long answers are awaited after the last request.
const DRAIN: Duration = Duration::from_secs(10);

/// What clients ask, and what they make of the answers.
pub trait Script {
    /// Begins a unit of work: writes its first request. False: there is nothing more to do.
    fn begin(&mut self, client: usize, out: &mut Vec<u8>) -> bool;
    /// Takes an answer; may write the next request of the unit.
    fn answered(&mut self, client: usize, status: u16, body: &[u8], out: &mut Vec<u8>) -> Verdict;
}

/// What an answer means for its unit of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Done,
    /// Another request was written.
    More,
    /// It was turned away because the server has too much to do.
    Shed,
    /// This must not happen: the whole run fails.
    Wrong,
}

/// When units of work begin.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Loop {
    /// One for each connection, always.
    Closed,
    /// So many a second, at random moments, as of people who do not know each other.
    Open { per_second: f64 },
}

/// How to run.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Run {
    pub address: SocketAddr,
    pub connections: usize,
    pub pace: Loop,
    pub warm_up: Duration,
    /// How long is measured, after warming up.
    pub measured: Duration,
    /// How many processes share all that; this module is one of them.
    pub generators: usize,
    /// Which of them this is: no two of them begin at the same moments.
    pub number: usize,
}

impl Run {
    /// By one generator, without warming up.
    pub fn new(address: SocketAddr, connections: usize, pace: Loop, measured: Duration) -> Self {
        Self { address, connections, pace, warm_up: Duration::ZERO, measured, generators: 1, number: 0 }
    }

    /// What one of some generators does of it.
    pub fn share(&self, number: usize, of: usize) -> Self {
        let connections = share(self.connections, number, of);
        let pace = match self.pace {
            Loop::Closed => Loop::Closed,
            Loop::Open { per_second } => Loop::Open { per_second: per_second * connections as f64 / self.connections as f64 },
        };
        Self { connections, pace, generators: 1, number, ..*self }
    }
}

/// How many of a whole one of some has; they differ by one at most.
pub fn share(whole: usize, number: usize, of: usize) -> usize {
    whole / of + usize::from(number < whole % of)
}

/// What came of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Tally {
    /// How long was measured; less than asked for if the script ran out of work.
    pub seconds: f64,
    /// Units done in that time.
    pub done: u64,
    /// Units turned away in that time.
    pub shed: u64,
    /// Requests answered in that time.
    pub answers: u64,
    /// Units done, before and after that time too.
    pub done_ever: u64,
    /// Arrivals that never found a free connection.
    pub unsent: u64,
    /// All answers, warming up and draining too.
    pub statuses: BTreeMap<u16, u64>,
    /// Of each request of a unit that was not turned away, if it was to begin in the measured time.
    pub latency: Histogram,
}

impl Tally {
    /// Units done per second.
    pub fn rate(&self) -> f64 {
        self.done as f64 / self.seconds.max(1e-9)
    }

    /// Adds what came of another generator that ran at the same time.
    pub fn add(&mut self, other: &Self) {
        self.seconds = self.seconds.max(other.seconds);
        self.done += other.done;
        self.shed += other.shed;
        self.answers += other.answers;
        self.done_ever += other.done_ever;
        self.unsent += other.unsent;
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.latency.add_all(&other.latency);
    }
}

struct Connection {
    stream: TcpStream,
    /// What was read of an answer that is not there completely.
    read: Vec<u8>,
    /// What could not be written yet.
    unwritten: Vec<u8>,
    /// When the request that runs was to begin, if one runs.
    since: Option<u64>,
    used: Instant,
}

struct Generator<'a, S> {
    run: &'a Run,
    script: &'a mut S,
    epoll: rustix::fd::OwnedFd,
    connections: Vec<Connection>,
    started: Instant,
    /// The measured time, in nanoseconds from the start.
    from: u64,
    to: u64,
    next_arrival: u64,
    chance: u64,
    waiting: VecDeque<u64>,
    idle: VecDeque<usize>,
    busy: usize,
    out_of_work: bool,
    out: Vec<u8>,
    tally: Tally,
}

/// Runs to the end. `at` is called when all are connected, and when the measured time begins and ends. Anything unexpected, be it an answer or a broken connection, is an error.
pub fn run<S: Script>(run: &Run, script: &mut S, mut at: impl FnMut(Edge)) -> anyhow::Result<Tally> {
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let mut connections = Vec::with_capacity(run.connections);
    for number in 0..run.connections {
        connections.push(connect(&epoll, run.address, number)?);
        // A crowd at the door is not what is measured: the server has time to let them in.
        if number % 64 == 63 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    at(Edge::Connected);
    let from = run.warm_up.as_nanos() as u64;
    let mut generator = Generator {
        run,
        script,
        epoll,
        idle: (0..connections.len()).collect(),
        connections,
        started: Instant::now(),
        from,
        to: from + run.measured.as_nanos() as u64,
        next_arrival: 0,
        chance: (run.number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        waiting: VecDeque::new(),
        busy: 0,
        out_of_work: false,
        out: Vec::with_capacity(4_096),
        tally: Tally::default(),
    };
    generator.work(&mut at)?;
    Ok(generator.tally)
}

/// Nothing was asked yet, or the measured time begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    Connected,
    Begins,
    Ends,
}

fn connect(epoll: &rustix::fd::OwnedFd, address: SocketAddr, number: usize) -> anyhow::Result<Connection> {
    let stream = TcpStream::connect(address).with_context(|| format!("connection {number} to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    epoll::add(epoll, &stream, EventData::new_u64(number as u64), EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET)?;
    Ok(Connection { stream, read: Vec::new(), unwritten: Vec::new(), since: None, used: Instant::now() })
}

impl<S: Script> Generator<'_, S> {
    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    fn work(&mut self, at: &mut impl FnMut(Edge)) -> anyhow::Result<()> {
        let mut events = Vec::with_capacity(1_024);
        let mut buffer = vec![0; 1 << 18];
        let (mut begun, mut ended) = (false, false);
        let give_up = self.to + DRAIN.as_nanos() as u64;
        loop {
            let now = self.now();
            if !begun && now >= self.from {
                begun = true;
                at(Edge::Begins);
            }
            if !ended && (now >= self.to || self.out_of_work && self.busy == 0) {
                ended = true;
                self.to = self.to.min(now);
                self.tally.seconds = self.to.saturating_sub(self.from) as f64 / 1e9;
                self.tally.unsent = self.waiting.drain(..).filter(|since| (self.from..self.to).contains(since)).count() as u64;
                at(Edge::Ends);
            }
            if ended && self.busy == 0 {
                return Ok(());
            }
            if now >= give_up {
                bail!("{} requests were not answered within {DRAIN:?}", self.busy);
            }
            if !ended {
                self.begin_due(now)?;
            }
            // Wake for the next arrival, or the next edge.
            let edge = if !begun {
                self.from
            } else if !ended {
                self.to
            } else {
                give_up
            };
            let until = if matches!(self.run.pace, Loop::Open { .. }) && !ended { edge.min(self.next_arrival) } else { edge };
            let wait = until.saturating_sub(self.now());
            let timeout = Timespec { tv_sec: (wait / 1_000_000_000) as i64, tv_nsec: (wait % 1_000_000_000) as i64 };
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            for &Event { flags, data } in &events {
                self.heard(data.u64() as usize, flags, &mut buffer)?;
            }
        }
    }

    /// Begins what is to begin by now.
    fn begin_due(&mut self, now: u64) -> anyhow::Result<()> {
        match self.run.pace {
            Loop::Closed => {
                while !self.out_of_work
                    && let Some(client) = self.idle.pop_front()
                {
                    self.begin(client, self.now())?;
                }
            }
            Loop::Open { per_second } => {
                while self.next_arrival <= now {
                    self.waiting.push_back(self.next_arrival);
                    // Times between arrivals that do not depend on each other are exponential.
                    self.chance ^= self.chance << 13;
                    self.chance ^= self.chance >> 7;
                    self.chance ^= self.chance << 17;
                    let uniform = ((self.chance >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
                    self.next_arrival += (-uniform.ln() / per_second * 1e9) as u64;
                }
                while !self.out_of_work && !self.waiting.is_empty() && !self.idle.is_empty() {
                    let (Some(since), Some(client)) = (self.waiting.pop_front(), self.idle.pop_front()) else { break };
                    self.begin(client, since)?;
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, client: usize, since: u64) -> anyhow::Result<()> {
        self.out.clear();
        if self.script.begin(client, &mut self.out) {
            self.busy += 1;
            if self.connections[client].used.elapsed() > FRESH {
                self.connections[client] = connect(&self.epoll, self.run.address, client)?;
            }
            self.send(client, since)
        } else {
            self.out_of_work = true;
            Ok(())
        }
    }

    fn send(&mut self, client: usize, since: u64) -> anyhow::Result<()> {
        let connection = &mut self.connections[client];
        connection.since = Some(since);
        let written = match connection.stream.write(&self.out) {
            Ok(written) => written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error).context("a request could not be sent"),
        };
        connection.unwritten.extend_from_slice(&self.out[written..]);
        Ok(())
    }

    fn heard(&mut self, client: usize, flags: EventFlags, buffer: &mut [u8]) -> anyhow::Result<()> {
        if flags.contains(EventFlags::OUT) && !self.connections[client].unwritten.is_empty() {
            self.write_on(client)?;
        }
        if flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
            self.read_all(client, buffer)?;
        }
        Ok(())
    }

    fn write_on(&mut self, client: usize) -> anyhow::Result<()> {
        let connection = &mut self.connections[client];
        while !connection.unwritten.is_empty() {
            match connection.stream.write(&connection.unwritten) {
                Ok(written) => drop(connection.unwritten.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("a request could not be sent"),
            }
        }
        Ok(())
    }

    fn read_all(&mut self, client: usize, buffer: &mut [u8]) -> anyhow::Result<()> {
        loop {
            let length = match self.connections[client].stream.read(buffer) {
                Ok(0) => return self.closed(client),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return self.closed(client),
                Err(error) => return Err(error).context("an answer could not be read"),
            };
            self.take(client, &buffer[..length])?;
            // Less than there was room for: there is nothing more, and what comes now makes a new event.
            if length < buffer.len() {
                return Ok(());
            }
        }
    }

    /// A server may close a connection that it has not heard of for a while; not one on which it owes an answer.
    fn closed(&mut self, client: usize) -> anyhow::Result<()> {
        if self.connections[client].since.is_some() {
            bail!("the server closed a connection instead of answering");
        }
        self.connections[client] = connect(&self.epoll, self.run.address, client)?;
        Ok(())
    }

    fn take(&mut self, client: usize, read: &[u8]) -> anyhow::Result<()> {
        let mut before = std::mem::take(&mut self.connections[client].read);
        if before.is_empty() {
            // As almost always: one answer in one piece.
            match http::answer(read)? {
                Some(answer) if answer.length == read.len() => return self.answered(client, answer.status, answer.body),
                Some(_) => bail!("more was answered than asked"),
                None => before.extend_from_slice(read),
            }
        } else {
            before.extend_from_slice(read);
            match http::answer(&before)? {
                Some(answer) if answer.length == before.len() => self.answered(client, answer.status, answer.body)?,
                Some(_) => bail!("more was answered than asked"),
                None => {
                    self.connections[client].read = before;
                    return Ok(());
                }
            }
            before.clear();
        }
        self.connections[client].read = before;
        Ok(())
    }

    fn answered(&mut self, client: usize, status: u16, body: &[u8]) -> anyhow::Result<()> {
        let now = self.now();
        let Some(since) = self.connections[client].since.take() else {
            ensure!(status == REQUEST_TIMEOUT, "an answer that nobody asked for: {status}");
            return Ok(());
        };
        *self.tally.statuses.entry(status).or_default() += 1;
        self.out.clear();
        let verdict = self.script.answered(client, status, body, &mut self.out);
        let measured = (self.from..self.to).contains(&now);
        self.tally.answers += u64::from(measured);
        if verdict != Verdict::Shed && (self.from..self.to).contains(&since) {
            self.tally.latency.add(now.saturating_sub(since));
        }
        match verdict {
            Verdict::More => return self.send(client, now),
            Verdict::Done => {
                self.tally.done_ever += 1;
                self.tally.done += u64::from(measured);
            }
            Verdict::Shed => self.tally.shed += u64::from(measured),
            Verdict::Wrong => bail!("unexpected answer: {status} {}", String::from_utf8_lossy(body)),
        }
        self.busy -= 1;
        self.connections[client].used = Instant::now();
        if matches!(self.run.pace, Loop::Closed) && now < self.to && !self.out_of_work {
            return self.begin(client, now);
        }
        self.idle.push_back(client);
        Ok(())
    }
}
