//! The cache in the user's cache directory: one folder per tool and version, so that a second checkout finds what the
//! first one made. An entry is built beside its place and renamed into it under a lock, so a half-made one is never
//! seen and two set-ups at once don't do the same work twice.

use crate::shell::{Context, Failure, Result};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

/// `${XDG_CACHE_HOME:-~/.cache}/peerloom`.
#[derive(Debug)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Finds the cache directory and makes it if it isn't there.
    pub fn open() -> Result<Self> {
        let base = std::env::var_os("XDG_CACHE_HOME")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
            .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
            .ok_or_else(|| {
                Failure::with_remedy(
                    "there is no home directory to cache tools in",
                    "set XDG_CACHE_HOME",
                )
            })?;
        let root = base.join("peerloom");
        for folder in ["locks", "tmp", "logs"] {
            let folder = root.join(folder);
            fs::create_dir_all(&folder).context(folder.display())?;
        }
        Ok(Self { root })
    }

    /// A folder that cargo builds into; shared by all checkouts, so that dependencies are compiled once.
    pub fn target(&self, name: &str) -> PathBuf {
        self.root.join("build").join(name)
    }

    /// The same, for building the workspace's own crates; the caller holds the lock of the same name. Cargo names their
    /// artifacts by the path inside the checkout and judges them by time, so the ones of another checkout would pass for
    /// this one's: cargo is made to forget them.
    pub fn claim(&self, name: &str, root: &Path) -> Result<PathBuf> {
        let target = self.target(name);
        fs::create_dir_all(&target).context(target.display())?;
        let note = target.join("checkout");
        let owner = root.to_string_lossy();
        if fs::read_to_string(&note).is_ok_and(|last| last == owner) {
            return Ok(target);
        }
        // <profile>/.fingerprint for the machine's own builds, <triple>/<profile>/.fingerprint for others.
        for profile in folders(&target)
            .into_iter()
            .flat_map(|folder| [folders(&folder), vec![folder]].concat())
        {
            for known in folders(&profile.join(".fingerprint")) {
                if known
                    .file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with("peerloom"))
                {
                    remove(&known)?;
                }
            }
        }
        fs::write(&note, owner.as_bytes()).context(note.display())?;
        Ok(target)
    }

    /// Where the output of a step goes.
    pub fn log(&self, name: &str) -> PathBuf {
        self.root.join("logs").join(format!("{name}.log"))
    }

    /// The place of an entry, if it has been made.
    pub fn find(&self, key: &str) -> Option<PathBuf> {
        Some(self.root.join(key)).filter(|place| place.is_dir())
    }

    /// The place of an entry; if there is none, `make` fills the folder that is its first argument, which then moves
    /// to the place that is its second.
    pub fn get_or_make(&self, key: &str, make: impl FnOnce(&Path, &Path) -> Result<()>) -> Result<PathBuf> {
        let place = self.root.join(key);
        if place.is_dir() {
            return Ok(place);
        }
        let _lock = self.lock(key)?;
        if place.is_dir() {
            return Ok(place);
        }
        let draft = self.root.join("tmp").join(key);
        remove(&draft)?;
        fs::create_dir_all(&draft).context(draft.display())?;
        make(&draft, &place)?;
        fs::rename(&draft, &place).context(place.display())?;
        Ok(place)
    }

    /// Removes the oldest entries whose keys begin so, but for the newest `keep`.
    pub fn prune(&self, prefix: &str, keep: usize) -> Result<()> {
        let mut found: Vec<_> = folders(&self.root)
            .into_iter()
            .filter(|place| {
                place
                    .file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with(prefix))
            })
            .map(|place| (fs::metadata(&place).and_then(|data| data.modified()).ok(), place))
            .collect();
        found.sort();
        let surplus = found.len().saturating_sub(keep);
        found
            .iter()
            .take(surplus)
            .try_for_each(|(_, place)| remove(place))
    }

    /// A scratch folder that is empty at first; the caller removes it.
    pub fn scratch(&self, name: &str) -> Result<PathBuf> {
        let folder = self.root.join("tmp").join(name);
        remove(&folder)?;
        fs::create_dir_all(&folder).context(folder.display())?;
        Ok(folder)
    }

    /// Waits until no other process holds this lock; it is held until the result is dropped.
    pub fn lock(&self, name: &str) -> Result<File> {
        lock(&self.root.join("locks").join(name))
    }
}

/// Waits for the lock on a file, saying so if it takes long.
pub fn lock(path: &Path) -> Result<File> {
    let file = File::options()
        .create(true)
        .append(true)
        .open(path)
        .context(path.display())?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            eprintln!(
                "  waiting for another run that does the same ({})",
                path.display()
            );
            file.lock().context(path.display())?;
        }
        Err(TryLockError::Error(error)) => return Err(error).context(path.display()),
    }
    Ok(file)
}

/// Removes a file or a folder, if it is there. A link is removed, not what it points to.
pub fn remove(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(data) if data.is_dir() => fs::remove_dir_all(path).context(path.display()),
        Ok(_) => fs::remove_file(path).context(path.display()),
    }
}

