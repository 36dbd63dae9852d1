//! The bytes of what is kept of a slot, as they stand in snapshots. They are part of what replay must give again (SL-4).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::event::{Direction, Scan};
use super::super::passages::{Bars, Told};
use super::super::rest::Rests;
use super::super::waiting_list::WaitingList;
use super::{ById, Ended, Hold, Ledger, Sale};
use crate::ids::{Code, HoldId, TicketId};
use crate::spread::Spread;
use crate::time::Timestamp;

/// The written form of a [`Ledger`]: sorted, so that equal states are equal bytes; what follows from the rest is left out.
#[derive(Serialize, Deserialize)]
struct Written<H, S, C, L, U, O, R> {
    holds: Vec<(HoldId, H)>,
    sales: Vec<(HoldId, S)>,
    ended: Vec<(HoldId, Ended)>,
    scans: C,
    list: L,
    undone: U,
    owed: O,
    rests: R,
}

/// The time until when a ticket was something, in the written form of a scan.
const fn until_as_scan(ticket: TicketId, until: Timestamp) -> Scan {
    Scan { ticket, scanned_at: until, gate: Code::NOTHING, direction: Direction::In }
}

pub(in crate::slot) fn sorted<T>(map: &ById<T>) -> Vec<(HoldId, &T)> {
    let mut entries: Vec<_> = map.iter().map(|(id, value)| (*id, value)).collect();
    entries.sort_unstable_by_key(|(id, _)| *id);
    entries
}

impl Serialize for Ledger {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ended = self.ended_order.iter().filter_map(|id| self.ended.get(id).map(|ended| (*id, *ended))).collect();
        let (holds, sales) = (sorted(&self.holds), sorted(&self.sales));
        // What was seen online stands behind the scans, as it is there of few tickets, and how tickets were behind that.
        let taken = self.scans.iter().map(|(scan, taken)| (*scan, Told::of(*scan, *taken)));
        let online = self.online.values().flatten().map(|passage| (*passage, Told::Online));
        let was = self.was.iter().flat_map(|(ticket, was)| was.iter().map(move |(until, bars)| (until_as_scan(*ticket, *until), Told::Was(*bars))));
        let scans: Vec<(Scan, Told)> = taken.chain(online).chain(was).collect();
        Written { holds, sales, ended, scans, list: &self.list, undone: &self.undone, owed: &self.owed, rests: &self.rests }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Ledger {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::<Hold, Box<Sale>, Vec<(Scan, Told)>, WaitingList, _, _, Rests>::deserialize(deserializer)?;
        let (mut scans, mut online) = (BTreeMap::new(), BTreeMap::<TicketId, Vec<Scan>>::new());
        let mut was = BTreeMap::<TicketId, Vec<(Timestamp, Bars)>>::new();
        for (scan, told) in written.scans {
            match (told.taken(scan), told) {
                (Some(taken), _) => {
                    scans.insert(scan, taken);
                }
                (None, Told::Was(bars)) => was.entry(scan.ticket).or_default().push((scan.scanned_at, bars)),
                (None, _) => online.entry(scan.ticket).or_default().push(scan),
            }
        }
        let under_way = |(id, sale): &(HoldId, Box<Sale>)| {
            let id = *id;
            sale.moves.iter().filter(|found| !found.is_done()).map(move |found| (found.begun.arrival, id)).collect::<Vec<_>>()
        };
        let mut ledger = Self {
            moving: written.sales.iter().flat_map(under_way).collect(),
            undone: written.undone,
            owed: written.owed,
            deadlines: written.holds.iter().map(|(id, hold)| (hold.expires_at, *id)).collect(),
            holds: written.holds.into_iter().collect(),
            sales: written.sales.into_iter().collect(),
            ended_order: written.ended.iter().map(|(id, _)| *id).collect(),
            ended: written.ended.into_iter().collect(),
            scans,
            online,
            was,
            list: written.list,
            rests: written.rests,
            buyers: Spread::default(),
        };
        ledger.buyers = ledger.buyers_counted();
        Ok(ledger)
    }
}
