//! The rules that are asked before any model. An analyst drafts, somebody who runs all museums puts in force; every change is in the journal.

use actix_web::{HttpResponse, get, post, web};
use serde::{Deserialize, Serialize};
use tornello_actors::fraud::in_force::{BUILT_IN_VERSION, built_in, draft_of};
use tornello_actors::fraud::versions::Version;
use tornello_actors::keys::Museums;
use tornello_actors::node::Node;
use tornello_engine::aggregate::Aggregate;
use tornello_engine::channel::Channel;
use tornello_engine::fraud_rules::{self, Action, Command, Condition, Op, Rule, Written};
use tornello_engine::ids::Code;
use tornello_engine::recall::Recall;
use tornello_engine::text::Text;

use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::request::{IdempotencyKey, Json, envelope};
use crate::routes::readings::MuseumName;
use crate::words::{ChannelWord, RuleActionWord, RuleOperatorWord};

/// A feature held against a threshold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConditionForm {
    /// The name of the feature.
    #[schema(value_type = String, max_length = 23, examples("person_unsold_1h"))]
    feature: Code,
    /// `at_least` or `at_most`.
    #[schema(value_type = RuleOperatorWord)]
    op: Op,
    /// The threshold in thousandths, as people count: 5000 is five holds. One that the feature can reach: shares at most 1000, different ones (cards of a device) at most
    /// 621000, counts at most 10^12.
    #[schema(minimum = 0, examples(5_000))]
    threshold_milli: i64,
}

/// A rule to draft: if all conditions hold, the action follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleForm {
    /// Its name; a rule of the same name that is in force stays until this one is put in its place.
    #[schema(value_type = String, max_length = 23, examples("hoarding"))]
    name: Code,
    /// What must hold, all of it.
    #[schema(min_items = 1, max_items = 8)]
    when: Vec<ConditionForm>,
    /// Only through these channels; none named: through all.
    #[serde(default)]
    #[schema(value_type = Vec<ChannelWord>, max_items = 5)]
    channels: Vec<Channel>,
    /// Only at these museums, by slug or number, each of one that is registered and that the key is good for; none named: at all. They are told by number.
    #[serde(default)]
    #[schema(max_items = 64)]
    museums: Vec<MuseumName>,
    /// `step_up`, `review` or `block`.
    #[schema(value_type = RuleActionWord)]
    action: Action,
    /// What is the matter, in Italian, also for those who are refused.
    #[schema(min_length = 1, max_length = 200, examples("Troppe prenotazioni non pagate"))]
    sentence_it: String,
    /// The same in English.
    #[schema(min_length = 1, max_length = 200, examples("Too many holds that were never paid"))]
    sentence_en: String,
    /// The number of the draft of this name whose place it takes, if another key drafted that; of nothing else it is asked, and nobody is told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, examples(3))]
    replaces: Option<u64>,
}

impl RuleForm {
    /// The rule that is meant. A museum that is not the caller's is answered as one that is not there.
    pub(super) fn read(self, node: &Node, caller: &Caller) -> Result<Rule, Problem> {
        let Self { name, when, channels, museums, action, sentence_it, sentence_en, replaces: _ } = self;
        let condition = |ConditionForm { feature, op, threshold_milli }: ConditionForm| Condition { feature, op, threshold_milli };
        let own = |museum: &MuseumName| {
            let id = museum.id(node).filter(|id| caller.0.museums.allows(*id));
            id.ok_or_else(|| no_museum(&museum.text()))
        };
        Ok(Rule {
            name,
            when: when.into_iter().map(condition).collect(),
            channels,
            museums: museums.iter().map(own).collect::<Result<_, Problem>>()?,
            action,
            sentence: Text { it: sentence_it, en: sentence_en },
        })
    }
}

