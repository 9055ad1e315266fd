//! The browsers that tests run in: Chromium, Firefox and WebKitGTK, with their drivers. Those of the machine are used;
//! on Debian the ones that are missing are installed.

use crate::cache::Cache;
use crate::debian;
use crate::shell::{self, Context, Failure, Result, command, which};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Where the browsers are.
#[derive(Debug, Clone)]
pub struct Browsers {
    /// Chromium or Chrome.
    pub chromium: PathBuf,
    /// Its WebDriver.
    pub chromedriver: PathBuf,
    /// Firefox, of any edition.
    pub firefox: PathBuf,
    /// WebKitGTK's WebDriver; none where it can't be had.
    pub webkit_driver: Option<PathBuf>,
    /// The browser that WebKitGTK's WebDriver starts.
    pub minibrowser: Option<PathBuf>,
}

impl Browsers {
    /// Finds them, or installs them from Debian's packages.
    pub fn ensure(cache: &Cache) -> Result<Self> {
        let mut missing = Vec::new();
        if chromium().is_none() {
            missing.push("chromium");
        }
        if chromedriver().is_none() {
            missing.push("chromium-driver");
        }
        if firefox().is_none() {
            missing.push("firefox-esr");
        }
        if !missing.is_empty()
            || (debian::available() && (webkit_driver().is_none() || which("Xvfb").is_none()))
        {
            let extra = ["webkit2gtk-driver", "xvfb"];
            let packages: Vec<&str> = missing.iter().copied().chain(extra).collect();
            let installed = debian::ensure(
                cache,
                &packages,
                "browsers for the tests (500 MB, about a minute)",
            );
            if !missing.is_empty() {
                installed?;
            } else if let Err(failure) = installed {
                eprintln!("  going on without WebKitGTK: {failure}");
            }
        }
        Ok(Self {
            chromium: need(chromium(), "chromium")?,
            chromedriver: need(chromedriver(), "chromedriver")?,
            firefox: need(firefox(), "firefox")?,
            webkit_driver: webkit_driver(),
            minibrowser: minibrowser(),
        })
    }

    /// Tells scripts where the browsers are.
    pub fn apply(&self, command: &mut Command) {
        command
            .env("CHROMIUM", &self.chromium)
            .env("FIREFOX", &self.firefox);
        if let (Some(driver), Some(browser)) = (&self.webkit_driver, &self.minibrowser) {
            command
                .env("PEERLOOM_WEBKIT_DRIVER", driver)
                .env("PEERLOOM_WEBKIT", browser);
        }
    }
}

/// Finds or installs Chromium alone, for the bench.
pub fn ensure_chromium(cache: &Cache) -> Result<PathBuf> {
    if chromium().is_none() {
        debian::ensure(
            cache,
            &["chromium"],
            "the browser of the bench (300 MB, half a minute)",
        )?;
    }
    need(chromium(), "chromium")
}

fn need(found: Option<PathBuf>, name: &str) -> Result<PathBuf> {
    found.ok_or_else(|| Failure::with_remedy(format!("{name} is missing"), format!("put {name} into PATH")))
}

fn first(variable: &str, names: &[&str]) -> Option<PathBuf> {
    let set = std::env::var_os(variable)
        .map(PathBuf::from)
        .filter(|path| path.is_file());
    set.or_else(|| {
        names.iter().find_map(|name| {
            if name.starts_with('/') {
                some_file(name)
            } else {
                which(name)
            }
        })
    })
}

fn some_file(path: &str) -> Option<PathBuf> {
    Some(PathBuf::from(path)).filter(|path| path.is_file())
}

fn chromium() -> Option<PathBuf> {
    let mac = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome";
    first(
        "CHROMIUM",
        &[
            "chromium",
            "chromium-browser",
            "google-chrome",
            "google-chrome-stable",
            mac,
        ],
    )
}

fn chromedriver() -> Option<PathBuf> {
    first("CHROMEDRIVER", &["chromedriver"])
}

fn firefox() -> Option<PathBuf> {
    first(
        "FIREFOX",
        &[
            "firefox-esr",
            "firefox",
            "/Applications/Firefox.app/Contents/MacOS/firefox",
        ],
    )
}

fn webkit_driver() -> Option<PathBuf> {
    first("PEERLOOM_WEBKIT_DRIVER", &["WebKitWebDriver"])
}

fn minibrowser() -> Option<PathBuf> {
    let machine = std::env::consts::ARCH;
    let places =
        ["4.1", "4.0"].map(|api| format!("/usr/lib/{machine}-linux-gnu/webkit2gtk-{api}/MiniBrowser"));
    first("PEERLOOM_WEBKIT", &places.each_ref().map(String::as_str))
}

/// A virtual screen for browsers that have no headless mode; it ends when this is dropped.
#[derive(Debug)]
pub struct Screen {
    server: Child,
    /// What `DISPLAY` must be.
    pub display: String,
}

impl Screen {
    /// Starts one if it is needed and can be had.
    pub fn start() -> Option<Self> {
        if std::env::var_os("DISPLAY").is_some() {
            return None;
        }
        let xvfb = which("Xvfb")?;
        match Self::launch(&xvfb) {
            Ok(screen) => Some(screen),
            Err(failure) => {
                eprintln!("  no virtual screen: {failure}");
                None
            }
        }
    }

    fn launch(xvfb: &PathBuf) -> Result<Self> {
        let mut server = command(xvfb)
            .args([
                "-displayfd",
                "1",
                "-screen",
                "0",
                "1280x1024x24",
                "-nolisten",
                "tcp",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("Xvfb")?;
        let mut number = String::new();
        if let Some(stream) = server.stdout.take() {
            BufReader::new(stream).read_line(&mut number).context("Xvfb")?;
        }
        let number = number.trim();
        if number.is_empty() {
            let _ = server.kill();
            let _ = server.wait();
            return Err(shell::Failure::from("Xvfb ended at once"));
        }
        let display = format!(":{number}");
        Ok(Self { server, display })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
