//! From what was written to a [`Config`]: the last value of each option, checked alone and
//! together.
//!
//! Every check runs, and every problem is returned: an operator should not have to start the
//! program once for each mistake.

mod accounts;
mod admin;
mod compat;
mod external;
mod interval;
mod transport;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use skep_net::udp::SOCKETS_MAX;

pub(crate) use self::admin::scopes_of;
use self::transport::octal;
use super::model::{
    Access, Announce, Config, Http, Keys, Listen, Listeners, Log, Proxy, Scrape, Swarm, TlsFiles,
    Websocket,
};
use super::options::{Kind, OPTIONS, Reload, position};
use super::problem::{Origin, Problem, Warning};
use super::raw::{Given, Sources, read_file};
use super::value::{Secret, Value};
use super::words::{Mode, TorrentAccess, Word};

/// A configuration that can be used, and what there is to say about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What works otherwise than it looks.
    pub warnings: Vec<Warning>,
    /// What it was made from; load it again to reload.
    pub sources: Sources,
    pub(crate) settings: Settings,
}

/// The value of every option and where it came from.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    slots: Vec<Slot>,
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
}

/// One option's value; the places are those of [`OPTIONS`].
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
    /// Whether what was given could not be used, so that rules about it would mislead.
    refused: bool,
}

impl Config {
    /// Reads the configuration file, if there is one, and puts all sources together.
    ///
    /// # Errors
    /// Every problem of every source, and every rule that is broken between options.
    pub fn load(sources: &Sources) -> Result<Loaded, Vec<Problem>> {
        let mut settings = Settings::initial();
        if let Some(path) = sources.file() {
            let layer = read_file(path);
            settings.problems.extend(layer.problems);
            settings.warnings.extend(layer.warnings);
            layer.given.iter().for_each(|given| settings.set(given));
        }
        settings.problems.extend(sources.problems.iter().cloned());
        settings.warnings.extend(sources.warnings.iter().cloned());
        sources.given.iter().for_each(|given| settings.set(given));
        settings.follow();
        settings.check();
        if !settings.problems.is_empty() {
            return Err(settings.problems);
        }
        Ok(Loaded {
            config: settings.config(),
            warnings: std::mem::take(&mut settings.warnings),
            sources: sources.clone(),
            settings,
        })
    }
}

impl Default for Config {
    fn default() -> Self {
        Settings::initial().config()
    }
}

impl Loaded {
    /// Reads the sources again for a tracker that was started with this configuration and goes on.
    ///
    /// Options that need a restart keep the values that they have here; the keys of those that the
    /// sources want otherwise are returned beside what was loaded.
    ///
    /// # Errors
    /// What [`Config::load`] says, and what of the new values contradicts the ones that are kept.
    pub fn reload(&self) -> Result<(Self, Vec<&'static str>), Vec<Problem>> {
        let mut new = Config::load(&self.sources)?;
        let waiting = changed_restart_keys(self, &new);
        if waiting.is_empty() {
            return Ok((new, waiting));
        }
        for (number, option) in OPTIONS.iter().enumerate() {
            if waiting.contains(&option.key) {
                new.settings.slots[number] = self.settings.slots[number].clone();
            }
        }
        new.settings.check();
        if !new.settings.problems.is_empty() {
            return Err(new.settings.problems);
        }
        new.config = new.settings.config();
        Ok((new, waiting))
    }

    /// Makes a problem of an option that shows only when it is used.
    pub(crate) fn problem(&self, key: &'static str, message: impl Into<String>) -> Problem {
        let slot = self.settings.slot(key);
        Problem::of_key(key, slot.origin.clone(), message).with_value(slot.value.to_toml())
    }

    /// Returns each option with its value and origin, in the order of [`OPTIONS`].
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.settings.slots
    }
}

/// Returns the keys that differ and that a running tracker cannot take over.
pub fn changed_restart_keys(old: &Loaded, new: &Loaded) -> Vec<&'static str> {
    let pairs = old.slots().iter().zip(new.slots());
    OPTIONS
        .iter()
        .zip(pairs)
        .filter(|(option, (old, new))| option.reload == Reload::Restart && old.value != new.value)
        .map(|(option, _)| option.key)
        .collect()
}

