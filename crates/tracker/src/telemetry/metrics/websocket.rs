//! Readers of what is told of WebSocket connections and of messages between browsers.
//!
//! Their traffic is read with that of the other transports.

use skep_engine::counters::Cut;

use super::{Samples, Scrape};

pub(in crate::telemetry) fn connections(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    scrape.of_workers(samples, &[], |worker| &worker.websocket_connections);
}

pub(in crate::telemetry) fn cuts(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    for cut in Cut::ALL {
        let workers = scrape.sources.workers.iter();
        let sum = workers.map(|worker| worker.websocket_cuts[cut as usize].get()).sum();
        samples.count(&[cut.label()], sum);
    }
}

pub(in crate::telemetry) fn messages(scrape: &Scrape<'_>, samples: &mut Samples<'_>) {
    scrape.of_workers(samples, &["offer_passed"], |worker| &worker.offers_passed);
    scrape.of_workers(samples, &["answer_passed"], |worker| &worker.answers_passed);
    scrape.of_workers(samples, &["answer_unasked"], |worker| &worker.answers_unasked);
    scrape.of_workers(samples, &["lost"], |worker| &worker.messages_lost);
}
