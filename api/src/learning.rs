//! What a node has found out about fraud, learned from its data folder: the journal is read, and nothing else, so it may be done while the node runs. What comes of it
//! is put where the node looks for models that are registered.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tornello_actors::fraud::Sizes;
use tornello_actors::fraud::labels::{Examples, examples, feature_names};
use tornello_actors::fraud::shelf::Shelf;
use tornello_actors::journal::file::{FILE, FileJournal};
use tornello_actors::journal::{Journal, JournalError};
use tornello_engine::case::Subject;
use tornello_engine::ids::Code;
use tornello_engine::time::Timestamp;
use tornello_training::verdicts::{self, Artifact, Example, Lessons};

/// How often a journal is opened whose end is just being written.
const OPENED_MAX: usize = 5;

/// What was known in a data folder at an instant.
pub async fn known(folder: &Path, until: Timestamp) -> anyhow::Result<Examples> {
    let path = folder.join(FILE);
    if !path.is_file() {
        bail!("there is no {FILE} in {}", folder.display());
    }
    let mut tried = 0;
    loop {
        let journal = FileJournal::open(&path).await.with_context(|| format!("opening {}", path.display()))?;
        let read = async {
            let end = journal.head().await?.number;
            examples(&journal, until, end, Sizes::default().parties).await
        };
        tried += 1;
        match read.await {
            // A node that runs may be writing the last batch just now.
            Err(JournalError::Corrupt { .. }) if tried < OPENED_MAX => {}
            read => return read.with_context(|| format!("reading {}", path.display())),
        }
    }
}

/// Makes a model of what is known; `created` is until when, for its card.
pub fn learn(known: &Examples, created: &str) -> anyhow::Result<Artifact> {
    let example = |example: &tornello_actors::fraud::labels::Example| Example {
        case: example.case.get(),
        at_us: example.row.at_us,
        features: example.row.features.clone(),
        fraud: example.fraud,
        known_at_us: example.trains_at.as_micros(),
        settled: example.settled,
    };
    let by = |source: &str| known.labelled.iter().filter(|example| example.source.name() == source).count();
    let assessed = known.labelled.iter().filter(|example| example.assessed).count();
    let mut kinds = [("sale", 0), ("return", 0), ("count", 0), ("attempt", 0), ("hold", 0)];
    for example in &known.labelled {
        let place = match example.about {
            Subject::Sale(_) => 0,
            Subject::Return { .. } => 1,
            Subject::Till(_) => 2,
            Subject::Attempt(_) => 3,
            Subject::Hold(_) => 4,
        };
        kinds[place].1 += 1;
    }
    let about = [
        ("position", format!("batch {}", known.position)),
        ("rows_by_source", ["chargeback", "dispute", "verdict", "gate_refusal"].map(|source| format!("{source} {}", by(source))).join(", ")),
        ("rows_by_subject", kinds.map(|(kind, count)| format!("{kind} {count}")).join(", ")),
        ("rows_as_assessed", format!("{assessed} of {} are to the bit the features of the case's assessment", known.labelled.len())),
        (
            "left_out",
            format!(
                "{} cases of attempts, returns and counts that no model was asked about, {} of which it is too early, {} of nobody known",
                known.unscored, known.young, known.unheard
            ),
        ),
    ];
    let lessons = Lessons {
        labelled: known.labelled.iter().map(example).collect(),
        usual: known.usual.iter().map(|row| row.features.clone()).collect(),
        reference: known.reference()?,
        about: about.map(|(name, value)| (name.to_owned(), value)).to_vec(),
    };
    verdicts::train(&lessons, created)
}

/// Where the node of a data folder looks for a model that is registered under this name. The name is refused if anything stands there, or the folder uses it itself.
pub fn place(folder: &Path, name: Code) -> anyhow::Result<PathBuf> {
    if !Shelf::takes(name.as_str()) {
        bail!("the folder of models uses the name {name} itself: choose another one");
    }
    let place = Shelf::in_folder(folder).place(name.as_str());
    match std::fs::symlink_metadata(&place) {
        Ok(_) => bail!("{} exists already: choose another name", place.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("looking at {}", place.display())),
    }
    Ok(place)
}

/// Puts a model into its [`place`]; answers where that is. What stands there is not written over.
pub fn shelve(folder: &Path, name: Code, artifact: &Artifact) -> anyhow::Result<PathBuf> {
    let place = place(folder, name)?;
    Shelf::in_folder(folder).keep(name.as_str(), artifact).with_context(|| format!("writing the model {name}"))?;
    Ok(place)
}

/// Writes what is known as a table: for each row when it was, of which case, whether it was fraud, and the features. No pseudonym is in it.
pub fn write_rows(known: &Examples, out: &mut impl Write) -> std::io::Result<()> {
    write!(out, "time_s,case,source,label")?;
    feature_names().try_for_each(|name| write!(out, ",{name}"))?;
    writeln!(out)?;
    for example in &known.labelled {
        write!(out, "{},{},{},{}", example.row.at_us / 1_000_000, example.case, example.source.name(), u8::from(example.fraud))?;
        example.row.features.iter().try_for_each(|value| write!(out, ",{value}"))?;
        writeln!(out)?;
    }
    Ok(())
}
