//! Documents that are made of the lists in the source must be as the lists are.
//!
//! `UPDATE=1 cargo test -p skep` writes them anew.

use std::fs;
use std::path::Path;

use skep::beps;
use skep::config::render;
use skep::telemetry::{drivers_reference, gates_reference, metrics_reference};

#[test]
fn generated_documents_are_fresh() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let update = std::env::var_os("UPDATE").is_some_and(|value| value == "1");
    for (name, text) in [
        ("deploy/tracker.example.toml", render::example()),
        ("docs/generated/beps.md", beps::reference()),
        ("docs/generated/config.md", render::manual()),
        ("docs/generated/config.schema.json", format!("{:#}\n", render::schema())),
        ("docs/generated/drivers.md", drivers_reference()),
        ("docs/generated/gates.md", gates_reference()),
        ("docs/generated/metrics.md", metrics_reference()),
        ("docs/generated/openapi.json", format!("{:#}\n", skep::admin::description())),
    ] {
        let path = root.join(name);
        if update {
            fs::write(&path, &text).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
        assert!(committed == text, "{name} is stale: run UPDATE=1 cargo test -p skep");
    }
}
