//! What a fraud case looks like: in the queue, and whole, with what was said of it, what shares a party with it and what happened to it, as it is now or as it was right after one of
//! its records.

use serde::Serialize;
use tornello_actors::cases;
use tornello_actors::moves;
use tornello_actors::node::Node;
use tornello_actors::views::fraud::{CaseRow, Link, RefusedRow, Strongest};
use tornello_engine::aggregate::Aggregate;
use tornello_engine::case::{Action, Case, Event, Label, Refusal, Status, Subject};
use tornello_engine::envelope::Assessment;
use tornello_engine::ids::{CaseId, Code, HoldId};
use tornello_engine::money::Cents;
use tornello_engine::record::Record;
use tornello_engine::time::Timestamp;

use crate::auth::{Caller, Scope};
use crate::problem::Problem;
use crate::reasons::{self, ReasonView};
use crate::routes::payments::museums;
use crate::routes::{files, not_rebuilt};
use crate::words::CaseStatusWord;

/// The most moments of a timeline.
const MOMENTS_MAX: usize = 64;

/// What a case is about, each in a member of its own.
#[derive(Debug, Default)]
struct About {
    about: &'static str,
    sale: Option<String>,
    attempt: Option<String>,
    till: Option<String>,
    hold: Option<String>,
}

impl From<Subject> for About {
    fn from(subject: Subject) -> Self {
        let none = Self::default();
        match subject {
            Subject::Sale(id) => Self { about: "sale", sale: Some(id.to_string()), ..none },
            Subject::Attempt(id) => Self { about: "attempt", attempt: Some(id.to_string()), ..none },
            Subject::Return { sale: id, .. } => Self { about: "return", sale: Some(id.to_string()), ..none },
            Subject::Till(id) => Self { about: "count", till: Some(id.to_string()), ..none },
            Subject::Hold(id) => Self { about: "hold", hold: Some(id.to_string()), ..none },
        }
    }
}

/// What a case of the list is about. A hold has the id of its sale, and the id of a case follows from which of both it is about.
fn subject_of(row: &CaseRow) -> Result<Subject, Problem> {
    match row.subject.parse::<Subject>().map_err(|_| not_rebuilt())? {
        Subject::Sale(id) if cases::case_of(Subject::Hold(id)) == row.case => Ok(Subject::Hold(id)),
        subject => Ok(subject),
    }
}

/// A case in the queue.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct CaseItem {
    /// Its id.
    case: String,
    /// What it is about, in one text: the id of a sale, an attempt or a hold that was not bought; of a return that of the sale, a dot and the number of the slot's record; of a
    /// count of cash `till.` and the session.
    subject: String,
    /// What it is about, as in the case: a `sale`, an `attempt`, a `return`, a `count` or a `hold`.
    about: &'static str,
    /// The sale that it is about, or whose tickets came back.
    #[serde(skip_serializing_if = "Option::is_none")]
    sale: Option<String>,
    /// The attempt that it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<String>,
    /// The till session that was counted, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    till: Option<String>,
    /// The hold that was not bought, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<String>,
    /// Why there is a case: `review`, `picked`, `appeal`, `chargeback` or `conflict`.
    origin: String,
    /// The museum's number.
    museum: u16,
    /// Through which channel.
    channel: String,
    /// What is at stake, in euro cents; of an attempt that was refused what it would have cost, which nobody has paid.
    amount_cents: i64,
    /// What the scorer said, 0 (surely honest) to 100; absent if it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<u8>,
    /// How likely fraud is, 0 to 1, by a model that has learned it from labels; absent where none took part.
    #[serde(skip_serializing_if = "Option::is_none")]
    probability: Option<f64>,
    /// What it may cost, in euro cents: the order of the queue, but of those picked at random, which stand among the others by lot. How likely fraud is (where no model has
    /// learned that, the score in hundredths) times the amount, or times 5 euro a place if that is more.
    expected_loss_cents: i64,
    /// When it was opened (RFC 3339, UTC).
    #[schema(format = DateTime)]
    opened_at: String,
    /// When somebody should have looked (RFC 3339, UTC).
    #[schema(format = DateTime)]
    due_at: String,
    /// Whether that is over and nobody has.
    overdue: bool,
    /// When it ends by itself if nobody looks (RFC 3339, UTC).
    #[schema(format = DateTime)]
    lapses_at: String,
    /// `open`, `appealed`, `decided` or `lapsed`.
    state: String,
    /// The key of whoever looks at it; empty: nobody in particular.
    assignee: String,
    /// `fraud`, `legit` or `unsure`; empty: none yet.
    verdict: String,
    /// What is known of it by now, from whomever: `fraud` or `legit`; empty: nothing.
    label: String,
}

