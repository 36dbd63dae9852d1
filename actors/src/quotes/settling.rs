//! How what is accepted is settled: a payment is begun, the account is charged, or nothing is due; who says no leaves the quote as it was sent. A payment asks the quote
//! whether its money is welcome before it sells the places, and the quote hears what has become of its payment.

use tornello_engine::account;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{Code, HoldId, KeyId, PaymentId, QuoteId};
use tornello_engine::payment::{self, ItemEnd, Payment, Stage as Paying};
use tornello_engine::quote::{self, About, Command, Offer, Quote, Settle, Stage, Status};
use tornello_engine::slot::{self, Slot};

use super::options::release;
use super::{Refusal, Step, acceptance, drafter, for_system, note, of_payments, of_quote, of_slot, step};
use crate::failure::Failure;
use crate::node::Node;
use crate::pauses::go_on;
use crate::payments;

/// How much of a museum's name a payer reads, in characters.
const NAME_MAX: usize = 100;

/// Settles what was accepted, or begins to.
pub(super) async fn settle(node: &Node, quote: &Quote) -> Step<()> {
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

/// Why the gateway of a payment would not have it, if it would not.
pub(super) async fn refused_by_gateway(node: &Node, payment: PaymentId) -> Step<Option<Code>> {
    let failed = |payment: &Payment| if let Paying::Failed { code } = payment.stage() { Some(code) } else { None };
    node.look_payment(payment, failed).await.map_err(|failure| of_payments(failure.map(payments::Refusal::Payment)))
}

/// The code of what said no, as the journal keeps it.
fn coded<T>(why: &str) -> Step<Result<T, Code>> {
    why.parse().map(Err).map_err(|_| Failure::OutOfOrder(format!("{why} is not a code")))
}

/// Withdraws a payment, or finds that it is paid.
pub(super) async fn end_payment(node: &Node, quote: &Quote, payment: PaymentId) -> Step<()> {
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
pub(super) async fn follow(node: &Node, id: QuoteId, payment: PaymentId) -> Step<bool> {
    let known = node.look_payment(payment, |payment: &Payment| {
        let holds: Vec<HoldId> = payment.opened().iter().flat_map(|opened| &opened.items).map(|item| item.hold).collect();
        (payment.stage(), holds, payment.items().to_vec())
    });
    let (stage, holds, items) = match known.await {
        Ok(known) => known,
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
            // The option of a part whose money goes back, or that was sold anew, keeps its places for nobody.
            let mut left = Ok(());
            for (hold, end) in holds.into_iter().zip(&items) {
                if !matches!(end, ItemEnd::Sold { sale, .. } if *sale == hold) {
                    left = go_on(node, left, release(node, id, hold).await)?;
                }
            }
            left?;
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
