//! The head of an HTTP request or answer as lines that can be changed; what is not touched stays byte for byte.

/// The longest head that is read.
pub(crate) const LONGEST: usize = 64 << 10;

/// A head of HTTP/1.
#[derive(Debug, Clone)]
pub(crate) struct HttpHead {
    lines: Vec<String>,
}

impl HttpHead {
    /// The head at the beginning of these bytes, and how long it is; nothing while it has no end.
    pub(crate) fn end(bytes: &[u8]) -> Option<usize> {
        bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
    }

    /// The head in these bytes; nothing for what is no HTTP in UTF-8.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?.strip_suffix("\r\n\r\n")?;
        let lines: Vec<String> = text.split("\r\n").map(str::to_owned).collect();
        lines.first().is_some_and(|line| line.contains("HTTP/1.")).then_some(Self { lines })
    }

    /// As it goes on the wire.
    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        to.extend(self.lines.join("\r\n").as_bytes());
        to.extend(b"\r\n\r\n");
    }

    /// The target of a request; empty where there is none.
    pub(crate) fn target(&self) -> &str {
        self.lines[0].split(' ').nth(1).unwrap_or_default()
    }

    /// Another target for a request.
    pub(crate) fn set_target(&mut self, target: &str) {
        let mut words: Vec<&str> = self.lines[0].split(' ').collect();
        if words.len() == 3 {
            words[1] = target;
            self.lines[0] = words.join(" ");
        }
    }

    /// The status of an answer; 0 where there is none.
    pub(crate) fn status(&self) -> u16 {
        self.target().parse().unwrap_or(0)
    }

    /// Another status for an answer.
    pub(crate) fn set_status(&mut self, status: u16) {
        self.lines[0] = format!("HTTP/1.1 {status} Mutated");
    }

    fn at(&self, name: &str) -> Option<usize> {
        let named =
            |line: &String| line.split_once(':').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name));
        self.lines.iter().skip(1).position(named).map(|at| at + 1)
    }

    /// The first header of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.lines[self.at(name)?].split_once(':').map(|(_, value)| value.trim())
    }

    /// Puts a header in the place of the first of its name, or at the end.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let line = format!("{name}: {value}");
        match self.at(name) {
            Some(at) => self.lines[at] = line,
            None => self.lines.push(line),
        }
    }

    /// Takes all headers of this name out; true when there was one.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        let mut removed = false;
        while let Some(at) = self.at(name) {
            self.lines.remove(at);
            removed = true;
        }
        removed
    }

    /// The names of its headers.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().skip(1).filter_map(|line| line.split_once(':')).map(|(name, _)| name)
    }

    /// True for a request for a WebSocket.
    pub(crate) fn upgrades(&self) -> bool {
        self.get("upgrade").is_some_and(|value| value.to_ascii_lowercase().contains("websocket"))
    }

    /// Changes every line.
    pub(crate) fn map(&mut self, change: impl Fn(&str) -> String) {
        self.lines.iter_mut().for_each(|line| *line = change(line));
    }

    /// All of it.
    pub(crate) fn text(&self) -> String {
        self.lines.join("\n")
    }
}
