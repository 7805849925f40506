//! Factors for all workers: what is said for a target, and what was said until lately.
//!
//! What factors make of traffic is known to the ledger.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use skep_engine::ledger::{Budget, Combine, Terms};
use skep_engine::site::{
    Clause, Factor, FactorId, FactorTable, Heard, Member, Permille, RULE_KEPT_SECS, Target,
};
use skep_engine::{Seed, Tick};

use super::records::Aligned;
use crate::runtime::clock::Clock;

const PARTS: usize = 64;

/// A rule that ended no longer than this before the process began still holds for what was moved
/// before its end, as if it had ended with the beginning: clients went on while the tracker was down.
const ENDED_BEFORE_START_SECS: u64 = 3600;

/// Every factor.
pub(super) struct FactorBook {
    seed: Seed,
    clock: Clock,
    told: Mutex<Told>,
    /// Those for everybody or for a group of users: read by every request, changed seldom.
    broad: ArcSwap<FactorTable>,
    /// All others, by target.
    parts: Box<[Aligned<RwLock<FactorTable>>]>,
    /// Whether parts have to be looked at.
    seen: Aligned<Seen>,
    /// What the configuration says for everybody: no record, so that nobody changes or removes it.
    standing: OnceLock<Clause>,
}

/// Read by every announce and written with changes only.
#[derive(Default)]
struct Seen {
    /// Clauses that were ever added to parts.
    narrow: AtomicUsize,
    combine: AtomicU8,
}

/// Records as they were told.
#[derive(Default)]
struct Told {
    factors: HashMap<FactorId, (Factor, Option<Arc<Budget>>)>,
    /// What ended, in that order, to be forgotten some day.
    ended: VecDeque<(Tick, Target, FactorId)>,
}

impl FactorBook {
    pub(super) fn new(seed: &Seed, clock: &Clock) -> Self {
        let table = || FactorTable::new(seed.clone());
        Self {
            seed: seed.clone(),
            clock: clock.clone(),
            told: Mutex::default(),
            broad: ArcSwap::from_pointee(table()),
            parts: (0..PARTS).map(|_| Aligned(RwLock::new(table()))).collect(),
            seen: Aligned(Seen::default()),
            standing: OnceLock::new(),
        }
    }

    /// Says what the configuration says for everybody; the first time counts.
    pub(super) fn set_standing(&self, upload: Permille, download: Permille) {
        // No record has the number 0.
        let factor = Factor { id: FactorId(0), upload, download, ..Factor::default() };
        self.standing.get_or_init(|| Clause::new(&factor, Tick(0), Tick(u32::MAX), None));
    }

    pub(super) fn get(&self, id: FactorId) -> Option<Factor> {
        self.told.lock().factors.get(&id).map(as_it_stands)
    }

    pub(super) fn for_each(&self, visit: &mut dyn FnMut(&Factor)) {
        self.told.lock().factors.values().for_each(|known| visit(&as_it_stands(known)));
    }

    pub(super) fn set_combine(&self, combine: Combine) {
        self.seen.0.combine.store(combine as u8, Ordering::Relaxed);
    }

    /// Adds a factor, or replaces the one with its number: what that one said until now is heard on.
    /// One that `is_known` from earlier holds from the beginning unless it names a start, any other
    /// from now on.
    pub(super) fn put(&self, factor: Factor, is_known: bool) {
        self.write(factor, false, is_known);
    }

    /// The same, but for what is left of the budget of the one with its number.
    pub(super) fn amend(&self, factor: Factor, is_known: bool) {
        self.write(factor, true, is_known);
    }

    fn write(&self, mut factor: Factor, keeps_budget: bool, is_known: bool) {
        let now = self.clock.now();
        let mut told = self.told.lock();
        self.forget_old(&mut told, now);
        let old = told.factors.remove(&factor.id);
        let budget = match (&old, factor.budget_bytes) {
            (Some((_, budget)), _) if keeps_budget => budget.clone(),
            (_, None) => None,
            (Some((_, Some(budget))), Some(bytes)) => {
                budget.set(bytes);
                Some(budget.clone())
            }
            (_, Some(bytes)) => Some(Arc::new(Budget::new(bytes))),
        };
        factor.budget_bytes = budget.as_ref().map(|budget| budget.left_bytes());
        let same = old.as_ref().is_some_and(|(old, old_budget)| {
            let budget_bytes = factor.budget_bytes;
            old_budget.is_some() == budget.is_some()
                && Factor { budget_bytes, ..old.clone() } == factor
        });
        if !same {
            let (mut from, until) = self.ticks(&factor);
            if !is_known && factor.starts_unix_secs.is_none() {
                from = now;
            }
            if let Some((old, _)) = &old
                && self.end(&mut told, old, now)
            {
                from = from.max(now);
            }
            if let Some(until) = until.filter(|until| from <= *until) {
                let clause = Clause::new(&factor, from, until, budget.clone());
                self.change(factor.target, |table| table.add(factor.target, clause), 1);
            }
        }
        told.factors.insert(factor.id, (factor, budget));
    }

