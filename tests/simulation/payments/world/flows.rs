//! What reporting flows say of receipts: that their money came, that it was taken back, and another word later. In every other world nothing is reported so; what is, is drawn by
//! dice of its own, so that what else happens in a world is known by its seed.

use super::*;

/// The flows of a run: each is issued again and again, and its last word of a receipt counts.
const FLOWS_NAMED: [&str; 3] = ["2026-06-11PSP-1", "2026-06-12PSP-1", "2026-06-12PSP-2"];
/// What outcomes of payments are numbered as.
const EXECUTED: u8 = 0;
const REVOKED: u8 = 3;
const STAND_IN: u8 = 8;

/// What a flow says.
#[derive(Clone, Copy)]
enum Says {
    /// Money that came was taken back.
    Revoked,
    /// What was taken back, or some of it, was not.
    Corrected,
    /// Money was taken back whose receipt is still on its way.
    Early,
    /// Money came while the station was away; another flow has it as usual.
    StandIn,
    /// More and more was taken back, while somebody lets a refund go.
    MoreAndMore,
}

fn says(flow: &str, iur: &str, (index, code): (u8, u8), cents: i64) -> payment::Command {
    let (flow, iur, amount_cents) = (flow.to_owned(), iur.to_owned(), Cents::new(cents));
    payment::Command::Report { reported: Reported { flow, iur, index, amount_cents, code } }
}

const fn is_of_flows(receipt: &Receipt) -> bool {
    matches!(receipt.source, Source::Node | Source::Report)
}

impl World {
    /// Now and then a flow is issued.
    pub fn flow_comes(&mut self) {
        let Some(mut banks) = self.banks.take() else { return };
        if banks.chance(18) {
            let says = [(5, Says::Revoked), (5, Says::Corrected), (2, Says::Early), (2, Says::StandIn), (3, Says::MoreAndMore)];
            match banks.weighted(&says) {
                Says::Revoked => self.revoked(&mut banks),
                Says::Corrected => self.corrected(&mut banks),
                Says::Early => self.revoked_early(&mut banks),
                Says::StandIn => self.stand_in(&mut banks),
                Says::MoreAndMore => self.revoked_more_and_more(&mut banks),
            }
        }
        self.banks = Some(banks);
    }

    /// Of what came, all or some was taken back; now and then a flow says more than that, or of a transfer that the payment has not.
    fn revoked(&mut self, banks: &mut Dice) {
        let Some(id) = recent(&self.books, banks, |due| due.came.iter().any(is_of_flows)) else { return };
        let came: Vec<&Receipt> = self.books.payments[&id].came.iter().filter(|receipt| is_of_flows(receipt)).collect();
        let receipt = came[banks.index(came.len())];
        let (iur, cents) = (receipt.id.clone(), receipt.amount_cents.get());
        let cents = banks.weighted(&[(6, cents), (3, (cents + 1) / 2), (1, cents + 100), (1, 1)]);
        let index = if banks.chance(95) { 1 } else { 2 };
        let flow = banks.pick(&FLOWS_NAMED);
        self.payment(id, says(flow, &iur, (index, REVOKED), cents));
    }

    /// A flow that took something back is issued anew: it takes nothing, less, or more.
    fn corrected(&mut self, banks: &mut Dice) {
        let is_revoked = |due: &Due| due.named.values().any(|(code, _)| *code == REVOKED);
        let Some(id) = recent(&self.books, banks, is_revoked) else { return };
        let lines = self.books.payments[&id].named.iter().filter(|(_, (code, _))| *code == REVOKED);
        let lines: Vec<((String, String, u8), i64)> = lines.map(|(key, (_, cents))| (key.clone(), *cents)).collect();
        let ((flow, iur, index), cents) = &lines[banks.index(lines.len())];
        let (code, cents) = banks.weighted(&[(6, (EXECUTED, *cents)), (2, (REVOKED, (cents + 1) / 2)), (1, (REVOKED, cents + 50))]);
        self.payment(id, says(flow, iur, (*index, code), cents));
    }

