//! Says once more what was said: every assessment of a journal is worked out again from what it names (a batch of the journal, a number of the rules, a model and its line), by
//! the code that says it live, and held against what was written down. Only the journal and the folder of models are read.
//!
//! What the record takes as given is taken from it: where the line of the model was (it is drawn from scores that were given as there was time), whether a model took part,
//! and whom rules were to spare. What cannot be said again is counted apart, with the reason, and never as the same.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use tornello_engine::aggregate::Aggregate;
use tornello_engine::attempts::{self, Aim, Attempt};
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Assessment, Digest, Envelope};
use tornello_engine::ids::{CaseId, Code, HoldId, KeyId, SlotId, TillId};
use tornello_engine::model_registry::{self, ModelKind};
use tornello_engine::record::Record;
use tornello_engine::slot::{self, Settlement};
use tornello_engine::time::Timestamp;
use tornello_engine::{case, fraud_rules, payment, till};
use tornello_models::fraud::signals::{FeatureVector, Outlet, Role, SignalEvent, SignalKind, Taking, features};

use super::Rules;
use super::counters::Counters;
use super::fold::{digest_of, is_judged};
use super::hearing::{self, Hearing};
use super::in_force::rules_of;
use super::judge::{Acting, Unkept};
use super::recent::Recent;
use super::said::{Found, Judged, NO_MODEL, UNREAD, edition, of_option};
use super::shelf::Shelf;
use crate::journal::wire::{self, Framed, WireError};
use crate::journal::{Batch, Journal, JournalError, StreamId, batches_after};
use crate::streams::{all_of, corrupt};

/// How many batches are read at once.
const ROUND: u32 = 64;
/// The counters follow so many batches behind what is read, as what was said names an earlier batch than the one in which it stands. What names one that is earlier still waits
/// for a second reading.
const BEHIND: usize = if cfg!(test) { 4 } else { 1_024 };
/// So many models are in memory at once.
const MODELS: usize = 4;
/// Of so many payments it is remembered what was said of them: their sales carry it.
pub(super) const PAID: usize = 65_536;
/// As many parties of an attempt are kept; who took part beside these is not known.
const PARTIES_MAX: usize = 8;

/// Why something that was said is not said again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeftOut {
    /// It was written down before what it rests on was.
    Older,
    /// By the program that said it other features follow of the same journal, or other rules hold by themselves.
    OtherEdition,
    /// The counters could not be read when it was said: which batch would have been seen is not known.
    Unread,
    /// The model is not in the folder any more.
    ModelGone,
    /// What stands in the model's place is another one, or cannot be read.
    ModelOther,
    /// What was asked for was not written down.
    Unsaid,
    /// Not all who took part are known: it is too long ago, or an attempt had more than are kept.
    Forgotten,
}

/// What an assessment names that the journal has not: it cannot have been said like that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfounded {
    /// A batch that does not come before its own.
    Position,
    /// A number of the rules that they have not had by then.
    Rules,
}

/// What came of saying something again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    /// The same.
    Same,
    /// This.
    Other(Box<Assessment>),
    /// It cannot have been said.
    Unfounded(Unfounded),
    /// It is not said again.
    LeftOut(LeftOut),
}

impl Came {
    /// Whether what was written down is not what follows.
    #[must_use]
    pub const fn differs(&self) -> bool {
        matches!(self, Self::Other(_) | Self::Unfounded(_))
    }
}

/// Where an assessment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// What was asked for.
    pub asked: &'static str,
    /// In whose record.
    pub stream: StreamId,
    /// In which of them.
    pub seq: u64,
    /// In which batch.
    pub batch: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in record {} of {}, batch {}", self.asked, self.seq, self.stream, self.batch)
    }
}

/// An assessment that was said again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Where it stands.
    pub place: Place,
    /// As it is written down.
    pub written: Assessment,
    /// What came of it.
    pub came: Came,
}

/// In what two assessments differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// In this field.
    pub field: &'static str,
    /// As it is written down.
    pub was: String,
    /// As it follows.
    pub is: String,
}

impl Told {
    /// In what it differs from what follows.
    #[must_use]
    pub fn differences(&self) -> Vec<Difference> {
        match &self.came {
            Came::Other(said) => differences(&self.written, said),
            Came::Same | Came::Unfounded(_) | Came::LeftOut(_) => Vec::new(),
        }
    }
}

