//! The published contract as a server keeps it: its text, and of each operation what is looked up when a request does not fit. The whole of it as values is many times as
//! large, and nobody asks for it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::OnceLock;

use actix_web::http::Method;
use actix_web::web::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::{OpenApi, PathItem, RefOr};

/// What one operation takes in its query.
#[derive(Debug)]
struct Taken {
    method: Method,
    /// Names, and the schemas of their values.
    query: Vec<(String, Value)>,
}

/// The contract of a listener.
#[derive(Debug)]
pub struct Contract {
    text: Bytes,
    /// That, packed, once somebody has asked for it; none if it cannot be packed.
    packed: OnceLock<Option<Bytes>>,
    /// By template of the path.
    operations: BTreeMap<String, Vec<Taken>>,
}

impl Contract {
    /// What is kept of a contract. An error if it cannot be written as JSON.
    pub fn of(contract: &OpenApi) -> Result<Self, serde_json::Error> {
        let operations = contract.paths.paths.iter().map(|(template, item)| (template.clone(), taken(item))).collect();
        Ok(Self { text: serde_json::to_vec(contract)?.into(), packed: OnceLock::new(), operations })
    }

    /// It, as JSON.
    #[must_use]
    pub fn text(&self) -> Bytes {
        self.text.clone()
    }

    /// It, as JSON packed by gzip. The first time that takes some hundredths of a second.
    #[must_use]
    pub fn packed(&self) -> Option<Bytes> {
        self.packed.get_or_init(|| pack(&self.text).ok()).clone()
    }

    /// The methods that a path takes, HEAD where it can be read; none if there is no such path.
    #[must_use]
    pub fn methods(&self, path: &str) -> Option<Vec<&str>> {
        let (_, taken) = self.operations.iter().find(|(template, _)| fits(template, path))?;
        let and_head = |method: &Method| (*method == Method::GET).then_some("HEAD");
        Some(taken.iter().flat_map(|taken| [Some(taken.method.as_str()), and_head(&taken.method)]).flatten().collect())
    }

    /// What the query of an operation takes: names, and the schemas of their values. None if there is no such operation.
    #[must_use]
    pub fn query(&self, template: &str, method: &Method) -> Option<&[(String, Value)]> {
        self.operations.get(template)?.iter().find(|taken| taken.method == *method).map(|taken| taken.query.as_slice())
    }
}

fn pack(text: &[u8]) -> io::Result<Bytes> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(text)?;
    packed.finish().map(Bytes::from)
}

fn taken(item: &PathItem) -> Vec<Taken> {
    let all = [
        (Method::GET, &item.get),
        (Method::POST, &item.post),
        (Method::PUT, &item.put),
        (Method::DELETE, &item.delete),
        (Method::PATCH, &item.patch),
    ];
    all.into_iter().filter_map(|(method, operation)| Some(Taken { method, query: query(operation.as_ref()?) })).collect()
}

fn query(operation: &Operation) -> Vec<(String, Value)> {
    let named =
        operation.parameters.iter().flatten().filter_map(|parameter| if let RefOr::T(parameter) = parameter { Some(parameter) } else { None });
    let of_query = named.filter(|parameter| matches!(parameter.parameter_in, ParameterIn::Query));
    of_query.map(|parameter| (parameter.name.clone(), serde_json::to_value(&parameter.schema).unwrap_or_default())).collect()
}

/// Whether a path has the form of a template, where `{name}` stands for any one part.
fn fits(template: &str, path: &str) -> bool {
    let (mut parts, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (parts.next(), given.next()) {
            (None, None) => return true,
            (Some(part), Some(given)) if part == given || part.starts_with('{') && !given.is_empty() => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn it_is_packed_once_and_says_the_same() {
        let contract = Contract::of(&crate::server::contract()).unwrap();
        let (packed, again) = (contract.packed().unwrap(), contract.packed().unwrap());
        assert_eq!(packed.as_ptr(), again.as_ptr());
        let mut text = Vec::new();
        GzDecoder::new(&packed[..]).read_to_end(&mut text).unwrap();
        assert_eq!(text, contract.text());
    }
}
