//! The journal: the only truth. A batch is what one flush writes: the records of many streams, chained by hash to the batch before. The stores behind the
//! [`Journal`] trait know nothing of what records mean; `wire` gives them their bytes, `writer` collects them.

mod before;
pub mod file;
pub mod memory;
pub mod wire;
pub mod writer;

#[cfg(test)]
mod conformance;

use std::fmt;

use futures_util::future::BoxFuture;
use sha2::{Digest as _, Sha256};
use tornello_engine::ids::{AccountId, CaseId, MuseumId, OrderId, PaymentId, QuoteId, SlotId, TillId, VoucherId};
use tornello_engine::model_registry::ModelKind;
use tornello_engine::time::Timestamp;

use crate::digest::mark_of;

/// Which stream a record belongs to. It is shown in logs, so the text of a voucher's holds nothing that could be spent. In bytes: its kind, then its key big-endian, so that
/// streams of a kind sort by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamId {
    /// A museum: plans, tariffs, ceilings.
    Museum(MuseumId),
    /// A timeslot.
    Slot(SlotId),
    /// A payment.
    Payment(PaymentId),
    /// A quote of the group office.
    Quote(QuoteId),
    /// A till session.
    Till(TillId),
    /// A voucher.
    Voucher(VoucherId),
    /// An order.
    Order(OrderId),
    /// An operator's account.
    Account(AccountId),
    /// A fraud case.
    Case(CaseId),
    /// The rules that are asked before any model.
    Rules,
    /// The models of a kind.
    Models(ModelKind),
    /// What was blocked or given up on a day: days since 1970, in UTC.
    Attempts(u16),
    /// A museum's attendance.
    Attendance(MuseumId),
    /// A museum's planning.
    Planning(MuseumId),
}

impl StreamId {
    /// The stored form.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }

    /// Appends the stored form.
    pub fn write(self, out: &mut Vec<u8>) {
        let mut put = |kind: u8, key: &[u8]| {
            out.push(kind);
            out.extend_from_slice(key);
        };
        match self {
            Self::Museum(museum) => put(1, &museum.0.to_be_bytes()),
            Self::Slot(slot) => put(2, &slot.get().to_be_bytes()),
            Self::Payment(payment) => put(3, &payment.get().to_be_bytes()),
            Self::Quote(quote) => put(4, &quote.get().to_be_bytes()),
            Self::Till(till) => put(5, &till.get().to_be_bytes()),
            Self::Voucher(voucher) => put(6, &voucher.get().to_be_bytes()),
            Self::Order(order) => put(7, &order.get().to_be_bytes()),
            Self::Account(account) => put(8, &account.get().to_be_bytes()),
            Self::Case(case) => put(9, &case.get().to_be_bytes()),
            Self::Rules => put(10, &[]),
            Self::Models(kind) => put(11, &[kind as u8]),
            Self::Attempts(day) => put(12, &day.to_be_bytes()),
            Self::Attendance(museum) => put(20, &museum.0.to_be_bytes()),
            Self::Planning(museum) => put(21, &museum.0.to_be_bytes()),
        }
    }

