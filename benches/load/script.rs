//! What clients ask of a server: hold and sell, and be refused, read, go through a gate. Each knows which answer it must get.

use crate::generator::{Script, Verdict};
use crate::http::{Keys, NAME, Template};

/// A hold of one place, as every target understands it.
pub const HOLD: &str = r#"{"lines":[{"category":"full","count":1}]}"#;
/// How it is paid.
pub const CONFIRM: &str = r#"{"settlement":{"desk":{"till":"till-1","method":"card","reference":"R-2026-000123"}}}"#;

/// Whether an answer says that the server has too much to do.
fn is_shed(status: u16) -> bool {
    matches!(status, 429 | 503)
}

/// Holds one place and sells it: a pair is a unit of work.
pub struct Pairs {
    hold: Template,
    confirm: Template,
    keys: Keys,
    /// How many pairs may still begin.
    left: u64,
    may_shed: bool,
    /// Whether each client waits for its sale.
    selling: Vec<bool>,
}

impl Pairs {
    /// In one slot, until it is full.
    pub fn new(slot: &str, bearer: &str, clients: usize, places: u64, run: u64) -> Self {
        let hold = Template::new("POST", &format!("/v1/slots/{slot}/holds"), bearer, HOLD, 0);
        let confirm = Template::new("POST", &format!("/v1/holds/{NAME}/confirm"), bearer, CONFIRM, 0);
        Self { hold, confirm, keys: Keys::new(run), left: places, may_shed: false, selling: vec![false; clients] }
    }

    /// The server may say that it has too much to do.
    pub fn may_shed(mut self) -> Self {
        self.may_shed = true;
        self
    }
}

impl Script for Pairs {
    fn begin(&mut self, client: usize, out: &mut Vec<u8>) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        self.selling[client] = false;
        self.hold.write(out, &mut self.keys, b"");
        true
    }

    fn answered(&mut self, client: usize, status: u16, body: &[u8], out: &mut Vec<u8>) -> Verdict {
        if self.may_shed && is_shed(status) {
            return Verdict::Shed;
        }
        if status != 201 {
            return Verdict::Wrong;
        }
        if self.selling[client] {
            return Verdict::Done;
        }
        let Some(hold) = text_of(body, br#""hold":""#) else { return Verdict::Wrong };
        self.selling[client] = true;
        self.confirm.write(out, &mut self.keys, hold);
        Verdict::More
    }
}

/// One request again and again, always with the same status. With names: one for each, until there is none left.
pub struct Same {
    template: Template,
    keys: Keys,
    status: u16,
    names: Option<Vec<Vec<u8>>>,
    /// What the answer says.
    says: &'static [u8],
}

impl Same {
    /// Always the same request.
    pub fn new(template: Template, status: u16, run: u64) -> Self {
        Self { template, keys: Keys::new(run), status, names: None, says: b"" }
    }

    /// A request for each name.
    pub fn each(template: Template, status: u16, names: Vec<Vec<u8>>, run: u64) -> Self {
        Self { template, keys: Keys::new(run), status, names: Some(names), says: b"" }
    }

    /// The answer must say this.
    pub const fn saying(mut self, says: &'static [u8]) -> Self {
        self.says = says;
        self
    }
}

impl Script for Same {
    fn begin(&mut self, _: usize, out: &mut Vec<u8>) -> bool {
        let name = match &mut self.names {
            None => Vec::new(),
            Some(names) => match names.pop() {
                Some(name) => name,
                None => return false,
            },
        };
        self.template.write(out, &mut self.keys, &name);
        true
    }

    fn answered(&mut self, _: usize, status: u16, body: &[u8], _: &mut Vec<u8>) -> Verdict {
        let says = self.says.is_empty() || body.windows(self.says.len()).any(|part| part == self.says);
        if status == self.status && says { Verdict::Done } else { Verdict::Wrong }
    }
}

/// A request for each name, whose answer has a text to be collected.
pub struct Collect<'a> {
    same: Same,
    before: &'a [u8],
    /// What was found.
    pub found: Vec<Vec<u8>>,
}

impl<'a> Collect<'a> {
    /// Collects the text that follows `before` in each answer, up to a quotation mark.
    pub fn new(same: Same, before: &'a [u8]) -> Self {
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
fn text_of<'a>(body: &'a [u8], before: &[u8]) -> Option<&'a [u8]> {
    let at = body.windows(before.len()).position(|window| window == before)? + before.len();
    let length = body[at..].iter().position(|byte| *byte == b'"')?;
    Some(&body[at..at + length])
}
