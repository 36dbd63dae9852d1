//! What rules would have done: the journal is heard again from its beginning, and for everything that was asked for since a moment the rules are asked with what was
//! known then, once for each command: what only follows from one, as the sale that a payment brings about, they are not asked about live either. What became of holds and
//! sales that would have been stopped is what banks, analysts and gates said of them since.
//! Nothing changes by it; it takes as long as reading the journal does, on a thread that answers nobody, and one trial at a time.

use std::collections::{BTreeMap, HashMap, HashSet};

use tornello_engine::aggregate::Aggregate;
use tornello_engine::case::{self, Case, Label, Subject};
use tornello_engine::channel::Channel;
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{CaseId, KeyId, PaymentId};
use tornello_engine::payment;
use tornello_engine::record::Record;
use tornello_engine::slot::{self, Settlement};
use tornello_engine::time::Timestamp;
use tornello_models::fraud::rules::{Action, RuleSet};
use tornello_models::fraud::signals::{Outlet, SignalEvent, SignalKind, features};

use super::again::{Mark, PAID};
use super::bank::BankWord;
use super::counters::Counters;
use super::fold::is_asked;
use super::hearing::{Hearing, Signal};
use super::recent::Recent;
use super::said::is_never_refused;
use crate::journal::wire::{self, WireError};
use crate::journal::{Batch, Journal, JournalError, StreamId, batches_after};
use crate::streams::corrupt;

/// How many batches are read at once.
const ROUND: u32 = 64;
/// Of so many that would have been stopped it is found out what became of them; more are counted.
const FOLLOWED_MAX: usize = 100_000;

/// What would have been.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trial {
    /// How many commands were asked about.
    pub asked: u64,
    /// For how many of them one more proof would have been asked for, also where they would have been looked at besides. None is at a desk, nor of who gives back or counts.
    pub step_up: u64,
    /// How many would have been looked at, also as nothing refuses them.
    pub review: u64,
    /// How many would have been refused.
    pub block: u64,
    /// How many holds and sales that is. What is given back or counted is none, and a payment is those that it is for.
    pub stopped: u64,
    /// How many of these were bought, and are honest as far as anybody has said: no bank took the money back for good, no verdict found fraud, and where there is neither, no
    /// ticket was blocked or shown twice.
    pub good: u64,
}

/// What became of a hold.
#[derive(Debug, Clone, Copy, Default)]
struct Fate {
    bought: bool,
    /// How often gates met one of its tickets twice, without what turned out to be none.
    met: u32,
    /// Whether tickets of it are blocked.
    blocked: bool,
    /// What the payer's bank said last: whether it was fraud.
    by_bank: Option<bool>,
    /// What its case says at the end: whether it was fraud.
    by_case: Option<bool>,
}

impl Fate {
    /// Whoever is more credible counts, as with the labels of a case.
    fn is_good(self) -> bool {
        self.bought && !self.by_bank.or(self.by_case).unwrap_or(self.met > 0 || self.blocked)
    }
}

/// Asks rules about everything since `from`, as if they had been in force. `desks` are the keys with desk rights, through whichever channel they sell: nobody asks them for a proof.
pub async fn try_rules(
    journal: &dyn Journal,
    rules: &RuleSet,
    from: Timestamp,
    parties: usize,
    desks: &HashSet<KeyId>,
) -> Result<Trial, JournalError> {
    let (hearing, counters) = (Hearing::default(), Counters::new(parties));
    let mut trying = Trying {
        hearing,
        counters,
        rules: rules.clone(),
        from,
        desks: desks.clone(),
        trial: Trial::default(),
        fates: BTreeMap::new(),
        paid: HashMap::new(),
        banks: HashMap::new(),
        cases: HashMap::new(),
        begun: Recent::new(PAID),
        moved: Recent::new(PAID),
    };
    let end = journal.head().await?.number;
    while trying.counters.position() < end {
        let batches = batches_after(journal, trying.counters.position(), ROUND).await?;
        let taken = tokio::task::spawn_blocking(move || {
            batches.iter().try_for_each(|batch| trying.take(batch).map_err(|error| corrupt(batch, &error)))?;
            Ok::<_, JournalError>(trying)
        });
        trying = taken.await.map_err(|error| JournalError::Unreachable(error.to_string()))??;
    }
    let Trying { mut trial, mut fates, cases, .. } = trying;
    for case in cases.values() {
        if let (Some(sale), Some(known)) = (case.sale(), case.label())
            && let Some(fate) = fates.get_mut(&sale.get())
        {
            fate.by_case = Some(known.label == Label::Fraud);
        }
    }
    trial.stopped = fates.len() as u64;
    trial.good = fates.values().filter(|fate| fate.is_good()).count() as u64;
    Ok(trial)
}

