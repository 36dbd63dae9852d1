//! Quotes over slots, payments and accounts: a flow whose journal is the quote, each of whose steps is a command with a key that follows from the flow. The rules
//! are in `engine::quote`; what is to be done at any moment is what `Quote::work` says, so whoever drives a quote, at once or after a crash, begins with that.
//!
//! Here is what is asked of quotes, and [`advance`], which looks what is to be done and has it done: `options.rs` takes places and gives them back, `settling.rs` sees
//! to it that what is accepted is paid, `tickets.rs` makes tickets and takes them back, `gone.rs` hears of those that were
//! cancelled beside their quote. `resuming.rs` goes on by itself with what was left, and reminds;
//! `board.rs` knows the quotes that are open or to come. While the outcome of a step is unknown it is asked again, never taken back: it might have been written.

mod board;
mod gone;
mod options;
mod resuming;
mod settling;
mod tickets;

pub use board::{QuoteHead, Quotes};
pub use gone::{cause_corrected, tickets_cancelled};
pub(crate) use resuming::keep_quoting;
#[cfg(test)]
pub(crate) use resuming::resume_due;
pub use resuming::{remind_doubtful, resume};
pub(crate) use settling::takes_money;

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::Mutex;
use tornello_engine::account;
use tornello_engine::aggregate::Aggregate;
use tornello_engine::calendar;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Digest, Envelope, Party, PartyKind};
use tornello_engine::ids::{AccountId, Code, HoldId, KeyId, MuseumId, QuoteId, SlotId};
use tornello_engine::quote::{self, About, Asked, Command, Event, Kind, Quote, Rules, Status, Work};
use tornello_engine::recall::Recall;
use tornello_engine::record::Record;
use tornello_engine::slot::{self, sale_ends_at};
use tornello_engine::time::Timestamp;

use self::options::{give_back, take_options};
use self::settling::{end_payment, follow, refused_by_gateway, settle};
use self::tickets::{issue, unwind};
use crate::availability;
use crate::digest::digest;
use crate::failure::Failure;
use crate::node::Node;
use crate::owner::Kept;
use crate::pauses::go_on;
use crate::payments;
use crate::people::RETENTION_S;

/// How many quotes may be driven at once without waiting for each other by chance, and museums have quotes priced.
const LOCKS: usize = 256;
/// How many ids are tried for a new quote, or for a sale whose option is gone.
const SALTS: u8 = 16;
/// How often a driver looks what is to be done before it leaves the rest for later.
const ROUNDS: usize = 16;

/// Who says no in a flow over several kinds of stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The quote.
    Quote(quote::Refusal),
    /// There is no such museum.
    UnknownMuseum,
    /// The slot of a part.
    Slot {
        /// Which slot.
        slot: SlotId,
        /// Why.
        why: slot::Refusal,
    },
    /// The operator's account.
    Account(account::Refusal),
    /// Whatever was to settle it, by the code of its refusal.
    Settlement {
        /// Why.
        why: Code,
    },
}

/// What a step of a quote's flow answers.
pub type Step<T> = Result<T, Failure<Refusal>>;

/// Sees to it that one caller drives a quote at a time, and that quotes of one museum are priced one after the other: the free quota of its fee is theirs in the
/// order in which they asked.
#[derive(Debug)]
pub struct Quoting {
    driving: [Mutex<()>; LOCKS],
    /// Whoever prices a quote has it until what became of that is known, also if the caller goes away before: whoever asks next would find all of the free quota.
    pricing: [Arc<Mutex<()>>; LOCKS],
}

impl Default for Quoting {
    fn default() -> Self {
        Self { driving: std::array::from_fn(|_| Mutex::default()), pricing: std::array::from_fn(|_| Arc::default()) }
    }
}

impl Quoting {
    fn of(&self, quote: QuoteId) -> &Mutex<()> {
        &self.driving[quote.get() as usize % LOCKS]
    }

    /// The turn of one who prices a quote of a museum, to be kept until that has come to its end; `Busy` if it is not to be had in time.
    async fn pricing(&self, museum: MuseumId) -> Step<Kept> {
        Kept::turn(&self.pricing[usize::from(museum.0) % LOCKS]).await.ok_or(Failure::Busy)
    }
}

