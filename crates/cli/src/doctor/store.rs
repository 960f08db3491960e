//! The data folder and the store in it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access, statfs, statvfs};
use wireproof_server::{
    Config,
    files::{check_folder, is_refusal},
    store::{
        OpenError,
        embedded::{
            inspect::{Lost, Seen, inspect},
            restore,
        },
    },
};

use super::{Findings, open_to_others};

/// Free bytes below which a store does not live long.
const FREE: (u64, u64) = (100 << 20, 1 << 30);
/// What `statfs` says of file systems that are on another machine.
const NETWORKS: [(i64, &str); 6] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB2"),
    (0x0102_1997, "9P"),
    (0x5346_414F, "AFS"),
];

pub(super) fn examine(config: &Config, findings: &mut Findings) -> Option<Seen> {
    let folder = &config.data_dir;
    match fs::metadata(folder) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => {
            findings.error(
                "store.no_folder",
                format!("{} is no folder", folder.display()),
                "the store and the keys have no place",
                "give another data_dir",
            );
            return None;
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            writable(&standing(folder), findings);
            return None;
        }
        Err(e) => {
            unwritable(folder, &e.to_string(), findings);
            return None;
        }
    }
    writable(folder, findings);
    room(folder, findings);
    if let Err(error) = check_folder(folder)
        && is_refusal(&error)
    {
        let said = error.to_string();
        let (why, remedy) = said.split_once("; ").unwrap_or((&said, "give another data_dir"));
        let what = format!("{}: {why}", folder.display());
        findings.error("store.folder_refused", what, "the server does not start with it", remedy);
        return None;
    }
    modes(folder, findings);
    if restore::is_staged(folder) {
        findings.warning(
            "store.restore_waits",
            format!("a backup waits in {} for the next start", folder.display()),
            "the next start replaces the store by it",
            format!("start the server, or remove {}/wireproof.restore", folder.display()),
        );
    }
    contents(folder, findings)
}

/// The nearest folder above that is there.
fn standing(folder: &Path) -> PathBuf {
    let mut above = folder.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
    above.find(|above| above.is_dir()).map_or_else(|| PathBuf::from("."), Path::to_owned)
}

fn writable(folder: &Path, findings: &mut Findings) {
    if let Err(e) = access(folder, Access::WRITE_OK | Access::EXEC_OK) {
        unwritable(folder, &e.to_string(), findings);
    }
}

fn unwritable(folder: &Path, reason: &str, findings: &mut Findings) {
    findings.error(
        "store.not_writable",
        format!("{} cannot be written: {reason}", folder.display()),
        "the server cannot keep anything there",
        "give the folder to the server's user (chown), or set another data_dir",
    );
}

fn room(folder: &Path, findings: &mut Findings) {
    if let Ok(found) = statvfs(folder) {
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        let what = format!("{} MiB are free on the disk of {}", free >> 20, folder.display());
        let (why, remedy) =
            ("a full disk fails every request", "make room, or move data_dir to a larger disk");
        if free < FREE.0 {
            findings.error("store.disk_full", what, why, remedy);
        } else if free < FREE.1 {
            findings.warning("store.disk_full", what, why, remedy);
        }
    }
    let kind = statfs(folder).ok().map(|found| found.f_type & 0xFFFF_FFFF);
    if let Some((_, name)) = NETWORKS.iter().find(|(number, _)| Some(*number) == kind) {
        findings.error(
            "store.network",
            format!("{} is on {name}", folder.display()),
            "SQLite's write-ahead log needs a disk of this machine; on others it is damaged sooner or later",
            "move data_dir to a local disk",
        );
    }
}

fn modes(folder: &Path, findings: &mut Findings) {
    if let Some(mode) = open_to_others(folder).filter(|mode| mode & 0o007 != 0) {
        findings.warning(
            "store.folder_open",
            format!("{} has mode {mode:03o}", folder.display()),
            "other users of this machine see what is in it",
            format!("chmod 700 {}", folder.display()),
        );
    }
    for name in ["wireproof.db", "wireproof.db-wal"] {
        let path = folder.join(name);
        if let Some(mode) = open_to_others(&path) {
            findings.error(
                "store.file_mode",
                format!("{} has mode {mode:03o}", path.display()),
                "others may read or write what users wrote",
                format!("chmod 600 {}", path.display()),
            );
        }
    }
}

fn contents(folder: &Path, findings: &mut Findings) -> Option<Seen> {
    let error = match inspect(folder) {
        Ok(seen) => {
            if let Some(lost) = seen.and_then(|seen| seen.lost) {
                log_broken(folder, lost, findings);
            }
            return seen;
        }
        Err(error) => error,
    };
    let (id, remedy) = match &error {
        OpenError::Foreign { .. } => ("store.foreign", "give another data_dir, or move the file away"),
        OpenError::Damaged { .. } => {
            ("store.damaged", "restore a backup: wireproof restore --from FILE --force")
        }
        OpenError::Newer { .. } => ("store.newer", "use the later version, or give another data_dir"),
        OpenError::Altered { .. } => {
            ("store.altered", "restore a backup, or take the change back with the program that made it")
        }
        OpenError::Locked { .. } => ("store.locked", "close the other program that has the file open"),
        OpenError::NoRoom { .. } => ("store.no_room", "make room, or raise the quota or limit (ulimit -f)"),
        OpenError::Disk { .. } => ("store.disk", "look into the system's log for errors of the disk"),
        _ => ("store.unreadable", "give the file to the server's user (chown)"),
    };
    // The remedy of the error itself is for who has just tried to start.
    let what = error.to_string();
    let what = what.split_once(';').map_or(what.as_str(), |(what, _)| what);
    findings.error(id, what, "the server does not start with it", remedy);
    None
}

/// The next start goes on without what cannot be read.
fn log_broken(folder: &Path, lost: Lost, findings: &mut Findings) {
    let until = jiff::Timestamp::from_second(lost.until as i64).unwrap_or_default();
    findings.error(
        "store.log_broken",
        format!(
            "{} is damaged: {} commits up to {until} cannot be read",
            folder.join("wireproof.db-wal").display(),
            lost.commits
        ),
        "what they stored is lost; the next start goes on without it, and clients get a new epoch",
        "put back a sound copy of the file, or start the server as it is",
    );
}
