//! How well fraud is found and whom that hurts: by channel and museum, over some days; and whether what is scored now is still like what was.

use std::collections::BTreeMap;

use actix_web::middleware::Compress;
use actix_web::{HttpResponse, get, web};
use serde::{Deserialize, Serialize};
use tornello_actors::cases::report::{Figures, Weights, drift_windows, figures, psi, weights};
use tornello_actors::fraud::FEATURES;
use tornello_actors::fraud::lately::{ChannelDrift, Drift, Drifted, FeatureDrift};
use tornello_actors::keys::Museums;
use tornello_actors::node::Node;
use tornello_actors::views::fraud::{CaseFilter, CaseRow};
use tornello_engine::time::DAY_S;

use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::reasons::{self, ReasonView};
use crate::routes::payments::museums;
use crate::routes::{files, within};
use crate::words::DriftWord;

/// How many days if the caller does not say, and the most.
const DAYS: u32 = 28;
const DAYS_MAX: u32 = 366;
/// The most cases that a report rests on: the most urgent ones.
const CASES_MAX: u32 = 200_000;
/// So many features are told of a channel: those that are furthest from what they were.
const FEATURES_TOLD: usize = 10;

/// Which report.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReportQuery {
    /// Only of this museum: its slug or number.
    museum: Option<String>,
    /// Over how many days up to now: 28 if not said.
    #[param(minimum = 1, maximum = 366)]
    days: Option<u32>,
}

/// The figures of some cases. Shares are 0 to 1, and absent where nothing is known.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct FiguresView {
    /// How many cases.
    cases: u32,
    /// How many of them were picked at random.
    picked: u32,
    /// How many have a verdict.
    decided: u32,
    /// How many lapsed without one.
    lapsed: u32,
    /// How many a day were suspected: cases of origin `review`.
    alerts_per_day: f64,
    /// Of those that were suspected and are known by now, how many were fraud.
    #[serde(skip_serializing_if = "Option::is_none")]
    precision: Option<f64>,
    /// Of all fraud, as far as banks tell, and those picked at random of which it is known what they were, how much was suspected. Absent where neither tells anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    recall: Option<f64>,
    /// The area under precision over recall, by score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pr_auc: Option<f64>,
    /// How many frauds nobody suspected before the payer's bank took the money back: they were missed.
    charged_back: u32,
    /// How many sales nobody suspected before a gate met their tickets twice: in none of the shares above, as nobody can tell of others of their kind.
    met_twice: u32,
    /// How many of these were fraud, as far as is known.
    met_twice_fraud: u32,
    /// What sales had cost that a verdict blocked as fraud, less what of it was paid back or is to be, in euro cents: without what a bank speaks of, and without attempts that were
    /// refused, which nobody has paid.
    saved_cents: i64,
    /// How many honest buyers were blocked, or refused by a rule, as far as is known.
    good_hurt: u32,
    /// Of how many that were blocked or refused it is known by now what they were: what `good_hurt` is to be held against. Those who appeal are mostly honest.
    hurt_known: u32,
    /// The share of honest buyers among those whom rules refused, from the attempts that chance has picked and somebody has looked at, whoever appeals.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_good: Option<f64>,
    /// Of those with a verdict, how many had it in time; without those of which a bank or a gate told.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_time: Option<f64>,
    /// Half of these took no longer, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    median_s: Option<i64>,
}

impl From<Figures> for FiguresView {
    fn from(figures: Figures) -> Self {
        Self {
            cases: figures.cases,
            picked: figures.picked,
            decided: figures.decided,
            lapsed: figures.lapsed,
            alerts_per_day: figures.alerts_per_day,
            precision: figures.precision,
            recall: figures.recall,
            pr_auc: figures.pr_auc,
            charged_back: figures.charged_back,
            met_twice: figures.met_twice,
            met_twice_fraud: figures.met_twice_fraud,
            saved_cents: figures.saved_cents,
            good_hurt: figures.good_hurt,
            hurt_known: figures.hurt_known,
            refused_good: figures.refused_good,
            in_time: figures.in_time,
            median_s: figures.median_s,
        }
    }
}