/// The folders in a folder; none if it isn't there.
fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect()
}

/// Copies what is in one folder into another.
pub fn copy_all(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).context(to.display())?;
    for entry in fs::read_dir(from).context(from.display())? {
        let entry = entry.context(from.display())?;
        let (source, place) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_all(&source, &place)?;
        } else {
            fs::copy(&source, &place).context(source.display())?;
        }
    }
    Ok(())
}

/// A hash of names and contents; the same everywhere and always, which the standard hasher doesn't promise.
#[derive(Debug)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// The hash of nothing.
    pub fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Adds bytes (FNV-1a).
    pub fn add(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().chain(&[0xff]) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// Adds a file, or all files of a folder; what isn't there counts as well.
    pub fn add_path(&mut self, path: &Path) -> Result<()> {
        if path.is_dir() {
            let entries = fs::read_dir(path).context(path.display())?;
            let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
            names.sort();
            for name in names {
                self.add(name.as_encoded_bytes());
                self.add_path(&path.join(name))?;
            }
        } else if path.is_file() {
            self.add(&fs::read(path).context(path.display())?);
        } else {
            self.add(b"absent");
        }
        Ok(())
    }

    /// The hash as text.
    pub fn text(&self) -> String {
        format!("{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A cache of its own, in a folder that goes away with it.
    struct Scratch(Cache);

    impl Scratch {
        fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("peerloom-xtask-{name}-{}", std::process::id()));
            assert!(remove(&root).is_ok());
            for folder in ["locks", "tmp"] {
                assert!(fs::create_dir_all(root.join(folder)).is_ok());
            }
            Self(Cache { root })
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = remove(&self.0.root);
        }
    }

    #[test]
    fn an_entry_is_made_once_and_a_failed_one_leaves_nothing() {
        let scratch = Scratch::new("entry");
        let count = Cell::new(0);
        let make = |fail: bool| {
            scratch.0.get_or_make("tool-1", |draft, _| {
                count.set(count.get() + 1);
                fs::write(draft.join("half"), "").context("half")?;
                if fail {
                    Err(Failure::from("no network"))
                } else {
                    Ok(())
                }
            })
        };
        assert!(make(true).is_err());
        assert!(scratch.0.find("tool-1").is_none());
        assert!(make(false).is_ok_and(|place| place.join("half").is_file()));
        assert!(make(true).is_ok(), "made already");
        assert_eq!(count.get(), 2);
    }

    #[test]
    fn a_checkout_that_takes_over_a_folder_forgets_the_crates_and_keeps_the_dependencies() {
        let scratch = Scratch::new("claim");
        let target = scratch.0.target("wasm");
        let known = ["demo/.fingerprint/", "wasm32-unknown-unknown/web/.fingerprint/"].map(|folder| {
            (
                target.join(folder).join("peerloom-core-1a2b"),
                target.join(folder).join("serde-3c4d"),
            )
        });
        let compile = || {
            for (own, dependency) in &known {
                assert!(fs::create_dir_all(own).is_ok() && fs::create_dir_all(dependency).is_ok());
            }
        };
        let kept = || {
            known
                .each_ref()
                .map(|(own, dependency)| (own.exists(), dependency.exists()))
        };
        assert!(scratch.0.claim("wasm", Path::new("/one")).is_ok());
        compile();
        assert!(scratch.0.claim("wasm", Path::new("/one")).is_ok());
        assert_eq!(kept(), [(true, true); 2]);
        assert!(scratch.0.claim("wasm", Path::new("/two")).is_ok());
        assert_eq!(kept(), [(false, true); 2]);
    }

    #[test]
    fn pruning_keeps_the_newest_of_its_kind() {
        let scratch = Scratch::new("prune");
        for (age, name) in [(30, "pkg-a"), (10, "pkg-b"), (20, "pkg-c"), (40, "tool-1")] {
            let place = scratch.0.root.join(name);
            assert!(fs::create_dir(&place).is_ok());
            let time = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
            assert!(
                File::open(&place)
                    .and_then(|folder| folder.set_modified(time))
                    .is_ok()
            );
        }
        assert!(scratch.0.prune("pkg-", 2).is_ok());
        let left = ["pkg-a", "pkg-b", "pkg-c", "tool-1"].map(|name| scratch.0.find(name).is_some());
        assert_eq!(left, [false, true, true, true]);
    }

    #[test]
    fn a_fingerprint_sees_names_and_contents() {
        let scratch = Scratch::new("hash");
        let file = scratch.0.root.join("tmp/file");
        let hash = || {
            let mut hash = Fingerprint::new();
            assert!(hash.add_path(&scratch.0.root.join("tmp")).is_ok());
            hash.text()
        };
        let empty = hash();
        assert!(fs::write(&file, "one").is_ok());
        let one = hash();
        assert!(fs::write(&file, "two").is_ok());
        let two = hash();
        assert!(fs::rename(&file, scratch.0.root.join("tmp/other")).is_ok());
        let renamed = hash();
        let all = [&empty, &one, &two, &renamed];
        assert!((1..4).all(|end| !all[..end].contains(&all[end])), "{all:?}");
    }
}
