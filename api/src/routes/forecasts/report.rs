//! How good forecasts were, museum by museum, and the models behind them; and what the next days bring to each region.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::middleware::Compress;
use actix_web::{HttpResponse, get, web};
use jiff::civil::Date;
use serde::Serialize;
use tornello_actors::forecaster::{Card, Judged, LapseCard, TrialScore};
use tornello_actors::museums::Known;
use tornello_actors::node::Node;
use tornello_engine::attendance::Attendance;
use tornello_engine::calendar;

use super::{ScoreView, apart, how_good, region, rounded, thousandths};
use crate::auth::{Caller, Scope};
use crate::problem::Problem;

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

/// As finely as models are held against each other.
fn ten_thousandths(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

fn lapses_view((quotes, model): (u32, Option<(LapseCard, Date)>)) -> LapsesView {
    let model = model.map(|(card, fitted_on)| LapseModelView {
        fitted_on,
        quotes: card.quotes,
        judged: card.judged,
        brier: ten_thousandths(card.brier),
        rate_brier: ten_thousandths(card.rate_brier),
        serves: card.serves(),
    });
    LapsesView { quotes, model }
}

fn trial_view(judged: &Judged) -> ForecastTrialView {
    let score = |score: TrialScore| ForecastTrialScoreView {
        judged: score.count,
        wape: ten_thousandths(score.wape()),
        sql: ten_thousandths(score.sql()),
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
    BookingsView {
        fitted_on: card.fitted_on,
        bookings: card.bookings,
        judged: card.judged,
        lost: ten_thousandths(card.lost),
        brier: ten_thousandths(card.brier),
        rate_brier: ten_thousandths(card.rate_brier),
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
pub async fn get(node: web::Data<Node>, caller: Caller) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Plan)?;
    let all: Vec<_> = node.museums().all().into_iter().filter(|known| caller.may_at(Scope::Plan, known.museum.id()).is_ok()).collect();
    Ok(HttpResponse::Ok().json(apart(move || report_of(&node, &all)).await?))
}

fn report_of(node: &Node, all: &[Arc<Known>]) -> ForecastReportView {
    let scores = |known: &Arc<Known>| {
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
    let mut regions: BTreeMap<(String, Date), (u32, f64, u32)> = BTreeMap::new();
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
