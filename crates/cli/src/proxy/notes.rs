//! What the proxy has done, on its way to the journal's file; what is in the way of its work, to stderr.

use std::{fs::File, io::Write, path::Path};

use anyhow::Context;
use wireproof_faultproxy::{Entry, FaultProxy};
use wireproof_protocol::printable;
use wireproof_server::files;

use crate::exit::say;

/// Opens the journal's file, to write at its end.
pub(super) fn open(path: &Path) -> anyhow::Result<File> {
    files::append(path).with_context(|| format!("opening the journal {}", path.display()))
}

/// Where the entries go.
pub(super) struct Notes {
    journal: Option<File>,
    last: u64,
}

impl Notes {
    pub(super) fn new(journal: Option<File>) -> Self {
        Self { journal, last: 0 }
    }

    /// Writes entries as they come; ends only with an error.
    pub(super) async fn follow(&mut self, proxy: &FaultProxy) -> anyhow::Result<()> {
        loop {
            proxy.journal_grown(self.last).await;
            self.write(proxy)?;
        }
    }

    /// Writes what is new.
    pub(super) fn write(&mut self, proxy: &FaultProxy) -> anyhow::Result<()> {
        let mut lines = Vec::new();
        for entry in proxy.journal_since(self.last) {
            self.last = entry.number;
            if self.journal.is_some() {
                serde_json::to_writer(&mut lines, &entry)?;
                lines.push(b'\n');
            }
            warn(&entry);
        }
        match &mut self.journal {
            Some(journal) => journal.write_all(&lines).context("writing the journal"),
            None => Ok(()),
        }
    }
}

fn warn(entry: &Entry) {
    if entry.what == "upstream_unreachable" {
        let why = entry.detail.as_deref().unwrap_or_default();
        say(&format!("connection {}: the server cannot be reached at {}", entry.connection, printable(why)));
    }
}
