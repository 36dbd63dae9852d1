//! Random commands against a naive model: a list of parties, recounted from scratch for each question and asked one after the
//! other when they wait, that knows nothing of the slot's code.

use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use super::*;
use crate::grant::Grant;
use crate::ids::{PaymentId, QuoteId};

/// One party and what became of it.
#[derive(Debug, Clone, PartialEq)]
enum Fate {
    Waiting,
    Held { until: i64, extended: bool },
    Sold,
    Gone,
}

#[derive(Debug, Clone)]
struct Party {
    n: u64,
    channel: Channel,
    people: u16,
    /// Whether it came by the waiting list.
    listed: bool,
    fate: Fate,
    held_at: i64,
    /// Whether a payment is under way for its hold.
    paying: bool,
    /// Whether a quote keeps its hold.
    quoted: bool,
    /// The refunds, in cents, of which whoever has the money has to be told.
    owed: Vec<i64>,
    cancelled: Vec<u16>,
    inside: Vec<u16>,
    left: Vec<(u16, i64)>,
    blocked: Vec<u16>,
    /// When tickets were blocked (true), and when they were so no more, in order.
    bars: Vec<(u16, i64, bool)>,
    /// When tickets were last seen at a gate, whatever came of it. Scans that come in out of their order are tested beside this.
    seen: Vec<(u16, i64)>,
    /// On their way to another slot, each under the number of what it is to become.
    moving: Vec<(u16, u64)>,
    gone: Vec<u16>,
    /// One entry for each time that a ticket was renamed.
    renamed: Vec<u16>,
    /// The same, with the times.
    renamed_at: Vec<(u16, i64)>,
}

impl Party {
    fn new(n: u64, channel: Channel, people: u16, fate: Fate) -> Self {
        Self {
            n,
            channel,
            people,
            listed: false,
            fate,
            held_at: 0,
            paying: false,
            quoted: false,
            owed: vec![],
            cancelled: vec![],
            inside: vec![],
            left: vec![],
            blocked: vec![],
            bars: vec![],
            seen: vec![],
            moving: vec![],
            gone: vec![],
            renamed: vec![],
            renamed_at: vec![],
        }
    }

    /// Whether a ticket was sold and is neither used, cancelled nor on its way or gone.
    fn stands(&self, ticket: u16) -> bool {
        let used = self.inside.contains(&ticket) || self.left.iter().any(|(n, _)| *n == ticket);
        self.fate == Fate::Sold && ticket < self.people && !used && !self.cancelled.contains(&ticket) && !self.is_away(ticket)
    }

    /// Whether a ticket was blocked at that time.
    fn was_blocked(&self, ticket: u16, t: i64) -> bool {
        self.bars.iter().rfind(|(n, at, _)| *n == ticket && *at <= t).is_some_and(|(.., blocked)| *blocked)
    }

    /// Whether its first code was good no more at that time.
    fn was_renamed(&self, ticket: u16, t: i64) -> bool {
        self.renamed_at.iter().any(|(n, at)| *n == ticket && *at <= t)
    }

    fn is_away(&self, ticket: u16) -> bool {
        self.gone.contains(&ticket) || self.moving.iter().any(|(n, _)| *n == ticket)
    }
}

/// What is asked; times are seconds after the one before.
#[derive(Debug, Clone)]
enum Ask {
    Hold {
        channel: Channel,
        people: u16,
    },
    Direct {
        people: u16,
    },
    Extend(usize),
    Release(usize),
    Sell(usize),
    Cancel(usize, u16),
    Admit(usize, u16),
    Exit(usize, u16),
    Block(usize, u16, bool),
    Capacity(u32),
    /// So many beyond the places, if so many people may be sold to.
    Beyond(u32, Option<u32>),
    Quota {
        reserved: u32,
        limit: Option<u32>,
    },
    Close(bool),
    Observe {
        inside: u32,
        share: Option<u32>,
    },
    /// A scan of a gate without a network, some seconds ago.
    Merge {
        party: usize,
        ticket: u16,
        ago: i64,
        out: bool,
    },
    Wait {
        channel: Channel,
        people: u16,
    },
    Leave(usize),
    /// Waits for so many, or keeps so many of an offer.
    Fewer(usize, u16),
    BeginMove(usize, u16),
    EndMove(usize, bool),
    Arrive {
        channel: Channel,
        people: u16,
    },
    Rename(usize, u16),
    HoldFor {
        channel: Channel,
        people: u16,
        kept_s: i64,
        quote: bool,
    },
    Prolong(usize, i64, bool),
    Amend(usize, u16),
    /// A sale by a payment.
    Pay(usize),
    HandOver(usize),
}

