//! What banks and gates say of sales: signs that their cases are to be told of, and the tickets that gates refused.

use std::ops::ControlFlow;

use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use tornello_engine::case::{Known, Label, LabelSource};
use tornello_engine::ids::{HoldId, PaymentId};
use tornello_engine::payment;
use tornello_engine::record::Record;
use tornello_engine::time::Timestamp;

use super::bad;
use crate::fraud::bank::BankWord;
use crate::journal::{Journal, JournalError, StreamId};
use crate::streams::visit;
use crate::views::{Views, ViewsError};

/// How many refusals at gates are told of a sale.
const REFUSED_TOLD_MAX: u32 = 32;

/// A ticket that a gate with a network refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// When, the last time.
    pub at: Timestamp,
    /// Which ticket.
    pub ticket: String,
    /// Why.
    pub reason: String,
    /// The how-manieth time that day.
    pub times: u32,
    /// At which gate, the last time.
    pub gate: String,
}

/// The query of [`Views::fraud_signs`]: in the words of the index, which has only what is new.
const UNTOLD: &str = "SELECT subject, label, source, at FROM fraud_sign WHERE told = 0 ORDER BY at, subject, rank LIMIT ?";

/// What banks say of sales; the last word counts. Only of what a payment has sold: one that was made for a desk's sale has not. What a bank takes back is no news for a case
/// that was told nothing by it.
pub(super) const BY_BANK: &str = "INSERT OR REPLACE INTO fraud_sign
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, iif(value ->> 2 = 'withdrawn',
        NOT EXISTS (SELECT 1 FROM fraud_case JOIN fraud_label USING (fraud_case)
            WHERE fraud_case.subject = value ->> 0 AND fraud_label.rank = value ->> 1),
        EXISTS (SELECT 1 FROM fraud_case JOIN fraud_label USING (fraud_case)
            WHERE fraud_case.subject = value ->> 0 AND fraud_label.label = value ->> 2 AND fraud_label.source = value ->> 3))
    FROM jsonb_each(?) JOIN sale ON sale.sale = value ->> 0 WHERE sale.settlement = 'payment'";

/// What gates say of sales; the first word counts, as the others say the same.
pub(super) const CONFLICTS: &str = "INSERT OR IGNORE INTO fraud_sign
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4,
        EXISTS (SELECT 1 FROM fraud_case JOIN fraud_label USING (fraud_case)
            WHERE fraud_case.subject = value ->> 0 AND fraud_label.label = value ->> 2 AND fraud_label.source = value ->> 3)
    FROM jsonb_each(?)";

/// What gates met: (sale, ticket, gate, time of the scan).
pub(super) const MET: &str = "INSERT OR IGNORE INTO gate_sign SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM jsonb_each(?)";

/// What they did not meet after all.
pub(super) const NOT_MET: &str = "DELETE FROM gate_sign
    WHERE (sale, ticket, gate, at) IN (SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM jsonb_each(?))";

/// Of those sales, with the rank of gates behind: as long as a gate has met anything else of one, the sign stands. What its case was told is taken back there: see [`UNSAID`]. One
/// that comes again is `told` if that has not happened yet, and no more when it has.
pub(super) const CLEARED: &str = "DELETE FROM fraud_sign WHERE (subject, rank) IN (SELECT value ->> 0, value ->> 4 FROM jsonb_each(?))
    AND NOT EXISTS (SELECT 1 FROM gate_sign WHERE gate_sign.sale = fraud_sign.subject)";

/// The query of [`Views::gates_unsaid`]: of labels by gates, whose rank is 2, those of a sale of which no gate says anything any more.
const UNSAID: &str = "SELECT fraud_case.subject FROM fraud_label CROSS JOIN fraud_case ON fraud_case.fraud_case = fraud_label.fraud_case
    WHERE fraud_label.rank = 2 AND fraud_label.at >= ?1
    AND NOT EXISTS (SELECT 1 FROM fraud_sign WHERE fraud_sign.subject = fraud_case.subject AND fraud_sign.rank = 2)
    ORDER BY fraud_label.at LIMIT ?2";

