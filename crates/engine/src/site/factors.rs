//! Factors as the ledger hears them: by target, with ticks for times and budgets that are drawn on.
//!
//! No lock and no clock: times come as ticks, and who shares a table guards it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use hashbrown::HashTable;

use super::{Factor, FactorId, Member, Permille, Target};
use crate::hash::Seed;
use crate::ledger::{Budget, Combine, RULES_MAX, Rule, Scope, Terms};
use crate::time::Tick;

/// Seconds for which a rule that ended is heard: as long as counters of silent clients are remembered.
pub const RULE_KEPT_SECS: u32 = 21 * 24 * 3600;

/// A factor that is or was in force, or will be.
#[derive(Clone, Debug)]
pub struct Clause {
    /// The site's number.
    pub id: FactorId,
    /// What an uploaded byte counts for.
    pub upload: Permille,
    /// What a downloaded byte counts for.
    pub download: Permille,
    /// Whether nothing counts.
    pub neutral: bool,
    /// When it comes into force.
    pub from: Tick,
    /// When it is no longer in force.
    pub until: Tick,
    /// Bytes that it still holds for.
    pub budget: Option<Arc<Budget>>,
    /// Whether it is what the record of the target said until it was changed, and no factor.
    pub former: bool,
}

impl Clause {
    /// What a factor says from one instant until another.
    #[must_use]
    pub const fn new(
        factor: &Factor,
        from: Tick,
        until: Tick,
        budget: Option<Arc<Budget>>,
    ) -> Self {
        let Factor { id, upload, download, neutral, .. } = *factor;
        Self { id, upload, download, neutral, from, until, budget, former: false }
    }

    fn is_heard(&self, now: Tick) -> bool {
        self.from <= now && now.since(self.until) < RULE_KEPT_SECS
    }

    /// What a record says by itself.
    const fn own(id: u32, (upload, download): (Permille, Permille)) -> Self {
        let (id, from, until) = (FactorId(id), Tick(0), Tick(u32::MAX));
        Self { id, upload, download, neutral: false, from, until, budget: None, former: false }
    }

    /// Whether it only tells when the record changed: a plain one must not come before others.
    const fn is_plain_record(&self) -> bool {
        self.former && self.upload.0 == Permille::ONE.0 && self.download.0 == Permille::ONE.0
    }
}

/// When a record last said something else; the beginning if it never did.
fn former_until(clauses: &[Clause]) -> Tick {
    let former = clauses.iter().filter(|clause| clause.former);
    former.map(|clause| clause.until).max().unwrap_or(Tick(0))
}

/// Clauses by target.
#[derive(Clone, Debug)]
pub struct FactorTable {
    seed: Seed,
    entries: HashTable<(Target, Vec<Clause>)>,
}

impl FactorTable {
    /// Makes an empty table, whose hashes are made with `seed`.
    #[must_use]
    pub const fn new(seed: Seed) -> Self {
        Self { seed, entries: HashTable::new() }
    }

    /// Whether nothing is said for anybody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The hash of a target.
    #[must_use]
    pub fn hash(seed: &Seed, target: Target) -> u64 {
        let (kind, one, other) = match target {
            Target::Site => (0, 0, 0),
            Target::Group(id) => (1, id.0, 0),
            Target::User(id) => (2, id.0, 0),
            Target::TorrentGroup(id) => (3, id.0, 0),
            Target::Torrent(id) => (4, id.0, 0),
            Target::Token(user, torrent) => (5, user.0, torrent.0),
        };
        let mut bytes = [0; 9];
        bytes[0] = kind;
        bytes[1..5].copy_from_slice(&u32::to_le_bytes(one));
        bytes[5..].copy_from_slice(&u32::to_le_bytes(other));
        seed.hash(&bytes)
    }

    /// The clauses for a target.
    #[must_use]
    pub fn get(&self, target: Target) -> &[Clause] {
        let hash = Self::hash(&self.seed, target);
        self.entries.find(hash, |entry| entry.0 == target).map_or(&[], |entry| &entry.1)
    }

    /// Adds a clause for a target.
    pub fn add(&mut self, target: Target, clause: Clause) {
        let Self { seed, entries } = self;
        let hash = Self::hash(seed, target);
        match entries.find_mut(hash, |entry| entry.0 == target) {
            Some(entry) => entry.1.push(clause),
            None => {
                let entry = (target, alloc::vec![clause]);
                entries.insert_unique(hash, entry, |entry| Self::hash(seed, entry.0));
            }
        }
    }

    /// Adds what the record of a target, with this number, said until now. Returns whether it had said
    /// so for any time.
    pub fn add_former(
        &mut self,
        target: Target,
        number: u32,
        said: (Permille, Permille),
        now: Tick,
    ) -> bool {
        let from = former_until(self.get(target));
        if from < now {
            let own = Clause::own(number, said);
            self.add(target, Clause { from, until: now, former: true, ..own });
        }
        from < now
    }

