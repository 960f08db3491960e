//! The lines of stdin as messages. A line that cannot be one is told apart from the end of the input.

use std::io;

use tokio::io::{AsyncBufReadExt, BufReader, Stdin};

/// Longest line that is kept, in bytes; of a longer one nothing is.
const LONGEST_LINE: usize = 1 << 20;

/// A line of the input, without its end.
pub(super) enum Line {
    /// Text.
    Text(String),
    /// No message, and why not.
    Unfit(String),
}

/// Stdin, a line at a time.
pub(super) struct Input {
    stdin: BufReader<Stdin>,
    /// The line so far.
    line: Vec<u8>,
    is_too_long: bool,
    /// Lines begun, the current one included.
    number: u64,
}

impl Input {
    pub(super) fn new() -> Self {
        Self { stdin: BufReader::new(tokio::io::stdin()), line: Vec::new(), is_too_long: false, number: 1 }
    }

    /// The next line, or nothing at the end of the input. Cancel-safe: a line begun is kept.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let read = self.stdin.fill_buf().await?;
            let (end, taken) = match read.iter().position(|byte| *byte == b'\n') {
                Some(at) => (true, at + 1),
                None => (read.is_empty(), read.len()),
            };
            if self.line.len() + taken > LONGEST_LINE {
                self.is_too_long = true;
                self.line.clear();
            }
            if !self.is_too_long {
                self.line.extend_from_slice(&read[..taken]);
            }
            let is_over = read.is_empty() && self.line.is_empty() && !self.is_too_long;
            self.stdin.consume(taken);
            if is_over {
                return Ok(None);
            }
            if end {
                return Ok(Some(self.take()));
            }
        }
    }

    fn take(&mut self) -> Line {
        let (number, line) = (self.number, std::mem::take(&mut self.line));
        self.number += 1;
        if std::mem::take(&mut self.is_too_long) {
            return Line::Unfit(format!(
                "Line {number} of the input is longer than {LONGEST_LINE} bytes. It was not sent."
            ));
        }
        match String::from_utf8(line) {
            Ok(text) => Line::Text(text),
            Err(_) => Line::Unfit(format!(
                "Line {number} of the input is not UTF-8 text. It was not sent; convert it first, for example with iconv."
            )),
        }
    }
}
