//! Where credentials stand in a handshake: the Authorization header, then the subprotocols, then a ticket in the query
//! string. A token in the query string counts only where the settings say so.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, header};
use wireproof_protocol::SUBPROTOCOL;

/// How an entry of `Sec-WebSocket-Protocol` begins that carries a token.
const CARRIERS: [&str; 3] = ["jwt.", "jwt-auth.", "bearer."];

/// Credentials that came with a handshake.
#[derive(Clone, PartialEq, Eq)]
pub enum Shown {
    /// A token, raw.
    Token(String),
    /// A one-time ticket.
    Ticket(String),
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token",
            Self::Ticket(_) => "Ticket",
        })
    }
}

/// What a handshake offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// The first credentials found; the others are not looked at.
    pub shown: Option<Shown>,
    /// The subprotocol to select in the answer.
    pub selected: Option<String>,
}

/// The bearer token of an Authorization header.
pub fn bearer(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    // Of two, the one before us may have checked the other.
    let value = values.next().filter(|_| values.next().is_none())?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned()).filter(|token| !token.is_empty())
}

/// Credentials and subprotocol of a WebSocket handshake.
pub fn offer(headers: &HeaderMap, query: &str, query_token: bool) -> Offer {
    let offered: Vec<&str> = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .collect();
    let carrier = carrier(&offered);
    let selected = [SUBPROTOCOL, "jwt-auth"]
        .into_iter()
        .find(|known| offered.contains(known))
        .or(carrier.as_ref().map(|(entry, _)| *entry));
    let token = bearer(headers).or(carrier.as_ref().map(|(_, token)| token.clone()));
    let shown = token
        .map(Shown::Token)
        .or_else(|| parameter(query, "ticket").map(Shown::Ticket))
        .or_else(|| parameter(query, "token").filter(|_| query_token).map(Shown::Token));
    Offer { shown, selected: selected.map(str::to_owned) }
}

/// The first parameter of this name. Tickets and tokens need no escapes, so none are undone.
fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value.to_owned())
}

/// The entry that carries the token, with the token: the first that holds a whole one. Where none does, the first that
/// shows anything in its place, so that it is refused as a bad token is.
fn carrier<'a>(offered: &[&'a str]) -> Option<(&'a str, String)> {
    let shown = |entry: &'a str| {
        let text = CARRIERS.iter().find_map(|prefix| entry.strip_prefix(prefix))?;
        // An environment may stand before the token: `jwt.staging.TOKEN`.
        let behind = text.split_once('.').map(|(_, behind)| behind);
        let mut tokens = std::iter::once(text).chain(behind).map(unwrapped);
        Some((entry, tokens.clone().find(|token| is_whole(token)), tokens.next()?))
    };
    let mut entries = offered.iter().filter_map(|entry| shown(entry));
    let (entry, _, first) = entries.clone().next()?;
    let whole = entries.find_map(|(entry, whole, _)| Some((entry, whole?)));
    whole.or(Some((entry, first)))
}

/// A token that may be wrapped in base64url, since some clients may not put dots in a subprotocol.
fn unwrapped(text: &str) -> String {
    if text.contains('.') {
        return text.to_owned();
    }
    let decoded = URL_SAFE_NO_PAD
        .decode(text.trim_end_matches('='))
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.unwrap_or_else(|| text.to_owned())
}

