//! `cargo xtask`: set-up, build, tests, demo and bench. Each command finds or installs what it needs and nothing
//! else; see [`toolchain`], [`tools`], [`node`], [`browsers`] and [`namespaces`] for what that is.

mod browsers;
mod cache;
mod debian;
mod layers;
mod namespaces;
mod node;
mod package;
mod server;
mod shell;
mod size;
mod toolchain;
mod tools;

use cache::Cache;
use package::{Kit, Mode};
use server::Profile;
use shell::{Failure, Result};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask demo [--port N] [--host H]   set up, build and serve the demo (8080, 127.0.0.1)
cargo xtask test [LAYER…] [-- WORD…]     run the tests: check, core, server, sdk, types, e2e, net; those that match
cargo xtask build [--dev]                the npm package, into pkg/
cargo xtask check                        formatting, lints and documentation
cargo xtask bench [ARGUMENT…]            compare with raw data channels and other libraries
cargo xtask size                         the package's size: raw, gzip, brotli
cargo xtask setup [--browsers]           only install what the others need
cargo xtask env                          shell commands that put the same tools into your shell";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("\n✗ {failure}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the checkout.
fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let own = own.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    own.ancestors()
        .nth(2)
        .map_or_else(|| PathBuf::from("."), Path::to_owned)
}

fn dispatch(arguments: &[String]) -> Result<ExitCode> {
    let (name, rest) = arguments
        .split_first()
        .map_or(("help", &[][..]), |(name, rest)| (name.as_str(), rest));
    let root = root();
    let done = |()| ExitCode::SUCCESS;
    match name {
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        "setup" => {
            let browsers = flags(rest, &["--browsers"])?.contains(&"--browsers");
            let cache = Cache::open()?;
            Kit::ensure(&cache, &root)?;
            if browsers {
                browsers::Browsers::ensure(&cache)?;
                tools::ensure_geckodriver(&cache)?;
                if let Err(reason) = namespaces::ensure(&cache)? {
                    eprintln!("  no tests with faults of the network: {reason}");
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        "build" => {
            let dev = flags(rest, &["--dev"])?.contains(&"--dev");
            let cache = Cache::open()?;
            let kit = Kit::ensure(&cache, &root)?;
            let mode = if dev { Mode::Dev } else { Mode::Release };
            package::build(&cache, &root, &kit, mode).map(|_| ExitCode::SUCCESS)
        }
        "demo" => {
            let (host, port) = address(rest)?;
            server::demo(&Cache::open()?, &root, &host, port).map(done)
        }
        "announce" => match rest {
            [listen, process] => server::announce(listen, process).map(done),
            [listen, process, _later] => server::announce_apart(listen, process).map(done),
            _ => Err(Failure::from("announce is for `demo` alone")),
        },
        "test" => layers::test(&Cache::open()?, &root, rest),
        "check" => layers::test(&Cache::open()?, &root, &["check".to_owned()]),
        "bench" => {
            let cache = Cache::open()?;
            let kit = Kit::ensure(&cache, &root)?;
            let chromium = browsers::ensure_chromium(&cache)?;
            package::build(&cache, &root, &kit, Mode::Release)?;
            let binary = server::build(&cache, &root, Profile::Release)?;
            let mut bench = shell::command("node");
            bench.current_dir(&root).arg("bench/run.mjs").args(rest);
            layers::script_environment(&mut bench, &root, &binary).env("CHROMIUM", chromium);
            shell::run(&mut bench).map(done)
        }
        "size" => {
            flags(rest, &[])?;
            let cache = Cache::open()?;
            let kit = Kit::ensure(&cache, &root)?;
            size::report(&package::build(&cache, &root, &kit, Mode::Release)?).map(done)
        }
        "env" => {
            flags(rest, &[])?;
            let cache = Cache::open()?;
            let kit = Kit::ensure(&cache, &root)?;
            let mut nothing = shell::command("true");
            kit.apply(&mut nothing);
            nothing.env("CARGO_TARGET_DIR", root.join("target/wasm"));
            for (name, value) in nothing.get_envs() {
                match value {
                    Some(value) => {
                        println!("export {}='{}'", name.to_string_lossy(), value.to_string_lossy())
                    }
                    None if name == "RUSTUP_TOOLCHAIN" => println!("unset RUSTUP_TOOLCHAIN"),
                    None => {}
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        other => Err(Failure::with_remedy(
            format!("there is no command `{other}`"),
            format!("one of\n{HELP}"),
        )),
    }
}

/// The arguments, if each is one of those that are known.
fn flags<'a>(arguments: &'a [String], known: &[&str]) -> Result<Vec<&'a str>> {
    match arguments
        .iter()
        .find(|argument| !known.contains(&argument.as_str()))
    {
        Some(other) => Err(Failure::with_remedy(
            format!("unknown argument `{other}`"),
            "see `cargo xtask help`",
        )),
        None => Ok(arguments.iter().map(String::as_str).collect()),
    }
}

/// `--host H --port N`, also as `--host=H`.
fn address(arguments: &[String]) -> Result<(String, u16)> {
    let (mut host, mut port) = ("127.0.0.1".to_owned(), 8080);
    let words: Vec<&str> = arguments
        .iter()
        .flat_map(|argument| argument.splitn(2, '='))
        .collect();
    for pair in words.chunks(2) {
        match pair {
            ["--host", value] => host = (*value).to_owned(),
            ["--port", value] => {
                port = value
                    .parse()
                    .map_err(|_| format!("`{value}` is no port: a number from 1 to 65535"))?;
            }
            other => {
                let message = format!("cannot make sense of `{}`", other.join(" "));
                return Err(Failure::with_remedy(
                    message,
                    "cargo xtask demo [--port N] [--host H]",
                ));
            }
        }
    }
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_address_has_defaults_and_both_spellings() {
        let is = |text: &str, host: &str, port: u16| {
            assert!(
                address(&words(text)).is_ok_and(|found| found == (host.to_owned(), port)),
                "{text}"
            );
        };
        is("", "127.0.0.1", 8080);
        is("--port 9000", "127.0.0.1", 9000);
        is("--host=0.0.0.0 --port=80", "0.0.0.0", 80);
        for wrong in ["--port", "--port x", "--port 70000", "8080"] {
            assert!(address(&words(wrong)).is_err(), "{wrong}");
        }
    }
}
