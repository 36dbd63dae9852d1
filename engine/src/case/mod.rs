//! A fraud case: one thing that somebody should look at, from the moment it was suspected (or picked at random) to the label that teaches the model.
//!
//! A verdict is followed by an action on the sale, which the shell takes and notes; what was decided is undone the same way, as far as it still can be. A case that nobody
//! looks at lapses: its sale is released by the slot's own clock, so no honest visitor waits for an analyst.
//!
//! An appeal of somebody whose other appeal waits, or who has only a network in common with it, joins that one's case: each is heard, and one at a time stands in the queue.
//!
//! - CA-1: a case is opened once, and nothing happens to it before but that it is looked at with another one.
//! - CA-2: a case that is open ends by itself, and not before somebody should have looked.
//! - CA-3: a verdict stands once, and its label with it; what is undone leaves neither.
//! - CA-4: an action waits only for a sale, and follows the last verdict or its undoing.
//! - CA-5: replay equals live, and time does not go back.

mod event;
#[cfg(test)]
mod tests;

pub use event::*;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Broken};
use crate::envelope::{Party, PartyKind};
use crate::ids::{AttemptId, CaseId, Code, KeyId, MuseumId};
use crate::money::Cents;
use crate::past::Past;
use crate::record::Record;
use crate::slot::REVIEW_ENDS_BEFORE_S;
use crate::time::{DAY_S, MICROS_PER_S, Timestamp};

/// Within which time somebody should look at an appeal, where the visit is not sooner, or at what was undone late, and when it lapses, in seconds: a day and a week.
pub const APPEAL_DUE_S: i64 = DAY_S;
const APPEAL_LAPSES_S: i64 = 7 * DAY_S;
/// How long whoever was refused and found honest passes the same rules, in seconds from the verdict: a week.
pub const PASS_S: i64 = 7 * DAY_S;
/// How long a label that says "honest" waits before a model learns it, in seconds: 30 days, in which a bank may still say otherwise.
pub const LEGIT_DELAY_S: i64 = 30 * DAY_S;
/// The most labels of one case.
const LABELS_MAX: usize = 16;
/// The most parties of one case.
const PARTIES_MAX: usize = 16;
/// The most attempts that are looked at with the one that a case is about.
pub const JOINED_MAX: usize = 200;

/// Why a case says no. In order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// There is no such case.
    #[error("there is no such case")]
    UnknownCase,
    /// The case is open already.
    #[error("there is a case about that already")]
    CaseExists,
    /// What is to be looked at cannot be.
    #[error("the case cannot be opened like that")]
    BadCase,
    /// It has a verdict.
    #[error("the case has a verdict: undo it first")]
    CaseDecided,
    /// It has none.
    #[error("the case has no verdict that could be undone")]
    NotDecided,
    /// Nobody was refused anything.
    #[error("nothing was refused here that could be appealed")]
    NothingToAppeal,
    /// It was appealed before.
    #[error("this was appealed before, and is being looked at or was")]
    AlreadyAppealed,
    /// Nothing was written of the refusal, and of its day as many were appealed as are written; or as many are looked at together as may be.
    #[error("as many refusals were appealed as are taken: ask the museum")]
    TooManyAppeals,
    /// The same is known from there.
    #[error("that is known of the case already")]
    LabelKnown,
    /// Too much is known.
    #[error("as much is known of the case as it keeps")]
    TooManyLabels,
    /// Nothing waits for that.
    #[error("no such action waits to be taken")]
    NothingToDo,
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::UnknownCase => "unknown_case",
            Self::CaseExists => "case_exists",
            Self::BadCase => "bad_case",
            Self::CaseDecided => "case_decided",
            Self::NotDecided => "case_not_decided",
            Self::NothingToAppeal => "nothing_to_appeal",
            Self::AlreadyAppealed => "already_appealed",
            Self::TooManyAppeals => "too_many_appeals",
            Self::LabelKnown => "label_known",
            Self::TooManyLabels => "too_many_labels",
            Self::NothingToDo => "nothing_to_do",
        }
    }
}

/// How a case stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Somebody should look.
    Open,
    /// Somebody has.
    Decided,
    /// Nobody has in time.
    Lapsed,
    /// Somebody has, and the one who was refused asks for another look. The verdict stands meanwhile: an appeal alone opens no gate.
    Appealed,
}

