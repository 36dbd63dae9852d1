//! The forecaster on simulated museums, whose truth is known: it sees nothing of the future, its bands hold, closed days are empty, new sites are served, the same
//! history makes the same bytes, nonsense is refused.

use std::sync::OnceLock;

use tornello_datasets::simulated_attendance as simulated;
use tornello_models::boost::{Loss, Recipe};
use tornello_models::demand::{Answered, Calendar, Day, DayFlags, Forecaster, LEADS, Settings, Site, backtest, champion, forecaster};

const LAST: Day = Day::of(2026, 3, 29);

fn holiday(day: Day) -> bool {
    let (_, month, day) = day.date();
    [(1, 1), (1, 6), (4, 25), (5, 1), (6, 2), (8, 15), (11, 1), (12, 8), (12, 25), (12, 26)].contains(&(month, day))
}

fn sites(count: u32, days: usize) -> Vec<Site> {
    simulated::sites(11, count, LAST, days, holiday)
}

fn settings() -> Settings {
    let recipe = Recipe { rounds: 15, eta: 0.4, ..Recipe::new(Loss::Quantiles(champion::LEVELS.to_vec())) };
    Settings { horizon_max: 28, horizons_per_origin: 3, recipe, ..Settings::default() }
}

fn fit(sites: &[Site], origin: Day) -> Forecaster {
    Forecaster::fit(sites, origin, &settings(), &mut |_| ()).expect("a fit")
}

/// Four sites and what was fitted on them up to the last day: made once for all tests that only ask.
fn fitted() -> &'static (Vec<Site>, Forecaster) {
    static FITTED: OnceLock<(Vec<Site>, Forecaster)> = OnceLock::new();
    FITTED.get_or_init(|| {
        let sites = sites(4, 500);
        let forecaster = fit(&sites, LAST);
        (sites, forecaster)
    })
}

fn bytes(forecaster: &Forecaster) -> String {
    serde_json::to_string(forecaster).expect("a forecaster is plain data")
}

#[test]
fn a_planted_future_changes_nothing() {
    let (honest, origin) = (sites(2, 450), LAST.plus(-60));
    let mut planted = honest.clone();
    for site in &mut planted {
        let known = (origin.since(site.first) + 1) as usize;
        site.attendance[known..].iter_mut().enumerate().for_each(|(place, visitors)| *visitors = 1e6 + place as f32);
    }
    let (seen, cheated) = (fit(&honest, origin), fit(&planted, origin));
    assert_eq!(bytes(&seen), bytes(&cheated), "a fit has read what came after its origin");
    for (honest, planted) in honest.iter().zip(&planted) {
        for origin in [origin, origin.plus(-100)] {
            assert_eq!(seen.forecast(honest, origin, 1..=28).expect("a forecast"), seen.forecast(planted, origin, 1..=28).expect("a forecast"));
        }
        assert_eq!(seen.why(honest, origin, 9).expect("reasons"), seen.why(planted, origin, 9).expect("reasons"));
    }
}

#[test]
fn a_planted_booking_after_the_origin_changes_nothing() {
    let origin = LAST.plus(-60);
    let mut honest = sites(2, 400);
    for site in &mut honest {
        site.books =
            (0..460).map(|place| LEADS.map(|lead| site.attendance.get(place).map_or(20.0, |came| came * 60.0 / f32::from(60 + lead)))).collect();
    }
    let mut planted = honest.clone();
    for site in &mut planted {
        for (place, looks) in site.books.iter_mut().enumerate() {
            let day = site.first.plus(place as i32);
            let later = LEADS.iter().zip(looks).filter(|(lead, _)| day.plus(-i32::from(**lead)) > origin);
            later.for_each(|(_, look)| *look = 1e6);
        }
    }
    let (seen, cheated) = (fit(&honest, origin), fit(&planted, origin));
    assert_eq!(bytes(&seen), bytes(&cheated));
    assert_eq!(seen.forecast(&honest[0], origin, 1..=28).expect("a forecast"), seen.forecast(&planted[0], origin, 1..=28).expect("a forecast"));
}

#[test]
fn bands_cover_what_they_say_and_the_floors_are_beaten() {
    let sites = sites(6, 560);
    let origin = LAST.plus(-56);
    let forecaster = fit(&sites, origin);
    let (mut days, mut in_80, mut in_95) = (0.0, 0.0, 0.0);
    for site in &sites {
        for from in (0..28).map(|back| origin.plus(back)) {
            for forecast in forecaster.forecast(site, from, 1..=28).expect("a forecast") {
                let came = f64::from(site.visitors(forecast.day));
                if forecast.by == Answered::Trees && !came.is_nan() {
                    days += 1.0;
                    in_80 += f64::from(u8::from((forecast.band.low_80..=forecast.band.high_80).contains(&came)));
                    in_95 += f64::from(u8::from((forecast.band.low_95..=forecast.band.high_95).contains(&came)));
                }
            }
        }
    }
    let (share_80, share_95) = (in_80 / days, in_95 / days);
    assert!(days > 2_000.0 && (0.72..0.88).contains(&share_80) && (0.90..0.985).contains(&share_95), "{days}: {share_80} {share_95}");
    let (mut champion, mut median) = (0.0, 0.0);
    for line in forecaster.quality() {
        champion += line.champion.mae();
        median += line.median.mae();
    }
    assert!(champion < median, "{champion} is no better than {median}");
}

