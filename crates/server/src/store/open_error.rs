//! Why a store could not be opened, in a sentence for who runs the server.

use std::path::PathBuf;

/// Why a store could not be opened; the file is left as it was.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file is not a wireproof store.
    #[error(
        "{path} is not a wireproof store; it was left as it was. Give another --data-dir, or move the file away."
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error(
        "{path} is damaged ({reason}); it was left as it was. Restore a backup, or move the file away to start empty."
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the check found.
        reason: String,
    },
    /// The file was written by a later version.
    #[error(
        "{path} was written by a later version of wireproof (schema {found}, known up to {known}); it was left as it was. Use that version, or give another --data-dir."
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The schema found.
        found: i64,
        /// The schema known.
        known: i64,
    },
    /// The file has other tables, indexes, triggers or views than those that wireproof makes.
    #[error(
        "{path} has {what}; it was left as it was. Somebody changed the store with another program: restore a backup, or take the change back."
    )]
    Altered {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// Another program has the database locked.
    #[error(
        "{path} is locked by another program; it was left as it was. Close what has it open, such as a database browser, then try again."
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// There is no room to write.
    #[error(
        "{path} cannot be written ({reason}); it was left as it was. The disk is full, or a quota or a limit on the size of files (ulimit -f) is reached: make room, then try again."
    )]
    NoRoom {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file or its folder must not be written.
    #[error(
        "{path} must not be written ({reason}); it was left as it was. Give the file and its folder to the user who runs wireproof (chown), on a file system that can be written."
    )]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The disk failed.
    #[error(
        "{path} cannot be read ({reason}); it was left as it was. Look into the system's log for errors of the disk."
    )]
    Disk {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Another process has the store open.
    #[error("{path} is in use by another process; stop it, or give another --data-dir.")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot open {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database refused.
    #[error("cannot open {path}: {reason}")]
    Backend {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}
