//! Tickets on A4 paper, two to a sheet, to print at home, fold and show where there is no network: Italian first, English below.
//!
//! `arrange` says what stands where and is all that the layout tests look at; `pdf` writes it down.

use std::num::NonZeroU16;

use super::layout::Language::{Any, English, Italian};
use super::layout::{ACCENT, Block, FULL_WIDTH_MM, Faces, LEFT_MM, Part, Place, SHEET_MM, Shape, Sheet, Style, leading_mm, paragraph, used_mm};
use super::qr::Matrix;
use super::words::{clock, day_en, day_it, euros};
use super::{PrintError, PrintedTicket, TICKETS_MAX, pdf};

const HALF_MM: f32 = SHEET_MM.1 / 2.0;
const TICKETS_PER_SHEET: usize = 2;
/// How wide the columns are, and where the right one begins. Folded twice, the sheet breaks at 105 mm: the code stays whole.
const LEFT_WIDTH_MM: f32 = 108.0;
const RIGHT_MM: f32 = 135.0;
const RIGHT_WIDTH_MM: f32 = 60.0;
/// The dark part of the code, without its quiet zone: almost 1 mm a module for a ticket code.
const QR_MM: f32 = 52.0;
const QR_AT_MM: (f32, f32) = (RIGHT_MM + (RIGHT_WIDTH_MM - QR_MM) / 2.0, 36.5);
/// The rule below the heading; the box with what to show: top and height.
const RULE_MM: f32 = 31.0;
const BOX_MM: (f32, f32) = (96.0, 24.0);
const INDENT_MM: f32 = 4.0;

const NOTES_IT: &str = "Il codice vale per questo biglietto soltanto: ogni lettura è registrata, e una copia o un secondo uso vengono riconosciuti \
    all'ingresso. Si può stampare in bianco e nero e piegare, o mostrare sullo schermo, anche senza rete.";
const NOTES_EN: &str = "The code is good for this ticket only: every scan is recorded, and a copy or a second use is detected at the entrance. Print it in \
    black and white and fold it, or show it on a screen, even without a network.";

const NAMED_IT: &str = "Un documento d'identità con il nome scritto su questo biglietto.";
const NAMED_EN: &str = "An identity document in the name on this ticket.";

/// The tickets as one PDF file, in the order given: at least one, at most [`TICKETS_MAX`].
pub fn tickets_pdf(tickets: &[PrintedTicket]) -> Result<Vec<u8>, PrintError> {
    let first = tickets.first().ok_or(PrintError::Nothing)?;
    if tickets.len() > TICKETS_MAX {
        return Err(PrintError::TooMany { count: tickets.len() });
    }
    let faces = Faces::load()?;
    let sheets: Vec<Sheet> = tickets.chunks(TICKETS_PER_SHEET).map(|some| sheet(some, &faces)).collect::<Result<_, _>>()?;
    pdf::write(&format!("Biglietti · Tickets: {}", first.museum), &faces, &sheets)
}

fn sheet(tickets: &[PrintedTicket], faces: &Faces) -> Result<Sheet, PrintError> {
    let tops_mm = [0.0, HALF_MM];
    let parts = tickets.iter().zip(tops_mm).map(|(ticket, top_mm)| {
        let frame = Shape::Frame { left_mm: LEFT_MM, top_mm: BOX_MM.0, width_mm: FULL_WIDTH_MM, height_mm: BOX_MM.1 };
        let rule = Shape::Fill { left_mm: LEFT_MM, top_mm: RULE_MM, width_mm: FULL_WIDTH_MM, height_mm: 0.5, color: ACCENT };
        Ok(Part { begins: Some(title(ticket)), top_mm, blocks: arrange(ticket, faces)?, shapes: vec![rule, frame] })
    });
    // Where two tickets part.
    let cut = (tickets.len() == TICKETS_PER_SHEET).then_some(Shape::Dashes { top_mm: HALF_MM });
    Ok(Sheet { parts: parts.collect::<Result<_, PrintError>>()?, shapes: cut.into_iter().collect() })
}

/// What stands on a ticket, in the order in which it is read.
fn arrange(ticket: &PrintedTicket, faces: &Faces) -> Result<Vec<Block>, PrintError> {
    let alt = format!("Codice QR, QR code: {}", ticket.ticket);
    let mut blocks = heading(ticket, faces);
    blocks.extend(visit(ticket, faces));
    blocks.push(Block::Code { left_mm: QR_AT_MM.0, top_mm: QR_AT_MM.1, side_mm: QR_MM, matrix: Matrix::of(&ticket.code)?, alt });
    blocks.extend(entrance(ticket, faces));
    Ok(blocks)
}

