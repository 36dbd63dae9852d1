//! Hold and sell in one hot slot: beside the peers, for longer than anything can be put off, at half of the most, and at more than the most.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;

use crate::generator::{Loop, Run};
use crate::round::{Outcome, Rounds, pairs as pairs_of};
use crate::rows::{WARM_UP, run};
use crate::table::{Aim, Bench, Figure, flush_ms, median};
use crate::target::{PLACES, Place, Target, Which};

/// Connections of open loops: as many people as may be on their way at once.
const CONNECTIONS: usize = 1_024;
/// The same when more come than can be served.
const CROWD: u64 = 8_192;
/// Before the sustained load is measured: longer than Tornello's lists may be behind, so that what they put off has to be done as it comes.
const LONG_WARM_UP: Duration = Duration::from_secs(25);
/// More pairs than any target sells in a second: for the number of slots of the sustained load.
const NEVER_SOLD: f64 = 100_000.0;

/// Whom a number of clients is tried on, and what must come of it.
const COMPARED: [(usize, &[(Which, f64)]); 4] = [
    (1, &[(Which::Postgres, 1.5)]),
    (16, &[(Which::Postgres, 8.0)]),
    (64, &[(Which::Postgres, 25.0), (Which::Redis, 2.0), (Which::Ceiling, 0.0)]),
    (256, &[(Which::Postgres, 25.0), (Which::Redis, 2.0), (Which::Ceiling, 0.7)]),
];
/// The same of the web, with the desk beside it; the aim for that is our own.
const COMPARED_WEB: [(usize, &[(Which, f64)]); 2] = [
    (64, &[(Which::Tornello, 0.75), (Which::Postgres, 25.0), (Which::Redis, 2.0)]),
    (256, &[(Which::Tornello, 0.75), (Which::Postgres, 25.0), (Which::Redis, 2.0)]),
];
/// Of so many pairs of the web at most one may be refused or asked for one more proof, or what was measured is something else.
const PROOFS_RARE: f64 = 100.0;
/// The same of the sustained load, from so many clients.
const SUSTAINED: (usize, [(Which, f64); 2]) = (64, [(Which::Postgres, 25.0), (Which::Redis, 2.0)]);

fn closed(bench: &Bench<'_>, target: &mut Target, clients: usize, seconds: f64) -> anyhow::Result<Outcome> {
    let run = run(bench, target.address, clients, Loop::Closed, seconds);
    pairs_of(target, &run, 1, false)
}

/// What servers came to, by the number of clients.
type Compared = BTreeMap<(usize, Which), Rounds>;

/// Closed loops, all servers in turn, forth and back: the first, and beside it those that it is compared with.
fn in_turn(bench: &Bench<'_>, place: &Place, ours: Which, compared: &[(usize, &[(Which, f64)])]) -> anyhow::Result<Compared> {
    let takes_part = |which: Which, peers: &[(Which, f64)]| which == ours || peers.iter().any(|peer| peer.0 == which);
    let mut targets = Vec::new();
    for which in [Which::Tornello, Which::Web, Which::Ceiling, Which::Redis, Which::Postgres] {
        if compared.iter().any(|(_, peers)| takes_part(which, peers)) {
            targets.push(Target::start(which, place)?);
        }
    }
    let mut rounds = Compared::new();
    for round in 0..bench.rounds {
        for (clients, peers) in compared {
            let mut turn: Vec<&mut Target> = targets.iter_mut().filter(|target| takes_part(target.which, peers)).collect();
            if round % 2 == 1 {
                turn.reverse();
            }
            for target in turn {
                let outcome = closed(bench, target, *clients, bench.seconds)?;
                rounds.entry((*clients, target.which)).or_default().add(&format!("{clients:>3} clients  {:?}: ", target.which), outcome);
            }
        }
    }
    Ok(rounds)
}

/// Sold at a desk, to people who are not named.
pub fn pairs(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let place = bench.tuned()?;
    let rounds = in_turn(bench, &place, Which::Tornello, &COMPARED)?;
    let of = |clients, which| rounds.get(&(clients, which)).cloned().unwrap_or_default();
    for (clients, peers) in COMPARED {
        let ours = of(clients, Which::Tornello).rate();
        for &(which, least) in peers.iter().filter(|peer| peer.1 > 0.0) {
            bench.beside(&format!("pairs/s, {clients} clients"), ours, &format!("{which:?}"), of(clients, which).rate(), least);
        }
    }
    bench.set_most(of(256, Which::Tornello).rate());
    for clients in [64, 256] {
        let cost = |which| format!("{which:?} {}", of(clients, which).cost());
        let all = [Which::Tornello, Which::Ceiling, Which::Redis, Which::Postgres].map(cost).join(", ");
        bench.note(format!("processor time per pair at {clients} clients, in microseconds: {all}"));
    }
    bench.note(format!("the ceiling at 64 clients: {:.0} pairs/s", of(64, Which::Ceiling).rate().value));
    Ok(())
}

