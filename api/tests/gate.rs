//! A gate without a network, end to end: tickets sold over HTTP, the manifest fetched, the server gone, `tornello gate` on the manifest, the server back, what the
//! gate did sent in. This test stands in this package and not in `tests`, because cargo names the binary of a package only to tests of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tornello_engine::time::Timestamp;

const MUSEUM: &str = "parco-colosseo";

struct Server {
    child: Child,
    base: String,
    client: Client,
    keys: String,
}

impl Server {
    /// Starts the binary on a port of its own and waits until it says where.
    fn start(data: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tornello"))
            .args(["serve", "--demo", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let base = lines.by_ref().map_while(Result::ok).find_map(|line| Some(line.split_once(" on ")?.1.split_once(',')?.0.to_owned()));
        std::thread::spawn(move || lines.for_each(drop));
        let base = base.expect("the server says where it listens");
        let keys = std::fs::read_to_string(data.join("development-keys.txt")).expect("development keys");
        Self { child, base, client: tornello_api::client::loopback().unwrap(), keys }
    }

    fn key(&self, role: &str) -> &str {
        let line = self.keys.lines().find(|line| line.split_whitespace().next() == Some(role)).expect("a key of that role");
        line.split_whitespace().nth(1).expect("the key's text")
    }

    async fn get(&self, role: &str, path: &str) -> Value {
        let response = self.client.get(format!("{}{path}", self.base)).bearer_auth(self.key(role)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json().await.unwrap()
    }

    async fn post(&self, role: &str, path: &str, name: &str, body: &Value) -> Value {
        let request = self.client.post(format!("{}{path}", self.base)).bearer_auth(self.key(role)).header("Idempotency-Key", name).json(body);
        let response = request.send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
        response.json().await.unwrap()
    }

    /// Sends a gate's file of scans in, as it is.
    async fn send(&self, scans: &Path) -> Value {
        let request = self.client.post(format!("{}/v1/admissions/batch", self.base)).bearer_auth(self.key("gate"));
        let request = request.header("Content-Type", "application/x-ndjson").body(std::fs::read(scans).unwrap());
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.json().await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().expect("SIGKILL is sent");
        self.child.wait().expect("the killed server is gone");
    }
}

/// A gate with its manifest and its file of scans.
struct Gate {
    name: &'static str,
    manifest: PathBuf,
    scans: PathBuf,
}

impl Gate {
    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tornello"));
        command.args(["gate", "--gate", self.name, "--manifest"]).arg(&self.manifest).arg("--scans").arg(&self.scans);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, scanned: &[&str]) -> Output {
        let mut child = self.command().spawn().expect("the binary starts");
        child.stdin.take().expect("piped").write_all(format!("{}\n", scanned.join("\n")).as_bytes()).unwrap();
        child.wait_with_output().expect("the gate ends with its input")
    }

    /// Runs the gate from its start to its end, and answers verdict and code of each line.
    fn scan(&self, scanned: &[&str]) -> Vec<Value> {
        let output = self.run(scanned);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn written(&self) -> Vec<Value> {
        std::fs::read_to_string(&self.scans).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn verdicts(said: &[Value]) -> Vec<(&str, Option<&str>)> {
    said.iter().map(|said| (said["verdict"].as_str().unwrap(), said["code"].as_str())).collect()
}

fn outcomes(answer: &Value) -> Vec<(&str, Option<&str>)> {
    answer["items"].as_array().unwrap().iter().map(|item| (item["outcome"].as_str().unwrap(), item["code"].as_str())).collect()
}

#[tokio::test]
async fn a_gate_works_without_a_network_and_what_it_did_comes_in_later() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data);
    // The route of the demo that is open at any hour.
    let now = |server: &Value| server["now"].as_str().unwrap().to_owned();
    let clock = now(&server.get("gate", "/status").await);
    let available = server.get("box_office", &format!("/v1/museums/{MUSEUM}/availability?route=prova")).await;
    let runs = |slot: &&Value| slot["starts_at"].as_str() <= Some(clock.as_str()) && Some(clock.as_str()) < slot["ends_at"].as_str();
    let slot = available["items"].as_array().unwrap().iter().find(runs).expect("a slot runs")["slot"].as_str().unwrap().to_owned();
    let body = |count: u32| {
        let settlement = json!({"desk": {"till": "till-1", "method": "card", "reference": "R-1"}});
        json!({"lines": [{"category": "full", "count": count}], "settlement": settlement})
    };
    let sale = server.post("box_office", &format!("/v1/slots/{slot}/sales"), "early", &body(4)).await;
    let tickets: Vec<String> = sale["tickets"].as_array().unwrap().iter().map(|ticket| ticket["ticket"].as_str().unwrap().to_owned()).collect();
    let mut codes = Vec::new();
    for ticket in &tickets {
        codes.push(server.get("box_office", &format!("/v1/tickets/{ticket}")).await["code"].as_str().unwrap().to_owned());
    }
    let manifest = folder.path().join("manifest.json");
    let fetched = server.get("gate", &format!("/v1/museums/{MUSEUM}/manifest")).await;
    std::fs::write(&manifest, fetched.to_string()).unwrap();
    // After the manifest: one more is sold, one of the others is cancelled.
    let late = server.post("box_office", &format!("/v1/slots/{slot}/sales"), "late", &body(1)).await["sale"].as_str().unwrap().to_owned();
    let late_code = server.get("box_office", &format!("/v1/tickets/{late}")).await["code"].as_str().unwrap().to_owned();
    let sale = sale["sale"].as_str().unwrap();
    server.post("box_office", &format!("/v1/sales/{sale}/cancel"), "cancel", &json!({"tickets": [3], "cause": "museum"})).await;
    drop(server);

    let gate = |name: &'static str| Gate { name, manifest: manifest.clone(), scans: folder.path().join(format!("{name}.ndjson")) };
    let (north, south) = (gate("north"), gate("south"));
    let leaves = format!("out {}", codes[1]);
    let said = north.scan(&[&codes[0], &codes[0], &tickets[1], "", &leaves, &late, &late_code, &codes[3], "hello"]);
    let expected = [
        ("admitted", None),
        ("refused", Some("ticket_inside")),
        ("admitted", None),
        ("left", None),
        ("refused", Some("unknown_ticket")),
        ("admitted", None),
        ("admitted", None),
        ("refused", Some("not_a_code")),
    ];
    assert_eq!(verdicts(&said), expected, "{said:#?}");
    assert_eq!((&said[0]["in_manifest"], &said[5]["in_manifest"], &said[6]["in_manifest"]), (&json!(true), &json!(false), &json!(true)));
    assert_eq!((&said[0]["entry"], &said[0]["category"], &said[1]["scan"]), (&json!(1), &json!("full"), &Value::Null));
    let numbers: Vec<_> = said.iter().filter_map(|said| said["scan"].as_u64()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    // A gate that was switched off in the middle of a line remembers what it had said.
    let mut torn = std::fs::OpenOptions::new().append(true).open(&north.scans).unwrap();
    torn.write_all(br#"{"scan":6,"ticket":"#).unwrap();
    drop(torn);
    assert_eq!(verdicts(&north.scan(&[&codes[0], &codes[2]])), [("refused", Some("ticket_inside")), ("admitted", None)]);
    assert_eq!(north.written().len(), 6);
    // Another gate knows nothing of it.
    assert_eq!(verdicts(&south.scan(&[&codes[2], &format!("out {}", codes[0])])), [("admitted", None), ("refused", Some("not_inside"))]);

    let server = Server::start(&data);
    let answer = server.send(&north.scans).await;
    let merged = ("merged", None);
    assert_eq!(outcomes(&answer), [merged, merged, merged, merged, ("conflict", Some("ticket_cancelled")), merged]);
    assert_eq!(outcomes(&server.send(&south.scans).await), [("conflict", Some("ticket_inside")), merged], "it saw one leave whom the other let in");
    let seen = |server: &Value| ["admitted", "inside", "conflicts", "sold"].map(|count| server[count].as_u64().unwrap());
    let counted = server.get("box_office", &format!("/v1/slots/{slot}")).await;
    assert_eq!(seen(&counted), [4, 2, 2, 4]);
    let first = server.get("box_office", &format!("/v1/tickets/{}", tickets[0])).await;
    let at = |value: &Value| value.as_str().unwrap().parse::<Timestamp>().unwrap();
    assert_eq!((&first["state"], at(&first["admitted_at"])), (&json!("outside"), at(&said[0]["at"])), "the time of the scan");
    assert_eq!(at(&first["admitted_at"]), at(&north.written()[0]["scanned_at"]));
    let conflicts = server.get("box_office", &format!("/v1/slots/{slot}/conflicts")).await;
    let reasons: Vec<_> = conflicts["items"].as_array().unwrap().iter().map(|conflict| (&conflict["gate"], &conflict["reason"])).collect();
    assert_eq!(reasons, [(&json!("north"), &json!("ticket_cancelled")), (&json!("south"), &json!("ticket_inside"))]);

    for scans in [&north.scans, &south.scans] {
        assert!(outcomes(&server.send(scans).await).iter().all(|outcome| *outcome == ("duplicate", None)), "sent again");
    }
    assert_eq!(seen(&server.get("box_office", &format!("/v1/slots/{slot}")).await), [4, 2, 2, 4], "nobody is counted twice");
    // With a newer manifest and its old file the gate goes on where all stand.
    std::fs::write(&manifest, server.get("gate", &format!("/v1/museums/{MUSEUM}/manifest")).await.to_string()).unwrap();
    drop(server);
    let expected = [("refused", Some("ticket_inside")), ("refused", Some("ticket_cancelled"))];
    assert_eq!(verdicts(&north.scan(&[&codes[2], &codes[3]])), expected);
}

#[test]
fn a_gate_does_not_work_with_what_it_cannot_trust() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate { name: "north", manifest: folder.path().join("manifest.json"), scans: folder.path().join("scans.ndjson") };
    let manifest = json!({
        "format": 1, "museum": 1, "from": "2027-01-16", "to": "2027-01-16", "made_at": "2027-01-16T06:00:00Z", "as_of_batch": 1, "keys": [], "slots": [],
    });
    let refuses = |manifest: &Value, scans: &str, why: &str| {
        std::fs::write(&gate.manifest, manifest.to_string()).unwrap();
        std::fs::write(&gate.scans, scans).unwrap();
        let output = gate.run(&["x"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && output.stdout.is_empty() && said.contains(why), "{why}: {said}");
        assert_eq!(std::fs::read_to_string(&gate.scans).unwrap(), scans, "{why}: the file stays as it is");
    };
    let mut newer = manifest.clone();
    newer["format"] = json!(2);
    refuses(&newer, "", "format 2");
    refuses(&json!({"format": 1}), "", "is no manifest");
    refuses(&manifest, "{}\n", "line 1 of");
    let elsewhere = json!({"ticket": "0".repeat(26), "gate": "n", "museum": 2, "scanned_at": "2027-01-16T06:00:00Z", "direction": "in"});
    refuses(&manifest, &format!("{elsewhere}\n"), "another museum");
    // The wrong file, as the manifest itself, whose only line has no end.
    refuses(&manifest, &manifest.to_string(), "line 1 of");
    refuses(&manifest, "milk, bread", "line 1 of");
    refuses(&manifest, "{}\nmilk", "line 1 of");
    // The first scan of all, cut off in the middle.
    for torn in ["{", r#"{"scan":1,"ticket":"#] {
        std::fs::write(&gate.scans, torn).unwrap();
        let output = gate.run(&["x"]);
        assert!(output.status.success(), "{torn}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(std::fs::read(&gate.scans).unwrap(), b"", "{torn}: it was not acted on");
    }

    // One file, one gate.
    std::fs::write(&gate.scans, "").unwrap();
    let mut first = gate.command().spawn().expect("the binary starts");
    let mut lines = BufReader::new(first.stderr.take().expect("piped")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("scans in")), "it has opened its file");
    let second = gate.run(&["x"]);
    assert!(!second.status.success() && String::from_utf8_lossy(&second.stderr).contains("another gate"));
    drop(first.stdin.take());
    assert!(first.wait().unwrap().success());
}
