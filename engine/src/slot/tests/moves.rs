//! Tickets that leave for another slot, or arrive from one, and tickets that get another name.

use super::*;

#[test]
fn a_move_begins_for_tickets_that_stand_and_is_finished_or_undone() {
    let sold = [(-3 * DAY, direct(1, &[full(3), free(1)], desk()))];
    let begun = |tickets: &[u16], lines: &[Line], refund_percent| {
        let (tickets, lines) = (tickets.to_vec(), lines.to_vec());
        Ok(Event::MoveBegun(MoveBegun { sale: id(1), arrival: there(9), tickets, lines, via: Channel::Web, refund_percent }))
    };
    let ask = |change: &dyn Fn(&mut Command)| {
        let mut command = begin_move(1, &[], 9);
        change(&mut command);
        command
    };
    given(&sold).then(-2 * DAY, begin_move(1, &[], 9), begun(&[0, 1, 2, 3], &[full(3), free(1)], 100));
    given(&sold).then(-DAY, begin_move(1, &[3, 1, 3], 9), begun(&[1, 3], &[full(1), free(1)], 100));
    given(&sold).then(-HOUR, begin_move(1, &[0], 9), begun(&[0], &[full(1)], 50));
    given(&sold).then(0, begin_move(1, &[0], 9), begun(&[0], &[full(1)], 0));
    given(&sold).refuses(30 * MIN, begin_move(1, &[], 9), Refusal::SlotOver { ended_at: at(30 * MIN) });
    let to = |slot: SlotId| {
        move |command: &mut Command| {
            if let Command::BeginMove { arrival, .. } = command {
                *arrival = HoldId::new(slot, 9);
            }
        }
    };
    given(&sold).refuses(-DAY, ask(&to(id(0).slot())), Refusal::SameSlot);
    given(&sold).refuses(-DAY, ask(&to(SlotId::new(MuseumId(8), RouteId(1), at(HOUR)))), Refusal::OtherMuseum);
    given(&sold).refuses(-DAY, begin_move(2, &[], 9), Refusal::UnknownSale);
    let by = |who| {
        move |command: &mut Command| {
            if let Command::BeginMove { owner, .. } = command {
                *owner = Some(KeyId(who));
            }
        }
    };
    given(&sold).refuses(-DAY, ask(&by(2)), Refusal::UnknownSale);
    given(&sold).then(-2 * DAY, ask(&by(1)), begun(&[0, 1, 2, 3], &[full(3), free(1)], 100));
    given(&sold).refuses(-DAY, begin_move(1, &[4], 9), Refusal::UnknownTicket);
    let at_prices = |new: Vec<(Code, Cents)>| {
        move |command: &mut Command| {
            if let Command::BeginMove { prices, .. } = command {
                prices.clone_from(&new);
            }
        }
    };
    given(&sold).refuses(-DAY, ask(&at_prices(vec![(code("full"), Cents::new(1601))])), Refusal::NotSoldThere { category: code("free") });
    for (each, all) in [(1700, 5100), (1600, 4800)] {
        let other = vec![(code("free"), Cents::ZERO), (code("full"), Cents::new(each))];
        given(&sold).refuses(-DAY, ask(&at_prices(other)), Refusal::PriceDiffers { paid_cents: Cents::new(4803), price_cents: Cents::new(all) });
    }

    // Tickets that do not stand stay where they are.
    let mut used = given(&sold);
    assert!(used.ask(0, &admit(1, 0)).is_ok());
    assert_eq!(used.ask(1, &begin_move(1, &[0, 1], 9)), Err(Refusal::TicketUsed { at: at(0) }));
    used.then(1, begin_move(1, &[], 9), begun(&[1, 2, 3], &[full(2), free(1)], 0));
    let mut gone = given(&sold);
    assert!(gone.ask(-2 * DAY, &cancel(1, &[0])).is_ok());
    assert_eq!(gone.ask(-2 * DAY, &begin_move(1, &[0], 9)), Err(Refusal::TicketCancelled));
    assert!(gone.ask(-2 * DAY, &Command::Block { sale: id(1), tickets: vec![1], reason: code("review") }).is_ok());
    gone.refuses(-2 * DAY, begin_move(1, &[], 9), Refusal::TicketBlocked { reason: code("review") });

    // On their way they are good nowhere, and nothing else is done to them.
    let on_the_way = [sold[0].clone(), (-2 * DAY, begin_move(1, &[0, 2], 9))];
    for (what, command) in [
        ("admit", admit(1, 0)),
        ("cancel", cancel(1, &[2])),
        ("cancel all", cancel(1, &[])),
        ("block", Command::Block { sale: id(1), tickets: vec![0], reason: code("review") }),
        ("block all", Command::Block { sale: id(1), tickets: vec![], reason: code("review") }),
        ("rename", rename(1, &[0], 1)),
        ("move again", begin_move(1, &[0], 10)),
        ("move all", begin_move(1, &[], 10)),
    ] {
        assert_eq!(given(&on_the_way).ask(-10 * MIN, &command), Err(Refusal::TicketMoving), "{what}");
    }
    given(&on_the_way).refuses(0, exit(1, 0), Refusal::NotInside);
    // A gate without a network did not know: it let somebody in. Of a ticket that has gone that is a conflict, and one that stays is used by it.
    let conflict = |reason| Event::AdmissionConflict(AdmissionConflict { ticket: id(1).ticket(0), gate: code("pda"), scanned_at: at(0), reason });
    given(&on_the_way).refuses(MIN, merge_in("pda", 0), Refusal::TicketMoving);
    let mut stays = given(&on_the_way);
    assert_eq!(stays.ask(MIN, &merge_in("pda", 0)), Err(Refusal::TicketMoving));
    assert!(stays.ask(MIN, &Command::UndoMove { arrival: there(9), why: Refusal::UnknownSlot }).is_ok());
    assert!(stays.ask(2 * MIN, &merge_in("pda", 0)).is_ok(), "it is sent again");
    assert_eq!(stays.ask(3 * MIN, &admit(1, 0)), Err(Refusal::TicketInside { since: at(0) }), "nobody else gets in on it");
    let mut elsewhere = given(&on_the_way);
    assert!(elsewhere.ask(-DAY, &finish_move(9)).is_ok());
    assert_eq!(elsewhere.ask(-DAY, &begin_move(1, &[1], 9)), Err(Refusal::IdTaken), "it would count as arrived with the others");
    assert_eq!(elsewhere.ask(MIN, &merge_in("pda", 0)), Ok(vec![conflict(ConflictReason::TicketMoved)]));
    assert_eq!(elsewhere.slot.places().admitted, 0);
    given(&on_the_way).refuses(-DAY, begin_move(1, &[1], 9), Refusal::IdTaken);
    let mut world = given(&on_the_way);
    assert!(world.ask(0, &admit(1, 1)).is_ok(), "the others stand");
    assert_eq!((world.slot.moving(), world.left(0, Channel::BoxOffice)), (1, 16), "the places are kept until it is known");
    assert_eq!(world.slot.fate_of_move(id(1), there(9)), Some(MoveFate::UnderWay));

    // Finished: the places are free, the money has gone with the tickets, the old tickets name the new ones.
    let out = MovedOut { sale: id(1), arrival: there(9), tickets: vec![0, 2], carried_cents: Cents::new(3202) };
    assert_eq!(world.ask(0, &finish_move(9)), Ok(vec![Event::MovedOut(out)]));
    assert_eq!((world.slot.moving(), world.left(0, Channel::BoxOffice)), (0, 18));
    assert_eq!(world.slot.money(), (Cents::new(1601), Cents::ZERO));
    assert_eq!(world.slot.fate_of_move(id(1), there(9)), Some(MoveFate::Done));
    let moved = |number| Refusal::TicketMoved { to: Some(there(9).ticket(number)) };
    for (command, number) in [(admit(1, 0), 0), (cancel(1, &[2]), 1), (rename(1, &[2], 1), 1), (begin_move(1, &[0], 10), 0)] {
        assert_eq!(world.ask(0, &command), Err(moved(number)), "{command:?}");
    }
    assert_eq!(world.ask(0, &Command::Block { sale: id(1), tickets: vec![2], reason: code("review") }), Err(moved(1)));
    for command in [finish_move(9), undo_move(9)] {
        assert_eq!(world.ask(0, &command), Err(Refusal::NotMoving));
    }
    assert!(world.ask(0, &cancel(1, &[])).is_ok());
    world.refuses(0, cancel(1, &[]), Refusal::TicketUsed { at: at(0) });

    // Undone: all as before, and why.
    let mut undone = given(&on_the_way);
    let back = MoveUndone { sale: id(1), arrival: there(9), tickets: vec![0, 2], why: Refusal::UnknownSlot };
    assert_eq!(undone.ask(-DAY, &undo_move(9)), Ok(vec![Event::MoveUndone(back)]));
    assert_eq!(undone.slot.fate_of_move(id(1), there(9)), Some(MoveFate::Undone(Refusal::UnknownSlot)));
    assert_eq!(undone.ask(-DAY, &finish_move(9)), Err(Refusal::NotMoving));
    assert_eq!(undone.ask(-DAY, &begin_move(1, &[0], 9)), Err(Refusal::IdTaken), "the steps of the first move are remembered by this id");
    assert!(undone.ask(-DAY, &begin_move(1, &[0], 10)).is_ok() && undone.ask(-DAY, &undo_move(10)).is_ok());
    assert_eq!((undone.slot.money(), undone.left(-DAY, Channel::Web)), ((Cents::new(4803), Cents::ZERO), 16));
    undone.then(
        0,
        admit(1, 0),
        Ok(Event::Admitted(Admitted {
            ticket: id(1).ticket(0),
            gate: code("north"),
            entry: 1,
            category: code("full"),
            proof: Proof::None,
            scanned_at: None,
        })),
    );
    given(&[]).refuses(-DAY, finish_move(9), Refusal::NotMoving);
    given(&[]).refuses(-DAY, undo_move(9), Refusal::NotMoving);
}

