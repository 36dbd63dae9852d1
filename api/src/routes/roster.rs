//! A day's roster as it is read and changed: what is proposed and why, and what a manager decides instead.

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, delete, get, put, web};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tornello_actors::node::Node;
use tornello_actors::roster::{self, Driver, Line, Roster, in_words};
use tornello_engine::calendar;
use tornello_engine::planning::{Command, Override, Place, Role};
use tornello_engine::time::Timestamp;

use crate::auth::{Caller, Scope};
use crate::csv::{CsvCell, CsvForm, CsvWriter};
use crate::icalendar::{self, Entry};
use crate::problem::Problem;
use crate::request::{IdempotencyKey, Json, envelope};
use crate::routes::forecasts::{apart, rounded, thousandths};
use crate::routes::payments::{csv_answer, wants_csv};
use crate::routes::{museum_of, prefers};
use crate::strict::day_of;
use crate::words::WorkWord;

/// Which day.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OnDay {
    /// The day in Rome, at most 59 ahead; absent: today.
    #[serde(default, deserialize_with = "crate::strict::day_if")]
    #[param(value_type = Option<String>, format = Date, example = "2027-01-01")]
    day: Option<Date>,
}

/// What a line rests on, or would be with one less or one more.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct DriverView {
    /// In words.
    #[schema(max_length = 200)]
    in_words: String,
    /// Desks: parties in an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    parties_per_hour: Option<f64>,
    /// Desks: share of parties that wait longer than they should.
    #[serde(skip_serializing_if = "Option::is_none")]
    late: Option<f64>,
    /// Desks: the mean wait in seconds; absent also where the line grows.
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_wait_s: Option<f64>,
    /// Gates: people in the busiest quarter of an hour; guards: people inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    people: Option<f64>,
    /// Gates: how much of that quarter they are busy, 1: all of it, above: they cannot keep up; absent also where there is no gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    busy: Option<f64>,
    /// Guards: rooms.
    #[serde(skip_serializing_if = "Option::is_none")]
    rooms: Option<u32>,
}

/// What a line would be as it is proposed, where a manager decided otherwise.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct AsProposedView {
    /// Why so many are proposed.
    driver: DriverView,
    /// What it would be with one less than proposed; absent: nobody can be spared.
    #[serde(skip_serializing_if = "Option::is_none")]
    one_less: Option<DriverView>,
    /// What it would be with one more than proposed.
    one_more: DriverView,
}

/// One role in one hour.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RosterLineView {
    /// `desk`, `gate` or `guard`.
    #[schema(max_length = 8)]
    role: &'static str,
    /// From when, by the clocks in Rome.
    #[schema(max_length = 5, examples("09:00"))]
    from: String,
    /// Until when.
    #[schema(max_length = 5, examples("10:00"))]
    to: String,
    /// How many: what was decided, or else what is proposed.
    people: u32,
    /// What is proposed.
    proposed: u32,
    /// Visitors expected.
    expected: f64,
    /// Visitors at the 80th percentile: what it is proposed for.
    planned_for: f64,
    /// Why so many, or what comes of what was decided: always of `people`.
    driver: DriverView,
    /// What it would be with one less; absent: nobody can be spared.
    #[serde(skip_serializing_if = "Option::is_none")]
    one_less: Option<DriverView>,
    /// What it would be with one more.
    one_more: DriverView,
    /// What it would be with as many as are proposed; absent: nobody decided otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_proposed: Option<AsProposedView>,
    /// What one of them costs for that time, in euro cents: saved by one less, spent on one more.
    one_costs_cents: i64,
    /// Why a manager decided otherwise; absent: nobody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200)]
    decided: Option<String>,
}

/// A day's roster.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RosterView {
    /// The day in Rome.
    #[schema(value_type = String, format = Date)]
    day: Date,
    /// Revision of the planning policy behind it; 0: the defaults.
    policy_revision: u32,
    /// What all of it costs, in euro cents.
    cost_cents: i64,
    /// In the order of time, then role; none: it is closed.
    #[schema(max_items = 200)]
    lines: Vec<RosterLineView>,
}

