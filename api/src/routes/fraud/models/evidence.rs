//! What speaks for a model of fraud that challenges: both models score again what came since, and are held against the labels that cases have by now.

use serde::Serialize;
use tornello_actors::digest::digest_of_bytes;
use tornello_actors::failure::Failure;
use tornello_actors::fraud::Sizes;
use tornello_actors::fraud::evidence::{Comparison, Promotion, compare};
use tornello_actors::node::Node;
use tornello_engine::envelope::Digest;
use tornello_engine::ids::Code;
use tornello_engine::model_registry::{CONFIDENCE_MILLI, Counts, Evidence, LABELS_MIN, ModelKind, Refusal, Stage, Window};
use tornello_engine::time::Timestamp;

use super::{EvidenceForm, PromotionForm};
use crate::problem::Problem;

/// What speaks for a model of fraud that challenges, as it was worked out.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ComparisonView {
    /// The id of the model that acts.
    champion: String,
    /// The id of the one that challenges.
    challenger: String,
    /// When it began to challenge (RFC 3339, UTC): of what was before, nothing is compared.
    #[schema(format = DateTime)]
    since: String,
    /// The first instant of what was compared (RFC 3339, UTC).
    #[schema(format = DateTime)]
    from: String,
    /// The last.
    #[schema(format = DateTime)]
    to: String,
    /// The journal's batch up to which it was looked.
    position: u64,
    /// How many events both scored.
    events: u64,
    /// How many cases with a label, as it is known by now, are among them.
    cases: u64,
    /// Whether it would be promoted on this.
    deserved: bool,
    /// What it lacks for that, in words; nothing if it is deserved.
    #[schema(max_items = 3)]
    missing: Vec<String>,
    /// The figures, as they would be recorded.
    evidence: EvidenceForm,
}

impl ComparisonView {
    pub(super) fn new(compared: &Compared) -> Result<Self, Problem> {
        let Compared { since, comparison } = compared;
        let Comparison { champion, challenger, window, position, events, cases, promotion } = comparison;
        Ok(Self {
            champion: champion.clone(),
            challenger: challenger.clone(),
            since: since.to_string(),
            from: window.from.to_string(),
            to: window.to.to_string(),
            position: *position,
            events: *events,
            cases: *cases,
            deserved: matches!(promotion, Promotion::Deserved(_)),
            missing: missing(promotion),
            evidence: (&evidence_of(comparison)?).into(),
        })
    }
}

/// What speaks for a model of fraud where nothing was found, or nothing can be worked out.
const NOTHING: Evidence = Evidence {
    labels: 0,
    recall_milli: 0,
    recall_before_milli: 0,
    precision_milli: 0,
    precision_before_milli: 0,
    report: Digest(0),
    confidence_milli: Some(0),
    window: None,
};

/// A comparison, and since when the model challenges.
pub(super) struct Compared {
    since: Timestamp,
    comparison: Comparison,
}

/// What a model lacks to be promoted, in words.
fn missing(promotion: &Promotion) -> Vec<String> {
    match *promotion {
        Promotion::Deserved(_) => Vec::new(),
        Promotion::TooFewLabels { frauds } => {
            vec![format!("{LABELS_MIN} cases that proved to be fraud are needed among those of the window, and there are {frauds}")]
        }
        Promotion::NotShown(found) => {
            let mut missing = Vec::new();
            if found.challenger_recall <= found.champion_recall {
                missing.push(format!(
                    "it has to find more: it finds {:.3} of the frauds, the one that acts {:.3}",
                    found.challenger_recall, found.champion_recall
                ));
            }
            if found.challenger_precision < found.champion_precision {
                let (its, before) = (found.challenger_precision, found.champion_precision);
                missing
                    .push(format!("no less of what it raises may be fraud: of its alerts {its:.3} are, of those of the one that acts {before:.3}"));
            }
            if found.confidence * 1_000.0 < f64::from(CONFIDENCE_MILLI) {
                let won = (found.confidence * 1_000.0).round();
                missing.push(format!("it has to be so in {CONFIDENCE_MILLI} of 1000 redraws of the cases, and is in {won}"));
            }
            missing
        }
    }
}

/// A comparison as it is recorded: figures, and the digest of all that was found.
fn evidence_of(comparison: &Comparison) -> Result<Evidence, Problem> {
    let report = serde_json::to_vec(comparison).map_err(|_| Problem::unavailable("the comparison cannot be written down"))?;
    let report = digest_of_bytes(&report);
    let milli = |share: f64| (share.clamp(0.0, 1.0) * 1_000.0).round() as u16;
    let window = Some(comparison.window);
    Ok(match comparison.promotion {
        Promotion::TooFewLabels { frauds } => Evidence { labels: frauds as u32, report, window, ..NOTHING },
        Promotion::Deserved(found) | Promotion::NotShown(found) => Evidence {
            labels: found.frauds as u32,
            recall_milli: milli(found.challenger_recall),
            recall_before_milli: milli(found.champion_recall),
            precision_milli: milli(found.challenger_precision),
            precision_before_milli: milli(found.champion_precision),
            report,
            confidence_milli: Some(milli(found.confidence)),
            window,
        },
    })
}

