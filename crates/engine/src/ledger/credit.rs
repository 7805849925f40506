//! What traffic is worth: factors in per mille, for a time and for so many bytes.
//!
//! Which rules apply to a user and a torrent is known to the caller, who hands them in.

use core::sync::atomic::{AtomicU64, Ordering};

use super::{Traffic, instant};
use crate::time::Tick;

/// Rules that one announce looks at; further ones are not heard.
pub const RULES_MAX: usize = 8;
/// Budgets that one announce draws on; rules with further ones are not heard.
pub const SPENT_MAX: usize = 2;

/// What a byte counts for: 1000 is once, 0 not at all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Permille(pub u32);

impl Default for Permille {
    fn default() -> Self {
        Self::ONE
    }
}

impl Permille {
    /// Once.
    pub const ONE: Self = Self(1000);

    const fn times(self, other: Self) -> Self {
        let product = self.0 as u64 * other.0 as u64 / 1000;
        Self(if product > u32::MAX as u64 { u32::MAX } else { product as u32 })
    }
}

/// Whom a rule is made for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Scope {
    /// Everybody.
    #[default]
    Site,
    /// The users of a group.
    Group,
    /// A user.
    User,
    /// The torrents of a group.
    TorrentGroup,
    /// A torrent.
    Torrent,
    /// A user in a torrent.
    Token,
}

/// How several rules become one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Combine {
    /// The greatest factor for uploads and the least for downloads.
    #[default]
    Best,
    /// The product of all, cut to whole per mille at each step.
    Product,
    /// The first rule in force, and no other.
    First,
}

/// Bytes that a rule still holds for; shared by all who draw on it.
#[derive(Debug, Default)]
pub struct Budget(AtomicU64);

impl Budget {
    /// Makes a budget of so many bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(AtomicU64::new(bytes))
    }

    /// What is left.
    #[must_use]
    pub fn left_bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets what is left, as the site has it.
    pub fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// Gives back bytes that were taken.
    pub(super) fn give_back(&self, bytes: u64) {
        let more = |left: u64| Some(left.saturating_add(bytes));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Takes so many bytes, or what is left, and returns how many it took.
    fn take(&self, bytes: u64) -> u64 {
        let less = |left: u64| Some(left.saturating_sub(bytes));
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less) {
            Ok(left) | Err(left) => left.min(bytes),
        }
    }
}

/// A rule about what traffic is worth.
///
/// A rule that ends must be handed in until all who announced before its end have announced again:
/// what they moved until then falls under it.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    /// Whom it is made for.
    pub scope: Scope,
    /// The site's number for it, which comes back in [`Spent`].
    pub id: u32,
    /// What an uploaded byte counts for.
    pub upload: Permille,
    /// What a downloaded byte counts for.
    pub download: Permille,
    /// Whether nothing counts, whatever other rules say.
    pub neutral: bool,
    /// When it comes into force.
    pub from: Tick,
    /// When it is no longer in force.
    pub until: Tick,
    /// Bytes that it holds for, spent only by those for which it makes a difference. With a budget it
    /// has no say on a way on which its factor is 1000.
    pub budget: Option<&'a Budget>,
}

impl Default for Rule<'_> {
    fn default() -> Self {
        Self {
            scope: Scope::default(),
            id: 0,
            upload: Permille::ONE,
            download: Permille::ONE,
            neutral: false,
            from: Tick(0),
            until: Tick(u32::MAX),
            budget: None,
        }
    }
}

/// What was taken from a budget.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Spent {
    /// The scope of its rule.
    pub scope: Scope,
    /// The number of its rule.
    pub rule: u32,
    /// How many bytes.
    pub bytes: u64,
}

/// The rules for a user in a torrent. Where none is in force, a byte counts once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms<'a> {
    /// The rules, the first that [`Combine::First`] looks at in front.
    pub rules: &'a [Rule<'a>],
    /// How several become one.
    pub combine: Combine,
}

/// Rules by their place: a bit each.
type Set = u32;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

impl<'a> Terms<'a> {
    /// What traffic is worth that was moved between two instants, as evenly as bytes go.
    pub(super) fn credit(
        &self,
        raw: Traffic,
        from: u32,
        to: u32,
        spent: &mut [Spent; SPENT_MAX],
    ) -> Traffic {
        if self.rules.is_empty() || raw == Traffic::default() {
            return raw;
        }
        if from == to {
            return self.credit_pieces(&[(raw, to)], spent);
        }
        let mut cuts = [to; 2 * RULES_MAX + 1];
        for (pair, rule) in cuts.chunks_exact_mut(2).zip(self.heard()) {
            // A cut outside of the gap cuts nothing off.
            pair[0] = rule.begins_at().clamp(from, to);
            pair[1] = instant(rule.until).clamp(from, to);
        }
        cuts.sort_unstable();
        let mut pieces = [(Traffic::default(), to); 2 * RULES_MAX + 1];
        let mut begin = from;
        for (piece, end) in pieces.iter_mut().zip(cuts) {
            let share = |bytes| portion(bytes, from, to, end) - portion(bytes, from, to, begin);
            let traffic = Traffic {
                uploaded_bytes: share(raw.uploaded_bytes),
                downloaded_bytes: share(raw.downloaded_bytes),
            };
            (*piece, begin) = ((traffic, begin), end);
        }
        self.credit_pieces(&pieces, spent)
    }

