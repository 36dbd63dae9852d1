//! What the station answers, byte for byte. The prefix `soapenv` stands literally, as the platform's own checks look for it; only the root of a message has a
//! namespace. Texts are cut to their lengths at a character, what XML cannot say becomes a replacement sign, and an element that would be empty is left out.

use jiff::civil::Date;
use tornello_engine::money::Cents;
use tornello_engine::notice::FiscalCode;

use super::fault::Fault;
use super::request::{ENVELOPE, Operation, SPACE};
use crate::pagopa::xml::is_allowed;

/// What stands where nobody is named.
const ANONYMOUS: &str = "ANONIMO";

/// A debtor as a position names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debtor {
    /// A natural person, rather than an organization.
    pub natural: bool,
    /// Fiscal code or VAT number, 2 to 16 characters.
    pub code: String,
    /// Who it is, 1 to 70 characters.
    pub full_name: String,
}

impl Debtor {
    /// Somebody who bought without saying who they are.
    #[must_use]
    pub fn anonymous() -> Self {
        Self { natural: true, code: ANONYMOUS.to_owned(), full_name: ANONYMOUS.to_owned() }
    }
}

/// Everything that answers say about what is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due<'a> {
    pub amount: Cents,
    pub due_on: Date,
    pub description: &'a str,
    pub creditor: FiscalCode,
    pub company_name: &'a str,
    pub office_name: Option<&'a str>,
    pub creditor_reference: &'a str,
    pub debtor: &'a Debtor,
    pub iban: &'a str,
    /// The postal account, to be named beside the other one.
    pub postal_iban_beside: Option<&'a str>,
    pub category: &'a str,
    pub all_postal: bool,
}

/// That a notice can be paid.
pub(super) fn verified(due: &Due<'_>) -> Vec<u8> {
    message(Operation::Verify, |out| {
        out.text("outcome", "OK", 2);
        out.within("paymentList", |out| {
            out.within("paymentOptionDescription", |out| {
                out.text("amount", &due.amount.to_string(), 12);
                out.text("options", "EQ", 2);
                out.text("dueDate", &due.due_on.to_string(), 10);
                out.text("detailDescription", due.description, 140);
                out.text("allCCP", if due.all_postal { "true" } else { "false" }, 5);
            });
        });
        out.needed("paymentDescription", due.description, 140);
        out.text("fiscalCodePA", &due.creditor.to_string(), 11);
        out.needed("companyName", due.company_name, 140);
        out.text("officeName", due.office_name.unwrap_or_default(), 140);
    })
}

/// All that is needed to pay it.
pub(super) fn got(operation: Operation, due: &Due<'_>) -> Vec<u8> {
    let second = operation == Operation::GetV2;
    message(operation, |out| {
        out.text("outcome", "OK", 2);
        out.within("data", |out| {
            out.text("creditorReferenceId", due.creditor_reference, 35);
            out.text("paymentAmount", &due.amount.to_string(), 12);
            out.text("dueDate", &due.due_on.to_string(), 10);
            out.needed("description", due.description, 140);
            out.needed("companyName", due.company_name, 140);
            out.text("officeName", due.office_name.unwrap_or_default(), 140);
            out.within("debtor", |out| {
                out.within("uniqueIdentifier", |out| {
                    out.text("entityUniqueIdentifierType", if due.debtor.natural { "F" } else { "G" }, 1);
                    // At least two characters, or nobody's code.
                    let code = if due.debtor.code.chars().nth(1).is_some() { due.debtor.code.as_str() } else { ANONYMOUS };
                    out.text("entityUniqueIdentifierValue", code, 16);
                });
                out.needed("fullName", &due.debtor.full_name, 70);
            });
            out.within("transferList", |out| {
                out.within("transfer", |out| {
                    out.text("idTransfer", "1", 1);
                    out.text("transferAmount", &due.amount.to_string(), 12);
                    out.text("fiscalCodePA", &due.creditor.to_string(), 11);
                    if second {
                        out.needed("companyName", due.company_name, 140);
                    }
                    out.text("IBAN", due.iban, 35);
                    out.needed("remittanceInformation", due.description, 140);
                    out.text("transferCategory", due.category, 140);
                    if let Some(iban) = due.postal_iban_beside.filter(|_| second) {
                        out.within("metadata", |out| {
                            out.within("mapEntry", |out| {
                                out.text("key", "IBANAPPOGGIO", 140);
                                out.text("value", iban, 140);
                            });
                        });
                    }
                });
            });
        });
    })
}

/// That a receipt was taken.
pub(super) fn received(operation: Operation) -> Vec<u8> {
    message(operation, |out| out.text("outcome", "OK", 2))
}

