//! The station against its schema, rule by rule, and against what nobody should send.

use std::cell::RefCell;

use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;
use crate::pagopa::settings::tests::example;

const ROUTING: &str = "<idPA>97832870584</idPA><idBrokerPA>97832870584</idBrokerPA><idStation>97832870584_01</idStation>";
const QR_CODE: &str = "<qrCode><fiscalCode>97832870584</fiscalCode><noticeNumber>301000000000004285</noticeNumber></qrCode>";

/// About which payment, and what came with it.
type Question = (PaymentId, Option<GetDetails>, Option<Receipt>);

/// Answers what it is told to, and remembers what it was asked.
struct Stub {
    position: Result<Position, Fault>,
    taken: Result<(), Fault>,
    asked: RefCell<Vec<Question>>,
}

impl Stub {
    fn new() -> Self {
        let position = Position {
            amount: Cents::new(30_000),
            // Half past midnight in Rome, the day before in UTC.
            due_at: "2026-11-29T23:30:00Z".parse().unwrap(),
            description: "Visita di gruppo <12>".to_owned(),
            museum: MuseumId(2),
            debtor: Debtor::anonymous(),
        };
        Self { position: Ok(position), taken: Ok(()), asked: RefCell::default() }
    }
}

impl Station for Stub {
    fn verify<'a>(&'a self, asked: Asked<'a>) -> LocalBoxFuture<'a, Result<Position, Fault>> {
        self.asked.borrow_mut().push((asked.payment, None, None));
        async { self.position.clone() }.boxed_local()
    }

    fn get<'a>(&'a self, asked: Asked<'a>, details: &'a GetDetails) -> LocalBoxFuture<'a, Result<Position, Fault>> {
        self.asked.borrow_mut().push((asked.payment, Some(details.clone()), None));
        async { self.position.clone() }.boxed_local()
    }

    fn receipt<'a>(&'a self, asked: Asked<'a>, receipt: &'a Receipt) -> LocalBoxFuture<'a, Result<(), Fault>> {
        self.asked.borrow_mut().push((asked.payment, None, Some(receipt.clone())));
        async { self.taken }.boxed_local()
    }
}

fn envelope(message: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><s:Envelope xmlns:s=\"{}\"><s:Header/><s:Body>{message}</s:Body></s:Envelope>",
        request::ENVELOPE
    )
}

fn message(operation: Operation, content: &str) -> String {
    let root = operation.request();
    format!("<n:{root} xmlns:n=\"{SPACE}\">{content}</n:{root}>")
}

fn person(name: &str) -> String {
    format!(
        "<{name}><uniqueIdentifier><entityUniqueIdentifierType>F</entityUniqueIdentifierType><entityUniqueIdentifierValue>ANONIMO</entityUniqueIdentifierValue>\
         </uniqueIdentifier><fullName>Maria Rossi</fullName><streetName>Via Roma</streetName><civicNumber>1</civicNumber><postalCode>00100</postalCode>\
         <city>Roma</city><stateProvinceRegion>RM</stateProvinceRegion><country>IT</country><e-mail>maria@example.it</e-mail></{name}>"
    )
}

/// A whole message with everything that may be in it.
fn full(operation: Operation) -> String {
    let second = operation == Operation::ReceiptV2;
    let only_second = |text: &'static str| if second { text } else { "" };
    let content = match operation {
        Operation::Verify => format!("{ROUTING}{QR_CODE}"),
        Operation::Get | Operation::GetV2 => format!(
            "{ROUTING}{QR_CODE}<amount>300.00</amount><paymentNote>cart-1</paymentNote><transferType>PAGOPA</transferType><dueDate>2026-11-30</dueDate>"
        ),
        Operation::Receipt | Operation::ReceiptV2 => format!(
            "{ROUTING}<receipt><receiptId>a1b2</receiptId><noticeNumber>301000000000004285</noticeNumber><fiscalCode>97832870584</fiscalCode>\
             <outcome>OK</outcome><creditorReferenceId>01000000000004285</creditorReferenceId><paymentAmount>300.00</paymentAmount>\
             <description>Visita</description><companyName>Musei</companyName><officeName>Ufficio</officeName>{}\
             <transferList><transfer><idTransfer>1</idTransfer><transferAmount>300.00</transferAmount><fiscalCodePA>97832870584</fiscalCodePA>{}\
             <IBAN>IT60X0542811101000000123456</IBAN><remittanceInformation>Visita</remittanceInformation><transferCategory>9/0000000IM/</transferCategory>\
             <metadata><mapEntry><key>a</key><value>b</value></mapEntry></metadata></transfer></transferList><idPSP>PSP</idPSP>\
             <pspFiscalCode>1</pspFiscalCode><pspPartitaIVA>2</pspPartitaIVA><PSPCompanyName>Banca</PSPCompanyName><idChannel>CH</idChannel>\
             <channelDescription>app</channelDescription>{}<paymentMethod>creditCard</paymentMethod>{}<fee>1.50</fee>{}\
             <paymentDateTime>2026-11-23T10:00:00</paymentDateTime><applicationDate>2026-11-23</applicationDate><transferDate>2026-11-24+01:00</transferDate>\
             <metadata><mapEntry><key>a</key><value>b</value></mapEntry></metadata><standIn>true</standIn></receipt>",
            person("debtor"),
            only_second("<companyName>Musei</companyName>"),
            person("payer"),
            only_second("<paymentNote>cart-1</paymentNote>"),
            only_second("<primaryCiIncurredFee>0.00</primaryCiIncurredFee><idBundle>b</idBundle><idCiBundle>c</idCiBundle>"),
        ),
    };
    message(operation, &content)
}

