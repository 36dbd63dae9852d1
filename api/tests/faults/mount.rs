//! A disk of a test's own, small or failing, that nobody else sees and that is gone with the test: it is mounted in a mount namespace, which a child that waits
//! for its input keeps alive. Programs are run inside; the test reaches the files through the child's root in `/proc`.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A mounted disk.
pub struct Mount {
    holder: Child,
    /// Where all of it is mounted; outside of the namespace an empty folder.
    folder: TempDir,
    /// Where the disk itself is: there, or in it.
    place: PathBuf,
    /// As a user without the right to mount: there is a user namespace around it.
    by_user: bool,
}

/// Mounts the image of a starved disk, whose own writes a test must see first: nothing is written behind its back for a minute.
const STARVED: &str = "mount -o loop,commit=60,errors=remount-ro \"$1/image\" \"$1/disk\"";

impl Mount {
    /// A file system in memory of so many MiB.
    pub fn small(mebibytes: u32) -> Self {
        Self::must(Self::open(&in_memory(mebibytes), "", true), true)
    }

    /// One of so many MiB that can be filled: on a disk image, where a flush does something, or in memory for whoever may mount no image.
    pub fn to_fill(mebibytes: u32) -> Self {
        Self::must(Self::open(&on_image(mebibytes), "", false).or_else(|_| Self::open(&in_memory(mebibytes), "", true)), true)
    }

    /// A file system on a disk image, which can be made to fail, and to stall.
    pub fn image(mebibytes: u32) -> Self {
        Self::must(Self::open(&on_image(mebibytes), "", false), false)
    }

    /// A file system on a disk image that promises more than what is below it has: when that is full, a write to a new place is taken, and its flush fails.
    pub fn starved(mebibytes: u32, below: u32) -> Self {
        let script = format!(
            "mount -t tmpfs -o size={below}m none \"$1\" && truncate -s {mebibytes}M \"$1/image\" && mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 \"$1/image\" && mkdir \"$1/disk\" && \
             {STARVED} && chmod 700 \"$1/disk\""
        );
        Self::must(Self::open(&script, "disk", false), false)
    }

    fn must(mounted: Result<Self, String>, user_will_do: bool) -> Self {
        let how = if user_will_do {
            "run the tests as root, or allow user namespaces"
        } else {
            "run the tests as root, where loop devices and mkfs.ext4 are"
        };
        mounted.unwrap_or_else(|said| panic!("this test needs a disk of its own and cannot mount one: {how}\n{said}"))
    }

    /// Runs a script that mounts something at the folder that it is given; what it said if it cannot.
    fn open(script: &str, within: &str, user_will_do: bool) -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let place = if within.is_empty() { folder.path().to_owned() } else { folder.path().join(within) };
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
                return Ok(Self { holder, folder, place, by_user });
            }
            let output = holder.wait_with_output().unwrap();
            said = format!("{said}{}\n", String::from_utf8_lossy(&output.stderr).trim_end());
        }
        Err(said)
    }

    /// Where programs inside find it.
    pub fn inside(&self) -> &Path {
        &self.place
    }

    /// Where this test finds it.
    pub fn outside(&self) -> PathBuf {
        self.seen_from_here(&self.place)
    }

    fn seen_from_here(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(path.strip_prefix("/").unwrap())
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

    /// Every write waits until the answer is dropped, as on a disk that does not answer. Drop it before the server: one that waits for its disk cannot be killed.
    pub fn stall(&self) -> Stalled<'_> {
        self.run("fsfreeze", &["--freeze"]);
        Stalled(self)
    }

    /// A starved disk that took no more writes is there again, with what was flushed. Nobody may have a file open.
    pub fn mount_again(&self) {
        let script = format!("umount \"$1/disk\" && {STARVED}");
        let output = self.command("sh").args(["-c", &script, "sh"]).arg(self.folder.path()).output().expect("nsenter can be run");
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn mount(&self, options: &[&str]) {
        self.run("mount", options);
    }

    fn run(&self, program: &str, options: &[&str]) {
        let output = self.command(program).args(options).arg(self.inside()).output().expect("nsenter can be run");
        assert!(output.status.success(), "{program} {options:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Takes all the room that is left.
    pub fn fill(&self) {
        fill(&self.outside().join("ballast"));
    }

    /// Gives it back.
    pub fn make_room(&self) {
        std::fs::remove_file(self.outside().join("ballast")).expect("the ballast is there");
    }

    /// Takes all the room that is left below a starved disk.
    pub fn fill_below(&self) {
        fill(&self.seen_from_here(&self.folder.path().join("ballast")));
    }

    /// Gives it back.
    pub fn make_room_below(&self) {
        std::fs::remove_file(self.seen_from_here(&self.folder.path().join("ballast"))).expect("the ballast is there");
    }
}

fn in_memory(mebibytes: u32) -> String {
    format!("mount -t tmpfs -o size={mebibytes}m,mode=700 none \"$1\"")
}

fn on_image(mebibytes: u32) -> String {
    // The image lies in a file system in memory, so it goes with the namespace too.
    format!(
        "mount -t tmpfs none \"$1\" && truncate -s {mebibytes}M \"$1/image\" && mkfs.ext4 -q \"$1/image\" && \
         mount -o loop,errors=remount-ro \"$1/image\" \"$1\" && chmod 700 \"$1\""
    )
}

fn fill(ballast: &Path) {
    let mut ballast = File::options().create(true).append(true).open(ballast).expect("a ballast file");
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

/// A disk that stalls, until this is dropped.
pub struct Stalled<'a>(&'a Mount);

impl Drop for Stalled<'_> {
    fn drop(&mut self) {
        self.0.run("fsfreeze", &["--unfreeze"]);
    }
}

/// With its last process the namespace goes, and with it the disk.
impl Drop for Mount {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
