//! Appeals: what a code stands for, and what follows when somebody who was refused asks for another look.
//!
//! Most refusals are written down, and the code is their id. Of those beyond what is kept of a party or a day nothing is: whoever was refused carries the attempt away in the
//! code, sealed, and it is written when they appeal, as far as a day keeps such. So a flood of refusals costs no disk, and leaves nobody without a code.
//!
//! Of those who have a buyer, a device, a card or a network in common one appeal about an attempt waits at a time, at each museum: more join its case. So one who throws names
//! away stands in the queue once. What is said of the case holds for those of the same buyer or device; the others wait for their turn.

use std::sync::Arc;

use tornello_engine::aggregate::Aggregate;
use tornello_engine::attempts::{self, Attempt};
use tornello_engine::case::{AppealState, Case, Command, Followed, Origin, Refusal, Subject};
use tornello_engine::envelope::{Digest, Envelope, Party, PartyKind};
use tornello_engine::ids::{AttemptId, CaseId, HoldId, MuseumId, SlotId};
use tornello_engine::recall::Recall;
use tornello_engine::slot::{self, verdict::Window};
use tornello_engine::time::Timestamp;

use super::passes::pass_of;
use super::{attempt_of, case_of, fraud_said_of, open_attempt};
use crate::digest::digest;
use crate::failure::Failure;
use crate::hex::{self, Hex};
use crate::journal::wire::Wire;
use crate::moves::trail_back;
use crate::node::Node;
use crate::owner::Kept;
use crate::people::{MasterKey, Sealer};

/// What a code begins with in which an attempt is carried: its form, which changes with that of an attempt. The last one is written, and codes of the others are read, each as
/// the journal reads that version of an attempt: people have them.
const CARRIED: [(&str, u16); 2] = [("a1.", 3), ("a2.", 4)];
/// The kind under which the journal has attempts.
const NOTED: u16 = 1;
/// The longest code, in bytes.
pub const CODE_MAX: usize = 2_048;
/// The most parties of an attempt that is carried: a buyer, a device and a card, and a network, each under the pseudonyms of two months.
const CARRIED_PARTIES: usize = 6;
const CARRIED_NETWORKS: usize = 2;
/// The most rules and reasons of one, so that no code is too long.
const CARRIED_NAMES: usize = 8;

/// Writes and reads the codes in which attempts are carried.
#[derive(Debug, Clone)]
pub struct AppealCodes(Sealer);

impl AppealCodes {
    /// Their key is derived from the master key.
    #[must_use]
    pub fn new(master: &MasterKey) -> Self {
        Self(Sealer::new(master, b"tornello: codes of appeals, 1"))
    }

    /// A code in which an attempt is carried, as far as a case needs it; none if the machine gives no random numbers.
    #[must_use]
    pub fn write(&self, attempt: &Attempt) -> Option<String> {
        let of_one = |party: &&Party| matches!(party.kind, PartyKind::Buyer | PartyKind::Device | PartyKind::Card);
        let of_many = |party: &&Party| party.kind == PartyKind::Network;
        // A network comes last: it is nobody of whom attempts are counted.
        let networks = attempt.parties.iter().filter(of_many).take(CARRIED_NETWORKS);
        let parties = attempt.parties.iter().filter(of_one).take(CARRIED_PARTIES).chain(networks).copied().collect();
        // What was assessed is not learned from: it is written at another time than that of which the counters knew.
        let mut carried = Attempt { parties, figures: None, ..attempt.clone() };
        if let Some(assessment) = &mut carried.assessment {
            assessment.rules.truncate(CARRIED_NAMES);
            assessment.reasons.truncate(CARRIED_NAMES);
            assessment.basis = None;
        }
        let (form, _) = CARRIED[CARRIED.len() - 1];
        let sealed = self.0.seal(&postcard::to_allocvec(&carried).ok()?)?;
        Some(format!("{form}{}", Hex(sealed)))
    }

    /// The attempt that is carried in a code; none if it was not written here.
    #[must_use]
    pub fn read(&self, code: &str) -> Option<Attempt> {
        let (digits, version) = CARRIED.iter().find_map(|(form, version)| Some((code.strip_prefix(form)?, *version)))?;
        if code.len() > CODE_MAX {
            return None;
        }
        let sealed = hex::bytes(digits)?;
        match attempts::Event::read(NOTED, version, &self.0.open(&sealed)?)? {
            attempts::Event::Noted(attempt) => Some(attempt),
            attempts::Event::Counted(_) | attempts::Event::Refused(_) => None,
        }
    }
}

