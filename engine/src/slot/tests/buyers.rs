//! What one buyer may have (SL-11), and what is looked at before it lets anybody in.

use super::*;
use crate::envelope::{Assessment, Outcome, Party, PartyKind};
use crate::ids::PaymentId;
use crate::slot::verdict::{self, Shown};

fn limited(tickets_max: Option<u16>, holds_max: Option<u16>) -> Slot {
    let mut opening = opening(20);
    opening.policy.limits = Limits { tickets_max, holds_max, ..Limits::NONE };
    Slot::planned(opening)
}

/// An envelope that names a buyer, if there is one, and what a scorer said.
fn asked(key: u128, buyer: Option<u128>, outcome: Outcome) -> Envelope {
    let parties = buyer.iter().map(|n| Party { kind: PartyKind::Buyer, pseudonym: Digest(*n) }).collect();
    let assessment = Assessment {
        model: code("forest-1"),
        rules_version: 1,
        at: Timestamp::from_micros(0),
        position: 9,
        features: Digest(1),
        score: 80,
        reasons: vec![],
        outcome,
        rules: vec![],
        probability_ppm: None,
        basis: None,
    };
    Envelope {
        who: KeyId(5),
        key: Digest(key),
        body: Digest(key),
        parties,
        assessment: Some(Box::new(assessment)),
        order: None,
        formerly: Vec::new(),
    }
}

fn tell(slot: &mut Slot, now: i64, envelope: Envelope, command: &Command) -> Result<Vec<Event>, Refusal> {
    let events = slot.decide_for(at(now), &envelope, command)?;
    let record = slot.record(at(now), Some(envelope), events.clone());
    slot.apply(&record);
    assert_eq!((slot.check(), slot.recount()), (Ok(()), Ok(())));
    let bytes = postcard::to_allocvec(slot).unwrap();
    assert_eq!(&postcard::from_bytes::<Slot>(&bytes).unwrap(), slot);
    Ok(events)
}

fn by(n: u128) -> Envelope {
    asked(n, Some(7), Outcome::Allow)
}

#[test]
fn a_buyer_has_so_many_places_of_a_slot_and_no_more() {
    let mut slot = limited(Some(4), None);
    let too_many = |has| Err(Refusal::TooManyForBuyer { max: 4, has });
    tell(&mut slot, -DAY, by(1), &hold(1, Channel::Web, &[free(3)])).unwrap();
    for channel in [Channel::Web, Channel::Kiosk, Channel::Reseller] {
        assert_eq!(tell(&mut slot, -DAY, by(2), &hold(2, channel, &[free(2)])), too_many(3), "{channel:?}");
    }
    // Another buyer, nobody in particular, and a desk that sees whom it serves are not counted here.
    for (n, envelope, channel) in
        [(3, asked(3, Some(8), Outcome::Allow), Channel::Web), (4, asked(4, None, Outcome::Allow), Channel::Web), (5, by(5), Channel::BoxOffice)]
    {
        tell(&mut slot, -DAY, envelope, &hold(n, channel, &[free(2)])).unwrap();
    }
    assert_eq!(slot.had(Digest(7)), Had { people: 5, holds: 2 }, "what a desk sold is known, and counts elsewhere");
    // Groups are seen as well; and who has more than that by a desk may still give some back.
    let fewer = Command::Amend { hold: id(1), lines: vec![free(2)], owner: None };
    for command in [hold(20, Channel::Group, &[free(2)]), fewer] {
        assert!(slot.decide_for(at(-DAY), &by(20), &command).is_ok(), "{command:?}");
    }
    // A sale is what its hold was; a cancelled ticket is free again.
    tell(&mut slot, -DAY, asked(6, None, Outcome::Allow), &sell(1, Settlement::Free)).unwrap();
    assert_eq!(slot.had(Digest(7)), Had { people: 5, holds: 1 });
    tell(&mut slot, -DAY, by(7), &cancel(1, &[0, 1])).unwrap();
    tell(&mut slot, -DAY, by(8), &Command::Release { hold: id(5), owner: None }).unwrap();
    assert_eq!(slot.had(Digest(7)), Had { people: 1, holds: 0 });
    let more = Command::Amend { hold: id(9), lines: vec![free(4)], owner: None };
    tell(&mut slot, -DAY, by(9), &hold(9, Channel::Web, &[free(2)])).unwrap();
    assert_eq!(tell(&mut slot, -DAY, by(10), &more), too_many(3));
    // Who is named only when he confirms.
    tell(&mut slot, -DAY, asked(11, None, Outcome::Allow), &hold(11, Channel::Web, &[free(2)])).unwrap();
    assert_eq!(tell(&mut slot, -DAY, by(12), &sell(11, Settlement::Free)), too_many(3));
    let settlement = Settlement::Free;
    let paid = Command::SellPaid { hold: id(11), owner: None, lines: vec![free(2)], keeper: None, settlement, contact: None };
    assert_eq!(tell(&mut slot, -DAY, by(12), &paid), too_many(3));
    // And what comes from another slot.
    let arrive = |buyer| Command::Arrive {
        arrived: Box::new(Arrived { buyer, ..arrived(13, &[free(2)]) }),
        via: Channel::Web,
        asks_review: false,
        review_until: None,
        named: false,
    };
    assert_eq!(tell(&mut slot, -DAY, asked(13, None, Outcome::Allow), &arrive(Some(Digest(7)))), too_many(3));
    tell(&mut slot, -DAY, asked(14, None, Outcome::Allow), &arrive(Some(Digest(9)))).unwrap();
    assert_eq!(slot.had(Digest(9)).people, 2);
}

