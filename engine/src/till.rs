//! A till session as a stream: one desk's cash from its opening float to its count.
//!
//! What the desk takes for tickets stands in slots and payments; here stand only the float, what is put in or taken out beside sales, and the count. What sales
//! brought in is summed by the shell and carried in the command that closes, once, with how far it was summed: what is written after that, while the session is
//! being closed, counts in the desk's next session.
//!
//! - TL-1: a session is opened once and closed once, and nothing is moved before or after.
//! - TL-2: what is expected at the close is the float, plus what was put in, less what was taken out, plus what sales brought in; the difference is what was
//!   counted less that.
//! - TL-3: replay equals live, and time does not go back.

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Broken};
use crate::ids::{Code, KeyId, MuseumId, TillId};
use crate::money::Cents;
use crate::past::Past;
use crate::record::Record;
use crate::time::Timestamp;

/// The most cash of one float or movement: 1,000,000 euros.
pub const CASH_MAX: Cents = Cents::new(100_000_000);
/// The most cash that is counted at an end: 999,999,999.99 euros. Much more can come together than is moved at once, and a session that holds it has to end too.
pub const COUNT_MAX: Cents = Cents::new(99_999_999_999);
/// The most movements of one session.
pub const MOVES_MAX: u32 = 10_000;

/// What can be asked of a till session.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Begin, with so much cash in the drawer.
    Open {
        /// Where the desk stands.
        museum: MuseumId,
        /// Which desk.
        till: Code,
        /// The cash in the drawer.
        float_cents: Cents,
    },
    /// Note cash that is put in or taken out beside sales, as when the drawer is emptied into the safe.
    MoveCash {
        /// In or out.
        direction: Direction,
        /// How much.
        amount_cents: Cents,
        /// Why, in one word.
        reason: Code,
    },
    /// End, with the drawer counted.
    Close {
        /// What was counted.
        counted_cents: Cents,
        /// Cash that sales of this session brought in, less cash that was paid back from the drawer.
        taken_cents: Cents,
        /// Up to which batch of the journal that was summed.
        summed_to: u64,
    },
}

/// Into the drawer or out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Put in.
    In,
    /// Taken out.
    Out,
}

/// What happened to a till session. Numbers are written in the journal: append only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Event {
    /// See [`Opened`].
    Opened(Opened),
    /// See [`CashMoved`].
    CashMoved(CashMoved),
    /// See [`Closed`].
    Closed(Closed),
}

/// The session has begun.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Opened {
    /// Where the desk stands.
    pub museum: MuseumId,
    /// Which desk.
    pub till: Code,
    /// The cash in the drawer.
    pub float_cents: Cents,
}

/// Cash was moved beside sales.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CashMoved {
    /// In or out.
    pub direction: Direction,
    /// How much.
    pub amount_cents: Cents,
    /// Why, in one word.
    pub reason: Code,
}

/// The session is over.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Closed {
    /// What was counted.
    pub counted_cents: Cents,
    /// What sales brought in.
    pub taken_cents: Cents,
    /// What should have been there.
    pub expected_cents: Cents,
    /// What was counted less what should have been there: below zero if cash is missing.
    pub difference_cents: Cents,
    /// Up to which batch of the journal sales were summed: later ones count in the desk's next session. None if that was not noted yet: then up to this record.
    pub summed_to: Option<u64>,
}

/// Why a till session says no. In order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The session has begun already.
    #[error("the till session is open already")]
    AlreadyOpen,
    /// The session has not begun.
    #[error("the till session is not open: open it first")]
    NotOpen,
    /// The session is over.
    #[error("the till session was closed at {at}: open a new one")]
    Closed {
        /// When.
        at: Timestamp,
    },
    /// An amount that no drawer holds.
    #[error("let a float be 0.00 to 1000000.00 euros, a movement 0.01 to 1000000.00, and a count 0.00 to 999999999.99")]
    BadAmount,
    /// Too many movements.
    #[error("10000 movements of cash stand in this session: close it, and open a new one")]
    TooManyMoves,
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::AlreadyOpen => "till_already_open",
            Self::NotOpen => "till_not_open",
            Self::Closed { .. } => "till_closed",
            Self::BadAmount => "bad_cash_amount",
            Self::TooManyMoves => "too_many_cash_moves",
        }
    }
}

