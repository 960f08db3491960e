//! The file with the address of a data folder's server, for people and scripts: `server.json`, mode 600. No command
//! connects to that address: the file can outlive its server, and another program may have the port then.

use std::{
    io::{self, ErrorKind, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::files;

const FILE: &str = "server.json";

/// Where the server of a data folder is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFile {
    /// The address of its HTTP routes, such as `http://127.0.0.1:8787`.
    pub url: String,
    /// Its process.
    pub pid: u32,
}

impl ServerFile {
    /// Of a server of this process that listens at an address: one for all addresses is reached by loopback.
    pub(super) fn at(scheme: &str, listening: SocketAddr) -> Self {
        let mut reached = listening;
        if listening.ip().is_unspecified() {
            reached.set_ip(match listening.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        Self { url: format!("{scheme}://{reached}"), pid: std::process::id() }
    }

    /// Reads the file; valid only while a process holds the store.
    pub fn read(data_dir: &Path) -> io::Result<Option<Self>> {
        match std::fs::read(data_dir.join(FILE)) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Writes it, whole or not at all.
    pub(super) fn announce(&self, data_dir: &Path) -> io::Result<Announced> {
        let path = data_dir.join(FILE);
        let draft = data_dir.join(format!("{FILE}.draft"));
        files::remove(&draft)?;
        let mut file = files::create_private(&draft)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        std::fs::rename(&draft, &path)?;
        Ok(Announced { path })
    }
}

/// Removes the file of a killed server; only for the holder of the store.
pub fn forget(data_dir: &Path) -> io::Result<()> {
    files::remove(&data_dir.join(FILE))
}

/// The file while it stands; gone when dropped.
pub(super) struct Announced {
    path: PathBuf,
}

impl Drop for Announced {
    fn drop(&mut self) {
        if let Err(e) = files::remove(&self.path) {
            tracing::warn!(path = %self.path.display(), error = %e, "the server's file could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_while_it_is_held_and_only_the_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let presence = ServerFile::at("http", "0.0.0.0:8787".parse().unwrap());
        assert_eq!(presence.url, "http://127.0.0.1:8787");
        assert_eq!(ServerFile::at("http", "[::]:1".parse().unwrap()).url, "http://[::1]:1");
        let announced = presence.announce(folder.path()).unwrap();
        assert_eq!(ServerFile::read(folder.path()).unwrap().as_ref(), Some(&presence));
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(folder.path().join(FILE)).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
        drop(announced);
        assert_eq!(ServerFile::read(folder.path()).unwrap(), None);
    }
}