/// How an appeal stands, for whoever made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppealState {
    /// Somebody should look at it.
    Received,
    /// What was refused is allowed: an attempt may be made again, or the tickets are good.
    Granted,
    /// Somebody has looked, and the refusal stands.
    Refused,
    /// Nobody has looked in time, or it waited behind one of which nothing follows for it: it can be made once more.
    Lapsed,
}

/// Whom rules let pass that had refused them, because somebody found that they were honest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// The buyers and devices that were refused, under all their pseudonyms of then. Nobody else who took part: behind a network, a card token or a totem are others too.
    pub parties: Vec<Party>,
    /// The rules that fired.
    pub rules: Vec<Code>,
    /// Until when.
    pub until: Timestamp,
}

/// A verdict that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What was decided.
    pub decided: Decided,
    /// When.
    pub at: Timestamp,
}

/// What is known of it, since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// What.
    pub label: Label,
    /// Who says so.
    pub source: LabelSource,
    /// Since when.
    pub at: Timestamp,
}

impl Known {
    /// When a model may learn it.
    #[must_use]
    pub const fn trains_at(&self) -> Timestamp {
        match self.label {
            Label::Fraud | Label::Withdrawn => self.at,
            Label::Legit => self.at.plus_seconds(LEGIT_DELAY_S),
        }
    }
}

/// A case. Serialized, equal states give equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    id: CaseId,
    opened: Option<Box<Opened>>,
    opened_at: Timestamp,
    openings: u32,
    assignee: Option<KeyId>,
    verdict: Option<Standing>,
    has_lapsed: bool,
    appealed_at: Option<Timestamp>,
    /// Whether the appeal waits for somebody to look.
    appeal_waits: bool,
    /// Whether nobody has looked at the last appeal in time, nor since.
    appeal_lapsed: bool,
    due_at: Timestamp,
    lapses_at: Timestamp,
    labels: Vec<Known>,
    pending: Option<Action>,
    /// What is looked at with what it is about.
    joined: Vec<Joined>,
    /// With what it is looked at, or was before it was a case of its own.
    followed: Option<Followed>,
    past: Past,
}

impl Aggregate for Case {
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn past(&self) -> &Past {
        &self.past
    }

    fn decide(&self, now: Timestamp, command: &Command) -> Result<Vec<Event>, Refusal> {
        let now = self.past.at_least(now);
        if let Command::Open(opened) = command {
            return self.open(opened);
        }
        if let Command::Follow { case, is_same } = *command {
            return if self.opened.is_some() { Err(Refusal::CaseExists) } else { Ok(vec![Event::Followed(Followed { case, is_same })]) };
        }
        let opened = self.opened.as_deref().ok_or(Refusal::UnknownCase)?;
        let event = match command {
            Command::Open(_) | Command::Follow { .. } => return Err(Refusal::CaseExists),
            Command::Assign { .. } if self.status() == Some(Status::Decided) => return Err(Refusal::CaseDecided),
            Command::Assign { to } => Event::Assigned(Assigned { to: *to }),
            Command::Decide { verdict, reason, by } => return self.say(*verdict, *reason, *by),
            Command::Undo => return self.undo(now),
            Command::Appeal { gate_opens_at } => return self.appeal(now, opened, *gate_opens_at),
            Command::Join { attempt, parties, rules, gate_opens_at } => {
                Event::Joined(self.join(now, opened, (*attempt, parties, rules), *gate_opens_at)?)
            }
            Command::Label { label, source } => {
                let last = self.labels.iter().rfind(|known| known.source.rank() == source.rank());
                // Where nothing was said, nothing is taken back.
                if last.map_or(*label == Label::Withdrawn, |known| (known.label, known.source) == (*label, *source)) {
                    return Err(Refusal::LabelKnown);
                }
                if self.labels.len() >= LABELS_MAX {
                    return Err(Refusal::TooManyLabels);
                }
                Event::Labelled(Labelled { label: *label, source: *source })
            }
            Command::Act { action, done } if self.pending == Some(*action) => Event::Acted(Acted { action: *action, done: *done }),
            Command::Act { .. } => return Err(Refusal::NothingToDo),
            Command::Renew { lapses_at } if self.status() == Some(Status::Open) && self.lapses_at < *lapses_at => {
                let due_at = if self.due_at > now { self.due_at } else { now.plus_seconds(APPEAL_DUE_S) };
                Event::Renewed(Renewed { due_at: due_at.min(*lapses_at), lapses_at: *lapses_at })
            }
            Command::Hasten { due_at } if self.status() == Some(Status::Open) && now.max(*due_at) < self.due_at => {
                Event::Renewed(Renewed { due_at: now.max(*due_at), lapses_at: self.lapses_at })
            }
            Command::Renew { .. } | Command::Hasten { .. } => return Err(Refusal::NothingToDo),
        };
        Ok(vec![event])
    }

