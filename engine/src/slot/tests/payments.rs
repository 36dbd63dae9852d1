//! Places kept for payments and quotes, holds that change, and the refunds that payments have to be told of.

use super::*;
use crate::ids::{PaymentId, QuoteId};

const PAYMENT: PaymentId = PaymentId::new(3, 77);
const FOR_PAYMENT: Keeper = Keeper::Payment(PAYMENT);
const FOR_QUOTE: Keeper = Keeper::Quote(QuoteId(5));

fn hold_for(n: u64, channel: Channel, lines: &[Line], until: i64, cause: Keeper) -> Command {
    Command::HoldFor { hold: id(n), channel, lines: lines.to_vec(), until: at(until), cause }
}

fn prolong(n: u64, until: i64, cause: Keeper) -> Command {
    Command::Prolong { hold: id(n), until: at(until), cause }
}

fn amend(n: u64, lines: &[Line]) -> Command {
    Command::Amend { hold: id(n), lines: lines.to_vec(), owner: None }
}

fn paid() -> Settlement {
    Settlement::Payment { id: PAYMENT }
}

fn handed_over(n: u64, seq: u64) -> Command {
    Command::HandedOver { sale: id(n), seq }
}

fn owed(world: &World) -> Vec<(HoldId, u64, i64)> {
    world.slot.owed().map(|(sale, seq, cents)| (sale, seq, cents.get())).collect()
}

#[test]
fn places_are_kept_until_a_payment_or_quote_says() {
    let group = |until, cause| hold_for(1, Channel::Group, &[full(2)], until, cause);
    let kept =
        |until, cause| vec![held(1, Channel::Group, &[full(2)], until), Event::Prolonged(Prolonged { hold: id(1), expires_at: at(until), cause })];
    // What is asked for, within the sales of the channel; a payment for two hours at most.
    for (now, until, cause, expires) in [
        (-30 * DAY, -5 * DAY, FOR_QUOTE, -5 * DAY),
        (-DAY, -DAY + 60, FOR_QUOTE, -DAY + 60),
        (-DAY, HOUR, FOR_QUOTE, -10 * MIN),
        (-DAY, -DAY + 2 * HOUR, FOR_PAYMENT, -DAY + 2 * HOUR),
        (-DAY, -DAY + 2 * HOUR + 1, FOR_PAYMENT, -DAY + 2 * HOUR),
        (-HOUR, HOUR, FOR_PAYMENT, -10 * MIN),
    ] {
        assert_eq!(given(&[]).ask(now, &group(until, cause)).map(|events| events[events.len() - 2..].to_vec()), Ok(kept(expires, cause)));
    }
    // Else as any hold.
    for until in [-DAY, -2 * DAY] {
        given(&[]).refuses(-DAY, group(until, FOR_QUOTE), Refusal::UntilPast);
    }
    let later = |lines: &[Line]| hold_for(1, Channel::Group, lines, -HOUR, FOR_QUOTE);
    given(&[]).refuses(-DAY, later(&[]), Refusal::BadLines);
    given(&[]).refuses(-DAY, later(&[free(0)]), Refusal::PartyEmpty);
    given(&[]).refuses(-DAY, later(&[full(11)]), Refusal::PartyTooLarge { max: 10 });
    given(&[(-DAY, later(&[full(1)]))]).refuses(-DAY, later(&[full(1)]), Refusal::IdTaken);
    given(&[]).refuses(-91 * DAY, later(&[full(1)]), Refusal::SaleNotOpen { opens_at: at(-90 * DAY) });
    given(&[]).refuses(-10 * MIN, group(0, FOR_QUOTE), Refusal::SaleOver { closed_at: at(-10 * MIN) });
    let closed = [(-DAY, Command::Close { reason: code("strike") })];
    given(&closed).refuses(-DAY, later(&[full(1)]), Refusal::SlotClosed { reason: code("strike") });
    // The group's share is for its options.
    let shared = [
        (-3 * DAY, Command::SetQuotas { quotas: quotas(&[(Channel::Group, 8, Some(9), 86_400)]) }),
        (-3 * DAY, hold(2, Channel::Web, &[full(10)])),
        (-3 * DAY, hold(3, Channel::Web, &[full(2)])),
    ];
    assert!(given(&shared).ask(-3 * DAY, &hold_for(1, Channel::Group, &[full(8)], -DAY, FOR_QUOTE)).is_ok());
    let own = Refusal::NotEnoughPlaces { asked: 9, available: 8, limited_by: LimitedBy::Capacity };
    given(&shared).refuses(-3 * DAY, hold_for(1, Channel::Group, &[full(9)], -DAY, FOR_QUOTE), own);
    // It ends by itself, and gives its places back.
    let mut option = given(&[(-3 * DAY, group(-2 * DAY, FOR_QUOTE))]);
    assert_eq!((option.slot.wake_at(), option.left(-3 * DAY, Channel::Web)), (Some(at(-2 * DAY)), 18));
    assert_eq!(option.ask(-2 * DAY, &sell(1, account())), Err(Refusal::HoldExpired { at: at(-2 * DAY) }));
    assert_eq!(option.left(-2 * DAY, Channel::Web), 20);
}

