//! A payment notice (avviso di pagamento) on A4: what is due, by when, the QR code that apps read, the numbers to type where none does, where and how to pay.
//!
//! The layout and the words are ours. The code is the one of pagoPA's notice ("Codice QR" in the guide to the notice): version 4, error correction M.

use tornello_engine::money::Cents;

use super::flow::{Fact, Flow, HALF_WIDTH_MM, SECOND_MM};
use super::layout::Language::{Any, English, Italian};
use super::layout::{ACCENT, Block, Column, FULL_WIDTH_MM, Faces, LEFT_MM, Language, Shape, Sheet, Style, TINT, lower};
use super::qr::Matrix;
use super::words::{clock, day_en, day_it, euros, in_fours};
use super::{PrintError, PrintedNotice, pdf};

/// The largest amount of a notice (SACI: nine digits before the point).
const AMOUNT_MAX: i64 = 99_999_999_999;
/// The dark part of the code: 33 modules of 1.2 mm.
const QR_MM: f32 = 40.0;
/// The panel with amount, day and code.
const PANEL_MM: f32 = 63.0;

const STEPS_IT: [&str; 4] = [
    "Con il telefono o il computer: nell'app o nel sito della propria banca, o in un'altra app di pagamento, scegliere pagoPA e inquadrare il codice QR; in \
     alternativa scrivere il numero dell'avviso e il codice fiscale dell'ente creditore.",
    "Di persona: mostrare questo avviso, su carta o sullo schermo, presso uno sportello bancario o automatico, una tabaccheria, una ricevitoria o un altro \
     esercente che incassa avvisi pagoPA.",
    "Chi incassa può chiedere una commissione, che non è compresa nell'importo e che mostra prima del pagamento.",
    "Il pagamento è comunicato all'ente creditore in automatico: non serve inviare copia della ricevuta. Si paga una volta sola e per l'intero importo.",
];
const STEPS_EN: [&str; 4] = [
    "By phone or computer: in the app or on the website of your bank, or in another payment app, choose pagoPA and scan the QR code; or type the notice number \
     and the creditor's tax code.",
    "In person: show this notice, on paper or on a screen, at a bank counter or cash machine, a tobacconist's or another shop that takes pagoPA notices.",
    "Whoever takes the payment may charge a fee, which is not part of the amount and is shown before you pay.",
    "The creditor is told of the payment automatically: there is no need to send a copy of the receipt. Pay once, and the whole amount.",
];

/// The text of the QR code of a notice: `PAGOPA|002|notice number|creditor's fiscal code|cents`, the cents with two digits at least.
///
/// # Errors
/// If the notice number has not 18 digits, the fiscal code not 11, or the amount is not from 1 cent to 999,999,999.99 euros.
pub fn notice_code(notice_number: &str, creditor_fiscal_code: &str, amount: Cents) -> Result<String, PrintError> {
    let is_number = |text: &str, digits| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_sound = is_number(notice_number, 18) && is_number(creditor_fiscal_code, 11) && (1..=AMOUNT_MAX).contains(&amount.get());
    let text = || format!("PAGOPA|002|{notice_number}|{creditor_fiscal_code}|{:02}", amount.get());
    is_sound.then(text).ok_or(PrintError::NotANotice)
}

/// A payment notice as a PDF file of one sheet.
///
/// # Errors
/// As [`notice_code`].
pub fn notice_pdf(notice: &PrintedNotice) -> Result<Vec<u8>, PrintError> {
    let faces = Faces::load()?;
    pdf::write(&format!("Avviso di pagamento · Payment notice {}", notice.notice_number), &faces, &arrange(notice, &faces)?)
}

fn arrange(notice: &PrintedNotice, faces: &Faces) -> Result<Vec<Sheet>, PrintError> {
    let code = notice_code(&notice.notice_number, &notice.issuer.fiscal_code, notice.amount)?;
    let matrix = Matrix::of_notice(&code)?;
    let number = in_fours(&notice.notice_number);
    let mut flow = Flow::new(faces, format!("Avviso di pagamento {}", notice.notice_number));
    flow.letterhead(&notice.issuer);
    let reference = if notice.reference.is_empty() { String::new() } else { format!("Rif. {}", notice.reference) };
    flow.title("Avviso di pagamento", "Payment notice", &["pagoPA".to_owned(), format!("Avviso {number}"), reference]);
    flow.facts(&[Fact::new("Intestato a", "Payer", &*notice.payer).below(&*notice.payer_code), Fact::new("Oggetto", "Subject", &*notice.subject)]);
    flow.skip(1.0);
    panel(&mut flow, notice, matrix);
    flow.skip(PANEL_MM + 4.0);
    numbers(&mut flow, notice, &number);
    flow.heading("Dove e come pagare", "", 20.0);
    steps(&mut flow, Italian, Style::SENTENCE, &STEPS_IT);
    let late_it = if notice.issuer.contact.is_empty() { String::new() } else { format!(" Informazioni: {}.", notice.issuer.contact) };
    let late_it = format!("Dopo la scadenza l'avviso può non essere più pagabile e i posti tornano liberi.{late_it}");
    flow.beside(vec![flow.column(LEFT_MM, FULL_WIDTH_MM).say(Italian, Style::SENTENCE, 2, &late_it)]);
    flow.heading("Where and how to pay", "", 20.0);
    steps(&mut flow, English, Style::SENTENCE_BELOW, &STEPS_EN);
    flow.say(English, Style::SENTENCE_BELOW, "After the due date the notice may no longer be payable, and the places are free again.");
    Ok(flow.sheets(&format!("Avviso di pagamento {number}")))
}

