//! Checks a whole journal while nobody writes: the chain of batches, every record, and every stream replayed from its first record, with the invariants after
//! each record and a full recount at the end. Uses nothing but the journal: no snapshot, no read model, no saved head.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tornello_engine::account::Account;
use tornello_engine::aggregate::{Aggregate, Broken};
use tornello_engine::attempts::Attempts;
use tornello_engine::attendance::Attendance;
use tornello_engine::case::Case;
use tornello_engine::fraud_rules::Rules;
use tornello_engine::ids::MuseumId;
use tornello_engine::model_registry::Models;
use tornello_engine::money::Cents;
use tornello_engine::museum::Museum;
use tornello_engine::order::Order;
use tornello_engine::payment::Payment;
use tornello_engine::planning::Planning;
use tornello_engine::quote::Quote;
use tornello_engine::record::Record;
use tornello_engine::slot::{Slot, TicketState};
use tornello_engine::till::Till;
use tornello_engine::time::Timestamp;
use tornello_engine::voucher::Voucher;

use crate::hex::Hex;
use crate::journal::wire::{self, Framed, Wire};
use crate::journal::{Batch, Head, Journal, JournalError, StreamId};
use crate::start::{self, Checked};
use crate::streams::{Blank, corrupt};

/// A journal in which everything holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The end of the chain, how many records, and whether a torn end was cut off.
    pub checked: Checked,
    /// SHA-256 over the state of every stream, in the order of streams: equal journals and equal histories give equal hashes, however they were batched.
    pub state_hash: [u8; 32],
    /// What the slots of each museum add up to.
    pub museums: BTreeMap<MuseumId, Sums>,
    /// How many payments, quotes, till sessions, vouchers, orders, accounts, fraud cases, days of attempts, registries of models and of rules, attendances and plannings
    /// there are.
    pub beside: u64,
}

impl Verified {
    /// How many streams there are.
    #[must_use]
    pub fn streams(&self) -> u64 {
        self.museums.values().map(|sums| sums.slots + u64::from(sums.registered)).sum::<u64>() + self.beside
    }
}

/// What the slots of a museum add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Sums {
    /// Whether the museum itself has a stream.
    pub registered: bool,
    /// Slots that were written to.
    pub slots: u64,
    /// Sales.
    pub sales: u64,
    /// Tickets of all sales.
    pub tickets: u64,
    /// Tickets cancelled.
    pub cancelled: u64,
    /// Tickets let in at least once.
    pub admitted: u64,
    /// Tickets that have become tickets of other slots, where they are counted again.
    pub moved: u64,
    /// What the sales cost.
    pub paid_cents: Cents,
    /// What was paid back.
    pub refunded_cents: Cents,
}

/// The end of a journal as it was written down elsewhere, to be compared with later: `120:5f0c...`, the number of the last batch and its hash in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// Number of the last batch.
    pub number: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

impl From<&Head> for Exported {
    fn from(head: &Head) -> Self {
        Self { number: head.number, hash: head.hash }
    }
}

impl fmt::Display for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, Hex(self.hash))
    }
}

impl FromStr for Exported {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "the number of a batch, a colon and 64 hexadecimal digits are expected";
        let (number, digits) = text.split_once(':').ok_or(EXPECTED)?;
        let Hex(hash) = digits.parse::<Hex<[u8; 32]>>().map_err(|_| EXPECTED)?;
        Ok(Self { number: number.parse().map_err(|_| EXPECTED)?, hash })
    }
}

/// Why a journal is not the one whose end was written down, grown or not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Departed {
    /// It ends before: batches are missing that no check of the journal alone can miss.
    #[error("the journal ends at batch {last}: {missing} of the {expected} batches up to that head are missing", missing = expected - last)]
    Short {
        /// Its last batch.
        last: u64,
        /// The batch that was written down.
        expected: u64,
    },
    /// Another batch has that number.
    #[error("batch {0} is another one than that of the head: this is not that journal, or it was written anew")]
    Other(u64),
    /// It cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Whether a journal that was checked goes on from an end that was written down before. A tail cut off where a batch ends is seen by nothing else.
pub async fn goes_on_from(journal: &dyn Journal, checked: &Checked, exported: &Exported) -> Result<(), Departed> {
    if exported.number > checked.head.number {
        return Err(Departed::Short { last: checked.head.number, expected: exported.number });
    }
    let found = match exported.number.checked_sub(1) {
        Some(before) => journal.batches(before, 1).await?.first().map(Batch::hash),
        None => Some(Head::EMPTY.hash),
    };
    if found == Some(exported.hash) { Ok(()) } else { Err(Departed::Other(exported.number)) }
}