#[test]
fn models_are_held_against_each_other_on_the_same_days_and_see_nothing_beyond() {
    let (honest, to) = (sites(4, 500), LAST.plus(-20));
    let mut planted = honest.clone();
    for site in &mut planted {
        let known = (to.since(site.first) + 1) as usize;
        site.attendance[known..].fill(1e6);
    }
    let (older, newer) = (fit(&honest, to.plus(-84)), fit(&honest, to.plus(-28)));
    let trial = |sites: &[Site]| backtest::trial(sites, &[&older, &newer, &newer], to.plus(-28), to, 7).expect("a trial");
    let regions = trial(&honest);
    assert_eq!(regions, trial(&planted), "a trial has read what came after it");
    for (region, sum) in &regions {
        let [older, newer, again] = sum.models[..] else { panic!("three models were asked") };
        // Of four origins 28, 21, 14 and 7 days are left, less those on which a museum was closed.
        assert!(older.count == newer.count && newer == again && newer.count == sum.median.count && newer.count > 3 * 70 * 6 / 7, "{region}: {sum:?}");
        assert!(newer.wape() < sum.naive.wape() && newer.sql() < sum.naive.sql(), "{region}: {sum:?}");
    }
}

#[test]
fn closed_days_are_empty_whatever_answers() {
    let (sites, forecaster) = fitted();
    let closes = |site: &Site| Site {
        calendar: Calendar::of(site.first, LAST.plus(60), |day| DayFlags {
            closed: day.weekday() == 2,
            holiday: holiday(day),
            ..DayFlags::default()
        }),
        ..site.clone()
    };
    let new = Site { attendance: sites[0].attendance[490..].to_vec(), first: sites[0].first.plus(490), ..sites[0].clone() };
    for site in [closes(&sites[0]), closes(&new)] {
        let forecasts = forecaster.forecast(&site, LAST, 1..=28).expect("a forecast");
        assert_eq!(forecasts.iter().filter(|day| day.by == Answered::Closure).count(), 4);
        for day in forecasts {
            let ends = [day.band.low_95, day.band.low_80, day.band.median, day.band.high_80, day.band.high_95];
            assert!(ends.is_sorted() && ends[0] >= 0.0, "{day:?}");
            assert_eq!(day.by == Answered::Closure, ends == [0.0; 5], "{day:?}");
        }
    }
}

#[test]
fn a_site_of_ten_days_is_served_sensibly_and_so_is_one_of_none() {
    let (_, forecaster) = fitted();
    let whole = &simulated::sites(12, 1, LAST, 500, holiday)[0];
    let usual = |days: &[f32]| {
        let open: Vec<f32> = days.iter().copied().filter(|visitors| *visitors > 0.0).collect();
        f64::from(open.iter().sum::<f32>() / open.len() as f32)
    };
    let new = Site { attendance: whole.attendance[490..].to_vec(), first: whole.first.plus(490), ..whole.clone() };
    let forecasts = forecaster.forecast(&new, LAST, 1..=28).expect("a forecast");
    let open: Vec<f64> = forecasts.iter().filter(|day| day.by == Answered::ColdStart).map(|day| day.band.median).collect();
    let mean = open.iter().sum::<f64>() / open.len() as f64;
    assert!(open.len() >= 24 && (0.6..1.6).contains(&(mean / usual(&new.attendance))), "{mean} is far from {}", usual(&new.attendance));
    let none = Site { attendance: Vec::new(), first: LAST.plus(1), ..whole.clone() };
    assert!(
        forecaster
            .forecast(&none, LAST, 1..=28)
            .expect("a forecast")
            .iter()
            .all(|day| day.band.high_80.is_finite() && day.band.high_80 >= day.band.median)
    );
}

#[test]
fn days_of_clock_change_are_days_like_others() {
    // In Rome 2025-10-26 had 25 hours and 2026-03-29 has 23; a day is one row whatever its hours, and dates follow each other without a gap.
    let (sites, forecaster) = fitted();
    let days = forecaster.forecast(&sites[0], Day::of(2026, 3, 27), 1..=4).expect("a forecast");
    assert_eq!(days.iter().map(|day| day.day.date()).collect::<Vec<_>>(), [(2026, 3, 28), (2026, 3, 29), (2026, 3, 30), (2026, 3, 31)]);
    let came = f64::from(sites[0].visitors(Day::of(2026, 3, 29)));
    assert!(days[1].band.median > 0.5 * came && days[1].band.median < 2.0 * came, "{:?} is far from {came}", days[1].band);
}