#[test]
fn a_buyer_has_so_many_open_holds_and_waits_among_them() {
    let mut slot = limited(None, Some(2));
    tell(&mut slot, -DAY, by(1), &hold(1, Channel::Web, &[free(1)])).unwrap();
    tell(&mut slot, -DAY, asked(9, None, Outcome::Allow), &hold(9, Channel::Web, &[free(10)])).unwrap();
    tell(&mut slot, -DAY, asked(8, None, Outcome::Allow), &hold(8, Channel::Web, &[free(9)])).unwrap();
    let wait = |n| Command::Wait { entry: id(n), who: KeyId(5), channel: Channel::Web, lines: vec![free(1)] };
    tell(&mut slot, -DAY, by(2), &wait(2)).unwrap();
    assert_eq!(tell(&mut slot, -DAY, by(3), &wait(3)), Err(Refusal::TooManyOpenHolds { max: 2 }));
    tell(&mut slot, -DAY, by(4), &Command::Release { hold: id(1), owner: None }).unwrap();
    let offered = slot.due(at(-DAY));
    let record = slot.record(at(-DAY), None, offered);
    slot.apply(&record);
    assert_eq!((slot.recount(), slot.had(Digest(7))), (Ok(()), Had { people: 1, holds: 1 }), "an offer is a hold of the one who waited");
    tell(&mut slot, -DAY, by(5), &sell(2, Settlement::Free)).unwrap();
    assert_eq!(slot.had(Digest(7)), Had { people: 1, holds: 0 });
}

#[test]
fn who_waits_has_what_they_wait_for_as_far_as_limits_go() {
    let mut slot = limited(Some(4), None);
    for (n, people) in [(1, 10), (2, 8)] {
        tell(&mut slot, -DAY, asked(n.into(), None, Outcome::Allow), &hold(n, Channel::Web, &[free(people)])).unwrap();
    }
    let wait = Command::Wait { entry: id(3), who: KeyId(5), channel: Channel::Web, lines: vec![free(3)] };
    tell(&mut slot, -DAY, by(3), &wait).unwrap();
    assert_eq!(tell(&mut slot, -DAY, by(4), &hold(4, Channel::Web, &[free(2)])), Err(Refusal::TooManyForBuyer { max: 4, has: 3 }));
    tell(&mut slot, -DAY, by(5), &hold(5, Channel::Web, &[free(1)])).unwrap();
}