/// The figures of one channel or museum.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct FiguresOf {
    /// The channel, or the museum's number.
    of: String,
    /// Its figures.
    figures: FiguresView,
}

/// How far the scores of the last seven days are from those of the four weeks before.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct DriftView {
    /// Through which channel.
    channel: String,
    /// The population stability index: above 0.1 look, above 0.25 train anew. Absent where there were fewer than 500 scores in either time.
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<f64>,
}

/// How far a feature is from what it was when the model was made.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct FeatureDriftView {
    /// Which, in words.
    feature: ReasonView,
    /// The population stability index, over ten bands of then at most.
    psi: f64,
    /// What it asks for: above 0.1 a `look`, above 0.25 that the model is made anew (`retrain`).
    #[schema(value_type = DriftWord)]
    asks: Drift,
    /// The share of events whose value is less or more than any of then, 0 to 1.
    outside_share: f64,
}

impl From<&FeatureDrift> for FeatureDriftView {
    fn from(drift: &FeatureDrift) -> Self {
        let name = FEATURES.get(drift.feature).map_or("", |(name, _)| *name);
        Self { feature: reasons::feature(name), psi: drift.psi, asks: drift.asks(), outside_share: drift.outside }
    }
}

/// How far the features of a channel are from what they were.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ChannelDriftView {
    /// Through which channel.
    channel: &'static str,
    /// How many events were counted.
    events: u64,
    /// How many there were among those of then.
    events_then: u64,
    /// The features that are furthest from what they were, the furthest first; none where there are, or were, fewer than 500 events.
    #[schema(max_items = 10)]
    features: Vec<FeatureDriftView>,
}

impl From<&ChannelDrift> for ChannelDriftView {
    fn from(drift: &ChannelDrift) -> Self {
        Self {
            channel: drift.outlet.name(),
            events: drift.events,
            events_then: drift.expected,
            features: drift.features.iter().take(FEATURES_TOLD).map(Into::into).collect(),
        }
    }
}

/// How far what the acting model is fed is from what there was when it was made, in the last seven days at most.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct FedDriftView {
    /// The model.
    model: String,
    /// The last event that was there when it was made (RFC 3339, UTC).
    #[schema(format = DateTime)]
    made_until: String,
    /// The first event that was counted since (RFC 3339, UTC): after a start of the node it may be later than seven days ago. Absent where none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    from: Option<String>,
    /// The last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    to: Option<String>,
    /// How many were counted.
    events: u64,
    /// The share of them that came through a channel of which there was none when the model was made, 0 to 1. Absent where none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    unseen_share: Option<f64>,
    /// By channel, of those that there were or are.
    #[schema(max_items = 5)]
    by_channel: Vec<ChannelDriftView>,
}

impl From<Drifted> for FedDriftView {
    fn from(drifted: Drifted) -> Self {
        let (from, to) = drifted.window.unzip();
        Self {
            model: drifted.model.to_string(),
            made_until: drifted.made_until.to_string(),
            from: from.map(|from| from.to_string()),
            to: to.map(|to| to.to_string()),
            events: drifted.events,
            unseen_share: drifted.unseen_share,
            by_channel: drifted.channels.iter().map(Into::into).collect(),
        }
    }
}

/// The report.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ReportView {
    /// Over how many days.
    days: u32,
    /// All together.
    total: FiguresView,
    /// By channel.
    #[schema(max_items = 5)]
    by_channel: Vec<FiguresOf>,
    /// By museum.
    #[schema(max_items = 1_000)]
    by_museum: Vec<FiguresOf>,
    /// How many attempts rules refused outright, as far as they are kept.
    blocked_attempts: u32,
    /// Drift of the scores, of all museums.
    #[schema(max_items = 5)]
    drift: Vec<DriftView>,
    /// Drift of what the acting model is fed, of all museums; absent where no model acts, or none that says of what it was made, and to a key for some museums: it counts what happens at
    /// all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    feature_drift: Option<FedDriftView>,
    /// The journal's batch up to which the report is complete.
    as_of_batch: u64,
}

