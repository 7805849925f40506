//! Requests and answers of HTTP, from the very addresses in the files: the tracker trusts the test
//! as a proxy that names them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use skep_engine::testing::wire;
use skep_proto::vectors::{HTTP_ERRORS, HTTP_SESSION, Line, Session, Vector, VectorFile};

use super::{Bench, Settled, peer_line, place, replay, swarm_line};
use crate::support::{HttpClient, Tracker, shown};

const BASE: &str = "
proxy.trusted = [\"127.0.0.0/8\", \"::1\"]
listen.udp = [\"off\"]
";

/// Where peers of a whole swarm announce from; nobody else does.
const SWARM_IP: &str = "203.0.113.1";

#[test]
fn golden_http_sessions_come_over_sockets() {
    replay("http/session.txt", HTTP_SESSION, session);
}

#[test]
fn golden_http_refusals_come_over_sockets() {
    replay("http/errors.txt", HTTP_ERRORS, session);
}

fn session(file: &VectorFile, session: &Session) -> usize {
    let mut talk = Talk {
        file,
        bench: Bench::new(BASE),
        from: String::new(),
        kept: BTreeMap::new(),
        crowd: None,
    };
    session.vectors.iter().filter(|vector| talk.vector(vector) > 0).count()
}

/// One session as it goes on.
struct Talk<'a> {
    file: &'a VectorFile,
    bench: Bench,
    /// The client of the next request, as the file writes it.
    from: String,
    /// A connection that stays open for each client.
    kept: BTreeMap<String, HttpClient>,
    /// The one connection that a tracker with too much to do serves.
    crowd: Option<HttpClient>,
}

impl Talk<'_> {
    /// Replays a vector and counts what was judged.
    fn vector(&mut self, vector: &Vector) -> usize {
        let mut judged = 0;
        for (number, line) in vector.lines.iter().enumerate() {
            // What is expected of a request stands behind it, before the next one.
            let behind = vector.lines[number + 1..].iter();
            let expected = || behind.clone().take_while(|line| !is_request(line));
            let find = |word| expected().find(|line| line.word == word);
            match line.word.as_str() {
                "set" => {
                    self.bench.set(line);
                    if line.rest == "overload on" {
                        let mut first = HttpClient::connect(self.bench.tracker().http());
                        assert_eq!(first.get("/health").status, 200);
                        self.crowd = Some(first);
                    }
                }
                "peer" => {
                    let settled = peer_line(self.file, line);
                    self.settle(&[settled]);
                }
                "swarm" => {
                    let settled = swarm_line(self.file, line);
                    self.settle(&settled);
                }
                "from" => self.from.clone_from(&line.rest),
                "get" => {
                    self.get(vector, line, find("body"), find("status"));
                    judged += usize::from(find("body").is_some() || find("status").is_some());
                }
                "request" => {
                    self.request(vector, line, find("response"), find("status"));
                    judged += usize::from(find("response").is_some() || find("status").is_some());
                }
                "body" | "status" | "response" | "means" | "says" => {}
                _ => panic!("a word that means nothing: {}", place(vector, line)),
            }
        }
        judged
    }

    /// The header by which the test names the client of the moment.
    fn header(&self) -> String {
        format!("X-Forwarded-For: {}\r\n", self.file.address(&self.from).ip())
    }

    /// The tracker as the client of the moment reaches it.
    fn connect(&mut self) -> HttpClient {
        let ipv6 = self.file.address(&self.from).is_ipv6();
        HttpClient::connect(address(self.bench.tracker(), ipv6))
    }

    fn settle(&mut self, settled: &[Settled]) {
        let tracker = self.bench.tracker();
        for Settled { ip, request } in settled {
            let ip = ip.unwrap_or_else(|| SWARM_IP.parse().unwrap());
            let target = wire::http_announce(request);
            let ip = ip.to_string();
            let answer =
                HttpClient::connect(tracker.http()).get_with(&target, &[("X-Forwarded-For", &ip)]);
            wire::read_http_announce(answer.ok()).unwrap();
        }
    }

    fn get(&mut self, vector: &Vector, line: &Line, body: Option<&Line>, status: Option<&Line>) {
        let place = place(vector, line);
        let mut request = b"GET ".to_vec();
        request.extend(self.file.text(&line.rest));
        request.extend(b" HTTP/1.1\r\nHost: t.example\r\n");
        request.extend(self.header().as_bytes());
        request.extend(b"\r\n");
        let response = if self.crowd.is_some() {
            let mut client = self.connect();
            // Whoever is turned away may be so before it has sent anything.
            let _ = client.send_if_open(&request);
            client.response()
        } else {
            if !self.kept.contains_key(&self.from) {
                let client = self.connect();
                self.kept.insert(self.from.clone(), client);
            }
            let client = self.kept.get_mut(&self.from).unwrap();
            client.send(&request);
            client.response()
        };
        // Whoever is turned away is so without having been read.
        let usual = if self.crowd.is_some() { 503 } else { 200 };
        let status = status.map_or(usual, |line| line.rest.parse().unwrap());
        assert_eq!(response.status, status, "{place}");
        if let Some(body) = body {
            assert_eq!(shown(&response.body), shown(&self.file.text(&body.rest)), "{place}");
        }
    }

    fn request(
        &mut self,
        vector: &Vector,
        line: &Line,
        expected: Option<&Line>,
        status: Option<&Line>,
    ) {
        let place = place(vector, line);
        let request = self.file.text(&line.rest);
        // The header goes right behind the request line.
        let end = request.windows(2).position(|window| window == b"\r\n").unwrap() + 2;
        let request = [&request[..end], self.header().as_bytes(), &request[end..]].concat();
        let mut client = self.connect();
        client.send(&request);
        if let Some(expected) = expected {
            // All of it, up to the end of the connection.
            assert_eq!(shown(&client.rest()), shown(&self.file.text(&expected.rest)), "{place}");
        }
        if let Some(status) = status {
            let response = client.response();
            assert_eq!(response.status.to_string(), status.rest, "{place}");
        }
    }
}

fn is_request(line: &Line) -> bool {
    line.word == "get" || line.word == "request"
}

fn address(tracker: &Tracker, ipv6: bool) -> std::net::SocketAddr {
    if ipv6 { tracker.http_ipv6() } else { tracker.http() }
}

#[test]
fn client_of_an_ipv6_connection_is_known_without_a_proxy() {
    let tracker = Tracker::start(&["--announce.external_ip=true"]);
    let request = crate::support::announce(crate::support::torrent(1), 6881, 1);
    let mut client = tracker.http_client(IpAddr::from(Ipv6Addr::LOCALHOST));
    let body = client.get(&wire::http_announce(&request)).body;
    let expected = [&b"11:external ip16:"[..], &Ipv6Addr::LOCALHOST.octets()].concat();
    assert!(body.windows(expected.len()).any(|window| window == expected), "{}", shown(&body));
}
