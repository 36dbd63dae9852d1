//! `tornello serve`, and the demo that starts without a command.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, bail};
use tornello_actors::clock::{Clock, RealClock, Stopwatch};
use tornello_actors::failure::why;
use tornello_actors::fraud::Sizes;
use tornello_actors::museums::Known;
use tornello_actors::nightly;
use tornello_actors::node::{self, Node, Settings};
use tornello_api::demo::{self, DevelopmentKey};
use tornello_api::mqtt::{self, BadBroker, Broker, Link, Prefix};
use tornello_api::pagopa;
use tornello_api::pagopa::flows::{self, FlowService};
use tornello_api::pagopa::gateway::Pagopa;
use tornello_api::pagopa::reconciliation::Reconciliation;
use tornello_api::server::{self, Listening, ServerSettings};
use tornello_engine::channel::Channel;

use super::{Data, address, say, tell};

/// Where a demo listens.
const DEMO: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// How many requests one key may send at once, as a multiple of those per second.
const TWICE: NonZeroU32 = NonZeroU32::new(2).expect("not zero");

/// How often a long start says how far it is.
const TOLD_EVERY_US: i64 = 2_000_000;

/// Alerts a day, in the order of the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Alerts([u32; 5]);

impl FromStr for Alerts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut alerts = Sizes::default().alerts_per_day;
        for part in text.split(',') {
            let (name, count) = part.split_once('=').ok_or_else(|| format!("{part}: CHANNEL=N is expected"))?;
            let known = || format!("known channels are {}", Channel::ALL.map(Channel::name).join(", "));
            let channel = Channel::ALL.into_iter().find(|channel| channel.name() == name).ok_or_else(known)?;
            let outlet = tornello_actors::fraud::hearing::outlet(channel) as usize;
            let count = count.parse::<u32>().ok().filter(|count| (1..=1_000_000).contains(count));
            *alerts.get_mut(outlet).ok_or_else(known)? = count.ok_or_else(|| format!("{part}: a number from 1 on is expected"))?;
        }
        Ok(Self(alerts))
    }
}

/// Where the broker is, or why it leads to none. To the command line that is no error: what it refuses it shows whole, and a password may be in it.
fn broker(text: &str) -> Result<Result<Broker, BadBroker>, Infallible> {
    Ok(text.parse())
}

/// How many requests a second, or that there have to be some: none at all would serve nobody.
fn per_second(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| format!("a whole number from 1 to {} is expected", u32::MAX))
}

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    data: Data,
    /// The address to listen on
    #[arg(long, value_name = "ADDR", env = "TORNELLO_LISTEN", default_value_t = DEMO, value_parser = address)]
    listen: SocketAddr,
    /// Make the 25 demo museums and one development key for each role, and print the keys
    #[arg(long)]
    demo: bool,
    /// Start even if the wall clock is far from the journal's last record
    #[arg(long)]
    accept_clock: bool,
    /// Start even if batches are missing from the journal that were written and answered, and go on without them for good: what they held is lost. The lists are
    /// built again from what is left
    #[arg(long)]
    accept_loss: bool,
    /// Start even if signing.keys or master.key is missing from a folder that was in use before, and make new ones, for good. Without the old signing.keys the codes of all
    /// tickets that were sold before are good at no gate; without the old master.key no contact can be read, and buyers, devices and cards go by other pseudonyms than
    /// before. Not if there is any copy of them: put that back
    #[arg(long)]
    new_keys: bool,
    /// How many threads answer requests [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    workers: Option<u16>,
    /// The address of a listener for gates alone, with threads and limits of its own: no opening of sales slows it. It serves admissions, exits, scans, manifests and
    /// the public keys; gates may use the other one too
    #[arg(long, value_name = "ADDR", env = "TORNELLO_GATE_LISTEN", value_parser = address)]
    gate_listen: Option<SocketAddr>,
    /// How many threads answer gates there
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_024), default_value_t = 1, requires = "gate_listen")]
    gate_workers: u16,
    /// How many threads run the slots apart from those that answer; 0: none, they run where requests are answered [default: 0 on one or two cores, 1 there with
    /// --gate-listen, else one for every two threads that answer]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=1_024))]
    slot_threads: Option<u16>,
    /// How many parties (a browser, a card, a desk's operator) analysts can read of in a day because of the fraud model, by channel, as web=50,reseller=20; the line of
    /// each channel follows from it. What is not named is 10 at totems, at desks and for groups, 50 on the web and 20 of resellers
    #[arg(long, value_name = "CHANNEL=N,..", env = "TORNELLO_ALERTS_PER_DAY")]
    alerts_per_day: Option<Alerts>,
    /// How many requests per second one key may send, on average; twice as many at once [default: 2000]
    #[arg(long, value_name = "N", value_parser = per_second)]
    per_key: Option<NonZeroU32>,
    /// Follow the readings that sensors publish at this broker, as mqtt://[user:password@]host[:port]
    #[arg(long, value_name = "URL", env = "TORNELLO_MQTT", hide_env_values = true, value_parser = broker)]
    mqtt: Option<Result<Broker, BadBroker>>,
    /// Take payments by pagoPA, as this file says; needs --pagopa-listen. A demo without it has the test creditor 77777777777
    #[arg(long, value_name = "FILE", env = "TORNELLO_PAGOPA")]
    pagopa: Option<PathBuf>,
    /// The address where pagoPA's node is served at /pagopa, and nowhere else: whoever reaches it can say that a payment was made, so let only the proxy reach it
    /// that checks the platform's client certificate
    #[arg(long, value_name = "ADDR", env = "TORNELLO_PAGOPA_LISTEN", value_parser = address)]
    pagopa_listen: Option<SocketAddr>,
    /// Take in the reporting flows (FlussoRiversamento) that are put into this folder
    #[arg(long, value_name = "DIR", env = "TORNELLO_FLOWS")]
    flows: Option<PathBuf>,
    /// When schools are closed, beside what ships of Italy's regions: a table of region;from;to, both days included. A span that meets one that ships of the same region
    /// replaces it; the rest is added. A region that no museum has is told in the log; museums may be in it from then on. Forecasts follow all of it; where nothing is said of
    /// the summer, Christmas or Easter of an Italian region they assume what is usual
    #[arg(long, value_name = "FILE", env = "TORNELLO_SCHOOL_BREAKS")]
    school_breaks: Option<PathBuf>,
    /// What the topics of readings begin with
    #[arg(long, value_name = "TOPIC", env = "TORNELLO_MQTT_PREFIX", default_value_t)]
    mqtt_prefix: Prefix,
}

