//! Taking a backup: one moment of the store, copied while a server may write, checked, and only then given its name.

use std::{
    fs::{File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rusqlite::{
    Connection,
    backup::{Backup, StepResult},
};

use super::{file, seal, verify};
use crate::store::OpenError;

pub use seal::{Contents, check};
pub use verify::Holds;

/// Pages that are copied between two looks at the write-ahead log.
const STEP_PAGES: i32 = 512;
/// The write-ahead log cannot be emptied while its store is copied: past so many bytes the copy gives up.
const MOST_LOG_BYTES: u64 = 4 << 30;

/// Why a backup was not taken, or a file is none that can be restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is nothing to take a backup of.
    #[error("{path} holds no store")]
    NoStore {
        /// The folder.
        path: PathBuf,
    },
    /// The place is taken.
    #[error("{path} is there already; it was left as it was")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The place is one of the store's own files.
    #[error("{path} is a place of the store itself; give one outside of its folder")]
    OwnPlace {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else is writing there.
    #[error("another process is writing {path}")]
    Busy {
        /// The draft.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{path} is not a wireproof backup")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is a store's own, which has no seal, and may miss what its write-ahead log holds.
    #[error("{path} is cut short, or a bare copy of a store; backups are taken with `wireproof backup`")]
    Unsealed {
        /// The file.
        path: PathBuf,
    },
    /// The file is not as it was written.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the check found.
        reason: String,
    },
    /// The file is of a later version.
    #[error("{path} was written by a later version of wireproof (schema {found}, known up to {known})")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The schema known.
        known: i64,
    },
    /// The store is written faster than it can be copied.
    #[error("the store is written faster than it can be copied; try again at a quieter time")]
    Overtaken,
    /// The store that is to be backed up cannot be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database refused.
    #[error("{path}: {source}")]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

impl BackupError {
    /// The same of another file: what was found in a copy is true of what was copied.
    pub(super) fn about(mut self, other: &Path) -> Self {
        match &mut self {
            Self::Foreign { path } | Self::Unsealed { path } => other.clone_into(path),
            Self::Damaged { path, .. } | Self::Newer { path, .. } => other.clone_into(path),
            _ => {}
        }
        self
    }
}

/// How far a backup or a restore is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Bytes copied, of so many.
    Copied(u64, u64),
    /// Users whose log was checked, of so many.
    Checked(u64, u64),
}

/// Hears how far it is.
pub type Watch<'a> = &'a mut dyn FnMut(Progress);

/// Takes a backup of the store in a folder while whoever has it open goes on, and says what it holds. The file appears
/// whole or not at all; one that is there is replaced only with `force`. Blocks for as long as it takes.
pub fn take(data_dir: &Path, to: &Path, force: bool, watch: Watch<'_>) -> Result<Contents, BackupError> {
    let store = data_dir.join(file::STORE);
    if !file::check(&store)? {
        return Err(BackupError::NoStore { path: data_dir.to_owned() });
    }
    if is_own_place(data_dir, to) {
        return Err(BackupError::OwnPlace { path: to.to_owned() });
    }
    if !force && to.symlink_metadata().is_ok() {
        return Err(BackupError::Exists { path: to.to_owned() });
    }
    let draft = Draft::beside(to)?;
    let cut = copy(&store, &draft, watch)?;
    let contents = seal::seal(&draft.path, &draft.file, cut, watch)?;
    draft.place(to, force)?;
    Ok(contents)
}

/// Copies the store as it is at one moment; returns that moment.
fn copy(store: &Path, draft: &Draft, watch: Watch<'_>) -> Result<f64, BackupError> {
    let database = |source| BackupError::Database { path: store.to_owned(), source };
    let from = file::open_reader(store).map_err(|e| BackupError::Store(file::backend(store, &e)))?;
    let cut = crate::clock::unix_now();
    // The first read of a transaction picks the moment, and the transaction keeps it for the whole copy.
    from.execute_batch("BEGIN; SELECT count(*) FROM meta").map_err(database)?;
    let written = |source| BackupError::Database { path: draft.path.clone(), source };
    let mut to = Connection::open(&draft.path).map_err(written)?;
    to.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(())).map_err(written)?;
    to.pragma_update(None, "synchronous", "OFF").map_err(written)?;
    {
        let backup = Backup::new(&from, &mut to).map_err(written)?;
        while backup.step(STEP_PAGES).map_err(written)? != StepResult::Done {
            let (all, left) = (backup.progress().pagecount as u64, backup.progress().remaining as u64);
            watch(Progress::Copied((all - left) * file::PAGE_BYTES, all * file::PAGE_BYTES));
            if file::write_ahead_log(store).is_some_and(|(_, bytes)| bytes > MOST_LOG_BYTES) {
                return Err(BackupError::Overtaken);
            }
        }
    }
    to.close().map_err(|(_, e)| written(e))?;
    Ok(cut)
}

/// True for the files that a server looks for in its folder.
fn is_own_place(data_dir: &Path, to: &Path) -> bool {
    let folder = |path: &Path| path.canonicalize().ok();
    let (Some(name), Some(parent)) = (to.file_name().and_then(|name| name.to_str()), to.parent()) else {
        return true;
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let ours = name.starts_with("wireproof.") || name == "jwt.key";
    ours && folder(parent) == folder(data_dir)
}

/// A file that is being written, beside its place: whoever is killed leaves it, and whoever comes next begins it anew.
pub(super) struct Draft {
    pub(super) path: PathBuf,
    /// Locked for as long as it is written.
    pub(super) file: File,
}

impl Draft {
    pub(super) fn beside(place: &Path) -> Result<Self, BackupError> {
        let mut name = place.as_os_str().to_owned();
        name.push(".draft");
        let path = PathBuf::from(name);
        let io = |source| BackupError::Io { path: path.clone(), source };
        // Nobody else reads what users wrote, also while it is written.
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BackupError::Busy { path }),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        // Another one may have finished, and removed the name, between the opening and the lock.
        let (ours, named) = (file.metadata().map_err(io)?.ino(), std::fs::metadata(&path));
        if named.map_or(true, |named| named.ino() != ours) {
            return Err(BackupError::Busy { path });
        }
        file.set_permissions(Permissions::from_mode(0o600)).and_then(|()| file.set_len(0)).map_err(io)?;
        Ok(Self { path, file })
    }

    /// Moves the finished file to its place, durably.
    pub(super) fn place(self, place: &Path, force: bool) -> Result<(), BackupError> {
        let io = |source| BackupError::Io { path: place.to_owned(), source };
        self.file.sync_all().map_err(io)?;
        if force {
            std::fs::rename(&self.path, place).map_err(io)?;
        } else {
            // A link, unlike a move, never takes the place of another file.
            std::fs::hard_link(&self.path, place).map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists => BackupError::Exists { path: place.to_owned() },
                _ => io(source),
            })?;
        }
        file::sync_folder(place).map_err(io)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a move there is none; a draft that cannot be removed is begun anew by the next.
        let _ = std::fs::remove_file(&self.path);
    }
}
