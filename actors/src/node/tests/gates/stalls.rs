//! A disk that stalls: gates go on by themselves, and nobody is told what may turn out otherwise.

use futures_util::FutureExt;
use tokio::task::JoinHandle;

use super::*;

impl House {
    /// Watches whether the disk stalls, from now on: before anything happens the watch sleeps by the clock as it is.
    async fn watched(&self) -> JoinHandle<()> {
        let watching = actix_rt::spawn(keep_watch(Arc::clone(self.node())));
        tokio::task::yield_now().await;
        watching
    }

    /// Ends the watch, and the house.
    async fn stop_watched(self, watching: JoinHandle<()>) {
        watching.abort();
        let _ = watching.await;
        self.running.stop().await;
    }

    /// Lets so many seconds go by, until the disk is known to stall.
    async fn stalls_after(&self, seconds: i64) {
        self.clock.set(now().plus_seconds(seconds));
        self.is(Health::Stalled).await;
    }

    /// Has something else on its way to the disk: what is asked from now on is in the batch behind it.
    async fn another_on_its_way(&self, journal: &Faulty) -> JoinHandle<Answer<Slot>> {
        let (node, begun) = (Arc::clone(self.node()), journal.appends.load(Ordering::Relaxed));
        let another = actix_rt::spawn(async move { node.slot(tomorrow(), by(9), hold(9, 1)).await });
        journal.begins_after(begun).await;
        another
    }

    /// Asks for a gate while somebody holds the disk, and lets time go by until it is known to stall: what the gate is told, and when.
    async fn told_as_it_stalls(&self, journal: &Faulty, key: u128, what: (u16, Direction)) -> (Result<Option<Timestamp>, &'static str>, Timestamp) {
        let (begun, at) = (journal.appends.load(Ordering::Relaxed), now().plus_seconds(2));
        let (told, ()) = join(self.told(key, what), async {
            journal.begins_after(begun).await;
            self.clock.set(at);
        })
        .await;
        (told, at)
    }
}

/// A house with tickets for now, whose disk is watched; with its journal, and the watch.
async fn watched_house() -> (Arc<Faulty>, House, JoinHandle<()>) {
    let journal = Arc::new(Faulty::default());
    let house = sold(&journal).await;
    let watching = house.watched().await;
    (journal, house, watching)
}

/// Lets all others go as far as they can.
async fn others_go_on() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[actix_rt::test]
async fn while_the_disk_stalls_gates_go_on_by_themselves_and_nobody_is_let_in_twice() {
    let (journal, house, watching) = watched_house().await;
    assert_eq!(house.told(5, enter(3)).await, Ok(None));
    let stall = journal.stall.lock().await;
    let (begun, at) = (journal.appends.load(Ordering::Relaxed), now().plus_seconds(2));
    // One ticket is shown once, another one twice, and the disk takes none of it.
    let shown = join_all([(10, enter(0)), (11, enter(1)), (12, enter(1))].map(|(key, what)| house.pass(key, what)));
    let (answers, ()) = join(shown, async {
        journal.begins_after(begun).await;
        assert_eq!(house.node().health(), Health::Writing);
        house.clock.set(at);
    })
    .await;
    assert_eq!(house.node().health(), Health::Stalled);
    let Ok(Record { events, .. }) = &answers[0] else { panic!("{:?}", answers[0]) };
    assert!(matches!(&events[..], [Event::Admitted(admitted)] if admitted.scanned_at == Some(at)), "{events:?}");
    assert_eq!(answers[1..], [Err(Failure::OutcomeUnknown), Err(Failure::OutcomeUnknown)]);
    // Nobody waits any more.
    let told = async {
        assert_eq!(house.told(13, enter(2)).await, Ok(Some(at)));
        assert_eq!(house.told(13, enter(2)).await, Ok(Some(at)), "a repeat is told the same");
        for (key, number) in [(14, 0), (15, 2), (16, 3)] {
            assert_eq!(house.told(key, enter(number)).await, Err("ticket_inside"));
        }
        assert_eq!(house.told(5, enter(3)).await, Ok(None), "what is on the disk is answered from there");
        for key in [11, 12, 17] {
            assert_eq!(house.pass(key, enter(1)).await, Err(Failure::OutcomeUnknown), "it may be written at any time");
        }
    };
    tokio::time::timeout(Duration::from_secs(30), told).await.expect("gates do not wait for the disk");
    assert_eq!(house.node().unrecorded(), 2);
    drop(stall);
    house.merged().await;
    assert_eq!(house.node().health(), Health::Writing);
    // What was on its way is written, once, and so is what was told.
    assert_eq!((house.told(10, enter(0)).await, house.told(11, enter(1)).await), (Ok(None), Ok(None)));
    assert_eq!(house.told(12, enter(1)).await, Err("ticket_inside"));
    assert_eq!((house.told(13, enter(2)).await, house.inside().await), (Ok(Some(at)), (4, 4)));
    assert_eq!(house.node().look(today(), |slot| slot.conflicts().count()).await, Ok(0));
    house.stop_watched(watching).await;
}