#[test]
fn tickets_arrive_under_the_usual_rules() {
    let web = |n, count| arrive(n, &[full(count)], Channel::Web);
    given(&[]).then(-DAY, web(1, 2), Ok(Event::Arrived(arrived(1, &[full(2)]))));
    given(&[]).refuses(-DAY, web(1, 11), Refusal::PartyTooLarge { max: 10 });
    given(&[(-DAY, web(1, 1))]).refuses(-DAY, web(1, 1), Refusal::IdTaken);
    given(&[(-DAY, web(1, 1)), (-DAY, Command::Close { reason: code("strike") })]).refuses(-DAY, web(1, 11), Refusal::IdTaken);
    given(&[(-DAY, Command::Close { reason: code("strike") })]).refuses(-DAY, web(1, 1), Refusal::SlotClosed { reason: code("strike") });
    given(&[]).refuses(-10 * MIN, web(1, 1), Refusal::SaleOver { closed_at: at(-10 * MIN) });
    // Who comes too late for the web is helped at the desk, and stays a visitor of the web.
    given(&[]).then(0, arrive(1, &[full(1)], Channel::BoxOffice), Ok(Event::Arrived(arrived(1, &[full(1)]))));
    given(&[]).refuses(30 * MIN, arrive(1, &[full(1)], Channel::BoxOffice), Refusal::SlotOver { ended_at: at(30 * MIN) });
    let full_house = [(-2 * DAY, direct(2, &[full(10)], desk())), (-2 * DAY, direct(3, &[full(9)], desk()))];
    given(&full_house).refuses(-DAY, web(1, 2), Refusal::NotEnoughPlaces { asked: 2, available: 1, limited_by: LimitedBy::Capacity });
    // Their places are of the share of the channel that sold them, whoever helps.
    let share = [(-DAY, Command::SetQuotas { quotas: quotas(&[(Channel::Web, 0, Some(1), 0)]) })];
    let own = Refusal::NotEnoughPlaces { asked: 2, available: 1, limited_by: LimitedBy::OwnLimit };
    given(&share).refuses(-DAY, arrive(1, &[full(2)], Channel::BoxOffice), own);

    let mut world = given(&[(-3 * DAY, web(1, 2))]);
    let sale = world.slot.sale_of(id(1)).unwrap();
    assert_eq!(
        (sale.who, sale.channel, sale.contact, sale.settlement.clone()),
        (KeyId(5), Channel::Web, Some(PersonId(3)), Settlement::Moved { from: there(1) })
    );
    assert_eq!((world.slot.money(), world.slot.places().sold), ((Cents::new(3202), Cents::ZERO), [2, 0, 0, 0, 0]));
    // A move does not buy back a refund that was lost: here, half.
    let cancelled = |tickets: &[u16], refund, cause| {
        Ok(vec![Event::Cancelled(Cancelled { sale: id(1), tickets: tickets.to_vec(), refund_cents: Cents::new(refund), cause })])
    };
    assert_eq!(world.ask(-3 * DAY, &cancel(1, &[0])), cancelled(&[0], 800, CancelCause::Visitor));
    let by_museum = Command::Cancel { sale: id(1), owner: None, tickets: vec![], cause: CancelCause::Museum };
    assert_eq!(world.ask(0, &by_museum), cancelled(&[1], 1601, CancelCause::Museum));
    let strike = [(-3 * DAY, web(1, 2)), (-HOUR, Command::Close { reason: code("strike") })];
    assert_eq!(given(&strike).ask(-HOUR, &cancel(1, &[0])), cancelled(&[0], 1601, CancelCause::Visitor), "nor does it cost a whole one");
    // Nobody settles a sale like that.
    let moved = Settlement::Moved { from: there(1) };
    given(&[]).refuses(-DAY, direct(1, &[full(1)], moved), Refusal::SettlementNotAllowed { channel: Channel::BoxOffice });
}

