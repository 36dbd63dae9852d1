//! What a data folder holds over restarts: everything with and without the read models, unless it is damaged, in use, or of another time.

use std::path::Path;
use std::time::Duration;

use sqlx::{ConnectOptions, Connection};
use tornello_engine::ids::{PaymentId, PersonId};
use tornello_engine::ticket::{CodeError, Payload};

use super::*;
use crate::journal::Span;
use crate::journal::wire::{self, Wire};
use crate::keys::{Denied, NewKey, Role};
use crate::node::Writing;
use crate::node::startup::{AHEAD_S, BEHIND_S};
use crate::people::{Contact, PeopleError};
use crate::views::SaleFilter;
use crate::views::compare::{Compared, compare};

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
        (tomorrow().start(), Command::Unblock { sale, tickets: vec![], reason: None, keeps: None }, ["inside", "valid", "cancelled"]),
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

/// All that a folder holds, in another place.
fn copy_of(folder: &TempDir) -> TempDir {
    let copy = TempDir::new().unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    copy
}

/// Whether a start on such a folder is refused; if not, the slot is what it was, and can be sold. What the refusal says.
async fn refused_or_sells(folder: &TempDir, head: SlotHead, what: &str) -> Option<String> {
    let house = match House::in_folder(folder).await {
        Ok(house) => house,
        Err(error) => return Some(error.to_string()),
    };
    assert_eq!(house.node().board().head(tomorrow()), Some(head), "{what}");
    let sold = house.ask(90, sell(90, 1)).await;
    assert!(sold.is_ok(), "{what}: {sold:?}");
    house.running.stop().await;
    None
}

#[actix_rt::test]
async fn a_saved_head_that_is_damaged_or_does_not_fit_the_journal_stops_no_sale() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(1, sell(1, 3)).await.unwrap();
    house.ask(2, hold(2, 2)).await.unwrap();
    let (head, end) = (house.node().board().head(tomorrow()).unwrap(), house.node().head());
    house.running.stop().await;
    let data = postcard::to_allocvec(&head).unwrap();
    // The first bits are the number of the last record; the others are taken here and there.
    let bits = (0..3).chain((3..data.len() * 8).step_by(83));
    let flipped = bits.map(|bit| {
        let mut data = data.clone();
        data[bit / 8] ^= 1 << (bit % 8);
        let hex = data.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        (format!("bit {bit}"), format!("UPDATE head SET data = x'{hex}' WHERE slot = '{}'", tomorrow()))
    });
    let others = [
        "UPDATE head SET slot = 'no slot'",
        "DELETE FROM head",
        "UPDATE position SET batch = batch + 1 WHERE name = 'heads'",
        "UPDATE position SET hash = zeroblob(32) WHERE name = 'known'",
        "DELETE FROM position WHERE name = 'heads'",
    ];
    for (what, sql) in flipped.chain(others.map(|sql| (sql.to_owned(), sql.to_owned()))) {
        let copy = copy_of(&folder);
        change(&copy, "views.db", sql.leak()).await;
        assert_eq!(refused_or_sells(&copy, head, &what).await, None, "{what}");
    }
    // Whole and wrong, as of a file that is older in one place than in another.
    for seq in [head.seq - 1, head.seq + 1] {
        let copy = copy_of(&folder);
        let views = Views::open(&copy.path().join("views.db")).await.unwrap();
        let journal = FileJournal::open(&copy.path().join(file::FILE)).await.unwrap();
        views.save_heads(&[(tomorrow(), SlotHead { seq, ..head })], &end, &journal).await.unwrap();
        views.close().await;
        drop(journal);
        assert_eq!(refused_or_sells(&copy, head, &format!("record {seq}")).await, None, "record {seq}");
    }
}

