//! Configuration and command line, through the public door and through the program itself.
//!
//! Nothing here binds a socket: what a configuration does is tested where it is used.

mod chihaya;
mod rules;

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::{Command as Process, Output};

use skep::cli::{self, Command};
use skep::config::options::{Kind, OPTIONS};
use skep::config::{
    Config, Loaded, LogLevel, Mode, Problem, Sources, TorrentAccess, changed_restart_keys, render,
};
use tempfile::TempDir;

fn sources(args: &[&str], env: &[(&str, &str)]) -> Sources {
    let env: Vec<_> =
        env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
    match cli::parse(args.iter().map(OsString::from), &env).unwrap() {
        Command::Serve(sources) => sources,
        other => panic!("{other:?}"),
    }
}

fn load(args: &[&str]) -> Result<Loaded, Vec<Problem>> {
    Config::load(&sources(args, &[]))
}

fn problems(args: &[&str]) -> Vec<String> {
    load(args).unwrap_err().iter().map(ToString::to_string).collect()
}

/// A directory with one file, in which the program is run.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Loads a configuration file as `--config` does.
    fn load(&self, name: &str, text: &str) -> Result<Loaded, Vec<Problem>> {
        load(&["--config", self.write(name, text).to_str().unwrap()])
    }

    /// Runs the program with nothing in its environment but `env`.
    fn skep(&self, args: &[&str], env: &[(&str, &str)]) -> Run {
        let mut process = Process::new(env!("CARGO_BIN_EXE_skep"));
        process.args(args).env_clear().envs(env.iter().copied()).current_dir(self.0.path());
        process.output().unwrap().into()
    }
}

struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Returns a value that differs from the default, for any option.
fn other_value(key: &str) -> &'static str {
    let option = OPTIONS.iter().find(|option| option.key == key).unwrap();
    match (key, option.kind) {
        ("scrape.unknown", _) => "omit",
        ("announce.ip_override", _) => "local",
        ("announce.cross_family" | "swarm.peer_ids" | "websocket.enabled", _) => "false",
        ("announce.interval_secs", _) => "1750",
        ("announce.external_addresses", _) => "192.0.2.7",
        ("announce.interval_max_secs", _) => "3700",
        ("swarm.peer_ttl_secs", _) => "3700",
        ("http.head_max_bytes", _) => "9000",
        ("http.head_timeout_secs" | "http.write_timeout_secs", _) => "7",
        ("listen.udp_batch" | "swarm.ports_per_address_max", _) => "1",
        ("listen.receive_buffer_bytes", _) => "70000",
        ("announce.interval_jitter_percent" | "swarm.peers_per_prefix_max", _) => "3",
        ("announce.peers_max", _) => "99",
        ("websocket.offers_max", _) => "7",
        ("websocket.message_max_bytes" | "websocket.send_queue_max_bytes", _) => "70000",
        ("accounts.baseline_ttl_secs" | "accounts.sessions_max", _) => "7000",
        ("journal.queue_max_bytes" | "journal.segment_bytes", _) => "2000000",
        ("journal.size_max_bytes", _) => "200000000",
        ("storage.names", _) => "users.passkey=torrent_pass",
        ("storage.migrate" | "journal.durable_events", _) => "false",
        (_, Kind::Integer { max, .. }) if max <= 1800 => "77",
        (_, Kind::Integer { .. }) => "850",
        ("admin.tokens", _) => {
            "site:read:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
        }
        ("keys.plain", _) => "false",
        (_, Kind::Bool) => "true",
        (_, Kind::Choice(words)) => words[words.len() - 1],
        (_, Kind::Sockets) => "127.0.0.1:5",
        (_, Kind::Networks) => "192.0.2.0/24",
        ("listen.http_unix_mode", _) => "0600",
        (_, Kind::Text | Kind::Secret | Kind::Path | Kind::Texts) => "other-text-16-bytes",
    }
}

#[test]
fn sample_file_is_the_default_configuration() {
    let bench = Bench::new();
    let sample = bench.load("tracker.toml", &render::example()).unwrap();
    assert_eq!(sample.config, Config::default());
    assert_eq!(sample.warnings, []);
    assert_eq!(load(&[]).unwrap().config, Config::default());
}