fn ask(stub: &Stub, action: Option<&str>, body: &[u8]) -> (u16, String) {
    let settings = example();
    let (status, body) = answer(stub, &settings, action, body).now_or_never().expect("the stub answers at once");
    (status, String::from_utf8(body).unwrap())
}

/// What a fault bean or a fault of SOAP says.
fn fault(answer: &str) -> Option<&str> {
    let code = answer.split_once("<faultCode>").or_else(|| answer.split_once("<faultcode>"))?.1;
    code.split('<').next()
}

fn refused(stub: &Stub, action: Option<&str>, body: &str) -> (u16, String) {
    let (status, answer) = ask(stub, action, body.as_bytes());
    (status, fault(&answer).unwrap_or("none").to_owned())
}

#[test]
fn every_operation_is_answered_in_its_own_form() {
    for operation in Operation::ALL {
        let stub = Stub::new();
        for action in [None, Some(operation.action().to_owned()), Some(format!("\"{}\"", operation.action())), Some("\"\"".to_owned())] {
            let (status, answer) = ask(&stub, action.as_deref(), envelope(&full(operation)).as_bytes());
            assert_eq!(status, 200, "{answer}");
            assert!(answer.contains(&format!("<pafn:{} xmlns:pafn=\"{SPACE}\"><outcome>OK</outcome>", operation.response())), "{answer}");
        }
        let asked = stub.asked.borrow();
        assert!(asked.iter().all(|(payment, _, _)| *payment == PaymentId::new(1, 42)));
        assert_eq!(asked.len(), 4);
        assert!(asked.iter().all(|once| *once == asked[0]));
    }
}

#[test]
fn what_is_due_is_said_exactly() {
    let (_, verified) = ask(&Stub::new(), None, envelope(&full(Operation::Verify)).as_bytes());
    assert!(verified.ends_with(
        "<outcome>OK</outcome><paymentList><paymentOptionDescription><amount>300.00</amount><options>EQ</options><dueDate>2026-11-30</dueDate>\
         <detailDescription>Visita di gruppo &lt;12&gt;</detailDescription><allCCP>true</allCCP></paymentOptionDescription></paymentList>\
         <paymentDescription>Visita di gruppo &lt;12&gt;</paymentDescription><fiscalCodePA>97832870584</fiscalCodePA>\
         <companyName>Direzione generale Musei</companyName><officeName>Ufficio Gruppi</officeName></pafn:paVerifyPaymentNoticeRes></soapenv:Body></soapenv:Envelope>"
    ), "{verified}");
    let (_, got) = ask(&Stub::new(), None, envelope(&full(Operation::GetV2)).as_bytes());
    assert!(got.ends_with(
        "<outcome>OK</outcome><data><creditorReferenceId>01000000000004285</creditorReferenceId><paymentAmount>300.00</paymentAmount>\
         <dueDate>2026-11-30</dueDate><description>Visita di gruppo &lt;12&gt;</description><companyName>Direzione generale Musei</companyName>\
         <officeName>Ufficio Gruppi</officeName><debtor><uniqueIdentifier><entityUniqueIdentifierType>F</entityUniqueIdentifierType>\
         <entityUniqueIdentifierValue>ANONIMO</entityUniqueIdentifierValue></uniqueIdentifier><fullName>ANONIMO</fullName></debtor><transferList><transfer>\
         <idTransfer>1</idTransfer><transferAmount>300.00</transferAmount><fiscalCodePA>97832870584</fiscalCodePA><companyName>Direzione generale Musei\
         </companyName><IBAN>IT24D0542811101000000654321</IBAN><remittanceInformation>Visita di gruppo &lt;12&gt;</remittanceInformation>\
         <transferCategory>9/0000000IM/</transferCategory><metadata><mapEntry><key>IBANAPPOGGIO</key><value>IT60X0542811101000000123456</value></mapEntry>\
         </metadata></transfer></transferList></data></pafn:paGetPaymentV2Response></soapenv:Body></soapenv:Envelope>"
    ), "{got}");
}

