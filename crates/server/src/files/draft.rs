//! A file that is written under a name that nobody can guess, and gets its own name when it is whole.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::{PRIVATE, SHARED, STICKY, folder_of, is_trusted, own_user, sync_folder};

/// Links that are followed from one place to the next.
pub(super) const MOST_LINKS: usize = 40;
/// Names that are tried.
const TRIES: usize = 10;
/// How the names of drafts begin and end.
const NAME: (&str, &str) = (".wireproof-", ".draft");

/// Why a file cannot be written to a place.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The place is taken.
    #[error("{path} is there already; it was left as it was")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// What is there cannot be replaced by a file.
    #[error("{path} is a {kind} and no regular file; it was left as it was")]
    NoFile {
        /// What is there.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// What is there belongs to another user, who could read what is written or send it elsewhere.
    #[error("{path} belongs to another user; give a place of your own")]
    Foreign {
        /// What is there.
        path: PathBuf,
    },
    /// Every user may rename and remove what is in the folder.
    #[error("every user of this machine may change what is in {folder}; give a folder of your own")]
    Shared {
        /// The folder.
        folder: PathBuf,
    },
    /// The draft has another file in its place.
    #[error("{path} was taken away or replaced while it was written")]
    Replaced {
        /// The draft.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A file that has no name of its own yet; removed when dropped. A draft that a killed process left is removed by the
/// next one in the same folder.
pub struct Draft {
    path: PathBuf,
    place: PathBuf,
    /// Locked for as long as it is written.
    file: File,
}

impl Draft {
    /// A draft that only its owner reads, beside its place: the place itself, or where a link there leads.
    pub fn private(place: &Path) -> Result<Self, PlaceError> {
        Self::beside(place, PRIVATE)
    }

    /// The same for a file that others may read as the umask allows.
    pub fn readable(place: &Path) -> Result<Self, PlaceError> {
        Self::beside(place, 0o666)
    }

    fn beside(place: &Path, mode: u32) -> Result<Self, PlaceError> {
        let place = resolved(place)?;
        let folder = folder_of(&place);
        let io = |source| PlaceError::Io { path: folder.clone(), source };
        let found = fs::metadata(&folder).map_err(io)?;
        if found.mode() & SHARED != 0 && found.mode() & STICKY == 0 {
            return Err(PlaceError::Shared { folder });
        }
        sweep(&folder);
        for _ in 0..TRIES {
            let path = folder.join(format!("{}{:016x}{}", NAME.0, rand::random::<u64>(), NAME.1));
            let io = |source| PlaceError::Io { path: path.clone(), source };
            let file = OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(&path);
            let file = file.map_err(io)?;
            if mode == PRIVATE {
                // Whatever the umask took away.
                file.set_permissions(Permissions::from_mode(mode)).map_err(io)?;
            }
            let draft = Self { path: path.clone(), place: place.clone(), file };
            // Another process may have swept it away between its making and the lock.
            if draft.file.try_lock().is_ok() && draft.is_in_place() {
                return Ok(draft);
            }
        }
        Err(PlaceError::Replaced { path: place })
    }

    /// Its name while it is written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives it its own name, durably; a file of that name is replaced only with `force`.
    pub fn place(self, force: bool) -> Result<(), PlaceError> {
        let io = |source| PlaceError::Io { path: self.place.clone(), source };
        self.file.sync_all().map_err(io)?;
        if !self.is_in_place() {
            return Err(PlaceError::Replaced { path: self.path.clone() });
        }
        if force {
            regular(&self.place)?;
            fs::rename(&self.path, &self.place).map_err(io)?;
        } else {
            // A link, unlike a move, never takes the place of another file.
            fs::hard_link(&self.path, &self.place).map_err(|source| match source.kind() {
                ErrorKind::AlreadyExists => PlaceError::Exists { path: self.place.clone() },
                _ => io(source),
            })?;
        }
        sync_folder(&self.place).map_err(io)
    }

    /// True while its name is that of the file that was made here, and of no other.
    fn is_in_place(&self) -> bool {
        let (Ok(ours), Ok(named)) = (self.file.metadata(), fs::symlink_metadata(&self.path)) else {
            return false;
        };
        (ours.dev(), ours.ino()) == (named.dev(), named.ino()) && ours.nlink() == 1
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a move there is none; one that cannot be removed is swept away by the next.
        let _ = fs::remove_file(&self.path);
    }
}

/// Where a file that is written to this place will be: the links of this user and of root are followed. An error when
/// there is something else than a regular file.
pub fn resolved(place: &Path) -> Result<PathBuf, PlaceError> {
    let mut place = place.to_owned();
    for _ in 0..MOST_LINKS {
        let Some(link) = regular_or_link(&place)? else { return Ok(place) };
        if !is_trusted(link) {
            return Err(PlaceError::Foreign { path: place });
        }
        let leads = fs::read_link(&place);
        let leads = leads.map_err(|source| PlaceError::Io { path: place.clone(), source })?;
        place = folder_of(&place).join(leads);
    }
    Err(PlaceError::NoFile { path: place, kind: "link to itself" })
}

/// An error unless there is a regular file, or nothing.
fn regular(place: &Path) -> Result<(), PlaceError> {
    match regular_or_link(place)? {
        None => Ok(()),
        Some(_) => Err(PlaceError::NoFile { path: place.to_owned(), kind: "link" }),
    }
}

/// The owner of a link; nothing for a regular file, and where there is nothing.
fn regular_or_link(place: &Path) -> Result<Option<u32>, PlaceError> {
    let found = match fs::symlink_metadata(place) {
        Ok(found) => found,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(PlaceError::Io { path: place.to_owned(), source }),
    };
    let kind = match found.file_type() {
        kind if kind.is_file() => return Ok(None),
        kind if kind.is_symlink() => return Ok(Some(found.uid())),
        kind if kind.is_dir() => "directory",
        kind if kind.is_fifo() => "pipe",
        kind if kind.is_socket() => "socket",
        _ => "device",
    };
    Err(PlaceError::NoFile { path: place.to_owned(), kind })
}

/// Removes what killed processes of this user left: drafts that nobody has locked.
fn sweep(folder: &Path) {
    // A folder that may be written and not read is no reason to write nothing.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let named = name.strip_prefix(NAME.0).and_then(|name| name.strip_suffix(NAME.1));
        let ours = |found: fs::Metadata| found.is_file() && found.uid() == own_user();
        if named.is_none() || !entry.metadata().is_ok_and(ours) {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else { continue };
        // Held until it is gone: whoever has just made it sees that it is lost, and makes another.
        if file.try_lock().is_ok() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bug: whoever swept let go of the lock before it removed a draft, and took it from under who had just made it.
    #[test]
    fn many_that_write_in_one_folder_all_succeed() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let place = folder.path().join(number.to_string());
                scope.spawn(move || {
                    for _ in 0..200 {
                        Draft::private(&place).unwrap().place(true).unwrap();
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 8);
    }
}
