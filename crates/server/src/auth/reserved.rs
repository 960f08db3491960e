//! The names that no credentials can have, and the one principal that has such a name: the operator, known by the socket.

use wireproof_protocol::UserId;

use super::{AuthError, Permissions, Principal};

/// How the names begin that are the server's own, in whatever case.
pub const RESERVED: &str = "wireproof:";
/// Who speaks over the operator's socket.
const OPERATOR: &str = "wireproof:operator";

/// True for a name that no token and no account can have.
pub fn is_reserved(name: &str) -> bool {
    name.get(..RESERVED.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(RESERVED))
}

/// The operator, who may do everything.
pub fn operator() -> Result<Principal, AuthError> {
    Ok(Principal {
        user_id: UserId::new(OPERATOR).map_err(|_| AuthError::Missing)?,
        expires_at: f64::MAX,
        issued_at: None,
        token_id: None,
        session_id: None,
        permissions: Permissions::all(),
        key: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_like_the_servers_own_are_reserved() {
        for (name, reserved) in [
            ("wireproof:operator", true),
            ("WireProof:x", true),
            ("wireproof:", true),
            ("wireproof", false),
            ("wireproof-judge", false),
            ("a wireproof:x", false),
            ("wireproofé", false),
        ] {
            assert_eq!(is_reserved(name), reserved, "{name}");
        }
        assert!(is_reserved(operator().unwrap().user_id.as_str()));
    }
}
