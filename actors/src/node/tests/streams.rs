//! How streams are read back: by pages, from snapshots that are made while their owners live, and so that one that cannot be read keeps no other waiting.

use std::ops::ControlFlow;
use std::time::Duration;

use tornello_engine::account;

use super::folder::change;
use super::*;
use crate::history::Page;
use crate::owner::SNAPSHOT_FROM;
use crate::pauses::Pauses;
use crate::registry::Source;
use crate::streams::Planned;
use crate::views::{Snapshots, position_crc};

/// A journal that counts how it is read, and of which one slot cannot be read, or has to be waited for.
#[derive(Default)]
pub(super) struct Watched {
    inner: MemoryJournal,
    /// The most batches of a stream that were read at once.
    most: AtomicUsize,
    /// The slot in question, how often somebody began to read it, and whether that fails.
    slot: Mutex<Option<SlotId>>,
    reads: AtomicUsize,
    unreadable: AtomicBool,
    /// Whether single records of payments cannot be read.
    payments_lost: AtomicBool,
    /// The payments that were read back.
    payments_read: Mutex<Vec<StreamId>>,
    /// While this is held, who reads it waits.
    stall: tokio::sync::Mutex<()>,
}

impl Watched {
    /// From now on that slot cannot be read.
    pub(super) fn lose(&self, slot: SlotId) {
        *self.slot.lock() = Some(slot);
        self.unreadable.store(true, Ordering::Relaxed);
    }

    /// From now on no single record of a payment can be read.
    pub(super) fn lose_payments(&self) {
        self.payments_lost.store(true, Ordering::Relaxed);
    }

    /// The payments that were read back since this was asked last.
    pub(super) fn payments_read(&self) -> Vec<StreamId> {
        std::mem::take(&mut *self.payments_read.lock())
    }

    /// Everything can be read again.
    pub(super) fn find(&self) {
        self.unreadable.store(false, Ordering::Relaxed);
        self.payments_lost.store(false, Ordering::Relaxed);
    }
}

impl Journal for Watched {
    fn append<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<(), JournalError>> {
        self.inner.append(batch)
    }
    fn head(&self) -> BoxFuture<'_, Result<Head, JournalError>> {
        self.inner.head()
    }
    fn batches(&self, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<Batch>, JournalError>> {
        self.inner.batches(after, limit)
    }
    fn batches_of(&self, stream: StreamId, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<Batch>, JournalError>> {
        Box::pin(async move {
            let is_it = self.slot.lock().is_some_and(|slot| stream == StreamId::Slot(slot));
            if is_it {
                self.reads.fetch_add(1, Ordering::Relaxed);
                let _stalled = self.stall.lock().await;
                if self.unreadable.load(Ordering::Relaxed) {
                    return Err(JournalError::Unreachable("input/output error".into()));
                }
            }
            if matches!(stream, StreamId::Payment(_)) {
                self.payments_read.lock().push(stream);
            }
            let batches = self.inner.batches_of(stream, after, limit).await?;
            self.most.fetch_max(batches.len(), Ordering::Relaxed);
            Ok(batches)
        })
    }
    fn batch_with(&self, stream: StreamId, seq: u64) -> BoxFuture<'_, Result<Option<Batch>, JournalError>> {
        if matches!(stream, StreamId::Payment(_)) && self.payments_lost.load(Ordering::Relaxed) {
            return Box::pin(async { Err(JournalError::Unreachable("input/output error".into())) });
        }
        self.inner.batch_with(stream, seq)
    }
    fn cut_last(&self, number: u64) -> BoxFuture<'_, Result<(), JournalError>> {
        self.inner.cut_last(number)
    }
    fn recover(&self) -> BoxFuture<'_, Result<Head, JournalError>> {
        self.inner.recover()
    }
}

fn release(n: u64) -> Command {
    Command::Release { hold: HoldId::new(tomorrow(), n), owner: None }
}

async fn retire_all(node: &Node) {
    for _ in 0..2 {
        node.slots.retire_idle().await;
    }
    assert_eq!(node.owners(), 0);
}

async fn encoded(node: &Node) -> Vec<u8> {
    node.look(tomorrow(), |slot| postcard::to_allocvec(slot).unwrap()).await.unwrap()
}

