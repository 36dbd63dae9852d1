//! A strict pull reader of the XML that is sent to us: elements in one order, texts of one form, and nothing that costs more than its bytes.
//!
//! No document type, so no entities but the five and characters by number; no processing instructions; UTF-8 only; limits of size and depth. What stands in
//! elements is read as XML Schema means it (`xs:string` keeps its blanks, `xs:decimal` and dates do not), and refused where it has another form. The caller
//! asks for what must come next; it never sees markup. Errors name the place in the caller's own words, never what was sent.

use std::fmt;

use jiff::civil::{Date, DateTime, Time};
use quick_xml::events::{BytesDecl, BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;
use tornello_engine::calendar;
use tornello_engine::money::Cents;
use tornello_engine::time::Timestamp;

const SCHEMA_INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// The largest amount of all pagoPA's documents, in cents.
const CENTS_MAX: i64 = 99_999_999_999;
/// The most attributes of one element, declarations of namespaces included: each is compared with all others.
const ATTRIBUTES_MAX: usize = 64;

/// Why a document is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// Refused before it was read.
    #[error("larger than {max} bytes")]
    TooLarge {
        /// The most.
        max: usize,
    },
    /// Other bytes than UTF-8, or another encoding declared.
    #[error("UTF-8 is expected")]
    Encoding,
    /// A character that XML 1.0 does not allow.
    #[error("a character that XML does not allow")]
    Character,
    /// A document type declaration.
    #[error("a document type is not allowed")]
    Doctype,
    /// A processing instruction, or a declaration that is not at the beginning.
    #[error("processing instructions are not allowed")]
    Instruction,
    /// A reference to an entity that is not one of the five.
    #[error("an unknown entity")]
    Entity,
    /// Elements in elements beyond the limit.
    #[error("elements too deep in one another")]
    TooDeep,
    /// Not well-formed.
    #[error("not well-formed XML")]
    Malformed,
    /// Another element, a text or the end where an element is expected.
    #[error("{}{expected} is expected", within(.path))]
    Expected {
        /// Where.
        path: String,
        /// What should have come.
        expected: String,
    },
    /// A text that does not have the form of its element.
    #[error("{}the value does not have the form it must have", within(.path))]
    Value {
        /// Where.
        path: String,
    },
    /// An attribute where none is known.
    #[error("{}attributes are not allowed", within(.path))]
    Attribute {
        /// Where.
        path: String,
    },
}

/// Where an error is, before what it says; nothing at the root, which has no name yet.
fn within(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{path}: ") }
}

/// How much of a document is taken.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most bytes.
    pub bytes: usize,
    /// The most elements in one another.
    pub depth: usize,
}

enum Token {
    Start { space: Option<String>, name: String, attributes: bool, must_understand: bool },
    End,
    Text(String),
    Eof,
}

/// The reader. What it opens is in the namespace given to it, or in none.
pub struct XmlReader<'i> {
    events: NsReader<&'i [u8]>,
    space: Option<&'static str>,
    ahead: Option<Token>,
    path: Vec<&'static str>,
    depth: usize,
    depth_max: usize,
    begun: bool,
}

impl fmt::Debug for XmlReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XmlReader").field("path", &self.path).finish_non_exhaustive()
    }
}

impl<'i> XmlReader<'i> {
    /// On a whole document.
    pub fn new(document: &'i [u8], limits: Limits, space: Option<&'static str>) -> Result<Self, XmlError> {
        if document.len() > limits.bytes {
            return Err(XmlError::TooLarge { max: limits.bytes });
        }
        let text = std::str::from_utf8(document).map_err(|_| XmlError::Encoding)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if !text.chars().all(is_allowed) {
            return Err(XmlError::Character);
        }
        let mut events = NsReader::from_str(text);
        let config = events.config_mut();
        config.expand_empty_elements = true;
        config.check_comments = true;
        Ok(Self { events, space, ahead: None, path: Vec::new(), depth: 0, depth_max: limits.depth, begun: false })
    }

    /// From here on elements are in this namespace, or in none.
    pub fn within(&mut self, space: Option<&'static str>) {
        self.space = space;
    }

    /// Goes into the next element if it is `name`; answers whether it did.
    pub fn enter_if(&mut self, name: &'static str) -> Result<bool, XmlError> {
        self.enter_with(name, false)
    }

