//! What changes nothing: refusals of a slot that is sold out, and what is available; beside a bare server that answers as many bytes.

use serde_json::json;

use crate::generator::Loop;
use crate::http::{Template, ask, must};
use crate::round::{Rounds, drive};
use crate::rows::run;
use crate::script::{HOLD, Same};
use crate::table::Bench;
use crate::target::{Installed, Target, Which, days_ahead};
use crate::work::Work;

const CLIENTS: usize = 64;
/// Near enough to the ceiling.
const LEAST: f64 = 0.9;

/// Places asked of a slot that has none.
pub fn refusals(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let installed = Installed::new(bench.place)?;
    installed.open_museum(1, 1, true)?;
    let slots = installed.free_slots(1)?;
    let none = json!({"capacity": 0});
    // All of a day: no other slot has places either.
    for slot in &slots[..48] {
        must(installed.address, "PUT", &format!("/v1/slots/{slot}/capacity"), &installed.admin, Some(&none))?;
    }
    let path = format!("/v1/slots/{}/holds", slots[24]);
    let (status, refused) = ask(installed.address, "POST", &path, &installed.box_office, Some(&serde_json::from_str(HOLD)?))?;
    anyhow::ensure!(status == 409 && refused["code"] == "not_enough_places", "{status} {refused}");
    let ours = Template::new("POST", &path, &installed.box_office, HOLD, 0);
    compare(bench, "refusals/s when sold out, 64 clients", &installed, (ours, 409), "POST", HOLD, refused.to_string().len())
}

/// The slots of one day of a museum.
pub fn availability(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let installed = Installed::new(bench.place)?;
    installed.open_museum(1, 1, false)?;
    let day = days_ahead(5)?;
    let path = format!("/v1/museums/1/availability?from={day}&to={day}");
    let seen = must(installed.address, "GET", &path, &installed.box_office, None)?;
    let ours = Template::new("GET", &path, &installed.box_office, "", 0);
    compare(bench, "availability reads/s (a day of 20 slots), 64 clients", &installed, (ours, 200), "GET", "", seen.to_string().len())
}

fn compare(
    bench: &mut Bench<'_>,
    what: &str,
    installed: &Installed,
    (ours, status): (Template, u16),
    method: &str,
    body: &str,
    length: usize,
) -> anyhow::Result<()> {
    let ceiling = Target::start(Which::Ceiling, bench.place)?;
    let theirs = Template::new(method, &format!("/bytes/{length}"), &ceiling.seller, body, 0);
    let (mut our_rounds, mut their_rounds) = (Rounds::default(), Rounds::default());
    for round in 0..bench.rounds {
        // Forth and back, as all who are compared.
        let turns = if round.is_multiple_of(2) { [true, false] } else { [false, true] };
        for is_ours in turns {
            if is_ours {
                let loaded = run(bench, installed.address, CLIENTS, Loop::Closed, bench.seconds);
                our_rounds.add("", drive(&installed.watched(), &loaded, Work::Same(Same::new(ours.clone(), status)))?);
            } else {
                let loaded = run(bench, ceiling.address, CLIENTS, Loop::Closed, bench.seconds);
                their_rounds.add("Ceiling: ", drive(&ceiling.watched(), &loaded, Work::Same(Same::new(theirs.clone(), 200)))?);
            }
        }
    }
    bench.note(format!("{what}: {} microseconds of processor time each, {length} bytes answered", our_rounds.cost()));
    bench.beside(what, our_rounds.rate(), "Ceiling", their_rounds.rate(), LEAST);
    Ok(())
}
