//! Which models there are of a kind, and which one acts: one stream for each kind. A model is registered with the checksum of its artifact, scores beside the one that
//! acts as a challenger, and is promoted by evidence and by somebody other than who registered it. The artifacts themselves are files elsewhere.
//!
//! - MR-1: one model at most acts, and it was promoted.
//! - MR-2: what is promoted has evidence, and an approver who did not register it. (Nor may it be who let it challenge; of promotions of older programs that is not so.)
//! - MR-3: an artifact is registered once; one that was retired does not come back.
//! - MR-4: replay equals live, and time does not go back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Broken};
use crate::envelope::Digest;
use crate::ids::{Code, KeyId};
use crate::past::Past;
use crate::record::Record;
use crate::time::Timestamp;

/// The most models of a kind.
pub const MODELS_MAX: usize = 1_000;
/// The fewest labels that evidence for a promotion rests on.
pub const LABELS_MIN: u32 = 50;
/// In how many of a thousand redraws a model of fraud must be the better one.
pub const CONFIDENCE_MILLI: u16 = 900;
/// A whole, in the unit of shares: thousandths.
const WHOLE: u16 = 1_000;

/// What models are for. Numbers are written in the journal: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// Who is not honest.
    Fraud,
    /// How many will come.
    Demand,
    /// How many will not.
    Cancellation,
}

impl ModelKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Fraud, Self::Demand, Self::Cancellation];

    /// The name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fraud => "fraud",
            Self::Demand => "demand",
            Self::Cancellation => "cancellation",
        }
    }
}

/// From when to when events counted, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The first instant.
    pub from: Timestamp,
    /// The last.
    pub to: Timestamp,
}

impl Window {
    /// Whether an instant lies in it.
    #[must_use]
    pub fn has(self, at: Timestamp) -> bool {
        (self.from..=self.to).contains(&at)
    }
}

/// What speaks for a model, measured on the same data as the one that acts. Shares are thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// How many labels it rests on.
    pub labels: u32,
    /// Of what was bad, how much it found within the analysts' budget (for forecasts: of the days, on how many the interval held).
    pub recall_milli: u16,
    /// The same of the one that acts.
    pub recall_before_milli: u16,
    /// Of what it found, how much was bad (for forecasts: a whole less its relative error).
    pub precision_milli: u16,
    /// The same of the one that acts.
    pub precision_before_milli: u16,
    /// Digest of the report from which this was taken; of fraud, of what was compared.
    pub report: Digest,
    /// In how many of a thousand redraws of what was compared it was better; none where that was not asked, as of forecasts.
    pub confidence_milli: Option<u16>,
    /// Over what it was compared with the one that acts; none where nothing was compared here, as of forecasts.
    pub window: Option<Window>,
}

/// What a model of fraud and the one that acts would have had looked at of the same cases, counted. It decides: of many cases thousandths do not tell apart which model found more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// How many it would have had looked at.
    pub raised: u64,
    /// How many of these were bad.
    pub found: u64,
    /// How many the one that acts would have had looked at.
    pub raised_before: u64,
    /// How many of those were bad.
    pub found_before: u64,
}

impl Counts {
    /// Whether more is found, and no less of what is raised is bad: compared crosswise, as nothing may be raised at all.
    #[must_use]
    pub fn is_better(self) -> bool {
        let crosswise = |found: u64, raised: u64| u128::from(found) * u128::from(raised);
        self.found > self.found_before && crosswise(self.found, self.raised_before) >= crosswise(self.found_before, self.raised)
    }
}

/// What can be asked of the models of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Make a model known.
    Register {
        /// The name of its artifact, with its version.
        artifact: Code,
        /// The checksum of the artifact.
        checksum: Digest,
        /// The digest of its card.
        card: Digest,
        /// Who says so.
        by: KeyId,
    },
    /// Let it score beside the one that acts.
    Challenge {
        /// Which.
        artifact: Code,
    },
    /// Let it act, in the place of the one that does.
    Promote {
        /// Which.
        artifact: Code,
        /// What speaks for it.
        evidence: Option<Evidence>,
        /// Of fraud, what was counted for that; none where nothing was compared.
        counts: Option<Counts>,
        /// Why it is to act although that is not enough, in one word.
        overridden: Option<Code>,
        /// Who approves.
        approver: KeyId,
    },
    /// Let it score no more; if it acts, none does.
    Retire {
        /// Which.
        artifact: Code,
    },
}

