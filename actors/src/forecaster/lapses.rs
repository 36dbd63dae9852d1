//! How likely the quotes that keep places are never paid: learned each night of those whose visit is over, asked of those that wait, and told slot by slot. What follows
//! from it is for others: forecasts, the office's list of options, reminders.

use std::collections::HashMap;

use jiff::ToSpan;
use jiff::civil::Date;
use parking_lot::RwLock;
use tornello_engine::ids::{MuseumId, SlotId};
use tornello_engine::quote::{Deadline, Status};
use tornello_engine::time::Timestamp;
use tornello_models::ModelError;
use tornello_models::cancellation::lapse::{Basis, Ended, Lapse, MOMENTS, Wait};

use super::bookings::{FIT_EVERY_DAYS, PAST_DAYS, SEED, days_between};
use super::sites;
use crate::node::Node;
use crate::quotes::QuoteHead;
use crate::sensors::{building_day, day_begins};
use crate::views::ViewsError;
use crate::views::quotes::{EndedQuote, kind};

/// The newest past quotes that are learned from; more of them teach nothing new.
const QUOTES_MAX: u32 = 5_000;

/// What is said of a quote that keeps places.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LapseChance {
    /// The probability that it is never paid.
    pub probability: f64,
    /// What that rests on.
    pub basis: Basis,
}

/// What is known of quotes that lapse.
#[derive(Debug, Default)]
pub struct Lapses {
    learned: RwLock<Learned>,
}

#[derive(Debug, Default)]
struct Learned {
    lapse: Lapse,
    /// The last day that was known when a model was fitted.
    fitted_on: Option<Date>,
}

/// Past quotes that are to be learned from.
#[derive(Debug)]
pub struct PastQuotes {
    quotes: Vec<EndedQuote>,
    yesterday: Date,
}

impl PastQuotes {
    /// These quotes, as known at the end of a day.
    #[cfg(test)]
    pub const fn of(quotes: Vec<EndedQuote>, yesterday: Date) -> Self {
        Self { quotes, yesterday }
    }
}

impl Lapses {
    /// Asks what was learned, without a copy of it.
    pub fn look<R>(&self, look: impl FnOnce(&Lapse, Option<Date>) -> R) -> R {
        let learned = self.learned.read();
        look(&learned.lapse, learned.fitted_on)
    }

    /// The past quotes, if it is time to learn from them: each night while there are few, and once a week where they make a model. Only those whose visit is over: all of
    /// them have ended, so those that end quickly are no more than they are.
    pub async fn past(&self, node: &Node) -> Result<Option<PastQuotes>, ViewsError> {
        let Some(files) = node.files() else { return Ok(None) };
        let today = building_day(node.now());
        let yesterday = today.saturating_sub(1.day());
        let age = |fitted_on: Date| sites::number(yesterday) - sites::number(fitted_on);
        if self.learned.read().fitted_on.is_some_and(|fitted_on| (0..FIT_EVERY_DAYS).contains(&age(fitted_on))) {
            return Ok(None);
        }
        files.views.come_to(node.head().number).await?;
        let quotes = files.views.ended_quotes(day_begins(today.saturating_sub(PAST_DAYS.days())), day_begins(today), QUOTES_MAX).await?;
        Ok(Some(PastQuotes { quotes, yesterday }))
    }

    /// Learns from past quotes; takes seconds where they make a model.
    pub fn learn(&self, past: &PastQuotes) -> Result<(), ModelError> {
        let ended: Vec<Ended> = past.quotes.iter().map(ended).collect();
        let lapse = Lapse::learn(&ended, SEED)?;
        let fitted_on = lapse.card().map(|_| past.yesterday);
        *self.learned.write() = Learned { lapse, fitted_on };
        Ok(())
    }

    /// How likely a quote is never paid; none: it keeps no places, or is being settled.
    pub fn chance(&self, head: &QuoteHead, now: Timestamp) -> Option<LapseChance> {
        let is_kept = matches!(head.status, Status::Sent | Status::Accepted) && !head.options.is_empty();
        let (deadline, due_at) = head.deadline.filter(|_| is_kept)?;
        let wait = Waited {
            answered: deadline == Deadline::Payment,
            since: head.since,
            due_at,
            museum: head.museum?,
            kind: kind(head.kind),
            starts_at: head.starts_at,
            people: head.people,
            total_cents: head.total_cents.get(),
        };
        let (probability, basis) = self.learned.read().lapse.probability(&wait.at(now));
        Some(LapseChance { probability, basis })
    }

