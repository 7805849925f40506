//! The UDP tracker protocol: datagrams to words and back.
//!
//! Decoding has two stages, because a connection id must be proved before anything else is looked
//! at: [`Header::read`] first, a body reader after the proof. How an id is made and proved is not
//! known here, and nothing here decides whether a datagram gets an answer.

mod options;
mod request;
mod response;

pub use options::{URL_DATA_BYTES_MAX, UrlData, url_data};
pub use request::{
    ACTION_ANNOUNCE, ACTION_CONNECT, ACTION_ERROR, ACTION_SCRAPE, ANNOUNCE_REQUEST_BYTES,
    CONNECT_MAGIC, HEADER_BYTES, Header, InfoHashes, UdpAnnounce, read_announce, read_scrape,
};
pub use response::{
    ANNOUNCE_HEADER_BYTES, CONNECT_BYTES, ERROR_TEXT_BYTES_MAX, IPV4_PAYLOAD_BYTES_MAX,
    IPV4_PEERS_MAX, IPV6_PAYLOAD_BYTES_MAX, IPV6_PEERS_MAX, SCRAPE_ENTRY_BYTES,
    SCRAPE_HEADER_BYTES, SCRAPE_INFO_HASHES_MAX, write_announce_header, write_connect, write_error,
    write_scrape_entry, write_scrape_header,
};

#[cfg(test)]
mod tests;
