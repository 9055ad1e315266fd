//! Running other programs and telling the person at the terminal about it. Everything that starts a process goes
//! through here, so that failures name the command and long steps say that they are still alive.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Why a command stopped, in words for the person who typed it.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    /// The failure with a remedy on a line of its own.
    pub fn with_remedy(message: impl fmt::Display, remedy: impl fmt::Display) -> Self {
        Self(format!("{message}\n  → {remedy}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl<T: Into<String>> From<T> for Failure {
    fn from(message: T) -> Self {
        Self(message.into())
    }
}

/// The result of anything that can fail with a message.
pub type Result<T> = std::result::Result<T, Failure>;

/// Names the thing that an I/O error happened to.
pub trait Context<T> {
    /// Turns the error into a [`Failure`] that begins with `what`.
    fn context(self, what: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Failure(format!("{what}: {error}")))
    }
}

/// A command without the variables that cargo and rustup set for `cargo xtask` itself, which would otherwise decide
/// the toolchain and the package of whatever it starts.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_")
            || name.starts_with("CARGO_MANIFEST_")
            || name.starts_with("CARGO_BIN_")
            || matches!(
                &*name,
                "CARGO" | "CARGO_CRATE_NAME" | "CARGO_PRIMARY_PACKAGE" | "RUST_RECURSION_COUNT"
            )
        {
            command.env_remove(&*name);
        }
    }
    command
}

/// The cargo that runs this program.
pub fn cargo() -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Looks a program up in `PATH`.
pub fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

#[cfg(unix)]
fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(file).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(file: &Path) -> bool {
    file.is_file()
}

/// Puts `folders` in front of the command's `PATH`.
pub fn prepend_path(command: &mut Command, folders: &[PathBuf]) {
    let set = command
        .get_envs()
        .find(|(name, _)| *name == "PATH")
        .and_then(|(_, value)| value.map(OsStr::to_owned));
    let old = set.or_else(|| std::env::var_os("PATH")).unwrap_or_default();
    let all = folders.iter().cloned().chain(std::env::split_paths(&old));
    if let Ok(joined) = std::env::join_paths(all) {
        command.env("PATH", joined);
    }
}

/// Runs a command on the terminal.
pub fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure(format!("`{}` failed: {status}", show(command))))
    }
}

/// Runs a command on the terminal and returns how it ended.
pub fn status(command: &mut Command) -> Result<ExitStatus> {
    flush();
    command
        .status()
        .context(format!("cannot run `{}`", show(command)))
}

/// Runs a command with its output in a file; if it fails, the end of that output is part of the message.
pub fn run_logged(command: &mut Command, log: &Path) -> Result<()> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).context(folder.display())?;
    }
    let file = fs::File::create(log).context(log.display())?;
    let other = file.try_clone().context(log.display())?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(other)
        .status()
        .context(format!("cannot run `{}`", show(command)))?;
    if status.success() {
        return Ok(());
    }
    let text = fs::read(log)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(30)..].join("\n");
    Err(Failure(format!(
        "`{}` failed: {status}\n{tail}\n(all of it: {})",
        show(command),
        log.display()
    )))
}

/// Runs a command quietly and returns what it wrote to standard output.
pub fn output(command: &mut Command) -> Result<String> {
    let done = command
        .stdin(Stdio::null())
        .output()
        .context(format!("cannot run `{}`", show(command)))?;
    if !done.status.success() {
        let told = String::from_utf8_lossy(&done.stderr);
        return Err(Failure(format!(
            "`{}` failed: {}\n{}",
            show(command),
            done.status,
            told.trim()
        )));
    }
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

/// Runs a command on the terminal and keeps a copy of its output, both streams in one text.
pub fn run_teed(command: &mut Command) -> Result<(ExitStatus, String)> {
    flush();
    let shown = show(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context(format!("cannot run `{shown}`"))?;
    let (sender, lines) = mpsc::channel::<String>();
    let readers: Vec<_> = [
        child
            .stdout
            .take()
            .map(|stream| Box::new(stream) as Box<dyn Read + Send>),
        child
            .stderr
            .take()
            .map(|stream| Box::new(stream) as Box<dyn Read + Send>),
    ]
    .into_iter()
    .flatten()
    .map(|stream| {
        let sender = sender.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut bytes = Vec::new();
            while reader.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
                if sender.send(String::from_utf8_lossy(&bytes).into_owned()).is_err() {
                    break;
                }
                bytes.clear();
            }
        })
    })
    .collect();
    drop(sender);
    let mut text = String::new();
    for line in lines {
        print!("{line}");
        flush();
        text.push_str(&line);
    }
    for reader in readers {
        // A reader only ends early when the terminal is gone; there is nobody left to tell.
        let _ = reader.join();
    }
    let status = child.wait().context(shown)?;
    Ok((status, text))
}

/// Says what is being done and, every 20 seconds, that it still is; then how long it took.
pub fn step<T>(what: &str, why: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("▸ {what}: {why}");
    flush();
    let begun = Instant::now();
    let result = thread::scope(|scope| {
        let (done, waiting) = mpsc::channel::<()>();
        scope.spawn(move || {
            while let Err(mpsc::RecvTimeoutError::Timeout) = waiting.recv_timeout(Duration::from_secs(20)) {
                eprintln!("  … {what}: {} s", begun.elapsed().as_secs());
                flush();
            }
        });
        let result = work();
        drop(done);
        result
    });
    let mark = if result.is_ok() { "✓" } else { "✗" };
    eprintln!("{mark} {what} ({:.1} s)", begun.elapsed().as_secs_f64());
    result
}

/// One of several jobs for [`together`].
pub type Job<'a> = Box<dyn FnOnce() -> Result<()> + Send + 'a>;

/// Runs jobs that don't depend on each other at the same time, and reports every failure.
pub fn together(jobs: Vec<Job<'_>>) -> Result<()> {
    let failures: Vec<String> = thread::scope(|scope| {
        let running: Vec<_> = jobs.into_iter().map(|job| scope.spawn(job)).collect();
        running
            .into_iter()
            .filter_map(|job| match job.join() {
                Ok(result) => result.err().map(|failure| failure.to_string()),
                Err(_) => Some("a set-up step panicked".to_owned()),
            })
            .collect()
    });
    if failures.is_empty() {
        Ok(())
    } else {
        Err(Failure(failures.join("\n")))
    }
}

/// The command as one would type it.
fn show(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

/// Output of this program and of its children share one terminal: keep them in order.
fn flush() {
    let _ = std::io::stdout().flush();
}
