//! Forecasts as they are read: day by day or slot by slot, as JSON, a table or a picture, with why and how good; and what would be under other rules.

use actix_web::http::header::{self, HeaderValue};
use actix_web::middleware::Compress;
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tornello_actors::forecaster::{
    AHEAD_DAYS, BUCKETS, Card, DayForecast, Expected, Judged, LapseCard, MONTHS_MAX, MonthForecast, Quality, Reasons, SchoolBreak, Score,
    SlotForecast, Source, TrialScore, Why,
};
use tornello_actors::museums::Known;
use tornello_actors::node::Node;
use tornello_actors::outcomes::{self, Change, Compared, Outcome, Question};
use tornello_engine::attendance::Attendance;
use tornello_engine::calendar;

use crate::auth::{Caller, Scope};
use crate::chart::{self, Point};
use crate::csv::{CsvCell, CsvForm, CsvWriter};
use crate::problem::Problem;
use crate::routes::payments::{csv_answer, wants_csv};
use crate::routes::{local, museum_of};

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
        if !(1..=AHEAD_DAYS as u32).contains(&days) || !(today..=last).contains(&from) {
            return Err(Problem::invalid("days: 1 to 60 are forecast, from today on and 60 ahead at most"));
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
    /// By whose word schools are closed on that day, which the model follows: `told`, by the region's calendar or the museum's policy; or `assumed`, as everywhere in
    /// Italy, where neither says when this break is. Absent: they are open, as far as anybody has said.
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
    /// On how many of the last days that was judged.
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
    let model = |quality: Quality| ScoreView {
        of: "model",
        horizon_days: BUCKETS.get(usize::from(quality.bucket)).copied().unwrap_or_default(),
        judged_days: quality.champion.count as u32,
        wape: thousandths(quality.champion.wape()),
        bias: thousandths(quality.champion.bias()),
        covered_80: thousandths(quality.champion.coverage()),
        naive_wape: thousandths(quality.naive.wape()),
    };
    let of_model = node.forecaster().quality(known.museum.id()).into_iter().map(model);
    (known_days, of_model.chain(scores.iter().map(score_view)).collect())
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

fn accepts(request: &HttpRequest, kind: &str) -> bool {
    request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.trim().starts_with(kind))
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
    let (csv, svg) = (wants_csv(&request), accepts(&request, "image/svg+xml"));
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

/// How many months.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Months {
    /// How many, this one among them; absent: 12.
    #[param(minimum = 1, maximum = 18, example = 12)]
    months: Option<u32>,
}

/// The forecast of a month.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct MonthForecastView {
    /// Its first day in Rome.
    #[schema(value_type = String, format = Date)]
    month: Date,
    /// Who will come, with those who have.
    people: PeopleView,
    /// Who has come so far.
    came: u32,
    /// Days on which it is open by the plan; without any plan, days on which somebody came.
    open_days: u32,
    /// Who came in the same month of the year before; absent: it was not counted whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    year_before: Option<u32>,
}

/// Forecasts of months.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct MonthsView {
    /// The museum's number.
    museum: u16,
    /// The months.
    #[schema(max_items = 18)]
    months: Vec<MonthForecastView>,
    /// All of them together. Its bands are as wide as if all erred to the same side.
    together: PeopleView,
}

/// Read months ahead.
///
/// For plan and budget: who will come in this month and those after it, on the days that the plan opens. Days that are forecast day by day add up to their month, less
/// who has come; days beyond are as their month has usually gone. A month's bands are how far whole months were off when they were forecast as long before: days of a
/// month err together, so bands of days do not add up to them. With `Accept: text/csv` a table.
#[utoipa::path(
    tag = "Planning", operation_id = "get_forecast_months", security(("key" = ["plan"])),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"), Months),
    responses((status = 200, description = "The months", content((MonthsView = "application/json"), (String = "text/csv"))), crate::openapi::Problems),
)]
#[get("/museums/{museum}/forecast/months")]
pub async fn get_months(
    node: web::Data<Node>,
    caller: Caller,
    museum: web::Path<String>,
    months: web::Query<Months>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let known = museum_of(&node, &caller, Scope::Plan, &museum)?;
    let (count, csv) = (months.months.unwrap_or(12) as usize, wants_csv(&request));
    if !(1..=MONTHS_MAX).contains(&count) {
        return Err(Problem::invalid("months: 1 to 18 are forecast"));
    }
    let told = apart(move || {
        let months = node.forecaster().months(&node, &known, count);
        if csv {
            return Told::Table(months_table(&months));
        }
        let all = months.iter().fold(Expected::default(), |sum, month| sum.and(month.expected));
        let view = |month: &MonthForecast| MonthForecastView {
            month: month.month,
            people: people(month.expected.mid, month.expected.band_80, month.expected.band_95),
            came: month.came,
            open_days: month.open_days,
            year_before: month.year_before,
        };
        Told::View(MonthsView {
            museum: known.museum.id().0,
            months: months.iter().map(view).collect(),
            together: people(all.mid, all.band_80, all.band_95),
        })
    });
    Ok(told.await?.answer())
}

