//! Files of Chihaya as it was in 2014, given to the program as they are.
//!
//! Our own keys are tested one level up.

use super::Bench;

/// The sample file of 2014, with every key.
const CHIHAYA: &str = r#"{
  "addr": ":6881",
  "tracker": { "driver": "memory" },
  "backend": { "driver": "noop" },
  "private_enabled": false,
  "freeleech_enabled": false,
  "purge_inactive_torrents": true,
  "announce": "45m",
  "min_announce": "20m",
  "request_timeout": "10s",
  "default_num_want": 300,
  "allow_ip_spoofing": true,
  "dual_stacked_peers": true,
  "real_ip_header": "X-Real-IP",
  "preferred_subnet": false,
  "client_whitelist_enabled": true,
  "client_whitelist": ["OP1011"]
}"#;

#[test]
fn chihaya_file_of_2014_is_understood() {
    let bench = Bench::new();
    bench.write("config.json", CHIHAYA);
    let run = bench.skep(&["check", "-config", "config.json"], &[]);
    assert_eq!(
        run.stderr,
        "skep: warning: addr: only HTTP is served, as in Chihaya; --listen.udp sets an address for UDP as well\n\
         skep: warning: addr: announces alone are served there; the other routes have --compat.chihaya_listen\n\
         skep: warning: file config.json is a file of Chihaya; no effect have tracker.driver, backend.driver, \
         purge_inactive_torrents, request_timeout, allow_ip_spoofing, dual_stacked_peers, \
         preferred_subnet\n\
         skep: warning: swarm.peer_ttl_secs: 3600 is raised to 5400, the least for announce.interval_secs = 2700\n\
         skep: warning: proxy.header: has no effect while proxy.trusted is empty\n"
    );
    assert_eq!(run.code, Some(0));
    for line in [
        "udp = [\"off\"]  # file config.json, key addr\n",
        "http = [\"0.0.0.0:6881\", \"[::]:6881\"]  # file config.json, key addr\n",
        "interval_secs = 2700  # file config.json, key announce\n",
        "interval_min_secs = 1200  # file config.json, key min_announce\n",
        "peers_default = 300  # file config.json, key default_num_want\n",
        "peers_max = 300  # file config.json, key default_num_want\n",
        "clients_allow = [\"-OP1011\", \"OP1011\"]  # file config.json, key client_whitelist\n",
        "chihaya = true  # file config.json, key addr\n",
        "chihaya_freeleech = false  # file config.json, key freeleech_enabled\n",
        "header = \"X-Real-IP\"  # file config.json, key real_ip_header\n",
    ] {
        assert!(run.stdout.contains(line), "{line}{}", run.stdout);
    }
}

#[test]
fn private_chihaya_file_makes_a_private_tracker() {
    let bench = Bench::new();
    bench.write("config.json", &CHIHAYA.replace("_enabled\": false", "_enabled\": true"));
    let run = bench.skep(&["check", "-config", "config.json"], &[]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let line = "mode = \"private\"  # file config.json, key private_enabled\n";
    assert!(run.stdout.contains(line), "{}", run.stdout);
}

#[test]
fn chihaya_file_that_cannot_be_served_says_why() {
    let bench = Bench::new();
    bench.write(
        "bad.json",
        r#"{"addr": "tracker.example:80", "private_enabled": "yes", "announce": "soon", "min_announce": "20h",
            "default_num_want": "many", "client_whitelist_enabled": true}"#,
    );
    let run = bench.skep(&["-config", "bad.json"], &[]);
    assert_eq!(
        run.stderr,
        "skep: 6 problems in the configuration
  addr = \"tracker.example:80\" (file bad.json): must be an IP address and a port, or a port alone
  announce = \"soon\" (file bad.json): must be a duration such as \"30m\" or \"1h30m\"
  client_whitelist = [] (file bad.json): must name a client, or nobody is served
  private_enabled = \"yes\" (file bad.json): must be true or false
  announce.interval_min_secs = 72000 (file bad.json, key min_announce): must be a whole number from 1 to 32400
  announce.peers_default = \"many\" (file bad.json, key default_num_want): must be a whole number from 0 to 1000
"
    );
    assert_eq!(run.code, Some(78));
}