/// Writes a quote down. `asked` has the prices of the tariff; those that were agreed with its account take their place. A repeat of the caller's key answers the
/// quote that was drafted the first time.
///
/// # Errors
/// What the quote, the plan or the account says to it.
pub async fn draft(node: &Node, envelope: Envelope, about: About, asked: Asked) -> Step<QuoteId> {
    let pricing = node.quoting().pricing(about.museum).await?;
    let (id, is_new) = free_id(node, &envelope).await?;
    if is_new {
        let (asked, rules) = looked_up(node, id, &about, asked).await?;
        let command = Command::Draft { about, asked, rules: Box::new(rules) };
        node.quote_keeping(id, envelope, command, pricing).await.map_err(of_quote)?;
    }
    Ok(id)
}

/// The id of the quote that this key drafts, and whether it is yet to be written. Taken ids are passed over.
///
/// # Errors
/// `KeyReused` if the key has drafted another quote; `Busy` if too many ids are taken.
pub async fn free_id(node: &Node, envelope: &Envelope) -> Step<(QuoteId, bool)> {
    for salt in 0..SALTS {
        let id = QuoteId(digest(&[b"quote", &envelope.who.get().to_be_bytes(), &envelope.key.0.to_be_bytes(), &[salt]]).0 as u64);
        let key = envelope.clone();
        match node.look_quote(id, move |quote| (quote.seq(), quote.recall(&key))).await {
            Ok((0, _)) | Err(Failure::Refused(quote::Refusal::UnknownQuote)) => return Ok((id, true)),
            Ok((_, Recall::Done { .. })) => return Ok((id, false)),
            Ok((_, Recall::OtherBody)) => return Err(Failure::KeyReused),
            Ok((_, Recall::New)) => {}
            Err(failure) => return Err(of_quote(failure)),
        }
    }
    Err(Failure::Busy)
}

/// Prices a quote anew. Of one that was sent the options of the new revision are taken first; if one is refused, the old revision stands.
///
/// # Errors
/// What the quote says to it, or the slot that has not the places.
pub async fn revise(node: &Node, id: QuoteId, envelope: Envelope, owner: Option<Code>, asked: Asked) -> Step<()> {
    let about = node.look_quote(id, |quote| quote.about().cloned()).await.map_err(of_quote)?;
    let Some(about) = about else { return Err(Failure::Refused(Refusal::Quote(quote::Refusal::UnknownQuote))) };
    let record = {
        let pricing = node.quoting().pricing(about.museum).await?;
        let (asked, rules) = looked_up(node, id, &about, asked).await?;
        let (holds, slots) = (new_options(id, &envelope, &asked.slots), asked.slots.clone());
        let command = Command::Revise { owner, asked, rules: Box::new(rules), holds };
        // Of what was sent the old visit stands until the options of the new one are taken.
        if about.contact.is_some() && changes_draft(node, id, &envelope, &command).await? {
            keep_contact(node, &about, &slots).await?;
        }
        node.quote_keeping(id, envelope, command, pricing).await.map_err(of_quote)?
    };
    optioned(node, id, &record).await
}

/// Whether a quote would be revised in place by a command that it has not heard under this key: what it says no to must not keep its contact longer.
async fn changes_draft(node: &Node, id: QuoteId, envelope: &Envelope, command: &Command) -> Step<bool> {
    let (envelope, command, now) = (envelope.clone(), command.clone(), node.now());
    let look = move |quote: &Quote| quote.status() == Status::Draft && quote.recall(&envelope) == Recall::New && quote.decide(now, &command).is_ok();
    node.look_quote(id, look).await.map_err(of_quote)
}

/// Until when the contact of a group is kept that comes by some slots.
#[must_use]
pub fn contact_until(node: &Node, slots: &[SlotId]) -> Timestamp {
    let until = |slot: &SlotId| node.kept_until(*slot).unwrap_or_else(|| slot.start().plus_seconds(RETENTION_S));
    slots.iter().map(until).max().unwrap_or_else(|| node.now().plus_seconds(RETENTION_S))
}

/// Sees to it that whoever is written to about a group is known as long after a visit by these slots as after the one before. To be asked before the visit is written down.
async fn keep_contact(node: &Node, about: &About, slots: &[SlotId]) -> Step<()> {
    let Some((files, person)) = node.files().zip(about.contact) else { return Ok(()) };
    let kept = files.people.keep_until(person, contact_until(node, slots)).await;
    kept.map_err(|error| Failure::Journal(error.to_string()))
}