impl CaseItem {
    /// One of the list.
    pub fn new(row: CaseRow, node: &Node) -> Result<Self, Problem> {
        let overdue = matches!(row.state.as_str(), "open" | "appealed") && node.now() > row.due_at;
        let About { about, sale, attempt, till, hold } = subject_of(&row)?.into();
        Ok(Self {
            case: row.case.to_string(),
            subject: row.subject,
            about,
            sale,
            attempt,
            till,
            hold,
            origin: row.origin,
            museum: row.museum.0,
            channel: row.channel,
            amount_cents: row.amount_cents,
            score: row.score,
            probability: row.probability_ppm.map(of_ppm),
            expected_loss_cents: row.loss / 100,
            opened_at: row.opened_at.to_string(),
            due_at: row.due_at.to_string(),
            overdue,
            lapses_at: row.lapses_at.to_string(),
            state: row.state,
            assignee: row.assignee,
            verdict: row.verdict,
            label: row.label,
        })
    }
}

fn of_ppm(ppm: u32) -> f64 {
    f64::from(ppm) / 1e6
}

/// What the scorer said.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct AssessmentView {
    /// The model and its version.
    model: String,
    /// The number of the rules.
    rules_version: u32,
    /// The journal's batch up to which the scorer had seen events: replayed to there it says the same again.
    position: u64,
    /// 0 (surely honest) to 100.
    score: u8,
    /// How likely fraud is, 0 to 1, by a model that has learned it from labels; absent where none took part.
    #[serde(skip_serializing_if = "Option::is_none")]
    probability: Option<f64>,
    /// `allow`, `step_up`, `review` or `block`.
    outcome: &'static str,
    /// The main reasons, strongest first.
    #[schema(max_items = 16)]
    reasons: Vec<ReasonView>,
    /// The rules that fired.
    #[schema(max_items = 100)]
    rules: Vec<String>,
}

impl AssessmentView {
    /// Of something of which that much is at stake.
    fn new(assessment: &Assessment, amount_cents: Cents) -> Self {
        Self {
            model: assessment.model.to_string(),
            rules_version: assessment.rules_version,
            position: assessment.position,
            score: assessment.score,
            probability: assessment.probability_ppm.map(of_ppm),
            outcome: assessment.outcome.name(),
            reasons: assessment.reasons.iter().map(|reason| reasons::words(*reason, amount_cents)).collect(),
            rules: assessment.rules.iter().map(Code::to_string).collect(),
        }
    }
}

/// The most suspicious thing that the same person did on the day of what the case is about.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct StrongestView {
    /// What it is: a `sale`, a `return`, a `count` or a `hold`.
    about: &'static str,
    /// The sale that it is, or whose tickets came back.
    #[serde(skip_serializing_if = "Option::is_none")]
    sale: Option<String>,
    /// The till session that was counted, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    till: Option<String>,
    /// The hold that was not bought, or not yet, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<String>,
    /// When (RFC 3339, UTC).
    #[schema(format = DateTime)]
    at: String,
    /// The museum's number.
    museum: u16,
    /// What the scorer said.
    assessment: AssessmentView,
}

impl From<Strongest> for StrongestView {
    fn from(found: Strongest) -> Self {
        let About { about, sale, till, hold, .. } = found.subject.into();
        let assessment = AssessmentView::new(&found.assessment, found.amount_cents);
        Self { about, sale, till, hold, at: found.at.to_string(), museum: found.museum.0, assessment }
    }
}

/// What shares a party with the thing that the case is about.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct LinkView {
    /// What kind of party they have in common.
    kind: String,
    /// The beginning of its pseudonym.
    party: String,
    /// How many other sales, holds and attempts it took part in, at whichever museum: the last ones, 1,000 at most.
    #[schema(maximum = 1_000)]
    others: u32,
    /// Some of these, newest first: only those of museums that the key is good for.
    #[schema(max_items = 25)]
    subjects: Vec<String>,
    /// In how many of the cases of those that are counted the verdict is fraud.
    fraud: u32,
    /// How many steps away: 1 or 2.
    depth: u8,
}

impl From<Link> for LinkView {
    fn from(link: Link) -> Self {
        let Link { kind, party, others, subjects, fraud, depth } = link;
        Self { kind, party, others, subjects, fraud, depth }
    }
}

