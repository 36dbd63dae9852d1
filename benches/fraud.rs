//! What does it cost to score one sale: features in, score, percentile and three reasons out? The aim is 25 microseconds for 99 of 100, without an allocation.
//!
//! Each scorer is fitted on 20,000 made-up rows of as many columns as there are live features; rows to score are prepared beforehand and go round.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tornello_models::fraud::behaviours::Plan;
use tornello_models::fraud::chance::Chance;
use tornello_models::fraud::preparation::{Preparation, Treatment};
use tornello_models::fraud::rows::Rows;
use tornello_models::fraud::scorer::Scorer;
use tornello_models::fraud::select::Unsupervised;
use tornello_models::fraud::signals::{N, WEIGHTS, behaviours, groups};
use tornello_models::fraud::supervised::Supervised;

const COLUMNS: usize = N;
const ROWS: usize = 20_000;

fn made_up(seed: u64, rows: usize) -> (Rows, Vec<bool>) {
    let mut chance = Chance::new(seed);
    let (mut values, mut labels) = (Vec::with_capacity(rows * COLUMNS), Vec::new());
    for row in 0..rows {
        let fraud = row % 200 == 0;
        let shift = if fraud { 2.0 } else { 0.0 };
        values.extend((0..COLUMNS).map(|column| if column % 3 == 0 { chance.normal().exp() } else { chance.normal() } + shift * chance.unit()));
        labels.push(fraud);
    }
    (Rows::new(COLUMNS, values).expect("whole rows"), labels)
}

fn scorers() -> Vec<(&'static str, Scorer)> {
    let (rows, labels) = made_up(1, ROWS);
    let mut all: Vec<(&'static str, Scorer)> =
        Unsupervised::ALL.map(|method| (method.name(), Scorer::fit(method, &rows, Treatment::default(), 1).expect("it fits"))).to_vec();
    let plan = Plan { groups: &behaviours(), weights: &WEIGHTS };
    let by_behaviour = Scorer::fit_behaviours(&rows, Treatment::default(), plan).and_then(|scorer| scorer.explained_by(&groups()));
    all.push(("behaviours", by_behaviour.expect("it fits")));
    let preparation = Preparation::fit(&rows, Treatment::default()).expect("it fits");
    let prepared = preparation.prepare_all(&rows).expect("the same columns");
    let model = Supervised::fit(&prepared, &labels, 1).expect("it fits");
    let raw: Vec<f64> = prepared.iter().map(|row| model.log_odds(row)).collect();
    all.push(("supervised", Scorer::supervised(preparation, model, &raw).expect("the same columns")));
    all
}

fn score(criterion: &mut Criterion) {
    let (rows, _) = made_up(2, 1_000);
    let mut group = criterion.benchmark_group("fraud_score");
    for (name, scorer) in scorers() {
        let mut next = (0..rows.len()).cycle();
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| {
                let row = rows.row(next.next().unwrap_or(0));
                black_box(scorer.score(row.iter().copied()))
            });
        });
        let mut times: Vec<Duration> = (0..50_000)
            .map(|at| {
                let row = rows.row(at % rows.len());
                let start = Instant::now();
                black_box(scorer.score(row.iter().copied()));
                start.elapsed()
            })
            .collect();
        times.sort_unstable();
        println!("{name}: median {:?}, p99 {:?}, p99.9 {:?}", times[times.len() / 2], times[times.len() * 99 / 100], times[times.len() * 999 / 1000]);
    }
    group.finish();
}

criterion_group!(benches, score);
criterion_main!(benches);
