//! The trained model over all museums: fitted on everything that was counted, kept beside the journal so that a start need not wait for it, asked from memory.
//!
//! A new one is fitted every week on a thread of its own and does not serve: it is on trial. Two weeks later, or when enough has come, it is held against the model in
//! force on the days since, which neither has seen, beside the two plainest floors; and it takes over if it is better by more than a hundredth and hurts no region. The
//! model that served before is kept, and comes back in the same way. Where there is none, or it cannot answer, the museum's own last weeks do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::ToSpan;
use jiff::civil::{Date, date};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tornello_engine::attendance::Look;
use tornello_engine::calendar;
use tornello_engine::planning::Planning;
use tornello_models::ModelError;
use tornello_models::demand::backtest::{self, Contest, Trial};
use tornello_models::demand::bands::next_share;
use tornello_models::demand::features::Lookback;
use tornello_models::demand::{self, Answered, Booked, Calendar, Day, DayFlags, LEADS, Settings, Site, Theme};
use tornello_models::outlook::History;
use tornello_models::score::Score;

use super::school_breaks::RegionBreaks;
use super::{AHEAD_DAYS, sites};
use crate::museums::Known;
use crate::secret_file;

/// Every so many days a model is fitted.
const FIT_EVERY_DAYS: i32 = 7;
/// So many days a model is on trial: what it forecasts a day, a week and nearly two weeks ahead is judged.
const TRIAL_DAYS: i32 = 14;
/// Where few museums are counted a trial goes on until enough outcomes are known, but no longer than so many days.
const TRIAL_DAYS_MAX: i32 = 56;
/// On so many of the newest days two models are held against each other at once when somebody has brought a past in, and what was served is looked at for the next bands.
const CONTEST_DAYS: i32 = 56;
/// Every so many of them is an origin then.
const CONTEST_EVERY: usize = 7;
/// Below so many counted days in all no model is fitted.
const DAYS_MIN: usize = 60;
/// With so many times as many counted days as it was fitted on, a model is old: somebody has brought a past in.
const GROWTH: f64 = 1.2;
/// A first model that errs by more than so many times as much as the plainest floor, and by so large a share of visitors more, does not serve. Less may be chance.
const FLOOR_TIMES: f64 = 1.25;
const FLOOR_MORE: f64 = 0.02;
/// So many trials are remembered.
const REMEMBERED: usize = 26;
/// How a file begins that holds more than a model.
const MAGIC: &[u8; 8] = b"TORNFCS2";

/// What became of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was the first, and serves.
    First,
    /// It was the first, and the plainest floor was clearly better, or nothing could be judged of it yet: the last weeks serve on.
    FloorStays,
    /// It is on trial.
    OnTrial,
    /// It has beaten the model in force, and serves in its place.
    TookOver,
    /// It had served before, has beaten the model in force, and serves again.
    CameBack,
    /// It has not beaten the model in force, which serves on.
    ChampionStays,
}

impl Verdict {
    /// The name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::FloorStays => "floor_stays",
            Self::OnTrial => "on_trial",
            Self::TookOver => "took_over",
            Self::CameBack => "came_back",
            Self::ChampionStays => "champion_stays",
        }
    }
}

/// What was judged of a model, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// The last day that was known then.
    pub on: Date,
    /// The last day that the model knew.
    pub fitted_on: Date,
    /// What became of it.
    pub verdict: Verdict,
    /// The days that it was judged on; none: there was nothing to judge it on.
    pub days: Option<(Date, Date)>,
    /// The model that was in force, on these days; none: there was none.
    pub champion: Option<Score>,
    /// The model itself. Of a past that was brought in, one of the same making that had not seen these days.
    pub challenger: Option<Score>,
    /// Who takes the last same weekday again.
    pub naive: Option<Score>,
    /// Who takes the median of the last eight same weekdays.
    pub median: Option<Score>,
}

/// The model in force, those on trial, and the one that served before.
#[derive(Default)]
pub struct Champion {
    held: RwLock<Held>,
    /// Where they are kept; none: only in memory.
    file: Option<PathBuf>,
}

#[derive(Clone, Default)]
struct Held {
    serving: Option<Fitted>,
    /// The oldest first.
    on_trial: Vec<Fitted>,
    before: Option<Fitted>,
    /// The oldest first.
    judged: Vec<Judged>,
}

/// A model, and on how many counted days it was fitted.
#[derive(Clone)]
struct Fitted {
    model: Arc<demand::Forecaster>,
    known: u64,
}

