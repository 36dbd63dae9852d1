//! How likely a group's quote that keeps places is never paid, as known while it waits: from how past quotes ended that waited as long for the same thing.
//!
//! A quote waits first for the signed form, then for money, each until a deadline. Past ones are looked at four times within each wait, as long as it lasted, and only at
//! what was known then. With few of them there is a rate for each quarter of a wait and each kind of group, leaning on an assumption; with enough a model, which serves
//! only if it was better than these rates on the newest quotes, which it had not seen.

use std::collections::BTreeMap;

use super::encoding::Example;
use super::model::{BOOKINGS_MIN, Member, Model, teaches};
use crate::ModelError;
use crate::discrimination::{brier, outcomes};

/// With fewer past quotes than this, what is said of one is mostly an assumption: nothing is done by it.
pub const KNOWN_MIN: u32 = 30;
/// The shares of a wait, gone by, at which past quotes are looked at: the middle of each quarter.
pub const MOMENTS: [f64; 4] = [0.125, 0.375, 0.625, 0.875];

/// Assumptions, until quotes have ended here: of those that were sent so many in a hundred are never paid, and of those whose form came back so many.
const SENT_LOST: f64 = 0.35;
const ANSWERED_LOST: f64 = 0.10;
/// An assumption weighs as much as so many past quotes; the rate of all kinds, for one of them, as many.
const ASSUMED_WEIGHS: f64 = 20.0;
const ALL_WEIGH: f64 = 20.0;
/// The newest share of quotes, on which a model is judged before it serves.
const JUDGED_SHARE: f64 = 0.2;

/// A quote at a moment at which it waits for its group.
#[derive(Debug, Clone, PartialEq)]
pub struct Wait {
    /// Whether the form is here, signed: what is missing is money.
    pub answered: bool,
    /// The share of its time to the deadline that has gone by, 0 to 1.
    pub gone: f64,
    /// What kind of group it is.
    pub kind: String,
    /// Where it goes.
    pub site: String,
    /// Days until the deadline.
    pub days_left: f64,
    /// Days until the visit.
    pub days_to_visit: f64,
    /// How many people come.
    pub people: u32,
    /// What each of them costs, in cents.
    pub each_cents: f64,
}

impl Wait {
    fn quarter(&self) -> usize {
        ((self.gone.clamp(0.0, 1.0) * 4.0) as usize).min(3)
    }

    /// For the model; state and quarter are one word, as time means something else in each state.
    fn example(&self) -> Example {
        let state = if self.answered { "answered" } else { "sent" };
        Example {
            words: vec![format!("{state} {}", self.quarter()), self.kind.clone(), self.site.clone()],
            numbers: vec![self.gone, self.days_left, self.days_to_visit, f64::from(self.people), self.each_cents],
        }
    }
}

/// A past quote.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// It at each of the [`MOMENTS`] of its waits that it lived to see.
    pub waits: Vec<Wait>,
    /// Whether it was never paid.
    pub lost: bool,
}

/// Quotes that were seen waiting, and how many of them were lost.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Count {
    quotes: f64,
    lost: f64,
}

impl Count {
    fn add(&mut self, lost: bool) {
        self.quotes += 1.0;
        self.lost += f64::from(u8::from(lost));
    }

    /// The share that was lost, leaning on what is thought without having seen any.
    fn shrunk(self, thought: f64, weighs: f64) -> f64 {
        (self.lost + weighs * thought) / (self.quotes + weighs)
    }
}

/// By what is waited for (the form, money), and the quarter of that wait.
type Counts = [[Count; MOMENTS.len()]; 2];

/// How many of the quotes that still waited in each quarter of a wait were lost in the end, over all kinds of group and for each.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rates {
    quotes: u32,
    all: Counts,
    kinds: BTreeMap<String, Counts>,
}

impl Rates {
    /// Of past quotes.
    #[must_use]
    pub fn of(ended: &[Ended]) -> Self {
        let mut rates = Self::default();
        // Who is settled at once was never seen waiting.
        for quote in ended.iter().filter(|quote| !quote.waits.is_empty()) {
            rates.quotes += 1;
            for wait in &quote.waits {
                let (state, quarter) = (usize::from(wait.answered), wait.quarter());
                rates.all[state][quarter].add(quote.lost);
                rates.kinds.entry(wait.kind.clone()).or_default()[state][quarter].add(quote.lost);
            }
        }
        rates
    }

