//! Those who wait for places: a list, walked from the front for each question.

use tornello_engine::ids::HoldId;
use tornello_engine::time::Timestamp;

use super::super::rule;
use super::{Entry, Fate, Naive, Turn, people};

impl Naive {
    /// Those who wait, in order.
    pub fn waiting(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.turn == Turn::Waiting)
    }

    /// Whether that is an offer which can be taken.
    pub fn is_offered(&self, id: HoldId) -> bool {
        self.holds.get(&id).is_some_and(|hold| hold.fate == Fate::Live) && self.entries.iter().any(|entry| entry.id == id)
    }

    /// Who is to be offered places now: the first, in the order of joining, for whom there are enough.
    pub(super) fn next_served(&self, at: Timestamp) -> Option<HoldId> {
        self.waiting().find(|entry| people(&entry.lines) <= self.free(at, entry.channel)).map(|entry| entry.id)
    }

    /// Whether somebody waits who is to be offered places by now, or whose channel sells no more.
    pub fn keeps_waiting(&self, now: Timestamp) -> bool {
        let at = self.records.last().map_or(now, |last| last.at.max(now));
        self.next_served(at).is_some() || self.waiting().any(|entry| at >= self.sale_end(entry.channel))
    }

    /// Takes one who waits off the list; answers the how-manieth to join it was.
    pub(super) fn ends_waiting(&mut self, id: HoldId, turn: Turn) -> Result<usize, String> {
        let place = self.entries.iter().position(|entry| entry.id == id).ok_or("nobody of that id waited")?;
        let entry = &mut self.entries[place];
        rule(entry.turn == Turn::Waiting, "an entry ends twice (SL-9)")?;
        entry.turn = turn;
        Ok(place)
    }
}