#[test]
fn a_notice_that_ends_at_midnight_is_due_on_the_day_before() {
    let mut stub = Stub::new();
    if let Ok(position) = &mut stub.position {
        position.due_at = "2026-11-29T23:00:00Z".parse().unwrap();
    }
    for operation in [Operation::Verify, Operation::Get, Operation::GetV2] {
        let (_, answer) = ask(&stub, None, envelope(&full(operation)).as_bytes());
        assert!(answer.contains("<dueDate>2026-11-29</dueDate>"), "{answer}");
    }
}

#[test]
fn postal_payers_get_the_postal_account() {
    let settings = example();
    let ask_for = |operation, transfer_type: &str, creditor: u16| {
        let creditor = settings.creditor(creditor).unwrap();
        let notice = creditor.notice(PaymentId::new(creditor.number, 42)).to_string();
        let asked = full(operation).replace("<transferType>PAGOPA</transferType>", transfer_type).replace("301000000000004285", &notice);
        let code = creditor.fiscal_code.to_string();
        let asked = asked.replace("<idPA>97832870584", &format!("<idPA>{code}")).replace("<fiscalCode>97832870584", &format!("<fiscalCode>{code}"));
        ask(&Stub::new(), None, envelope(&asked).as_bytes()).1
    };
    let postal_type = "<transferType>POSTAL</transferType>";
    for operation in [Operation::Get, Operation::GetV2] {
        let postal = ask_for(operation, postal_type, 1);
        assert!(postal.contains("<IBAN>IT60X0542811101000000123456</IBAN>") && !postal.contains("IBANAPPOGGIO"), "{postal}");
        let plain = ask_for(operation, "", 1);
        assert!(plain.contains("<IBAN>IT24D0542811101000000654321</IBAN>") && !plain.contains("IBANAPPOGGIO"), "{plain}");
        // The second creditor has no postal account.
        assert_eq!(fault(&ask_for(operation, postal_type, 2)), Some("PAA_SEMANTICA"));
    }
    let verified = ask_for(Operation::Verify, "", 2);
    assert!(
        verified.contains("<allCCP>false</allCCP>") && verified.contains("<companyName>Parco archeologico &amp; mostre</companyName>"),
        "{verified}"
    );
}

#[test]
fn a_receipt_is_handed_over_whole() {
    for (operation, note) in [(Operation::Receipt, None), (Operation::ReceiptV2, Some("cart-1"))] {
        let stub = Stub::new();
        ask(&stub, None, envelope(&full(operation)).as_bytes());
        let asked = stub.asked.borrow();
        let receipt = asked[0].2.as_ref().unwrap();
        let who =
            Person { natural: true, code: "ANONIMO".to_owned(), full_name: "Maria Rossi".to_owned(), email: Some("maria@example.it".to_owned()) };
        let expected = Receipt {
            id: "a1b2".to_owned(),
            notice: NoticeKey { fiscal_code: "97832870584".to_owned(), notice_number: "301000000000004285".to_owned() },
            paid: true,
            creditor_reference: "01000000000004285".to_owned(),
            amount: Cents::new(30_000),
            debtor: who.clone(),
            transfers: vec![Transfer {
                id: 1,
                amount: Cents::new(30_000),
                fiscal_code: "97832870584".to_owned(),
                iban: "IT60X0542811101000000123456".to_owned(),
            }],
            psp: "PSP".to_owned(),
            psp_name: "Banca".to_owned(),
            channel: "CH".to_owned(),
            channel_description: "app".to_owned(),
            payer: Some(who),
            method: Some("creditCard".to_owned()),
            payment_note: note.map(str::to_owned),
            fee: Some(Cents::new(150)),
            // Without a zone: ten o'clock in Rome.
            paid_at: Some("2026-11-23T09:00:00Z".parse().unwrap()),
            stand_in: true,
        };
        assert_eq!(receipt, &expected);
    }
}

