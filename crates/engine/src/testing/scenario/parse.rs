//! Reading a script: one statement a line, names before their use.
//!
//! Nothing is run here, and no setting is judged: whoever runs the script knows the configuration.

use core::fmt;
use core::net::SocketAddr;
use std::borrow::ToOwned;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use skep_proto::{AnnounceEvent, InfoHash, NumWant, PeerId, PeerKey};

use super::{
    Action, Client, Expectation, ExpectedCounts, Script, Setting, Step, Torrent, Transport,
};

/// A line that makes no sense.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseError {
    /// Which script.
    pub file: String,
    /// Which line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

impl core::error::Error for ParseError {}

type Words<'a> = std::vec::IntoIter<&'a str>;

pub(super) fn script(file: &str, text: &str) -> Result<Script, ParseError> {
    let mut script = Script {
        file: file.to_owned(),
        transport: None,
        sockets: true,
        browsers: false,
        settings: Vec::new(),
        torrents: Vec::new(),
        clients: Vec::new(),
        steps: Vec::new(),
    };
    for (index, text) in text.lines().enumerate() {
        let line = index + 1;
        statement(&mut script, line, without_comment(text)).map_err(|what| ParseError {
            file: file.to_owned(),
            line,
            what,
        })?;
    }
    let end = text.lines().count();
    check(&script).map_err(|what| ParseError { file: file.to_owned(), line: end, what })?;
    Ok(script)
}

/// A `#` at the start or behind white space begins a comment.
fn without_comment(line: &str) -> &str {
    let comment = line
        .match_indices('#')
        .find(|(at, _)| line[..*at].chars().next_back().is_none_or(char::is_whitespace));
    comment.map_or(line, |(at, _)| &line[..at]).trim()
}

fn statement(script: &mut Script, line: usize, text: &str) -> Result<(), String> {
    let mut words = text.split_whitespace().collect::<Vec<_>>().into_iter();
    let Some(first) = words.next() else {
        return Ok(());
    };
    let heads = ["only", "also", "torrent", "listed", "denied", "client"];
    if (heads.contains(&first) || first.contains('.')) && !script.steps.is_empty() {
        return Err(format!("`{first}` must stand before the first step"));
    }
    match first {
        "only" => only(script, words),
        "also" => also(script, words),
        "torrent" => torrent(script, words),
        "listed" => mark(script, words, |torrent| torrent.listed = true),
        "denied" => mark(script, words, |torrent| torrent.denied = true),
        "client" => client(script, words),
        "announce" | "scrape" | "advance" => {
            if script.torrents.is_empty() {
                script.torrents.push(named_torrent("torrent", None)?);
            }
            let action = action(script, first, words)?;
            script.steps.push(Step { line, action, expectations: Vec::new() });
            Ok(())
        }
        "expect" => {
            let expectation = expectation(script, text, words)?;
            let step = script.steps.last_mut().ok_or("`expect` must follow a step")?;
            if matches!(step.action, Action::Advance(_)) {
                return Err("`expect` must follow an announce or a scrape".to_owned());
            }
            step.expectations.push((line, expectation));
            Ok(())
        }
        key if key.contains('.') => {
            let (_, value) = text.split_once('=').ok_or("a setting is `key = value`")?;
            script.settings.push(Setting {
                line,
                key: key.to_owned(),
                value: value.trim().to_owned(),
            });
            Ok(())
        }
        other => Err(format!("`{other}` is no statement")),
    }
}

fn only(script: &mut Script, words: Words<'_>) -> Result<(), String> {
    for word in words {
        match word {
            "udp" => script.transport = Some(Transport::Udp),
            "http" => script.transport = Some(Transport::Http),
            "engine" => script.sockets = false,
            other => return Err(format!("`{other}` is none of udp, http and engine")),
        }
    }
    Ok(())
}

