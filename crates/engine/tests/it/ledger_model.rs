//! A ledger that keeps every announce it ever heard and works everything out anew, second by second.
//!
//! Written from the rules alone, with none of the ledger's shortcuts. It knows no bounds.

use std::collections::{BTreeMap, BTreeSet};

use skep_engine::ledger::{
    Combine, Family, FirstAnnounce, LedgerSettings, ParallelTime, Permille, Traffic,
};
use skep_proto::AnnounceEvent;

/// One announce, or a sweep of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Announce(Heard),
    Sweep { secs: u32 },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) secs: u32,
    pub(crate) torrent: u32,
    pub(crate) user: u32,
    pub(crate) peer: u8,
    /// 0 for none.
    pub(crate) key: u32,
    pub(crate) family: Family,
    pub(crate) up: u64,
    pub(crate) down: u64,
    pub(crate) left: Option<u64>,
    pub(crate) event: AnnounceEvent,
}

/// What an announce should have led to; `None` in place of it for a duplicate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Expected {
    pub(crate) raw: (u64, u64),
    pub(crate) credited: (u64, u64),
    pub(crate) secs: (u32, u32, u32),
    pub(crate) began: bool,
    pub(crate) ended: bool,
    pub(crate) completed: bool,
    pub(crate) reset: bool,
    pub(crate) held: bool,
}

/// What a step should have led to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Effect {
    Announce(Option<Expected>),
    /// How many sessions ended.
    Sweep(usize),
}

/// A rule for everybody, as far as it can be told apart here. The first one may have a budget.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ModelRule {
    pub(crate) upload: u32,
    pub(crate) download: u32,
    pub(crate) from: u32,
    pub(crate) until: u32,
    /// Bytes of download.
    pub(crate) budget: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Said {
    heard: Heard,
    lacks: bool,
    /// Whether it changed anything.
    counted: bool,
    /// Whether it was overtaken by the announce before it.
    late: bool,
}

/// One client, by all of its peer ids.
#[derive(Debug, Default)]
struct Client {
    /// The peer id that it came with first.
    peer: u8,
    said: Vec<Said>,
    open: bool,
}

#[derive(Debug, Default)]
struct Account {
    clients: Vec<Client>,
    seeding: BTreeSet<u32>,
    leeching: BTreeSet<u32>,
    active: BTreeSet<u32>,
    pass_counted: bool,
}

pub(crate) struct Model {
    pub(crate) settings: LedgerSettings,
    pub(crate) combine: Combine,
    pub(crate) rules: Vec<ModelRule>,
}

impl Heard {
    /// Whether the client says that it lacks something.
    fn lacks(&self, lacked: bool) -> bool {
        match self {
            Self { event: AnnounceEvent::Completed, left: None | Some(16384), .. } => false,
            Self { left: Some(left), .. } => *left > 0,
            Self { left: None, .. } => lacked,
        }
    }
}

impl Client {
    /// When each endpoint was last heard of that did not leave.
    fn endpoints(&self, ttl: u32) -> BTreeMap<u8, u32> {
        let mut endpoints = BTreeMap::new();
        for Said { heard, .. } in &self.said {
            if heard.event == AnnounceEvent::Stopped {
                endpoints.remove(&(heard.family as u8));
                endpoints.retain(|_, secs| heard.secs - *secs <= ttl);
            } else {
                endpoints.insert(heard.family as u8, heard.secs);
            }
        }
        endpoints
    }

    fn is_active(&self, ttl: u32, now: u32) -> bool {
        self.endpoints(ttl).values().any(|secs| now - secs <= ttl)
    }

    fn silent_secs(&self, ttl: u32, now: u32) -> u32 {
        let counted = self.said.iter().filter(|said| said.counted).map(|said| said.heard.secs);
        now - counted.chain(self.endpoints(ttl).into_values()).max().unwrap()
    }

    /// Whether its last announce over a family came by another peer id than its first.
    fn is_joined(&self, family: Family) -> bool {
        let last = self.said.iter().rfind(|said| said.heard.family == family);
        last.is_some_and(|said| said.heard.peer != self.peer)
    }

    /// Whether an announce by a peer id that it does not have may be its own, by the key.
    fn may_say(&self, heard: &Heard, ttl: u32) -> bool {
        let has_endpoint = self.endpoints(ttl).contains_key(&(heard.family as u8));
        let same_key = heard.key != 0 && self.said[0].heard.key == heard.key;
        same_key && (!has_endpoint || self.is_joined(heard.family))
    }

    fn last_counted(&self) -> &Said {
        self.said.iter().rfind(|said| said.counted).unwrap()
    }

    fn baseline(&self) -> &Heard {
        &self.said.iter().rfind(|said| said.counted && !said.late).unwrap().heard
    }
}

