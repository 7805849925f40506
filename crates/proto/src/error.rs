//! Every way in which a client can break the formats, one variant each.
//!
//! Refusals that follow from a rule of the operator are not here; they belong to the engine.

use core::fmt;

/// A violation found while decoding a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[non_exhaustive]
pub enum DecodeError {
    /// A UDP body is too short, or its hashes are not a multiple of 20 bytes.
    MalformedPacket,
    /// An action that is none of the protocol's.
    UnknownAction,
    /// No `info_hash` in an announce.
    MissingInfoHash,
    /// An `info_hash` that is not 20 bytes.
    InvalidInfoHash,
    /// More than one `info_hash` in an announce.
    MultipleInfoHash,
    /// No `peer_id` in an announce.
    MissingPeerId,
    /// A `peer_id` that is not 20 bytes.
    InvalidPeerId,
    /// A port that is absent, 0, above 65535 or not a number.
    InvalidPort,
    /// A scrape that names no torrent.
    FullScrape,
    /// A WebSocket message that is not one JSON object.
    InvalidJson,
    /// A WebRTC answer without the 20 bytes of the peer that it is for.
    InvalidToPeerId,
    /// A WebRTC answer without the 20 bytes of the offer that it answers.
    InvalidOfferId,
    /// A WebRTC answer without a session description.
    InvalidAnswer,
    /// No `left` in an announce of a user whose traffic is counted.
    MissingLeft,
    /// No `uploaded` that can be read in an announce of a user whose traffic is counted.
    MissingUploaded,
    /// No `downloaded` that can be read in an announce of a user whose traffic is counted.
    MissingDownloaded,
}

impl DecodeError {
    /// Every variant, in the order of [`DecodeError::index`].
    pub const ALL: [Self; 16] = [
        Self::MalformedPacket,
        Self::UnknownAction,
        Self::MissingInfoHash,
        Self::InvalidInfoHash,
        Self::MultipleInfoHash,
        Self::MissingPeerId,
        Self::InvalidPeerId,
        Self::InvalidPort,
        Self::FullScrape,
        Self::InvalidJson,
        Self::InvalidToPeerId,
        Self::InvalidOfferId,
        Self::InvalidAnswer,
        Self::MissingLeft,
        Self::MissingUploaded,
        Self::MissingDownloaded,
    ];

    /// Position in [`DecodeError::ALL`], to count by.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The fixed text that the client gets; never more than 48 bytes, never an echo.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::MalformedPacket => "malformed packet",
            Self::UnknownAction => "unknown action",
            Self::MissingInfoHash => "missing info_hash",
            Self::InvalidInfoHash => "invalid info_hash",
            Self::MultipleInfoHash => "multiple info_hash",
            Self::MissingPeerId => "missing peer_id",
            Self::InvalidPeerId => "invalid peer_id",
            Self::InvalidPort => "invalid port",
            Self::FullScrape => "full scrape not allowed",
            Self::InvalidJson => "invalid JSON",
            Self::InvalidToPeerId => "invalid `to_peer_id` (required with `answer`)",
            Self::InvalidOfferId => "invalid offer_id",
            Self::InvalidAnswer => "invalid answer",
            Self::MissingLeft => "missing left",
            Self::MissingUploaded => "missing or invalid uploaded",
            Self::MissingDownloaded => "missing or invalid downloaded",
        }
    }

    /// The name of the violation for a metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::MalformedPacket => "malformed_packet",
            Self::UnknownAction => "unknown_action",
            Self::MissingInfoHash => "missing_info_hash",
            Self::InvalidInfoHash => "invalid_info_hash",
            Self::MultipleInfoHash => "multiple_info_hash",
            Self::MissingPeerId => "missing_peer_id",
            Self::InvalidPeerId => "invalid_peer_id",
            Self::InvalidPort => "invalid_port",
            Self::FullScrape => "full_scrape",
            Self::InvalidJson => "invalid_json",
            Self::InvalidToPeerId => "invalid_to_peer_id",
            Self::InvalidOfferId => "invalid_offer_id",
            Self::InvalidAnswer => "invalid_answer",
            Self::MissingLeft => "missing_left",
            Self::MissingUploaded => "missing_uploaded",
            Self::MissingDownloaded => "missing_downloaded",
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for DecodeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_violation_counts_in_its_own_place() {
        for (position, violation) in DecodeError::ALL.into_iter().enumerate() {
            assert_eq!(violation.index(), position);
            assert!(violation.text().len() <= 48);
        }
    }
}
