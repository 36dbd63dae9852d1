//! `tornello keys`, and what else tends a folder, as a whole: what is refused, what is said, and what happens when nobody reads it to its end.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tornello_actors::keys::{Keys, Role};
use tornello_actors::people::{MasterKey, People};
use tornello_actors::signing::SigningKeys;
use tornello_engine::ids::{MuseumId, PersonId};
use tornello_engine::time::Timestamp;

fn tornello(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tornello"));
    command.args(arguments).env("TORNELLO_DATA", data).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn run(data: &Path, arguments: &[&str]) -> Output {
    tornello(data, arguments).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the binary writes UTF-8")
}

/// Its standard output is a pipe that nobody reads.
fn run_unread(data: &Path, arguments: &[&str]) -> Output {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    tornello(data, arguments).stdout(writer).output().expect("the binary runs")
}

/// Its standard error is a file on a disk that is full.
fn unheard(command: &mut Command) -> &mut Command {
    command.stderr(std::fs::File::options().write(true).open("/dev/full").unwrap())
}

fn note(data: &Path, museums: &[MuseumId]) {
    actix_rt::System::new().block_on(async {
        let keys = Keys::open(data.join("keys.db")).await.unwrap();
        keys.note_museums(museums).await.unwrap();
        keys.close().await;
    });
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    assert!(run(folder.path(), &["keys", "create", "--name", "One", "--role", "web"]).status.success());
    for arguments in [&["keys", "list"][..], &["version"]] {
        let done = run_unread(folder.path(), arguments);
        assert!(done.status.success() && done.stderr.is_empty(), "{arguments:?}: {}", text(&done.stderr));
    }
    let lost = run_unread(folder.path(), &["keys", "create", "--name", "Two", "--role", "web"]);
    assert!(!lost.status.success() && text(&lost.stderr).contains("revoke it"), "{}", text(&lost.stderr));
    assert_eq!(text(&run(folder.path(), &["keys", "list"]).stdout).lines().count(), 4, "a head, a line, two keys");
}

#[test]
fn a_log_that_cannot_be_written_keeps_nothing_from_being_done() {
    let folder = tempfile::tempdir().unwrap();
    // That it is taken from others is a line of the log.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let made = unheard(&mut tornello(folder.path(), &["keys", "create", "--name", "One", "--role", "web"])).output().expect("the binary runs");
    assert!(made.status.success() && text(&made.stdout).starts_with("tn_"), "{made:?}");
    let refused = unheard(&mut tornello(folder.path(), &["keys", "revoke", "nobody"])).output().expect("the binary runs");
    assert_eq!(refused.status.code(), Some(1));

    // A server has something to say before it serves, and tells on the standard output where it does.
    for format in ["text", "json"] {
        let mut serving = tornello(&folder.path().join(format), &["serve", "--demo", "--log", format, "--listen", "127.0.0.1:0"]);
        let mut server = unheard(&mut serving).stdout(Stdio::piped()).spawn().expect("the binary starts");
        let mut said = BufReader::new(server.stdout.take().unwrap()).lines().map_while(Result::ok);
        let serves = said.any(|line| line.starts_with("All that can be asked: http://"));
        // One that has ended by itself cannot be killed.
        let _ = server.kill();
        server.wait().unwrap();
        assert!(serves, "--log {format}: it has ended for a line that could not be written");
    }
}

/// As `tornello verify --assessments | grep -q sound` does, which reads no further than that.
#[test]
fn whatever_is_to_be_verified_is_looked_at_also_if_nobody_reads_on() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("journal.log"), "").unwrap();
    for verify in [&["verify"][..], &["verify", "--lists"]] {
        let sound = run_unread(folder.path(), verify);
        assert!(sound.status.success(), "{verify:?}: {}", text(&sound.stderr));
        let wrong = run_unread(folder.path(), &[verify, &["--assessments", "--case", "000a000102r4e"]].concat());
        assert!(!wrong.status.success() && text(&wrong.stderr).contains("there is no case 000a000102r4e"), "{verify:?}: {}", text(&wrong.stderr));
    }
}