/// A till session. Serialized, equal states give equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Till {
    id: TillId,
    opened: Option<Opened>,
    opened_by: Option<(KeyId, Timestamp)>,
    put_in_cents: Cents,
    taken_out_cents: Cents,
    moves: u32,
    closed: Option<(Closed, Timestamp)>,
    /// Counts openings and closings, which happen once each (TL-1).
    openings: u32,
    closings: u32,
    past: Past,
}

impl Aggregate for Till {
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn past(&self) -> &Past {
        &self.past
    }

    fn decide(&self, _now: Timestamp, command: &Command) -> Result<Vec<Event>, Refusal> {
        match (command, &self.opened, &self.closed) {
            (Command::Open { .. }, None, _) | (Command::MoveCash { .. } | Command::Close { .. }, Some(_), None) => {}
            (_, _, Some((_, at))) => return Err(Refusal::Closed { at: *at }),
            (Command::Open { .. }, Some(_), None) => return Err(Refusal::AlreadyOpen),
            (_, None, None) => return Err(Refusal::NotOpen),
        }
        let in_range = |cents: Cents| (Cents::ZERO..=CASH_MAX).contains(&cents);
        let event = match *command {
            Command::Open { museum, till, float_cents } if in_range(float_cents) => Event::Opened(Opened { museum, till, float_cents }),
            Command::MoveCash { direction, amount_cents, reason } if in_range(amount_cents) && !amount_cents.is_zero() => {
                if self.moves >= MOVES_MAX {
                    return Err(Refusal::TooManyMoves);
                }
                Event::CashMoved(CashMoved { direction, amount_cents, reason })
            }
            // What was taken is a sum of what was written: nobody could correct it, whatever it is. What was paid back may be more.
            Command::Close { counted_cents, taken_cents, summed_to } if (Cents::ZERO..=COUNT_MAX).contains(&counted_cents) => {
                let expected_cents = self.drawer_cents().plus(taken_cents);
                let difference_cents = counted_cents.minus(expected_cents);
                Event::Closed(Closed { counted_cents, taken_cents, expected_cents, difference_cents, summed_to: Some(summed_to) })
            }
            _ => return Err(Refusal::BadAmount),
        };
        Ok(vec![event])
    }

    fn apply(&mut self, record: &Record<Event>) {
        self.past.take(record);
        for event in &record.events {
            match event {
                Event::Opened(opened) => {
                    self.opened = Some(opened.clone());
                    self.opened_by = record.envelope.as_ref().map(|envelope| (envelope.who, record.at));
                    self.openings += 1;
                }
                Event::CashMoved(moved) => {
                    let sum = if moved.direction == Direction::In { &mut self.put_in_cents } else { &mut self.taken_out_cents };
                    *sum = sum.plus(moved.amount_cents);
                    self.moves += 1;
                }
                Event::Closed(closed) => {
                    self.closed = Some((closed.clone(), record.at));
                    self.closings += 1;
                }
            }
        }
    }

    fn check(&self) -> Result<(), Broken> {
        let begun = self.openings == 1 && self.opened.is_some();
        let untouched = self.openings == 0 && self.moves == 0 && self.closings == 0;
        if !(begun || untouched) || self.closings > 1 {
            return Err(Broken { invariant: "TL-1", what: "a till session was opened or closed twice, or used before" });
        }
        let adds_up = |closed: &Closed| {
            closed.expected_cents == self.drawer_cents().plus(closed.taken_cents)
                && closed.difference_cents == closed.counted_cents.minus(closed.expected_cents)
        };
        if self.closed.as_ref().is_some_and(|(closed, _)| !adds_up(closed)) {
            return Err(Broken { invariant: "TL-2", what: "the count of a till does not add up" });
        }
        Ok(())
    }
}

impl Till {
    /// The session with this id, not yet opened.
    #[must_use]
    pub fn new(id: TillId) -> Self {
        Self {
            id,
            opened: None,
            opened_by: None,
            put_in_cents: Cents::ZERO,
            taken_out_cents: Cents::ZERO,
            moves: 0,
            closed: None,
            openings: 0,
            closings: 0,
            past: Past::default(),
        }
    }

