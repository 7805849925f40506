//! Waiting on many sockets, precise sleep, the thread's own account, and signals that end this process.
//!
//! Besides `mmsg` the only file with unsafe code here; what is waited for or ended is decided by
//! the callers.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::{mem, ptr};

use crate::load::clock;

/// Sockets that are waited for together, known by their place in the list.
pub(crate) struct Waiter {
    sockets: Vec<libc::pollfd>,
}

impl Waiter {
    /// The sockets must stay open as long as they are waited for.
    pub(crate) fn new<'a, S: AsRawFd + 'a>(sockets: impl Iterator<Item = &'a S>) -> Self {
        let entry = |fd: RawFd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        Self { sockets: sockets.map(|socket| entry(socket.as_raw_fd())).collect() }
    }

    /// Waits until a socket has something to receive or the time is over.
    ///
    /// # Errors
    /// The cause given by the system; a signal is none.
    pub(crate) fn wait(&mut self, nanos: u64) -> io::Result<()> {
        let wait = libc::timespec {
            tv_sec: (nanos / 1_000_000_000) as _,
            tv_nsec: (nanos % 1_000_000_000) as _,
        };
        // SAFETY: the list is borrowed until the call returns and its length is stated; the time
        // lives on the stack, and there is no mask of signals.
        let ready = unsafe {
            libc::ppoll(
                self.sockets.as_mut_ptr(),
                self.sockets.len() as _,
                &raw const wait,
                ptr::null(),
            )
        };
        if ready >= 0 {
            return Ok(());
        }
        let cause = io::Error::last_os_error();
        match cause.kind() {
            io::ErrorKind::Interrupted => {
                self.sockets.iter_mut().for_each(|socket| socket.revents = 0);
                Ok(())
            }
            _ => Err(cause),
        }
    }

    /// Whether the last wait found something at a socket.
    pub(crate) fn is_ready(&self, index: usize) -> bool {
        self.sockets[index].revents != 0
    }
}

/// Events that are taken together at the most.
const EVENTS_MAX: usize = 256;

/// Any number of sockets that are waited for together, each under a name.
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Box<[libc::epoll_event]>,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointer is passed; the result is checked below.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if epoll < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has just opened this descriptor and nobody else knows it.
        let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
        let nothing = libc::epoll_event { events: 0, u64: 0 };
        Ok(Self { epoll, events: vec![nothing; EVENTS_MAX].into() })
    }

    /// Waits for a socket from now on, until it is closed.
    ///
    /// # Errors
    /// The cause given by the system.
    pub(crate) fn add(&self, socket: &impl AsRawFd, name: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: name };
        let (epoll, socket) = (self.epoll.as_raw_fd(), socket.as_raw_fd());
        // SAFETY: the event lives on the stack; the kernel copies it before it returns.
        match unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, socket, &raw mut event) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Waits until sockets have something to receive and returns how many have.
    ///
    /// # Errors
    /// The cause given by the system; a signal is none.
    pub(crate) fn wait(&mut self) -> io::Result<usize> {
        self.wait_for(-1)
    }

    /// Returns how many sockets have something to receive right now, a part of them if all are many.
    ///
    /// # Errors
    /// As [`Poller::wait`].
    pub(crate) fn poll(&mut self) -> io::Result<usize> {
        self.wait_for(0)
    }

    fn wait_for(&mut self, patience_ms: libc::c_int) -> io::Result<usize> {
        let (epoll, room) = (self.epoll.as_raw_fd(), EVENTS_MAX as libc::c_int);
        // SAFETY: the room for events is owned by `self`, borrowed until the call returns, and as
        // long as stated.
        let ready = unsafe { libc::epoll_wait(epoll, self.events.as_mut_ptr(), room, patience_ms) };
        usize::try_from(ready).or_else(|_| match io::Error::last_os_error() {
            cause if cause.kind() == io::ErrorKind::Interrupted => Ok(0),
            cause => Err(cause),
        })
    }

    /// The name of one of the sockets that the last wait found.
    pub(crate) fn ready(&self, index: usize) -> u64 {
        self.events[index].u64
    }
}

/// Processor time that this thread has used.
pub(crate) fn thread_cpu_nanos() -> u64 {
    let mut used = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes the time that lives on the stack and keeps nothing.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut used) };
    assert_eq!(result, 0, "every Linux has the clock of the own thread");
    used.tv_sec as u64 * 1_000_000_000 + used.tv_nsec as u64
}

