//! Who of those that have booked comes, booking by booking: a model fitted on what became of past bookings, as far as it beats one rate for all; and the bookings of
//! slots to come, looked at every few minutes. Also what stood on the books before anybody looked: the curve of bookings out of the lists.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::ToSpan;
use jiff::civil::Date;
use parking_lot::RwLock;
use tornello_engine::attendance::{Attendance, Look};
use tornello_engine::calendar;
use tornello_engine::ids::{HoldId, MuseumId, SlotId};
use tornello_engine::time::{DAY_S, MICROS_PER_S, Timestamp};
use tornello_models::ModelError;
use tornello_models::cancellation::encoding::Example;
use tornello_models::cancellation::model::{BOOKINGS_MIN, Model, teaches};
use tornello_models::cancellation::shows::{Party, Shows, fit_phi};
use tornello_models::cancellation::standing::{Fate, Standing};
use tornello_models::demand::LEADS;
use tornello_models::discrimination::{brier, outcomes};

use super::{AHEAD_DAYS, sites};
use crate::node::Node;
use crate::sensors::{building_day, day_begins};
use crate::views::ViewsError;
use crate::views::bookings::Booking;

/// The newest bookings that are learned from; more of them teach nothing new.
const BOOKINGS_MAX: u32 = 60_000;
/// And no older ones than so many days.
pub(super) const PAST_DAYS: i32 = 400;
/// A model serves so many days before it is fitted anew.
pub(super) const FIT_EVERY_DAYS: i32 = 7;
/// The newest share of bookings, on which a model is judged before it serves.
const JUDGED_SHARE: f64 = 0.2;
/// Somebody of so many parties comes: a slot by which nobody did was called off, or its gate was dead. Where more than half stay away, that is said of one slot in a hundred by mistake, and then
/// fewer are taken to stay away.
const PARTIES_COME: u32 = 8;
/// Slots that are looked up at once.
const AT_ONCE: usize = 400;
/// Nobody is reminded more days before the visit, nor fewer than one.
const REMIND_DAYS_MAX: f64 = 14.0;
pub(super) const SEED: u64 = 7;

/// What is known of a fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Card {
    /// The last day that was known.
    pub fitted_on: Date,
    /// Bookings that it learned from.
    pub bookings: u32,
    /// The newest of them, on which it was judged before it had seen them.
    pub judged: u32,
    /// The share of these, from 0 to 1, that was lost: cancelled, or nobody came.
    pub lost: f64,
    /// How far its probabilities were from what happened (0 or 1), squared, on average: 0 at best.
    pub brier: f64,
    /// The same of whoever takes one rate for all.
    pub rate_brier: f64,
}

impl Card {
    /// Whether it serves: it was better than one rate for all.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.brier < self.rate_brier
    }
}

struct Fitted {
    card: Card,
    model: Model,
    standing: Standing,
    /// Of parties of which somebody comes, the share of people who do.
    whole: f64,
    phi: f64,
    /// Half of all bookings are made no more days before the visit than this.
    lead_days: f64,
}

/// A booking of a slot to come that may be lost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reminder {
    /// Which sale.
    pub sale: HoldId,
    /// How many of its people still have a place.
    pub people: u32,
    /// The probability that nobody of them comes.
    pub lost: f64,
    /// The day in Rome on which to remind them: so many days before the visit as half of all bookings are made later than, so who gives the places back then leaves them
    /// half of the demand; one day before at the least, fourteen at the most, and today where that day has gone.
    pub remind_on: Date,
}

impl Fitted {
    /// How many days before a visit those are reminded who have booked it.
    fn remind_days(&self) -> i32 {
        self.lead_days.floor().clamp(1.0, REMIND_DAYS_MAX) as i32
    }
}

/// The bookings of a slot to come.
#[derive(Debug, Clone)]
struct Seen {
    /// The slot's last record then.
    seq: u64,
    /// People who stand, and the chance as of the booking that they are lost.
    parties: Vec<(u32, f32)>,
}

/// What is known of bookings.
#[derive(Default)]
pub struct Bookings {
    learned: RwLock<Learned>,
    curves: RwLock<Option<Curves>>,
}

/// A model, and what it said: never what another one did.
#[derive(Default)]
struct Learned {
    fitted: Option<Arc<Fitted>>,
    seen: HashMap<SlotId, Seen>,
}