#[test]
fn who_is_not_ours_is_refused_in_order() {
    for (from, to, expected) in [
        ("<idPA>97832870584", "<idPA>00000000000", "PAA_ID_DOMINIO_ERRATO"),
        ("<idPA>97832870584", "<idPA>museo", "PAA_ID_DOMINIO_ERRATO"),
        ("<idPA>97832870584", "<idPA>77777777777", "PAA_ID_DOMINIO_ERRATO"),
        ("<idBrokerPA>97832870584", "<idBrokerPA>1", "PAA_ID_INTERMEDIARIO_ERRATO"),
        ("97832870584_01", "97832870584_02", "PAA_STAZIONE_INT_ERRATA"),
        ("<fiscalCode>97832870584", "<fiscalCode>77777777777", "PAA_ID_DOMINIO_ERRATO"),
        ("301000000000004285", "301000000000004286", "PAA_PAGAMENTO_SCONOSCIUTO"),
        ("301000000000004285", "302000000000004235", "PAA_PAGAMENTO_SCONOSCIUTO"),
        ("301000000000004285", "401000000000004285", "PAA_PAGAMENTO_SCONOSCIUTO"),
        ("301000000000004285", "002160020399398578", "PAA_PAGAMENTO_SCONOSCIUTO"),
    ] {
        for operation in Operation::ALL {
            let stub = Stub::new();
            let body = full(operation).replacen(from, to, 1);
            assert_ne!(body, full(operation), "{from}");
            assert_eq!(refused(&stub, None, &envelope(&body)), (200, expected.to_owned()), "{operation:?} {to}");
            assert!(stub.asked.borrow().is_empty());
        }
    }
}

#[test]
fn every_fault_is_said_with_its_text() {
    for fault in Fault::ALL {
        let stub = Stub { position: Err(fault), taken: Err(fault), asked: RefCell::default() };
        for operation in Operation::ALL {
            let (status, answer) = ask(&stub, None, envelope(&full(operation)).as_bytes());
            let bean = format!(
                "<pafn:{} xmlns:pafn=\"{SPACE}\"><outcome>KO</outcome><fault><faultCode>{}</faultCode><faultString>{}</faultString><id>97832870584</id></fault></",
                operation.response(),
                fault.code(),
                fault.text()
            );
            assert!(status == 200 && answer.contains(&bean), "{answer}");
        }
    }
    for (amount, expected) in
        [(0, "PAA_SYSTEM_ERROR"), (-1, "PAA_SYSTEM_ERROR"), (100_000_000_000, "PAA_SYSTEM_ERROR"), (99_999_999_999, "none"), (1, "none")]
    {
        let mut stub = Stub::new();
        stub.position.as_mut().unwrap().amount = Cents::new(amount);
        assert_eq!(refused(&stub, None, &envelope(&full(Operation::Get))).1, expected, "{amount}");
    }
}

#[test]
fn receipts_of_nothing_are_refused() {
    for (from, to) in
        [("<outcome>OK", "<outcome>KO"), ("<receiptId>a1b2", "<receiptId>"), ("<receiptId>a1b2", "<receiptId>012345678901234567890123456789012345")]
    {
        let body = full(Operation::ReceiptV2).replacen(from, to, 1);
        assert_eq!(refused(&Stub::new(), None, &envelope(&body)), (200, "PAA_SEMANTICA".to_owned()), "{to}");
    }
}

