//! A compiler with a standard library for wasm32. Taken as it is if it has one; fetched by rustup where rustup can;
//! otherwise composed in the cache from Debian's current compiler and its sources, so that neither the system's nor
//! rustup's toolchains change.

use crate::cache::{Cache, copy_all};
use crate::debian;
use crate::shell::{self, Context, Failure, Result, command, prepend_path, which};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The one wasm target.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// How long rustup may take to fetch the target before the other way is tried.
const RUSTUP_PATIENCE: Duration = Duration::from_secs(60);

/// Debian's current compiler, beside the old one that Debian itself is built with.
const COMPILER: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// A compiler that can build for wasm32.
#[derive(Debug, Clone)]
pub struct WasmToolchain {
    /// The folder of `cargo` and `rustc` to put first in `PATH`; none if those in `PATH` do.
    bin: Option<PathBuf>,
    /// Names the compiler in the names of folders.
    id: String,
}

impl WasmToolchain {
    /// Finds or makes one.
    pub fn ensure(cache: &Cache) -> Result<Self> {
        let sysroot = shell::output(command("rustc").args(["--print", "sysroot"])).map(PathBuf::from)?;
        if has_target(&sysroot) {
            return Self::own();
        }
        if let Some(composed) = composed_key().and_then(|key| cache.find(&key)) {
            return Self::composed(&composed);
        }
        if which("rustup").is_some() {
            eprintln!(
                "▸ rustup target add: the standard library for wasm32; seconds, or given up after a minute"
            );
            if rustup_add(cache) && has_target(&sysroot) {
                return Self::own();
            }
            eprintln!("  rustup cannot fetch it here; another way: Debian's compiler and its sources");
        }
        if !debian::available() {
            return Err(Failure::with_remedy(
                format!("the Rust toolchain has no standard library for {TARGET}"),
                format!("rustup target add {TARGET}"),
            ));
        }
        let lld = newest_lld()?;
        let packages: Vec<&str> = COMPILER.into_iter().chain([lld.as_str()]).collect();
        debian::ensure(
            cache,
            &packages,
            "a compiler with its sources (150 MB, about 25 s)",
        )?;
        let key = composed_key().ok_or("the packages of Debian's compiler did not install")?;
        let place = cache.get_or_make(&key, |draft, place| compose(cache, draft, place, &lld))?;
        Self::composed(&place)
    }

    fn own() -> Result<Self> {
        let id = shell::output(command("rustc").arg("--version"))?;
        Ok(Self {
            bin: None,
            id: slug(&id),
        })
    }

    fn composed(place: &Path) -> Result<Self> {
        let id = place
            .file_name()
            .map(|name| slug(&name.to_string_lossy()))
            .unwrap_or_default();
        Ok(Self {
            bin: Some(place.join("bin")),
            id,
        })
    }

    /// Names the compiler, in characters that are fit for the name of a folder.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The folder to put first in `PATH`, if any.
    pub fn bin(&self) -> Option<&Path> {
        self.bin.as_deref()
    }

    /// Makes a command use this compiler.
    pub fn apply(&self, command: &mut Command) {
        if let Some(bin) = &self.bin {
            for name in ["RUSTUP_TOOLCHAIN", "RUSTC", "RUSTDOC", "CARGO", "RUSTC_WRAPPER"] {
                command.env_remove(name);
            }
            prepend_path(command, std::slice::from_ref(bin));
        }
    }
}

/// Whether a sysroot has the standard library for wasm32.
fn has_target(sysroot: &Path) -> bool {
    let folder = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    fs::read_dir(folder).is_ok_and(|mut entries| {
        entries
            .any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libstd-")))
    })
}

fn slug(text: &str) -> String {
    let kept = |letter: char| {
        if letter.is_ascii_alphanumeric() || letter == '.' {
            letter
        } else {
            '-'
        }
    };
    text.chars()
        .map(kept)
        .collect::<String>()
        .trim_matches('-')
        .to_owned()
}

