//! Owners come and go: who asks one that is gone, has panicked or is about to go is served by the next; and of slots that nobody has touched nothing stays.

use std::time::Duration;

use futures_util::FutureExt;

use super::*;

#[actix_rt::test]
async fn a_hold_expires_on_time_though_its_owner_is_not_in_memory() {
    let house = House::new().await;
    house.ask(1, hold(1, 5)).await.unwrap();
    for _ in 0..2 {
        house.node().slots.retire_idle().await;
    }
    assert_eq!((house.node().owners(), house.taken()), (0, 5));
    let mut changes = house.node().board().watch();
    house.clock.set(now().plus_seconds(900));
    let change = tokio::time::timeout(Duration::from_secs(5), changes.recv()).await.expect("the clock wakes the slot").unwrap();
    assert_eq!((change.slot, change.head.places.taken(), change.head.wake_at), (tomorrow(), 0, None));
    house.running.stop().await;
}

#[actix_rt::test]
async fn slots_that_nobody_planned_do_not_exist_and_leave_nothing_behind() {
    let house = House::new().await;
    let midnight = SlotId::new(MUSEUM, RouteId(1), "2026-06-11T00:00:00Z".parse().unwrap());
    let answer = house.node().slot(midnight, by(1), hold(1, 1)).await;
    assert_eq!(answer, Err(Failure::UnknownSlot(midnight)));
    assert_eq!(house.node().owners(), 0);
    // A refused command opens no slot.
    assert!(house.ask(2, hold(1, 21)).await.is_err());
    assert_eq!(house.node().board().head(tomorrow()), None);
    house.running.stop().await;
}

/// Two owners of one stream would each publish what they have read, the one over the other.
#[actix_rt::test]
async fn who_waits_while_a_slot_cannot_be_read_back_tries_next_and_makes_no_second_owner() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    journal.unreadable.store(1, Ordering::Relaxed);
    let both = join_all((0..2).map(|_| house.node().look(tomorrow(), |slot| slot.places().taken()))).await;
    assert!(matches!(both[..], [Err(Failure::Journal(_)), Ok(0)]), "{both:?}");
    assert_eq!(house.node().owners(), 1, "the one that was made is found by whoever asks next");
    // Where nobody waits, nothing stays of what was tried in vain.
    for _ in 0..2 {
        house.node().slots.retire_idle().await;
    }
    journal.unreadable.store(1, Ordering::Relaxed);
    assert!(house.node().look(tomorrow(), |_| ()).await.is_err());
    assert_eq!(house.node().owners(), 0);
    house.running.stop().await;
}

#[actix_rt::test]
async fn of_a_slot_whose_caller_goes_away_before_it_is_there_nothing_stays() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    let (node, before, stall) = (house.node(), journal.appends.load(Ordering::Relaxed), journal.stall.lock().await);
    let ceiling = museum::Command::SetCeiling { valid_from: calendar::local_day(now()), ceiling: Some(40) };
    let meanwhile = async {
        while journal.appends.load(Ordering::Relaxed) == before {
            tokio::task::yield_now().await;
        }
        // The writer has its hands full: nobody becomes the owner of anything before it goes on.
        assert_eq!(node.look(tomorrow(), |_| ()).now_or_never(), None);
        drop(stall);
    };
    let (set, ()) = tokio::join!(node.museum(MUSEUM, by(5_000), ceiling), meanwhile);
    assert!(set.is_ok(), "{set:?}");
    assert_eq!(node.owners(), 0);
    assert_eq!(node.look(tomorrow(), |slot| slot.places().taken()).await, Ok(0));
    assert_eq!(node.owners(), 1);
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_panic_ends_one_owner_and_the_next_caller_finds_it_rebuilt() {
    let house = House::new().await;
    house.ask(1, hold(1, 2)).await.unwrap();
    let looked: Result<(), _> = house.node().look(tomorrow(), |_| panic!("a fault in a handler")).await;
    assert!(looked.is_err());
    assert_eq!(house.node().look(tomorrow(), |slot| slot.places().taken()).await, Ok(2));
    house.ask(2, hold(2, 2)).await.unwrap();
    assert_eq!(house.taken(), 4);
    house.running.stop().await;
}

/// A clock at which whoever is to sleep next panics, when that is said.
struct Faltering {
    clock: ManualClock,
    panics: AtomicBool,
}

impl Clock for Faltering {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }
    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()> {
        assert!(!self.panics.swap(false, Ordering::Relaxed), "a fault in what goes on by itself");
        self.clock.sleep_until(at)
    }
    fn wall_ahead_us(&self) -> i64 {
        0
    }
}

