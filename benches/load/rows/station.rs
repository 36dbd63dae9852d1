//! One station of pagoPA: notices are verified, got and paid, as the node asks it for them. A get and a receipt are on the disk when they are answered.

use std::time::Duration;

use anyhow::ensure;

use crate::generator::{self, Loop, Run};
use crate::http::{NAME, Template};
use crate::round::{Rounds, drive};
use crate::rows::run;
use crate::script::{Collect, HOLD, Same};
use crate::table::{Aim, Bench};
use crate::target::Installed;
use crate::work::Work;

const CLIENTS: usize = 64;
/// Notices of all rounds: each is paid once.
const NOTICES: usize = 60_000;
/// How often each notice is verified and got at most.
const AGAIN: usize = 8;
/// A notice number.
const NUMBER: usize = 18;

/// What the node sends: the root of a message, and what comes after the routing.
fn message(installed: &Installed, root: &str, content: &str) -> Template {
    let body = format!(
        "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:pafn=\"http://pagopa-api.pagopa.gov.it/pa/paForNode.xsd\">\
        <soapenv:Body><pafn:{root}><idPA>77777777777</idPA><idBrokerPA>77777777777</idBrokerPA><idStation>77777777777_01</idStation>{content}\
        </pafn:{root}></soapenv:Body></soapenv:Envelope>"
    );
    Template::new("POST", "/pagopa", &installed.box_office, &body, NUMBER)
}

fn key() -> String {
    format!("<qrCode><fiscalCode>77777777777</fiscalCode><noticeNumber>{NAME}</noticeNumber></qrCode>")
}

fn receipt() -> String {
    format!(
        "<receipt><receiptId>t{NAME}</receiptId><noticeNumber>{NAME}</noticeNumber><fiscalCode>77777777777</fiscalCode><outcome>OK</outcome>\
        <creditorReferenceId>{NAME}</creditorReferenceId><paymentAmount>12.00</paymentAmount><description>Biglietti</description>\
        <companyName>Musei di prova</companyName><debtor><uniqueIdentifier><entityUniqueIdentifierType>F</entityUniqueIdentifierType>\
        <entityUniqueIdentifierValue>ANONIMO</entityUniqueIdentifierValue></uniqueIdentifier><fullName>ANONIMO</fullName></debtor>\
        <transferList><transfer><idTransfer>1</idTransfer><transferAmount>12.00</transferAmount><fiscalCodePA>77777777777</fiscalCodePA>\
        <IBAN>IT60X0542811101000000123456</IBAN><remittanceInformation>Biglietti</remittanceInformation>\
        <transferCategory>9/0000000IM/</transferCategory></transfer></transferList><idPSP>BANCA</idPSP><PSPCompanyName>Banca</PSPCompanyName>\
        <idChannel>BANCA_01</idChannel><channelDescription>app</channelDescription><paymentMethod>creditCard</paymentMethod></receipt>"
    )
}

/// The texts that answers have after `before`, one for each name.
fn collected(installed: &Installed, template: Template, names: Vec<String>, before: &str) -> anyhow::Result<Vec<String>> {
    let count = names.len();
    let mut collect = Collect::new(Same::each(template, 201, names), before);
    let all = Run::new(installed.address, CLIENTS, Loop::Closed, Duration::from_secs(300));
    generator::run(&all, &mut collect, |_| ())?;
    ensure!(collect.found.len() >= count, "{} of {count} were made", collect.found.len());
    Ok(collect.found)
}

/// The numbers of so many notices over one place each.
fn notices(installed: &Installed, slot: &str, count: usize) -> anyhow::Result<Vec<String>> {
    let hold = Template::new("POST", &format!("/v1/slots/{slot}/holds"), &installed.box_office, HOLD, 0);
    let holds = collected(installed, hold, vec![String::new(); count], r#""hold":""#)?;
    let length = holds.first().map_or(0, String::len);
    let pay = format!(r#"{{"holds":["{NAME}"],"gateway":{{"notice":{{}}}}}}"#);
    collected(installed, Template::new("POST", "/v1/payments", &installed.box_office, &pay, length), holds, r#""notice_number":""#)
}

/// All three.
pub fn station(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let installed = Installed::with_station(bench.place)?;
    installed.open_museum(1, 1, true)?;
    let station = installed.station()?;
    let slots = installed.free_slots(1)?;
    let each = (NOTICES / bench.rounds).max(1_000);
    let mut figures: [Rounds; 3] = Default::default();
    for slot in slots.iter().take(bench.rounds) {
        let numbers = notices(&installed, slot, each)?;
        installed.watched().settle()?;
        let again: Vec<String> = numbers.iter().cycle().take(each * AGAIN).cloned().collect();
        let asked = [
            (message(&installed, "paVerifyPaymentNoticeReq", &key()), again.clone()),
            (message(&installed, "paGetPaymentReq", &key()), again),
            (message(&installed, "paSendRTReq", &receipt()), numbers),
        ];
        for ((template, names), rounds) in asked.into_iter().zip(&mut figures) {
            let loaded = Run { warm_up: Duration::from_millis(100), ..run(bench, station, CLIENTS, Loop::Closed, bench.seconds) };
            let script = Same::each(template, 200, names).saying("<outcome>OK</outcome>");
            rounds.add("", drive(&installed.watched(), &loaded, Work::Same(script))?);
        }
    }
    for ((what, least), rounds) in [("verify", 10_000.0), ("get", 2_000.0), ("receipts", 2_000.0)].into_iter().zip(figures) {
        bench.limited(&format!("pagoPA {what}/s, one station"), rounds.rate(), "/s", Aim::AtLeast(least));
        bench.limited(&format!("pagoPA {what} p99"), rounds.at_ms(0.99), "ms", Aim::AtMost(100.0));
    }
    Ok(())
}
