//! What happens before the first command: the journal is checked, a torn tail cut, and everything that lives in memory built from it.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use futures_util::future::join;
use tornello_engine::account::Account;
use tornello_engine::aggregate::Aggregate;
use tornello_engine::attendance::Attendance;
use tornello_engine::case::{self, Case, Pass};
use tornello_engine::fraud_rules::Rules;
use tornello_engine::ids::{AccountId, CaseId, MuseumId, PaymentId, QuoteId, SlotId, TillId};
use tornello_engine::model_registry::{ModelKind, Models};
use tornello_engine::museum::Museum;
use tornello_engine::payment::{self, Payment};
use tornello_engine::planning::Planning;
use tornello_engine::quote::{self, Quote, Status};
use tornello_engine::slot::{self, Slot};
use tornello_engine::till::{self, Till};
use tornello_engine::time::{DAY_S, MICROS_PER_S, Timestamp};

use crate::accounts::Accounts;
use crate::attended::Attended;
use crate::board::{Board, SlotHead};
use crate::cases::board::{CaseHead, Cases};
use crate::cases::passes::pass_of;
use crate::defences::Defences;
use crate::journal::wire::{self, Framed, WireError};
use crate::journal::{Batch, Head, Journal, JournalError, StreamId};
use crate::limits::{DayLimits, Past};
use crate::museums::Museums;
use crate::payments::{PaymentHead, Payments};
use crate::plans::Plans;
use crate::quotes::{QuoteHead, Quotes};
use crate::streams::{Streams, corrupt};
use crate::tills::Tills;

/// How many batches are read at once, while as many are taken in; a full one has about a megabyte.
const ROUND: u32 = 64;
/// A clock that is so far ahead of the batch before may be wrong, in seconds.
pub(crate) const JUMP_S: i64 = DAY_S;

/// What a check of the journal found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The end of the chain.
    pub head: Head,
    /// How many records it holds.
    pub records: u64,
    /// The last batch, if it was torn and has been cut off.
    pub cut: Option<u64>,
    /// When the last batch was written by a clock that was more than a day ahead of the batch before it; none: there is no such batch.
    pub jumped_at: Option<Timestamp>,
}

/// Checks every batch and its place in the chain. A last batch that is damaged is torn: it is cut off if `cut` says so, and reported. `cut` names the last batch
/// that was flushed for sure, which no crash can have torn: damage up to it, as any before the last batch, is an error, and nothing is skipped. `each` sees every
/// sound batch in order; `progress` is told how far the check is.
pub async fn check(
    journal: &dyn Journal,
    cut: Option<u64>,
    mut each: impl FnMut(&Batch) -> Result<(), JournalError>,
    mut progress: impl FnMut(u64),
) -> Result<Checked, JournalError> {
    let mut checked = Checked { head: Head::EMPTY, records: 0, cut: None, jumped_at: None };
    let mut read = journal.batches(0, ROUND).await;
    loop {
        let batches = match read {
            Ok(batches) => batches,
            // One of these is damaged: go on one by one, to name it and to see whether it is the last.
            Err(JournalError::Corrupt { .. }) => match journal.batches(checked.head.number, 1).await {
                Ok(batches) => batches,
                Err(JournalError::Corrupt { batch, what }) => return torn(journal, cut, checked, batch, what).await,
                Err(error) => return Err(error),
            },
            Err(error) => return Err(error),
        };
        let Some(last) = batches.last() else { return Ok(checked) };
        let take_in = async {
            for batch in &batches {
                if let Err(error) = follows(&checked.head, batch).and_then(|()| sound(batch)) {
                    return Err((error, true));
                }
                each(batch).map_err(|error| (error, false))?;
                if checked.head.number > 0 && batch.at.micros_since(checked.head.at) > JUMP_S * MICROS_PER_S {
                    checked.jumped_at = Some(batch.at);
                }
                checked.head = Head { number: batch.number, hash: batch.hash(), at: batch.at };
                checked.records += batch.spans.iter().map(|span| span.last - span.first + 1).sum::<u64>();
            }
            Ok(())
        };
        // Asked first: another thread reads on and checks hashes while these are taken in.
        let (ahead, taken_in) = join(journal.batches(last.number, ROUND), take_in).await;
        match taken_in {
            Ok(()) => {}
            Err((JournalError::Corrupt { batch, what }, true)) => return torn(journal, cut, checked, batch, what).await,
            Err((error, _)) => return Err(error),
        }
        read = ahead;
        progress(checked.head.number);
    }
}