#[test]
fn the_same_history_makes_the_same_bytes_and_what_was_written_is_read() {
    let (sites, forecaster) = fitted();
    let written = bytes(forecaster);
    assert_eq!(written, bytes(&fit(sites, LAST)));
    let two_threads = Settings { recipe: Recipe { threads: 2, ..settings().recipe }, ..settings() };
    assert_eq!(written, bytes(&Forecaster::fit(sites, LAST, &two_threads, &mut |_| ()).expect("a fit")), "on two threads");
    let read: Forecaster = serde_json::from_str(&written).expect("what was written");
    assert_eq!(read.forecast(&sites[1], LAST, 1..=28).expect("a forecast"), forecaster.forecast(&sites[1], LAST, 1..=28).expect("a forecast"));
    assert!(serde_json::from_str::<Forecaster>(&written.replacen("\"books\":false", "\"books\":true", 1)).is_err(), "trees of another shape");
}

#[test]
fn an_older_fit_spares_half_the_work_and_changes_nothing() {
    let (sites, forecaster) = fitted();
    let rounds = settings().recipe.rounds;
    let after = |older: &[Forecaster]| {
        let mut grown = 0;
        let fitted = Forecaster::fit_after(sites, LAST, &settings(), older, &mut |_| grown += 1).expect("a fit");
        (bytes(&fitted), grown)
    };
    let of = |origin: Day, settings: &Settings| Forecaster::fit(sites, origin, settings, &mut |_| ()).expect("a fit");
    let before = LAST.plus(-forecaster::HELD_OUT_DAYS);
    // The share that bands are to hold is no matter of trees.
    let older = of(before, &Settings { share_80: 0.7, ..settings() });
    let others = [of(before.plus(-1), &settings()), of(before, &Settings { horizons_per_origin: 2, ..settings() })];
    assert_eq!(after(&others), (bytes(forecaster), 2 * rounds), "trees of another day or making were taken");
    let all: Vec<Forecaster> = others.into_iter().chain([older]).collect();
    assert_eq!(after(&all), (bytes(forecaster), rounds));
}

#[test]
fn reasons_add_up_and_name_the_planted_cause() {
    let sites: Vec<Site> = sites(3, 640);
    let forecaster = fit(&sites, Day::of(2025, 12, 20));
    let origin = Day::of(2025, 12, 20);
    let site = &sites[0];
    let planted = Site {
        calendar: Calendar::of(site.first, LAST, |day| DayFlags { holiday: holiday(day) || day == origin.plus(3), ..DayFlags::default() }),
        ..site.clone()
    };
    let effect = |site: &Site| {
        let why = forecaster.why(site, origin, 3).expect("reasons").expect("trees answer");
        let median = forecaster.forecast(site, origin, 3..=3).expect("a forecast")[0].band.median;
        let sum = why.base + why.reasons.iter().map(|reason| reason.visitors).sum::<f64>();
        assert!((sum - median).abs() < 0.001 * median, "{sum} is not {median}");
        why.reasons.iter().find(|reason| reason.theme == tornello_models::demand::Theme::Holidays).map_or(0.0, |reason| reason.visitors)
    };
    assert!(effect(&planted) > effect(site) + 0.02 * f64::from(site.visitors(origin)), "{} is not above {}", effect(&planted), effect(site));
}

#[test]
fn nonsense_is_refused_and_little_is_served() {
    let (good, forecaster) = fitted();
    let refused = |change: &dyn Fn(&mut Site)| {
        let mut sites = good[..1].to_vec();
        change(&mut sites[0]);
        Forecaster::fit(&sites, LAST, &settings(), &mut |_| ()).map(|_| ()).expect_err("nonsense").to_string()
    };
    assert!(refused(&|site| site.attendance[3] = -1.0).contains("visitors cannot be"));
    assert!(refused(&|site| site.attendance[3] = f32::INFINITY).contains("visitors cannot be"));
    let beyond = Settings { horizon_max: 301, ..settings() };
    assert!(Forecaster::fit(good, LAST, &beyond, &mut |_| ()).is_err());
    assert!(forecaster.forecast(&good[0], LAST, 0..=3).is_err() && forecaster.forecast(&good[0], LAST, 1..=29).is_err());
    // Nothing at all, one short series, a constant one, and holes: no error and no forecast that is no number.
    let with = |attendance: Vec<f32>| Site { attendance, ..good[0].clone() };
    for sites in [vec![], vec![with(vec![12.0; 10])], vec![with(vec![50.0; 400])], vec![with(vec![f32::NAN; 400])], vec![with(vec![0.0; 400])]] {
        let forecaster = fit(&sites, good[0].first.plus(399));
        let site = sites.first().unwrap_or(&good[0]);
        for day in forecaster.forecast(site, good[0].first.plus(399), 1..=28).expect("a forecast") {
            assert!(day.band.median.is_finite() && day.band.high_95.is_finite() && day.band.low_95 >= 0.0, "{day:?}");
        }
    }
}