/// What came of saying everything again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Again {
    /// How many assessments there are, each once.
    pub assessed: u64,
    /// How many are the same.
    pub same: u64,
    /// Of these, those of rules alone: that no model took part is taken from the record.
    pub by_rules: u64,
    /// How many differ.
    pub differ: u64,
    /// How many are not said again, and why.
    pub left_out: BTreeMap<LeftOut, u64>,
    /// How many sales carry what was said of their payment: that is said again once.
    pub carried: u64,
    /// Those that differ, the first ones; of a case all, whatever came of them.
    pub told: Vec<Told>,
    /// The last batch that was read.
    pub position: u64,
}

/// Which assessments are said again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// All; so many of those that differ are told.
    All {
        /// How many.
        told: usize,
    },
    /// That of a case.
    Of(&'a Assessment),
}

/// Which assessment it is, wherever it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Mark {
    at: Timestamp,
    position: u64,
    features: u128,
}

impl Mark {
    /// That of an assessment.
    pub(super) const fn of(said: &Assessment) -> Self {
        let Digest(features) = said.features;
        Self { at: said.at, position: said.position, features }
    }
}

/// The assessment because of which there is a case; none if there is no such case, or nothing was said of what it is about.
///
/// # Errors
/// Those of the journal.
pub async fn assessment_of(journal: &dyn Journal, case: CaseId) -> Result<Option<Assessment>, JournalError> {
    let opened = |event| if let case::Event::Opened(opened) = event { opened.assessment } else { None };
    // Before it was opened it may have followed another one.
    let records = all_of::<case::Event>(journal, StreamId::Case(case)).await?;
    Ok(records.into_iter().flat_map(|record| record.events).find_map(opened))
}

/// Says again what stands in a journal. `shelf` has the models that were at work, `parties` is about how many were counted at once. Reads the whole journal, and all of it twice
/// where something names a batch of long before it; not for a thread that answers.
///
/// # Errors
/// Those of the journal.
pub async fn say_again(journal: &dyn Journal, shelf: Option<Shelf>, wanted: Wanted<'_>, parties: usize) -> Result<Again, JournalError> {
    let end = journal.head().await?.number;
    let mut walk = Walk::new(shelf, wanted, parties);
    walk.through(journal, end).await?;
    if !walk.late.is_empty() {
        walk.begin_again(parties);
        walk.through(journal, end).await?;
    }
    walk.again.told.sort_by_key(|told| told.place.batch);
    Ok(Again { position: end, ..walk.again })
}

/// What was asked for when something was said, as far as its record tells.
struct Asked {
    asked: &'static str,
    /// As what it may have been assessed, the likeliest first: what the record leaves open the digest of the features tells.
    signals: Vec<SignalEvent>,
    /// Why it says nothing if none of these has the features that were assessed.
    excuse: Option<LeftOut>,
    /// Whether it is an option of a quote, which is always taken.
    is_option: bool,
}

impl Asked {
    fn whole(asked: &'static str, signal: SignalEvent) -> Self {
        Self { asked, signals: vec![signal], excuse: None, is_option: false }
    }

    /// Who held or had the places is known by their number alone, and may be forgotten.
    fn of_held(asked: &'static str, signals: Vec<SignalEvent>, is_known: bool) -> Self {
        Self { asked, signals, excuse: (!is_known).then_some(LeftOut::Forgotten), is_option: false }
    }
}

/// An assessment that is to be said again.
struct Once {
    place: Place,
    written: Assessment,
    asked: Asked,
}

/// Reads a journal: what was said is found where it stands, and said again where the counters are as they were.
struct Walk {
    wanted: Option<Mark>,
    told_max: usize,
    no_model: Option<Code>,
    edition: u32,
    hearing: Hearing,
    counters: Counters,
    /// What the batches say that were read and are not counted yet, with their numbers.
    ahead: VecDeque<(u64, Vec<SignalEvent>)>,
    /// What waits for the counters to come to a batch, by that.
    waits: BTreeMap<u64, Vec<Once>>,
    /// What names a batch that was over when it was found.
    late: Vec<Once>,
    /// Whether assessments are looked for.
    looks: bool,
    rules: RulesSoFar,
    models: Models,
    paid: Recent<Mark, ()>,
    again: Again,
}

