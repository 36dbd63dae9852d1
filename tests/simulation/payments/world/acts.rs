//! What patrons, desks, gateways and the office do.

use super::*;
use crate::payments::books::due::Back;

impl World {
    /// The slots that are sold now: soon, tomorrow, in some days.
    pub fn choose_slots(&mut self) {
        let now = self.now();
        self.slots = [2, 3, 27, 80].iter().map(|hours| SlotId::new(MUSEUM, RouteId(1), hour_of(now, *hours))).collect();
        let known = self.books.slots.keys().copied().filter(|slot| slot.start() > now);
        let mut known: Vec<SlotId> = known.collect();
        known.truncate(4);
        if known.len() >= 3 {
            self.slots = known;
        }
    }

    pub fn some_lines(&mut self) -> Vec<Line> {
        let line = |category: &str, count: &[u16], prices: &[i64], dice: &mut Dice| Line {
            category: code(category),
            count: dice.pick(count),
            price_cents: Cents::new(dice.pick(prices)),
            proof: Proof::None,
        };
        let mut lines = vec![line("full", &[1, 1, 2, 3], &[1_200, 1_200, 1_201, 1_201, 0], &mut self.dice)];
        if self.dice.chance(25) {
            lines.push(line("reduced", &[1], &[0, 333], &mut self.dice));
        }
        lines
    }

    pub fn hold(&mut self) {
        let (slot, lines, envelope) = (self.dice.pick(&self.slots), self.some_lines(), self.envelope());
        let hold = HoldId::new(slot, self.dice.next());
        self.slot(slot, envelope, Command::Hold { hold, channel: Channel::Web, lines });
    }

    /// Others buy at the desk, so that late money finds nothing.
    pub fn fill(&mut self) {
        let (slot, envelope) = (self.dice.pick(&self.slots), self.envelope());
        let lines = vec![Line { category: code("full"), count: 1 + self.dice.below(5) as u16, price_cents: Cents::new(1_200), proof: Proof::None }];
        let settlement = desk_settlement();
        let sale = HoldId::new(slot, self.dice.next());
        self.slot(slot, envelope, Command::SellDirect { sale, channel: Channel::BoxOffice, lines, settlement, contact: None });
    }

    /// Holds that live, newest last.
    /// What buyers hold, and for whom.
    pub fn live(&self) -> Vec<(HoldId, KeyId)> {
        let mut all = self.all_live();
        all.retain(|(_, who)| *who != KeyId::SYSTEM);
        all
    }

    /// With what the system holds for quotes.
    pub fn all_live(&self) -> Vec<(HoldId, KeyId)> {
        let live = |naive: &crate::naive::Naive| naive.live().map(|(id, hold)| (*id, hold.who)).collect::<Vec<_>>();
        self.slots.iter().filter_map(|slot| self.books.slots.get(slot)).flat_map(live).collect()
    }

    pub fn begin(&mut self) {
        let mut holds: Vec<(HoldId, KeyId)> = self.live();
        self.dice.shuffle(&mut holds);
        let Some(&(_, who)) = holds.first() else { return self.hold() };
        let count = self.dice.weighted(&[(6, 1), (3, 2), (1, 3)]);
        let mut holds: Vec<HoldId> = holds.iter().filter(|(_, of)| *of == who).map(|(hold, _)| *hold).take(count).collect();
        let due = holds.iter().any(|hold| {
            let held = self.books.slots.get(&hold.slot()).and_then(|naive| naive.holds.get(hold));
            held.is_some_and(|held| held.lines.iter().any(|line| line.price_cents > Cents::ZERO))
        });
        let extra = |count, cents| Extra { code: code("booking"), count, price_cents: Cents::new(cents) };
        let extras = if self.dice.chance(20) { vec![extra(1 + self.dice.below(2) as u16, 150)] } else { Vec::new() };
        if !extras.is_empty() && self.dice.chance(10) {
            holds.clear();
        }
        let voucher = VoucherId(self.dice.pick(&VOUCHERS));
        let gateway = match (due && !holds.is_empty()) || !extras.is_empty() {
            true => self.dice.weighted(&[(8, Gateway::Notice), (4, Gateway::Checkout), (2, Gateway::Desk), (3, Gateway::Voucher { voucher })]),
            false => Gateway::Free,
        };
        let due_at = self.now().plus_seconds(self.dice.pick(&[600, 1_800, 3_600, 90_000]));
        let envelope = Envelope { who, ..self.envelope() };
        let request = Request {
            creditor: CREDITOR,
            order: self.dice.chance(40).then(|| OrderId(u128::from(who.0) * 10 + u128::from(self.dice.below(2)))),
            quote: None,
            holds,
            owner: Some(if self.dice.chance(96) { who } else { KeyId(7) }),
            channel: Channel::Web,
            extras,
            payer: self.dice.chance(50).then_some(PersonId(4)),
            museum: MUSEUM,
            subject: "Biglietti".to_owned(),
            gateway,
            due_at,
        };
        self.wishes.push(Wish { envelope, request, open: 0, answered: None });
        self.wish(self.wishes.len() - 1);
    }

