//! Quotes over slots, payments and accounts: a flow whose journal is the quote, each of whose steps is a command with a key that follows from the flow. The rules
//! are in `engine::quote`; what is to be done at any moment is what `Quote::work` says, so whoever drives a quote, at once or after a crash, begins with that.
//!
//! Options are taken in every slot, all or none: one that is refused has the others given back. What is accepted is settled: a payment is begun, the account is
//! charged, or nothing is due; who says no leaves the quote as it was sent. A payment asks the quote whether its money is welcome before it sells the places; what is
//! paid without one
//! is made tickets here. While the outcome of a step is unknown it is asked again, never taken back: it might have been written.
//!
//! Reminders are events of the quote's stream, of which the one of a doubtful quote is asked for earlier than its policy says. Whoever writes to people follows the journal;
//! nothing is sent from here.

mod board;
mod gone;

pub use board::{QuoteHead, Quotes};
pub use gone::tickets_cancelled;

use futures_util::StreamExt;
use tokio::sync::Mutex;
use tornello_engine::account::{self, TakeBackReason};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::calendar;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Digest, Envelope};
use tornello_engine::ids::{Code, HoldId, KeyId, MuseumId, PaymentId, QuoteId, SlotId};
use tornello_engine::money::Cents;
use tornello_engine::payment::{self, ItemEnd, Payment, Stage as Paying};
use tornello_engine::quote::{self, About, Asked, Command, Event, Kind, Offer, Part, Quote, Rules, Settle, Stage, Status, Work};
use tornello_engine::recall::Recall;
use tornello_engine::record::Record;
use tornello_engine::slot::{self, Keeper, Line, Settlement, Slot, people, sale_ends_at, total};
use tornello_engine::time::Timestamp;

use self::gone::Followed;
use crate::accounts;
use crate::digest::digest;
use crate::failure::Failure;
use crate::forecaster::Basis;
use crate::node::Node;
use crate::pauses::{Pauses, RESUME_EVERY_S};
use crate::payments;
use crate::views::quotes::deadline as deadline_name;

/// How many quotes may be driven at once without waiting for each other by chance, and museums have quotes priced.
const LOCKS: usize = 256;
/// How many ids are tried for a new quote, or for a sale whose option is gone.
const SALTS: u8 = 16;
/// How often a driver looks what is to be done before it leaves the rest for later.
const ROUNDS: usize = 16;
/// How much of a museum's name a payer reads, in characters.
const NAME_MAX: usize = 100;
/// How many quotes are resumed at once.
const RESUMED: usize = 16;

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
    pricing: [Mutex<()>; LOCKS],
}