impl Walk {
    fn new(shelf: Option<Shelf>, wanted: Wanted<'_>, parties: usize) -> Self {
        let (wanted, told_max) = match wanted {
            Wanted::All { told } => (None, told),
            Wanted::Of(said) => (Some(Mark::of(said)), usize::MAX),
        };
        Self {
            wanted,
            told_max,
            no_model: NO_MODEL.parse().ok(),
            edition: edition(),
            hearing: Hearing::default(),
            counters: Counters::new(parties),
            ahead: VecDeque::new(),
            waits: BTreeMap::new(),
            late: Vec::new(),
            looks: true,
            rules: RulesSoFar::default(),
            models: Models { shelf, registered: HashMap::new(), read: Recent::new(MODELS) },
            paid: Recent::new(PAID),
            again: Again::default(),
        }
    }

    /// Reads all batches up to one.
    async fn through(&mut self, journal: &dyn Journal, end: u64) -> Result<(), JournalError> {
        let mut read = 0;
        while read < end {
            let batches = batches_after(journal, read, ROUND).await?;
            for batch in batches.iter().take_while(|batch| batch.number <= end) {
                self.take(batch).map_err(|error| corrupt(batch, &error))?;
            }
            read = batches.last().map_or(end, |batch| batch.number);
        }
        while !self.ahead.is_empty() {
            self.step();
        }
        self.step();
        Ok(())
    }

    /// Begins with the first batch once more, for what came too late.
    fn begin_again(&mut self, parties: usize) {
        (self.hearing, self.counters, self.looks) = (Hearing::default(), Counters::new(parties), false);
        for once in std::mem::take(&mut self.late) {
            self.waits.entry(once.written.position).or_default().push(once);
        }
    }

    fn take(&mut self, batch: &Batch) -> Result<(), WireError> {
        let mut heard = Vec::new();
        for frame in wire::frames(&batch.records) {
            let frame = frame?;
            // As what is asked for is known before it is done.
            if self.looks {
                self.look(batch.number, &frame)?;
            }
            self.hearing.record(&frame, &mut heard)?;
        }
        self.ahead.push_back((batch.number, heard.into_iter().map(|(signal, _)| signal).collect()));
        while self.ahead.len() > BEHIND {
            self.step();
        }
        Ok(())
    }

    /// Says what waits for the batch that was counted last, and counts the next one, if there is one.
    fn step(&mut self) {
        for once in self.waits.remove(&self.counters.position()).unwrap_or_default() {
            let came = self.say(&once);
            self.tell(once, came);
        }
        if let Some((number, signals)) = self.ahead.pop_front() {
            self.counters.hear(number, &signals);
        }
    }

    /// Finds what was said of the command of a record.
    fn look(&mut self, batch: u64, frame: &Framed<'_>) -> Result<(), WireError> {
        let place = |asked| Place { asked, stream: frame.stream, seq: frame.seq, batch };
        match frame.stream {
            StreamId::Slot(slot) => {
                let record: Record<slot::Event> = frame.record()?;
                let Some((envelope, said)) = said_of(record.envelope.as_ref()) else { return Ok(()) };
                if record.events.iter().any(|event| self.carries(event, said)) {
                    self.again.carried += u64::from(self.is_wanted(said));
                    return Ok(());
                }
                let asked = record.events.iter().find_map(|event| of_slot(&self.hearing, slot, event, envelope, said.at));
                let asked = asked.unwrap_or(Asked { asked: "command", signals: Vec::new(), excuse: Some(LeftOut::Unsaid), is_option: false });
                self.found(place(asked.asked), said, asked);
            }
            StreamId::Payment(_) => {
                let record: Record<payment::Event> = frame.record()?;
                let Some((envelope, said)) = said_of(record.envelope.as_ref()) else { return Ok(()) };
                for event in &record.events {
                    let payment::Event::Opened(opened) = event else { continue };
                    self.paid.put(Mark::of(said), ());
                    let asked = of_payment(&self.hearing, opened, envelope, said.at);
                    self.found(place(asked.asked), said, asked);
                }
            }
            StreamId::Till(till) => {
                let record: Record<till::Event> = frame.record()?;
                let Some((envelope, said)) = said_of(record.envelope.as_ref()) else { return Ok(()) };
                for event in &record.events {
                    let till::Event::Closed(closed) = event else { continue };
                    let asked = of_count(&self.hearing, till, closed, envelope, said.at);
                    self.found(place(asked.asked), said, asked);
                }
            }
            StreamId::Attempts(_) => {
                let record: Record<attempts::Event> = frame.record()?;
                for event in &record.events {
                    let attempts::Event::Noted(attempt) = event else { continue };
                    let Some(said) = &attempt.assessment else { continue };
                    let asked = of_attempt(&self.hearing, attempt, record.envelope.as_ref());
                    self.found(place(asked.asked), said, asked);
                }
            }
            StreamId::Rules => self.rules.take(&frame.record()?),
            StreamId::Models(ModelKind::Fraud) => self.models.take(&frame.record()?),
            _ => {}
        }
        Ok(())
    }

