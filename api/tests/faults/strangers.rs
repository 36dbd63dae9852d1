//! What a server writes to its log of what strangers send: with a line for each of them, whoever reaches it could fill the disk. And how long they hold up its end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use crate::server::{Server, key_of, serve, tornello};

#[actix_web::test]
async fn whoever_sends_no_http_writes_no_line() {
    writes_no_line(tornello());
    // As whoever runs it in a container says.
    let mut told = tornello();
    told.env("RUST_LOG", "info");
    writes_no_line(told);
}

fn writes_no_line(mut command: Command) {
    let folder = tempfile::tempdir().unwrap();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(folder.path());
    let server = Server::run(command).unwrap_or_else(|(status, log)| panic!("the server ended with {status}:\n{log}"));
    let (_, base) = server.parts();
    let mut stranger = TcpStream::connect(base.strip_prefix("http://").unwrap()).unwrap();
    stranger.write_all(b"this is no request\r\n\r\n").unwrap();
    let mut answer = String::new();
    stranger.read_to_string(&mut answer).unwrap();
    // The connection is closed after whatever is said of it.
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let said = server.kill_and_read();
    assert!(!said.iter().any(|line| line.contains("ERROR") || line.contains("stream error")), "{said:#?}");
}

/// Somebody who is being served, and keeps back what was to come.
fn who_sends_no_body(address: &str, path: &str, key: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let key = if key.is_empty() { String::new() } else { format!("Authorization: Bearer {key}\r\nIdempotency-Key: none\r\n") };
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: museum\r\nContent-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n{key}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut told = [0; 12];
    stream.read_exact(&mut told).unwrap();
    assert_eq!(&told, b"HTTP/1.1 100", "{path}");
    stream
}

#[actix_web::test]
async fn whoever_sends_no_body_holds_up_the_end_of_all_listeners_together_and_not_of_one_after_another() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = serve(tornello(), folder.path());
    command.args(["--gate-listen", "127.0.0.1:0", "--pagopa-listen", "127.0.0.1:0"]);
    let server = Server::run(command).unwrap_or_else(|(status, log)| panic!("the server ended with {status}:\n{log}"));
    let said = |words: &str| server.line_with(words, Duration::from_secs(10)).expect(words);
    let (gates, station, base) = (said("Gates have a listener"), said("pagoPA's node is served"), server.parts().1);
    let address = |said: &str| said.split_once("http://").unwrap().1.split('/').next().unwrap().to_owned();
    let key = key_of(folder.path(), "gate");
    let strangers = [
        who_sends_no_body(&address(&base), "/v1/admissions", &key),
        who_sends_no_body(&address(&gates), "/v1/admissions", &key),
        who_sends_no_body(&address(&station), "/pagopa", ""),
    ];
    // Ten for everything. After fifteen whoever sends nothing is sent away.
    assert!(server.stop_within(Duration::from_secs(13)).success());
    drop(strangers);
}