/// Amount and day at the left, the code at the right.
fn panel(flow: &mut Flow<'_>, notice: &PrintedNotice, matrix: Matrix) {
    let top_mm = flow.y_mm();
    flow.shape(Shape::Frame { left_mm: LEFT_MM, top_mm, width_mm: FULL_WIDTH_MM, height_mm: PANEL_MM });
    let put = |flow: &mut Flow<'_>, mut column: Column<'_>| {
        lower(&mut column.lines, top_mm);
        flow.block(Block::Paragraph(column.lines));
        column.below_mm
    };
    let amount = flow.column(LEFT_MM + 6.0, 104.0).gap(7.0).label("Importo", "Amount due").say(Any, Style::AMOUNT, 1, &euros(notice.amount));
    let below_mm = put(flow, amount);
    let until = notice.due_until.map(|time| (format!(", ore {}", clock(time)), format!(", {}", clock(time)))).unwrap_or_default();
    let due = flow.column(LEFT_MM + 6.0, 104.0).gap(below_mm + 5.0).label("Da pagare entro", "Due by");
    let due = due.say(Italian, Style::STRONG, 2, &format!("{}{}", day_it(notice.due_on), until.0));
    let due = due.say(English, Style::BELOW, 1, &format!("{}{}", day_en(notice.due_on), until.1));
    put(flow, due);
    let left_mm = LEFT_MM + FULL_WIDTH_MM - QR_MM - 12.0;
    let alt = format!("Codice QR dell'avviso, QR code of the notice: {}", notice.notice_number);
    flow.block(Block::Code { left_mm, top_mm: top_mm + 6.5, side_mm: QR_MM, matrix, alt });
    let mut caption = flow.column(left_mm - 12.0, QR_MM + 24.0).gap(6.5 + QR_MM + 4.5);
    caption = caption.say(Italian, Style::CELL, 1, "Inquadrare per pagare").say(English, Style::LABEL_BELOW, 1, "Scan to pay");
    caption.lines.iter_mut().for_each(|line| line.left_mm += (QR_MM + 24.0 - line.width_mm) / 2.0);
    put(flow, caption);
}

/// What to type where no code is read.
fn numbers(flow: &mut Flow<'_>, notice: &PrintedNotice, number: &str) {
    let top_mm = flow.y_mm();
    let left = flow.column(LEFT_MM + 6.0, HALF_WIDTH_MM - 2.0).gap(3.0).label("Numero avviso", "Notice number").say(Any, Style::STRONG, 1, number);
    let right = flow.column(SECOND_MM + 6.0, HALF_WIDTH_MM - 6.0).gap(3.0).label("Codice fiscale ente creditore", "Creditor's tax code");
    let right = right.say(Any, Style::STRONG, 1, &notice.issuer.fiscal_code);
    let height_mm = left.below_mm.max(right.below_mm) + 3.0;
    flow.shape(Shape::Fill { left_mm: LEFT_MM, top_mm, width_mm: FULL_WIDTH_MM, height_mm, color: TINT });
    flow.shape(Shape::Fill { left_mm: LEFT_MM, top_mm, width_mm: 1.2, height_mm, color: ACCENT });
    flow.beside(vec![left, right]);
    flow.skip(3.0);
}

