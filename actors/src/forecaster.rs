//! Forecasts of every museum, served from memory: what the models need of attendance, plans, calendar and books is put together here, and what they say is brought
//! down to slots and up to regions. Selling never waits for any of it.
//!
//! What a day has in all is split over its slots as the last counted days were, within their places; so slots add up to the day, and days of museums to the
//! region. Days are those of Rome; one of 23 or 25 hours is a day.

mod bookings;
mod champion;
mod lapses;
mod months;
mod releases;
mod school_breaks;
mod shares;
mod shows;
mod sites;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use jiff::ToSpan;
use jiff::civil::Date;
use parking_lot::{Mutex, RwLock};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::attendance::Look;
use tornello_engine::calendar;
use tornello_engine::ids::{HoldId, MuseumId, SlotId};
use tornello_engine::slot::{Opening, Places};
use tornello_engine::time::Timestamp;
pub use tornello_models::cancellation::lapse::{Basis, Card as LapseCard};
use tornello_models::cancellation::shows::Party;
pub use tornello_models::demand::Quality;
use tornello_models::demand::features::Lookback;
pub use tornello_models::demand::months::Expected;
use tornello_models::demand::{Day, Site};
pub use tornello_models::outlook::{BUCKETS, Outlook, Reasons, Score};
use tornello_models::outlook::{History, Learned};
pub use tornello_models::score::Score as TrialScore;

use crate::attended::{heads_on, is_called_off, was_off};
use crate::museums::Known;
use crate::node::Node;
use crate::quotes::QuoteHead;
use crate::sensors::building_day;
use crate::views::ViewsError;
use crate::views::bookings::Booking;
#[cfg(test)]
pub(crate) use bookings::tests::bookings as past_bookings;
use bookings::{Bookings, Past};
pub use bookings::{Card, Reminder};
use champion::Champion;
pub use champion::{Judged, Moved, Verdict, Why};
pub use lapses::LapseChance;
#[cfg(test)]
pub(crate) use lapses::tests::ended_quotes as past_quotes;
use lapses::{Lapses, PastQuotes};
pub use months::{MONTHS_MAX, MonthForecast};
pub use releases::{OptionSlot, Releasable};
pub use school_breaks::{REGIONS_OF_ITALY, RegionBreaks, SchoolBreak, SchoolBreaks, is_same_region};

/// How far ahead forecasts reach, in days.
pub const AHEAD_DAYS: i32 = 60;

/// What the forecast of a day rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The model over all museums.
    Model,
    /// The site's own last weeks.
    LastWeeks,
    /// Nothing of its own: its places, and what other sites make of theirs.
    Others,
    /// The plan: it is closed.
    Plan,
    /// Nothing: no plan holds on that day.
    NoPlan,
}

impl Source {
    /// The name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::LastWeeks => "last_weeks",
            Self::Others => "other_sites",
            Self::Plan => "plan",
            Self::NoPlan => "no_plan",
        }
    }
}

/// The forecast of a day.
#[derive(Debug, Clone, PartialEq)]
pub struct DayForecast {
    /// The day in Rome.
    pub date: Date,
    /// How many will come.
    pub outlook: Outlook,
    /// What that rests on.
    pub source: Source,
    /// Places sold so far and not given back.
    pub booked: u32,
    /// Places of all slots that are open.
    pub capacity: u32,
    /// By whose word schools are closed; none: they are open, as far as anybody has said.
    pub school_break: Option<SchoolBreak>,
    /// Slot by slot, in the order of their starts.
    pub slots: Vec<SlotForecast>,
}

