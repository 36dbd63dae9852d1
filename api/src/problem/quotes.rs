//! What quotes and operators' accounts say no to, as callers are told: one line for each refusal, with its status, what is the matter and what to do.

use tornello_actors::accounts;
use tornello_actors::failure::Failure;
use tornello_engine::{account, quote};

use super::payments::{AGAINST, IMPOSSIBLE, Told, UNKNOWN, told};
use super::{Known, Problem};

fn quote(refusal: &quote::Refusal) -> Told {
    use quote::Refusal as R;
    match refusal {
        R::AlreadyDrafted => (AGAINST, "the quote exists already", "Repeat with the same Idempotency-Key."),
        R::UnknownQuote => (UNKNOWN, "there is no such quote", "Check the id; it may belong to another caller."),
        R::WrongState { .. } => (AGAINST, "the quote is in another state", "`state` is what it is in: read it, and do what can be done then."),
        R::OptionsUnderWay => (AGAINST, "options are being taken for the quote", "Ask again in a moment."),
        R::SettlementUnderWay => (AGAINST, "the quote is being settled", "Ask again in a moment."),
        R::PaymentUnderWay => (AGAINST, "a payment of the quote can still be paid", "Reopen the quote first: its payment is withdrawn."),
        R::OtherRevision { .. } => {
            (AGAINST, "another revision is in force", "`revision` is the one in force: read it again, and accept what you have read.")
        }
        R::NotExpected => (AGAINST, "that is not what the quote waits for", "Read it again."),
        R::NothingToConfirm => (AGAINST, "nothing is to be confirmed", "Nothing has to be done."),
        R::BadLines => (IMPOSSIBLE, "the categories cannot be", "Give 1 to 15 categories, each once, of 1 to 2000 people in all."),
        R::BadExtras => (IMPOSSIBLE, "the extras cannot be", "Give at most 16, each of 1 to 2000, at 0.00 to 10000.00 euros."),
        R::ExtraTwice { .. } => (IMPOSSIBLE, "an extra stands twice", "`extra` is asked for twice, or has to be taken anyway: leave it out."),
        R::BadSlots => (IMPOSSIBLE, "the slots cannot be", "Give 1 to 40 different slots of the museum, all on one day."),
        R::BadOptions => (IMPOSSIBLE, "the options do not fit the parts", "Repeat with another Idempotency-Key."),
        R::SettleNotAllowed => (
            IMPOSSIBLE,
            "the quote cannot be paid like that",
            "On account needs an account; the desk is for the kinds of group that the museum's rules name. Accept it with `notice`: a desk can take that in too, by `pay_by`.",
        ),
        R::GroupTooSmall { .. } => {
            (IMPOSSIBLE, "the group is too small", "A group has at least `min` people beside its escorts: book as single visitors.")
        }
        R::TooManyEscorts { .. } => (IMPOSSIBLE, "too many escorts", "`free` come in free with this group: count the others as members."),
        R::EscortCategory { .. } => (IMPOSSIBLE, "members in the category of free escorts", "Give the number of `escorts` instead of `category`."),
        R::WrongNumberOfSlots { .. } => (
            IMPOSSIBLE,
            "the group is split into another number of parts",
            "It goes round in `parts` parts: give a slot for each, or a day and a time.",
        ),
        R::TooLate { .. } => (AGAINST, "it would have had to be paid by now", "It had to be paid by `pay_by`: choose a later day."),
    }
}