#[test]
fn a_hold_is_prolonged_and_never_shortened() {
    let taken = [(-DAY, hold(1, Channel::Web, &[full(2)]))];
    let prolonged = |expires, cause| Ok(Event::Prolonged(Prolonged { hold: id(1), expires_at: at(expires), cause }));
    for (until, cause, expires) in [
        (-DAY + 1_800, FOR_PAYMENT, -DAY + 1_800),
        // Long enough already, or a time that is over: as it was.
        (-DAY + 900, FOR_PAYMENT, -DAY + 900),
        (-DAY + 60, FOR_QUOTE, -DAY + 900),
        (-2 * DAY, FOR_PAYMENT, -DAY + 900),
        // A payment keeps them for two hours since they were taken, a quote as long as they are sold.
        (HOUR, FOR_PAYMENT, -DAY + 2 * HOUR),
        (-HOUR, FOR_QUOTE, -HOUR),
        (HOUR, FOR_QUOTE, -10 * MIN),
    ] {
        given(&taken).then(-DAY + 60, prolong(1, until, cause), prolonged(expires, cause));
    }
    // One payment after the other does not keep them for ever; and a payment does not shorten what a quote has.
    let mut again = given(&taken);
    assert!(again.ask(-DAY, &prolong(1, HOUR, FOR_PAYMENT)).is_ok());
    assert_eq!(again.slot.wake_at(), Some(at(-DAY + 2 * HOUR)));
    assert_eq!(again.ask(-DAY + HOUR, &prolong(1, HOUR, FOR_PAYMENT)).unwrap(), [prolonged(-DAY + 2 * HOUR, FOR_PAYMENT).unwrap()]);
    assert!(again.ask(-DAY + HOUR, &prolong(1, -HOUR, FOR_QUOTE)).is_ok());
    again.then(-DAY + HOUR, prolong(1, HOUR, FOR_PAYMENT), prolonged(-HOUR, FOR_PAYMENT));
    // The buyer still has the one extension.
    let mut extended = given(&[taken[0].clone(), (-DAY, prolong(1, -DAY + 1_800, FOR_PAYMENT))]);
    let extend = Command::Extend { hold: id(1), owner: None };
    assert_eq!(extended.ask(-DAY, &extend).unwrap(), [Event::Extended(Extended { hold: id(1), expires_at: at(-DAY + 2_400) })]);
    assert_eq!(extended.ask(-DAY, &extend), Err(Refusal::AlreadyExtended));
    extended.then(-DAY, prolong(1, -DAY + 3_000, FOR_PAYMENT), prolonged(-DAY + 3_000, FOR_PAYMENT));

    given(&[]).refuses(-DAY, prolong(1, 0, FOR_QUOTE), Refusal::UnknownHold);
    given(&taken).refuses(-DAY + 900, prolong(1, 0, FOR_QUOTE), Refusal::HoldExpired { at: at(-DAY + 900) });
    let mut sold = given(&taken);
    assert!(sold.ask(-DAY, &sell(1, paid())).is_ok());
    sold.refuses(-DAY, prolong(1, 0, FOR_PAYMENT), Refusal::HoldSold);
    let mut released = given(&taken);
    assert!(released.ask(-DAY, &Command::Release { hold: id(1), owner: None }).is_ok());
    released.refuses(-DAY, prolong(1, 0, FOR_PAYMENT), Refusal::HoldReleased);
    let mut closed = given(&taken);
    assert!(closed.ask(-DAY, &Command::Close { reason: code("strike") }).is_ok());
    closed.refuses(-DAY, prolong(1, 0, FOR_PAYMENT), Refusal::SlotClosed { reason: code("strike") });
}