/// The forecast of a slot; of one that is over, what came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlotForecast {
    /// Which.
    pub slot: SlotId,
    /// When it ends.
    pub end: Timestamp,
    /// How many will come: all slots of a day add up to the day.
    pub mid: f64,
    /// Eight of ten times it is from here to there.
    pub band_80: (f64, f64),
    /// Nineteen of twenty times.
    pub band_95: (f64, f64),
    /// Places sold so far and not given back.
    pub booked: u32,
    /// How many came, if it is over: that is its forecast then. Where no gate scanned all day, those who bought came, unless the day was called off.
    pub came: Option<u32>,
    /// Its places; 0: closed.
    pub capacity: u32,
    /// Whether its museum has called it off, as with an afternoon: of those who have booked nobody comes.
    pub off: bool,
    /// Places that options of groups keep, and how many of these are expected back.
    pub options: (u32, f64),
    /// How many of those who have booked will come, and give or take.
    pub shows: (f64, f64),
    /// Whether that was worked out booking by booking, and not of one rate for all.
    pub by_booking: bool,
    /// Places that will stay empty of those who have booked, or have not been sold, at the upper end: for whoever comes without a ticket.
    pub walk_in: u32,
    /// How many more than the places may be sold within the risk that the museum allows itself; 0: none, as is usual.
    pub oversell: u32,
    /// The probability that anybody is turned away if so many are sold.
    pub turn_away: f64,
}

impl SlotForecast {
    /// Of a slot of which nothing is foretold yet.
    pub(crate) const fn blank(slot: SlotId, end: Timestamp, booked: u32, capacity: u32) -> Self {
        Self {
            slot,
            end,
            mid: 0.0,
            band_80: (0.0, 0.0),
            band_95: (0.0, 0.0),
            booked,
            came: None,
            capacity,
            off: false,
            options: (0, 0.0),
            shows: (0.0, 0.0),
            by_booking: false,
            walk_in: 0,
            oversell: 0,
            turn_away: 0.0,
        }
    }

    /// How many of those who have booked may come: all of them, unless it is called off.
    pub(crate) const fn awaited(&self) -> u32 {
        if self.off { 0 } else { self.booked }
    }
}

/// What a museum's forecasts are made from, worked out once for each state of its streams and each day.
#[derive(Debug)]
struct Prepared {
    /// The states it was made from.
    of: Made,
    history: History,
    learned: Learned,
    /// The same for the model over all museums.
    site: Site,
    /// Who of those that booked comes.
    shows: shows::Rate,
    /// What stood on the books before anybody looked.
    curve: Arc<BTreeMap<Date, Vec<Look>>>,
}

/// The streams' states and the day that something was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Made {
    attendance: u64,
    museum: u64,
    planning: u64,
    today: Date,
    /// Whether what stood on the books before anybody looked was known.
    curves: bool,
}

/// The forecasts of all museums.
#[derive(Debug)]
pub struct Forecaster {
    prepared: Mutex<HashMap<MuseumId, Arc<Prepared>>>,
    /// Visitors of an open day for each of its places, over all museums.
    fill: RwLock<f64>,
    champion: Arc<Champion>,
    bookings: Arc<Bookings>,
    lapses: Arc<Lapses>,
    school_breaks: OnceLock<SchoolBreaks>,
}

/// What was read in the lists to learn from; each is missing where it is not time for it.
#[derive(Debug, Default)]
pub struct Lists {
    bookings: Option<Past>,
    quotes: Option<PastQuotes>,
}

impl Default for Forecaster {
    /// A third of a day's places are taken where nobody knows better: an assumption, until a month was counted anywhere.
    fn default() -> Self {
        Self {
            prepared: Mutex::default(),
            fill: RwLock::new(0.35),
            champion: Arc::default(),
            bookings: Arc::default(),
            lapses: Arc::default(),
            school_breaks: OnceLock::new(),
        }
    }
}

impl Forecaster {
    /// With the model over all museums kept in a file; none: in memory.
    #[must_use]
    pub fn kept_in(file: Option<PathBuf>) -> Self {
        Self { champion: Arc::new(Champion::kept_in(file)), ..Self::default() }
    }

    /// Knows from now on when schools are closed; told once, before anything is forecast. Until then nothing is assumed of any region.
    pub fn know_school_breaks(&self, breaks: SchoolBreaks) {
        if self.school_breaks.set(breaks).is_err() {
            tracing::error!("school breaks were told twice: the first ones hold");
        }
    }

