//! The one list of metrics: each with its meaning, the name it is registered under and its unit. The macro makes the
//! struct, its beginning and its registration out of it.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

use super::{
    CommitMetrics, FAST, Family, Histogram, KeyMetrics, LONG, Label, Names, SLOW, TOOLS, counters, gauges,
    labels,
};

/// A struct of metrics: `meaning, field: type = beginning => "name", unit;`. The beginning is the type's default unless it
/// is given, the meaning is the help text. A unit ends the name; `_total` is added to counters by the text. What the
/// struct holds besides stands under `beside`, and may use the metrics. The page of metrics in `docs` comes from what is served.
macro_rules! metrics {
    (
        $(#[$meta:meta])*
        $struct_vis:vis struct $struct:ident($($argument:ident: $argument_type:ty)?) {
            $(
                $(#[doc = $help:literal])+
                $vis:vis $field:ident: $type:ty $(= $beginning:expr)? => $name:literal $(, $unit:ident)?;
            )*
        }
        $(beside {
            $( $(#[$beside_meta:meta])* $beside_vis:vis $beside:ident: $beside_type:ty = $beside_value:expr; )*
        })?
    ) => {
        $(#[$meta])*
        $struct_vis struct $struct {
            $( $(#[doc = $help])+ $vis $field: $type, )*
            $($( $(#[$beside_meta])* $beside_vis $beside: $beside_type, )*)?
        }

        impl $struct {
            /// All of them at their beginning.
            pub(super) fn at_start($($argument: $argument_type)?) -> Self {
                $( let $field: $type = $crate::metrics::metrics!(@beginning $type $(, $beginning)?); )*
                $($( let $beside: $beside_type = $beside_value; )*)?
                Self { $($field,)* $($($beside,)*)? }
            }

            /// Registers all of them.
            pub(super) fn register(&self, registry: &mut prometheus_client::registry::Registry) {
                $( $crate::metrics::metrics!(
                    @register registry, $name, concat!($($help),+).trim_matches([' ', '.']), self.$field.clone()
                    $(, $unit)?
                ); )*
            }
        }
    };
    (@beginning $type:ty) => { <$type>::default() };
    (@beginning $type:ty, $beginning:expr) => { $beginning };
    (@register $registry:ident, $name:literal, $help:expr, $metric:expr) => {
        $registry.register($name, $help, $metric)
    };
    (@register $registry:ident, $name:literal, $help:expr, $metric:expr, $unit:ident) => {
        $registry.register_with_unit($name, $help, prometheus_client::registry::Unit::$unit, $metric)
    };
}

pub(crate) use metrics;

metrics! {
    /// What the server counts.
    pub struct Metrics(names: &Names) {
        /// WebSocket connections now, by where they are in their life; one that is `opening` has no user yet.
        pub(super) connections: Family<Gauge> = gauges("state", labels::CONNECTION_STATES) => "connections";
        /// WebSocket handshakes by how they ended: `too_many` connections of the user or the address, `admission` when too many
        /// handshakes come at once, `gone` when the client left, `failed` when the store did.
        pub(super) handshakes: Family<Counter> = counters("result", labels::HANDSHAKES) => "handshakes";
        /// WebSocket connections that ended, by the code they were closed with; `none` when the client ended it.
        pub(super) closes: Family<Counter> =
            Family::new(vec![labels::closes()], Counter::default) => "connections_closed";
        /// How long WebSocket connections lived, in seconds.
        pub connection_seconds: Histogram = Histogram::seconds(LONG) => "connection_duration", Seconds;
        /// Text and binary frames of clients, each once, by type and by what became of them; `abandoned` are those whose
        /// connection ended first.
        pub(super) frames: Family<Counter> =
            Family::new(vec![labels::frames(), Label::new("outcome", labels::FRAME_OUTCOMES)], Counter::default)
            => "frames";
        /// Frames of clients that were refused, by the error code they got.
        pub(super) refusals: Family<Counter> =
            Family::new(vec![labels::error_codes()], Counter::default) => "refusals";
        /// Bytes that came on WebSocket connections, framing included, TLS not.
        pub bytes_received: Counter => "received", Bytes;
        /// Bytes that went out on WebSocket connections, framing included, TLS not.
        pub bytes_sent: Counter => "sent", Bytes;
        /// Events appended to logs, of any kind.
        pub events_appended: Counter => "events_appended";
        /// Events handed to the broker.
        pub events_published: Counter => "events_published";
        /// Events put on the wire, live or from the log; a merged one counts once.
        pub events_delivered: Counter => "events_delivered";
        /// Events put on the wire that were read from the log.
        pub events_replayed: Counter => "events_replayed";
        /// From an event being durable to its being put on the wire, live events only, in seconds.
        pub delivery_seconds: Histogram = Histogram::seconds(FAST) => "delivery_latency", Seconds;
        /// Times that a live connection fell back to the log.
        pub catch_ups: Counter => "catch_ups";
        /// Pages of logs read for connections that were not live, but the first page of a resume.
        pub log_pages: Counter => "log_pages";
        /// Connections closed with 4008 because their client did not read.
        pub slow_consumers: Counter => "slow_consumers";
        /// Positions that clients came back with, by what came of them.
        pub(super) resumes: Family<Counter> = counters("result", labels::RESUMES) => "resumes";
        /// Snapshots sent in place of a replay, by reason.
        pub(super) snapshots: Family<Counter> = counters("reason", labels::SNAPSHOTS) => "snapshots";
        /// Runs that ended in this process, by how; those that a dead process left are not in it.
        pub(super) runs: Family<Counter> = counters("outcome", labels::RUN_OUTCOMES) => "runs";
        /// Runs refused with `too_many_runs`.
        pub runs_refused: Counter => "runs_refused";
        /// How long runs took, waiting included, by agent, in seconds.
        pub(super) run_seconds: Family<Histogram> =
            Family::new(vec![agents(names)], || Histogram::seconds(SLOW)) => "run_duration", Seconds;
        /// From a run being asked for to its `agent_started` being durable, by agent, in seconds.
        pub(super) start_seconds: Family<Histogram> =
            Family::new(vec![agents(names)], || Histogram::seconds(FAST)) => "run_start", Seconds;
        /// From a run being asked for to the first piece of its answer, by agent, in seconds.
        pub(super) first_delta_seconds: Family<Histogram> =
            Family::new(vec![agents(names)], || Histogram::seconds(SLOW)) => "run_first_delta", Seconds;
        /// Calls of tools by tool and outcome.
        pub(super) tool_calls: Family<Counter> =
            Family::new(vec![tools(names), Label::new("outcome", labels::TOOL_OUTCOMES)], Counter::default)
            => "tool_calls";
        /// How long tools took, by tool, in seconds.
        pub(super) tool_seconds: Family<Histogram> =
            Family::new(vec![tools(names)], || Histogram::seconds(FAST)) => "tool_duration", Seconds;
        /// Times that a limit stopped somebody, by limit; limits whose effect has a metric of its own are not in it.
        pub(super) limits_hit: Family<Counter> = counters("limit", labels::LIMITS) => "limits_hit";
        /// Looks into the cache of verified tokens; a `miss` has its signature checked.
        pub(super) token_cache: Family<Counter> = counters("result", labels::CACHE) => "token_cache_lookups";
        /// Fetches of a key set from its issuer, by how they ended.
        pub(super) jwks_fetches: Family<Counter> = counters("result", labels::JWKS) => "jwks_fetches";
        /// Tries at the doors of the accounts, by door and by what came of them.
        pub(super) logins: Family<Counter> =
            Family::new(
                vec![Label::new("door", labels::DOORS), Label::new("result", labels::LOGINS)],
                Counter::default,
            )
            => "logins";
        /// Revocations by what was revoked.
        pub(super) revocations: Family<Counter> = counters("kind", labels::REVOCATIONS) => "revocations";
        /// When the server started, in Unix seconds.
        pub started: Gauge<f64, AtomicU64> => "start_time", Seconds;
    }
    beside {
        pub(super) registry: Registry = Registry::default();
        /// What the store's writer counts.
        pub commits: CommitMetrics = CommitMetrics::default();
        /// What the keys of tokens count.
        pub keys: KeyMetrics = KeyMetrics {
            cache_hits: token_cache.at(&["hit"]).clone(),
            cache_misses: token_cache.at(&["miss"]).clone(),
            jwks_fetched: jwks_fetches.at(&["fetched"]).clone(),
            jwks_failed: jwks_fetches.at(&["failed"]).clone(),
        };
    }
}

fn agents(names: &Names) -> Label {
    Label::of_names("agent", names.agents.iter().cloned())
}

fn tools(names: &Names) -> Label {
    Label::of_names("tool", names.tools.iter().take(TOOLS).cloned())
}
