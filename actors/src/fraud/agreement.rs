//! Whether the model that challenges and the one that acts would have had the same looked at, as both score what comes, each by its own line. It asks for no label, so it
//! says soon how much more or else analysts would read; which of both is right is for [`super::evidence`] to say. It begins with the process, and says when.

use std::sync::Arc;

use tornello_engine::ids::Code;
use tornello_engine::time::Timestamp;
use tornello_models::fraud::scorer::Scored;
use tornello_models::fraud::signals::Outlet;

use super::fold::Row;
use super::judge::Acting;

/// How many events of a channel both, one or none of both would have had looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Agreed {
    /// Both.
    pub both: u64,
    /// Only the one that acts.
    pub champion_only: u64,
    /// Only the one that challenges.
    pub challenger_only: u64,
    /// None.
    pub neither: u64,
}

impl Agreed {
    /// One more event, and whether each of both would have had it looked at.
    pub(super) const fn count(&mut self, acts: bool, watches: bool) {
        let counted = match (acts, watches) {
            (true, true) => &mut self.both,
            (true, false) => &mut self.champion_only,
            (false, true) => &mut self.challenger_only,
            (false, false) => &mut self.neither,
        };
        *counted += 1;
    }
}

/// How two models agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    /// The one that acts.
    pub champion: Code,
    /// The one that challenges.
    pub challenger: Code,
    /// The first event that was compared.
    pub since: Timestamp,
    /// The last.
    pub until: Timestamp,
    /// In the order of [`Outlet::ALL`].
    pub channels: [Agreed; Outlet::ALL.len()],
}

/// What is compared of two models.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// The ids of both.
    of: Option<[String; 2]>,
    told: Option<Agreement>,
}

impl Compared {
    /// One more event, and what the one that acts and the one that challenges said of it. As long as one of both has no line, or where nobody would be read of, there is
    /// nothing to compare.
    pub(super) fn take(&mut self, row: &Row, models: [&Arc<Acting>; 2], said: &[Option<Scored>; 2]) {
        if !self.are_of(models) {
            *self = Self { of: Some(models.map(|acting| acting.id.clone())), told: None };
        }
        if row.read_of.is_none() {
            return;
        }
        let [champion, challenger] = models;
        let [acts, watches] = said;
        let raised = [champion.raises(row.outlet, acts.as_ref()), challenger.raises(row.outlet, watches.as_ref())];
        let [Some(acts), Some(watches)] = raised else { return };
        let at = Timestamp::from_micros(row.at_us);
        let first = || Agreement { champion: champion.code, challenger: challenger.code, since: at, until: at, channels: Default::default() };
        let told = self.told.get_or_insert_with(first);
        told.until = told.until.max(at);
        told.channels[row.outlet as usize].count(acts, watches);
    }

    /// What that says of these two; none if nothing of them was compared.
    pub(super) fn told(&self, models: [&Arc<Acting>; 2]) -> Option<Agreement> {
        self.told.clone().filter(|_| self.are_of(models))
    }

    fn are_of(&self, models: [&Arc<Acting>; 2]) -> bool {
        self.of.as_ref().is_some_and(|of| of.iter().zip(models).all(|(id, acting)| *id == acting.id))
    }
}
