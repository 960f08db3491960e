//! Tokens that wait for a slow issuer: in nobody's way, and so many of an address and in all.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use wireproof_client::Credentials;
use wireproof_server::Config;
use wireproof_testkit::{DEADLINE, Issuer, JwksServer, Reply, Rest, TestServer};

use super::of;
use crate::{
    front_door::open,
    wire::{Wire, handshake},
};

/// An issuer that lets everybody wait, and a token of a key that it does not publish.
async fn slow_issuer(wait: Duration) -> (JwksServer, String) {
    let (key, other) = (Issuer::es256("a"), Issuer::es256("b"));
    let jwks = JwksServer::start(&[&key]).await;
    jwks.slow_down(wait);
    (jwks, other.token("eve"))
}

/// A server in the middle of its first fetch from the issuer.
async fn fetching(jwks: &JwksServer, change: impl FnOnce(&mut Config)) -> TestServer {
    let server = TestServer::start_with(|config| {
        of(jwks)(config);
        config.http.trusted_proxies = vec!["127.0.0.1".to_owned()];
        change(config);
    })
    .await;
    server.until("the keys are asked for", |_| jwks.fetches() > 0).await;
    server
}

fn from(server: &TestServer, address: u8) -> Rest {
    server.rest().header("x-forwarded-for", format!("10.0.0.{address}"))
}

fn is_turned_away(error: &Value, limit: &str) -> bool {
    error["error_code"] == "rate_limited" && error["details"]["limit"] == limit && error["retryable"] == true
}

/// Bug: a handshake whose token waited for its issuer kept its place among the handshakes, and everybody else got 503.
#[tokio::test]
async fn a_handshake_that_waits_for_its_issuer_is_in_nobodys_way() {
    let (jwks, unknown) = slow_issuer(Duration::from_secs(4)).await;
    let server = fetching(&jwks, |config| config.limits.handshakes_in_progress = 3).await;
    let begun = Instant::now();
    let shown = format!("Authorization: Bearer {unknown}");
    let offered = format!("Sec-WebSocket-Protocol: jwt.{unknown}");
    let mut waiting = Vec::new();
    while waiting.len() < 12 {
        let line = if waiting.len() % 2 == 0 { &shown } else { &offered };
        let mut wire = Wire::dial(server.address()).await;
        wire.write(handshake("/ws", &[line]).as_bytes()).await;
        // A place is free as soon as it is known that the issuer has to be asked.
        if wire.head().await.status == 101 {
            waiting.push(wire);
        }
        assert!(begun.elapsed() < Duration::from_secs(3), "{} wait, and no other gets in", waiting.len());
    }
    server.user("ada").connect().await.barrier().await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    for wire in &mut waiting {
        assert_eq!(wire.text_of_type("error").await["error_code"], "unauthenticated");
    }
}

/// Bug: nothing bounded how many tokens of one address, or of all, waited for an issuer.
#[tokio::test]
async fn so_many_wait_of_an_address_and_in_all_and_the_others_hear_when_to_come_back() {
    let (jwks, unknown) = slow_issuer(Duration::from_secs(2)).await;
    let server = fetching(&jwks, |config| {
        (config.limits.issuer_waits_per_address, config.limits.issuer_waits) = (3, 5);
    })
    .await;
    let asked = |address: u8, path: &'static str| {
        let (rest, token) = (from(&server, address), unknown.clone());
        async move {
            let rest = rest.token(token);
            if path == "/ws/ticket" { rest.post(path, json!({})).await } else { rest.get(path).await }
        }
    };
    let paths = ["/api/threads", "/auth/me", "/ws/ticket"];
    let requests = (0..18).map(|n| asked(1 + n % 2, paths[usize::from(n) % 3]));
    let replies = join_all(requests).await;
    let (waited, turned_away): (Vec<&Reply>, Vec<&Reply>) =
        replies.iter().partition(|reply| reply.status == 401);
    assert_eq!((waited.len(), turned_away.len()), (5, 13), "{replies:?}");
    let of = |limit| turned_away.iter().filter(|reply| is_turned_away(&reply.json, limit)).count();
    // Nine from each: three of one and two of the other waited.
    assert_eq!(of("issuer_waits_per_address") + of("issuer_waits"), 13, "{turned_away:?}");
    assert!(of("issuer_waits_per_address") >= 6 && of("issuer_waits") >= 1, "{turned_away:?}");
    assert!(turned_away.iter().all(|reply| reply.status == 429 && reply.header("retry-after").is_some()));
}

/// The same bound holds for a token in the first frame and for one that renews: what renews keeps its connection.
#[tokio::test]
async fn tokens_in_frames_wait_within_the_same_bound() {
    let (jwks, unknown) = slow_issuer(Duration::from_secs(2)).await;
    let server = fetching(&jwks, |config| config.limits.issuer_waits_per_address = 1).await;
    let (one, two) = (server.user("ada").connect().await, server.user("ada").connect().await);
    let renewal = || json!({ "type": "authenticate", "token": unknown });
    let (first, second) = tokio::join!(one.ask(renewal()), two.ask(renewal()));
    let mut codes = [first.text_of("error_code"), second.text_of("error_code")];
    codes.sort_unstable();
    assert_eq!(codes, ["rate_limited", "unauthenticated"]);
    one.barrier().await;
    two.barrier().await;

    let shown = async || {
        let client = open(server.connect().credentials(Credentials::FirstFrame(unknown.clone()))).await;
        (client.expect_closed().await.code, client.frames()[0].text_of("error_code").to_owned())
    };
    let deadline = Instant::now() + DEADLINE;
    // Between two fetches nobody waits.
    loop {
        let mut ends = [(); 2].map(|()| None);
        (ends[0], ends[1]) = tokio::join!(async { Some(shown().await) }, async { Some(shown().await) });
        let mut ends = ends.map(Option::unwrap);
        ends.sort();
        if ends[1].1 == "rate_limited" || ends[0].1 == "rate_limited" {
            let refused = |code, word: &str| (Some(code), word.to_owned());
            assert_eq!(ends, [refused(1008, "unauthenticated"), refused(1013, "rate_limited")]);
            break;
        }
        assert!(Instant::now() < deadline, "both waited: {ends:?}");
    }
}