#[test]
fn a_hold_is_amended_in_one_step() {
    let taken = [(-DAY, hold(1, Channel::Web, &[full(8)])), (-DAY, hold(2, Channel::Group, &[full(10)]))];
    let amended = |lines: &[Line]| Ok(Event::Amended(Amended { hold: id(1), lines: lines.to_vec() }));
    // Only the difference is needed.
    given(&taken).then(-DAY, amend(1, &[full(10)]), amended(&[full(10)]));
    given(&taken).then(-DAY, amend(1, &[free(3), full(7)]), amended(&[free(3), full(7)]));
    given(&taken).then(-DAY, amend(1, &[full(8)]), amended(&[full(8)]));
    let full_house = [taken.to_vec(), vec![(-DAY, hold(3, Channel::Web, &[full(1)]))]].concat();
    let short = Refusal::NotEnoughPlaces { asked: 2, available: 1, limited_by: LimitedBy::Capacity };
    given(&full_house).refuses(-DAY, amend(1, &[full(10)]), short);
    given(&[full_house, vec![(-DAY, Command::SetCapacity { capacity: 5 })]].concat()).then(-DAY, amend(1, &[full(7)]), amended(&[full(7)]));
    // Of the channel's share, too.
    let shares = Command::SetQuotas { quotas: quotas(&[(Channel::Group, 4, None, 0), (Channel::Web, 0, Some(9), 0)]) };
    let limited = [taken[0].clone(), (-DAY, shares)];
    let own = Refusal::NotEnoughPlaces { asked: 2, available: 1, limited_by: LimitedBy::OwnLimit };
    given(&limited).refuses(-DAY, amend(1, &[full(10)]), own);
    let mut world = given(&limited);
    assert!(world.ask(-DAY, &amend(1, &[full(9)])).is_ok());
    assert_eq!(world.slot.places().held, [9, 0, 0, 0, 0]);
    assert!(world.ask(-DAY, &amend(1, &[full(1), free(1)])).is_ok());
    assert_eq!((world.slot.places().held, world.slot.hold_of(id(1)).unwrap().expires_at), ([2, 0, 0, 0, 0], at(-DAY + 900)));
    let sold = Sold {
        sale: id(1),
        held: true,
        channel: Channel::Web,
        lines: vec![full(1), free(1)],
        settlement: paid(),
        contact: None,
        held_by: Some(KeyId(1)),
    };
    world.then(-DAY, sell(1, paid()), Ok(Event::Sold(sold)));

    // Places that it needs no more go to those who wait; and it takes none that are due to them.
    let waits = [taken.to_vec(), vec![(-DAY, Command::Wait { entry: id(4), who: KeyId(1), channel: Channel::Web, lines: vec![full(3)] })]].concat();
    let mut served = given(&waits);
    assert!(served.ask(-DAY, &amend(1, &[full(7)])).is_ok());
    assert_eq!(served.slot.due(at(-DAY)).len(), 1);
    assert!(served.ask(-DAY, &Command::Reopen).is_ok());
    assert!(matches!(served.slot.standing_of(id(4)), Some(Standing::Offered(_))));
    served.refuses(-DAY, amend(1, &[full(8)]), Refusal::NotEnoughPlaces { asked: 1, available: 0, limited_by: LimitedBy::Capacity });
    let mut offered = given(&[waits, vec![(-DAY, Command::Release { hold: id(2), owner: None }), (-DAY, amend(4, &[full(5)]))]].concat());
    assert_eq!(offered.left(-DAY, Channel::Web), 7);
    assert!(offered.ask(-DAY, &Command::LeaveWaiting { entry: id(4), owner: None }).is_ok());
    assert_eq!(offered.left(-DAY, Channel::Web), 12);

    given(&taken).refuses(-DAY, amend(1, &[]), Refusal::BadLines);
    given(&taken).refuses(-DAY, amend(1, &[full(0)]), Refusal::PartyEmpty);
    given(&taken).refuses(-DAY, amend(1, &[full(11)]), Refusal::PartyTooLarge { max: 10 });
    given(&taken).refuses(-DAY, amend(3, &[full(1)]), Refusal::UnknownHold);
    let other = Command::Amend { hold: id(1), lines: vec![full(1)], owner: Some(KeyId(2)) };
    given(&taken).refuses(-DAY, other, Refusal::UnknownHold);
    given(&taken).refuses(-DAY + 900, amend(1, &[full(1)]), Refusal::HoldExpired { at: at(-DAY + 900) });
    let mut closed = given(&taken);
    assert!(closed.ask(-DAY, &Command::Close { reason: code("strike") }).is_ok());
    closed.refuses(-DAY, amend(1, &[full(1)]), Refusal::SlotClosed { reason: code("strike") });
    // What is being paid for stays as it is, until whoever knows says that it is over.
    let mut paying = given(&taken);
    assert!(paying.ask(-DAY, &prolong(1, 0, FOR_PAYMENT)).is_ok());
    for lines in [full(1), full(8), full(9)] {
        assert_eq!(paying.ask(-DAY, &amend(1, &[lines])), Err(Refusal::HoldKept { payment: PAYMENT }));
    }
    let release = Command::Release { hold: id(1), owner: None };
    assert_eq!(paying.ask(-DAY, &release), Err(Refusal::HoldKept { payment: PAYMENT }));
    let give_back = |over| Command::GiveBack { hold: id(1), owner: Some(KeyId(1)), over };
    assert_eq!(paying.ask(-DAY, &give_back(Keeper::Payment(PaymentId::new(3, 78)))), Err(Refusal::HoldKept { payment: PAYMENT }));
    assert!(paying.ask(-DAY, &give_back(FOR_PAYMENT)).is_ok());
    let mut quoted = given(&taken);
    assert!(quoted.ask(-DAY, &prolong(2, 0, FOR_QUOTE)).is_ok());
    assert!(quoted.ask(-DAY, &amend(2, &[full(9)])).is_ok());
}

