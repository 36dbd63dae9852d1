//! The trained model over all museums: fitted on everything that was counted, kept beside the journal so that a start need not wait for it, asked from memory.
//!
//! It is fitted anew once a week on a thread of its own. Where there is none, or it cannot answer, the museum's own last weeks do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::ToSpan;
use jiff::civil::{Date, date};
use parking_lot::RwLock;
use tornello_engine::attendance::Attendance;
use tornello_engine::calendar;
use tornello_engine::planning::Planning;
use tornello_models::ModelError;
use tornello_models::demand::features::Lookback;
use tornello_models::demand::{self, Answered, Booked, Calendar, Day, DayFlags, LEADS, Settings, Site, Theme};
use tornello_models::outlook::History;

use super::{AHEAD_DAYS, sites};
use crate::museums::Known;

/// A model serves so many days before it is fitted anew.
const FIT_EVERY_DAYS: i32 = 7;
/// Below so many counted days in all no model is fitted.
const DAYS_MIN: usize = 60;
/// With so many times as many counted days as it was fitted on, a model is old: somebody has brought a past in.
const GROWTH: f64 = 1.2;

/// The model in force.
#[derive(Default)]
pub struct Champion {
    serving: RwLock<Option<Serving>>,
    /// Where it is kept; none: only in memory.
    file: Option<PathBuf>,
}

/// A model, and on how many counted days it was fitted.
#[derive(Clone)]
struct Serving {
    model: Arc<demand::Forecaster>,
    known: u64,
}

impl std::fmt::Debug for Champion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Champion").field("fitted_on", &self.fitted_on()).finish_non_exhaustive()
    }
}

/// What moved a forecast, and by how many visitors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moved {
    /// What, in words.
    pub what: &'static str,
    /// By how many visitors; below zero: fewer.
    pub visitors: f64,
}

impl Champion {
    /// The model that is kept in a file, if there is one that this program can read.
    #[must_use]
    pub fn kept_in(file: Option<PathBuf>) -> Self {
        let serving = file.as_deref().and_then(load);
        Self { serving: RwLock::new(serving), file }
    }

    /// The last day that it knew when it was fitted.
    #[must_use]
    pub fn fitted_on(&self) -> Option<Date> {
        self.serving.read().as_ref().map(|serving| date(1970, 1, 1).saturating_add(serving.model.fitted_on().0.days()))
    }

    /// The model, to be asked several times.
    #[must_use]
    pub fn model(&self) -> Option<Arc<demand::Forecaster>> {
        self.serving.read().as_ref().map(|serving| Arc::clone(&serving.model))
    }

    /// Fits a new one on all sites, if the one in force is old and enough was counted; answers whether it did. Takes seconds to minutes.
    pub fn fit(&self, sites: &[Site], yesterday: Day) -> Result<bool, ModelError> {
        let known: usize = sites.iter().map(|site| site.attendance.iter().filter(|visitors| !visitors.is_nan()).count()).sum();
        let is_fresh = self.serving.read().as_ref().is_some_and(|serving| {
            let age = yesterday.since(serving.model.fitted_on());
            (0..FIT_EVERY_DAYS).contains(&age) && known as f64 <= GROWTH * serving.known as f64
        });
        if is_fresh || known < DAYS_MIN {
            return Ok(false);
        }
        let settings = Settings { horizon_max: AHEAD_DAYS as u16, ..Settings::default() };
        let model = demand::Forecaster::fit(sites, yesterday, &settings, &mut |_| {})?;
        let known = known as u64;
        if let Some(file) = &self.file {
            keep(file, known, &model);
        }
        *self.serving.write() = Some(Serving { model: Arc::new(model), known });
        Ok(true)
    }
}

fn load(file: &Path) -> Option<Serving> {
    let bytes = std::fs::read(file).ok()?;
    match postcard::from_bytes::<(u64, demand::Forecaster)>(&bytes) {
        Ok((known, model)) => Some(Serving { model: Arc::new(model), known }),
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "the kept forecaster cannot be read; it is fitted anew");
            None
        }
    }
}

