//! The deadlines of a quote: which one runs, when it lapses by it, and when its group is reminded.

use super::event::{Deadline, Reminded, Settle};
use super::{DOUBTFUL_PERMILLE, DRAFT_KEPT_S, OptionsState, PAYMENT_GRACE_S, Quote, Refusal, Stage};
use crate::time::Timestamp;

impl Quote {
    /// The deadline that it waits for, and when that is; none while it waits for none, or is being settled.
    #[must_use]
    pub fn deadline(&self) -> Option<(Deadline, Timestamp)> {
        if matches!(self.stage, Stage::Draft) {
            // What is being sent is a draft until the places are taken, and does not lapse meanwhile.
            let is_still = !self.options.values().any(|options| options.state == OptionsState::Taking);
            let visit = self.offer.iter().flat_map(|offer| &offer.parts).map(|part| part.slot.start()).min()?;
            return is_still.then(|| (Deadline::Sending, self.since.plus_seconds(DRAFT_KEPT_S).min(visit)));
        }
        let conditions = self.conditions?;
        match self.stage {
            // The form is here, though it is not settled: another way is open as long as it may be paid.
            Stage::Sent if self.accepted == self.revision => Some((Deadline::Payment, conditions.desk_by.unwrap_or(conditions.pay_by))),
            Stage::Sent => Some((Deadline::Signature, conditions.sign_by)),
            Stage::Accepted { .. } if self.is_settling() => None,
            // An account is charged until the last of them too: who accepts on it after the other waits for the office still.
            Stage::Accepted { settle: Settle::Desk | Settle::OnAccount, .. } => {
                Some((Deadline::Payment, conditions.desk_by.unwrap_or(conditions.pay_by)))
            }
            Stage::Accepted { .. } => Some((Deadline::Payment, conditions.pay_by)),
            _ => None,
        }
    }

    /// When it lapses: with its deadline, or a little later if a payment was begun in time and may still be on its way.
    pub(super) fn lapses_at(&self) -> Option<(Deadline, Timestamp)> {
        let (deadline, at) = self.deadline()?;
        let grace_s = if self.payment_open && deadline == Deadline::Payment { PAYMENT_GRACE_S } else { 0 };
        Some((deadline, at.plus_seconds(grace_s)))
    }

    /// The deadline of which the group is to be reminded, and when. Not if that time was past already when the deadline began to run.
    pub(super) fn reminder(&self) -> Option<(Deadline, Timestamp, Timestamp)> {
        let ((deadline, at), remind_s) = (self.deadline()?, self.conditions?.remind_s);
        let remind_at = at.plus_seconds(-i64::from(remind_s));
        let is_due = deadline != Deadline::Sending && remind_s > 0 && remind_at > self.since && !self.reminded.contains(&(self.revision, deadline));
        is_due.then_some((deadline, at, remind_at))
    }

    /// From when on a doubtful quote's group is reminded of the deadline that runs: half of its time has gone by then. None: no reminder is to come, or the policy's
    /// own comes no later.
    #[must_use]
    pub fn early_reminder_from(&self) -> Option<Timestamp> {
        let (_, at, remind_at) = self.reminder()?;
        let half = Timestamp::from_micros(self.since.as_micros() + at.micros_since(self.since) / 2);
        (half < remind_at).then_some(half)
    }

    /// The reminder of the deadline that runs, before its time. It stands for that of the policy, so nobody is reminded more often.
    pub(super) fn remind_early(&self, now: Timestamp, lapse_permille: u16) -> Result<Reminded, Refusal> {
        self.owned(None)?;
        let is_time = lapse_permille > DOUBTFUL_PERMILLE && self.early_reminder_from().is_some_and(|from| from <= now);
        let (deadline, at, _) = self.reminder().filter(|(_, at, _)| is_time && now < *at).ok_or(Refusal::NotExpected)?;
        Ok(Reminded { deadline, at })
    }
}
