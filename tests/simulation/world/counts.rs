//! What has happened, as the journal says.

use tornello_engine::slot::{Admitted, Event, Exited, ScansJudged};

use super::*;
use crate::auditor::Sending;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub sent: u64,
    pub done: u64,
    pub batches: u64,
    pub crashes: u64,
    pub faults: u64,
    pub panics: u64,
    pub compared: u64,
    pub waited: u64,
    pub offered: u64,
    pub offers_taken: u64,
    pub late_scans: u64,
    pub conflicts: u64,
    pub judged_anew: u64,
    pub renamed: u64,
    pub moved: u64,
    pub moves_undone: u64,
    pub prolonged: u64,
    pub amended: u64,
    pub handed_over: u64,
    pub beyond: u64,
    pub rested: u64,
    pub freed: u64,
    pub renewals_refused: u64,
    pub passed: u64,
    pub told: u64,
    pub merged: u64,
    pub told_and_lost: u64,
    pub shared: u64,
    pub raised: u64,
    pub retired: u64,
    pub died_in_start: u64,
    pub behind: u64,
    pub states: u64,
    pub refused_buyers: u64,
    pub unsure: u64,
    pub together: u64,
    pub lost_cuts: u64,
    pub lost_entries: u64,
    pub blocked_outside: u64,
    pub stalls: u64,
    pub killed_in_stalls: u64,
    pub moved_under_review: u64,
    pub verdicts: u64,
    pub verdicts_taken_back: u64,
    pub said_under_way: u64,
    pub followed: u64,
    pub followed_along: u64,
    pub called_off: u64,
    pub taken_up: u64,
    pub days_cut: u64,
    pub days_heard: u64,
}

impl Counts {
    pub const fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.done += other.done;
        self.batches += other.batches;
        self.crashes += other.crashes;
        self.faults += other.faults;
        self.panics += other.panics;
        self.compared += other.compared;
        self.waited += other.waited;
        self.offered += other.offered;
        self.offers_taken += other.offers_taken;
        self.late_scans += other.late_scans;
        self.conflicts += other.conflicts;
        self.judged_anew += other.judged_anew;
        self.renamed += other.renamed;
        self.moved += other.moved;
        self.moves_undone += other.moves_undone;
        self.prolonged += other.prolonged;
        self.amended += other.amended;
        self.handed_over += other.handed_over;
        self.beyond += other.beyond;
        self.rested += other.rested;
        self.freed += other.freed;
        self.renewals_refused += other.renewals_refused;
        self.passed += other.passed;
        self.told += other.told;
        self.merged += other.merged;
        self.told_and_lost += other.told_and_lost;
        self.shared += other.shared;
        self.raised += other.raised;
        self.retired += other.retired;
        self.died_in_start += other.died_in_start;
        self.behind += other.behind;
        self.states += other.states;
        self.refused_buyers += other.refused_buyers;
        self.unsure += other.unsure;
        self.together += other.together;
        self.lost_cuts += other.lost_cuts;
        self.lost_entries += other.lost_entries;
        self.blocked_outside += other.blocked_outside;
        self.stalls += other.stalls;
        self.killed_in_stalls += other.killed_in_stalls;
        self.moved_under_review += other.moved_under_review;
        self.verdicts += other.verdicts;
        self.verdicts_taken_back += other.verdicts_taken_back;
        self.said_under_way += other.said_under_way;
        self.followed += other.followed;
        self.followed_along += other.followed_along;
        self.called_off += other.called_off;
        self.taken_up += other.taken_up;
        self.days_cut += other.days_cut;
        self.days_heard += other.days_heard;
    }
}

impl World {
    /// Counts what has happened to slots.
    pub(super) fn count(&mut self) {
        let counts = &mut self.counts;
        (counts.raised, counts.states) = (self.auditor.raised, self.auditor.held_against);
        counts.lost_cuts = self.auditor.lost_cuts;
        let said = self.auditor.said;
        (counts.verdicts, counts.verdicts_taken_back, counts.said_under_way) = (said.verdicts, said.taken_back, said.under_way);
        (counts.followed, counts.followed_along) = (said.followed, said.followed_along);
        (counts.called_off, counts.taken_up, counts.days_heard) = self.auditor.said_of_days();
        let of_buyer =
            |refusal: &Refusal| matches!(refusal, Refusal::TooManyForBuyer { .. } | Refusal::TooManyOpenHolds { .. } | Refusal::TooManyForDay { .. });
        let refused = |sending: &&Sending| matches!(&sending.outcome, Outcome::Answered(Err(Failure::Refused(refusal))) if of_buyer(refusal));
        let renews = |refusal: &Refusal| matches!(refusal, Refusal::HoldRenewed { .. });
        let renewed = |sending: &&Sending| matches!(&sending.outcome, Outcome::Answered(Err(Failure::Refused(refusal))) if renews(refusal));
        counts.renewals_refused = self.auditor.sendings.iter().filter(renewed).count() as u64;
        counts.refused_buyers = self.auditor.sendings.iter().filter(refused).count() as u64;
        for naive in self.auditor.slots.values() {
            let arrives = |event: &Event| matches!(event, Event::Arrived(_));
            let reviewed = naive.records.iter().filter(|record| record.events.iter().any(|event| matches!(event, Event::ReviewOpened(_))));
            counts.moved_under_review += reviewed.filter(|record| record.events.iter().any(arrives)).count() as u64;
            for event in naive.records.iter().flat_map(|record| &record.events) {
                match event {
                    Event::Waited(_) => counts.waited += 1,
                    Event::Offered(_) => counts.offered += 1,
                    Event::Sold(sold) if naive.entries.iter().any(|entry| entry.id == sold.sale) => counts.offers_taken += 1,
                    Event::Admitted(Admitted { scanned_at: Some(_), .. }) | Event::Exited(Exited { scanned_at: Some(_), .. }) => {
                        counts.late_scans += 1;
                    }
                    Event::AdmissionConflict(_) => counts.conflicts += 1,
                    Event::ScansJudged(ScansJudged { scans, .. }) => {
                        counts.late_scans += 1;
                        counts.judged_anew += u64::from(scans.len() > 1);
                    }
                    Event::Renamed(_) => counts.renamed += 1,
                    Event::MovedOut(_) => counts.moved += 1,
                    Event::MoveUndone(_) => counts.moves_undone += 1,
                    Event::Prolonged(_) => counts.prolonged += 1,
                    Event::Amended(_) => counts.amended += 1,
                    Event::HandedOver(_) => counts.handed_over += 1,
                    Event::BeyondSet(_) => counts.beyond += 1,
                    Event::Rested(_) => counts.rested += 1,
                    Event::Freed(_) => counts.freed += 1,
                    Event::Observed(observed) => counts.shared += u64::from(observed.share.is_some()),
                    _ => {}
                }
            }
        }
    }
}