#[actix_rt::test]
async fn what_a_gate_was_told_to_keep_while_its_request_was_on_its_way_is_no_second_visitor_when_it_is_sent_in() {
    let (journal, house, watching) = watched_house().await;
    let stall = journal.stall.lock().await;
    let (told, at) = house.told_as_it_stalls(&journal, 10, enter(0)).await;
    // The second one has come since, and is nowhere but in memory.
    assert_eq!((told, house.told(11, enter(1)).await), (Ok(Some(at)), Ok(Some(at))));
    let send = async |key: u128, number: u16| {
        let passage = passage(number, Direction::In);
        house.node().merge_kept(by(key), passage.scan(at), None, passage.merge(at)).await
    };
    assert_eq!(send(60, 0).await, Err(Failure::OutcomeUnknown), "nobody knows yet as what it will be written");
    drop(stall);
    house.merged().await;
    for (key, number) in [(61, 0), (62, 1)] {
        assert_eq!(send(key, number).await, Err(Failure::Refused(Refusal::ScanKnown)), "ticket {number}");
    }
    assert_eq!(house.node().look(today(), |slot| slot.conflicts().count()).await, Ok(0));
    assert_eq!(house.inside().await, (2, 2));
    house.stop_watched(watching).await;
}

#[actix_rt::test]
async fn what_a_gate_was_told_to_keep_while_its_request_was_on_its_way_is_no_second_visitor_after_a_restart_either() {
    let (journal, house, watching) = watched_house().await;
    let stall = journal.stall.lock().await;
    let (told, at) = house.told_as_it_stalls(&journal, 10, enter(0)).await;
    // The second one has come since: of that request nothing is on its way.
    assert_eq!((told, house.told(11, enter(1)).await), (Ok(Some(at)), Ok(Some(at))));
    let [first, second] = [0, 1].map(|number| passage(number, Direction::In));
    let asked_at = house.node().asked_at(&first.scan(at));
    assert_eq!((asked_at, house.node().asked_at(&second.scan(at))), (Some(now()), None));
    drop(stall);
    house.merged().await;
    house.stop_watched(watching).await;

    let again = House::on(Arc::clone(&journal) as _).await;
    again.clock.set(at);
    for (key, kept, asked_at) in [(60, first, asked_at), (61, second, None)] {
        let sent = again.node().merge_kept(by(key), kept.scan(at), asked_at, kept.merge(at)).await;
        assert_eq!(sent, Err(Failure::Refused(Refusal::ScanKnown)), "{kept:?}");
    }
    assert_eq!(again.node().look(today(), |slot| slot.conflicts().count()).await, Ok(0));
    assert_eq!(again.inside().await, (2, 2));
    again.running.stop().await;
}

#[actix_rt::test]
async fn a_gate_that_asks_again_while_the_disk_stalls_is_told_and_its_request_is_written_once() {
    let (journal, house, watching) = watched_house().await;
    let stall = journal.stall.lock().await;
    let (begun, at) = (journal.appends.load(Ordering::Relaxed), now().plus_seconds(2));
    // One gate gives its request up before anybody knows that the disk stalls, another one sends its own twice.
    let mut given_up = Box::pin(house.pass(10, enter(0)));
    assert!((&mut given_up).now_or_never().is_none());
    journal.begins_after(begun).await;
    drop(given_up);
    let twice = join(house.told(11, enter(1)), house.told(11, enter(1)));
    let (answers, ()) = join(twice, async {
        others_go_on().await;
        house.clock.set(at);
    })
    .await;
    assert_eq!(answers, (Ok(Some(at)), Ok(Some(at))));
    assert_eq!(house.pass(12, enter(0)).await, Err(Failure::OutcomeUnknown), "what was given up may be written at any time");
    assert_eq!(house.told(10, enter(0)).await, Ok(Some(at)), "and is told to whoever gave it up");
    for (key, number) in [(12, 0), (13, 1)] {
        assert_eq!(house.told(key, enter(number)).await, Err("ticket_inside"));
    }
    drop(stall);
    house.merged().await;
    assert_eq!((house.told(10, enter(0)).await, house.told(11, enter(1)).await, house.inside().await), (Ok(None), Ok(None), (2, 2)));
    assert_eq!(house.node().look(today(), |slot| slot.conflicts().count()).await, Ok(0));
    house.stop_watched(watching).await;
}

