//! A slot as a layman would keep it: lists of holds and sales, filled from the journal's records and recounted from scratch for each question. Every event is
//! held against the rules as it is taken in. It shares no code with the engine's slot but the words of the events. What buyers have is in `buyers`, how places are counted and
//! which of them rest in `places`, who waits for some in `waiting`, what gates saw of a ticket in `passages`, where it goes and whose name it bears in `moves`, what is suspected
//! of it in `suspects`, what was paid and goes back in `money`.

mod buyers;
mod money;
mod moves;
mod passages;
mod places;
mod suspects;
mod waiting;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Digest, Outcome};
use tornello_engine::ids::{Code, HoldId, KeyId, PaymentId, PersonId, SlotId, TicketId};
use tornello_engine::record::Record;
use tornello_engine::slot::{
    Admitted, Arrived, CancelCause, ConflictReason, Direction, Event, Exited, Judged, Keeper, Line, MoveBegun, Observed, Opening, Quota, Scan,
    Settlement,
};
use tornello_engine::time::Timestamp;

use self::buyers::buyer_of;
use self::money::settles;
pub use self::moves::moves_add_up;
use self::passages::Seen;
pub use self::passages::counts;
use self::places::Rest;
pub use self::suspects::Suspected;
use super::rule;

/// Seconds for which a key is remembered.
pub const DAY_S: i64 = 86_400;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Live,
    Sold,
    Released,
    Expired,
}

#[derive(Clone)]
pub struct Hold {
    pub who: KeyId,
    pub channel: Channel,
    pub lines: Vec<Line>,
    pub held_at: Timestamp,
    pub expires_at: Timestamp,
    pub extended: bool,
    /// Whether a payment is under way for it.
    pub paying: Option<PaymentId>,
    /// Whether a quote keeps it: then it stays the quote's.
    quoted: bool,
    /// For whom, if the channel named somebody.
    buyer: Option<Digest>,
    /// How long its places rest if nobody buys them, in milliseconds, if that was drawn.
    rest_ms: Option<u32>,
    pub fate: Fate,
}

impl Hold {
    fn new((who, buyer): (KeyId, Option<Digest>), channel: Channel, lines: &[Line], (held_at, expires_at): (Timestamp, Timestamp)) -> Self {
        let (lines, extended, paying, quoted, rest_ms, fate) = (lines.to_vec(), false, None, false, None, Fate::Live);
        Self { who, channel, lines, held_at, expires_at, extended, paying, quoted, buyer, rest_ms, fate }
    }
}

/// What an event does not tell of the command that it was.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The issue of the code that was shown.
    pub shown: Option<u16>,
    /// Until when places are to be kept, and for what.
    pub until: Option<(Timestamp, Keeper)>,
    /// The payment that a hold was kept for, of which somebody knows that it is over.
    pub over: Option<PaymentId>,
    /// How many places are to be sold beyond the slot's own, and the most people that may be sold to.
    pub beyond: Option<(u32, Option<u32>)>,
    /// Why a whole day is called off, or was, if the slot is closed or reopened with it.
    pub with_day: Option<Code>,
    /// By which pseudonyms the one who asks is known.
    pub buyers: Vec<Digest>,
    /// How many had been let in when the slot was given its share of the room.
    pub let_in: u32,
    /// Whether it was staff who let places go, or moved tickets.
    pub by_staff: bool,
    /// Until when the tickets that arrive were under review where they came from, at any time since they left.
    pub along: Vec<Option<Timestamp>>,
    /// Whether the move by which tickets arrive was suspected itself.
    pub suspected: bool,
    /// Whether some places of a hold were given back, and nothing else was asked for.
    pub gives_back: bool,
}

#[derive(Clone)]
pub struct Ticket {
    line: Line,
    cancelled: bool,
    /// Whether staff block it, for whatever.
    blocked: bool,
    /// Whether a verdict does.
    is_fraud: bool,
    /// Before then it lets nobody in.
    review_until: Option<Timestamp>,
    inside: bool,
    entries: u8,
    first_at: Timestamp,
    /// When its holder was last let in or out.
    last_at: Timestamp,
    /// All that gates have seen of it.
    passages: Vec<Seen>,
    issue: u16,
    holder: Option<PersonId>,
    /// To which sale of another slot it goes or went.
    gone: Option<HoldId>,
    /// How it was until some times, in their order: its issue, whether it was blocked, and until when it was looked at.
    was: Vec<(Timestamp, Barred)>,
}

/// The issue of a ticket that counts, whether it is blocked, and until when it is looked at.
type Barred = (u16, bool, Option<Timestamp>);

#[derive(Clone)]
pub struct Sale {
    pub who: KeyId,
    buyer: Option<Digest>,
    channel: Channel,
    contact: Option<PersonId>,
    pub tickets: Vec<Ticket>,
    refunded: i64,
    /// The most percent that a visitor gets back: tickets that have moved bring it along.
    percent_max: i64,
}

/// How far a move of tickets to another slot has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Begun,
    Done,
    Undone,
}

#[derive(Clone)]
pub struct Move {
    pub begun: MoveBegun,
    /// When it began.
    at: Timestamp,
    /// Whether it was suspected when it was asked for.
    pub suspected: bool,
    pub stage: Stage,
}

/// What became of an entry of the waiting list; once it has an offer, that is a hold of its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    Waiting,
    Offered,
    Left,
    InVain,
}