impl RuleForm {
    /// A rule as it is told to a key for some museums: of others nothing is said. None if it is about others alone.
    fn told(rule: &Rule, museums: &Museums) -> Option<Self> {
        let own: Vec<MuseumName> = rule.museums.iter().filter(|museum| museums.allows(**museum)).map(|museum| MuseumName::Number(museum.0)).collect();
        if own.is_empty() && !rule.museums.is_empty() {
            return None;
        }
        let condition = |condition: &Condition| {
            let Condition { feature, op, threshold_milli } = *condition;
            ConditionForm { feature, op, threshold_milli }
        };
        Some(Self {
            name: rule.name,
            when: rule.when.iter().map(condition).collect(),
            channels: rule.channels.clone(),
            museums: own,
            action: rule.action,
            sentence_it: rule.sentence.it.clone(),
            sentence_en: rule.sentence.en.clone(),
            replaces: None,
        })
    }
}

/// A rule with who stands for it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RuleView {
    /// The rule.
    rule: RuleForm,
    /// The number of the draft, which whoever puts it in force names. A draft that is written later has a higher one, also if it says the same.
    #[schema(minimum = 1)]
    draft: u64,
    /// The key of whoever drafted it.
    author: String,
    /// When (RFC 3339, UTC).
    #[schema(format = DateTime)]
    drafted_at: String,
    /// The key of whoever put it in force; absent of a draft, as the next two.
    #[serde(skip_serializing_if = "Option::is_none")]
    approver: Option<String>,
    /// Since when it is in force (RFC 3339, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    in_force_since: Option<String>,
    /// The number of the rules since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
}

impl RuleView {
    /// None if the rule is about museums alone that the key is not good for.
    fn told(written: &Written, museums: &Museums) -> Option<Self> {
        Some(Self {
            rule: RuleForm::told(&written.rule, museums)?,
            draft: written.draft,
            author: written.author.to_string(),
            drafted_at: written.drafted_at.to_string(),
            approver: written.in_force.map(|(approver, ..)| approver.to_string()),
            in_force_since: written.in_force.map(|(_, at, _)| at.to_string()),
            version: written.in_force.map(|(.., version)| version),
        })
    }
}

/// A rule that holds as long as nobody has put another one of its name in force. It cannot be changed or retired: one of its name takes its place.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct BuiltInView {
    /// The rule.
    rule: RuleForm,
    /// The number of the built-in rules.
    version: u32,
    /// Whether a rule of its name is in force and this one is not asked.
    replaced: bool,
}

/// The rules that concern a key.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RulesView {
    /// The number that assessments name; it grows with every change of what is in force.
    version: u32,
    /// Those in force.
    #[schema(max_items = 100)]
    in_force: Vec<RuleView>,
    /// Those that hold by themselves.
    #[schema(max_items = 100)]
    built_in: Vec<BuiltInView>,
    /// Those that are not yet.
    #[schema(max_items = 100)]
    drafts: Vec<RuleView>,
}

/// The rules that concern a caller: those for all museums, and those for museums that the key is good for.
fn view(node: &Node, caller: &Caller) -> RulesView {
    let (rules, museums) = (node.defences().rules(), &caller.0.museums);
    let built_in_view = |rule: &Rule| {
        let replaced = rules.active().any(|written| written.rule.name == rule.name);
        Some(BuiltInView { rule: RuleForm::told(rule, museums)?, version: BUILT_IN_VERSION, replaced })
    };
    RulesView {
        version: rules.version(),
        in_force: rules.active().filter_map(|written| RuleView::told(written, museums)).collect(),
        built_in: built_in().iter().filter_map(built_in_view).collect(),
        drafts: rules.drafts().filter_map(|written| RuleView::told(written, museums)).collect(),
    }
}

/// List the fraud rules.
///
/// Those for all museums, and those that name a museum that the key is good for, with those of their museums alone. `version` counts the changes of all rules.
#[utoipa::path(
    tag = "Fraud", operation_id = "list_fraud_rules", security(("key" = ["investigate"])),
    responses((status = 200, description = "The rules in force, those that hold by themselves, and the drafts", body = RulesView), crate::openapi::Problems),
)]
#[get("/fraud/rules")]
pub async fn list(node: web::Data<Node>, caller: Caller) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Investigate)?;
    Ok(HttpResponse::Ok().json(view(&node, &caller)))
}

/// A form of a rule that is in force, or was.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RuleVersionView {
    /// What it said, and who stood for it.
    was: RuleView,
    /// Until when it was in force (RFC 3339, UTC); absent of what is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    in_force_until: Option<String>,
    /// The number of the rules from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    until_version: Option<u32>,
}