fn months_table(months: &[MonthForecast]) -> Vec<u8> {
    let heads = ["month", "expected", "low_80", "high_80", "low_95", "high_95", "came", "open_days", "year_before"];
    let mut table = CsvWriter::new(CsvForm::ITALIAN, heads);
    for month in months {
        let whole = |value: f64| CsvCell::Count(value.round() as i64);
        let Expected { mid, band_80, band_95 } = month.expected;
        table.row([
            CsvCell::Day(month.month),
            whole(mid),
            whole(band_80.0),
            whole(band_80.1),
            whole(band_95.0),
            whole(band_95.1),
            CsvCell::Count(i64::from(month.came)),
            CsvCell::Count(i64::from(month.open_days)),
            month.year_before.map_or(CsvCell::Empty, |people| CsvCell::Count(i64::from(people))),
        ]);
    }
    table.take()
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

/// How good forecasts of a museum were.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct MuseumScoresView {
    /// The museum's number.
    museum: u16,
    /// Its slug.
    #[schema(max_length = 23)]
    slug: String,
    /// Its region.
    #[schema(max_length = 200)]
    region: String,
    /// How many days of attendance are known, closed ones among them.
    known_days: u32,
    /// By how many days before.
    #[schema(max_items = 8)]
    how_good: Vec<ScoreView>,
    /// What became of slots that were sold beyond their places, on the last 120 days that were counted; absent: none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    sold_beyond: Option<SoldBeyondView>,
}

/// What became of slots that were sold beyond their places, against what was promised.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct SoldBeyondView {
    /// How many slots were sold beyond their places in the end.
    slots: u32,
    /// How many places more than there are were sold in them.
    people: u32,
    /// Of how many of them it is known who came, because gates scanned. The rest is about these.
    scanned: u32,
    /// In how many of them more people were to be expected than places: the sum of the probabilities that were estimated when it was last decided how many to sell.
    promised: f64,
    /// In how many of them more people came than there are places.
    slots_over: u32,
    /// How many people came for whom there was no place. They were let in, unless the building was full: whoever waited in vain at a gate was not let in, and is not
    /// counted.
    people_over: u32,
}

/// None where no slot was sold beyond its places.
fn sold_beyond(attendance: &Attendance) -> Option<SoldBeyondView> {
    let (mut sum, mut promised_ppm) = (SoldBeyondView { slots: 0, people: 0, scanned: 0, promised: 0.0, slots_over: 0, people_over: 0 }, 0_u64);
    for slot in attendance.sold_beyond().values().flatten() {
        sum.slots += 1;
        sum.people = sum.people.saturating_add(slot.sold.saturating_sub(slot.places));
        if slot.admitted > 0 {
            sum.scanned += 1;
            promised_ppm += u64::from(slot.turn_away_ppm);
            sum.slots_over += u32::from(slot.over() > 0);
            sum.people_over = sum.people_over.saturating_add(slot.over());
        }
    }
    sum.promised = thousandths(promised_ppm as f64 / 1e6);
    (sum.slots > 0).then_some(sum)
}

/// What a region expects on a day: its museums added up.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RegionDayView {
    /// The region.
    #[schema(max_length = 200)]
    region: String,
    /// The day in Rome.
    #[schema(value_type = String, format = Date)]
    date: Date,
    /// How many museums of it are forecast.
    museums: u32,
    /// How many are expected.
    expected: f64,
    /// Places sold so far.
    booked: u32,
}

/// How good somebody was on the days of a trial.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct ForecastTrialScoreView {
    /// How many forecasts of a day were judged.
    judged: u64,
    /// Sum of errors, as a share of all visitors.
    wape: f64,
    /// The mean quantile loss at 10, 50 and 90% as a share of the mean attendance, by which one model is held against another.
    sql: f64,
    /// Share of days within the 80% band; of a floor, which has none, nothing.
    covered_80: f64,
}

