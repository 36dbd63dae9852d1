//! Sales on operators' accounts: a flow over an account and a slot whose journal is the account. The rules are in `engine::account`; what is to be done at any
//! moment is what `Account::awaited` says.
//!
//! A sale is charged before it is made, so that no place is sold beyond a limit. If the slot refuses it, the charge is taken back; while nobody knows whether it
//! was made, the charge waits, and whoever resumes it looks whether the sale is there. What is cancelled of it later, the slot hands over, see [`crate::payments`].

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tornello_engine::account::{self, Account, ChargeOf, Command, TakeBackReason};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{AccountId, Code, HoldId};
use tornello_engine::money::Cents;
use tornello_engine::record::Record;
use tornello_engine::slot::{self, Settlement, Slot, total};

use crate::digest::digest;
use crate::failure::Failure;
use crate::journal::StreamId;
use crate::journal::writer::Lease;
use crate::node::Node;
use crate::owner::Tell;
use crate::pauses::{Pauses, keep_resuming};

/// How many accounts may be sold on at once without waiting for each other by chance.
const LOCKS: usize = 64;

/// Who says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The slot.
    Slot(slot::Refusal),
    /// The account.
    Account(account::Refusal),
}

/// The accounts with sales of which it is not known yet whether they were made. It can be rebuilt from the journal.
#[derive(Debug)]
pub struct Accounts {
    awaiting: Mutex<BTreeMap<AccountId, Code>>,
    selling: [tokio::sync::Mutex<()>; LOCKS],
}

impl Default for Accounts {
    fn default() -> Self {
        Self { awaiting: Mutex::default(), selling: std::array::from_fn(|_| tokio::sync::Mutex::default()) }
    }
}

impl Accounts {
    /// Publishes what an account has become.
    pub fn publish(&self, account: &Account) {
        let code = account.opened().filter(|_| account.awaited().next().is_some()).map(|opened| opened.code);
        self.put(account.id(), code);
    }

    fn put(&self, account: AccountId, code: Option<Code>) {
        let mut awaiting = self.awaiting.lock();
        match code {
            Some(code) => drop(awaiting.insert(account, code)),
            None => drop(awaiting.remove(&account)),
        }
    }

    /// The accounts that somebody has to look at.
    #[must_use]
    pub fn awaiting(&self) -> Vec<Code> {
        self.awaiting.lock().values().copied().collect()
    }

    fn selling(&self, account: Code) -> &tokio::sync::Mutex<()> {
        &self.selling[Node::account_id(account).get() as usize % LOCKS]
    }
}

impl Tell<Account> for Accounts {
    type View = Option<Code>;

    fn view(&self, state: &Account) -> Option<Code> {
        state.opened().filter(|_| state.awaited().next().is_some()).map(|opened| opened.code)
    }

    fn committed(&self, stream: &Lease, _: &Record<account::Event>, view: Option<Code>, _: u64) {
        if let StreamId::Account(account) = stream.stream {
            self.put(account, view);
        }
    }

    fn rebuilt(&self, stream: &Lease, state: &Account) {
        if matches!(stream.stream, StreamId::Account(_)) {
            self.publish(state);
        }
    }
}