/// A damaged batch: the end of the journal if nothing stands behind it, else an error.
async fn torn(journal: &dyn Journal, cut: Option<u64>, mut checked: Checked, batch: u64, what: String) -> Result<Checked, JournalError> {
    let last = journal.head().await.map_or(u64::MAX, |head| head.number);
    if batch != last || batch != checked.head.number + 1 || cut.is_none_or(|flushed| batch <= flushed) {
        return Err(JournalError::Corrupt { batch, what });
    }
    journal.cut_last(batch).await?;
    tracing::warn!(batch, %what, "the last batch of the journal was torn and has been cut off; what it held is lost");
    checked.cut = Some(batch);
    Ok(checked)
}

fn follows(head: &Head, batch: &Batch) -> Result<(), JournalError> {
    if batch.number == head.number + 1 && batch.previous == head.hash {
        return Ok(());
    }
    let what = format!("it does not follow batch {}", head.number);
    Err(JournalError::Corrupt { batch: batch.number, what })
}

/// Whether every record of a batch can be read and the index names exactly what is inside.
fn sound(batch: &Batch) -> Result<(), JournalError> {
    let mut seen: HashMap<StreamId, (u64, u64)> = HashMap::new();
    let bad = |what: &str| JournalError::Corrupt { batch: batch.number, what: what.to_owned() };
    for frame in wire::frames(&batch.records) {
        let frame = frame.map_err(|error| corrupt(batch, &error))?;
        let span = seen.entry(frame.stream).or_insert((frame.seq, frame.seq.wrapping_sub(1)));
        if frame.seq == 0 || frame.seq != span.1 + 1 {
            return Err(bad("records of a stream are out of order"));
        }
        span.1 = frame.seq;
    }
    let named = batch.spans.iter().all(|span| seen.get(&span.stream) == Some(&(span.first, span.last)));
    if named && seen.len() == batch.spans.len() { Ok(()) } else { Err(bad("its index does not name what is inside")) }
}

/// Where everything in memory that follows from the journal is handed over to.
#[derive(Debug, Clone, Copy)]
pub struct Boards<'a> {
    /// Slots.
    pub slots: &'a Board,
    /// What buyers have by day.
    pub day_limits: &'a DayLimits,
    /// Museums.
    pub museums: &'a Museums,
    /// Payments that are not finished.
    pub payments: &'a Payments,
    /// Quotes that are open, or whose visit is to come.
    pub quotes: &'a Quotes,
    /// Till sessions that are open.
    pub tills: &'a Tills,
    /// Fraud cases about which something is to be done.
    pub cases: &'a Cases,
    /// The rules that are asked before any model, and the models.
    pub defences: &'a Defences,
    /// Accounts with sales of which it is not known yet whether they were made.
    pub accounts: &'a Accounts,
    /// Attendances of museums.
    pub attended: &'a Attended,
    /// Plannings of museums.
    pub plans: &'a Plans,
}

/// Everything in memory that follows from the journal.
#[derive(Debug, Default)]
pub struct Memory {
    /// What buyers have by day.
    days: Past,
    museums: HashMap<MuseumId, Museum>,
    /// Slots whose records have been seen from the first on.
    slots: HashMap<SlotId, Slot>,
    /// Slots of which only the end has been seen.
    touched: HashSet<SlotId>,
    /// Where the records of slots end, to hold saved heads against; nothing if there are no such.
    ends: HashMap<SlotId, End>,
    /// Payments that are not finished.
    payments: HashMap<PaymentId, Payment>,
    /// Payments that were finished, and were written to again.
    reopened: HashSet<PaymentId>,
    /// Quotes that are not finished.
    quotes: HashMap<QuoteId, Quote>,
    /// Quotes that were finished, and were written to again.
    revived: HashSet<QuoteId>,
    /// Quotes with tickets.
    ticketed: HashMap<QuoteId, QuoteHead>,
    /// Till sessions that are open.
    tills: HashMap<TillId, Till>,
    /// Fraud cases about which something is to be done.
    cases: HashMap<CaseId, Case>,
    /// Fraud cases that were done with, and were written to again.
    reheard: HashSet<CaseId>,
    /// Whom rules let pass because of a verdict on a case that is done with.
    passes: HashMap<CaseId, Pass>,
    rules: Rules,
    models: HashMap<ModelKind, Models>,
    /// All accounts: there are few.
    accounts: HashMap<AccountId, Account>,
    attendances: HashMap<MuseumId, Attendance>,
    plannings: HashMap<MuseumId, Planning>,
}

/// Where the records of a slot end.
#[derive(Debug, Clone, Copy, Default)]
struct End {
    /// Number of the last record in the batches up to which the saved heads are complete; 0 if there is none in these.
    complete: u64,
    /// Number of the last record of all.
    last: u64,
}

