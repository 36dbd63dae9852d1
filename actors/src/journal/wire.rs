//! The bytes of a record. Everything in the journal carries its kind and version, so that old journals are read for ever: kinds are never reordered or reused,
//! and when an event's fields change, its old form is kept here under its old version and raised to the new one on reading.
//!
//! Frame: length (u32) and CRC-32C (u32) of the body, then the body. Body: length (u8) and bytes of the stream, number (u64), time (i64 microseconds),
//! envelope (version u16, postcard), count (u16) of events, each as kind (u16), version (u16), length (u32), postcard. All integers are little-endian.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tornello_engine::envelope::Envelope;
use tornello_engine::money::Cents;
use tornello_engine::record::Record;
use tornello_engine::time::Timestamp;
use tornello_engine::{
    account, attempts, attendance, case, fraud_rules, model_registry, museum, order, payment, planning, quote, slot, till, voucher,
};

use super::{StreamId, before};

const ENVELOPE_VERSION: u16 = 4;

/// Bytes that are not a record that this program can read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes end too early or say something impossible.
    #[error("a record is cut off or malformed at byte {0}")]
    Malformed(usize),
    /// The checksum does not fit.
    #[error("a record's checksum is wrong at byte {0}")]
    Checksum(usize),
    /// A newer program wrote this.
    #[error("kind {kind} in version {version} is not known")]
    Unknown {
        /// The event's kind.
        kind: u16,
        /// Its version.
        version: u16,
    },
}

/// An event that the journal can keep.
pub trait Wire: Sized {
    /// The kind, never reused, and the version of its fields.
    fn tag(&self) -> (u16, u16);
    /// Appends the fields.
    fn write(&self, out: &mut Vec<u8>);
    /// Reads the fields; older versions are raised to the current one.
    fn read(kind: u16, version: u16, bytes: &[u8]) -> Option<Self>;
}

/// A record whose events have not been read.
#[derive(Debug, Clone, Copy)]
pub struct Framed<'a> {
    /// Whose record.
    pub stream: StreamId,
    /// Its number.
    pub seq: u64,
    /// Its time.
    pub at: Timestamp,
    rest: &'a [u8],
}

/// Appends a framed record.
pub fn encode<E: Wire>(stream: StreamId, record: &Record<E>, out: &mut Vec<u8>) {
    let frame = out.len();
    out.extend_from_slice(&[0; 8]);
    let name = out.len();
    out.push(0);
    stream.write(out);
    out[name] = (out.len() - name - 1) as u8;
    out.extend_from_slice(&record.seq.to_le_bytes());
    out.extend_from_slice(&record.at.as_micros().to_le_bytes());
    out.extend_from_slice(&ENVELOPE_VERSION.to_le_bytes());
    put(&record.envelope, out);
    out.extend_from_slice(&(record.events.len() as u16).to_le_bytes());
    for event in &record.events {
        let (kind, version) = event.tag();
        out.extend_from_slice(&kind.to_le_bytes());
        out.extend_from_slice(&version.to_le_bytes());
        let length = out.len();
        out.extend_from_slice(&[0; 4]);
        event.write(out);
        let written = (out.len() - length - 4) as u32;
        out[length..length + 4].copy_from_slice(&written.to_le_bytes());
    }
    let body = (out.len() - frame - 8) as u32;
    let crc = crc32c::crc32c(&out[frame + 8..]);
    out[frame..frame + 4].copy_from_slice(&body.to_le_bytes());
    out[frame + 4..frame + 8].copy_from_slice(&crc.to_le_bytes());
}

/// The records of a batch, in order, each with its checksum checked.
pub fn frames(batch: &[u8]) -> impl Iterator<Item = Result<Framed<'_>, WireError>> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        if offset >= batch.len() {
            return None;
        }
        let frame = frame(batch, offset);
        offset = frame.as_ref().map_or(batch.len(), |(_, next)| *next);
        Some(frame.map(|(frame, _)| frame))
    })
}

fn frame(batch: &[u8], offset: usize) -> Result<(Framed<'_>, usize), WireError> {
    let malformed = || WireError::Malformed(offset);
    let mut header = Bytes(&batch[offset..]);
    let length = header.u32().ok_or_else(malformed)? as usize;
    let crc = header.u32().ok_or_else(malformed)?;
    let body = header.take(length).ok_or_else(malformed)?;
    if crc32c::crc32c(body) != crc {
        return Err(WireError::Checksum(offset));
    }
    let mut body = Bytes(body);
    let name = body.u8().and_then(|length| body.take(usize::from(length))).ok_or_else(malformed)?;
    let stream = StreamId::from_bytes(name).ok_or_else(malformed)?;
    let seq = body.u64().ok_or_else(malformed)?;
    let at = Timestamp::from_micros(body.u64().ok_or_else(malformed)? as i64);
    Ok((Framed { stream, seq, at, rest: body.0 }, offset + 8 + length))
}

