//! What the claims of a token with a good signature must say, when it is good, and what it grants.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use wireproof_protocol::UserId;

use super::{
    AuthError, CLOCK_AHEAD, KeyError, Permissions, Principal,
    keys::{Key, KeyId},
    reserved::is_reserved,
};
use crate::config::JwtConfig;

type Claims = Map<String, Value>;

/// The claims that say what a token is for, in small letters and without `_` and `-`.
const PURPOSES: [&str; 15] = [
    "type",
    "typ",
    "use",
    "kind",
    "class",
    "token",
    "refresh",
    "purpose",
    "tokentype",
    "tokentyp",
    "tokenuse",
    "tokenkind",
    "tokenclass",
    "tokenpurpose",
    "tokenfor",
];
/// The claims that say what was granted, spelt so: a token for a refresh grants a refresh alone.
const GRANTS: [&str; 6] = ["scope", "scopes", "scp", "grant", "grants", "granttype"];
/// What a token for a refresh grants, spelt so.
const REFRESH: [&str; 5] = ["refresh", "refreshtoken", "tokenrefresh", "offline", "offlineaccess"];
/// What OpenID Connect puts into a token that tells a client who logged in. Some issuers put a `nonce` into all tokens.
const OF_ID_TOKENS: [&str; 3] = ["nonce", "at_hash", "c_hash"];
/// What says that such a token is for access all the same, besides the claims of its purpose.
const OF_ACCESS_TOKENS: [&str; 3] = ["scope", "scp", "client_id"];

/// What is asked of claims, by the settings.
pub struct Rules {
    issuer: Option<String>,
    audience: Option<String>,
    leeway: f64,
    user_claim: String,
    permissions_claim: String,
    permission_map: BTreeMap<String, Permissions>,
    default_permissions: Permissions,
    external_admin: bool,
    access_types: Vec<String>,
    max_life: f64,
}

/// A token that was found good, but for the time.
pub struct Verified {
    /// The key that its signature is of.
    pub key: KeyId,
    principal: Principal,
    not_before: f64,
    /// The seconds that it counts each time it is shown, where it does not say when it was made.
    longest: f64,
}

impl Verified {
    /// The principal, if the token is good at `now`, in Unix seconds.
    pub fn at(&self, now: f64) -> Result<Principal, AuthError> {
        if self.principal.expires_at <= now {
            return Err(AuthError::Expired);
        }
        if self.not_before > now {
            return Err(AuthError::Invalid);
        }
        let expires_at = self.principal.expires_at.min(now + self.longest);
        Ok(Principal { expires_at, ..self.principal.clone() })
    }

    /// True when it is the user's, and has not expired at `now`.
    pub fn is_of(&self, user_id: &UserId, now: f64) -> bool {
        self.principal.user_id == *user_id && self.principal.expires_at > now
    }

    #[cfg(test)]
    pub(super) fn of_user(name: &str) -> Self {
        let principal = Principal {
            user_id: UserId::new(name).unwrap(),
            expires_at: 1e12,
            issued_at: None,
            token_id: None,
            session_id: None,
            permissions: Permissions::NONE,
            key: None,
        };
        Self { key: KeyId::default(), principal, not_before: 0.0, longest: f64::INFINITY }
    }
}

impl Rules {
    /// The rules that settings make; an error when they grant what there is not.
    pub fn from_config(jwt: &JwtConfig) -> Result<Self, KeyError> {
        let some = |text: &String| (!text.is_empty()).then(|| text.clone());
        let mapped = jwt
            .permission_map
            .iter()
            .map(|(value, names)| Ok((value.clone(), permissions("jwt.permission_map", names)?)));
        Ok(Self {
            issuer: some(&jwt.issuer),
            audience: some(&jwt.audience),
            leeway: jwt.leeway_seconds,
            user_claim: jwt.user_claim.clone(),
            permissions_claim: jwt.permissions_claim.clone(),
            permission_map: mapped.collect::<Result<_, KeyError>>()?,
            default_permissions: permissions("jwt.default_permissions", &jwt.default_permissions)?,
            external_admin: jwt.external_admin,
            access_types: jwt.access_types.clone(),
            max_life: jwt.max_life_seconds,
        })
    }

