//! The data folder: only its owner gets at it, and nothing in it was put there by another user.

use std::{
    fs::{self, DirBuilder, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::Path,
};

use super::{PRIVATE, SHARED, STICKY, is_trusted, own_user};

/// Mode of a folder that only its owner looks into.
const PRIVATE_FOLDER: u32 = 0o700;
/// What the group and others may do.
const OTHERS: u32 = 0o077;
/// What a new file system has.
const OF_THE_DISK: &str = "lost+found";

/// Makes a data folder if there is none, and takes from others what they may do with one that is there. An error when
/// [`check_folder`] has one.
pub fn private_folder(folder: &Path) -> io::Result<()> {
    if !folder.is_dir() {
        DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(folder)?;
        // Whatever the umask took away.
        return fs::set_permissions(folder, Permissions::from_mode(PRIVATE_FOLDER));
    }
    if check_folder(folder)? {
        fs::set_permissions(folder, Permissions::from_mode(PRIVATE_FOLDER))?;
        // Others could put something there up to now.
        check_folder(folder)?;
    }
    Ok(())
}

/// Looks at a data folder and changes nothing; true when others may do something with it that a start takes from them.
/// An error, with what to do behind a semicolon, when a start refuses it: others may or might have put files there, or
/// may look into it and it holds things that are not wireproof's.
pub fn check_folder(folder: &Path) -> io::Result<bool> {
    let found = fs::metadata(folder)?;
    let (mode, ours) = (found.mode(), found.uid() == own_user());
    let (shared, open) = (mode & SHARED != 0, ours && mode & OTHERS != 0);
    if shared && (!ours || mode & STICKY != 0) {
        let why = "every user of this machine may write in this folder";
        return refuse(why, "make it private with chmod 700, or give another folder");
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name == OF_THE_DISK {
            continue;
        }
        if shared {
            let why =
                "every user of this machine may write in this folder, and could have put there what is in it";
            return refuse(
                why,
                "look through it, then make it private with chmod 700; or give another folder",
            );
        }
        if !is_ours(&name) {
            if open {
                let why = "other users may look into this folder, and not all that is in it is wireproof's";
                return refuse(why, "make it private with chmod 700, or give another folder");
            }
            continue;
        }
        // Of a link, and not of what it leads to.
        let user = match entry.metadata() {
            Ok(entry) => entry.uid(),
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        if !is_trusted(user) && user != found.uid() {
            let why = format!(
                "{name} in this folder belongs to another user (uid {user}), who may have planted it"
            );
            return refuse(&why, "remove it, or give it to the server's user (chown) if you know it");
        }
    }
    Ok(open)
}

/// True for what [`check_folder`] says, and false for what the operating system does.
pub fn is_refusal(error: &io::Error) -> bool {
    error.raw_os_error().is_none()
}

fn refuse(why: &str, what_next: &str) -> io::Result<bool> {
    Err(io::Error::new(ErrorKind::PermissionDenied, format!("{why}; {what_next}")))
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

/// True for the names that the server gives in its folder.
fn is_ours(name: &str) -> bool {
    ["wireproof", ".wireproof-", "jwt.key", "server.json"].iter().any(|begin| name.starts_with(begin))
}
