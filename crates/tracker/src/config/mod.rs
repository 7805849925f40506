//! The configuration: from flags, environment, file and defaults to a value that cannot be wrong.
//!
//! Binds nothing and reads nothing but the configuration file; arguments and environment are
//! handed in.

mod chihaya;
mod model;
pub mod options;
mod problem;
mod raw;
pub mod render;
mod resolve;
mod value;
mod words;

pub use model::{
    Access, Accounts, Admin, AdminToken, Announce, Compat, Config, Http, Journal, Keys, Listen,
    Listeners, Log, Proxy, Scrape, Storage, Swarm, TlsFiles, Websocket,
};
pub use problem::{Origin, Problem, Warning, report};
pub use raw::Sources;
pub use resolve::{Loaded, changed_restart_keys};
pub use value::Secret;
pub use words::{
    Combine, FirstAnnounce, IpOverride, LogFormat, LogLevel, Mode, ParallelTime, PortZero,
    PrivatePeers, Scope, TlsOnHttp, TorrentAccess, UdpBackend, UnknownScrape,
};

pub(crate) use problem::{nearest, printable};
pub(crate) use raw::{give_text, nearest_key, read_environment};
pub(crate) use resolve::scopes_of;
