//! How a command ends: the exit code, and for an error what to do next.

use std::{fmt, io::Write, process::ExitCode};

use anyhow::Error;
use wireproof_client::{ClientError, GiveUp, OpenError};
use wireproof_protocol::printable;
use wireproof_server::{
    ConfigError, StartError,
    files::PlaceError,
    store::{
        OpenError as StoreError,
        embedded::{backup::BackupError, compact::CompactError},
    },
};

use crate::output;

/// The exit codes, for the help text.
pub(crate) const HELP: &str = "Examples:
  wireproof demo
  wireproof serve --data-dir ./data
  wireproof help serve

Environment: settings are WIREPROOF_* variables, see `wireproof help serve`. WIREPROOF_LOG says how much is logged, such
as debug. NO_COLOR turns colours off.

Exit codes: 0 fine, 1 failed or checks failed, 2 usage, 3 cannot reach, 4 refused.";

/// Why a command stops, where the exit code must say it.
#[derive(Debug, PartialEq)]
pub(crate) enum Stop {
    /// It was used in a way that cannot work.
    Usage(String),
    /// What it needs cannot be reached.
    Unreachable(String),
    /// What it ran did not go well; all is said already.
    Failed,
    /// The server understood a request and refused it.
    Refused(String),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Usage(why) | Stop::Unreachable(why) => f.write_str(why),
            Stop::Failed => f.write_str("failed"),
            Stop::Refused(why) => write!(f, "the server refused the request: {why}"),
        }
    }
}

impl std::error::Error for Stop {}

/// Prints the error, if there is one, and gives the exit code.
pub(crate) fn code(done: Result<(), Error>) -> ExitCode {
    let Err(error) = done else { return ExitCode::SUCCESS };
    if error.downcast_ref() == Some(&Stop::Failed) {
        return ExitCode::from(1);
    }
    // Whoever closed stdout has seen enough. A pipe that broke elsewhere, as to a server, is a failure.
    if error.chain().any(|cause| cause.downcast_ref().is_some_and(output::is_closed)) {
        return ExitCode::SUCCESS;
    }
    let (code, next) = judge(&error);
    let (red, reset) = (anstyle::AnsiColor::Red.on_default().bold(), anstyle::Reset);
    say(&format!("{red}error:{reset} {}", printable(&tell(&error))));
    if let Some(next) = next {
        say(&format!("  next: {next}"));
    }
    ExitCode::from(code)
}

/// Writes a line to stderr. Where that is full or closed nobody can be told, and the exit code still says it.
pub(crate) fn say(line: &str) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// The error and its causes on one line; a cause that an error tells already is not told again.
fn tell(error: &Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(|cause| cause.to_string()) {
        if told.contains(&cause) {
            continue;
        }
        if !told.is_empty() {
            told.push_str(": ");
        }
        told.push_str(&cause);
    }
    told
}

const ASK_FOR_TOKEN: &str =
    "get a token with `wireproof token --user ID --data-dir DIR` (the server's own folder)";
/// What to do about a server that does not answer to the host's name in its address.
pub(crate) const ASK_BY_NAME: &str =
    "ask it by its address or a name that it has, or add this name to its setting http.hosts";
const CORRECT_IT: &str =
    "correct it or leave it out; flags win over WIREPROOF_*, and that over the file of --config";
const IS_IT_WIREPROOF: &str = "check the address: what answers there speaks another protocol";
const IS_IT_RUNNING: &str = "check the address, or start a server with `wireproof serve`";

