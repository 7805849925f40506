//! The text files of the checkout, read once.
//!
//! Holds no rule; what is ignored by git is not read.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Where findings of fuzzers are kept: bytes, not text, even when they happen to be UTF-8.
const CORPUS: &str = "fuzz/corpus/";

/// One text file.
pub(super) struct File {
    /// Path from the root, with forward slashes.
    pub(super) path: String,
    pub(super) text: String,
}

impl File {
    /// The part of the path after the last dot.
    pub(super) fn extension(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    /// The lines with their numbers, from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// Every text file of the checkout, sorted by path.
pub(super) struct Tree {
    files: Vec<File>,
}

impl Tree {
    /// Reads everything below `root` that is text and not ignored.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let listed = fs::read_to_string(root.join(".gitignore")).context("read .gitignore")?;
        let ignored: Vec<&str> = listed.lines().filter(|line| !line.is_empty()).collect();
        let mut files = Vec::new();
        walk(root, "", &ignored, &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { files })
    }

    /// A tree that a test made up.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let own = |&(path, text): &(&str, &str)| File { path: path.into(), text: text.into() };
        Self { files: files.iter().map(own).collect() }
    }

    pub(super) fn files(&self) -> &[File] {
        &self.files
    }

    /// The file at exactly this path.
    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    pub(super) fn rust_files(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.extension() == "rs")
    }
}

fn walk(root: &Path, folder: &str, ignored: &[&str], files: &mut Vec<File>) -> Result<()> {
    let directory = root.join(folder);
    for entry in
        fs::read_dir(&directory).with_context(|| format!("read {}", directory.display()))?
    {
        let entry = entry?;
        let path = format!("{folder}{}", entry.file_name().to_string_lossy());
        if path == ".git" || ignored.iter().any(|pattern| ignores(pattern, &path)) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            walk(root, &format!("{path}/"), ignored, files)?;
        } else if !path.starts_with(CORPUS) {
            let bytes = fs::read(entry.path()).with_context(|| format!("read {path}"))?;
            // What is not text (an icon, say) has no lines to check.
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(File { path, text });
            }
        }
    }
    Ok(())
}

/// Whether a line of `.gitignore` covers a path: `/from/the/root`, `*.suffix` or `name`.
fn ignores(pattern: &str, path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    if let Some(anchored) = pattern.strip_prefix('/') {
        anchored.trim_end_matches('/') == path
    } else if let Some(suffix) = pattern.strip_prefix('*') {
        name.ends_with(suffix)
    } else {
        pattern.trim_end_matches('/') == name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_paths_are_those_of_git() {
        assert!(ignores("/target", "target"));
        assert!(!ignores("/target", "fuzz/target"));
        assert!(ignores("*.profraw", "crates/net/a.profraw"));
        assert!(ignores("__pycache__/", "crates/tracker/tests/clients/__pycache__"));
        assert!(!ignores("__pycache__/", "crates/tracker"));
    }

    #[test]
    fn tree_holds_sources_and_no_builds() {
        let tree = Tree::read(&crate::shell::root()).unwrap();
        assert!(tree.file("xtask/src/tidy/tree.rs").is_some());
        assert!(tree.file("Cargo.toml").is_some());
        assert!(tree.files().iter().all(|file| !file.path.starts_with("target/")));
    }
}
