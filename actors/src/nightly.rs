//! What planning does by itself: each minute people inside are followed on, every few minutes bookings and quotes are looked at and slots are sold beyond their places or
//! no more, where museums say so, and each night the day before is counted and forecasts are learned anew. A start does at once what a night that nobody ran the program
//! has left undone. Whoever serves starts it; replays and tests call what it calls.

use std::sync::Arc;

use jiff::ToSpan;
use tokio::sync::oneshot;
use tornello_engine::calendar;
use tornello_engine::time::Timestamp;

use crate::attended;
use crate::beyond;
use crate::node::Node;
use crate::pauses::keep_on;
use crate::quotes;
use crate::sensors::building_day;

/// When the day before is counted, in Rome: after the building's day has ended.
const COUNTS_AT: (i8, i8) = (4, 30);

/// Every so many minutes the bookings of slots to come are looked at, and the quotes that may lapse.
const BOOKINGS_EVERY_MIN: i64 = 5;

/// And every so many what is sold beyond the places of slots.
const BEYOND_EVERY_MIN: i64 = 5;

/// A start has better things to do at first than to fit a model, in seconds.
const FIRST_FIT_AFTER_S: i64 = 60;

/// Runs until dropped. Minutes pass while a night or a look at bookings waits for the lists: neither holds up the others.
pub async fn keep_planning(node: &Arc<Node>) {
    tokio::join!(
        keep_on("following people inside", Arc::clone(node), |node| async move { keep_minutes(&node).await }),
        keep_on("looking at bookings", Arc::clone(node), |node| async move { keep_looking(&node).await }),
        keep_on("selling beyond places", Arc::clone(node), |node| async move { keep_beyond(&node).await }),
        keep_on("counting days and learning", Arc::clone(node), |node| async move { keep_nights(&node).await }),
    );
}

async fn keep_minutes(node: &Node) {
    loop {
        node.sleep_until(next_minute(node.now(), 1)).await;
        node.pass_minute().await;
    }
}

async fn keep_looking(node: &Node) {
    loop {
        node.sleep_until(next_minute(node.now(), BOOKINGS_EVERY_MIN)).await;
        node.forecaster().look_at_bookings(node).await;
        quotes::remind_doubtful(node).await;
    }
}

async fn keep_beyond(node: &Arc<Node>) {
    loop {
        node.sleep_until(next_minute(node.now(), BEYOND_EVERY_MIN)).await;
        beyond::look(node).await;
    }
}

async fn keep_nights(node: &Arc<Node>) {
    attended::count_days(node).await;
    let mut next = node.now().plus_seconds(FIRST_FIT_AFTER_S);
    loop {
        node.sleep_until(next).await;
        drop(night(node).await);
        next = after(node.now());
    }
}

/// The next full minute that `every` divides.
fn next_minute(now: Timestamp, every: i64) -> Timestamp {
    let span_s = 60 * every;
    Timestamp::from_seconds((now.as_seconds().div_euclid(span_s) + 1) * span_s)
}

/// Counts the days that are over, and learns anew. The model over all museums is fitted on a thread of its own, which a stop does not wait for: the answer tells when
/// that is done, and whether there is a new one; none if no thread could be had.
pub async fn night(node: &Arc<Node>) -> Option<oneshot::Receiver<bool>> {
    let counted = attended::count_days(node).await;
    let past = node.forecaster().read(node).await;
    let learning = Arc::clone(node);
    let Ok(fit) = tokio::task::spawn_blocking(move || learning.forecaster().learn(&learning, past)).await else {
        tracing::error!("forecasts could not be learned: the last ones serve on");
        return None;
    };
    let (tell, told) = oneshot::channel();
    let make = move || {
        let museums = fit.museums();
        let fitted = fit.make();
        tracing::info!(counted, museums, fitted, "days were counted and forecasts learned");
        // Nobody has to wait for it.
        let _ = tell.send(fitted);
    };
    match std::thread::Builder::new().name("forecaster".to_owned()).spawn(make) {
        Ok(_) => Some(told),
        Err(error) => {
            tracing::error!(%error, "no thread to fit the forecaster on: the one in force serves on");
            None
        }
    }
}

/// The next time at which a night is over.
fn after(now: Timestamp) -> Timestamp {
    let tomorrow = building_day(now).saturating_add(1.day());
    calendar::instant(tomorrow.at(COUNTS_AT.0, COUNTS_AT.1, 0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensors::day_begins;
    use jiff::civil::Date;

    #[test]
    fn minutes_are_full_ones() {
        let now = |text: &str| text.parse::<Timestamp>().unwrap();
        for (at, every, expected) in [
            ("2026-06-10T08:00:00Z", 1, "2026-06-10T08:01:00Z"),
            ("2026-06-10T08:03:59Z", 1, "2026-06-10T08:04:00Z"),
            ("2026-06-10T08:03:59Z", 5, "2026-06-10T08:05:00Z"),
            ("2026-06-10T08:05:00Z", 5, "2026-06-10T08:10:00Z"),
        ] {
            assert_eq!(next_minute(now(at), every), now(expected), "{at}");
        }
    }

    #[test]
    fn a_night_follows_each_day_also_when_clocks_change() {
        for (now, expected) in [
            ("2026-06-10T08:00:00Z", "2026-06-11T02:30:00Z"),
            ("2026-06-10T01:00:00Z", "2026-06-10T02:30:00Z"),
            ("2026-06-10T02:30:00Z", "2026-06-11T02:30:00Z"),
            ("2026-10-24T12:00:00Z", "2026-10-25T03:30:00Z"),
            ("2026-03-28T12:00:00Z", "2026-03-29T02:30:00Z"),
        ] {
            assert_eq!(after(now.parse().unwrap()).to_string(), expected, "{now}");
        }
    }

    /// The night in which clocks are put forward has an hour less from its midnight on: one that had not ended by its own count would be run again and again, without a pause.
    #[test]
    fn a_night_that_is_counted_has_ended_also_when_clocks_change() {
        for date in ["2026-03-28", "2026-03-29", "2026-03-30", "2026-06-10", "2026-10-24", "2026-10-25", "2026-10-26"] {
            let date: Date = date.parse().unwrap();
            let counted_at = calendar::instant(date.at(COUNTS_AT.0, COUNTS_AT.1, 0, 0));
            assert_eq!(building_day(counted_at), date, "the day before is over");
            let next = date.saturating_add(1.day());
            assert_eq!(after(counted_at), calendar::instant(next.at(COUNTS_AT.0, COUNTS_AT.1, 0, 0)), "{date}");
        }
    }

    #[test]
    fn a_buildings_day_ends_by_the_clocks_also_when_they_change() {
        for date in ["2026-03-29", "2026-06-10", "2026-10-25"] {
            let date: Date = date.parse().unwrap();
            let begins = day_begins(date);
            let (before, last) = (building_day(begins.plus_seconds(-1)), building_day(day_begins(date.saturating_add(1.day())).plus_seconds(-1)));
            assert_eq!((before, building_day(begins), last), (date.saturating_sub(1.day()), date, date));
        }
    }
}
