//! The fraud cases about which something is to be done: for their deadlines and for their driver, and the feed of new ones. Older ones are found in the journal when they are
//! asked for. All of it can be rebuilt from the journal.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::case::{Case, Event, Origin, Pass, Status, told_by};
use tornello_engine::envelope::Party;
use tornello_engine::ids::{CaseId, MuseumId};
use tornello_engine::money::Cents;
use tornello_engine::record::Record;
use tornello_engine::time::Timestamp;

use super::passes::{Passes, pass_of};
use crate::deadlines::{Deadlines, First};
use crate::journal::StreamId;
use crate::journal::writer::Lease;
use crate::owner::{Kept, Tell};

/// How many new cases a slow watcher may be behind before it loses some and is told so, and how many are remembered for one who comes again.
const FEED: usize = 256;

/// What is published of a case: its state right after the last record on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaseHead {
    /// Number of the record.
    pub seq: u64,
    /// How it stands; none before it is open.
    pub status: Option<Status>,
    /// When it has something to do by itself.
    pub wake_at: Option<Timestamp>,
    /// Whether something is to be done to its sale.
    pub has_work: bool,
    /// What those who watch are told of it when it is new.
    pub news: Option<News>,
}

/// A new case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct News {
    /// Which.
    pub case: CaseId,
    /// At which museum.
    pub museum: MuseumId,
    /// Why there is a case.
    pub origin: Origin,
    /// What the scorer said, 0 to 100, if it was asked.
    pub score: Option<u8>,
    /// What is at stake.
    pub amount_cents: Cents,
    /// When somebody should have looked.
    pub due_at: Timestamp,
    /// The how-manieth that those who watch were told since the start, from 1; 0: nobody was told yet.
    pub number: u64,
}

/// What those who watch were told before somebody came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    /// The number of the last.
    pub last: u64,
    /// What whoever comes again has missed, as far as it is remembered.
    pub missed: Vec<News>,
    /// Whether that is all of it. How many more there were is told to nobody: they may be of museums that are none of theirs.
    pub is_whole: bool,
}

impl Before {
    /// The number of the last that whoever comes need not be told any more.
    #[must_use]
    pub fn known(&self) -> u64 {
        self.missed.first().map_or(self.last, |first| first.number.saturating_sub(1))
    }
}

impl CaseHead {
    /// The head of a case as it is.
    #[must_use]
    pub fn of(case: &Case) -> Self {
        let news = case.opened().map(|opened| News {
            case: case.id(),
            museum: opened.museum,
            origin: opened.origin,
            score: opened.assessment.as_ref().map(|assessment| assessment.score),
            amount_cents: opened.amount_cents,
            due_at: case.deadlines().0,
            number: 0,
        });
        Self { seq: case.seq(), status: case.status(), wake_at: case.wake_at(), has_work: case.pending().is_some(), news }
    }

    /// Whether nothing is to be done about it any more, by anybody.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.wake_at.is_none() && !self.has_work
    }
}

#[derive(Debug, Default)]
struct Known {
    heads: HashMap<CaseId, CaseHead>,
    deadlines: Deadlines<CaseId>,
    working: BTreeSet<CaseId>,
    /// Of these, those whose sale is still to be made: nothing can be done until something has happened elsewhere.
    resting: BTreeSet<CaseId>,
}

/// Whose appeals about attempts wait.
#[derive(Debug, Default)]
struct Waiting {
    /// The cases with which whoever has that party in common appeals, the first of them first.
    by: BTreeMap<(MuseumId, Option<Party>), BTreeSet<CaseId>>,
    /// Of each case, under what it stands there.
    of: HashMap<CaseId, Appellants>,
}

/// At which museum somebody appeals, and by whom they are told from others.
pub type Appellants = (MuseumId, Vec<Option<Party>>);

/// Up to which hour chance has picked. Not in the journal: what it picks again has its case already.
#[derive(Debug, Default)]
struct Picks {
    /// Before which hour it has; none: not since the start.
    up_to: Option<i64>,
    /// The hour that was asked for last, and the journal's last batch when that was first done.
    asked: Option<(i64, u64)>,
}

