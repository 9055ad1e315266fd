//! What is generated from the table of error codes: its documentation, and the SDK's own copy of it. The files are
//! committed; with `UPDATE_DOCS=1` this test writes them anew instead of comparing.

use std::fmt::Write;
use std::path::Path;

use peerloom_core::Code;

const COMMAND: &str = "UPDATE_DOCS=1 cargo test -p peerloom-core --test docs";

fn check(path: &str, content: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, content).expect("the checkout can be written to");
        return;
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found.replace("\r\n", "\n") == content,
        "{path} is not what the table of error codes says; run: {COMMAND}"
    );
}

#[test]
fn the_documentation_of_errors_is_the_table() {
    let mut text = String::from("# Errors\n\n");
    let _ = writeln!(
        text,
        "<!-- Made from crates/core/src/error.rs by: {COMMAND} -->\n"
    );
    text.push_str(
        "Everything that fails in Peerloom throws, rejects with, or reports a `PeerloomError`. Compare its `code` with the\n\
         ones below, which are never renamed, and not its message. `cause` and `remedy` are the sentences below, and\n\
         `detail` says what exactly happened this time.\n",
    );
    for code in Code::ALL {
        let _ = write!(
            text,
            "\n## `{}`\n\n{}\n\n*What to do:* {}\n",
            code.as_str(),
            code.cause(),
            code.remedy()
        );
    }
    check("docs/errors.md", &text);
}

#[test]
fn the_package_has_the_table() {
    let mut script = format!(
        "// Made from crates/core/src/error.rs by: {COMMAND}\n\n\
         /** Every code of a PeerloomError, what happened, and what to do about it. */\n\
         export const errors = Object.freeze({{\n  __proto__: null,\n"
    );
    let mut types = format!(
        "// Made from crates/core/src/error.rs by: {COMMAND}\n\n\
         /** What an error code means. */\n\
         export interface ErrorEntry {{\n  \
         /** What happened, in one sentence. */\n  readonly cause: string;\n  \
         /** What to do about it, in one sentence. */\n  readonly remedy: string;\n}}\n\n\
         /** Every code of a `PeerloomError`, what happened, and what to do about it. */\n\
         export declare const errors: {{\n"
    );
    for code in Code::ALL {
        let (name, cause, remedy) = (code.as_str(), code.cause(), code.remedy());
        let _ = writeln!(
            script,
            "  {name}: Object.freeze({{\n    cause: {cause:?},\n    remedy: {remedy:?},\n  }}),"
        );
        let _ = writeln!(types, "  /** {cause} */\n  readonly {name}: ErrorEntry;");
    }
    script.push_str("});\n");
    types.push_str("};\n");
    check("js/errors.js", &script);
    check("js/errors.d.ts", &types);
}

#[test]
fn codes_and_sentences_are_well_formed() {
    let mut names: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    for name in &names {
        assert!(
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{name} needs no quotes in JS"
        );
    }
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "codes are unique");
    for code in Code::ALL {
        for sentence in [code.cause(), code.remedy()] {
            assert!(sentence.ends_with('.'), "{sentence}");
            assert!(sentence.is_ascii() && !sentence.contains("*/"), "{sentence}");
        }
    }
}