#[actix_rt::test]
async fn read_models_that_are_damaged_anywhere_are_built_again_or_say_what_to_do() {
    /// In how many places of each file a bit is changed.
    const PLACES: u64 = 9;
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(1, sell(1, 3)).await.unwrap();
    house.ask(2, hold(2, 2)).await.unwrap();
    let head = house.node().board().head(tomorrow()).unwrap();
    house.node().files().unwrap().views.reach(house.node().head().number).await;
    // As a process leaves it that is killed, and one that stops.
    let killed = copy_of(&folder);
    house.running.stop().await;
    let (mut refused, mut starts) = (0, 0);
    for (from, name) in [(&folder, "views.db"), (&killed, "views.db"), (&killed, "views.db-wal")] {
        let bytes = std::fs::read(from.path().join(name)).unwrap();
        let length = bytes.len() as u64;
        // The first bytes say of what form all of it is; then here and there.
        for at in [18, 21, 26].into_iter().chain((0..PLACES).map(|n| n * length / PLACES + 3 * n)) {
            let copy = copy_of(from);
            let mut bytes = bytes.clone();
            bytes[at as usize] ^= 4;
            std::fs::write(copy.path().join(name), bytes).unwrap();
            let what = format!("byte {at} of {length} of {name}");
            starts += 1;
            if let Some(said) = refused_or_sells(&copy, head, &what).await {
                assert!(said.contains("delete views.db"), "{what}: {said}");
                refused += 1;
            }
        }
        let copy = copy_of(from);
        std::fs::write(copy.path().join(name), &bytes[..bytes.len() * 2 / 3]).unwrap();
        assert_eq!(refused_or_sells(&copy, head, &format!("{name} cut")).await, None, "{name} cut");
    }
    assert!(refused < starts / 6, "{refused} of {starts} starts were refused");
}

#[actix_rt::test]
async fn lists_are_compared_with_what_the_journal_says() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    let sale = HoldId::new(tomorrow(), 1);
    let arrival = HoldId::new(SlotId::new(MUSEUM, RouteId(1), tomorrow().start().plus_seconds(3_600)), 7);
    let prices = vec![(code("full"), Cents::new(1_200))];
    let begin = Command::BeginMove { sale, owner: None, tickets: vec![0], arrival, via: Channel::BoxOffice, prices };
    house.ask(1, sell(1, 3)).await.unwrap();
    house.ask(2, hold(2, 2)).await.unwrap();
    house.ask(3, Command::Cancel { sale, owner: None, tickets: vec![2], cause: slot::CancelCause::Visitor }).await.unwrap();
    crate::moves::move_tickets(house.node(), tomorrow(), by(4), begin).await.unwrap();
    let views = house.node().files().unwrap().views.clone();
    // Round after round, and not all at once as when they are built again.
    views.reach(house.node().head().number).await;
    house.ask(5, Command::Block { sale, tickets: vec![1], reason: code("torn") }).await.unwrap();
    house.running.stop().await;
    let journal = FileJournal::open(&folder.path().join(file::FILE)).await.unwrap();
    let end = journal.head().await.unwrap().number;
    let compared = async || compare(folder.path(), &journal).await.unwrap();
    assert_eq!(compared().await, Compared::At { batch: end, differences: vec![] });
    assert!(!folder.path().join("views.check").exists());
    for (sql, table, counts, word) in [
        ("UPDATE ticket SET state = 'valie' WHERE state = 'valid'", "ticket", (2, 2), "'valie'"),
        ("DELETE FROM sale WHERE settlement = 'moved'", "sale", (1, 0), "'moved'"),
    ] {
        let copy = copy_of(&folder);
        change(&copy, "views.db", sql).await;
        let Compared::At { batch, differences } = compare(copy.path(), &journal).await.unwrap() else { panic!("{sql}: it hangs together") };
        let [found] = &differences[..] else { panic!("{sql}: {differences:?}") };
        assert_eq!((batch, found.table.as_str(), (found.missing, found.wrong)), (end, table, counts), "{found:?}");
        assert!(found.example.contains(word), "{found:?}");
    }
    // What a start would not believe is not compared.
    let copy = copy_of(&folder);
    std::fs::write(copy.path().join("views.boot"), "damaged").unwrap();
    assert_eq!(compare(copy.path(), &journal).await.unwrap(), Compared::BuiltAnyway("views.db was damaged"));
    assert_eq!(compared().await, Compared::At { batch: end, differences: vec![] }, "nothing was changed");
}

