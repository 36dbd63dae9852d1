//! What every store must do, run against each of them.

use std::sync::Arc;

use tempfile::TempDir;
use tornello_engine::ids::{MuseumId, RouteId, SlotId};
use tornello_engine::time::Timestamp;

use super::file::FileJournal;
use super::memory::MemoryJournal;
use super::{Batch, Head, Journal, JournalError, Span, StreamId};

fn stream(minute: i64) -> StreamId {
    StreamId::Slot(SlotId::new(MuseumId(1), RouteId(1), Timestamp::from_seconds(minute * 60)))
}

fn next(head: &Head, spans: &[(StreamId, u64, u64)]) -> Batch {
    let spans = spans.iter().map(|&(stream, first, last)| Span { stream, first, last }).collect();
    let number = head.number + 1;
    Batch { number, previous: head.hash, at: Timestamp::from_seconds(number as i64), records: vec![number as u8; 10], spans }
}

fn after(batch: &Batch) -> Head {
    Head { number: batch.number, hash: batch.hash(), at: batch.at }
}

/// Each store with the folder that it lives in.
async fn stores() -> Vec<(&'static str, Arc<dyn Journal>, Option<TempDir>)> {
    let folder = TempDir::new().unwrap();
    let file = FileJournal::open(&folder.path().join("journal.log")).await.unwrap();
    vec![("memory", Arc::new(MemoryJournal::default()), None), ("file", Arc::new(file), Some(folder))]
}

#[tokio::test]
async fn batches_come_back_as_they_went_in_by_number_and_by_stream() {
    for (name, journal, _folder) in stores().await {
        assert_eq!(journal.head().await, Ok(Head::EMPTY), "{name}");
        let museum = StreamId::Museum(MuseumId(3));
        let first = next(&Head::EMPTY, &[(stream(1), 1, 3), (stream(2), 1, 1), (museum, 1, 1)]);
        let second = next(&after(&first), &[(stream(1), 4, 4)]);
        let third = next(&after(&second), &[(stream(2), 2, 9), (stream(1), 5, 6)]);
        for batch in [&first, &second, &third] {
            assert_eq!(journal.append(batch).await, Ok(()), "{name}");
        }
        assert_eq!(journal.head().await, Ok(after(&third)), "{name}");
        let all = vec![first.clone(), second.clone(), third.clone()];
        assert_eq!(journal.batches(0, 10).await, Ok(all.clone()), "{name}");
        assert_eq!(journal.batches(1, 1).await, Ok(vec![second.clone()]), "{name}");
        assert_eq!(journal.batches(3, 10).await, Ok(vec![]), "{name}");
        assert_eq!(journal.batches_of(stream(1), 0, 10).await, Ok(all), "{name}");
        assert_eq!(journal.batches_of(stream(1), 0, 2).await, Ok(vec![first.clone(), second.clone()]), "{name}");
        assert_eq!(journal.batches_of(stream(1), 3, 10).await, Ok(vec![second.clone(), third.clone()]), "{name}");
        assert_eq!(journal.batches_of(stream(1), 3, 1).await, Ok(vec![second.clone()]), "{name}");
        assert_eq!(journal.batches_of(stream(1), 5, 10).await, Ok(vec![third.clone()]), "{name}");
        assert_eq!(journal.batches_of(stream(1), 6, 10).await, Ok(vec![]), "{name}");
        assert_eq!(journal.batches_of(stream(9), 0, 10).await, Ok(vec![]), "{name}");
        assert_eq!(journal.batch_with(stream(1), 4).await, Ok(Some(second)), "{name}");
        assert_eq!(journal.batch_with(stream(2), 5).await, Ok(Some(third)), "{name}");
        assert_eq!(journal.batch_with(museum, 1).await, Ok(Some(first)), "{name}");
        assert_eq!(journal.batch_with(stream(2), 10).await, Ok(None), "{name}");
    }
}

#[tokio::test]
async fn a_second_owner_of_a_stream_writes_nothing() {
    for (name, journal, _folder) in stores().await {
        let first = next(&Head::EMPTY, &[(stream(1), 1, 2)]);
        journal.append(&first).await.unwrap();
        let second = next(&after(&first), &[(stream(2), 1, 1), (stream(1), 3, 4)]);
        journal.append(&second).await.unwrap();
        let late = next(&after(&second), &[(stream(3), 1, 1), (stream(1), 3, 3)]);
        assert_eq!(journal.append(&late).await, Err(JournalError::Conflict(stream(1))), "{name}");
        assert_eq!(journal.recover().await, Ok(after(&second)), "{name}");
        assert_eq!(journal.batch_with(stream(3), 1).await, Ok(None), "{name}: a refused batch left something behind");
        let good = next(&after(&second), &[(stream(3), 1, 1)]);
        assert_eq!(journal.append(&good).await, Ok(()), "{name}");
    }
}

#[tokio::test]
async fn a_batch_that_does_not_follow_is_refused() {
    for (name, journal, _folder) in stores().await {
        let first = next(&Head::EMPTY, &[(stream(1), 1, 1)]);
        journal.append(&first).await.unwrap();
        let again = Batch { spans: vec![], ..first.clone() };
        assert!(journal.append(&again).await.is_err(), "{name}");
        assert_eq!(journal.recover().await, Ok(after(&first)), "{name}");
    }
}

#[tokio::test]
async fn only_the_last_batch_can_be_cut() {
    for (name, journal, _folder) in stores().await {
        let first = next(&Head::EMPTY, &[(stream(1), 1, 1)]);
        let second = next(&after(&first), &[(stream(1), 2, 2)]);
        journal.append(&first).await.unwrap();
        journal.append(&second).await.unwrap();
        journal.cut_last(1).await.unwrap();
        assert_eq!(journal.head().await, Ok(after(&second)), "{name}");
        journal.cut_last(2).await.unwrap();
        assert_eq!(journal.head().await, Ok(after(&first)), "{name}");
        assert_eq!(journal.append(&second).await, Ok(()), "{name}: what was cut can be written again");
    }
}
