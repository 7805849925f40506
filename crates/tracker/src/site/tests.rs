//! The site against naive maps, factors over time, and keys that are made for one torrent.
//!
//! What gates make of it is tested over sockets.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use fastrand::Rng;
use skep_engine::ledger::keys::{KeyClaim, derive, derive_xbt};
use skep_engine::ledger::{Budget, Rule};
use skep_engine::site::{Target, TorrentGroupId, TorrentState};
use skep_store::driver::Conn;
use skep_store::driver::testing::{Failing, Memory};

use super::*;
use crate::config::{Config, Keys};

fn site() -> (Site, Clock) {
    let clock = Clock::start();
    (Site::new(&Seed::new(1), &clock), clock)
}

fn user(id: u32, passkey: &str) -> User {
    User { id: UserId(id), passkey: passkey.into(), ..User::default() }
}

fn torrent(id: u32, byte: u8) -> Torrent {
    Torrent { id: TorrentId(id), info_hash: InfoHash([byte; 20]), ..Torrent::default() }
}

fn member() -> Member {
    Member {
        user: UserId(1),
        torrent: TorrentId(2),
        group: GroupId(3),
        torrent_group: TorrentGroupId(4),
        of_user: (Permille::ONE, Permille::ONE),
        of_group: (Permille::ONE, Permille::ONE),
        of_torrent: (Permille::ONE, Permille::ONE),
        slots: u32::MAX,
        peers_max: u32::MAX,
        hidden: false,
    }
}

/// What is found by number and by key; of two with one key the later one by key.
#[derive(Default)]
struct Naive<R> {
    records: HashMap<u32, R>,
    keys: HashMap<Vec<u8>, u32>,
}

impl<R: skep_engine::site::Record> Naive<R> {
    fn remove(&mut self, number: u32) {
        if let Some(old) = self.records.remove(&number)
            && self.keys.get(old.key()) == Some(&number)
        {
            self.keys.remove(old.key());
            let twins = self.records.values().filter(|twin| twin.key() == old.key());
            if let Some(number) = twins.map(|twin| twin.number()).max()
                && !old.key().is_empty()
            {
                self.keys.insert(old.key().into(), number);
            }
        }
    }

    fn put(&mut self, record: R) {
        self.remove(record.number());
        if !record.key().is_empty() {
            self.keys.insert(record.key().into(), record.number());
        }
        self.records.insert(record.number(), record);
    }

    fn by_key(&self, key: &[u8]) -> Option<&R> {
        self.records.get(self.keys.get(key)?)
    }
}

#[test]
fn a_site_finds_what_naive_maps_find() {
    for number in 0..200 {
        let (mut rng, (site, _)) = (Rng::with_seed(number), site());
        let (mut users, mut torrents) = (Naive::default(), Naive::default());
        for _ in 0..100 {
            let (id, key) = (rng.u32(..20), rng.u8(..12));
            let passkey = if key == 0 { String::new() } else { format!("passkey {key}") };
            match rng.u8(..6) {
                0 => {
                    users.remove(id);
                    site.apply(Change::RemoveUser(UserId(id)));
                }
                1 => {
                    torrents.remove(id);
                    site.apply(Change::RemoveTorrent(TorrentId(id)));
                }
                2 | 3 => {
                    users.put(user(id, &passkey));
                    site.apply(Change::PutUser(user(id, &passkey)));
                }
                _ => {
                    torrents.put(torrent(id, key));
                    site.apply(Change::PutTorrent(torrent(id, key)));
                }
            }
        }
        assert_eq!(site.users_count(), users.records.len());
        assert_eq!(site.torrents_count(), torrents.records.len());
        for id in 0..20 {
            assert_eq!(site.user(UserId(id)).as_ref(), users.records.get(&id));
            assert_eq!(site.torrent(TorrentId(id)).as_ref(), torrents.records.get(&id));
        }
        for key in 0..12 {
            let passkey = format!("passkey {key}");
            assert_eq!(site.user_by_passkey(&passkey).as_ref(), users.by_key(passkey.as_bytes()));
            let found = site.torrent_by_hash(&InfoHash([key; 20]));
            assert_eq!(found.as_ref(), torrents.by_key(&[key; 20]));
        }
        assert_eq!(site.user_by_passkey(""), None);
        let mut visited = 0;
        site.for_each_user(&mut |user| visited += usize::from(users.records[&user.id.0] == *user));
        assert_eq!(visited, users.records.len());
    }
}