/// Spins for a while and returns the processor time that took, which is no cost of any request.
///
/// A thread that slept instead would be woken up later than it should.
pub(crate) fn look_away(nanos: u64) -> u64 {
    let used = thread_cpu_nanos();
    let end = clock::nanos() + nanos;
    while clock::nanos() < end {
        std::hint::spin_loop();
    }
    thread_cpu_nanos() - used
}

/// Lets the kernel kill a program when the thread that starts it ends, however that comes about.
pub(crate) fn end_with_this_thread(command: &mut Command) {
    let parent = std::process::id();
    let ask = move || {
        // SAFETY: plain integers, and a system call that is allowed between fork and exec.
        let result = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have ended before the kernel knew whom to tell.
        match std::os::unix::process::parent_id() {
            now if now == parent => Ok(()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    };
    // SAFETY: between fork and exec the closure makes two system calls and nothing else; it neither
    // allocates nor takes locks.
    unsafe { command.pre_exec(ask) };
}

/// Lets a program stay on one core; it does not start if that core cannot be used.
pub(crate) fn begin_on_core(command: &mut Command, core: usize) {
    // SAFETY: between fork and exec the closure fills a set of bits on its stack and makes one system
    // call; it neither allocates nor takes locks.
    unsafe { command.pre_exec(move || skep_net::affinity::pin_to_core(core)) };
}

/// Lets a socket be bound to an address without a port, which it gets when it connects.
///
/// # Errors
/// The cause given by the system.
pub(crate) fn set_bind_without_port(socket: &impl AsRawFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the value lives on the stack and its length is stated; the kernel copies it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as _,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ends the connection of a TCP socket at once, so that it can be connected again.
///
/// # Errors
/// The cause given by the system.
pub(crate) fn disconnect(socket: &impl AsRawFd) -> io::Result<()> {
    let nowhere = libc::sockaddr { sa_family: libc::AF_UNSPEC as _, sa_data: [0; 14] };
    // SAFETY: the address lives on the stack and its length is stated; the kernel copies it.
    let result = unsafe {
        libc::connect(socket.as_raw_fd(), &raw const nowhere, size_of::<libc::sockaddr>() as _)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets sleeps of this thread end when they should, instead of some 50 us later, until dropped.
pub(crate) struct PreciseSleep;

impl PreciseSleep {
    pub(crate) fn begin() -> Self {
        set_timer_slack(1);
        Self
    }
}

impl Drop for PreciseSleep {
    fn drop(&mut self) {
        // Children inherit the slack, and a tracker must not sleep differently here.
        set_timer_slack(0);
    }
}

/// Nanoseconds; 0 stands for what the thread began with.
fn set_timer_slack(nanos: libc::c_ulong) {
    // SAFETY: plain integers; a kernel that refuses leaves everything as it was.
    let _ = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanos) };
}

/// Takes the signals that ask a program to end from the whole process and hands them to a thread.
///
/// To be called before there are other threads, which would still die of them. The thread waits,
/// calls `tidy_up` and ends the process as the signal would have.
///
/// # Errors
/// The cause given by the system.
pub(crate) fn on_end_signal(tidy_up: impl FnOnce() + Send + 'static) -> io::Result<()> {
    // SAFETY: a set of signals is plain memory that `sigemptyset` makes valid.
    let mut signals: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: the set lives on the stack, the signals exist, and the old mask is not asked for.
    let result = unsafe {
        libc::sigemptyset(&raw mut signals);
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            libc::sigaddset(&raw mut signals, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, ptr::null_mut())
    };
    if result != 0 {
        return Err(io::Error::from_raw_os_error(result));
    }
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut signal = 0;
        // SAFETY: set and number live on the stack of this thread while it waits.
        while unsafe { libc::sigwait(&raw const signals, &raw mut signal) } != 0 {}
        tidy_up();
        std::process::exit(128 + signal);
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn processor_time_of_a_thread_grows_with_its_work() {
        let begin = thread_cpu_nanos();
        while thread_cpu_nanos() == begin {}
        assert!(thread_cpu_nanos() > begin);
    }

    #[test]
    fn waiting_ends_at_the_socket_that_has_something() {
        let sockets = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let mut waiter = Waiter::new(sockets.iter());
        waiter.wait(0).unwrap();
        assert!(!waiter.is_ready(0) && !waiter.is_ready(1));
        sockets[0].send_to(b"x", sockets[1].local_addr().unwrap()).unwrap();
        waiter.wait(10_000_000_000).unwrap();
        assert!(!waiter.is_ready(0) && waiter.is_ready(1));
    }
}