/// What a gate says of the first ticket of a sale.
fn at_gate(slot: &Slot, n: u64, now: i64) -> Result<u8, Refusal> {
    let ticket = id(n).ticket(0);
    let known = slot.ticket_of(ticket).map(|(_, ticket)| (verdict::Window::of(slot.opening()), ticket));
    verdict::admission(Shown { ticket, issue: Some(1), museum: MUSEUM }, known, None, at(now))
}

#[test]
fn what_is_reviewed_stands_and_is_valid_in_time_by_itself() {
    // The gate opens 15 minutes before the start, so every review is over 45 minutes before it.
    for (sold_at, until) in [(-10 * DAY, Some(-7 * DAY)), (-DAY, Some(-45 * MIN)), (-45 * MIN, None), (-20 * MIN, None)] {
        let mut slot = limited(None, None);
        tell(&mut slot, sold_at, asked(1, Some(7), Outcome::Review), &hold(1, Channel::Web, &[free(2)])).unwrap();
        // Who confirms need not be assessed again: the hold is remembered.
        let events = tell(&mut slot, sold_at, asked(2, None, Outcome::Allow), &sell(1, Settlement::Free)).unwrap();
        let opened = events.iter().find_map(|event| if let Event::ReviewOpened(opened) = event { Some(opened.until) } else { None });
        assert_eq!(opened, until.map(at), "sold at {sold_at}");
        if let Some(until) = until {
            assert_eq!(at_gate(&slot, 1, until - 1), Err(Refusal::TicketUnderReview { until: at(until) }));
        }
        assert_eq!(at_gate(&slot, 1, 0), Ok(1), "an honest visitor is let in");
    }
}

#[test]
fn a_hold_that_grows_under_suspicion_is_reviewed_when_it_is_bought() {
    let mut slot = limited(None, None);
    tell(&mut slot, -10 * DAY, asked(1, Some(7), Outcome::Allow), &hold(1, Channel::Web, &[free(2)])).unwrap();
    let grow = |count| Command::Amend { hold: id(1), lines: vec![free(count)], owner: None };
    tell(&mut slot, -10 * DAY, asked(2, None, Outcome::Review), &grow(3)).unwrap();
    // What is said of it later takes nothing of that back.
    tell(&mut slot, -10 * DAY, asked(3, None, Outcome::Allow), &grow(4)).unwrap();
    let events = tell(&mut slot, -10 * DAY, asked(4, None, Outcome::Allow), &sell(1, Settlement::Free)).unwrap();
    assert!(events.iter().any(|event| matches!(event, Event::ReviewOpened(_))), "{events:?}");
}

#[test]
fn what_moves_under_suspicion_is_under_review_by_the_record_with_which_it_arrives() {
    for (outcome, expected) in [(Outcome::Allow, false), (Outcome::StepUp, false), (Outcome::Review, true)] {
        let mut slot = limited(None, None);
        tell(&mut slot, -10 * DAY, by(1), &direct(1, &[full(2)], desk())).unwrap();
        tell(&mut slot, -10 * DAY, asked(2, None, outcome), &begin_move(1, &[0], 9)).unwrap();
        let begun = slot.begun(there(9)).unwrap().clone();
        let Some(Command::Arrive { asks_review, .. }) = slot.arrival(&begun) else { panic!("it is under way") };
        assert_eq!(asks_review, expected, "{outcome:?}");
        tell(&mut slot, -10 * DAY, asked(3, None, Outcome::Allow), &finish_move(9)).unwrap();
        assert!(slot.sale_of(id(1)).unwrap().moves[0].is_done() && slot.begun(there(9)).is_none());
    }
    for (arrives_at, until) in [(-10 * DAY, Some(-7 * DAY)), (-DAY, Some(-45 * MIN)), (-45 * MIN, None)] {
        let mut slot = limited(None, None);
        let arrive =
            Command::Arrive { arrived: Box::new(arrived(1, &[full(2)])), via: Channel::Web, asks_review: true, review_until: None, named: false };
        let events = tell(&mut slot, arrives_at, asked(1, None, Outcome::Allow), &arrive).unwrap();
        let opened = events.iter().find_map(|event| if let Event::ReviewOpened(opened) = event { Some(opened.until) } else { None });
        assert_eq!(opened, until.map(at), "arrived at {arrives_at}");
        if let Some(until) = until {
            assert_eq!(at_gate(&slot, 1, until - 1), Err(Refusal::TicketUnderReview { until: at(until) }));
        }
        assert_eq!(at_gate(&slot, 1, 0), Ok(1), "an honest visitor is let in");
    }
}

