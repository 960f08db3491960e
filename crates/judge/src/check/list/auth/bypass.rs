//! Ways around a token: headers that other systems took for one, tokens where they do not belong, and refusals that tell.

use wireproof_testkit::TokenKind;

use crate::{
    check::{CheckContext, CheckOutcome, Failure, ensure, pass},
    profile::Place,
};

/// Names under which other systems take a token in the address.
const QUERY: [&str; 4] = ["token", "access_token", "jwt", "auth"];
/// The fewest characters of a token's part that cannot be in a sentence by chance.
const TELLING: usize = 12;

pub(super) async fn headers(context: &CheckContext<'_>) -> CheckOutcome {
    context.connect(&context.principal("ada")?).await?;
    let headers = &context.profile.auth.bypass_headers;
    let nobody = || context.target.connect(context.target.url(), None, None);
    let mut told = Vec::new();
    for (name, value) in headers {
        let whom = format!("who shows nothing but {name}: {value}");
        told.push(format!(
            "{name}: {}",
            context.assert_no_access(nobody().header(name, value), None, &whom).await?
        ));
    }
    let all = headers.iter().fold(nobody(), |connect, (name, value)| connect.header(name, value));
    told.push(format!(
        "all at once: {}",
        context.assert_no_access(all, None, "who shows all headers of tests").await?
    ));
    pass(told.join("; "))
}

pub(super) async fn query_token(context: &CheckContext<'_>) -> CheckOutcome {
    if context.places().contains(&Place::Query) {
        return Err(Failure::NotDone(
            "this server takes tokens in the address, as its profile says".to_owned(),
        ));
    }
    let ada = context.principal("ada")?;
    context.connect(&ada).await?;
    let token = ada.token.unwrap_or_default();
    let mut told = Vec::new();
    for name in QUERY {
        let url = crate::check::with_query(context.target.url(), &format!("{name}={token}"));
        let connect = context.target.connect(&url, None, None);
        let how = context.assert_no_access(connect, None, &format!("a good token as ?{name}=")).await?;
        told.push(format!("?{name}=: {how}"));
    }
    pass(told.join("; "))
}

pub(super) async fn refusal_silent(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    let (Some(issuer), claims) = (context.target.issuer(), context.target.claims(&ada.user)) else {
        return Err(Failure::NotDone("the judge has no key to make tokens with".to_owned()));
    };
    let kinds = [TokenKind::TamperedSignature, TokenKind::Expired, TokenKind::WrongKey];
    let mut refusals = 0;
    for (kind, token) in kinds.iter().filter_map(|kind| Some((kind, kind.forge(issuer, &claims)?))) {
        for answer in answers(context, &token).await? {
            let repeated =
                token.split('.').filter(|part| part.len() >= TELLING).find(|part| answer.contains(part));
            ensure(repeated.is_none(), || format!("the refusal of a token ({kind}) repeats it: {answer}"))?;
            refusals += 1;
        }
    }
    ensure(refusals > 0, || "bad tokens were refused without an answer of any kind".to_owned())?;
    pass(format!("{refusals} refusals, in none of them a part of the token"))
}

/// All that a server says to a bad token: on the socket, in the close, and over HTTP.
async fn answers(context: &CheckContext<'_>, token: &str) -> Result<Vec<String>, Failure> {
    let mut said = Vec::new();
    for place in context.places().into_iter().filter(|place| *place != Place::Frame) {
        let connect = context.target.connect(context.target.url(), Some(token), Some(place));
        match context.open(connect, "a bad token").await {
            Ok(session) => {
                // One that only sends errors and stays is another check's business.
                let ended = session.ended(session.patience()).await;
                said.extend(session.seen().iter().map(|seen| seen.text.clone()));
                said.extend(ended.ok().map(|ended| ended.to_string()));
            }
            Err(error) => said.push(error.to_string()),
        }
    }
    for path in &context.profile.http.protected {
        let answer = context.http("GET", path, Some(token), None).await?;
        said.push(format!("{:?} {}", answer.headers, answer.body));
    }
    Ok(said)
}
