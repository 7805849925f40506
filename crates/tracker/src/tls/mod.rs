//! The certificate and the key with which connections are taken in, and how they are read.
//!
//! Moves no byte of a connection. When the files are read again is decided in `reload`.

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(feature = "tls")]
mod expiry;
#[cfg(feature = "tls")]
mod present;

use std::path::Path;

use crate::config::{Loaded, Problem, TlsFiles};

#[cfg(not(feature = "tls"))]
pub use self::absent::Tls;
#[cfg(feature = "tls")]
pub use self::present::Tls;

/// Why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct TlsError {
    /// The option that names the file.
    pub key: &'static str,
    /// What is wrong.
    pub message: String,
}

impl TlsError {
    fn new(key: &'static str, path: &Path, what: impl std::fmt::Display) -> Self {
        Self { key, message: format!("{}: {what}", path.display()) }
    }
}

/// Puts errors into one line.
#[must_use]
pub fn told(errors: &[TlsError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Reads the files that a configuration asks for and returns what keeps them from being used.
#[must_use]
pub fn problems(loaded: &Loaded) -> Vec<Problem> {
    if !loaded.config.speaks_tls() {
        return Vec::new();
    }
    let errors = Tls::load(&loaded.config.tls).err().unwrap_or_default();
    errors.into_iter().map(|error| loaded.problem(error.key, error.message)).collect()
}

/// The paths of both files.
fn paths(files: &TlsFiles) -> [&Path; 2] {
    [&files.certificate, &files.key].map(|path| path.as_deref().unwrap_or_else(|| Path::new("")))
}
