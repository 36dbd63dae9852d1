//! Files that only their owner may read, replaced as a whole, and folders that only their owner may enter: how any secret of the installation is kept on disk.
//!
//! Knows bytes and permissions, and nothing of what they are for. Blocks on the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;
use zeroize::Zeroizing;

/// Why a secret cannot be kept in a file.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// The disk or the operating system said no.
    #[error("cannot {attempted} {}", path.display())]
    Io {
        /// What was attempted.
        attempted: &'static str,
        /// On which file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Whoever this runs as may not do that.
    #[error(
        "cannot {attempted} {}: that is for another user than the one that this runs as. What somebody else has put there, as root from a backup, is to be given to the user of the \
        server, as with `chown -R`",
        path.display()
    )]
    NotOurs {
        /// What was attempted.
        attempted: &'static str,
        /// On which file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Somebody else may read the file.
    #[error("{} may be read by others (mode {mode:03o}); run `chmod 600` on it, and if others use this machine, replace the secret", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is larger than any secret.
    #[error("{} is larger than {limit} bytes, so it is not the expected file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
}

/// With all that is to be said, for those who know nothing of secrets.
impl From<SecretFileError> for io::Error {
    fn from(error: SecretFileError) -> Self {
        match error {
            SecretFileError::Io { ref source, .. } | SecretFileError::NotOurs { ref source, .. } => {
                Self::new(source.kind(), format!("{error}: {source}"))
            }
            error => Self::other(error),
        }
    }
}

fn failed(attempted: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SecretFileError {
    move |source| {
        let path = path.to_owned();
        match Errno::from_io_error(&source) {
            Some(Errno::ACCESS) => SecretFileError::NotOurs { attempted, path, source },
            _ => SecretFileError::Io { attempted, path, source },
        }
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Holds off other processes that change the same secret until the returned file is dropped. The empty lock file stays behind.
pub(crate) fn lock(path: &Path) -> Result<File, SecretFileError> {
    let path = beside(path, ".lock");
    let file = open_or_make(&path, private().create(true).truncate(false))?;
    file.lock().map_err(failed("lock", &path))?;
    Ok(file)
}

/// Opens a file with options that make it if there is none: then it belongs to whoever has its folder.
pub(crate) fn open_or_make(path: &Path, options: &OpenOptions) -> Result<File, SecretFileError> {
    let is_new = !path.exists();
    let file = options.open(path).map_err(failed("open", path))?;
    if is_new {
        give(&file, folder_of(path));
    }
    Ok(file)
}

/// Gives what was just made to whoever has the folder that it is in, or what it takes the place of: where root tends the folder of a server that runs as another user, the server could
/// neither read what root made there nor start again beside it. Nobody but root may give anything away, and nobody else has to.
fn give(made: &File, as_of: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        let (Ok(now), Ok(wanted)) = (made.metadata(), std::fs::metadata(as_of)) else { return };
        // A folder that is made for everybody, as /tmp is, is nobody's.
        let is_everybodys = wanted.is_dir() && wanted.mode() & 0o1000 != 0;
        if now.uid() != wanted.uid()
            && !is_everybodys
            && let Err(error) = fchown(made, Some(wanted.uid()), Some(wanted.gid()))
        {
            tracing::debug!(%error, as_of = %as_of.display(), "what was made beside it belongs to somebody else");
        }
    }
}

/// The bytes of the file, or none if there is no file. Refused if its permissions let anyone but the owner read it.
///
/// # Errors
/// If others may read the file, it is larger than `limit` bytes, or the disk fails.
pub fn read(path: &Path, limit: u64) -> Result<Option<Zeroizing<Vec<u8>>>, SecretFileError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed("open", path))?,
    };
    // Asked of the open file: asking by name would leave time to swap it.
    let metadata = file.metadata().map_err(failed("examine", path))?;
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
        if mode & 0o077 != 0 {
            return Err(SecretFileError::Exposed { path: path.to_owned(), mode });
        }
    }
    if metadata.len() > limit {
        return Err(SecretFileError::TooLarge { path: path.to_owned(), limit });
    }
    // Room for everything at once: a vector that grows would leave copies behind in memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len() as usize + 1));
    file.take(limit).read_to_end(&mut bytes).map_err(failed("read", path))?;
    Ok(Some(bytes))
}

