//! What does one forecast cost? A service that holds a forecaster in memory is asked for a museum: its days to come with their bands, from three years of history.
//! And what do the reasons of one day cost, which are made only when somebody asks?
//!
//! The history is simulated; fitting happens before anything is measured.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tornello_datasets::simulated_attendance;
use tornello_models::demand::features::Lookback;
use tornello_models::demand::{Day, Forecaster, Settings};

const LAST: Day = Day::of(2025, 12, 31);

fn forecasts(criterion: &mut Criterion) {
    let sites = simulated_attendance::sites(7, 10, LAST, 3 * 365, |day| matches!(day.date(), (_, 12, 25 | 26) | (_, 1, 1 | 6)));
    let forecaster = Forecaster::fit(&sites, LAST, &Settings::default(), &mut |_| ()).expect("simulated sites can be learned from");
    let site = &sites[3];
    let mut group = criterion.benchmark_group("forecast");
    group.bench_function("one day, history at hand", |bencher| {
        let lookback = Lookback::new(site);
        bencher.iter(|| forecaster.day(black_box(&lookback), LAST, 7));
    });
    group.bench_function("one day, from the history", |bencher| bencher.iter(|| forecaster.forecast(black_box(site), LAST, 7..=7)));
    group.bench_function("60 days, from the history", |bencher| bencher.iter(|| forecaster.forecast(black_box(site), LAST, 1..=60)));
    group.bench_function("reasons of one day", |bencher| bencher.iter(|| forecaster.why(black_box(site), LAST, 7)));
    group.finish();
}

criterion_group!(benches, forecasts);
criterion_main!(benches);
