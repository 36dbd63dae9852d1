//! What became known of what was assessed: the features of things about which there is a case with a label, heard again from the journal. What a model learns from
//! ([`examples`]), and what two models are compared on ([`super::evidence`]). Such a thing is a sale, a hold that was not bought, a return, a count of cash, or an attempt
//! that was refused and of which an appeal made a case.
//!
//! Only the journal is read, so a running node is not disturbed, and the same journal up to the same batch gives the same to the bit. Features are those before the
//! batch of each event, as [`super::fold`] has them; the assessment of a case may rest on a batch or two less, and its digest says whether it did.

use std::collections::{HashMap, HashSet, VecDeque};

use tornello_engine::aggregate::Aggregate;
use tornello_engine::attempts;
use tornello_engine::case::{self, Case, Known, LEGIT_DELAY_S, Label, LabelSource, Subject};
use tornello_engine::envelope::Digest;
use tornello_engine::ids::{CaseId, HoldId};
use tornello_engine::payment;
use tornello_engine::record::Record;
use tornello_engine::time::Timestamp;
use tornello_models::ModelError;
use tornello_models::fraud::drift::Reference;
use tornello_models::fraud::signals::{FEATURES, FeatureVector, SignalEvent, SignalKind, Taking, features};

use super::counters::Counters;
use super::fold::{ROWS, Row, digest_of, follows, is_judged, read_of};
use super::hearing::Hearing;
use crate::journal::wire::{self, Framed, WireError};
use crate::journal::{Batch, Journal, JournalError, StreamId, batches_after};
use crate::streams::corrupt;

/// How many batches are read at once.
const ROUND: u32 = 64;

/// A case of which something is known.
#[derive(Debug, Clone)]
pub struct Labelled {
    /// Which.
    pub case: CaseId,
    /// When it was opened: what happened to its sale after that is what somebody did because of it.
    pub opened_at: Timestamp,
    /// What is known of it, and since when.
    pub known: Known,
    /// Digest of the features that were assessed.
    pub assessed: Option<Digest>,
}

impl Labelled {
    /// Whether it was fraud.
    #[must_use]
    pub fn is_fraud(&self) -> bool {
        self.known.label == Label::Fraud
    }
}

/// Of what something is known; and how many cases have a label that this leaves out.
#[derive(Debug, Clone, Default)]
pub struct Labels {
    /// What it is known of.
    pub of: HashMap<Subject, Labelled>,
    /// Cases whose label is too young to be learned.
    pub young: u64,
}

impl Labels {
    /// What is known of something that happened at an instant, in UTC microseconds, and of what it is known. What is known of a sale is known of its return as well, unless
    /// that has a case of its own.
    fn get(&self, about: Subject, at_us: i64) -> Option<(Subject, &Labelled)> {
        let of_sale = || if let Subject::Return { sale, .. } = about { self.of.get(&Subject::Sale(sale)) } else { None };
        let known = self.of.get(&about).or_else(of_sale).map(|labelled| (about, labelled));
        known.or_else(|| self.unsold(about)).filter(|(_, labelled)| at_us <= labelled.opened_at.as_micros())
    }

    /// What is known of what would have been a sale, and came to no more than a hold.
    fn unsold(&self, about: Subject) -> Option<(Subject, &Labelled)> {
        let hold = if let Subject::Sale(hold) = about { Subject::Hold(hold) } else { return None };
        self.of.get(&hold).map(|labelled| (hold, labelled))
    }
}

/// Something that was asked for, and what became known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The case. One case may have several examples: of the hold, the payment and the sale.
    pub case: CaseId,
    /// What it is: a sale or what led to it, a hold that was not bought or what was tried to pay it, a return, a count of cash, or an attempt. A return may be an example of
    /// the case of its sale.
    pub about: Subject,
    /// The features, with when and through which channel.
    pub row: Row,
    /// Whether it was fraud.
    pub fraud: bool,
    /// Who says so.
    pub source: LabelSource,
    /// Since when a model may learn it.
    pub trains_at: Timestamp,
    /// Whether its case was opened long enough ago that honesty could be learned of it by now: of newer ones only frauds are, so they say nothing of how frequent
    /// fraud is.
    pub settled: bool,
    /// Whether these are, to the bit, the features of the case's assessment.
    pub assessed: bool,
}

/// What there is to learn.
#[derive(Debug, Clone, Default)]
pub struct Examples {
    /// Of what something is known, in the order in which it was asked for.
    pub labelled: Vec<Example>,
    /// The last events, whatever is known of them: what scores are compared with.
    pub usual: VecDeque<Row>,
    /// The last batch that was heard.
    pub position: u64,
    /// See [`Labels::young`].
    pub young: u64,
    /// Labelled cases of sales and holds of which no event was heard with a name in it: nothing is known of who asked.
    pub unheard: u64,
    /// Labelled cases of attempts, returns and counts of cash of which it is not known what a model was asked: they were not assessed, or by a program that did not write
    /// down what a refused attempt had asked for.
    pub unscored: u64,
}

