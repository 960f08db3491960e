//! The catalogue: every metric with its name, what it counts and its unit.

use prometheus_client::{metrics::info::Info, registry::Unit};

use super::Metrics;

impl Metrics {
    /// Registers everything. A unit ends the name; `_total` is added to counters by the text.
    pub(super) fn describe(&mut self, build: Info<Vec<(&'static str, &'static str)>>) {
        let r = self.registry.sub_registry_with_prefix("wireproof");
        r.register(
            "connections",
            "WebSocket connections now, by where they are in their life",
            self.connections.clone(),
        );
        r.register("users", "Users with a WebSocket connection now", self.users.clone());
        r.register("handshakes", "WebSocket handshakes by how they ended", self.handshakes.clone());
        r.register(
            "connections_closed",
            "WebSocket connections that ended, by the code they were closed with",
            self.closes.clone(),
        );
        r.register_with_unit(
            "connection_duration",
            "How long WebSocket connections lived, in seconds",
            Unit::Seconds,
            self.connection_seconds.clone(),
        );
        r.register("frames", "Frames of clients by type and by what became of them", self.frames.clone());
        r.register(
            "refusals",
            "Frames of clients that were refused, by the error code they got",
            self.refusals.clone(),
        );
        r.register_with_unit(
            "received",
            "Bytes that came on WebSocket connections",
            Unit::Bytes,
            self.bytes_received.clone(),
        );
        r.register_with_unit(
            "sent",
            "Bytes that went out on WebSocket connections",
            Unit::Bytes,
            self.bytes_sent.clone(),
        );
        r.register("events_appended", "Events appended to logs", self.events_appended.clone());
        r.register("events_published", "Events handed to the broker", self.events_published.clone());
        r.register(
            "events_delivered",
            "Events put on the wire, live or from the log",
            self.events_delivered.clone(),
        );
        r.register(
            "events_replayed",
            "Events put on the wire that were read from the log",
            self.events_replayed.clone(),
        );
        r.register_with_unit(
            "delivery_latency",
            "From an event being durable to its being put on the wire, live events only, in seconds",
            Unit::Seconds,
            self.delivery_seconds.clone(),
        );
        r.register_with_unit(
            "commit_duration",
            "From the begin of a transaction to its being durable, in seconds",
            Unit::Seconds,
            self.commits.seconds.clone(),
        );
        r.register("commit_jobs", "Pieces of work in one commit", self.commits.jobs.clone());
        r.register("commit_events", "Events in one commit that appended some", self.commits.events.clone());
        r.register("commits_failed", "Transactions of the store that failed", self.commits.failed.clone());
        r.register_with_unit(
            "queue",
            "Bytes of events that wait in memory for clients",
            Unit::Bytes,
            self.queue_bytes.clone(),
        );
        r.register(
            "connections_behind",
            "Connections that are served from the log now",
            self.connections_behind.clone(),
        );
        r.register("catch_ups", "Times that a live connection fell back to the log", self.catch_ups.clone());
        r.register(
            "log_pages",
            "Pages of logs read for connections that were not live",
            self.log_pages.clone(),
        );
        r.register(
            "slow_consumers",
            "Connections closed because their client did not read",
            self.slow_consumers.clone(),
        );
        r.register(
            "resumes",
            "Positions that clients came back with, by what came of them",
            self.resumes.clone(),
        );
        r.register("snapshots", "Snapshots sent in place of a replay, by reason", self.snapshots.clone());
        r.register("runs", "Runs that ended, by how", self.runs.clone());
        r.register("runs_alive", "Runs now, by where they are in their life", self.runs_alive.clone());
        r.register("runs_refused", "Runs refused because the user has too many", self.runs_refused.clone());
        r.register_with_unit(
            "run_duration",
            "How long runs took, waiting included, by agent, in seconds",
            Unit::Seconds,
            self.run_seconds.clone(),
        );
        r.register_with_unit(
            "run_start",
            "From a run being asked for to its agent_started being durable, by agent, in seconds",
            Unit::Seconds,
            self.start_seconds.clone(),
        );
        r.register_with_unit(
            "run_first_delta",
            "From a run being asked for to the first piece of its answer, by agent, in seconds",
            Unit::Seconds,
            self.first_delta_seconds.clone(),
        );
        r.register("tool_calls", "Calls of tools by tool and outcome", self.tool_calls.clone());
        r.register_with_unit(
            "tool_duration",
            "How long tools took, by tool, in seconds",
            Unit::Seconds,
            self.tool_seconds.clone(),
        );
        r.register("limits_hit", "Times that a limit stopped somebody, by limit", self.limits_hit.clone());
        r.register(
            "token_cache_lookups",
            "Looks into the cache of verified tokens",
            self.token_cache.clone(),
        );
        r.register(
            "jwks_fetches",
            "Fetches of a key set from its issuer, by how they ended",
            self.jwks_fetches.clone(),
        );
        r.register(
            "logins",
            "Tries at the doors of the accounts, by door and by what came of them",
            self.logins.clone(),
        );
        r.register("revocations", "Revocations by what was revoked", self.revocations.clone());
        r.register(
            "quota_refused",
            "Changes that a quota did not allow, by quota",
            self.commits.quota_refused.clone(),
        );
        r.register_with_unit(
            "kept",
            "Bytes of messages and metadata that all users keep",
            Unit::Bytes,
            self.commits.kept_bytes.clone(),
        );
        r.register("kept_threads", "Threads that all users keep", self.commits.kept_threads.clone());
        r.register("kept_messages", "Messages that all users keep", self.commits.kept_messages.clone());
        r.register_with_unit(
            "store_file",
            "Bytes that the files of the store take",
            Unit::Bytes,
            self.store_file_bytes.clone(),
        );
        r.register_with_unit(
            "start_time",
            "When the server started, in Unix seconds",
            Unit::Seconds,
            self.started.clone(),
        );
        r.register("build", "The version that runs", build);
    }
}
