//! The layers of the test suite. They run one after another, each with the set-up it needs, and each must have run
//! some test to pass; the last line of the output is the sum.

use crate::browsers::{Browsers, Screen};
use crate::cache::Cache;
use crate::package::{self, Kit, Mode};
use crate::server::{self, Profile};
use crate::shell::{self, Failure, Result, cargo, command, run_teed};
use crate::{namespaces, node, tools};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// A layer, in the order in which they run: what fails quickly comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    /// Formatting, lints, documentation, and this program's own tests.
    Check,
    /// The protocol, on virtual time.
    Core,
    /// The server over real sockets.
    Server,
    /// The SDK's wasm-bindgen tests in Chromium and Firefox.
    Sdk,
    /// The TypeScript contract.
    Types,
    /// Journeys in real browsers with the built package, and the code in the documentation.
    E2e,
    /// Faults of the network between real browsers, each in a network namespace.
    Net,
}

const ALL: [Layer; 7] = [
    Layer::Check,
    Layer::Core,
    Layer::Server,
    Layer::Sdk,
    Layer::Types,
    Layer::E2e,
    Layer::Net,
];

impl Layer {
    fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Core => "core",
            Self::Server => "server",
            Self::Sdk => "sdk",
            Self::Types => "types",
            Self::E2e => "e2e",
            Self::Net => "net",
        }
    }
}

/// How many tests ran, and how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Counts {
    const SKIPPED: Self = Self {
        passed: 0,
        failed: 0,
        skipped: 1,
    };

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// A runner that failed without naming a test failed all the same, and so did one that ran nothing.
    fn checked(mut self, success: bool) -> Self {
        let silent = self.failed == 0 && (!success || self == Self::default());
        self.failed += usize::from(silent);
        self
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(out, ", {} skipped", self.skipped)
        } else {
            Ok(())
        }
    }
}

