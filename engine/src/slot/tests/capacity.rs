//! How many places there are and who may take them: capacities, places sold beyond them, closing, quotas, and the people inside.

use super::*;
use crate::grant::Grant;

#[test]
fn a_cut_below_what_is_taken_is_accepted_and_never_sold_into() {
    let mut world = given(&[(-DAY, direct(1, &[full(10)], desk())), (-DAY, Command::SetCapacity { capacity: 6 })]);
    assert_eq!((world.slot.places().over(at(-DAY)), world.left(-DAY, Channel::Web)), (4, 0));
    let short = |available| Refusal::NotEnoughPlaces { asked: 1, available, limited_by: LimitedBy::Capacity };
    assert_eq!(world.ask(-DAY, &hold(2, Channel::Web, &[full(1)])), Err(short(0)));
    assert!(world.ask(-DAY, &cancel(1, &[0, 1, 2, 3])).is_ok());
    assert_eq!(world.slot.places().over(at(-DAY)), 0);
    assert_eq!(world.ask(-DAY, &hold(2, Channel::Web, &[full(1)])), Err(short(0)));
    assert!(world.ask(-DAY, &cancel(1, &[4])).is_ok());
    assert!(world.ask(-DAY, &hold(2, Channel::Web, &[full(1)])).is_ok());
    assert!(world.ask(-DAY, &Command::SetCapacity { capacity: 0 }).is_ok());
    assert!(world.ask(-DAY, &Command::SetCapacity { capacity: 30 }).is_ok());
    assert_eq!(world.left(-DAY, Channel::Web), 24);
}

fn sell_beyond(beyond: u32, ceiling: Option<u32>) -> Command {
    Command::SellBeyond { beyond, ceiling, turn_away_ppm: 10_000 * beyond }
}

fn beyond_set(beyond: u32, asked: u32) -> Event {
    Event::BeyondSet(BeyondSet { beyond, turn_away_ppm: 10_000 * asked })
}

#[test]
fn what_is_sold_beyond_the_places_stays_and_no_more_of_it_is_sold_than_was_said() {
    let web = |n, count| hold(n, Channel::Web, &[full(count)]);
    given(&[]).then(-DAY, sell_beyond(3, None), Ok(beyond_set(3, 3)));
    given(&[]).then(-DAY, sell_beyond(9, Some(24)), Ok(beyond_set(4, 9)));
    given(&[]).refuses(-DAY, sell_beyond(0, None), Refusal::BeyondStands { beyond: 0 });
    given(&[]).refuses(-DAY, sell_beyond(5, Some(19)), Refusal::BeyondStands { beyond: 0 });
    given(&[(-DAY, sell_beyond(3, None))]).refuses(-DAY, sell_beyond(3, None), Refusal::BeyondStands { beyond: 3 });
    given(&[]).refuses(30 * MIN, sell_beyond(3, None), Refusal::SlotOver { ended_at: at(30 * MIN) });
    let mut world = given(&[(-DAY, web(1, 10)), (-DAY, web(2, 10)), (-DAY, sell_beyond(3, None))]);
    let places = world.slot.places();
    assert_eq!((places.capacity, places.beyond(), places.for_sale(), places.over(at(-DAY))), (20, 3, 23, 0));
    assert_eq!(world.left(-DAY, Channel::BoxOffice), 3);
    assert!(world.ask(-DAY, &web(3, 2)).is_ok());
    let short = Refusal::NotEnoughPlaces { asked: 2, available: 1, limited_by: LimitedBy::Capacity };
    assert_eq!(world.ask(-DAY, &web(4, 2)), Err(short));
    // Taken back: what is taken stays, the rest is for sale no more, and what is given back neither.
    assert_eq!(world.ask(-DAY, &sell_beyond(0, None)), Ok(vec![beyond_set(2, 0)]));
    assert_eq!((world.left(-DAY, Channel::Web), world.slot.places().over(at(-DAY))), (0, 0));
    assert_eq!(world.ask(-DAY, &sell_beyond(1, None)), Err(Refusal::BeyondStands { beyond: 2 }));
    assert!(world.ask(-DAY, &Command::Release { hold: id(3), owner: None }).is_ok());
    assert_eq!(world.ask(-DAY, &sell_beyond(0, None)), Ok(vec![beyond_set(0, 0)]));
    assert_eq!(world.left(-DAY, Channel::Web), 0);
    // A slot that is closed sells nothing, whatever is said, and goes on as before when it is opened again.
    let mut closed = given(&[(-DAY, sell_beyond(3, None)), (-DAY, Command::Close { reason: code("strike") })]);
    assert_eq!(closed.left(-DAY, Channel::Web), 0);
    assert!(closed.ask(-DAY, &Command::Reopen).is_ok());
    assert_eq!(closed.left(-DAY, Channel::Web), 23);
    // Who waits is served from what is sold beyond.
    let mut waits = given(&[(-DAY, web(1, 10)), (-DAY, web(2, 10))]);
    let wait = Command::Wait { entry: id(3), who: KeyId(1), channel: Channel::Web, lines: vec![full(2)] };
    assert!(waits.ask(-DAY, &wait).is_ok());
    assert!(waits.ask(-DAY, &sell_beyond(2, None)).is_ok());
    assert!(waits.slot.due(at(-DAY)).iter().any(|event| matches!(event, Event::Offered(offered) if offered.entry == id(3))));
}

