//! What is measured: Tornello on a fresh folder, or a front with what stands behind it; started on free ports, stopped when dropped.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::front::{self, postgres};
use crate::http::must;
use crate::process::Process;
use crate::watched::Watched;

/// The most places that a slot can have.
pub const PLACES: u64 = 100_000;
/// More requests than any key sends.
const PER_KEY: &str = "1000000000";
/// Where it writes its log, in the data folder.
const LOG: &str = "bench.log";
/// Where it reads of its station of pagoPA, in the data folder, if it has one.
const PAGOPA: &str = "pagopa.toml";
/// The platform's test creditor.
const STATION: &str = r#"
broker = "77777777777"
station = "77777777777_01"

[[creditors]]
number = 1
fiscal_code = "77777777777"
company_name = "Musei di prova"
segregation = "00"
iban = "IT60X0542811101000000123456"
taxonomy = "9/0000000IM/"
"#;
/// How long a server may take until it listens.
const START_WITHIN: Duration = Duration::from_secs(60);

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Which {
    /// At a desk, to people who are not named
    Tornello,
    /// The same program, over the web: buyers, devices, cards and networks are named, and buyers are limited
    Web,
    Ceiling,
    Postgres,
    Redis,
}

impl Which {
    /// Whether it is the program that is measured, and not one beside it.
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::Tornello | Self::Web)
    }
}

/// The tickets, the open holds and the places of a day that one buyer of [`Which::Web`] may have: more than any has, so that they are counted and nobody is refused.
const BUYER_MAX: u16 = 1_000;

/// Where things are on this machine.
#[derive(Debug, Clone, clap::Args)]
pub struct Place {
    /// The folder under which data is kept, on the disk that is to be measured [default: the folder for temporary files]
    #[arg(long, value_name = "DIR", global = true)]
    folder: Option<PathBuf>,
    /// The program that is measured [default: the `tornello` beside this program]
    #[arg(long, value_name = "FILE", global = true)]
    tornello: Option<PathBuf>,
    /// How many threads answer in each server [default: one for each core]
    #[arg(long, value_name = "N", global = true)]
    workers: Option<usize>,
    /// How many connections the front over PostgreSQL has
    #[arg(long, value_name = "N", global = true, default_value_t = 32)]
    connections: usize,
    /// How many processes ask; more than one if the table says that one may be the limit, and there are cores for them
    #[arg(long, value_name = "N", global = true, default_value_t = NonZeroUsize::MIN)]
    generators: NonZeroUsize,
}

impl Place {
    /// A new empty folder.
    pub fn folder(&self) -> anyhow::Result<TempDir> {
        let under = self.folder.clone().unwrap_or_else(std::env::temp_dir);
        tempfile::Builder::new().prefix("tornello-bench-").tempdir_in(&under).with_context(|| format!("no folder under {}", under.display()))
    }

    /// The program.
    pub fn tornello(&self) -> anyhow::Result<PathBuf> {
        let found = match &self.tornello {
            Some(path) => path.clone(),
            // This program stands in target/dist/deps.
            None => std::env::current_exe()?.parent().and_then(Path::parent).context("no folder above")?.join("tornello"),
        };
        if !found.is_file() {
            bail!("there is no {}: build it with `cargo build --profile dist`, or name it with --tornello", found.display());
        }
        Ok(found)
    }

