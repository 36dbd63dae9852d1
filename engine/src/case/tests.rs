//! Given, when, then: a table for each thing that can be asked of a case. After each step the invariants hold (CA-1, CA-2, CA-3, CA-4), and the state survives its bytes (CA-5).

use super::*;
use crate::channel::Channel;
use crate::ids::{AttemptId, HoldId, MuseumId, RouteId, SlotId, TillId};

const NOW: Timestamp = Timestamp::from_seconds(1_780_000_000);
/// An appeal of which nobody knows when the visit is.
const APPEAL: Command = Command::Appeal { gate_opens_at: None };

fn sale() -> HoldId {
    HoldId::new(SlotId::new(MuseumId(1), RouteId(1), NOW.plus_seconds(5 * DAY_S)), 1)
}

fn about(subject: Subject) -> Opened {
    Opened {
        subject,
        origin: Origin::Review,
        assessment: None,
        slot: Some(sale().slot()),
        museum: MuseumId(1),
        channel: Channel::Web,
        amount_cents: Cents::new(3_600),
        parties: vec![],
        due_at: NOW.plus_seconds(DAY_S),
        lapses_at: NOW.plus_seconds(3 * DAY_S),
    }
}

fn code(text: &str) -> Code {
    text.parse().unwrap()
}

/// Does what is asked after `s` seconds, and what is due before.
fn tell(case: &mut Case, s: i64, command: &Command) -> Result<(), Refusal> {
    let now = NOW.plus_seconds(s);
    wake(case, s);
    let events = case.decide(now, command)?;
    let record = case.record(now, None, events);
    case.apply(&record);
    assert_eq!(case.recount(), Ok(()));
    let bytes = postcard::to_allocvec(case).unwrap();
    assert_eq!(&postcard::from_bytes::<Case>(&bytes).unwrap(), case);
    Ok(())
}

fn wake(case: &mut Case, s: i64) {
    let due = case.due(NOW.plus_seconds(s));
    if !due.is_empty() {
        let record = case.record(NOW.plus_seconds(s), None, due);
        case.apply(&record);
        assert_eq!(case.recount(), Ok(()));
    }
}

fn opened() -> Case {
    let mut case = Case::new(CaseId(1));
    tell(&mut case, 0, &Command::Open(Box::new(about(Subject::Sale(sale()))))).unwrap();
    case
}

fn say(verdict: Verdict) -> Command {
    Command::Decide { verdict, reason: code("checked"), by: KeyId(4) }
}

#[test]
fn a_case_is_opened_once_and_nothing_happens_before() {
    let mut case = Case::new(CaseId(1));
    for command in [say(Verdict::Fraud), Command::Undo, APPEAL, Command::Assign { to: None }] {
        assert_eq!(tell(&mut case, 0, &command), Err(Refusal::UnknownCase), "{command:?}");
    }
    let early = Opened { lapses_at: NOW, ..about(Subject::Sale(sale())) };
    assert_eq!(tell(&mut case, 0, &Command::Open(Box::new(early))), Err(Refusal::BadCase));
    assert_eq!((case.status(), case.wake_at()), (None, None));
    let mut case = opened();
    assert_eq!(tell(&mut case, 1, &Command::Open(Box::new(about(Subject::Sale(sale()))))), Err(Refusal::CaseExists));
    assert_eq!((case.status(), case.wake_at()), (Some(Status::Open), Some(NOW.plus_seconds(3 * DAY_S))));
}

