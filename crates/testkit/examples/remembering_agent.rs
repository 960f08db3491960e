//! An agent that says what it was told before in its thread, asked twice in a real server.

use futures_util::future::BoxFuture;
use wireproof_agents::{Agent, AgentError, Answer, Emission, Role, RunContext, Usage};
use wireproof_testkit::TestServer;

struct Remembering;

impl Agent for Remembering {
    fn name(&self) -> &str {
        "remembering"
    }

    fn run(&self, context: RunContext) -> BoxFuture<'static, Result<Answer, AgentError>> {
        Box::pin(async move {
            let history = context.history(20).await?;
            // The last one is the message that this run answers.
            let earlier = history.iter().rev().skip(1).find(|message| message.role == Role::User);
            let answer = match earlier {
                Some(message) => format!("Before this you said: {}", message.content),
                None => "You have said nothing before this.".to_owned(),
            };
            for word in answer.split_inclusive(' ') {
                context.emit(Emission::MessageDelta { delta: word.to_owned() }).await?;
                context.add_usage(Usage { output_tokens: 1, total_tokens: 1, ..Usage::default() });
            }
            Ok(Answer::new(answer))
        })
    }
}

/// Asks it twice in one thread.
#[tokio::main(flavor = "current_thread")]
pub async fn main() {
    let server = TestServer::builder().agent(Remembering).start().await;
    let ada = server.user("ada").connect().await;
    let first = ada.chat_with("remembering", "My boat is blue.").await;
    ada.expect_run_completed(first.run_id).await;
    let second = ada.chat_in(&first.thread_id, "remembering", "What did I say?").await;
    let run = ada.expect_run_completed(second.run_id).await;
    assert_eq!(run.final_response(), Some("Before this you said: My boat is blue."));
}