#[test]
fn only_the_public_is_sold_to_beyond_the_places_and_shares_are_kept() {
    let shares = Command::SetQuotas { quotas: quotas(&[(Channel::Group, 5, None, 3_600)]) };
    let web = |n, count| hold(n, Channel::Web, &[full(count)]);
    let mut world = given(&[(-DAY, shares), (-DAY, web(1, 10)), (-DAY, web(2, 5)), (-DAY, sell_beyond(3, None))]);
    let left =
        |world: &World, time| [Channel::Web, Channel::Kiosk, Channel::BoxOffice, Channel::Group, Channel::Reseller].map(|c| world.left(time, c));
    assert_eq!(left(&world, -DAY), [3, 3, 3, 5, 0]);
    assert!(world.ask(-DAY, &web(3, 3)).is_ok());
    assert_eq!(left(&world, -DAY), [0, 0, 0, 5, 0], "what was reserved for the group is there, though 18 of 20 places are taken");
    // As long as it is reserved, what was sold beyond the places is needed.
    assert_eq!(world.ask(-DAY, &sell_beyond(0, None)), Err(Refusal::BeyondStands { beyond: 3 }));
    assert!(world.ask(-DAY, &hold(4, Channel::Group, &[full(4)])).is_ok());
    assert_eq!(left(&world, -DAY), [0, 0, 0, 1, 0]);
    let short = Refusal::NotEnoughPlaces { asked: 2, available: 1, limited_by: LimitedBy::Capacity };
    assert_eq!(world.ask(-DAY, &hold(5, Channel::Group, &[full(2)])), Err(short));
    // Where nothing is reserved the others have the places, and the public what is beyond them as well.
    let mut late = given(&[(-2 * HOUR, sell_beyond(3, None)), (-20 * MIN, web(1, 10)), (-20 * MIN, web(2, 9))]);
    assert_eq!(left(&late, -20 * MIN), [4, 4, 4, 1, 1]);
    assert!(late.ask(-20 * MIN, &web(3, 1)).is_ok());
    assert_eq!(left(&late, -20 * MIN), [3, 3, 3, 0, 0]);
}