impl Fitted {
    fn on(&self) -> Day {
        self.model.fitted_on()
    }
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

/// Why a forecast of the model is what it is: base and what moved it from there add up to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Why {
    /// Visitors of an average day of an average museum of this size.
    pub base: f64,
    /// What moved it, the largest first.
    pub moved: Vec<Moved>,
}

impl Champion {
    /// The models that are kept in a file, if there is one that this program can read.
    #[must_use]
    pub fn kept_in(file: Option<PathBuf>) -> Self {
        let held = file.as_deref().and_then(load).unwrap_or_default();
        Self { held: RwLock::new(held), file }
    }

    /// The last day that the model in force knew when it was fitted.
    #[must_use]
    pub fn fitted_on(&self) -> Option<Date> {
        self.held.read().serving.as_ref().map(|serving| dated(serving.on()))
    }

    /// The model in force, to be asked several times.
    #[must_use]
    pub fn model(&self) -> Option<Arc<demand::Forecaster>> {
        self.held.read().serving.as_ref().map(|serving| Arc::clone(&serving.model))
    }

    /// What was judged lately, the newest first.
    #[must_use]
    pub fn judged(&self) -> Vec<Judged> {
        self.held.read().judged.iter().rev().cloned().collect()
    }

    /// Judges whose trial is over, and fits a new model on all sites if it is time and enough was counted; answers whether it did. Takes seconds to minutes.
    pub fn fit(&self, sites: &[Site], yesterday: Day) -> Result<bool, ModelError> {
        let known: usize = sites.iter().map(|site| site.attendance.iter().filter(|visitors| !visitors.is_nan()).count()).sum();
        if known < DAYS_MIN {
            return Ok(false);
        }
        let known = known as u64;
        let mut held = self.held.read().clone();
        let begun = held.judged.len();
        let (mut judged, mut fitted) = (held.end_trials(sites, yesterday)?, false);
        if held.is_due(known, yesterday) {
            held.fit(sites, known, yesterday)?;
            (judged, fitted) = (true, true);
        }
        if judged {
            held.judged[begun.min(held.judged.len())..].iter().for_each(tell);
            held.judged.drain(..held.judged.len().saturating_sub(REMEMBERED));
            if let Some(file) = &self.file {
                keep(file, &held);
            }
            *self.held.write() = held;
        }
        Ok(fitted)
    }
}

impl Held {
    /// Holds every model whose trial is over against the one in force; answers whether there was one.
    fn end_trials(&mut self, sites: &[Site], yesterday: Day) -> Result<bool, ModelError> {
        // A clock that was set back leaves models behind that know more than there is: nothing judges them.
        self.on_trial.retain(|fitted| fitted.on() <= yesterday);
        let mut any = false;
        let mut next = 0;
        while let (Some(challenger), Some(champion)) = (self.on_trial.get(next).cloned(), self.serving.clone()) {
            // Neither has seen what came after both were fitted.
            let from = challenger.on().max(champion.on()).max(yesterday.plus(-CONTEST_DAYS));
            let (lasted, may_wait) = (yesterday.since(from) >= TRIAL_DAYS, yesterday.since(challenger.on()) < TRIAL_DAYS_MAX);
            if !lasted && may_wait {
                // Nor has any that is younger been on trial for longer.
                break;
            }
            // The one before takes part unless it has seen some of these days.
            let before = self.before.clone().filter(|before| before.on() <= from);
            let models: Vec<&demand::Forecaster> =
                [Some(&champion), Some(&challenger), before.as_ref()].into_iter().flatten().map(|fitted| &*fitted.model).collect();
            let regions: Vec<Trial> = backtest::trial(sites, &models, from, yesterday, 1)?.into_values().collect();
            let wins = |place: usize| {
                let contest = |trial: &Trial| Contest { champion: trial.models[0], challenger: trial.models[place] };
                lasted && backtest::promotes(&regions.iter().map(contest).collect::<Vec<_>>())
            };
            let sum = summed(&regions, models.len());
            if sum.models[0].count < backtest::OUTCOMES_MIN && may_wait {
                next += 1;
                continue;
            }
            self.on_trial.remove(next);
            any = true;
            let comes_back = models.len() > 2 && wins(2) && !(wins(1) && sum.models[1].sql() <= sum.models[2].sql());
            let verdict = if wins(1) && !comes_back { Verdict::TookOver } else { Verdict::ChampionStays };
            self.judged.push(record(yesterday, challenger.on(), verdict, Some(from), Some(&sum), 1));
            match (verdict, before.filter(|_| comes_back)) {
                (Verdict::TookOver, _) => self.take_over(challenger),
                (_, Some(before)) => {
                    self.judged.push(record(yesterday, before.on(), Verdict::CameBack, Some(from), Some(&sum), 2));
                    self.take_over(before);
                }
                _ => continue,
            }
            // Those that wait are held against another one now.
            next = 0;
        }
        Ok(any)
    }

