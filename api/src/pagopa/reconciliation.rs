//! Reporting flows and bank statements, kept: the files themselves, as they came, in `reconciliation/` of the data folder, named by their digest so that one that
//! comes twice is there once. What they say of payments is journaled with the payments; all else here can be read again from the files at any start. A flow whose
//! payments are all told has a file `.told` beside it, with the number of the journal's last batch by then: the others are told again, and so are those of which a journal that
//! ends before that batch, as one that was put back from a backup, need not know.
//!
//! Statements name everybody who paid to the account. So each is erased some time after the last day that it is of, and a file `.lines` takes its place with what is held against flows:
//! the lines that quote one, without a word beside; also where no money comes over pagoPA any more. Flows name nobody.
//!
//! Whether all that fits is for `matching`. Everything that was read of flows stays in memory: a year of them is some tens of megabytes, and files that nobody asks about any more can be moved
//! away while the server does not run.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as StdMutex};
use std::time::{Duration, SystemTime};

use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tornello_actors::digest::digest;
use tornello_actors::failure::Failure;
use tornello_actors::journal::writer::Health;
use tornello_actors::node::Node;
use tornello_actors::payments;
use tornello_actors::people::RETENTION_S;
use tornello_actors::secret_file;
use tornello_engine::calendar;
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{KeyId, PaymentId};
use tornello_engine::money::Cents;
use tornello_engine::notice::NoticeNumber;
use tornello_engine::payment::{Command, Payment, Receipt, Refusal, Reported, Source};
use tornello_engine::time::DAY_S;

use super::fdr::{self, FLOW_MAX, Flow, Flows, Reading, Taken};
use super::matching::{BankLine, Known, KnownReceipt, quoting};
use super::settings::{Creditor, Settings};
use crate::bank::camt::read_camt053;
use crate::bank::statement::{Direction, Entry, StatementError, read_csv};

/// How often a folder is looked through for new flows, and how often it is seen whether another day has begun.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// The folder within the data folder.
const FOLDER: &str = "reconciliation";
/// How many days after the last one that it is of a statement is erased: as contacts are after a visit.
const STATEMENT_DAYS: i64 = RETENTION_S / DAY_S;

/// Why a file was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The flow cannot be read.
    #[error("the flow cannot be read: {0}")]
    Flow(super::xml::XmlError),
    /// The flow is for a creditor that is none of ours.
    #[error("the flow is for the creditor {0}, which is none of these settings")]
    Receiver(String),
    /// The statement cannot be read.
    #[error("the statement cannot be read: line {}: {}", .0.line, .0.fault)]
    Statement(StatementError),
    /// The file cannot be kept.
    #[error("the file cannot be kept: {0}")]
    File(#[from] std::io::Error),
    /// A payment cannot be told.
    #[error("a payment cannot be told now: {0}")]
    Payment(#[from] Failure<Refusal>),
}

/// What a flow did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// What became of the flow.
    pub taken: Taken,
    /// How many payments were told of it now.
    pub reported: u32,
    /// How many were paid by it, because no receipt had come.
    pub paid: u32,
}

/// What was read: the flows that count, and the lines of the bank. Whoever looks at it shares it; it is copied only if it changes meanwhile.
#[derive(Debug, Clone, Default)]
pub struct Papers {
    /// The flows that count.
    pub flows: Flows,
    /// By each flow that they may quote.
    lines: BTreeMap<String, Vec<BankLine>>,
    known: BTreeMap<Said, Alike>,
}

/// What every statement says of a line of money that came in, whatever form it has: the day, the amount, and the flow that it quotes, or else the digest of what the transfer says
/// without its blanks, which may name people. One form has the bank's words around the flow, and another has not.
type Said = (Date, Cents, String);

/// Lines of which the same is said.
#[derive(Debug, Clone, Default)]
struct Alike {
    /// How many there are.
    count: usize,
    /// The bank's references of them. Some forms have none; and a bank gives one reference to several transfers that it books together, of which other things are said.
    references: BTreeSet<String>,
}

