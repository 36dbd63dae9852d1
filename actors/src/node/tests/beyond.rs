//! Slots that are sold beyond their places by itself: through the node, with people who come or stay away by chance, with a journal that fails and a machine that
//! stops, by hand, and no more when the museum changes its mind.

use std::collections::HashMap;

use tornello_engine::attendance::{BeyondCount, SlotCount};
use tornello_engine::slot::{BeyondSet, CancelCause};
use tornello_engine::{attendance, planning};
use tornello_models::fraud::chance::Chance;

use super::*;
use crate::{attended, beyond};

const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 24 * HOUR_S;

/// Ten days on which 15 of 20 people came by each slot.
async fn with_past(node: &Node) {
    for before in 1..=10_i32 {
        let date = calendar::local_day(now()).saturating_sub(jiff::Span::new().days(before));
        let slots = (9..18_u16).map(|hour| SlotCount { route: RouteId(1), from_min: hour * 60, sold: 20, admitted: 15 }).collect();
        let count = attendance::Command::Count { date, people: 9 * 15, slots, doors: None, books: Vec::new(), beyond: Vec::new() };
        node.attendance(MUSEUM, by(20_000 + before.unsigned_abs() as u128), count).await.unwrap();
    }
}

async fn allow(node: &Node, key: u128, turn_away_permille: u16, sell_beyond_places: bool) {
    let policy = Box::new(planning::Policy { turn_away_permille, sell_beyond_places, ..planning::Policy::default() });
    let valid_from = calendar::local_day(node.now());
    node.planning(MUSEUM, by(key), planning::Command::SetPolicy { valid_from, policy, only_if: None }).await.unwrap();
}

fn places(node: &Node, slot: SlotId) -> slot::Places {
    node.board().head(slot).expect("it was sold from").places
}

/// The slots of the day that begins so many days after the tests do.
fn slots_of(ahead: i64) -> Vec<SlotId> {
    // The first slot begins an hour before.
    (-1..8).map(|hour| SlotId::new(MUSEUM, RouteId(1), now().plus_seconds(ahead * DAY_S + hour * HOUR_S))).collect()
}

/// What became of some days on which every slot was sold as far as it was for sale.
#[derive(Debug, Default)]
struct Came {
    slots: usize,
    /// How many came of the first twenty of each slot: of as many as there are places.
    within: usize,
    all: usize,
    /// In how many slots more came than there are places.
    over: usize,
    sold_beyond: u32,
}

/// Days on which a quarter of those who have a ticket stays away, each for themselves.
async fn days(house: &House, of: std::ops::Range<i64>, chance: &mut Chance) -> Came {
    let (node, mut came) = (house.node(), Came::default());
    for ahead in of {
        // Before the first slot, at half past six in Rome.
        house.clock.set(now().plus_seconds((ahead - 1) * DAY_S + 20 * HOUR_S + HOUR_S / 2));
        let slots = slots_of(ahead);
        let key = |slot: SlotId, n: u64| by(u128::from(slot.get()) << 32 | u128::from(n));
        for &slot in &slots {
            node.slot(slot, key(slot, 1), sell_in(slot, 1, 20)).await.unwrap();
        }
        beyond::look(node).await;
        let mut sold = HashMap::new();
        for &slot in &slots {
            let mut more = 0;
            while node.slot(slot, key(slot, 2 + more), sell_in(slot, 2 + more, 1)).await.is_ok() {
                more += 1;
            }
            assert_eq!(more as u32, places(node, slot).beyond(), "what is for sale is sold, and nothing else");
            sold.insert(slot, more);
        }
        for &slot in &slots {
            house.clock.set(slot.start().plus_seconds(60));
            let tickets = (0..20).map(|n| HoldId::new(slot, 1).ticket(n)).chain((0..sold[&slot]).map(|n| HoldId::new(slot, 2 + n).ticket(0)));
            let (mut within, mut all) = (0, 0);
            for (n, ticket) in (0..).zip(tickets) {
                if chance.unit() < 0.25 {
                    continue;
                }
                let admit = Command::Admit { ticket, issue: Some(1), gate: code("north"), museum: MUSEUM };
                node.slot(slot, key(slot, 100 + n), admit).await.unwrap();
                (within, all) = (within + usize::from(n < 20), all + 1);
            }
            came.slots += 1;
            (came.within, came.all) = (came.within + within, came.all + all);
            came.over += usize::from(all > 20);
            came.sold_beyond += places(node, slot).beyond();
        }
        // Early on the next day.
        house.clock.set(now().plus_seconds(ahead * DAY_S + 20 * HOUR_S));
        assert_eq!(attended::count_days(node).await, 1, "{ahead}");
    }
    came
}

