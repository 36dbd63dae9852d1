//! What goes on by itself, and is to be resumed again and again: what does not go on is let alone for longer and longer, and keeps none of the others of its kind.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tornello_engine::time::Timestamp;

use crate::failure::Failure;
use crate::journal::writer::Health;
use crate::node::Node;

/// How soon what was left behind is looked for.
pub(crate) const RESUME_EVERY_S: i64 = 1;
/// How long at most between two tries of what does not go on.
const RESUME_EVERY_MAX_S: i64 = 60;

/// What did not go on, and for how long it is let alone: twice as long each time, up to a minute.
pub(crate) struct Pauses<K>(BTreeMap<K, (Timestamp, i64)>);

impl<K> Default for Pauses<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Copy + Ord> Pauses<K> {
    /// Those of all that there are whose turn it is, who has failed least first. Who is not among them any more is forgotten.
    pub(crate) fn due(&mut self, all: Vec<K>, now: Timestamp) -> Vec<K> {
        let all: BTreeSet<K> = all.into_iter().collect();
        self.0.retain(|key, _| all.contains(key));
        let mut due: Vec<K> = all.into_iter().filter(|key| self.0.get(key).is_none_or(|(at, _)| *at <= now)).collect();
        due.sort_by_key(|key| self.0.get(key).map_or(0, |(_, pause_s)| *pause_s));
        due
    }

    /// Whether one of them came to its end, this time.
    pub(crate) fn note(&mut self, key: K, now: Timestamp, is_done: bool) {
        if is_done {
            self.0.remove(&key);
        } else {
            let pause_s = self.0.get(&key).map_or(RESUME_EVERY_S, |(_, pause_s)| (pause_s * 2).min(RESUME_EVERY_MAX_S));
            self.0.insert(key, (now.plus_seconds(pause_s), pause_s));
        }
    }
}

/// Goes on with the others of a flow after one that did not answer, as a slot that cannot be read: it keeps none of them. A journal that does not write
/// keeps all. Answers what those so far have come to: the first failure, if there was one.
pub(crate) fn go_on<R>(node: &Node, so_far: Result<(), Failure<R>>, ended: Result<(), Failure<R>>) -> Result<Result<(), Failure<R>>, Failure<R>> {
    match ended {
        Err(failure) if node.health() != Health::Writing => Err(failure),
        ended => Ok(so_far.and(ended)),
    }
}

/// How soon what panicked begins anew: later each time, up to a minute.
const BEGUN_ANEW_AFTER: Duration = Duration::from_millis(500);
const BEGUN_ANEW_AFTER_MAX: Duration = Duration::from_secs(60);

/// What goes on by itself for as long as a node runs. If it panics that is told, and it begins anew a little later: else places would stay held, and money on its way, until somebody
/// restarts the node, and nobody see why.
pub(crate) async fn keep_on<F: Future<Output = ()>>(what: &'static str, node: Arc<Node>, run: impl Fn(Arc<Node>) -> F) {
    begin_anew(what, BEGUN_ANEW_AFTER, || run(Arc::clone(&node))).await;
}

async fn begin_anew<F: Future<Output = ()>>(what: &'static str, mut after: Duration, run: impl Fn() -> F) {
    while AssertUnwindSafe(run()).catch_unwind().await.is_err() {
        tracing::error!(what, "something that goes on by itself has panicked: it begins anew");
        tokio::time::sleep(after).await;
        after = (after * 2).min(BEGUN_ANEW_AFTER_MAX);
    }
}

/// Resumes what was left under way, at once and then again and again. What it remembers from one time to the next, as the pauses, begins empty. Runs until
/// dropped.
pub(crate) async fn keep_resuming<R: Default>(node: &Node, resume_due: impl for<'a> Fn(&'a Node, &'a mut R) -> BoxFuture<'a, usize>) {
    let (mut remembered, mut next) = (R::default(), node.now());
    loop {
        // Also the first time: whoever wakes the sleepers of a simulated clock decides who goes first after a start.
        node.clock().sleep_until(next).await;
        resume_due(node, &mut remembered).await;
        next = node.now().plus_seconds(RESUME_EVERY_S);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_panics_begins_anew_until_it_ends() {
        let begun = &AtomicU32::new(0);
        let run = || async move { assert!(begun.fetch_add(1, Ordering::Relaxed) == 2, "a fault, as a test wants it") };
        begin_anew("a test", Duration::ZERO, run).await;
        assert_eq!(begun.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn what_does_not_go_on_is_let_alone_for_longer_and_keeps_nobody_else() {
        let (mut pauses, at) = (Pauses::default(), Timestamp::from_seconds);
        let mut tries = Vec::new();
        for s in 0..200 {
            for key in pauses.due(vec![1, 2], at(s)) {
                pauses.note(key, at(s), key == 2);
                tries.extend((key == 1).then_some(s));
            }
        }
        assert_eq!(tries, [0, 1, 3, 7, 15, 31, 63, 123, 183]);
        assert_eq!(pauses.due(vec![1, 2], at(200)), [2]);
        assert_eq!(pauses.due(vec![1, 2], at(300)), [2, 1], "who has failed least comes first");
        assert_eq!(pauses.due(vec![2], at(300)), [2]);
        assert_eq!(pauses.due(vec![1, 2], at(200)), [1, 2], "who was gone begins anew");
    }
}
