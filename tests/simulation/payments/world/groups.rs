//! What the group office does, and what operators buy on their account.

use tornello_actors::accounts;
use tornello_actors::quotes;
use tornello_engine::account;
use tornello_engine::ids::QuoteId;
use tornello_engine::institution::Institution;
use tornello_engine::quote::policy::{Fee, FeePer, GroupPolicy, Terms};
use tornello_engine::quote::{self, About, Asked, Kind, Settle};

use super::*;
use crate::payments::books::group::State;

/// The operator's account.
const ACCOUNT: &str = "tours";

/// Small groups that pay to the last moment, with a fee for each.
pub fn policy() -> GroupPolicy {
    let fee = Fee { per: FeePer::Group, amount: Cents::new(150), free_a_day: 1 };
    GroupPolicy {
        group_min: 1,
        group_max: 3,
        other: Terms { escorts: None, fee },
        signature_days: 1,
        payment_working_days: 0,
        reminder_days: 1,
        desk_for: vec![Kind::Other],
        ..GroupPolicy::default()
    }
}

impl World {
    /// Opens the operator's account.
    pub fn open_account(&mut self) {
        let (node, limit) = (self.node(), self.dice.pick(&[None, Some(Cents::new(9_000)), Some(Cents::new(60_000))]));
        let key = self.envelope();
        self.begin_flow(Of::Others, format_args!("an account is opened, limit {limit:?}"), async move {
            let open = account::Command::Open { code: code(ACCOUNT), institution: Institution::default(), limit_cents: limit };
            let _ = node.account(code(ACCOUNT), key, open).await;
            Outcome::Done
        });
    }

    pub fn group(&mut self) {
        match self.dice.weighted(&[(30, 0), (24, 1), (26, 2), (12, 3), (12, 4), (8, 5), (10, 6)]) {
            0 => self.draft(),
            1 => self.with_quote(&[State::Draft], |node, id, envelope, _| async move { drop(quotes::send(&node, id, envelope, None).await) }, "sent"),
            2 => {
                let settle = self.dice.pick(&[Settle::Notice, Settle::Notice, Settle::Checkout, Settle::Desk, Settle::OnAccount]);
                let what = "accepted";
                let accept = move |node: Arc<Node>, id, envelope, revision| async move {
                    let command = quote::Command::Accept { owner: None, revision, settle, creditor: CREDITOR, by_office: true };
                    drop(quotes::accept(&node, id, envelope, command).await);
                };
                self.with_quote(&[State::Sent], accept, what);
            }
            3 => {
                let asked = self.visit();
                let revise = move |node: Arc<Node>, id, envelope, _| async move { drop(quotes::revise(&node, id, envelope, None, asked).await) };
                self.with_quote(&[State::Draft, State::Sent], revise, "revised");
            }
            4 => {
                let command = match self.dice.below(5) {
                    4 => {
                        let museum = quote::Command::Cancel { owner: None, cause: quote::CancelCause::Museum };
                        let ask = move |node: Arc<Node>, id, envelope, _| async move { drop(quotes::ask(&node, id, envelope, museum).await) };
                        return self.with_quote(&[State::Ticketed, State::Paid], ask, "called off");
                    }
                    0 => quote::Command::Refuse { owner: None },
                    1 => quote::Command::Cancel { owner: None, cause: quote::CancelCause::Group },
                    _ => quote::Command::Reopen,
                };
                let ask = move |node: Arc<Node>, id, envelope, _| async move { drop(quotes::ask(&node, id, envelope, command).await) };
                self.with_quote(&[State::Sent, State::Accepted], ask, "taken back, or its acceptance");
            }
            5 => {
                let node = self.node();
                self.begin_flow(Of::Others, format_args!("quotes are resumed"), async move {
                    quotes::resume(&node).await;
                    accounts::resume(&node).await;
                    Outcome::Done
                });
            }
            _ => self.sell_on_account(),
        }
    }