#[test]
fn a_user_whose_passkey_changes_is_there_all_the_time() {
    let (site, _) = site();
    site.apply(Change::PutUser(user(1, "first")));
    std::thread::scope(|scope| {
        let changing = scope.spawn(|| {
            for number in 0..2000 {
                site.apply(Change::PutUser(user(1, &format!("key {number}"))));
            }
        });
        while !changing.is_finished() {
            assert!(site.user(UserId(1)).is_some());
        }
    });
    assert_eq!(site.user_by_passkey("key 1999").map(|user| user.id), Some(UserId(1)));
    assert_eq!(site.user_by_passkey("key 1998"), None);
}

#[test]
fn a_group_says_what_its_users_do_not() {
    let (site, _) = site();
    let group = Group {
        id: GroupId(3),
        slots: Some(5),
        peers_max: Some(2),
        may_leech: false,
        upload: Permille(2000),
        ..Group::default()
    };
    site.apply(Change::PutUser(User { group: GroupId(3), slots: Some(9), ..user(1, "a") }));
    let account = || site.account_by_passkey(b"a").unwrap();
    assert_eq!((account().slots, account().peers_max), (9, u32::MAX));
    site.apply(Change::PutGroup(group));
    let found = account();
    assert_eq!((found.slots, found.peers_max, found.may_leech), (9, 2, false));
    assert_eq!(found.of_group, (Permille(2000), Permille::ONE));
    site.apply(Change::RemoveGroup(GroupId(3)));
    assert!(account().may_leech && account().of_group.0 == Permille::ONE);
}

#[test]
fn clients_and_bans_come_and_go() {
    let (site, _) = site();
    let id = |text: &[u8; 20]| skep_proto::PeerId(*text);
    let (good, other) = (id(b"-TR4100-aaaaaaaaaaaa"), id(b"-XX0001-aaaaaaaaaaaa"));
    let client = |prefix: &str, allowed| Client { prefix: prefix.into(), allowed };
    let allows = |id| site.commons.allows_client(id);
    assert!(allows(&good) && allows(&other));
    site.apply(Change::PutClient(client("-XX", false)));
    assert!(allows(&good) && !allows(&other));
    site.apply_all([Change::RemoveClient("-XX".into()), Change::PutClient(client("-TR", true))]);
    assert!(allows(&good) && !allows(&other));
    site.apply(Change::PutClient(client("-TR", false)));
    assert!(!allows(&good) && allows(&other), "replaced");
    let (net, inside) = ("192.0.2.0".parse().unwrap(), "192.0.2.9".parse().unwrap());
    let ban = Ban { address: net, prefix_len: 24, reason: "spam".into() };
    site.apply(Change::PutBan(ban.clone()));
    assert!(site.commons.bans_address(inside));
    assert_eq!(site.bans(), [ban]);
    site.apply(Change::RemoveBan(net, 24));
    assert!(!site.commons.bans_address(inside) && site.bans().is_empty());
}

#[test]
fn what_is_loaded_comes_into_force_even_if_loading_fails() {
    let (site, _) = site();
    let loaded = site.load(|take| {
        take(Change::PutGroup(Group { id: GroupId(1), ..Group::default() }));
        take(Change::PutUser(user(1, "a")));
        Err("lost the connection")
    });
    assert_eq!(loaded, Err("lost the connection"));
    assert_eq!((site.groups().len(), site.users_count()), (1, 1));
}

/// What the ledger is told: number, download factor, and from when until when.
fn told(site: &Site, now: Tick) -> Vec<(u32, u32, u32, u32)> {
    site.with_terms(&member(), now, |terms| {
        let told = |it: &Rule<'_>| (it.id, it.download.0, it.from.0, it.until.0);
        terms.rules.iter().map(told).collect()
    })
}

fn free(id: u32, target: Target) -> Factor {
    Factor { id: FactorId(id), target, download: Permille(0), ..Factor::default() }
}

fn budget_left(site: &Site, now: Tick) -> Option<u64> {
    site.with_terms(&member(), now, |terms| terms.rules[0].budget.map(Budget::left_bytes))
}