/// What is known of a case from somewhere.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct LabelView {
    /// `fraud` or `legit`.
    label: &'static str,
    /// `verdict`, `chargeback`, `dispute` or `gate_refusal`.
    source: &'static str,
    /// Since when (RFC 3339, UTC).
    #[schema(format = DateTime)]
    at: String,
    /// When a model may learn it (RFC 3339, UTC).
    #[schema(format = DateTime)]
    trains_at: String,
}

/// Something that happened, in the order in which it did.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct CaseMoment {
    /// When (RFC 3339, UTC).
    #[schema(format = DateTime)]
    at: String,
    /// What: that it was opened, assigned, decided, undone (and by when it is to be looked at again), appealed or has lapsed, a label, what was done to tickets and whether that could
    /// be done, or a ticket of the sale that a gate refused.
    what: String,
}

/// What was done to a sale.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ActedView {
    /// `block`: its tickets are blocked; `clear`: they are valid; `unblock`: the block is lifted; `review`: it is under review again.
    action: &'static str,
    /// Whether it was done; else nothing was left to be done, as when all tickets had been used.
    done: bool,
    /// When (RFC 3339, UTC).
    #[schema(format = DateTime)]
    at: String,
}

/// How many tickets of a sale a verdict blocks, wherever they have moved.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct BlockedTicketsView {
    /// So many: those that were used before are not among them.
    tickets: u32,
    /// Of so many that were not cancelled.
    of: u32,
}

/// What an action is called, and what to say of it in a timeline.
const fn named(action: Action, done: bool) -> (&'static str, &'static str) {
    match (action, done) {
        (Action::Block, true) => ("block", "tickets blocked"),
        (Action::Block, false) => ("block", "no ticket was left to block"),
        (Action::Clear, true) => ("clear", "tickets made valid"),
        (Action::Clear, false) => ("clear", "nothing kept the tickets from being valid"),
        (Action::Unblock, true) => ("unblock", "block lifted"),
        (Action::Unblock, false) => ("unblock", "no block was left to lift"),
        (Action::Review, true) => ("review", "under review again"),
        (Action::Review, false) => ("review", "no time was left for a review"),
    }
}

const fn label_name(label: Label) -> &'static str {
    match label {
        Label::Fraud => "fraud",
        Label::Legit => "legit",
        Label::Withdrawn => "withdrawn",
    }
}

/// A case by its records, up to one of them.
struct Read {
    case: Case,
    acted: Option<ActedView>,
    acting: bool,
    moments: Vec<(Timestamp, String)>,
}

impl Read {
    /// Up to the record numbered `last`, and to what was done because of it: however soon that was done, it belongs to it.
    fn new(id: CaseId, records: &[Record<Event>], last: u64) -> Self {
        let mut read = Self { case: Case::new(id), acted: None, acting: false, moments: Vec::new() };
        for record in records.iter().take_while(|record| record.seq <= last) {
            record.events.iter().for_each(|event| read.take(record.at, event));
            read.case.apply(record);
        }
        read.acting = read.case.pending().is_some();
        if read.acting {
            let says = |record: &&Record<Event>| record.events.iter().any(|event| matches!(event, Event::Decided(_) | Event::Undone(_)));
            let later = records.iter().skip_while(|record| record.seq <= last).take_while(|record| !says(record));
            let mut later = later.flat_map(|record| record.events.iter().map(move |event| (record.at, event)));
            if let Some((at, event)) = later.find(|(_, event)| matches!(event, Event::Acted(_))) {
                read.take(at, event);
                read.acting = false;
            }
        }
        read
    }

    fn take(&mut self, at: Timestamp, event: &Event) {
        let what = match event {
            Event::Opened(_) => "opened".to_owned(),
            Event::Assigned(assigned) => assigned.to.map_or_else(|| "assigned to nobody".to_owned(), |to| format!("assigned to {to}")),
            Event::Decided(decided) => format!("decided: {}", decided.verdict.name()),
            Event::Undone(undone) => format!("undone: {}", undone.verdict.name()),
            Event::Appealed(_) => "appealed".to_owned(),
            Event::Joined(joined) => format!("another attempt is looked at with it: {}", joined.attempt),
            Event::Followed(followed) => format!("looked at with case {}", followed.case),
            Event::Renewed(renewed) => format!("to be looked at by {}", renewed.due_at),
            Event::Lapsed(_) => "lapsed".to_owned(),
            Event::Labelled(labelled) if labelled.label == Label::Withdrawn => format!("taken back by {}", labelled.source.name()),
            Event::Labelled(labelled) => format!("{} said by {}", label_name(labelled.label), labelled.source.name()),
            Event::Acted(acted) => {
                let (action, what) = named(acted.action, acted.done);
                self.acted = Some(ActedView { action, done: acted.done, at: at.to_string() });
                what.to_owned()
            }
        };
        self.moments.push((at, what));
    }
}

