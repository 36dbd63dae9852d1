//! A disk of a test's own, small or failing, that nobody else sees and that is gone with the test: it is mounted in a mount namespace, which a child that waits
//! for its input keeps alive. Programs are run inside; the test reaches the files through the child's root in `/proc`.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A mounted disk.
pub struct Mount {
    holder: Child,
    /// Where it is mounted; outside of the namespace an empty folder.
    folder: TempDir,
    /// As a user without the right to mount: there is a user namespace around it.
    by_user: bool,
}

impl Mount {
    /// A file system in memory of so many MiB.
    pub fn small(mebibytes: u32) -> Self {
        Self::new(&format!("mount -t tmpfs -o size={mebibytes}m,mode=700 none \"$1\""), true)
    }

    /// A file system on a disk image, which can be made to fail.
    pub fn image(mebibytes: u32) -> Self {
        // The image lies in a file system in memory, so it goes with the namespace too.
        let script = format!(
            "mount -t tmpfs none \"$1\" && truncate -s {mebibytes}M \"$1/image\" && mkfs.ext4 -q \"$1/image\" && \
             mount -o loop,errors=remount-ro \"$1/image\" \"$1\" && chmod 700 \"$1\""
        );
        Self::new(&script, false)
    }

    fn new(script: &str, user_will_do: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hold = format!("{script} && echo mounted && exec cat");
        let mut said = String::new();
        for by_user in [false, true] {
            if by_user && !user_will_do {
                break;
            }
            let mut unshare = Command::new("unshare");
            unshare.args(if by_user { &["--user", "--map-root-user", "--mount"][..] } else { &["--mount"] });
            let child = unshare
                .args(["sh", "-c", &hold, "sh"])
                .arg(folder.path())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn();
            let mut holder = child.unwrap_or_else(|error| panic!("`unshare` of util-linux is needed to mount a disk for this test: {error}"));
            let mut line = String::new();
            BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
            if line == "mounted\n" {
                return Self { holder, folder, by_user };
            }
            let output = holder.wait_with_output().unwrap();
            said = format!("{said}{}\n", String::from_utf8_lossy(&output.stderr).trim_end());
        }
        let how = if user_will_do {
            "run the tests as root, or allow user namespaces"
        } else {
            "run the tests as root, where loop devices and mkfs.ext4 are"
        };
        panic!("this test needs a disk of its own and cannot mount one: {how}\n{said}");
    }

    /// Where programs inside find it.
    pub fn inside(&self) -> &Path {
        self.folder.path()
    }

    /// Where this test finds it.
    pub fn outside(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.folder.path().strip_prefix("/").unwrap())
    }

    /// A program to be run inside.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.id().to_string(), "--mount"]);
        if self.by_user {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.args(["--", program]).env_remove("RUST_LOG").stdin(Stdio::null());
        command
    }

    /// The binary, inside.
    pub fn tornello(&self) -> Command {
        self.command(env!("CARGO_BIN_EXE_tornello"))
    }

    /// What a disk does that sees too many errors: it takes no more writes, also from those who have files open.
    pub fn fail(&self) {
        self.mount(&["-o", "remount,abort"]);
    }

    /// Mounted again to be read only; nobody may have a file open to write.
    pub fn read_only(&self) {
        self.mount(&["-o", "remount,ro"]);
    }

    fn mount(&self, options: &[&str]) {
        let output = self.command("mount").args(options).arg(self.inside()).output().expect("nsenter can be run");
        assert!(output.status.success(), "mount {options:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Takes all the room that is left.
    pub fn fill(&self) {
        let mut ballast = std::fs::File::options().create(true).append(true).open(self.outside().join("ballast")).expect("a ballast file");
        for size in [1 << 20, 1 << 12, 1] {
            let block = vec![0x55; size];
            loop {
                match ballast.write(&block) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("the ballast cannot be written: {error}"),
                }
            }
        }
    }

    /// Gives it back.
    pub fn make_room(&self) {
        std::fs::remove_file(self.outside().join("ballast")).expect("the ballast is there");
    }
}

/// With its last process the namespace goes, and with it the disk.
impl Drop for Mount {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
