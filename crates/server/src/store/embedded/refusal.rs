//! Why SQLite refused, told by its result code: only what it calls corrupt or no database is damaged.

use std::path::Path;

use rusqlite::ffi;
use rustix::fs::{Access, access};

use crate::{
    files::folder_of,
    store::{OpenError, StoreError},
};

/// What an error of a connection says of the store at a path.
pub fn of(path: &Path, error: &rusqlite::Error) -> OpenError {
    match error.sqlite_error() {
        Some(code) => of_code(path, code.extended_code, error.to_string()),
        None => OpenError::Backend { path: path.to_owned(), reason: error.to_string() },
    }
}

/// The same of an error of a store that is being opened; what is no error of the database is found in what is stored.
pub fn of_store(path: &Path, error: StoreError) -> OpenError {
    match error {
        StoreError::Database { code, reason } => of_code(path, code, reason),
        other => OpenError::Damaged { path: path.to_owned(), reason: other.to_string() },
    }
}

/// True for what SQLite calls corrupt or no database, given the extended result code.
pub fn is_damage(code: i32) -> bool {
    matches!(code & 0xff, ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB) || code == ffi::SQLITE_IOERR_SHORT_READ
}

fn of_code(path: &Path, code: i32, reason: String) -> OpenError {
    let owned = path.to_owned();
    match code & 0xff {
        _ if is_damage(code) => OpenError::Damaged { path: owned, reason },
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED | ffi::SQLITE_PROTOCOL => OpenError::Locked { path: owned },
        ffi::SQLITE_FULL => OpenError::NoRoom { path: owned, reason },
        ffi::SQLITE_READONLY | ffi::SQLITE_PERM | ffi::SQLITE_AUTH => {
            OpenError::ReadOnly { path: owned, reason }
        }
        // A full disk shows like this where SQLite makes its files larger.
        ffi::SQLITE_IOERR
            if matches!(
                code,
                ffi::SQLITE_IOERR_WRITE
                    | ffi::SQLITE_IOERR_SHMSIZE
                    | ffi::SQLITE_IOERR_TRUNCATE
                    | ffi::SQLITE_IOERR_FSYNC
            ) =>
        {
            OpenError::NoRoom { path: owned, reason }
        }
        ffi::SQLITE_IOERR => OpenError::Disk { path: owned, reason },
        // SQLite makes files beside the store.
        ffi::SQLITE_CANTOPEN => match access(folder_of(path), Access::WRITE_OK | Access::EXEC_OK) {
            Err(errno) => OpenError::ReadOnly { path: owned, reason: format!("its folder: {errno}") },
            Ok(()) => OpenError::Backend { path: owned, reason },
        },
        _ => OpenError::Backend { path: owned, reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bug: whatever SQLite said was called damage, with advice that loses data.
    #[test]
    fn only_corrupt_files_are_called_damaged() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("wireproof.db");
        let damaged = |code| matches!(of_code(&path, code, "why".to_owned()), OpenError::Damaged { .. });
        let damage = [ffi::SQLITE_CORRUPT, ffi::SQLITE_CORRUPT_INDEX, ffi::SQLITE_NOTADB];
        assert!(damage.into_iter().all(damaged));
        for code in (1..=28).filter(|code| !damage.contains(code)) {
            assert!(!damaged(code), "{code}");
        }
        let told = |code| of_code(&path, code, "why".to_owned()).to_string();
        assert!(told(ffi::SQLITE_BUSY_RECOVERY).contains("locked by another program"));
        assert!(told(ffi::SQLITE_FULL).contains("make room"));
        assert!(told(ffi::SQLITE_IOERR_SHMSIZE).contains("make room"));
        assert!(told(ffi::SQLITE_READONLY_DIRECTORY).contains("must not be written"));
        assert!(told(ffi::SQLITE_IOERR_READ).contains("errors of the disk"));
        for code in 1..=28 {
            assert!(!told(code).contains("move the file away") || damage.contains(&code), "{code}");
        }
    }
}
