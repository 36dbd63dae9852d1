//! Whether a history of one slot is linearizable: whether what clients were answered could have happened one thing after the other, each at some moment between
//! its question and its answer. The search is that of Wing and Gong with a memory of what was tried: of what may have come first, one is taken, as long as its
//! answer is what a slot in that state gives. The slot here is as naive as can be and shares nothing with the engine.
//!
//! A hold ends by itself once its time is up, at any moment from then on: nobody asks for that, so it is a step of its own, taken wherever it is needed. Its time is known
//! only as far as the clock was when it was asked for and when that was answered; whoever asks for something when a time is up for sure finds the hold ended. Whoever looks at
//! the hold itself hears that its time is up from then on; the counters have it until its end is written, which waits for a journal that does not write.
//!
//! While the journal does not write, gates go on by themselves, where it has failed in a history at all: what they tell says so. They know what they told, the slot does
//! not until it is merged, so places given back meanwhile are a conflict then. Each merge is a step of its own too; the slot decides for no gate before the last one.

use std::cmp::Reverse;
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
    /// What gates told by themselves is written.
    Merge,
}

impl Call {
    /// Whether it asks for a change, under a key: then it is done once however often it is asked for.
    pub const fn changes(self) -> bool {
        !matches!(self, Self::Read | Self::Look { .. } | Self::Pass { .. } | Self::Settle | Self::Merge)
    }
}

/// What gates do while the journal does not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gates {
    /// Nothing else than ever: it has always written.
    Ask,
    /// They may have gone on by themselves.
    MayGoOn,
}

