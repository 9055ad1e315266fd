//! The npm package in `pkg/`: wasm-pack's output, the JavaScript of `js/` over it, and the hand-kept manifest. Built
//! beside its place, kept in the cache under a hash of what it is made of, and copied into the checkout when it is whole.

use crate::cache::{Cache, Fingerprint, copy_all, lock, remove};
use crate::shell::{self, Context, Failure, Job, Result, command, prepend_path};
use crate::toolchain::WasmToolchain;
use crate::{node, tools};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// What the package is made of, and by what.
const INPUTS: [&str; 12] = [
    "src",
    "crates/core/src",
    "crates/core/Cargo.toml",
    "js",
    "Cargo.toml",
    "Cargo.lock",
    "pkg.json",
    "README.md",
    "CHANGELOG.md",
    "docs",
    "tests/e2e/package-lock.json",
    "crates/xtask/src/package.rs",
];

/// The modules of the package, each bundled with what it is made of: what pages import, and what that one imports when
/// it is asked for.
const MODULES: [&str; 4] = ["index", "diagnose", "files", "files-worker"];

/// The stand-in for the version in `pkg.json`.
const PLACEHOLDER: &str = "\"version\": \"0.0.0\"";

/// How much care goes into a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What is published: small.
    Release,
    /// Quick to build, with debug assertions.
    Dev,
}

/// What building for the browser needs.
#[derive(Debug, Clone)]
pub struct Kit {
    /// The compiler.
    pub toolchain: WasmToolchain,
    /// Folders for `PATH`: wasm-pack, wasm-bindgen, and wasm-opt.
    pub path: Vec<PathBuf>,
}

impl Kit {
    /// Sets everything up; what doesn't depend on each other at the same time.
    pub fn ensure(cache: &Cache, root: &Path) -> Result<Self> {
        let toolchain = Mutex::new(None);
        let path = Mutex::new(Vec::new());
        let all: Vec<Job<'_>> = vec![
            Box::new(|| {
                let found = WasmToolchain::ensure(cache)?;
                toolchain
                    .lock()
                    .map_err(|_| "set-up was interrupted")?
                    .replace(found);
                Ok(())
            }),
            Box::new(|| {
                let folders = tools::ensure_wasm(cache, root)?;
                path.lock().map_err(|_| "set-up was interrupted")?.extend(folders);
                Ok(())
            }),
            Box::new(|| {
                let modules = node::ensure(cache, root)?;
                path.lock()
                    .map_err(|_| "set-up was interrupted")?
                    .push(modules.join(".bin"));
                Ok(())
            }),
        ];
        shell::together(all)?;
        let toolchain = toolchain
            .into_inner()
            .ok()
            .flatten()
            .ok_or("set-up found no compiler")?;
        let path = path.into_inner().map_err(|_| "set-up was interrupted")?;
        Ok(Self { toolchain, path })
    }

    /// Makes a command use them.
    pub fn apply(&self, command: &mut Command) {
        self.toolchain.apply(command);
        prepend_path(command, &self.path);
        // First of all, because a tool may lie in a folder that has another compiler, too.
        if let Some(bin) = self.toolchain.bin() {
            prepend_path(command, &[bin.to_owned()]);
        }
    }

    /// Makes a command use them and build into the folder that all checkouts share, which is this one's until the
    /// result is dropped: one build at a time, because wasm-pack reads its output when cargo has let go of its own lock.
    pub fn apply_shared(&self, cache: &Cache, root: &Path, command: &mut Command) -> Result<File> {
        self.apply(command);
        let name = format!("wasm-{}", self.toolchain.id());
        let lock = cache.lock(&name)?;
        command.env("CARGO_TARGET_DIR", cache.claim(&name, root)?);
        Ok(lock)
    }
}

/// How many packages, of this and other checkouts and of earlier states, the cache keeps.
const KEPT: usize = 8;

/// Builds the package, unless the checkout or the cache has the very same one.
pub fn build(cache: &Cache, root: &Path, kit: &Kit, mode: Mode) -> Result<PathBuf> {
    let pkg = root.join("pkg");
    let own = root.join("target/xtask");
    fs::create_dir_all(&own).context(own.display())?;
    let _lock = lock(&own.join("pkg.lock"))?;
    let stamp = own.join("pkg.stamp");
    let state = fingerprint(root, kit, mode)?;
    if pkg.join("package.json").is_file() && fs::read_to_string(&stamp).is_ok_and(|old| old == state) {
        eprintln!("✓ pkg/ is up to date");
        return Ok(pkg);
    }
    let made = cache.get_or_make(&format!("pkg-{state}"), |draft, _| {
        assemble(cache, root, kit, mode, draft)
    })?;
    remove(&stamp)?;
    remove(&pkg)?;
    copy_all(&made, &pkg)?;
    fs::write(&stamp, state).context(stamp.display())?;
    cache.prune("pkg-", KEPT)?;
    Ok(pkg)
}