impl Views {
    /// What a bank or a gate says of a sale and is not in its case yet, the oldest first: the sale, what, who says so, and since when; at most `limit`.
    pub async fn fraud_signs(&self, limit: u32) -> Result<Vec<(HoldId, Known)>, ViewsError> {
        let rows = sqlx::query(UNTOLD).bind(i64::from(limit)).fetch_all(&self.pool()).await.map_err(|error| self.noted(error))?;
        let read = |row: &SqliteRow| {
            let named = row.try_get::<String, _>(1)?;
            let label = [Label::Fraud, Label::Withdrawn].into_iter().find(|label| label_name(*label) == named).unwrap_or(Label::Legit);
            let named = row.try_get::<String, _>(2)?;
            let told = [LabelSource::Chargeback, LabelSource::Dispute].into_iter().find(|source| source.name() == named);
            let known = Known { label, source: told.unwrap_or(LabelSource::GateRefusal), at: Timestamp::from_micros(row.try_get(3)?) };
            Ok((row.try_get::<String, _>(0)?.parse().map_err(bad)?, known))
        };
        rows.iter().map(read).collect()
    }

    /// The sales of whose tickets gates have met none twice after all, though their cases were told so since an instant, and were not told that; at most `limit`.
    pub async fn gates_unsaid(&self, since: Timestamp, limit: u32) -> Result<Vec<HoldId>, ViewsError> {
        let query = sqlx::query(UNSAID).bind(since.as_micros()).bind(i64::from(limit));
        self.found(query, |row| row.try_get::<String, _>(0)?.parse().map_err(bad)).await
    }

    /// What gates refused of a sale's tickets, as far as it is noted, oldest first.
    pub async fn refused_of(&self, sale: HoldId) -> Result<Vec<RefusedRow>, ViewsError> {
        const QUERY: &str = "SELECT at, ticket, reason, times, gate FROM refused WHERE sale = ? ORDER BY at, ticket, reason, times LIMIT ?";
        let rows =
            sqlx::query(QUERY).bind(sale.to_string()).bind(REFUSED_TOLD_MAX).fetch_all(&self.pool()).await.map_err(|error| self.noted(error))?;
        let read = |row: &SqliteRow| {
            let at = Timestamp::from_micros(row.try_get(0)?);
            Ok(RefusedRow { at, ticket: row.try_get(1)?, reason: row.try_get(2)?, times: row.try_get(3)?, gate: row.try_get(4)? })
        };
        rows.iter().map(read).collect()
    }
}

/// How a label is named in the lists.
pub(super) const fn label_name(label: Label) -> &'static str {
    match label {
        Label::Fraud => "fraud",
        Label::Legit => "legit",
        Label::Withdrawn => "withdrawn",
    }
}

/// What is said of a sale by whoever says so, for [`BY_BANK`] and [`CONFLICTS`].
pub(super) fn sign(sale: HoldId, label: Label, source: LabelSource, at: i64) -> Value {
    json!([sale.to_string(), source.rank(), label_name(label), source.name(), at])
}

/// Notes that a case has been told something: it is no news any more, unless something else was said meanwhile.
pub(super) async fn told(tx: &mut SqliteConnection, case: &str, label: Label, source: LabelSource) -> Result<(), sqlx::Error> {
    const TOLD: &str = "UPDATE fraud_sign SET told = (label = ?3 AND source = ?4)
        WHERE subject = (SELECT subject FROM fraud_case WHERE fraud_case = ?1) AND rank = ?2";
    sqlx::query(TOLD).bind(case).bind(i64::from(source.rank())).bind(label_name(label)).bind(source.name()).execute(tx).await.map(drop)
}

/// That a bank says something of a payment.
#[derive(Debug)]
pub(super) struct Word {
    payment: PaymentId,
    /// By which of the payment's records.
    seq: u64,
    at: i64,
}

impl Word {
    /// The word of a record; none: the bank says nothing in it.
    pub(super) fn of(payment: PaymentId, record: &Record<payment::Event>) -> Option<Self> {
        BankWord::is_said_in(record).then(|| Self { payment, seq: record.seq, at: record.at.as_micros() })
    }