/// A case with all that is needed to decide.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct CaseView {
    /// Its id.
    case: String,
    /// What it is about: a `sale`, an `attempt`, a `return` (tickets that were given back, or taken back at a desk), a `count` of a desk's cash, or a `hold` (places that were
    /// held and not bought).
    about: &'static str,
    /// The sale that it is about, or whose tickets came back.
    #[serde(skip_serializing_if = "Option::is_none")]
    sale: Option<String>,
    /// The attempt that it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<String>,
    /// The till session that was counted, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    till: Option<String>,
    /// The hold that was not bought, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<String>,
    /// Why there is a case.
    origin: &'static str,
    /// The slot, if it got so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<String>,
    /// The museum's number.
    museum: u16,
    /// Through which channel.
    channel: &'static str,
    /// What is at stake, in euro cents; of an attempt that was refused what it would have cost, which nobody has paid.
    amount_cents: i64,
    /// `open`, `appealed`, `decided` or `lapsed`.
    #[schema(value_type = CaseStatusWord)]
    state: Status,
    /// The key of whoever looks at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    assignee: Option<String>,
    /// When somebody should have looked (RFC 3339, UTC).
    #[schema(format = DateTime)]
    due_at: String,
    /// When it ends by itself if nobody looks (RFC 3339, UTC).
    #[schema(format = DateTime)]
    lapses_at: String,
    /// The verdict that stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<VerdictView>,
    /// Whether something still has to be done to the sale because of the verdict, or of its undoing. Of an option of a quote that is so until it is bought or gone.
    acting: bool,
    /// What was done last because of a verdict, or of its undoing; absent if nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    acted: Option<ActedView>,
    /// How many tickets of the sale a verdict blocks now; absent if it is about no sale, or cannot be seen now.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked: Option<BlockedTicketsView>,
    /// What the scorer said; absent if it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    assessment: Option<AssessmentView>,
    /// Of what the same buyer, device or card (where none is known: the same account or operator) did on the same day in Rome, that which was scored highest, at museums that the
    /// key is good for: a case is opened by the first suspicious thing, and what tells most may come later. Absent if nothing was scored higher than what opened the case.
    #[serde(skip_serializing_if = "Option::is_none")]
    strongest: Option<StrongestView>,
    /// What is known of it by now.
    #[schema(max_items = 16)]
    labels: Vec<LabelView>,
    /// What shares a party with it, nearest first.
    #[schema(max_items = 32)]
    linked: Vec<LinkView>,
    /// The sales in other slots that its tickets have become, in which whatever follows from a verdict is done as well; absent if none has moved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    moved_to: Vec<String>,
    /// Other attempts that were appealed and are looked at with this one; absent if none is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 200)]
    joined: Vec<AlsoAppealedView>,
    /// What happened to it, the last of it.
    #[schema(max_items = 64)]
    timeline: Vec<CaseMoment>,
}

/// An attempt that is looked at with the one that a case is about, as whoever was refused appealed too.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct AlsoAppealedView {
    /// Which.
    attempt: String,
    /// Whether it was of the same buyer or device: then the verdict holds for it. Else they have a card, a network or the lack of a name in common, and it may be appealed once
    /// more when this case is decided.
    same: bool,
    /// The rules that refused it, if it was of the same buyer or device.
    #[schema(max_items = 100)]
    rules: Vec<String>,
}

/// A verdict that stands.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct VerdictView {
    /// `fraud`, `legit` or `unsure`.
    verdict: &'static str,
    /// Why, in one word.
    reason: String,
    /// The key of whoever said so.
    by: String,
    /// When (RFC 3339, UTC).
    #[schema(format = DateTime)]
    at: String,
}