/// Whether a revision was asked for under this key before: then it is answered as it was, whatever slots and prices have become.
///
/// # Errors
/// What the first answer said no to; `KeyReused` if the key was used for something else.
pub async fn revised_before(node: &Node, id: QuoteId, envelope: &Envelope) -> Step<bool> {
    let key = envelope.clone();
    match node.look_quote(id, move |quote| quote.recall(&key)).await.map_err(of_quote)? {
        Recall::New => return Ok(false),
        Recall::OtherBody => return Err(Failure::KeyReused),
        Recall::Done { .. } => {}
    }
    // The command does not count: a key that is known is answered with what was written under it, and this one would do nothing.
    let record = node.quote(id, envelope.clone(), Command::NoteOptionsReleased { attempt: 0 }).await.map_err(of_quote)?;
    optioned(node, id, &record).await?;
    Ok(true)
}

/// Sends a draft: takes its options, all or none.
///
/// # Errors
/// What the quote says to it, or the slot that has not the places: then it is a draft as before.
pub async fn send(node: &Node, id: QuoteId, envelope: Envelope, owner: Option<Code>) -> Step<()> {
    let known = node.look_quote(id, |quote| quote.about().cloned().zip(quote.offer().cloned())).await.map_err(of_quote)?;
    let Some((about, offer)) = known else { return Err(Failure::Refused(Refusal::Quote(quote::Refusal::UnknownQuote))) };
    let slots: Vec<SlotId> = offer.parts.iter().map(|part| part.slot).collect();
    let rules = rules(node, id, &about, &slots)?;
    let holds = new_options(id, &envelope, &slots);
    let record = node.quote(id, envelope, Command::Send { owner, rules: Box::new(rules), holds }).await.map_err(of_quote)?;
    optioned(node, id, &record).await
}

/// Accepts what was sent, and settles it or begins to. A repeat hears what became of that acceptance, whatever has become of a later one.
///
/// # Errors
/// What the quote says to it, or whatever was to settle it: then it is as it was sent.
pub async fn accept(node: &Node, id: QuoteId, envelope: Envelope, command: Command) -> Step<()> {
    debug_assert!(matches!(command, Command::Accept { .. } | Command::Confirm));
    let record = node.quote(id, envelope, command).await.map_err(of_quote)?;
    advance_asked(node, id).await?;
    let refused_in = |quote: &Quote| (quote.status() == Status::Sent).then(|| (quote.settlement_refused(), quote.payment()));
    let (last, mut refused) = node.look_quote(id, move |quote| (acceptance(quote), refused_in(quote))).await.map_err(of_quote)?;
    if record.events.iter().any(|event| matches!(event, Event::Accepted(accepted) if u64::from(accepted.acceptance) != last)) {
        refused = refused_in(&node.quote_after(id, record.seq).await.map_err(of_quote)?);
    }
    let why = match refused {
        Some((Some(why), _)) => Some(why),
        // It was begun, and its gateway would not have it.
        Some((None, Some(payment))) => refused_by_gateway(node, payment).await?,
        Some((None, None)) | None => None,
    };
    why.map_or(Ok(()), |why| Err(Failure::Refused(Refusal::Settlement { why })))
}

/// Gives any other command to a quote, and does what follows from it.
///
/// # Errors
/// What the quote says to it. What follows goes on by itself if it cannot be done now.
pub async fn ask(node: &Node, id: QuoteId, envelope: Envelope, command: Command) -> Step<()> {
    node.quote(id, envelope, command).await.map_err(of_quote)?;
    if let Err(failure) = advance(node, id).await {
        tracing::warn!(quote = %id, ?failure, "what follows for a quote will be done later");
    }
    Ok(())
}

/// What is asked, at the prices that were agreed, with what the museum says of it.
async fn looked_up(node: &Node, id: QuoteId, about: &About, mut asked: Asked) -> Step<(Asked, Rules)> {
    let rules = rules(node, id, about, &asked.slots)?;
    if let (Some(code), Some(first)) = (about.account, asked.slots.first()) {
        let (museum, day, members) = (about.museum, calendar::local_day(first.start()), asked.members);
        let priced = move |account: &account::Account| account.priced(museum, day, &members);
        asked.members = node.look_account(code, priced).await.map_err(|failure| failure.map(Refusal::Account))?;
    }
    Ok((asked, rules))
}

