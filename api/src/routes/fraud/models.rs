//! The models that are known, which of them acts and which score beside it. A model is promoted by evidence, and by somebody other than who registered it.

use actix_web::{HttpResponse, get, post, web};
use serde::{Deserialize, Serialize};
use tornello_actors::digest::digest_of_bytes;
use tornello_actors::failure::Failure;
use tornello_actors::fraud::agreement::{Agreed, Agreement};
use tornello_actors::fraud::evidence::{Comparison, Promotion, compare};
use tornello_actors::fraud::shadows::{Found as FoundBy, Raced, Shadow};
use tornello_actors::fraud::{Outlet, Sizes};
use tornello_actors::node::Node;
use tornello_engine::envelope::Digest;
use tornello_engine::ids::Code;
use tornello_engine::model_registry::{CONFIDENCE_MILLI, Command, Evidence, LABELS_MIN, Model, ModelKind, Refusal, Stage, Window};
use tornello_engine::time::Timestamp;

use super::rules::for_all_museums;
use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::request::{IdempotencyKey, Json, envelope};
use crate::routes::{files, instant_of};
use crate::words::{ModelKindWord, ModelStageWord};

/// Which models to list.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ModelsQuery {
    /// What they are for: `fraud`, `demand` or `cancellation`; `fraud` if not said.
    #[param(inline, value_type = Option<ModelKindWord>)]
    kind: Option<ModelKind>,
}

/// A model to make known.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelForm {
    /// What it is for: `fraud`, `demand` or `cancellation`.
    #[schema(value_type = ModelKindWord)]
    kind: ModelKind,
    /// The name of its artifact, with its version.
    #[schema(value_type = String, max_length = 23, examples("forest-2"))]
    artifact: Code,
    /// The first 128 bits of the SHA-256 of the artifact, in hexadecimal.
    #[schema(min_length = 32, max_length = 32, examples("0123456789abcdef0123456789abcdef"))]
    checksum: String,
    /// The same of its card.
    #[schema(min_length = 32, max_length = 32, examples("0123456789abcdef0123456789abcdef"))]
    card: String,
}

/// What speaks for a model, measured on the same data as the one that acts. Shares are thousandths.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EvidenceForm {
    /// How many labels it rests on.
    #[schema(minimum = 0, examples(80))]
    labels: u32,
    /// How much of what was bad it found.
    #[schema(maximum = 1_000, examples(810))]
    recall_milli: u16,
    /// The same of the one that acts.
    #[schema(maximum = 1_000, examples(760))]
    recall_before_milli: u16,
    /// How much of what it found was bad.
    #[schema(maximum = 1_000, examples(420))]
    precision_milli: u16,
    /// The same of the one that acts.
    #[schema(maximum = 1_000, examples(400))]
    precision_before_milli: u16,
    /// The first 128 bits of the SHA-256 of the report, in hexadecimal; of fraud, of the comparison that is shown by `GET .../evidence`.
    #[schema(min_length = 32, max_length = 32, examples("0123456789abcdef0123456789abcdef"))]
    report: String,
    /// Of fraud, in how many of a thousand redraws of what was compared it was the better one. It is never given, but worked out.
    #[serde(default, skip_deserializing, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 1_000, read_only)]
    confidence_milli: Option<u16>,
    /// Of fraud, the first instant of what was compared (RFC 3339, UTC). Neither is it given here.
    #[serde(default, skip_deserializing, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime, read_only)]
    from: Option<String>,
    /// The last.
    #[serde(default, skip_deserializing, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime, read_only)]
    to: Option<String>,
}

/// Which model, and what speaks for it.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PromotionForm {
    /// What it is for.
    #[schema(value_type = ModelKindWord)]
    kind: ModelKind,
    /// What speaks for it; without, it is refused. Not of fraud: there it is worked out from what became known since it challenges.
    #[serde(default)]
    evidence: Option<EvidenceForm>,
    /// Of fraud, why it is to act although that does not speak for it, in one word: it is marked so.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 23, examples("emergency"))]
    overridden: Option<Code>,
    /// Of fraud, from when on the models are compared (RFC 3339), not before it challenges; absent: since it challenges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    from: Option<String>,
    /// Of fraud, until when (RFC 3339), not in the future; absent: until now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    to: Option<String>,
}