#[test]
fn a_verdict_is_followed_by_an_action_and_a_label_and_so_is_its_undoing() {
    for (verdict, label, action, back) in [
        (Verdict::Fraud, Some(Label::Fraud), Some(Action::Block), Some(Action::Unblock)),
        (Verdict::Legit, Some(Label::Legit), Some(Action::Clear), Some(Action::Review)),
        (Verdict::Unsure, None, None, None),
    ] {
        let mut case = opened();
        assert_eq!(tell(&mut case, 1, &Command::Undo), Err(Refusal::NotDecided));
        tell(&mut case, 1, &Command::Assign { to: Some(KeyId(4)) }).unwrap();
        tell(&mut case, 2, &say(verdict)).unwrap();
        assert_eq!((case.status(), case.label().map(|known| known.label), case.pending()), (Some(Status::Decided), label, action));
        assert_eq!(tell(&mut case, 3, &say(Verdict::Unsure)), Err(Refusal::CaseDecided));
        assert_eq!(tell(&mut case, 3, &Command::Assign { to: None }), Err(Refusal::CaseDecided));
        if let Some(action) = action {
            let other = if action == Action::Block { Action::Clear } else { Action::Block };
            assert_eq!(tell(&mut case, 3, &Command::Act { action: other, done: true }), Err(Refusal::NothingToDo));
            tell(&mut case, 3, &Command::Act { action, done: true }).unwrap();
        }
        tell(&mut case, 4, &Command::Undo).unwrap();
        assert_eq!((case.status(), case.label(), case.pending()), (Some(Status::Open), None, back), "{verdict:?}");
        // Another verdict takes the place of what still waits.
        tell(&mut case, 5, &say(Verdict::Fraud)).unwrap();
        assert_eq!(case.pending(), Some(Action::Block));
    }
}

#[test]
fn what_nobody_had_put_under_review_is_not_when_a_verdict_of_honest_is_taken_back() {
    for (origin, back) in [
        (Origin::Review, Action::Review),
        (Origin::Picked, Action::Unblock),
        (Origin::Chargeback, Action::Unblock),
        (Origin::Conflict, Action::Unblock),
    ] {
        let mut case = Case::new(CaseId(1));
        tell(&mut case, 0, &Command::Open(Box::new(Opened { origin, ..about(Subject::Sale(sale())) }))).unwrap();
        tell(&mut case, 1, &say(Verdict::Legit)).unwrap();
        tell(&mut case, 2, &Command::Undo).unwrap();
        assert_eq!((case.status(), case.pending()), (Some(Status::Open), Some(back)), "{origin:?}");
    }
}

#[test]
fn nobody_waits_for_an_analyst() {
    let mut case = opened();
    wake(&mut case, 3 * DAY_S - 1);
    assert_eq!(case.status(), Some(Status::Open));
    wake(&mut case, 3 * DAY_S);
    assert_eq!((case.status(), case.wake_at(), case.label()), (Some(Status::Lapsed), None, None));
    // What is found later is learned all the same, and can be undone.
    tell(&mut case, 4 * DAY_S, &say(Verdict::Fraud)).unwrap();
    assert_eq!((case.status(), case.pending()), (Some(Status::Decided), Some(Action::Block)));
    tell(&mut case, 4 * DAY_S, &Command::Undo).unwrap();
    assert_eq!((case.status(), case.pending()), (Some(Status::Open), Some(Action::Unblock)));
}

#[test]
fn what_is_undone_after_somebody_should_have_looked_is_not_late_when_somebody_looks_at_once() {
    // When it is undone, and by when somebody should look then: a case whose time is not over ends when it would have.
    for (undone_s, due_s) in [(DAY_S - 1, DAY_S), (DAY_S, 2 * DAY_S), (DAY_S + 60, 2 * DAY_S + 60), (5 * DAY_S / 2, 3 * DAY_S)] {
        let mut case = opened();
        tell(&mut case, 1, &say(Verdict::Legit)).unwrap();
        tell(&mut case, undone_s, &Command::Undo).unwrap();
        assert_eq!(case.deadlines(), (NOW.plus_seconds(due_s), NOW.plus_seconds(3 * DAY_S)), "{undone_s}");
        assert!(in_time(case.opened_at(), case.deadlines().0, NOW.plus_seconds(undone_s + 1)).1, "{undone_s}");
    }
}