#[actix_rt::test]
async fn a_hold_expires_though_what_wakes_it_has_panicked() {
    let clock = Arc::new(Faltering { clock: ManualClock::new(now()), panics: AtomicBool::new(false) });
    let running = Node::start_on(Arc::new(MemoryJournal::default()), Arc::clone(&clock) as _, Limits::default()).await.unwrap();
    open_museum(running.node()).await;
    let mut changes = running.node().board().watch();
    clock.panics.store(true, Ordering::Relaxed);
    running.node().slot(tomorrow(), by(1), hold(1, 5)).await.unwrap();
    wait_until(|| !clock.panics.load(Ordering::Relaxed)).await;
    clock.clock.set(now().plus_seconds(900));
    let expires = async { while changes.recv().await.unwrap().head.places.taken() > 0 {} };
    tokio::time::timeout(Duration::from_secs(30), expires).await.expect("what wakes it begins anew");
    running.stop().await;
}

#[actix_rt::test]
async fn when_an_owner_stops_all_who_waited_for_it_are_served_by_the_next() {
    let house = House::new().await;
    house.ask(1, hold(1, 1)).await.unwrap();
    let stopped: Result<(), _> = house.node().look(tomorrow(), |_| panic!("a fault in a handler")).await;
    assert!(stopped.is_err(), "a fault that stays is told");
    let node = house.node();
    let panic_once = Arc::new(AtomicBool::new(true));
    let fault = node.look(tomorrow(), move |_| assert!(!panic_once.swap(false, Ordering::Relaxed), "once"));
    let (fault, answers) = tokio::join!(fault, join_all((2..17).map(|n| house.ask(n, hold(n as u64, 1)))));
    assert!(fault.is_ok() && answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(house.taken(), 16);
    house.running.stop().await;
}

#[actix_rt::test]
async fn who_asks_while_an_owner_is_retired_is_served_by_the_next() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    let node = house.node();
    // The house itself retires owners when it starts: once, so the second round is this test's own.
    let mut retired = 0;
    for round in 1..4 {
        house.ask(u128::from(round), hold(round, 1)).await.unwrap();
        node.slots.retire_idle().await;
        // The writer has its hands full, so that nothing more is written before the owner has gone.
        let (stall, before) = (journal.stall.lock().await, journal.appends.load(Ordering::Relaxed));
        let meanwhile = async {
            while journal.appends.load(Ordering::Relaxed) == before {
                tokio::task::yield_now().await;
            }
            let retire = async {
                let retired = node.slots.retire_idle().await;
                drop(stall);
                retired
            };
            tokio::join!(retire, house.ask(u128::from(10 + round), hold(10 + round, 2)))
        };
        let ceiling = museum::Command::SetCeiling { valid_from: calendar::local_day(now()), ceiling: Some(40) };
        let (busy, (found, asked)) = tokio::join!(node.museum(MUSEUM, by(u128::from(5_000 + round)), ceiling), meanwhile);
        assert!(busy.is_ok() && asked.is_ok(), "{busy:?}, {asked:?}");
        assert_eq!(house.taken(), 3 * round as u32);
        retired += found;
    }
    assert!(retired > 0, "an owner was retired while somebody asked");
    house.running.stop().await;
}

#[actix_rt::test]
async fn an_owner_that_does_not_answer_keeps_the_house_from_nothing() {
    let house = House::new().await;
    house.ask(1, hold(1, 2)).await.unwrap();
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    // It is in the hands of somebody who waits, and with it all that run on its thread.
    let busy = house.node().look(tomorrow(), move |_| {
        let _ = held.lock().recv();
    });
    let tidy = async {
        let tidied = tokio::time::timeout(Duration::from_secs(5), house.node().tidy()).await;
        drop(let_go);
        tidied
    };
    let (looked, tidied) = tokio::join!(busy, tidy);
    assert!(tidied.is_ok(), "nobody waits for it for long");
    assert_eq!((looked, house.taken()), (Ok(()), 2));
    house.running.stop().await;
}

#[actix_rt::test]
async fn a_slot_that_nobody_has_touched_follows_the_plan_as_it_changes() {
    let house = House::new().await;
    // Somebody is refused: the slot is in memory, as planned then.
    assert!(house.ask(1, hold(1, 21)).await.is_err());
    let mut smaller = plan();
    smaller.routes[0].week.iter_mut().flatten().for_each(|session| session.capacity = 5);
    let valid_from = calendar::local_day(now());
    house.node().museum(MUSEUM, by(2_000), museum::Command::SetPlan { valid_from, plan: smaller }).await.unwrap();
    assert_eq!(house.node().look(tomorrow(), |slot| slot.places().capacity).await, Ok(5), "also who only looks sees the plan in force");
    assert!(matches!(house.ask(2, hold(2, 10)).await, Err(Failure::Refused(Refusal::NotEnoughPlaces { available: 5, .. }))));
    // One that was sold from keeps the plan under which it was.
    house.ask(3, hold(3, 2)).await.unwrap();
    house.node().museum(MUSEUM, by(2_001), museum::Command::SetPlan { valid_from, plan: plan() }).await.unwrap();
    assert!(house.ask(4, hold(4, 4)).await.is_err());
    house.running.stop().await;
}