impl Framed<'_> {
    /// Reads the envelope and the events.
    pub fn record<E: Wire>(&self) -> Result<Record<E>, WireError> {
        let malformed = || WireError::Malformed(0);
        let mut bytes = Bytes(self.rest);
        let version = bytes.u16().ok_or_else(malformed)?;
        let (envelope, rest) = match version {
            1 => before::envelope_under::<before::Assessment1>(bytes.0).ok_or_else(malformed)?,
            2 => before::envelope_under::<before::Assessment2>(bytes.0).ok_or_else(malformed)?,
            3 => before::envelope_under::<before::Assessment3>(bytes.0).ok_or_else(malformed)?,
            ENVELOPE_VERSION => postcard::take_from_bytes::<Option<Envelope>>(bytes.0).map_err(|_| malformed())?,
            version => return Err(WireError::Unknown { kind: 0, version }),
        };
        let mut bytes = Bytes(rest);
        let count = bytes.u16().ok_or_else(malformed)?;
        let mut events = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let kind = bytes.u16().ok_or_else(malformed)?;
            let version = bytes.u16().ok_or_else(malformed)?;
            let fields = bytes.u32().and_then(|length| bytes.take(length as usize)).ok_or_else(malformed)?;
            events.push(E::read(kind, version, fields).ok_or(WireError::Unknown { kind, version })?);
        }
        Ok(Record { seq: self.seq, at: self.at, envelope, events })
    }
}

/// Bytes that are read from the front.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }
    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }
    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }
    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }
    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

fn put(value: &impl Serialize, out: &mut Vec<u8>) {
    // Writing plain data into memory cannot fail; a record without its fields would be found by the reader as malformed.
    if let Ok(bytes) = postcard::to_extend(value, std::mem::take(out)) {
        *out = bytes;
    }
}

fn get<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Some(value),
        _ => None,
    }
}

/// A table of kinds and versions: the whole of what a stream's events look like in the journal, and after `before` what they looked like.
macro_rules! wire {
    ($event:path {
        $($kind:literal $version:literal $variant:ident($fields:ty)),* $(,)?
    } $(before { $($old_kind:literal $old_version:literal $old_variant:ident($old_fields:ty)),* $(,)? })?) => {
        impl Wire for $event {
            fn tag(&self) -> (u16, u16) {
                match self { $(Self::$variant(_) => ($kind, $version),)* }
            }
            fn write(&self, out: &mut Vec<u8>) {
                match self { $(Self::$variant(fields) => put(fields, out),)* }
            }
            fn read(kind: u16, version: u16, bytes: &[u8]) -> Option<Self> {
                match (kind, version) {
                    $(($kind, $version) => get::<$fields>(bytes).map(Self::$variant),)*
                    $($(($old_kind, $old_version) => get::<$old_fields>(bytes).map(|before| Self::$old_variant(before.into())),)*)?
                    _ => None,
                }
            }
        }
    };
}

wire!(slot::Event {
    1 4 Opened(slot::Opened),
    2 1 Held(slot::Held),
    3 1 Extended(slot::Extended),
    4 1 Released(slot::Released),
    5 1 Expired(slot::Expired),
    6 2 Sold(slot::Sold),
    7 1 Cancelled(slot::Cancelled),
    8 1 Blocked(slot::Blocked),
    9 1 Unblocked(slot::Unblocked),
    10 1 Admitted(slot::Admitted),
    11 1 Exited(slot::Exited),
    12 1 CapacitySet(slot::CapacitySet),
    13 1 QuotasSet(slot::QuotasSet),
    14 1 Closed(slot::Closed),
    15 1 Reopened(slot::Reopened),
    16 2 Observed(slot::Observed),
    17 1 Waited(slot::Waited),
    18 1 WaitingLeft(slot::WaitingLeft),
    19 1 Offered(slot::Offered),
    20 1 WaitingEnded(slot::WaitingEnded),
    21 1 MoveBegun(slot::MoveBegun),
    22 2 Arrived(slot::Arrived),
    23 1 MovedOut(slot::MovedOut),
    24 1 MoveUndone(slot::MoveUndone),
    25 1 Renamed(slot::Renamed),
    26 1 AdmissionConflict(slot::AdmissionConflict),
    27 1 Prolonged(slot::Prolonged),
    28 1 Amended(slot::Amended),
    29 1 HandedOver(slot::HandedOver),
    30 1 ReviewOpened(slot::ReviewOpened),
    31 1 ReviewEnded(slot::ReviewEnded),
    32 1 BeyondSet(slot::BeyondSet),
    33 1 ScansJudged(slot::ScansJudged),
    34 1 BlockLifted(slot::BlockLifted),
    35 1 RestDrawn(slot::RestDrawn),
    36 1 Rested(slot::Rested),
    37 1 Freed(slot::Freed),
    38 1 OfferRenewed(slot::OfferRenewed),
} before {
    1 1 Opened(before::Opened1),
    1 2 Opened(before::Opened2),
    1 3 Opened(before::Opened3),
    6 1 Sold(before::Sold1),
    16 1 Observed(before::Observed1),
    22 1 Arrived(before::Arrived1),
});

