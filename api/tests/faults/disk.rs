//! A full disk, one that fails and takes no more writes, one whose flush fails, and one that stalls. What cannot be written is answered with 503 and Retry-After, what was
//! written can be read, and gates go on: a good ticket lets in, once, with the word that this is not written yet. When there is room again, or the disk goes on, all goes
//! on, without a restart, and what gates were told is written; only a flush that failed needs one.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::mount::Mount;
use crate::server::{self, Answer, Server, charge_every_day, counters, key_of, running, serve, slots};

/// How long a recovery may take: the store is asked again once a second.
const WITHIN: Duration = Duration::from_secs(30);
/// More sales than any file that is made larger in advance can take.
const SALES_MAX: usize = 100_000;

/// What these tests do to a server on a disk.
struct Shop {
    server: Server,
    key: String,
    /// The slot that runs now.
    slot: String,
    /// Tickets that were sold before anything happened; the first is inside.
    tickets: Vec<Value>,
    first: Value,
    /// How many sales of one ticket were acknowledged.
    sold: u64,
    /// What the gate was told while nothing could be written.
    unrecorded: Option<Answer>,
}

/// A sale of one ticket at a desk, to a buyer who leaves a contact or not.
pub fn sale(contact: bool) -> Value {
    let settlement = json!({"desk": {"till": "till-1", "method": "card", "reference": "R-1"}});
    let mut sale = json!({"lines": [{"category": "full", "count": 1}], "settlement": settlement});
    if contact {
        sale["contact"] = json!({"given_name": "Maria", "family_name": "Rossi", "email": "maria.rossi@example.it"});
    }
    sale
}

impl Shop {
    async fn open(mount: &Mount) -> Self {
        let data = mount.inside().join("data");
        let server = Server::run(serve(mount.tornello(), &data)).unwrap_or_else(|(status, log)| panic!("{status}:\n{log}"));
        let keys = mount.outside().join("data");
        let (key, manager) = (key_of(&keys, "box_office"), key_of(&keys, "manager"));
        charge_every_day(&server, &manager).await;
        let slot = running(&slots(&server, &key, 0..2).await);
        let path = format!("/v1/slots/{slot}/capacity");
        server.ask(Method::PUT, &path, &manager, "places", &json!({"capacity": SALES_MAX})).await.expect(StatusCode::OK);
        let mut shop = Self { server, key, slot, tickets: Vec::new(), first: Value::Null, sold: 0, unrecorded: None };
        for n in 0..3 {
            let sold = shop.sell(&format!("before-{n}"), n == 0).await.expect(StatusCode::CREATED);
            shop.tickets.push(sold["tickets"][0]["ticket"].clone());
            if n == 0 {
                shop.first = sold;
            }
        }
        shop.admit("in-0", 0).await.expect(StatusCode::OK);
        shop
    }

    async fn sell(&mut self, idempotency_key: &str, contact: bool) -> Answer {
        let answer = self.server.post(&format!("/v1/slots/{}/sales", self.slot), &self.key, idempotency_key, &sale(contact)).await;
        self.sold += u64::from(answer.status == StatusCode::CREATED);
        answer
    }

    async fn admit(&self, idempotency_key: &str, ticket: usize) -> Answer {
        let shown = json!({"ticket": self.tickets[ticket], "gate": "north", "museum": "parco-colosseo"});
        self.server.post("/v1/admissions", &self.key, idempotency_key, &shown).await
    }

    /// Sends in the scan that a gate was told to keep; what became of it.
    async fn send_scan(&self, told: &Answer) -> Value {
        self.server.post("/v1/admissions/batch", &self.key, "", &json!([told.body["scan"]])).await.expect(StatusCode::OK)
    }

    /// Sells until nothing can be written any more; the key of the sale that was not.
    async fn sell_until_full(&mut self) -> String {
        for n in 0..SALES_MAX {
            let idempotency_key = format!("fill-{n}");
            let answer = self.sell(&idempotency_key, false).await;
            if answer.status != StatusCode::CREATED {
                answer.is_not_now();
                return idempotency_key;
            }
        }
        panic!("the full disk took {SALES_MAX} sales");
    }

