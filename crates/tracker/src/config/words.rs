//! The words that an option of several choices may take, as enums.
//!
//! Holds no meaning of a word beyond its name: what a choice does is decided where it is used.

/// A choice that is written as one word.
pub(crate) trait Word: Sized {
    /// Returns the choice that `word` names.
    fn from_word(word: &str) -> Option<Self>;
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$choice_doc:meta])* $choice:ident = $word:literal,)+
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$choice_doc])* $choice,)+
        }

        impl $name {
            /// Every word, in the order of the choices.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// Returns the word of this choice.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$choice => $word,)+
                }
            }
        }

        impl Word for $name {
            fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$choice),)+
                    _ => None,
                }
            }
        }
    };
}

words! {
    /// Which torrents are served.
    Mode {
        /// Any torrent, within the access lists.
        Public = "public",
        /// Only torrents that are known.
        Registered = "registered",
        /// Only torrents that are known, and only for users.
        Private = "private",
    }
}

words! {
    /// How UDP datagrams are received and sent.
    UdpBackend {
        /// The fastest one that this system has.
        Auto = "auto",
        /// Batches by `recvmmsg` and `sendmmsg`.
        Mmsg = "mmsg",
        /// One system call a datagram, on any system.
        Std = "std",
    }
}

words! {
    /// Whether TLS is spoken where plain HTTP is.
    TlsOnHttp {
        /// It is not.
        Off = "off",
        /// By the first byte of a connection.
        Detect = "detect",
    }
}

words! {
    /// What happens to an announce with port 0.
    PortZero {
        /// It is refused.
        Refuse = "refuse",
        /// It is answered, and the peer is not handed to others.
        Unlisted = "unlisted",
    }
}

words! {
    /// Whose `ip` parameter is believed.
    IpOverride {
        /// Nobody's.
        Off = "off",
        /// That of a client with a loopback or private source address.
        Local = "local",
    }
}

words! {
    /// Who is given peers with private addresses.
    PrivatePeers {
        /// Clients with a private address.
        Match = "match",
        /// Everybody.
        Always = "always",
        /// Nobody.
        Never = "never",
    }
}

words! {
    /// How an HTTP scrape shows a torrent that is not known.
    UnknownScrape {
        /// With counts of zero.
        Zeros = "zeros",
        /// Not at all.
        Omit = "omit",
    }
}

words! {
    /// How the torrents file is read.
    TorrentAccess {
        /// It is not: every torrent is served.
        Open = "open",
        /// Only listed torrents are served.
        Allow = "allow",
        /// Listed torrents are refused.
        Deny = "deny",
    }
}

words! {
    /// What becomes of the counters of an unknown session.
    FirstAnnounce {
        /// Counting begins there.
        Baseline = "baseline",
        /// They are credited in full.
        Credit = "credit",
    }
}

words! {
    /// How the time of parallel sessions adds up.
    ParallelTime {
        /// An hour is an hour.
        Once = "once",
        /// Each session counts for itself.
        Each = "each",
    }
}

words! {
    /// How several factors become one.
    Combine {
        /// The best one for the user.
        Best = "best",
        /// The product of all.
        Product = "product",
        /// The first one in force.
        First = "first",
    }
}

words! {
    /// The least severe messages that are logged.
    LogLevel {
        /// Something failed and needs the operator.
        Error = "error",
        /// Something may need the operator.
        Warn = "warn",
        /// What happened to the tracker.
        Info = "info",
        /// How the tracker goes about it.
        Debug = "debug",
    }
}

words! {
    /// The form of a log line.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

words! {
    /// What a token of the API may be used for.
    Scope {
        /// To read everything but passkeys.
        Read = "read",
        /// To change torrents, users, groups and factors.
        Write = "write",
        /// To change bans and rules about clients.
        Bans = "bans",
        /// To reload configuration and lists.
        Reload = "reload",
        /// To follow what a user or the clients of a torrent announce.
        Trace = "trace",
        /// To read passkeys.
        Passkeys = "users:passkeys",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_names_its_choice() {
        for word in TorrentAccess::WORDS {
            assert_eq!(TorrentAccess::from_word(word).map(TorrentAccess::word), Some(*word));
        }
        assert_eq!(TorrentAccess::from_word("Open"), None);
    }
}
