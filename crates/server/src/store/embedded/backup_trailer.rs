//! A backup's last page: what it holds, and a digest of all before it, so that no changed byte goes unnoticed.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::Path,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wireproof_protocol::Timestamp;

use super::{
    backup::{BackupError, BackupProgress, StoreContents, Watch},
    file::{self, PAGE_BYTES},
    refusal, schema, verify,
};

/// Begins the last page of a backup.
const MAGIC: &[u8] = b"wireproof backup 1\n";
/// Bytes that are read at once.
const CHUNK: usize = 1 << 20;
/// Where SQLite keeps whether a file has a write-ahead log: 1 no, 2 yes, for writers and readers.
const LOG_BYTES: (u64, [u8; 2]) = (18, [1, 1]);

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contents {
    /// Its moment, in Unix seconds: all that was acknowledged before is in it.
    pub cut: Timestamp,
    /// What it holds.
    pub holds: StoreContents,
    /// Its size in bytes.
    pub bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct BackupTrailer {
    contents: Contents,
    sha256: String,
}

/// Checks a finished copy and adds the last page.
pub fn seal(path: &Path, file: &File, cut: Timestamp, watch: Watch<'_>) -> Result<Contents, BackupError> {
    let io = |source| BackupError::Io { path: path.to_owned(), source };
    // One file that needs no other: it is nobody's to write.
    file.write_all_at(&LOG_BYTES.1, LOG_BYTES.0).map_err(io)?;
    let holds = sound(path, watch)?;
    let length = file.metadata().map_err(io)?.len();
    let contents = Contents { cut, holds, bytes: length + PAGE_BYTES };
    let seal = BackupTrailer { contents: contents.clone(), sha256: digest(file, length, watch).map_err(io)? };
    let mut page = MAGIC.to_vec();
    // Serialising our own types does not fail.
    page.extend(serde_json::to_vec(&seal).unwrap_or_default());
    page.resize(PAGE_BYTES as usize, 0);
    file.write_all_at(&page, length).map_err(io)?;
    Ok(contents)
}

/// Checks a backup: whose it is, its version, each byte of it, the database and every log. Never writes.
pub fn check(path: &Path, watch: Watch<'_>) -> Result<Contents, BackupError> {
    let io = |source| BackupError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    check_header(path, &file)?;
    let unsealed = || BackupError::Unsealed { path: path.to_owned() };
    let length = file.metadata().map_err(io)?.len().checked_sub(PAGE_BYTES).ok_or_else(unsealed)?;
    let mut page = vec![0; PAGE_BYTES as usize];
    file.read_exact_at(&mut page, length).map_err(io)?;
    let text = page.strip_prefix(MAGIC).ok_or_else(unsealed)?;
    let end = text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let damaged = |reason: &str| BackupError::Damaged { path: path.to_owned(), reason: reason.to_owned() };
    let seal: BackupTrailer =
        serde_json::from_slice(&text[..end]).map_err(|_| damaged("its last page is unreadable"))?;
    if digest(&file, length, watch).map_err(io)? != seal.sha256 {
        return Err(damaged("it is not what was written; its checksum differs"));
    }
    if sound(path, watch)? != seal.contents.holds {
        return Err(damaged("it does not hold what its last page says"));
    }
    Ok(seal.contents)
}

/// Takes the last page off: what is left is a plain database.
pub fn unseal(file: &File) -> io::Result<()> {
    file.set_len(file.metadata()?.len().saturating_sub(PAGE_BYTES))
}

/// Whether a file can be a backup of this version, by its first bytes.
pub fn check_header(path: &Path, file: &File) -> Result<(), BackupError> {
    let io = |source| BackupError::Io { path: path.to_owned(), source };
    let foreign = || BackupError::Foreign { path: path.to_owned() };
    if !file.metadata().map_err(io)?.is_file() {
        return Err(foreign());
    }
    let mut header = [0; 100];
    file.read_exact_at(&mut header, 0).map_err(|_| foreign())?;
    if !file::is_ours(&header) {
        return Err(foreign());
    }
    let (found, known) = (file::schema_in(&header), file::known_schema());
    if found > known {
        return Err(BackupError::Newer { path: path.to_owned(), found, known });
    }
    Ok(())
}

/// Copies a file byte by byte.
pub fn copy(from: &mut File, mut to: &File, watch: Watch<'_>) -> io::Result<()> {
    let all = from.metadata()?.len();
    let (mut chunk, mut done) = (vec![0; CHUNK], 0);
    to.seek(SeekFrom::Start(0))?;
    loop {
        let read = from.read(&mut chunk)?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&chunk[..read])?;
        done += read as u64;
        watch(BackupProgress::Copied(done, all));
    }
}

/// Every page and every log of the database, read without writing anything beside it.
fn sound(path: &Path, watch: Watch<'_>) -> Result<StoreContents, BackupError> {
    let database = |source| BackupError::Database { path: path.to_owned(), source };
    let damaged = |reason: String| BackupError::Damaged { path: path.to_owned(), reason };
    let connection = file::open_still(path).map_err(database)?;
    let refused = |source: rusqlite::Error| match source.sqlite_error() {
        Some(code) if refusal::is_damage(code.extended_code) => damaged(source.to_string()),
        _ => database(source),
    };
    // Before any of it is used: what stands in a schema can run with each read and write.
    let version = schema::version(&connection).map_err(refused)?;
    if let Some(what) = schema::difference(&connection, version).map_err(refused)? {
        return Err(BackupError::Altered { path: path.to_owned(), what });
    }
    let verdict: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(refused)?;
    if verdict != "ok" {
        return Err(damaged(verdict));
    }
    let users: i64 =
        connection.query_row("SELECT count(*) FROM users", [], |row| row.get(0)).map_err(refused)?;
    let mut done = 0;
    let checked = || {
        done += 1;
        watch(BackupProgress::Checked(done, users as u64));
    };
    verify::logs(&connection, checked).map_err(damaged)
}

fn digest(file: &File, length: u64, watch: Watch<'_>) -> io::Result<String> {
    let (mut digest, mut chunk, mut at) = (Sha256::new(), vec![0; CHUNK], 0);
    while at < length {
        let part = &mut chunk[..CHUNK.min((length - at) as usize)];
        file.read_exact_at(part, at)?;
        digest.update(&part);
        at += part.len() as u64;
        watch(BackupProgress::Copied(at, length));
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