/// Gives a slot a command that sells on an account: [`slot::Command::Sell`], [`slot::Command::SellPaid`] or [`slot::Command::SellDirect`], with a name on the tickets
/// ([`slot::Command::SellNamed`]) or without. The account is charged first, within its limit. A repeat of the caller's key answers the sale that was made the first time; the id of a direct sale has to follow from that key. A hold is sold only as it was
/// when it was charged.
///
/// # Errors
/// What the slot or the account says to it; then nothing is charged. `AlreadyCharged` if another amount was charged for the same sale just now: that is taken back.
pub async fn sell(node: &Node, account: Code, envelope: Envelope, mut command: slot::Command) -> Result<Record<slot::Event>, Failure<Refusal>> {
    let (slot::Command::Sell { hold: sale, .. } | slot::Command::SellPaid { hold: sale, .. } | slot::Command::SellDirect { sale, .. }) =
        *command.unnamed()
    else {
        return Err(Failure::OutOfOrder("not a sale".to_owned()));
    };
    let slot = sale.slot();
    let _selling = node.accounts().selling(account).lock().await;
    if !node.knows(slot, &envelope).await.map_err(of_slot)? {
        node.rehearse(slot, &envelope, &command).await.map_err(of_slot)?;
        let (charged, amount_cents) = match command {
            slot::Command::SellNamed { sell, holder } => {
                let (sell, amount_cents) = as_charged(node, *sell).await?;
                (sell.named(Some(holder)), amount_cents)
            }
            unnamed => as_charged(node, unnamed).await?,
        };
        charge(node, account, sale, amount_cents).await?;
        command = charged;
    }
    let sold = node.slot(slot, envelope, command).await;
    if matches!(sold, Err(Failure::Refused(_) | Failure::KeyReused | Failure::UnknownSlot(_))) {
        // If this cannot be done now, whoever resumes it finds no sale.
        if let Err(failure) = settle(node, account, sale).await {
            tracing::warn!(%account, %sale, ?failure, "a charge for a sale that was refused will be taken back");
        }
    }
    sold.map_err(of_slot)
}

/// A command that sells, of a hold as it is now only; and how much that is.
async fn as_charged(node: &Node, command: slot::Command) -> Result<(slot::Command, Cents), Failure<Refusal>> {
    match command {
        slot::Command::Sell { hold, owner, settlement, contact } => {
            let held = node.look(hold.slot(), move |slot| slot.hold_of(hold).map(|hold| hold.lines.clone())).await.map_err(of_slot)?;
            let lines = held.ok_or(Failure::Refused(Refusal::Slot(slot::Refusal::UnknownHold)))?;
            let amount_cents = total(&lines);
            Ok((slot::Command::SellPaid { hold, owner, lines, keeper: None, settlement, contact }, amount_cents))
        }
        known => {
            let amount_cents = match &known {
                slot::Command::SellPaid { lines, .. } | slot::Command::SellDirect { lines, .. } => total(lines),
                _ => Cents::ZERO,
            };
            Ok((known, amount_cents))
        }
    }
}

/// Charges an account for a sale, unless it is charged that much for it already.
async fn charge(node: &Node, account: Code, sale: HoldId, amount_cents: Cents) -> Result<(), Failure<Refusal>> {
    let of = ChargeOf::Sale { sale };
    let charged = move |account: &Account| {
        let stands = |_: &&account::Charge| !account.was_taken_back(of, TakeBackReason::NotDelivered);
        (account.charge_of(&of).filter(stands).map(|charge| charge.amount_cents), account.seq())
    };
    let (charged_cents, seq) = node.look_account(account, charged).await.map_err(|failure| failure.map(Refusal::Account))?;
    match charged_cents {
        Some(charged_cents) if charged_cents == amount_cents => return Ok(()),
        // Of a hold that was another one then. It was not sold, so whoever resumes it takes that back.
        Some(_) => return Err(Failure::Refused(Refusal::Account(account::Refusal::AlreadyCharged))),
        None => {}
    }
    let command = Command::Charge { of, amount_cents, extras_cents: Cents::ZERO, museum: sale.slot().museum() };
    node.account(account, step(sale, "charge", seq), command).await.map(drop).map_err(|failure| failure.map(Refusal::Account))
}

/// Notes that a sale was made that its account is charged for, or takes the charge back. Nobody may be making it.
async fn settle(node: &Node, account: Code, sale: HoldId) -> Result<(), Failure<Refusal>> {
    let of = ChargeOf::Sale { sale };
    let charged = move |account: &Account| (account.awaited().any(|awaited| awaited == sale), account.charge_of(&of).copied(), account.seq());
    let (is_awaited, charge, seq) = node.look_account(account, charged).await.map_err(|failure| failure.map(Refusal::Account))?;
    let Some(charge) = charge.filter(|_| is_awaited) else { return Ok(()) };
    let is_it = move |slot: &Slot| slot.sale_of(sale).is_some_and(|found| found.settlement == Settlement::OnAccount { account });
    let is_made = match node.look(sale.slot(), is_it).await {
        Err(Failure::UnknownSlot(_)) => false,
        seen => seen.map_err(of_slot)?,
    };
    let command = if is_made {
        Command::NoteDelivered { sale }
    } else {
        Command::TakeBack { of, why: TakeBackReason::NotDelivered, amount_cents: charge.amount_cents, extras_cents: Cents::ZERO }
    };
    match node.account(account, step(sale, "settle", seq), command).await {
        Ok(_) | Err(Failure::Refused(_)) => Ok(()),
        Err(failure) => Err(failure.map(Refusal::Account)),
    }
}

