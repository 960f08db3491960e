//! The text of an event stream, cut into its events. Pure: bytes in, the `data` of whole events out.

/// Most bytes of one event: a server that never ends one is not followed for ever.
const MOST: usize = 1 << 20;

/// What was read of a stream and is no whole event yet.
#[derive(Debug, Default)]
pub(super) struct EventStream {
    unread: Vec<u8>,
    data: Option<String>,
    /// The last line ended with a carriage return: a line feed that follows belongs to it.
    after_return: bool,
}

impl EventStream {
    /// Takes bytes as they came, cut anywhere.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// The next whole event; an error when the stream is none.
    pub(super) fn next(&mut self) -> Result<Option<String>, &'static str> {
        while let Some(line) = self.line()? {
            if line.is_empty() {
                // An event without data is none.
                if let Some(data) = self.data.take() {
                    return Ok(Some(data));
                }
            } else {
                self.field(&line);
            }
            if self.data.as_ref().is_some_and(|data| data.len() > MOST) {
                return Err("an event is larger than 1 MiB");
            }
        }
        Ok(None)
    }

    /// True when the stream may end here: no event has begun.
    pub(super) fn is_between(&self) -> bool {
        self.data.is_none() && self.unread.is_empty()
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        // Names, ids and retries of events mean nothing to a profile, and a line that begins with a colon is a comment.
        if name != "data" {
            return;
        }
        let value = value.strip_prefix(' ').unwrap_or(value);
        match &mut self.data {
            Some(data) => {
                data.push('\n');
                data.push_str(value);
            }
            None => self.data = Some(value.to_owned()),
        }
    }

    /// A line ends with a carriage return, a line feed, or both.
    fn line(&mut self) -> Result<Option<String>, &'static str> {
        if self.after_return && !self.unread.is_empty() {
            self.after_return = false;
            if self.unread[0] == b'\n' {
                self.unread.remove(0);
            }
        }
        let Some(end) = self.unread.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            return if self.unread.len() > MOST { Err("a line is longer than 1 MiB") } else { Ok(None) };
        };
        let rest = self.unread.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.unread, rest);
        self.after_return = line.pop() == Some(b'\r');
        String::from_utf8(line).map(Some).map_err(|_| "a line is not UTF-8")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pieces: &[&[u8]]) -> (Vec<String>, bool) {
        let (mut events, mut found) = (EventStream::default(), Vec::new());
        for piece in pieces {
            events.push(piece);
            while let Some(data) = events.next().unwrap() {
                found.push(data);
            }
        }
        (found, events.is_between())
    }

    #[test]
    fn lines_may_end_in_three_ways_and_be_cut_anywhere() {
        for end in ["\n", "\r\n", "\r"] {
            let text =
                format!(": hi{end}event: x{end}data: ö{end}data:b{end}{end}id: 1{end}{end}data{end}{end}");
            let whole = all(&[text.as_bytes()]);
            assert_eq!(whole, (vec!["ö\nb".to_owned(), String::new()], true), "{end:?}");
            let single: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(all(&single), whole, "{end:?}");
        }
    }

    #[test]
    fn an_event_that_was_cut_off_is_none() {
        for text in ["data: a", "data: a\n"] {
            assert_eq!(all(&[text.as_bytes()]), (vec![], false));
        }
    }

    #[test]
    fn what_is_no_event_stream_is_told() {
        for bytes in [b"data: \xff\n".to_vec(), vec![b'x'; MOST + 1]] {
            let mut events = EventStream::default();
            events.push(&bytes);
            assert!(events.next().is_err());
        }
    }
}
