//! The certificate of a running tracker: read again when asked to, and when its files change.
//!
//! What cannot be used leaves in force what was in force, says so in the log, and is tried again.

use std::sync::Arc;

use skep_store::{Look, Watched};

use crate::config::TlsFiles;
use crate::telemetry::Gauges;
use crate::tls::{Tls, TlsError, told};

/// A certificate with its key, and the files that they came from.
pub struct Certificate {
    tls: Arc<Tls>,
    files: TlsFiles,
    watched: Vec<Watched>,
    /// What was complained of, so that it is not told again at every look.
    complaint: String,
}

impl Certificate {
    /// Reads the files of a tracker that starts.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn load(files: TlsFiles) -> Result<Self, Vec<TlsError>> {
        let watched = watch(&files);
        let tls = Arc::new(Tls::load(&files)?);
        Ok(Self { tls, files, watched, complaint: String::new() })
    }

    /// What connections are taken in with; it follows every reload.
    #[must_use]
    pub const fn tls(&self) -> &Arc<Tls> {
        &self.tls
    }

    /// Shows the metrics what is in force and how the last reading went.
    pub(super) fn note(&self, gauges: &Gauges) {
        gauges.set_certificate(self.complaint.is_empty(), self.tls.expires_unix_secs());
    }

    /// Reads these files, whatever was read before.
    pub(super) fn reload(&mut self, files: &TlsFiles, gauges: &Gauges) {
        self.watched = watch(files);
        self.files.clone_from(files);
        self.complaint.clear();
        self.read(gauges);
    }

    /// Looks at the files, and reads them again if one changed and none is being written.
    pub(super) fn poll(&mut self, gauges: &Gauges) {
        let looks: Vec<_> = self.watched.iter_mut().map(Watched::look).collect();
        let changed = looks.contains(&Look::Changed) && !looks.contains(&Look::Changing);
        if changed || (!self.complaint.is_empty() && !looks.contains(&Look::Changing)) {
            self.read(gauges);
        }
    }

    fn read(&mut self, gauges: &Gauges) {
        match self.tls.reload(&self.files) {
            Ok(()) => {
                self.watched.iter_mut().for_each(Watched::note_read);
                self.complaint.clear();
                let expires_unix_secs = self.tls.expires_unix_secs();
                tracing::info!(expires_unix_secs, "the certificate is reloaded");
            }
            Err(errors) => {
                let complaint = told(&errors);
                if self.complaint != complaint {
                    tracing::error!(
                        "the certificate is not reloaded: {complaint}; the old one stays in force, \
                         and the next look tries again"
                    );
                    self.complaint = complaint;
                }
            }
        }
        self.note(gauges);
    }
}

fn watch(files: &TlsFiles) -> Vec<Watched> {
    [&files.certificate, &files.key].into_iter().flatten().map(Watched::new).collect()
}
