//! The machine's clock set under a running server, an hour and a day, forwards and back: holds end by the time that has passed, none early and none late, are sold until
//! then and not after, and the jump is reported. A start by a clock that the journal contradicts needs `--accept-clock`. The clock is that of libfaketime, which leaves the monotonic
//! one alone, as a real jump does.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::server::{Server, charge_every_day, counters, key_of, serve, slots, today, tornello};

/// How long the holds of this test live, in seconds.
const TTL_S: u64 = 4;
/// How much later than that a hold may be seen to live on a busy machine.
const LATE: Duration = Duration::from_secs(3);
/// Clocks that a start does not believe: behind the journal, and two years ahead of it.
const WRONG: [&str; 3] = ["-3600", "-86400", "+63072000"];

fn faketime() -> PathBuf {
    let folders = ["/usr/lib", "/usr/local/lib", "/usr/lib64"].map(Path::new);
    let machines = std::fs::read_dir("/usr/lib").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut places = folders.map(Path::to_owned).into_iter().chain(machines).map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    places.find(|path| path.is_file()).expect("this test sets the clock with libfaketime and cannot find it: `apt install libfaketime`")
}

/// A server whose wall clock is ahead by what the file says, in seconds.
fn under(clock: &Path, data: &Path) -> Command {
    let mut command = serve(tornello(), data);
    command
        .env("LD_PRELOAD", faketime())
        .env("FAKETIME_TIMESTAMP_FILE", clock)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_end_by_the_time_that_passes_whatever_the_clock_says() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, data) = (folder.path().join("clock"), folder.path().join("data"));
    let set = |ahead: &str| std::fs::write(&clock, ahead).unwrap();
    set("+0");
    let server = Server::run(under(&clock, &data)).unwrap_or_else(|(status, log)| panic!("{status}:\n{log}"));
    let [key, manager] = ["box_office", "manager"].map(|role| key_of(&data, role));

    // Holds that live for some seconds: the plan of the route around the clock with another policy, from today on.
    let seen = server.get("/v1/museums/parco-colosseo/plan", &manager).await.expect(StatusCode::OK);
    let mut plan = seen["plan"].clone();
    for route in plan["routes"].as_array_mut().unwrap() {
        route["policy"]["hold_ttl_s"] = json!(TTL_S);
    }
    let path = "/v1/museums/parco-colosseo/plan";
    server.ask(Method::PUT, path, &manager, "short", &json!({"valid_from": today(), "plan": plan})).await.expect(StatusCode::OK);
    let slot = slots(&server, &key, 1..2).await[12]["slot"].as_str().unwrap().to_owned();

    let mut holds = Vec::new();
    let clocks = ["+0", "+3600", "-3600", "+86400", "-86400"];
    let body = json!({"lines": [{"category": "full", "count": 1}]});
    let settled = json!({"settlement": {"desk": {"till": "till-1", "method": "card", "reference": "R-1"}}});
    charge_every_day(&server, &manager).await;
    for ahead in clocks {
        let begun = Instant::now();
        let held = server.post(&format!("/v1/slots/{slot}/holds"), &key, &format!("hold-{ahead}"), &body).await.expect(StatusCode::CREATED);
        holds.push((begun, Instant::now(), ahead, format!("/v1/holds/{}", held["hold"].as_str().unwrap())));
        set(ahead);
        let ahead_s: f64 = ahead.parse().unwrap();
        let seen = async {
            loop {
                let status = server.get("/status", &key).await.expect(StatusCode::OK);
                let seen_s = status["wall_clock_ahead_ms"].as_f64().unwrap() / 1_000.0;
                if (seen_s - ahead_s).abs() < 2.0 {
                    break;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), seen).await.unwrap_or_else(|_| panic!("the clock is {ahead} s ahead and nobody says so"));
        // Whoever comes in time is sold what it holds.
        let held = server.post(&format!("/v1/slots/{slot}/holds"), &key, &format!("sold-{ahead}"), &body).await.expect(StatusCode::CREATED);
        let confirm = format!("/v1/holds/{}/confirm", held["hold"].as_str().unwrap());
        server.post(&confirm, &key, &format!("confirm-{ahead}"), &settled).await.expect(StatusCode::CREATED);
    }
    assert!(server.has_logged("the wall clock has jumped", Duration::from_secs(5)));
    assert!(server.text("/metrics").await.contains("tornello_wall_clock_ahead_seconds -86"));

    let server = &server;
    let key = &key;
    join_all(holds.iter().map(|(begun, held, ahead, path)| async move {
        let ttl = Duration::from_secs(TTL_S);
        loop {
            let asked = Instant::now();
            let lives = server.get(path, key).await.status == StatusCode::OK;
            // What was answered was so at some moment between question and answer; the hold began between its own.
            if !lives {
                assert!(begun.elapsed() >= ttl, "the hold before the clock was set to {ahead} ended after {:?}", begun.elapsed());
                return;
            }
            assert!(asked.duration_since(*held) <= ttl + LATE, "the hold before the clock was set to {ahead} lives after {:?}", held.elapsed());
        }
    }))
    .await;
    // Whoever comes too late is not, and is told so.
    for (.., ahead, path) in &holds {
        let late = server.post(&format!("{path}/confirm"), key, &format!("late-{ahead}"), &settled).await;
        assert_eq!((late.status, late.code()), (StatusCode::GONE, "hold_expired"), "the hold before the clock was set to {ahead}: {}", late.body);
    }
    // They are over by the clock; their places are back when the slot has written that down.
    let back = async { while server.get(&format!("/v1/slots/{slot}"), key).await.expect(StatusCode::OK)["held"] != 0 {} };
    tokio::time::timeout(LATE, back).await.expect("places of holds that are over come back");
    assert_eq!(counters(server, key, &slot).await, [clocks.len() as u64, 0, 0]);
}

#[test]
fn a_start_by_a_wrong_clock_has_to_be_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, data) = (folder.path().join("clock"), folder.path().join("data"));
    Server::start(&data).stop();
    for ahead in WRONG {
        std::fs::write(&clock, ahead).unwrap();
        let (status, log) = Server::run(under(&clock, &data)).err().unwrap_or_else(|| panic!("the server started with a clock {ahead} s ahead"));
        assert!(status.code() == Some(1) && log.contains("--accept-clock"), "{status}:\n{log}");
    }
    std::fs::write(&clock, WRONG[0]).unwrap();
    let mut accepted = under(&clock, &data);
    let server = Server::run({
        accepted.arg("--accept-clock");
        accepted
    });
    assert!(server.unwrap_or_else(|(status, log)| panic!("{status}:\n{log}")).stop().success());
}