    /// Goes into the next element, which must be `name`.
    pub fn enter(&mut self, name: &'static str) -> Result<(), XmlError> {
        if self.enter_if(name)? { Ok(()) } else { Err(self.expected(name)) }
    }

    /// As [`Self::enter_if`], for elements of an envelope, which may have attributes.
    pub fn wrapped_in(&mut self, name: &'static str) -> Result<bool, XmlError> {
        self.enter_with(name, true)
    }

    fn enter_with(&mut self, name: &'static str, any_attributes: bool) -> Result<bool, XmlError> {
        self.between()?;
        let space = self.space;
        match &self.ahead {
            Some(Token::Start { space: found, name: found_name, attributes, .. }) if found.as_deref() == space && found_name == name => {
                let refused = *attributes && !any_attributes;
                self.ahead = None;
                self.path.push(name);
                if refused { Err(XmlError::Attribute { path: self.path.join("/") }) } else { Ok(true) }
            }
            _ => Ok(false),
        }
    }

    /// The local name of the next element and its namespace, if an element comes next.
    pub fn next_element(&mut self) -> Result<Option<(&str, Option<&str>)>, XmlError> {
        self.between()?;
        match &self.ahead {
            Some(Token::Start { space, name, .. }) => Ok(Some((name, space.as_deref()))),
            _ => Ok(None),
        }
    }

    /// Leaves the element that was entered last, which must have nothing more in it.
    pub fn leave(&mut self) -> Result<(), XmlError> {
        self.between()?;
        if matches!(self.ahead, Some(Token::End)) {
            self.ahead = None;
            self.path.pop();
            Ok(())
        } else {
            Err(self.expected("its end"))
        }
    }

    /// Passes over what the entered element still has in it, and leaves it. Answers whether one of its children must be understood (SOAP 1.1, 4.2.3).
    pub fn skip(&mut self) -> Result<bool, XmlError> {
        let (mut open, mut must) = (0_usize, false);
        loop {
            match self.take()? {
                Token::Start { must_understand, .. } => {
                    must |= must_understand && open == 0;
                    open += 1;
                }
                Token::End if open == 0 => break,
                Token::End => open -= 1,
                Token::Text(_) => {}
                Token::Eof => return Err(XmlError::Malformed),
            }
        }
        self.path.pop();
        Ok(must)
    }

    /// The end of the document.
    pub fn end(&mut self) -> Result<(), XmlError> {
        self.between()?;
        if matches!(self.ahead, Some(Token::Eof)) { Ok(()) } else { Err(self.expected("the end of the document")) }
    }

    /// The value of the next element, which must be `name` and have this form.
    pub fn value<T>(&mut self, name: &'static str, form: impl Fn(&str) -> Option<T>) -> Result<T, XmlError> {
        match self.value_if(name, form)? {
            Some(value) => Ok(value),
            None => Err(self.expected(name)),
        }
    }

    /// The value of the next element if that is `name`.
    pub fn value_if<T>(&mut self, name: &'static str, form: impl Fn(&str) -> Option<T>) -> Result<Option<T>, XmlError> {
        if !self.enter_if(name)? {
            return Ok(None);
        }
        let mut text = String::new();
        loop {
            match self.take()? {
                Token::Text(more) => text.push_str(&more),
                Token::End => break,
                Token::Start { .. } | Token::Eof => return Err(self.expected("a text")),
            }
        }
        let value = form(&text).ok_or_else(|| XmlError::Value { path: self.path.join("/") })?;
        self.path.pop();
        Ok(Some(value))
    }

    /// The error that something else should have come here.
    #[must_use]
    pub fn expected(&self, expected: &str) -> XmlError {
        XmlError::Expected { path: self.path.join("/"), expected: expected.to_owned() }
    }

    /// Looks at the next token that is not white space between elements.
    fn between(&mut self) -> Result<(), XmlError> {
        loop {
            if self.ahead.is_none() {
                self.ahead = Some(self.read()?);
            }
            match &self.ahead {
                Some(Token::Text(text)) if text.bytes().all(is_blank) => self.ahead = None,
                Some(Token::Text(_)) => return Err(self.expected("no text")),
                _ => return Ok(()),
            }
        }
    }

    fn take(&mut self) -> Result<Token, XmlError> {
        match self.ahead.take() {
            Some(token) => Ok(token),
            None => self.read(),
        }
    }

