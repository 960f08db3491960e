//! Taking a backup: one moment of the store, copied while a server may write, checked, and only then given its name.

use std::{
    io,
    path::{Path, PathBuf},
};

use rusqlite::{
    Connection,
    backup::{Backup, StepResult},
};

use super::{backup_trailer, file, refusal, verify};
use crate::{
    files::{self, Draft, PlaceError},
    store::OpenError,
};

pub use backup_trailer::{Contents, check};
pub use verify::StoreContents;

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
    /// The file cannot be written to its place.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The place is one of the store's own files.
    #[error("{path} is a place of the store itself; give one outside of its folder")]
    OwnPlace {
        /// The file.
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
    /// The file has other tables, indexes, triggers or views than those that wireproof makes.
    #[error("{path} has {what}")]
    Altered {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: String,
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
            Self::Damaged { path, .. } | Self::Altered { path, .. } | Self::Newer { path, .. } => {
                other.clone_into(path)
            }
            _ => {}
        }
        self
    }
}

/// How far a backup or a restore is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupProgress {
    /// Bytes copied, of so many.
    Copied(u64, u64),
    /// Users whose log was checked, of so many.
    Checked(u64, u64),
}

/// Hears how far it is.
pub type Watch<'a> = &'a mut dyn FnMut(BackupProgress);

/// Takes a backup of the store in a folder while whoever has it open goes on, and says what it holds. The file appears
/// whole or not at all; one that is there is replaced only with `force`. Blocks for as long as it takes.
pub fn take(data_dir: &Path, to: &Path, force: bool, watch: Watch<'_>) -> Result<Contents, BackupError> {
    let store = data_dir.join(file::STORE);
    if !file::check(&store)? {
        return Err(BackupError::NoStore { path: data_dir.to_owned() });
    }
    // The link at the place may be followed; the draft, which others could guess the place of, never follows one.
    let place = files::resolved(to)?;
    if is_own_place(data_dir, &place) {
        return Err(BackupError::OwnPlace { path: to.to_owned() });
    }
    if !force && place.symlink_metadata().is_ok() {
        return Err(PlaceError::Exists { path: to.to_owned() }.into());
    }
    let draft = Draft::private(&place)?;
    let cut = copy(&store, &draft, watch)?;
    let contents = backup_trailer::seal(draft.path(), draft.file(), cut, watch)?;
    draft.place(force)?;
    Ok(contents)
}

/// Copies the store as it is at one moment; returns that moment.
fn copy(store: &Path, draft: &Draft, watch: Watch<'_>) -> Result<f64, BackupError> {
    let database = |e: rusqlite::Error| BackupError::Store(refusal::of(store, &e));
    let from = file::open_reader(store).map_err(|e| BackupError::Store(refusal::of_store(store, e)))?;
    let cut = crate::clock::unix_now();
    // The first read of a transaction picks the moment, and the transaction keeps it for the whole copy.
    from.execute_batch("BEGIN; SELECT count(*) FROM meta").map_err(database)?;
    let written = |source| BackupError::Database { path: draft.path().to_owned(), source };
    let mut to = Connection::open(draft.path()).map_err(written)?;
    to.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(())).map_err(written)?;
    to.pragma_update(None, "synchronous", "OFF").map_err(written)?;
    {
        let backup = Backup::new(&from, &mut to).map_err(written)?;
        while backup.step(STEP_PAGES).map_err(written)? != StepResult::Done {
            let (all, left) = (backup.progress().pagecount as u64, backup.progress().remaining as u64);
            watch(BackupProgress::Copied((all - left) * file::PAGE_BYTES, all * file::PAGE_BYTES));
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
    let begins = ["wireproof.", "jwt.key", "server.json"];
    let ours = begins.iter().any(|begin| name.starts_with(begin));
    ours && folder(parent) == folder(data_dir)
}