#[test]
fn places_that_staff_set_and_people_inside_come_before_what_is_sold_beyond() {
    let mut world = given(&[(-DAY, sell_beyond(3, None)), (-DAY, direct(1, &[full(10)], desk())), (-DAY, direct(2, &[full(10)], desk()))]);
    assert!(world.ask(-DAY, &direct(3, &[full(2)], desk())).is_ok());
    assert!(world.ask(-DAY, &Command::SetCapacity { capacity: 21 }).is_ok());
    assert_eq!((world.slot.places().beyond, world.slot.places().over(at(-DAY)), world.left(-DAY, Channel::Web)), (None, 1, 0));
    for beyond in [0, 4] {
        assert_eq!(world.ask(-DAY, &sell_beyond(beyond, None)), Err(Refusal::PlacesByHand));
    }
    // 100 may be inside and 90 are: ten more may come in, whatever is for sale.
    let mut capped = given(&[(-DAY, sell_beyond(3, None)), (0, observe(90, 0, 0))]);
    assert_eq!((capped.left(0, Channel::BoxOffice), capped.slot.places().sellable(at(0))), (10, 10));
    assert!(capped.ask(0, &direct(1, &[full(10)], desk())).is_ok());
    let full_house = Refusal::NotEnoughPlaces { asked: 1, available: 0, limited_by: LimitedBy::LiveCap };
    assert_eq!(capped.ask(0, &direct(2, &[full(1)], desk())), Err(full_house));
    let mut two = given(&[(-DAY, sell_beyond(3, None)), (-DAY, direct(1, &[full(1)], desk())), (0, observe(79, 0, 0))]);
    assert_eq!(two.left(0, Channel::BoxOffice), 20);
    assert!(two.ask(0, &sell_beyond(0, None)).is_ok());
    assert_eq!(two.left(0, Channel::BoxOffice), 19);
}

#[test]
fn closing_and_reopening_may_be_said_twice() {
    let mut world = given(&[(-DAY, Command::Close { reason: code("strike") })]);
    assert!(world.ask(-DAY, &Command::Close { reason: code("storm") }).is_ok());
    assert_eq!(world.slot.places().closed, Some(code("storm")));
    assert_eq!(world.left(-DAY, Channel::Web), 0);
    assert_eq!(world.ask(-DAY, &Command::Reopen), Ok(vec![Event::Reopened(Reopened {})]));
    assert_eq!(world.ask(-DAY, &Command::Reopen), Ok(vec![Event::Reopened(Reopened {})]));
    assert_eq!(world.left(-DAY, Channel::Web), 20);
}

#[test]
fn a_slot_is_closed_and_reopened_with_its_day_unless_it_is_closed_for_something_else() {
    let (strike, works) = (code("strike"), code("works"));
    let (close, reopen) = (Command::CloseWithDay { reason: strike }, Command::ReopenWithDay { reason: strike, still: None });
    let (called_off, shut) = ([(-DAY, close.clone())], [(-DAY, Command::Close { reason: works })]);
    given(&[]).then(-DAY, close.clone(), Ok(Event::Closed(Closed { reason: strike })));
    given(&[]).refuses(-DAY, reopen.clone(), Refusal::NotClosed);
    given(&called_off).refuses(-DAY, close.clone(), Refusal::SlotClosed { reason: strike });
    given(&called_off).then(-DAY, reopen.clone(), Ok(Event::Reopened(Reopened {})));
    given(&shut).refuses(-DAY, close.clone(), Refusal::SlotClosed { reason: works });
    given(&shut).refuses(-DAY, reopen.clone(), Refusal::SlotClosed { reason: works });
    // The day is called off for a flood as well: it stays closed, and that is why from now on.
    let flooded = Command::ReopenWithDay { reason: strike, still: Some(code("flood")) };
    given(&called_off).then(-DAY, flooded.clone(), Ok(Event::Closed(Closed { reason: code("flood") })));
    given(&[]).refuses(-DAY, flooded.clone(), Refusal::NotClosed);
    given(&shut).refuses(-DAY, flooded, Refusal::SlotClosed { reason: works });
    let over = Refusal::SlotOver { ended_at: at(30 * MIN) };
    given(&[]).refuses(30 * MIN, close, over.clone());
    given(&[]).refuses(30 * MIN, reopen.clone(), over.clone());
    given(&called_off).refuses(30 * MIN, reopen, over);
}

