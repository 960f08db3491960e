//! What a server bounds, so that nobody can take it away from the others; refused is what is over, and nothing else.

use super::check;
use crate::{
    check::{Check, Need},
    profile::Kind,
};

mod quotas;
mod rates;
mod sizes;

/// The checks of this group.
pub(super) const CHECKS: &[Check] = &[
    check!(
        "limits.message_bytes",
        Major,
        Quick,
        [Need::WebSocket, Need::Agent, Need::Event(Kind::Error), Need::Limit("message_bytes")],
        "size_limit_ignored",
        "A message over the limit is refused with an error and the connection goes on; one under it is taken.",
        sizes::message
    ),
    check!(
        "limits.hard_bytes",
        Major,
        Quick,
        [Need::WebSocket, Need::Agent, Need::Limit("hard_bytes")],
        "hard_limit_ignored",
        "A message over the hard limit ends its connection with 1009, and no other.",
        sizes::hard
    ),
    check!(
        "limits.rate",
        Major,
        Quick,
        [
            Need::WebSocket,
            Need::Agent,
            Need::Event(Kind::Error),
            Need::Field("request"),
            Need::Limit("burst")
        ],
        "rate_limit_not_enforced",
        "Of messages sent at once the burst is taken, others are refused with an error that says when to come back, and none is dropped.",
        rates::rate
    ),
    check!(
        "limits.rate_per_user",
        Critical,
        Quick,
        [
            Need::WebSocket,
            Need::TwoUsers,
            Need::Agent,
            Need::Event(Kind::Error),
            Need::Field("request"),
            Need::Limit("burst")
        ],
        "rate_limit_shared",
        "A user who is too fast takes nothing from what another user may send.",
        rates::per_user
    ),
    check!(
        "limits.retry_after",
        Major,
        Full,
        [
            Need::WebSocket,
            Need::Agent,
            Need::Event(Kind::Error),
            Need::Field("request"),
            Need::Field("retry_after_ms"),
            Need::Limit("burst")
        ],
        "retry_after_lies",
        "A message that was refused for the rate is taken when it comes again at the time that the refusal told.",
        rates::retry_after
    ),
    check!(
        "limits.connections",
        Major,
        Quick,
        [Need::WebSocket, Need::Auth, Need::Limit("connections")],
        "connection_limit_ignored",
        "A user has as many connections as allowed; one more is refused, those before go on, and a place that is left can be taken.",
        quotas::connections
    ),
    check!(
        "limits.places_freed",
        Critical,
        Quick,
        [Need::WebSocket, Need::Auth, Need::Limit("connections")],
        "place_leaked",
        "A connection that breaks without a goodbye counts no longer: its user can have as many as before.",
        quotas::places_freed
    ),
    check!(
        "limits.runs",
        Major,
        Full,
        [
            Need::WebSocket,
            Need::Auth,
            Need::Event(Kind::Error),
            Need::Event(Kind::Accepted),
            Need::Field("request"),
            Need::Prompt("slow_tool"),
            Need::Limit("runs")
        ],
        "run_limit_ignored",
        "A user has as many runs going or waiting as allowed; one more is refused with an error.",
        quotas::runs
    ),
    check!(
        "limits.stranger",
        Major,
        Full,
        [Need::WebSocket, Need::Auth, Need::Limit("stranger_seconds")],
        "stranger_stays",
        "A connection that never says who it is ends when its time to do so is over.",
        quotas::stranger
    ),
];
