//! Readings over MQTT, for sensors that speak it: a face like HTTP. It follows `<prefix>/<museum>/readings/<sensor>` at a broker and gives what comes to the node.
//!
//! One message is worked on at a time and acknowledged when its readings have been taken or turned down; what comes meanwhile waits at the broker. Nothing that a
//! message says stops the loop. Who may publish where is the broker's to say: readings from here carry the system's own key.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Packet, Publish, QoS, StateError, SubscribeReasonCode};
use serde::Deserialize;
use tokio::sync::watch;
use tornello_actors::node::Node;
use tornello_engine::ids::{Code, KeyId, MuseumId};
use tornello_engine::time::{MICROS_PER_S, Timestamp};

use crate::problem::Problem;
use crate::request::LARGE_BODY_MAX;
use crate::routes::known_by_name;
use crate::routes::readings::{CellForm, EntriesForm, FlowForm, InsideForm, LINES_MAX, MuseumName, Said, ZoneForm, reading};
use crate::strict;

/// Under which name the broker keeps what was not acknowledged; of two nodes with one name the broker serves only one.
const CLIENT: &str = "tornello";
/// A message has a topic and a little more beside its payload.
const PACKET_MAX: usize = LARGE_BODY_MAX + 64 * 1024;
/// How many requests wait for the connection: acknowledgements of what came with one look at it.
const REQUESTS: usize = 1_024;
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// How long to wait before the next try to connect: twice as long each time.
const WAIT_MIN: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Messages that cannot be used are told of once in this time.
const TOLD_EVERY_S: i64 = 60;

/// Where the broker is: `mqtt://[user:password@]host[:port]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Broker {
    host: String,
    port: u16,
    login: Option<(String, String)>,
}

/// An address that leads to no broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBroker {
    /// Of another form.
    #[error("mqtt://[user:password@]host[:port] is expected")]
    Form,
    /// With TLS.
    #[error("TLS is the business of a local bridge or proxy: give its address as mqtt://")]
    Tls,
}

impl FromStr for Broker {
    type Err = BadBroker;

    fn from_str(text: &str) -> Result<Self, BadBroker> {
        if text.starts_with("mqtts:") {
            return Err(BadBroker::Tls);
        }
        let rest = text.strip_prefix("mqtt://").ok_or(BadBroker::Form)?;
        let (login, address) = match rest.rsplit_once('@') {
            Some((login, address)) => (Some(login.split_once(':').ok_or(BadBroker::Form)?), address),
            None => (None, rest),
        };
        let address = address.strip_suffix('/').unwrap_or(address);
        let (host, port) = match address.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']')) {
            Some((host, port)) => (host, port.parse().map_err(|_| BadBroker::Form)?),
            None => (address, 1883),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let bad = host.is_empty() || host.contains(['/', '[', ']']) || port == 0 || login.is_some_and(|(user, _)| user.is_empty());
        let login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
        if bad { Err(BadBroker::Form) } else { Ok(Self { host: host.to_owned(), port, login }) }
    }
}

/// Without the login, which may hold a password.
impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mqtt://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What all topics begin with: levels of a topic without wildcards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

impl Default for Prefix {
    fn default() -> Self {
        Self("tornello".to_owned())
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text that no topic begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("levels of a topic are expected, without + and #, and without / at either end")]
pub struct BadPrefix;

impl FromStr for Prefix {
    type Err = BadPrefix;

    fn from_str(text: &str) -> Result<Self, BadPrefix> {
        let bad = text.is_empty() || text.len() > 200 || text.starts_with(['/', '$']) || text.ends_with('/') || text.contains(['+', '#', '\0']);
        if bad { Err(BadPrefix) } else { Ok(Self(text.to_owned())) }
    }
}

/// How it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Whether the broker sends what is published.
    pub connected: bool,
    /// How many readings were taken.
    pub taken: u64,
    /// How many readings and messages were not.
    pub rejected: u64,
}

/// How it goes, for those who look: what the loop publishes.
#[derive(Debug, Clone, Default)]
pub struct Link(Arc<watch::Sender<Figures>>);

impl Link {
    /// How it goes now.
    #[must_use]
    pub fn figures(&self) -> Figures {
        *self.0.borrow()
    }

    /// Follows how it goes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Figures> {
        self.0.subscribe()
    }

    fn set_connected(&self, connected: bool) {
        self.0.send_if_modified(|figures| std::mem::replace(&mut figures.connected, connected) != connected);
    }
}

/// A reading in a message: museum and sensor stand in the topic, and may be repeated here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    museum: Option<MuseumName>,
    #[serde(default)]
    sensor: Option<Code>,
    at: String,
    #[serde(default)]
    inside: Option<InsideForm>,
    #[serde(default)]
    entries: Option<EntriesForm>,
    #[serde(default)]
    flow: Option<FlowForm>,
    #[serde(default)]
    zone: Option<ZoneForm>,
    #[serde(default)]
    cell: Option<CellForm>,
}