#[test]
fn a_name_on_the_tickets_is_no_way_around_a_review_nor_around_what_a_buyer_may_have() {
    let mut slot = limited(Some(4), None);
    let named = |n| sell(n, Settlement::Free).named(Some(PersonId(9)));
    tell(&mut slot, -10 * DAY, asked(1, None, Outcome::Review), &hold(1, Channel::Web, &[free(3)])).unwrap();
    let events = tell(&mut slot, -10 * DAY, by(2), &named(1)).unwrap();
    assert!(matches!(&events[..], [Event::Sold(_), Event::Renamed(_), Event::ReviewOpened(_)]), "{events:?}");
    assert_eq!(slot.had(Digest(7)).people, 3);
    tell(&mut slot, -10 * DAY, asked(3, None, Outcome::Allow), &hold(2, Channel::Web, &[free(2)])).unwrap();
    assert_eq!(tell(&mut slot, -10 * DAY, by(4), &named(2)), Err(Refusal::TooManyForBuyer { max: 4, has: 3 }));
}

/// A move that those ask for who sold it, and no staff.
fn moved_by_its_shop(n: u64) -> Command {
    let mut command = begin_move(n, &[], 9);
    if let Command::BeginMove { owner, .. } = &mut command {
        *owner = Some(KeyId(5));
    }
    command
}

#[test]
fn what_is_under_review_is_moved_by_staff_alone_and_its_review_goes_along() {
    let nothing = |n| asked(n, None, Outcome::Allow);
    let mut slot = limited(None, None);
    let sold = Command::SellDirect { sale: id(1), channel: Channel::Web, lines: vec![free(2)], settlement: Settlement::Free, contact: None };
    tell(&mut slot, -10 * DAY, asked(1, None, Outcome::Review), &sold).unwrap();
    let until = at(-7 * DAY);
    let under_review = Refusal::TicketUnderReview { until };
    assert_eq!(tell(&mut slot, -9 * DAY, nothing(2), &moved_by_its_shop(1)), Err(under_review.clone()));
    tell(&mut slot, -9 * DAY, nothing(3), &begin_move(1, &[0], 9)).unwrap();
    let along = |slot: &Slot| match slot.begun(there(9)).and_then(|begun| slot.arrival(begun)) {
        Some(Command::Arrive { asks_review, review_until, .. }) => (asks_review, review_until),
        other => panic!("it is under way: {other:?}"),
    };
    assert_eq!(along(&slot), (false, Some(until)));
    // It comes back as it left.
    let mut undone = slot.clone();
    tell(&mut undone, -9 * DAY, nothing(4), &undo_move(9)).unwrap();
    assert_eq!(at_gate(&undone, 1, -8 * DAY), Err(under_review));
    // Somebody has looked while it was on its way, and then again.
    let mut looked = slot.clone();
    tell(&mut looked, -9 * DAY, nothing(4), &Command::EndReview { sale: id(1), cleared: true }).unwrap();
    assert_eq!(along(&looked), (false, None));
    tell(&mut looked, -8 * DAY, nothing(5), &Command::Review { sale: id(1) }).unwrap();
    assert_eq!(along(&looked), (false, Some(at(-5 * DAY))));
    // The one that stays is still looked at.
    tell(&mut slot, -9 * DAY, nothing(4), &finish_move(9)).unwrap();
    let stays = slot.ticket_of(id(1).ticket(1)).map(|(_, ticket)| (ticket.state, ticket.review_until));
    assert_eq!(stays, Some((TicketState::Valid, Some(until))));
}

