//! A desk and whoever serves there, for one day: opens a till session, sells to those who come, corrects mistakes, counts the drawer. A dishonest one does the same and
//! takes what it can: it sells for cash, voids the sale when the visitor has gone in, and keeps the money; or it takes money and leaves the drawer short.

use super::dice::Dice;
use super::intent::{Action, Channel, Happened, Method, Parties, Party};
use super::town::{BEGINS_S, DAY_S, FIRST_SLOT_S, SECOND_US, SLOT_S, SLOTS_PER_DAY, Slot};
use super::{Agent, Told, Want, Wish};

/// Visitors at a desk who pay with notes and coins.
const CASH: f64 = 0.38;
/// Sales that are mistyped and undone at once: a wrong date, one child too many.
const MISTYPED: f64 = 0.012;
/// How soon a mistake is seen, in seconds.
const SEEN_AFTER_S: (i64, i64) = (20, 180);
/// Drawers that do not count out to the cent: half of them.
const COUNTS_OUT: f64 = 0.5;
/// By how much one is off then, in cents, either way, at most: wrong change.
const OFF_CENTS: i64 = 450;
/// Drawers that are off by a whole note, by mistake.
const NOTE_OFF: f64 = 0.015;
/// Tills are opened a quarter of an hour before the first slot and counted half an hour after the last has begun.
const OPENS_S: i64 = FIRST_SLOT_S - 900;
const CLOSES_S: i64 = FIRST_SLOT_S + (SLOTS_PER_DAY - 1) * SLOT_S + 1_800;

/// How a dishonest operator steals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Theft {
    /// Voids cash sales of the day in the last half hour, and now and then takes some more from the drawer.
    AtTheEnd,
    /// Voids one now and then soon after it was sold, as if it had been mistyped, and leaves the drawer right.
    Spread,
}

/// Cash sales that one who voids at the end voids of a day.
const VOIDED_AT_END: (i64, i64) = (3, 7);
/// Days on which one also takes from the drawer.
const TAKES: f64 = 0.4;
/// How much, in cents.
const TAKEN_CENTS: (i64, i64) = (2_000, 9_000);
/// Cash sales that one who spreads it voids.
const VOIDED_SPREAD: f64 = 0.16;
/// How long after the sale: when the visitor is inside.
const SPREAD_AFTER_S: (i64, i64) = (240, 2_400);

/// One desk on one day.
pub(super) struct Desk {
    venue: u16,
    operator: u64,
    day: i64,
    parties: u32,
    theft: Option<Theft>,
    till: u64,
    cash_sales: Vec<u64>,
    open: bool,
}

/// The tags of what is asked once; sales have those from [`SALES`] on, two each: odd if it was paid in cash.
const TILL: u32 = 1;
const LAST: u32 = 2;
const CLOSE: u32 = 3;
const STEAL: u32 = 4;
const SALES: u32 = 8;

impl Desk {
    pub(super) const fn honest(venue: u16, operator: u64, day: i64, parties: u32) -> Self {
        Self { venue, operator, day, parties, theft: None, till: 0, cash_sales: Vec::new(), open: false }
    }

    pub(super) fn dishonest(venue: u16, operator: u64, day: i64, parties: u32, theft: Theft) -> Self {
        Self { theft: Some(theft), ..Self::honest(venue, operator, day, parties) }
    }

    const fn at_us(&self, after_s: i64) -> i64 {
        (BEGINS_S + self.day * DAY_S + after_s) * SECOND_US
    }

    fn ask(&self, tag: u32, at_us: i64, card: Option<u64>, action: Action, harmful: bool) -> Wish {
        let parties = match action {
            Action::Enter { .. } => Parties::default(),
            _ => Parties { operator: Some(self.operator), card, ..Parties::default() },
        };
        Wish { at_us, tag, want: Want::Ask { channel: Channel::BoxOffice, parties, action, harmful } }
    }

    fn begin(&self, dice: &mut Dice) -> Vec<Wish> {
        let mut wishes = vec![
            self.ask(TILL, self.at_us(OPENS_S + dice.between(0, 300)), None, Action::OpenTill { venue: self.venue }, false),
            Wish { at_us: self.at_us(CLOSES_S), tag: CLOSE, want: Want::Wake },
        ];
        if self.theft == Some(Theft::AtTheEnd) {
            wishes.push(Wish { at_us: self.at_us(CLOSES_S - 1_500), tag: STEAL, want: Want::Wake });
        }
        for index in 0..self.parties {
            let after_s = dice.between(FIRST_SLOT_S, CLOSES_S - 600);
            wishes.push(Wish { at_us: self.at_us(after_s), tag: SALES + index * 2, want: Want::Wake });
        }
        wishes
    }

