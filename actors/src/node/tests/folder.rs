//! What a data folder holds over restarts: everything with and without the read models, unless it is damaged, in use, or of another time.

use std::path::Path;

use sqlx::{ConnectOptions, Connection};
use tornello_engine::ids::PaymentId;

use super::*;
use crate::node::startup::{AHEAD_S, BEHIND_S};
use crate::views::SaleFilter;

#[actix_rt::test]
async fn everything_is_there_after_a_restart_with_and_without_the_read_models() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(1, hold(1, 2)).await.unwrap();
    house.ask(2, sell(2, 3)).await.unwrap();
    house.ask(3, sell(3, 1)).await.unwrap();
    let digest = |slot: &Slot| postcard::to_allocvec(slot).unwrap();
    let (state, head) = (house.node().look(tomorrow(), digest).await.unwrap(), house.node().board().head(tomorrow()));
    let views = house.node().files().unwrap().views.clone();
    views.reach(house.node().head().number).await;
    let sales = views.sales(&SaleFilter::default(), 10).await.unwrap();
    assert_eq!(
        sales.iter().map(|sale| (sale.people, sale.total_cents, sale.reference.as_str())).collect::<Vec<_>>(),
        [(3, 3_600, "R-2"), (1, 1_200, "R-3")]
    );
    house.running.stop().await;
    for drop_views in [false, true] {
        if drop_views {
            std::fs::remove_file(folder.path().join("views.db")).unwrap();
        }
        let house = House::in_folder(&folder).await.unwrap();
        assert_eq!(house.node().board().head(tomorrow()), head, "views dropped: {drop_views}");
        assert_eq!(house.node().look(tomorrow(), digest).await.unwrap(), state);
        let views = house.node().files().unwrap().views.clone();
        views.reach(house.node().head().number).await;
        assert_eq!(views.sales(&SaleFilter::default(), 10).await.unwrap(), sales);
        let by_reference = SaleFilter { reference: Some("R-3".into()), ..SaleFilter::default() };
        assert_eq!(views.sales(&by_reference, 10).await.unwrap(), sales[1..]);
        assert_eq!(views.tickets(tomorrow(), "", 10).await.unwrap().len(), 4);
        house.running.stop().await;
    }
}

#[actix_rt::test]
async fn a_snapshot_is_used_and_a_damaged_one_is_not() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(1, sell(1, 3)).await.unwrap();
    house.running.stop().await;
    let views = Views::open(&folder.path().join("views.db")).await.unwrap();
    let (snapshots, _) = views.snapshots();
    assert_eq!(snapshots.load::<Slot>(StreamId::Slot(tomorrow())).await.map(|slot| slot.seq()), Some(1));
    views.close().await;
    change(&folder, "views.db", "UPDATE snapshot SET state = zeroblob(length(state))").await;
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(2, sell(2, 1)).await.unwrap();
    assert_eq!(house.taken(), 4);
    house.running.stop().await;
}

#[actix_rt::test]
async fn the_lists_follow_what_becomes_of_tickets() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    let sale = HoldId::new(tomorrow(), 1);
    let gate = code("north");
    let admit = Command::Admit { ticket: sale.ticket(0), issue: None, gate, museum: MUSEUM };
    let steps = [
        (now(), sell(1, 3), ["valid", "valid", "valid"]),
        (now(), Command::Cancel { sale, owner: None, tickets: vec![2], cause: slot::CancelCause::Visitor }, ["valid", "valid", "cancelled"]),
        (tomorrow().start(), admit, ["inside", "valid", "cancelled"]),
        (tomorrow().start(), Command::Block { sale, tickets: vec![], reason: code("review") }, ["blocked", "blocked", "cancelled"]),
        (tomorrow().start(), Command::Unblock { sale, tickets: vec![] }, ["inside", "valid", "cancelled"]),
        (tomorrow().start(), Command::Exit { ticket: sale.ticket(0), gate, museum: MUSEUM }, ["outside", "valid", "cancelled"]),
    ];
    let views = house.node().files().unwrap().views.clone();
    for (key, (at, command, expected)) in (1..).zip(steps) {
        house.clock.set(at);
        house.ask(key, command.clone()).await.unwrap();
        views.reach(house.node().head().number).await;
        let states: Vec<String> = views.tickets(tomorrow(), "", 10).await.unwrap().into_iter().map(|ticket| ticket.state).collect();
        assert_eq!(states, expected, "after {command:?}");
    }
    let row = views.sales(&SaleFilter { slot: Some(tomorrow()), ..SaleFilter::default() }, 10).await.unwrap().remove(0);
    assert_eq!((row.people, row.cancelled, row.admitted, row.refunded_cents), (3, 1, 1, 600));
    // What a payment settled is listed with the payment.
    let (id, channel) = (PaymentId::new(2, 5), Channel::Kiosk);
    let (sale, settlement) = (HoldId::new(tomorrow(), 9), Settlement::Payment { id });
    house.ask(90, Command::SellDirect { sale, channel, lines: lines(1), settlement, contact: None }).await.unwrap();
    views.reach(house.node().head().number).await;
    let rows =
        views.sales(&SaleFilter { slot: Some(tomorrow()), after: Some(HoldId::new(tomorrow(), 1)), ..SaleFilter::default() }, 10).await.unwrap();
    assert_eq!(rows.iter().map(|row| (row.settlement.as_str(), row.account.clone())).collect::<Vec<_>>(), [("payment", id.to_string())]);
    house.running.stop().await;
}

