//! What must hold once nothing is on its way.

use super::*;
use crate::payments::books::due::Sums;
use crate::world::sums_of;

impl World {
    /// Whether the node does nothing by itself and nothing is on its way to the journal.
    pub fn is_idle(&self) -> bool {
        tokio::runtime::Handle::current().metrics().num_alive_tasks() <= self.life().tasks && self.stands_plug() && !self.life().plugged
    }

    /// Everything that was begun ends.
    pub async fn settle(&mut self, faults: bool) -> Result<(), String> {
        self.disk.unreadable.store(false, Ordering::SeqCst);
        let mut idle = 0;
        for _ in 0..STEPS_MAX {
            self.outside.go_on();
            self.others_go_on(TURNS).await;
            self.hear().await?;
            idle = if self.flows.is_empty() && self.is_idle() { idle + 1 } else { 0 };
            if idle > 1 {
                return Ok(());
            }
            self.advance(faults).await?;
        }
        Err(format!("the node hangs; {} flows are under way", self.flows.len()))
    }

    /// Nothing fails any more; payers' receipts arrive, flows are resumed until nobody has anything to do; then everything must add up.
    pub async fn come_to_rest(&mut self) -> Result<(), String> {
        self.settle(true).await?;
        self.outside.troubled.store(false, Ordering::SeqCst);
        self.settle(false).await?;
        for try_number in 0..12 {
            let unsent: Vec<usize> = (0..self.moneys.len()).filter(|&index| !self.moneys[index].taken && !self.moneys[index].refused).collect();
            for index in &unsent {
                self.send(*index);
                self.settle(false).await?;
            }
            // The museum says of each refund of a contested payment that it may go, or a voucher would wait for ever for what is its own.
            let contested: Vec<(PaymentId, u32)> =
                self.books.payments.iter().flat_map(|(id, due)| due.waiting().map(move |refund| (*id, refund))).collect();
            for (id, refund) in &contested {
                self.payment(*id, payment::Command::ReleaseRefund { refund: *refund });
                self.settle(false).await?;
            }
            self.wake();
            self.settle(false).await?;
            self.resume_moves();
            self.settle(false).await?;
            self.resume();
            self.settle(false).await?;
            let node = self.node();
            let owing = node.board().owing().len() + node.board().moving().len() + node.payments().working().len();
            let owing = owing + node.quotes().working().len() + node.accounts().awaiting().len();
            if unsent.is_empty() && contested.is_empty() && self.left == Some(0) && owing == 0 {
                self.counts.count("quiet", 1);
                return self.adds_up().await;
            }
            if try_number > 2 {
                // Who has stopped again and again is rebuilt a minute later.
                self.life().clock.pass(61);
            }
        }
        Err(format!("the node does not come to rest: {:?} are left, working: {:?}", self.left, self.node().payments().working()))
    }