#[test]
fn a_slot_of_which_nobody_has_anything_reopens_with_its_day_as_it_is_planned_by_then() {
    let (strike, works) = (code("strike"), code("works"));
    let close = |time: i64| (time, Command::CloseWithDay { reason: strike });
    let planned = Opening { revision: 4, end: at(20 * MIN), ..opening(9) };
    let as_planned = |opening: &Opening| Command::ReopenAsPlanned { reason: strike, opening: Box::new(opening.clone()) };
    let (anew, reopened) = (Event::Opened(Opened { opening: planned.clone() }), Event::Reopened(Reopened {}));
    // What sensors say of the building holds on: six more fit in.
    let mut world = given(&[close(-MIN), (-MIN, observe(95, 0, -MIN))]);
    assert_eq!(world.ask(-MIN, &as_planned(&planned)), Ok(vec![anew.clone(), reopened.clone()]));
    assert_eq!((world.slot.opening(), world.slot.places().capacity, world.left(-MIN, Channel::BoxOffice)), (&planned, 9, 6));
    assert_eq!(Slot::replay(&world.records).as_ref(), Some(&world.slot), "SL-4: replay equals live");
    world.refuses(20 * MIN, direct(1, &[full(1)], desk()), Refusal::SlotOver { ended_at: at(20 * MIN) });

    let held = (-DAY, hold(1, Channel::Web, &[full(1)]));
    let by_hand = Command::SetQuotas { quotas: quotas(&[(Channel::Web, 2, None, 0)]) };
    let sold_and_cancelled = [(-DAY, direct(1, &[full(1)], desk())), (-DAY, cancel(1, &[]))];
    let cases = [
        (vec![held.clone(), close(-DAY)], "a hold"),
        ([&sold_and_cancelled[..], &[close(-DAY)]].concat(), "a sale, whatever became of it"),
        (vec![(-DAY, Command::SetCapacity { capacity: 12 }), close(-DAY)], "places that staff have set"),
        (vec![(-DAY, by_hand), close(-DAY)], "quotas that staff have set"),
    ];
    for (done, why) in cases {
        let mut world = given(&done);
        assert_eq!(world.ask(-DAY, &as_planned(&planned)), Ok(vec![reopened.clone()]), "{why}");
        assert_eq!(world.slot.opening(), &opening(20), "{why}");
    }
    let mut lapsed = given(&[held, close(-DAY)]);
    assert_eq!(lapsed.ask(-DAY + 900, &as_planned(&planned)), Ok(vec![anew, reopened.clone()]));
    given(&[close(-DAY)]).then(-DAY, as_planned(&opening(20)), Ok(reopened.clone()));
    // By what was planned then it is over; by now it runs on.
    let longer = Opening { revision: 4, end: at(90 * MIN), ..opening(20) };
    given(&[close(-DAY)]).then(30 * MIN, as_planned(&longer), Ok(reopened.clone()));
    given(&[close(-DAY)]).refuses(90 * MIN, as_planned(&longer), Refusal::SlotOver { ended_at: at(90 * MIN) });
    given(&[close(-DAY)]).refuses(30 * MIN, as_planned(&planned), Refusal::SlotOver { ended_at: at(30 * MIN) });
    given(&[close(-DAY)]).then(25 * MIN, as_planned(&planned), Ok(reopened));
    given(&[(-DAY, Command::Close { reason: works })]).refuses(-DAY, as_planned(&planned), Refusal::SlotClosed { reason: works });
    given(&[]).refuses(-DAY, as_planned(&planned), Refusal::NotClosed);
}