#[test]
fn a_ticket_that_moves_on_takes_its_name_and_its_refund_along() {
    let mut world = given(&[(-3 * DAY, direct(1, &[full(3)], desk())), (-3 * DAY, rename(1, &[1], 7)), (-HOUR, begin_move(1, &[1, 2], 9))]);
    let begun = world.slot.begun(there(9)).unwrap().clone();
    assert_eq!(world.slot.moves_under_way().collect::<Vec<_>>(), [there(9)]);
    let Some(Command::Arrive { arrived, via, asks_review: false, review_until: None, .. }) = world.slot.arrival(&begun) else {
        panic!("it is under way")
    };
    assert_eq!((arrived.sale, arrived.from, arrived.who, arrived.channel, via), (there(9), id(1), KeyId(1), Channel::BoxOffice, Channel::Web));
    assert_eq!((arrived.lines, arrived.holders, arrived.refund_percent), (vec![full(2)], vec![(0, PersonId(7))], 50));
    assert!(world.ask(-HOUR, &finish_move(9)).is_ok());
    assert!(world.slot.sale_of(id(1)).unwrap().holders.is_empty());
    assert_eq!(world.slot.begun(there(9)), None);
    // Once more from a slot to which they had moved: never more than the least of all.
    let again = given(&[(-3 * DAY, arrive(1, &[full(1)], Channel::Web))]).ask(-2 * DAY, &begin_move(1, &[], 9)).unwrap();
    assert!(matches!(&again[..], [Event::MoveBegun(begun)] if begun.refund_percent == 50), "{again:?}");
}