/// Who takes a verdict back wants somebody to look once more.
#[test]
fn what_is_undone_when_its_time_is_over_is_looked_at_again_and_what_is_undone_before_ends_when_it_would_have() {
    for verdict in [Verdict::Fraud, Verdict::Legit, Verdict::Unsure] {
        let mut case = opened();
        tell(&mut case, 1, &say(verdict)).unwrap();
        let mut soon = case.clone();
        tell(&mut soon, 3 * DAY_S - 1, &Command::Undo).unwrap();
        assert_eq!((soon.status(), soon.deadlines()), (Some(Status::Open), (NOW.plus_seconds(3 * DAY_S), NOW.plus_seconds(3 * DAY_S))));
        tell(&mut case, 9 * DAY_S, &Command::Undo).unwrap();
        wake(&mut case, 9 * DAY_S);
        assert_eq!((case.status(), case.deadlines()), (Some(Status::Open), (NOW.plus_seconds(10 * DAY_S), NOW.plus_seconds(16 * DAY_S))));
        // That nobody does is no reason to wait for ever.
        wake(&mut case, 16 * DAY_S);
        assert_eq!(case.status(), Some(Status::Lapsed));
    }
    // A review that begins anew and lasts longer is not to run on when the case is over.
    let renew = |s: i64| Command::Renew { lapses_at: NOW.plus_seconds(s) };
    let mut sold = opened();
    assert_eq!(tell(&mut sold, 1, &renew(3 * DAY_S)), Err(Refusal::NothingToDo), "it lasts no longer");
    tell(&mut sold, 1, &say(Verdict::Legit)).unwrap();
    assert_eq!(tell(&mut sold, 2, &renew(9 * DAY_S)), Err(Refusal::NothingToDo), "somebody has looked");
    tell(&mut sold, 2 * DAY_S, &Command::Undo).unwrap();
    tell(&mut sold, 2 * DAY_S, &renew(5 * DAY_S)).unwrap();
    assert_eq!(sold.deadlines(), (NOW.plus_seconds(3 * DAY_S), NOW.plus_seconds(5 * DAY_S)));
    tell(&mut sold, 2 * DAY_S + 1, &renew(6 * DAY_S)).unwrap();
    assert_eq!(sold.deadlines(), (NOW.plus_seconds(3 * DAY_S), NOW.plus_seconds(6 * DAY_S)));
    // Of an appeal nobody is told meanwhile that nobody has looked.
    let mut appealed = refused(&["velocity"]);
    tell(&mut appealed, 1, &APPEAL).unwrap();
    tell(&mut appealed, 2, &say(Verdict::Fraud)).unwrap();
    tell(&mut appealed, 8 * DAY_S, &Command::Undo).unwrap();
    wake(&mut appealed, 8 * DAY_S);
    assert_eq!(appealed.appeal_state(), Some(AppealState::Received));
    tell(&mut appealed, 9 * DAY_S, &say(Verdict::Legit)).unwrap();
    assert_eq!(appealed.appeal_state(), Some(AppealState::Granted));
}

#[test]
fn somebody_is_to_look_sooner_where_tickets_have_moved_to_a_gate_that_opens_sooner() {
    let hasten = |s: i64| Command::Hasten { due_at: NOW.plus_seconds(s) };
    let mut case = opened();
    assert_eq!(tell(&mut case, 1, &hasten(DAY_S)), Err(Refusal::NothingToDo), "it is due by then");
    tell(&mut case, 1, &hasten(3_600)).unwrap();
    assert_eq!(case.deadlines(), (NOW.plus_seconds(3_600), NOW.plus_seconds(3 * DAY_S)));
    assert_eq!(tell(&mut case, 2, &hasten(7_200)), Err(Refusal::NothingToDo), "others go to a gate that opens later");
    tell(&mut case, 60, &hasten(30)).unwrap();
    assert_eq!(case.deadlines(), (NOW.plus_seconds(60), NOW.plus_seconds(3 * DAY_S)), "no sooner than now");
    assert_eq!(tell(&mut case, 61, &hasten(30)), Err(Refusal::NothingToDo));
    let mut decided = opened();
    tell(&mut decided, 1, &say(Verdict::Legit)).unwrap();
    assert_eq!(tell(&mut decided, 2, &hasten(3_600)), Err(Refusal::NothingToDo), "somebody has looked");
    assert_eq!(Case::new(CaseId(2)).decide(NOW, &hasten(3_600)), Err(Refusal::UnknownCase));
}

