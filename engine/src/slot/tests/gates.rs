//! Tickets at gates: admissions and exits as they happen, and scans of gates without a network that are merged afterwards.

use super::*;

#[test]
fn admits_and_exits() {
    let sold = [(-DAY, direct(1, &[full(1), free(1)], desk()))];
    let admitted = |ticket, entry, category: &str, proof| {
        Ok(Event::Admitted(Admitted { ticket: id(1).ticket(ticket), gate: code("north"), entry, category: code(category), proof, scanned_at: None }))
    };
    given(&sold).then(-15 * MIN, admit(1, 0), admitted(0, 1, "full", Proof::None));
    given(&sold).then(45 * MIN, admit(1, 1), admitted(1, 1, "free", Proof::Age));
    given(&sold).refuses(-15 * MIN - 1, admit(1, 0), Refusal::TooEarly { opens_at: at(-15 * MIN) });
    given(&sold).refuses(45 * MIN + 1, admit(1, 0), Refusal::TooLate { closed_at: at(45 * MIN) });
    given(&sold).refuses(0, admit(1, 2), Refusal::UnknownTicket);
    given(&sold).refuses(0, admit(2, 0), Refusal::UnknownTicket);
    let elsewhere = Command::Admit { ticket: id(1).ticket(0), issue: Some(1), gate: code("north"), museum: MuseumId(8) };
    given(&sold).refuses(0, elsewhere, Refusal::WrongMuseum);
    let old = Command::Admit { ticket: id(1).ticket(0), issue: Some(2), gate: code("north"), museum: MUSEUM };
    given(&sold).refuses(0, old, Refusal::CodeOutdated { issue: 1 });
    let mut once = given(&sold);
    assert!(once.ask(0, &admit(1, 0)).is_ok());
    assert_eq!(once.ask(5, &admit(1, 0)), Err(Refusal::TicketInside { since: at(0) }));
    assert!(once.ask(10, &exit(1, 0)).is_ok());
    assert_eq!(once.ask(11, &exit(1, 0)), Err(Refusal::NotInside));
    assert_eq!((once.slot.places().admitted, once.slot.places().inside), (1, 0));
    assert_eq!(once.ask(20, &admit(1, 0)).map(|events| events.len()), Ok(1));
    assert!(once.ask(30, &exit(1, 0)).is_ok());
    once.refuses(40, admit(1, 0), Refusal::TicketUsed { at: at(0) });
    let mut last_moment = given(&sold);
    assert!(last_moment.ask(0, &admit(1, 0)).is_ok() && last_moment.ask(10, &exit(1, 0)).is_ok());
    assert!(last_moment.ask(7200, &admit(1, 0)).is_ok());
    let mut late = given(&sold);
    assert!(late.ask(0, &admit(1, 0)).is_ok() && late.ask(10, &exit(1, 0)).is_ok());
    late.refuses(7201, admit(1, 0), Refusal::TicketUsed { at: at(0) });
    let mut gone = given(&sold);
    assert!(gone.ask(-DAY, &cancel(1, &[0])).is_ok());
    gone.refuses(0, admit(1, 0), Refusal::TicketCancelled);
    given(&sold).refuses(0, exit(1, 0), Refusal::NotInside);
    given(&sold).refuses(0, Command::Exit { ticket: id(1).ticket(0), gate: code("north"), museum: MuseumId(8) }, Refusal::WrongMuseum);
}