#[derive(Clone)]
pub struct Entry {
    pub id: HoldId,
    pub channel: Channel,
    pub lines: Vec<Line>,
    pub who: KeyId,
    buyer: Option<Digest>,
    rest_ms: Option<u32>,
    pub turn: Turn,
}

#[derive(Clone)]
struct Reading {
    event: Observed,
    /// People of this slot inside when it was measured.
    inside_then: u32,
}

#[derive(Clone)]
pub struct Naive {
    pub opening: Opening,
    pub capacity: u32,
    /// How many places are sold beyond these; none: staff set them by hand.
    pub beyond: Option<u32>,
    pub quotas: [Quota; Channel::COUNT],
    /// Why it is closed, if it is.
    pub closed: Option<Code>,
    reading: Option<Reading>,
    pub holds: BTreeMap<HoldId, Hold>,
    pub sales: BTreeMap<HoldId, Sale>,
    /// All who ever waited, in the order in which they joined.
    pub entries: Vec<Entry>,
    /// Moves to other slots, by the sale that the tickets become there.
    pub moves: BTreeMap<HoldId, Move>,
    /// Refunds that payments have to be told of, by the sale and the record that cancelled its tickets.
    pub owed: BTreeMap<(HoldId, u64), i64>,
    /// Scans of gates without a network, each of which counts once, and how many of them were conflicts.
    pub scans: BTreeSet<Scan>,
    pub conflicts: u32,
    rests: Vec<Rest>,
    /// The places of a hold that are to rest by what the record goes on to say.
    about_to_rest: Option<(HoldId, u32)>,
    /// Who let places go, and until when they hold none again.
    barred: Vec<(Digest, Timestamp)>,
    pub records: Vec<Record<Event>>,
    /// The records that each key became.
    pub keys: HashMap<(KeyId, Digest), Vec<u64>>,
}

impl Naive {
    /// A slot as its first record opens it.
    pub fn open(slot: SlotId, first: &Record<Event>) -> Result<Self, String> {
        let Some(Event::Opened(opened)) = first.events.first() else { return Err("a slot begins without being opened".into()) };
        rule(opened.opening.slot == slot, "a slot opens as another one")?;
        Ok(Self {
            opening: opened.opening.clone(),
            capacity: opened.opening.capacity,
            beyond: Some(0),
            quotas: opened.opening.quotas,
            closed: None,
            reading: None,
            holds: BTreeMap::new(),
            sales: BTreeMap::new(),
            entries: Vec::new(),
            moves: BTreeMap::new(),
            owed: BTreeMap::new(),
            scans: BTreeSet::new(),
            conflicts: 0,
            rests: Vec::new(),
            about_to_rest: None,
            barred: Vec::new(),
            records: Vec::new(),
            keys: HashMap::new(),
        })
    }

    /// Takes a record in, with what its event does not tell of what was asked.
    pub fn take(&mut self, record: Record<Event>, asked: Asked) -> Result<(), String> {
        let (last, at) = (self.records.last().map_or(Timestamp::MIN, |last| last.at), record.at);
        rule(record.seq == self.records.len() as u64 + 1, "records are not numbered without gaps")?;
        rule(at >= last, "time goes backwards within a slot (SL-7)")?;
        rule(!record.events.is_empty(), "a record without events")?;
        match &record.envelope {
            None => {
                let all = |kind: fn(&Event) -> bool| record.events.iter().all(kind);
                let expiries = all(|event| matches!(event, Event::Expired(_) | Event::Rested(_))) || all(|event| matches!(event, Event::Freed(_)));
                let of_list = all(|event| matches!(event, Event::Offered(_))) || all(|event| matches!(event, Event::WaitingEnded(_)));
                rule(expiries || of_list, "something without a caller that is neither an expiry nor due of the waiting list")?;
            }
            Some(envelope) => {
                // A command finds everything ended whose time is over.
                let is_over = self.live().any(|(id, hold)| self.ends_at(*id, hold) <= at);
                rule(!is_over, "a command was decided before a hold that was due had ended (SL-8)")?;
                rule(self.rests.iter().all(|rest| at < rest.until), "a command was decided before places that had rested were free")?;
                rule(self.waiting().all(|entry| at < self.sale_end(entry.channel)), "somebody waits though sales have ended")?;
                rule(self.next_served(at).is_none(), "a command was decided before an offer that was due")?;
                let seqs = self.keys.entry((envelope.who, envelope.key)).or_default();
                if let Some(before) = seqs.last().map(|seq| self.records[*seq as usize - 1].at) {
                    rule(at.micros_since(before) > DAY_S * 1_000_000, "a key was carried out twice")?;
                }
                seqs.push(record.seq);
            }
        }
        let asking = Channel::ALL.map(|channel| self.waiting().any(|entry| entry.channel == channel));
        for (place, event) in record.events.iter().enumerate() {
            if let Event::Offered(offered) = event {
                let free = Channel::ALL.map(|channel| if asking[channel.index()] { self.free(at, channel) } else { 0 });
                rule(offered.free == free, "an offer tells of other places than were free")
                    .map_err(|wrong| format!("{wrong}: {free:?}, {event:?}"))?;
            }
            match event {
                // Taken in with the admission.
                Event::AdmissionConflict(_) if place > 0 => Ok(()),
                Event::Admitted(Admitted { scanned_at: Some(_), .. })
                | Event::Exited(Exited { scanned_at: Some(_), .. })
                | Event::AdmissionConflict(_)
                | Event::ScansJudged(_) => self.late(at, &record.events[place..], asked.shown),
                _ => self.happen(&record, record.seq == 1 && place == 0, event, &asked),
            }
            .map_err(|wrong| format!("{wrong}: record {} with {event:?}", record.seq))?;
        }
        rule(self.about_to_rest.is_none(), "places rest that nobody let go")?;
        self.records.push(record);
        Ok(())
    }