    /// How many places the options of quotes keep in each slot of a museum, and how many of these are expected back.
    pub fn options(&self, node: &Node, museum: MuseumId) -> HashMap<SlotId, (u32, f64)> {
        let now = node.now();
        let mut slots: HashMap<SlotId, (u32, f64)> = HashMap::new();
        for (_, head) in node.quotes().keeping(museum) {
            let lost = self.chance(&head, now).map_or(0.0, |chance| chance.probability);
            for &(slot, places) in head.options.iter() {
                let sum = slots.entry(slot).or_default();
                *sum = (sum.0.saturating_add(places), sum.1 + f64::from(places) * lost);
            }
        }
        slots
    }
}

/// One wait of a quote, from when it began to its deadline.
struct Waited<'a> {
    answered: bool,
    since: Timestamp,
    due_at: Timestamp,
    museum: MuseumId,
    kind: &'a str,
    starts_at: Timestamp,
    people: u32,
    total_cents: i64,
}

impl Waited<'_> {
    /// What is known at a moment of it.
    fn at(&self, moment: Timestamp) -> Wait {
        let whole = days_between(self.since, self.due_at);
        Wait {
            answered: self.answered,
            gone: if whole > 0.0 { (days_between(self.since, moment) / whole).clamp(0.0, 1.0) } else { 1.0 },
            kind: self.kind.to_owned(),
            site: self.museum.0.to_string(),
            days_left: days_between(moment, self.due_at),
            days_to_visit: days_between(moment, self.starts_at),
            people: self.people,
            each_cents: self.total_cents as f64 / f64::from(self.people.max(1)),
        }
    }

    /// The same at each of the moments of it that came before its end.
    fn until(&self, end: Timestamp) -> impl Iterator<Item = Wait> {
        let micros = self.due_at.micros_since(self.since).max(0) as f64;
        let at = MOMENTS.map(|gone| Timestamp::from_micros(self.since.as_micros() + (gone * micros) as i64));
        at.into_iter().filter(move |at| micros > 0.0 && *at < end).map(move |at| self.at(at))
    }
}

