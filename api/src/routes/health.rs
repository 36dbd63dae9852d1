//! Whether all is well, for probes, and figures for Prometheus. Both are open to whoever reaches the port: keep them inside the network (the proxy in front does
//! not pass them on). Nothing here is about a person.

use std::sync::OnceLock;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, get, web};
use metrics::{Recorder as _, counter, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde::Serialize;
use tornello_actors::fraud::Stale;
use tornello_actors::hex::Hex;
use tornello_actors::journal::writer::Health;
use tornello_actors::node::Node;
use tornello_engine::ids::Code;

use crate::mqtt::Link;

/// How long the journal may take to say where it ends.
const JOURNAL_WITHIN: Duration = Duration::from_secs(2);
/// Upper bounds of the latency histogram, in seconds.
const BUCKETS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0];
/// Every figure by its name, and what it says.
const FIGURES: [(&str, &str); 28] = [
    ("http_request_seconds", "How long requests took, by method and route"),
    ("http_requests_total", "Requests, by method, route and status"),
    ("tornello_assessed_suspect_total", "Assessed commands with figures that cannot be"),
    ("tornello_assessed_total", "Commands that were assessed for fraud since the start"),
    ("tornello_assessed_unread_total", "Assessed commands of whose parties the counters could not be read (counters_unread)"),
    ("tornello_assessed_without_model_total", "Assessed commands in which no model took part: rules alone"),
    ("tornello_commands_total", "Changes that were asked for, by route and outcome: done, or the code of the problem"),
    ("tornello_forged_codes_total", "Codes shown at a gate that nobody here has signed, by museum and gate"),
    ("tornello_journal_batches_total", "The number of the last batch of the journal"),
    ("tornello_journal_records_at_start_total", "Records that the check at the start has read"),
    ("tornello_lost_refusals_total", "Refusals at gates that were not noted, because too many waited"),
    ("tornello_mqtt_connected", "1 while the MQTT broker sends readings"),
    ("tornello_mqtt_readings_total", "Readings over MQTT, by outcome: taken, or the code of the problem"),
    ("tornello_offline_scans_total", "Scans that gates without a network sent in, by outcome"),
    ("tornello_people_inside", "People inside by the sensors, by museum"),
    ("tornello_scoring_caught_up", "1 once the scorers have heard all that was written before the start; before, rules act alone"),
    ("tornello_scoring_has_model", "1 if there is a model"),
    ("tornello_scoring_lag_batches", "Batches of the journal that the scorers have not heard yet"),
    ("tornello_scoring_missed_batches_total", "How often the scorers had to read batches back from the journal, because they came too quickly"),
    ("tornello_scoring_parties", "Parties that the scorers count"),
    ("tornello_scoring_skipped_events_total", "Events that models which only watch had no time for"),
    ("tornello_scoring_stale", "1 if rules act alone although there is a model; /status says why"),
    ("tornello_slot_owners", "Slots that are in memory as a whole"),
    ("tornello_slots_on_board", "Slots whose counters are published: those that something was written to"),
    ("tornello_unnoted_refusals", "Refusals at gates that wait to be noted"),
    ("tornello_unrecorded_scans", "Admissions and exits that gates were told and that are not written yet; a stop or crash loses them"),
    ("tornello_views_lag_batches", "Batches of the journal that the lists do not show yet"),
    ("tornello_wall_clock_ahead_seconds", "By how much the machine's clock is ahead of the time that counts here; below zero: behind"),
];

/// The end of the journal.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct JournalView {
    /// Number of the last batch.
    batch: u64,
    /// Its hash, which chains it to all before.
    #[schema(max_length = 64)]
    hash: String,
    /// When it was written; absent if the journal is empty (RFC 3339, UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    at: Option<String>,
}

/// What the check at start found.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct StartedView {
    /// Number of the last sound batch.
    batch: u64,
    /// How many records were checked.
    records: u64,
    /// The last batch, if it was torn and has been cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<u64>,
}

