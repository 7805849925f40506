//! Tables of a site against naive maps, and the order in which factors are heard.
//!
//! Locks, files and gates are tested elsewhere.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;
use skep_engine::ledger::{Budget, Combine, RULES_MAX, Scope};
use skep_engine::site::{
    Clause, Directory, Factor, FactorId, FactorTable, GroupId, Heard, Member, Permille, Place,
    RULE_KEPT_SECS, Record, Table, Target, TorrentGroupId, TorrentId, User, UserId,
};
use skep_engine::{Seed, Tick};

#[derive(Clone, Debug)]
enum Step {
    Put(u32, u8),
    Remove(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few numbers and keys, so that they meet; key 0 is an empty one.
    let step = prop_oneof![
        3 => (0..12u32, 0..8u8).prop_map(|(number, key)| Step::Put(number, key)),
        1 => (0..12u32).prop_map(Step::Remove),
    ];
    prop::collection::vec(step, 0..80)
}

fn user(number: u32, key: u8) -> User {
    let passkey = if key == 0 { String::new() } else { format!("passkey-{key}") };
    User { id: UserId(number), passkey: passkey.into(), ..User::default() }
}

/// Everything by number, and which number a key leads to.
#[derive(Default)]
struct Naive {
    users: HashMap<u32, User>,
    keys: HashMap<Box<str>, u32>,
}

impl Naive {
    fn forget(&mut self, number: u32) {
        if let Some(old) = self.users.remove(&number)
            && self.keys.get(&old.passkey) == Some(&number)
        {
            self.keys.remove(&old.passkey);
        }
    }

