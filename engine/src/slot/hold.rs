//! Rules of holds: places kept for a while, all or nothing, that end once. A hold is to a sale what a two-phase transfer's first phase is to its second.

use super::event::{Amended, Event, Expired, Extended, Held, Keeper, Line, Prolonged, Released, people};
use super::state::End;
use super::waiting_list::Standing;
use super::{Refusal, Slot, sale_opens_at};
use crate::channel::Channel;
use crate::ids::{Code, HoldId, KeyId, PaymentId};
use crate::time::Timestamp;

/// The most lines of one hold.
const LINES_MAX: usize = 16;
/// The highest price of one place: 10,000 euros.
const PRICE_CENTS_MAX: i64 = 1_000_000;
/// The most holds that one record ends, so that a record stays small; the shell asks again while more are due.
const EXPIRIES_MAX: usize = 256;
/// A payment that would keep places for no more than so many seconds longer does not ask for it.
const PROLONG_LEAST_S: i64 = 60;
/// How long after places were taken a payment may keep them at most, in seconds, however many payments are tried one after the other: two hours. Somebody who
/// has not paid by then lets others have them.
pub const PAYMENT_KEEPS_S: i64 = 2 * 3_600;

impl Slot {
    pub(super) fn hold(&self, now: Timestamp, id: HoldId, channel: Channel, lines: &[Line]) -> Result<Vec<Event>, Refusal> {
        let party = self.party(id, lines)?;
        self.on_sale(now, channel)?;
        self.places_for(now, channel, party)?;
        Ok(vec![Event::Held(Held { hold: id, channel, lines: lines.to_vec(), expires_at: self.hold_until(now, channel) })])
    }

    /// When a hold of now ends. It does not outlive the sales of its channel: confirming it later would be refused.
    pub(super) fn hold_until(&self, now: Timestamp, channel: Channel) -> Timestamp {
        now.plus_seconds(i64::from(self.opening.policy.hold_ttl_s)).min(self.sale_ends_at(channel))
    }

    pub(super) fn extend(&self, now: Timestamp, id: HoldId, owner: Option<KeyId>) -> Result<Vec<Event>, Refusal> {
        let hold = self.live_hold(now, id, owner)?;
        self.on_sale(now, hold.channel)?;
        if hold.extended {
            return Err(Refusal::AlreadyExtended);
        }
        let expires_at = hold.expires_at.plus_seconds(i64::from(self.opening.policy.hold_extend_s)).min(self.sale_ends_at(hold.channel));
        Ok(vec![Event::Extended(Extended { hold: id, expires_at })])
    }

    pub(super) fn hold_for(
        &self,
        now: Timestamp,
        id: HoldId,
        channel: Channel,
        lines: &[Line],
        (until, cause): (Timestamp, Keeper),
    ) -> Result<Vec<Event>, Refusal> {
        let party = self.party(id, lines)?;
        if until <= now {
            return Err(Refusal::UntilPast);
        }
        self.on_sale(now, channel)?;
        self.places_for(now, channel, party)?;
        let expires_at = self.kept_until(now, channel, until, cause);
        let held = Event::Held(Held { hold: id, channel, lines: lines.to_vec(), expires_at });
        Ok(vec![held, Event::Prolonged(Prolonged { hold: id, expires_at, cause })])
    }

    /// Keeps a hold for a payment that is about to begin, no longer than it lives anyway: if that payment is never written down, the hold ends as it would have.
    /// What another payment keeps stays that one's, unless whoever asks knows that it is over.
    pub(super) fn bind(&self, now: Timestamp, id: HoldId, payment: PaymentId, over: Option<PaymentId>) -> Result<Vec<Event>, Refusal> {
        let hold = self.living(now, id)?;
        self.on_sale(now, hold.channel)?;
        match hold.kept_for {
            Some(Keeper::Payment(other)) if other != payment && over != Some(other) => Err(Refusal::HoldKept { payment: other }),
            _ => Ok(vec![Event::Prolonged(Prolonged { hold: id, expires_at: hold.expires_at, cause: Keeper::Payment(payment) })]),
        }
    }

