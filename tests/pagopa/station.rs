//! The station against the schema, as libxml2 understands it: everything that it answers is valid, and it takes exactly the messages that are.

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tornello_api::pagopa::soap::{Asked, Debtor, Fault, GetDetails, Operation, Position, Receipt, SPACE, Station, answer, read};
use tornello_engine::ids::MuseumId;
use tornello_engine::money::Cents;

use super::contracts::valid_xml;
use super::settings;

const SCHEMA: &str = "paForNode-v2-profile.xsd";
const ENVELOPE: &str = "http://schemas.xmlsoap.org/soap/envelope/";

/// An element: its name, and either a text or others.
#[derive(Debug, Clone)]
struct Element {
    name: String,
    attributes: String,
    text: String,
    children: Vec<Element>,
}

fn leaf(name: &str, text: &str) -> Element {
    Element { name: name.to_owned(), attributes: String::new(), text: text.to_owned(), children: Vec::new() }
}

fn branch(name: &str, children: Vec<Element>) -> Element {
    Element { name: name.to_owned(), attributes: String::new(), text: String::new(), children }
}

impl Element {
    fn write(&self, out: &mut String) {
        *out += &format!("<{}{}>{}", self.name, self.attributes, self.text);
        self.children.iter().for_each(|child| child.write(out));
        *out += &format!("</{}>", self.name.split(' ').next().unwrap());
    }

    /// It and all elements in it, in order.
    fn all(&mut self, visit: &mut impl FnMut(&mut Self)) {
        visit(self);
        self.children.iter_mut().for_each(|child| child.all(visit));
    }
}

fn person(name: &str) -> Element {
    let identifier = branch("uniqueIdentifier", vec![leaf("entityUniqueIdentifierType", "F"), leaf("entityUniqueIdentifierValue", "ANONIMO")]);
    let mut children = vec![identifier, leaf("fullName", "Maria Rossi")];
    let rest =
        [("streetName", "Via"), ("civicNumber", "1"), ("postalCode", "00100"), ("city", "Roma"), ("stateProvinceRegion", "RM"), ("country", "IT")];
    children.extend(rest.map(|(name, text)| leaf(name, text)));
    children.push(leaf("e-mail", "maria@example.it"));
    branch(name, children)
}

fn metadata(entries: usize) -> Element {
    branch("metadata", (0..entries).map(|_| branch("mapEntry", vec![leaf("key", "a"), leaf("value", "b")])).collect())
}

/// A message with everything that it may have.
fn message(operation: Operation) -> Element {
    let mut children = vec![leaf("idPA", "97832870584"), leaf("idBrokerPA", "97832870584"), leaf("idStation", "97832870584_01")];
    let qr_code = branch("qrCode", vec![leaf("fiscalCode", "97832870584"), leaf("noticeNumber", "301000000000004285")]);
    let second = operation == Operation::ReceiptV2;
    match operation {
        Operation::Verify => children.push(qr_code),
        Operation::Get | Operation::GetV2 => {
            let more = [("amount", "300.00"), ("paymentNote", "cart-1"), ("transferType", "PAGOPA"), ("dueDate", "2026-11-30")];
            children.push(qr_code);
            children.extend(more.map(|(name, text)| leaf(name, text)));
        }
        Operation::Receipt | Operation::ReceiptV2 => {
            let transfer = |id: &str| {
                let mut parts = vec![leaf("idTransfer", id), leaf("transferAmount", "300.00"), leaf("fiscalCodePA", "97832870584")];
                parts.extend(second.then(|| leaf("companyName", "Musei")));
                parts.extend([("IBAN", "IT1"), ("remittanceInformation", "x"), ("transferCategory", "9/1IM/")].map(|(name, text)| leaf(name, text)));
                parts.push(metadata(1));
                branch("transfer", parts)
            };
            let first = [
                ("receiptId", "a1b2"),
                ("noticeNumber", "301000000000004285"),
                ("fiscalCode", "97832870584"),
                ("outcome", "OK"),
                ("creditorReferenceId", "01000000000004285"),
                ("paymentAmount", "300.00"),
                ("description", "Visita"),
                ("companyName", "Musei"),
                ("officeName", "Ufficio"),
            ];
            let mut parts: Vec<Element> = first.map(|(name, text)| leaf(name, text)).into();
            parts.extend([person("debtor"), branch("transferList", ["1", "2", "3", "4", "5"].map(transfer).into())]);
            let psp = [
                ("idPSP", "P"),
                ("pspFiscalCode", "1"),
                ("pspPartitaIVA", "2"),
                ("PSPCompanyName", "B"),
                ("idChannel", "C"),
                ("channelDescription", "app"),
            ];
            parts.extend(psp.map(|(name, text)| leaf(name, text)));
            parts.extend([person("payer"), leaf("paymentMethod", "card")]);
            parts.extend(second.then(|| leaf("paymentNote", "cart-1")));
            parts.push(leaf("fee", "1.50"));
            if second {
                parts.extend([("primaryCiIncurredFee", "0.00"), ("idBundle", "b"), ("idCiBundle", "c")].map(|(name, text)| leaf(name, text)));
            }
            let last = [("paymentDateTime", "2026-11-23T10:00:00"), ("applicationDate", "2026-11-23"), ("transferDate", "2026-11-24")];
            parts.extend(last.map(|(name, text)| leaf(name, text)));
            parts.extend([metadata(15), leaf("standIn", "true")]);
            children.push(branch("receipt", parts));
        }
    }
    let mut root = branch(&format!("n:{}", operation.request()), children);
    root.attributes = format!(" xmlns:n=\"{SPACE}\"");
    root
}

