//! The binary as a child: started on a port of its own, asked over HTTP, its log read, ended by a signal. None is left behind when a test fails.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tornello_actors::clock::RealClock;
use tornello_engine::calendar;
use tornello_engine::time::Timestamp;

/// Longer than a test asks of one slot, and less than its gate is open before it begins.
const TEST_S: i64 = 600;

/// A running server.
pub struct Server {
    child: Child,
    base: String,
    client: Client,
    log: Arc<Log>,
    /// Reads its log, until there is no more of it.
    reading: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Value,
    pub retry_after: Option<u64>,
}

impl Answer {
    /// The code of a problem; empty if it is none.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// The body of an answer that must have this status.
    pub fn expect(self, status: StatusCode) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// Asserts that it is a 503 that says when to try again.
    pub fn is_not_now(&self) {
        assert_eq!(self.status, StatusCode::SERVICE_UNAVAILABLE, "{}", self.body);
        assert!(self.retry_after.is_some(), "a 503 without Retry-After: {}", self.body);
    }
}

/// The binary, with what all tests want: no log settings of whoever runs them, nothing to read.
pub fn tornello() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tornello"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// `command` as a server with the demo's museums and keys, on a free port.
pub fn serve(mut command: Command, data: &Path) -> Command {
    command.args(["serve", "--demo", "--listen", "127.0.0.1:0", "--data"]).arg(data);
    command
}

impl Server {
    /// Starts the binary on a folder.
    pub fn start(data: &Path) -> Self {
        Self::run(serve(tornello(), data)).unwrap_or_else(|(status, log)| panic!("the server ended with {status}:\n{log}"))
    }

    /// Runs a command that serves, until it says where it listens; or how it ended before, with what it said.
    pub fn run(mut command: Command) -> Result<Self, (ExitStatus, String)> {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let mut said = String::new();
        let base = lines.by_ref().find_map(|line| {
            said = format!("{said}{line}\n");
            Some(line.split_once(" on http://")?.1.split_once(", data in")?.0.to_owned())
        });
        let Some(base) = base else { return Err((child.wait().expect("a child that said all has ended"), said)) };
        let log = Arc::new(Log::default());
        // The pipe is read on, so that the server never waits for somebody to read its log.
        let reading = std::thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for line in lines {
                    log.lines.lock().unwrap().push(line);
                    log.more.notify_all();
                }
            }
        });
        let client = tornello_api::client::builder().tls_certs_only([]).timeout(Duration::from_secs(20)).build().unwrap();
        Ok(Self { child, base: format!("http://{base}"), client, log, reading: Some(reading) })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks; none if there is no answer. A change needs an idempotency key.
    pub async fn try_ask(&self, method: Method, path: &str, key: &str, idempotency_key: &str, body: &Value) -> Option<Answer> {
        ask(&self.client, &self.base, method, path, key, idempotency_key, body).await
    }

    /// Asks for a change.
    pub async fn ask(&self, method: Method, path: &str, key: &str, idempotency_key: &str, body: &Value) -> Answer {
        self.try_ask(method, path, key, idempotency_key, body).await.expect("the server answers")
    }

    /// As [`Server::ask`] with POST.
    pub async fn post(&self, path: &str, key: &str, idempotency_key: &str, body: &Value) -> Answer {
        self.ask(Method::POST, path, key, idempotency_key, body).await
    }

    /// Reads.
    pub async fn get(&self, path: &str, key: &str) -> Answer {
        self.ask(Method::GET, path, key, "", &Value::Null).await
    }

    /// Reads what is text: the figures.
    pub async fn text(&self, path: &str) -> String {
        self.client.get(format!("{}{path}", self.base)).send().await.unwrap().text().await.unwrap()
    }

    /// What a client of its own needs.
    pub fn parts(&self) -> (Client, String) {
        (self.client.clone(), self.base.clone())
    }

    /// Waits until its log holds these words.
    pub fn has_logged(&self, words: &str, within: Duration) -> bool {
        self.line_with(words, within).is_some()
    }

    /// Waits until its log holds these words, and answers their line.
    pub fn line_with(&self, words: &str, within: Duration) -> Option<String> {
        let lines = self.log.lines.lock().unwrap();
        let (lines, _) = self.log.more.wait_timeout_while(lines, within, |lines| !lines.iter().any(|line| line.contains(words))).unwrap();
        lines.iter().find(|line| line.contains(words)).cloned()
    }

    /// SIGKILL, and the end of it.
    pub fn kill(self) {
        drop(self);
    }

    /// SIGKILL, and all that it had logged since it said where it listens.
    pub fn kill_and_read(mut self) -> Vec<String> {
        self.child.kill().expect("a server that runs can be killed");
        self.reading.take().expect("it is read once").join().expect("its log is read");
        std::mem::take(&mut *self.log.lines.lock().unwrap())
    }

    /// SIGTERM, and how it ended; it has 20 seconds.
    pub fn stop(self) -> ExitStatus {
        self.stop_within(Duration::from_secs(20))
    }

    /// SIGTERM, and how it ended; it has so long.
    pub fn stop_within(mut self, within: Duration) -> ExitStatus {
        let pid = self.pid();
        let signal = |name: &str| Command::new("kill").args([name, &pid.to_string()]).status().expect("kill can be run");
        assert!(signal("-TERM").success(), "SIGTERM is sent");
        let (tell, ended) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| tell.send(self.child.wait().expect("a child can be waited for")));
            ended.recv_timeout(within).unwrap_or_else(|_| {
                signal("-KILL");
                panic!("the server did not stop in time")
            })
        })
    }
}

