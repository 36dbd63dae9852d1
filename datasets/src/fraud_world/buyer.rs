//! Somebody who buys: chooses places, thinks, pays, perhaps gives them back, and comes. The honest and most attackers are this same machine with other purchases in
//! mind, as they are in life; what differs is how many, with which identities, and what they do with the tickets.

use super::dice::Dice;
use super::intent::{Action, Channel, Happened, Parties, Party, Refusal};
use super::town::{SECOND_US, Slot};
use super::{Agent, Told, Want, Wish};

/// How soon somebody looks at another time when one is full, in seconds: the page shows them.
const LOOKS_AGAIN_S: (i64, i64) = (4, 30);
/// How soon somebody tries another card, or the same again, when the bank says no.
const PAYS_AGAIN_S: (i64, i64) = (25, 120);
/// How soon somebody whom a rule refuses tries once more.
const TRIES_AGAIN_S: (i64, i64) = (60, 300);
/// How long one person needs at the gate.
const GATE_S: i64 = 7;
/// When a party comes, after its slot begins: most of it within the first half hour.
const COMES_S: (i64, i64) = (0, 1_900);
/// How soon a gate scans a ticket again that somebody holds up twice, or that a child has handed back.
const SCANNED_AGAIN_S: (i64, i64) = (3, 9);

/// What one wants to buy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Purchase {
    pub(super) at_us: i64,
    pub(super) channel: Channel,
    /// With which identity; the card is shown only when it pays.
    pub(super) parties: Parties,
    pub(super) slot: Slot,
    pub(super) party: Party,
    /// How long from the hold to the payment, in seconds.
    pub(super) thinks_s: i64,
    /// How many other times of the day to try when one is full.
    pub(super) tries: u8,
    /// How often the bank says no before it says yes.
    pub(super) declines: u8,
    /// What happens to the hold.
    pub(super) cart: Cart,
    /// Opens the next slot too in a second tab, and forgets it.
    pub(super) second_tab: bool,
    /// When the tickets are given back, if they are.
    pub(super) refund_at_us: Option<i64>,
    pub(super) visit: Visit,
    /// Whether it hurts to sell this to them.
    pub(super) harmful: bool,
    /// Whether giving it back hurts.
    pub(super) refund_harmful: bool,
    /// Takes a new identity when a rule says no.
    pub(super) changes_skin: bool,
}

/// What becomes of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cart {
    /// It is paid.
    Pays,
    /// It is left to expire; perhaps they come back after so many seconds.
    Left { back_s: Option<i64> },
    /// It is given back.
    Released,
}

/// What becomes of the tickets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Visit {
    /// They come.
    Comes,
    /// They come, and one ticket is scanned again at once.
    ScannedTwice,
    /// Nobody comes.
    NoShow,
    /// They come, and so do others on the same tickets, so many seconds later at another gate; or at once through one without a network, noticed so much later.
    Shared { tickets: u16, after_s: i64, offline: bool },
}

/// How far one purchase is.
#[derive(Debug, Clone, Copy)]
struct Progress {
    purchase: Purchase,
    hold: u64,
    blocked: u8,
}

/// One who buys, once or often.
pub(super) struct Buyer {
    purchases: Vec<Progress>,
}

/// What a wish was for: the purchase's index times eight, plus this.
const BEGIN: u32 = 0;
const HOLD: u32 = 1;
const PAY: u32 = 2;
/// Nothing follows from the answer.
const LAST: u32 = 3;

impl Buyer {
    pub(super) fn new(purchases: Vec<Purchase>) -> Self {
        Self { purchases: purchases.into_iter().map(|purchase| Progress { purchase, hold: 0, blocked: 0 }).collect() }
    }
}

impl Agent for Buyer {
    fn step(&mut self, now_us: i64, told: Told, dice: &mut Dice) -> Vec<Wish> {
        match told {
            // The first waking is the agent's own: every purchase has its time.
            Told::Woken { tag: 0 } => {
                let begin =
                    |(index, progress): (u32, &Progress)| Wish { at_us: progress.purchase.at_us, tag: index * 8 + 8 + BEGIN, want: Want::Wake };
                (0..).zip(&self.purchases).map(begin).collect()
            }
            Told::Woken { tag } | Told::Answer { tag, .. } => {
                let index = tag / 8;
                let Some(progress) = self.purchases.get_mut((index as usize).wrapping_sub(1)) else { return Vec::new() };
                match (tag % 8, told) {
                    (BEGIN, _) => vec![progress.hold(index, now_us)],
                    (HOLD, Told::Answer { intent, happened, .. }) => progress.held(index, now_us, intent, happened, dice),
                    (PAY, Told::Answer { happened, .. }) => progress.paid(index, now_us, happened, dice),
                    _ => Vec::new(),
                }
            }
        }
    }
}

impl Progress {
    fn ask(&self, index: u32, stage: u32, at_us: i64, action: Action, harmful: bool) -> Wish {
        let mut parties = self.purchase.parties;
        match action {
            Action::Pay { .. } | Action::Refund { .. } => {}
            Action::Enter { .. } | Action::Merge { .. } => parties = Parties::default(),
            _ => parties.card = None,
        }
        Wish { at_us, tag: index * 8 + stage, want: Want::Ask { channel: self.purchase.channel, parties, action, harmful } }
    }

    fn hold(&self, index: u32, at_us: i64) -> Wish {
        self.ask(index, HOLD, at_us, Action::Hold { slot: self.purchase.slot, party: self.purchase.party }, self.purchase.harmful)
    }

