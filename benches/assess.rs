//! What does it cost to assess a command before it is given: reading the counters of a buyer, a device, a card and a network, the features, the rules, the model's
//! score and its reasons? What does it cost to count it afterwards? And how much later is a hold on the disk that was assessed? The bar: p99 of an assessment at most 25
//! microseconds, and the p99 of a hold at most 5% more. Holds are asked for by 16 callers, each again when it is answered (a node with all it can do: what takes longer is
//! asked for less often), and at random moments: a tenth, a quarter and half as many as the callers got without assessing, whether they are answered or not. Rounds with and
//! without take turns, and the median of their p99 is what counts: a disk that stands still for a moment spoils one round of either, and not the whole.
//! `cargo bench -p tornello-benches --bench assess`.

mod museum;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tempfile::TempDir;
use tornello_actors::clock::{Clock, RealClock};
use tornello_actors::fraud::counters::Counters;
use tornello_actors::fraud::{SignalKind, Sizes, signal_of};
use tornello_actors::node::{Node, Settings};
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Digest, Envelope, Party, PartyKind};
use tornello_engine::ids::{HoldId, KeyId, SlotId};
use tornello_engine::money::Cents;
use tornello_engine::slot::{Command, Line};
use tornello_engine::tariff::Proof;
use tornello_models::fraud::chance::Chance;

/// As in the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many buyers the counters know of.
const BUYERS: u64 = 20_000;
const ASSESSED: usize = 200_000;
const FOR: Duration = Duration::from_millis(500);
const ROUNDS: usize = 60;
/// How many rounds go before, of which nothing is told.
const WARM: u32 = 8;

fn spread(n: u64) -> u128 {
    u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64 | u128::from(n.wrapping_mul(0xbf58_476d_1ce4_e5b9))
}

/// One of the buyers, with the device and card that are theirs, in a network that they share with others.
fn by(key: u64) -> Envelope {
    let buyer = key % BUYERS;
    let party = |kind, n: u64| Party { kind, pseudonym: Digest(spread(n)) };
    let parties = vec![
        party(PartyKind::Buyer, buyer),
        party(PartyKind::Device, (1 << 40) | buyer),
        party(PartyKind::Card, (2 << 40) | buyer),
        party(PartyKind::Network, (3 << 40) | (buyer % 500)),
    ];
    Envelope { who: KeyId(1), key: Digest(u128::from(key)), body: Digest(0), parties, assessment: None, order: None, formerly: Vec::new() }
}

fn lines() -> Vec<Line> {
    vec![Line { category: "full".parse().expect("a code"), count: 2, price_cents: Cents::new(1_200), proof: Proof::None }]
}

/// A slot without end of places.
async fn open(node: &Node) -> SlotId {
    let slot = museum::open(node, [by(1), by(2)]).await[0];
    node.slot(slot, by(3), Command::SetCapacity { capacity: u32::MAX }).await.expect("set");
    slot
}

fn quantile(sorted: &[Duration], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6
}

fn print(name: &str, mut took: Vec<Duration>) -> f64 {
    took.sort_unstable();
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| quantile(&took, share));
    println!("{name:<34} {:>8} times  p50 {p50:>9.2} us  p99 {p99:>9.2} us  p99.9 {p999:>9.2} us", took.len());
    p99
}

/// Of all rounds together, and at the end the middle round's p99 with the range of the middle half.
fn print_rounds(name: &str, rounds: Vec<Vec<Duration>>) -> f64 {
    let mut p99s: Vec<f64> = rounds
        .iter()
        .map(|round| {
            let mut took = round.clone();
            took.sort_unstable();
            quantile(&took, 0.99)
        })
        .collect();
    p99s.sort_unstable_by(f64::total_cmp);
    print(name, rounds.concat());
    let [low, middle, high] = [1, 2, 3].map(|quarter| p99s[(p99s.len() - 1) * quarter / 4]);
    println!("{:<34} {:>8} rounds, p99 at the median {middle:>9.2} us, half of them {low:.2} to {high:.2} us", "", p99s.len());
    middle
}

/// Whether each round is assessed: forth and back, so that what comes again and again, as the lists do, meets both alike.
fn in_turns() -> impl Iterator<Item = bool> {
    (0..2 * ROUNDS).map(|round| matches!(round % 4, 1 | 2))
}

fn compare(asked: &str, without: Vec<Vec<Duration>>, with: Vec<Vec<Duration>>) {
    let without = print_rounds(&format!("hold, {asked}, not assessed"), without);
    let with = print_rounds(&format!("hold, {asked}, assessed"), with);
    println!("the p99 of a hold grows by {:.1}%", (with / without - 1.0) * 100.0);
}

