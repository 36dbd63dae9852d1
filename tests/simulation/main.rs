//! The whole engine on a simulated journal and clock, against an auditor that counts for itself. A seed decides everything: slots, callers, commands, the order
//! in which they come and come again, time, faults of the journal, panics, crashes. `world` runs a seed, `callers` ask, `disk` and `time` are simulated, `auditor`
//! and `naive` check after every step.
//!
//! Driven are all commands to slots: holds, sales, the gate, the desk, the waiting list, scans of gates without a network, new names; and moves between slots, by
//! the node's own flow. Of a move callers send the first step like any command, so that it may be left there; the flow itself goes from owner to owner, and so is driven at
//! the end of a round while nothing else is on its way, to its end or until its driver goes away or the node dies; what others ask between its steps comes in the rounds
//! between. What is still under way at the end of a run the node finishes by itself.
//!
//! Gates let people in through the node, also while the journal does not write, or its disk stalls; then what they are told is held against a copy of the lists, and must be
//! on the disk when it writes again. Readings share the room in a building out. Both go from owner to owner, so they are driven at the end of a round too. In some runs the node keeps
//! read models, and starts from heads and snapshots; in all of them owners are retired, and a node dies in its start.
//!
//! The same seed is the same history, from the first line to the last batch: owners and the journal's writer run on the thread of the run, by turns. By the machine's time
//! goes only how soon the node tries again, at the very end of a run, what it did in vain; and of read models SQLite has threads of its own, for which a run waits.
//!
//! In one world of three analysts suspect sales, say what they were and take that back, while staff move the tickets: what follows goes from slot to slot, so it is driven as moves are.
//!
//! In one world of five, if it has no read models, days are called off, whole or from some moment on, and take place after all: that goes from the museum to all slots of the day, and is
//! driven as moves are.
//!
//! Payments have runs of their own, see `payments`.
//!
//! `cargo test -p tornello-tests --test simulation` runs 300 seeds, and 200 of payments. `TORNELLO_SEEDS=10000` before it runs so many of each,
//! `TORNELLO_SEED=n` that one and prints its history (name the test with it); a seed that fails prints itself and the end of its history.

mod auditor;
mod callers;
mod dice;
mod disk;
mod naive;
mod opening;
mod payments;
mod time;
mod world;

use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::FutureExt;
use world::Counts;

/// What a handler says that is made to panic.
const PANIC: &str = "a handler panics, as it was told";
/// A seed that panics is caught before it is counted.
const COUNTED: &str = "nobody panics while counting";
/// How many lines of a failing seed's history are printed.
const LAST_LINES: usize = 60;

/// A rule of the auditor: that it does not hold is what a run ends with.
fn rule(holds: bool, wrong: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(wrong.to_owned()) }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn quiet_about_planned_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload_as_str() != Some(PANIC) {
                usual(info);
            }
        }));
    });
}

/// Runs one seed on this thread.
fn alone<T>(run: impl Future<Output = Result<T, (String, Vec<String>)>>) -> Result<T, (String, Vec<String>)> {
    let run = AssertUnwindSafe(tokio::task::unconstrained(run)).catch_unwind();
    actix_rt::System::new().block_on(run).unwrap_or_else(|_| Err(("the simulation panics".into(), Vec::new())))
}

/// Runs the one seed that was named and prints its history, or so many and answers what they did together. `run` answers history and counts.
fn explore<C: Default + std::fmt::Debug + Send>(
    seeds: u64,
    run: impl Fn(u64) -> Result<(Vec<String>, C), (String, Vec<String>)> + Sync,
    add: impl Fn(&mut C, &C) + Sync,
) -> (u64, Option<C>) {
    quiet_about_planned_panics();
    if let Some(seed) = setting("TORNELLO_SEED") {
        match run(seed) {
            Ok((lines, counts)) => println!("{}\n{counts:?}", lines.join("\n")),
            Err((wrong, lines)) => panic!("{}\nseed {seed} fails: {wrong}", lines.join("\n")),
        }
        return (1, None);
    }
    let seeds = setting("TORNELLO_SEEDS").unwrap_or(seeds);
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let (failures, total) = (Mutex::new(Vec::new()), Mutex::new(C::default()));
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        break;
                    }
                    match run(seed) {
                        Ok((_, counts)) => add(&mut total.lock().expect(COUNTED), &counts),
                        Err((wrong, lines)) => {
                            failed.store(true, Ordering::Relaxed);
                            failures.lock().expect(COUNTED).push(report(seed, &wrong, &lines));
                        }
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect(COUNTED);
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    (seeds, Some(total.into_inner().expect(COUNTED)))
}