    /// What holds while nothing can be written: changes are refused for now, everything can be read, and the gate still judges.
    async fn only_reads(&mut self) {
        self.sell("while-1", false).await.is_not_now();
        self.sell("while-2", true).await.is_not_now();
        let admitted = self.admit("while-in-1", 1).await;
        assert_eq!((admitted.status, &admitted.body["verdict"]), (StatusCode::ACCEPTED, &json!("admitted")), "{}", admitted.body);
        assert_eq!((&admitted.body["recorded"], &admitted.body["scan"]["scanned_at"]), (&json!(false), &admitted.body["at"]));
        assert_eq!(self.admit("while-in-1", 1).await, admitted, "a repeat is answered the same");
        // Nobody is let in twice, neither who was before nor who has been since.
        for ticket in [0, 1] {
            let twice = self.admit(&format!("while-in-again-{ticket}"), ticket).await;
            assert_eq!((twice.status, twice.code(), &twice.body["verdict"]), (StatusCode::CONFLICT, "ticket_inside", &json!("refused")));
        }
        self.unrecorded = Some(admitted);
        let first = self.server.get(&format!("/v1/sales/{}", self.first["sale"].as_str().unwrap()), &self.key).await.expect(StatusCode::OK);
        assert_eq!((&first["tickets"][0]["state"], &first["total_cents"]), (&json!("inside"), &self.first["total_cents"]));
        let ticket = self.server.get(&format!("/v1/tickets/{}", self.tickets[1].as_str().unwrap()), &self.key).await.expect(StatusCode::OK);
        assert_eq!((&ticket["state"], ticket["code"].is_string()), (&json!("valid"), true), "{ticket}");
        assert_eq!(counters(&self.server, &self.key, &self.slot).await, [self.sold, 0, 1]);
        slots(&self.server, &self.key, 0..2).await;
        assert!(self.server.text("/metrics").await.contains("tornello_unrecorded_scans 1"));
        let status = self.server.get("/status", &self.key).await;
        status.is_not_now();
        assert_eq!(status.body["unrecorded_scans"], 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_changes_until_there_is_room_and_nothing_else() {
    let mount = Mount::to_fill(128);
    let mut shop = Shop::open(&mount).await;
    mount.fill();
    let unwritten = shop.sell_until_full().await;
    shop.only_reads().await;

    mount.make_room();
    // Nobody has to ask for a change first: whoever spreads the load waits for this.
    let recovered = async { while shop.server.get("/status", &shop.key).await.status != StatusCode::OK {} };
    tokio::time::timeout(WITHIN, recovered).await.expect("the server recovers without a restart");
    let sold = shop.sell(&unwritten, false).await;
    assert_eq!(sold.status, StatusCode::CREATED, "{}", sold.body);
    let again = shop.server.post(&format!("/v1/slots/{}/sales", shop.slot), &shop.key, &unwritten, &sale(false)).await;
    assert_eq!(again, sold, "the sale that was not written is done once");
    shop.sell("while-1", false).await.expect(StatusCode::CREATED);
    shop.sell("while-2", true).await.expect(StatusCode::CREATED);
    // What the gate was told is written by itself, under its key and with its time; the gate's own scan does no harm.
    let merged = async { while shop.server.get("/status", &shop.key).await.expect(StatusCode::OK)["unrecorded_scans"] != 0 {} };
    tokio::time::timeout(WITHIN, merged).await.expect("what the gate was told is written");
    let unrecorded = shop.unrecorded.clone().expect("somebody was let in");
    assert_eq!(counters(&shop.server, &shop.key, &shop.slot).await, [shop.sold, 0, 2]);
    assert_eq!(shop.admit("while-in-1", 1).await, unrecorded, "a repeat is answered the same");
    assert_eq!(shop.admit("after-in-1", 1).await.code(), "ticket_inside");
    let sent = shop.send_scan(&unrecorded).await;
    assert_eq!((&sent["duplicates"], &sent["conflicts"], &sent["merged"]), (&json!(1), &json!(0), &json!(0)), "{sent}");
    assert_eq!(shop.admit("after-in-2", 2).await.expect(StatusCode::OK)["recorded"], true);
    let caught_up = async { while shop.server.get("/status", &shop.key).await.expect(StatusCode::OK)["views_lag_batches"] != 0 {} };
    tokio::time::timeout(WITHIN, caught_up).await.expect("the lists follow again");

    assert!(shop.server.stop().success());
    let verified = mount.tornello().args(["verify", "--data"]).arg(mount.inside().join("data")).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let sales = format!("sales    {}", tornello_api::replay::report::thousands(shop.sold as i64));
    assert!(String::from_utf8_lossy(&verified.stdout).contains(&sales), "{sales}: {}", String::from_utf8_lossy(&verified.stdout));
    let server = Server::run(serve(mount.tornello(), &mount.inside().join("data"))).unwrap_or_else(|(status, log)| panic!("{status}:\n{log}"));
    assert_eq!(counters(&server, &shop.key, &shop.slot).await, [shop.sold, 0, 3], "it is in the journal");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_on_a_full_disk_loses_what_gates_were_told_and_their_scans_bring_it_back() {
    let mount = Mount::to_fill(128);
    let mut shop = Shop::open(&mount).await;
    mount.fill();
    shop.sell_until_full().await;
    let unrecorded = shop.admit("in-1", 1).await;
    assert_eq!(unrecorded.status, StatusCode::ACCEPTED, "{}", unrecorded.body);
    shop.server.kill();
    mount.make_room();
    shop.server = Server::run(serve(mount.tornello(), &mount.inside().join("data"))).unwrap_or_else(|(status, log)| panic!("{status}:\n{log}"));
    assert_eq!(counters(&shop.server, &shop.key, &shop.slot).await, [shop.sold, 0, 1], "nothing of it was written");
    for outcome in ["merged", "duplicates"] {
        let sent = shop.send_scan(&unrecorded).await;
        assert_eq!(sent[outcome], 1, "{sent}");
    }
    assert_eq!(shop.admit("in-1-again", 1).await.code(), "ticket_inside");
    assert_eq!(counters(&shop.server, &shop.key, &shop.slot).await, [shop.sold, 0, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_stops_changes_and_loses_nothing_and_no_start_pretends_otherwise() {
    let mount = Mount::image(128);
    let mut shop = Shop::open(&mount).await;
    mount.fail();
    shop.sell("first", false).await.is_not_now();
    shop.only_reads().await;
    // It is up to whoever runs it to put in another disk; the server ends when it is told to.
    shop.server.stop();
    refuses_to_start(&mount);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_that_fails_stops_the_journal_until_a_restart_and_nothing_that_was_answered_is_lost() {
    let mount = Mount::starved(512, 160);
    let mut shop = Shop::open(&mount).await;
    mount.fill_below();
    let unknown = shop.sell_until_full().await;
    let stopped = async { while shop.server.get("/status", &shop.key).await.body["title"] != "the disk failed: restart" {} };
    tokio::time::timeout(WITHIN, stopped).await.expect("a flush has failed");
    shop.only_reads().await;
    // Room alone is no cure: what the kernel did with the pages that it could not write, nobody knows.
    mount.make_room_below();
    shop.sell("with-room", false).await.is_not_now();
    shop.server.stop();
    mount.mount_again();
    let data = mount.inside().join("data");
    shop.server = Server::run(serve(mount.tornello(), &data)).unwrap_or_else(|(status, log)| panic!("{status}:\n{log}"));
    let [sold, held, admitted] = counters(&shop.server, &shop.key, &shop.slot).await;
    assert!((shop.sold..=shop.sold + 1).contains(&sold) && (held, admitted) == (0, 1), "{sold} of {}, {held}, {admitted}", shop.sold);
    // The one sale of which nobody knew is done once, whatever became of it.
    shop.sell(&unknown, false).await.expect(StatusCode::CREATED);
    assert_eq!(counters(&shop.server, &shop.key, &shop.slot).await, [shop.sold, 0, 1]);
    let unrecorded = shop.unrecorded.clone().expect("somebody was let in");
    assert_eq!(shop.send_scan(&unrecorded).await["merged"], 1, "the gate has kept its scan");
    assert_eq!(counters(&shop.server, &shop.key, &shop.slot).await, [shop.sold, 0, 2]);
    assert!(shop.server.stop().success());
    let verified = mount.tornello().args(["verify", "--data"]).arg(&data).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_disk_stalls_gates_go_on_and_what_waits_for_it_is_done_when_it_goes_on() {
    let mount = Mount::image(128);
    let shop = Shop::open(&mount).await;
    let ((client, base), path, key) = (shop.server.parts(), format!("/v1/slots/{}/sales", shop.slot), shop.key.clone());
    let stalled = mount.stall();
    let sale = tokio::spawn(async move { server::ask(&client, &base, Method::POST, &path, &key, "meanwhile", &sale(false)).await });
    let said = async { while shop.server.get("/status", &shop.key).await.body["title"] != "the disk stalls: a write takes too long" {} };
    tokio::time::timeout(Duration::from_secs(5), said).await.expect("it is said that the disk stalls");
    let gate = async {
        let admitted = shop.admit("in-1", 1).await;
        assert_eq!((admitted.status, &admitted.body["recorded"]), (StatusCode::ACCEPTED, &json!(false)), "{}", admitted.body);
        assert_eq!(shop.admit("in-1", 1).await, admitted, "a repeat is answered the same");
        for ticket in [0, 1] {
            let twice = shop.admit(&format!("in-again-{ticket}"), ticket).await;
            assert_eq!((twice.status, twice.code()), (StatusCode::CONFLICT, "ticket_inside"));
        }
    };
    tokio::time::timeout(Duration::from_secs(4), gate).await.expect("gates do not wait for the disk");
    drop(stalled);
    let sold = sale.await.unwrap().expect("the server answers");
    assert_eq!(sold.status, StatusCode::CREATED, "{}", sold.body);
    let goes_on = async {
        loop {
            let status = shop.server.get("/status", &shop.key).await;
            if status.status == StatusCode::OK && status.body["unrecorded_scans"] == 0 {
                break;
            }
        }
    };
    tokio::time::timeout(WITHIN, goes_on).await.expect("all goes on without a restart");
    assert_eq!(counters(&shop.server, &shop.key, &shop.slot).await, [shop.sold + 1, 0, 2]);
    assert_eq!(shop.admit("after-in-1", 1).await.code(), "ticket_inside");
    assert!(shop.server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_on_a_read_only_disk_says_so() {
    let mount = Mount::small(128);
    Shop::open(&mount).await.server.kill();
    mount.read_only();
    refuses_to_start(&mount);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_on_a_read_only_disk_can_be_verified_and_not_cut() {
    let mount = Mount::small(128);
    Shop::open(&mount).await.server.kill();
    mount.read_only();
    let verify = |arguments: &[&str]| {
        let verified = mount.tornello().arg("verify").args(arguments).arg("--data").arg(mount.inside().join("data")).output().unwrap();
        (verified.status.code(), String::from_utf8_lossy(&[verified.stdout, verified.stderr].concat()).into_owned())
    };
    let (status, said) = verify(&[]);
    assert!(status == Some(0) && said.contains("the journal is sound"), "{said}");
    let (status, said) = verify(&["--cut-torn-tail"]);
    assert!(status == Some(1) && said.contains("Read-only file system"), "{said}");
}

fn refuses_to_start(mount: &Mount) {
    let data = mount.inside().join("data");
    let (status, log) = Server::run(serve(mount.tornello(), &data)).err().expect("a server does not start where it cannot write");
    assert_eq!(status.code(), Some(1), "{log}");
    let said = log.lines().last().unwrap_or_default();
    assert!(said.starts_with("error: ") && said.contains(data.to_str().unwrap()) && said.contains("Read-only file system"), "{log}");
}
