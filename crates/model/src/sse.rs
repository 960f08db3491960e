//! Server-sent events: bytes in any chunking become the data of events. Fields other than `data` are passed over.

use crate::StreamError;

/// The state between two chunks of a stream.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    past_first_line: bool,
    data: Option<String>,
}

impl Parser {
    /// Reads a chunk and returns the data of the events that it ends. A line or an event holds at most `most` bytes.
    pub(crate) fn push(&mut self, bytes: &[u8], most: usize) -> Result<Vec<String>, StreamError> {
        let mut events = Vec::new();
        for &byte in bytes {
            // A line ends with CR, LF or CR LF; the two halves of the last may come in two chunks.
            let second_half = byte == b'\n' && std::mem::take(&mut self.after_cr);
            self.after_cr = byte == b'\r';
            match byte {
                b'\n' if second_half => {}
                b'\r' | b'\n' => events.extend(self.end_line(most)?),
                _ if self.line.len() >= most => return Err(StreamError::TooLarge),
                _ => self.line.push(byte),
            }
        }
        Ok(events)
    }

    /// The event that no blank line ended, which some servers leave out at the end.
    pub(crate) fn finish(mut self, most: usize) -> Result<Option<String>, StreamError> {
        self.end_line(most)?;
        Ok(self.data)
    }

    fn end_line(&mut self, most: usize) -> Result<Option<String>, StreamError> {
        let line = std::mem::take(&mut self.line);
        let mut line = line.as_slice();
        if !std::mem::replace(&mut self.past_first_line, true) {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        if line.is_empty() {
            return Ok(self.data.take());
        }
        let Some(value) = line.strip_prefix(b"data") else { return Ok(None) };
        let value = match value {
            [] => value,
            [b':', b' ', rest @ ..] | [b':', rest @ ..] => rest,
            _ => return Ok(None), // another field, whose name begins with the same letters
        };
        let value = std::str::from_utf8(value).map_err(|_| StreamError::Malformed)?;
        match &mut self.data {
            Some(data) if data.len() + value.len() >= most => return Err(StreamError::TooLarge),
            Some(data) => {
                data.push('\n');
                data.push_str(value);
            }
            None => self.data = Some(value.to_owned()),
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(chunks: &[&[u8]]) -> Vec<String> {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        for chunk in chunks {
            events.extend(parser.push(chunk, 1_000).unwrap());
        }
        events.extend(parser.finish(1_000).unwrap());
        events
    }

    #[test]
    fn every_spelling_of_an_event_is_read() {
        for (bytes, expected) in [
            ("data: a\n\ndata:b\n\n", vec!["a", "b"]),
            ("data: a\r\rdata: b\r\n\r\n", vec!["a", "b"]),
            ("\u{feff}data: a\n\n", vec!["a"]),
            (": a comment\n\nid: 1\nevent: x\ndata: a\nretry: 5\n\n", vec!["a"]),
            ("data: a\ndata: b\n\n", vec!["a\nb"]),
            ("data:  a\n\n", vec![" a"]),
            ("database: a\n\ndata\n\n", vec![""]),
            ("data: a", vec!["a"]),
        ] {
            assert_eq!(read(&[bytes.as_bytes()]), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_line_and_an_event_are_bounded() {
        assert_eq!(Parser::default().push(&[b'x'; 11], 10), Err(StreamError::TooLarge));
        let lines = b"data:1234\ndata:1234\ndata:1234\n";
        assert_eq!(Parser::default().push(lines, 10), Err(StreamError::TooLarge));
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_events(
            parts in prop::collection::vec(prop::sample::select(vec!["data: ä", "data:", "\r", "\n", "\r\n", ": c", "\u{feff}", "x"]), 0..30),
            sizes in prop::collection::vec(1usize..5, 1..20),
        ) {
            let text = parts.concat();
            let mut rest = text.as_bytes();
            let mut chunks = Vec::new();
            for size in sizes.iter().cycle() {
                if rest.is_empty() { break }
                let (chunk, after) = rest.split_at((*size).min(rest.len()));
                chunks.push(chunk);
                rest = after;
            }
            prop_assert_eq!(read(&chunks), read(&[text.as_bytes()]));
        }
    }
}