    pub fn begin_again(&mut self) {
        if !self.wishes.is_empty() {
            let back = self.dice.index(self.wishes.len().min(6));
            self.counts.count("repeated begin", 1);
            self.wish(self.wishes.len() - 1 - back);
        }
    }

    pub fn wish(&mut self, index: usize) {
        let is_asked = self.flows.iter().any(|flow| matches!(flow.of, Of::Wish(of) if of == index));
        self.wishes[index].open += u32::from(is_asked);
        let (node, wish) = (self.node(), &self.wishes[index]);
        let (envelope, request) = (wish.envelope.clone(), wish.request.clone());
        self.begin_flow(Of::Wish(index), format_args!("begin {request:?}"), {
            let request = request.clone();
            async move { Outcome::Begun(index, payments::begin(&node, envelope, request).await) }
        });
    }

    /// A payment, the later the likelier, that is such a one.
    pub fn some_payment(&mut self, fits: impl Fn(&Due) -> bool) -> Option<PaymentId> {
        recent(&self.books, &mut self.dice, fits)
    }

    pub fn verify(&mut self) {
        let Some(id) = self.some_payment(|_| true) else { return };
        let (node, now) = (self.node(), self.now());
        self.begin_flow(Of::Others, format_args!("verify {id}"), async move {
            Outcome::Verified(id, node.look_payment(id, move |payment| payment.payable(now)).await)
        });
    }

    pub fn get(&mut self) {
        let any = self.dice.chance(20);
        let Some(id) = self.some_payment(|due| any || (due.is_open() && due.published)) else { return };
        let (node, until) = (self.node(), self.now().plus_seconds(self.dice.pick(&[600, 1_800, 1_800, 10_000])));
        self.books.tokens.entry(id).or_default().insert(until);
        self.begin_flow(Of::Others, format_args!("get {id} until {until}"), async move {
            let verified = node
                .look_payment(id, {
                    let now = node.now();
                    move |payment| payment.payable(now).map(drop)
                })
                .await;
            match verified {
                Ok(Ok(())) => Outcome::Got(payments::activate(&node, id, until).await),
                Ok(Err(why)) => Outcome::Got(Err(Failure::Refused(payments::Refusal::Payment(why)))),
                Err(failure) => Outcome::Got(Err(failure.map(payments::Refusal::Payment))),
            }
        });
    }

    /// Somebody pays: mostly what is due once, in time or late; now and then twice, too much, too little, while the station is away, or told by a report.
    pub fn pay(&mut self) {
        let sensible = self.dice.chance(75);
        let Some(id) = self.some_payment(|due| due.opened.gateway.is_position() && (!sensible || !due.is_paid())) else { return };
        let due = &self.books.payments[&id];
        let (cents, over) = (due.opened.amount_cents.get(), due.over.is_some());
        let cents = self.dice.weighted(&[(86, cents), (5, cents + 77), (5, (cents - 100).max(1)), (2, 1)]);
        self.counts.count("late receipt", u64::from(over));
        let source = if self.dice.chance(92) { Source::Node } else { Source::Report };
        let stand_in = self.dice.chance(8);
        let id_of = format!("t{:032x}", self.dice.next());
        let mut receipt = self.receipt(id_of, source, cents);
        receipt.stand_in = stand_in;
        self.moneys.push(Money { payment: id, receipt, taken: false, refused: false });
        self.send(self.moneys.len() - 1);
        if self.dice.chance(15) {
            // The node sends it again before it hears anything.
            self.send(self.moneys.len() - 1);
        }
    }

    pub fn desk(&mut self) {
        let Some(id) = self.some_payment(|due| due.opened.gateway != Gateway::Free && !due.is_paid()) else { return };
        let cents = self.books.payments[&id].opened.amount_cents.get();
        let reference = format!("R-{}", self.dice.below(1_000));
        let source = Source::Desk { till: code("desk-1"), method: DeskMethod::Cash, reference };
        let id_of = format!("d{:032x}", self.dice.next());
        let receipt = self.receipt(id_of, source, cents);
        self.moneys.push(Money { payment: id, receipt, taken: false, refused: false });
        self.send(self.moneys.len() - 1);
    }

    pub fn receipt(&self, id: String, source: Source, cents: i64) -> Receipt {
        let text = String::new;
        let (amount_cents, paid_at) = (Cents::new(cents), self.now());
        Receipt { id, source, amount_cents, paid_at, psp: text(), channel: text(), method: text(), stand_in: false, fee_cents: None }
    }