    /// A case that nobody has looked at lapses.
    fn due(&self, now: Timestamp) -> Vec<Event> {
        if self.wake_at().is_some_and(|lapses_at| self.past.at_least(now) >= lapses_at) { vec![Event::Lapsed(Lapsed {})] } else { Vec::new() }
    }

    fn apply(&mut self, record: &Record<Event>) {
        self.past.take(record);
        record.events.iter().for_each(|event| self.happened(record.at, event));
    }

    fn check(&self) -> Result<(), Broken> {
        let broken = |invariant, what| Err(Broken { invariant, what });
        if self.openings > 1
            || (self.openings == 1) != self.opened.is_some()
            || (self.opened.is_none() && ((self.past.seq() > 0 && self.followed.is_none()) || self.verdict.is_some() || !self.joined.is_empty()))
        {
            return broken("CA-1", "a case was opened twice, or used before");
        }
        if self.opened.is_some() && self.lapses_at < self.due_at {
            return broken("CA-2", "a case lapses before somebody should have looked");
        }
        let by_verdict = self.labels.iter().filter(|known| known.source == LabelSource::Verdict).map(|known| known.label);
        let says = self.verdict.as_ref().and_then(|standing| label_of(standing.decided.verdict));
        if !by_verdict.eq(says) || (self.verdict.is_some() && self.has_lapsed) {
            return broken("CA-3", "a verdict and its label do not go together");
        }
        let fits = |action: Action| {
            let after = self.verdict.as_ref().map(|standing| standing.decided.verdict);
            self.sale().is_some()
                && match action {
                    Action::Block => after == Some(Verdict::Fraud),
                    Action::Clear => after == Some(Verdict::Legit),
                    Action::Unblock | Action::Review => after.is_none() || after == Some(Verdict::Unsure),
                }
        };
        if self.pending.is_some_and(|action| !fits(action)) {
            return broken("CA-4", "an action waits that no verdict asks for");
        }
        Ok(())
    }

    fn wake_at(&self) -> Option<Timestamp> {
        matches!(self.status(), Some(Status::Open | Status::Appealed)).then_some(self.lapses_at)
    }
}

impl Case {
    /// A case that is not open yet.
    #[must_use]
    pub fn new(id: CaseId) -> Self {
        let never = Timestamp::MIN;
        Self {
            id,
            opened: None,
            opened_at: never,
            openings: 0,
            assignee: None,
            verdict: None,
            has_lapsed: false,
            appealed_at: None,
            appeal_waits: false,
            appeal_lapsed: false,
            due_at: never,
            lapses_at: never,
            labels: Vec::new(),
            pending: None,
            joined: Vec::new(),
            followed: None,
            past: Past::default(),
        }
    }

    fn open(&self, opened: &Opened) -> Result<Vec<Event>, Refusal> {
        if self.opened.is_some() {
            return Err(Refusal::CaseExists);
        }
        if opened.lapses_at < opened.due_at || opened.parties.len() > PARTIES_MAX || opened.amount_cents < Cents::ZERO {
            return Err(Refusal::BadCase);
        }
        Ok(vec![Event::Opened(opened.clone())])
    }

    fn say(&self, verdict: Verdict, reason: Code, by: KeyId) -> Result<Vec<Event>, Refusal> {
        if self.status() == Some(Status::Decided) {
            return Err(Refusal::CaseDecided);
        }
        let mut events: Vec<Event> = self.verdict.iter().map(|standing| Event::Undone(Undone { verdict: standing.decided.verdict })).collect();
        events.push(Event::Decided(Decided { verdict, reason, by }));
        events.extend(label_of(verdict).map(|label| Event::Labelled(Labelled { label, source: LabelSource::Verdict })));
        Ok(events)
    }

    /// Takes the verdict back. Somebody is to look once more, and has time for it: where somebody should have looked by now that begins anew, within the case's time as long as
    /// that is not over; else it begins anew as well, or the case would lapse in the same moment, and a review that begins anew would run with nobody to see it.
    fn undo(&self, now: Timestamp) -> Result<Vec<Event>, Refusal> {
        let standing = self.verdict.as_ref().ok_or(Refusal::NotDecided)?;
        let mut events = vec![Event::Undone(Undone { verdict: standing.decided.verdict })];
        if self.due_at <= now {
            let lapses_at = if now < self.lapses_at { self.lapses_at } else { now.plus_seconds(APPEAL_LAPSES_S) };
            events.push(Event::Renewed(Renewed { due_at: now.plus_seconds(APPEAL_DUE_S).min(lapses_at), lapses_at }));
        }
        Ok(events)
    }

