//! A forecast of a site from its own last weeks alone: what serves where no trained model does, and what one is held against.
//!
//! The middle is the median of the last eight days of the same kind (weekday; holidays count as Sundays; days of free entry among themselves where three are
//! known), moved by the season of the year before if that is known, and pulled towards the books as far as this site is usually booked so early. The bands are the
//! quantiles of its own errors on its last days. Days are numbers since 1970-01-01, whether the clock gave them 23, 24 or 25 hours.

use serde::{Deserialize, Serialize};

/// How many days of the same kind count.
const ALIKE: usize = 8;
/// How far back they may lie, in days.
const ALIKE_WITHIN: i32 = 400;
/// Horizons are alike from one of these up to the next, in days.
pub const BUCKETS: [u16; 4] = [1, 2, 8, 15];
/// How many of its last days a site is judged on.
const JUDGED: usize = 84;
/// As long as fewer of them could be judged, bands are those of a site that nobody knows.
const JUDGED_MIN: usize = 20;
/// Ratios of what came to what was expected at the ends of the bands of such a site: 2.5%, 10%, 90%, 97.5%.
const UNKNOWN: [f64; 4] = [0.3, 0.5, 1.6, 2.2];
/// A prior weighs as much as so many days of its own.
const PRIOR_DAYS: f64 = 4.0;

/// What is known beforehand of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DayKind {
    /// Nobody can come.
    pub closed: bool,
    /// A holiday.
    pub holiday: bool,
    /// Entry is free.
    pub free: bool,
}

/// A site as it is known at the end of its last day.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// The first day.
    pub first: i32,
    /// Visitors of each day from then on; none: closed, or nobody counted.
    pub visitors: Vec<Option<f64>>,
    /// What each of these days was, and the days after them as far as they are planned.
    pub kinds: Vec<DayKind>,
    /// What a day would have if nothing else were known, as from its places and from other sites.
    pub prior: f64,
}

/// What stands on the books for a day.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Books {
    /// Places sold.
    pub booked: f64,
    /// What days of the same kind had at this lead, on average, and what they had in the end; none where nobody looked.
    pub usual: Option<(f64, f64)>,
}

/// Why a forecast is what it is: by which factor each thing moves it, 1: not at all.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reasons {
    /// Visitors of a day, over the last four weeks.
    pub level: f64,
    /// The kind of day.
    pub kind: f64,
    /// The season, by the year before.
    pub season: f64,
    /// The books.
    pub books: f64,
}

/// A forecast of a day, in visitors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Outlook {
    /// The middle.
    pub mid: f64,
    /// Eight of ten times it is from here to there.
    pub band_80: (f64, f64),
    /// Nineteen of twenty times.
    pub band_95: (f64, f64),
    /// Why.
    pub reasons: Reasons,
}

impl Outlook {
    /// Of a day on which nobody can come.
    pub const CLOSED: Self =
        Self { mid: 0.0, band_80: (0.0, 0.0), band_95: (0.0, 0.0), reasons: Reasons { level: 0.0, kind: 0.0, season: 1.0, books: 1.0 } };
}

/// How good forecasts of a site were at some horizons.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The first of these horizons, in days.
    pub horizon: u16,
    /// Days judged.
    pub days: u32,
    /// Sum of errors, as a share of all visitors.
    pub wape: f64,
    /// Sum of forecast less visitors, as a share of all visitors.
    pub bias: f64,
    /// Share of days within the 80% band.
    pub covered_80: f64,
    /// The same error of a week ago, as it is.
    pub naive_wape: f64,
}

/// A site's errors, learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// The ends of both bands as ratios of the middle, for each of [`BUCKETS`].
    bands: [[f64; 4]; BUCKETS.len()],
    /// How good it was.
    pub scores: Vec<Score>,
}

impl History {
    /// The last day that is known, or could be.
    #[must_use]
    pub fn last(&self) -> i32 {
        self.first + self.visitors.len() as i32 - 1
    }