/// Also when the test fails, no server is left behind.
impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines = self.log.lines.lock().unwrap_or_else(PoisonError::into_inner);
            eprintln!("the server's log ends with:\n{}", lines[lines.len().saturating_sub(20)..].join("\n"));
        }
        // One that has ended by itself cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks a server; none if there is no answer.
pub async fn ask(client: &Client, base: &str, method: Method, path: &str, key: &str, idempotency_key: &str, body: &Value) -> Option<Answer> {
    let mut request = client.request(method, format!("{base}{path}")).bearer_auth(key);
    if !idempotency_key.is_empty() {
        request = request.header("Idempotency-Key", idempotency_key);
    }
    if !body.is_null() {
        request = request.json(body);
    }
    let response = request.send().await.ok()?;
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let text = response.text().await.ok()?;
    let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(Value::String(text)) };
    Some(Answer { status, body, retry_after })
}

/// The development key of a role.
pub fn key_of(data: &Path, role: &str) -> String {
    let keys = std::fs::read_to_string(data.join("development-keys.txt")).expect("development keys");
    let line = keys.lines().find(|line| line.split_whitespace().next() == Some(role)).expect("a key of that role");
    line.split_whitespace().nth(1).expect("the key's text").to_owned()
}

/// Prices that hold on every day: on days of free entry nothing could be settled at a desk.
pub async fn charge_every_day(server: &Server, manager: &str) {
    let path = "/v1/museums/parco-colosseo/tariff";
    let mut tariff = server.get(path, manager).await.expect(StatusCode::OK)["tariff"].take();
    tariff["free_days"] = json!({"first_sunday": false, "national": false, "dates": []});
    server.ask(Method::PUT, path, manager, "every-day", &json!({"valid_from": today(), "tariff": tariff})).await.expect(StatusCode::OK);
}

/// Today in Rome.
pub fn today() -> jiff::civil::Date {
    calendar::local_day(RealClock::wall())
}

/// The slots of the demo's route that is open around the clock, for some days from today on.
pub async fn slots(server: &Server, key: &str, days: std::ops::Range<i64>) -> Vec<Value> {
    let ahead = |days: i64| today().saturating_add(jiff::Span::new().days(days));
    let path = format!("/v1/museums/parco-colosseo/availability?route=prova&from={}&to={}", ahead(days.start), ahead(days.end - 1));
    let mut answer = server.get(&path, key).await.expect(StatusCode::OK);
    answer["items"].as_array_mut().unwrap().drain(..).collect()
}

/// The one of these slots whose gate is open for as long as a test takes: the one that runs now, or if that is as good as over the next one, whose gate opens before it begins.
pub fn running(slots: &[Value]) -> String {
    let soon = RealClock::wall().plus_seconds(TEST_S);
    let at = |slot: &Value, name: &str| slot[name].as_str().unwrap().parse::<Timestamp>().unwrap();
    let slot = slots.iter().find(|slot| at(slot, "starts_at") <= soon && soon < at(slot, "ends_at"));
    slot.expect("a slot of the route around the clock runs soon")["slot"].as_str().unwrap().to_owned()
}

/// The counters of a slot: sold, held, admitted.
pub async fn counters(server: &Server, key: &str, slot: &str) -> [u64; 3] {
    let seen = server.get(&format!("/v1/slots/{slot}"), key).await.expect(StatusCode::OK);
    ["sold", "held", "admitted"].map(|name| seen[name].as_u64().unwrap())
}