#[test]
fn factors_begin_and_end_by_the_clock() {
    let (site, clock) = site();
    let start = clock.unix_secs_at_start();
    let put = |factor| site.apply(Change::PutFactor(factor));
    put(free(1, Target::Site));
    put(Factor {
        starts_unix_secs: Some(start + 100),
        ends_unix_secs: Some(start + 200),
        ..free(2, Target::User(UserId(1)))
    });
    // Ended shortly before the process began, and long before it.
    let ends_unix_secs = Some(start - 60);
    put(Factor { ends_unix_secs, ..free(3, Target::Torrent(TorrentId(2))) });
    let ends_unix_secs = Some(start - 7200);
    put(Factor { ends_unix_secs, ..free(4, Target::Torrent(TorrentId(2))) });
    put(free(5, Target::Token(UserId(1), TorrentId(3))));
    let forever = u32::MAX;
    assert_eq!(told(&site, Tick(99)), [(3, 0, 0, 0), (1, 0, 0, forever)]);
    let all = [(3, 0, 0, 0), (2, 0, 100, 200), (1, 0, 0, forever)];
    assert_eq!(told(&site, Tick(100)), all);
    assert_eq!(told(&site, Tick(300)), all, "those who were silent must hear of it");
}

#[test]
fn a_factor_that_changes_or_goes_is_split_at_that_instant() {
    let (site, clock) = site();
    let put = |factor| site.apply(Change::PutFactor(factor));
    for target in [Target::Site, Target::User(UserId(1))] {
        let now = clock.now().0;
        put(free(1, target));
        assert_eq!(told(&site, Tick(now)), [(1, 0, now, u32::MAX)]);
        clock.advance(1000);
        let half = Factor { download: Permille(500), ..free(1, target) };
        put(half.clone());
        let changed = clock.now().0;
        let told_then = told(&site, Tick(changed));
        assert_eq!(told_then, [(1, 0, now, changed), (1, 500, changed, u32::MAX)]);
        put(half.clone());
        assert_eq!(told(&site, Tick(changed)), told_then, "nothing changed");
        clock.advance(1000);
        site.apply(Change::RemoveFactor(FactorId(1)));
        assert_eq!(site.factor(FactorId(1)), None);
        let gone = clock.now().0;
        let told_then = told(&site, Tick(gone));
        assert_eq!(told_then, [(1, 0, now, changed), (1, 500, changed, gone)]);
        clock.advance(skep_engine::site::RULE_KEPT_SECS);
        assert_eq!(told(&site, clock.now()), []);
        // Forgotten for good with the next change.
        put(free(9, Target::User(UserId(77))));
        site.apply(Change::RemoveFactor(FactorId(9)));
    }
}

#[test]
fn what_was_spent_of_a_budget_stays_spent_unless_the_site_says_otherwise() {
    let (site, clock) = site();
    let token =
        Factor { budget_bytes: Some(1000), ..free(1, Target::Token(UserId(1), TorrentId(2))) };
    let put = |factor: &Factor| site.apply(Change::PutFactor(factor.clone()));
    put(&token);
    site.with_terms(&member(), clock.now(), |terms| terms.rules[0].budget.unwrap().set(300));
    assert_eq!(site.factor(FactorId(1)).unwrap().budget_bytes, Some(300));
    let amend = |factor: &Factor| site.apply(Change::AmendFactor(factor.clone()));
    amend(&token);
    assert_eq!(budget_left(&site, clock.now()), Some(300), "nothing is refilled");
    clock.advance(10);
    amend(&Factor { upload: Permille(2000), ..token.clone() });
    let left = site.with_terms(&member(), clock.now(), |terms| {
        terms.rules.iter().map(|rule| rule.budget.unwrap().left_bytes()).collect::<Vec<_>>()
    });
    assert_eq!(left, [300, 300], "nor does another factor");
    let more = Factor { budget_bytes: Some(5000), upload: Permille(2000), ..token };
    put(&more);
    assert_eq!(budget_left(&site, clock.now()), Some(5000));
}