/// A case that the caller may see.
pub async fn seen(node: &Node, caller: &Caller, id: CaseId) -> Result<Case, Problem> {
    caller.may(Scope::Investigate)?;
    let museums = caller.0.museums.clone();
    let found = node.look_case(id, move |case| case.opened().is_some_and(|opened| museums.allows(opened.museum)).then(|| case.clone()));
    match found.await {
        Ok(found) => found.ok_or_else(|| Refusal::UnknownCase.into()),
        Err(failure) => Err(failure.into()),
    }
}

/// A case as it is now.
pub async fn view(node: &Node, caller: &Caller, id: CaseId) -> Result<CaseView, Problem> {
    view_after(node, caller, id, u64::MAX).await
}

/// A case as it was right after one of its records: what was asked for by that is answered so, however often. What stands elsewhere (what is linked, what was scored higher, where tickets are,
/// what gates refused) is looked up now.
pub async fn view_after(node: &Node, caller: &Caller, id: CaseId, last: u64) -> Result<CaseView, Problem> {
    seen(node, caller, id).await?;
    let Read { case, acted, acting, moments: mut timeline } = Read::new(id, &node.case_records(id).await?, last);
    let (Some(opened), Some(state)) = (case.opened(), case.status()) else { return Err(Refusal::UnknownCase.into()) };
    let About { about, sale, attempt, till, hold } = opened.subject.into();
    let subject = opened.subject.to_string();
    let museums = museums(node, caller, Scope::Investigate, None)?;
    let linked = files(node)?.views.links_of(&subject, museums.as_deref()).await?.into_iter().map(LinkView::from).collect();
    let score = opened.assessment.as_ref().map_or(0, |assessment| assessment.score);
    let strongest = files(node)?.views.strongest_of(&subject, score, museums.as_deref()).await?.map(StrongestView::from);
    let moved_to = match opened.subject {
        // A slot that does not answer now keeps nobody from reading the case.
        Subject::Sale(sale) | Subject::Return { sale, .. } => {
            let (trail, _) = moves::trail(node, sale).await.unwrap_or_default();
            trail.iter().skip(1).map(HoldId::to_string).collect()
        }
        Subject::Attempt(_) | Subject::Till(_) | Subject::Hold(_) => Vec::new(),
    };
    let (due_at, lapses_at) = case.deadlines();
    if let Subject::Sale(sale) | Subject::Return { sale, .. } = opened.subject {
        let refused = files(node)?.views.refused_of(sale).await?;
        let words = |row: &RefusedRow| format!("{} refused at gate {}: {} (time {} that day)", row.ticket, row.gate, row.reason, row.times);
        timeline.extend(refused.iter().map(|row| (row.at, words(row))));
    }
    timeline.sort_by_key(|(at, _)| *at);
    let older = timeline.len().saturating_sub(MOMENTS_MAX);
    let blocked = match case.sale() {
        // A slot that does not answer now keeps nobody from reading the case.
        Some(sale) => cases::blocked_of(node, sale).await.ok(),
        None => None,
    };
    Ok(CaseView {
        case: id.to_string(),
        about,
        sale,
        attempt,
        till,
        hold,
        origin: opened.origin.name(),
        slot: opened.slot.map(|slot| slot.to_string()),
        museum: opened.museum.0,
        channel: opened.channel.name(),
        amount_cents: opened.amount_cents.get(),
        state,
        assignee: case.assignee().map(|key| key.to_string()),
        due_at: due_at.to_string(),
        lapses_at: lapses_at.to_string(),
        verdict: case.verdict().map(|standing| VerdictView {
            verdict: standing.decided.verdict.name(),
            reason: standing.decided.reason.to_string(),
            by: standing.decided.by.to_string(),
            at: standing.at.to_string(),
        }),
        acting,
        acted,
        blocked: blocked.map(|found| BlockedTicketsView { tickets: found.blocked, of: found.of }),
        assessment: opened.assessment.as_ref().map(|assessment| AssessmentView::new(assessment, opened.amount_cents)),
        strongest,
        labels: case
            .known()
            .map(|known| LabelView {
                label: label_name(known.label),
                source: known.source.name(),
                at: known.at.to_string(),
                trains_at: known.trains_at().to_string(),
            })
            .collect(),
        linked,
        moved_to,
        joined: case
            .joined()
            .iter()
            .map(|joined| AlsoAppealedView {
                attempt: joined.attempt.to_string(),
                same: joined.is_same,
                rules: joined.rules.iter().map(Code::to_string).collect(),
            })
            .collect(),
        timeline: timeline.into_iter().skip(older).map(|(at, what)| CaseMoment { at: at.to_string(), what }).collect(),
    })
}
