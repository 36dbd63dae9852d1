//! Readings over MQTT, with a real broker: mosquitto, started here on a free port with its own configuration, and ended by its handle.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tornello_actors::keys::Role;
use tornello_api::mqtt::{self, Figures, Link};
use tornello_api::server::{self, ServerSettings};

use crate::support::{App, TORRE, body_of, expect, settings, slot};

/// A broker of this test's own.
struct Broker {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Broker {
    fn start() -> Self {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let folder = TempDir::new().unwrap();
        let child = Self::run(port, &folder);
        Self { child, port, folder }
    }

    /// Runs mosquitto, and returns when it says that it runs.
    fn run(port: u16, folder: &TempDir) -> Child {
        let config = folder.path().join("mosquitto.conf");
        std::fs::write(&config, format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_dest stderr\n")).unwrap();
        let program = if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
        let started = Command::new(program).arg("-c").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = started.expect("mosquitto is needed for this test: tests/run installs it where it may");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.ends_with(" running")), "mosquitto ended before it ran");
        // Whatever else it says is read, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        child
    }

    fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn start_again(&mut self) {
        self.child = Self::run(self.port, &self.folder);
    }

    /// Publishes one after the other, each when the broker has the one before.
    async fn publish(&self, messages: &[(&str, String)]) {
        let mut options = MqttOptions::new("sensor", "127.0.0.1", self.port);
        options.set_keep_alive(Duration::from_secs(60)).set_max_packet_size(4_000_000, 4_000_000);
        let (client, mut events) = AsyncClient::new(options, 10);
        for (topic, payload) in messages {
            client.publish(*topic, QoS::AtLeastOnce, false, payload.as_bytes()).await.unwrap();
            while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::PubAck(_))) {}
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn until(figures: &mut watch::Receiver<Figures>, what: &str, is_so: impl FnMut(&Figures) -> bool) -> Figures {
    let waited = tokio::time::timeout(Duration::from_secs(30), figures.wait_for(is_so)).await;
    *waited.unwrap_or_else(|_| panic!("{what}: it never was so")).unwrap()
}

#[actix_rt::test]
async fn readings_arrive_bad_ones_are_counted_and_a_lost_broker_is_found_again() {
    let app = App::start().await;
    let mut broker = Broker::start();
    let link = Link::default();
    let mut figures = link.watch();
    let address: mqtt::Broker = format!("mqtt://127.0.0.1:{}", broker.port).parse().unwrap();
    let following = tokio::spawn(mqtt::follow(app.shared_node(), address.clone(), "it/mic".parse().unwrap(), link.clone()));
    let second = ServerSettings { mqtt: Some(link.clone()), ..settings() };
    let (serving, listen) = server::start(app.shared_node(), &second).unwrap();
    let (handle, serving) = (serving.handle(), actix_web::rt::spawn(serving));
    let status = || async {
        let response = app.client.get(format!("http://{listen}/status")).send().await.unwrap();
        body_of(response).await["mqtt"].clone()
    };
    until(&mut figures, "connected", |figures| figures.connected).await;
    assert_eq!(status().await, json!("connected"));

    let reading = |second: u32, people: u32| json!({"at": format!("2026-11-23T08:29:{second:02}Z"), "inside": {"people": people, "sd": 2}});
    broker.publish(&[("it/mic/torre/readings/door-1", serde_json::to_string_pretty(&reading(1, 52)).unwrap())]).await;
    until(&mut figures, "one is taken", |figures| figures.taken == 1).await;
    let desk = app.key(Role::BoxOffice).await;
    let running = app.get(&format!("/v1/slots/{}", slot(TORRE, 9)), &desk).await;
    assert_eq!((&running["live"]["sensor"], &running["live"]["inside"], &running["sellable"]), (&json!("door-1"), &json!(52), &json!(4)));
    assert_eq!(app.get("/v1/museums/torre/occupancy", &desk).await["inside"], 52);

    let with = |name: &str, value: Value| {
        let mut reading = reading(2, 1);
        reading[name] = value;
        reading.to_string()
    };
    let (door, good) = ("it/mic/1/readings/door-1", [reading(3, 40).to_string(), reading(4, 41).to_string()].join("\n"));
    let bad = [
        (door, "not json".to_owned()),
        (door, String::new()),
        (door, with("museum", json!("mare"))),
        (door, with("sensor", json!("door-2"))),
        (door, with("who", json!("x"))),
        (door, with("at", json!("noon"))),
        (door, reading(0, 9).to_string()),
        (door, " ".repeat(1_060_000)),
        ("it/mic/nowhere/readings/door-1", reading(2, 1).to_string()),
        ("it/mic/torre/readings/Door", reading(2, 1).to_string()),
    ];
    broker.publish(&bad).await;
    broker.publish(&[(door, good), (door, with("museum", json!("torre"))), ("it/mic/torre/other/door-1", reading(9, 9).to_string())]).await;
    let rejected = bad.len() as u64 + 1;
    let seen = until(&mut figures, "the good ones are taken", |figures| figures.taken + figures.rejected == 3 + rejected).await;
    assert_eq!(seen, Figures { connected: true, taken: 3, rejected });
    assert_eq!(app.node().sensors().occupancy(TORRE).unwrap().inside.people, 41);

    broker.stop();
    until(&mut figures, "the broker is lost", |figures| !figures.connected).await;
    assert_eq!(status().await, json!("disconnected"));
    let healthy = app.client.get(format!("http://{listen}/status")).send().await.unwrap();
    assert_eq!(expect(healthy, StatusCode::OK).await["title"], "it works");
    broker.start_again();
    until(&mut figures, "connected again", |figures| figures.connected).await;
    broker.publish(&[(door, reading(30, 42).to_string())]).await;
    assert_eq!(until(&mut figures, "it goes on", |figures| figures.taken == 4).await.rejected, rejected, "what was acknowledged does not come again");

    // A message beyond every limit ends the connection, and does not come again for ever.
    broker.publish(&[(door, " ".repeat(2_000_000))]).await;
    until(&mut figures, "the connection is given up", |figures| !figures.connected).await;
    until(&mut figures, "connected without it", |figures| figures.connected).await;
    broker.publish(&[(door, json!({"at": "2026-11-23T08:30:01Z", "entries": {"people": 1}}).to_string())]).await;
    until(&mut figures, "it goes on after that", |figures| figures.taken == 5).await;

    // What comes while nobody follows is kept after that too.
    following.abort();
    let _ = following.await;
    broker.publish(&[(door, json!({"at": "2026-11-23T08:30:02Z", "entries": {"people": 1}}).to_string())]).await;
    let following = tokio::spawn(mqtt::follow(app.shared_node(), address, "it/mic".parse().unwrap(), link.clone()));
    until(&mut figures, "it was kept", |figures| figures.taken == 6).await;

    let metrics = app.client.request(Method::GET, format!("http://{listen}/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("tornello_mqtt_connected 1") && metrics.contains("tornello_mqtt_readings_total{outcome=\"taken\"}"), "{metrics}");
    following.abort();
    let _ = following.await;
    handle.stop(true).await;
    serving.await.unwrap().unwrap();
    app.stop().await;
}