#[test]
fn tickets_that_arrive_with_names_have_codes_that_say_so() {
    let named = Arrived { holders: vec![(0, PersonId(4)), (1, PersonId(6)), (2, PersonId(4))], ..arrived(1, &[full(4)]) };
    let arrive = Command::Arrive { arrived: Box::new(named.clone()), via: Channel::Web, asks_review: false, review_until: None, named: false };
    let renamed = |tickets: &[(u16, u16)], holder| {
        Event::Renamed(Renamed { sale: id(1), tickets: tickets.to_vec(), holder: Some(PersonId(holder)), replaced: vec![] })
    };
    let shown = |number, issue| Command::Admit { ticket: id(1).ticket(number), issue: Some(issue), gate: code("north"), museum: MUSEUM };
    let mut world = given(&[]);
    let events = world.ask(-DAY, &arrive).unwrap();
    assert_eq!(events[1..], [Event::Arrived(named.clone()), renamed(&[(0, 2), (2, 2)], 4), renamed(&[(1, 2)], 6)], "after the slot was opened");
    let holders: Vec<_> = world.slot.sale_of(id(1)).unwrap().holders.clone().into_iter().collect();
    assert_eq!(holders, named.holders);
    for number in 0..3 {
        assert_eq!(world.ask(0, &shown(number, 1)), Err(Refusal::CodeOutdated { issue: 2 }), "{number}");
        assert!(world.ask(0, &shown(number, 2)).is_ok(), "{number}");
    }
    assert!(world.ask(0, &shown(3, 1)).is_ok(), "nobody's name is on it");
    // What arrived before this was so has codes of the first issue, and keeps them.
    let mut before = given(&[(-2 * DAY, direct(2, &[full(1)], desk()))]);
    let record = before.slot.record(at(-DAY), None, vec![Event::Arrived(named)]);
    before.slot.apply(&record);
    assert!(before.ask(0, &shown(0, 1)).is_ok());
}