    /// How many days are known.
    #[must_use]
    pub fn known(&self) -> usize {
        self.visitors.iter().flatten().count()
    }

    /// Visitors of a day, if it is known and not after `origin`.
    fn at(&self, day: i32, origin: i32) -> Option<f64> {
        let place = usize::try_from(day.checked_sub(self.first)?).ok()?;
        if day > origin { None } else { self.visitors.get(place).copied().flatten() }
    }

    fn kind(&self, day: i32) -> DayKind {
        usize::try_from(day - self.first).ok().and_then(|place| self.kinds.get(place)).copied().unwrap_or_default()
    }

    /// The kind of a day as a number: weekdays from 0, holidays as Sundays.
    fn class(&self, day: i32) -> i32 {
        if self.kind(day).holiday { 6 } else { (day + 3).rem_euclid(7) }
    }

    fn mean(&self, from: i32, to: i32, origin: i32) -> Option<f64> {
        let known: Vec<f64> = (from..=to).filter_map(|day| self.at(day, origin)).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    }

    /// Days of the same kind as `day` up to `origin`, the newest first.
    pub fn alike(&self, day: i32, origin: i32) -> Vec<i32> {
        let (class, free) = (self.class(day), self.kind(day).free);
        let back = |matches: &dyn Fn(i32) -> bool| {
            let days = (origin.saturating_sub(ALIKE_WITHIN).max(self.first)..=origin).rev();
            days.filter(|other| self.at(*other, origin).is_some() && matches(*other)).take(ALIKE).collect::<Vec<_>>()
        };
        if free {
            let free = back(&|other| self.kind(other).free);
            if free.len() >= 3 {
                return free;
            }
        }
        back(&|other| self.class(other) == class && !self.kind(other).free)
    }

    /// The middle of a day's forecast at `origin`, without books, and why.
    fn mid(&self, day: i32, origin: i32) -> (f64, Reasons) {
        let level = self.mean(origin - 27, origin, origin).unwrap_or(self.prior);
        let mut alike: Vec<f64> = self.alike(day, origin).iter().filter_map(|other| self.at(*other, origin)).collect();
        alike.sort_by(f64::total_cmp);
        let own = match alike.as_slice() {
            [] => None,
            days if days.len() % 2 == 1 => Some(days[days.len() / 2]),
            days => Some((days[days.len() / 2 - 1] + days[days.len() / 2]) / 2.0),
        };
        let weight = alike.len() as f64 / (alike.len() as f64 + if alike.len() >= ALIKE { 0.0 } else { PRIOR_DAYS / 2.0 });
        let kind = own.map_or(level, |own| weight * own + (1.0 - weight) * level);
        let season = match (self.mean(day - 364 - 10, day - 364 + 10, origin), self.mean(origin - 364 - 27, origin - 364, origin)) {
            (Some(then), Some(before)) if then > 0.0 && before > 0.0 && day - origin > 7 => (then / before).clamp(0.4, 2.5),
            _ => 1.0,
        };
        // Half of what the last year's season says: the last weeks have half of it in them already.
        let season = season.sqrt();
        let ratio = if level > 0.0 { kind / level } else { 1.0 };
        (kind * season, Reasons { level, kind: ratio, season, books: 1.0 })
    }

    /// A day's forecast at the end of the last known day.
    #[must_use]
    pub fn outlook(&self, day: i32, books: Option<Books>, learned: &Learned) -> Outlook {
        if self.kind(day).closed {
            return Outlook::CLOSED;
        }
        let origin = self.last();
        let (mid, mut reasons) = self.mid(day, origin);
        let mut booked = 0.0;
        let mut after = mid;
        if let Some(Books { booked: now, usual }) = books {
            booked = now;
            if let Some((then, in_the_end)) = usual.filter(|(_, in_the_end)| *in_the_end > 0.0) {
                let weight = (then / in_the_end).clamp(0.0, 0.9);
                after = (1.0 - weight) * mid + weight * (now + in_the_end - then).max(0.0);
            }
        }
        // Nearly all who have booked come.
        after = after.max(0.85 * booked);
        reasons.books = if mid > 0.0 { after / mid } else { 1.0 };
        let horizon = u16::try_from(day - origin).unwrap_or(1).max(1);
        let [low_95, low_80, high_80, high_95] = learned.bands[bucket(horizon)].map(|ratio| ratio * after);
        let ordered = |low: f64, high: f64| (low.min(after).max(0.0), high.max(after));
        Outlook { mid: after, band_80: ordered(low_80, high_80), band_95: ordered(low_95, high_95), reasons }
    }