#[derive(Debug, Clone)]
pub struct Naive {
    now: i64,
    capacity: u32,
    /// What is sold beyond the places; none: staff set them.
    beyond: Option<u32>,
    closed: bool,
    group: (u32, Option<u32>),
    observed: Option<(i64, u32, u32)>,
    parties: Vec<Party>,
    next: u64,
    /// How many scans were conflicts.
    conflicts: u32,
    /// What the model says of the last question: whether it is granted.
    granted: bool,
}

/// The group's share ends this long before the start.
const RELEASE: i64 = 4 * HOUR;

fn sale_end(channel: Channel) -> i64 {
    if channel == Channel::BoxOffice { 30 * MIN } else { -10 * MIN }
}

impl Naive {
    fn expire(&mut self) {
        let (now, closed) = (self.now, self.closed);
        for party in &mut self.parties {
            // Nobody can take an offer of a closed slot, so that it stands until sales end.
            let end = |until: i64| if closed && party.listed { sale_end(party.channel) } else { until };
            let is_over = match party.fate {
                Fate::Held { until, .. } => end(until) <= now,
                Fate::Waiting => sale_end(party.channel) <= now,
                Fate::Sold | Fate::Gone => false,
            };
            if is_over {
                party.fate = Fate::Gone;
            }
        }
        // Parties stand in the order in which they came: who waits is asked one after the other.
        for i in 0..self.parties.len() {
            let Party { channel, people, ref fate, .. } = self.parties[i];
            if *fate == Fate::Waiting && self.fits(channel, channel, people) {
                self.parties[i].fate = Fate::Held { until: (now + 900).min(sale_end(channel)), extended: false };
                self.parties[i].held_at = now;
            }
        }
    }

    fn taken(&self, channel: Option<Channel>) -> u32 {
        let counted = |party: &&Party| channel.is_none_or(|channel| channel == party.channel) && !matches!(party.fate, Fate::Gone | Fate::Waiting);
        self.parties.iter().filter(counted).map(|party| u32::from(party.people) - (party.cancelled.len() + party.gone.len()) as u32).sum()
    }

    fn fits(&self, channel: Channel, via: Channel, people: u16) -> bool {
        if self.closed || self.now >= sale_end(via) || self.now < -90 * DAY || people > 10 {
            return false;
        }
        let beyond = i64::from(self.beyond.unwrap_or(0));
        let mut room = i64::from(self.capacity) + beyond;
        if let Some((at, _, cap)) = self.observed
            && self.now < at + 900
        {
            room = room.min(i64::from(cap));
        }
        room -= i64::from(self.taken(None));
        if self.now < -RELEASE {
            let of_group = self.taken(Some(Channel::Group));
            if channel == Channel::Group {
                if let Some(limit) = self.group.1 {
                    room = room.min(i64::from(limit) - i64::from(of_group));
                }
            } else {
                room -= (i64::from(self.group.0) - i64::from(of_group)).max(0);
            }
        }
        // Beyond the places only the public is sold to; the group has its share in any case.
        if matches!(channel, Channel::Group | Channel::Reseller) && beyond > 0 {
            let mut own = i64::from(self.capacity);
            if let Some((at, _, cap)) = self.observed
                && self.now < at + 900
            {
                own = own.min(i64::from(cap));
            }
            own -= i64::from(self.taken(None));
            if self.now < -RELEASE {
                let kept = i64::from(self.group.0) - i64::from(self.taken(Some(Channel::Group)));
                own = if channel == Channel::Group { own.max(kept) } else { own - kept.max(0) };
            }
            room = room.min(own);
        }
        i64::from(people) <= room
    }

    fn add(&mut self, channel: Channel, via: Channel, people: u16, fate: Fate) -> bool {
        let n = self.next;
        self.next += 1;
        if !self.fits(channel, via, people) {
            return false;
        }
        self.parties.push(Party { held_at: self.now, ..Party::new(n, channel, people, fate) });
        true
    }

    fn join(&mut self, channel: Channel, people: u16) -> bool {
        let may = !self.closed && self.now < sale_end(channel) && !self.fits(channel, channel, people) && u32::from(people) <= self.capacity;
        let n = self.next;
        self.next += 1;
        if may {
            self.parties.push(Party { listed: true, ..Party::new(n, channel, people, Fate::Waiting) });
        }
        may
    }

