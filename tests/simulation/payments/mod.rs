//! Payments, end to end: holds, payers, the node of pagoPA, desks, vouchers, refunds and moves in random order over a node whose journal, callers and gateway
//! fail, against books that are kept from the journal alone. A seed decides everything. `world` runs it, `outside` is pagoPA, `books` is the auditor.
//!
//! Everything of the node but its journal's writer runs on the thread of the run, and an append stands still whenever that thread does anything: so flows are
//! cut off, cross each other and queue in the order of the run. At the quiet points of a run nothing fails and nobody waits; then every cent of every receipt
//! is in exactly one place, nothing that is paid is without tickets, refund or task, nobody has tickets that were not paid for, and the live state is the
//! replayed one.

mod books;
mod outside;
mod world;

use world::Counts;

/// The creditor of all payments.
const CREDITOR: u16 = 1;

#[test]
fn every_cent_is_in_one_place_whatever_happens() {
    let run = |seed| super::alone(world::run(seed)).map(|history| (history.lines, history.counts));
    let (seeds, total) = super::explore(200, run, Counts::add);
    let Some(total) = total else { return };
    println!("{seeds} seeds: {total:?}");
    // A simulation in which nothing happens proves nothing.
    let seldom = total.seldom();
    assert!(seeds < 100 || seldom.iter().all(|(_, count)| *count > 0), "{seldom:?}");
}

#[test]
fn the_same_seed_pays_the_same() {
    super::quiet_about_planned_panics();
    for seed in 0..super::setting("TORNELLO_SEEDS").map_or(5, |seeds| seeds / 100) {
        let run = || super::alone(world::run(seed)).unwrap_or_else(|(wrong, lines)| panic!("{}", super::report(seed, &wrong, &lines)));
        let [first, second] = [run(), run()];
        for (line, again) in first.lines[..first.decided].iter().zip(&second.lines) {
            assert_eq!(line, again, "seed {seed}");
        }
    }
}
