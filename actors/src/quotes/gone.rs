//! Tickets of quotes that are cancelled beside them. Whoever cancels the last ones tells the quote; where money goes back that is who hands it over, and is resumed with it.
//! Where none does, the lists say later which quotes have tickets of which none stands any more: nobody may have told them, if the node ended between the two.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use futures_util::StreamExt;
use tornello_engine::ids::{HoldId, QuoteId};
use tornello_engine::quote::{self, Command, Quote, Stage};
use tornello_engine::record::Record;
use tornello_engine::slot::{self, Slot};
use tornello_engine::time::{DAY_S, Timestamp};

use super::resuming::RESUMED;
use super::tickets::arrivals;
use super::{Step, note, of_quote, of_slot, step};
use crate::failure::Failure;
use crate::journal::{JournalError, StreamId};
use crate::node::Node;
use crate::pauses::{Pauses, keep_resuming};
use crate::streams::{read_failed, visit};

/// How long after a visit its quote still hears of tickets that are gone, in seconds: 90 days.
const FOLLOWED_S: i64 = 90 * DAY_S;

/// The quotes of which some sale has no ticket left and that were asked then: how many such sales there were. One more, and they are asked again.
#[derive(Default)]
pub(super) struct Followed {
    asked: BTreeMap<QuoteId, usize>,
    pauses: Pauses<QuoteId>,
}

/// Follows tickets of a quote that were cancelled beside it: when none stands any more, or was used, the quote is cancelled too, and if the museum was the cause, the
/// fee and the extras go back.
///
/// # Errors
/// Whatever keeps the quote, or a slot, from being asked.
pub async fn tickets_cancelled(node: &Node, id: QuoteId, cause: slot::CancelCause) -> Step<()> {
    if has_none_left(node, id).await? { note_cancelled(node, id, cause).await } else { Ok(()) }
}

/// Follows tickets of a quote of which the museum is said to be the cause that they were cancelled before, and the group was: if the quote is cancelled with them already, that is the
/// museum's doing from now on, and the fee and the extras go back too.
///
/// # Errors
/// As of [`tickets_cancelled`].
pub async fn cause_corrected(node: &Node, id: QuoteId) -> Step<()> {
    tickets_cancelled(node, id, slot::CancelCause::Museum).await?;
    let is_the_groups = |quote: &Quote| matches!(quote.stage(), Stage::CalledOff { cause: quote::CancelCause::Group, .. });
    match node.look_quote(id, is_the_groups).await {
        Ok(true) => {
            let museum = Command::Cancel { owner: None, cause: quote::CancelCause::Museum };
            note(node, id, step(id, "cause corrected", 0), museum).await
        }
        Ok(false) | Err(Failure::Refused(_)) => Ok(()),
        Err(failure) => Err(of_quote(failure)),
    }
}

/// Whether a quote has tickets of which none stands any more, or was used.
async fn has_none_left(node: &Node, id: QuoteId) -> Step<bool> {
    let mut sales = match node.look_quote(id, |quote| quote.stage().clone()).await {
        Ok(Stage::Ticketed { sales, .. }) => sales,
        // Its tickets are being issued: it is asked again when they are.
        Ok(Stage::Paid) => return Err(Failure::Busy),
        Ok(_) | Err(Failure::Refused(_)) => return Ok(false),
        Err(failure) => return Err(of_quote(failure)),
    };
    let (mut at, mut is_moving) = (0, false);
    while let Some(&sale) = sales.get(at) {
        let states = move |slot: &Slot| -> Vec<slot::TicketState> {
            slot.sale_of(sale).map(|found| found.tickets.iter().map(|ticket| ticket.state).collect()).unwrap_or_default()
        };
        for state in node.look(sale.slot(), states).await.map_err(|failure| of_slot(sale.slot(), failure))? {
            match state {
                slot::TicketState::Cancelled | slot::TicketState::Moved => {}
                slot::TicketState::Moving => is_moving = true,
                slot::TicketState::Valid | slot::TicketState::Inside { .. } | slot::TicketState::Outside { .. } => return Ok(false),
            }
        }
        sales.extend(arrivals(node, sale).await?);
        at += 1;
    }
    // Where they will stand is known in a moment; they may be cancelled there already.
    if is_moving { Err(Failure::Busy) } else { Ok(true) }
}