/// Values at the borders of what the schema's types allow.
fn values() -> Vec<String> {
    let mut values: Vec<String> =
        [16, 17, 20, 21, 35, 36, 70, 71, 140, 141, 210, 211].iter().flat_map(|length| ["x".repeat(*length), "è".repeat(*length)]).collect();
    let plain = [
        "",
        " ",
        "x",
        "ab",
        "12345678901",
        "123456789012",
        "1234567890",
        "１2345678901",
        "301000000000004285",
        "30100000000000428",
        "0.00",
        "0.01",
        " 10.00\n",
        "10.0",
        "10.000",
        "+1.00",
        "-1.00",
        "00.10",
        "999999999.99",
        "1000000000.00",
        "00999999999.99",
        "1E2",
        "10,00",
        ".10",
        "2026-02-28",
        "2026-02-29",
        "2024-02-29",
        "2026-11-23Z",
        " 2026-11-23+14:00 ",
        "2026-11-23+14:01",
        "2026-13-01",
        "2026-1-1",
        "2026-11-23T10:00:00",
        "2026-11-23T10:00:00.123456789Z",
        "2026-11-23T24:00:00",
        "2026-11-23T24:00:01",
        "2026-11-23T10:60:00",
        "2026-11-23T10:00:60",
        "2026-11-23T10:00:00-01:30",
        "2026-11-23T10:00",
        "2026-11-23T10:00:00.",
        "true",
        "false",
        "1",
        "0",
        " true ",
        "TRUE",
        "yes",
        "OK",
        "KO",
        " OK",
        "ok",
        "POSTAL",
        "PAGOPA",
        "PAGOPA ",
        "F",
        "G",
        "f",
        "IT",
        "it",
        "ITA",
        "2",
        "5",
        "6",
        "01",
        "+1",
        "-1",
        "1.0",
        " 3 ",
        "a@b.it",
        "a@b",
        "a@",
        "@b",
        "a@b.",
        "a b@c",
        "a+b_c.d-e@f-g.h",
        "à@b.it",
        "&amp;&lt;",
        "<![CDATA[OK]]>",
        "O<!-- -->K",
        "&#x31;",
        "<x/>",
    ];
    values.extend(plain.map(str::to_owned));
    values
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

/// Blanks around dates and whole numbers mean nothing (XML Schema part 2, 4.3.6), but libxml2 refuses some of them: there is none here.
const COLLAPSED: [&str; 5] = ["idTransfer", "dueDate", "paymentDateTime", "applicationDate", "transferDate"];

/// Changes one thing in a message.
fn mutate(root: &mut Element, dice: &mut Dice, values: &[String]) {
    let mut count = 0;
    root.all(&mut |_| count += 1);
    let (chosen, how, value) = (dice.below(count), dice.below(12), values[dice.below(values.len())].clone());
    let mut number = 0;
    let mut pick = dice.below(1_000);
    root.all(&mut |element| {
        number += 1;
        if number - 1 != chosen {
            return;
        }
        if element.children.is_empty() && how < 7 {
            element.text = value.clone();
            return;
        }
        let children = element.children.len();
        pick %= children.max(1);
        match how {
            0 | 7 if children > 0 => drop(element.children.remove(pick)),
            1 | 8 if children > 0 => {
                let twice = element.children[pick].clone();
                element.children.insert(pick, twice);
            }
            2 | 9 if children > 1 => element.children.swap(pick, (pick + 1) % children),
            3 => element.attributes += " xmlns=\"urn:x\"",
            4 => element.attributes += " more=\"1\"",
            5 => element.text += "<!-- a comment -->\n\t ",
            6 => element.text += "text",
            10 => element.children.truncate(pick),
            11 if element.attributes.is_empty() => element.name += "x",
            _ => element.text += " ",
        }
    });
    root.all(&mut |element| {
        if COLLAPSED.contains(&element.name.as_str()) {
            element.text = element.text.replace("<!-- a comment -->\n\t ", "").trim().to_owned();
        }
    });
}

#[test]
fn it_takes_exactly_what_is_valid() {
    let (mut dice, values) = (Dice(0x5eed_0000_0000_0001), values());
    let mut documents = Vec::new();
    for number in 0..4_000 {
        let operation = Operation::ALL[number % 5];
        let mut root = message(operation);
        for _ in 0..(number / 5) % 3 {
            mutate(&mut root, &mut dice, &values);
        }
        let mut document = String::new();
        root.write(&mut document);
        documents.push(document);
    }
    let verdicts = valid_xml(SCHEMA, &documents);
    let valid = verdicts.iter().filter(|valid| **valid).count();
    let disagreed = documents.iter().zip(verdicts).filter_map(|(document, expected)| {
        let body = format!("<s:Envelope xmlns:s=\"{ENVELOPE}\"><s:Body>{document}</s:Body></s:Envelope>");
        let taken = read(body.as_bytes(), None).map(drop);
        (taken.is_ok() != expected).then(|| format!("{taken:?} {document}"))
    });
    let disagreed: Vec<String> = disagreed.collect();
    assert!(disagreed.is_empty(), "{} of {}:\n{}", disagreed.len(), documents.len(), disagreed[..disagreed.len().min(9)].join("\n"));
    assert!((1_500..3_500).contains(&valid), "{valid} of {} are valid: the mutations say little", documents.len());
}

/// Answers the same to everything.
struct Fixed(Result<Position, Fault>);

impl Station for Fixed {
    fn verify<'a>(&'a self, _: Asked<'a>) -> LocalBoxFuture<'a, Result<Position, Fault>> {
        async { self.0.clone() }.boxed_local()
    }

    fn get<'a>(&'a self, _: Asked<'a>, _: &'a GetDetails) -> LocalBoxFuture<'a, Result<Position, Fault>> {
        async { self.0.clone() }.boxed_local()
    }

    fn receipt<'a>(&'a self, _: Asked<'a>, _: &'a Receipt) -> LocalBoxFuture<'a, Result<(), Fault>> {
        async { self.0.clone().map(drop) }.boxed_local()
    }
}

