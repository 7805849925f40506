//! Rules between options: what contradicts, what gives way, what is only warned of.
//!
//! Kinds and bounds of single options are tested beside the program's source.

use super::{load, problems};

fn warnings(args: &[&str]) -> Vec<String> {
    load(args).unwrap().warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn contradictions_are_problems() {
    for (args, expected) in [
        (
            &["--announce.interval_min_secs=2000"][..],
            "announce.interval_min_secs = 2000 (flag --announce.interval_min_secs): must be at most announce.interval_secs = 1800 (default)",
        ),
        (
            &["--announce.interval_max_secs=1799"],
            "announce.interval_max_secs = 1799 (flag --announce.interval_max_secs): must be 0 or at least announce.interval_secs = 1800 (default)",
        ),
        (
            &["--mode=private", "--keys.plain=false"],
            "keys.plain = false (flag --keys.plain): must be true, or keys.site_key or keys.xbt_private_key must be set",
        ),
        (
            &["--mode=registered", "--access.torrents=deny", "--access.torrents_file=a"],
            "access.torrents = \"deny\" (flag --access.torrents): must not be deny with mode = \"registered\" (flag --mode); use access.torrents_deny_file",
        ),
        (
            &["--access.torrents=allow"],
            "access.torrents_file = \"\" (default): must name a file for access.torrents = \"allow\" (flag --access.torrents)",
        ),
        (
            &["--access.torrents=deny"],
            "access.torrents_file = \"\" (default): must name a file for access.torrents = \"deny\" (flag --access.torrents), or access.torrents_deny_file must",
        ),
        (
            &["--listen.udp=off", "--listen.http=off"],
            "listen.udp = [\"off\"] (flag --listen.udp): must not be off with listen.http = [\"off\"] (flag --listen.http): nothing is served",
        ),
        (
            &["--port=1338"],
            "listen.admin = [\"127.0.0.1:1338\"] (default): must not be at 127.0.0.1:1338, which listen.port = 1338 (flag --port) takes",
        ),
        (
            &["--access.clients_allow=-TR,-TR123456789012345678"],
            "access.clients_allow = [\"-TR\", \"-TR123456789012345678\"] (flag --access.clients_allow): -TR123456789012345678 does not fit: must be at most 20 bytes long",
        ),
        (
            &["--proxy.header=X Real"],
            "proxy.header = \"X Real\" (flag --proxy.header): must be the name of an HTTP header",
        ),
        (
            &["--announce.external_addresses=10.0.0.1"],
            "announce.external_addresses = [\"10.0.0.1\"] (flag --announce.external_addresses): 10.0.0.1 does not fit: must be a public address",
        ),
        (
            &["--announce.external_addresses=t.example"],
            "announce.external_addresses = [\"t.example\"] (flag --announce.external_addresses): t.example does not fit: must be a public address",
        ),
        (
            &["--announce.external_addresses=192.0.2.1,192.0.2.2"],
            "announce.external_addresses = [\"192.0.2.1\", \"192.0.2.2\"] (flag --announce.external_addresses): must be at most one address of each family",
        ),
    ] {
        assert_eq!(problems(args), [expected], "{args:?}");
    }
}

#[test]
fn lawful_combinations_are_no_problems() {
    for args in [
        &["--access.torrents=deny", "--access.torrents_deny_file=a"][..],
        &["--access.torrents=deny", "--access.torrents_file=a"],
        &["--access.torrents_deny_file=a"],
        &["--mode=registered", "--access.torrents_file=a"],
        &["--listen.udp=off"],
        &["--port=1338", "--listen.admin=off"],
        &["--port=1338", "--listen.admin=[::1]:1339"],
        &["--port=0", "--listen.admin=127.0.0.1:0"],
        &["--listen.http=127.0.0.2:1338"],
        &["--proxy.header=Forwarded", "--proxy.trusted=127.0.0.1"],
        &["--announce.stretch_above_swarm_peers=500", "--swarm.peer_ttl_secs=7200"],
        &["--announce.interval_secs=900", "--announce.stretch_above_announces_per_sec=9"],
    ] {
        assert_eq!(warnings(args), Vec::<String>::new(), "{args:?}");
    }
}

#[test]
fn doubtful_settings_are_warned_of() {
    for (args, expected) in [
        (
            &["--swarm.peer_ttl_secs=1000"][..],
            "swarm.peer_ttl_secs: 1000 is raised to 3600, the least for announce.interval_secs = 1800",
        ),
        (
            &["--announce.interval_secs=10000"],
            "swarm.peer_ttl_secs: 3600 is raised to 20000, the least for announce.interval_secs = 10000",
        ),
        (
            &["--announce.stretch_above_swarm_peers=500"],
            "swarm.peer_ttl_secs: 3600 is raised to 7200, the least for intervals of up to 3600 seconds",
        ),
        (
            &["--announce.stretch_above_announces_per_sec=9", "--announce.interval_max_secs=2500"],
            "swarm.peer_ttl_secs: 3600 is raised to 5000, the least for intervals of up to 2500 seconds",
        ),
        (
            &["--announce.interval_max_secs=2500"],
            "announce.interval_max_secs: has no effect without announce.stretch_above_announces_per_sec or announce.stretch_above_swarm_peers",
        ),
        (
            &[
                "--announce.stretch_above_swarm_peers=500",
                "--announce.interval_max_secs=1980",
                "--swarm.peer_ttl_secs=4000",
            ],
            "announce.interval_max_secs: 1980 leaves no room to stretch announce.interval_secs = 1800 with its 10 percent at random",
        ),
        (
            &[
                "--announce.stretch_above_swarm_peers=500",
                "--announce.interval_max_secs=10801",
                "--swarm.peer_ttl_secs=30000",
            ],
            "announce.interval_max_secs: 10801 may take the tracker off public lists, which want 300 to 10800",
        ),
        (
            &["--announce.interval_secs=200"],
            "announce.interval_secs: 200 keeps the tracker off public lists, which want 300 to 10800",
        ),
        (
            &["--access.torrents_file=a"],
            "access.torrents_file: has no effect while access.torrents is open",
        ),
        (&["--scrape.names"], "scrape.names: has no effect without access.torrents_file"),
        (&["--proxy.header=X-Real-IP"], "proxy.header: has no effect while proxy.trusted is empty"),
        (
            &["-p", "1", "--listen.udp=off", "--listen.http=127.0.0.1:80"],
            "listen.port: has no effect while listen.udp and listen.http say where",
        ),
        (&["-s", "hunter2"], "listen.secret: can be guessed: 16 random characters are the least"),
    ] {
        assert_eq!(warnings(args), [expected], "{args:?}");
    }
}

#[test]
fn peers_live_for_25_minutes_however_short_the_interval() {
    let config =
        load(&["--announce.interval_secs=300", "--swarm.peer_ttl_secs=60"]).unwrap().config;
    assert_eq!(config.swarm.peer_ttl_secs, 1500);
}

#[test]
fn defaults_give_way_to_what_was_chosen() {
    let config = load(&["--announce.interval_secs=601", "--announce.peers_max=30"]).unwrap().config;
    assert_eq!((config.announce.interval_secs, config.announce.interval_min_secs), (601, 301));
    assert_eq!((config.announce.peers_max, config.announce.peers_default), (30, 30));
}

#[test]
fn no_limit_of_intervals_is_longer_than_peers_can_be_waited_for() {
    let long = ["--announce.interval_secs=20000", "--announce.stretch_above_swarm_peers=500"];
    let config = load(&long).unwrap().config;
    assert_eq!(config.announce.interval_longest_secs(), 32_400);
    assert_eq!(config.swarm.peer_ttl_secs, 64_800);
}

#[test]
fn port_gives_both_families_to_both_front_ends() {
    let listen = load(&["-p", "6969"]).unwrap().config.listen;
    let both: Vec<std::net::SocketAddr> =
        vec!["0.0.0.0:6969".parse().unwrap(), "[::]:6969".parse().unwrap()];
    assert_eq!((listen.udp.from_port, &listen.udp.addresses), (true, &both));
    assert_eq!((listen.http.from_port, &listen.http.addresses), (true, &both));
    assert_eq!(listen.admin.addresses, ["127.0.0.1:1338".parse().unwrap()]);

    let listen = load(&["--listen.udp=[::1]:7", "--listen.http=off"]).unwrap().config.listen;
    assert_eq!((listen.udp.from_port, listen.udp.addresses.len()), (false, 1));
    assert_eq!((listen.http.from_port, listen.http.addresses.len()), (false, 0));
}
