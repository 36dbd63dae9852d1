//! What an operator says of pagoPA: who the creditors are, which station this is, where the platform's services stand and which keys open them.
//!
//! One TOML file. Unknown keys are refused and limits asserted, so that a mistake is found at start and not by a payer. The keys themselves do not stand in it:
//! it names a file or an environment variable, and what was read from there is never printed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use tornello_engine::iban::Iban;
use tornello_engine::ids::{MuseumId, PaymentId};
use tornello_engine::notice::{FiscalCode, NoticeNumber, Segregation};

const CREDITORS_MAX: usize = 500;
const TIMEOUT_S_MAX: u64 = 60;
const TIMEOUT_S: u64 = 10;
/// The largest file that is read.
const FILE_MAX: u64 = 1024 * 1024;

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file, or one that it names.
    #[error("{} cannot be read: {source}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML, or not of this form. The line is named and not shown.
    #[error("line {line}: {message}")]
    Form {
        /// From 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// A value that cannot be.
    #[error("{what}: {why}")]
    Value {
        /// Which setting.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Everything that is said of pagoPA.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who speaks for the creditors towards the platform (`idBrokerPA`).
    pub broker: String,
    /// The station that the node asks (`idStation`).
    pub station: String,
    /// The archive of debt positions (GPD), if it is used.
    pub gpd: Option<Service>,
    /// Payment pages, if they are used.
    pub checkout: Option<Service>,
    /// Where reporting flows are fetched (FdR), if they are.
    pub flows: Option<Service>,
    creditors: Vec<Creditor>,
}

/// A service of the platform.
#[derive(Debug, Clone)]
pub struct Service {
    /// Where it stands, up to and with its version, without a slash at the end.
    pub base_url: Url,
    /// What opens it.
    pub key: Secret,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// To whom money is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creditor {
    /// Its number in the ids of payments: never changed, never used again.
    pub number: u16,
    /// Its fiscal code.
    pub fiscal_code: FiscalCode,
    /// Its name, 1 to 140 characters.
    pub company_name: String,
    /// The office of it that is in charge.
    pub office_name: Option<String>,
    /// What tells its notices given out here from those of others.
    pub segregation: Segregation,
    /// The account that is paid for each museum; others have [`Self::iban_default`].
    pub iban_of: BTreeMap<MuseumId, Iban>,
    /// The account that is paid for all others.
    pub iban_default: Iban,
    /// The postal account, without which no notice can be paid at a post office by its bulletin.
    pub postal_iban: Option<Iban>,
    /// What is paid, in the platform's taxonomy.
    pub taxonomy: Taxonomy,
    /// Whose tickets it sells; empty: those of every museum that no other creditor names.
    pub museums: BTreeSet<MuseumId>,
}

/// A code of the taxonomy of services, as `9/0123456IM/`. Which one means admissions, the creditor knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taxonomy(String);

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(HeaderValue);

impl Settings {
    /// From a file, with keys from where it says; `variable` looks up the environment.
    pub fn load(path: &Path, variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        Self::parse(&read_file(path)?, path.parent().unwrap_or(Path::new(".")), variable)
    }

    /// From the text of a file; files it names are looked for from `folder`.
    pub fn parse(text: &str, folder: &Path, variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let file: File = toml::from_str(text).map_err(|error| SettingsError::Form {
            line: 1 + error.span().map_or(0, |span| text.as_bytes().iter().take(span.start).filter(|byte| **byte == b'\n').count()),
            message: shown(error.message()),
        })?;
        let service = |name: &str, form: Option<ServiceForm>| form.map(|form| form.service(name, folder, &variable)).transpose();
        let settings = Self {
            broker: name("broker", file.broker, 35)?,
            station: name("station", file.station, 35)?,
            gpd: service("gpd", file.gpd)?,
            checkout: service("checkout", file.checkout)?,
            flows: service("flows", file.flows)?,
            creditors: file.creditors.into_iter().map(CreditorForm::creditor).collect::<Result<_, _>>()?,
        };
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), SettingsError> {
        if !(1..=CREDITORS_MAX).contains(&self.creditors.len()) {
            return Err(value("creditors", format!("1 to {CREDITORS_MAX} are expected")));
        }
        let (mut numbers, mut issuers, mut museums, mut rest) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), 0);
        for creditor in &self.creditors {
            let what = format!("creditor {}", creditor.number);
            if !numbers.insert(creditor.number) {
                return Err(value(&what, "the number is given twice"));
            }
            if !issuers.insert(creditor.fiscal_code) {
                return Err(value(&what, "the fiscal code is given twice"));
            }
            if let Some(twice) = creditor.museums.iter().find(|museum| !museums.insert(**museum)) {
                return Err(value(&what, format!("museum {} has another creditor already", twice.0)));
            }
            rest += usize::from(creditor.museums.is_empty());
            if let Some(stranger) = creditor.iban_of.keys().find(|museum| !creditor.museums.is_empty() && !creditor.museums.contains(museum)) {
                return Err(value(&what, format!("museum {} has an account and is not one of its museums", stranger.0)));
            }
        }
        if rest > 1 { Err(value("creditors", "only one may have no museums of its own")) } else { Ok(()) }
    }

    /// All creditors.
    #[must_use]
    pub fn creditors(&self) -> &[Creditor] {
        &self.creditors
    }

    /// The creditor of a number.
    #[must_use]
    pub fn creditor(&self, number: u16) -> Option<&Creditor> {
        self.creditors.iter().find(|creditor| creditor.number == number)
    }

    /// The creditor of a fiscal code.
    #[must_use]
    pub fn creditor_of_code(&self, code: &str) -> Option<&Creditor> {
        let code = code.parse().ok()?;
        self.creditors.iter().find(|creditor| creditor.fiscal_code == code)
    }

    /// The creditor to whom a museum's tickets are paid.
    #[must_use]
    pub fn creditor_of_museum(&self, museum: MuseumId) -> Option<&Creditor> {
        let own = self.creditors.iter().find(|creditor| creditor.museums.contains(&museum));
        own.or_else(|| self.creditors.iter().find(|creditor| creditor.museums.is_empty()))
    }
}

