//! Spans of time as iCalendar (RFC 5545), for whoever keeps rosters in a calendar program. Times are UTC, so no zone has to be described.

use tornello_engine::time::Timestamp;

/// No line has more bytes, its end excepted.
const LINE_MAX: usize = 75;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What names it for ever, so that a later file takes the place of an earlier one.
    pub uid: String,
    /// When it begins.
    pub from: Timestamp,
    /// When it ends.
    pub to: Timestamp,
    /// In one line.
    pub summary: String,
    /// In more lines.
    pub description: String,
}

/// A calendar of entries, made at `now`.
#[must_use]
pub fn calendar(name: &str, entries: &[Entry], now: Timestamp) -> String {
    let mut out = String::new();
    let mut line = |text: String| fold(&text, &mut out);
    line("BEGIN:VCALENDAR".to_owned());
    line("VERSION:2.0".to_owned());
    line("PRODID:-//Tornello//Roster//EN".to_owned());
    line("METHOD:PUBLISH".to_owned());
    line(format!("X-WR-CALNAME:{}", text(name)));
    for entry in entries {
        line("BEGIN:VEVENT".to_owned());
        line(format!("UID:{}", text(&entry.uid)));
        line(format!("DTSTAMP:{}", instant(now)));
        line(format!("DTSTART:{}", instant(entry.from)));
        line(format!("DTEND:{}", instant(entry.to)));
        line(format!("SUMMARY:{}", text(&entry.summary)));
        line(format!("DESCRIPTION:{}", text(&entry.description)));
        line("TRANSP:TRANSPARENT".to_owned());
        line("END:VEVENT".to_owned());
    }
    line("END:VCALENDAR".to_owned());
    out
}

fn instant(at: Timestamp) -> String {
    at.to_jiff().strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' | ';' | ',' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            character if character.is_control() => out.push(' '),
            character => out.push(character),
        }
    }
    out
}

/// Appends a line; what is too long goes on in the next one after a space.
fn fold(line: &str, out: &mut String) {
    let mut used = 0;
    for character in line.chars() {
        if used + character.len_utf8() > LINE_MAX {
            out.push_str("\r\n ");
            used = 1;
        }
        out.push(character);
        used += character.len_utf8();
    }
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_folded_and_texts_escaped() {
        let at = |s: i64| Timestamp::from_seconds(1_781_000_000 + s);
        let entry = Entry {
            uid: "a@b".to_owned(),
            from: at(0),
            to: at(3_600),
            summary: "2 desks; 11:00, è così".repeat(9),
            description: "a\nb\\".to_owned(),
        };
        let file = calendar("Museo", std::slice::from_ref(&entry), at(0));
        assert!(file.split("\r\n").all(|line| line.len() <= LINE_MAX), "{file}");
        let unfolded = file.replace("\r\n ", "");
        assert!(unfolded.contains("\r\nDESCRIPTION:a\\nb\\\\\r\n") && unfolded.contains("DTSTART:20260609T101320Z"), "{unfolded}");
        let summary = unfolded.split("\r\n").find_map(|line| line.strip_prefix("SUMMARY:")).unwrap();
        assert_eq!(summary.replace("\\;", ";").replace("\\,", ","), entry.summary);
        let lines: Vec<&str> = unfolded.trim_end().split("\r\n").collect();
        assert_eq!((lines[0], lines[lines.len() - 1]), ("BEGIN:VCALENDAR", "END:VCALENDAR"));
    }
}