/// Sold over the web, each pair to somebody else who is named, beside the desk and the peers, who are asked as for a desk: of names they would know nothing.
pub fn web(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let place = bench.tuned()?;
    let rounds = in_turn(bench, &place, Which::Web, &COMPARED_WEB)?;
    let of = |clients, which| rounds.get(&(clients, which)).cloned().unwrap_or_default();
    let name = |which: Which| if which == Which::Tornello { "the desk".to_owned() } else { format!("{which:?}") };
    let mut asked = Vec::new();
    for (clients, peers) in COMPARED_WEB {
        let ours = of(clients, Which::Web);
        for &(which, least) in peers {
            bench.beside(&format!("web pairs/s, {clients} clients"), ours.rate(), &name(which), of(clients, which).rate(), least);
        }
        let cost = |which: Which| format!("{} {}", if which == Which::Web { "the web".to_owned() } else { name(which) }, of(clients, which).cost());
        let all = [Which::Web, Which::Tornello, Which::Redis, Which::Postgres].map(cost).join(", ");
        bench.note(format!("processor time per pair at {clients} clients, in microseconds: {all}"));
        let (p50, p99) = (ours.at_ms(0.5).value, ours.at_ms(0.99).value);
        // Of the round in which most were asked.
        let share = ours.most(|outcome| outcome.tally.shed as f64 / (outcome.tally.shed + outcome.tally.done).max(1) as f64);
        bench.note(format!(
            "the web at {clients} clients: p50 {p50:.1} ms, p99 {p99:.1} ms; refused, or asked for one more proof: {:.3} % at most",
            share * 100.0
        ));
        asked.push(share);
    }
    ensure!(
        asked.iter().all(|share| share * PROOFS_RARE <= 1.0),
        "too many were refused, or asked for one more proof: it is not the pairs that were measured"
    );
    Ok(())
}

/// A closed loop for so long that everything that was put off comes due, in one slot after the other.
pub fn sustained(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let place = bench.tuned()?;
    let (clients, peers) = SUSTAINED;
    let seconds = bench.sustained;
    let slots = ((LONG_WARM_UP.as_secs_f64() + seconds) * NEVER_SOLD / PLACES as f64).ceil() as usize;
    let mut seen: BTreeMap<Which, Rounds> = BTreeMap::new();
    for which in [Which::Tornello, Which::Redis, Which::Postgres] {
        let mut target = Target::start(which, &place)?;
        let load = Run { warm_up: LONG_WARM_UP, ..run(bench, target.address, clients, Loop::Closed, seconds) };
        let outcome = pairs_of(&mut target, &load, slots, false)?;
        ensure!(outcome.tally.seconds >= seconds * 0.99, "{which:?} sold all places of {slots} slots in {:.0} s", outcome.tally.seconds);
        let (memory, after) = (target.front.memory_mib()?, outcome.after.took);
        let (p99, longest) = (outcome.tally.latency.at_ms(0.99), outcome.tally.latency.max_ms());
        let rounds = seen.entry(which).or_default();
        rounds.add(&format!("{which:?}: "), outcome);
        bench.note(format!(
            "{which:?} over {seconds:.0} s after {LONG_WARM_UP:?} of the same: {} microseconds of processor time per pair, p99 {p99:.1} ms, longest {longest:.0} ms; \
            then {memory:.0} MiB in the process that answers, and nothing left to do after {:.1} s",
            rounds.cost(),
            after.as_secs_f64()
        ));
    }
    let rate = |which| seen.get(&which).map(Rounds::rate).unwrap_or_default();
    for (which, least) in peers {
        let what = format!("pairs/s over {seconds:.0} s, {clients} clients");
        bench.beside(&what, rate(Which::Tornello), &format!("{which:?}"), rate(which), least);
    }
    Ok(())
}

