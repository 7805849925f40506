//! Unix sockets: taking the place of a stale one, never that of a live one, and leaving none behind.
//!
//! Who may connect is decided by the mode of the file.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

/// Connections that the system keeps for us until they are accepted.
const UNIX_BACKLOG: i32 = 4096;

/// A unix socket that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on http {}: {cause}", .path.display())]
pub struct UnixBindError {
    /// Where.
    pub path: PathBuf,
    /// Why not.
    pub cause: io::Error,
}

/// A listener whose file is removed with it.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and number of the file: somebody else may have put another one in its place.
    identity: (u64, u64),
}

impl UnixSocket {
    /// Opens a non-blocking listener that others may connect to as `mode` says.
    ///
    /// # Errors
    /// If a program listens there, or something else than a socket is there, or for any cause given
    /// by the system.
    pub fn bind(path: &Path, mode: u32) -> Result<Self, UnixBindError> {
        Self::try_bind(path, mode).map_err(|cause| UnixBindError { path: path.into(), cause })
    }

    fn try_bind(path: &Path, mode: u32) -> io::Result<Self> {
        make_room(path)?;
        // Under another name until nobody may connect who should not.
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}", std::process::id()));
        let new = PathBuf::from(name);
        make_room(&new)?;
        let _ = fs::remove_file(&new);
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(&new)?)?;
        let settle = || {
            socket.set_nonblocking(true)?;
            fs::set_permissions(&new, Permissions::from_mode(mode))?;
            // Whoever comes before this is refused.
            socket.listen(UNIX_BACKLOG)?;
            let identity = identity(&new)?;
            fs::rename(&new, path)?;
            Ok(identity)
        };
        match settle() {
            Ok(identity) => Ok(Self { listener: socket.into(), path: path.into(), identity }),
            Err(error) => {
                let _ = fs::remove_file(&new);
                Err(error)
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One more listener of the same socket.
    ///
    /// # Errors
    /// If the system has no room for one more file.
    pub fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Makes sure that what is at a path, if anything, is a socket on which nobody listens.
fn make_room(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if metadata.file_type().is_socket() => {}
        Ok(_) => {
            let cause = "something else than a socket is there: choose another listen.http_unix";
            return Err(io::Error::new(ErrorKind::AlreadyExists, cause));
        }
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // One that lives and is busy must not keep us waiting.
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => {
            let cause = "another program listens there: choose another listen.http_unix";
            Err(io::Error::new(ErrorKind::AddrInUse, cause))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http.sock");
        drop(UnixListener::bind(&path).unwrap());
        let socket = UnixSocket::bind(&path, 0o640).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        let error = UnixSocket::bind(&path, 0o640).unwrap_err();
        assert_eq!(error.cause.kind(), ErrorKind::AddrInUse);
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn file_that_is_no_socket_or_of_somebody_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http.sock");
        fs::write(&path, "precious").unwrap();
        let error = UnixSocket::bind(&path, 0o600).unwrap_err();
        assert_eq!(error.cause.kind(), ErrorKind::AlreadyExists);
        fs::remove_file(&path).unwrap();
        let socket = UnixSocket::bind(&path, 0o600).unwrap();
        fs::rename(&path, folder.path().join("elsewhere")).unwrap();
        fs::write(&path, "precious").unwrap();
        drop(socket);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