/// Each rule of the schema broken once.
#[test]
fn messages_of_another_form_are_refused() {
    let long = |count| "x".repeat(count);
    let transfer = "<transfer><idTransfer>1</idTransfer>";
    for (operation, from, to) in [
        (Operation::Verify, "<idPA>97832870584</idPA>", String::new()),
        (Operation::Verify, "<idPA>97832870584", "<idPA>".to_owned()),
        (Operation::Verify, "<idPA>97832870584", format!("<idPA>{}", long(36))),
        (Operation::Verify, "<idPA>97832870584</idPA><idBrokerPA>97832870584</idBrokerPA>", "<idBrokerPA>1</idBrokerPA><idPA>1</idPA>".to_owned()),
        (Operation::Verify, "<idBrokerPA>", "<idBrokerPA>1</idBrokerPA><idBrokerPA>".to_owned()),
        (Operation::Verify, "<fiscalCode>97832870584", "<fiscalCode>9783287058".to_owned()),
        (Operation::Verify, "<noticeNumber>301000000000004285", "<noticeNumber>30100000000000428A".to_owned()),
        (Operation::Verify, "<noticeNumber>301000000000004285", "<noticeNumber> 301000000000004285".to_owned()),
        (Operation::Verify, "</qrCode>", "</qrCode><more/>".to_owned()),
        (Operation::Verify, "<qrCode>", "<qrCode x=\"1\">".to_owned()),
        (Operation::Verify, "<qrCode>", "<qrCode xmlns=\"urn:x\">".to_owned()),
        (Operation::Verify, "<qrCode>", "text<qrCode>".to_owned()),
        (Operation::Get, "300.00", "300.0".to_owned()),
        (Operation::Get, "300.00", "300,00".to_owned()),
        (Operation::Get, "300.00", "1000000000.00".to_owned()),
        (Operation::Get, "PAGOPA", "pagopa".to_owned()),
        (Operation::Get, "PAGOPA", " PAGOPA".to_owned()),
        (Operation::Get, "cart-1", String::new()),
        (Operation::Get, "cart-1", long(211)),
        (Operation::Get, "2026-11-30", "30/11/2026".to_owned()),
        (Operation::GetV2, "2026-11-30", "2026-11-31".to_owned()),
        (Operation::Receipt, "<fee>1.50</fee>", "<paymentNote>x</paymentNote><fee>1.50</fee>".to_owned()),
        (Operation::Receipt, "<IBAN>", "<companyName>x</companyName><IBAN>".to_owned()),
        (Operation::ReceiptV2, "<outcome>OK", "<outcome>ok".to_owned()),
        (Operation::ReceiptV2, transfer, transfer.replace('1', "6")),
        (Operation::ReceiptV2, transfer, transfer.replace('1', "0")),
        (Operation::ReceiptV2, "<transferAmount>300.00", "<transferAmount>0.00".to_owned()),
        (Operation::ReceiptV2, "<entityUniqueIdentifierType>F", "<entityUniqueIdentifierType>X".to_owned()),
        (Operation::ReceiptV2, "ANONIMO", "A".to_owned()),
        (Operation::ReceiptV2, "<country>IT", "<country>it".to_owned()),
        (Operation::ReceiptV2, "maria@example.it", "maria".to_owned()),
        (Operation::ReceiptV2, "maria@example.it", "maria@example..it".to_owned()),
        (Operation::ReceiptV2, "Maria Rossi", long(71)),
        (Operation::ReceiptV2, "<mapEntry><key>a</key><value>b</value></mapEntry>", String::new()),
        (Operation::ReceiptV2, "<mapEntry><key>a</key>", "<mapEntry><key>a</key><value>b</value></mapEntry>".repeat(15) + "<mapEntry><key>a</key>"),
        (Operation::ReceiptV2, "<standIn>true", "<standIn>yes".to_owned()),
        (Operation::ReceiptV2, "2026-11-23T10:00:00", "2026-11-23".to_owned()),
    ] {
        let body = full(operation).replacen(from, &to, 1);
        assert_ne!(body, full(operation), "{from}");
        let (status, answer) = ask(&Stub::new(), None, envelope(&body).as_bytes());
        assert_eq!((status, fault(&answer)), (200, Some("PAA_SINTASSI_EXTRAXSD")), "{to}");
        assert!(answer.contains(operation.response()) && !answer.contains("Maria"), "{answer}");
    }
}

