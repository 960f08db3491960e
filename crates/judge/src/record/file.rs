//! The history file: a header line, then a line an op. Read strictly: what is no history is said with its line.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use wireproof_server::files::{Draft, PlaceError};

use super::{
    Op,
    header::{Header, SCHEMA},
};

/// Longest line that is read, in bytes: the largest frame that is recorded, with every byte escaped, is shorter.
const LONGEST_LINE: u64 = 128 << 20;

/// A history that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// Its first line.
    pub header: Header,
    /// What happened.
    pub ops: Vec<Op>,
    /// True when the last line was torn, as by a process that died while it wrote: it is left out.
    pub torn: bool,
}

/// Why something is no history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file cannot be read or written.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The file cannot be written to its place.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The bytes stop coming.
    #[error("line {line} cannot be read: {cause}")]
    Io {
        /// The line, from 1.
        line: usize,
        /// Why.
        cause: io::Error,
    },
    /// A line says what no history says.
    #[error("line {line}: {why}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
}

/// Writes a history.
pub fn write<'a>(
    mut to: impl Write,
    header: &Header,
    ops: impl IntoIterator<Item = &'a Op>,
) -> io::Result<()> {
    line(&mut to, header)?;
    for op in ops {
        line(&mut to, op)?;
    }
    to.flush()
}

/// Writes a history to a file that only its owner reads, in the place of what was there.
pub fn write_file<'a>(
    path: &Path,
    header: &Header,
    ops: impl IntoIterator<Item = &'a Op>,
) -> Result<(), HistoryError> {
    write_draft(Draft::private(path)?, header, ops)
}

/// Writes a history to a file that was begun before, and gives it its name.
pub fn write_draft<'a>(
    to: Draft,
    header: &Header,
    ops: impl IntoIterator<Item = &'a Op>,
) -> Result<(), HistoryError> {
    let failed = |cause| HistoryError::File { path: to.path().to_owned(), cause };
    write(BufWriter::new(to.file()), header, ops).map_err(failed)?;
    Ok(to.place(true)?)
}

fn line(to: &mut impl Write, what: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *to, what)?;
    to.write_all(b"\n")
}

/// Reads the history of a file.
pub fn read_file(path: &Path) -> Result<Read, HistoryError> {
    let file = File::open(path).map_err(|cause| HistoryError::File { path: path.to_owned(), cause })?;
    read(BufReader::with_capacity(1 << 18, file))
}

/// Reads a history.
pub fn read(mut from: impl BufRead) -> Result<Read, HistoryError> {
    let (mut text, mut number) = (Vec::new(), 1);
    next(&mut from, &mut text, number)?;
    let header = header(&text)?;
    let (mut ops, mut torn): (Vec<Op>, bool) = (Vec::new(), false);
    loop {
        number += 1;
        if next(&mut from, &mut text, number)? == 0 {
            return Ok(Read { header, ops, torn });
        }
        let wrong = |why: String| HistoryError::Line { line: number, why };
        let op: Op = match serde_json::from_slice(&text) {
            Ok(op) => op,
            Err(_) if !text.ends_with(b"\n") => {
                torn = true;
                continue;
            }
            Err(error) => return Err(wrong(format!("no op of a history: {}", without_line(&error)))),
        };
        if let Some(before) = ops.last().filter(|before| before.i >= op.i) {
            return Err(wrong(format!("op {} comes behind op {}", op.i, before.i)));
        }
        ops.push(op);
    }
}

fn next(from: &mut impl BufRead, text: &mut Vec<u8>, line: usize) -> Result<usize, HistoryError> {
    text.clear();
    let read = io::Read::take(from, LONGEST_LINE + 1).read_until(b'\n', text);
    match read.map_err(|cause| HistoryError::Io { line, cause })? {
        read if read as u64 > LONGEST_LINE => Err(HistoryError::Line {
            line,
            why: format!("longer than {LONGEST_LINE} bytes, as no line of a history is"),
        }),
        read => Ok(read),
    }
}

fn header(text: &[u8]) -> Result<Header, HistoryError> {
    let wrong = |why: String| HistoryError::Line { line: 1, why };
    if text.trim_ascii().is_empty() {
        return Err(wrong("empty, where a history has its header".to_owned()));
    }
    let header: serde_json::Value = serde_json::from_slice(text)
        .map_err(|error| wrong(format!("no header of a history: {}", without_line(&error))))?;
    match header["wireproof_history"].as_u64() {
        None => Err(wrong("no header of a history: it has no \"wireproof_history\"".to_owned())),
        Some(schema) if schema != u64::from(SCHEMA) => Err(wrong(format!(
            "a history of form {schema}, and form {SCHEMA} is known; use a wireproof of that form"
        ))),
        Some(_) => {
            serde_json::from_value(header).map_err(|error| wrong(format!("no header of a history: {error}")))
        }
    }
}

/// The words of an error without the place: each line is read on its own, and its number would be 1.
fn without_line(error: &serde_json::Error) -> String {
    let words = error.to_string();
    match words.rfind(" at line ") {
        Some(at) => format!("{} (column {})", &words[..at], error.column()),
        None => words,
    }
}
