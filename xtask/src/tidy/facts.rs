//! Facts that are written in more than one place and must agree.
//!
//! Generated documents are compared by the crates that generate them.

use super::Finding;
use super::tree::Tree;

const DECISIONS: &str = "docs/decisions/";
const FUZZ_TARGETS: &str = "fuzz/fuzz_targets/";
const FUZZ_MANIFEST: &str = "fuzz/Cargo.toml";

/// What stands before the oldest compiler's version where people and services read it.
const VERSION_WORDS: &[&str] = &["Rust ", "rustc ", "MSRV ", "MSRV: ", "toolchain install "];

/// Decision records are `NNNN-title.md` and no number is used twice.
pub(super) fn decisions_are_numbered_once(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut last = "";
    let records = tree.files().iter().filter_map(|file| {
        let name = file.path.strip_prefix(DECISIONS)?;
        (name != "README.md").then_some((file, name))
    });
    for (file, name) in records {
        let (number, _) = name.split_once('-').unwrap_or_default();
        if number.len() != 4 || number.parse::<u16>().is_err() {
            findings.push(Finding::new(&file.path, 0, "is not named NNNN-title.md"));
        } else if number == last {
            findings.push(Finding::new(&file.path, 0, format!("number {number} is taken")));
        }
        last = number;
    }
    findings
}

/// Every file among the fuzz targets is built, or it would rot unseen.
pub(super) fn fuzz_targets_are_listed(tree: &Tree) -> Vec<Finding> {
    let manifest = tree.file(FUZZ_MANIFEST).map_or("", |file| file.text.as_str());
    tree.rust_files()
        .filter_map(|file| Some((file, file.path.strip_prefix(FUZZ_TARGETS)?)))
        .filter(|(_, name)| !manifest.contains(&format!("path = \"fuzz_targets/{name}\"")))
        .map(|(file, _)| Finding::new(&file.path, 0, format!("has no entry in {FUZZ_MANIFEST}")))
        .collect()
}

/// The oldest compiler is the same for every crate, reader and service.
pub(super) fn msrv_is_equal(tree: &Tree) -> Vec<Finding> {
    let Some(lawful) = tree.file("Cargo.toml").and_then(|file| quoted(&file.text, "rust-version"))
    else {
        return vec![Finding::new("Cargo.toml", 0, "has no rust-version")];
    };
    let mut findings = Vec::new();
    for file in tree.files() {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        for (number, line) in file.lines() {
            let named = match name {
                "Cargo.toml" => quoted(line, "rust-version"),
                "clippy.toml" => quoted(line, "msrv"),
                "README.md" | "CONTRIBUTING.md" | "ci.yml" => version_in(line),
                _ => None,
            };
            if let Some(version) = named.filter(|version| *version != lawful) {
                let message = format!("says Rust {version}; the workspace says {lawful}");
                findings.push(Finding::new(&file.path, number, message));
            }
        }
        if name == "Cargo.toml" && !file.text.contains("rust-version") {
            findings.push(Finding::new(&file.path, 0, "names no rust-version"));
        }
    }
    findings
}

/// The value of the first `key = "value"` line.
fn quoted<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let value = line.strip_prefix(key)?.trim_start().strip_prefix('=')?;
        value.trim().strip_prefix('"')?.split('"').next()
    })
}

/// The compiler version that a line of prose or of a workflow names.
fn version_in(line: &str) -> Option<&str> {
    VERSION_WORDS.iter().find_map(|word| {
        let (_, rest) = line.split_once(word)?;
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let version = rest[..end].trim_end_matches('.');
        version.starts_with("1.").then_some(version)
    })
}

#[cfg(test)]
mod tests {
    use super::super::findings;
    use super::*;

    #[test]
    fn decision_number_used_twice_is_found() {
        let files = [
            ("docs/decisions/0001-a.md", ""),
            ("docs/decisions/0001-b.md", ""),
            ("docs/decisions/2-c.md", ""),
        ];
        let expected = [
            "docs/decisions/0001-b.md: number 0001 is taken",
            "docs/decisions/2-c.md: is not named NNNN-title.md",
        ];
        assert_eq!(findings(decisions_are_numbered_once, &files), expected);
    }

    #[test]
    fn unlisted_fuzz_target_is_found() {
        let manifest = "[[bin]]\nname = \"udp\"\npath = \"fuzz_targets/udp.rs\"\n";
        let files = [
            ("fuzz/Cargo.toml", manifest),
            ("fuzz/fuzz_targets/http.rs", ""),
            ("fuzz/fuzz_targets/udp.rs", ""),
        ];
        let expected = ["fuzz/fuzz_targets/http.rs: has no entry in fuzz/Cargo.toml"];
        assert_eq!(findings(fuzz_targets_are_listed, &files), expected);
    }

    #[test]
    fn diverging_compiler_versions_are_found() {
        let files = [
            ("Cargo.toml", "rust-version = \"1.95\"\n"),
            ("README.md", "Needs Rust 1.90.\n"),
            ("clippy.toml", "msrv = \"1.94\"\n"),
            ("crates/a/Cargo.toml", "rust-version.workspace = true\n"),
            ("crates/b/Cargo.toml", "[package]\n"),
            (".github/workflows/ci.yml", "run: rustup toolchain install 1.95 --profile minimal\n"),
        ];
        let expected = [
            "README.md:1: says Rust 1.90; the workspace says 1.95",
            "clippy.toml:1: says Rust 1.94; the workspace says 1.95",
            "crates/b/Cargo.toml: names no rust-version",
        ];
        assert_eq!(findings(msrv_is_equal, &files), expected);
    }
}