/// What the museum says of groups that go to these slots.
fn rules(node: &Node, id: QuoteId, about: &About, slots: &[SlotId]) -> Step<Rules> {
    let known = node.museums().get(about.museum).ok_or(Failure::Refused(Refusal::UnknownMuseum))?;
    let museum = &known.museum;
    let first = slots.first().ok_or(Failure::Refused(Refusal::Quote(quote::Refusal::BadSlots)))?;
    let (mut closes_at, mut party_max) = (Timestamp::MAX, u16::MAX);
    for &slot in slots {
        let unknown = || Failure::Refused(Refusal::Slot { slot, why: slot::Refusal::UnknownSlot });
        // One that was opened is as it was then, whatever is planned by now.
        let seen = availability::of_slot(&known, node.board(), slot, Channel::Group, node.now()).ok_or_else(unknown)?;
        party_max = party_max.min(seen.policy.party_max);
        closes_at = closes_at.min(sale_ends_at(slot, seen.end, &seen.policy, Channel::Group));
    }
    let day = calendar::local_day(first.start());
    let (revision, policy) = museum.group_policy_on(day);
    let taken = node.quotes().free_of_fee(about.museum, day, about.kind == Kind::School, id);
    let fee_free_left = policy.terms(about.kind).fee.free_a_day.saturating_sub(taken);
    let patron = museum.profile().and_then(|profile| profile.patron);
    Ok(Rules { policy, revision, patron, fee_free_left, party_max, closes_at })
}

/// An id for the option of each part, which follows from the caller's key.
fn new_options(id: QuoteId, envelope: &Envelope, slots: &[SlotId]) -> Vec<HoldId> {
    let (who, key) = (envelope.who.get().to_be_bytes(), envelope.key.0.to_be_bytes());
    let random = |part: usize| digest(&[b"option", &id.get().to_be_bytes(), &who, &key, &part.to_be_bytes()]).0 as u64;
    slots.iter().enumerate().map(|(part, slot)| HoldId::new(*slot, random(part))).collect()
}

/// Takes the options that a record asks for, if it does; answers whether they were to be had.
async fn optioned(node: &Node, id: QuoteId, record: &Record<Event>) -> Step<()> {
    let asked = record.events.iter().find_map(|event| if let Event::OptionsAsked(asked) = event { Some(asked) } else { None });
    let Some(asked) = asked else { return Ok(()) };
    advance_asked(node, id).await?;
    let (last, mut refused) = node.look_quote(id, |quote| (quote.attempts(), quote.options_refused().cloned())).await.map_err(of_quote)?;
    // After another attempt a quote says no more of this one: its records do.
    if last != asked.attempt {
        refused = node.quote_after(id, record.seq).await.map_err(of_quote)?.options_refused().cloned();
    }
    match refused.filter(|refused| refused.attempt == asked.attempt) {
        Some(refused) => {
            let slot = asked.offer.parts.get(usize::from(refused.part)).map_or(SlotId::from_raw(0), |part| part.slot);
            Err(Failure::Refused(Refusal::Slot { slot, why: refused.why }))
        }
        None => Ok(()),
    }
}

/// From here on something was written, whatever fails: only the end of the flow is an answer.
fn under_way(id: QuoteId, failure: &Failure<Refusal>) -> Failure<Refusal> {
    tracing::warn!(quote = %id, ?failure, "what follows for a quote is under way and will be resumed");
    Failure::OutcomeUnknown
}

/// Drives a quote as far as it goes by itself, from wherever it stands.
///
/// # Errors
/// Whatever keeps a step from being taken or its outcome from being known. Nothing is lost: the quote stands where it stood, or some steps further.
pub async fn advance(node: &Node, id: QuoteId) -> Step<()> {
    drive(node, id).await?
}

/// Drives a quote for whoever waits for what becomes of it. Places that cannot be given back now change nothing of that: they are given back later.
async fn advance_asked(node: &Node, id: QuoteId) -> Step<()> {
    match drive(node, id).await {
        Ok(given_back) => {
            if let Err(failure) = given_back {
                tracing::warn!(quote = %id, ?failure, "places of a quote will be given back later");
            }
            Ok(())
        }
        Err(failure) => Err(under_way(id, &failure)),
    }
}

