//! Tickets at gates: signed codes, each let in once, in a slot that runs; alone, and while sales of another slot open. Gates come where everybody does, and to a listener of
//! their own.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::json;

use crate::generator::{self, Loop, Run};
use crate::http::{NAME, Template, must};
use crate::round::{Rounds, drive};
use crate::rows::run;
use crate::script::{Collect, Pairs, Same};
use crate::table::{Aim, Bench};
use crate::target::{Installed, PLACES, Place};
use crate::work::Work;

const CLIENTS: usize = 64;
/// Tickets shown per second while sales open: many gates, people in a row.
const SHOWN_PER_SECOND: f64 = 1_000.0;
/// Who wants to buy then.
const BUYERS: usize = 256;
/// The largest party.
const PARTY: usize = 1_000;
/// Tickets for all rounds of checks together, as a slot has only so many places. A round ends when its part is used up, which may be sooner than it would by the clock.
const CHECKED: usize = 60_000;

/// How a server is started, by where gates come.
type Start = fn(&Place) -> anyhow::Result<Installed>;

/// Where gates come.
const DOORS: [(&str, Start); 2] = [("", Installed::new), (", a listener of their own", Installed::with_gates_apart)];

/// The slot of the first museum that runs now.
fn running_slot(installed: &Installed) -> anyhow::Result<String> {
    let seen = must(installed.address, "GET", "/v1/museums/1/availability", &installed.box_office, None)?;
    let now = jiff::Timestamp::now();
    let runs = |slot: &&serde_json::Value| {
        let at = |name: &str| slot[name].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        at("starts_at").is_some_and(|start| start <= now) && at("ends_at").is_some_and(|end| end > now)
    };
    let slot = seen["items"].as_array().into_iter().flatten().find(runs).context("no slot runs")?;
    Ok(slot["slot"].as_str().context("a slot without a name")?.to_owned())
}

/// Signed codes of so many tickets of a slot.
fn codes(installed: &Installed, slot: &str, count: usize) -> anyhow::Result<Vec<String>> {
    let settlement = json!({"desk": {"till": "till-1", "method": "card", "reference": "R-1"}});
    let party = json!({"lines": [{"category": "full", "count": PARTY}], "settlement": settlement});
    let mut tickets = Vec::new();
    while tickets.len() < count {
        let sale = must(installed.address, "POST", &format!("/v1/slots/{slot}/sales"), &installed.box_office, Some(&party))?;
        let sold = sale["tickets"].as_array().context("a sale without tickets")?;
        tickets.extend(sold.iter().filter_map(|ticket| Some(ticket["ticket"].as_str()?.to_owned())));
    }
    let read = Template::new("GET", &format!("/v1/tickets/{NAME}"), &installed.box_office, "", 0);
    let mut collect = Collect::new(Same::each(read, 200, tickets), r#""code":""#);
    let all = Run::new(installed.address, CLIENTS, Loop::Closed, Duration::from_secs(120));
    generator::run(&all, &mut collect, |_| ())?;
    ensure!(collect.found.len() >= count, "{} of {count} codes were read", collect.found.len());
    Ok(collect.found)
}

fn checks(installed: &Installed, codes: Vec<String>) -> anyhow::Result<Work> {
    let length = codes.first().map_or(0, String::len);
    ensure!(codes.iter().all(|code| code.len() == length), "codes of different lengths");
    let body = format!(r#"{{"code":"{NAME}","gate":"north","museum":1}}"#);
    Ok(Work::Same(Same::each(Template::new("POST", "/v1/admissions", &installed.gate, &body, length), 200, codes)))
}

/// Both, at each door.
pub fn gates(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    DOORS.into_iter().try_for_each(|(door, start)| at_door(bench, door, start))
}

fn at_door(bench: &mut Bench<'_>, door: &str, start: Start) -> anyhow::Result<()> {
    let installed = start(bench.place)?;
    installed.open_museum(1, 1, true)?;
    let (gates, watched) = (installed.gates()?, installed.watched());
    let slot = running_slot(&installed)?;
    // One of many routes in the same slot would do as well: a slot holds 100,000, so all rounds share its tickets.
    let seconds = bench.seconds.min(2.5);
    let during = ((seconds + 0.5) * SHOWN_PER_SECOND * 1.2) as usize;
    let each = (CHECKED / bench.rounds).max(1_000);
    let mut all = codes(&installed, &slot, (each + during) * bench.rounds)?;
    let mut buyers_slots = installed.free_slots(1)?;
    watched.settle()?;
    let (mut alone, mut in_a_rush, mut buying) = (Rounds::default(), Rounds::default(), Rounds::default());
    for _ in 0..bench.rounds {
        let shown = checks(&installed, all.split_off(all.len() - each))?;
        let loaded = Run { warm_up: Duration::from_millis(100), ..run(bench, gates, CLIENTS, Loop::Closed, seconds) };
        alone.add("", drive(&watched, &loaded, shown)?);

        let shown = checks(&installed, all.split_off(all.len() - during))?;
        let slot = buyers_slots.pop().context("no slot to buy")?;
        let buyers = Work::Pairs(Pairs::new(&[slot], &installed.box_office, BUYERS, PLACES));
        let rush = Run { warm_up: Duration::ZERO, ..run(bench, installed.address, BUYERS, Loop::Closed, seconds + 0.7) };
        let calm = run(bench, gates, CLIENTS, Loop::Open { per_second: SHOWN_PER_SECOND }, seconds);
        let (bought, let_in) = std::thread::scope(|scope| {
            let bought = scope.spawn(|| drive(&watched, &rush, buyers));
            let let_in = drive(&watched, &calm, shown);
            (bought.join(), let_in)
        });
        let (bought, let_in) = (bought.map_err(|_| anyhow::anyhow!("the buyers panicked"))??, let_in?);
        // Nobody knows how long they would have waited, so no percentile says it.
        ensure!(let_in.tally.unsent == 0, "{} tickets that were to be shown never found a gate", let_in.tally.unsent);
        // What is shown after the last place was sold is shown in no rush.
        let sold_s = bought.tally.seconds;
        ensure!(sold_s >= rush.measured.as_secs_f64() * 0.99, "all places were sold after {sold_s:.1} s, before the gates had done");
        in_a_rush.add("while sales open: ", let_in);
        buying.add("the sales: ", bought);
    }
    bench.limited(&format!("gate checks/s, 64 gates{door}"), alone.rate(), "/s", Aim::AtLeast(15_000.0));
    bench.limited(&format!("gate p99 while sales open{door}"), in_a_rush.at_ms(0.99), "ms", Aim::AtMost(20.0));
    let (cost, sold) = (alone.cost(), buying.rate());
    let cores = sold.generator.unwrap_or_default();
    bench.note(format!(
        "a gate check{door}: {cost} microseconds of processor time; while sales opened, {:.0} pairs/s were sold to {BUYERS} clients, whose generator used {cores:.2} of a core",
        sold.value
    ));
    Ok(())
}
