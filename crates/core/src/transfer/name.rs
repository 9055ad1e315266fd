//! Names of files from outside, made safe to keep: WHATWG File System has no such rules, and systems differ, so what any
//! of them would stumble over goes.

/// Bytes that a file's name may have: what the usual file systems take.
const LONGEST: usize = 255;
/// Names that Windows gives to devices, with whatever ending.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "com", "lpt"];

/// The name that a file from outside is kept under: the last part of a path, without what is invisible, changes the
/// direction of writing, or means something to a file system; at most 255 bytes, its ending kept. Never empty.
#[must_use]
pub fn safe_file_name(name: &str) -> String {
    let base = name.rsplit(['/', '\\']).find(|part| !trimmed(part).is_empty());
    let kept: String = base
        .unwrap_or_default()
        .chars()
        .filter(|c| !is_invisible(*c))
        .map(|c| if "<>:\"|?*".contains(c) { '_' } else { c })
        .collect();
    let mut name = trimmed(&kept).to_owned();
    let stem = name
        .split('.')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let device = DEVICES.iter().any(|device| {
        let rest = stem.strip_prefix(device);
        rest.is_some_and(|rest| match *device {
            "com" | "lpt" => matches!(
                rest,
                "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³"
            ),
            _ => rest.is_empty(),
        })
    });
    if device {
        name.insert(0, '_');
    }
    if name.len() > LONGEST {
        // What follows the last dot says what it is, as long as it is an ending at all.
        let ending = name
            .rfind('.')
            .filter(|dot| name.len() - dot <= 32)
            .unwrap_or(name.len());
        let tail = name.split_off(ending);
        let mut end = LONGEST - tail.len();
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        name.truncate(end);
        name = trimmed(&name).to_owned() + &tail;
    }
    if name.is_empty() { "file".into() } else { name }
}

/// Without what some systems drop from the ends, which would make another name of it.
fn trimmed(name: &str) -> &str {
    name.trim_matches(|c: char| c.is_whitespace() || is_invisible(c))
        .trim_end_matches(|c: char| c == '.' || c.is_whitespace() || is_invisible(c))
        .trim_start_matches('.')
        .trim_start()
}

/// Control characters, marks of direction, and others that show nothing.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_would_do_harm() {
        for (name, safe) in [
            ("report.pdf", "report.pdf"),
            ("../../x", "x"),
            ("..\\..\\windows\\x.dll", "x.dll"),
            ("/etc/passwd", "passwd"),
            ("..", "file"),
            ("../..", "file"),
            ("", "file"),
            (".", "file"),
            (".bashrc", "bashrc"),
            ("con", "_con"),
            ("CON.txt", "_CON.txt"),
            ("con .txt", "_con .txt"),
            ("lpt9.x.y", "_lpt9.x.y"),
            ("console.log", "console.log"),
            ("a.exe. . .", "a.exe"),
            ("photo\u{202e}gpj.exe", "photogpj.exe"),
            ("a\0b\nc", "abc"),
            ("a:b|c?.txt", "a_b_c_.txt"),
            ("\u{200b}\u{2060}", "file"),
            ("мир 🌍.txt", "мир 🌍.txt"),
        ] {
            assert_eq!(safe_file_name(name), safe, "{name:?}");
        }
        let long = safe_file_name(&("ä".repeat(5_000) + ".tar.gz"));
        assert!(long.len() <= 255 && long.ends_with("ä.gz"), "{long}");
        assert!(safe_file_name(&".".repeat(5_000)).len() <= 255);
    }

    proptest! {
        #[test]
        fn any_name_becomes_a_safe_one(name in "[\\PC\\p{Cf}\\p{Cc}./\\\\ ]{0,400}") {
            let safe = safe_file_name(&name);
            prop_assert!(!safe.is_empty() && safe.len() <= 255, "{safe:?}");
            prop_assert!(!safe.chars().any(is_invisible));
            prop_assert!(!safe.contains(['/', '\\', ':', '*']));
            prop_assert!(!safe.starts_with('.') && !safe.ends_with(['.', ' ']));
            prop_assert_eq!(safe_file_name(&safe), safe);
        }
    }
}