impl Settings {
    fn initial() -> Self {
        let slots = OPTIONS.iter().map(|option| Slot {
            value: option.kind.parse(&option.initial.raw()).expect("a test parses every default"),
            origin: Origin::Default,
            refused: false,
        });
        Self { slots: slots.collect(), problems: Vec::new(), warnings: Vec::new() }
    }

    fn set(&mut self, given: &Given) {
        let option = &OPTIONS[given.option];
        let slot = &mut self.slots[given.option];
        slot.origin = given.origin.clone();
        match option.kind.parse(&given.raw) {
            Ok(value) => {
                slot.value = value;
                slot.refused = false;
            }
            Err(message) => {
                slot.refused = true;
                let shown = (!matches!(option.kind, Kind::Secret)).then(|| given.raw.to_string());
                self.problems.push(
                    Problem::of_key(option.key, given.origin.clone(), message).with_value(shown),
                );
            }
        }
    }

    /// Moves values that nobody chose, or that are only too low, along with what was chosen.
    fn follow(&mut self) {
        self.follow_interval();
        self.follow_storage();
        let peers_max = self.integer("announce.peers_max");
        if self.is_default("announce.peers_default")
            && self.integer("announce.peers_default") > peers_max
        {
            self.give("announce.peers_default", peers_max);
        }
    }

    fn give(&mut self, key: &str, value: u32) {
        self.slot_mut(key).value = Value::Integer(value.into());
    }

    fn check(&mut self) {
        self.check_intervals();
        self.check_at_most("announce.peers_default", "announce.peers_max");
        self.check_external_addresses();
        self.check_torrents();
        self.check_clients("access.clients_allow");
        self.check_clients("access.clients_deny");
        self.check_ranges("access.addresses_deny", "nobody of that family is served");
        self.check_ranges("proxy.trusted", "anybody can announce the address of anybody");
        for key in ["proxy.protocol", "proxy.protocol_udp"] {
            self.check_ranges(key, "who does not speak the PROXY protocol is not served");
        }
        self.check_proxy();
        self.check_listeners();
        self.check_tls();
        self.check_unix_sockets();
        self.check_admin();
        self.check_overlaps();
        self.check_compat();
        self.check_udp_count();
        self.check_storage();
        self.warn_of_secret("listen.secret");
        self.warn_of_secret("keys.site_key");
        self.check_keys();
    }

    fn check_at_most(&mut self, low: &'static str, high: &'static str) {
        if self.are_sound(&[low, high]) && self.integer(low) > self.integer(high) {
            let message = format!("must be at most {}", self.described(high));
            self.refuse(low, message);
        }
    }

    fn check_torrents(&mut self) {
        const FILE: &str = "access.torrents_file";
        const DENY_FILE: &str = "access.torrents_deny_file";
        if !self.are_sound(&["mode", "access.torrents", FILE, DENY_FILE]) {
            return;
        }
        let (has_file, has_deny_file) = (self.path(FILE).is_some(), self.path(DENY_FILE).is_some());
        match (self.word::<Mode>("mode"), self.word::<TorrentAccess>("access.torrents")) {
            (Mode::Registered | Mode::Private, TorrentAccess::Deny) => {
                let mode = self.described("mode");
                self.refuse(
                    "access.torrents",
                    format!("must not be deny with {mode}; use {DENY_FILE}"),
                );
            }
            (Mode::Private, _) if has_file => {
                let mode = self.described("mode");
                self.warn(FILE, format!("has no effect with {mode}"));
            }
            (Mode::Public, TorrentAccess::Allow) if !has_file => {
                let access = self.described("access.torrents");
                self.refuse(FILE, format!("must name a file for {access}"));
            }
            (Mode::Public, TorrentAccess::Deny) if !has_file && !has_deny_file => {
                let access = self.described("access.torrents");
                self.refuse(FILE, format!("must name a file for {access}, or {DENY_FILE} must"));
            }
            (Mode::Public, TorrentAccess::Open) if has_file => {
                self.warn(FILE, "has no effect while access.torrents is open");
            }
            _ => {}
        }
        let may_name = has_file || self.word::<Mode>("mode") != Mode::Public;
        if self.boolean("scrape.names") && !may_name {
            self.warn("scrape.names", "has no effect without access.torrents_file");
        }
    }