#[test]
fn a_key_is_made_for_museums_that_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let create = |museums: &str| run(folder.path(), &["keys", "create", "--name", "Desk", "--role", "box_office", "--museums", museums]);
    let early = create("999");
    assert!(early.status.success() && text(&early.stderr).contains("no museum is registered here yet"), "{}", text(&early.stderr));
    note(folder.path(), &[MuseumId(1), MuseumId(4)]);
    let refused = create("1,999");
    assert!(
        !refused.status.success() && text(&refused.stderr).contains("--museums: 999 is not registered here; what is: 1, 4"),
        "{}",
        text(&refused.stderr)
    );
    for museums in ["1,4", "all"] {
        let made = create(museums);
        assert!(made.status.success() && text(&made.stdout).starts_with("tn_"), "{}", text(&made.stderr));
    }
}

#[test]
fn a_key_has_another_secret_and_its_number_when_it_is_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let made = run(folder.path(), &["keys", "create", "--name", "Shop", "--role", "web"]);
    let made = text(&made.stdout).trim();
    // All of it, as it was found somewhere.
    let renewed = run(folder.path(), &["keys", "renew", made]);
    let (told, renewed) = (text(&renewed.stderr), text(&renewed.stdout).trim());
    assert!(told.contains("the one before opens nothing any more") && !told.contains(&made[17..]), "{told}");
    assert_eq!((&renewed[..17], renewed.len()), (&made[..17], made.len()));
    assert_ne!(renewed, made);
    assert_eq!(text(&run(folder.path(), &["keys", "list"]).stdout).lines().count(), 3, "a head, a line, one key");
    for (arguments, expected) in [
        (&["keys", "renew", "nobody"][..], "nobody is no id of a key"),
        (&["keys", "renew", "0000000000005"][..], "no key 0000000000005"),
        (&["keys", "renew", made, "--expires", "2020-01-01"][..], "--expires: a day after today"),
    ] {
        let refused = run(folder.path(), arguments);
        assert!(!refused.status.success() && text(&refused.stderr).contains(expected), "{}", text(&refused.stderr));
    }
}

#[test]
fn what_cannot_be_looked_for_is_not_said_to_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    let list = || run(folder.path(), &["keys", "list"]);
    let none = list();
    assert!(!none.status.success() && text(&none.stderr).contains("there is no keys.db"), "{}", text(&none.stderr));
    // As somebody else's folder would, this says why nobody can tell; of that root is told nothing.
    std::os::unix::fs::symlink("keys.db", folder.path().join("keys.db")).unwrap();
    let unknown = list();
    let told = text(&unknown.stderr);
    assert!(!unknown.status.success() && told.contains("cannot look for keys.db in ") && !told.contains("there is no"), "{told}");
}

#[test]
fn a_rotation_says_what_is_to_be_done_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    SigningKeys::load_or_create(folder.path().join("signing.keys"), Timestamp::from_seconds(1_700_000_000)).unwrap();
    let done = run(folder.path(), &["signing", "rotate"]);
    // A server takes it up by itself.
    assert!(done.status.success() && text(&done.stdout).contains("new manifest") && !text(&done.stdout).contains("restart"), "{done:?}");
}

#[test]
fn a_signing_key_that_others_know_is_forgotten_once_another_one_signs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("signing.keys");
    SigningKeys::load_or_create(&path, Timestamp::from_seconds(1_700_000_000)).unwrap();
    let forget = |number: &str| run(folder.path(), &["signing", "forget", number]);
    let early = forget("1");
    assert!(!early.status.success() && text(&early.stderr).contains("rotate before forgetting it"), "{}", text(&early.stderr));
    assert!(run(folder.path(), &["signing", "rotate"]).status.success());
    let listed = run(folder.path(), &["signing", "list"]);
    assert!(text(&listed.stdout).contains("it signs") && text(&listed.stdout).lines().count() == 4, "a head, a line, two keys: {listed:?}");
    let done = forget("1");
    assert!(done.status.success() && text(&done.stdout).contains("new manifest"), "{done:?}");
    let again = forget("1");
    assert!(!again.status.success() && text(&again.stderr).contains("there is no signing key 1"), "{}", text(&again.stderr));
    let none = forget("first");
    assert!(!none.status.success() && text(&none.stderr).contains("`tornello signing list`"), "{}", text(&none.stderr));
    let left = SigningKeys::load_or_create(&path, Timestamp::from_seconds(1_800_000_000)).unwrap();
    assert_eq!(left.public_keys().iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2]);
}

