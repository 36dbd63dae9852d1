//! A bot that hoards: it holds the places of a sought-after day as soon as they open, lets the holds expire and takes the places again at once, for hours, so that nobody
//! else gets them while its owner finds customers. It buys the few that are asked for. Nothing is paid for the rest: the hold costs nothing.

use super::super::dice::Dice;
use super::super::honest::People;
use super::super::intent::{Action, Channel, Happened, Parties, Party, Refusal};
use super::super::town::{HOLD_S, SECOND_US, Slot};
use super::super::truth::Variant;
use super::super::{Agent, Told, Want, Wish};
use super::{OPENING_S, OPENING_STEP_S, opening_day, opening_slots, time_us};

/// How a bot goes about it.
#[derive(Debug, Clone, Copy)]
struct Manner {
    /// Slots that it keeps.
    slots: (i64, i64),
    /// People of one hold: as many as it dares.
    people: (i64, i64),
    /// How long it goes on, in seconds.
    lasts_s: (i64, i64),
    /// Identities at a time.
    identities: i64,
    /// Holds after which an identity is thrown away.
    worn_after: u32,
    /// Seconds from an expiry to the next hold.
    pause_s: (i64, i64),
    /// Seconds until it tries again where all is taken.
    polls_s: (i64, i64),
}

/// Fast, from a few browsers in one place.
const PLAIN: Manner =
    Manner { slots: (6, 12), people: (6, 10), lasts_s: (10_000, 20_000), identities: 3, worn_after: u32::MAX, pause_s: (0, 3), polls_s: (15, 60) };
/// Slow enough to look like people, with browsers that are thrown away and addresses of many networks.
const ADAPTIVE: Manner =
    Manner { slots: (5, 8), people: (3, 6), lasts_s: (18_000, 30_000), identities: 6, worn_after: 4, pause_s: (60, 900), polls_s: (200, 700) };
/// Holds that are bought because a customer was found.
const BUYS: f64 = 0.03;
/// How long it is told to wait after a rule's refusal.
const WAITS_S: (i64, i64) = (60, 240);
/// Refusals by rules after which it gives a slot up.
const GIVES_UP_AFTER: u8 = 6;
/// Networks of homes that one can rent, per campaign that changes them.
const RENTED: i64 = 10;

struct Target {
    slot: Slot,
    identity: usize,
    blocked: u8,
}

struct Hoarder {
    manner: Manner,
    until_us: i64,
    targets: Vec<Target>,
    identities: Vec<(Parties, u32)>,
    networks: Vec<u64>,
}

/// What a wish was for: the target's index times four, plus this.
const HOLD: u32 = 1;
const LAST: u32 = 2;

pub(super) fn campaign(variant: Variant, day: i64, people: &People, dice: &mut Dice) -> (i64, Box<dyn Agent>) {
    let manner = if variant == Variant::Plain { PLAIN } else { ADAPTIVE };
    let day = opening_day(day);
    let slots = opening_slots(day, dice.between(manner.slots.0, manner.slots.1) as usize, dice);
    // There before the first of them opens.
    let first_us = slots.iter().map(Slot::opens_s).min().unwrap_or(0) * SECOND_US;
    let at_us = first_us.max(time_us(day, OPENING_S)) - dice.between(0, OPENING_STEP_S / 60) * SECOND_US;
    let networks = match variant {
        Variant::Plain => vec![dice.next()],
        Variant::Adaptive => (0..RENTED).map(|index| if index % 2 == 0 { people.mobile(dice) } else { dice.next() }).collect(),
    };
    let until_us = at_us + dice.between(manner.lasts_s.0, manner.lasts_s.1) * SECOND_US;
    let targets = slots.into_iter().zip(0..).map(|(slot, index)| Target { slot, identity: index % manner.identities as usize, blocked: 0 }).collect();
    let mut hoarder = Hoarder { manner, until_us, targets, identities: Vec::new(), networks };
    hoarder.identities = (0..manner.identities).map(|_| (hoarder.fresh(dice), 0)).collect();
    (at_us, Box::new(hoarder))
}

impl Hoarder {
    fn fresh(&self, dice: &mut Dice) -> Parties {
        let network = self.networks[dice.between(0, self.networks.len() as i64 - 1) as usize];
        Parties { buyer: Some(dice.next()), device: Some(dice.next()), card: Some(dice.next()), network: Some(network), ..Parties::default() }
    }

    fn hold(&mut self, index: usize, at_us: i64, dice: &mut Dice) -> Option<Wish> {
        let target = self.targets.get(index)?;
        let (slot, identity) = (target.slot, target.identity);
        let at_us = at_us.max(slot.opens_s() * SECOND_US + dice.between(1, 20) * SECOND_US / 10);
        if at_us >= self.until_us {
            return None;
        }
        self.identities[identity].1 += 1;
        if self.identities[identity].1 > self.manner.worn_after {
            self.identities[identity] = (self.fresh(dice), 1);
        }
        let mut parties = self.identities[identity].0;
        parties.card = None;
        let party = Party { full: dice.between(self.manner.people.0, self.manner.people.1) as u16, ..Party::default() };
        let action = Action::Hold { slot, party };
        Some(Wish { at_us, tag: index as u32 * 4 + HOLD, want: Want::Ask { channel: Channel::Web, parties, action, harmful: true } })
    }

    fn held(&mut self, index: usize, now_us: i64, hold: u64, dice: &mut Dice) -> Vec<Wish> {
        self.targets[index].blocked = 0;
        let again_us = now_us + (HOLD_S + 1 + dice.between(self.manner.pause_s.0, self.manner.pause_s.1)) * SECOND_US;
        let mut wishes: Vec<Wish> = self.hold(index, again_us, dice).into_iter().collect();
        if dice.chance(BUYS) {
            let parties = self.identities[self.targets[index].identity].0;
            let action = Action::Pay { hold, accepted: true };
            let at_us = now_us + dice.between(30, 600) * SECOND_US;
            wishes.push(Wish { at_us, tag: index as u32 * 4 + LAST, want: Want::Ask { channel: Channel::Web, parties, action, harmful: true } });
        }
        wishes
    }
}

impl Agent for Hoarder {
    fn step(&mut self, now_us: i64, told: Told, dice: &mut Dice) -> Vec<Wish> {
        let seconds = |(low, high): (i64, i64), dice: &mut Dice| dice.between(low, high) * SECOND_US;
        match told {
            Told::Woken { .. } => (0..self.targets.len()).filter_map(|index| self.hold(index, now_us, dice)).collect(),
            Told::Answer { tag, intent, happened } if tag % 4 == HOLD => {
                let index = (tag / 4) as usize;
                match happened {
                    Happened::Done => self.held(index, now_us, intent, dice),
                    Happened::Blocked => {
                        self.targets[index].blocked += 1;
                        if self.targets[index].blocked > GIVES_UP_AFTER {
                            return Vec::new();
                        }
                        if self.manner.worn_after != u32::MAX {
                            let fresh = self.fresh(dice);
                            self.identities[self.targets[index].identity] = (fresh, 0);
                        }
                        let at_us = now_us + seconds(WAITS_S, dice);
                        self.hold(index, at_us, dice).into_iter().collect()
                    }
                    Happened::Refused(Refusal::Full | Refusal::NotOnSale) => {
                        let at_us = now_us + seconds(self.manner.polls_s, dice);
                        self.hold(index, at_us, dice).into_iter().collect()
                    }
                    _ => Vec::new(),
                }
            }
            Told::Answer { .. } => Vec::new(),
        }
    }
}