    /// What pieces are worth, each under the rules of the instant it begins at. Rounded down once.
    fn credit_pieces(&self, pieces: &[(Traffic, u32)], spent: &mut [Spent; SPENT_MAX]) -> Traffic {
        let (mut up, mut down) = (0, 0);
        for &(traffic, begin) in pieces {
            let set = self.in_force(begin);
            up += self.worth(Way::Up, traffic.uploaded_bytes, set, 0, spent);
            down += self.worth(Way::Down, traffic.downloaded_bytes, set, 0, spent);
        }
        let bytes = |milli: u128| u64::try_from(milli / 1000).unwrap_or(u64::MAX);
        Traffic { uploaded_bytes: bytes(up), downloaded_bytes: bytes(down) }
    }

    fn heard(&self) -> impl DoubleEndedIterator<Item = &Rule<'a>> + ExactSizeIterator {
        self.rules.iter().take(RULES_MAX)
    }

    fn in_force(&self, at: u32) -> Set {
        let in_force = |rule: &Rule<'_>| rule.begins_at() <= at && at < instant(rule.until);
        self.heard().enumerate().map(|(place, rule)| Set::from(in_force(rule)) << place).sum()
    }

    /// What a byte counts for under some rules.
    fn factor(&self, way: Way, set: Set) -> Permille {
        let rules = || self.heard().enumerate().filter(|(place, _)| set & 1 << place != 0);
        let of = |(_, rule): (usize, &Rule<'_>)| rule.factor(way);
        if self.combine != Combine::First && rules().any(|(_, rule)| rule.neutral) {
            return Permille(0);
        }
        let combined = match (self.combine, way) {
            (Combine::First, _) => rules().next().map(of),
            (Combine::Product, _) => rules().map(of).reduce(Permille::times),
            (Combine::Best, Way::Up) => rules().map(of).max(),
            (Combine::Best, Way::Down) => rules().map(of).min(),
        };
        combined.unwrap_or(Permille::ONE)
    }

    /// A thousand times what bytes are worth. `paid` are rules whose budget has given for these bytes.
    ///
    /// # Cost
    /// Each call pays a rule or drops it, and two draw on a budget at the most.
    fn worth(
        &self,
        way: Way,
        bytes: u64,
        set: Set,
        paid: Set,
        spent: &mut [Spent; SPENT_MAX],
    ) -> u128 {
        if bytes == 0 {
            return 0;
        }
        let mut used = set;
        // From the end, so that of two rules that do the same the first one pays.
        for (place, rule) in self.heard().enumerate().rev() {
            let bit = 1 << place;
            let Some(budget) = rule.budget.filter(|_| used & !paid & bit != 0) else { continue };
            let makes_none = rule.factor(way) == Permille::ONE;
            if makes_none || self.factor(way, used) == self.factor(way, used & !bit) {
                used &= !bit;
                continue;
            }
            let given = match spent.iter_mut().find(|spent| spent.is_for(rule)) {
                Some(spent) => {
                    let given = budget.take(bytes);
                    let bytes = spent.bytes.saturating_add(given);
                    *spent = Spent { scope: rule.scope, rule: rule.id, bytes };
                    given
                }
                None => 0,
            };
            return self.worth(way, given, used, paid | bit, spent)
                + self.worth(way, bytes - given, set & !bit, paid, spent);
        }
        u128::from(bytes) * u128::from(self.factor(way, used).0)
    }
}

impl Rule<'_> {
    const fn factor(&self, way: Way) -> Permille {
        match (self.neutral, way) {
            (true, _) => Permille(0),
            (false, Way::Up) => self.upload,
            (false, Way::Down) => self.download,
        }
    }

    /// When it comes into force. One that is older than the process always was.
    const fn begins_at(&self) -> u32 {
        if self.from.0 == 0 { 0 } else { instant(self.from) }
    }
}

impl Spent {
    /// Whether what a rule gives may be noted here.
    fn is_for(&self, rule: &Rule<'_>) -> bool {
        self.bytes == 0 || (self.scope, self.rule) == (rule.scope, rule.id)
    }
}

