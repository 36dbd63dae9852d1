//! What is under way: flows that somebody waits for, how they begin, and whether what they say at their end is true.

use super::*;

/// How a flow ended.
pub(super) enum Outcome {
    Slot(Answer<Slot>),
    Begun(usize, Step<PaymentId>),
    Received(usize, Step<()>),
    Verified(PaymentId, Result<Result<payment::Payable, payment::Refusal>, Failure<payment::Refusal>>),
    Got(Step<()>),
    Cancelled(Step<()>),
    Resumed(usize),
    Payment(Answer<Payment>),
    Voucher(Answer<Voucher>),
    Moved(bool),
    Till(Result<TillId, Failure<till::Refusal>>),
    Done,
}

/// Something that somebody waits for.
pub(super) struct Flow {
    pub(super) number: u64,
    handle: JoinHandle<Outcome>,
    pub(super) of: Of,
}

/// Whose flow it is.
#[derive(Clone, Copy)]
pub(super) enum Of {
    Wish(usize),
    Others,
}

impl World {
    /// Nobody waits for it any more.
    pub(super) fn give_up(&mut self, flow: Flow) {
        flow.handle.abort();
        match flow.of {
            Of::Wish(wish) => self.wishes[wish].open += 1,
            Of::Others => {}
        }
    }

    /// What has ended is looked at.
    pub(super) async fn hear(&mut self) -> Result<(), String> {
        let mut at = 0;
        while at < self.flows.len() {
            if !self.flows[at].handle.is_finished() {
                at += 1;
                continue;
            }
            let flow = self.flows.remove(at);
            let outcome = flow.handle.await.map_err(|error| format!("a flow does not end well: {error}"))?;
            // What is said is on the disk.
            self.audit()?;
            let said = self.ended(outcome)?;
            self.line(format_args!("{}: {said}", flow.number));
        }
        Ok(())
    }

    fn ended(&mut self, outcome: Outcome) -> Result<String, String> {
        let short = |failure: &dyn std::fmt::Debug| format!("{failure:?}");
        Ok(match outcome {
            Outcome::Slot(answer) => answer.map_or_else(|failure| short(&failure), |record| format!("record {}", record.seq)),
            Outcome::Payment(answer) => answer.map_or_else(|failure| short(&failure), |record| format!("record {}", record.seq)),
            Outcome::Voucher(answer) => answer.map_or_else(|failure| short(&failure), |record| format!("record {}", record.seq)),
            Outcome::Begun(wish, begun) => {
                let wish = &mut self.wishes[wish];
                let written = |id: PaymentId| self.books.payments.get(&id).is_some_and(|due| due.key == (wish.envelope.who, wish.envelope.key));
                match &begun {
                    Ok(id) => {
                        rule(written(*id), "a payment is said to be begun that is not written down")?;
                        // A key is remembered for a day.
                        let opened_at = |id: PaymentId| self.books.payments[&id].records[0].at;
                        let is_forgotten = |before: PaymentId| opened_at(*id) >= opened_at(before).plus_seconds(REMEMBERED_S);
                        rule(wish.answered.is_none_or(|before| before == *id || is_forgotten(before)), "the same wish is two payments")?;
                        let holds: Vec<HoldId> = self.books.payments[id].opened.items.iter().map(|item| item.hold).collect();
                        rule(holds == wish.request.holds, "a payment is for something else than was asked")?;
                        wish.answered = Some(*id);
                    }
                    Err(Failure::Refused(_)) if wish.open == 0 && wish.answered.is_none() => {
                        let any = self.books.payments.values().any(|due| due.key == (wish.envelope.who, wish.envelope.key));
                        rule(!any, "a payment was refused and is written down")?;
                    }
                    Err(Failure::Refused(_)) => {}
                    Err(failure) => {
                        rule(is_passing(failure), "a payment cannot be begun for no reason").map_err(|wrong| format!("{wrong}: {failure:?}"))?;
                        wish.open += 1;
                    }
                }
                short(&begun)
            }
            Outcome::Received(money, said) => {
                let money = &mut self.moneys[money];
                let known =
                    self.books.payments.get(&money.payment).map_or(0, |due| due.came.iter().filter(|came| came.id == money.receipt.id).count());
                match &said {
                    Ok(()) => {
                        rule(known == 1, "a receipt is said to be taken that is not written down")?;
                        // Sent twice at once it may be answered twice with the one record that it became.
                        money.taken = true;
                    }
                    Err(Failure::Refused(payments::Refusal::Payment(payment::Refusal::ReceiptDuplicate))) => {
                        rule(known == 1, "a receipt is said to be known that is not")?;
                        self.counts.count("duplicate", 1);
                        money.taken = true;
                    }
                    Err(Failure::Refused(payments::Refusal::Payment(payment::Refusal::SourceNotAllowed))) => money.refused = true,
                    Err(Failure::Refused(why)) => return Err(format!("money is refused: {why:?}")),
                    Err(failure) => rule(is_passing(failure), "money is refused").map_err(|wrong| format!("{wrong}: {failure:?}"))?,
                }
                short(&said)
            }
            Outcome::Verified(id, said) => {
                if let Ok(Ok(payable)) = &said {
                    let due = self.books.payments.get(&id).ok_or("something can be paid that is not written down")?;
                    rule(payable.amount_cents == due.opened.amount_cents, "another sum can be paid than is due")?;
                    self.counts.count("verify", 1);
                }
                short(&said)
            }
            Outcome::Got(said) => {
                self.counts.count(if said.is_ok() { "get" } else { "get refused" }, 1);
                short(&said)
            }
            Outcome::Cancelled(said) => short(&said),
            Outcome::Resumed(left) => {
                self.left = Some(left);
                format!("{left} are left")
            }
            Outcome::Moved(done) => {
                self.counts.count("moved", u64::from(done));
                format!("moved: {done}")
            }
            Outcome::Till(said) => {
                if let Ok(till) = &said {
                    rule(self.books.drawers.contains_key(till), "a till is said to be opened that is not")?;
                }
                short(&said)
            }
            Outcome::Done => "done".into(),
        })
    }