#[test]
fn renames() {
    let sold = [(-DAY, direct(1, &[full(10)], desk())), (-DAY, direct(2, &[full(10)], desk()))];
    let renamed = |tickets: &[(u16, u16)], holder, replaced: &[u128]| {
        let replaced = replaced.iter().copied().map(PersonId).collect();
        Ok(Event::Renamed(Renamed { sale: id(1), tickets: tickets.to_vec(), holder: Some(PersonId(holder)), replaced }))
    };
    // In a full slot, after sales have ended, until it is over.
    given(&sold).then(-DAY, rename(1, &[3], 7), renamed(&[(3, 2)], 7, &[]));
    given(&sold).then(30 * MIN - 1, rename(1, &[3, 1, 3], 7), renamed(&[(1, 2), (3, 2)], 7, &[]));
    given(&sold).refuses(30 * MIN, rename(1, &[3], 7), Refusal::SlotOver { ended_at: at(30 * MIN) });
    given(&sold).refuses(0, rename(3, &[3], 7), Refusal::UnknownSale);
    given(&sold).refuses(0, rename(1, &[10], 7), Refusal::UnknownTicket);
    let by_another = Command::Rename { sale: id(1), owner: Some(KeyId(2)), tickets: vec![0], holder: None };
    given(&sold).refuses(0, by_another, Refusal::UnknownSale);
    let mut world = given(&sold);
    assert!(world.ask(-HOUR, &rename(1, &[0, 1], 7)).is_ok());
    assert_eq!(world.slot.places().taken(), 20);
    // The old code is refused, the new one is not; a name goes when no ticket has it any more.
    assert_eq!(world.ask(0, &admit(1, 0)), Err(Refusal::CodeOutdated { issue: 2 }));
    assert_eq!(world.ask(0, &rename(1, &[0], 8)).unwrap(), [renamed(&[(0, 3)], 8, &[]).unwrap()]);
    assert_eq!(world.ask(0, &rename(1, &[0, 1], 7)).unwrap(), [renamed(&[(0, 4), (1, 3)], 7, &[8]).unwrap()]);
    let nobody = Command::Rename { sale: id(1), owner: None, tickets: vec![0, 1], holder: None };
    let cleared = Renamed { sale: id(1), tickets: vec![(0, 5), (1, 4)], holder: None, replaced: vec![PersonId(7)] };
    assert_eq!(world.ask(0, &nobody).unwrap(), [Event::Renamed(cleared)]);
    let shown = |issue| Command::Admit { ticket: id(1).ticket(0), issue: Some(issue), gate: code("north"), museum: MUSEUM };
    assert_eq!(world.ask(0, &shown(4)), Err(Refusal::CodeOutdated { issue: 5 }));
    assert!(world.ask(0, &shown(5)).is_ok());
    assert_eq!(world.ask(1, &rename(1, &[0], 8)), Err(Refusal::TicketUsed { at: at(0) }));
    assert!(world.ask(1, &Command::Block { sale: id(1), tickets: vec![1], reason: code("review") }).is_ok());
    assert_eq!(world.ask(1, &rename(1, &[1], 8)), Err(Refusal::TicketBlocked { reason: code("review") }));
    assert!(world.ask(1, &cancel(1, &[2])).is_ok());
    world.refuses(1, rename(1, &[2], 8), Refusal::TicketCancelled);
    // One that is cancelled bears no name any more: with the last of the others the name goes.
    let mut left = given(&sold);
    assert!(left.ask(-HOUR, &rename(1, &[0, 1, 2], 7)).is_ok());
    assert!(left.ask(-HOUR, &cancel(1, &[1])).is_ok());
    assert_eq!(left.slot.sale_of(id(1)).unwrap().names().collect::<Vec<_>>(), [(0, PersonId(7)), (2, PersonId(7))]);
    assert_eq!(left.ask(-HOUR, &rename(1, &[0], 8)).unwrap(), [renamed(&[(0, 3)], 8, &[]).unwrap()]);
    assert_eq!(left.ask(-HOUR, &rename(1, &[2], 8)).unwrap(), [renamed(&[(2, 3)], 8, &[7]).unwrap()]);
    // Numbers of issues end, and do not begin anew.
    let mut last = given(&sold);
    let record =
        last.slot.record(at(-DAY), None, vec![Event::Renamed(Renamed { sale: id(1), tickets: vec![(0, u16::MAX)], holder: None, replaced: vec![] })]);
    last.slot.apply(&record);
    assert_eq!(last.ask(-DAY, &rename(1, &[0], 7)), Err(Refusal::IssuesUsedUp));
    assert!(last.ask(-DAY, &rename(1, &[1], 7)).is_ok());
}

