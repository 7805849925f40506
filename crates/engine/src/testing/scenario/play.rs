//! Running a script and judging the answers.
//!
//! How a request travels is the target's business. What holds in every script is checked without
//! being stated: answers that fail only where that is expected, no peer twice, nobody itself.

use core::net::SocketAddr;
use std::borrow::ToOwned;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use skep_proto::{AnnounceRequest, InfoHash};

use super::{Action, Client, Expectation, ExpectedCounts, Failure, Script, Step, Target};
use crate::testing::wire::{Answer, Seen};

/// Runs a script on a fresh tracker.
///
/// # Errors
/// The first answer that is not what the script says.
pub fn run(script: &Script, target: &mut dyn Target) -> Result<(), Failure> {
    for step in &script.steps {
        let problem = |(line, expected, got): Mismatch| Failure {
            file: script.file.clone(),
            line,
            expected,
            got,
        };
        match &step.action {
            Action::Advance(secs) => target.advance(*secs),
            Action::Scrape(torrents) => {
                let hash_of = |&torrent: &usize| script.torrents[torrent].info_hash;
                let info_hashes: Vec<InfoHash> = torrents.iter().map(hash_of).collect();
                let answer = target.scrape(&info_hashes);
                judge_scrape(script, step, torrents, answer).map_err(problem)?;
            }
            Action::Announce { client, .. } => {
                let announcer = &script.clients[*client];
                let answer = target.announce(announcer, &request(script, &step.action));
                let names = named(script, target, *client, answer);
                judge_announce(script, step, names).map_err(problem)?;
            }
        }
    }
    Ok(())
}

/// Line, what was expected and what came.
type Mismatch = (usize, String, String);

fn request(script: &Script, action: &Action) -> AnnounceRequest {
    let Action::Announce { client, torrent, event, left_bytes, num_want } = *action else {
        unreachable!("the caller matched an announce");
    };
    let Client { address, peer_id, peer_key, .. } = script.clients[client];
    AnnounceRequest {
        info_hash: script.torrents[torrent].info_hash,
        peer_id,
        port: address.port(),
        uploaded_bytes: 0,
        downloaded_bytes: 0,
        left_bytes,
        event,
        num_want,
        peer_key,
    }
}

/// The counts, clients by number in place of addresses, and the interval; or the text of a failure.
type Named = Result<(Seen, Vec<usize>, u32), String>;

/// Replaces addresses by clients; an answer that no tracker may give becomes a failure of its own.
fn named(
    script: &Script,
    target: &dyn Target,
    announcer: usize,
    answer: Result<Answer, String>,
) -> Result<Named, String> {
    let Answer { seen, peers, interval_secs, .. } = match answer {
        Ok(answer) => answer,
        Err(text) => return Ok(Err(text)),
    };
    let address_of = |client: &Client| SocketAddr::new(target.ip_of(client), client.address.port());
    let mut found = Vec::new();
    for peer in peers {
        if peer == address_of(&script.clients[announcer]) {
            return Err("its own address".to_owned());
        }
        // Two clients of a script may stand for one endpoint, such as a client after its restart.
        let number = script
            .clients
            .iter()
            .position(|client| address_of(client) == peer)
            .ok_or_else(|| format!("{peer}, which is nobody's address"))?;
        if found.contains(&number) {
            return Err(format!("{} twice", script.clients[number].name));
        }
        found.push(number);
    }
    Ok(Ok((seen, found, interval_secs)))
}

fn judge_announce(
    script: &Script,
    step: &Step,
    names: Result<Named, String>,
) -> Result<(), Mismatch> {
    let named = names.map_err(|got| (step.line, "an answer".to_owned(), got))?;
    let failing = expected_failure(step);
    let (seen, peers, interval_secs) = match (named, failing) {
        (Err(text), Some((line, expected))) => return judge_failure(line, expected, text),
        (Err(text), None) => {
            return Err((step.line, "an answer".to_owned(), format!("failure {text}")));
        }
        (Ok(_), Some((line, expected))) => {
            return Err((line, format!("failure {expected}"), "an answer".to_owned()));
        }
        (Ok(answer), None) => answer,
    };
    for (line, expectation) in &step.expectations {
        let fits = match expectation {
            Expectation::Counts { counts, .. } => {
                judge_counts(*line, counts, &seen)?;
                continue;
            }
            Expectation::Interval(secs) if *secs == interval_secs => continue,
            Expectation::Interval(secs) => {
                return Err((
                    *line,
                    format!("interval {secs}"),
                    format!("interval {interval_secs}"),
                ));
            }
            Expectation::Peers(wanted) => same(&peers, wanted),
            Expectation::PeersOf(count, among) => {
                peers.len() == *count && peers.iter().all(|peer| among.contains(peer))
            }
            Expectation::Include(wanted) => wanted.iter().all(|peer| peers.contains(peer)),
            Expectation::Exclude(unwanted) => !unwanted.iter().any(|peer| peers.contains(peer)),
            Expectation::Failure(_) => continue,
        };
        if !fits {
            let expected = described(script, expectation);
            return Err((*line, expected, format!("peers {}", list(script, &peers))));
        }
    }
    Ok(())
}

