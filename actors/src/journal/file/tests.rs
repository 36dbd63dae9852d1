//! What is promised of the file beyond what all journals promise: what is found in many batches, and what a write, a flush or a newer program that went wrong leaves.

use std::iter::once;

use tempfile::TempDir;
use tornello_engine::ids::MuseumId;
use tornello_engine::time::Timestamp;

use super::disk::faults::{self, Fault};
use super::layout::HEADER;
use super::*;

const MUSEUM: StreamId = StreamId::Museum(MuseumId(1));
const OTHER: StreamId = StreamId::Museum(MuseumId(2));

fn next(head: &Head, stream: StreamId, seq: u64, length: usize) -> Batch {
    let number = head.number + 1;
    let at = Timestamp::from_seconds(number as i64);
    Batch { number, previous: head.hash, at, records: vec![number as u8; length], spans: vec![Span { stream, first: seq, last: seq }] }
}

/// Writes that many batches of `MUSEUM`, each with one record of `length` bytes; every tenth is of `OTHER`.
async fn write(journal: &FileJournal, count: u64, length: usize) {
    for _ in 0..count {
        let head = journal.head().await.unwrap();
        let (stream, seq) = if head.number % 10 == 9 { (OTHER, head.number / 10 + 1) } else { (MUSEUM, head.number - head.number / 10 + 1) };
        journal.append(&next(&head, stream, seq, length)).await.unwrap();
    }
}

/// The numbers of a stream's records, one in each batch, read by pages of `limit` batches.
async fn seqs(journal: &FileJournal, stream: StreamId, after: u64, limit: u32) -> Vec<u64> {
    let mut seqs = Vec::new();
    loop {
        let page = journal.batches_of(stream, seqs.last().copied().unwrap_or(after), limit).await.unwrap();
        assert!(page.len() <= limit as usize, "{} batches at once, {limit} were wanted", page.len());
        if page.is_empty() {
            return seqs;
        }
        seqs.extend(page.iter().map(|batch| batch.spans[0].first));
    }
}

#[tokio::test]
async fn many_batches_are_found_by_number_and_by_stream_also_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(FILE);
    let mut journal = FileJournal::open(&path).await.unwrap();
    write(&journal, 700, 3_000).await;
    for restarted in [false, true] {
        for after in [0, 1, 62, 63, 64, 65, 128, 640, 698, 699] {
            let numbers: Vec<u64> = journal.batches(after, 3).await.unwrap().iter().map(|batch| batch.number).collect();
            assert_eq!(numbers, (after + 1..=700).take(3).collect::<Vec<_>>(), "after {after}, restarted: {restarted}");
        }
        for limit in [1, 7, 1_000] {
            assert_eq!(seqs(&journal, MUSEUM, 0, limit).await, (1..=630).collect::<Vec<_>>(), "{limit} at once, restarted: {restarted}");
            assert_eq!(seqs(&journal, MUSEUM, 63, limit).await, (64..=630).collect::<Vec<_>>(), "{limit} at once, restarted: {restarted}");
            assert_eq!(seqs(&journal, OTHER, 60, limit).await, (61..=70).collect::<Vec<_>>(), "{limit} at once, restarted: {restarted}");
        }
        for seq in [1, 2, 63, 64, 65, 127, 128, 400, 629, 630] {
            let batch = journal.batch_with(MUSEUM, seq).await.unwrap();
            assert_eq!(batch.map(|batch| batch.spans[0].first), Some(seq), "restarted: {restarted}");
        }
        assert_eq!(journal.batch_with(MUSEUM, 631).await, Ok(None));
        journal = FileJournal::open(&path).await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_of_damaged_batches_is_an_error_and_not_a_gap() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(FILE);
    let journal = FileJournal::open(&path).await.unwrap();
    write(&journal, 3, 100).await;
    let bytes = std::fs::read(&path).unwrap();
    let second = bytes.windows(8).enumerate().filter(|(_, seen)| *seen == MAGIC).nth(1).map(|(at, _)| at).unwrap();
    for at in [second, second + 40, second + HEADER + 2, second + HEADER + 40] {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(journal.batches_of(MUSEUM, 0, 10).await, Err(JournalError::Corrupt { .. })), "byte {at}");
        assert!(matches!(journal.batches(0, 1).await.as_deref(), Ok([_])), "what is sound before is read");
    }
}

