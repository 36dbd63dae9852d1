//! Reporting flows and bank statements, kept: the files themselves, as they came, in `reconciliation/` of the data folder, named by their digest so that one that
//! comes twice is there once. What they say of payments is journaled with the payments; all else here can be read again from the files at any start.
//!
//! Matching is `fdr`'s. Everything that was read stays in memory: a year of flows is some tens of megabytes, and files that nobody asks about any more can be moved
//! away while the server does not run.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tornello_actors::digest::digest;
use tornello_actors::failure::Failure;
use tornello_actors::node::Node;
use tornello_actors::payments;
use tornello_engine::calendar;
use tornello_engine::envelope::Envelope;
use tornello_engine::ids::{KeyId, PaymentId};
use tornello_engine::notice::NoticeNumber;
use tornello_engine::payment::{Command, Receipt, Refusal, Source};

use super::fdr::{self, BankLine, Flow, Flows, Known, KnownReceipt, Taken};
use super::settings::{Creditor, Settings};
use crate::bank::camt::read_camt053;
use crate::bank::statement::{Direction, Entry, StatementError, read_csv};

/// How often a folder is looked through for new flows.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// The folder within the data folder.
const FOLDER: &str = "reconciliation";

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

#[derive(Debug, Default)]
struct Kept {
    flows: Flows,
    bank: BTreeMap<String, (BankLine, Entry)>,
}

/// All flows and statements that were taken in.
#[derive(Debug)]
pub struct Reconciliation {
    folder: PathBuf,
    kept: Mutex<Kept>,
}

impl Reconciliation {
    /// Reads what the data folder holds. A file that cannot be read any more is reported and passed over.
    ///
    /// # Errors
    /// If the folder cannot be made or listed.
    pub fn open(data: &Path) -> std::io::Result<Self> {
        let folder = data.join(FOLDER);
        std::fs::create_dir_all(&folder)?;
        let mut kept = Kept::default();
        let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
        files.sort();
        for path in files {
            let (name, bytes) = (path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned(), std::fs::read(&path)?);
            let read = match name.split('.').collect::<Vec<_>>()[..] {
                ["flow", _, revision, "xml"] => match revision.parse().ok().and_then(|revision| fdr::read(&bytes, revision).ok()) {
                    Some(flow) => {
                        kept.flows.take(flow);
                        true
                    }
                    None => false,
                },
                ["statement", digest, _] => statement(&bytes).map(|entries| kept.enter(digest, entries)).is_ok(),
                _ => true,
            };
            if !read {
                tracing::error!(file = name, "a flow or statement cannot be read any more");
            }
        }
        Ok(Self { folder, kept: Mutex::new(kept) })
    }

    /// Takes a flow in: keeps the file, tells the payments, and lets those be paid of which no receipt came. Doing it again changes nothing.
    ///
    /// # Errors
    /// See [`TakeError`]. After a failure of a payment the same flow is taken again.
    pub async fn take_flow(&self, node: &Arc<Node>, settings: &Settings, document: &[u8], revision: u32) -> Result<Done, TakeError> {
        let flow = fdr::read(document, revision).map_err(TakeError::Flow)?;
        let creditor = settings.creditor_of_code(&flow.receiver).ok_or_else(|| TakeError::Receiver(flow.receiver.clone()))?;
        let mut kept = self.kept.lock().await;
        self.keep(&format!("flow.{}.{revision}.xml", name_of(document)), document)?;
        let taken = kept.flows.take(flow.clone());
        let mut done = Done { taken, reported: 0, paid: 0 };
        if taken == Taken::Outdated || flow.reading().is_err() {
            return Ok(done);
        }
        for reported in &flow.payments {
            let Some(payment) = payment_of(creditor, &reported.iuv) else { continue };
            let (told, paid) = tell(node, &flow, reported, payment).await?;
            done.reported += u32::from(told);
            done.paid += u32::from(paid);
        }
        Ok(done)
    }

    /// Takes a statement of the bank in, CSV or camt.053; answers how many of its lines are new.
    ///
    /// # Errors
    /// See [`TakeError`].
    pub async fn take_statement(&self, file: &[u8]) -> Result<usize, TakeError> {
        let entries = statement(file).map_err(TakeError::Statement)?;
        let mut kept = self.kept.lock().await;
        let digest = name_of(file);
        let ending = if is_xml(file) { "xml" } else { "csv" };
        self.keep(&format!("statement.{digest}.{ending}"), file)?;
        Ok(kept.enter(&digest, entries))
    }

