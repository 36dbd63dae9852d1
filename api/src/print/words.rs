//! Days, times, amounts and numbers as people write them, in Italian and in English.

use jiff::civil::{Date, Time};
use tornello_engine::money::Cents;

const DAYS_IT: [&str; 7] = ["lunedì", "martedì", "mercoledì", "giovedì", "venerdì", "sabato", "domenica"];
const DAYS_EN: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS_IT: [&str; 12] =
    ["gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno", "luglio", "agosto", "settembre", "ottobre", "novembre", "dicembre"];
const MONTHS_EN: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

/// As `mercoledì 10 giugno 2026`.
pub(super) fn day_it(day: Date) -> String {
    format!("{} {}", DAYS_IT[weekday(day)], date_it(day))
}

/// As `Wednesday 10 June 2026`.
pub(super) fn day_en(day: Date) -> String {
    format!("{} {} {} {}", DAYS_EN[weekday(day)], day.day(), MONTHS_EN[month(day)], day.year())
}

/// As `10 giugno 2026`. Italian counts the first of a month, and only the first, with an ordinal.
pub(super) fn date_it(day: Date) -> String {
    let number = if day.day() == 1 { "1º".into() } else { day.day().to_string() };
    format!("{number} {} {}", MONTHS_IT[month(day)], day.year())
}

fn weekday(day: Date) -> usize {
    day.weekday().to_monday_zero_offset().unsigned_abs().into()
}

fn month(day: Date) -> usize {
    usize::from(day.month().unsigned_abs()) - 1
}

/// As `09:05`.
pub(super) fn clock(time: Time) -> String {
    format!("{:02}:{:02}", time.hour(), time.minute())
}

/// As `1.234,50 €`.
pub(super) fn euros(amount: Cents) -> String {
    let (whole, sign) = (amount.get().unsigned_abs() / 100, if amount.get() < 0 { "-" } else { "" });
    format!("{sign}{},{:02} €", in_thousands(&whole.to_string()), amount.get().unsigned_abs() % 100)
}

/// Digits in groups of three from the right, as Italian writes them.
fn in_thousands(digits: &str) -> String {
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('.');
        }
        text.push(digit);
    }
    text
}

/// The digits of a long number in groups of four from the left, as they are read out: `3010 0000 0000 0001 44`.
pub(super) fn in_fours(number: &str) -> String {
    let characters: Vec<char> = number.chars().collect();
    characters.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::{date, time};

    #[test]
    fn days_and_prices_are_written_as_people_write_them() {
        assert_eq!((day_it(date(2026, 11, 1)), day_en(date(2026, 11, 1))), ("domenica 1º novembre 2026".into(), "Sunday 1 November 2026".into()));
        assert_eq!((day_it(date(2027, 3, 8)), day_en(date(2027, 3, 8))), ("lunedì 8 marzo 2027".into(), "Monday 8 March 2027".into()));
        assert_eq!(clock(time(9, 5, 0, 0)), "09:05");
        for (cents, text) in [
            (1_650, "16,50 €"),
            (0, "0,00 €"),
            (99_999, "999,99 €"),
            (100_000, "1.000,00 €"),
            (123_456_789, "1.234.567,89 €"),
            (-120_005, "-1.200,05 €"),
            (i64::MIN, "-92.233.720.368.547.758,08 €"),
        ] {
            assert_eq!(euros(Cents::new(cents)), text);
        }
        assert_eq!((in_fours("301000000000000144"), in_fours("")), ("3010 0000 0000 0001 44".into(), String::new()));
    }
}
