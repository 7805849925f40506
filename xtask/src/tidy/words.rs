//! Words that must not appear: in names, in comments, in code that tests run.
//!
//! What the words should have been is in each message.

use super::Finding;
use super::source::{code_of, words};
use super::tree::{File, Tree};

/// Names with one lawful spelling, as (forbidden part, what to write).
const IDENTIFIERS: &[(&str, &str)] = &[
    ("infohash", "info_hash"),
    ("Infohash", "InfoHash"),
    ("numwant", "num_want"),
    ("Numwant", "NumWant"),
    ("torrent_id", "info_hash"),
    ("snatches", "completions"),
];

/// Where wire spellings are at home.
const WIRE_FOLDER: &str = "crates/proto/";

/// File names that say nothing of what the file holds.
const FILE_NAMES: &[&str] = &["utils.rs", "util.rs", "helpers.rs", "misc.rs"];

/// Files that people write by hand and programs read.
const SOURCES: &[&str] = &["rs", "py", "mjs", "html", "sh", "toml", "yml", "yaml", "scn"];

/// Prefixes of numbered rules that only their author can look up; comments cite the BEP instead.
const RULE_PREFIXES: &[&str] = &["UDP", "HTTP", "SW", "WS", "SEC"];

pub(super) fn identifiers(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust_files().filter(|file| !file.path.starts_with(WIRE_FOLDER)) {
        for (index, line) in code_of(&file.text).lines().enumerate() {
            for word in words(line) {
                let forbidden = IDENTIFIERS.iter().find(|(part, _)| word.contains(part));
                if let Some((_, lawful)) = forbidden {
                    let message = format!("`{word}`: the word is `{lawful}`");
                    findings.push(Finding::new(&file.path, index + 1, message));
                }
            }
        }
    }
    findings
}

pub(super) fn file_names(tree: &Tree) -> Vec<Finding> {
    let name = |file: &File| file.path.rsplit('/').next().unwrap_or_default().to_owned();
    tree.files()
        .iter()
        .filter(|file| FILE_NAMES.contains(&name(file).as_str()))
        .map(|file| Finding::new(&file.path, 0, "name it after what it holds"))
        .collect()
}

pub(super) fn ascii(tree: &Tree) -> Vec<Finding> {
    each_source_line(tree, |line| {
        let odd = line.chars().find(|c| !c.is_ascii())?;
        Some(format!("{odd:?} is not ASCII"))
    })
}

pub(super) fn markers(tree: &Tree) -> Vec<Finding> {
    let (later, never) = (concat!("TO", "DO"), concat!("FIX", "ME"));
    each_source_line(tree, |line| {
        if words(line).any(|word| word == never) {
            return Some(format!("{never} cannot be merged: repair it or open an issue"));
        }
        let (_, rest) = line.split_once(later)?;
        let numbered = rest
            .match_indices('#')
            .any(|(at, _)| rest[at + 1..].starts_with(|c: char| c.is_ascii_digit()));
        (!numbered).then(|| format!("{later} without the number of an issue"))
    })
}

/// Runs `check` on each line of every file that is source.
fn each_source_line(tree: &Tree, check: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files().iter().filter(|file| SOURCES.contains(&file.extension())) {
        for (number, line) in file.lines() {
            findings.extend(check(line).map(|text| Finding::new(&file.path, number, text)));
        }
    }
    findings
}

/// Nothing refers to what a reader of the repository does not have.
pub(super) fn references(tree: &Tree) -> Vec<Finding> {
    let outside = concat!("../", "shared");
    let mut findings = Vec::new();
    for file in tree.files().iter().filter(|file| !file.path.ends_with("Cargo.lock")) {
        for (number, line) in file.lines() {
            if line.contains(outside) {
                let message = format!("`{outside}` is not part of the repository");
                findings.push(Finding::new(&file.path, number, message));
            }
            if let Some(rule) = rule_of(line) {
                let message = format!("`{rule}` names no public text; cite the BEP and section");
                findings.push(Finding::new(&file.path, number, message));
            }
        }
    }
    findings
}