/// What happened to the models of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Event {
    /// See [`Registered`].
    Registered(Registered),
    /// See [`Challenging`].
    Challenging(Challenging),
    /// See [`Promoted`].
    Promoted(Promoted),
    /// See [`Retired`].
    Retired(Retired),
}

/// A model is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Registered {
    /// The name of its artifact.
    pub artifact: Code,
    /// The checksum of the artifact.
    pub checksum: Digest,
    /// The digest of its card.
    pub card: Digest,
    /// Who said so.
    pub by: KeyId,
}

/// It scores beside the one that acts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Challenging {
    /// Which.
    pub artifact: Code,
}

/// It acts; the one before is retired.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Promoted {
    /// Which.
    pub artifact: Code,
    /// What spoke for it.
    pub evidence: Evidence,
    /// Why it acts although that was not enough, in one word; none where it was.
    pub overridden: Option<Code>,
    /// Who approved.
    pub approver: KeyId,
}

/// It scores no more.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Retired {
    /// Which.
    pub artifact: Code,
}

/// Why the registry says no. In order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// There is no such model.
    #[error("there is no such model: register it first")]
    UnknownModel,
    /// It is registered already.
    #[error("this model is registered already")]
    ModelExists,
    /// It was retired.
    #[error("this model was retired: register the artifact under a new version")]
    ModelRetired,
    /// It is what is asked for already.
    #[error("the model is that already")]
    AlreadySo,
    /// Nothing speaks for it.
    #[error("a model is promoted by evidence: give it")]
    NoEvidence,
    /// The evidence cannot be.
    #[error("the evidence cannot be: shares are 0 to 1000 thousandths")]
    BadEvidence,
    /// The evidence rests on too little.
    #[error("the evidence rests on fewer than 50 labels")]
    TooFewLabels,
    /// The model that acts is better.
    #[error("the evidence does not say that it is better: more must be found, and no less of that be bad")]
    NotBetter,
    /// The same person registered it, or let it challenge.
    #[error("who drafts a rule, registers a model or lets it challenge does not put it in force: ask somebody else")]
    SamePerson,
    /// There are too many.
    #[error("as many models are known as are kept")]
    TooManyModels,
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::UnknownModel => "unknown_model",
            Self::ModelExists => "model_exists",
            Self::ModelRetired => "model_retired",
            Self::AlreadySo => "already_so",
            Self::NoEvidence => "no_evidence",
            Self::BadEvidence => "bad_evidence",
            Self::TooFewLabels => "too_few_labels",
            Self::NotBetter => "not_better",
            Self::SamePerson => "same_person",
            Self::TooManyModels => "too_many_models",
        }
    }
}

/// What a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nothing yet.
    Registered,
    /// It scores beside the one that acts.
    Challenger,
    /// It acts.
    Champion,
    /// Nothing any more.
    Retired,
}

/// A model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// What was registered.
    pub registered: Registered,
    /// When.
    pub at: Timestamp,
    /// What it does.
    pub stage: Stage,
    /// Since when.
    pub since: Timestamp,
    /// Who let it challenge, if it did.
    pub challenged_by: Option<KeyId>,
    /// What spoke for it and who approved, if it was promoted.
    pub promoted: Option<Promoted>,
}

/// The models of a kind. Serialized, equal states give equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Models {
    kind: ModelKind,
    known: BTreeMap<Code, Model>,
    champion: Option<Code>,
    past: Past,
}

impl Aggregate for Models {
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn past(&self) -> &Past {
        &self.past
    }

    fn decide(&self, _now: Timestamp, command: &Command) -> Result<Vec<Event>, Refusal> {
        let event = match command {
            Command::Register { artifact, checksum, card, by } => {
                if self.known.contains_key(artifact) {
                    return Err(Refusal::ModelExists);
                }
                if self.known.len() >= MODELS_MAX {
                    return Err(Refusal::TooManyModels);
                }
                Event::Registered(Registered { artifact: *artifact, checksum: *checksum, card: *card, by: *by })
            }
            Command::Challenge { artifact } => match self.live(*artifact)?.stage {
                Stage::Registered => Event::Challenging(Challenging { artifact: *artifact }),
                _ => return Err(Refusal::AlreadySo),
            },
            Command::Promote { artifact, evidence, counts, overridden, approver } => {
                let model = self.live(*artifact)?;
                if model.stage == Stage::Champion {
                    return Err(Refusal::AlreadySo);
                }
                let evidence = evidence.ok_or(Refusal::NoEvidence)?;
                let spoken = self.speaks_for(&evidence, *counts);
                if overridden.is_none() || spoken == Err(Refusal::BadEvidence) {
                    spoken?;
                }
                if model.registered.by == *approver || model.challenged_by == Some(*approver) {
                    return Err(Refusal::SamePerson);
                }
                // A word is kept only where it was needed: what was shown is not marked as if it were not.
                Event::Promoted(Promoted { artifact: *artifact, evidence, overridden: overridden.filter(|_| spoken.is_err()), approver: *approver })
            }
            Command::Retire { artifact } => {
                self.live(*artifact)?;
                Event::Retired(Retired { artifact: *artifact })
            }
        };
        Ok(vec![event])
    }

