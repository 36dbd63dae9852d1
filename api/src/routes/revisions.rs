//! What a museum sets revision by revision, each from a day on: how any of it is asked for on a day, read with an `ETag` and set under `If-Match`. What is set, and
//! how it looks, is known to its own file: `plans`, `tariffs` (also ceilings), `group_policy`, `planning`.

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tornello_actors::node::Node;
use tornello_engine::calendar;
use tornello_engine::museum::Command;

use crate::problem::Problem;
use crate::routes::not_rebuilt;

/// On which day.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct On {
    /// A date in Rome; absent: today.
    #[serde(default, deserialize_with = "crate::strict::day_if")]
    #[param(value_type = Option<String>, format = Date, example = "2027-01-01")]
    on: Option<Date>,
}

impl On {
    /// The day.
    #[must_use]
    pub fn day(&self, node: &Node) -> Date {
        self.on.unwrap_or_else(|| calendar::local_day(node.now()))
    }
}

/// Nothing of a kind holds on the day that was asked for.
pub fn none_holds() -> Problem {
    Problem::not_found().detail("Nothing of this kind holds on that day. Set it with PUT, or ask for another day with `on`.")
}

/// The tag of a revision.
fn etag(revision: u32) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{revision}\"")).unwrap_or(HeaderValue::from_static("\"0\""))
}

/// Whether a caller says that it has what bears a tag: it, or `*`, in any of the lists that it sends. A proxy that packs answers makes their tags weak, and here that is
/// no other tag (RFC 9110, 13.1.2).
#[must_use]
pub fn has(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let named = |one: &str| one == "*" || opaque(one.as_bytes()) == opaque(tag.as_bytes());
    let listed = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.split(',').any(|one| named(one.trim())));
    headers.get_all(header::IF_NONE_MATCH).any(listed)
}

/// A tag without its weakness.
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// What is in force, with its revision as `ETag`; without its body for a caller who says that it has it.
pub fn in_force(request: &HttpRequest, revision: u32, view: impl Serialize) -> HttpResponse {
    let known = has(request.headers(), &etag(revision));
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((header::ETAG, etag(revision))).insert_header((header::CACHE_CONTROL, "private, no-cache"));
    if known { response.finish() } else { response.json(view) }
}

/// The command that sets something, on the condition that the caller gives with `If-Match`: an `ETag` or several, or `*` for none in particular.
pub fn only_if(request: &HttpRequest, set: Command) -> Result<Command, Problem> {
    Ok(match expected_revisions(request)? {
        Some(revisions) => Command::OnlyIf { revisions, set: Box::new(set) },
        None => set,
    })
}

/// The revisions of which one must be in force, which the caller gives with `If-Match`: an `ETag` or a list of them, in one header or in several, or `*` for none in particular.
/// A weak one, as a proxy makes of ours that packs answers, can be read and is never the one in force (RFC 9110, 13.1.1).
pub fn expected_revisions(request: &HttpRequest) -> Result<Option<Vec<u32>>, Problem> {
    let given: Vec<&str> = request.headers().get_all(header::IF_MATCH).map(|list| list.to_str().unwrap_or("?").trim()).collect();
    if given.is_empty() || given == ["*"] {
        return Ok(None);
    }
    let unread = || Problem::malformed("If-Match: the `ETag` of what was read is expected, as \"3\", or several with commas between them");
    let tags: Vec<&str> = given.iter().flat_map(|list| list.split(',')).map(str::trim).filter(|tag| !tag.is_empty()).collect();
    if tags.is_empty() {
        return Err(unread());
    }
    let mut revisions = Vec::new();
    for tag in tags {
        let (strong, is_weak) = tag.strip_prefix("W/").map_or((tag, false), |tag| (tag, true));
        let revision = strong.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')?.parse::<u32>().ok()).ok_or_else(unread)?;
        revisions.extend((!is_weak).then_some(revision));
    }
    Ok(Some(revisions))
}

/// What was set, as the events of its record say: the first of which there is something to `show`, by its revision and as it looks. The revision is its `ETag`.
pub fn newly_set<E, V: Serialize>(events: &[E], show: impl Fn(&E) -> Option<(u32, V)>) -> Result<HttpResponse, Problem> {
    let (revision, view) = events.iter().find_map(show).ok_or_else(not_rebuilt)?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(revision))).json(view))
}