/// What became of a model over all museums.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ForecastTrialView {
    /// The last day that was counted then.
    #[schema(value_type = String, format = Date)]
    on: Date,
    /// The last day that the model knew.
    #[schema(value_type = String, format = Date)]
    fitted_on: Date,
    /// `first` (there was none, it serves), `floor_stays` (there was none, and the plainest floor was clearly better, or nothing could be judged yet), `on_trial` (it
    /// waits), `took_over`, `came_back` (it had served before), `champion_stays`.
    #[schema(max_length = 16)]
    verdict: &'static str,
    /// The first of the days that it was judged on: neither model had seen them, unless a past was brought in; absent: the last 84 days before it was fitted, held
    /// back, or nothing yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date)]
    from: Option<Date>,
    /// The last of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date)]
    to: Option<Date>,
    /// The model that was in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    champion: Option<ForecastTrialScoreView>,
    /// The model that was judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    challenger: Option<ForecastTrialScoreView>,
    /// Who takes the same weekday of the last week.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_weekday: Option<ForecastTrialScoreView>,
    /// Who takes the median of the last eight same weekdays.
    #[serde(skip_serializing_if = "Option::is_none")]
    median_weekday: Option<ForecastTrialScoreView>,
}

/// The model of who comes, booking by booking.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct BookingsView {
    /// The last day that was known when it was fitted.
    #[schema(value_type = String, format = Date)]
    fitted_on: Date,
    /// Bookings that it learned from.
    bookings: u32,
    /// The newest of them, on which it was judged before it had seen them.
    judged: u32,
    /// Share of these that was lost: cancelled, or nobody came.
    lost: f64,
    /// How far its probabilities were from what happened, squared, on average (Brier).
    brier: f64,
    /// The same of one rate for all.
    rate_brier: f64,
    /// Whether it serves: it was better than one rate.
    serves: bool,
}

/// What is known of quotes that are never paid.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct LapsesView {
    /// How many quotes that waited for their groups have ended, for visits that are over. With few of them an assumption leads.
    quotes: u32,
    /// The model of them; absent: there are too few, and a rate for each kind of group and quarter of its wait serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<LapseModelView>,
}

/// The model of quotes that are never paid.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct LapseModelView {
    /// The last day that was known when it was fitted.
    #[schema(value_type = String, format = Date)]
    fitted_on: Date,
    /// Quotes that it learned from.
    quotes: u32,
    /// The newest of them, on which it was judged before it had seen them.
    judged: u32,
    /// How far its probabilities were from what happened, squared, on average (Brier).
    brier: f64,
    /// The same of the rates.
    rate_brier: f64,
    /// Whether it serves: it was better than the rates.
    serves: bool,
}

fn lapses_view((quotes, model): (u32, Option<(LapseCard, Date)>)) -> LapsesView {
    let four = |value: f64| (value * 10_000.0).round() / 10_000.0;
    let model = model.map(|(card, fitted_on)| LapseModelView {
        fitted_on,
        quotes: card.quotes,
        judged: card.judged,
        brier: four(card.brier),
        rate_brier: four(card.rate_brier),
        serves: card.serves(),
    });
    LapsesView { quotes, model }
}

fn trial_view(judged: &Judged) -> ForecastTrialView {
    let four = |value: f64| (value * 10_000.0).round() / 10_000.0;
    let score = |score: TrialScore| ForecastTrialScoreView {
        judged: score.count,
        wape: four(score.wape()),
        sql: four(score.sql()),
        covered_80: thousandths(score.coverage()),
    };
    // Where nobody came nothing can be said in shares.
    let score = |sum: Option<TrialScore>| sum.filter(|sum| sum.wape().is_finite()).map(score);
    ForecastTrialView {
        on: judged.on,
        fitted_on: judged.fitted_on,
        verdict: judged.verdict.name(),
        from: judged.days.map(|(from, _)| from),
        to: judged.days.map(|(_, to)| to),
        champion: score(judged.champion),
        challenger: score(judged.challenger),
        last_weekday: score(judged.naive),
        median_weekday: score(judged.median),
    }
}

fn bookings_view(card: Card) -> BookingsView {
    let four = |value: f64| (value * 10_000.0).round() / 10_000.0;
    BookingsView {
        fitted_on: card.fitted_on,
        bookings: card.bookings,
        judged: card.judged,
        lost: four(card.lost),
        brier: four(card.brier),
        rate_brier: four(card.rate_brier),
        serves: card.serves(),
    }
}

