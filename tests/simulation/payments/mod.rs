//! Payments, end to end: holds, payers, the node of pagoPA, its reporting flows, desks and their tills, vouchers, refunds, moves, group visits and operators' accounts in random order over a node whose journal,
//! callers and gateway fail, against books that are kept from the journal alone. A seed decides everything, and the same seed is the same history. `world` runs it, `outside` is pagoPA,
//! `books` is the auditor.
//!
//! The node runs on the thread of the run, by turns, and an append stands still but when the run lets it go: so flows are cut off, cross each other and queue in the
//! order of the run. At the quiet points of a run nothing fails and nobody waits; then every cent of every receipt
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
fn the_same_seed_has_the_same_history_of_payments() {
    super::twice(10, |seed| super::alone(world::run(seed)).map(|history| history.lines));
}
