//! Acts on what the scorers say of a command before it is given: refuses what rules block, asks for a step-up, lets all else pass with its assessment in the
//! envelope. What was refused is written down with a code for an appeal. Gates never come here, and nobody waits: an assessment is read from memory.
//!
//! Nothing is decided here: the rules are in `models::fraud::rules`, what a review means at the gate in `engine::slot`.

use std::collections::HashSet;
use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderName;
use actix_web::{FromRequest, HttpRequest};
use serde::Serialize;
use tornello_actors::digest::digest;
use tornello_actors::failure::Failure;
use tornello_actors::fraud::challenge::{BITS, BadProof, Challenge};
use tornello_actors::fraud::hearing::{by_whom, figures, joining, kind_of_return, named, outlet};
use tornello_actors::fraud::{Held, Said, signal_of, signal_of_count, signal_of_held, signal_of_move, signal_of_payment, signal_of_return};
use tornello_actors::fraud::{SignalEvent, SignalKind, Taking};
use tornello_actors::node::Node;
use tornello_engine::attempts::{self, Attempt, Ending};
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Digest, Envelope, Outcome, Party, PartyKind};
use tornello_engine::ids::{AttemptId, HoldId, KeyId, MuseumId, SlotId};
use tornello_engine::money::Cents;
use tornello_engine::slot::{CancelCause, Line, Sale, Slot, Ticket, TicketState, people};
use tornello_engine::time::Timestamp;

use crate::problem::Problem;
use crate::request::random;

/// The header with a solved challenge.
pub const PROOF: HeaderName = HeaderName::from_static("step-up-proof");
/// How many parties of an attempt are kept.
const ATTEMPT_PARTIES: usize = 8;
/// A score from which on a challenge costs twice as much, and four times.
const HARDER: [u8; 2] = [80, 95];

/// The solved challenge that a request carries, if it does.
#[derive(Debug, Clone, Default)]
pub struct Proof(Option<String>);

impl FromRequest for Proof {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let proof = request.headers().get(PROOF).map(|header| header.to_str().map(str::to_owned));
        ready(proof.transpose().map(Self).map_err(|_| Problem::malformed("Step-Up-Proof must be visible ASCII")))
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What it will be when it is done.
    pub kind: SignalKind,
    /// Through which channel.
    pub channel: Channel,
    /// The hold, entry or sale; of a payment its first hold.
    pub hold: HoldId,
    /// The places; of a payment those of all its holds.
    pub lines: &'a [Line],
    /// Whether there is proof enough by itself: every ticket will bear somebody's name, which a gate compares with a document, or it is done at a desk, where somebody sees who
    /// asks, and no machine of theirs can work.
    pub proven: bool,
}

/// Why something was refused, in words for whoever asked.
#[derive(Debug, Clone, Serialize)]
struct Sentence {
    rule: String,
    it: String,
    en: String,
}

/// Assesses a command for places and acts on it: its envelope carries the assessment when this returns. Answers who takes part, as the counters know them.
pub async fn weigh(node: &Node, envelope: &mut Envelope, asked: Asked<'_>, proof: &Proof) -> Result<Vec<Taking>, Problem> {
    let signal = signal_of(node.now(), asked.kind, asked.channel, asked.hold, asked.lines, envelope);
    weigh_signal(node, envelope, &signal, (asked, Some(asked.hold.slot())), proof).await?;
    Ok(signal.parties)
}

/// What is remembered of a hold or a sale; if nothing is, as after a restart, what its slot knows, and whoever follows the journal. None if there is no such thing.
async fn remembered(node: &Node, id: HoldId, in_slot: impl Fn(&Slot) -> Option<Held> + Clone + Send + 'static) -> Result<Option<Arc<Held>>, Problem> {
    match node.scoring().held(id) {
        Some(held) => Ok(Some(held)),
        // In a future of its own: for what is hardly ever asked nobody has room in theirs.
        None => Box::pin(recalled(node, id, in_slot)).await,
    }
}