impl Creditor {
    /// The account that is paid for a museum.
    #[must_use]
    pub fn iban(&self, museum: MuseumId) -> Iban {
        self.iban_of.get(&museum).copied().unwrap_or(self.iban_default)
    }

    /// The notice number of one of its payments.
    #[must_use]
    pub const fn notice(&self, payment: PaymentId) -> NoticeNumber {
        NoticeNumber::new(payment, self.segregation)
    }

    /// Its payment of a notice number, if that was given out here.
    #[must_use]
    pub fn payment(&self, notice: NoticeNumber) -> Option<PaymentId> {
        notice.payment(self.number).filter(|(_, segregation)| *segregation == self.segregation).map(|(payment, _)| payment)
    }
}

impl Secret {
    /// For a header; none if it cannot stand in one.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let mut header = HeaderValue::try_from(text).ok().filter(|_| !text.is_empty())?;
        header.set_sensitive(true);
        Some(Self(header))
    }

    /// As the value of a header.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl FromStr for Taxonomy {
    type Err = &'static str;
    /// `^[6-9]/\d{7}(IM|TS|SP|SA|AP)/$`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = text.as_bytes();
        let formed = text.is_ascii()
            && bytes.len() == 12
            && matches!(bytes[0], b'6'..=b'9')
            && (bytes[1], bytes[11]) == (b'/', b'/')
            && bytes[2..9].iter().all(u8::is_ascii_digit)
            && ["IM", "TS", "SP", "SA", "AP"].contains(&&text[9..11]);
        if formed { Ok(Self(text.to_owned())) } else { Err("not a code of the taxonomy, as 9/0123456IM/") }
    }
}

