//! `tornello replay` as a whole: it agrees with its recount and is the same every time, and what it acknowledged before it was killed is there afterwards.
//! These tests stand in this package and not in `tests`, because cargo builds and names the binary of a package only for tests of its own.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use tornello_actors::clock::ManualClock;
use tornello_actors::journal::Journal;
use tornello_actors::journal::file::FileJournal;
use tornello_actors::node::{Node, Settings};
use tornello_actors::views::{SaleFilter, SaleRow};
use tornello_api::replay::acks::Acks;
use tornello_api::replay::report::Report;
use tornello_api::replay::{ReplayError, drive, load, open};
use tornello_engine::ids::{HoldId, SlotId, TicketId};
use tornello_engine::slot::TicketState;

/// How many bookings these tests play.
const BOOKINGS: usize = 1_500;

fn tornello(arguments: &[&str], data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tornello"));
    command.args(arguments).arg("--data").arg(data).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn run(arguments: &[&str], data: &Path) -> Output {
    tornello(arguments, data).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the binary writes UTF-8")
}

#[test]
fn a_replay_agrees_with_its_recount_and_with_the_lists() {
    let folder = tempfile::tempdir().unwrap();
    actix_rt::System::new().block_on(async {
        let replay = load(Some(BOOKINGS)).unwrap();
        let (running, clock) = open(folder.path(), &replay).await.unwrap();
        let node = running.node();
        let played = drive::play(node, &clock, &replay, None, Acks::none(), |_| {}).await.unwrap();
        let report = Report::new(played, &replay, node.journal().as_ref()).await.unwrap();
        assert!(report.agrees(), "{report}");
        let [total, ..] = report.totals;
        assert!([total.refused, total.cancelled, total.no_shows, total.admitted].iter().all(|count| count.visits > 0), "{report}");
        assert!(total.peak_inside > 0 && total.peak_counted > 0 && total.refunded_cents > 0, "{report}");

        let views = &node.files().unwrap().views;
        views.reach(node.head().number).await;
        let sales = views.sales(&SaleFilter::default(), 1_000_000).await.unwrap();
        let sum = |of: fn(&SaleRow) -> i64| sales.iter().map(of).sum::<i64>();
        let totals = |of: fn(&tornello_datasets::recount::Totals) -> i64| report.totals.iter().map(of).sum::<i64>();
        assert_eq!(sales.len() as i64, totals(|total| total.sold.visits.into()));
        assert_eq!(sum(|sale| sale.people.into()), totals(|total| total.sold.people.into()));
        assert_eq!(sum(|sale| sale.cancelled.into()), totals(|total| total.cancelled.people.into()));
        assert_eq!(sum(|sale| sale.admitted.into()), totals(|total| total.admitted.people.into()));
        assert_eq!(sum(|sale| sale.total_cents), totals(|total| total.paid_cents));
        assert_eq!(sum(|sale| sale.refunded_cents), totals(|total| total.refunded_cents));
        running.stop().await;
        assert!(matches!(open(folder.path(), &replay).await, Err(ReplayError::NotFresh(_))));
    });
}

#[test]
fn the_command_reports_the_same_every_time_and_verify_finds_a_changed_byte() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let limit = BOOKINGS.to_string();
    let [first, second] = folders.each_ref().map(|folder| {
        let output = run(&["replay", "--json", "--limit", &limit], folder.path());
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    });
    assert_eq!(first["agrees"], true);
    assert_eq!((&first["museums"], &first["journal"]["state_hash"]), (&second["museums"], &second["journal"]["state_hash"]));

    let folder = folders[0].path();
    let sound = run(&["verify"], folder);
    assert!(sound.status.success() && text(&sound.stdout).contains(first["journal"]["state_hash"].as_str().unwrap()), "{}", text(&sound.stderr));
    let path = folder.join("journal.log");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(8).position(|window| window == b"agent-24").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let damaged = run(&["verify"], folder);
    assert_eq!(damaged.status.code(), Some(1));
    assert!(text(&damaged.stderr).contains("is damaged") && text(&damaged.stderr).contains("put a backup in its place"), "{}", text(&damaged.stderr));
    let again = run(&["replay"], folder);
    assert!(!again.status.success() && text(&again.stderr).contains("is not empty"), "{}", text(&again.stderr));
}

