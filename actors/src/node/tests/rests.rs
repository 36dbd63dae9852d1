//! Places that rest come back by the clock, over restarts, and whoever let them go is known meanwhile.

use std::time::Duration;

use super::limits::of;
use super::*;

/// From now on places rest so long in slots that are opened.
pub(super) async fn let_rest(node: &Node, rest_max_s: u32) {
    let mut plan = plan();
    plan.routes[0].policy.limits.rest_max_s = rest_max_s;
    node.museum(MUSEUM, by(2_001), museum::Command::SetPlan { valid_from: calendar::local_day(now()), plan }).await.unwrap();
}

fn drawn(n: u64, count: u16) -> Command {
    hold(n, count).drawn(1 << 31)
}

fn release(n: u64) -> Command {
    Command::Release { hold: HoldId::new(tomorrow(), n), owner: Some(KeyId(7)) }
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_micros(now().as_micros() + ms * 1_000)
}

/// Places taken and resting, when next somebody has to wake up, as the board has it.
fn board(house: &House) -> (u32, u32, Option<Timestamp>) {
    house.node().board().head(tomorrow()).map_or((0, 0, None), |head| (head.places.taken(), head.places.resting, head.wake_at))
}

#[actix_rt::test]
async fn what_rests_is_free_by_the_clock_though_the_slot_is_not_in_memory() {
    let house = House::new().await;
    let_rest(house.node(), 60).await;
    house.node().slot(tomorrow(), of(1, Some(7)), drawn(1, 20)).await.unwrap();
    house.ask(2, release(1)).await.unwrap();
    assert_eq!(board(&house), (20, 20, Some(at(30_001))));
    let short = Refusal::NotEnoughPlaces { asked: 1, available: 0, limited_by: slot::LimitedBy::Capacity };
    assert_eq!(house.ask(3, hold(3, 1)).await, Err(Failure::Refused(short)));
    for _ in 0..2 {
        house.node().slots.retire_idle().await;
    }
    assert_eq!(house.node().owners(), 0);
    let mut changes = house.node().board().watch();
    house.clock.set(at(30_001));
    let change = tokio::time::timeout(Duration::from_secs(5), changes.recv()).await.expect("the clock wakes the slot").unwrap();
    assert_eq!((change.head.places.taken(), change.head.wake_at), (0, None));
    // Others have had half a minute of it by the time that whoever let go may hold again.
    let again = house.node().slot(tomorrow(), of(4, Some(7)), hold(4, 1)).await;
    assert_eq!(again, Err(Failure::Refused(Refusal::HoldRenewed { again_at: at(60_000), wait_s: 30 })));
    house.node().slot(tomorrow(), of(5, Some(8)), hold(5, 1)).await.unwrap();
    house.clock.set(at(60_000));
    house.node().slot(tomorrow(), of(6, Some(7)), hold(6, 1)).await.unwrap();
    house.running.stop().await;
}

#[actix_rt::test]
async fn what_rests_goes_on_resting_after_a_restart_and_whoever_let_it_go_goes_on_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::in_folder(&folder).await.unwrap();
    let_rest(house.node(), 60).await;
    house.node().slot(tomorrow(), of(1, Some(7)), drawn(1, 20)).await.unwrap();
    house.ask(2, release(1)).await.unwrap();
    house.running.stop().await;
    let again = House::in_folder(&folder).await.unwrap();
    assert_eq!(board(&again), (20, 20, Some(at(30_001))));
    again.clock.set(at(30_001));
    again.node().wake_due().await;
    let renewed = again.node().slot(tomorrow(), of(4, Some(7)), hold(4, 1)).await;
    assert_eq!(renewed, Err(Failure::Refused(Refusal::HoldRenewed { again_at: at(60_000), wait_s: 30 })));
    assert_eq!((board(&again), again.node().look(tomorrow(), Slot::recount).await), ((0, 0, None), Ok(Ok(()))));
    again.node().slot(tomorrow(), of(5, Some(8)), hold(5, 1)).await.unwrap();
    again.running.stop().await;
}
