//! The shape of Rust files: how they open, how long they are, where unsafe code may be.
//!
//! Words and names are checked elsewhere.

use super::Finding;
use super::source::{code_of, functions, words};
use super::tree::Tree;

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// Files that may be longer: registries and tables, each with its reason.
const LONG_FILES: &[&str] = &[
    // The registry of options: a row each, and no two rows are better read apart.
    "crates/tracker/src/config/options.rs",
];

/// Functions that may be longer, as (path, name), each with its reason.
const LONG_FUNCTIONS: &[(&str, &str)] = &[];

/// The only folder with unsafe code: the one that talks to the kernel.
/// The crate of sockets, and the system calls of the load generator, which is no part of the product.
const UNSAFE_PLACES: [&str; 3] =
    ["crates/net/", "bench/src/load/mmsg.rs", "bench/src/load/system.rs"];

/// Attributes that a crate's root must carry.
const ATTRIBUTES: &[(&str, &[&str])] = &[
    ("crates/proto/src/lib.rs", &["#![no_std]", "#![forbid(unsafe_code)]"]),
    ("crates/engine/src/lib.rs", &["#![no_std]", "#![forbid(unsafe_code)]"]),
    ("crates/store/src/lib.rs", &["#![forbid(unsafe_code)]"]),
    ("crates/tracker/src/lib.rs", &["#![forbid(unsafe_code)]"]),
];

/// Every file opens by saying what it holds.
pub(super) fn first_line(tree: &Tree) -> Vec<Finding> {
    let silent = |text: &str| !text.starts_with("//! ");
    tree.rust_files()
        .filter(|file| silent(&file.text))
        .map(|file| Finding::new(&file.path, 1, "does not open with `//!` and what it holds"))
        .collect()
}

pub(super) fn file_length(tree: &Tree) -> Vec<Finding> {
    tree.rust_files()
        .filter(|file| !LONG_FILES.contains(&file.path.as_str()))
        .filter_map(|file| {
            let lines = file.text.lines().count();
            let message = format!("{lines} lines; split it, {FILE_LINES_MAX} are allowed");
            (lines > FILE_LINES_MAX).then(|| Finding::new(&file.path, 0, message))
        })
        .collect()
}

pub(super) fn function_length(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust_files() {
        let code = code_of(&file.text);
        for function in functions(&code) {
            let allowed = LONG_FUNCTIONS.contains(&(file.path.as_str(), function.name));
            if function.length > FUNCTION_LINES_MAX && !allowed {
                let message = format!(
                    "`{}` has {} lines; split it, {FUNCTION_LINES_MAX} are allowed",
                    function.name, function.length
                );
                findings.push(Finding::new(&file.path, function.line, message));
            }
        }
    }
    findings
}

pub(super) fn unsafe_code(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let allowed = |path: &str| UNSAFE_PLACES.iter().any(|place| path.starts_with(place));
    for file in tree.rust_files().filter(|file| !allowed(&file.path)) {
        for (index, line) in code_of(&file.text).lines().enumerate() {
            if words(line).any(|word| word == "unsafe") {
                let message = format!("unsafe code outside {}", UNSAFE_PLACES.join(" and "));
                findings.push(Finding::new(&file.path, index + 1, message));
            }
        }
    }
    findings
}

pub(super) fn attributes(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for &(path, attributes) in ATTRIBUTES {
        // A tree without the crate is a test's; the build notices a crate that went missing.
        let Some(file) = tree.file(path) else {
            continue;
        };
        for attribute in attributes {
            if !file.text.lines().any(|line| line == *attribute) {
                findings.push(Finding::new(path, 0, format!("lacks `{attribute}`")));
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
    fn file_without_a_first_line_is_found() {
        let found = findings(first_line, &[("a.rs", "use std::fs;\n"), ("b.rs", "//! Fine.\n")]);
        assert_eq!(found, ["a.rs:1: does not open with `//!` and what it holds"]);
    }

    #[test]
    fn long_file_is_found() {
        let fits = "\n".repeat(FILE_LINES_MAX);
        let long = "\n".repeat(FILE_LINES_MAX + 1);
        let found = findings(file_length, &[("fits.rs", &fits), ("long.rs", &long)]);
        assert_eq!(found, ["long.rs: 601 lines; split it, 600 are allowed"]);
    }

    #[test]
    fn long_function_is_found() {
        let body = |lines| format!("//! x\nfn f() {{\n{}}}\n", "    g();\n".repeat(lines));
        let (fits, long) = (body(FUNCTION_LINES_MAX - 2), body(FUNCTION_LINES_MAX - 1));
        let found = findings(function_length, &[("fits.rs", &fits), ("long.rs", &long)]);
        assert_eq!(found, ["long.rs:2: `f` has 71 lines; split it, 70 are allowed"]);
    }

    #[test]
    fn unsafe_code_is_found_outside_its_crate() {
        let text = "// unsafe in prose\nfn f() { unsafe { g() } }\n#![forbid(unsafe_code)]\n";
        let files = [("crates/net/src/a.rs", text), ("crates/proto/src/a.rs", text)];
        let found = findings(unsafe_code, &files);
        let places = UNSAFE_PLACES.join(" and ");
        assert_eq!(found, [format!("crates/proto/src/a.rs:2: unsafe code outside {places}")]);
    }

    #[test]
    fn missing_fence_is_found() {
        let found = findings(attributes, &[("crates/proto/src/lib.rs", "//! x\n#![no_std]\n")]);
        assert_eq!(found, ["crates/proto/src/lib.rs: lacks `#![forbid(unsafe_code)]`"]);
    }
}
