//! When the journal fails, stalls, lies or is full, callers are told honestly, and what was written counts.

use std::time::Duration;

use tornello_engine::ids::PaymentId;
use tornello_engine::till;

use super::*;
use crate::owner::Kept;
use crate::start;
use crate::tills;

#[actix_rt::test]
async fn a_failed_append_is_told_honestly_and_the_slot_goes_on_from_the_journal() {
    let cases = [
        (Fault::Full, Failure::Journal("no room on the disk for the journal: no space left on device".into()), 2),
        (Fault::Lost, Failure::OutcomeUnknown, 2),
        (Fault::Written, Failure::OutcomeUnknown, 5),
    ];
    for (fault, told, taken_after) in cases {
        let journal = Arc::new(Faulty::default());
        let house = House::on(Arc::clone(&journal) as _).await;
        open_museum(house.node()).await;
        house.ask(1, hold(1, 2)).await.unwrap();
        journal.faults.lock().push_back(fault.clone());
        assert_eq!(house.ask(2, hold(2, 3)).await, Err(told), "{fault:?}");
        // The next caller finds a slot that knows what is on the disk, no more and no less.
        house.ask(3, hold(3, 1)).await.unwrap();
        assert_eq!(house.taken(), taken_after + 1, "{fault:?}");
        // The same key again: done once in all.
        house.ask(2, hold(22, 3)).await.unwrap();
        assert_eq!(house.taken(), 6, "{fault:?}");
        let replayed = start::check(journal.as_ref(), None, |_| Ok(()), |_| {}).await.unwrap();
        assert_eq!(replayed.head, house.node().head(), "{fault:?}");
        house.running.stop().await;
    }
}

#[actix_rt::test]
async fn after_a_flush_that_failed_nothing_is_written_until_a_restart() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    house.ask(1, hold(1, 2)).await.unwrap();
    let before = house.node().head();
    journal.faults.lock().push_back(Fault::Flush);
    assert_eq!(house.ask(2, hold(2, 3)).await, Err(Failure::OutcomeUnknown));
    assert!(matches!(house.ask(3, hold(3, 1)).await, Err(Failure::Journal(_))));
    assert_eq!((house.node().head(), house.taken(), house.node().health()), (before, 2, Health::Stopped));
    house.running.stop().await;
    let again = House::on(journal).await;
    again.ask(2, hold(22, 3)).await.unwrap();
    assert_eq!(again.taken(), 5);
    again.running.stop().await;
}

#[actix_rt::test]
async fn a_stop_has_one_deadline_over_all_that_does_not_end() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    house.ask(1, hold(1, 1)).await.unwrap();
    // What gates were told cannot be merged, somebody's command stands before a disk that stalls, and the writer ends after that.
    let fork = house.node().gates.make_fork(tomorrow()).await;
    let held = fork.lock().await;
    let stall = journal.stall.lock().await;
    let (node, begun) = (Arc::clone(house.node()), journal.appends.load(Ordering::Relaxed));
    let asked = actix_rt::spawn(async move { node.slot(tomorrow(), by(2), hold(2, 1)).await });
    while journal.appends.load(Ordering::Relaxed) == begun {
        tokio::task::yield_now().await;
    }
    let most = Duration::from_millis(300);
    let stopped = tokio::time::timeout(Duration::from_secs(8), house.running.stop_within(most)).await;
    assert!(stopped.is_ok(), "each of them was waited for as long as all are");
    drop((stall, held));
    asked.abort();
}

#[actix_rt::test]
async fn what_was_queued_behind_a_failed_record_of_the_same_slot_fails_too() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    house.ask(1, hold(1, 1)).await.unwrap();
    let stall = journal.stall.lock().await;
    journal.faults.lock().push_back(Fault::Lost);
    let waiting: Vec<_> = (2..8).map(|n| house.ask(n, hold(n as u64, 1))).collect();
    let (answers, ()) = tokio::join!(join_all(waiting), async {
        // All are in the mailbox; let the writer meet them.
        tokio::task::yield_now().await;
        drop(stall);
    });
    // Each caller was either told that its outcome is open, or was served anew by the rebuilt slot: the counters tell which, and nobody was counted twice.
    let served = answers.iter().filter(|answer| answer.is_ok()).count() as u32;
    assert!(answers.iter().any(|answer| answer == &Err(Failure::OutcomeUnknown)), "{answers:?}");
    house.ask(9, hold(9, 1)).await.unwrap();
    assert_eq!(house.taken(), served + 2);
    house.running.stop().await;
}