fn account(refusal: &account::Refusal) -> Told {
    use account::Refusal as R;
    match refusal {
        R::AlreadyOpen => (AGAINST, "the account is open already", "Read it, or choose another code."),
        R::UnknownAccount => (UNKNOWN, "there is no such account", "Open it first; or it is not this key's own."),
        R::AgreementsOfOthers => (
            IMPOSSIBLE,
            "agreements: those of museums that this key is not good for must stay as they are",
            "Read them again, and send those with your own: they may have changed since.",
        ),
        R::BadAgreement => (
            IMPOSSIBLE,
            "an agreement cannot be",
            "Have at most 500, each 1 to 100 percent off or 0.00 to 1000.00 euros, from a day up to a later or the same one.",
        ),
        R::AgreementsOverlap { .. } => {
            (IMPOSSIBLE, "two agreements are for the same days", "Let one of those for `category` end before the other begins.")
        }
        R::BadAmount => (IMPOSSIBLE, "the amount cannot be", "Let it be 0.01 to 10000000.00 euros."),
        R::BadReference => (IMPOSSIBLE, "the reference cannot be kept", "Give 1 to 35 printable ASCII characters."),
        R::AlreadyCharged => (
            AGAINST,
            "this was charged before",
            "Nothing has to be done; if the sale was not made, the charge is taken back by itself: ask again in a moment.",
        ),
        R::AlreadyTakenBack => (AGAINST, "this was taken back before", "Nothing has to be done."),
        R::AlreadySettled => (AGAINST, "this payment was taken before", "Nothing has to be done."),
        R::UnknownCharge => (UNKNOWN, "nothing was charged for that", "Read the account."),
        R::MoreThanCharged { .. } => (AGAINST, "more would be taken back than is left of the charge", "`left_cents` is left of it."),
        R::AccountSuspended => (AGAINST, "the account is suspended", "Settle on another way, or have the office resume it."),
        R::CreditLimit { .. } => {
            (AGAINST, "the credit limit does not allow that", "`left_cents` is left: settle on another way, or pay what is owed first.")
        }
    }
}

impl From<quote::Refusal> for Problem {
    fn from(refusal: quote::Refusal) -> Self {
        told(refusal.code(), quote(&refusal), &refusal)
    }
}

impl From<Failure<accounts::Refusal>> for Problem {
    fn from(failure: Failure<accounts::Refusal>) -> Self {
        failure
            .map::<Self>(|refusal| match refusal {
                accounts::Refusal::Slot(why) => why.into(),
                accounts::Refusal::Account(why) => why.into(),
            })
            .into()
    }
}

impl From<account::Refusal> for Problem {
    fn from(refusal: account::Refusal) -> Self {
        told(refusal.code(), account(&refusal), &refusal)
    }
}

/// One of each.
pub(super) fn one_of_each() -> Vec<Problem> {
    use {account::Refusal as A, quote::Refusal as Q};
    let (at, cents) = (tornello_engine::time::Timestamp::from_seconds(0), tornello_engine::money::Cents::ZERO);
    let mut all: Vec<Problem> = [
        Q::AlreadyDrafted,
        Q::UnknownQuote,
        Q::WrongState { state: quote::Status::Draft },
        Q::OptionsUnderWay,
        Q::SettlementUnderWay,
        Q::PaymentUnderWay,
        Q::OtherRevision { revision: 1 },
        Q::NotExpected,
        Q::NothingToConfirm,
        Q::BadLines,
        Q::BadExtras,
        Q::BadSlots,
        Q::BadOptions,
        Q::SettleNotAllowed,
        Q::GroupTooSmall { min: 0 },
        Q::TooManyEscorts { free: 0 },
        Q::WrongNumberOfSlots { parts: 0 },
        Q::TooLate { pay_by: at },
    ]
    .map(Problem::from)
    .into();
    let accounts = [
        A::AlreadyOpen,
        A::UnknownAccount,
        A::AgreementsOfOthers,
        A::BadAgreement,
        A::BadAmount,
        A::BadReference,
        A::AlreadyCharged,
        A::AlreadySettled,
        A::AlreadyTakenBack,
        A::UnknownCharge,
        A::MoreThanCharged { left_cents: cents },
        A::AccountSuspended,
        A::CreditLimit { left_cents: cents },
    ];
    all.extend(accounts.map(Problem::from));
    if let Ok(word) = "reason".parse() {
        all.extend([Q::ExtraTwice { extra: word }, Q::EscortCategory { category: word }].map(Problem::from));
        all.push(A::AgreementsOverlap { category: word }.into());
    }
    all
}

/// What a code of another stream means, noted in a quote when it could not be settled. The code alone was noted: a detail that speaks of data beside it would speak of what is not there.
#[must_use]
pub fn of_code(code: &str) -> Option<Problem> {
    const ELSEWHERE: &str = "The quote stands as it was sent. The slots of its parts, and its account if it has one, say more: read these, and change the quote, or accept it with \
        another way to pay.";
    let Known { code, status, title, detail } = super::all().into_iter().find(|known| known.code == code)?;
    let status = actix_web::http::StatusCode::from_u16(status).ok()?;
    Some(Problem::new(status, code, title).detail(if detail.contains('`') { ELSEWHERE.to_owned() } else { detail }))
}
