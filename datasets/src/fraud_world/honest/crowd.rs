//! Those who buy on the spot at a totem: one machine, hundreds of cards, small amounts, and now and then a card that it cannot read. To a scorer who looks at devices
//! alone they look like somebody who tries stolen cards.

use super::super::dice::Dice;
use super::super::intent::{Action, Channel, Happened, Method, Parties, Party};
use super::super::town::{DAY_S, FIRST_SLOT_S, SECOND_US, SLOT_S, SLOTS_PER_DAY, Slot, day_of};
use super::super::truth::Persona;
use super::super::{Agent, Newcomer, Told, Want, Wish};
use super::{People, day_us, newcomer};

/// Cards that a totem's reader refuses at first: worn chips and wrong numbers, more often than on the web.
const UNREAD: f64 = 0.06;
/// Of those, how many try once more with the same card.
const TRIES_AGAIN: f64 = 0.7;
/// Seconds from the sale to the gate.
const WALKS_S: i64 = 120;

/// What happens at one totem on one day.
struct Kiosk {
    venue: u16,
    kiosk: u64,
    day: i64,
    parties: u32,
    waiting: Vec<(Parties, Slot, Party)>,
}

/// A totem's day.
pub(super) fn kiosk(people: &People, number: u64, day: i64, parties: u32, _dice: &mut Dice) -> Newcomer {
    let kiosk = people.kiosk(number);
    newcomer(day_us(day), Persona::KioskCrowd, Box::new(Kiosk { venue: number as u16 + 1, kiosk, day, parties, waiting: Vec::new() }))
}

/// A first attempt to pay, and one more; the tag is the party's index times four, plus this.
const PAY: u32 = 1;
const AGAIN: u32 = 2;
const LAST: u32 = 3;

impl Agent for Kiosk {
    fn step(&mut self, now_us: i64, told: Told, dice: &mut Dice) -> Vec<Wish> {
        match told {
            Told::Woken { .. } => (0..self.parties).map(|index| self.comes(index, dice)).collect(),
            Told::Answer { tag, intent, happened } => self.answered(tag, intent, happened, now_us, dice),
        }
    }
}

impl Kiosk {
    fn comes(&mut self, index: u32, dice: &mut Dice) -> Wish {
        let after_s = FIRST_SLOT_S + dice.between(0, SLOTS_PER_DAY * SLOT_S - 1_800);
        let slot = Slot::of(self.venue, self.day, (after_s - FIRST_SLOT_S) / SLOT_S);
        let party = Party { full: [1, 2, 3, 4][dice.weighted(&[25, 50, 10, 15])], free: u16::from(dice.chance(0.25)), reduced: 0 };
        let parties = Parties { kiosk: Some(self.kiosk), card: Some(dice.next()), ..Parties::default() };
        self.waiting.push((parties, slot, party));
        let at_us = day_us(self.day) + after_s * SECOND_US;
        self.buy(index, PAY, at_us, !dice.chance(UNREAD))
    }

    fn buy(&self, index: u32, stage: u32, at_us: i64, accepted: bool) -> Wish {
        let (parties, slot, party) = self.waiting[index as usize];
        let action = Action::Buy { slot, party, method: Method::Card, accepted, till: None };
        Wish { at_us, tag: index * 4 + stage, want: Want::Ask { channel: Channel::Kiosk, parties, action, harmful: false } }
    }

    fn answered(&self, tag: u32, sale: u64, happened: Happened, now_us: i64, dice: &mut Dice) -> Vec<Wish> {
        let (index, stage) = (tag / 4, tag % 4);
        match (stage, happened) {
            (PAY | AGAIN, Happened::Done) => {
                let (_, slot, party) = self.waiting[index as usize];
                let gate = dice.between(0, i64::from(slot.venue().gates) - 1) as u8;
                let comes_us = now_us + (dice.wait(WALKS_S) + 20) * SECOND_US;
                let enter = |ticket: u16| Wish {
                    at_us: comes_us + i64::from(ticket) * 6 * SECOND_US,
                    tag: index * 4 + LAST,
                    want: Want::Ask {
                        channel: Channel::Kiosk,
                        parties: Parties::default(),
                        action: Action::Enter { sale, ticket, gate },
                        harmful: false,
                    },
                };
                // Whoever buys at the end of the day comes on that day.
                (0..party.people())
                    .map(enter)
                    .filter(|wish| day_of(wish.at_us) == self.day && wish.at_us < day_us(self.day) + DAY_S * SECOND_US)
                    .collect()
            }
            (PAY, Happened::Declined) if dice.chance(TRIES_AGAIN) => {
                vec![self.buy(index, AGAIN, now_us + dice.between(15, 60) * SECOND_US, true)]
            }
            _ => Vec::new(),
        }
    }
}