#[test]
fn check_sees_an_amendment_that_oversells() {
    for (lines, expected) in [(full(11), Err("SL-1")), (full(10), Ok(()))] {
        let mut world = given(&[(-DAY, direct(1, &[full(10)], desk())), (-DAY, hold(2, Channel::Web, &[full(1)]))]);
        let record = world.slot.record(at(-DAY), None, vec![Event::Amended(Amended { hold: id(2), lines: vec![lines] })]);
        world.slot.apply(&record);
        assert_eq!(world.slot.check().map_err(|broken| broken.invariant), expected);
    }
}

#[test]
fn a_payment_settles_for_every_channel_what_is_due() {
    for channel in Channel::ALL {
        let held_by = |held: bool| held.then_some(KeyId(1));
        let sold = |held| {
            Ok(Event::Sold(Sold { sale: id(1), held, channel, lines: vec![full(2)], settlement: paid(), contact: None, held_by: held_by(held) }))
        };
        given(&[(-DAY, hold(1, channel, &[full(2)]))]).then(-DAY, sell(1, paid()), sold(true));
        let late = Command::SellDirect { sale: id(1), channel, lines: vec![full(2)], settlement: paid(), contact: None };
        given(&[]).then(-DAY, late, sold(false));
    }
    let nothing_due = Refusal::SettlementMismatch { due_cents: Cents::ZERO };
    given(&[(-DAY, hold(1, Channel::Web, &[free(2)]))]).refuses(-DAY, sell(1, paid()), nothing_due.clone());
    given(&[]).refuses(-DAY, direct(1, &[free(1)], paid()), nothing_due);
}

/// A desk takes money from who stands there, and an account is of whoever has a contract.
#[test]
fn what_is_paid_otherwise_is_paid_as_its_channel_may() {
    for (settlement, channels) in [
        (desk(), &[Channel::Kiosk, Channel::BoxOffice][..]),
        (account(), &[Channel::Group, Channel::Reseller][..]),
        (Settlement::Quoted { account: code("tours"), quote: QuoteId(5) }, &[Channel::Group][..]),
    ] {
        for channel in Channel::ALL {
            let expected = if channels.contains(&channel) { Ok(()) } else { Err(Refusal::SettlementNotAllowed { channel }) };
            let lines = vec![full(2)];
            let held = given(&[(-DAY, hold(1, channel, &lines))]).ask(-DAY, &sell(1, settlement.clone()));
            let at_once = Command::SellDirect { sale: id(1), channel, lines, settlement: settlement.clone(), contact: None };
            for answer in [held, given(&[]).ask(-DAY, &at_once)] {
                assert_eq!(answer.map(drop), expected, "{settlement:?} by {channel:?}");
            }
        }
    }
}