impl Arguments {
    /// What a start without any argument means.
    pub(super) fn demo() -> Self {
        Self {
            data: Data { folder: PathBuf::from("data") },
            listen: DEMO,
            demo: true,
            accept_clock: false,
            accept_loss: false,
            new_keys: false,
            workers: None,
            gate_listen: None,
            gate_workers: 1,
            slot_threads: None,
            alerts_per_day: None,
            per_key: None,
            mqtt: None,
            pagopa: None,
            pagopa_listen: None,
            flows: None,
            school_breaks: None,
            mqtt_prefix: Prefix::default(),
        }
    }

    /// What connects to pagoPA: a demo has the platform's test creditor and reaches nobody.
    fn pagopa(&self) -> anyhow::Result<Option<Arc<Pagopa>>> {
        let settings = match &self.pagopa {
            Some(path) => pagopa::settings::Settings::load(path, |name| std::env::var(name).ok())
                .with_context(|| format!("{} cannot be used", path.display()))?,
            None if self.demo => Pagopa::demo_settings()?,
            None => return Ok(None),
        };
        Ok(Some(Arc::new(Pagopa::new(settings)?)))
    }

    /// Where the station is served; none: on the listener for everybody, as only a demo may.
    fn station(&self) -> anyhow::Result<Option<SocketAddr>> {
        match self.pagopa_listen {
            Some(_) if self.pagopa.is_none() && !self.demo => bail!("--pagopa-listen is for creditors: name them with --pagopa FILE"),
            Some(station) if [Some(self.listen), self.gate_listen].contains(&Some(station)) && station.port() != 0 => {
                bail!("{station} is where others come: give --pagopa-listen an address that only the proxy reaches")
            }
            None if self.pagopa.is_some() && !self.demo => bail!(
                "--pagopa needs --pagopa-listen ADDR: whoever reaches the station can say that a payment was made, so it is served on an address of its own, which only \
                the proxy may reach that checks the platform's client certificate"
            ),
            station => Ok(station),
        }
    }

    fn workers(&self) -> usize {
        self.workers.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
    }

    /// On two cores a command crosses no thread but the journal's; on more, slots do not wait behind requests, nor do they where gates must not.
    fn slot_threads(&self) -> usize {
        let workers = self.workers();
        let usual = if workers > 2 { workers.div_ceil(2) } else { usize::from(self.gate_listen.is_some()) };
        self.slot_threads.map_or(usual, usize::from)
    }

