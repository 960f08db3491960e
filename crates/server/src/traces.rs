//! Traces: one span a run, sent to an OpenTelemetry receiver. A build without the feature `otel` has none and does
//! nothing here.

use wireproof_protocol::{RunId, ThreadId, Timestamp, UserId};

use crate::config::{ConfigError, OtelConfig};

#[cfg(feature = "otel")]
mod otlp;

/// The place in somebody's trace that a request comes from: what the header `traceparent` says (W3C Trace Context).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace_id: u128,
    /// The span that asked.
    pub span_id: u64,
    /// Bit 0: the trace is recorded.
    pub flags: u8,
}

impl TraceParent {
    /// Reads a header's value; `None` when it is none of version 00 or a later one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let version = hex(parts.next()?, 2)?;
        let parent = Self {
            trace_id: hex(parts.next()?, 32)?,
            span_id: hex(parts.next()?, 16)? as u64,
            flags: hex(parts.next()?, 2)? as u8,
        };
        let whole = version != 0 || parts.next().is_none();
        (version != 0xff && whole && parent.trace_id != 0 && parent.span_id != 0).then_some(parent)
    }

    /// The one of a request's headers, if there is a good one.
    pub fn of(headers: &http::HeaderMap) -> Option<Self> {
        Self::parse(headers.get("traceparent")?.to_str().ok()?)
    }
}

fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (text.len() == digits && lower).then(|| u128::from_str_radix(text, 16).ok())?
}

/// What a span tells of its run.
#[derive(Debug, Clone, Copy)]
pub struct RunFacts<'a> {
    /// The run.
    pub run_id: RunId,
    /// Its thread.
    pub thread_id: &'a ThreadId,
    /// Its user.
    pub user_id: &'a UserId,
    /// Its agent.
    pub agent: &'a str,
    /// When it was asked for, in Unix seconds: its span begins there.
    pub asked_at: Timestamp,
}

/// Where spans go.
#[derive(Default)]
pub struct Traces {
    #[cfg(feature = "otel")]
    exporter: Option<otlp::Exporter>,
}

/// The span of one run; over when this is dropped.
#[derive(Default)]
pub struct RunTrace {
    #[cfg(feature = "otel")]
    span: Option<otlp::RunSpan>,
}

impl Traces {
    /// The receiver of the settings, or none.
    pub fn from_config(config: &OtelConfig) -> Result<Self, ConfigError> {
        if config.endpoint.is_empty() {
            return Ok(Self::default());
        }
        Self::to(&config.endpoint)
    }

    #[cfg(feature = "otel")]
    fn to(endpoint: &str) -> Result<Self, ConfigError> {
        let refused =
            |reason| ConfigError::Value { key: "otel.endpoint", value: endpoint.to_owned(), reason };
        Ok(Self { exporter: Some(otlp::Exporter::to(endpoint).map_err(refused)?) })
    }

    #[cfg(not(feature = "otel"))]
    fn to(_endpoint: &str) -> Result<Self, ConfigError> {
        Err(ConfigError::Feature { key: "otel.endpoint", feature: "otel" })
    }

    /// Begins the span of a run, under the one that asked for it if that is known.
    #[cfg_attr(not(feature = "otel"), allow(unused_variables))]
    pub fn run(&self, facts: RunFacts<'_>, parent: Option<TraceParent>) -> RunTrace {
        RunTrace {
            #[cfg(feature = "otel")]
            span: self.exporter.as_ref().map(|exporter| exporter.run(facts, parent)),
        }
    }

    /// Sends what is left. Blocks until it is sent or the receiver had its time.
    pub fn close(&self) {
        #[cfg(feature = "otel")]
        if let Some(exporter) = &self.exporter {
            exporter.close();
        }
    }
}

#[cfg_attr(not(feature = "otel"), allow(unused_variables))]
impl RunTrace {
    /// The agent has started.
    pub fn started(&self) {
        #[cfg(feature = "otel")]
        if let Some(span) = &self.span {
            span.started();
        }
    }

    /// A tool ended that took so long.
    pub fn tool(&self, name: &str, ok: bool, seconds: f64) {
        #[cfg(feature = "otel")]
        if let Some(span) = &self.span {
            span.tool(name, ok, seconds);
        }
    }

    /// The run ended so.
    pub fn ended(&self, outcome: &'static str) {
        #[cfg(feature = "otel")]
        if let Some(span) = &self.span {
            span.ended(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_w3c_has_it() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let expected = TraceParent {
            trace_id: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
            span_id: 0x00f0_67aa_0ba9_02b7,
            flags: 1,
        };
        assert_eq!(TraceParent::parse(good), Some(expected));
        assert_eq!(TraceParent::parse(&good.replacen("00-", "01-", 1)), Some(expected));
        assert_eq!(TraceParent::parse(&format!("01{}-more", &good[2..])), Some(expected));
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceParent::parse(bad), None, "{bad}");
        }
    }
}
