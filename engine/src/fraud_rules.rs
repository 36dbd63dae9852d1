//! The rules that are asked before any model: one stream for all museums. An analyst drafts a rule, somebody else puts in force the very draft that they have read; every
//! change of what is in force raises the number that assessments name. What features are, and how a rule is held against them, is known outside.
//!
//! - RU-1: of one name one rule at most is in force, and the number of the rules grows with every change of what is in force.
//! - RU-2: a rule is in force only by the word of somebody other than who drafted it.
//! - RU-3: there are no more rules than can be asked in a moment.
//! - RU-4: replay equals live, and time does not go back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Broken};
use crate::channel::Channel;
use crate::envelope::Outcome;
use crate::ids::{Code, KeyId, MuseumId};
use crate::past::Past;
use crate::record::Record;
use crate::text::Text;
use crate::time::Timestamp;

/// The most rules in force, and the most drafts.
pub const RULES_MAX: usize = 100;
/// The most conditions of one rule.
pub const CONDITIONS_MAX: usize = 8;
/// The most channels or museums that one rule names.
const NAMED_MAX: usize = 64;

/// A rule: if all conditions hold, the action follows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name.
    pub name: Code,
    /// What must hold, all of it; at least one.
    pub when: Vec<Condition>,
    /// Only through these channels; none named: through all.
    #[serde(default)]
    pub channels: Vec<Channel>,
    /// Only at these museums; none named: at all.
    #[serde(default)]
    pub museums: Vec<MuseumId>,
    /// What follows.
    pub action: Action,
    /// What is the matter, for analysts and for those who are refused.
    pub sentence: Text,
}

/// A feature held against a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The name of the feature.
    pub feature: Code,
    /// How.
    pub op: Op,
    /// The threshold in thousandths of the feature's unit: 2500 is 2.5.
    pub threshold_milli: i64,
}

/// How a feature is held against a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// As much or more.
    AtLeast,
    /// As much or less.
    AtMost,
}

/// What follows from a rule, mildest first. Numbers are written in the journal: append only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// One more proof is asked for.
    StepUp,
    /// It is looked at before its tickets are valid.
    Review,
    /// It is refused.
    Block,
}

impl From<Action> for Outcome {
    fn from(action: Action) -> Self {
        match action {
            Action::StepUp => Self::StepUp,
            Action::Review => Self::Review,
            Action::Block => Self::Block,
        }
    }
}

impl Rule {
    /// Whether it speaks of what is asked through a channel at a museum.
    #[must_use]
    pub fn is_about(&self, channel: Channel, museum: MuseumId) -> bool {
        (self.channels.is_empty() || self.channels.contains(&channel)) && (self.museums.is_empty() || self.museums.contains(&museum))
    }

    fn is_sound(&self) -> bool {
        (1..=CONDITIONS_MAX).contains(&self.when.len()) && self.channels.len().max(self.museums.len()) <= NAMED_MAX && self.sentence.is_sound()
    }
}

/// What can be asked of the rules.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Draft a rule, or another form of one; what is in force stays.
    Draft {
        /// The rule.
        rule: Box<Rule>,
        /// The number of the draft whose place it takes, if that is another's: see [`Written::draft`].
        replaces: Option<u64>,
        /// Who drafts.
        by: KeyId,
    },
    /// The same for somebody who speaks for some museums only: a draft for others, or one for all that somebody else wrote, keeps its name, or it would go and nobody who wrote
    /// it would know.
    DraftAt {
        /// Which museums.
        museums: Vec<MuseumId>,
        /// The rule.
        rule: Box<Rule>,
        /// As of [`Self::Draft`].
        replaces: Option<u64>,
        /// Who drafts.
        by: KeyId,
    },
    /// Put the draft of that name in force, if it is still the one that was read.
    Activate {
        /// Which.
        name: Code,
        /// The number of the draft that was read: see [`Written::draft`].
        draft: u64,
        /// Who says so.
        by: KeyId,
    },
    /// Take a rule out of force, and drop its draft.
    Retire {
        /// Which.
        name: Code,
    },
}

/// What happened to the rules.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Event {
    /// See [`Drafted`].
    Drafted(Drafted),
    /// See [`Activated`].
    Activated(Activated),
    /// See [`Retired`].
    Retired(Retired),
}

/// There is a draft.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Drafted {
    /// The rule.
    pub rule: Rule,
    /// Who drafted it.
    pub by: KeyId,
}

/// A draft is in force.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Activated {
    /// Its name.
    pub name: Code,
    /// The number of the rules from now on.
    pub version: u32,
    /// Who said so.
    pub approver: KeyId,
}