/// The first numbered rule of a line; numbers with a leading zero (ACME's challenge) are not ours.
fn rule_of(line: &str) -> Option<&str> {
    line.match_indices('-').find_map(|(dash, _)| {
        let (before, after) = (&line[..dash], &line[dash + 1..]);
        let start = before.rfind(|c: char| !c.is_alphanumeric()).map_or(0, |at| at + 1);
        let length = after.find(|c: char| !c.is_alphanumeric()).unwrap_or(after.len());
        let number = &after[..length];
        let counted = !number.starts_with('0') && number.parse::<u16>().is_ok();
        let known = RULE_PREFIXES.contains(&&before[start..]);
        (known && counted).then(|| &line[start..dash + 1 + length])
    })
}

/// Tests wait for conditions, never for time.
pub(super) fn sleeps(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files() {
        let code = match file.extension() {
            "rs" => code_of(&file.text),
            "py" => file.text.clone(),
            _ => continue,
        };
        let whole =
            format!("/{}", file.path).contains("/tests/") || file.path.ends_with("tests.rs");
        let mut in_tests = whole;
        for (index, line) in code.lines().enumerate() {
            in_tests |= line.trim_start().starts_with("#[cfg(test)]");
            if in_tests && words(line).any(|word| word == "sleep") {
                let message = "a test sleeps; wait for a condition with a deadline";
                findings.push(Finding::new(&file.path, index + 1, message));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::findings;
    use super::*;

    #[test]
    fn forbidden_names_are_found_outside_the_wire() {
        let text = "// infohash in prose\nlet a = \"numwant\";\nlet max_numwant = InfoHash(b);\n";
        let files = [("crates/proto/src/a.rs", text), ("crates/engine/src/a.rs", text)];
        let found = findings(identifiers, &files);
        assert_eq!(found, ["crates/engine/src/a.rs:3: `max_numwant`: the word is `num_want`"]);
    }

    #[test]
    fn empty_file_names_are_found() {
        let found = findings(file_names, &[("crates/net/src/utils.rs", ""), ("a/utils_of.rs", "")]);
        assert_eq!(found, ["crates/net/src/utils.rs: name it after what it holds"]);
    }

    #[test]
    fn odd_characters_are_found_in_sources_only() {
        let found = findings(ascii, &[("a.rs", "fine\n// na\u{ef}ve\n"), ("a.md", "na\u{ef}ve\n")]);
        assert_eq!(found, ["a.rs:2: '\u{ef}' is not ASCII"]);
    }

    #[test]
    fn markers_need_an_issue() {
        let text = concat!("// TO", "DO(#7): fine\n// TO", "DO: soon\n// FIX", "ME #8\n");
        let found = findings(markers, &[("a.rs", text)]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("a.rs:2: "), "{found:?}");
        assert!(found[1].starts_with("a.rs:3: "), "{found:?}");
    }

    #[test]
    fn rules_and_paths_from_elsewhere_are_found() {
        let text = concat!("SHA-256, UTF-8, HTTP-01, XUDP-5\n(UDP", "-5)\n../", "shared/a\n");
        let found = findings(references, &[("a.md", text)]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with(concat!("a.md:2: `UDP", "-5`")), "{found:?}");
        assert!(found[1].starts_with("a.md:3: "), "{found:?}");
    }

    #[test]
    fn sleeping_tests_are_found() {
        let text =
            "fn f() { sleep(A) }\n#[cfg(test)]\nmod tests {\n    fn t() { thread::sleep(A) }\n}\n";
        let files = [("crates/a/src/a.rs", text), ("crates/a/tests/it/a.rs", "sleep(A);\n")];
        let found = findings(sleeps, &files);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("crates/a/src/a.rs:4: "), "{found:?}");
    }
}
