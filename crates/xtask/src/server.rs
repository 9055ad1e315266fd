//! The signalling server: building it, and running it as the demo. The demo is built for a short wait, the bench for
//! speed; both into a folder that all checkouts share, with the binary then copied into the checkout.

use crate::cache::{Cache, remove};
use crate::package::{self, Kit, Mode};
use crate::shell::{self, Context, Failure, Job, Result, cargo, command};
use std::fs;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
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

/// Builds the server, which embeds `www/` and `pkg/`, and returns the path of the binary.
pub fn build(cache: &Cache, root: &Path, profile: Profile) -> Result<PathBuf> {
    let target = cache.target("server");
    let name = format!("peerloom-server{}", std::env::consts::EXE_SUFFIX);
    let place = root.join("target/xtask").join(profile.name()).join(&name);
    let folder = root.join("target/xtask").join(profile.name());
    fs::create_dir_all(&folder).context(folder.display())?;
    let _shared = cache.lock("server-build")?;
    shell::step(
        "peerloom-server",
        "the signalling server; about a minute the first time",
        || {
            let mut build = cargo();
            build
                .current_dir(root)
                .args([
                    "build",
                    "--quiet",
                    "--package",
                    "peerloom-server",
                    "--profile",
                    profile.name(),
                ])
                .env("CARGO_TARGET_DIR", &target);
            shell::run(&mut build)
        },
    )?;
    // Removed first: a server that runs from it keeps its file.
    remove(&place)?;
    fs::copy(target.join(profile.name()).join(&name), &place).context(place.display())?;
    Ok(place)
}

/// Compiles what the server depends on, without looking at `pkg/`, which is being built at the same time.
pub fn prebuild<'a>(cache: &'a Cache, root: &'a Path) -> Job<'a> {
    Box::new(move || {
        if cache.target("server").join("demo").is_dir() {
            return Ok(());
        }
        // An empty package is enough for the dependencies; the real one is compiled in afterwards.
        fs::create_dir_all(root.join("pkg")).context("pkg")?;
        let _shared = cache.lock("server-build")?;
        shell::step(
            "the server's dependencies",
            "compiled meanwhile, about a minute",
            || {
                let mut build = cargo();
                build
                    .current_dir(root)
                    .args([
                        "build",
                        "--package",
                        "peerloom-server",
                        "--profile",
                        Profile::Demo.name(),
                    ])
                    .env("CARGO_TARGET_DIR", cache.target("server"));
                shell::run_logged(&mut build, &cache.log("server"))
            },
        )
    })
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
    let kit = Kit::ensure_beside(cache, root, vec![prebuild(cache, root)])?;
    package::build(cache, root, &kit, Mode::Release)?;
    let server = build(cache, root, Profile::Demo)?;
    announce_later(&listen)?;
    become_server(&server, &listen)
}

/// Starts a helper that prints the address as soon as the server answers there.
fn announce_later(listen: &str) -> Result<()> {
    let own = std::env::current_exe().context("this program's own path")?;
    command(own)
        .args(["announce", listen, &std::process::id().to_string()])
        .spawn()
        .context("announce")?;
    Ok(())
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
