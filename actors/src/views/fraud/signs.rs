//! What banks and gates say of sales: signs that their cases are to be told of, and the tickets that gates refused.

use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use tornello_engine::case::{Known, Label, LabelSource};
use tornello_engine::ids::HoldId;
use tornello_engine::time::Timestamp;

use super::bad;
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

impl Views {
    /// What a bank or a gate says of a sale and is not in its case yet: the sale, what, who says so, and since when; at most `limit`.
    pub async fn fraud_signs(&self, limit: u32) -> Result<Vec<(HoldId, Known)>, ViewsError> {
        const QUERY: &str =
            "SELECT subject, label, source, at FROM fraud_sign WHERE NOT EXISTS (SELECT 1 FROM fraud_case JOIN fraud_label USING (fraud_case)
            WHERE fraud_case.subject = fraud_sign.subject AND fraud_label.label = fraud_sign.label AND fraud_label.source = fraud_sign.source) LIMIT ?";
        let rows = sqlx::query(QUERY).bind(i64::from(limit)).fetch_all(&self.pool).await?;
        let read = |row: &SqliteRow| {
            let label = if row.try_get::<String, _>(1)? == label_name(Label::Fraud) { Label::Fraud } else { Label::Legit };
            let named = row.try_get::<String, _>(2)?;
            let told = [LabelSource::Chargeback, LabelSource::Dispute].into_iter().find(|source| source.name() == named);
            let known = Known { label, source: told.unwrap_or(LabelSource::GateRefusal), at: Timestamp::from_micros(row.try_get(3)?) };
            Ok((row.try_get::<String, _>(0)?.parse().map_err(bad)?, known))
        };
        rows.iter().map(read).collect()
    }

    /// What gates refused of a sale's tickets, as far as it is noted, oldest first.
    pub async fn refused_of(&self, sale: HoldId) -> Result<Vec<RefusedRow>, ViewsError> {
        const QUERY: &str = "SELECT at, ticket, reason, times, gate FROM refused WHERE sale = ? ORDER BY at, ticket, reason, times LIMIT ?";
        let rows = sqlx::query(QUERY).bind(sale.to_string()).bind(REFUSED_TOLD_MAX).fetch_all(&self.pool).await?;
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
    }
}

/// What is said of a sale, or of all sales of a payment, by whoever says so.
pub(super) fn sign(of: &str, label: Label, source: LabelSource, at: i64) -> Value {
    json!([of, source.rank(), label_name(label), source.name(), at])
}
