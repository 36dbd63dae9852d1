//! `tornello evaluate world`: judges rules and models on the simulated world of [`tornello_datasets::fraud_world`]. **All of it is simulated**: the figures say how the
//! scoring does on attackers that we thought of.
//!
//! One history is played with the rules in force ([`run`]). The first weeks are there to learn from, the rest to be judged on. Rules alone, each unsupervised scorer, and
//! what was learned from labels ([`models`]) then read the same history with the same budget of reviews ([`judge`]). How labels come about: an unsupervised scorer opens
//! cases in the first weeks, analysts decide (and sometimes err), stolen cards come back as chargebacks; what nobody complained about for a month counts as honest.

mod causes;
mod judge;
mod live;
mod models;
mod report;
mod rows;
mod run;

use std::io::Write;

use anyhow::{Context, ensure};
use tornello_datasets::fraud_world::Settings;
use tornello_models::fraud::rules::RuleSet;

use crate::progress::Progress;

pub use judge::{Fared, Honest, REVIEW_SHARE};
pub use live::{Live, Verdict};
pub use report::{Approach, OfParties, Report};
pub use run::Queue;

/// Days that a first model is fitted on, before there are any cases.
pub const FIRST_DAYS: i64 = 7;
/// The usual length: five weeks to learn from, so that the first days are old enough to count as honest, and four to be judged on.
pub const DAYS: u16 = 63;

/// What to judge on.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    /// The world.
    pub settings: Settings,
    /// Days to learn from; the rest is judged.
    pub learn_days: i64,
}

impl Protocol {
    /// Of a world of some days: five ninths of them are there to learn from.
    pub fn new(seed: u64, days: u16, buyers_per_day: u32) -> anyhow::Result<Self> {
        let learn_days = i64::from(days) * 5 / 9;
        ensure!(learn_days > FIRST_DAYS, "a world of {days} days leaves nothing to learn from: give it 15 days or more");
        Ok(Self { settings: Settings { days, buyers_per_day, ..Settings::new(seed) }, learn_days })
    }
}

/// Plays and judges. `rows` is given all that was scored, with who was behind it and what was said without labels, as CSV.
pub fn evaluate(protocol: Protocol, mut rows: Option<&mut dyn Write>, progress: Progress) -> anyhow::Result<Report> {
    let Protocol { settings, learn_days } = protocol;
    let days = i64::from(settings.days);
    let history = run::play(settings, &RuleSet::hard_defaults(), progress);
    let stage = progress.stage("scorers", models::Way::ALL.len() as u64 + 1);
    let nothing = vec![None; history.scored.len()];
    let mut approaches = vec![Approach::of("rules only", &history, &nothing, learn_days, days)];
    let mut each = Vec::new();
    let mut best: Option<(usize, models::Way, models::Models, Vec<Option<bool>>)> = None;
    for method in models::Way::ALL {
        let fitted = models::unsupervised(&history, method, 0, learn_days, settings.seed).with_context(|| format!("fitting {}", method.name()))?;
        let said = models::say(&history, &fitted);
        let approach = Approach::of(method.name(), &history, &said, learn_days, days);
        if method != models::Way::Behaviours {
            each.push(said);
        } else if let Some(rows) = rows.take() {
            rows::write(&history, &said, rows)?;
        }
        // Which of them acts while labels are collected, and stays where there are none: decided on the weeks to learn from.
        let first = models::unsupervised(&history, method, 0, FIRST_DAYS.min(learn_days), settings.seed)?;
        let said = models::say(&history, &first);
        let cases = judge::open(&history, &said, FIRST_DAYS, learn_days, REVIEW_SHARE);
        let labels = models::labels(&history, &cases, learn_days, settings.seed);
        let found = labels.iter().filter(|label| **label == Some(true)).count();
        if best.as_ref().is_none_or(|(most, ..)| found > *most) {
            best = Some((found, method, fitted, labels));
        }
        approaches.push(approach);
        stage.step();
    }
    approaches.push(Approach::of("the three together", &history, &models::together(&each), learn_days, days));
    drop(each);
    let (_, method, fitted, labels) = best.context("no scorer could be fitted")?;
    let (learned, counts) = models::supervised(&history, &labels, &fitted, settings.seed)?;
    let mut said = models::say(&history, &learned);
    let cases = judge::open(&history, &said, learn_days, days, REVIEW_SHARE);
    models::examine(&history, &learned, &cases, &mut said)?;
    let mut approach = Approach::with(cases, "with labels", &history, &said, learn_days, days).and_of_parties(&history, &said, learn_days, days);
    let known = |wanted| labels.iter().filter(|label| **label == Some(wanted)).count();
    approach.note = Some(format!(
        "labels by {}: {} fraud, {} honest; learned in {}",
        method.name(),
        known(true),
        known(false),
        counts.iter().map(|(queue, count)| format!("{} ({count})", queue.name())).collect::<Vec<_>>().join(", ")
    ));
    approaches.push(approach);
    stage.step();
    Ok(Report::new(settings, learn_days, &history, approaches))
}

