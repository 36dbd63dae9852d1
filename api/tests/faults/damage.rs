//! The journal's file cut at every byte of its last 4 KiB and changed in 1,000 places. A check finds it, or nothing that counts has changed, or only a tail is
//! gone, and then the head that was written down before says how much. A start does the same check. Most of it calls the check itself; some of it the binary. And every
//! file of a data folder changed and cut: the binary says what to do, or builds the file again, or sells on as if nothing had happened.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::StatusCode;
use tempfile::TempDir;
use tornello_actors::clock::ManualClock;
use tornello_actors::fraud::{SignalKind, signal_of};
use tornello_actors::journal::file::{FILE, FileJournal};
use tornello_actors::journal::{Batch, Journal, JournalError};
use tornello_actors::node::{Node, Settings};
use tornello_actors::start::check;
use tornello_actors::verify::{Departed, Exported, Verified, goes_on_from, verify};
use tornello_actors::views::Views;
use tornello_engine::calendar;
use tornello_engine::channel::Channel;
use tornello_engine::envelope::{Digest, Envelope, Party, PartyKind};
use tornello_engine::ids::{Code, HoldId, KeyId, MuseumId, RouteId, SlotId};
use tornello_engine::money::Cents;
use tornello_engine::museum::{self, Profile};
use tornello_engine::plan::{OpeningPlan, Route, Session};
use tornello_engine::slot::{CancelCause, Command, DeskMethod, Line, Policy, Settlement};
use tornello_engine::tariff::Proof;
use tornello_engine::text::Text;
use tornello_engine::time::Timestamp;

use crate::disk::sale;
use crate::server::{Server, charge_every_day, counters, key_of, serve, slots, tornello};

/// When a journal is filled.
const NOW: &str = "2026-11-23T08:30:00Z";
/// How many bytes are cut off, one more each time.
const CUT: u64 = 4_096;
/// How many bytes are changed, each alone.
const FLIPS: u64 = 1_000;
/// How many commands the journal is made of.
const COMMANDS: u64 = 150;
/// How many of the zeros behind the last batch are kept: of half a megabyte, a debug build reads slowly.
const ZEROS: u64 = 1_024;

/// A journal, sound to begin with.
struct Subject {
    folder: TempDir,
    bytes: Vec<u8>,
    /// Where its last batch ends; zeros follow.
    end: u64,
    sound: Verified,
    /// The hash of each batch, from the first on.
    hashes: Vec<[u8; 32]>,
}

