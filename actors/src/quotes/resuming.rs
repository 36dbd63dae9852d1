//! What goes on with quotes by itself: those that were left under way are driven on, each less often while it does not help, and the groups of doubtful ones are reminded
//! earlier than their policy says. A reminder is an event of the quote's stream: whoever writes to people follows the journal, nothing is sent from here.

use futures_util::StreamExt;
use tornello_engine::ids::{PaymentId, QuoteId};
use tornello_engine::quote::{self, Command};

use super::gone::{self, Followed};
use super::{advance, step};
use crate::failure::Failure;
use crate::forecaster::Basis;
use crate::node::Node;
use crate::pauses::{Pauses, keep_resuming};
use crate::views::quotes::deadline as deadline_name;

/// How many quotes are resumed at once.
pub(super) const RESUMED: usize = 16;

/// Those that have something to do, and those whose payment has ended and who are to hear of it.
fn left_behind(node: &Node) -> Vec<QuoteId> {
    let is_open = |payment: &PaymentId| node.payments().head(*payment).is_some_and(|head| head.stage.is_open());
    let paid = node.quotes().awaiting().into_iter().filter(|(_, payment)| !is_open(payment)).map(|(quote, _)| quote);
    node.quotes().working().into_iter().chain(paid).collect()
}

/// Drives every quote that has something to do, tells those that wait for a payment what has become of it, and those whose tickets are gone of that; answers how many could
/// not be brought further now.
pub async fn resume(node: &Node) -> usize {
    gone::follow_tickets(node, &mut Followed::default()).await + resume_due(node, &mut Pauses::default()).await
}

/// Drives those whose turn it is, several at once: one that waits for its slot or its account keeps no other.
pub(crate) async fn resume_due(node: &Node, pauses: &mut Pauses<QuoteId>) -> usize {
    let driven = futures_util::stream::iter(pauses.due(left_behind(node), node.now())).map(|quote| async move {
        let driven = advance(node, quote).await;
        if let Err(failure) = &driven {
            tracing::warn!(%quote, ?failure, "a quote cannot be driven on now");
        }
        (quote, driven.is_ok())
    });
    let driven: Vec<(QuoteId, bool)> = driven.buffer_unordered(RESUMED).collect().await;
    driven.iter().for_each(|(quote, is_done)| pauses.note(*quote, node.now(), *is_done));
    driven.iter().filter(|(_, is_done)| !is_done).count()
}

/// Reminds the groups whose quotes are likelier to lapse than not, of the deadline that runs, once half of their time has gone by; answers how many were. The quote itself
/// decides, and notes it once for each deadline. As long as too few quotes have ended here nothing is done by what is assumed of them: the policy's days hold.
pub async fn remind_doubtful(node: &Node) -> usize {
    let (now, mut reminded) = (node.now(), 0);
    for (id, head) in node.quotes().early_reminders(now) {
        let Some(chance) = node.forecaster().lapse(&head, now).filter(|chance| chance.basis != Basis::Assumption) else { continue };
        let lapse_permille = (chance.probability * 1_000.0).round() as u16;
        let Some((deadline, _)) = head.deadline.filter(|_| lapse_permille > quote::DOUBTFUL_PERMILLE) else { continue };
        let key = step(id, &format!("remind {}", deadline_name(deadline)), u64::from(head.revision));
        match node.quote(id, key, Command::RemindEarly { lapse_permille }).await {
            Ok(_) => reminded += 1,
            // It has changed since.
            Err(Failure::Refused(_)) => {}
            Err(failure) => tracing::warn!(quote = %id, ?failure, "a doubtful quote's group cannot be reminded now"),
        }
    }
    reminded
}

/// Resumes what was left under way, at once and then again and again; each quote less often while it does not help. Runs until dropped.
pub(crate) async fn keep_quoting(node: &Node) {
    tokio::join!(keep_driving(node), gone::keep_following(node));
}

/// Sees to all that needs no lists: nobody waits because these do.
async fn keep_driving(node: &Node) {
    keep_resuming::<Pauses<QuoteId>>(node, |node, pauses| Box::pin(resume_due(node, pauses))).await;
}
