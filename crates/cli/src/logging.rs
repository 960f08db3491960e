//! Logs: to stderr, as text or as JSON, as much as the settings or `WIREPROOF_LOG` ask for, and never what users say.

use std::{
    io::{self, IsTerminal},
    panic::PanicHookInfo,
};

use tracing_subscriber::{EnvFilter, fmt};
use wireproof_server::{
    ConfigError,
    config::{LogConfig, LogFormat, is_filter},
};

mod fields;

use fields::QuotedFields;

/// Libraries that write what goes over the wire at their lower levels: they are heard only when they are named.
const TALKATIVE: [&str; 11] = [
    "rmcp",
    "hyper",
    "hyper_util",
    "tungstenite",
    "tokio_tungstenite",
    "reqwest",
    "rustls",
    "h2",
    "opentelemetry",
    "opentelemetry_sdk",
    "opentelemetry_otlp",
];

/// Writes logs as text from `level` up, or as `WIREPROOF_LOG` says; what it says wrongly is told and passed over.
pub(crate) fn to_stderr(level: &str) {
    start(EnvFilter::new(level), LogFormat::Text);
}

/// Writes logs as the settings say; `WIREPROOF_LOG` wins over their level.
pub(crate) fn as_set(log: &LogConfig) -> Result<(), ConfigError> {
    start(filter(log)?, log.format);
    Ok(())
}

/// What the settings let through.
pub(crate) fn filter(log: &LogConfig) -> Result<EnvFilter, ConfigError> {
    EnvFilter::try_new(quiet_libraries(&log.level)).map_err(|_| log.refusal())
}

fn start(default: EnvFilter, format: LogFormat) {
    let asked = std::env::var_os("WIREPROOF_LOG").map(|asked| asked.to_string_lossy().into_owned());
    let read = |asked: &str| EnvFilter::try_new(quiet_libraries(asked)).ok().filter(|_| is_filter(asked));
    let (filter, is_wrong) = match asked.as_deref().map(read) {
        None => (default, false),
        Some(Some(filter)) => (filter, false),
        Some(None) => (default, true),
    };
    // Nobody can be told that stderr is full.
    let lines = fmt().with_env_filter(filter).with_writer(io::stderr).log_internal_errors(false);
    match format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).fmt_fields(QuotedFields).init(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).init()
        }
    }
    std::panic::set_hook(Box::new(panicked));
    if is_wrong {
        tracing::warn!(
            "WIREPROOF_LOG cannot be used: it must be off, error, warn, info, debug or trace, or a list such as \
             info,wireproof_server=debug; logging as if it were not set"
        );
    }
}

/// Says where a panic was. Its message is told only when it is a literal of the program: any other may hold what a
/// user said.
fn panicked(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let said =
        panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("(not told: it may hold data)");
    let thread = std::thread::current();
    tracing::error!(place, thread = thread.name().unwrap_or("?"), said, "a panic");
}

fn quiet_libraries(asked: &str) -> String {
    let named = |library: &str| {
        asked.split(',').any(|part| {
            part.trim().strip_prefix(library).is_some_and(|rest| rest.starts_with(['=', ':', '[']))
        })
    };
    let quiet = TALKATIVE.iter().filter(|library| !named(library)).map(|library| format!("{library}=warn"));
    std::iter::once(asked.to_owned()).chain(quiet).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_that_tell_what_users_say_are_heard_only_when_named() {
        let quiet = quiet_libraries("trace");
        assert!(TALKATIVE.iter().all(|library| quiet.contains(&format!(",{library}=warn"))), "{quiet}");
        let named = quiet_libraries("info,rmcp=debug,hyper::proto=trace");
        assert!(!named.contains("rmcp=warn") && !named.contains("hyper=warn"), "{named}");
        assert!(named.contains("hyper_util=warn") && named.contains("tungstenite=warn"), "{named}");
        assert!(EnvFilter::try_new(&quiet).is_ok() && EnvFilter::try_new(&named).is_ok());
    }
}
