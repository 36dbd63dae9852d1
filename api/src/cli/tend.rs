//! The rarer chores: read models built again, a person's contact erased, keys for ticket codes drawn and forgotten.

use std::path::Path;

use anyhow::{Context, bail};
use tornello_actors::clock::RealClock;
use tornello_actors::journal::Batch;
use tornello_actors::journal::file::{FILE, FileJournal};
use tornello_actors::node;
use tornello_actors::people::{MasterKey, People as Contacts};
use tornello_actors::signing::SigningKeys;
use tornello_actors::start;
use tornello_actors::views::Views as ReadModels;
use tornello_engine::ids::PersonId;
use tornello_engine::time::Timestamp;

use super::Data;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Views {
    /// Throw the read models away and build them again from the journal, while no server runs
    Rebuild {
        #[command(flatten)]
        data: Data,
    },
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum People {
    /// Destroy a person's key and contact, for good
    Erase {
        #[command(flatten)]
        data: Data,
        /// The person's 26 characters
        id: String,
    },
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum Signing {
    /// Sign new ticket codes with a new key; codes signed before stay good. A running server takes it up within a second
    Rotate {
        #[command(flatten)]
        data: Data,
    },
    /// List the keys by their numbers, without their secrets
    List {
        #[command(flatten)]
        data: Data,
    },
    /// Forget an older key, for good, as one that others know: whoever has it could sign codes that gates without a network believe. The codes that it signed are good no more,
    /// and tickets that were printed with them have to be read anew
    Forget {
        #[command(flatten)]
        data: Data,
        /// Its number; the one that signs is to be replaced before, with `rotate`
        #[arg(value_parser = number)]
        number: u32,
    },
}

/// The number of a key that signs.
fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "a number is expected that `tornello signing list` shows".to_owned())
}

/// The file of the keys that sign.
const SIGNING: &str = "signing.keys";

pub(super) async fn views(command: Views) -> anyhow::Result<()> {
    let Views::Rebuild { data } = command;
    let folder = data.with(FILE)?;
    let _alone = node::lock(folder)?;
    // No node is started for this: it would go on with payments, quotes and deadlines, at a time that is not now.
    let journal = FileJournal::open(&folder.join(FILE)).await?;
    journal.settle().await?;
    let path = folder.join("views.db");
    let unsound = "the read models are as they were: what a crash tore a start of the server cuts off, and builds them again by itself";
    // They may be all that knows of batches which the journal has lost: that is not thrown away in passing.
    let mut missing = positions(&path).await;
    let seen = |batch: &Batch| {
        missing.retain(|(number, hash)| *number != batch.number || hash[..] != batch.hash());
        Ok(())
    };
    let end = start::check(&journal, None, seen, |_| {}).await.context(unsound)?.head.number;
    if let Some(lost) = missing.iter().map(|(number, _)| *number).max() {
        bail!(
            "the journal does not hold batch {lost} that the read models were built from: `tornello serve` says what can be done; they are as they were"
        );
    }
    for name in ["views.db", "views.db-wal", "views.db-shm"] {
        match std::fs::remove_file(folder.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).with_context(|| format!("cannot remove {name}")),
            _ => {}
        }
    }
    let views = ReadModels::open(&path).await?;
    let built = views.build(&journal, end).await;
    views.close().await;
    built?;
    super::say(format_args!("the read models show all {end} batches"))
}

/// The batches that the read models were built from last, with their hashes; none if they cannot be read, or there are none.
async fn positions(path: &Path) -> Vec<(u64, Vec<u8>)> {
    if !path.exists() {
        return Vec::new();
    }
    let Ok(views) = ReadModels::open(path).await else { return Vec::new() };
    let positions = views.positions().await;
    views.close().await;
    positions.into_iter().flatten().filter(|(number, _)| *number > 0).collect()
}

pub(super) async fn people(command: People) -> anyhow::Result<()> {
    let People::Erase { data, id } = command;
    let folder = data.with("people.db")?;
    data.with("master.key")?;
    let Ok(person) = id.parse::<PersonId>() else { bail!("{id} is no id of a person: 26 characters are expected") };
    let people = Contacts::open(folder, MasterKey::load_or_create(&folder.join("master.key"))?, RealClock::wall()).await?;
    let erased = people.erase_on_request(person, RealClock::wall()).await;
    people.close().await;
    super::say(if erased?.was_there {
        "the contact is erased"
    } else {
        "there is no contact under this id, or it was erased before: no copy that is put back brings one"
    })
}

pub(super) fn signing(command: &Signing) -> anyhow::Result<()> {
    let now = RealClock::wall();
    let kept = |data: &Data| -> anyhow::Result<SigningKeys> { Ok(SigningKeys::load_or_create(data.with(SIGNING)?.join(SIGNING), now)?) };
    match command {
        Signing::Rotate { data } => {
            let id = kept(data)?.rotate(now)?;
            super::say(format_args!(
                "new codes are signed with key {id}, by a running server within a second; older ones stay good; gates without a network need a new manifest"
            ))
        }
        Signing::List { data } => {
            let keys = kept(data)?;
            let replaced = |at: Option<Timestamp>| at.map_or_else(|| "it signs".to_owned(), |at| at.to_string());
            let rows: Vec<_> = keys.seeds().map(|key| [key.id.to_string(), key.created_at.to_string(), replaced(key.retired_at)]).collect();
            super::print_table(["key", "drawn", "replaced"], &rows)
        }
        Signing::Forget { data, number } => {
            if !kept(data)?.forget(*number)? {
                bail!("there is no signing key {number}: see `tornello signing list`");
            }
            super::say(format_args!(
                "key {number} is forgotten, by a running server within a second: tickets whose codes it signed have to be read anew; gates without a network take them until \
                 they have a new manifest"
            ))
        }
    }
}
