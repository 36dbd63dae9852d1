//! People in the area around a museum, as microcells see them: numbers only, and none below fifteen.

use actix_web::{HttpResponse, get, web};
use serde::Serialize;
use tornello_actors::node::Node;
use tornello_actors::sensors::cells::SUPPRESSED_BELOW;

use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::routes::museum_of;

/// People present.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct PresentView {
    /// How many, by the shares of the market of all operators.
    people: u32,
    /// Its standard deviation.
    sd: u32,
    /// How many operators that rests on.
    operators: u32,
}

/// Which share of those present came in within an hour.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct ConversionView {
    /// The share.
    share: f64,
    /// The lower end of its 95% interval.
    low: f64,
    /// The upper end.
    high: f64,
}

/// People around a museum.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct PresenceView {
    /// The museum's number.
    museum: u16,
    /// When the newest cell spoke (RFC 3339, UTC).
    #[schema(format = DateTime)]
    at: String,
    /// People present; absent: too few to tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    present: Option<PresentView>,
    /// Which share of them came in within an hour; absent: too few to tell, or not known of the whole hour, as after a start.
    #[serde(skip_serializing_if = "Option::is_none")]
    conversion: Option<ConversionView>,
    /// Fewer people than this are neither used nor told.
    suppressed_below: u32,
}

/// Read how many people are around.
///
/// From the counts of all microcells within half an hour, each operator's divided by its share of the market, the surer one weighing more; and the share of these
/// people who were let in within an hour. Small counts are suppressed.
#[utoipa::path(
    tag = "Planning", operation_id = "get_presence", security(("key" = ["plan"])),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo")),
    responses((status = 200, description = "The estimate", body = PresenceView), crate::openapi::Problems),
)]
#[get("/museums/{museum}/presence")]
pub async fn get_presence(node: web::Data<Node>, caller: Caller, museum: web::Path<String>) -> Result<HttpResponse, Problem> {
    let known = museum_of(&node, &caller, Scope::Plan, &museum)?;
    let museum = known.museum.id();
    let around = node.sensors().around(museum, node.now(), node.beside());
    let around = around.ok_or_else(|| Problem::not_found().detail("No microcell around this museum has said anything within half an hour."))?;
    let present = around.present.map(|present| PresentView {
        people: present.people.round() as u32,
        sd: present.sd.ceil() as u32,
        operators: present.operators,
    });
    let round = |value: f64| (value * 1_000.0).round() / 1_000.0;
    let conversion = around.conversion.map(|part| ConversionView { share: round(part.share), low: round(part.low), high: round(part.high) });
    Ok(HttpResponse::Ok().json(PresenceView {
        museum: museum.0,
        at: around.at.to_string(),
        present,
        conversion,
        suppressed_below: SUPPRESSED_BELOW as u32,
    }))
}