#[actix_rt::test]
async fn nobody_is_refused_whom_the_slot_may_have_let_in_before_the_disk_was_found_to_stall() {
    // What speaks against it by then: the gate has closed, somebody else has taken the last room, or as many scans wait as can be kept.
    for why in ["too_late", "wait", "too many scans"] {
        let journal = Arc::new(Faulty::default());
        let house = sold(&journal).await;
        let read = async |at: Timestamp, people: u32| {
            let measured = Measured::Inside { people, sd: Some(0) };
            house.node().read(Reading { museum: MUSEUM, sensor: code("door"), at, measured }, KeyId(3)).await
        };
        let before = now().plus_seconds(if why == "too_late" { 3_600 + 900 } else { 60 });
        house.clock.set(before);
        if why == "wait" {
            read(before, 29).await.unwrap();
        }
        let watching = house.watched().await;
        let stall = journal.stall.lock().await;
        let (begun, after) = (journal.appends.load(Ordering::Relaxed), before.plus_seconds(2));
        let mut asked = Box::pin(house.pass(10, enter(0)));
        assert!((&mut asked).now_or_never().is_none(), "it is on its way");
        journal.begins_after(begun).await;
        house.clock.set(after);
        match why {
            // No slot can write it down; at the gates it counts at once.
            "wait" => assert!(read(after, 30).now_or_never().is_none()),
            "too many scans" => house.node().gates.waiting.store(crate::node::gates::SCANS_MAX, Ordering::Relaxed),
            _ => {}
        }
        let answer = tokio::time::timeout(Duration::from_secs(30), asked).await.expect("gates do not wait for the disk");
        assert_eq!(answer, Err(Failure::OutcomeUnknown), "{why}");
        match house.pass(11, enter(1)).await {
            Err(Failure::Refused(refusal)) => assert_eq!(refusal.code(), why, "of another ticket all is known"),
            other => assert!(why == "too many scans" && matches!(other, Err(Failure::Journal(_))), "{why}: {other:?}"),
        }
        house.node().gates.waiting.store(0, Ordering::Relaxed);
        drop(stall);
        house.is(Health::Writing).await;
        assert_eq!((house.told(10, enter(0)).await, house.inside().await), (Ok(None), (1, 1)), "{why}");
        house.stop_watched(watching).await;
    }
}

#[actix_rt::test]
async fn a_stop_gives_a_disk_that_stalls_time_to_take_what_gates_were_told() {
    let (journal, house, watching) = watched_house().await;
    let stall = journal.stall.lock().await;
    let (told, at) = house.told_as_it_stalls(&journal, 10, enter(0)).await;
    // The second one is nowhere but in memory.
    assert_eq!((told, house.told(11, enter(1)).await), (Ok(Some(at)), Ok(Some(at))));
    watching.abort();
    let _ = watching.await;
    assert_eq!((house.node().health(), house.node().unrecorded()), (Health::Stalled, 2));
    join(house.running.stop(), async {
        others_go_on().await;
        drop(stall);
    })
    .await;
    let again = House::on(Arc::clone(&journal) as _).await;
    assert_eq!(again.inside().await, (2, 2));
    again.running.stop().await;
}

#[actix_rt::test]
async fn a_doubt_outlives_a_disk_that_goes_on_for_a_moment() {
    let (journal, house, watching) = watched_house().await;
    let stall = journal.stall.lock().await;
    let first = house.another_on_its_way(&journal).await;
    // These two are in the batch behind that one.
    let (answers, ()) = join(join(house.pass(11, enter(1)), house.pass(12, enter(1))), async {
        others_go_on().await;
        house.clock.set(now().plus_seconds(2));
    })
    .await;
    assert_eq!(answers, (Err(Failure::OutcomeUnknown), Err(Failure::OutcomeUnknown)));
    // One batch is written, and the next one stands.
    let mut next = Box::pin(journal.stall.lock());
    assert!((&mut next).now_or_never().is_none());
    drop(stall);
    let stall = next.await;
    let unknown = async {
        house.is(Health::Writing).await;
        others_go_on().await;
        house.stalls_after(4).await;
        house.pass(17, enter(1)).await
    };
    let unknown = tokio::time::timeout(Duration::from_secs(30), unknown).await.expect("gates do not wait for the disk");
    assert_eq!(unknown, Err(Failure::OutcomeUnknown), "another request with that ticket may be written at any time");
    drop(stall);
    assert!(first.await.unwrap().is_ok());
    tokio::time::timeout(Duration::from_secs(30), house.is(Health::Writing)).await.expect("the disk goes on");
    assert_eq!((house.told(11, enter(1)).await, house.told(17, enter(1)).await), (Ok(None), Err("ticket_inside")));
    house.stop_watched(watching).await;
}