    fn settings(&self) -> ServerSettings {
        let gates = self.gate_listen.map(|listen| (listen, usize::from(self.gate_workers)));
        let usual = ServerSettings { workers: self.workers(), gates, lend_threads: self.slot_threads() == 0, ..ServerSettings::new(self.listen) };
        self.per_key.map_or(usual.clone(), |per_second| ServerSettings { per_second, burst: per_second.saturating_mul(TWICE), ..usual })
    }
}

/// Serves until it is told to stop.
pub(super) async fn serve(arguments: Arguments) -> anyhow::Result<()> {
    let (data, listen) = (&arguments.data.folder, arguments.listen);
    let station = arguments.station()?;
    let broker = arguments.mqtt.clone().transpose().context("--mqtt")?;
    can_listen([("--listen", Some(listen)), ("--gate-listen", arguments.gate_listen), ("--pagopa-listen", station)])?;
    let pagopa = arguments.pagopa()?;
    if arguments.flows.is_some() && pagopa.is_none() {
        bail!("flows are for creditors: name them with --pagopa FILE");
    }
    let (school_breaks, named_regions) = super::school_breaks::known(arguments.school_breaks.as_deref())?;
    let named = pagopa.as_ref().and_then(|pagopa| pagopa.settings().flows.as_ref());
    let flow_service = named.map(FlowService::new).transpose().context("flows cannot be fetched from this machine")?;
    let clock = Arc::new(RealClock::start());
    let usual = Settings::new(data);
    let scoring = arguments.alerts_per_day.map_or(usual.scoring, |Alerts(alerts_per_day)| Sizes { alerts_per_day, ..usual.scoring });
    let Arguments { accept_clock, accept_loss, new_keys, .. } = arguments;
    let settings = Settings { arbiters: arguments.slot_threads(), accept_clock, accept_loss, new_keys, scoring, ..usual };
    let started = clock.now();
    let mut told = started;
    let progress = |batch| {
        let now = clock.now();
        if now.micros_since(told) >= TOLD_EVERY_US {
            told = now;
            tracing::info!(batch, "checking the journal");
        }
    };
    let running = Node::start(&settings, Arc::clone(&clock) as _, progress).await?;
    let keeping_time = tokio::spawn(node::keep_time(Arc::clone(&clock)));
    let node = Arc::clone(running.node());
    let keeping_watch = tokio::spawn(node::keep_watch(Arc::clone(&node)));
    node.forecaster().know_school_breaks(school_breaks);
    let checked = node.started();
    let (records, ms) = (checked.records, clock.now().micros_since(started) / 1_000);
    tracing::info!(records, batches = checked.head.number, museums = node.museums().all().len(), ms, "the journal is sound");
    let keys = if arguments.demo {
        demo::seed(&node).await?;
        if let Err(error) = demo::simulate_attendance(&node).await {
            tracing::error!(%error, "the demo has no attendance to forecast from");
        }
        development_keys(&node, data).await?
    } else {
        Vec::new()
    };
    warn_of_regions(&node, &named_regions);
    if let Some(files) = node.files() {
        // For `tornello keys create`, which knows nothing of the journal.
        let museums: Vec<_> = node.museums().all().iter().map(|known| known.museum.id()).collect();
        if let Err(error) = files.keys.note_museums(&museums).await {
            tracing::warn!(error = %why(&error), "the keys were not told which museums there are");
        }
    }
    let mqtt = broker.map(|broker| (broker, Link::default()));
    let batches = node.started().head.number;
    let kept = match &pagopa {
        Some(_) => Some(Reconciliation::open(data, batches).with_context(|| format!("flows cannot be kept in {}", data.display()))?),
        None => Reconciliation::left_in(data, batches).unwrap_or_else(|error| {
            tracing::error!(%error, "statements of the bank that are due cannot be erased");
            None
        }),
    };
    let kept = kept.map(Arc::new);
    let settings = ServerSettings {
        station,
        mqtt: mqtt.as_ref().map(|(_, link)| link.clone()),
        pagopa: pagopa.clone(),
        reconciliation: kept.clone().filter(|_| pagopa.is_some()),
        regions: named_regions,
        ..arguments.settings()
    };
    let (server, Listening { all: listen, gates, station }) = start_server(Arc::clone(&node), &settings)?;
    let following = mqtt.map(|(broker, link)| tokio::spawn(mqtt::follow(Arc::clone(&node), broker, arguments.mqtt_prefix, link)));
    let sweeping = kept.map(|kept| {
        let (node, folder) = (Arc::clone(&node), arguments.flows.clone());
        tokio::spawn(async move {
            let connected = async {
                let Some(pagopa) = &pagopa else { return };
                let fetching = async {
                    if let Some(service) = &flow_service {
                        flows::follow(service, &node, pagopa.settings(), &kept).await;
                    }
                };
                tokio::join!(kept.follow(&node, pagopa.settings(), folder.as_deref()), fetching);
            };
            tokio::join!(kept.keep_erasing(&node), connected);
        })
    });
    let planning = {
        let node = Arc::clone(&node);
        tokio::spawn(async move { nightly::keep_planning(&node).await })
    };
    tell(format_args!("Tornello {} on http://{listen}, data in {}", env!("CARGO_PKG_VERSION"), data.display()));
    if let Some(gates) = gates {
        tell(format_args!("Gates have a listener of their own on http://{gates}"));
    }
    if let Some(station) = station {
        tell(format_args!("pagoPA's node is served at http://{station}/pagopa: only the proxy that checks its certificate may reach it"));
    }
    if arguments.demo {
        welcome(station.is_none().then_some(listen));
        print_keys(&keys, &data.join(demo::KEYS_FILE), listen);
    } else if node.files().is_some_and(|files| files.keys.list().is_empty()) {
        tell(format_args!("There is no API key yet: make one with `tornello keys create --data {} --name NAME --role admin`", data.display()));
    }
    drop(node);
    let served = server.await;
    keeping_time.abort();
    for task in following.into_iter().chain(sweeping).chain([planning, keeping_watch]) {
        task.abort();
        // What it asked last is answered or dropped with it, before the node stops.
        let _ = task.await;
    }
    match served {
        Ok(begun) => running.stop_since(begun).await,
        Err(error) => {
            running.stop().await;
            return Err(error.into());
        }
    }
    Ok(())
}