    fn pay(&self, index: u32, at_us: i64) -> Wish {
        self.ask(index, PAY, at_us, Action::Pay { hold: self.hold, accepted: self.purchase.declines == 0 }, self.purchase.harmful)
    }

    fn held(&mut self, index: u32, now_us: i64, intent: u64, happened: Happened, dice: &mut Dice) -> Vec<Wish> {
        let later = |(low, high): (i64, i64), dice: &mut Dice| now_us + dice.between(low, high) * SECOND_US;
        match happened {
            Happened::Done => {
                self.hold = intent;
                let mut wishes = Vec::new();
                if self.purchase.second_tab {
                    self.purchase.second_tab = false;
                    let beside = Action::Hold { slot: self.purchase.slot.beside(1), party: self.purchase.party };
                    wishes.push(self.ask(index, LAST, later(LOOKS_AGAIN_S, dice), beside, self.purchase.harmful));
                }
                let thought_us = now_us + self.purchase.thinks_s * SECOND_US;
                match self.purchase.cart {
                    Cart::Pays => wishes.push(self.pay(index, thought_us)),
                    Cart::Left { back_s } => {
                        self.purchase.cart = Cart::Pays;
                        wishes.extend(back_s.map(|back_s| self.hold(index, now_us + back_s * SECOND_US)));
                    }
                    Cart::Released => wishes.push(self.ask(index, LAST, thought_us, Action::Release { hold: intent }, false)),
                }
                wishes
            }
            Happened::Refused(Refusal::Full) if self.purchase.tries > 0 => {
                self.purchase.tries -= 1;
                self.purchase.slot = self.purchase.slot.beside(dice.between(1, 3));
                vec![self.hold(index, later(LOOKS_AGAIN_S, dice))]
            }
            Happened::Blocked => self.try_again(index, now_us, dice),
            _ => Vec::new(),
        }
    }

    /// Once, as people do; one who has more identities takes another.
    fn try_again(&mut self, index: u32, now_us: i64, dice: &mut Dice) -> Vec<Wish> {
        self.blocked += 1;
        if self.blocked > 1 {
            return Vec::new();
        }
        if self.purchase.changes_skin {
            let fresh = |party: Option<u64>, dice: &mut Dice| party.map(|_| dice.next());
            let Parties { buyer, device, card, network, .. } = self.purchase.parties;
            self.purchase.parties.buyer = fresh(buyer, dice);
            self.purchase.parties.device = fresh(device, dice);
            self.purchase.parties.card = fresh(card, dice);
            self.purchase.parties.network = fresh(network, dice);
        }
        let wait_s = dice.between(TRIES_AGAIN_S.0, TRIES_AGAIN_S.1);
        vec![self.hold(index, now_us + wait_s * SECOND_US)]
    }

    fn paid(&mut self, index: u32, now_us: i64, happened: Happened, dice: &mut Dice) -> Vec<Wish> {
        match happened {
            Happened::Done => self.sold(index, now_us, dice),
            Happened::Declined if self.purchase.declines > 0 => {
                self.purchase.declines -= 1;
                vec![self.pay(index, now_us + dice.between(PAYS_AGAIN_S.0, PAYS_AGAIN_S.1) * SECOND_US)]
            }
            Happened::Blocked => self.try_again(index, now_us, dice),
            _ => Vec::new(),
        }
    }

    /// What they do with their tickets.
    fn sold(&mut self, index: u32, now_us: i64, dice: &mut Dice) -> Vec<Wish> {
        let Purchase { slot, party, refund_at_us, refund_harmful, .. } = self.purchase;
        if let Some(at_us) = refund_at_us {
            return vec![self.ask(index, LAST, at_us.max(now_us), Action::Refund { sale: self.hold }, refund_harmful)];
        }
        let gates = i64::from(slot.venue().gates);
        let gate = dice.between(0, gates - 1) as u8;
        let comes_us = ((slot.start_s + dice.between(COMES_S.0, COMES_S.1)) * SECOND_US).max(now_us);
        let enter =
            |ticket: u16, gate: u8, at_us: i64, harmful: bool| self.ask(index, LAST, at_us, Action::Enter { sale: self.hold, ticket, gate }, harmful);
        let mut wishes: Vec<Wish> = match self.purchase.visit {
            Visit::NoShow => return Vec::new(),
            _ => (0..party.people()).map(|ticket| enter(ticket, gate, comes_us + i64::from(ticket) * GATE_S * SECOND_US, false)).collect(),
        };
        match self.purchase.visit {
            Visit::ScannedTwice => wishes.push(enter(0, gate, comes_us + dice.between(SCANNED_AGAIN_S.0, SCANNED_AGAIN_S.1) * SECOND_US, false)),
            Visit::Shared { tickets, after_s, offline } => {
                // Another gate where there is one.
                let other = ((i64::from(gate) + 1) % gates) as u8;
                for ticket in 0..tickets.min(party.people()) {
                    let at_us = comes_us + (i64::from(ticket) * GATE_S + after_s) * SECOND_US;
                    wishes.push(if offline {
                        let scanned_us = comes_us + i64::from(ticket) * GATE_S * SECOND_US + 60 * SECOND_US;
                        let action = Action::Merge { sale: self.hold, ticket, gate: other, scanned_us };
                        self.ask(index, LAST, at_us.max(scanned_us), action, true)
                    } else {
                        enter(ticket, other, at_us, true)
                    });
                }
            }
            Visit::Comes | Visit::NoShow => {}
        }
        wishes
    }
}