#[test]
fn a_slot_of_a_day_that_was_called_off_before_is_closed_from_its_first_record_on() {
    let (strike, works) = (code("strike"), code("works"));
    let closed = Event::Closed(Closed { reason: strike });
    let opened = Event::Opened(Opened { opening: opening(20) });
    let cases = [
        (Command::SetCapacity { capacity: 9 }, Ok(vec![opened.clone(), closed.clone(), Event::CapacitySet(CapacitySet { capacity: 9 })])),
        (Command::Reopen, Ok(vec![opened.clone(), closed.clone(), Event::Reopened(Reopened {})])),
        (Command::CloseWithDay { reason: strike }, Ok(vec![opened, closed])),
        (Command::CloseWithDay { reason: works }, Err(Refusal::SlotClosed { reason: strike })),
        (hold(1, Channel::Web, &[full(1)]), Err(Refusal::SlotClosed { reason: strike })),
    ];
    for (command, expected) in cases {
        let mut slot = Slot::planned_on(opening(20), Some(strike));
        let decided = slot.decide(at(-DAY), &command);
        assert_eq!(decided, expected, "{command:?}");
        let Ok(events) = decided else { continue };
        let record = slot.record(at(-DAY), None, events);
        slot.apply(&record);
        assert_eq!((slot.recount(), Slot::replay([&record])), (Ok(()), Some(slot)));
    }
    let kept = Opening { quotas: [Quota { reserved: 3, ..Quota::default() }; 5], ..opening(20) };
    assert_eq!(Slot::planned_on(kept, Some(strike)).recount(), Ok(()), "what is kept for a channel is no fault of a closed slot either");
}

#[test]
fn what_is_sold_and_was_not_used_is_what_the_museum_would_cancel() {
    let mut world = given(&[
        (-DAY, direct(1, &[full(2), free(1)], desk())),
        (-DAY, direct(2, &[full(2)], desk())),
        (-DAY, direct(3, &[full(1)], desk())),
        (-DAY, cancel(2, &[0])),
        (-15 * MIN, admit(1, 0)),
        (-15 * MIN, admit(3, 0)),
    ]);
    let unused = world.slot.unused();
    assert_eq!((unused.sales, unused.tickets), (2, 3));
    let mut back = Cents::ZERO;
    for n in [1, 2] {
        let all = Command::Cancel { sale: id(n), owner: None, tickets: Vec::new(), cause: CancelCause::Museum };
        let events = world.ask(0, &all).unwrap();
        let Some(Event::Cancelled(cancelled)) = events.last() else { panic!("{events:?}") };
        back = back.plus(cancelled.refund_cents);
    }
    assert_eq!(unused.refund_cents, back);
    assert_eq!(world.slot.unused(), Unused::default());
}

#[test]
fn quotas_keep_places_until_their_release() {
    let shares = quotas(&[(Channel::Group, 8, None, 86_400), (Channel::Reseller, 4, Some(6), 3600)]);
    let set = (-3 * DAY, Command::SetQuotas { quotas: shares });
    let world = given(std::slice::from_ref(&set));
    for (time, web, group, reseller) in [(-2 * DAY, 8, 16, 6), (-DAY, 16, 16, 6), (-HOUR, 20, 20, 20)] {
        let left = (world.left(time, Channel::Web), world.left(time, Channel::Group), world.left(time, Channel::Reseller));
        assert_eq!(left, (web, group, reseller), "at {time}");
    }
    let web = |n, count| hold(n, Channel::Web, &[full(count)]);
    let mut full_web = given(&[set.clone(), (-2 * DAY, web(1, 8))]);
    let others = Refusal::NotEnoughPlaces { asked: 1, available: 0, limited_by: LimitedBy::OtherQuotas };
    assert_eq!(full_web.ask(-2 * DAY, &web(2, 1)), Err(others));
    assert!(full_web.ask(-2 * DAY, &hold(3, Channel::Group, &[full(8)])).is_ok());
    assert!(full_web.ask(-2 * DAY, &hold(4, Channel::Reseller, &[full(4)])).is_ok());
    let own = Refusal::NotEnoughPlaces { asked: 7, available: 6, limited_by: LimitedBy::OwnLimit };
    given(std::slice::from_ref(&set)).refuses(-2 * DAY, hold(1, Channel::Reseller, &[full(7)]), own);
    // A group that takes more than its share takes it from the common places only.
    let mut group = given(&[set, (-2 * DAY, hold(1, Channel::Group, &[full(10)]))]);
    assert_eq!((group.left(-2 * DAY, Channel::Web), group.left(-2 * DAY, Channel::Group)), (6, 6));
    assert!(group.ask(-2 * DAY, &Command::Release { hold: id(1), owner: None }).is_ok());
    assert_eq!(group.left(-2 * DAY, Channel::Web), 8);
    let greedy = Command::SetQuotas { quotas: quotas(&[(Channel::Group, 20, None, 0), (Channel::Web, u32::MAX, None, 0)]) };
    given(&[]).refuses(-DAY, greedy, Refusal::QuotasTooLarge { reserved: u32::MAX, capacity: 20 });
    // Shares that a cut made larger than the slot leave nothing to others, and harm nobody.
    let shares = Command::SetQuotas { quotas: quotas(&[(Channel::Group, 50, None, 0)]) };
    let mut greedy = given_capacity(50, &[(-3 * DAY, shares), (-3 * DAY, Command::SetCapacity { capacity: 20 })]);
    assert_eq!((greedy.left(-DAY, Channel::Web), greedy.left(-DAY, Channel::Group)), (0, 20));
    assert!(greedy.ask(-DAY, &hold(1, Channel::Group, &[full(10)])).is_ok());
}