/// How far the lists are that cases are told from. Not in the journal.
#[derive(Debug, Default)]
struct Lists {
    /// Up to which batch they had everything when that was last asked.
    as_of: u64,
    /// From which batch on they say what was said last: the journal's last when they began to be built, at the start or since; none: that was not asked yet.
    wanted: Option<u64>,
}

/// The heads of all cases about which something is to be done.
#[derive(Debug)]
pub struct Cases {
    known: Mutex<Known>,
    picks: Mutex<Picks>,
    lists: Mutex<Lists>,
    waiting: Mutex<Waiting>,
    passes: Arc<Passes>,
    sooner: Notify,
    work: Notify,
    feed: broadcast::Sender<News>,
    /// The last that were told, the oldest first.
    told: Mutex<VecDeque<News>>,
    acting: tokio::sync::Mutex<()>,
    appealing: Arc<tokio::sync::Mutex<()>>,
}

impl Default for Cases {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            picks: Mutex::default(),
            lists: Mutex::default(),
            waiting: Mutex::default(),
            passes: Arc::default(),
            sooner: Notify::new(),
            work: Notify::new(),
            feed: broadcast::channel(FEED).0,
            told: Mutex::default(),
            acting: tokio::sync::Mutex::default(),
            appealing: Arc::default(),
        }
    }
}

impl Cases {
    /// Publishes a case's new head. Called in the order of commits; a head that is older than the known one changes nothing.
    pub fn publish(&self, case: CaseId, head: CaseHead) {
        let mut known = self.known.lock();
        if known.heads.get(&case).is_some_and(|before| before.seq > head.seq) {
            return;
        }
        let before = if head.is_finished() { known.heads.remove(&case) } else { known.heads.insert(case, head) };
        known.resting.remove(&case);
        if head.has_work {
            known.working.insert(case);
            self.work.notify_one();
        } else {
            known.working.remove(&case);
        }
        if known.deadlines.replace(case, before.and_then(|before| before.wake_at), head.wake_at) != First::Same {
            self.sooner.notify_one();
        }
    }

    /// Whom rules let pass that had refused them.
    #[must_use]
    pub const fn passes(&self) -> &Arc<Passes> {
        &self.passes
    }

    /// Puts whose appeal waits in a case in the place of whose waited before.
    pub fn put_appellants(&self, case: CaseId, appellants: Option<Appellants>) {
        let mut waiting = self.waiting.lock();
        if let Some((museum, told)) = waiting.of.remove(&case) {
            for party in told {
                if let Some(cases) = waiting.by.get_mut(&(museum, party)) {
                    cases.remove(&case);
                    if cases.is_empty() {
                        waiting.by.remove(&(museum, party));
                    }
                }
            }
        }
        let Some((museum, told)) = appellants else { return };
        for party in &told {
            waiting.by.entry((museum, *party)).or_default().insert(case);
        }
        waiting.of.insert(case, (museum, told));
    }

    /// The case in which an appeal of any of these waits at a museum.
    #[must_use]
    pub fn appeal_of(&self, museum: MuseumId, parties: &[Party]) -> Option<CaseId> {
        let waiting = self.waiting.lock();
        told_by(parties).into_iter().find_map(|party| waiting.by.get(&(museum, party))?.first().copied())
    }

    /// The turn of one who appeals, to be kept until it is known what becomes of that: of two at once each would find no appeal of the other. None if it is not to be had in time.
    pub(super) async fn appealing(&self) -> Option<Kept> {
        Kept::turn(&self.appealing).await
    }

    /// How many somebody should look at.
    #[must_use]
    pub fn open(&self) -> usize {
        self.known.lock().deadlines.count()
    }

    /// Those to whose sales something is to be done.
    #[must_use]
    pub fn working(&self) -> Vec<CaseId> {
        self.known.lock().working.iter().copied().collect()
    }

    /// Notes that nothing can be done to a sale for now, as it was found when this was the case's last record: whatever is written next, of the case or of anything else, is a reason
    /// to look again.
    pub(crate) fn rest(&self, case: CaseId, seq: u64) {
        let mut known = self.known.lock();
        if known.heads.get(&case).is_some_and(|head| head.has_work && head.seq == seq) {
            known.resting.insert(case);
        }
    }