    fn sell(&self, tag: u32, now_us: i64, dice: &mut Dice) -> Vec<Wish> {
        if !self.open {
            return Vec::new();
        }
        let after_s = now_us / SECOND_US - BEGINS_S - self.day * DAY_S;
        let slot = Slot::of(self.venue, self.day, ((after_s - FIRST_SLOT_S) / SLOT_S).clamp(0, SLOTS_PER_DAY - 1));
        let party = Party {
            full: [1, 2, 3, 4][dice.weighted(&[25, 52, 8, 15])],
            reduced: u16::from(dice.chance(0.1)),
            free: [0, 1, 2][dice.weighted(&[70, 18, 12])],
        };
        let cash = dice.chance(CASH);
        let (method, card) = if cash { (Method::Cash, None) } else { (Method::Card, Some(dice.next())) };
        vec![self.ask(tag + u32::from(cash), now_us, card, Action::Buy { slot, party, method, accepted: true, till: Some(self.till) }, false)]
    }

    fn sold(&mut self, sale: u64, cash: bool, now_us: i64, dice: &mut Dice) -> Vec<Wish> {
        if dice.chance(MISTYPED) {
            let seen_us = now_us + dice.between(SEEN_AFTER_S.0, SEEN_AFTER_S.1) * SECOND_US;
            return vec![self.ask(LAST, seen_us, None, Action::Void { sale }, false)];
        }
        let entered_us = now_us + dice.between(60, 600) * SECOND_US;
        let mut wishes = vec![self.ask(LAST, entered_us, None, Action::Enter { sale, ticket: 0, gate: 0 }, false)];
        if cash && self.theft == Some(Theft::Spread) && dice.chance(VOIDED_SPREAD) {
            // Tickets that were let in are used and cannot be voided: the thief waves these visitors through.
            let after_s = dice.between(SPREAD_AFTER_S.0, SPREAD_AFTER_S.1);
            let at_us = (now_us + after_s * SECOND_US).min(self.at_us(CLOSES_S - 60));
            return vec![self.ask(LAST, at_us, None, Action::Void { sale }, true)];
        }
        if cash && self.theft == Some(Theft::AtTheEnd) {
            self.cash_sales.push(sale);
            // Kept from the gate for the same reason, until it is known which are voided.
            wishes.clear();
        }
        wishes
    }

    fn steal(&self, now_us: i64, dice: &mut Dice) -> Vec<Wish> {
        let count = dice.between(VOIDED_AT_END.0, VOIDED_AT_END.1) as usize;
        let void = |sale: &u64| self.ask(LAST, now_us + dice.between(0, 1_200) * SECOND_US, None, Action::Void { sale: *sale }, true);
        self.cash_sales.iter().rev().take(count).map(void).collect()
    }

    fn close(&self, now_us: i64, dice: &mut Dice) -> Vec<Wish> {
        if !self.open {
            return Vec::new();
        }
        let mut difference_cents = if dice.chance(COUNTS_OUT) { 0 } else { dice.between(-OFF_CENTS, OFF_CENTS) / 5 * 5 };
        if dice.chance(NOTE_OFF) {
            difference_cents -= [500, 1_000, 2_000][dice.weighted(&[3, 2, 1])];
        }
        let takes = self.theft == Some(Theft::AtTheEnd) && dice.chance(TAKES);
        if takes {
            difference_cents -= dice.between(TAKEN_CENTS.0, TAKEN_CENTS.1);
        }
        vec![self.ask(LAST, now_us, None, Action::CloseTill { till: self.till, difference_cents }, takes)]
    }
}

impl Agent for Desk {
    fn step(&mut self, now_us: i64, told: Told, dice: &mut Dice) -> Vec<Wish> {
        match told {
            Told::Woken { tag: 0 } => self.begin(dice),
            Told::Woken { tag: CLOSE } => self.close(now_us, dice),
            Told::Woken { tag: STEAL } => self.steal(now_us, dice),
            Told::Woken { tag } => self.sell(tag, now_us, dice),
            Told::Answer { tag: TILL, intent, happened: Happened::Done } => {
                (self.till, self.open) = (intent, true);
                Vec::new()
            }
            Told::Answer { tag, intent, happened: Happened::Done } if tag >= SALES => self.sold(intent, tag % 2 == 1, now_us, dice),
            Told::Answer { .. } => Vec::new(),
        }
    }
}
