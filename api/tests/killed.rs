//! The real server, killed with SIGKILL under load: what it had answered is there after the restart, what it had not answered is done at most once, and nothing is
//! oversold. The clients keep their own log of answers; the server's word is compared with theirs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

const CYCLES: usize = 3;
const CLIENTS: u64 = 24;
/// The server is killed when it has answered so many sales of a cycle.
const KILLED_AFTER: u64 = 150;

struct Server {
    child: Child,
    base: String,
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
        // The pipe is read on, so that the server never waits for somebody to read its log.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, base: base.expect("the server says where it listens") }
    }

    /// SIGKILL, and the end of it.
    fn kill(self) {
        drop(self);
    }
}

/// Also when the test fails, no server is left behind.
impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().expect("SIGKILL is sent");
        self.child.wait().expect("the killed server is gone");
    }
}

/// What a client knows of one sale that it asked for.
#[derive(Debug, Clone)]
struct Asked {
    key: String,
    body: Value,
    /// The answer, if there was one.
    answer: Option<Value>,
}

fn key_of(data: &Path, role: &str) -> String {
    let keys = std::fs::read_to_string(data.join("development-keys.txt")).expect("development keys");
    let line = keys.lines().find(|line| line.split_whitespace().next() == Some(role)).expect("a key of that role");
    line.split_whitespace().nth(1).expect("the key's text").to_owned()
}

async fn sell(client: &Client, server: &str, key: &str, slot: &str, asked: &Asked) -> Option<(StatusCode, Value)> {
    let request = client.post(format!("{server}/v1/slots/{slot}/sales")).bearer_auth(key).header("Idempotency-Key", &asked.key).json(&asked.body);
    let response = request.send().await.ok()?;
    let status = response.status();
    Some((status, response.json().await.ok()?))
}

/// A slot of the next days where nobody has bought yet, with its capacity; another one for each number.
async fn free_slot(client: &Client, server: &str, key: &str, number: usize) -> (String, u64) {
    let ahead = |days: i64| jiff::Zoned::now().date().saturating_add(jiff::Span::new().days(days));
    // Ten days: some of them the museum is open, whatever the season.
    let url = format!("{server}/v1/museums/parco-pompei/availability?from={}&to={}", ahead(2), ahead(12));
    let answer: Value = client.get(url).bearer_auth(key).send().await.unwrap().json().await.unwrap();
    let slot = answer["items"].as_array().and_then(|slots| slots.get(number)).unwrap_or_else(|| panic!("no slot: {answer}"));
    (slot["slot"].as_str().unwrap().to_owned(), slot["capacity"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_answered_is_lost_and_nothing_is_done_twice() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
    let mut server = Server::start(folder.path());
    let key = key_of(folder.path(), "box_office");
    for cycle in 0..CYCLES {
        let (slot, capacity) = free_slot(&client, &server.base, &key, cycle).await;
        let log: Arc<Mutex<HashMap<String, Asked>>> = Arc::default();
        let answered = Arc::new(AtomicU64::new(0));
        let (enough, killed) = tokio::sync::oneshot::channel();
        let enough = Arc::new(Mutex::new(Some(enough)));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (client, base, key, slot) = (client.clone(), server.base.clone(), key.clone(), slot.clone());
                let (log, answered, enough) = (Arc::clone(&log), Arc::clone(&answered), Arc::clone(&enough));
                tokio::spawn(async move {
                    for n in 0.. {
                        let settlement = json!({"desk": {"till": "till-1", "method": "card", "reference": format!("R-{number}-{n}")}});
                        let body = json!({"lines": [{"category": "full", "count": 1 + n % 3}], "settlement": settlement});
                        let mut asked = Asked { key: format!("{cycle}-{number}-{n}"), body, answer: None };
                        log.lock().unwrap().insert(asked.key.clone(), asked.clone());
                        // No answer: the server is gone.
                        let Some((status, answer)) = sell(&client, &base, &key, &slot, &asked).await else { return };
                        if status != StatusCode::CREATED {
                            assert_eq!(status, StatusCode::CONFLICT, "{answer}");
                            return;
                        }
                        asked.answer = Some(answer);
                        log.lock().unwrap().insert(asked.key.clone(), asked);
                        if answered.fetch_add(1, Ordering::Relaxed) + 1 == KILLED_AFTER
                            && let Some(enough) = enough.lock().unwrap().take()
                        {
                            let _ = enough.send(());
                        }
                    }
                })
            })
            .collect();
        tokio::time::timeout(Duration::from_secs(60), killed).await.expect("enough is sold in time").unwrap();
        server.kill();
        for client in clients {
            client.await.unwrap();
        }
        server = Server::start(folder.path());

        // Every answered sale is there and answers its key with the same words; the rest is done now, once, or does not fit.
        let log = log.lock().unwrap().clone();
        let (mut people, mut known) = (0, 0);
        for asked in log.values() {
            let (status, answer) = sell(&client, &server.base, &key, &slot, asked).await.expect("an answer");
            if let Some(before) = &asked.answer {
                assert_eq!((status, &answer), (StatusCode::CREATED, before), "an answered sale was lost or done again");
                known += 1;
            }
            if status == StatusCode::CREATED {
                people += answer["people"].as_u64().unwrap();
            } else {
                assert_eq!(answer["code"], "not_enough_places", "{answer}");
            }
        }
        assert!(known >= KILLED_AFTER, "{known} sales were answered before the kill");
        let now: Value = client.get(format!("{}/v1/slots/{slot}", server.base)).bearer_auth(&key).send().await.unwrap().json().await.unwrap();
        let sold = now["sold"].as_u64().unwrap();
        assert_eq!(sold, people, "cycle {cycle}: sold once each: {now}");
        assert!(sold <= capacity, "{now}");
    }
    server.kill();
}