    fn read(&mut self) -> Result<Token, XmlError> {
        loop {
            let first = !std::mem::replace(&mut self.begun, true);
            let (space, event) = self.events.read_resolved_event().map_err(|_| XmlError::Malformed)?;
            let outside = self.depth == 0;
            let text = match event {
                Event::Start(start) => {
                    let space = match space {
                        ResolveResult::Unbound => None,
                        ResolveResult::Bound(space) => Some(space.as_ref().to_owned()),
                        ResolveResult::Unknown(_) => return Err(XmlError::Malformed),
                    };
                    self.depth += 1;
                    if self.depth > self.depth_max {
                        return Err(XmlError::TooDeep);
                    }
                    let name = start.local_name().as_ref().to_owned();
                    let (attributes, must_understand) = self.attributes(&start)?;
                    return Ok(Token::Start { space, name, attributes, must_understand });
                }
                Event::End(_) => {
                    self.depth = self.depth.checked_sub(1).ok_or(XmlError::Malformed)?;
                    return Ok(Token::End);
                }
                Event::Empty(_) => return Err(XmlError::Malformed),
                Event::Text(text) if text.contains("]]>") => return Err(XmlError::Malformed),
                Event::Text(text) => text.xml10_content().into_owned(),
                Event::CData(_) | Event::GeneralRef(_) if outside => return Err(XmlError::Malformed),
                Event::CData(text) => text.xml10_content().into_owned(),
                Event::GeneralRef(reference) => match reference.resolve_char_ref().map_err(|_| XmlError::Malformed)? {
                    Some(character) if is_allowed(character) => character.to_string(),
                    Some(_) => return Err(XmlError::Character),
                    None => predefined(&reference).ok_or(XmlError::Entity)?.to_owned(),
                },
                Event::Comment(_) => continue,
                Event::Decl(declaration) if first => {
                    declared(&declaration)?;
                    continue;
                }
                Event::Decl(_) | Event::PI(_) => return Err(XmlError::Instruction),
                Event::DocType(_) => return Err(XmlError::Doctype),
                Event::Eof if outside => return Ok(Token::Eof),
                Event::Eof => return Err(XmlError::Malformed),
            };
            return Ok(Token::Text(text));
        }
    }

    /// Whether an element has attributes that mean something, and whether it must be understood.
    fn attributes(&self, start: &BytesStart<'_>) -> Result<(bool, bool), XmlError> {
        if !is_name(start.name().as_ref()) {
            return Err(XmlError::Malformed);
        }
        let (mut any, mut must) = (false, false);
        for (number, attribute) in start.attributes().enumerate() {
            let attribute = attribute.map_err(|_| XmlError::Malformed)?;
            if number == ATTRIBUTES_MAX {
                return Err(XmlError::Malformed);
            }
            let raw: &str = &attribute.value;
            let value = quick_xml::escape::unescape(raw).map_err(|_| XmlError::Entity)?;
            if raw.contains('<') || !is_name(attribute.key.as_ref()) || !value.chars().all(is_allowed) {
                return Err(XmlError::Malformed);
            }
            if attribute.key.as_namespace_binding().is_some() {
                continue;
            }
            let (space, name) = self.events.resolver().resolve_attribute(attribute.key);
            match space {
                ResolveResult::Bound(space) if space.as_ref() == SCHEMA_INSTANCE => {
                    any |= !matches!(name.as_ref(), "schemaLocation" | "noNamespaceSchemaLocation");
                }
                ResolveResult::Bound(_) => {
                    any = true;
                    must |= name.as_ref() == "mustUnderstand" && value != "0";
                }
                ResolveResult::Unbound => any = true,
                ResolveResult::Unknown(_) => return Err(XmlError::Malformed),
            }
        }
        Ok((any, must))
    }
}

fn declared(declaration: &BytesDecl<'_>) -> Result<(), XmlError> {
    let version = declaration.version().map_err(|_| XmlError::Malformed)?;
    if version != "1.0" {
        return Err(XmlError::Malformed);
    }
    match declaration.encoding() {
        None => Ok(()),
        Some(Ok(encoding)) if encoding.eq_ignore_ascii_case("utf-8") => Ok(()),
        Some(Ok(_)) => Err(XmlError::Encoding),
        Some(Err(_)) => Err(XmlError::Malformed),
    }
}

fn predefined(entity: &str) -> Option<&'static str> {
    Some(match entity {
        "amp" => "&",
        "lt" => "<",
        "gt" => ">",
        "apos" => "'",
        "quot" => "\"",
        _ => return None,
    })
}