    /// Puts a model in force. Those on trial that know no more than it does are of no use.
    fn take_over(&mut self, fitted: Fitted) {
        self.on_trial.retain(|other| other.on() > fitted.on());
        self.before = self.serving.replace(fitted);
    }

    /// A model without trees answers nothing: it counts as none. Without one in force nothing is on trial.
    fn drop_treeless(&mut self) {
        let answers = |fitted: &Fitted| fitted.model.has_trees();
        self.serving = self.serving.take().filter(answers);
        self.before = self.before.take().filter(answers);
        self.on_trial.retain(answers);
        if self.serving.is_none() {
            self.on_trial.clear();
        }
    }

    /// Whether a model is to be fitted: the newest one is a week old, or knows much less than there is by now.
    fn is_due(&self, known: u64, yesterday: Day) -> bool {
        let refused = self.judged.last().filter(|judged| judged.verdict == Verdict::FloorStays);
        let Some(newest) = self.on_trial.last().or(self.serving.as_ref()) else {
            // One of which nothing could be judged is tried again each night.
            let age = |judged: &Judged| yesterday.since(day(judged.fitted_on));
            return refused.is_none_or(|judged| judged.challenger.is_none() || !(0..FIT_EVERY_DAYS).contains(&age(judged)));
        };
        !(0..FIT_EVERY_DAYS).contains(&yesterday.since(newest.on())) || known as f64 > GROWTH * newest.known as f64
    }

    fn fit(&mut self, sites: &[Site], known: u64, yesterday: Day) -> Result<(), ModelError> {
        let plain = Settings { horizon_max: AHEAD_DAYS as u16, ..Settings::default() };
        let settings = match &self.serving {
            Some(champion) => Settings { share_80: self.share_80(champion, sites, yesterday)?, ..plain },
            None => plain,
        };
        // Not after an older fit (`fit_after`), which would spare half the work: its trees are those that would be grown now only where it was made 84 days before to the day
        // and museums knew then what they know of those days today. Of what is kept only the one in force and the one before it get so old, for one fit in twelve; and a past
        // that was brought in, a plan that was corrected, a museum that is new or a day that has passed out of sight since makes other trees of it, which nobody would notice.
        // All there is to spare is an eighth of a second for each museum, once a week, on a thread that nobody waits for.
        let fit = |until: Day| demand::Forecaster::fit(sites, until, &settings, &mut |_| {});
        let fitted = Fitted { model: Arc::new(fit(yesterday)?), known };
        let Some(champion) = self.serving.clone() else {
            let mut sum = Trial::of(1);
            for line in fitted.model.quality() {
                sum.add(&Trial { models: vec![line.champion], naive: line.naive, median: line.median });
            }
            let was_judged = fitted.model.has_trees() && sum.models[0].count > 0;
            let is_worse = sum.models[0].wape() > FLOOR_TIMES * sum.median.wape() + FLOOR_MORE;
            let verdict = if !was_judged || is_worse { Verdict::FloorStays } else { Verdict::First };
            // Of many nights on which nothing could be judged the last one is remembered.
            self.judged.pop_if(|last| last.verdict == Verdict::FloorStays && last.challenger.is_none());
            let judged = record(yesterday, yesterday, verdict, None, was_judged.then_some(&sum), 0);
            self.judged.push(Judged { champion: None, ..judged });
            if verdict == Verdict::First {
                self.serving = Some(fitted);
            }
            return Ok(());
        };
        if !fitted.model.has_trees() {
            // Less is known than was: the one in force stays.
            return Ok(());
        }
        // Who has brought a past in does not wait: a model of the same making without the last eight weeks is held against the one in force, which may have seen them.
        if known as f64 > GROWTH * champion.known as f64 {
            let from = yesterday.plus(-CONTEST_DAYS);
            let unseeing = fit(from)?;
            let regions: Vec<Trial> = backtest::trial(sites, &[&champion.model, &unseeing], from, yesterday, CONTEST_EVERY)?.into_values().collect();
            let contest = |trial: &Trial| Contest { champion: trial.models[0], challenger: trial.models[1] };
            let wins = backtest::promotes(&regions.iter().map(contest).collect::<Vec<_>>());
            let verdict = if wins { Verdict::TookOver } else { Verdict::OnTrial };
            self.judged.push(record(yesterday, yesterday, verdict, Some(from), Some(&summed(&regions, 2)), 1));
            if wins {
                self.take_over(fitted);
                return Ok(());
            }
        } else {
            self.judged.push(record(yesterday, yesterday, Verdict::OnTrial, None, None, 0));
        }
        self.on_trial.push(fitted);
        Ok(())
    }

