//! Compiles again when the files that are embedded change.

use std::path::Path;

fn main() {
    for folder in ["../../www", "../../pkg"] {
        // A folder that is not there counts as changed, so that it is noticed when it appears.
        println!("cargo::rerun-if-changed={}", Path::new(folder).display());
    }
    println!("cargo::rerun-if-changed=build.rs");
}
