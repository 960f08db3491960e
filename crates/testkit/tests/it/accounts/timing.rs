//! Whether the time of a refused login tells if there is an account: statistics over many of them.

use std::time::{Duration, Instant};

use serde_json::json;
use wireproof_testkit::TestServer;

use super::PASSWORD;

/// Accounts of each kind, and tries with each: few enough that nobody has to wait.
const ACCOUNTS: usize = 12;
const TRIES: usize = 4;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Wrong password, unknown name, disabled account: 48 tries of each, interleaved, each kind as often first as last.
/// Their medians differ by less than a quarter; without a hash for unknown names they would differ twentyfold.
#[tokio::test]
async fn heavy_login_time_tells_nothing_about_the_account() {
    let server = TestServer::start_with(|config| {
        config.http.trusted_proxies = vec!["127.0.0.1".to_owned()];
        // The administrator makes many accounts.
        config.limits.messages_per_minute = 0;
    })
    .await;
    for n in 0..ACCOUNTS {
        server.account(&format!("known{n}"), PASSWORD).await;
        server.account(&format!("gone{n}"), PASSWORD).await;
        let gone = format!("/api/admin/users/gone{n}");
        assert_eq!(server.admin().patch(&gone, json!({ "disabled": true })).await.status, 200);
    }
    let kinds = [("known", "wrong password"), ("nobody", PASSWORD), ("gone", PASSWORD)];
    let mut times = [const { Vec::new() }; 3];
    for round in 0..ACCOUNTS * TRIES {
        for turn in 0..kinds.len() {
            let kind = (round + turn) % kinds.len();
            let (name, password) = kinds[kind];
            let address = format!("10.{kind}.{round}.1");
            let rest = server.rest().header("x-forwarded-for", address);
            let body = json!({ "user_id": format!("{name}{}", round % ACCOUNTS), "password": password });
            let since = Instant::now();
            let reply = rest.post("/auth/login", body).await;
            times[kind].push(since.elapsed());
            assert_eq!(reply.status, 401, "{}", reply.body);
        }
    }
    let medians = times.map(median);
    let (least, most) = (medians.iter().min().unwrap(), medians.iter().max().unwrap());
    println!("medians: wrong password, unknown name, disabled account: {medians:?}");
    assert!(*most - *least < *least / 4, "{medians:?}");
}
