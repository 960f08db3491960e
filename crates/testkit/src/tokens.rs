//! Tokens of every kind, good and bad, each really made with real keys: what a server must let in, and what it must not.

use std::fmt;

use serde_json::{Value, json};
use wireproof_client::Credentials;

use crate::issuer::{Issuer, unix_now, unsigned};

mod revoked;

/// A kind of token. [`TokenKind::BAD`] has all that a server must refuse, each with the reason and the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// Nothing is wrong with it.
    Valid,
    /// It has expired.
    Expired,
    /// It becomes good in an hour.
    NotYetValid,
    /// It was made in an hour from now.
    IssuedInFuture,
    /// Somebody else's key signed it.
    WrongKey,
    /// It says that it needs no signature.
    AlgNone,
    /// It names an algorithm that is not its key's.
    WrongAlgorithm,
    /// The public key is its secret.
    PublicKeyAsSecret,
    /// It brings its own key.
    OwnKeyInHead,
    /// Another issuer made it.
    WrongIssuer,
    /// It is for another audience.
    WrongAudience,
    /// It never expires.
    NoExpiry,
    /// It is nobody's.
    NoSubject,
    /// Its user has an empty name.
    EmptySubject,
    /// Its user was changed after it was signed.
    TamperedPayload,
    /// A bit of its signature is another.
    TamperedSignature,
    /// Its signature was taken away.
    NoSignature,
    /// Its end is missing.
    Truncated,
    /// It is no token at all.
    Garbage,
    /// It was revoked.
    Revoked,
    /// Its account was disabled.
    DisabledAccount,
    /// Its login was ended.
    LoggedOut,
    /// It is good for another thing: to get the next token.
    RefreshToken,
    /// It is a ticket that opened a connection already.
    UsedTicket,
    /// It is a ticket whose token has expired since.
    StaleTicket,
}

/// Another user than any test's, for a token that claims to be theirs.
const SOMEBODY_ELSE: &str = "somebody-else";

const HOUR: u64 = 3600;

impl TokenKind {
    /// Everything that must be refused.
    pub const BAD: [TokenKind; 24] = [
        Self::Expired,
        Self::NotYetValid,
        Self::IssuedInFuture,
        Self::WrongKey,
        Self::AlgNone,
        Self::WrongAlgorithm,
        Self::PublicKeyAsSecret,
        Self::OwnKeyInHead,
        Self::WrongIssuer,
        Self::WrongAudience,
        Self::NoExpiry,
        Self::NoSubject,
        Self::EmptySubject,
        Self::TamperedPayload,
        Self::TamperedSignature,
        Self::NoSignature,
        Self::Truncated,
        Self::Garbage,
        Self::Revoked,
        Self::DisabledAccount,
        Self::LoggedOut,
        Self::RefreshToken,
        Self::UsedTicket,
        Self::StaleTicket,
    ];