    /// The probability that a quote which still waits is never paid.
    #[must_use]
    pub fn probability(&self, wait: &Wait) -> f64 {
        let (state, quarter) = (usize::from(wait.answered), wait.quarter());
        let all = self.all[state][quarter].shrunk(assumed(wait.answered, quarter), ASSUMED_WEIGHS);
        self.kinds.get(&wait.kind).map_or(all, |kind| kind[state][quarter].shrunk(all, ALL_WEIGH))
    }
}

/// What is assumed where nothing was seen. Those that go on do so at any time of their wait alike, the others never: so whoever has not answered is the likelier to be
/// lost the later it is.
fn assumed(answered: bool, quarter: usize) -> f64 {
    let (lost, left) = (if answered { ANSWERED_LOST } else { SENT_LOST }, 1.0 - MOMENTS[quarter]);
    lost / (lost + (1.0 - lost) * left)
}

/// What a probability rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Fewer past quotes than [`KNOWN_MIN`]: mostly an assumption.
    Assumption,
    /// How many past quotes were lost that waited as long, of the same kind.
    Rate,
    /// The model of past quotes.
    Model,
}

/// What is known of a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Card {
    /// Quotes that it learned from.
    pub quotes: u32,
    /// The newest of them, on which it was judged before it had seen them.
    pub judged: u32,
    /// How far its probabilities were from what happened (0 or 1), squared, on average: 0 at best.
    pub brier: f64,
    /// The same of whoever takes the rates for it, without a model.
    pub rate_brier: f64,
}

impl Card {
    /// Whether it serves: it was better than the rates.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.brier < self.rate_brier
    }
}

/// What was learned of past quotes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Lapse {
    rates: Rates,
    fitted: Option<(Card, Model)>,
}

impl Lapse {
    /// Learns from past quotes, in the order in which their fates became known; takes seconds where there are enough for a model.
    pub fn learn(ended: &[Ended], seed: u64) -> Result<Self, ModelError> {
        Ok(Self { rates: Rates::of(ended), fitted: fit(ended, seed)? })
    }

    /// The probability that a quote which still waits is never paid, and what that rests on.
    #[must_use]
    pub fn probability(&self, wait: &Wait) -> (f64, Basis) {
        let model = self.fitted.as_ref().filter(|(card, _)| card.serves());
        if let Some(said) = model.and_then(|(_, model)| model.of(Member::Logistic, &wait.example()).ok()) {
            return (said, Basis::Model);
        }
        (self.rates.probability(wait), if self.rates.quotes < KNOWN_MIN { Basis::Assumption } else { Basis::Rate })
    }

    /// How many past quotes were seen waiting.
    #[must_use]
    pub const fn quotes(&self) -> u32 {
        self.rates.quotes
    }

    /// The model, whether it serves or not; none: too few past quotes.
    #[must_use]
    pub fn card(&self) -> Option<Card> {
        self.fitted.as_ref().map(|(card, _)| *card)
    }
}

/// The rows of some quotes, those of one beside each other, and whether each was lost.
fn rows(ended: &[&Ended]) -> (Vec<Example>, Vec<bool>) {
    ended.iter().flat_map(|quote| quote.waits.iter().map(move |wait| (wait.example(), quote.lost))).unzip()
}