/// Warns of regions that a file of school breaks names and no museum is in: what it says of them would be passed over.
fn warn_of_regions(node: &Node, named: &BTreeSet<String>) {
    let region = |known: &Arc<Known>| known.museum.profile().map(|profile| profile.region.clone());
    let regions: Vec<String> = node.museums().all().iter().filter_map(region).collect();
    for region in super::school_breaks::of_no_museum(named, &regions) {
        tracing::warn!(
            region,
            "the file of school breaks names a region that no museum has, so what it says of it changes no forecast: is it written as museums have it?"
        );
    }
}

/// The HTTP server on a node, and where it listens. When awaited it serves until it is told to stop, and ends after what runs is finished, with the time since then.
pub(super) fn start_server(
    node: Arc<Node>,
    settings: &ServerSettings,
) -> anyhow::Result<(impl Future<Output = std::io::Result<Stopwatch>> + use<>, Listening)> {
    server::serve(node, settings).with_context(|| format!("cannot serve on {}", settings.listen))
}

/// Whether the addresses are free that options name, also beside each other, asked before anything is made; the server itself asks again.
pub(super) fn can_listen<const N: usize>(asked: [(&str, Option<SocketAddr>); N]) -> anyhow::Result<()> {
    let mut bound = Vec::new();
    for (option, listen) in asked.into_iter().filter_map(|(option, listen)| Some((option, listen?))) {
        match TcpListener::bind(listen) {
            // Kept until all have been asked for: none is another one's.
            Ok(listener) => bound.push(listener),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                let other = SocketAddr::new(listen.ip(), listen.port().saturating_add(1));
                bail!("{listen} is in use: listen elsewhere, as with `{option} {other}`")
            }
            Err(error) => return Err(error).with_context(|| format!("cannot listen on {listen}, which `{option}` names")),
        }
    }
    Ok(())
}

/// The development keys of a data folder.
pub(super) async fn development_keys(node: &Node, data: &std::path::Path) -> anyhow::Result<Vec<DevelopmentKey>> {
    let files = node.files().context("development keys need a data folder")?;
    Ok(demo::development_keys(&files.keys, &data.join(demo::KEYS_FILE), RealClock::wall()).await?)
}

/// What whoever tries a demo should know; `open`: where the station answers everybody, if it does.
fn welcome(open: Option<SocketAddr>) {
    let said = say("The museums are real; their hours, capacities and prices are invented.\n");
    let warned = open.map_or(Ok(()), |listen| {
        say(format_args!(
            "Whoever reaches http://{listen}/pagopa can say that a payment was made, as pagoPA's node would: this is for trying out only.\n"
        ))
    });
    unread(said.and(warned));
}