fn also(script: &mut Script, words: Words<'_>) -> Result<(), String> {
    for word in words {
        match word {
            "browsers" => script.browsers = true,
            other => return Err(format!("`{other}` is not browsers")),
        }
    }
    Ok(())
}

fn torrent(script: &mut Script, mut words: Words<'_>) -> Result<(), String> {
    let name = words.next().ok_or("a torrent needs a name")?;
    if script.torrents.iter().any(|known| known.name == name) {
        return Err(format!("there is a torrent `{name}` already"));
    }
    script.torrents.push(named_torrent(name, words.next())?);
    nothing_more(words)
}

fn named_torrent(name: &str, digits: Option<&str>) -> Result<Torrent, String> {
    let info_hash = match digits {
        Some(digits) => InfoHash::from_hex(digits.as_bytes())
            .ok_or_else(|| format!("`{digits}` is not 40 hexadecimal digits"))?,
        None => InfoHash(padded(name, b'.')?),
    };
    Ok(Torrent { name: name.to_owned(), info_hash, listed: false, denied: false })
}

fn mark(script: &mut Script, words: Words<'_>, how: fn(&mut Torrent)) -> Result<(), String> {
    for name in words {
        let number = find_torrent(script, name)?;
        how(&mut script.torrents[number]);
    }
    Ok(())
}

fn client(script: &mut Script, mut words: Words<'_>) -> Result<(), String> {
    let name = words.next().ok_or("a client needs a name")?;
    if script.clients.iter().any(|known| known.name == name) {
        return Err(format!("there is a client `{name}` already"));
    }
    if name == "none" || name.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(format!("`{name}` is no name: expectations would read wrong"));
    }
    let address = words.next().ok_or("a client needs an address")?;
    let address: SocketAddr =
        address.parse().map_err(|_| format!("`{address}` is no address with a port"))?;
    let mut client = Client {
        name: name.to_owned(),
        address,
        peer_id: PeerId(padded(&format!("-XX0001-{name}"), b'-')?),
        peer_key: PeerKey::from_u32(script.clients.len() as u32 + 1),
    };
    for word in words {
        match word.split_once('=') {
            Some(("peer_id", id)) => client.peer_id = PeerId(padded(id, b'-')?),
            Some(("key", key)) => {
                let key = u32::from_str_radix(key, 16);
                let key = key.map_err(|_| "a key is up to 8 hexadecimal digits")?;
                client.peer_key = PeerKey::from_u32(key);
            }
            _ => return Err(format!("`{word}` is neither peer_id= nor key=")),
        }
    }
    script.clients.push(client);
    Ok(())
}

fn padded(text: &str, filler: u8) -> Result<[u8; 20], String> {
    let mut bytes = [filler; 20];
    let room =
        bytes.get_mut(..text.len()).ok_or_else(|| format!("`{text}` is longer than 20 bytes"))?;
    room.copy_from_slice(text.as_bytes());
    Ok(bytes)
}

fn action(script: &Script, first: &str, mut words: Words<'_>) -> Result<Action, String> {
    match first {
        "announce" => announce(script, words),
        "scrape" => {
            let torrents: Result<Vec<_>, _> =
                words.map(|name| find_torrent(script, name)).collect();
            let torrents = torrents?;
            Ok(Action::Scrape(if torrents.is_empty() { [0].to_vec() } else { torrents }))
        }
        _ => {
            let secs = number(words.next().ok_or("advance by how many seconds?")?)?;
            nothing_more(words)?;
            Ok(Action::Advance(secs))
        }
    }
}

