//! A backup of the journal put back into a folder of its own. Without the keys that it depends on it is not started in passing: the binary names them and says what can
//! be done. And whose it is what root makes there.

use std::os::unix::fs::{MetadataExt, chown};

use tornello_actors::journal::file::FILE;
use tornello_actors::signing::SigningKeys;
use tornello_engine::time::Timestamp;

use crate::server::{Server, serve, tornello};

#[actix_web::test]
async fn a_journal_that_is_put_back_without_its_keys_is_started_only_if_that_is_said() {
    let (folder, restored) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert!(Server::start(folder.path()).stop().success());
    std::fs::copy(folder.path().join(FILE), restored.path().join(FILE)).unwrap();
    let (status, log) = Server::run(serve(tornello(), restored.path())).err().expect("a folder without its keys allows no start");
    assert!(status.code() == Some(1), "{status}:\n{log}");
    for words in ["signing.keys", "master.key", "from the backup", "--new-keys"] {
        assert!(log.contains(words), "{words}:\n{log}");
    }
    let mut accepted = serve(tornello(), restored.path());
    accepted.arg("--new-keys");
    let server = Server::run(accepted).unwrap_or_else(|(status, log)| panic!("{status}:\n{log}"));
    assert!(server.stop().success());
    // It is said once.
    assert!(Server::start(restored.path()).stop().success());
}

/// As root tends the folder of a server that runs as a user of its own.
#[test]
fn whatever_root_makes_in_the_folder_of_another_user_belongs_to_them() {
    const SOMEBODY: u32 = 65_534;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    SigningKeys::load_or_create(data.join("signing.keys"), Timestamp::from_seconds(1_700_000_000)).unwrap();
    std::fs::write(data.join(FILE), "").unwrap();
    for theirs in [data.to_owned(), data.join("signing.keys"), data.join("signing.keys.lock"), data.join(FILE)] {
        chown(theirs, Some(SOMEBODY), Some(SOMEBODY)).expect("run the tests as root");
    }
    for arguments in [
        &["signing", "rotate"][..],
        &["signing", "forget", "1"],
        &["keys", "create", "--name", "Desk", "--role", "box_office"],
        &["verify"],
        &["views", "rebuild"],
    ] {
        let done = tornello().args(arguments).arg("--data").arg(data).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
    for name in ["forgotten.log", "keys.db", "lock", "revoked.log", "signing.keys", "views.boot", "views.db"] {
        assert!(data.join(name).is_file(), "{name} is not there");
    }
    for made in std::fs::read_dir(data).unwrap() {
        let made = made.unwrap();
        assert_eq!(made.metadata().unwrap().uid(), SOMEBODY, "the server cannot use {}", made.file_name().display());
    }
}