#[test]
fn who_was_refused_may_ask_once_for_another_look() {
    let mut case = opened();
    assert_eq!(tell(&mut case, 1, &APPEAL), Err(Refusal::NothingToAppeal));
    tell(&mut case, 1, &say(Verdict::Fraud)).unwrap();
    tell(&mut case, 1, &Command::Act { action: Action::Block, done: true }).unwrap();
    tell(&mut case, 2, &APPEAL).unwrap();
    assert_eq!((case.status(), case.pending()), (Some(Status::Appealed), None), "an appeal alone opens no gate");
    assert_eq!(tell(&mut case, 3, &APPEAL), Err(Refusal::AlreadyAppealed));
    let mut kept = case.clone();
    tell(&mut case, 4, &say(Verdict::Legit)).unwrap();
    assert_eq!((case.status(), case.pending()), (Some(Status::Decided), Some(Action::Clear)));
    assert_eq!(case.label().map(|known| known.label), Some(Label::Legit));
    wake(&mut kept, 30 * DAY_S);
    assert_eq!((kept.status(), kept.wake_at()), (Some(Status::Decided), None), "nobody looked again: the verdict stands");
}

#[test]
fn an_appeal_is_due_before_the_visit_and_is_made_again_when_nobody_has_looked() {
    const HOUR_S: i64 = 3_600;
    let in_s = |s: i64| Command::Appeal { gate_opens_at: Some(NOW.plus_seconds(s)) };
    // How long before the gate it is made, and within which time somebody should look: half an hour is left, and where that is over it is due at once. Of a visit that is
    // under way nothing is to be saved.
    for (gate_s, due_s) in [(30 * DAY_S, DAY_S), (3 * HOUR_S, 5 * HOUR_S / 2), (HOUR_S / 3, 0), (0, DAY_S), (-HOUR_S, DAY_S)] {
        let mut case = refused(&["velocity"]);
        tell(&mut case, 0, &in_s(gate_s)).unwrap();
        assert_eq!(case.deadlines(), (NOW.plus_seconds(due_s), NOW.plus_seconds(7 * DAY_S)), "{gate_s}");
    }
    // An attempt, and a sale with its verdict: nobody looks, and both may be appealed once more.
    let mut sold = opened();
    tell(&mut sold, 0, &say(Verdict::Fraud)).unwrap();
    for mut case in [refused(&["velocity"]), sold] {
        assert_eq!(case.appeal_state(), None);
        tell(&mut case, 1, &APPEAL).unwrap();
        assert_eq!((case.appeal_state(), tell(&mut case, 2, &APPEAL)), (Some(AppealState::Received), Err(Refusal::AlreadyAppealed)));
        wake(&mut case, 8 * DAY_S);
        assert_eq!(case.appeal_state(), Some(AppealState::Lapsed));
        tell(&mut case, 9 * DAY_S, &APPEAL).unwrap();
        assert_eq!((case.appeal_state(), case.wake_at()), (Some(AppealState::Received), Some(NOW.plus_seconds(16 * DAY_S))));
        assert_eq!(tell(&mut case, 9 * DAY_S, &APPEAL), Err(Refusal::AlreadyAppealed));
        let mut lost = case.clone();
        tell(&mut case, 10 * DAY_S, &say(Verdict::Legit)).unwrap();
        tell(&mut lost, 10 * DAY_S, &say(Verdict::Fraud)).unwrap();
        assert_eq!((case.appeal_state(), lost.appeal_state()), (Some(AppealState::Granted), Some(AppealState::Refused)));
        assert_eq!(tell(&mut lost, 11 * DAY_S, &APPEAL), Err(Refusal::AlreadyAppealed), "somebody has looked");
        assert_eq!(tell(&mut case, 11 * DAY_S, &Command::Undo), Ok(()));
        assert_ne!(case.appeal_state(), Some(AppealState::Granted));
    }
}