/// A past quote at the moments at which it was still waiting, by what was known then.
fn ended(quote: &EndedQuote) -> Ended {
    let sent = Waited {
        answered: false,
        since: quote.sent_at,
        due_at: quote.sign_by,
        museum: quote.museum,
        kind: &quote.kind,
        starts_at: quote.starts_at,
        people: quote.people,
        total_cents: quote.total_cents,
    };
    let mut waits: Vec<Wait> = sent.until(quote.accepted_at.unwrap_or(quote.ended_at)).collect();
    if let Some(accepted_at) = quote.accepted_at {
        let answered = Waited { answered: true, since: accepted_at, due_at: quote.pay_by, ..sent };
        waits.extend(answered.until(quote.ended_at));
    }
    Ended { waits, lost: !quote.paid }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use jiff::civil::date;
    use std::sync::Arc;
    use tornello_engine::ids::{QuoteId, RouteId};
    use tornello_engine::quote::{Kind, Quote};
    use tornello_models::fraud::chance::Chance;

    fn at(days: f64) -> Timestamp {
        "2026-03-02T09:00:00Z".parse::<Timestamp>().unwrap().plus_seconds((days * 86_400.0) as i64)
    }

    /// Quotes with ten days to sign and ten more to pay. Of companies eight in ten let the form lie; all others sign on some day, and pay three days later.
    pub fn ended_quotes(count: u32) -> Vec<EndedQuote> {
        let mut chance = Chance::new(11);
        let quote = |number: u32, chance: &mut Chance| {
            let (kind, lost) = if number.is_multiple_of(2) { ("school", 0.05) } else { ("company", 0.8) };
            let sent = f64::from(number) / 50.0;
            let (paid, signs) = (chance.unit() >= lost, sent + 10.0 * chance.unit());
            EndedQuote {
                museum: MuseumId(1),
                kind: kind.to_owned(),
                sent_at: at(sent),
                accepted_at: paid.then(|| at(signs)),
                sign_by: at(sent + 10.0),
                pay_by: at(signs + 10.0),
                people: 20,
                total_cents: 24_000,
                starts_at: at(sent + 30.0),
                ended_at: at(if paid { signs + 3.0 } else { sent + 10.0 }),
                paid,
            }
        };
        (0..count).map(|number| quote(number, &mut chance)).collect()
    }

    fn head(status: Status, kind: Kind, deadline: Deadline) -> QuoteHead {
        let slot = SlotId::new(MuseumId(1), RouteId(1), at(30.0));
        QuoteHead {
            museum: Some(MuseumId(1)),
            kind,
            status,
            since: at(0.0),
            deadline: Some((deadline, at(10.0))),
            options: Arc::from([(slot, 20)]),
            starts_at: at(30.0),
            people: 20,
            ..QuoteHead::of(&Quote::new(QuoteId(1)))
        }
    }

    #[test]
    fn a_past_quote_is_seen_only_as_long_as_it_waited() {
        let quotes = ended_quotes(2);
        let signed = EndedQuote {
            accepted_at: Some(at(4.0)),
            sent_at: at(0.0),
            sign_by: at(10.0),
            pay_by: at(24.0),
            ended_at: at(7.0),
            paid: true,
            ..quotes[0].clone()
        };
        let seen = |quote: &EndedQuote| ended(quote).waits.iter().map(|wait| (wait.answered, wait.gone)).collect::<Vec<_>>();
        let close = |seen: &[(bool, f64)], expected: &[(bool, f64)]| {
            seen.len() == expected.len() && seen.iter().zip(expected).all(|(a, b)| a.0 == b.0 && (a.1 - b.1).abs() < 1e-6)
        };
        // Signed on the fourth of ten days, paid three days after that, of twenty.
        assert!(close(&seen(&signed), &[(false, 0.125), (false, 0.375), (true, 0.125)]), "{:?}", seen(&signed));
        let silent = EndedQuote { accepted_at: None, paid: false, ended_at: at(10.0), ..signed.clone() };
        assert!(close(&seen(&silent), &[0.125, 0.375, 0.625, 0.875].map(|gone| (false, gone))), "{:?}", seen(&silent));
        assert!(ended(&silent).lost && !ended(&signed).lost);
        // Settled at once: nobody could have asked. Sent after its own deadline, which cannot be: no moment at all.
        assert_eq!(seen(&EndedQuote { accepted_at: Some(at(0.0)), ended_at: at(0.0), ..signed }), []);
        assert_eq!(seen(&EndedQuote { sign_by: at(-1.0), ..silent }), []);
    }

    #[test]
    fn only_what_keeps_places_and_waits_has_a_chance() {
        let lapses = Lapses::default();
        let school = head(Status::Sent, Kind::School, Deadline::Signature);
        let chance = lapses.chance(&school, at(5.0)).unwrap();
        assert!(chance.basis == Basis::Assumption && chance.probability > lapses.chance(&school, at(1.0)).unwrap().probability);
        assert!(lapses.chance(&head(Status::Accepted, Kind::School, Deadline::Payment), at(5.0)).unwrap().probability < chance.probability);
        let late = lapses.chance(&school, at(99.0)).unwrap();
        assert!(late.probability < 1.0 && late == lapses.chance(&school, at(9.9)).unwrap());
        for none in [
            QuoteHead { options: Arc::from([]), ..school.clone() },
            QuoteHead { deadline: None, ..school },
            head(Status::Draft, Kind::School, Deadline::Sending),
            head(Status::Paid, Kind::School, Deadline::Payment),
        ] {
            assert_eq!(lapses.chance(&none, at(5.0)), None, "{none:?}");
        }
    }

    #[test]
    fn who_lets_forms_lie_is_told_from_others_by_a_rate_and_by_a_model() {
        let lapses = Lapses::default();
        let said = |kind| lapses.chance(&head(Status::Sent, kind, Deadline::Signature), at(5.5)).unwrap();
        for (count, basis) in [(200, Basis::Rate), (1_400, Basis::Model)] {
            lapses.learn(&PastQuotes::of(ended_quotes(count), date(2026, 11, 1))).unwrap();
            let (school, company) = (said(Kind::School), said(Kind::Company));
            assert!(school.probability < 0.4 && company.probability > 0.8, "{count}: {school:?} {company:?}");
            assert!(basis == Basis::Model || (school.basis, company.basis) == (basis, basis), "{school:?} {company:?}");
            lapses.look(|lapse, fitted_on| {
                assert_eq!((lapse.quotes(), lapse.card().is_some()), (count, fitted_on.is_some()));
                assert_eq!(fitted_on.is_some(), basis == Basis::Model);
            });
        }
    }
}