    /// Whether a sale was made by a payment: what stands with it was said of that.
    fn carries(&self, event: &slot::Event, said: &Assessment) -> bool {
        let slot::Event::Sold(sold) = event else { return false };
        matches!(sold.settlement, Settlement::Payment { .. }) || self.paid.get(&Mark::of(said)).is_some()
    }

    fn is_wanted(&self, said: &Assessment) -> bool {
        self.wanted.is_none_or(|wanted| wanted == Mark::of(said))
    }

    fn found(&mut self, place: Place, said: &Assessment, asked: Asked) {
        if !self.is_wanted(said) {
            return;
        }
        self.again.assessed += 1;
        let once = Once { place, written: said.clone(), asked };
        let position = said.position;
        if let Some(why) = self.hopeless(&once) {
            self.tell(once, Came::LeftOut(why));
        } else if position >= place.batch {
            self.tell(once, Came::Unfounded(Unfounded::Position));
        } else if position < self.counters.position() {
            self.late.push(once);
        } else {
            self.waits.entry(position).or_default().push(once);
        }
    }

    /// Why something cannot be said again, whatever the counters are.
    fn hopeless(&self, once: &Once) -> Option<LeftOut> {
        if once.asked.signals.is_empty() {
            return Some(once.asked.excuse.unwrap_or(LeftOut::Unsaid));
        }
        match once.written.basis.as_deref() {
            None => Some(LeftOut::Older),
            Some(basis) => (basis.edition != self.edition).then_some(LeftOut::OtherEdition),
        }
    }

    fn say(&mut self, once: &Once) -> Came {
        let Self { no_model: Some(no_model), edition, counters, rules, models, .. } = self else { return Came::LeftOut(LeftOut::Unsaid) };
        let (written, asked) = (&once.written, &once.asked);
        let Some(basis) = written.basis.as_deref() else { return Came::LeftOut(LeftOut::Older) };
        let Some(rules) = rules.of.get(&written.rules_version) else { return Came::Unfounded(Unfounded::Rules) };
        let is_unread = written.reasons.first().is_some_and(|reason| reason.as_str() == UNREAD);
        let fed = |signal: &SignalEvent| -> FeatureVector {
            let known = if is_unread { None } else { counters.known(signal).map(|(_, known)| known) };
            features(&known.unwrap_or_default(), signal)
        };
        let assessed = asked.signals.iter().map(|signal| (signal, fed(signal))).find(|(_, fed)| digest_of(fed) == written.features);
        if let (None, Some(excuse)) = (&assessed, asked.excuse) {
            return Came::LeftOut(excuse);
        }
        let Some((signal, fed)) = assessed.or_else(|| asked.signals.first().map(|signal| (signal, fed(signal)))) else {
            return Came::LeftOut(LeftOut::Unsaid);
        };
        // A line without a model's name stands for nothing, and a name without a line is none of rules alone.
        let line = basis.line.filter(|_| written.model != *no_model);
        let acting = line.map(|line| (models.get(written.model), f64::from_le_bytes(line)));
        let (judged, missing) = match acting {
            None => (None, None),
            Some((Err(why), _)) => (None, Some(why)),
            Some((Ok(acting), line)) if is_judged(signal) => (Judged::by(&acting, signal, &fed, line), None),
            Some((Ok(_), _)) => (None, None),
        };
        let found = Found { signal, features: &fed, position: written.position, rules, judged };
        let fired = found.fired();
        let mut said = found.said(fired, basis.spared.clone(), *no_model, *edition);
        if is_unread {
            said = said.unread(signal.outlet);
        }
        let mut said = said.assessment;
        if asked.is_option {
            of_option(&mut said);
        }
        if missing.is_some() {
            // What the model said is not known; what the rules were asked, and with what, is.
            said = Assessment { features: said.features, rules: said.rules, ..written.clone() };
        }
        match missing {
            _ if !differences(written, &said).is_empty() => Came::Other(Box::new(said)),
            Some(why) => Came::LeftOut(why),
            None if is_unread => Came::LeftOut(LeftOut::Unread),
            None => Came::Same,
        }
    }

