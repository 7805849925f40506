//! TLS in a program that was built without it: there is none.
//!
//! The configuration refuses what would ask for it before.

use super::{TlsError, paths};
use crate::config::TlsFiles;

/// Nothing: no value of this type exists.
#[derive(Debug)]
pub enum Tls {}

impl Tls {
    /// Refuses every file.
    ///
    /// # Errors
    /// Always.
    pub fn load(files: &TlsFiles) -> Result<Self, Vec<TlsError>> {
        let [certificate, _] = paths(files);
        let what = "cannot be used: this program was built without TLS";
        Err(vec![TlsError::new("tls.certificate", certificate, what)])
    }

    /// Cannot be called.
    ///
    /// # Errors
    /// None.
    pub fn reload(&self, _files: &TlsFiles) -> Result<(), Vec<TlsError>> {
        match *self {}
    }

    /// Cannot be called.
    #[must_use]
    pub fn expires_unix_secs(&self) -> u64 {
        match *self {}
    }
}