    /// What the settings grant and there is not: the first of each setting.
    pub fn faults(jwt: &JwtConfig) -> Vec<KeyError> {
        let mapped = jwt
            .permission_map
            .values()
            .try_for_each(|names| permissions("jwt.permission_map", names).map(drop));
        let default = permissions("jwt.default_permissions", &jwt.default_permissions).map(drop);
        [mapped, default].into_iter().filter_map(Result::err).collect()
    }

    /// The seconds after which a revocation concerns no token any more that was good when it was made.
    pub fn longest_concern(jwt: &JwtConfig) -> f64 {
        jwt.max_life_seconds + jwt.leeway_seconds + CLOCK_AHEAD.as_secs_f64()
    }

    /// Reads the claims of a token that the key signed. `own` is a token that this server issued itself: its claims are
    /// read as they are written here, and may grant everything.
    pub fn read(&self, claims: &Claims, key: &Key, own: bool) -> Result<Verified, AuthError> {
        let time = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or(AuthError::Invalid),
        };
        let (expires, not_before, issued_at) = (time("exp")?, time("nbf")?, time("iat")?);
        if !self.are_for_access(claims) {
            return Err(AuthError::Invalid);
        }
        let expires = expires.ok_or(AuthError::Invalid)?;
        let subject = claims.get("sub").and_then(Value::as_str).ok_or(AuthError::Invalid)?;
        let issuer = text(claims, "iss")?;
        if self.issuer.is_some() && issuer != self.issuer.as_deref() {
            return Err(AuthError::Invalid);
        }
        let audiences = texts(claims.get("aud")).ok_or(AuthError::Invalid)?;
        if let Some(audience) = &self.audience
            && !audiences.contains(&audience.as_str())
        {
            return Err(AuthError::Invalid);
        }
        let named = if own { Some(subject) } else { at(claims, &self.user_claim).and_then(Value::as_str) };
        // Such a name is nobody's: who has it would pass for the operator in the logs.
        let named = named.filter(|name| !is_reserved(name)).ok_or(AuthError::Invalid)?;
        let user_id = UserId::new(named).map_err(|_| AuthError::Invalid)?;
        // An empty one names nothing: all tokens of an issuer that writes it so would end with one of them.
        let id = |name| -> Result<Option<String>, AuthError> {
            Ok(text(claims, name)?.filter(|id| !id.is_empty()).map(str::to_owned))
        };
        let session_id = id("sid")?;
        let token_id = if claims.get("jti").is_some_and(Value::is_null) { None } else { id("jti")? };
        let permissions = if own { own_permissions(claims) } else { self.granted(claims) };
        let not_before = not_before.map_or(f64::MIN, |at| at - self.leeway);
        let not_before = not_before.max(issued_at.map_or(f64::MIN, |at| at - CLOCK_AHEAD.as_secs_f64()));
        // What was revoked need not be known for longer than any token lives: one that would live on ends then.
        let (expires, longest) = match issued_at {
            Some(at) => (expires.min(at + self.max_life), f64::INFINITY),
            None => (expires, self.max_life),
        };
        let principal = Principal {
            user_id,
            expires_at: expires + self.leeway,
            // The clock of others may be ahead of ours by as much.
            issued_at: issued_at.map(|at| if own { at } else { at - CLOCK_AHEAD.as_secs_f64() }),
            token_id,
            session_id,
            permissions,
            key: Some(key.id),
        };
        Ok(Verified { key: key.id, principal, not_before, longest })
    }

    /// True unless a claim says that the token is for something else than access, such as a refresh.
    fn are_for_access(&self, claims: &Claims) -> bool {
        let is_access = |word: &str| self.access_types.iter().any(|known| known.eq_ignore_ascii_case(word));
        let mut purposes = claims.iter().filter(|(name, _)| is_purpose(name)).peekable();
        let says_access = purposes.peek().is_some();
        let access = purposes.all(|(name, value)| {
            let words = texts(Some(value)).filter(|words| !words.is_empty());
            words.is_some_and(|words| words.iter().all(|word| is_access(word)))
                || is_no_refresh(&plain(name), value)
        });
        let refreshes = claims.iter().any(|(name, value)| grants_a_refresh_alone(&plain(name), value));
        let has = |names: &[&str]| names.iter().any(|name| claims.contains_key(*name));
        let identifies = has(&OF_ID_TOKENS) && !says_access && !has(&OF_ACCESS_TOKENS);
        // A security event token (RFC 8417), such as the one that tells of a logout.
        access && !refreshes && !identifies && !claims.contains_key("events")
    }

    /// What a token of others grants.
    fn granted(&self, claims: &Claims) -> Permissions {
        let Some(value) = at(claims, &self.permissions_claim) else {
            return self.without_admin(self.default_permissions);
        };
        let values = words(value);
        let granted = if self.permission_map.is_empty() {
            Permissions::named(values)
        } else {
            let mapped = values.into_iter().filter_map(|value| self.permission_map.get(value));
            let names: Vec<&str> = mapped.flat_map(|permissions| permissions.names()).collect();
            Permissions::named(names)
        };
        self.without_admin(granted)
    }

    fn without_admin(&self, granted: Permissions) -> Permissions {
        if self.external_admin {
            return granted;
        }
        Permissions::named(granted.names().into_iter().filter(|name| !name.starts_with("admin:")))
    }
}