/// A limit of the process on the size of files would be simpler to set than a full disk, but is of the whole process. A file opened for reading only
/// refuses writes as a disk does that was mounted for reading only.
#[tokio::test]
async fn after_a_failed_write_the_batches_end_where_they_did() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(FILE);
    let mut journal = FileJournal::open(&path).await.unwrap();
    write(&journal, 2, 100).await;
    let head = journal.head().await.unwrap();
    let inner = Arc::get_mut(&mut journal.inner).unwrap();
    let writable = std::mem::replace(&mut inner.file, File::open(&path).unwrap());
    let batch = next(&head, MUSEUM, 3, 100);
    assert!(matches!(journal.append(&batch).await, Err(JournalError::Unreachable(_))));
    assert!(journal.recover().await.is_err(), "it cannot be put in order yet");
    // A part of the batch had reached the file.
    writable.write_all_at(&[7; 50], journal.inner.state.lock().end).unwrap();
    Arc::get_mut(&mut journal.inner).unwrap().file = writable;
    assert_eq!(journal.recover().await, Ok(head));
    let (bytes, end) = (std::fs::read(&path).unwrap(), journal.inner.state.lock().end as usize);
    assert_eq!((bytes.len(), bytes[end..].iter().all(|byte| *byte == 0)), (end + AHEAD as usize, true));
    assert_eq!(journal.append(&batch).await, Ok(()));
    let again = FileJournal::open(&path).await.unwrap();
    assert_eq!(again.head().await.map(|head| head.number), Ok(3));
}

/// What the kernel has not written cannot be seen from here; that the last batch is written again can, through a file that takes no writes.
#[tokio::test]
async fn the_last_batch_is_written_again_before_anything_is_built_on_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(FILE);
    let mut journal = FileJournal::open(&path).await.unwrap();
    assert_eq!(journal.settle().await, Ok(()), "an empty file");
    write(&journal, 3, 3_000).await;
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(journal.settle().await, Ok(()));
    assert!(std::fs::read(&path).unwrap() == bytes, "nothing changes");
    Arc::get_mut(&mut journal.inner).unwrap().file = File::open(&path).unwrap();
    assert!(matches!(journal.settle().await, Err(JournalError::Unreachable(_))));
}

#[tokio::test]
async fn a_failed_flush_stops_the_file_until_it_is_opened_again() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(FILE);
    let journal = FileJournal::open(&path).await.unwrap();
    write(&journal, 1, 100).await;
    let head = journal.head().await.unwrap();
    journal.inner.writing.lock().trouble = Trouble::Flush("a bad sector".into());
    assert!(matches!(journal.append(&next(&head, MUSEUM, 2, 9)).await, Err(JournalError::FlushFailed(_))));
    assert!(matches!(journal.recover().await, Err(JournalError::FlushFailed(_))));
    write(&FileJournal::open(&path).await.unwrap(), 1, 100).await;
}

/// A copy is read from its beginning while a server goes on: what is read last has batches in it that stand behind zeros, which were read before.
#[tokio::test]
async fn a_copy_that_was_made_while_a_server_wrote_can_end_before_the_zeros_in_it() {
    let folder = TempDir::new().unwrap();
    let (path, copy) = (folder.path().join(FILE), folder.path().join("copy.log"));
    let journal = FileJournal::open(&path).await.unwrap();
    write(&journal, 3, 5_000).await;
    let (early, end) = (std::fs::read(&path).unwrap(), journal.inner.state.lock().end as usize);
    write(&journal, 4, 5_000).await;
    let mut bytes = std::fs::read(&path).unwrap();
    let read_early = (end / 4_096 + 2) * 4_096;
    bytes[..read_early].copy_from_slice(&early[..read_early]);
    std::fs::write(&copy, &bytes).unwrap();
    let copied = FileJournal::open(&copy).await.unwrap();
    let told = copied.batches(3, 1).await;
    assert!(matches!(&told, Err(JournalError::Corrupt { batch: 4, what }) if what == GAP), "{told:?}");
    assert_eq!(copied.cut_last(4).await, Ok(()));
    assert!(std::fs::read(&copy).unwrap() == bytes, "it is not taken for torn");
    assert_eq!(copied.cut_gap().await, Ok(Some((4, 7))));
    assert_eq!((copied.head().await.map(|head| head.number), copied.cut_gap().await), (Ok(3), Ok(None)));
    write(&copied, 1, 100).await;
    assert_eq!(FileJournal::open(&copy).await.unwrap().head().await.map(|head| head.number), Ok(4));
    assert_eq!((journal.cut_gap().await, journal.head().await.map(|head| head.number)), (Ok(None), Ok(7)), "this one is whole");
}

