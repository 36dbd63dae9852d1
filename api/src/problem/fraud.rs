//! What fraud cases, rules and the registry of models say no to, as callers are told.

use actix_web::http::StatusCode;
use tornello_engine::{case, fraud_rules, model_registry};

use super::Problem;
use super::payments::{AGAINST, IMPOSSIBLE, UNKNOWN};

fn of(status: StatusCode, code: &'static str, refusal: &impl std::fmt::Display) -> Problem {
    Problem::new(status, code, refusal.to_string())
}

impl From<case::Refusal> for Problem {
    fn from(refusal: case::Refusal) -> Self {
        use case::Refusal as R;
        let status = match refusal {
            R::UnknownCase => UNKNOWN,
            R::BadCase => IMPOSSIBLE,
            R::CaseExists
            | R::CaseDecided
            | R::NotDecided
            | R::NothingToAppeal
            | R::AlreadyAppealed
            | R::TooManyAppeals
            | R::LabelKnown
            | R::TooManyLabels
            | R::NothingToDo => AGAINST,
        };
        of(status, refusal.code(), &refusal)
    }
}

impl From<fraud_rules::Refusal> for Problem {
    fn from(refusal: fraud_rules::Refusal) -> Self {
        use fraud_rules::Refusal as R;
        let status = match refusal {
            R::UnknownRule => UNKNOWN,
            R::BadRule => IMPOSSIBLE,
            R::NoDraft | R::SamePerson | R::TooManyRules => AGAINST,
        };
        of(status, refusal.code(), &refusal)
    }
}

impl From<model_registry::Refusal> for Problem {
    fn from(refusal: model_registry::Refusal) -> Self {
        use model_registry::Refusal as R;
        let status = match refusal {
            R::UnknownModel => UNKNOWN,
            R::NoEvidence | R::BadEvidence => IMPOSSIBLE,
            R::ModelExists | R::ModelRetired | R::AlreadySo | R::TooFewLabels | R::NotBetter | R::SamePerson | R::TooManyModels => AGAINST,
        };
        of(status, refusal.code(), &refusal)
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
    let rules = [F::BadRule, F::UnknownRule, F::NoDraft, F::SamePerson, F::TooManyRules];
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