/// A line left of the code.
const fn left(baseline_mm: f32) -> Place {
    Place { left_mm: LEFT_MM, width_mm: LEFT_WIDTH_MM, baseline_mm, lines_max: 1 }
}

/// Above the rule: whose ticket it is, and which of how many.
fn heading(ticket: &PrintedTicket, faces: &Faces) -> Vec<Block> {
    let place = Place { width_mm: 122.0, lines_max: 2, ..left(20.0) };
    let mut museum = faces.set(Any, Style::NAME, place, &ticket.museum);
    if museum.len() > 1 {
        museum.iter_mut().for_each(|line| line.baseline_mm -= 5.0);
    }
    let city_mm = museum.last().map_or(place.baseline_mm, |line| line.baseline_mm) + 5.3;
    let city = faces.set(Any, Style::PLAIN, Place { baseline_mm: city_mm, lines_max: 1, ..place }, &ticket.city);
    let corner = |baseline_mm| Place::full(baseline_mm, 1).part(125.0, FULL_WIDTH_MM - 125.0);
    let (number, count) = (ticket.number, ticket.count);
    let number_it = faces.set_right(Italian, Style::STRONG, corner(20.0), &format!("Biglietto {number} di {count}"));
    let number_en = faces.set_right(English, Style::BELOW, corner(25.5), &format!("Ticket {number} of {count}"));
    let heading = Block::Heading { level: NonZeroU16::MIN, title: title(ticket), lines: museum };
    vec![heading, Block::Paragraph(city), paragraph([number_it, number_en])]
}

/// Left of the code: when, where, for whom, for how much.
fn visit(ticket: &PrintedTicket, faces: &Faces) -> Vec<Block> {
    let window = format!("{}–{}", clock(ticket.enter_from), clock(ticket.enter_until));
    let mut blocks = vec![
        paragraph([
            faces.label(left(37.5), "Giorno", "Date"),
            faces.set(Italian, Style::STRONG, left(43.5), &day_it(ticket.day)),
            faces.set(English, Style::BELOW, left(48.0), &day_en(ticket.day)),
        ]),
        paragraph([faces.label(left(55.0), "Orario di ingresso", "Entry time"), faces.set(Any, Style::CLOCK, left(64.5), &window)]),
    ];
    let holder = |baseline_mm, lines_max| Place { lines_max, ..left(baseline_mm) }.part(60.0, LEFT_WIDTH_MM - 60.0);
    let name = faces.set(Any, Style::VALUE, holder(60.0, 2), &ticket.holder);
    if !name.is_empty() {
        blocks.push(paragraph([faces.label(holder(55.0, 1), "Nominativo", "Name"), name]));
    }
    // Without a route the category moves up.
    let mut top_mm = 72.0;
    let route = faces.set(Any, Style::VALUE, left(top_mm + 4.7), &ticket.route);
    if !route.is_empty() {
        blocks.push(paragraph([faces.label(left(top_mm), "Percorso", "Route"), route]));
        top_mm += 11.0;
    }
    let category = |below_mm| left(top_mm + below_mm).part(0.0, 72.0);
    blocks.push(paragraph([
        faces.label(category(0.0), "Categoria", "Category"),
        faces.set(Italian, Style::VALUE, category(4.7), &ticket.category_it),
        faces.set(English, Style::BELOW, category(9.0), &ticket.category_en),
    ]));
    let price = |below_mm| left(top_mm + below_mm).part(76.0, LEFT_WIDTH_MM - 76.0);
    let (price_it, price_en) = if ticket.price.is_zero() { ("gratuito".to_owned(), "free") } else { (euros(ticket.price), "") };
    blocks.push(paragraph([
        faces.label(price(0.0), "Prezzo", "Price"),
        faces.set(Italian, Style::VALUE, price(4.7), &price_it),
        faces.set(English, Style::BELOW, price(9.0), price_en),
    ]));
    blocks
}