/// SL-10.
#[test]
fn a_refund_is_owed_to_its_payment_until_it_is_handed_over() {
    let sold = [(-3 * DAY, direct(1, &[full(4), free(1)], paid()))];
    let mut world = given(&sold);
    assert!(world.ask(-2 * DAY, &cancel(1, &[0, 1])).is_ok());
    assert!(world.ask(-DAY + 1, &cancel(1, &[2])).is_ok());
    assert_eq!(owed(&world), [(id(1), 2, 3_202), (id(1), 3, 800)]);
    assert_eq!(world.slot.owing(), 2);
    // It survives a snapshot.
    let back: Slot = postcard::from_bytes(&postcard::to_allocvec(&world.slot).unwrap()).unwrap();
    assert_eq!((&back, back.recount()), (&world.slot, Ok(())));
    assert_eq!(world.ask(0, &handed_over(1, 2)), Ok(vec![Event::HandedOver(HandedOver { sale: id(1), seq: 2 })]));
    assert_eq!(owed(&world), [(id(1), 3, 800)]);
    for unknown in [handed_over(1, 2), handed_over(1, 1), handed_over(2, 3)] {
        assert_eq!(world.ask(0, &unknown), Err(Refusal::NotOwed), "{unknown:?}");
    }
    // However late, and when all is over.
    world.then(90 * DAY, handed_over(1, 3), Ok(Event::HandedOver(HandedOver { sale: id(1), seq: 3 })));

    // Nothing is owed where nothing is paid back. What a desk took, or an account was charged, is owed a word too.
    let mut nothing = given(&sold);
    assert!(nothing.ask(-DAY, &cancel(1, &[4])).is_ok() && nothing.ask(-MIN, &cancel(1, &[])).is_ok());
    assert_eq!(owed(&nothing), []);
    let mut at_desk = given(&[(-3 * DAY, direct(1, &[full(2)], desk()))]);
    assert!(at_desk.ask(-3 * DAY, &cancel(1, &[])).is_ok());
    assert_eq!(owed(&at_desk), [(id(1), 2, 3_202)]);
    at_desk.then(-3 * DAY, handed_over(1, 2), Ok(Event::HandedOver(HandedOver { sale: id(1), seq: 2 })));
    // Tickets from another slot may have been paid by a payment there: whoever drives it knows.
    let mut arrived = given(&[(-3 * DAY, arrive(1, &[full(2)], Channel::Web))]);
    assert!(arrived.ask(-3 * DAY, &cancel(1, &[0])).is_ok());
    assert_eq!(owed(&arrived), [(id(1), 2, 800)]);
    // One that moves on is not paid back here.
    let mut gone = given(&sold);
    assert!(gone.ask(-2 * DAY, &begin_move(1, &[0], 9)).is_ok() && gone.ask(-2 * DAY, &finish_move(9)).is_ok());
    assert!(gone.ask(-2 * DAY, &cancel(1, &[])).is_ok());
    assert_eq!(owed(&gone), [(id(1), 4, 4_803)]);
}

/// What a visitor is said to have cancelled may be the museum's doing after all: what was not paid back of it goes back, once, whatever was cancelled for which cause.
#[test]
fn a_wrong_cause_is_corrected_once_and_pays_the_rest_back() {
    let correct = Command::CorrectCause { sale: id(1), owner: None };
    let corrected =
        |cents| Event::Cancelled(Cancelled { sale: id(1), tickets: Vec::new(), refund_cents: Cents::new(cents), cause: CancelCause::Museum });
    let sold = [(-3 * DAY, direct(1, &[full(4), free(1)], paid()))];
    let mut world = given(&sold);
    assert_eq!(world.ask(-3 * DAY, &correct), Err(Refusal::NothingToPayBack), "nothing is cancelled");
    // Half of one, nothing of two others, all of a fourth, by the museum; the fifth cost nothing.
    assert!(world.ask(-DAY + 1, &cancel(1, &[0])).is_ok() && world.ask(-MIN, &cancel(1, &[1, 2])).is_ok());
    let museum = Command::Cancel { sale: id(1), owner: None, tickets: vec![3], cause: CancelCause::Museum };
    assert!(world.ask(0, &museum).is_ok());
    let standing = world.slot.places().sold;
    let other = Command::CorrectCause { sale: id(1), owner: Some(KeyId(2)) };
    assert_eq!(world.ask(0, &other), Err(Refusal::UnknownSale));
    assert_eq!(world.ask(0, &Command::CorrectCause { sale: id(2), owner: None }), Err(Refusal::UnknownSale));
    assert_eq!(world.ask(90 * DAY, &correct), Ok(vec![corrected(801 + 2 * 1_601)]));
    assert_eq!(world.ask(90 * DAY, &correct), Err(Refusal::NothingToPayBack), "once, under whichever key");
    assert_eq!((world.slot.places().sold, world.slot.money().1), (standing, Cents::new(4 * 1_601)), "and nothing else is cancelled");
    // Whoever has the money hears of it as of any refund, and what is cancelled after that is a cancellation like any other.
    assert_eq!(owed(&world).iter().map(|(.., cents)| *cents).collect::<Vec<_>>(), [800, 1_601, 801 + 2 * 1_601]);
    world.refuses(90 * DAY, cancel(1, &[4]), Refusal::SlotOver { ended_at: at(30 * MIN) });
    // What has moved away is not of this sale any more.
    let mut moved = given(&sold);
    assert!(moved.ask(-2 * DAY, &begin_move(1, &[0], 9)).is_ok() && moved.ask(-2 * DAY, &finish_move(9)).is_ok());
    assert!(moved.ask(-MIN, &cancel(1, &[1])).is_ok());
    moved.then(0, correct, Ok(corrected(1_601)));
}