    fn check_clients(&mut self, key: &'static str) {
        let texts = self.texts(key);
        let too_long = texts.iter().filter(|prefix| prefix.len() > PEER_ID_BYTES);
        let too_long: Vec<_> = too_long.map(String::as_str).collect();
        if !too_long.is_empty() {
            let verb = if too_long.len() == 1 { "does" } else { "do" };
            let shown = too_long.join(", ");
            self.refuse(
                key,
                format!("{shown} {verb} not fit: must be at most {PEER_ID_BYTES} bytes long"),
            );
        }
    }

    /// Warns of a range that holds every address of a family.
    fn check_ranges(&mut self, key: &'static str, effect: &str) {
        let all: Vec<_> =
            self.networks(key).into_iter().filter(|network| network.prefix_len() == 0).collect();
        for network in all {
            self.warn(key, format!("{network} is every address there is: {effect}"));
        }
    }

    fn check_proxy(&mut self) {
        let header = self.text("proxy.header");
        // RFC 9110, section 5.6.2, "Tokens".
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if self.are_sound(&["proxy.header"]) && (header.is_empty() || !header.bytes().all(is_token))
        {
            self.refuse("proxy.header", "must be the name of an HTTP header");
        }
        // The sample file names the default; a file of Chihaya names a header on purpose.
        let is_chosen = match &self.slot("proxy.header").origin {
            Origin::Default => false,
            Origin::File { foreign_key: Some(_), .. } => true,
            _ => !header.eq_ignore_ascii_case(&Self::initial().text("proxy.header")),
        };
        let has_proxies = !self.networks("proxy.trusted").is_empty()
            || !self.texts("listen.http_unix").is_empty();
        if is_chosen && !has_proxies {
            self.warn("proxy.header", "has no effect while proxy.trusted is empty");
        }
    }

    /// A worker waits for all of its UDP sockets together.
    fn check_udp_count(&mut self) {
        let count = self.sockets("listen.udp").unwrap_or_default().len();
        if count > SOCKETS_MAX {
            let message = format!("must be at most {SOCKETS_MAX} addresses, and {count} are given");
            self.refuse("listen.udp", message);
        }
    }

    fn check_keys(&mut self) {
        let is_set = |key| self.secret_at(key).expose().is_some();
        let some =
            self.boolean("keys.plain") || is_set("keys.site_key") || is_set("keys.xbt_private_key");
        if !some && self.word::<Mode>("mode") == Mode::Private {
            let message = "must be true, or keys.site_key or keys.xbt_private_key must be set";
            self.refuse("keys.plain", message);
        }
    }

    fn warn_of_secret(&mut self, key: &'static str) {
        let secret = self.secret_at(key);
        if secret.expose().is_some_and(|text| text.len() < SECRET_BYTES_MIN) {
            self.warn(
                key,
                format!("can be guessed: {SECRET_BYTES_MIN} random characters are the least"),
            );
        }
    }

    fn config(&self) -> Config {
        Config {
            mode: self.word("mode"),
            listen: self.listen(),
            admin: self.admin(),
            http: Http {
                head_max_bytes: self.integer("http.head_max_bytes"),
                head_timeout_secs: self.integer("http.head_timeout_secs"),
                idle_timeout_secs: self.integer("http.idle_timeout_secs"),
                write_timeout_secs: self.integer("http.write_timeout_secs"),
                connections_max: self.integer("http.connections_max"),
                connections_per_address_max: self.integer("http.connections_per_address_max"),
                plus_literal: self.boolean("http.plus_literal"),
            },
            websocket: self.websocket(),
            tls: TlsFiles { certificate: self.path("tls.certificate"), key: self.path("tls.key") },
            announce: self.announce(),
            scrape: Scrape {
                hashes_max: self.integer("scrape.hashes_max"),
                full: self.boolean("scrape.full"),
                full_max: self.integer("scrape.full_max"),
                names: self.boolean("scrape.names"),
                unknown: self.word("scrape.unknown"),
                downloaders: self.boolean("scrape.downloaders"),
                flags: self.boolean("scrape.flags"),
            },
            swarm: self.swarm(),
            access: self.access(),
            keys: Keys {
                plain: self.boolean("keys.plain"),
                site_key: self.secret_at("keys.site_key"),
                xbt_private_key: self.secret_at("keys.xbt_private_key"),
            },
            proxy: Proxy {
                trusted: self.networks("proxy.trusted"),
                header: self.text("proxy.header"),
                protocol: self.networks("proxy.protocol"),
                protocol_udp: self.networks("proxy.protocol_udp"),
            },
            storage: self.storage(),
            journal: self.journal(),
            accounts: self.accounts(),
            compat: self.compat(),
            log: Log { level: self.word("log.level"), format: self.word("log.format") },
        }
    }