    /// Takes in what a gate is told before it is written: now it is as at any gate, and it will come in as a scan.
    pub fn foretell(&mut self, told: &Record<Event>, asked: &Asked) -> Result<(), String> {
        match told.events.last() {
            Some(Event::Admitted(admitted)) => {
                rule(self.people_upper(told.at).is_none_or(|(upper, ceiling)| upper < ceiling), "a full building lets somebody in")?;
                let against = self.against(admitted.ticket, told.at, asked.shown)?;
                rule(against.is_none(), "somebody is let in who may not be (SL-3)").map_err(|wrong| format!("{wrong}: {against:?}"))?;
            }
            Some(Event::Exited(exited)) => rule(self.is_inside(exited.ticket), "somebody leaves who is not inside")?,
            Some(Event::ScansJudged(judged)) => {
                let passes = judged.scans.iter().any(|found| found.before.is_none() && counts(found.judged));
                rule(passes, "a gate lets somebody pass who does not")?;
            }
            _ => return Err("a gate is told of something else than who goes in or out".into()),
        }
        self.late(told.at, &told.events, asked.shown)
    }

    fn happen(&mut self, record: &Record<Event>, first: bool, event: &Event, asked: &Asked) -> Result<(), String> {
        let (at, policy, shown) = (record.at, self.opening.policy, asked.shown);
        let by = record.envelope.as_ref().map_or(KeyId::SYSTEM, |envelope| envelope.who);
        let named = record.envelope.as_ref().and_then(buyer_of);
        match event {
            Event::Opened(_) => rule(first, "a slot is opened twice"),
            Event::Held(held) => {
                self.on_sale(at, held.channel)?;
                self.has_room(at, held.hold, held.channel, &held.lines)?;
                self.within_limits(&asked.buyers, held.channel, people(&held.lines), true)?;
                self.has_let_none_go(at, &asked.buyers, held.channel)?;
                let expires_at = match asked.until {
                    Some(until) => self.kept_until(at, held.channel, until),
                    None => at.plus_seconds(policy.hold_ttl_s.into()).min(self.sale_end(held.channel)),
                };
                rule(held.expires_at == expires_at && at < expires_at, "a hold ends at another time than promised")?;
                self.holds.insert(held.hold, Hold::new((by, named), held.channel, &held.lines, (at, expires_at)));
                Ok(())
            }
            Event::Prolonged(prolonged) => {
                let (until, cause) = asked.until.ok_or("a hold is prolonged until nobody knows when")?;
                rule(cause == prolonged.cause, "a hold is prolonged for something else")?;
                let hold = self.live_hold(at, prolonged.hold)?;
                let expires_at = self.kept_until(hold.held_at, hold.channel, (until, cause)).max(hold.expires_at);
                self.on_sale(at, hold.channel)?;
                let other = hold.paying.filter(|paying| matches!(cause, Keeper::Payment(payment) if payment != *paying));
                rule(other.is_none() || other == asked.over, "a hold is taken from the payment that it is kept for")?;
                rule(prolonged.expires_at == expires_at, "a hold is shortened, or kept longer than it may be")?;
                // What was kept for nobody is of whoever is named with its payment.
                let taken_over = hold.buyer.is_none() && matches!(cause, Keeper::Payment(_));
                if taken_over {
                    self.within_limits(&asked.buyers, hold.channel, people(&hold.lines), true)?;
                }
                let hold = self.live_hold_mut(at, prolonged.hold)?;
                if taken_over {
                    hold.buyer = named;
                }
                hold.quoted |= matches!(cause, Keeper::Quote(_));
                hold.expires_at = expires_at;
                hold.paying = if let (Keeper::Payment(payment), false) = (cause, hold.quoted) { Some(payment) } else { None };
                Ok(())
            }
            Event::Amended(amended) => {
                let hold = self.live_hold(at, amended.hold)?;
                let (channel, before, after) = (hold.channel, people(&hold.lines), people(&amended.lines));
                let is_over = asked.gives_back && hold.paying == asked.over;
                rule(hold.paying.is_none() || is_over, "a hold changes while it is paid for")?;
                if asked.gives_back {
                    rule(is_fewer(&hold.lines, &amended.lines), "a hold that is made smaller has something that it had not")?;
                } else {
                    self.on_sale(at, channel)?;
                }
                rule((1..=u32::from(policy.party_max)).contains(&after), "a party of a size that may not be")?;
                rule(after <= before + self.room(at, channel), "more places are taken than there are (SL-1)")?;
                let owner: Vec<Digest> = hold.buyer.into_iter().collect();
                let is_own = owner.iter().any(|buyer| asked.buyers.contains(buyer));
                self.within_limits(if is_own { &asked.buyers } else { &owner }, channel, after.saturating_sub(before), false)?;
                if after > before {
                    self.has_let_none_go(at, &[asked.buyers.as_slice(), owner.as_slice()].concat(), channel)?;
                }
                let lets_go = (after < before && !asked.by_staff).then_some(before.saturating_sub(after));
                self.lets_go(at, amended.hold, channel, lets_go)?;
                self.live_hold_mut(at, amended.hold)?.lines.clone_from(&amended.lines);
                Ok(())
            }
            Event::HandedOver(handed) => {
                let owed = self.owed.remove(&(handed.sale, handed.seq));
                rule(owed.is_some(), "somebody is told of a refund that is not owed, or twice (SL-10)")
            }
            Event::Extended(extended) => {
                let end = self.live_hold(at, extended.hold).map(|hold| self.sale_end(hold.channel))?;
                let hold = self.live_hold_mut(at, extended.hold)?;
                rule(!hold.extended, "a hold was prolonged twice")?;
                rule(extended.expires_at == hold.expires_at.plus_seconds(policy.hold_extend_s.into()).min(end), "a hold is prolonged wrongly")?;
                (hold.extended, hold.expires_at) = (true, extended.expires_at);
                Ok(())
            }
            Event::Released(released) => {
                let hold = self.live_hold(at, released.hold)?;
                let (channel, places) = (hold.channel, people(&hold.lines));
                self.lets_go(at, released.hold, channel, (!asked.by_staff).then_some(places))?;
                self.live_hold_mut(at, released.hold)?.fate = Fate::Released;
                Ok(())
            }
            Event::Expired(expired) => {
                let hold = self.holds.get(&expired.hold).ok_or("an unknown hold expires")?;
                rule(hold.fate == Fate::Live, "a hold ends twice (SL-2)")?;
                rule(self.ends_at(expired.hold, hold) <= at, "a hold expires before its time")?;
                let (channel, places) = (hold.channel, people(&hold.lines));
                self.lets_go(at, expired.hold, channel, Some(places))?;
                self.holds.get_mut(&expired.hold).ok_or("an unknown hold expires")?.fate = Fate::Expired;
                Ok(())
            }
            Event::RestDrawn(drawn) => self.rest_drawn(drawn),
            Event::Rested(rested) => self.rested(at, rested, asked.gives_back),
            Event::Freed(freed) => self.freed(record, freed),
            Event::Sold(sold) => {
                self.on_sale(at, sold.channel)?;
                settles(sold.channel, &sold.lines, &sold.settlement)?;
                let (mut who, mut buyer) = (by, named);
                if sold.held {
                    let hold = self.live_hold(at, sold.sale)?;
                    if hold.buyer.is_none() {
                        self.within_limits(&asked.buyers, hold.channel, people(&hold.lines), false)?;
                    }
                    let hold = self.live_hold_mut(at, sold.sale)?;
                    rule((&hold.lines, hold.channel) == (&sold.lines, sold.channel), "something else is sold than was held")?;
                    let other = hold.paying.filter(|payment| sold.settlement != Settlement::Payment { id: *payment });
                    rule(other.is_none() || other == asked.over, "a hold is sold to others than the payment that keeps it (SL-12)")?;
                    // What the system holds is sold for somebody.
                    hold.fate = Fate::Sold;
                    who = if hold.who == KeyId::SYSTEM { who } else { hold.who };
                    buyer = hold.buyer.or(buyer);
                } else {
                    // Late money finds what rests of what it was for: the record goes on to free it, and no more than that.
                    let own = self.frees(record, sold)?;
                    self.is_new(sold.sale, &sold.lines)?;
                    rule(people(&sold.lines) <= self.room(at, sold.channel) + own, "more places are taken than there are (SL-1)")?;
                    self.within_limits(&asked.buyers, sold.channel, people(&sold.lines), false)?;
                }
                let (channel, contact, tickets) = (sold.channel, sold.contact, tickets(&sold.lines));
                let sale = Sale { who, buyer, channel, contact, tickets, refunded: 0, percent_max: 100 };
                rule(self.sales.insert(sold.sale, sale).is_none(), "something is sold twice")
            }
            Event::Cancelled(cancelled) => {
                rule(cancelled.cause == CancelCause::Museum || at < self.opening.end, "a visitor cancels when the slot is over")?;
                let percent = self.percent(at, cancelled.sale, cancelled.cause);
                let sale = self.sales.get_mut(&cancelled.sale).ok_or("an unknown sale is cancelled")?;
                rule(!cancelled.tickets.is_empty() && cancelled.tickets.is_sorted(), "tickets are not cancelled in order")?;
                let mut refund = 0;
                for number in &cancelled.tickets {
                    let ticket = sale.tickets.get_mut(usize::from(*number)).ok_or("an unknown ticket is cancelled")?;
                    rule(ticket.stands(), "a ticket that does not stand is cancelled")?;
                    let suspected = ticket.is_blocked() || ticket.is_reviewed(at);
                    rule(cancelled.cause == CancelCause::Museum || !suspected, "a visitor cancels what somebody suspects")?;
                    ticket.cancelled = true;
                    refund += ticket.line.price_cents.get() * percent / 100;
                }
                rule(cancelled.refund_cents.get() == refund, "another sum is paid back than is due")?;
                sale.refunded += refund;
                if refund > 0 {
                    self.owed.insert((cancelled.sale, record.seq), refund);
                }
                Ok(())
            }
            Event::Blocked(blocked) => self.block(at, blocked.sale, &blocked.tickets, blocked.reason),
            Event::Unblocked(unblocked) => self.unblock(at, unblocked.sale, &unblocked.tickets, None),
            Event::BlockLifted(lifted) => self.unblock(at, lifted.sale, &lifted.tickets, Some(lifted.reason)),
            Event::ReviewOpened(opened) => {
                let until = self.in_time(at, at.plus_seconds(policy.limits.review_s.into()));
                let came_along = asked.along.iter().any(|along| self.goes_on(at, asked.suspected, *along) == Some(opened.until));
                let arrives = record.events.iter().any(|event| matches!(event, Event::Arrived(arrived) if arrived.sale == opened.sale));
                rule(if arrives { came_along } else { until == Some(opened.until) }, "a review lasts longer than an honest visitor can wait")?;
                let sale = self.sales.get_mut(&opened.sale).ok_or("an unknown sale is looked at")?;
                sale.tickets.iter_mut().for_each(|ticket| ticket.changes(at).review_until = Some(opened.until));
                Ok(())
            }
            Event::ReviewEnded(ended) => {
                let sale = self.sales.get_mut(&ended.sale).ok_or("a review of an unknown sale ends")?;
                rule(sale.tickets.iter().any(|ticket| ticket.is_reviewed(at)), "a review ends that there is not")?;
                sale.tickets.iter_mut().for_each(|ticket| ticket.changes(at).review_until = None);
                Ok(())
            }
            Event::Admitted(admitted) => {
                rule(self.people_upper(at).is_none_or(|(upper, ceiling)| upper < ceiling), "a full building lets somebody in")?;
                let against = self.against(admitted.ticket, at, shown)?;
                rule(against.is_none(), "somebody is let in who may not be (SL-3)").map_err(|wrong| format!("{wrong}: {against:?}"))?;
                self.admit(at, admitted)
            }
            Event::Exited(exited) => {
                let ticket = self.ticket(exited.ticket)?;
                rule(ticket.inside, "somebody leaves who is not inside")?;
                rule(ticket.last_at <= at, "somebody leaves before coming in")?;
                (ticket.inside, ticket.last_at) = (false, at);
                ticket.passages.push(Seen { at, direction: Direction::Out, scan: None, judged: Judged::Passed });
                Ok(())
            }
            Event::AdmissionConflict(_) | Event::ScansJudged(_) => Err("a scan is taken for something else".into()),
            Event::CapacitySet(set) => {
                (self.capacity, self.beyond) = (set.capacity, None);
                Ok(())
            }
            Event::BeyondSet(set) => {
                let before = self.beyond.ok_or("something is sold beyond places that staff set by hand")?;
                let (asked, ceiling) = asked.beyond.ok_or("something is sold beyond the places, and nobody knows why")?;
                rule(at < self.opening.end, "something is sold beyond the places of a slot that is over")?;
                // What is taken, or kept for a channel, beyond the places stays for sale; else it is what was asked for, as far as there is room.
                let promised = Channel::ALL.into_iter().map(|channel| self.taken_by(channel).max(self.reserved(at, channel))).sum::<u32>();
                let all = self.capacity + set.beyond;
                let may = set.beyond <= asked && (set.beyond == 0 || ceiling.is_none_or(|ceiling| all <= ceiling));
                rule(
                    may || (set.beyond <= before && all <= promised),
                    "more is sold beyond the places than was asked for, or than there is room for",
                )?;
                rule(set.beyond >= asked || ceiling.is_some_and(|ceiling| all >= ceiling), "less is sold beyond the places than was asked for")?;
                rule(set.beyond >= before || all >= promised, "what was sold beyond the places is there no more (SL-1)")?;
                rule(set.beyond != before, "what stands is set once more")?;
                self.beyond = Some(set.beyond);
                Ok(())
            }
            Event::QuotasSet(set) => {
                rule(set.quotas.iter().map(|quota| quota.reserved).sum::<u32>() <= self.capacity, "more is reserved than there is")?;
                self.quotas = set.quotas;
                Ok(())
            }
            Event::Closed(closed) => {
                let is_open = self.closed.is_none() && at < self.opening.end;
                rule(asked.with_day.is_none() || is_open, "a slot that is closed already, or over, is closed with its day")?;
                self.closed = Some(closed.reason);
                Ok(())
            }
            Event::Reopened(_) => {
                let is_closed_for = |reason| self.closed == Some(reason) && at < self.opening.end;
                rule(asked.with_day.is_none_or(is_closed_for), "a slot that is closed for something else, or over, is reopened with its day")?;
                let renewed = |event: &Event| if let Event::OfferRenewed(renewed) = event { Some((renewed.entry, renewed.expires_at)) } else { None };
                let renewed: Vec<(HoldId, Timestamp)> = record.events.iter().filter_map(renewed).collect();
                rule(renewed == self.begins_anew(at), "other offers begin anew than nobody could take meanwhile")?;
                self.closed = None;
                Ok(())
            }
            Event::OfferRenewed(renewed) => {
                rule(record.events.iter().any(|event| matches!(event, Event::Reopened(_))), "an offer begins anew though its slot did not reopen")?;
                let hold = self.holds.get_mut(&renewed.entry).ok_or("an unknown offer begins anew")?;
                (hold.held_at, hold.expires_at, hold.extended) = (at, renewed.expires_at, false);
                Ok(())
            }
            Event::Observed(observed) => {
                rule(self.reading.as_ref().is_none_or(|last| last.event.measured_at <= observed.measured_at), "an older reading counts")?;
                let until = observed.measured_at.plus_seconds(policy.stale_after_s.into());
                rule(observed.until == until && at < until && observed.measured_at <= at.plus_seconds(60), "a reading of another time counts")?;
                let of_share = observed.share.map_or(u32::MAX, |share| asked.let_in + share);
                let sellable = self.cap(at, observed).map(|cap| cap.min(of_share));
                rule(observed.sellable == sellable, "a reading limits sales otherwise than it says")
                    .map_err(|wrong| format!("{wrong}: not {sellable:?}"))?;
                // Who came while it was on its way was not there yet.
                let inside_then = i64::from(self.inside()) - self.passed_since(observed.measured_at);
                self.reading = Some(Reading { event: observed.clone(), inside_then: u32::try_from(inside_then).unwrap_or(0) });
                Ok(())
            }
            Event::Waited(waited) => {
                self.on_sale(at, waited.channel)?;
                self.is_new(waited.entry, &waited.lines)?;
                let size = people(&waited.lines);
                rule(size > self.room(at, waited.channel), "somebody waits whose places are there")?;
                rule(size <= self.capacity, "somebody waits for more places than there are")?;
                self.within_limits(&asked.buyers, waited.channel, size, true)?;
                self.has_let_none_go(at, &asked.buyers, waited.channel)?;
                rule(waited.number == self.entries.len() as u64 + 1, "those who wait are not numbered as they came")?;
                let ahead = (self.waiting().count() as u32, self.waiting().map(|entry| people(&entry.lines)).sum::<u32>());
                rule((waited.parties_ahead, waited.people_ahead) == ahead, "others wait ahead than is said")?;
                let who = record.envelope.as_ref().map(|envelope| envelope.who).ok_or("somebody waits whom nobody asked for")?;
                let (id, channel, lines) = (waited.entry, waited.channel, waited.lines.clone());
                self.entries.push(Entry { id, channel, lines, who, buyer: named, rest_ms: None, turn: Turn::Waiting });
                Ok(())
            }
            Event::WaitingLeft(left) => self.ends_waiting(left.entry, Turn::Left).map(drop),
            Event::WaitingEnded(ended) => {
                let place = self.ends_waiting(ended.entry, Turn::InVain)?;
                rule(at >= self.sale_end(self.entries[place].channel), "somebody waits no longer though sales go on")
            }
            Event::Offered(offered) => {
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
            Event::Renamed(renamed) => self.rename(at, renamed),
            Event::MoveBegun(begun) => {
                let said = record.envelope.as_ref().and_then(|envelope| envelope.assessment.as_ref());
                let suspected = said.is_some_and(|said| said.outcome == Outcome::Review);
                self.begin_move(at, begun, (asked.by_staff, suspected))
            }
            // That it left the other slot so, the auditor sees.
            Event::Arrived(arrived) => {
                let is_reviewed = record.events.iter().any(|event| matches!(event, Event::ReviewOpened(opened) if opened.sale == arrived.sale));
                let was_free = asked.along.is_empty() || asked.along.iter().any(|along| self.goes_on(at, asked.suspected, *along).is_none());
                rule(is_reviewed || was_free, "a review is left behind by tickets that move")?;
                self.has_room(at, arrived.sale, arrived.channel, &arrived.lines)?;
                self.within_limits(&Vec::from_iter(arrived.buyer), arrived.channel, people(&arrived.lines), false)?;
                let mut tickets = tickets(&arrived.lines);
                for (number, person) in &arrived.holders {
                    tickets.get_mut(usize::from(*number)).ok_or("a name on no ticket")?.holder = Some(*person);
                }
                let Arrived { who, buyer, channel, contact, .. } = *arrived;
                let sale = Sale { who, buyer, channel, contact, tickets, refunded: 0, percent_max: arrived.refund_percent.into() };
                self.sales.insert(arrived.sale, sale);
                Ok(())
            }
            Event::MovedOut(moved) => {
                let cents = self.end_move((moved.sale, moved.arrival), &moved.tickets, Stage::Done)?;
                rule(moved.carried_cents.get() == cents, "other money goes along than was paid for the tickets (SL-6)")
            }
            Event::MoveUndone(undone) => self.end_move((undone.sale, undone.arrival), &undone.tickets, Stage::Undone).map(drop),
        }
    }

    fn admit(&mut self, at: Timestamp, admitted: &Admitted) -> Result<(), String> {
        let ticket = self.ticket(admitted.ticket)?;
        rule((ticket.line.category, ticket.line.proof) == (admitted.category, admitted.proof), "the gate is told another category or proof")?;
        rule(admitted.entry == ticket.entries + 1, "entries are not counted one by one")?;
        rule(!ticket.inside, "a ticket is admitted twice (SL-3)")?;
        if ticket.entries == 0 {
            ticket.first_at = at;
        }
        (ticket.inside, ticket.entries, ticket.last_at) = (true, admitted.entry, at);
        ticket.passages.push(Seen { at, direction: Direction::In, scan: None, judged: Judged::Passed });
        Ok(())
    }

    /// What speaks against letting somebody in at that time who shows that issue of the ticket's code.
    pub fn against(&mut self, id: TicketId, at: Timestamp, shown: Option<u16>) -> Result<Option<ConflictReason>, String> {
        let policy = self.opening.policy;
        let opens_at = self.opening.slot.start().plus_seconds(-i64::from(policy.admit_early_s));
        let closes_at = self.opening.end.plus_seconds(policy.admit_late_s.into());
        if let Some(reason) = self.bar(id, shown)? {
            return Ok(Some(reason));
        }
        let ticket = self.ticket(id)?;
        let come_back_until = ticket.first_at.plus_seconds(policy.reentry.within_s.into());
        Ok(if ticket.inside || (ticket.entries > 0 && at < ticket.last_at) {
            Some(ConflictReason::TicketInside)
        } else if ticket.entries == 0 && ticket.is_reviewed(at) {
            Some(ConflictReason::TicketUnderReview)
        } else if ticket.entries == 0 && at < opens_at {
            Some(ConflictReason::TooEarly)
        } else if ticket.entries == 0 && at > closes_at {
            Some(ConflictReason::TooLate)
        } else if ticket.entries > 0 && (ticket.entries > policy.reentry.times_max || at > come_back_until) {
            Some(ConflictReason::TicketUsed)
        } else {
            None
        })
    }

    /// Which issue of a ticket's code counts.
    pub fn issue_of(&self, id: TicketId) -> Option<u16> {
        Some(self.sales.get(&id.sale())?.tickets.get(usize::from(id.number()))?.issue)
    }

    /// Whether its holder is inside.
    pub fn is_inside(&self, id: TicketId) -> bool {
        let ticket = self.sales.get(&id.sale()).and_then(|sale| sale.tickets.get(usize::from(id.number())));
        ticket.is_some_and(|ticket| ticket.inside)
    }

    /// The tickets that nobody has used and that let in now.
    pub fn may_enter(&self, at: Timestamp) -> Vec<TicketId> {
        let policy = self.opening.policy;
        let opens_at = self.opening.slot.start().plus_seconds(-i64::from(policy.admit_early_s));
        if at < opens_at || at > self.opening.end.plus_seconds(policy.admit_late_s.into()) {
            return Vec::new();
        }
        let may = |ticket: &Ticket| ticket.stands() && !ticket.is_blocked() && !ticket.is_reviewed(at);
        let mut all = Vec::new();
        for (id, sale) in &self.sales {
            all.extend((0..).zip(&sale.tickets).filter(|(_, ticket)| may(ticket)).map(|(number, _)| id.ticket(number)));
        }
        all
    }

    /// The tickets whose holders have been in, have left and may come back.
    pub fn may_come_back(&self, at: Timestamp) -> Vec<TicketId> {
        let reentry = self.opening.policy.reentry;
        let may = |ticket: &Ticket| {
            let is_in_time = at <= ticket.first_at.plus_seconds(reentry.within_s.into());
            !ticket.inside && (1..=reentry.times_max).contains(&ticket.entries) && is_in_time && !ticket.is_blocked()
        };
        let mut all = Vec::new();
        for (id, sale) in &self.sales {
            all.extend((0..).zip(&sale.tickets).filter(|(_, ticket)| may(ticket)).map(|(number, _)| id.ticket(number)));
        }
        all
    }

    /// All that gates have seen here: of which ticket, and when it counts.
    pub fn passages(&self) -> Vec<(TicketId, Timestamp)> {
        let mut all = Vec::new();
        for (id, sale) in &self.sales {
            for (number, ticket) in (0..).zip(&sale.tickets) {
                all.extend(ticket.passages.iter().map(|seen| (id.ticket(number), seen.at)));
            }
        }
        all
    }

    /// Held, not sold and not ended.
    pub fn live(&self) -> impl Iterator<Item = (&HoldId, &Hold)> {
        self.holds.iter().filter(|(_, hold)| hold.fate == Fate::Live)
    }

    fn tickets(&self) -> impl Iterator<Item = &Ticket> {
        self.sales.values().flat_map(|sale| &sale.tickets)
    }

    pub fn inside(&self) -> u32 {
        self.tickets().filter(|ticket| ticket.inside).count() as u32
    }

    pub fn admitted(&self) -> u32 {
        self.tickets().filter(|ticket| ticket.entries > 0).count() as u32
    }

    fn is_new(&self, id: HoldId, lines: &[Line]) -> Result<(), String> {
        rule(id.slot() == self.opening.slot, "places of another slot are taken")?;
        let waits = self.entries.iter().any(|entry| entry.id == id);
        rule(!waits && !self.holds.contains_key(&id) && !self.sales.contains_key(&id), "one id stands for two things")?;
        rule((1..=u32::from(self.opening.policy.party_max)).contains(&people(lines)), "a party of a size that may not be")
    }

    /// When a hold ends that is to be kept until then.
    pub fn prolonged(&self, hold: HoldId, until: (Timestamp, Keeper)) -> Option<Timestamp> {
        self.holds.get(&hold).map(|hold| self.kept_until(hold.held_at, hold.channel, until).max(hold.expires_at))
    }

    /// Until when a payment or a quote may keep places that were taken at `held_at`.
    fn kept_until(&self, held_at: Timestamp, channel: Channel, (until, cause): (Timestamp, Keeper)) -> Timestamp {
        let end = until.min(self.sale_end(channel));
        if matches!(cause, Keeper::Payment(_)) { end.min(held_at.plus_seconds(7_200)) } else { end }
    }

    fn sale_end(&self, channel: Channel) -> Timestamp {
        match channel {
            Channel::BoxOffice | Channel::Kiosk => self.opening.end,
            Channel::Web | Channel::Group | Channel::Reseller => {
                self.opening.slot.start().plus_seconds(-i64::from(self.opening.policy.sale_closes_s))
            }
        }
    }

    /// The moments at which something changes here by the clock alone: a hold ends or a rest, a quota, sales, the slot or what its gate lets in, or a reading is believed no more.
    pub fn moments(&self) -> Vec<Timestamp> {
        let (policy, start, end) = (self.opening.policy, self.opening.slot.start(), self.opening.end);
        let gate = [start.plus_seconds(-i64::from(policy.admit_early_s)), end.plus_seconds(policy.admit_late_s.into())];
        let quotas = self.quotas.iter().filter(|quota| quota.reserved > 0 || quota.limit.is_some());
        let quotas = quotas.map(|quota| start.plus_seconds(-i64::from(quota.release_s)));
        let holds = self.live().map(|(_, hold)| hold.expires_at);
        let reading = self.reading.iter().map(|reading| reading.event.until);
        let ends = [end, self.sale_end(Channel::Web)].into_iter().chain(self.next_freed());
        gate.into_iter().chain(quotas).chain(holds).chain(reading).chain(ends).collect()
    }

    pub fn on_sale(&self, at: Timestamp, channel: Channel) -> Result<(), String> {
        let opens_at = self.opening.slot.start().plus_seconds(-i64::from(self.opening.policy.sale_opens_s));
        rule(self.closed.is_none(), "a closed slot sells")?;
        rule(opens_at <= at && at < self.sale_end(channel), "a slot sells outside its time")
    }

    fn live_hold(&self, at: Timestamp, id: HoldId) -> Result<&Hold, String> {
        let hold = self.holds.get(&id).ok_or("an unknown hold changes")?;
        rule(hold.fate == Fate::Live, "a hold that has ended changes (SL-2)")?;
        rule(at < self.ends_at(id, hold), "a hold is used after its time")?;
        Ok(hold)
    }

    fn live_hold_mut(&mut self, at: Timestamp, id: HoldId) -> Result<&mut Hold, String> {
        self.live_hold(at, id)?;
        self.holds.get_mut(&id).ok_or_else(|| "an unknown hold changes".into())
    }

    fn ticket(&mut self, id: TicketId) -> Result<&mut Ticket, String> {
        let sale = self.sales.get_mut(&id.sale()).ok_or("a ticket of no sale")?;
        Ok(sale.tickets.get_mut(usize::from(id.number())).ok_or("a ticket that was never sold")?)
    }

    fn block(&mut self, at: Timestamp, sale: HoldId, numbers: &[u16], reason: Code) -> Result<(), String> {
        rule(!numbers.is_empty(), "no ticket is blocked")?;
        for number in numbers {
            let ticket = self.ticket(sale.ticket(*number))?;
            rule(!ticket.cancelled && ticket.gone.is_none(), "a ticket is blocked that does not count here")?;
            let ticket = ticket.changes(at);
            if reason.as_str() == "fraud" { ticket.is_fraud = true } else { ticket.blocked = true }
        }
        Ok(())
    }

    /// All that blocks tickets is lifted, or that alone, and then something else is left.
    fn unblock(&mut self, at: Timestamp, sale: HoldId, numbers: &[u16], only: Option<Code>) -> Result<(), String> {
        rule(!numbers.is_empty(), "no ticket is unblocked")?;
        for number in numbers {
            let ticket = self.ticket(sale.ticket(*number))?;
            rule(ticket.is_blocked(), "a ticket is unblocked that was not blocked")?;
            rule(only.is_none() || (ticket.blocked && ticket.is_fraud), "a block is lifted and no other one is left")?;
            let ticket = ticket.changes(at);
            match only.map(|only| only.as_str() == "fraud") {
                Some(true) => ticket.is_fraud = false,
                Some(false) => ticket.blocked = false,
                None => (ticket.blocked, ticket.is_fraud) = (false, false),
            }
        }
        Ok(())
    }

    /// The most people who may be inside now by a fresh reading, and how many may be.
    fn people_upper(&self, at: Timestamp) -> Option<(u32, u32)> {
        let reading = self.reading.as_ref().filter(|reading| at < reading.event.until)?;
        let upper = reading.event.inside + 2 * reading.event.sd + self.inside();
        Some((upper.saturating_sub(reading.inside_then), reading.event.ceiling?))
    }
}

impl Ticket {
    /// Whether somebody looks at its sale.
    fn is_reviewed(&self, at: Timestamp) -> bool {
        self.review_until.is_some_and(|until| at < until)
    }