#[test]
fn scans_of_gates_without_a_network_are_merged_with_their_own_times() {
    let sold = [(-DAY, direct(1, &[full(1), free(1)], desk()))];
    let admitted = |entry, s| {
        Ok(Event::Admitted(Admitted {
            ticket: id(1).ticket(0),
            gate: code("pda"),
            entry,
            category: code("full"),
            proof: Proof::None,
            scanned_at: Some(at(s)),
        }))
    };
    let out = |s| merge(scan(1, 0, "pda", Direction::Out, s));
    // By the time of the scan, not by today's.
    given(&sold).then(DAY, merge_in("pda", -15 * MIN), admitted(1, -15 * MIN));
    let mut visit = given(&sold);
    assert_eq!(visit.ask(DAY, &merge_in("pda", 0)).map(|events| events.len()), Ok(1));
    let state = |world: &World| world.slot.ticket_of(id(1).ticket(0)).unwrap().1.state;
    assert_eq!(state(&visit), TicketState::Inside { first_at: at(0), since: at(0), entries: 1 });
    assert!(visit.ask(DAY, &out(MIN)).is_ok());
    assert_eq!(state(&visit), TicketState::Outside { first_at: at(0), left_at: at(MIN), entries: 1 });
    let unseen = |s| {
        let found = JudgedScan { scan: scan(1, 0, "pda", Direction::Out, s), before: None, judged: Judged::LeftUnseen };
        move |state| Ok(vec![Event::ScansJudged(ScansJudged { ticket: found.scan.ticket, scans: vec![found], state, used: false })])
    };
    let left = state(&visit);
    assert_eq!(visit.ask(DAY, &out(2 * MIN)), unseen(2 * MIN)(left));
    assert_eq!(state(&visit), left);
    for known in [merge_in("pda", 0), out(MIN)] {
        assert_eq!(visit.ask(6 * DAY, &known), Err(Refusal::ScanKnown), "sent again");
    }
    visit.then(DAY, merge_in("pda", 90 * MIN), admitted(2, 90 * MIN));
    // The clock of a gate may be a minute ahead; nobody is inside before it is so late.
    let mut ahead = given(&sold);
    assert!(ahead.ask(0, &merge_in("pda", 60)).is_ok());
    assert_eq!(state(&ahead), TicketState::Inside { first_at: at(0), since: at(0), entries: 1 });
    assert!(ahead.ask(1, &exit(1, 0)).is_ok());
    given(&sold).refuses(0, merge_in("pda", 61), Refusal::ScanInFuture);
    given(&sold).then(7 * DAY, merge_in("pda", 0), admitted(1, 0));
    given(&sold).refuses(7 * DAY + 1, merge_in("pda", 0), Refusal::ScanTooOld);
    given(&sold).refuses(0, merge(scan(1, 2, "pda", Direction::In, 0)), Refusal::UnknownTicket);
    given(&sold).refuses(0, merge(scan(2, 0, "pda", Direction::In, 0)), Refusal::UnknownTicket);
    let elsewhere = Command::Merge { scan: scan(1, 0, "pda", Direction::In, 0), issue: None, museum: MuseumId(8) };
    given(&sold).refuses(0, elsewhere, Refusal::WrongMuseum);
    // An exit that comes in before the admission is kept, and counts when the admission comes in.
    let mut late = given(&sold);
    assert_eq!(late.ask(DAY, &out(MIN)), unseen(MIN)(TicketState::Valid));
    assert_eq!((late.slot.places().admitted, late.slot.places().inside), (0, 0));
    assert_eq!(late.ask(DAY, &out(MIN)), Err(Refusal::ScanKnown));
    let outside = TicketState::Outside { first_at: at(0), left_at: at(MIN), entries: 1 };
    let scans = vec![
        JudgedScan { scan: scan(1, 0, "pda", Direction::In, 0), before: None, judged: Judged::Passed },
        JudgedScan { scan: scan(1, 0, "pda", Direction::Out, MIN), before: Some(Judged::LeftUnseen), judged: Judged::Passed },
    ];
    late.then(DAY, merge_in("pda", 0), Ok(Event::ScansJudged(ScansJudged { ticket: id(1).ticket(0), scans, state: outside, used: true })));
    // Nobody leaves on a ticket that is good for nobody, and a gate gone mad fills no memory.
    let mut gone = given(&sold);
    assert!(gone.ask(-HOUR, &cancel(1, &[0])).is_ok());
    gone.refuses(0, out(0), Refusal::NotInside);
    let mut mad = given(&sold);
    for s in 0..100 {
        assert!(mad.ask(HOUR, &out(s)).is_ok());
    }
    mad.refuses(HOUR, out(100), Refusal::NotInside);
}