#[test]
fn what_is_sold_with_a_name_bears_it_from_the_start() {
    let named = |sell: Command| sell.named(Some(PersonId(7)));
    let renamed = |tickets: u16| {
        let tickets = (0..tickets).map(|number| (number, 2)).collect();
        Ok(Event::Renamed(Renamed { sale: id(1), tickets, holder: Some(PersonId(7)), replaced: vec![] }))
    };
    let held = [(-DAY, hold(1, Channel::Web, &[free(2), full(1)])), (-DAY, hold(2, Channel::Web, &[free(1)]))];
    let settlement = || Settlement::Payment { id: crate::ids::PaymentId::new(1, 7) };
    let paid = Command::SellPaid { hold: id(1), owner: None, lines: vec![free(2), full(1)], keeper: None, settlement: settlement(), contact: None };
    given(&held).then(-DAY, named(sell(1, settlement())), renamed(3));
    given(&held).then(-DAY, named(paid), renamed(3));
    given(&[]).then(-DAY, named(direct(1, &[full(4)], desk())), renamed(4));
    // The gate knows the one issue that there is, and whose name it is.
    let mut world = given(&[(-DAY, named(direct(1, &[full(2)], desk())))]);
    let holders: Vec<_> = world.slot.sale_of(id(1)).unwrap().holders.clone().into_iter().collect();
    assert_eq!(holders, [(0, PersonId(7)), (1, PersonId(7))]);
    assert_eq!(world.ask(0, &admit(1, 0)), Err(Refusal::CodeOutdated { issue: 2 }));
    let shown = Command::Admit { ticket: id(1).ticket(0), issue: Some(2), gate: code("north"), museum: MUSEUM };
    assert!(world.ask(0, &shown).is_ok());
    // What is not sold bears no name, and what sells nothing cannot.
    given(&held).refuses(-DAY, named(sell(3, Settlement::Free)), Refusal::UnknownHold);
    given(&held).refuses(-DAY, named(sell(1, Settlement::Free)), Refusal::SettlementMismatch { due_cents: Cents::new(1601) });
    given(&held).refuses(-DAY, named(hold(3, Channel::Web, &[free(1)])), Refusal::UnknownSale);
    assert_eq!(sell(1, Settlement::Free).named(None), sell(1, Settlement::Free));
}