    pub fn resend(&mut self) {
        if !self.moneys.is_empty() {
            let back = self.dice.index(self.moneys.len().min(6));
            self.send(self.moneys.len() - 1 - back);
        }
    }

    pub fn send(&mut self, index: usize) {
        let (node, money) = (self.node(), &self.moneys[index]);
        let (id, receipt) = (money.payment, money.receipt.clone());
        self.begin_flow(Of::Others, format_args!("receipt for {id}: {receipt:?}"), {
            let receipt = receipt.clone();
            async move { Outcome::Received(index, payments::receive(&node, id, receipt).await) }
        });
    }

    pub fn cancel(&mut self) {
        let any = self.dice.chance(20);
        let Some(id) = self.some_payment(|due| any || due.is_open()) else { return };
        let (node, envelope, owner) = (self.node(), self.envelope(), self.books.payments[&id].opened.who);
        let owner = self.dice.chance(60).then_some(owner);
        self.begin_flow(Of::Others, format_args!("payment {id} is cancelled"), async move {
            Outcome::Cancelled(payments::cancel(&node, id, envelope, owner, code("buyer")).await)
        });
    }

    pub fn some_sale(&mut self) -> Option<HoldId> {
        let sales = self.books.of_payments();
        if sales.is_empty() || self.dice.chance(10) {
            let all: Vec<HoldId> = self.books.slots.values().flat_map(|naive| naive.sales.keys().copied()).collect();
            return (!all.is_empty()).then(|| self.dice.pick(&all));
        }
        Some(self.dice.pick(&sales))
    }

    /// Often of tickets that have moved: their money is where that of the sale is that they were bought as.
    pub fn cancel_tickets(&mut self) {
        let moved = self.books.of_moves();
        let sale = if !moved.is_empty() && self.dice.chance(40) { Some(self.dice.pick(&moved)) } else { self.some_sale() };
        let Some(sale) = sale else { return };
        let cause = if self.dice.chance(60) { CancelCause::Museum } else { CancelCause::Visitor };
        let tickets = if self.dice.chance(50) { Vec::new() } else { vec![self.dice.below(2) as u16] };
        let envelope = self.envelope();
        // Or the museum was the cause of what is cancelled already.
        let corrects = cause == CancelCause::Museum && tickets.is_empty() && self.dice.chance(30);
        let command = if corrects { Command::CorrectCause { sale, owner: None } } else { Command::Cancel { sale, owner: None, tickets, cause } };
        self.slot(sale.slot(), envelope, command);
    }

    pub fn move_tickets(&mut self) {
        let Some(sale) = self.some_sale() else { return };
        let to = self.dice.pick(&self.slots);
        let arrival = HoldId::new(to, self.dice.next());
        let prices = [("full", 1_200), ("full", 1_201), ("full", 0)];
        let full = self.dice.pick(&prices);
        let prices = vec![(code(full.0), Cents::new(full.1)), (code("reduced"), Cents::new(self.dice.pick(&[0, 333])))];
        let tickets = if self.dice.chance(50) { Vec::new() } else { vec![0] };
        let command = Command::BeginMove { sale, owner: None, tickets, arrival, via: Channel::BoxOffice, prices };
        let (node, envelope) = (self.node(), self.envelope());
        self.begin_flow(Of::Others, format_args!("move {command:?}"), {
            let command = command.clone();
            async move { Outcome::Moved(moves::move_tickets(&node, sale.slot(), envelope, command).await.is_ok()) }
        });
    }

    /// Behind a payment's back: a hold is given back, prolonged, changed or sold to whoever asks.
    pub fn touch_hold(&mut self) {
        let holds = self.all_live();
        if holds.is_empty() {
            return;
        }
        let (hold, who) = self.dice.pick(&holds);
        // Nobody is the system but the flows of quotes.
        let who = if who == KeyId::SYSTEM { KeyId(1) } else { who };
        let envelope = Envelope { who, ..self.envelope() };
        let command = match self.dice.below(5) {
            0 => Command::Extend { hold, owner: Some(who) },
            1 => Command::Amend { hold, lines: self.some_lines(), owner: Some(who) },
            4 => {
                let node = self.node();
                self.begin_flow(Of::Others, format_args!("sell {hold} for nothing"), async move {
                    let mut confirmation = payments::Confirmation::new(hold, None);
                    if let Err(failure) = confirmation.look(&node).await {
                        return Outcome::Slot(Err(failure));
                    }
                    Outcome::Slot(node.slot(hold.slot(), envelope, confirmation.command(&Settlement::Free, None)).await)
                });
                return;
            }
            owner => {
                let (node, owner) = (self.node(), (owner == 2).then_some(who));
                self.begin_flow(Of::Others, format_args!("give {hold} back, {owner:?}"), async move {
                    Outcome::Slot(payments::release(&node, hold, envelope, owner).await)
                });
                return;
            }
        };
        self.slot(hold.slot(), envelope, command);
    }

