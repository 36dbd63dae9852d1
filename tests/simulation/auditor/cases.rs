//! What analysts say of sales: a card for each case, and what is done to tickets because of its last word held against that, wherever they have moved. When it is said to be done, a
//! verdict of fraud has left no ticket free, one of honest none waiting, and one that was taken back none as it had made it: but for what somebody has done by hand since.

use std::collections::BTreeMap;

use tornello_engine::case::{self, Action, Subject, Verdict};
use tornello_engine::ids::{CaseId, HoldId, TicketId};
use tornello_engine::record::Record;
use tornello_engine::slot::{self, FRAUD};
use tornello_engine::time::Timestamp;

use super::super::naive::Stage;
use super::super::rule;
use super::Auditor;

/// A case about a sale.
pub struct Card {
    pub sale: HoldId,
    pub verdict: Option<Verdict>,
    /// What is to be done by the last word.
    pub pending: Option<Action>,
    /// In which batch that was said.
    since: usize,
}

/// In which batch something last happened to a sale or a ticket.
#[derive(Default)]
pub(super) struct Last {
    /// A review began, or came along; and one began anew.
    review: BTreeMap<HoldId, usize>,
    review_anew: BTreeMap<HoldId, usize>,
    cleared_by_hand: BTreeMap<HoldId, usize>,
    blocked_by_hand: BTreeMap<TicketId, usize>,
    lifted_by_hand: BTreeMap<TicketId, usize>,
}

/// What verdicts came to.
#[derive(Debug, Default, Clone, Copy)]
pub struct Said {
    pub verdicts: u64,
    pub taken_back: u64,
    /// Of these words, while tickets moved.
    pub under_way: u64,
    /// How often what follows was done, and where tickets had moved.
    pub followed: u64,
    pub followed_along: u64,
}

