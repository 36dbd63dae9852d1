//! Hold and sell in one hot slot: beside the peers, at half of the most, and at more than the most.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::generator::Loop;
use crate::round::{Outcome, pairs as pairs_of};
use crate::rows::{WARM_UP, settle};
use crate::table::{Aim, Bench, flush_ms, median};
use crate::target::{PLACES, Target, Which};

/// Connections of open loops: as many people as may be on their way at once.
const CONNECTIONS: usize = 1_024;
/// The same when more come than can be served.
const CROWD: u64 = 8_192;
/// A generator that uses more of its core than this may be what limits the figure.
const GENERATOR_LIMIT: f64 = 0.9;

/// Whom a number of clients is tried on, and what must come of it.
const COMPARED: [(usize, &[(Which, f64)]); 4] = [
    (1, &[(Which::Postgres, 1.5)]),
    (16, &[(Which::Postgres, 8.0)]),
    (64, &[(Which::Postgres, 25.0), (Which::Redis, 2.0), (Which::Ceiling, 0.0)]),
    (256, &[(Which::Postgres, 25.0), (Which::Redis, 2.0), (Which::Ceiling, 0.7)]),
];

fn closed(target: &mut Target, clients: usize, seconds: f64) -> anyhow::Result<Outcome> {
    let outcome = pairs_of(target, clients, Loop::Closed, WARM_UP, Duration::from_secs_f64(seconds), false)?;
    settle(&target.processes())?;
    Ok(outcome)
}

/// Closed loops, all servers in turn, forth and back.
pub fn pairs(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let mut place = bench.place.clone();
    tune_postgres(bench, &mut place)?;
    let mut targets = Vec::new();
    for which in [Which::Tornello, Which::Ceiling, Which::Redis, Which::Postgres] {
        targets.push(Target::start(which, &place)?);
    }
    let mut rates: BTreeMap<(usize, Which), Vec<f64>> = BTreeMap::new();
    let mut costs: BTreeMap<(usize, Which), Vec<f64>> = BTreeMap::new();
    let mut busiest: f64 = 0.0;
    for round in 0..bench.rounds {
        for (clients, peers) in COMPARED {
            let takes_part = |target: &&mut Target| target.which == Which::Tornello || peers.iter().any(|peer| peer.0 == target.which);
            let mut turn: Vec<&mut Target> = targets.iter_mut().filter(takes_part).collect();
            if round % 2 == 1 {
                turn.reverse();
            }
            for target in turn {
                let outcome = closed(target, clients, bench.seconds)?;
                eprintln!("   {clients:>3} clients  {:?}: {}", target.which, outcome.json());
                rates.entry((clients, target.which)).or_default().push(outcome.tally.rate());
                costs.entry((clients, target.which)).or_default().push(outcome.cost_us());
                busiest = busiest.max(outcome.own_us as f64 / 1e6 / outcome.tally.seconds);
            }
        }
    }
    let middle = |of: &BTreeMap<(usize, Which), Vec<f64>>, clients, which| median(of.get(&(clients, which)).cloned().unwrap_or_default());
    for (clients, peers) in COMPARED {
        let ours = middle(&rates, clients, Which::Tornello);
        for &(which, least) in peers.iter().filter(|peer| peer.1 > 0.0) {
            let peer = format!("{which:?}");
            bench.beside(&format!("pairs/s, {clients} clients"), ours, &peer, middle(&rates, clients, which), least);
        }
    }
    bench.set_most(middle(&rates, 256, Which::Tornello));
    for clients in [64, 256] {
        let cost = |which| format!("{which:?} {:.0}", middle(&costs, clients, which));
        let all = [Which::Tornello, Which::Ceiling, Which::Redis, Which::Postgres].map(cost).join(", ");
        bench.note(format!("processor time per pair at {clients} clients, in microseconds: {all}"));
    }
    bench.note(format!("the ceiling at 64 clients: {:.0} pairs/s", middle(&rates, 64, Which::Ceiling)));
    let limit = if busiest > GENERATOR_LIMIT { ": it may be what limits the quickest" } else { "" };
    bench.note(format!("the generator used at most {busiest:.2} of a core{limit}"));
    Ok(())
}