impl Memory {
    /// Of a journal that is read at that instant.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { days: Past::since(now), ..Self::default() }
    }

    /// Takes in a batch. Of slots, only records in batches after `heads_complete` count: what was before is in the saved heads.
    pub fn take_in(&mut self, batch: &Batch, heads_complete: u64) -> Result<(), JournalError> {
        if heads_complete > 0 {
            self.note_ends(batch, batch.number <= heads_complete);
        }
        self.take_records(&batch.records, batch.number > heads_complete).map_err(|error| corrupt(batch, &error))
    }

    fn take_records(&mut self, records: &[u8], are_in_no_head: bool) -> Result<(), WireError> {
        for frame in wire::frames(records) {
            let frame = frame?;
            match frame.stream {
                StreamId::Museum(id) => {
                    let record = frame.record()?;
                    self.days.hear(id, &record);
                    self.museums.entry(id).or_insert_with(|| Museum::new(id)).apply(&record);
                }
                StreamId::Slot(id) => self.take_slot(id, &frame, are_in_no_head)?,
                StreamId::Voucher(_) | StreamId::Order(_) | StreamId::Attempts(_) => {}
                StreamId::Account(id) => self.accounts.entry(id).or_insert_with(|| Account::new(id)).apply(&frame.record()?),
                StreamId::Case(id) => self.take_case(id, &frame)?,
                StreamId::Rules => self.rules.apply(&frame.record()?),
                StreamId::Models(kind) => self.models.entry(kind).or_insert_with(|| Models::new(kind)).apply(&frame.record()?),
                StreamId::Attendance(id) => self.attendances.entry(id).or_insert_with(|| Attendance::new(id)).apply(&frame.record()?),
                StreamId::Planning(id) => self.plannings.entry(id).or_insert_with(|| Planning::new(id)).apply(&frame.record()?),
                StreamId::Quote(id) => self.take_quote(id, &frame)?,
                StreamId::Till(id) => self.take_till(id, &frame)?,
                StreamId::Payment(id) => self.take_payment(id, &frame)?,
            }
        }
        Ok(())
    }

    fn note_ends(&mut self, batch: &Batch, is_complete: bool) {
        for span in &batch.spans {
            if let StreamId::Slot(id) = span.stream {
                let end = self.ends.entry(id).or_default();
                end.last = span.last;
                if is_complete {
                    end.complete = span.last;
                }
            }
        }
    }

    /// Of a slot, what buyers have, and what is in no saved head.
    fn take_slot(&mut self, id: SlotId, frame: &Framed<'_>, is_in_no_head: bool) -> Result<(), WireError> {
        let (counts, follows) = (self.days.wants(id, frame.seq), is_in_no_head && !self.touched.contains(&id));
        if !counts && !follows {
            return Ok(());
        }
        let mut record = frame.record::<slot::Event>()?;
        if counts {
            self.days.take(id, &record);
        }
        if follows {
            // Who asked, and under which key, is not in a head: a slot that is asked for is read back whole.
            record.envelope = None;
            match self.slots.get_mut(&id) {
                Some(slot) => slot.apply(&record),
                None => match Slot::replay([&record]) {
                    Some(slot) if record.seq == 1 => drop(self.slots.insert(id, slot)),
                    _ => drop(self.touched.insert(id)),
                },
            }
        }
        Ok(())
    }

    /// A payment is kept only until it is finished: there are as many in memory as somebody has still to do something about.
    fn take_payment(&mut self, id: PaymentId, frame: &Framed<'_>) -> Result<(), WireError> {
        let is_done_with = frame.seq > 1 && !self.payments.contains_key(&id) && !self.reopened.contains(&id);
        // Of every payment that pagoPA took a flow says so days later: there is nothing to do about that, and a start would read back all that were ever paid.
        if is_done_with && frame.record::<payment::Event>()?.events.iter().all(|event| matches!(event, payment::Event::Reported(_))) {
            return Ok(());
        }
        if goes_on(&mut self.reopened, id, frame.seq, &self.payments) {
            return Ok(());
        }
        let payment = self.payments.entry(id).or_insert_with(|| Payment::new(id));
        payment.apply(&frame.record::<payment::Event>()?);
        if PaymentHead::of(payment).is_finished() {
            self.payments.remove(&id);
        }
        Ok(())
    }

    /// A quote is kept only until it is finished, and of one with tickets its head, which counts until the visit is over.
    fn take_quote(&mut self, id: QuoteId, frame: &Framed<'_>) -> Result<(), WireError> {
        if goes_on(&mut self.revived, id, frame.seq, &self.quotes) {
            self.ticketed.remove(&id);
            return Ok(());
        }
        let quote = self.quotes.entry(id).or_insert_with(|| Quote::new(id));
        quote.apply(&frame.record::<quote::Event>()?);
        let head = QuoteHead::of(quote);
        if head.is_finished() {
            self.quotes.remove(&id);
            if head.status == Status::Ticketed {
                self.ticketed.insert(id, head);
            }
        }
        Ok(())
    }

    /// A case is kept only as long as something is to be done about it.
    fn take_case(&mut self, id: CaseId, frame: &Framed<'_>) -> Result<(), WireError> {
        if goes_on(&mut self.reheard, id, frame.seq, &self.cases) {
            return Ok(());
        }
        let case = self.cases.entry(id).or_insert_with(|| Case::new(id));
        case.apply(&frame.record::<case::Event>()?);
        if CaseHead::of(case).is_finished() {
            self.passes.extend(pass_of(case).map(|pass| (id, pass)));
            self.cases.remove(&id);
        }
        Ok(())
    }

    fn take_till(&mut self, id: TillId, frame: &Framed<'_>) -> Result<(), WireError> {
        let till = self.tills.entry(id).or_insert_with(|| Till::new(id));
        till.apply(&frame.record::<till::Event>()?);
        if !till.is_open() {
            self.tills.remove(&id);
        }
        Ok(())
    }

    /// Hands everything over, with the saved heads that fit the journal; streams of which only the end was seen, and slots whose heads do not fit, are read back whole.
    pub async fn restore(mut self, heads: Vec<(SlotId, SlotHead)>, streams: &Streams, boards: Boards<'_>) -> Result<(), JournalError> {
        let Boards { slots: board, day_limits, museums, payments, quotes, tills, accounts, cases, defences, attended, plans } = boards;
        self.touched.extend(put_heads(heads, std::mem::take(&mut self.ends), board));
        day_limits.restore(self.days);
        self.museums.into_values().for_each(|museum| museums.put(museum));
        self.attendances.into_values().for_each(|attendance| attended.put(attendance));
        self.plannings.into_values().for_each(|planning| plans.put(planning));
        for (id, slot) in &self.slots {
            board.restore(*id, SlotHead::of(slot));
            board.not_saved(*id);
        }
        self.payments.values().for_each(|payment| payments.put(payment));
        self.quotes.values().for_each(|quote| quotes.publish(quote.id(), QuoteHead::of(quote)));
        self.ticketed.into_iter().for_each(|(id, head)| quotes.publish(id, head));
        self.tills.values().for_each(|till| tills.publish(till));
        self.passes.into_iter().for_each(|(id, pass)| cases.passes().put(id, Some(pass)));
        for case in self.cases.values() {
            cases.publish(case.id(), CaseHead::of(case));
            cases.passes().put(case.id(), pass_of(case));
            cases.put_appellants(case.id(), case.appellants());
        }
        defences.restore(self.rules, self.models.into_values());
        for id in self.reheard {
            let case = streams.case(id).await?;
            cases.publish(id, CaseHead::of(&case));
            cases.passes().put(id, pass_of(&case));
            cases.put_appellants(id, case.appellants());
        }
        self.accounts.values().for_each(|account| accounts.publish(account));
        for id in self.reopened {
            payments.put(&streams.payment(id).await?);
        }
        for id in self.revived {
            quotes.publish(id, QuoteHead::of(&streams.quote(id).await?));
        }
        // Nobody has to wait until so much memory is given back.
        drop(tokio::task::spawn_blocking(move || drop(self.slots)));
        for id in self.touched {
            if let Some(slot) = streams.slot(id).await? {
                board.restore(id, SlotHead::of(&slot));
                board.not_saved(id);
            }
        }
        Ok(())
    }
}

