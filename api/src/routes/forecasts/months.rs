//! Forecasts of whole months, for plan and budget: as JSON or a table.

use actix_web::{HttpRequest, HttpResponse, get, web};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tornello_actors::forecaster::{Expected, MONTHS_MAX, MonthForecast};
use tornello_actors::node::Node;

use super::{PeopleView, Told, apart, people};
use crate::auth::{Caller, Scope};
use crate::csv::{CsvCell, CsvForm, CsvWriter};
use crate::problem::Problem;
use crate::routes::payments::wants_csv;
use crate::routes::{museum_of, within};

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
pub async fn get(
    node: web::Data<Node>,
    caller: Caller,
    museum: web::Path<String>,
    months: web::Query<Months>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let known = museum_of(&node, &caller, Scope::Plan, &museum)?;
    let (asked, csv) = (months.months.unwrap_or(12), wants_csv(&request));
    within("months", asked, MONTHS_MAX as u32)?;
    let count = asked as usize;
    let told = apart(move || {
        let months = node.forecaster().months(&node, &known, count);
        if csv {
            return Told::Table(table(&months));
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

fn table(months: &[MonthForecast]) -> Vec<u8> {
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