/// Whether a code has the form of one in which an attempt is carried, whoever wrote it.
#[must_use]
pub fn looks_carried(code: &str) -> bool {
    CARRIED.iter().any(|(form, _)| code.starts_with(form))
}

/// What is appealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appealed {
    /// An attempt that was blocked, as it is kept.
    Attempt(AttemptId),
    /// One that is carried in its code.
    Carried(Box<Attempt>),
    /// A sale whose tickets were blocked.
    Sale(HoldId),
}

impl Appealed {
    /// What a code stands for: the id of an attempt or a sale, or what is carried in it. None if it is no code.
    #[must_use]
    pub fn read(node: &Node, code: &str) -> Option<Self> {
        if looks_carried(code) {
            return node.files()?.appeals.read(code).map(|attempt| Self::Carried(Box::new(attempt)));
        }
        code.parse().map(Self::Attempt).or_else(|_| code.parse().map(Self::Sale)).ok()
    }

    /// What a case about it is about.
    #[must_use]
    pub fn subject(&self) -> Subject {
        match self {
            Self::Attempt(attempt) => Subject::Attempt(*attempt),
            Self::Carried(attempt) => Subject::Attempt(attempt.id),
            Self::Sale(sale) => Subject::Sale(*sale),
        }
    }

    /// At which museum it was; none if nothing is known of it.
    pub async fn museum(&self, node: &Node) -> Option<MuseumId> {
        match self {
            Self::Attempt(attempt) => attempt_of(node, *attempt).await.map(|found| found.museum),
            Self::Carried(attempt) => Some(attempt.museum),
            Self::Sale(sale) => Some(sale.slot().museum()),
        }
    }
}

/// How an appeal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// How.
    pub state: AppealState,
    /// By when somebody should look, or should have.
    pub due_at: Timestamp,
    /// Until when whoever made it passes the rules that refused them, if they do by now.
    pub passes_until: Option<Timestamp>,
}

/// Asks for another look at what was refused. Repeated, it is the same appeal; of one that waited behind somebody else's it is the next, once that is decided.
///
/// # Errors
/// `unknown_case` if nothing is known of an attempt, `nothing_to_appeal` of a sale that nobody blocked, `too_many_appeals` if it was carried and no more of its day is written or
/// as many are looked at together as may be, and the other refusals of its case.
pub async fn appeal(node: &Node, appealed: &Appealed, by: Envelope) -> Result<CaseId, Failure<Refusal>> {
    let attempt = match appealed {
        Appealed::Sale(sale) => return appeal_sale(node, *sale, by).await,
        Appealed::Attempt(attempt) => attempt_of(node, *attempt).await.ok_or(Failure::Refused(Refusal::UnknownCase))?,
        Appealed::Carried(attempt) => (**attempt).clone(),
    };
    let turn = node.cases().appealing().await.ok_or(Failure::Busy)?;
    let gate_opens_at = gate_opens_at(node, attempt.slot).await;
    let own = case_of(Subject::Attempt(attempt.id));
    let by_joining = Envelope { key: joining_key(&by, attempt.id), ..by.clone() };
    let is_new = match stage_of(node, own).await? {
        Stage::New => true,
        // Also one that chance has picked, which is in the queue already.
        Stage::Open => false,
        Stage::Following { other: Followed { case, is_same }, waits, .. } if waits || is_same => {
            let again = if waits { joining(&attempt, gate_opens_at) } else { Command::Appeal { gate_opens_at } };
            return said(node, case, by_joining, again, turn).await;
        }
        // Nothing is said of it by what was said of somebody else: it is its turn, if nobody else is before it. The request that joined there is no other appeal.
        Stage::Following { other: Followed { case, .. }, is_open, .. } => {
            let asked = by_joining.clone();
            if node.look_case(case, move |case| matches!(case.recall(&asked), Recall::Done { .. })).await? {
                return Ok(case);
            }
            !is_open
        }
    };
    if !is_new {
        return said(node, own, by, Command::Appeal { gate_opens_at }, turn).await;
    }
    if let Some(other) = node.cases().appeal_of(attempt.museum, &attempt.parties) {
        match node.case(other, by_joining, joining(&attempt, gate_opens_at)).await {
            Ok(_) => return follow(node, own, other, attempt.id).await.map(|()| other),
            // It joined before, and a crash came between.
            Err(Failure::Refused(Refusal::AlreadyAppealed)) => {
                follow(node, own, other, attempt.id).await?;
                return Err(Failure::Refused(Refusal::AlreadyAppealed));
            }
            // Somebody has looked meanwhile.
            Err(Failure::Refused(Refusal::NothingToAppeal)) => {}
            Err(failure) => return Err(failure),
        }
    }
    if let Appealed::Carried(attempt) = appealed {
        claim(node, attempt).await?;
    }
    let id = open_attempt(node, attempt, Origin::Appeal).await?;
    said(node, id, by, Command::Appeal { gate_opens_at }, turn).await
}