/// How many of the bytes that are moved between two instants are moved until a third.
const fn portion(bytes: u64, from: u32, to: u32, until: u32) -> u64 {
    (bytes as u128 * (until - from) as u128 / (to - from) as u128) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Rule<'_> = Rule { id: 1, download: Permille(0), ..RULE };
    const DOUBLE: Rule<'_> = Rule { id: 2, upload: Permille(2000), ..RULE };
    const HALF: Rule<'_> = Rule { id: 3, upload: Permille(500), download: Permille(500), ..RULE };
    const RULE: Rule<'_> = Rule {
        scope: Scope::Torrent,
        id: 0,
        upload: Permille::ONE,
        download: Permille::ONE,
        neutral: false,
        from: Tick(0),
        until: Tick(u32::MAX),
        budget: None,
    };

    /// What 1000 bytes each way are worth that were moved from second 100 to 200.
    fn worth(combine: Combine, rules: &[Rule<'_>]) -> (u64, u64) {
        let (up, down, _) = worth_and_spent(combine, rules);
        (up, down)
    }

    fn worth_and_spent(
        combine: Combine,
        rules: &[Rule<'_>],
    ) -> (u64, u64, [(u32, u64); SPENT_MAX]) {
        let raw = Traffic { uploaded_bytes: 1000, downloaded_bytes: 1000 };
        let mut spent = [Spent::default(); SPENT_MAX];
        let (from, to) = (instant(Tick(100)), instant(Tick(200)));
        let worth = Terms { rules, combine }.credit(raw, from, to, &mut spent);
        let spent = spent.map(|spent| (spent.rule, spent.bytes));
        (worth.uploaded_bytes, worth.downloaded_bytes, spent)
    }

    #[test]
    fn rules_combine_as_the_site_wants() {
        let all = [FREE, DOUBLE, HALF];
        assert_eq!(worth(Combine::Best, &[]), (1000, 1000));
        assert_eq!(worth(Combine::Best, &all), (2000, 0));
        assert_eq!(worth(Combine::Best, &[HALF]), (500, 500));
        assert_eq!(worth(Combine::Product, &all[1..]), (1000, 500));
        assert_eq!(worth(Combine::Product, &[HALF, HALF]), (250, 250));
        assert_eq!(worth(Combine::First, &all), (1000, 0));
        assert_eq!(worth(Combine::First, &all[2..]), (500, 500));
    }

    #[test]
    fn a_neutral_rule_is_stronger_than_others() {
        let neutral = Rule { neutral: true, ..RULE };
        assert_eq!(worth(Combine::Best, &[DOUBLE, neutral]), (0, 0));
        assert_eq!(worth(Combine::Product, &[DOUBLE, neutral]), (0, 0));
        assert_eq!(worth(Combine::First, &[DOUBLE, neutral]), (2000, 1000), "but not the first");
    }

    #[test]
    fn a_gap_is_split_where_rules_begin_and_end() {
        let late = Rule { from: Tick(130), ..FREE };
        let early = Rule { until: Tick(180), ..DOUBLE };
        assert_eq!(worth(Combine::Best, &[late, early]), (1800, 300));
        let never = [Rule { until: Tick(100), ..FREE }, Rule { from: Tick(200), ..FREE }];
        assert_eq!(worth(Combine::Best, &never), (1000, 1000));
        let one_third = Rule { until: Tick(133), download: Permille(1), ..RULE };
        assert_eq!(worth(Combine::Best, &[one_third]).1, 670, "rounded down, and once");
    }

    #[test]
    fn what_moves_in_no_time_falls_under_the_rules_of_the_moment() {
        let raw = Traffic { uploaded_bytes: 10, downloaded_bytes: 10 };
        let rules = [Rule { from: Tick(100), ..FREE }];
        let terms = Terms { rules: &rules, combine: Combine::Best };
        let mut spent = [Spent::default(); SPENT_MAX];
        let mut at = |secs| {
            let now = instant(Tick(secs));
            terms.credit(raw, now, now, &mut spent).downloaded_bytes
        };
        assert_eq!((at(99), at(100)), (10, 0));
    }

    #[test]
    fn a_budget_pays_until_it_is_spent() {
        let budget = Budget::new(1500);
        let token = Rule { scope: Scope::Token, budget: Some(&budget), ..FREE };
        let paid = worth_and_spent(Combine::Best, &[token]);
        assert_eq!(paid, (1000, 0, [(1, 1000), (0, 0)]), "uploads are not changed by it");
        let paid = worth_and_spent(Combine::Best, &[token]);
        assert_eq!(paid, (1000, 500, [(1, 500), (0, 0)]));
        assert_eq!(worth(Combine::Best, &[token]), (1000, 1000));
        assert_eq!(budget.left_bytes(), 0);
    }

    #[test]
    fn a_budget_is_not_spent_on_what_is_free_anyway() {
        let budgets = [Budget::new(600), Budget::new(600), Budget::new(600)];
        let token = |at: usize| Rule { id: 10 + at as u32, budget: Some(&budgets[at]), ..FREE };
        assert_eq!(worth(Combine::Best, &[token(0), FREE]), (1000, 0));
        assert_eq!(worth(Combine::First, &[FREE, token(0)]), (1000, 0));
        assert_eq!(budgets[0].left_bytes(), 600);
        // Of two that do the same one is used up first; a third one is not heard.
        let tokens = [token(0), token(1), token(2)];
        let paid = worth_and_spent(Combine::Best, &tokens);
        assert_eq!(paid, (1000, 0, [(10, 600), (11, 400)]));
        let paid = worth_and_spent(Combine::Best, &tokens);
        assert_eq!(paid, (1000, 200, [(11, 200), (12, 600)]));
        assert!(budgets.iter().all(|budget| budget.left_bytes() == 0));
    }
}