    fn apply(&mut self, record: &Record<Event>) {
        self.past.take(record);
        let at = record.at;
        for event in &record.events {
            match event {
                Event::Registered(registered) => {
                    let model =
                        Model { registered: registered.clone(), at, stage: Stage::Registered, since: at, challenged_by: None, promoted: None };
                    self.known.insert(registered.artifact, model);
                }
                Event::Challenging(challenging) => {
                    self.turn(challenging.artifact, Stage::Challenger, at);
                    if let Some(model) = self.known.get_mut(&challenging.artifact) {
                        model.challenged_by = record.envelope.as_ref().map(|envelope| envelope.who);
                    }
                }
                Event::Promoted(promoted) => {
                    if let Some(before) = self.champion.take() {
                        self.turn(before, Stage::Retired, at);
                    }
                    self.turn(promoted.artifact, Stage::Champion, at);
                    if let Some(model) = self.known.get_mut(&promoted.artifact) {
                        model.promoted = Some(promoted.clone());
                    }
                    self.champion = Some(promoted.artifact);
                }
                Event::Retired(retired) => {
                    self.turn(retired.artifact, Stage::Retired, at);
                    self.champion = self.champion.filter(|champion| *champion != retired.artifact);
                }
            }
        }
    }

    fn check(&self) -> Result<(), Broken> {
        let Some(champion) = self.champion else { return Ok(()) };
        let Some(model) = self.known.get(&champion).filter(|model| model.stage == Stage::Champion) else {
            return Err(Broken { invariant: "MR-1", what: "the model that acts is none" });
        };
        match &model.promoted {
            Some(promoted) if promoted.approver != model.registered.by => Ok(()),
            _ => Err(Broken { invariant: "MR-2", what: "a model acts without evidence or another's approval" }),
        }
    }
}

impl Models {
    /// What the models are for.
    #[must_use]
    pub const fn kind(&self) -> ModelKind {
        self.kind
    }

    /// None known yet.
    #[must_use]
    pub fn new(kind: ModelKind) -> Self {
        Self { kind, known: BTreeMap::new(), champion: None, past: Past::default() }
    }

    fn live(&self, artifact: Code) -> Result<&Model, Refusal> {
        match self.known.get(&artifact) {
            None => Err(Refusal::UnknownModel),
            Some(model) if model.stage == Stage::Retired => Err(Refusal::ModelRetired),
            Some(model) => Ok(model),
        }
    }

    /// Whether evidence is enough. Where no model acts, there is nothing to be better than; of fraud there always is: what nobody registered, the shell fits by itself.
    fn speaks_for(&self, evidence: &Evidence, counts: Option<Counts>) -> Result<(), Refusal> {
        let confidence = evidence.confidence_milli.unwrap_or(0);
        let shares = [evidence.recall_milli, evidence.recall_before_milli, evidence.precision_milli, evidence.precision_before_milli, confidence];
        if shares.iter().any(|share| *share > WHOLE) {
            return Err(Refusal::BadEvidence);
        }
        if evidence.labels < LABELS_MIN {
            return Err(Refusal::TooFewLabels);
        }
        let better = || evidence.recall_milli > evidence.recall_before_milli && evidence.precision_milli >= evidence.precision_before_milli;
        let good = match self.kind {
            ModelKind::Fraud => counts.is_some_and(Counts::is_better) && evidence.confidence_milli >= Some(CONFIDENCE_MILLI),
            ModelKind::Demand | ModelKind::Cancellation => self.champion.is_none() || better(),
        };
        if good { Ok(()) } else { Err(Refusal::NotBetter) }
    }

    fn turn(&mut self, artifact: Code, stage: Stage, at: Timestamp) {
        if let Some(model) = self.known.get_mut(&artifact) {
            (model.stage, model.since) = (stage, at);
        }
    }

