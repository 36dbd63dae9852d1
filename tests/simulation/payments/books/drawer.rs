//! The page of one till session, as a cashier would keep it: what is in the drawer, from the float to the count.

use std::collections::BTreeMap;

use tornello_engine::envelope::Digest;
use tornello_engine::ids::{KeyId, TillId};
use tornello_engine::record::Record;
use tornello_engine::till::{Direction, Event, Opened};
use tornello_engine::time::Timestamp;

use crate::naive::DAY_S;
use crate::rule;

/// The page of one session.
pub struct Drawer {
    pub opened: Opened,
    pub is_open: bool,
    by: (KeyId, Digest),
    at: Timestamp,
    /// What is in it beside what sales brought in.
    cents: i64,
    records: u64,
}

/// Takes in a record of a session.
pub fn take(drawers: &mut BTreeMap<TillId, Drawer>, id: TillId, record: &Record<Event>) -> Result<(), String> {
    let [event] = &record.events[..] else { return Err("several things happen to a drawer at once".into()) };
    let Event::Opened(opened) = event else {
        let drawer = drawers.get_mut(&id).ok_or("a drawer is used that was not opened (TL-1)")?;
        return drawer.happen(record, event);
    };
    let by = record.envelope.as_ref().map(|envelope| (envelope.who, envelope.key)).ok_or("a drawer is opened by nobody")?;
    rule(record.seq == 1 && !drawers.contains_key(&id), "a session is opened twice (TL-1)")?;
    let is_taken = |drawer: &Drawer| drawer.is_open && (drawer.opened.museum, drawer.opened.till) == (opened.museum, opened.till);
    rule(!drawers.values().any(is_taken), "two sessions are open at one desk")?;
    let is_known = |drawer: &Drawer| drawer.by == by && record.at.micros_since(drawer.at) <= DAY_S * 1_000_000;
    rule(!drawers.values().any(is_known), "one request opens two sessions")?;
    drawers.insert(id, Drawer { opened: opened.clone(), is_open: true, by, at: record.at, cents: opened.float_cents.get(), records: 1 });
    Ok(())
}

impl Drawer {
    fn happen(&mut self, record: &Record<Event>, event: &Event) -> Result<(), String> {
        self.records += 1;
        rule(record.seq == self.records, "records of a till are not numbered without gaps")?;
        rule(self.is_open, "something happens to a drawer after its count (TL-1)")?;
        match event {
            Event::Opened(_) => Err("a session is opened twice (TL-1)".into()),
            Event::CashMoved(moved) => {
                let cents = moved.amount_cents.get();
                self.cents += if moved.direction == Direction::In { cents } else { -cents };
                Ok(())
            }
            Event::Closed(closed) => {
                self.is_open = false;
                let expected = self.cents + closed.taken_cents.get();
                let counted = (closed.expected_cents.get(), closed.difference_cents.get());
                rule(counted == (expected, closed.counted_cents.get() - expected), "a drawer is expected to hold something else (TL-2)")
            }
        }
    }
}
