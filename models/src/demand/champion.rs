//! The champion: boosted quantile trees over the base table, one model for all sites. It answers in multiples of a site's level.
//!
//! Rows are drawn: of each origin some horizons, by a hash of seed, site and day, so that the same history and seed always make the same table.

use super::day::Day;
use super::features::{self, Lookback};
use crate::ModelError;
use crate::boost::{self, Boosted, Loss, Recipe, Table};

/// The quantiles that are learned: the ends of the 80% band and the median.
pub const LEVELS: [f64; 3] = [0.1, 0.5, 0.9];

/// How the champion learns.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Settings {
    /// The farthest day ahead.
    pub horizon_max: u16,
    /// Horizons drawn for each site and origin.
    pub horizons_per_origin: u16,
    /// Days back from the last origin from which origins are taken.
    pub origins_days: u16,
    /// The recipe of the trees.
    pub recipe: Recipe,
    /// The share of held-out days that the 80% band is fitted to hold. It is .8 until forecasts that were served are seen to be held more or less often:
    /// then [`super::bands::next_share`] says what.
    pub share_80: f64,
}

impl Default for Settings {
    fn default() -> Self {
        // Each tree sees every row: where it sees a share, the leaf of each row must be looked up in each tree. Five horizons, of which a tree sees four fifths,
        // cost a half more and are as good, within what another seed changes.
        let recipe = Recipe { rounds: 100, eta: 0.15, row_share: 1.0, ..Recipe::new(Loss::Quantiles(LEVELS.to_vec())) };
        Self { horizon_max: 60, horizons_per_origin: 4, origins_days: 3 * 365, recipe, share_80: 0.8 }
    }
}

impl Settings {
    /// What of them decides what comes out: everything but on how many threads.
    #[must_use]
    pub fn deciding(&self) -> Self {
        Self { recipe: Recipe { threads: 1, ..self.recipe.clone() }, ..self.clone() }
    }
}

/// Days with attendance before a site teaches and is served by the champion: one season of a level.
pub const DAYS_MIN: u32 = 28;

/// A row before its features: which site, from when, for how far ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Draw {
    site: usize,
    origin: Day,
    horizon: u16,
}

/// Fits the trees on everything that is over at `origin`; targets after it are never read.
pub fn fit(
    lookbacks: &[Lookback<'_>],
    origin: Day,
    books: bool,
    settings: &Settings,
    progress: &mut (dyn FnMut(u32) + Send),
) -> Result<Box<dyn Boosted>, ModelError> {
    let table = table(lookbacks, origin, books, settings);
    if table.rows() < ROWS_MIN {
        return Err(ModelError::BadInput {
            problem: format!("{} rows of history are too few to grow trees on: {ROWS_MIN} are needed", table.rows()),
        });
    }
    boost::fit(&table.prepare()?, &settings.recipe, progress)
}

/// Rows without which no trees are grown.
const ROWS_MIN: usize = 320;

/// Whether there is enough for trees at an origin.
#[must_use]
pub fn can_fit(lookbacks: &[Lookback<'_>], origin: Day, settings: &Settings) -> bool {
    draws(lookbacks, origin, settings).len() >= ROWS_MIN
}

fn table(lookbacks: &[Lookback<'_>], last: Day, books: bool, settings: &Settings) -> Table {
    let columns = features::columns(books);
    let mut table = Table { columns: columns.iter().map(|column| column.name.to_owned()).collect(), ..Table::default() };
    for draw in draws(lookbacks, last, settings) {
        let lookback = &lookbacks[draw.site];
        let level = lookback.level(draw.origin);
        lookback.row(draw.origin, draw.horizon, books, &mut table.values);
        table.targets.push(lookback.value(draw.origin.plus(i32::from(draw.horizon))) / level);
        table.weights.push(level);
    }
    let mean = table.weights.iter().sum::<f32>() / table.weights.len().max(1) as f32;
    table.weights.iter_mut().for_each(|weight| *weight /= mean);
    table
}

/// The rows of the table: days whose attendance is known by `last`, from origins with a level.
fn draws(lookbacks: &[Lookback<'_>], last: Day, settings: &Settings) -> Vec<Draw> {
    let mut draws = Vec::new();
    for (place, lookback) in lookbacks.iter().enumerate() {
        let site = lookback.site();
        let first = site.first.max(last.plus(-i32::from(settings.origins_days)));
        for origin in (first.0..last.0).map(Day).filter(|origin| lookback.days(*origin) >= DAYS_MIN && !lookback.level(*origin).is_nan()) {
            let mut seed = settings.recipe.seed ^ (u64::from(site.code) << 40) ^ u64::from(origin.0.unsigned_abs());
            let mut drawn = Vec::with_capacity(usize::from(settings.horizons_per_origin));
            while drawn.len() < usize::from(settings.horizons_per_origin.min(settings.horizon_max)) {
                let horizon = (mixed(&mut seed) % u64::from(settings.horizon_max)) as u16 + 1;
                if !drawn.contains(&horizon) {
                    drawn.push(horizon);
                }
            }
            let known = |horizon: &u16| {
                let day = origin.plus(i32::from(*horizon));
                day <= last && !lookback.value(day).is_nan()
            };
            draws.extend(drawn.into_iter().filter(known).map(|horizon| Draw { site: place, origin, horizon }));
        }
    }
    draws
}

/// The next number of a splitmix64 sequence (Steele, Lea, Flood 2014).
pub(super) fn mixed(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The quantiles of a day at a site, in visitors, before the bands are corrected; none where the site has no level yet.
pub fn quantiles(trees: &dyn Boosted, lookback: &Lookback<'_>, origin: Day, horizon: u16, books: bool) -> Result<Option<[f64; 3]>, ModelError> {
    let level = lookback.level(origin);
    if level.is_nan() {
        return Ok(None);
    }
    let mut row = Vec::with_capacity(features::COLUMNS.len());
    lookback.row(origin, horizon, books, &mut row);
    let mut out = [0.0_f32; 3];
    trees.predict_into(&row, &mut out)?;
    Ok(Some(out.map(|quantile| f64::from(quantile.max(0.0) * level))))
}