fn announce(script: &Script, mut words: Words<'_>) -> Result<Action, String> {
    let name = words.next().ok_or("who announces?")?;
    let client = find_client(script, name)?;
    let (mut torrent, mut num_want) = (0, NumWant::Default);
    let (mut event, mut left) = (AnnounceEvent::None, None);
    for word in words {
        match (word, word.split_once('=')) {
            ("started", _) => event = AnnounceEvent::Started,
            ("completed", _) => event = AnnounceEvent::Completed,
            ("stopped", _) => event = AnnounceEvent::Stopped,
            ("paused", _) => event = AnnounceEvent::Paused,
            (_, Some(("left", "unknown"))) => left = Some(None),
            (_, Some(("left", bytes))) => {
                let bytes = bytes.parse();
                left = Some(Some(bytes.map_err(|_| format!("`{word}` is no number"))?));
            }
            (_, Some(("want", count))) => num_want = NumWant::Count(number(count)?),
            (_, Some(("torrent", name))) => torrent = find_torrent(script, name)?,
            _ => return Err(format!("`{word}` means nothing in an announce")),
        }
    }
    let finished = matches!(event, AnnounceEvent::Stopped | AnnounceEvent::Completed);
    let left_bytes = match left {
        Some(left_bytes) => left_bytes,
        None if finished => Some(0),
        None => return Err("say left=, in bytes or unknown".to_owned()),
    };
    Ok(Action::Announce { client, torrent, event, left_bytes, num_want })
}

fn expectation(script: &Script, text: &str, words: Words<'_>) -> Result<Expectation, String> {
    let words: Vec<_> = words.collect();
    match words.as_slice() {
        ["failure", _, ..] => {
            let (_, reason) = text.split_once("failure").unwrap_or_default();
            Ok(Expectation::Failure(reason.trim().to_owned()))
        }
        ["peers", "none"] => Ok(Expectation::Peers(Vec::new())),
        ["peers", "include", names @ ..] => Ok(Expectation::Include(clients(script, names)?)),
        ["peers", "exclude", names @ ..] => Ok(Expectation::Exclude(clients(script, names)?)),
        ["peers", names @ ..] => Ok(Expectation::Peers(clients(script, names)?)),
        [count, "peer" | "peers", "of", names @ ..] => {
            let names = clients(script, names)?;
            Ok(Expectation::PeersOf(number(count)? as usize, names))
        }
        [word] if let Some(secs) = word.strip_prefix("interval=") => {
            Ok(Expectation::Interval(number(secs)?))
        }
        [name, counts @ ..] if !name.contains('=') => {
            let torrent = Some(find_torrent(script, name)?);
            let counts = expected_counts(counts)?;
            Ok(Expectation::Counts { torrent, counts })
        }
        counts => Ok(Expectation::Counts { torrent: None, counts: expected_counts(counts)? }),
    }
}

fn expected_counts(words: &[&str]) -> Result<ExpectedCounts, String> {
    let mut counts = ExpectedCounts::default();
    if words.is_empty() {
        return Err("expect what?".to_owned());
    }
    for word in words {
        let (name, value) =
            word.split_once('=').ok_or_else(|| format!("`{word}` is no expectation"))?;
        let slot = match name {
            "seeders" => &mut counts.seeders,
            "leechers" => &mut counts.leechers,
            "partial_seeds" => &mut counts.partial_seeds,
            "completions" => &mut counts.completions,
            _ => return Err(format!("`{name}` is none of the four counts")),
        };
        *slot = Some(number(value)?);
    }
    Ok(counts)
}

fn clients(script: &Script, names: &[&str]) -> Result<Vec<usize>, String> {
    if names.is_empty() {
        return Err("which clients?".to_owned());
    }
    names.iter().map(|name| find_client(script, name)).collect()
}

fn find_client(script: &Script, name: &str) -> Result<usize, String> {
    let position = script.clients.iter().position(|client| client.name == name);
    position.ok_or_else(|| format!("there is no client `{name}`"))
}

