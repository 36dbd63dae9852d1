//! Writes a journal of a million records as Tornello itself writes it, without HTTP, because that is quicker.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tornello_actors::clock::RealClock;
use tornello_actors::node::{Node, Settings};
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Digest, Envelope};
use tornello_engine::ids::{HoldId, KeyId, SlotId};
use tornello_engine::money::Cents;
use tornello_engine::slot::{Command, DeskMethod, Line, Settlement};
use tornello_engine::tariff::Proof;

/// At least so many records are written.
pub const RECORDS: u64 = 1_000_000;
/// A hold and a sale each.
pub const PAIRS_PER_SLOT: u64 = RECORDS / 2 / SLOTS;
const SLOTS: u64 = 250;
const CALLERS: u64 = 500;

/// Writes them into a data folder that nobody uses, in the first of these slots.
pub fn write(data: &Path, slots: &[String]) -> anyhow::Result<()> {
    let slots = slots.iter().take(SLOTS as usize).map(|slot| slot.parse()).collect::<Result<Vec<SlotId>, _>>()?;
    actix_web::rt::System::new().block_on(async {
        let running = Node::start(&Settings::new(data), Arc::new(RealClock::start()), |_| {}).await?;
        let node = running.node();
        let count = AtomicU64::new(0);
        let mut callers: FuturesUnordered<_> = (0..CALLERS)
            .map(|_| async {
                loop {
                    let n = count.fetch_add(1, Ordering::Relaxed);
                    if n >= RECORDS / 2 {
                        return anyhow::Ok(());
                    }
                    pair(node, slots[(n % SLOTS) as usize], n).await.context("a sale failed")?;
                }
            })
            .collect();
        while let Some(ended) = callers.next().await {
            ended?;
        }
        drop(callers);
        // The lists have much to follow, for longer than a stop waits for them; and then the folder is this process's until it ends.
        node.files().context("a node with a folder has files")?.views.reach(node.head().number).await;
        running.stop().await;
        anyhow::Ok(())
    })?;
    std::fs::File::open(data.join("lock"))?.try_lock().context("the node has stopped and somebody is left in its folder")
}

async fn pair(node: &Node, slot: SlotId, n: u64) -> anyhow::Result<()> {
    let by = |step: u64| {
        // Spread over all bits, as digests are.
        let key = Digest(u128::from(2 * n + step + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        Envelope { who: KeyId(1), key, body: key, parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() }
    };
    let hold = HoldId::new(slot, n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let line = Line { category: "full".parse()?, count: 1, price_cents: Cents::new(1_200), proof: Proof::None };
    let settlement = Settlement::Desk { till: "till-1".parse()?, method: DeskMethod::Card, reference: "R-2026-000123".to_owned() };
    node.slot(slot, by(0), Command::Hold { hold, channel: Channel::BoxOffice, lines: vec![line] }).await?;
    node.slot(slot, by(1), Command::Sell { hold, owner: None, settlement, contact: None }).await?;
    Ok(())
}