#[actix_rt::test]
async fn a_long_stream_is_read_back_by_pages() {
    let journal = Arc::new(Watched::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    // One after the other: each is a batch.
    for n in 1..=50_u64 {
        house.ask(u128::from(2 * n), hold(n, 1)).await.unwrap();
        house.ask(u128::from(2 * n + 1), release(n)).await.unwrap();
    }
    let live = encoded(house.node()).await;
    retire_all(house.node()).await;
    assert_eq!(encoded(house.node()).await, live);
    let past = house.node().history(tomorrow(), now(), Page { before: None, limit: 5 }).await.unwrap();
    assert_eq!((past.seq, past.records.len(), past.more), (100, 5, true));
    let most = journal.most.load(Ordering::Relaxed);
    assert!((2..=16).contains(&most), "{most} batches at once");
    house.running.stop().await;
}

#[actix_rt::test]
async fn what_a_slot_is_right_after_a_command_is_seen_without_reading_it_back() {
    let journal = Arc::new(Watched::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    house.ask(1, hold(1, 2)).await.unwrap();
    *journal.slot.lock() = Some(tomorrow());
    let reads = journal.reads.load(Ordering::Relaxed);
    let cut = |key| {
        let look = |slot: &Slot| (slot.places().over(slot.last_at()), slot.places().capacity);
        house.node().slot_and_after(tomorrow(), by(key), Command::SetCapacity { capacity: 1 }, look)
    };
    let (record, after) = cut(2).await.unwrap();
    assert_eq!((record.seq, after), (2, Some((1, 1))));
    assert_eq!(journal.reads.load(Ordering::Relaxed), reads, "nothing is read back");
    // A repeat is told of what was so then, which is in the journal alone once something else has happened.
    house.ask(3, release(1)).await.unwrap();
    assert_eq!(cut(2).await, Ok((record, None)));
    let then = house.node().slot_after(tomorrow(), 2).await.unwrap();
    assert_eq!((then.places().over(then.last_at()), then.places().capacity), (1, 1));
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_long_history_is_read_out_on_threads_apart() {
    let journal = MemoryJournal::default();
    let house = House::on(Arc::new(journal)).await;
    open_museum(house.node()).await;
    for n in 1..=20_u64 {
        house.ask(u128::from(n), hold(n, 1)).await.unwrap();
    }
    let here = std::thread::current().id();
    let note = move |seen: &mut Vec<(u64, bool)>, record: Record<Event>| {
        seen.push((record.seq, std::thread::current().id() == here));
        Ok(if record.seq == 18 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    let seen = crate::streams::visit_apart(house.node().journal.as_ref(), StreamId::Slot(tomorrow()), Vec::new(), note).await.unwrap();
    assert_eq!(seen, (1..=18).map(|seq| (seq, false)).collect::<Vec<_>>());
    house.running.stop().await;
}

/// What reads the streams of a running house back, with these snapshots or without any.
fn streams(node: &Node, snapshots: Option<Snapshots>) -> Streams {
    let runtime = tokio::runtime::Handle::current();
    Streams::new(Arc::clone(&node.journal), snapshots, Arc::clone(&node.museums), Arc::clone(&node.board), Arc::default(), runtime)
}

/// The snapshot of a stream, when it is written.
async fn kept<A: Planned>(snapshots: &Snapshots, stream: StreamId) -> A {
    let look = async {
        loop {
            if let Some(state) = snapshots.load(stream).await {
                break state;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), look).await.expect("a snapshot is written while the owner lives")
}

#[actix_rt::test]
async fn a_slot_that_is_never_idle_is_read_back_from_a_snapshot() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    let node = house.node();
    // Twenty callers at once, so that many records share a batch.
    let busy = (0..20_u64).map(|who| {
        let house = &house;
        async move {
            for n in (1..=14).map(|round| who * 100 + round) {
                house.ask(u128::from(2 * n), hold(n, 1)).await.unwrap();
                house.ask(u128::from(2 * n + 1), release(n)).await.unwrap();
            }
        }
    });
    join_all(busy).await;
    let (snapshots, _) = node.files().unwrap().views.snapshots();
    let snapshot: Slot = kept(&snapshots, StreamId::Slot(tomorrow())).await;
    assert_eq!(snapshot.seq(), SNAPSHOT_FROM);
    let live = encoded(node).await;
    for snapshots in [Some(snapshots), None] {
        let slot = streams(node, snapshots).slot(tomorrow()).await.unwrap().unwrap();
        assert_eq!((slot.seq(), postcard::to_allocvec(&slot).unwrap()), (560, live.clone()));
    }
    house.running.stop().await;
}

#[actix_rt::test]
async fn an_account_that_is_charged_for_years_is_read_back_from_a_snapshot() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    let (node, tours) = (house.node(), code("tours"));
    let open = account::Command::Open { code: tours, institution: Default::default(), limit_cents: None };
    node.account(tours, by(1), open).await.unwrap();
    let paid = join_all((2..=SNAPSHOT_FROM + 10).map(|n| {
        let by_transfer = account::PaidBy::BankTransfer { reference: format!("T-{n}") };
        node.account(tours, by(u128::from(n)), account::Command::Settle { by: by_transfer, amount_cents: Cents::new(100) })
    }));
    assert!(paid.await.iter().all(Result::is_ok));
    let stream = StreamId::Account(Node::account_id(tours));
    let (snapshots, _) = node.files().unwrap().views.snapshots();
    let snapshot: Account = kept(&snapshots, stream).await;
    assert_eq!(snapshot.seq(), SNAPSHOT_FROM);
    let live = node.look_account(tours, Clone::clone).await.unwrap();
    for snapshots in [Some(snapshots), None] {
        let account = Source::<Account>::load(&streams(node, snapshots), stream).await.unwrap();
        assert_eq!(account, live);
    }
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_snapshot_of_another_journal_is_not_believed() {
    let folder = TempDir::new().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(1, sell(1, 3)).await.unwrap();
    house.running.stop().await;
    let journal = folder.path().join(file::FILE);
    let earlier = std::fs::read(&journal).unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    house.ask(2, sell(2, 2)).await.unwrap();
    let (snapshots, _) = house.node().files().unwrap().views.snapshots();
    let written = async {
        while snapshots.load::<Slot>(StreamId::Slot(tomorrow())).await.is_none_or(|slot| slot.seq() < 2) {
            house.node().tidy().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), written).await.expect("a slot that nobody asks is retired with a snapshot");
    drop(snapshots);
    house.running.stop().await;
    // An older journal was put back, with lists and heads that are not ahead of it: only the snapshot is.
    std::fs::write(&journal, earlier).unwrap();
    let back = |name| format!("UPDATE position SET batch = 0, hash = zeroblob(32), crc = {} WHERE name = '{name}';", position_crc(name, 0, &[0; 32]));
    let older = format!("{}{}DELETE FROM head; DELETE FROM sale; DELETE FROM ticket", back("rows"), back("heads"));
    change(&folder, "views.db", older.leak()).await;
    std::fs::remove_file(folder.path().join("scorers.state")).unwrap();
    let refused = House::in_folder(&folder).await.err();
    assert!(matches!(refused, Some(StartError::Lost { built: "views.db", .. })), "{refused:?}");
    // Accepted, it is not used.
    let settings = Settings { accept_loss: true, ..Settings::new(folder.path()) };
    let running = Node::start(&settings, Arc::new(ManualClock::new(now())), |_| {}).await.unwrap();
    running.node().slot(tomorrow(), by(3), sell(3, 1)).await.unwrap();
    assert_eq!(running.node().look(tomorrow(), |slot| (slot.seq(), slot.places().taken())).await, Ok((2, 4)));
    running.stop().await;
}

#[actix_rt::test]
async fn a_slot_that_cannot_be_read_keeps_no_other_from_its_deadline() {
    let journal = Arc::new(Watched::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    let node = house.node();
    let other = SlotId::new(MUSEUM, RouteId(1), tomorrow().start().plus_seconds(3_600));
    house.ask(1, hold(1, 5)).await.unwrap();
    let hold = Command::Hold { hold: HoldId::new(other, 2), channel: Channel::Web, lines: lines(5) };
    node.slot(other, by(2), hold).await.unwrap();
    retire_all(node).await;
    *journal.slot.lock() = Some(tomorrow());
    let stall = journal.stall.lock().await;
    let mut changes = node.board().watch();
    house.clock.set(now().plus_seconds(900));
    let change = tokio::time::timeout(Duration::from_secs(5), changes.recv()).await.expect("the other is woken meanwhile").unwrap();
    assert_eq!((change.slot, change.head.places.taken()), (other, 0));
    journal.unreadable.store(true, Ordering::Relaxed);
    drop(stall);
    // Once by the house itself, and once here, however often.
    let mut pauses = Pauses::default();
    for _ in 0..20 {
        node.wake_due_again(&mut pauses).await;
    }
    let reads = journal.reads.load(Ordering::Relaxed);
    assert!(reads <= 2, "{reads} times it was tried");
    house.clock.set(now().plus_seconds(901));
    node.wake_due_again(&mut pauses).await;
    assert!(journal.reads.load(Ordering::Relaxed) > reads, "a second later it is tried again");
    journal.find();
    house.clock.set(now().plus_seconds(1_000));
    let change = tokio::time::timeout(Duration::from_secs(5), changes.recv()).await.expect("it is woken when it can be").unwrap();
    assert_eq!((change.slot, change.head.places.taken()), (tomorrow(), 0));
    house.running.stop().await;
}
