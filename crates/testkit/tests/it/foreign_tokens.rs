//! Tokens of others: keys from a file and from an issuer that publishes them, changes them, and is not always there.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use wireproof_client::Credentials;
use wireproof_server::Config;
use wireproof_testkit::{DEADLINE, Issuer, JwksServer, TestServer, error, unsigned};

use crate::front_door::{assert_refused, open};

mod waiting;

/// Takes keys from the issuer, and looks for new ones as soon as they are asked for.
fn of(issuer: &JwksServer) -> impl FnOnce(&mut Config) {
    let url = issuer.url();
    move |config| {
        config.jwt.jwks_url = url;
        config.jwt.jwks_min_seconds = 0.05;
        // Bad tokens are shown by the hundred here, and what becomes of one is asked again and again.
        config.limits.failed_tokens_per_minute = 0;
        config.limits.other_frames_per_minute = 0;
    }
}

/// Takes keys from the issuer, and looks for new ones at this pace.
fn looking(issuer: &JwksServer, refresh: f64) -> impl FnOnce(&mut Config) {
    let base = of(issuer);
    move |config| {
        base(config);
        config.jwt.jwks_refresh_seconds = refresh;
    }
}

/// What becomes of a token: the status over HTTP, and the code of a refusal.
async fn shown(server: &TestServer, token: &str) -> (u16, String) {
    let reply = server.rest().token(token).get("/api/threads").await;
    (reply.status, reply.error_code().to_owned())
}

async fn is_taken(server: &TestServer, token: &str) -> bool {
    shown(server, token).await.0 == 200
}