    pub async fn adds_up(&mut self) -> Result<(), String> {
        self.audit()?;
        self.books.at_rest()?;
        let node = self.node();
        let mut balances: BTreeMap<Account, i64> = BTreeMap::new();
        let ids: Vec<PaymentId> = self.books.payments.keys().copied().collect();
        for id in ids {
            let look = move |payment: &Payment| {
                let taken: Vec<i64> = (0..payment.receipts().len() as u32).map(|receipt| payment.taken_of(receipt).get()).collect();
                let waiting = payment.refunds().iter().filter(|refund| payment.is_contested(refund)).map(|refund| refund.number);
                let waiting: Vec<u32> = waiting.collect();
                (postcard::to_allocvec(payment).unwrap_or_default(), payment.recount(), (*payment.money(), taken, waiting))
            };
            let (bytes, sound, (money, taken, waiting)) =
                self.look(async { node.look_payment(id, look).await.map_err(|failure| failure.to_string()) }).await?;
            let due = &self.books.payments[&id];
            let replayed = Payment::replay(id, &due.records);
            let of = |wrong: &str| format!("{wrong}: payment {id}");
            rule(postcard::to_allocvec(&replayed).ok().as_ref() == Some(&bytes), "the live state is not the replayed one (PY-6)")
                .map_err(|wrong| of(&wrong))?;
            rule(sound.is_ok(), "a recount differs").map_err(|wrong| format!("{wrong}: {sound:?}"))?;
            let sums = due.sums()?;
            let [came, waits, tickets, extras, owed, gone] =
                [money.received, money.unallotted, money.tickets, money.extras, money.owed, money.paid_back].map(Cents::get);
            rule(
                (sums.came, sums.waits, sums.tickets, sums.extras, sums.owed, sums.gone) == (came, waits, tickets, extras, owed, gone),
                "the payment says that its money is elsewhere",
            )
            .map_err(|wrong| of(&wrong))?;
            let is_taken = taken.into_iter().eq((0..due.came.len()).map(|receipt| due.taken_of(receipt)));
            rule(is_taken, "the payment says that its payer's bank took back something else").map_err(|wrong| of(&wrong))?;
            rule(due.waiting().eq(waiting), "other refunds wait for somebody's word than have to").map_err(|wrong| of(&wrong))?;
            for record in &due.records {
                post(&mut balances, ledger::of_payment(&replayed, record))?;
            }
            let (head, position) = (node.payments().head(id), self.outside.position(id));
            let tasks = due.tasks().count() as u32;
            rule(head.is_none_or(|head| !head.has_work && head.owed == tasks), "the list of payments says something else than there is")
                .map_err(|wrong| of(&wrong))?;
            rule(head.is_some() || (tasks == 0 && !due.is_open()), "a payment that is not finished is not listed").map_err(|wrong| of(&wrong))?;
            if due.opened.gateway.is_position() {
                rule(!due.is_open() || !due.published || position == Some(Position::Payable), "what can be paid is not known at the gateway")
                    .map_err(|wrong| of(&wrong))?;
                let refused = due.closed.as_ref().is_some_and(|closed| closed.refused.is_some());
                rule(!due.is_withdrawn() || refused || position != Some(Position::Payable), "what is over can still be paid at the gateway")
                    .map_err(|wrong| of(&wrong))?;
                rule(!due.is_withdrawn() || due.closed.is_some(), "nobody told the gateway of the end").map_err(|wrong| of(&wrong))?;
                let at_a_desk = due.paid_by.is_some_and(|place| matches!(due.came[place].source, Source::Desk { .. }));
                rule(!at_a_desk || due.closed.is_some(), "nobody told the gateway that a desk was paid").map_err(|wrong| of(&wrong))?;
                rule(!at_a_desk || refused || position != Some(Position::Payable), "what a desk was paid for can be paid at the gateway as well")
                    .map_err(|wrong| of(&wrong))?;
            }
        }
        let slots: Vec<SlotId> = self.books.slots.keys().copied().collect();
        for id in slots {
            let look = move |slot: &Slot| (postcard::to_allocvec(slot).unwrap_or_default(), slot.recount(), sums_of(slot));
            let (bytes, sound, sums) = self.look(async { node.look(id, look).await.map_err(|failure| failure.to_string()) }).await?;
            let naive = &self.books.slots[&id];
            let replayed = Slot::replay(&naive.records).ok_or("a slot is never opened")?;
            rule(postcard::to_allocvec(&replayed).ok().as_ref() == Some(&bytes), "the live state is not the replayed one (SL-4)")?;
            rule(sound.is_ok(), "a recount differs").map_err(|wrong| format!("{wrong}: {sound:?}"))?;
            rule(naive.sums() == sums, "of some sale something else was paid back, told or carried away, or may be paid back (SL-6, SL-10)")
                .map_err(|wrong| format!("{wrong}: {sums:?}, not {:?}", naive.sums()))?;
            for record in &naive.records {
                post(&mut balances, ledger::of_slot(id, record))?;
            }
            let taken = Channel::ALL.iter().map(|channel| naive.held_by(*channel) + naive.sold_by(*channel)).sum::<u32>();
            rule(taken <= self.capacity, "more is sold than there are places (SL-1)")?;
        }
        for (id, records) in &self.books.accounts {
            let replayed = account::Account::replay(*id, records);
            rule(replayed.recount().is_ok() && replayed.awaited().next().is_none(), "an account does not add up (AC-1, AC-2)")?;
            for record in records {
                post(&mut balances, ledger::of_account(&replayed, record))?;
            }
        }
        let vouchers: Vec<VoucherId> = self.books.vouchers.keys().copied().collect();
        for id in vouchers {
            let look = |voucher: &Voucher| (postcard::to_allocvec(voucher).unwrap_or_default(), voucher.balance().get());
            let (bytes, balance) = self.look(async { node.look_voucher(id, look).await.map_err(|failure| failure.to_string()) }).await?;
            let purse = &self.books.vouchers[&id];
            let replayed = Voucher::replay(id, &purse.records);
            rule(postcard::to_allocvec(&replayed).ok().as_ref() == Some(&bytes), "the live state is not the replayed one (VO-3)")?;
            rule(balance == purse.left, "a voucher is worth something else than was left on it")?;
        }
        self.tills_at_rest()?;
        self.accounts_add_up(&balances)?;
        // Everybody who has paid is in the books, once.
        for money in self.moneys.iter().filter(|money| !money.refused) {
            let known = self.books.payments.get(&money.payment).map_or(0, |due| due.came.iter().filter(|came| **came == money.receipt).count());
            rule(known == 1, "money that somebody paid is not in the books just once").map_err(|wrong| format!("{wrong}: {:?}", money.receipt))?;
        }
        Ok(())
    }