    /// Learns from the site's last days how far off its forecasts are.
    #[must_use]
    pub fn learn(&self) -> Learned {
        let mut learned = Learned { bands: [UNKNOWN; BUCKETS.len()], scores: Vec::new() };
        let last = self.last();
        let open = (self.first..=last).rev().filter(|day| !self.kind(*day).closed);
        let judged: Vec<(i32, f64)> = open.filter_map(|day| Some((day, self.at(day, last)?))).take(JUDGED).collect();
        for (place, horizon) in BUCKETS.into_iter().enumerate() {
            let pairs: Vec<(f64, f64, f64)> = judged
                .iter()
                .filter(|(day, _)| day - i32::from(horizon) - self.first >= 14)
                .map(|(day, came)| {
                    let origin = day - i32::from(horizon);
                    let naive = (1..=60).find_map(|weeks| self.at(day - 7 * weeks, origin)).unwrap_or(self.prior);
                    (self.mid(*day, origin).0, *came, naive)
                })
                .collect();
            // Of days on which nobody was expected there is no ratio: where nobody ever came, of none.
            let mut ratios: Vec<f64> = pairs.iter().filter(|(mid, ..)| *mid > 0.0).map(|(mid, came, _)| came / mid).collect();
            if ratios.len() >= JUDGED_MIN {
                ratios.sort_by(f64::total_cmp);
                learned.bands[place] = [0.025, 0.1, 0.9, 0.975].map(|level| quantile(&ratios, level));
            }
            learned.scores.extend(score(horizon, &pairs, learned.bands[place]));
        }
        learned
    }
}

fn bucket(horizon: u16) -> usize {
    BUCKETS.iter().rposition(|first| *first <= horizon).unwrap_or(0)
}

/// The quantile of sorted numbers with the correction of split conformal bands: one more than there are, so that a next one is held often enough.
fn quantile(sorted: &[f64], level: f64) -> f64 {
    let count = sorted.len() as f64;
    let place = if level > 0.5 { ((count + 1.0) * level).ceil() - 1.0 } else { ((count + 1.0) * level).floor() - 1.0 };
    sorted.get(place.clamp(0.0, count - 1.0) as usize).copied().unwrap_or(1.0)
}

