//! Those who wait for places: a list, walked from the front for each question.

use tornello_engine::ids::HoldId;
use tornello_engine::time::Timestamp;

use super::super::rule;
use super::{Entry, Fate, Hold, Naive, Turn, people};

impl Naive {
    /// Those who wait, in order.
    pub fn waiting(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.turn == Turn::Waiting)
    }

    /// Whether that is an offer which can be taken.
    pub fn is_offered(&self, id: HoldId) -> bool {
        self.holds.get(&id).is_some_and(|hold| hold.fate == Fate::Live) && self.entries.iter().any(|entry| entry.id == id)
    }

    /// When a hold ends by itself: an offer of a closed slot, which nobody can take, when sales end.
    pub fn ends_at(&self, id: HoldId, hold: &Hold) -> Timestamp {
        let is_offer = self.entries.iter().any(|entry| entry.id == id);
        if self.closed.is_some() && is_offer { self.sale_end(hold.channel) } else { hold.expires_at }
    }

    /// The offers that begin anew if the slot reopens now, and when they end then: in the order of joining.
    pub(super) fn begins_anew(&self, at: Timestamp) -> Vec<(HoldId, Timestamp)> {
        let anew = |entry: &Entry| {
            let hold = self.holds.get(&entry.id).filter(|hold| hold.fate == Fate::Live && self.closed.is_some())?;
            let end = at.plus_seconds(self.opening.policy.hold_ttl_s.into()).min(self.sale_end(hold.channel));
            (hold.expires_at < end).then_some((entry.id, end))
        };
        self.entries.iter().filter_map(anew).collect()
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
