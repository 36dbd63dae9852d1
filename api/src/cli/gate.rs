//! `tornello gate`: a gate without a network. It works by a manifest (`/v1/museums/{museum}/manifest`), reads what the scanner types, and says what to do. What it
//! does is on the disk before it is said, in a file that can be sent to `/v1/admissions/batch` as it is. The verdicts are those of `engine::offline`.

use std::fs::File;
use std::io::{BufRead, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};
use tornello_actors::clock::RealClock;
use tornello_api::problem::Problem;
use tornello_api::routes::manifests::Manifest;
use tornello_api::routes::readings::MuseumName;
use tornello_api::routes::scans::ScanForm;
use tornello_engine::ids::{Code, MuseumId};
use tornello_engine::offline::{Noted, OfflineGate, Verdict};
use tornello_engine::slot::{Direction, Refusal};
use tornello_engine::time::{DAY_S, Timestamp};

/// A manifest older than this is spoken of at the start.
const OLD_S: i64 = DAY_S;
/// What every line of the file of scans begins with.
const BEGINNING: &[u8] = br#"{"scan":"#;

/// What stands under the options in the help.
const HOW: &str = "\
Lines on the standard input: what was scanned, a code or a ticket's id; before it `in` or `out` and a space, if the gate goes both ways. For each line one
line of JSON on the standard output. Send the file of scans to /v1/admissions/batch (as application/x-ndjson) when there is a network again, within seven
days; to send it twice does no harm.";

#[derive(Debug, clap::Args)]
#[command(after_help = HOW)]
pub(super) struct Arguments {
    /// What /v1/museums/{museum}/manifest answered
    #[arg(long, value_name = "FILE")]
    manifest: PathBuf,
    /// Where to write down who was let in and out; made if it is not there, taken up if it is
    #[arg(long, value_name = "FILE")]
    scans: PathBuf,
    /// The gate's name
    #[arg(long, value_name = "NAME", default_value = "offline")]
    gate: Code,
    /// Scans that do not say so are of people who leave
    #[arg(long)]
    out: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (museum, mut gate) = gate_of(&arguments.manifest)?;
    let mut scans = Scans::open(&arguments.scans, museum, &mut gate)?;
    super::aside(format_args!("{} tickets in the manifest, {} scans in {}", gate.tickets(), scans.written, arguments.scans.display()));
    let usual = if arguments.out { Direction::Out } else { Direction::In };
    let (mut input, mut output, mut line) = (std::io::stdin().lock(), std::io::stdout().lock(), Vec::new());
    while input.read_until(b'\n', &mut line).context("cannot read what was scanned")? > 0 {
        let text = String::from_utf8_lossy(&line);
        let (direction, text) = match text.trim().split_once(' ') {
            Some(("in", text)) => (Direction::In, text.trim()),
            Some(("out", text)) => (Direction::Out, text.trim()),
            _ => (usual, text.trim()),
        };
        if !text.is_empty() {
            let verdict = gate.judge(text, arguments.gate, direction, RealClock::wall());
            let number = verdict.noted().map(|noted| scans.write(&noted)).transpose()?;
            if let Some(noted) = verdict.noted() {
                gate.remember(&noted);
            }
            writeln!(output, "{}", said(verdict, number)).and_then(|()| output.flush()).context("cannot say the verdict")?;
        }
        line.clear();
    }
    Ok(())
}

fn gate_of(path: &Path) -> anyhow::Result<(MuseumId, OfflineGate)> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let manifest: Manifest = serde_json::from_slice(&bytes).with_context(|| format!("{} is no manifest", path.display()))?;
    let (museum, made_at) = (MuseumId(manifest.museum), manifest.made_at.clone());
    super::aside(format_args!("museum {}, {} to {}, made at {made_at}", museum.0, manifest.from, manifest.to));
    let gate = manifest.gate().with_context(|| format!("{} cannot be used", path.display()))?;
    if made_at.parse::<Timestamp>().is_ok_and(|made_at| RealClock::wall().micros_since(made_at) > OLD_S * 1_000_000) {
        super::aside("the manifest is more than a day old: what was cancelled or blocked since then is let in; fetch a new one");
    }
    Ok((museum, gate))
}