#[actix_rt::test]
async fn a_doubt_that_comes_while_another_one_ends_does_not_end_with_it() {
    let (journal, house, watching) = watched_house().await;
    let (stall, begun) = (journal.stall.lock().await, journal.appends.load(Ordering::Relaxed));
    // The slot has no time for anybody yet.
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let mut busy = Box::pin(house.node().look(today(), move |_| {
        let _ = held.lock().recv();
    }));
    assert!((&mut busy).now_or_never().is_none());
    // Two give up what they have asked with one ticket, the second one behind the look that is to say what became of the first.
    assert!(house.pass(10, leave(0)).now_or_never().is_none());
    let mut ending = Box::pin(house.node().end_forks());
    assert!((&mut ending).now_or_never().is_none());
    assert!(house.pass(11, enter(0)).now_or_never().is_none());
    drop(let_go);
    assert_eq!(busy.await, Ok(()));
    assert!(!ending.await, "nobody knows what became of the second one");
    journal.begins_after(begun).await;
    house.stalls_after(2).await;
    assert_eq!(house.pass(12, enter(0)).await, Err(Failure::OutcomeUnknown), "it is on its way to the disk");
    drop(stall);
    house.is(Health::Writing).await;
    assert_eq!((house.told(11, enter(0)).await, house.told(12, enter(0)).await), (Ok(None), Err("ticket_inside")));
    assert_eq!(house.node().look(today(), |slot| slot.conflicts().count()).await, Ok(0));
    house.stop_watched(watching).await;
}

#[actix_rt::test]
async fn of_a_request_that_is_on_its_way_no_gate_hears_that_nothing_was_changed_though_the_disk_stalls_again_and_again() {
    let (journal, house, watching) = watched_house().await;
    let stall = journal.stall.lock().await;
    let first = house.another_on_its_way(&journal).await;
    // It is in the batch behind that one, as soon as the slot has decided it.
    let mut asked = Box::pin(house.pass(10, enter(0)));
    assert!((&mut asked).now_or_never().is_none());
    let decided = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&decided);
    let mut look = Box::pin(house.node().look(today(), move |_| seen.store(true, Ordering::Relaxed)));
    assert!((&mut look).now_or_never().is_none());
    while !decided.load(Ordering::Relaxed) {
        tokio::task::yield_now().await;
    }
    // The gate goes on by itself; before it can, the disk has written the first batch.
    let others = house.node().gates.forks.read().await;
    house.stalls_after(2).await;
    assert!((&mut asked).now_or_never().is_none());
    let mut next = Box::pin(journal.stall.lock());
    assert!((&mut next).now_or_never().is_none());
    drop(stall);
    let stall = next.await;
    house.is(Health::Writing).await;
    drop(others);
    // So it asks the slot again, which waits for the second one.
    assert!((&mut asked).now_or_never().is_none());
    house.stalls_after(4).await;
    let answer = tokio::time::timeout(Duration::from_secs(30), asked).await.expect("gates do not wait for the disk");
    assert_eq!(answer, Err(Failure::OutcomeUnknown));
    drop(stall);
    assert!(first.await.unwrap().is_ok() && look.await.is_ok());
    house.is(Health::Writing).await;
    assert_eq!((house.told(10, enter(0)).await, house.inside().await), (Ok(None), (1, 1)));
    house.stop_watched(watching).await;
}

#[actix_rt::test]
async fn a_stall_that_ends_in_an_error_loses_nothing_that_was_told() {
    for (fault, health) in [(Fault::Lost, Health::Writing), (Fault::Flush, Health::Stopped)] {
        let (journal, house, watching) = watched_house().await;
        journal.faults.lock().push_back(fault.clone());
        let stall = journal.stall.lock().await;
        let (told, at) = house.told_as_it_stalls(&journal, 10, enter(0)).await;
        assert_eq!((told, house.told(11, enter(0)).await), (Ok(Some(at)), Err("ticket_inside")), "{fault:?}");
        drop(stall);
        tokio::time::timeout(Duration::from_secs(30), house.is(health)).await.expect("the disk says what became of it");
        if health == Health::Writing {
            house.merged().await;
            assert_eq!(house.inside().await, (1, 1));
        } else {
            assert_eq!((house.told(10, enter(0)).await, house.node().unrecorded()), (Ok(Some(at)), 1), "it waits for a restart");
        }
        house.stop_watched(watching).await;
    }
}