impl Model {
    /// What each step should have led to.
    pub(crate) fn effects(&self, steps: &[Step]) -> Vec<Effect> {
        let mut accounts: BTreeMap<(u32, u32), Account> = BTreeMap::new();
        let mut budgets: Vec<_> = self.rules.iter().map(|rule| rule.budget).collect();
        let effect = |step: &Step| match step {
            Step::Announce(heard) => {
                let account = accounts.entry((heard.torrent, heard.user)).or_default();
                Effect::Announce(self.announce(account, heard, &mut budgets))
            }
            Step::Sweep { secs } => {
                let ended = accounts.values_mut().map(|account| self.sweep(account, *secs));
                Effect::Sweep(ended.sum())
            }
        };
        steps.iter().map(effect).collect()
    }

    /// Nobody is forgotten who may still be there.
    fn baseline_ttl_secs(&self) -> u32 {
        self.settings.baseline_ttl_secs.max(self.settings.peer_ttl_secs)
    }

    fn sweep(&self, account: &mut Account, now: u32) -> usize {
        let ttl = self.settings.peer_ttl_secs;
        let mut ended = 0;
        for client in &mut account.clients {
            if client.open && !client.is_active(ttl, now) {
                client.open = false;
                ended += 1;
            }
        }
        self.forget(account, now);
        ended
    }

    /// Forgets clients that were silent for long, and with the last one what was finished.
    fn forget(&self, account: &mut Account, now: u32) {
        let ttl = self.settings.peer_ttl_secs;
        let old = |client: &Client| client.silent_secs(ttl, now) > self.baseline_ttl_secs();
        account.pass_counted &= !account.clients.iter().all(old);
        account.clients.retain(|client| client.open || !old(client));
    }

    /// The client that an announce is of, among those whose counters mean something.
    fn find(&self, account: &Account, heard: &Heard) -> Option<usize> {
        let ttl = self.settings.peer_ttl_secs;
        let known: Vec<_> = account
            .clients
            .iter()
            .enumerate()
            .filter(|(_, client)| client.silent_secs(ttl, heard.secs) <= self.baseline_ttl_secs())
            .collect();
        let is_active = |client: &Client| client.is_active(ttl, heard.secs);
        let own = known.iter().find(|(_, client)| client.peer == heard.peer);
        let others = known
            .iter()
            .filter(|(_, client)| client.peer != heard.peer && client.may_say(heard, ttl));
        let other = others.max_by_key(|(_, client)| {
            let (active, joined) = (is_active(client), client.is_joined(heard.family));
            (active, joined, client.last_counted().heard.secs, client.peer)
        });
        let (Some((own_at, own)), Some((other_at, other))) = (own, other) else {
            return own.or(other).map(|(at, _)| *at);
        };
        let counted_since = other.last_counted().heard.secs > own.last_counted().heard.secs;
        let went_over = is_active(other) || (other.is_joined(heard.family) && counted_since);
        Some(if went_over && !is_active(own) { *other_at } else { *own_at })
    }

    /// Takes out the client that an announce is of, or a new one.
    fn take(&self, account: &mut Account, heard: &Heard) -> Client {
        if let Some(at) = self.find(account, heard) {
            return account.clients.swap_remove(at);
        }
        // What nobody has swept yet and means nothing any more.
        account.clients.retain(|client| client.peer != heard.peer);
        Client { peer: heard.peer, ..Client::default() }
    }

    fn announce(
        &self,
        account: &mut Account,
        heard: &Heard,
        budgets: &mut [Option<u64>],
    ) -> Option<Expected> {
        let LedgerSettings { peer_ttl_secs: ttl, duplicate_secs, .. } = self.settings;
        let (now, stops) = (heard.secs, heard.event == AnnounceEvent::Stopped);
        self.forget(account, now);
        let mut client = self.take(account, heard);
        let fresh = client.said.is_empty();
        let was_active = client.is_active(ttl, now);
        let was_open = client.open;
        let before = (!fresh).then(|| *client.last_counted());
        let lacked = before.is_none_or(|before| before.lacks);
        let baseline = match (fresh, self.settings.first_announce) {
            (false, _) => (client.baseline().up, client.baseline().down),
            (true, FirstAnnounce::Credit) => (0, 0),
            (true, FirstAnnounce::Baseline) => (heard.up, heard.down),
        };
        let back = heard.up < baseline.0 || heard.down < baseline.1;
        let recent = before.is_some_and(|before| now - before.heard.secs <= duplicate_secs);
        let other = !fresh && client.baseline().family != heard.family;
        let late = back && was_active && recent && other;
        let lacks = heard.lacks(lacked) && (lacked || !late);
        let raw = if back { (0, 0) } else { (heard.up - baseline.0, heard.down - baseline.1) };

        let stopped = !fresh && client.endpoints(ttl).is_empty();
        let began = !was_active && !stops;
        let alone = !account.clients.iter().any(|other| other.is_active(ttl, now));
        if began && lacks && alone {
            account.pass_counted = false;
        }
        let finishes =
            if fresh { heard.event == AnnounceEvent::Completed } else { lacked } && !lacks;
        let completed = finishes && !account.pass_counted;
        account.pass_counted |= completed;

        client.said.push(Said { heard: *heard, lacks, counted: true, late });
        let open = client.is_active(ttl, now);
        let ended = !open && (was_open || fresh);
        let news = fresh || began || ended || completed || raw != (0, 0) || (back && !late);
        let counted = news || lacks != lacked || (!recent && !stopped);
        client.said.last_mut().unwrap().counted = counted;
        client.open = if counted { open } else { was_open };
        account.clients.push(client);
        if !counted {
            return None;
        }
        let since = before.map_or(now, |before| before.heard.secs);
        let line = self.settings.line_bytes_per_sec_max.saturating_mul((now - since).max(1).into());
        let held = !fresh && line != 0 && raw.0.max(raw.1) > line;
        Some(Expected {
            raw,
            credited: if held { (0, 0) } else { self.worth(raw, since, now, budgets) },
            secs: if fresh || stopped {
                (0, 0, 0)
            } else {
                self.count(account, lacked, since, now)
            },
            began,
            ended,
            completed,
            reset: back && !late,
            held,
        })
    }

