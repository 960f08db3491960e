//! What a good token does not allow.

use serde_json::json;

use crate::{
    check::{CheckContext, CheckOutcome, Failure, ReceivedFrame, TestPrincipal, ensure, pass},
    profile::Kind,
};

pub(super) async fn permissions(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    let (Some(issuer), Some(jwt)) = (context.target.issuer(), &context.profile.auth.jwt) else {
        return Err(Failure::NotDone("the judge has no key to make tokens with".to_owned()));
    };
    // Who may ask is answered: what is refused next is refused for the claims.
    context.connect(&ada).await?.run(&context.plain("allowed")?).await?;
    let mut claims = context.target.claims(&ada.user);
    jwt.reader.iter().for_each(|(name, value)| claims[name] = value.clone());
    let reader = TestPrincipal { token: Some(issuer.sign_claims(&claims)), ..ada };
    let session = context.connect(&reader).await?;
    let asked = session.ask(&context.plain("not allowed")?).await?;
    let answers = |seen: &ReceivedFrame| {
        matches!(seen.kind, Kind::Error | Kind::Accepted | Kind::Started | Kind::Completed)
    };
    let answer = session.wait("refusal", asked.from, session.patience(), answers).await?;
    ensure(answer.kind == Kind::Error, || {
        format!("a token with {} was enough to ask: {}", json!(jwt.reader), answer.brief())
    })?;
    pass(format!("refused: {}", answer.brief()))
}

pub(super) async fn admin_only(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    let admin = context.target.admin_token();
    let mut refused = Vec::new();
    for path in &context.profile.http.admin {
        let good = context.http("GET", path, admin.as_deref(), None).await?;
        if !(200..300).contains(&good.status) {
            let why = format!(
                "the judge is no administrator here: {path} answered {} (auth.jwt.admin)",
                good.status
            );
            return Err(Failure::NotDone(why));
        }
        for (what, token) in [("a user", ada.token.as_deref()), ("nobody", None)] {
            let answer = context.http("GET", path, token, None).await?;
            ensure(matches!(answer.status, 401 | 403 | 404), || {
                let told: String = answer.body.chars().take(160).collect();
                format!("{path} answers {} to {what}: {told}", answer.status)
            })?;
            refused.push(format!("{path} to {what}: {}", answer.status));
        }
    }
    pass(refused.join("; "))
}