fn judge(error: &Error) -> (u8, Option<&'static str>) {
    match error.downcast_ref() {
        Some(Stop::Usage(_)) => return (2, Some("see `wireproof help`")),
        Some(Stop::Unreachable(_)) => return (3, None),
        Some(Stop::Refused(_)) => return (4, None),
        Some(Stop::Failed) | None => {}
    }
    for cause in error.chain() {
        if let Some(backup) = cause.downcast_ref::<BackupError>() {
            return (1, of_backup(backup));
        }
        if let Some(compact) = cause.downcast_ref::<CompactError>() {
            return match compact {
                CompactError::NoStore { .. } => (2, Some("give the server's data folder with --data-dir")),
                CompactError::Store(StoreError::InUse { .. }) => (4, Some("stop the server first")),
                CompactError::NoRoom { .. } => (1, Some("make room there; nothing was changed")),
                _ => (1, None),
            };
        }
        if cause.is::<ConfigError>() || cause.downcast_ref().is_some_and(StartError::is_of_settings) {
            return (2, Some(CORRECT_IT));
        }
        if let Some(open) = cause.downcast_ref::<OpenError>() {
            return match open {
                OpenError::Url { .. } => (2, None),
                OpenError::Token { .. } => (2, Some(ASK_FOR_TOKEN)),
                refused if refused.is_of_host() => (4, Some(ASK_BY_NAME)),
                refused if refused.is_refusal() => (4, Some(ASK_FOR_TOKEN)),
                OpenError::Refused { status: 404, .. } => (3, Some("the socket is at /ws")),
                _ => (3, Some(IS_IT_RUNNING)),
            };
        }
        match cause.downcast_ref::<ClientError>() {
            Some(ClientError::Over { why: GiveUp::Refused(421), .. }) => return (4, Some(ASK_BY_NAME)),
            Some(ClientError::Over { why: GiveUp::Told(1008) | GiveUp::Refused(_), .. }) => {
                return (4, Some(ASK_FOR_TOKEN));
            }
            Some(ClientError::Over { .. } | ClientError::NotConnected(_) | ClientError::Timeout(_)) => {
                return (3, Some(IS_IT_RUNNING));
            }
            Some(ClientError::Unreadable(_)) => return (3, Some(IS_IT_WIREPROOF)),
            _ => {}
        }
        if cause.is::<PlaceError>() {
            return (1, Some("give another place; nothing was written there"));
        }
    }
    (1, None)
}

fn of_backup(error: &BackupError) -> Option<&'static str> {
    Some(match error {
        BackupError::NoStore { .. } => "give the server's data folder with --data-dir",
        BackupError::Place(PlaceError::Exists { .. }) => "give another --to, or replace it with --force",
        BackupError::Place(_) | BackupError::OwnPlace { .. } => {
            "give another --to; nothing was written there"
        }
        BackupError::Foreign { .. }
        | BackupError::Unsealed { .. }
        | BackupError::Damaged { .. }
        | BackupError::Altered { .. } => "give another backup with --from; nothing was changed",
        BackupError::Newer { .. } => "use that version; nothing was changed",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let cause = io::Error::other("the disk is full");
        let error = OpenError::Unreachable { address: "a:1".into(), cause };
        let error = Error::new(error).context("connecting");
        assert_eq!(tell(&error), "connecting: cannot reach a:1: the disk is full");
    }

    #[test]
    fn each_kind_of_error_has_its_code_also_under_a_context() {
        let closed = OpenError::Unreachable { address: "a:1".into(), cause: io::ErrorKind::TimedOut.into() };
        let unauthorized =
            OpenError::Refused { address: "a:1".into(), status: 401, error: None, retry_after: None };
        let coded = |error: Error| judge(&error).0;
        assert_eq!(coded(Error::new(closed).context("connecting")), 3);
        assert_eq!(coded(unauthorized.into()), 4);
        assert_eq!(coded(Error::new(Stop::Usage("no".into()))), 2);
        assert_eq!(coded(Error::new(Stop::Refused("no".into())).context("x")), 4);
        assert_eq!(coded(anyhow::anyhow!("else")), 1);
        // Bug: a request that could not be sent, or was not answered, counted as a failed check.
        assert_eq!(coded(Error::new(ClientError::NotConnected(Box::default())).context("x")), 3);
        assert_eq!(coded(ClientError::Timeout(std::time::Duration::from_secs(1)).into()), 3);
    }
}
