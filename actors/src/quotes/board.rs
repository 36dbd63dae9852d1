//! The quotes that the office has still to do something about, and those whose visit is to come: for the lists, the deadlines, and the free quota of the booking
//! fee. Older ones are found in the journal when they are asked for. All of it can be rebuilt from the journal.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::civil::Date;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tornello_engine::aggregate::Aggregate;
use tornello_engine::ids::{Code, MuseumId, PaymentId, QuoteId, SlotId};
use tornello_engine::money::Cents;
use tornello_engine::quote::{Conditions, Deadline, Event, Kind, Offer, OptionsState, Quote, Status};
use tornello_engine::record::Record;
use tornello_engine::slot::people;
use tornello_engine::time::Timestamp;

use crate::deadlines::{Deadlines, First};
use crate::journal::StreamId;
use crate::journal::writer::Lease;
use crate::owner::Tell;

/// What is published of a quote: its state right after the last record on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuoteHead {
    /// Number of the record.
    pub seq: u64,
    /// Its time.
    pub at: Timestamp,
    /// Where the group goes; none before anything was written.
    pub museum: Option<MuseumId>,
    /// What kind of group it is.
    pub kind: Kind,
    /// The operator's account that it is for.
    pub account: Option<Code>,
    /// What it is.
    pub status: Status,
    /// Since when.
    pub since: Timestamp,
    /// The revision in force.
    pub revision: u32,
    /// The deadlines in force.
    pub conditions: Option<Conditions>,
    /// The deadline that runs, and when that is.
    pub deadline: Option<(Deadline, Timestamp)>,
    /// From when on its group is reminded of that deadline if it is doubtful; none: not before the policy says, or not any more.
    pub early_reminder_from: Option<Timestamp>,
    /// How many places it keeps in which slots, while it is sent or accepted.
    pub options: Arc<[(SlotId, u32)]>,
    /// When the first part goes in.
    pub starts_at: Timestamp,
    /// The day of the visit, in Rome.
    pub day: Option<Date>,
    /// How many people come.
    pub people: u32,
    /// What it costs.
    pub total_cents: Cents,
    /// How many people (or parts) it takes of those that are free of the booking fee that day.
    pub free_of_fee: u32,
    /// How many the revision would take whose places are being taken, and on which day.
    pub free_asked: Option<(Date, u32)>,
    /// When it has something to do by itself.
    pub wake_at: Option<Timestamp>,
    /// Whether its driver has something to do.
    pub has_work: bool,
    /// The payment that it waits for.
    pub awaits: Option<PaymentId>,
}

impl QuoteHead {
    /// The head of a quote as it is.
    #[must_use]
    pub fn of(quote: &Quote) -> Self {
        let (about, offer, status) = (quote.about(), quote.offer(), quote.status());
        let lives = status.is_open() || status == Status::Ticketed;
        let kept = quote.options_in_force().filter(|_| matches!(status, Status::Sent | Status::Accepted));
        let taking = quote.options().values().find(|options| options.state == OptionsState::Taking).map(|options| &options.asked.offer);
        Self {
            seq: quote.seq(),
            at: quote.last_at(),
            museum: about.map(|about| about.museum),
            kind: about.map_or(Kind::Other, |about| about.kind),
            account: about.and_then(|about| about.account),
            status,
            since: quote.since(),
            revision: quote.revision(),
            conditions: quote.conditions().copied(),
            deadline: quote.deadline(),
            early_reminder_from: quote.early_reminder_from(),
            options: kept.iter().flat_map(|asked| &asked.offer.parts).map(|part| (part.slot, people(&part.lines))).collect(),
            starts_at: offer.and_then(Offer::starts_at).unwrap_or(Timestamp::MIN),
            day: offer.and_then(Offer::day),
            people: offer.map_or(0, Offer::people),
            total_cents: offer.map_or(Cents::ZERO, |offer| offer.total_cents),
            free_of_fee: offer.filter(|_| lives).map_or(0, Offer::free_of_fee),
            free_asked: taking.and_then(|offer| Some((offer.day()?, offer.free_of_fee()))),
            wake_at: quote.wake_at(),
            has_work: quote.work().is_some(),
            awaits: quote.awaits(),
        }
    }

    /// Whether nothing is to be done about it any more, by anybody.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        !self.status.is_open() && !self.has_work && self.awaits.is_none()
    }

    /// Whether it is neither to be done about nor counted any more.
    #[must_use]
    pub fn is_past(&self, before: Timestamp) -> bool {
        self.is_finished() && (self.status != Status::Ticketed || self.starts_at < before)
    }
}