fn fit(ended: &[Ended], seed: u64) -> Result<Option<(Card, Model)>, ModelError> {
    // Who is settled at once is never asked about.
    let waited: Vec<&Ended> = ended.iter().filter(|quote| !quote.waits.is_empty()).collect();
    let learned = waited.len() - (waited.len() as f64 * JUDGED_SHARE) as usize;
    let (past, newest) = waited.split_at(learned);
    let ((examples, lost), (all, fates)) = (rows(past), rows(&waited));
    if learned < BOOKINGS_MIN || !teaches(&lost) || !teaches(&fates) {
        return Ok(None);
    }
    let unseeing = Model::fit(&examples, &lost, seed, &mut |_| {})?;
    let rates = Rates::of(&past.iter().map(|quote| (*quote).clone()).collect::<Vec<Ended>>());
    let judged = || newest.iter().flat_map(|quote| quote.waits.iter().map(move |wait| (wait, quote.lost)));
    let truth: Vec<bool> = judged().map(|(_, lost)| lost).collect();
    let said = judged().map(|(wait, _)| unseeing.of(Member::Logistic, &wait.example())).collect::<Result<Vec<f64>, _>>()?;
    let by_rate: Vec<f64> = judged().map(|(wait, _)| rates.probability(wait)).collect();
    let card = Card {
        quotes: waited.len() as u32,
        judged: newest.len() as u32,
        brier: brier(&outcomes(&said, &truth, None)),
        rate_brier: brier(&outcomes(&by_rate, &truth, None)),
    };
    Ok(Some((card, Model::fit(&all, &fates, seed, &mut |_| {})?)))
}

/// What the release of an option of so many places in a slot would be worth, by the probability that its quote lapses: how many of these places the group is thought to
/// leave that others are thought to want.
#[must_use]
pub fn worth(slot: &SlotDemand, places: u32, lapse: f64) -> f64 {
    (f64::from(places) * lapse).min(slot.short())
}

/// What a slot expects, and what it has left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlotDemand {
    /// People who will come in all.
    pub expected: f64,
    /// Those of them who have booked.
    pub shows: f64,
    /// Places that options keep.
    pub kept: u32,
    /// How many of these are expected back.
    pub expected_back: f64,
    /// Places that are neither sold nor kept.
    pub free: u32,
}

