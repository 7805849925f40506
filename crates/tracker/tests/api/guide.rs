//! Pages of the guide whose commands are run as they stand.
//!
//! What a block shows behind a command must be what comes out of it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::{run, told};

/// How often a question is asked again whose answer is a moment late: some seconds' worth of processes.
const TRIES_MAX: u32 = 500;

/// The program as a page starts it, but at ports that are free.
struct Process {
    child: Child,
    /// Kept open, so that the program can write to its log.
    _stderr: BufReader<ChildStderr>,
    http: String,
    admin: String,
}

impl Process {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_skep"))
            .args(["--config", "skep.toml"])
            .args(["--listen.udp=127.0.0.1:0", "--listen.http=127.0.0.1:0"])
            .arg("--listen.admin=127.0.0.1:0")
            .current_dir(folder)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut addresses = [None, None];
        let mut said = String::new();
        while addresses.contains(&None) {
            let begin = said.len();
            assert!(stderr.read_line(&mut said).unwrap() > 0, "it does not start:\n{said}");
            let names = ["listening on HTTP", "listening on admin"];
            for (address, name) in addresses.iter_mut().zip(names) {
                if let Some(one) = said[begin..].strip_prefix(name) {
                    *address = Some(one.trim().to_owned());
                }
            }
        }
        let [http, admin] = addresses.map(Option::unwrap);
        Self { child, _stderr: stderr, http, admin }
    }

    /// Runs a block in a shell of its own.
    fn run(&self, block: &str, folder: &Path) -> Output {
        let script = block
            .replace("http://127.0.0.1:1337", &format!("http://{}", self.http))
            .replace("http://127.0.0.1:1338", &format!("http://{}", self.admin));
        let script = ["-euo", "pipefail", "-c", &script];
        let output = run(Command::new("bash").args(script).current_dir(folder));
        assert!(output.status.success(), "{block}\n{}", told(&output));
        output
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads JSON, without times: a second may begin between two commands.
fn read(text: &[u8]) -> Value {
    let mut value: Value = serde_json::from_slice(text)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(text)));
    if let Some(object) = value.as_object_mut() {
        object.retain(|name, _| !name.ends_with("_secs"));
    }
    value
}

#[test]
fn private_tracker_of_the_guide_works_as_it_stands() {
    let page = super::here().join("../../../../docs/guide/private.md");
    let page = fs::read_to_string(page).unwrap();
    let blocks: Vec<_> = page
        .split("```")
        .skip(1)
        .step_by(2)
        .map(|block| block.split_once('\n').expect("a block begins with its language"))
        .collect();
    let folder = TempDir::new().unwrap();
    let (mut process, mut examples, mut compared) = (None, 0, 0);
    for (number, &(language, text)) in blocks.iter().enumerate() {
        match language {
            "toml" => fs::write(folder.path().join("skep.toml"), text).unwrap(),
            "sh" if text.trim() == "skep --config skep.toml" => {
                process = Some(Process::start(folder.path()));
            }
            "sh" => {
                let process = process.as_ref().expect("the page starts it first");
                let mut output = process.run(text, folder.path());
                examples += 1;
                match blocks.get(number + 1) {
                    Some(("text", shown)) => {
                        assert_eq!(told(&output).trim(), shown.trim(), "{text}");
                        compared += 1;
                    }
                    Some(("json", shown)) => {
                        let shown = read(shown.as_bytes());
                        for _ in 0..TRIES_MAX {
                            if read(&output.stdout) == shown {
                                break;
                            }
                            output = process.run(text, folder.path());
                        }
                        assert_eq!(read(&output.stdout), shown, "{text}");
                        compared += 1;
                    }
                    _ => {}
                }
            }
            "text" | "json" => {}
            other => panic!("nobody runs {other}"),
        }
    }
    assert!((examples, compared) >= (5, 2), "{examples} examples, {compared} answers");
}
