//! The published contract: OpenAPI 3.1, made from the handlers themselves.

use std::collections::BTreeMap;

use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ContactBuilder, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Response, ResponseBuilder, Server,
};
use utoipa::openapi::{Header, KnownFormat, SchemaFormat, Type};
use utoipa::{IntoResponses, PartialSchema};

use crate::{auth, problem};

/// What a problem's status says of the request.
const STATUSES: [(&str, &str); 12] = [
    ("400", "Something in the request cannot be read"),
    ("401", "No API key where one is needed, or one that is not good"),
    ("403", "The key's role may not do that"),
    ("404", "There is no such thing here"),
    ("409", "The state of things is against it; `code` says what"),
    ("410", "The hold, the payment or the entry has ended"),
    ("412", "Something else is there than what was read"),
    ("413", "The body is too large"),
    ("415", "The body is not of the kind that is taken"),
    ("422", "It can be read but not be done; `code` says why"),
    ("429", "Too many requests; see Retry-After"),
    ("503", "Not now; see Retry-After. Repeat with the same Idempotency-Key"),
];

/// The problems that any operation may answer with. What else it may say no with follows from what it takes, and [`finished`] adds it; what does not follow from that
/// the handler names itself: [`Against`], [`Ended`], [`Absent`], [`Outdated`].
pub struct Problems;

/// An operation that changes nothing, and that the state of things may be against.
pub struct Against;

/// An operation for what ends by itself: a hold, a payment, an entry of a waiting list.
pub struct Ended;

/// An operation that not every installation has.
pub struct Absent;

/// An operation that names what was read, which may have changed since.
pub struct Outdated;

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        named(["429", "503"])
    }
}

impl IntoResponses for Against {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        named(["409"])
    }
}

impl IntoResponses for Ended {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        named(["409", "410"])
    }
}

impl IntoResponses for Absent {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        named(["404"])
    }
}

impl IntoResponses for Outdated {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        named(["412"])
    }
}

fn named<const N: usize>(statuses: [&str; N]) -> BTreeMap<String, RefOr<Response>> {
    statuses.into_iter().map(|status| (status.to_owned(), RefOr::T(told(status)))).collect()
}

fn told(status: &str) -> Response {
    let description = STATUSES.iter().find(|known| known.0 == status).map_or("", |known| known.1);
    let content = utoipa::openapi::ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(description).content("application/problem+json", content).build()
}

/// Parameters of a query that name a thing, which may not be there.
const NAMING: [&str; 3] = ["account", "museum", "slot"];

/// The statuses of problems that follow from what an operation takes.
fn following(operation: &Operation) -> impl Iterator<Item = &'static str> {
    let parameters: Vec<&Parameter> = operation
        .parameters
        .iter()
        .flatten()
        .filter_map(|parameter| match parameter {
            RefOr::T(parameter) => Some(parameter),
            RefOr::Ref(_) => None,
        })
        .collect();
    let stands_in = |place: ParameterIn| parameters.iter().any(|parameter| parameter.parameter_in == place);
    let (path, query) = (stands_in(ParameterIn::Path), stands_in(ParameterIn::Query));
    let named = parameters.iter().any(|parameter| parameter.parameter_in == ParameterIn::Query && NAMING.contains(&parameter.name.as_str()));
    // A condition that cannot be met is no error of what is asked.
    let header = parameters.iter().any(|parameter| parameter.parameter_in == ParameterIn::Header && !parameter.name.starts_with("If-"));
    let changes = parameters.iter().any(|parameter| parameter.name == "Idempotency-Key");
    let body = operation.request_body.is_some();
    let keyed = operation.security.iter().flatten().any(|requirement| *requirement != SecurityRequirement::default());
    let all = [
        ("400", body || query || changes),
        // A bad key is told so even where none is needed.
        ("401", true),
        ("403", keyed),
        // A path that cannot be read leads nowhere; a body may name what is not there.
        ("404", path || named || body),
        ("409", changes),
        ("413", body),
        ("415", body),
        ("422", body || query || header),
    ];
    all.into_iter().filter(|(_, follows)| *follows).map(|(status, _)| status)
}

/// What is asked for under which heading, in the order of a visit.
const TAGS: [(&str, &str); 22] = [
    ("Museums", "Museums with their plans, tariffs and ceilings."),
    ("Availability", "What can be booked."),
    ("Slots", "One slot: its counters, and what staff change."),
    ("Holds", "Places kept for a while."),
    ("Waiting", "Parties that wait for places, served in order."),
    ("Waiting rooms", "Where buyers wait for an opening of sales."),
    ("Sales", "Places sold, cancelled and blocked."),
    ("Quotes", "Group visits of schools, operators and companies: from a price to tickets."),
    ("Accounts", "Operators that owe: what was agreed, charged and paid."),
    ("Payments", "Money that is due for holds, and what came of it."),
    ("Refunds", "Money that goes back: an operator's work."),
    ("Reconciliation", "What banks report, held against receipts and statements."),
    ("Tills", "A desk's cash, from its float to its count."),
    ("Vouchers", "Prepaid amounts."),
    ("Tickets", "One for each person, with a signed code, on screen or paper."),
    ("Gates", "In and out."),
    ("Fraud", "What is suspected, who looked at it, and what is learned of it."),
    ("People", "Contacts, kept apart and erased in time."),
    ("Readings", "What sensors say, and the people inside."),
    ("Planning", "Forecasts, attendance, presence around, rosters, and what would be if."),
    ("Live", "What happens now."),
    ("Health", "Whether all is well. For the inside network."),
];