    /// Rebuilds a session from all its records.
    #[must_use]
    pub fn replay<'a>(id: TillId, records: impl IntoIterator<Item = &'a Record<Event>>) -> Self {
        Self::new(id).after(records)
    }

    /// Everything that can be recounted stands in [`Aggregate::check`].
    pub fn recount(&self) -> Result<(), Broken> {
        self.check()
    }

    /// Which session.
    #[must_use]
    pub const fn id(&self) -> TillId {
        self.id
    }

    /// How it began; none before.
    #[must_use]
    pub const fn opened(&self) -> Option<&Opened> {
        self.opened.as_ref()
    }

    /// Who opened it, and when.
    #[must_use]
    pub const fn opened_by(&self) -> Option<(KeyId, Timestamp)> {
        self.opened_by
    }

    /// How it ended, and when; none before.
    #[must_use]
    pub const fn closed(&self) -> Option<&(Closed, Timestamp)> {
        self.closed.as_ref()
    }

    /// Whether it has begun and not ended.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.opened.is_some() && self.closed.is_none()
    }

    /// The float with what was put in and taken out beside sales.
    #[must_use]
    pub fn drawer_cents(&self) -> Cents {
        let float_cents = self.opened.as_ref().map_or(Cents::ZERO, |opened| opened.float_cents);
        float_cents.plus(self.put_in_cents).minus(self.taken_out_cents)
    }

    /// Time of the last record.
    #[must_use]
    pub const fn last_at(&self) -> Timestamp {
        self.past.last_at()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::{Digest, Envelope};
    use proptest::prelude::*;

    fn code(text: &str) -> Code {
        text.parse().unwrap()
    }

    fn at(s: i64) -> Timestamp {
        Timestamp::from_seconds(1_780_000_000 + s)
    }

    fn open(float: i64) -> Command {
        Command::Open { museum: MuseumId(1), till: code("desk-1"), float_cents: Cents::new(float) }
    }

    fn moved(direction: Direction, amount: i64) -> Command {
        Command::MoveCash { direction, amount_cents: Cents::new(amount), reason: code("safe") }
    }

    fn close(counted: i64, taken: i64) -> Command {
        Command::Close { counted_cents: Cents::new(counted), taken_cents: Cents::new(taken), summed_to: 12 }
    }

    fn step(till: &mut Till, records: &mut Vec<Record<Event>>, s: i64, command: &Command) -> Result<Event, Refusal> {
        let mut events = till.decide(at(s), command)?;
        let key = Digest(records.len() as u128);
        let envelope = Envelope { who: KeyId(3), key, body: key, parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() };
        let before = till.last_at();
        let record = till.record(at(s), Some(envelope), events.clone());
        assert!(record.at >= before, "TL-3: the time of a record went backwards");
        till.apply(&record);
        assert_eq!(till.recount(), Ok(()), "TL-1, TL-2 after {record:?}");
        records.push(record);
        assert_eq!(Till::replay(till.id(), records.iter()), *till, "TL-3: replay equals live");
        Ok(events.remove(0))
    }

    #[test]
    fn from_float_to_count() {
        let closed = |counted, taken, expected| {
            let [counted_cents, taken_cents, expected_cents] = [counted, taken, expected].map(Cents::new);
            let difference_cents = counted_cents.minus(expected_cents);
            Ok(Event::Closed(Closed { counted_cents, taken_cents, expected_cents, difference_cents, summed_to: Some(12) }))
        };
        let is_closed = Err(Refusal::Closed { at: at(9) });
        type Case = (Vec<Command>, Command, Result<Event, Refusal>);
        let put = moved(Direction::In, 5_000);
        let cases: Vec<Case> = vec![
            (vec![], moved(Direction::In, 1), Err(Refusal::NotOpen)),
            (vec![], close(0, 0), Err(Refusal::NotOpen)),
            (vec![], open(-1), Err(Refusal::BadAmount)),
            (vec![], open(100_000_001), Err(Refusal::BadAmount)),
            (vec![], open(0), Ok(Event::Opened(Opened { museum: MuseumId(1), till: code("desk-1"), float_cents: Cents::ZERO }))),
            (vec![open(10_000)], open(10_000), Err(Refusal::AlreadyOpen)),
            (vec![open(10_000)], moved(Direction::Out, 0), Err(Refusal::BadAmount)),
            (vec![open(10_000)], moved(Direction::Out, -5), Err(Refusal::BadAmount)),
            (vec![open(10_000)], close(-1, 0), Err(Refusal::BadAmount)),
            (vec![open(10_000)], close(100_000_000_000, 0), Err(Refusal::BadAmount)),
            (vec![open(10_000)], close(10_000, 0), closed(10_000, 0, 10_000)),
            (vec![open(10_000), put.clone(), moved(Direction::Out, 3_000)], close(31_950, 20_000), closed(31_950, 20_000, 32_000)),
            // More than may be moved at once came together, by movements or by sales.
            (vec![open(100_000_000), moved(Direction::In, 100_000_000)], close(200_000_000, 0), closed(200_000_000, 0, 200_000_000)),
            (vec![open(0)], close(100_000_001, 100_000_001), closed(100_000_001, 100_000_001, 100_000_001)),
            (vec![open(10_000)], close(0, i64::MIN), closed(0, i64::MIN, i64::MIN + 10_000)),
            // More was paid back than taken, and nobody counted what was not there.
            (vec![open(10_000)], close(8_500, -2_000), closed(8_500, -2_000, 8_000)),
            (vec![open(0), close(0, 0)], open(0), is_closed.clone()),
            (vec![open(0), close(0, 0)], put, is_closed.clone()),
            (vec![open(0), close(0, 0)], close(0, 0), is_closed),
        ];
        for (before, command, expected) in cases {
            let (mut till, mut records) = (Till::new(TillId(7)), Vec::new());
            for command in &before {
                step(&mut till, &mut records, 9, command).unwrap();
            }
            assert_eq!(step(&mut till, &mut records, 9, &command), expected, "{command:?} after {before:?}");
        }
    }

    #[test]
    fn a_broken_count_is_told() {
        let opened = Event::Opened(Opened { museum: MuseumId(1), till: code("desk-1"), float_cents: Cents::new(5) });
        let moved = Event::CashMoved(CashMoved { direction: Direction::In, amount_cents: Cents::new(5), reason: code("safe") });
        let [counted_cents, expected_cents] = [Cents::new(3), Cents::new(4)];
        let closed =
            Event::Closed(Closed { counted_cents, taken_cents: Cents::ZERO, expected_cents, difference_cents: Cents::new(-1), summed_to: None });
        for (events, expected) in
            [(vec![opened.clone(), opened.clone()], "TL-1"), (vec![moved], "TL-1"), (vec![closed.clone()], "TL-1"), (vec![opened, closed], "TL-2")]
        {
            let mut till = Till::new(TillId(7));
            till.apply(&till.record(at(0), None, events));
            assert_eq!(till.check().map_err(|broken| broken.invariant), Err(expected));
        }
    }

    #[test]
    fn codes_are_stable() {
        let refusals = [Refusal::AlreadyOpen, Refusal::NotOpen, Refusal::Closed { at: at(0) }, Refusal::BadAmount, Refusal::TooManyMoves];
        let codes = ["till_already_open", "till_not_open", "till_closed", "bad_cash_amount", "too_many_cash_moves"];
        assert_eq!(refusals.map(Refusal::code), codes);
    }

    proptest! {
        /// TL-1 to TL-3 whatever is asked, also when clocks go back.
        #[test]
        fn invariants_hold_whatever_is_asked(asked in prop::collection::vec((0_u8..4, -10_i64..100, -10_i64..100, 0_i64..50), 0..20)) {
            let (mut till, mut records) = (Till::new(TillId(7)), Vec::new());
            for (kind, amount, other, s) in asked {
                let command = match kind {
                    0 => open(amount),
                    1 => moved(Direction::In, amount),
                    2 => moved(Direction::Out, amount),
                    _ => close(amount, other),
                };
                let _ = step(&mut till, &mut records, s, &command);
            }
        }
    }
}