    /// Of which payment.
    pub(super) const fn payment(&self) -> PaymentId {
        self.payment
    }

    /// What it says of each sale that the payment had become by then. The payment itself says which, and by which of its receipts they are paid: banks speak of few, and an
    /// index of all sales by what paid them would cost each of them something.
    pub(super) async fn of_sales(&self, journal: &dyn Journal) -> Result<Vec<Value>, JournalError> {
        let (mut sales, mut bank, mut said) = (Vec::new(), BankWord::default(), None);
        let look = |record: Record<payment::Event>| -> Result<ControlFlow<()>, JournalError> {
            let by = bank.take(&record);
            if record.seq >= self.seq {
                said = by;
                return Ok(ControlFlow::Break(()));
            }
            for event in record.events {
                if let payment::Event::Fulfilled(fulfilled) = event {
                    sales.push(fulfilled.sale);
                }
            }
            Ok(ControlFlow::Continue(()))
        };
        visit(journal, StreamId::Payment(self.payment), 0, look).await?;
        Ok(said.map_or_else(Vec::new, |(label, source)| sales.into_iter().map(|sale| sign(sale, label, source, self.at)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tornello_engine::case::{self, Labelled, Opened, Origin, Subject};
    use tornello_engine::channel::Channel;
    use tornello_engine::ids::{CaseId, Code, MuseumId, RouteId, SlotId};
    use tornello_engine::money::Cents;
    use tornello_engine::payment::{DisputeResolved, Disputed, Fulfilled, TakenBack};
    use tornello_engine::slot::{
        self, AdmissionConflict, ConflictReason, Direction, Judged, JudgedScan, Line, Scan, ScansJudged, Settlement, Sold, TicketState,
    };
    use tornello_engine::tariff::Proof;

    use super::super::cases::CaseFilter;
    use super::*;
    use crate::journal::memory::MemoryJournal;
    use crate::journal::wire::{self, Wire};
    use crate::journal::{Batch, Span};

    /// A journal, and the lists that are built from it.
    struct Told {
        journal: MemoryJournal,
        views: Views,
        /// The last record of each stream.
        last: BTreeMap<StreamId, u64>,
    }

    impl Told {
        async fn write<E: Wire>(&mut self, stream: StreamId, events: Vec<E>) {
            let head = self.journal.head().await.unwrap();
            let seq = self.last.entry(stream).or_default();
            *seq += 1;
            let record = Record { seq: *seq, at: Timestamp::from_seconds(100 + head.number as i64), envelope: None, events };
            let mut records = Vec::new();
            wire::encode(stream, &record, &mut records);
            let spans = vec![Span { stream, first: record.seq, last: record.seq }];
            self.journal.append(&Batch { number: head.number + 1, previous: head.hash, at: record.at, records, spans }).await.unwrap();
        }

        async fn sold(&mut self, sale: HoldId) {
            let lines = vec![Line { category: "full".parse().unwrap(), count: 1, price_cents: Cents::new(1_200), proof: Proof::None }];
            let (channel, settlement) = (Channel::Web, Settlement::Payment { id: PAYMENT });
            let sold = Sold { sale, held: false, channel, lines, settlement, contact: None, held_by: None };
            self.write(StreamId::Slot(sale.slot()), vec![slot::Event::Sold(sold)]).await;
            let fulfilled = Fulfilled { item: 0, sale, amount_cents: Cents::new(1_200), extras_cents: Cents::ZERO };
            self.write(StreamId::Payment(PAYMENT), vec![payment::Event::Fulfilled(fulfilled)]).await;
        }

        async fn disputed(&mut self) {
            let disputed = Disputed { reason: "not_recognised".parse().unwrap(), reference: "CASE-1".to_owned() };
            self.write(StreamId::Payment(PAYMENT), vec![payment::Event::Disputed(disputed)]).await;
        }

        async fn won(&mut self) {
            self.write(StreamId::Payment(PAYMENT), vec![payment::Event::DisputeResolved(DisputeResolved { upheld: false })]).await;
        }

        /// It was decided for the payer, and took what came with a receipt.
        async fn lost(&mut self, receipt: u32) {
            let taken = TakenBack { receipt, amount_cents: Cents::new(1_200) };
            let events = vec![payment::Event::DisputeResolved(DisputeResolved { upheld: true }), payment::Event::TakenBack(taken)];
            self.write(StreamId::Payment(PAYMENT), events).await;
        }

        /// A gate without a network let in whoever showed a ticket of this sale: a second visitor, or nobody of the kind after all.
        async fn let_in(&mut self, sale: HoldId, is_conflict: bool) {
            let gate: Code = "north".parse().unwrap();
            let (ticket, scanned_at, reason) = (sale.ticket(0), Timestamp::from_seconds(50), ConflictReason::TicketInside);
            let event = if is_conflict {
                slot::Event::AdmissionConflict(AdmissionConflict { ticket, gate, scanned_at, reason })
            } else {
                let scan = Scan { ticket, scanned_at, gate, direction: Direction::In };
                let scans = vec![JudgedScan { scan, before: Some(Judged::Conflict { reason }), judged: Judged::Passed }];
                let state = TicketState::Inside { first_at: scanned_at, since: scanned_at, entries: 1 };
                slot::Event::ScansJudged(ScansJudged { ticket, scans, state, used: false })
            };
            self.write(StreamId::Slot(sale.slot()), vec![event]).await;
        }

        async fn opened(&mut self, case: CaseId, sale: HoldId) {
            let opened = Opened {
                subject: Subject::Sale(sale),
                origin: Origin::Chargeback,
                assessment: None,
                slot: Some(sale.slot()),
                museum: sale.slot().museum(),
                channel: Channel::Web,
                amount_cents: Cents::new(1_200),
                parties: Vec::new(),
                due_at: Timestamp::from_seconds(1_000),
                lapses_at: Timestamp::from_seconds(1_000),
            };
            self.write(StreamId::Case(case), vec![case::Event::Opened(opened)]).await;
        }

        async fn labelled(&mut self, case: CaseId, label: Label, source: LabelSource) {
            self.write(StreamId::Case(case), vec![case::Event::Labelled(Labelled { label, source })]).await;
        }

        /// What is new, after a look at all that was written.
        async fn untold(&self) -> Vec<(HoldId, Label, LabelSource)> {
            self.views.build(&self.journal, self.journal.head().await.unwrap().number).await.unwrap();
            self.views.fraud_signs(10).await.unwrap().into_iter().map(|(sale, known)| (sale, known.label, known.source)).collect()
        }

        /// What is taken back, after such a look.
        async fn unsaid(&self) -> Vec<HoldId> {
            self.views.gates_unsaid(Timestamp::from_seconds(0), 10).await.unwrap()
        }

        /// Who says what counts of the only case.
        async fn label_by(&self) -> String {
            self.views.fraud_cases(&CaseFilter::default(), 2).await.unwrap().remove(0).label_by
        }
    }

    const PAYMENT: PaymentId = PaymentId::new(1, 7);
    const CHARGEBACK: (Label, LabelSource) = (Label::Fraud, LabelSource::Chargeback);
    const GATE: (Label, LabelSource) = (Label::Fraud, LabelSource::GateRefusal);
    const WON: (Label, LabelSource) = (Label::Legit, LabelSource::Dispute);
    const TAKEN_BACK: (Label, LabelSource) = (Label::Withdrawn, LabelSource::Dispute);
    const SIGNS: &str = "SELECT json_array(subject, rank, label, source, at, told) FROM fraud_sign ORDER BY 1";

    fn sale(hour: i64) -> HoldId {
        HoldId::new(SlotId::new(MuseumId(3), RouteId(1), Timestamp::from_seconds(1_800_000_000 + 3_600 * hour)), 1)
    }

    fn all(sales: &[HoldId], (label, source): (Label, LabelSource)) -> Vec<(HoldId, Label, LabelSource)> {
        sales.iter().map(|sale| (*sale, label, source)).collect()
    }

    async fn plan(views: &Views, query: &'static str) -> Vec<String> {
        let steps = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}"))).fetch_all(&views.pool()).await.unwrap();
        steps.iter().map(|row| row.get("detail")).collect()
    }

    #[tokio::test]
    async fn what_a_bank_says_of_a_payment_is_said_of_its_sales_until_their_cases_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        let mut told = Told { journal: MemoryJournal::default(), views, last: BTreeMap::new() };
        let (one, two, late) = (sale(0), sale(1), sale(2));
        told.sold(one).await;
        told.sold(two).await;
        assert!(told.untold().await.is_empty());
        told.disputed().await;
        // What became a sale after the bank's word is none that it speaks of, in however many rounds it is taken in.
        told.sold(late).await;
        assert_eq!(told.untold().await, all(&[one, two], CHARGEBACK));
        let (first, second) = (CaseId(1), CaseId(2));
        told.opened(first, one).await;
        told.labelled(first, CHARGEBACK.0, CHARGEBACK.1).await;
        assert_eq!(told.untold().await, all(&[two], CHARGEBACK), "its case knows");
        // The bank says otherwise, while the other case is being told of its first word.
        told.won().await;
        assert_eq!(told.untold().await, all(&[one, two, late], WON));
        told.opened(second, two).await;
        told.labelled(second, CHARGEBACK.0, CHARGEBACK.1).await;
        told.labelled(first, WON.0, WON.1).await;
        assert_eq!(told.untold().await, all(&[two, late], WON));
        told.labelled(second, WON.0, WON.1).await;
        assert_eq!(told.untold().await, all(&[late], WON));
        // And takes it back: that is news for both.
        told.disputed().await;
        assert_eq!(told.untold().await, all(&[one, two, late], CHARGEBACK));
        // Built anew, in one round, they say the same.
        let before: Vec<String> = sqlx::query_scalar(SIGNS).fetch_all(&told.views.pool()).await.unwrap();
        told.views.clear().await.unwrap();
        assert_eq!(told.untold().await, all(&[one, two, late], CHARGEBACK));
        let after: Vec<String> = sqlx::query_scalar(SIGNS).fetch_all(&told.views.pool()).await.unwrap();
        assert_eq!((after.len(), after), (3, before));
        told.views.close().await;
    }

    #[tokio::test]
    async fn a_dispute_that_took_what_was_paid_twice_says_no_fraud_of_the_sale() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        let mut told = Told { journal: MemoryJournal::default(), views, last: BTreeMap::new() };
        let one = sale(0);
        told.sold(one).await;
        told.disputed().await;
        assert_eq!(told.untold().await, all(&[one], CHARGEBACK), "nobody says yet which receipt it is about");
        told.lost(1).await;
        assert!(told.untold().await.is_empty(), "no case was told that it was fraud");
        // One was, and is told that this was of something else: what an analyst says counts.
        let case = CaseId(1);
        told.disputed().await;
        told.opened(case, one).await;
        told.labelled(case, Label::Fraud, LabelSource::Verdict).await;
        told.labelled(case, CHARGEBACK.0, CHARGEBACK.1).await;
        assert!(told.untold().await.is_empty());
        assert_eq!(told.label_by().await, "chargeback");
        told.lost(1).await;
        assert_eq!(told.untold().await, all(&[one], TAKEN_BACK));
        told.labelled(case, TAKEN_BACK.0, TAKEN_BACK.1).await;
        assert!(told.untold().await.is_empty());
        assert_eq!(told.label_by().await, "verdict");
        told.disputed().await;
        told.lost(0).await;
        let lost = (Label::Fraud, LabelSource::Dispute);
        assert_eq!(told.untold().await, all(&[one], lost));
        told.disputed().await;
        told.lost(1).await;
        assert_eq!(told.untold().await, all(&[one], lost), "what paid the sale is gone as before");
        told.views.close().await;
    }

    #[tokio::test]
    async fn what_a_gate_takes_back_is_no_sign_and_none_is_told_twice() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        let mut told = Told { journal: MemoryJournal::default(), views, last: BTreeMap::new() };
        let (sale, case) = (sale(0), CaseId(1));
        told.sold(sale).await;
        told.let_in(sale, true).await;
        assert_eq!(told.untold().await, all(&[sale], GATE));
        told.let_in(sale, false).await;
        assert!(told.untold().await.is_empty(), "before any case was told of it");
        told.let_in(sale, true).await;
        assert_eq!(told.untold().await, all(&[sale], GATE));
        told.opened(case, sale).await;
        told.labelled(case, GATE.0, GATE.1).await;
        assert!(told.untold().await.is_empty(), "its case knows");
        assert!(told.unsaid().await.is_empty());
        told.let_in(sale, false).await;
        assert!(told.untold().await.is_empty());
        let signs: Vec<String> = sqlx::query_scalar(SIGNS).fetch_all(&told.views.pool()).await.unwrap();
        assert!(signs.is_empty(), "{signs:?}");
        assert_eq!(told.unsaid().await, [sale], "its case is to know that nobody was in twice");
        assert_eq!(told.label_by().await, "gate_refusal");
        told.labelled(case, Label::Withdrawn, LabelSource::GateRefusal).await;
        assert!(told.untold().await.is_empty() && told.unsaid().await.is_empty());
        assert_eq!(told.label_by().await, "");
        told.let_in(sale, true).await;
        assert_eq!(told.untold().await, all(&[sale], GATE), "and somebody was, after all");
        // Taken back while its case is being told, and said again while that is taken back there.
        told.let_in(sale, false).await;
        assert!(told.untold().await.is_empty() && told.unsaid().await.is_empty());
        told.labelled(case, GATE.0, GATE.1).await;
        assert!(told.untold().await.is_empty());
        assert_eq!(told.unsaid().await, [sale]);
        told.let_in(sale, true).await;
        assert!(told.untold().await.is_empty() && told.unsaid().await.is_empty());
        told.labelled(case, Label::Withdrawn, LabelSource::GateRefusal).await;
        assert_eq!(told.untold().await, all(&[sale], GATE));
        told.views.close().await;
    }