#[test]
fn what_is_not_a_message_of_ours_is_a_fault_of_soap() {
    let verify = full(Operation::Verify);
    let good = envelope(&verify);
    let client = "soapenv:Client";
    for (action, body, (status, code)) in [
        (Some("paDemandPaymentNotice"), good.clone(), (400, client)),
        (Some("constructor"), String::new(), (400, client)),
        (None, String::new(), (400, client)),
        (None, "{}".to_owned(), (400, client)),
        (None, verify.clone(), (400, client)),
        (None, good.replace("paVerifyPaymentNoticeReq", "paDemandPaymentNoticeRequest"), (400, client)),
        (None, good.replace(SPACE, "urn:other"), (400, client)),
        (None, envelope(""), (400, client)),
        (None, good.replace("soap/envelope/", "soap-envelope"), (400, client)),
        (None, good.replace("<s:Header/>", "<s:Header><x s:mustUnderstand=\"1\"/></s:Header>"), (400, "soapenv:MustUnderstand")),
        (None, good.replace("<s:Header/>", "<s:Header><x s:mustUnderstand=\"0\"><y/>t</x></s:Header>"), (200, "none")),
        (None, good.replace("<s:Header/>", ""), (200, "none")),
        // Where the header says which operation it is, the answer has its form.
        (Some("paGetPayment"), good.clone(), (200, "PAA_SINTASSI_EXTRAXSD")),
        (Some("paGetPayment"), String::new(), (200, "PAA_SINTASSI_EXTRAXSD")),
        (Some("paVerifyPaymentNotice"), good.replace("</s:Body>", "<s:Body/></s:Body>"), (200, "PAA_SINTASSI_EXTRAXSD")),
        (Some("paVerifyPaymentNotice"), envelope(&format!("{verify}{verify}")), (200, "PAA_SINTASSI_EXTRAXSD")),
    ] {
        assert_eq!(refused(&Stub::new(), action, &body), (status, code.to_owned()), "{action:?} {body}");
    }
}

#[test]
fn hostile_messages_are_refused_and_cost_nothing() {
    let good = envelope(&full(Operation::Verify));
    let action = Some("paVerifyPaymentNotice");
    let syntax = (200, "PAA_SINTASSI_EXTRAXSD".to_owned());
    let declared = |doctype: &str| good.replacen("?>", &format!("?>{doctype}"), 1).replacen("<idPA>97832870584", "<idPA>&x;", 1);
    let laughs = declared("<!DOCTYPE s [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY x \"&b;&b;&b;&b;&b;&b;&b;&b;\">]>");
    for body in [
        laughs,
        declared("<!DOCTYPE s SYSTEM \"http://127.0.0.1/x\">"),
        declared("<!DOCTYPE s [<!ENTITY x SYSTEM \"file:///etc/hostname\">]>"),
        declared(""),
        good.replacen("<idPA>", "<?php x?><idPA>", 1),
        good.replacen("UTF-8", "UTF-16", 1),
        good.replacen("UTF-8", "windows-1252", 1),
        good.replacen("<idPA>97832870584</idPA>", &"<a>".repeat(50_000), 1),
        good.replacen("<s:Header/>", &format!("<s:Header>{}{}</s:Header>", "<a>".repeat(40), "</a>".repeat(40)), 1),
        good.replacen("97832870584", "\u{1}", 1),
        "<".repeat(100_000),
        "&".repeat(100_000),
        format!("<a {}", "x='' ".repeat(20_000)),
        format!("<a {}>", (0..20_000).map(|n| format!("a{n}='' ")).collect::<String>()),
        format!("<s:Envelope {}>", (0..10_000).map(|n| format!("xmlns:p{n}='u'")).collect::<Vec<_>>().join(" ")),
    ] {
        let stub = Stub::new();
        assert_eq!(refused(&stub, action, &body), syntax, "{}", &body[..body.len().min(300)]);
        assert!([200, 400].contains(&refused(&stub, None, &body).0));
        assert!(stub.asked.borrow().is_empty());
    }
    for size in [BODY_MAX + 1, 10 * 1024 * 1024] {
        assert_eq!(
            refused(&Stub::new(), action, &good.replacen("<idPA>", &format!("{}<idPA>", " ".repeat(size - good.len())), 1)),
            (413, "soapenv:Client".to_owned())
        );
    }
    assert_eq!(
        refused(&Stub::new(), action, &good.replacen("<idPA>", &format!("{}<idPA>", " ".repeat(BODY_MAX - good.len())), 1)),
        (200, "none".to_owned())
    );
    for bytes in [&b"\xff\xfe<\0s\0"[..], b"\x00\x01", b"<a>\xed\xa0\x80</a>"] {
        let (status, answer) = ask(&Stub::new(), action, bytes);
        assert_eq!((status, fault(&answer)), (200, Some("PAA_SINTASSI_EXTRAXSD")));
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_station_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), operation in 0_usize..5, at in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>()) {
        let operation = Operation::ALL[operation];
        let mut body = envelope(&full(operation)).into_bytes();
        let (at, cut) = (at.index(body.len()), cut.index(60));
        let end = (at + cut).min(body.len());
        body.splice(at..end, bytes);
        for action in [None, Some(operation.action())] {
            let (status, answer) = ask(&Stub::new(), action, &body);
            prop_assert!([200, 400, 413].contains(&status));
            prop_assert!(answer.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope "));
        }
    }
}
