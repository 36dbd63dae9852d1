//! A rule tried on what has happened, before anybody puts it in force.

use actix_web::{HttpResponse, post, web};
use serde::{Deserialize, Serialize};
use tornello_actors::fraud::Sizes;
use tornello_actors::fraud::in_force::draft_of;
use tornello_actors::fraud::trial::try_rules;
use tornello_actors::node::Node;
use tornello_engine::fraud_rules;
use tornello_engine::time::Timestamp;

use super::rules::RuleForm;
use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::request::Json;
use crate::routes::files;

/// The rule to try, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrialForm {
    /// The rule, as it would be drafted.
    pub rule: RuleForm,
    /// Only about what was asked since then (RFC 3339); absent: since the beginning. What was known is always that of the time.
    #[serde(default)]
    #[schema(format = DateTime)]
    pub since: Option<String>,
}

/// What the rule would have done.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct TrialView {
    /// About how many commands it would have been asked, each once: the sale that a payment or a quote brings about is none of its own.
    asked: u64,
    /// For how many of them one more proof would have been asked for: of none at a desk, nor of what is given back or counted.
    step_up: u64,
    /// How many would have been looked at, with what nothing refuses: options of quotes, counts of cash.
    review: u64,
    /// How many would have been refused.
    block: u64,
    /// How many holds and sales that is; a payment is those that it is for, and what is given back or counted is none.
    stopped: u64,
    /// How many of these were good: bought, and honest as far as the payer's bank has said, else their case, else gates and whoever blocks tickets.
    good: u64,
}

/// Try a fraud rule on what has happened.
///
/// The journal is read from its beginning, so this takes a while where it is long, and one rule is tried at a time: `busy` while another is. Nothing changes.
#[utoipa::path(
    tag = "Fraud", operation_id = "try_fraud_rule", security(("key" = ["investigate"])),
    request_body(content = TrialForm, example = json!({"rule": {"name": "early-work", "when": [{"feature": "person_unsold_1h", "op": "at_least", "threshold_milli": 3_000}],
        "channels": ["web"], "museums": [], "action": "step_up", "sentence_it": "Prenotazioni lasciate senza acquisto", "sentence_en": "Holds that were not bought"},
        "since": "2026-11-01T00:00:00Z"})),
    responses((status = 200, description = "What it would have done", body = TrialView), crate::openapi::Problems),
)]
#[post("/fraud/rules/dry-run")]
pub async fn dry_run(node: web::Data<Node>, caller: Caller, form: Json<TrialForm>) -> Result<HttpResponse, Problem> {
    super::rules::for_all_museums(&caller, Scope::Investigate)?;
    let TrialForm { rule, since } = form.into_inner();
    let rule = rule.read(&node, &caller)?;
    let rules = draft_of(&rule).map_err(|error| Problem::from(fraud_rules::Refusal::BadRule).detail(error.to_string()))?;
    super::rules::at_known_museums(&node, &rule)?;
    let since: Option<Timestamp> =
        since.map(|since| since.parse::<Timestamp>()).transpose().map_err(|_| Problem::invalid("since: an RFC 3339 instant is expected"))?;
    let Ok(_turn) = node.scoring().trials().try_acquire() else { return Err(Problem::busy()) };
    let desks = files(&node)?.keys.list().into_iter().filter(|key| Scope::Desk.is_open_to(key.role)).map(|key| key.id).collect();
    let tried = try_rules(node.journal().as_ref(), &rules, since.unwrap_or(Timestamp::MIN), Sizes::default().parties, &desks).await;
    let tried = tried.map_err(|error| {
        tracing::error!(%error, "a rule could not be tried");
        Problem::unavailable("the journal cannot be read now")
    })?;
    Ok(HttpResponse::Ok().json(TrialView {
        asked: tried.asked,
        step_up: tried.step_up,
        review: tried.review,
        block: tried.block,
        stopped: tried.stopped,
        good: tried.good,
    }))
}