/// As [`advance`]; answers apart whether all places were given back that are to be: those of a slot that does not answer keep nothing else.
async fn drive(node: &Node, id: QuoteId) -> Step<Step<()>> {
    let _driving = node.quoting().of(id).lock().await;
    let (mut put_off, mut given_back) = (BTreeSet::new(), Ok(()));
    for _ in 0..ROUNDS {
        let quote = match node.look_quote(id, Quote::clone).await {
            Ok(quote) => quote,
            Err(Failure::Refused(_)) => return Ok(given_back),
            Err(failure) => return Err(of_quote(failure)),
        };
        match (quote.work_beside(&put_off), quote.awaits()) {
            (Some(Work::EndPayment(payment)), _) => end_payment(node, &quote, payment).await?,
            (Some(Work::Settle), _) => settle(node, &quote).await?,
            (Some(Work::IssueTickets), _) => issue(node, &quote).await?,
            (Some(Work::Unwind), _) => unwind(node, &quote).await?,
            (Some(Work::TakeOptions(attempt)), _) if quote.waits_for(attempt, &put_off) => return given_back.map(Ok),
            (Some(Work::TakeOptions(attempt)), _) => take_options(node, &quote, attempt).await?,
            (Some(Work::GiveBack(attempt)), _) => {
                let ended = give_back(node, &quote, attempt).await;
                if ended.is_err() {
                    put_off.insert(attempt);
                }
                given_back = go_on(node, given_back, ended)?;
            }
            (None, Some(payment)) if follow(node, id, payment).await? => {}
            (None, _) => return Ok(given_back),
        }
    }
    Err(Failure::Busy)
}

/// Writes a fact in a quote. One that it refuses came too late: what is to be done then is looked up anew.
async fn note(node: &Node, id: QuoteId, key: Envelope, command: Command) -> Step<()> {
    match node.quote(id, key, command).await {
        Ok(_) | Err(Failure::Refused(_)) => Ok(()),
        Err(failure) => Err(of_quote(failure)),
    }
}

fn acceptance(quote: &Quote) -> u64 {
    if let account::ChargeOf::Quote { acceptance, .. } = quote.charge() { u64::from(acceptance) } else { 0 }
}

fn drafter(quote: &Quote) -> KeyId {
    quote.drafted().map_or(KeyId::SYSTEM, |(who, _)| who)
}

/// The envelope of a step with an option: it is the system's, so that nobody gives it back or pays for it but by the quote.
fn for_system(id: QuoteId, name: &str, hold: HoldId) -> Envelope {
    Envelope::by_system(digest(&[b"quote step", &id.get().to_be_bytes(), name.as_bytes(), &hold.get().to_be_bytes()]))
}

/// The envelope of a sale in a slot: tickets are of whoever drafted the quote, and of the account that it is for.
fn as_drafter(quote: &Quote, name: &str, number: u128) -> Envelope {
    let key = digest(&[b"quote step", &quote.id().get().to_be_bytes(), name.as_bytes(), &number.to_be_bytes()]);
    Envelope { who: drafter(quote), parties: group_of(quote), ..Envelope::by_system(key) }
}

/// The account that a quote is for, if it is for one, as a party of what is kept and sold for it, so that it is known of an operator what it keeps and does not buy. It goes
/// by the number of its stream, which stays the same from month to month: an operator is no person, and its code stands in the journal.
fn group_of(quote: &Quote) -> Vec<Party> {
    let account = quote.about().and_then(|about| about.account).map(Node::account_id);
    account.map(|AccountId(id)| Party { kind: PartyKind::Group, pseudonym: Digest(u128::from(id)) }).into_iter().collect()
}

/// Who takes part in what is paid for a quote beside whoever pays.
///
/// # Errors
/// If the quote is unknown or does not answer.
pub(crate) async fn parties_of(node: &Node, id: QuoteId) -> Result<Vec<Party>, Failure<quote::Refusal>> {
    node.look_quote(id, group_of).await
}

/// The envelope of a step: its key follows from the flow, so that a step is taken once however often it is asked.
fn step(id: QuoteId, name: &str, number: u64) -> Envelope {
    Envelope::by_system(digest(&[b"quote step", &id.get().to_be_bytes(), name.as_bytes(), &number.to_be_bytes()]))
}

fn of_quote(failure: Failure<quote::Refusal>) -> Failure<Refusal> {
    failure.map(Refusal::Quote)
}

fn of_slot(slot: SlotId, failure: Failure<slot::Refusal>) -> Failure<Refusal> {
    failure.map(|why| Refusal::Slot { slot, why })
}

/// A refusal is an answer everywhere in this flow; what is left says that the world failed.
fn of_payments(failure: Failure<payments::Refusal>) -> Failure<Refusal> {
    failure.map(|_| Refusal::Quote(quote::Refusal::NotExpected))
}
