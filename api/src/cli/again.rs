//! `tornello verify --assessments`: does what was said of each command before it was given follow from the journal, the rules and the models that are kept?

use std::path::Path;

use anyhow::{Context, bail};
use tornello_actors::fraud::Sizes;
use tornello_actors::fraud::again::{Again, Came, LeftOut, Told, Unfounded, Wanted, assessment_of, say_again};
use tornello_actors::fraud::shelf::Shelf;
use tornello_actors::journal::Journal;
use tornello_api::replay::report::thousands;
use tornello_engine::envelope::Assessment;
use tornello_engine::ids::{CaseId, Code};

/// So many of those that differ are told.
const TOLD: usize = 20;

/// Says again all that was said, or what a case is about, and prints what came of it; an error if anything is not what it would be.
pub(super) async fn again(journal: &dyn Journal, folder: &Path, case: Option<CaseId>) -> anyhow::Result<()> {
    let of_case = match case {
        Some(case) => {
            let found = assessment_of(journal, case).await.with_context(|| format!("cannot read case {case}"))?;
            Some(found.with_context(|| format!("there is no case {case} in this journal, or nothing was assessed of what it is about"))?)
        }
        None => None,
    };
    let wanted = of_case.as_ref().map_or(Wanted::All { told: TOLD }, Wanted::Of);
    let shelf = Some(Shelf::in_folder(folder));
    let again = say_again(journal, shelf, wanted, Sizes::default().parties).await.context("cannot read the journal once more")?;
    let told = print(&again);
    // Whether or not anybody reads all of that: what is not what follows is an error.
    if of_case.is_some() && again.assessed == 0 {
        bail!("no record carries the assessment because of which there is this case");
    }
    if again.differ > 0 {
        bail!(
            "{} of {} assessments are not what follows from the journal",
            thousands(again.differ.cast_signed()),
            thousands(again.assessed.cast_signed())
        );
    }
    told
}

fn print(again: &Again) -> anyhow::Result<()> {
    let count = |count: u64| thousands(count.cast_signed());
    let line = |name: &str, number: u64, more: &str| super::say(format!("{name:<8} {:>11}  {more}", count(number)).trim_end());
    line("assessed", again.assessed, "")?;
    line("same", again.same, "")?;
    if again.by_rules > 0 {
        line("", again.by_rules, "of these by rules alone: that no model took part is taken from the record")?;
    }
    line("differ", again.differ, "")?;
    line("not said", again.left_out.values().sum(), "")?;
    for (why, number) in &again.left_out {
        line("", *number, reason(*why))?;
    }
    if again.carried > 0 {
        line("carried", again.carried, "sales that stand with what was said of their payment, which is said again once")?;
    }
    again.told.iter().try_for_each(tell)?;
    let left = again.differ.saturating_sub(again.told.iter().filter(|told| told.came.differs()).count() as u64);
    if left > 0 { super::say(format_args!("and {} more that differ", count(left))) } else { Ok(()) }
}

const fn reason(why: LeftOut) -> &'static str {
    match why {
        LeftOut::Older => "of before it was written down what an assessment rests on",
        LeftOut::OtherEdition => "of a program by which other features follow from a journal, or that has other built-in rules",
        LeftOut::Unread => "said blind, as the counters could not be read: all else of them is as it would be",
        LeftOut::ModelGone => "by a model that is not in the folder any more: features and rules are as they would be",
        LeftOut::ModelOther => "by a model in whose place another one stands, or what cannot be read: features and rules are as they would be",
        LeftOut::Unsaid => "of which it was not written down what had been asked for",
        LeftOut::Forgotten => "in which others took part than are known by now",
    }
}

/// One assessment: where it stands, what was said, and what came of saying it again.
fn tell(told: &Told) -> anyhow::Result<()> {
    let Told { place, written, came } = told;
    super::say(format_args!("{place}, at {}, as of batch {}:", written.at, written.position))?;
    super::say(format_args!("  it says {}", words(written)))?;
    match came {
        Came::Same => super::say("  and so it does now"),
        Came::Other(_) => {
            told.differences().iter().try_for_each(|found| super::say(format_args!("  {} is {}, and was {}", found.field, found.is, found.was)))
        }
        Came::Unfounded(Unfounded::Position) => super::say("  and cannot: it names a batch that does not come before its own"),
        Came::Unfounded(Unfounded::Rules) => super::say(format_args!("  and cannot: the rules had no number {} by then", written.rules_version)),
        Came::LeftOut(why) => super::say(format_args!("  and is not said again: {}", reason(*why))),
    }
}

fn words(said: &Assessment) -> String {
    let listed = |codes: &[Code]| codes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let line = said.basis.as_ref().and_then(|basis| basis.line).map(|line| format!(", by the line {:.6}", f64::from_le_bytes(line)));
    let mut words = format!("{}: score {}, model {}{}", said.outcome.name(), said.score, said.model, line.unwrap_or_default());
    for (name, codes) in [("reasons", &said.reasons), ("rules", &said.rules)] {
        if !codes.is_empty() {
            words.push_str(&format!(", {name} {}", listed(codes)));
        }
    }
    words
}