async fn note_cancelled(node: &Node, id: QuoteId, cause: slot::CancelCause) -> Step<()> {
    let cause = match cause {
        slot::CancelCause::Visitor => quote::CancelCause::Group,
        slot::CancelCause::Museum => quote::CancelCause::Museum,
    };
    note(node, id, step(id, "tickets cancelled", 0), Command::NoteTicketsCancelled { cause }).await
}

/// Tells quotes that their tickets are gone, if nobody has; answers how many could not be asked now. What is gone is read off the lists: what they do not show yet is found
/// when they do, and without a data folder nothing is, as nothing outlives the node there.
pub(super) async fn follow_tickets(node: &Node, followed: &mut Followed) -> usize {
    let Some(files) = node.files() else { return 0 };
    let gone = match files.views.sales_gone(node.now().plus_seconds(-FOLLOWED_S)).await {
        Ok(gone) => gone,
        Err(error) => {
            tracing::warn!(%error, "which tickets of quotes are gone cannot be seen now");
            return 1;
        }
    };
    let mut sales: BTreeMap<QuoteId, Vec<HoldId>> = BTreeMap::new();
    gone.into_iter().for_each(|(quote, sale)| sales.entry(quote).or_default().push(sale));
    let Followed { asked, pauses } = followed;
    asked.retain(|quote, _| sales.contains_key(quote));
    let is_new = |(quote, sales): (&QuoteId, &Vec<HoldId>)| (asked.get(quote) != Some(&sales.len())).then_some(*quote);
    let due = pauses.due(sales.iter().filter_map(is_new).collect(), node.now());
    let sales = &sales;
    let told = futures_util::stream::iter(due).map(|quote| async move {
        let gone = sales.get(&quote).map(Vec::as_slice).unwrap_or_default();
        let told = follow(node, quote, gone).await;
        if let Err(failure) = &told {
            tracing::warn!(%quote, ?failure, "a quote cannot be told now that its tickets are gone");
        }
        (quote, gone.len(), told.is_ok())
    });
    let told: Vec<(QuoteId, usize, bool)> = told.buffer_unordered(RESUMED).collect().await;
    for (quote, gone, is_done) in &told {
        pauses.note(*quote, node.now(), *is_done);
        if *is_done {
            asked.insert(*quote, *gone);
        }
    }
    told.iter().filter(|(.., is_done)| !is_done).count()
}

/// Tells quotes that their tickets are gone, at once and then again and again. Runs until dropped.
pub(super) async fn keep_following(node: &Node) {
    keep_resuming::<Followed>(node, |node, followed| Box::pin(follow_tickets(node, followed))).await;
}

/// Tells a quote of sales that have no ticket left, if it has none in others either. It is cancelled for the reason of the last of them.
async fn follow(node: &Node, id: QuoteId, gone: &[HoldId]) -> Step<()> {
    if has_none_left(node, id).await?
        && let Some(cause) = last_cause(node, gone).await?
    {
        note_cancelled(node, id, cause).await?;
    }
    Ok(())
}

/// Why the last tickets of some sales were cancelled, from the records of their slots.
async fn last_cause(node: &Node, sales: &[HoldId]) -> Step<Option<slot::CancelCause>> {
    let mut last: Option<(Timestamp, slot::CancelCause)> = None;
    for &sale in sales {
        let look = |record: Record<slot::Event>| -> Result<ControlFlow<()>, JournalError> {
            for event in &record.events {
                if let slot::Event::Cancelled(cancelled) = event
                    && cancelled.sale == sale
                    && last.is_none_or(|(at, _)| at <= record.at)
                {
                    last = Some((record.at, cancelled.cause));
                }
            }
            Ok(ControlFlow::Continue(()))
        };
        visit(node.journal().as_ref(), StreamId::Slot(sale.slot()), 0, look).await.map_err(|error| read_failed(&error))?;
    }
    Ok(last.map(|(_, cause)| cause))
}
