//! What is promised of the file beyond what all journals promise: what is found in many batches, and what a write, a flush or a newer program that went wrong leaves.

use tempfile::TempDir;
use tornello_engine::ids::MuseumId;
use tornello_engine::time::Timestamp;

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
