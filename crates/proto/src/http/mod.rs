//! The HTTP tracker protocol: request heads to words, and words to responses.
//!
//! Sockets, time-outs and limits on connections are not known here, and neither is any rule about
//! who gets an answer. Targets are bytes, not text: an info_hash may stand in them unescaped.

mod forwarded;
mod head;
pub mod percent;
mod query;
mod response;
mod target;

pub use forwarded::{client_address, forwarded_client_address};
pub use head::{HEADERS_MAX, Head, HeadError, HeadStatus, Method, parse_head};
pub use query::{
    AnnounceQuery, Pairs, QueryOptions, first_info_hash, pairs, parse_announce, parse_scrape,
    passkey_in_query,
};
pub use response::{
    AnnounceReply, Connection, ContentType, Failure, PeerList, ResponseHead, RetryIn, ScrapeEntry,
    ScrapeWriter, Status, respond, respond_head, write_announce, write_failure, write_scrape,
};
pub use target::{Passkey, Route, Target};

#[cfg(test)]
mod tests;