    /// Who waits, in order.
    fn waiting(&self) -> Vec<HoldId> {
        self.parties.iter().filter(|party| party.fate == Fate::Waiting).map(|party| id(party.n)).collect()
    }

    /// Which of those who waited have an offer.
    fn offered(&self) -> Vec<HoldId> {
        self.parties.iter().filter(|party| party.listed && matches!(party.fate, Fate::Held { .. })).map(|party| id(party.n)).collect()
    }

    fn admitted(&self) -> u32 {
        self.parties.iter().map(|party| (party.inside.len() + party.left.iter().filter(|(n, _)| !party.inside.contains(n)).count()) as u32).sum()
    }

    fn inside(&self) -> u32 {
        self.parties.iter().map(|party| party.inside.len() as u32).sum()
    }

    fn answer(&mut self, ask: &Ask) -> bool {
        let (now, closed) = (self.now, self.closed);
        let selling = |party: &Party| !closed && now < sale_end(party.channel);
        match *ask {
            Ask::Hold { channel, people } => {
                self.add(channel, channel, people, Fate::Held { until: (now + 900).min(sale_end(channel)), extended: false })
            }
            Ask::Direct { people } => self.add(Channel::BoxOffice, Channel::BoxOffice, people, Fate::Sold),
            Ask::Extend(i) => {
                let Some(party) = self.parties.get_mut(i).filter(|party| selling(party)) else { return false };
                let Fate::Held { until, extended: false } = party.fate else { return false };
                party.fate = Fate::Held { until: (until + 600).min(sale_end(party.channel)), extended: true };
                true
            }
            Ask::Release(i) => {
                let Some(party) = self.parties.get_mut(i).filter(|party| matches!(party.fate, Fate::Held { .. }) && !party.paying) else {
                    return false;
                };
                party.fate = Fate::Gone;
                true
            }
            Ask::Sell(i) | Ask::Pay(i) => {
                // The one payment that there is sells what it keeps; nobody else does.
                let may =
                    |party: &&mut Party| matches!(party.fate, Fate::Held { .. }) && selling(party) && (!party.paying || matches!(ask, Ask::Pay(_)));
                let Some(party) = self.parties.get_mut(i).filter(may) else { return false };
                party.fate = Fate::Sold;
                true
            }
            Ask::Cancel(i, ticket) => {
                let Some(party) = self.parties.get_mut(i).filter(|party| party.stands(ticket) && now < 30 * MIN && !party.blocked.contains(&ticket))
                else {
                    return false;
                };
                party.cancelled.push(ticket);
                // All of a price of 1,601 cents when the slot is closed, half of it until an hour before the start.
                let refund = if closed { Some(1_601) } else { (now <= -HOUR).then_some(800) };
                party.owed.extend(refund);
                true
            }
            Ask::Admit(i, ticket) => {
                let inside = self.inside();
                let full = self.observed.is_some_and(|(at, people, _)| now < at + 900 && people + inside >= 100);
                let Some(party) = self.parties.get_mut(i).filter(|party| party.fate == Fate::Sold && ticket < party.people) else { return false };
                let first = !party.left.iter().any(|(n, _)| *n == ticket);
                let may = if first {
                    (-15 * MIN..=45 * MIN).contains(&now)
                } else {
                    // One return, within two hours of the first admission, which `left` keeps.
                    party.left.iter().filter(|(n, _)| *n == ticket).count() == 1
                        && party.left.iter().any(|(n, first_at)| *n == ticket && now <= first_at + 7200)
                };
                if !may
                    || full
                    || party.inside.contains(&ticket)
                    || party.cancelled.contains(&ticket)
                    || party.blocked.contains(&ticket)
                    || party.is_away(ticket)
                {
                    return false;
                }
                party.enter(ticket, now);
                party.see(ticket, now);
                true
            }
            Ask::Exit(i, ticket) => {
                let Some(party) = self.parties.get_mut(i) else { return false };
                let was_inside = party.inside.contains(&ticket);
                if was_inside {
                    party.leave(ticket);
                    party.see(ticket, now);
                }
                was_inside
            }
            Ask::Merge { party: i, ticket, ago, out } => {
                let t = self.scanned_at(i, ticket, ago);
                let Some(party) = self.parties.get_mut(i).filter(|party| party.fate == Fate::Sold && ticket < party.people) else { return false };
                if t > now {
                    return false;
                }
                let (inside, entries) = (party.inside.contains(&ticket), party.left.iter().filter(|(n, _)| *n == ticket).count());
                // Nobody leaves on a ticket that is good for nobody; of any other it is kept that somebody left, however they came in.
                if out && (party.cancelled.contains(&ticket) || party.is_away(ticket)) {
                    return false;
                }
                // Of a ticket on its way nobody knows yet what a scan was; an old code is an old code.
                if !out && !party.renamed.contains(&ticket) && party.moving.iter().any(|(n, _)| *n == ticket) {
                    return false;
                }
                party.see(ticket, t);
                let seen = self.observed.is_some_and(|(measured, ..)| t <= measured);
                // A ticket that has gone elsewhere lets nobody in either; one that was blocked or issued anew by then should not have.
                let cancelled = party.cancelled.contains(&ticket) || party.is_away(ticket);
                let barred = party.was_blocked(ticket, t) || party.was_renamed(ticket, t);
                let good = match entries {
                    0 => !cancelled && !barred && (-15 * MIN..=45 * MIN).contains(&t),
                    1 => {
                        let back = party.left.iter().any(|(n, first_at)| *n == ticket && t <= first_at + 7200);
                        !cancelled && !inside && !barred && back
                    }
                    _ => false,
                };
                if out {
                    party.leave(ticket);
                } else if good || (entries == 0 && !cancelled) {
                    party.enter(ticket, t);
                }
                let counted = (out && inside) || (!out && good) || (!out && entries == 0 && !cancelled);
                self.conflicts += u32::from(!out && !good);
                if let Some((_, others, _)) = self.observed.as_mut().filter(|_| counted && seen) {
                    *others = if out { *others + 1 } else { others.saturating_sub(1) };
                }
                true
            }
            Ask::Block(i, ticket, block) => {
                let Some(party) = self.parties.get_mut(i).filter(|party| party.fate == Fate::Sold && ticket < party.people) else { return false };
                let was = party.blocked.contains(&ticket);
                party.blocked.retain(|n| *n != ticket);
                if block && !party.cancelled.contains(&ticket) && !party.is_away(ticket) {
                    party.blocked.push(ticket);
                    party.bars.push((ticket, now, true));
                    return true;
                }
                if was && block {
                    party.blocked.push(ticket);
                }
                if was && !block {
                    party.bars.push((ticket, now, false));
                }
                was && !block
            }
            Ask::Capacity(capacity) => {
                (self.capacity, self.beyond) = (capacity, None);
                true
            }
            Ask::Beyond(asked, ceiling) => {
                let Some(before) = self.beyond.filter(|_| now < 30 * MIN) else { return false };
                let mut wanted = asked;
                while wanted > 0 && ceiling.is_some_and(|ceiling| self.capacity + wanted > ceiling) {
                    wanted -= 1;
                }
                // One after the other is taken back, as long as nobody has it.
                let kept = if now < -RELEASE { self.group.0.saturating_sub(self.taken(Some(Channel::Group))) } else { 0 };
                let mut beyond = before.max(wanted);
                while beyond > wanted && self.capacity + beyond > self.taken(None) + kept {
                    beyond -= 1;
                }
                self.beyond = Some(beyond);
                beyond != before
            }
            Ask::Quota { reserved, limit } => {
                let fits = reserved <= self.capacity;
                if fits {
                    self.group = (reserved, limit);
                }
                fits
            }
            Ask::Close(close) => {
                self.closed = close;
                // Offers of a slot that reopens begin anew.
                for party in self.parties.iter_mut().filter(|party| closed && !close && party.listed) {
                    let anew = (now + 900).min(sale_end(party.channel));
                    if matches!(party.fate, Fate::Held { until, .. } if until < anew) {
                        (party.fate, party.held_at) = (Fate::Held { until: anew, extended: false }, now);
                    }
                }
                true
            }
            Ask::Observe { inside, share } => {
                if self.observed.is_some_and(|(at, ..)| at > now) {
                    return false;
                }
                let wait = (-now).max(0);
                let staying = if wait == 0 { i64::from(inside) } else { (i64::from(inside) * (5400 - wait).max(0) + 5399) / 5400 };
                let cap = if now >= 30 * MIN || wait >= 5400 { u32::MAX } else { self.admitted() + (100 - staying).max(0) as u32 };
                let cap = if cap == u32::MAX { cap } else { cap.min(share.map_or(u32::MAX, |share| self.admitted() + share)) };
                // People seen are those of other slots too: what counts at the gate is the reading plus this slot's comings and goings since.
                self.observed = Some((now, inside.saturating_sub(self.inside()), cap));
                true
            }
            Ask::Wait { channel, people } => self.join(channel, people),
            Ask::Leave(i) => {
                let goes = |party: &&mut Party| party.listed && !party.paying && matches!(party.fate, Fate::Waiting | Fate::Held { .. });
                let Some(party) = self.parties.get_mut(i).filter(goes) else { return false };
                party.fate = Fate::Gone;
                true
            }
            Ask::Fewer(i, people) => {
                let goes = |party: &&mut Party| party.listed && !party.paying && matches!(party.fate, Fate::Waiting | Fate::Held { .. });
                let Some(party) = self.parties.get_mut(i).filter(goes).filter(|party| people <= party.people) else { return false };
                party.people = people;
                true
            }
            Ask::BeginMove(i, ticket) => {
                let arrival = self.next;
                self.next += 1;
                let may = |party: &&mut Party| party.stands(ticket) && now < 30 * MIN && !party.blocked.contains(&ticket);
                let Some(party) = self.parties.get_mut(i).filter(may) else { return false };
                party.moving.push((ticket, arrival));
                true
            }
            Ask::EndMove(i, done) => {
                let Some(party) = self.parties.get_mut(i).filter(|party| !party.moving.is_empty()) else { return false };
                let (ticket, _) = party.moving.remove(0);
                if done {
                    party.gone.push(ticket);
                }
                true
            }
            Ask::Arrive { channel, people } => self.add(channel, Channel::BoxOffice, people, Fate::Sold),
            Ask::Rename(i, ticket) => {
                let may = |party: &&mut Party| party.stands(ticket) && now < 30 * MIN && !party.blocked.contains(&ticket);
                let Some(party) = self.parties.get_mut(i).filter(may) else { return false };
                party.renamed.push(ticket);
                party.renamed_at.push((ticket, now));
                true
            }
            Ask::HoldFor { channel, people, kept_s, quote } => {
                let until = (now + kept_s).min(sale_end(channel)).min(if quote { i64::MAX } else { now + 2 * HOUR });
                let held = kept_s > 0 && self.add(channel, channel, people, Fate::Held { until, extended: false });
                self.parties.last_mut().into_iter().filter(|_| held).for_each(|party| (party.paying, party.quoted) = (!quote, quote));
                held
            }
            Ask::Prolong(i, kept_s, quote) => {
                let Some(party) = self.parties.get_mut(i).filter(|party| selling(party)) else { return false };
                let Fate::Held { until, extended } = party.fate else { return false };
                let limit = if quote { i64::MAX } else { party.held_at + 2 * HOUR };
                party.fate = Fate::Held { until: until.max((now + kept_s).min(limit).min(sale_end(party.channel))), extended };
                party.quoted |= quote;
                party.paying = !party.quoted;
                true
            }
            Ask::Amend(i, people) => {
                let may = |party: &&Party| selling(party) && matches!(party.fate, Fate::Held { .. }) && !party.paying && people <= 10;
                let Some(&Party { channel, people: before, .. }) = self.parties.get(i).filter(may) else { return false };
                if people > before && !self.fits(channel, channel, people - before) {
                    return false;
                }
                self.parties[i].people = people;
                true
            }
            Ask::HandOver(i) => {
                let Some(party) = self.parties.get_mut(i).filter(|party| !party.owed.is_empty()) else { return false };
                party.owed.remove(0);
                true
            }
        }
    }