    /// Who was refused may ask for another look: at an attempt, or at a sale whose tickets were blocked. Once, and once more when nobody has looked in time.
    fn appeal(&self, now: Timestamp, opened: &Opened, gate_opens_at: Option<Timestamp>) -> Result<Vec<Event>, Refusal> {
        let refused = match opened.subject {
            Subject::Attempt(_) => true,
            Subject::Sale(_) => self.verdict.as_ref().is_some_and(|standing| standing.decided.verdict == Verdict::Fraud),
            // Nobody was refused anything: what a verdict says of a return or a count is for the museum to act on, and places that were held are free again.
            Subject::Return { .. } | Subject::Till(_) | Subject::Hold(_) => false,
        };
        if !refused {
            return Err(Refusal::NothingToAppeal);
        }
        if self.appealed_at.is_some() && !self.appeal_lapsed && self.status() != Some(Status::Lapsed) {
            return Err(Refusal::AlreadyAppealed);
        }
        let (due_at, lapses_at) = (appeal_due_at(now, gate_opens_at), now.plus_seconds(APPEAL_LAPSES_S));
        Ok(vec![Event::Appealed(Appealed { due_at, lapses_at })])
    }

    /// Another attempt is looked at with this one, while its appeal waits.
    fn join(
        &self,
        now: Timestamp,
        opened: &Opened,
        (attempt, parties, rules): (AttemptId, &[Party], &[Code]),
        gate_opens_at: Option<Timestamp>,
    ) -> Result<Joined, Refusal> {
        if !self.appeal_waits || !matches!(opened.subject, Subject::Attempt(_)) {
            return Err(Refusal::NothingToAppeal);
        }
        if opened.subject == Subject::Attempt(attempt) || self.joined.iter().any(|known| known.attempt == attempt) {
            return Err(Refusal::AlreadyAppealed);
        }
        if self.joined.len() >= JOINED_MAX {
            return Err(Refusal::TooManyAppeals);
        }
        let parties: Vec<Party> = parties.iter().filter(|party| is_of_one(party)).take(PARTIES_MAX).copied().collect();
        let is_same = parties.iter().any(|party| self.parties().any(|known| known == party));
        if !is_same {
            return Ok(Joined { attempt, is_same, parties: Vec::new(), rules: Vec::new(), due_at: self.due_at });
        }
        Ok(Joined { attempt, is_same, parties, rules: rules.to_vec(), due_at: appeal_due_at(now, gate_opens_at).min(self.due_at) })
    }

    fn happened(&mut self, at: Timestamp, event: &Event) {
        match event {
            Event::Opened(opened) => {
                (self.due_at, self.lapses_at, self.opened_at) = (opened.due_at, opened.lapses_at, at);
                self.opened = Some(Box::new(opened.clone()));
                self.openings += 1;
            }
            Event::Assigned(assigned) => self.assignee = assigned.to,
            Event::Decided(decided) => {
                (self.has_lapsed, self.appeal_waits, self.appeal_lapsed) = (false, false, false);
                self.verdict = Some(Standing { decided: decided.clone(), at });
                let action = match decided.verdict {
                    Verdict::Fraud => Some(Action::Block),
                    Verdict::Legit => Some(Action::Clear),
                    // What was undone before and not acted on yet is still to be.
                    Verdict::Unsure => self.pending,
                };
                self.pending = action.filter(|_| self.sale().is_some());
            }
            Event::Undone(undone) => {
                (self.verdict, self.appeal_waits) = (None, false);
                self.labels.retain(|known| known.source != LabelSource::Verdict);
                let was_suspected = self.opened.as_ref().is_some_and(|opened| opened.origin == Origin::Review);
                let action = match undone.verdict {
                    Verdict::Legit if was_suspected => Some(Action::Review),
                    // Of what chance picked, or a bank or a gate told, there was no review that could begin anew. What an earlier verdict blocked may still be.
                    Verdict::Fraud | Verdict::Legit => Some(Action::Unblock),
                    Verdict::Unsure => self.pending,
                };
                self.pending = action.filter(|_| self.sale().is_some());
            }
            Event::Appealed(appealed) => {
                (self.appealed_at, self.appeal_waits, self.appeal_lapsed, self.has_lapsed) = (Some(at), true, false, false);
                (self.due_at, self.lapses_at) = (appealed.due_at, appealed.lapses_at);
            }
            Event::Lapsed(_) => {
                self.appeal_lapsed |= self.appeal_waits;
                (self.has_lapsed, self.appeal_waits) = (self.verdict.is_none(), false);
            }
            Event::Labelled(labelled) => self.labels.push(Known { label: labelled.label, source: labelled.source, at }),
            Event::Acted(_) => self.pending = None,
            Event::Joined(joined) => {
                self.due_at = joined.due_at;
                self.joined.push(joined.clone());
            }
            Event::Followed(followed) => self.followed = Some(*followed),
            Event::Renewed(renewed) => (self.due_at, self.lapses_at) = (renewed.due_at, renewed.lapses_at),
        }
    }