#[test]
fn a_slot_knows_which_gates_that_asked_saw_a_ticket_pass_and_when() {
    let mut world = given(&[(-DAY, direct(1, &[full(2)], desk())), (0, admit(1, 0)), (10, exit(1, 0)), (20, admit(1, 0))]);
    // Of the second ticket only a gate tells that did not ask.
    assert!(world.ask(30, &merge(scan(1, 1, "pda", Direction::In, 25))).is_ok());
    let replayed = Slot::replay(&world.records).unwrap();
    for slot in [&world.slot, &replayed] {
        let saw = |ticket, direction, since, s| slot.saw(&scan(1, ticket, "pda", direction, s), at(since));
        let went_in = |since, s| saw(0, Direction::In, since, s);
        assert_eq!([went_in(0, 5), went_in(1, 19), went_in(1, 20), went_in(20, 40), went_in(21, 40)], [true, false, true, true, false]);
        assert!(saw(0, Direction::Out, 5, 10) && !saw(0, Direction::Out, 11, 40) && !saw(1, Direction::In, 0, 40));
        assert!(!slot.saw(&scan(2, 0, "pda", Direction::In, 40), at(0)), "nobody has that ticket");
    }
}

/// What all scans of a world come to, and what has become of its tickets and counters.
pub(super) fn came_to(world: &World) -> (Vec<(Scan, ConflictReason)>, Vec<Ticket>, Places) {
    let conflicts = world.slot.conflicts().map(|(scan, reason)| (*scan, reason)).collect();
    (conflicts, world.slot.sale_of(id(1)).unwrap().tickets.clone(), *world.slot.places())
}

/// Every order of `count` things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![vec![]];
    }
    let longer = |order: Vec<usize>| (0..=order.len()).map(move |place| [&order[..place], &[count - 1], &order[place..]].concat());
    orders(count - 1).into_iter().flat_map(longer).collect()
}