#[test]
fn a_review_that_comes_along_lasts_as_long_as_it_would_have_and_not_into_the_visit() {
    for (arrives_at, asks_review, along, until) in [
        (-9 * DAY, false, Some(-7 * DAY), Some(-7 * DAY)),
        (-9 * DAY, false, None, None),
        // The gate opens earlier here: half an hour before that it is over.
        (-2 * HOUR, false, Some(DAY), Some(-45 * MIN)),
        (-45 * MIN, false, Some(DAY), None),
        // It was over, or ended on the way.
        (-7 * DAY, false, Some(-7 * DAY), None),
        // The move was suspected as well: there is one review, the longer one.
        (-9 * DAY, true, Some(-7 * DAY), Some(-6 * DAY)),
        (-9 * DAY, true, Some(-5 * DAY), Some(-5 * DAY)),
        (-2 * HOUR, true, Some(DAY), Some(-45 * MIN)),
    ] {
        let mut slot = limited(None, None);
        let (arrived, review_until) = (Box::new(arrived(1, &[full(2)])), along.map(at));
        let arrive = Command::Arrive { arrived, via: Channel::Web, asks_review, review_until, named: false };
        let events = tell(&mut slot, arrives_at, asked(1, None, Outcome::Allow), &arrive).unwrap();
        let opened = events.iter().filter_map(|event| if let Event::ReviewOpened(opened) = event { Some(opened.until) } else { None });
        assert_eq!(opened.collect::<Vec<_>>(), Vec::from_iter(until.map(at)), "{along:?} along, at {arrives_at}");
        if let Some(until) = until {
            assert_eq!(at_gate(&slot, 1, until - 1), Err(Refusal::TicketUnderReview { until: at(until) }));
        }
        assert_eq!(at_gate(&slot, 1, 0), Ok(1), "an honest visitor is let in");
    }
}

#[test]
fn a_review_ends_by_a_word_and_can_be_asked_for_again() {
    let mut slot = limited(None, None);
    let nothing = |n| asked(n, None, Outcome::Allow);
    let (review, clear) = (Command::Review { sale: id(1) }, Command::EndReview { sale: id(1), cleared: true });
    assert_eq!(tell(&mut slot, -10 * DAY, nothing(1), &review), Err(Refusal::UnknownSale));
    assert_eq!(tell(&mut slot, -10 * DAY, nothing(1), &clear), Err(Refusal::UnknownSale));
    let sold = Command::SellDirect { sale: id(1), channel: Channel::Web, lines: vec![free(2)], settlement: Settlement::Free, contact: None };
    tell(&mut slot, -10 * DAY, asked(2, None, Outcome::Review), &sold).unwrap();
    let until = at(-7 * DAY);
    let under_review = Err(Refusal::TicketUnderReview { until });
    assert_eq!(tell(&mut slot, -9 * DAY, nothing(3), &moved_by_its_shop(1)), under_review);
    assert_eq!(tell(&mut slot, -9 * DAY, nothing(4), &Command::Rename { sale: id(1), owner: None, tickets: vec![], holder: None }), under_review);
    tell(&mut slot, -9 * DAY, nothing(5), &clear).unwrap();
    assert_eq!(tell(&mut slot, -9 * DAY, nothing(6), &clear), Err(Refusal::NotUnderReview));
    tell(&mut slot, -9 * DAY, nothing(7), &review).unwrap();
    assert_eq!(tell(&mut slot, -6 * DAY, nothing(8), &clear), Err(Refusal::NotUnderReview), "it has ended by itself");
    assert_eq!(tell(&mut slot, -45 * MIN, nothing(9), &review), Err(Refusal::ReviewTooLate));
}

#[test]
fn what_a_gate_without_a_network_let_in_under_review_is_a_conflict() {
    let mut slot = limited(None, None);
    let sold = Command::SellDirect { sale: id(1), channel: Channel::Web, lines: vec![free(1)], settlement: Settlement::Free, contact: None };
    tell(&mut slot, -2 * HOUR, asked(1, None, Outcome::Review), &sold).unwrap();
    let scan = Scan { ticket: id(1).ticket(0), scanned_at: at(-HOUR), gate: code("pda"), direction: Direction::In };
    let events = tell(&mut slot, -50 * MIN, asked(2, None, Outcome::Allow), &Command::Merge { scan, issue: Some(1), museum: MUSEUM }).unwrap();
    let conflict = |event: &Event| matches!(event, Event::AdmissionConflict(conflict) if conflict.reason == ConflictReason::TicketUnderReview);
    assert!(events.iter().any(conflict), "{events:?}");
}