/// Checks everything. Damage is an error that names the first batch in which it shows; a torn last batch is cut off if `cut` says so, else it is damage.
pub async fn verify(journal: &dyn Journal, cut: bool, progress: impl FnMut(u64)) -> Result<Verified, JournalError> {
    let mut streams = Replayed::default();
    let checked = start::check(journal, cut.then_some(0), |batch| streams.take_in(batch), progress).await?;
    streams.finish(checked)
}

#[derive(Default)]
struct Replayed {
    museums: BTreeMap<StreamId, Stream<Museum>>,
    slots: BTreeMap<StreamId, Stream<Slot>>,
    payments: BTreeMap<StreamId, Stream<Payment>>,
    quotes: BTreeMap<StreamId, Stream<Quote>>,
    tills: BTreeMap<StreamId, Stream<Till>>,
    accounts: BTreeMap<StreamId, Stream<Account>>,
    attendances: BTreeMap<StreamId, Stream<Attendance>>,
    plannings: BTreeMap<StreamId, Stream<Planning>>,
    vouchers: BTreeMap<StreamId, Stream<Voucher>>,
    orders: BTreeMap<StreamId, Stream<Order>>,
    cases: BTreeMap<StreamId, Stream<Case>>,
    rules: BTreeMap<StreamId, Stream<Rules>>,
    models: BTreeMap<StreamId, Stream<Models>>,
    attempts: BTreeMap<StreamId, Stream<Attempts>>,
}

/// A stream as far as it was read.
struct Stream<A> {
    state: A,
    at: Timestamp,
    /// The batch of its last record.
    batch: u64,
}