    /// What is kept: the flows that count, and the lines of the bank.
    pub async fn kept(&self) -> (Flows, Vec<BankLine>, Vec<Entry>) {
        let kept = self.kept.lock().await;
        (kept.flows.clone(), kept.bank.values().map(|(line, _)| line.clone()).collect(), kept.bank.values().map(|(_, entry)| entry.clone()).collect())
    }

    /// Takes every flow in that stands in a folder, again and again; what was taken goes to `done/` in it, what cannot be read to `refused/`. Runs until dropped.
    pub async fn follow(&self, node: &Arc<Node>, settings: &Settings, folder: &Path) {
        loop {
            if let Err(error) = self.sweep(node, settings, folder).await {
                tracing::error!(%error, folder = %folder.display(), "the folder of flows cannot be read");
            }
            tokio::time::sleep(SWEEP_EVERY).await;
        }
    }

    /// Takes the flows in that stand in a folder now; answers how many.
    ///
    /// # Errors
    /// If the folder cannot be read or changed.
    pub async fn sweep(&self, node: &Arc<Node>, settings: &Settings, folder: &Path) -> std::io::Result<usize> {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
        paths.retain(|path| path.is_file() && path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("xml")));
        paths.sort();
        let mut taken = 0;
        for path in paths {
            let to = match self.take_flow(node, settings, &std::fs::read(&path)?, 0).await {
                Ok(done) => {
                    tracing::info!(file = %path.display(), taken = ?done.taken, reported = done.reported, paid = done.paid, "a flow was taken in");
                    taken += 1;
                    "done"
                }
                // It is tried again.
                Err(error @ (TakeError::File(_) | TakeError::Payment(_))) => {
                    tracing::warn!(%error, file = %path.display(), "a flow cannot be taken in now");
                    continue;
                }
                Err(error) => {
                    tracing::error!(%error, file = %path.display(), "a flow is refused");
                    "refused"
                }
            };
            let (folder, Some(name)) = (folder.join(to), path.file_name()) else { continue };
            std::fs::create_dir_all(&folder)?;
            std::fs::rename(&path, folder.join(name))?;
        }
        Ok(taken)
    }

    /// Writes a file so that it is on the disk when this returns; one that is there stays.
    fn keep(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let path = self.folder.join(name);
        if path.exists() {
            return Ok(());
        }
        let unfinished = self.folder.join(format!("{name}.new"));
        let mut file = std::fs::File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, &path)?;
        std::fs::File::open(&self.folder)?.sync_all()
    }
}

impl Kept {
    /// A line is known by what the bank says of it, or else by its file and place in it; the same line in two statements counts once.
    fn enter(&mut self, digest: &str, entries: Vec<Entry>) -> usize {
        let mut new = 0;
        for entry in entries.into_iter().filter(|entry| entry.direction == Direction::Credit) {
            let id = entry.bank_reference.clone().unwrap_or_else(|| format!("{digest}:{}", entry.line));
            let line = BankLine { id: id.clone(), remittance: entry.remittance.clone(), amount: entry.amount };
            new += usize::from(self.bank.insert(id, (line, entry)).is_none());
        }
        new
    }
}

/// Tells a payment what a flow says of it; answers whether that was new, and whether it was paid by it.
async fn tell(node: &Arc<Node>, flow: &Flow, reported: &fdr::Reported, payment: PaymentId) -> Result<(bool, bool), Failure<Refusal>> {
    let (flow_id, iur, code) = (flow.id.clone(), reported.iur.clone(), code(reported.code));
    let index = u8::try_from(reported.index).unwrap_or(u8::MAX);
    let report = tornello_engine::payment::Reported { flow: flow_id, iur: iur.clone(), index, amount_cents: reported.amount, code };
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

/// Each is decided anew: the payment itself knows what it was told.
fn envelope() -> Envelope {
    let key = digest(&[b"report", &rand::random::<u128>().to_be_bytes()]);
    Envelope { who: KeyId::SYSTEM, key, body: key, parties: Vec::new(), assessment: None, order: None }
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