fn score(horizon: u16, pairs: &[(f64, f64, f64)], band: [f64; 4]) -> Option<Score> {
    let visitors: f64 = pairs.iter().map(|(_, came, _)| came).sum();
    if pairs.is_empty() || visitors <= 0.0 {
        return None;
    }
    let sum = |of: &dyn Fn(&(f64, f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>();
    let held = |pair: &(f64, f64, f64)| f64::from(u8::from((band[1] * pair.0..=band[2] * pair.0).contains(&pair.1)));
    Some(Score {
        horizon,
        days: pairs.len() as u32,
        wape: sum(&|(mid, came, _)| (mid - came).abs()) / visitors,
        bias: sum(&|(mid, came, _)| mid - came) / visitors,
        covered_80: sum(&held) / pairs.len() as f64,
        naive_wape: sum(&|(_, came, naive)| (naive - came).abs()) / visitors,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weekdays have 100, Saturdays and Sundays 200, with a little more or less; closed on Mondays.
    fn site(days: i32) -> History {
        // 2026-01-05, a Monday.
        let first = 20_458;
        let kinds: Vec<DayKind> = (0..days + 60).map(|day| DayKind { closed: day % 7 == 0, ..DayKind::default() }).collect();
        let visitors = (0..days).map(|day| (day % 7 != 0).then(|| if day % 7 >= 5 { 200.0 } else { 100.0 } + f64::from(day * 7 % 11) - 5.0));
        History { first, visitors: visitors.collect(), kinds, prior: 150.0 }
    }

    #[test]
    fn weekdays_are_told_apart_and_closed_days_have_nobody() {
        let site = site(140);
        let learned = site.learn();
        let day = |ahead: i32| site.outlook(site.last() + ahead, None, &learned);
        assert_eq!(day(1), Outlook::CLOSED);
        assert!((day(2).mid - 100.0).abs() < 4.0 && (day(6).mid - 200.0).abs() < 5.0, "{:?} {:?}", day(2), day(6));
        for ahead in 1..60 {
            let Outlook { mid, band_80, band_95, .. } = day(ahead);
            assert!(band_95.0 <= band_80.0 && band_80.0 <= mid && mid <= band_80.1 && band_80.1 <= band_95.1, "{ahead}");
        }
        let score = &learned.scores[0];
        assert!(score.wape < 0.06 && (0.75..=1.0).contains(&score.covered_80), "{score:?}");
    }

    #[test]
    fn a_site_with_ten_days_or_none_works() {
        let ten = site(10);
        let outlook = ten.outlook(ten.last() + 2, None, &ten.learn());
        assert!(outlook.mid > 90.0 && outlook.mid < 160.0 && outlook.band_80.1 > 1.3 * outlook.mid, "{outlook:?}");
        let none = site(0);
        assert_eq!(none.outlook(none.first + 1, None, &none.learn()).mid, 150.0);
        assert_eq!(History::default().learn().scores, []);
    }

    /// As of a museum that was being restored though its plan opened it: somebody has brought in that nobody came.
    #[test]
    fn a_site_to_which_nobody_ever_came_works() {
        let mut empty = site(140);
        empty.visitors.iter_mut().flatten().for_each(|visitors| *visitors = 0.0);
        let learned = empty.learn();
        let outlook = empty.outlook(empty.last() + 2, None, &learned);
        assert_eq!((outlook.mid, outlook.band_80, outlook.band_95, learned.scores.len()), (0.0, (0.0, 0.0), (0.0, 0.0), 0));
        // Then it opens, for six weeks by now.
        let day = empty.first + 140;
        empty.visitors.extend((day..day + 42).map(|day| Some(if (day - empty.first) % 7 == 0 { 0.0 } else { 90.0 })));
        let opened = empty.outlook(empty.last() + 2, None, &empty.learn());
        assert!(opened.mid > 0.0 && opened.band_95.0 <= opened.mid && opened.mid <= opened.band_95.1, "{opened:?}");
    }

    #[test]
    fn nothing_after_the_origin_is_seen() {
        let site = site(140);
        let origin = site.last() - 30;
        let mut planted = site.clone();
        for place in planted.visitors.len() - 30..planted.visitors.len() {
            planted.visitors[place] = Some(9_999.0);
        }
        for day in origin + 1..origin + 30 {
            assert_eq!(site.mid(day, origin), planted.mid(day, origin));
        }
    }

    #[test]
    fn books_pull_as_far_as_the_site_is_booked_so_early() {
        let site = site(140);
        let (learned, day) = (site.learn(), site.last() + 3);
        let alone = site.outlook(day, None, &learned).mid;
        let with = |booked, then| site.outlook(day, Some(Books { booked, usual: Some((then, alone)) }), &learned).mid;
        assert!((with(50.0, 50.0) - alone).abs() < 1e-9, "as usual");
        assert!(with(90.0, 50.0) > alone + 15.0 && with(10.0, 50.0) < alone - 15.0);
        assert!((with(40.0, 1.0) - alone).abs() < 1.0, "where nobody books early the books say little");
        assert_eq!(site.outlook(day, Some(Books { booked: 1_000.0, usual: None }), &learned).mid, 850.0, "who has booked comes");
    }
}