/// Takes a part of a charge back, once for each reason. Of what was never charged there is nothing to take back.
///
/// # Errors
/// Whatever keeps the account from being asked; that more would be taken back than is left of the charge.
pub async fn take_back(
    node: &Node,
    account: Code,
    of: ChargeOf,
    why: TakeBackReason,
    (amount_cents, extras_cents): (Cents, Cents),
) -> Result<(), Failure<account::Refusal>> {
    use account::Refusal::{AlreadyTakenBack, UnknownAccount, UnknownCharge};
    let written = named(of, why);
    let envelope = Envelope::by_system(digest(&[b"take back", &written]));
    match node.account(account, envelope, Command::TakeBack { of, why, amount_cents, extras_cents }).await {
        Ok(_) | Err(Failure::Refused(AlreadyTakenBack | UnknownCharge | UnknownAccount)) => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// What one taking back is, in bytes.
fn named(of: ChargeOf, why: TakeBackReason) -> Vec<u8> {
    let mut bytes = match of {
        ChargeOf::Quote { quote, revision, acceptance } => {
            [&quote.get().to_be_bytes()[..], &revision.to_be_bytes(), &acceptance.to_be_bytes()].concat()
        }
        ChargeOf::Sale { sale } => sale.get().to_be_bytes().to_vec(),
    };
    match why {
        TakeBackReason::NotDelivered => {}
        TakeBackReason::Cancelled { sale, seq } => bytes.extend([&sale.get().to_be_bytes()[..], &seq.to_be_bytes()].concat()),
        TakeBackReason::CalledOff => bytes.extend(b"called off"),
    }
    bytes
}

/// Settles what was left awaited; answers how many sales, or accounts that cannot be asked, are left now.
pub async fn resume(node: &Node) -> usize {
    resume_due(node, &mut Pauses::default()).await
}

/// Settles what was left awaited of those accounts whose turn it is.
pub(crate) async fn resume_due(node: &Node, pauses: &mut Pauses<Code>) -> usize {
    let mut left = 0;
    for account in pauses.due(node.accounts().awaiting(), node.now()) {
        let awaited = resume_of(node, account).await;
        pauses.note(account, node.now(), awaited == 0);
        left += awaited;
    }
    left
}

/// Settles what is awaited of an account; one sale that cannot be settled keeps no other. Answers how many are left.
async fn resume_of(node: &Node, account: Code) -> usize {
    let _selling = node.accounts().selling(account).lock().await;
    let awaited = match node.look_account(account, |account| account.awaited().collect::<Vec<_>>()).await {
        Ok(awaited) => awaited,
        Err(failure) => {
            tracing::warn!(%account, ?failure, "the charged sales of an account cannot be settled now");
            return 1;
        }
    };
    let mut left = 0;
    for sale in awaited {
        if let Err(failure) = settle(node, account, sale).await {
            tracing::warn!(%account, %sale, ?failure, "a charged sale cannot be settled now");
            left += 1;
        }
    }
    left
}

/// Settles what was left awaited, at once and then again and again; of an account less often while it does not help. Runs until dropped.
pub(crate) async fn keep_charging(node: &Node) {
    keep_resuming::<Pauses<Code>>(node, |node, pauses| Box::pin(resume_due(node, pauses))).await;
}

/// The envelope of a step of one sale: its key follows from what the account was when it was taken.
fn step(sale: HoldId, name: &str, seq: u64) -> Envelope {
    Envelope::by_system(digest(&[b"account step", &sale.get().to_be_bytes(), name.as_bytes(), &seq.to_be_bytes()]))
}

fn of_slot(failure: Failure<slot::Refusal>) -> Failure<Refusal> {
    failure.map(Refusal::Slot)
}
