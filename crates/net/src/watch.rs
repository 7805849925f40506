//! Thousands of sockets watched by the kernel, which says what is new with some of them; Linux only.
//!
//! Reading and sending is the business of whoever watches, and so is waiting: looking never waits.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// News of one look at most.
const NEWS_MAX: usize = 256;

/// What is always told besides errors and the end of a connection.
const EVENTS: libc::c_int = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;

/// The sockets that are watched. Readable itself when there is news of any.
#[derive(Debug)]
pub struct Watch(OwnedFd);

/// Room for the news of one look.
pub struct Room([libc::epoll_event; NEWS_MAX]);

/// What is new with a socket since that was last told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct News {
    /// What the socket was called when it was added.
    pub name: u64,
    /// Something can be read, perhaps an error or the end.
    pub readable: bool,
    /// Something can be sent, or the attempt tells why not.
    pub writable: bool,
    /// Nothing comes after what can be read.
    pub ended: bool,
}

impl Watch {
    /// Begins with no socket.
    ///
    /// # Errors
    /// The cause given by the kernel, for example when the process has too many files.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers, and the result is looked at before it is used.
        let descriptor = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just made this descriptor, and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    /// Adds a socket until it is removed or closed; what can be done with it now is news.
    ///
    /// # Errors
    /// The cause given by the kernel, for example when it watches too many sockets.
    pub fn add(&self, socket: impl AsFd, name: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, socket.as_fd(), name)
    }

    /// Removes a socket that will not be closed now.
    ///
    /// # Errors
    /// The cause given by the kernel, for example when the socket is not watched.
    pub fn remove(&self, socket: impl AsFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, socket.as_fd(), 0)
    }

    fn control(&self, operation: libc::c_int, socket: BorrowedFd<'_>, name: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: EVENTS as u32, u64: name };
        // SAFETY: both descriptors are open while they are borrowed, and the kernel copies the event.
        let result = unsafe {
            libc::epoll_ctl(self.0.as_raw_fd(), operation, socket.as_raw_fd(), &raw mut event)
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Takes news, which is not told again: whoever is told that something can be read must read
    /// until nothing is left, or until less came than there was room for.
    ///
    /// # Errors
    /// The cause given by the kernel.
    pub fn look<'a>(
        &self,
        room: &'a mut Room,
    ) -> io::Result<impl ExactSizeIterator<Item = News> + Clone + use<'a>> {
        // SAFETY: the pointer and length describe the room, which outlives the call.
        let count = unsafe {
            libc::epoll_wait(self.0.as_raw_fd(), room.0.as_mut_ptr(), NEWS_MAX as libc::c_int, 0)
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        Ok(room.0[..count].iter().map(|event| {
            let (events, name) = (event.events as libc::c_int, event.u64);
            let broken = events & (libc::EPOLLERR | libc::EPOLLHUP) != 0;
            News {
                name,
                readable: broken || events & (libc::EPOLLIN | libc::EPOLLRDHUP) != 0,
                writable: broken || events & libc::EPOLLOUT != 0,
                ended: broken || events & libc::EPOLLRDHUP != 0,
            }
        }))
    }
}

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.as_raw_fd()
    }
}

impl Default for Room {
    fn default() -> Self {
        Self([libc::epoll_event { events: 0, u64: 0 }; NEWS_MAX])
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn look(watch: &Watch) -> Vec<News> {
        watch.look(&mut Room::default()).unwrap().collect()
    }

    #[test]
    fn news_is_told_once_and_by_name() {
        let watch = Watch::new().unwrap();
        let (mut near, mut far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        watch.add(&near, u64::MAX).unwrap();
        let fresh = News { name: u64::MAX, readable: false, writable: true, ended: false };
        assert_eq!(look(&watch), [fresh]);
        assert_eq!(look(&watch), []);
        far.write_all(b"ab").unwrap();
        assert_eq!(look(&watch), [News { readable: true, ..fresh }]);
        assert_eq!(near.read(&mut [0; 9]).unwrap(), 2);
        assert_eq!(look(&watch), []);
        drop(far);
        assert_eq!(look(&watch), [News { readable: true, ended: true, ..fresh }]);
    }

    #[test]
    fn removed_and_closed_sockets_are_not_told_of() {
        let watch = Watch::new().unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        watch.add(&near, 1).unwrap();
        watch.add(&far, 2).unwrap();
        watch.remove(&near).unwrap();
        assert!(watch.remove(&near).is_err());
        assert_eq!(look(&watch).iter().map(|news| news.name).collect::<Vec<_>>(), [2]);
        drop(far);
        assert_eq!(look(&watch), []);
    }
}