/// A case about an attempt that rules refused: a buyer, a device and a network took part.
fn refused(rules: &[&str]) -> Case {
    use crate::envelope::{Assessment, Digest, Outcome};
    let assessment = Assessment {
        model: code("none"),
        rules_version: 0,
        at: NOW,
        position: 1,
        features: Digest(1),
        score: 100,
        reasons: vec![],
        outcome: Outcome::Block,
        rules: rules.iter().map(|rule| code(rule)).collect(),
        probability_ppm: None,
        basis: None,
    };
    let party = |kind, n| Party { kind, pseudonym: Digest(n) };
    let parties = vec![party(PartyKind::Network, 1), party(PartyKind::Buyer, 2), party(PartyKind::Device, 3), party(PartyKind::Buyer, 4)];
    let attempt = Opened { assessment: Some(assessment), parties, ..about(Subject::Attempt(AttemptId::new(20_000, 5))) };
    let mut case = Case::new(CaseId(3));
    tell(&mut case, 0, &Command::Open(Box::new(attempt))).unwrap();
    case
}

#[test]
fn whoever_was_refused_and_is_found_honest_passes_the_same_rules_for_a_while() {
    let mut case = refused(&["velocity", "unsold-holds"]);
    assert_eq!(case.pass(), None);
    tell(&mut case, 5, &say(Verdict::Legit)).unwrap();
    let pass = case.pass().unwrap();
    assert_eq!((pass.rules, pass.until), (vec![code("velocity"), code("unsold-holds")], NOW.plus_seconds(5 + PASS_S)));
    let kinds: Vec<PartyKind> = pass.parties.iter().map(|party| party.kind).collect();
    assert_eq!(kinds, [PartyKind::Buyer, PartyKind::Device, PartyKind::Buyer], "others come from the same network");
    tell(&mut case, 6, &Command::Undo).unwrap();
    assert_eq!(case.pass(), None, "it is taken back with the verdict");
    for verdict in [Verdict::Unsure, Verdict::Fraud] {
        let mut case = refused(&["velocity"]);
        tell(&mut case, 5, &say(verdict)).unwrap();
        assert_eq!(case.pass(), None, "{verdict:?}");
    }
    let mut nameless = refused(&[]);
    tell(&mut nameless, 5, &say(Verdict::Legit)).unwrap();
    assert_eq!(nameless.pass(), None, "no rule refused it");
    let mut sold = opened();
    tell(&mut sold, 5, &say(Verdict::Legit)).unwrap();
    assert_eq!(sold.pass(), None, "a sale that was made needs none");
}

