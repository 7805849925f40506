//! Threads of listeners that speak to sites in the words of other trackers.
//!
//! What their routes answer is known elsewhere.

use std::net::TcpListener;
use std::sync::Arc;

use axum::Router;

use super::{Parts, StartError};
use crate::admin::{self, AdminState};
use crate::compat::chihaya::{self, Chihaya};
use crate::config::Config;
use crate::frontend::Shared;
use crate::site::Books;

impl Parts<'_> {
    pub(super) fn spawn_chihaya(
        &mut self,
        listeners: Vec<TcpListener>,
        admin: &Arc<AdminState>,
        books: &Arc<Books>,
    ) -> Result<(), StartError> {
        let Shared { store, clock, .. } = self.shared.clone();
        let Config { mode, compat, .. } = self.config;
        let token = compat.chihaya_token.expose();
        let chihaya = Chihaya::new(books.clone(), store, admin.clone(), clock, *mode, token);
        let chihaya = Arc::new(chihaya);
        for (number, listener) in listeners.into_iter().enumerate() {
            let router = chihaya::router(chihaya.clone());
            self.spawn_routes(format!("skep-chihaya-{number}"), "chihaya", listener, router)?;
        }
        Ok(())
    }

    fn spawn_routes(
        &mut self,
        name: String,
        what: &'static str,
        listener: TcpListener,
        router: Router,
    ) -> Result<(), StartError> {
        let shutdown = self.shared.shutdown.clone();
        self.spawn(name, move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(admin::serve_router(what, listener, router, async move {
                shutdown.wait().await;
            }))
        })
    }
}