fn own_permissions(claims: &Claims) -> Permissions {
    claims.get("permissions").map_or_else(Permissions::of_a_user, |value| Permissions::named(words(value)))
}

/// The words of a list or of a text; of anything else there are none.
fn words(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => text.split(' ').filter(|word| !word.is_empty()).collect(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The claim of this name, or where the dots of the name lead; names with dots of their own are common.
fn at<'a>(claims: &'a Claims, path: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let (first, rest) = path.split_once('.')?;
    rest.split('.').try_fold(claims.get(first)?, |value, step| value.get(step))
}

/// A claim that is text if it is there.
fn text<'a>(claims: &'a Claims, name: &str) -> Result<Option<&'a str>, AuthError> {
    claims.get(name).map(|value| value.as_str().ok_or(AuthError::Invalid)).transpose()
}

/// One text or a list of them; nothing when it is something else.
fn texts(value: Option<&Value>) -> Option<Vec<&str>> {
    match value {
        None => Some(Vec::new()),
        Some(Value::String(one)) => Some(vec![one]),
        Some(Value::Array(some)) => some.iter().map(Value::as_str).collect(),
        Some(_) => None,
    }
}

/// True for the name of a claim that says what a token is for, in any of its spellings.
fn is_purpose(name: &str) -> bool {
    PURPOSES.contains(&plain(name).as_str())
}

/// True for a flag that says that the token is none for a refresh.
fn is_no_refresh(name: &str, value: &Value) -> bool {
    name == "refresh" && *value == Value::Bool(false)
}

/// True for a claim by which the token grants a refresh and nothing else.
fn grants_a_refresh_alone(name: &str, value: &Value) -> bool {
    let words: Vec<&str> = words(value).into_iter().flat_map(str::split_whitespace).collect();
    GRANTS.contains(&name)
        && !words.is_empty()
        && words.iter().all(|word| REFRESH.contains(&plain(word).as_str()))
}

/// In small letters and without `_` and `-`.
fn plain(name: &str) -> String {
    name.chars().filter(|sign| !matches!(sign, '_' | '-')).map(|sign| sign.to_ascii_lowercase()).collect()
}

/// The permissions of these names, each of which must be one.
fn permissions(key: &'static str, names: &[String]) -> Result<Permissions, KeyError> {
    for name in names {
        if Permissions::named([name.as_str()]) == Permissions::NONE {
            return Err(KeyError::Permission { key, name: name.clone() });
        }
    }
    Ok(Permissions::named(names.iter().map(String::as_str)))
}

#[cfg(test)]
mod tests;