    /// How many threads answer.
    pub fn workers(&self) -> usize {
        self.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// How many processes ask.
    pub fn generators(&self) -> usize {
        self.generators.get()
    }

    /// The same with another number of connections to PostgreSQL.
    pub fn with_connections(&self, connections: usize) -> Self {
        Self { connections, ..self.clone() }
    }
}

/// A server that runs.
pub struct Target {
    pub which: Which,
    pub address: SocketAddr,
    /// What sells.
    pub seller: String,
    /// Slots that nobody has used, with [`PLACES`] each.
    slots: Vec<String>,
    made: usize,
    // Dropped in this order: who asks before who answers, and the folder last.
    pub front: Process,
    behind: Option<Process>,
    _folder: TempDir,
}

impl Target {
    /// Starts one.
    pub fn start(which: Which, place: &Place) -> anyhow::Result<Self> {
        if which.is_ours() {
            let installed = Installed::new(place)?;
            let is_web = which == Which::Web;
            installed.open_museum_with(1, 1, true, is_web.then_some(BUYER_MAX))?;
            let slots = installed.free_slots(1)?;
            let Installed { front, address, box_office, web, folder, .. } = installed;
            let seller = if is_web { web } else { box_office };
            return Ok(Self { which, address, seller, slots, made: 0, front, behind: None, _folder: folder });
        }
        let folder = place.folder()?;
        let (behind, arguments) = match which {
            Which::Postgres => {
                let postgres = start_postgres(folder.path())?;
                (Some(postgres), vec!["postgres".into(), folder.path().display().to_string(), place.connections.to_string()])
            }
            Which::Redis => {
                let (redis, socket) = start_redis(folder.path())?;
                (Some(redis), vec!["redis".into(), socket])
            }
            Which::Ceiling | Which::Tornello | Which::Web => (None, vec!["ceiling".into()]),
        };
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("front").args(["--workers", &place.workers().to_string()]).args(arguments).stdin(Stdio::null());
        let (reader, writer) = std::io::pipe()?;
        let front = Process::start(command.stdout(writer), Signal::TERM)?;
        drop(command);
        let mut line = String::new();
        BufReader::new(reader).read_line(&mut line)?;
        let address = line.trim().parse().context("the front does not say where it listens")?;
        Ok(Self { which, address, seller: front::BEARER.to_owned(), slots: Vec::new(), made: 0, front, behind, _folder: folder })
    }

    /// Whose cost counts.
    pub fn watched(&self) -> Watched {
        let processes = [Some(&self.front), self.behind.as_ref()].into_iter().flatten().map(Process::id).collect();
        Watched { processes, lists: self.which.is_ours().then(|| (self.address, self.seller.clone())) }
    }

    /// A slot with [`PLACES`] places of which nobody has taken one.
    pub fn fresh_slot(&mut self) -> anyhow::Result<String> {
        if self.which.is_ours() {
            return self.slots.pop().context("no fresh slot is left");
        }
        self.made += 1;
        let slot = format!("{:013}", self.made);
        if self.which != Which::Ceiling {
            must(self.address, "PUT", &format!("/v1/slots/{slot}/capacity"), &self.seller, Some(&json!({"capacity": PLACES})))?;
        }
        Ok(slot)
    }

    /// How many places of a slot are sold; nothing if it keeps no count.
    pub fn sold(&self, slot: &str) -> anyhow::Result<Option<u64>> {
        if self.which == Which::Ceiling {
            return Ok(None);
        }
        let seen = must(self.address, "GET", &format!("/v1/slots/{slot}"), &self.seller, None)?;
        Ok(Some(seen["sold"].as_u64().with_context(|| format!("no count of what is sold: {seen}"))?))
    }
}

/// The address that stands between two texts in a line of what a server has logged.
fn address_in(log: &str, before: &str, after: &str) -> Option<SocketAddr> {
    log.lines().find_map(|line| line.split_once(before)?.1.split_once(after)?.0.parse().ok())
}

/// A Tornello with keys and nothing else.
pub struct Installed {
    pub front: Process,
    pub address: SocketAddr,
    pub admin: String,
    pub box_office: String,
    pub web: String,
    pub gate: String,
    pub sensor: String,
    /// From the start of the process until it said that it listens.
    pub started_in: Duration,
    pub folder: TempDir,
    /// Whether gates have a listener of their own.
    gates_apart: bool,
}

impl Installed {
    /// Makes keys in a fresh folder and starts.
    pub fn new(place: &Place) -> anyhow::Result<Self> {
        Self::made(place.folder()?, place, false)
    }