    /// When a scan was made that comes in now: after all that gates have seen of the ticket, and before what they may see next.
    fn scanned_at(&self, party: usize, ticket: u16, ago: i64) -> i64 {
        let seen = self.parties.get(party).and_then(|party| party.seen.iter().find(|(n, _)| *n == ticket));
        let after = seen.map_or(self.now - ago, |(_, last)| (self.now - ago).max(last + 1));
        // What would not be over yet is in the future.
        if after < self.now { after } else { self.now + HOUR }
    }

    fn command(&self, ask: &Ask) -> Command {
        let n = |i: usize| self.parties.get(i).map_or(9999, |party| party.n);
        match *ask {
            Ask::Hold { channel, people } => hold(self.next, channel, &[full(people)]),
            Ask::Direct { people } => direct(self.next, &[full(people)], desk()),
            Ask::Extend(i) => Command::Extend { hold: id(n(i)), owner: None },
            Ask::Release(i) => Command::Release { hold: id(n(i)), owner: None },
            Ask::Sell(i) => {
                let channel = self.parties.get(i).map_or(Channel::Group, |party| party.channel);
                let settlement = if channel == Channel::BoxOffice { desk() } else { account() };
                Command::Sell { hold: id(n(i)), owner: None, settlement, contact: None }
            }
            Ask::Cancel(i, ticket) => cancel(n(i), &[ticket]),
            Ask::Admit(i, ticket) => {
                let renamed = self.parties.get(i).map_or(0, |party| party.renamed.iter().filter(|n| **n == ticket).count());
                Command::Admit { ticket: id(n(i)).ticket(ticket), issue: Some(1 + renamed as u16), gate: code("north"), museum: MUSEUM }
            }
            Ask::Exit(i, ticket) => exit(n(i), ticket),
            Ask::Block(i, ticket, true) => Command::Block { sale: id(n(i)), tickets: vec![ticket], reason: code("review") },
            Ask::Block(i, ticket, false) => Command::Unblock { sale: id(n(i)), tickets: vec![ticket], reason: None, keeps: None },
            Ask::Capacity(capacity) => Command::SetCapacity { capacity },
            Ask::Beyond(beyond, ceiling) => Command::SellBeyond { beyond, ceiling, turn_away_ppm: 1_000 * beyond },
            Ask::Quota { reserved, limit } => Command::SetQuotas { quotas: quotas(&[(Channel::Group, reserved, limit, RELEASE as u32)]) },
            Ask::Close(true) => Command::Close { reason: code("strike") },
            Ask::Close(false) => Command::Reopen,
            Ask::Observe { inside, share } => Command::Observe {
                source: code("door"),
                inside,
                sd: 0,
                measured_at: at(self.now),
                ceiling: Some(100),
                grant: share.map(|share| Grant { admitted: self.admitted(), share }),
                words: Words::default(),
            },
            Ask::Wait { channel, people } => Command::Wait { entry: id(self.next), who: KeyId(1), channel, lines: vec![full(people)] },
            Ask::Leave(i) => Command::LeaveWaiting { entry: id(n(i)), owner: None },
            Ask::Fewer(i, people) => Command::WaitForFewer { entry: id(n(i)), counts: vec![(code("full"), people)], owner: None, over: None },
            Ask::BeginMove(i, ticket) => begin_move(n(i), &[ticket], self.next),
            Ask::EndMove(i, done) => {
                let arrival = there(self.parties.get(i).and_then(|party| party.moving.first()).map_or(9999, |(_, arrival)| *arrival));
                if done { Command::FinishMove { arrival } } else { Command::UndoMove { arrival, why: Refusal::UnknownSlot } }
            }
            Ask::Arrive { channel, people } => Command::Arrive {
                arrived: Box::new(Arrived { channel, ..arrived(self.next, &[full(people)]) }),
                via: Channel::BoxOffice,
                asks_review: false,
                review_until: None,
                named: false,
            },
            Ask::Rename(i, ticket) => {
                Command::Rename { sale: id(n(i)), owner: None, tickets: vec![ticket], holder: Some(PersonId(self.next.into())) }
            }
            Ask::HoldFor { channel, people, kept_s, quote } => {
                let (lines, until) = (vec![full(people)], at(self.now + kept_s));
                Command::HoldFor { hold: id(self.next), channel, lines, until, cause: keeper(quote) }
            }
            Ask::Prolong(i, kept_s, quote) => Command::Prolong { hold: id(n(i)), until: at(self.now + kept_s), cause: keeper(quote) },
            Ask::Amend(i, people) => Command::Amend { hold: id(n(i)), lines: vec![full(people)], owner: None },
            Ask::Pay(i) => sell(n(i), Settlement::Payment { id: PaymentId::new(1, 1) }),
            // Which record it was the model does not know.
            Ask::HandOver(i) => Command::HandedOver { sale: id(n(i)), seq: 0 },
            Ask::Merge { party, ticket, ago, out } => {
                let direction = if out { Direction::Out } else { Direction::In };
                merge(scan(n(party), ticket, "pda", direction, self.scanned_at(party, ticket, ago)))
            }
        }
    }
}