fn steps(flow: &mut Flow<'_>, language: Language, style: Style, steps: &[&str]) {
    for step in steps {
        flow.say(language, style, &format!("– {step}"));
        flow.skip(0.8);
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::SHEET_MM;
    use super::super::layout::tests::{assert_sound, hostile, text_of};
    use super::super::pdf::tests::{contains, pages};
    use super::super::qr;
    use super::*;
    use crate::print::Letterhead;
    use jiff::civil::{Date, date, time};

    fn a_notice() -> PrintedNotice {
        PrintedNotice {
            issuer: Letterhead {
                name: "Ministero della cultura".into(),
                office: "Museo archeologico nazionale e teatro romano di Spoleto".into(),
                address: "Via di Sant'Agata 18, 06049 Spoleto (PG)".into(),
                fiscal_code: "97832870584".into(),
                contact: "gruppi@museo.example.it".into(),
            },
            payer: "Istituto comprensivo statale «Gianni Rodari» di Spoleto".into(),
            payer_code: "93023290543".into(),
            subject: "Visita di gruppo, 15 aprile 2027, 52 persone".into(),
            amount: Cents::new(30_000),
            due_on: date(2027, 3, 15),
            due_until: None,
            notice_number: "301000000000000144".into(),
            reference: "000g00g1rksp8".into(),
        }
    }

    /// Every text as bad as it gets.
    fn a_notice_of(worst: &str) -> PrintedNotice {
        let text = || worst.to_owned();
        let issuer = Letterhead { name: text(), office: text(), address: text(), fiscal_code: "97832870584".into(), contact: text() };
        let (payer, payer_code, subject, reference) = (text(), text(), text(), text());
        let (amount, due_on, due_until) = (Cents::new(AMOUNT_MAX), Date::MIN, Some(time(23, 59, 0, 0)));
        PrintedNotice { issuer, payer, payer_code, subject, reference, amount, due_on, due_until, ..a_notice() }
    }

    fn code_of(sheets: &[Sheet]) -> (usize, u16, String) {
        let blocks = sheets.iter().flat_map(|sheet| &sheet.parts).flat_map(|part| &part.blocks);
        let codes: Vec<&Matrix> = blocks.filter_map(|block| if let Block::Code { matrix, .. } = block { Some(matrix) } else { None }).collect();
        assert_eq!(codes.len(), 1);
        qr::tests::read(codes[0])
    }

    #[test]
    fn a_reader_reads_the_code_of_the_notice() {
        let faces = Faces::load().unwrap();
        for (number, cents, text) in [
            ("301000000000000144", 30_000, "PAGOPA|002|301000000000000144|97832870584|30000"),
            ("301000000000004285", 200, "PAGOPA|002|301000000000004285|97832870584|200"),
            ("301000000000005909", 5, "PAGOPA|002|301000000000005909|97832870584|05"),
            ("301000000000005000", AMOUNT_MAX, "PAGOPA|002|301000000000005000|97832870584|99999999999"),
        ] {
            let notice = PrintedNotice { notice_number: number.into(), amount: Cents::new(cents), ..a_notice() };
            // 0 is level M in the format information of ISO/IEC 18004.
            assert_eq!(code_of(&arrange(&notice, &faces).unwrap()), (4, 0, text.to_owned()));
        }
    }

    #[test]
    fn numbers_that_no_notice_has_are_refused() {
        for (number, code, cents) in [
            ("30100000000000014", "97832870584", 100),
            ("3010000000000001444", "97832870584", 100),
            ("30100000000000014A", "97832870584", 100),
            ("301000000000000144", "9783287058", 100),
            ("301000000000000144", "9783287058X", 100),
            ("301000000000000144", "97832870584", 0),
            ("301000000000000144", "97832870584", -100),
            ("301000000000000144", "97832870584", AMOUNT_MAX + 1),
        ] {
            assert_eq!(notice_code(number, code, Cents::new(cents)), Err(PrintError::NotANotice), "{number} {code} {cents}");
        }
        let notice = PrintedNotice { amount: Cents::ZERO, ..a_notice() };
        assert_eq!(notice_pdf(&notice), Err(PrintError::NotANotice));
    }

    #[test]
    fn all_that_a_payer_needs_stands_on_one_sheet() {
        let faces = Faces::load().unwrap();
        let sheets = arrange(&PrintedNotice { due_until: Some(time(18, 0, 0, 0)), ..a_notice() }, &faces).unwrap();
        assert_eq!(sheets.len(), 1);
        let text = text_of(&sheets[0].parts[0].blocks);
        for said in [
            "Avviso di pagamento",
            "Ministero della cultura",
            "97832870584",
            "Istituto comprensivo statale «Gianni Rodari» di Spoleto",
            "Visita di gruppo, 15 aprile 2027, 52 persone",
            "300,00 €",
            "lunedì 15 marzo 2027, ore 18:00",
            "Monday 15 March 2027, 18:00",
            "3010 0000 0000 0001 44",
            "000g00g1rksp8",
            "gruppi@museo.example.it",
        ] {
            assert!(text.contains(said), "{said} in {text}");
        }
        for step in STEPS_IT.iter().chain(&STEPS_EN) {
            assert!(text.contains(step), "{step} in {text}");
        }
        assert!(!text.contains('…'), "{text}");
    }

    #[test]
    fn any_text_fits_and_gives_the_same_file_twice() {
        let faces = Faces::load().unwrap();
        for notice in hostile().iter().map(|text| a_notice_of(text)).chain([a_notice()]) {
            let sheets = arrange(&notice, &faces).unwrap();
            assert_eq!(sheets.len(), 1);
            for part in sheets.iter().flat_map(|sheet| &sheet.parts) {
                assert_sound(part, SHEET_MM.1);
            }
            let file = notice_pdf(&notice).unwrap();
            assert_eq!((pages(&file), file == notice_pdf(&notice).unwrap()), (sheets.len(), true));
            assert!(contains(&file, b"pdfuaid:part") && !contains(&file, b"CreationDate"));
        }
    }
}