/// The place with the number of connections with which PostgreSQL does best at 64 clients.
pub fn tuned(bench: &mut Bench<'_>) -> anyhow::Result<Place> {
    let mut tried = Vec::new();
    for connections in [8, 16, 32, 64] {
        let mut target = Target::start(Which::Postgres, &bench.place.with_connections(connections))?;
        tried.push((closed(bench, &mut target, 64, 1.0)?.tally.rate(), connections));
    }
    let best = tried.iter().max_by(|a, b| a.0.total_cmp(&b.0)).map_or(32, |best| best.1);
    let tried: Vec<String> = tried.iter().map(|(rate, connections)| format!("{connections}: {rate:.0}")).collect();
    bench.note(format!("PostgreSQL with {best} connections, the best of (connections: pairs/s) {}", tried.join(", ")));
    Ok(bench.place.with_connections(best))
}

/// The most pairs per second from 256 clients.
pub fn most(bench: &mut Bench<'_>) -> anyhow::Result<Figure> {
    let mut target = Target::start(Which::Tornello, bench.place)?;
    let mut rounds = Rounds::default();
    for _ in 0..bench.rounds {
        rounds.add("", closed(bench, &mut target, 256, bench.seconds)?);
    }
    let most = rounds.rate();
    eprintln!("   the most from 256 clients: {:.0} pairs/s", most.value);
    Ok(most)
}

/// As long as the places of one slot last at a rate, at most.
fn while_places_last(per_second: f64, seconds: f64) -> f64 {
    (PLACES as f64 * 0.95 / per_second - WARM_UP.as_secs_f64()).min(seconds).max(0.2)
}

/// Half of the most begins, whatever is answered.
pub fn open_loop(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let per_second = bench.most()?.value / 2.0;
    let seconds = while_places_last(per_second, bench.seconds * 2.5);
    let mut target = Target::start(Which::Tornello, bench.place)?;
    let load = run(bench, target.address, CONNECTIONS, Loop::Open { per_second }, seconds);
    let (mut flushes, mut rounds) = (Vec::new(), Rounds::default());
    for _ in 0..bench.rounds {
        let flush = flush_ms(bench.place.folder()?.path())?;
        let outcome = pairs_of(&mut target, &load, 1, false)?;
        // Nobody knows how long they would have waited, so no percentile says it.
        ensure!(outcome.tally.unsent == 0, "{} pairs that were to begin never found a connection", outcome.tally.unsent);
        rounds.add(&format!("flush {flush:.2} ms  "), outcome);
        flushes.push(flush);
    }
    let flush = median(flushes);
    bench.note(format!(
        "flush F in the minutes of the open loop: {flush:.2} ms; {per_second:.0} pairs/s, each request counted from when it was to begin"
    ));
    bench.limited("open loop at half, p50 (F + 1)", rounds.at_ms(0.5), "ms", Aim::AtMost(flush + 1.0));
    bench.limited("open loop at half, p99 (2 F + 2)", rounds.at_ms(0.99), "ms", Aim::AtMost(2.0 * flush + 2.0));
    bench.limited("open loop at half, p99.9 (4 F + 5)", rounds.at_ms(0.999), "ms", Aim::AtMost(4.0 * flush + 5.0));
    Ok(())
}

/// Half as much again as the most begins, whatever is answered.
pub fn overload(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let most = bench.most()?;
    let pace = Loop::Open { per_second: most.value * 1.5 };
    let seconds = while_places_last(most.value * 1.1, bench.seconds * 1.5);
    // A process may have so many files open; some are needed for other things.
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let connections = files.saturating_sub(256).min(CROWD) as usize;
    let mut target = Target::start(Which::Tornello, bench.place)?;
    let load = run(bench, target.address, connections, pace, seconds);
    let mut rounds = Rounds::default();
    for _ in 0..bench.rounds {
        rounds.add("", pairs_of(&mut target, &load, 1, true)?);
    }
    bench.beside("goodput at 150 %, pairs/s", rounds.rate(), "its most", most, 0.95);
    bench.limited("at 150 %, p99 of what is accepted", rounds.at_ms(0.99), "ms", Aim::AtMost(200.0));
    let turned_away = rounds.median(|outcome| (outcome.tally.shed + outcome.tally.unsent) as f64 / outcome.tally.seconds);
    bench.note(format!("at 150 % on {connections} connections: {:.0} a second were turned away or found no connection", turned_away.value));
    Ok(())
}
