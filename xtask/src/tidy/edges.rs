//! Who may depend on whom: proto <- engine <- store <- tracker -> net.
//!
//! Read from the manifests, whatever the enabled features.

use super::Finding;
use super::tree::{File, Tree};

/// Each manifest with the crates of ours that it may name; a new edge needs a decision record.
const OURS: &[(&str, &[&str])] = &[
    ("bench/Cargo.toml", &["skep", "skep-net", "skep-proto"]),
    ("crates/engine/Cargo.toml", &["skep-proto"]),
    ("crates/net/Cargo.toml", &[]),
    ("crates/proto/Cargo.toml", &[]),
    ("crates/store/Cargo.toml", &["skep-engine", "skep-proto"]),
    ("crates/tracker/Cargo.toml", &["skep-engine", "skep-net", "skep-proto", "skep-store"]),
    ("examples/custom-driver/Cargo.toml", &["skep"]),
    ("fuzz/Cargo.toml", &["skep-engine", "skep-proto", "skep-store"]),
    ("xtask/Cargo.toml", &[]),
];

/// Libraries that stay in some rooms, with these rooms' manifests.
const FENCED: &[(&str, &[&str])] = &[
    ("anyhow", &["bench/Cargo.toml", "crates/tracker/Cargo.toml", "xtask/Cargo.toml"]),
    ("serde", &["crates/store/Cargo.toml", "crates/tracker/Cargo.toml"]),
    ("tokio", &["crates/net/Cargo.toml", "crates/store/Cargo.toml", "crates/tracker/Cargo.toml"]),
];

/// A line of a manifest that names a dependency.
struct Edge<'a> {
    line: usize,
    name: &'a str,
    /// Only tests see it.
    dev: bool,
}

pub(super) fn ours(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in manifests(tree) {
        let Some((_, allowed)) = OURS.iter().find(|(path, _)| *path == file.path) else {
            findings.push(Finding::new(&file.path, 0, "tidy has no row for this crate's edges"));
            continue;
        };
        for edge in edges(file).into_iter().filter(|edge| is_ours(edge.name)) {
            // A crate's own tests may turn on its own features.
            let itself = edge.dev && package_name(file) == Some(edge.name);
            if !itself && !allowed.contains(&edge.name) {
                let message = format!("must not depend on {}", edge.name);
                findings.push(Finding::new(&file.path, edge.line, message));
            }
        }
    }
    findings
}

pub(super) fn fenced(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in manifests(tree) {
        for edge in edges(file).into_iter().filter(|edge| !edge.dev) {
            let fence = FENCED.iter().find(|(name, _)| *name == edge.name);
            if let Some((name, rooms)) = fence
                && !rooms.contains(&file.path.as_str())
            {
                let message = format!("{name} stays in {}", rooms.join(", "));
                findings.push(Finding::new(&file.path, edge.line, message));
            }
        }
    }
    findings
}

/// Every manifest but the workspace's own, which only names versions.
fn manifests(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.files().iter().filter(|file| file.path.ends_with("/Cargo.toml"))
}

fn is_ours(name: &str) -> bool {
    name == "skep" || name.starts_with("skep-")
}

fn package_name(file: &File) -> Option<&str> {
    file.text
        .lines()
        .find_map(|line| line.strip_prefix("name = "))
        .map(|name| name.trim_matches('"'))
}

/// The dependencies that a manifest names, in whichever kind of table.
fn edges(file: &File) -> Vec<Edge<'_>> {
    let mut found = Vec::new();
    let mut table = "";
    for (line, text) in file.lines() {
        let text = text.trim();
        if let Some(header) = text.strip_prefix('[') {
            table = header.trim_end_matches(']');
            // `[dependencies.name]` is a table and an edge at once.
            if let Some((kind, name)) = table.rsplit_once('.')
                && kind.ends_with("dependencies")
            {
                found.push(Edge { line, name, dev: kind.ends_with("dev-dependencies") });
            }
        } else if table.ends_with("dependencies") && !text.is_empty() && !text.starts_with('#') {
            let end = text.find(['.', '=', ' ']).unwrap_or(text.len());
            let name = text[..end].trim_matches('"');
            found.push(Edge { line, name, dev: table.ends_with("dev-dependencies") });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::findings;
    use super::*;

    #[test]
    fn upward_edge_is_found_in_every_spelling() {
        let text = "[package]\nname = \"skep-proto\"\n[dependencies]\nskep-engine.workspace = true\n\
                    [target.'cfg(unix)'.dependencies]\nskep-net = { path = \"../net\" }\n\
                    [dev-dependencies.skep-store]\npath = \"../store\"\n";
        let found = findings(ours, &[("crates/proto/Cargo.toml", text)]);
        let expected = [
            "crates/proto/Cargo.toml:4: must not depend on skep-engine",
            "crates/proto/Cargo.toml:6: must not depend on skep-net",
            "crates/proto/Cargo.toml:7: must not depend on skep-store",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn crate_may_name_itself_for_its_tests_only() {
        let own =
            |kind| format!("[package]\nname = \"skep-engine\"\n[{kind}]\nskep-engine = {{}}\n");
        let path = "crates/engine/Cargo.toml";
        assert!(findings(ours, &[(path, &own("dev-dependencies"))]).is_empty());
        assert_eq!(findings(ours, &[(path, &own("dependencies"))]).len(), 1);
    }

    #[test]
    fn unknown_crate_is_found() {
        let found = findings(ours, &[("crates/new/Cargo.toml", "[package]\n")]);
        assert_eq!(found, ["crates/new/Cargo.toml: tidy has no row for this crate's edges"]);
    }

    #[test]
    fn library_outside_its_fence_is_found() {
        let text = "[dependencies]\n# tokio is for others\ntokio.workspace = true\n";
        let found = findings(fenced, &[("crates/engine/Cargo.toml", text)]);
        let expected = "crates/engine/Cargo.toml:3: tokio stays in crates/net/Cargo.toml, \
                        crates/store/Cargo.toml, crates/tracker/Cargo.toml";
        assert_eq!(found, [expected]);
    }
}
