//! The WebTorrent tracker protocol: frames and JSON messages to words, and words to both.
//!
//! Sockets, time-outs and send queues are not known here, and neither is who gets which offer.
//! A session description is never looked into: it goes on as the JSON text that it came as.
//!
//! A message is checked for UTF-8 once, by [`Reader`]; everything after it is `str`.

pub mod handshake;

mod frame;
mod json;
mod message;
mod read;
mod reply;

pub use frame::{
    TextMark, begin_text, close_code, end_text, write_close, write_ping, write_pong, write_text,
};
pub use message::{
    Action, Announce, Answer, InfoHashes, Limits, MessageError, OFFERS_MAX, Offer, Offers, Request,
    Scrape, parse,
};
pub use read::{Event, ReadError, Reader, Step};
pub use reply::{
    Announced, ScrapeEntry, write_announced, write_answer, write_failure, write_offer, write_scrape,
};

#[cfg(test)]
mod tests;