fn find_torrent(script: &Script, name: &str) -> Result<usize, String> {
    let mut torrents = script.torrents.iter();
    let position = torrents.position(|torrent| torrent.name == name);
    position.ok_or_else(|| format!("there is no torrent `{name}`"))
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

fn nothing_more(mut words: Words<'_>) -> Result<(), String> {
    words.next().map_or(Ok(()), |word| Err(format!("`{word}` is one word too many")))
}

/// What only the whole script shows.
fn check(script: &Script) -> Result<(), String> {
    if script.steps.is_empty() {
        return Err("nothing happens in this script".to_owned());
    }
    if !script.sockets {
        return Ok(());
    }
    let mut ipv6_ports: Vec<u16> = Vec::new();
    for client in script.clients.iter().filter(|client| client.address.is_ipv6()) {
        let port = client.address.port();
        if ipv6_ports.contains(&port) {
            let what = "there is one IPv6 loopback address: give IPv6 clients different ports, \
                        or say `only engine`";
            return Err(what.to_string());
        }
        ipv6_ports.push(port);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        match script("x.scn", text) {
            Ok(script) => panic!("accepted: {script:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn mistakes_name_file_and_line() {
        let client = "client alice 192.0.2.1:6881\n";
        for (text, expected) in [
            ("\n# so far\ndance\n", "x.scn:3: `dance` is no statement"),
            ("announce bob left=1\n", "x.scn:1: there is no client `bob`"),
            ("client bob 192.0.2.1\n", "x.scn:1: `192.0.2.1` is no address with a port"),
            ("expect seeders=1\n", "x.scn:1: `expect` must follow a step"),
            (
                "advance 5\nexpect seeders=1\n",
                "x.scn:2: `expect` must follow an announce or a scrape",
            ),
            ("advance soon\n", "x.scn:1: `soon` is no number"),
            ("only tcp\n", "x.scn:1: `tcp` is none of udp, http and engine"),
            ("torrent a zz\n", "x.scn:1: `zz` is not 40 hexadecimal digits"),
            ("scrape b\n", "x.scn:1: there is no torrent `b`"),
            ("advance 1\ntorrent a\n", "x.scn:2: `torrent` must stand before the first step"),
            (
                "client a [::1]:1\nclient b [::2]:1\nadvance 1\n",
                "x.scn:3: there is one IPv6 loopback address: give IPv6 clients different ports, or say `only engine`",
            ),
            ("# nothing\n", "x.scn:1: nothing happens in this script"),
        ] {
            assert_eq!(problem(text), expected);
        }
        for (step, expected) in [
            ("announce alice", "say left=, in bytes or unknown"),
            ("announce alice left=x", "`left=x` is no number"),
            ("announce alice resumed left=1", "`resumed` means nothing in an announce"),
            ("announce alice left=1\nexpect", "expect what?"),
            ("announce alice left=1\nexpect seeds=1", "`seeds` is none of the four counts"),
            ("announce alice left=1\nexpect interval=soon", "`soon` is no number"),
            ("announce alice left=1\nexpect peers", "which clients?"),
            ("announce alice left=1\nexpect peers carol", "there is no client `carol`"),
        ] {
            let found = problem(&format!("{client}{step}\n"));
            assert!(found.ends_with(expected), "{found}");
        }
    }

    #[test]
    fn names_stand_for_bytes() {
        let text = "only udp\nannounce.peers_max = 5 # few\ntorrent tiny\n\
                    client alice 192.0.2.1:6881 key=ff\nannounce alice paused left=7 want=3\n";
        let script = script("x.scn", text).expect("a script");
        assert_eq!(script.transport, Some(Transport::Udp));
        let setting = &script.settings[0];
        assert_eq!((setting.key.as_str(), setting.value.as_str()), ("announce.peers_max", "5"));
        assert_eq!(script.torrents[0].info_hash.as_bytes(), b"tiny................");
        assert_eq!(script.clients[0].peer_id.as_bytes(), b"-XX0001-alice-------");
        assert_eq!(script.clients[0].peer_key, PeerKey::from_u32(255));
        assert!(script.runs_on(Transport::Udp) && !script.runs_on(Transport::Http));
    }
}