#[test]
fn who_has_a_party_in_common_with_an_appeal_joins_it_and_what_is_said_holds_for_the_same_buyer_or_device() {
    let party = |kind, n| Party { kind, pseudonym: crate::envelope::Digest(n) };
    let join = |n, parties: &[Party], rules: &[&str], gate_opens_at| Command::Join {
        attempt: AttemptId::new(20_000, n),
        parties: parties.to_vec(),
        rules: rules.iter().map(|rule| code(rule)).collect(),
        gate_opens_at,
    };
    let (network, buyer, device) = (party(PartyKind::Network, 1), party(PartyKind::Buyer, 2), party(PartyKind::Device, 3));
    let (other, card) = (party(PartyKind::Buyer, 30), party(PartyKind::Card, 40));
    let mut case = refused(&["velocity"]);
    assert_eq!(tell(&mut case, 1, &join(9, &[buyer], &[], None)), Err(Refusal::NothingToAppeal), "nobody has appealed");
    tell(&mut case, 1, &APPEAL).unwrap();
    let (museum, told) = case.appellants().unwrap();
    assert_eq!((museum, told), (MuseumId(1), [network, buyer, device, party(PartyKind::Buyer, 4)].map(Some).to_vec()));
    assert_eq!(tell(&mut case, 2, &join(5, &[buyer], &[], None)), Err(Refusal::AlreadyAppealed), "it is what the case is about");
    // Another name on the same device, which is also looked at with whoever has only that name; its visit is sooner.
    let due_at = case.deadlines().0;
    let opens_at = Some(NOW.plus_seconds(3 * 3_600));
    tell(&mut case, 3, &join(6, &[network, other, device], &["velocity", "hoarding"], opens_at)).unwrap();
    assert_eq!(case.deadlines().0, NOW.plus_seconds(3 * 3_600 - REVIEW_ENDS_BEFORE_S));
    assert!(case.deadlines().0 < due_at);
    tell(&mut case, 4, &join(7, &[other], &["unsold-holds"], None)).unwrap();
    assert_eq!(tell(&mut case, 5, &join(7, &[other], &[], None)), Err(Refusal::AlreadyAppealed));
    // Who only comes from the same network, or by the same card, may be anybody.
    let stranger = party(PartyKind::Device, 50);
    tell(&mut case, 6, &join(8, &[network, card, stranger], &["card-testing"], Some(NOW.plus_seconds(60)))).unwrap();
    let joined: Vec<_> = case.joined().iter().map(|joined| (joined.is_same, joined.parties.len(), joined.rules.len())).collect();
    assert_eq!(joined, [(true, 2, 2), (true, 1, 1), (false, 0, 0)]);
    assert_eq!(case.deadlines().0, NOW.plus_seconds(3 * 3_600 - REVIEW_ENDS_BEFORE_S), "a stranger makes nothing more urgent");
    tell(&mut case, 7, &say(Verdict::Legit)).unwrap();
    let pass = case.pass().unwrap();
    assert_eq!(pass.parties, [buyer, device, party(PartyKind::Buyer, 4), other]);
    assert_eq!(pass.rules, ["velocity", "hoarding", "unsold-holds"].map(code));
    assert_eq!((case.appellants(), tell(&mut case, 8, &join(10, &[buyer], &[], None))), (None, Err(Refusal::NothingToAppeal)));

    // No more than so many, and none of a sale.
    let mut full = refused(&["velocity"]);
    tell(&mut full, 1, &APPEAL).unwrap();
    for n in 0..JOINED_MAX as u64 {
        tell(&mut full, 2, &join(100 + n, &[buyer], &[], None)).unwrap();
    }
    assert_eq!(tell(&mut full, 3, &join(9, &[buyer], &[], None)), Err(Refusal::TooManyAppeals));
    let mut sold = opened();
    tell(&mut sold, 1, &say(Verdict::Fraud)).unwrap();
    tell(&mut sold, 2, &APPEAL).unwrap();
    assert_eq!((sold.appellants(), tell(&mut sold, 3, &join(9, &[buyer], &[], None))), (None, Err(Refusal::NothingToAppeal)));
}

#[test]
fn what_is_looked_at_with_another_case_is_none_until_it_is_opened() {
    let follow = |n, is_same| Command::Follow { case: CaseId(n), is_same };
    let mut case = Case::new(CaseId(2));
    tell(&mut case, 0, &follow(7, false)).unwrap();
    tell(&mut case, 1, &follow(8, true)).unwrap();
    assert_eq!(case.followed(), Some(Followed { case: CaseId(8), is_same: true }));
    assert_eq!((case.opened().is_some(), case.status(), case.wake_at(), case.appellants()), (false, None, None, None));
    assert_eq!(tell(&mut case, 2, &say(Verdict::Fraud)), Err(Refusal::UnknownCase));
    assert_eq!(tell(&mut case, 2, &APPEAL), Err(Refusal::UnknownCase));
    tell(&mut case, 3, &Command::Open(Box::new(about(Subject::Attempt(AttemptId::new(20_000, 5)))))).unwrap();
    assert_eq!(tell(&mut case, 4, &follow(9, true)), Err(Refusal::CaseExists));
    tell(&mut case, 5, &APPEAL).unwrap();
    assert_eq!(case.appellants(), Some((MuseumId(1), vec![None])), "nobody was named: they are one with all others of whom that is so");
}