/// The number of connections with which PostgreSQL does best at 64 clients.
fn tune_postgres(bench: &mut Bench<'_>, place: &mut crate::target::Place) -> anyhow::Result<()> {
    let mut tried = Vec::new();
    for connections in [8, 16, 32, 64] {
        let mut target = Target::start(Which::Postgres, &place.with_connections(connections))?;
        tried.push((closed(&mut target, 64, 1.0)?.tally.rate(), connections));
    }
    let best = tried.iter().max_by(|a, b| a.0.total_cmp(&b.0)).map_or(32, |best| best.1);
    *place = place.with_connections(best);
    let tried: Vec<String> = tried.iter().map(|(rate, connections)| format!("{connections}: {rate:.0}")).collect();
    bench.note(format!("PostgreSQL with {best} connections, the best of (connections: pairs/s) {}", tried.join(", ")));
    Ok(())
}

/// The most pairs per second from 256 clients.
pub fn most(bench: &mut Bench<'_>) -> anyhow::Result<f64> {
    let mut target = Target::start(Which::Tornello, bench.place)?;
    let rates = (0..bench.rounds).map(|_| Ok(closed(&mut target, 256, bench.seconds)?.tally.rate())).collect::<anyhow::Result<_>>()?;
    let most = median(rates);
    eprintln!("   the most from 256 clients: {most:.0} pairs/s");
    Ok(most)
}

/// As long as the places of one slot last at a rate, at most.
fn while_places_last(per_second: f64, seconds: f64) -> f64 {
    (PLACES as f64 * 0.95 / per_second - WARM_UP.as_secs_f64()).min(seconds).max(0.2)
}

/// Half of the most begins, whatever is answered.
pub fn open_loop(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let per_second = bench.most()? / 2.0;
    let seconds = while_places_last(per_second, bench.seconds * 2.5);
    let mut target = Target::start(Which::Tornello, bench.place)?;
    let mut seen: [Vec<f64>; 4] = Default::default();
    for _ in 0..bench.rounds {
        let flush = flush_ms(bench.place.folder()?.path())?;
        let pace = Loop::Open { per_second };
        let outcome = pairs_of(&mut target, CONNECTIONS, pace, WARM_UP, Duration::from_secs_f64(seconds), false)?;
        eprintln!("   flush {flush:.2} ms  {}", outcome.json());
        settle(&target.processes())?;
        let latency = &outcome.tally.latency;
        for (list, ms) in seen.iter_mut().zip([flush, latency.at_ms(0.5), latency.at_ms(0.99), latency.at_ms(0.999)]) {
            list.push(ms);
        }
    }
    let [flush, p50, p99, p999] = seen.map(median);
    bench.note(format!(
        "flush F in the minutes of the open loop: {flush:.2} ms; {per_second:.0} pairs/s, each request counted from when it was to begin"
    ));
    bench.limited("open loop at half, p50 (F + 1)", p50, "ms", Aim::AtMost(flush + 1.0));
    bench.limited("open loop at half, p99 (2 F + 2)", p99, "ms", Aim::AtMost(2.0 * flush + 2.0));
    bench.limited("open loop at half, p99.9 (4 F + 5)", p999, "ms", Aim::AtMost(4.0 * flush + 5.0));
    Ok(())
}

/// Half as much again as the most begins, whatever is answered.
pub fn overload(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let most = bench.most()?;
    let pace = Loop::Open { per_second: most * 1.5 };
    let seconds = while_places_last(most * 1.1, bench.seconds * 1.5);
    // A process may have so many files open; some are needed for other things.
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let connections = files.saturating_sub(256).min(CROWD) as usize;
    let mut target = Target::start(Which::Tornello, bench.place)?;
    let (mut goodput, mut p99, mut turned_away) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        let outcome = pairs_of(&mut target, connections, pace, WARM_UP, Duration::from_secs_f64(seconds), true)?;
        eprintln!("   {}", outcome.json());
        settle(&target.processes())?;
        goodput.push(outcome.tally.rate());
        p99.push(outcome.tally.latency.at_ms(0.99));
        turned_away.push((outcome.tally.shed + outcome.tally.unsent) as f64 / outcome.tally.seconds);
    }
    bench.beside("goodput at 150 %, pairs/s", median(goodput), "its most", most, 0.95);
    bench.limited("at 150 %, p99 of what is accepted", median(p99), "ms", Aim::AtMost(200.0));
    bench.note(format!("at 150 % on {connections} connections: {:.0} a second were turned away or found no connection", median(turned_away)));
    Ok(())
}