#[test]
fn it_does_not_matter_which_gate_sends_its_scans_first() {
    let (go_in, go_out) = (Direction::In, Direction::Out);
    let of = |gate: &'static str, passages: &[(Direction, i64)]| -> Vec<Scan> {
        passages.iter().map(|&(direction, minute)| scan(1, 0, gate, direction, minute * MIN)).collect()
    };
    let inside = |first, since, entries| TicketState::Inside { first_at: at(first * MIN), since: at(since * MIN), entries };
    let outside = |first, left, entries| TicketState::Outside { first_at: at(first * MIN), left_at: at(left * MIN), entries };
    let sold = (-DAY, direct(1, &[full(2)], desk()));
    let online = vec![(20 * MIN, admit(1, 0)), (25 * MIN, exit(1, 0))];
    let blocked = vec![(-HOUR, Command::Block { sale: id(1), tickets: vec![0], reason: code("review") })];
    let inside_twice = vec![ConflictReason::TicketInside];
    // What was done before, the batches, the reasons of the conflicts in the order of the scans, and the ticket.
    let cases = vec![
        (
            "one comes back, and left by another gate",
            vec![],
            vec![of("a", &[(go_in, 0), (go_in, 40)]), of("b", &[(go_out, 30)])],
            vec![],
            inside(0, 40, 2),
        ),
        ("two on one ticket", vec![], vec![of("a", &[(go_in, 1)]), of("b", &[(go_in, 2)])], inside_twice.clone(), inside(1, 1, 1)),
        (
            "three gates, each of which sees a part",
            vec![],
            vec![of("a", &[(go_in, 0)]), of("b", &[(go_out, 10), (go_in, 12)]), of("c", &[(go_out, 20)])],
            vec![],
            outside(0, 20, 2),
        ),
        (
            "more often than they may",
            vec![],
            vec![of("a", &[(go_in, 0), (go_in, 10), (go_in, 20)]), of("b", &[(go_out, 5), (go_out, 15)])],
            vec![ConflictReason::TicketUsed],
            outside(0, 15, 2),
        ),
        (
            "what a gate that asked saw is certain",
            online.clone(),
            vec![of("a", &[(go_in, 0)]), of("b", &[(go_out, 10)]), of("c", &[(go_in, 30)])],
            vec![ConflictReason::TicketUsed],
            outside(0, 25, 2),
        ),
        (
            "nobody is in twice beside it",
            online,
            vec![of("a", &[(go_in, 0)]), of("b", &[(go_in, 22)])],
            [&inside_twice[..], &inside_twice].concat(),
            outside(20, 25, 1),
        ),
        (
            "a blocked ticket is used by the first",
            blocked,
            vec![of("a", &[(go_in, 3)]), of("b", &[(go_in, 2)])],
            vec![ConflictReason::TicketBlocked; 2],
            inside(2, 2, 1),
        ),
        (
            "before the gate opens",
            vec![],
            vec![of("a", &[(go_in, -20)]), of("b", &[(go_in, -18)])],
            vec![ConflictReason::TooEarly, ConflictReason::TicketInside],
            inside(-20, -20, 1),
        ),
    ];
    for (what, before, batches, reasons, state) in cases {
        let seen = (50 * MIN, observe(50, 0, 40 * MIN));
        let start = given(&[vec![sold.clone()], before, vec![seen]].concat());
        let mut first = None;
        for order in orders(batches.len()) {
            let mut world = start.clone();
            for scan in order.iter().flat_map(|batch| &batches[*batch]) {
                assert!(world.ask(HOUR, &merge(*scan)).is_ok(), "{what}: {scan:?} in {order:?}");
            }
            // A repeat, as a gate that heard no answer sends it, changes nothing.
            for scan in batches.iter().flatten() {
                assert_eq!(world.ask(HOUR, &merge(*scan)), Err(Refusal::ScanKnown));
            }
            let came = came_to(&world);
            assert_eq!(came.0.iter().map(|(_, reason)| *reason).collect::<Vec<_>>(), reasons, "{what} in {order:?}");
            assert_eq!(came.1[0].state, state, "{what} in {order:?}");
            assert_eq!(first.get_or_insert(came.clone()), &came, "{what} in {order:?}");
            assert_eq!(Slot::replay(&world.records).as_ref(), Some(&world.slot), "SL-4");
        }
    }
}

#[test]
fn a_conflict_that_was_none_is_withdrawn() {
    let mut world = given(&[(-DAY, direct(1, &[full(1)], desk()))]);
    let [first, second, left] =
        [scan(1, 0, "a", Direction::In, 0), scan(1, 0, "a", Direction::In, 40 * MIN), scan(1, 0, "b", Direction::Out, 30 * MIN)];
    assert!(world.ask(HOUR, &merge(first)).is_ok());
    assert!(world.ask(HOUR, &merge(second)).is_ok());
    assert_eq!(world.slot.conflicts().collect::<Vec<_>>(), [(&second, ConflictReason::TicketInside)]);
    let events = world.ask(HOUR, &merge(left)).unwrap();
    let scans = vec![
        JudgedScan { scan: left, before: None, judged: Judged::Passed },
        JudgedScan { scan: second, before: Some(Judged::Conflict { reason: ConflictReason::TicketInside }), judged: Judged::Passed },
    ];
    let state = TicketState::Inside { first_at: at(0), since: at(40 * MIN), entries: 2 };
    assert_eq!(events, [Event::ScansJudged(ScansJudged { ticket: left.ticket, scans, state, used: false })]);
    assert_eq!((judged(&events, &second), judged(&events, &first)), (Some(Judged::Passed), None));
    let places = world.slot.places();
    assert_eq!((places.admitted, places.inside, places.conflicts), (1, 1, 0));
}