#[actix_rt::test]
async fn lists_that_are_built_at_once_are_those_that_grew_round_by_round() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    let (sale, gate) = (HoldId::new(tomorrow(), 1), code("north"));
    let at = |seconds| tomorrow().start().plus_seconds(seconds);
    let steps = [
        (now(), sell(1, 3)),
        (at(0), Command::Block { sale, tickets: vec![0], reason: code("torn") }),
        (at(10), Command::Unblock { sale, tickets: vec![0], reason: None, keeps: None }),
        (at(20), Command::Admit { ticket: sale.ticket(0), issue: None, gate, museum: MUSEUM }),
        (at(30), Command::Exit { ticket: sale.ticket(0), gate, museum: MUSEUM }),
    ];
    let views = house.node().files().unwrap().views.clone();
    for (key, (at, command)) in (1..).zip(steps) {
        house.clock.set(at);
        house.ask(key, command).await.unwrap();
        views.reach(house.node().head().number).await;
    }
    let first = views.tickets(tomorrow(), "", 1).await.unwrap().remove(0);
    assert_eq!((first.state.as_str(), first.changed_at), ("outside", at(30)));
    house.running.stop().await;
    let journal = FileJournal::open(&folder.path().join(file::FILE)).await.unwrap();
    let end = journal.head().await.unwrap().number;
    assert_eq!(compare(folder.path(), &journal).await.unwrap(), Compared::At { batch: end, differences: vec![] });
}

/// What was built from the journal is gone, as when the machine ended while it was written.
fn forget_what_was_built(folder: &TempDir) {
    for name in ["views.db", "views.db-wal", "views.db-shm", "scorers.state"] {
        let _ = std::fs::remove_file(folder.path().join(name));
    }
}

#[actix_rt::test]
async fn a_torn_tail_is_cut_and_damage_before_it_stops_the_start() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(1, sell(1, 3)).await.unwrap();
    house.ask(2, sell(2, 2)).await.unwrap();
    let last = house.node().head().number;
    house.running.stop().await;
    // The last batch is torn: what it held is gone, and said so; the rest is there. Nothing was ever built from a torn batch.
    forget_what_was_built(&folder);
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

/// An event that a program to come writes.
struct ToCome;

impl Wire for ToCome {
    fn tag(&self) -> (u16, u16) {
        (u16::MAX, 1)
    }
    fn write(&self, out: &mut Vec<u8>) {
        out.push(1);
    }
    fn read(_: u16, _: u16, _: &[u8]) -> Option<Self> {
        None
    }
}

