//! Till sessions: one is open at a desk at a time. The rules of a session are in `engine::till`; here is what concerns several of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tornello_engine::aggregate::Aggregate;
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{Code, MuseumId, TillId};
use tornello_engine::money::Cents;
use tornello_engine::recall::Recall;
use tornello_engine::record::Record;
use tornello_engine::till::{Command, Event, Opened, Refusal, Till};
use tornello_engine::time::Timestamp;

use crate::digest::digest;
use crate::failure::Failure;
use crate::journal::StreamId;
use crate::journal::writer::Lease;
use crate::node::Node;
use crate::owner::{Kept, Tell};

/// How many ids are tried for a new session.
const SALTS: u8 = 16;

/// A session that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TillHead {
    /// How it began.
    pub opened: Opened,
    /// When.
    pub at: Timestamp,
}

/// The sessions that are open. It can be rebuilt from the journal.
#[derive(Debug, Default)]
pub struct Tills {
    open: Mutex<BTreeMap<TillId, TillHead>>,
    /// Whoever opens one has it until what became of that is known, also if the caller goes away before: whoever asks next would find the desk free.
    opening: Arc<tokio::sync::Mutex<()>>,
}

impl Tills {
    /// Publishes what a session has become.
    pub fn publish(&self, till: &Till) {
        let mut open = self.open.lock();
        match till.opened().filter(|_| till.is_open()) {
            Some(opened) => {
                let at = till.opened_by().map_or(till.last_at(), |(_, at)| at);
                open.insert(till.id(), TillHead { opened: opened.clone(), at });
            }
            None => drop(open.remove(&till.id())),
        }
    }

    /// The sessions that are open, in the order of their ids.
    #[must_use]
    pub fn open(&self) -> Vec<(TillId, TillHead)> {
        self.open.lock().iter().map(|(till, head)| (*till, head.clone())).collect()
    }

    /// The session that is open at a desk.
    #[must_use]
    pub fn at(&self, museum: MuseumId, till: Code) -> Option<TillId> {
        let is_there = |head: &TillHead| (head.opened.museum, head.opened.till) == (museum, till);
        self.open.lock().iter().find(|(_, head)| is_there(head)).map(|(till, _)| *till)
    }
}

impl Tell<Till> for Tills {
    type View = Till;

    fn view(&self, state: &Till) -> Till {
        state.clone()
    }

    fn committed(&self, stream: &Lease, _: &Record<Event>, view: Till, _: u64) {
        if matches!(stream.stream, StreamId::Till(_)) {
            self.publish(&view);
        }
    }

    fn rebuilt(&self, stream: &Lease, state: &Till) {
        if matches!(stream.stream, StreamId::Till(_)) {
            self.publish(state);
        }
    }
}

/// Opens a session at a desk. A repeat of the caller's key answers with the one that was opened the first time.
///
/// # Errors
/// `till_already_open` if another session is open at the desk. `Busy` while it is not known whether the one before was opened.
pub async fn open(node: &Node, envelope: Envelope, museum: MuseumId, till: Code, float_cents: Cents) -> Result<TillId, Failure<Refusal>> {
    let opening = Kept::turn(&node.tills().opening).await.ok_or(Failure::Busy)?;
    for salt in 0..SALTS {
        let id = TillId(digest(&[b"till", &envelope.who.get().to_be_bytes(), &envelope.key.0.to_be_bytes(), &[salt]]).0 as u64);
        let asked = envelope.clone();
        match node.look_till(id, move |till| (till.opened().is_some(), till.recall(&asked))).await {
            Ok((_, Recall::Done { .. })) => return Ok(id),
            Ok((_, Recall::OtherBody)) => return Err(Failure::KeyReused),
            Ok((false, Recall::New)) | Err(Failure::Refused(Refusal::NotOpen)) => {
                if node.tills().at(museum, till).is_some() {
                    return Err(Failure::Refused(Refusal::AlreadyOpen));
                }
                return node.till_keeping(id, envelope, Command::Open { museum, till, float_cents }, opening).await.map(|_| id);
            }
            Ok((true, Recall::New)) => {}
            Err(failure) => return Err(failure),
        }
    }
    Err(Failure::Busy)
}