    /// Takes notice of what the record of a target, with this number, said until now.
    pub(super) fn put_former(&self, target: Target, number: u32, said: (Permille, Permille)) {
        let now = self.clock.now();
        let mut told = self.told.lock();
        self.forget_old(&mut told, now);
        if self.change(target, |table| table.add_former(target, number, said, now), 1) {
            told.ended.push_back((now, target, FactorId(number)));
        }
    }

    pub(super) fn remove(&self, id: FactorId) {
        let now = self.clock.now();
        let mut told = self.told.lock();
        self.forget_old(&mut told, now);
        if let Some((factor, _)) = told.factors.remove(&id) {
            self.end(&mut told, &factor, now);
        }
    }

    /// The rules for a member, for as long as `use_` needs them.
    pub(super) fn with_terms<R>(
        &self,
        member: &Member,
        now: Tick,
        use_: impl FnOnce(Terms<'_>) -> R,
    ) -> R {
        let combine = match self.seen.0.combine.load(Ordering::Relaxed) {
            by if by == Combine::Product as u8 => Combine::Product,
            by if by == Combine::First as u8 => Combine::First,
            _ => Combine::Best,
        };
        let broad = self.broad.load();
        let narrow = self.seen.0.narrow.load(Ordering::Relaxed) > 0;
        let plain = (Permille::ONE, Permille::ONE);
        let own = [member.of_user, member.of_group, member.of_torrent];
        let standing = self.standing.get();
        if !narrow && broad.is_empty() && standing.is_none() && own == [plain; 3] {
            return use_(Terms { rules: &[], combine });
        }
        let mut heard = Heard::default();
        heard.collect(member, now, |target, visit| {
            if is_broad(target) {
                let standing = standing.filter(|_| target == Target::Site);
                standing.into_iter().chain(broad.get(target)).for_each(visit);
            } else if narrow {
                self.part(target).read().get(target).iter().for_each(visit);
            }
        });
        heard.terms(combine, use_)
    }

    /// Ends what a factor says; returns whether it was in force.
    fn end(&self, told: &mut Told, factor: &Factor, now: Tick) -> bool {
        let (id, target) = (factor.id, factor.target);
        let ended = self.change(target, |table| table.end(target, id, now), 0);
        told.ended.push_back((now, target, id));
        ended
    }

    fn forget_old(&self, told: &mut Told, now: Tick) {
        while let Some(&(at, target, id)) = told.ended.front() {
            if now.since(at) < RULE_KEPT_SECS {
                return;
            }
            told.ended.pop_front();
            self.change(target, |table| table.forget(target, id, now), 0);
        }
    }

    fn change<R>(
        &self,
        target: Target,
        change: impl FnOnce(&mut FactorTable) -> R,
        added: usize,
    ) -> R {
        if is_broad(target) {
            let mut table = FactorTable::clone(&self.broad.load());
            let changed = change(&mut table);
            self.broad.store(Arc::new(table));
            return changed;
        }
        self.seen.0.narrow.fetch_add(added, Ordering::Relaxed);
        change(&mut self.part(target).write())
    }

    fn part(&self, target: Target) -> &RwLock<FactorTable> {
        let hash = FactorTable::hash(&self.seed, target);
        &self.parts[(hash >> 40) as usize % PARTS].0
    }

    /// From when until when a factor is in force; no end if it was over long before the process began.
    fn ticks(&self, factor: &Factor) -> (Tick, Option<Tick>) {
        let start = self.clock.unix_secs_at_start();
        let tick = |unix_secs: u64| {
            Tick(u32::try_from(unix_secs.saturating_sub(start)).unwrap_or(u32::MAX))
        };
        let from = factor.starts_unix_secs.map_or(Tick(0), tick);
        let until = match factor.ends_unix_secs {
            None => Some(Tick(u32::MAX)),
            Some(ends) if ends.saturating_add(ENDED_BEFORE_START_SECS) < start => None,
            Some(ends) => Some(tick(ends)),
        };
        (from, until)
    }
}

/// A factor with what is left of its budget.
fn as_it_stands((factor, budget): &(Factor, Option<Arc<Budget>>)) -> Factor {
    let budget_bytes = budget.as_ref().map(|budget| budget.left_bytes());
    Factor { budget_bytes, ..factor.clone() }
}

/// Whether what is said for a target holds for so many that they must not share a lock.
const fn is_broad(target: Target) -> bool {
    matches!(target, Target::Site | Target::Group(_))
}