/// A rule is no more.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Retired {
    /// Its name.
    pub name: Code,
    /// The number of the rules from now on.
    pub version: u32,
}

/// Why the rules say no. In order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// A rule that cannot be asked.
    #[error(
        "the rule cannot be used: give 1 to 8 conditions, at most 64 channels and museums, and a sentence of 1 to 200 characters in both languages"
    )]
    BadRule,
    /// A draft of that name is for museums that are somebody else's, or somebody else's for all of them.
    #[error("a draft of that name is for other museums, or for all: choose another name")]
    DraftOfOthers,
    /// Another key's draft of that name waits to be put in force, and it was not said that it is this one which is replaced.
    #[error("another key's draft of that name waits: read it, and name its number if it is to be replaced")]
    DraftPending {
        /// The number of the draft that there is.
        draft: u64,
    },
    /// There is no such rule.
    #[error("there is no rule of that name")]
    UnknownRule,
    /// There is no draft of it.
    #[error("there is no draft of that rule: draft it first")]
    NoDraft,
    /// It was drafted again since it was read.
    #[error("that rule was drafted again since: read the draft, and name its number")]
    DraftChanged {
        /// The number of the draft that there is.
        draft: u64,
    },
    /// The same person drafted it.
    #[error("who drafts a rule, registers a model or lets it challenge does not put it in force: ask somebody else")]
    SamePerson,
    /// There are too many.
    #[error("there are as many rules as can be asked: retire one")]
    TooManyRules,
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::BadRule => "bad_rule",
            Self::DraftOfOthers => "draft_of_others",
            Self::DraftPending { .. } => "draft_pending",
            Self::UnknownRule => "unknown_rule",
            Self::NoDraft => "no_draft",
            Self::DraftChanged { .. } => "draft_changed",
            Self::SamePerson => "same_person",
            Self::TooManyRules => "too_many_rules",
        }
    }
}

/// A draft, or a rule in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The rule.
    pub rule: Rule,
    /// The number of the draft: no two drafts have the same one, and one that is written later has a higher one. It is that of the record that drafted it.
    pub draft: u64,
    /// Who drafted it.
    pub author: KeyId,
    /// When.
    pub drafted_at: Timestamp,
    /// Who put it in force and when, and the number of the rules since; none of a draft.
    pub in_force: Option<(KeyId, Timestamp, u32)>,
}

/// All rules. Serialized, equal states give equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rules {
    drafts: BTreeMap<Code, Written>,
    active: BTreeMap<Code, Written>,
    version: u32,
    /// How often what is in force has changed.
    changes: u32,
    past: Past,
}

impl Aggregate for Rules {
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn past(&self) -> &Past {
        &self.past
    }

    fn decide(&self, _now: Timestamp, command: &Command) -> Result<Vec<Event>, Refusal> {
        let version = self.version + 1;
        let event = match command {
            Command::Draft { rule, replaces, by } => self.draft(rule, *replaces, *by, None)?,
            Command::DraftAt { museums, rule, replaces, by } => self.draft(rule, *replaces, *by, Some(museums.as_slice()))?,
            Command::Activate { name, draft: read, by } => {
                let Some(draft) = self.drafts.get(name) else {
                    return Err(if self.active.contains_key(name) { Refusal::NoDraft } else { Refusal::UnknownRule });
                };
                // Else whoever drafts could exchange what somebody else has read for something else.
                if draft.draft != *read {
                    return Err(Refusal::DraftChanged { draft: draft.draft });
                }
                if draft.author == *by {
                    return Err(Refusal::SamePerson);
                }
                if !self.active.contains_key(name) && self.active.len() >= RULES_MAX {
                    return Err(Refusal::TooManyRules);
                }
                Event::Activated(Activated { name: *name, version, approver: *by })
            }
            Command::Retire { name } => {
                if !self.active.contains_key(name) && !self.drafts.contains_key(name) {
                    return Err(Refusal::UnknownRule);
                }
                Event::Retired(Retired { name: *name, version })
            }
        };
        Ok(vec![event])
    }

    fn apply(&mut self, record: &Record<Event>) {
        self.past.take(record);
        for event in &record.events {
            match event {
                Event::Drafted(drafted) => {
                    let (rule, draft) = (drafted.rule.clone(), record.seq);
                    let written = Written { rule, draft, author: drafted.by, drafted_at: record.at, in_force: None };
                    self.drafts.insert(drafted.rule.name, written);
                }
                Event::Activated(activated) => {
                    if let Some(mut draft) = self.drafts.remove(&activated.name) {
                        draft.in_force = Some((activated.approver, record.at, activated.version));
                        self.active.insert(activated.name, draft);
                    }
                    (self.version, self.changes) = (activated.version, self.changes + 1);
                }
                Event::Retired(retired) => {
                    self.drafts.remove(&retired.name);
                    self.active.remove(&retired.name);
                    (self.version, self.changes) = (retired.version, self.changes + 1);
                }
            }
        }
    }