#[test]
fn of_what_is_known_the_most_credible_counts() {
    let mut case = opened();
    tell(&mut case, 1, &Command::Label { label: Label::Fraud, source: LabelSource::GateRefusal }).unwrap();
    assert_eq!(tell(&mut case, 1, &Command::Label { label: Label::Fraud, source: LabelSource::GateRefusal }), Err(Refusal::LabelKnown));
    tell(&mut case, 2, &say(Verdict::Legit)).unwrap();
    let known = case.label().unwrap();
    assert_eq!((known.label, known.trains_at()), (Label::Legit, NOW.plus_seconds(2 + LEGIT_DELAY_S)));
    tell(&mut case, 3, &Command::Label { label: Label::Fraud, source: LabelSource::Chargeback }).unwrap();
    let known = case.label().unwrap();
    assert_eq!((known.label, known.trains_at()), (Label::Fraud, NOW.plus_seconds(3)));
}

#[test]
fn how_a_dispute_ends_takes_the_place_of_the_chargeback_that_began_it() {
    let says = |label, source| Command::Label { label, source };
    let (charged_back, won) = (says(Label::Fraud, LabelSource::Chargeback), says(Label::Legit, LabelSource::Dispute));
    let lost = says(Label::Fraud, LabelSource::Dispute);
    let counts = |case: &Case| case.label().map(|known| (known.label, known.source));
    let mut case = opened();
    tell(&mut case, 1, &charged_back).unwrap();
    tell(&mut case, 2, &say(Verdict::Fraud)).unwrap();
    assert_eq!(counts(&case), Some((Label::Fraud, LabelSource::Chargeback)));
    tell(&mut case, 3, &won).unwrap();
    assert_eq!(counts(&case), Some((Label::Legit, LabelSource::Dispute)), "also over an analyst who believed the bank");
    assert_eq!(case.label().unwrap().trains_at(), NOW.plus_seconds(3 + LEGIT_DELAY_S));
    assert_eq!(tell(&mut case, 4, &won), Err(Refusal::LabelKnown));
    // The bank may take it back once more.
    tell(&mut case, 5, &charged_back).unwrap();
    assert_eq!(counts(&case), Some((Label::Fraud, LabelSource::Chargeback)));
    tell(&mut case, 6, &lost).unwrap();
    assert_eq!(counts(&case), Some((Label::Fraud, LabelSource::Dispute)));
}

#[test]
fn where_a_bank_takes_back_what_it_said_it_counts_what_others_say() {
    let says = |label, source| Command::Label { label, source };
    let taken_back = says(Label::Withdrawn, LabelSource::Dispute);
    let charged_back = says(Label::Fraud, LabelSource::Chargeback);
    let counts = |case: &Case| case.label().map(|known| (known.label, known.source));
    let mut case = opened();
    assert_eq!(tell(&mut case, 1, &taken_back), Err(Refusal::LabelKnown), "nothing was said");
    tell(&mut case, 1, &charged_back).unwrap();
    tell(&mut case, 2, &taken_back).unwrap();
    assert_eq!((counts(&case), case.known().count(), case.labels().len()), (None, 0, 2));
    assert_eq!(tell(&mut case, 3, &taken_back), Err(Refusal::LabelKnown));
    tell(&mut case, 4, &say(Verdict::Fraud)).unwrap();
    assert_eq!(counts(&case), Some((Label::Fraud, LabelSource::Verdict)));
    // And it may say so of what was sold after all.
    tell(&mut case, 5, &says(Label::Legit, LabelSource::Dispute)).unwrap();
    assert_eq!((counts(&case), case.known().count()), (Some((Label::Legit, LabelSource::Dispute)), 2));
    tell(&mut case, 6, &taken_back).unwrap();
    assert_eq!(counts(&case), Some((Label::Fraud, LabelSource::Verdict)));
    tell(&mut case, 7, &Command::Undo).unwrap();
    assert_eq!(counts(&case), None);
}