/// A line that quotes a flow, of a statement that was erased.
#[derive(Debug, Serialize, Deserialize)]
struct Quoted {
    /// On which line of the statement it stood: that names it if the bank does not.
    line: u32,
    booked_on: Date,
    /// Below zero: it went out.
    amount_cents: Cents,
    remittance: String,
    bank_reference: Option<String>,
}

impl Quoted {
    /// None: it quotes no flow. Where it may be read in two ways the likelier one stays, by which the same line is known in another statement, and the other one if there is that flow:
    /// else it may be words of the bank, and somebody's name.
    fn of(entry: Entry, known: &BTreeSet<String>) -> Option<Self> {
        let Entry { line, booked_on, amount, direction, remittance, bank_reference, .. } = entry;
        let amount_cents = signed(amount, direction);
        let mut flows = BankLine { id: String::new(), remittance, amount: amount_cents }.flow_ids();
        let likelier = flows.first()?.clone();
        flows.retain(|flow| *flow == likelier || known.contains(flow));
        Some(Self { line, booked_on, amount_cents, remittance: quoting(&flows), bank_reference })
    }

    fn entry(self) -> Entry {
        let Self { line, booked_on, amount_cents, remittance, bank_reference } = self;
        let went = amount_cents < Cents::ZERO;
        let (amount, direction) = if went { (Cents::ZERO.minus(amount_cents), Direction::Debit) } else { (amount_cents, Direction::Credit) };
        Entry { line, account: None, booked_on, amount, direction, remittance, end_to_end_id: None, bank_reference, return_reason: None }
    }
}

/// The flows of which the payments are not all told yet, by the names of their files.
type Untold = BTreeMap<String, Left>;

/// What is left to tell of a flow.
#[derive(Debug, Clone)]
struct Left {
    flow: Arc<Flow>,
    /// The payments that could not be told when all were tried; none: all are to be.
    payments: Option<BTreeSet<PaymentId>>,
}

impl Left {
    const fn all(flow: Arc<Flow>) -> Self {
        Self { flow, payments: None }
    }
}

/// All flows and statements that were taken in.
#[derive(Debug)]
pub struct Reconciliation {
    folder: PathBuf,
    papers: StdMutex<Arc<Papers>>,
    untold: StdMutex<Untold>,
    /// Whoever takes something in, or tells of it.
    taking: Mutex<()>,
    /// The files of the folder that is followed, as they were when it was last looked through.
    seen: Mutex<BTreeMap<PathBuf, Look>>,
}

/// A file's length, and when it was last written to as its file system says: if both stay, nobody writes to it any more.
type Look = (u64, Option<SystemTime>);