/// Puts `bytes` in the place of the file, whole or not at all: written beside it, flushed, renamed, and the folder flushed.
///
/// # Errors
/// If the disk fails; the old file then stands.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), SecretFileError> {
    replace_with(path, |file| file.write_all(bytes))
}

/// As [`replace`], for what is written in parts.
pub(crate) fn replace_with(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), SecretFileError> {
    let beside = beside(path, ".new");
    // A leftover of a crash may have other permissions; it is made anew.
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &beside)(error)),
        _ => {}
    }
    let owner = if path.exists() { path } else { folder_of(path) };
    let written = write_new(&beside, owner, write).and_then(|()| std::fs::rename(&beside, path).map_err(failed("put in place", path)));
    if written.is_err() {
        // On a full disk it would keep the room that the journal could go on in.
        let _ = std::fs::remove_file(&beside);
    }
    written?;
    flush_folder(path)
}

fn write_new(path: &Path, owner: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), SecretFileError> {
    let mut file = private().create_new(true).open(path).map_err(failed("create", path))?;
    give(&file, owner);
    write(&mut file).map_err(failed("write", path))?;
    file.sync_all().map_err(failed("flush", path))
}

/// Removes the file, if there is one: also after the machine has ended it stays removed.
///
/// # Errors
/// If the disk fails.
pub fn remove(path: &Path) -> Result<(), SecretFileError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("remove", path)(error)),
        Ok(()) => flush_folder(path),
    }
}

/// Removes what [`replace`] had written beside the file when the process was killed, if anything: it would stay until the next one.
pub(crate) fn remove_unfinished(path: &Path) -> Result<(), SecretFileError> {
    remove(&beside(path, ".new"))
}

/// Makes the file if there is none, readable by its owner alone, for a database that is to be opened there; one that others may read is taken from them.
pub(crate) fn ensure_private(path: &Path) -> Result<(), SecretFileError> {
    match private().create_new(true).open(path) {
        Ok(file) => {
            give(&file, folder_of(path));
            flush_folder(path)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            tighten(path);
            Ok(())
        }
        Err(error) => Err(failed("create", path)(error)),
    }
}

/// As [`ensure_private`], for a database that is made once: one that may not be read and written is named, while SQLite only says that it is unable to open a file.
pub(crate) fn ensure_usable(path: &Path) -> Result<(), SecretFileError> {
    ensure_private(path)?;
    access(path, Access::READ_OK | Access::WRITE_OK).map_err(|error| failed("read and write", path)(error.into()))
}

/// Makes a folder that its owner alone may enter, if there is none, and those above it; one that others may enter is taken from them.
///
/// # Errors
/// If it cannot be made, or is none.
pub fn make_folder(path: &Path) -> Result<(), SecretFileError> {
    if path.is_dir() {
        tighten(path);
        return Ok(());
    }
    make_above(path)?;
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        // Somebody else was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        // That a file exists says nothing of what is the matter with it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(failed("use as a folder", path)(Errno::NOTDIR.into())),
        Err(error) => Err(failed("make", path)(error)),
        Ok(()) => flush_folder(path),
    }
}

/// As [`make_folder`], of one that belongs to whoever has the folder that it is in.
pub(crate) fn make_folder_within(path: &Path) -> Result<(), SecretFileError> {
    let is_new = !path.exists();
    make_folder(path)?;
    if is_new {
        give(&File::open(path).map_err(failed("open", path))?, folder_of(path));
    }
    Ok(())
}

/// Makes the folders above a path, with the permissions that folders have here, each on the disk before the next.
fn make_above(path: &Path) -> Result<(), SecretFileError> {
    let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty() && !above.is_dir()) else { return Ok(()) };
    make_above(above)?;
    match std::fs::create_dir(above) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed("make", above)(error)),
        _ => flush_folder(above),
    }
}

