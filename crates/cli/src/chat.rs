//! `wireproof chat`: a conversation with an agent from the terminal, over a connection that comes back by itself.

mod input;
mod repl;

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use wireproof_client::{Backoff, Client, Connect, Trust};
use wireproof_protocol::{Address, ThreadId};

use crate::{
    address::{self, Read},
    runtime,
    token::parse_seconds,
    transcript::DIM,
};
use input::{Input, Line};
use repl::Repl;

/// The arguments of `wireproof chat`; what it does is said where the commands are listed.
#[derive(Args)]
#[command(after_help = "Examples:
  TOKEN=$(wireproof token --user ada --data-dir ./data)
  wireproof chat --token \"$TOKEN\" \"What is 17*23?\"
  wireproof chat --token \"$TOKEN\" --url wss://chat.example.com --thread notes < questions.txt

Exit codes: 0 answered, 1 a run failed, 2 an argument cannot be used, 3 no server can be reached, 4 it refused.")]
pub(crate) struct Chat {
    /// The server's socket; at /ws when the address has no path.
    #[arg(long, env = "WIREPROOF_URL", default_value = "ws://127.0.0.1:8787/ws", value_parser = Read(address::socket))]
    url: Address,
    /// Who you are: a token as `wireproof token` prints it.
    #[arg(long, env = "WIREPROOF_TOKEN", hide_env_values = true, value_parser = address::TokenArgument)]
    token: String,
    /// A PEM file with more certificates to trust, for a server with one of its own.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Talk in this thread, which is created when it does not exist; in a new one when absent.
    #[arg(long, value_name = "NAME")]
    thread: Option<ThreadId>,
    /// Show each frame as it was on the wire, one a line.
    #[arg(long)]
    json: bool,
    /// How long the server may take to let this client in, and to take a message; its run may take longer.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    timeout: Duration,
    /// Say this, show the answer, and end.
    text: Option<String>,
}

impl Chat {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        runtime::run(self.talk())
    }

    async fn talk(self) -> anyhow::Result<()> {
        let mut connect = Connect::to(self.url.to_string()).token(&self.token).within(self.timeout);
        if let Some(ca) = &self.ca {
            connect = connect.trust(Trust::with_pem_file(ca).context("reading --ca")?);
        }
        let client = Client::connect(connect, Backoff::default()).await?;
        let mut talk = Repl::new(client, self.thread, self.json, self.timeout)?;
        match self.text {
            Some(text) => {
                talk.say(&text).await?;
                talk.listen_to_the_end().await?;
            }
            None => interactive(&mut talk).await?,
        }
        talk.end().await
    }
}

/// Takes lines while it shows what happens; the end of the input still waits for the answers.
async fn interactive(talk: &mut Repl) -> anyhow::Result<()> {
    let mut input = Input::new();
    let somebody_types = io::stdin().is_terminal();
    if somebody_types {
        talk.remark(&format!("{DIM}type a message; /cancel stops a run, Ctrl-D ends{DIM:#}"))?;
    }
    while let Some(line) = next_line(&mut input, talk).await? {
        match line {
            Line::Unfit(why) => talk.refuse(why),
            Line::Text(line) => match line.trim() {
                "" => {}
                "/cancel" => talk.cancel().await?,
                text => talk.say(text).await?,
            },
        }
        if !somebody_types {
            // A script's lines are a conversation: each waits for the answer to the one before.
            talk.listen_to_the_end().await?;
        }
    }
    talk.listen_to_the_end().await
}

async fn next_line(input: &mut Input, talk: &mut Repl) -> anyhow::Result<Option<Line>> {
    loop {
        talk.tell_refusal()?;
        tokio::select! {
            line = input.next() => return line.context("reading stdin"),
            heard = talk.listen() => heard?,
        }
    }
}
