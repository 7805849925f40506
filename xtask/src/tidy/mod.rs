//! Checks of the tree that neither the compiler nor clippy makes.
//!
//! Each check is a function from the tree to its findings, in a module of its kind, with a test
//! that shows it a tree it must refuse. None of them builds or starts anything.

mod edges;
mod facts;
mod rust;
mod source;
mod tree;
mod words;

use anyhow::{Result, bail};

use self::tree::Tree;
use crate::shell;

/// One thing that is wrong, and where.
#[derive(Debug)]
struct Finding {
    path: String,
    /// Line, from 1; 0 where the whole file is meant.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, line, message } = self;
        match line {
            0 => write!(f, "{path}: {message}"),
            _ => write!(f, "{path}:{line}: {message}"),
        }
    }
}

type Check = fn(&Tree) -> Vec<Finding>;

const CHECKS: &[Check] = &[
    edges::ours,
    edges::fenced,
    facts::decisions_are_numbered_once,
    facts::fuzz_targets_are_listed,
    facts::msrv_is_equal,
    rust::attributes,
    rust::file_length,
    rust::first_line,
    rust::function_length,
    rust::unsafe_code,
    words::ascii,
    words::file_names,
    words::identifiers,
    words::markers,
    words::references,
    words::sleeps,
];

/// Prints every finding and fails if there is one.
pub(crate) fn run() -> Result<()> {
    let tree = Tree::read(&shell::root())?;
    let findings = check(&tree);
    for finding in &findings {
        eprintln!("{finding}");
    }
    if !findings.is_empty() {
        bail!("tidy: {} findings in {} files read", findings.len(), tree.files().len());
    }
    eprintln!("tidy: {} files, nothing to say", tree.files().len());
    Ok(())
}

fn check(tree: &Tree) -> Vec<Finding> {
    CHECKS.iter().flat_map(|check| check(tree)).collect()
}

/// Runs one check on a tree of `(path, text)` and returns the findings as text.
#[cfg(test)]
fn findings(check: Check, files: &[(&str, &str)]) -> Vec<String> {
    check(&Tree::of(files)).iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let tree = Tree::read(&shell::root()).unwrap();
        let found: Vec<String> = check(&tree).iter().map(ToString::to_string).collect();
        assert!(found.is_empty(), "\n{}", found.join("\n"));
    }
}