/// In the box and below it: what to show besides the code, what to quote, what the code is good for.
fn entrance(ticket: &PrintedTicket, faces: &Faces) -> Vec<Block> {
    let inside = |baseline_mm| Place::full(baseline_mm, 2).part(INDENT_MM, FULL_WIDTH_MM - 2.0 * INDENT_MM);
    let first_mm = BOX_MM.0 + 9.5;
    let sentences = |it: &str, en: &str| {
        let it = faces.set(Italian, Style::SENTENCE, inside(first_mm), it);
        let next_mm = it.last().map_or(first_mm, |line| line.baseline_mm + leading_mm(line.size_pt));
        (it, faces.set(English, Style::SENTENCE_BELOW, inside(next_mm), en))
    };
    // A name that nobody compares with a document keeps nobody out.
    let is_named = !faces.regular.clean(&ticket.holder).is_empty();
    let (mut it, mut en) = if is_named {
        sentences(&format!("{} {NAMED_IT}", ticket.show_it), &format!("{} {NAMED_EN}", ticket.show_en))
    } else {
        sentences(&ticket.show_it, &ticket.show_en)
    };
    if it.is_empty() && en.is_empty() {
        (it, en) = sentences("Basta questo codice.", "This code is all you need.");
    }
    let mut blocks = vec![paragraph([faces.label(inside(BOX_MM.0 + 4.8), "Da mostrare all'ingresso", "To show at the entrance"), it, en])];
    for (offset_mm, it, en, id) in [(0.0, "Riferimento", "Reference", &ticket.reference), (92.0, "Biglietto", "Ticket", &ticket.ticket)] {
        let place = Place::full(126.0, 1).part(offset_mm, FULL_WIDTH_MM - 92.0);
        let label = faces.label(place, it, en);
        let used_mm = used_mm(&label, place) + 2.0;
        let id = faces.set(Any, Style::ID, place.part(used_mm, place.width_mm - used_mm), id);
        if !id.is_empty() {
            blocks.push(paragraph([label, id]));
        }
    }
    blocks.push(paragraph([faces.set(Italian, Style::NOTE, Place::full(132.0, 2), NOTES_IT)]));
    blocks.push(paragraph([faces.set(English, Style::NOTE, Place::full(138.7, 2), NOTES_EN)]));
    blocks
}

/// What a list of bookmarks calls the ticket.
fn title(ticket: &PrintedTicket) -> String {
    format!("{}: biglietto {} di {}", ticket.museum, ticket.number, ticket.count)
}

#[cfg(test)]
mod tests {
    use super::super::layout::tests::{assert_sound, hostile, text_of};
    use super::super::pdf::tests::{contains, pages};
    use super::*;
    use jiff::civil::{Date, Time, date, time};
    use tornello_engine::money::Cents;
    use tornello_engine::tariff::Proof;

    fn a_ticket(number: u32, proof: Proof) -> PrintedTicket {
        PrintedTicket {
            museum: "Museo archeologico nazionale e teatro romano di Spoleto".into(),
            city: "Spoleto (PG)".into(),
            route: "Museo e teatro romano".into(),
            day: date(2026, 6, 10),
            enter_from: time(8, 45, 0, 0),
            enter_until: time(9, 45, 0, 0),
            category_it: "Agevolato 18–25 anni".into(),
            category_en: "Reduced, aged 18 to 25".into(),
            price: Cents::new(200),
            holder: "Maria Antonietta Zanichelli de' Pazzi".into(),
            show_it: proof.show_it().into(),
            show_en: proof.show_en().into(),
            reference: "000g00g1rksp84hmasw9nf000c".into(),
            ticket: "000g00g1rksp84hmasw9nf0003".into(),
            number,
            count: 4,
            code: crate::print::qr::tests::a_code(),
        }
    }

    /// Every text as bad as it gets: `worst` as the text of each field.
    fn a_ticket_of(worst: &str) -> PrintedTicket {
        let [museum, city, route, category_it, category_en, holder, show_it, show_en, reference, ticket] = std::array::from_fn(|_| worst.to_owned());
        let (price, number, count, code) = (Cents::new(i64::MIN), u32::MAX, u32::MAX, crate::print::qr::tests::a_code());
        let (enter_from, enter_until) = (Time::MIN, Time::MAX);
        PrintedTicket {
            museum,
            city,
            route,
            day: Date::MIN,
            enter_from,
            enter_until,
            category_it,
            category_en,
            price,
            holder,
            show_it,
            show_en,
            reference,
            ticket,
            number,
            count,
            code,
        }
    }

    fn tickets_to_try() -> Vec<PrintedTicket> {
        let proofs = Proof::ALL.into_iter().map(|proof| a_ticket(1, proof));
        let museums = ["Galleria degli Uffizi", "", "Complesso monumentale di Santa Maria della Pilotta e Teatro Farnese di Parma (Italia)"];
        let museums = museums.map(|museum| PrintedTicket {
            museum: museum.into(),
            route: String::new(),
            holder: String::new(),
            price: Cents::ZERO,
            ..a_ticket(2, Proof::None)
        });
        proofs.chain(museums).chain(hostile().iter().map(|text| a_ticket_of(text))).collect()
    }

    #[test]
    fn no_text_overlaps_another_or_the_code_or_leaves_its_half() {
        let faces = Faces::load().unwrap();
        for ticket in tickets_to_try() {
            let sheet = sheet(&[ticket], &faces).unwrap();
            assert_sound(&sheet.parts[0], HALF_MM);
        }
    }