/// A journal that was packed, or another file altogether, put in its place.
#[tokio::test]
async fn what_no_journal_has_written_is_not_taken_for_torn() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(FILE);
    let journal = FileJournal::open(&path).await.unwrap();
    write(&journal, 2, 100).await;
    let (sound, place) = (std::fs::read(&path).unwrap(), journal.inner.state.lock().last as usize);
    let mut written_over = sound.clone();
    written_over[place] = b'\n';
    let packed: Vec<u8> = [&[0x1f, 0x8b, 8, 0][..], &[7; 300]].concat();
    for (bytes, batch) in [(written_over, 2), (packed, 1), (b"tn".to_vec(), 1)] {
        std::fs::write(&path, &bytes).unwrap();
        let journal = FileJournal::open(&path).await.unwrap();
        assert_eq!(journal.settle().await, Ok(()));
        assert!(journal.head().await.unwrap().number > batch, "what a start cuts off is the last batch");
        assert_eq!(journal.cut_last(batch).await, Ok(()));
        let told = journal.batches(batch - 1, 1).await;
        assert!(matches!(&told, Err(JournalError::Corrupt { batch: of, what }) if *of == batch && what == FOREIGN), "{told:?}");
        assert!(std::fs::read(&path).unwrap() == bytes, "batch {batch}: something was cut off");
    }
    // A torn write leaves its beginning, or its end alone.
    for torn in [sound[..place + 3].to_vec(), [&sound[..place], &[0; 16], &sound[place + 16..]].concat()] {
        std::fs::write(&path, torn).unwrap();
        let journal = FileJournal::open(&path).await.unwrap();
        assert_eq!((journal.head().await.map(|head| head.number), journal.cut_last(2).await), (Ok(2), Ok(())));
        assert_eq!(journal.head().await.map(|head| head.number), Ok(1));
    }
}

#[tokio::test]
async fn what_a_newer_program_wrote_is_not_taken_for_torn() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(FILE);
    let journal = FileJournal::open(&path).await.unwrap();
    write(&journal, 2, 100).await;
    let place = journal.inner.state.lock().last as usize;
    drop(journal);
    let mut bytes = std::fs::read(&path).unwrap();
    // The kind of the one stream in the last batch, and the checksum over it.
    bytes[place + HEADER + 1] = 200;
    let index_bytes = u32::from_le_bytes(bytes[place + 88..place + 92].try_into().unwrap()) as usize;
    let (fixed, index) = (&bytes[place..place + HEADER - 4], &bytes[place + HEADER..place + HEADER + index_bytes]);
    let crc = crc32c::crc32c_append(crc32c::crc32c(fixed), index).to_le_bytes();
    bytes[place + HEADER - 4..place + HEADER].copy_from_slice(&crc);
    std::fs::write(&path, &bytes).unwrap();
    let journal = FileJournal::open(&path).await.unwrap();
    assert_eq!(journal.head().await.unwrap().number, 2);
    for refused in [journal.batches(1, 1).await.map(drop), journal.cut_last(2).await] {
        assert!(matches!(refused, Err(JournalError::Newer { batch: 2, .. })), "{refused:?}");
    }
    assert!(std::fs::read(&path).unwrap() == bytes, "nothing was cut off");
}

/// How many batches there are before anything goes wrong, how many are appended then, and how large the records of each are.
const BEFORE: u64 = 4;
const APPENDED: u64 = 4;
const LENGTH: usize = 2_000;
/// Up to which call another one goes wrong soon after it.
const TWICE: usize = 5;
/// More starts than there are calls that go wrong.
const STARTS: usize = 5;