impl Reconciliation {
    /// Reads what the data folder holds, beside a journal that has so many batches. A file that cannot be read any more is reported and passed over.
    ///
    /// # Errors
    /// If the folder cannot be made or listed, or a mark that is of another journal not be removed.
    pub fn open(data: &Path, batches: u64) -> std::io::Result<Self> {
        let folder = data.join(FOLDER);
        // They name who paid, and are on the disk only if it is.
        secret_file::make_folder(&folder)?;
        let (mut papers, mut untold) = (Papers::default(), Untold::new());
        for path in &files_of(&folder)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.ends_with(".new") {
                // Left half-written by a process that was killed: nobody would ever erase it.
                secret_file::remove(path)?;
                continue;
            }
            let read = || std::fs::read(path).ok();
            let is_read = match name.split('.').collect::<Vec<_>>()[..] {
                ["flow", _, revision, "xml"] => {
                    let revision = revision.parse().ok();
                    match revision.and_then(|revision| fdr::read(&read()?, revision).ok()) {
                        Some(flow) => {
                            let flow = Arc::new(flow);
                            papers.flows.take(Arc::clone(&flow));
                            let mark = told_mark(path);
                            if !is_told(&mark, batches) {
                                // Should the telling break off too, the journal may have grown as far again by the next start, and the mark would be believed.
                                secret_file::remove(&mark)?;
                                untold.insert(name.to_owned(), Left::all(flow));
                            }
                            true
                        }
                        None => false,
                    }
                }
                ["statement", digest, "lines"] => read()
                    .and_then(|bytes| serde_json::from_slice::<Vec<Quoted>>(&bytes).ok())
                    .map(|lines| papers.enter(digest, lines.into_iter().map(Quoted::entry).collect()))
                    .is_some(),
                ["statement", digest, _] => read().and_then(|bytes| statement(&bytes).ok()).map(|entries| papers.enter(digest, entries)).is_some(),
                _ => true,
            };
            if !is_read {
                tracing::error!(file = name, "a flow or statement cannot be read any more");
            }
        }
        Ok(Self { folder, papers: StdMutex::new(Arc::new(papers)), untold: StdMutex::new(untold), taking: Mutex::default(), seen: Mutex::default() })
    }

    /// What was kept while money came over pagoPA, as of [`Self::open`], for where none comes any more: statements that are due are erased there too. None: nothing was kept.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn left_in(data: &Path, batches: u64) -> std::io::Result<Option<Self>> {
        if data.join(FOLDER).is_dir() { Self::open(data, batches).map(Some) } else { Ok(None) }
    }

    /// Takes a flow in: keeps the file, tells the payments, and lets those be paid of which no receipt came. Doing it again changes nothing.
    ///
    /// # Errors
    /// See [`TakeError`]. After a failure of a payment the others are told by [`Self::follow`], or when the same flow is taken again.
    pub async fn take_flow(&self, node: &Arc<Node>, settings: &Settings, document: Vec<u8>, revision: u32) -> Result<Done, TakeError> {
        let read = move || {
            let flow = fdr::read(&document, revision).map_err(TakeError::Flow)?;
            Ok::<_, TakeError>((format!("flow.{}.{revision}.xml", name_of(&document)), document, Arc::new(flow)))
        };
        let (name, document, flow) = blocking(read).await??;
        let creditor = settings.creditor_of_code(&flow.receiver).ok_or_else(|| TakeError::Receiver(flow.receiver.clone()))?;
        let _taking = self.taking.lock().await;
        self.keep(name.clone(), document).await?;
        lock(&self.untold).entry(name.clone()).or_insert_with(|| Left::all(Arc::clone(&flow)));
        let taken = Arc::make_mut(&mut lock(&self.papers)).flows.take(Arc::clone(&flow));
        let (reported, paid) = self.tell(node, creditor, &name, &flow).await?;
        Ok(Done { taken, reported, paid })
    }

    /// Takes a statement of the bank in, CSV or camt.053; answers how many of its lines are new.
    ///
    /// # Errors
    /// See [`TakeError`].
    pub async fn take_statement(&self, file: Vec<u8>) -> Result<usize, TakeError> {
        let read = move || {
            let entries = statement(&file).map_err(TakeError::Statement)?;
            Ok::<_, TakeError>((name_of(&file), if is_xml(&file) { "xml" } else { "csv" }, file, entries))
        };
        let (digest, ending, file, entries) = blocking(read).await??;
        let _taking = self.taking.lock().await;
        self.keep(format!("statement.{digest}.{ending}"), file).await?;
        Ok(Arc::make_mut(&mut lock(&self.papers)).enter(&digest, entries))
    }

    /// Erases the statements of which the last day was more than 90 days before `today`, but for the lines that quote flows; answers how many. One that cannot be erased is reported, and
    /// keeps none of the others.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub async fn erase_due(&self, today: Date) -> std::io::Result<usize> {
        let (folder, papers) = (self.folder.clone(), self.papers());
        let look = move || {
            let known: BTreeSet<String> = papers.flows.iter().map(|flow| flow.id.clone()).collect();
            Ok::<_, std::io::Error>((files_of(&folder)?, known))
        };
        let (files, known) = blocking(look).await??;
        let (mut erased, known) = (0, Arc::new(known));
        for path in files {
            let _taking = self.taking.lock().await;
            let (statement, known) = (path.clone(), Arc::clone(&known));
            match blocking(move || erase_if_due(&statement, today, &known)).await? {
                Ok(is_erased) => erased += usize::from(is_erased),
                Err(error) => tracing::error!(%error, file = %path.display(), "a statement that is due cannot be erased"),
            }
        }
        Ok(erased)
    }

    /// As [`Self::erase_due`], by the node's clock; none: that may be wrong, and nothing is erased by it yet ([`Node::erases_by_date`]).
    ///
    /// # Errors
    /// As of [`Self::erase_due`].
    pub async fn erase_by_clock(&self, node: &Node) -> std::io::Result<Option<usize>> {
        if !node.erases_by_date() {
            return Ok(None);
        }
        self.erase_due(calendar::local_day(node.now())).await.map(Some)
    }

    /// Erases statements that are due, once a day, until dropped.
    pub async fn keep_erasing(&self, node: &Node) {
        let mut erased_on = None;
        loop {
            let today = calendar::local_day(node.now());
            if erased_on != Some(today) {
                let erased = self.erase_by_clock(node).await;
                if !matches!(erased, Ok(None)) {
                    erased_on = Some(today);
                }
                match erased {
                    Ok(None | Some(0)) => {}
                    Ok(Some(erased)) => tracing::info!(erased, "statements of the bank are erased, but for the lines that quote flows"),
                    Err(error) => tracing::error!(%error, "statements that are due were not erased"),
                }
            }
            tokio::time::sleep(SWEEP_EVERY).await;
        }
    }

    /// What was read so far.
    #[must_use]
    pub fn papers(&self) -> Arc<Papers> {
        Arc::clone(&lock(&self.papers))
    }

    /// Tells the payments of flows of which the telling broke off; then takes every flow in that stands in a folder, if there is one: what was taken goes to
    /// `done/` in it, what cannot be read to `refused/`. Again and again, until dropped.
    pub async fn follow(&self, node: &Arc<Node>, settings: &Settings, folder: Option<&Path>) {
        let mut is_unread = false;
        loop {
            self.tell_untold(node, settings).await;
            if let Some(folder) = folder {
                let swept = self.sweep(node, settings, folder).await;
                let (was_unread, shown) = (std::mem::replace(&mut is_unread, swept.is_err()), folder.display());
                match swept {
                    Ok(_) if was_unread => tracing::info!(folder = %shown, "the folder of flows can be read again"),
                    Err(error) if !was_unread => {
                        tracing::error!(%error, folder = %shown, "the folder of flows cannot be read; it is tried again and again");
                    }
                    _ => {}
                }
            }
            tokio::time::sleep(SWEEP_EVERY).await;
        }
    }

    /// Tells the payments of flows of which the telling broke off, as when the machine stopped. What they know already they are told to no effect.
    pub async fn tell_untold(&self, node: &Arc<Node>, settings: &Settings) {
        let untold: Vec<(String, Arc<Flow>)> = lock(&self.untold).iter().map(|(name, left)| (name.clone(), Arc::clone(&left.flow))).collect();
        for (name, flow) in untold {
            // The creditor may come back into the settings.
            let Some(creditor) = settings.creditor_of_code(&flow.receiver) else { continue };
            let _taking = self.taking.lock().await;
            match self.tell(node, creditor, &name, &flow).await {
                Ok((reported, paid)) => tracing::info!(file = name, reported, paid, "the payments of a flow are told"),
                Err(error) => tracing::warn!(%error, file = name, "the payments of a flow cannot be told now"),
            }
        }
    }

    /// Tells all payments of a flow, if it counts and is sound, and marks it as told if all could be; answers how many were told now, and how many were paid by it. If some could not be,
    /// these alone are told the next time: one that cannot be read for long has none of the others read back from the journal again and again.
    async fn tell(&self, node: &Arc<Node>, creditor: &Creditor, name: &str, flow: &Arc<Flow>) -> Result<(u32, u32), TakeError> {
        let (papers, asked) = (self.papers(), Arc::clone(flow));
        let read = move || {
            let reading = if papers.flows.iter().any(|there| *there == asked) { asked.reading().ok() } else { None };
            let mut not_said = if reading.is_some() { papers.flows.no_more_named(&asked) } else { Vec::new() };
            if reading == Some(Reading::Added) {
                not_said.extend(asked.payments.iter().filter(|line| line.code == fdr::Code::Revoked).map(fdr::Reported::collection));
            }
            (reading, not_said)
        };
        let (reading, not_said) = blocking(read).await?;
        let only = lock(&self.untold).get(name).and_then(|left| left.payments.clone());
        let (mut reported, mut paid, mut left, mut not_told) = (0, 0, None, BTreeSet::new());
        // Of what is taken back a payment is told that alone; and nothing where it was added to the total, so that it is not known whether the money went.
        let taken_back = flow.taken_back();
        let tells = |line: &&fdr::Reported| match line.code {
            fdr::Code::Revoked => reading == Some(Reading::Subtracted),
            _ => reading.is_some() && !taken_back.contains(&(line.iuv.as_str(), line.iur.as_str())),
        };
        let lines: Vec<&fdr::Reported> = flow.payments.iter().filter(tells).collect();
        let is_left = |payment: &PaymentId| only.as_ref().is_none_or(|only| only.contains(payment));
        for line in lines {
            let Some(payment) = payment_of(creditor, &line.iuv).filter(is_left) else { continue };
            match tell(node, flow, line, payment).await {
                Ok((is_told, is_paid)) => {
                    reported += u32::from(is_told);
                    paid += u32::from(is_paid);
                }
                Err(failure) => {
                    pass_over(node, payment, failure, &mut left)?;
                    not_told.insert(payment);
                }
            }
        }
        // What other issues said and this one does not, or not so that it counts.
        for (iuv, iur, index) in not_said {
            let Some(payment) = payment_of(creditor, &iuv) else { continue };
            match untell(node, flow, (iur, index), payment).await {
                Ok(is_told) => reported += u32::from(is_told),
                Err(failure) => pass_over(node, payment, failure, &mut left)?,
            }
        }
        if let Some(failure) = left {
            if let Some(left) = lock(&self.untold).get_mut(name) {
                left.payments = Some(not_told);
            }
            return Err(failure.into());
        }
        let mark = told_mark(&self.folder.join(name));
        let batches = node.head().number.to_string();
        blocking(move || secret_file::replace(&mark, batches.as_bytes())).await?.map_err(std::io::Error::from)?;
        lock(&self.untold).remove(name);
        Ok((reported, paid))
    }

    /// Takes the flows in that stand in a folder now and that nobody has written to since it was last looked through; answers how many. One that cannot be taken
    /// in keeps none of the others from it.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub async fn sweep(&self, node: &Arc<Node>, settings: &Settings, folder: &Path) -> std::io::Result<usize> {
        let mut seen = self.seen.lock().await;
        let listed = folder.to_owned();
        let looks = blocking(move || looks(&listed)).await??;
        let before = std::mem::replace(&mut *seen, looks);
        let mut taken = 0;
        for path in seen.iter().filter(|(path, look)| before.get(*path) == Some(*look)).map(|(path, _)| path) {
            match self.take_file(node, settings, folder, path).await {
                Ok(is_taken) => taken += usize::from(is_taken),
                Err(error) => tracing::error!(%error, file = %path.display(), "a flow cannot be read or moved away"),
            }
        }
        Ok(taken)
    }

    async fn take_file(&self, node: &Arc<Node>, settings: &Settings, folder: &Path, path: &Path) -> std::io::Result<bool> {
        let from = path.to_owned();
        let read = move || {
            let mut document = Vec::new();
            // One byte more than is taken: the reader says itself that it is too much.
            std::fs::File::open(from)?.take(FLOW_MAX as u64 + 1).read_to_end(&mut document)?;
            Ok::<_, std::io::Error>(document)
        };
        let document = blocking(read).await??;
        let to = match self.take_flow(node, settings, document, 0).await {
            Ok(done) => {
                tracing::info!(file = %path.display(), taken = ?done.taken, reported = done.reported, paid = done.paid, "a flow was taken in");
                "done"
            }
            // It is tried again.
            Err(error @ (TakeError::File(_) | TakeError::Payment(_))) => {
                tracing::warn!(%error, file = %path.display(), "a flow cannot be taken in now");
                return Ok(false);
            }
            Err(error) => {
                tracing::error!(%error, file = %path.display(), "a flow is refused");
                "refused"
            }
        };
        let (path, folder) = (path.to_owned(), folder.join(to));
        let put_away = move || {
            let Some(name) = path.file_name() else { return Ok(()) };
            std::fs::create_dir_all(&folder)?;
            std::fs::rename(&path, folder.join(name))
        };
        blocking(put_away).await??;
        Ok(to == "done")
    }

    /// Writes a file so that it is on the disk when this returns; one that is there stays.
    async fn keep(&self, name: String, bytes: Vec<u8>) -> std::io::Result<()> {
        let folder = self.folder.clone();
        let write = move || {
            let path = folder.join(&name);
            if path.exists() {
                return Ok(());
            }
            secret_file::replace(&path, &bytes)
        };
        Ok(blocking(write).await??)
    }
}