impl Auditor {
    pub(super) fn take_case(&mut self, id: CaseId, record: &Record<case::Event>) -> Result<(), String> {
        for event in &record.events {
            match event {
                case::Event::Opened(opened) => {
                    let Subject::Sale(sale) = opened.subject else { return Err("a case is about something that nobody bought".into()) };
                    let card = Card { sale, verdict: None, pending: None, since: self.read };
                    rule(self.cases.insert(id, card).is_none(), "a case is opened twice (CA-1)")?;
                }
                case::Event::Decided(decided) => {
                    self.said.verdicts += 1;
                    self.says(id, Some(decided.verdict))?;
                }
                case::Event::Undone(undone) => {
                    rule(self.card(id)?.verdict == Some(undone.verdict), "a verdict is taken back that does not stand (CA-3)")?;
                    self.said.taken_back += 1;
                    self.says(id, None)?;
                }
                case::Event::Acted(acted) => {
                    rule(self.card(id)?.pending == Some(acted.action), "something is said to be done that no verdict asks for (CA-4)")?;
                    self.has_followed(id, acted.action, record.at)?;
                    if let Some(card) = self.cases.get_mut(&id) {
                        card.pending = None;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn card(&self, id: CaseId) -> Result<&Card, String> {
        self.cases.get(&id).ok_or_else(|| "something is said of a case that nobody opened (CA-1)".to_owned())
    }

    /// A verdict, or that none stands any more.
    fn says(&mut self, id: CaseId, verdict: Option<Verdict>) -> Result<(), String> {
        let Card { sale, verdict: before, pending, .. } = *self.card(id)?;
        let pending = match (verdict, before) {
            (Some(Verdict::Fraud), _) => Some(Action::Block),
            (Some(Verdict::Legit), _) => Some(Action::Clear),
            (None, Some(Verdict::Fraud)) => Some(Action::Unblock),
            (None, Some(Verdict::Legit)) => Some(Action::Review),
            (Some(Verdict::Unsure), _) | (None, Some(Verdict::Unsure) | None) => pending,
        };
        self.said.under_way += u64::from(self.trail(sale).1);
        self.cases.insert(id, Card { sale, verdict, pending, since: self.read });
        Ok(())
    }

    /// A sale, and all that its tickets have become; with whether some are on their way.
    fn trail(&self, sale: HoldId) -> (Vec<HoldId>, bool) {
        let (mut trail, mut at, mut under_way) = (vec![sale], 0, false);
        while let Some(&sale) = trail.get(at) {
            let moves = self.slots.get(&sale.slot()).into_iter().flat_map(|naive| &naive.moves);
            for (arrival, moved) in moves.filter(|(_, moved)| moved.begun.sale == sale) {
                match moved.stage {
                    Stage::Done => trail.push(*arrival),
                    Stage::Begun => under_way = true,
                    Stage::Undone => {}
                }
            }
            at += 1;
        }
        (trail, under_way)
    }

    /// Whether tickets of a case are on their way.
    pub fn is_on_its_way(&self, id: CaseId) -> bool {
        self.cases.get(&id).is_some_and(|card| self.trail(card.sale).1)
    }

    /// A sale, and those that its tickets were of before.
    fn trail_back(&self, sale: HoldId) -> Vec<HoldId> {
        let mut trail = vec![sale];
        // They are where they have arrived, also while the slot that they left has not heard of it.
        let from = |arrival: HoldId| {
            let moved = self.slots.values().find_map(|naive| naive.moves.get(&arrival))?;
            (moved.stage != Stage::Undone).then_some(moved.begun.sale)
        };
        while let Some(before) = trail.last().and_then(|sale| from(*sale)) {
            trail.push(before);
        }
        trail
    }

    /// Whether tickets of a sale wait for what is said in another case than that about `decided`: of them as they are, or of what they were before.
    /// A move that was suspected itself waits also as long as there is no case about it.
    fn waits_beside(&self, sale: HoldId, decided: HoldId) -> bool {
        let is_suspected = |arrival: HoldId| self.slots.values().find_map(|naive| naive.moves.get(&arrival)).is_some_and(|moved| moved.suspected);
        let waits = |other: HoldId| match self.cases.values().find(|card| card.sale == other) {
            Some(card) => card.verdict.is_none(),
            None => is_suspected(other),
        };
        self.trail_back(sale).into_iter().any(|other| other != decided && waits(other))
    }

    /// Whether another case has something to say of the blocks of a sale.
    fn is_said_beside(&self, sale: HoldId, but: CaseId) -> bool {
        let trail = self.trail_back(sale);
        let says = |card: &Card| card.verdict == Some(Verdict::Fraud) || card.pending.is_some();
        self.cases.iter().any(|(id, card)| *id != but && trail.contains(&card.sale) && says(card))
    }

    /// All that follows from the last word of a case is done, as it is said to be.
    fn has_followed(&mut self, id: CaseId, action: Action, at: Timestamp) -> Result<(), String> {
        let &Card { sale: bought, since, .. } = self.card(id)?;
        let (trail, under_way) = self.trail(bought);
        rule(!under_way || action == Action::Unblock, "what follows from a verdict is said to be done while tickets move")?;
        let by_hand = |tickets: &BTreeMap<TicketId, usize>, ticket: TicketId| tickets.get(&ticket).is_some_and(|batch| *batch >= since);
        let has = |sales: &BTreeMap<HoldId, usize>, sale: HoldId| sales.get(&sale).is_some_and(|batch| *batch >= since);
        for &sale in &trail {
            let Some(naive) = self.slots.get(&sale.slot()) else { continue };
            let (at, standing) = (naive.now(at), naive.standing_of(sale));
            let of = |wrong: &str| format!("{wrong}: {sale} after {action:?} of {bought}: {standing:?}");
            if action == Action::Block {
                let free = standing.iter().any(|(ticket, (_, is_fraud, _))| !is_fraud && !by_hand(&self.last.lifted_by_hand, *ticket));
                rule(!free, "a ticket is free that a verdict blocks").map_err(|wrong| of(&wrong))?;
                continue;
            }
            let blocked = naive.fraud_of(sale).into_iter().any(|ticket| !by_hand(&self.last.blocked_by_hand, ticket));
            rule(!blocked || self.is_said_beside(sale, id), "a ticket is blocked for a verdict that does not stand").map_err(|wrong| of(&wrong))?;
            if action == Action::Clear {
                let waits = naive.is_under_review(at, sale) && !self.waits_beside(sale, bought) && !has(&self.last.review_anew, sale);
                rule(!waits, "a ticket waits that a verdict has found honest").map_err(|wrong| of(&wrong))?;
            }
            let stands = sale == bought || standing.iter().any(|(_, (is_blocked, is_fraud, _))| !is_blocked && !is_fraud);
            if action == Action::Review && stands && naive.review_ends(at).is_some() {
                let is_looked_at = has(&self.last.review, sale) || has(&self.last.cleared_by_hand, sale);
                rule(is_looked_at, "a ticket is good though its verdict of honest was taken back").map_err(|wrong| of(&wrong))?;
            }
        }
        self.said.followed += 1;
        self.said.followed_along += u64::from(trail.len() > 1);
        Ok(())
    }

    /// Whether a step that the node takes by itself with tickets follows from the last word of a case.
    pub(super) fn follows(&self, record: &Record<slot::Event>) -> bool {
        let of_case = |event: &slot::Event| {
            let (sale, actions): (HoldId, &[Action]) = match event {
                slot::Event::Blocked(blocked) if blocked.reason.as_str() == FRAUD => (blocked.sale, &[Action::Block]),
                slot::Event::Unblocked(unblocked) => (unblocked.sale, &[Action::Unblock, Action::Clear, Action::Review]),
                slot::Event::BlockLifted(lifted) if lifted.reason.as_str() == FRAUD => {
                    (lifted.sale, &[Action::Unblock, Action::Clear, Action::Review])
                }
                slot::Event::ReviewOpened(opened) => (opened.sale, &[Action::Review]),
                slot::Event::ReviewEnded(ended) if ended.cleared => (ended.sale, &[Action::Clear]),
                _ => return false,
            };
            let ends = matches!(event, slot::Event::ReviewEnded(_));
            let asks = |card: &Card| {
                let is_asked = card.pending.is_some_and(|pending| actions.contains(&pending));
                is_asked && self.trail(card.sale).0.contains(&sale) && !(ends && self.waits_beside(sale, card.sale))
            };
            self.cases.values().any(asks)
        };
        record.events.iter().all(of_case)
    }

    /// Notes what happens to tickets that cases may be about.
    pub(super) fn note_suspects(&mut self, record: &Record<slot::Event>, by_hand: bool) {
        let (batch, last) = (self.read, &mut self.last);
        let arrives = record.events.iter().any(|event| matches!(event, slot::Event::Arrived(_)));
        for event in &record.events {
            match event {
                slot::Event::ReviewOpened(opened) => {
                    last.review.insert(opened.sale, batch);
                    if !arrives {
                        last.review_anew.insert(opened.sale, batch);
                    }
                }
                slot::Event::ReviewEnded(ended) if by_hand => {
                    last.cleared_by_hand.insert(ended.sale, batch);
                }
                slot::Event::Blocked(blocked) if by_hand => {
                    last.blocked_by_hand.extend(blocked.tickets.iter().map(|number| (blocked.sale.ticket(*number), batch)));
                }
                slot::Event::Unblocked(unblocked) if by_hand => {
                    last.lifted_by_hand.extend(unblocked.tickets.iter().map(|number| (unblocked.sale.ticket(*number), batch)));
                }
                slot::Event::BlockLifted(lifted) if by_hand => {
                    last.lifted_by_hand.extend(lifted.tickets.iter().map(|number| (lifted.sale.ticket(*number), batch)));
                }
                _ => {}
            }
        }
    }
}
