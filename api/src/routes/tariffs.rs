//! Tariffs as callers write them, and the building's ceiling. What makes a tariff sound, and what a ticket costs, is known to `engine::tariff`.

use actix_web::{HttpRequest, HttpResponse, get, put, web};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tornello_actors::node::Node;
use tornello_engine::ids::Code;
use tornello_engine::money::Cents;
use tornello_engine::museum::{CeilingSet, Command, Event, TariffSet};
use tornello_engine::tariff::{Category, FreeDayBooking, FreeDays, Kind, Proof, Tariff};

use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::request::{IdempotencyKey, Json, Large, envelope};
use crate::routes::museum_of;
use crate::routes::plans::TextForm;
use crate::routes::revisions::{On, in_force, newly_set, none_holds, only_if};
use crate::words::{FreeDayBookingWord, PriceKindWord, ProofWord};

/// One kind of ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CategoryForm {
    /// Its short name in the API and on every ticket of it.
    #[schema(value_type = String, max_length = 23, examples("full"))]
    pub code: Code,
    /// Its name for visitors.
    pub name: TextForm,
    /// `full`, `reduced` or `free`.
    #[schema(value_type = PriceKindWord)]
    pub kind: Kind,
    /// What one ticket costs, in euro cents.
    #[schema(minimum = 0, maximum = 100_000, examples(1200))]
    pub price_cents: i64,
    /// What the gate checks: `none`, `age`, `eu_age18_to25`, `school_list`, `teacher_form`, `enrolment_certificate`, `disability_card`,
    /// `companion_of_disabled`, `guide_licence`, `interpreter_licence`, `icom_card`, `ministry_card`, `study_permit`, `volunteer_card`, `press_card`,
    /// `residence` or `voucher`.
    #[serde(default)]
    #[schema(value_type = ProofWord)]
    pub proof: Proof,
    /// Whether only the group office books it.
    #[serde(default)]
    pub group_only: bool,
}

/// Days on which entry is free for all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FreeDaysForm {
    /// The first Sunday of each month.
    pub first_sunday: bool,
    /// 25 April, 2 June and 4 November.
    pub national: bool,
    /// Days of this site.
    #[serde(deserialize_with = "crate::strict::days")]
    #[schema(value_type = Vec<String>, max_items = 1000, examples(json!(["2027-09-25"])))]
    pub dates: Vec<Date>,
}

/// The prices of a museum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TariffBody {
    /// Who pays what, in the order in which visitors see it.
    #[schema(min_items = 1, max_items = 64)]
    pub categories: Vec<CategoryForm>,
    /// Days on which nobody pays.
    #[serde(default)]
    pub free_days: FreeDaysForm,
    /// Whether a place can be booked on those days: `required`, `recommended` or `impossible`.
    #[schema(value_type = FreeDayBookingWord)]
    pub free_day_booking: FreeDayBooking,
    /// Added to each paid ticket that is sold through the web shop or a reseller, in euro cents.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 5_000, examples(100))]
    pub booking_fee_cents: i64,
}

impl From<TariffBody> for Tariff {
    fn from(body: TariffBody) -> Self {
        let category = |form: CategoryForm| Category {
            code: form.code,
            name: form.name.into(),
            kind: form.kind,
            price: Cents::new(form.price_cents),
            proof: form.proof,
            group_only: form.group_only,
        };
        let FreeDaysForm { first_sunday, national, dates } = body.free_days;
        Self {
            categories: body.categories.into_iter().map(category).collect(),
            free_days: FreeDays { first_sunday, national, dates },
            free_day_booking: body.free_day_booking,
            booking_fee: Cents::new(body.booking_fee_cents),
        }
    }
}

impl From<&Tariff> for TariffBody {
    fn from(tariff: &Tariff) -> Self {
        let form = |category: &Category| CategoryForm {
            code: category.code,
            name: TextForm::from(&category.name),
            kind: category.kind,
            price_cents: category.price.get(),
            proof: category.proof,
            group_only: category.group_only,
        };
        let FreeDays { first_sunday, national, dates } = tariff.free_days.clone();
        Self {
            categories: tariff.categories.iter().map(form).collect(),
            free_days: FreeDaysForm { first_sunday, national, dates },
            free_day_booking: tariff.free_day_booking,
            booking_fee_cents: tariff.booking_fee.get(),
        }
    }
}