#[test]
fn a_look_at_the_storage_gives_nothing_back_that_was_spent_meanwhile() {
    let (site, clock) = site();
    let memory = Memory::new();
    let token =
        Factor { budget_bytes: Some(1000), ..free(1, Target::Token(UserId(1), TorrentId(2))) };
    memory.change(&[Change::PutFactor(token.clone())]).unwrap();
    let books = Books::alone(Arc::new(site), Some(Arc::new(memory.clone())));
    let left = || books.site().factor(FactorId(1)).unwrap().budget_bytes;
    let look = |settled: &dyn Fn() -> Option<u64>| books.refresh(settled, true).unwrap();
    look(&|| Some(0));
    let spend = |left| {
        let site = books.site();
        site.with_terms(&member(), clock.now(), |terms| terms.rules[0].budget.unwrap().set(left));
    };
    spend(300);
    assert_eq!(look(&|| None), Refreshed::Same, "the storage has not heard of it");
    let counted = Cell::new(0);
    let counting = || Some(counted.replace(counted.get() + 1));
    assert_eq!(look(&counting), Refreshed::Same, "something was counted during the look");
    assert_eq!(left(), Some(300));
    memory.change(&[Change::PutFactor(Factor { upload: Permille(2000), ..token })]).unwrap();
    assert!(matches!(look(&|| None), Refreshed::Changed(1)));
    assert_eq!(left(), Some(300), "the rest of it counts");
    assert!(matches!(look(&|| Some(1)), Refreshed::Changed(1)));
    assert_eq!(left(), Some(1000), "another wrote it there");
}

#[test]
fn a_factor_that_is_put_holds_from_then_and_one_that_is_loaded_from_the_beginning() {
    let (site, clock) = site();
    clock.advance(500);
    let loaded = site.load(|take| {
        take(Change::PutFactor(free(1, Target::Site)));
        Ok::<_, ()>(())
    });
    assert_eq!(loaded, Ok(()));
    let now = clock.now();
    site.apply(Change::PutFactor(free(2, Target::User(UserId(1)))));
    let starts_unix_secs = Some(clock.unix_secs_at_start() + 100);
    site.apply(Change::PutFactor(Factor {
        starts_unix_secs,
        ..free(3, Target::Group(GroupId(3)))
    }));
    let forever = u32::MAX;
    let expected = [(2, 0, now.0, forever), (3, 0, 100, forever), (1, 0, 0, forever)];
    assert_eq!(told(&site, clock.now()), expected);
}

#[test]
fn what_a_record_said_holds_for_what_was_moved_before_it_was_changed() {
    let (site, clock) = site();
    let worth = |download| (Permille::ONE, Permille(download));
    let told = |member: &Member| {
        let told = |it: &Rule<'_>| (it.download.0, it.from.0, it.until.0);
        site.with_terms(member, clock.now(), |terms| {
            terms.rules.iter().map(told).collect::<Vec<_>>()
        })
    };
    let user = |download| User { download: Permille(download), ..user(1, "a") };
    let torrent = |download| Torrent { download: Permille(download), ..torrent(2, 2) };
    let group =
        |download| Group { id: GroupId(3), download: Permille(download), ..Group::default() };
    let forever = u32::MAX;
    for kind in 0..3 {
        let put = |download| {
            let change = match kind {
                0 => Change::PutUser(user(download)),
                1 => Change::PutTorrent(torrent(download)),
                _ => Change::PutGroup(group(download)),
            };
            site.apply(change);
            let mut member = member();
            let own = match kind {
                0 => &mut member.of_user,
                1 => &mut member.of_torrent,
                _ => &mut member.of_group,
            };
            *own = worth(download);
            member
        };
        clock.advance(100);
        assert_eq!(told(&put(0)), [(0, 0, forever)]);
        clock.advance(100);
        let first = clock.now().0;
        assert_eq!(told(&put(1000)), [(0, 0, first)], "free no more");
        clock.advance(100);
        let second = clock.now().0;
        assert_eq!(told(&put(500)), [(0, 0, first), (500, second, forever)]);
        clock.advance(skep_engine::site::RULE_KEPT_SECS);
        assert_eq!(told(&put(500)), [(500, second, forever)]);
    }
}

#[test]
fn own_factors_of_records_are_rules_as_well() {
    let (site, _) = site();
    assert_eq!(told(&site, Tick(9)), []);
    let member = Member { of_user: (Permille(2000), Permille(500)), ..member() };
    let combine = site.with_terms(&member, Tick(9), |terms| {
        assert_eq!(terms.rules.len(), 1);
        assert_eq!((terms.rules[0].id, terms.rules[0].upload), (1, Permille(2000)));
        terms.combine
    });
    assert_eq!(combine, Combine::Best);
    for combine in [Combine::First, Combine::Product, Combine::Best] {
        site.set_combine(combine);
        site.with_terms(&member, Tick(9), |terms| assert_eq!(terms.combine, combine));
    }
}