wire!(museum::Event {
    1 1 Registered(museum::Registered),
    2 4 PlanSet(museum::PlanSet),
    3 1 TariffSet(museum::TariffSet),
    4 1 CeilingSet(museum::CeilingSet),
    5 1 GroupPolicySet(museum::GroupPolicySet),
    6 1 RoomAnnounced(museum::RoomAnnounced),
    7 1 RoomWithdrawn(museum::RoomWithdrawn),
    8 1 RoomCounted(museum::RoomCounted),
    9 1 Corrected(museum::Corrected),
    10 1 DayCalledOff(museum::DayCalledOff),
    11 1 DayTakenUp(museum::DayTakenUp),
    12 1 DayHeard(museum::DayHeard),
} before {
    2 1 PlanSet(before::PlanSet1),
    2 2 PlanSet(before::PlanSet2),
    2 3 PlanSet(before::PlanSet3),
});

wire!(payment::Event {
    1 1 Opened(payment::Opened),
    2 1 Published(payment::Published),
    3 1 PublishFailed(payment::PublishFailed),
    4 1 Activated(payment::Activated),
    5 1 Received(payment::Received),
    6 1 Fulfilled(payment::Fulfilled),
    7 1 Unfulfilled(payment::Unfulfilled),
    8 1 RefundOpened(payment::RefundOpened),
    9 1 RefundExported(payment::RefundExported),
    10 1 RefundConfirmed(payment::RefundConfirmed),
    11 1 RefundReturned(payment::RefundReturned),
    12 1 PayeeSet(payment::PayeeSet),
    13 1 Cancelled(payment::Cancelled),
    14 1 Expired(payment::Expired),
    15 1 Closed(payment::Closed),
    16 1 Disputed(payment::Disputed),
    17 1 DisputeResolved(payment::DisputeResolved),
    18 1 Reported(payment::Reported),
    19 1 RefundReleased(payment::RefundReleased),
    20 1 TakenBack(payment::TakenBack),
});

wire!(voucher::Event {
    1 1 Issued(voucher::Issued),
    2 1 Redeemed(voucher::Redeemed),
    3 1 Restored(voucher::Restored),
});

wire!(order::Event {
    1 1 Placed(order::Placed),
    2 1 PaymentBegun(order::PaymentBegun),
    3 1 PaymentEnded(order::PaymentEnded),
});

wire!(quote::Event {
    1 1 Drafted(quote::Drafted),
    2 1 Revised(quote::Revised),
    3 1 OptionsAsked(quote::OptionsAsked),
    4 1 Optioned(quote::Optioned),
    5 1 OptionsRefused(quote::OptionsRefused),
    6 1 OptionsReleased(quote::OptionsReleased),
    7 1 Accepted(quote::Accepted),
    8 1 Confirmed(quote::Confirmed),
    9 1 SettlementRefused(quote::SettlementRefused),
    10 1 PaymentAttached(quote::PaymentAttached),
    11 1 PaymentDetached(quote::PaymentDetached),
    12 1 Reopened(quote::Reopened),
    13 1 Paid(quote::Paid),
    14 1 Ticketed(quote::Ticketed),
    15 1 Lapsed(quote::Lapsed),
    16 1 Refused(quote::Refused),
    17 1 Cancelled(quote::Cancelled),
    18 1 Reminded(quote::Reminded),
    19 1 CalledOff(quote::CalledOff),
    20 1 Unwound(quote::Unwound),
});

wire!(till::Event {
    1 1 Opened(till::Opened),
    2 1 CashMoved(till::CashMoved),
    3 2 Closed(till::Closed),
} before {
    3 1 Closed(before::TillClosed1),
});

wire!(account::Event {
    1 1 Opened(account::Opened),
    2 1 InstitutionSet(account::InstitutionSet),
    3 1 AgreementsSet(account::AgreementsSet),
    4 1 LimitSet(account::LimitSet),
    5 1 Suspended(account::Suspended),
    6 1 Resumed(account::Resumed),
    7 2 Charged(account::Charged),
    8 2 TakenBack(account::TakenBack),
    9 1 Settled(account::Settled),
    10 1 Delivered(account::Delivered),
} before {
    7 1 Charged(Charged1),
    8 1 TakenBack(TakenBack1),
});