impl fmt::Display for Taxonomy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    broker: String,
    station: String,
    gpd: Option<ServiceForm>,
    checkout: Option<ServiceForm>,
    flows: Option<ServiceForm>,
    #[serde(default)]
    creditors: Vec<CreditorForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceForm {
    base_url: String,
    key_file: Option<PathBuf>,
    key_env: Option<String>,
    timeout_s: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreditorForm {
    number: u16,
    fiscal_code: String,
    company_name: String,
    office_name: Option<String>,
    segregation: String,
    iban: String,
    #[serde(default)]
    museum_ibans: BTreeMap<String, String>,
    postal_iban: Option<String>,
    taxonomy: String,
    #[serde(default)]
    museums: BTreeSet<u16>,
}

impl ServiceForm {
    fn service(self, what: &str, folder: &Path, variable: &impl Fn(&str) -> Option<String>) -> Result<Service, SettingsError> {
        let base_url = base_url(&self.base_url).map_err(|why| value(&format!("{what}.base_url"), why))?;
        let key = match (self.key_file, self.key_env) {
            (Some(path), None) => read_file(&folder.join(path))?,
            (None, Some(name)) => variable(&name).ok_or_else(|| value(&format!("{what}.key_env"), format!("{name} is not set")))?,
            _ => return Err(value(what, "exactly one of key_file and key_env is expected")),
        };
        let key = Secret::new(key.trim()).ok_or_else(|| value(what, "the key is empty or cannot stand in a header"))?;
        let timeout_s = self.timeout_s.unwrap_or(TIMEOUT_S);
        if !(1..=TIMEOUT_S_MAX).contains(&timeout_s) {
            return Err(value(&format!("{what}.timeout_s"), format!("1 to {TIMEOUT_S_MAX} is expected")));
        }
        Ok(Service { base_url, key, timeout: Duration::from_secs(timeout_s) })
    }
}

impl CreditorForm {
    fn creditor(self) -> Result<Creditor, SettingsError> {
        let number = self.number;
        let at = |field: &str| format!("creditor {number}: {field}");
        let iban = |field: &str, text: &str| text.parse::<Iban>().map_err(|why| value(&at(field), why));
        let museum_iban = |(museum, text): (&String, &String)| {
            let number = museum.parse().map_err(|_| value(&at("museum_ibans"), "museums are named by number"))?;
            Ok((MuseumId(number), iban("museum_ibans", text)?))
        };
        Ok(Creditor {
            number,
            fiscal_code: self.fiscal_code.parse().map_err(|why| value(&at("fiscal_code"), why))?,
            company_name: name(&at("company_name"), self.company_name, 140)?,
            office_name: self.office_name.map(|office| name(&at("office_name"), office, 140)).transpose()?,
            segregation: self.segregation.parse().map_err(|why| value(&at("segregation"), why))?,
            iban_of: self.museum_ibans.iter().map(museum_iban).collect::<Result<_, SettingsError>>()?,
            iban_default: iban("iban", &self.iban)?,
            postal_iban: self.postal_iban.map(|text| iban("postal_iban", &text)).transpose()?,
            taxonomy: self.taxonomy.parse().map_err(|why| value(&at("taxonomy"), why))?,
            museums: self.museums.into_iter().map(MuseumId).collect(),
        })
    }
}

fn value(what: &str, why: impl fmt::Display) -> SettingsError {
    SettingsError::Value { what: what.to_owned(), why: why.to_string() }
}

/// A message of the TOML reader without the texts of the file that it may quote.
fn shown(message: &str) -> String {
    match message.split_once("string \"") {
        Some((before, rest)) => format!("{before}string{}", rest.rsplit_once('"').map_or("", |(_, after)| after)),
        None => message.to_owned(),
    }
}

fn name(what: &str, text: String, max: usize) -> Result<String, SettingsError> {
    let sound = (1..=max).contains(&text.chars().count()) && text.trim() == text && !text.contains(char::is_control);
    if sound { Ok(text) } else { Err(value(what, format!("1 to {max} characters are expected, without blanks around them"))) }
}

fn base_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text.trim_end_matches('/')).map_err(|_| "not an address")?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() || url.cannot_be_a_base() {
        return Err("an address with neither user nor query is expected");
    }
    if is_safe(&url) { Ok(url) } else { Err("https is expected, as only this machine itself may be asked by http") }
}

