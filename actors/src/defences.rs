//! The rules that are in force and the models that score, at hand for whoever has to ask them: read without a message to anybody, replaced as a whole when something
//! changes. It can be rebuilt from the journal.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use tornello_engine::fraud_rules::{self, Rules};
use tornello_engine::model_registry::{self, ModelKind, Models};
use tornello_engine::record::Record;

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

impl Tell<Rules> for Defences {
    type View = Rules;

    fn view(&self, state: &Rules) -> Rules {
        state.clone()
    }

    fn committed(&self, _: &Lease, _: &Record<fraud_rules::Event>, view: Rules, _: u64) {
        *self.rules.write() = Arc::new(view);
    }

    fn rebuilt(&self, _: &Lease, state: &Rules) {
        *self.rules.write() = Arc::new(state.clone());
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
