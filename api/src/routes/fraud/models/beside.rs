//! How models fare beside the one that acts, as callers see it: the one that challenges, and the three that never act.

use serde::Serialize;
use tornello_actors::fraud::Outlet;
use tornello_actors::fraud::agreement::{Agreed, Agreement};
use tornello_actors::fraud::shadows::{Found, Raced, Shadow};

/// How often the two models would have had events of a channel looked at.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct BesideOf {
    /// Through which channel.
    channel: &'static str,
    /// How many events both would have had looked at.
    both: u64,
    /// How many only the one that acts.
    champion_only: u64,
    /// How many only the one that challenges.
    challenger_only: u64,
    /// How many none of both.
    neither: u64,
}

/// How the model that challenges and the one that acts agree, each by its own line for the same budget of alerts. It asks for no label: which one is right,
/// `GET .../evidence` says.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct BesideView {
    /// The model that acts.
    champion: String,
    /// The one that challenges.
    challenger: String,
    /// The first event that both scored (RFC 3339, UTC), since the node started, or since both have their places and their lines.
    #[schema(format = DateTime)]
    from: String,
    /// The last.
    #[schema(format = DateTime)]
    to: String,
    /// By channel, of those that had any.
    #[schema(max_items = 5)]
    by_channel: Vec<BesideOf>,
}

impl From<Agreement> for BesideView {
    fn from(agreement: Agreement) -> Self {
        let Agreement { champion, challenger, since, until, channels } = agreement;
        let of = |channel: &'static str, agreed: Agreed| {
            let Agreed { both, champion_only, challenger_only, neither } = agreed;
            BesideOf { channel, both, champion_only, challenger_only, neither }
        };
        let any = Outlet::ALL.into_iter().zip(channels).filter(|(_, agreed)| *agreed != Agreed::default());
        Self {
            champion: champion.to_string(),
            challenger: challenger.to_string(),
            from: since.to_string(),
            to: until.to_string(),
            by_channel: any.map(|(outlet, agreed)| of(outlet.name(), agreed)).collect(),
        }
    }
}

/// How much one scorer would have found, with as many alerts a day as all others.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct FoundView {
    /// How many events it would have had looked at.
    raised: u64,
    /// Of the frauds that are known the share that it would have had looked at; absent if none is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    recall: Option<f64>,
    /// Of what is known and it would have had looked at the share that is fraud; absent if there is nothing such.
    #[serde(skip_serializing_if = "Option::is_none")]
    precision: Option<f64>,
}

impl From<Found> for FoundView {
    fn from(found: Found) -> Self {
        let Found { raised, recall, precision } = found;
        Self { raised, recall, precision }
    }
}

/// One of the three scorers that never act.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ShadowView {
    /// `robust_covariance`, `isolation_forest` or `tails`.
    #[schema(max_length = 20)]
    scorer: &'static str,
    /// How much it would have found.
    found: FoundView,
    /// How many events both it and the model that acts would have had looked at.
    both: u64,
    /// How many only the one that acts.
    acting_only: u64,
    /// How many only this one.
    shadow_only: u64,
    /// How many none of both.
    neither: u64,
    /// How far its percentile lies from that of the one that acts, 0 to 1, on average; absent if both have said none of the same event.
    #[serde(skip_serializing_if = "Option::is_none")]
    percentile_apart: Option<f64>,
}

impl From<Shadow> for ShadowView {
    fn from(shadow: Shadow) -> Self {
        let Shadow { scorer, found, agreed: Agreed { both, champion_only, challenger_only, neither }, apart } = shadow;
        let (acting_only, shadow_only) = (champion_only, challenger_only);
        Self { scorer: scorer.name(), found: found.into(), both, acting_only, shadow_only, neither, percentile_apart: apart }
    }
}

/// How three scorers that need no labels fare beside the model that acts. They are asked about everything because of which analysts may read of somebody. They are compared and cannot be
/// promoted: none of them acts or challenges, whatever they find. What nobody suspects is rarely looked at, so what is known favours the model that acted.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct RacedView {
    /// The model that acts; absent if none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    acting: Option<String>,
    /// The first event that is compared (RFC 3339, UTC), of the last 65,536 since the node started or another model acts.
    #[schema(format = DateTime)]
    from: String,
    /// The last.
    #[schema(format = DateTime)]
    to: String,
    /// How many are compared.
    events: u64,
    /// The last event that the three were fitted on (RFC 3339, UTC).
    #[schema(format = DateTime)]
    fitted_until: String,
    /// On how many events they were: a part of those that the node's own model is fitted on.
    fitted_on: u64,
    /// How many sales among them proved to be fraud.
    frauds: u64,
    /// How many proved to be honest.
    honest: u64,
    /// How much the one that acts would have found by the same line.
    found: FoundView,
    /// The three.
    #[schema(max_items = 3)]
    shadows: Vec<ShadowView>,
}

impl From<Raced> for RacedView {
    fn from(raced: Raced) -> Self {
        let Raced { acting, since, until, events, fitted_until, fitted_on, frauds, honest, acts, shadows } = raced;
        Self {
            acting: acting.map(|code| code.to_string()),
            from: since.to_string(),
            to: until.to_string(),
            events,
            fitted_until: fitted_until.to_string(),
            fitted_on,
            frauds,
            honest,
            found: acts.into(),
            shadows: shadows.into_iter().map(ShadowView::from).collect(),
        }
    }
}
