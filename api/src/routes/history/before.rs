//! What is asked before a slot is: of each step whether it would have let the request pass at that moment, would have refused it, is not asked of such a request, or is not
//! decided here, because nothing is kept that says. None is left out.

use serde::Serialize;
use tornello_actors::failure::Failure;
use tornello_actors::keys::{Denied, Key};
use tornello_actors::limits::then::{self, Then};
use tornello_actors::node::Node;
use tornello_actors::rooms::Guarded;
use tornello_engine::account::{ChargeOf, Command as AccountCommand};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::calendar;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{Code, HoldId, KeyId, PaymentId};
use tornello_engine::money::Cents;
use tornello_engine::museum::Museum;
use tornello_engine::room::guarding;
use tornello_engine::slot::{CancelCause, Command, Event, Keeper, Refusal, Settlement, Slot, total};
use tornello_engine::time::Timestamp;

use super::asked::{Asked, Asker};
use crate::auth::Scope;
use crate::problem::{Body, Problem};
use crate::routes::holds::price_of;
use crate::routes::sales::{may_charge, may_sell_at_once};

/// What is looked at before a slot is asked, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepBefore {
    /// Whether there is room for one more request, and whether it can be read.
    Entrance,
    /// Whether the key is good, for this museum, and may do that.
    Key,
    /// Whether what was scanned is one of our codes.
    Code,
    /// Whether the key may settle like that.
    Settlement,
    /// Whether a waiting room of the museum is open for the slot, and lets the buyer through.
    WaitingRoom,
    /// What it costs: whether the tariff sells it there, and what was agreed.
    Prices,
    /// What rules and models say of those who take part: a block, or one more proof.
    Fraud,
    /// Whether a ticket can show the name that is given.
    Names,
    /// Whether the payment that keeps a hold still needs it.
    Payment,
    /// Whether the account may be charged with it.
    Account,
    /// What the buyer has of the museum's day, and how many open holds, over all slots.
    BuyerOverSlots,
    /// Whether there is room in the building, as the gates of all slots count who is inside.
    Building,
    /// Whether the museum is open at that time, by its plan: else there is no such slot.
    Plan,
}

/// What a step says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SaidBefore {
    /// It would have let the request pass.
    Passed,
    /// It would have refused the request: the slot would not have been asked.
    Refused,
    /// It is not asked of such a request.
    NotAsked,
    /// Not decided here: what it was decided by is not kept, or not named in the question.
    NotDecided,
}

/// A step that is asked before a slot is.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct StepBeforeView {
    /// Which.
    step: StepBefore,
    /// What it says.
    said: SaidBefore,
    /// For people: why.
    #[schema(max_length = 500)]
    sentence: String,
    /// What the caller would have been told, if refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Body>,
}

impl StepBeforeView {
    fn new(step: StepBefore, said: Said) -> Self {
        let (said, sentence, problem) = match said {
            Said::Passed(why) => (SaidBefore::Passed, why, None),
            Said::NotAsked(why) => (SaidBefore::NotAsked, why, None),
            Said::NotDecided(why) => (SaidBefore::NotDecided, why, None),
            Said::Refused(problem) => (SaidBefore::Refused, problem.title().to_owned(), Some(problem.into_body())),
        };
        Self { step, said, sentence, problem }
    }

    /// The first of some steps that refuses, if one does.
    pub(super) fn refused(steps: &[Self]) -> Option<StepBefore> {
        steps.iter().find(|found| found.said == SaidBefore::Refused).map(|found| found.step)
    }

    /// Those of some steps that are not decided here.
    pub(super) fn not_decided(steps: &[Self]) -> Vec<StepBefore> {
        steps.iter().filter(|found| found.said == SaidBefore::NotDecided).map(|found| found.step).collect()
    }
}

/// What a step says, and why.
enum Said {
    Passed(String),
    Refused(Problem),
    NotAsked(String),
    NotDecided(String),
}

impl Said {
    fn passed(why: &str) -> Self {
        Self::Passed(why.to_owned())
    }

    fn not_asked(why: &str) -> Self {
        Self::NotAsked(why.to_owned())
    }

    fn not_decided(why: &str) -> Self {
        Self::NotDecided(why.to_owned())
    }