/// How the scorers of fraud are.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ScoringView {
    /// Whether they have heard all that was written before the start. If not, rules act alone, on older counters.
    caught_up: bool,
    /// By how many batches they are behind.
    lag_batches: u64,
    /// How many parties are counted.
    parties: u64,
    /// The model that acts, unless it is `stale`; absent: rules act alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 23)]
    model: Option<Code>,
    /// Why rules act alone although there is a model: `behind` (the scorers have more than 2,000 batches to hear, or have heard none of those for ten seconds) or
    /// `old_model` (the node fitted it more than seven days ago, and none since); absent if it acts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 16)]
    stale: Option<&'static str>,
    /// The model that watches.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 23)]
    challenger: Option<Code>,
    /// The version of the rules; 0: those that everybody begins with.
    rules_version: u32,
}

/// How things are. It has the form of a problem, as the Italian guidelines ask, also when there is none.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct StatusView {
    /// Always `about:blank`.
    #[serde(rename = "type")]
    #[schema(max_length = 32)]
    kind: &'static str,
    /// 200 if it works.
    #[schema(minimum = 200, maximum = 599)]
    status: u16,
    /// In a word.
    #[schema(max_length = 32)]
    title: &'static str,
    /// The version that runs.
    #[schema(max_length = 32)]
    version: &'static str,
    /// What time it is here (RFC 3339, UTC).
    #[schema(format = DateTime)]
    now: String,
    /// By how many milliseconds the machine's wall clock is ahead of that (behind, if negative): if it is more than moments, it has jumped and is not followed
    /// until a restart.
    wall_clock_ahead_ms: i64,
    /// The end of the journal.
    journal: JournalView,
    /// What the check at start found.
    started: StartedView,
    /// By how many batches the lists of sales and tickets are behind.
    views_lag_batches: u64,
    /// How many admissions and exits gates were told that are not written yet, because the journal did not write.
    unrecorded_scans: u64,
    /// How what is said of commands against misuse is made.
    scoring: ScoringView,
    /// Whether the MQTT broker sends readings: `connected` or `disconnected`; absent if none is followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 16)]
    mqtt: Option<&'static str>,
}