fn assemble(cache: &Cache, root: &Path, kit: &Kit, mode: Mode, place: &Path) -> Result<()> {
    shell::step(
        "npm package",
        "wasm-pack build; 20 to 60 s when something changed",
        || {
            let mut pack = command("wasm-pack");
            let _shared = kit.apply_shared(cache, root, &mut pack)?;
            pack.current_dir(root)
                .args([
                    "build",
                    "--target",
                    "web",
                    "--mode",
                    "no-install",
                    "--no-pack",
                    "--out-dir",
                ])
                .arg(place)
                .args(match mode {
                    Mode::Release => &["--profile", "web"][..],
                    Mode::Dev => &["--dev"][..],
                });
            shell::run(&mut pack)
        },
    )?;
    if !place.join("peerloom_bg.wasm").is_file() {
        return Err(Failure::from("wasm-pack made no peerloom_bg.wasm"));
    }
    // wasm-pack's own ignores everything, and npm would obey it when packing.
    remove(&place.join(".gitignore"))?;
    let js = root.join("js");
    if js.is_dir() {
        copy_all(&js, place)?;
    }
    flatten(place)?;
    bundle(kit, place)?;
    fs::write(place.join("package.json"), manifest(root)?).context("pkg/package.json")?;
    for name in ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        fs::copy(root.join(name), place.join(name)).context(name)?;
    }
    // The README's links lead there.
    copy_all(&root.join("docs"), &place.join("docs"))
}

/// wasm-bindgen copies the modules that Rust imports into `snippets/`, where nothing else could import the same instance
/// of them. They lie beside the glue already, so the glue is pointed there.
fn flatten(place: &Path) -> Result<()> {
    let snippets = place.join("snippets");
    if !snippets.is_dir() {
        return Ok(());
    }
    let glue = place.join("peerloom.js");
    let mut text = fs::read_to_string(&glue).context(glue.display())?;
    for entry in fs::read_dir(&snippets).context(snippets.display())? {
        let name = entry.context(snippets.display())?.file_name();
        // Only where the glue imports: the wasm knows its modules by the long names.
        for quote in ['"', '\''] {
            let from = format!(" from {quote}./snippets/{}/js/", name.to_string_lossy());
            text = text.replace(&from, &format!(" from {quote}./"));
        }
    }
    fs::write(&glue, text).context(glue.display())?;
    remove(&snippets)
}

/// Few modules, without comments: a page loads what it needs in one request, and a third smaller.
fn bundle(kit: &Kit, place: &Path) -> Result<()> {
    let bundled = place.join("bundled");
    for module in MODULES {
        let mut bundle = command("esbuild");
        kit.apply(&mut bundle);
        bundle
            .current_dir(place)
            .arg(format!("{module}.js"))
            .args([
                "--bundle",
                "--minify",
                "--format=esm",
                "--target=es2022",
                "--log-level=warning",
                // The glue names the same module more than once.
                "--log-override:duplicate-object-key=silent",
            ])
            .arg(format!("--define:VERSION=\"{}\"", env!("CARGO_PKG_VERSION")))
            .arg(format!("--outdir={}", bundled.display()));
        for other in MODULES.into_iter().filter(|other| *other != module) {
            bundle.arg(format!("--external:./{other}.js"));
        }
        shell::run(&mut bundle)?;
    }
    for entry in fs::read_dir(place).context(place.display())?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // The glue's own types name what pages never see; the contract is the hand-kept one.
        if name.ends_with(".js") || (name.starts_with("peerloom") && name.ends_with(".d.ts")) {
            remove(&entry.path())?;
        }
    }
    // What the modules were made of.
    remove(&place.join("files"))?;
    copy_all(&bundled, place)?;
    remove(&bundled)
}

/// The npm manifest with the version of the crates.
fn manifest(root: &Path) -> Result<String> {
    let template = fs::read_to_string(root.join("pkg.json")).context("pkg.json")?;
    if !template.contains(PLACEHOLDER) {
        return Err(Failure::from(format!(
            "pkg.json must contain {PLACEHOLDER}, to be replaced by the real one"
        )));
    }
    Ok(template.replacen(
        PLACEHOLDER,
        &format!("\"version\": \"{}\"", env!("CARGO_PKG_VERSION")),
        1,
    ))
}

fn fingerprint(root: &Path, kit: &Kit, mode: Mode) -> Result<String> {
    let mut hash = Fingerprint::new();
    hash.add(format!("{mode:?} {} {}", kit.toolchain.id(), env!("CARGO_PKG_VERSION")).as_bytes());
    for input in INPUTS {
        hash.add(input.as_bytes());
        hash.add_path(&root.join(input))?;
    }
    Ok(hash.text())
}