/// What a quote keeps is the system's: nobody sells it, changes it or gives it back but by what becomes of the quote.
#[test]
fn options_of_a_quote_are_left_alone_by_staff() {
    let mut world = given(&[]);
    let option = hold_for(1, Channel::Group, &[full(2)], -DAY, FOR_QUOTE);
    let record = world.slot.record(at(-3 * DAY), None, world.slot.decide(at(-3 * DAY), &option).unwrap());
    world.slot.apply(&record);
    assert_eq!(world.slot.hold_of(id(1)).unwrap().who, KeyId::SYSTEM);
    let commands = |owner| {
        [
            Command::Extend { hold: id(1), owner },
            Command::Release { hold: id(1), owner },
            Command::GiveBack { hold: id(1), owner, over: FOR_QUOTE },
            Command::Sell { hold: id(1), owner, settlement: account(), contact: None },
            Command::Amend { hold: id(1), lines: vec![full(1)], owner },
        ]
    };
    for command in commands(None) {
        assert_eq!(world.ask(-2 * DAY, &command), Err(Refusal::HoldQuoted { quote: QuoteId(5) }), "{command:?}");
    }
    for command in commands(Some(KeyId(1))) {
        assert_eq!(world.ask(-2 * DAY, &command), Err(Refusal::UnknownHold), "{command:?}");
    }
    // Also while it is paid for; then it may still be changed by the quote, whose payment that is.
    assert!(world.ask(-2 * DAY, &prolong(1, -DAY, FOR_PAYMENT)).is_ok());
    let release = Command::Release { hold: id(1), owner: None };
    assert_eq!(world.ask(-2 * DAY, &release), Err(Refusal::HoldQuoted { quote: QuoteId(5) }));
    let system = Some(KeyId::SYSTEM);
    assert!(world.ask(-2 * DAY, &Command::Amend { hold: id(1), lines: vec![full(1)], owner: system }).is_ok());
    let quoted = Settlement::Quoted { account: code("tours"), quote: QuoteId(5) };
    assert!(world.ask(-2 * DAY, &Command::Sell { hold: id(1), owner: system, settlement: quoted, contact: None }).is_ok());
    assert_eq!(world.slot.sale_of(id(1)).map(|sale| sale.who), Some(KeyId(1)), "it is a sale of whoever the quote is of");
}

/// Of several payments that begin for one hold at once, one has it; the next one only by the word of who knows that the first is over.
#[test]
fn a_hold_is_kept_for_one_payment_at_a_time() {
    const NEXT: PaymentId = PaymentId::new(3, 78);
    let bind = |n, payment, over| Command::Bind { hold: id(n), payment, over };
    let kept = |payment, until| Ok(vec![Event::Prolonged(Prolonged { hold: id(1), expires_at: at(until), cause: Keeper::Payment(payment) })]);
    let mut world = given(&[(-DAY, hold(1, Channel::Web, &[full(1)])), (-DAY, hold(2, Channel::Web, &[full(1)]))]);
    let until = -DAY + 900;
    assert_eq!(world.ask(-DAY, &bind(1, PAYMENT, None)), kept(PAYMENT, until), "no longer than it lives");
    assert_eq!(world.ask(-DAY, &bind(1, PAYMENT, None)), kept(PAYMENT, until), "bound twice it is bound");
    let taken = Err(Refusal::HoldKept { payment: PAYMENT });
    for command in [bind(1, NEXT, None), bind(1, NEXT, Some(NEXT)), prolong(1, 0, Keeper::Payment(NEXT))] {
        assert_eq!(world.ask(-DAY, &command), taken, "{command:?}");
    }
    assert_eq!(world.ask(-DAY, &bind(1, NEXT, Some(PAYMENT))), kept(NEXT, until));
    assert_eq!(world.ask(-DAY, &prolong(1, 0, FOR_PAYMENT)), Err(Refusal::HoldKept { payment: NEXT }));
    // What a quote keeps stays the quote's.
    assert!(world.ask(-DAY, &prolong(2, 0, FOR_QUOTE)).is_ok());
    assert!(world.ask(-DAY, &bind(2, PAYMENT, None)).is_ok());
    assert!(world.ask(-DAY, &bind(2, NEXT, None)).is_ok());
    assert!(world.ask(-DAY, &amend(2, &[full(2)])).is_ok());
    // Nobody holds it for ever.
    assert_eq!(world.ask(until, &bind(1, NEXT, None)), Err(Refusal::HoldExpired { at: at(until) }));
    // Nobody begins to pay for a slot that is closed.
    let closed = [(-DAY, hold(1, Channel::Web, &[full(1)])), (-DAY, Command::Close { reason: code("strike") })];
    given(&closed).refuses(-DAY, bind(1, PAYMENT, None), Refusal::SlotClosed { reason: code("strike") });
}