    fn check(&self) -> Result<(), Broken> {
        if self.version != self.changes {
            return Err(Broken { invariant: "RU-1", what: "the number of the rules does not count their changes" });
        }
        if self.active.len().max(self.drafts.len()) > RULES_MAX {
            return Err(Broken { invariant: "RU-3", what: "there are more rules than can be asked" });
        }
        Ok(())
    }
}

impl Rules {
    fn draft(&self, rule: &Rule, replaces: Option<u64>, by: KeyId, museums: Option<&[MuseumId]>) -> Result<Event, Refusal> {
        if !rule.is_sound() {
            return Err(Refusal::BadRule);
        }
        let before = self.drafts.get(&rule.name);
        let is_of_others = |before: &Written, own: &[MuseumId]| match before.rule.museums.as_slice() {
            // One for all museums is whose who wrote it.
            [] => before.author != by,
            named => named.iter().any(|museum| !own.contains(museum)),
        };
        if before.zip(museums).is_some_and(|(before, own)| is_of_others(before, own)) {
            return Err(Refusal::DraftOfOthers);
        }
        // Else somebody's draft would be gone, and neither who wrote it nor who is about to put it in force would have been asked.
        if let Some(before) = before.filter(|before| before.author != by && replaces != Some(before.draft)) {
            return Err(Refusal::DraftPending { draft: before.draft });
        }
        if before.is_none() && self.drafts.len() >= RULES_MAX {
            return Err(Refusal::TooManyRules);
        }
        Ok(Event::Drafted(Drafted { rule: rule.clone(), by }))
    }

    /// The rules in force, in the order of their names.
    pub fn active(&self) -> impl ExactSizeIterator<Item = &Written> {
        self.active.values()
    }

    /// The drafts, in the order of their names.
    pub fn drafts(&self) -> impl ExactSizeIterator<Item = &Written> {
        self.drafts.values()
    }

