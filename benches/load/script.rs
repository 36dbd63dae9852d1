//! What clients ask of a server: hold and sell, and be refused, read, go through a gate. Each knows which answer it must get.

use serde::{Deserialize, Serialize};

use crate::generator::{Script, Verdict, share};
use crate::http::{Keys, NAME, Template, who};
use crate::round::unique;
use crate::work::Part;

/// A hold of one place, as every target understands it.
pub const HOLD: &str = r#"{"lines":[{"category":"full","count":1}]}"#;
/// How it is paid.
pub const CONFIRM: &str = r#"{"settlement":{"desk":{"till":"till-1","method":"card","reference":"R-2026-000123"}}}"#;

/// A hold of one place over the web, of somebody who is named in every way that a shop knows: each buyer has a device, a card and a line to the internet of their own. Web
/// shops confirm what is free of charge; what costs something is paid, which takes requests of its own.
pub const WEB_HOLD: &str = concat!(
    r#"{"lines":[{"category":"under-18","count":1}],"parties":[{"kind":"buyer","value":"buyer-<WHO>@example.it"},{"kind":"device","value":"device-<WHO>"},"#,
    r#"{"kind":"card","value":"card-<WHO>"},{"kind":"network","value":"2001:<WHO>::1"}]}"#
);
/// How it is confirmed: by the same, named once more.
pub const WEB_CONFIRM: &str = concat!(
    r#"{"settlement":{"free":{}},"parties":[{"kind":"buyer","value":"buyer-<WHO>@example.it"},{"kind":"device","value":"device-<WHO>"},"#,
    r#"{"kind":"card","value":"card-<WHO>"},{"kind":"network","value":"2001:<WHO>::1"}]}"#
);
/// A rule refuses, or one more proof is asked for.
const SUSPECTED: u16 = 403;

/// Whether an answer says that the server has too much to do.
fn is_shed(status: u16) -> bool {
    matches!(status, 429 | 503)
}

/// Holds one place and sells it: a pair is a unit of work.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pairs {
    /// A hold in each slot.
    holds: Vec<Template>,
    confirm: Template,
    keys: Keys,
    /// How many places of each slot are sold before the next one's.
    places: u64,
    /// How many pairs have begun.
    begun: u64,
    may_shed: bool,
    /// Whether each pair is of another buyer, who is named and may be suspected.
    is_web: bool,
    /// The number of the first buyer.
    first: u32,
    /// Whether each client waits for its sale.
    selling: Vec<bool>,
    /// For whom each client asks.
    buyers: Vec<u32>,
}

