//! A journal that is torn, damaged, or without something that was answered: it is cut where nothing was answered, and started in no other case unless somebody accepts the loss.

use std::path::Path;

use super::*;
use crate::journal::Span;
use crate::journal::wire::{self, Wire};

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
