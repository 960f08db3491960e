//! What a write-ahead log lost. SQLite reads it up to the first frame that is not as it was written, and passes over
//! all behind it without a word.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use rusqlite::Connection;
use wireproof_protocol::Timestamp;

use super::file;

const HEADER: usize = 32;
const FRAME_HEAD: usize = 24;
/// Begins a log; with the lowest bit set its checksums are over big-endian numbers.
const MAGIC: u32 = 0x377f_0682;

/// What stands behind the place where a log breaks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lost {
    /// Commits that cannot be read; the last of them may be one that was not acknowledged.
    pub commits: u64,
    /// When the log was last written, in Unix seconds.
    pub until: Timestamp,
}

/// Looks whether the log beside a store breaks before its last commit. Never writes.
pub fn lost(store: &Path) -> io::Result<Option<Lost>> {
    let Some((path, _)) = file::write_ahead_log(store) else { return Ok(None) };
    let log = File::open(path)?;
    let until = log.metadata()?.modified()?;
    let until = until.duration_since(std::time::UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
    let commits = unread_commits(&mut BufReader::with_capacity(1 << 20, log))?;
    Ok((commits > 0).then_some(Lost { commits, until }))
}

impl Lost {
    /// Gives the store a new epoch: numbers that clients have seen will be given again, to other events. Begins the log
    /// anew, and says what was lost.
    pub fn begin_anew(&self, connection: &Connection) -> rusqlite::Result<()> {
        let since = since(connection)?;
        let seed = format!("{:032x}", rand::random::<u128>());
        connection.execute("UPDATE meta SET value = ?1 WHERE key = 'epoch'", [&seed])?;
        // What is left of the old log would be found again after the next crash.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        tracing::error!(
            commits = self.commits,
            since = since.map(time),
            until = time(self.until),
            "the write-ahead log is damaged: what these commits stored is lost; the logs have new epochs"
        );
        Ok(())
    }
}

/// When the latest commit was that could be read, in Unix seconds.
pub fn since(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    connection.query_row(
        "SELECT max(at) FROM (SELECT max(created_at) AS at FROM tail UNION ALL SELECT max(updated_at) FROM threads)",
        [],
        |row| row.get(0),
    )
}

fn time(seconds: Timestamp) -> String {
    let time = jiff::Timestamp::from_millisecond((seconds * 1e3) as i64);
    time.map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// Commits behind the first frame that SQLite does not take.
fn unread_commits(log: &mut impl Read) -> io::Result<u64> {
    let mut header = [0; HEADER];
    if !fill(log, &mut header)? {
        return Ok(0);
    }
    let (page, big_endian) = (number(&header[8..]) as usize, number(&header) & 1 == 1);
    let mut sum = checksum((0, 0), &header[..24], big_endian);
    let mut sound = number(&header) & !1 == MAGIC && sum == sum_in(&header[24..]);
    // A header that is not as it was written may tell another size; ours have one.
    let page = if sound { page } else { file::PAGE_BYTES as usize };
    let mut salt: Option<[u8; 8]> = sound.then(|| eight(&header[16..]));
    let (mut frame, mut commits) = (vec![0; FRAME_HEAD + page], 0);
    while fill(log, &mut frame)? {
        let ours = *salt.get_or_insert_with(|| eight(&frame[8..]));
        if sound {
            sum = checksum(checksum(sum, &frame[..8], big_endian), &frame[FRAME_HEAD..], big_endian);
            sound = number(&frame) != 0 && eight(&frame[8..]) == ours && sum == sum_in(&frame[16..]);
        }
        // Frames of an earlier use of the file have another salt; a frame that ends a commit tells the store's size.
        if !sound && eight(&frame[8..]) == ours && number(&frame[4..]) != 0 {
            commits += 1;
        }
    }
    Ok(commits)
}

/// Fills the buffer; false when there is less than that.
fn fill(log: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match log.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn eight(bytes: &[u8]) -> [u8; 8] {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[..8]);
    eight
}

fn sum_in(bytes: &[u8]) -> (u32, u32) {
    (number(bytes), number(&bytes[4..]))
}

/// SQLite's checksum of a write-ahead log, over pairs of numbers.
fn checksum((mut one, mut two): (u32, u32), bytes: &[u8], big_endian: bool) -> (u32, u32) {
    let read = |bytes: &[u8]| if big_endian { number(bytes) } else { number(bytes).swap_bytes() };
    for pair in bytes.chunks_exact(8) {
        one = one.wrapping_add(read(pair)).wrapping_add(two);
        two = two.wrapping_add(read(&pair[4..])).wrapping_add(one);
    }
    (one, two)
}