/// The databases may be older than the person, and newer ones be put back.
#[test]
fn a_person_who_is_not_known_is_listed_as_erased_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    actix_rt::System::new().block_on(async {
        let master = MasterKey::load_or_create(&folder.path().join("master.key")).unwrap();
        People::open(folder.path(), master, Timestamp::from_seconds(1_700_000_000)).await.unwrap().close().await;
    });
    let listed = || std::fs::read_to_string(folder.path().join("erased.log")).unwrap().matches(&PersonId(7).to_string()).count();
    assert_eq!(listed(), 0);
    for _ in 0..2 {
        let done = run(folder.path(), &["people", "erase", &PersonId(7).to_string()]);
        assert!(done.status.success(), "{}", text(&done.stderr));
        assert_eq!(text(&done.stdout), "there is no contact under this id, or it was erased before: no copy that is put back brings one\n");
        assert_eq!(listed(), 1);
    }
}

#[test]
fn what_is_wrong_is_named_as_it_was_asked() {
    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().join("new");
    for (name, expires, told) in [("Desk", "2020-01-01", "--expires: a day after today"), (" ", "2100-01-01", "name: 1 to ")] {
        let refused = run(&new, &["keys", "create", "--name", name, "--role", "web", "--expires", expires]);
        assert!(!refused.status.success() && text(&refused.stderr).contains(told), "{}", text(&refused.stderr));
        assert!(!new.exists(), "{told}: nothing is made for a key that is not");
    }
    for (of, told) in [
        (&["--role", "web", "--account", "tour-1"][..], "--account: only a reseller's or an operator's key acts for an account"),
        (&["--role", "operator"][..], "name it with --account CODE"),
    ] {
        let refused = run(&new, &[&["keys", "create", "--name", "Desk"][..], of].concat());
        assert!(!refused.status.success() && text(&refused.stderr).contains(told), "{}", text(&refused.stderr));
        assert!(!new.exists(), "{told}: nothing is made for a key that is not");
    }
    let help = run(folder.path(), &["keys", "create", "--help"]);
    for role in Role::ALL {
        assert!(text(&help.stdout).contains(role.as_str()), "{role} is not in the help");
    }
}

#[test]
fn why_something_failed_is_said_once() {
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none.toml");
    let listen = ["serve", "--listen", "127.0.0.1:0", "--pagopa-listen", "127.0.0.1:0", "--pagopa", none.to_str().unwrap()];
    let refused = run(&folder.path().join("new"), &listen);
    let told = text(&refused.stderr);
    assert!(!refused.status.success() && told.matches("No such file").count() == 1, "{told}");
}

#[test]
fn a_log_for_programs_has_nothing_but_json_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let (data, none) = (folder.path().join("new"), folder.path().join("none.csv"));
    let refused = run(&data, &["serve", "--log", "json", "--listen", "127.0.0.1:0", "--school-breaks", none.to_str().unwrap()]);
    let mut serving = tornello(&data, &["serve", "--log", "json", "--listen", "127.0.0.1:0"]);
    let mut server = serving.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let mut said: Vec<String> = text(&refused.stderr).lines().map(str::to_owned).collect();
    for line in BufReader::new(server.stderr.take().unwrap()).lines().map_while(Result::ok) {
        said.push(line);
        if said.iter().any(|line| line.contains("There is no API key yet")) {
            break;
        }
    }
    server.kill().unwrap();
    server.wait().unwrap();
    for what in ["none.csv", " on http://", "There is no API key yet"] {
        assert!(said.iter().any(|line| line.contains(what)), "{what} is not said: {said:?}");
    }
    for line in said {
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "{line}");
    }
}

#[test]
fn an_address_that_leads_to_no_broker_is_not_shown_with_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("new");
    let address = "mqtts://doors:open-sesame@broker:8883";
    let by_option = run(&data, &["serve", "--mqtt", address]);
    let by_environment = tornello(&data, &["serve"]).env("TORNELLO_MQTT", address).output().expect("the binary runs");
    for refused in [by_option, by_environment] {
        let told = text(&refused.stderr);
        assert!(!refused.status.success() && told.contains("--mqtt: TLS is the business of a local bridge"), "{told}");
        // What a service says there is kept in the log of the machine.
        assert!(!told.contains("open-sesame") && !told.contains("doors"), "{told}");
        assert!(!data.exists(), "nothing is made");
    }
}