    /// The receipt comes at once, when it is sent again, or at last.
    fn revoked_early(&mut self, banks: &mut Dice) {
        let Some((id, money)) = self.money_on_its_way(banks, Source::Node) else { return };
        let receipt = &self.moneys[money].receipt;
        let (iur, cents) = (receipt.id.clone(), receipt.amount_cents.get());
        let cents = banks.weighted(&[(4, cents), (1, (cents + 1) / 2)]);
        let flow = banks.pick(&FLOWS_NAMED);
        self.payment(id, says(flow, &iur, (1, REVOKED), cents));
        if banks.chance(50) {
            self.send(money);
        }
    }

    /// Each flow pays what it names; the second one finds it paid.
    fn stand_in(&mut self, banks: &mut Dice) {
        let Some((id, money)) = self.money_on_its_way(banks, Source::Report) else { return };
        self.moneys[money].receipt.stand_in = true;
        let receipt = &self.moneys[money].receipt;
        let (iur, cents) = (receipt.id.clone(), receipt.amount_cents.get());
        for (flow, code) in [(FLOWS_NAMED[0], STAND_IN), (FLOWS_NAMED[1], EXECUTED)] {
            self.payment(id, says(flow, &iur, (1, code), cents));
            self.send(money);
        }
    }

    /// Part of a receipt is taken back and somebody lets a refund of it go; then the rest is, and whoever sends the refund out is refused. Of some refunds it is noted that the payer has
    /// them from their bank, and of some flows that they took nothing.
    fn revoked_more_and_more(&mut self, banks: &mut Dice) {
        let waits = |due: &Due| open_of_flows(due).next().is_some();
        let Some(id) = recent(&self.books, banks, waits) else { return };
        let due = &self.books.payments[&id];
        let open: Vec<(u32, usize)> = open_of_flows(due).collect();
        let (refund, receipt) = banks.pick(&open);
        let (iur, cents) = (due.came[receipt].id.clone(), due.came[receipt].amount_cents.get());
        let (batch, executed_on) = (code(&format!("batch-{}", banks.below(100))), calendar::local_day(self.now()));
        let by_bank = payment::Command::ConfirmRefund { refund, by: PaidBackBy::PayersBank, reference: "CB-2".to_owned(), executed_on };
        let settled = banks.chance(50).then_some(by_bank);
        let corrected = banks.chance(40).then(|| says(FLOWS_NAMED[1], &iur, (1, EXECUTED), cents));
        let commands = [
            says(FLOWS_NAMED[0], &iur, (1, REVOKED), (cents + 1) / 2),
            payment::Command::ReleaseRefund { refund },
            says(FLOWS_NAMED[1], &iur, (1, REVOKED), cents),
            payment::Command::ExportRefund { refund, batch },
        ];
        for command in commands.into_iter().chain(settled).chain(corrected) {
            self.payment(id, command);
        }
    }

    /// Money that somebody has paid, whose receipt nobody has sent yet.
    fn money_on_its_way(&mut self, banks: &mut Dice, source: Source) -> Option<(PaymentId, usize)> {
        let unpaid = banks.chance(70);
        let payment = recent(&self.books, banks, |due| due.opened.gateway.is_position() && !(unpaid && due.is_paid()))?;
        let cents = self.books.payments[&payment].opened.amount_cents.get();
        let receipt = self.receipt(format!("f{:032x}", banks.next()), source, cents);
        self.moneys.push(Money { payment, receipt, taken: false, refused: false });
        Some((payment, self.moneys.len() - 1))
    }
}

/// The refunds that nobody has sent, of what went through pagoPA, with the receipt that each is of.
fn open_of_flows(due: &Due) -> impl Iterator<Item = (u32, usize)> {
    let open = due.tasks().filter(move |(_, back)| back.went == Went::Open && is_of_flows(&due.came[back.receipt]));
    open.map(|(refund, back)| (refund, back.receipt))
}