#[test]
fn a_scan_that_cannot_stand_is_a_conflict_and_counts_nobody_twice() {
    use ConflictReason as R;
    let sold = (-DAY, direct(1, &[full(2)], desk()));
    let cancelled = (-HOUR, cancel(1, &[0]));
    let blocked = (-HOUR, Command::Block { sale: id(1), tickets: vec![0], reason: code("review") });
    let (entered, left) = ((0, admit(1, 0)), (10 * MIN, exit(1, 0)));
    let old = Command::Merge { scan: scan(1, 0, "pda", Direction::In, 0), issue: Some(0), museum: MUSEUM };
    let visited = vec![entered.clone(), left.clone()];
    let twice = vec![entered.clone(), left, (11 * MIN, admit(1, 0)), (12 * MIN, exit(1, 0))];
    // What was done before, what comes in, what speaks against it, how many are admitted and inside then.
    let cases = [
        (vec![entered], merge_in("pda", 5), R::TicketInside, 1, 1),
        (vec![(0, merge_in("pda-2", -5))], merge_in("pda", 5), R::TicketInside, 1, 1),
        (visited.clone(), merge_in("pda", 5), R::TicketInside, 1, 0),
        (visited, merge_in("pda", -5), R::TicketInside, 1, 0),
        (twice, merge_in("pda", 13 * MIN), R::TicketUsed, 1, 0),
        (vec![cancelled], merge_in("pda", 0), R::TicketCancelled, 0, 0),
        // The ticket had not been used: it is now.
        (vec![], old, R::CodeOutdated, 1, 1),
        (vec![blocked], merge_in("pda", 0), R::TicketBlocked, 1, 1),
        (vec![], merge_in("pda", -15 * MIN - 1), R::TooEarly, 1, 1),
        (vec![], merge_in("pda", 45 * MIN + 1), R::TooLate, 1, 1),
    ];
    for (done, asked, reason, admitted, inside) in cases {
        let mut world = given(&[vec![sold.clone()], done.clone()].concat());
        let Command::Merge { scan, .. } = asked else { unreachable!("only scans come in") };
        let events = world.ask(DAY, &asked).unwrap();
        let conflict = AdmissionConflict { ticket: scan.ticket, gate: scan.gate, scanned_at: scan.scanned_at, reason };
        assert_eq!(events.last(), Some(&Event::AdmissionConflict(conflict)), "{asked:?}");
        let places = world.slot.places();
        assert_eq!((places.admitted, places.inside, places.conflicts), (admitted, inside, 1), "{asked:?} after {done:?}");
        assert_eq!(world.slot.conflicts().collect::<Vec<_>>(), [(&scan, reason)]);
        world.refuses(DAY, asked, Refusal::ScanKnown);
    }
}

/// A scan of ticket 0 of sale 1 with a code of that issue.
fn merge_issue(gate: &str, s: i64, issue: u16) -> Command {
    Command::Merge { scan: scan(1, 0, gate, Direction::In, s), issue: Some(issue), museum: MUSEUM }
}

#[test]
fn a_scan_is_judged_by_what_held_when_it_was_made() {
    use ConflictReason as R;
    let sold = (-DAY, direct(1, &[full(2)], desk()));
    let block = || Command::Block { sale: id(1), tickets: vec![0], reason: code("lost") };
    let unblock = || Command::Unblock { sale: id(1), tickets: vec![], reason: None, keeps: None };
    let blocked = vec![(10, block())];
    let lifted = vec![(10, block()), (20, unblock())];
    let at_once = vec![(10, block()), (10, unblock())];
    let renamed = vec![(10, rename(1, &[0], 7)), (20, rename(1, &[0], 8))];
    // What was done, the scan with the issue that was shown, and what speaks against it.
    let cases = [
        (blocked.clone(), 9, 1, None),
        (blocked, 10, 1, Some(R::TicketBlocked)),
        (lifted.clone(), 9, 1, None),
        (lifted.clone(), 19, 1, Some(R::TicketBlocked)),
        (lifted, 20, 1, None),
        (at_once, 9, 1, None),
        (renamed.clone(), 9, 1, None),
        (renamed.clone(), 10, 1, Some(R::CodeOutdated)),
        (renamed.clone(), 19, 2, None),
        (renamed.clone(), 20, 2, Some(R::CodeOutdated)),
        (renamed.clone(), 20, 3, None),
        (renamed.clone(), 9, 3, None),
        (renamed, 9, 4, Some(R::CodeOutdated)),
    ];
    for (done, s, issue, expected) in cases {
        let mut world = given(&[vec![sold.clone()], done.clone()].concat());
        let bytes = postcard::to_allocvec(&world.slot).unwrap();
        assert_eq!(postcard::from_bytes::<Slot>(&bytes).unwrap(), world.slot, "a snapshot keeps how tickets were");
        assert!(world.ask(HOUR, &merge_issue("pda", s, issue)).is_ok());
        let found: Vec<_> = world.slot.conflicts().map(|(_, reason)| reason).collect();
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "issue {issue} at {s} after {done:?}");
        // Whoever holds it is inside, and nobody else comes in on it.
        assert_eq!((world.slot.places().admitted, world.slot.places().inside), (1, 1));
        assert_eq!(Slot::replay(&world.records).as_ref(), Some(&world.slot), "SL-4");
    }
}