struct Trying {
    hearing: Hearing,
    counters: Counters,
    rules: RuleSet,
    from: Timestamp,
    desks: HashSet<KeyId>,
    trial: Trial,
    /// What became of what would have been stopped.
    fates: BTreeMap<u128, Fate>,
    /// Of which of these a payment has become sales: what the payer's bank says of it, it says of them.
    paid: HashMap<PaymentId, Vec<u128>>,
    /// What that says, of payments of which it has something to say.
    banks: HashMap<PaymentId, BankWord>,
    /// The cases about them.
    cases: HashMap<CaseId, Case>,
    /// What was said of payments: the sales that they bring about carry it, also those over nothing.
    begun: Recent<Mark, ()>,
    /// The moves that are under way by keys with desk rights, by what arrives: the record with which it does is of nobody.
    moved: Recent<u128, ()>,
}

/// What a record says of its signals beside what they say themselves.
#[derive(Debug, Default)]
struct Given {
    /// Sales that only follow from what was asked before: from a payment, or from a quote, whose options were.
    follow: Vec<u128>,
    /// Sales that tickets of other slots have become: it was asked once whether they may be, and they are held and sold.
    arrived: Vec<u128>,
    /// Whether it keeps options of a quote: they are taken whatever rules say.
    is_option: bool,
    /// Whether a quote's payment begins, or the house itself takes tickets back: nobody is asked.
    is_own: bool,
    /// Whether it is of a key with desk rights, or of tickets that such a key has moved.
    is_desk: bool,
    /// The holds that a payment is for.
    due: Vec<u128>,
}

impl Given {
    /// Whether rules are asked about a signal of the record when its command is given.
    fn asks(&self, signal: &SignalEvent, subject: u128) -> bool {
        match signal.kind {
            SignalKind::Held => !self.arrived.contains(&subject),
            SignalKind::Sold { .. } => !self.follow.contains(&subject),
            SignalKind::PaymentBegun | SignalKind::Refunded | SignalKind::Voided => !self.is_own,
            kind => is_asked(kind),
        }
    }
}

/// Whether whoever asks for it would be asked for a proof: whoever takes places or pays, and is seen by nobody.
const fn is_proof_asked(signal: &SignalEvent) -> bool {
    let takes = matches!(signal.kind, SignalKind::Held | SignalKind::Waited | SignalKind::Sold { .. } | SignalKind::PaymentBegun);
    takes && !matches!(signal.outlet, Outlet::BoxOffice)
}

impl Trying {
    fn take(&mut self, batch: &Batch) -> Result<(), WireError> {
        let mut heard = Vec::new();
        for frame in wire::frames(&batch.records) {
            let (frame, from) = (frame?, heard.len());
            match frame.stream {
                StreamId::Slot(slot) => {
                    let record = frame.record()?;
                    self.hearing.slot(slot, &record, &mut heard);
                    let given = self.given_by_slot(&record);
                    self.hear(&heard[from..], &given);
                    record.events.iter().for_each(|event| self.follow_slot(event));
                }
                StreamId::Payment(payment) => {
                    let record = frame.record()?;
                    self.hearing.payment(payment, &record, &mut heard);
                    let given = self.given_by_payment(&record);
                    self.hear(&heard[from..], &given);
                    self.follow_payment(payment, &record);
                }
                StreamId::Case(case) if !self.fates.is_empty() => self.follow_case(case, &frame.record()?),
                _ => {
                    self.hearing.record(&frame, &mut heard)?;
                    self.hear(&heard[from..], &Given::default());
                }
            }
        }
        let signals: Vec<_> = heard.into_iter().map(|(signal, _)| signal).collect();
        self.counters.hear(batch.number, &signals);
        Ok(())
    }

    /// What a slot's record says of its signals beside what they say themselves. A move that begins says nothing else; who moves is to be known when the tickets arrive.
    fn given_by_slot(&mut self, record: &Record<slot::Event>) -> Given {
        let envelope = record.envelope.as_ref();
        let said = envelope.and_then(|envelope| envelope.assessment.as_deref());
        let is_own = envelope.is_none_or(|envelope| envelope.who == KeyId::SYSTEM);
        let mut given = Given { is_own, is_desk: self.is_desk(envelope), ..Given::default() };
        for event in &record.events {
            match event {
                slot::Event::Held(held) => given.is_option |= is_own && held.channel == Channel::Group,
                slot::Event::Sold(sold) => {
                    let is_paid = matches!(sold.settlement, Settlement::Payment { .. });
                    let is_carried = said.is_some_and(|said| self.begun.get(&Mark::of(said)).is_some());
                    // The group office's own sales are assessed, those of quotes are not.
                    if is_paid || is_carried || (said.is_none() && sold.channel == Channel::Group) {
                        given.follow.push(sold.sale.get());
                    }
                }
                slot::Event::MoveBegun(begun) if given.is_desk => self.moved.put(begun.arrival.get(), ()),
                slot::Event::MoveUndone(undone) => drop(self.moved.take(&undone.arrival.get())),
                slot::Event::Arrived(arrived) => {
                    given.arrived.push(arrived.sale.get());
                    given.is_desk |= self.moved.take(&arrived.sale.get()).is_some();
                }
                _ => {}
            }
        }
        given
    }