    /// One that lives long enough already stays as it is. One payment does not take it from another: that is what [`Self::bind`] is for.
    pub(super) fn prolong(&self, now: Timestamp, id: HoldId, until: Timestamp, cause: Keeper) -> Result<Vec<Event>, Refusal> {
        let hold = self.living(now, id)?;
        self.on_sale(now, hold.channel)?;
        if let (Keeper::Payment(asking), Some(Keeper::Payment(payment))) = (cause, hold.kept_for)
            && asking != payment
        {
            return Err(Refusal::HoldKept { payment });
        }
        let expires_at = hold.expires_at.max(self.kept_until(hold.held_at, hold.channel, until, cause));
        Ok(vec![Event::Prolonged(Prolonged { hold: id, expires_at, cause })])
    }

    /// Whether a live hold is kept for this cause already, nearly as long as is wanted: then it is not to be asked. A payer may begin as often as they like, and the
    /// journal is not to grow with it.
    #[must_use]
    pub fn is_kept(&self, now: Timestamp, id: HoldId, until: Timestamp, cause: Keeper) -> bool {
        let Ok(hold) = self.living(now, id) else { return false };
        let wanted = self.kept_until(hold.held_at, hold.channel, until, cause);
        (hold.kept_for == Some(cause) || matches!(hold.kept_for, Some(Keeper::Quote(_)))) && hold.expires_at >= wanted.plus_seconds(-PROLONG_LEAST_S)
    }

    /// Until when places that were taken at `held_at` are kept for a payment or a quote that wants them until `until`: never longer than the sales of the channel
    /// last, and for a payment no longer than [`PAYMENT_KEEPS_S`].
    fn kept_until(&self, held_at: Timestamp, channel: Channel, until: Timestamp, cause: Keeper) -> Timestamp {
        let limit = match cause {
            Keeper::Payment(_) => held_at.plus_seconds(PAYMENT_KEEPS_S),
            Keeper::Quote(_) => Timestamp::MAX,
        };
        until.min(limit).min(self.sale_ends_at(channel))
    }

    /// What a payment is under way for stays as it is: its amount is that of the lines.
    pub(super) fn amend(&self, now: Timestamp, id: HoldId, lines: &[Line], owner: Option<KeyId>) -> Result<Vec<Event>, Refusal> {
        let party = self.shape(lines)?;
        let hold = self.live_hold(now, id, owner)?;
        self.on_sale(now, hold.channel)?;
        if let Some(Keeper::Payment(payment)) = hold.kept_for {
            return Err(Refusal::HoldKept { payment });
        }
        let before = people(&hold.lines);
        self.places_for(now, hold.channel, party.saturating_sub(before))?;
        let fewer = before.saturating_sub(party);
        let rests = owner.is_some() && fewer > 0 && self.lets_rest(now, hold.channel, &self.places);
        let amended = Event::Amended(Amended { hold: id, lines: lines.to_vec() });
        Ok(rests.then(|| self.rest_of_some(now, id, fewer, false)).into_iter().chain([amended]).collect())
    }

    /// Fewer of the places that are held, at the prices that were frozen. Nothing is taken by it, so that it goes by the rules of what is given back: whoever lets places of a
    /// scarce slot go holds no others there for a while, and keeps what is left.
    pub(super) fn shrink(
        &self,
        now: Timestamp,
        id: HoldId,
        counts: &[(Code, u16)],
        owner: Option<KeyId>,
        over: Option<PaymentId>,
    ) -> Result<Vec<Event>, Refusal> {
        are_of_somebody(counts)?;
        let hold = self.live_hold(now, id, owner)?;
        let lines = fewer_of(&hold.lines, counts)?;
        if let Some(Keeper::Payment(payment)) = hold.kept_for
            && over != Some(payment)
        {
            return Err(Refusal::HoldKept { payment });
        }
        let fewer = people(&hold.lines) - people(&lines);
        let rests = owner.is_some() && fewer > 0 && self.lets_rest(now, hold.channel, &self.places);
        let amended = Event::Amended(Amended { hold: id, lines });
        Ok(rests.then(|| self.rest_of_some(now, id, fewer, true)).into_iter().chain([amended]).collect())
    }