impl Replayed {
    fn take_in(&mut self, batch: &Batch) -> Result<(), JournalError> {
        for frame in wire::frames(&batch.records) {
            let frame = frame.map_err(|error| corrupt(batch, &error))?;
            match frame.stream {
                StreamId::Museum(_) => take(&mut self.museums, batch, &frame)?,
                StreamId::Payment(_) => take(&mut self.payments, batch, &frame)?,
                StreamId::Quote(_) => take(&mut self.quotes, batch, &frame)?,
                StreamId::Till(_) => take(&mut self.tills, batch, &frame)?,
                StreamId::Account(_) => take(&mut self.accounts, batch, &frame)?,
                StreamId::Attendance(_) => take(&mut self.attendances, batch, &frame)?,
                StreamId::Planning(_) => take(&mut self.plannings, batch, &frame)?,
                StreamId::Voucher(_) => take(&mut self.vouchers, batch, &frame)?,
                StreamId::Order(_) => take(&mut self.orders, batch, &frame)?,
                StreamId::Case(_) => take(&mut self.cases, batch, &frame)?,
                StreamId::Rules => take(&mut self.rules, batch, &frame)?,
                StreamId::Models(_) => take(&mut self.models, batch, &frame)?,
                StreamId::Attempts(_) => take(&mut self.attempts, batch, &frame)?,
                StreamId::Slot(_) => {
                    let record = record(batch, &frame)?;
                    match self.slots.get_mut(&frame.stream) {
                        Some(stream) => stream.apply(frame.stream, batch.number, &record)?,
                        None => drop(self.slots.insert(frame.stream, first(frame.stream, batch.number, &record)?)),
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(self, checked: Checked) -> Result<Verified, JournalError> {
        let mut hasher = Sha256::new();
        let mut museums: BTreeMap<MuseumId, Sums> = BTreeMap::new();
        finish(&mut hasher, &self.museums)?;
        self.museums.values().for_each(|stream| museums.entry(stream.state.id()).or_default().registered = true);
        for (name, stream) in &self.slots {
            stream.state.recount().map_err(|broken| unsound(*name, stream.batch, &broken))?;
            add(&mut hasher, *name, stream)?;
            museums.entry(stream.state.id().museum()).or_default().add(&stream.state);
        }
        finish(&mut hasher, &self.payments)?;
        finish(&mut hasher, &self.quotes)?;
        finish(&mut hasher, &self.tills)?;
        finish(&mut hasher, &self.vouchers)?;
        finish(&mut hasher, &self.orders)?;
        finish(&mut hasher, &self.accounts)?;
        finish(&mut hasher, &self.cases)?;
        finish(&mut hasher, &self.rules)?;
        finish(&mut hasher, &self.models)?;
        finish(&mut hasher, &self.attempts)?;
        finish(&mut hasher, &self.attendances)?;
        finish(&mut hasher, &self.plannings)?;
        let of_groups = self.quotes.len() + self.tills.len() + self.accounts.len();
        let of_fraud = self.cases.len() + self.rules.len() + self.models.len() + self.attempts.len();
        let of_planning = self.attendances.len() + self.plannings.len();
        let beside = (self.payments.len() + self.vouchers.len() + self.orders.len() + of_groups + of_fraud + of_planning) as u64;
        Ok(Verified { checked, state_hash: hasher.finalize().into(), museums, beside })
    }
}

/// Takes in a record of a stream that begins empty.
fn take<A: Blank>(streams: &mut BTreeMap<StreamId, Stream<A>>, batch: &Batch, frame: &Framed<'_>) -> Result<(), JournalError>
where
    A::Event: Wire,
{
    let record = record(batch, frame)?;
    if let (false, Some(state)) = (streams.contains_key(&frame.stream), A::blank(frame.stream)) {
        streams.insert(frame.stream, Stream::new(state));
    }
    streams.get_mut(&frame.stream).map_or(Ok(()), |stream| stream.apply(frame.stream, batch.number, &record))
}

/// Counts all streams of a kind that begins empty anew, and hashes them.
fn finish<A: Blank + Serialize>(hasher: &mut Sha256, streams: &BTreeMap<StreamId, Stream<A>>) -> Result<(), JournalError> {
    for (name, stream) in streams {
        stream.state.recount().map_err(|broken| unsound(*name, stream.batch, &broken))?;
        add(hasher, *name, stream)?;
    }
    Ok(())
}

impl<A: Aggregate> Stream<A> {
    const fn new(state: A) -> Self {
        Self { state, at: Timestamp::MIN, batch: 0 }
    }

    fn apply(&mut self, name: StreamId, batch: u64, record: &Record<A::Event>) -> Result<(), JournalError> {
        if record.seq != self.state.seq() + 1 {
            return Err(damaged(batch, format!("record {} of {name} follows record {}", record.seq, self.state.seq())));
        }
        if record.at < self.at {
            return Err(damaged(batch, format!("record {} of {name} is earlier than the one before it (SL-7, PY-5, QU-7)", record.seq)));
        }
        self.state.apply(record);
        (self.at, self.batch) = (record.at, batch);
        self.state.check().map_err(|broken| unsound(name, batch, &broken))
    }
}

fn first(name: StreamId, batch: u64, record: &Record<<Slot as Aggregate>::Event>) -> Result<Stream<Slot>, JournalError> {
    let slot = Slot::replay([record]).filter(|slot| record.seq == 1 && StreamId::Slot(slot.id()) == name);
    let state = slot.ok_or_else(|| damaged(batch, format!("record {} of {name} does not open the slot", record.seq)))?;
    state.check().map_err(|broken| unsound(name, batch, &broken))?;
    Ok(Stream { state, at: record.at, batch })
}

fn record<E: Wire>(batch: &Batch, frame: &Framed<'_>) -> Result<Record<E>, JournalError> {
    frame.record().map_err(|error| corrupt(batch, &error))
}

fn add<A: Aggregate + Serialize>(hasher: &mut Sha256, name: StreamId, stream: &Stream<A>) -> Result<(), JournalError> {
    let state = postcard::to_allocvec(&stream.state).map_err(|error| damaged(stream.batch, format!("{name} cannot be written down: {error}")))?;
    hasher.update(name.to_bytes());
    hasher.update((state.len() as u64).to_be_bytes());
    hasher.update(&state);
    Ok(())
}

fn unsound(name: StreamId, batch: u64, broken: &Broken) -> JournalError {
    damaged(batch, format!("{name}: {broken}"))
}

const fn damaged(batch: u64, what: String) -> JournalError {
    JournalError::Corrupt { batch, what }
}

impl Sums {
    fn add(&mut self, slot: &Slot) {
        let (paid, refunded) = slot.money();
        self.slots += 1;
        self.paid_cents = self.paid_cents.plus(paid);
        self.refunded_cents = self.refunded_cents.plus(refunded);
        for (_, sale) in slot.sales() {
            self.sales += 1;
            self.tickets += sale.tickets.len() as u64;
            for ticket in &sale.tickets {
                match ticket.state {
                    TicketState::Valid | TicketState::Moving => {}
                    TicketState::Moved => self.moved += 1,
                    TicketState::Cancelled => self.cancelled += 1,
                    TicketState::Inside { .. } | TicketState::Outside { .. } => self.admitted += 1,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tornello_engine::envelope::{Digest, Envelope};
    use tornello_engine::ids::{HoldId, KeyId, RouteId, SlotId};
    use tornello_engine::slot::{Command, Line, Opening, Policy, Settlement};
    use tornello_engine::tariff::Proof;

    use super::*;
    use crate::journal::memory::MemoryJournal;
    use crate::journal::{Head, Span};

    fn slot() -> Slot {
        let start = Timestamp::from_seconds(1_000_000 * 60);
        Slot::planned(Opening {
            slot: SlotId::new(MuseumId(1), RouteId(1), start),
            revision: 1,
            end: start.plus_seconds(3_600),
            capacity: 5,
            quotas: Default::default(),
            policy: Policy::default(),
        })
    }

    /// A sale of two in each of `count` records, whatever the slot would say to it.
    fn sold(count: u64) -> (StreamId, Vec<Record<tornello_engine::slot::Event>>) {
        let mut slot = slot();
        let name = StreamId::Slot(slot.id());
        let records = (1..=count).map(|number| {
            let lines = vec![Line { category: "under-18".parse().unwrap(), count: 2, price_cents: Cents::ZERO, proof: Proof::Age }];
            let sale = HoldId::new(slot.id(), number);
            let command =
                Command::SellDirect { sale, channel: tornello_engine::channel::Channel::Web, lines, settlement: Settlement::Free, contact: None };
            let now = slot.id().start().plus_seconds(-600);
            let events = slot.decide(now, &command).unwrap();
            let (key, body) = (Digest(u128::from(number)), Digest(0));
            let envelope = Envelope { who: KeyId(1), key, body, parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() };
            let record = slot.record(now, Some(envelope), events);
            slot.apply(&record);
            record
        });
        (name, records.collect())
    }

    async fn journal(records: &[&Record<tornello_engine::slot::Event>], name: StreamId) -> Arc<MemoryJournal> {
        let (journal, mut head) = (Arc::new(MemoryJournal::default()), Head::EMPTY);
        for record in records {
            let mut bytes = Vec::new();
            wire::encode(name, record, &mut bytes);
            let spans = vec![Span { stream: name, first: record.seq, last: record.seq }];
            let batch = Batch { number: head.number + 1, previous: head.hash, at: record.at, records: bytes, spans };
            journal.append(&batch).await.unwrap();
            head = Head { number: batch.number, hash: batch.hash(), at: batch.at };
        }
        journal
    }

    #[tokio::test]
    async fn a_sound_journal_is_counted() {
        let (name, records) = sold(2);
        let verified = verify(journal(&records.iter().collect::<Vec<_>>(), name).await.as_ref(), false, |_| {}).await.unwrap();
        let sums = verified.museums[&MuseumId(1)];
        assert_eq!((verified.checked.records, verified.streams(), sums.sales, sums.tickets, sums.cancelled), (2, 1, 2, 4, 0));
    }

    #[tokio::test]
    async fn what_no_slot_would_have_written_is_named_with_its_batch() {
        let (name, records) = sold(2);
        let mut oversold = records[1].clone();
        oversold.events = (10..13)
            .map(|number| match &records[1].events[0] {
                tornello_engine::slot::Event::Sold(sold) => {
                    tornello_engine::slot::Event::Sold(tornello_engine::slot::Sold { sale: HoldId::new(sold.sale.slot(), number), ..sold.clone() })
                }
                other => other.clone(),
            })
            .collect();
        let mut earlier = records[1].clone();
        earlier.at = earlier.at.plus_seconds(-1);
        let gap = Record { seq: 3, ..records[1].clone() };
        for (second, expected) in [(&oversold, "SL-1"), (&earlier, "SL-7"), (&gap, "record 3 of")] {
            let error = verify(journal(&[&records[0], second], name).await.as_ref(), false, |_| {}).await.unwrap_err();
            assert!(matches!(&error, JournalError::Corrupt { batch: 2, what } if what.contains(expected)), "{expected}: {error}");
        }
        let error = verify(journal(&[&records[1]], name).await.as_ref(), false, |_| {}).await.unwrap_err();
        assert!(error.to_string().contains("does not open the slot"), "{error}");
    }
}
