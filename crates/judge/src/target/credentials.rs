//! Whose tokens the server takes, and the tokens that the judge makes.

use serde_json::{Value, json};
use wireproof_testkit::Issuer;

use super::Target;

/// Who may come in.
pub enum Credentials {
    /// Whoever comes.
    None,
    /// Whoever has a token signed with this secret (HS256): the judge makes users as it needs them.
    Secret(Vec<u8>),
    /// These users with these tokens, and no others.
    Tokens(Vec<(String, String)>),
}

impl Target {
    /// What signs tokens that the server takes, if the judge has its key.
    pub fn issuer(&self) -> Option<&Issuer> {
        self.issuer.as_ref()
    }

    /// The claims of a good token for a user, for an hour: to be changed for a bad one.
    pub fn claims(&self, user: &str) -> Value {
        let mut claims = Issuer::claims(user);
        if let Some(jwt) = &self.profile.auth.jwt {
            for (name, value) in &jwt.claims {
                claims[name] = value.clone();
            }
            for (name, value) in [("iss", &jwt.issuer), ("aud", &jwt.audience)] {
                if !value.is_empty() {
                    claims[name] = json!(value);
                }
            }
        }
        claims
    }

    /// A good token of a user whom the judge makes up; nothing where it cannot make any.
    pub fn sign(&self, user: &str) -> Option<String> {
        Some(self.issuer.as_ref()?.sign_claims(&self.claims(user)))
    }

    /// A token of an administrator.
    pub fn admin_token(&self) -> Option<String> {
        let admin = &self.profile.auth.jwt.as_ref()?.admin;
        let mut claims = self.claims("wireproof-judge");
        for (name, value) in admin {
            claims[name] = value.clone();
        }
        (!admin.is_empty()).then(|| Some(self.issuer.as_ref()?.sign_claims(&claims)))?
    }

    /// The users whose tokens were given.
    pub fn given(&self) -> &[(String, String)] {
        match &self.credentials {
            Credentials::Tokens(tokens) => tokens,
            _ => &[],
        }
    }

    /// Why there are not so many users; nothing when there are.
    pub fn lacks_users(&self, users: usize) -> Option<String> {
        match &self.credentials {
            Credentials::Secret(_) => None,
            Credentials::None if self.profile.auth.guests => None,
            Credentials::None => Some("without credentials all who come are the same user".to_owned()),
            Credentials::Tokens(tokens) if tokens.len() >= users => None,
            Credentials::Tokens(tokens) => {
                let wanted = if users == usize::MAX { "any number".to_owned() } else { users.to_string() };
                Some(format!(
                    "it takes {wanted} of users and tokens of {} were given (--token-file, or the key by --data-dir or --secret-file)",
                    tokens.len()
                ))
            }
        }
    }

    pub(crate) fn lacks_key(&self) -> Option<String> {
        self.issuer.is_none().then(|| {
            "the judge has no key to make tokens with (--data-dir DIR, or --secret-file FILE)".to_owned()
        })
    }

    pub(crate) fn lacks_admin(&self) -> Option<String> {
        self.admin_token()
            .is_none()
            .then(|| "the judge cannot be an administrator (auth.jwt.admin and the key)".to_owned())
    }
}