impl Papers {
    /// The lines of the bank that quote a flow.
    #[must_use]
    pub fn lines_of(&self, flow: &str) -> &[BankLine] {
        self.lines.get(flow).map_or(&[], Vec::as_slice)
    }

    /// The lines of money that came and quote a flow, each once, with the flows that it may be, the likelier first.
    pub fn lines(&self) -> impl Iterator<Item = (Vec<String>, &BankLine)> {
        let came = |line: &&BankLine| line.amount > Cents::ZERO;
        let all = self.lines.iter().flat_map(move |(flow, lines)| lines.iter().filter(came).map(move |line| (flow, line.flow_ids(), line)));
        all.filter(|(flow, flows, _)| flows.first() == Some(*flow)).map(|(_, flows, line)| (flows, line))
    }

    /// The same line in two statements counts once, as where one covers the days of the other, or is a table and the other is not. Two in one statement are two, unless they have
    /// the same reference; and so are two in two statements that have different ones. Of what went out only what quotes a flow is kept: by it a bank books its transfer back.
    fn enter(&mut self, digest: &str, entries: Vec<Entry>) -> usize {
        let (mut new, mut here) = (0, BTreeMap::<Said, Alike>::new());
        for entry in entries {
            let Entry { bank_reference, booked_on, amount, remittance, line, direction, .. } = entry;
            let id = bank_reference.clone().unwrap_or_else(|| format!("{digest}:{line}"));
            let amount = signed(amount, direction);
            let line = BankLine { id, remittance, amount };
            let flows = line.flow_ids();
            if direction == Direction::Debit && flows.is_empty() {
                continue;
            }
            let plain = || name_of(line.remittance.chars().filter(|c| !c.is_whitespace()).collect::<String>().as_bytes());
            let said: Said = (booked_on, amount, flows.first().cloned().unwrap_or_else(plain));
            let line = BankLine { remittance: quoting(&flows), ..line };
            let in_this = here.entry(said.clone()).or_default();
            if bank_reference.as_ref().is_some_and(|reference| !in_this.references.insert(reference.clone())) {
                continue;
            }
            in_this.count += 1;
            let known = self.known.entry(said).or_default();
            known.references.extend(bank_reference);
            // As many as one statement has, and as many as there are references: one more than before, or no more.
            let count = in_this.count.max(known.references.len());
            if count <= known.count {
                continue;
            }
            known.count = count;
            new += 1;
            for flow in flows {
                self.lines.entry(flow).or_default().push(line.clone());
            }
        }
        new
    }
}