#[test]
fn a_buyer_who_goes_by_two_pseudonyms_has_what_both_have() {
    let mut slot = limited(Some(4), Some(2));
    let of = |key: u128, buyers: &[u128]| {
        let parties = buyers.iter().map(|n| Party { kind: PartyKind::Buyer, pseudonym: Digest(*n) }).collect();
        Envelope { parties, ..asked(key, None, Outcome::Allow) }
    };
    // Last month's pseudonym, then this month's before it: as in the first days of a month.
    tell(&mut slot, -DAY, of(1, &[7]), &hold(1, Channel::Web, &[free(3)])).unwrap();
    assert_eq!(tell(&mut slot, -DAY, of(2, &[8, 7]), &hold(2, Channel::Web, &[free(2)])), Err(Refusal::TooManyForBuyer { max: 4, has: 3 }));
    tell(&mut slot, -DAY, of(3, &[8, 7, 8]), &hold(3, Channel::Web, &[free(1)])).unwrap();
    assert_eq!((slot.had(Digest(8)).people, slot.had(Digest(7)).people), (1, 3), "counted once, under the newer one");
    assert_eq!(tell(&mut slot, -DAY, of(4, &[8, 7]), &sell_direct(4)), Err(Refusal::TooManyForBuyer { max: 4, has: 4 }));
    let more = Command::Amend { hold: id(3), lines: vec![free(2)], owner: None };
    assert_eq!(tell(&mut slot, -DAY, of(5, &[8, 7]), &more), Err(Refusal::TooManyForBuyer { max: 4, has: 4 }));
    // Months later those are only looked up; what is new is counted under the newest one.
    let later = |key: u128, formerly: &[u128]| Envelope { formerly: formerly.iter().copied().map(Digest).collect(), ..of(key, &[9]) };
    assert_eq!(later(6, &[8, 7, 9, 6]).buyers().collect::<Vec<_>>(), [9, 8, 7, 6].map(Digest), "each once, this month's first");
    assert_eq!(tell(&mut slot, -DAY, later(6, &[8, 7, 6]), &sell_direct(6)), Err(Refusal::TooManyForBuyer { max: 4, has: 4 }));
    assert_eq!(tell(&mut slot, -DAY, later(7, &[8]), &hold(7, Channel::Web, &[free(4)])), Err(Refusal::TooManyForBuyer { max: 4, has: 1 }));
    tell(&mut slot, -DAY, later(8, &[8]), &hold(8, Channel::Web, &[free(3)])).unwrap();
    assert_eq!((slot.had(Digest(9)).people, slot.had(Digest(8)).people), (3, 1));
    let mut holds = limited(None, Some(2));
    tell(&mut holds, -DAY, of(1, &[7]), &hold(1, Channel::Web, &[free(1)])).unwrap();
    tell(&mut holds, -DAY, of(2, &[8, 7]), &hold(2, Channel::Web, &[free(1)])).unwrap();
    assert_eq!(tell(&mut holds, -DAY, of(3, &[8, 7]), &hold(3, Channel::Web, &[free(1)])), Err(Refusal::TooManyOpenHolds { max: 2 }));
    assert_eq!(tell(&mut holds, -DAY, later(4, &[8, 7]), &hold(4, Channel::Web, &[free(1)])), Err(Refusal::TooManyOpenHolds { max: 2 }));
}

