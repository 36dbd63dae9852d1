//! Whether a history of one slot is linearizable: whether what clients were answered could have happened one thing after the other, each at some moment between
//! its question and its answer. The search is that of Wing and Gong with a memory of what was tried: of what may have come first, one is taken, as long as its
//! answer is what a slot in that state gives. The slot here is as naive as can be and shares nothing with the engine.
//!
//! A hold ends by itself once its time is up, at any moment from then on: nobody asks for that, so it is a step of its own, taken wherever it is needed. Its time is known
//! only as far as the clock was when it was asked for and when that was answered; whoever asks for something when a time is up for sure finds the hold ended.

use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Seconds for which a hold lives, and for which it lives longer when that is asked for, once.
const HOLD_TTL_S: i64 = 900;
const EXTEND_S: i64 = 600;

/// What a client asked of the slot. Holds and sales are known by the place of the call that made them in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Hold {
        people: u32,
    },
    Extend {
        hold: usize,
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
    SetCapacity {
        capacity: u32,
    },
    Admit {
        sale: usize,
        ticket: usize,
    },
    Exit {
        sale: usize,
        ticket: usize,
    },
    /// The slot's counters.
    Read,
    /// Whether a hold lives.
    Look {
        hold: usize,
    },
    /// So many seconds pass.
    Pass {
        seconds: i64,
    },
    /// What was due has ended.
    Settle,
}

impl Call {
    /// Whether it asks for a change, under a key: then it is done once however often it is asked for.
    pub const fn changes(self) -> bool {
        !matches!(self, Self::Read | Self::Look { .. } | Self::Pass { .. } | Self::Settle)
    }
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
        capacity: u32,
        /// How many were let in, and are inside; none where gates are told before it is written.
        visitors: Option<(u32, u32)>,
    },
}

