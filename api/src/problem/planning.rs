//! What plannings and attendances say no to, as callers are told: one line for each refusal, with its status, what is the matter and what to do.

use actix_web::http::StatusCode;
use jiff::civil::Date;
use tornello_engine::{attendance, planning};

use super::Problem;
use super::payments::{AGAINST, IMPOSSIBLE, Told, UNKNOWN, told};

fn planning(refusal: &planning::Refusal) -> Told {
    use planning::Refusal as R;
    match refusal {
        R::Past { .. } => (IMPOSSIBLE, "the past cannot be planned", "Plan for `today` at the earliest."),
        R::TooFarAhead => (IMPOSSIBLE, "nobody plans so far ahead", "Decide at most 59 days ahead: rosters reach no farther."),
        R::PolicyChanged { .. } => (
            StatusCode::PRECONDITION_FAILED,
            "another policy is in force on that day",
            "Read it again, and change what you have read. `revision` is the one in force.",
        ),
        R::TooManyVersions => (AGAINST, "400 versions of the policy stand", "Replace one of them: set another with the same day."),
        R::InvalidPolicy(_) => {
            (IMPOSSIBLE, "the planning policy cannot be used", "A share, a rate, a wage, a risk or a span is out of range: see the contract.")
        }
        R::InvalidLine => (
            IMPOSSIBLE,
            "the line of the roster cannot be",
            "Let it end after it begins and within its day, at times that the clocks of that day show, with at most 1000 people and a note of at most 200 characters.",
        ),
        R::Overlaps { .. } => (
            AGAINST,
            "another decision about that role holds for some of that time",
            "Take that one back first, or decide it anew from its own begin: it lets `people` work from `from` to `to`.",
        ),
        R::TooManyDecisions => (AGAINST, "5000 decisions stand", "Take some back."),
        R::UnknownDecision => {
            (UNKNOWN, "nothing was decided there", "Name the time from which it was decided: it may begin before the line that shows it.")
        }
    }
}

fn attendance(refusal: &attendance::Refusal) -> Told {
    use attendance::Refusal as R;
    match refusal {
        R::NotOver { .. } => (IMPOSSIBLE, "a day is not over, or before 1990", "Tell of days before `today`."),
        R::AlreadyCounted => (AGAINST, "that day was counted already", "Nothing has to be done."),
        R::BadImport => (
            IMPOSSIBLE,
            "these figures cannot be taken in",
            "Bring in 1 to 12000 days with at most 1000000 people each, under a source of 1 to 200 characters.",
        ),
    }
}

impl From<planning::Refusal> for Problem {
    fn from(refusal: planning::Refusal) -> Self {
        let mut problem = told(refusal.code(), planning(&refusal), &refusal);
        match refusal {
            planning::Refusal::InvalidPolicy(error) => problem.detail(error.to_string()),
            // As the clocks show it, which is how decisions are asked for.
            planning::Refusal::Overlaps { from_min, to_min, .. } => {
                let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
                ["from_min", "to_min"].into_iter().for_each(|name| drop(problem.0.data.values.remove(name)));
                problem.with("from", clock(from_min)).with("to", clock(to_min))
            }
            _ => problem,
        }
    }
}

impl From<attendance::Refusal> for Problem {
    fn from(refusal: attendance::Refusal) -> Self {
        told(refusal.code(), attendance(&refusal), &refusal)
    }
}

/// One of each, for the page that explains them.
pub(super) fn one_of_each() -> Vec<Problem> {
    use {attendance::Refusal as A, planning::Refusal as P};
    let today = Date::ZERO;
    let plannings = [
        P::Past { today },
        P::TooFarAhead,
        P::PolicyChanged { revision: 0 },
        P::TooManyVersions,
        P::InvalidPolicy(planning::PolicyError::Shares),
        P::InvalidLine,
        P::Overlaps { from_min: 660, to_min: 1_440, people: 4 },
        P::TooManyDecisions,
        P::UnknownDecision,
    ];
    let attendances = [A::NotOver { today }, A::AlreadyCounted, A::BadImport];
    plannings.map(Problem::from).into_iter().chain(attendances.map(Problem::from)).collect()
}
