//! The one table of who may do what: from the type of a frame, and from method and route of a request, to what it
//! takes. What is not in it is refused.

use wireproof_protocol::{ErrorBody, ErrorCode};

use super::{Permission, Permissions};
use crate::error::Refusal;

/// What somebody has to be or have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Anyone,
    /// Good credentials.
    Authenticated,
    /// Good credentials that grant this.
    Permission(Permission),
}

use Need::{Anyone, Authenticated};

const CHAT: Need = Need::Permission(Permission::Chat);
const READ: Need = Need::Permission(Permission::ThreadsRead);
const WRITE: Need = Need::Permission(Permission::ThreadsWrite);
const CANCEL: Need = Need::Permission(Permission::RunsCancel);
const ADMIN_READ: Need = Need::Permission(Permission::AdminRead);
const ADMIN_USERS: Need = Need::Permission(Permission::AdminUsers);
const ADMIN_SERVER: Need = Need::Permission(Permission::AdminServer);

/// What a WebSocket takes to be opened, and to be kept by a renewal: it is given everything in the user's log.
pub const CONNECTION: Need = READ;

/// The frames of clients.
pub const FRAMES: &[(&str, Need)] = &[
    ("authenticate", Anyone),
    ("ping", Authenticated),
    ("heartbeat", Authenticated),
    ("resume", READ),
    ("chat", CHAT),
    ("start_agent", CHAT),
    ("approve", CHAT),
    ("cancel_run", CANCEL),
    ("create_thread", WRITE),
    ("rename_thread", WRITE),
    ("delete_thread", WRITE),
    ("switch_thread", READ),
    ("get_thread_history", READ),
    ("typing", READ),
];

/// The routes of HTTP. Who opens a socket may show who it is in the first frame: [`CONNECTION`] is asked for then.
pub const ROUTES: &[(&str, &str, Need)] = &[
    ("GET", "/ws", Anyone),
    ("GET", "/websocket", Anyone),
    ("POST", "/ws/ticket", Authenticated),
    ("GET", "/ws/health", Anyone),
    ("GET", "/health", Anyone),
    ("GET", "/ready", Anyone),
    ("GET", "/metrics", Anyone),
    ("GET", "/openapi.json", Anyone),
    ("GET", "/asyncapi.json", Anyone),
    ("POST", "/auth/register", Anyone),
    ("POST", "/auth/login", Anyone),
    ("POST", "/auth/refresh", Anyone),
    ("POST", "/auth/logout", Anyone),
    ("GET", "/auth/me", Authenticated),
    ("GET", "/api/threads", READ),
    ("POST", "/api/threads", WRITE),
    ("GET", "/api/threads/{id}", READ),
    ("PATCH", "/api/threads/{id}", WRITE),
    ("DELETE", "/api/threads/{id}", WRITE),
    ("GET", "/api/threads/{id}/messages", READ),
    ("POST", "/api/threads/{id}/messages", CHAT),
    ("GET", "/api/runs/{id}", READ),
    ("POST", "/api/runs/{id}/cancel", CANCEL),
    ("GET", "/api/admin/users", ADMIN_READ),
    ("POST", "/api/admin/users", ADMIN_USERS),
    ("GET", "/api/admin/users/{id}", ADMIN_READ),
    ("PATCH", "/api/admin/users/{id}", ADMIN_USERS),
    ("GET", "/api/admin/connections", ADMIN_READ),
    ("DELETE", "/api/admin/connections/{id}", ADMIN_USERS),
    ("POST", "/api/admin/users/{id}/disconnect", ADMIN_USERS),
    ("POST", "/api/admin/revoke", ADMIN_USERS),
    ("POST", "/api/admin/drain", ADMIN_SERVER),
    ("POST", "/api/admin/restart", ADMIN_SERVER),
];

/// What a frame of this type takes; nothing when it is not in the table.
pub fn of_frame(kind: &str) -> Option<Need> {
    FRAMES.iter().find(|(name, _)| *name == kind).map(|(_, need)| *need)
}

/// True for frames that ask for no work: signs of life, reads, and who and where the client is.
pub fn is_light(kind: &str) -> bool {
    of_frame(kind).is_some_and(|need| [Anyone, Authenticated, READ].contains(&need))
}

/// What a request takes; nothing when it is not in the table. HEAD takes what GET does.
pub fn of_route(method: &str, route: &str) -> Option<Need> {
    let method = if method == "HEAD" { "GET" } else { method };
    ROUTES.iter().find(|(verb, path, _)| *verb == method && *path == route).map(|(.., need)| *need)
}

/// The methods that a route takes, as `Allow` says them.
pub fn methods_of(route: &str) -> Vec<&'static str> {
    let mut methods = Vec::new();
    for (method, ..) in ROUTES.iter().filter(|(_, path, _)| *path == route) {
        methods.push(*method);
        if *method == "GET" {
            methods.push("HEAD");
        }
    }
    methods
}

impl Need {
    /// Refuses who lacks what is needed.
    pub fn check(self, granted: Permissions) -> Result<(), Refusal> {
        match self {
            Need::Permission(permission) if !granted.has(permission) => Err(lacks(permission)),
            Anyone | Authenticated | Need::Permission(_) => Ok(()),
        }
    }
}

/// The refusal of who lacks a permission.
fn lacks(permission: Permission) -> Refusal {
    let name = permission.name();
    let body = ErrorBody::new(ErrorCode::Forbidden, format!("This needs the permission \"{name}\"."));
    body.detail("permission", name).into()
}

/// The refusal of what is not in the table.
pub fn unlisted() -> Refusal {
    Refusal::new(ErrorCode::Forbidden, "This request is not allowed.")
}

/// Refuses a frame that the permissions do not allow.
pub fn check_frame(kind: &str, granted: Permissions) -> Result<(), Refusal> {
    of_frame(kind).ok_or_else(unlisted)?.check(granted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new type of frame that is not in the table fails here.
    #[test]
    fn every_frame_has_its_line_and_every_line_its_frame() {
        let mut kinds = wireproof_protocol::ClientFrame::NAMES.to_vec();
        let mut listed: Vec<_> = FRAMES.iter().map(|(kind, _)| *kind).collect();
        kinds.sort();
        listed.sort();
        assert_eq!(kinds, listed);
        assert_eq!(of_frame("dance"), None);
    }

    #[test]
    fn frames_that_change_nothing_are_light() {
        let light: Vec<_> = FRAMES.iter().map(|(kind, _)| *kind).filter(|kind| is_light(kind)).collect();
        let expected =
            ["authenticate", "ping", "heartbeat", "resume", "switch_thread", "get_thread_history", "typing"];
        assert_eq!(light, expected);
        assert!(!is_light("dance"));
    }

    #[test]
    fn a_route_needs_its_own_method() {
        assert_eq!(of_route("HEAD", "/api/threads"), Some(READ));
        assert_eq!(of_route("PUT", "/api/threads"), None);
        assert_eq!(of_route("GET", "/api/threads/"), None);
        assert_eq!(methods_of("/api/threads"), ["GET", "HEAD", "POST"]);
    }
}
