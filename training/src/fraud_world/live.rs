//! Judges what the scorer of a running node said: whoever plays the world through a node notes each assessment here, and what gates met. The node's own lines decide
//! what is reviewed, not this protocol's. That a review was asked for is not enough: it counts where analysts have something to read of it in the end
//! ([`Live::has_read`]), as a command that was refused for another reason, or a card that was declined, may have left nothing.

use std::collections::HashSet;

use tornello_datasets::fraud_world::{Intent, Parties, Settings, Truth, day_of};
use tornello_models::fraud::explain::{Cause, REASONS, Reason};
use tornello_models::fraud::rules::Fired;
use tornello_models::fraud::signals::{N, index_of};

use super::judge::{Case, Cases, Said, Why};
use super::report::{Approach, Report};
use super::run::{History, Queue, Scored};

/// What a node wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Allow,
    /// One more check.
    StepUp,
    /// A review.
    Review,
    /// A refusal.
    Block,
}

/// What a node has said so far.
pub struct Live {
    settings: Settings,
    history: History,
    said: Vec<Option<Said>>,
    /// What was to be looked at, or was refused, by its place in the history.
    asked: Vec<(usize, Why)>,
    /// The intents because of which analysts have something to read.
    read: HashSet<u64>,
    with_model: u64,
    assessed: u64,
    queue: String,
}

impl Live {
    /// Nothing yet, of a world.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let history = History {
            scored: Vec::new(),
            admissions: vec![0; settings.days.into()],
            days: settings.days.into(),
            truth: Truth::default(),
            blocked: Vec::new(),
            stepped_up: Vec::new(),
            intents: 0,
        };
        Self { settings, history, said: Vec::new(), asked: Vec::new(), read: HashSet::new(), with_model: 0, assessed: 0, queue: String::new() }
    }

    /// Notes an assessment: what is wanted, and whether a check is due first, also beside a review; whether a rule wants it, whether a model took part, and the codes of the
    /// reasons.
    pub fn note<'a>(
        &mut self,
        intent: &Intent,
        (verdict, proof_due): (Verdict, bool),
        by_rule: bool,
        with_model: bool,
        reasons: impl Iterator<Item = &'a str>,
    ) {
        let mut named = [Reason::default(); REASONS];
        for (reason, code) in named.iter_mut().zip(reasons) {
            if let Some(feature) = index_of(code).and_then(|feature| u16::try_from(feature).ok()) {
                reason.cause = Cause::Feature(feature);
            }
        }
        let at = self.push(intent, Queue::Outlet(intent.channel.outlet()), intent.parties, Some(Said { reasons: named, ..Said::default() }));
        self.with_model += u64::from(with_model);
        self.assessed += 1;
        if proof_due {
            self.history.stepped_up.push(intent.number);
        }
        match verdict {
            Verdict::Allow | Verdict::StepUp => return,
            Verdict::Block => self.history.blocked.push(intent.number),
            Verdict::Review => {}
        }
        let why = match (verdict, by_rule) {
            (Verdict::Block, _) => Why::Blocked,
            (_, true) => Why::Rule,
            _ => Why::Model,
        };
        self.asked.push((at, why));
    }

    /// Notes what a gate did with a ticket of those whose sale it is: whether it let them in as usual.
    pub fn note_gate(&mut self, intent: &Intent, of: Parties, as_usual: bool) {
        if as_usual {
            if let Some(count) = self.history.admissions.get_mut(day_of(intent.at_us).unsigned_abs() as usize) {
                *count += 1;
            }
            return;
        }
        let at = self.push(intent, Queue::Gate, of, None);
        self.asked.push((at, Why::Rule));
    }

    fn push(&mut self, intent: &Intent, queue: Queue, parties: Parties, said: Option<Said>) -> usize {
        let acting = parties.acting().map(|(kind, party)| (kind.role(), u128::from(party)));
        self.history.scored.push(Scored {
            intent: intent.number,
            at_us: intent.at_us,
            queue,
            acting,
            parties: Vec::new(),
            slot: 0,
            features: [0.0; N],
            fired: Fired::default(),
            charged: false,
        });
        self.said.push(said);
        self.said.len() - 1
    }

    /// Of which intents analysts have something to read, and what their queue is made of, in words.
    pub fn has_read(&mut self, read: HashSet<u64>, queue: String) {
        (self.read, self.queue) = (read, queue);
    }

    /// What came of it on the days from `learn_days` on.
    #[must_use]
    pub fn finish(mut self, truth: &Truth, intents: u64, learn_days: i64) -> Report {
        self.history.truth = truth.clone();
        self.history.intents = intents;
        let days = self.history.days;
        let mut cases = Cases::default();
        for (at, why) in self.asked {
            let scored = &self.history.scored[at];
            let stands = why == Why::Blocked || self.read.contains(&scored.intent);
            if let Some(acting) = scored.acting.filter(|_| stands && (learn_days..days).contains(&scored.day())) {
                cases.cases.entry((acting, scored.day())).or_insert(Case { at, worst: at, why });
            }
        }
        for case in cases.cases.values().filter(|case| case.why != Why::Blocked) {
            *cases.reviews.entry(self.history.scored[case.at].queue).or_default() += 1;
        }
        for scored in self.history.scored.iter().filter(|scored| (learn_days..days).contains(&scored.day())) {
            *cases.actions.entry(scored.queue).or_default() += 1;
        }
        for (_, count) in (0..).zip(&self.history.admissions).filter(|(day, _)| (learn_days..days).contains(day)) {
            *cases.actions.entry(Queue::Gate).or_default() += count;
        }
        let mut approach = Approach::with(cases, "the node's own scorer", &self.history, &self.said, learn_days, days);
        approach.note = Some(format!("a model took part in {} of {} assessments; {}", self.with_model, self.assessed, self.queue));
        Report::new(self.settings, learn_days, &self.history, vec![approach])
    }
}
