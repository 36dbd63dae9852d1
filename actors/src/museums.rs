//! Every museum's plans and tariffs in memory, as last committed, with the slots of its days worked out once. Read by all, changed by the museums' streams.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::civil::Date;
use parking_lot::{Mutex, RwLock};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::ids::{Code, MuseumId, SlotId};
use tornello_engine::museum::{Event, Museum};
use tornello_engine::record::Record;
use tornello_engine::slot::{Opening, Places, Slot};

use crate::journal::writer::Lease;
use crate::owner::{Kept, Tell};

/// The most days of one museum that are kept worked out: those that many ask for. A year of 250 museums would be as much memory as all the rest.
const DAYS_MAX: usize = 64;

/// A museum as last committed.
#[derive(Debug)]
pub struct Known {
    /// The museum.
    pub museum: Museum,
    days: Mutex<HashMap<Date, Arc<[Opening]>>>,
}

impl Known {
    fn new(museum: Museum) -> Self {
        Self { museum, days: Mutex::default() }
    }

    /// The planned slots of the sessions that open on `date`, ordered by start, then route.
    #[must_use]
    pub fn day(&self, date: Date) -> Arc<[Opening]> {
        if let Some(known) = self.days.lock().get(&date) {
            return Arc::clone(known);
        }
        let day: Arc<[Opening]> = self.museum.openings(date, date).into();
        let mut days = self.days.lock();
        if days.len() >= DAYS_MAX {
            days.clear();
        }
        days.insert(date, Arc::clone(&day));
        day
    }

    /// The places of a planned slot to which nobody has written.
    #[must_use]
    pub fn places(&self, opening: &Opening) -> Places {
        let start = opening.slot.start();
        Places { closed: self.museum.called_off(start), ..Places::untouched(start, opening.capacity, opening.quotas) }
    }
}

/// All museums.
#[derive(Debug, Default)]
pub struct Museums {
    known: RwLock<HashMap<MuseumId, Arc<Known>>>,
    slugs: RwLock<HashMap<Code, MuseumId>>,
    /// Whoever registers one has it until what became of that is known, also if the caller goes away before: whoever asks next would find the slug free.
    registering: Arc<tokio::sync::Mutex<()>>,
}

impl Museums {
    /// The turn of one who registers a museum, to be kept until that has come to its end: of two at once with one slug both would find it free, and it would stand for the one
    /// that was changed last. None if it is not to be had in time.
    pub async fn registering(&self) -> Option<Kept> {
        Kept::turn(&self.registering).await
    }

    /// Puts a museum's new state in place of an older one.
    pub fn put(&self, museum: Museum) {
        if self.get(museum.id()).is_some_and(|known| known.museum.seq() > museum.seq()) {
            return;
        }
        if let Some(profile) = museum.profile() {
            self.slugs.write().insert(profile.slug, museum.id());
        }
        self.known.write().insert(museum.id(), Arc::new(Known::new(museum)));
    }

    /// A museum.
    #[must_use]
    pub fn get(&self, museum: MuseumId) -> Option<Arc<Known>> {
        self.known.read().get(&museum).cloned()
    }

    /// The museum with this slug.
    #[must_use]
    pub fn by_slug(&self, slug: Code) -> Option<Arc<Known>> {
        let museum = self.slugs.read().get(&slug).copied()?;
        self.get(museum)
    }

    /// All museums, by number.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Known>> {
        let mut all: Vec<_> = self.known.read().values().cloned().collect();
        all.sort_unstable_by_key(|known| known.museum.id());
        all
    }

    /// The slot with this id as nobody has written to it: as it is planned, closed if its day is called off.
    #[must_use]
    pub fn planned(&self, slot: SlotId) -> Option<Slot> {
        self.get(slot.museum())?.museum.planned(slot)
    }

    /// The planned slot with this id.
    #[must_use]
    pub fn opening(&self, slot: SlotId) -> Option<Opening> {
        self.get(slot.museum())?.museum.opening(slot)
    }
}

impl Tell<Museum> for Museums {
    type View = Museum;

    fn view(&self, state: &Museum) -> Museum {
        state.clone()
    }

    fn committed(&self, _: &Lease, record: &Record<Event>, view: Museum, _: u64) {
        debug_assert_eq!(record.seq, view.seq());
        self.put(view);
    }

    fn rebuilt(&self, _: &Lease, state: &Museum) {
        if state.seq() > 0 {
            self.put(state.clone());
        }
    }
}