/// What stood on the books, day by day.
type Curves = HashMap<MuseumId, Arc<BTreeMap<Date, Vec<Look>>>>;

impl std::fmt::Debug for Bookings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bookings").field("card", &self.card()).finish_non_exhaustive()
    }
}

/// Past bookings that a model is to be fitted on.
#[derive(Debug)]
pub struct Past {
    bookings: Vec<Booking>,
    yesterday: Date,
}

impl Past {
    /// These bookings, as known at the end of a day.
    #[cfg(test)]
    pub const fn of(bookings: Vec<Booking>, yesterday: Date) -> Self {
        Self { bookings, yesterday }
    }
}

impl Bookings {
    /// The last fit, whether it serves or not.
    #[must_use]
    pub fn card(&self) -> Option<Card> {
        self.fitted().map(|fitted| fitted.card)
    }

    fn fitted(&self) -> Option<Arc<Fitted>> {
        self.learned.read().fitted.clone()
    }

    /// The past bookings, if it is time to learn from them.
    pub async fn past(&self, node: &Node) -> Result<Option<Past>, ViewsError> {
        let Some(files) = node.files() else { return Ok(None) };
        let today = building_day(node.now());
        let yesterday = today.saturating_sub(1.day());
        let age = |card: Card| sites::number(yesterday) - sites::number(card.fitted_on);
        if self.card().is_some_and(|card| (0..FIT_EVERY_DAYS).contains(&age(card))) {
            return Ok(None);
        }
        files.views.come_to(node.head().number).await?;
        let bookings = files.views.bookings(day_begins(today.saturating_sub(PAST_DAYS.days())), day_begins(today), BOOKINGS_MAX).await?;
        Ok(Some(Past { bookings, yesterday }))
    }

    /// Fits on past bookings, if there are enough of both fates; takes seconds.
    pub fn learn(&self, past: &Past) -> Result<bool, ModelError> {
        let Some(fitted) = fit(past)? else { return Ok(false) };
        *self.learned.write() = Learned { fitted: Some(Arc::new(fitted)), seen: HashMap::new() };
        Ok(true)
    }

    /// Puts what a model said of the bookings of slots, unless another one was learned since; answers whether it did.
    fn put(&self, by: &Arc<Fitted>, seen: impl IntoIterator<Item = (SlotId, Seen)>) -> bool {
        let mut learned = self.learned.write();
        let is_current = learned.fitted.as_ref().is_some_and(|fitted| Arc::ptr_eq(fitted, by));
        if is_current {
            learned.seen.extend(seen);
        }
        is_current
    }

    /// Looks at the bookings of all slots to come that have changed since; answers how many those were.
    pub async fn look(&self, node: &Node) -> Result<usize, ViewsError> {
        let (Some(files), Some(fitted)) = (node.files(), self.fitted().filter(|fitted| fitted.card.serves())) else { return Ok(0) };
        let (now, last) = (node.now(), node.now().plus_seconds(i64::from(AHEAD_DAYS + 1) * DAY_S));
        self.learned.write().seen.retain(|slot, _| slot.start() > now);
        let mut changed: Vec<(SlotId, u64)> = Vec::new();
        for known in node.museums().all() {
            let learned = self.learned.read();
            let heads = node.board().heads_of(known.museum.id()).into_iter();
            let to_come = heads.filter(|(slot, head)| slot.start() > now && slot.start() < last && head.places.sold.iter().any(|sold| *sold > 0));
            changed.extend(
                to_come.filter(|(slot, head)| learned.seen.get(slot).is_none_or(|seen| seen.seq != head.seq)).map(|(slot, head)| (slot, head.seq)),
            );
        }
        if changed.is_empty() {
            return Ok(0);
        }
        // The lists show at least what the heads did.
        files.views.come_to(node.head().number).await?;
        let mut looked = 0;
        for some in changed.chunks(AT_ONCE) {
            let slots: Vec<SlotId> = some.iter().map(|(slot, _)| *slot).collect();
            let (bookings, by) = (files.views.bookings_of(&slots).await?, Arc::clone(&fitted));
            let Ok(mut parties) = tokio::task::spawn_blocking(move || parties_of(&bookings, &by.model)).await else {
                tracing::error!("bookings could not be judged: those of the last look serve on");
                break;
            };
            let seen = some.iter().map(|(slot, seq)| (*slot, Seen { seq: *seq, parties: parties.remove(slot).unwrap_or_default() }));
            if !self.put(&fitted, seen) {
                // The next look asks the new model.
                break;
            }
            looked += some.len();
        }
        Ok(looked)
    }

