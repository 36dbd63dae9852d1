//! What came of it, for people and for programs. Figures are as measured, on simulated data; the aims stand beside them.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};
use tornello_datasets::fraud_world::{Attack, Settings, Variant};

use super::judge::{self, Cases, Fared, Honest, Of, REVIEW_SHARE, Said};
use super::run::{History, Queue};

/// What is aimed at: the recall of an attack at the budget of reviews.
#[must_use]
pub const fn aim(attack: Attack) -> f64 {
    match attack {
        Attack::Hoarding | Attack::CardTesting => 0.90,
        _ => 0.75,
    }
}

/// The most honest buyers that rules may refuse.
pub const BLOCKED_AIM: f64 = 0.001;
/// The least part of caught cases whose reasons agree with the planted cause.
pub const AGREEMENT_AIM: f64 = 0.90;

/// How it would have gone if only that share of those who act were read, each counted once a day: a harder measure than a share of all that is scored, as one who is read
/// may have done much.
#[derive(Debug, Clone)]
pub struct OfParties {
    /// How many were read.
    pub read: u64,
    /// How each attack fared.
    pub attacks: BTreeMap<(Attack, Variant), Fared>,
}

/// One way of scoring.
#[derive(Debug, Clone)]
pub struct Approach {
    /// What it is called.
    pub name: String,
    /// How each attack fared.
    pub attacks: BTreeMap<(Attack, Variant), Fared>,
    /// How the honest fared.
    pub honest: Honest,
    /// How each kind of the honest fared.
    pub personas: BTreeMap<&'static str, Honest>,
    /// What was scored and what was read, by queue.
    pub queues: Vec<(Queue, u64, u64)>,
    /// How many acted, each counted once a day.
    pub party_days: u64,
    /// The same with a share of those; none where the lines are not this protocol's to draw.
    pub of_parties: Option<OfParties>,
    /// Why the model suspected the honest: the first reasons, the most frequent first.
    pub suspicions: Vec<(&'static str, u32)>,
    /// Something to know about it.
    pub note: Option<String>,
}

impl Approach {
    pub(super) fn of(name: &str, history: &History, said: &[Option<Said>], from: i64, to: i64) -> Self {
        Self::with(judge::open(history, said, from, to, REVIEW_SHARE), name, history, said, from, to).and_of_parties(history, said, from, to)
    }

    /// Also with a share of those who act, by the same scores.
    pub(super) fn and_of_parties(mut self, history: &History, said: &[Option<Said>], from: i64, to: i64) -> Self {
        let cases = judge::open_of(history, said, from, to, (REVIEW_SHARE, Of::Parties));
        self.of_parties = Some(OfParties { read: cases.reviews.values().sum(), attacks: judge::fared(history, said, &cases, from, to) });
        self
    }

    pub(super) fn with(cases: Cases, name: &str, history: &History, said: &[Option<Said>], from: i64, to: i64) -> Self {
        let (honest, personas) = judge::honest(history, &cases, from, to);
        let queue = |queue: Queue| (queue, cases.actions.get(&queue).copied().unwrap_or(0), cases.reviews.get(&queue).copied().unwrap_or(0));
        Self {
            name: name.to_owned(),
            attacks: judge::fared(history, said, &cases, from, to),
            honest,
            personas,
            queues: Queue::ALL.map(queue).to_vec(),
            party_days: judge::party_days(history, from, to),
            of_parties: None,
            suspicions: judge::suspicions(history, said, &cases),
            note: None,
        }
    }

    /// An attack, both variants together.
    #[must_use]
    pub fn both(&self, attack: Attack) -> Fared {
        both(&self.attacks, attack)
    }

    /// The part of those who act that was read, each counted once a day.
    #[must_use]
    pub fn read_of_parties(&self) -> f64 {
        self.part_of_parties(self.queues.iter().map(|(_, _, reviews)| reviews).sum())
    }

    fn part_of_parties(&self, read: u64) -> f64 {
        read as f64 / (self.party_days as f64).max(1.0)
    }

    /// The part of what is scored that was read.
    #[must_use]
    pub fn review_rate(&self) -> f64 {
        let (actions, reviews) = self.queues.iter().fold((0, 0), |(actions, reviews), (_, a, r)| (actions + a, reviews + r));
        reviews as f64 / (actions as f64).max(1.0)
    }

    /// The part of the cases that the model opened on attackers whose reasons agree with the planted cause.
    #[must_use]
    pub fn agreement(&self) -> f64 {
        self.part_of_explained(|one| one.agreed)
    }

