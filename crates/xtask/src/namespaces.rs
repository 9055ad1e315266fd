//! Network namespaces, which the tests with a failing network are made of: a browser in each, and a router between
//! them. They need Linux, root, and three programs that Debian has.

use crate::cache::Cache;
use crate::debian;
use crate::shell::{self, Failure, Result, command, which};
use std::path::Path;

/// What is needed, and the packages that it comes in: the namespaces, the rules that drop packets, a TURN server.
const PROGRAMS: [(&str, &str); 3] = [("ip", "iproute2"), ("nft", "nftables"), ("turnserver", "coturn")];

/// Finds or installs the programs. The inner result is the reason why this machine can't have namespaces, which is no
/// failure of the project's.
pub fn ensure(cache: &Cache) -> Result<std::result::Result<(), String>> {
    if !cfg!(target_os = "linux") {
        return Ok(Err("network namespaces exist on Linux only".to_owned()));
    }
    if !shell::output(command("id").arg("-u")).is_ok_and(|id| id == "0") {
        return Ok(Err(
            "network namespaces take root, which this user is not".to_owned()
        ));
    }
    let missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| which(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    if !missing.is_empty() {
        debian::ensure(
            cache,
            &missing,
            "for the tests with a failing network (20 MB, some seconds)",
        )?;
        if missing.contains(&"coturn") && Path::new("/run/systemd/system").exists() {
            // Debian starts what it installs; the tests have a TURN server of their own, and the machine needs none.
            shell::run(command("systemctl").args(["--quiet", "disable", "--now", "coturn"]))?;
        }
    }
    if let Some((program, package)) = PROGRAMS.iter().find(|(program, _)| which(program).is_none()) {
        return Err(Failure::with_remedy(
            format!("{program} is missing"),
            format!("install {package}, and put {program} into PATH"),
        ));
    }
    Ok(probe().map_err(|failure| format!("this machine allows no network namespaces: {failure}")))
}

/// Makes and removes what the tests make: a namespace with a rule in it.
fn probe() -> Result<()> {
    let name = format!("peerloom-{}-probe", std::process::id());
    let ip = |arguments: &[&str]| shell::output(command("ip").args(arguments)).map(drop);
    ip(&["netns", "add", &name])?;
    let works = ip(&["netns", "exec", &name, "nft", "add table ip probe"])
        .and_then(|()| ip(&["-n", &name, "link", "add", "name", "probe", "type", "veth"]));
    ip(&["netns", "delete", &name])?;
    works
}