    /// The share of held-out days that the next bands are fitted to hold, from how often those that were served did.
    fn share_80(&self, champion: &Fitted, sites: &[Site], yesterday: Day) -> Result<f64, ModelError> {
        let from = champion.on().max(yesterday.plus(-CONTEST_DAYS)).min(yesterday);
        let regions: Vec<Trial> = backtest::trial(sites, &[&champion.model], from, yesterday, 1)?.into_values().collect();
        let served = summed(&regions, 1).models[0];
        // Forecasts of one day from several origins err alike: they count as one.
        let days = u64::from(yesterday.since(from).unsigned_abs()).max(1);
        let held = if served.count > 0 { (served.coverage() * days as f64).round() as u64 } else { 0 };
        Ok(next_share(champion.model.share_80(), held, if served.count > 0 { days } else { 0 }))
    }
}

fn summed(regions: &[Trial], models: usize) -> Trial {
    regions.iter().fold(Trial::of(models), |mut sum, region| {
        sum.add(region);
        sum
    })
}

fn dated(day: Day) -> Date {
    date(1970, 1, 1).saturating_add(day.0.days())
}

/// What was judged of the model that stands at `place`.
fn record(yesterday: Day, fitted_on: Day, verdict: Verdict, from: Option<Day>, sum: Option<&Trial>, place: usize) -> Judged {
    Judged {
        on: dated(yesterday),
        fitted_on: dated(fitted_on),
        verdict,
        days: from.map(|from| (dated(from.plus(1)), dated(yesterday))),
        champion: sum.and_then(|sum| sum.models.first().copied()),
        challenger: sum.and_then(|sum| sum.models.get(place).copied()),
        naive: sum.map(|sum| sum.naive),
        median: sum.map(|sum| sum.median),
    }
}

fn tell(judged: &Judged) {
    let sql = |score: Option<Score>| score.map(|score| (score.sql() * 10_000.0).round() / 10_000.0);
    let (champion, challenger) = (sql(judged.champion), sql(judged.challenger));
    tracing::info!(verdict = judged.verdict.name(), fitted_on = %judged.fitted_on, champion, challenger, "a forecaster was judged");
}

/// A model as a file has it: on how many counted days it was fitted, and itself.
type Kept = (u64, demand::Forecaster);
/// The model in force, those on trial, the one before, and what was judged.
type KeptAll = (Option<Kept>, Vec<Kept>, Option<Kept>, Vec<Judged>);

fn load(file: &Path) -> Option<Held> {
    let bytes = std::fs::read(file).ok()?;
    let fitted = |(known, model)| Fitted { model: Arc::new(model), known };
    let read = match bytes.strip_prefix(MAGIC) {
        Some(bytes) => postcard::from_bytes::<KeptAll>(bytes).map(|(serving, on_trial, before, judged)| Held {
            serving: serving.map(fitted),
            on_trial: on_trial.into_iter().map(fitted).collect(),
            before: before.map(fitted),
            judged,
        }),
        // As it was before there were trials.
        None => postcard::from_bytes::<Kept>(&bytes).map(|kept| Held { serving: Some(fitted(kept)), ..Held::default() }),
    };
    match read {
        Ok(mut held) => {
            held.drop_treeless();
            Some(held)
        }
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "the kept forecaster cannot be read; it is fitted anew");
            None
        }
    }
}

fn kept(fitted: &Fitted) -> (u64, &demand::Forecaster) {
    (fitted.known, &fitted.model)
}

/// Puts the models in the place of those before, so that a crash leaves the old ones or the new ones.
fn keep(file: &Path, held: &Held) {
    let parts = (held.serving.as_ref().map(kept), held.on_trial.iter().map(kept).collect::<Vec<_>>(), held.before.as_ref().map(kept), &held.judged);
    let written =
        postcard::to_allocvec(&parts).map_err(std::io::Error::other).and_then(|body| Ok(secret_file::replace(file, &[&MAGIC[..], &body].concat())?));
    if let Err(error) = written {
        tracing::warn!(file = %file.display(), %error, "the forecasters are not kept: a restart fits anew");
    }
}

