//! The kit inside of a program that is no Rust test: on a runtime of the program's, by names and settings that are made at
//! run time, and with errors in place of panics.

use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use wireproof_testkit::{TestServer, event, frame};

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn a_server_on_a_given_runtime_is_stopped_and_started_in_place() {
    let (programs, callers) = (runtime(), runtime());
    callers.block_on(async {
        let builder = TestServer::builder().runtime(programs.handle().clone());
        let builder = builder.settings("[limits]\nqueued_runs = 3").unwrap();
        let mut server = builder.setting("limits.concurrent_runs", 2).unwrap().try_start().await.unwrap();
        assert_eq!((server.config().limits.queued_runs, server.config().limits.concurrent_runs), (3, 2));
        let user = server.try_user("ada").unwrap();
        let mut ada = user.try_connect(user.connection()).await.unwrap();
        let asked =
            ada.try_request_run(json!({ "type": "chat", "content": "What is 17*23?" })).await.unwrap();
        let run = ada.try_expect_run_completed(asked.run_id).await.unwrap();
        assert!(run.final_response().is_some_and(|answer| answer.contains("391")));

        server.shutdown().await;
        assert_eq!((server.connections(), server.runs()), (0, 0));
        assert_eq!(ada.try_expect_closed().await.unwrap().code, Some(1012));
        server.try_restart().await.unwrap();
        let position = ada.position();
        ada.try_resume_at(position).await.unwrap();
        ada.exactly_once().unwrap();
        assert_eq!(ada.try_state().unwrap().runs.len(), 1);
    });
}

#[tokio::test]
async fn what_cannot_be_is_an_error_and_no_panic() {
    let unknown = TestServer::builder().setting("limits.queue_runs", 3);
    assert!(unknown.is_err_and(|error| error.to_string().contains("limits.queue_runs")));
    assert!(TestServer::builder().settings("limits = 3").is_err());
    let mut server = TestServer::start().await;
    assert!(server.try_kill().await.unwrap_err().to_string().contains("`apart`"));
    assert!(server.try_user("a user\n").is_err());
    let user = server.user("ada");
    assert!(user.try_connect(server.connect().token("not a token")).await.is_err());

    let ada = user.connect().await;
    let kind = String::from("thread_created");
    ada.send(json!({ "type": "create_thread", "title": "plans" })).await;
    ada.try_expect(event(kind.clone()), wireproof_testkit::DEADLINE).await.unwrap();
    ada.send(json!({ "type": "create_thread", "title": "more plans" })).await;
    let unwanted = ada.try_expect_none(frame(kind)).await.unwrap_err().to_string();
    assert!(unwanted.contains("more plans"), "{unwanted}");
    let refused = ada.try_request_run(json!({ "type": "chat" })).await.unwrap_err().to_string();
    assert!(refused.contains("no run was accepted") && refused.contains("error"), "{refused}");
    ada.try_close(1000).await.unwrap();
    assert!(ada.try_send_raw("{}").await.unwrap_err().to_string().contains("the connection is over"));
    assert!(ada.try_barrier().await.is_err());
}