    /// What is the matter with it, in a sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Valid => "Nothing is wrong with it.",
            Self::Expired => "It expired an hour ago (exp).",
            Self::NotYetValid => "It becomes good in an hour (nbf).",
            Self::IssuedInFuture => "It says that it was made in an hour from now (iat).",
            Self::WrongKey => {
                "Another key of the same kind signed it, under the name of the right one (kid)."
            }
            Self::AlgNone => "It says that it needs no signature (alg none), and has none.",
            Self::WrongAlgorithm => "It names another algorithm than the one that its key is for (alg).",
            Self::PublicKeyAsSecret => {
                "It is signed by HS256 with the public key, which everybody has, as the secret."
            }
            Self::OwnKeyInHead => "It brings the key that signed it along (jwk).",
            Self::WrongIssuer => "Another issuer made it (iss).",
            Self::WrongAudience => "It was made for another service (aud).",
            Self::NoExpiry => "It never expires (no exp).",
            Self::NoSubject => "It does not say whose it is (no sub).",
            Self::EmptySubject => "The user that it names has an empty name (sub).",
            Self::TamperedPayload => "It was given another user after it was signed.",
            Self::TamperedSignature => "A bit of its signature was changed.",
            Self::NoSignature => "Its signature was taken away.",
            Self::Truncated => "Its last characters are missing.",
            Self::Garbage => "It is no token at all.",
            Self::Revoked => "An administrator revoked it.",
            Self::DisabledAccount => "The account that it was given to was disabled.",
            Self::LoggedOut => "The login that gave it was ended.",
            Self::RefreshToken => "It is a refresh token, which is good for a next token and nothing else.",
            Self::UsedTicket => "It is a ticket, and it opened a connection before.",
            Self::StaleTicket => "It is a ticket, and the token that bought it has expired since.",
        }
    }

    /// The code of the error that wireproof answers it with; nothing when it is good.
    pub fn refusal(self) -> Option<&'static str> {
        match self {
            Self::Valid => None,
            Self::Expired | Self::StaleTicket => Some("token_expired"),
            _ => Some("unauthenticated"),
        }
    }

    /// True for what goes where tickets go; the rest goes where tokens go.
    pub fn is_ticket(self) -> bool {
        matches!(self, Self::UsedTicket | Self::StaleTicket)
    }

    /// The text as credentials of its kind.
    pub fn shown(self, text: impl Into<String>) -> Credentials {
        if self.is_ticket() { Credentials::Ticket(text.into()) } else { Credentials::Header(text.into()) }
    }

    /// True when it comes about by what a server did, and not by who signs what.
    pub fn is_spent(self) -> bool {
        let spent = [Self::Revoked, Self::DisabledAccount, Self::LoggedOut, Self::RefreshToken];
        spent.contains(&self) || self.is_ticket()
    }

    /// A token of the kind, from the key and the claims of a good one. Nothing where the kind cannot be: a wrong issuer or
    /// audience without a right one, a public key of a secret, and what only a server can spend.
    pub fn forge(self, issuer: &Issuer, good: &Value) -> Option<String> {
        let with = |name: &str, value: Value| {
            let mut claims = good.clone();
            claims[name] = value;
            Some(issuer.sign_claims(&claims))
        };
        let without = |name: &str| {
            let mut claims = good.clone();
            claims.as_object_mut()?.remove(name);
            Some(issuer.sign_claims(&claims))
        };
        let head = |name: &str, value: Value| {
            let mut head = issuer.header();
            head[name] = value;
            head
        };
        let signed = || issuer.sign_claims(good);
        let now = unix_now();
        match self {
            Self::Valid => Some(signed()),
            Self::Expired => {
                let mut claims = good.clone();
                (claims["exp"], claims["iat"]) = (json!(now - HOUR), json!(now - 2 * HOUR));
                Some(issuer.sign_claims(&claims))
            }
            Self::NotYetValid => with("nbf", json!(now + HOUR)),
            Self::IssuedInFuture => {
                let mut claims = good.clone();
                (claims["exp"], claims["iat"]) = (json!(now + 2 * HOUR), json!(now + HOUR));
                Some(issuer.sign_claims(&claims))
            }
            Self::WrongKey => Some(issuer.rival().sign_claims(good)),
            Self::AlgNone => Some(unsigned(&head("alg", json!("none")), good, "")),
            Self::WrongAlgorithm => Some(issuer.sign(&head("alg", json!(another(issuer.algorithm()))), good)),
            Self::PublicKeyAsSecret => {
                let forger = Issuer::hs256("", issuer.has_public_key().then(|| issuer.public_pem())?);
                Some(forger.sign(&head("alg", json!("HS256")), good))
            }
            Self::OwnKeyInHead => {
                let forger = Issuer::es256("").nameless();
                let mut head = forger.header();
                head["jwk"] = forger.jwk();
                Some(forger.sign(&head, good))
            }
            Self::WrongIssuer => {
                good.get("iss").and_then(|_| with("iss", json!("https://elsewhere.example")))
            }
            Self::WrongAudience => good.get("aud").and_then(|_| with("aud", json!("another-service"))),
            Self::NoExpiry => without("exp"),
            Self::NoSubject => without("sub"),
            Self::EmptySubject => with("sub", json!("")),
            Self::TamperedPayload => {
                let (good, other) = (signed(), with("sub", json!(SOMEBODY_ELSE))?);
                let (head, signature) = (good.split('.').next()?, good.rsplit('.').next()?);
                Some(format!("{head}.{}.{signature}", other.split('.').nth(1)?))
            }
            Self::TamperedSignature => {
                let good = signed();
                // The first character of the signature: all its bits count.
                let at = good.rfind('.')? + 1;
                let other = if good[at..].starts_with('A') { "B" } else { "A" };
                Some(format!("{}{other}{}", &good[..at], &good[at + 1..]))
            }
            Self::NoSignature => Some(signed().rsplit_once('.').map(|(signed, _)| format!("{signed}."))?),
            Self::Truncated => {
                let good = signed();
                Some(good[..good.len() - 12].to_owned())
            }
            Self::Garbage => Some("this-is-no-token".to_owned()),
            _ => None,
        }
    }
}

/// Another algorithm than this one, of the same family where there is one.
fn another(algorithm: &str) -> &'static str {
    match algorithm {
        "HS256" => "HS512",
        "RS256" => "RS512",
        "ES256" => "ES512",
        _ => "ES256",
    }
}

impl fmt::Display for TokenKind {
    /// Its name in words, such as `wrong key`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, letter) in format!("{self:?}").chars().enumerate() {
            let gap = if index > 0 && letter.is_uppercase() { " " } else { "" };
            write!(f, "{gap}{}", letter.to_lowercase())?;
        }
        Ok(())
    }
}