/// Takes from all others what they may do with a file or folder that is there, and says so: it was made before these were private, or copied without its permissions.
/// Asked by name: to open and close a database here would take its locks from whoever has it open in this process.
pub(crate) fn tighten(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let Ok(metadata) = std::fs::metadata(path) else { return };
        let (mut permissions, shown) = (metadata.permissions(), path.display());
        let mode = permissions.mode() & 0o7777;
        // What is made for everybody, as /tmp is, stays everybody's; the files in it are private all the same.
        if mode & 0o077 == 0 || (metadata.is_dir() && mode & 0o1000 != 0) {
            return;
        }
        permissions.set_mode(mode & !0o077);
        match std::fs::set_permissions(path, permissions) {
            Ok(()) => tracing::warn!(
                "{shown} was open to others (mode {mode:03o}) and is not any more: it holds secrets; if others use this machine, they may have them"
            ),
            Err(error) => tracing::warn!(%error, "{shown} is open to others (mode {mode:03o}) and holds secrets, and that cannot be changed"),
        }
    }
}

/// The folder that a file is in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(unix)]
fn flush_folder(path: &Path) -> Result<(), SecretFileError> {
    File::open(folder_of(path)).and_then(|folder| folder.sync_all()).map_err(failed("flush the folder of", path))
}

#[cfg(not(unix))]
fn flush_folder(_: &Path) -> Result<(), SecretFileError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_written_leaves_its_room_on_the_disk_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.key");
        std::fs::write(&path, b"before").unwrap();
        let full = replace_with(&path, |file| {
            file.write_all(b"half writ")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        });
        assert!(matches!(full, Err(SecretFileError::Io { .. })), "{full:?}");
        assert_eq!(std::fs::read(&path).unwrap(), b"before");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        // Nor does what cannot be put in its place stay: here a folder is in it.
        let taken = folder.path().join("taken");
        std::fs::create_dir(&taken).unwrap();
        assert!(replace(&taken, b"after").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn who_may_not_use_a_file_is_told_which_and_what_can_be_done() {
        let path = Path::new("data/keys.db");
        let told = |error: Errno| io::Error::from(failed("open", path)(error.into()));
        let denied = told(Errno::ACCESS);
        assert_eq!(denied.kind(), io::ErrorKind::PermissionDenied);
        for words in ["cannot open data/keys.db", "another user", "chown -R"] {
            assert!(denied.to_string().contains(words), "{words}: {denied}");
        }
        assert!(!told(Errno::NOSPC).to_string().contains("chown"));
        let folder = tempfile::tempdir().unwrap();
        ensure_usable(&folder.path().join("some.db")).unwrap();
        let gone = folder.path().join("gone.db");
        std::os::unix::fs::symlink(folder.path().join("nowhere.db"), &gone).unwrap();
        let error = ensure_usable(&gone).unwrap_err().to_string();
        assert!(error.contains("cannot read and write") && error.contains("gone.db"), "{error}");
        let file = folder.path().join("a file");
        std::fs::write(&file, b"").unwrap();
        let error = io::Error::from(make_folder(&file).unwrap_err()).to_string();
        assert!(error.contains("cannot use as a folder") && error.contains("Not a directory"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn folders_and_databases_are_made_private_and_taken_from_others() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (data, database) = (folder.path().join("a/b/data"), folder.path().join("a/b/data/some.db"));
        let modes = || [&data, &database].map(|path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777);
        make_folder(&data).unwrap();
        ensure_private(&database).unwrap();
        assert_eq!(modes(), [0o700, 0o600]);
        for (path, mode) in [(&data, 0o755), (&database, 0o644)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        make_folder(&data).unwrap();
        ensure_private(&database).unwrap();
        assert_eq!(modes(), [0o700, 0o600]);
        assert!(make_folder(&database).is_err(), "a file is no folder");
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o1777)).unwrap();
        make_folder(&data).unwrap();
        assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o7777, 0o1777, "a folder for everybody stays so");
    }
}
