//! What the scorers make of the journal, batch by batch: a pure fold over batches. Live it is fed by the tap on the writer, at start and in a replay by the journal
//! itself; the same batches give the same counters and the same rows to learn from, to the byte.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use tornello_models::fraud::drift::Fed;
use tornello_models::fraud::signals::{FeatureVector, Outlet, Role, SignalEvent, SignalKind, Taking, features};

use super::counters::Counters;
use super::hearing::Hearing;
use crate::journal::wire::WireError;
use crate::journal::{Batch, Journal, JournalError, batches_after};
use crate::streams::corrupt;

/// So many of the last events are kept to learn from.
pub const ROWS: usize = 20_000;
/// How many batches are read at once.
const ROUND: u32 = 64;

/// The features of something that was asked for and done, as they were before its batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// When, in UTC microseconds.
    pub at_us: i64,
    /// Which hold, sale or payment it is about.
    pub subject: u128,
    /// Through which channel.
    pub outlet: Outlet,
    /// In the order of the feature list.
    pub features: Vec<f32>,
}

impl Row {
    /// What a model is fed of it.
    #[must_use]
    pub fn fed(&self) -> Fed<'_> {
        Fed { at_us: self.at_us, outlet: self.outlet, features: &self.features }
    }
}

/// What has to be known of the batches so far, beside the counters.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Fold {
    /// Who began what.
    pub hearing: Hearing,
    rows: VecDeque<Row>,
    /// How many rows there have ever been.
    seen: u64,
}

/// Whether something is asked for, given back or counted: what rules are asked about before it is done.
#[must_use]
pub const fn is_asked(kind: SignalKind) -> bool {
    use SignalKind::{Held, PaymentBegun, Refunded, Sold, TillClosed, Voided, Waited};
    matches!(kind, Held | Waited | Sold { .. } | PaymentBegun | Refunded | Voided | TillClosed { .. })
}

/// Whether models have something to say of it: what somebody asks for, gives back or counts. Of a command that names nobody there is nothing to know but its size.
#[must_use]
pub fn is_judged(signal: &SignalEvent) -> bool {
    let named = |taking: &Taking| !matches!(taking.role, Role::Operator | Role::Kiosk);
    match signal.kind {
        SignalKind::Held | SignalKind::Waited | SignalKind::Sold { .. } | SignalKind::PaymentBegun => signal.parties.iter().any(named),
        SignalKind::Refunded | SignalKind::Voided | SignalKind::TillClosed { .. } => !signal.parties.is_empty(),
        _ => false,
    }
}

/// What one batch said.
#[derive(Debug, Default)]
pub struct Heard {
    /// The signals, in order.
    pub signals: Vec<SignalEvent>,
    /// The rows to learn from.
    pub rows: Vec<Row>,
}

impl Fold {
    /// Hears a batch. The counters must stand at the batch before, and are to take the signals in afterwards.
    pub fn hear(&mut self, counters: &Counters, batch: &Batch) -> Result<Heard, WireError> {
        let heard = self.hearing.take(batch)?;
        let mut rows = Vec::new();
        for (signal, subject) in &heard {
            if is_judged(signal) {
                let known = counters.known(signal).map(|(_, known)| known).unwrap_or_default();
                rows.push(Row { at_us: signal.at_us, subject: *subject, outlet: signal.outlet, features: features(&known, signal).to_vec() });
            }
        }
        for row in &rows {
            if self.rows.len() >= ROWS {
                self.rows.pop_front();
            }
            self.rows.push_back(row.clone());
            self.seen += 1;
        }
        Ok(Heard { signals: heard.into_iter().map(|(signal, _)| signal).collect(), rows })
    }

    /// The last rows, the oldest first.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &Row> {
        self.rows.iter()
    }

    /// How many rows there have ever been.
    #[must_use]
    pub const fn seen(&self) -> u64 {
        self.seen
    }
}

/// Folds the journal from its beginning up to a batch: what the scorers knew when that was the last they had heard of.
pub async fn replay_to(journal: &dyn Journal, position: u64, parties: usize) -> Result<(Fold, Counters), JournalError> {
    let (mut fold, counters) = (Fold::default(), Counters::new(parties));
    while counters.position() < position {
        for batch in batches_after(journal, counters.position(), ROUND).await?.iter().take_while(|batch| batch.number <= position) {
            let heard = fold.hear(&counters, batch).map_err(|error| corrupt(batch, &error))?;
            counters.hear(batch.number, &heard.signals);
        }
    }
    Ok((fold, counters))
}

/// The digest of features, as assessments carry it: they and the list that they stand in.
#[must_use]
pub fn digest_of(features: &FeatureVector) -> tornello_engine::envelope::Digest {
    let mut bytes = [0_u8; 4 * tornello_models::fraud::signals::N];
    for (bytes, value) in bytes.chunks_exact_mut(4).zip(features) {
        bytes.copy_from_slice(&value.to_bits().to_le_bytes());
    }
    crate::digest::digest(&[&tornello_models::fraud::signals::feature_hash().to_le_bytes(), &bytes])
}
