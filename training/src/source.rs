//! A data file as it was given: its bytes, its digest, its text. Plain and gzipped files are told apart by their first bytes, not by their name. And the folder that models
//! are written to, which is not to have any yet.

use std::io::{Cursor, Read};
use std::path::Path;

use anyhow::{Context, bail};
use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use tornello_models::artifact::{CARD_FILE, MODEL_FILE, hexadecimal};

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

/// Asserts that no model stands in a folder: what acts somewhere is not overwritten unasked. To be asked before anything is fitted.
///
/// # Errors
/// If there is one, with its path.
pub fn no_model_in(folder: &Path) -> anyhow::Result<()> {
    match [MODEL_FILE, CARD_FILE].map(|file| folder.join(file)).into_iter().find(|path| path.exists()) {
        Some(path) => bail!("{} stands there already: write to another folder, or say --overwrite", path.display()),
        None => Ok(()),
    }
}

/// Asserts that no file stands where one is to be written. What is none, as a pipe, can be written to.
///
/// # Errors
/// If there is one, with its path.
pub fn no_file_at(path: &Path) -> anyhow::Result<()> {
    if path.is_file() {
        bail!("{} stands there already: write to another file, or say --overwrite", path.display());
    }
    Ok(())
}

/// As [`no_model_in`], of the folders right below one, where there is that one.
///
/// # Errors
/// If there is a model, with its path; if the folder cannot be read.
pub fn no_model_below(folder: &Path) -> anyhow::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    let reading = || format!("reading {}", folder.display());
    std::fs::read_dir(folder).with_context(reading)?.try_for_each(|entry| no_model_in(&entry.with_context(reading)?.path()))
}

/// SHA-256 in hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_model_that_stands_somewhere_is_told() {
        let out = std::env::temp_dir().join(format!("tornello-no-model-{}", std::process::id()));
        let told = |asked: anyhow::Result<()>| asked.map_err(|error| format!("{error:#}"));
        let both = || [told(no_model_in(&out)), told(no_model_below(&out))];
        assert_eq!(both(), [Ok(()), Ok(())], "there is no such folder");
        std::fs::create_dir_all(out.join("champion")).expect("a folder can be made");
        std::fs::write(out.join("notes.txt"), "x").expect("a file can be written");
        assert_eq!(both(), [Ok(()), Ok(())], "no model is there");
        let stands = |path: &Path| Err(format!("{} stands there already: write to another folder, or say --overwrite", path.display()));
        let below = out.join("champion").join(CARD_FILE);
        std::fs::write(&below, "x").expect("a file can be written");
        assert_eq!(both(), [Ok(()), stands(&below)]);
        let within = out.join(MODEL_FILE);
        std::fs::write(&within, "x").expect("a file can be written");
        assert_eq!(both(), [stands(&within), stands(&below)]);
        std::fs::remove_dir_all(&out).expect("the folder can be removed");
    }

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
