//! What analysts have to read when a world is over: the lists of a node, made of the journal that it wrote, say what wants a case and what speaks against a sale. Nothing
//! that the scorer said counts that did not come so far.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use tornello_actors::journal::Journal;
use tornello_actors::views::{Views, ViewsError};
use tornello_datasets::fraud_world::day_of;
use tornello_engine::case::{LabelSource, Subject};
use tornello_engine::ids::{HoldId, TillId};

/// By what analysts would know of an intent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cause {
    /// A case of these places, bought or not.
    Places(HoldId),
    /// A case of the return of this sale.
    Return(HoldId),
    /// A case of the count of this session.
    Count(TillId),
    /// A case of this sale, because a gate met its tickets on that day of the world.
    Gate(HoldId, i64),
}

/// What there is to read.
#[derive(Debug, Default)]
pub(super) struct Queue {
    sales: HashSet<HoldId>,
    holds: HashSet<HoldId>,
    returns: HashSet<HoldId>,
    counts: HashSet<TillId>,
    /// Sales of which a gate refused a ticket that had come in elsewhere: on the day of the visit, as there is no other.
    elsewhere: HashSet<HoldId>,
    /// On which day of the world a gate met tickets of a sale that speak against it.
    met: HashMap<HoldId, i64>,
}

/// A folder that is gone with its last user.
struct Folder(PathBuf);

impl Folder {
    /// A new one, for whoever runs this alone.
    fn new() -> std::io::Result<Self> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let name = format!("tornello-rehearsal-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "a folder of a rehearsal was not removed");
        }
    }
}

impl Queue {
    /// As the lists have it that follow from a journal up to a batch, in which no case was opened yet.
    pub(super) async fn of(journal: &dyn Journal, end: u64) -> Result<Self, String> {
        let folder = Folder::new().map_err(|error| error.to_string())?;
        let views = Views::open(&folder.0.join("views.db")).await.map_err(|error| error.to_string())?;
        let queue = Self::in_lists(&views, journal, end).await;
        views.leave().await;
        queue.map_err(|error| error.to_string())
    }

    async fn in_lists(views: &Views, journal: &dyn Journal, end: u64) -> Result<Self, ViewsError> {
        views.build(journal, end).await?;
        let mut queue = Self::default();
        for wanting in views.wanting_cases(u32::MAX).await? {
            match wanting.subject {
                Subject::Sale(sale) if wanting.is_met => queue.elsewhere.insert(sale),
                Subject::Sale(sale) => queue.sales.insert(sale),
                Subject::Hold(hold) => queue.holds.insert(hold),
                Subject::Return { sale, .. } => queue.returns.insert(sale),
                Subject::Till(till) => queue.counts.insert(till),
                Subject::Attempt(_) => false,
            };
        }
        for (sale, known) in views.fraud_signs(u32::MAX).await? {
            if known.source == LabelSource::GateRefusal {
                queue.met.insert(sale, day_of(known.at.as_micros()));
            }
        }
        Ok(queue)
    }

    /// Whether analysts have something to read because of that.
    pub(super) fn has(&self, cause: Cause) -> bool {
        match cause {
            Cause::Places(hold) => self.sales.contains(&hold) || self.holds.contains(&hold),
            Cause::Return(sale) => self.returns.contains(&sale),
            Cause::Count(till) => self.counts.contains(&till),
            Cause::Gate(sale, day) => self.elsewhere.contains(&sale) || self.met.get(&sale) == Some(&day),
        }
    }
}

/// How many cases there are, of what.
impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sales, holds, returns, counts, elsewhere, met } = self;
        let gates = elsewhere.iter().chain(met.keys()).collect::<HashSet<_>>().len();
        let all = sales.len() + holds.len() + returns.len() + counts.len() + gates;
        write!(f, "in all its days {all} cases wait for analysts: of {} sales, {} holds that were not bought, ", sales.len(), holds.len())?;
        write!(f, "{} returns, {} counts of cash, {} sales whose tickets a gate met again", returns.len(), counts.len(), gates)
    }
}
