//! Where a token stands in a handshake: the Authorization header, then the subprotocols. Never the query string.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, header};
use wireproof_protocol::SUBPROTOCOL;

/// What the headers of a handshake offer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// The token, raw.
    pub token: Option<String>,
    /// The subprotocol to select in the answer.
    pub selected: Option<String>,
}

/// The bearer token of an Authorization header.
pub fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned()).filter(|token| !token.is_empty())
}

/// Token and subprotocol of a WebSocket handshake.
pub fn offer(headers: &HeaderMap) -> Offer {
    let offered: Vec<&str> = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .collect();
    let carrier =
        offered.iter().find_map(|entry| entry.strip_prefix("jwt.").map(|token| (*entry, raw(token))));
    let selected = [SUBPROTOCOL, "jwt-auth"]
        .into_iter()
        .find(|known| offered.contains(known))
        .or(carrier.as_ref().map(|(entry, _)| *entry));
    let token = bearer(headers).or(carrier.as_ref().map(|(_, token)| token.clone()));
    Offer { token, selected: selected.map(str::to_owned) }
}

/// A token that may be wrapped in base64url, since some clients may not put dots in a subprotocol.
fn raw(token: &str) -> String {
    if token.split('.').count() == 3 {
        return token.to_owned();
    }
    let decoded = URL_SAFE_NO_PAD
        .decode(token.trim_end_matches('='))
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.unwrap_or_else(|| token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(pairs: &[(&str, &str)]) -> Offer {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        offer(&headers)
    }

    fn expected(token: Option<&str>, selected: Option<&str>) -> Offer {
        Offer { token: token.map(str::to_owned), selected: selected.map(str::to_owned) }
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
}