    /// A hold is not given back while a payment is under way for it; a caller that knows that the payment is over says so by `over`. What staff give back is free at once:
    /// somebody stands there.
    pub(super) fn release(&self, now: Timestamp, id: HoldId, owner: Option<KeyId>, over: Option<Keeper>) -> Result<Vec<Event>, Refusal> {
        let hold = self.live_hold(now, id, owner)?;
        if let Some(Keeper::Payment(payment)) = hold.kept_for
            && over != Some(Keeper::Payment(payment))
        {
            return Err(Refusal::HoldKept { payment });
        }
        let rests = owner.is_some() && self.lets_rest(now, hold.channel, &self.places);
        Ok(rests.then(|| self.rest_of_all(now, id, hold)).into_iter().chain([Event::Released(Released { hold: id })]).collect())
    }

    /// The holds whose time is over end one after the other: once enough of their places are free, the slot is scarce no more.
    pub(super) fn expire(&self, now: Timestamp) -> Vec<Event> {
        let (mut places, mut events) = (self.places, Vec::new());
        let over = self.ledger.due(now).filter_map(|id| self.ledger.holds.get(&id).map(|hold| (id, hold)));
        for (id, hold) in over.filter(|(id, hold)| self.ends_at(*id, hold) <= now).take(EXPIRIES_MAX) {
            if self.lets_rest(now, hold.channel, &places) {
                events.push(self.rest_of_all(now, id, hold));
            } else {
                places.held[hold.channel.index()] -= people(&hold.lines);
            }
            events.push(Event::Expired(Expired { hold: id }));
        }
        events
    }

    /// When a hold ends by itself. While its slot is closed that is no offer of the waiting list before sales end: whoever waited could not take it, and does not lose their
    /// turn by that.
    fn ends_at(&self, id: HoldId, hold: &super::Hold) -> Timestamp {
        let is_offer = || matches!(self.ledger.list.standing(id), Some(Standing::Offered(_)));
        if self.places.closed.is_some() && is_offer() { self.sale_ends_at(hold.channel) } else { hold.expires_at }
    }

