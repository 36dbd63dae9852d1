//! Everything that can be asked over HTTP, one line each. A handler is ten lines: parse, authorise, ask, answer; rules live in `engine`.

pub mod accounts;
pub mod attendance;
pub mod availability;
pub mod carts;
pub mod days;
pub mod docs;
pub mod forecasts;
pub mod fraud;
pub mod gates;
pub mod group_policy;
pub mod health;
pub mod history;
pub mod holds;
pub mod live;
pub mod manifests;
pub mod moves;
pub mod museums;
pub mod payment_files;
pub mod payments;
pub mod people;
pub mod planning;
pub mod plans;
pub mod presence;
pub mod quotes;
pub mod readings;
pub mod reconciliation;
pub mod refunds;
pub mod reminders;
pub mod revisions;
pub mod roster;
pub mod sales;
pub mod scans;
pub mod slots;
pub mod station;
pub mod tariffs;
pub mod tickets;
pub mod tills;
pub mod vouchers;
pub mod waiting;
pub mod waiting_rooms;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use actix_web::dev::HttpServiceFactory;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, rt, web};
use jiff::civil::Date;
use serde::Serialize;
use serde_json::value::RawValue;
use tornello_actors::availability::{Near, SlotAvailability, of_slot};
use tornello_actors::failure::Failure;
use tornello_actors::museums::Known;
use tornello_actors::node::{Files, Node};
use tornello_engine::calendar;
use tornello_engine::channel::Channel;
use tornello_engine::ids::{MuseumId, SlotId};
use tornello_engine::slot::{Refusal, sale_ends_at};
use tornello_engine::text::is_line;
use tornello_engine::time::Timestamp;
use utoipa_actix_web::OpenApiFactory;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::auth::{Caller, Scope};
use crate::problem::Problem;

/// How many items a page of a list has if the caller does not say.
const PAGE: u32 = 50;
/// The most items of a page.
const PAGE_MAX: u32 = 200;
/// The longest reference of a desk, in characters.
const REFERENCE_MAX: usize = 64;
/// As long as most answers are, in bytes: a hold, or a sale of a few tickets.
const ANSWER: usize = 1_024;
/// How many alternatives a refusal names.
const ALTERNATIVES_MAX: usize = 3;