    /// Whether there is something that can be done to a sale, as far as is known.
    pub(crate) fn has_work(&self) -> bool {
        let known = self.known.lock();
        known.working.iter().any(|case| !known.resting.contains(case))
    }

    /// The next deadline of any case.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.known.lock().deadlines.first()
    }

    /// The cases whose deadline has come, earliest first.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Vec<CaseId> {
        self.known.lock().deadlines.due(now)
    }

    /// Ends when the next deadline has changed.
    pub async fn sooner(&self) {
        self.sooner.notified().await;
    }

    /// Ends when there is something to be done to a sale.
    pub(crate) async fn work(&self) {
        self.work.notified().await;
    }

    /// Whoever holds this acts on cases alone: two at once would each find the other's work done, and note that nothing was to be done.
    pub(crate) async fn acting(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.acting.lock().await
    }

    /// Whether chance has not picked yet from what came before an hour.
    pub(crate) fn is_to_pick(&self, hour: i64) -> bool {
        self.picks.lock().up_to.is_none_or(|up_to| up_to < hour)
    }

    /// Whether chance may pick now from what came before an hour: it has not yet, and the lists, which show everything up to the batch `as_of`, have all of it: what was
    /// written when this was first asked, when `head` was the last batch. From lists that are behind it would pick too many.
    pub(crate) fn may_pick(&self, hour: i64, head: u64, as_of: u64) -> bool {
        let mut picks = self.picks.lock();
        if picks.up_to.is_some_and(|up_to| up_to >= hour) {
            return false;
        }
        let wanted = match picks.asked {
            Some((asked, wanted)) if asked == hour => wanted,
            _ => head,
        };
        picks.asked = Some((hour, wanted));
        as_of >= wanted
    }

    /// Notes that chance has picked from what came before an hour.
    pub(crate) fn has_picked(&self, hour: i64) {
        let mut picks = self.picks.lock();
        picks.up_to = picks.up_to.max(Some(hour));
    }

    /// Whether cases may be told now what the lists say of banks and gates, which have everything up to the batch `as_of`, where `head` is the last. Not while they are built, at the start
    /// or again: on the way they say what was taken back since.
    pub(crate) fn may_tell(&self, head: u64, as_of: u64) -> bool {
        let mut lists = self.lists.lock();
        if as_of < lists.as_of {
            lists.wanted = None;
        }
        lists.as_of = as_of;
        as_of >= *lists.wanted.get_or_insert(head)
    }

    /// Follows the new cases from now on.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<News> {
        self.feed.subscribe()
    }

    /// As [`Cases::watch`], for one who comes again, with what was told since the one of which `is_last` says by its number that it was told to them; none: who comes for the
    /// first time.
    #[must_use]
    pub fn watch_after(&self, is_last: Option<&dyn Fn(u64) -> bool>) -> (broadcast::Receiver<News>, Before) {
        let (watching, mut told): (_, Vec<News>) = {
            // Nobody is told meanwhile: each is either before or after.
            let told = self.told.lock();
            (self.watch(), told.iter().copied().collect())
        };
        let last = told.last().map_or(0, |news| news.number);
        let Some(is_last) = is_last else { return (watching, Before { last, missed: Vec::new(), is_whole: true }) };
        let before_all = told.first().map_or(0, |first| first.number.saturating_sub(1));
        let place = told.iter().rposition(|news| is_last(news.number));
        let (missed, is_whole) = match place {
            Some(place) => (told.split_off(place + 1), true),
            None => (told, is_last(before_all)),
        };
        (watching, Before { last, missed, is_whole })
    }

    /// Tells those who watch.
    fn tell(&self, news: News) {
        let mut told = self.told.lock();
        let number = told.back().map_or(0, |last| last.number) + 1;
        let news = News { number, ..news };
        if told.len() >= FEED {
            told.pop_front();
        }
        told.push_back(news);
        // Nobody may be watching.
        let _ = self.feed.send(news);
    }
}