    /// From the stored form; none if it is of no known kind or length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, key) = bytes.split_first()?;
        match kind {
            1 => Some(Self::Museum(MuseumId(u16::from_be_bytes(key.try_into().ok()?)))),
            2 => Some(Self::Slot(SlotId::from_raw(u64::from_be_bytes(key.try_into().ok()?)))),
            3 => Some(Self::Payment(PaymentId::from_raw(u64::from_be_bytes(key.try_into().ok()?)))),
            4 => Some(Self::Quote(QuoteId(u64::from_be_bytes(key.try_into().ok()?)))),
            5 => Some(Self::Till(TillId(u64::from_be_bytes(key.try_into().ok()?)))),
            6 => Some(Self::Voucher(VoucherId(u64::from_be_bytes(key.try_into().ok()?)))),
            7 => Some(Self::Order(OrderId(u128::from_be_bytes(key.try_into().ok()?)))),
            8 => Some(Self::Account(AccountId(u64::from_be_bytes(key.try_into().ok()?)))),
            9 => Some(Self::Case(CaseId(u64::from_be_bytes(key.try_into().ok()?)))),
            10 => key.is_empty().then_some(Self::Rules),
            11 => key.first().filter(|_| key.len() == 1).and_then(|number| ModelKind::ALL.get(usize::from(*number))).map(|kind| Self::Models(*kind)),
            12 => Some(Self::Attempts(u16::from_be_bytes(key.try_into().ok()?))),
            20 => Some(Self::Attendance(MuseumId(u16::from_be_bytes(key.try_into().ok()?)))),
            21 => Some(Self::Planning(MuseumId(u16::from_be_bytes(key.try_into().ok()?)))),
            _ => None,
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Museum(museum) => write!(f, "museum {}", museum.0),
            Self::Slot(slot) => write!(f, "slot {slot}"),
            Self::Payment(payment) => write!(f, "payment {payment}"),
            Self::Quote(quote) => write!(f, "quote {quote}"),
            Self::Till(till) => write!(f, "till session {till}"),
            Self::Voucher(voucher) => f.write_str(&mark_of(*voucher)),
            Self::Order(order) => write!(f, "order {order}"),
            Self::Account(account) => write!(f, "account {account}"),
            Self::Case(case) => write!(f, "case {case}"),
            Self::Rules => f.write_str("the rules"),
            Self::Models(kind) => write!(f, "the {} models", kind.name()),
            Self::Attempts(day) => write!(f, "the attempts of day {day}"),
            Self::Attendance(museum) => write!(f, "attendance of museum {}", museum.0),
            Self::Planning(museum) => write!(f, "planning of museum {}", museum.0),
        }
    }
}

/// The records of one stream within a batch: `first..=last`, numbered without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Whose records.
    pub stream: StreamId,
    /// Number of the first.
    pub first: u64,
    /// Number of the last.
    pub last: u64,
}

/// What one flush writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// From 1 without gaps.
    pub number: u64,
    /// The hash of the batch before; zeros for the first.
    pub previous: [u8; 32],
    /// When it was written.
    pub at: Timestamp,
    /// Framed records, see `wire`.
    pub records: Vec<u8>,
    /// Which streams' records are inside.
    pub spans: Vec<Span>,
}

impl Batch {
    /// The hash that chains the next batch to this one: SHA-256 over number, time, previous hash and records.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.number.to_be_bytes());
        hasher.update(self.at.as_micros().to_be_bytes());
        hasher.update(self.previous);
        hasher.update(&self.records);
        hasher.finalize().into()
    }
}

/// The end of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Number of the last batch; 0 for an empty journal.
    pub number: u64,
    /// Its hash; zeros for an empty journal.
    pub hash: [u8; 32],
    /// When it was written.
    pub at: Timestamp,
}

impl Head {
    /// The head of an empty journal.
    pub const EMPTY: Self = Self { number: 0, hash: [0; 32], at: Timestamp::MIN };
}

/// What can go wrong with a journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// Another owner has written these records of the stream. Nothing was written.
    #[error("{0} has another owner who was faster")]
    Conflict(StreamId),
    /// There is no room. Nothing was written.
    #[error("no room on the disk for the journal: {0}")]
    Full(String),
    /// The journal cannot be written or read; whether a write took place is unknown.
    #[error("the journal cannot be reached: {0}")]
    Unreachable(String),
    /// A flush failed. The kernel may have dropped what it could not write, and report success the next time. So nothing more is written until a restart.
    #[error("the disk did not flush the journal: {0}")]
    FlushFailed(String),
    /// What is stored is not what was written.
    #[error("batch {batch} of the journal is damaged: {what}")]
    Corrupt {
        /// The first damaged batch.
        batch: u64,
        /// What was seen.
        what: String,
    },
    /// What is stored is what was written, by a program that knows more than this one.
    #[error("batch {batch} of the journal was written by a newer program: {what}")]
    Newer {
        /// The first such batch.
        batch: u64,
        /// What is not known.
        what: String,
    },
}