fn judge_scrape(
    script: &Script,
    step: &Step,
    torrents: &[usize],
    answer: Result<Vec<Seen>, String>,
) -> Result<(), Mismatch> {
    let seen = match (answer, expected_failure(step)) {
        (Err(text), Some((line, expected))) => return judge_failure(line, expected, text),
        (Err(text), None) => {
            return Err((step.line, "an answer".to_owned(), format!("failure {text}")));
        }
        (Ok(_), Some((line, expected))) => {
            return Err((line, format!("failure {expected}"), "an answer".to_owned()));
        }
        (Ok(seen), None) => seen,
    };
    if seen.len() != torrents.len() {
        let expected = format!("{} torrents", torrents.len());
        return Err((step.line, expected, format!("{}", seen.len())));
    }
    for (line, expectation) in &step.expectations {
        let Expectation::Counts { torrent, counts } = expectation else {
            let expected = described(script, expectation);
            return Err((*line, expected, "a scrape, which has only counts".to_owned()));
        };
        let torrent = torrent.unwrap_or(torrents[0]);
        let position = torrents.iter().position(|asked| *asked == torrent);
        let Some(position) = position else {
            let expected = format!("counts of {}", script.torrents[torrent].name);
            return Err((*line, expected, "a scrape of others".to_owned()));
        };
        judge_counts(*line, counts, &seen[position])?;
    }
    Ok(())
}

fn expected_failure(step: &Step) -> Option<(usize, &str)> {
    step.expectations.iter().find_map(|(line, expectation)| match expectation {
        Expectation::Failure(text) => Some((*line, text.as_str())),
        _ => None,
    })
}

fn judge_failure(line: usize, expected: &str, got: String) -> Result<(), Mismatch> {
    if got == expected {
        Ok(())
    } else {
        Err((line, format!("failure {expected}"), format!("failure {got}")))
    }
}

/// Compares what the answer shows; leechers and partial seeds as a sum where it shows no more.
fn judge_counts(line: usize, expected: &ExpectedCounts, seen: &Seen) -> Result<(), Mismatch> {
    let differs = |expected: Option<u32>, seen: Option<u32>| matches!((expected, seen), (Some(expected), Some(seen)) if expected != seen);
    let incomplete_differs = match seen.partial_seeds {
        Some(partial_seeds) => {
            differs(expected.partial_seeds, Some(partial_seeds))
                || differs(expected.leechers, Some(seen.incomplete - partial_seeds))
        }
        None if expected.leechers.is_some() || expected.partial_seeds.is_some() => {
            let sum = expected.leechers.unwrap_or(0) + expected.partial_seeds.unwrap_or(0);
            sum != seen.incomplete
        }
        None => false,
    };
    if incomplete_differs
        || differs(expected.seeders, Some(seen.seeders))
        || differs(expected.completions, seen.completions)
    {
        return Err((line, expected.to_string(), format!("{seen:?}")));
    }
    Ok(())
}

fn same(some: &[usize], others: &[usize]) -> bool {
    some.len() == others.len() && some.iter().all(|peer| others.contains(peer))
}

fn described(script: &Script, expectation: &Expectation) -> String {
    match expectation {
        Expectation::Counts { counts, .. } => counts.to_string(),
        Expectation::Peers(peers) => format!("peers {}", list(script, peers)),
        Expectation::PeersOf(count, among) => format!("{count} of {}", list(script, among)),
        Expectation::Include(peers) => format!("peers with {}", list(script, peers)),
        Expectation::Exclude(peers) => format!("peers without {}", list(script, peers)),
        Expectation::Interval(secs) => format!("interval {secs}"),
        Expectation::Failure(text) => format!("failure {text}"),
    }
}

fn list(script: &Script, peers: &[usize]) -> String {
    if peers.is_empty() {
        return "none".to_owned();
    }
    let names = peers.iter().map(|peer| script.clients[*peer].name.as_str());
    names.collect::<Vec<_>>().join(" ")
}