/// Who begins to pay again and again does not have it written down each time; but whoever has less time than they may take asks for it.
#[test]
fn what_is_kept_nearly_as_long_as_is_wanted_is_not_asked_for() {
    const NEXT: Keeper = Keeper::Payment(PaymentId::new(3, 78));
    let (short, long) = (-DAY + 1_800, -DAY + 2 * HOUR);
    // Until when and for what it is kept, when and for what it is wanted how long, and whether it is kept so.
    for ((until, keeper), (now, wanted, cause), expected) in [
        ((short, FOR_PAYMENT), (-DAY, short, FOR_PAYMENT), true),
        ((short, FOR_PAYMENT), (-DAY, short + 60, FOR_PAYMENT), true),
        ((short, FOR_PAYMENT), (-DAY, short + 61, FOR_PAYMENT), false),
        ((short, FOR_PAYMENT), (-DAY, short, NEXT), false),
        ((short, FOR_PAYMENT), (short, short, FOR_PAYMENT), false),
        // There is no more to be had: two hours for a payment, and no longer than it is sold.
        ((long, FOR_PAYMENT), (-DAY + HOUR, HOUR, FOR_PAYMENT), true),
        ((HOUR, FOR_QUOTE), (-DAY, HOUR, FOR_QUOTE), true),
        // What a quote keeps stays the quote's while it is paid for.
        ((short, FOR_QUOTE), (-DAY, short, FOR_PAYMENT), true),
        ((short, FOR_QUOTE), (-DAY, short + 61, FOR_PAYMENT), false),
    ] {
        let kept = given(&[(-DAY, hold(1, Channel::Web, &[full(1)])), (-DAY, prolong(1, until, keeper))]);
        assert_eq!(kept.slot.is_kept(at(now), id(1), at(wanted), cause), expected, "{keeper:?} until {until}, {cause:?} until {wanted} at {now}");
    }
    let held = given(&[(-DAY, hold(1, Channel::Web, &[full(1)]))]);
    assert!(![1, 2].iter().any(|n| held.slot.is_kept(at(-DAY), id(*n), at(-DAY + 60), FOR_PAYMENT)), "it is kept for nobody, or is not there");
}