/// Bought in one month, and moved to where the same buyer has bought in another one.
#[test]
fn tickets_that_arrive_count_beside_what_their_buyer_has_by_other_pseudonyms() {
    let mut slot = limited(Some(4), None);
    tell(&mut slot, -DAY, asked(1, Some(8), Outcome::Allow), &hold(1, Channel::Web, &[free(3)])).unwrap();
    let arrive = |n: u64| {
        let arrived = Arrived { buyer: Some(Digest(7)), ..arrived(n, &[free(2)]) };
        Command::Arrive { arrived: Box::new(arrived), via: Channel::Web, asks_review: false, review_until: None, named: true }
    };
    // Of a step that the system takes nobody is named but by what goes along with it.
    let moving = |key: u128, named: &[u128]| Envelope { formerly: named.iter().copied().map(Digest).collect(), ..Envelope::by_system(Digest(key)) };
    assert_eq!(moving(2, &[9, 7, 8]).also_known(Digest(7)).collect::<Vec<_>>(), [7, 9, 8].map(Digest), "the one that is known first, and each once");
    assert_eq!(tell(&mut slot, -DAY, moving(2, &[9, 8, 7]), &arrive(2)), Err(Refusal::TooManyForBuyer { max: 4, has: 3 }));
    // Who moves the tickets of somebody else has no more and no less for that.
    tell(&mut slot, -DAY, moving(3, &[8]), &arrive(3)).unwrap();
    assert_eq!((slot.had(Digest(7)).people, slot.had(Digest(8)).people), (2, 3));
}

#[test]
fn a_hold_of_nobody_is_of_whoever_is_named_with_its_payment() {
    let nobody = |key: u128| asked(key, None, Outcome::Allow);
    let bind = |n: u64| Command::Bind { hold: id(n), payment: PaymentId::from_raw(n), over: None };
    let mut slot = limited(None, Some(2));
    for n in 1..=3 {
        tell(&mut slot, -DAY, nobody(n.into()), &hold(n, Channel::Web, &[free(2)])).unwrap();
    }
    assert_eq!(slot.had(Digest(7)), Had::default());
    tell(&mut slot, -DAY, by(11), &bind(1)).unwrap();
    tell(&mut slot, -DAY, by(12), &bind(2)).unwrap();
    assert_eq!(slot.had(Digest(7)), Had { people: 4, holds: 2 });
    assert_eq!(tell(&mut slot, -DAY, by(13), &bind(3)), Err(Refusal::TooManyOpenHolds { max: 2 }));
    // Kept for nobody in particular it is nobody's; and what is somebody's does not become another's.
    tell(&mut slot, -DAY, nobody(14), &bind(3)).unwrap();
    tell(&mut slot, -DAY, asked(15, Some(8), Outcome::Allow), &bind(1)).unwrap();
    assert_eq!((slot.had(Digest(7)), slot.had(Digest(8))), (Had { people: 4, holds: 2 }, Had::default()));
    // The next one to be named with it may have it.
    tell(&mut slot, -DAY, asked(16, Some(8), Outcome::Allow), &bind(3)).unwrap();
    assert_eq!(slot.had(Digest(8)), Had { people: 2, holds: 1 });

    let mut slot = limited(Some(4), None);
    tell(&mut slot, -DAY, nobody(1), &hold(1, Channel::Web, &[free(3)])).unwrap();
    tell(&mut slot, -DAY, nobody(2), &hold(2, Channel::Web, &[free(2)])).unwrap();
    tell(&mut slot, -DAY, by(3), &bind(1)).unwrap();
    let prolong = Command::Prolong { hold: id(2), until: at(0), cause: Keeper::Payment(PaymentId::from_raw(2)) };
    for command in [bind(2), prolong] {
        assert_eq!(tell(&mut slot, -DAY, by(4), &command), Err(Refusal::TooManyForBuyer { max: 4, has: 3 }), "{command:?}");
    }
}