/// What it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Done,
    /// Done, by a gate that went on by itself: it is written later.
    Told,
    Refused,
    /// There are too few places: so many are left.
    TooFew {
        available: u32,
    },
    Counters {
        held: u32,
        sold: u32,
        capacity: u32,
        admitted: u32,
        inside: u32,
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

/// What a gate told by itself, and is not written yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Passage {
    number: usize,
    sale: usize,
    ticket: usize,
    to: Ticket,
    /// What the clock said before it was asked.
    since: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Slot {
    now: i64,
    capacity: u32,
    holds: BTreeMap<usize, Hold>,
    sales: BTreeMap<usize, Vec<Ticket>>,
    /// The calls that were done: whoever asks for one again is answered the same.
    done: BTreeSet<usize>,
    /// In the order in which it was told.
    told: Vec<Passage>,
    /// The calls that were told, and could not be done any more when they were merged.
    conflicts: BTreeSet<usize>,
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

    /// The answers that an operation can get, each with what becomes of the slot; none if something must have happened by itself before.
    fn asked(&self, operation: &Operation, gates: Gates) -> Vec<(Answer, Self)> {
        let number = operation.first;
        if self.conflicts.contains(&number) {
            return vec![(Answer::Refused, self.clone())];
        }
        if self.done.contains(&number) {
            // Also what came to be written otherwise than it was told, or was told once more.
            let answers: &[Answer] = if gates == Gates::MayGoOn { &[Answer::Done, Answer::Told] } else { &[Answer::Done] };
            return answers.iter().map(|answer| (*answer, self.clone())).collect();
        }
        if let Call::Look { hold } = operation.call {
            return self.looked_at(hold, operation.clock.0);
        }
        let passage = |sale, ticket, to| Passage { number, sale, ticket, to, since: operation.clock.0 };
        let at_gate = match operation.call {
            Call::Admit { sale, ticket } => Some(passage(sale, ticket, Ticket::Inside)),
            Call::Exit { sale, ticket } => Some(passage(sale, ticket, Ticket::Outside)),
            _ => None,
        };
        let by_itself = at_gate.filter(|_| gates == Gates::MayGoOn).map(|passage| self.told(passage));
        // Nothing of a gate is decided by the slot before all that gates told is merged.
        let is_asked = at_gate.is_none() || self.told.is_empty();
        let by_slot = is_asked.then(|| self.decided(operation)).flatten();
        by_itself.into_iter().chain(by_slot).collect()
    }

    /// What is told of a hold: it lives until its time is up, whether its end is written by then or not.
    fn looked_at(&self, number: usize, now: i64) -> Vec<(Answer, Self)> {
        let Some(hold) = self.holds.get(&number) else { return vec![(Answer::Refused, self.clone())] };
        let mut answers = Vec::new();
        if now < hold.ends.1 {
            answers.push((Answer::Done, self.clone()));
        }
        if hold.ends.0 <= self.now {
            // Who has heard that it is over hears so from then on.
            let mut next = self.clone();
            next.holds.insert(number, Hold { ends: (hold.ends.0, hold.ends.1.min(self.now)), ..hold.clone() });
            answers.push((Answer::Refused, next));
        }
        answers
    }

    /// What a gate tells by itself. It sees to no hold whose time is up.
    fn told(&self, passage: Passage) -> (Answer, Self) {
        let mut seen = self.clone();
        for told in &self.told {
            seen.turn(told.sale, told.ticket, told.to);
        }
        if !seen.turn(passage.sale, passage.ticket, passage.to) {
            return (Answer::Refused, self.clone());
        }
        let mut next = self.clone();
        next.done.insert(passage.number);
        next.told.push(passage);
        (Answer::Told, next)
    }

    /// What the slot decides; none if something that is due must have ended before.
    fn decided(&self, operation: &Operation) -> Option<(Answer, Self)> {
        let (number, now) = (operation.first, operation.clock.0);
        let mut next = self.clone();
        if operation.call.changes() {
            // Whatever the slot writes, it first ends what is due.
            if self.is_due(now) {
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
            Call::Admit { sale, ticket } => next.turn(sale, ticket, Ticket::Inside),
            Call::Exit { sale, ticket } => next.turn(sale, ticket, Ticket::Outside),
            Call::Look { .. } => return None,
            Call::Read => {
                let (held, sold, capacity) = (self.held(), self.sold(), self.capacity);
                let inside = self.tickets(|ticket| ticket == Ticket::Inside);
                let admitted = inside + self.tickets(|ticket| ticket == Ticket::Outside);
                return Some((Answer::Counters { held, sold, capacity, admitted, inside }, next));
            }
            Call::Pass { seconds } => {
                next.now += seconds;
                true
            }
            Call::Settle => !self.is_due(now),
            Call::Merge => self.told.is_empty(),
        };
        Some(if done { (Answer::Done, next) } else { (Answer::Refused, self.clone()) })
    }

    /// Whether a hold has surely come to its end by then.
    fn is_due(&self, now: i64) -> bool {
        self.holds.values().any(|hold| hold.ends.1 <= now)
    }

    /// In, once; or out again.
    fn turn(&mut self, sale: usize, ticket: usize, to: Ticket) -> bool {
        let from = if to == Ticket::Inside { Ticket::Valid } else { Ticket::Inside };
        let ticket = self.sales.get_mut(&sale).and_then(|tickets| tickets.get_mut(ticket)).filter(|ticket| **ticket == from);
        ticket.is_some_and(|ticket| {
            *ticket = to;
            true
        })
    }

    /// The slot after each thing that may happen by itself.
    fn by_itself(&self) -> impl Iterator<Item = Self> {
        self.ended().chain(self.merged())
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

    /// The slot after each passage that may be merged next: those of one ticket in their order. As whatever the slot writes, it comes after what was due.
    fn merged(&self) -> impl Iterator<Item = Self> {
        let is_first =
            |place: usize, passage: &Passage| !self.told[..place].iter().any(|told| (told.sale, told.ticket) == (passage.sale, passage.ticket));
        let next = self.told.iter().enumerate().filter(move |(place, passage)| is_first(*place, passage) && !self.is_due(passage.since));
        next.map(|(place, passage)| {
            let mut next = self.clone();
            next.told.remove(place);
            if !next.turn(passage.sale, passage.ticket, passage.to) {
                next.conflicts.insert(passage.number);
            }
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
pub fn is_linearizable(capacity: u32, now: i64, gates: Gates, history: &[Operation]) -> bool {
    let slot =
        Slot { now, capacity, holds: BTreeMap::new(), sales: BTreeMap::new(), done: BTreeSet::new(), told: Vec::new(), conflicts: BTreeSet::new() };
    let mut tried = HashSet::new();
    let mut ahead = vec![(Taken(vec![0; history.len().div_ceil(64)]), slot)];
    // What is answered first is tried first, so it is put last; what nobody knows to be done is tried at last.
    let mut operations: Vec<(usize, &Operation)> = history.iter().enumerate().collect();
    operations.sort_by_key(|(_, operation)| (operation.answer.is_some(), Reverse(operation.answered)));
    while let Some((taken, slot)) = ahead.pop() {
        let open = || operations.iter().filter(|(number, _)| !taken.has(*number));
        // Nothing may be put before what was answered before it was asked.
        let Some(first_answer) = open().next_back().filter(|(_, operation)| operation.answer.is_some()).map(|(_, operation)| operation.answered)
        else {
            return true;
        };
        let mut steps: Vec<_> = slot.by_itself().map(|next| (taken.clone(), next)).collect();
        for (number, operation) in open().filter(|(_, operation)| operation.asked < first_answer) {
            for (answer, next) in slot.asked(operation, gates) {
                match operation.answer {
                    Some(known) if known == answer => steps.push((taken.with(*number), next)),
                    // What nobody knows to be done counts only if it does something; else it is the same as never. That it was done is seen by the slot.
                    None if next != slot => steps.push((taken.clone(), next)),
                    _ => {}
                }
            }
        }
        for step in steps {
            if tried.insert(step.clone()) {
                ahead.push(step);
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
    const TOLD: Option<Answer> = Some(Answer::Told);
    const REFUSED: Option<Answer> = Some(Answer::Refused);

    /// The call, its answer, when it was asked and answered.
    type Line = (Call, Option<Answer>, u64, u64);

    fn counters(held: u32, sold: u32) -> Option<Answer> {
        Some(Answer::Counters { held, sold, capacity: 3, admitted: 0, inside: 0 })
    }

    fn visitors(sold: u32, admitted: u32, inside: u32) -> Option<Answer> {
        Some(Answer::Counters { held: 0, sold, capacity: 3, admitted, inside })
    }

    fn too_few(available: u32) -> Option<Answer> {
        Some(Answer::TooFew { available })
    }

    const fn admit(ticket: usize) -> Call {
        Call::Admit { sale: 0, ticket }
    }

    /// Whether a slot of three places can have answered this. The clock says what has passed by calls that were answered; `again` repeats an earlier call.
    fn check_with(gates: Gates, lines: &[Line], again: &[(usize, usize)]) -> bool {
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
        is_linearizable(3, 0, gates, &history)
    }

    fn check(lines: &[Line]) -> bool {
        check_with(Gates::Ask, lines, &[])
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
            &[
                (HOLD, DONE, 1, 2),
                (Call::Extend { hold: 0 }, DONE, 3, 4),
                (pass(1_400), DONE, 5, 6),
                (Call::Settle, DONE, 7, 8),
                (Call::Confirm { hold: 0 }, DONE, 9, 10),
            ],
            &[(Call::SetCapacity { capacity: 1 }, DONE, 1, 4), (HOLD, too_few(1), 2, 3)],
            // Its time is up, and that is not written yet.
            &[(HOLD, DONE, 1, 2), (pass(900), DONE, 3, 4), (Call::Look { hold: 0 }, REFUSED, 5, 6), (Call::Read, counters(2, 0), 7, 8)],
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
        let check_asked = |lines: &[Line], again: &[(usize, usize)]| check_with(Gates::Ask, lines, again);
        let (confirm, read) = (Call::Confirm { hold: 0 }, |held, sold, asked| (Call::Read, counters(held, sold), asked, asked + 1));
        assert!(check_asked(&[(HOLD, DONE, 1, 2), (HOLD, DONE, 3, 4), read(2, 0, 5)], &[(1, 0)]));
        assert!(check_asked(&[(HOLD, None, 1, 0), (HOLD, DONE, 3, 4), read(2, 0, 5)], &[(1, 0)]), "it was given up, and asked again");
        assert!(check_asked(
            &[(HOLD, DONE, 1, 2), (confirm, DONE, 3, 4), (HOLD, DONE, 5, 6), (confirm, DONE, 7, 8), read(0, 2, 9)],
            &[(2, 0), (3, 1)]
        ));
        assert!(check_asked(
            &[(Call::Sell { people: 3 }, DONE, 1, 2), (HOLD, too_few(0), 3, 4), (Call::Cancel { sale: 0 }, DONE, 5, 6), (HOLD, DONE, 7, 8)],
            &[(3, 1)]
        ));
        assert!(!check_asked(&[(HOLD, DONE, 1, 2), (HOLD, too_few(1), 3, 4)], &[(1, 0)]), "the repeat is refused");
        assert!(!check_asked(&[(HOLD, None, 1, 0), (HOLD, DONE, 3, 4), read(0, 0, 5)], &[(1, 0)]), "a repeat that does nothing");
        assert!(
            !check_asked(&[(Call::Sell { people: 1 }, DONE, 1, 2), (Call::Sell { people: 1 }, DONE, 3, 4), read(0, 2, 5)], &[(1, 0)]),
            "sold twice"
        );
    }

    #[test]
    fn what_cannot_have_happened_is_rejected() {
        let pass = |seconds| Call::Pass { seconds };
        let wrong: [(&str, &[Line]); 21] = [
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
            ("alive after its time", &[(HOLD, DONE, 1, 2), (pass(900), DONE, 3, 4), (Call::Look { hold: 0 }, DONE, 5, 6)]),
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

    #[test]
    fn what_gates_tell_by_themselves_is_accepted_only_where_they_may() {
        let (merged, sell_one) = ((Call::Merge, DONE), Call::Sell { people: 1 });
        let exit = Call::Exit { sale: 0, ticket: 0 };
        type Told<'a> = (&'a [Line], &'a [(usize, usize)]);
        let right: [Told<'_>; 6] = [
            // The counters show it when it is merged.
            (&[(SELL, DONE, 1, 2), (admit(0), TOLD, 3, 4), (Call::Read, visitors(2, 0, 0), 5, 6), (Call::Read, visitors(2, 1, 1), 7, 8)], &[]),
            (
                &[(SELL, DONE, 1, 2), (admit(0), TOLD, 3, 4), (exit, TOLD, 5, 6), (merged.0, merged.1, 7, 8), (Call::Read, visitors(2, 1, 0), 9, 10)],
                &[],
            ),
            // Before that the hold whose time is up still counts.
            (
                &[
                    (sell_one, DONE, 1, 2),
                    (HOLD, DONE, 3, 4),
                    (Call::Pass { seconds: 900 }, DONE, 5, 6),
                    (admit(0), TOLD, 7, 8),
                    (Call::Read, counters(2, 1), 9, 10),
                    (merged.0, merged.1, 11, 12),
                    (Call::Read, visitors(1, 1, 1), 13, 14),
                ],
                &[],
            ),
            // It was given back before it was merged, and whoever asks again hears that.
            (
                &[
                    (SELL, DONE, 1, 2),
                    (admit(0), TOLD, 3, 4),
                    (Call::Cancel { sale: 0 }, DONE, 5, 6),
                    (merged.0, merged.1, 7, 8),
                    (Call::Read, visitors(0, 0, 0), 9, 10),
                    (admit(0), REFUSED, 11, 12),
                ],
                &[(5, 1)],
            ),
            // The slot was asked before, and that was written though nobody heard of it: whoever asks again does.
            (
                &[
                    (SELL, DONE, 1, 2),
                    (admit(1), None, 3, 0),
                    (admit(0), TOLD, 5, 6),
                    (Call::Read, visitors(2, 0, 0), 7, 8),
                    (admit(1), DONE, 9, 10),
                    (Call::Read, visitors(2, 1, 1), 11, 12),
                ],
                &[(4, 1)],
            ),
            (&[(SELL, DONE, 1, 2), (admit(0), None, 3, 0), (admit(0), TOLD, 5, 6), (admit(0), DONE, 7, 8)], &[(2, 1), (3, 1)]),
        ];
        for (number, (history, again)) in right.into_iter().enumerate() {
            assert!(check_with(Gates::MayGoOn, history, again), "history {number} is right");
            assert!(!check_with(Gates::Ask, history, again), "history {number} is right only where gates may go on by themselves");
        }
    }

    #[test]
    fn gates_that_may_go_on_by_themselves_let_nothing_else_pass() {
        let sell_one = Call::Sell { people: 1 };
        let wrong: [(&str, &[Line]); 13] = [
            ("told twice", &[(SELL, DONE, 1, 2), (admit(0), TOLD, 3, 4), (admit(0), TOLD, 5, 6)]),
            ("told twice at the same time", &[(SELL, DONE, 1, 2), (admit(0), TOLD, 3, 6), (admit(0), TOLD, 4, 5)]),
            ("let in by the slot after it was told", &[(SELL, DONE, 1, 2), (admit(0), TOLD, 3, 4), (admit(0), DONE, 5, 6)]),
            ("told after the slot let in", &[(SELL, DONE, 1, 2), (admit(0), DONE, 3, 4), (admit(0), TOLD, 5, 6)]),
            ("refused without a reason", &[(SELL, DONE, 1, 2), (admit(0), REFUSED, 3, 4)]),
            ("told of a ticket that was given back", &[(SELL, DONE, 1, 2), (Call::Cancel { sale: 0 }, DONE, 3, 4), (admit(0), TOLD, 5, 6)]),
            (
                "told and never written",
                &[(SELL, DONE, 1, 2), (admit(0), TOLD, 3, 4), (Call::Merge, DONE, 5, 6), (Call::Read, visitors(2, 0, 0), 7, 8)],
            ),
            (
                "written in another order than it was told",
                &[
                    (SELL, DONE, 1, 2),
                    (admit(0), TOLD, 3, 4),
                    (Call::Exit { sale: 0, ticket: 0 }, TOLD, 5, 6),
                    (Call::Merge, DONE, 7, 8),
                    (Call::Read, visitors(2, 1, 1), 9, 10),
                ],
            ),
            (
                "given back after it was written",
                &[(sell_one, DONE, 1, 2), (admit(0), TOLD, 3, 4), (Call::Merge, DONE, 5, 6), (Call::Cancel { sale: 0 }, DONE, 7, 8)],
            ),
            (
                "the slot lets in before what was told is written",
                &[(SELL, DONE, 1, 2), (admit(0), TOLD, 3, 4), (admit(1), DONE, 5, 6), (Call::Read, visitors(2, 1, 1), 7, 8)],
            ),
            (
                "written before what was due has ended",
                &[
                    (sell_one, DONE, 1, 2),
                    (HOLD, DONE, 3, 4),
                    (Call::Pass { seconds: 900 }, DONE, 5, 6),
                    (admit(0), TOLD, 7, 8),
                    (Call::Read, Some(Answer::Counters { held: 2, sold: 1, capacity: 3, admitted: 1, inside: 1 }), 9, 10),
                ],
            ),
            (
                "let in by the slot before what was due has ended",
                &[
                    (sell_one, DONE, 1, 2),
                    (HOLD, DONE, 3, 4),
                    (Call::Pass { seconds: 900 }, DONE, 5, 6),
                    (admit(0), DONE, 7, 8),
                    (Call::Look { hold: 1 }, DONE, 9, 10),
                ],
            ),
            ("a lost hold", &[(HOLD, DONE, 1, 2), (Call::Look { hold: 0 }, REFUSED, 3, 4)]),
        ];
        for (what, history) in wrong {
            assert!(!check_with(Gates::MayGoOn, history, &[]), "{what}");
        }
        let (merged, read) = ((Call::Merge, DONE, 7, 8), |sold, asked| (Call::Read, visitors(sold, 0, 0), asked, asked + 1));
        let given_back =
            [(SELL, DONE, 1, 2), (admit(0), TOLD, 3, 4), (Call::Cancel { sale: 0 }, DONE, 5, 6), merged, read(0, 9), (admit(0), TOLD, 11, 12)];
        assert!(!check_with(Gates::MayGoOn, &given_back, &[(5, 1)]), "a conflict is told as if it were none");
    }
}
