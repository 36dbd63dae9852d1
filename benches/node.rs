//! How many durable hold-and-sell pairs does one hot slot take in a second, without HTTP, from 1, 16, 64 and 256 callers? In memory, where only mailboxes and
//! threads cost, and in its file, where each pair is on the disk twice before it is answered.

mod museum;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tempfile::TempDir;
use tornello_actors::clock::{Clock, RealClock};
use tornello_actors::journal::writer::Limits;
use tornello_actors::node::{Node, Running, Settings};
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Digest, Envelope};
use tornello_engine::ids::{HoldId, KeyId, SlotId};
use tornello_engine::money::Cents;
use tornello_engine::slot::{Command, Line, Settlement};
use tornello_engine::tariff::Proof;

const FOR: Duration = Duration::from_secs(3);

fn by(key: u64) -> Envelope {
    Envelope {
        who: KeyId(1),
        key: Digest(u128::from(key)),
        body: Digest(0),
        parties: Vec::new(),
        assessment: None,
        order: None,
        formerly: Vec::new(),
    }
}

async fn pairs_per_second(node: &Arc<Node>, slot: SlotId, callers: u64, keys: &AtomicU64) -> f64 {
    let started = Instant::now();
    let running: FuturesUnordered<_> = (0..callers)
        .map(|_| async {
            let mut done = 0_u64;
            while started.elapsed() < FOR {
                let key = keys.fetch_add(2, Ordering::Relaxed);
                let hold = HoldId::new(slot, key.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let line = Line { category: "full".parse().expect("a code"), count: 1, price_cents: Cents::new(1_200), proof: Proof::None };
                let settlement = Settlement::OnAccount { account: "tours".parse().expect("a code") };
                node.slot(slot, by(key), Command::Hold { hold, channel: Channel::Reseller, lines: vec![line] }).await.expect("held");
                node.slot(slot, by(key + 1), Command::Sell { hold, owner: None, settlement, contact: None }).await.expect("sold");
                done += 1;
            }
            done
        })
        .collect();
    let done = running.collect::<Vec<u64>>().await;
    done.iter().sum::<u64>() as f64 / started.elapsed().as_secs_f64()
}

async fn run(name: &str, running: Running) {
    let node = running.node();
    let slots = museum::open(node, [by(1), by(2)]).await;
    let keys = AtomicU64::new(1_000);
    for (slot, callers) in slots.into_iter().zip([1, 16, 64, 256]) {
        let endless = Command::SetCapacity { capacity: u32::MAX };
        node.slot(slot, by(keys.fetch_add(2, Ordering::Relaxed)), endless).await.expect("set");
        let pairs = pairs_per_second(node, slot, callers, &keys).await;
        println!("{name:>8}  {callers:>4} callers  {pairs:>9.0} pairs/s");
    }
    running.stop().await;
}

fn main() {
    actix_rt::System::new().block_on(async {
        let clock = || Arc::new(RealClock::start()) as Arc<dyn Clock>;
        run("memory", Node::start_in_memory(clock(), Limits::default()).await.expect("started")).await;
        let folder = TempDir::new().expect("a folder");
        run("file", Node::start(&Settings::new(folder.path()), clock(), |_| {}).await.expect("started")).await;
    });
}