pub(super) fn print_keys(keys: &[DevelopmentKey], path: &std::path::Path, listen: SocketAddr) {
    let rows: Vec<_> = keys.iter().map(|key| [key.role.to_string(), key.text.clone()]).collect();
    let told = say(format_args!("Development keys, also in {} (secret; good for all museums):\n", path.display()))
        .and_then(|()| super::print_table(["role", "key"], &rows))
        .and_then(|()| say("\nTry:\n"))
        .and_then(|()| {
            say(format_args!("  curl -H \"Authorization: Bearer KEY\" http://{listen}/v1/museums\n\nAll that can be asked: http://{listen}/docs\n"))
        });
    unread(told);
}

/// A server serves whether or not anybody reads what it says at its start.
fn unread(told: anyhow::Result<()>) {
    if let Err(error) = told {
        tracing::warn!(%error, "what is said at the start was not all said");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser, Debug)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn how_much_analysts_read_is_said_by_channel() {
        for (text, expected) in [
            ("web=80", Ok([80, 10, 10, 10, 20])),
            ("reseller=5,box_office=3", Ok([50, 10, 3, 10, 5])),
            ("web", Err("web: CHANNEL=N is expected")),
            ("web=0", Err("web=0: a number from 1 on is expected")),
            ("internet=5", Err("known channels are web, kiosk, box_office, group, reseller")),
        ] {
            assert_eq!(text.parse::<Alerts>(), expected.map(Alerts).map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn an_address_has_a_port_and_no_name() {
        for text in ["localhost:8080", ":8080", "8080", "127.0.0.1"] {
            let told = Line::try_parse_from(["serve", "--listen", text]).unwrap_err().to_string();
            assert!(told.contains("as 127.0.0.1:8080"), "{text}: {told}");
        }
    }

    #[test]
    fn a_key_may_send_some_requests_a_second() {
        for (text, expected) in [("1", NonZeroU32::new(1)), ("0", None), ("-1", None), ("4294967296", None), ("many", None)] {
            match Line::try_parse_from(["serve".to_owned(), format!("--per-key={text}")]) {
                Ok(line) => assert_eq!(line.arguments.per_key, expected, "{text}"),
                Err(told) => assert!(expected.is_none() && told.to_string().contains("from 1 to 4294967295 is expected"), "{text}: {told}"),
            }
        }
    }

    #[test]
    fn of_an_address_in_use_the_option_that_names_it_is_told() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for (asked, option) in
            [([("--listen", Some(free)), ("--gate-listen", Some(free))], "--gate-listen"), ([("--listen", None), ("--gate-listen", None)], "")]
        {
            match can_listen(asked) {
                Ok(()) => assert_eq!(option, ""),
                Err(told) => assert!(told.to_string().contains(&format!("as with `{option} 127.0.0.1:")), "{told}"),
            }
        }
    }

    fn station(line: &str) -> Result<Option<SocketAddr>, String> {
        let Line { arguments } = Line::try_parse_from(std::iter::once("serve").chain(line.split_whitespace())).unwrap();
        arguments.station().map_err(|error| error.to_string())
    }

    #[test]
    fn whoever_reaches_the_station_is_believed_so_only_a_demo_serves_it_to_everybody() {
        let apart: SocketAddr = "127.0.0.1:8090".parse().unwrap();
        for (line, expected) in [
            ("", Ok(None)),
            ("--demo", Ok(None)),
            ("--demo --pagopa p.toml", Ok(None)),
            ("--pagopa p.toml --pagopa-listen 127.0.0.1:8090", Ok(Some(apart))),
            ("--demo --pagopa-listen 127.0.0.1:8090", Ok(Some(apart))),
            ("--pagopa p.toml", Err("--pagopa needs --pagopa-listen ADDR: ")),
            ("--pagopa-listen 127.0.0.1:8090", Err("--pagopa-listen is for creditors")),
            ("--pagopa p.toml --listen 127.0.0.1:8090 --pagopa-listen 127.0.0.1:8090", Err("127.0.0.1:8090 is where others come")),
            ("--pagopa p.toml --gate-listen 127.0.0.1:8090 --pagopa-listen 127.0.0.1:8090", Err("127.0.0.1:8090 is where others come")),
        ] {
            match (station(line), expected) {
                (Err(told), Err(expected)) => assert!(told.starts_with(expected), "{line}: {told}"),
                (found, expected) => assert_eq!(found, expected.map_err(str::to_owned), "{line}"),
            }
        }
    }
}
