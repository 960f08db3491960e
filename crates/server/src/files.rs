//! Files and folders that only their owner may read, and files that appear whole or not at all, whoever else may write
//! beside them.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

mod draft;

pub use draft::{Draft, PlaceError, resolved};

/// Mode of a file that only its owner reads and writes.
pub const PRIVATE: u32 = 0o600;
/// Mode of a folder that only its owner looks into.
const PRIVATE_FOLDER: u32 = 0o700;
/// What the group and others may do.
const OTHERS: u32 = 0o077;
/// Everybody may write.
const SHARED: u32 = 0o002;
/// In such a folder nobody removes or renames what is another's.
const STICKY: u32 = 0o1000;

/// Makes a data folder if there is none, and takes from others what they may do with one that is there. An error when
/// that cannot be done: a folder that everybody may write in, or one with other things in it that others may look into.
pub fn private_folder(folder: &Path) -> io::Result<()> {
    if !folder.is_dir() {
        DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(folder)?;
        // Whatever the umask took away.
        return fs::set_permissions(folder, Permissions::from_mode(PRIVATE_FOLDER));
    }
    let found = fs::metadata(folder)?;
    let (mode, ours) = (found.mode(), found.uid() == own_user());
    if mode & OTHERS == 0 || (!ours && mode & SHARED == 0) {
        return Ok(());
    }
    let refuse = |why: &str| {
        let sentence = format!("{why}; make it private with chmod 700, or give another folder");
        Err(io::Error::new(ErrorKind::PermissionDenied, sentence))
    };
    if !ours || (mode & SHARED != 0 && mode & STICKY != 0) {
        return refuse("every user of this machine may write in this folder");
    }
    if !holds_only_ours(folder)? {
        return refuse("other users may look into this folder, and not all that is in it is wireproof's");
    }
    fs::set_permissions(folder, Permissions::from_mode(PRIVATE_FOLDER))
}

/// Takes from others what they may do with the server's files in a data folder, as an earlier version left them.
pub fn tighten(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.metadata()?;
        let looser = found.is_file() && found.mode() & OTHERS != 0 && found.uid() == own_user();
        if looser && is_ours(&entry.file_name().to_string_lossy()) {
            fs::set_permissions(entry.path(), Permissions::from_mode(PRIVATE))?;
        }
    }
    Ok(())
}

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
    if is_stream(path) {
        let io = |source| PlaceError::Io { path: path.to_owned(), source };
        return open_own(path, OpenOptions::new().write(true))?.write_all(bytes).map_err(io);
    }
    let draft = Draft::readable(path)?;
    let io = |source| PlaceError::Io { path: path.to_owned(), source };
    draft.file().write_all(bytes).map_err(io)?;
    draft.place(true)
}

/// Opens a file to write at its end, made for its owner alone when there is none. One of another user is refused.
pub fn append(path: &Path) -> Result<File, PlaceError> {
    if !is_stream(path) {
        resolved(path)?;
    }
    open_own(path, OpenOptions::new().append(true).create(true).mode(PRIVATE))
}

/// True where there is no file that another could take the place of: pipes, devices, and what this process has open.
fn is_stream(path: &Path) -> bool {
    let of_the_process = path.starts_with("/dev") || path.starts_with("/proc");
    of_the_process || fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

fn open_own(path: &Path, options: &OpenOptions) -> Result<File, PlaceError> {
    let io = |source| PlaceError::Io { path: path.to_owned(), source };
    let file = options.open(path).map_err(io)?;
    match file.metadata().map_err(io)?.uid() {
        user if is_trusted(user) => Ok(file),
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

fn holds_only_ours(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        if !is_ours(&entry?.file_name().to_string_lossy()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// True for the names that the server gives in its folder, and for what a new file system has.
fn is_ours(name: &str) -> bool {
    let begins = ["wireproof", ".wireproof-", "jwt.key", "server.json"];
    begins.iter().any(|begin| name.starts_with(begin)) || name == "lost+found"
}