#[derive(Debug, Default)]
struct Known {
    heads: HashMap<QuoteId, QuoteHead>,
    deadlines: Deadlines<QuoteId>,
    working: BTreeSet<QuoteId>,
    awaiting: BTreeSet<(QuoteId, PaymentId)>,
}

/// The heads of all quotes that are open, or whose visit is to come.
#[derive(Debug, Default)]
pub struct Quotes {
    known: Mutex<Known>,
    sooner: Notify,
}

impl Quotes {
    /// Publishes a quote's new head. Called in the order of commits; a head that is older than the known one changes nothing.
    pub fn publish(&self, quote: QuoteId, head: QuoteHead) {
        let mut known = self.known.lock();
        if known.heads.get(&quote).is_some_and(|before| before.seq > head.seq) {
            return;
        }
        let before = if head.is_past(Timestamp::MIN) { known.heads.remove(&quote) } else { known.heads.insert(quote, head.clone()) };
        if head.has_work {
            known.working.insert(quote);
        } else {
            known.working.remove(&quote);
        }
        if let Some(payment) = before.as_ref().and_then(|before| before.awaits) {
            known.awaiting.remove(&(quote, payment));
        }
        if let Some(payment) = head.awaits {
            known.awaiting.insert((quote, payment));
        }
        if known.deadlines.replace(quote, before.and_then(|before| before.wake_at), head.wake_at) != First::Same {
            self.sooner.notify_one();
        }
    }

    /// The head of a quote, if it is open or its visit is to come.
    #[must_use]
    pub fn head(&self, quote: QuoteId) -> Option<QuoteHead> {
        self.known.lock().heads.get(&quote).cloned()
    }

    /// All that are open or to come, in no order.
    #[must_use]
    pub fn heads(&self) -> Vec<(QuoteId, QuoteHead)> {
        self.known.lock().heads.iter().map(|(quote, head)| (*quote, head.clone())).collect()
    }

    /// Those that keep places at a museum, in no order.
    #[must_use]
    pub fn keeping(&self, museum: MuseumId) -> Vec<(QuoteId, QuoteHead)> {
        let keeps = |head: &QuoteHead| head.museum == Some(museum) && !head.options.is_empty();
        self.known.lock().heads.iter().filter(|(_, head)| keeps(head)).map(|(quote, head)| (*quote, head.clone())).collect()
    }

    /// Those of whose deadline a doubtful group may be reminded by now.
    #[must_use]
    pub fn early_reminders(&self, now: Timestamp) -> Vec<(QuoteId, QuoteHead)> {
        let may = |head: &QuoteHead| head.early_reminder_from.is_some_and(|from| from <= now);
        self.known.lock().heads.iter().filter(|(_, head)| may(head)).map(|(quote, head)| (*quote, head.clone())).collect()
    }

    /// How many people (or parts) of schools, or of others, are free of the booking fee at a museum on a day by all quotes but one. A revision was priced by them before it is in
    /// force: until it is, or is refused, the quote has what the larger of both takes.
    #[must_use]
    pub fn free_of_fee(&self, museum: MuseumId, day: Date, of_schools: bool, but: QuoteId) -> u32 {
        let same = |head: &QuoteHead| head.museum == Some(museum) && (head.kind == Kind::School) == of_schools;
        let taken = |head: &QuoteHead| {
            let in_force = if head.day == Some(day) { head.free_of_fee } else { 0 };
            head.free_asked.filter(|(of, _)| *of == day).map_or(in_force, |(_, asked)| asked.max(in_force))
        };
        let known = self.known.lock();
        known.heads.iter().filter(|(quote, head)| **quote != but && same(head)).map(|(_, head)| taken(head)).sum()
    }

    /// Those whose driver has something to do.
    #[must_use]
    pub fn working(&self) -> Vec<QuoteId> {
        self.known.lock().working.iter().copied().collect()
    }

    /// Those that wait for a payment, with it.
    #[must_use]
    pub fn awaiting(&self) -> Vec<(QuoteId, PaymentId)> {
        self.known.lock().awaiting.iter().copied().collect()
    }

    /// The next deadline of any quote.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.known.lock().deadlines.first()
    }

    /// The quotes whose deadline has come, earliest first.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Vec<QuoteId> {
        self.known.lock().deadlines.due(now)
    }

    /// Ends when the next deadline has changed.
    pub async fn sooner(&self) {
        self.sooner.notified().await;
    }

    /// Forgets quotes whose visit was before `before` and about which nothing is to be done.
    pub fn forget(&self, before: Timestamp) {
        self.known.lock().heads.retain(|_, head| !head.is_past(before));
    }
}

impl Tell<Quote> for Quotes {
    type View = QuoteHead;

    fn view(&self, state: &Quote) -> QuoteHead {
        QuoteHead::of(state)
    }