/// The files of a folder, by their names.
fn files_of(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.sort();
    Ok(files)
}

/// Erases a file if it is a statement that is due; answers whether it was. What is left of it is on the disk before it goes. `known` are the names of flows that are here.
fn erase_if_due(path: &Path, today: Date, known: &BTreeSet<String>) -> std::io::Result<bool> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !matches!(name.split('.').collect::<Vec<_>>()[..], ["statement", _, "csv" | "xml"]) {
        return Ok(false);
    }
    // One that cannot be read any more is reported at each start: nobody knows of which days it is.
    let Ok(entries) = statement(&std::fs::read(path)?) else { return Ok(false) };
    // A day that is not yet, as of a year that somebody mistyped, keeps nothing longer.
    let last = entries.iter().map(|entry| entry.booked_on).filter(|day| *day <= today).max();
    if last.is_none_or(|last| last >= today.saturating_sub(STATEMENT_DAYS.days())) {
        return Ok(false);
    }
    let lines: Vec<Quoted> = entries.into_iter().filter_map(|entry| Quoted::of(entry, known)).collect();
    if !lines.is_empty() {
        secret_file::replace(&path.with_extension("lines"), &serde_json::to_vec(&lines)?)?;
    }
    secret_file::remove(path)?;
    Ok(true)
}