    /// The parties that have booked a slot, as of now, and how much more slots differ than parties would alone; none: nobody has looked, or no model serves. Who has
    /// booked since the last look, `booked` people being there in all, is lost at the rate of `others`.
    #[must_use]
    pub fn parties(&self, slot: SlotId, booked: u32, others: f64, now: Timestamp) -> Option<(Vec<Party>, f64)> {
        let learned = self.learned.read();
        let fitted = learned.fitted.as_ref().filter(|fitted| fitted.card.serves())?;
        let seen = learned.seen.get(&slot)?;
        let days_left = days_between(now, slot.start());
        let mut people = 0_u32;
        let mut parties: Vec<Party> = Vec::with_capacity(seen.parties.len());
        for (of, chance) in &seen.parties {
            // Given back since: as many fewer, whoever it was.
            let of = (*of).min(booked - people);
            people += of;
            let lost = 1.0 - (1.0 - fitted.standing.chance(f64::from(*chance), days_left)) * fitted.whole;
            parties.push(Party { people: of, lost });
        }
        parties.extend((people..booked).map(|_| Party { people: 1, lost: others }));
        Some((parties, fitted.phi))
    }

    /// Bookings of slots to come, the likeliest lost first; none: no model serves. Who is inside already, or has given all places back, needs no reminder.
    pub fn reminders(&self, bookings: &[(HoldId, Booking)], now: Timestamp) -> Option<Vec<Reminder>> {
        let fitted = self.fitted().filter(|fitted| fitted.card.serves())?;
        let (today, ahead) = (calendar::local_day(now), fitted.remind_days());
        let waits = bookings.iter().filter(|(_, booking)| booking.slot.start() > now && booking.standing() > 0 && booking.admitted == 0);
        let mut reminders: Vec<Reminder> = waits
            .map(|(sale, booking)| {
                let at_booking = fitted.model.probability(&example(booking)).unwrap_or(0.0);
                let visit = calendar::local_day(booking.slot.start());
                Reminder {
                    sale: *sale,
                    people: booking.standing(),
                    lost: fitted.standing.chance(at_booking, days_between(now, booking.slot.start())),
                    remind_on: visit.saturating_sub(ahead.days()).max(today),
                }
            })
            .collect();
        reminders.sort_unstable_by(|a, b| b.lost.total_cmp(&a.lost).then(a.sale.cmp(&b.sale)));
        Some(reminders)
    }

    /// Works out what stood on the books before anybody looked at them, once after a start.
    pub async fn backfill(&self, node: &Node) -> Result<bool, ViewsError> {
        let Some(files) = node.files().filter(|_| self.curves.read().is_none()) else { return Ok(false) };
        files.views.come_to(node.head().number).await?;
        let (now, today) = (node.now(), building_day(node.now()));
        let from = day_begins(today.saturating_sub(PAST_DAYS.days()));
        let bookings = files.views.bookings(from, day_begins(today.saturating_add((AHEAD_DAYS + 1).days())), 4 * BOOKINGS_MAX).await?;
        let Ok(curves) = tokio::task::spawn_blocking(move || curves(&bookings, now)).await else {
            tracing::error!("what stood on the books could not be worked out");
            return Ok(false);
        };
        *self.curves.write() = Some(curves);
        Ok(true)
    }

    /// What stood on the books for the days of a museum, where nobody looked; empty where nothing was worked out.
    #[must_use]
    pub fn curve(&self, museum: MuseumId) -> Arc<BTreeMap<Date, Vec<Look>>> {
        self.curves.read().as_ref().and_then(|curves| curves.get(&museum).cloned()).unwrap_or_default()
    }

    /// Whether the curves are there.
    #[must_use]
    pub fn has_curves(&self) -> bool {
        self.curves.read().is_some()
    }
}

/// The looks at the books of a day: those that were taken, and for leads at which nobody looked what the curve says.
#[must_use]
pub fn looks(attendance: &Attendance, curve: &BTreeMap<Date, Vec<Look>>, date: Date) -> Vec<Look> {
    let mut looks = attendance.books(date).to_vec();
    let more =
        curve.get(&date).into_iter().flatten().filter(|look| !looks.iter().any(|taken| taken.ahead == look.ahead)).copied().collect::<Vec<_>>();
    looks.extend(more);
    looks
}