    #[tokio::test]
    async fn who_leaves_by_the_same_gate_in_the_same_instant_takes_no_sign_back() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        let mut told = Told { journal: MemoryJournal::default(), views, last: BTreeMap::new() };
        let sale = sale(0);
        told.sold(sale).await;
        told.let_in(sale, true).await;
        let (ticket, scanned_at) = (sale.ticket(0), Timestamp::from_seconds(50));
        let scan = Scan { ticket, scanned_at, gate: "north".parse().unwrap(), direction: Direction::Out };
        let scans = vec![JudgedScan { scan, before: None, judged: Judged::LeftUnseen }];
        let judged = ScansJudged { ticket, scans, state: TicketState::Valid, used: false };
        told.write(StreamId::Slot(sale.slot()), vec![slot::Event::ScansJudged(judged)]).await;
        assert_eq!(told.untold().await, all(&[sale], GATE));
        told.views.close().await;
    }

    #[tokio::test]
    async fn what_is_new_is_found_without_looking_at_all_signs_and_the_sales_of_a_payment_without_looking_at_all_sales() {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(&folder.path().join("views.db")).await.unwrap();
        assert_eq!(plan(&views, UNTOLD).await, ["SCAN fraud_sign USING INDEX fraud_sign_untold"]);
        let steps = plan(&views, UNSAID).await;
        assert!(steps.iter().any(|step| step.contains("fraud_label_by_gate")), "{steps:?}");
        assert!(!steps.iter().any(|step| step.starts_with("SCAN")), "{steps:?}");
        let steps = plan(&views, BY_BANK).await;
        assert!(steps.iter().any(|step| step.starts_with("SEARCH sale USING PRIMARY KEY")), "{steps:?}");
        assert!(!steps.iter().any(|step| step.starts_with("SCAN sale")), "{steps:?}");
        views.close().await;
    }
}
