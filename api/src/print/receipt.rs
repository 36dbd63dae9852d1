//! A certificate of payment (attestazione di pagamento) on A4, for whoever paid: what was paid, when and how, and the numbers under which to find it again.

use super::flow::{Fact, Flow, Head, Row};
use super::layout::Language::{English, Italian};
use super::layout::{Faces, Sheet, Style};
use super::words::{clock, date_it, day_en, day_it, euros, in_fours};
use super::{PRINTED_ROWS_MAX, PrintError, PrintedReceipt, pdf};

const HEADS: [Head; 3] = [
    Head { it: "Descrizione", en: "Description", offset_mm: 2.0, width_mm: 116.0, is_number: false },
    Head { it: "Quantità", en: "Quantity", offset_mm: 122.0, width_mm: 20.0, is_number: true },
    Head { it: "Importo", en: "Amount", offset_mm: 145.0, width_mm: 33.0, is_number: true },
];

/// A certificate of payment as a PDF file.
///
/// # Errors
/// [`PrintError::TooMany`] above [`PRINTED_ROWS_MAX`] items.
pub fn receipt_pdf(receipt: &PrintedReceipt) -> Result<Vec<u8>, PrintError> {
    let faces = Faces::load()?;
    pdf::write(&format!("Attestazione di pagamento · Certificate of payment {}", receipt.receipt), &faces, &arrange(receipt, &faces)?)
}

fn arrange(receipt: &PrintedReceipt, faces: &Faces) -> Result<Vec<Sheet>, PrintError> {
    if receipt.items.len() > PRINTED_ROWS_MAX {
        return Err(PrintError::TooMany { count: receipt.items.len() });
    }
    let mut flow = Flow::new(faces, format!("Attestazione di pagamento {}", receipt.receipt));
    flow.letterhead(&receipt.issuer);
    let marks = [format!("emessa il {}", date_it(receipt.issued_on))];
    flow.title("Attestazione di pagamento", "Certificate of payment", &marks);
    flow.say(Italian, Style::SENTENCE, &format!("{} attesta di avere ricevuto il pagamento qui descritto.", receipt.issuer.name));
    flow.say(English, Style::SENTENCE_BELOW, "The issuer certifies that the payment described here was received.");
    flow.skip(4.0);
    let (paid_on, paid_at) = (receipt.paid_at.date(), clock(receipt.paid_at.time()));
    flow.facts(&[
        Fact::new("Importo pagato", "Amount paid", euros(receipt.amount)),
        Fact::new("Data del pagamento", "Paid on", format!("{}, ore {paid_at}", day_it(paid_on))).below(format!("{}, {paid_at}", day_en(paid_on))),
        Fact::new("Pagato da", "Paid by", &*receipt.payer).below(&*receipt.payer_code),
        Fact::new("Modalità", "Method", &*receipt.method_it).below(&*receipt.method_en),
        Fact::new("Prestatore di servizi di pagamento", "Payment provider", &*receipt.psp),
        Fact::new("Numero avviso", "Notice number", in_fours(&receipt.notice_number)),
        Fact::new("IUV", "Payment's identifier", &*receipt.iuv),
        Fact::new("Identificativo ricevuta", "Receipt", &*receipt.receipt),
        Fact::new("Riferimento", "Reference", &*receipt.reference),
    ]);
    flow.heading("Che cosa è stato pagato", "What was paid", 30.0);
    let item = |item: &super::PaidItem| Row::Plain {
        it: item.what_it.clone(),
        en: item.what_en.clone(),
        others: vec![item.count.to_string(), euros(item.amount)],
    };
    let mut rows: Vec<Row> = receipt.items.iter().map(item).collect();
    rows.push(Row::Sum { it: "Totale pagato".into(), en: "Total paid".into(), amount: euros(receipt.amount) });
    if !receipt.refunded.is_zero() {
        rows.push(Row::Sum { it: "Rimborsato".into(), en: "Paid back".into(), amount: euros(receipt.refunded) });
    }
    if !receipt.owed.is_zero() {
        rows.push(Row::Sum { it: "Da rimborsare".into(), en: "To be paid back".into(), amount: euros(receipt.owed) });
    }
    if !receipt.taken_back.is_zero() {
        let (it, en) = ("Ripreso dalla banca di chi ha pagato", "Taken back by the payer's bank");
        rows.push(Row::Sum { it: it.into(), en: en.into(), amount: euros(receipt.taken_back) });
    }
    flow.table(&HEADS, &rows);
    flow.skip(4.0);
    if receipt.charged_back {
        let it = "Il pagamento è stato revocato, o contestato e la contestazione è stata accolta: la banca di chi ha pagato riprende l'importo.";
        flow.say(Italian, Style::SENTENCE, it);
        let en = "The payment was revoked, or contested and the payer was found to be right: their bank takes the amount back.";
        flow.say(English, Style::SENTENCE_BELOW, en);
        flow.skip(2.0);
    }
    let it = "L'importo non comprende la commissione chiesta da chi ha incassato. Questa attestazione non è una fattura e non dà diritto all'ingresso: per entrare \
              servono i biglietti.";
    flow.say(Italian, Style::SENTENCE, it);
    let en = "The amount does not include the fee charged by whoever took the payment. This certificate is not an invoice and does not admit anyone: tickets do.";
    flow.say(English, Style::SENTENCE_BELOW, en);
    Ok(flow.sheets(&format!("Attestazione di pagamento {}", receipt.receipt)))
}