fn keeper(quote: bool) -> Keeper {
    if quote { Keeper::Quote(QuoteId(1)) } else { Keeper::Payment(PaymentId::new(1, 1)) }
}

impl Party {
    fn enter(&mut self, ticket: u16, at: i64) {
        self.inside.push(ticket);
        self.left.push((ticket, at));
    }

    fn leave(&mut self, ticket: u16) {
        self.inside.retain(|n| *n != ticket);
    }

    fn see(&mut self, ticket: u16, at: i64) {
        self.seen.retain(|(n, _)| *n != ticket);
        self.seen.push((ticket, at));
    }
}

#[derive(Debug, Clone)]
pub struct Step {
    later_s: i64,
    ask: Ask,
    command: Command,
}

fn asks() -> impl Strategy<Value = (i64, Ask)> {
    let later = prop_oneof![6 => 0..120_i64, 2 => 120..1200_i64, 1 => 1200..3 * HOUR];
    let kept_s = || prop_oneof![Just(-60_i64), 0..1_800_i64, 0..4 * HOUR];
    let channel = || prop_oneof![Just(Channel::Group), Just(Channel::Reseller), Just(Channel::BoxOffice)];
    let ask = prop_oneof![
        6 => (channel(), 1..6_u16).prop_map(|(channel, people)| Ask::Hold { channel, people }),
        3 => (1..6_u16).prop_map(|people| Ask::Direct { people }),
        1 => (0..30_usize).prop_map(Ask::Extend),
        1 => (0..30_usize).prop_map(Ask::Release),
        5 => (0..30_usize).prop_map(Ask::Sell),
        2 => (0..30_usize, 0..6_u16).prop_map(|(i, ticket)| Ask::Cancel(i, ticket)),
        6 => (0..30_usize, 0..6_u16).prop_map(|(i, ticket)| Ask::Admit(i, ticket)),
        3 => (0..30_usize, 0..6_u16).prop_map(|(i, ticket)| Ask::Exit(i, ticket)),
        1 => (0..30_usize, 0..6_u16, any::<bool>()).prop_map(|(i, ticket, block)| Ask::Block(i, ticket, block)),
        1 => (0..30_u32).prop_map(Ask::Capacity),
        6 => (0..6_u32, prop::option::weighted(0.2, 15..26_u32)).prop_map(|(beyond, ceiling)| Ask::Beyond(beyond, ceiling)),
        1 => (0..12_u32, prop::option::of(0..15_u32)).prop_map(|(reserved, limit)| Ask::Quota { reserved, limit }),
        1 => prop::bool::weighted(0.2).prop_map(Ask::Close),
        2 => (0..110_u32, prop::option::of(0..25_u32)).prop_map(|(inside, share)| Ask::Observe { inside, share }),
        4 => (0..30_usize, 0..6_u16, prop_oneof![Just(1_i64), 1..600_i64, 600..2 * HOUR], prop::bool::weighted(0.4))
            .prop_map(|(party, ticket, ago, out)| Ask::Merge { party, ticket, ago, out }),
        6 => (channel(), 1..9_u16).prop_map(|(channel, people)| Ask::Wait { channel, people }),
        2 => (0..30_usize).prop_map(Ask::Leave),
        4 => (0..30_usize, 1..6_u16).prop_map(|(i, people)| Ask::Fewer(i, people)),
        3 => (0..30_usize, 0..6_u16).prop_map(|(i, ticket)| Ask::BeginMove(i, ticket)),
        3 => (0..30_usize, any::<bool>()).prop_map(|(i, done)| Ask::EndMove(i, done)),
        1 => (channel(), 1..6_u16).prop_map(|(channel, people)| Ask::Arrive { channel, people }),
        1 => (0..30_usize, 0..6_u16).prop_map(|(i, ticket)| Ask::Rename(i, ticket)),
        3 => (channel(), 1..6_u16, kept_s(), any::<bool>()).prop_map(|(channel, people, kept_s, quote)| Ask::HoldFor { channel, people, kept_s, quote }),
        3 => (0..30_usize, kept_s(), any::<bool>()).prop_map(|(i, kept_s, quote)| Ask::Prolong(i, kept_s, quote)),
        4 => (0..30_usize, 1..12_u16).prop_map(|(i, people)| Ask::Amend(i, people)),
        4 => (0..30_usize).prop_map(Ask::Pay),
        2 => (0..30_usize).prop_map(Ask::HandOver),
    ];
    (later, ask)
}