#[test]
fn an_attempt_has_no_tickets() {
    let mut case = Case::new(CaseId(2));
    let attempt = about(Subject::Attempt(AttemptId::new(20_000, 5)));
    tell(&mut case, 0, &Command::Open(Box::new(attempt))).unwrap();
    tell(&mut case, 0, &APPEAL).unwrap();
    tell(&mut case, 1, &say(Verdict::Fraud)).unwrap();
    assert_eq!((case.pending(), case.sale(), case.status()), (None, None, Some(Status::Decided)));
}

#[test]
fn what_may_be_lost_is_what_is_at_stake_by_how_likely_fraud_is() {
    use crate::envelope::{Assessment, Digest, Outcome};
    let assessed = |score, probability_ppm| Assessment {
        model: code("forest-1"),
        rules_version: 1,
        at: NOW,
        position: 1,
        features: Digest(1),
        score,
        reasons: vec![],
        outcome: Outcome::Review,
        rules: vec![],
        probability_ppm,
        basis: None,
    };
    for (cents, places, assessment, expected) in [
        (3_600, 3, None, 3_600 * 50),
        (3_600, 3, Some(assessed(90, None)), 3_600 * 90),
        // What labels taught counts more than a rank: two in a hundred.
        (3_600, 3, Some(assessed(99, Some(20_000))), 3_600 * 2),
        (3_600, 3, Some(assessed(99, Some(1_000_000))), 3_600 * 100),
        // Free places are worth something to whoever takes them, and cheap ones no less.
        (0, 8, Some(assessed(70, None)), 8 * PLACE_CENTS_MIN * 70),
        (100, 8, Some(assessed(70, None)), 8 * PLACE_CENTS_MIN * 70),
        (0, 0, Some(assessed(70, None)), 0),
        (i64::MAX, u32::MAX, Some(assessed(100, None)), i64::MAX),
    ] {
        let opened = Opened { amount_cents: Cents::new(cents), assessment, ..about(Subject::Sale(sale())) };
        assert_eq!(opened.expected_loss(places), expected, "{cents} for {places}");
    }
}

#[test]
fn what_a_case_is_about_survives_its_text() {
    for subject in
        [Subject::Sale(sale()), Subject::Attempt(AttemptId::new(20_000, 7)), Subject::Return { sale: sale(), seq: 12 }, Subject::Till(TillId(9))]
    {
        assert_eq!(subject.to_string().parse(), Ok(subject), "{subject}");
    }
    assert_eq!(Subject::Hold(sale()).to_string().parse(), Ok(Subject::Sale(sale())), "a sale has the id of its hold");
    for text in ["", ".", "till.", "till.x", "x.1", &format!("{}.", sale()), &format!("{}.-1", sale()), &format!("{}.1.2", sale())] {
        assert!(text.parse::<Subject>().is_err(), "{text}");
    }
}

#[test]
fn of_a_return_a_count_or_a_hold_there_is_nothing_to_block_and_nothing_to_appeal() {
    for subject in [Subject::Return { sale: sale(), seq: 12 }, Subject::Till(TillId(9)), Subject::Hold(sale())] {
        let mut case = Case::new(CaseId(1));
        tell(&mut case, 0, &Command::Open(Box::new(about(subject)))).unwrap();
        let fraud = Command::Decide { verdict: Verdict::Fraud, reason: code("kept-cash"), by: KeyId(4) };
        tell(&mut case, 60, &fraud).unwrap();
        assert_eq!((case.pending(), case.label().map(|known| known.label)), (None, Some(Label::Fraud)));
        assert_eq!(tell(&mut case, 70, &APPEAL), Err(Refusal::NothingToAppeal));
        tell(&mut case, 80, &Command::Undo).unwrap();
        assert_eq!((case.pending(), case.status()), (None, Some(Status::Open)));
    }
}
