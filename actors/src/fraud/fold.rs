//! What the scorers make of the journal, batch by batch: a pure fold over batches. Live it is fed by the tap on the writer, at start and in a replay by the journal
//! itself; the same batches give the same counters and the same rows to learn from, to the byte.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use tornello_engine::time::{DAY_S, MICROS_PER_S};
use tornello_models::fraud::drift::Fed;
use tornello_models::fraud::signals::{FeatureVector, Outlet, Role, SignalEvent, SignalKind, Taking, features};

use super::counters::Counters;
use super::hearing::Hearing;
use crate::journal::wire::WireError;
use crate::journal::{Batch, Journal, JournalError, batches_after};
use crate::streams::corrupt;

/// A day, in microseconds. Days are those of UTC.
pub const DAY_US: i64 = DAY_S * MICROS_PER_S;
/// So many of the last events are kept to learn from: as many as make who buys again and again for days stand out from the days before.
pub const ROWS: usize = 40_000;
/// So many are kept at most: those of the day that runs beside those that it began with, as the lines of a day follow from what was before it.
pub const KEPT_MAX: usize = 2 * ROWS;
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
    /// Of whom analysts would read because of it, as a pseudonym; none: it opens no case.
    pub read_of: Option<Taking>,
    /// In the order of the feature list.
    pub features: Vec<f32>,
}

impl Row {
    /// What is known of a signal about a subject.
    #[must_use]
    pub fn of(signal: &SignalEvent, subject: u128, features: &FeatureVector) -> Self {
        Self { at_us: signal.at_us, subject, outlet: signal.outlet, read_of: read_of(signal), features: features.to_vec() }
    }

    /// Its day.
    #[must_use]
    pub const fn day(&self) -> i64 {
        self.at_us.div_euclid(DAY_US)
    }

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
    /// The last day of which there are rows.
    today: i64,
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

/// Whether it only follows from what models were asked about before: the sale that a payment over the web brings about. Nothing is asked of it again, so it is neither
/// something to learn from nor something that a line is drawn through: what it counts up already would put both above all that is asked.
#[must_use]
pub const fn follows(signal: &SignalEvent) -> bool {
    matches!((signal.outlet, signal.kind), (Outlet::Web, SignalKind::Sold { held: true })) && signal.cents > 0
}

/// Whether a suspected command is asked for a proof, and read of by nobody. That is so for waiting for places over the web, as it takes none from others; what is held or sold
/// is looked at.
#[must_use]
pub const fn is_proven(signal: &SignalEvent) -> bool {
    matches!((signal.outlet, signal.kind), (Outlet::Web, SignalKind::Waited))
}

/// Of whom analysts would read because of something; none: it opens no case.
#[must_use]
pub fn read_of(signal: &SignalEvent) -> Option<Taking> {
    if is_proven(signal) || follows(signal) { None } else { signal.acting() }
}

/// What one batch said.
#[derive(Debug, Default)]
pub struct Heard {
    /// The signals, in order.
    pub signals: Vec<SignalEvent>,
    /// The rows to learn from.
    pub rows: Vec<Row>,
    /// The sales, by their numbers, with all who took part in them.
    pub bought: Vec<(u128, Vec<Taking>)>,
}

impl Fold {
    /// Hears a batch. The counters must stand at the batch before, and are to take the signals in afterwards.
    pub fn hear(&mut self, counters: &Counters, batch: &Batch) -> Result<Heard, WireError> {
        let heard = self.hearing.take(batch)?;
        let mut rows = Vec::new();
        for (signal, subject) in &heard {
            if is_judged(signal) && !follows(signal) {
                let known = counters.known(signal).map(|(_, known)| known).unwrap_or_default();
                rows.push(Row::of(signal, *subject, &features(&known, signal)));
            }
        }
        for row in &rows {
            self.keep(row.clone());
        }
        let sales = heard.iter().filter(|(signal, _)| matches!(signal.kind, SignalKind::Sold { .. }));
        let bought = sales.map(|(signal, sale)| (*sale, signal.parties.clone())).collect();
        Ok(Heard { signals: heard.into_iter().map(|(signal, _)| signal).collect(), rows, bought })
    }

    fn keep(&mut self, row: Row) {
        let begins = row.day() > self.today;
        let most = if begins { ROWS } else { KEPT_MAX - 1 };
        while self.rows.len() > most {
            self.rows.pop_front();
        }
        self.today = self.today.max(row.day());
        self.rows.push_back(row);
        self.seen += 1;
    }

    /// The last rows, the oldest first: those of the day that runs, and the last [`ROWS`] before it, as long as there are no more than [`KEPT_MAX`].
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

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(fold: &mut Fold, count: usize, day: i64) {
        for n in 0..count {
            fold.keep(Row { at_us: day * DAY_US + n as i64, subject: n as u128, outlet: Outlet::Web, read_of: None, features: Vec::new() });
        }
    }

    #[test]
    fn what_a_day_began_with_is_kept_as_long_as_it_runs() {
        let mut fold = Fold::default();
        keep(&mut fold, ROWS + 7, 1);
        keep(&mut fold, 500, 2);
        let before = |fold: &Fold| fold.rows().filter(|row| row.day() == 1).map(|row| row.subject).collect::<Vec<_>>();
        assert_eq!(before(&fold), (7..ROWS as u128 + 7).collect::<Vec<_>>());
        assert_eq!(fold.rows().len(), ROWS + 500);
        keep(&mut fold, KEPT_MAX, 2);
        assert_eq!((fold.rows().len(), before(&fold).len(), fold.seen()), (KEPT_MAX, 0, (ROWS + 7 + 500 + KEPT_MAX) as u64));
        keep(&mut fold, 1, 3);
        assert_eq!(fold.rows().len(), ROWS + 1);
    }

    #[test]
    fn what_a_payment_brings_about_is_not_asked_about_again() {
        let of = |kind, outlet, cents| {
            let mut signal = SignalEvent::new(0, kind, outlet, 1);
            signal.cents = cents;
            follows(&signal)
        };
        assert!(of(SignalKind::Sold { held: true }, Outlet::Web, 1_200));
        for (kind, outlet, cents) in [
            (SignalKind::Sold { held: true }, Outlet::Web, 0),
            (SignalKind::Sold { held: false }, Outlet::Web, 1_200),
            (SignalKind::Sold { held: true }, Outlet::Reseller, 1_200),
            (SignalKind::PaymentBegun, Outlet::Web, 1_200),
            (SignalKind::Held, Outlet::Web, 1_200),
        ] {
            assert!(!of(kind, outlet, cents), "{kind:?} {outlet:?} {cents}");
        }
    }

    #[test]
    fn nobody_reads_of_who_only_waits_for_places_over_the_web() {
        let of = |kind, outlet| {
            let mut signal = SignalEvent::new(0, kind, outlet, 1);
            signal.parties = vec![Taking { role: Role::Buyer, id: 1 }, Taking { role: Role::Device, id: 2 }];
            Row::of(&signal, 0, &[0.0; tornello_models::fraud::signals::N]).read_of
        };
        let device = Some(Taking { role: Role::Device, id: 2 });
        assert_eq!(of(SignalKind::Waited, Outlet::Web), None);
        assert_eq!(of(SignalKind::Held, Outlet::Web), device);
        assert_eq!(of(SignalKind::Held, Outlet::Reseller), device);
        assert_eq!(of(SignalKind::PaymentBegun, Outlet::Web), device);
        assert_eq!(of(SignalKind::Sold { held: true }, Outlet::Web), device);
    }
}