    /// The same with a listener for gates alone.
    pub fn with_gates_apart(place: &Place) -> anyhow::Result<Self> {
        Self::made(place.folder()?, place, true)
    }

    /// The same with a station of pagoPA.
    pub fn with_station(place: &Place) -> anyhow::Result<Self> {
        let folder = place.folder()?;
        fs::write(folder.path().join(PAGOPA), STATION)?;
        Self::made(folder, place, false)
    }

    fn made(folder: TempDir, place: &Place, gates_apart: bool) -> anyhow::Result<Self> {
        let program = place.tornello()?;
        let key = |role: &str| {
            let mut command = Command::new(&program);
            let made = command.args(["keys", "create", "--name", "bench", "--role", role, "--data"]).arg(folder.path()).output()?;
            if !made.status.success() {
                bail!("no key: {}", String::from_utf8_lossy(&made.stderr));
            }
            Ok(String::from_utf8(made.stdout)?.trim().to_owned())
        };
        let (admin, box_office, web, gate, sensor) = (key("admin")?, key("box_office")?, key("web")?, key("gate")?, key("sensor")?);
        let (front, address, started_in) = start_tornello(place, folder.path(), gates_apart)?;
        Ok(Self { front, address, admin, box_office, web, gate, sensor, started_in, folder, gates_apart })
    }

    /// Starts again on the same folder after a stop.
    pub fn restart(self, place: &Place) -> anyhow::Result<Self> {
        self.stopped(|_| Ok(()), place)
    }

    /// Stops, does something with the data folder, and starts again.
    pub fn stopped(self, act: impl FnOnce(&Path) -> anyhow::Result<()>, place: &Place) -> anyhow::Result<Self> {
        let Self { front, admin, box_office, web, gate, sensor, folder, gates_apart, .. } = self;
        drop(front);
        act(folder.path())?;
        let (front, address, started_in) = start_tornello(place, folder.path(), gates_apart)?;
        Ok(Self { front, address, admin, box_office, web, gate, sensor, started_in, folder, gates_apart })
    }

    /// Whose cost counts.
    pub fn watched(&self) -> Watched {
        Watched { processes: vec![self.front.id()], lists: Some((self.address, self.box_office.clone())) }
    }

    /// Where gates come: if they have a listener of their own, its log says where.
    pub fn gates(&self) -> anyhow::Result<SocketAddr> {
        if !self.gates_apart {
            return Ok(self.address);
        }
        let log = fs::read_to_string(self.folder.path().join(LOG))?;
        let said = log.lines().find_map(|line| line.split_once("a listener of their own on http://")?.1.trim().parse().ok());
        said.with_context(|| format!("the log names no listener for gates: {log}"))
    }

    /// How many records it found in the journal when it started, as its log says.
    pub fn records(&self) -> anyhow::Result<u64> {
        let log = fs::read_to_string(self.folder.path().join(LOG))?;
        let said = log.lines().find_map(|line| line.split_once("records=")?.1.split(' ').next()?.parse().ok());
        said.with_context(|| format!("the log does not say how many records there are: {log}"))
    }

    /// Where it serves its station, as its log says.
    pub fn station(&self) -> anyhow::Result<SocketAddr> {
        let log = fs::read_to_string(self.folder.path().join(LOG))?;
        address_in(&log, "served at http://", "/pagopa").with_context(|| format!("the log names no station: {log}"))
    }

    /// Registers a museum that is open from 9 to 19 or around the clock, in slots of half an hour with [`PLACES`] places, at the full price, and free of charge
    /// for whoever is under age.
    pub fn open_museum(&self, number: u16, routes: u16, all_day: bool) -> anyhow::Result<()> {
        self.open_museum_with(number, routes, all_day, None)
    }