impl Tell<Case> for Cases {
    type View = (CaseHead, Option<Pass>, Option<Appellants>);

    fn view(&self, state: &Case) -> Self::View {
        (CaseHead::of(state), pass_of(state), state.appellants())
    }

    fn committed(&self, stream: &Lease, record: &Record<Event>, (view, pass, appellants): Self::View, _: u64) {
        let StreamId::Case(case) = stream.stream else { return };
        self.publish(case, view);
        self.passes.put(case, pass);
        self.put_appellants(case, appellants);
        // Of one that is opened because somebody appeals the appeal is told, which follows at once: it is one case, and told of once.
        // Those that join it wait with it. One whose verdict is taken back is to be looked at once more, unless another one takes its place.
        let is_decided = record.events.iter().any(|event| matches!(event, Event::Decided(_)));
        let is_new = |event: &Event| match event {
            Event::Opened(opened) => opened.origin != Origin::Appeal,
            Event::Appealed(_) => true,
            Event::Undone(_) => !is_decided,
            _ => false,
        };
        if let Some(news) = view.news.filter(|_| record.events.iter().any(is_new)) {
            self.tell(news);
        }
    }

    fn rebuilt(&self, stream: &Lease, state: &Case) {
        if let StreamId::Case(case) = stream.stream
            && state.opened().is_some()
        {
            self.publish(case, CaseHead::of(state));
            self.passes.put(case, pass_of(state));
            self.put_appellants(case, state.appellants());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(seq: u64, wake_s: Option<i64>, has_work: bool) -> CaseHead {
        CaseHead { seq, status: Some(Status::Open), wake_at: wake_s.map(Timestamp::from_seconds), has_work, news: None }
    }

    #[test]
    fn chance_picks_once_from_each_hour_and_from_lists_that_have_all_of_it() {
        let board = Cases::default();
        assert!(board.is_to_pick(7));
        assert!(!board.may_pick(7, 100, 99), "the lists are behind");
        assert!(!board.may_pick(7, 120, 99) && board.may_pick(7, 120, 100), "what is written later is of a later hour");
        assert!(board.may_pick(7, 120, 120), "nobody has said that it was done");
        board.has_picked(7);
        assert!(!board.is_to_pick(7) && !board.may_pick(7, 130, 130) && !board.may_pick(6, 130, 130));
        assert!(board.is_to_pick(8) && !board.may_pick(8, 130, 129) && board.may_pick(8, 140, 130));
    }

    #[test]
    fn cases_are_told_by_lists_that_are_not_just_being_built() {
        let board = Cases::default();
        assert!(!board.may_tell(100, 0) && !board.may_tell(120, 99), "at the start");
        assert!(board.may_tell(120, 100) && board.may_tell(150, 120), "they are always a little late");
        assert!(!board.may_tell(150, 20) && !board.may_tell(160, 149), "they are built again");
        assert!(board.may_tell(160, 150));
    }

    #[test]
    fn whose_appeal_waits_is_found_by_any_of_them_at_their_museum_until_it_is_heard() {
        use tornello_engine::envelope::{Digest, PartyKind};
        let (board, case, museum) = (Cases::default(), CaseId(1), MuseumId(3));
        let party = |kind, n| Party { kind, pseudonym: Digest(n) };
        let (buyer, device, network) = (party(PartyKind::Buyer, 1), party(PartyKind::Device, 2), party(PartyKind::Network, 3));
        board.put_appellants(case, Some((museum, told_by(&[buyer, device, network]))));
        for told in [buyer, device, network] {
            assert_eq!(board.appeal_of(museum, &[party(PartyKind::Buyer, 9), told]), Some(case), "{told:?}");
            assert_eq!(board.appeal_of(MuseumId(4), &[told]), None, "another museum has analysts of its own");
        }
        assert_eq!(board.appeal_of(museum, &[party(PartyKind::Device, 1)]), None, "of another kind");
        assert_eq!(board.appeal_of(museum, &[]), None);
        // Who names nobody is one with all others who do.
        board.put_appellants(CaseId(2), Some((museum, told_by(&[]))));
        assert_eq!(board.appeal_of(museum, &[]), Some(CaseId(2)));
        board.put_appellants(case, Some((museum, told_by(&[device]))));
        assert_eq!((board.appeal_of(museum, &[buyer]), board.appeal_of(museum, &[device])), (None, Some(case)));
        board.put_appellants(case, None);
        assert_eq!(board.appeal_of(museum, &[device]), None);
        board.put_appellants(CaseId(2), None);
        let waiting = board.waiting.lock();
        assert!(waiting.by.is_empty() && waiting.of.is_empty());
    }

    #[test]
    fn who_comes_again_is_told_what_came_meanwhile_as_far_as_it_is_remembered() {
        let board = Cases::default();
        let news = |n: u64| {
            let (case, museum, origin, due_at) = (CaseId(n), MuseumId(3), Origin::Review, Timestamp::from_seconds(50));
            News { case, museum, origin, score: None, amount_cents: Cents::ZERO, due_at, number: 0 }
        };
        let told = |before: &Before| before.missed.iter().map(|news| (news.number, news.case.0)).collect::<Vec<_>>();
        let again = |number: u64| board.watch_after(Some(&|told: u64| told == number));
        let (mut first, nothing) = board.watch_after(None);
        assert_eq!((nothing.known(), told(&nothing), again(0).1.is_whole), (0, vec![], true));
        (1..=3).for_each(|n| board.tell(news(10 + n)));
        assert_eq!(std::iter::from_fn(|| first.try_recv().ok()).map(|news| news.number).collect::<Vec<_>>(), [1, 2, 3]);
        let (mut second, before) = again(1);
        assert_eq!((before.last, before.known(), told(&before), before.is_whole), (3, 1, vec![(2, 12), (3, 13)], true));
        assert!(second.try_recv().is_err(), "once");
        assert_eq!((again(0).1.missed.len(), again(0).1.is_whole, told(&again(3).1)), (3, true, vec![]));
        let (_, anew) = board.watch_after(None);
        assert_eq!((anew.known(), told(&anew), anew.is_whole), (3, vec![], true), "who has not watched before has missed nothing");
        (4..=3 + FEED as u64).for_each(|n| board.tell(news(10 + n)));
        let (late, just) = (again(2).1, again(3).1);
        assert_eq!((late.missed.len(), late.known(), late.is_whole), (FEED, 3, false), "one is forgotten");
        assert_eq!((just.missed.len(), just.is_whole), (FEED, true));
        let (_, of_another) = again(u64::MAX);
        assert_eq!((of_another.missed.len(), of_another.is_whole), (FEED, false), "what was told by another process is not known here");
    }

    #[test]
    fn a_case_is_known_until_it_is_done_with() {
        let (board, case) = (Cases::default(), CaseId(1));
        board.publish(case, head(1, Some(50), false));
        assert_eq!((board.next_wake(), board.due(Timestamp::from_seconds(49))), (Some(Timestamp::from_seconds(50)), vec![]));
        board.publish(case, head(2, None, true));
        assert_eq!((board.next_wake(), board.working(), board.open()), (None, vec![case], 0), "its tickets are not blocked yet");
        board.publish(case, head(1, Some(50), false));
        assert_eq!(board.next_wake(), None, "older news");
        board.publish(case, head(3, None, false));
        assert_eq!((board.working(), board.known.lock().heads.len()), (vec![], 0));
    }

    #[test]
    fn what_cannot_be_done_yet_rests_until_something_is_said_of_it() {
        let (board, case) = (Cases::default(), CaseId(1));
        board.publish(case, head(2, None, true));
        board.rest(case, 1);
        assert!(board.has_work(), "it was found before something else was said");
        board.rest(case, 2);
        assert_eq!((board.has_work(), board.working()), (false, vec![case]));
        board.publish(case, head(3, None, true));
        assert!(board.has_work());
        board.rest(case, 3);
        board.publish(case, head(4, Some(50), false));
        board.rest(case, 4);
        assert_eq!((board.has_work(), board.working(), board.known.lock().resting.len()), (false, vec![], 0));
    }
}
