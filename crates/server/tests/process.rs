//! The program itself: how it starts, how it is killed, how it stops.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod support;

use std::net::SocketAddr;
use std::process::{Output, Stdio};

use peerloom_core::wire::ServerFrame;
use peerloom_core::wire::codec::Codec;
use support::*;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peerloom-server"));
    command
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

async fn start(listen: &str) -> (Child, SocketAddr) {
    let mut child = program().args(["--dev", "--listen", listen]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = soon("the first line", lines.next_line()).await.unwrap().unwrap();
    let address = line
        .strip_prefix("peerloom-server listening on http://")
        .unwrap()
        .trim_end_matches('/');
    (child, address.parse().unwrap())
}

async fn fails(arguments: &[&str]) -> Output {
    soon("the end", program().args(arguments).output()).await.unwrap()
}

#[tokio::test]
async fn it_does_not_start_without_authentication() {
    let output = fails(&["--listen", "127.0.0.1:0"]).await;
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("--token-secret-file") && text.contains("--dev"),
        "{text}"
    );
    assert!(output.stdout.is_empty());
}

#[tokio::test]
async fn it_does_not_start_with_wrong_options() {
    let weak = std::env::temp_dir().join(format!("peerloom-weak-{}", std::process::id()));
    std::fs::write(&weak, "changeme\n").unwrap();
    let weak = weak.to_str().unwrap();
    for arguments in [
        &["--token-secret-file", weak][..],
        &["--token-secret-file", "/nowhere/at/all"],
        &["--dev", "--ice-servers", "{}"],
        &["--dev", "--ice-servers", "["],
        &["--dev", "--origin", "*"],
        &["--dev", "--site", "/nowhere/at/all"],
        &["--dev", "--trusted-proxy", "10.0.0.0/99"],
        &["--dev", "--listen", "nonsense"],
    ] {
        let output = fails(arguments).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
    std::fs::remove_file(weak).unwrap();
}

#[tokio::test]
async fn after_a_kill_clients_begin_anew_under_their_ids() {
    let (mut child, address) = start("127.0.0.1:0").await;
    let (mut alice, welcome) = Client::enter(address, Codec::Binary, hello("alice")).await;
    alice.send(&join("t")).await;
    alice.settle().await;
    child.kill().await.unwrap();
    assert_eq!(alice.closed().await, 1006);
    let (_child, again) = start(&address.to_string()).await;
    assert_eq!(again, address);
    let (mut alice, welcome) =
        Client::enter(address, Codec::Binary, resume("alice", &welcome.ticket, 1)).await;
    assert!(!welcome.resumed && welcome.received == 0);
    alice.send(&join("t")).await;
    assert!(matches!(alice.next().await, Ok(ServerFrame::Joined { .. })));
}

#[tokio::test]
async fn a_term_signal_drains_it() {
    let (mut child, address) = start("127.0.0.1:0").await;
    let (mut alice, _) = Client::enter(address, Codec::Json, hello("alice")).await;
    let pid = child.id().unwrap().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert!(matches!(alice.next().await, Ok(ServerFrame::Drain { .. })));
    assert_eq!(alice.closed().await, 4009);
    assert_eq!(soon("the exit", child.wait()).await.unwrap().code(), Some(0));
}