    /// The same; with a limit, one buyer may have so many tickets and open holds, and so many places of a day.
    fn open_museum_with(&self, number: u16, routes: u16, all_day: bool, buyer_max: Option<u16>) -> anyhow::Result<()> {
        let today = today()?;
        let profile = json!({"slug": format!("bench-{number}"), "name": format!("Bench {number}"), "city": "Roma", "region": "Lazio",
            "latitude_microdeg": 41_900_000, "longitude_microdeg": 12_480_000});
        must(self.address, "POST", "/v1/museums", &self.admin, Some(&json!({"number": number, "profile": profile})))?;
        let (opens, closes, last) = if all_day { ("00:00", "00:00", "23:30") } else { ("09:00", "19:00", "18:30") };
        let session = json!([{"opens": opens, "closes": closes, "slot_minutes": 30, "last_entry": last, "capacity": PLACES}]);
        let days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
        let week: Value = days.into_iter().map(|day| (day.to_owned(), session.clone())).collect::<serde_json::Map<_, _>>().into();
        let policy = json!({"party_max": 1_000, "sale_opens_s": 365 * 86_400,
            "buyer_tickets_max": buyer_max, "buyer_holds_max": buyer_max, "buyer_day_max": buyer_max});
        let route =
            |n: u16| json!({"number": n, "code": format!("route-{n}"), "name": {"it": "Percorso", "en": "Route"}, "week": week, "policy": policy});
        let plan = json!({"valid_from": today, "plan": {"routes": (1..=routes).map(route).collect::<Vec<_>>()}});
        must(self.address, "PUT", &format!("/v1/museums/{number}/plan"), &self.admin, Some(&plan))?;
        let full = json!({"code": "full", "name": {"it": "Intero", "en": "Full"}, "kind": "full", "price_cents": 1_200});
        let free = json!({"code": "under-18", "name": {"it": "Minorenni", "en": "Under 18"}, "kind": "free", "price_cents": 0, "proof": "age"});
        let tariff = json!({"valid_from": today, "tariff": {"categories": [full, free], "free_day_booking": "recommended"}});
        must(self.address, "PUT", &format!("/v1/museums/{number}/tariff"), &self.admin, Some(&tariff))?;
        Ok(())
    }