/// The promise, in a simulated world: nobody is turned away from more slots than the museum allows, and more people come than if only the places were sold. What
/// the report is made of says the same.
#[actix_rt::test]
async fn nobody_is_turned_away_more_often_than_allowed_and_more_people_come() {
    let house = House::new().await;
    let (node, mut chance) = (house.node(), Chance::new(11));
    with_past(node).await;
    allow(node, 30_000, 50, false).await;
    let without = days(&house, 1..11, &mut chance).await;
    assert_eq!((without.sold_beyond, without.over, without.all), (0, 0, without.within), "{without:?}");
    allow(node, 30_001, 50, true).await;
    let with = days(&house, 11..41, &mut chance).await;
    assert!(with.slots == 270 && with.sold_beyond >= 270, "{with:?}");
    assert!(with.over as f64 <= 0.05 * with.slots as f64, "more were turned away than is allowed: {with:?}");
    let each = |came: &Came, people: usize| people as f64 / came.slots as f64;
    assert!(each(&with, with.all) > each(&with, with.within) + 0.5 && each(&with, with.all) > each(&without, without.all), "{with:?} {without:?}");

    let attendance = node.attended().get(MUSEUM);
    let counted: Vec<&BeyondCount> = attendance.sold_beyond().values().flatten().collect();
    assert_eq!(counted.len(), with.slots);
    assert_eq!(counted.iter().filter(|slot| slot.over() > 0).count(), with.over);
    assert_eq!(counted.iter().map(|slot| slot.sold - slot.places).sum::<u32>(), with.sold_beyond);
    assert!(counted.iter().all(|slot| slot.places == 20 && (1..=50_000).contains(&slot.turn_away_ppm)), "{counted:?}");
    let promised: f64 = counted.iter().map(|slot| f64::from(slot.turn_away_ppm) / 1e6).sum();
    assert!(with.over as f64 <= promised + 3.0 * promised.sqrt(), "{with:?}, and {promised} were promised");
    house.running.stop().await;
}

fn sets(journal: &[Batch], of: SlotId) -> Vec<BeyondSet> {
    let frames = journal.iter().flat_map(|batch| crate::journal::wire::frames(&batch.records)).map(Result::unwrap);
    let events = frames.filter(|frame| frame.stream == StreamId::Slot(of)).flat_map(|frame| frame.record::<Event>().unwrap().events);
    events.filter_map(|event| if let Event::BeyondSet(set) = event { Some(set) } else { None }).collect()
}

#[actix_rt::test]
async fn a_decision_is_written_once_whatever_fails_and_taken_back_as_far_as_nothing_is_sold() {
    let journal = Arc::new(Faulty::default());
    let house = House::on(Arc::clone(&journal) as _).await;
    let (node, slot) = (house.node(), tomorrow());
    open_museum(node).await;
    with_past(node).await;
    allow(node, 30_000, 50, true).await;
    assert_eq!(beyond::look(node).await, 0, "nobody has booked");
    node.slot(slot, by(1), sell(1, 20)).await.unwrap();
    assert_eq!((beyond::look(node).await, places(node, slot).beyond()), (1, 2));
    assert_eq!(beyond::look(node).await, 0, "it stands");
    node.slot(slot, by(2), sell(2, 1)).await.unwrap();
    house.running.stop().await;
    // Stopped, and started again on what was written.
    let house = House::on(Arc::clone(&journal) as _).await;
    let node = house.node();
    assert_eq!((beyond::look(node).await, places(node, slot).beyond()), (0, 2));
    // The museum changes its mind, and nobody knows whether the slot was told: it is asked again, under the same key.
    allow(node, 30_001, 50, false).await;
    journal.faults.lock().push_back(Fault::Written);
    assert_eq!(beyond::look(node).await, 0);
    beyond::look(node).await;
    assert_eq!(beyond::look(node).await, 0);
    let now = places(node, slot);
    assert_eq!((now.capacity, now.beyond(), now.taken(), now.over(node.now())), (20, 1, 21, 0), "who has a ticket keeps it");
    assert!(node.slot(slot, by(3), sell(3, 1)).await.is_err());
    // With the ticket that is given back the last of it is gone.
    let cancel = Command::Cancel { sale: HoldId::new(slot, 2), owner: None, tickets: vec![], cause: CancelCause::Visitor };
    node.slot(slot, by(4), cancel).await.unwrap();
    assert_eq!((beyond::look(node).await, beyond::look(node).await, places(node, slot).beyond()), (1, 0, 0));
    house.running.stop().await;
    let written = sets(&journal.batches(0, u32::MAX).await.unwrap(), slot);
    assert_eq!(written.iter().map(|set| set.beyond).collect::<Vec<_>>(), [2, 1, 0], "{written:?}");
    assert!(
        written[0].turn_away_ppm <= 50_000 && written[1].turn_away_ppm < written[0].turn_away_ppm && written[2].turn_away_ppm == 0,
        "{written:?}"
    );
}

#[actix_rt::test]
async fn what_staff_set_by_hand_and_the_ceiling_of_the_building_hold() {
    let house = House::new().await;
    let node = house.node();
    with_past(node).await;
    allow(node, 30_000, 50, true).await;
    let [by_hand, alone] = [slots_of(1)[2], slots_of(1)[4]];
    for (key, slot) in (1..).zip([by_hand, alone]) {
        node.slot(slot, by(key), sell_in(slot, 1, 20)).await.unwrap();
    }
    node.slot(by_hand, by(9), Command::SetCapacity { capacity: 20 }).await.unwrap();
    assert_eq!((beyond::look(node).await, places(node, by_hand).beyond, places(node, alone).beyond()), (1, None, 2));
    // One more may be inside than there are places.
    let valid_from = calendar::local_day(now());
    node.museum(MUSEUM, by(3_000), museum::Command::SetCeiling { valid_from, ceiling: Some(21) }).await.unwrap();
    assert_eq!((beyond::look(node).await, places(node, alone).beyond()), (1, 1));
    // Another route at the same hours leaves no room at all.
    let mut plan = plan();
    let second = Route { id: RouteId(2), code: code("tower"), ..plan.routes[0].clone() };
    plan.routes.push(second);
    node.museum(MUSEUM, by(3_001), museum::Command::SetPlan { valid_from, plan }).await.unwrap();
    assert_eq!((beyond::look(node).await, places(node, alone).beyond()), (1, 0));
    house.running.stop().await;
}