/// What its slot knows of a hold or a sale, and whoever follows the journal.
async fn recalled(node: &Node, id: HoldId, in_slot: impl Fn(&Slot) -> Option<Held> + Clone + Send + 'static) -> Result<Option<Arc<Held>>, Problem> {
    let Some(in_slot) = node.look(id.slot(), in_slot).await? else { return Ok(None) };
    Ok(Some(Arc::new(node.scoring().recalled(id, in_slot).await)))
}

/// What is known of a hold.
async fn held_of(node: &Node, hold: HoldId) -> Result<Option<Arc<Held>>, Problem> {
    remembered(node, hold, move |slot| slot.hold_of(hold).map(|hold| Held::in_slot(hold.channel, hold.lines.clone(), hold.buyer))).await
}

/// What is known of a sale.
async fn sold_of(node: &Node, sale: HoldId) -> Result<Option<Arc<Held>>, Problem> {
    remembered(node, sale, move |slot| slot.sale_of(sale).map(|sale| Held::in_slot(sale.channel, sale.lines.clone(), sale.buyer))).await
}

/// As [`weigh`], when a hold is bought. Its places are remembered; if not, the slot is asked, which a web buyer notices after a restart only.
pub async fn weigh_held(node: &Node, envelope: &mut Envelope, kind: SignalKind, hold: HoldId, proven: bool, proof: &Proof) -> Result<(), Problem> {
    // Nothing to assess: the slot says best why there is no such hold, or answers a repeat.
    let Some(held) = held_of(node, hold).await? else { return Ok(()) };
    let signal = signal_of_held(node.now(), kind, hold, &held, envelope);
    let asked = Asked { kind, channel: held.channel, hold, lines: &held.lines, proven };
    weigh_signal(node, envelope, &signal, (asked, Some(hold.slot())), proof).await
}

/// What is to be paid.
#[derive(Debug, Clone, Copy)]
pub struct Due<'a> {
    /// For which holds, one at least.
    pub holds: &'a [HoldId],
    /// Through which channel.
    pub channel: Channel,
    /// To which museum.
    pub museum: MuseumId,
    /// How much.
    pub amount_cents: Cents,
    /// Whether it begins at a desk.
    pub at_desk: bool,
}

/// As [`weigh`], when a payment begins. Not to be asked of one that was begun before: whether it was, only the payment knows.
pub async fn weigh_payment(node: &Node, envelope: &mut Envelope, due: Due<'_>, proof: &Proof) -> Result<(), Problem> {
    let Some(first) = due.holds.first().copied() else { return Ok(()) };
    let mut held = Vec::with_capacity(due.holds.len());
    for hold in due.holds {
        held.extend(held_of(node, *hold).await?);
    }
    let signal = signal_of_payment(node.now(), due.channel, due.museum, due.amount_cents.get(), envelope, first, &held);
    let lines: Vec<Line> = held.iter().flat_map(|held| held.lines.iter().cloned()).collect();
    // Who tries cards gives names as well: here only work counts.
    let asked = Asked { kind: SignalKind::PaymentBegun, channel: due.channel, hold: first, lines: &lines, proven: due.at_desk };
    // What its slots have done under the same key was something else, as the hold itself.
    weigh_signal(node, envelope, &signal, (asked, None), proof).await
}

/// As [`weigh`], when tickets are moved to another slot and become the sale `arrival` there: places are taken in that slot, as by a hold that is bought at once. Answers
/// who takes part. Not to be asked of what was done before: whether it was, the slot knows that they leave.
pub async fn weigh_move(
    node: &Node,
    envelope: &mut Envelope,
    (sale, arrival): (HoldId, HoldId),
    (via, at_desk): (Channel, bool),
    lines: &[Line],
    proof: &Proof,
) -> Result<Vec<Taking>, Problem> {
    let held = sold_of(node, sale).await?;
    let signal = signal_of_move(node.now(), via, arrival, lines, envelope, held.as_deref());
    // A move puts no name on a ticket: here only work counts.
    let asked = Asked { kind: SignalKind::Held, channel: via, hold: arrival, lines, proven: at_desk };
    weigh_signal(node, envelope, &signal, (asked, Some(sale.slot())), proof).await?;
    Ok(signal.parties)
}