    /// Ends what a factor says for a target. What was not in force yet is gone, the rest is heard on.
    /// Returns whether something ended now.
    pub fn end(&mut self, target: Target, id: FactorId, now: Tick) -> bool {
        let mut ended = false;
        self.change(target, |clauses| {
            clauses.retain_mut(|clause| {
                let ends = clause.id == id && now < clause.until;
                if ends {
                    clause.until = now;
                }
                let was_in_force = clause.from < clause.until;
                ended |= ends && was_in_force;
                !ends || was_in_force
            });
        });
        ended
    }

    /// Forgets clauses of a factor that ended, and that nobody need hear of any more.
    pub fn forget(&mut self, target: Target, id: FactorId, now: Tick) {
        let is_over =
            |clause: &Clause| clause.id == id && now.since(clause.until) >= RULE_KEPT_SECS;
        self.change(target, |clauses| clauses.retain(|clause| !is_over(clause)));
    }

    fn change(&mut self, target: Target, change: impl FnOnce(&mut Vec<Clause>)) {
        let hash = Self::hash(&self.seed, target);
        if let Ok(mut entry) = self.entries.find_entry(hash, |entry| entry.0 == target) {
            change(&mut entry.get_mut().1);
            if entry.get().1.is_empty() {
                entry.remove();
            }
        }
    }
}

/// The clauses that an announce hears, as many as the ledger does.
#[derive(Debug, Default)]
pub struct Heard {
    clauses: [Option<(Scope, Clause)>; RULES_MAX],
    len: usize,
}

impl Heard {
    /// Collects what holds for a member, in the order that [`Combine::First`] wants: the token, the
    /// torrent, its group, the user, the group, the site; among equals what lets nothing count first.
    /// `visit` is handed a target and calls back with each of its clauses.
    ///
    /// # Cost
    /// No allocation.
    pub fn collect(
        &mut self,
        member: &Member,
        now: Tick,
        mut visit: impl FnMut(Target, &mut dyn FnMut(&Clause)),
    ) {
        let Member { user, torrent, group, torrent_group, .. } = *member;
        let plain = (Permille::ONE, Permille::ONE);
        let of = |number, says| (says != plain).then(|| Clause::own(number, says));
        let places = [
            (Scope::Token, Target::Token(user, torrent), None),
            (Scope::Torrent, Target::Torrent(torrent), of(torrent.0, member.of_torrent)),
            (Scope::TorrentGroup, Target::TorrentGroup(torrent_group), None),
            (Scope::User, Target::User(user), of(user.0, member.of_user)),
            (Scope::Group, Target::Group(group), of(group.0, member.of_group)),
            (Scope::Site, Target::Site, None),
        ];
        for (scope, target, own) in places {
            let mut first = self.len;
            let mut changed = Tick(0);
            visit(target, &mut |clause| {
                changed = changed.max(former_until(core::slice::from_ref(clause)));
                if clause.is_heard(now) && !clause.is_plain_record() {
                    self.push(scope, clause.clone(), now, &mut first);
                }
            });
            if let Some(own) = own {
                self.push(scope, Clause { from: changed, ..own }, now, &mut first);
            }
            let rank = |heard: &Option<(Scope, Clause)>| {
                heard
                    .as_ref()
                    .map(|(_, it)| (!it.neutral, it.download, u32::MAX - it.upload.0, it.id))
            };
            self.clauses[first..self.len].sort_unstable_by_key(rank);
        }
    }

    /// Adds a clause; where there is no room, the one that ended first goes. `first` moves with the
    /// clause that it is the place of.
    fn push(&mut self, scope: Scope, clause: Clause, now: Tick, first: &mut usize) {
        if self.len == RULES_MAX {
            let until = |heard: &Option<(Scope, Clause)>| heard.as_ref().map(|(_, it)| it.until);
            let oldest = (0..RULES_MAX).min_by_key(|&at| until(&self.clauses[at]));
            let Some(oldest) = oldest else { return };
            let gone =
                until(&self.clauses[oldest]).is_some_and(|it| it <= now && it < clause.until);
            if !gone {
                return;
            }
            self.clauses[oldest..].rotate_left(1);
            self.len -= 1;
            *first -= usize::from(oldest < *first);
        }
        self.clauses[self.len] = Some((scope, clause));
        self.len += 1;
    }

    /// Hands out the terms.
    pub fn terms<R>(&self, combine: Combine, use_: impl FnOnce(Terms<'_>) -> R) -> R {
        let mut rules = [Rule::default(); RULES_MAX];
        for (rule, (scope, clause)) in rules.iter_mut().zip(self.clauses.iter().flatten()) {
            *rule = Rule {
                scope: *scope,
                id: clause.id.0,
                upload: clause.upload,
                download: clause.download,
                neutral: clause.neutral,
                from: clause.from,
                until: clause.until,
                budget: clause.budget.as_deref(),
            };
        }
        use_(Terms { rules: &rules[..self.len], combine })
    }
}
