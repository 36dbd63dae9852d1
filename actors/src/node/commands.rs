//! What callers give to streams and see of them: for each kind of stream its command, and a look at its state. Each goes to the stream's owner, and is answered
//! when what it did, or what was seen, is on the disk.

use std::sync::Arc;

use futures_util::future::join;
use tornello_engine::account::{self, Account};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::attempts::{self, Attempts};
use tornello_engine::attendance::{self, Attendance};
use tornello_engine::case::{self, Case};
use tornello_engine::envelope::{Envelope, Party};
use tornello_engine::fraud_rules::{self, Rules};
use tornello_engine::ids::{AccountId, CaseId, Code, MuseumId, OrderId, PaymentId, QuoteId, SlotId, TillId, VoucherId};
use tornello_engine::model_registry::{self, ModelKind, Models};
use tornello_engine::museum::{self, Museum};
use tornello_engine::order::{self, Order};
use tornello_engine::payment::{self, Payment};
use tornello_engine::planning::{self, Planning};
use tornello_engine::quote::{self, Quote};
use tornello_engine::recall::Recall;
use tornello_engine::record::Record;
use tornello_engine::slot::{self, Slot};
use tornello_engine::till::{self, Till};
use tornello_engine::time::Timestamp;
use tornello_engine::voucher::{self, Voucher};

use super::Node;
use crate::digest::digest;
use crate::failure::Failure;
use crate::fraud::versions::{Version, versions};
use crate::history::{self, Page, Past};
use crate::journal::{JournalError, StreamId};
use crate::limits::Aside;
use crate::owner::{Answer, Kept};
use crate::streams::{all_of, read_failed};

impl Node {
    /// Gives a command to a slot; answers when what it did is on the disk.
    pub async fn slot(&self, slot: SlotId, envelope: Envelope, command: slot::Command) -> Answer<Slot> {
        let kept = self.kept_for(slot, &envelope, &command).await?;
        self.slots.send_keeping(StreamId::Slot(slot), self.clock.now(), envelope, command, kept)?.await
    }

    /// What is kept until a slot has answered: what its buyer asks for, or the turn of whoever makes room for it to reopen.
    async fn kept_for(&self, slot: SlotId, envelope: &Envelope, command: &slot::Command) -> Result<Kept, Failure<slot::Refusal>> {
        if self.asks_for_room(slot, command) {
            // Hardly any command does: none has room in its future for it.
            return Box::pin(self.make_room(slot, envelope, command)).await;
        }
        Ok(Kept::from(self.set_aside(slot, envelope, command).await?))
    }

    /// Sets aside what a command asks for its buyer on the slot's day, until the slot has answered; a repeat is answered as before, whatever the buyer has by now.
    pub(crate) async fn set_aside(
        &self,
        slot: SlotId,
        envelope: &Envelope,
        command: &slot::Command,
    ) -> Result<Option<Aside>, Failure<slot::Refusal>> {
        // Whose tickets move is told by what arrives.
        if envelope.buyer().is_none() && !matches!(command, slot::Command::Arrive { .. }) {
            return Ok(None);
        }
        let Some(policy) = self.policy_of(slot) else { return Ok(None) };
        match self.day_limits.set_aside(slot, &policy.limits, envelope, command) {
            Ok(aside) => Ok(aside),
            Err(_) if self.knows(slot, envelope).await? => Ok(None),
            Err(refusal) => Err(Failure::Refused(refusal)),
        }
    }

    /// The policy under which a slot was opened, or would be; none if there is no such slot.
    pub(super) fn policy_of(&self, slot: SlotId) -> Option<slot::Policy> {
        self.board.head(slot).map(|head| head.policy).or_else(|| self.museums.opening(slot).map(|opening| opening.policy))
    }

    /// Whether a slot limits what a buyer has: in it, on its day, or at once at its museum. Only then somebody asks by which pseudonyms of earlier months a buyer is known.
    #[must_use]
    pub fn limits_buyers(&self, slot: SlotId) -> bool {
        self.policy_of(slot).is_some_and(|policy| policy.limits.are_of_buyers())
    }

