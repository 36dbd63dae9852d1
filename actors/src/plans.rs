//! Every museum's planning in memory, as last committed: its policy by day, and what managers decided. Read by all, changed by the plannings' streams.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::civil::Date;
use parking_lot::RwLock;
use tornello_engine::aggregate::Aggregate;
use tornello_engine::ids::MuseumId;
use tornello_engine::planning::{Event, Planning, Policy};
use tornello_engine::record::Record;

use crate::journal::writer::Lease;
use crate::owner::Tell;

/// All plannings.
#[derive(Debug, Default)]
pub struct Plans(RwLock<HashMap<MuseumId, Arc<Planning>>>);

impl Plans {
    /// Puts a planning's new state in place of an older one.
    pub fn put(&self, planning: Planning) {
        let mut known = self.0.write();
        if known.get(&planning.museum()).is_none_or(|known| known.seq() <= planning.seq()) {
            known.insert(planning.museum(), Arc::new(planning));
        }
    }

    /// A museum's planning; an empty one where nobody has planned anything.
    #[must_use]
    pub fn get(&self, museum: MuseumId) -> Arc<Planning> {
        self.0.read().get(&museum).cloned().unwrap_or_else(|| Arc::new(Planning::new(museum)))
    }

    /// The policy of a museum on a day.
    #[must_use]
    pub fn policy_on(&self, museum: MuseumId, date: Date) -> Policy {
        self.0.read().get(&museum).map_or_else(Policy::default, |planning| planning.policy_on(date).1)
    }
}

impl Tell<Planning> for Plans {
    type View = Planning;

    fn view(&self, state: &Planning) -> Planning {
        state.clone()
    }

    fn committed(&self, _: &Lease, _: &Record<Event>, view: Planning, _: u64) {
        self.put(view);
    }

    fn rebuilt(&self, _: &Lease, state: &Planning) {
        if state.seq() > 0 {
            self.put(state.clone());
        }
    }
}