    /// Of a check, with why it passes if it does.
    fn of(checked: Result<(), Problem>, why: &str) -> Self {
        checked.map_or_else(Self::Refused, |()| Self::passed(why))
    }
}

/// The payment that keeps the hold which a command is about, where something else than that payment would end it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    payment: PaymentId,
    /// Whether it could still have made a sale of the hold.
    is_needed: bool,
}

impl Kept {
    /// What keeps the hold, as it was then.
    pub(super) async fn of(node: &Node, command: &Command, slot: &Slot, at: Timestamp) -> Result<Option<Self>, Problem> {
        let Some((hold, payment)) = kept(command, slot) else { return Ok(None) };
        let is_needed = node.payment_then(payment, at).await?.needs(hold);
        Ok(Some(Self { payment, is_needed }))
    }

    /// The command as it would have been given: to a payment that needs the hold no more the slot does not hold on.
    pub(super) fn given(self, command: Command, slot: &Slot) -> Command {
        if self.is_needed { command } else { once_over(command, slot, self.payment) }
    }
}

/// Which hold is kept by which payment, if something else than that payment is to end it.
fn kept(command: &Command, slot: &Slot) -> Option<(HoldId, PaymentId)> {
    let (hold, by) = match command.unnamed() {
        Command::Sell { hold, settlement: Settlement::Payment { id }, .. } => (*hold, Some(*id)),
        Command::Sell { hold, .. }
        | Command::Release { hold, .. }
        | Command::Shrink { hold, .. }
        | Command::LeaveWaiting { entry: hold, .. }
        | Command::WaitForFewer { entry: hold, .. } => (*hold, None),
        _ => return None,
    };
    match slot.hold_of(hold)?.kept_for {
        Some(Keeper::Payment(payment)) if by != Some(payment) => Some((hold, payment)),
        Some(Keeper::Payment(_) | Keeper::Quote(_)) | None => None,
    }
}

/// As `payments` gives the command when it has looked at the payment.
fn once_over(command: Command, slot: &Slot, payment: PaymentId) -> Command {
    let over = Keeper::Payment(payment);
    match command {
        Command::Sell { hold, owner, settlement, contact } => {
            let lines = slot.hold_of(hold).map(|hold| hold.lines.clone()).unwrap_or_default();
            Command::SellPaid { hold, owner, lines, keeper: Some(payment), settlement, contact }
        }
        Command::SellNamed { sell, holder } => Command::SellNamed { sell: Box::new(once_over(*sell, slot, payment)), holder },
        Command::Release { hold, owner } => Command::GiveBack { hold, owner, over },
        Command::LeaveWaiting { entry, owner } => Command::GiveBack { hold: entry, owner, over },
        Command::Shrink { hold, counts, owner, .. } => Command::Shrink { hold, counts, owner, over: Some(payment) },
        Command::WaitForFewer { entry, counts, owner, .. } => Command::WaitForFewer { entry, counts, owner, over: Some(payment) },
        other => other,
    }
}

/// A request for a slot, and all that is known of the moment at which it came.
pub(super) struct Before<'a> {
    pub(super) node: &'a Node,
    pub(super) at: Timestamp,
    /// As it was then.
    pub(super) museum: &'a Museum,
    /// As it was then.
    pub(super) slot: &'a Slot,
    /// The other slot of a move, as it was then.
    pub(super) there: Option<&'a Slot>,
    pub(super) asked: Asked,
    pub(super) command: &'a Command,
    pub(super) envelope: &'a Envelope,
    pub(super) asker: &'a Asker,
    /// Whether categories were named, and so priced.
    pub(super) is_priced: bool,
    /// On which account it would be settled, if one is named.
    pub(super) account: Option<Code>,
    pub(super) kept: Option<Kept>,
}

