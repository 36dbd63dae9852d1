//! Everything that can be asked over HTTP, one line each. A handler is ten lines: parse, authorise, ask, answer; rules live in `engine`.

pub mod holds;

use serde::Serialize;
use tornello_actors::availability::{self, Status};
use tornello_actors::failure::Failure;
use tornello_actors::node::Node;
use tornello_engine::calendar;
use tornello_engine::channel::Channel;
use tornello_engine::ids::SlotId;
use tornello_engine::slot::Refusal;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::problem::Problem;

/// How many alternatives a refusal names.
const ALTERNATIVES_MAX: usize = 3;

/// Everything that is published in the contract.
pub fn all(routes: &mut ServiceConfig<'_>) {
    routes.service(utoipa_actix_web::scope("/v1").configure(v1));
}

/// The native interface.
fn v1(routes: &mut ServiceConfig<'_>) {
    routes.service(holds::create).service(holds::get).service(holds::extend).service(holds::release);
}

/// What is not part of the contract: the contract itself, its readable form.
pub fn unpublished(_: &mut actix_web::web::ServiceConfig) {}

/// A slot that has the places that another one has not.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Alternative {
    /// The slot.
    slot: String,
    /// When it starts (RFC 3339, UTC).
    starts_at: String,
    /// How many places this channel may take.
    available: u32,
}

/// A failure as a problem; where places are short, with the nearest slots of the same route that have them, from the published counters.
pub fn alternatives(node: &Node, slot: SlotId, channel: Channel, failure: Failure<Refusal>) -> Problem {
    let Failure::Refused(Refusal::NotEnoughPlaces { asked, .. }) = failure else { return failure.into() };
    let problem = Problem::from(failure);
    let Some(known) = node.museums().get(slot.museum()) else { return problem };
    let date = calendar::local_day(slot.start());
    let (from, to) = (date.yesterday().unwrap_or(date), date.tomorrow().unwrap_or(date));
    let mut others = availability::of_museum(&known, node.board(), from, to, Some(slot.route()), channel, node.now());
    others.retain(|other| other.slot != slot && other.available >= asked && matches!(other.status, Status::Available | Status::Few));
    others.sort_by_key(|other| other.slot.start().micros_since(slot.start()).abs());
    let nearest: Vec<Alternative> = others
        .into_iter()
        .take(ALTERNATIVES_MAX)
        .map(|other| Alternative { slot: other.slot.to_string(), starts_at: other.slot.start().to_string(), available: other.available })
        .collect();
    problem.with("alternatives", nearest)
}