fn keys(plain: bool, site_key: &str, xbt_private_key: &str) -> KeyRing {
    let (site_key, xbt_private_key) = (site_key.into(), xbt_private_key.into());
    KeyRing::new(&Keys { plain, site_key, xbt_private_key })
}

fn hmac_key(site_key: &str, claim: &KeyClaim, salt: u32) -> [u8; 32] {
    use hmac::{Hmac, KeyInit, Mac};
    derive(claim, salt, |parts| {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(site_key.as_bytes()).unwrap();
        mac.update(&parts.concat());
        mac.finalize().into_bytes().into()
    })
}

fn xbt_key(private_key: &str, claim: &KeyClaim) -> [u8; 32] {
    derive_xbt(claim, private_key.as_bytes(), |parts| {
        sha1_smol::Sha1::from(parts.concat()).digest().bytes()
    })
}

#[test]
fn keys_hold_for_one_user_in_one_torrent_until_they_are_void() {
    let (site, _) = site();
    let someone = User { key_version: 3, ..user(7, "plain") };
    site.apply(Change::PutUser(someone.clone()));
    site.apply(Change::PutTorrent(Torrent { key_salt: 5, ..torrent(1, 1) }));
    site.apply(Change::PutTorrent(torrent(2, 2)));
    let ring = keys(false, "site key", "xbt key");
    let of = |key: &[u8], byte| {
        let info_hash = InfoHash([byte; 20]);
        ring.account(&site, key, Some(&info_hash)).map(|account| account.user.0)
    };
    let claim = |version| KeyClaim { user: UserId(7), version, info_hash: InfoHash([1; 20]) };
    let (ours, xbt) = (hmac_key("site key", &claim(3), 5), xbt_key("xbt key", &claim(3)));
    for key in [ours, xbt] {
        assert_eq!(of(&key, 1), Some(7));
        assert_eq!(of(&key, 2), None, "another torrent");
        assert_eq!(ring.account(&site, &key, None), None, "no torrent");
        assert_eq!(keys(true, "", "").account(&site, &key, Some(&InfoHash([1; 20]))), None);
    }
    for wrong in [
        hmac_key("another key", &claim(3), 5),
        hmac_key("site key", &claim(2), 5),
        hmac_key("site key", &claim(3), 6),
        hmac_key("site key", &KeyClaim { user: UserId(8), ..claim(3) }, 5),
        xbt_key("another key", &claim(3)),
        xbt_key("xbt key", &claim(4)),
    ] {
        assert_eq!(of(&wrong, 1), None);
    }
    assert_eq!(of(b"plain", 1), None, "plain ones do not count here");
    assert_eq!(keys(true, "", "").account(&site, b"plain", None).map(|it| it.user.0), Some(7));

    site.apply(Change::PutTorrent(Torrent { key_salt: 6, ..torrent(1, 1) }));
    assert_eq!((of(&ours, 1), of(&xbt, 1)), (None, Some(7)), "XBT knows no salt");
    assert_eq!(of(&hmac_key("site key", &claim(3), 6), 1), Some(7));
    site.apply(Change::PutUser(User { key_version: 4, ..someone }));
    assert_eq!(of(&xbt, 1), None);
}

#[test]
fn secrets_are_shown_to_nobody() {
    let ring = keys(true, "hidden-1 of the site", "hidden-2");
    let (site, _) = site();
    site.apply(Change::PutUser(user(1, "hidden-3")));
    let config = Config {
        keys: Keys {
            plain: true,
            site_key: "hidden-1 of the site".into(),
            xbt_private_key: "hidden-2".into(),
        },
        ..Config::default()
    };
    let shown = format!("{ring:?} {site:?} {config:?}");
    assert!(!shown.contains("hidden-"), "{shown}");
}

#[test]
fn a_reason_reaches_who_asks() {
    let (site, _) = site();
    let reason: Option<Box<str>> = Some("dupe".into());
    site.apply(Change::PutTorrent(Torrent {
        state: TorrentState::Deleted,
        reason,
        ..torrent(1, 1)
    }));
    let listing = site.listing(&InfoHash([1; 20]), &mut Reason::default()).unwrap();
    assert_eq!(listing.state, TorrentState::Deleted);
    assert_eq!(site.listing(&InfoHash([2; 20]), &mut Reason::default()), None);
}