impl Examples {
    /// What there was at work when this was known, labelled or not: what a model that learns it is fed later is held against that. None if there was nothing.
    pub fn reference(&self) -> Result<Option<Reference>, ModelError> {
        if self.usual.is_empty() { Ok(None) } else { Reference::fit(self.usual.iter().map(Row::fed)).map(Some) }
    }
}

/// The names of the features, in their order.
pub fn feature_names() -> impl Iterator<Item = &'static str> {
    FEATURES.iter().map(|(name, _)| *name)
}

/// What there was to learn at an instant, of the journal up to a batch: nothing that came after the instant counts, so a longer journal says the same of it. A label of
/// honesty waits 30 days, in which a bank may still say otherwise.
pub async fn examples(journal: &dyn Journal, until: Timestamp, end: u64, parties: usize) -> Result<Examples, JournalError> {
    let labels = labels(journal, end, until, |known| known.trains_at() <= until).await?;
    let taken = Taken { until, examples: Examples { young: labels.young, ..Examples::default() } };
    let cases: Vec<(Subject, CaseId)> = labels.of.iter().map(|(about, labelled)| (*about, labelled.case)).collect();
    let mut examples = hear_again(journal, labels, end, parties, taken).await?.examples;
    let heard: HashSet<CaseId> = examples.labelled.iter().map(|example| example.case).collect();
    for (about, _) in cases.iter().filter(|(_, case)| !heard.contains(case)) {
        match about {
            Subject::Sale(_) | Subject::Hold(_) => examples.unheard += 1,
            Subject::Attempt(_) | Subject::Return { .. } | Subject::Till(_) => examples.unscored += 1,
        }
    }
    examples.position = end;
    Ok(examples)
}

struct Taken {
    until: Timestamp,
    examples: Examples,
}

impl Listen for Taken {
    fn done(&mut self, asked: &Asked<'_>) {
        if asked.signal.at_us > self.until.as_micros() || follows(asked.signal) {
            return;
        }
        if self.examples.usual.len() >= ROWS {
            self.examples.usual.pop_front();
        }
        self.examples.usual.push_back(asked.row());
    }

    fn known(&mut self, asked: &Asked<'_>, about: Subject, labelled: &Labelled) {
        if asked.signal.at_us > self.until.as_micros() {
            return;
        }
        self.examples.labelled.push(Example {
            case: labelled.case,
            about,
            row: asked.row(),
            fraud: labelled.is_fraud(),
            source: labelled.known.source,
            trains_at: labelled.known.trains_at(),
            settled: labelled.opened_at.plus_seconds(LEGIT_DELAY_S) <= self.until,
            assessed: labelled.assessed == Some(digest_of(asked.features)),
        });
    }
}

/// The labels that all cases had at an instant, of the journal up to a batch, as far as `counts` lets them count. Of each case what is most credible counts, and of that
/// the last.
pub(super) async fn labels(journal: &dyn Journal, end: u64, until: Timestamp, counts: impl Fn(&Known) -> bool) -> Result<Labels, JournalError> {
    let mut cases: HashMap<CaseId, Case> = HashMap::new();
    let mut position = 0;
    while position < end {
        let batches = batches_after(journal, position, ROUND).await?;
        position = batches.last().map_or(end, |batch| batch.number);
        for batch in batches.iter().filter(|batch| batch.number <= end && batch.spans.iter().any(|span| matches!(span.stream, StreamId::Case(_)))) {
            for frame in wire::frames(&batch.records) {
                let frame = frame.map_err(|error| corrupt(batch, &error))?;
                if let StreamId::Case(id) = frame.stream {
                    let record: Record<case::Event> = frame.record().map_err(|error| corrupt(batch, &error))?;
                    // What was said or undone later was not known then.
                    if record.at <= until {
                        cases.entry(id).or_insert_with(|| Case::new(id)).apply(&record);
                    }
                }
            }
        }
    }
    let mut labels = Labels::default();
    for (id, case) in cases {
        let (Some(opened), Some(known)) = (case.opened(), case.label()) else { continue };
        if counts(&known) {
            let assessed = opened.assessment.as_ref().map(|assessment| assessment.features);
            labels.of.insert(opened.subject, Labelled { case: id, opened_at: case.opened_at(), known, assessed });
        } else {
            labels.young += 1;
        }
    }
    Ok(labels)
}

/// Something of which models had something to say.
pub(super) struct Asked<'a> {
    /// What.
    pub(super) signal: &'a SignalEvent,
    /// Which hold, sale, payment or attempt it is about.
    pub(super) subject: u128,
    /// What was known before it.
    pub(super) features: &'a FeatureVector,
}

impl Asked<'_> {
    fn row(&self) -> Row {
        Row::of(self.signal, self.subject, self.features)
    }

    /// Of whom analysts would read because of it, if of anybody.
    pub(super) fn read_of(&self) -> Option<Taking> {
        read_of(self.signal)
    }
}

