//! A site that hears of deltas, over real sockets: how it fails, and what it hears then.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use skep_engine::ledger::{
    Family, Scope, SessionState, Spent, TorrentId, Traffic, UserId, Verdict,
};
use skep_proto::PeerId;

use super::Webhook;
use crate::driver::{Batch, Conn, Driver, DriverError, DriverSettings, Record, Totals};

const DEADLINE: Duration = Duration::from_secs(20);
const JOURNAL: u64 = 0xbee;

/// One request as it came.
#[derive(Debug, Clone, PartialEq)]
struct Heard {
    line: String,
    head: Vec<String>,
    body: Vec<u8>,
}

impl Heard {
    fn header(&self, name: &str) -> Option<&str> {
        let start = format!("{}:", name.to_ascii_lowercase());
        let line = self.head.iter().find(|line| line.to_ascii_lowercase().starts_with(&start))?;
        Some(line[start.len()..].trim())
    }

    fn lines(&self) -> Vec<Value> {
        let lines = self.body.split_inclusive(|byte| *byte == b'\n');
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    fn keys(&self) -> Vec<String> {
        self.lines().iter().map(|line| line["key"].as_str().unwrap().to_owned()).collect()
    }
}

/// A site: it answers each request with the next thing that the test says, and tells what it heard.
struct Site {
    address: SocketAddr,
    answers: Sender<Option<&'static str>>,
    heard: Receiver<Heard>,
}

impl Site {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (answers, next) = channel();
        let (tell, heard) = channel();
        thread::spawn(move || {
            // Connections that are kept waiting, so that they do not end.
            let mut waiting = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                let mut stream = stream;
                while let Some(request) = read(&mut stream) {
                    let Ok(answer) = next.recv() else { return };
                    if tell.send(request).is_err() {
                        return;
                    }
                    let Some(answer) = answer else {
                        waiting.push(stream);
                        break;
                    };
                    if write!(stream, "HTTP/1.1 {answer}").is_err() {
                        break;
                    }
                }
            }
        });
        Self { address, answers, heard }
    }

    fn answer(&self, answer: &'static str) {
        self.answers.send(Some(answer)).unwrap();
    }

    fn hear(&self) -> Heard {
        self.heard.recv_timeout(DEADLINE).unwrap()
    }

    fn hears_nothing(&self) -> bool {
        self.heard.try_recv().is_err()
    }
}

/// A site that takes whatever comes, over as many connections as one likes.
fn takes_everything() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                while read(&mut stream).is_some() && write!(stream, "HTTP/1.1 {OK}").is_ok() {}
            });
        }
    });
    address
}

fn read(stream: &mut TcpStream) -> Option<Heard> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|len| *len > 0)?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let head = lines.split_off(1);
    let mut heard = Heard { line: lines.remove(0), head, body: Vec::new() };
    let len = heard.header("Content-Length")?.parse().ok()?;
    heard.body = vec![0; len];
    reader.read_exact(&mut heard.body).ok()?;
    Some(heard)
}

const OK: &str = "204 No Content\r\n\r\n";

crate::battery!({
    let (folder, address) = (tempfile::tempdir().unwrap(), takes_everything());
    Subject::new(move || open(Webhook::new(), &format!("http://{address}/"), &folder))
});

struct Bench {
    folder: tempfile::TempDir,
    site: Site,
    conn: Box<dyn Conn>,
}

impl Bench {
    fn new() -> Self {
        Self::with(Webhook::new())
    }

    fn with(driver: Webhook) -> Self {
        let (folder, site) = (tempfile::tempdir().unwrap(), Site::start());
        let conn = open(driver, &format!("http://{}/hook?a=b", site.address), &folder);
        Self { folder, site, conn }
    }

    /// Opens the storage again, as after a restart.
    fn again(&mut self) {
        self.conn = open(Webhook::new(), &format!("http://{}/", self.site.address), &self.folder);
    }

    fn sums(&self) -> u64 {
        self.conn.totals(Totals::User(UserId(1))).unwrap().raw.uploaded_bytes
    }
}

fn open(driver: Webhook, url: &str, folder: &tempfile::TempDir) -> Box<dyn Conn> {
    let data_dir = folder.path().into();
    let settings =
        DriverSettings { url: url.into(), data_dir, migrate: true, ..Default::default() };
    driver.open(&settings).unwrap_or_else(|error| panic!("{error}"))
}

fn record(uploaded_bytes: u64) -> Record {
    let session = SessionState {
        torrent: TorrentId(2),
        user: UserId(1),
        peer_id: PeerId(*b"-XX0001-\x00\xffaaaaaaaaaa"),
        peer_key: 0,
        corrupt_bytes: 0,
        counters: Traffic { uploaded_bytes, downloaded_bytes: 9 },
        family: Family::Ipv4,
        seeds: false,
        open: true,
        pass_counted: false,
    };
    let mut record = Record::of_session(session, 1_700_000_000, "192.0.2.1:6881".parse().ok());
    record.delta.raw.uploaded_bytes = uploaded_bytes;
    record.delta.corrupt_bytes = 3;
    record.delta.credited.uploaded_bytes = 2 * uploaded_bytes;
    record
}