    /// What is to be learned from the lists: bookings and quotes, and what became of them. Where the lists cannot be read there is nothing, and what was learned before
    /// serves on.
    pub async fn read(&self, node: &Node) -> Lists {
        let read = async {
            self.bookings.backfill(node).await?;
            Ok::<Lists, ViewsError>(Lists { bookings: self.bookings.past(node).await?, quotes: self.lapses.past(node).await? })
        };
        read.await.unwrap_or_else(|error| {
            tracing::warn!(%error, "bookings and quotes cannot be read: what was learned of them before serves on");
            Lists::default()
        })
    }

    /// Looks at the bookings of slots to come that have changed since the last look; answers how many those were.
    pub async fn look_at_bookings(&self, node: &Node) -> usize {
        self.bookings.look(node).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "bookings cannot be read: those of the last look serve on");
            0
        })
    }

    /// Learns from made-up bookings.
    #[cfg(test)]
    pub(crate) fn learn_bookings(&self, bookings: Vec<Booking>) -> bool {
        self.bookings.learn(&Past::of(bookings, jiff::civil::date(2026, 6, 9))).is_ok_and(|learned| learned)
    }

    /// Learns from made-up quotes.
    #[cfg(test)]
    pub(crate) fn learn_quotes(&self, quotes: Vec<crate::views::quotes::EndedQuote>) -> bool {
        self.lapses.learn(&PastQuotes::of(quotes, jiff::civil::date(2026, 6, 9))).is_ok()
    }

    /// How likely a quote that keeps places is never paid; none: it keeps none, or is being settled.
    #[must_use]
    pub fn lapse(&self, head: &QuoteHead, now: Timestamp) -> Option<LapseChance> {
        self.lapses.chance(head, now)
    }

    /// How many past quotes that is learned from, and the last model of them with the last day that it knew, whether it serves or not.
    #[must_use]
    pub fn lapse_card(&self) -> (u32, Option<(LapseCard, Date)>) {
        self.lapses.look(|lapse, fitted_on| (lapse.quotes(), lapse.card().zip(fitted_on)))
    }

    /// Bookings of slots to come with the probability that each is lost, the likeliest first; none: no model of bookings serves. Of a slot that is closed nobody is reminded: it may not
    /// take place, and what is given back of it is not sold again.
    #[must_use]
    pub fn reminders(&self, node: &Node, bookings: &[(HoldId, Booking)], now: Timestamp) -> Option<Vec<Reminder>> {
        let mut reminders = self.bookings.reminders(bookings, now)?;
        reminders.retain(|seen| node.board().head(seen.sale.slot()).is_none_or(|head| head.places.closed.is_none()));
        Some(reminders)
    }

    /// The last model of who comes, booking by booking, whether it serves or not.
    #[must_use]
    pub fn bookings_card(&self) -> Option<Card> {
        self.bookings.card()
    }

    /// What was judged of models over all museums lately, the newest first.
    #[must_use]
    pub fn judged(&self) -> Vec<Judged> {
        self.champion.judged()
    }

    /// Learns anew from everything that was counted, museum by museum; takes moments, so not on a thread that answers. Answers what the models are to be fitted on,
    /// which takes seconds to minutes and needs the node no more.
    #[must_use]
    pub fn learn(&self, node: &Node, past: Lists) -> Fit {
        let all = node.museums().all();
        if let Some(fill) = sites::fill(node, &all) {
            *self.fill.write() = fill;
        }
        let prepared: Vec<_> = all.iter().map(|known| self.prepared(node, known)).filter(|prepared| prepared.history.known() > 0).collect();
        let sites: Vec<Site> = prepared.iter().map(|prepared| prepared.site.clone()).collect();
        let (champion, bookings, lapses) = (Arc::clone(&self.champion), Arc::clone(&self.bookings), Arc::clone(&self.lapses));
        Fit { champion, bookings, lapses, past, sites, yesterday: champion::day(building_day(node.now())).plus(-1) }
    }

    /// The last day that the model over all museums knew when it was fitted; none: there is no model.
    #[must_use]
    pub fn fitted_on(&self) -> Option<Date> {
        self.champion.fitted_on()
    }

    fn prepared(&self, node: &Node, known: &Known) -> Arc<Prepared> {
        let museum = known.museum.id();
        let (attendance, planning) = (node.attended().get(museum), node.plans().get(museum));
        let today = building_day(node.now());
        let of =
            Made { attendance: attendance.seq(), museum: known.museum.seq(), planning: planning.seq(), today, curves: self.bookings.has_curves() };
        if let Some(prepared) = self.prepared.lock().get(&museum).filter(|prepared| prepared.of == of) {
            return Arc::clone(prepared);
        }
        let history = sites::history(known, &attendance, today, *self.fill.read());
        let learned = history.learn();
        let curve = self.bookings.curve(museum);
        let site = champion::site(known, &history, &planning, self.breaks_of(known), |date| bookings::looks(&attendance, &curve, date));
        let prepared = Arc::new(Prepared { of, learned, site, shows: shows::Rate::of(&attendance), history, curve });
        self.prepared.lock().insert(museum, Arc::clone(&prepared));
        prepared
    }

    /// The school breaks of a museum's region; of none, until breaks were told.
    fn breaks_of(&self, known: &Known) -> RegionBreaks<'_> {
        let region = known.museum.profile().map_or("", |profile| profile.region.as_str());
        self.school_breaks.get().map(|breaks| breaks.of(region)).unwrap_or_default()
    }

    /// The forecast of some days of a museum, from today on at the earliest and [`AHEAD_DAYS`] ahead at most.
    #[must_use]
    pub fn days(&self, node: &Node, known: &Known, from: Date, days: i32) -> Vec<DayForecast> {
        let prepared = self.prepared(node, known);
        let (today, now, attendance) = (prepared.of.today, node.now(), node.attended().get(known.museum.id()));
        let (model, planning) = (self.champion.model(), node.plans().get(known.museum.id()));
        let breaks = self.breaks_of(known);
        let mut site = model.is_some().then(|| prepared.site.clone());
        // The building's day goes on after midnight; for whoever asks then the next one has begun, and forecasts reach as far ahead of it.
        let (first, last) = (from.max(today), calendar::local_day(now).max(today).saturating_add((AHEAD_DAYS - 1).days()));
        let asked = first.series(1.day()).take(usize::try_from(days).unwrap_or(0)).take_while(|date| *date <= last);
        let asked: Vec<(Date, Vec<SlotForecast>)> = asked.map(|date| (date, slots_of(node, known, date, now))).collect();
        let horizon = |date: Date| (sites::number(date) - sites::number(today) + 1).unsigned_abs() as u16;
        for (date, slots) in &asked {
            site.iter_mut().for_each(|site| champion::look(site, champion::day(*date), horizon(*date), awaited_of(slots)));
        }
        // What looking back costs is paid once for all days.
        let lookback = site.as_ref().map(Lookback::new);
        let options = self.lapses.options(node, known.museum.id());
        asked
            .into_iter()
            .map(|(date, mut slots)| {
                let capacity = slots.iter().fold(0_u32, |sum, slot| sum.saturating_add(slot.capacity));
                let (booked, awaited) = (booked_of(&slots), awaited_of(&slots));
                let day = sites::number(date);
                let books = sites::books(&prepared.history, |date| bookings::looks(&attendance, &prepared.curve, date), day, awaited);
                let mut outlook = prepared.history.outlook(day, books, &prepared.learned);
                let mut source = match prepared.history.known() {
                    0 => Source::Others,
                    _ => Source::LastWeeks,
                };
                if let (Some(model), Some(lookback)) = (&model, &lookback)
                    && let Some(band) = champion::ask(model, lookback, champion::day(today).plus(-1), horizon(date))
                {
                    // Nearly all who have booked come, whatever the model says.
                    let least = prepared.shows.mean(awaited);
                    let at_least = |people: f64| people.max(least);
                    (outlook.mid, source) = (at_least(band.median), Source::Model);
                    outlook.band_80 = (at_least(band.low_80), at_least(band.high_80));
                    outlook.band_95 = (at_least(band.low_95), at_least(band.high_95));
                }
                if capacity == 0 {
                    // Closed by the plan, or by staff; or nobody has said when it opens.
                    let has_plan = known.museum.plan_on(date).is_some();
                    (outlook, source) = (Outlook::CLOSED, if has_plan { Source::Plan } else { Source::NoPlan });
                } else if outlook.mid <= 0.0 && awaited > 0 {
                    // Closed by the plan, but there are slots of an older one: those come who have booked.
                    let people = prepared.shows.mean(awaited);
                    (outlook.mid, outlook.band_80, outlook.band_95) = (people, (people, people), (people, people));
                }
                shares::split(&mut outlook, &mut slots, &attendance, date, known.museum.plan_since(date));
                shares::count(&mut outlook, &mut slots);
                let (policy, ceiling) = (planning.policy_on(date).1, known.museum.ceiling_on(date));
                for slot in slots.iter_mut().filter(|slot| slot.came.is_none()) {
                    slot.options = options.get(&slot.slot).copied().unwrap_or_default();
                    if slot.off {
                        continue;
                    }
                    let parties = self.bookings.parties(slot.slot, slot.booked, prepared.shows.lost(), now);
                    // Only who stands when the slot begins makes room beyond the places: what is given back before is sold again.
                    let standing = (policy.turn_away_permille > 0).then(|| self.standing(&prepared, slot.slot, slot.booked)).flatten();
                    prepared.shows.tell(slot, &policy, ceiling, parties, standing.as_ref().map(|(parties, _)| parties.as_slice()));
                }
                DayForecast { date, outlook, source, booked, capacity, school_break: breaks.on(&policy.school_breaks, date), slots }
            })
            .collect()
    }

    /// The parties of a slot, if all of them stand until it begins and they are `people` in all, where bookings are known one by one.
    fn standing(&self, prepared: &Prepared, slot: SlotId, people: u32) -> Option<(Vec<Party>, f64)> {
        self.bookings.parties(slot, people, prepared.shows.sure(), slot.start())
    }

    /// The probability that anybody with a ticket is turned away from a slot with so many places, if so many people have one and all of them stand until it begins.
    /// Takes milliseconds where bookings have changed.
    #[must_use]
    pub fn turn_away(&self, node: &Node, known: &Known, slot: SlotId, places: u32, people: u32) -> f64 {
        if people <= places {
            return 0.0;
        }
        let prepared = self.prepared(node, known);
        prepared.shows.risk(slot, places, people, self.standing(&prepared, slot, people))
    }

    /// Why a forecast of the model is what it is, the largest first; none where no model answers. A hundred times as dear as the forecast.
    #[must_use]
    pub fn why(&self, node: &Node, known: &Known, day: &DayForecast) -> Option<Why> {
        let model = self.champion.model().filter(|_| day.source == Source::Model)?;
        let prepared = self.prepared(node, known);
        let horizon = u16::try_from(sites::number(day.date) - sites::number(prepared.of.today) + 1).ok()?;
        let mut site = prepared.site.clone();
        champion::look(&mut site, champion::day(day.date), horizon, awaited_of(&day.slots));
        let mut why = champion::why(&model, &site, champion::day(prepared.of.today).plus(-1), horizon)?;
        // What the model does not know of: nobody comes beyond the places, and nearly all who have booked come.
        let rest = day.outlook.mid - why.base - why.moved.iter().map(|moved| moved.visitors).sum::<f64>();
        if rest.abs() >= 0.05 {
            why.moved.push(Moved { what: "the places, who has booked and who has come", visitors: rest });
            why.moved.sort_by(|one, other| other.visitors.abs().total_cmp(&one.visitors.abs()));
        }
        Some(why)
    }

    /// How good the model over all museums was on the last days that it had not seen when that was measured, by bucket of horizons.
    #[must_use]
    pub fn quality(&self, museum: MuseumId) -> Vec<Quality> {
        let model = self.champion.model();
        model.iter().flat_map(|model| model.quality()).filter(|quality| quality.site == u32::from(museum.0)).copied().collect()
    }

    /// How many days of attendance of a museum are known, closed ones among them, and how good forecasts from its last weeks alone were on its last days.
    #[must_use]
    pub fn scores(&self, node: &Node, known: &Known) -> (usize, Vec<Score>) {
        let prepared = self.prepared(node, known);
        (node.attended().get(known.museum.id()).days().len(), prepared.learned.scores.clone())
    }
}

