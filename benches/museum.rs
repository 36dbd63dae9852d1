//! The museum of the benches that ask a whole node: open around the clock, so that it has slots to hold in whenever they run.

use tornello_actors::node::Node;
use tornello_engine::calendar;
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{MuseumId, RouteId, SlotId};
use tornello_engine::museum::{Command, Profile};
use tornello_engine::plan::{OpeningPlan, Route, Session};
use tornello_engine::slot::Policy;
use tornello_engine::text::Text;

const MUSEUM: MuseumId = MuseumId(1);

/// Registers it and sets its plan, each under its envelope; answers the slots of the next day from six o'clock on, of 100,000 places each.
pub async fn open(node: &Node, [registers, plans]: [Envelope; 2]) -> Vec<SlotId> {
    let at = |hour| jiff::civil::time(hour, 0, 0, 0);
    let session = Session { opens: at(0), closes: at(0), slot_minutes: 60, last_entry: at(23), capacity: 100_000, quotas: Default::default() };
    let week = std::array::from_fn(|_| vec![session.clone()]);
    let code = |text: &str| text.parse().expect("a code");
    let route = Route { id: RouteId(1), code: code("main"), name: Text::new("a", "a"), week, exceptions: Vec::new(), policy: Policy::default() };
    let profile = Profile {
        slug: code("bench"),
        name: "Bench".into(),
        city: "Roma".into(),
        region: "Lazio".into(),
        latitude_microdeg: 0,
        longitude_microdeg: 0,
        patron: None,
    };
    let today = calendar::local_day(node.now());
    node.museum(MUSEUM, registers, Command::Register { profile }).await.expect("registered");
    let plan = OpeningPlan { routes: vec![route] };
    node.museum(MUSEUM, plans, Command::SetPlan { valid_from: today, plan }).await.expect("planned");
    let known = node.museums().get(MUSEUM).expect("known");
    known.day(today.tomorrow().expect("a day")).iter().skip(6).map(|opening| opening.slot).collect()
}
