//! The places of a quote: options are taken in every slot, all or none, so one that is refused has the others given back. One that stays in its slot from revision to
//! revision is kept, and fitted to what is in force.

use tornello_engine::channel::Channel;
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{HoldId, KeyId, QuoteId, SlotId};
use tornello_engine::quote::{Command, Part, Quote};
use tornello_engine::slot::{self, Keeper, Line, Slot, people};
use tornello_engine::time::Timestamp;

use super::{Step, for_system, group_of, keep_contact, note, of_slot, step};
use crate::failure::Failure;
use crate::fraud::{SignalKind, of_option, signal_of};
use crate::node::Node;
use crate::pauses::go_on;

/// Keeps an option of a part that stays in its slot, as long as the new revision wants it, and lets it grow. One that is to shrink does so only when the revision
/// is in force: until then there is a way back. Of one that keeps more is said what would be said if it were taken now: a small one must be no way to a large one of which
/// nobody is told.
async fn keep(node: &Node, quote: &Quote, attempt: u32, hold: HoldId, grown: Option<Vec<Line>>, until: Timestamp) -> Step<Result<(), slot::Refusal>> {
    let id = quote.id();
    let own = |name: &str| for_system(id, &format!("{name} {attempt}"), hold);
    let grow = grown.map(|lines| {
        let mut envelope = own("grow");
        if quote.stays_for(hold).is_some_and(|kept| people(kept) < people(&lines)) {
            envelope.parties = group_of(quote);
            weigh(node, hold, &lines, &mut envelope);
        }
        (envelope, slot::Command::Amend { hold, lines, owner: Some(KeyId::SYSTEM) })
    });
    let prolong = (own("prolong"), slot::Command::Prolong { hold, until, cause: Keeper::Quote(id) });
    for (envelope, command) in grow.into_iter().chain([prolong]) {
        match node.slot(hold.slot(), envelope, command).await {
            Ok(_) => {}
            Err(Failure::Refused(why)) => return Ok(Err(why)),
            Err(failure) => return Err(of_slot(hold.slot(), failure)),
        }
    }
    Ok(Ok(()))
}

/// Takes the option of each part. The first that is refused is noted, and with it that none is to be kept.
pub(super) async fn take_options(node: &Node, quote: &Quote, attempt: u32) -> Step<()> {
    let Some(options) = quote.options().get(&attempt) else { return Ok(()) };
    let (id, asked) = (quote.id(), &options.asked);
    for (number, (part, &hold)) in (0_u16..).zip(asked.offer.parts.iter().zip(&asked.holds)) {
        let (lines, until, cause) = (part.lines.clone(), asked.until, Keeper::Quote(id));
        if let Some(kept) = quote.stays_for(hold) {
            let grows = people(kept) <= people(&lines);
            match keep(node, quote, attempt, hold, grows.then_some(lines), until).await? {
                Ok(()) => continue,
                Err(why) => {
                    let key = step(id, "options refused", u64::from(attempt));
                    return note(node, id, key, Command::NoteOptionsRefused { attempt, part: number, why }).await;
                }
            }
        }
        let mut envelope = Envelope { parties: group_of(quote), ..for_system(id, "option", hold) };
        weigh(node, hold, &lines, &mut envelope);
        let command = slot::Command::HoldFor { hold, channel: Channel::Group, lines, until, cause };
        let why = match node.slot(part.slot, envelope, command).await {
            Ok(_) => continue,
            // The key of this step is forgotten after a day: the hold itself says then whether it was taken.
            Err(Failure::Refused(slot::Refusal::IdTaken)) if is_held(node, part, hold).await? => continue,
            Err(Failure::Refused(why)) => why,
            Err(Failure::UnknownSlot(_)) => slot::Refusal::UnknownSlot,
            Err(failure) => return Err(of_slot(part.slot, failure)),
        };
        let key = step(id, "options refused", u64::from(attempt));
        return note(node, id, key, Command::NoteOptionsRefused { attempt, part: number, why }).await;
    }
    if let Some(about) = quote.about() {
        let slots: Vec<SlotId> = asked.offer.parts.iter().map(|part| part.slot).collect();
        keep_contact(node, about, &slots).await?;
    }
    note(node, id, step(id, "optioned", u64::from(attempt)), Command::NoteOptioned { attempt }).await
}

/// Says of an option of a known account what the scorers say of a hold, for whoever looks later.
fn weigh(node: &Node, hold: HoldId, lines: &[Line], envelope: &mut Envelope) {
    if envelope.parties.is_empty() {
        return;
    }
    let signal = signal_of(node.now(), SignalKind::Held, Channel::Group, hold, lines, envelope);
    let mut assessment = node.scoring().assess(&signal);
    of_option(&mut assessment);
    envelope.assessment = Some(Box::new(assessment));
}

async fn is_held(node: &Node, part: &Part, hold: HoldId) -> Step<bool> {
    let lines = part.lines.clone();
    let is_it = move |slot: &Slot| slot.hold_of(hold).is_some_and(|found| found.who == KeyId::SYSTEM && found.lines == lines);
    node.look(part.slot, is_it).await.map_err(|failure| of_slot(part.slot, failure))
}

/// Gives the options of an attempt back. Those that are gone, or were never taken, need not be; one that is in force is made what it is in force for, but for what another attempt
/// makes of it just now: the end of that one makes it so.
pub(super) async fn give_back(node: &Node, quote: &Quote, attempt: u32) -> Step<()> {
    let holds = quote.options().get(&attempt).map(|options| options.asked.holds.clone()).unwrap_or_default();
    let mut left = Ok(());
    for hold in holds {
        let ended = match quote.stays_for(hold) {
            None => release(node, quote.id(), hold).await,
            Some(_) if quote.is_taking(hold) => Ok(()),
            Some(lines) => {
                let command = slot::Command::Amend { hold, lines: lines.to_vec(), owner: Some(KeyId::SYSTEM) };
                match node.slot(hold.slot(), for_system(quote.id(), &format!("fit {attempt}"), hold), command).await {
                    Ok(_) | Err(Failure::Refused(_) | Failure::UnknownSlot(_)) => Ok(()),
                    Err(failure) => Err(of_slot(hold.slot(), failure)),
                }
            }
        };
        left = go_on(node, left, ended)?;
    }
    left?;
    note(node, quote.id(), step(quote.id(), "released", u64::from(attempt)), Command::NoteOptionsReleased { attempt }).await
}

pub(super) async fn release(node: &Node, id: QuoteId, hold: HoldId) -> Step<()> {
    match node.slot(hold.slot(), for_system(id, "release", hold), slot::Command::Release { hold, owner: Some(KeyId::SYSTEM) }).await {
        Ok(_) | Err(Failure::Refused(_) | Failure::UnknownSlot(_)) => Ok(()),
        Err(failure) => Err(of_slot(hold.slot(), failure)),
    }
}
