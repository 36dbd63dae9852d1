//! What several gates saw of one ticket, told anew from the beginning whenever one of them sends in more: a layman's list, walked from front to back for each question.

use tornello_engine::ids::{Code, TicketId};
use tornello_engine::slot::{ConflictReason, Direction, Event, Judged, JudgedScan, Observed, Scan, ScansJudged, TicketState};
use tornello_engine::time::Timestamp;

use super::super::rule;
use super::{DAY_S, Naive};

/// A reading of a building: when it was measured, how many people, give or take, and by which sensor.
pub type Read = (Timestamp, u32, u32, Code);

/// Somebody at a gate with a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// When it counts.
    pub(super) at: Timestamp,
    pub(super) direction: Direction,
    /// The scan that told of it; none: the gate asked, and it is certain.
    pub(super) scan: Option<Scan>,
    pub(super) judged: Judged,
}

/// Whether somebody counts as let in by a scan, or as gone.
pub const fn counts(judged: Judged) -> bool {
    match judged {
        Judged::Passed | Judged::PassedInConflict { .. } => true,
        Judged::Conflict { .. } | Judged::LeftUnseen => false,
    }
}

/// What speaks against a scan, if it stands against the rest.
pub const fn speaks_against(judged: Judged) -> Option<ConflictReason> {
    match judged {
        Judged::Conflict { reason } | Judged::PassedInConflict { reason } => Some(reason),
        Judged::Passed | Judged::LeftUnseen => None,
    }
}

/// What has become of a ticket by what was seen of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Story {
    inside: bool,
    entries: u8,
    first_at: Timestamp,
    last_at: Timestamp,
}

impl Story {
    fn of(seen: &[Seen]) -> Self {
        let mut story = Self { inside: false, entries: 0, first_at: Timestamp::MIN, last_at: Timestamp::MIN };
        for seen in seen.iter().filter(|seen| counts(seen.judged)) {
            if seen.direction == Direction::In {
                if story.entries == 0 {
                    story.first_at = seen.at;
                }
                story.entries += 1;
            }
            (story.inside, story.last_at) = (seen.direction == Direction::In, seen.at);
        }
        story
    }

    const fn state(self) -> TicketState {
        let Self { inside, entries, first_at, last_at } = self;
        match (inside, entries) {
            (_, 0) => TicketState::Valid,
            (true, _) => TicketState::Inside { first_at, since: last_at, entries },
            (false, _) => TicketState::Outside { first_at, left_at: last_at, entries },
        }
    }
}

/// What the events of a scan say that it comes to, and which others come to something else.
fn told(events: &[Event]) -> Result<(TicketId, Vec<(Scan, Judged)>), String> {
    let scan = |ticket, gate, scanned_at: Option<Timestamp>, direction| {
        scanned_at.map(|scanned_at| Scan { ticket, scanned_at, gate, direction }).ok_or("a scan of no time")
    };
    let one = |scan: Scan, judged| Ok((scan.ticket, vec![(scan, judged)]));
    match events {
        [Event::Admitted(admitted), Event::AdmissionConflict(conflict)] => {
            let of_admitted = scan(admitted.ticket, admitted.gate, admitted.scanned_at, Direction::In)?;
            let of_conflict = scan(conflict.ticket, conflict.gate, Some(conflict.scanned_at), Direction::In)?;
            rule(of_admitted == of_conflict, "a conflict and an admission of different scans")?;
            one(of_conflict, Judged::PassedInConflict { reason: conflict.reason })
        }
        [Event::Admitted(admitted)] => one(scan(admitted.ticket, admitted.gate, admitted.scanned_at, Direction::In)?, Judged::Passed),
        [Event::Exited(exited)] => one(scan(exited.ticket, exited.gate, exited.scanned_at, Direction::Out)?, Judged::Passed),
        [Event::AdmissionConflict(conflict)] => {
            let scan = scan(conflict.ticket, conflict.gate, Some(conflict.scanned_at), Direction::In)?;
            one(scan, Judged::Conflict { reason: conflict.reason })
        }
        [Event::ScansJudged(judged)] => Ok((judged.ticket, judged.scans.iter().map(|found| (found.scan, found.judged)).collect())),
        other => Err(format!("these are no events of a scan: {other:?}")),
    }
}

