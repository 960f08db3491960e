//! The history of a measurement, kept in memory while it lasts, for `wireproof verify`.

use std::sync::Arc;

use anyhow::Context;
use wireproof_client::Welcome;
use wireproof_judge::{
    profile::Profile,
    record::{Action, Header, HistoryRecorder, Op, OpOutcome, write_draft},
};
use wireproof_server::files::Draft;

/// What all connections write to.
#[derive(Clone)]
pub(super) struct Recording {
    recorder: HistoryRecorder,
    profile: Arc<Profile>,
}

/// The pages of one connection.
pub(super) struct Pages {
    book: Recording,
    conn: String,
    user: String,
}

impl Recording {
    pub(super) fn new() -> anyhow::Result<Self> {
        let profile = Profile::find("wireproof").context("reading the profile of our own server")?;
        Ok(Self { recorder: HistoryRecorder::new(), profile: Arc::new(profile) })
    }

    /// Begins the pages of a connection that was welcomed with this frame.
    pub(super) fn opened(&self, welcome: &Welcome, text: &str) -> Pages {
        let user = welcome.user_id.to_string();
        let pages = Pages { book: self.clone(), conn: format!("{user}/{}#0", welcome.connection_id), user };
        pages.note(Op { f: Action::Connect, ..Op::default() });
        pages.came(text);
        pages
    }

    /// Writes the history to a file.
    pub(super) fn write(&self, to: Draft, target: &str) -> anyhow::Result<()> {
        let header = Header::of(target, &self.profile, 0);
        write_draft(to, &header, &self.recorder.snapshot()).context("writing the history")
    }
}

impl Pages {
    /// A message that goes out under this id.
    pub(super) fn sent(&self, id: &str, text: &str) {
        let (request, text) = (Some(id.to_owned()), text.to_owned());
        self.note(Op { f: Action::Send, outcome: OpOutcome::Invoke, request, text, ..Op::default() });
    }

    /// A frame that came.
    pub(super) fn came(&self, text: &str) {
        let json = serde_json::from_str(text).unwrap_or_default();
        self.note(Op::frame(&self.book.profile, &json, text));
    }

    /// The end of the connection.
    pub(super) fn ended(&self, how: &str) {
        self.note(Op { f: Action::Close, text: how.to_owned(), ..Op::default() });
    }

    fn note(&self, op: Op) {
        self.book.recorder.note(Op { conn: self.conn.clone(), user: self.user.clone(), ..op });
    }
}