fn report(seed: u64, wrong: &str, lines: &[String]) -> String {
    let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
    format!(
        "seed {seed} fails: {wrong}\nrun it alone with TORNELLO_SEED={seed}; its history ends with\n{}\nseed {seed} fails: {wrong}",
        last.join("\n")
    )
}

#[test]
fn the_engine_keeps_its_promises_whatever_happens() {
    let run = |seed| alone(world::run(seed)).map(|history| (history.lines, history.counts));
    let (seeds, total) = explore(300, run, Counts::add);
    let Some(total) = total else { return };
    println!("{seeds} seeds: {total:?}");
    // A simulation in which nothing happens proves nothing.
    assert!(total.done * 6 > total.sent && total.crashes > 0 && total.faults > 0 && total.panics > 0 && total.compared > seeds, "{total:?}");
    let at_gates = [total.late_scans, total.conflicts, total.judged_anew];
    let seldom = [total.offered, total.offers_taken, total.renamed, total.moved, total.moves_undone];
    let of_payments = [total.prolonged, total.amended, total.handed_over, total.beyond];
    let of_stalls = [total.stalls, total.killed_in_stalls];
    let of_gates = [total.passed, total.told, total.merged, total.told_and_lost, total.lost_entries, total.blocked_outside];
    let of_room = [total.shared, total.raised];
    let of_house =
        [total.retired, total.died_in_start, total.behind, total.states, total.refused_buyers, total.unsure, total.together, total.lost_cuts];
    // That whoever let places go asks for some again in time is too seldom to be waited for.
    let of_rests = [total.rested, total.freed];
    let of_cases = [total.moved_under_review, total.verdicts_taken_back, total.said_under_way, total.followed, total.followed_along];
    let of_days = [total.called_off, total.taken_up, total.days_cut, total.days_heard];
    let all = seldom.iter().chain(&at_gates).chain(&of_payments).chain(&of_gates).chain(&of_room).chain(&of_house).chain(&of_rests).chain(&of_cases);
    let all = all.chain(&of_days).chain(&of_stalls);
    assert!(seeds < 100 || !all.into_iter().any(|count| *count == 0), "{total:?}");
}

/// Runs each of so many seeds twice, or the one that was named, and says where its histories part. `run` answers the lines of one.
fn twice(seeds: u64, run: impl Fn(u64) -> Result<Vec<String>, (String, Vec<String>)>) {
    quiet_about_planned_panics();
    let seeds = match setting("TORNELLO_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..setting("TORNELLO_SEEDS").map_or(seeds, |seeds| seeds / 30),
    };
    for seed in seeds {
        let [first, second] = [(); 2].map(|()| run(seed).unwrap_or_else(|(wrong, lines)| panic!("{}", report(seed, &wrong, &lines))));
        let same = first.iter().zip(&second).take_while(|(line, again)| line == again).count();
        let goes_on = |lines: &[String]| lines[same.saturating_sub(LAST_LINES)..(same + 3).min(lines.len())].join("\n");
        assert!(first == second, "seed {seed}: one history goes\n{}\nand the other\n{}", goes_on(&first), goes_on(&second));
    }
}

#[test]
fn the_same_seed_has_the_same_history() {
    twice(20, |seed| alone(world::run(seed)).map(|history| history.lines));
}