/// How good forecasts were, and what regions expect.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ForecastReportView {
    /// The last day that the model over all museums knew when it was fitted; absent: there is none yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date)]
    fitted_on: Option<Date>,
    /// What became of the models that were fitted lately, the newest first.
    #[schema(max_items = 60)]
    trials: Vec<ForecastTrialView>,
    /// The model of who comes, booking by booking; absent: too few bookings with a known fate.
    #[serde(skip_serializing_if = "Option::is_none")]
    bookings: Option<BookingsView>,
    /// What is known of quotes that are never paid.
    lapses: LapsesView,
    /// Museum by museum, those that the key is good for.
    #[schema(max_items = 70_000)]
    museums: Vec<MuseumScoresView>,
    /// The next seven days by region.
    #[schema(max_items = 70_000)]
    regions: Vec<RegionDayView>,
}

/// Read how good forecasts are.
///
/// For each museum, its forecasts of the last days judged by what came, as if made so many days before, beside who takes the same weekday of the week before, and what
/// became of slots that were sold beyond their places; what became of the models that were fitted lately; and the next seven days of each region, its museums added up.
#[utoipa::path(
    tag = "Planning", operation_id = "get_forecast_report", security(("key" = ["plan"])),
    responses((status = 200, description = "The report", body = ForecastReportView), crate::openapi::Problems),
)]
#[get("/forecasts/report", wrap = "Compress::default()")]
pub async fn report(node: web::Data<Node>, caller: Caller) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Plan)?;
    let all: Vec<_> = node.museums().all().into_iter().filter(|known| caller.may_at(Scope::Plan, known.museum.id()).is_ok()).collect();
    Ok(HttpResponse::Ok().json(apart(move || report_of(&node, &all)).await?))
}

fn report_of(node: &Node, all: &[std::sync::Arc<Known>]) -> ForecastReportView {
    let scores = |known: &std::sync::Arc<Known>| {
        let (known_days, how_good) = how_good(node, known);
        MuseumScoresView {
            museum: known.museum.id().0,
            slug: known.museum.profile().map(|profile| profile.slug.to_string()).unwrap_or_default(),
            region: region(known),
            known_days: known_days as u32,
            how_good,
            sold_beyond: sold_beyond(&node.attended().get(known.museum.id())),
        }
    };
    let museums = all.iter().map(scores).collect();
    let today = calendar::local_day(node.now());
    let mut regions: std::collections::BTreeMap<(String, Date), (u32, f64, u32)> = std::collections::BTreeMap::new();
    for known in all {
        for day in node.forecaster().days(node, known, today, 7) {
            let sum = regions.entry((region(known), day.date)).or_default();
            *sum = (sum.0 + 1, sum.1 + day.outlook.mid, sum.2.saturating_add(day.booked));
        }
    }
    let row = |((region, date), (museums, expected, booked))| RegionDayView { region, date, museums, expected: rounded(expected), booked };
    ForecastReportView {
        fitted_on: node.forecaster().fitted_on(),
        trials: node.forecaster().judged().iter().map(trial_view).collect(),
        bookings: node.forecaster().bookings_card().map(bookings_view),
        lapses: lapses_view(node.forecaster().lapse_card()),
        museums,
        regions: regions.into_iter().map(row).collect(),
    }
}

/// A question: what would be if. Whatever is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WhatIfForm {
    /// The first day in Rome; absent: today.
    #[schema(value_type = Option<String>, format = Date, examples("2027-01-01"))]
    pub from: Option<Date>,
    /// How many days.
    #[schema(minimum = 1, maximum = 60, examples(7))]
    pub days: Option<u32>,
    /// Places of each slot, in percent of today's.
    #[schema(minimum = 0, maximum = 1_000, examples(120))]
    pub capacity_percent: Option<u16>,
    /// Prices, in percent of today's.
    #[schema(minimum = 0, maximum = 1_000, examples(110))]
    pub price_percent: Option<u16>,
    /// Minutes before the opening of each route as it is; below zero: after it. No route opens the evening before, or for more than a day.
    #[schema(minimum = -720, maximum = 720, examples(0))]
    pub opens_earlier_minutes: i32,
    /// Minutes after the closing of each route as it is; below zero: before it.
    #[schema(minimum = -720, maximum = 720, examples(60))]
    pub closes_later_minutes: i32,
    /// Ticket desks that are open; absent: as many as the roster has in its busiest hour.
    #[schema(maximum = 200, examples(3))]
    pub desks: Option<u32>,
    /// By how many thousandths visitors change with a thousandth of price, below zero; absent: as the planning policy says.
    #[schema(minimum = -3_000, maximum = 0, examples(-300))]
    pub price_elasticity_permille: Option<i16>,
}