impl ReferenceStateMachine for Naive {
    type State = Naive;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self::State> {
        let start = prop_oneof![Just(-6 * HOUR), Just(-2 * HOUR), Just(-20 * MIN)];
        start
            .prop_map(|now| Naive {
                now,
                capacity: 20,
                beyond: Some(0),
                closed: false,
                group: (0, None),
                observed: None,
                parties: vec![],
                next: 1,
                conflicts: 0,
                granted: true,
            })
            .boxed()
    }

    fn transitions(state: &Self::State) -> BoxedStrategy<Self::Transition> {
        let state = state.clone();
        asks()
            .prop_map(move |(later_s, ask)| {
                let mut then = state.clone();
                then.now += later_s;
                let command = then.command(&ask);
                Step { later_s, ask, command }
            })
            .boxed()
    }

    fn apply(mut state: Self::State, step: &Self::Transition) -> Self::State {
        state.now += step.later_s;
        state.expire();
        state.granted = state.answer(&step.ask);
        state
    }
}

/// The slot is woken when something is due, not a microsecond later and never for nothing.
fn wakes_on_time(slot: &Slot) {
    let (wake_at, last_at) = (slot.wake_at(), slot.last_at());
    let before = wake_at.map_or(at(DAY), |wake_at| Timestamp::from_micros(wake_at.as_micros().saturating_sub(1)));
    assert!(wake_at.is_none_or(|wake_at| !slot.due(wake_at).is_empty()), "at {wake_at:?} nothing is due");
    assert!(wake_at.is_some_and(|wake_at| wake_at <= last_at) || slot.due(before).is_empty(), "something is due before {wake_at:?}");
}