    /// When the next hold ends by itself.
    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        match self.places.closed {
            None => self.ledger.next_deadline(),
            // Few are left in a slot that is closed: no others are made.
            Some(_) => self.holds().map(|(id, hold)| self.ends_at(*id, hold)).min(),
        }
    }

    /// The shape of a new hold or sale; answers how many people it is for.
    pub(super) fn party(&self, id: HoldId, lines: &[Line]) -> Result<u32, Refusal> {
        let party = self.shape(lines)?;
        if self.ledger.knows(id) || self.ledger.list.standing(id).is_some() || id.slot() != self.opening.slot {
            Err(Refusal::IdTaken)
        } else {
            Ok(party)
        }
    }

    /// The shape of what is held or sold; answers how many people it is for.
    fn shape(&self, lines: &[Line]) -> Result<u32, Refusal> {
        let repeated = |i: usize, line: &Line| lines[..i].iter().any(|earlier| earlier.category == line.category);
        let bad = |(i, line): (usize, &Line)| repeated(i, line) || !(0..=PRICE_CENTS_MAX).contains(&line.price_cents.get());
        if lines.is_empty() || lines.len() > LINES_MAX || lines.iter().enumerate().any(bad) {
            return Err(Refusal::BadLines);
        }
        let party = people(lines);
        if lines.iter().any(|line| line.count == 0) {
            return Err(Refusal::PartyEmpty);
        }
        if party > u32::from(self.opening.policy.party_max) {
            return Err(Refusal::PartyTooLarge { max: self.opening.policy.party_max });
        }
        Ok(party)
    }

    /// The live hold of that id, for a caller who may touch it: whoever made it, or staff. What a quote keeps is the system's, and staff leave it to the quote.
    pub(super) fn live_hold(&self, now: Timestamp, id: HoldId, owner: Option<KeyId>) -> Result<&super::Hold, Refusal> {
        match self.living_of(now, id, owner)? {
            hold if owner.is_some() || hold.who != KeyId::SYSTEM => Ok(hold),
            hold => Err(match hold.kept_for {
                Some(Keeper::Quote(quote)) => Refusal::HoldQuoted { quote },
                Some(Keeper::Payment(_)) | None => Refusal::UnknownHold,
            }),
        }
    }

    /// The live hold of that id, or a refusal that says what has become of it. An owner sees its own holds; staff (no `owner`) see all. The hold of somebody else is unknown,
    /// whatever has become of it.
    pub fn held(&self, now: Timestamp, id: HoldId, owner: Option<KeyId>) -> Result<&super::Hold, Refusal> {
        self.living_of(self.past.at_least(now), id, owner)
    }

    /// The live hold of that id, whoever made it.
    fn living(&self, now: Timestamp, id: HoldId) -> Result<&super::Hold, Refusal> {
        self.living_of(now, id, None)
    }

    /// One whose time is over is gone even if nobody has noted it yet.
    fn living_of(&self, now: Timestamp, id: HoldId, owner: Option<KeyId>) -> Result<&super::Hold, Refusal> {
        let is_theirs = |who: KeyId| owner.is_none_or(|owner| owner == who);
        if let Some(hold) = self.ledger.holds.get(&id).filter(|hold| is_theirs(hold.who)) {
            return if self.ends_at(id, hold) <= now { Err(Refusal::HoldExpired { at: hold.expires_at }) } else { Ok(hold) };
        }
        if self.ledger.sales.get(&id).is_some_and(|sale| is_theirs(sale.who)) {
            return Err(Refusal::HoldSold);
        }
        Err(match self.ledger.ended.get(&id).filter(|ended| is_theirs(ended.who)).map(|ended| ended.how) {
            Some(End::Released) => Refusal::HoldReleased,
            Some(End::Expired { at }) => Refusal::HoldExpired { at },
            None => Refusal::UnknownHold,
        })
    }

    /// Whether the channel may take places now.
    pub(super) fn on_sale(&self, now: Timestamp, channel: Channel) -> Result<(), Refusal> {
        if let Some(reason) = self.places.closed {
            return Err(Refusal::SlotClosed { reason });
        }
        let opens_at = sale_opens_at(self.opening.slot, &self.opening.policy);
        if now < opens_at {
            return Err(Refusal::SaleNotOpen { opens_at });
        }
        if now >= self.opening.end {
            return Err(Refusal::SlotOver { ended_at: self.opening.end });
        }
        let closed_at = self.sale_ends_at(channel);
        if now >= closed_at { Err(Refusal::SaleOver { closed_at }) } else { Ok(()) }
    }

    /// Whether the channel may have as many places, all or nothing, beside what is due to those who wait. Holds that are due still count: the shell ends them
    /// before it asks for a decision.
    pub(super) fn places_for(&self, now: Timestamp, channel: Channel, asked: u32) -> Result<(), Refusal> {
        let (available, limited_by) = self.left_for(now, channel);
        if asked > available { Err(Refusal::NotEnoughPlaces { asked, available, limited_by }) } else { Ok(()) }
    }
}

/// Asserts that something is counted, and of each category somebody.
pub(super) fn are_of_somebody(counts: &[(Code, u16)]) -> Result<(), Refusal> {
    if counts.is_empty() {
        return Err(Refusal::BadLines);
    }
    if counts.iter().any(|(_, count)| *count == 0) { Err(Refusal::PartyEmpty) } else { Ok(()) }
}

/// Lines with so many people of each category that is counted, and of no other; refused if a category is counted twice, or for more people than there are.
pub(super) fn fewer_of(lines: &[Line], counts: &[(Code, u16)]) -> Result<Vec<Line>, Refusal> {
    let counted = |line: &Line| counts.iter().find(|(category, _)| *category == line.category).map(|(_, count)| *count);
    let fewer: Vec<Line> = lines.iter().filter_map(|line| Some(Line { count: counted(line)?, ..line.clone() })).collect();
    let is_less = lines.iter().all(|line| counted(line).is_none_or(|count| count <= line.count));
    if is_less && fewer.len() == counts.len() { Ok(fewer) } else { Err(Refusal::BadLines) }
}