#[cfg(test)]
mod tests {
    use super::super::layout::SHEET_MM;
    use super::super::layout::tests::{assert_sound, hostile, text_of};
    use super::super::pdf::tests::{contains, pages};
    use super::*;
    use crate::print::{Letterhead, PaidItem};
    use jiff::civil::date;
    use tornello_engine::money::Cents;

    fn an_item(what_it: &str, what_en: &str, count: u32, cents: i64) -> PaidItem {
        PaidItem { what_it: what_it.into(), what_en: what_en.into(), count, amount: Cents::new(cents) }
    }

    fn a_receipt() -> PrintedReceipt {
        PrintedReceipt {
            issuer: Letterhead {
                name: "Ministero della cultura".into(),
                office: "Museo archeologico nazionale e teatro romano di Spoleto".into(),
                address: "Via di Sant'Agata 18, 06049 Spoleto (PG)".into(),
                fiscal_code: "97832870584".into(),
                contact: "gruppi@museo.example.it".into(),
            },
            issued_on: date(2027, 4, 9),
            payer: "Istituto comprensivo statale «Gianni Rodari»".into(),
            payer_code: "93023290543".into(),
            items: vec![
                an_item("Studenti, 15 aprile 2027, ingresso 09:00–09:30", "Students, 15 April 2027, entry 09:00–09:30", 47, 14_100),
                an_item("Sistema audio", "Audio system", 47, 5_640),
                an_item("Diritti di prenotazione", "Booking fee", 2, 2_000),
            ],
            amount: Cents::new(21_740),
            refunded: Cents::ZERO,
            owed: Cents::ZERO,
            charged_back: false,
            taken_back: Cents::ZERO,
            paid_at: date(2027, 4, 8).at(10, 5, 33, 0),
            method_it: "Avviso pagoPA, app della banca".into(),
            method_en: "pagoPA notice, app of the bank".into(),
            psp: "Banca di esempio S.p.A.".into(),
            notice_number: "301000000000000144".into(),
            iuv: "01000000000000144".into(),
            receipt: "a1b2c3d4e5f60718293a4b5c6d7e8f90".into(),
            reference: "000g00g1rksp8".into(),
        }
    }