/// Puts those saved heads in their places that fit the ends of their slots' records. Answers the slots that have none which does: what an older or a damaged file says of
/// them would be sold by, and a record that the journal does not have would be waited for in vain.
fn put_heads(heads: Vec<(SlotId, SlotHead)>, mut ends: HashMap<SlotId, End>, board: &Board) -> Vec<SlotId> {
    let mut without = Vec::new();
    for (slot, head) in heads {
        match ends.remove(&slot) {
            Some(end) if (end.complete..=end.last).contains(&head.seq) => board.restore(slot, head),
            Some(end) => {
                tracing::warn!(%slot, saved = head.seq, last = end.last, "the saved head of a slot does not fit the journal: the slot is read back");
                without.push(slot);
            }
            None => tracing::warn!(%slot, "a head is saved of a slot of which the journal knows nothing: it is not believed"),
        }
    }
    without.extend(ends.into_iter().filter(|(_, end)| end.complete > 0).map(|(slot, _)| slot));
    without
}

/// Whether a stream goes on that was done with, and so is followed no more: it is noted, to be read back whole when the journal is at its end.
fn goes_on<K: Copy + Eq + Hash, A>(noted: &mut HashSet<K>, id: K, seq: u64, followed: &HashMap<K, A>) -> bool {
    noted.contains(&id) || (seq > 1 && !followed.contains_key(&id) && noted.insert(id))
}