/// A tariff with the day from which it is to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TariffForm {
    /// The first day of visits in Rome, today at the earliest.
    #[serde(deserialize_with = "crate::strict::day")]
    #[schema(value_type = String, format = Date, examples("2027-01-01"))]
    pub valid_from: Date,
    /// The tariff.
    pub tariff: TariffBody,
}

/// A tariff in force.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct TariffView {
    /// Counts the museum's tariffs from 1.
    revision: u32,
    /// The first day of visits in Rome.
    #[schema(value_type = String, format = Date)]
    valid_from: Date,
    /// The tariff.
    tariff: TariffBody,
}

/// A ceiling with the day from which it is to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CeilingForm {
    /// The first day in Rome, today at the earliest.
    #[serde(deserialize_with = "crate::strict::day")]
    #[schema(value_type = String, format = Date, examples("2027-01-01"))]
    pub valid_from: Date,
    /// The most people inside at once; `null`: no ceiling. It cannot be left out: who does that has forgotten it, and does not want the building without a limit.
    #[serde(deserialize_with = "crate::request::said")]
    #[schema(required = true, minimum = 1, maximum = 1_000_000, examples(400))]
    pub ceiling: Option<u32>,
}

/// A ceiling in force.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct CeilingView {
    /// Counts the museum's ceilings from 1.
    revision: u32,
    /// The first day in Rome.
    #[schema(value_type = String, format = Date)]
    valid_from: Date,
    /// The most people inside at once; `null`: no ceiling.
    ceiling: Option<u32>,
}

