//! A quote of the group office (preventivo) on A4: who comes when, what it costs, by when to sign and to pay, on which conditions, and where to sign.

use jiff::civil::{Date, Time};
use tornello_engine::money::Cents;
use tornello_engine::text::Text;

use super::flow::{Fact, Flow, GUTTER_MM, HALF_WIDTH_MM, Head, Row, SECOND_MM};
use super::layout::Language::{English, Italian};
use super::layout::{Column, FULL_WIDTH_MM, Faces, LEFT_MM, Shape, Sheet, Style};
use super::words::{clock, date_it, day_en, day_it, euros};
use super::{PRINTED_ROWS_MAX, PrintError, PrintedQuote, QuotedExtra, pdf};

const HEADS: [Head; 4] = [
    Head { it: "Voce", en: "Item", offset_mm: 2.0, width_mm: 92.0, is_number: false },
    Head { it: "Quantità", en: "Quantity", offset_mm: 98.0, width_mm: 20.0, is_number: true },
    Head { it: "Prezzo", en: "Price each", offset_mm: 120.0, width_mm: 25.0, is_number: true },
    Head { it: "Importo", en: "Amount", offset_mm: 147.0, width_mm: 31.0, is_number: true },
];
/// Where to sign.
const SIGNATURE_MM: f32 = 40.0;
/// What asks for the signature, with its heading.
const ACCEPTANCE_MM: f32 = SIGNATURE_MM + 26.0;
/// The most that is kept on one sheet with what is signed: nearly all of it.
const KEPT_MM_MAX: f32 = 240.0;

/// A quote as a PDF file.
///
/// # Errors
/// [`PrintError::Nothing`] without a part, [`PrintError::TooMany`] above [`PRINTED_ROWS_MAX`] rows.
pub fn quote_pdf(quote: &PrintedQuote) -> Result<Vec<u8>, PrintError> {
    let faces = Faces::load()?;
    pdf::write(&format!("Preventivo · Quote {}", quote.number), &faces, &arrange(quote, &faces)?)
}

fn arrange(quote: &PrintedQuote, faces: &Faces) -> Result<Vec<Sheet>, PrintError> {
    let count = quote.parts.iter().map(|part| part.people.len() + 1).sum::<usize>() + quote.extras.len() + quote.conditions.len();
    if quote.parts.is_empty() {
        return Err(PrintError::Nothing);
    }
    if count > PRINTED_ROWS_MAX {
        return Err(PrintError::TooMany { count });
    }
    let mut flow = Flow::new(faces, format!("Preventivo {}", quote.number));
    flow.letterhead(&quote.issuer);
    let marks = [format!("N. {}", quote.number), format!("Revisione {}", quote.revision), format!("del {}", date_it(quote.issued_on))];
    flow.title("Preventivo", "Quote for a group visit", &marks);
    let people: u64 = quote.parts.iter().flat_map(|part| &part.people).map(|line| u64::from(line.count)).sum();
    let counted = |count: u64, one: &str, more: &str| format!("{count} {}", if count == 1 { one } else { more });
    let groups = quote.parts.len() as u64;
    let who_it = format!("{}, {}", counted(groups, "gruppo", "gruppi"), counted(people, "persona", "persone"));
    let who_en = format!("{}, {}", counted(groups, "group", "groups"), counted(people, "person", "people"));
    flow.facts(&[
        Fact::new("Ente o gruppo", "Institution", &*quote.institution).below(&*quote.institution_code),
        Fact::new("Referente", "Contact", &*quote.contact).below(&*quote.contact_address),
        Fact::new("Museo", "Museum", &*quote.museum),
        Fact::new("Visita", "Visit", &*quote.visit).below(format!("{who_it} · {who_en}")),
    ]);
    terms(&mut flow, quote);
    flow.heading("Visite e prezzi", "Visits and prices", 30.0);
    flow.table(&HEADS, &rows(quote));
    escorts(&mut flow, quote);
    if let Some(last) = quote.conditions.last() {
        // What is signed stands on a sheet with a condition at least: nobody signs a sheet that says nothing.
        let last_mm = (height_of(&flow, last) + ACCEPTANCE_MM).min(KEPT_MM_MAX);
        let is_only = quote.conditions.len() == 1;
        flow.heading("Condizioni", "Conditions", if is_only { last_mm } else { 12.0 });
        for (condition, number) in quote.conditions.iter().zip(1..) {
            if number == quote.conditions.len() && !is_only {
                flow.keep(last_mm);
            }
            flow.say(Italian, Style::SENTENCE, &format!("{number}. {}", condition.it));
            flow.say(English, Style::SENTENCE_BELOW, &condition.en);
            flow.skip(1.2);
        }
    }
    signature(&mut flow, quote.sign_by);
    Ok(flow.sheets(&format!("Preventivo {} · revisione {}", quote.number, quote.revision)))
}