    /// Whether anybody blocks it.
    fn is_blocked(&self) -> bool {
        self.blocked || self.is_fraud
    }

    fn new(line: &Line) -> Self {
        Self {
            line: line.clone(),
            cancelled: false,
            blocked: false,
            is_fraud: false,
            review_until: None,
            inside: false,
            entries: 0,
            first_at: Timestamp::MIN,
            last_at: Timestamp::MIN,
            passages: Vec::new(),
            issue: 1,
            holder: None,
            gone: None,
            was: Vec::new(),
        }
    }

    /// It becomes something else: notes how it was until now.
    fn changes(&mut self, at: Timestamp) -> &mut Self {
        self.was.push((at, (self.issue, self.is_blocked(), self.review_until)));
        self
    }

    /// How it was at that time.
    fn barred(&self, at: Timestamp) -> Barred {
        let was = self.was.iter().find(|(until, _)| at < *until);
        was.map_or((self.issue, self.is_blocked(), self.review_until), |(_, barred)| *barred)
    }

    /// Not used, not cancelled, and not on its way or gone to another slot.
    const fn stands(&self) -> bool {
        !self.cancelled && self.entries == 0 && self.gone.is_none()
    }
}

/// A ticket for each person.
fn tickets(lines: &[Line]) -> Vec<Ticket> {
    lines.iter().flat_map(|line| (0..line.count).map(|_| Ticket::new(line))).collect()
}

fn people(lines: &[Line]) -> u32 {
    lines.iter().map(|line| u32::from(line.count)).sum()
}

/// Whether the second lines are of the first, at the same prices, for no more people of any.
fn is_fewer(lines: &[Line], fewer: &[Line]) -> bool {
    let of = |line: &Line| lines.iter().any(|before| *before == Line { count: before.count, ..line.clone() } && line.count <= before.count);
    fewer.iter().all(of)
}