/// Over what two models are compared.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WindowQuery {
    /// From when on (RFC 3339), not before the model challenges; absent: since it challenges.
    #[param(value_type = Option<String>, format = DateTime, example = "2027-01-01T00:00:00Z")]
    from: Option<String>,
    /// Until when (RFC 3339), not in the future; absent: until now.
    #[param(value_type = Option<String>, format = DateTime, example = "2027-01-31T23:59:59Z")]
    to: Option<String>,
}

/// Which kind a model is of.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KindForm {
    /// What it is for.
    #[schema(value_type = ModelKindWord)]
    kind: ModelKind,
}

/// A model.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ModelView {
    /// The name of its artifact.
    artifact: String,
    /// `registered`, `challenger`, `champion` or `retired`.
    #[schema(value_type = ModelStageWord)]
    stage: Stage,
    /// Since when (RFC 3339, UTC).
    #[schema(format = DateTime)]
    since: String,
    /// The checksum of the artifact.
    checksum: String,
    /// The digest of its card.
    card: String,
    /// The key of whoever registered it.
    registered_by: String,
    /// The key of whoever let it challenge.
    #[serde(skip_serializing_if = "Option::is_none")]
    challenged_by: Option<String>,
    /// What spoke for it, if it was promoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<EvidenceForm>,
    /// Why it acts although that did not speak for it; absent where it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    overridden: Option<String>,
    /// The key of whoever approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    approver: Option<String>,
}

/// How often the two models would have had events of a channel looked at.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct BesideOf {
    /// Through which channel.
    channel: &'static str,
    /// How many events both would have had looked at.
    both: u64,
    /// How many only the one that acts.
    champion_only: u64,
    /// How many only the one that challenges.
    challenger_only: u64,
    /// How many none of both.
    neither: u64,
}

/// How the model that challenges and the one that acts agree, each by its own line for the same budget of alerts. It asks for no label: which one is right,
/// `GET .../evidence` says.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct BesideView {
    /// The model that acts.
    champion: String,
    /// The one that challenges.
    challenger: String,
    /// The first event that both scored (RFC 3339, UTC), since the node started, or since both have their places and their lines.
    #[schema(format = DateTime)]
    from: String,
    /// The last.
    #[schema(format = DateTime)]
    to: String,
    /// By channel, of those that had any.
    #[schema(max_items = 5)]
    by_channel: Vec<BesideOf>,
}

impl From<Agreement> for BesideView {
    fn from(agreement: Agreement) -> Self {
        let Agreement { champion, challenger, since, until, channels } = agreement;
        let of = |channel: &'static str, agreed: Agreed| {
            let Agreed { both, champion_only, challenger_only, neither } = agreed;
            BesideOf { channel, both, champion_only, challenger_only, neither }
        };
        let any = Outlet::ALL.into_iter().zip(channels).filter(|(_, agreed)| *agreed != Agreed::default());
        Self {
            champion: champion.to_string(),
            challenger: challenger.to_string(),
            from: since.to_string(),
            to: until.to_string(),
            by_channel: any.map(|(outlet, agreed)| of(outlet.name(), agreed)).collect(),
        }
    }
}

/// So many of the last cases are asked for labels, when scorers are compared.
const CASES_ASKED: u32 = 20_000;

/// How much one scorer would have found, with as many alerts a day as all others.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct FoundView {
    /// How many events it would have had looked at.
    raised: u64,
    /// Of the frauds that are known the share that it would have had looked at; absent if none is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    recall: Option<f64>,
    /// Of what is known and it would have had looked at the share that is fraud; absent if there is nothing such.
    #[serde(skip_serializing_if = "Option::is_none")]
    precision: Option<f64>,
}

impl From<FoundBy> for FoundView {
    fn from(found: FoundBy) -> Self {
        let FoundBy { raised, recall, precision } = found;
        Self { raised, recall, precision }
    }
}