/// Writes the model beside its place and moves it there, so that a crash leaves the old one or the new one.
fn keep(file: &Path, known: u64, model: &demand::Forecaster) {
    let beside = file.with_extension("new");
    let written = postcard::to_allocvec(&(known, model)).map_err(std::io::Error::other).and_then(|bytes| std::fs::write(&beside, bytes));
    if let Err(error) = written.and_then(|()| std::fs::rename(&beside, file)) {
        tracing::warn!(file = %file.display(), %error, "the forecaster is not kept: a restart fits it anew");
    }
}

/// A museum as the model takes it, as known at the end of yesterday.
#[must_use]
pub fn site(known: &Known, history: &History, attendance: &Attendance, planning: &Planning) -> Site {
    let first = Day(history.first);
    let attended = history.visitors.iter().map(|visitors| visitors.map_or(f32::NAN, |visitors| visitors as f32)).collect();
    let last = Day(history.first + history.kinds.len() as i32 - 1);
    let flags = |day: Day| {
        let on = date(1970, 1, 1).saturating_add(day.0.days());
        let kind = usize::try_from(day.0 - history.first).ok().and_then(|place| history.kinds.get(place)).copied();
        let policy = planning.policy_on(on).1;
        DayFlags {
            closed: kind.is_some_and(|kind| kind.closed),
            holiday: kind.map_or_else(|| calendar::holiday(on).is_some(), |kind| kind.holiday),
            bridge: false,
            free: kind.is_some_and(|kind| kind.free),
            school_break: policy.school_breaks.iter().any(|span| span.holds(on)),
            event: policy.exhibitions.iter().any(|show| (show.from..=show.to).contains(&on)),
        }
    };
    let books = |day: i32| {
        let looks = attendance.books(date(1970, 1, 1).saturating_add(day.days()));
        let of = |lead: u16| looks.iter().find(|look| look.ahead == lead).map_or(f32::NAN, |look| look.booked as f32);
        LEADS.map(of)
    };
    let mut booked: Vec<Booked> = (history.first..=last.0).map(books).collect();
    if booked.iter().flatten().all(|look| look.is_nan()) {
        booked.clear();
    }
    let profile = known.museum.profile();
    Site {
        name: profile.map(|profile| profile.slug.to_string()).unwrap_or_default(),
        region: profile.map(|profile| profile.region.clone()).unwrap_or_default(),
        code: u32::from(known.museum.id().0),
        first,
        attendance: attended,
        calendar: Calendar::of(first, last, flags),
        books: booked,
    }
}

/// A site with what stands on the books of a day now: the newest look there is.
pub fn look(site: &mut Site, day: Day, horizon: u16, booked: u32) {
    let place = usize::try_from(day.since(site.first)).ok();
    let looks = place.and_then(|place| site.books.get_mut(place));
    if let (Some(looks), Some(lead)) = (looks, LEADS.iter().position(|lead| *lead >= horizon)) {
        looks[lead] = booked as f32;
    }
}

/// What the model says of a day, where it answers itself.
#[must_use]
pub fn ask(model: &demand::Forecaster, lookback: &Lookback<'_>, origin: Day, horizon: u16) -> Option<demand::Band> {
    if horizon == 0 || horizon > model.horizon_max() {
        return None;
    }
    match model.day(lookback, origin, horizon) {
        Ok(forecast) if forecast.by == Answered::Trees => Some(forecast.band),
        Ok(_) => None,
        Err(error) => {
            tracing::warn!(%error, "the forecaster does not answer; the last weeks do");
            None
        }
    }
}

/// What moved a forecast of the model, the largest first.
#[must_use]
pub fn reasons(model: &demand::Forecaster, site: &Site, origin: Day, horizon: u16) -> Vec<Moved> {
    let words = |theme: Theme| match theme {
        Theme::Calendar => "weekday and season",
        Theme::Holidays => "holidays, free entry, school breaks and exhibitions",
        Theme::LastWeeks => "the last weeks",
        Theme::LastYear => "the year before",
        Theme::Level => "the size of the museum",
        Theme::Horizon => "how far ahead it is",
        Theme::Books => "the books",
    };
    let found = if horizon == 0 || horizon > model.horizon_max() { Ok(Vec::new()) } else { model.reasons(site, origin, horizon) };
    found.unwrap_or_default().into_iter().map(|reason| Moved { what: words(reason.theme), visitors: reason.visitors }).collect()
}

/// The number of a day, as the model counts.
#[must_use]
pub fn day(on: Date) -> Day {
    Day(sites::number(on))
}