    fn tell(&mut self, once: Once, came: Came) {
        let Once { place, written, .. } = once;
        match came {
            Came::Same => {
                self.again.same += 1;
                self.again.by_rules += u64::from(written.basis.as_ref().is_some_and(|basis| basis.line.is_none()));
            }
            Came::Other(_) | Came::Unfounded(_) => self.again.differ += 1,
            Came::LeftOut(why) => *self.again.left_out.entry(why).or_default() += 1,
        }
        if self.wanted.is_some() || came.differs() && self.again.told.len() < self.told_max {
            self.again.told.push(Told { place, written, came });
        }
    }
}

/// What a command carries, and what was said of it.
fn said_of(envelope: Option<&Envelope>) -> Option<(&Envelope, &Assessment)> {
    let envelope = envelope?;
    Some((envelope, envelope.assessment.as_deref()?))
}

/// As a slot knows who held places: their buyer, after a restart when nobody else answered in time.
fn in_slot(mut signal: SignalEvent, held_by: &[Taking]) -> SignalEvent {
    hearing::join(&mut signal.parties, held_by.iter().copied().filter(|taking| taking.role == Role::Buyer).take(1));
    signal
}

/// As what a command to a slot was assessed, if that is what became of it.
fn of_slot(hearing: &Hearing, slot: SlotId, event: &slot::Event, envelope: &Envelope, at: Timestamp) -> Option<Asked> {
    let known = |hold: HoldId| hearing.parties_of(hold);
    Some(match event {
        slot::Event::Held(held) => {
            let signal = hearing.asked(at, SignalKind::Held, held.channel, held.hold, &held.lines, Some(envelope));
            let is_option = held.channel == Channel::Group && envelope.who == KeyId::SYSTEM;
            Asked { is_option, ..Asked::whole("hold", signal) }
        }
        slot::Event::Waited(waited) => {
            Asked::whole("entry", hearing.asked(at, SignalKind::Waited, waited.channel, waited.entry, &waited.lines, Some(envelope)))
        }
        slot::Event::Sold(sold) => {
            let (kind, had) = (SignalKind::Sold { held: sold.held }, known(sold.sale));
            let mut signals = vec![hearing.asked(at, kind, sold.channel, sold.sale, &sold.lines, Some(envelope))];
            if let Some(had) = had {
                signals.push(in_slot(hearing::places(at, kind, sold.channel, slot, &sold.lines, envelope), had));
            }
            Asked::of_held("sale", signals, had.is_some() || !sold.held)
        }
        // An option of a quote keeps more than it did: of it is said what would be of all that it keeps now.
        slot::Event::Amended(amended) if envelope.who == KeyId::SYSTEM => {
            let signal = hearing::places(at, SignalKind::Held, Channel::Group, slot, &amended.lines, envelope);
            Asked { is_option: true, ..Asked::whole("hold", signal) }
        }
        slot::Event::MoveBegun(begun) => {
            let (kind, had) = (SignalKind::Sold { held: true }, known(begun.sale));
            let mut signals = vec![hearing.moving(at, begun, Some(envelope))];
            if let Some(had) = had {
                signals.push(in_slot(hearing::places(at, kind, begun.via, begun.arrival.slot(), &begun.lines, envelope), had));
            }
            Asked::of_held("move", signals, had.is_some())
        }
        slot::Event::Cancelled(cancelled) => {
            let had = known(cancelled.sale);
            // By a key of which channel is not written where the key is a party by name.
            let takers = std::iter::once(None).chain(Outlet::ALL.map(Some));
            let mut signals: Vec<_> = takers.filter_map(|taker| hearing.returned(at, slot, cancelled, Some(envelope), taker)).collect();
            if let (Some(first), Some(had)) = (signals.first().cloned(), had) {
                let by = |taker| SignalEvent { parties: hearing::parties(envelope, taker), ..first.clone() };
                signals.extend(Outlet::ALL.map(|taker| in_slot(by(taker), had)));
            }
            Asked::of_held("return", signals, had.is_some())
        }
        _ => return None,
    })
}

