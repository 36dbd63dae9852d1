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
    assert_eq!(visit.ask(DAY, &out(2 * MIN)), Err(Refusal::NotInside));
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
    given(&sold).refuses(0, out(0), Refusal::NotInside);
    // An exit that comes in before the admission is refused, and good when it is sent again after it.
    let mut late = given(&sold);
    assert_eq!(late.ask(DAY, &out(MIN)), Err(Refusal::NotInside));
    assert!(late.ask(DAY, &merge_in("pda", 0)).is_ok());
    assert!(late.ask(DAY, &out(MIN)).is_ok());
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
        (vec![(0, merge_in("pda", 5))], merge_in("pda-2", -5), R::TicketInside, 1, 1),
        (visited.clone(), merge_in("pda", 5), R::TicketInside, 1, 0),
        (visited, merge_in("pda", -5), R::TicketInside, 1, 0),
        (twice, merge_in("pda", 13 * MIN), R::TicketUsed, 1, 0),
        (vec![cancelled], merge_in("pda", 0), R::TicketCancelled, 0, 0),
        (vec![], old, R::CodeOutdated, 0, 0),
        // The ticket had not been used: it is now.
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
