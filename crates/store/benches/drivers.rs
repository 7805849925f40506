//! Deltas a second that a storage takes, and what they cost this process:
//! `cargo bench -p skep-store --bench drivers -- [driver] [url] [seconds] [batch]`.
//!
//! Prints figures and asserts none. Without a url it makes a folder of its own for temporary files, in
//! which it starts a server if the driver needs one, and removes it; with one it leaves behind what it
//! wrote. A server's own cost is not in the figures.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on must stop")]

#[cfg(target_os = "linux")]
#[path = "../tests/servers/mod.rs"]
#[allow(dead_code, reason = "tests need more of it")]
mod servers;

use std::time::{Duration, Instant};

use skep_engine::ledger::{Family, SessionState, TorrentId, Traffic, UserId};
use skep_proto::PeerId;
use skep_store::driver::registry::{DRIVERS, Make, find};
use skep_store::driver::{Batch, Conn, DriverSettings, Record, Totals};

const USERS: u32 = 100_000;
const TORRENTS: u32 = 100_000;

fn main() {
    let words: Vec<_> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let name = if word(0).is_empty() { "sqlite" } else { word(0) };
    let seconds = word(2).parse().unwrap_or(20);
    let batch_records = word(3).parse().unwrap_or(10_000);
    let Some(Make::Driver(driver)) = find(name).map(|row| row.make) else {
        let names: Vec<_> = DRIVERS.iter().map(|row| row.name).collect();
        println!("no driver {name} in this build; there are: {}", names.join(", "));
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    #[cfg(target_os = "linux")]
    let server = if word(1).is_empty() { server(name) } else { None };
    #[cfg(target_os = "linux")]
    let url = server.as_ref().map(|server| server.url(&server.create_database()));
    #[cfg(not(target_os = "linux"))]
    let url: Option<String> = None;
    let settings = DriverSettings {
        url: url.unwrap_or_else(|| word(1).to_owned()),
        data_dir: folder.path().to_owned(),
        migrate: true,
        ..DriverSettings::default()
    };
    let conn = driver.open(&settings).unwrap();
    println!("{name}, {USERS} users, {TORRENTS} torrents, batches of {batch_records}");
    sustained(&*conn, batch_records, Duration::from_secs(seconds));
}

/// A server that waits for the disk, with memory for the tables as a site of this size has it: as they
/// come, servers have 128 MiB.
#[cfg(target_os = "linux")]
fn server(driver: &str) -> Option<servers::Server> {
    let (kind, flags) = match driver {
        "mysql" => (
            servers::Kind::Mariadb,
            ["--innodb-buffer-pool-size=1G", "--innodb-log-file-size=1G"].as_slice(),
        ),
        "postgres" => (
            servers::Kind::Postgres,
            ["-c", "shared_buffers=1GB", "-c", "max_wal_size=8GB"].as_slice(),
        ),
        _ => return None,
    };
    Some(servers::Server::start(kind, servers::Disk::Durable, flags))
}

/// Applies batch after batch, as fast as the storage takes them.
fn sustained(conn: &dyn Conn, batch_records: usize, length: Duration) {
    let (journal, mut position, mut of_one) = (fastrand::u64(..), 0, 0);
    let mut random = fastrand::Rng::with_seed(7);
    let before = conn.totals(Totals::User(UserId(spread(0)))).unwrap().raw.uploaded_bytes;
    let (start, cpu_start) = (Instant::now(), cpu_time());
    let (mut slowest, mut report) = (Duration::ZERO, Duration::from_secs(5));
    let mut reported = 0;
    let mut last = Duration::ZERO;
    while last < length {
        let records: Vec<_> = (0..batch_records).map(|_| record(&mut random, position)).collect();
        let all = records.iter().filter(|record| record.delta.session.user.0 == spread(0));
        of_one += all.map(|record| record.delta.raw.uploaded_bytes).sum::<u64>();
        let began = Instant::now();
        conn.apply(&Batch::new(journal, position, records)).unwrap();
        slowest = slowest.max(began.elapsed());
        position += batch_records as u64;
        last = start.elapsed();
        if last >= report {
            let rate = (position - reported) / 5;
            println!("  after {} s: {rate} deltas/s in the last five", report.as_secs());
            (report, reported) = (report + Duration::from_secs(5), position);
        }
    }
    let (secs, cpu_secs) = (last.as_secs_f64(), (cpu_time() - cpu_start).as_secs_f64());
    println!("{:.0} deltas/s over {secs:.1} s", position as f64 / secs);
    println!("{:.0} deltas per CPU second of this process", position as f64 / cpu_secs);
    println!("{:.0} % of a processor, slowest batch {slowest:.0?}", 100.0 * cpu_secs / secs);
    let after = conn.totals(Totals::User(UserId(spread(0)))).unwrap().raw.uploaded_bytes;
    println!(
        "the busiest user's sum is {}",
        if after - before == of_one { "right" } else { "WRONG" }
    );
}

/// What a session of a random user in a random torrent moved; the n-th user is n times as rare as the
/// first one, and so is the n-th torrent.
fn record(random: &mut fastrand::Rng, position: u64) -> Record {
    let (user, torrent) = (spread(rank(random, USERS)), spread(rank(random, TORRENTS)));
    let mut peer_id = *b"-qB4650-............";
    peer_id[8..12].copy_from_slice(&user.to_be_bytes());
    peer_id[12..16].copy_from_slice(&torrent.to_be_bytes());
    let state = SessionState {
        torrent: TorrentId(torrent),
        user: UserId(user),
        peer_id: PeerId(peer_id),
        peer_key: user,
        counters: Traffic { uploaded_bytes: position << 14, downloaded_bytes: position << 10 },
        corrupt_bytes: 0,
        family: Family::Ipv4,
        seeds: true,
        open: true,
        pass_counted: true,
    };
    let endpoint = (user.to_be_bytes(), 6881).into();
    let mut record = Record::of_session(state, 1_700_000_000 + position / 50_000, Some(endpoint));
    let moved = Traffic { uploaded_bytes: random.u64(..1 << 30), downloaded_bytes: 1 << 20 };
    (record.delta.raw, record.delta.credited) = (moved, moved);
    (record.delta.seeding_secs, record.delta.active_secs) = (1800, 1800);
    record
}

fn rank(random: &mut fastrand::Rng, count: u32) -> u32 {
    (f64::from(count).powf(random.f64()) as u32 - 1).min(count - 1)
}

/// Numbers of neighbours in rank are far apart: who is busy has nothing to do with who came first.
fn spread(rank: u32) -> u32 {
    (u64::from(rank) * 2_654_435_761 % 4_294_967_291) as u32 % 10_000_000
}

/// What this process used of the processors so far, where Linux tells it in hundredths of a second.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the process, in parentheses, may hold blanks.
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
    let ticks: u64 = fields.take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(10 * ticks)
}