/// As [`appeal`], to its end also if whoever asks goes away. It is several records, and the first ones alone are a case in the queue that nobody has appealed to, or one that somebody has
/// joined whose code says nothing of it.
///
/// # Errors
/// Those of [`appeal`].
pub async fn appeal_to_its_end(node: &Arc<Node>, appealed: &Appealed, by: Envelope) -> Result<CaseId, Failure<Refusal>> {
    let (node, appealed) = (Arc::clone(node), appealed.clone());
    let made = tokio::spawn(async move { appeal(&node, &appealed, by).await });
    made.await.unwrap_or(Err(Failure::OutcomeUnknown))
}

/// One key may be used for several codes: each is another request.
fn joining_key(by: &Envelope, attempt: AttemptId) -> Digest {
    digest(&[b"join", &{ by.key.0 }.to_be_bytes(), &attempt.get().to_be_bytes()])
}

/// How an appeal stood when that request had made it, in the case that it went to, whatever has become of it since: what a repeat is told. None if no record of the case is of that
/// request.
///
/// # Errors
/// If the case cannot be read.
pub async fn as_made(node: &Node, case: CaseId, appealed: &Appealed, by: &Envelope) -> Result<Option<Standing>, Failure<Refusal>> {
    let joining = match appealed {
        Appealed::Attempt(attempt) => Some(joining_key(by, *attempt)),
        Appealed::Carried(attempt) => Some(joining_key(by, attempt.id)),
        Appealed::Sale(_) => None,
    };
    let is_of = |asked: &Envelope| asked.who == by.who && asked.body == by.body && (asked.key == by.key || Some(asked.key) == joining);
    let records = node.case_records(case).await?;
    let Some(made) = records.iter().rfind(|record| record.envelope.as_ref().is_some_and(is_of)) else { return Ok(None) };
    let mut then = Case::new(case);
    records.iter().take_while(|record| record.seq <= made.seq).for_each(|record| then.apply(record));
    Ok(standing_of(&then, made.at))
}

/// Notes where an attempt is looked at that has joined another one's case.
async fn follow(node: &Node, own: CaseId, other: CaseId, attempt: AttemptId) -> Result<(), Failure<Refusal>> {
    let is_same = move |case: &Case| case.joined().iter().any(|joined| joined.attempt == attempt && joined.is_same);
    let is_same = node.look_case(other, is_same).await?;
    let key = digest(&[b"follow", &attempt.get().to_be_bytes(), &other.get().to_be_bytes()]);
    node.case(own, Envelope::by_system(key), Command::Follow { case: other, is_same }).await.map(drop)
}

/// The last step of an appeal: the turn of whoever makes it is over when that has come to its end, also if they have gone away by then. Who comes next finds whether it waits.
async fn said(node: &Node, case: CaseId, by: Envelope, command: Command, turn: Kept) -> Result<CaseId, Failure<Refusal>> {
    node.case_keeping(case, by, command, turn).await.map(|_| case)
}

async fn appeal_sale(node: &Node, sale: HoldId, by: Envelope) -> Result<CaseId, Failure<Refusal>> {
    let id = case_about(node, sale).await?;
    let gate_opens_at = gate_opens_at(node, Some(sale.slot())).await;
    match said(node, id, by, Command::Appeal { gate_opens_at }, Kept::default()).await {
        // Whether somebody looks at a sale, or did, is not told to whoever has its id: one without a case is answered as one whose case blocks nothing.
        Err(Failure::Refused(Refusal::UnknownCase)) => Err(Failure::Refused(Refusal::NothingToAppeal)),
        answer => answer,
    }
}

fn joining(attempt: &Attempt, gate_opens_at: Option<Timestamp>) -> Command {
    let rules = attempt.assessment.as_ref().map(|assessment| assessment.rules.clone()).unwrap_or_default();
    Command::Join { attempt: attempt.id, parties: attempt.parties.clone(), rules, gate_opens_at }
}

/// What the case about an attempt is by now.
enum Stage {
    /// Nobody has appealed, and chance has not picked it.
    New,
    /// A case of its own.
    Open,
    /// It is looked at with another one.
    Following {
        /// With which.
        other: Followed,
        /// Whether the appeal there waits.
        waits: bool,
        /// Whether it is a case of its own as well, as chance has picked it.
        is_open: bool,
    },
}