/// One of the three scorers that never act.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ShadowView {
    /// `robust_covariance`, `isolation_forest` or `tails`.
    #[schema(max_length = 20)]
    scorer: &'static str,
    /// How much it would have found.
    found: FoundView,
    /// How many events both it and the model that acts would have had looked at.
    both: u64,
    /// How many only the one that acts.
    acting_only: u64,
    /// How many only this one.
    shadow_only: u64,
    /// How many none of both.
    neither: u64,
    /// How far its percentile lies from that of the one that acts, 0 to 1, on average; absent if both have said none of the same event.
    #[serde(skip_serializing_if = "Option::is_none")]
    percentile_apart: Option<f64>,
}

impl From<Shadow> for ShadowView {
    fn from(shadow: Shadow) -> Self {
        let Shadow { scorer, found, agreed: Agreed { both, champion_only, challenger_only, neither }, apart } = shadow;
        let (acting_only, shadow_only) = (champion_only, challenger_only);
        Self { scorer: scorer.name(), found: found.into(), both, acting_only, shadow_only, neither, percentile_apart: apart }
    }
}

/// How three scorers that need no labels fare beside the model that acts. They are asked about everything because of which analysts may read of somebody. They are compared and cannot be
/// promoted: none of them acts or challenges, whatever they find. What nobody suspects is rarely looked at, so what is known favours the model that acted.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RacedView {
    /// The model that acts; absent if none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    acting: Option<String>,
    /// The first event that is compared (RFC 3339, UTC), of the last 65,536 since the node started or another model acts.
    #[schema(format = DateTime)]
    from: String,
    /// The last.
    #[schema(format = DateTime)]
    to: String,
    /// How many are compared.
    events: u64,
    /// The last event that the three were fitted on (RFC 3339, UTC).
    #[schema(format = DateTime)]
    fitted_until: String,
    /// On how many events they were: a part of those that the node's own model is fitted on.
    fitted_on: u64,
    /// How many sales among them proved to be fraud.
    frauds: u64,
    /// How many proved to be honest.
    honest: u64,
    /// How much the one that acts would have found by the same line.
    found: FoundView,
    /// The three.
    #[schema(max_items = 3)]
    shadows: Vec<ShadowView>,
}

impl From<Raced> for RacedView {
    fn from(raced: Raced) -> Self {
        let Raced { acting, since, until, events, fitted_until, fitted_on, frauds, honest, acts, shadows } = raced;
        Self {
            acting: acting.map(|code| code.to_string()),
            from: since.to_string(),
            to: until.to_string(),
            events,
            fitted_until: fitted_until.to_string(),
            fitted_on,
            frauds,
            honest,
            found: acts.into(),
            shadows: shadows.into_iter().map(ShadowView::from).collect(),
        }
    }
}

/// The models of a kind.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ModelsView {
    /// What they are for.
    kind: &'static str,
    /// The models, in the order of their names.
    #[schema(max_items = 1_000)]
    items: Vec<ModelView>,
    /// Of fraud, how the one that challenges and the one that acts agree; absent if there are not both, or nothing was scored by both yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    beside: Option<BesideView>,
    /// Of fraud, when models are listed, how the scorers fare that never act; absent as long as they were asked about nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    raced: Option<RacedView>,
}

fn hexadecimal(Digest(bits): Digest) -> String {
    format!("{bits:032x}")
}

fn read(text: &str) -> Result<Digest, Problem> {
    let digits = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let bits = u128::from_str_radix(text, 16).ok().filter(|_| digits);
    bits.map(Digest).ok_or_else(|| Problem::invalid("32 hexadecimal digits are expected"))
}

impl From<&Evidence> for EvidenceForm {
    fn from(evidence: &Evidence) -> Self {
        let Evidence { labels, recall_milli, recall_before_milli, precision_milli, precision_before_milli, report, confidence_milli, window } =
            *evidence;
        let (report, from, to) = (hexadecimal(report), window.map(|window| window.from.to_string()), window.map(|window| window.to.to_string()));
        Self { labels, recall_milli, recall_before_milli, precision_milli, precision_before_milli, report, confidence_milli, from, to }
    }
}