impl Default for Quoting {
    fn default() -> Self {
        Self { driving: std::array::from_fn(|_| Mutex::default()), pricing: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl Quoting {
    fn of(&self, quote: QuoteId) -> &Mutex<()> {
        &self.driving[quote.get() as usize % LOCKS]
    }

    fn pricing(&self, museum: MuseumId) -> &Mutex<()> {
        &self.pricing[usize::from(museum.0) % LOCKS]
    }
}

/// Writes a quote down. `asked` has the prices of the tariff; those that were agreed with its account take their place. A repeat of the caller's key answers the
/// quote that was drafted the first time.
///
/// # Errors
/// What the quote, the plan or the account says to it.
pub async fn draft(node: &Node, envelope: Envelope, about: About, asked: Asked) -> Step<QuoteId> {
    let _pricing = node.quoting().pricing(about.museum).lock().await;
    let (id, is_new) = free_id(node, &envelope).await?;
    if is_new {
        let (asked, rules) = looked_up(node, id, &about, asked).await?;
        let command = Command::Draft { about, asked, rules: Box::new(rules) };
        node.quote(id, envelope, command).await.map_err(of_quote)?;
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
        let _pricing = node.quoting().pricing(about.museum).lock().await;
        let (asked, rules) = looked_up(node, id, &about, asked).await?;
        let holds = new_options(id, &envelope, &asked.slots);
        let command = Command::Revise { owner, asked, rules: Box::new(rules), holds };
        node.quote(id, envelope, command).await.map_err(of_quote)?
    };
    optioned(node, id, &record).await
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

/// Accepts what was sent, and settles it or begins to.
///
/// # Errors
/// What the quote says to it, or whatever was to settle it: then it is as it was sent.
pub async fn accept(node: &Node, id: QuoteId, envelope: Envelope, command: Command) -> Step<()> {
    debug_assert!(matches!(command, Command::Accept { .. } | Command::Confirm));
    node.quote(id, envelope, command).await.map_err(of_quote)?;
    advance(node, id).await.map_err(|failure| under_way(id, &failure))?;
    let refused = |quote: &Quote| quote.settlement_refused().filter(|_| quote.status() == Status::Sent);
    match node.look_quote(id, refused).await.map_err(of_quote)? {
        Some(why) => Err(Failure::Refused(Refusal::Settlement { why })),
        None => Ok(()),
    }
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
        let opening = museum.opening(slot).ok_or_else(unknown)?;
        party_max = party_max.min(opening.policy.party_max);
        closes_at = closes_at.min(sale_ends_at(slot, opening.end, &opening.policy, Channel::Group));
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
    advance(node, id).await.map_err(|failure| under_way(id, &failure))?;
    let refused = |quote: &Quote| quote.options_refused().cloned();
    match node.look_quote(id, refused).await.map_err(of_quote)?.filter(|refused| refused.attempt == asked.attempt) {
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
    let _driving = node.quoting().of(id).lock().await;
    for _ in 0..ROUNDS {
        let quote = match node.look_quote(id, Quote::clone).await {
            Ok(quote) => quote,
            Err(Failure::Refused(_)) => return Ok(()),
            Err(failure) => return Err(of_quote(failure)),
        };
        match (quote.work(), quote.awaits()) {
            (Some(Work::EndPayment(payment)), _) => end_payment(node, &quote, payment).await?,
            (Some(Work::Settle), _) => settle(node, &quote).await?,
            (Some(Work::IssueTickets), _) => issue(node, &quote).await?,
            (Some(Work::Unwind), _) => unwind(node, &quote).await?,
            (Some(Work::TakeOptions(attempt)), _) => take_options(node, &quote, attempt).await?,
            (Some(Work::GiveBack(attempt)), _) => give_back(node, &quote, attempt).await?,
            (None, Some(payment)) if follow(node, id, payment).await? => {}
            (None, _) => return Ok(()),
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

/// Keeps an option of a part that stays in its slot, as long as the new revision wants it, and lets it grow. One that is to shrink does so only when the revision
/// is in force: until then there is a way back.
async fn keep(node: &Node, id: QuoteId, attempt: u32, hold: HoldId, grown: Option<Vec<Line>>, until: Timestamp) -> Step<Result<(), slot::Refusal>> {
    let grow = grown.map(|lines| ("grow", slot::Command::Amend { hold, lines, owner: Some(KeyId::SYSTEM) }));
    let prolong = ("prolong", slot::Command::Prolong { hold, until, cause: Keeper::Quote(id) });
    for (name, command) in grow.into_iter().chain([prolong]) {
        match node.slot(hold.slot(), for_system(id, &format!("{name} {attempt}"), hold), command).await {
            Ok(_) => {}
            Err(Failure::Refused(why)) => return Ok(Err(why)),
            Err(failure) => return Err(of_slot(hold.slot(), failure)),
        }
    }
    Ok(Ok(()))
}

/// Takes the option of each part. The first that is refused is noted, and with it that none is to be kept.
async fn take_options(node: &Node, quote: &Quote, attempt: u32) -> Step<()> {
    let Some(options) = quote.options().get(&attempt) else { return Ok(()) };
    let (id, asked) = (quote.id(), &options.asked);
    for (number, (part, &hold)) in (0_u16..).zip(asked.offer.parts.iter().zip(&asked.holds)) {
        let (lines, until, cause) = (part.lines.clone(), asked.until, Keeper::Quote(id));
        if let Some(kept) = quote.stays_for(hold) {
            let grows = people(kept) <= people(&lines);
            match keep(node, id, attempt, hold, grows.then_some(lines), until).await? {
                Ok(()) => continue,
                Err(why) => {
                    let key = step(id, "options refused", u64::from(attempt));
                    return note(node, id, key, Command::NoteOptionsRefused { attempt, part: number, why }).await;
                }
            }
        }
        let command = slot::Command::HoldFor { hold, channel: Channel::Group, lines, until, cause };
        let why = match node.slot(part.slot, for_system(id, "option", hold), command).await {
            Ok(_) => continue,
            // The key of this step is forgotten after a day: the hold itself says then whether it was taken.
            Err(Failure::Refused(slot::Refusal::IdTaken)) if is_held(node, part, hold).await? => continue,
            Err(Failure::Refused(why)) => why,
            Err(Failure::UnknownSlot(_)) => slot::Refusal::UnknownSlot,
            Err(failure) => return Err(of_slot(part.slot, failure)),
        };
        let key = step(id, "options refused", u64::from(attempt));
        return note(node, id, key, Command::NoteOptionsRefused { attempt, part: number, why }).await;
    }
    note(node, id, step(id, "optioned", u64::from(attempt)), Command::NoteOptioned { attempt }).await
}

async fn is_held(node: &Node, part: &Part, hold: HoldId) -> Step<bool> {
    let lines = part.lines.clone();
    let is_it = move |slot: &Slot| slot.hold_of(hold).is_some_and(|found| found.who == KeyId::SYSTEM && found.lines == lines);
    node.look(part.slot, is_it).await.map_err(|failure| of_slot(part.slot, failure))
}

/// Gives the options of an attempt back. Those that are gone, or were never taken, need not be; one that is in force is made what it is in force for.
async fn give_back(node: &Node, quote: &Quote, attempt: u32) -> Step<()> {
    let holds = quote.options().get(&attempt).map(|options| options.asked.holds.clone()).unwrap_or_default();
    for hold in holds {
        let Some(lines) = quote.stays_for(hold).map(<[Line]>::to_vec) else {
            release(node, quote.id(), hold).await?;
            continue;
        };
        let command = slot::Command::Amend { hold, lines, owner: Some(KeyId::SYSTEM) };
        match node.slot(hold.slot(), for_system(quote.id(), &format!("fit {attempt}"), hold), command).await {
            Ok(_) | Err(Failure::Refused(_) | Failure::UnknownSlot(_)) => {}
            Err(failure) => return Err(of_slot(hold.slot(), failure)),
        }
    }
    note(node, quote.id(), step(quote.id(), "released", u64::from(attempt)), Command::NoteOptionsReleased { attempt }).await
}

async fn release(node: &Node, id: QuoteId, hold: HoldId) -> Step<()> {
    match node.slot(hold.slot(), for_system(id, "release", hold), slot::Command::Release { hold, owner: Some(KeyId::SYSTEM) }).await {
        Ok(_) | Err(Failure::Refused(_) | Failure::UnknownSlot(_)) => Ok(()),
        Err(failure) => Err(of_slot(hold.slot(), failure)),
    }
}

/// Settles what was accepted, or begins to.
async fn settle(node: &Node, quote: &Quote) -> Step<()> {
    let (Stage::Accepted { settle, creditor, .. }, Some(about), Some(offer)) = (quote.stage(), quote.about(), quote.offer()) else { return Ok(()) };
    let refused = if let Err(why) = fit(node, quote, offer).await? {
        Err(why)
    } else if offer.total_cents.is_zero() {
        Ok(None)
    } else if *settle == Settle::OnAccount {
        charge(node, quote, about, offer).await?.map(|()| None)
    } else {
        begin_payment(node, quote, about, offer, (*settle, *creditor)).await?.map(Some)
    };
    let (name, command) = match refused {
        Ok(None) => ("paid", Command::MarkPaid { payment: None }),
        Ok(Some(payment)) => ("attach", Command::AttachPayment { payment }),
        Err(why) => ("unsettled", Command::NoteSettlementRefused { why }),
    };
    note(node, quote.id(), step(quote.id(), name, acceptance(quote)), command).await
}

/// Sees to it that every option is of what is accepted. One that shrank late, or not at all because its slot was closed then, is made so now.
async fn fit(node: &Node, quote: &Quote, offer: &Offer) -> Step<Result<(), Code>> {
    let holds = quote.options_in_force().map(|asked| asked.holds.clone()).unwrap_or_default();
    for (part, hold) in offer.parts.iter().zip(holds) {
        let lines = part.lines.clone();
        let is_other = move |slot: &Slot| slot.hold_of(hold).is_some_and(|found| found.lines != lines);
        if !node.look(part.slot, is_other).await.map_err(|failure| of_slot(part.slot, failure))? {
            continue;
        }
        let command = slot::Command::Amend { hold, lines: part.lines.clone(), owner: Some(KeyId::SYSTEM) };
        match node.slot(part.slot, for_system(quote.id(), &format!("fit accepted {}", acceptance(quote)), hold), command).await {
            Ok(_) => {}
            Err(Failure::Refused(why)) => return coded(why.code()),
            Err(failure) => return Err(of_slot(part.slot, failure)),
        }
    }
    Ok(Ok(()))
}

/// Charges the account, once for each acceptance.
async fn charge(node: &Node, quote: &Quote, about: &About, offer: &Offer) -> Step<Result<(), Code>> {
    let Some(account) = about.account else { return coded(account::Refusal::UnknownAccount.code()) };
    let (extras_cents, museum) = (offer.beside_tickets(), about.museum);
    let command = account::Command::Charge { of: quote.charge(), amount_cents: offer.total_cents, extras_cents, museum };
    match node.account(account, step(quote.id(), "charge", acceptance(quote)), command).await {
        Ok(_) | Err(Failure::Refused(account::Refusal::AlreadyCharged)) => Ok(Ok(())),
        Err(Failure::Refused(why)) => coded(why.code()),
        Err(failure) => Err(failure.map(Refusal::Account)),
    }
}

async fn begin_payment(node: &Node, quote: &Quote, about: &About, offer: &Offer, (settle, creditor): (Settle, u16)) -> Step<Result<PaymentId, Code>> {
    let (Some(options), Some(conditions)) = (quote.options_in_force(), quote.conditions()) else { return coded("not_expected") };
    let gateway = match settle {
        Settle::Checkout => payment::Gateway::Checkout,
        Settle::Desk => payment::Gateway::Desk,
        Settle::Notice | Settle::OnAccount => payment::Gateway::Notice,
    };
    let extra = |extra: &quote::Extra| payment::Extra { code: extra.code, count: extra.count as u16, price_cents: extra.price_cents };
    let known = node.museums().get(about.museum);
    let name: String = known.iter().filter_map(|known| known.museum.profile()).flat_map(|profile| profile.name.chars()).take(NAME_MAX).collect();
    let request = payments::Request {
        creditor,
        order: None,
        quote: Some(quote.id()),
        holds: options.holds.clone(),
        owner: Some(KeyId::SYSTEM),
        channel: Channel::Group,
        extras: offer.fee.iter().chain(&offer.extras).filter(|extra| extra.count > 0).map(extra).collect(),
        payer: about.contact,
        museum: about.museum,
        subject: format!("{name} {}", quote.id()),
        gateway,
        due_at: if settle == Settle::Desk { conditions.desk_by.unwrap_or(conditions.pay_by) } else { conditions.pay_by },
    };
    let key = Envelope { who: drafter(quote), ..step(quote.id(), "payment", acceptance(quote)) };
    match payments::begin(node, key, request).await {
        Ok(payment) => Ok(Ok(payment)),
        Err(Failure::Refused(why)) => coded(match why {
            payments::Refusal::Payment(why) => why.code(),
            payments::Refusal::Slot { why, .. } => why.code(),
            payments::Refusal::Order(why) => why.code(),
            payments::Refusal::Voucher(why) => why.code(),
        }),
        Err(failure) => Err(of_payments(failure)),
    }
}

/// The code of what said no, as the journal keeps it.
fn coded<T>(why: &str) -> Step<Result<T, Code>> {
    why.parse().map(Err).map_err(|_| Failure::OutOfOrder(format!("{why} is not a code")))
}

/// Withdraws a payment, or finds that it is paid.
async fn end_payment(node: &Node, quote: &Quote, payment: PaymentId) -> Step<()> {
    let Ok(cause) = "quote".parse() else { return Ok(()) };
    match payments::cancel(node, payment, step(quote.id(), "end payment", payment.get()), None, cause).await {
        Ok(()) | Err(Failure::Refused(_)) => follow(node, quote.id(), payment).await.map(drop),
        Err(failure) => Err(of_payments(failure)),
    }
}

/// Whether money of a payment pays a quote, which is asked for good here: from then on it is paid by that payment and by no other. If not, the money goes back.
///
/// # Errors
/// `Busy` while something is on the way for the quote that must end first.
pub(crate) async fn takes_money(node: &Node, id: QuoteId, payment: PaymentId) -> Result<bool, Failure<quote::Refusal>> {
    use quote::Refusal::{OptionsUnderWay, SettlementUnderWay};
    let paid_by = move |quote: &Quote| quote.paid().is_some_and(|paid| paid.payment == Some(payment));
    match node.look_quote(id, paid_by).await {
        Ok(true) => return Ok(true),
        Ok(false) => {}
        Err(Failure::Refused(_)) => return Ok(false),
        Err(failure) => return Err(failure),
    }
    match node.quote(id, step(id, "paid by", payment.get()), Command::MarkPaid { payment: Some(payment) }).await {
        Ok(_) => Ok(true),
        Err(Failure::Refused(OptionsUnderWay | SettlementUnderWay)) => Err(Failure::Busy),
        Err(Failure::Refused(_)) => node.look_quote(id, paid_by).await,
        Err(failure) => Err(failure),
    }
}

/// Tells a quote what has become of a payment; answers whether that was anything new.
async fn follow(node: &Node, id: QuoteId, payment: PaymentId) -> Step<bool> {
    let known = node.look_payment(payment, |payment: &Payment| (payment.stage(), payment.items().to_vec(), payment.seq())).await;
    let (stage, items) = match known {
        Ok((stage, items, _)) => (stage, items),
        Err(Failure::Refused(_)) => return Ok(false),
        Err(failure) => return Err(of_payments(failure.map(payments::Refusal::Payment))),
    };
    match stage {
        Paying::Blank | Paying::Created | Paying::Pending => return Ok(false),
        Paying::Failed { .. } | Paying::Expired { .. } | Paying::Cancelled { .. } => {
            return detach(node, id, payment).await;
        }
        Paying::Paid { .. } => {
            match takes_money(node, id, payment).await {
                Ok(true) => {}
                Ok(false) => return detach(node, id, payment).await,
                Err(Failure::Busy) => return Ok(false),
                Err(failure) => return Err(of_quote(failure)),
            }
            let is_paid = |quote: &Quote| quote.status() == Status::Paid;
            if !node.look_quote(id, is_paid).await.map_err(of_quote)? || items.iter().any(|end| matches!(end, ItemEnd::Open)) {
                return Ok(false);
            }
            let sales = items.iter().filter_map(|end| if let ItemEnd::Sold { sale, .. } = end { Some(*sale) } else { None }).collect();
            let is_missing = |(number, end): (u16, &ItemEnd)| matches!(end, ItemEnd::PaidBack { .. }).then_some(number);
            let missing = (0..).zip(&items).filter_map(is_missing).collect();
            note(node, id, step(id, "ticketed", 0), Command::MarkTicketed { sales, missing }).await?;
        }
    }
    Ok(true)
}

/// Notes in a quote that a payment of it can be paid no more; answers whether it had not known.
async fn detach(node: &Node, id: QuoteId, payment: PaymentId) -> Step<bool> {
    match node.quote(id, step(id, "detach", payment.get()), Command::DetachPayment { payment }).await {
        Ok(_) => Ok(true),
        Err(Failure::Refused(_)) => Ok(false),
        Err(failure) => Err(of_quote(failure)),
    }
}

/// Makes tickets of what is paid without a payment. What an account was charged for places that are gone is taken back.
async fn issue(node: &Node, quote: &Quote) -> Step<()> {
    let (Some(about), Some(offer)) = (quote.about(), quote.offer()) else { return Ok(()) };
    // Once something was taken back it is settled which parts are missing: what is free again by now nobody would pay for.
    let is_settled = is_taken_back(node, quote, about).await?;
    let (mut sales, mut missing, mut lost_cents) = (Vec::new(), Vec::new(), Cents::ZERO);
    for (number, part) in (0_u16..).zip(&offer.parts) {
        let option = quote.options_in_force().and_then(|options| options.holds.get(usize::from(number)).copied());
        let sold = if is_settled {
            sold_before(node, quote, about, part, (number, option)).await?
        } else {
            sell(node, quote, about, part, (number, option)).await?
        };
        if let Some(sale) = sold {
            sales.push(sale);
            if let Some(option) = option.filter(|option| *option != sale) {
                release(node, quote.id(), option).await?;
            }
        } else {
            missing.push(number);
            lost_cents = lost_cents.plus(total(&part.lines));
            if let Some(option) = option {
                release(node, quote.id(), option).await?;
            }
        }
    }
    let lost = if sales.is_empty() { (offer.total_cents, offer.beside_tickets()) } else { (lost_cents, Cents::ZERO) };
    if let Some(account) = about.account.filter(|_| !lost.0.is_zero()) {
        let taken = accounts::take_back(node, account, quote.charge(), TakeBackReason::NotDelivered, lost).await;
        taken.map_err(|failure| failure.map(Refusal::Account))?;
    }
    note(node, quote.id(), step(quote.id(), "ticketed", 0), Command::MarkTicketed { sales, missing }).await
}

/// Cancels what stands of the tickets of a quote that was called off, wherever they have moved, and has the fee and the extras paid back, or taken off its account.
/// What the tickets cost, their slots hand over to whoever has the money.
async fn unwind(node: &Node, quote: &Quote) -> Step<()> {
    let (Stage::CalledOff { sales, .. }, Some(about), Some(offer)) = (quote.stage(), quote.about(), quote.offer()) else { return Ok(()) };
    let (mut sales, mut at) = (sales.clone(), 0);
    while let Some(&sale) = sales.get(at) {
        let command = slot::Command::Cancel { sale, owner: None, tickets: Vec::new(), cause: slot::CancelCause::Museum };
        match node.slot(sale.slot(), for_system(quote.id(), "call off", sale), command).await {
            // Where it will stand is known in a moment.
            Err(Failure::Refused(slot::Refusal::TicketMoving)) => return Err(Failure::Busy),
            Ok(_) | Err(Failure::Refused(_) | Failure::UnknownSlot(_)) => {}
            Err(failure) => return Err(of_slot(sale.slot(), failure)),
        }
        // Nothing of it can move any more: those that have are all.
        sales.extend(arrivals(node, sale).await?);
        at += 1;
    }
    let (beside, id) = (offer.beside_tickets(), quote.id());
    match (quote.paid(), about.account) {
        _ if beside.is_zero() => {}
        (Some(quote::Paid { payment: Some(payment) }), _) => {
            match node.payment(*payment, step(id, "extras", payment.get()), payment::Command::RefundExtras).await {
                Ok(_) | Err(Failure::Refused(_)) => {}
                Err(failure) => return Err(of_payments(failure.map(payments::Refusal::Payment))),
            }
        }
        (Some(quote::Paid { payment: None }), Some(account)) => {
            let taken = accounts::take_back(node, account, quote.charge(), TakeBackReason::CalledOff, (beside, beside)).await;
            taken.map_err(|failure| failure.map(Refusal::Account))?;
        }
        (Some(quote::Paid { payment: None }) | None, _) => {}
    }
    note(node, id, step(id, "unwound", 0), Command::NoteUnwound).await
}

/// The sales in other slots to which tickets of one have moved.
async fn arrivals(node: &Node, sale: HoldId) -> Step<Vec<HoldId>> {
    let moved = |found: &slot::Sale| found.moves.iter().filter(|moved| moved.is_done).map(|moved| moved.begun.arrival).collect::<Vec<_>>();
    let look = move |slot: &Slot| slot.sale_of(sale).map(moved).unwrap_or_default();
    match node.look(sale.slot(), look).await {
        Err(Failure::UnknownSlot(_)) => Ok(Vec::new()),
        seen => seen.map_err(|failure| of_slot(sale.slot(), failure)),
    }
}

/// Whether the account has got back what it was charged for places that are gone.
async fn is_taken_back(node: &Node, quote: &Quote, about: &About) -> Step<bool> {
    let (Some(account), of) = (about.account, quote.charge()) else { return Ok(false) };
    match node.look_account(account, move |account| account.was_taken_back(of, TakeBackReason::NotDelivered)).await {
        Ok(is_it) => Ok(is_it),
        Err(Failure::Refused(_)) => Ok(false),
        Err(failure) => Err(failure.map(Refusal::Account)),
    }
}

/// How a part is settled that is paid without a payment.
fn settlement_of(quote: &Quote, about: &About, part: &Part) -> Settlement {
    match about.account {
        Some(account) if !total(&part.lines).is_zero() => Settlement::Quoted { account, quote: quote.id() },
        _ => Settlement::Free,
    }
}

/// The sale that a part becomes whose option is gone.
fn anew(quote: &Quote, number: u16, slot: SlotId, salt: u8) -> HoldId {
    let random = digest(&[b"quoted", &quote.id().get().to_be_bytes(), &number.to_be_bytes(), &[salt]]);
    HoldId::new(slot, random.0 as u64)
}

/// The sale that a part has become, if it has: nothing is sold.
async fn sold_before(node: &Node, quote: &Quote, about: &About, part: &Part, (number, option): (u16, Option<HoldId>)) -> Step<Option<HoldId>> {
    let (slot, settlement) = (part.slot, settlement_of(quote, about, part));
    let sales: Vec<HoldId> = option.into_iter().chain((0..SALTS).map(|salt| anew(quote, number, slot, salt))).collect();
    let look = move |slot: &Slot| sales.iter().copied().find(|sale| slot.sale_of(*sale).is_some_and(|found| found.settlement == settlement));
    match node.look(slot, look).await {
        Err(Failure::UnknownSlot(_)) => Ok(None),
        found => found.map_err(|failure| of_slot(slot, failure)),
    }
}

/// The sale of a part: its option, or as many places anew at the same prices; none if there are none.
async fn sell(node: &Node, quote: &Quote, about: &About, part: &Part, (number, option): (u16, Option<HoldId>)) -> Step<Option<HoldId>> {
    let (slot, contact, settlement) = (part.slot, about.contact, settlement_of(quote, about, part));
    if let Some(hold) = option {
        let (owner, lines) = (Some(KeyId::SYSTEM), part.lines.clone());
        let command = slot::Command::SellPaid { hold, owner, lines, keeper: None, settlement: settlement.clone(), contact };
        match node.slot(slot, as_drafter(quote, "sell", hold.get()), command).await {
            Ok(_) => return Ok(Some(hold)),
            Err(Failure::Refused(slot::Refusal::HoldSold)) => return Ok(is_sold(node, hold, &settlement).await?.then_some(hold)),
            Err(Failure::Refused(_)) => {}
            Err(Failure::UnknownSlot(_)) => return Ok(None),
            Err(failure) => return Err(of_slot(slot, failure)),
        }
    }
    for salt in 0..SALTS {
        let sale = anew(quote, number, slot, salt);
        let (lines, channel) = (part.lines.clone(), Channel::Group);
        let command = slot::Command::SellDirect { sale, channel, lines, settlement: settlement.clone(), contact };
        match node.slot(slot, as_drafter(quote, "sell anew", sale.get()), command).await {
            Ok(_) => return Ok(Some(sale)),
            Err(Failure::Refused(slot::Refusal::IdTaken)) if is_sold(node, sale, &settlement).await? => return Ok(Some(sale)),
            Err(Failure::Refused(slot::Refusal::IdTaken)) => {}
            Err(Failure::Refused(_) | Failure::UnknownSlot(_)) => return Ok(None),
            Err(failure) => return Err(of_slot(slot, failure)),
        }
    }
    Ok(None)
}

async fn is_sold(node: &Node, sale: HoldId, settlement: &Settlement) -> Step<bool> {
    let settlement = settlement.clone();
    let is_it = move |slot: &Slot| slot.sale_of(sale).is_some_and(|found| found.settlement == settlement);
    node.look(sale.slot(), is_it).await.map_err(|failure| of_slot(sale.slot(), failure))
}

/// Those that have something to do, and those whose payment has ended and who are to hear of it.
fn left_behind(node: &Node) -> Vec<QuoteId> {
    let is_open = |payment: &PaymentId| node.payments().head(*payment).is_some_and(|head| head.stage.is_open());
    let paid = node.quotes().awaiting().into_iter().filter(|(_, payment)| !is_open(payment)).map(|(quote, _)| quote);
    node.quotes().working().into_iter().chain(paid).collect()
}

/// Drives every quote that has something to do, tells those that wait for a payment what has become of it, and those whose tickets are gone of that; answers how many could
/// not be brought further now.
pub async fn resume(node: &Node) -> usize {
    gone::follow_tickets(node, &mut Followed::default()).await + resume_due(node, &mut Pauses::default()).await
}

/// Drives those whose turn it is, several at once: one that waits for its slot or its account keeps no other.
pub(crate) async fn resume_due(node: &Node, pauses: &mut Pauses<QuoteId>) -> usize {
    let driven = futures_util::stream::iter(pauses.due(left_behind(node), node.now())).map(|quote| async move {
        let driven = advance(node, quote).await;
        if let Err(failure) = &driven {
            tracing::warn!(%quote, ?failure, "a quote cannot be driven on now");
        }
        (quote, driven.is_ok())
    });
    let driven: Vec<(QuoteId, bool)> = driven.buffer_unordered(RESUMED).collect().await;
    driven.iter().for_each(|(quote, is_done)| pauses.note(*quote, node.now(), *is_done));
    driven.iter().filter(|(_, is_done)| !is_done).count()
}

/// Reminds the groups whose quotes are likelier to lapse than not, of the deadline that runs, once half of their time has gone by; answers how many were. The quote itself
/// decides, and notes it once for each deadline. As long as too few quotes have ended here nothing is done by what is assumed of them: the policy's days hold.
pub async fn remind_doubtful(node: &Node) -> usize {
    let (now, mut reminded) = (node.now(), 0);
    for (id, head) in node.quotes().early_reminders(now) {
        let Some(chance) = node.forecaster().lapse(&head, now).filter(|chance| chance.basis != Basis::Assumption) else { continue };
        let lapse_permille = (chance.probability * 1_000.0).round() as u16;
        let Some((deadline, _)) = head.deadline.filter(|_| lapse_permille > quote::DOUBTFUL_PERMILLE) else { continue };
        let key = step(id, &format!("remind {}", deadline_name(deadline)), u64::from(head.revision));
        match node.quote(id, key, Command::RemindEarly { lapse_permille }).await {
            Ok(_) => reminded += 1,
            // It has changed since.
            Err(Failure::Refused(_)) => {}
            Err(failure) => tracing::warn!(quote = %id, ?failure, "a doubtful quote's group cannot be reminded now"),
        }
    }
    reminded
}

/// Resumes what was left under way, at once and then again and again; each quote less often while it does not help. Runs until dropped.
pub(crate) async fn keep_quoting(node: &Node) {
    tokio::join!(keep_driving(node), gone::keep_following(node));
}

/// Sees to all that needs no lists: nobody waits because these do.
async fn keep_driving(node: &Node) {
    let (mut pauses, mut next) = (Pauses::default(), node.now());
    loop {
        node.clock().sleep_until(next).await;
        resume_due(node, &mut pauses).await;
        next = node.now().plus_seconds(RESUME_EVERY_S);
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
    by(digest(&[b"quote step", &id.get().to_be_bytes(), name.as_bytes(), &hold.get().to_be_bytes()]))
}

/// The envelope of a sale in a slot: tickets are of whoever drafted the quote.
fn as_drafter(quote: &Quote, name: &str, number: u128) -> Envelope {
    let key = digest(&[b"quote step", &quote.id().get().to_be_bytes(), name.as_bytes(), &number.to_be_bytes()]);
    Envelope { who: drafter(quote), ..by(key) }
}

/// The envelope of a step: its key follows from the flow, so that a step is taken once however often it is asked.
fn step(id: QuoteId, name: &str, number: u64) -> Envelope {
    by(digest(&[b"quote step", &id.get().to_be_bytes(), name.as_bytes(), &number.to_be_bytes()]))
}

const fn by(key: Digest) -> Envelope {
    Envelope { who: KeyId::SYSTEM, key, body: key, parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() }
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