/// Asks rustup for the target, and tells whether it got it in time.
fn rustup_add(cache: &Cache) -> bool {
    let Ok(log) = fs::File::create(cache.log("rustup")) else {
        return false;
    };
    let Ok(other) = log.try_clone() else { return false };
    let mut add = command("rustup");
    add.args(["target", "add", TARGET])
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(other);
    let Ok(mut child) = add.spawn() else { return false };
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if begun.elapsed() < RUSTUP_PATIENCE => std::thread::sleep(Duration::from_millis(100)),
            Ok(None) | Err(_) => {
                // Ended or not, the answer is the same; `wait` only collects it.
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}

/// The cache key of the composed toolchain: it goes stale when Debian updates its compiler.
fn composed_key() -> Option<String> {
    debian::version(COMPILER[0]).map(|version| format!("rust-wasm-{}", slug(&version)))
}

/// The newest `lld-N` that Debian has; it is never older than the compiler's LLVM.
fn newest_lld() -> Result<String> {
    let search = || {
        let text =
            shell::output(command("apt-cache").args(["search", "--names-only", "^lld-[0-9]+$"])).ok()?;
        let numbers = text
            .lines()
            .filter_map(|line| line.strip_prefix("lld-")?.split(' ').next()?.parse::<u32>().ok());
        numbers.max().map(|number| format!("lld-{number}"))
    };
    search().ok_or_else(|| {
        Failure::with_remedy(
            "Debian's package lists have no lld",
            "as root: apt-get update, and then the same again",
        )
    })
}

/// Builds std for wasm32 from the sources of Debian's compiler and puts a toolchain together around it.
fn compose(cache: &Cache, draft: &Path, place: &Path, lld: &str) -> Result<()> {
    let (rustc, cargo) = ("/usr/bin/rustc", "/usr/bin/cargo");
    let about = shell::output(command(rustc).arg("-vV"))?;
    let field = |name: &str| {
        let line = about.lines().find_map(|line| line.strip_prefix(name));
        line.map(str::to_owned)
            .ok_or_else(|| Failure::from(format!("{rustc} -vV says no `{name}`")))
    };
    let (host, release) = (field("host: ")?, field("release: ")?);
    let sysroot = PathBuf::from(shell::output(command(rustc).args(["--print", "sysroot"]))?);

    let work = cache.scratch("rust-std")?;
    shell::step(
        "Rust's standard library for wasm32",
        "built once from source, about 40 s",
        || {
            copy_all(
                &Path::new("/usr/src").join(format!("rustc-{release}/library")),
                &work.join("library"),
            )?;
            let mut build = command(cargo);
            for name in [
                "RUSTUP_TOOLCHAIN",
                "RUSTC_WRAPPER",
                "RUSTDOC",
                "CARGO_ENCODED_RUSTFLAGS",
            ] {
                build.env_remove(name);
            }
            build
                .current_dir(work.join("library"))
                .args([
                    "build",
                    "--manifest-path",
                    "sysroot/Cargo.toml",
                    "--release",
                    "--locked",
                ])
                .args(["--target", TARGET, "--features", "compiler-builtins-mem"])
                .env("RUSTC", rustc)
                .env("RUSTC_BOOTSTRAP", "1")
                .env("RUSTFLAGS", "-Cembed-bitcode=yes -Zforce-unstable-if-unmarked")
                .env("__CARGO_DEFAULT_LIB_METADATA", "stable")
                .env("CARGO_HOME", work.join("home"))
                .env("CARGO_TARGET_DIR", work.join("target"));
            shell::run_logged(&mut build, &cache.log("rust-std"))
        },
    )?;

    let libraries = draft.join("lib/rustlib").join(TARGET).join("lib");
    fs::create_dir_all(&libraries).context(libraries.display())?;
    let built = work.join("target").join(TARGET).join("release/deps");
    for entry in fs::read_dir(&built).context(built.display())?.flatten() {
        let file = entry.path();
        if file
            .extension()
            .is_some_and(|extension| extension == "rlib" || extension == "rmeta")
        {
            fs::rename(&file, libraries.join(entry.file_name())).context(file.display())?;
        }
    }
    let machine = draft.join("lib/rustlib").join(&host);
    fs::create_dir_all(machine.join("bin")).context(machine.display())?;
    link(
        &sysroot.join("lib/rustlib").join(&host).join("lib"),
        &machine.join("lib"),
    )?;
    let linker = PathBuf::from(format!(
        "/usr/lib/llvm-{}/bin/lld",
        lld.trim_start_matches("lld-")
    ));
    link(&linker, &machine.join("bin/rust-lld"))?;

    let bin = draft.join("bin");
    fs::create_dir_all(&bin).context(bin.display())?;
    for tool in ["rustc", "rustdoc"] {
        let text = format!(
            "#!/bin/sh\nexec /usr/bin/{tool} --sysroot '{}' \"$@\"\n",
            place.display()
        );
        script(&bin.join(tool), &text)?;
    }
    link(Path::new(cargo), &bin.join("cargo"))?;
    crate::cache::remove(&work)
}

#[cfg(unix)]
fn link(to: &Path, at: &Path) -> Result<()> {
    std::os::unix::fs::symlink(to, at).context(at.display())
}

#[cfg(unix)]
fn script(at: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::write(at, text).context(at.display())?;
    fs::set_permissions(at, fs::Permissions::from_mode(0o755)).context(at.display())
}

#[cfg(not(unix))]
fn link(_to: &Path, at: &Path) -> Result<()> {
    Err(Failure::from(format!(
        "{}: links are made on Debian only",
        at.display()
    )))
}

#[cfg(not(unix))]
fn script(at: &Path, _text: &str) -> Result<()> {
    Err(Failure::from(format!(
        "{}: scripts are made on Debian only",
        at.display()
    )))
}
