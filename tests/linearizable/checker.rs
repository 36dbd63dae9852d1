//! Whether a history of one slot is linearizable: whether what clients were answered could have happened one thing after the other, each at some moment between
//! its question and its answer. The search is that of Wing and Gong with a memory of what was tried: of what may have come first, one is taken, as long as its
//! answer is what a slot in that state gives. The slot here is as naive as can be and shares nothing with the engine.

use std::collections::{BTreeMap, HashSet};

/// What a client asked of the slot. Holds and sales are known by the place of the call that made them in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Hold {
        people: u32,
    },
    Release {
        hold: usize,
    },
    Confirm {
        hold: usize,
    },
    Sell {
        people: u32,
    },
    Cancel {
        sale: usize,
    },
    /// The slot's counters.
    Read,
    /// Whether a hold lives.
    Look {
        hold: usize,
    },
}

/// What it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Done,
    Refused,
    /// There are too few places: so many are left.
    TooFew {
        available: u32,
    },
    Counters {
        held: u32,
        sold: u32,
    },
}

/// A call with its answer. The numbers come from one counter for all clients.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    pub call: Call,
    /// None: the client does not know. It may have been done at any time after it was asked, or never.
    pub answer: Option<Answer>,
    pub asked: u64,
    pub answered: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Slot {
    held: u32,
    sold: u32,
    /// The people of every hold that lives, and of every sale that stands.
    holds: BTreeMap<usize, u32>,
    sales: BTreeMap<usize, u32>,
}

impl Slot {
    /// The answer to call number `number` of the history, and what becomes of the slot.
    fn asked(&self, capacity: u32, number: usize, call: Call) -> (Answer, Self) {
        let mut next = self.clone();
        let free = capacity - self.held - self.sold;
        let done = match call {
            Call::Hold { people } | Call::Sell { people } if people > free => return (Answer::TooFew { available: free }, next),
            Call::Hold { people } => next.holds.insert(number, people).is_none(),
            Call::Sell { people } => next.sales.insert(number, people).is_none(),
            Call::Release { hold } => next.holds.remove(&hold).is_some(),
            Call::Confirm { hold } => next.holds.remove(&hold).is_some_and(|people| next.sales.insert(hold, people).is_none()),
            Call::Cancel { sale } => next.sales.remove(&sale).is_some(),
            Call::Look { hold } => next.holds.contains_key(&hold),
            Call::Read => return (Answer::Counters { held: self.held, sold: self.sold }, next),
        };
        (next.held, next.sold) = (next.holds.values().sum(), next.sales.values().sum());
        (if done { Answer::Done } else { Answer::Refused }, next)
    }
}

/// Which operations have been put in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Taken(Vec<u64>);

impl Taken {
    fn has(&self, number: usize) -> bool {
        self.0[number / 64] & (1 << (number % 64)) != 0
    }

    fn with(&self, number: usize) -> Self {
        let mut taken = self.clone();
        taken.0[number / 64] |= 1 << (number % 64);
        taken
    }
}