impl Subject {
    async fn new() -> Self {
        let folder = place();
        fill(folder.path()).await;
        let path = folder.path().join(FILE);
        let journal = FileJournal::open(&path).await.unwrap();
        let sound = verify(&journal, false, |_| {}).await.unwrap();
        assert!(sound.checked.records > COMMANDS, "{sound:?}");
        let hashes = journal.batches(0, u32::MAX).await.unwrap().iter().map(Batch::hash).collect();
        let mut bytes = std::fs::read(path).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
        assert!(end > 2 * CUT && bytes.len() as u64 > end + ZEROS, "the journal has {end} bytes");
        bytes.truncate((end + ZEROS) as usize);
        Self { folder, bytes, end, sound, hashes }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    fn head(&self) -> Exported {
        Exported::from(&self.sound.checked.head)
    }

    /// The file with that many bytes, and one of them changed.
    fn write(&self, length: u64, flip: Option<(u64, u8)>) {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(self.path()).unwrap();
        let kept = &self.bytes[..length as usize];
        file.write_all_at(kept, 0).unwrap();
        file.set_len(length).unwrap();
        if let Some((at, bit)) = flip {
            file.write_all_at(&[kept[at as usize] ^ bit], at).unwrap();
        }
    }

    /// What is left, by a check that repairs nothing and, if that finds the end torn, by one that cuts it off, as a start does. None: damage, for which nothing
    /// was changed. What is left is the journal up to some batch: its head is in the chain, and nothing is missing without the old head saying so.
    async fn left(&self, states: &mut BTreeMap<u64, [u8; 32]>) -> Option<u64> {
        let before = std::fs::metadata(self.path()).unwrap().len();
        let mut journal = self.open().await;
        let mut checked = check(&journal, None, |_| Ok(()), |_| {}).await;
        if matches!(checked, Err(JournalError::Corrupt { .. })) {
            journal = self.open().await;
            checked = check(&journal, Some(0), |_| Ok(()), |_| {}).await;
        }
        let checked = match checked {
            Ok(checked) => checked,
            Err(JournalError::Corrupt { .. }) => {
                assert_eq!(std::fs::metadata(self.path()).unwrap().len(), before, "damage was not left alone");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        let (last, whole) = (checked.head.number, self.sound.checked.head.number);
        assert!(last == 0 || checked.head.hash == self.hashes[last as usize - 1], "batch {last} is another one");
        // Equal heads have equal batches before them: the state is worked out where nothing was cut off, and once for each head.
        if checked.cut.is_none() || !states.contains_key(&last) {
            let state = verify(&self.open().await, false, |_| {}).await.unwrap().state_hash;
            assert_eq!(states.entry(last).or_insert(state), &state, "two states at batch {last}");
        }
        let compared = goes_on_from(&journal, &checked, &self.head()).await;
        assert_eq!(compared, if last == whole { Ok(()) } else { Err(Departed::Short { last, expected: whole }) });
        Some(last)
    }

    async fn open(&self) -> FileJournal {
        FileJournal::open(&self.path()).await.unwrap()
    }

    fn states(&self) -> BTreeMap<u64, [u8; 32]> {
        BTreeMap::from([(self.sound.checked.head.number, self.sound.state_hash)])
    }
}

#[actix_web::test]
async fn every_cut_of_the_end_takes_whole_batches_and_the_old_head_says_how_many() {
    let subject = Subject::new().await;
    let mut states = subject.states();
    let whole = subject.sound.checked.head.number;
    for length in [subject.bytes.len() as u64, subject.bytes.len() as u64 - 1, subject.end + 1] {
        subject.write(length, None);
        assert_eq!(subject.left(&mut states).await, Some(whole), "zeros at the end are nothing");
    }
    let mut last = whole;
    for cut in 1..=CUT {
        subject.write(subject.end - cut, None);
        let left = subject.left(&mut states).await.unwrap_or_else(|| panic!("{cut} bytes cut off are taken for damage in the middle"));
        assert!(left == last || left + 1 == last, "{cut} bytes cut off: {left} batches are left after {last}");
        last = left;
    }
    assert!(whole - last > 2, "{last} of {whole} batches");
}

#[actix_web::test]
async fn every_changed_byte_is_found_or_changes_nothing_or_costs_the_last_batch_only() {
    let subject = Subject::new().await;
    let mut states = subject.states();
    let whole = subject.sound.checked.head.number;
    let (mut found, mut harmless, mut tail) = (0, 0, 0);
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..FLIPS {
        // Xorshift of 64 bits.
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        // Now and then in the zeros that follow.
        let flip = (chance % (subject.end + 512), 1 << (chance >> 61));
        subject.write(subject.bytes.len() as u64, Some(flip));
        match subject.left(&mut states).await {
            None => found += 1,
            Some(left) if left == whole => harmless += 1,
            Some(left) => {
                assert_eq!(left + 1, whole, "byte {}: more than the last batch is gone", flip.0);
                tail += 1;
            }
        }
    }
    println!("of {FLIPS} changed bytes {found} are damage, {harmless} change nothing, {tail} cost the last batch");
    assert!(found > FLIPS / 2 && tail > 0, "{found} {harmless} {tail}");
}

/// What the binary says of a folder, and with which code it ends.
fn verified(data: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = tornello().arg("verify").args(arguments).arg("--data").arg(data).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
}

fn says((code, said): (Option<i32>, String), expected: Option<i32>, words: &str) {
    assert!(code == expected && said.contains(words), "{code:?} {said}");
}

/// A sound journal in which somebody wrote an assessment as it cannot have been made.
#[actix_web::test]
async fn the_binary_works_assessments_out_again_and_finds_one_that_is_not_what_follows() {
    let folder = place();
    fill(folder.path()).await;
    let verify = |arguments: &[&str]| verified(folder.path(), arguments);
    let line = |name: &str, count: u64| format!("{name:<8} {count:>11}\n");
    says(verify(&["--assessments"]), Some(0), &(line("assessed", COMMANDS / 5) + &line("same", COMMANDS / 5)));
    says(verify(&["--assessments"]), Some(0), &line("differ", 0));
    says(verify(&["--assessments", "--case", "0000000000001"]), Some(1), "there is no case 0000000000001 in this journal");
    says(verify(&["--case", "0000000000001"]), Some(2), "--assessments");

    let running = Node::start(&Settings::new(folder.path()), Arc::new(ManualClock::new(NOW.parse().unwrap())), |_| {}).await.unwrap();
    let (node, slot) = (running.node(), slot_at(9));
    let lines = vec![Line { category: "full".parse().unwrap(), count: 1, price_cents: Cents::new(1_200), proof: Proof::None }];
    let mut envelope = assessed(node, HoldId::new(slot, 5_000), &lines, envelope(5_000));
    envelope.assessment.as_mut().unwrap().score = 77;
    let hold = Command::Hold { hold: HoldId::new(slot, 5_000), channel: Channel::Web, lines };
    node.slot(slot, envelope, hold).await.unwrap();
    running.stop().await;
    says(verify(&[]), Some(0), "the journal is sound");
    says(verify(&["--assessments"]), Some(1), "  score is 0, and was 77\n");
    says(verify(&["--assessments"]), Some(1), &format!("1 of {} assessments are not what follows from the journal", COMMANDS / 5 + 1));
}

#[actix_web::test]
async fn the_binary_says_so_too() {
    let subject = Subject::new().await;
    let head = subject.head().to_string();
    let verify = |arguments: &[&str]| verified(subject.folder.path(), arguments);
    says(verify(&[]), Some(0), &format!("head     {head}\n"));
    says(verify(&["--head", &head]), Some(0), "it goes on from the head");
    says(verify(&["--head", "12:beef"]), Some(2), "64 hexadecimal digits are expected");
    let other = format!("{}:{}", subject.head().number - 1, &head.split_once(':').unwrap().1);
    says(verify(&["--head", &other]), Some(1), "is another one than that of the head");

    subject.write(subject.end - 1, None);
    says(verify(&["--head", &head]), Some(1), "--cut-torn-tail");
    says(verify(&["--head", &head, "--cut-torn-tail"]), Some(1), &format!("1 of the {} batches up to that head are missing", subject.head().number));
    // Now it ends where a batch ends, and is sound by itself.
    let left = std::fs::metadata(subject.path()).unwrap().len();
    says(verify(&[]), Some(0), "the journal is sound");
    says(verify(&["--head", &head]), Some(1), "are missing");
    // The lists know what is missing too.
    let refused = refuses(subject.folder.path());
    let number = subject.head().number;
    assert!(refused.contains(&format!("does not hold batch {number} ")) && refused.contains("--accept-loss"), "{refused}");
    assert_eq!(std::fs::metadata(subject.path()).unwrap().len(), left, "nothing was changed");

    subject.write(subject.bytes.len() as u64, Some((subject.end / 2, 4)));
    says(verify(&["--cut-torn-tail"]), Some(1), "put a backup in its place");
    assert!(refuses(subject.folder.path()).contains("put a backup in its place"));
    assert_eq!(std::fs::read(subject.path()).unwrap().len(), subject.bytes.len(), "nothing was changed");

    // A bit of the last batch, that lists were built from: no crash tore it, so it is not cut off unless somebody says so.
    subject.write(subject.bytes.len() as u64, Some((subject.end - 1, 4)));
    assert!(refuses(subject.folder.path()).contains("--accept-loss"));
    assert_eq!(std::fs::read(subject.path()).unwrap().len(), subject.bytes.len(), "nothing was changed");
    let mut accepted = tornello();
    accepted.args(["serve", "--listen", "127.0.0.1:0", "--accept-clock", "--accept-loss", "--data"]).arg(subject.folder.path());
    let server = Server::run(accepted).unwrap_or_else(|(status, log)| panic!("{status}:\n{log}"));
    assert!(server.stop().success());
}

/// It is read from its beginning while the server goes on: zeros were read where there is a batch by the time at which the next ones are read.
#[actix_web::test]
async fn a_copy_that_was_made_while_the_server_wrote_ends_before_its_zeros_if_that_is_said() {
    let (subject, copies) = (Subject::new().await, tempfile::tempdir().unwrap());
    let begins: Vec<usize> = subject.bytes.windows(8).enumerate().filter(|(_, seen)| *seen == b"\xfftrnlo\x01\n").map(|(at, _)| at).collect();
    let [.., last_read, next, _] = begins[..] else { panic!("too few batches: {begins:?}") };
    let mut bytes = subject.bytes.clone();
    bytes[last_read..next + 50].fill(0);
    std::fs::write(copies.path().join(FILE), &bytes).unwrap();
    let verify = |arguments: &[&str]| verified(copies.path(), arguments);
    says(verify(&[]), Some(1), "--cut-torn-tail lets it end there");
    assert!(std::fs::read(copies.path().join(FILE)).unwrap() == bytes, "nothing was changed");
    let number = subject.head().number;
    says(verify(&["--cut-torn-tail"]), Some(0), &format!("batches {} to {number} were cut off", number - 2));
    says(verify(&[]), Some(0), "the journal is sound");
    says(verify(&["--head", &subject.head().to_string()]), Some(1), &format!("3 of the {number} batches up to that head are missing"));
}

#[actix_web::test]
async fn lists_are_built_again_with_nothing_else_done() {
    let subject = Subject::new().await;
    let place = tempfile::tempdir().unwrap();
    let journal = place.path().join(FILE);
    std::fs::copy(subject.path(), &journal).unwrap();
    let rebuild = || {
        let output = tornello().args(["views", "rebuild", "--data"]).arg(place.path()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
    };
    let before = std::fs::read(&journal).unwrap();
    let (code, said) = rebuild();
    assert!(code == Some(0) && said.contains(&format!("show all {} batches", subject.head().number)), "{said}");
    assert!(std::fs::read(&journal).unwrap() == before, "something went on by itself");
    let mut names: Vec<_> = std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with("views.db-"));
    names.sort();
    assert_eq!(names, [FILE, "lock", "views.boot", "views.db"], "a node was started");

    // A journal that is not sound leaves the lists alone.
    std::fs::write(&journal, &before[..subject.end as usize - 1]).unwrap();
    let number = subject.head().number;
    let built_up_to = async || {
        let views = Views::open(&place.path().join("views.db")).await.unwrap();
        let positions = views.positions().await.unwrap();
        views.close().await;
        positions[0].0
    };
    let (code, said) = rebuild();
    assert!(code == Some(1) && said.contains("the read models are as they were"), "{said}");
    assert_eq!(built_up_to().await, number);

    // Nor does one that has lost its last batch: the lists may be all that knows of it.
    let last = before.windows(8).rposition(|seen| seen == b"\xfftrnlo\x01\n").unwrap();
    std::fs::write(&journal, &before[..last]).unwrap();
    let (code, said) = rebuild();
    assert!(code == Some(1) && said.contains(&format!("does not hold batch {number} ")), "{said}");
    assert_eq!(built_up_to().await, number);
}

#[actix_web::test]
async fn a_bit_that_flips_in_the_lists_is_found_when_they_are_held_against_the_journal() {
    let subject = Subject::new().await;
    let run = |arguments: &[&str]| {
        let output = tornello().args(arguments).arg("--data").arg(subject.folder.path()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = run(&["verify", "--lists"]);
    assert!(code == Some(0) && said.contains("the lists show what the journal says"), "{said}");
    // Tickets of the category `full` that were cancelled, as their rows have it, and no index. All of them: some may be what an older row has left.
    let path = subject.folder.path().join("views.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let found: Vec<usize> = bytes.windows(13).enumerate().filter(|(_, seen)| *seen == b"fullcancelled").map(|(at, _)| at).collect();
    assert!(!found.is_empty(), "tickets were cancelled");
    found.iter().for_each(|at| bytes[at + 4] ^= 1);
    std::fs::write(&path, bytes).unwrap();
    let (code, said) = run(&["verify", "--lists"]);
    assert!(code == Some(1) && said.contains("table ticket: ") && said.contains("bancelled"), "{said}");
    assert!(said.contains("the journal is sound") && said.contains("tornello views rebuild"), "{said}");
    assert_eq!(run(&["verify"]).0, Some(0), "the journal is asked alone unless lists are named");
    let (code, said) = run(&["views", "rebuild"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(&["verify", "--lists"]);
    assert!(code == Some(0) && said.contains("the lists show what the journal says"), "{said}");
}

/// How many damaged folders are tried at once.
const AT_ONCE: usize = 4;
/// One of these stands in whatever a refused start says: what to do.
const REMEDIES: [&str; 5] = ["put ", "Put ", "delete ", "--accept-loss", "run `"];
/// Of these files more places are changed.
const THOROUGHLY: [&str; 5] = ["views.db", "views.db-wal", "keys.db", "people.db", "people-keys.db"];

/// In memory, where there is such a folder: what is tested is not the disk.
fn place() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// The files of a folder and of those in it, by their paths from there.
fn files_of(folder: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(inner) = folders.pop() {
        for entry in std::fs::read_dir(folder.join(&inner)).unwrap() {
            let entry = entry.unwrap();
            let path = inner.join(entry.file_name());
            let list = if entry.file_type().unwrap().is_dir() { &mut folders } else { &mut files };
            list.push(path);
        }
    }
    files.sort();
    files
}

/// What is done to a file.
#[derive(Debug, Clone, Copy)]
enum Harm {
    /// A bit of the byte there is changed.
    Flip(u64),
    /// Only so many bytes are left.
    Cut(u64),
}

impl Harm {
    fn of(file: &Path, length: u64) -> Vec<Self> {
        let mut harms = vec![Self::Flip(length * 3 / 7), Self::Cut(length / 2)];
        if THOROUGHLY.iter().any(|name| Path::new(name) == file) {
            harms.extend([Self::Flip(21), Self::Flip(length / 5), Self::Flip(length * 6 / 7)]);
        }
        harms
    }

    fn be_done_to(self, file: &Path) {
        let mut bytes = std::fs::read(file).unwrap();
        match self {
            Self::Flip(at) => bytes[at as usize] ^= 4,
            Self::Cut(length) => bytes.truncate(length as usize),
        }
        std::fs::write(file, bytes).unwrap();
    }
}

/// A folder that was used, and left by a process that was killed.
struct Used {
    folder: TempDir,
    key: String,
    slot: String,
    sold: u64,
    head: String,
}

impl Used {
    async fn new() -> Self {
        let folder = place();
        let mut server = Server::start(folder.path());
        let [key, manager] = ["box_office", "manager"].map(|role| key_of(folder.path(), role));
        charge_every_day(&server, &manager).await;
        let slot = slots(&server, &key, 3..4).await.swap_remove(12)["slot"].as_str().unwrap().to_owned();
        for n in 0..4 {
            if n == 3 {
                // What this one has saved when it stops is what the next one starts from.
                assert!(server.stop().success());
                server = Server::start(folder.path());
            }
            server.post(&format!("/v1/slots/{slot}/sales"), &key, &format!("before-{n}"), &sale(n == 0)).await.expect(StatusCode::CREATED);
        }
        let listed = async { while server.get("/status", &key).await.expect(StatusCode::OK)["views_lag_batches"] != 0 {} };
        tokio::time::timeout(Duration::from_secs(30), listed).await.expect("the lists come to the end");
        server.kill();
        let output = tornello().args(["verify", "--cut-torn-tail", "--data"]).arg(folder.path()).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let head = said.lines().find_map(|line| line.strip_prefix("head")).expect("the head of a sound journal").trim().to_owned();
        Self { folder, key, slot, sold: 4, head }
    }

    /// What becomes of a copy with one file harmed; whether it starts.
    async fn is_started(&self, file: &Path, harm: Harm) -> bool {
        let copy = place();
        for path in files_of(self.folder.path()) {
            let to = copy.path().join(&path);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(self.folder.path().join(&path), to).unwrap();
        }
        harm.be_done_to(&copy.path().join(file));
        let what = format!("{harm:?} of {}", file.display());
        let mut command = tornello();
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(copy.path());
        let server = match Server::run(command) {
            Ok(server) => server,
            Err((status, log)) => {
                let said = log.lines().last().unwrap_or_default();
                assert!(status.code() == Some(1) && said.starts_with("error: "), "{what}: {status}:\n{log}");
                assert!(REMEDIES.iter().any(|remedy| said.contains(remedy)), "{what}: it does not say what to do: {said}");
                return false;
            }
        };
        let path = format!("/v1/slots/{}/sales", self.slot);
        let sold = server.post(&path, &self.key, "after", &sale(false)).await;
        if sold.status == StatusCode::UNAUTHORIZED {
            // A key that is not what it was lets nobody in.
            assert!(file.starts_with("keys.db") || file.starts_with("keys.db-wal"), "{what}: {sold:?}");
        } else {
            assert_eq!(sold.status, StatusCode::CREATED, "{what}: {sold:?}");
            assert_eq!(counters(&server, &self.key, &self.slot).await, [self.sold + 1, 0, 0], "{what}");
        }
        assert!(server.stop().success(), "{what}");
        let output = tornello().args(["verify", "--head", &self.head, "--data"]).arg(copy.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("it goes on from the head"), "{what}: {said}");
        true
    }
}

#[test]
fn every_file_changed_or_cut_is_told_of_or_built_again_or_does_not_count() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let used = runtime().block_on(Used::new());
    let with_length = |file: PathBuf| {
        let length = std::fs::metadata(used.folder.path().join(&file)).unwrap().len();
        (file, length)
    };
    let files: Vec<(PathBuf, u64)> = files_of(used.folder.path()).into_iter().map(with_length).collect();
    for name in ["journal.log", "views.db", "views.db-wal", "views.boot", "keys.db", "people.db", "people-keys.db", "signing.keys", "master.key"] {
        assert!(files.iter().any(|(file, length)| file == Path::new(name) && *length > 0), "{name} is not among {files:?}");
    }
    let harms: Vec<(&Path, Harm)> = files
        .iter()
        .filter(|(_, length)| *length > 0)
        .flat_map(|(file, length)| Harm::of(file, *length).into_iter().map(move |harm| (file.as_path(), harm)))
        .collect();
    let (next, started) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        let runtime = runtime();
        while let Some((file, harm)) = harms.get(next.fetch_add(1, Ordering::Relaxed)) {
            started.fetch_add(usize::from(runtime.block_on(used.is_started(file, *harm))), Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    let started = started.into_inner();
    println!("of {} folders with a harmed file {started} start", harms.len());
    // The journal and the keys allow none, and what is built from the journal does.
    assert!(started >= harms.len() / 3 && started < harms.len() - 4, "{started} of {}", harms.len());
}

/// A museum, and slots where places are held, sold, released, cancelled and let in; each command is a batch.
async fn fill(data: &Path) {
    let now: Timestamp = NOW.parse().unwrap();
    let running = Node::start(&Settings::new(data), Arc::new(ManualClock::new(now)), |_| {}).await.unwrap();
    let (node, museum, today) = (running.node(), MuseumId(1), calendar::local_day(now));
    let code = |text: &str| text.parse::<Code>().unwrap();
    let at = |hour: i8| jiff::civil::time(hour, 0, 0, 0);
    let session = Session { opens: at(9), closes: at(19), slot_minutes: 60, last_entry: at(18), capacity: 20, quotas: Default::default() };
    let (week, name) = (std::array::from_fn(|_| vec![session.clone()]), Text::new("Percorso", "Route"));
    let route = Route { id: RouteId(1), code: code("main"), name, week, exceptions: Vec::new(), policy: Policy::default() };
    let (name, city, region) = ("Torre".to_owned(), "Parma".to_owned(), "Emilia-Romagna".to_owned());
    let profile = Profile { slug: code("torre"), name, city, region, latitude_microdeg: 44_655_000, longitude_microdeg: 10_275_000, patron: None };
    let of_museum =
        [museum::Command::Register { profile }, museum::Command::SetPlan { valid_from: today, plan: OpeningPlan { routes: vec![route] } }];
    for (n, command) in (0..).zip(of_museum) {
        node.museum(museum, envelope(n), command).await.unwrap();
    }
    for n in 10..10 + COMMANDS {
        let slot = slot_at(9 + (n / 5 % 10) as i8);
        let (first, lines) =
            (HoldId::new(slot, n / 5), vec![Line { category: code("full"), count: 2, price_cents: Cents::new(1_200), proof: Proof::None }]);
        // What is held over the web is assessed, as a shop's request is.
        let envelope = if n % 5 == 3 { assessed(node, HoldId::new(slot, n), &lines, envelope(n)) } else { envelope(n) };
        let command = match n % 5 {
            0 => Command::Hold { hold: first, channel: Channel::Kiosk, lines },
            1 => {
                let settlement = Settlement::Desk { till: code("till-1"), method: DeskMethod::Card, reference: format!("R-{n}") };
                Command::Sell { hold: first, owner: None, settlement, contact: None }
            }
            2 => Command::Cancel { sale: first, owner: None, tickets: vec![0], cause: CancelCause::Visitor },
            3 => Command::Hold { hold: HoldId::new(slot, n), channel: Channel::Web, lines },
            _ => Command::Release { hold: HoldId::new(slot, n - 1), owner: None },
        };
        node.slot(slot, envelope, command).await.unwrap();
    }
    running.stop().await;
}

fn envelope(n: u64) -> Envelope {
    let digest = Digest(n.into());
    Envelope { who: KeyId(1), key: digest, body: digest, parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() }
}

/// A slot of the day after, of the first museum.
fn slot_at(hour: i8) -> SlotId {
    let tomorrow = calendar::local_day(NOW.parse().unwrap()).tomorrow().unwrap();
    SlotId::new(MuseumId(1), RouteId(1), calendar::instant(tomorrow.to_datetime(jiff::civil::time(hour, 0, 0, 0))))
}

/// What is said of somebody who would hold places over the web.
fn assessed(node: &Node, hold: HoldId, lines: &[Line], envelope: Envelope) -> Envelope {
    let buyer = Party { kind: PartyKind::Buyer, pseudonym: Digest(hold.get()) };
    let envelope = Envelope { parties: vec![buyer], ..envelope };
    let signal = signal_of(node.now(), SignalKind::Held, Channel::Web, hold, lines, &envelope);
    Envelope { assessment: Some(Box::new(node.scoring().assess(&signal))), ..envelope }
}

/// A server that must not start; what it says.
fn refuses(data: &Path) -> String {
    let mut command = serve(tornello(), data);
    command.arg("--accept-clock");
    let (status, log) = Server::run(command).err().expect("a damaged journal allows no start");
    assert_eq!(status.code(), Some(1), "{log}");
    log
}
