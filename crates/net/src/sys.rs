//! The raw socket calls that Linux needs where no safe wrapper exists.
//!
//! Refuses to know which option is for what: the callers name level and option.
#![allow(unsafe_code)]

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use socket2::SockAddr;

/// Accepts a connection that does not block and is not handed to other programs.
///
/// # Errors
/// The cause given by the kernel; `WouldBlock` when no connection waits.
pub(crate) fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: `try_init` hands out room for every kind of address and its length, and the kernel
    // writes an address that fits and its true length.
    let accepted = unsafe {
        SockAddr::try_init(|address, length| {
            match libc::accept4(listener.as_raw_fd(), address.cast(), length, flags) {
                -1 => Err(io::Error::last_os_error()),
                // SAFETY: the kernel just made this descriptor, and nobody else knows it.
                descriptor => Ok(OwnedFd::from_raw_fd(descriptor)),
            }
        })
    };
    let (stream, address) = accepted?;
    let peer = address.as_socket().ok_or(io::ErrorKind::InvalidData)?;
    Ok((stream.into(), peer))
}

/// Sets a socket option whose value is of the plain type `T`.
///
/// # Errors
/// The cause given by the kernel, for example when the option needs a privilege.
pub(crate) fn set_option<T: Copy>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: T,
) -> io::Result<()> {
    // SAFETY: the descriptor is open while it is borrowed, and the pointer and length describe
    // `value`, which lives until the call returns. The kernel only reads it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads a socket option whose value is an array of numbers; more than the kernel knows are 0.
///
/// # Errors
/// The cause given by the kernel, for example when it does not know the option.
pub(crate) fn get_option<const N: usize>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
) -> io::Result<[u32; N]> {
    let mut value = [0; N];
    let mut length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the descriptor is open while it is borrowed, and the pointer and length describe
    // `value`, for which every pattern of bits is valid. The kernel writes no more than that.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            name,
            value.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}