    /// The full count: all of it is in `check`.
    pub fn recount(&self) -> Result<(), Broken> {
        self.check()
    }

    /// Which case this is.
    #[must_use]
    pub const fn id(&self) -> CaseId {
        self.id
    }

    /// What it is about, once it is open.
    #[must_use]
    pub fn opened(&self) -> Option<&Opened> {
        self.opened.as_deref()
    }

    /// When it was opened.
    #[must_use]
    pub const fn opened_at(&self) -> Timestamp {
        self.opened_at
    }

    /// How it stands; none before it is opened.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        self.opened.as_ref()?;
        Some(match (&self.verdict, self.has_lapsed) {
            (Some(_), _) if self.appeal_waits => Status::Appealed,
            (Some(_), _) => Status::Decided,
            (None, true) => Status::Lapsed,
            (None, false) => Status::Open,
        })
    }

    /// The verdict that stands.
    #[must_use]
    pub const fn verdict(&self) -> Option<&Standing> {
        self.verdict.as_ref()
    }

    /// Who looks at it.
    #[must_use]
    pub const fn assignee(&self) -> Option<KeyId> {
        self.assignee
    }

    /// When somebody should have looked, and when it ends by itself.
    #[must_use]
    pub const fn deadlines(&self) -> (Timestamp, Timestamp) {
        (self.due_at, self.lapses_at)
    }

    /// When it was appealed.
    #[must_use]
    pub const fn appealed_at(&self) -> Option<Timestamp> {
        self.appealed_at
    }

    /// How the appeal stands; none if nobody has appealed.
    #[must_use]
    pub fn appeal_state(&self) -> Option<AppealState> {
        self.appealed_at?;
        let verdict = self.verdict.as_ref().map(|standing| standing.decided.verdict);
        Some(match (self.status(), verdict) {
            (status, _) if self.appeal_lapsed || status == Some(Status::Lapsed) => AppealState::Lapsed,
            (Some(Status::Appealed), _) | (_, None) => AppealState::Received,
            (_, Some(Verdict::Legit)) => AppealState::Granted,
            // Where it cannot be told any more that a sale was fraud its tickets are not blocked; that of an attempt gives no pass.
            (_, Some(Verdict::Unsure)) if self.sale().is_some() => AppealState::Granted,
            (_, Some(Verdict::Unsure | Verdict::Fraud)) => AppealState::Refused,
        })
    }

    /// Who took part in what it is about, and in what is looked at with it and is the same.
    fn parties(&self) -> impl Iterator<Item = &Party> {
        let opened = self.opened.iter().flat_map(|opened| &opened.parties);
        opened.chain(self.joined.iter().flat_map(|joined| &joined.parties))
    }

    /// Whose appeal about an attempt waits, and at which museum: for who has any of these in common it is looked at with this one. None if no such appeal waits.
    #[must_use]
    pub fn appellants(&self) -> Option<(MuseumId, Vec<Option<Party>>)> {
        let opened = self.opened.as_deref().filter(|opened| self.appeal_waits && matches!(opened.subject, Subject::Attempt(_)))?;
        let parties: Vec<Party> = self.parties().copied().collect();
        Some((opened.museum, told_by(&parties)))
    }

    /// What is looked at with what it is about, in the order in which it came.
    #[must_use]
    pub fn joined(&self) -> &[Joined] {
        &self.joined
    }

    /// With what this is looked at, or was before it was a case of its own.
    #[must_use]
    pub const fn followed(&self) -> Option<Followed> {
        self.followed
    }

    /// Whom the verdict lets pass, and what: who made an attempt that rules refused, or one that was looked at with it and is the same, and was found honest. None where no buyer
    /// or device was named, or no rule.
    #[must_use]
    pub fn pass(&self) -> Option<Pass> {
        let (opened, standing) = (self.opened.as_deref()?, self.verdict.as_ref()?);
        if !matches!(opened.subject, Subject::Attempt(_)) || standing.decided.verdict != Verdict::Legit {
            return None;
        }
        let mut parties: Vec<Party> = Vec::new();
        for party in self.parties().filter(|party| is_of_one(party)) {
            if !parties.contains(party) {
                parties.push(*party);
            }
        }
        let mut rules = opened.assessment.as_ref().map(|assessment| assessment.rules.clone()).unwrap_or_default();
        for rule in self.joined.iter().flat_map(|joined| &joined.rules) {
            if !rules.contains(rule) {
                rules.push(*rule);
            }
        }
        (!parties.is_empty() && !rules.is_empty()).then(|| Pass { parties, rules, until: standing.at.plus_seconds(PASS_S) })
    }

    /// What is to be done to its sale.
    #[must_use]
    pub const fn pending(&self) -> Option<Action> {
        self.pending
    }

    /// The sale that it is about, if it is about one.
    #[must_use]
    pub fn sale(&self) -> Option<crate::ids::HoldId> {
        match self.opened.as_ref()?.subject {
            Subject::Sale(sale) => Some(sale),
            Subject::Attempt(_) | Subject::Return { .. } | Subject::Till(_) | Subject::Hold(_) => None,
        }
    }

    /// All that was said, in the order in which it came, also what was taken back since.
    #[must_use]
    pub fn labels(&self) -> &[Known] {
        &self.labels
    }

    /// All that is known, in the order in which it came: nothing that whoever said it has taken back since.
    pub fn known(&self) -> impl DoubleEndedIterator<Item = &Known> {
        let taken_back =
            move |of: &Known| self.labels.iter().rposition(|known| known.label == Label::Withdrawn && known.source.rank() == of.source.rank());
        self.labels.iter().enumerate().filter(move |&(place, known)| Some(place) > taken_back(known)).map(|(_, known)| known)
    }

    /// What counts of it: the most credible, and of these the last; see [`LabelSource::rank`].
    #[must_use]
    pub fn label(&self) -> Option<Known> {
        self.known().rev().min_by_key(|known| known.source.rank()).copied()
    }

    /// Time of the last record.
    #[must_use]
    pub const fn last_at(&self) -> Timestamp {
        self.past.last_at()
    }
}

