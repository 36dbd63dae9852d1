//! A hotel booking as the cancellation model sees it: what the file says, and what follows from it and from the other bookings made on the same day. Nothing
//! that is filled in later, and no fate, goes in.

use std::collections::HashMap;

use jiff::civil::Date;
use tornello_datasets::reservations::{NUMBERS, Reservation, WORDS};
use tornello_models::cancellation::encoding::Example;
use tornello_models::feature_list::FeatureList;

/// Pairs of words that mean more together than apart: a guest from the hotel's own country who books through an agency is lost for other reasons, and far more
/// often or more rarely, than one from abroad. The month of arrival is left out on purpose: two years of it teach the trend of those years and no season.
const PAIRS: [(&str, &str); 3] = [("country", "market_segment"), ("country", "agent"), ("market_segment", "customer_type")];
const MORE_NUMBERS: [&str; 5] = ["nights", "people", "rate_per_adult", "made_together", "root_lead_time"];

/// The names of all words, then of all numbers, in their order.
pub fn features() -> anyhow::Result<FeatureList> {
    let words = WORDS.iter().map(|name| ((*name).to_owned(), "word")).chain(PAIRS.iter().map(|(a, b)| (format!("{a} and {b}"), "word")));
    let numbers = NUMBERS.iter().chain(&MORE_NUMBERS).map(|name| ((*name).to_owned(), "number"));
    Ok(FeatureList::new(words.chain(numbers))?)
}

/// The examples of these bookings, in their order. `strict` leaves out two columns that a hotel may have filled in after the booking: country and special
/// requests.
#[must_use]
pub fn examples(reservations: &[Reservation], strict: bool) -> Vec<Example> {
    let mut together: HashMap<Together<'_>, u32> = HashMap::new();
    for reservation in reservations {
        *together.entry(key(reservation)).or_default() += 1;
    }
    reservations.iter().map(|reservation| example(reservation, together[&key(reservation)], strict)).collect()
}

/// Bookings made on one day, through the same hands, for one day of arrival: a group writes one for each room.
type Together<'a> = (Date, Date, &'a str, &'a str, &'a str);

fn key(reservation: &Reservation) -> Together<'_> {
    let word = |name| WORDS.iter().position(|word| *word == name).map_or("", |place| reservation.words[place].as_str());
    (reservation.booked, reservation.arrival, word("agent"), word("company"), word("market_segment"))
}

fn example(reservation: &Reservation, made_together: u32, strict: bool) -> Example {
    let mut words = reservation.words.to_vec();
    let mut numbers = reservation.numbers.to_vec();
    if strict {
        for (name, word) in WORDS.iter().zip(&mut words) {
            if *name == "country" {
                word.clear();
            }
        }
        for (name, number) in NUMBERS.iter().zip(&mut numbers) {
            if *name == "total_of_special_requests" {
                *number = f64::NAN;
            }
        }
    }
    let place = |name: &str| WORDS.iter().position(|word| *word == name).unwrap_or_default();
    words.extend(PAIRS.map(|(a, b)| format!("{} {}", words[place(a)], words[place(b)])));
    let [lead, weekend, week, adults, children, babies, _, _, rate, _] = reservation.numbers;
    let known = |x: f64| if x.is_nan() { 0.0 } else { x };
    numbers.extend([
        weekend + week,
        adults + known(children) + known(babies),
        rate / adults.max(1.0),
        f64::from(made_together),
        lead.max(0.0).sqrt(),
    ]);
    Example { words, numbers }
}