#[test]
fn an_older_code_uses_a_ticket_only_if_nobody_came_with_the_newer_one() {
    let [old, new] = [merge_issue("a", MIN, 1), merge_issue("b", 2 * MIN, 2)];
    let renamed = [(-DAY, direct(1, &[full(1)], desk())), (-HOUR, rename(1, &[0], 7))];
    let state = |world: &World| world.slot.ticket_of(id(1).ticket(0)).unwrap().1.state;
    let mut alone = given(&renamed);
    assert!(alone.ask(HOUR, &old).is_ok());
    assert_eq!(state(&alone), TicketState::Inside { first_at: at(MIN), since: at(MIN), entries: 1 });
    for order in [[&old, &new], [&new, &old]] {
        let mut both = given(&renamed);
        assert!(order.into_iter().all(|scan| both.ask(HOUR, scan).is_ok()));
        assert_eq!(state(&both), TicketState::Inside { first_at: at(2 * MIN), since: at(2 * MIN), entries: 1 });
        assert_eq!(both.slot.conflicts().map(|(_, reason)| reason).collect::<Vec<_>>(), [ConflictReason::CodeOutdated]);
        assert_eq!(Slot::replay(&both.records).as_ref(), Some(&both.slot), "SL-4");
    }
}

#[test]
fn nobody_comes_in_who_finds_the_building_full_by_the_count_of_all_gates() {
    let within = |inside| Command::AdmitWithin {
        ticket: id(1).ticket(0),
        issue: Some(1),
        gate: code("north"),
        museum: MUSEUM,
        room: verdict::Room { inside, ceiling: 100 },
    };
    let sold = [(-DAY, direct(1, &[full(1)], desk()))];
    given(&sold).refuses(0, within(100), Refusal::Wait { inside: 100, ceiling: 100 });
    assert_eq!(given(&sold).ask(0, &within(99)), given(&sold).ask(0, &admit(1, 0)));
    // What the slot knows by itself holds as well.
    let mut full_house = given(&[sold[0].clone(), (0, observe(100, 0, 0))]);
    assert_eq!(full_house.ask(1, &within(99)), Err(Refusal::Wait { inside: 100, ceiling: 100 }));
    // What speaks against the ticket is said first.
    let mut used = given(&[sold[0].clone(), (0, admit(1, 0))]);
    assert_eq!(used.ask(1, &within(100)), Err(Refusal::TicketInside { since: at(0) }));
}

#[test]
fn a_gate_gone_mad_fills_no_memory() {
    let mut world = given(&[(-DAY, direct(1, &[full(1)], desk())), (-HOUR, cancel(1, &[]))]);
    let again = |n: i64| {
        let scanned_at = Timestamp::from_micros(at(0).as_micros() + n);
        merge(Scan { scanned_at, ..scan(1, 0, "pda", Direction::In, 0) })
    };
    for n in 0..10_000 {
        let record = world.slot.record(at(DAY), None, world.slot.decide(at(DAY), &again(n)).unwrap());
        world.slot.apply(&record);
    }
    assert_eq!((world.slot.recount(), world.slot.places().conflicts), (Ok(()), 10_000));
    assert_eq!(world.slot.decide(at(DAY), &again(10_000)), Err(Refusal::TooManyConflicts));
    assert_eq!(world.slot.decide(at(DAY), &again(0)), Err(Refusal::ScanKnown));
}

