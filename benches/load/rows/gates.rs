//! Tickets at gates: signed codes, each let in once, in a slot that runs; alone, and while sales of another slot open.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::json;

use crate::generator::{self, Loop, Run};
use crate::http::{NAME, Template, must};
use crate::round::{drive_processes, unique};
use crate::rows::{run, settle};
use crate::script::{Collect, Pairs, Same};
use crate::table::{Aim, Bench, median};
use crate::target::{Installed, PLACES};

const CLIENTS: usize = 64;
/// Tickets shown per second while sales open: many gates, people in a row.
const SHOWN_PER_SECOND: f64 = 1_000.0;
/// Who wants to buy then.
const BUYERS: usize = 256;
/// The largest party.
const PARTY: usize = 1_000;
/// Tickets for one round of checks: as many as are let in at twice the rate that is wanted.
const CHECKED: usize = 60_000;

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
fn codes(installed: &Installed, slot: &str, count: usize) -> anyhow::Result<Vec<Vec<u8>>> {
    let settlement = json!({"desk": {"till": "till-1", "method": "card", "reference": "R-1"}});
    let party = json!({"lines": [{"category": "full", "count": PARTY}], "settlement": settlement});
    let mut tickets = Vec::new();
    while tickets.len() < count {
        let sale = must(installed.address, "POST", &format!("/v1/slots/{slot}/sales"), &installed.box_office, Some(&party))?;
        let sold = sale["tickets"].as_array().context("a sale without tickets")?;
        tickets.extend(sold.iter().filter_map(|ticket| Some(ticket["ticket"].as_str()?.as_bytes().to_vec())));
    }
    let read = Template::new("GET", &format!("/v1/tickets/{NAME}"), &installed.box_office, "", 0);
    let mut collect = Collect::new(Same::each(read, 200, tickets, unique()), br#""code":""#);
    let all =
        Run { address: installed.address, connections: CLIENTS, pace: Loop::Closed, warm_up: Duration::ZERO, measured: Duration::from_secs(120) };
    generator::run(&all, &mut collect, |_| ())?;
    ensure!(collect.found.len() >= count, "{} of {count} codes were read", collect.found.len());
    Ok(collect.found)
}

fn checks(installed: &Installed, codes: Vec<Vec<u8>>) -> anyhow::Result<Same> {
    let length = codes.first().map_or(0, Vec::len);
    ensure!(codes.iter().all(|code| code.len() == length), "codes of different lengths");
    let body = format!(r#"{{"code":"{NAME}","gate":"north","museum":1}}"#);
    Ok(Same::each(Template::new("POST", "/v1/admissions", &installed.gate, &body, length), 200, codes, unique()))
}

/// Both.
pub fn gates(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let installed = Installed::new(bench.place)?;
    installed.open_museum(1, 1, true)?;
    let slot = running_slot(&installed)?;
    // One of many routes in the same slot would do as well: a slot holds 100,000, so all rounds share its tickets.
    let seconds = bench.seconds.min(2.5);
    let during = ((seconds + 0.5) * SHOWN_PER_SECOND * 1.2) as usize;
    let each = (CHECKED / bench.rounds).max(1_000);
    let mut all = codes(&installed, &slot, (each + during) * bench.rounds)?;
    let mut buyers_slots = installed.free_slots(1)?;
    settle(&[installed.front.id()])?;
    let (mut rates, mut costs, mut p99s, mut sold) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        let mut shown = checks(&installed, all.split_off(all.len() - each))?;
        let mut loaded = run(installed.address, CLIENTS, Loop::Closed, seconds);
        loaded.warm_up = Duration::from_millis(100);
        let outcome = drive_processes(&[installed.front.id()], &loaded, &mut shown)?;
        eprintln!("   {}", outcome.json());
        rates.push(outcome.tally.rate());
        costs.push(outcome.cost_us());
        settle(&[installed.front.id()])?;

        let mut shown = checks(&installed, all.split_off(all.len() - during))?;
        let buyers_slot = buyers_slots.pop().context("no slot to buy")?;
        let mut buyers = Pairs::new(&buyers_slot, &installed.box_office, BUYERS, PLACES, unique());
        let rush =
            Run { connections: BUYERS, measured: Duration::from_secs_f64(seconds + 0.7), ..run(installed.address, BUYERS, Loop::Closed, seconds) };
        let rush = Run { warm_up: Duration::ZERO, ..rush };
        let calm = run(installed.address, CLIENTS, Loop::Open { per_second: SHOWN_PER_SECOND }, seconds);
        let (bought, let_in) = std::thread::scope(|scope| {
            let buying = scope.spawn(|| generator::run(&rush, &mut buyers, |_| ()));
            let let_in = generator::run(&calm, &mut shown, |_| ());
            (buying.join(), let_in)
        });
        let (bought, let_in) = (bought.map_err(|_| anyhow::anyhow!("the buyers panicked"))??, let_in?);
        eprintln!("   p99 {:.2} ms while {:.0} pairs/s were sold", let_in.latency.at_ms(0.99), bought.rate());
        p99s.push(let_in.latency.at_ms(0.99));
        sold.push(bought.rate());
        settle(&[installed.front.id()])?;
    }
    bench.limited("gate checks/s, 64 gates", median(rates), "/s", Aim::AtLeast(15_000.0));
    bench.limited("gate p99 while sales open", median(p99s), "ms", Aim::AtMost(20.0));
    let (cost, sold) = (median(costs), median(sold));
    bench
        .note(format!("a gate check: {cost:.0} microseconds of processor time; while sales opened, {sold:.0} pairs/s were sold to {BUYERS} clients"));
    Ok(())
}
