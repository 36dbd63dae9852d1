//! A museum's rules for groups as callers write them. What makes them sound, and what a visit costs by them, is known to `engine::quote`.

use actix_web::{HttpRequest, HttpResponse, get, put, web};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tornello_actors::node::Node;
use tornello_engine::ids::Code;
use tornello_engine::money::Cents;
use tornello_engine::museum::{Command, Event, GroupPolicySet};
use tornello_engine::quote::Kind;
use tornello_engine::quote::policy::{Escorts, Fee, FeePer, GroupPolicy, MandatoryExtra, Terms};
use tornello_engine::tariff::Proof;

use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::request::{IdempotencyKey, Json, envelope};
use crate::routes::museum_of;
use crate::routes::plans::TextForm;
use crate::routes::revisions::{On, in_force, newly_set, only_if};
use crate::words::{FeePerWord, GroupKindWord, ProofWord};

/// Which escorts come in free.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EscortsForm {
    /// One for so many people of the group, begun ones included.
    #[schema(minimum = 1, maximum = 2000, examples(15))]
    pub one_per: u16,
    /// The category on their tickets: one of the tariff that no member of the group is in.
    #[schema(value_type = String, max_length = 23, examples("school-escort"))]
    pub category: Code,
    /// What they show at the gate, as in a tariff.
    #[serde(default)]
    #[schema(value_type = ProofWord)]
    pub proof: Proof,
}

/// What a booking costs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FeeForm {
    /// `person` (escorts excepted) or `group` (each part of one that is split).
    #[schema(value_type = FeePerWord)]
    pub per: FeePer,
    /// For each, in euro cents.
    #[schema(minimum = 0, maximum = 5_000, examples(100))]
    pub amount_cents: i64,
    /// How many of a day's visitors (or groups) pay nothing, in the order in which they asked.
    #[schema(maximum = 100_000, examples(150))]
    pub free_a_day: u32,
}

/// What differs between schools and others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TermsForm {
    /// Which escorts come in free, beside those whom the tariff lets in free anyway; absent: no rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escorts: Option<EscortsForm>,
    /// What the booking costs.
    pub fee: FeeForm,
}

/// Something that groups of some size have to take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MandatoryExtraForm {
    /// Its short name.
    #[schema(value_type = String, max_length = 23, examples("audio-system"))]
    pub code: Code,
    /// Its name for visitors.
    pub name: TextForm,
    /// What one costs, in euro cents; there is one for each person, escorts included.
    #[schema(minimum = 0, maximum = 5_000, examples(120))]
    pub price_cents: i64,
    /// Groups of more people than this, escorts included, have to take it; smaller ones may.
    #[schema(maximum = 2000, examples(10))]
    pub above: u16,
    /// One of so many costs nothing; 0: none does.
    #[serde(default)]
    #[schema(maximum = 2000, examples(10))]
    pub free_one_in: u16,
}

/// A museum's rules for groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupPolicyBody {
    /// The fewest people of a group, escorts excepted.
    #[schema(minimum = 1, maximum = 2000, examples(10))]
    pub group_min: u16,
    /// The most people who go round together: a larger group is split.
    #[schema(minimum = 1, maximum = 2000, examples(25))]
    pub group_max: u16,
    /// Whether escorts count for that.
    #[serde(default)]
    pub max_includes_escorts: bool,
    /// What holds for schools.
    #[serde(default)]
    pub school: TermsForm,
    /// What holds for all others.
    #[serde(default)]
    pub other: TermsForm,
    /// What every group of some size has to take.
    #[serde(default)]
    #[schema(max_items = 8)]
    pub extras: Vec<MandatoryExtraForm>,
    /// Within how many working days of its sending the form must come back signed; the last one counts wholly.
    #[schema(minimum = 1, maximum = 365, examples(10))]
    pub signature_days: u16,
    /// How many working days lie between the last day to pay and the day of the visit, neither of which counts.
    #[schema(maximum = 365, examples(3))]
    pub payment_working_days: u16,
    /// How many days before a deadline the group is reminded; 0: never.
    #[serde(default)]
    #[schema(maximum = 365, examples(3))]
    pub reminder_days: u16,
    /// Whether a booking holds only when the office has confirmed what was accepted.
    #[serde(default)]
    pub confirmation: bool,
    /// Which kinds of group may pay at the desk: `school`, `tour_operator`, `company`, `association`, `other`.
    #[serde(default)]
    #[schema(value_type = Vec<GroupKindWord>, max_items = 5)]
    pub desk_for: Vec<Kind>,
}

impl From<TermsForm> for Terms {
    fn from(form: TermsForm) -> Self {
        let escorts = form.escorts.map(|EscortsForm { one_per, category, proof }| Escorts { one_per, category, proof });
        let FeeForm { per, amount_cents, free_a_day } = form.fee;
        Self { escorts, fee: Fee { per, amount: Cents::new(amount_cents), free_a_day } }
    }
}

impl From<&Terms> for TermsForm {
    fn from(terms: &Terms) -> Self {
        let escorts = terms.escorts.map(|Escorts { one_per, category, proof }| EscortsForm { one_per, category, proof });
        let Fee { per, amount, free_a_day } = terms.fee;
        Self { escorts, fee: FeeForm { per, amount_cents: amount.get(), free_a_day } }
    }
}