/// A fit of the model over all museums that is to be made.
#[derive(Debug)]
pub struct Fit {
    champion: Arc<Champion>,
    bookings: Arc<Bookings>,
    lapses: Arc<Lapses>,
    past: Lists,
    sites: Vec<Site>,
    yesterday: Day,
}

impl Fit {
    /// How many museums it is made on.
    #[must_use]
    pub fn museums(&self) -> usize {
        self.sites.len()
    }

    /// Makes it, if the newest model is old and enough was counted, and holds those whose trial is over against the one in force; answers whether there is a new one.
    #[must_use]
    pub fn make(self) -> bool {
        if let Some(Err(error)) = self.past.bookings.as_ref().map(|past| self.bookings.learn(past)) {
            tracing::error!(%error, "the model of bookings could not be fitted: the last one, or one rate for all, serves on");
        }
        if let Some(Err(error)) = self.past.quotes.as_ref().map(|past| self.lapses.learn(past)) {
            tracing::error!(%error, "the model of quotes could not be fitted: what was learned of them before serves on");
        }
        match self.champion.fit(&self.sites, self.yesterday) {
            Ok(made) => made,
            Err(error) => {
                tracing::error!(%error, "the forecaster could not be fitted: the one in force, or the last weeks, serve on");
                false
            }
        }
    }
}