/// What a killed replay had acknowledged.
#[derive(Debug, Default)]
struct Acknowledged {
    sold: HashSet<HoldId>,
    cancelled: HashSet<HoldId>,
    admitted: HashSet<TicketId>,
}

impl Acknowledged {
    fn take_in(&mut self, line: &str) {
        let new = match line.split_once(' ') {
            Some(("sold", id)) => self.sold.insert(id.parse().expect("a sale's id")),
            Some(("cancelled", id)) => self.cancelled.insert(id.parse().expect("a sale's id")),
            Some(("admitted", id)) => self.admitted.insert(id.parse().expect("a ticket's id")),
            _ => panic!("{line:?} is no acknowledgement"),
        };
        assert!(new, "{line} was acknowledged twice");
    }
}

#[test]
fn what_a_killed_replay_acknowledged_is_there_after_a_restart() {
    const KILLED_AFTER: usize = 5_000;
    let folder = tempfile::tempdir().unwrap();
    let mut child =
        tornello(&["replay", "--limit", "4500", "--acks", "-"], folder.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut acknowledged = Acknowledged::default();
    let mut line = String::new();
    for _ in 0..KILLED_AFTER {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the replay ended by itself");
        acknowledged.take_in(line.trim_end());
    }
    child.kill().unwrap();
    let status = child.wait().unwrap();
    #[cfg(unix)]
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{status}");
    // What had left the process before it died; a last line may have been cut.
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    rest.split_inclusive('\n').filter(|line| line.ends_with('\n')).for_each(|line| acknowledged.take_in(line.trim_end()));
    let counts = [acknowledged.sold.len(), acknowledged.cancelled.len(), acknowledged.admitted.len()];
    assert!(counts.iter().all(|count| *count > 300), "{counts:?}");

    let verified = run(&["verify"], folder.path());
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    actix_rt::System::new().block_on(there_after_a_restart(folder.path(), acknowledged));
}

async fn there_after_a_restart(data: &Path, acknowledged: Acknowledged) {
    let journal = FileJournal::open(&data.join("journal.log")).await.expect("the journal opens");
    let head = journal.head().await.expect("the journal has an end");
    let running = Node::start(&Settings::new(data), Arc::new(ManualClock::new(head.at)), |_| {}).await.expect("the installation starts again");
    let node = running.node();
    let mut slots: BTreeMap<SlotId, Acknowledged> = BTreeMap::new();
    for sale in acknowledged.sold {
        slots.entry(sale.slot()).or_default().sold.insert(sale);
    }
    for sale in acknowledged.cancelled {
        slots.entry(sale.slot()).or_default().cancelled.insert(sale);
    }
    for ticket in acknowledged.admitted {
        slots.entry(ticket.slot()).or_default().admitted.insert(ticket);
    }
    for (id, Acknowledged { sold, cancelled, admitted }) in slots {
        let missing = node.look(id, move |slot| {
            slot.recount().expect("the slot is sound");
            let is_cancelled =
                |sale: &HoldId| slot.sale_of(*sale).is_some_and(|sale| sale.tickets.iter().all(|ticket| ticket.state == TicketState::Cancelled));
            let is_inside = |ticket: &TicketId| slot.ticket_of(*ticket).is_some_and(|(_, ticket)| matches!(ticket.state, TicketState::Inside { .. }));
            let sold = sold.iter().filter(|sale| slot.sale_of(**sale).is_none()).map(|sale| format!("sold {sale}"));
            let cancelled = cancelled.iter().filter(|sale| !is_cancelled(sale)).map(|sale| format!("cancelled {sale}"));
            let admitted = admitted.iter().filter(|ticket| !is_inside(ticket)).map(|ticket| format!("admitted {ticket}"));
            sold.chain(cancelled).chain(admitted).collect::<Vec<_>>()
        });
        assert_eq!(missing.await.expect("a slot with a sale can be looked at"), Vec::<String>::new(), "acknowledged and lost");
    }
    running.stop().await;
}
