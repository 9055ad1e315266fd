//! Files over HTTP.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::HashMap;
use std::path::PathBuf;

use peerloom_server::site::Site;
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Answer {
    status: u16,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

async fn ask(server: &Server, method: &str, path: &str, headers: &str) -> Answer {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: demo.test:81\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    soon("an answer", stream.read_to_end(&mut bytes)).await.unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let (first, rest) = head.split_once("\r\n").unwrap();
    let headers = rest.lines().filter_map(|line| line.split_once(": "));
    Answer {
        status: first.split(' ').nth(1).unwrap().parse().unwrap(),
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        body: bytes[end + 4..].to_vec(),
    }
}

/// A folder that is removed at the end, with a secret beside it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let outer = std::env::temp_dir().join(format!("peerloom-site-{name}-{}", std::process::id()));
        let folder = outer.join("site");
        std::fs::create_dir_all(folder.join("sub")).unwrap();
        std::fs::write(outer.join("secret.txt"), "secret").unwrap();
        std::fs::write(folder.join("index.html"), "<!doctype html>").unwrap();
        std::fs::write(folder.join("sub/index.html"), "sub").unwrap();
        std::fs::write(folder.join("app.js"), "x".repeat(5_000)).unwrap();
        std::fs::write(folder.join("a.wasm"), "\0asm").unwrap();
        std::fs::write(folder.join(".hidden"), "hidden").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(outer.join("secret.txt"), folder.join("link.txt")).unwrap();
        Self(outer)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn server(folder: &Folder) -> Server {
    let mut config = config();
    config.site = Site::folder(&folder.0.join("site")).unwrap();
    Server::start(config).await
}

#[tokio::test]
async fn files_have_their_types_and_a_strict_policy() {
    let folder = Folder::new("types");
    let server = server(&folder).await;
    for (path, status, media_type) in [
        ("/", 200, "text/html; charset=utf-8"),
        ("/sub/", 200, "text/html; charset=utf-8"),
        ("/app.js?v=1", 200, "text/javascript; charset=utf-8"),
        ("/a.wasm", 200, "application/wasm"),
        ("/nothing", 404, "text/plain; charset=utf-8"),
        ("/sub", 404, "text/plain; charset=utf-8"),
        ("/healthz", 200, "text/plain; charset=utf-8"),
    ] {
        let answer = ask(&server, "GET", path, "").await;
        assert_eq!(
            (answer.status, answer.headers["content-type"].as_str()),
            (status, media_type),
            "{path}"
        );
        if path != "/healthz" {
            let policy = &answer.headers["content-security-policy"];
            assert!(
                policy.starts_with("default-src 'none'; script-src 'self' 'wasm-unsafe-eval';"),
                "{policy}"
            );
            assert!(
                policy.contains("connect-src 'self' ws://demo.test:81 wss://demo.test:81;"),
                "{policy}"
            );
            assert_eq!(answer.headers["x-content-type-options"], "nosniff");
            assert_eq!(answer.headers["referrer-policy"], "no-referrer");
        }
    }
    assert_eq!(ask(&server, "POST", "/", "").await.status, 405);
    assert_eq!(ask(&server, "GET", "/peerloom", "").await.status, 426);
}

#[tokio::test]
async fn nothing_outside_the_folder_is_served() {
    let folder = Folder::new("outside");
    let server = server(&folder).await;
    for path in [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/sub/..%2f..%2fsecret.txt",
        "//etc/passwd",
        "/.hidden",
        "/link.txt",
        "/sub/%00",
    ] {
        assert_eq!(ask(&server, "GET", path, "").await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn what_the_browser_has_is_not_sent_again() {
    let folder = Folder::new("again");
    let server = server(&folder).await;
    let plain = ask(&server, "GET", "/app.js", "").await;
    assert_eq!((plain.status, plain.body.len()), (200, 5_000));
    let small = ask(&server, "GET", "/app.js", "accept-encoding: br, gzip\r\n").await;
    assert_eq!(small.headers["content-encoding"], "gzip");
    assert!(small.body.len() < 200);
    assert_ne!(plain.headers["etag"], small.headers["etag"]);
    for (answer, accepts) in [(&plain, ""), (&small, "accept-encoding: gzip\r\n")] {
        let again = format!("{accepts}if-none-match: \"x\", W/{}\r\n", answer.headers["etag"]);
        let again = ask(&server, "GET", "/app.js", &again).await;
        assert_eq!((again.status, again.body.len()), (304, 0));
    }
    std::fs::write(folder.0.join("site/app.js"), "y".repeat(5_000)).unwrap();
    let tag = format!(
        "accept-encoding: gzip\r\nif-none-match: {}\r\n",
        small.headers["etag"]
    );
    let changed = ask(&server, "GET", "/app.js", &tag).await;
    assert_eq!(changed.status, 200);
    assert_ne!(changed.body, small.body);
    let head = ask(&server, "HEAD", "/app.js", "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[tokio::test]
async fn the_demo_is_served_by_itself() {
    let mut config = config();
    config.site = Site::Embedded;
    let server = Server::start(config).await;
    let answer = ask(&server, "GET", "/", "").await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.starts_with(b"<!doctype html>"));
}