#[test]
fn a_change_whose_answer_was_lost_is_in_force_before_the_next_one() {
    let memory = Memory::new();
    let books = Books::alone(Arc::new(site().0), Some(Arc::new(memory.clone())));
    let banned = Torrent { state: TorrentState::Banned, ..torrent(1, 1) };
    books.change(vec![Change::PutTorrent(torrent(1, 1)), Change::PutUser(user(1, "a"))]).unwrap();
    memory.set_failing(Failing::AfterCommit(1));
    let changes = vec![Change::PutTorrent(banned.clone()), Change::PutUser(user(2, "b"))];
    books.change(changes).unwrap_err();
    let seen = books.change_by(|site| {
        Ok::<_, ChangeError>((vec![Change::RemoveUser(UserId(1))], site.user(UserId(2)).is_some()))
    });
    assert!(seen.unwrap(), "it was decided without what the storage holds");
    assert_eq!(books.site().torrent(TorrentId(1)), Some(banned));
    books.settle().unwrap();
    assert!(!books.site().serves(&InfoHash([1; 20])));
    memory.set_failing(Failing::Midway);
    books.change(vec![Change::PutUser(user(3, "c"))]).unwrap_err();
    memory.set_failing(Failing::Never);
    books.settle().unwrap();
    assert_eq!(books.site().user(UserId(3)).map(|user| user.id), None, "it was not taken");
}

#[test]
fn users_of_a_removed_group_are_in_none_as_in_the_storage() {
    let memory = Memory::new();
    let books = Books::alone(Arc::new(site().0), Some(Arc::new(memory.clone())));
    let group = |id| Change::PutGroup(Group { id: GroupId(id), ..Group::default() });
    let member = |id, of| Change::PutUser(User { group: GroupId(of), ..user(id, "") });
    books.change(vec![group(3), group(4), member(1, 3), member(2, 4)]).unwrap();
    books.change(vec![Change::RemoveGroup(GroupId(3))]).unwrap();
    let of = |id| books.site().user(UserId(id)).unwrap().group.0;
    assert_eq!((of(1), of(2)), (0, 4));
    assert_eq!(books.refresh(&|| Some(0), true).unwrap(), Refreshed::Same);
}

#[test]
fn of_two_torrents_with_one_info_hash_the_served_one_is_found() {
    let (site, _) = site();
    let banned = |id| Torrent { state: TorrentState::Banned, ..torrent(id, 1) };
    let found = || site.torrent_by_hash(&InfoHash([1; 20])).map(|torrent| torrent.id.0);
    site.apply_all([Change::PutTorrent(torrent(1, 1)), Change::PutTorrent(banned(2))]);
    assert_eq!(found(), Some(1));
    site.apply(Change::PutTorrent(torrent(3, 1)));
    site.apply(Change::PutTorrent(banned(3)));
    assert_eq!(found(), Some(1), "it is banned itself now");
    site.apply(Change::RemoveTorrent(TorrentId(1)));
    assert_eq!(found(), Some(3), "the others are there still");
    site.apply(Change::PutTorrent(torrent(3, 2)));
    assert_eq!(found(), Some(2));
}

#[test]
fn a_torrent_is_served_while_a_record_of_it_is() {
    let memory = Memory::new();
    let books = Books::alone(Arc::new(site().0), Some(Arc::new(memory)));
    // Two rows of a table of the site's own.
    books.site().apply_all([Change::PutTorrent(torrent(1, 1)), Change::PutTorrent(torrent(2, 1))]);
    books.conn().unwrap().change(&[Change::PutTorrent(torrent(1, 1))]).unwrap();
    assert_eq!(books.refresh(&|| Some(0), true).unwrap(), Refreshed::Changed(1));
    assert!(books.site().serves(&InfoHash([1; 20])));
    books.conn().unwrap().change(&[Change::RemoveTorrent(TorrentId(1))]).unwrap();
    assert_eq!(books.refresh(&|| Some(0), true).unwrap(), Refreshed::Changed(1));
    assert!(!books.site().serves(&InfoHash([1; 20])));
}
