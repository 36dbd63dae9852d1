//! The published contract: OpenAPI 3.1, made from the handlers themselves.

use std::collections::BTreeMap;

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContactBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, RefOr, Response, ResponseBuilder, Server};
use utoipa::{IntoResponses, PartialSchema};

use crate::problem;

/// The problems that any operation may answer with.
pub struct Problems;

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let problem = |description: &str| {
            let content = utoipa::openapi::ContentBuilder::new().schema(Some(problem::Body::schema())).build();
            ResponseBuilder::new().description(description).content("application/problem+json", content).build()
        };
        [
            ("400", "Something in the request cannot be read"),
            ("401", "No API key, or none that is good"),
            ("403", "The key's role may not do that"),
            ("404", "There is no such thing here"),
            ("409", "The state of things is against it; `code` says what"),
            ("410", "The hold has ended"),
            ("413", "The body is too large"),
            ("415", "The body is not JSON"),
            ("422", "It can be read but not be done; `code` says why"),
            ("429", "Too many requests; see Retry-After"),
            ("503", "Not now; see Retry-After. Repeat with the same Idempotency-Key"),
        ]
        .into_iter()
        .map(|(status, description)| (status.to_owned(), RefOr::T(problem(description))))
        .collect()
    }
}

/// The frame that the handlers fill.
#[must_use]
pub fn frame() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Tornello")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Real-time capacity of museums: timeslots, holds, sales, tickets, admissions and people inside."))
        .license(Some(LicenseBuilder::new().name("EUPL-1.2").identifier(Some("EUPL-1.2")).build()))
        .contact(Some(ContactBuilder::new().name(Some("Tornello")).build()));
    let mut server = Server::new("/");
    server.description = Some("This installation".into());
    let mut api = OpenApiBuilder::new().info(info.build()).servers(Some([server])).build();
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("tn_...").description(Some("An API key")).build();
    let mut components = utoipa::openapi::Components::new();
    components.add_security_scheme("key", SecurityScheme::Http(scheme));
    api.components = Some(components);
    api
}
