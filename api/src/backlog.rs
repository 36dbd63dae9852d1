//! How long requests wait at a worker before it looks at them. In a crowd a worker has thousands of them before it, and what is let in then is answered when nobody waits for it any
//! more. So what would begin something new is turned away while those waits are long, and have been for longer than a moment: a machine that did something else for a tenth
//! of a second has no crowd. After the rule of CoDel (RFC 8289): what counts is whether waits stay long, and not how many wait.
//!
//! A wait is measured by a probe: a task that does nothing but come to its turn behind all that is ready. There is at most one for each worker, and none without requests.

use std::cell::RefCell;
use std::time::Duration;

use tornello_actors::clock::Stopwatch;

/// A wait is long from here on, unless the settings of a server say otherwise.
pub const LONG: Duration = Duration::from_millis(50);
/// Waits have to be long for this time before anybody is turned away: what has come to a worker while it did something else is done by then.
const LASTING: Duration = Duration::from_millis(500);
/// Waits have to be short for this time before the next crowd is given [`LASTING`] again.
const OVER: Duration = Duration::from_secs(1);
/// What the last probe said counts no longer than this when no other one was sent: without requests nobody waits.
const FRESH: Duration = Duration::from_millis(10);

thread_local! {
    static WORKER: RefCell<(Stopwatch, Backlog)> = RefCell::new((Stopwatch::start(), Backlog::default()));
}

/// Whether this worker has so much before it that nothing new is to begin; waits are long from `long` on. To be asked for each request, once.
pub fn is_too_long(long: Duration) -> bool {
    let (is_too_long, sends_probe) = with(|backlog, now| {
        let sends_probe = backlog.send(now);
        (backlog.is_too_long(now, long), sends_probe)
    });
    if sends_probe {
        actix_web::rt::spawn(async { with(Backlog::heard) });
    }
    is_too_long
}

fn with<R>(of: impl FnOnce(&mut Backlog, Duration) -> R) -> R {
    WORKER.with_borrow_mut(|(since, backlog)| of(backlog, since.elapsed()))
}

/// What a worker knows of its backlog. Times are since some moment.
#[derive(Debug, Clone, Default)]
struct Backlog {
    /// When the probe was sent that is under way.
    sent: Option<Duration>,
    /// When the last one came to its turn, and after how long.
    last: Option<(Duration, Duration)>,
    /// Since when waits are long without a break.
    long_since: Option<Duration>,
    /// Since when they are short.
    short_since: Option<Duration>,
    /// There is a crowd.
    is_crowded: bool,
}

impl Backlog {
    /// Whether a probe is to be sent now.
    fn send(&mut self, now: Duration) -> bool {
        if self.sent.is_some() {
            return false;
        }
        match self.last {
            // A crowd that is long gone says nothing of the next one.
            Some((at, _)) if now - at > OVER => *self = Self::default(),
            Some((at, _)) if now - at > FRESH => self.last = None,
            _ => {}
        }
        self.sent = Some(now);
        true
    }

    /// The probe has come to its turn.
    fn heard(&mut self, now: Duration) {
        if let Some(sent) = self.sent.take() {
            self.last = Some((now, now - sent));
        }
    }

    /// How long requests wait now: as long as the last probe did, or longer if the next one is under way for longer.
    fn wait(&self, now: Duration) -> Duration {
        let last = self.last.map_or(Duration::ZERO, |(_, wait)| wait);
        self.sent.map_or(Duration::ZERO, |sent| now - sent).max(last)
    }

    fn is_too_long(&mut self, now: Duration, long: Duration) -> bool {
        let is_long = self.wait(now) >= long;
        if is_long {
            self.short_since = None;
            let since = *self.long_since.get_or_insert(now);
            self.is_crowded |= now - since >= LASTING;
        } else {
            self.long_since = None;
            let since = *self.short_since.get_or_insert(now);
            self.is_crowded &= now - since < OVER;
        }
        self.is_crowded && is_long
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A worker whose probes take so long, asked every millisecond from one moment to another; how many were turned away.
    fn turned_away(backlog: &mut Backlog, from: u64, to: u64, wait: u64) -> usize {
        let mut away = 0;
        for now in from..to {
            if backlog.sent.is_some_and(|sent| ms(now) - sent >= ms(wait)) {
                backlog.heard(ms(now));
            }
            backlog.send(ms(now));
            away += usize::from(backlog.is_too_long(ms(now), LONG));
        }
        away
    }

    #[test]
    fn waits_that_stay_long_turn_away_what_is_new_and_a_moment_does_not() {
        let mut backlog = Backlog::default();
        assert_eq!(turned_away(&mut backlog, 0, 1_000, 20), 0, "short waits");
        assert_eq!(turned_away(&mut backlog, 1_000, 1_500, 900), 0, "a machine that did something else");
        assert_eq!(turned_away(&mut backlog, 1_500, 2_000, 1), 0);
        // A crowd: after half a second in which waits were long.
        let away = turned_away(&mut backlog, 2_000, 3_000, 80);
        assert!((440..=460).contains(&away), "{away}");
        // As soon as waits are short again everybody is let in; if they get long again soon, nobody waits half a second for it.
        assert!(turned_away(&mut backlog, 3_000, 3_200, 1) <= 1);
        let away = turned_away(&mut backlog, 3_200, 3_400, 80);
        assert!((140..=160).contains(&away), "{away}");
        // After a second without a crowd the next one is given its moment.
        assert!(turned_away(&mut backlog, 3_400, 5_000, 1) <= 1);
        assert_eq!(turned_away(&mut backlog, 5_000, 5_540, 80), 0);
    }

    #[test]
    fn a_probe_that_is_long_under_way_says_so_before_it_is_heard_and_an_old_one_says_nothing() {
        let mut backlog = Backlog::default();
        let is_too_long = |backlog: &mut Backlog, now| backlog.is_too_long(ms(now), LONG);
        assert!(backlog.send(ms(0)) && !backlog.send(ms(10)));
        assert!(!is_too_long(&mut backlog, 60) && is_too_long(&mut backlog, 560));
        backlog.heard(ms(600));
        assert!(backlog.send(ms(605)) && is_too_long(&mut backlog, 606), "the last one took long");
        assert!(!backlog.clone().is_too_long(ms(606), Duration::MAX), "what is long is said by whoever asks");
        backlog.heard(ms(607));
        assert!(backlog.send(ms(608)) && !is_too_long(&mut backlog, 608));
        backlog.heard(ms(700));
        // Nobody asked for a while: the crowd is over, and the next one is given its moment.
        assert!(backlog.send(ms(5_000)) && !is_too_long(&mut backlog, 5_000) && !is_too_long(&mut backlog, 5_100));
    }

    #[actix_web::test]
    async fn a_probe_comes_to_its_turn() {
        assert!(!is_too_long(LONG));
        assert!(WORKER.with_borrow(|(_, backlog)| backlog.sent.is_some()));
        tokio::task::yield_now().await;
        assert!(WORKER.with_borrow(|(_, backlog)| backlog.sent.is_none() && backlog.last.is_some()));
    }
}
