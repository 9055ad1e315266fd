//! The signalling server: building it, and running it as the demo. The demo is built for a short wait, the bench for
//! speed. Dependencies are compiled once for all checkouts, and the binary is kept under a hash of what it is made of.

use crate::cache::{Cache, Fingerprint, remove};
use crate::package::{self, Kit, Mode};
use crate::shell::{self, Context, Failure, Job, Result, cargo, command};
use std::fs;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Which cargo profile the server is built with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Little optimisation, assertions on: for the demo and the tests.
    Demo,
    /// What an operator runs.
    Release,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Demo => "demo",
            Self::Release => "release",
        }
    }
}

/// What the server is made of.
const INPUTS: [&str; 9] = [
    "crates/core/src",
    "crates/core/Cargo.toml",
    "crates/server/src",
    "crates/server/Cargo.toml",
    "crates/server/build.rs",
    "www",
    "pkg",
    "Cargo.toml",
    "Cargo.lock",
];

/// The folder that the servers of all checkouts are built in, and its lock.
const TARGET: &str = "server";

/// How many servers the cache keeps.
const KEPT: usize = 4;

/// Builds the server, which embeds `www/` and `pkg/`, unless the cache has the very same; returns the binary's path.
pub fn build(cache: &Cache, root: &Path, profile: Profile) -> Result<PathBuf> {
    let name = format!("peerloom-server{}", std::env::consts::EXE_SUFFIX);
    let key = key(root, profile)?;
    let _shared = cache.lock(TARGET)?;
    let made = cache.get_or_make(&key, |draft, _| {
        shell::step(
            "peerloom-server",
            "the signalling server; about a minute the first time",
            || shell::run(cargo_build(cache, root, profile)?.arg("--quiet")),
        )?;
        let built = cache.target(TARGET).join(profile.name()).join(&name);
        fs::copy(&built, draft.join(&name))
            .context(built.display())
            .map(drop)
    })?;
    let folder = root.join("target/xtask").join(profile.name());
    fs::create_dir_all(&folder).context(folder.display())?;
    let place = folder.join(&name);
    // Removed first: a server that runs from it keeps its file.
    remove(&place)?;
    fs::copy(made.join(&name), &place).context(place.display())?;
    cache.prune("server-", KEPT)?;
    Ok(place)
}

/// On a machine that has never built the server, compiles it while the package is still being made: what has to be
/// compiled again afterwards, with the package in it, is one crate.
pub fn prebuild<'a>(cache: &'a Cache, root: &'a Path) -> Job<'a> {
    Box::new(move || {
        if cache.target(TARGET).join(Profile::Demo.name()).is_dir() {
            return Ok(());
        }
        let _shared = cache.lock(TARGET)?;
        shell::step(
            "the server's dependencies",
            "compiled meanwhile; a minute or two",
            || {
                shell::run_logged(
                    &mut cargo_build(cache, root, Profile::Demo)?,
                    &cache.log("server"),
                )
            },
        )
    })
}

/// The caller holds the lock of the target folder.
fn cargo_build(cache: &Cache, root: &Path, profile: Profile) -> Result<Command> {
    let mut build = cargo();
    build
        .current_dir(root)
        .args([
            "build",
            "--package",
            "peerloom-server",
            "--profile",
            profile.name(),
        ])
        .env("CARGO_TARGET_DIR", cache.claim(TARGET, root)?);
    Ok(build)
}

/// What the binary is kept under.
fn key(root: &Path, profile: Profile) -> Result<String> {
    let mut hash = Fingerprint::new();
    hash.add(shell::output(command("rustc").arg("-vV"))?.as_bytes());
    for input in INPUTS {
        hash.add(input.as_bytes());
        hash.add_path(&root.join(input))?;
    }
    Ok(format!("server-{}-{}", profile.name(), hash.text()))
}

/// Sets up, builds and serves the demo. Becomes the server, so it returns only when it fails.
pub fn demo(cache: &Cache, root: &Path, host: &str, port: u16) -> Result<()> {
    let listen = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    // Before the long wait, not after it.
    TcpListener::bind((host, port)).map_err(|error| {
        Failure::with_remedy(
            format!("cannot listen on {listen}: {error}"),
            "choose another with --port N or --host H",
        )
    })?;
    shell::together(vec![
        prebuild(cache, root),
        Box::new(|| {
            let kit = Kit::ensure(cache, root)?;
            package::build(cache, root, &kit, Mode::Release).map(drop)
        }),
    ])?;
    let server = build(cache, root, Profile::Demo)?;
    announce_later(&listen)?;
    become_server(&server, &listen)
}

/// Starts a helper that prints the address as soon as the server answers there. It is started by a process that ends
/// at once, because the server, which this process becomes, would never collect a child that it didn't start.
fn announce_later(listen: &str) -> Result<()> {
    let own = std::env::current_exe().context("this program's own path")?;
    shell::run(command(own).args(["announce", listen, &std::process::id().to_string(), "later"]))
}

/// Starts this program once more, to announce.
pub fn announce_apart(listen: &str, server: &str) -> Result<()> {
    let own = std::env::current_exe().context("this program's own path")?;
    command(own)
        .args(["announce", listen, server])
        .spawn()
        .context("announce")
        .map(drop)
}

/// Waits until the address answers, and prints it; gives up quietly when the server has ended.
pub fn announce(listen: &str, server: &str) -> Result<()> {
    let begun = Instant::now();
    let (host, port) = listen.rsplit_once(':').ok_or("no port")?;
    let shown = if host == "0.0.0.0" || host == "[::]" {
        "localhost"
    } else {
        host
    };
    let target = listen.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]");
    while begun.elapsed() < Duration::from_secs(30) {
        let process = Path::new("/proc").join(server);
        if Path::new("/proc/self").exists() && !process.exists() {
            return Ok(());
        }
        let address = target.to_socket_addrs().ok().and_then(|mut all| all.next());
        if address.is_some_and(|address| TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok())
        {
            println!(
                "\n  Peerloom is at  http://{shown}:{port}/\n  The npm package http://{shown}:{port}/pkg/"
            );
            println!("  Open it in two browsers. Ctrl-C ends it.\n");
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

#[cfg(unix)]
fn become_server(server: &Path, listen: &str) -> Result<()> {
    use std::os::unix::process::CommandExt;
    let error = command(server).args(["--dev", "--listen", listen]).exec();
    Err(Failure::from(format!("cannot run {}: {error}", server.display())))
}

#[cfg(not(unix))]
fn become_server(server: &Path, listen: &str) -> Result<()> {
    shell::run(command(server).args(["--dev", "--listen", listen]))
}