#[actix_rt::test]
async fn what_a_newer_program_wrote_is_neither_damaged_nor_lost() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(1, sell(1, 3)).await.unwrap();
    let head = house.node().head();
    house.running.stop().await;
    let path = folder.path().join(file::FILE);
    let journal = FileJournal::open(&path).await.unwrap();
    let (stream, mut records) = (StreamId::Slot(tomorrow()), Vec::new());
    wire::encode(stream, &Record { seq: 2, at: head.at, envelope: None, events: vec![ToCome] }, &mut records);
    let spans = vec![Span { stream, first: 2, last: 2 }];
    let number = head.number + 1;
    journal.append(&Batch { number, previous: head.hash, at: head.at, records, spans }).await.unwrap();
    drop(journal);
    let bytes = std::fs::read(&path).unwrap();
    let refused = House::in_folder(&folder).await.err();
    assert!(matches!(&refused, Some(StartError::Newer(JournalError::Newer { batch, .. })) if *batch == number), "{refused:?}");
    assert!(std::fs::read(&path).unwrap() == bytes, "nothing was cut off");
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
async fn a_journal_without_batches_that_were_answered_starts_only_if_that_is_accepted() {
    let (folder, backup) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let copied = |from: &TempDir, to: &TempDir| {
        for name in [file::FILE, "views.db", "views.boot", "scorers.state"] {
            std::fs::copy(from.path().join(name), to.path().join(name)).unwrap();
        }
    };
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(1, sell(1, 3)).await.unwrap();
    let older = house.node().head().number;
    house.running.stop().await;
    copied(&folder, &backup);
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(2, sell(2, 2)).await.unwrap();
    house.ask(3, sell(3, 1)).await.unwrap();
    let last = house.node().head().number;
    house.running.stop().await;

    let journal = folder.path().join(file::FILE);
    let (whole, places) = (std::fs::read(&journal).unwrap(), begins(&journal));
    let (begin, before) = (places[places.len() - 1] as usize, places[places.len() - 2] as usize);
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap();
    let mut zeros = whole.clone();
    zeros[begin..].fill(0);
    let losses = [
        ("a bit of the last batch has changed", changed(&whole, end), last),
        ("a bit of its header has changed", changed(&whole, begin + 30), last),
        ("the last batch is cut short", whole[..begin + 150].to_vec(), last),
        ("the last batch is zeros", zeros, last),
        ("the file ends where a batch ends", whole[..begin].to_vec(), last),
        ("two batches are missing", whole[..before].to_vec(), last - 1),
        ("an older copy", std::fs::read(backup.path().join(file::FILE)).unwrap(), older + 1),
        ("no file", Vec::new(), 1),
    ];
    for (what, bytes, expected) in losses {
        std::fs::write(&journal, &bytes).unwrap();
        let refused = House::in_folder(&folder).await.err();
        let named = matches!(refused, Some(StartError::Lost { first, last: known, .. }) if (first, known) == (expected, last));
        assert!(named, "{what}: {refused:?}");
        assert!(std::fs::read(&journal).unwrap() == bytes, "{what}: what is left was changed");
    }
    // The scorers know it too.
    std::fs::write(&journal, &whole[..begin]).unwrap();
    for name in ["views.db", "views.db-wal", "views.db-shm"] {
        let _ = std::fs::remove_file(folder.path().join(name));
    }
    let refused = House::in_folder(&folder).await.err();
    assert!(matches!(refused, Some(StartError::Lost { built: "scorers.state", .. })), "{refused:?}");

    // Accepted once, it goes on from what is left, and is not asked again.
    let clock = Arc::new(ManualClock::new(now()));
    let settings = Settings { accept_loss: true, ..Settings::new(folder.path()) };
    std::fs::write(&journal, changed(&whole, end)).unwrap();
    let running = Node::start(&settings, Arc::clone(&clock) as _, |_| {}).await.unwrap();
    let house = House { running, clock };
    assert_eq!((house.node().started().cut, house.node().head().number, house.taken()), (Some(last), last - 1, 5));
    house.ask(4, sell(4, 4)).await.unwrap();
    let views = house.node().files().unwrap().views.clone();
    views.reach(house.node().head().number).await;
    let sold: Vec<u32> = views.sales(&SaleFilter::default(), 10).await.unwrap().iter().map(|sale| sale.people).collect();
    assert_eq!(sold, [3, 2, 4]);
    house.running.stop().await;
    let house = House::in_folder(&folder).await.unwrap();
    assert_eq!(house.taken(), 9);
    house.running.stop().await;

    // A backup of everything is of one moment, however old.
    forget_what_was_built(&folder);
    copied(&backup, &folder);
    let house = House::in_folder(&folder).await.unwrap();
    assert_eq!(house.taken(), 3);
    house.running.stop().await;
}

#[actix_rt::test]
async fn what_is_lost_is_not_forgotten_when_the_machine_ends_after_a_refused_start() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(1, sell(1, 3)).await.unwrap();
    house.running.stop().await;
    let journal = folder.path().join(file::FILE);
    let begin = begins(&journal).pop().unwrap();
    std::fs::OpenOptions::new().write(true).open(&journal).unwrap().set_len(begin).unwrap();
    std::fs::remove_file(folder.path().join("scorers.state")).unwrap();
    // The lists alone know of it. Of a machine that has ended they are believed only if they were flushed.
    for time in ["the first time", "the second time"] {
        let refused = House::in_folder(&folder).await.err();
        assert!(matches!(refused, Some(StartError::Lost { built: "views.db", .. })), "{time}: {refused:?}");
        assert_eq!(std::fs::read_to_string(folder.path().join("views.boot")).unwrap(), "flushed", "{time}");
    }
}