    /// Slots of the next days in which nothing has happened.
    pub fn free_slots(&self, museum: u16) -> anyhow::Result<Vec<String>> {
        let (from, to) = (days_ahead(2)?, days_ahead(12)?);
        let seen = must(self.address, "GET", &format!("/v1/museums/{museum}/availability?from={from}&to={to}"), &self.box_office, None)?;
        let slots: Vec<String> = seen["items"].as_array().into_iter().flatten().filter_map(|slot| slot["slot"].as_str().map(str::to_owned)).collect();
        if slots.is_empty() {
            bail!("no slots: {seen}");
        }
        Ok(slots)
    }
}

/// The day in Rome.
fn today() -> anyhow::Result<jiff::civil::Date> {
    Ok(jiff::Zoned::now().in_tz("Europe/Rome")?.date())
}

/// The day in Rome, some days on.
pub fn days_ahead(days: i64) -> anyhow::Result<jiff::civil::Date> {
    Ok(today()?.checked_add(jiff::Span::new().days(days))?)
}

fn start_tornello(place: &Place, data: &Path, gates_apart: bool) -> anyhow::Result<(Process, SocketAddr, Duration)> {
    let log = data.join(LOG);
    let mut command = Command::new(place.tornello()?);
    command.args(["serve", "--listen", "127.0.0.1:0", "--per-key", PER_KEY, "--workers", &place.workers().to_string(), "--data"]).arg(data);
    if data.join(PAGOPA).is_file() {
        command.arg("--pagopa").arg(data.join(PAGOPA)).args(["--pagopa-listen", "127.0.0.1:0"]);
    }
    if gates_apart {
        command.args(["--gate-listen", "127.0.0.1:0"]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?).env_remove("RUST_LOG");
    let started = Instant::now();
    let mut front = Process::start(&mut command, Signal::TERM)?;
    while started.elapsed() < START_WITHIN {
        let said = fs::read_to_string(&log)?;
        if let Some(address) = address_in(&said, " on http://", ",") {
            return Ok((front, address, started.elapsed()));
        }
        front.alive().with_context(|| said)?;
        std::thread::sleep(Duration::from_millis(1));
    }
    bail!("it does not listen: {}", fs::read_to_string(&log)?)
}

/// A user that is not root: PostgreSQL insists on it.
fn ordinary_user() -> anyhow::Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let found = ["postgres", "nobody"].into_iter().find_map(|name| {
        let fields: Vec<&str> = users.lines().find(|line| line.starts_with(&format!("{name}:")))?.split(':').collect();
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    });
    found.map(Some).context("PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody`")
}

/// A cluster of its own, reached through a socket in the folder.
fn start_postgres(folder: &Path) -> anyhow::Result<Process> {
    let user = ordinary_user()?;
    let as_user = |program: &str| {
        let mut command = Command::new(program);
        command.current_dir(folder).stdin(Stdio::null());
        if let Some((uid, gid)) = user {
            command.uid(uid).gid(gid);
        }
        command
    };
    if let Some((uid, gid)) = user {
        std::os::unix::fs::chown(folder, Some(uid), Some(gid))?;
    }
    let cluster = folder.join("cluster");
    let made = as_user("initdb").args(["--auth=trust", "--username=bench", "--encoding=UTF8", "--locale=C", "-D"]).arg(&cluster).output();
    let made = made.context("is PostgreSQL installed, and initdb on the path?")?;
    if !made.status.success() {
        bail!("initdb: {}", String::from_utf8_lossy(&made.stderr));
    }
    // What one sets who has little memory and writes much; durable as a sale must be.
    let settings = [
        "listen_addresses=",
        "max_connections=300",
        "shared_buffers=512MB",
        "synchronous_commit=on",
        "fsync=on",
        "wal_buffers=16MB",
        "max_wal_size=4GB",
        "checkpoint_timeout=15min",
        "autovacuum=off",
        "jit=off",
        "logging_collector=off",
        "log_min_messages=fatal",
    ];
    let mut command = as_user("postgres");
    command.arg("-D").arg(&cluster).arg("-k").arg(folder).args(settings.iter().flat_map(|setting| ["-c", setting]));
    let mut postgres = Process::start(command.stdout(Stdio::null()).stderr(File::create(folder.join("postgres.log"))?), Signal::INT)?;
    let socket = folder.display().to_string();
    let started = Instant::now();
    loop {
        let made = actix_web::rt::System::new().block_on(async {
            let session = postgres::session(&socket).await?;
            anyhow::Ok(session.batch_execute(postgres::SCHEMA).await?)
        });
        match made {
            Ok(()) => return Ok(postgres),
            Err(error) if started.elapsed() > START_WITHIN => return Err(error.context("PostgreSQL cannot be reached")),
            Err(_) => postgres.alive()?,
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A server of its own, every write flushed before it is answered; answers its socket as well.
fn start_redis(folder: &Path) -> anyhow::Result<(Process, String)> {
    let socket = folder.join("redis.sock");
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--auto-aof-rewrite-percentage", "0"]);
    command.arg("--unixsocket").arg(&socket).arg("--dir").arg(folder).stdin(Stdio::null()).stdout(Stdio::null());
    let mut redis = Process::start(&mut command, Signal::TERM).context("is Redis installed, and redis-server on the path?")?;
    let started = Instant::now();
    while !socket.exists() {
        redis.alive()?;
        if started.elapsed() > START_WITHIN {
            bail!("Redis does not listen");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok((redis, socket.display().to_string()))
}