fn of_payment(hearing: &Hearing, opened: &payment::Opened, envelope: &Envelope, at: Timestamp) -> Asked {
    let holders = move || opened.items.iter().map(move |item| hearing.parties_of(item.hold));
    let first = opened.items.first().map(|item| item.hold);
    let alone = hearing::payment(at, opened.channel, opened.museum, opened.amount_cents.get(), first, envelope);
    let by_slots = holders().flatten().fold(alone, in_slot);
    let signals = vec![hearing.payment_begun(at, opened, Some(envelope)), by_slots];
    Asked::of_held("payment", signals, holders().all(|held_by| held_by.is_some()))
}

fn of_count(hearing: &Hearing, till: TillId, closed: &till::Closed, envelope: &Envelope, at: Timestamp) -> Asked {
    let opened = hearing.opened_by(till);
    let signal = opened.map(|(museum, opener)| hearing::count(at, museum, closed.difference_cents, envelope.who, Some(opener)));
    Asked::of_held("count", signal.into_iter().collect(), opened.is_some())
}

fn of_attempt(hearing: &Hearing, attempt: &Attempt, envelope: Option<&Envelope>) -> Asked {
    let Some(figures) = attempt.figures.as_deref() else {
        return Asked { asked: "attempt", signals: Vec::new(), excuse: Some(LeftOut::Unsaid), is_option: false };
    };
    // Of what was held or had before, whoever held or had it took part: also those of whom an attempt has no room.
    let of_others = !matches!(figures.aim, Aim::Hold | Aim::Wait | Aim::Buy { held: false });
    let is_whole = attempt.parties.len() < PARTIES_MAX && (!of_others || hearing.parties_of(figures.hold).is_some());
    Asked::of_held("attempt", hearing.refused(attempt, envelope).into_iter().collect(), is_whole)
}

/// In what what is written down differs from what is said.
fn differences(written: &Assessment, said: &Assessment) -> Vec<Difference> {
    let names = |codes: &[Code]| if codes.is_empty() { "none".to_owned() } else { codes.iter().map(Code::as_str).collect::<Vec<_>>().join(", ") };
    let fields = |said: &Assessment| -> [(&'static str, String); 7] {
        let Digest(features) = said.features;
        [
            ("outcome", said.outcome.name().to_owned()),
            ("score", said.score.to_string()),
            ("reasons", names(&said.reasons)),
            ("rules", names(&said.rules)),
            ("model", said.model.to_string()),
            ("probability", said.probability_ppm.map_or_else(|| "none".to_owned(), |ppm| format!("{ppm} ppm"))),
            ("features", format!("{features:032x}")),
        ]
    };
    let pairs = fields(written).into_iter().zip(fields(said));
    pairs.filter(|((_, was), (_, is))| was != is).map(|((field, was), (_, is))| Difference { field, was, is }).collect()
}

/// The rules as they have been so far, by their numbers.
struct RulesSoFar {
    state: fraud_rules::Rules,
    of: HashMap<u32, Rules>,
}

impl Default for RulesSoFar {
    fn default() -> Self {
        let state = fraud_rules::Rules::default();
        let of = HashMap::from([(state.version(), rules_of(&state))]);
        Self { state, of }
    }
}

impl RulesSoFar {
    fn take(&mut self, record: &Record<fraud_rules::Event>) {
        self.state.apply(record);
        self.of.entry(self.state.version()).or_insert_with(|| rules_of(&self.state));
    }
}

/// The models that were at work, as far as they are kept.
struct Models {
    shelf: Option<Shelf>,
    /// The checksums of those that are registered.
    registered: HashMap<Code, Digest>,
    read: Recent<Code, Result<Arc<Acting>, LeftOut>>,
}

impl Models {
    fn take(&mut self, record: &Record<model_registry::Event>) {
        for event in &record.events {
            if let model_registry::Event::Registered(registered) = event {
                self.registered.insert(registered.artifact, registered.checksum);
            }
        }
    }

    fn get(&mut self, name: Code) -> Result<Arc<Acting>, LeftOut> {
        if let Some(read) = self.read.get(&name) {
            return read.clone();
        }
        let shelf = self.shelf.as_ref().ok_or(LeftOut::ModelGone)?;
        let read = Acting::kept(shelf, name, self.registered.get(&name).copied()).map(Arc::new).map_err(|why| match why {
            Unkept::Gone => LeftOut::ModelGone,
            Unkept::Other => LeftOut::ModelOther,
        });
        self.read.put(name, read.clone());
        read
    }
}
