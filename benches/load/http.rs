//! As much HTTP/1.1 as a load needs: requests from templates, answers found in what was read, and a slow caller for what is done once. It knows nothing of
//! what is asked.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A request whose text is made once; only an idempotency key, a name and who asks change.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Part {
    Text(String),
    /// The idempotency key, 20 characters.
    Key,
    /// The name of a thing.
    Name,
    /// Who asks, 9 characters.
    Who,
}

/// Stands for the idempotency key in the text of a template.
pub const KEY: &str = "<KEY>";
/// Stands for the name of a thing in the text of a template.
pub const NAME: &str = "<NAME>";
/// Stands for who asks in the text of a template.
pub const WHO: &str = "<WHO>";

/// Who asks: two groups of four digits with a colon between them, as in an address of the internet.
pub type Who = [u8; 9];

/// Nobody in particular.
const NOBODY: Who = *b"0000:0000";

/// Somebody of that number.
pub fn who(number: u32) -> Who {
    let mut text = NOBODY;
    for (place, digit) in [0, 1, 2, 3, 5, 6, 7, 8].into_iter().zip(digits::<8>(number.into())) {
        text[place] = digit;
    }
    text
}

/// The last digits of a number to the base 16.
fn digits<const N: usize>(number: u64) -> [u8; N] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|place| DIGITS[(number >> (4 * (N - 1 - place)) & 15) as usize])
}

impl Template {
    /// A request with a body, which may be empty. Method, path, and body may contain [`NAME`] if all names are `name_length` long, and [`WHO`].
    pub fn new(method: &str, path: &str, bearer: &str, body: &str, name_length: usize) -> Self {
        let (names, whos) = (body.matches(NAME).count(), body.matches(WHO).count());
        let marks = names * NAME.len() + whos * WHO.len();
        let length = body.len() - marks + names * name_length + whos * size_of::<Who>();
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {bearer}\r\n");
        if method != "GET" {
            text += &format!("idempotency-key: {KEY}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n");
        }
        text += "\r\n";
        text += body;
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        while let Some((at, mark, part)) =
            [(KEY, Part::Key), (NAME, Part::Name), (WHO, Part::Who)].into_iter().filter_map(|(m, p)| Some((rest.find(m)?, m, p))).min_by_key(|f| f.0)
        {
            parts.extend([Part::Text(rest[..at].into()), part]);
            rest = &rest[at + mark.len()..];
        }
        parts.push(Part::Text(rest.into()));
        Self(parts)
    }

    /// Writes the request with a key that nobody else uses, and a name.
    pub fn write(&self, out: &mut Vec<u8>, keys: &mut Keys, name: &str) {
        self.write_by(out, keys, name, &NOBODY);
    }

    /// The same, of somebody.
    pub fn write_by(&self, out: &mut Vec<u8>, keys: &mut Keys, name: &str, who: &Who) {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Key => out.extend_from_slice(&keys.next()),
                Part::Name => out.extend_from_slice(name.as_bytes()),
                Part::Who => out.extend_from_slice(who),
            }
        }
    }
}

/// Idempotency keys: what is different in each run and in each generator, and a counter.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Keys {
    run: u64,
    count: u64,
}

impl Keys {
    /// For one generator; no two may have the same number.
    pub const fn new(run: u64) -> Self {
        Self { run, count: 0 }
    }

    fn next(&mut self) -> [u8; 20] {
        self.count += 1;
        let mut text = [0; 20];
        text[..10].copy_from_slice(&digits::<10>(self.run));
        text[10..].copy_from_slice(&digits::<10>(self.count));
        text
    }
}

/// An answer at the beginning of what was read.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    pub status: u16,
    pub body: &'a [u8],
    /// How many bytes it takes up.
    pub length: usize,
}

/// Finds an answer that is there completely. Only answers that say how long they are can be read.
pub fn answer(read: &[u8]) -> anyhow::Result<Option<Answer<'_>>> {
    let mut line_start = 0;
    let mut body_length = 0;
    loop {
        let Some(line_end) = read[line_start..].iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let line = read[line_start..line_start + line_end].trim_ascii_end();
        line_start += line_end + 1;
        if line.is_empty() {
            break;
        }
        const LENGTH: &[u8] = b"content-length:";
        // Most headers are told apart by their length or their first letter.
        if line.len() > LENGTH.len() && line[0] | 32 == b'c' && line[..LENGTH.len()].eq_ignore_ascii_case(LENGTH) {
            let text = std::str::from_utf8(line[LENGTH.len()..].trim_ascii())?;
            body_length = text.parse().context("an answer with a strange length")?;
        } else if line.len() > 26 && line[..26].eq_ignore_ascii_case(b"transfer-encoding: chunked") {
            bail!("an answer in chunks");
        }
    }
    let status = read.get(9..12).and_then(|status| std::str::from_utf8(status).ok()?.parse().ok()).context("no HTTP status")?;
    let length = line_start + body_length;
    Ok((read.len() >= length).then(|| Answer { status, body: &read[line_start..length], length }))
}

/// Asks one thing on a connection of its own and waits for it.
pub fn ask(address: SocketAddr, method: &str, path: &str, bearer: &str, body: Option<&Value>) -> anyhow::Result<(u16, Value)> {
    let mut stream = TcpStream::connect(address)?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let mut request = Vec::new();
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos() as u64;
    Template::new(method, path, bearer, &body, 0).write(&mut request, &mut Keys::new(seed), "");
    stream.write_all(&request)?;
    let mut read = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        if let Some(answer) = answer(&read)? {
            let value = if answer.body.is_empty() { Value::Null } else { serde_json::from_slice(answer.body)? };
            return Ok((answer.status, value));
        }
        match stream.read(&mut buffer)? {
            0 => bail!("{method} {path}: the connection was closed"),
            n => read.extend_from_slice(&buffer[..n]),
        }
    }
}

/// As [`ask`], for what must succeed.
pub fn must(address: SocketAddr, method: &str, path: &str, bearer: &str, body: Option<&Value>) -> anyhow::Result<Value> {
    let (status, value) = ask(address, method, path, bearer, body).with_context(|| format!("{method} {path}"))?;
    if !(200..300).contains(&status) {
        bail!("{method} {path}: {status} {value}");
    }
    Ok(value)
}
