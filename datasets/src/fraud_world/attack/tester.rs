//! One who tries stolen cards: buys the cheapest thing there is with one card after the other, to see which of them work. What is bought is of no use to him.

use super::super::dice::Dice;
use super::super::honest::People;
use super::super::intent::{Action, Channel, Happened, Parties, Party, Refusal};
use super::super::town::{SECOND_US, Slot, VENUES, some_slot};
use super::super::truth::Variant;
use super::super::{Agent, Told, Want, Wish};
use super::time_us;

/// How one goes about it.
#[derive(Debug, Clone, Copy)]
struct Manner {
    cards: (i64, i64),
    /// Seconds from one attempt to the next.
    pause_s: (i64, i64),
    /// Cards after which the device is thrown away.
    worn_after: u32,
}

/// A list of cards, as fast as the form goes.
const PLAIN: Manner = Manner { cards: (25, 60), pause_s: (4, 15), worn_after: u32::MAX };
/// A few cards from each browser, minutes apart, by mobile network.
const ADAPTIVE: Manner = Manner { cards: (25, 40), pause_s: (150, 900), worn_after: 4 };
/// Stolen cards that still work: most are blocked or expired when they are sold.
const WORKS: f64 = 0.25;
/// Cards that are tried on one hold.
const CARDS_PER_HOLD: u8 = 3;
/// E-mail addresses are free: a new one after so many cards.
const ADDRESS_FOR: u32 = 5;
/// Refusals by rules after which he goes elsewhere.
const GIVES_UP_AFTER: u8 = 4;

struct Tester {
    manner: Manner,
    left: i64,
    used: u32,
    tried_on_hold: u8,
    parties: Parties,
    slot: Slot,
    hold: u64,
    blocked: u8,
    networks: Vec<u64>,
}

const HOLD: u32 = 1;
const PAY: u32 = 2;

pub(super) fn campaign(variant: Variant, day: i64, people: &People, dice: &mut Dice) -> (i64, Box<dyn Agent>) {
    let manner = if variant == Variant::Plain { PLAIN } else { ADAPTIVE };
    let at_us = time_us(day, dice.between(0, 80_000));
    let networks = if variant == Variant::Plain { vec![dice.next()] } else { (0..6).map(|_| people.mobile(dice)).collect() };
    let cheap = &VENUES[dice.between(VENUES.len() as i64 / 2, VENUES.len() as i64 - 1) as usize];
    let slot = some_slot(cheap, day + dice.between(2, 20), dice);
    let left = dice.between(manner.cards.0, manner.cards.1);
    let mut tester = Tester { manner, left, used: 0, tried_on_hold: 0, parties: Parties::default(), slot, hold: 0, blocked: 0, networks };
    tester.change_skin(dice);
    (at_us, Box::new(tester))
}

impl Tester {
    fn change_skin(&mut self, dice: &mut Dice) {
        let network = self.networks[dice.between(0, self.networks.len() as i64 - 1) as usize];
        self.parties = Parties { buyer: Some(dice.next()), device: Some(dice.next()), network: Some(network), ..Parties::default() };
    }

    fn ask(&self, tag: u32, at_us: i64, parties: Parties, action: Action) -> Vec<Wish> {
        vec![Wish { at_us, tag, want: Want::Ask { channel: Channel::Web, parties, action, harmful: true } }]
    }

    fn hold(&mut self, now_us: i64, dice: &mut Dice) -> Vec<Wish> {
        if self.left <= 0 {
            return Vec::new();
        }
        self.tried_on_hold = 0;
        let party = Party { full: 1, ..Party::default() };
        let at_us = now_us + dice.between(2, 10) * SECOND_US;
        self.ask(HOLD, at_us, self.parties, Action::Hold { slot: self.slot, party })
    }

    fn try_card(&mut self, now_us: i64, dice: &mut Dice) -> Vec<Wish> {
        if self.left <= 0 {
            return Vec::new();
        }
        self.left -= 1;
        self.used += 1;
        self.tried_on_hold += 1;
        if self.used.is_multiple_of(ADDRESS_FOR) {
            self.parties.buyer = Some(dice.next());
        }
        let at_us = now_us + dice.between(self.manner.pause_s.0, self.manner.pause_s.1) * SECOND_US;
        let parties = Parties { card: Some(dice.next()), ..self.parties };
        self.ask(PAY, at_us, parties, Action::Pay { hold: self.hold, accepted: dice.chance(WORKS) })
    }

    fn go_on(&mut self, now_us: i64, dice: &mut Dice) -> Vec<Wish> {
        if self.used >= self.manner.worn_after {
            self.used = 0;
            self.change_skin(dice);
            return self.hold(now_us, dice);
        }
        if self.tried_on_hold >= CARDS_PER_HOLD { self.hold(now_us, dice) } else { self.try_card(now_us, dice) }
    }
}

impl Agent for Tester {
    fn step(&mut self, now_us: i64, told: Told, dice: &mut Dice) -> Vec<Wish> {
        match told {
            Told::Woken { .. } => self.hold(now_us, dice),
            Told::Answer { tag: HOLD, intent, happened: Happened::Done } => {
                self.hold = intent;
                self.try_card(now_us, dice)
            }
            Told::Answer { tag: HOLD, happened: Happened::Refused(Refusal::Full | Refusal::NotOnSale), .. } => {
                self.slot = self.slot.beside(1);
                self.hold(now_us, dice)
            }
            // A card that works is noted; the hold is a sale now.
            Told::Answer { tag: PAY, happened: Happened::Done | Happened::Refused(_), .. } => {
                self.tried_on_hold = CARDS_PER_HOLD;
                self.go_on(now_us, dice)
            }
            Told::Answer { tag: PAY, happened: Happened::Declined, .. } => self.go_on(now_us, dice),
            Told::Answer { happened: Happened::Blocked, .. } => {
                self.blocked += 1;
                if self.blocked > GIVES_UP_AFTER {
                    return Vec::new();
                }
                if self.manner.worn_after != u32::MAX {
                    self.used = 0;
                    self.change_skin(dice);
                }
                self.hold(now_us + dice.between(60, 300) * SECOND_US, dice)
            }
            Told::Answer { .. } => Vec::new(),
        }
    }
}
