//! A museum's attendance day by day: what was counted, and what is brought in of the time before Tornello, as JSON or as a table.

use std::collections::BTreeMap;

use actix_web::middleware::Compress;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, get, put, web};
use futures_util::StreamExt;
use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tornello_actors::node::Node;
use tornello_engine::attendance::{Attendance, Command, DAYS_MAX, Event, Provenance};
use tornello_engine::calendar;

use crate::auth::{Caller, Scope};
use crate::csv::{CsvCell, CsvFault, CsvForm, CsvRecord, CsvWriter, records};
use crate::problem::Problem;
use crate::request::{IdempotencyKey, LARGE_BODY_MAX, envelope};
use crate::routes::payments::{csv_answer, wants_csv};
use crate::routes::{museum_of, not_rebuilt};
use crate::strict;
use crate::words::ProvenanceWord;

/// A day of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DayForm {
    /// The day in Rome.
    #[serde(deserialize_with = "crate::strict::day")]
    #[schema(value_type = String, format = Date, examples("2025-06-10"))]
    pub date: Date,
    /// How many came; 0: nobody, or closed.
    #[schema(maximum = 1_000_000, examples(1840))]
    pub people: u32,
}

/// Days that were counted elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportForm {
    /// Where the figures come from, for whoever reads a forecast.
    #[schema(max_length = 200, examples("Ufficio di statistica, 2023-2025"))]
    pub source: String,
    /// Whether they were made up, to try things out.
    #[serde(default)]
    pub simulated: bool,
    /// The days, in any order, each once; days in between that are left out stay unknown.
    #[schema(max_items = 12_000)]
    pub days: Vec<DayForm>,
}

/// What a table does not say of itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportQuery {
    /// Where it comes from; absent: a table.
    source: Option<String>,
}

/// What was taken in.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ImportView {
    /// How many days were brought in.
    days: u32,
    /// How many of these had been counted here, and stay as they were.
    kept: u32,
    /// The first of them.
    #[schema(value_type = String, format = Date)]
    from: Date,
    /// The last of them.
    #[schema(value_type = String, format = Date)]
    to: Date,
}

/// A day as it is known.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct DayView {
    /// The day in Rome.
    #[schema(value_type = String, format = Date)]
    date: Date,
    /// How many came.
    people: u32,
    /// `counted` here, `imported`, or `simulated`.
    #[schema(value_type = ProvenanceWord)]
    provenance: Provenance,
}

/// The attendance of some days.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct AttendanceView {
    /// The museum's number.
    museum: u16,
    /// Where imported figures come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200)]
    imported_from: Option<String>,
    /// Where simulated figures come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200)]
    simulated_by: Option<String>,
    /// The days that are known, in order; those in between are not.
    #[schema(max_items = 4_000)]
    days: Vec<DayView>,
}

/// Which days.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Days {
    /// The first day; absent: a year before the last.
    #[serde(default, deserialize_with = "crate::strict::day_if")]
    #[param(value_type = Option<String>, format = Date, example = "2025-01-01")]
    from: Option<Date>,
    /// The last day; absent: yesterday.
    #[serde(default, deserialize_with = "crate::strict::day_if")]
    #[param(value_type = Option<String>, format = Date, example = "2025-12-31")]
    to: Option<Date>,
}

/// Read attendance.
///
/// Day by day, with where each figure comes from, at most eleven years. With `Accept: text/csv` a table.
#[utoipa::path(
    tag = "Planning", operation_id = "get_attendance", security(("key" = ["plan"])),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"), Days),
    responses((status = 200, description = "The days", content((AttendanceView = "application/json"), (String = "text/csv"))), crate::openapi::Problems),
)]
#[get("/museums/{museum}/attendance", wrap = "Compress::default()")]
pub async fn get_attendance(
    node: web::Data<Node>,
    caller: Caller,
    museum: web::Path<String>,
    which: web::Query<Days>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let id = museum_of(&node, &caller, Scope::Plan, &museum)?.museum.id();
    let to = which.to.unwrap_or_else(|| calendar::local_day(node.now()).saturating_sub(1.day()));
    let from = which.from.unwrap_or_else(|| to.saturating_sub(1.year())).max(to.saturating_sub(4_000.days()));
    if from > to {
        return Err(Problem::invalid("let `from` not be after `to`"));
    }
    let attendance = node.attended().get(id);
    let days = attendance.days().range(from..=to).map(|(date, day)| DayView { date: *date, people: day.people, provenance: day.provenance });
    if wants_csv(&request) {
        let mut table = CsvWriter::new(CsvForm::ITALIAN, ["date", "people", "provenance"]);
        days.for_each(|day| table.row([CsvCell::Day(day.date), CsvCell::Count(i64::from(day.people)), CsvCell::Text(name(day.provenance))]));
        return Ok(csv_answer(table.take()));
    }
    let source = |provenance| attendance.source(provenance).map(str::to_owned);
    let (imported_from, simulated_by) = (source(Provenance::Imported), source(Provenance::Simulated));
    Ok(HttpResponse::Ok().json(AttendanceView { museum: id.0, imported_from, simulated_by, days: days.collect() }))
}