/// Follows the broker until the task is aborted; connects again whenever the connection is lost.
pub async fn follow(node: Arc<Node>, broker: Broker, prefix: Prefix, link: Link) {
    let mut options = MqttOptions::new(CLIENT, broker.host.clone(), broker.port);
    options.set_keep_alive(KEEP_ALIVE).set_clean_session(false).set_manual_acks(true).set_max_packet_size(PACKET_MAX, PACKET_MAX);
    if let Some((user, password)) = &broker.login {
        options.set_credentials(user, password);
    }
    let (client, mut events) = AsyncClient::new(options, REQUESTS);
    let mut follower = Follower { node, prefix: prefix.0, link, told: Timestamp::MIN, untold: 0 };
    let mut wait = WAIT_MIN;
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) if events.mqtt_options.clean_session() => {
                // What waited at the broker is gone. Such a session ends with its connection, and what came before the next one would be too: so the next one begins now.
                events.mqtt_options.set_clean_session(false);
                events.clean();
            }
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                if let Err(error) = client.try_subscribe(format!("{}/+/readings/+", follower.prefix), QoS::AtLeastOnce) {
                    tracing::error!(%error, "the broker cannot be asked for readings");
                }
            }
            Ok(Event::Incoming(Packet::SubAck(answer))) if answer.return_codes.contains(&SubscribeReasonCode::Failure) => {
                tracing::error!(%broker, "the broker does not let this login follow readings: allow it to read {}/+/readings/+", follower.prefix);
            }
            Ok(Event::Incoming(Packet::SubAck(_))) => {
                tracing::info!(%broker, "readings are followed over MQTT");
                follower.link.set_connected(true);
                wait = WAIT_MIN;
            }
            Ok(Event::Incoming(Packet::Publish(message))) => {
                follower.take(&message).await;
                // An acknowledgement that is lost makes the broker send the message again, which does no harm.
                if let Err(error) = client.try_ack(&message) {
                    tracing::warn!(%error, "a message could not be acknowledged");
                }
            }
            Ok(_) => {}
            Err(error) => {
                if follower.link.figures().connected || wait == WAIT_MIN {
                    tracing::warn!(%broker, %error, "no connection to the MQTT broker; it is tried again and again");
                }
                follower.link.set_connected(false);
                leave_behind(&mut events, &error);
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(WAIT_MAX);
            }
        }
    }
}

/// A message that cannot be read would be sent again and again: a session that has nothing of what waits at the broker comes between this one and the next.
fn leave_behind(events: &mut EventLoop, error: &ConnectionError) {
    if matches!(error, ConnectionError::MqttState(StateError::Deserialization(_))) {
        tracing::error!("a message was too large or malformed; what waited at the broker with it is left behind");
        events.mqtt_options.set_clean_session(true);
    }
}

struct Follower {
    node: Arc<Node>,
    prefix: String,
    link: Link,
    /// When somebody was last told of messages that cannot be used, and how many came since.
    told: Timestamp,
    untold: u64,
}

impl Follower {
    /// Takes all readings of a message.
    async fn take(&mut self, message: &Publish) {
        let Some((museum, sensor)) = self.named(&message.topic) else {
            self.reject(&message.topic, &Problem::invalid("the topic names no museum or no sensor"));
            return;
        };
        if message.payload.len() > LARGE_BODY_MAX {
            self.reject(&message.topic, &Problem::too_large(LARGE_BODY_MAX));
            return;
        }
        // One reading may be written over several lines; several readings stand on a line each.
        let whole: &[u8] = &message.payload;
        let mut lines = if strict::from_slice::<Line>(whole).is_ok() { vec![whole] } else { whole.split(|byte| *byte == b'\n').collect() };
        lines.retain(|line| !line.trim_ascii().is_empty());
        if lines.is_empty() {
            self.reject(&message.topic, &Problem::malformed("the message is empty"));
        }
        for (number, line) in lines.into_iter().enumerate() {
            if number == LINES_MAX {
                self.reject(&message.topic, &Problem::too_large(LARGE_BODY_MAX).with("limit_lines", LINES_MAX));
                return;
            }
            match self.take_line(museum, sensor, line).await {
                Ok(()) => {
                    counter!("tornello_mqtt_readings_total", "outcome" => "taken").increment(1);
                    self.link.0.send_modify(|figures| figures.taken += 1);
                }
                Err(problem) => self.reject(&message.topic, &problem),
            }
        }
    }