/// How high a condition is.
fn height_of(flow: &Flow<'_>, condition: &Text) -> f32 {
    let column = flow.column(LEFT_MM, FULL_WIDTH_MM).say(Italian, Style::SENTENCE, usize::MAX, &format!("00. {}", condition.it));
    column.say(English, Style::SENTENCE_BELOW, usize::MAX, &condition.en).below_mm + 1.2
}

/// The total and the days that count, in a frame.
fn terms(flow: &mut Flow<'_>, quote: &PrintedQuote) {
    let width_mm = (FULL_WIDTH_MM - 12.0 - 2.0 * GUTTER_MM) / 3.0;
    let place = |at: f32| LEFT_MM + 6.0 + at * (width_mm + GUTTER_MM);
    let total = flow.column(place(0.0), width_mm).gap(4.0).label("Totale", "Total").say(Italian, Style::AMOUNT, 1, &euros(quote.total()));
    let column = |at: f32| flow.column(place(at), width_mm).gap(4.0);
    let sign = by(column(1.0).label("Da firmare entro", "Sign by"), quote.sign_by);
    let pay = by(column(2.0).label("Da pagare entro", "Pay by"), quote.pay_by);
    let height_mm = [&total, &sign, &pay].map(|column| column.below_mm).into_iter().fold(0.0, f32::max) + 4.0;
    flow.keep(height_mm + 4.0);
    let top_mm = flow.y_mm();
    flow.shape(Shape::Frame { left_mm: LEFT_MM, top_mm, width_mm: FULL_WIDTH_MM, height_mm });
    flow.beside(vec![total, sign, pay]);
    flow.skip(6.0);
    if !quote.payment_it.is_empty() {
        flow.say(Italian, Style::SENTENCE, &quote.payment_it);
        flow.say(English, Style::SENTENCE_BELOW, &quote.payment_en);
    }
}

