//! Gates without a network send in what they did in any order: whatever they saw, and whatever gates that asked saw beside them, the slot ends in the same state.

use proptest::prelude::*;

use super::gates::came_to;
use super::passages::{Passage, Taken};
use super::*;

const GATES: [&str; 3] = ["a", "b", "c"];

/// What one gate sends in, in the order of its times.
fn batch(scans: &[(usize, bool, i64)], gate: usize) -> Vec<Scan> {
    let mut batch: Vec<Scan> = scans.iter().filter(|(of, ..)| *of == gate).map(of_gate).collect();
    batch.sort_by_key(|scan| scan.scanned_at);
    batch
}

fn of_gate(&(gate, out, minute): &(usize, bool, i64)) -> Scan {
    scan(1, 0, GATES[gate], if out { Direction::Out } else { Direction::In }, minute * MIN)
}

/// A ticket that gates which ask have seen now and then, and that may be blocked since; then a reading.
fn seen(online: &[(i64, bool)], blocked: bool) -> World {
    let mut world = given(&[(-DAY, direct(1, &[full(2)], desk()))]);
    let mut online = online.to_vec();
    online.sort_unstable();
    for (minute, out) in online {
        // What is refused is not seen.
        let _ = world.ask(minute * MIN, &if out { exit(1, 0) } else { admit(1, 0) });
    }
    if blocked {
        assert!(world.ask(45 * MIN, &Command::Block { sale: id(1), tickets: vec![0], reason: code("review") }).is_ok());
    }
    assert!(world.ask(50 * MIN, &observe(50, 0, 40 * MIN)).is_ok());
    world
}

fn send(world: &mut World, batch: &[Scan]) {
    for scan in batch {
        match world.ask(2 * HOUR, &merge(*scan)) {
            // Two scans of one gate in one minute are one.
            Ok(_) | Err(Refusal::ScanKnown) => {}
            Err(refusal) => panic!("{scan:?}: {refusal:?}"),
        }
    }
}

/// Two come by gates that asked, in one instant in which another gate saw somebody leave between them: it is by whoever comes to light as the first that the time is reckoned in
/// which a ticket lets its holder back in.
#[test]
fn whoever_came_first_stays_the_first_when_two_came_in_one_instant() {
    let mut opening = opening(10);
    opening.policy.reentry = Reentry { times_max: 3, within_s: 600 };
    let seen = |gate, direction, minute: i64| scan(1, 0, gate, direction, minute * MIN);
    let taken = |scan: Scan| Passage::taken(scan, Taken { at: scan.scanned_at, judged: Judged::Passed });
    let mut all = vec![
        Passage::online(seen("a", Direction::In, 10)),
        Passage::online(seen("a", Direction::In, 10)),
        taken(seen("b", Direction::Out, 10)),
        taken(seen("b", Direction::Out, 11)),
        taken(seen("c", Direction::In, 11)),
        Passage::new(seen("c", Direction::In, -5), at(HOUR)),
    ];
    let ticket = Ticket { issue: 1, state: TicketState::Valid, blocked: None, review_until: None };
    let shown = Shown { ticket: id(1).ticket(0), issue: None, museum: MUSEUM };
    let state = passages::judge(&mut all, verdict::Window::of(&opening), &ticket, shown);
    assert_eq!(state, TicketState::Outside { first_at: at(-5 * MIN), left_at: at(11 * MIN), entries: 3 });
    assert_eq!(all.last().map(|passage| passage.judged), Some(Judged::Conflict { reason: ConflictReason::TicketUsed }));
}

/// Gates that asked saw somebody leave twice, and the scan by which they had come back between cannot stand, as the time for that was over: they left when they were seen last.
#[test]
fn whoever_left_twice_left_when_they_were_seen_last() {
    let mut opening = opening(10);
    opening.policy.reentry = Reentry { times_max: 3, within_s: 600 };
    let seen = |direction, minute: i64| scan(1, 0, "a", direction, minute * MIN);
    let taken = |scan: Scan| Passage::taken(scan, Taken { at: scan.scanned_at, judged: Judged::Passed });
    let back = taken(seen(Direction::In, 8));
    let mut all = vec![
        taken(seen(Direction::In, 2)),
        Passage::online(seen(Direction::Out, 6)),
        back,
        Passage::online(seen(Direction::Out, 9)),
        Passage::new(scan(1, 0, "b", Direction::In, -5 * MIN), at(HOUR)),
    ];
    let ticket = Ticket { issue: 1, state: TicketState::Valid, blocked: None, review_until: None };
    let shown = Shown { ticket: id(1).ticket(0), issue: None, museum: MUSEUM };
    let state = passages::judge(&mut all, verdict::Window::of(&opening), &ticket, shown);
    let of_back = all.iter().find(|passage| passage.scan == back.scan).map(|passage| passage.judged);
    assert_eq!(of_back, Some(Judged::Conflict { reason: ConflictReason::TicketUsed }));
    assert_eq!(state, TicketState::Outside { first_at: at(-5 * MIN), left_at: at(9 * MIN), entries: 1 });
}

proptest! {
    #![proptest_config(at_least(500))]
    /// Each gate in one go, in any order of gates; scan by scan in any order; or all at once in the order in which it happened: it is the same in the end. Whole minutes,
    /// so that much happens in one instant.
    #[test]
    fn whatever_comes_first_the_end_is_the_same(
        online in prop::collection::vec((-15..38_i64, any::<bool>()), 0..5),
        blocked in prop::bool::weighted(0.2),
        scans in prop::collection::vec((0..GATES.len(), any::<bool>(), -20..50_i64), 1..12),
        order in Just(vec![0, 1, 2]).prop_shuffle(),
        single in any::<prop::sample::Index>(),
    ) {
        let start = seen(&online, blocked);
        let mut in_time = start.clone();
        let mut all: Vec<Scan> = scans.iter().map(of_gate).collect();
        all.sort_by_key(|scan| scan.scanned_at);
        send(&mut in_time, &all);
        let mut by_gate = start.clone();
        order.iter().for_each(|gate| send(&mut by_gate, &batch(&scans, *gate)));
        prop_assert_eq!(came_to(&by_gate), came_to(&in_time), "gate by gate, as {:?}", order);
        // One of them long after all others.
        let mut late = start;
        let last = single.index(all.len());
        all.iter().enumerate().filter(|(place, _)| *place != last).for_each(|(_, scan)| send(&mut late, &[*scan]));
        send(&mut late, &all[last..=last]);
        prop_assert_eq!(came_to(&late), came_to(&in_time), "{:?} at last", all[last]);
        let replayed = Slot::replay(&late.records).unwrap();
        prop_assert_eq!(&replayed, &late.slot, "SL-4: replay equals live");
        let bytes = postcard::to_allocvec(&late.slot).unwrap();
        prop_assert_eq!(&postcard::from_bytes::<Slot>(&bytes).unwrap(), &late.slot, "a snapshot keeps what was seen");
    }
}
