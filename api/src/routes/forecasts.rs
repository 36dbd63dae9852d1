//! Forecasts as they are read: day by day or slot by slot, as JSON, a table or a picture, with why and how good. `months` are whole months ahead, `report` says how good
//! all forecasts were, `what_if` what would be under other rules.

pub mod months;
pub mod report;
pub mod what_if;

use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::Compress;
use actix_web::{HttpRequest, HttpResponse, get, web};
use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tornello_actors::forecaster::{AHEAD_DAYS, BUCKETS, DayForecast, Quality, Reasons, SchoolBreak, Score, SlotForecast, Source, Why};
use tornello_actors::museums::Known;
use tornello_actors::node::Node;
use tornello_engine::calendar;

use crate::auth::{Caller, Scope};
use crate::chart::{self, Point};
use crate::csv::{CsvCell, CsvForm, CsvWriter};
use crate::problem::Problem;
use crate::routes::payments::{csv_answer, wants_csv};
use crate::routes::{local, museum_of, prefers, within};

/// How many days are forecast if the caller does not say.
const DAYS: u32 = 14;

/// What moved a forecast is a hundred times as dear as the forecast: it is told for so many days at once.
const EXPLAINED_DAYS: i32 = 14;

/// By what a forecast is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Days.
    #[default]
    Day,
    /// Slots.
    Slot,
}

/// Which days.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Span {
    /// The first day in Rome; absent: today.
    #[serde(default, deserialize_with = "crate::strict::day_if")]
    #[param(value_type = Option<String>, format = Date, example = "2027-01-01")]
    from: Option<Date>,
    /// How many days, at most 60 from today.
    #[param(minimum = 1, maximum = 60, example = 14)]
    days: Option<u32>,
    /// `day` or `slot`.
    #[serde(default)]
    #[param(value_type = Option<String>, pattern = "^(day|slot)$", example = "day")]
    by: By,
}

impl Span {
    fn days(&self, node: &Node) -> Result<(Date, i32), Problem> {
        let today = calendar::local_day(node.now());
        let (from, days) = (self.from.unwrap_or(today), self.days.unwrap_or(DAYS));
        let last = today.saturating_add((AHEAD_DAYS - 1).days());
        within("days", days, AHEAD_DAYS as u32)?;
        if !(today..=last).contains(&from) {
            return Err(Problem::invalid("from: today or one of the next 59 days is expected"));
        }
        Ok((from, days as i32))
    }
}

/// A number of people with its bands.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct PeopleView {
    /// How many are expected.
    expected: f64,
    /// Eight of ten times at least so many.
    low_80: f64,
    /// Eight of ten times at most so many.
    high_80: f64,
    /// Nineteen of twenty times at least so many.
    low_95: f64,
    /// Nineteen of twenty times at most so many.
    high_95: f64,
}

/// Why. Of the model's forecast: from which number of visitors it starts and what moved it from there, which adds up to it, but for rounding. Of one from the last weeks
/// or of other sites: a level, and by which factor each thing moves it, 1 is not at all.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
pub struct WhyView {
    /// Visitors of a day over the last four weeks, or what its places and other museums say; absent where the model answers, or it is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<f64>,
    /// The kind of day: its weekday, a holiday, free entry; absent with `level`.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind_of_day: Option<f64>,
    /// The season, by the year before; absent with `level`.
    #[serde(skip_serializing_if = "Option::is_none")]
    season: Option<f64>,
    /// What stands on the books, against what usually stands there so early; absent with `level`.
    #[serde(skip_serializing_if = "Option::is_none")]
    books: Option<f64>,
    /// The same in words.
    #[schema(max_length = 600)]
    in_words: String,
    /// Visitors of an average day of an average museum of this size, from which `moved` counts; absent with `moved`.
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<f64>,
    /// What moved the model's forecast from `base`, the largest first; absent where no model answers, or when more than 14 days are asked for at once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 8)]
    moved: Vec<MovedView>,
}

/// What moved a forecast.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct MovedView {
    /// What.
    #[schema(max_length = 64)]
    what: &'static str,
    /// By how many visitors; below zero: fewer.
    visitors: f64,
}

