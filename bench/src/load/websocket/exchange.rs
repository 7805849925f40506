//! What one announce over WebSocket brings about: its reply, its offers at other peers, and their
//! answers.
//!
//! Each message must come once, from and to the right peer; sockets and JSON are not known here.

use crate::load::answer::Wrong;
use crate::load::websocket::message::OFFERS_MAX;

/// Stands for no connection.
const NOBODY: u32 = u32::MAX;

/// One announce under way, or one scrape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    pub(crate) turn: u16,
    pub(crate) begun_nanos: u64,
    replied: bool,
    /// Offers that the tracker should pass on: fewer than were sent where there are fewer peers.
    wanted: u32,
    delivered: u32,
    answered: u32,
    /// Which connection each offer came to.
    receivers: [u32; OFFERS_MAX as usize],
    /// The offers that were answered, one bit for each.
    answers: u32,
}

impl Exchange {
    pub(crate) fn new(turn: u16, wanted: u32, begun_nanos: u64) -> Self {
        Self {
            turn,
            begun_nanos,
            replied: false,
            wanted,
            delivered: 0,
            answered: 0,
            receivers: [NOBODY; OFFERS_MAX as usize],
            answers: 0,
        }
    }

    /// Whether the reply has not come.
    pub(crate) fn awaits_reply(&self) -> bool {
        !self.replied
    }

    /// Takes note of the reply.
    pub(crate) fn reply(&mut self) {
        self.replied = true;
    }

    /// Takes note of an offer that came to a connection.
    pub(crate) fn deliver(&mut self, index: u32, receiver: u32) -> Result<(), Wrong> {
        let Some(place) = self.receivers.get(index as usize) else {
            return Err(Wrong::Relayed);
        };
        if *place != NOBODY || self.receivers.contains(&receiver) || self.delivered == self.wanted {
            return Err(Wrong::Relayed);
        }
        self.receivers[index as usize] = receiver;
        self.delivered += 1;
        Ok(())
    }

    /// Who got an offer.
    pub(crate) fn receiver(&self, index: u32) -> Option<u32> {
        self.receivers.get(index as usize).copied().filter(|&receiver| receiver != NOBODY)
    }

    /// Takes note of an answer that came back.
    pub(crate) fn answer(&mut self, index: u32) -> Result<(), Wrong> {
        let bit = 1 << index;
        if self.receiver(index).is_none() || self.answers & bit != 0 {
            return Err(Wrong::Relayed);
        }
        self.answers |= bit;
        self.answered += 1;
        Ok(())
    }

    /// Messages that the tracker still has to send because of what it was sent.
    pub(crate) fn owed(&self) -> usize {
        usize::from(!self.replied) + (self.wanted - self.answered) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchange_is_over_when_everything_came_once() {
        let mut exchange = Exchange::new(1, 2, 0);
        assert_eq!(exchange.owed(), 3);
        assert!(exchange.awaits_reply());
        exchange.reply();
        assert!(!exchange.awaits_reply());
        exchange.deliver(4, 10).unwrap();
        exchange.deliver(0, 11).unwrap();
        assert_eq!(exchange.owed(), 2);
        exchange.answer(4).unwrap();
        exchange.answer(0).unwrap();
        assert_eq!(exchange.owed(), 0);
        assert_eq!((exchange.receiver(4), exchange.receiver(1)), (Some(10), None));
    }

    #[test]
    fn what_comes_twice_or_too_often_is_wrong() {
        let mut exchange = Exchange::new(1, 2, 0);
        exchange.deliver(0, 10).unwrap();
        // The same offer, the same receiver, and no offer at all.
        for (index, receiver) in [(0, 11), (1, 10), (OFFERS_MAX, 12)] {
            assert_eq!(exchange.deliver(index, receiver), Err(Wrong::Relayed));
        }
        assert_eq!(exchange.answer(1), Err(Wrong::Relayed));
        exchange.answer(0).unwrap();
        assert_eq!(exchange.answer(0), Err(Wrong::Relayed));
        exchange.deliver(1, 11).unwrap();
        assert_eq!(exchange.deliver(2, 12), Err(Wrong::Relayed));
    }
}