/// True for three parts of base64url of which the first is a JSON object: whether it is good is for the keys to say.
fn is_whole(token: &str) -> bool {
    let parts: Vec<_> = token.splitn(4, '.').map(|part| URL_SAFE_NO_PAD.decode(part)).collect();
    let [Ok(head), Ok(claims), Ok(signature)] = &parts[..] else { return false };
    let is_object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(head).is_ok();
    is_object && !claims.is_empty() && !signature.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(pairs: &[(&str, &str)]) -> Offer {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        offer(&headers, "", false)
    }

    #[test]
    fn the_query_comes_last_and_its_token_only_where_it_counts() {
        let token = |text: &str| Some(Shown::Token(text.to_owned()));
        let ticket = |text: &str| Some(Shown::Ticket(text.to_owned()));
        let mut headers = HeaderMap::new();
        let asked = |headers: &HeaderMap, query, counts| offer(headers, query, counts).shown;
        assert_eq!(asked(&headers, "after=1&ticket=t&ticket=u", false), ticket("t"));
        assert_eq!(asked(&headers, "token=x&ticket=t", true), ticket("t"));
        assert_eq!(asked(&headers, "token=x", true), token("x"));
        assert_eq!(asked(&headers, "token=x&xticket=t&ticket", false), None);
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, "jwt.a.b.c".parse().unwrap());
        assert_eq!(asked(&headers, "token=x&ticket=t", true), token("a.b.c"));
        assert_eq!(format!("{:?} {:?}", token("x"), ticket("t")), "Some(Token) Some(Ticket)");
    }

    fn expected(token: Option<&str>, selected: Option<&str>) -> Offer {
        Offer {
            shown: token.map(|token| Shown::Token(token.to_owned())),
            selected: selected.map(str::to_owned),
        }
    }

    #[test]
    fn first_found_wins_and_the_best_name_is_selected() {
        let wrapped = format!("jwt.{}", URL_SAFE_NO_PAD.encode("x.y.z"));
        let both = "wireproof.v1, jwt.x.y.z";
        assert_eq!(offered(&[]), expected(None, None));
        assert_eq!(offered(&[("authorization", "Bearer a.b.c")]), expected(Some("a.b.c"), None));
        assert_eq!(offered(&[("authorization", "bearer a.b.c")]), expected(Some("a.b.c"), None));
        assert_eq!(offered(&[("authorization", "Basic abc")]), expected(None, None));
        assert_eq!(
            offered(&[("sec-websocket-protocol", both)]),
            expected(Some("x.y.z"), Some("wireproof.v1"))
        );
        assert_eq!(
            offered(&[("sec-websocket-protocol", "jwt.x.y.z, jwt-auth")]),
            expected(Some("x.y.z"), Some("jwt-auth"))
        );
        assert_eq!(offered(&[("sec-websocket-protocol", &wrapped)]), expected(Some("x.y.z"), Some(&wrapped)));
        let header_first = offered(&[("authorization", "Bearer a.b.c"), ("sec-websocket-protocol", both)]);
        assert_eq!(header_first, expected(Some("a.b.c"), Some("wireproof.v1")));
        assert_eq!(offered(&[("x-test-type", "e2e"), ("x-e2e-test", "true")]), expected(None, None));
    }

    /// Bug: the first entry `jwt.…` was taken for the token, also where it named an environment or was cut short.
    #[test]
    fn the_first_entry_with_a_whole_token_counts() {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let token =
            |user: &str| format!("{}.{}.{}", part(r#"{"alg":"HS256"}"#), part(user), part("signature"));
        let (ada, eve) = (token("ada"), token("eve"));
        let cut = ada.rsplit_once('.').unwrap().0;
        for (entries, carrier) in [
            (vec![format!("jwt.staging.{ada}"), format!("jwt.{eve}")], 0),
            (vec![format!("jwt.staging.{}", part(&ada)), format!("jwt.{eve}")], 0),
            (vec!["jwt.staging".into(), format!("jwt.{ada}"), format!("bearer.{eve}")], 1),
            (vec![format!("jwt.{cut}"), format!("jwt-auth.{ada}"), format!("jwt.{eve}")], 1),
            (vec![format!("jwt.staging.{cut}"), format!("jwt.{cut}."), format!("bearer.{ada}")], 2),
            (vec!["jwt.x.y.z".into(), format!("jwt.{}", part(&ada))], 1),
        ] {
            let named = |first: &str| format!("{first}{}", entries.join(", "));
            let (bare, ours) = (named(""), named("wireproof.v1, "));
            let found = offered(&[("sec-websocket-protocol", &bare)]);
            assert_eq!(found, expected(Some(&ada), Some(&entries[carrier])), "{entries:?}");
            let found = offered(&[("sec-websocket-protocol", &ours)]);
            assert_eq!(found, expected(Some(&ada), Some(SUBPROTOCOL)), "{entries:?}");
        }
        // What holds none is still shown, and refused.
        let found = offered(&[("sec-websocket-protocol", "wireproof.v1, jwt.nonsense, bearer.x")]);
        assert_eq!(found, expected(Some("nonsense"), Some(SUBPROTOCOL)));
    }
}
