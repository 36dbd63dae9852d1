//! The models that are known, which of them acts and which score beside it. A model is promoted by evidence, and by somebody other than who registered it.

use actix_web::{HttpResponse, get, post, web};
use serde::{Deserialize, Serialize};
use tornello_actors::node::Node;
use tornello_engine::envelope::Digest;
use tornello_engine::ids::Code;
use tornello_engine::model_registry::{Command, Evidence, Model, ModelKind, Stage};

use super::rules::for_all_museums;
use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::request::{IdempotencyKey, envelope};

/// Which models to list.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ModelsQuery {
    /// What they are for: `fraud`, `demand` or `cancellation`; `fraud` if not said.
    #[param(value_type = Option<String>)]
    kind: Option<ModelKind>,
}

/// A model to make known.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelForm {
    /// What it is for: `fraud`, `demand` or `cancellation`.
    #[schema(value_type = String, examples("fraud"))]
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
    /// The first 128 bits of the SHA-256 of the report, in hexadecimal.
    #[schema(min_length = 32, max_length = 32, examples("0123456789abcdef0123456789abcdef"))]
    report: String,
}

/// Which model, and what speaks for it.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PromotionForm {
    /// What it is for.
    #[schema(value_type = String, examples("fraud"))]
    kind: ModelKind,
    /// What speaks for it; without, it is refused.
    #[serde(default)]
    evidence: Option<EvidenceForm>,
}

/// Which kind a model is of.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KindForm {
    /// What it is for.
    #[schema(value_type = String, examples("fraud"))]
    kind: ModelKind,
}

/// A model.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ModelView {
    /// The name of its artifact.
    artifact: String,
    /// `registered`, `challenger`, `champion` or `retired`.
    #[schema(value_type = String)]
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
    /// What spoke for it, if it was promoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<EvidenceForm>,
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
        let Evidence { labels, recall_milli, recall_before_milli, precision_milli, precision_before_milli, report } = *evidence;
        Self { labels, recall_milli, recall_before_milli, precision_milli, precision_before_milli, report: hexadecimal(report) }
    }
}

impl EvidenceForm {
    fn evidence(&self) -> Result<Evidence, Problem> {
        let Self { labels, recall_milli, recall_before_milli, precision_milli, precision_before_milli, ref report } = *self;
        Ok(Evidence { labels, recall_milli, recall_before_milli, precision_milli, precision_before_milli, report: read(report)? })
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
            evidence: model.promoted.as_ref().map(|promoted| (&promoted.evidence).into()),
            approver: model.promoted.as_ref().map(|promoted| promoted.approver.to_string()),
        }
    }
}

fn view(node: &Node, kind: ModelKind) -> ModelsView {
    ModelsView { kind: kind.name(), items: node.defences().models(kind).known().map(ModelView::from).collect() }
}

/// List models.
///
/// Those of a kind: which one acts, which score beside it, what spoke for each.
#[utoipa::path(
    tag = "Fraud", operation_id = "list_models", security(("key" = ["investigate"])), params(ModelsQuery),
    responses((status = 200, description = "The models of a kind", body = ModelsView), crate::openapi::Problems),
)]
#[get("/fraud/models")]
pub async fn list(node: web::Data<Node>, caller: Caller, query: web::Query<ModelsQuery>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Investigate)?;
    Ok(HttpResponse::Ok().json(view(&node, query.kind.unwrap_or(ModelKind::Fraud))))
}

/// Register a model.
#[utoipa::path(
    tag = "Fraud", operation_id = "register_model", security(("key" = ["investigate"])), request_body = ModelForm,
    params(("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 201, description = "It is known", body = ModelsView), crate::openapi::Problems),
)]
#[post("/fraud/models")]
pub async fn register(node: web::Data<Node>, caller: Caller, key: IdempotencyKey, form: web::Json<ModelForm>) -> Result<HttpResponse, Problem> {
    for_all_museums(&caller, Scope::Investigate)?;
    let envelope = envelope(&node, &caller, &key, &["register model"], &*form, &[], None)?;
    let ModelForm { kind, artifact, ref checksum, ref card } = *form;
    let command = Command::Register { artifact, checksum: read(checksum)?, card: read(card)?, by: caller.id() };
    node.models(kind, envelope, command).await?;
    Ok(HttpResponse::Created().json(view(&node, kind)))
}

/// Let a model challenge.
///
/// It scores beside the one that acts, and acts on nothing.
#[utoipa::path(
    tag = "Fraud", operation_id = "challenge_model", security(("key" = ["investigate"])), request_body = KindForm,
    params(("artifact" = String, Path, description = "The model"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It scores", body = ModelsView), crate::openapi::Problems),
)]
#[post("/fraud/models/{artifact}/challenge")]
pub async fn challenge(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    artifact: web::Path<Code>,
    form: web::Json<KindForm>,
) -> Result<HttpResponse, Problem> {
    for_all_museums(&caller, Scope::Investigate)?;
    let artifact = artifact.into_inner();
    let envelope = envelope(&node, &caller, &key, &["challenge model", artifact.as_str()], &*form, &[], None)?;
    node.models(form.kind, envelope, Command::Challenge { artifact }).await?;
    Ok(HttpResponse::Ok().json(view(&node, form.kind)))
}

/// Promote a model.
///
/// It acts in the place of the one before, if the evidence says that it is better and somebody other than who registered it approves.
#[utoipa::path(
    tag = "Fraud", operation_id = "promote_model", security(("key" = ["manage"])), request_body = PromotionForm,
    params(("artifact" = String, Path, description = "The model"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It acts", body = ModelsView), crate::openapi::Problems),
)]
#[post("/fraud/models/{artifact}/promote")]
pub async fn promote(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    artifact: web::Path<Code>,
    form: web::Json<PromotionForm>,
) -> Result<HttpResponse, Problem> {
    for_all_museums(&caller, Scope::Manage)?;
    let artifact = artifact.into_inner();
    let envelope = envelope(&node, &caller, &key, &["promote model", artifact.as_str()], &*form, &[], None)?;
    let evidence = form.evidence.as_ref().map(EvidenceForm::evidence).transpose()?;
    node.models(form.kind, envelope, Command::Promote { artifact, evidence, approver: caller.id() }).await?;
    Ok(HttpResponse::Ok().json(view(&node, form.kind)))
}

/// Retire a model.
///
/// It scores no more; if it acted, only rules do until another one is promoted.
#[utoipa::path(
    tag = "Fraud", operation_id = "retire_model", security(("key" = ["manage"])), request_body = KindForm,
    params(("artifact" = String, Path, description = "The model"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It is retired", body = ModelsView), crate::openapi::Problems),
)]
#[post("/fraud/models/{artifact}/retire")]
pub async fn retire(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    artifact: web::Path<Code>,
    form: web::Json<KindForm>,
) -> Result<HttpResponse, Problem> {
    for_all_museums(&caller, Scope::Manage)?;
    let artifact = artifact.into_inner();
    let envelope = envelope(&node, &caller, &key, &["retire model", artifact.as_str()], &*form, &[], None)?;
    node.models(form.kind, envelope, Command::Retire { artifact }).await?;
    Ok(HttpResponse::Ok().json(view(&node, form.kind)))
}