/// What a manager decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OverrideForm {
    /// The day in Rome, at most 59 ahead: as far as rosters can be read.
    #[serde(deserialize_with = "crate::strict::day")]
    #[schema(value_type = String, format = Date, examples("2027-01-01"))]
    pub day: Date,
    /// `desk`, `gate` or `guard`.
    #[schema(value_type = WorkWord)]
    pub role: Role,
    /// From when, by the clocks in Rome: a time that they show on that day. What is over before the day opens is of the night after it, as its last lines are.
    #[schema(max_length = 5, examples("11:00"))]
    pub from: String,
    /// Until when; 24:00 is the end of the day, and so is 00:00, as rosters show it.
    #[schema(max_length = 5, examples("13:00"))]
    pub to: String,
    /// How many.
    #[schema(maximum = 1_000, examples(4))]
    pub people: u16,
    /// Why; may be left out.
    #[serde(default)]
    #[schema(max_length = 200, examples("school groups"))]
    pub note: String,
}

/// A line that a decision is taken back for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PlaceQuery {
    /// The day in Rome.
    #[param(value_type = String, format = Date, example = "2027-01-01")]
    day: String,
    /// `desk`, `gate` or `guard`.
    #[param(pattern = "^(desk|gate|guard)$", example = "desk")]
    role: String,
    /// From when it was decided, by the clocks in Rome.
    #[param(max_length = 5, example = "11:00")]
    from: String,
}

fn minute(text: &str) -> Result<u16, Problem> {
    let bad = || Problem::invalid("a time of the day as 09:30 is expected, 24:00 at the latest");
    let two = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    let (hour, minute) = text.split_once(':').filter(|(hour, minute)| two(hour) && two(minute)).ok_or_else(bad)?;
    let (hour, minute): (u16, u16) = (hour.parse().map_err(|_| bad())?, minute.parse().map_err(|_| bad())?);
    if minute > 59 || hour * 60 + minute > 1_440 { Err(bad()) } else { Ok(hour * 60 + minute) }
}

/// Until when: nothing ends as the day begins.
fn end_minute(text: &str) -> Result<u16, Problem> {
    minute(text).map(|minute| if minute == 0 { 1_440 } else { minute })
}

fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60 % 24, minute % 60)
}

fn driver_view(role: Role, driver: &Driver) -> DriverView {
    let round = |value: f64| Some(thousandths(value));
    let bare =
        DriverView { in_words: in_words(role, driver), parties_per_hour: None, late: None, mean_wait_s: None, people: None, busy: None, rooms: None };
    match *driver {
        Driver::Queue { parties_per_hour, late, mean_wait_s } => {
            DriverView { parties_per_hour: round(parties_per_hour), late: round(late), mean_wait_s: mean_wait_s.and_then(round), ..bare }
        }
        Driver::Peak { people, busy } => DriverView { people: round(people), busy: busy.and_then(round), ..bare },
        Driver::Watch { rooms, people } => DriverView { people: round(people), rooms: Some(rooms), ..bare },
    }
}

fn line_view(line: &Line) -> RosterLineView {
    let view = |driver: &Driver| driver_view(line.role, driver);
    RosterLineView {
        role: line.role.name(),
        from: clock(line.from_min),
        to: clock(line.to_min),
        people: line.stands.people,
        proposed: line.proposed.people,
        expected: rounded(line.arrivals.expected),
        planned_for: rounded(line.arrivals.high),
        driver: view(&line.stands.driver),
        one_less: line.stands.one_less.as_ref().map(view),
        one_more: view(&line.stands.one_more),
        as_proposed: line.decided.as_ref().map(|_| AsProposedView {
            driver: view(&line.proposed.driver),
            one_less: line.proposed.one_less.as_ref().map(view),
            one_more: view(&line.proposed.one_more),
        }),
        one_costs_cents: line.cost.get(),
        decided: line.decided.as_ref().map(|standing| standing.what.note.clone()),
    }
}

fn view(roster: &Roster) -> RosterView {
    RosterView {
        day: roster.date,
        policy_revision: roster.revision,
        cost_cents: roster.cost().get(),
        lines: roster.lines.iter().map(line_view).collect(),
    }
}

fn roster_of(node: &Node, known: &tornello_actors::museums::Known, day: Date) -> Result<Roster, Problem> {
    roster::of_day(node, known, day).ok_or_else(|| Problem::invalid("day: today or one of the next 59 days is expected"))
}