    fn listen(&self) -> Listen {
        let port = u16::try_from(self.integer("listen.port")).expect("the option ends at 65535");
        Listen {
            port,
            udp: self.front_end("listen.udp", port),
            http: self.front_end("listen.http", port),
            https: self.named("listen.https"),
            tls: self.word("listen.tls"),
            http_unix: self.texts("listen.http_unix").into_iter().map(PathBuf::from).collect(),
            http_unix_mode: octal(&self.text("listen.http_unix_mode")).unwrap_or(0),
            admin: self.named("listen.admin"),
            workers: self.integer("listen.workers"),
            secret: self.secret_at("listen.secret"),
            connection_id_secs: self.integer("listen.connection_id_secs"),
            udp_backend: self.word("listen.udp_backend"),
            receive_buffer_bytes: self.integer("listen.receive_buffer_bytes"),
            udp_batch: self.integer("listen.udp_batch"),
        }
    }

    fn websocket(&self) -> Websocket {
        Websocket {
            enabled: self.boolean("websocket.enabled"),
            interval_secs: self.integer("websocket.interval_secs"),
            offers_max: self.integer("websocket.offers_max"),
            message_max_bytes: self.integer("websocket.message_max_bytes"),
            messages_per_sec_max: self.integer("websocket.messages_per_sec_max"),
            torrents_per_connection_max: self.integer("websocket.torrents_per_connection_max"),
            ping_interval_secs: self.integer("websocket.ping_interval_secs"),
            send_queue_max_bytes: self.integer("websocket.send_queue_max_bytes"),
        }
    }

    fn announce(&self) -> Announce {
        Announce {
            interval_secs: self.integer("announce.interval_secs"),
            interval_min_secs: self.integer("announce.interval_min_secs"),
            interval_jitter_percent: self.integer("announce.interval_jitter_percent"),
            interval_max_secs: self.integer("announce.interval_max_secs"),
            stretch_above_announces_per_sec: self
                .integer("announce.stretch_above_announces_per_sec"),
            stretch_above_swarm_peers: self.integer("announce.stretch_above_swarm_peers"),
            peers_default: self.integer("announce.peers_default"),
            peers_max: self.integer("announce.peers_max"),
            cross_family: self.boolean("announce.cross_family"),
            external_ip: self.boolean("announce.external_ip"),
            external_addresses: self.external_addresses(),
            port_zero: self.word("announce.port_zero"),
            completed_overrides_left: self.boolean("announce.completed_overrides_left"),
            seeds_to_seeds: self.boolean("announce.seeds_to_seeds"),
            ip_override: self.word("announce.ip_override"),
            private_peers: self.word("announce.private_peers"),
        }
    }

    fn swarm(&self) -> Swarm {
        Swarm {
            peer_ttl_secs: self.integer("swarm.peer_ttl_secs"),
            sweep_interval_secs: self.integer("swarm.sweep_interval_secs"),
            peer_ids: self.boolean("swarm.peer_ids"),
            ports_per_address_max: self.integer("swarm.ports_per_address_max"),
            peers_per_prefix_max: self.integer("swarm.peers_per_prefix_max"),
            torrents_max: self.integer("swarm.torrents_max"),
            peers_max: self.integer("swarm.peers_max"),
            memory_max_bytes: self.long("swarm.memory_max_bytes"),
            new_torrents_per_minute_max: self.integer("swarm.new_torrents_per_minute_max"),
        }
    }

