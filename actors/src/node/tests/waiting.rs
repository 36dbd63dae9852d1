//! Parties that wait are served in their order, by the clock, over restarts, and when many come at once.

use std::time::Duration;

use super::*;

pub(super) fn wait(n: u64, count: u16) -> Command {
    Command::Wait { entry: HoldId::new(tomorrow(), n), who: KeyId(7), channel: Channel::Web, lines: lines(count) }
}

/// The board's first change after which the slot has as many places taken, and parties waiting.
async fn until(changes: &mut tokio::sync::broadcast::Receiver<crate::board::Change>, taken: u32, waiting: u32) {
    loop {
        let change = tokio::time::timeout(Duration::from_secs(5), changes.recv()).await.expect("the clock wakes the slot").unwrap();
        if (change.head.places.taken(), change.head.waiting) == (taken, waiting) {
            return;
        }
    }
}

#[actix_rt::test]
async fn who_waits_is_served_by_the_clock_though_the_slot_is_not_in_memory() {
    let house = House::new().await;
    house.ask(1, hold(1, 20)).await.unwrap();
    house.ask(2, wait(2, 5)).await.unwrap();
    house.ask(3, wait(3, 16)).await.unwrap();
    for _ in 0..2 {
        house.node().slots.retire_idle().await;
    }
    assert_eq!((house.node().owners(), house.taken()), (0, 20));
    let mut changes = house.node().board().watch();
    house.clock.set(now().plus_seconds(900));
    // The hold expires, and in the same moment the first in order has an offer; the second needs more than is left.
    until(&mut changes, 5, 1).await;
    let offer = house.node().look(tomorrow(), |slot| slot.hold_of(HoldId::new(tomorrow(), 2)).map(|hold| hold.expires_at)).await.unwrap();
    assert_eq!(offer, Some(now().plus_seconds(1_800)));
    // Nobody asks, and the offer lapses: the next is served.
    house.clock.set(now().plus_seconds(1_800));
    until(&mut changes, 16, 0).await;
    house.running.stop().await;
}

#[actix_rt::test]
async fn an_offer_that_was_due_when_the_house_stopped_is_made_when_it_starts() {
    let journal = Arc::new(MemoryJournal::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    open_museum(house.node()).await;
    house.ask(1, hold(1, 20)).await.unwrap();
    house.ask(2, wait(2, 5)).await.unwrap();
    let mut changes = house.node().board().watch();
    let released = house.ask(3, Command::Release { hold: HoldId::new(tomorrow(), 1), owner: None }).await.unwrap();
    until(&mut changes, 5, 0).await;
    house.running.stop().await;
    // The same journal, up to the release.
    let cut = Arc::new(MemoryJournal::default());
    for batch in journal.batches(0, u32::MAX).await.unwrap() {
        let later = batch.spans.iter().any(|span| span.stream == StreamId::Slot(tomorrow()) && span.last > released.seq);
        if later {
            break;
        }
        cut.append(&batch).await.unwrap();
    }
    let again = House::on(cut).await;
    let mut changes = again.node().board().watch();
    if again.taken() != 5 {
        until(&mut changes, 5, 0).await;
    }
    let short = Refusal::NotEnoughPlaces { asked: 16, available: 15, limited_by: slot::LimitedBy::Capacity };
    assert_eq!(again.ask(4, hold(4, 16)).await, Err(Failure::Refused(short)), "nobody comes before who waits");
    assert_eq!(again.node().look(tomorrow(), |slot| slot.places().taken()).await, Ok(5));
    again.running.stop().await;
}

#[actix_rt::test]
async fn of_many_who_wait_as_many_have_an_offer_as_there_are_places() {
    let house = House::new().await;
    house.ask(1, hold(1, 20)).await.unwrap();
    let joined = join_all((100..150).map(|n| house.ask(u128::from(n), wait(n, 3)))).await;
    assert!(joined.iter().all(Result::is_ok), "{joined:?}");
    // Others try to come in between.
    let release = house.ask(2, Command::Release { hold: HoldId::new(tomorrow(), 1), owner: None });
    let (released, others) = tokio::join!(release, join_all((200..250).map(|n| house.ask(u128::from(n), hold(n, 3)))));
    assert!(released.is_ok() && others.iter().all(Result::is_err), "{others:?}");
    let (first, offers) =
        house.node().look(tomorrow(), |slot| (slot.waiting().next().map(|party| party.number), slot.holds().count())).await.unwrap();
    assert_eq!((first, offers, house.taken()), (Some(7), 6, 18));
    house.running.stop().await;
}