async fn stage_of(node: &Node, own: CaseId) -> Result<Stage, Failure<Refusal>> {
    let look = |case: &Case| (case.opened().is_some(), case.appealed_at().is_some(), case.followed());
    let (is_open, is_appealed, followed) = match node.look_case(own, look).await {
        Err(Failure::Refused(Refusal::UnknownCase)) => (false, false, None),
        found => found?,
    };
    match followed.filter(|_| !is_appealed) {
        Some(other) => {
            let waits = node.look_case(other.case, |case| case.appellants().is_some()).await?;
            Ok(Stage::Following { other, waits, is_open })
        }
        None => Ok(if is_open { Stage::Open } else { Stage::New }),
    }
}

/// The case that whoever has the tickets of a sale appeals to: tickets that have moved are blocked by what was said of the sale that they were of. Once that is settled it is
/// the one that was appealed, so that a repeat is the same appeal.
async fn case_about(node: &Node, sale: HoldId) -> Result<CaseId, Failure<Refusal>> {
    if let Some(case) = fraud_said_of(node, sale).await.map_err(unknown_sale)? {
        return Ok(case);
    }
    let appealed = appealed_before(node, sale).await?;
    Ok(appealed.map_or_else(|| case_of(Subject::Sale(sale)), |(case, _)| case))
}