impl From<GroupPolicyBody> for GroupPolicy {
    fn from(body: GroupPolicyBody) -> Self {
        let extra = |form: MandatoryExtraForm| MandatoryExtra {
            code: form.code,
            name: form.name.into(),
            price: Cents::new(form.price_cents),
            above: form.above,
            free_one_in: form.free_one_in,
        };
        Self {
            group_min: body.group_min,
            group_max: body.group_max,
            max_includes_escorts: body.max_includes_escorts,
            school: body.school.into(),
            other: body.other.into(),
            extras: body.extras.into_iter().map(extra).collect(),
            signature_days: body.signature_days,
            payment_working_days: body.payment_working_days,
            reminder_days: body.reminder_days,
            confirmation: body.confirmation,
            desk_for: body.desk_for,
        }
    }
}

impl From<&GroupPolicy> for GroupPolicyBody {
    fn from(policy: &GroupPolicy) -> Self {
        let form = |extra: &MandatoryExtra| MandatoryExtraForm {
            code: extra.code,
            name: TextForm::from(&extra.name),
            price_cents: extra.price.get(),
            above: extra.above,
            free_one_in: extra.free_one_in,
        };
        Self {
            group_min: policy.group_min,
            group_max: policy.group_max,
            max_includes_escorts: policy.max_includes_escorts,
            school: TermsForm::from(&policy.school),
            other: TermsForm::from(&policy.other),
            extras: policy.extras.iter().map(form).collect(),
            signature_days: policy.signature_days,
            payment_working_days: policy.payment_working_days,
            reminder_days: policy.reminder_days,
            confirmation: policy.confirmation,
            desk_for: policy.desk_for.clone(),
        }
    }
}

/// Rules for groups with the day from which they are to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupPolicyForm {
    /// The first day of visits in Rome, today at the earliest.
    #[serde(deserialize_with = "crate::strict::day")]
    #[schema(value_type = String, format = Date, examples("2027-01-01"))]
    pub valid_from: Date,
    /// The rules.
    pub policy: GroupPolicyBody,
}

/// Rules for groups in force.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct GroupPolicyView {
    /// Counts the museum's rules from 1; 0: nobody has set any, these are the defaults.
    revision: u32,
    /// The first day of visits in Rome; absent for the defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date)]
    valid_from: Option<Date>,
    /// The rules.
    policy: GroupPolicyBody,
}

/// Read the rules for groups.
///
/// Those in force for visits on a day; where nobody has set any, the defaults as revision 0. `ETag` is their revision.
#[utoipa::path(
    tag = "Museums", operation_id = "get_group_policy", security(("key" = ["read"])),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"), On,
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` that you have")),
    responses((status = 200, description = "The rules", body = GroupPolicyView, headers(("ETag" = String, description = "The revision"),
        ("Cache-Control" = String, description = "`private, no-cache`: keep it, and ask with `If-None-Match` whether it still holds"))),
        (status = 304, description = "You have it"), crate::openapi::Problems),
)]
#[get("/museums/{museum}/group-policy")]
pub async fn get_policy(
    node: web::Data<Node>,
    caller: Caller,
    museum: web::Path<String>,
    on: web::Query<On>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let known = museum_of(&node, &caller, Scope::Read, &museum)?;
    let date = on.day(&node);
    let ((revision, policy), valid_from) = (known.museum.group_policy_on(date), known.museum.group_policy_since(date));
    Ok(in_force(&request, revision, GroupPolicyView { revision, valid_from, policy: GroupPolicyBody::from(&policy) }))
}

/// Set the rules for groups.
///
/// They hold for visits from a day on, until rules with a later day. What was quoted stays as it was sent.
#[utoipa::path(
    tag = "Museums", operation_id = "set_group_policy", security(("key" = ["manage"])),
    request_body(content = GroupPolicyForm, example = json!({"valid_from": "2027-01-01", "policy": {
        "group_min": 10, "group_max": 25,
        "school": {"escorts": {"one_per": 15, "category": "school-escort", "proof": "school_list"}},
        "other": {"fee": {"per": "group", "amount_cents": 1000}},
        "extras": [{"code": "audio-system", "name": {"it": "Sistema audio silenzioso", "en": "Silent audio system"}, "price_cents": 120, "above": 10,
            "free_one_in": 10}],
        "signature_days": 10, "payment_working_days": 3, "reminder_days": 3, "desk_for": ["school"]
    }})),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"),
        ("Idempotency-Key" = String, Header, description = "A new value for each request"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what you change")),
    responses((status = 200, description = "The rules are set", body = GroupPolicyView, headers(("ETag" = String, description = "The revision"))),
        (status = 412, description = "Another revision is in force", body = crate::problem::Body, content_type = "application/problem+json"),
        crate::openapi::Problems),
)]
#[put("/museums/{museum}/group-policy")]
pub async fn set_policy(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    museum: web::Path<String>,
    request: HttpRequest,
    form: Json<GroupPolicyForm>,
) -> Result<HttpResponse, Problem> {
    let id = museum_of(&node, &caller, Scope::Manage, &museum)?.museum.id();
    let envelope = envelope(&node, &caller, &key, &["group policy"], &*form, &[], None)?;
    let GroupPolicyForm { valid_from, policy } = form.into_inner();
    let command = Command::SetGroupPolicy { valid_from, policy: Box::new(policy.into()) };
    let record = node.museum(id, envelope, only_if(&request, command)?).await?;
    newly_set(&record.events, |event| {
        let &Event::GroupPolicySet(GroupPolicySet { revision, valid_from, ref policy }) = event else { return None };
        Some((revision, GroupPolicyView { revision, valid_from: Some(valid_from), policy: GroupPolicyBody::from(policy) }))
    })
}
