//! What a server writes to its log of what strangers send: with a line for each of them, whoever reaches it could fill the disk.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::server::{Server, tornello};

#[actix_web::test]
async fn whoever_sends_no_http_writes_no_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = tornello();
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