/// The number of a first buyer: those of other rounds and generators are hardly ever the same.
fn first_buyer() -> u32 {
    (unique().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

impl Pairs {
    /// In some slots, one after the other, until the last is full.
    pub fn new(slots: &[String], bearer: &str, clients: usize, places: u64) -> Self {
        Self::of(slots, bearer, clients, places, (HOLD, CONFIRM))
    }

    /// The same over the web, each pair of somebody else: who is suspected counts as turned away.
    pub fn of_buyers(slots: &[String], bearer: &str, clients: usize, places: u64) -> Self {
        Self { is_web: true, ..Self::of(slots, bearer, clients, places, (WEB_HOLD, WEB_CONFIRM)) }
    }

    fn of(slots: &[String], bearer: &str, clients: usize, places: u64, (hold, confirm): (&str, &str)) -> Self {
        let holds = slots.iter().map(|slot| Template::new("POST", &format!("/v1/slots/{slot}/holds"), bearer, hold, 0)).collect();
        let confirm = Template::new("POST", &format!("/v1/holds/{NAME}/confirm"), bearer, confirm, 0);
        let (keys, first) = (Keys::new(unique()), first_buyer());
        let (selling, buyers) = (vec![false; clients], vec![0; clients]);
        Self { holds, confirm, keys, places, begun: 0, may_shed: false, is_web: false, first, selling, buyers }
    }

    /// The server may say that it has too much to do.
    pub fn may_shed(mut self, may_shed: bool) -> Self {
        self.may_shed = may_shed;
        self
    }

    /// The same slots, and some of the places of each.
    pub fn part(&self, part: &Part) -> Self {
        let (number, of) = (part.number as u64, part.of as u64);
        let places = self.places / of + u64::from(number < self.places % of);
        let (selling, buyers) = (vec![false; part.clients], vec![0; part.clients]);
        Self { places, keys: Keys::new(unique()), first: first_buyer(), selling, buyers, ..self.clone() }
    }
}

impl Script for Pairs {
    fn begin(&mut self, client: usize, out: &mut Vec<u8>) -> bool {
        let slot = self.begun.checked_div(self.places).and_then(|slot| self.holds.get(slot as usize));
        let Some(hold) = slot else { return false };
        let buyer = self.first.wrapping_add(self.begun as u32);
        self.begun += 1;
        self.selling[client] = false;
        self.buyers[client] = buyer;
        hold.write_by(out, &mut self.keys, "", &who(buyer));
        true
    }

    fn answered(&mut self, client: usize, status: u16, body: &[u8], out: &mut Vec<u8>) -> Verdict {
        if self.may_shed && is_shed(status) || self.is_web && status == SUSPECTED {
            return Verdict::Shed;
        }
        if status != 201 {
            return Verdict::Wrong;
        }
        if self.selling[client] {
            return Verdict::Done;
        }
        let Some(hold) = text_of(body, r#""hold":""#) else { return Verdict::Wrong };
        self.selling[client] = true;
        self.confirm.write_by(out, &mut self.keys, hold, &who(self.buyers[client]));
        Verdict::More
    }
}

/// One request again and again, always with the same status. With names: one for each, until there is none left.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Same {
    template: Template,
    keys: Keys,
    status: u16,
    names: Option<Vec<String>>,
    /// What the answer says.
    says: String,
}

impl Same {
    /// Always the same request.
    pub fn new(template: Template, status: u16) -> Self {
        Self { template, keys: Keys::new(unique()), status, names: None, says: String::new() }
    }

    /// A request for each name.
    pub fn each(template: Template, status: u16, names: Vec<String>) -> Self {
        Self { names: Some(names), ..Self::new(template, status) }
    }

    /// The answer must say this.
    pub fn saying(mut self, says: &str) -> Self {
        says.clone_into(&mut self.says);
        self
    }

    /// The same request, with some of the names.
    pub fn part(&self, part: &Part) -> Self {
        let names = self.names.as_ref().map(|names| {
            let before: usize = (0..part.number).map(|number| share(names.len(), number, part.of)).sum();
            names[before..before + share(names.len(), part.number, part.of)].to_vec()
        });
        let (template, says) = (self.template.clone(), self.says.clone());
        Self { template, keys: Keys::new(unique()), status: self.status, names, says }
    }
}

impl Script for Same {
    fn begin(&mut self, _: usize, out: &mut Vec<u8>) -> bool {
        let name = match &mut self.names {
            None => String::new(),
            Some(names) => match names.pop() {
                Some(name) => name,
                None => return false,
            },
        };
        self.template.write(out, &mut self.keys, &name);
        true
    }

    fn answered(&mut self, _: usize, status: u16, body: &[u8], _: &mut Vec<u8>) -> Verdict {
        let says = self.says.is_empty() || body.windows(self.says.len()).any(|part| part == self.says.as_bytes());
        if status == self.status && says { Verdict::Done } else { Verdict::Wrong }
    }
}

/// A request for each name, whose answer has a text to be collected.
pub struct Collect<'a> {
    same: Same,
    before: &'a str,
    /// What was found.
    pub found: Vec<String>,
}

impl<'a> Collect<'a> {
    /// Collects the text that follows `before` in each answer, up to a quotation mark.
    pub fn new(same: Same, before: &'a str) -> Self {
        Self { same, before, found: Vec::new() }
    }
}

impl Script for Collect<'_> {
    fn begin(&mut self, client: usize, out: &mut Vec<u8>) -> bool {
        self.same.begin(client, out)
    }

    fn answered(&mut self, client: usize, status: u16, body: &[u8], out: &mut Vec<u8>) -> Verdict {
        match text_of(body, self.before) {
            Some(text) => self.found.push(text.to_owned()),
            None => return Verdict::Wrong,
        }
        self.same.answered(client, status, body, out)
    }
}

/// The text between `before` and the next quotation mark.
fn text_of<'a>(body: &'a [u8], before: &str) -> Option<&'a str> {
    let at = body.windows(before.len()).position(|window| window == before.as_bytes())? + before.len();
    let length = body[at..].iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&body[at..at + length]).ok()
}