#[test]
fn few_places_are_less_than_a_fifth_of_what_a_channel_might_have() {
    let places = |capacity, shares: &[(Channel, u32, Option<u32>, u32)], sold: &[(Channel, u32)]| {
        let mut places = Places::untouched(at(0), capacity, quotas(shares));
        for (channel, count) in sold {
            places.sold[channel.index()] = *count;
        }
        places
    };
    for (capacity, sold, is_scarce) in
        [(0, 0, false), (1, 0, false), (1, 1, true), (5, 4, false), (5, 5, true), (6, 5, true), (20, 16, false), (20, 17, true)]
    {
        assert_eq!(places(capacity, &[], &[(Channel::Web, sold)]).is_scarce(Channel::Web, at(-DAY)), is_scarce, "{sold} of {capacity}");
    }
    // Two of a hundred are left. They are not few of the ten that the web may have, by its own share or by what is kept for others, until that ends.
    let own = places(100, &[(Channel::Web, 0, Some(10), 600)], &[(Channel::BoxOffice, 98)]);
    let kept = places(100, &[(Channel::Group, 90, None, 600)], &[(Channel::BoxOffice, 8), (Channel::Group, 90)]);
    for places in [own, kept] {
        assert_eq!((places.is_scarce(Channel::Web, at(-601)), places.is_scarce(Channel::Web, at(-600))), (false, true), "{places:?}");
    }
    let closed = Places { closed: Some(code("strike")), ..own };
    assert!(!closed.is_scarce(Channel::Web, at(-600)), "where nothing is for sale there are no few");
}