/// Read a day's roster.
///
/// How many people work at desks, gates and in rooms, hour by hour, for the visitors at the 80th percentile of the forecast. Each line says why, and what one less or one more would mean. Where a
/// manager decided otherwise it says what comes of that, and what is proposed beside it. With `Accept: text/csv` a table, with `Accept: text/calendar` a calendar (iCalendar).
#[utoipa::path(
    tag = "Planning", operation_id = "get_roster", security(("key" = ["plan"])),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"), OnDay),
    responses((status = 200, description = "The roster", content((RosterView = "application/json"), (String = "text/csv"), (String = "text/calendar"))),
        crate::openapi::Problems),
)]
#[get("/museums/{museum}/roster")]
pub async fn get_roster(
    node: web::Data<Node>,
    caller: Caller,
    museum: web::Path<String>,
    on: web::Query<OnDay>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let known = museum_of(&node, &caller, Scope::Plan, &museum)?;
    let (asked, of) = ((node.clone(), std::sync::Arc::clone(&known)), on.day.unwrap_or_else(|| calendar::local_day(node.now())));
    let roster = apart(move || roster_of(&asked.0, &asked.1, of)).await??;
    if wants_csv(&request) {
        return Ok(csv_answer(table(&roster)));
    }
    if prefers(&request, "text/calendar") {
        let profile = known.museum.profile();
        let (name, slug) = profile.map_or((String::new(), String::new()), |profile| (profile.name.clone(), profile.slug.to_string()));
        let file = icalendar::calendar(&name, &entries(&roster, &name, &slug), node.now());
        return Ok(HttpResponse::Ok().insert_header((header::CONTENT_TYPE, HeaderValue::from_static("text/calendar; charset=utf-8"))).body(file));
    }
    Ok(HttpResponse::Ok().json(view(&roster)))
}

fn table(roster: &Roster) -> Vec<u8> {
    let mut table = CsvWriter::new(
        CsvForm::ITALIAN,
        ["day", "from", "to", "role", "people", "proposed", "expected", "planned_for", "driver", "cost", "decided", "as_proposed"],
    );
    for line in &roster.lines {
        let (from, to, driver) = (clock(line.from_min), clock(line.to_min), in_words(line.role, &line.stands.driver));
        let as_proposed = in_words(line.role, &line.proposed.driver);
        table.row([
            CsvCell::Day(roster.date),
            CsvCell::Text(&from),
            CsvCell::Text(&to),
            CsvCell::Text(line.role.name()),
            CsvCell::Count(i64::from(line.stands.people)),
            CsvCell::Count(i64::from(line.proposed.people)),
            CsvCell::Count(line.arrivals.expected.round() as i64),
            CsvCell::Count(line.arrivals.high.round() as i64),
            CsvCell::Text(&driver),
            CsvCell::Euros(line.cost.times(line.stands.people)),
            line.decided.as_ref().map_or(CsvCell::Empty, |standing| CsvCell::Text(&standing.what.note)),
            line.decided.as_ref().map_or(CsvCell::Empty, |_| CsvCell::Text(&as_proposed)),
        ]);
    }
    table.take()
}

/// Hours of a role that follow each other with as many people are one entry.
fn entries(roster: &Roster, name: &str, slug: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for role in Role::ALL {
        let mut last: Option<(u16, u32)> = None;
        for line in roster.lines.iter().filter(|line| line.role == role && line.stands.people > 0) {
            let (from, to) = (instant(roster.date, line.from_min), instant(roster.date, line.to_min));
            let people = line.stands.people;
            let driver = format!("{} {}", clock(line.from_min), in_words(role, &line.stands.driver));
            match entries.last_mut() {
                Some(entry) if last == Some((line.from_min, people)) => {
                    entry.to = to;
                    entry.description.push('\n');
                    entry.description.push_str(&driver);
                }
                _ => entries.push(Entry {
                    uid: format!("{slug}-{}-{}-{}@tornello", roster.date, role.name(), line.from_min),
                    from,
                    to,
                    summary: format!("{name}: {people} x {}", role.name()),
                    description: driver,
                }),
            }
            last = Some((line.to_min, people));
        }
    }
    entries
}

/// The instant of a minute of a day; those of the night after it count on.
fn instant(day: Date, minute: u16) -> Timestamp {
    let days = i64::from(minute / 1_440);
    let at = day.saturating_add(jiff::Span::new().days(days)).at((minute / 60 % 24) as i8, (minute % 60) as i8, 0, 0);
    calendar::instant(at)
}