    async fn take_line(&self, museum: MuseumId, sensor: Code, line: &[u8]) -> Result<(), Problem> {
        let line: Line = strict::from_slice(line).map_err(|error| Problem::of_json(&error))?;
        let other_museum = line.museum.is_some_and(|name| known_by_name(&self.node, &name.text()).is_none_or(|known| known.museum.id() != museum));
        if other_museum || line.sensor.is_some_and(|other| other != sensor) {
            return Err(Problem::invalid("the message names another museum or sensor than its topic"));
        }
        let reading = {
            let (inside, entries, flow) = (line.inside.as_ref(), line.entries.as_ref(), line.flow.as_ref());
            reading(museum, sensor, &line.at, Said { inside, entries, flow, zone: line.zone.as_ref(), cell: line.cell.as_ref() })?
        };
        self.node.read(reading, KeyId::SYSTEM).await.map(drop).map_err(Problem::from)
    }

    /// The museum and the sensor of a topic.
    fn named(&self, topic: &str) -> Option<(MuseumId, Code)> {
        let mut levels = topic.strip_prefix(&self.prefix)?.strip_prefix('/')?.split('/');
        let (museum, readings, sensor, more) = (levels.next()?, levels.next()?, levels.next()?, levels.next());
        let known = known_by_name(&self.node, museum).filter(|_| readings == "readings" && more.is_none())?;
        Some((known.museum.id(), sensor.parse().ok()?))
    }

    fn reject(&mut self, topic: &str, problem: &Problem) {
        counter!("tornello_mqtt_readings_total", "outcome" => problem.code()).increment(1);
        self.link.0.send_modify(|figures| figures.rejected += 1);
        self.untold += 1;
        let now = self.node.now();
        if now.micros_since(self.told) >= TOLD_EVERY_S * MICROS_PER_S {
            let problem = on_one_line(problem);
            tracing::warn!(topic, %problem, rejected = self.untold, "readings over MQTT were rejected; this is the last of them");
            (self.told, self.untold) = (now, 0);
        }
    }
}

/// What is wrong, as one line of a log: it may quote what was sent, and whoever sends it is to write no line there.
fn on_one_line(problem: &Problem) -> String {
    let breaks = |character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
    problem.to_string().replace(breaks, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_makes_one_line_of_a_log() {
        let sent = br#"{"at": "2026-11-23T09:00:00Z", "in\n2026-11-23T09:00:00Z ERROR \u001b[31mthe journal\u2028is lost": 1}"#;
        let problem = Problem::of_json(&strict::from_slice::<Line>(sent).unwrap_err());
        assert!(problem.to_string().contains("\n2026-11-23"), "the reader quotes it: {problem}");
        let told = on_one_line(&problem);
        assert!(told.contains("in 2026-11-23T09:00:00Z ERROR  [31mthe journal is lost"), "{told}");
        assert!(!told.contains(|character: char| character.is_control() || character == '\u{2028}'), "{told:?}");
    }

    #[test]
    fn an_address_names_host_port_and_login_and_never_shows_the_password() {
        let broker = |host: &str, port, login: Option<(&str, &str)>| {
            Ok(Broker { host: host.into(), port, login: login.map(|(user, password)| (user.into(), password.into())) })
        };
        for (text, expected) in [
            ("mqtt://localhost", broker("localhost", 1883, None)),
            ("mqtt://10.0.0.7:2883/", broker("10.0.0.7", 2883, None)),
            ("mqtt://[::1]:1884", broker("::1", 1884, None)),
            ("mqtt://doors:p@ss:w@broker:1883", broker("broker", 1883, Some(("doors", "p@ss:w")))),
            ("mqtts://broker:8883", Err(BadBroker::Tls)),
            ("broker:1883", Err(BadBroker::Form)),
            ("mqtt://", Err(BadBroker::Form)),
            ("mqtt://broker:0", Err(BadBroker::Form)),
            ("mqtt://broker:70000", Err(BadBroker::Form)),
            ("mqtt://user@broker", Err(BadBroker::Form)),
            ("mqtt://broker/topic", Err(BadBroker::Form)),
        ] {
            assert_eq!(text.parse::<Broker>(), expected, "{text}");
        }
        let shown = format!("{0} {0:?}", "mqtt://doors:secret@broker".parse::<Broker>().unwrap());
        assert!(!shown.contains("secret") && !shown.contains("doors"), "{shown}");
    }

    #[test]
    fn a_prefix_has_no_wildcards() {
        for (text, good) in
            [("tornello", true), ("it/mic", true), ("", false), ("/a", false), ("a/", false), ("a/+", false), ("#", false), ("$SYS", false)]
        {
            assert_eq!(text.parse::<Prefix>().is_ok(), good, "{text}");
        }
    }
}