/// SL-12. The desk is told which payment there is; who names that payment has its money, or knows that none is waited for.
#[test]
fn what_a_payment_keeps_is_sold_for_its_money_alone() {
    const OTHER: PaymentId = PaymentId::new(3, 78);
    let kept = [
        (-DAY, hold(1, Channel::BoxOffice, &[full(1)])),
        (-DAY, hold(2, Channel::BoxOffice, &[free(1)])),
        (-DAY, Command::Bind { hold: id(1), payment: PAYMENT, over: None }),
        (-DAY, prolong(2, 0, FOR_PAYMENT)),
    ];
    let sell_paid =
        |n, line: Line, keeper, settlement| Command::SellPaid { hold: id(n), owner: None, lines: vec![line], keeper, settlement, contact: None };
    let refused = || Refusal::HoldKept { payment: PAYMENT };
    for command in [
        sell(1, desk()),
        sell(1, Settlement::Payment { id: OTHER }),
        // Whether the money fits is asked after that.
        sell(1, Settlement::Free),
        sell(2, Settlement::Free),
        sell_paid(1, full(1), None, desk()),
        sell_paid(1, full(1), Some(OTHER), desk()),
        sell_paid(1, full(1), Some(OTHER), Settlement::Payment { id: OTHER }),
        sell_paid(2, free(1), None, Settlement::Free),
    ] {
        given(&kept).refuses(-DAY, command, refused());
    }
    let sold = |n, line: Line, settlement| {
        Ok(Event::Sold(Sold {
            sale: id(n),
            held: true,
            channel: Channel::BoxOffice,
            lines: vec![line],
            settlement,
            contact: None,
            held_by: Some(KeyId(1)),
        }))
    };
    for (n, line, command, settlement) in [
        (1, full(1), sell(1, paid()), paid()),
        (1, full(1), sell_paid(1, full(1), None, paid()), paid()),
        (1, full(1), sell_paid(1, full(1), Some(PAYMENT), paid()), paid()),
        (2, free(1), sell_paid(2, free(1), Some(PAYMENT), Settlement::Free), Settlement::Free),
        // It is over: the desk sells it, or another payment.
        (1, full(1), sell_paid(1, full(1), Some(PAYMENT), desk()), desk()),
        (1, full(1), sell_paid(1, full(1), Some(PAYMENT), Settlement::Payment { id: OTHER }), Settlement::Payment { id: OTHER }),
    ] {
        given(&kept).then(-DAY, command, sold(n, line, settlement));
    }
    // What is wrong with the thing named, or with the slot, comes first.
    given(&kept).refuses(-DAY, sell_paid(1, full(2), None, desk()), Refusal::UnknownHold);
    let other = Command::Sell { hold: id(1), owner: Some(KeyId(5)), settlement: desk(), contact: None };
    given(&kept).refuses(-DAY, other, Refusal::UnknownHold);
    let closed = [kept.to_vec(), vec![(-DAY, Command::Close { reason: code("strike") })]].concat();
    given(&closed).refuses(-DAY, sell(1, desk()), Refusal::SlotClosed { reason: code("strike") });
    // Who names a payment that keeps nothing says nothing.
    given(&kept[..1]).then(-DAY, sell_paid(1, full(1), Some(PAYMENT), desk()), sold(1, full(1), desk()));

    // It was not always so: what a desk sold of a hold that a payment kept is read as it was written.
    let mut world = given(&kept);
    let Ok(event) = sold(1, full(1), desk()) else { panic!("an event") };
    let record = world.slot.record(at(-DAY), Some(envelope(1, 99, 0)), vec![event]);
    world.slot.apply(&record);
    world.records.push(record);
    assert_eq!((world.slot.recount(), world.slot.sale_of(id(1)).map(|sale| sale.settlement.clone())), (Ok(()), Some(desk())));
    assert_eq!(Slot::replay(&world.records), Some(world.slot), "SL-4: replay equals live");
}

/// Between the look at a hold and its sale somebody may amend it: what was paid for is then another thing.
#[test]
fn what_was_paid_for_is_sold_only_as_it_was() {
    let mut world = given(&[(-3 * DAY, hold(1, Channel::Web, &[full(1)]))]);
    assert!(world.ask(-3 * DAY, &Command::Amend { hold: id(1), lines: vec![full(2)], owner: None }).is_ok());
    let sell = |lines| Command::SellPaid { hold: id(1), owner: None, lines, keeper: None, settlement: paid(), contact: None };
    assert_eq!(world.ask(-3 * DAY, &sell(vec![full(1)])), Err(Refusal::UnknownHold));
    assert!(world.ask(-3 * DAY, &sell(vec![full(2)])).is_ok());
    assert_eq!(world.ask(-3 * DAY, &sell(vec![full(2)])), Err(Refusal::HoldSold));
}

#[test]
fn a_recount_sees_a_refund_that_is_lost_or_told_twice() {
    let mut world = given(&[(-3 * DAY, direct(1, &[full(2)], paid())), (-3 * DAY, direct(2, &[full(2)], desk())), (-3 * DAY, cancel(1, &[0]))]);
    let sound = world.slot.clone();
    let broken = |slot: &Slot| slot.recount().map_err(|broken| broken.invariant);
    world.slot.ledger.owed.clear();
    assert_eq!(broken(&world.slot), Err("SL-10"), "lost");
    for sale in [2, 3] {
        // Of a sale of which nothing was cancelled, and of none.
        let mut wrong = sound.clone();
        wrong.ledger.owed.insert((id(sale), 9), Cents::new(1));
        assert_eq!(broken(&wrong), Err("SL-10"), "owed for nothing");
    }
    let mut twice = sound;
    let kept = twice.ledger.owed.clone();
    let told = twice.record(at(-3 * DAY), None, vec![Event::HandedOver(HandedOver { sale: id(1), seq: 3 })]);
    twice.apply(&told);
    assert_eq!(broken(&twice), Ok(()));
    twice.ledger.owed = kept;
    assert_eq!(broken(&twice), Err("SL-10"), "told twice");
}