fn by(rows: &[CaseRow], (days, weights): (f64, &Weights), of: impl Fn(&CaseRow) -> String) -> Vec<FiguresOf> {
    let mut groups: BTreeMap<String, Vec<&CaseRow>> = BTreeMap::new();
    rows.iter().for_each(|row| groups.entry(of(row)).or_default().push(row));
    groups.into_iter().map(|(of, rows)| FiguresOf { of, figures: figures(rows, days, weights).into() }).collect()
}

/// Report on fraud.
///
/// What was missed is estimated from the cases that were picked at random among what nobody suspected, each weighted by its channel, and from what banks took back. Whom rules hurt is estimated
/// from appeals, and from the refused attempts that were picked at random.
#[utoipa::path(
    tag = "Fraud", operation_id = "get_fraud_report", security(("key" = ["investigate"])), params(ReportQuery),
    responses((status = 200, description = "The report", body = ReportView), crate::openapi::Problems),
)]
#[get("/fraud/report", wrap = "Compress::default()")]
pub async fn get(node: web::Data<Node>, caller: Caller, query: web::Query<ReportQuery>) -> Result<HttpResponse, Problem> {
    caller.may(Scope::Investigate)?;
    let days = query.days.unwrap_or(DAYS);
    within("days", days, DAYS_MAX)?;
    let museums = museums(&node, &caller, Scope::Investigate, query.museum.as_deref())?;
    let (views, now) = (&files(&node)?.views, node.now());
    let (as_of_batch, from) = (views.as_of_batch(), now.plus_seconds(-i64::from(days) * DAY_S));
    let filter = CaseFilter { museums: museums.clone(), opened_from: Some(from), ..CaseFilter::default() };
    let rows = views.fraud_cases(&filter, CASES_MAX).await?;
    // Of all museums: what is picked, is picked from all.
    let weights = weights(&views.unsuspected(from).await?, &views.picked_known(from).await?);
    let span = (f64::from(days), &weights);
    let asked = |museum: &_| museums.as_ref().is_none_or(|museums| museums.contains(museum));
    let blocked_attempts = views.blocked_attempts(from).await?.iter().filter(|(museum, ..)| asked(museum)).map(|(.., count)| count).sum();
    let [(from, to), (since, until)] = drift_windows(now);
    let (before, lately) = (views.score_bands(from, to).await?, views.score_bands(since, until).await?);
    let drift = lately
        .iter()
        .map(|(channel, bands)| DriftView { channel: channel.clone(), psi: before.get(channel).and_then(|expected| psi(expected, bands)) });
    Ok(HttpResponse::Ok().json(ReportView {
        days,
        total: figures(&rows, span.0, span.1).into(),
        by_channel: by(&rows, span, |row| row.channel.clone()),
        by_museum: by(&rows, span, |row| row.museum.0.to_string()),
        blocked_attempts,
        drift: drift.collect(),
        feature_drift: node.scoring().judge().drifted(now).filter(|_| caller.0.museums == Museums::All).map(Into::into),
        as_of_batch,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_that_moved_is_told_in_words() {
        let told = serde_json::to_value(FeatureDriftView::from(&FeatureDrift { feature: 2, psi: 0.3, outside: 0.5 })).unwrap();
        let words = serde_json::json!({
            "code": "person_holds_1h",
            "it": "Stesso acquirente: molte prenotazioni in un'ora",
            "en": "Same buyer: many holds within an hour",
        });
        assert_eq!(told, serde_json::json!({"feature": words, "psi": 0.3, "asks": "retrain", "outside_share": 0.5}));
    }
}