/// How long it took to look, in seconds, and whether that was in time.
#[must_use]
pub fn in_time(opened_at: Timestamp, due_at: Timestamp, decided_at: Timestamp) -> (i64, bool) {
    (decided_at.micros_since(opened_at) / MICROS_PER_S, decided_at <= due_at)
}

/// By when somebody should look at an appeal: soon enough for the visit, if it is still to come; at once, if that is nearly now.
fn appeal_due_at(now: Timestamp, gate_opens_at: Option<Timestamp>) -> Timestamp {
    let before_visit = gate_opens_at.filter(|opens_at| *opens_at > now).map(|opens_at| opens_at.plus_seconds(-REVIEW_ENDS_BEFORE_S).max(now));
    let in_a_day = now.plus_seconds(APPEAL_DUE_S);
    before_visit.map_or(in_a_day, |soon| soon.min(in_a_day))
}

/// Whether a party is one person, or their family: behind a card token, a network or a totem are others too.
const fn is_of_one(party: &Party) -> bool {
    matches!(party.kind, PartyKind::Buyer | PartyKind::Device)
}

/// By whom those who appeal are told from others: the buyer, the device, the card and the network, each by itself; where none of these is named, the one that acts, or that
/// nobody is.
#[must_use]
pub fn told_by(parties: &[Party]) -> Vec<Option<Party>> {
    let tells = |party: &&Party| matches!(party.kind, PartyKind::Buyer | PartyKind::Device | PartyKind::Card | PartyKind::Network);
    let told: Vec<Option<Party>> = parties.iter().filter(tells).copied().map(Some).collect();
    if told.is_empty() { vec![parties.first().copied()] } else { told }
}

const fn label_of(verdict: Verdict) -> Option<Label> {
    match verdict {
        Verdict::Fraud => Some(Label::Fraud),
        Verdict::Legit => Some(Label::Legit),
        Verdict::Unsure => None,
    }
}
