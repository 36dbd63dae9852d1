//! What is asked, as data: a generator may be another process, which has to be told.

use serde::{Deserialize, Serialize};

use crate::generator::{self, Edge, Run, Tally, share};
use crate::rows::readings::Batches;
use crate::script::{Pairs, Same};

/// A script that can be told to another process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Work {
    Pairs(Pairs),
    Same(Same),
    Readings(Batches),
}

/// Which part of the work one of some generators has.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    pub number: usize,
    pub of: usize,
    /// How many clients the generators before it have.
    pub before: usize,
    /// How many it has.
    pub clients: usize,
}

impl Work {
    /// Asks it, in this thread.
    pub fn run(self, run: &Run, at: impl FnMut(Edge)) -> anyhow::Result<Tally> {
        match self {
            Self::Pairs(mut script) => generator::run(run, &mut script, at),
            Self::Same(mut script) => generator::run(run, &mut script, at),
            Self::Readings(mut script) => generator::run(run, &mut script, at),
        }
    }

    /// What each of some generators has of it, if all of them together have so many clients.
    pub fn parts(&self, of: usize, clients: usize) -> Vec<Self> {
        let mut before = 0;
        let part = |number| {
            let part = Part { number, of, before, clients: share(clients, number, of) };
            before += part.clients;
            match self {
                Self::Pairs(script) => Self::Pairs(script.part(&part)),
                Self::Same(script) => Self::Same(script.part(&part)),
                Self::Readings(script) => Self::Readings(script.part(&part)),
            }
        };
        (0..of).map(part).collect()
    }
}