/// Whether an order can be found for a slot of so many places where nothing is taken at first.
pub fn is_linearizable(capacity: u32, history: &[Operation]) -> bool {
    let mut tried = HashSet::new();
    let mut ahead = vec![(Taken(vec![0; history.len().div_ceil(64)]), Slot::default())];
    while let Some((taken, slot)) = ahead.pop() {
        let open = || history.iter().enumerate().filter(|(number, _)| !taken.has(*number));
        // Nothing may be put before what was answered before it was asked.
        let Some(first_answer) = open().filter(|(_, operation)| operation.answer.is_some()).map(|(_, operation)| operation.answered).min() else {
            return true;
        };
        for (number, operation) in open().filter(|(_, operation)| operation.asked < first_answer) {
            let (answer, next) = slot.asked(capacity, number, operation.call);
            // What nobody knows to be done counts only if it does something; else it is the same as never.
            if operation.answer.map_or(answer == Answer::Done, |known| known == answer) {
                let step = (taken.with(number), next);
                if tried.insert(step.clone()) {
                    ahead.push(step);
                }
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Call = Call::Hold { people: 2 };
    const DONE: Option<Answer> = Some(Answer::Done);
    const REFUSED: Option<Answer> = Some(Answer::Refused);

    /// The call, its answer, when it was asked and answered.
    type Line = (Call, Option<Answer>, u64, u64);

    fn counters(held: u32, sold: u32) -> Option<Answer> {
        Some(Answer::Counters { held, sold })
    }

    fn too_few(available: u32) -> Option<Answer> {
        Some(Answer::TooFew { available })
    }

    /// Whether a slot of three places can have answered this.
    fn check(lines: &[Line]) -> bool {
        let history: Vec<Operation> = lines
            .iter()
            .map(|(call, answer, asked, answered)| Operation { call: *call, answer: *answer, asked: *asked, answered: *answered })
            .collect();
        is_linearizable(3, &history)
    }

    #[test]
    fn what_can_have_happened_is_accepted() {
        let right: [&[Line]; 8] = [
            &[],
            &[(HOLD, DONE, 1, 2), (Call::Read, counters(2, 0), 3, 4), (Call::Confirm { hold: 0 }, DONE, 5, 6), (Call::Read, counters(0, 2), 7, 8)],
            // At the same time, in either order.
            &[(HOLD, DONE, 1, 4), (Call::Read, counters(0, 0), 2, 3)],
            &[(HOLD, DONE, 1, 4), (Call::Read, counters(2, 0), 2, 3)],
            &[(HOLD, DONE, 1, 6), (HOLD, too_few(1), 2, 5), (Call::Read, counters(0, 0), 3, 4)],
            &[(HOLD, DONE, 1, 2), (Call::Release { hold: 0 }, DONE, 3, 6), (Call::Confirm { hold: 0 }, REFUSED, 4, 5)],
            // Nobody knows: much later, or never.
            &[(HOLD, None, 1, 0), (Call::Read, counters(0, 0), 3, 4), (Call::Read, counters(2, 0), 5, 6)],
            &[(HOLD, None, 1, 0), (Call::Sell { people: 3 }, DONE, 3, 4), (Call::Cancel { sale: 1 }, DONE, 5, 6)],
        ];
        for (number, history) in right.iter().enumerate() {
            assert!(check(history), "history {number} is right");
        }
    }

    #[test]
    fn what_cannot_have_happened_is_rejected() {
        let wrong: [(&str, &[Line]); 11] = [
            ("oversold", &[(HOLD, DONE, 1, 2), (Call::Sell { people: 2 }, DONE, 3, 4)]),
            ("oversold at the same time", &[(HOLD, DONE, 1, 4), (HOLD, DONE, 2, 3)]),
            ("refused without a reason", &[(HOLD, too_few(1), 1, 2)]),
            ("a wrong number is left", &[(HOLD, DONE, 1, 2), (HOLD, too_few(0), 3, 4)]),
            ("a lost hold", &[(HOLD, DONE, 1, 2), (Call::Look { hold: 0 }, REFUSED, 3, 4)]),
            ("a stale read", &[(HOLD, DONE, 1, 2), (Call::Read, counters(0, 0), 3, 4)]),
            ("a read goes back", &[(HOLD, DONE, 1, 8), (Call::Read, counters(2, 0), 2, 3), (Call::Read, counters(0, 0), 4, 5)]),
            ("a refusal ahead of the counters", &[(HOLD, DONE, 1, 8), (HOLD, too_few(1), 2, 3), (Call::Read, counters(0, 0), 4, 5)]),
            ("ended twice", &[(HOLD, DONE, 1, 2), (Call::Release { hold: 0 }, DONE, 3, 6), (Call::Confirm { hold: 0 }, DONE, 4, 5)]),
            (
                "cancelled twice",
                &[(Call::Sell { people: 1 }, DONE, 1, 2), (Call::Cancel { sale: 0 }, DONE, 3, 6), (Call::Cancel { sale: 0 }, DONE, 4, 5)],
            ),
            ("done and undone by nobody", &[(HOLD, None, 1, 0), (Call::Read, counters(2, 0), 3, 4), (Call::Read, counters(0, 0), 5, 6)]),
        ];
        for (what, history) in wrong {
            assert!(!check(history), "{what}");
        }
    }
}
