//! The rules that are in force and the models that score, at hand for whoever has to ask them: read without a message to anybody, replaced as a whole when something
//! changes. It can be rebuilt from the journal.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use tornello_engine::fraud_rules::{self, Rules};
use tornello_engine::model_registry::{self, ModelKind, Models};
use tornello_engine::record::Record;

use crate::fraud::Scoring;
use crate::journal::writer::Lease;
use crate::owner::Tell;

/// What is in force.
#[derive(Debug, Default)]
pub struct Defences {
    rules: RwLock<Arc<Rules>>,
    models: RwLock<HashMap<ModelKind, Arc<Models>>>,
}

impl Defences {
    /// The rules.
    #[must_use]
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read())
    }

    /// The models of a kind.
    #[must_use]
    pub fn models(&self, kind: ModelKind) -> Arc<Models> {
        self.models.read().get(&kind).map_or_else(|| Arc::new(Models::new(kind)), Arc::clone)
    }

    /// Puts in place what follows from the journal, as at start.
    pub fn restore(&self, rules: Rules, models: impl IntoIterator<Item = Models>) {
        *self.rules.write() = Arc::new(rules);
        self.models.write().extend(models.into_iter().map(|models| (models.kind(), Arc::new(models))));
    }
}

/// Publishes which rules are in force, and has scorers ask these from then on: whoever gave the command may have gone away before its answer, or was told that nobody knows yet what
/// came of it.
#[derive(Debug)]
pub struct RulesTell {
    defences: Arc<Defences>,
    scoring: Arc<Scoring>,
}

impl RulesTell {
    /// To these.
    #[must_use]
    pub fn new(defences: &Arc<Defences>, scoring: &Arc<Scoring>) -> Self {
        Self { defences: Arc::clone(defences), scoring: Arc::clone(scoring) }
    }

    /// They are asked before anybody reads that they are in force.
    fn publish(&self, rules: Rules) {
        // A start asks those of before, of which nobody has to be told.
        if self.scoring.follow(&rules) {
            tracing::info!(version = rules.version(), "other fraud rules are asked from now on");
        }
        *self.defences.rules.write() = Arc::new(rules);
    }
}

impl Tell<Rules> for RulesTell {
    type View = Rules;

    fn view(&self, state: &Rules) -> Rules {
        state.clone()
    }

    fn committed(&self, _: &Lease, _: &Record<fraud_rules::Event>, view: Rules, _: u64) {
        self.publish(view);
    }

    fn rebuilt(&self, _: &Lease, state: &Rules) {
        self.publish(state.clone());
    }
}

impl Tell<Models> for Defences {
    type View = Models;

    fn view(&self, state: &Models) -> Models {
        state.clone()
    }

    fn committed(&self, _: &Lease, _: &Record<model_registry::Event>, view: Models, _: u64) {
        self.models.write().insert(view.kind(), Arc::new(view));
    }

    fn rebuilt(&self, _: &Lease, state: &Models) {
        self.models.write().insert(state.kind(), Arc::new(state.clone()));
    }
}