/// Whether it works.
///
/// 200 if the journal can be reached and written, 503 if not.
#[utoipa::path(
    tag = "Health", operation_id = "get_status", security(()),
    responses((status = 200, description = "It works", body = StatusView, content_type = "application/problem+json"),
        (status = 503, description = "It does not", body = StatusView, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests; see Retry-After", body = crate::problem::Body, content_type = "application/problem+json")),
)]
#[get("/status")]
pub async fn status(node: web::Data<Node>, mqtt: web::ThinData<Option<Link>>) -> HttpResponse {
    let reached = tokio::time::timeout(JOURNAL_WITHIN, node.journal().head()).await;
    let (reached, health) = (matches!(reached, Ok(Ok(_))), node.health());
    let works = reached && health == Health::Writing;
    let (scoring, head, started) = (node.scoring().state(), node.head(), node.started());
    let status = if works { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let view = StatusView {
        kind: "about:blank",
        status: status.as_u16(),
        title: match health {
            Health::Writing if reached => "it works",
            Health::Writing | Health::Recovering => "the journal cannot be reached",
            Health::Stalled => "the disk stalls: a write takes too long",
            Health::Stopped => "the disk failed: restart",
        },
        version: env!("CARGO_PKG_VERSION"),
        now: node.now().to_string(),
        wall_clock_ahead_ms: node.wall_ahead_us() / 1_000,
        journal: JournalView { batch: head.number, hash: Hex(head.hash).to_string(), at: (head.number > 0).then(|| head.at.to_string()) },
        started: StartedView { batch: started.head.number, records: started.records, cut: started.cut },
        views_lag_batches: views_lag(&node),
        unrecorded_scans: node.unrecorded() as u64,
        scoring: ScoringView {
            caught_up: scoring.caught_up,
            lag_batches: head.number.saturating_sub(scoring.position),
            parties: scoring.parties as u64,
            model: scoring.champion,
            stale: node.scoring().stale(node.now()).map(Stale::name),
            challenger: scoring.challenger,
            rules_version: scoring.rules_version,
        },
        mqtt: mqtt.0.as_ref().map(|link| if link.figures().connected { "connected" } else { "disconnected" }),
    };
    let mut response = HttpResponse::build(status);
    if !works {
        response.insert_header(("Retry-After", "5"));
    }
    let body = serde_json::to_vec(&view).unwrap_or_default();
    response.content_type("application/problem+json").body(body)
}

fn views_lag(node: &Node) -> u64 {
    node.files().map_or(0, |files| node.head().number.saturating_sub(files.views.as_of_batch()))
}

/// Read figures.
///
/// In the text form of Prometheus, each with a line of what it says. For the inside network only.
#[utoipa::path(
    tag = "Health", operation_id = "get_metrics", security(()),
    responses((status = 200, description = "The figures", body = String, content_type = "text/plain"),
        (status = 429, description = "Too many requests; see Retry-After", body = crate::problem::Body, content_type = "application/problem+json"),
        (status = 503, description = "Not now; see Retry-After", body = crate::problem::Body, content_type = "application/problem+json")),
)]
#[get("/metrics")]
pub async fn figures(node: web::Data<Node>, mqtt: web::ThinData<Option<Link>>) -> HttpResponse {
    let figure = |count: usize| u32::try_from(count).map_or(f64::INFINITY, f64::from);
    counter!("tornello_journal_batches_total").absolute(node.head().number);
    counter!("tornello_journal_records_at_start_total").absolute(node.started().records);
    gauge!("tornello_slot_owners").set(figure(node.owners()));
    gauge!("tornello_slots_on_board").set(figure(node.board().len()));
    gauge!("tornello_views_lag_batches").set(figure(usize::try_from(views_lag(&node)).unwrap_or(usize::MAX)));
    gauge!("tornello_unrecorded_scans").set(figure(node.unrecorded()));
    let (unnoted, lost) = node.unnoted();
    gauge!("tornello_unnoted_refusals").set(figure(unnoted));
    counter!("tornello_lost_refusals_total").absolute(lost);
    for (museum, gate, count) in node.forged() {
        counter!("tornello_forged_codes_total", "museum" => museum.0.to_string(), "gate" => gate.to_string()).absolute(count);
    }
    let scoring = node.scoring().state();
    gauge!("tornello_scoring_caught_up").set(if scoring.caught_up { 1.0 } else { 0.0 });
    gauge!("tornello_scoring_lag_batches").set(figure(usize::try_from(node.head().number.saturating_sub(scoring.position)).unwrap_or(usize::MAX)));
    gauge!("tornello_scoring_parties").set(figure(scoring.parties));
    gauge!("tornello_scoring_has_model").set(if scoring.champion.is_some() { 1.0 } else { 0.0 });
    gauge!("tornello_scoring_stale").set(if node.scoring().stale(node.now()).is_some() { 1.0 } else { 0.0 });
    counter!("tornello_assessed_total").absolute(scoring.assessed);
    counter!("tornello_assessed_without_model_total").absolute(scoring.without_model);
    counter!("tornello_assessed_unread_total").absolute(scoring.unread);
    counter!("tornello_assessed_suspect_total").absolute(scoring.suspect);
    counter!("tornello_scoring_missed_batches_total").absolute(scoring.missed);
    counter!("tornello_scoring_skipped_events_total").absolute(scoring.skipped);
    if let Some(link) = &mqtt.0 {
        gauge!("tornello_mqtt_connected").set(if link.figures().connected { 1.0 } else { 0.0 });
    }
    gauge!("tornello_wall_clock_ahead_seconds").set(node.wall_ahead_us() as f64 / 1e6);
    for known in node.museums().all() {
        let museum = known.museum.id();
        if let Some(occupancy) = node.sensors().occupancy(museum) {
            gauge!("tornello_people_inside", "museum" => museum.0.to_string()).set(f64::from(occupancy.inside.people));
        }
    }
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(recorder().render())
}

/// Where figures are collected: one place in the process, made at the first call.
pub fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new().set_buckets(&BUCKETS).unwrap_or_default();
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        for (name, what) in FIGURES {
            // What is said of a figure is kept by its name, of whichever kind it is.
            recorder.describe_gauge(name.into(), None, what.into());
        }
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("figures are collected elsewhere: /metrics stays empty");
        }
        handle
    })
}