#[test]
fn over_the_web_somebody_is_named_where_the_museum_wants_that() {
    let mut opening = opening(20);
    opening.policy.limits = Limits { buyer_required: true, ..Limits::NONE };
    let mut slot = Slot::planned(opening);
    let of = |key: u128, kind: Option<PartyKind>| {
        let parties = kind.into_iter().map(|kind| Party { kind, pseudonym: Digest(7) }).collect();
        Envelope { parties, ..asked(key, None, Outcome::Allow) }
    };
    let wait = |n| Command::Wait { entry: id(n), who: KeyId(5), channel: Channel::Web, lines: vec![free(9)] };
    // Neither nobody nor a network or a card says who keeps the places.
    for (key, kind) in [(1, None), (2, Some(PartyKind::Network)), (3, Some(PartyKind::Card))] {
        assert_eq!(tell(&mut slot, -DAY, of(key, kind), &hold(1, Channel::Web, &[free(1)])), Err(Refusal::BuyerMissing));
        assert_eq!(tell(&mut slot, -DAY, of(key, kind), &sell_direct(1)), Err(Refusal::BuyerMissing));
    }
    tell(&mut slot, -DAY, of(4, Some(PartyKind::Buyer)), &hold(4, Channel::Web, &[free(6)])).unwrap();
    tell(&mut slot, -DAY, of(5, Some(PartyKind::Device)), &hold(5, Channel::Web, &[free(6)])).unwrap();
    // Whoever named themselves when the places were asked for need not do it again; whom staff or a totem see need not at all.
    tell(&mut slot, -DAY, of(6, None), &sell(4, Settlement::Free)).unwrap();
    tell(&mut slot, -DAY, of(7, None), &hold(7, Channel::Kiosk, &[free(1)])).unwrap();
    tell(&mut slot, -DAY, of(8, None), &hold(8, Channel::BoxOffice, &[free(1)])).unwrap();
    assert_eq!(tell(&mut slot, -DAY, of(9, None), &wait(9)), Err(Refusal::BuyerMissing));
    tell(&mut slot, -DAY, of(10, Some(PartyKind::Device)), &wait(10)).unwrap();
    // What cannot be had anyway is refused for that.
    let shape = tell(&mut slot, -DAY, of(11, None), &hold(11, Channel::Web, &[]));
    assert_eq!(shape, Err(Refusal::BadLines));
    // Tickets of another slot for which nobody was named come in at a desk alone.
    let comes = |n, via, named| {
        let arrived = Box::new(arrived(n, &[free(1)]));
        Command::Arrive { arrived, via, asks_review: false, review_until: None, named }
    };
    assert_eq!(tell(&mut slot, -DAY, of(13, None), &comes(13, Channel::Web, false)), Err(Refusal::BuyerMissing));
    tell(&mut slot, -DAY, of(14, None), &comes(14, Channel::Web, true)).unwrap();
    tell(&mut slot, -DAY, of(15, None), &comes(15, Channel::BoxOffice, false)).unwrap();
    // Elsewhere nobody has to be named.
    tell(&mut limited(None, None), -DAY, of(12, None), &hold(1, Channel::Web, &[free(1)])).unwrap();
}

#[test]
fn tickets_that_leave_say_whether_somebody_was_named_for_them() {
    for (buyer_required, buyer, expected) in [(false, None, false), (false, Some(7), true), (true, None, true)] {
        let mut opening = opening(20);
        opening.policy.limits = Limits { buyer_required, ..Limits::NONE };
        let mut slot = Slot::planned(opening);
        tell(&mut slot, -10 * DAY, asked(1, buyer, Outcome::Allow), &direct(1, &[full(2)], desk())).unwrap();
        tell(&mut slot, -10 * DAY, asked(2, None, Outcome::Allow), &begin_move(1, &[0], 9)).unwrap();
        let begun = slot.begun(there(9)).unwrap().clone();
        let Some(Command::Arrive { named, .. }) = slot.arrival(&begun) else { panic!("it is under way") };
        assert_eq!(named, expected, "{buyer_required}, {buyer:?}");
    }
}

#[test]
fn by_what_a_buyer_was_known_earlier_is_written_nowhere() {
    let now = by(1);
    let asked = Envelope { formerly: vec![Digest(8), Digest(9)], ..now.clone() };
    assert_eq!(postcard::to_allocvec(&asked).unwrap(), postcard::to_allocvec(&now).unwrap(), "the journal");
    assert_eq!(serde_json::to_value(&asked).unwrap(), serde_json::to_value(&now).unwrap());
    assert_eq!(postcard::from_bytes::<Envelope>(&postcard::to_allocvec(&asked).unwrap()).unwrap(), now);
}

fn sell_direct(n: u64) -> Command {
    Command::SellDirect { sale: id(n), channel: Channel::Web, lines: vec![free(1)], settlement: Settlement::Free, contact: None }
}
