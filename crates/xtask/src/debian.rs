//! Debian packages: the only thing that set-up installs outside of the cache. Everything here answers "no" on other
//! systems, and the callers then say what they miss.

use crate::cache::Cache;
use crate::shell::{self, Failure, Result, command, which};
use std::sync::Mutex;

/// One installation at a time within this process; `DPkg::Lock::Timeout` makes it wait for other processes.
static APT: Mutex<()> = Mutex::new(());

/// Whether packages could be installed at all.
pub fn available() -> bool {
    which("apt-get").is_some() && which("dpkg-query").is_some()
}

/// The installed version of a package.
pub fn version(package: &str) -> Option<String> {
    let query = ["-W", "-f", "${db:Status-Status} ${Version}", package];
    let text = shell::output(command("dpkg-query").args(query)).ok()?;
    text.strip_prefix("installed ").map(str::to_owned)
}

/// Installs those of the packages that aren't there yet.
pub fn ensure(cache: &Cache, packages: &[&str], purpose: &str) -> Result<()> {
    let absent = |packages: &[&str]| -> Vec<String> {
        packages
            .iter()
            .filter(|package| version(package).is_none())
            .map(|package| (*package).to_owned())
            .collect()
    };
    if !available() {
        return Err(Failure::with_remedy(
            format!("{purpose} can only be installed by itself on Debian and its relatives"),
            format!("install what these Debian packages hold: {}", packages.join(" ")),
        ));
    }
    if absent(packages).is_empty() {
        return Ok(());
    }
    let _one = APT.lock();
    let missing = absent(packages);
    if missing.is_empty() {
        return Ok(());
    }
    let remedy = format!("apt-get install --no-install-recommends {}", missing.join(" "));
    let prefix = prefix().ok_or_else(|| {
        Failure::with_remedy(
            format!("{purpose}: Debian packages are missing, and this user may not install any"),
            format!("as root: {remedy}"),
        )
    })?;
    shell::step(&format!("Debian packages {}", missing.join(" ")), purpose, || {
        let install = || {
            let mut apt = command(prefix[0]);
            apt.args(&prefix[1..])
                .args([
                    "apt-get",
                    "install",
                    "-y",
                    "-q",
                    "--no-install-recommends",
                    "-o",
                    "DPkg::Lock::Timeout=300",
                ])
                .args(&missing);
            shell::run_logged(&mut apt, &cache.log("apt-install"))
        };
        // The lists may be absent or old; fetching them first would cost a second each time, so only on failure.
        install().or_else(|_| {
            let mut update = command(prefix[0]);
            update.args(&prefix[1..]).args(["apt-get", "update", "-q"]);
            shell::run_logged(&mut update, &cache.log("apt-update"))?;
            install()
        })
    })
    .map_err(|failure| Failure::with_remedy(failure, format!("try it by hand as root: {remedy}")))
}

/// What goes before `apt-get`, so that it runs as root and asks no questions.
fn prefix() -> Option<&'static [&'static str]> {
    const ROOT: &[&str] = &["env", "DEBIAN_FRONTEND=noninteractive"];
    const SUDO: &[&str] = &["sudo", "-n", "env", "DEBIAN_FRONTEND=noninteractive"];
    if shell::output(command("id").arg("-u")).is_ok_and(|id| id == "0") {
        return Some(ROOT);
    }
    shell::output(command("sudo").args(["-n", "true"]))
        .is_ok()
        .then_some(SUDO)
}