/// Runs the layers that are named, or all of them. What follows `--` narrows them down: names of Rust tests, words
/// from the names of script files, or options of either runner.
pub fn test(cache: &Cache, root: &Path, arguments: &[String]) -> Result<ExitCode> {
    let mut halves = arguments.splitn(2, |argument| argument == "--");
    let (names, only) = (
        halves.next().unwrap_or_default(),
        halves.next().unwrap_or_default(),
    );
    let layers = names
        .iter()
        .map(|name| {
            ALL.into_iter().find(|layer| layer.name() == name).ok_or_else(|| {
                let known = ALL.map(Layer::name).join(", ");
                Failure::with_remedy(
                    format!("there is no layer `{name}`"),
                    format!("one or more of: {known}"),
                )
            })
        })
        .collect::<Result<Vec<Layer>>>()?;
    let layers = if layers.is_empty() { ALL.to_vec() } else { layers };

    let mut results: Vec<(Layer, Counts, Duration)> = Vec::new();
    for layer in layers {
        println!("\n━━ {} ━━", layer.name());
        let begun = Instant::now();
        let counts = run(cache, root, layer, only).unwrap_or_else(|failure| {
            println!("✗ {failure}");
            Counts {
                failed: 1,
                ..Counts::default()
            }
        });
        println!("━━ {}: {counts}", layer.name());
        results.push((layer, counts, begun.elapsed()));
    }

    println!(
        "\n{:<8} {:>7} {:>7} {:>8} {:>8}",
        "layer", "passed", "failed", "skipped", "time"
    );
    let mut total = Counts::default();
    for (layer, counts, time) in results {
        let Counts {
            passed,
            failed,
            skipped,
        } = counts;
        println!(
            "{:<8} {passed:>7} {failed:>7} {skipped:>8} {:>6.1} s",
            layer.name(),
            time.as_secs_f64()
        );
        total.add(counts);
    }
    println!("\n{total}");
    Ok(if total.failed == 0 && total.passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn run(cache: &Cache, root: &Path, layer: Layer, only: &[String]) -> Result<Counts> {
    match layer {
        Layer::Check => check(root),
        Layer::Core => cargo_test(root, &["--package", "peerloom-core", "--all-features"], only),
        Layer::Server => cargo_test(root, &["--package", "peerloom-server"], only),
        Layer::Sdk => sdk(cache, root, only),
        Layer::Types => types(cache, root),
        Layer::E2e => e2e(cache, root, only),
        Layer::Net => net(cache, root, only),
    }
}

fn check(root: &Path) -> Result<Counts> {
    let checks: [(&str, &[&str], &str); 3] = [
        ("formatting", &["fmt", "--all", "--check"], ""),
        (
            "lints",
            &[
                "clippy",
                "--quiet",
                "--workspace",
                "--all-targets",
                "--all-features",
                "--",
                "--deny",
                "warnings",
            ],
            "",
        ),
        (
            "documentation",
            &[
                "doc",
                "--quiet",
                "--workspace",
                "--no-deps",
                "--all-features",
                "--document-private-items",
            ],
            "--deny warnings",
        ),
    ];
    let mut counts = Counts::default();
    for (name, arguments, rustdoc) in checks {
        let mut check = cargo();
        check.current_dir(root).args(arguments);
        if !rustdoc.is_empty() {
            check.env("RUSTDOCFLAGS", rustdoc);
        }
        let run = || shell::run(&mut check);
        let passed = shell::step(name, "may take a minute the first time", run)
            .inspect_err(|failure| println!("{failure}"))
            .is_ok();
        counts.add(Counts {
            passed: passed.into(),
            failed: (!passed).into(),
            skipped: 0,
        });
    }
    counts.add(cargo_test(root, &["--package", "xtask"], &[])?);
    Ok(counts)
}

fn cargo_test(root: &Path, arguments: &[&str], only: &[String]) -> Result<Counts> {
    let mut test = cargo();
    // Without `--no-fail-fast` the count would end with the first test program that fails.
    test.current_dir(root)
        .args(["test", "--no-fail-fast"])
        .args(arguments)
        .arg("--")
        .args(only);
    let (status, text) = run_teed(&mut test)?;
    Ok(rust_counts(&text).checked(status.success()))
}

/// Sums the "test result" lines of Rust's test harness, which wasm-bindgen's copies.
fn rust_counts(text: &str) -> Counts {
    let number = |line: &str, word: &str| {
        let before = line.split(word).next().unwrap_or_default();
        before
            .split_whitespace()
            .next_back()
            .and_then(|number| number.parse::<usize>().ok())
            .unwrap_or(0)
    };
    let mut counts = Counts::default();
    for line in text.lines().filter(|line| line.starts_with("test result:")) {
        counts.add(Counts {
            passed: number(line, " passed"),
            failed: number(line, " failed"),
            skipped: number(line, " ignored"),
        });
    }
    counts
}

/// What wasm-bindgen's test runner says when a browser has not ended the tests in the given time. Now and then no test has
/// begun then: the runner's little web server can leave a fifth connection unread for ever. So `js/` has few modules.
const NOT_ENDED: &str = "Failed to detect test as having been run";

fn sdk(cache: &Cache, root: &Path, only: &[String]) -> Result<Counts> {
    if !root.join("tests/web.rs").is_file() {
        println!("tests/web.rs does not exist yet");
        return Ok(Counts::SKIPPED);
    }
    let kit = Kit::ensure(cache, root)?;
    let browsers = Browsers::ensure(cache)?;
    let geckodriver = tools::ensure_geckodriver(cache)?;
    let mut counts = Counts::default();
    for (browser, option, driver) in [
        ("--chrome", "--chromedriver", &browsers.chromedriver),
        ("--firefox", "--geckodriver", &geckodriver),
    ] {
        let run = || {
            let mut test = command("wasm-pack");
            let _shared = kit.apply_shared(cache, root, &mut test)?;
            browsers.apply(&mut test);
            test.current_dir(root)
                .args(["test", "--headless", browser, option])
                .arg(driver)
                .args(["--mode", "no-install", "--", "--test", "web"])
                // The default, 20 seconds for all tests together, is for machines that do nothing else.
                .env("WASM_BINDGEN_TEST_TIMEOUT", "150")
                // Nobody reads it in a browser, and it is nine tenths of the code.
                .env("CARGO_PROFILE_DEV_DEBUG", "false");
            if !only.is_empty() {
                test.arg("--").args(only);
            }
            run_teed(&mut test)
        };
        let (mut status, mut text) = run()?;
        let has_begun = text
            .lines()
            .any(|line| line.starts_with("test ") && line.contains(" ... "));
        if !status.success() && !has_begun && text.contains(NOT_ENDED) {
            println!("the browser never came to the tests: once more");
            (status, text) = run()?;
        }
        counts.add(rust_counts(&text).checked(status.success()));
    }
    Ok(counts)
}

fn types(cache: &Cache, root: &Path) -> Result<Counts> {
    let folder = root.join("tests/types");
    if !folder.join("tsconfig.json").is_file() {
        println!("tests/types/tsconfig.json does not exist yet");
        return Ok(Counts::SKIPPED);
    }
    let kit = Kit::ensure(cache, root)?;
    package::build(cache, root, &kit, Mode::Release)?;
    let modules = node::ensure(cache, root)?;
    let mut tsc = command(modules.join(".bin/tsc"));
    tsc.current_dir(&folder)
        .args(["--noEmit", "--pretty", "false", "--project", "."]);
    let (status, text) = run_teed(&mut tsc)?;
    let files = files_ending(&folder, ".ts");
    let mut wrong: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("): error TS"))
        .filter_map(|line| line.split('(').next())
        .collect();
    wrong.sort_unstable();
    wrong.dedup();
    let counts = Counts {
        passed: files.len().saturating_sub(wrong.len()),
        failed: wrong.len(),
        skipped: 0,
    };
    Ok(counts.checked(status.success()))
}

fn e2e(cache: &Cache, root: &Path, only: &[String]) -> Result<Counts> {
    Scripts::find(root, "tests/e2e", only)?.run(cache, root)
}

/// Runs the faults, and shows how long the pages took to recover from them.
fn net(cache: &Cache, root: &Path, only: &[String]) -> Result<Counts> {
    let scripts = Scripts::find(root, "tests/net", only)?;
    if let Err(reason) = namespaces::ensure(cache)? {
        println!("skipped: {reason}");
        return Ok(Counts::SKIPPED);
    }
    let counts = scripts.run(cache, root)?;
    println!();
    let mut table = command("node");
    table.current_dir(root).arg("tests/net/table.mjs");
    shell::run(table.arg(scripts.report(root)))?;
    println!();
    Ok(counts)
}

/// Test files for Node's runner, with options for it.
#[derive(Debug)]
struct Scripts<'a> {
    folder: &'static str,
    files: Vec<PathBuf>,
    options: Vec<&'a String>,
}