impl Before<'_> {
    /// All steps, in their order.
    pub(super) async fn steps(&self) -> Result<Vec<StepBeforeView>, Problem> {
        let said = [
            (StepBefore::Entrance, self.entrance()),
            (StepBefore::Key, self.key()),
            (StepBefore::Code, self.code()),
            (StepBefore::Settlement, self.settlement()),
            (StepBefore::WaitingRoom, self.waiting_room()),
            (StepBefore::Prices, self.prices()),
            (StepBefore::Fraud, self.fraud()),
            (StepBefore::Names, self.names()),
            (StepBefore::Payment, self.payment()),
            (StepBefore::Account, self.account_then().await?),
            (StepBefore::BuyerOverSlots, self.buyer().await?),
            (StepBefore::Building, self.building()),
            (StepBefore::Plan, self.plan()),
        ];
        Ok(said.into_iter().map(|(step, said)| StepBeforeView::new(step, said)).collect())
    }

    fn entrance(&self) -> Said {
        Said::not_decided("whether there was room for the request (`busy`, `too_many_requests`), and whether it could be read, is kept nowhere")
    }

    fn key(&self) -> Said {
        let scope = scope_of(self.asked);
        match (self.asker.key, &self.asker.caller) {
            (None, _) => Said::NotDecided(format!(
                "no `key` is named: one with the scope `{}` for this museum, and with desk rights, is taken for granted",
                scope.name()
            )),
            (Some(key), _) if key == KeyId::SYSTEM => Said::not_asked("what the system does by itself needs no key"),
            (Some(_), None) => Said::Refused(Problem::not_found().detail("No key of that number is good for this museum.")),
            (Some(_), Some(caller)) => {
                if let Some(denied) = denied(&caller.0, self.at) {
                    return Said::Refused(Problem::unauthorized().with("reason", denied.code()));
                }
                let by_museum = matches!(self.command, Command::Cancel { cause: CancelCause::Museum, .. });
                let desk = if by_museum { caller.may(Scope::Desk) } else { Ok(()) };
                Said::of(caller.may_at(scope, self.museum.id()).and(desk), "it was good then, for this museum, and its role may do that")
            }
        }
    }

    fn code(&self) -> Said {
        let issue = match self.command {
            Command::Admit { issue, .. } | Command::Merge { issue, .. } => *issue,
            Command::Exit { .. } => {
                return Said::not_decided("a ticket's id is asked about: whether a code that was scanned was one of ours is not kept");
            }
            _ => return Said::not_asked("no code is scanned for that"),
        };
        match issue {
            Some(issue) => Said::NotDecided(format!("a code of issue {issue} is taken for one of ours: what was scanned is not kept")),
            None => Said::not_asked("the ticket's id was typed"),
        }
    }

    fn settlement(&self) -> Said {
        let settlement = match self.command.unnamed() {
            Command::Sell { settlement, .. } | Command::SellPaid { settlement, .. } | Command::SellDirect { settlement, .. } => settlement,
            _ => return Said::not_asked("nothing is settled by that"),
        };
        let caller = self.asker.caller.as_ref();
        if let Some(caller) = caller.filter(|_| self.asked == Asked::Sell)
            && let Err(problem) = may_sell_at_once(caller, settlement)
        {
            return Said::Refused(problem);
        }
        match (settlement, caller) {
            (Settlement::Payment { .. }, _) => Said::not_asked("a payment makes the sale by itself when it has its money"),
            (_, None) => Said::not_decided("on whose account a request may settle, and whether it may sell at once, only its `key` says"),
            (Settlement::OnAccount { account }, Some(caller)) => Said::of(may_charge(caller, *account), "the key may settle on that account"),
            (_, Some(_)) => Said::passed("whether the channel may settle like that the slot says"),
        }
    }

    fn waiting_room(&self) -> Said {
        let (slot, channel) = match self.command {
            Command::Hold { channel, .. } | Command::Wait { channel, .. } => (self.slot.id(), *channel),
            Command::BeginMove { arrival, via, .. } => (arrival.slot(), *via),
            _ => return Said::not_asked("nothing is taken by that which a waiting room keeps"),
        };
        if channel != Channel::Web {
            return Said::not_asked("only what comes over the web goes through waiting rooms");
        }
        let Some(announced) = guarding(self.museum.id(), self.museum.rooms(), slot, self.at) else {
            return Said::passed("no waiting room was announced for the slot then, or it had closed");
        };
        let room = &announced.room;
        if self.at < room.opens_at {
            let guarded = Guarded { code: room.code, opens_at: room.opens_at, closes_at: room.closes_at };
            return Said::Refused(guarded.into());
        }
        Said::NotDecided(format!("the waiting room `{}` was open: it lets through whoever carries its admission, which is kept nowhere", room.code))
    }

    fn prices(&self) -> Said {
        match self.command {
            Command::BeginMove { sale, .. } => match self.slot.sale_of(*sale).map(|sale| sale.channel) {
                Some(Channel::Group) => Said::not_decided(
                    "the tariff of then for the other slot is held against what was paid: what was agreed with an account for it is not looked at",
                ),
                Some(_) | None => Said::passed("the tariff of then for the other slot is held against what was paid, which the slot judges"),
            },
            Command::Hold { .. } | Command::Wait { .. } | Command::SellDirect { .. } => self.priced(),
            Command::SellNamed { .. } if self.asked == Asked::Sell => self.priced(),
            _ => Said::not_asked("nothing is priced for that"),
        }
    }

    fn priced(&self) -> Said {
        if !self.is_priced {
            return Said::not_decided("no category is named: nothing is priced, and nothing is due");
        }
        let (Command::Hold { channel, lines, .. } | Command::Wait { channel, lines, .. } | Command::SellDirect { channel, lines, .. }) =
            self.command.unnamed()
        else {
            return Said::not_asked("nothing is priced for that");
        };
        let unsold = lines.iter().find_map(|line| price_of(self.museum, self.slot.id(), *channel, line.category).err());
        if let Some(problem) = unsold {
            return Said::Refused(problem);
        }
        if self.asker.account.is_some() {
            return Said::passed("by the tariff of then, or as was agreed with the key's account then");
        }
        Said::passed("by the tariff of then")
    }

    fn fraud(&self) -> Said {
        match self.asked {
            Asked::Hold | Asked::Wait | Asked::Move => {
                Said::not_decided("what the rules and models of then would have said of those who take part (`blocked_by_rule`, `step_up_required`)")
            }
            Asked::Sell | Asked::Confirm if matches!(self.command, Command::SellNamed { .. }) => Said::not_decided(
                "whether a rule would have blocked it (`blocked_by_rule`); had one more proof been asked for, the names on the tickets are it",
            ),
            Asked::Sell | Asked::Confirm => {
                Said::not_decided("what the rules and models of then would have said of those who take part (`blocked_by_rule`, `step_up_required`)")
            }
            Asked::Cancel => {
                Said::not_decided("whether a rule would have blocked it (`blocked_by_rule`); no proof is asked for tickets that come back")
            }
            Asked::Rename if self.asker.caller.as_ref().is_some_and(|caller| caller.owner().is_some()) => {
                Said::not_decided("whether the name on the ticket had been a proof, which a shop does not change (`named_as_proof`)")
            }
            Asked::Extend | Asked::Release | Asked::Shrink | Asked::Leave | Asked::Rename | Asked::Block | Asked::Unblock => {
                Said::not_asked("that is not assessed")
            }
            Asked::Admit | Asked::Exit | Asked::Scan => Said::not_asked("gates are never asked to wait for an assessment"),
        }
    }

    fn names(&self) -> Said {
        match self.command {
            Command::SellNamed { .. } | Command::Rename { .. } => Said::not_decided(
                "no name is given in the question: one that a ticket cannot show, or that mixes alphabets, is refused (`holder_unprintable`, `holder_mixed_alphabets`)",
            ),
            _ => Said::not_asked("no name is put on a ticket by that"),
        }
    }

    fn payment(&self) -> Said {
        match self.kept {
            None => Said::not_asked("no payment keeps what this is about, or it is that payment itself"),
            Some(Kept { payment, is_needed: true }) => {
                Said::Passed(format!("payment {payment} could still have been paid then: that its hold is kept for it is the slot's to say"))
            }
            Some(Kept { payment, is_needed: false }) => {
                Said::Passed(format!("payment {payment}, for which the hold was kept, was over: it needed it no more"))
            }
        }
    }

    /// Whether the account might have been charged: that is asked when the slot would sell, and before it does.
    async fn account_then(&self) -> Result<Said, Problem> {
        let (sale, settlement, due_cents) = match self.command.unnamed() {
            Command::SellDirect { sale, settlement, lines, .. } | Command::SellPaid { hold: sale, settlement, lines, .. } => {
                (*sale, settlement, Some(total(lines)))
            }
            Command::Sell { hold, settlement, .. } => (*hold, settlement, self.slot.hold_of(*hold).map(|hold| total(&hold.lines))),
            _ => return Ok(Said::not_asked("no account is charged for that")),
        };
        if !matches!(settlement, Settlement::OnAccount { .. }) {
            return Ok(Said::not_asked("it is not settled on an account"));
        }
        let Some(code) = self.account else {
            return Ok(Said::not_decided("no account is named, by `account` or by the `key`"));
        };
        let Some(amount_cents) = due_cents else {
            return Ok(Said::not_asked("there is no hold to be charged for, which the slot says"));
        };
        let command = AccountCommand::Charge { of: ChargeOf::Sale { sale }, amount_cents, extras_cents: Cents::ZERO, museum: self.museum.id() };
        let account = self.node.account_then(code, self.at).await?;
        let decided = account.decide(self.at, &command).map(drop).map_err(Problem::from);
        Ok(Said::of(decided, "within what the account might owe then"))
    }

    async fn buyer(&self) -> Result<Said, Problem> {
        let said = match (self.arrives(), self.there) {
            (Some(arrive), Some(there)) => then::said(self.node, there, self.at, self.envelope, &arrive).await?,
            _ => then::said(self.node, self.slot, self.at, self.envelope, self.command).await?,
        };
        Ok(match said {
            Then::NotLimited => Said::not_asked("nothing that a buyer has in other slots limits that"),
            Then::NobodyNamed => Said::not_decided("what one buyer has over several slots is limited here, and no `buyer` is named"),
            Then::Passed => Said::passed("by what the buyer had in all slots then, as far as it was written"),
            Then::Refused(refusal) => Said::Refused(refusal.into()),
            Then::TooLongAgo => {
                Said::not_decided("what one buyer has over several slots is limited here, and some of these ended too long ago to be counted")
            }
            Then::TooMany { slots, max } => Said::NotDecided(format!(
                "what one buyer has over several slots is limited here, and {slots} would have to be read back, more than {max}"
            )),
        })
    }

    /// The slot itself knows the readings that it was told of, and its own gates: by these alone it says `wait`, whatever others have let in.
    fn building(&self) -> Said {
        if !matches!(self.command, Command::Admit { .. }) {
            return Said::not_asked("only who comes in by a gate that asks needs room in the building at once");
        }
        match self.museum.ceiling_on(calendar::local_day(self.at)) {
            Some(ceiling) => Said::NotDecided(format!(
                "whether {ceiling} people, who may be inside at once, were there (`wait`): the slot knows its own gates and the readings that it was told of, and what the gates of all slots had counted is kept nowhere"
            )),
            None => Said::not_asked("the building had no ceiling on that day"),
        }
    }

    fn plan(&self) -> Said {
        if self.slot.is_opened() {
            return Said::passed("the slot had been opened: what the plan says of it since changes nothing");
        }
        match self.museum.opening(self.slot.id()) {
            Some(_) => Said::passed("the plan of then has it, and so it is shown"),
            None => Said::Refused(Failure::<Refusal>::UnknownSlot(self.slot.id()).into()),
        }
    }

    /// What the other slot is asked, if this one lets the tickets of a move go.
    fn arrives(&self) -> Option<Command> {
        if !matches!(self.command, Command::BeginMove { .. }) {
            return None;
        }
        let events = self.slot.decide_for(self.at, self.envelope, self.command).ok()?;
        let begun = events.iter().find_map(|event| if let Event::MoveBegun(begun) = event { Some(begun) } else { None })?;
        self.slot.arrival(begun)
    }
}

/// The scope that a request for that needs.
const fn scope_of(asked: Asked) -> Scope {
    match asked {
        Asked::Hold
        | Asked::Extend
        | Asked::Release
        | Asked::Shrink
        | Asked::Confirm
        | Asked::Sell
        | Asked::Cancel
        | Asked::Wait
        | Asked::Leave
        | Asked::Move
        | Asked::Rename => Scope::Book,
        Asked::Block | Asked::Unblock => Scope::Manage,
        Asked::Admit | Asked::Exit | Asked::Scan => Scope::Gate,
    }
}

/// Why a key would not have let anybody in at a moment, if so.
fn denied(key: &Key, at: Timestamp) -> Option<Denied> {
    if key.created_at > at {
        Some(Denied::Unknown)
    } else if key.revoked_at.is_some_and(|revoked_at| revoked_at <= at) {
        Some(Denied::Revoked)
    } else if key.expires_at.is_some_and(|expires_at| expires_at <= at) {
        Some(Denied::Expired)
    } else {
        None
    }
}