    fn access(&self) -> Access {
        Access {
            torrents: self.word("access.torrents"),
            torrents_file: self.path("access.torrents_file"),
            torrents_deny_file: self.path("access.torrents_deny_file"),
            clients_allow: self.clients_of_config(),
            clients_deny: self.texts("access.clients_deny"),
            addresses_deny: self.networks("access.addresses_deny"),
            ports_reserved_deny: self.boolean("access.ports_reserved_deny"),
            connects_per_minute_max: self.integer("access.connects_per_minute_max"),
            poll_secs: self.integer("access.poll_secs"),
        }
    }

    fn front_end(&self, key: &str, port: u16) -> Listeners {
        match self.sockets(key) {
            Some(addresses) if addresses.is_empty() => {
                let hosts: [IpAddr; 2] =
                    [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
                let addresses = hosts.map(|host| SocketAddr::new(host, port)).into();
                Listeners { addresses, from_port: true }
            }
            addresses => Listeners { addresses: addresses.unwrap_or_default(), from_port: false },
        }
    }

    /// A front end that is off where nobody names an address.
    fn named(&self, key: &str) -> Listeners {
        Listeners { addresses: self.sockets(key).unwrap_or_default(), from_port: false }
    }

    fn slot(&self, key: &str) -> &Slot {
        &self.slots[position(key).expect("a key of the list, written in this file")]
    }

    fn slot_mut(&mut self, key: &str) -> &mut Slot {
        &mut self.slots[position(key).expect("a key of the list, written in this file")]
    }

    fn is_default(&self, key: &str) -> bool {
        self.slot(key).origin == Origin::Default
    }

    /// Whether any option of a section has another value than its default.
    fn is_section_set(&self, section: &str) -> bool {
        let initial = Self::initial();
        let slots = OPTIONS.iter().zip(self.slots.iter().zip(&initial.slots));
        let mut of_section = slots.filter(|(option, _)| option.section_and_name().0 == section);
        of_section.any(|(_, (slot, initial))| slot.value != initial.value)
    }

    fn are_sound(&self, keys: &[&str]) -> bool {
        keys.iter().all(|key| !self.slot(key).refused)
    }

    /// Says what an option is and who says so, for the message of another one.
    fn described(&self, key: &str) -> String {
        let slot = self.slot(key);
        format!("{key} = {} ({})", slot.value.to_toml(), slot.origin)
    }

    fn refuse(&mut self, key: &'static str, message: impl Into<String>) {
        let slot = self.slot(key);
        let problem =
            Problem::of_key(key, slot.origin.clone(), message).with_value(slot.value.to_toml());
        self.problems.push(problem);
    }

    fn warn(&mut self, key: &'static str, message: impl Into<String>) {
        self.warnings.push(Warning::new(key, message));
    }
}

/// Reads of a value by the type that its option has.
macro_rules! read {
    ($name:ident, $variant:ident, $type:ty) => {
        fn $name(&self, key: &str) -> $type {
            match &self.slot(key).value {
                Value::$variant(value) => value.clone(),
                other => unreachable!("{key} holds {other:?}"),
            }
        }
    };
}

impl Settings {
    read!(boolean, Bool, bool);
    read!(long, Integer, u64);
    read!(text, Text, String);
    read!(texts, Texts, Vec<String>);
    read!(sockets, Sockets, Option<Vec<SocketAddr>>);
    read!(networks, Networks, Vec<IpNet>);
    read!(secret_at, Secret, Secret);

    fn integer(&self, key: &str) -> u32 {
        u32::try_from(self.long(key)).expect("the range of the option fits")
    }

    fn path(&self, key: &str) -> Option<PathBuf> {
        let text = self.text(key);
        (!text.is_empty()).then(|| text.into())
    }

    fn word<W: Word>(&self, key: &str) -> W {
        W::from_word(&self.text(key)).expect("the option takes the words of its own type")
    }
}

const PEER_ID_BYTES: usize = 20;
const SECRET_BYTES_MIN: usize = 16;