#[test]
fn check_passes_on_no_file_and_on_the_sample_file() {
    let bench = Bench::new();
    bench.write("tracker.toml", &render::example());
    for args in [&["check"][..], &["check", "--config", "tracker.toml"]] {
        let run = bench.skep(args, &[]);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{args:?}");
        assert!(run.stdout.contains("[announce]\ninterval_secs = 1800"), "{}", run.stdout);
    }
}

#[test]
fn effective_configuration_is_a_file_that_means_the_same() {
    let bench = Bench::new();
    let file = bench.write("a.yaml", "announce:\n  interval_secs: 3000\nlisten:\n  udp: [off]\n");
    let first = load(&["-c", file.to_str().unwrap(), "--access.clients_deny=-XX,\"\\"]).unwrap();
    let text = render::effective(&first);
    assert!(text.contains("peer_ttl_secs = 6000"), "{text}");
    assert_eq!(bench.load("b.toml", &text).unwrap().config, first.config);
}

#[test]
fn every_option_changes_the_configuration_in_every_way_to_set_it() {
    let bench = Bench::new();
    for option in OPTIONS {
        let value = other_value(option.key);
        let needs: &[&str] = match option.key {
            "mode" | "access.torrents" => &["--access.torrents_file=list"],
            "compat.chihaya_listen" => &["--compat.chihaya=true"],
            "listen.https" | "listen.tls" => &["--tls.certificate=a", "--tls.key=b"],
            _ => &[],
        };
        let base = load(needs).unwrap();
        let flag = format!("--{}={value}", option.key);
        let by_flag = load(&[needs, &[flag.as_str()]].concat()).unwrap();
        assert_ne!(by_flag.config, base.config, "{flag}");

        let by_variable = Config::load(&sources(needs, &[(&option.variable(), value)])).unwrap();
        assert_eq!(by_variable.config, by_flag.config, "{}", option.variable());

        // A secret is not part of the effective configuration.
        if !matches!(option.kind, Kind::Secret) {
            let by_file = bench.load("all.toml", &render::effective(&by_flag)).unwrap();
            assert_eq!(by_file.config, by_flag.config, "{}", option.key);
        }
    }
}

#[test]
fn all_formats_mean_the_same() {
    let toml = "mode = \"registered\"\n[access]\ntorrents_file = \"a b\"\n[listen]\nport = 70\n\
                udp = [\"off\"]\n[scrape]\nfull = true\n";
    let json = r#"{"$schema": "config.schema.json", "mode": "registered", "access": {"torrents_file": "a b"},
        "listen": {"port": 70, "udp": ["off"]}, "scrape": {"full": true}}"#;
    let yaml = "mode: registered\naccess:\n  torrents_file: a b\nlisten:\n  port: 70\n  udp: [off]\n\
                scrape:\n  full: true\nlog:\n";
    let bench = Bench::new();
    let expected = bench.load("a.toml", toml).unwrap().config;
    assert_eq!(
        (expected.mode, expected.listen.port, expected.scrape.full),
        (Mode::Registered, 70, true)
    );
    let with_mark = format!("\u{feff}{json}");
    for (name, text) in [
        ("a.json", json),
        ("a.yaml", yaml),
        ("a.yml", yaml),
        ("a.JSON", json),
        ("toml.conf", toml),
        ("json.conf", json),
        ("yaml", yaml),
        ("mark.json", &with_mark),
    ] {
        assert_eq!(bench.load(name, text).unwrap().config, expected, "{name}");
    }
    for name in ["empty.toml", "empty.yaml", "empty"] {
        assert_eq!(bench.load(name, "").unwrap().config, Config::default(), "{name}");
    }
}