/// A machine is replaced, and the program with it, and the journal was copied before the last sale.
#[actix_rt::test]
async fn what_is_lost_is_known_to_lists_of_an_earlier_version_too() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(1, sell(1, 3)).await.unwrap();
    house.running.stop().await;
    let path = folder.path().join(file::FILE);
    let (whole, begin) = (std::fs::read(&path).unwrap(), begins(&path).pop().unwrap() as usize);
    std::fs::remove_file(folder.path().join("scorers.state")).unwrap();
    let cut_short = [("a batch is missing", whole[..begin].to_vec()), ("the last batch has rotted", changed(&whole, begin + 150))];
    for (what, bytes) in cut_short {
        std::fs::write(&path, &bytes).unwrap();
        change(&folder, "views.db", "PRAGMA user_version = 1").await;
        for time in ["the first time", "the second time"] {
            let refused = House::in_folder(&folder).await.err();
            assert!(matches!(refused, Some(StartError::Lost { built: "views.db", .. })), "{what}, {time}: {refused:?}");
            assert!(std::fs::read(&path).unwrap() == bytes, "{what}, {time}: what is left was changed");
        }
    }
    std::fs::write(&path, &whole).unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    assert_eq!(house.taken(), 3);
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_journal_with_other_batches_than_were_answered_starts_only_if_that_is_accepted() {
    let (folder, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    for (folder, people) in [(&folder, 3), (&other, 2)] {
        let house = House::in_folder(folder).await.unwrap();
        house.ask(1, sell(1, people)).await.unwrap();
        house.ask(2, sell(2, people)).await.unwrap();
        house.running.stop().await;
    }
    std::fs::copy(other.path().join(file::FILE), folder.path().join(file::FILE)).unwrap();
    let refused = House::in_folder(&folder).await.err();
    assert!(matches!(refused, Some(StartError::Lost { first, last, .. }) if first == last), "{refused:?}");
}

/// A ticket of the sale that `sell(1, ..)` makes, as its code says it.
fn ticket() -> Payload {
    let start = tomorrow().start();
    Payload::new(HoldId::new(tomorrow(), 1).ticket(0), 1, Proof::None, start, start.plus_seconds(3_600))
}

/// Puts back copies of files.
fn put_back(from: &TempDir, to: &TempDir, names: &[&str]) {
    for name in names {
        std::fs::copy(from.path().join(name), to.path().join(name)).unwrap();
    }
}

fn lose(folder: &TempDir, names: &[&str]) {
    for name in names {
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
}

/// A start must be refused for want of these, and make none of them.
async fn is_refused_without(folder: &TempDir, missing: &[KeyFile]) {
    let refused = House::in_folder(folder).await.err();
    assert!(matches!(&refused, Some(StartError::NoKeys { files, .. }) if files == missing), "{missing:?}: {refused:?}");
    let told = refused.map(|error| error.to_string()).unwrap_or_default();
    assert!(told.contains("--new-keys"), "{told}");
    for name in missing.iter().map(|file| file.name()) {
        assert!(told.contains(name) && !folder.path().join(name).exists(), "{name}: {told}");
    }
}

#[actix_rt::test]
async fn a_journal_that_is_put_back_is_not_started_before_its_keys_are() {
    let (folder, restored) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(1, sell(1, 3)).await.unwrap();
    let signed = house.node().files().unwrap().codes.sign(&ticket());
    house.running.stop().await;
    put_back(&folder, &restored, &[file::FILE]);
    for _ in 0..2 {
        is_refused_without(&restored, &[KeyFile::Signing, KeyFile::Master]).await;
    }
    put_back(&folder, &restored, &["signing.keys"]);
    is_refused_without(&restored, &[KeyFile::Master]).await;
    put_back(&folder, &restored, &["master.key"]);
    let house = House::in_folder(&restored).await.unwrap();
    assert_eq!((house.taken(), house.node().files().unwrap().codes.verify(&signed)), (3, Ok(ticket())));
    house.running.stop().await;
    // Where the journal is missing too, the rest says that there was one.
    lose(&restored, &[file::FILE, "signing.keys"]);
    is_refused_without(&restored, &[KeyFile::Signing]).await;
    lose(&restored, &["master.key", "views.db", "scorers.state"]);
    is_refused_without(&restored, &[KeyFile::Signing, KeyFile::Master]).await;
}

#[actix_rt::test]
async fn new_keys_are_made_in_the_place_of_lost_ones_if_that_is_accepted() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(1, sell(1, 3)).await.unwrap();
    let signed = house.node().files().unwrap().codes.sign(&ticket());
    house.running.stop().await;
    let settings = Settings { new_keys: true, ..Settings::new(folder.path()) };
    let clock = || Arc::new(ManualClock::new(now()));
    // Nothing is missing: nothing is made.
    Node::start(&settings, clock(), |_| {}).await.unwrap().stop().await;
    let house = House::in_folder(&folder).await.unwrap();
    assert_eq!(house.node().files().unwrap().codes.verify(&signed), Ok(ticket()));
    house.running.stop().await;

    // Contacts are not thrown away: somebody may find the key yet.
    lose(&folder, &["signing.keys", "master.key"]);
    let refused = Node::start(&settings, clock(), |_| {}).await.err();
    assert!(matches!(refused, Some(StartError::People(PeopleError::WrongMasterKey))), "{refused:?}");
    assert!(refused.is_some_and(|error| error.to_string().contains("move people.db and people-keys.db away")));
    lose(&folder, &["signing.keys", "master.key", "people.db", "people-keys.db"]);
    Node::start(&settings, clock(), |_| {}).await.unwrap().stop().await;
    // It is said once.
    let house = House::in_folder(&folder).await.unwrap();
    let codes = &house.node().files().unwrap().codes;
    assert_eq!((house.taken(), codes.verify(&signed)), (3, Err(CodeError::UnknownKey { key: SigningKeys::FIRST })));
    assert_eq!(codes.verify(&codes.sign(&ticket())), Ok(ticket()));
    house.running.stop().await;
}

#[actix_rt::test]
async fn keys_that_were_made_after_the_journal_had_begun_are_doubted() {
    let (folder, other, later) = (TempDir::new().unwrap(), TempDir::new().unwrap(), now().plus_seconds(3_600));
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(1, sell(1, 3)).await.unwrap();
    house.running.stop().await;
    // On another machine the program is started first, and the copy is put in then.
    Node::start(&Settings::new(other.path()), Arc::new(ManualClock::new(later)), |_| {}).await.unwrap().stop().await;
    put_back(&folder, &other, &[file::FILE]);
    let house = House::in_folder_at(&other, later).await.unwrap();
    assert_eq!(house.taken(), 3);
    house.running.stop().await;
    for (folder, doubted) in [(&folder, false), (&other, true)] {
        let journal = FileJournal::open(&folder.path().join(file::FILE)).await.unwrap();
        let keys = SigningKeys::load_or_create(folder.path().join("signing.keys"), later).unwrap();
        assert_eq!(doubt_keys(&keys, &journal).await, doubted);
    }
}

#[actix_rt::test]
async fn nobody_else_has_the_folder_before_all_that_writes_there_has_ended() {
    let folder = TempDir::new().unwrap();
    let mut house = House::in_folder(&folder).await.unwrap();
    house.ask(1, sell(1, 3)).await.unwrap();
    // The writer takes its time.
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let Writing::Apart(writer) = std::mem::replace(&mut house.running.writer, Writing::Apart(std::thread::spawn(|| ()))) else { unreachable!() };
    let late = move || {
        let _ = held.recv();
        writer.join().unwrap();
    };
    house.running.writer = Writing::Apart(std::thread::spawn(late));
    let node = Arc::downgrade(house.node());
    let stopping = actix_rt::spawn(house.running.stop());
    while node.strong_count() > 0 {
        tokio::task::yield_now().await;
    }
    let early = House::in_folder(&folder).await.err();
    assert!(matches!(early, Some(StartError::InUse(_))), "{early:?}");
    drop(let_go);
    stopping.await.unwrap();
    House::in_folder(&folder).await.unwrap().running.stop().await;
}

#[actix_rt::test]
async fn lists_count_as_flushed_only_when_nobody_writes_to_them_any_more() {
    let folder = TempDir::new().unwrap();
    for ended in [true, false] {
        let mut house = House::in_folder(&folder).await.unwrap();
        let mut follower = None;
        if !ended {
            // Nobody ever says that the follower has ended.
            follower = house.running.listed.replace(oneshot::channel().1);
        }
        house.running.stop().await;
        let stamp = std::fs::read_to_string(folder.path().join("views.boot")).unwrap();
        assert_eq!(stamp == "flushed", ended, "{stamp}");
        if let Some(follower) = follower {
            follower.await.unwrap();
        }
    }
}

#[cfg(unix)]
#[actix_rt::test]
async fn what_a_folder_holds_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = TempDir::new().unwrap();
    let data = place.path().join("data");
    let mode = |name: &str| std::fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777;
    for made_before in [false, true] {
        if made_before {
            for (name, mode) in [("", 0o755), (file::FILE, 0o644), ("views.db", 0o666), ("keys.db", 0o640)] {
                std::fs::set_permissions(data.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
            }
        }
        let running = Node::start(&Settings::new(&data), Arc::new(ManualClock::new(now())), |_| {}).await.unwrap();
        if !made_before {
            open_museum(running.node()).await;
        }
        for name in [file::FILE, "views.db", "views.db-wal", "views.db-shm", "keys.db", "people.db", "people-keys.db"] {
            assert_eq!(mode(name), 0o600, "{name}, made before: {made_before}");
        }
        running.stop().await;
        assert_eq!((mode(""), mode("scorers.state")), (0o700, 0o600), "made before: {made_before}");
    }
}

#[actix_rt::test]
async fn what_a_kill_left_of_a_save_is_gone_at_the_next_start() {
    let folder = TempDir::new().unwrap();
    House::in_folder(&folder).await.unwrap().running.stop().await;
    let (saved, left) = (folder.path().join("scorers.state"), folder.path().join("scorers.state.new"));
    let before = std::fs::read(&saved).unwrap();
    std::fs::write(&left, "half writ").unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    assert!(!left.exists());
    assert_eq!(std::fs::read(&saved).unwrap(), before, "what was saved stays");
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_revocation_is_seen_in_time_whatever_else_the_house_has_to_do() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    let operator = Keys::open(folder.path().join("keys.db")).await.unwrap();
    let new = NewKey { name: "North gate".to_owned(), role: Role::Gate, museums: crate::keys::Museums::All, account: None, expires_at: None };
    let (text, key) = operator.create(new, now()).await.unwrap();
    let keys = &house.node().files().unwrap().keys;
    keys.refresh().await.unwrap();
    assert!(keys.authenticate(text.expose(), now()).is_ok());
    // What retires owners, and looks at models and contacts, is busy for good.
    house.running.tasks[1].abort();
    operator.revoke(key.id, now()).await.unwrap();
    let seen = async {
        while keys.authenticate(text.expose(), now()).err() != Some(Denied::Revoked) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), seen).await.expect("the revocation is seen");
    operator.close().await;
    house.running.stop().await;
}

