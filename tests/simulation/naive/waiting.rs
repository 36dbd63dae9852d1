//! Those who wait for places: a list, walked from the front for each question.

use tornello_engine::envelope::Digest;
use tornello_engine::ids::HoldId;
use tornello_engine::record::Record;
use tornello_engine::slot::{Event, Offered, Waited};
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

    /// Somebody begins to wait.
    pub(super) fn join(&mut self, record: &Record<Event>, waited: &Waited, named: Option<Digest>, buyers: &[Digest]) -> Result<(), String> {
        let at = record.at;
        self.on_sale(at, waited.channel)?;
        self.is_new(waited.entry, &waited.lines)?;
        let size = people(&waited.lines);
        rule(size > self.room(at, waited.channel), "somebody waits whose places are there")?;
        rule(size <= self.most(waited.channel), "somebody waits for more places than their channel ever has")?;
        self.within_limits(buyers, waited.channel, size, true)?;
        self.has_let_none_go(at, buyers, waited.channel)?;
        rule(waited.number == self.entries.len() as u64 + 1, "those who wait are not numbered as they came")?;
        let ahead = (self.waiting().count() as u32, self.waiting().map(|entry| people(&entry.lines)).sum::<u32>());
        rule((waited.parties_ahead, waited.people_ahead) == ahead, "others wait ahead than is said")?;
        let who = record.envelope.as_ref().map(|envelope| envelope.who).ok_or("somebody waits whom nobody asked for")?;
        let (id, channel, lines) = (waited.entry, waited.channel, waited.lines.clone());
        self.entries.push(Entry { id, channel, lines, who, buyer: named, rest_ms: None, turn: Turn::Waiting });
        Ok(())
    }

    pub(super) fn offer(&mut self, record: &Record<Event>, offered: &Offered) -> Result<(), String> {
        let (at, policy) = (record.at, self.opening.policy);
        rule(record.envelope.is_none(), "a caller makes an offer")?;
        let next = self.next_served(at).ok_or("an offer of places that are not there (SL-1)")?;
        rule(next == offered.entry, "an offer out of the order of joining")?;
        let place = self.ends_waiting(offered.entry, Turn::Offered)?;
        let passed_over = self.entries[..place].iter().filter(|entry| entry.turn == Turn::Waiting).count();
        rule(offered.passed_over == passed_over as u32, "others were passed over than is said")?;
        let Entry { channel, ref lines, who, buyer, rest_ms, .. } = self.entries[place];
        let (lines, expires_at) = (lines.clone(), at.plus_seconds(policy.hold_ttl_s.into()).min(self.sale_end(channel)));
        rule(offered.expires_at == expires_at, "an offer lapses at another time than a hold")?;
        let hold = Hold { rest_ms, ..Hold::new((who, buyer), channel, &lines, (at, expires_at)) };
        rule(self.holds.insert(offered.entry, hold).is_none(), "an offer of a hold's id")
    }
}