#[test]
fn syntax_error_names_line_and_column_and_quotes_nothing() {
    let bench = Bench::new();
    for (name, text, expected) in [
        ("a.toml", "[listen]\nsecret = \"hunter2\n", "line 2, column 18: "),
        ("a.json", "{\"listen\":\n {\"secret\": \"hunter2\",}}", "line 2, column 23: "),
        ("a.yaml", "listen:\n  secret: [hunter2\n", "line 2, column 11: "),
        ("b.conf", "[listen]\nsecret = = \"hunter2\"\n", "line 2, column 10: "),
        ("b.yaml", "listen:\n  port: 1\n  port: 2\n", "line 3, column 3: "),
        ("c.yaml", "just text", "must hold a table of options"),
    ] {
        let file = bench.write(name, text);
        let problems = problems(&["-c", file.to_str().unwrap()]);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains(expected), "{problems:?}");
        assert!(!problems[0].contains("hunter"), "{problems:?}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let bench = Bench::new();
    bench.write(
        "bad.toml",
        "mode = \"privat\"\nsecret = \"hunter2\"\n\
         [listen]\nprot = 6969\nsecret = [\"hunter2\"]\nudp = [\"localhost:80\"]\n\
         [announce]\ninterval_secs = 600\ninterval_min_secs = 900\n\
         [acess]\ntorrents = \"allow\"\n[swarm]\npeer_ttl_secs = 99999999\n",
    );
    let env = [
        ("SKEP__ANNOUNCE__INTERVAL", "5"),
        ("SKEP__LOG__LEVEL", "loud"),
        ("SKEP__ANNOUNCE__PEERS_DEFAULT", "500"),
    ];
    let expected = "\
skep: 12 problems in the configuration
  acess (file bad.toml): no section has this name; did you mean access?
  listen.prot (file bad.toml): no option has this name; did you mean listen.port?
  secret (file bad.toml): no option has this name; did you mean listen.secret?
  listen.secret (file bad.toml): must be text
  listen.udp = [\"localhost:80\"] (file bad.toml): \"localhost:80\" does not fit: must be a list of addresses such as 192.0.2.1:1337 or [2001:db8::1]:1337, or off alone
  mode = \"privat\" (file bad.toml): must be one of public, registered, private
  swarm.peer_ttl_secs = 99999999 (file bad.toml): must be a whole number from 60 to 64800
  environment SKEP__ANNOUNCE__INTERVAL: no option has this name; did you mean SKEP__ANNOUNCE__INTERVAL_SECS?
  log.level = \"loud\" (environment SKEP__LOG__LEVEL): must be one of error, warn, info, debug
  listen.port = \"http\" (flag --port): must be a whole number from 0 to 65535
  announce.interval_min_secs = 900 (file bad.toml): must be at most announce.interval_secs = 600 (file bad.toml)
  announce.peers_default = 500 (environment SKEP__ANNOUNCE__PEERS_DEFAULT): must be at most announce.peers_max = 200 (default)
";
    for command in ["serve", "check"] {
        let run = bench.skep(&[command, "-config", "bad.toml", "-port", "http"], &env);
        assert_eq!((run.code, run.stdout.as_str()), (Some(78), ""));
        assert_eq!(run.stderr, expected);
    }
}

#[test]
fn bad_flags_exit_with_64() {
    let run = Bench::new().skep(&["--prot=1", "--listen.secrt=hunter2", "-w"], &[]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(64), ""));
    assert_eq!(
        run.stderr,
        "skep: unknown flag --prot; did you mean --port?\n\
         skep: unknown flag --listen.secrt; did you mean --listen.secret?\n\
         skep: -w needs a value\n\
         try skep --help\n"
    );
}

#[test]
fn flags_beat_environment_beats_file_beats_defaults() {
    let bench = Bench::new();
    bench.write("a.toml", "[listen]\nport = 1\nworkers = 1\n[log]\nlevel = \"warn\"\n");
    let env = [("SKEP_CONFIG", "a.toml"), ("SKEP__LISTEN__PORT", "2"), ("DEBUG", "1")];
    let run = bench.skep(&["check", "-p", "3"], &env);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    for line in [
        "port = 3  # flag -p\n",
        "workers = 1  # file a.toml\n",
        "level = \"debug\"  # environment DEBUG\n",
        "udp_batch = 64\n",
    ] {
        assert!(run.stdout.contains(line), "{line}{}", run.stdout);
    }
}

#[test]
fn secret_is_never_printed() {
    let bench = Bench::new();
    bench.write("a.toml", "[listen]\nsecret = \"hunter2\"\n");
    bench.write("b.toml", "[listen]\nsecret = \"hunter2\"\nport = -1\n");
    let env = [("PICO_TRACKER__SECRET", "hunter2"), ("SKEP__LISTEN__SECRT", "hunter2")];
    for (args, env) in [
        (&["check", "-c", "a.toml"][..], &[][..]),
        (&["check"], &env[..1]),
        (&["check"], &env),
        (&["check", "-s", "hunter2"], &[]),
        (&["check", "-secret=hunter2", "-port", "x"], &[]),
        (&["check", "-secret=hunter2", "--bogus"], &[]),
        (&["check", "-c", "b.toml"], &[]),
        (&["schema", "-s", "hunter2"], &[]),
    ] {
        let run = bench.skep(args, env);
        assert!(!run.stdout.contains("hunter"), "{args:?}: {}", run.stdout);
        assert!(!run.stderr.contains("hunter"), "{args:?}: {}", run.stderr);
    }
    let loaded = load(&["-s", "hunter2"]).unwrap();
    assert!(!format!("{loaded:?}").contains("hunter"));
    assert_eq!(loaded.config.listen.secret.expose(), Some("hunter2"));
    assert!(render::effective(&loaded).contains("# secret = \"<set>\"  # flag -s\n"));
    assert!(render::effective(&load(&[]).unwrap()).contains("# secret = \"<unset>\"\n"));
}

#[test]
fn help_version_and_schema_are_printed() {
    let bench = Bench::new();
    let help = bench.skep(&["-help"], &[]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    for option in OPTIONS {
        assert!(help.stdout.contains(&format!("  --{}=", option.key)), "{}", option.key);
    }
    let version = bench.skep(&["-version"], &[]);
    assert_eq!(version.stdout, format!("skep {}\n", env!("CARGO_PKG_VERSION")));

    let schema = bench.skep(&["schema"], &[]);
    let schema: serde_json::Value = serde_json::from_str(&schema.stdout).unwrap();
    for option in OPTIONS {
        let path = option.key.replace('.', "/properties/");
        let property = schema.pointer(&format!("/properties/{path}")).unwrap();
        assert!(property["description"].is_string() && !property["default"].is_null());
        if let Kind::Integer { min, max } = option.kind {
            assert_eq!((&property["minimum"], &property["maximum"]), (&min.into(), &max.into()));
        }
    }
    assert_eq!(schema["properties"]["listen"]["additionalProperties"], false);
}

#[test]
fn reload_reads_the_file_again_and_names_what_needs_a_restart() {
    let bench = Bench::new();
    let old = bench.load("a.toml", "[announce]\ninterval_secs = 1000\n").unwrap();
    bench.write(
        "a.toml",
        "[announce]\ninterval_secs = 2000\n[log]\nformat = \"json\"\n[listen]\nport = 9\n",
    );
    let new = Config::load(&old.sources).unwrap();
    assert_eq!(new.config.announce.interval_secs, 2000);
    assert_eq!(changed_restart_keys(&old, &new), ["listen.port", "log.format"]);
    assert_eq!(changed_restart_keys(&new, &new), [""; 0]);
}

#[test]
fn file_that_cannot_be_used_is_a_problem() {
    let bench = Bench::new();
    let run = bench.skep(&["check", "-c", "none.toml"], &[]);
    assert_eq!(run.code, Some(78));
    assert!(run.stderr.contains("  file none.toml: cannot be read: "), "{}", run.stderr);

    let long = format!("# {}", "x".repeat(1 << 20));
    let problem = bench.load("long.toml", &long).unwrap_err()[0].to_string();
    assert!(problem.ends_with("long.toml: must be at most 1048576 bytes long"), "{problem}");

    let twice = r#"{"listen": {"port": 1}, "listen": {"port": 2}, "log": 5}"#;
    let problems = bench.load("twice.json", twice).unwrap_err();
    let messages: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(messages, ["is given twice", "must be a table of options"]);
}

#[test]
fn pico_names_work_without_any_file() {
    let env = [
        ("PICO_TRACKER__PORT", "6969"),
        ("PICO_TRACKER__WHITELIST", "list.txt"),
        ("DEBUG", "true"),
    ];
    let config = Config::load(&sources(&[], &env)).unwrap().config;
    assert_eq!(config.listen.port, 6969);
    assert_eq!(config.access.torrents, TorrentAccess::Allow);
    assert_eq!(config.access.torrents_file, Some("list.txt".into()));
    assert_eq!(config.log.level, LogLevel::Debug);
}
