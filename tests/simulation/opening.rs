//! How a museum of a run opens: every hour of every day by one route, so that there are slots whenever the clock jumps to.

use jiff::civil::{Date, time};
use tornello_engine::channel::Channel;
use tornello_engine::ids::{MuseumId, RouteId};
use tornello_engine::museum::{Command, Profile};
use tornello_engine::plan::{OpeningPlan, Route, Session};
use tornello_engine::slot::{Policy, Quota};
use tornello_engine::text::Text;

use crate::callers::code;

/// What registers the museum, and sets its plan from a day on: slots of an hour, of so many places each.
pub fn opening(museum: MuseumId, valid_from: Date, capacity: u32, quotas: [Quota; Channel::COUNT], policy: Policy) -> [Command; 2] {
    let midnight = time(0, 0, 0, 0);
    let session = Session { opens: midnight, closes: midnight, slot_minutes: 60, last_entry: time(23, 0, 0, 0), capacity, quotas };
    let week = std::array::from_fn(|_| vec![session.clone()]);
    let route = Route { id: RouteId(1), code: code("main"), name: Text::new("Percorso", "Route"), week, exceptions: Vec::new(), policy };
    let profile = Profile {
        slug: code(&format!("museum-{}", museum.0)),
        name: "Museo".into(),
        city: "Parma".into(),
        region: "Emilia-Romagna".into(),
        latitude_microdeg: 44_655_000,
        longitude_microdeg: 10_275_000,
        patron: None,
    };
    [Command::Register { profile }, Command::SetPlan { valid_from, plan: OpeningPlan { routes: vec![route] } }]
}
