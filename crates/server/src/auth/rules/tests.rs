use serde_json::json;

use super::*;

const NOW: f64 = 1_800_000_000.0;

fn rules(change: impl FnOnce(&mut JwtConfig)) -> Rules {
    let mut jwt = JwtConfig::default();
    change(&mut jwt);
    Rules::from_config(&jwt).unwrap()
}

fn read(rules: &Rules, claims: Value, own: bool) -> Result<Principal, AuthError> {
    let key = Key::local(&[7; 32]);
    let Value::Object(claims) = claims else { panic!("{claims} are no claims") };
    rules.read(&claims, &key, own)?.at(NOW)
}

/// Good claims with these in their place.
fn with(changes: Value) -> Value {
    let mut claims = json!({ "sub": "ada", "exp": NOW + 60.0, "iat": NOW, "iss": "us", "aud": "them" });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn without(name: &str) -> Value {
    let mut claims = with(json!({}));
    claims.as_object_mut().unwrap().remove(name);
    claims
}

#[test]
fn times_hold_to_the_second_and_leeway_is_what_the_settings_say() {
    let (strict, lenient) = (rules(|_| {}), rules(|jwt| jwt.leeway_seconds = 30.0));
    let ok = |rules: &Rules, changes: Value| read(rules, with(changes), false).map(|_| ());
    for (changes, at_once, with_leeway) in [
        (json!({}), Ok(()), Ok(())),
        (json!({ "exp": NOW }), Err(AuthError::Expired), Ok(())),
        (json!({ "exp": NOW - 29.0 }), Err(AuthError::Expired), Ok(())),
        (json!({ "exp": NOW - 30.0 }), Err(AuthError::Expired), Err(AuthError::Expired)),
        (json!({ "exp": -1 }), Err(AuthError::Expired), Err(AuthError::Expired)),
        (json!({ "exp": 1e300 }), Ok(()), Ok(())),
        (json!({ "nbf": NOW }), Ok(()), Ok(())),
        (json!({ "nbf": NOW + 1.0 }), Err(AuthError::Invalid), Ok(())),
        (json!({ "nbf": NOW + 31.0 }), Err(AuthError::Invalid), Err(AuthError::Invalid)),
        (json!({ "iat": NOW + 60.0 }), Ok(()), Ok(())),
        (json!({ "iat": NOW + 61.0 }), Err(AuthError::Invalid), Err(AuthError::Invalid)),
        (json!({ "exp": (NOW + 60.0).to_string() }), Err(AuthError::Invalid), Err(AuthError::Invalid)),
        (json!({ "exp": null }), Err(AuthError::Invalid), Err(AuthError::Invalid)),
        (json!({ "exp": [NOW + 60.0] }), Err(AuthError::Invalid), Err(AuthError::Invalid)),
        (json!({ "nbf": "0" }), Err(AuthError::Invalid), Err(AuthError::Invalid)),
        (json!({ "nbf": null }), Err(AuthError::Invalid), Err(AuthError::Invalid)),
        (json!({ "iat": true }), Err(AuthError::Invalid), Err(AuthError::Invalid)),
    ] {
        assert_eq!(ok(&strict, changes.clone()), at_once, "{changes}");
        assert_eq!(ok(&lenient, changes.clone()), with_leeway, "{changes} with leeway");
    }
    assert_eq!(read(&strict, without("exp"), false), Err(AuthError::Invalid));
    assert!(read(&strict, without("iat"), false).is_ok());
}

/// Bug: tokens with `"jti": null` had one id together, and all ended when one of them was logged out.
#[test]
fn a_token_whose_id_is_null_has_none() {
    let id = |jti: Value| read(&rules(|_| {}), with(json!({ "jti": jti })), false).unwrap().token_id;
    assert_eq!(id(Value::Null), None);
    assert_eq!((id(json!("a")).as_deref(), id(json!("")).as_deref()), (Some("a"), None));
}

/// Bug: a token whose id was a list or a number was let in, against the manual.
#[test]
fn a_claim_of_a_wrong_type_is_no_claim_and_the_token_no_token() {
    for claim in ["jti", "sid", "iss", "sub", "exp", "nbf", "iat"] {
        for bad in [json!(["a"]), json!({ "a": "b" }), json!(true), json!([NOW])] {
            let claims = with(json!({ claim: bad }));
            assert_eq!(read(&rules(|_| {}), claims.clone(), false), Err(AuthError::Invalid), "{claims}");
            assert_eq!(read(&rules(|_| {}), claims.clone(), true), Err(AuthError::Invalid), "{claims}");
        }
    }
    for claim in ["jti", "sid", "iss", "aud", "sub"] {
        let claims = with(json!({ claim: 7 }));
        assert_eq!(read(&rules(|_| {}), claims, false), Err(AuthError::Invalid), "{claim}");
    }
    for bad in [json!({ "them": true }), json!(["them", 7]), json!([["them"]]), json!(null)] {
        assert_eq!(
            read(&rules(|_| {}), with(json!({ "aud": bad })), false),
            Err(AuthError::Invalid),
            "{bad}"
        );
    }
    assert!(read(&rules(|_| {}), with(json!({ "aud": [] })), false).is_ok());
}

/// Bug: a token that said of itself that it is for a refresh opened a socket.
#[test]
fn only_a_token_for_access_opens_anything() {
    let claims = ["type", "typ", "token_type", "tokenType", "token_use", "Token-Use", "TYPE", "purpose"];
    for claim in claims {
        for own in [false, true] {
            let opens = |value: Value| read(&rules(|_| {}), with(json!({ claim: value })), own).is_ok();
            for good in ["access", "Access", "access_token", "Bearer", "JWT", "at+jwt"] {
                assert!(opens(json!(good)) && opens(json!([good])), "{claim}: {good}");
            }
            for bad in [
                json!("refresh"),
                json!("Refresh"),
                json!("id"),
                json!("password_reset"),
                json!("access refresh"),
                json!(""),
                json!([]),
                json!(["access", "refresh"]),
                json!([["access"]]),
                json!({ "access": true }),
                json!(1),
                json!(true),
                json!(null),
            ] {
                assert!(!opens(bad.clone()), "{claim}: {bad}");
            }
        }
    }
    assert!(read(&rules(|_| {}), with(json!({ "events": {} })), false).is_err());
    assert!(read(&rules(|_| {}), with(json!({ "types": "refresh", "kinds": "x" })), false).is_ok());
    let users = rules(|jwt| jwt.access_types = vec!["user".into()]);
    assert!(read(&users, with(json!({ "type": "user" })), false).is_ok());
    assert!(read(&users, with(json!({ "type": "access" })), false).is_err());
}

/// Bug: a token for a refresh that said so under another name, by a flag or by its scope, and an ID token opened a socket.
#[test]
fn no_token_for_a_refresh_or_for_a_login_opens_anything() {
    let opens = |changes: Value| read(&rules(|_| {}), with(changes), false).is_ok();
    for claim in ["use", "kind", "class", "token", "tokenClass", "token-for", "refresh", "Use"] {
        assert!(!opens(json!({ claim: "refresh" })) && opens(json!({ claim: "access" })), "{claim}");
    }
    for bad in [
        json!({ "refresh": true }),
        json!({ "refresh": "true" }),
        json!({ "kind": false }),
        json!({ "grant": "refresh_token" }),
        json!({ "grant_type": "refresh-token" }),
        json!({ "scope": "refresh" }),
        json!({ "scope": "offline_access refresh" }),
        json!({ "scp": ["refresh"] }),
        json!({ "Scopes": ["offline_access"] }),
        json!({ "nonce": "n" }),
        json!({ "at_hash": "h" }),
        json!({ "nonce": "n", "at_hash": "h" }),
        json!({ "c_hash": "h" }),
        json!({ "at_hash": "h", "scope": "refresh" }),
    ] {
        assert!(!opens(bad.clone()), "{bad}");
    }
    for good in [
        json!({ "refresh": false }),
        json!({ "grant": "password" }),
        json!({ "grant_type": "client_credentials" }),
        json!({ "scope": "" }),
        json!({ "scope": "openid offline_access" }),
        json!({ "scp": ["chat", "refresh"] }),
        json!({ "nonce": "n", "typ": "Bearer" }),
        json!({ "nonce": "n", "scope": "openid" }),
        json!({ "at_hash": "h", "client_id": "web" }),
    ] {
        assert!(opens(good.clone()), "{good}");
    }
}

/// What was verified once is asked for its time again each time.
#[test]
fn a_verified_token_still_begins_and_ends() {
    let claims = with(json!({ "nbf": NOW + 10.0 }));
    let Value::Object(claims) = claims else { panic!() };
    let verified = rules(|_| {}).read(&claims, &Key::local(&[7; 32]), false).unwrap();
    assert_eq!(verified.at(NOW), Err(AuthError::Invalid));
    assert!(verified.at(NOW + 10.0).is_ok());
    assert_eq!(verified.at(NOW + 60.0), Err(AuthError::Expired));
}

#[test]
fn issuer_and_audience_are_these_and_no_others() {
    let strict = rules(|jwt| (jwt.issuer, jwt.audience) = ("us".into(), "them".into()));
    for good in [json!({}), json!({ "aud": ["others", "them"] })] {
        assert!(read(&strict, with(good.clone()), false).is_ok(), "{good}");
    }
    for bad in [
        json!({ "iss": "US" }),
        json!({ "iss": "us " }),
        json!({ "iss": ["us"] }),
        json!({ "iss": null }),
        json!({ "aud": "others" }),
        json!({ "aud": "them,others" }),
        json!({ "aud": [] }),
        json!({ "aud": ["others"] }),
        json!({ "aud": [["them"]] }),
        json!({ "aud": { "them": true } }),
        json!({ "aud": null }),
    ] {
        assert_eq!(read(&strict, with(bad.clone()), false), Err(AuthError::Invalid), "{bad}");
    }
    for claim in ["iss", "aud"] {
        assert_eq!(read(&strict, without(claim), false), Err(AuthError::Invalid), "{claim}");
        assert!(read(&rules(|_| {}), without(claim), false).is_ok(), "{claim}");
    }
}

#[test]
fn the_user_is_where_the_settings_say_and_sub_is_always_there() {
    let mail = rules(|jwt| jwt.user_claim = "profile.mail".into());
    let user = |rules: &Rules, claims: Value, own| read(rules, claims, own).map(|p| p.user_id.to_string());
    let claims = with(json!({ "profile": { "mail": "ada@example.com" } }));
    assert_eq!(user(&mail, claims.clone(), false).as_deref(), Ok("ada@example.com"));
    assert_eq!(user(&mail, claims, true).as_deref(), Ok("ada"), "own tokens name their user in sub");
    for bad in [json!({}), json!({ "profile": 7 }), json!({ "profile": { "mail": "a\nb" } })] {
        assert_eq!(user(&mail, with(bad.clone()), false), Err(AuthError::Invalid), "{bad}");
    }
    let dotted = rules(|jwt| jwt.user_claim = "https://us.example/id".into());
    let claims = with(json!({ "https://us.example/id": "ada-2" }));
    assert_eq!(user(&dotted, claims, false).as_deref(), Ok("ada-2"));
    for bad in [json!(""), json!(7), json!(null), json!(["ada"]), json!("x".repeat(129)), json!("a\u{0}b")] {
        assert_eq!(user(&rules(|_| {}), with(json!({ "sub": bad })), true), Err(AuthError::Invalid), "{bad}");
    }
    assert_eq!(user(&mail, without("sub"), false), Err(AuthError::Invalid));
}

#[test]
fn permissions_are_granted_by_name_by_map_or_by_default_and_never_by_accident() {
    let grants = |rules: &Rules, claims: Value| read(rules, claims, false).unwrap().permissions.names();
    let (plain, user) = (rules(|_| {}), ["chat", "threads:read", "threads:write", "runs:cancel"]);
    assert_eq!(grants(&plain, with(json!({}))), user);
    for (claim, granted) in [
        (json!([]), &[][..]),
        (json!(""), &[]),
        (json!(null), &[]),
        (json!(7), &[]),
        (json!({ "chat": true }), &[]),
        (json!(["unknown"]), &[]),
        (json!(["chat", 7, ["threads:read"]]), &["chat"]),
        (json!("chat  threads:read"), &["chat", "threads:read"]),
        (json!("chat,threads:read"), &[]),
        (json!(["admin:read", "admin:*", "chat"]), &["chat"]),
    ] {
        assert_eq!(grants(&plain, with(json!({ "permissions": claim }))), granted, "{claim}");
    }
    let roles = rules(|jwt| {
        jwt.permissions_claim = "realm_access.roles".into();
        jwt.permission_map.insert("reader".into(), vec!["threads:read".into()]);
        jwt.permission_map.insert("boss".into(), vec!["admin:*".into(), "chat".into()]);
        jwt.default_permissions = vec!["chat".into()];
    });
    let having = |roles: Value| with(json!({ "realm_access": { "roles": roles } }));
    assert_eq!(grants(&roles, having(json!(["reader", "nobody"]))), ["threads:read"]);
    assert_eq!(grants(&roles, having(json!(["boss"]))), ["chat"]);
    assert_eq!(
        grants(&roles, having(json!(["threads:write"]))),
        [""; 0],
        "a map leaves no names as they are"
    );
    assert_eq!(grants(&roles, with(json!({ "permissions": ["threads:write"] }))), ["chat"]);
    let admins = rules(|jwt| jwt.external_admin = true);
    assert_eq!(grants(&admins, with(json!({ "permissions": ["admin:read"] }))), ["admin:read"]);
    let own = read(&roles, with(json!({ "permissions": ["admin:read"] })), true).unwrap();
    assert_eq!(own.permissions.names(), ["admin:read"]);
}

#[test]
fn settings_that_grant_what_there_is_not_are_refused() {
    for change in [(|jwt| jwt.default_permissions = vec!["chats".into()]) as fn(&mut JwtConfig), |jwt| {
        drop(jwt.permission_map.insert("boss".into(), vec!["everything".into()]))
    }] {
        let mut jwt = JwtConfig::default();
        change(&mut jwt);
        assert!(matches!(Rules::from_config(&jwt), Err(KeyError::Permission { .. })));
    }
}