    /// All models, in the order of their names.
    pub fn known(&self) -> impl ExactSizeIterator<Item = &Model> {
        self.known.values()
    }

    /// The model that acts.
    #[must_use]
    pub fn champion(&self) -> Option<&Model> {
        self.known.get(&self.champion?)
    }

    /// Those that score beside it.
    pub fn challengers(&self) -> impl Iterator<Item = &Model> {
        self.known.values().filter(|model| model.stage == Stage::Challenger)
    }

    /// The full count.
    pub fn recount(&self) -> Result<(), Broken> {
        self.check()?;
        let acting = self.known.values().filter(|model| model.stage == Stage::Champion).count();
        if acting > 1 || acting != usize::from(self.champion.is_some()) {
            return Err(Broken { invariant: "MR-1", what: "more than one model acts" });
        }
        if self.known.iter().any(|(artifact, model)| *artifact != model.registered.artifact) {
            return Err(Broken { invariant: "MR-3", what: "a model is known under another name" });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Envelope;

    const GOOD: Evidence = Evidence {
        labels: 60,
        recall_milli: 800,
        recall_before_milli: 700,
        precision_milli: 500,
        precision_before_milli: 500,
        report: Digest(9),
        confidence_milli: Some(950),
        window: None,
    };
    const BETTER: Counts = Counts { raised: 96, found: 48, raised_before: 84, found_before: 42 };

    fn code(text: &str) -> Code {
        text.parse().unwrap()
    }

    /// Does what is asked, by the key 3; MR-1, MR-2 and MR-3 hold after it, and the state survives its bytes (MR-4).
    fn tell(models: &mut Models, command: &Command) -> Result<(), Refusal> {
        let now = Timestamp::from_seconds(1_000);
        let events = models.decide(now, command)?;
        let key = Digest(u128::from(models.seq()));
        let envelope = Envelope { who: KeyId(3), key, body: key, parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() };
        let record = models.record(now, Some(envelope), events);
        models.apply(&record);
        assert_eq!((models.check(), models.recount()), (Ok(()), Ok(())));
        let bytes = postcard::to_allocvec(models).unwrap();
        assert_eq!(&postcard::from_bytes::<Models>(&bytes).unwrap(), models);
        Ok(())
    }

    fn counted(artifact: &str, evidence: Option<Evidence>, counts: Option<Counts>, approver: u64) -> Command {
        Command::Promote { artifact: code(artifact), evidence, counts, overridden: None, approver: KeyId(approver) }
    }

    fn promote(artifact: &str, evidence: Option<Evidence>, approver: u64) -> Command {
        counted(artifact, evidence, Some(BETTER), approver)
    }

    #[test]
    fn a_model_acts_by_evidence_and_anothers_approval() {
        let mut models = Models::new(ModelKind::Fraud);
        let register = |artifact: &str| Command::Register { artifact: code(artifact), checksum: Digest(1), card: Digest(2), by: KeyId(1) };
        assert_eq!(tell(&mut models, &promote("forest-1", Some(GOOD), 2)), Err(Refusal::UnknownModel));
        tell(&mut models, &register("forest-1")).unwrap();
        assert_eq!(tell(&mut models, &register("forest-1")), Err(Refusal::ModelExists));
        for (evidence, approver, expected) in [
            (None, 2, Refusal::NoEvidence),
            (Some(Evidence { recall_milli: 1_001, ..GOOD }), 2, Refusal::BadEvidence),
            (Some(Evidence { labels: 49, ..GOOD }), 2, Refusal::TooFewLabels),
            (Some(GOOD), 1, Refusal::SamePerson),
        ] {
            assert_eq!(tell(&mut models, &promote("forest-1", evidence, approver)), Err(expected));
        }
        tell(&mut models, &promote("forest-1", Some(GOOD), 2)).unwrap();
        assert_eq!(models.champion().map(|model| model.registered.artifact), Some(code("forest-1")));
        tell(&mut models, &register("logistic-1")).unwrap();
        tell(&mut models, &Command::Challenge { artifact: code("logistic-1") }).unwrap();
        assert_eq!(tell(&mut models, &Command::Challenge { artifact: code("logistic-1") }), Err(Refusal::AlreadySo));
        assert_eq!(models.challengers().count(), 1);
        for (worse, counts) in [
            (GOOD, None),
            (GOOD, Some(Counts { raised: 97, ..BETTER })),
            (GOOD, Some(Counts { found_before: 48, ..BETTER })),
            (Evidence { confidence_milli: Some(899), ..GOOD }, Some(BETTER)),
            (Evidence { confidence_milli: None, ..GOOD }, Some(BETTER)),
        ] {
            assert_eq!(tell(&mut models, &counted("logistic-1", Some(worse), counts, 2)), Err(Refusal::NotBetter));
        }
        assert_eq!(tell(&mut models, &promote("logistic-1", Some(GOOD), 3)), Err(Refusal::SamePerson), "who let it challenge");
        tell(&mut models, &promote("logistic-1", Some(GOOD), 2)).unwrap();
        assert_eq!(tell(&mut models, &promote("forest-1", Some(GOOD), 2)), Err(Refusal::ModelRetired));
        assert_eq!(tell(&mut models, &promote("logistic-1", Some(GOOD), 2)), Err(Refusal::AlreadySo));
        tell(&mut models, &Command::Retire { artifact: code("logistic-1") }).unwrap();
        assert!(models.champion().is_none(), "rules only");
    }

    #[test]
    fn of_many_cases_the_counts_decide_and_not_their_thousandths() {
        let mut models = Models::new(ModelKind::Fraud);
        tell(&mut models, &Command::Register { artifact: code("forest-1"), checksum: Digest(1), card: Digest(2), by: KeyId(1) }).unwrap();
        // Of 8,000 frauds three more are found, and as much of what is raised is fraud to the thousandth in each case.
        let equal =
            Evidence { labels: 8_000, recall_milli: 500, recall_before_milli: 500, precision_milli: 500, precision_before_milli: 500, ..GOOD };
        let counts = |found: u64, raised: u64| Some(Counts { raised, found, raised_before: 8_000, found_before: 4_000 });
        for (found, raised) in [(4_000, 8_000), (3_999, 7_000), (4_003, 8_007)] {
            assert_eq!(tell(&mut models, &counted("forest-1", Some(equal), counts(found, raised), 2)), Err(Refusal::NotBetter), "{found}");
        }
        tell(&mut models, &counted("forest-1", Some(equal), counts(4_003, 8_006), 2)).unwrap();
        // Whoever raises nothing finds nothing, however much there is.
        assert!(!Counts { raised: 0, found: 0, ..BETTER }.is_better());
        let most = u64::MAX;
        assert!(Counts { raised: most, found: most, raised_before: most, found_before: most - 1 }.is_better());
    }

    #[test]
    fn a_window_has_both_its_ends() {
        let [before, from, between, to, after] = [9, 10, 15, 20, 21].map(Timestamp::from_micros);
        let window = Window { from, to };
        assert_eq!([before, from, between, to, after].map(|at| window.has(at)), [false, true, true, true, false]);
    }

    #[test]
    fn what_was_not_shown_acts_by_somebody_elses_word_and_is_marked() {
        let mut models = Models::new(ModelKind::Fraud);
        let register = |artifact: &str| Command::Register { artifact: code(artifact), checksum: Digest(1), card: Digest(2), by: KeyId(1) };
        let promote = |artifact: &str, evidence, approver| {
            let overridden = Some(code("night-shift"));
            Command::Promote { artifact: code(artifact), evidence, counts: Some(BETTER), overridden, approver: KeyId(approver) }
        };
        let poor = Evidence { labels: 3, recall_milli: 0, confidence_milli: Some(0), ..GOOD };
        tell(&mut models, &register("forest-1")).unwrap();
        for (evidence, approver, expected) in [
            (None, 2, Refusal::NoEvidence),
            (Some(Evidence { precision_milli: 1_001, ..poor }), 2, Refusal::BadEvidence),
            (Some(Evidence { confidence_milli: Some(1_001), ..poor }), 2, Refusal::BadEvidence),
            (Some(poor), 1, Refusal::SamePerson),
        ] {
            assert_eq!(tell(&mut models, &promote("forest-1", evidence, approver)), Err(expected));
        }
        tell(&mut models, &promote("forest-1", Some(poor), 2)).unwrap();
        let word = |models: &Models| models.champion().and_then(|model| model.promoted.as_ref()).and_then(|promoted| promoted.overridden);
        assert_eq!(word(&models), Some(code("night-shift")));
        tell(&mut models, &register("forest-2")).unwrap();
        tell(&mut models, &promote("forest-2", Some(GOOD), 2)).unwrap();
        assert_eq!(word(&models), None, "it was shown: no word was needed");
    }
}
