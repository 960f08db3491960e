//! The attack table: every row is refused before any event, with its documented answer, and costs the victim nothing.

use std::{collections::HashSet, sync::Arc};

use wireproof_testkit::event;

mod credentials;
mod doors;
mod row;
mod site;
mod strangers;
mod tokens;

use row::{Row, Saw, WAYS, by_way};
use site::Site;

fn table() -> Vec<Row> {
    [tokens::rows(), doors::rows(), strangers::rows(), credentials::rows()].into_iter().flatten().collect()
}

#[test]
fn the_table_has_sixty_rows_and_each_its_own_name() {
    let table = table();
    let names: HashSet<_> = table.iter().map(|row| row.name).collect();
    assert!(table.len() >= 60 && names.len() == table.len(), "{} rows, {} names", table.len(), names.len());
}

/// What the rows say is refused is let in when the credentials are good: a row that could not fail would prove nothing.
#[tokio::test]
async fn good_credentials_get_in_by_every_way() {
    let site = Site::build().await;
    for way in WAYS {
        let own = [site.good("victim"), site.signed(serde_json::json!({}))];
        for token in own.into_iter().chain(site.foreign("victim")) {
            let saw = by_way(&site, way, &token).await;
            assert!(
                matches!(&saw, Saw::In(text) if text.contains("connection_established")),
                "{way}: {saw:?}"
            );
            assert_eq!(site.server.rest().token(&token).get("/api/threads").await.status, 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attack_gets_its_documented_answer_and_nothing_else() {
    let site = Arc::new(Site::build().await);
    let (mut tries, mut wrong) = (0, Vec::new());
    for row in table() {
        for tried in (row.act)(site.clone()).await {
            tries += 1;
            if tried.saw != tried.wanted {
                wrong.push(format!(
                    "{} by {}: wanted {:?}, saw {:?}",
                    row.name, tried.way, tried.wanted, tried.saw
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {tries} tries:\n{}", wrong.len(), wrong.join("\n"));
    untouched(&site).await;
}

/// The victim's run goes on, the thread is as it was, and no event came that the victim did not ask for.
async fn untouched(site: &Site) {
    let run = site.victim.get(&format!("/api/runs/{}", site.run_id)).await;
    assert_eq!((run.status, &run.json["outcome"]), (200, &serde_json::Value::Null), "{}", run.body);
    let thread = site.victim.get(&format!("/api/threads/{}", site.thread_id)).await;
    assert_eq!((thread.status, thread.json["message_count"].as_u64()), (200, Some(1)), "{}", thread.body);
    site.device.expect_none(event("thread_deleted")).await;
    site.device.expect_none(event("thread_updated").field("title", "mine")).await;
    site.device.expect_none(event("agent_completed").field("run_id", site.run_id.as_str())).await;
    site.device.assert_exactly_once();
    let events = site.device.events();
    assert!(events.iter().all(|event| event.user_id.as_str() == "victim"));
}
