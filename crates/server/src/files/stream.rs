//! Places that take bytes as they come: there is no file that another could take the place of.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use super::{
    draft::{MOST_LINKS, PlaceError},
    folder_of, is_trusted,
};

/// The pipe, the device of characters or the open file of this process that a place is or leads to by links of this
/// user and of root; none for anything else. What is where decides, and no name: `/dev/shm` holds regular files.
pub(super) fn at(place: &Path) -> Result<Option<PathBuf>, PlaceError> {
    let mut place = place.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(found) = fs::symlink_metadata(&place) else { return Ok(None) };
        let kind = found.file_type();
        if is_open_here(&place) {
            return Ok(Some(place));
        }
        if !kind.is_symlink() {
            return Ok((kind.is_fifo() || kind.is_char_device()).then_some(place));
        }
        if !is_trusted(found.uid()) {
            return Err(PlaceError::Foreign { path: place });
        }
        let leads = fs::read_link(&place);
        let leads = leads.map_err(|source| PlaceError::Io { path: place.clone(), source })?;
        place = folder_of(&place).join(leads);
    }
    Ok(None)
}

/// True for the names of what this process has open, such as `/proc/self/fd/1`.
pub(super) fn is_open_here(place: &Path) -> bool {
    let open = fs::canonicalize("/proc/self/fd");
    open.is_ok_and(|open| fs::canonicalize(folder_of(place)).is_ok_and(|folder| folder == open))
}