fn batch(from: u64, records: &[Record]) -> Batch {
    Batch::new(JOURNAL, from, records.to_vec())
}

#[test]
fn a_batch_is_sent_as_lines_and_noted() {
    let bench = Bench::new();
    bench.site.answer(OK);
    let mut second = record(7);
    second.endpoint = None;
    second.delta.left_bytes = Some(5);
    second.delta.completed = true;
    second.delta.verdict = Some(Verdict::Released);
    second.delta.spent[0] = Spent { scope: Scope::Token, rule: 4, bytes: 6 };
    bench.conn.apply(&batch(10, &[record(5), second])).unwrap();
    let heard = bench.site.hear();
    assert_eq!(heard.line, "POST /hook?a=b HTTP/1.1");
    assert_eq!(heard.header("Content-Type"), Some("application/x-ndjson"));
    assert_eq!(heard.header("Idempotency-Key"), Some("0000000000000bee-10-12"));
    assert_eq!(heard.header("Authorization"), None);
    let first = json!({
        "key": "0000000000000bee-10", "at": 1_700_000_000, "user": 1, "torrent": 2,
        "peer_id": "2d5858303030312d00ff61616161616161616161", "family": "ipv4",
        "ip": "192.0.2.1", "port": 6881, "uploaded": 10, "downloaded": 0,
        "raw_uploaded": 5, "raw_downloaded": 0, "corrupt": 3, "left": null, "seeding": false,
        "seeding_secs": 0, "leeching_secs": 0, "active_secs": 0,
        "began": false, "ended": false, "completed": false, "reset": false, "held": false, "verdict": null,
        "client_uploaded": 5, "client_downloaded": 9, "spent": [],
    });
    let lines = heard.lines();
    assert_eq!(lines[0], first);
    assert_eq!((&lines[1]["ip"], &lines[1]["port"]), (&Value::Null, &Value::Null));
    assert_eq!((&lines[1]["left"], &lines[1]["completed"]), (&json!(5), &json!(true)));
    assert_eq!(lines[1]["verdict"], "released");
    assert_eq!(lines[1]["spent"], json!([{"factor": 4, "scope": "token", "bytes": 6}]));
    assert_eq!(bench.conn.applied(JOURNAL).unwrap(), Some(12));
    assert_eq!(bench.sums(), 12);
}

#[test]
fn a_site_that_fails_hears_the_same_batch_again_and_it_is_counted_once() {
    let mut bench = Bench::new();
    let both = batch(0, &[record(5), record(7)]);
    for answer in [
        "500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        "503 Service Unavailable\r\nContent-Length: 4\r\n\r\nsoon",
        "429 Too Many Requests\r\nContent-Length: 0\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        bench.site.answer(answer);
        let error = bench.conn.apply(&both).unwrap_err();
        assert!(error.is_transient(), "{answer}: {error}");
        assert_eq!((bench.conn.applied(JOURNAL).unwrap(), bench.sums()), (None, 0));
        assert_eq!(bench.site.hear().header("Idempotency-Key"), Some("0000000000000bee-0-2"));
        // The next one may come after a restart as well.
        bench.again();
    }
    bench.site.answer(OK);
    bench.conn.apply(&both).unwrap();
    let heard = bench.site.hear();
    assert_eq!(heard.header("Idempotency-Key"), Some("0000000000000bee-0-2"));
    assert_eq!(heard.keys(), ["0000000000000bee-0", "0000000000000bee-1"]);
    assert_eq!(bench.sums(), 12);
    assert!(matches!(
        bench.conn.apply(&both),
        Err(DriverError::OutOfOrder { applied: 2, from: 0 })
    ));
    assert!(bench.site.hears_nothing(), "what was applied is not sent");
}

#[test]
fn a_batch_that_was_cut_otherwise_has_the_same_keys_line_by_line() {
    let mut bench = Bench::new();
    // The site takes it, and the tracker does not hear that.
    bench.site.answer("500 x\r\nContent-Length: 0\r\n\r\n");
    bench.conn.apply(&batch(3, &[record(1), record(2)])).unwrap_err();
    bench.again();
    bench.site.answer(OK);
    bench.conn.apply(&batch(3, &[record(1), record(2), record(4)])).unwrap();
    let (first, second) = (bench.site.hear(), bench.site.hear());
    assert_eq!(second.keys()[..2], first.keys());
    assert_ne!(first.header("Idempotency-Key"), second.header("Idempotency-Key"));
    assert_eq!(first.lines(), second.lines()[..2]);
}