/// Asks for one place, assessed first or not; answers how long that took.
async fn hold(node: &Node, slot: SlotId, key: u64, assessed: bool) -> Duration {
    let hold = HoldId::new(slot, key.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let begun = Instant::now();
    let mut envelope = by(key);
    if assessed {
        let signal = signal_of(node.now(), SignalKind::Held, Channel::Web, hold, &lines(), &envelope);
        envelope.assessment = Some(Box::new(node.scoring().assess(&signal)));
    }
    node.slot(slot, envelope, Command::Hold { hold, channel: Channel::Web, lines: lines() }).await.expect("held");
    begun.elapsed()
}

/// Holds from 16 callers; answers how long each took.
async fn by_callers(node: &Node, slot: SlotId, keys: &AtomicU64, assessed: bool) -> Vec<Duration> {
    let started = Instant::now();
    let running: FuturesUnordered<_> = (0..16)
        .map(|_| async {
            let mut took = Vec::new();
            while started.elapsed() < FOR {
                took.push(hold(node, slot, keys.fetch_add(1, Ordering::Relaxed), assessed).await);
            }
            took
        })
        .collect();
    running.collect::<Vec<_>>().await.into_iter().flatten().collect()
}

/// Holds at random moments, so many in a second; answers how long each took. A thread of its own keeps the time: the runtime's timer has steps of a millisecond, at whose end
/// all holds of that millisecond would begin at once.
async fn at_rate(node: &Arc<Node>, slot: SlotId, keys: &AtomicU64, assessed: bool, per_second: f64) -> Vec<Duration> {
    let (due, mut moments) = tokio::sync::mpsc::unbounded_channel();
    let mut chance = Chance::new(keys.load(Ordering::Relaxed));
    let timer = thread::spawn(move || {
        let (started, mut next) = (Instant::now(), Duration::ZERO);
        while next < FOR {
            thread::sleep(next.saturating_sub(started.elapsed()));
            while next < started.elapsed().min(FOR) {
                due.send(()).expect("somebody listens");
                next += Duration::from_secs_f64(-(1.0 - chance.unit()).ln() / per_second);
            }
        }
    });
    let mut running = Vec::new();
    while moments.recv().await.is_some() {
        let (node, key) = (Arc::clone(node), keys.fetch_add(1, Ordering::Relaxed));
        running.push(actix_rt::spawn(async move { hold(&node, slot, key, assessed).await }));
    }
    timer.join().expect("kept the time");
    futures_util::future::join_all(running).await.into_iter().map(|took| took.expect("held")).collect()
}

fn main() {
    actix_rt::System::new().block_on(async {
        let clock = Arc::new(RealClock::start()) as Arc<dyn Clock>;
        let folder = TempDir::new().expect("a folder");
        let running = Node::start(&Settings::new(folder.path()), clock, |_| {}).await.expect("started");
        let node = running.node();
        let slot = open(node).await;
        let keys = AtomicU64::new(1_000);
        // Everybody is known by then, and the node has fitted a model of its own.
        let mut asked = 0;
        for _ in 0..WARM {
            asked += by_callers(node, slot, &keys, false).await.len();
        }
        let per_second = asked as f64 / (FOR * WARM).as_secs_f64();
        node.scoring().counters().heard(node.head().number).await;
        node.scoring().judge().settled().await;
        let state = node.scoring().state();
        println!("{} parties are counted; model: {:?}", state.parties, state.champion);

        let mut took = Vec::with_capacity(ASSESSED);
        for key in 0..ASSESSED as u64 {
            let envelope = by(key);
            let begun = Instant::now();
            let signal = signal_of(node.now(), SignalKind::Held, Channel::Web, HoldId::new(slot, key), &lines(), &envelope);
            black_box(node.scoring().assess(&signal));
            took.push(begun.elapsed());
        }
        print("assess, alone", took);

        // What the scorers do with each of them later: four parties, the slot and the museum.
        let (counters, mut took) = (Counters::new(Sizes::default().parties), Vec::with_capacity(ASSESSED));
        for key in 0..ASSESSED as u64 {
            let signal = signal_of(node.now(), SignalKind::Held, Channel::Web, HoldId::new(slot, key), &lines(), &by(key));
            let begun = Instant::now();
            counters.hear(key + 1, std::slice::from_ref(&signal));
            took.push(begun.elapsed());
        }
        print("count, alone", took);

        let (mut without, mut with) = (Vec::new(), Vec::new());
        for assessed in in_turns() {
            if assessed { &mut with } else { &mut without }.push(by_callers(node, slot, &keys, assessed).await);
        }
        compare("16 callers", without, with);
        for share in [0.1, 0.25, 0.5] {
            let per_second = per_second * share;
            let (mut without, mut with) = (Vec::new(), Vec::new());
            for assessed in in_turns() {
                if assessed { &mut with } else { &mut without }.push(at_rate(node, slot, &keys, assessed, per_second).await);
            }
            compare(&format!("{per_second:.0} a second"), without, with);
        }
        running.stop().await;
    });
}
