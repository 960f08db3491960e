//! Which values make no sense, by themselves or beside others.

use super::{Config, ConfigError};

impl Config {
    /// What makes no sense.
    pub(super) fn check(&self) -> Vec<ConfigError> {
        let mut faults = Vec::new();
        let positive = [
            ("accounts.access_seconds", self.accounts.access_seconds),
            ("accounts.refresh_seconds", self.accounts.refresh_seconds),
            ("limits.heartbeat_seconds", self.limits.heartbeat_seconds),
            ("limits.dead_seconds", self.limits.dead_seconds),
            ("limits.stall_seconds", self.limits.stall_seconds),
            ("limits.authenticate_seconds", self.limits.authenticate_seconds),
            ("limits.run_seconds", self.limits.run_seconds),
            ("limits.header_seconds", self.limits.header_seconds),
            ("limits.body_seconds", self.limits.body_seconds),
            ("limits.answer_seconds", self.limits.answer_seconds),
            ("limits.http_seconds", self.limits.http_seconds),
            ("limits.tool_seconds", self.limits.tool_seconds),
            ("tls.poll_seconds", self.tls.poll_seconds),
            ("tls.handshake_seconds", self.tls.handshake_seconds),
            ("retention.every_seconds", self.retention.every_seconds),
            ("retention.hours", self.retention.hours),
            ("tickets.seconds", self.tickets.seconds),
        ];
        for (key, value) in positive {
            if !(1e-3..1e9).contains(&value) {
                faults.push(ConfigError::Value {
                    key,
                    value: value.to_string(),
                    reason: "it must be from 0.001 to 1e9",
                });
            }
        }
        let not_negative = [
            ("limits.token_grace_seconds", self.limits.token_grace_seconds),
            ("limits.store_wait_seconds", self.limits.store_wait_seconds),
            ("drain.seconds", self.drain.seconds),
            ("drain.spread_seconds", self.drain.spread_seconds),
        ];
        for (key, value) in not_negative {
            if !(0.0..1e9).contains(&value) {
                faults.push(ConfigError::Value {
                    key,
                    value: value.to_string(),
                    reason: "it must be from 0 to 1e9",
                });
            }
        }
        let limits = &self.limits;
        if limits.dead_seconds <= limits.heartbeat_seconds {
            let (key, value) = ("limits.dead_seconds", limits.dead_seconds.to_string());
            faults.push(ConfigError::Value {
                key,
                value,
                reason: "it must be above limits.heartbeat_seconds",
            });
        }
        if limits.message_hard_bytes > 0 && limits.message_bytes > limits.message_hard_bytes {
            let (key, value) = ("limits.message_bytes", limits.message_bytes.to_string());
            faults.push(ConfigError::Value {
                key,
                value,
                reason: "it must not be above limits.message_hard_bytes",
            });
        }
        if self.data_dir.as_os_str().is_empty() {
            let (key, value) = ("data_dir", "\"\"".to_owned());
            faults.push(ConfigError::Value { key, value, reason: "it must name a folder" });
        }
        let lists = [
            self.http.proxies().err(),
            self.metrics.watchers().err(),
            self.http.origins().err(),
            self.http.hosts().err(),
        ];
        faults.extend(lists.into_iter().flatten());
        faults.extend(self.log.check().err());
        faults.extend(self.otel.check().err());
        self.jwt.check(&mut faults);
        faults
    }
}