pub(super) async fn change(folder: &TempDir, file: &str, sql: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join(file));
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[actix_rt::test]
async fn a_torn_tail_is_cut_and_damage_before_it_stops_the_start() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(1, sell(1, 3)).await.unwrap();
    house.ask(2, sell(2, 2)).await.unwrap();
    let last = house.node().head().number;
    house.running.stop().await;
    // The last batch is torn: what it held is gone, and said so; the rest is there.
    let journal = folder.path().join(file::FILE);
    let places = begins(&journal);
    let file = std::fs::OpenOptions::new().write(true).open(&journal).unwrap();
    file.set_len(places[places.len() - 1] + 150).unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    assert_eq!((house.node().started().cut, house.node().head().number, house.taken()), (Some(last), last - 1, 3));
    house.ask(3, sell(3, 1)).await.unwrap();
    house.running.stop().await;
    // Damage in the middle, of any part, names the batch and starts nothing.
    let sound = std::fs::read(&journal).unwrap();
    let (second, third) = (places[1] as usize, places[2] as usize);
    let damages: [(&str, Vec<u8>, &str); 5] = [
        ("a record", changed(&sound, third - 1), "batch 2 of the journal is damaged: its hash is not the stored one"),
        ("the previous hash", changed(&sound, second + 30), "batch 2 of the journal is damaged: its header cannot be read"),
        ("the length", changed(&sound, second + 92), "batch 2 of the journal is damaged: its header cannot be read"),
        ("the first byte", changed(&sound, 0), "batch 1 of the journal is damaged: its header cannot be read"),
        ("a whole batch", [&sound[..second], &sound[third..]].concat(), "batch 2 of the journal is damaged: it does not follow the one before"),
    ];
    for (what, bytes, told) in damages {
        std::fs::write(&journal, bytes).unwrap();
        let refused = House::in_folder(&folder).await.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains(told), "{what}: {refused}");
    }
    // What stands behind the end is no batch and hides none.
    let mut littered = sound.clone();
    *littered.last_mut().unwrap() = 7;
    std::fs::write(&journal, littered).unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    assert_eq!((house.node().started().cut, house.taken()), (Some(house.node().head().number + 1), 4));
    house.running.stop().await;
}

/// Where the batches of a journal begin.
fn begins(journal: &Path) -> Vec<u64> {
    let bytes = std::fs::read(journal).unwrap();
    bytes.windows(8).enumerate().filter(|(_, seen)| *seen == b"\xfftrnlo\x01\n").map(|(place, _)| place as u64).collect()
}

fn changed(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 0x10;
    bytes
}

#[actix_rt::test]
async fn one_process_at_a_time_and_a_clock_that_fits_the_journal() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    assert!(matches!(House::in_folder(&folder).await.err(), Some(StartError::InUse(_))));
    house.running.stop().await;
    for apart_s in [-BEHIND_S - 1, AHEAD_S + 1] {
        let clock = || Arc::new(ManualClock::new(now().plus_seconds(apart_s)));
        let mut settings = Settings::new(folder.path());
        assert!(matches!(Node::start(&settings, clock(), |_| {}).await.err(), Some(StartError::Clock { .. })), "{apart_s}");
        settings.accept_clock = true;
        Node::start(&settings, clock(), |_| {}).await.unwrap().stop().await;
    }
}
