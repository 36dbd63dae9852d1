//! What fraud cases, rules and the registry of models say no to, as callers are told: one line for each refusal, with its status and what to do. What is the matter the
//! refusal says itself.

use actix_web::http::StatusCode;
use tornello_engine::{case, fraud_rules, model_registry};

use super::Problem;
use super::payments::{AGAINST, IMPOSSIBLE, UNKNOWN};

/// Status and detail.
type Told = (StatusCode, &'static str);

const NOTHING_TO_DO: &str = "Nothing has to be done.";
const SOMEBODY_ELSE: &str = "Another manager or administrator, whose key is good for all museums, puts it in force.";

fn of(code: &'static str, (status, detail): Told, refusal: &impl std::fmt::Display) -> Problem {
    Problem::new(status, code, refusal.to_string()).detail(detail)
}

fn case(refusal: case::Refusal) -> Told {
    use case::Refusal as R;
    match refusal {
        R::UnknownCase => (UNKNOWN, "Check the id or the code; it may be of a museum that this key is not good for."),
        R::CaseExists => (AGAINST, "Read that one, and decide it."),
        R::BadCase => (IMPOSSIBLE, "No caller opens cases: tell whoever runs the server."),
        R::CaseDecided => (AGAINST, "Undo the verdict, then decide otherwise: POST /v1/fraud/cases/{case}/undo."),
        R::NotDecided => (AGAINST, "Nothing has to be done: nobody has decided it, or the verdict was undone."),
        R::NothingToAppeal => (AGAINST, "Send the code in `appeal` of a refusal by a rule, or the id of a sale whose tickets a verdict has blocked."),
        R::AlreadyAppealed => (AGAINST, "Read how it stands: GET /v1/fraud/appeals/{code}. One that has lapsed may be appealed once more."),
        R::TooManyAppeals => (
            AGAINST,
            "Send the code once more when somebody has looked at the appeals that wait: 200 are looked at together. If it is refused then too, ask the museum itself.",
        ),
        R::LabelKnown | R::NothingToDo => (AGAINST, NOTHING_TO_DO),
        R::TooManyLabels => (AGAINST, "Nothing has to be done: what is known of it counts as before."),
    }
}

fn rule(refusal: fraud_rules::Refusal) -> Told {
    use fraud_rules::Refusal as R;
    match refusal {
        R::BadRule => (IMPOSSIBLE, "Correct what is out of these bounds. A feature, a threshold or a museum that cannot be asked for is named here."),
        R::DraftOfOthers => (AGAINST, "Choose another name: that draft would be gone, and those whose museums it is for would not know."),
        R::DraftPending { .. } => (
            AGAINST,
            "Nothing was drafted. `draft` is the number of the draft that waits: read it (GET /v1/fraud/rules), and name it as `replaces` if yours is to take its place; else choose another name.",
        ),
        R::UnknownRule => (
            UNKNOWN,
            "Read the rules: GET /v1/fraud/rules. One that is built in is neither drafted nor retired: put another one of its name in force.",
        ),
        R::NoDraft => (AGAINST, "Draft it first: POST /v1/fraud/rules."),
        R::DraftChanged { .. } => (
            StatusCode::PRECONDITION_FAILED,
            "`draft` is the number of the draft that there is: read it, and name it if it is what is meant to be in force.",
        ),
        R::SamePerson => (AGAINST, SOMEBODY_ELSE),
        R::TooManyRules => (AGAINST, "100 may be in force and 100 drafted: retire one, which drops its draft too."),
    }
}

fn model(refusal: model_registry::Refusal) -> Told {
    use model_registry::Refusal as R;
    match refusal {
        R::UnknownModel => (UNKNOWN, "Read those that there are: GET /v1/fraud/models. Register it first: POST /v1/fraud/models."),
        R::ModelExists => (AGAINST, "Read it: GET /v1/fraud/models. Another artifact needs another name."),
        R::ModelRetired => (AGAINST, "Register the artifact under another name, and let it challenge again."),
        R::AlreadySo => (AGAINST, NOTHING_TO_DO),
        R::NoEvidence => (IMPOSSIBLE, "Give the `evidence`, or `overridden` with one word why there is none."),
        R::BadEvidence => (IMPOSSIBLE, "Correct the shares: thousandths from 0 to 1000."),
        R::TooFewLabels => (AGAINST, "Wait until more cases have a label, or promote it with `overridden` and one word why."),
        R::NotBetter => (
            AGAINST,
            "GET /v1/fraud/models/{model}/evidence shows what is missing: wait for more labels, or promote it with `overridden` and one word why.",
        ),
        R::SamePerson => (AGAINST, SOMEBODY_ELSE),
        R::TooManyModels => (AGAINST, "1000 of a kind are kept for good: none can be registered any more. Tell whoever runs the server."),
    }
}

impl From<case::Refusal> for Problem {
    fn from(refusal: case::Refusal) -> Self {
        of(refusal.code(), case(refusal), &refusal)
    }
}

impl From<fraud_rules::Refusal> for Problem {
    fn from(refusal: fraud_rules::Refusal) -> Self {
        let problem = of(refusal.code(), rule(refusal), &refusal);
        match refusal {
            fraud_rules::Refusal::DraftChanged { draft } | fraud_rules::Refusal::DraftPending { draft } => problem.with("draft", draft),
            _ => problem,
        }
    }
}

impl From<model_registry::Refusal> for Problem {
    fn from(refusal: model_registry::Refusal) -> Self {
        of(refusal.code(), model(refusal), &refusal)
    }
}

/// One of each.
pub(super) fn one_of_each() -> Vec<Problem> {
    use {case::Refusal as C, fraud_rules::Refusal as F, model_registry::Refusal as M};
    let cases = [
        C::UnknownCase,
        C::CaseExists,
        C::BadCase,
        C::CaseDecided,
        C::NotDecided,
        C::NothingToAppeal,
        C::AlreadyAppealed,
        C::TooManyAppeals,
        C::LabelKnown,
        C::TooManyLabels,
        C::NothingToDo,
    ];
    let rules = [
        F::BadRule,
        F::DraftOfOthers,
        F::DraftPending { draft: 0 },
        F::UnknownRule,
        F::NoDraft,
        F::DraftChanged { draft: 0 },
        F::SamePerson,
        F::TooManyRules,
    ];
    let models = [
        M::UnknownModel,
        M::ModelExists,
        M::ModelRetired,
        M::AlreadySo,
        M::NoEvidence,
        M::BadEvidence,
        M::TooFewLabels,
        M::NotBetter,
        M::SamePerson,
        M::TooManyModels,
    ];
    cases.map(Problem::from).into_iter().chain(rules.map(Problem::from)).chain(models.map(Problem::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The code is refused as long as the case of others is full, and is one like all others when that has a verdict.
    #[test]
    fn whoever_finds_no_room_beside_other_appeals_is_told_to_come_again() {
        let (status, detail) = case(case::Refusal::TooManyAppeals);
        assert_eq!(status, AGAINST);
        assert!(detail.contains("once more") && detail.contains(&case::JOINED_MAX.to_string()), "{detail}");
    }
}