impl EvidenceForm {
    fn evidence(&self) -> Result<Evidence, Problem> {
        let Self { labels, recall_milli, recall_before_milli, precision_milli, precision_before_milli, ref report, .. } = *self;
        let (report, confidence_milli, window) = (read(report)?, None, None);
        Ok(Evidence { labels, recall_milli, recall_before_milli, precision_milli, precision_before_milli, report, confidence_milli, window })
    }
}

impl From<&Model> for ModelView {
    fn from(model: &Model) -> Self {
        Self {
            artifact: model.registered.artifact.to_string(),
            stage: model.stage,
            since: model.since.to_string(),
            checksum: hexadecimal(model.registered.checksum),
            card: hexadecimal(model.registered.card),
            registered_by: model.registered.by.to_string(),
            challenged_by: model.challenged_by.map(|key| key.to_string()),
            evidence: model.promoted.as_ref().map(|promoted| (&promoted.evidence).into()),
            overridden: model.promoted.as_ref().and_then(|promoted| promoted.overridden).map(|word| word.to_string()),
            approver: model.promoted.as_ref().map(|promoted| promoted.approver.to_string()),
        }
    }
}

fn view(node: &Node, kind: ModelKind) -> ModelsView {
    let agreement = if kind == ModelKind::Fraud { node.scoring().judge().agreement() } else { None };
    let items = node.defences().models(kind).known().map(ModelView::from).collect();
    ModelsView { kind: kind.name(), items, beside: agreement.map(Into::into), raced: None }
}

/// How the scorers fare that never act.
async fn raced(node: &Node) -> Result<Option<RacedView>, Problem> {
    let known = files(node)?.views.known_of_sales(CASES_ASKED).await?;
    let judge = std::sync::Arc::clone(node.scoring().judge());
    let raced = web::block(move || judge.raced(&known)).await.map_err(|_| Problem::busy())?;
    Ok(raced.map(Into::into))
}

/// List models.
///
/// Those of a kind: which one acts, which score beside it, what spoke for each; of fraud also how scorers fare beside it that never act.
#[utoipa::path(
    tag = "Fraud", operation_id = "list_models", security(("key" = ["investigate"])), params(ModelsQuery),
    responses((status = 200, description = "The models of a kind", body = ModelsView), crate::openapi::Problems),
)]
#[get("/fraud/models")]
pub async fn list(node: web::Data<Node>, caller: Caller, query: web::Query<ModelsQuery>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Investigate)?;
    let kind = query.kind.unwrap_or(ModelKind::Fraud);
    let raced = if kind == ModelKind::Fraud { raced(&node).await? } else { None };
    Ok(HttpResponse::Ok().json(ModelsView { raced, ..view(&node, kind) }))
}

/// Register a model.
///
/// A model of fraud must stand in `models/fraud/NAME` of the data folder with these bytes, be fed what the node feeds its own, and be quick enough.
#[utoipa::path(
    tag = "Fraud", operation_id = "register_model", security(("key" = ["investigate"])),
    request_body(content = ModelForm, example = json!({"kind": "fraud", "artifact": "forest-2",
        "checksum": "9b74c9897bac770ffc029102a200c5de", "card": "5d41402abc4b2a76b9719d911017c592"})),
    params(("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 201, description = "It is known", body = ModelsView), crate::openapi::Problems),
)]
#[post("/fraud/models")]
pub async fn register(node: web::Data<Node>, caller: Caller, key: IdempotencyKey, form: Json<ModelForm>) -> Result<HttpResponse, Problem> {
    for_all_museums(&caller, Scope::Investigate)?;
    let envelope = envelope(&node, &caller, &key, &["register model"], &*form, &[], None)?;
    let ModelForm { kind, artifact, ref checksum, ref card } = *form;
    let (checksum, card) = (read(checksum)?, read(card)?);
    // What was registered before is answered as it was then, whatever became of its files.
    let is_new = !node.defences().models(kind).known().any(|model| model.registered.artifact == artifact);
    if kind == ModelKind::Fraud && is_new {
        let judge = std::sync::Arc::clone(node.scoring().judge());
        let tried = web::block(move || judge.try_out(artifact, checksum, card)).await.map_err(|_| Problem::busy())?;
        tried.map_err(|error| Problem::invalid(format!("artifact: {error}")))?;
    }
    let command = Command::Register { artifact, checksum, card, by: caller.id() };
    node.models(kind, envelope, command).await?;
    Ok(HttpResponse::Created().json(view(&node, kind)))
}

