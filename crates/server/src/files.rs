//! Files and folders that only their owner may read, and files that appear whole or not at all, whoever else may write
//! beside them.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

mod draft;
mod folder;
mod stream;

pub use draft::{Draft, PlaceError, resolved};
pub use folder::{check_folder, is_refusal, private_folder, tighten};

/// Mode of a file that only its owner reads and writes.
pub const PRIVATE: u32 = 0o600;
/// Everybody may write.
const SHARED: u32 = 0o002;
/// In such a folder nobody removes or renames what is another's.
const STICKY: u32 = 0o1000;

/// Makes a file in a data folder that must not be there yet, mode 600 whatever the umask. What root makes in another's
/// folder is that user's.
pub fn create_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(PRIVATE).open(path)?;
    make_private(&file, path)?;
    Ok(file)
}

/// Gives a file that was just opened in a data folder its mode, and its owner where root opened it.
pub fn make_private(file: &File, path: &Path) -> io::Result<()> {
    let (found, folder) = (file.metadata()?, fs::metadata(folder_of(path))?);
    if own_user() == 0 && found.uid() == 0 && folder.uid() != 0 {
        fchown(file, Some(folder.uid()), Some(folder.gid()))?;
    }
    match found.mode() & 0o777 == PRIVATE {
        true => Ok(()),
        false => file.set_permissions(Permissions::from_mode(PRIVATE)),
    }
}

/// Writes a file that others may read, whole or not at all, in the place of what was there. A pipe or a device takes
/// the bytes as they are.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), PlaceError> {
    let io = |source| PlaceError::Io { path: path.to_owned(), source };
    if let Some(stream) = stream::at(path)? {
        return open_own(&stream, OpenOptions::new().write(true))?.write_all(bytes).map_err(io);
    }
    let draft = Draft::readable(path)?;
    draft.file().write_all(bytes).map_err(io)?;
    draft.place(true)
}

/// Opens a file to write at its end, made for its owner alone when there is none. One of another user is refused.
pub fn append(path: &Path) -> Result<File, PlaceError> {
    let place = match stream::at(path)? {
        Some(stream) => stream,
        None => resolved(path)?,
    };
    open_own(&place, OpenOptions::new().append(true).create(true).mode(PRIVATE))
}

fn open_own(path: &Path, options: &OpenOptions) -> Result<File, PlaceError> {
    let io = |source| PlaceError::Io { path: path.to_owned(), source };
    let file = options.open(path).map_err(io)?;
    match file.metadata().map_err(io)?.uid() {
        user if is_trusted(user) || stream::is_open_here(path) => Ok(file),
        _ => Err(PlaceError::Foreign { path: path.to_owned() }),
    }
}

/// Removes a file, if it is there.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Makes durable that a file has its name.
pub fn sync_folder(file: &Path) -> io::Result<()> {
    File::open(folder_of(file))?.sync_all()
}

/// The folder that a file is in.
pub fn folder_of(file: &Path) -> PathBuf {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).to_owned()
}

/// The user of this process.
pub fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// True for this process's user and for root.
fn is_trusted(user: u32) -> bool {
    user == 0 || user == own_user()
}