    /// Every text as bad as it gets.
    fn a_receipt_of(worst: &str) -> PrintedReceipt {
        let mut receipt = a_receipt();
        let text = || worst.to_owned();
        receipt.issuer = Letterhead { name: text(), office: text(), address: text(), fiscal_code: text(), contact: text() };
        for field in [
            &mut receipt.payer,
            &mut receipt.payer_code,
            &mut receipt.method_it,
            &mut receipt.method_en,
            &mut receipt.psp,
            &mut receipt.notice_number,
            &mut receipt.iuv,
            &mut receipt.receipt,
            &mut receipt.reference,
        ] {
            *field = text();
        }
        receipt.items = vec![an_item(worst, worst, u32::MAX, i64::MIN); 30];
        let one = Cents::new(1);
        PrintedReceipt { amount: Cents::new(i64::MAX), refunded: one, owed: one, charged_back: true, taken_back: one, ..receipt }
    }

    #[test]
    fn what_when_how_and_under_which_numbers() {
        let faces = Faces::load().unwrap();
        let sheets = arrange(&a_receipt(), &faces).unwrap();
        assert_eq!(sheets.len(), 1);
        let text = text_of(&sheets[0].parts[0].blocks);
        for said in [
            "Attestazione di pagamento",
            "217,40 €",
            "giovedì 8 aprile 2027, ore 10:05",
            "Avviso pagoPA, app della banca",
            "Banca di esempio S.p.A.",
            "01000000000000144",
            "3010 0000 0000 0001 44",
            "a1b2c3d4e5f60718293a4b5c6d7e8f90",
            "Sistema audio",
            "emessa il 9 aprile 2027",
        ] {
            assert!(text.contains(said), "{said} in {text}");
        }
        assert!(!text.contains("Rimborsato") && !text.contains("Da rimborsare") && !text.contains('…') && !text.contains("contestato"), "{text}");
        // Nobody proves by it that the museum has what their bank took back.
        let charged_back = PrintedReceipt { charged_back: true, ..a_receipt() };
        let text = text_of(&arrange(&charged_back, &faces).unwrap()[0].parts[0].blocks);
        assert!(text.contains("stata accolta") && text.contains("takes the amount back") && !text.contains("Ripreso"), "{text}");
        let taken_back = PrintedReceipt { taken_back: Cents::new(1_700), ..charged_back };
        let text = text_of(&arrange(&taken_back, &faces).unwrap()[0].parts[0].blocks);
        assert!(text.contains("Ripreso dalla banca") && text.contains("17,00 €"), "{text}");
        // What is to go back and has not is not said to have.
        let owed = PrintedReceipt { owed: Cents::new(300), ..a_receipt() };
        let text = text_of(&arrange(&owed, &faces).unwrap()[0].parts[0].blocks);
        assert!(!text.contains("Rimborsato") && text.contains("Da rimborsare") && text.contains("3,00 €"), "{text}");
        // At a desk there is neither notice nor provider: nothing stands where they would.
        let desk = PrintedReceipt { psp: String::new(), notice_number: String::new(), iuv: String::new(), refunded: Cents::new(300), ..a_receipt() };
        let text = text_of(&arrange(&desk, &faces).unwrap()[0].parts[0].blocks);
        assert!(!text.contains("IUV") && !text.contains("Numero avviso") && text.contains("Rimborsato") && text.contains("3,00 €"), "{text}");
    }

    #[test]
    fn any_text_fits_and_gives_the_same_file_twice() {
        let faces = Faces::load().unwrap();
        for receipt in hostile().iter().map(|text| a_receipt_of(text)).chain([a_receipt()]) {
            let sheets = arrange(&receipt, &faces).unwrap();
            for part in sheets.iter().flat_map(|sheet| &sheet.parts) {
                assert_sound(part, SHEET_MM.1);
            }
            let file = receipt_pdf(&receipt).unwrap();
            assert_eq!((pages(&file), file == receipt_pdf(&receipt).unwrap()), (sheets.len(), true));
            assert!(contains(&file, b"pdfuaid:part") && !contains(&file, b"CreationDate"));
        }
        let many = PrintedReceipt { items: vec![an_item("a", "a", 1, 1); PRINTED_ROWS_MAX + 1], ..a_receipt() };
        assert!(matches!(receipt_pdf(&many), Err(PrintError::TooMany { .. })));
    }
}