/// The characters of XML 1.0 (2.2).
#[must_use]
pub const fn is_allowed(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}

/// A qualified name, near enough: nothing that could end it or begin markup, no digit first.
fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        let first = part.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_');
        first && part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '\u{b7}'))
    };
    match name.split_once(':') {
        Some((prefix, local)) => part(prefix) && part(local),
        None => part(name),
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Without the blanks at both ends, as XML Schema reads what is not text.
fn collapsed(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r'])
}

/// A text of `MIN` to `MAX` characters.
#[must_use]
pub fn text<const MIN: usize, const MAX: usize>(text: &str) -> Option<String> {
    (MIN..=MAX).contains(&text.chars().count()).then(|| text.to_owned())
}

/// Exactly `COUNT` digits.
#[must_use]
pub fn digits<const COUNT: usize>(text: &str) -> Option<String> {
    (text.len() == COUNT && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.to_owned())
}

/// An amount with two decimals, up to 999999999.99.
#[must_use]
pub fn amount(text: &str) -> Option<Cents> {
    let (euros, cents) = collapsed(text).split_once('.')?;
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(euros) || !plain(cents) || cents.len() != 2 {
        return None;
    }
    let significant = euros.trim_start_matches('0');
    // Twelve digits fit; more are too large anyway.
    let euros: i64 = if significant.is_empty() { 0 } else { significant.get(..12.min(significant.len()))?.parse().ok()? };
    let cents = euros * 100 + cents.parse::<i64>().ok()?;
    (significant.len() <= 12 && cents <= CENTS_MAX).then_some(Cents::new(cents))
}

/// An amount above zero.
#[must_use]
pub fn amount_above_zero(text: &str) -> Option<Cents> {
    amount(text).filter(|cents| *cents > Cents::ZERO)
}

/// A whole number from `MIN` to `MAX`.
#[must_use]
pub fn whole<const MIN: u64, const MAX: u64>(text: &str) -> Option<u64> {
    let text = collapsed(text);
    let digits = text.strip_prefix('+').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten().filter(|value| (MIN..=MAX).contains(value))
}

/// `true`, `false`, `1` or `0`.
#[must_use]
pub fn boolean(text: &str) -> Option<bool> {
    match collapsed(text) {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// A day; a time zone may follow and changes nothing.
#[must_use]
pub fn day(text: &str) -> Option<Date> {
    let text = collapsed(text);
    zone(text.get(10..)?)?;
    civil_day(&text[..10])
}

/// An instant; without a time zone, what clocks in Rome show.
#[must_use]
pub fn instant(text: &str) -> Option<Timestamp> {
    let text = collapsed(text);
    let (date, rest) = (civil_day(text.get(..10)?)?, text[10..].strip_prefix('T')?);
    let part = |range: std::ops::Range<usize>| rest.get(range).and_then(two_digits);
    let (hour, minute, second) = (part(0..2)?, part(3..5)?, part(6..8)?);
    if rest.as_bytes()[2] != b':' || rest.as_bytes()[5] != b':' {
        return None;
    }
    let rest = &rest[8..];
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => {
            let length = rest.bytes().take_while(u8::is_ascii_digit).count();
            (rest.get(..length).filter(|digits| !digits.is_empty())?, &rest[length..])
        }
        None => ("", rest),
    };
    let offset_minutes = zone(rest)?;
    let micros: i32 = format!("{fraction:0<6.6}").parse().ok()?;
    let civil = if (hour, minute, second) == (24, 0, 0) && micros == 0 {
        date.tomorrow().ok()?.to_datetime(Time::midnight())
    } else {
        DateTime::from_parts(date, Time::new(hour, minute, second, micros * 1_000).ok()?)
    };
    match offset_minutes {
        None => Some(calendar::instant(civil)),
        Some(minutes) => {
            let utc = jiff::tz::Offset::UTC.to_timestamp(civil).ok()?;
            Some(Timestamp::from_jiff(utc).plus_seconds(-60 * i64::from(minutes)))
        }
    }
}

fn civil_day(text: &str) -> Option<Date> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' || !bytes[..4].iter().all(u8::is_ascii_digit) {
        return None;
    }
    let year: i16 = text[..4].parse().ok()?;
    (year > 0).then(|| Date::new(year, two_digits(&text[5..7])?, two_digits(&text[8..])?).ok()).flatten()
}