impl SlotDemand {
    /// How many more would come than find a free place: who is expected, has not booked and is in no group that keeps places.
    #[must_use]
    pub fn short(&self) -> f64 {
        let groups = f64::from(self.kept) - self.expected_back;
        (self.expected - self.shows - groups - f64::from(self.free)).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fraud::chance::Chance;

    fn wait(answered: bool, gone: f64, kind: &str, people: u32) -> Wait {
        let (kind, site) = (kind.to_owned(), "1".to_owned());
        Wait { answered, gone, kind, site, days_left: 10.0 * (1.0 - gone), days_to_visit: 30.0 - 10.0 * gone, people, each_cents: 1_000.0 }
    }

    /// A quote of that kind and size: one that is lost never answers, any other does at some time of its wait, and pays at some time of the next.
    fn quote(chance: &mut Chance, kind: &str, people: u32, lost: bool) -> Ended {
        let [answers, pays] = [chance.unit(), chance.unit()];
        let sent = MOMENTS.into_iter().filter(|gone| lost || *gone < answers).map(|gone| wait(false, gone, kind, people));
        let answered = MOMENTS.into_iter().filter(|gone| !lost && *gone < pays).map(|gone| wait(true, gone, kind, people));
        Ended { waits: sent.chain(answered).collect(), lost }
    }

    /// Of companies six in ten are lost, of schools one in ten.
    fn by_kind(count: u32) -> Vec<Ended> {
        let mut chance = Chance::new(5);
        let kind = |number: u32, chance: &mut Chance| {
            let (kind, lost) = if number.is_multiple_of(2) { ("school", 0.1) } else { ("company", 0.6) };
            let lost = chance.unit() < lost;
            quote(chance, kind, 20, lost)
        };
        (0..count).map(|number| kind(number, &mut chance)).collect()
    }

    #[test]
    fn without_a_past_who_has_not_answered_is_the_likelier_lost_the_later_it_is() {
        let lapse = Lapse::learn(&[], 1).unwrap();
        let said = |answered: bool| MOMENTS.map(|gone| lapse.probability(&wait(answered, gone, "school", 20)));
        let (sent, answered) = (said(false), said(true));
        for (sent, answered) in sent.iter().zip(&answered) {
            assert!(sent.0 > answered.0 && sent.1 == Basis::Assumption && answered.0 > 0.0 && sent.0 < 1.0, "{sent:?} {answered:?}");
        }
        assert!(sent.windows(2).all(|pair| pair[0].0 < pair[1].0) && answered.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!((lapse.quotes(), lapse.card()), (0, None));
        for strange in [f64::NAN, -3.0, 7.0, f64::INFINITY] {
            assert!((0.0..=1.0).contains(&lapse.probability(&wait(false, strange, "", 0)).0), "{strange}");
        }
    }

    #[test]
    fn few_quotes_are_a_rate_that_leans_on_what_is_assumed_and_on_other_kinds() {
        let lapse = Lapse::learn(&by_kind(300), 1).unwrap();
        let said = |kind: &str, gone: f64| lapse.probability(&wait(false, gone, kind, 20));
        let [school, unknown, company] = ["school", "club", "company"].map(|kind| said(kind, 0.1));
        assert!(school.0 < 0.25 && company.0 > 0.5 && school.0 < unknown.0 && unknown.0 < company.0, "{school:?} {unknown:?} {company:?}");
        assert!(said("company", 0.9).0 > company.0 + 0.1, "hardly any other is still silent near the deadline");
        assert_eq!((company.1, lapse.card()), (Basis::Rate, None));
        assert!(lapse.probability(&wait(true, 0.6, "company", 20)).0 < 0.2, "whose form is here pays, in that past");
        // A handful says little: what is assumed weighs more.
        let few = Lapse::learn(&by_kind(KNOWN_MIN - 1), 1).unwrap().probability(&wait(false, 0.1, "club", 20));
        assert!((few.0 - assumed(false, 0)).abs() < 0.15 && few.1 == Basis::Assumption, "{few:?}");
    }

    #[test]
    fn enough_quotes_are_a_model_that_serves_where_it_is_better_than_the_rates() {
        // Large groups are lost eight times in ten, small ones once: no rate by kind sees that.
        let mut chance = Chance::new(9);
        let ended: Vec<Ended> = (0..1_500)
            .map(|_| {
                let people = 10 + chance.below(50) as u32;
                let lost = chance.unit() < if people > 35 { 0.8 } else { 0.1 };
                quote(&mut chance, "school", people, lost)
            })
            .collect();
        let mut lapse = Lapse::learn(&ended, 1).unwrap();
        let card = lapse.card().unwrap();
        assert!(card.serves() && card.judged > 250 && card.quotes <= 1_500, "{card:?}");
        let said = |lapse: &Lapse, people: u32| lapse.probability(&wait(false, 0.125, "school", people));
        let (small, large) = (said(&lapse, 12), said(&lapse, 55));
        assert!(small.0 < 0.3 && large.0 > 0.6 && large.1 == Basis::Model, "{small:?} {large:?}");
        // One that does not beat the rates says nothing.
        lapse.fitted.iter_mut().for_each(|(card, _)| card.brier = 1.0);
        assert_eq!((said(&lapse, 12), said(&lapse, 12).1), (said(&lapse, 55), Basis::Rate));
    }

    #[test]
    fn too_few_quotes_or_all_of_one_fate_make_no_model() {
        assert!(Lapse::learn(&by_kind(BOOKINGS_MIN as u32), 1).unwrap().card().is_none(), "a fifth of them judges");
        let mut chance = Chance::new(2);
        let paid: Vec<Ended> = (0..1_000).map(|_| quote(&mut chance, "school", 20, false)).collect();
        assert!(Lapse::learn(&paid, 1).unwrap().card().is_none());
        let at_once = Ended { waits: Vec::new(), lost: false };
        assert!(Lapse::learn(&vec![at_once; 1_000], 1).unwrap().card().is_none(), "who is settled at once was never seen waiting");
    }

    #[test]
    fn an_option_is_worth_what_others_would_take_of_it() {
        // A full slot of a hundred: sixty booked, of whom 57 come, and forty kept, of which ten are expected back.
        let full = SlotDemand { expected: 100.0, shows: 57.0, kept: 40, expected_back: 10.0, free: 0 };
        assert!((full.short() - 13.0).abs() < 1e-9);
        assert!((worth(&full, 20, 0.5) - 10.0).abs() < 1e-9 && (worth(&full, 40, 0.9) - 13.0).abs() < 1e-9, "no more than are wanted");
        let quiet = SlotDemand { expected: 40.0, shows: 0.0, kept: 20, expected_back: 10.0, free: 80 };
        assert!(quiet.short() == 0.0 && worth(&quiet, 20, 0.9) == 0.0, "nobody is turned away there");
    }
}