    fn committed(&self, stream: &Lease, _: &Record<Event>, view: QuoteHead, _: u64) {
        if let StreamId::Quote(quote) = stream.stream {
            self.publish(quote, view);
        }
    }

    fn rebuilt(&self, stream: &Lease, state: &Quote) {
        if let StreamId::Quote(quote) = stream.stream
            && state.about().is_some()
        {
            self.publish(quote, QuoteHead::of(state));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    const DAY: Date = date(2026, 6, 19);

    fn head(seq: u64, status: Status, wake_s: Option<i64>) -> QuoteHead {
        QuoteHead {
            free_of_fee: 20,
            museum: Some(MuseumId(1)),
            kind: Kind::School,
            status,
            seq,
            starts_at: Timestamp::from_seconds(100),
            day: Some(DAY),
            wake_at: wake_s.map(Timestamp::from_seconds),
            ..QuoteHead::of(&Quote::new(QuoteId(1)))
        }
    }

    #[test]
    fn who_is_done_with_leaves_when_the_visit_is_over() {
        let (board, [one, two]) = (Quotes::default(), [1, 2].map(QuoteId));
        board.publish(one, head(1, Status::Sent, Some(50)));
        board.publish(two, head(1, Status::Draft, None));
        assert_eq!((board.next_wake(), board.due(Timestamp::from_seconds(49))), (Some(Timestamp::from_seconds(50)), vec![]));
        board.publish(one, QuoteHead { has_work: true, ..head(2, Status::Lapsed, None) });
        assert_eq!((board.next_wake(), board.working(), board.heads().len()), (None, vec![one], 2), "its options are not given back yet");
        board.publish(one, head(3, Status::Lapsed, None));
        board.publish(two, head(2, Status::Ticketed, None));
        assert_eq!((board.head(one), board.working()), (None, vec![]));
        board.forget(Timestamp::from_seconds(100));
        assert!(board.head(two).is_some(), "the visit is to come");
        board.forget(Timestamp::from_seconds(101));
        assert_eq!(board.heads(), []);
    }

    #[test]
    fn the_free_quota_counts_a_days_quotes_but_one() {
        let board = Quotes::default();
        for (n, other) in [
            head(1, Status::Draft, None),
            QuoteHead { free_of_fee: 5, ..head(1, Status::Ticketed, None) },
            QuoteHead { kind: Kind::Other, ..head(1, Status::Sent, None) },
            QuoteHead { museum: Some(MuseumId(2)), ..head(1, Status::Sent, None) },
            QuoteHead { day: DAY.tomorrow().ok(), ..head(1, Status::Sent, None) },
            QuoteHead { free_of_fee: 2, free_asked: Some((DAY, 3)), ..head(1, Status::Sent, None) },
            QuoteHead { day: DAY.tomorrow().ok(), free_asked: Some((DAY, 4)), ..head(1, Status::Sent, None) },
        ]
        .into_iter()
        .enumerate()
        {
            board.publish(QuoteId(n as u64), other);
        }
        let left = |but| board.free_of_fee(MuseumId(1), DAY, true, QuoteId(but));
        assert_eq!([left(0), left(1), left(9)], [12, 27, 32]);
    }

    #[test]
    fn who_keeps_places_where_and_who_may_be_reminded_is_known() {
        let (board, at) = (Quotes::default(), Timestamp::from_seconds);
        let slot = SlotId::new(MuseumId(1), tornello_engine::ids::RouteId(1), at(100));
        let keeps = QuoteHead { options: [(slot, 12)].into(), early_reminder_from: Some(at(40)), ..head(1, Status::Sent, Some(50)) };
        board.publish(QuoteId(1), keeps.clone());
        board.publish(QuoteId(2), head(1, Status::Draft, None));
        assert_eq!((board.keeping(MuseumId(1)), board.keeping(MuseumId(2))), (vec![(QuoteId(1), keeps.clone())], vec![]));
        assert_eq!((board.early_reminders(at(39)), board.early_reminders(at(40))), (vec![], vec![(QuoteId(1), keeps)]));
        board.publish(QuoteId(1), QuoteHead { has_work: true, ..head(2, Status::Lapsed, None) });
        assert_eq!((board.keeping(MuseumId(1)), board.early_reminders(at(99))), (vec![], vec![]));
    }

    #[test]
    fn who_waits_for_a_payment_is_known() {
        let (board, payment) = (Quotes::default(), PaymentId::from_raw(3));
        board.publish(QuoteId(1), QuoteHead { awaits: Some(payment), ..head(1, Status::Accepted, None) });
        assert_eq!(board.awaiting(), [(QuoteId(1), payment)]);
        board.publish(QuoteId(1), head(2, Status::Ticketed, None));
        assert_eq!(board.awaiting(), []);
    }
}