/// The window that is asked for, if it lies within the time for which a model challenges: what was before it may have learned from.
fn window(since: Timestamp, now: Timestamp, from: Option<&str>, to: Option<&str>) -> Result<Window, Problem> {
    let read = |name: &str, text: Option<&str>| {
        let read = text.map(str::parse::<Timestamp>).transpose();
        read.map_err(|_| Problem::invalid(format!("{name}: an RFC 3339 instant is expected")))
    };
    let now = now.max(since);
    let window = Window { from: read("from", from)?.unwrap_or(since), to: read("to", to)?.unwrap_or(now) };
    if window.from < since {
        return Err(Problem::invalid(format!("from: not before {since}, since when it challenges")));
    }
    if window.to > now {
        return Err(Problem::invalid(format!("to: not after {now}, which is now")));
    }
    if window.from > window.to {
        return Err(Problem::invalid("from: not after to"));
    }
    Ok(window)
}

/// Compares a model of fraud that challenges with the one that acts, over a window.
pub(super) async fn compared(node: &Node, artifact: Code, from: Option<&str>, to: Option<&str>) -> Result<Compared, Problem> {
    let known = node.defences().models(ModelKind::Fraud);
    let model = known.known().find(|model| model.registered.artifact == artifact).ok_or(Refusal::UnknownModel)?;
    let (since, judge) = (model.since, node.scoring().judge());
    let lacking = |what: &str| Err(Problem::from(Refusal::NoEvidence).detail(what));
    if model.stage != Stage::Challenger {
        return lacking("It does not challenge: let it, so that it scores beside the one that acts.");
    }
    let Some(challenger) = judge.challenger().filter(|acting| acting.code == artifact) else {
        return lacking("It does not score: another one challenges, or it was set aside, which the log tells.");
    };
    let Some(champion) = judge.champion() else { return lacking("No model acts that it could be held against.") };
    let window = window(since, node.now(), from, to)?;
    let Ok(_turn) = node.scoring().trials().try_acquire() else { return Err(Problem::busy()) };
    let end = node.head().number;
    let compared = compare(node.journal().as_ref(), [champion, challenger], *judge.budgets(), window, end, Sizes::default().parties).await;
    let comparison = compared.map_err(|error| {
        tracing::error!(%error, "models could not be compared");
        Problem::unavailable("the journal cannot be read now")
    })?;
    Ok(Compared { since, comparison })
}

/// Whether the models that were compared still act and challenge, since when they did.
fn stands(node: &Node, artifact: Code, Compared { since, comparison }: &Compared) -> bool {
    let (known, judge) = (node.defences().models(ModelKind::Fraud), node.scoring().judge());
    let model = known.known().find(|model| model.registered.artifact == artifact);
    model.is_some_and(|model| model.stage == Stage::Challenger && model.since == *since)
        && judge.challenger().is_some_and(|acting| acting.code == artifact && acting.id == comparison.challenger)
        && judge.champion().is_some_and(|acting| acting.id == comparison.champion)
}

/// What speaks for a model of fraud, and what it lacks, in words.
pub(super) struct Found {
    pub(super) evidence: Evidence,
    pub(super) counts: Option<Counts>,
    missing: Vec<String>,
}

impl Found {
    /// A refusal, with what was found where that is why.
    pub(super) fn told(&self, failure: Failure<Refusal>) -> Problem {
        match failure {
            Failure::Refused(why @ (Refusal::TooFewLabels | Refusal::NotBetter)) => {
                Problem::from(why).detail(self.missing.join("; ")).with("missing", &self.missing).with("evidence", EvidenceForm::from(&self.evidence))
            }
            other => other.into(),
        }
    }
}

/// What speaks for a model of fraud; where nothing can be worked out and somebody answers for that by a word, that nothing does.
pub(super) async fn found(node: &Node, artifact: Code, form: &PromotionForm) -> Result<Found, Problem> {
    let named = || node.defences().models(ModelKind::Fraud).champion().map(|model| model.registered.artifact);
    let champion = named();
    match compared(node, artifact, form.from.as_deref(), form.to.as_deref()).await {
        // It took a while: what was compared may act or challenge no more, and then nothing is shown.
        Ok(compared) if named() != champion || !stands(node, artifact, &compared) => Err(Problem::busy()),
        Ok(Compared { comparison, .. }) => {
            Ok(Found { evidence: evidence_of(&comparison)?, counts: comparison.counts(), missing: missing(&comparison.promotion) })
        }
        Err(problem) if form.overridden.is_some() && problem.code() == Refusal::NoEvidence.code() => {
            Ok(Found { evidence: NOTHING, counts: None, missing: Vec::new() })
        }
        Err(problem) => Err(problem),
    }
}