#[test]
fn people_inside_limit_what_may_be_sold_and_who_may_enter() {
    // 100 may be inside; at the slot's start 84 are, give or take 3: 10 places are left for who is not in yet.
    let world = given(&[(-DAY, direct(1, &[full(6)], desk())), (0, observe(84, 3, 0))]);
    assert_eq!(world.left(0, Channel::BoxOffice), 4);
    let capped = Refusal::NotEnoughPlaces { asked: 5, available: 4, limited_by: LimitedBy::LiveCap };
    world.refuses(0, direct(2, &[full(5)], desk()), capped);
    // Somebody let in after the reading changes nothing: the place was counted.
    let mut entered = given(&[(-DAY, direct(1, &[full(6)], desk())), (0, observe(84, 3, 0)), (1, admit(1, 0))]);
    assert_eq!(entered.left(2, Channel::BoxOffice), 4);
    assert_eq!(entered.slot.places().people_upper(at(2)), Some(91));
    // A new reading after it: one more inside, one fewer still to come.
    assert!(entered.ask(3, &observe(85, 3, 3)).is_ok());
    assert_eq!(entered.left(3, Channel::BoxOffice), 4);
    // Old words are not believed: the plan counts again.
    assert_eq!(entered.left(3 + 900, Channel::BoxOffice), 14);
    // A full building: the ticket stays good, the visitor waits.
    let mut full_house = given(&[(-DAY, direct(1, &[full(2)], desk())), (0, observe(90, 5, 0))]);
    assert_eq!(full_house.ask(1, &admit(1, 0)), Err(Refusal::Wait { inside: 100, ceiling: 100 }));
    assert!(full_house.ask(60, &observe(88, 5, 60)).is_ok());
    assert!(full_house.ask(61, &admit(1, 0)).is_ok());
    assert!(full_house.ask(62, &admit(1, 1)).is_ok());
    // An excess by sensors is shown and never sold into.
    let over = given(&[(-DAY, direct(1, &[full(10)], desk())), (0, observe(95, 2, 0))]);
    assert_eq!((over.slot.places().over(at(0)), over.left(0, Channel::BoxOffice)), (9, 0));
    // Before the start, those who will have left by then do not count: 45 of 90 minutes ahead, half of them.
    let ahead = given(&[(-45 * MIN, observe(180, 0, -45 * MIN))]);
    assert_eq!(ahead.left(-45 * MIN, Channel::BoxOffice), 10);
    let far = given(&[(-90 * MIN, observe(180, 0, -90 * MIN))]);
    assert_eq!(far.left(-90 * MIN, Channel::BoxOffice), 20);
    given(&[(0, observe(5, 0, 0))]).refuses(1, observe(5, 0, -1), Refusal::ReadingOutOfOrder);
    // Of one instant the reading that comes last counts; a sensor's clock may be a minute ahead.
    assert_eq!(given(&[(0, observe(5, 0, 0)), (1, observe(90, 0, 0))]).left(1, Channel::BoxOffice), 10);
    given(&[(0, observe(5, 0, 60))]).refuses(0, observe(5, 0, 59), Refusal::ReadingOutOfOrder);
    // The museum's ceiling of today counts, whatever it was when the slot was opened.
    let lowered =
        Command::Observe { source: code("door"), inside: 4, sd: 0, measured_at: at(0), ceiling: Some(5), grant: None, words: Words::default() };
    let mut narrow = given(&[(-DAY, direct(1, &[full(2)], desk())), (0, lowered)]);
    assert_eq!(narrow.left(0, Channel::BoxOffice), 0);
    assert!(narrow.ask(1, &admit(1, 0)).is_ok());
    assert_eq!(narrow.ask(2, &admit(1, 1)), Err(Refusal::Wait { inside: 5, ceiling: 5 }));
    let unlimited =
        Command::Observe { source: code("door"), inside: 9_000, sd: 0, measured_at: at(0), ceiling: None, grant: None, words: Words::default() };
    assert_eq!(given(&[(0, unlimited)]).left(0, Channel::BoxOffice), 20);
    // Of the room the slot has what it is granted, beyond those who were in when that was said; never more than all of it.
    for (admitted, share, left) in [(1, 4, 2), (0, 4, 1), (1, 0, 0), (1, 40, 8)] {
        let granted = Command::Observe {
            source: code("door"),
            inside: 90,
            sd: 0,
            measured_at: at(2),
            ceiling: Some(100),
            grant: Some(Grant { admitted, share }),
            words: Words::default(),
        };
        let world = given(&[(-DAY, direct(1, &[full(3)], desk())), (1, admit(1, 0)), (2, granted)]);
        assert_eq!(world.left(2, Channel::BoxOffice), left, "{share} beyond {admitted}");
    }
    given(&[]).refuses(0, observe(5, 0, 61), Refusal::ReadingInFuture);
    given(&[]).refuses(0, observe(5, 0, -900), Refusal::ReadingStale);
    given(&[]).then(
        0,
        observe(u32::MAX, u32::MAX, -S),
        Ok(Event::Observed(Observed {
            source: code("door"),
            inside: u32::MAX,
            sd: u32::MAX,
            measured_at: at(-S),
            ceiling: Some(100),
            share: None,
            sellable: Some(0),
            until: at(899),
            words: Words::default(),
        })),
    );
}