/// Whether what goes to an address stays between us and who stands there: by TLS, or on this machine.
#[must_use]
pub fn is_safe(url: &Url) -> bool {
    let loopback = url.host_str().is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    });
    url.scheme() == "https" || url.scheme() == "http" && loopback
}

fn read_file(path: &Path) -> Result<String, SettingsError> {
    let unreadable = |source| SettingsError::Unreadable { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_MAX {
        return Err(value(&path.display().to_string(), "the file is too large"));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Two creditors, and both services on this machine.
    pub(in crate::pagopa) const EXAMPLE: &str = r#"
broker = "97832870584"
station = "97832870584_01"

[gpd]
base_url = "http://127.0.0.1:9/gpd/debt-positions-service/v1/"
key_env = "GPD_KEY"

[checkout]
base_url = "https://api.example.it/checkout/ec/v1"
key_env = "CHECKOUT_KEY"
timeout_s = 5

[[creditors]]
number = 1
fiscal_code = "97832870584"
company_name = "Direzione generale Musei"
office_name = "Ufficio Gruppi"
segregation = "01"
iban = "IT60 X054 2811 1010 0000 0123 456"
museum_ibans = { 2 = "IT24D0542811101000000654321" }
postal_iban = "IT60X0542811101000000123456"
taxonomy = "9/0000000IM/"

[[creditors]]
number = 2
fiscal_code = "77777777777"
company_name = "Parco archeologico & mostre"
segregation = "47"
iban = "IT60X0542811101000000123456"
taxonomy = "9/0000000TS/"
museums = [3, 4]
"#;

    pub(in crate::pagopa) fn example() -> Settings {
        parse(EXAMPLE).unwrap()
    }

    fn parse(text: &str) -> Result<Settings, SettingsError> {
        Settings::parse(text, Path::new("."), |name| (name != "UNSET").then(|| format!("the key of {name}")))
    }

    #[test]
    fn settings_are_read() {
        let settings = example();
        let (gpd, checkout) = (settings.gpd.as_ref().unwrap(), settings.checkout.as_ref().unwrap());
        assert_eq!(gpd.base_url.as_str(), "http://127.0.0.1:9/gpd/debt-positions-service/v1");
        assert_eq!((gpd.timeout.as_secs(), checkout.timeout.as_secs()), (10, 5));
        assert_eq!(gpd.key.header().to_str().unwrap(), "the key of GPD_KEY");
        let (first, second) = (settings.creditor(1).unwrap(), settings.creditor_of_code("77777777777").unwrap());
        for (museum, creditor, iban) in
            [(1, first, "IT60X0542811101000000123456"), (2, first, "IT24D0542811101000000654321"), (3, second, "IT60X0542811101000000123456")]
        {
            assert_eq!(settings.creditor_of_museum(MuseumId(museum)), Some(creditor));
            assert_eq!(creditor.iban(MuseumId(museum)).as_str(), iban);
        }
        let payment = PaymentId::new(1, 42);
        assert_eq!(first.notice(payment).to_string(), "301000000000004285");
        assert_eq!(first.payment(first.notice(payment)), Some(payment));
        assert_eq!(second.payment(first.notice(payment)), None, "another segregation code");
        assert_eq!((settings.creditor(3), settings.creditor_of_code("1")), (None, None));
        assert_eq!(settings.creditors().len(), 2);
    }

    #[test]
    fn keys_are_not_printed() {
        let settings = example();
        let printed = format!("{settings:?}");
        assert!(!printed.contains("the key of"), "{printed}");
        let error = parse(&EXAMPLE.replace("timeout_s = 5", "timeout_s = \"a secret in the wrong place\"")).unwrap_err().to_string();
        assert!(error.starts_with("line 12: ") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn keys_come_from_files_too() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pagopa.toml"), EXAMPLE.replace("key_env = \"GPD_KEY\"", "key_file = \"gpd.key\"")).unwrap();
        let load = || Settings::load(&folder.path().join("pagopa.toml"), |_| Some("x".to_owned()));
        assert!(matches!(load(), Err(SettingsError::Unreadable { path, .. }) if path.ends_with("gpd.key")));
        std::fs::write(folder.path().join("gpd.key"), "a key\n").unwrap();
        assert_eq!(load().unwrap().gpd.unwrap().key.header().to_str().unwrap(), "a key");
    }

    #[test]
    fn mistakes_are_named() {
        for (from, to, expected) in [
            ("broker = \"97832870584\"", "broker = \"\"", "broker: 1 to 35 characters are expected, without blanks around them"),
            ("station = ", "stazione = ", "line 3: unknown field `stazione`"),
            ("number = 2", "number = 1", "creditor 1: the number is given twice"),
            ("77777777777", "97832870584", "creditor 2: the fiscal code is given twice"),
            ("77777777777", "7777777777", "creditor 2: fiscal_code: not the fiscal code"),
            ("\"47\"", "\"4\"", "creditor 2: segregation: not a segregation code"),
            ("IT24D", "IT25D", "creditor 1: museum_ibans: the check digits of the IBAN do not fit"),
            (
                "iban = \"IT60X0542811101000000123456\"\ntaxonomy = \"9/0000000TS/\"",
                "iban = \"US64SVBKUS6S3300958879\"\ntaxonomy = \"9/0000000TS/\"",
                "creditor 2: iban: the IBAN is not of a country in SEPA",
            ),
            ("{ 2 =", "{ torre =", "creditor 1: museum_ibans: museums are named by number"),
            ("9/0000000TS/", "9/0000000XX/", "creditor 2: taxonomy: not a code of the taxonomy"),
            ("9/0000000TS/", "5/0000000TS/", "creditor 2: taxonomy: not a code of the taxonomy"),
            ("museums = [3, 4]", "museums = []", "creditors: only one may have no museums of its own"),
            ("taxonomy = \"9/0000000IM/\"", "taxonomy = \"9/0000000IM/\"\nmuseums = [2, 3]", "creditor 2: museum 3 has another creditor already"),
            ("taxonomy = \"9/0000000IM/\"", "taxonomy = \"9/0000000IM/\"\nmuseums = [1]", "creditor 1: museum 2 has an account and is not one"),
            ("http://127.0.0.1:9", "http://api.example.it", "gpd.base_url: https is expected"),
            ("https://api.example.it", "https://user@api.example.it", "checkout.base_url: an address with neither user nor query"),
            ("https://api.example.it/checkout/ec/v1", "checkout", "checkout.base_url: not an address"),
            ("GPD_KEY", "UNSET", "gpd.key_env: UNSET is not set"),
            ("key_env = \"GPD_KEY\"", "", "gpd: exactly one of key_file and key_env is expected"),
            ("timeout_s = 5", "timeout_s = 0", "checkout.timeout_s: 1 to 60 is expected"),
            ("[[creditors]]", "[[creditors", "line 14: "),
        ] {
            assert!(EXAMPLE.contains(from), "{from}");
            let error = parse(&EXAMPLE.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}\n{expected}");
        }
        assert_eq!(parse("broker = \"b\"\nstation = \"s\"").unwrap_err().to_string(), "creditors: 1 to 500 are expected");
    }
}