/// The forecast of a slot.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct SlotForecastView {
    /// The slot.
    #[schema(max_length = 13)]
    slot: String,
    /// When it starts, by the clocks in Rome (RFC 3339).
    #[schema(format = DateTime)]
    starts_at: String,
    /// When it ends.
    #[schema(format = DateTime)]
    ends_at: String,
    /// Who will come; of a slot that is over, who came.
    people: PeopleView,
    /// Whether it is over.
    over: bool,
    /// Places sold so far.
    booked: u32,
    /// Its places; 0: closed.
    capacity: u32,
    /// Places that options of groups keep.
    options: u32,
    /// How many of these are expected back, as their quotes are never paid.
    options_expected_back: f64,
    /// How many of those who have booked will come, or came.
    shows: f64,
    /// The standard deviation of that.
    shows_sd: f64,
    /// Whether that was worked out `booking` by booking, by a model of those that were lost, at one `rate` for all, or is a `count`, as it is over.
    #[schema(max_length = 7)]
    shows_by: &'static str,
    /// Places that will be left for whoever comes without a ticket, at the careful end; 0 when it is over.
    walk_in: u32,
    /// How many more than the places may be sold within the risk that the planning policy allows: 0 unless it allows one, the slot is nearly full, and 30 slots of the
    /// museum were counted. Sold by itself where that policy says `sell_beyond_places`; else selling them is a manager's decision, by the slot's capacity. Never more
    /// than may be inside, where the museum has a ceiling.
    oversell: u32,
    /// The probability that anybody with a ticket is turned away if so many more are sold and nobody gives a ticket back.
    turn_away: f64,
}

/// The forecast of a day.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct DayForecastView {
    /// The day in Rome.
    #[schema(value_type = String, format = Date)]
    date: Date,
    /// Who will come, with those who came by slots that are over: 0 when it is closed.
    people: PeopleView,
    /// Places sold so far.
    booked: u32,
    /// Places of all open slots.
    capacity: u32,
    /// Who says that schools are closed on that day, as the model takes it: `told` by the region's calendar or the museum's policy; or `assumed`, as everywhere in Italy, where
    /// neither says when this break is. Absent: they are open, as far as anybody has said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 7, examples("told"))]
    school_break: Option<&'static str>,
    /// What it rests on: the `model` over all museums, the `last_weeks` of the museum where there is none, `other_sites` where nothing was counted here, the `plan` when it is closed, or `no_plan` when none holds on that day.
    #[schema(max_length = 16)]
    rests_on: &'static str,
    /// Why.
    why: WhyView,
    /// Its slots, which add up to it; only if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 2_000)]
    slots: Option<Vec<SlotForecastView>>,
}

/// How good forecasts were.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct ScoreView {
    /// Whose: the `model` over all museums, or the `last_weeks` of the museum.
    #[schema(max_length = 16)]
    of: &'static str,
    /// Made so many days before, up to the next of these.
    horizon_days: u16,
    /// On how many forecasts of one of the last days that was judged: of the `last_weeks` one for each day, of the `model` as many as were made of it so long before.
    judged_days: u32,
    /// Sum of errors, as a share of all visitors.
    wape: f64,
    /// Sum of forecast less visitors, as a share of all visitors.
    bias: f64,
    /// Share of days within the 80% band.
    covered_80: f64,
    /// The same error of who takes the same weekday of the week before.
    naive_wape: f64,
}

/// A forecast.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ForecastView {
    /// The museum's number.
    museum: u16,
    /// Its region.
    #[schema(max_length = 200)]
    region: String,
    /// As of when the books are (RFC 3339, UTC).
    #[schema(format = DateTime)]
    as_of: String,
    /// How many days of attendance are known, closed ones among them.
    known_days: u32,
    /// The days.
    #[schema(max_items = 60)]
    days: Vec<DayForecastView>,
    /// How good forecasts of this museum were.
    #[schema(max_items = 8)]
    how_good: Vec<ScoreView>,
}

/// To a tenth. A little less than nothing is 0 and not -0, which JSON can write and nobody wants to read.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0 + 0.0
}

pub(super) fn thousandths(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0 + 0.0
}

fn people(mid: f64, band_80: (f64, f64), band_95: (f64, f64)) -> PeopleView {
    let [expected, low_80, high_80, low_95, high_95] = [mid, band_80.0, band_80.1, band_95.0, band_95.1].map(rounded);
    PeopleView { expected, low_80, high_80, low_95, high_95 }
}

fn why(day: &DayForecast, why: Option<Why>) -> WhyView {
    let in_words = |words: &str| WhyView { in_words: words.to_owned(), ..WhyView::default() };
    match (day.source, why) {
        (Source::NoPlan, _) => in_words("no opening plan holds on that day"),
        (Source::Plan, _) if day.slots.is_empty() => in_words("closed by the plan"),
        (Source::Plan, _) => in_words("all slots are closed"),
        (Source::Model, Some(why)) => moved(&why),
        (Source::Model, None) => in_words("the model over all museums; what moved it is told for at most 14 days at once"),
        (Source::LastWeeks, _) => factors(&day.outlook.reasons, "visitors a day over the last four weeks"),
        (Source::Others, _) => factors(&day.outlook.reasons, "visitors a day, by its places and what other museums make of theirs"),
    }
}