    /// The accounts of the double entry come to what the books say.
    pub fn accounts_add_up(&self, balances: &BTreeMap<Account, i64>) -> Result<(), String> {
        let of = |account: Account| balances.get(&account).copied().unwrap_or(0);
        rule(balances.values().sum::<i64>() == 0, "the double entry does not balance")?;
        let mut sums = Sums::default();
        let (mut treasury, mut taken_back) = (0, 0);
        for due in self.books.payments.values() {
            let page = due.sums()?;
            sums.extras += page.extras;
            sums.waits += page.waits;
            sums.owed += page.owed;
            treasury +=
                due.came.iter().filter(|came| matches!(came.source, Source::Node | Source::Report)).map(|came| came.amount_cents.get()).sum::<i64>();
            treasury -= due.back.iter().filter(|back| back.went == Went::Gone(PaidBackBy::Transfer)).map(|back| back.cents).sum::<i64>();
            taken_back -= due.settled().map(|back| back.cents).sum::<i64>();
            for (receipt, cents) in &due.taken {
                taken_back += cents;
                treasury -= if matches!(due.came[*receipt].source, Source::Desk { .. }) { 0 } else { *cents };
            }
        }
        rule(of(Account::Treasury) == treasury, "the treasury is not what came less what went back")?;
        rule(of(Account::TakenBack { museum: MUSEUM }) == taken_back, "payers' banks took back something else")?;
        rule(of(Account::Unallotted) == -sums.waits, "something is not allotted")?;
        let of_quotes = |event: &account::Event| match event {
            account::Event::Charged(charged) => charged.extras_cents.get(),
            account::Event::TakenBack(taken) => -taken.extras_cents.get(),
            _ => 0,
        };
        let charged: i64 = self.books.accounts.values().flatten().flat_map(|record| &record.events).map(of_quotes).sum();
        rule(of(Account::Extras { museum: MUSEUM }) == -(sums.extras + charged), "extras took something else")?;
        rule(of(Account::Transit) == 0, "money is on its way for ever").map_err(|wrong| format!("{wrong}: {balances:?}"))?;
        rule(of(Account::Refunds) == -sums.owed, "something else is owed")?;
        let tickets: i64 = self.books.slots.values().map(|naive| naive.money()).map(|(paid, refunded)| paid - refunded).sum();
        rule(of(Account::Tickets { museum: MUSEUM }) == -tickets, "tickets took something else")
            .map_err(|wrong| format!("{wrong}: {balances:?}, {tickets}"))
    }

    /// A look at something, with nothing else under way.
    pub async fn look<T: 'static>(&mut self, look: impl Future<Output = Result<T, String>>) -> Result<T, String> {
        let mut look = std::pin::pin!(look);
        for _ in 0..STEPS_MAX {
            for _ in 0..TURNS {
                if let Some(seen) = (&mut look).now_or_never() {
                    return seen;
                }
                tokio::task::yield_now().await;
            }
            self.advance(false).await?;
        }
        Err("a look hangs".into())
    }

    /// The end: the node is left to itself while time passes, and does everything that is left; the next one finds the same.
    pub async fn end(&mut self) -> Result<(), String> {
        self.act().await?;
        self.settle(true).await?;
        self.outside.troubled.store(false, Ordering::SeqCst);
        self.settle(false).await?;
        self.life().clock.let_wake();
        for _ in 0..400 {
            self.life().clock.pass(1);
            self.others_go_on(TURNS).await;
            self.advance(false).await?;
            let node = self.node();
            let groups = node.quotes().working().is_empty() && node.accounts().awaiting().is_empty();
            if groups && node.payments().working().is_empty() && node.board().owing().is_empty() && node.board().moving().is_empty() {
                break;
            }
        }
        let working = self.node().payments().working();
        rule(working.is_empty(), "the node does not finish what is left by itself").map_err(|wrong| format!("{wrong}: {working:?}"))?;
        let working = self.node().quotes().working();
        rule(working.is_empty(), "the node does not finish a quote by itself").map_err(|wrong| format!("{wrong}: {working:?}"))?;
        self.come_to_rest().await?;
        // Whatever can expire has expired: what is for now, and what is for a group that has days.
        let last = self.books.payments.values().filter(|due| due.is_open()).map(|due| due.opened.due_at).max();
        let until = last.map_or(0, |last| last.micros_since(self.now()) / 1_000_000 + HOUR_S);
        self.life().clock.pass(until.max(30 * HOUR_S));
        self.come_to_rest().await?;
        let open = self.books.payments.values().filter(|due| due.is_open()).count();
        rule(open == 0, "a payment is open though its time is over")?;
        self.line(format_args!("the node is killed at the end"));
        self.crash().await?;
        self.settle(false).await?;
        self.come_to_rest().await?;
        let Some(life) = self.life.take() else { return Ok(()) };
        self.disk.crash(None);
        life.alive.store(false, Ordering::SeqCst);
        let Life { running, doing, standing, .. } = life;
        drop((standing, doing));
        running.stop().await;
        let end = self.disk.end();
        self.line(format_args!("the journal ends with {end}"));
        Ok(())
    }
}