/// The file of scans: one on each line, flushed to the disk one by one.
struct Scans {
    file: File,
    path: PathBuf,
    museum: MuseumId,
    written: u64,
}

impl Scans {
    /// Opens the file for this process alone, and lets the gate remember what is in it. A last line that was cut off by a crash was not acted on: it goes. A file that is none of
    /// scans stays as it is.
    fn open(path: &Path, museum: MuseumId, gate: &mut OfflineGate) -> anyhow::Result<Self> {
        let named = || format!("cannot use {}", path.display());
        let mut file = File::options().read(true).append(true).create(true).open(path).with_context(named)?;
        file.try_lock().with_context(|| format!("another gate writes to {}: give each its own file", path.display()))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).with_context(named)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let no_scan = |line: u64| anyhow!("line {line} of {} is no scan: put the file aside and begin a new one", path.display());
        let mut written = 0;
        for line in text[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            written += 1;
            let form: Option<ScanForm> = serde_json::from_slice(line).ok();
            match form.as_ref().and_then(|form| Some((form.noted()?, &form.museum))) {
                Some((noted, MuseumName::Number(of))) if *of == museum.0 => gate.remember(&noted),
                Some(_) => bail!("line {written} of {} is of another museum than the manifest: begin a new file", path.display()),
                None => return Err(no_scan(written)),
            }
        }
        let torn = &text[whole..];
        if !torn.is_empty() {
            // Where no whole line says whose file this is, what is left of the first one does: a manifest that was named by mistake is not emptied.
            if written == 0 && !torn.starts_with(BEGINNING) && !BEGINNING.starts_with(torn) {
                return Err(no_scan(1));
            }
            super::aside(format_args!("the last line of {} was cut off: nobody was let in by it", path.display()));
            file.set_len(whole as u64).with_context(named)?;
        }
        // The file's name must survive a crash as well as what is in it.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        file.sync_all().and_then(|()| File::open(folder)?.sync_all()).with_context(named)?;
        Ok(Self { file, path: path.to_owned(), museum, written })
    }

    /// Writes a scan down, and answers its number when it is on the disk.
    fn write(&mut self, noted: &Noted) -> anyhow::Result<u64> {
        let number = self.written + 1;
        let mut line = serde_json::to_vec(&ScanForm::new(Some(number), self.museum, noted))?;
        line.push(b'\n');
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        written.with_context(|| format!("cannot write to {}: nobody is let in any more", self.path.display()))?;
        self.written = number;
        Ok(number)
    }
}

/// The verdict as a line of JSON; a refusal as the server says it.
fn said(verdict: Verdict, number: Option<u64>) -> Value {
    let refused = |problem: Problem| {
        let mut said = json!(problem.body());
        said["verdict"] = json!("refused");
        said
    };
    let mut said = match verdict {
        Verdict::Admitted { noted, entry, category, proof, listed } => json!({
            "verdict": "admitted", "ticket": noted.scan.ticket, "entry": entry, "category": category, "in_manifest": listed,
            "proof_it": proof.show_it(), "proof_en": proof.show_en(), "gate": noted.scan.gate, "at": noted.scan.scanned_at.to_string(),
        }),
        Verdict::Left { noted } => {
            json!({"verdict": "left", "ticket": noted.scan.ticket, "gate": noted.scan.gate, "at": noted.scan.scanned_at.to_string()})
        }
        Verdict::LeftUnseen { .. } => refused(Refusal::NotInside.into()),
        Verdict::Refused(refusal) => refused(refusal.into()),
        Verdict::BadCode(error) => refused(error.into()),
    };
    if let (Some(number), Some(said)) = (number, said.as_object_mut()) {
        said.insert("scan".to_owned(), json!(number));
    }
    said
}