/// What a scan changes that comes in.
struct News {
    /// What was seen of the ticket before, and what with it.
    known: Vec<Seen>,
    all: Vec<Seen>,
    /// The scans that come to something else than before.
    changed: Vec<JudgedScan>,
    good_for_nobody: bool,
}

impl Naive {
    /// A scan comes in late. All that was seen of its ticket is told anew with it, and the events must say just what is different then.
    pub(super) fn late(&mut self, at: Timestamp, events: &[Event], shown: Option<u16>) -> Result<(), String> {
        let (id, told) = told(events)?;
        let new: Vec<Scan> = told.iter().map(|(scan, _)| *scan).filter(|scan| !self.scans.contains(scan)).collect();
        let [scan] = new[..] else { return Err(format!("one scan comes in at a time, and once: {new:?}")) };
        let News { known, all, changed, good_for_nobody } = self.hear(at, scan, shown)?;
        let expected: Vec<(Scan, Judged)> = changed.iter().map(|found| (found.scan, found.judged)).collect();
        rule(told == expected, "scans come to something else than what was seen").map_err(|wrong| format!("{wrong}: {expected:?} of {all:?}"))?;

        let (was, is) = (Story::of(&known), Story::of(&all));
        let is_last = all.last().is_some_and(|seen| seen.scan == Some(scan));
        match events.first() {
            Some(Event::ScansJudged(ScansJudged { scans, state, used, .. })) => {
                rule(*scans == changed, "scans came to something else before than is said")?;
                rule(good_for_nobody || *state == is.state(), "a ticket became something else than is said")?;
                rule(*used == (was.entries == 0 && is.entries > 0), "a ticket is used that was used, or was not")
            }
            Some(Event::Admitted(admitted)) => {
                let ticket = self.ticket(id)?;
                rule((ticket.line.category, ticket.line.proof) == (admitted.category, admitted.proof), "the gate is told another category or proof")?;
                rule(admitted.entry == is.entries && is_last, "entries are not counted one by one")
            }
            Some(Event::Exited(_)) => rule(is_last, "somebody leaves before what was seen later"),
            _ => Ok(()),
        }
    }

    /// Takes in a scan that a gate was told and that is not written, with what it comes to by now: something else than the gate was told, if something was written of its
    /// ticket meanwhile. Answers whether somebody passes by it.
    pub fn await_scan(&mut self, at: Timestamp, scan: Scan, shown: Option<u16>) -> Result<bool, String> {
        rule(!self.scans.contains(&scan), "a scan is known")?;
        let News { all, .. } = self.hear(at, scan, shown)?;
        Ok(all.iter().any(|seen| seen.scan == Some(scan) && counts(seen.judged)))
    }