    #[test]
    fn nothing_that_we_say_is_cut() {
        let faces = Faces::load().unwrap();
        for ticket in Proof::ALL.into_iter().map(|proof| a_ticket(1, proof)) {
            let text = text_of(&arrange(&ticket, &faces).unwrap());
            for said in [&ticket.museum, &ticket.route, &ticket.category_it, &ticket.show_it, &ticket.show_en, &ticket.reference, &ticket.ticket] {
                assert!(text.contains(&**said), "{said} in {text}");
            }
            assert!(
                text.contains("Zanichelli de' Pazzi")
                    && text.contains("08:45–09:45")
                    && text.contains("mercoledì 10 giugno 2026")
                    && text.contains("Wednesday 10 June 2026")
            );
            assert!(text.contains(NOTES_IT) && text.contains(NOTES_EN) && text.contains("2,00 €") && !text.contains('…'), "{text}");
            assert!(text.contains(NAMED_IT) && text.contains(NAMED_EN) && !text.contains("Basta questo codice."), "{text}");
        }
        for ticket in Proof::ALL.into_iter().map(|proof| PrintedTicket { holder: " \u{200b}".into(), ..a_ticket(1, proof) }) {
            let text = text_of(&arrange(&ticket, &faces).unwrap());
            assert!(text.contains(&*ticket.show_it) && !text.contains(NAMED_IT) && !text.contains('…'), "{text}");
            assert_eq!(text.contains("Basta questo codice."), ticket.show_it.is_empty());
        }
    }

    #[test]
    fn any_text_can_be_printed() {
        let tickets = tickets_to_try();
        for some in tickets.chunks(TICKETS_MAX) {
            assert_eq!(pages(&tickets_pdf(some).unwrap()), some.len().div_ceil(2));
        }
        // Every character there is, 450 at a time.
        let all: Vec<char> = ('\0'..='\u{ffff}').chain('\u{1f300}'..='\u{1faff}').chain('\u{e0000}'..='\u{e01ff}').collect();
        let texts = all.chunks(3 * 150).map(|some| {
            let [a, b, c] = [0, 150, 300].map(|from| some.iter().skip(from).take(150).collect::<String>());
            PrintedTicket { show_it: a, show_en: b, museum: c, ..a_ticket(1, Proof::None) }
        });
        let tickets: Vec<_> = texts.collect();
        for some in tickets.chunks(TICKETS_MAX) {
            tickets_pdf(some).unwrap();
        }
    }

    #[test]
    fn the_same_tickets_give_the_same_file() {
        let tickets = [a_ticket(1, Proof::Age), a_ticket(2, Proof::EuAge18To25), a_ticket(3, Proof::None)];
        let file = tickets_pdf(&tickets).unwrap();
        assert_eq!(file, tickets_pdf(&tickets).unwrap());
        assert!(!contains(&file, b"CreationDate") && !contains(&file, b"CreateDate"));
        assert_ne!(file, tickets_pdf(&tickets[..2]).unwrap());
    }

    #[test]
    fn the_file_is_an_accessible_pdf_with_its_fonts() {
        let file = tickets_pdf(&[a_ticket(1, Proof::Age), a_ticket(2, Proof::Age), a_ticket(3, Proof::Age)]).unwrap();
        assert!(file.starts_with(b"%PDF-1.7") && file.trim_ascii_end().ends_with(b"%%EOF"));
        assert_eq!(pages(&file), 2);
        for part in [&b"pdfuaid:part"[..], b"/StructTreeRoot", b"/Lang", b"/Outlines", b"/FontFile2", b"NotoSans-Bold", b"/Figure"] {
            assert!(contains(&file, part), "{}", String::from_utf8_lossy(part));
        }
        let tail = String::from_utf8_lossy(&file[file.len() - 64..]).into_owned();
        let xref: usize = tail.split("startxref").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
        assert!(file[xref..].starts_with(b"xref"));
    }

    #[test]
    fn files_have_1_to_60_tickets_and_every_code_is_one() {
        let many = vec![a_ticket(1, Proof::None); TICKETS_MAX + 1];
        assert_eq!(pages(&tickets_pdf(&many[1..]).unwrap()), TICKETS_MAX / 2);
        assert_eq!(tickets_pdf(&many), Err(PrintError::TooMany { count: 61 }));
        assert_eq!(tickets_pdf(&[]), Err(PrintError::Nothing));
        let bad = PrintedTicket { code: "no code".into(), ..a_ticket(2, Proof::None) };
        assert_eq!(tickets_pdf(&[a_ticket(1, Proof::None), bad]), Err(PrintError::NotACode));
    }
}