/// What is to be expected of a day.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct OutcomeView {
    /// Visitors who want to come, at that price: also those who would when doors are shut by the change. 0 where the plan closes the day.
    wanted: f64,
    /// Visitors who have a place.
    sold: f64,
    /// Visitors who find no place, or doors that the change shuts: all who are wanted and not sold to.
    refused: f64,
    /// Desks that are open.
    desks: u32,
    /// The mean wait at the desks when most come, over all routes, in seconds; absent: the line grows as long as that lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_wait_s: Option<f64>,
    /// Share of parties that then wait longer than five minutes.
    late: f64,
    /// What visitors pay, in euro cents.
    revenue_cents: i64,
}

/// A day as it is forecast and as it would be.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct ComparedView {
    /// The day in Rome.
    #[schema(value_type = String, format = Date)]
    date: Date,
    /// As it is.
    as_is: OutcomeView,
    /// As it would be.
    changed: OutcomeView,
}

/// What was assumed: none of it was learned here.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct AssumedView {
    /// Percent of visitors for a percent of price; on days of free entry a price moves nobody.
    price_elasticity: f64,
    /// Prices below so many percent of today's, none at all too, move visitors as this one does.
    price_percent_least: f64,
    /// Percent of visitors for a percent of hours.
    hours_elasticity: f64,
    /// Share of those who find a slot full that take the one beside it.
    shifts: f64,
    /// Share of visitors who pay.
    paying: f64,
}

/// The answer to a what-if.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct WhatIfView {
    /// What was assumed.
    assumed: AssumedView,
    /// The days.
    #[schema(max_items = 60)]
    days: Vec<ComparedView>,
}

/// Ask what would be if.
///
/// Other capacity, hours, prices or desks on some days: who would come, be refused, wait and pay, by the models that forecast and plan. Nothing is changed by it. Each
/// route opens and closes by its own clock. What a price does is an assumption that comes with the question, not a finding.
#[utoipa::path(
    tag = "Planning", operation_id = "ask_what_if", security(("key" = ["plan"])),
    request_body(content = WhatIfForm, example = json!({"days": 7, "capacity_percent": 120, "price_percent": 110, "closes_later_minutes": 60, "desks": 3})),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo")),
    responses((status = 200, description = "Day by day", body = WhatIfView), crate::openapi::Problems),
)]
#[post("/museums/{museum}/what-if")]
pub async fn what_if(node: web::Data<Node>, caller: Caller, museum: web::Path<String>, form: web::Json<WhatIfForm>) -> Result<HttpResponse, Problem> {
    let known = museum_of(&node, &caller, Scope::Plan, &museum)?;
    let (from, days) = Span { from: form.from, days: form.days, by: By::Day }.days(&node)?;
    let percents = [form.capacity_percent, form.price_percent].into_iter().flatten().all(|percent| percent <= 1_000);
    let minutes = [form.opens_earlier_minutes, form.closes_later_minutes].iter().all(|minutes| (-720..=720).contains(minutes));
    let rest = form.desks.is_none_or(|desks| desks <= 200) && form.price_elasticity_permille.is_none_or(|permille| (-3_000..=0).contains(&permille));
    if !percents || !minutes || !rest {
        return Err(Problem::invalid("let percents be at most 1000, minutes -720 to 720, desks at most 200, the elasticity -3000 to 0"));
    }
    let factor = |percent: Option<u16>| f64::from(percent.unwrap_or(100)) / 100.0;
    let change = Change {
        capacity: factor(form.capacity_percent),
        price: factor(form.price_percent),
        opens_earlier_min: form.opens_earlier_minutes,
        closes_later_min: form.closes_later_minutes,
    };
    let question = Question { change, desks: form.desks, price_elasticity_permille: form.price_elasticity_permille };
    let assumed = outcomes::assumptions(&node.plans().policy_on(known.museum.id(), from), &question);
    let compared = apart(move || outcomes::compare(&node, &known, from, days, &question)).await?;
    Ok(HttpResponse::Ok().json(WhatIfView {
        assumed: AssumedView {
            price_elasticity: assumed.price_elasticity,
            price_percent_least: rounded(assumed.price_least * 100.0),
            hours_elasticity: assumed.hours_elasticity,
            shifts: assumed.shifts,
            paying: assumed.paying,
        },
        days: compared.iter().map(compared_view).collect(),
    }))
}

fn compared_view(compared: &Compared) -> ComparedView {
    let view = |outcome: &Outcome, desks| OutcomeView {
        wanted: rounded(outcome.demand),
        sold: rounded(outcome.sold),
        refused: rounded(outcome.refused),
        desks,
        mean_wait_s: outcome.busiest_wait_s.map(rounded),
        late: thousandths(outcome.busiest_late),
        revenue_cents: outcome.revenue_cents,
    };
    ComparedView { date: compared.date, as_is: view(&compared.as_is, compared.desks_as_is), changed: view(&compared.changed, compared.desks_changed) }
}