    /// The number that assessments name; 0 while nothing was ever in force.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The full count: whether every rule in force stands by another's word (RU-2), under its own name and a number that was given (RU-1).
    pub fn recount(&self) -> Result<(), Broken> {
        self.check()?;
        for (name, written) in &self.active {
            let Some((approver, _, version)) = written.in_force.filter(|_| *name == written.rule.name) else {
                return Err(Broken { invariant: "RU-1", what: "a rule is in force under no number or another name" });
            };
            if version > self.version {
                return Err(Broken { invariant: "RU-1", what: "a rule is newer than the rules" });
            }
            if approver == written.author {
                return Err(Broken { invariant: "RU-2", what: "a rule is in force by the word of who drafted it" });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str) -> Box<Rule> {
        let when = vec![Condition { feature: "holds-1h".parse().unwrap(), op: Op::AtLeast, threshold_milli: 5_000 }];
        let sentence = Text::new("Molte prenotazioni non pagate", "Many holds that were never paid");
        Box::new(Rule { name: name.parse().unwrap(), when, channels: vec![Channel::Web], museums: vec![], action: Action::Review, sentence })
    }

    /// Does what is asked; RU-1, RU-2 and RU-3 hold after it, and the state survives its bytes (RU-4).
    fn tell(rules: &mut Rules, command: &Command) -> Result<(), Refusal> {
        let now = Timestamp::from_seconds(1_000);
        let events = rules.decide(now, command)?;
        let record = rules.record(now, None, events);
        rules.apply(&record);
        assert_eq!((rules.check(), rules.recount()), (Ok(()), Ok(())));
        let bytes = postcard::to_allocvec(rules).unwrap();
        assert_eq!(&postcard::from_bytes::<Rules>(&bytes).unwrap(), rules);
        Ok(())
    }

    #[test]
    fn a_rule_is_drafted_by_one_and_put_in_force_by_another() {
        let (mut rules, name, [ann, bob]) = (Rules::default(), "hoarding".parse().unwrap(), [1, 2].map(KeyId));
        assert_eq!(tell(&mut rules, &Command::Activate { name, draft: 1, by: ann }), Err(Refusal::UnknownRule));
        assert_eq!(tell(&mut rules, &Command::Retire { name }), Err(Refusal::UnknownRule));
        let bad = Box::new(Rule { when: vec![], ..*rule("hoarding") });
        assert_eq!(tell(&mut rules, &Command::Draft { rule: bad, replaces: None, by: ann }), Err(Refusal::BadRule));
        tell(&mut rules, &Command::Draft { rule: rule("hoarding"), replaces: None, by: ann }).unwrap();
        assert_eq!((rules.version(), rules.active().len(), rules.drafts().len()), (0, 0, 1));
        assert_eq!(tell(&mut rules, &Command::Activate { name, draft: 1, by: ann }), Err(Refusal::SamePerson));
        tell(&mut rules, &Command::Activate { name, draft: 1, by: bob }).unwrap();
        assert_eq!((rules.version(), rules.active().len(), rules.drafts().len()), (1, 1, 0));
        assert_eq!(tell(&mut rules, &Command::Activate { name, draft: 1, by: bob }), Err(Refusal::NoDraft));
        // A draft beside it changes nothing until it is put in force.
        let stricter = Box::new(Rule { action: Action::Block, ..*rule("hoarding") });
        tell(&mut rules, &Command::Draft { rule: stricter, replaces: None, by: bob }).unwrap();
        assert_eq!(rules.active().map(|written| written.rule.action).collect::<Vec<_>>(), [Action::Review]);
        tell(&mut rules, &Command::Activate { name, draft: 3, by: ann }).unwrap();
        assert_eq!(rules.active().map(|written| written.rule.action).collect::<Vec<_>>(), [Action::Block]);
        tell(&mut rules, &Command::Retire { name }).unwrap();
        assert_eq!((rules.version(), rules.active().len()), (3, 0));
    }

    #[test]
    fn a_draft_that_is_exchanged_after_it_was_read_is_not_put_in_force() {
        let (mut rules, name, [ann, bob]) = (Rules::default(), "hoarding".parse().unwrap(), [1, 2].map(KeyId));
        let draft = |rule: Box<Rule>| Command::Draft { rule, replaces: None, by: ann };
        tell(&mut rules, &draft(rule("other"))).unwrap();
        tell(&mut rules, &draft(rule("hoarding"))).unwrap();
        let read = rules.drafts().find(|written| written.rule.name == name).unwrap().draft;
        let never = Condition { threshold_milli: i64::MAX, ..rule("hoarding").when[0] };
        tell(&mut rules, &draft(Box::new(Rule { when: vec![never], ..*rule("hoarding") }))).unwrap();
        let now = rules.drafts().find(|written| written.rule.name == name).unwrap().draft;
        assert_eq!((read, now), (2, 3));
        for named in [read, 0, 1, now + 1] {
            assert_eq!(tell(&mut rules, &Command::Activate { name, draft: named, by: bob }), Err(Refusal::DraftChanged { draft: now }));
        }
        // Who drafted it learns that first, and whoever has read what there is now may put that in force.
        assert_eq!(tell(&mut rules, &Command::Activate { name, draft: read, by: ann }), Err(Refusal::DraftChanged { draft: now }));
        assert_eq!((rules.version(), rules.active().len()), (0, 0));
        tell(&mut rules, &Command::Activate { name, draft: now, by: bob }).unwrap();
        assert_eq!(rules.active().map(|written| (written.draft, written.rule.when[0].threshold_milli)).collect::<Vec<_>>(), [(3, i64::MAX)]);
    }

    #[test]
    fn who_speaks_for_some_museums_puts_no_draft_in_the_place_of_one_for_others() {
        let (mut rules, [ann, bob]) = (Rules::default(), [1, 2].map(KeyId));
        let at = |museums: &[u16]| Box::new(Rule { museums: museums.iter().copied().map(MuseumId).collect(), ..*rule("hoarding") });
        // Each names the draft that there is: that is not what it is about.
        let last = |rules: &Rules| rules.drafts().map(|written| written.draft).next();
        let draft =
            |rules: &Rules, museum: u16, rule: Box<Rule>| Command::DraftAt { museums: vec![MuseumId(museum)], rule, replaces: last(rules), by: bob };
        let anywhere = |rules: &Rules, rule: Box<Rule>, by: KeyId| Command::Draft { rule, replaces: last(rules), by };
        let command = anywhere(&rules, at(&[1]), ann);
        tell(&mut rules, &command).unwrap();
        let command = draft(&rules, 2, at(&[2]));
        assert_eq!(tell(&mut rules, &command), Err(Refusal::DraftOfOthers));
        let command = draft(&rules, 1, at(&[1]));
        tell(&mut rules, &command).unwrap();
        // One that is partly its own is not its own.
        let command = anywhere(&rules, at(&[1, 2]), ann);
        tell(&mut rules, &command).unwrap();
        let command = draft(&rules, 1, at(&[1]));
        assert_eq!(tell(&mut rules, &command), Err(Refusal::DraftOfOthers));
        assert_eq!(rules.drafts().map(|written| (written.author, written.rule.museums.len())).collect::<Vec<_>>(), [(ann, 2)]);
        // Nor is one for all museums: it can be read, and would be gone everywhere else. One of its own it may write anew, as whoever speaks for all may any.
        let command = anywhere(&rules, at(&[]), ann);
        tell(&mut rules, &command).unwrap();
        for rule in [at(&[2]), at(&[])] {
            let command = draft(&rules, 2, rule);
            assert_eq!(tell(&mut rules, &command), Err(Refusal::DraftOfOthers));
        }
        assert_eq!(rules.drafts().map(|written| (written.author, written.draft)).collect::<Vec<_>>(), [(ann, 4)]);
        let command = anywhere(&rules, at(&[]), bob);
        tell(&mut rules, &command).unwrap();
        let command = draft(&rules, 2, at(&[2]));
        tell(&mut rules, &command).unwrap();
        let command = anywhere(&rules, at(&[2]), ann);
        tell(&mut rules, &command).unwrap();
        assert_eq!(rules.drafts().map(|written| (written.author, written.draft)).collect::<Vec<_>>(), [(ann, 7)]);
    }

    #[test]
    fn anothers_draft_is_replaced_by_whoever_names_it_and_by_nobody_else() {
        let (mut rules, name, [ann, bob]) = (Rules::default(), "hoarding".parse().unwrap(), [1, 2].map(KeyId));
        let draft = |by: KeyId, replaces: Option<u64>| Command::Draft { rule: rule("hoarding"), replaces, by };
        let at = |by: KeyId, replaces: Option<u64>| {
            let rule = Box::new(Rule { museums: vec![MuseumId(3)], ..*rule("hoarding") });
            Command::DraftAt { museums: vec![MuseumId(3)], rule, replaces, by }
        };
        let written = |rules: &Rules| rules.drafts().map(|written| (written.author, written.draft)).collect::<Vec<_>>();
        // Where there is none it does not matter which is named, and one's own needs no naming.
        tell(&mut rules, &draft(ann, Some(7))).unwrap();
        tell(&mut rules, &draft(ann, None)).unwrap();
        tell(&mut rules, &at(ann, Some(1))).unwrap();
        for replaces in [None, Some(0), Some(2), Some(4)] {
            for command in [draft(bob, replaces), at(bob, replaces)] {
                assert_eq!(tell(&mut rules, &command), Err(Refusal::DraftPending { draft: 3 }), "{command:?}");
            }
        }
        assert_eq!(written(&rules), [(ann, 3)]);
        // Of another name nothing is said, and what is named is replaced.
        tell(&mut rules, &Command::Draft { rule: rule("another"), replaces: None, by: bob }).unwrap();
        tell(&mut rules, &at(bob, Some(3))).unwrap();
        assert_eq!(written(&rules), [(bob, 4), (bob, 5)]);
        // From then on it is the other's; once it is in force or gone nobody waits for it.
        assert_eq!(tell(&mut rules, &draft(ann, None)), Err(Refusal::DraftPending { draft: 5 }));
        tell(&mut rules, &Command::Activate { name, draft: 5, by: ann }).unwrap();
        tell(&mut rules, &draft(ann, None)).unwrap();
        tell(&mut rules, &Command::Retire { name }).unwrap();
        tell(&mut rules, &draft(bob, None)).unwrap();
    }

    #[test]
    fn there_are_only_so_many_rules() {
        let mut rules = Rules::default();
        for n in 0..RULES_MAX {
            tell(&mut rules, &Command::Draft { rule: rule(&format!("r{n}")), replaces: None, by: KeyId(1) }).unwrap();
        }
        assert_eq!(tell(&mut rules, &Command::Draft { rule: rule("more"), replaces: None, by: KeyId(1) }), Err(Refusal::TooManyRules));
    }

    #[test]
    fn a_rule_speaks_of_what_it_names() {
        let everywhere = rule("r");
        let here = Rule { museums: vec![MuseumId(3)], ..*rule("r") };
        for (channel, museum, expected) in [(Channel::Web, 3, [true, true]), (Channel::Web, 4, [true, false]), (Channel::Kiosk, 3, [false, false])] {
            assert_eq!([&everywhere, &here].map(|rule| rule.is_about(channel, MuseumId(museum))), expected);
        }
    }
}