fn head_of(batches: &[Batch]) -> Head {
    let last = batches.last().unwrap();
    Head { number: last.number, hash: last.hash(), at: last.at }
}

/// A file that is filled with few zeros: they run out while a few batches are appended, and are read in no time.
async fn open_with_few(path: &Path) -> FileJournal {
    let mut journal = FileJournal::open(path).await.unwrap();
    Arc::get_mut(&mut journal.inner).unwrap().ahead = 16 * 1_024;
    journal
}

/// As a start does: it cuts a torn end off and writes the last batch once more. Where that goes wrong it ends, and there is another one.
async fn started(path: &Path) -> FileJournal {
    for _ in 0..STARTS {
        let journal = open_with_few(path).await;
        let last = journal.head().await.unwrap().number;
        let is_torn = matches!(journal.batches(last - 1, 1).await, Err(JournalError::Corrupt { .. }));
        let is_cut = !is_torn || journal.inner.cut_last(last).is_ok();
        if is_cut && journal.inner.settle().is_ok() {
            return journal;
        }
        faults::was_killed();
    }
    panic!("there is no start in {STARTS}")
}

/// Appends some batches as the writer does, while calls go wrong, and starts anew where it would have to; answers how many calls there were.
async fn appends(path: &Path, before: &[Batch], planned: &[(usize, Fault)]) -> usize {
    let mut journal = open_with_few(path).await;
    faults::plan(planned);
    let mut written = before.to_vec();
    for _ in 0..APPENDED {
        let head = head_of(&written);
        let batch = next(&head, MUSEUM, head.number + 1, LENGTH);
        let Err(error) = journal.append(&batch).await else {
            written.push(batch);
            continue;
        };
        let found = loop {
            if faults::was_killed() || matches!(error, JournalError::FlushFailed(_)) {
                journal = started(path).await;
                break journal.head().await.unwrap();
            }
            if let Ok(head) = journal.recover().await {
                break head;
            }
        };
        let is_written = found.number == batch.number;
        assert!(!is_written || !matches!(error, JournalError::Full(_)), "{planned:?}: what surely was not written is there");
        if is_written {
            written.push(batch);
        }
        assert_eq!(found, head_of(&written), "{planned:?}: after {error} it ends elsewhere");
    }
    let journal = started(path).await;
    let calls = faults::calls();
    faults::plan(&[]);
    assert_eq!(journal.batches(0, 100).await, Ok(written), "{planned:?}");
    let head = journal.head().await.unwrap();
    assert_eq!(journal.append(&next(&head, MUSEUM, head.number + 1, LENGTH)).await, Ok(()), "{planned:?}: it goes on");
    calls
}

/// Each call by which the file is changed goes wrong in each way, alone and with another one soon after it, also in the starts that follow.
#[tokio::test]
async fn whatever_call_to_the_disk_goes_wrong_what_was_answered_is_there_and_what_surely_was_not_written_is_not() {
    let folder = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
    let (path, sound) = (folder.path().join(FILE), folder.path().join("sound.log"));
    let journal = open_with_few(&sound).await;
    write(&journal, BEFORE, LENGTH).await;
    let (before, bytes) = (journal.batches(0, 100).await.unwrap(), std::fs::read(&sound).unwrap());
    let (mut at, mut calls) = (0, 1);
    while at < calls {
        calls = 0;
        for fault in Fault::ALL {
            let soon = (at < TWICE).then_some(1..=3).into_iter().flatten();
            let twice = soon.flat_map(|later| Fault::ALL.map(|other| vec![(at, fault), (at + later, other)]));
            for planned in once(vec![(at, fault)]).chain(twice) {
                std::fs::write(&path, &bytes).unwrap();
                calls = calls.max(appends(&path, &before, &planned).await);
            }
        }
        at += 1;
    }
    // A write and a flush of each batch, zeros behind one of them, and the last batch once more in the last start.
    assert!(at as u64 > 2 * APPENDED + 2, "only {at} calls went wrong");
}