    pub fn refund(&mut self) {
        if self.dice.chance(8) {
            return self.refund_again();
        }
        let Some(id) = self.some_payment(|due| !due.back.is_empty()) else { return };
        let due = &self.books.payments[&id];
        let refund = self.dice.below(due.back.len() as u64) as u32;
        let went = due.back[refund as usize].went;
        let executed_on = calendar::local_day(self.now());
        let by_till = PaidBackBy::Till { till: code("desk-1"), method: DeskMethod::Cash };
        let by = if went == Went::Sent || self.dice.chance(60) { PaidBackBy::Transfer } else { by_till };
        let batch = code(&format!("batch-{}", self.dice.below(100)));
        let command = match self.dice.below(if went == Went::Open { 10 } else { 14 }) {
            0..2 => payment::Command::SetPayee { refund, person: PersonId(5) },
            2..6 => payment::Command::ExportRefund { refund, batch },
            6..10 => payment::Command::ConfirmRefund { refund, by, reference: "CRO-1".to_owned(), executed_on },
            _ => payment::Command::ReturnRefund { refund, why: code("account-closed") },
        };
        self.payment(id, command);
    }

    /// What goes back for cancelled tickets is asked for once more, under another key: the first one is forgotten after a day.
    fn refund_again(&mut self) {
        let of = |back: &Back| match back.why {
            payment::RefundReason::Cancelled { sale, seq, .. } => Some((sale, seq, Cents::new(back.cents))),
            _ => None,
        };
        let Some(id) = self.some_payment(|due| due.back.iter().any(|back| of(back).is_some())) else { return };
        let known: Vec<(HoldId, u64, Cents)> = self.books.payments[&id].back.iter().filter_map(of).collect();
        let (sale, seq, amount_cents) = self.dice.pick(&known);
        let Some((_, origin)) = self.books.paid_by(sale) else { return };
        self.counts.count("refund asked for again", 1);
        self.payment(id, payment::Command::Refund { origin, sale, seq, amount_cents });
    }

    /// The payer's bank contests a payment of which something is to go back, and it is let go; then the bank is right, or contests it once more: it waits again, and whoever
    /// sends it to the bank all the same is refused. Of some it is noted that the payer has it from their bank.
    fn contest_again(&mut self) {
        let is_open = |(_, back): &(u32, &Back)| back.went == Went::Open;
        let Some(id) = self.some_payment(|due| due.tasks().any(|task| is_open(&task))) else { return };
        let open: Vec<u32> = self.books.payments[&id].tasks().filter(is_open).map(|(refund, _)| refund).collect();
        let (refund, batch) = (self.dice.pick(&open), code(&format!("batch-{}", self.dice.below(100))));
        let dispute = || payment::Command::Dispute { reason: code("fraud"), reference: "C-2".to_owned() };
        let (release, upheld) =
            (payment::Command::ReleaseRefund { refund }, payment::Command::ResolveDispute { upheld: true, took: payment::Took::default() });
        let commands = if self.dice.chance(50) { vec![dispute(), release, upheld] } else { vec![dispute(), upheld, release, dispute()] };
        self.counts.count("contested again", 1);
        let (by, reference, executed_on) = (PaidBackBy::PayersBank, "CB-1".to_owned(), calendar::local_day(self.now()));
        let settled = (refund % 2 == 0).then_some(payment::Command::ConfirmRefund { refund, by, reference, executed_on });
        for command in commands.into_iter().chain([payment::Command::ExportRefund { refund, batch }]).chain(settled) {
            self.payment(id, command);
        }
    }

    pub fn dispute(&mut self) {
        if self.dice.chance(40) {
            return self.contest_again();
        }
        let Some(id) = self.some_payment(|due| !due.came.is_empty()) else { return };
        let due = &self.books.payments[&id];
        let reported =
            Reported { flow: "2026-06-11PSP-1".to_owned(), iur: due.came[0].id.clone(), index: 1, amount_cents: due.came[0].amount_cents, code: 0 };
        let refund = self.dice.below(due.back.len() as u64 + 1) as u32;
        let command = match self.dice.below(6) {
            0 => payment::Command::ResolveDispute { upheld: self.dice.chance(50), took: payment::Took::default() },
            1 => payment::Command::ReleaseRefund { refund },
            2..4 => payment::Command::Dispute { reason: code("fraud"), reference: "C-1".to_owned() },
            _ => payment::Command::Report { reported },
        };
        self.payment(id, command);
    }

    pub fn drive(&mut self) {
        let Some(id) = self.some_payment(|_| true) else { return };
        let node = self.node();
        self.begin_flow(Of::Others, format_args!("payment {id} is driven"), async move {
            let _ = payments::drive(&node, id).await;
            Outcome::Done
        });
    }
}