const fn name(provenance: Provenance) -> &'static str {
    match provenance {
        Provenance::Counted => "counted",
        Provenance::Imported => "imported",
        Provenance::Simulated => "simulated",
    }
}

/// Bring in attendance.
///
/// Days of the time before Tornello, so that forecasts begin with a past: as JSON, or as a table with the columns `date` and `people` (comma or semicolon between
/// them; the source is then the query's `source`). Days that were counted here stay as they are; a day brought in again takes the place of what was brought in.
#[utoipa::path(
    tag = "Planning", operation_id = "import_attendance", security(("key" = ["manage"])),
    request_body(description = "The days", content(
        (ImportForm = "application/json", example = json!({"source": "Ufficio di statistica, 2025", "days": [{"date": "2025-06-10", "people": 1840}, {"date": "2025-06-11", "people": 1710}]})),
        (String = "text/csv", example = json!("date,people\n2025-06-10,1840\n2025-06-11,1710\n")),
    )),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"),
        ("source" = Option<String>, Query, description = "Where a table comes from", max_length = 200, example = "SIMU 2025"),
        ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "What was taken in", body = ImportView), crate::openapi::Problems),
)]
#[put("/museums/{museum}/attendance")]
pub async fn import(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    museum: web::Path<String>,
    query: web::Query<ImportQuery>,
    request: HttpRequest,
    mut payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let id = museum_of(&node, &caller, Scope::Manage, &museum)?.museum.id();
    let mut body = Vec::new();
    while let Some(chunk) = payload.next().await {
        body.extend_from_slice(&chunk.map_err(|_| Problem::malformed("the body cannot be read to its end"))?);
        if body.len() > LARGE_BODY_MAX {
            return Err(Problem::too_large(LARGE_BODY_MAX));
        }
    }
    let form = match request.content_type() {
        kind if kind.eq_ignore_ascii_case("application/json") => strict::from_slice(&body).map_err(|error| Problem::of_json(&error))?,
        kind if kind.eq_ignore_ascii_case("text/csv") => {
            let source = query.into_inner().source.unwrap_or_else(|| "table".to_owned());
            ImportForm { source, simulated: false, days: table(&body)? }
        }
        _ => return Err(Problem::unsupported("send days as application/json or as text/csv")),
    };
    let envelope = envelope(&node, &caller, &key, &["attendance"], &form, &[], None)?;
    let command = command(form)?;
    let record = node.attendance(id, envelope, command).await?;
    let imported = record.events.iter().find_map(|event| if let Event::Imported(imported) = event { Some(imported) } else { None });
    let imported = imported.ok_or_else(not_rebuilt)?;
    let known = node.attended().get(id);
    let days = (0_i64..).zip(&imported.people).filter(|(_, people)| people.is_some()).map(|(ahead, _)| imported.from.saturating_add(ahead.days()));
    let days: Vec<Date> = days.collect();
    let kept = days.iter().filter(|date| was_counted(&known, **date)).count() as u32;
    let to = days.last().copied().unwrap_or(imported.from);
    Ok(HttpResponse::Ok().json(ImportView { days: days.len() as u32, kept, from: imported.from, to }))
}

fn was_counted(attendance: &Attendance, date: Date) -> bool {
    attendance.days().get(&date).is_some_and(|day| day.provenance == Provenance::Counted)
}

