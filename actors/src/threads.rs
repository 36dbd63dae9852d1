//! The threads that owners run on: a few of the house's own, or those that answer requests, once these have been lent. On a small machine a command and its answer
//! then stay on one thread, and no thread is woken for each of them; on a large one slots should not wait behind requests.

use std::future::ready;

use actix::{Arbiter, ArbiterHandle};
use parking_lot::RwLock;

/// Threads for owners.
#[derive(Debug)]
pub struct Threads {
    own: Box<[Arbiter]>,
    lent: RwLock<Vec<ArbiterHandle>>,
}

impl Threads {
    /// Starts so many threads, at least one. Call inside an actix system.
    #[must_use]
    pub fn start(count: usize) -> Self {
        Self { own: (0..count.max(1)).map(|_| Arbiter::new()).collect(), lent: RwLock::default() }
    }

    /// No thread of its own: owners run on the one that asks for them.
    #[must_use]
    pub fn none() -> Self {
        Self { own: Box::default(), lent: RwLock::default() }
    }

    /// New owners run on the threads that were lent, as long as there are any.
    pub fn lend(&self, thread: ArbiterHandle) {
        self.lent.write().push(thread);
    }

    /// The thread for a new owner, by a number that spreads owners.
    #[must_use]
    pub fn pick(&self, number: usize) -> ArbiterHandle {
        loop {
            let lent = self.lent.read();
            let Some(thread) = lent.get(number % lent.len().max(1)).cloned() else { break };
            drop(lent);
            if thread.spawn(ready(())) {
                return thread;
            }
            // It has ended: whoever answers requests may stop before the house does.
            self.lent.write().retain(|thread| thread.spawn(ready(())));
        }
        self.own.get(number % self.own.len().max(1)).map_or_else(Arbiter::current, Arbiter::handle)
    }

    /// Ends the house's own threads.
    pub fn stop(&self) {
        for thread in &self.own {
            thread.stop();
        }
    }
}