/// Waits until the token is taken, or no longer is.
async fn until(server: &TestServer, token: &str, taken: bool) {
    let deadline = Instant::now() + DEADLINE;
    while is_taken(server, token).await != taken {
        assert!(Instant::now() < deadline, "the token is not {}", if taken { "taken" } else { "refused" });
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn refused() -> (u16, String) {
    (401, "unauthenticated".to_owned())
}

fn state(server: &TestServer) -> &'static str {
    server.key_report().jwks.unwrap().state
}

#[tokio::test]
async fn keys_of_every_kind_and_from_every_source_let_their_users_in() {
    let published =
        [Issuer::es256("a"), Issuer::rs256("b"), Issuer::eddsa("c"), Issuer::es256("").nameless()];
    let jwks = JwksServer::start(&published.each_ref()).await;
    let filed = [Issuer::es256("d"), Issuer::rs256("e"), Issuer::eddsa("f").nameless()];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.pem");
    std::fs::write(&path, filed.iter().map(Issuer::public_pem).collect::<String>()).unwrap();
    let server = TestServer::start_with(|config| {
        of(&jwks)(config);
        config.jwt.public_key_file = path;
    })
    .await;
    for issuer in published.iter().chain(&filed) {
        let token = issuer.token("ada");
        for credentials in [
            Credentials::Header(token.clone()),
            Credentials::Subprotocol(token.clone()),
            Credentials::FirstFrame(token.clone()),
        ] {
            let ada = open(server.connect().credentials(credentials)).await;
            let welcome = ada.expect("connection_established").await;
            assert_eq!(welcome["user_id"], "ada", "{}", issuer.algorithm());
            ada.close(1000).await;
        }
        assert!(is_taken(&server, &token).await, "{}", issuer.algorithm());
    }
    server.user("ada").connect().await;
    let report = server.key_report();
    assert_eq!((report.file, report.jwks.unwrap().keys), (3, 4));
}

/// Whatever a token says of itself, a key is used in one way only.
#[tokio::test]
async fn no_token_talks_a_key_into_another_algorithm() {
    let keys = [Issuer::es256("es"), Issuer::rs256("rs"), Issuer::eddsa("ed")];
    let jwks = JwksServer::start(&keys.each_ref()).await;
    let server = TestServer::start_with(of(&jwks)).await;
    let claims = Issuer::claims("ada");
    let mut forged: Vec<(String, String)> = Vec::new();
    for key in &keys {
        let own = key.header();
        assert!(is_taken(&server, &key.sign(&own, &claims)).await);
        let with = |name: &str, value: Value| {
            let mut header = own.clone();
            header[name] = value;
            header
        };
        for alg in
            ["none", "None", "HS256", "HS512", "PS256", "ES384", "ES256", "RS256", "EdDSA", "Ed25519", ""]
        {
            if alg != key.algorithm() {
                forged.push((format!("{own} as {alg}"), key.sign(&with("alg", json!(alg)), &claims)));
            }
            forged
                .push((format!("{own} unsigned as {alg}"), unsigned(&with("alg", json!(alg)), &claims, "")));
        }
        // Confusion: the public key, which everybody has, as the secret of an HMAC.
        let published = key.jwk().to_string().into_bytes();
        for secret in [key.public_pem().into_bytes(), key.public_der(), published, Vec::new()] {
            let forger = Issuer::hs256("x", secret);
            for header in [with("alg", json!("HS256")), json!({ "alg": "HS256" }), own.clone()] {
                forged.push((format!("{header} by the public key"), forger.sign(&header, &claims)));
            }
        }
        let other = match key.algorithm() {
            "ES256" => Issuer::es256("x"),
            "EdDSA" => Issuer::eddsa("x"),
            _ => continue,
        };
        // A key that a token brings along proves only that its sender has that key.
        for (name, value) in [
            ("jwk", other.jwk()),
            ("jku", json!("http://127.0.0.1:1/keys")),
            ("x5u", json!("http://127.0.0.1:1/cert")),
            ("x5c", json!(["AAAA"])),
            ("crit", json!(["exp"])),
            ("crit", json!([])),
            ("b64", json!(false)),
        ] {
            forged.push((format!("{name} and another key"), other.sign(&with(name, value.clone()), &claims)));
            forged.push((format!("{name} and the right key"), key.sign(&with(name, value), &claims)));
        }
        forged.push(("another key under this name".to_owned(), other.sign(&own, &claims)));
        for other in keys.iter().filter(|other| other.algorithm() != key.algorithm()) {
            let header = with("kid", other.header()["kid"].clone());
            forged
                .push((format!("{own} under the name of {}", other.algorithm()), key.sign(&header, &claims)));
        }
    }
    for (what, token) in &forged {
        assert_eq!(shown(&server, token).await, refused(), "{what}: {token}");
    }
    // The same by the other door.
    let connections = forged.iter().step_by(7).map(|(_, token)| open(server.connect().token(token)));
    for client in join_all(connections).await {
        assert_refused(&client, "unauthenticated").await;
    }
    assert_eq!(server.connections(), 0);
}

/// A token whose parts are read one way by one reader and another way by the next is not a token.
#[tokio::test]
async fn odd_json_is_refused_although_it_is_signed() {
    let key = Issuer::es256("k");
    let jwks = JwksServer::start(&[&key]).await;
    let server = TestServer::start_with(of(&jwks)).await;
    let (header, exp) = (key.header().to_string(), Issuer::claims("ada")["exp"].clone());
    let good = format!(r#"{{"sub":"ada","exp":{exp}}}"#);
    assert!(is_taken(&server, &key.sign_text(&header, &good)).await);
    let eternal = key.sign_text(&header, r#"{"sub":"ada","exp":1e300}"#);
    open(server.connect().token(eternal)).await.expect("connection_established").await;
    for claims in [
        format!(r#"{{"sub":"eve","sub":"ada","exp":{exp}}}"#),
        format!(r#"{{"sub":"eve","s\u0075b":"ada","exp":{exp}}}"#),
        format!(r#"{{"sub":"ada","exp":1,"exp":{exp}}}"#),
        format!(r#"{{"sub":"ada","exp":"{exp}"}}"#),
        format!(r#"{{"sub":["ada"],"exp":{exp}}}"#),
        r#"{"sub":"ada","exp":1e999}"#.to_owned(),
        r#"{"sub":"ada","exp":NaN}"#.to_owned(),
        format!("{good}{good}"),
        format!("[{good}]"),
        String::new(),
        "null".to_owned(),
        "[".repeat(3000),
    ] {
        assert_eq!(shown(&server, &key.sign_text(&header, &claims)).await, refused(), "{claims}");
    }
    for header in [
        r#"{"alg":"ES256","kid":"other","kid":"k"}"#.to_owned(),
        r#"{"alg":"none","alg":"ES256","kid":"k"}"#.to_owned(),
        r#"{"alg":"ES256","kid":["k"]}"#.to_owned(),
        format!("{header},"),
        String::new(),
    ] {
        assert_eq!(shown(&server, &key.sign_text(&header, &good)).await, refused(), "{header}");
    }
    let mut large = Issuer::claims("ada");
    large["more"] = json!("x".repeat(8 << 10));
    let token = key.sign_claims(&large);
    assert!(token.len() > 8 << 10);
    assert_eq!(shown(&server, &token).await, refused());
    let first = open(server.connect().credentials(Credentials::FirstFrame(token))).await;
    assert_refused(&first, "unauthenticated").await;
}

#[tokio::test]
async fn the_algorithms_of_the_settings_are_all_there_are() {
    let (es256, eddsa) = (Issuer::es256("a"), Issuer::eddsa("b"));
    let jwks = JwksServer::start(&[&es256, &eddsa]).await;
    let server = TestServer::start_with(|config| {
        of(&jwks)(config);
        config.jwt.algorithms = vec!["ES256".to_owned()];
    })
    .await;
    assert!(is_taken(&server, &es256.token("ada")).await);
    assert_eq!(shown(&server, &eddsa.token("ada")).await, refused());
    assert_eq!(shown(&server, &server.user("ada").token()).await, refused());
}

#[tokio::test]
async fn who_and_what_is_read_where_the_settings_say_and_admin_is_not_to_be_had() {
    let key = Issuer::es256("a");
    let jwks = JwksServer::start(&[&key]).await;
    let server = TestServer::start_with(|config| {
        of(&jwks)(config);
        let jwt = &mut config.jwt;
        (jwt.issuer, jwt.audience) = ("https://us.example".to_owned(), "wireproof".to_owned());
        jwt.user_claim = "profile.name".to_owned();
        jwt.permissions_claim = "realm_access.roles".to_owned();
        jwt.permission_map.insert("reader".to_owned(), vec!["threads:read".to_owned()]);
        jwt.permission_map.insert("boss".to_owned(), vec!["admin:*".to_owned(), "threads:read".to_owned()]);
    })
    .await;
    let token = |change: &dyn Fn(&mut Value)| {
        let mut claims = Issuer::claims("subject-7");
        claims["iss"] = json!("https://us.example");
        claims["aud"] = json!(["others", "wireproof"]);
        claims["profile"] = json!({ "name": "ada" });
        change(&mut claims);
        key.sign_claims(&claims)
    };
    let created = async |token: &str| {
        server.rest().token(token).post("/api/threads", json!({ "title": "mine" })).await.status
    };
    let good = token(&|_| {});
    assert_eq!(created(&good).await, 201);
    assert_eq!(server.user("ada").get("/api/threads").await.json["total"], 1, "it is ada's");
    for roles in [json!(["reader"]), json!("reader nobody"), json!(["boss"])] {
        let reader = token(&|claims| claims["realm_access"] = json!({ "roles": roles }));
        assert!(is_taken(&server, &reader).await, "{roles}");
        assert_eq!(created(&reader).await, 403, "{roles}");
    }
    for none in [json!([]), json!(["threads:write"]), json!(7), json!(null)] {
        let nobody = token(&|claims| claims["realm_access"] = json!({ "roles": none }));
        assert_eq!(shown(&server, &nobody).await.0, 403, "{none}");
    }
    for bad in [
        token(&|claims| claims["iss"] = json!("https://them.example")),
        token(&|claims| claims["aud"] = json!("others")),
        token(&|claims| claims["profile"] = json!("ada")),
        token(&|claims| drop(claims.as_object_mut().unwrap().remove("sub"))),
        token(&|claims| claims["nbf"] = json!(claims["exp"])),
    ] {
        assert_eq!(shown(&server, &bad).await, refused());
    }
}

/// The issuer changes over: the new key is taken at its first token, the old one ends when it is taken away, and with it
/// the connections that it let in, and no others.
#[tokio::test]
async fn a_rotation_needs_nobody_and_ends_what_the_old_key_let_in() {
    let (old, new) = (Issuer::es256("old"), Issuer::eddsa("new"));
    let jwks = JwksServer::start(&[&old]).await;
    let server = TestServer::start_with(looking(&jwks, 0.2)).await;
    let first = open(server.connect().token(old.token("ada"))).await;
    first.expect("connection_established").await;
    let local = server.user("ada").connect().await;

    jwks.set_keys(&[&old, &new]);
    until(&server, &new.token("ada"), true).await;
    let second = open(server.connect().token(new.token("ada"))).await;
    second.expect("connection_established").await;
    first.barrier().await;

    jwks.set_keys(&[&new]);
    first.expect(error("unauthenticated")).await;
    assert_eq!(first.expect_closed().await.code, Some(1008));
    assert_eq!(shown(&server, &old.token("ada")).await, refused());
    assert!(is_taken(&server, &new.token("ada")).await);
    second.barrier().await;
    local.barrier().await;
}

/// A token that was good a moment ago is remembered, and is refused all the same when its key is gone.
#[tokio::test]
async fn what_is_remembered_of_a_token_ends_with_its_key_and_its_time() {
    let (one, two) = (Issuer::es256("one"), Issuer::es256("two"));
    let jwks = JwksServer::start(&[&one, &two]).await;
    let server = TestServer::start_with(looking(&jwks, 0.1)).await;
    let (gone, stays) = (one.token("ada"), two.token("ada"));
    for token in [&gone, &stays, &gone, &stays] {
        assert!(is_taken(&server, token).await);
    }
    jwks.set_keys(&[&two]);
    until(&server, &gone, false).await;
    assert!(is_taken(&server, &stays).await);
    let brief = two.token_for("ada", Duration::from_secs(2));
    assert!(is_taken(&server, &brief).await);
    until(&server, &brief, false).await;
    assert_eq!(shown(&server, &brief).await.1, "token_expired");
}

#[tokio::test]
async fn a_server_starts_without_its_issuer_and_goes_on_without_it() {
    let (key, later) = (Issuer::es256("a"), Issuer::es256("b"));
    let mut jwks = JwksServer::start(&[&key]).await;
    jwks.stop().await;
    let server = TestServer::start_with(of(&jwks)).await;
    assert_eq!(shown(&server, &key.token("ada")).await, refused());
    server.until("the failure is known", |server| server.key_report().jwks.unwrap().error.is_some()).await;
    assert_eq!(state(&server), "missing");
    server.user("ada").connect().await;

    jwks.resume().await;
    until(&server, &key.token("ada"), true).await;
    assert_eq!(state(&server), "ready");

    jwks.stop().await;
    assert!(!is_taken(&server, &later.token("ada")).await);
    server.until("the failure is known", |server| state(server) == "stale").await;
    for _ in 0..3 {
        assert!(is_taken(&server, &key.token("ada")).await, "keys outlive their issuer");
    }
    let begun = Instant::now();
    assert_eq!(shown(&server, &later.token("ada")).await, refused());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// The keys of an issuer that is gone for good are not good for ever.
#[tokio::test]
async fn keys_are_kept_through_an_outage_for_as_long_as_the_settings_say() {
    let key = Issuer::es256("a");
    let mut jwks = JwksServer::start(&[&key]).await;
    let server = TestServer::start_with(|config| {
        looking(&jwks, 0.1)(config);
        config.jwt.jwks_keep_seconds = 1.5;
    })
    .await;
    let ada = open(server.connect().token(key.token("ada"))).await;
    ada.expect("connection_established").await;
    jwks.stop().await;
    server.until("the failure is known", |server| state(server) != "ready").await;
    ada.expect(error("unauthenticated")).await;
    assert_eq!(ada.expect_closed().await.code, Some(1008));
    assert_eq!(shown(&server, &key.token("ada")).await, refused());
    jwks.resume().await;
    until(&server, &key.token("ada"), true).await;
}

/// Whatever is asked for, the issuer hears of it once in the least time between two looks.
#[tokio::test]
async fn a_storm_of_unknown_names_is_one_request_to_the_issuer() {
    let (key, other) = (Issuer::es256("a"), Issuer::es256("b"));
    let jwks = JwksServer::start(&[&key]).await;
    let server = TestServer::start_with(|config| {
        of(&jwks)(config);
        config.jwt.jwks_min_seconds = 10.0;
    })
    .await;
    assert!(is_taken(&server, &key.token("ada")).await);
    assert_eq!(jwks.fetches(), 1);
    let tokens: Vec<String> = (0..200)
        .map(|index| {
            let header = json!({ "alg": "ES256", "kid": format!("unknown-{index}") });
            other.sign(&header, &Issuer::claims("ada"))
        })
        .collect();
    for answer in join_all(tokens.iter().map(|token| shown(&server, token))).await {
        assert_eq!(answer, refused());
    }
    assert_eq!(jwks.fetches(), 1, "there was a look a moment ago, and 10 s lie between two");
    assert!(is_taken(&server, &key.token("ada")).await);
}

/// While the keys come, those that wait for them wait together, and nobody else does.
#[tokio::test]
async fn a_slow_issuer_holds_up_only_its_own_unknown_keys() {
    let (key, other) = (Issuer::es256("a"), Issuer::es256("b"));
    let jwks = JwksServer::start(&[&key]).await;
    jwks.slow_down(Duration::from_millis(700));
    let server = TestServer::start_with(|config| {
        of(&jwks)(config);
        config.jwt.jwks_min_seconds = 10.0;
    })
    .await;
    let (good, bad) = (key.token("ada"), other.token("ada"));
    let waiting = join_all((0..20).map(|index| shown(&server, if index % 2 == 0 { &good } else { &bad })));
    let local = async {
        server.user("ada").connect().await;
        server.key_report().jwks.unwrap().keys
    };
    let (answers, keys_meanwhile) = tokio::join!(waiting, local);
    assert_eq!(keys_meanwhile, 0, "a user of the server's own did not wait for the issuer");
    for (index, answer) in answers.into_iter().enumerate() {
        if index % 2 == 0 {
            assert_eq!(answer.0, 200);
        } else {
            assert_eq!(answer, refused());
        }
    }
    assert_eq!(jwks.fetches(), 1);
}

/// Bug: each token that waited for the issuer held one of its address's tries, and good ones were refused with 429.
#[tokio::test]
async fn good_tokens_that_wait_for_the_issuer_use_no_address_up() {
    let key = Issuer::es256("a");
    let jwks = JwksServer::start(&[&Issuer::es256("old")]).await;
    let server = TestServer::start_with(|config| {
        of(&jwks)(config);
        config.limits.failed_tokens_per_minute = 5;
        config.jwt.jwks_min_seconds = 0.005;
    })
    .await;
    // The least time between two fetches has to pass.
    tokio::time::sleep(Duration::from_millis(20)).await;
    jwks.set_keys(&[&key]);
    jwks.slow_down(Duration::from_millis(500));
    let users: Vec<_> = (0..12).map(|n| key.token(&format!("user-{n}"))).collect();
    let answers = futures_util::future::join_all(users.iter().map(|token| shown(&server, token))).await;
    assert!(answers.iter().all(|answer| answer.0 == 200), "{answers:?}");
}

/// Bug: an empty set of keys was taken for the truth, and ended every connection of the issuer.
#[tokio::test]
async fn an_answer_that_is_no_key_set_changes_nothing() {
    let (key, other) = (Issuer::es256("a"), Issuer::es256("b"));
    let elsewhere = JwksServer::start(&[&other]).await;
    let jwks = JwksServer::start(&[&key]).await;
    let server = TestServer::start_with(of(&jwks)).await;
    assert!(is_taken(&server, &key.token("ada")).await);
    let many = json!({ "keys": vec![other.jwk(); 101] }).to_string();
    let large = json!({ "keys": [other.jwk()], "more": "x".repeat(256 << 10) }).to_string();
    let bad: [&dyn Fn(); 9] = [
        &|| jwks.answer_with(200, r#"{"keys":[]}"#),
        &|| jwks.answer_with(200, r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#),
        &|| jwks.answer_with(500, other.jwks().to_string()),
        &|| jwks.answer_with(200, "<html>"),
        &|| jwks.answer_with(200, "{}"),
        &|| jwks.answer_with(200, many.clone()),
        &|| jwks.answer_with(200, large.clone()),
        &|| jwks.redirect_to("https://127.0.0.1:1/keys"),
        &|| jwks.redirect_to("http://issuer.invalid/keys"),
    ];
    for (index, answer) in bad.iter().enumerate() {
        answer();
        let fetches = jwks.fetches();
        let deadline = Instant::now() + DEADLINE;
        while jwks.fetches() < fetches + 2 {
            assert!(Instant::now() < deadline, "nobody asks");
            assert_eq!(shown(&server, &other.token("ada")).await, refused(), "{index}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        server.until("the failure is known", |server| state(server) == "stale").await;
        assert!(is_taken(&server, &key.token("ada")).await, "{index}");
        jwks.set_keys(&[&key]);
        while state(&server) != "ready" {
            assert!(Instant::now() < deadline, "the issuer does not recover");
            assert_eq!(shown(&server, &other.token("ada")).await, refused(), "{index}");
        }
    }
    jwks.redirect_to(&elsewhere.url());
    until(&server, &other.token("ada"), true).await;
}

/// A key set may hold anything; a secret in it, or a private key, is no key to this server.
#[tokio::test]
async fn of_what_is_published_only_public_keys_count() {
    let (key, secret) = (Issuer::es256("a"), Issuer::hs256("s", "0123456789abcdef0123456789abcdef"));
    let jwks = JwksServer::start(&[&key, &secret]).await;
    let server = TestServer::start_with(of(&jwks)).await;
    assert!(is_taken(&server, &key.token("ada")).await);
    assert_eq!(server.key_report().jwks.unwrap().keys, 1);
    assert_eq!(shown(&server, &secret.token("ada")).await, refused());
}

/// The local key changes while the server runs: what the old one vouched for ends within a second, unless it is kept.
#[tokio::test]
async fn a_reload_changes_the_key_of_the_server_itself() {
    let (old, new) = ("0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210");
    let mut server = TestServer::start_with(|config| config.jwt.secret = old.to_owned()).await;
    let before = server.user("ada").token();
    let ada = server.user("ada").connect().await;
    server
        .reload(|config| (config.jwt.secret, config.jwt.previous_secret) = (new.to_owned(), old.to_owned()))
        .await
        .unwrap();
    assert!(is_taken(&server, &before).await);
    ada.barrier().await;
    let eve = server.user("eve").connect().await;

    let broken = server.reload(|config| config.jwt.public_key_file = "/nowhere".into()).await;
    assert!(broken.unwrap_err().to_string().contains("/nowhere"));
    assert!(is_taken(&server, &before).await);

    let begun = Instant::now();
    server.reload(|config| config.jwt.previous_secret.clear()).await.unwrap();
    ada.expect(error("unauthenticated")).await;
    assert_eq!(ada.expect_closed().await.code, Some(1008));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(shown(&server, &before).await, refused());
    eve.barrier().await;
    server.user("ada").connect().await;
}

/// Another issuer takes the place of the first while the server runs; one that does not answer does not.
#[tokio::test]
async fn a_reload_changes_the_issuer_if_the_new_one_answers() {
    let (key, other) = (Issuer::es256("a"), Issuer::es256("b"));
    let (first, mut second) = (JwksServer::start(&[&key]).await, JwksServer::start(&[&other]).await);
    let mut server = TestServer::start_with(of(&first)).await;
    assert!(is_taken(&server, &key.token("ada")).await);
    second.stop().await;
    let url = second.url();
    assert!(server.reload(|config| config.jwt.jwks_url = url.clone()).await.is_err());
    assert!(is_taken(&server, &key.token("ada")).await);
    second.resume().await;
    server.reload(|config| config.jwt.jwks_url = url).await.unwrap();
    assert!(is_taken(&server, &other.token("ada")).await);
    assert_eq!(shown(&server, &key.token("ada")).await, refused());
    second.set_keys(&[&key]);
    until(&server, &key.token("ada"), true).await;
}