#[actix_rt::test]
async fn when_the_queue_is_full_callers_are_told_so_and_nothing_changes() {
    let journal = Arc::new(Faulty::default());
    let clock = Arc::new(ManualClock::new(now()));
    let limits = Limits { queue: 4, batch: 2, ..Limits::default() };
    let running = Node::start_on(Arc::clone(&journal) as _, clock, limits).await.unwrap();
    open_museum(running.node()).await;
    let node = running.node();
    node.slot(tomorrow(), by(0), hold(1_000, 1)).await.unwrap();
    let (stall, begun) = (journal.stall.lock().await, journal.appends.load(Ordering::Relaxed));
    let others = async {
        wait_until(|| journal.appends.load(Ordering::Relaxed) > begun).await;
        // The writer has its hands full, and the queue has room for four. Who looks comes behind all of them, and is told at once that there is no room to wait.
        let release = async {
            let seen = node.look(tomorrow(), |_| ()).await;
            drop(stall);
            seen
        };
        tokio::join!(join_all((2..=15).map(|n| node.slot(tomorrow(), by(n), hold(n as u64, 1)))), release)
    };
    let (first, (answers, seen)) = tokio::join!(node.slot(tomorrow(), by(1), hold(1, 1)), others);
    let done = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!(answers.iter().all(|answer| answer.is_ok() || answer == &Err(Failure::Busy)), "{answers:?}");
    assert_eq!((first.is_ok(), done, seen), (true, 4, Err(Failure::Busy)), "{answers:?}");
    assert_eq!(node.board().head(tomorrow()).map(|head| head.places.taken()), Some(done as u32 + 2));
    running.stop().await;
}

#[actix_rt::test]
async fn a_disk_that_stays_full_puts_no_slot_out_of_order() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    house.ask(1, hold(1, 1)).await.unwrap();
    journal.faults.lock().extend(vec![Fault::Full; 500]);
    for round in 0..20 {
        let answers = join_all((0..10).map(|n| house.ask(10 + round * 10 + n, hold(n as u64 + 10, 1)))).await;
        assert!(answers.iter().all(|answer| matches!(answer, Err(Failure::Journal(_)))), "{answers:?}");
        assert_eq!(house.node().look(tomorrow(), |slot| slot.places().taken()).await, Ok(1), "what was written can be read");
    }
    journal.faults.lock().clear();
    house.ask(2, hold(2, 2)).await.unwrap();
    assert_eq!(house.taken(), 3);
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_full_queue_hurts_nobody_who_is_in_it() {
    let journal = Arc::new(Faulty::default());
    let clock = Arc::new(ManualClock::new(now()));
    let running = Node::start_on(Arc::clone(&journal) as _, clock, Limits { queue: 4, batch: 2, ..Limits::default() }).await.unwrap();
    open_museum(running.node()).await;
    let node = running.node();
    node.slot(tomorrow(), by(0), hold(1_000, 1)).await.unwrap();
    let (stall, begun) = (journal.stall.lock().await, journal.appends.load(Ordering::Relaxed));
    let others = async {
        wait_until(|| journal.appends.load(Ordering::Relaxed) > begun).await;
        // The writer has its hands full: one of those who repeat has room in the queue beside three who hold, and nobody who looks.
        let holds = join_all((2..=4).map(|n| node.slot(tomorrow(), by(n), hold(n as u64, 1))));
        let repeats = join_all((0..5).map(|_| node.slot(tomorrow(), by(0), hold(1_000, 1))));
        let release = async {
            let looks = join_all((0..5).map(|_| node.look(tomorrow(), |slot| slot.places().taken()))).await;
            drop(stall);
            looks
        };
        tokio::join!(holds, repeats, release)
    };
    let (first, (holds, repeats, looks)) = tokio::join!(node.slot(tomorrow(), by(1), hold(1, 1)), others);
    assert!(first.is_ok() && holds.iter().all(Result::is_ok), "{first:?} {holds:?}");
    assert!(repeats[0].is_ok() && repeats[1..].iter().all(|answer| answer == &Err(Failure::Busy)), "{repeats:?}");
    assert!(looks.iter().all(|look| look == &Err(Failure::Busy)), "{looks:?}");
    let done = 2 + holds.iter().filter(|answer| answer.is_ok()).count() as u32;
    assert_eq!(node.board().head(tomorrow()).map(|head| head.places.taken()), Some(done));
    running.stop().await;
}

