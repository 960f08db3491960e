//! A server with an agent of your own: it says louder what it was told.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use wireproof_agents::{Agent, AgentError, Answer, Emission, RunContext};
use wireproof_server::{Config, Server, StartError};

struct Louder;

impl Agent for Louder {
    fn name(&self) -> &str {
        "louder"
    }

    fn run(&self, context: RunContext) -> BoxFuture<'static, Result<Answer, AgentError>> {
        Box::pin(async move {
            context.emit(Emission::Thinking { reasoning: "Capital letters will do.".to_owned() }).await?;
            let answer = context.content().to_uppercase();
            context.emit(Emission::MessageDelta { delta: answer.clone() }).await?;
            Ok(Answer::new(answer))
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), StartError> {
    let config = Config { data_dir: "data".into(), ..Config::default() };
    let server = Server::start_with(config, vec![Arc::new(Louder)]).await?;
    eprintln!("ready ws://{}/ws", server.address());
    // Until `wireproof admin drain`, or the death of a part.
    server.requested().await;
    server.shutdown().await;
    Ok(())
}