/// As [`weigh`], when tickets are given back or taken back; none named: all that still stand; no list: money alone, of what was cancelled before, which counts as one. One more proof
/// helps nobody here: only a rule's word stops it, all else is looked at later. Whoever does it by a key of staff, a totem or a reseller is a party of the command when this returns.
pub async fn weigh_return(
    node: &Node,
    envelope: &mut Envelope,
    cause: CancelCause,
    sale: HoldId,
    channel: Channel,
    tickets: Option<&[u16]>,
) -> Result<(), Problem> {
    // One that is named twice goes back once.
    let different = tickets.map_or(1, |tickets| tickets.iter().collect::<HashSet<_>>().len());
    let is_all = tickets.is_some_and(<[u16]>::is_empty);
    // Most go back long after they were held, when nothing is remembered any more.
    let (held, people) = match node.scoring().held(sale) {
        Some(held) if !is_all => (held, different),
        remembered => {
            let stands = |ticket: &&Ticket| ticket.state == TicketState::Valid;
            let known = move |sale: &Sale| (Held::in_slot(sale.channel, sale.lines.clone(), sale.buyer), sale.tickets.iter().filter(stands).count());
            let found = node.look(sale.slot(), move |slot| slot.sale_of(sale).map(known)).await?;
            // Nothing to assess: the slot says best why there is no such sale.
            let Some((in_slot, standing)) = found else { return Ok(()) };
            let held = match remembered {
                Some(held) => held,
                None => Arc::new(node.scoring().recalled(sale, in_slot).await),
            };
            (held, if is_all { standing } else { different })
        }
    };
    let people = u32::try_from(people).unwrap_or(u32::MAX);
    let kind = kind_of_return(outlet(held.channel), cause);
    if let Some(party) = by_whom(envelope.who, channel, kind)
        && !envelope.parties.contains(&party)
    {
        envelope.parties.push(party);
    }
    let signal = signal_of_return(node.now(), kind, channel, sale, people, envelope, Some(held.as_ref()));
    let asked = Asked { kind, channel, hold: sale, lines: &[], proven: true };
    weigh_signal(node, envelope, &signal, (asked, Some(sale.slot())), &Proof::default()).await
}

/// Assesses a count of cash. Whatever is said of it, it is noted: an analyst looks at it later.
pub fn weigh_count(node: &Node, envelope: &mut Envelope, museum: MuseumId, difference_cents: Cents, opener: Option<KeyId>) {
    let signal = signal_of_count(node.now(), museum, difference_cents, envelope, opener);
    envelope.assessment = Some(Box::new(node.scoring().assess(&signal)));
}