/// Read the tariff.
///
/// The one in force for visits on a day. `ETag` is its revision.
#[utoipa::path(
    tag = "Museums", operation_id = "get_tariff", security(("key" = ["read"])),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"), On,
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` that you have")),
    responses((status = 200, description = "The tariff", body = TariffView, headers(("ETag" = String, description = "The revision"),
        ("Cache-Control" = String, description = "`private, no-cache`: keep it, and ask with `If-None-Match` whether it still holds"))),
        (status = 304, description = "You have it"), crate::openapi::Problems),
)]
#[get("/museums/{museum}/tariff")]
pub async fn get_tariff(
    node: web::Data<Node>,
    caller: Caller,
    museum: web::Path<String>,
    on: web::Query<On>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let known = museum_of(&node, &caller, Scope::Read, &museum)?;
    let date = on.day(&node);
    let found = known.museum.tariff_on(date).zip(known.museum.tariff_since(date));
    let ((revision, tariff), valid_from) = found.ok_or_else(none_holds)?;
    Ok(in_force(&request, revision, TariffView { revision, valid_from, tariff: TariffBody::from(tariff) }))
}

/// Set the tariff.
///
/// It holds for visits from a day on, until a tariff with a later day. What is held or sold keeps its price.
#[utoipa::path(
    tag = "Museums", operation_id = "set_tariff", security(("key" = ["manage"])),
    request_body(content = TariffForm, example = json!({"valid_from": "2027-01-01", "tariff": {
        "categories": [
            {"code": "full", "name": {"it": "Intero", "en": "Full price"}, "kind": "full", "price_cents": 1200},
            {"code": "eu-18-25", "name": {"it": "Ridotto 18-25 anni (UE)", "en": "Reduced, EU citizens aged 18 to 25"}, "kind": "reduced",
                "price_cents": 200, "proof": "eu_age18_to25"},
            {"code": "under-18", "name": {"it": "Gratuito, minori di 18 anni", "en": "Free, under 18"}, "kind": "free", "price_cents": 0, "proof": "age"}
        ],
        "free_days": {"first_sunday": true, "national": true, "dates": ["2027-09-25"]},
        "free_day_booking": "recommended",
        "booking_fee_cents": 0
    }})),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"),
        ("Idempotency-Key" = String, Header, description = "A new value for each request"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what you change")),
    responses((status = 200, description = "The tariff is set", body = TariffView, headers(("ETag" = String, description = "The revision"))),
        (status = 412, description = "Another revision is in force", body = crate::problem::Body, content_type = "application/problem+json"),
        crate::openapi::Problems),
)]
#[put("/museums/{museum}/tariff")]
pub async fn set_tariff(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    museum: web::Path<String>,
    request: HttpRequest,
    form: Large<TariffForm>,
) -> Result<HttpResponse, Problem> {
    let id = museum_of(&node, &caller, Scope::Manage, &museum)?.museum.id();
    let envelope = envelope(&node, &caller, &key, &["tariff"], &form.0, &[], None)?;
    let (valid_from, tariff) = (form.0.valid_from, Tariff::from(form.0.tariff));
    let record = node.museum(id, envelope, only_if(&request, Command::SetTariff { valid_from, tariff })?).await?;
    newly_set(&record.events, |event| {
        let &Event::TariffSet(TariffSet { revision, valid_from, ref tariff }) = event else { return None };
        Some((revision, TariffView { revision, valid_from, tariff: TariffBody::from(tariff) }))
    })
}

/// Read the building's ceiling.
///
/// The most people who may be inside at once on a day. `ETag` is its revision.
#[utoipa::path(
    tag = "Museums", operation_id = "get_ceiling", security(("key" = ["read"])),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"), On,
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` that you have")),
    responses((status = 200, description = "The ceiling", body = CeilingView, headers(("ETag" = String, description = "The revision"),
        ("Cache-Control" = String, description = "`private, no-cache`: keep it, and ask with `If-None-Match` whether it still holds"))),
        (status = 304, description = "You have it"), crate::openapi::Problems),
)]
#[get("/museums/{museum}/ceiling")]
pub async fn get_ceiling(
    node: web::Data<Node>,
    caller: Caller,
    museum: web::Path<String>,
    on: web::Query<On>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let known = museum_of(&node, &caller, Scope::Read, &museum)?;
    let date = on.day(&node);
    let (revision, valid_from) = known.museum.ceiling_since(date).ok_or_else(none_holds)?;
    Ok(in_force(&request, revision, CeilingView { revision, valid_from, ceiling: known.museum.ceiling_on(date) }))
}

/// Set the building's ceiling.
///
/// It holds from a day on, until a ceiling with a later day; from today on, at once, for sales by the last reading too. Sensors limit sales only where there is one. To take it away
/// say so: `"ceiling": null`.
#[utoipa::path(
    tag = "Museums", operation_id = "set_ceiling", security(("key" = ["manage"])),
    request_body(content = CeilingForm, example = json!({"valid_from": "2027-01-01", "ceiling": 400})),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"),
        ("Idempotency-Key" = String, Header, description = "A new value for each request"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of what you change")),
    responses((status = 200, description = "The ceiling is set", body = CeilingView, headers(("ETag" = String, description = "The revision"))),
        (status = 412, description = "Another revision is in force", body = crate::problem::Body, content_type = "application/problem+json"),
        crate::openapi::Problems),
)]
#[put("/museums/{museum}/ceiling")]
pub async fn set_ceiling(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    museum: web::Path<String>,
    request: HttpRequest,
    form: Json<CeilingForm>,
) -> Result<HttpResponse, Problem> {
    let id = museum_of(&node, &caller, Scope::Manage, &museum)?.museum.id();
    let envelope = envelope(&node, &caller, &key, &["ceiling"], &*form, &[], None)?;
    let CeilingForm { valid_from, ceiling } = *form;
    let record = node.museum(id, envelope, only_if(&request, Command::SetCeiling { valid_from, ceiling })?).await?;
    newly_set(&record.events, |event| {
        let &Event::CeilingSet(CeilingSet { revision, valid_from, ceiling }) = event else { return None };
        Some((revision, CeilingView { revision, valid_from, ceiling }))
    })
}