wire!(case::Event {
    1 3 Opened(case::Opened),
    2 1 Assigned(case::Assigned),
    3 1 Decided(case::Decided),
    4 1 Undone(case::Undone),
    5 1 Appealed(case::Appealed),
    6 1 Lapsed(case::Lapsed),
    7 1 Labelled(case::Labelled),
    8 1 Acted(case::Acted),
    9 1 Joined(case::Joined),
    10 1 Followed(case::Followed),
    11 1 Renewed(case::Renewed),
} before {
    1 1 Opened(before::CaseOpened1),
    1 2 Opened(before::CaseOpened2),
});

wire!(fraud_rules::Event {
    1 1 Drafted(fraud_rules::Drafted),
    2 1 Activated(fraud_rules::Activated),
    3 1 Retired(fraud_rules::Retired),
});

wire!(model_registry::Event {
    1 1 Registered(model_registry::Registered),
    2 1 Challenging(model_registry::Challenging),
    3 3 Promoted(model_registry::Promoted),
    4 1 Retired(model_registry::Retired),
} before {
    3 1 Promoted(before::Promoted1),
    3 2 Promoted(before::Promoted2),
});

wire!(attempts::Event {
    1 4 Noted(attempts::Attempt),
    2 1 Counted(attempts::Counted),
    3 1 Refused(attempts::Refused),
} before {
    1 1 Noted(before::Attempt1),
    1 2 Noted(before::Attempt2),
    1 3 Noted(before::Attempt3),
});
/// [`account::Charged`] before it said what of it is for extras, and at which museum.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
struct Charged1 {
    of: account::ChargeOf,
    amount_cents: Cents,
}

impl From<Charged1> for account::Charged {
    fn from(before: Charged1) -> Self {
        Self { of: before.of, amount_cents: before.amount_cents, extras_cents: Cents::ZERO, museum: None }
    }
}

/// [`account::TakenBack`] before it said why.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
struct TakenBack1 {
    of: account::ChargeOf,
    amount_cents: Cents,
}

impl From<TakenBack1> for account::TakenBack {
    fn from(before: TakenBack1) -> Self {
        Self { of: before.of, amount_cents: before.amount_cents, extras_cents: Cents::ZERO, why: None }
    }
}

wire!(attendance::Event {
    1 1 Counted(attendance::Counted),
    2 1 Imported(attendance::Imported),
    3 1 SoldBeyond(attendance::SoldBeyond),
});

wire!(planning::Event {
    1 2 PolicySet(planning::PolicySet),
    2 1 Decided(planning::Decided),
    3 1 TakenBack(planning::TakenBack),
} before {
    1 1 PolicySet(before::PolicySet1),
});

#[cfg(test)]
mod tests {
    use super::before::TillClosed1;
    use super::*;

    #[test]
    fn what_an_account_was_charged_before_it_was_noted_what_for_is_still_read() {
        let of = account::ChargeOf::Quote { quote: tornello_engine::ids::QuoteId(5), revision: 2, acceptance: 1 };
        let amount_cents = Cents::new(18_000);
        let before =
            [postcard::to_allocvec(&Charged1 { of, amount_cents }).unwrap(), postcard::to_allocvec(&TakenBack1 { of, amount_cents }).unwrap()];
        let charged = account::Event::Charged(account::Charged { of, amount_cents, extras_cents: Cents::ZERO, museum: None });
        let taken = account::Event::TakenBack(account::TakenBack { of, amount_cents, extras_cents: Cents::ZERO, why: None });
        assert_eq!((account::Event::read(7, 1, &before[0]), account::Event::read(8, 1, &before[1])), (Some(charged.clone()), Some(taken.clone())));
        for event in [charged, taken] {
            let mut now = Vec::new();
            event.write(&mut now);
            assert_eq!((event.tag().1, account::Event::read(event.tag().0, 2, &now)), (2, Some(event)));
        }
    }

    #[test]
    fn a_till_that_was_closed_before_it_was_noted_how_far_is_still_read() {
        let [counted_cents, taken_cents, expected_cents, difference_cents] = [9_950, 1_200, 10_000, -50].map(Cents::new);
        let before = postcard::to_allocvec(&TillClosed1 { counted_cents, taken_cents, expected_cents, difference_cents }).unwrap();
        let closed = till::Event::Closed(till::Closed { counted_cents, taken_cents, expected_cents, difference_cents, summed_to: None });
        assert_eq!(till::Event::read(3, 1, &before), Some(closed.clone()));
        let mut now = Vec::new();
        closed.write(&mut now);
        assert_eq!((closed.tag(), till::Event::read(3, 2, &now)), ((3, 2), Some(closed)));
        assert_eq!(till::Event::read(3, 2, &before), None);
    }
}