fn booked_of(slots: &[SlotForecast]) -> u32 {
    slots.iter().fold(0, |sum, slot| sum.saturating_add(slot.booked))
}

fn awaited_of(slots: &[SlotForecast]) -> u32 {
    slots.iter().fold(0, |sum, slot| sum.saturating_add(slot.awaited()))
}

/// The slots of a day, as planned or as they were opened, without a forecast yet; those that staff have closed have no places. Of those that are over it is known
/// who came.
fn slots_of(node: &Node, known: &Known, date: Date, now: Timestamp) -> Vec<SlotForecast> {
    let empty = |slot, end: Timestamp, booked, capacity| {
        let came = (end <= now).then_some(0);
        SlotForecast { came, ..SlotForecast::blank(slot, end, booked, capacity) }
    };
    let capacity = |places: &Places| if places.closed.is_some() { 0 } else { places.capacity };
    let planned = |opening: &Opening| empty(opening.slot, opening.end, 0, capacity(&known.places(opening)));
    let mut slots: Vec<SlotForecast> = known.day(date).iter().map(planned).collect();
    let heads = heads_on(node, known, date);
    let attendance = node.attended().get(known.museum.id());
    let is_told = heads.iter().any(|(_, head)| head.places.admitted > 0) || is_called_off(known, &attendance, &heads);
    for (slot, head) in heads {
        let booked = head.places.sold.iter().fold(0, |sum: u32, sold| sum.saturating_add(*sold));
        let mut written = empty(slot, head.end, booked, capacity(&head.places));
        written.off = was_off(known, slot, &head);
        written.came = written.came.map(|_| if is_told || written.off { head.places.admitted } else { booked });
        match slots.iter_mut().find(|planned| planned.slot == slot) {
            Some(planned) => *planned = written,
            None => slots.push(written),
        }
    }
    slots.sort_by_key(|slot| (slot.slot.start(), slot.slot));
    slots
}

/// The minute of the day, by the clocks in Rome, of an instant.
#[must_use]
pub fn minute_of_day(at: Timestamp) -> u16 {
    let local = calendar::local(at);
    // Hours are 0 to 23 and minutes 0 to 59.
    (i32::from(local.hour()) * 60 + i32::from(local.minute())) as u16
}