    /// The same of a payment's record.
    fn given_by_payment(&mut self, record: &Record<payment::Event>) -> Given {
        let mut given = Given { is_desk: self.is_desk(record.envelope.as_ref()), ..Given::default() };
        for event in &record.events {
            let payment::Event::Opened(opened) = event else { continue };
            given.is_own |= opened.quote.is_some();
            given.due.extend(opened.items.iter().map(|item| item.hold.get()));
            if let Some(said) = record.envelope.as_ref().and_then(|envelope| envelope.assessment.as_deref()) {
                self.begun.put(Mark::of(said), ());
            }
        }
        given
    }

    /// Whether whoever gave a command has desk rights.
    fn is_desk(&self, envelope: Option<&Envelope>) -> bool {
        envelope.is_some_and(|envelope| self.desks.contains(&envelope.who))
    }

    /// Asks the rules about what is asked for, and notes what becomes of what they would have stopped.
    fn hear(&mut self, signals: &[Signal], given: &Given) {
        for &(ref signal, subject) in signals {
            if signal.at_us >= self.from.as_micros() && given.asks(signal, subject) {
                self.ask(signal, subject, given);
            }
            if let Some(fate) = self.fates.get_mut(&subject) {
                match signal.kind {
                    SignalKind::Sold { .. } => fate.bought = true,
                    SignalKind::AdmittedTwice { .. } | SignalKind::Conflict => fate.met += 1,
                    SignalKind::Withdrawn { .. } => fate.met = fate.met.saturating_sub(1),
                    _ => {}
                }
            }
        }
    }

    fn ask(&mut self, signal: &SignalEvent, subject: u128, given: &Given) {
        self.trial.asked += 1;
        let known = self.counters.known(signal).map(|(_, known)| known).unwrap_or_default();
        let fired = self.rules.ask(&features(&known, signal), signal.outlet, signal.museum);
        self.trial.step_up += u64::from(fired.needs_proof() && !given.is_option && !given.is_desk && is_proof_asked(signal));
        match fired.action {
            Some(Action::Review) => self.trial.review += 1,
            Some(Action::Block) if given.is_option || is_never_refused(signal) => self.trial.review += 1,
            Some(Action::Block) => {
                self.trial.block += 1;
                self.stop(signal.kind, subject, &given.due);
            }
            Some(Action::StepUp) | None => {}
        }
    }

    /// Follows from now on what would have been stopped. What is given back or counted is neither a hold nor a sale.
    fn stop(&mut self, kind: SignalKind, subject: u128, due: &[u128]) {
        let own = [subject];
        let holds: &[u128] = match kind {
            SignalKind::Held | SignalKind::Waited | SignalKind::Sold { .. } => &own,
            SignalKind::PaymentBegun => due,
            _ => &[],
        };
        for hold in holds {
            if self.fates.len() < FOLLOWED_MAX {
                self.fates.entry(*hold).or_default();
            }
        }
    }

    /// What is said of what would have been stopped: by whoever blocks tickets, and which payment it is paid by.
    fn follow_slot(&mut self, event: &slot::Event) {
        let (sale, blocked) = match event {
            slot::Event::Blocked(blocked) => (blocked.sale, true),
            slot::Event::Unblocked(unblocked) => (unblocked.sale, false),
            slot::Event::Sold(sold) if self.fates.contains_key(&sold.sale.get()) => {
                if let Settlement::Payment { id } = sold.settlement {
                    self.paid.entry(id).or_default().push(sold.sale.get());
                }
                return;
            }
            _ => return,
        };
        if let Some(fate) = self.fates.get_mut(&sale.get()) {
            fate.blocked = blocked;
        }
    }

    /// By the payer's bank.
    fn follow_payment(&mut self, payment: PaymentId, record: &Record<payment::Event>) {
        if !BankWord::is_in(record) {
            return;
        }
        let Some((label, _)) = self.banks.entry(payment).or_default().take(record) else { return };
        for sale in self.paid.get(&payment).into_iter().flatten() {
            if let Some(fate) = self.fates.get_mut(sale) {
                fate.by_bank = (label != Label::Withdrawn).then_some(label == Label::Fraud);
            }
        }
    }

    /// By an analyst.
    fn follow_case(&mut self, id: CaseId, record: &Record<case::Event>) {
        let is_followed = |event: &case::Event| match event {
            case::Event::Opened(opened) => matches!(opened.subject, Subject::Sale(sale) if self.fates.contains_key(&sale.get())),
            _ => false,
        };
        if self.cases.contains_key(&id) || record.events.iter().any(is_followed) {
            self.cases.entry(id).or_insert_with(|| Case::new(id)).apply(record);
        }
    }
}
