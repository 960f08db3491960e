//! Ways around a token: headers that other systems took for one, tokens where they do not belong, and refusals that tell.

use wireproof_testkit::TokenKind;

use crate::{
    check::{Fault, Outcome, Trial, ensure, pass},
    profile::Place,
};

/// Names under which other systems take a token in the address.
const QUERY: [&str; 4] = ["token", "access_token", "jwt", "auth"];
/// The fewest characters of a token's part that cannot be in a sentence by chance.
const TELLING: usize = 12;

pub(super) async fn headers(trial: &Trial<'_>) -> Outcome {
    trial.connect(&trial.visitor("ada")?).await?;
    let headers = &trial.profile.auth.bypass_headers;
    let nobody = || trial.target.connect(trial.target.url(), None, None);
    let mut told = Vec::new();
    for (name, value) in headers {
        let whom = format!("who shows nothing but {name}: {value}");
        told.push(format!("{name}: {}", trial.kept_out(nobody().header(name, value), None, &whom).await?));
    }
    let all = headers.iter().fold(nobody(), |connect, (name, value)| connect.header(name, value));
    told.push(format!("all at once: {}", trial.kept_out(all, None, "who shows all headers of tests").await?));
    pass(told.join("; "))
}

pub(super) async fn query_token(trial: &Trial<'_>) -> Outcome {
    if trial.places().contains(&Place::Query) {
        return Err(Fault::NotDone(
            "this server takes tokens in the address, as its profile says".to_owned(),
        ));
    }
    let ada = trial.visitor("ada")?;
    trial.connect(&ada).await?;
    let token = ada.token.unwrap_or_default();
    let mut told = Vec::new();
    for name in QUERY {
        let url = crate::check::with_query(trial.target.url(), &format!("{name}={token}"));
        let connect = trial.target.connect(&url, None, None);
        let how = trial.kept_out(connect, None, &format!("a good token as ?{name}=")).await?;
        told.push(format!("?{name}=: {how}"));
    }
    pass(told.join("; "))
}

pub(super) async fn refusal_silent(trial: &Trial<'_>) -> Outcome {
    let ada = trial.visitor("ada")?;
    let (Some(issuer), claims) = (trial.target.issuer(), trial.target.claims(&ada.user)) else {
        return Err(Fault::NotDone("the judge has no key to make tokens with".to_owned()));
    };
    let kinds = [TokenKind::TamperedSignature, TokenKind::Expired, TokenKind::WrongKey];
    let mut refusals = 0;
    for (kind, token) in kinds.iter().filter_map(|kind| Some((kind, kind.forge(issuer, &claims)?))) {
        for answer in answers(trial, &token).await? {
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
async fn answers(trial: &Trial<'_>, token: &str) -> Result<Vec<String>, Fault> {
    let mut said = Vec::new();
    for place in trial.places().into_iter().filter(|place| *place != Place::Frame) {
        let connect = trial.target.connect(trial.target.url(), Some(token), Some(place));
        match trial.open(connect, "a bad token").await {
            Ok(session) => {
                // One that only sends errors and stays is another check's business.
                let ended = session.ended(session.patience()).await;
                said.extend(session.seen().iter().map(|seen| seen.text.clone()));
                said.extend(ended.ok().map(|ended| ended.to_string()));
            }
            Err(error) => said.push(error.to_string()),
        }
    }
    for path in &trial.profile.http.protected {
        let answer = trial.http("GET", path, Some(token), None).await?;
        said.push(format!("{:?} {}", answer.headers, answer.body));
    }
    Ok(said)
}
