//! The operator's socket: `wireproof.sock` in the data directory, for the commands of this machine.

use std::{
    fs::{self, File, Permissions},
    io::{self, ErrorKind},
    os::{
        fd::AsRawFd,
        unix::{
            ffi::OsStrExt,
            fs::{MetadataExt, PermissionsExt},
        },
    },
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, fchmod};
use tokio::net::{UnixListener, UnixSocket, UnixStream};

use crate::files;

/// The socket's name in the data directory, mode 600.
pub const SOCKET: &str = "wireproof.sock";
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 128;
/// Longest path of a socket in bytes: `sun_path` less its end.
const LONGEST: usize = 107;

/// The socket's file while it stands; gone when dropped.
pub(super) struct OperatorSocket {
    path: PathBuf,
}

impl Drop for OperatorSocket {
    fn drop(&mut self) {
        if let Err(e) = files::remove(&self.path) {
            tracing::warn!(path = %self.path.display(), error = %e, "the operator's socket could not be removed");
        }
    }
}

/// Listens in the place of a killed server; only for the holder of the store's lock.
pub(super) fn listen(data_dir: &Path) -> io::Result<(UnixListener, OperatorSocket)> {
    let path = data_dir.join(SOCKET);
    files::remove(&path)?;
    let socket = UnixSocket::new_stream()?;
    // Before it has a name: other users can connect at no moment.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    let reached = Reached::of(data_dir)?;
    socket.bind(&reached.path)?;
    let stands = OperatorSocket { path: path.clone() };
    // Independent of the umask.
    fs::set_permissions(&path, Permissions::from_mode(files::PRIVATE))?;
    Ok((socket.listen(BACKLOG)?, stands))
}

/// Connects to the server of a data folder. An error when no server listens, and when the listening user is neither
/// this user, nor the folder's owner, nor root.
pub async fn connect(data_dir: &Path) -> io::Result<UnixStream> {
    let reached = Reached::of(data_dir)?;
    let stream = UnixStream::connect(&reached.path).await?;
    let (peer, owner) = (stream.peer_cred()?.uid(), fs::metadata(data_dir)?.uid());
    if [0, owner, files::own_user()].contains(&peer) {
        return Ok(stream);
    }
    let why = format!("another user of this machine (uid {peer}) listens there; nothing was sent");
    Err(io::Error::new(ErrorKind::PermissionDenied, why))
}

/// A path to the socket that is short enough, however long the folder's path is.
struct Reached {
    path: PathBuf,
    /// Open for as long as the path is used.
    _folder: Option<File>,
}

impl Reached {
    fn of(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join(SOCKET);
        if path.as_os_str().as_bytes().len() <= LONGEST {
            return Ok(Self { path, _folder: None });
        }
        // The folder by its number: no second place has to be found, guarded and cleaned up.
        let folder = File::open(data_dir)?;
        let path = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
        Ok(Self { path: path.into(), _folder: Some(folder) })
    }
}
