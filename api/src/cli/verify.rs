//! `tornello verify`: is the journal what was written, and does it still add up? With `--assessments` (see [`super::again`]): does what was said of commands follow from it?

use std::path::Path;

use anyhow::{Context, bail};
use tornello_actors::hex::Hex;
use tornello_actors::journal::JournalError;
use tornello_actors::journal::file::{FileJournal, GAP};
use tornello_actors::node;
use tornello_actors::verify::{Exported, Verified, goes_on_from};
use tornello_actors::views::compare::{Compared, Difference, compare};
use tornello_api::replay::report::thousands;
use tornello_engine::ids::CaseId;

use super::Data;

const FILE: &str = "journal.log";

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    data: Data,
    /// Cut off a last batch that was torn, as a start of the server does; and what stands behind zeros in a copy that was made while a server wrote, as no start does
    #[arg(long)]
    cut_torn_tail: bool,
    /// The head of an earlier check, or batch and hash of `/status`: whether the journal goes on from there, so that a missing end is seen
    #[arg(long, value_name = "NUMBER:HASH")]
    head: Option<Exported>,
    /// Also whether the lists in views.db are what the journal says: others are built beside them and compared, which takes their room on the disk twice again
    #[arg(long)]
    lists: bool,
    /// Work out once more what was said of each command before it was given, by rules and models, and hold it against what was written down
    #[arg(long)]
    assessments: bool,
    /// Of the assessments only the one because of which there is this case
    #[arg(long, value_name = "CASE", requires = "assessments")]
    case: Option<CaseId>,
}

pub(super) async fn verify(arguments: Arguments) -> anyhow::Result<()> {
    let folder = arguments.data.with(FILE)?;
    let path = folder.join(FILE);
    // A snapshot, or a backup on a disk that takes no writes, can be read; what is torn can be cut off nowhere else than where it can be written.
    let (_alone, opened) = if arguments.cut_torn_tail {
        (node::lock(folder)?, FileJournal::open(&path).await)
    } else {
        (node::lock_to_read(folder)?, FileJournal::open_to_read(&path).await)
    };
    let journal = opened.with_context(|| format!("cannot open {}", path.display()))?;
    if arguments.cut_torn_tail
        && let Some((first, last)) = journal.cut_gap().await.with_context(|| format!("cannot cut {}", path.display()))?
    {
        super::go_on(super::say(format_args!("batches {first} to {last} were cut off: zeros stood in the place of the first")))?;
    }
    let verified = tornello_actors::verify::verify(&journal, arguments.cut_torn_tail, |_| {}).await;
    let end = tornello_actors::journal::Journal::head(&journal).await;
    match verified {
        Ok(verified) => {
            let goes_on = match &arguments.head {
                Some(head) => goes_on_from(&journal, &verified.checked, head).await.with_context(|| path.display().to_string()),
                None => Ok(()),
            };
            let told = print(&verified);
            // Whether or not anybody reads all of that: a missing end is an error.
            goes_on?;
            super::go_on(told)?;
            if let Some(head) = &arguments.head {
                super::go_on(super::say(format_args!("it goes on from the head of batch {}", head.number)))?;
            }
            if arguments.lists {
                super::go_on(lists(folder, &journal).await)?;
            }
            if arguments.assessments { super::again::again(&journal, folder, arguments.case).await } else { Ok(()) }
        }
        Err(JournalError::Corrupt { batch, what }) => {
            let last = end.is_ok_and(|head| head.number == batch);
            let advice = if last && !arguments.cut_torn_tail {
                "it is the last one: if a crash tore it, cut it off with --cut-torn-tail (a start of the server does so too, unless lists were built from it)"
            } else if what == GAP {
                "nothing was changed: if it is such a copy, it is good up to there, and --cut-torn-tail lets it end there; if not, put a backup in its place"
            } else {
                "nothing was changed: put a backup in its place"
            };
            bail!("{}: batch {batch} is damaged: {what}; {advice}", path.display())
        }
        Err(error @ JournalError::Newer { .. }) => bail!("{}: {error}; verify it with that program, or a newer one", path.display()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Whether the lists are what the journal says.
async fn lists(folder: &Path, journal: &FileJournal) -> anyhow::Result<()> {
    match compare(folder, journal).await.context("the lists cannot be compared with the journal")? {
        Compared::BuiltAnyway(why) => super::say(format_args!("the lists were not compared: {why}; a start of the server builds them")),
        Compared::Damaged(what) => bail!("views.db is damaged: {what}; run `tornello views rebuild`"),
        Compared::At { batch, differences } if differences.is_empty() => {
            super::say(format_args!("the lists show what the journal says up to batch {batch}"))
        }
        Compared::At { batch, differences } => {
            for Difference { table, missing, wrong, example } in &differences {
                super::go_on(super::say(format_args!("table {table}: {missing} rows are missing and {wrong} are wrong: {example}")))?;
            }
            bail!("the lists are not what the journal says up to batch {batch}: run `tornello views rebuild`")
        }
    }
}

fn print(verified: &Verified) -> anyhow::Result<()> {
    let Verified { checked, state_hash, museums, .. } = verified;
    if let Some(batch) = checked.cut {
        super::say(format_args!("torn batch {batch} was cut off"))?;
    }
    let sales: u64 = museums.values().map(|sums| sums.sales).sum();
    for (name, value) in [
        ("batches", thousands(checked.head.number.cast_signed())),
        ("records", thousands(checked.records.cast_signed())),
        ("streams", thousands(verified.streams().cast_signed())),
        ("sales", thousands(sales.cast_signed())),
        ("head", Exported::from(&checked.head).to_string()),
        ("state", Hex(state_hash).to_string()),
    ] {
        super::say(format_args!("{name:<8} {value}"))?;
    }
    super::say("the journal is sound")
}