/// The case about a sale, or about the last one that its tickets were of before, that somebody has appealed to, and how that stands.
async fn appealed_before(node: &Node, sale: HoldId) -> Result<Option<(CaseId, Standing)>, Failure<Refusal>> {
    let now = node.now();
    for sale in trail_back(node, sale).await.map_err(unknown_sale)? {
        let id = case_of(Subject::Sale(sale));
        match node.look_case(id, move |case| standing_of(case, now)).await {
            Ok(Some(standing)) => return Ok(Some((id, standing))),
            Ok(None) | Err(Failure::Refused(_)) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(None)
}

fn unknown_sale(failure: Failure<slot::Refusal>) -> Failure<Refusal> {
    failure.map(|_| Refusal::UnknownCase)
}

/// Writes down an attempt that was carried; that it is written already is no reason to refuse.
async fn claim(node: &Node, attempt: &Attempt) -> Result<(), Failure<Refusal>> {
    let key = digest(&[b"claim", &attempt.id.get().to_be_bytes()]);
    match node.claim_attempt(Envelope::by_system(key), attempt.clone()).await {
        Ok(_) | Err(Failure::Refused(attempts::Refusal::AttemptKnown)) => Ok(()),
        Err(failure) => Err(failure.map(|refusal| match refusal {
            attempts::Refusal::AttemptsFull => Refusal::TooManyAppeals,
            attempts::Refusal::BadAttempt | attempts::Refusal::AttemptKnown => Refusal::NothingToAppeal,
        })),
    }
}

/// When the gate opens for the visit that is at stake, if that is known.
async fn gate_opens_at(node: &Node, slot: Option<SlotId>) -> Option<Timestamp> {
    node.look(slot?, |slot| Window::of(slot.opening()).opens_at).await.ok()
}

/// How an appeal stands; none if nobody has appealed.
///
/// # Errors
/// `unknown_case` if there is no case about it.
pub async fn standing(node: &Node, appealed: &Appealed) -> Result<Option<Standing>, Failure<Refusal>> {
    if let Appealed::Sale(sale) = appealed {
        return Ok(appealed_before(node, *sale).await?.map(|(_, standing)| standing));
    }
    let (now, own) = (node.now(), case_of(appealed.subject()));
    match stage_of(node, own).await? {
        Stage::New => Err(Failure::Refused(Refusal::UnknownCase)),
        Stage::Open => node.look_case(own, move |case| standing_of(case, now)).await,
        Stage::Following { other: Followed { case, is_same }, waits, .. } => {
            let standing = node.look_case(case, move |case| standing_of(case, now)).await?;
            if waits || is_same {
                return Ok(standing);
            }
            // What was said of somebody else is none of theirs.
            Ok(standing.map(|standing| Standing { state: AppealState::Lapsed, passes_until: None, ..standing }))
        }
    }
}

fn standing_of(case: &Case, now: Timestamp) -> Option<Standing> {
    let (due_at, passes_until) = (case.deadlines().0, pass_of(case).map(|pass| pass.until).filter(|until| now < *until));
    case.appeal_state().map(|state| Standing { state, due_at, passes_until })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tornello_engine::attempts::{Ending, day_of};
    use tornello_engine::channel::Channel;
    use tornello_engine::envelope::{Assessment, Basis, Outcome};
    use tornello_engine::ids::Code;
    use tornello_engine::money::Cents;

    #[test]
    fn an_attempt_is_carried_in_a_code_that_nobody_can_read_or_change() {
        let codes = AppealCodes::new(&MasterKey::from_bytes([7; 32]));
        let at = Timestamp::from_seconds(1_780_000_000);
        let party = |kind, n| Party { kind, pseudonym: Digest(n) };
        let assessment = Assessment {
            model: "of-its-own".parse().unwrap(),
            rules_version: 3,
            at,
            position: 1_000_000,
            features: Digest(u128::MAX),
            score: 100,
            reasons: vec!["person_holds_1m".parse().unwrap(); 3],
            outcome: Outcome::Block,
            rules: vec!["velocity".parse().unwrap(), "hoarding".parse().unwrap()],
            probability_ppm: Some(900_000),
            basis: Some(Box::new(Basis { edition: u32::MAX, line: Some([0xff; 8]), spared: vec!["hoarding".parse().unwrap()] })),
        };
        let attempt = Attempt {
            id: AttemptId::new(day_of(at), 9),
            at,
            channel: Channel::Web,
            museum: MuseumId(3),
            slot: None,
            people: 2,
            amount_cents: Cents::new(3_200),
            parties: vec![party(PartyKind::Network, 1), party(PartyKind::Buyer, u128::MAX), party(PartyKind::Device, u128::MAX - 1)],
            assessment: Some(assessment),
            ending: Ending::Blocked,
            figures: None,
        };
        let code = codes.write(&attempt).unwrap();
        assert!(code.len() < CODE_MAX / 2 && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.'), "{}", code.len());
        let mut read = codes.read(&code).unwrap();
        let networks_last = [attempt.parties[1], attempt.parties[2], attempt.parties[0]];
        assert_eq!(read.parties, networks_last, "whoever is counted comes first");
        // Nor what its assessment rests on: what it was asked for is not carried either, so it cannot be said again.
        if let (Some(read), Some(said)) = (&mut read.assessment, &attempt.assessment) {
            assert!(read.basis.is_none());
            read.basis.clone_from(&said.basis);
        }
        assert_eq!(Attempt { parties: attempt.parties.clone(), ..read }, attempt);
        assert_eq!(AppealCodes::new(&MasterKey::from_bytes([7; 32])).read(&code).map(|found| found.id), Some(attempt.id), "after a restart too");
        assert_eq!(AppealCodes::new(&MasterKey::from_bytes([8; 32])).read(&code), None);
        let end = code.len() - 1;
        let changed = format!("{}{}", &code[..end], if code.ends_with('0') { '1' } else { '0' });
        for text in [changed.as_str(), &code[..end], &code[..end - 1], "a1.", "a2.", "a2.zz", "a2.éé", "", &code[3..]] {
            assert_eq!(codes.read(text), None, "{text}");
        }
        assert_ne!(codes.write(&attempt).unwrap(), code, "two of one attempt look like two of others");
    }

    #[test]
    fn a_code_that_was_given_before_assessments_said_what_they_rest_on_is_still_read() {
        let codes = AppealCodes::new(&MasterKey::from_bytes([7; 32]));
        let (at, parties) = (Timestamp::from_seconds(1_780_000_000), vec![Party { kind: PartyKind::Buyer, pseudonym: Digest(7) }]);
        let (model, reasons, rules): (Code, Vec<Code>, Vec<Code>) = ("none".parse().unwrap(), Vec::new(), vec!["velocity".parse().unwrap()]);
        let id = AttemptId::new(day_of(at), 9);
        // Fields one after the other are what a struct of them is.
        let said = (model, 3_u32, at, 9_u64, Digest(5), 100_u8, &reasons, Outcome::Block, &rules, None::<u32>);
        let before = (id, at, Channel::Web, MuseumId(3), None::<SlotId>, 2_u32, Cents::new(3_200), &parties, Some(said), Ending::Blocked, false);
        let sealed = codes.0.seal(&postcard::to_allocvec(&before).unwrap()).unwrap();
        let code = format!("a1.{}", Hex(sealed));
        let read = codes.read(&code).unwrap();
        assert_eq!((read.id, read.people, read.amount_cents, read.parties, read.ending), (id, 2, Cents::new(3_200), parties, Ending::Blocked));
        let assessment = read.assessment.unwrap();
        assert_eq!((assessment.position, assessment.rules, assessment.basis), (9, rules, None));
        assert_eq!(codes.read(&code.replacen("a1.", "a2.", 1)), None, "no code is read as another form");
    }
}
