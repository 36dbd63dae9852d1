//! Judges what the scorer of a running node said: whoever plays the world through a node notes each assessment here. The node's own lines decide what is reviewed, not
//! this protocol's; and what gates notice is judged only by what the node makes of it when the same ones buy again.

use std::collections::HashMap;

use tornello_datasets::fraud_world::{Intent, Settings, Truth};
use tornello_models::fraud::explain::{Cause, REASONS, Reason};
use tornello_models::fraud::rules::Fired;
use tornello_models::fraud::signals::{N, index_of};

use super::judge::{Case, Cases, Said, Why};
use super::report::{Approach, Report};
use super::run::{Acting, History, Queue, Scored};

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
    opened: HashMap<(Acting, i64), Case>,
    with_model: u64,
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
        Self { settings, history, said: Vec::new(), opened: HashMap::new(), with_model: 0 }
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
        let queue = Queue::Outlet(intent.channel.outlet());
        let acting = intent.parties.acting().map(|(kind, party)| (kind.role(), u128::from(party)));
        let at = self.history.scored.len();
        let scored = Scored {
            intent: intent.number,
            at_us: intent.at_us,
            queue,
            acting,
            parties: Vec::new(),
            slot: 0,
            features: [0.0; N],
            fired: Fired::default(),
            charged: false,
        };
        let day = scored.day();
        let mut named = [Reason::default(); REASONS];
        for (reason, code) in named.iter_mut().zip(reasons) {
            if let Some(feature) = index_of(code).and_then(|feature| u16::try_from(feature).ok()) {
                reason.cause = Cause::Feature(feature);
            }
        }
        self.history.scored.push(scored);
        self.said.push(Some(Said { reasons: named, ..Said::default() }));
        self.with_model += u64::from(with_model);
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
        if let Some(acting) = acting.filter(|acting| !self.opened.contains_key(&(*acting, day))) {
            self.opened.insert((acting, day), Case { at, worst: at, why });
        }
    }

    /// What came of it on the days from `learn_days` on.
    #[must_use]
    pub fn finish(mut self, truth: &Truth, intents: u64, learn_days: i64) -> Report {
        self.history.truth = truth.clone();
        self.history.intents = intents;
        let days = self.history.days;
        let mut cases = Cases { cases: self.opened, ..Cases::default() };
        cases.cases.retain(|(_, day), _| (learn_days..days).contains(day));
        for case in cases.cases.values().filter(|case| case.why != Why::Blocked) {
            *cases.reviews.entry(self.history.scored[case.at].queue).or_default() += 1;
        }
        for scored in self.history.scored.iter().filter(|scored| (learn_days..days).contains(&scored.day())) {
            *cases.actions.entry(scored.queue).or_default() += 1;
        }
        let mut approach = Approach::with(cases, "the node's own scorer", &self.history, &self.said, learn_days, days);
        approach.note = Some(format!("a model took part in {} of {} assessments", self.with_model, self.history.scored.len()));
        Report::new(self.settings, learn_days, &self.history, vec![approach])
    }
}