/// Whoever listens to the journal once more.
pub(super) trait Listen: Send + 'static {
    /// It was asked for, and done.
    fn done(&mut self, asked: &Asked<'_>);
    /// It became known what it was: after [`Listen::done`], if it was done; what was refused is only known.
    fn known(&mut self, asked: &Asked<'_>, about: Subject, labelled: &Labelled);
}

/// Hears the journal again up to a batch. The work is done on a thread that answers nobody.
pub(super) async fn hear_again<L: Listen>(journal: &dyn Journal, labels: Labels, end: u64, parties: usize, listener: L) -> Result<L, JournalError> {
    let mut again = Again { hearing: Hearing::default(), counters: Counters::new(parties), labels, paid_for: HashMap::new(), listener };
    while again.counters.position() < end {
        let batches = batches_after(journal, again.counters.position(), ROUND).await?;
        let heard = tokio::task::spawn_blocking(move || {
            let mut wanted = batches.iter().filter(|batch| batch.number <= end);
            wanted.try_for_each(|batch| again.take(batch).map_err(|error| corrupt(batch, &error)))?;
            Ok::<_, JournalError>(again)
        });
        again = heard.await.map_err(|error| JournalError::Unreachable(error.to_string()))??;
    }
    Ok(again.listener)
}

struct Again<L> {
    hearing: Hearing,
    counters: Counters,
    labels: Labels,
    /// The sales and holds of which something is known, by the numbers of their payments.
    paid_for: HashMap<u128, HoldId>,
    listener: L,
}

impl<L: Listen> Again<L> {
    fn take(&mut self, batch: &Batch) -> Result<(), WireError> {
        self.payments(batch)?;
        let mut heard = Vec::new();
        for frame in wire::frames(&batch.records) {
            let (frame, from) = (frame?, heard.len());
            self.hearing.record(&frame, &mut heard)?;
            for (signal, subject) in heard[from..].iter().filter(|(signal, _)| is_judged(signal)) {
                let features = &features(&self.counters.known(signal).map(|(_, known)| known).unwrap_or_default(), signal);
                let asked = Asked { signal, subject: *subject, features };
                self.listener.done(&asked);
                let about = self.about(&frame, signal, *subject);
                if let Some((about, labelled)) = self.labels.get(about, signal.at_us) {
                    self.listener.known(&asked, about, labelled);
                }
            }
            if matches!(frame.stream, StreamId::Attempts(_)) {
                self.attempts(&frame.record()?);
            }
        }
        let signals: Vec<_> = heard.into_iter().map(|(signal, _)| signal).collect();
        self.counters.hear(batch.number, &signals);
        Ok(())
    }

    /// What a case about something that was done would be about.
    fn about(&self, frame: &Framed<'_>, signal: &SignalEvent, subject: u128) -> Subject {
        match (frame.stream, signal.kind) {
            (StreamId::Till(till), _) => Subject::Till(till),
            (StreamId::Slot(_), SignalKind::Refunded | SignalKind::Voided) => Subject::Return { sale: HoldId::from_raw(subject), seq: frame.seq },
            _ => Subject::Sale(self.paid_for.get(&subject).copied().unwrap_or(HoldId::from_raw(subject))),
        }
    }

    /// What became known of attempts that were refused. What was not refused after all, or is not known any more, is no example.
    fn attempts(&mut self, record: &Record<attempts::Event>) {
        for event in &record.events {
            let attempts::Event::Noted(attempt) = event else { continue };
            let about = Subject::Attempt(attempt.id);
            let Some((_, labelled)) = self.labels.get(about, record.at.as_micros()) else { continue };
            let Some(signal) = self.hearing.refused(attempt, record.envelope.as_ref()).filter(is_judged) else { continue };
            let features = &features(&self.counters.known(&signal).map(|(_, known)| known).unwrap_or_default(), &signal);
            self.listener.known(&Asked { signal: &signal, subject: u128::from(attempt.id.get()), features }, about, labelled);
        }
    }

    /// Notes which payments are for sales or holds of which something is known: what is known of these is known of their payment.
    fn payments(&mut self, batch: &Batch) -> Result<(), WireError> {
        if !batch.spans.iter().any(|span| matches!(span.stream, StreamId::Payment(_))) {
            return Ok(());
        }
        for frame in wire::frames(&batch.records) {
            let frame = frame?;
            let StreamId::Payment(payment) = frame.stream else { continue };
            for event in frame.record::<payment::Event>()?.events {
                if let payment::Event::Opened(opened) = event {
                    let is_known =
                        |hold: &HoldId| [Subject::Sale(*hold), Subject::Hold(*hold)].iter().any(|about| self.labels.of.contains_key(about));
                    let sale = opened.items.iter().map(|item| item.hold).find(is_known);
                    self.paid_for.extend(sale.map(|sale| (u128::from(payment.get()), sale)));
                }
            }
        }
        Ok(())
    }
}