impl<'a> Scripts<'a> {
    /// Those of the folder whose names contain one of the words, if there are any; what begins with a dash is an option.
    fn find(root: &Path, folder: &'static str, only: &'a [String]) -> Result<Self> {
        let mut files = files_ending(&root.join(folder), ".test.mjs");
        let (options, words): (Vec<&String>, Vec<&String>) =
            only.iter().partition(|word| word.starts_with('-'));
        let name = |file: &Path| {
            file.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        files.retain(|file| words.is_empty() || words.iter().any(|word| name(file).contains(word.as_str())));
        if files.is_empty() {
            return Err(Failure::from(format!(
                "no file of {folder} has a name that contains one of the words"
            )));
        }
        Ok(Self {
            folder,
            files,
            options,
        })
    }

    /// The TAP report of their last run.
    fn report(&self, root: &Path) -> PathBuf {
        let name = self.folder.replace('/', "-");
        root.join("target/xtask").join(name).with_extension("tap")
    }

    /// Runs them, one file after another, against the built package and server.
    fn run(&self, cache: &Cache, root: &Path) -> Result<Counts> {
        let kit = Kit::ensure(cache, root)?;
        let browsers = Browsers::ensure(cache)?;
        package::build(cache, root, &kit, Mode::Release)?;
        let binary = server::build(cache, root, Profile::Demo)?;
        let screen = Screen::start();
        let report = self.report(root);
        let mut test = command("node");
        test.current_dir(root).args(["--test", "--test-concurrency=1"]);
        test.args(["--test-reporter=spec", "--test-reporter-destination=stdout"]);
        test.arg("--test-reporter=tap")
            .arg(format!("--test-reporter-destination={}", report.display()));
        test.args(&self.options).args(&self.files);
        browsers.apply(script_environment(&mut test, root, &binary));
        if let Some(screen) = &screen {
            test.env("DISPLAY", &screen.display);
        }
        let (status, _) = run_teed(&mut test)?;
        let text = fs::read_to_string(&report).unwrap_or_default();
        Ok(tap_counts(&text).checked(status.success()))
    }
}

/// Reads the totals at the end of a TAP report.
fn tap_counts(text: &str) -> Counts {
    let total = |word: &str| {
        let line = text
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("# ")?.strip_prefix(word)?.strip_prefix(' '));
        line.and_then(|number| number.trim().parse::<usize>().ok())
            .unwrap_or(0)
    };
    Counts {
        passed: total("pass"),
        failed: total("fail") + total("cancelled"),
        skipped: total("skipped") + total("todo"),
    }
}

/// What the scripts of `tests` and `bench` find in their environment, so that they search for nothing;
/// the browsers come on top.
pub fn script_environment<'a>(command: &'a mut Command, root: &Path, server: &Path) -> &'a mut Command {
    command
        .env("PEERLOOM_SERVER", server)
        .env("PEERLOOM_PKG", root.join("pkg"))
}

/// The files of a folder, without those of folders in it, whose name ends so; in order.
fn files_ending(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = paths
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_of_several_test_programs_are_summed() {
        let text = "running 3 tests\ntest result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
                    test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured\n";
        assert_eq!(
            rust_counts(text),
            Counts {
                passed: 5,
                failed: 1,
                skipped: 1
            }
        );
    }

    #[test]
    fn the_totals_of_a_tap_report_are_read() {
        let text = "# a test that says pass 9\n1..2\n# tests 8\n# pass 4\n# fail 1\n# cancelled 1\n# skipped 2\n# todo 0\n";
        assert_eq!(
            tap_counts(text),
            Counts {
                passed: 4,
                failed: 2,
                skipped: 2
            }
        );
    }

    #[test]
    fn running_nothing_or_failing_silently_is_a_failure() {
        assert_eq!(Counts::default().checked(true).failed, 1);
        assert_eq!(
            Counts {
                passed: 3,
                ..Counts::default()
            }
            .checked(false)
            .failed,
            1
        );
        assert_eq!(
            Counts {
                passed: 3,
                ..Counts::default()
            }
            .checked(true)
            .failed,
            0
        );
    }
}
