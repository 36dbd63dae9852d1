//! What was scored as a table, one line each, for those who look for better scorers outside of Rust: what was seen of it, who was behind it, and what one model said.
//! The truth stands beside the features here; no scorer is ever given this.

use std::fmt::Write as _;
use std::io::Write;

use anyhow::Context;
use tornello_datasets::fraud_world::Nature;
use tornello_models::fraud::rules::Action as RuleAction;
use tornello_models::fraud::signals::{FEATURES, Role, Taking};

use super::judge::Said;
use super::run::{History, Scored};

/// The columns before the features.
const COLUMNS: [&str; 14] =
    ["intent", "at_us", "day", "queue", "acting", "parties", "slot", "agent", "nature", "variant", "harmful", "rule", "score", "percentile"];

/// Writes all that was scored, in order. `said` is what a model says of each; values as short as they can be read back exactly.
pub(super) fn write(history: &History, said: &[Option<Said>], to: impl Write) -> anyhow::Result<()> {
    let mut table = csv::Writer::from_writer(to);
    table.write_record(COLUMNS.into_iter().chain(FEATURES.iter().map(|(name, _)| *name))).context("writing the names of the columns")?;
    for (scored, said) in history.scored.iter().zip(said) {
        table.write_record(line(history, scored, said.as_ref())).context("writing a row")?;
    }
    table.flush().context("writing the rows")
}

fn line(history: &History, scored: &Scored, said: Option<&Said>) -> Vec<String> {
    let deed = history.truth.deed(scored.intent);
    let (nature, variant) = match deed.and_then(|deed| history.truth.nature(deed.agent)) {
        Some(Nature::Honest(persona)) => (persona.name(), ""),
        Some(Nature::Attacker(attack, variant)) => (attack.name(), variant.name()),
        None => ("", ""),
    };
    let rule = match scored.fired.action {
        Some(RuleAction::Block) => "block",
        Some(RuleAction::Review) => "review",
        Some(RuleAction::StepUp) => "step_up",
        _ => "",
    };
    let mut parties = String::new();
    for Taking { role, id } in &scored.parties {
        let _ = write!(parties, "{}{}:{id:x}", if parties.is_empty() { "" } else { " " }, name(*role));
    }
    let mut line = vec![
        scored.intent.to_string(),
        scored.at_us.to_string(),
        scored.day().to_string(),
        scored.queue.name().to_owned(),
        scored.acting.map(|(role, id)| format!("{}:{id:x}", name(role))).unwrap_or_default(),
        parties,
        scored.slot.to_string(),
        deed.map(|deed| deed.agent.to_string()).unwrap_or_default(),
        nature.to_owned(),
        variant.to_owned(),
        deed.is_some_and(|deed| deed.harmful).to_string(),
        rule.to_owned(),
        said.map(|said| said.score.to_string()).unwrap_or_default(),
        said.map(|said| said.percentile.to_string()).unwrap_or_default(),
    ];
    line.extend(scored.features.iter().map(f32::to_string));
    line
}

const fn name(role: Role) -> &'static str {
    match role {
        Role::Buyer => "buyer",
        Role::Device => "device",
        Role::Card => "card",
        Role::Account => "account",
        Role::Network => "network",
        Role::Kiosk => "kiosk",
        Role::Operator => "operator",
        Role::Group => "group",
        Role::Slot => "slot",
        Role::Museum => "museum",
    }
}