/// A call with its answer. The numbers come from one counter for all clients.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    pub call: Call,
    /// The place of the first call under the same key.
    pub first: usize,
    /// None: the client does not know. It may have been done at any time after it was asked, or never.
    pub answer: Option<Answer>,
    pub asked: u64,
    pub answered: u64,
    /// What the clock said before it was asked, and after it was answered, in seconds.
    pub clock: (i64, i64),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Hold {
    people: u32,
    extended: bool,
    /// From when on it may have ended by itself, and from when on it has for sure.
    ends: (i64, i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Ticket {
    Valid,
    Inside,
    Outside,
    Cancelled,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Slot {
    now: i64,
    capacity: u32,
    holds: BTreeMap<usize, Hold>,
    sales: BTreeMap<usize, Vec<Ticket>>,
    /// The calls that were done: whoever asks for one again is answered the same.
    done: BTreeSet<usize>,
}

impl Slot {
    fn held(&self) -> u32 {
        self.holds.values().map(|hold| hold.people).sum()
    }

    fn tickets(&self, is_meant: impl Fn(Ticket) -> bool) -> u32 {
        self.sales.values().flatten().filter(|ticket| is_meant(**ticket)).count() as u32
    }

    fn sold(&self) -> u32 {
        self.tickets(|ticket| ticket != Ticket::Cancelled)
    }

    /// The answer to an operation, and what becomes of the slot; none if it cannot be answered before something that is due has ended.
    fn asked(&self, operation: &Operation) -> Option<(Answer, Self)> {
        let (number, now) = (operation.first, operation.clock.0);
        let mut next = self.clone();
        if operation.call.changes() {
            if self.done.contains(&number) {
                return Some((Answer::Done, next));
            }
            // Whatever the slot writes, it first ends what is due. But a gate may have been told by itself, while the journal does not write: that is written later.
            let at_gate = matches!(operation.call, Call::Admit { .. } | Call::Exit { .. });
            if !at_gate && self.holds.values().any(|hold| hold.ends.1 <= now) {
                return None;
            }
            next.done.insert(number);
        }
        let free = self.capacity.saturating_sub(self.held() + self.sold());
        let done = match operation.call {
            Call::Hold { people } | Call::Sell { people } if people > free => return Some((Answer::TooFew { available: free }, self.clone())),
            Call::Hold { people } => {
                let ends = (operation.clock.0.saturating_add(HOLD_TTL_S), operation.clock.1.saturating_add(HOLD_TTL_S));
                next.holds.insert(number, Hold { people, extended: false, ends }).is_none()
            }
            Call::Sell { people } => next.sales.insert(number, vec![Ticket::Valid; people as usize]).is_none(),
            Call::Extend { hold } => next.holds.get_mut(&hold).filter(|hold| !hold.extended).is_some_and(|hold| {
                hold.extended = true;
                hold.ends = (hold.ends.0.saturating_add(EXTEND_S), hold.ends.1.saturating_add(EXTEND_S));
                true
            }),
            Call::Release { hold } => next.holds.remove(&hold).is_some(),
            Call::Confirm { hold } => {
                let sold = next.holds.remove(&hold).map(|hold| vec![Ticket::Valid; hold.people as usize]);
                sold.is_some_and(|tickets| next.sales.insert(hold, tickets).is_none())
            }
            Call::Cancel { sale } => {
                let mut standing: Vec<&mut Ticket> =
                    next.sales.get_mut(&sale).into_iter().flatten().filter(|ticket| **ticket == Ticket::Valid).collect();
                standing.iter_mut().for_each(|ticket| **ticket = Ticket::Cancelled);
                !standing.is_empty()
            }
            Call::SetCapacity { capacity } => {
                next.capacity = capacity;
                true
            }
            Call::Admit { sale, ticket } => next.turn(sale, ticket, Ticket::Valid, Ticket::Inside),
            Call::Exit { sale, ticket } => next.turn(sale, ticket, Ticket::Inside, Ticket::Outside),
            Call::Look { hold } => next.holds.contains_key(&hold),
            Call::Read => {
                let visitors =
                    (self.tickets(|ticket| matches!(ticket, Ticket::Inside | Ticket::Outside)), self.tickets(|ticket| ticket == Ticket::Inside));
                let is_told = matches!(operation.answer, Some(Answer::Counters { visitors: None, .. }));
                let visitors = (!is_told).then_some(visitors);
                return Some((Answer::Counters { held: self.held(), sold: self.sold(), capacity: self.capacity, visitors }, next));
            }
            Call::Pass { seconds } => {
                next.now += seconds;
                true
            }
            Call::Settle => self.holds.values().all(|hold| hold.ends.1 > now),
        };
        Some(if done { (Answer::Done, next) } else { (Answer::Refused, self.clone()) })
    }

    fn turn(&mut self, sale: usize, ticket: usize, from: Ticket, to: Ticket) -> bool {
        let ticket = self.sales.get_mut(&sale).and_then(|tickets| tickets.get_mut(ticket)).filter(|ticket| **ticket == from);
        ticket.is_some_and(|ticket| {
            *ticket = to;
            true
        })
    }

    /// The slot after each hold that may have ended by now.
    fn ended(&self) -> impl Iterator<Item = Self> {
        let due = self.holds.iter().filter(|(_, hold)| hold.ends.0 <= self.now).map(|(number, _)| *number);
        due.map(|number| {
            let mut next = self.clone();
            next.holds.remove(&number);
            next
        })
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

/// Whether an order can be found for a slot of so many places where nothing is taken at first, when the clock says `now`.
pub fn is_linearizable(capacity: u32, now: i64, history: &[Operation]) -> bool {
    let slot = Slot { now, capacity, holds: BTreeMap::new(), sales: BTreeMap::new(), done: BTreeSet::new() };
    let mut tried = HashSet::new();
    let mut ahead = vec![(Taken(vec![0; history.len().div_ceil(64)]), slot)];
    while let Some((taken, slot)) = ahead.pop() {
        let open = || history.iter().enumerate().filter(|(number, _)| !taken.has(*number));
        // Nothing may be put before what was answered before it was asked.
        let Some(first_answer) = open().filter(|(_, operation)| operation.answer.is_some()).map(|(_, operation)| operation.answered).min() else {
            return true;
        };
        for next in slot.ended() {
            let step = (taken.clone(), next);
            if tried.insert(step.clone()) {
                ahead.push(step);
            }
        }
        for (number, operation) in open().filter(|(_, operation)| operation.asked < first_answer) {
            let Some((answer, next)) = slot.asked(operation) else { continue };
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
    const SELL: Call = Call::Sell { people: 2 };
    const DONE: Option<Answer> = Some(Answer::Done);
    const REFUSED: Option<Answer> = Some(Answer::Refused);

    /// The call, its answer, when it was asked and answered.
    type Line = (Call, Option<Answer>, u64, u64);

    fn counters(held: u32, sold: u32) -> Option<Answer> {
        Some(Answer::Counters { held, sold, capacity: 3, visitors: None })
    }

    fn visitors(sold: u32, admitted: u32, inside: u32) -> Option<Answer> {
        Some(Answer::Counters { held: 0, sold, capacity: 3, visitors: Some((admitted, inside)) })
    }

    fn too_few(available: u32) -> Option<Answer> {
        Some(Answer::TooFew { available })
    }

    const fn admit(ticket: usize) -> Call {
        Call::Admit { sale: 0, ticket }
    }

    /// Whether a slot of three places can have answered this. The clock says what has passed by calls that were answered; `again` repeats an earlier call.
    fn check_with(lines: &[Line], again: &[(usize, usize)]) -> bool {
        let passed = |before: u64, by_asked: bool| -> i64 {
            let seconds = |(call, _, asked, answered): &Line| match call {
                Call::Pass { seconds } if (if by_asked { *asked } else { *answered }) < before => *seconds,
                _ => 0,
            };
            lines.iter().map(seconds).sum()
        };
        let history: Vec<Operation> = lines
            .iter()
            .enumerate()
            .map(|(number, (call, answer, asked, answered))| {
                let first = again.iter().find(|(repeat, _)| *repeat == number).map_or(number, |(_, first)| *first);
                let until = if answer.is_some() { passed(*answered, true) } else { i64::MAX };
                Operation { call: *call, first, answer: *answer, asked: *asked, answered: *answered, clock: (passed(*asked, false), until) }
            })
            .collect();
        is_linearizable(3, 0, &history)
    }

    fn check(lines: &[Line]) -> bool {
        check_with(lines, &[])
    }

    #[test]
    fn what_can_have_happened_is_accepted() {
        let pass = |seconds| Call::Pass { seconds };
        let right: [&[Line]; 16] = [
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
            // Time is up: the counters show it a little later, whoever asks for something finds it.
            &[(HOLD, DONE, 1, 2), (pass(900), DONE, 3, 4), (Call::Read, counters(2, 0), 5, 6), (HOLD, DONE, 7, 8), (Call::Settle, DONE, 9, 10)],
            &[(HOLD, DONE, 1, 2), (pass(900), DONE, 3, 6), (Call::Confirm { hold: 0 }, DONE, 4, 5), (Call::Settle, DONE, 7, 8)],
            // A gate was told while the journal did not write: the hold whose time is up still counts.
            &[
                (Call::Sell { people: 1 }, DONE, 1, 2),
                (HOLD, DONE, 3, 4),
                (pass(900), DONE, 5, 6),
                (Call::Admit { sale: 0, ticket: 0 }, DONE, 7, 8),
                (Call::Read, counters(2, 1), 9, 10),
            ],
            &[
                (HOLD, DONE, 1, 2),
                (Call::Extend { hold: 0 }, DONE, 3, 4),
                (pass(1_400), DONE, 5, 6),
                (Call::Settle, DONE, 7, 8),
                (Call::Confirm { hold: 0 }, DONE, 9, 10),
            ],
            &[(Call::SetCapacity { capacity: 1 }, DONE, 1, 4), (HOLD, too_few(1), 2, 3)],
            &[(SELL, DONE, 1, 2), (Call::SetCapacity { capacity: 1 }, DONE, 3, 4), (HOLD, too_few(0), 5, 6)],
            &[(SELL, DONE, 1, 2), (admit(0), DONE, 3, 6), (admit(0), REFUSED, 4, 5), (Call::Read, visitors(2, 1, 1), 7, 8)],
            &[
                (SELL, DONE, 1, 2),
                (admit(1), DONE, 3, 4),
                (Call::Exit { sale: 0, ticket: 1 }, DONE, 5, 6),
                (Call::Cancel { sale: 0 }, DONE, 7, 8),
                (Call::Read, visitors(1, 1, 0), 9, 10),
            ],
        ];
        for (number, history) in right.iter().enumerate() {
            assert!(check(history), "history {number} is right");
        }
    }

    #[test]
    fn a_call_is_done_once_however_often_it_is_asked_for() {
        let (confirm, read) = (Call::Confirm { hold: 0 }, |held, sold, asked| (Call::Read, counters(held, sold), asked, asked + 1));
        assert!(check_with(&[(HOLD, DONE, 1, 2), (HOLD, DONE, 3, 4), read(2, 0, 5)], &[(1, 0)]));
        assert!(check_with(&[(HOLD, None, 1, 0), (HOLD, DONE, 3, 4), read(2, 0, 5)], &[(1, 0)]), "it was given up, and asked again");
        assert!(check_with(
            &[(HOLD, DONE, 1, 2), (confirm, DONE, 3, 4), (HOLD, DONE, 5, 6), (confirm, DONE, 7, 8), read(0, 2, 9)],
            &[(2, 0), (3, 1)]
        ));
        assert!(check_with(
            &[(Call::Sell { people: 3 }, DONE, 1, 2), (HOLD, too_few(0), 3, 4), (Call::Cancel { sale: 0 }, DONE, 5, 6), (HOLD, DONE, 7, 8)],
            &[(3, 1)]
        ));
        assert!(!check_with(&[(HOLD, DONE, 1, 2), (HOLD, too_few(1), 3, 4)], &[(1, 0)]), "the repeat is refused");
        assert!(!check_with(&[(HOLD, None, 1, 0), (HOLD, DONE, 3, 4), read(0, 0, 5)], &[(1, 0)]), "a repeat that does nothing");
        assert!(
            !check_with(&[(Call::Sell { people: 1 }, DONE, 1, 2), (Call::Sell { people: 1 }, DONE, 3, 4), read(0, 2, 5)], &[(1, 0)]),
            "sold twice"
        );
    }

    #[test]
    fn what_cannot_have_happened_is_rejected() {
        let pass = |seconds| Call::Pass { seconds };
        let wrong: [(&str, &[Line]); 20] = [
            ("oversold", &[(HOLD, DONE, 1, 2), (SELL, DONE, 3, 4)]),
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
            ("ended before its time", &[(HOLD, DONE, 1, 2), (pass(899), DONE, 3, 4), (Call::Look { hold: 0 }, REFUSED, 5, 6)]),
            ("sold after its time", &[(HOLD, DONE, 1, 2), (pass(900), DONE, 3, 4), (Call::Confirm { hold: 0 }, DONE, 5, 6)]),
            ("its places are not there after its time", &[(HOLD, DONE, 1, 2), (pass(900), DONE, 3, 4), (HOLD, too_few(1), 5, 6)]),
            (
                "the counters never show its end",
                &[(HOLD, DONE, 1, 2), (pass(900), DONE, 3, 4), (Call::Settle, DONE, 5, 6), (Call::Read, counters(2, 0), 7, 8)],
            ),
            ("extended twice", &[(HOLD, DONE, 1, 2), (Call::Extend { hold: 0 }, DONE, 3, 4), (Call::Extend { hold: 0 }, DONE, 5, 6)]),
            ("not extended", &[(HOLD, DONE, 1, 2), (Call::Extend { hold: 0 }, DONE, 3, 4), (pass(900), DONE, 5, 6), (HOLD, DONE, 7, 8)]),
            ("more than the capacity", &[(Call::SetCapacity { capacity: 1 }, DONE, 1, 2), (HOLD, DONE, 3, 4)]),
            ("let in twice", &[(SELL, DONE, 1, 2), (admit(0), DONE, 3, 6), (admit(0), DONE, 4, 5)]),
            ("let in on a ticket that was cancelled", &[(SELL, DONE, 1, 2), (Call::Cancel { sale: 0 }, DONE, 3, 4), (admit(1), DONE, 5, 6)]),
        ];
        for (what, history) in wrong {
            assert!(!check(history), "{what}");
        }
    }
}
