//! Tokens of every kind: each bad one is refused in its own words, and the same token without its fault gets in.

use std::collections::HashSet;

use wireproof_client::Credentials;
use wireproof_server::Config;
use wireproof_testkit::{Issuer, TestServer, TokenKind, error, frame};

use crate::front_door::{assert_refused, open};

fn asking(config: &mut Config) {
    config.jwt.issuer = "https://issuer.example".to_owned();
    config.jwt.audience = "wireproof".to_owned();
    config.limits.other_frames_per_minute = 0;
    config.limits.failed_tokens_per_minute = 0;
}

#[tokio::test]
async fn every_bad_kind_is_refused_as_it_says_and_the_user_stays_good() {
    let server = TestServer::start_with(asking).await;
    let ada = server.user("ada");
    let mut seen = Vec::new();
    for kind in TokenKind::BAD {
        let Some(token) = ada.try_token_of(kind).await else { continue };
        assert_refused(
            &open(server.connect().credentials(kind.shown(&token))).await,
            kind.refusal().unwrap(),
        )
        .await;
        if !kind.is_ticket() {
            let reply = server.rest().token(&token).get("/api/threads").await;
            assert_eq!((reply.status, Some(reply.error_code())), (401, kind.refusal()), "{kind}");
        }
        seen.push(kind);
    }
    // The server's own key is a secret: it has no public key that could be taken for one.
    let missing: Vec<_> = TokenKind::BAD.iter().filter(|kind| !seen.contains(kind)).collect();
    assert_eq!(missing, [&TokenKind::PublicKeyAsSecret]);
    let good = open(server.connect().token(ada.token_of(TokenKind::Valid).await)).await;
    good.expect(frame("connection_established").field("user_id", "ada")).await;
    let ticket = open(server.connect().credentials(Credentials::Ticket(ada.ticket().await))).await;
    ticket.expect(frame("connection_established").field("user_id", "ada")).await;
}

/// With key pairs every kind that is forged can be, for each algorithm; without its fault each token is good.
#[tokio::test]
async fn every_forged_kind_is_refused_whatever_the_algorithm() {
    let issuers = [Issuer::es256("es"), Issuer::rs256("rs"), Issuer::eddsa("ed")];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.pem");
    std::fs::write(&path, issuers.iter().map(Issuer::public_pem).collect::<String>()).unwrap();
    let server = TestServer::start_with(|config| {
        asking(config);
        config.jwt.public_key_file = path;
    })
    .await;
    let claims = server.user("ada").claims();
    for issuer in &issuers {
        for kind in TokenKind::BAD.into_iter().filter(|kind| !kind.is_spent()) {
            let token = kind.forge(issuer, &claims).unwrap_or_else(|| panic!("{kind} can be"));
            let reply = server.rest().token(token).get("/api/threads").await;
            let (status, code) = (reply.status, Some(reply.error_code()));
            assert_eq!((status, code), (401, kind.refusal()), "{kind} by {}", issuer.algorithm());
        }
        let good = TokenKind::Valid.forge(issuer, &claims).unwrap();
        assert_eq!(server.rest().token(good).get("/api/threads").await.status, 200, "{}", issuer.algorithm());
    }
}

#[tokio::test]
async fn a_kind_that_the_server_cannot_refuse_is_not_handed_out_as_bad() {
    let server = TestServer::start().await;
    let ada = server.user("ada");
    for kind in [TokenKind::WrongIssuer, TokenKind::WrongAudience, TokenKind::PublicKeyAsSecret] {
        assert_eq!(ada.try_token_of(kind).await, None, "{kind}");
    }
    assert!(ada.try_token_of(TokenKind::Garbage).await.is_some());
}

/// The kit signs with the server's key also after it was changed.
#[tokio::test]
async fn tokens_follow_the_servers_key() {
    let mut server = TestServer::start().await;
    let ada = server.user("ada");
    let old = ada.token_of(TokenKind::Valid).await;
    server
        .reload(|config| config.jwt.secret = "another secret of thirty-two bytes".to_owned())
        .await
        .unwrap();
    assert_refused(&open(server.connect().token(old)).await, "unauthenticated").await;
    let client = open(server.connect().token(ada.token_of(TokenKind::Valid).await)).await;
    client.expect("connection_established").await;
    let expired = open(server.connect().token(ada.token_of(TokenKind::Expired).await)).await;
    expired.expect(error("token_expired")).await;
}

#[test]
fn each_kind_has_a_name_and_a_sentence_of_its_own() {
    let names: HashSet<_> = TokenKind::BAD.iter().map(TokenKind::to_string).collect();
    let sentences: HashSet<_> = TokenKind::BAD.iter().map(|kind| kind.sentence()).collect();
    assert_eq!((names.len(), sentences.len()), (TokenKind::BAD.len(), TokenKind::BAD.len()));
    assert_eq!(TokenKind::PublicKeyAsSecret.to_string(), "public key as secret");
}