/// From which number of visitors the model starts, and what moved it from there.
fn moved(why: &Why) -> WhyView {
    let base = rounded(why.base);
    let moved: Vec<MovedView> = why.moved.iter().map(|moved| MovedView { what: moved.what, visitors: rounded(moved.visitors) }).collect();
    let mut words = vec![format!("{base:.0} visitors on an average day of an average museum of this size")];
    words.extend(moved.iter().filter(|moved| moved.visitors.abs() >= 0.5).map(|moved| format!("{}: {:+.0}", moved.what, moved.visitors)));
    WhyView { in_words: words.join("; "), base: Some(base), moved, ..WhyView::default() }
}

/// A level, and by which factor each thing moves it.
fn factors(reasons: &Reasons, level_of: &str) -> WhyView {
    let Reasons { level, kind, season, books } = *reasons;
    let mut words = vec![format!("{level:.0} {level_of}")];
    for (factor, what) in [(kind, "this kind of day"), (season, "the season, by last year"), (books, "the books")] {
        if (factor - 1.0).abs() >= 0.02 {
            words.push(format!("{what}: {:+.0}%", (factor - 1.0) * 100.0));
        }
    }
    WhyView {
        level: Some(rounded(level)),
        kind_of_day: Some(thousandths(kind)),
        season: Some(thousandths(season)),
        books: Some(thousandths(books)),
        in_words: words.join("; "),
        ..WhyView::default()
    }
}

fn slot_view(slot: &SlotForecast) -> SlotForecastView {
    SlotForecastView {
        slot: slot.slot.to_string(),
        starts_at: local(slot.slot.start()),
        ends_at: local(slot.end),
        people: people(slot.mid, slot.band_80, slot.band_95),
        over: slot.came.is_some(),
        booked: slot.booked,
        capacity: slot.capacity,
        options: slot.options.0,
        options_expected_back: rounded(slot.options.1),
        shows: rounded(slot.shows.0),
        shows_sd: rounded(slot.shows.1),
        shows_by: match (slot.came, slot.by_booking) {
            (Some(_), _) => "count",
            (None, true) => "booking",
            (None, false) => "rate",
        },
        walk_in: slot.walk_in,
        oversell: slot.oversell,
        turn_away: thousandths(slot.turn_away),
    }
}

fn day_view(day: &DayForecast, explained: Option<Why>, by: By) -> DayForecastView {
    DayForecastView {
        date: day.date,
        people: people(day.outlook.mid, day.outlook.band_80, day.outlook.band_95),
        booked: day.booked,
        capacity: day.capacity,
        school_break: day.school_break.map(SchoolBreak::name),
        rests_on: day.source.name(),
        why: why(day, explained),
        slots: (by == By::Slot).then(|| day.slots.iter().map(slot_view).collect()),
    }
}

/// How good a museum's forecasts were: the model's where there is one, then those of its last weeks.
fn how_good(node: &Node, known: &Known) -> (usize, Vec<ScoreView>) {
    let (known_days, scores) = node.forecaster().scores(node, known);
    let of_model = node.forecaster().quality(known.museum.id()).into_iter().filter_map(quality_view);
    (known_days, of_model.chain(scores.iter().map(score_view)).collect())
}

/// None where nobody came on the days that were judged: nothing can be said in shares of nobody.
fn quality_view(quality: Quality) -> Option<ScoreView> {
    let Quality { bucket, champion, naive, .. } = quality;
    champion.wape().is_finite().then(|| ScoreView {
        of: "model",
        horizon_days: BUCKETS.get(usize::from(bucket)).copied().unwrap_or_default(),
        judged_days: champion.count as u32,
        wape: thousandths(champion.wape()),
        bias: thousandths(champion.bias()),
        covered_80: thousandths(champion.coverage()),
        naive_wape: thousandths(naive.wape()),
    })
}

fn score_view(score: &Score) -> ScoreView {
    ScoreView {
        of: "last_weeks",
        horizon_days: score.horizon,
        judged_days: score.days,
        wape: thousandths(score.wape),
        bias: thousandths(score.bias),
        covered_80: thousandths(score.covered_80),
        naive_wape: thousandths(score.naive_wape),
    }
}

