//! The models that are known, which of them acts and which score beside it. A model is promoted by evidence, and by somebody other than who registered it:
//! what speaks for it is worked out in `evidence`, how it fares beside the one that acts is seen by `beside`.

mod beside;
mod evidence;

use actix_web::{HttpResponse, get, post, web};
use serde::{Deserialize, Serialize};
use tornello_actors::failure::Failure;
use tornello_actors::keys::Museums;
use tornello_actors::node::Node;
use tornello_engine::envelope::Digest;
use tornello_engine::ids::Code;
use tornello_engine::model_registry::{Command, Evidence, Model, ModelKind, Refusal, Stage};

use super::rules::for_all_museums;
use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::request::{IdempotencyKey, Json, envelope};
use crate::routes::{files, instant_of};
use crate::words::{ModelKindWord, ModelStageWord};
use beside::{BesideView, RacedView};
use evidence::{ComparisonView, compared, found};

/// So many of the last cases are asked for labels, when scorers are compared.
const CASES_ASKED: u32 = 20_000;

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

/// The models of a kind.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ModelsView {
    /// What they are for.
    kind: &'static str,
    /// The models, in the order of their names.
    #[schema(max_items = 1_000)]
    items: Vec<ModelView>,
    /// Of fraud, how the one that challenges and the one that acts agree; absent if there are not both, or nothing was scored by both yet, and to a key for some museums.
    #[serde(skip_serializing_if = "Option::is_none")]
    beside: Option<BesideView>,
    /// Of fraud, when models are listed, how the scorers fare that never act; absent as long as they were asked about nothing, and to a key for some museums.
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
/// Those of a kind: which one acts, which score beside it, what spoke for each; of fraud also how it and scorers that never act fare beside it. That counts what happens at all museums, and is
/// told to keys that are good for all.
#[utoipa::path(
    tag = "Fraud", operation_id = "list_models", security(("key" = ["investigate"])), params(ModelsQuery),
    responses((status = 200, description = "The models of a kind", body = ModelsView), crate::openapi::Problems),
)]
#[get("/fraud/models")]
pub async fn list(node: web::Data<Node>, caller: Caller, query: web::Query<ModelsQuery>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Investigate)?;
    let kind = query.kind.unwrap_or(ModelKind::Fraud);
    let is_for_all = caller.0.museums == Museums::All;
    let raced = if kind == ModelKind::Fraud && is_for_all { raced(&node).await? } else { None };
    let ModelsView { kind, items, beside, .. } = view(&node, kind);
    // How much is sold elsewhere, and what of it proved to be fraud, is none of a key's for some museums.
    Ok(HttpResponse::Ok().json(ModelsView { kind, items, beside: beside.filter(|_| is_for_all), raced }))
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
    let promote = |evidence, counts, overridden| Command::Promote { artifact, evidence, counts, overridden, approver: caller.id() };
    let is_windowed = form.from.is_some() || form.to.is_some();
    let command = match (form.kind, &form.evidence, form.overridden) {
        (ModelKind::Demand | ModelKind::Cancellation, ..) if is_windowed => return Err(Problem::invalid("from and to: of fraud only")),
        (ModelKind::Fraud, Some(_), _) => return Err(Problem::invalid("evidence: of fraud it is worked out, not given")),
        (ModelKind::Demand | ModelKind::Cancellation, _, Some(_)) => return Err(Problem::invalid("overridden: of fraud only")),
        (ModelKind::Demand | ModelKind::Cancellation, evidence, None) => {
            promote(evidence.as_ref().map(EvidenceForm::evidence).transpose()?, None, None)
        }
        // What this key was told before is told again, without another comparison.
        (ModelKind::Fraud, None, overridden) => match node.models(form.kind, envelope.clone(), promote(None, None, overridden)).await {
            Ok(_) => return Ok(HttpResponse::Ok().json(view(&node, form.kind))),
            Err(Failure::Refused(Refusal::NoEvidence)) => {
                let found = found(&node, artifact, &form).await?;
                let answer = node.models(form.kind, envelope, promote(Some(found.evidence), found.counts, overridden)).await;
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