#[test]
fn a_site_that_is_away_or_slow_is_not_available() {
    let bench = Bench::new();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = open(Webhook::new(), &format!("http://{nobody}/"), &bench.folder);
    assert!(away.apply(&batch(0, &[record(1)])).unwrap_err().is_transient());

    let slow = Bench::with(Webhook { timeout: Duration::from_millis(300) });
    slow.site.answers.send(None).unwrap();
    let error = slow.conn.apply(&batch(0, &[record(1)])).unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(slow.conn.applied(JOURNAL).unwrap(), None);
}

#[test]
fn what_is_the_fault_of_the_lines_is_refused_and_what_is_not_is_told() {
    let bench = Bench::new();
    for (answer, refused) in [
        ("400 Bad Request\r\nContent-Length: 12\r\n\r\nno\x07such user", true),
        ("413 Payload Too Large\r\nContent-Length: 0\r\n\r\n", true),
        ("422 Unprocessable Content\r\nContent-Length: 0\r\n\r\n", true),
        ("401 Unauthorized\r\nContent-Length: 0\r\n\r\n", false),
        ("404 Not Found\r\nContent-Length: 0\r\n\r\n", false),
        ("302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", false),
        ("307 x\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n", false),
    ] {
        bench.site.answer(answer);
        let error = bench.conn.apply(&batch(0, &[record(1)])).unwrap_err();
        bench.site.hear();
        assert!(!error.is_transient(), "{error}");
        assert_eq!(matches!(error, DriverError::Refused(_)), refused, "{error}");
        assert!(error.to_string().contains(&answer[..3]), "{error}");
        assert_eq!(error.to_string().contains("no such user"), answer.starts_with("400"));
        assert!(bench.site.hears_nothing(), "redirects are not followed");
    }
    assert_eq!(bench.conn.applied(JOURNAL).unwrap(), None);
}

#[test]
fn nothing_of_the_url_but_its_host_is_shown_even_if_the_site_repeats_it() {
    let bench = Bench::new();
    let address = bench.site.address;
    let url = format!("http://t0ken-1:p%40ss-2@{address}/hooks/s3cret-3?key=s3cret-4");
    let settings = DriverSettings {
        url: url.clone(),
        data_dir: bench.folder.path().into(),
        migrate: true,
        ..Default::default()
    };
    let conn = Webhook::new().open(&settings).unwrap();
    let mut told = vec![Webhook::new().status(&settings).unwrap().place];
    for answer in [
        "404 Not Found\r\nContent-Length: 40\r\n\r\nCannot POST /hooks/s3cret-3?key=s3cret-4",
        "403 Forbidden\r\nContent-Length: 24\r\n\r\ns3cret-3 t0ken-1:p@ss-2 ",
        "nonsense s3cret-3\r\n\r\n",
    ] {
        bench.site.answer(answer);
        told.push(conn.apply(&batch(0, &[record(1)])).unwrap_err().to_string());
        assert_eq!(bench.site.hear().line, "POST /hooks/s3cret-3?key=s3cret-4 HTTP/1.1");
    }
    for told in told {
        assert!(told.contains(&address.to_string()), "{told}");
        for secret in ["s3cret", "t0ken", "p@ss", "p%40ss", "/hooks"] {
            assert!(!told.contains(secret), "{secret} is in {told}");
        }
    }
}

#[test]
fn password_of_the_url_is_sent_and_never_shown() {
    let bench = Bench::new();
    let address = bench.site.address;
    for (user, header) in [
        ("sesame", "Bearer sesame"),
        ("a:open%20it", "Basic YTpvcGVuIGl0"),
        ("x:sesame", "Basic eDpzZXNhbWU="),
    ] {
        let conn = open(Webhook::new(), &format!("http://{user}@{address}"), &bench.folder);
        bench.site.answer("403 Forbidden\r\nContent-Length: 0\r\n\r\n");
        let told = conn.apply(&batch(0, &[record(1)])).unwrap_err().to_string();
        let heard = bench.site.hear();
        assert_eq!(heard.line, "POST / HTTP/1.1");
        assert_eq!(heard.header("Authorization"), Some(header));
        assert!(!told.contains("sesame") && !told.contains("open"), "{told}");
        assert!(told.contains(&address.to_string()), "{told}");
    }
}

#[test]
fn positions_without_records_are_noted_and_not_sent() {
    let bench = Bench::new();
    bench.conn.apply(&Batch::given_up(JOURNAL, 0..7)).unwrap();
    assert_eq!(bench.conn.applied(JOURNAL).unwrap(), Some(7));
    assert!(bench.site.hears_nothing());
}

#[test]
fn records_of_the_site_are_kept_as_by_sqlite() {
    use skep_engine::site::{Change, User};
    let mut bench = Bench::new();
    let user = User { id: UserId(3), passkey: "key".into(), ..User::default() };
    bench.conn.change(&[Change::PutUser(user.clone())]).unwrap();
    bench.again();
    let mut loaded = Vec::new();
    bench.conn.load(&mut |change| loaded.push(change)).unwrap();
    assert!(loaded == [Change::PutUser(user)]);
}
