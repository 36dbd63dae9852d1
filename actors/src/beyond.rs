//! Sells slots beyond their places where a museum says so, because some of those who have tickets will not come. Every few minutes what the forecast allows of the
//! slots of the next days is asked of them, and taken back where it allows less or the museum has changed its mind: what is sold stays sold.
//!
//! Nothing is kept here. What stands is read off the slots' heads, each asked for a number and not for a change of it, under a key that follows from its last
//! record: whoever goes away in between, and whoever does all of it again, changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::ToSpan;
use jiff::civil::Date;
use tornello_engine::calendar;
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::SlotId;
use tornello_engine::slot::Command;

use crate::board::SlotHead;
use crate::digest::digest;
use crate::failure::Failure;
use crate::forecaster::SlotForecast;
use crate::museums::Known;
use crate::node::Node;
use crate::sensors::building_day;

/// So many days are looked at, today among them. Long before, few slots are full.
const DAYS: i32 = 7;

/// What is asked of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    slot: SlotId,
    /// Its last record when this was worked out.
    seq: u64,
    beyond: u32,
    /// The most people that it may be sold to.
    ceiling: Option<u32>,
    turn_away_ppm: u32,
}

/// Looks at the slots of all museums; answers how many sell more than before now, or less.
pub async fn look(node: &Arc<Node>) -> usize {
    let mut changed = 0;
    for known in node.museums().all() {
        let (museum, by) = (known.museum.id(), Arc::clone(node));
        let Ok(asked) = tokio::task::spawn_blocking(move || asked_of(&by, &known)).await else {
            tracing::error!(museum = museum.0, "what is sold beyond the places could not be worked out: it stays as it is");
            continue;
        };
        for asked in asked {
            changed += usize::from(ask(node, asked).await);
        }
    }
    changed
}

/// What is to be asked of the slots of a museum: of those that would do something.
fn asked_of(node: &Node, known: &Known) -> Vec<Asked> {
    let (now, planning) = (node.now(), node.plans().get(known.museum.id()));
    let today = building_day(now);
    let sells_beyond = |date: Date| planning.policy_on(date).1.sells_beyond();
    let sells = (0..DAYS).any(|ahead| sells_beyond(today.saturating_add(ahead.days())));
    let heads: BTreeMap<SlotId, SlotHead> = node.board().heads_of(known.museum.id()).into_iter().filter(|(_, head)| now < head.end).collect();
    // Taken back, unless something else is found below; a slot that has begun stays as it is, as long as the museum wants it so.
    let stays = |slot: SlotId| slot.start() <= now && sells_beyond(calendar::local_day(slot.start()));
    let mut wanted: BTreeMap<SlotId, (u32, Option<u32>)> =
        heads.iter().filter(|(slot, head)| head.places.beyond() > 0 && !stays(**slot)).map(|(slot, _)| (*slot, (0, None))).collect();
    if sells {
        let days = node.forecaster().days(node, known, today, DAYS);
        for day in days.iter().filter(|day| sells_beyond(day.date)) {
            let ceiling = known.museum.ceiling_on(day.date);
            for slot in day.slots.iter().filter(|slot| slot.slot.start() > now) {
                let left = ceiling.map(|ceiling| ceiling.saturating_sub(beside(&day.slots, slot, &heads, &wanted)));
                wanted.insert(slot.slot, (slot.oversell, left));
            }
        }
    }
    let asked = |(slot, (beyond, ceiling)): (SlotId, (u32, Option<u32>))| {
        let SlotHead { seq, places, .. } = heads.get(&slot)?;
        let would = places.beyond_if(beyond, ceiling, now)?;
        if would == places.beyond() {
            return None;
        }
        let turn_away = node.forecaster().turn_away(node, known, slot, places.capacity, places.capacity.saturating_add(would));
        // A probability: at most a million.
        let turn_away_ppm = (turn_away * 1e6).ceil() as u32;
        Some(Asked { slot, seq: *seq, beyond, ceiling, turn_away_ppm })
    };
    wanted.into_iter().filter_map(asked).collect()
}

/// The most people that the slots are sold to that run while one does, as things stand and as they are about to be asked.
fn beside(slots: &[SlotForecast], of: &SlotForecast, heads: &BTreeMap<SlotId, SlotHead>, wanted: &BTreeMap<SlotId, (u32, Option<u32>)>) -> u32 {
    let runs_with = |other: &&SlotForecast| other.slot != of.slot && other.slot.start() < of.end && of.slot.start() < other.end;
    let sold_to = |other: &SlotForecast| {
        let stands = heads.get(&other.slot).map_or(other.capacity, |head| head.places.for_sale().max(head.places.taken()));
        stands.max(other.capacity.saturating_add(wanted.get(&other.slot).map_or(0, |(beyond, _)| *beyond)))
    };
    slots.iter().filter(runs_with).fold(0, |sum: u32, other| sum.saturating_add(sold_to(other)))
}

/// Asks a slot, under one key for one decision; answers whether it sells more or less now.
async fn ask(node: &Node, asked: Asked) -> bool {
    let Asked { slot, seq, beyond, ceiling, turn_away_ppm } = asked;
    let numbers = [beyond, ceiling.unwrap_or(u32::MAX), turn_away_ppm].map(u32::to_be_bytes).concat();
    let key = digest(&[b"beyond", &slot.get().to_be_bytes(), &seq.to_be_bytes(), &numbers]);
    match node.slot(slot, Envelope::by_system(key), Command::SellBeyond { beyond, ceiling, turn_away_ppm }).await {
        Ok(_) => true,
        // Somebody was faster: staff, a sale, or the slot's end.
        Err(Failure::Refused(refusal)) => {
            tracing::debug!(%slot, code = refusal.code(), "a slot sells beyond its places as before");
            false
        }
        Err(failure) => {
            tracing::warn!(%slot, %failure, "a slot could not be asked to sell beyond its places, or to stop it: it will be asked again");
            false
        }
    }
}