/// Let a model challenge.
///
/// It scores beside the one that acts, and acts on nothing.
#[utoipa::path(
    tag = "Fraud", operation_id = "challenge_model", security(("key" = ["investigate"])),
    request_body(content = KindForm, example = json!({"kind": "fraud"})),
    params(("artifact" = String, Path, description = "The model"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It scores", body = ModelsView), crate::openapi::Problems),
)]
#[post("/fraud/models/{artifact}/challenge")]
pub async fn challenge(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    artifact: web::Path<Code>,
    form: Json<KindForm>,
) -> Result<HttpResponse, Problem> {
    for_all_museums(&caller, Scope::Investigate)?;
    let artifact = artifact.into_inner();
    let envelope = envelope(&node, &caller, &key, &["challenge model", artifact.as_str()], &*form, &[], None)?;
    node.models(form.kind, envelope, Command::Challenge { artifact }).await?;
    Ok(HttpResponse::Ok().json(view(&node, form.kind)))
}

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
    fn new(compared: &Compared) -> Result<Self, Problem> {
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
struct Compared {
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
async fn compared(node: &Node, artifact: Code, from: Option<&str>, to: Option<&str>) -> Result<Compared, Problem> {
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
struct Found {
    evidence: Evidence,
    missing: Vec<String>,
}

impl Found {
    /// A refusal, with what was found where that is why.
    fn told(&self, failure: Failure<Refusal>) -> Problem {
        match failure {
            Failure::Refused(why @ (Refusal::TooFewLabels | Refusal::NotBetter)) => {
                Problem::from(why).detail(self.missing.join("; ")).with("missing", &self.missing).with("evidence", EvidenceForm::from(&self.evidence))
            }
            other => other.into(),
        }
    }
}

/// What speaks for a model of fraud; where nothing can be worked out and somebody answers for that by a word, that nothing does.
async fn found(node: &Node, artifact: Code, form: &PromotionForm) -> Result<Found, Problem> {
    let named = || node.defences().models(ModelKind::Fraud).champion().map(|model| model.registered.artifact);
    let champion = named();
    match compared(node, artifact, form.from.as_deref(), form.to.as_deref()).await {
        // It took a while: what was compared may act or challenge no more, and then nothing is shown.
        Ok(compared) if named() != champion || !stands(node, artifact, &compared) => Err(Problem::busy()),
        Ok(Compared { comparison, .. }) => Ok(Found { evidence: evidence_of(&comparison)?, missing: missing(&comparison.promotion) }),
        Err(problem) if form.overridden.is_some() && problem.code() == Refusal::NoEvidence.code() => {
            Ok(Found { evidence: NOTHING, missing: Vec::new() })
        }
        Err(problem) => Err(problem),
    }
}

/// Compare a model with the one that acts.
///
/// Of fraud, while it challenges: everything since then, or in the part of it that `from` and `to` name, is scored again by both, and held against the labels that cases
/// have by now. That takes a while where it is long; `busy` while another comparison or trial runs.
#[utoipa::path(
    tag = "Fraud", operation_id = "compare_model", security(("key" = ["investigate"])),
    params(("artifact" = String, Path, description = "The model"), WindowQuery),
    responses((status = 200, description = "What speaks for it", body = ComparisonView), crate::openapi::Problems),
)]
#[get("/fraud/models/{artifact}/evidence")]
pub async fn weigh(
    node: web::Data<Node>,
    caller: Caller,
    artifact: web::Path<Code>,
    query: web::Query<WindowQuery>,
) -> Result<HttpResponse, Problem> {
    for_all_museums(&caller, Scope::Investigate)?;
    for (name, text) in [("from", &query.from), ("to", &query.to)] {
        instant_of(name, text.as_deref())?;
    }
    let compared = compared(&node, artifact.into_inner(), query.from.as_deref(), query.to.as_deref()).await?;
    Ok(HttpResponse::Ok().json(ComparisonView::new(&compared)?))
}

/// Promote a model.
///
/// It acts in the place of the one before, if the evidence says that it is better, and if the caller neither registered it nor let it challenge. For models of fraud the evidence is worked out here: over
/// all the time since the model challenges, or over the part that `from` and `to` name (see `GET .../evidence`). A refusal says what is `missing`. Without evidence a word overrides it
/// (`overridden`), and the promotion is marked so. `busy` if another model acts or challenges by the time that this is worked out.
#[utoipa::path(
    tag = "Fraud", operation_id = "promote_model", security(("key" = ["manage"])),
    request_body(content = PromotionForm, example = json!({"kind": "demand", "evidence": {"labels": 364, "recall_milli": 810,
        "recall_before_milli": 760, "precision_milli": 420, "precision_before_milli": 400, "report": "7d793037a0760186574b0282f2f435e7"}})),
    params(("artifact" = String, Path, description = "The model"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It acts", body = ModelsView), crate::openapi::Problems),
)]
#[post("/fraud/models/{artifact}/promote")]
pub async fn promote(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    artifact: web::Path<Code>,
    form: Json<PromotionForm>,
) -> Result<HttpResponse, Problem> {
    for_all_museums(&caller, Scope::Manage)?;
    let artifact = artifact.into_inner();
    let envelope = envelope(&node, &caller, &key, &["promote model", artifact.as_str()], &*form, &[], None)?;
    let promote = |evidence, overridden| Command::Promote { artifact, evidence, overridden, approver: caller.id() };
    let is_windowed = form.from.is_some() || form.to.is_some();
    let command = match (form.kind, &form.evidence, form.overridden) {
        (ModelKind::Demand | ModelKind::Cancellation, ..) if is_windowed => return Err(Problem::invalid("from and to: of fraud only")),
        (ModelKind::Fraud, Some(_), _) => return Err(Problem::invalid("evidence: of fraud it is worked out, not given")),
        (ModelKind::Demand | ModelKind::Cancellation, _, Some(_)) => return Err(Problem::invalid("overridden: of fraud only")),
        (ModelKind::Demand | ModelKind::Cancellation, evidence, None) => promote(evidence.as_ref().map(EvidenceForm::evidence).transpose()?, None),
        // What this key was told before is told again, without another comparison.
        (ModelKind::Fraud, None, overridden) => match node.models(form.kind, envelope.clone(), promote(None, overridden)).await {
            Ok(_) => return Ok(HttpResponse::Ok().json(view(&node, form.kind))),
            Err(Failure::Refused(Refusal::NoEvidence)) => {
                let found = found(&node, artifact, &form).await?;
                let answer = node.models(form.kind, envelope, promote(Some(found.evidence), overridden)).await;
                return answer.map(|_| HttpResponse::Ok().json(view(&node, form.kind))).map_err(|failure| found.told(failure));
            }
            Err(failure) => return Err(failure.into()),
        },
    };
    node.models(form.kind, envelope, command).await?;
    Ok(HttpResponse::Ok().json(view(&node, form.kind)))
}

/// Retire a model.
///
/// It scores no more; if it acted, only rules do until another one is promoted.
#[utoipa::path(
    tag = "Fraud", operation_id = "retire_model", security(("key" = ["manage"])),
    request_body(content = KindForm, example = json!({"kind": "fraud"})),
    params(("artifact" = String, Path, description = "The model"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It is retired", body = ModelsView), crate::openapi::Problems),
)]
#[post("/fraud/models/{artifact}/retire")]
pub async fn retire(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    artifact: web::Path<Code>,
    form: Json<KindForm>,
) -> Result<HttpResponse, Problem> {
    for_all_museums(&caller, Scope::Manage)?;
    let artifact = artifact.into_inner();
    let envelope = envelope(&node, &caller, &key, &["retire model", artifact.as_str()], &*form, &[], None)?;
    node.models(form.kind, envelope, Command::Retire { artifact }).await?;
    Ok(HttpResponse::Ok().json(view(&node, form.kind)))
}