#[actix_rt::test]
async fn a_batch_that_was_written_though_its_append_failed_is_told_to_the_house() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    journal.faults.lock().push_back(Fault::Written);
    assert_eq!(house.ask(1, hold(1, 3)).await, Err(Failure::OutcomeUnknown));
    assert_eq!(house.ask(1, hold(2, 3)).await.map(|record| record.seq), Ok(1));
    assert_eq!((house.taken(), house.node().board().next_wake()), (3, Some(now().plus_seconds(900))));
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_slot_that_was_read_back_before_a_written_batch_was_found_is_read_back_again() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    house.ask(1, hold(1, 2)).await.unwrap();
    journal.faults.lock().push_back(Fault::Late);
    journal.unreachable.store(true, Ordering::Relaxed);
    assert_eq!(house.ask(2, hold(2, 18)).await, Err(Failure::OutcomeUnknown));
    let taken = || house.node().look(tomorrow(), |slot| slot.places().taken());
    assert_eq!(taken().await, Ok(2), "nobody knows more yet");
    journal.unreachable.store(false, Ordering::Relaxed);
    // The journal is back for another slot, and what it held is on the board.
    let other = SlotId::new(MUSEUM, RouteId(1), tomorrow().start().plus_seconds(3_600));
    house.node().slot(other, by(3), sell_in(other, 1, 1)).await.unwrap();
    assert_eq!(house.taken(), 20);
    assert_eq!(taken().await, Ok(20), "the slot knows what the board shows");
    let refused = house.ask(4, hold(4, 1)).await;
    assert!(matches!(refused, Err(Failure::Refused(Refusal::NotEnoughPlaces { available: 0, .. }))), "{refused:?}");
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_desk_is_not_opened_twice_by_callers_who_go_away() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    let open = |key: u128| tills::open(house.node(), by(key), MUSEUM, code("desk-1"), Cents::ZERO);
    let stall = journal.stall.lock().await;
    let (going, mut next) = (Box::pin(open(1)), Box::pin(open(2)));
    go_away(&journal, going).await;
    waits(&mut next, "nobody knows yet whether the desk is open").await;
    drop(stall);
    assert_eq!(next.await, Err(Failure::Refused(till::Refusal::AlreadyOpen)));
    assert_eq!(house.node().tills().open().len(), 1);
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_slug_is_not_free_again_because_who_registers_a_museum_with_it_goes_away() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    let (museums, slug) = (house.node().museums(), code("torre"));
    let profile = museum::Profile {
        slug,
        name: "Museo della Torre".into(),
        city: "Torrechiara".into(),
        region: "Emilia-Romagna".into(),
        latitude_microdeg: 44_655_000,
        longitude_microdeg: 10_275_000,
        patron: None,
    };
    let register = async {
        let registering = museums.registering().await.unwrap();
        house.node().museum_keeping(MUSEUM, by(1), museum::Command::Register { profile }, registering).await
    };
    let stall = journal.stall.lock().await;
    let (going, mut next) = (Box::pin(register), Box::pin(museums.registering()));
    go_away(&journal, going).await;
    waits(&mut next, "nobody knows yet whether the slug is free").await;
    drop(stall);
    assert!(next.await.is_some());
    assert_eq!(museums.by_slug(slug).map(|known| known.museum.id()), Some(MUSEUM));
    house.running.stop().await;
}

/// As the turn of one who puts refunds into a file for the bank: a repeat that does not wait for all of them has one less in the file than are marked as sent.
#[actix_rt::test]
async fn what_is_kept_with_a_step_of_a_payment_is_let_go_when_that_has_come_to_its_end() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    house.ask(1, hold(1, 1)).await.unwrap();
    let (id, turn) = (PaymentId::from_raw(7), Arc::new(()));
    let open = pay(&[(HoldId::new(tomorrow(), 1), 1)], now());
    let stall = journal.stall.lock().await;
    let going = Box::pin(house.node().payment_keeping(id, by(2), open, Kept::new(Arc::clone(&turn))));
    go_away(&journal, going).await;
    let_go_on(100).await;
    assert_eq!(Arc::strong_count(&turn), 2, "nobody knows yet what becomes of it");
    drop(stall);
    wait_until(|| Arc::strong_count(&turn) == 1).await;
    assert!(house.node().look_payment(id, |payment| payment.opened().is_some()).await.unwrap());
    house.running.stop().await;
}