#[test]
fn everything_it_answers_is_valid() {
    let settings = settings("127.0.0.1:9");
    let mut documents = Vec::new();
    let mut ask = |station: &Fixed, action: Option<&str>, content: &str| {
        let body = format!("<s:Envelope xmlns:s=\"{ENVELOPE}\"><s:Body>{content}</s:Body></s:Envelope>");
        let (status, answer) = answer(station, &settings, action, body.as_bytes()).now_or_never().unwrap();
        assert_eq!(status, 200);
        let answer = String::from_utf8(answer).unwrap();
        let (_, message) = answer.split_once("<soapenv:Body>").unwrap();
        documents.push(message.split_once("</soapenv:Body>").unwrap().0.to_owned());
    };
    let written = |operation: Operation, from: &str, to: &str| {
        let mut document = String::new();
        message(operation).write(&mut document);
        document.replacen(from, to, 1)
    };
    let debtors = [
        Debtor::anonymous(),
        Debtor { natural: false, code: "01234567890".repeat(2), full_name: "Liceo \"G. Galilei\" & figli <srl>".repeat(5) },
        Debtor { natural: true, code: String::new(), full_name: String::new() },
    ];
    for operation in Operation::ALL {
        for description in ["x", "", "à".repeat(141).as_str(), "\u{0}\u{1f}\u{fffe}\r\n]]>&<>\"'", "🎟".repeat(200).as_str()] {
            for (cents, debtor) in [1, 99_999_999_999, 1_200].into_iter().zip(debtors.clone()) {
                let due_at = "2026-11-29T23:30:00Z".parse().unwrap();
                let position = Position { amount: Cents::new(cents), due_at, description: description.to_owned(), museum: MuseumId(1), debtor };
                for transfer_type in ["PAGOPA", "POSTAL"] {
                    ask(&Fixed(Ok(position.clone())), None, &written(operation, "PAGOPA", transfer_type));
                }
            }
        }
        for fault in Fault::ALL {
            ask(&Fixed(Err(fault)), None, &written(operation, "", ""));
        }
        // Faults that the station finds itself, with descriptions of what was sent.
        for (from, to) in [
            ("97832870584", "1"),
            ("97832870584_01", "à&<"),
            ("<idPA>", "<idPA><x"),
            ("<idPA>", "<!DOCTYPE x><idPA>"),
            ("301", "401"),
            ("<idPA>", ""),
        ] {
            ask(&Fixed(Err(Fault::System)), Some(operation.action()), &written(operation, from, to));
        }
    }
    let wrong: Vec<&String> =
        valid_xml(SCHEMA, &documents).into_iter().zip(&documents).filter(|(valid, _)| !valid).map(|(_, document)| document).collect();
    assert!(wrong.is_empty(), "{} of {}: {:?}", wrong.len(), documents.len(), wrong.first());
}
