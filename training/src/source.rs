//! A data file as it was given: its bytes, its digest, its text. Plain and gzipped files are told apart by their first bytes, not by their name.

use std::io::{Cursor, Read};
use std::path::Path;

use anyhow::Context;
use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

/// Where figures come from: a file on the disk, or one that ships inside the binary.
pub struct Source {
    /// Its name in reports and errors.
    pub name: String,
    bytes: Vec<u8>,
}

impl Source {
    /// The file at a path or, without one, the shipped file of this name.
    pub fn open(path: Option<&Path>, shipped_name: &str, shipped: &[u8]) -> anyhow::Result<Self> {
        path.map_or_else(|| Ok(Self { name: shipped_name.to_owned(), bytes: shipped.to_vec() }), Self::read)
    }

    /// The file at a path.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        Ok(Self { name: path.display().to_string(), bytes })
    }

    /// SHA-256 of the file as it is, in hexadecimal digits.
    #[must_use]
    pub fn sha256(&self) -> String {
        sha256(&self.bytes)
    }

    /// Its text, unpacked.
    #[must_use]
    pub fn text(&self) -> Box<dyn Read + Send + '_> {
        let text = Cursor::new(self.bytes.as_slice());
        if self.bytes.starts_with(&[0x1f, 0x8b]) { Box::new(MultiGzDecoder::new(text)) } else { Box::new(text) }
    }
}

/// SHA-256 in hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn plain_and_gzipped_files_hold_the_same_text() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"a,b\n1,2\n").expect("memory takes it");
        for bytes in [b"a,b\n1,2\n".to_vec(), packed.finish().expect("memory takes it")] {
            let mut text = String::new();
            Source { name: "t".to_owned(), bytes }.text().read_to_string(&mut text).expect("sound text");
            assert_eq!(text, "a,b\n1,2\n");
        }
        assert_eq!(sha256(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