pub(super) fn days_between(from: Timestamp, to: Timestamp) -> f64 {
    to.micros_since(from) as f64 / (DAY_S * MICROS_PER_S) as f64
}

/// What is known of a booking when it is made.
fn example(booking: &Booking) -> Example {
    let start = calendar::local(booking.slot.start());
    let each = booking.total_cents as f64 / f64::from(booking.people.max(1));
    let lead_hours = 24.0 * days_between(booking.made_at, booking.slot.start());
    Example {
        words: vec![
            booking.channel.clone(),
            booking.settlement.clone(),
            booking.slot.museum().0.to_string(),
            start.date().weekday().to_monday_zero_offset().to_string(),
        ],
        numbers: vec![f64::from(booking.people), lead_hours, each, f64::from(start.hour()), f64::from(start.date().month())],
    }
}

/// Who of those that have booked slots still stands, and the chance as of the booking that they are lost.
fn parties_of(bookings: &[Booking], model: &Model) -> HashMap<SlotId, Vec<(u32, f32)>> {
    let mut parties: HashMap<SlotId, Vec<(u32, f32)>> = HashMap::new();
    for booking in bookings.iter().filter(|booking| booking.standing() > 0) {
        let chance = model.probability(&example(booking)).unwrap_or(0.0);
        parties.entry(booking.slot).or_default().push((booking.standing(), chance as f32));
    }
    parties
}

fn fit(past: &Past) -> Result<Option<Fitted>, ModelError> {
    // Where no gate scanned all day, nobody knows who came.
    let day = |booking: &Booking| (booking.slot.museum(), calendar::local_day(booking.slot.start()));
    let scanned: std::collections::HashSet<(MuseumId, Date)> = past.bookings.iter().filter(|booking| booking.admitted > 0).map(day).collect();
    // Nor who would have come in an afternoon that was called off.
    let mut by_slot: HashMap<SlotId, (u32, bool)> = HashMap::new();
    for booking in &past.bookings {
        let (standing, has_come) = by_slot.entry(booking.slot).or_default();
        *standing += u32::from(booking.standing() > 0);
        *has_come |= booking.admitted > 0;
    }
    let took_place = |slot: SlotId| by_slot.get(&slot).is_none_or(|(standing, has_come)| *has_come || *standing < PARTIES_COME);
    // Who moved to another slot is a booking there, and none here.
    let counts = |booking: &&Booking| scanned.contains(&day(booking)) && took_place(booking.slot) && booking.people > booking.moved;
    let bookings: Vec<&Booking> = past.bookings.iter().filter(counts).collect();
    let examples: Vec<Example> = bookings.iter().map(|booking| example(booking)).collect();
    let lost: Vec<bool> = bookings.iter().map(|booking| booking.admitted == 0).collect();
    let learned = bookings.len() - (bookings.len() as f64 * JUDGED_SHARE) as usize;
    if learned < BOOKINGS_MIN || !teaches(&lost[..learned]) || !teaches(&lost) {
        return Ok(None);
    }
    let unseeing = Model::fit(&examples[..learned], &lost[..learned], SEED, &mut |_| {})?;
    let said = examples[learned..].iter().map(|example| unseeing.probability(example)).collect::<Result<Vec<f64>, _>>()?;
    let rate = lost[..learned].iter().filter(|lost| **lost).count() as f64 / learned as f64;
    let newest = &bookings[learned..];
    let fates: Vec<Fate> = newest
        .iter()
        .zip(&said)
        .map(|(booking, chance)| Fate {
            chance: *chance,
            lead_days: days_between(booking.made_at, booking.slot.start()),
            lost: booking.admitted == 0,
            given_back_days: booking.gone_at.filter(|_| booking.standing() == 0).map(|at| days_between(at, booking.slot.start())),
        })
        .collect();
    let (came, stood) = newest
        .iter()
        .filter(|booking| booking.admitted > 0)
        .fold((0.0, 0.0), |sum, booking| (sum.0 + f64::from(booking.admitted.min(booking.standing())), sum.1 + f64::from(booking.standing())));
    let whole = if stood > 0.0 { came / stood } else { 1.0 };
    let standing = Standing::of(&fates);
    let mut slots: BTreeMap<SlotId, (Vec<Party>, f64)> = BTreeMap::new();
    for (booking, chance) in newest.iter().zip(&said).filter(|(booking, _)| booking.standing() > 0) {
        let slot = slots.entry(booking.slot).or_default();
        let lost = 1.0 - (1.0 - standing.chance(*chance, 0.0)) * whole;
        slot.0.push(Party { people: booking.standing(), lost });
        slot.1 += f64::from(booking.admitted.min(booking.standing()));
    }
    let pairs: Vec<(Shows, f64)> = slots.into_values().map(|(parties, came)| (Shows::of(&parties, 1.0), came)).collect();
    let fate = &lost[learned..];
    let card = Card {
        fitted_on: past.yesterday,
        bookings: bookings.len() as u32,
        judged: fate.len() as u32,
        lost: fate.iter().filter(|lost| **lost).count() as f64 / fate.len() as f64,
        brier: brier(&outcomes(&said, fate, None)),
        rate_brier: brier(&outcomes(&vec![rate; fate.len()], fate, None)),
    };
    let model = Model::fit(&examples, &lost, SEED, &mut |_| {})?;
    Ok(Some(Fitted { card, model, standing, whole, phi: fit_phi(&pairs), lead_days: median_lead(&bookings) }))
}