    /// Takes a scan in that is new, whatever is said of it.
    fn hear(&mut self, at: Timestamp, scan: Scan, shown: Option<u16>) -> Result<News, String> {
        let (id, age_us) = (scan.ticket, at.micros_since(scan.scanned_at));
        rule((-60_000_000..=7 * DAY_S * 1_000_000).contains(&age_us), "a scan of another time is taken in")?;
        self.scans.insert(scan);
        let (bar, bar_then) = (self.bar(id, shown)?, self.bar_then(id, shown, scan.scanned_at.min(at))?);
        let ticket = self.ticket(id)?;
        let good_for_nobody = ticket.cancelled || ticket.gone.is_some();
        let known = ticket.passages.clone();
        let seen = Seen { at: scan.scanned_at.min(at), direction: scan.direction, scan: Some(scan), judged: Judged::LeftUnseen };
        let all = if good_for_nobody {
            rule(scan.direction == Direction::In, "somebody leaves on a ticket that is good for nobody")?;
            let reason = bar.filter(|reason| *reason != ConflictReason::TicketMoving).ok_or("a scan is taken in of a ticket on its way")?;
            [&known[..], &[Seen { judged: Judged::Conflict { reason }, ..seen }]].concat()
        } else {
            self.retell(id, [&known[..], &[seen]].concat(), scan, bar_then)?
        };
        let before = |scan: Scan| known.iter().find(|seen| seen.scan == Some(scan)).map(|seen| seen.judged);
        let changed: Vec<JudgedScan> = all
            .iter()
            .filter_map(|seen| Some(JudgedScan { scan: seen.scan?, before: before(seen.scan?), judged: seen.judged }))
            .filter(|found| found.before != Some(found.judged))
            .collect();
        let is_conflict = |judged: Option<Judged>| u32::from(judged.and_then(speaks_against).is_some());
        let measured_at = self.reading.as_ref().map(|reading| reading.event.measured_at);
        let counts_at = |scan: Scan| all.iter().find(|seen| seen.scan == Some(scan)).map(|seen| seen.at);
        let mut people = 0;
        for &JudgedScan { scan, before, judged } in &changed {
            self.conflicts = self.conflicts + is_conflict(Some(judged)) - is_conflict(before);
            // If that was before the last reading, the sensors had seen it.
            if measured_at.is_some_and(|measured_at| counts_at(scan) <= Some(measured_at)) {
                let change = i32::from(counts(judged)) - i32::from(before.is_some_and(counts));
                people += if scan.direction == Direction::In { change } else { -change };
            }
        }
        if let Some(reading) = &mut self.reading {
            reading.inside_then = reading.inside_then.saturating_add_signed(people);
        }
        let is = Story::of(&all);
        let ticket = self.ticket(id)?;
        ticket.passages.clone_from(&all);
        (ticket.inside, ticket.entries, ticket.first_at, ticket.last_at) = (is.inside, is.entries, is.first_at, is.last_at);
        Ok(News { known, all, changed, good_for_nobody })
    }

    /// How many came in since some time, less those who left.
    pub fn passed_since(&self, since: Timestamp) -> i64 {
        let passed = self.tickets().flat_map(|ticket| &ticket.passages).filter(|seen| counts(seen.judged) && seen.at > since);
        passed.map(|seen| if seen.direction == Direction::In { 1 } else { -1 }).sum()
    }

    /// When a scan that was taken in counts: sooner than it says, if its gate's clock was ahead.
    pub fn counts_at(&self, scan: Scan) -> Option<Timestamp> {
        self.tickets().flat_map(|ticket| &ticket.passages).find(|seen| seen.scan == Some(scan)).map(|seen| seen.at)
    }

    /// Whether a scan was taken in until some time that a gate had made later than a reading, by its clock, and that counts before it.
    pub fn overtakes(&self, until: Timestamp, measured_at: Timestamp) -> bool {
        let ahead = |seen: &Seen| seen.at <= until && seen.at <= measured_at && seen.scan.is_some_and(|scan| scan.scanned_at > measured_at);
        self.tickets().flat_map(|ticket| &ticket.passages).any(ahead)
    }

    /// How many people of this slot were inside when its last reading was measured, with what scans have told of since; and when that was.
    pub fn inside_then(&self) -> Option<(Timestamp, u32)> {
        self.reading.as_ref().map(|reading| (reading.event.measured_at, reading.inside_then))
    }

    /// The last reading that it has heard.
    pub fn last_read(&self) -> Option<Read> {
        let Observed { measured_at, inside, sd, source, .. } = self.reading.as_ref()?.event;
        Some((measured_at, inside, sd, source))
    }

    /// How many people of this slot are inside more than were by its last reading, or in all if it has heard none.
    pub fn came_since(&self) -> i64 {
        i64::from(self.inside()) - self.inside_then().map_or(0, |(_, inside)| i64::from(inside))
    }