    fn put(&mut self, user: User) {
        self.forget(user.id.0);
        if !user.passkey.is_empty() {
            self.keys.insert(user.passkey.clone(), user.id.0);
        }
        self.users.insert(user.id.0, user);
    }
}

proptest! {
    #[test]
    fn a_table_finds_what_a_naive_map_finds(steps in steps()) {
        let seed = Seed::new(1);
        let (mut table, mut directory) = (Table::new(seed.clone()), Directory::new(seed.clone()));
        let mut naive = Naive::default();
        for step in steps {
            match step {
                Step::Put(number, key) => {
                    let user = user(number, key);
                    match directory.get(number) {
                        Some(place) => drop(table.replace(place.slot(), user.clone())),
                        None => directory.set(number, Place::new(7, table.insert(user.clone()))),
                    }
                    naive.put(user);
                }
                Step::Remove(number) => {
                    let removed = directory.remove(number).and_then(|it| table.remove(it.slot()));
                    prop_assert_eq!(removed.as_ref(), naive.users.get(&number));
                    naive.forget(number);
                }
            }
            prop_assert_eq!(table.len(), naive.users.len());
            prop_assert_eq!(table.iter().count(), naive.users.len());
            for number in 0..12 {
                let place = directory.get(number);
                prop_assert!(place.is_none_or(|place| place.table() == 7));
                let found = place.and_then(|place| table.get(place.slot()));
                prop_assert_eq!(found, naive.users.get(&number));
            }
            for key in 0..8 {
                let user = user(0, key);
                let key = user.key();
                let found = table.find(seed.hash(key), key).map(Record::number);
                match naive.keys.get(&user.passkey) {
                    Some(latest) => prop_assert_eq!(found, Some(*latest)),
                    // Whom it led to is gone: then to any other who has it.
                    None => {
                        let others = naive.users.values().filter(|it| it.key() == user.key());
                        let others: Vec<_> = others.map(Record::number).collect();
                        let has_key = !key.is_empty() && !others.is_empty();
                        prop_assert_eq!(found.is_some(), has_key);
                        prop_assert!(found.is_none_or(|found| others.contains(&found)));
                    }
                }
            }
        }
    }
}

const MEMBER: Member = Member {
    user: UserId(1),
    torrent: TorrentId(2),
    group: GroupId(3),
    torrent_group: TorrentGroupId(4),
    of_user: (Permille(1100), Permille::ONE),
    of_group: (Permille(1200), Permille::ONE),
    of_torrent: (Permille(1300), Permille::ONE),
    slots: u32::MAX,
    peers_max: u32::MAX,
    hidden: false,
};

fn clause(id: u32, download: u32, until: u32) -> Clause {
    let factor = Factor { id: FactorId(id), download: Permille(download), ..Factor::default() };
    Clause::new(&factor, Tick(0), Tick(until), None)
}

fn heard(table: &FactorTable, now: u32) -> Vec<(Scope, u32)> {
    let mut heard = Heard::default();
    heard.collect(&MEMBER, Tick(now), |target, visit| table.get(target).iter().for_each(visit));
    heard.terms(Combine::First, |terms| {
        terms.rules.iter().map(|rule| (rule.scope, rule.id)).collect()
    })
}

#[test]
fn the_nearest_rule_is_heard_first() {
    let mut table = FactorTable::new(Seed::new(1));
    assert_eq!(heard(&table, 9), [(Scope::Torrent, 2), (Scope::User, 1), (Scope::Group, 3)]);
    table.add(Target::Site, clause(10, 0, 99));
    table.add(Target::TorrentGroup(TorrentGroupId(4)), clause(11, 0, 99));
    table.add(Target::Token(UserId(1), TorrentId(2)), clause(12, 0, 99));
    table.add(Target::Torrent(TorrentId(2)), clause(13, 500, 99));
    table.add(Target::Torrent(TorrentId(2)), Clause { neutral: true, ..clause(14, 1000, 99) });
    // For others.
    table.add(Target::Token(UserId(2), TorrentId(2)), clause(15, 0, 99));
    table.add(Target::User(UserId(2)), clause(16, 0, 99));
    table.add(Target::Group(GroupId(4)), clause(17, 0, 99));
    let expected = [
        (Scope::Token, 12),
        (Scope::Torrent, 14),
        (Scope::Torrent, 13),
        (Scope::Torrent, 2),
        (Scope::TorrentGroup, 11),
        (Scope::User, 1),
        (Scope::Group, 3),
        (Scope::Site, 10),
    ];
    assert_eq!(heard(&table, 9), expected);
}

#[test]
fn a_rule_that_ended_is_heard_until_all_came_back() {
    let mut table = FactorTable::new(Seed::new(1));
    table.add(Target::Site, clause(10, 0, 99));
    table.add(Target::Site, Clause { from: Tick(200), ..clause(11, 0, 300) });
    let of_site = |table: &FactorTable, now| {
        let heard = heard(table, now).into_iter();
        heard.filter(|(scope, _)| *scope == Scope::Site).map(|(_, id)| id).collect::<Vec<_>>()
    };
    assert_eq!(of_site(&table, 99), [10]);
    assert_eq!(of_site(&table, 200), [10, 11]);
    assert_eq!(of_site(&table, 98 + RULE_KEPT_SECS), [10, 11]);
    assert_eq!(of_site(&table, 99 + RULE_KEPT_SECS), [11]);
    assert!(table.end(Target::Site, FactorId(11), Tick(250)));
    assert!(!table.end(Target::Site, FactorId(10), Tick(250)), "it had ended before");
    assert_eq!(table.get(Target::Site)[1].until, Tick(250));
    table.forget(Target::Site, FactorId(10), Tick(99 + RULE_KEPT_SECS));
    assert_eq!(table.get(Target::Site).len(), 1);
}

#[test]
fn a_rule_that_never_came_into_force_leaves_nothing() {
    let mut table = FactorTable::new(Seed::new(1));
    table.add(Target::Site, Clause { from: Tick(200), ..clause(11, 0, 300) });
    assert!(!table.end(Target::Site, FactorId(11), Tick(100)));
    assert!(table.is_empty());
}

#[test]
fn rules_in_force_push_out_those_that_ended() {
    let mut table = FactorTable::new(Seed::new(1));
    for number in 0..RULES_MAX as u32 {
        table.add(Target::Token(UserId(1), TorrentId(2)), clause(20 + number, 0, 50 + number));
    }
    table.add(Target::Site, clause(10, 0, u32::MAX));
    // Own factors of torrent, user and group, and that of the site, push out the four oldest.
    let expected = [
        (Scope::Token, 24),
        (Scope::Token, 25),
        (Scope::Token, 26),
        (Scope::Token, 27),
        (Scope::Torrent, 2),
        (Scope::User, 1),
        (Scope::Group, 3),
        (Scope::Site, 10),
    ];
    assert_eq!(heard(&table, 99), expected);
    // While they are in force, the nearest ones stay.
    assert_eq!(heard(&table, 49).last(), Some(&(Scope::Token, 27)));
}

#[test]
fn a_budget_is_the_same_for_all_who_hear_of_it() {
    let mut table = FactorTable::new(Seed::new(1));
    let budget = Arc::new(Budget::new(1000));
    table.add(Target::Site, Clause { budget: Some(budget.clone()), ..clause(10, 0, 99) });
    let mut heard = Heard::default();
    heard.collect(&MEMBER, Tick(9), |target, visit| table.get(target).iter().for_each(visit));
    budget.set(7);
    let left = heard.terms(Combine::Best, |terms| {
        terms.rules.iter().find_map(|rule| rule.budget.map(Budget::left_bytes))
    });
    assert_eq!(left, Some(7));
}