/// The frame that the handlers fill.
#[must_use]
pub fn frame() -> OpenApi {
    let summary = Extensions::builder().add("x-summary", "Real-time capacity of museums").build();
    let info = InfoBuilder::new()
        .title("Tornello")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Real-time capacity of museums: timeslots, holds, sales, tickets, admissions and people inside.\n\n\
            Send your key as `Authorization: Bearer tn_...`. Every request that changes something carries an `Idempotency-Key`: repeat it with the same key and \
            body, and it is done at most once and answered the same (operators' accounts, till sessions, vouchers, fraud rules and models: as they stand then). \
            Readings, files of scans, joining a waiting room and erasing a person carry none, and do no harm when they are repeated. A key is remembered where the request went: by the slot for its holds, sales and tickets, by \
            the museum, payment or quote for what is theirs. The same value with another slot is another request, done like any other. What does not work is answered as `application/problem+json` with a stable `code`, \
            explained at [/docs/problems](/docs/problems). What GET answers can be asked for by HEAD, without its body. Money is in euro cents, instants are RFC 3339, in UTC, \
            or in Rome's time with its offset where it is about planning (forecasts, reminders, options); dates are those of Rome.",
        ))
        .terms_of_service(Some("https://interoperable-europe.ec.europa.eu/collection/eupl/eupl-text-eupl-12"))
        .license(Some(LicenseBuilder::new().name("EUPL-1.2").identifier(Some("EUPL-1.2")).build()))
        .contact(Some(ContactBuilder::new().name(Some("Tornello")).url(Some("https://example.org/tornello")).build()))
        .extensions(Some(summary));
    let mut server = Server::new("/");
    server.description = Some("This installation".into());
    // It says of itself what the guidelines would otherwise ask of an address that is not known here: https.
    server.extensions = Some(Extensions::builder().add("x-sandbox", true).build());
    let tags = TAGS.map(|(name, description)| TagBuilder::new().name(name).description(Some(description)).build());
    let mut api = OpenApiBuilder::new().info(info.build()).servers(Some([server])).tags(Some(tags)).build();
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("tn_...").description(Some(key_description())).build();
    let mut components = utoipa::openapi::Components::new();
    components.add_security_scheme("key", SecurityScheme::Http(scheme));
    components.schemas.insert("Problem".to_owned(), problem::Body::schema());
    api.components = Some(components);
    api
}

fn key_description() -> String {
    format!(
        "An API key. Its role opens the scopes that the operations name:\n\n{}\nIt sells through one channel, and no request names another: {}. What is sold at a desk is sold \
        with a key of the desk, also by an administrator.",
        auth::table(),
        auth::channels()
    )
}

/// Adds to what the handlers say of themselves what holds for all of them: the problems that follow from what they take, the headers that every answer carries, the form
/// of idempotency keys. An operation whose summary says all has it as its description too.
#[must_use]
pub fn finished(mut api: OpenApi) -> OpenApi {
    for operation in api.paths.paths.values_mut().flat_map(operations) {
        if operation.description.as_ref().is_none_or(String::is_empty) {
            operation.description = operation.summary.clone();
        }
        for parameter in operation.parameters.iter_mut().flatten() {
            if let RefOr::T(parameter) = parameter
                && parameter.name == "Idempotency-Key"
            {
                parameter.schema = Some(idempotency_key().into());
            }
        }
        let statuses: Vec<&str> = following(operation).collect();
        for status in statuses {
            operation.responses.responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(told(status)));
        }
        for (status, response) in &mut operation.responses.responses {
            let RefOr::T(response) = response else { continue };
            for (name, description) in [
                ("RateLimit-Limit", "Requests that this key may send at once"),
                ("RateLimit-Remaining", "How many of them are left"),
                ("RateLimit-Reset", "Seconds until there are more"),
            ] {
                response.headers.insert(name.to_owned(), RefOr::T(number(description)));
            }
            if status.starts_with('2') {
                response.headers.entry("Cache-Control".to_owned()).or_insert_with(|| RefOr::T(words("`no-store`: nothing is kept by caches")));
            }
            if ["429", "503"].contains(&status.as_str()) {
                response.headers.insert("Retry-After".to_owned(), RefOr::T(number("Seconds to wait")));
            }
        }
    }
    api
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut path.get, &mut path.put, &mut path.post, &mut path.delete].into_iter().flatten()
}

/// Visible ASCII without quotes and backslashes, bare or quoted: what [`crate::request::IdempotencyKey`] reads.
fn idempotency_key() -> ObjectBuilder {
    const PATTERN: &str = r#"^([!#-\[\]-~]{1,255}|"[!#-\[\]-~]{1,255}")$"#;
    ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(257)).pattern(Some(PATTERN))
}

fn words(description: &str) -> Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).max_length(Some(64)).build()))
        .description(Some(description))
        .build()
}

fn number(description: &str) -> Header {
    let schema = ObjectBuilder::new().schema_type(Type::Integer).format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32))).minimum(Some(0));
    HeaderBuilder::new().schema(Some(schema.build())).description(Some(description)).build()
}