    /// The scans that stand against what else was seen of their tickets, and what speaks against each, as they are listed.
    pub fn contested(&self) -> Vec<(Scan, ConflictReason)> {
        let seen = self.tickets().flat_map(|ticket| &ticket.passages);
        let mut all: Vec<(Scan, ConflictReason)> = seen.filter_map(|seen| Some((seen.scan?, speaks_against(seen.judged)?))).collect();
        all.sort_by_key(|(scan, _)| *scan);
        all
    }

    /// Why a scan cannot be taken in, if it cannot.
    pub fn against_scan(&mut self, at: Timestamp, scan: Scan, shown: Option<u16>) -> Option<&'static str> {
        let age_us = at.micros_since(scan.scanned_at);
        let Ok(ticket) = self.ticket(scan.ticket) else { return Some("unknown_ticket") };
        let good_for_nobody = ticket.cancelled || ticket.gone.is_some();
        let bar = self.bar(scan.ticket, shown).ok().flatten();
        if self.scans.contains(&scan) {
            Some("scan_known")
        } else if age_us < -60_000_000 {
            Some("scan_in_future")
        } else if age_us > 7 * DAY_S * 1_000_000 {
            Some("scan_too_old")
        } else if good_for_nobody && bar == Some(ConflictReason::TicketMoving) {
            Some("ticket_moving")
        } else if good_for_nobody && scan.direction == Direction::Out {
            Some("not_inside")
        } else {
            None
        }
    }

    /// What speaks against a ticket whatever was seen of it, before anything else is asked.
    pub(super) fn bar(&mut self, id: TicketId, shown: Option<u16>) -> Result<Option<ConflictReason>, String> {
        let has_moved = self.is_gone_for_good(id)?;
        let ticket = self.ticket(id)?;
        Ok(if shown.is_some_and(|shown| shown != ticket.issue) {
            Some(ConflictReason::CodeOutdated)
        } else if ticket.cancelled {
            Some(ConflictReason::TicketCancelled)
        } else if ticket.is_blocked() {
            Some(ConflictReason::TicketBlocked)
        } else if has_moved {
            Some(ConflictReason::TicketMoved)
        } else if ticket.gone.is_some() {
            Some(ConflictReason::TicketMoving)
        } else {
            None
        })
    }

    /// What spoke against a ticket at that time whatever was seen of it, if it is good for anybody. A code of a newer issue than counted then is good, if there is one.
    fn bar_then(&mut self, id: TicketId, shown: Option<u16>, at: Timestamp) -> Result<Option<ConflictReason>, String> {
        let ticket = self.ticket(id)?;
        let (issue, blocked, _) = ticket.barred(at);
        let outdated = shown.is_some_and(|shown| shown < issue || shown > ticket.issue);
        Ok(if outdated { Some(ConflictReason::CodeOutdated) } else { blocked.then_some(ConflictReason::TicketBlocked) })
    }

    /// All that was seen, in the order in which it happened, each scan judged by what happened before it. The scans between two things that are certain must lead from
    /// one to the other; if they do not, the last of them that counts does not count.
    fn retell(&mut self, id: TicketId, mut left: Vec<Seen>, new: Scan, bar: Option<ConflictReason>) -> Result<Vec<Seen>, String> {
        left.sort_by_key(|seen| (seen.at, seen.scan));
        // Whose ticket it is came by the newest code, sooner or later.
        let claims = |seen: &Seen| {
            let reason = if seen.scan == Some(new) { bar } else { speaks_against(seen.judged) };
            seen.direction == Direction::In && (seen.scan.is_none() || reason != Some(ConflictReason::CodeOutdated))
        };
        let is_claimed = left.iter().any(claims);
        let (mut told, mut since): (Vec<Seen>, usize) = (Vec::new(), 0);
        while let Some(earliest) = left.first() {
            let story = Story::of(&told);
            let wanted = if story.inside { Direction::Out } else { Direction::In };
            // Of what happened in one instant comes first what can have; what is certain happened in its own order, before what was only told.
            let together = left.iter().take_while(|seen| seen.at == earliest.at);
            let next = together.enumerate().find(|(place, seen)| seen.direction == wanted && (*place == 0 || seen.scan.is_some()));
            let place = next.map_or(0, |(place, _)| place);
            let mut seen = left.remove(place);
            let Some(scan) = seen.scan else {
                if seen.direction != wanted
                    && let Some(wrong) = told[since..].iter_mut().rfind(|seen| counts(seen.judged))
                {
                    wrong.judged = match (wrong.direction, speaks_against(wrong.judged)) {
                        (Direction::Out, _) => Judged::LeftUnseen,
                        (Direction::In, reason) => Judged::Conflict { reason: reason.unwrap_or(ConflictReason::TicketInside) },
                    };
                }
                told.push(seen);
                since = told.len();
                continue;
            };
            let to_come = left.iter().filter(|seen| seen.scan.is_none() && seen.direction == Direction::In).count();
            seen.judged = match seen.direction {
                Direction::Out if story.inside => Judged::Passed,
                Direction::Out => Judged::LeftUnseen,
                Direction::In => {
                    let against = if scan == new {
                        self.against_new(id, &story, bar, seen.at, scan.scanned_at)?
                    } else {
                        self.against_old(&story, &seen, scan.scanned_at)
                    };
                    let too_often = to_come > 0 && usize::from(story.entries) + to_come > self.opening.policy.reentry.times_max.into();
                    match against.or(too_often.then_some(ConflictReason::TicketInside)) {
                        None => Judged::Passed,
                        // Nobody has used it, and it is no copy: it is used now.
                        Some(reason) if story.entries == 0 && !too_often && can_be_used(reason, is_claimed) => Judged::PassedInConflict { reason },
                        Some(reason) => Judged::Conflict { reason },
                    }
                }
            };
            told.push(seen);
        }
        Ok(told)
    }

    fn against_new(
        &mut self,
        id: TicketId,
        story: &Story,
        bar: Option<ConflictReason>,
        counts_at: Timestamp,
        at: Timestamp,
    ) -> Result<Option<ConflictReason>, String> {
        let (_, _, review_until) = self.ticket(id)?.barred(counts_at);
        let is_reviewed = review_until.is_some_and(|until| at < until);
        Ok(bar.or_else(|| {
            if !story.inside && story.entries == 0 && is_reviewed { Some(ConflictReason::TicketUnderReview) } else { self.against_time(story, at) }
        }))
    }

    /// What was found against a scan when it came in, apart from other scans, stays.
    fn against_old(&self, story: &Story, seen: &Seen, at: Timestamp) -> Option<ConflictReason> {
        use ConflictReason as R;
        let found = speaks_against(seen.judged).filter(|reason| match reason {
            R::TicketCancelled | R::TicketMoving | R::TicketMoved | R::TicketBlocked | R::CodeOutdated => true,
            R::TicketUnderReview => story.entries == 0,
            R::TicketInside | R::TicketUsed | R::TooEarly | R::TooLate => false,
        });
        found.or_else(|| self.against_time(story, at))
    }

    fn against_time(&self, story: &Story, at: Timestamp) -> Option<ConflictReason> {
        let policy = &self.opening.policy;
        let opens_at = self.opening.slot.start().plus_seconds(-i64::from(policy.admit_early_s));
        let closes_at = self.opening.end.plus_seconds(policy.admit_late_s.into());
        if story.inside {
            Some(ConflictReason::TicketInside)
        } else if story.entries == 0 {
            if at < opens_at {
                Some(ConflictReason::TooEarly)
            } else if at > closes_at {
                Some(ConflictReason::TooLate)
            } else {
                None
            }
        } else if story.entries > policy.reentry.times_max || at > story.first_at.plus_seconds(policy.reentry.within_s.into()) {
            Some(ConflictReason::TicketUsed)
        } else {
            None
        }
    }
}

const fn can_be_used(reason: ConflictReason, is_claimed: bool) -> bool {
    use ConflictReason as R;
    match reason {
        R::TicketCancelled | R::TicketMoving | R::TicketMoved => false,
        R::CodeOutdated => !is_claimed,
        _ => true,
    }
}