/// Of how many parties analysts read in a day because of the model, in the order of the channels, where somebody else draws the lines: by what the weeks to learn from bring in
/// the plainest house, and as this protocol shares it out on the first day that is judged. What is left for gates is in none of them.
pub fn alerts_per_day(Protocol { settings, learn_days }: Protocol) -> [u32; 5] {
    let history = run::play_before(learn_days, settings, &RuleSet::hard_defaults(), Progress::Hidden);
    let [web, kiosk, box_office, group, reseller, _gate] = judge::Counts::of(&history).budgets(learn_days, (REVIEW_SHARE, judge::Of::Scored));
    [web, kiosk, box_office, group, reseller].map(|budget| budget.alerts_per_day)
}

#[cfg(test)]
mod tests {
    use tornello_datasets::fraud_world::Attack;

    use super::*;

    #[test]
    fn rules_refuse_hardly_anybody_where_all_are_honest() {
        let settings = Settings { days: 14, buyers_per_day: 300, attacked: false, ..Settings::new(8) };
        let history = run::play(settings, &RuleSet::hard_defaults(), Progress::Hidden);
        let cases = judge::open(&history, &vec![None; history.scored.len()], 0, 14, REVIEW_SHARE);
        let (honest, _) = judge::honest(&history, &cases, 0, 14);
        assert!(honest.buyers > 4_000, "{}", honest.buyers);
        assert!(f64::from(honest.blocked) <= report::BLOCKED_AIM * f64::from(honest.buyers), "{} of {}", honest.blocked, honest.buyers);
    }

    #[test]
    fn a_small_world_is_judged_and_says_the_same_twice() {
        // Two weeks to learn from: with ten days who comes back on many of them is not told apart yet.
        let protocol = Protocol::new(3, 27, 200).unwrap();
        let report = evaluate(protocol, None, Progress::Hidden).unwrap();
        assert_eq!(report.approaches.len(), 7);
        assert!(report.intents > 10_000, "{}", report.intents);
        for approach in &report.approaches {
            assert!(approach.attacks.len() >= 10, "{}: few attacks in {:?}", approach.name, approach.attacks.keys());
            assert!(approach.honest.buyers > 500, "{}", approach.honest.buyers);
            // Who acts does several things a day.
            assert!(approach.read_of_parties() >= approach.review_rate() && approach.of_parties.is_some(), "{}", approach.name);
        }
        let named = |name: &str| report.approaches.iter().find(|approach| approach.name == name).unwrap();
        let (behaviours, labelled) = (named("behaviours"), named("with labels"));
        for approach in [behaviours, labelled] {
            let explained: u32 = approach.attacks.values().map(|one| one.explained).sum();
            assert!(explained > 20 && approach.agreement() >= report::AGREEMENT_AIM, "{}: {} of {explained}", approach.name, approach.agreement());
            assert!(approach.review_rate() <= REVIEW_SHARE, "{}: {}", approach.name, approach.review_rate());
        }
        for attack in [Attack::CardTesting, Attack::RefundAbuse, Attack::GateSharing, Attack::OperatorTheft] {
            assert!(behaviours.both(attack).recall() >= report::aim(attack), "{}: {:?}", attack.name(), behaviours.both(attack));
        }
        let mut table = Vec::new();
        let again = evaluate(protocol, Some(&mut table), Progress::Hidden).unwrap();
        assert_eq!(report.to_json(), again.to_json());
        assert!(Protocol::new(3, 10, 150).is_err());
        let mut table = csv::Reader::from_reader(table.as_slice());
        let names = table.headers().unwrap().clone();
        let place = |name: &str| names.iter().position(|known| known == name).unwrap();
        let rows: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), report.scored);
        let (nature, harmful, score) = (place("nature"), place("harmful"), place("score"));
        let thieves = rows.iter().filter(|row| &row[nature] == "operator_theft" && &row[harmful] == "true");
        assert!(thieves.clone().count() > 0 && thieves.clone().all(|row| row[score].parse::<f64>().is_ok() && row[place("queue")] == *"box_office"));
        assert!(rows.iter().all(|row| row[place("people_slot_1h")].parse::<f32>().is_ok()));
    }
}
