//! How many commands can one slot decide and apply in a second, on one core, without mailbox and journal? A hold and the sale that it becomes, in a slot that
//! is never full; then a refusal when it is.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Digest, Envelope};
use tornello_engine::ids::{HoldId, KeyId, MuseumId, RouteId, SlotId};
use tornello_engine::money::Cents;
use tornello_engine::slot::{Command, Line, Opening, Policy, Settlement, Slot};
use tornello_engine::tariff::Proof;
use tornello_engine::time::Timestamp;

/// As in the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PAIRS: u64 = 1_000;

fn slot(capacity: u32) -> Slot {
    let id = SlotId::new(MuseumId(1), RouteId(1), Timestamp::from_seconds(1_790_000_040));
    let end = id.start().plus_seconds(1_800);
    Slot::planned(Opening { slot: id, revision: 1, end, capacity, quotas: Default::default(), policy: Policy::default() })
}

fn step(slot: &mut Slot, key: u64, command: &Command) {
    let now = slot.id().start().plus_seconds(-3_600);
    let envelope = Envelope {
        who: KeyId(1),
        key: Digest(u128::from(key)),
        body: Digest(0),
        parties: Vec::new(),
        assessment: None,
        order: None,
        formerly: Vec::new(),
    };
    black_box(slot.recall(&envelope));
    if let Ok(events) = slot.decide(now, command) {
        let record = slot.record(now, Some(envelope), events);
        slot.apply(&record);
        assert!(slot.check().is_ok());
    }
}

fn commands(slot: &Slot) -> Vec<Command> {
    let line = Line { category: "full".parse().expect("a code"), count: 2, price_cents: Cents::new(1_200), proof: Proof::None };
    let settlement = Settlement::OnAccount { account: "tours".parse().expect("a code") };
    (0..PAIRS)
        .flat_map(|n| {
            let hold = HoldId::new(slot.id(), n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            [
                Command::Hold { hold, channel: Channel::Reseller, lines: vec![line.clone()] },
                Command::Sell { hold, owner: None, settlement: settlement.clone(), contact: None },
            ]
        })
        .collect()
}

fn core(c: &mut Criterion) {
    let mut group = c.benchmark_group("slot");
    group.throughput(Throughput::Elements(2 * PAIRS));
    for (name, capacity) in [("hold and sell", 1_000_000), ("refused", 0)] {
        let fresh = slot(capacity);
        let commands = commands(&fresh);
        group.bench_function(name, |b| {
            b.iter_batched(
                || fresh.clone(),
                |mut slot| {
                    for (key, command) in (0..).zip(&commands) {
                        step(&mut slot, key, command);
                    }
                    slot
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, core);
criterion_main!(benches);