#[actix_rt::test]
async fn one_process_at_a_time_and_a_clock_that_fits_the_journal() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    assert!(matches!(House::in_folder(&folder).await.err(), Some(StartError::InUse(_))));
    // Nor by whoever takes the file for one that was left over.
    std::fs::remove_file(folder.path().join("lock")).unwrap();
    assert!(matches!(House::in_folder(&folder).await.err(), Some(StartError::InUse(_))));
    house.ask(1, sell(1, 3)).await.unwrap();
    house.running.stop().await;
    for apart_s in [-BEHIND_S - 1, AHEAD_S + 1] {
        let clock = || Arc::new(ManualClock::new(now().plus_seconds(apart_s)));
        let mut settings = Settings::new(folder.path());
        assert!(matches!(Node::start(&settings, clock(), |_| {}).await.err(), Some(StartError::Clock { .. })), "{apart_s}");
        settings.accept_clock = true;
        Node::start(&settings, clock(), |_| {}).await.unwrap().stop().await;
    }
}

/// As of a machine that has lost its clock, and is months ahead until somebody sets it: it is believed, as of a house that was closed.
#[actix_rt::test]
async fn a_clock_that_is_far_ahead_at_a_start_erases_nobody_for_a_day() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(1, sell(1, 3)).await.unwrap();
    let (person, contact) = (PersonId(7), Contact::holder("Ada", "Neri").unwrap());
    house.node().files().unwrap().people.put(person, &contact, now(), Some(now().plus_seconds(DAY_S))).await.unwrap();
    house.running.stop().await;
    let ahead = now().plus_seconds(100 * DAY_S);
    let clock = Arc::new(ManualClock::new(ahead));
    let running = Node::start(&Settings::new(folder.path()), Arc::clone(&clock) as _, |_| {}).await.unwrap();
    let (node, people) = (Arc::clone(running.node()), running.node().files().unwrap().people.clone());
    for (since_s, is_known) in [(0, true), (DAY_S - 1, true), (DAY_S, false)] {
        clock.set(ahead.plus_seconds(since_s));
        node.erase_due().await.unwrap();
        assert_eq!(people.get(person).await.unwrap().is_some(), is_known, "{since_s} s after the start");
    }
    drop(node);
    running.stop().await;
}