/// A store of batches. `append` is called by one writer at a time; reads come from anywhere.
pub trait Journal: Send + Sync + 'static {
    /// Writes one batch, durably, whole or not at all. A batch that does not follow the last one, or a span whose first record exists, is a conflict.
    fn append<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<(), JournalError>>;
    /// As [`Journal::append`], for whoever knows the hash of the batch: a store that keeps it need not reckon it once more.
    fn append_hashed<'a>(&'a self, batch: &'a Batch, hash: [u8; 32]) -> BoxFuture<'a, Result<(), JournalError>> {
        debug_assert_eq!(batch.hash(), hash);
        self.append(batch)
    }
    /// The end of the chain as it is stored now.
    fn head(&self) -> BoxFuture<'_, Result<Head, JournalError>>;
    /// Up to `limit` batches after the one numbered `after`, in order, with their stored hashes checked. Damage is an error when nothing sound stands before it.
    fn batches(&self, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<Batch>, JournalError>>;
    /// The first batches that hold records of `stream` numbered above `after`, in order. At most `limit`, because a whole busy stream may be more than memory holds; empty
    /// only if there are no more.
    fn batches_of(&self, stream: StreamId, after: u64, limit: u32) -> BoxFuture<'_, Result<Vec<Batch>, JournalError>>;
    /// The one batch that holds record `seq` of `stream`.
    fn batch_with(&self, stream: StreamId, seq: u64) -> BoxFuture<'_, Result<Option<Batch>, JournalError>>;
    /// Takes the last batch away, which must have this number: it was torn.
    fn cut_last(&self, number: u64) -> BoxFuture<'_, Result<(), JournalError>>;
    /// Puts the store in order after a failed append. Answers with the end of the chain if batches can be written again; with an error if not, as on a full disk until
    /// there is room.
    fn recover(&self) -> BoxFuture<'_, Result<Head, JournalError>>;
}

/// Up to `limit` batches after the one numbered `after`, for a caller that knows that there are some.
///
/// # Errors
/// Also [`JournalError::Unreachable`] if there are none.
pub async fn batches_after(journal: &dyn Journal, after: u64, limit: u32) -> Result<Vec<Batch>, JournalError> {
    let batches = journal.batches(after, limit).await?;
    if batches.is_empty() { Err(JournalError::Unreachable(format!("no batch after {after}"))) } else { Ok(batches) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_is_read_back_from_its_bytes() {
        let streams = [
            StreamId::Museum(MuseumId(7)),
            StreamId::Slot(SlotId::from_raw(u64::MAX)),
            StreamId::Payment(PaymentId::new(1, 42)),
            StreamId::Voucher(VoucherId(9)),
            StreamId::Order(OrderId(u128::MAX)),
            StreamId::Case(CaseId(3)),
            StreamId::Rules,
            StreamId::Models(ModelKind::Cancellation),
            StreamId::Attempts(20_000),
            StreamId::Attendance(MuseumId(7)),
            StreamId::Planning(MuseumId(7)),
        ];
        for stream in streams {
            let bytes = stream.to_bytes();
            assert_eq!(StreamId::from_bytes(&bytes), Some(stream), "{stream}");
            assert_eq!(StreamId::from_bytes(&bytes[..bytes.len() - 1]), None, "{stream}");
            assert_eq!(StreamId::from_bytes(&[&bytes[..], &[0]].concat()), None, "{stream}");
        }
        let code = VoucherId(9).to_string();
        let told = [StreamId::Voucher(VoucherId(9)).to_string(), JournalError::Conflict(StreamId::Voucher(VoucherId(9))).to_string()];
        assert!(told.iter().all(|told| told.contains("voucher-") && !told.contains(&code)), "a voucher can be spent by its id: {told:?}");
        let kinds: Vec<u8> = streams.iter().map(|stream| stream.to_bytes()[0]).collect();
        assert_eq!(kinds, [1, 2, 3, 6, 7, 9, 10, 11, 12, 20, 21], "written in journals");
    }
}