pub struct Real {
    slot: Slot,
    records: Vec<Record<Event>>,
    now: i64,
}

impl StateMachineTest for Real {
    type SystemUnderTest = Real;
    type Reference = Naive;

    fn init_test(naive: &Naive) -> Real {
        Real { slot: Slot::planned(opening(20)), records: Vec::new(), now: naive.now }
    }

    fn apply(mut real: Real, naive: &Naive, transition: Step) -> Real {
        real.now += transition.later_s;
        let now = at(real.now);
        let by = Some(envelope(1, real.records.len() as u128, 0));
        let mut command = transition.command.clone();
        if let Command::HandedOver { sale, seq } = &mut command {
            *seq = real.slot.owed().find(|(of, ..)| of == sale).map_or(0, |(_, seq, _)| seq);
        }
        let answer = step(&mut real.slot, &mut real.records, now, by, &command);
        assert_eq!(answer.is_ok(), naive.granted, "{transition:?} at {}: {answer:?}", real.now);
        let places = real.slot.places();
        assert_eq!((places.taken(), places.admitted, places.inside), (naive.taken(None), naive.admitted(), naive.inside()));
        assert_eq!(places.conflicts, naive.conflicts);
        assert_eq!((places.capacity, places.beyond.map(|beyond| beyond.places)), (naive.capacity, naive.beyond));
        let waiting: Vec<HoldId> = real.slot.waiting().map(|party| party.entry).collect();
        let has_offer = |id: &&HoldId| matches!(real.slot.standing_of(**id), Some(Standing::Offered(_)));
        let mut offered: Vec<HoldId> = real.slot.holds().map(|(id, _)| id).filter(has_offer).copied().collect();
        offered.sort_unstable();
        assert_eq!((waiting, offered), (naive.waiting(), naive.offered()), "who waits, in order, and who has an offer, after {transition:?}");
        wakes_on_time(&real.slot);
        let owed = || naive.parties.iter().flat_map(|party| &party.owed);
        let really: Vec<i64> = real.slot.owed().map(|(.., cents)| cents.get()).collect();
        assert_eq!((really.len(), really.iter().sum::<i64>()), (owed().count(), owed().sum()), "SL-10: what is owed to payments");
        assert_eq!(real.slot.owing() as usize, really.len());
        assert_eq!(real.slot.moving() as usize, naive.parties.iter().map(|party| party.moving.len()).sum::<usize>());
        real
    }

    fn teardown(real: Real, _: Naive) {
        let replayed = Slot::replay(&real.records).unwrap_or_else(|| Slot::planned(opening(20)));
        assert_eq!(replayed, real.slot, "SL-4: replay equals live");
        let bytes = |slot: &Slot| postcard::to_allocvec(slot).unwrap();
        assert_eq!(bytes(&replayed), bytes(&real.slot), "SL-4: to the byte");
    }
}

prop_state_machine! {
    #![proptest_config(at_least(400))]
    /// The slot and the naive model grant the same questions and count the same people, whatever is asked.
    #[test]
    fn the_slot_agrees_with_a_naive_model(sequential 1..120 => Real);
}