/// The forms of a rule that were in force.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RuleVersionsView {
    /// The forms, the newest first; none of a rule that was only drafted, or holds by itself.
    #[schema(max_items = 1_000)]
    items: Vec<RuleVersionView>,
    /// How many older ones there are that are not listed.
    left_out: u64,
}

/// The most forms of a rule that are listed.
const VERSIONS_MAX: usize = 1_000;

/// List what a fraud rule said before.
///
/// Each form of it that was in force, with whoever drafted it and put it in force, from when on and until when: an assessment whose `rules_version` is from `version` on and before
/// `until_version` was made with that one. With a key for some museums those forms that concern them, and of their museums alone. What holds by itself changes with the program, and is
/// not among them.
#[utoipa::path(
    tag = "Fraud", operation_id = "list_fraud_rule_versions", security(("key" = ["investigate"])),
    params(("rule" = String, Path, description = "The rule's name")),
    responses((status = 200, description = "What it said", body = RuleVersionsView), crate::openapi::Problems),
)]
#[get("/fraud/rules/{rule}/versions")]
pub async fn list_versions(node: web::Data<Node>, caller: Caller, rule: web::Path<Code>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Investigate)?;
    let (name, museums) = (rule.into_inner(), &caller.0.museums);
    let known = node.rule_versions(name).await.map_err(|error| {
        tracing::error!(%error, "the versions of a rule cannot be read");
        Problem::unavailable("the journal cannot be read now")
    })?;
    let told = |Version { written, until }: &Version| {
        let (in_force_until, until_version) = (until.map(|(at, _)| at.to_string()), until.map(|(_, version)| version));
        Some(RuleVersionView { was: RuleView::told(written, museums)?, in_force_until, until_version })
    };
    let mut items: Vec<RuleVersionView> = known.iter().rev().filter_map(told).collect();
    // What was only drafted is known, and so is what holds by itself; else there is no such rule, or none that concerns the key.
    let is_known = || {
        let drafted = node.defences().rules().drafts().any(|written| written.rule.name == name && RuleView::told(written, museums).is_some());
        drafted || built_in().iter().any(|rule| rule.name == name)
    };
    if items.is_empty() && !is_known() {
        return Err(fraud_rules::Refusal::UnknownRule.into());
    }
    let left_out = items.len().saturating_sub(VERSIONS_MAX) as u64;
    items.truncate(VERSIONS_MAX);
    Ok(HttpResponse::Ok().json(RuleVersionsView { items, left_out }))
}

/// Draft a fraud rule.
///
/// Nothing changes before somebody else puts it in force. It takes the place of a draft of its name that the same key wrote; of another key's only where `replaces` is the number
/// of that draft (`draft_pending` with that `draft` if not: read it first). With a key for some museums it never takes the place of one for others, nor of one for all that another
/// key drafted (`draft_of_others`).
#[utoipa::path(
    tag = "Fraud", operation_id = "draft_fraud_rule", security(("key" = ["investigate"])),
    request_body(content = RuleForm, example = json!({"name": "early-work", "when": [{"feature": "person_unsold_1h", "op": "at_least", "threshold_milli": 3_000}],
        "channels": ["web"], "museums": [], "action": "step_up", "sentence_it": "Prenotazioni lasciate senza acquisto", "sentence_en": "Holds that were not bought"})),
    params(("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 201, description = "It is drafted", body = RulesView), crate::openapi::Problems),
)]
#[post("/fraud/rules")]
pub async fn draft(node: web::Data<Node>, caller: Caller, key: IdempotencyKey, form: Json<RuleForm>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Investigate)?;
    let envelope = envelope(&node, &caller, &key, &["draft rule"], &*form, &[], None)?;
    let (form, by) = (form.into_inner(), caller.id());
    let replaces = form.replaces;
    let rule = Box::new(form.read(&node, &caller)?);
    can_be_asked(&node, &rule)?;
    let command = match &caller.0.museums {
        Museums::All => Command::Draft { rule, replaces, by },
        Museums::Only(museums) => Command::DraftAt { museums: museums.clone(), rule, replaces, by },
    };
    node.rules(envelope, command).await?;
    Ok(HttpResponse::Created().json(view(&node, &caller)))
}