#[test]
fn who_came_in_before_a_reading_was_counted_by_it() {
    let world = |s| given(&[(-DAY, direct(1, &[full(2)], desk())), (MIN, observe(50, 0, MIN)), (2 * MIN, merge_in("pda", s))]);
    assert_eq!(world(0).slot.places().people_upper(at(2 * MIN)), Some(50));
    assert_eq!(world(90).slot.places().people_upper(at(2 * MIN)), Some(51));
    let mut left = world(0);
    assert!(left.ask(2 * MIN, &merge(scan(1, 0, "pda", Direction::Out, 30))).is_ok());
    assert_eq!(left.slot.places().people_upper(at(2 * MIN)), Some(50));
    let mut leaves = world(0);
    assert!(leaves.ask(2 * MIN, &merge(scan(1, 0, "pda", Direction::Out, 90))).is_ok());
    assert_eq!(leaves.slot.places().people_upper(at(2 * MIN)), Some(49));
}

#[test]
fn who_came_while_a_reading_was_on_its_way_was_not_counted_by_it() {
    let done = [
        (-DAY, direct(1, &[full(5)], desk())),
        (0, admit(1, 0)),
        (10, admit(1, 1)),
        (20, admit(1, 2)),
        // Out and in again, and out.
        (30, exit(1, 0)),
        (40, admit(1, 0)),
        (50, exit(1, 1)),
        (60, merge(scan(1, 3, "pda", Direction::In, 15))),
        (60, merge(scan(1, 4, "pda", Direction::In, 5))),
    ];
    // When it was measured, and how many of this slot were inside then, of four who are now.
    for (measured, inside_then) in [(-1, 0), (0, 1), (5, 2), (10, 3), (19, 4), (20, 5), (30, 4), (45, 5), (50, 4), (60, 4)] {
        let mut world = given(&done);
        assert!(world.ask(90, &observe(50, 0, measured)).is_ok());
        assert_eq!(world.slot.places().live.map(|live| (live.inside_then, world.slot.places().inside)), Some((inside_then, 4)), "at {measured}");
        assert_eq!(world.slot.places().people_upper(at(90)), Some(54 - inside_then), "at {measured}");
        // Who comes to be known later counts as if it had been known.
        assert!(world.ask(100, &merge(scan(1, 2, "pda", Direction::Out, 25))).is_ok());
        let then = inside_then - u32::from(measured >= 25);
        assert_eq!(world.slot.places().people_upper(at(100)), Some(53 - then), "at {measured}");
        assert_eq!(Slot::replay(&world.records).as_ref(), Some(&world.slot), "SL-4");
        let bytes = postcard::to_allocvec(&world.slot).unwrap();
        let read = postcard::from_bytes::<Slot>(&bytes).unwrap();
        assert_eq!(read.crossings(at(0)).len(), world.slot.crossings(at(0)).len(), "a snapshot keeps who has passed");
    }
}

#[test]
fn a_scan_of_a_gate_whose_clock_is_ahead_counts_for_a_reading_when_it_came_in() {
    let done = [(-DAY, direct(1, &[full(2)], desk())), (10, merge(scan(1, 0, "pda", Direction::In, 50))), (31, observe(50, 0, 30))];
    let mut world = given(&done);
    assert_eq!(world.slot.places().people_upper(at(31)), Some(50), "the sensors had seen whoever came in");
    // Another gate saw the ticket first: the scan counts nobody, and there is nobody who has left since.
    assert!(world.ask(32, &merge(scan(1, 0, "pda-2", Direction::In, 5))).is_ok());
    assert_eq!((world.slot.places().inside, world.slot.places().conflicts), (1, 1));
    assert_eq!(world.slot.places().people_upper(at(32)), Some(50));
}