/// The files of a folder that may be flows.
fn looks(folder: &Path) -> std::io::Result<BTreeMap<PathBuf, Look>> {
    let mut looks = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        // What has gone meanwhile, or cannot be looked at, is passed over.
        let Some(found) = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file) else { continue };
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("xml")) {
            looks.insert(path, (found.len(), found.modified().ok()));
        }
    }
    Ok(looks)
}

/// The file that says that the payments of a flow are all told.
fn told_mark(flow: &Path) -> PathBuf {
    flow.with_extension("told")
}

/// Whether the payments of a flow are all told in a journal that has so many batches, by the file that says so: in one that had more then, they need not be. Earlier versions wrote
/// nothing of that.
fn is_told(mark: &Path, batches: u64) -> bool {
    std::fs::read_to_string(mark).is_ok_and(|then| then.trim().parse::<u64>().ok().is_none_or(|then| then <= batches))
}

/// Runs what waits for the disk, or computes for long, where nobody waits for it.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)
}

/// Nothing that is done under these locks can fail half-way.
fn lock<T>(mutex: &StdMutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Tells a payment what a flow says of it, and takes the money in if it has come; answers whether that was new, and whether it was paid by it.
async fn tell(node: &Arc<Node>, flow: &Flow, reported: &fdr::Reported, payment: PaymentId) -> Result<(bool, bool), Failure<Refusal>> {
    let (flow_id, iur, code) = (flow.id.clone(), reported.iur.clone(), code(reported.code));
    let index = u8::try_from(reported.index).unwrap_or(u8::MAX);
    let report = Reported { flow: flow_id, iur: iur.clone(), index, amount_cents: reported.amount, code };
    let told = match node.payment(payment, envelope(), Command::Report { reported: report }).await {
        Ok(_) => true,
        Err(Failure::Refused(Refusal::UnknownPayment)) => return Ok((false, false)),
        Err(Failure::Refused(_)) => false,
        Err(failure) => return Err(failure),
    };
    if reported.index != 1 || reported.code == fdr::Code::Revoked {
        return Ok((told, false));
    }
    // The receipt's id is the report's: one that comes later is known then.
    let receipt = Receipt {
        id: iur,
        source: Source::Report,
        amount_cents: reported.amount,
        paid_at: calendar::instant(reported.on.at(0, 0, 0, 0)),
        psp: flow.sender.clone(),
        channel: String::new(),
        method: String::new(),
        stand_in: matches!(reported.code, fdr::Code::StandIn | fdr::Code::StandInUnasked),
        fee_cents: None,
    };
    match payments::receive(node, payment, receipt).await {
        Ok(()) => Ok((told, true)),
        Err(Failure::Refused(_)) => Ok((told, false)),
        Err(failure) => Err(failure.map(|_| Refusal::UnknownPayment)),
    }
}

/// A payment that cannot be told keeps none of the others of its flow: the first of them is noted, and they are told again. A journal that does not write keeps all.
fn pass_over(node: &Node, payment: PaymentId, failure: Failure<Refusal>, left: &mut Option<Failure<Refusal>>) -> Result<(), Failure<Refusal>> {
    if node.health() != Health::Writing {
        return Err(failure);
    }
    tracing::warn!(%payment, %failure, "a payment cannot be told now what a flow says of it");
    left.get_or_insert(failure);
    Ok(())
}

/// Tells a payment that a flow which was issued anew says nothing of it any more, if it was told before that the flow does; answers whether it was.
async fn untell(node: &Node, flow: &Flow, (iur, index): (String, u64), payment: PaymentId) -> Result<bool, Failure<Refusal>> {
    let (of, index) = (flow.id.clone(), u8::try_from(index).unwrap_or(u8::MAX));
    let told = move |payment: &Payment| {
        let is_it = |known: &&Reported| known.flow == of && known.iur == iur && known.index == index && known.amount_cents > Cents::ZERO;
        payment.reports().iter().find(is_it).cloned()
    };
    let told = match node.look_payment(payment, told).await {
        Ok(Some(told)) => told,
        Ok(None) | Err(Failure::Refused(_)) => return Ok(false),
        Err(failure) => return Err(failure),
    };
    let reported = Reported { amount_cents: Cents::ZERO, ..told };
    match node.payment(payment, envelope(), Command::Report { reported }).await {
        Ok(_) => Ok(true),
        Err(Failure::Refused(_)) => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// Each is decided anew: the payment itself knows what it was told.
fn envelope() -> Envelope {
    let key = digest(&[b"report", &rand::random::<u128>().to_be_bytes()]);
    Envelope { who: KeyId::SYSTEM, key, body: key, parties: Vec::new(), assessment: None, order: None, formerly: Vec::new() }
}

/// Our payment of an IUV, if it could be one.
#[must_use]
pub fn payment_of(creditor: &Creditor, iuv: &str) -> Option<PaymentId> {
    creditor.payment(NoticeNumber::of_iuv(iuv)?)
}

/// What the read models know of the payments of a flow, by IUV. A payment without a receipt is among them only if `exists` says so.
#[must_use]
pub fn known(creditor: &Creditor, receipts: Vec<(PaymentId, KnownReceipt)>, existing: &[PaymentId]) -> BTreeMap<String, Known> {
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    for payment in existing {
        known.insert(creditor.notice(*payment).iuv(), Known { payment: *payment, receipts: Vec::new() });
    }
    for (payment, receipt) in receipts {
        let entry = known.entry(creditor.notice(payment).iuv());
        entry.or_insert_with(|| Known { payment, receipts: Vec::new() }).receipts.push(receipt);
    }
    known
}

const fn code(code: fdr::Code) -> u8 {
    match code {
        fdr::Code::Executed => 0,
        fdr::Code::Revoked => 3,
        fdr::Code::StandIn => 4,
        fdr::Code::StandInUnasked => 8,
        fdr::Code::Unasked => 9,
    }
}

/// What came, or below zero what went.
fn signed(amount: Cents, direction: Direction) -> Cents {
    match direction {
        Direction::Credit => amount,
        Direction::Debit => Cents::ZERO.minus(amount),
    }
}

fn is_xml(file: &[u8]) -> bool {
    let start = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    start.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<')
}

fn statement(file: &[u8]) -> Result<Vec<Entry>, StatementError> {
    if is_xml(file) { read_camt053(file) } else { read_csv(file) }
}

fn name_of(file: &[u8]) -> String {
    format!("{:032x}", { digest(&[file]).0 })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn what_banks_say_is_for_its_owner_alone_also_where_it_was_made_for_all() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join(FOLDER);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for name in ["flow.a.0.xml", "flow.b.0.xml"] {
            let kept = Reconciliation::open(data.path(), 0).unwrap();
            kept.keep(name.to_owned(), b"<a/>".to_vec()).await.unwrap();
            assert_eq!((mode(&folder), mode(&folder.join(name))), (0o700, 0o600), "{name}");
            std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2, "nothing half-written is left");
    }
}