/// Decide a line of a roster.
///
/// So many of a role from one time to another, whatever is proposed, as far ahead as there are rosters: it stands until it is decided anew (same day, role and begin), taken back, or 60 days past. One
/// that overlaps another one of its day and role is refused, and that one named. The answer is the day's roster.
#[utoipa::path(
    tag = "Planning", operation_id = "set_roster_override", security(("key" = ["manage"])),
    request_body(content = OverrideForm, example = json!({"day": "2026-12-24", "role": "desk", "from": "11:00", "to": "13:00", "people": 4, "note": "school groups"})),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"),
        ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "The day's roster", body = RosterView), crate::openapi::Problems),
)]
#[put("/museums/{museum}/roster/overrides")]
pub async fn set_override(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    museum: web::Path<String>,
    form: Json<OverrideForm>,
) -> Result<HttpResponse, Problem> {
    let known = museum_of(&node, &caller, Scope::Manage, &museum)?;
    let envelope = envelope(&node, &caller, &key, &["roster"], &*form, &[], None)?;
    let OverrideForm { day, role, from, to, people, note } = form.into_inner();
    let place = Place { date: day, from_min: minute(&from)?, role };
    let what = Override { to_min: end_minute(&to)?, people, note };
    node.planning(known.museum.id(), envelope, Command::Decide { place, what }).await?;
    Ok(HttpResponse::Ok().json(apart(move || after(&node, &known, day)).await?))
}

/// The roster after a change; of a day that is not forecast yet it has no lines.
fn after(node: &Node, known: &tornello_actors::museums::Known, day: Date) -> RosterView {
    roster::of_day(node, known, day).map_or(RosterView { day, policy_revision: 0, cost_cents: 0, lines: Vec::new() }, |roster| view(&roster))
}

/// Take a decision back.
///
/// The line is again what is proposed. The answer is the day's roster.
#[utoipa::path(
    tag = "Planning", operation_id = "remove_roster_override", security(("key" = ["manage"])),
    params(("museum" = String, Path, description = "Slug or number", max_length = 23, example = "parco-colosseo"), PlaceQuery,
        ("Idempotency-Key" = String, Header, description = "A new value for each request")),
    responses((status = 200, description = "The day's roster", body = RosterView), crate::openapi::Problems),
)]
#[delete("/museums/{museum}/roster/overrides")]
pub async fn remove_override(
    node: web::Data<Node>,
    caller: Caller,
    key: IdempotencyKey,
    museum: web::Path<String>,
    which: web::Query<PlaceQuery>,
) -> Result<HttpResponse, Problem> {
    let known = museum_of(&node, &caller, Scope::Manage, &museum)?;
    let envelope = envelope(&node, &caller, &key, &["roster, back"], &*which, &[], None)?;
    let PlaceQuery { day, role, from } = which.into_inner();
    let day = day_of(&day).ok_or_else(|| Problem::malformed("day: a day, as 2027-01-31, is expected"))?;
    let role = Role::ALL.into_iter().find(|known| known.name() == role).ok_or_else(|| Problem::malformed("role: desk, gate or guard is expected"))?;
    let from_min = minute(&from).map_err(|problem| Problem::malformed(format!("from: {}", problem.title())))?;
    let place = Place { date: day, from_min, role };
    node.planning(known.museum.id(), envelope, Command::TakeBack { place }).await?;
    Ok(HttpResponse::Ok().json(apart(move || after(&node, &known, day)).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_day_are_read_and_written() {
        for (text, expected) in [("00:00", 0), ("09:30", 570), ("24:00", 1_440)] {
            assert_eq!(minute(text).unwrap(), expected, "{text}");
        }
        for bad in ["", "9:30", "09:60", "24:01", "ab:cd", "09-30", "-1:00", "+9:00"] {
            assert!(minute(bad).is_err(), "{bad}");
        }
        // The last line before midnight is decided as it is shown.
        assert_eq!([clock(1_440).as_str(), "24:00", "00:01"].map(|to| end_minute(to).unwrap()), [1_440, 1_440, 1]);
        assert_eq!((clock(570), clock(1_440)), ("09:30".to_owned(), "00:00".to_owned()));
    }
}
