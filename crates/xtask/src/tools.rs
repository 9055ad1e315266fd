//! Programs that come as Rust crates: wasm-pack, wasm-bindgen and geckodriver. Compiled quickly rather than well,
//! because they run for seconds and a fresh machine waits for them.

use crate::cache::{Cache, remove};
use crate::shell::{self, Context, Failure, Result, cargo, command, which};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

const WASM_PACK: &str = "0.15.1";
const GECKODRIVER: &str = "0.37.1";

/// One compilation of tools at a time: they share dependencies in one target folder, and two at once gain nothing.
static BUILD: Mutex<()> = Mutex::new(());

/// wasm-pack and wasm-bindgen; the result is the folders to put into `PATH`.
pub fn ensure_wasm(cache: &Cache, root: &Path) -> Result<Vec<PathBuf>> {
    let version = wasm_bindgen_version(root)?;
    let mut folders = Vec::new();
    if says("wasm-pack", &format!("wasm-pack {WASM_PACK}")).is_none() {
        folders.push(install(
            cache,
            "wasm-pack",
            WASM_PACK,
            &[],
            "builds the package; 40 to 60 s",
        )?);
    }
    let same = format!("wasm-bindgen {version}");
    let runner = format!("wasm-bindgen-test-runner {version}");
    if says("wasm-bindgen", &same).is_none() || says("wasm-bindgen-test-runner", &runner).is_none() {
        let bins = ["wasm-bindgen", "wasm-bindgen-test-runner"];
        folders.push(install(
            cache,
            "wasm-bindgen-cli",
            &version,
            &bins,
            "makes the JavaScript glue; 60 to 90 s",
        )?);
    }
    remove(&target(cache))?;
    Ok(folders)
}

/// geckodriver, which drives Firefox for `wasm-pack test`.
pub fn ensure_geckodriver(cache: &Cache) -> Result<PathBuf> {
    if let Some(found) = which("geckodriver") {
        return Ok(found);
    }
    let bin = install(
        cache,
        "geckodriver",
        GECKODRIVER,
        &[],
        "drives Firefox for the sdk layer; 40 s",
    )?;
    remove(&target(cache))?;
    Ok(bin.join("geckodriver"))
}

/// The version of wasm-bindgen, from the one place where it is pinned: the root manifest. The tool must be of the very
/// version that the crate is.
pub fn wasm_bindgen_version(root: &Path) -> Result<String> {
    let manifest = root.join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest).context(manifest.display())?;
    let pin = text
        .lines()
        .filter(|line| line.starts_with("wasm-bindgen ="))
        .find_map(|line| line.split("\"=").nth(1));
    let version = pin.and_then(|rest| rest.split('"').next());
    version.map(str::to_owned).ok_or_else(|| {
        Failure::with_remedy(
            "the root Cargo.toml pins no version of wasm-bindgen",
            "a line there must read: wasm-bindgen = \"=X.Y.Z\"",
        )
    })
}

/// The program in `PATH`, if it is of the version that is wanted.
fn says(program: &str, wanted: &str) -> Option<PathBuf> {
    let found = which(program)?;
    shell::output(command(&found).arg("--version"))
        .is_ok_and(|version| version == wanted)
        .then_some(found)
}

fn target(cache: &Cache) -> PathBuf {
    cache.target("tools")
}

fn install(cache: &Cache, package: &str, version: &str, bins: &[&str], why: &str) -> Result<PathBuf> {
    let _one = BUILD.lock();
    let place = cache.get_or_make(&format!("{package}-{version}"), |draft, _| {
        if which("cc").is_none() {
            crate::debian::ensure(
                cache,
                &["gcc", "libc6-dev"],
                "a C compiler, which Rust links with",
            )?;
        }
        shell::step(&format!("{package} {version}"), why, || {
            let mut install = cargo();
            // Not `--locked`: a release of wasm-bindgen-cli names a crate that was withdrawn later.
            install
                .current_dir(draft)
                .args(["install", package, "--version", version, "--root"])
                .arg(draft)
                .args(bins.iter().flat_map(|bin| ["--bin", *bin]))
                .env("CARGO_TARGET_DIR", target(cache))
                .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
                .env("CARGO_PROFILE_RELEASE_LTO", "off")
                .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
                .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
                .env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo");
            shell::run_logged(&mut install, &cache.log(package))
        })
    })?;
    Ok(place.join("bin"))
}