/// Days in any order as one span with gaps.
fn command(form: ImportForm) -> Result<Command, Problem> {
    let mut days = BTreeMap::new();
    for DayForm { date, people } in &form.days {
        if days.insert(*date, *people).is_some() {
            return Err(Problem::invalid(format!("{date} stands twice")));
        }
    }
    let (Some((from, _)), Some((to, _))) = (days.first_key_value(), days.last_key_value()) else {
        return Err(Problem::invalid("bring in at least one day"));
    };
    let (from, length) = (*from, from.until(*to).map_or(usize::MAX, |span| usize::try_from(span.get_days()).unwrap_or(usize::MAX)));
    if length >= DAYS_MAX {
        return Err(Problem::invalid("let there be at most 12000 days from the first to the last"));
    }
    let people = (0..=length).map(|ahead| days.get(&from.saturating_add((ahead as i64).days())).copied()).collect();
    let provenance = if form.simulated { Provenance::Simulated } else { Provenance::Imported };
    Ok(Command::Import { provenance, source: form.source, from, people })
}

/// A table of days: a head with `date` and `people`, then a day on each line.
fn table(body: &[u8]) -> Result<Vec<DayForm>, Problem> {
    let text = std::str::from_utf8(body).map_err(|_| Problem::malformed("the table is not UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_end();
    // What stands in quotes is one cell: `"1,840"` is no figure that can be read, and not one visitor.
    let columns = |separator: char| {
        let heads = records(text, separator).next()?.ok()?.cells;
        let column = |name: &str| heads.iter().position(|head| head.trim().eq_ignore_ascii_case(name));
        Some((separator, column("date")?, column("people")?))
    };
    let found = [',', ';'].into_iter().find_map(columns);
    let headless = || {
        let told = Problem::invalid("a head with the columns date and people is expected");
        let runs_on = "The table has one line alone: send it with its line breaks, as curl does with --data-binary and not with -d.";
        if text.is_empty() || text.contains('\n') { told } else { told.detail(runs_on) }
    };
    let (separator, date, people) = found.ok_or_else(headless)?;
    let day = |row: Result<CsvRecord, (u32, CsvFault)>| {
        let CsvRecord { line, cells } = row.map_err(|(line, fault)| Problem::invalid(format!("line {line}: {fault}")))?;
        let bad = |what: &str| Problem::invalid(format!("line {line}: {what}"));
        let date = cells.get(date).and_then(|cell| cell.trim().parse().ok()).ok_or_else(|| bad("a day as 2025-06-10 is expected in column date"))?;
        let people = cells.get(people).and_then(|cell| cell.trim().parse().ok()).ok_or_else(|| bad("a whole number is expected in column people"))?;
        Ok(DayForm { date, people })
    };
    records(text, separator).skip(1).map(day).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn tables_are_read_as_spreadsheets_write_them() {
        for text in [
            "date,people\n2025-06-10,5\n",
            "\u{feff}people;date\r\n5;2025-06-10\r\n",
            "\"Date\",\"People\"\n\n\"2025-06-10\",\"5\"",
            " date , people \n 2025-06-10 , 5 \n  \n",
            "note,date,people\n\"open late; music, free\",2025-06-10,5\n",
        ] {
            assert_eq!(table(text.as_bytes()).unwrap(), [DayForm { date: date(2025, 6, 10), people: 5 }], "{text}");
        }
        for (text, told) in [
            ("day,people\n", "a head with the columns date and people is expected"),
            ("date,people\n2025-06-10,x\n", "line 2: a whole number is expected in column people"),
            ("date,people\n10/06/2025,5\n", "line 2: a day as 2025-06-10 is expected in column date"),
            ("date,people\n2025-06-09,7\n2025-06-10,\"1,840\"\n", "line 3: a whole number is expected in column people"),
            ("date,people\n2025-06-10,1,840\n", "line 2: 2 cells are expected, 3 are there"),
        ] {
            assert_eq!(table(text.as_bytes()).unwrap_err().title(), told);
        }
        // So curl's -d sends a file.
        let said = |text: &str| serde_json::to_value(table(text.as_bytes()).unwrap_err().body()).unwrap()["detail"].to_string();
        assert!(
            said("date;people2025-06-10;52025-06-11;6").contains("--data-binary") && !said("day;people\n2025-06-10;5\n").contains("--data-binary")
        );
    }

    #[test]
    fn days_become_one_span_with_gaps() {
        let day = |day, people| DayForm { date: date(2025, 6, day), people };
        let form = |days| ImportForm { source: "x".to_owned(), simulated: false, days };
        let Command::Import { from, people, .. } = command(form(vec![day(12, 3), day(10, 1)])).unwrap() else { panic!() };
        assert_eq!((from, people), (date(2025, 6, 10), vec![Some(1), None, Some(3)]));
        assert!(command(form(vec![day(10, 1), day(10, 1)])).is_err() && command(form(vec![])).is_err());
    }
}