/// Read a forecast.
///
/// Who will come on the days ahead, with bands, why, and how good such forecasts were. Slots add up to their day; those of today that are over have who came. With
/// `Accept: text/csv` a table, with `Accept: image/svg+xml` a picture.
#[utoipa::path(
    tag = "Planning", operation_id = "get_forecast", security(("key" = ["plan"])),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"), Span),
    responses((status = 200, description = "The forecast", content((ForecastView = "application/json"), (String = "text/csv"), (String = "image/svg+xml"))),
        crate::openapi::Problems),
)]
#[get("/museums/{museum}/forecast", wrap = "Compress::default()")]
pub async fn get_forecast(
    node: web::Data<Node>,
    caller: Caller,
    museum: web::Path<String>,
    span: web::Query<Span>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let known = museum_of(&node, &caller, Scope::Plan, &museum)?;
    let ((from, days), by) = (span.days(&node)?, span.by);
    let (csv, svg) = (wants_csv(&request), prefers(&request, "image/svg+xml"));
    let told = apart(move || {
        let forecast = node.forecaster().days(&node, &known, from, days);
        if csv {
            return Told::Table(table(&forecast, by));
        }
        if svg {
            let name = known.museum.profile().map_or("", |profile| profile.name.as_str());
            return Told::Picture(chart::svg(&format!("{name}: visitors expected from {from}"), &points(&forecast, by)));
        }
        let (known_days, how_good) = how_good(&node, &known);
        let explained = |day: &DayForecast| if days <= EXPLAINED_DAYS { node.forecaster().why(&node, &known, day) } else { None };
        Told::View(ForecastView {
            museum: known.museum.id().0,
            region: region(&known),
            as_of: node.now().to_string(),
            known_days: known_days as u32,
            days: forecast.iter().map(|day| day_view(day, explained(day), by)).collect(),
            how_good,
        })
    });
    Ok(told.await?.answer())
}

/// What was worked out, in the form that was asked for.
enum Told<T> {
    Table(Vec<u8>),
    Picture(String),
    View(T),
}

impl<T: Serialize> Told<T> {
    fn answer(self) -> HttpResponse {
        match self {
            Self::Table(table) => csv_answer(table),
            Self::Picture(picture) => {
                HttpResponse::Ok().insert_header((header::CONTENT_TYPE, HeaderValue::from_static("image/svg+xml"))).body(picture)
            }
            Self::View(view) => HttpResponse::Ok().json(view),
        }
    }
}

/// Works something out away from the threads that answer: a forecast costs too much to keep others waiting for it.
pub(super) async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    web::block(work).await.map_err(|_| Problem::unavailable("the forecast could not be worked out"))
}

fn region(known: &Known) -> String {
    known.museum.profile().map(|profile| profile.region.clone()).unwrap_or_default()
}

fn table(forecast: &[DayForecast], by: By) -> Vec<u8> {
    const HEADS: [&str; 11] =
        ["date", "starts_at", "expected", "low_80", "high_80", "low_95", "high_95", "booked", "capacity", "options", "options_expected_back"];
    let mut table = CsvWriter::new(CsvForm::ITALIAN, HEADS);
    let mut row = |(date, starts_at): (Date, Option<&str>), mid: f64, bands: [(f64, f64); 2], (booked, capacity): (u32, u32), options: (u32, f64)| {
        let [band_80, band_95] = bands;
        let whole = |value: f64| CsvCell::Count(value.round() as i64);
        table.row([
            CsvCell::Day(date),
            starts_at.map_or(CsvCell::Empty, CsvCell::Text),
            whole(mid),
            whole(band_80.0),
            whole(band_80.1),
            whole(band_95.0),
            whole(band_95.1),
            CsvCell::Count(i64::from(booked)),
            CsvCell::Count(i64::from(capacity)),
            CsvCell::Count(i64::from(options.0)),
            whole(options.1),
        ]);
    };
    for day in forecast {
        match by {
            By::Day => {
                let options = day.slots.iter().fold((0_u32, 0.0), |sum, slot| (sum.0.saturating_add(slot.options.0), sum.1 + slot.options.1));
                row((day.date, None), day.outlook.mid, [day.outlook.band_80, day.outlook.band_95], (day.booked, day.capacity), options);
            }
            By::Slot => {
                for slot in &day.slots {
                    let starts_at = local(slot.slot.start());
                    row((day.date, Some(starts_at.as_str())), slot.mid, [slot.band_80, slot.band_95], (slot.booked, slot.capacity), slot.options);
                }
            }
        }
    }
    table.take()
}

fn points(forecast: &[DayForecast], by: By) -> Vec<Point> {
    let day = |day: &DayForecast| Point {
        label: day.date.strftime("%d/%m").to_string(),
        mid: day.outlook.mid,
        band_80: day.outlook.band_80,
        band_95: day.outlook.band_95,
        booked: f64::from(day.booked),
    };
    let slot = |slot: &SlotForecast| Point {
        label: calendar::local(slot.slot.start()).strftime("%d/%m %H:%M").to_string(),
        mid: slot.mid,
        band_80: slot.band_80,
        band_95: slot.band_95,
        booked: f64::from(slot.booked),
    };
    match by {
        By::Day => forecast.iter().map(day).collect(),
        By::Slot => forecast.iter().flat_map(|day| day.slots.iter().map(slot)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use tornello_actors::forecaster::TrialScore;

    use super::*;

    #[test]
    fn of_days_on_which_nobody_came_no_shares_are_told() {
        let none = TrialScore::default();
        assert!(quality_view(Quality { site: 1, bucket: 0, champion: none, naive: none, median: none }).is_none());
    }
}
