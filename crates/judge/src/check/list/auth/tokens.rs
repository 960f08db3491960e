//! Tokens that are not good: each kind is shown where tokens are shown, after a good one was let in.

use serde_json::{Value, json};
use wireproof_testkit::{Issuer, TokenKind, unsigned};

use crate::{
    check::{CheckContext, CheckOutcome, Failure, pass},
    profile::Place,
};

/// The key that signs good tokens, and the claims of one that was just let in: what is refused next differs from it in
/// what the check says, and in nothing else.
async fn good<'t>(context: &'t CheckContext<'_>) -> Result<(&'t Issuer, Value), Failure> {
    let ada = context.principal("ada")?;
    context.connect(&ada).await?;
    let issuer = context.target.issuer();
    let issuer =
        issuer.ok_or_else(|| Failure::NotDone("the judge has no key to make tokens with".to_owned()))?;
    Ok((issuer, context.target.claims(&ada.user)))
}

async fn refuses(context: &CheckContext<'_>, kinds: &[TokenKind]) -> CheckOutcome {
    let (issuer, claims) = good(context).await?;
    let forged =
        |kind: &TokenKind| Some((format!("a token of the kind \"{kind}\""), kind.forge(issuer, &claims)?));
    let tokens: Vec<_> = kinds.iter().filter_map(forged).collect();
    pass(context.assert_tokens_refused(&tokens).await?)
}

pub(super) async fn none(context: &CheckContext<'_>) -> CheckOutcome {
    context.connect(&context.principal("ada")?).await?;
    let connect = context.target.connect(context.target.url(), None, None);
    let how = context.assert_no_access(connect, None, "who shows no token").await?;
    let mut told = vec![format!("no token: {how}")];
    for (what, place, token) in
        [("an empty token", Place::Header, ""), ("a token of spaces", Place::Header, "   ")]
    {
        let connect = context.target.connect(context.target.url(), Some(token), Some(place));
        told.push(format!("{what}: {}", context.assert_no_access(connect, None, what).await?));
    }
    pass(told.join("; "))
}

pub(super) async fn bad_signature(context: &CheckContext<'_>) -> CheckOutcome {
    if context.target.issuer().is_none() {
        return spoiled(context).await;
    }
    let kinds = [
        TokenKind::WrongKey,
        TokenKind::NoSignature,
        TokenKind::TamperedSignature,
        TokenKind::TamperedPayload,
        TokenKind::Truncated,
        TokenKind::WrongAlgorithm,
        TokenKind::OwnKeyInHead,
        TokenKind::Garbage,
    ];
    refuses(context, &kinds).await
}

/// The same where tokens are given and the judge can sign none: a good one with a letter changed, cut short, and no token.
async fn spoiled(context: &CheckContext<'_>) -> CheckOutcome {
    let ada = context.principal("ada")?;
    context.connect(&ada).await?;
    let token: Vec<char> = ada.token.unwrap_or_default().chars().collect();
    // Far enough from the end to change what it stands for.
    let Some(at) = (token.len() * 3 / 4).checked_sub(1) else {
        return Err(Failure::NotDone("the judge has neither a key nor a token".to_owned()));
    };
    let mut changed = token.clone();
    changed[at] = if changed[at] == 'A' { 'B' } else { 'A' };
    let shown = [
        ("a good token with a letter changed", changed.into_iter().collect()),
        ("a good token that is cut short", token[..at].iter().collect()),
        ("what is no token", "not-a-token".to_owned()),
    ];
    pass(
        context
            .assert_tokens_refused(&shown.map(|(what, token): (&str, String)| (what.to_owned(), token)))
            .await?,
    )
}

pub(super) async fn alg_none(context: &CheckContext<'_>) -> CheckOutcome {
    let (issuer, claims) = good(context).await?;
    let spelled = |name: &str| {
        let mut head = issuer.header();
        head["alg"] = json!(name);
        (format!("a token without a signature that says {name:?}"), unsigned(&head, &claims, ""))
    };
    let tokens: Vec<_> = ["none", "None", "NONE", "nOnE", ""].map(spelled).into_iter().collect();
    pass(context.assert_tokens_refused(&tokens).await?)
}

pub(super) async fn expired(context: &CheckContext<'_>) -> CheckOutcome {
    refuses(context, &[TokenKind::Expired]).await
}

pub(super) async fn endless(context: &CheckContext<'_>) -> CheckOutcome {
    refuses(context, &[TokenKind::NoExpiry]).await
}

pub(super) async fn not_yet_valid(context: &CheckContext<'_>) -> CheckOutcome {
    refuses(context, &[TokenKind::NotYetValid]).await
}

pub(super) async fn nobody(context: &CheckContext<'_>) -> CheckOutcome {
    refuses(context, &[TokenKind::NoSubject, TokenKind::EmptySubject]).await
}

pub(super) async fn wrong_audience(context: &CheckContext<'_>) -> CheckOutcome {
    refuses_without(context, TokenKind::WrongAudience, "aud").await
}

pub(super) async fn wrong_issuer(context: &CheckContext<'_>) -> CheckOutcome {
    refuses_without(context, TokenKind::WrongIssuer, "iss").await
}

/// Refuses a token of the kind, and one that lacks the claim.
async fn refuses_without(context: &CheckContext<'_>, kind: TokenKind, claim: &str) -> CheckOutcome {
    let (issuer, claims) = good(context).await?;
    let mut without = claims.clone();
    without.as_object_mut().and_then(|claims| claims.remove(claim));
    let mut tokens = vec![(format!("a token without {claim}"), issuer.sign_claims(&without))];
    tokens
        .extend(kind.forge(issuer, &claims).map(|token| (format!("a token of the kind \"{kind}\""), token)));
    pass(context.assert_tokens_refused(&tokens).await?)
}
