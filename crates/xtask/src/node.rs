//! Node and what comes from npm: TypeScript, puppeteer-core, binaryen's wasm-opt and the libraries that the bench
//! compares with. Installed once per lock file into the cache; the checkout has a link to it.

use crate::cache::{Cache, Fingerprint};
use crate::shell::{self, Context, Failure, Result, command, which};
use std::fs;
use std::path::{Path, PathBuf};

/// The oldest Node that the scripts run on.
const OLDEST: u32 = 20;

/// The folder of the npm manifest and its lock file, in the checkout.
const MANIFEST: &str = "tests/e2e";

/// Checks Node and installs the npm packages; the result is the `node_modules` folder of the checkout.
pub fn ensure(cache: &Cache, root: &Path) -> Result<PathBuf> {
    check_version()?;
    let manifest = root.join(MANIFEST);
    let mut hash = Fingerprint::new();
    for name in ["package.json", "package-lock.json"] {
        hash.add_path(&manifest.join(name))?;
    }
    let place = cache.get_or_make(&format!("npm-{}", hash.text()), |draft, _| {
        shell::step(
            "npm packages",
            "TypeScript, puppeteer-core, wasm-opt and others; about 10 s",
            || {
                for name in ["package.json", "package-lock.json", ".npmrc"] {
                    fs::copy(manifest.join(name), draft.join(name)).context(manifest.join(name).display())?;
                }
                let mut npm = command("npm");
                npm.current_dir(draft)
                    .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
                shell::run_logged(&mut npm, &cache.log("npm"))
            },
        )
    })?;
    let modules = place.join("node_modules");
    let link = root.join("node_modules");
    if fs::read_link(&link).is_ok_and(|to| to == modules) {
        return Ok(modules);
    }
    if fs::symlink_metadata(&link).is_ok_and(|data| data.is_dir()) {
        // Somebody's own installation: Node will find that one first, and so should we.
        return Ok(link);
    }
    crate::cache::remove(&link)?;
    symlink(&modules, &link)?;
    Ok(modules)
}

fn check_version() -> Result<()> {
    let remedy = format!("install Node {OLDEST} or newer with npm (https://nodejs.org)");
    if which("node").is_none() || which("npm").is_none() {
        return Err(Failure::with_remedy("node and npm are not in PATH", remedy));
    }
    let version = shell::output(command("node").arg("--version"))?;
    let major = version
        .trim_start_matches('v')
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < OLDEST) {
        return Err(Failure::with_remedy(
            format!("node is {version}, which is too old"),
            remedy,
        ));
    }
    Ok(())
}

#[cfg(unix)]
fn symlink(to: &Path, at: &Path) -> Result<()> {
    std::os::unix::fs::symlink(to, at).context(at.display())
}

#[cfg(windows)]
fn symlink(to: &Path, at: &Path) -> Result<()> {
    std::os::windows::fs::symlink_dir(to, at).context(at.display())
}