    /// Marks the seconds of a gap that nothing marked before, the latest first.
    fn count(&self, account: &mut Account, lacked: bool, since: u32, now: u32) -> (u32, u32, u32) {
        let LedgerSettings { gap_max_secs, parallel_time, .. } = self.settings;
        let mark = |marked: &mut BTreeSet<u32>| {
            let each = parallel_time == ParallelTime::Each;
            let free = (since..now).rev().filter(|secs| each || !marked.contains(secs));
            let free: Vec<_> = free.take(gap_max_secs as usize).collect();
            marked.extend(&free);
            free.len() as u32
        };
        let active = mark(&mut account.active);
        match lacked {
            true => (0, mark(&mut account.leeching), active),
            false => (mark(&mut account.seeding), 0, active),
        }
    }

    /// What bytes are worth, for each second of the gap by itself.
    fn worth(
        &self,
        (up, down): (u64, u64),
        since: u32,
        now: u32,
        budgets: &mut [Option<u64>],
    ) -> (u64, u64) {
        let len = u128::from((now - since).max(1));
        let (mut up_milli, mut down_milli) = (0, 0);
        for second in 0..len {
            let at = since + second as u32;
            let share = |bytes: u64| {
                let until = |secs: u128| u128::from(bytes) * secs / len;
                until(second + 1) - until(second)
            };
            up_milli += share(up) * u128::from(self.factor(at, false, None));
            let mut rest = share(down);
            for (place, budget) in budgets.iter_mut().enumerate() {
                let Some(left) = budget else { continue };
                let with = self.factor(at, true, None);
                let paid = match with == self.factor(at, true, Some(place)) {
                    true => rest,
                    false => rest.min((*left).into()),
                };
                if with != self.factor(at, true, Some(place)) {
                    *left -= paid as u64;
                }
                down_milli += paid * u128::from(with);
                rest -= paid;
                down_milli += rest * u128::from(self.factor(at, true, Some(place)));
                rest = 0;
            }
            down_milli += rest * u128::from(self.factor(at, true, None));
        }
        let whole = |milli: u128| u64::try_from(milli / 1000).unwrap_or(u64::MAX);
        (whole(up_milli), whole(down_milli))
    }

    /// The factor at a second, leaving out a rule.
    fn factor(&self, at: u32, down: bool, without: Option<usize>) -> u32 {
        let in_force = self.rules.iter().enumerate().filter(|(place, rule)| {
            // A budget is for downloads alone.
            let speaks = down || rule.budget.is_none();
            speaks && Some(*place) != without && rule.from <= at && at < rule.until
        });
        let factors: Vec<u32> =
            in_force.map(|(_, rule)| if down { rule.download } else { rule.upload }).collect();
        let mut sorted = factors.clone();
        sorted.sort_unstable();
        let ends = [factors.first(), sorted.first(), sorted.last()].map(Option::<&u32>::copied);
        match (self.combine, ends) {
            (_, [None, ..]) => Permille::ONE.0,
            (Combine::First, [Some(first), ..]) => first,
            (Combine::Best, [_, Some(least), Some(most)]) => {
                if down {
                    least
                } else {
                    most
                }
            }
            _ => factors[1..].iter().fold(factors[0], |product, factor| product * factor / 1000),
        }
    }
}

/// The pair that the model speaks of.
pub(crate) const fn pair(traffic: Traffic) -> (u64, u64) {
    (traffic.uploaded_bytes, traffic.downloaded_bytes)
}