fn by(column: Column<'_>, last: Option<(Date, Option<Time>)>) -> Column<'_> {
    match last.map(until) {
        Some((it, en)) => column.say(Italian, Style::VALUE, 2, &it).say(English, Style::BELOW, 2, &en),
        None => column.say(Italian, Style::VALUE, 1, "non richiesto").say(English, Style::BELOW, 1, "not needed"),
    }
}

/// The last day of something, with the time at which that ends it, if it does.
fn until((day, time): (Date, Option<Time>)) -> (String, String) {
    let (it, en) = time.map(|time| (format!(", ore {}", clock(time)), format!(", {}", clock(time)))).unwrap_or_default();
    (format!("{}{it}", day_it(day)), format!("{}{en}", day_en(day)))
}

fn rows(quote: &PrintedQuote) -> Vec<Row> {
    let mut rows = Vec::new();
    let line = |it: &str, en: &str, count: u32, price: Cents| {
        let others = if price.is_zero() {
            vec![count.to_string(), "gratuito".to_owned(), euros(Cents::ZERO)]
        } else {
            vec![count.to_string(), euros(price), euros(price.times(count))]
        };
        Row::Plain { it: it.to_owned(), en: en.to_owned(), others }
    };
    for (part, number) in quote.parts.iter().zip(1_u32..) {
        let window = format!("{}–{}", clock(part.enter_from), clock(part.enter_until));
        let left = format!("Gruppo {number} · {} · ingresso {window}", day_it(part.day));
        let below = format!("Group {number} · {} · entry {window}", day_en(part.day));
        rows.push(Row::Strip { left, below, right: part.route.clone() });
        rows.extend(part.people.iter().map(|people| line(&people.category_it, &people.category_en, people.count, people.price)));
    }
    if !quote.extras.is_empty() || quote.fee.is_some() {
        let below = "Services and fee".to_owned();
        rows.push(Row::Strip { left: "Servizi e diritti".into(), below, right: String::new() });
        rows.extend(
            quote.extras.iter().chain(&quote.fee).map(|QuotedExtra { name_it, name_en, count, price }| line(name_it, name_en, *count, *price)),
        );
    }
    rows.push(Row::Sum { it: "Totale".into(), en: "Total".into(), amount: euros(quote.total()) });
    rows
}

fn escorts(flow: &mut Flow<'_>, quote: &PrintedQuote) {
    if quote.free_escorts == 0 {
        return;
    }
    flow.skip(2.5);
    let (it, en) = match quote.free_escorts {
        1 => ("Comprende l'ingresso gratuito di 1 accompagnatore.".to_owned(), "One escort enters free of charge.".to_owned()),
        count => (format!("Comprende l'ingresso gratuito di {count} accompagnatori."), format!("{count} escorts enter free of charge.")),
    };
    flow.say(Italian, Style::SENTENCE, &it);
    flow.say(English, Style::SENTENCE_BELOW, &en);
}

/// Where the institution accepts, in one piece.
fn signature(flow: &mut Flow<'_>, sign_by: Option<(Date, Option<Time>)>) {
    flow.heading("Accettazione", "Acceptance", SIGNATURE_MM + 12.0);
    let until = sign_by.map(until).map(|(it, en)| (format!(" entro {it}"), format!(", by {en}"))).unwrap_or_default();
    let it = format!("Si accetta il presente preventivo con le sue condizioni. Restituire questa pagina firmata{}.", until.0);
    flow.say(Italian, Style::SENTENCE, &it);
    flow.say(English, Style::SENTENCE_BELOW, &format!("The quote and its conditions are accepted. Return this page, signed{}.", until.1));
    flow.skip(2.0);
    let top_mm = flow.y_mm();
    for left_mm in [LEFT_MM, SECOND_MM] {
        flow.shape(Shape::Frame { left_mm, top_mm, width_mm: HALF_WIDTH_MM, height_mm: SIGNATURE_MM - 6.0 });
    }
    let place = flow.column(LEFT_MM + 3.0, HALF_WIDTH_MM - 6.0).gap(2.0).label("Luogo e data", "Place and date");
    let sign = flow.column(SECOND_MM + 3.0, HALF_WIDTH_MM - 6.0).gap(2.0).label("Firma del responsabile e timbro", "Signature and stamp");
    flow.beside(vec![place, sign]);
    flow.skip(SIGNATURE_MM - 8.0);
}

#[cfg(test)]
mod tests {
    use super::super::layout::SHEET_MM;
    use super::super::layout::tests::{assert_sound, hostile, text_of};
    use super::super::pdf::tests::{contains, pages};
    use super::*;
    use crate::print::{Letterhead, QuotedPart, QuotedPeople};
    use jiff::civil::{date, time};

    fn people(category_it: &str, category_en: &str, count: u32, cents: i64) -> QuotedPeople {
        QuotedPeople { category_it: category_it.into(), category_en: category_en.into(), count, price: Cents::new(cents) }
    }

    fn a_part(people: Vec<QuotedPeople>) -> QuotedPart {
        let route = "Museo e teatro romano".into();
        QuotedPart { day: date(2027, 4, 15), enter_from: time(9, 0, 0, 0), enter_until: time(9, 30, 0, 0), route, people }
    }

    fn a_quote() -> PrintedQuote {
        let extra = |name_it: &str, name_en: &str, count, cents| QuotedExtra {
            name_it: name_it.into(),
            name_en: name_en.into(),
            count,
            price: Cents::new(cents),
        };
        PrintedQuote {
            issuer: Letterhead {
                name: "Ministero della cultura".into(),
                office: "Museo archeologico nazionale di Spoleto · Ufficio gruppi".into(),
                address: "Via di Sant'Agata 18, 06049 Spoleto (PG)".into(),
                fiscal_code: "97832870584".into(),
                contact: "gruppi@museo.example.it · 0743 000000".into(),
            },
            number: "000g00g1rksp8".into(),
            revision: 2,
            issued_on: date(2027, 3, 1),
            museum: "Museo archeologico nazionale e teatro romano di Spoleto".into(),
            visit: "Visita scolastica".into(),
            institution: "Istituto comprensivo statale «Gianni Rodari»".into(),
            institution_code: "C.F. 93023290543".into(),
            contact: "Maria Antonietta Zanichelli de' Pazzi".into(),
            contact_address: "segreteria@scuola.example.it · 0743 111111".into(),
            parts: vec![
                a_part(vec![people("Studenti", "Students", 24, 300), people("Accompagnatori gratuiti", "Free escorts", 2, 0)]),
                a_part(vec![people("Studenti", "Students", 23, 300), people("Accompagnatori gratuiti", "Free escorts", 2, 0)]),
            ],
            extras: vec![extra("Sistema audio", "Audio system", 47, 120)],
            fee: Some(extra("Diritti di prenotazione", "Booking fee", 2, 1_000)),
            free_escorts: 4,
            sign_by: Some((date(2027, 3, 15), None)),
            pay_by: Some((date(2027, 4, 8), None)),
            payment_it: "Pagamento con l'avviso pagoPA che l'ufficio manda dopo l'accettazione.".into(),
            payment_en: "Payment by the pagoPA notice that the office sends after acceptance.".into(),
            conditions: vec![
                Text::new("La prenotazione vale dopo la conferma dell'ufficio.", "The booking holds once the office has confirmed it."),
                Text::new(
                    &"In caso di ritardo il gruppo entra se c'è posto. ".repeat(6),
                    &"A group that is late enters if there is room. ".repeat(6),
                ),
            ],
        }
    }

    /// As much as a quote of the group office may have.
    fn a_large_quote() -> PrintedQuote {
        let categories =
            (1..=16).map(|n| people(&format!("Categoria {n} con un nome che non finisce mai, per gruppi molto particolari"), "A category", n, 250));
        let part = a_part(categories.collect());
        PrintedQuote { parts: vec![part; 12], ..a_quote() }
    }

    /// Every text as bad as it gets.
    fn a_quote_of(worst: &str) -> PrintedQuote {
        let text = || worst.to_owned();
        let mut quote = a_quote();
        quote.issuer = Letterhead { name: text(), office: text(), address: text(), fiscal_code: text(), contact: text() };
        for field in [
            &mut quote.number,
            &mut quote.museum,
            &mut quote.visit,
            &mut quote.institution,
            &mut quote.institution_code,
            &mut quote.contact,
            &mut quote.contact_address,
            &mut quote.payment_it,
            &mut quote.payment_en,
        ] {
            *field = text();
        }
        quote.parts[0] = QuotedPart { route: text(), ..a_part(vec![people(worst, worst, 1, 100); 3]) };
        quote.extras[0] = QuotedExtra { name_it: text(), name_en: text(), ..quote.extras[0].clone() };
        quote.conditions = vec![Text::new(worst, worst); 6];
        quote.parts[1].people[0] = people(worst, worst, u32::MAX, i64::MAX);
        quote
    }

    fn said(sheets: &[Sheet]) -> String {
        text_of(sheets.iter().flat_map(|sheet| &sheet.parts).flat_map(|part| &part.blocks))
    }

    #[test]
    fn the_total_is_that_of_the_rows() {
        let quote = a_quote();
        assert_eq!(quote.total(), Cents::new(47 * 300 + 47 * 120 + 2_000));
        let faces = Faces::load().unwrap();
        let text = said(&arrange(&quote, &faces).unwrap());
        assert_eq!(text.matches("217,40 €").count(), 2, "{text}");
        for said in [
            "N. 000g00g1rksp8",
            "Revisione 2",
            "del 1º marzo 2027",
            "2 gruppi, 51 persone · 2 groups, 51 people",
            "Gruppo 2 · giovedì 15 aprile 2027 · ingresso 09:00–09:30",
            "Museo e teatro romano",
            "72,00 €",
            "lunedì 15 marzo 2027",
            "giovedì 8 aprile 2027",
            "4 accompagnatori",
            "Firma del responsabile e timbro",
            "Zanichelli de' Pazzi",
        ] {
            assert!(text.contains(said), "{said} in {text}");
        }
        assert!(!text.contains('…'), "{text}");
    }

    #[test]
    fn a_deadline_within_a_day_says_its_time() {
        let faces = Faces::load().unwrap();
        let late = |hour| Some((date(2027, 9, 29), Some(time(hour, 30, 0, 0))));
        let text = said(&arrange(&PrintedQuote { sign_by: late(9), pay_by: late(10), ..a_quote() }, &faces).unwrap());
        for (words, times) in [
            ("mercoledì 29 settembre 2027, ore 09:30", 2),
            ("Wednesday 29 September 2027, 09:30", 2),
            ("mercoledì 29 settembre 2027, ore 10:30", 1),
            ("Wednesday 29 September 2027, 10:30", 1),
        ] {
            assert_eq!(text.matches(words).count(), times, "{words} in {text}");
        }
        assert!(!text.contains('…'), "{text}");
    }

    #[test]
    fn a_large_quote_goes_over_several_sheets_and_loses_nothing() {
        let faces = Faces::load().unwrap();
        let quote = a_large_quote();
        let sheets = arrange(&quote, &faces).unwrap();
        assert!(sheets.len() > 4, "{}", sheets.len());
        let text = said(&sheets);
        assert_eq!(text.matches("con un nome che non finisce mai").count(), 12 * 16);
        // Each heads its rows, and again where they go on to the next sheet.
        assert!((1..=12).all(|group| text.contains(&format!("Gruppo {group} · "))));
        assert!(text.matches("Gruppo ").count() > 12 && text.matches("Gruppo ").count() < 12 + sheets.len());
        assert_eq!(text.matches(&format!("di {} · page", sheets.len())).count(), sheets.len());
        // What heads the table stands on every sheet that has rows of it.
        for sheet in &sheets {
            let has_rows = sheet.parts[0].blocks.iter().any(|block| matches!(block, super::super::layout::Block::Row(_)));
            assert_eq!(text_of(&sheet.parts[0].blocks).contains("Price each"), has_rows);
        }
    }

    #[test]
    fn any_text_fits_and_gives_the_same_file_twice() {
        let faces = Faces::load().unwrap();
        for quote in hostile().iter().map(|text| a_quote_of(text)).chain([a_quote(), a_large_quote()]) {
            let sheets = arrange(&quote, &faces).unwrap();
            for part in sheets.iter().flat_map(|sheet| &sheet.parts) {
                assert_sound(part, SHEET_MM.1);
            }
            let file = quote_pdf(&quote).unwrap();
            assert_eq!((pages(&file), file == quote_pdf(&quote).unwrap()), (sheets.len(), true));
            assert!(contains(&file, b"pdfuaid:part") && contains(&file, b"/Table") && !contains(&file, b"CreationDate"));
        }
    }

    /// Whatever comes before it, nothing is lost at the end of a sheet.
    #[test]
    fn every_length_breaks_well() {
        let faces = Faces::load().unwrap();
        for rows in 1..60 {
            let categories = (0..rows).map(|n| people(&format!("Categoria {n}."), "Category", 1, 100)).collect();
            let quote = PrintedQuote { parts: vec![a_part(categories)], ..a_quote() };
            let sheets = arrange(&quote, &faces).unwrap();
            sheets.iter().flat_map(|sheet| &sheet.parts).for_each(|part| assert_sound(part, SHEET_MM.1));
            let text = said(&sheets);
            assert!((0..rows).all(|n| text.contains(&format!("Categoria {n}."))) && text.contains("Firma del responsabile"), "{rows}");
            // What is signed says something: the last condition at least.
            let signed = sheets.iter().map(|sheet| said(std::slice::from_ref(sheet))).find(|text| text.contains("Firma del responsabile"));
            assert!(signed.is_some_and(|text| text.contains("2. In caso di ritardo")), "{rows}");
        }
    }

    #[test]
    fn a_quote_has_a_visit_and_no_end_of_rows() {
        let nothing = PrintedQuote { parts: Vec::new(), ..a_quote() };
        assert_eq!(quote_pdf(&nothing), Err(PrintError::Nothing));
        let part = a_part(vec![people("a", "a", 1, 1); 99]);
        let most = PrintedQuote { parts: vec![part.clone(); 9], extras: Vec::new(), ..a_quote() };
        assert!(pages(&quote_pdf(&most).unwrap()) < 40);
        let many = PrintedQuote { parts: vec![part; 11], ..most };
        assert!(matches!(quote_pdf(&many), Err(PrintError::TooMany { .. })));
    }
}
