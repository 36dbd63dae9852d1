//! A backup of the journal put back into a folder of its own. Without the keys that it depends on it is not started in passing: the binary names them and says what can
//! be done.

use tornello_actors::journal::file::FILE;

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