/// No, and why: in the form of the operation that was asked.
pub(super) fn refused(operation: Operation, fault: Fault, emitter: &str, description: &str) -> Vec<u8> {
    message(operation, |out| {
        out.text("outcome", "KO", 2);
        out.within("fault", |out| {
            out.text("faultCode", fault.code(), 70);
            out.text("faultString", fault.text(), 140);
            out.needed("id", emitter, 35);
            out.text("description", description, 255);
        });
    })
}

/// A fault of SOAP itself, for what is not an operation of the station.
pub(super) fn soap_fault(code: &str, text: &str) -> Vec<u8> {
    let mut out = Writer::default();
    out.envelope(|out| {
        out.within("soapenv:Fault", |out| {
            out.text("faultcode", code, 70);
            out.text("faultstring", text, 255);
        });
    });
    out.0.into_bytes()
}

fn message(operation: Operation, content: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::default();
    out.envelope(|out| {
        out.0.push_str(&format!("<pafn:{} xmlns:pafn=\"{SPACE}\">", operation.response()));
        content(out);
        out.0.push_str(&format!("</pafn:{}>", operation.response()));
    });
    out.0.into_bytes()
}

#[derive(Default)]
struct Writer(String);

impl Writer {
    fn envelope(&mut self, body: impl FnOnce(&mut Self)) {
        self.0.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
        self.0.push_str(&format!("<soapenv:Envelope xmlns:soapenv=\"{ENVELOPE}\"><soapenv:Body>"));
        body(self);
        self.0.push_str("</soapenv:Body></soapenv:Envelope>");
    }

    fn within(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        self.0.push_str(&format!("<{name}>"));
        content(self);
        self.0.push_str(&format!("</{name}>"));
    }

    /// An element with the first `max` characters of a text; none if that is empty.
    fn text(&mut self, name: &str, text: &str, max: usize) {
        if text.is_empty() {
            return;
        }
        self.within(name, |out| {
            for character in text.chars().take(max) {
                match character {
                    '&' => out.0.push_str("&amp;"),
                    '<' => out.0.push_str("&lt;"),
                    '>' => out.0.push_str("&gt;"),
                    // Readers turn a bare one into a line feed.
                    '\r' => out.0.push_str("&#13;"),
                    allowed if is_allowed(allowed) => out.0.push(allowed),
                    _ => out.0.push('\u{fffd}'),
                }
            }
        });
    }

    /// An element that must be there, and may not be empty.
    fn needed(&mut self, name: &str, text: &str, max: usize) {
        self.text(name, if text.is_empty() { "-" } else { text }, max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, max: usize) -> String {
        let mut out = Writer::default();
        out.text("t", text, max);
        out.0
    }

    #[test]
    fn texts_are_escaped_and_cut_at_a_character() {
        for (text, max, expected) in [
            ("a<b>&\"'", 10, "<t>a&lt;b&gt;&amp;\"'</t>"),
            ("\u{0}\u{8}\u{fffe}x", 10, "<t>\u{fffd}\u{fffd}\u{fffd}x</t>"),
            ("a\r\nb\tc", 10, "<t>a&#13;\nb\tc</t>"),
            ("èèèè", 3, "<t>èèè</t>"),
            ("&&&&", 2, "<t>&amp;&amp;</t>"),
            ("🎟🎟", 1, "<t>🎟</t>"),
            ("", 5, ""),
        ] {
            assert_eq!(written(text, max), expected, "{text:?}");
        }
        let mut out = Writer::default();
        out.needed("t", "", 5);
        assert_eq!(out.0, "<t>-</t>");
    }

    #[test]
    fn answers_are_exact() {
        let taken = String::from_utf8(received(Operation::ReceiptV2)).unwrap();
        assert_eq!(
            taken,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"><soapenv:Body>\
             <pafn:paSendRTV2Response xmlns:pafn=\"http://pagopa-api.pagopa.gov.it/pa/paForNode.xsd\"><outcome>OK</outcome></pafn:paSendRTV2Response>\
             </soapenv:Body></soapenv:Envelope>"
        );
        let refused = String::from_utf8(refused(Operation::Get, Fault::Expired, "97832870584", "")).unwrap();
        assert!(refused.contains(
            "<pafn:paGetPaymentRes xmlns:pafn=\"http://pagopa-api.pagopa.gov.it/pa/paForNode.xsd\"><outcome>KO</outcome><fault>\
             <faultCode>PAA_PAGAMENTO_SCADUTO</faultCode><faultString>L'avviso è scaduto</faultString><id>97832870584</id></fault></pafn:paGetPaymentRes>"
        ));
        let fault = String::from_utf8(soap_fault("soapenv:Client", "no")).unwrap();
        assert!(fault.contains("<soapenv:Fault><faultcode>soapenv:Client</faultcode><faultstring>no</faultstring></soapenv:Fault>"));
    }
}