    /// The same part by the reasons that a node shows: those that the score gives, of what opened the case or of the highest score of the day.
    #[must_use]
    pub fn shown_agreement(&self) -> f64 {
        self.part_of_explained(|one| one.shown_agreed)
    }

    fn part_of_explained(&self, which: fn(&Fared) -> u32) -> f64 {
        let (explained, agreed) = self.attacks.values().fold((0, 0), |(e, a), one| (e + one.explained, a + which(one)));
        f64::from(agreed) / f64::from(explained.max(1))
    }
}

fn both(attacks: &BTreeMap<(Attack, Variant), Fared>, attack: Attack) -> Fared {
    let none = Fared::default();
    Variant::ALL.iter().map(|variant| attacks.get(&(attack, *variant)).unwrap_or(&none)).fold(Fared::default(), |all, one| all.with(one))
}

/// The whole report.
#[derive(Debug, Clone)]
pub struct Report {
    /// The world.
    pub settings: Settings,
    /// Days to learn from.
    pub learn_days: i64,
    /// Everything that was asked.
    pub intents: u64,
    /// What was scored.
    pub scored: usize,
    /// The ways of scoring.
    pub approaches: Vec<Approach>,
}

impl Report {
    pub(super) fn new(settings: Settings, learn_days: i64, history: &History, approaches: Vec<Approach>) -> Self {
        Self { settings, learn_days, intents: history.intents, scored: history.scored.len(), approaches }
    }

    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let fared = |fared: &Fared| {
            let mut value = json!(fared);
            value["recall"] = json!(rounded(fared.recall()));
            value["checked_share"] = json!(rounded(fared.checked_share()));
            value["noticed_share"] = json!(rounded(fared.noticed_share()));
            value["explanations_agree"] =
                if fared.explained == 0 { Value::Null } else { json!(rounded(f64::from(fared.agreed) / f64::from(fared.explained))) };
            value
        };
        let approach = |approach: &Approach| {
            let attacks: serde_json::Map<String, Value> = Attack::ALL
                .iter()
                .map(|attack| {
                    let mut value = fared(&approach.both(*attack));
                    value["aim"] = json!(aim(*attack));
                    for variant in Variant::ALL {
                        value[variant.name()] = approach.attacks.get(&(*attack, variant)).map_or(Value::Null, fared);
                    }
                    (attack.name().to_owned(), value)
                })
                .collect();
            let of_parties = approach.of_parties.as_ref().map(|of| {
                let recall = Attack::ALL.iter().map(|attack| (attack.name().to_owned(), json!(rounded(both(&of.attacks, *attack).recall()))));
                json!({
                    "share": REVIEW_SHARE,
                    "reviews": of.read,
                    "review_rate": rounded(approach.part_of_parties(of.read)),
                    "recall": recall.collect::<serde_json::Map<String, Value>>(),
                })
            });
            json!({
                "name": approach.name,
                "note": approach.note,
                "review_rate": rounded(approach.review_rate()),
                "party_days": approach.party_days,
                "review_rate_of_parties": rounded(approach.read_of_parties()),
                "with_a_share_of_parties": of_parties,
                "explanations_agree": rounded(approach.agreement()),
                "shown_explanations_agree": rounded(approach.shown_agreement()),
                "attacks": attacks,
                "honest": approach.honest,
                "personas": approach.personas,
                "suspicions": approach.suspicions.iter().map(|(reason, count)| json!({"reason": reason, "reviews": count})).collect::<Vec<_>>(),
                "queues": approach.queues.iter().map(|(queue, actions, reviews)| json!({"queue": queue.name(), "scored": actions, "reviews": reviews})).collect::<Vec<_>>(),
            })
        };
        json!({
            "simulated": true,
            "seed": self.settings.seed,
            "days": self.settings.days,
            "learn_days": self.learn_days,
            "buyers_per_day": self.settings.buyers_per_day,
            "intents": self.intents,
            "scored": self.scored,
            "review_share": REVIEW_SHARE,
            "approaches": self.approaches.iter().map(approach).collect::<Vec<_>>(),
        })
    }
}

fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { seed, days, buyers_per_day, .. } = self.settings;
        writeln!(
            f,
            "A SIMULATED world (seed {seed}): {days} days, {buyers_per_day} buyers a day on the web, {} intents, {} of them scored.",
            self.intents, self.scored
        )?;
        writeln!(
            f,
            "Learned on days 0 to {}, judged on days {} to {}; at most {:.0}% of what is scored is read.",
            self.learn_days - 1,
            self.learn_days,
            i64::from(days) - 1,
            REVIEW_SHARE * 100.0
        )?;
        let agreed = |(attack, one): &(Attack, Fared)| format!("{} {} of {}", attack.name(), one.agreed, one.explained);
        for approach in &self.approaches {
            writeln!(f, "\n{}", approach.name)?;
            if let Some(note) = &approach.note {
                writeln!(f, "  {note}")?;
            }
            writeln!(
                f,
                "  {:<15}{:>8}{:>6}{:>9}{:>9}{:>8}{:>10}{:>10}{:>9}{:>12}{:>9}",
                "attack", "recall", "aim", "checked", "noticed", "plain", "adaptive", "id-days", "refused", "found", "minutes"
            )?;
            for attack in Attack::ALL {
                let both = approach.both(attack);
                let of = |variant| approach.attacks.get(&(attack, variant)).map_or_else(|| "-".to_owned(), |one| format!("{:.2}", one.recall()));
                writeln!(
                    f,
                    "  {:<15}{:>8.2}{:>6.2}{:>9.2}{:>9.2}{:>8}{:>10}{:>10}{:>9}{:>12}{:>9.0}",
                    attack.name(),
                    both.recall(),
                    aim(attack),
                    both.checked_share(),
                    both.noticed_share(),
                    of(Variant::Plain),
                    of(Variant::Adaptive),
                    both.identity_days,
                    both.blocked,
                    format!("{} of {}", both.found, both.attackers),
                    both.minutes_to_detection
                )?;
            }
            writeln!(
                f,
                "  (recall: read, or refused by a rule; checked: asked for one more check, which stops nobody who gives it; noticed: either)"
            )?;
            let Honest { buyers, blocked, stepped_up, reviews } = approach.honest;
            writeln!(
                f,
                "  honest: {buyers} buyers, {blocked} refused by a rule ({:.3}%, aim {:.1}%), {stepped_up} asked for one more check, {reviews} reviews",
                100.0 * f64::from(blocked) / f64::from(buyers.max(1)),
                100.0 * BLOCKED_AIM
            )?;
            let of = |(name, one): (&&str, &Honest)| format!("{name} {}/{}", one.reviews, one.buyers);
            writeln!(f, "  reviews of the honest, by who they are: {}", approach.personas.iter().map(of).collect::<Vec<_>>().join(", "))?;
            if !approach.suspicions.is_empty() {
                let most = approach.suspicions.iter().take(8).map(|(reason, count)| format!("{reason} {count}")).collect::<Vec<_>>();
                writeln!(f, "  and by the first reason: {}", most.join(", "))?;
            }
            let read: Vec<String> = approach.queues.iter().map(|(queue, actions, reviews)| format!("{} {reviews}/{actions}", queue.name())).collect();
            writeln!(f, "  reviews: {:.2}% of what is scored ({})", 100.0 * approach.review_rate(), read.join(", "))?;
            writeln!(
                f,
                "  that is {:.2}% of the {} who acted, each counted once a day, as they are read",
                100.0 * approach.read_of_parties(),
                approach.party_days
            )?;
            if let Some(of) = &approach.of_parties {
                let recall = |attack: &Attack| format!("{} {:.2}", attack.name(), both(&of.attacks, *attack).recall());
                writeln!(
                    f,
                    "  recall where {:.0}% of these are read instead ({:.2}% were): {}",
                    100.0 * REVIEW_SHARE,
                    100.0 * approach.part_of_parties(of.read),
                    Attack::ALL.iter().map(recall).collect::<Vec<_>>().join(", ")
                )?;
            }
            if approach.attacks.values().any(|one| one.explained > 0) {
                writeln!(
                    f,
                    "  reasons agree with the planted cause in {:.1}% of the cases of attackers that the model opened (aim {:.0}%): {}",
                    100.0 * approach.agreement(),
                    100.0 * AGREEMENT_AIM,
                    Attack::ALL
                        .map(|attack| (attack, approach.both(attack)))
                        .iter()
                        .filter(|(_, one)| one.explained > 0)
                        .map(agreed)
                        .collect::<Vec<_>>()
                        .join(", ")
                )?;
                // Through a node only what opened a case is known by its place: its scores are not noted.
                let of = if approach.of_parties.is_some() { "of what opened the case or of that" } else { "of what opened the case" };
                writeln!(
                    f,
                    "  (reasons of the highest score of the day; those that a node shows, {of}, agree in {:.1}%)",
                    100.0 * approach.shown_agreement()
                )?;
            }
        }
        Ok(())
    }
}