/// The days before the visit that half of some bookings are made no earlier than.
fn median_lead(bookings: &[&Booking]) -> f64 {
    let mut leads: Vec<f64> = bookings.iter().map(|booking| days_between(booking.made_at, booking.slot.start())).collect();
    leads.sort_unstable_by(f64::total_cmp);
    leads.get(leads.len() / 2).copied().unwrap_or(0.0)
}

/// What stood on the books for each day so long before it, of the days since a museum's first booking; taken as the night takes it, when the day before has ended.
fn curves(bookings: &[Booking], now: Timestamp) -> Curves {
    let mut days: HashMap<MuseumId, BTreeMap<Date, Vec<&Booking>>> = HashMap::new();
    let mut first: HashMap<MuseumId, Timestamp> = HashMap::new();
    for booking in bookings {
        let museum = booking.slot.museum();
        days.entry(museum).or_default().entry(calendar::local_day(booking.slot.start())).or_default().push(booking);
        let first = first.entry(museum).or_insert(booking.made_at);
        *first = booking.made_at.min(*first);
    }
    let mut curves = Curves::new();
    for (museum, days) in days {
        let first = first.get(&museum).copied().unwrap_or(now);
        let looks = |date: Date, of: &[&Booking]| -> Vec<Look> {
            let at = |ahead: u16| day_begins(date.saturating_sub(i32::from(ahead).days()).saturating_add(1.day()));
            let booked = |ahead: u16| {
                let at = at(ahead);
                let stood = |booking: &&&Booking| booking.made_at < at;
                of.iter()
                    .filter(stood)
                    .map(|booking| if booking.gone_at.is_some_and(|gone| gone < at) { booking.standing() } else { booking.people })
                    .sum()
            };
            LEADS.into_iter().filter(|ahead| at(*ahead) <= now && at(*ahead) > first).map(|ahead| Look { ahead, booked: booked(ahead) }).collect()
        };
        curves.insert(museum, Arc::new(days.iter().map(|(date, of)| (*date, looks(*date, of))).collect()));
    }
    curves
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use jiff::civil::date;
    use tornello_engine::ids::RouteId;
    use tornello_models::fraud::chance::Chance;

    /// A year of bookings: those of the web are made ten days before and are lost one time in three, those of the desk a day before, and always come.
    pub fn bookings(count: u32) -> Vec<Booking> {
        let mut chance = Chance::new(3);
        let first = calendar::instant(date(2026, 1, 5).at(10, 0, 0, 0));
        let booking = |number: u32| {
            let start = first.plus_seconds(i64::from(number / 10) * DAY_S + i64::from(number % 5) * 3_600);
            let web = number.is_multiple_of(2);
            let lost = web && chance.unit() < 1.0 / 3.0;
            let gave_back = lost && chance.unit() < 0.5;
            let made_at = start.plus_seconds(if web { -864_000 } else { -DAY_S });
            Booking {
                slot: SlotId::new(MuseumId(1), RouteId(1), start),
                made_at,
                channel: if web { "web" } else { "box_office" }.to_owned(),
                settlement: if web { "payment" } else { "desk" }.to_owned(),
                people: 2,
                total_cents: 2_000,
                gone: if gave_back { 2 } else { 0 },
                moved: 0,
                admitted: if lost { 0 } else { 2 },
                gone_at: gave_back.then(|| start.plus_seconds(-172_800)),
            }
        };
        (0..count).map(booking).collect()
    }

    #[test]
    fn bookings_that_are_lost_more_often_are_told_from_others() {
        let past = Past { bookings: bookings(3_000), yesterday: date(2026, 11, 1) };
        let fitted = fit(&past).unwrap().expect("enough of both fates");
        assert!(fitted.card.serves() && fitted.card.bookings == 3_000 && fitted.card.judged == 600, "{:?}", fitted.card);
        let chance = |booking: &Booking| fitted.model.probability(&example(booking)).unwrap();
        let (web, desk) = (chance(&past.bookings[0]), chance(&past.bookings[1]));
        assert!((0.25..0.42).contains(&web) && desk < 0.05, "{web} {desk}");
        // Half of those who stay away say so two days before.
        let later = fitted.standing.chance(web, 1.0);
        assert!((0.14..0.27).contains(&later), "{later}");

        let known = Bookings::default();
        let slot = past.bookings[2_990].slot;
        assert!(known.parties(slot, 4, 0.1, slot.start()).is_none());
        let fitted = Arc::new(fitted);
        known.learned.write().fitted = Some(Arc::clone(&fitted));
        let seen = || [(slot, Seen { seq: 1, parties: vec![(2, web as f32), (2, desk as f32)] })];
        assert!(known.put(&fitted, seen()));
        let people = |booked: u32| {
            known.parties(slot, booked, 0.1, slot.start().plus_seconds(-3_600)).unwrap().0.iter().map(|party| party.people).sum::<u32>()
        };
        assert_eq!([0, 1, 4, 9].map(people), [0, 1, 4, 9], "who was booked or has gone since counts");

        // A look that began before the model was learned anew comes too late.
        assert!(known.learn(&past).unwrap());
        assert!(!known.put(&fitted, seen()) && known.parties(slot, 4, 0.1, slot.start()).is_none());
        assert!(known.put(&known.fitted().unwrap(), seen()) && known.parties(slot, 4, 0.1, slot.start()).is_some());
        // One that does not beat one rate for all says nothing.
        known.learned.write().fitted.as_mut().and_then(Arc::get_mut).unwrap().card.brier = 1.0;
        assert!(known.parties(slot, 4, 0.1, slot.start()).is_none());
    }

    #[test]
    fn the_likeliest_lost_are_to_be_reminded_while_their_places_can_be_sold_again() {
        let known = Bookings::default();
        let past = Past { bookings: bookings(3_000), yesterday: date(2026, 11, 1) };
        let visit = date(2026, 11, 20);
        let start = calendar::instant(visit.at(10, 0, 0, 0));
        let slot = SlotId::new(MuseumId(1), RouteId(1), start);
        let day_before = |days: i64| start.plus_seconds(-days * DAY_S);
        let to_come = |number: u64, of: &Booking, made: i64| {
            (HoldId::new(slot, number), Booking { slot, made_at: day_before(made), gone: 0, admitted: 0, gone_at: None, ..of.clone() })
        };
        let [web, desk] = [&past.bookings[0], &past.bookings[1]];
        let given_back = |number| {
            let (sale, booking) = to_come(number, web, 10);
            (sale, Booking { gone: 2, gone_at: Some(day_before(9)), ..booking })
        };
        let inside = (HoldId::new(slot, 5), Booking { admitted: 2, ..to_come(5, web, 10).1 });
        let listed = [to_come(1, desk, 1), to_come(2, web, 10), to_come(3, web, 10), given_back(4), inside];
        assert_eq!(known.reminders(&listed, day_before(8)), None, "no model serves");
        assert!(known.learn(&past).unwrap());
        let sales = |reminders: &[Reminder]| reminders.iter().map(|reminder| reminder.sale).collect::<Vec<_>>();
        let late = known.reminders(&listed, start.plus_seconds(-43_200)).unwrap();
        assert_eq!(sales(&late), [2, 3, 1].map(|number| HoldId::new(slot, number)), "who books on the web is lost more often");
        assert!(late[0].lost > 0.1 && late[0].lost > 2.0 * late[2].lost, "{late:?}");
        // Half of that past was booked ten days before: that is when they are reminded, or at once where it has gone by.
        for (asked, reminded) in [(10, 10_i32), (9, 9), (0, 0)] {
            let at = day_before(asked).plus_seconds(-3_600);
            let reminders = known.reminders(&listed[1..3], at).unwrap();
            assert!(reminders.len() == 2 && reminders.iter().all(|seen| seen.remind_on == visit.saturating_sub(reminded.days())), "{reminders:?}");
        }
        let early = known.reminders(&listed[1..3], day_before(20)).unwrap();
        assert!(early.iter().all(|seen| seen.remind_on == visit.saturating_sub(10.days())), "{early:?}");
        assert_eq!(known.reminders(&listed, start), Some(Vec::new()), "it is too late then");
    }

    #[test]
    fn who_moved_to_another_slot_is_not_lost() {
        let with_moved = |booking: Booking| {
            let moved = Booking { gone: 2, moved: 2, admitted: 0, gone_at: Some(booking.made_at), ..booking.clone() };
            [booking, moved]
        };
        let past = Past { bookings: bookings(3_000).into_iter().flat_map(with_moved).collect(), yesterday: date(2026, 11, 1) };
        let fitted = fit(&past).unwrap().expect("enough of both fates");
        assert!(fitted.card.bookings == 3_000 && fitted.card.lost < 0.3, "{:?}", fitted.card);
    }

    #[test]
    fn the_afternoon_of_a_day_that_was_called_off_teaches_nothing() {
        let mut all = Vec::new();
        for (day, of_day) in bookings(3_000).chunks(10).enumerate() {
            all.extend_from_slice(of_day);
            if day.is_multiple_of(10) {
                let slot = SlotId::new(MuseumId(1), RouteId(1), of_day[0].slot.start().plus_seconds(6 * 3_600));
                all.extend(of_day[..8].iter().map(|booking| Booking { slot, gone: 0, gone_at: None, admitted: 0, ..booking.clone() }));
            }
        }
        let fitted = fit(&Past { bookings: all, yesterday: date(2026, 11, 1) }).unwrap().expect("enough of both fates");
        assert!(fitted.card.bookings == 3_000 && fitted.card.lost < 0.3, "{:?}", fitted.card);
    }

    #[test]
    fn too_few_bookings_or_days_without_gates_teach_nothing() {
        let yesterday = date(2026, 11, 1);
        assert!(fit(&Past { bookings: bookings(500), yesterday }).unwrap().is_none());
        let without_gates = bookings(3_000).into_iter().map(|booking| Booking { admitted: 0, ..booking }).collect();
        assert!(fit(&Past { bookings: without_gates, yesterday }).unwrap().is_none());
        let all_come = bookings(3_000).into_iter().map(|booking| Booking { admitted: 2, gone: 0, gone_at: None, ..booking }).collect();
        assert!(fit(&Past { bookings: all_come, yesterday }).unwrap().is_none());
        assert!(fit(&Past { bookings: Vec::new(), yesterday }).unwrap().is_none());
    }

    #[test]
    fn the_curve_is_what_stood_on_the_books_and_nothing_before_the_first_booking() {
        let day = date(2026, 6, 20);
        let start = calendar::instant(day.at(10, 0, 0, 0));
        let at = |days: i64| start.plus_seconds(-days * DAY_S);
        let booking = |made: i64, people, gone_at: Option<i64>| Booking {
            slot: SlotId::new(MuseumId(1), RouteId(1), start),
            made_at: at(made),
            channel: "web".to_owned(),
            settlement: "payment".to_owned(),
            people,
            total_cents: 0,
            gone: if gone_at.is_some() { people } else { 0 },
            moved: 0,
            admitted: 0,
            gone_at: gone_at.map(at),
        };
        let curves = curves(&[booking(20, 4, None), booking(10, 3, Some(5)), booking(2, 2, None)], at(1));
        let looks = &curves[&MuseumId(1)][&day];
        let seen: Vec<(u16, u32)> = looks.iter().map(|look| (look.ahead, look.booked)).collect();
        // Nothing is known of 21 and more days before: the museum had not begun. One day before is not over yet.
        assert_eq!(seen, [(2, 6), (3, 4), (7, 7), (14, 4)]);
    }
}