fn two_digits(text: &str) -> Option<i8> {
    (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// The offset from UTC in minutes, if there is one: none at all, `Z`, or up to 14 hours.
fn zone(text: &str) -> Option<Option<i16>> {
    let sign = match text.as_bytes().first() {
        None => return Some(None),
        Some(b'Z') => return (text.len() == 1).then_some(Some(0)),
        Some(b'+') => 1,
        Some(b'-') => -1,
        Some(_) => return None,
    };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let (hours, minutes) = (i16::from(two_digits(hours)?), i16::from(two_digits(minutes)?));
    (minutes < 60 && hours * 60 + minutes <= 14 * 60).then_some(Some(sign * (hours * 60 + minutes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { bytes: 1_000, depth: 4 };

    /// Reads `<a><b>text</b></a>`.
    fn read(document: &[u8]) -> Result<String, XmlError> {
        let mut reader = XmlReader::new(document, LIMITS, None)?;
        reader.enter("a")?;
        let text = reader.value("b", text::<0, 100>)?;
        reader.leave()?;
        reader.end()?;
        Ok(text)
    }

    #[test]
    fn texts_are_put_together() {
        for (document, expected) in [
            ("<a><b>x</b></a>", "x"),
            ("<?xml version='1.0' encoding='utf-8'?>\n<a>\n <b>x</b>\t</a>\n<!-- end -->\n", "x"),
            ("\u{feff}<a><b/></a>", ""),
            ("<a><b> x&amp;<![CDATA[<y>]]>&#x20ac;<!-- no -->&#13;z\r\n</b></a>", " x&<y>€\rz\n"),
            (
                "<a xmlns:p='urn:p' xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' xsi:schemaLocation='x y'><b>&lt;&gt;&apos;&quot;</b></a>",
                "<>'\"",
            ),
        ] {
            assert_eq!(read(document.as_bytes()), Ok(expected.to_owned()), "{document}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let expected = |path: &str, expected: &str| XmlError::Expected { path: path.to_owned(), expected: expected.to_owned() };
        let deep = format!("<a>{}{}</a>", "<b>".repeat(5), "</b>".repeat(5));
        let long = format!("<a><b>{}</b></a>", "x".repeat(1_000));
        for (document, error) in [
            ("", expected("", "a")),
            (" ", expected("", "a")),
            ("text", expected("", "no text")),
            ("<a><b>x</b></a>tail", expected("", "no text")),
            ("<a><b>x</b></a><a/>", expected("", "the end of the document")),
            ("<a><b>x</b><b>y</b></a>", expected("a", "its end")),
            ("<a><c>x</c></a>", expected("a", "b")),
            ("<a>x<b>x</b></a>", expected("a", "no text")),
            ("<a><b>x<c/></b></a>", expected("a/b", "a text")),
            ("<a xmlns='urn:a'><b>x</b></a>", expected("", "a")),
            ("<a><b xmlns='urn:a'>x</b></a>", expected("a", "b")),
            ("<p:a><b>x</b></p:a>", XmlError::Malformed),
            ("<a><b>x</b>", XmlError::Malformed),
            ("<a><b>x</a></b>", XmlError::Malformed),
            ("<a><b>x</b></a></a>", XmlError::Malformed),
            ("<a><b>]]></b></a>", XmlError::Malformed),
            ("<a><b>x & y</b></a>", XmlError::Malformed),
            ("<a><b x='1' x='2'>x</b></a>", XmlError::Malformed),
            ("<a><b x=1>x</b></a>", XmlError::Malformed),
            ("<a><b x='<'>x</b></a>", XmlError::Malformed),
            ("&#32;<a><b>x</b></a>", XmlError::Malformed),
            ("<![CDATA[ ]]><a><b>x</b></a>", XmlError::Malformed),
            ("<a><!-- -- --><b>x</b></a>", XmlError::Malformed),
            ("<a><b x='1'>x</b></a>", XmlError::Attribute { path: "a/b".to_owned() }),
            ("<a xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' xsi:nil='true'><b>x</b></a>", XmlError::Attribute { path: "a".to_owned() }),
            ("<a><b x='&unknown;'>x</b></a>", XmlError::Entity),
            ("<a><b>&nbsp;</b></a>", XmlError::Entity),
            ("<!DOCTYPE a><a><b>x</b></a>", XmlError::Doctype),
            ("<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a><b>&x;</b></a>", XmlError::Doctype),
            ("<?php ?><a><b>x</b></a>", XmlError::Instruction),
            ("<a><?php ?><b>x</b></a>", XmlError::Instruction),
            (" <?xml version='1.0'?><a><b>x</b></a>", XmlError::Instruction),
            ("<?xml version='1.1'?><a><b>x</b></a>", XmlError::Malformed),
            ("<?xml version='1.0' encoding='ISO-8859-1'?><a><b>x</b></a>", XmlError::Encoding),
            ("<?xml version='1.0' encoding='UTF-16'?><a><b>x</b></a>", XmlError::Encoding),
            ("<a><b>\u{1}</b></a>", XmlError::Character),
            ("<a><b>\u{fffe}</b></a>", XmlError::Character),
            ("<a><b>&#0;</b></a>", XmlError::Malformed),
            ("<a><b>&#1;</b></a>", XmlError::Character),
            ("<a><b>&#xd800;</b></a>", XmlError::Malformed),
            (&deep, XmlError::TooDeep),
            (&long, XmlError::TooLarge { max: 1_000 }),
        ] {
            // What is too deep in a text is found after the element that does not belong there.
            let found = if document == deep {
                XmlReader::new(deep.as_bytes(), LIMITS, None).and_then(|mut r| r.enter("a").and_then(|()| r.skip().map(drop)))
            } else {
                read(document.as_bytes()).map(drop)
            };
            assert!(!error.to_string().starts_with(':'), "{error}");
            assert_eq!(found, Err(error), "{document}");
        }
        for bytes in [&b"<a><b>\xe8</b></a>"[..], b"\xff\xfe<\0a\0", b"<a><b>\xc0\xaf</b></a>"] {
            assert_eq!(read(bytes), Err(XmlError::Encoding));
        }
    }

    #[test]
    fn amounts_have_two_decimals() {
        for (text, cents) in [
            ("0.01", Some(1)),
            (" 10.50\n", Some(1050)),
            ("00010.00", Some(1000)),
            ("999999999.99", Some(99_999_999_999)),
            ("00000000000000000000000000000001.00", Some(100)),
            ("0.00", Some(0)),
            ("1000000000.00", None),
            ("99999999999999999999.99", None),
            ("10.5", None),
            ("10,50", None),
            ("10.505", None),
            ("1E2", None),
            ("+1.00", None),
            ("-1.00", None),
            (".50", None),
            ("1", None),
            ("", None),
            ("1.0.0", None),
            ("１.00", None),
        ] {
            assert_eq!(amount(text), cents.map(Cents::new), "{text}");
        }
        assert_eq!(amount_above_zero("0.00"), None);
    }

    #[test]
    fn days_and_instants_are_those_of_xml_schema() {
        for (text, expected) in [
            ("2026-11-23", true),
            ("2026-11-23Z", true),
            (" 2026-11-23+01:00 ", true),
            ("2024-02-29-14:00", true),
            ("2026-02-29", false),
            ("2026-11-23+14:01", false),
            ("2026-11-23T00:00:00", false),
            ("26-11-23", false),
            ("2026-1-23", false),
            ("0000-01-01", false),
            ("2026-11-23+1:00", false),
            ("２026-11-23", false),
            ("", false),
        ] {
            assert_eq!(day(text).is_some(), expected, "{text}");
        }
        for (text, expected) in [
            ("2026-11-23T10:00:00", Some("2026-11-23T09:00:00Z")),
            ("2026-07-01T10:00:00.5", Some("2026-07-01T08:00:00.5Z")),
            ("2026-11-23T10:00:00Z", Some("2026-11-23T10:00:00Z")),
            ("2026-11-23T10:00:00.1234567-05:30", Some("2026-11-23T15:30:00.123456Z")),
            ("2026-11-23T24:00:00Z", Some("2026-11-24T00:00:00Z")),
            ("2026-11-23T24:00:01Z", None),
            ("2026-11-23T25:00:00Z", None),
            ("2026-11-23T10:60:00Z", None),
            ("2026-11-23 10:00:00", None),
            ("2026-11-23T10:00", None),
            ("2026-11-23T10:00:00.", None),
            ("2026-11-23T10:00:00+0100", None),
            ("2026-11-23", None),
            ("", None),
        ] {
            assert_eq!(instant(text).map(|at| at.to_string()).as_deref(), expected, "{text}");
        }
    }
}
