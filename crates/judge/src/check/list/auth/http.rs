//! What asks for credentials over HTTP.

use wireproof_testkit::TokenKind;

use crate::check::{CheckContext, CheckOutcome, Failure, ensure, pass};

pub(super) async fn protected(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    let claims = context.target.claims(&ada.user);
    let forge = |kind: TokenKind| Some((kind.to_string(), kind.forge(context.target.issuer()?, &claims)));
    let kinds = [TokenKind::WrongKey, TokenKind::Expired, TokenKind::AlgNone, TokenKind::Garbage];
    let mut shown = vec![("no token".to_owned(), None)];
    shown.extend(kinds.into_iter().filter_map(forge));
    let mut refused = 0;
    for path in &context.profile.http.protected {
        let good = context.http("GET", path, ada.token.as_deref(), None).await?;
        if good.status == 404 {
            return Err(Failure::NotDone(format!(
                "{path} answers 404 to a good token: the profile names what is not there"
            )));
        }
        ensure(good.status != 401, || format!("{path} answers 401 to a good token: {}", good.body))?;
        for (what, token) in &shown {
            let answer = context.http("GET", path, token.as_deref(), None).await?;
            // Who is sent away to log in is refused as well.
            ensure(matches!(answer.status, 401 | 403 | 302 | 303 | 307), || {
                let told: String = answer.body.chars().take(160).collect();
                format!("{path} answers {} to {what}: {told}", answer.status)
            })?;
            refused += 1;
        }
    }
    pass(format!(
        "{refused} requests without good credentials refused, at {} addresses",
        context.profile.http.protected.len()
    ))
}