    pub(super) fn begin_flow(&mut self, of: Of, what: std::fmt::Arguments<'_>, flow: impl Future<Output = Outcome> + 'static) {
        self.flow += 1;
        let number = self.flow;
        self.line(format_args!("{number} at {}: {what}", self.now()));
        self.flows.push(Flow { number, handle: tokio::task::spawn_local(flow), of });
    }

    pub(super) fn slot(&mut self, slot: SlotId, envelope: Envelope, command: Command) {
        let node = self.node();
        self.begin_flow(Of::Others, format_args!("slot {slot}: {command:?}"), {
            let command = command.clone();
            async move { Outcome::Slot(node.slot(slot, envelope, command).await) }
        });
    }

    pub(super) fn payment(&mut self, id: PaymentId, command: payment::Command) {
        let (node, envelope) = (self.node(), self.envelope());
        self.begin_flow(Of::Others, format_args!("payment {id}: {command:?}"), {
            let command = command.clone();
            async move { Outcome::Payment(node.payment(id, envelope, command).await) }
        });
    }

    pub(super) fn voucher(&mut self, id: VoucherId, envelope: Envelope, command: voucher::Command) {
        let node = self.node();
        self.begin_flow(Of::Others, format_args!("voucher {id}: {command:?}"), {
            let command = command.clone();
            async move { Outcome::Voucher(node.voucher(id, envelope, command).await) }
        });
    }

    pub(super) fn resume(&mut self) {
        self.left = None;
        let node = self.node();
        self.begin_flow(Of::Others, format_args!("what is left is resumed"), async move {
            let left = payments::resume(&node).await + quotes::resume(&node).await + accounts::resume(&node).await;
            Outcome::Resumed(left)
        });
    }

    pub(super) fn resume_moves(&mut self) {
        let node = self.node();
        self.begin_flow(Of::Others, format_args!("moves are resumed"), async move {
            moves::resume(&node).await;
            Outcome::Done
        });
    }

    pub(super) fn wake(&mut self) {
        let node = self.node();
        self.begin_flow(Of::Others, format_args!("what is due is woken"), async move {
            node.wake_due().await;
            Outcome::Done
        });
    }
}

/// Whether the same may be done later.
fn is_passing<R>(failure: &Failure<R>) -> bool {
    failure.is_retryable() || matches!(failure, Failure::OutOfOrder(why) if why.ends_with("stops again and again"))
}
