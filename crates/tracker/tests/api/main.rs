//! The admin API as others see it: by its description, and by the examples of the guide.
//!
//! `cargo xtask install` brings the programs that are started here; without them the tests fail.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod guide;

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use skep::cli::{self, Command as Meant};
use skep::config::{Config, Scope};
use skep::start::{Running, start};
use tempfile::TempDir;

/// Requests of each operation and phase; some 100 operations and phases make a minute of it.
const EXAMPLES_MAX: &str = "15";

/// A tracker with tokens, in this process.
struct Tracker {
    running: Option<Running>,
    token: String,
    _folder: TempDir,
}

impl Tracker {
    fn start() -> Self {
        let scopes =
            [Scope::Read, Scope::Write, Scope::Bans, Scope::Reload, Scope::Trace, Scope::Passkeys];
        let text = skep::admin::fresh_token("test", &scopes).unwrap();
        let token = text.lines().nth(1).unwrap().trim_start_matches("# ").to_owned();
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("skep.toml");
        fs::write(&file, text).unwrap();
        let data_dir = format!("--storage.data_dir={}", folder.path().display());
        let own = ["--mode=private", "--listen.port=0", "--listen.admin=127.0.0.1:0", &data_dir];
        let config = [OsString::from("--config"), file.into()];
        let arguments = own.iter().map(OsString::from).chain(config);
        let Meant::Serve(sources) = cli::parse(arguments, &[]).unwrap() else {
            panic!("not the command to serve")
        };
        let loaded = Config::load(&sources).unwrap();
        Self { running: Some(start(loaded, None).unwrap()), token, _folder: folder }
    }

    fn admin(&self) -> SocketAddr {
        self.running.as_ref().unwrap().bound().admin[0]
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        let stopped = self.running.take().map_or(Ok(()), Running::stop);
        if !std::thread::panicking() {
            stopped.unwrap();
        }
    }
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api")
}

/// A program below the target directory, where `cargo xtask install` puts it.
fn installed(program: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("tmp lies in target");
    target.join(program)
}

fn run(command: &mut Command) -> Output {
    let program = command.get_program().to_string_lossy().into_owned();
    command.output().unwrap_or_else(|error| {
        panic!("{program}: {error}; `cargo xtask install` installs what is missing")
    })
}

fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn api_is_as_its_description_says_whatever_is_sent() {
    let tracker = Tracker::start();
    let folder = TempDir::new().unwrap();
    let output = run(Command::new(installed("schemathesis/bin/schemathesis"))
        .arg("--config-file")
        .arg(here().join("schemathesis.toml"))
        .args(["run", "--checks=all", "--no-color", "--max-examples", EXAMPLES_MAX])
        .args(["--suppress-health-check=all", "--request-timeout=30"])
        .arg(format!("http://{}/api/openapi.json", tracker.admin()))
        .env("SCHEMATHESIS_HOOKS", here().join("hooks.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SKEP_TOKEN", &tracker.token)
        .current_dir(folder.path()));
    assert!(output.status.success(), "{}", told(&output));
    // Nothing was left out because the program could not make sense of it.
    assert!(!told(&output).contains("rror"), "{}", told(&output));
}

#[test]
fn examples_of_the_guide_work_as_they_stand() {
    let tracker = Tracker::start();
    let page = here().join("../../../../docs/guide/api.md");
    let page = fs::read_to_string(page).unwrap();
    let folder = TempDir::new().unwrap();
    let mut blocks = page.split("```").skip(1).step_by(2).peekable();
    let mut examples = 0;
    while let Some(block) = blocks.next() {
        let Some(script) = block.strip_prefix("sh\n").filter(|script| script.contains("curl"))
        else {
            continue;
        };
        let script =
            script.replace("http://127.0.0.1:1338", &format!("http://{}", tracker.admin()));
        let output = run(Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .env("TOKEN", &tracker.token)
            .current_dir(folder.path()));
        assert!(output.status.success(), "{script}\n{}", told(&output));
        // What the page shows next is what comes out.
        if let Some(shown) = blocks.peek().and_then(|next| next.strip_prefix("json\n")) {
            let read = |text: &str| {
                serde_json::from_str::<serde_json::Value>(text)
                    .unwrap_or_else(|error| panic!("{error}: {text}\n{script}"))
            };
            let out = String::from_utf8(output.stdout).unwrap();
            assert_eq!(read(&out), read(shown), "{script}");
        }
        examples += 1;
    }
    assert!(examples >= 8, "the page shows {examples} examples");
}