/// A museum as the model takes it, as known at the end of yesterday. School breaks are those that are known now, of days past as well: regions tell them months
/// before.
#[must_use]
pub fn site(known: &Known, history: &History, planning: &Planning, breaks: RegionBreaks<'_>, looks: impl Fn(Date) -> Vec<Look>) -> Site {
    let profile = known.museum.profile();
    let region = profile.map(|profile| profile.region.clone()).unwrap_or_default();
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
            school_break: breaks.on(&policy.school_breaks, on).is_some(),
            event: policy.exhibitions.iter().any(|show| (show.from..=show.to).contains(&on)),
        }
    };
    let calendar = Calendar::of(first, last, flags);
    let books = |day: i32| {
        let looks = looks(date(1970, 1, 1).saturating_add(day.days()));
        let of = |lead: u16| looks.iter().find(|look| look.ahead == lead).map_or(f32::NAN, |look| look.booked as f32);
        LEADS.map(of)
    };
    let mut booked: Vec<Booked> = (history.first..=last.0).map(books).collect();
    if booked.iter().flatten().all(|look| look.is_nan()) {
        booked.clear();
    }
    Site {
        name: profile.map(|profile| profile.slug.to_string()).unwrap_or_default(),
        region,
        code: u32::from(known.museum.id().0),
        first,
        attendance: attended,
        calendar,
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

/// Why the model's forecast is what it is; none where it does not answer.
#[must_use]
pub fn why(model: &demand::Forecaster, site: &Site, origin: Day, horizon: u16) -> Option<Why> {
    let words = |theme: Theme| match theme {
        Theme::Calendar => "weekday and season",
        Theme::Holidays => "holidays, free entry, school breaks and exhibitions",
        Theme::LastWeeks => "the last weeks",
        Theme::LastYear => "the year before",
        Theme::Level => "the size of the museum",
        Theme::Horizon => "how far ahead it is",
        Theme::Books => "the books",
    };
    if horizon == 0 || horizon > model.horizon_max() {
        return None;
    }
    let why = model.why(site, origin, horizon).ok().flatten()?;
    let moved = why.reasons.into_iter().map(|reason| Moved { what: words(reason.theme), visitors: reason.visitors }).collect();
    Some(Why { base: why.base, moved })
}

/// The number of a day, as the model counts.
#[must_use]
pub fn day(on: Date) -> Day {
    Day(sites::number(on))
}

#[cfg(test)]
mod tests {
    use tornello_engine::planning::policy::Span;

    use super::*;
    use crate::forecaster::SchoolBreaks;

    /// The last day of the first fit.
    const BEGIN: Day = Day::of(2026, 6, 1);
    const DAYS: i32 = 260;
    /// How free days are in one world, and in another.
    const DRAWS: f32 = 3.0;
    const REPELS: f32 = 0.2;

    fn is_free(day: Day) -> bool {
        day.date().2.is_multiple_of(5)
    }

    /// Four museums in two regions: Saturdays draw twice as many, free days, every fifth of a month, so many times as many, with a little chance. Only a model knows of
    /// free days: no floor does.
    fn sites(last: Day, free: f32) -> Vec<Site> {
        let first = BEGIN.plus(-DAYS);
        let site = |code: u32| {
            let visitors = |day: i32| {
                let day = Day(day);
                let chance = (i64::from(day.0) * 7_919 * i64::from(code + 3) % 97) as f32 / 97.0;
                (80.0 + 40.0 * code as f32)
                    * if day.weekday() == 5 { 2.0 } else { 1.0 }
                    * if is_free(day) { free } else { 1.0 }
                    * (0.9 + 0.2 * chance)
            };
            Site {
                name: format!("site {code}"),
                region: format!("region {}", code % 2),
                code,
                first,
                attendance: (first.0..=last.0).map(visitors).collect(),
                calendar: Calendar::of(first, last.plus(60), |day| DayFlags { free: is_free(day), ..DayFlags::default() }),
                books: Vec::new(),
            }
        };
        (0..4).map(site).collect()
    }

    /// Only the newest days of these sites.
    fn newest(last: Day, days: i32) -> Vec<Site> {
        let short =
            |site: Site| Site { first: last.plus(1 - days), attendance: site.attendance[site.attendance.len() - days as usize..].to_vec(), ..site };
        sites(last, DRAWS).into_iter().map(short).collect()
    }

    /// A model that was fitted so many days after the first, on too little for trees.
    fn treeless(day: i32) -> Fitted {
        let on = BEGIN.plus(day);
        let model = demand::Forecaster::fit(&newest(on, 20), on, &Settings { horizon_max: AHEAD_DAYS as u16, ..Settings::default() }, &mut |_| {});
        let model = model.unwrap();
        assert!(!model.has_trees());
        Fitted { model: Arc::new(model), known: 80 }
    }

    /// The break is nothing but its flag: no week, month or year tells of it.
    #[test]
    fn a_break_that_is_known_moves_the_forecast_of_its_day() {
        let breaks = {
            let mut breaks = SchoolBreaks::default();
            for (from, to) in [
                (-250, -241),
                (-222, -217),
                (-196, -190),
                (-171, -169),
                (-140, -131),
                (-108, -104),
                (-85, -75),
                (-62, -50),
                (-33, -28),
                (-15, -11),
                (3, 8),
            ] {
                assert!(breaks.add("Lazio", Span { from: dated(BEGIN.plus(from)), to: dated(BEGIN.plus(to)) }));
            }
            breaks
        };
        let is_break = |day: Day| breaks.of("Lazio").on(&[], dated(day)).is_some();
        let first = BEGIN.plus(-DAYS);
        let calendar =
            |known: &dyn Fn(Day) -> bool| Calendar::of(first, BEGIN.plus(60), |day| DayFlags { school_break: known(day), ..DayFlags::default() });
        let mut sites = sites(BEGIN, 1.0);
        for site in &mut sites {
            site.calendar = calendar(&is_break);
            for (ahead, visitors) in (0..).zip(&mut site.attendance) {
                *visitors *= if is_break(first.plus(ahead)) { DRAWS } else { 1.0 };
            }
        }
        let model = demand::Forecaster::fit(&sites, BEGIN, &Settings::default(), &mut |_| {}).unwrap();
        let asked = |site: &Site| ask(&model, &Lookback::new(site), BEGIN, 5).expect("the trees answer").median;
        let unknown = Site { calendar: calendar(&|day| day <= BEGIN && is_break(day)), ..sites[0].clone() };
        let (known, unknown) = (asked(&sites[0]), asked(&unknown));
        assert!(known > 1.4 * unknown, "{known} with the break, {unknown} without");
    }

    /// Of two models the one wins that was fitted on the world as it is now, three weeks after the first fit, on days that neither has seen.
    #[test]
    fn a_world_that_has_changed_is_noticed_in_two_weeks() {
        let fitted = |last: Day, free: f32| demand::Forecaster::fit(&sites(last, free), last, &Settings::default(), &mut |_| {}).unwrap();
        let (draws, repels) = (fitted(BEGIN, DRAWS), fitted(BEGIN.plus(7), REPELS));
        let wins = |free: f32, champion: &demand::Forecaster, challenger: &demand::Forecaster| {
            let to = BEGIN.plus(21);
            let regions = backtest::trial(&sites(to, free), &[champion, challenger], BEGIN.plus(7), to, 1).unwrap();
            let contest = |trial: &Trial| Contest { champion: trial.models[0], challenger: trial.models[1] };
            backtest::promotes(&regions.values().map(contest).collect::<Vec<_>>())
        };
        assert!(wins(REPELS, &draws, &repels) && !wins(REPELS, &repels, &draws));
        assert!(wins(DRAWS, &repels, &draws) && !wins(DRAWS, &draws, &repels));
    }

    #[test]
    fn what_cannot_be_judged_does_not_serve_and_is_tried_again_each_night() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("forecaster.model");
        let champion = Champion::kept_in(Some(file.clone()));
        // Too little for trees, and then too little to hold anything back.
        for days in [20, 21, 80] {
            let last = BEGIN.plus(days - 80);
            assert!(champion.fit(&newest(last, days), last).unwrap());
            assert_eq!((verdicts(&champion), champion.fitted_on()), (vec![Verdict::FloorStays], None));
            assert_eq!((champion.judged()[0].fitted_on, champion.judged()[0].challenger), (dated(last), None));
        }
        assert!(champion.fit(&sites(BEGIN, DRAWS), BEGIN).unwrap());
        assert_eq!((verdicts(&champion), champion.fitted_on()), (vec![Verdict::First], Some(dated(BEGIN))));
        // One that an earlier program has put in force counts as none.
        keep(&file, &Held { serving: Some(treeless(0)), on_trial: vec![treeless(7)], ..Held::default() });
        let champion = Champion::kept_in(Some(file));
        assert!(champion.fitted_on().is_none() && champion.model().is_none());
        assert!(champion.fit(&sites(BEGIN, DRAWS), BEGIN).unwrap());
        assert_eq!((verdicts(&champion), champion.fitted_on()), (vec![Verdict::First], Some(dated(BEGIN))));
    }

    #[test]
    fn one_museum_is_on_trial_until_enough_is_known() {
        let champion = Champion::default();
        let night = |day: i32, free| champion.fit(&sites(BEGIN.plus(day), free)[..1], BEGIN.plus(day)).unwrap();
        assert!(night(0, DRAWS) && night(7, REPELS) && night(21, REPELS));
        assert_eq!(verdicts(&champion), [Verdict::First, Verdict::OnTrial, Verdict::OnTrial], "105 outcomes prove nothing");
        night(27, REPELS);
        let judged = champion.judged().remove(0);
        assert_eq!((judged.verdict, judged.challenger.unwrap().count), (Verdict::TookOver, 210), "{judged:?}");
        assert_eq!(champion.fitted_on(), Some(dated(BEGIN.plus(7))));
    }

    #[test]
    fn a_trial_waits_for_days_and_outcomes_but_not_for_ever() {
        let mut held = Held { serving: Some(treeless(0)), on_trial: vec![treeless(1)], ..Held::default() };
        assert!(!held.end_trials(&[], BEGIN.plus(TRIAL_DAYS_MAX)).unwrap() && held.on_trial.len() == 1);
        assert!(held.end_trials(&[], BEGIN.plus(1 + TRIAL_DAYS_MAX)).unwrap() && held.on_trial.is_empty());
        assert_eq!(held.judged[0].verdict, Verdict::ChampionStays);

        // Which takes over at once knows more than those that are older.
        let mut held = Held { serving: Some(treeless(0)), on_trial: vec![treeless(3), treeless(9)], ..Held::default() };
        held.take_over(treeless(7));
        assert_eq!(held.on_trial.iter().map(Fitted::on).collect::<Vec<_>>(), [BEGIN.plus(9)]);
        assert_eq!(held.before.as_ref().map(Fitted::on), Some(BEGIN));

        // Days that either model knew do not count.
        let mut held = Held { serving: Some(treeless(10)), on_trial: vec![treeless(5)], before: Some(treeless(12)), ..Held::default() };
        let night = |held: &mut Held, day: i32| held.end_trials(&sites(BEGIN.plus(day), DRAWS), BEGIN.plus(day)).unwrap();
        assert!(!night(&mut held, 23) && held.on_trial.len() == 1);
        assert!(night(&mut held, 24) && held.on_trial.is_empty() && held.judged.len() == 1);
        assert_eq!(held.judged[0].days, Some((dated(BEGIN.plus(11)), dated(BEGIN.plus(24)))));
    }

    fn verdicts(champion: &Champion) -> Vec<Verdict> {
        let mut verdicts: Vec<Verdict> = champion.judged().iter().map(|judged| judged.verdict).collect();
        verdicts.reverse();
        verdicts
    }

    #[test]
    fn a_new_model_is_on_trial_and_one_that_is_no_better_does_not_serve() {
        let champion = Champion::default();
        let night_of = |day: i32, free| champion.fit(&sites(BEGIN.plus(day), free), BEGIN.plus(day)).unwrap();
        let night = |day| night_of(day, DRAWS);
        // What is fitted on the seventh day has learned a world that is not this one.
        assert!(night(0) && !night(3) && night_of(7, REPELS) && !night(8) && night(14));
        assert_eq!((verdicts(&champion), champion.fitted_on()), (vec![Verdict::First, Verdict::OnTrial, Verdict::OnTrial], Some(dated(BEGIN))));
        // Two weeks after its fit the first of them is judged, on days that neither had seen; a new one is fitted that night.
        assert!(night(21));
        let judged = champion.judged().into_iter().find(|judged| judged.verdict == Verdict::ChampionStays).expect("a trial has ended");
        assert_eq!((judged.fitted_on, judged.days), (dated(BEGIN.plus(7)), Some((dated(BEGIN.plus(8)), dated(BEGIN.plus(21))))));
        let [champion_score, challenger, naive, median] =
            [judged.champion, judged.challenger, judged.naive, judged.median].map(|score| score.unwrap());
        assert!(champion_score.count == 4 * 105 && champion_score.count == challenger.count && naive.count == challenger.count);
        assert!(challenger.sql() > 0.99 * champion_score.sql() && naive.sql() > 0.0 && median.sql() > 0.0, "{judged:?}");
        assert_eq!(champion.fitted_on(), Some(dated(BEGIN)), "what is no better changes nothing");
    }

    #[test]
    fn a_better_model_takes_over_and_the_one_before_is_kept_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("forecaster.model");
        let champion = Champion::kept_in(Some(file.clone()));
        // The model in force was fitted on a world in which free days draw, and nobody comes on them since.
        assert!(champion.fit(&sites(BEGIN, DRAWS), BEGIN).unwrap());
        let night = |champion: &Champion, day: i32, free| champion.fit(&sites(BEGIN.plus(day), free), BEGIN.plus(day)).unwrap();
        assert!(night(&champion, 7, REPELS));
        // A restart forgets nothing.
        let champion = Champion::kept_in(Some(file.clone()));
        assert_eq!((verdicts(&champion), champion.fitted_on()), (vec![Verdict::First, Verdict::OnTrial], Some(dated(BEGIN))));
        night(&champion, 21, REPELS);
        let took_over = champion.judged().into_iter().find(|judged| judged.verdict == Verdict::TookOver).expect("it is better");
        assert!(took_over.challenger.unwrap().sql() < 0.99 * took_over.champion.unwrap().sql());
        assert_eq!(champion.fitted_on(), Some(dated(BEGIN.plus(7))));
        // The world is again as it was: what served before is better than what serves, and than what was fitted meanwhile.
        let champion = Champion::kept_in(Some(file));
        night(&champion, 35, DRAWS);
        assert_eq!(champion.fitted_on(), Some(dated(BEGIN)), "{:?}", verdicts(&champion));
        assert!(verdicts(&champion).contains(&Verdict::CameBack));
    }

    #[test]
    fn a_past_that_is_brought_in_is_judged_at_once() {
        let champion = Champion::default();
        let (last, short) = (BEGIN.plus(0), 190);
        assert!(champion.fit(&newest(last, short), last).unwrap());
        assert_eq!(verdicts(&champion), [Verdict::First]);
        assert!(champion.fit(&sites(last, DRAWS), last).unwrap(), "much more is known");
        let newest = champion.judged().remove(0);
        assert!(matches!(newest.verdict, Verdict::TookOver | Verdict::OnTrial), "{newest:?}");
        assert_eq!(newest.days, Some((dated(last.plus(1 - CONTEST_DAYS)), dated(last))));
        assert!(newest.challenger.is_some() && newest.naive.is_some());
    }

    #[test]
    fn where_the_plainest_floor_is_better_no_model_serves_and_a_week_later_it_is_tried_again() {
        let champion = Champion::default();
        // Each day is as eight weeks of its weekday were, until the last 84 days go their own way and nothing that was learned holds.
        let mut sites = sites(BEGIN, DRAWS);
        for site in &mut sites {
            let known = site.attendance.len() - 84;
            for (place, visitors) in site.attendance[known..].iter_mut().enumerate() {
                *visitors = if place % 7 < 3 { 900.0 } else { 20.0 } + site.code as f32;
            }
        }
        let fitted = champion.fit(&sites, BEGIN).unwrap();
        let judged = champion.judged().remove(0);
        let (model, floor) = (judged.challenger.unwrap(), judged.median.unwrap());
        assert!(fitted && (judged.verdict == Verdict::FloorStays) == (model.wape() > FLOOR_TIMES * floor.wape() + FLOOR_MORE), "{judged:?}");
        assert_eq!(champion.model().is_none(), judged.verdict == Verdict::FloorStays);
        assert!(!champion.fit(&sites, BEGIN.plus(1)).unwrap());
    }

    #[test]
    fn a_file_as_it_was_before_there_were_trials_is_read_and_garbage_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("forecaster.model");
        let champion = Champion::default();
        champion.fit(&sites(BEGIN, DRAWS), BEGIN).unwrap();
        std::fs::write(&file, postcard::to_allocvec(&(7_u64, &*champion.model().unwrap())).unwrap()).unwrap();
        assert_eq!(Champion::kept_in(Some(file.clone())).fitted_on(), Some(dated(BEGIN)));
        for garbage in [&b""[..], b"TORNFCS2", b"TORNFCS2\x01garbage", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"] {
            std::fs::write(&file, garbage).unwrap();
            assert_eq!(Champion::kept_in(Some(file.clone())).fitted_on(), None);
        }
    }
}
