//! Why the station says no: the fault codes of a creditor's answers (SANP 3.12, codes `PAA_*`), each with the sentence that goes with it.

/// What stands in a fault bean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request is not of the form it must have.
    Syntax,
    /// The creditor is none of ours.
    Creditor,
    /// The broker is not ours.
    Broker,
    /// The station is not this one.
    Station,
    /// The notice is unknown, not published yet, or another way to pay was chosen.
    Unknown,
    /// It is paid.
    Paid,
    /// It can be paid no more.
    Expired,
    /// It was withdrawn.
    Cancelled,
    /// Another attempt is under way, which only we know.
    UnderWay,
    /// The receipt was taken before.
    ReceiptKnown,
    /// Well-formed, and cannot be.
    Semantics,
    /// Our own fault: it may be tried again.
    System,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Syntax,
        Self::Creditor,
        Self::Broker,
        Self::Station,
        Self::Unknown,
        Self::Paid,
        Self::Expired,
        Self::Cancelled,
        Self::UnderWay,
        Self::ReceiptKnown,
        Self::Semantics,
        Self::System,
    ];

    /// The code, which never changes.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Syntax => "PAA_SINTASSI_EXTRAXSD",
            Self::Creditor => "PAA_ID_DOMINIO_ERRATO",
            Self::Broker => "PAA_ID_INTERMEDIARIO_ERRATO",
            Self::Station => "PAA_STAZIONE_INT_ERRATA",
            Self::Unknown => "PAA_PAGAMENTO_SCONOSCIUTO",
            Self::Paid => "PAA_PAGAMENTO_DUPLICATO",
            Self::Expired => "PAA_PAGAMENTO_SCADUTO",
            Self::Cancelled => "PAA_PAGAMENTO_ANNULLATO",
            Self::UnderWay => "PAA_PAGAMENTO_IN_CORSO",
            Self::ReceiptKnown => "PAA_RECEIPT_DUPLICATA",
            Self::Semantics => "PAA_SEMANTICA",
            Self::System => "PAA_SYSTEM_ERROR",
        }
    }

    /// What it means.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Syntax => "La richiesta non ha la forma prevista",
            Self::Creditor => "L'ente creditore non è servito da questa stazione",
            Self::Broker => "L'intermediario non è quello di questa stazione",
            Self::Station => "La stazione non è questa",
            Self::Unknown => "L'avviso non risulta all'ente creditore",
            Self::Paid => "L'avviso risulta già pagato",
            Self::Expired => "L'avviso è scaduto",
            Self::Cancelled => "L'avviso è stato annullato",
            Self::UnderWay => "Il pagamento dell'avviso è già in corso",
            Self::ReceiptKnown => "La ricevuta è già stata acquisita",
            Self::Semantics => "La richiesta non è coerente",
            Self::System => "Il servizio non è disponibile in questo momento",
        }
    }
}
