//! Logs: to stderr, as much as `WIREPROOF_LOG` asks for.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// Writes logs to stderr from `default` up, or as `WIREPROOF_LOG` says; what it says wrongly is told and passed over.
pub(crate) fn to_stderr(default: &str) {
    let asked = std::env::var("WIREPROOF_LOG").ok();
    let (filter, wrong) = match asked.as_deref().map(|asked| EnvFilter::try_new(quiet_tools(asked))) {
        None => (EnvFilter::new(default), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(e)) => (EnvFilter::new(default), Some(e)),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    if let Some(e) = wrong {
        tracing::warn!(error = %e, "WIREPROOF_LOG cannot be used; logging as if it were not set");
    }
}

/// The tools' own library writes what users said at its lower levels: it is heard only when it is named.
fn quiet_tools(asked: &str) -> String {
    if asked.contains("rmcp") { asked.to_owned() } else { format!("{asked},rmcp=warn") }
}
