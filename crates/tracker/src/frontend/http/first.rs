//! The first request of a connection, answered where it is accepted, if it is there already.
//!
//! Most clients ask once and go. Such a connection is read, answered and closed in four system calls
//! and the event loop never hears of it. Whatever needs to wait is handed on to `connection`.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;

use skep_net::tcp::send_last;
use skep_proto::http::{HeadStatus, parse_head};

use super::Door;
use super::answer::Next;
use super::client::Client;

/// Room for a request; a longer one is not there at once anyway.
pub(super) const REQUEST_BYTES: usize = 4096;

/// Room that is used again for every connection.
pub(super) struct Room {
    input: Box<[u8; REQUEST_BYTES]>,
    output: Vec<u8>,
}

impl Default for Room {
    fn default() -> Self {
        Self { input: Box::new([0; REQUEST_BYTES]), output: Vec::new() }
    }
}

/// How a connection goes on after the first look at it.
#[derive(Default)]
pub(super) struct Start {
    /// What was received and not yet answered.
    pub(super) input: Vec<u8>,
    /// What is to be sent.
    pub(super) output: Vec<u8>,
    /// The first request, if it was looked at.
    pub(super) next: Option<Next>,
}

/// Answers what a new connection says, if it does; `None` if the connection is over.
pub(super) fn look(door: &Door, stream: &TcpStream, client: Client) -> Option<Start> {
    let room = &mut *door.room.borrow_mut();
    let length = match (&*stream).read(&mut room.input[..]) {
        Ok(0) => return None,
        Ok(length) => length,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(Start::default()),
        Err(_) => return None,
    };
    let input = &room.input[..length];
    let later = |rest: &[u8]| Start { input: rest.to_vec(), ..Start::default() };
    let head = match parse_head(input, door.limits.head_bytes_max) {
        // A body must be read before the connection can be closed.
        HeadStatus::Complete(head) if !head.has_body => head,
        _ => return Some(later(input)),
    };
    room.output.clear();
    let next = door.answerer.borrow_mut().answer(&head, client, &mut room.output);
    let rest = &input[head.len..];
    let closes = matches!(&next, Next::Written(connection) if !connection.stays_open());
    if closes {
        match send_last(stream, &room.output) {
            Ok(sent) if sent == room.output.len() => {
                door.answerer.borrow().count_sent(client, sent);
                return None;
            }
            Ok(sent) => {
                door.answerer.borrow().count_sent(client, sent);
                room.output.drain(..sent);
            }
            Err(_) => {}
        }
    }
    Some(Start { output: std::mem::take(&mut room.output), next: Some(next), ..later(rest) })
}