    /// One part for each three people, in slots of one day.
    fn visit(&mut self) -> Asked {
        let first = self.dice.pick(&self.slots);
        let day = |slot: &SlotId| calendar::local_day(slot.start());
        let mut slots: Vec<SlotId> = self.slots.iter().copied().filter(|slot| day(slot) == day(&first)).collect();
        let count = 1 + self.dice.below(3 * slots.len() as u64) as u16;
        slots.truncate(usize::from(count.div_ceil(3)));
        let price = self.dice.pick(&[1_200, 1_200, 333, 0]);
        Asked { slots, members: vec![line("full", count, price)], escorts: 0, extras: Vec::new() }
    }

    fn draft(&mut self) {
        let (node, envelope, asked) = (self.node(), self.envelope(), self.visit());
        let account = self.dice.chance(70).then(|| code(ACCOUNT));
        let about = About { museum: MUSEUM, kind: Kind::Other, contact: None, institution: Institution::default(), account };
        self.begin_flow(Of::Others, format_args!("a quote for {asked:?}"), {
            let asked = asked.clone();
            async move {
                let _ = quotes::draft(&node, envelope, about, asked).await;
                Outcome::Done
            }
        });
    }

    fn with_quote<F: Future<Output = ()> + 'static>(
        &mut self,
        states: &[State],
        act: impl FnOnce(Arc<Node>, QuoteId, Envelope, u32) -> F + 'static,
        what: &str,
    ) {
        let any = self.dice.chance(10);
        let found: Vec<(QuoteId, u32)> =
            self.books.groups.iter().filter(|(_, group)| any || states.contains(&group.state)).map(|(id, group)| (*id, group.revision)).collect();
        if found.is_empty() {
            return;
        }
        let ((id, revision), node, envelope) = (self.dice.pick(&found), self.node(), self.envelope());
        self.begin_flow(Of::Others, format_args!("quote {id} is {what}"), async move {
            act(node, id, envelope, revision).await;
            Outcome::Done
        });
    }

    fn sell_on_account(&mut self) {
        let (slot, node, envelope) = (self.dice.pick(&self.slots), self.node(), self.envelope());
        let (sale, lines) = (HoldId::new(slot, self.dice.next()), vec![line("full", 1 + self.dice.below(3) as u16, 1_200)]);
        let settlement = Settlement::OnAccount { account: code(ACCOUNT) };
        let command = Command::SellDirect { sale, channel: Channel::Group, lines, settlement, contact: None };
        self.begin_flow(Of::Others, format_args!("sold on account: {command:?}"), {
            let command = command.clone();
            async move {
                let _ = accounts::sell(&node, code(ACCOUNT), envelope, command).await;
                Outcome::Done
            }
        });
    }

    /// What came of the visits, as the journal says.
    pub fn count_groups(&mut self) {
        let (books, counts) = (&self.books, &mut self.counts);
        for group in books.groups.values() {
            counts.count("quotes", 1);
            counts.count("quotes with tickets", u64::from(group.state == State::Ticketed));
            counts.count("quotes paid by a payment", u64::from(group.paid.is_some_and(|by| by.is_some())));
            counts.count("quotes paid without", u64::from(group.paid == Some(None)));
            counts.count("quotes revised", u64::from(group.revision > 1));
            counts.count("quotes over", u64::from(group.state == State::Over));
            counts.count("quotes called off", u64::from(group.state == State::Over && !group.sales.is_empty()));
        }
        for due in books.payments.values() {
            let of_quote = due.opened.quote.and_then(|quote| books.groups.get(&quote));
            let loses = |group: &crate::payments::books::group::Group| {
                group.paid.is_none_or(|by| by.is_none_or(|by| !std::ptr::eq(&books.payments[&by], due)))
            };
            counts.count("money that a quote does not want", u64::from(due.is_paid() && of_quote.is_some_and(loses)));
        }
        counts.count("sold on account", books.sold_on_account());
    }
}

fn line(category: &str, count: u16, cents: i64) -> Line {
    Line { category: code(category), count, price_cents: Cents::new(cents), proof: Proof::None }
}