    /// As [`Node::slot`], for a caller that gives many commands in order: the command is queued when this returns, if the slot is in memory.
    pub fn send_slot(
        &self,
        slot: SlotId,
        at: Timestamp,
        envelope: Envelope,
        command: slot::Command,
    ) -> Result<impl Future<Output = Answer<Slot>> + '_, Failure<slot::Refusal>> {
        self.slots.send(StreamId::Slot(slot), at, envelope, command)
    }

    /// As [`Node::slot`], with a look at the slot right after the command. There is no look if something else has happened to the slot in between, as always when the
    /// command is repeated.
    pub async fn slot_and_after<R: Send + 'static>(
        &self,
        slot: SlotId,
        envelope: Envelope,
        command: slot::Command,
        look: impl Fn(&Slot) -> R + Clone + Send + 'static,
    ) -> Result<(Record<slot::Event>, Option<R>), Failure<slot::Refusal>> {
        let kept = self.kept_for(slot, &envelope, &command).await?;
        let look = move |slot: &Slot| (slot.seq(), look(slot));
        // The look waits in the mailbox right behind the command.
        let answer = self.slots.send_keeping(StreamId::Slot(slot), self.clock.now(), envelope, command, kept)?;
        let (answer, mut seen) = join(answer, self.look(slot, look.clone())).await;
        let record = answer?;
        // Where the slot was not in memory, whoever looks may have been faster.
        if matches!(&seen, Ok((seq, _)) if *seq < record.seq) {
            seen = self.look(slot, look).await;
        }
        let seen = seen.ok().filter(|(seq, _)| *seq == record.seq).map(|(_, seen)| seen);
        Ok((record, seen))
    }

    /// Looks at a slot; answers when all that was seen is on the disk.
    pub async fn look<R: Send + 'static>(
        &self,
        slot: SlotId,
        look: impl Fn(&Slot) -> R + Clone + Send + 'static,
    ) -> Result<R, Failure<slot::Refusal>> {
        self.slots.look(StreamId::Slot(slot), look).await
    }

    /// Whether a slot has seen a command by its key: its repeat is answered from what was written, whatever it says now.
    pub async fn knows(&self, slot: SlotId, envelope: &Envelope) -> Result<bool, Failure<slot::Refusal>> {
        let envelope = envelope.clone();
        // Many may have to ask, and hardly anybody does: they have no room in their futures for it.
        Box::pin(self.look(slot, move |slot| slot.recall(&envelope) != Recall::New)).await
    }

    /// Whether a slot would do a command now, without doing it; of one that was done it would say the same again.
    pub async fn rehearse(&self, slot: SlotId, envelope: &Envelope, command: &slot::Command) -> Result<(), Failure<slot::Refusal>> {
        let (envelope, command, now) = (envelope.clone(), command.clone(), self.clock.now());
        let decide = move |slot: &Slot| match slot.recall(&envelope) {
            Recall::New => slot.decide_for(now, &envelope, &command).map(drop).map_err(Failure::Refused),
            Recall::Done { .. } => Ok(()),
            Recall::OtherBody => Err(Failure::KeyReused),
        };
        self.look(slot, decide).await?
    }

    /// A slot as it was at a moment, with a page of the records that led there. It is read from the journal; the slot itself is not asked.
    pub async fn history(&self, slot: SlotId, at: Timestamp, page: Page) -> Result<Past, Failure<slot::Refusal>> {
        let _turn = self.histories.acquire().await;
        match history::of_slot(self.journal.as_ref(), slot, at, page).await {
            Ok(Some(past)) => Ok(past),
            Ok(None) => self.museums.planned(slot).map(Past::planned).ok_or(Failure::UnknownSlot(slot)),
            Err(error) => Err(read_failed(&error)),
        }
    }

    /// A slot right after one of its records: what an answer says of it stays the same however often it is asked for. Read as [`Node::history`] is.
    pub async fn slot_after(&self, slot: SlotId, seq: u64) -> Result<Slot, Failure<slot::Refusal>> {
        let _turn = self.histories.acquire().await;
        match history::after(self.journal.as_ref(), slot, seq).await {
            Ok(found) => found.ok_or(Failure::UnknownSlot(slot)),
            Err(error) => Err(read_failed(&error)),
        }
    }

    /// A museum as it was at a moment, with what was set by then: read from the journal, as [`Node::history`] reads slots.
    pub async fn museum_then(&self, museum: MuseumId, at: Timestamp) -> Result<Museum, Failure<museum::Refusal>> {
        let _turn = self.histories.acquire().await;
        let stream = StreamId::Museum(museum);
        let records = all_of::<museum::Event>(self.journal.as_ref(), stream).await.map_err(|error| read_failed(&error))?;
        Ok(Museum::replay(museum, records.iter().take_while(|record| record.at <= at)))
    }

    /// An operator's account as it was at a moment, read from the journal; one that was not open then is empty.
    pub async fn account_then(&self, code: Code, at: Timestamp) -> Result<Account, Failure<account::Refusal>> {
        let _turn = self.histories.acquire().await;
        let id = Self::account_id(code);
        let found = history::of_stream(self.journal.as_ref(), StreamId::Account(id), Account::new(id), at).await;
        found.map_err(|error| read_failed(&error))
    }

    /// A payment as it was at a moment, read from the journal; one that had not begun then is empty.
    pub async fn payment_then(&self, payment: PaymentId, at: Timestamp) -> Result<Payment, Failure<payment::Refusal>> {
        let _turn = self.histories.acquire().await;
        let found = history::of_stream(self.journal.as_ref(), StreamId::Payment(payment), Payment::new(payment), at).await;
        found.map_err(|error| read_failed(&error))
    }

    /// A payment as the request that began it left it, whatever has become of it since: what a repeat of that is told. Read as [`Node::history`] is.
    pub async fn payment_as_begun(&self, payment: PaymentId) -> Result<Payment, Failure<payment::Refusal>> {
        self.payment_after(payment, 1, Payment::goes_on).await
    }

    /// A payment as it was right after it took a receipt in, with what followed from that by itself. It is the answer to whoever hands the same receipt in again. Read as
    /// [`Node::history`] is.
    pub async fn payment_as_received(&self, payment: PaymentId, receipt: &str) -> Result<Payment, Failure<payment::Refusal>> {
        let seq = {
            let _turn = self.histories.acquire().await;
            let records: Vec<Record<payment::Event>> =
                all_of(self.journal.as_ref(), StreamId::Payment(payment)).await.map_err(|error| read_failed(&error))?;
            let took = |event: &payment::Event| matches!(event, payment::Event::Received(received) if received.receipt.id == receipt);
            records.iter().find(|record| record.events.iter().any(took)).map_or(u64::MAX, |record| record.seq)
        };
        self.payment_after(payment, seq, Payment::goes_on).await
    }

    /// A payment right after one of its records and what `goes_on` from that: what whoever asked for it was told. Read as [`Node::history`] is.
    pub async fn payment_after(
        &self,
        payment: PaymentId,
        seq: u64,
        goes_on: fn(&Payment, &Record<payment::Event>) -> bool,
    ) -> Result<Payment, Failure<payment::Refusal>> {
        let _turn = self.histories.acquire().await;
        let found = history::of_step(self.journal.as_ref(), StreamId::Payment(payment), Payment::new(payment), seq, goes_on).await;
        found.map_err(|error| read_failed(&error))
    }

    /// A quote right after one of its records and what followed from that by itself: what whoever asked for it was told. Read as [`Node::history`] is.
    pub async fn quote_after(&self, quote: QuoteId, seq: u64) -> Result<Quote, Failure<quote::Refusal>> {
        let _turn = self.histories.acquire().await;
        let found = history::of_step(self.journal.as_ref(), StreamId::Quote(quote), Quote::new(quote), seq, Quote::goes_on).await;
        found.map_err(|error| read_failed(&error))
    }

    /// The forms of a fraud rule that were in force, in order. Read as [`Node::history`] is: all that was ever drafted stands between them.
    pub async fn rule_versions(&self, rule: Code) -> Result<Vec<Version>, JournalError> {
        let _turn = self.histories.acquire().await;
        versions(self.journal.as_ref(), rule).await
    }

    /// The records of a fraud case, in order.
    pub async fn case_records(&self, case: CaseId) -> Result<Vec<Record<case::Event>>, Failure<case::Refusal>> {
        all_of(self.journal.as_ref(), StreamId::Case(case)).await.map_err(|error| read_failed(&error))
    }

    /// Gives a command to a museum. Another ceiling holds from now on, and slots that another plan adds have their part of the room: when it is answered, those that it concerns have written
    /// down what follows for them.
    pub async fn museum(&self, museum: MuseumId, envelope: Envelope, command: museum::Command) -> Answer<Museum> {
        self.museum_keeping(museum, envelope, command, Kept::default()).await
    }

    /// As [`Node::museum`], with what is kept until the command has come to its end.
    pub async fn museum_keeping(&self, museum: MuseumId, envelope: Envelope, command: museum::Command, kept: Kept) -> Answer<Museum> {
        let record = self.museum_owners.send_keeping(StreamId::Museum(museum), self.clock.now(), envelope, command, kept)?.await?;
        if record.events.iter().any(|event| matches!(event, museum::Event::CeilingSet(_) | museum::Event::PlanSet(_))) {
            self.share_out(museum).await;
        }
        Ok(record)
    }

    /// Gives a command to a payment.
    pub async fn payment(&self, payment: PaymentId, envelope: Envelope, command: payment::Command) -> Answer<Payment> {
        self.payment_keeping(payment, envelope, command, Kept::default()).await
    }

    /// As [`Node::payment`], with what is kept until the command has come to its end.
    pub async fn payment_keeping(&self, payment: PaymentId, envelope: Envelope, command: payment::Command, kept: Kept) -> Answer<Payment> {
        let stream = StreamId::Payment(payment);
        let _creating = matches!(command, payment::Command::Open { .. } | payment::Command::TakeOver { .. }).then(|| self.creating.begin(stream));
        self.payment_owners.send_keeping(stream, self.clock.now(), envelope, command, kept)?.await
    }

    /// Looks at a payment; answers when all that was seen is on the disk.
    pub async fn look_payment<R: Send + 'static>(
        &self,
        payment: PaymentId,
        look: impl Fn(&Payment) -> R + Clone + Send + 'static,
    ) -> Result<R, Failure<payment::Refusal>> {
        self.payment_owners.look(StreamId::Payment(payment), look).await
    }

    /// Gives a command to a voucher.
    pub async fn voucher(&self, voucher: VoucherId, envelope: Envelope, command: voucher::Command) -> Answer<Voucher> {
        let stream = StreamId::Voucher(voucher);
        let _creating = matches!(command, voucher::Command::Issue { .. }).then(|| self.creating.begin(stream));
        self.voucher_owners.ask(stream, envelope, command).await
    }

    /// Looks at a voucher; answers when all that was seen is on the disk.
    pub async fn look_voucher<R: Send + 'static>(
        &self,
        voucher: VoucherId,
        look: impl Fn(&Voucher) -> R + Clone + Send + 'static,
    ) -> Result<R, Failure<voucher::Refusal>> {
        self.voucher_owners.look(StreamId::Voucher(voucher), look).await
    }

    /// Gives a command to an order.
    pub async fn order(&self, order: OrderId, envelope: Envelope, command: order::Command) -> Answer<Order> {
        let stream = StreamId::Order(order);
        let _creating = matches!(command, order::Command::BeginPayment { .. }).then(|| self.creating.begin(stream));
        self.order_owners.ask(stream, envelope, command).await
    }

    /// Looks at an order; answers when all that was seen is on the disk.
    pub async fn look_order<R: Send + 'static>(
        &self,
        order: OrderId,
        look: impl Fn(&Order) -> R + Clone + Send + 'static,
    ) -> Result<R, Failure<order::Refusal>> {
        self.order_owners.look(StreamId::Order(order), look).await
    }

    /// Gives a command to a quote.
    pub async fn quote(&self, quote: QuoteId, envelope: Envelope, command: quote::Command) -> Answer<Quote> {
        self.quote_keeping(quote, envelope, command, Kept::default()).await
    }

    /// As [`Node::quote`], with what is kept until the command has come to its end.
    pub(crate) async fn quote_keeping(&self, quote: QuoteId, envelope: Envelope, command: quote::Command, kept: Kept) -> Answer<Quote> {
        let stream = StreamId::Quote(quote);
        let _creating = matches!(command, quote::Command::Draft { .. }).then(|| self.creating.begin(stream));
        self.quote_owners.send_keeping(stream, self.clock.now(), envelope, command, kept)?.await
    }

    /// Looks at a quote; answers when all that was seen is on the disk.
    pub async fn look_quote<R: Send + 'static>(
        &self,
        quote: QuoteId,
        look: impl Fn(&Quote) -> R + Clone + Send + 'static,
    ) -> Result<R, Failure<quote::Refusal>> {
        self.quote_owners.look(StreamId::Quote(quote), look).await
    }

    /// Gives a command to a till session. Open one with [`crate::tills::open`], which sees to it that a desk has one at a time.
    pub async fn till(&self, till: TillId, envelope: Envelope, command: till::Command) -> Answer<Till> {
        self.till_keeping(till, envelope, command, Kept::default()).await
    }

    /// As [`Node::till`], with what is kept until the command has come to its end.
    pub(crate) async fn till_keeping(&self, till: TillId, envelope: Envelope, command: till::Command, kept: Kept) -> Answer<Till> {
        let stream = StreamId::Till(till);
        let _creating = matches!(command, till::Command::Open { .. }).then(|| self.creating.begin(stream));
        self.till_owners.send_keeping(stream, self.clock.now(), envelope, command, kept)?.await
    }

    /// Looks at a till session; answers when all that was seen is on the disk.
    pub async fn look_till<R: Send + 'static>(
        &self,
        till: TillId,
        look: impl Fn(&Till) -> R + Clone + Send + 'static,
    ) -> Result<R, Failure<till::Refusal>> {
        self.till_owners.look(StreamId::Till(till), look).await
    }

    /// The account with a code.
    #[must_use]
    pub fn account_id(code: Code) -> AccountId {
        AccountId(digest(&[b"account", code.as_str().as_bytes()]).0 as u64)
    }

    /// Gives a command to an operator's account.
    pub async fn account(&self, code: Code, envelope: Envelope, command: account::Command) -> Answer<Account> {
        let stream = StreamId::Account(Self::account_id(code));
        let _creating = matches!(command, account::Command::Open { .. }).then(|| self.creating.begin(stream));
        self.account_owners.ask(stream, envelope, command).await
    }

    /// Looks at an operator's account; answers when all that was seen is on the disk.
    pub async fn look_account<R: Send + 'static>(
        &self,
        code: Code,
        look: impl Fn(&Account) -> R + Clone + Send + 'static,
    ) -> Result<R, Failure<account::Refusal>> {
        self.account_owners.look(StreamId::Account(Self::account_id(code)), look).await
    }

    /// Gives a command to a fraud case.
    pub async fn case(&self, case: CaseId, envelope: Envelope, command: case::Command) -> Answer<Case> {
        self.case_keeping(case, envelope, command, Kept::default()).await
    }

    /// As [`Node::case`], with what is kept until the command has come to its end.
    pub(crate) async fn case_keeping(&self, case: CaseId, envelope: Envelope, command: case::Command, kept: Kept) -> Answer<Case> {
        let stream = StreamId::Case(case);
        let _creating = matches!(command, case::Command::Open(_) | case::Command::Follow { .. }).then(|| self.creating.begin(stream));
        self.case_owners.send_keeping(stream, self.clock.now(), envelope, command, kept)?.await
    }

    /// Looks at a fraud case; answers when all that was seen is on the disk.
    pub async fn look_case<R: Send + 'static>(
        &self,
        case: CaseId,
        look: impl Fn(&Case) -> R + Clone + Send + 'static,
    ) -> Result<R, Failure<case::Refusal>> {
        self.case_owners.look(StreamId::Case(case), look).await
    }

    /// Gives a command to the rules that are asked before any model.
    pub async fn rules(&self, envelope: Envelope, command: fraud_rules::Command) -> Answer<Rules> {
        self.rules_owner.ask(StreamId::Rules, envelope, command).await
    }

    /// Gives a command to the models of a kind.
    pub async fn models(&self, kind: ModelKind, envelope: Envelope, command: model_registry::Command) -> Answer<Models> {
        self.model_owners.ask(StreamId::Models(kind), envelope, command).await
    }

    /// Puts the fraud models to work that the registry says, now: what the node does by itself every half second. Answers whether nothing is left
    /// to do: they are at work, or were too slow there.
    pub async fn follow_models(&self) -> bool {
        if !self.scoring.has_other_models(&self.defences) {
            return true;
        }
        let (scoring, defences) = (Arc::clone(&self.scoring), Arc::clone(&self.defences));
        if tokio::task::spawn_blocking(move || scoring.follow_models(&defences)).await.is_err() {
            tracing::error!("the fraud models were not looked at");
        }
        !self.scoring.has_other_models(&self.defences)
    }

    /// Keeps an attempt that was blocked or given up, in the stream of its day.
    pub async fn attempt(&self, envelope: Envelope, attempt: attempts::Attempt) -> Answer<Attempts> {
        let stream = StreamId::Attempts(attempt.id.day());
        self.attempt_owners.ask(stream, envelope, attempts::Command::Note(Box::new(attempt))).await
    }

    /// Keeps an attempt of which nothing was kept, because somebody appeals.
    pub async fn claim_attempt(&self, envelope: Envelope, attempt: attempts::Attempt) -> Answer<Attempts> {
        let stream = StreamId::Attempts(attempt.id.day());
        self.attempt_owners.ask(stream, envelope, attempts::Command::Claim(Box::new(attempt))).await
    }

    /// Counts attempts of a party of whom as many are kept as may be.
    pub async fn count_attempts(&self, day: u16, envelope: Envelope, acting: Option<Party>, more: u32) -> Answer<Attempts> {
        self.attempt_owners.ask(StreamId::Attempts(day), envelope, attempts::Command::Count { acting, more }).await
    }

    /// Looks at the attempts of a day; answers when all that was seen is on the disk.
    pub async fn look_attempts<R: Send + 'static>(
        &self,
        day: u16,
        look: impl Fn(&Attempts) -> R + Clone + Send + 'static,
    ) -> Result<R, Failure<attempts::Refusal>> {
        self.attempt_owners.look(StreamId::Attempts(day), look).await
    }

    /// Gives a command to the attendance of a museum that is known.
    pub async fn attendance(&self, museum: MuseumId, envelope: Envelope, command: attendance::Command) -> Answer<Attendance> {
        self.attendance_owners.ask(StreamId::Attendance(museum), envelope, command).await
    }

    /// Gives a command to the planning of a museum that is known.
    pub async fn planning(&self, museum: MuseumId, envelope: Envelope, command: planning::Command) -> Answer<Planning> {
        self.planning_owners.ask(StreamId::Planning(museum), envelope, command).await
    }
}
