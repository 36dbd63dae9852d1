//! What a server writes to its log of what strangers send.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

#[test]
fn whoever_sends_no_http_writes_no_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Command::new(env!("CARGO_BIN_EXE_tornello"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.path())
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut lines = BufReader::new(server.stderr.take().expect("piped")).lines();
    let address = lines.by_ref().map_while(Result::ok).find_map(|line| Some(line.split_once(" on http://")?.1.split_once(',')?.0.to_owned()));
    let mut stranger = TcpStream::connect(address.expect("the server says where it listens")).unwrap();
    stranger.write_all(b"this is no request\r\n\r\n").unwrap();
    let mut answer = String::new();
    stranger.read_to_string(&mut answer).unwrap();
    // The connection is closed after whatever is said of it.
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    server.kill().unwrap();
    server.wait().unwrap();
    let said: Vec<String> = lines.map_while(Result::ok).collect();
    assert!(!said.iter().any(|line| line.contains("ERROR") || line.contains("stream error")), "{said:#?}");
}