/// Asserts that a rule can be asked, with thresholds that its features reach, and at museums that there are: another one would be in force and do nothing, or act on
/// everything.
fn can_be_asked(node: &Node, rule: &Rule) -> Result<(), Problem> {
    draft_of(rule).map_err(|error| Problem::from(fraud_rules::Refusal::BadRule).detail(error.to_string()))?;
    at_known_museums(node, rule)
}

/// Asserts that every museum that a rule names is registered: of another one it would say nothing for ever.
pub(super) fn at_known_museums(node: &Node, rule: &Rule) -> Result<(), Problem> {
    match rule.museums.iter().find(|museum| node.museums().get(**museum).is_none()) {
        None => Ok(()),
        Some(unknown) => Err(no_museum(&unknown.0.to_string())),
    }
}

/// A rule names a museum, by slug or number, that there is not.
fn no_museum(name: &str) -> Problem {
    Problem::from(fraud_rules::Refusal::BadRule).detail(format!("museums: there is no museum {name}: GET /v1/museums lists them."))
}

/// Asserts that the caller answers for all museums: rules and models concern all of them.
pub(super) fn for_all_museums(caller: &Caller, scope: Scope) -> Result<(), Problem> {
    caller.may(scope)?;
    match caller.0.museums {
        Museums::All => Ok(()),
        Museums::Only(_) => Err(Problem::forbidden(scope).detail("This concerns all museums, and the key is for some.")),
    }
}

/// Which draft is to be in force.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivateForm {
    /// The number of the draft that was read.
    #[schema(minimum = 1, examples(1))]
    draft: u64,
}

/// Put a fraud rule in force.
///
/// The draft of that name takes the place of the rule that was in force. The key that drafted it cannot do that. `draft` is the number of the draft that was read: if it was drafted again since
/// the answer is `draft_changed`, so that nothing is in force that two have not seen. The draft is checked once more as when it was drafted: one from when less was
/// asked of rules may be `bad_rule`, and is to be drafted anew.
#[utoipa::path(
    tag = "Fraud", operation_id = "activate_fraud_rule", security(("key" = ["manage"])),
    request_body(content = ActivateForm, example = json!({"draft": 1})),
    params(("rule" = String, Path, description = "The rule's name"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It is in force", body = RulesView), crate::openapi::Problems, crate::openapi::Outdated),
)]
#[post("/fraud/rules/{rule}/activate")]
pub async fn activate(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    rule: web::Path<Code>,
    form: Json<ActivateForm>,
) -> Result<HttpResponse, Problem> {
    for_all_museums(&caller, Scope::Manage)?;
    let name = rule.into_inner();
    let envelope = envelope(&node, &caller, &key, &["activate rule", name.as_str()], &*form, &[], None)?;
    let rules = node.defences().rules();
    // What was done before is answered as it was then.
    let is_new = rules.recall(&envelope) == Recall::New;
    if let Some(written) = rules.drafts().find(|written| is_new && written.rule.name == name && written.draft == form.draft) {
        can_be_asked(&node, &written.rule)?;
    }
    node.rules(envelope, Command::Activate { name, draft: form.draft, by: caller.id() }).await?;
    Ok(HttpResponse::Ok().json(view(&node, &caller)))
}

/// Retire a fraud rule.
///
/// It is in force no more, and its draft is dropped.
#[utoipa::path(
    tag = "Fraud", operation_id = "retire_fraud_rule", security(("key" = ["manage"])),
    params(("rule" = String, Path, description = "The rule's name"), ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "It is retired", body = RulesView), crate::openapi::Problems),
)]
#[post("/fraud/rules/{rule}/retire")]
pub async fn retire(node: web::Data<Node>, caller: Caller, key: IdempotencyKey, rule: web::Path<Code>) -> Result<HttpResponse, Problem> {
    for_all_museums(&caller, Scope::Manage)?;
    let name = rule.into_inner();
    let envelope = envelope(&node, &caller, &key, &["retire rule", name.as_str()], &(), &[], None)?;
    node.rules(envelope, Command::Retire { name }).await?;
    Ok(HttpResponse::Ok().json(view(&node, &caller)))
}