/// What a listener serves, twice: as routes for its workers, and as paths of its contract. They are apart because each worker makes routes of its own, and writing the
/// contract takes much memory for a moment.
#[derive(Clone, Copy)]
pub struct Routes {
    /// Into a worker.
    pub serve: fn(&mut web::ServiceConfig),
    /// Into the contract.
    pub publish: fn(&mut ServiceConfig<'_>),
}

/// Where routes are put: a worker, or the contract.
trait Table {
    /// Puts one more route there.
    fn service(&mut self, route: impl HttpServiceFactory + OpenApiFactory + 'static) -> &mut Self;
}

impl Table for web::ServiceConfig {
    fn service(&mut self, route: impl HttpServiceFactory + OpenApiFactory + 'static) -> &mut Self {
        Self::service(self, route)
    }
}

impl Table for ServiceConfig<'_> {
    fn service(&mut self, route: impl HttpServiceFactory + OpenApiFactory + 'static) -> &mut Self {
        Self::service(self, route)
    }
}

/// Everything that is published in the contract.
pub const ALL: Routes = Routes {
    serve: |routes| {
        routes.service(web::scope("/v1").configure(v1));
        house(routes);
    },
    publish: |routes| {
        routes.service(utoipa_actix_web::scope("/v1").configure(|routes: &mut ServiceConfig<'_>| v1(routes)));
        house(routes);
    },
};

/// What gates need, for a listener of their own: in and out, what they take along, what they have done, and whether all is well.
pub const AT_GATES: Routes = Routes {
    serve: |routes| {
        routes.service(web::scope("/v1").configure(gates_v1));
        house(routes);
    },
    publish: |routes| {
        routes.service(utoipa_actix_web::scope("/v1").configure(|routes: &mut ServiceConfig<'_>| gates_v1(routes)));
        house(routes);
    },
};

/// Nothing that is published.
pub const NONE: Routes = Routes { serve: |_| {}, publish: |_| {} };

/// Whether all is well.
fn house(routes: &mut impl Table) {
    routes.service(health::status).service(health::figures);
}

/// The native interface, as far as gates need it.
fn gates_v1(routes: &mut impl Table) {
    routes.service(gates::admit).service(gates::exit).service(scans::merge).service(manifests::get).service(tickets::keys);
}

/// The native interface.
fn v1(routes: &mut impl Table) {
    // Routes are tried in this order: first those that are asked thousands of times a second.
    routes.service(holds::create).service(holds::confirm).service(gates::admit).service(gates::exit);
    routes.service(availability::list_slots).service(availability::list_days);
    routes.service(holds::get).service(holds::extend).service(holds::shrink).service(holds::release);
    routes.service(museums::list).service(museums::get).service(museums::register).service(museums::change);
    routes.service(plans::get_plan).service(plans::set_plan);
    routes.service(tariffs::get_tariff).service(tariffs::set_tariff).service(tariffs::get_ceiling).service(tariffs::set_ceiling);
    routes.service(group_policy::get_policy).service(group_policy::set_policy);
    routes.service(slots::get).service(slots::set_capacity).service(slots::set_quotas).service(slots::close).service(slots::reopen);
    routes.service(days::close).service(days::reopen);
    routes.service(history::get);
    routes
        .service(sales::create)
        .service(sales::lists::list)
        .service(sales::lists::export)
        .service(sales::get)
        .service(sales::cancel)
        .service(sales::block)
        .service(sales::unblock);
    routes.service(tickets::keys).service(tickets::of_slot).service(tickets::of_sale_pdf);
    routes.service(tickets::get).service(tickets::svg).service(tickets::png).service(tickets::pdf);
    routes.service(people::get).service(people::erase);
    routes.service(readings::send).service(readings::get_occupancy).service(presence::get_presence);
    routes.service(forecasts::months::get).service(forecasts::get_forecast).service(forecasts::report::get).service(forecasts::what_if::ask);
    routes.service(attendance::get_attendance).service(attendance::import);
    routes.service(planning::get_policy).service(planning::set_policy);
    routes.service(roster::get_roster).service(roster::set_override).service(roster::remove_override);
    routes.service(live::follow);
    routes.service(manifests::get).service(scans::merge).service(scans::conflicts);
    routes.service(waiting::join).service(waiting::list).service(waiting::get).service(waiting::fewer).service(waiting::leave);
    routes.service(waiting_rooms::join).service(waiting_rooms::place);
    routes.service(waiting_rooms::announce).service(waiting_rooms::list).service(waiting_rooms::withdraw);
    routes.service(moves::to_slot).service(moves::rename);
    routes.service(payments::create).service(payments::lists::list).service(payments::lists::export).service(payments::get);
    routes.service(payment_files::notice_file).service(payment_files::receipt_file);
    routes.service(payments::cancel).service(payments::checkout).service(payments::pay_at_desk).service(carts::open);
    routes.service(payments::resolve).service(payments::dispute);
    routes.service(refunds::lists::list).service(refunds::bank_files::export).service(refunds::bank_files::get_batch);
    routes.service(refunds::get).service(refunds::set_payee);
    routes.service(refunds::release).service(refunds::confirm).service(refunds::came_back).service(refunds::pay_out);
    routes.service(reconciliation::take_flow).service(reconciliation::take_statement).service(reconciliation::get);
    routes.service(quotes::draft).service(quotes::lists::list).service(quotes::lists::export).service(quotes::read).service(quotes::revise);
    routes.service(quotes::send).service(quotes::accept).service(quotes::confirm).service(quotes::reopen);
    routes.service(quotes::refuse).service(quotes::cancel).service(quotes::options::list).service(reminders::list);
    routes.service(quotes::files::quote_document).service(quotes::files::tickets_document).service(quotes::files::notice_document);
    routes.service(accounts::open).service(accounts::list).service(accounts::read).service(accounts::change);
    routes.service(accounts::agree).service(accounts::settle);
    routes.service(tills::open).service(tills::list).service(tills::get).service(tills::move_cash).service(tills::close);
    routes.service(fraud::list).service(fraud::get).service(fraud::assign).service(fraud::decide).service(fraud::undo);
    routes.service(fraud::decide_many).service(fraud::appeal).service(fraud::get_appeal).service(fraud::look_up_appeal).service(fraud::report::get);
    routes.service(fraud::rules::list).service(fraud::rules::draft).service(fraud::rules::activate).service(fraud::rules::retire);
    routes.service(fraud::rules::list_versions).service(fraud::trial::dry_run);
    routes.service(fraud::models::list).service(fraud::models::register).service(fraud::models::challenge);
    routes.service(fraud::models::weigh).service(fraud::models::promote).service(fraud::models::retire);
    routes.service(vouchers::issue).service(vouchers::look_up).service(vouchers::get);
}

/// What is not part of the contract: the contract itself and its readable form.
pub fn unpublished(routes: &mut web::ServiceConfig) {
    docs::routes(routes);
}

/// The station, whose contract is pagoPA's.
pub fn at_station(routes: &mut web::ServiceConfig) {
    routes.route(station::PATH, web::post().to(station::ask));
}

/// The station beside the rest: whoever reaches it can say that a payment was made, so this is for demos.
pub fn unpublished_with_station(routes: &mut web::ServiceConfig) {
    unpublished(routes);
    at_station(routes);
}

/// An instant as the clocks in Rome show it, with its offset: `2026-11-23T09:00:00+01:00`.
#[must_use]
pub fn local(instant: Timestamp) -> String {
    instant.to_jiff().to_zoned(calendar::rome().clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// Whether a caller would rather have an answer in this form than as JSON: of all that its `Accept` names this form has the greatest weight, or an equal one and comes first.
fn prefers(request: &HttpRequest, form: &str) -> bool {
    let mut best = ("", 0.0_f32);
    let accepted = request.headers().get_all(header::ACCEPT).filter_map(|accept| accept.to_str().ok()).flat_map(|accept| accept.split(','));
    for range in accepted {
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix(['q', 'Q'])?.strip_prefix('=')?.parse::<f32>().ok()).unwrap_or(1.0);
        if weight > best.1 {
            best = (named, weight);
        }
    }
    best.0.eq_ignore_ascii_case(form)
}

/// A slot that has the places that another one has not.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Alternative {
    /// The slot.
    slot: String,
    /// When it starts (RFC 3339, UTC).
    starts_at: String,
    /// How many places this channel may take.
    available: u32,
}

/// A failure as a problem; where places are short, with the nearest slots of the same route that have them, from the published counters, and
/// with the address of the waiting list, if the slot ever has that many places for the channel.
pub fn alternatives(node: &Node, slot: SlotId, channel: Channel, failure: Failure<Refusal>) -> Problem {
    alternatives_but(node, slot, None, channel, failure)
}

/// As [`alternatives`], to whoever has places of a slot already, from which they want to move: that one is none.
pub fn alternatives_but(node: &Node, slot: SlotId, has: Option<SlotId>, channel: Channel, failure: Failure<Refusal>) -> Problem {
    let Failure::Refused(Refusal::NotEnoughPlaces { asked, .. }) = failure else { return failure.into() };
    let mut problem = Problem::from(failure);
    let Some(known) = node.museums().get(slot.museum()) else { return problem };
    let may_wait = |seen: &SlotAvailability| asked <= seen.places.most_before(channel, sale_ends_at(slot, seen.end, &seen.policy, channel));
    if of_slot(&known, node.board(), slot, channel, node.now()).as_ref().is_some_and(may_wait) {
        problem = problem.with("waiting_list", format!("/v1/slots/{slot}/waiting"));
    }
    let near = node.near(slot, channel);
    let asked_of = (slot, has, channel, asked);
    let told = TOLD.with_borrow(|told| told.get(&asked_of).filter(|told| Arc::ptr_eq(&told.0, &near)).map(|told| Arc::clone(&told.1)));
    if let Some(told) = told {
        return problem.with_written("alternatives", told);
    }
    let nearest: Vec<Alternative> = near
        .iter()
        .filter(|other| other.available >= asked && Some(other.slot) != has)
        .take(ALTERNATIVES_MAX)
        .map(|other| Alternative { slot: other.slot.to_string(), starts_at: other.slot.start().to_string(), available: other.available })
        .collect();
    let Ok(written) = serde_json::value::to_raw_value(&nearest).map(Arc::<RawValue>::from) else { return problem };
    TOLD.with_borrow_mut(|told| {
        if told.len() >= TOLD_MAX {
            told.clear();
        }
        told.insert(asked_of, (near, Arc::clone(&written)));
    });
    problem.with_written("alternatives", written)
}

/// What they asked for: of which slot, but for which other one, through which channel, and for how many people.
type AskedOf = (SlotId, Option<SlotId>, Channel, u32);
/// The nearest slots of which a caller was told, and what it was told: as long as these hold, the next one who asks for as much is told the same.
type Told = (Arc<[Near]>, Arc<RawValue>);

/// Of more such answers, all are forgotten.
const TOLD_MAX: usize = 128;

thread_local! {
    /// Each thread that answers has its own.
    static TOLD: RefCell<HashMap<AskedOf, Told>> = RefCell::default();
}

/// What the data folder holds; a node without one has no keys either, so nobody gets here.
fn files(node: &Node) -> Result<&Files, Problem> {
    node.files().ok_or_else(|| Problem::unavailable("this installation has no data folder"))
}

/// The museum that a caller names by slug or number, if it has the scope there.
fn museum_of(node: &Node, caller: &Caller, scope: Scope, name: &str) -> Result<Arc<Known>, Problem> {
    caller.may(scope)?;
    let known = known_by_name(node, name).ok_or_else(Problem::not_found)?;
    caller.may_at(scope, known.museum.id())?;
    Ok(known)
}

/// The museum with this slug or number.
pub fn known_by_name(node: &Node, name: &str) -> Option<Arc<Known>> {
    match name.parse() {
        Ok(number) => node.museums().get(MuseumId(number)),
        Err(_) => name.parse().ok().and_then(|slug| node.museums().by_slug(slug)),
    }
}

/// How many items to answer with.
fn page_size(limit: Option<u32>) -> Result<u32, Problem> {
    let limit = limit.unwrap_or(PAGE);
    within("limit", limit, PAGE_MAX).map(|()| limit)
}

/// Whether a number that a query names is from 1 to as many as the contract says there.
fn within(name: &str, number: u32, most: u32) -> Result<(), Problem> {
    if (1..=most).contains(&number) { Ok(()) } else { Err(Problem::malformed(format!("{name}: a whole number from 1 to {most} is expected"))) }
}

/// Whether a text can be a desk's reference of a receipt or a terminal: printable, and no longer than the contract says.
fn is_reference(text: &str) -> bool {
    is_line(text) && text.chars().count() <= REFERENCE_MAX
}

/// The first and the last day that a query asks for, in Rome, at most `days_max` of them. Without `from` they begin today; without `to` it is the first day alone.
fn days_of(now: Timestamp, from: Option<Date>, to: Option<Date>, days_max: i32) -> Result<(Date, Date), Problem> {
    let from = from.unwrap_or_else(|| calendar::local_day(now));
    let to = to.unwrap_or(from);
    let days = from.until(to).map_or(i32::MAX, |span| span.get_days()).saturating_add(1);
    if (1..=days_max).contains(&days) {
        Ok((from, to))
    } else {
        Err(Problem::invalid(format!("from must not be after to, and there are at most {days_max} days")))
    }
}

/// An instant that a query names.
fn instant_of(name: &str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let unread = |_| Problem::malformed(format!("{name}: an instant, as 2027-01-31T09:00:00Z, is expected"));
    text.map(str::parse).transpose().map_err(unread)
}

/// One page of rows that were read with one more than its size, and, if others follow, behind which row they do.
fn page<T, C>(mut rows: Vec<T>, size: u32, cursor: impl Fn(&T) -> C) -> (Vec<T>, Option<C>) {
    let more = rows.len() > size as usize;
    rows.truncate(size as usize);
    let last = rows.last().filter(|_| more).map(cursor);
    (rows, last)
}

/// The answer to whoever has made something: where it is found, and what it is.
fn created(location: String, view: &impl Serialize) -> Result<HttpResponse, Problem> {
    let mut json = Vec::with_capacity(ANSWER);
    serde_json::to_writer(&mut json, view).map_err(|_| not_rebuilt())?;
    let content_type = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).insert_header(content_type).body(json))
}

/// What a task that goes on by itself has come to, also if whoever asked has gone: a day that is half closed is in nobody's interest, nor is a document in memory whose turn is over.
async fn to_its_end<T: 'static, E: Into<Problem> + 'static>(task: impl Future<Output = Result<T, E>> + 'static) -> Result<T, Problem> {
    rt::spawn(task).await.map_err(|_| Problem::from(Failure::<Refusal>::OutcomeUnknown))?.map_err(Into::into)
}

/// A record that does not hold what its command always does: it cannot be answered from.
fn not_rebuilt() -> Problem {
    Problem::unavailable("the answer cannot be rebuilt")
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_table_is_for_whoever_would_rather_have_one() {
        for (accept, expected) in [
            ("text/csv", true),
            ("Text/CSV; charset=utf-8", true),
            ("text/csv, */*;q=0.1", true),
            ("application/json;q=0.5, text/csv;q=0.9", true),
            ("text/csv, application/json", true),
            ("application/json, text/csv", false),
            ("text/csv;q=0.1, application/json", false),
            ("text/csv;q=0", false),
            ("text/csvx", false),
            ("text/html,application/xml;q=0.9,*/*;q=0.8", false),
            ("*/*", false),
            ("", false),
        ] {
            let request = TestRequest::get().insert_header((header::ACCEPT, accept)).to_http_request();
            assert_eq!(prefers(&request, "text/csv"), expected, "{accept}");
        }
        assert!(!prefers(&TestRequest::get().to_http_request(), "text/csv"), "whoever names nothing has JSON");
    }

    #[test]
    fn numbers_days_and_references_are_taken_up_to_what_the_contract_says_and_no_further() {
        let refused = |read: Result<(), Problem>| read.err().map(|problem| problem.code());
        for (number, refusal) in [(0, Some("malformed")), (1, None), (7, None), (8, Some("malformed")), (u32::MAX, Some("malformed"))] {
            assert_eq!(refused(within("limit", number, 7)), refusal, "{number}");
        }
        let size = |limit| page_size(limit).map_err(|problem| problem.code());
        assert_eq!((size(None), size(Some(PAGE_MAX)), size(Some(PAGE_MAX + 1))), (Ok(PAGE), Ok(PAGE_MAX), Err("malformed")));
        let now: Timestamp = "2026-06-10T22:00:00Z".parse().unwrap();
        let day = |text: &str| text.parse::<Date>().unwrap();
        let days = |from: Option<&str>, to: Option<&str>| days_of(now, from.map(day), to.map(day), 3).map_err(|problem| problem.code());
        let (first, last) = (day("2026-06-11"), day("2026-06-13"));
        assert_eq!(days(None, None), Ok((first, first)), "in Rome it is the day after");
        assert_eq!(days(None, Some("2026-06-13")), Ok((first, last)));
        assert_eq!(days(Some("2026-06-11"), Some("2026-06-13")), Ok((first, last)));
        assert_eq!(days(Some("2026-06-11"), Some("2026-06-14")), Err("invalid"), "one too many");
        assert_eq!(days(Some("2026-06-12"), Some("2026-06-11")), Err("invalid"));
        for (text, taken) in [("", false), (" ", false), ("R", true), (&"x".repeat(64), true), (&"x".repeat(65), false), (&"🎟".repeat(64), true)] {
            assert_eq!(is_reference(text), taken, "{text:?}");
        }
    }

    #[test]
    fn a_page_says_behind_which_row_others_follow_only_if_some_do() {
        let read = |rows: &[u8]| page(rows.to_vec(), 2, |row| *row);
        assert_eq!((read(&[]), read(&[1, 2]), read(&[1, 2, 3])), ((vec![], None), (vec![1, 2], None), (vec![1, 2], Some(2))));
    }
}