/// As [`weigh`], of a signal that was made already. `remembers` is the slot to which the command goes, if it goes to one: whatever another stream has done under the same key is
/// another request, and lets nobody pass.
async fn weigh_signal(
    node: &Node,
    envelope: &mut Envelope,
    signal: &SignalEvent,
    (asked, remembers): (Asked<'_>, Option<SlotId>),
    proof: &Proof,
) -> Result<(), Problem> {
    let Said { assessment, proof_due } = node.scoring().say(signal);
    let is_blocked = assessment.outcome == Outcome::Block;
    envelope.assessment = Some(Box::new(assessment));
    // Most are not stopped: for what becomes of the others there is no room in their futures.
    if is_blocked || proof_due { Box::pin(stopped(node, envelope, signal, (asked, remembers), is_blocked, proof)).await } else { Ok(()) }
}

/// What becomes of a command that is refused, or of which one more proof is due.
async fn stopped(
    node: &Node,
    envelope: &Envelope,
    signal: &SignalEvent,
    (asked, remembers): (Asked<'_>, Option<SlotId>),
    is_blocked: bool,
    proof: &Proof,
) -> Result<(), Problem> {
    // What was done before is answered as it was then, whatever is thought of its party today.
    if let Some(slot) = remembers
        && node.knows(slot, envelope).await?
    {
        return Ok(());
    }
    if is_blocked { Err(blocked(node, envelope, signal, asked).await) } else { step_up(node, envelope, signal, asked, proof).await }
}

async fn step_up(node: &Node, envelope: &Envelope, signal: &SignalEvent, asked: Asked<'_>, proof: &Proof) -> Result<(), Problem> {
    if asked.proven {
        return Ok(());
    }
    let now = node.now();
    let failed = match &proof.0 {
        Some(given) => match node.scoring().challenges().take(now, envelope.body, given) {
            Ok(()) => return Ok(()),
            Err(bad) => Some(bad),
        },
        None => None,
    };
    note(node, envelope, signal, asked, if failed.is_some() { Ending::Failed } else { Ending::Abandoned }).await;
    let score = envelope.assessment.as_ref().map_or(0, |assessment| assessment.score);
    let Some(challenge) = node.scoring().challenges().give(now, envelope.body, bits_for(score)) else { return Err(Problem::busy()) };
    let mut ways = vec!["proof_of_work"];
    if matches!(asked.kind, SignalKind::Sold { .. }) {
        ways.push("named_ticket");
    }
    Err(more_proof(challenge, ways, failed))
}

/// Of how many bits a challenge is for whoever has a score.
fn bits_for(score: u8) -> u8 {
    BITS + HARDER.iter().filter(|from| score >= **from).count() as u8
}

/// Assesses whoever comes to a waiting room for the first time, and asserts that the work was done that is asked of them: of everybody but who has an account with the shop, and of those
/// as well whom rules would refuse or ask for a proof, or a model suspects. Nothing is noted of it, and nobody is refused: who comes takes no places yet. What is `bound` makes
/// the request another one than all others.
pub fn weigh_join(node: &Node, museum: MuseumId, named: &[Party], has_account: bool, bound: Digest, proof: &Proof) -> Result<(), Problem> {
    let Said { assessment, proof_due } = node.scoring().say(&joining(node.now(), museum, named));
    let is_suspected = proof_due || assessment.outcome == Outcome::Block;
    match (is_suspected, has_account) {
        (true, _) => worked(node, bound, bits_for(assessment.score), proof),
        (false, false) => worked(node, bound, BITS, proof),
        (false, true) => Ok(()),
    }
}

/// Asserts that the work was done for a request of which nothing is noted.
fn worked(node: &Node, bound: Digest, bits: u8, proof: &Proof) -> Result<(), Problem> {
    let (now, challenges) = (node.now(), node.scoring().challenges());
    let failed = match &proof.0 {
        Some(given) => match challenges.take(now, bound, given) {
            Ok(()) => return Ok(()),
            Err(bad) => Some(bad),
        },
        None => None,
    };
    let challenge = challenges.give(now, bound, bits).ok_or_else(Problem::busy)?;
    Err(more_proof(challenge, vec!["proof_of_work"], failed))
}

fn more_proof(challenge: Challenge, ways: Vec<&'static str>, failed: Option<BadProof>) -> Problem {
    let problem = Problem::new(StatusCode::FORBIDDEN, "step_up_required", "one more proof is needed before this can be done")
        .detail(
            "Find text so that the SHA-256 of `challenge:text` begins with `bits` zero bits, and repeat the request, with the same key and body, with \
             `challenge:text` in the header Step-Up-Proof; or, where `ways` says so, give a `holder`: whose name stands on all tickets.",
        )
        .with("ways", ways)
        .with("challenge", challenge.text)
        .with("bits", challenge.bits)
        .with("expires_at", challenge.expires_at.to_string());
    match failed {
        Some(bad) => problem.with("proof", proof_code(bad)),
        None => problem,
    }
}

const fn proof_code(bad: BadProof) -> &'static str {
    match bad {
        BadProof::Foreign => "foreign",
        BadProof::Expired => "expired",
        BadProof::Unsolved => "unsolved",
    }
}

async fn blocked(node: &Node, envelope: &Envelope, signal: &SignalEvent, asked: Asked<'_>) -> Problem {
    let appeal = note(node, envelope, signal, asked, Ending::Blocked).await;
    let rules = node.scoring().rules();
    let names = envelope.assessment.iter().flat_map(|assessment| assessment.rules.iter());
    let sentences: Vec<Sentence> = names
        .map(|name| {
            let (it, en) = rules.sentence(name.as_str());
            Sentence { rule: name.to_string(), it, en }
        })
        .collect();
    let problem = Problem::new(StatusCode::FORBIDDEN, "blocked_by_rule", "a rule against misuse does not allow this").with("rules", sentences);
    match appeal {
        Some(appeal) => problem
            .detail("Nothing was changed. If this is a mistake, appeal with the code in `appeal`: somebody will look at it.")
            .with("appeal", appeal),
        None => problem.detail("Nothing was changed. If this is a mistake, ask the museum: there is no code for an appeal."),
    }
}

/// Who is kept of an attempt, the one that acts first: those that the command names, and of what was held or had before also whoever held or had it, as far as there is room.
fn taking_part(envelope: &Envelope, signal: &SignalEvent) -> Vec<Party> {
    let mut parties = envelope.parties.clone();
    if matches!(signal.kind, SignalKind::PaymentBegun | SignalKind::Sold { held: true }) {
        for party in named(&signal.parties) {
            if !parties.contains(&party) {
                parties.push(party);
            }
        }
    }
    if parties.len() > ATTEMPT_PARTIES {
        // In the first days of a month each goes by two pseudonyms. Those by whom attempts are counted are kept before those behind whom are many: else a device that makes up a
        // name each time would be another one each time.
        parties[1..].sort_by_key(|party| match party.kind {
            PartyKind::Buyer | PartyKind::Device | PartyKind::Card => 0,
            PartyKind::Network => 1,
            PartyKind::Account | PartyKind::Kiosk | PartyKind::Operator | PartyKind::Group => 2,
        });
        parties.truncate(ATTEMPT_PARTIES);
    }
    parties
}

/// An attempt of one instant. Its name, which is hard to guess, is of the same: it says in which day's stream the attempt stands.
fn attempt_at(at: Timestamp, envelope: &Envelope, signal: &SignalEvent, asked: Asked<'_>, ending: Ending) -> Attempt {
    Attempt {
        id: AttemptId::new(attempts::day_of(at), random()),
        at,
        channel: asked.channel,
        museum: asked.hold.slot().museum(),
        slot: Some(asked.hold.slot()),
        // A return names no lines, and the signal of a payment no people.
        people: people(asked.lines).max(signal.people),
        amount_cents: Cents::new(signal.cents),
        parties: taking_part(envelope, signal),
        assessment: envelope.assessment.as_deref().cloned(),
        ending,
        figures: figures(signal, asked.hold).map(Box::new),
    }
}

/// Writes an attempt down, and answers with the code of an appeal: that of the first time, if the same request was refused before. Of one beyond those that are kept the code
/// carries all that there is. A journal that does not write must not turn a refusal into a pass, nor into another error: then there is no code.
async fn note(node: &Node, envelope: &Envelope, signal: &SignalEvent, asked: Asked<'_>, ending: Ending) -> Option<String> {
    let attempt = attempt_at(node.now(), envelope, signal, asked, ending);
    let id = attempt.id;
    let key = digest(&[b"attempt", &{ envelope.key.0 }.to_be_bytes(), &{ envelope.body.0 }.to_be_bytes(), &[ending as u8]]);
    let own = Envelope { key, body: key, assessment: None, ..envelope.clone() };
    match node.attempt(own.clone(), attempt.clone()).await {
        Ok(record) => {
            record.events.iter().find_map(|event| if let attempts::Event::Noted(noted) = event { Some(noted.id.to_string()) } else { None })
        }
        Err(Failure::Refused(attempts::Refusal::AttemptsFull)) => {
            // Of one who takes part as many are kept as may be: more are counted, and nothing depends on it.
            let of_it = attempt.clone();
            let acting = node.look_attempts(id.day(), move |attempts| attempts.more_of(&of_it)).await.unwrap_or_else(|_| attempt.acting());
            if let Some(more) = node.scoring().beyond(acting)
                && let Err(failure) = node.count_attempts(id.day(), own, acting, more).await
            {
                tracing::debug!(%failure, "an attempt was not counted");
            }
            // Who was only asked for one more proof has nothing to appeal.
            if ending == Ending::Blocked { node.files().and_then(|files| files.appeals.write(&attempt)) } else { None }
        }
        Err(failure) => {
            tracing::warn!(%failure, attempt = %id, "an attempt was not written down");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tornello_engine::aggregate::Aggregate;
    use tornello_engine::attempts::Attempts;
    use tornello_engine::ids::RouteId;

    #[test]
    fn of_whom_goes_by_two_pseudonyms_buyer_device_and_card_are_kept_wherever_they_are_named() {
        use PartyKind::{Account, Buyer, Card, Device, Network};
        let at: Timestamp = "2026-12-03T10:00:00Z".parse().unwrap();
        let hold = HoldId::new(SlotId::new(MuseumId(1), RouteId(1), at.plus_seconds(86_400)), 1);
        let asked = Asked { kind: SignalKind::Held, channel: Channel::Web, hold, lines: &[], proven: false };
        let kept = |kinds: &[PartyKind]| {
            let named = kinds.iter().zip(1_u128..).flat_map(|(kind, n)| [2 * n, 2 * n + 1].map(|of| Party { kind: *kind, pseudonym: Digest(of) }));
            let envelope = Envelope { parties: named.collect(), ..Envelope::by_system(Digest(1)) };
            let signal = signal_of(at, asked.kind, asked.channel, asked.hold, asked.lines, &envelope);
            attempt_at(at, &envelope, &signal, asked, Ending::Blocked).parties.iter().map(|party| (party.kind, party.pseudonym.0)).collect::<Vec<_>>()
        };
        let all = kept(&[Network, Account, Card, Buyer, Device]);
        let ones: [(PartyKind, u128); 6] = [(Card, 6), (Card, 7), (Buyer, 8), (Buyer, 9), (Device, 10), (Device, 11)];
        assert_eq!(all, [&[(Network, 2)][..], &ones, &[(Network, 3)]].concat(), "the one that acts first");
        let few = kept(&[Network, Account, Device]);
        assert_eq!(few, [(Network, 2), (Network, 3), (Account, 4), (Account, 5), (Device, 6), (Device, 7)], "as they are named");
    }

    #[test]
    fn what_is_refused_in_the_last_instant_of_a_day_is_kept_in_that_day_and_what_is_refused_after_it_in_the_next() {
        let midnight: Timestamp = "2026-11-24T00:00:00Z".parse().unwrap();
        let hold = HoldId::new(SlotId::new(MuseumId(1), RouteId(1), midnight.plus_seconds(86_400)), 1);
        let asked = Asked { kind: SignalKind::Held, channel: Channel::Web, hold, lines: &[], proven: false };
        let envelope = Envelope::by_system(Digest(1));
        for (at, day) in [(Timestamp::from_micros(midnight.as_micros() - 1), 20_780), (midnight, 20_781)] {
            let signal = signal_of(at, asked.kind, asked.channel, asked.hold, asked.lines, &envelope);
            let attempt = attempt_at(at, &envelope, &signal, asked, Ending::Blocked);
            assert_eq!((attempt.id.day(), attempt.at), (day, at));
            // It may be written down when the day is over.
            let noted = Attempts::new(day).decide(midnight.plus_seconds(60), &attempts::Command::Note(Box::new(attempt)));
            assert_eq!(noted.map(|events| events.len()), Ok(1), "{at}");
        }
    }
}
