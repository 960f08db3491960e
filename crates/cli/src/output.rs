//! Stdout of a command. Its reader may have seen enough and close it: the one broken pipe that is no failure.

use std::{
    fmt,
    io::{self, ErrorKind, Write},
};

/// Stdout, or what there is of it.
pub(crate) struct Output {
    stdout: Box<dyn Write>,
    /// True to go on without a reader.
    to_the_end: bool,
    closed: bool,
}

/// Stdout with colours where a terminal shows them, and without control sequences elsewhere.
pub(crate) fn styled() -> Output {
    Output { stdout: Box::new(anstream::stdout()), to_the_end: false, closed: false }
}

/// Stdout of programs or of people.
pub(crate) fn of(json: bool) -> Output {
    if json { exact() } else { styled() }
}

/// Stdout that takes every byte as it is.
pub(crate) fn exact() -> Output {
    Output { stdout: Box::new(io::stdout()), ..styled() }
}

/// Why nothing more is written: the reader of stdout closed it.
#[derive(Debug)]
struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stdout was closed by its reader")
    }
}

impl std::error::Error for Closed {}

/// True when an error says that the reader of stdout closed it; a broken pipe of anything else is none.
pub(crate) fn is_closed(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|cause| cause.is::<Closed>())
}

impl Output {
    /// Goes on when nobody reads it any more: for a command whose work or whose exit code counts, whoever reads its words.
    pub(crate) fn even_unread(self) -> Self {
        Self { to_the_end: true, ..self }
    }

    fn told<T>(&mut self, done: io::Result<T>, instead: T) -> io::Result<T> {
        match done {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => self.closed = true,
            other => return other,
        }
        if self.to_the_end { Ok(instead) } else { Err(io::Error::new(ErrorKind::BrokenPipe, Closed)) }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.closed && self.to_the_end {
            return Ok(bytes.len());
        }
        let written = self.stdout.write(bytes);
        self.told(written, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.closed && self.to_the_end {
            return Ok(());
        }
        let flushed = self.stdout.flush();
        self.told(flushed, ())
    }
}
