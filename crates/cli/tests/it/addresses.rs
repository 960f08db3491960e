//! Addresses and tokens that cannot be used: exit 2 before a byte is sent, with what is wrong and what to write.

use std::{net::TcpListener, time::Duration};

use anyhow::{Result, ensure};
use tempfile::tempdir;

use crate::process::{Server, finish, run, token, wireproof};

/// Addresses that are none, with a word of the reason; PORT is that of a listener which must not be reached.
const WRONG: [(&str, &str); 10] = [
    ("127.0.0.1:99999", "99999"),
    ("127.0.0.1:0", "from 1 to 65535"),
    ("127.0.0.1:", "port is missing"),
    ("127.0.0.1:+PORT", "from 1 to 65535"),
    ("127.0.0.1:PORT ", "a space"),
    ("127.0.0.1 :PORT", "a space"),
    ("ada:hunter2@127.0.0.1:PORT", "credentials"),
    ("::1:PORT", "brackets"),
    // Bug: it passed, no lookup found it, and the command ended with 3.
    ("[::1%25lo]:PORT", "zone"),
    (":PORT", "no host"),
];

fn commands(scheme: &str, at: &str, path: &str) -> Vec<Vec<String>> {
    let socket = format!("{scheme}://{at}{path}");
    let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    vec![
        text(&["chat", "--url", &socket, "--token", "a.b.c", "hi"]),
        text(&["load", "--url", &socket, "--token", "a.b.c", "-c", "1", "-d", "1s"]),
        text(&["check", &socket]),
        text(&["proxy", "--upstream", &socket]),
    ]
}

/// `chat` and `check` left out a port that is none and went to port 80, with the token.
#[tokio::test]
async fn an_address_that_is_none_ends_with_2_before_a_byte_is_sent() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port().to_string();
    for (at, why) in WRONG {
        let at = at.replace("PORT", &port);
        let mut tried = commands("ws", &at, "/ws");
        tried.push(["admin", "--url", &format!("http://{at}"), "connections"].map(str::to_owned).to_vec());
        for arguments in tried {
            let mut command = wireproof(&arguments);
            command.env("WIREPROOF_TOKEN", "a.b.c");
            let ended = finish(command).await?;
            ensure!(ended.code == Some(2), "{arguments:?}: {:?} {}", ended.code, ended.stderr);
            ensure!(ended.stderr.contains(why), "{arguments:?}: {why:?} is missing in {}", ended.stderr);
            ensure!(!ended.stderr.contains("hunter2"), "a password is shown: {}", ended.stderr);
        }
    }
    ensure!(listener.accept().is_err(), "somebody came");
    Ok(())
}

/// `admin --url HTTPS://…` was asked without encryption; schemes count in any case, and no others do.
#[tokio::test]
async fn a_scheme_counts_in_any_case_and_an_unknown_one_ends_with_2() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?.to_string();
    let first_byte = std::thread::spawn(move || -> std::io::Result<u8> {
        let (mut stream, _) = listener.accept()?;
        let mut byte = [0];
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        std::io::Read::read_exact(&mut stream, &mut byte)?;
        Ok(byte[0])
    });
    let mut command = wireproof(["admin", "--url", &format!("HTTPS://{at}"), "connections"]);
    command.env("WIREPROOF_TOKEN", "a.b.c");
    let ended = finish(command).await?;
    ensure!(ended.code == Some(3), "{:?} {}", ended.code, ended.stderr);
    let first = first_byte.join().map_err(|_| anyhow::anyhow!("the listener failed"))??;
    ensure!(first == 0x16, "no TLS handshake, but {first:#x}");

    for url in
        ["ftp://127.0.0.1:1", "ws://127.0.0.1:1", "127.0.0.1:1", "http//127.0.0.1:1", "http://127.0.0.1:1/x"]
    {
        let mut command = wireproof(["admin", "--url", url, "connections"]);
        command.env("WIREPROOF_TOKEN", "a.b.c");
        let ended = finish(command).await?;
        ensure!(ended.code == Some(2) && ended.stderr.contains("next: "), "{url}: {}", ended.stderr);
    }
    for arguments in commands("ftp", "127.0.0.1:1", "/ws") {
        let ended = run(&arguments).await?;
        ensure!(ended.code == Some(2) && ended.stderr.contains("ws"), "{arguments:?}: {}", ended.stderr);
    }
    Ok(())
}

/// The socket's path had to be written out, also where the manual gave host and port alone.
#[tokio::test]
async fn a_missing_path_leads_to_the_socket_and_loopback_has_short_names() -> Result<()> {
    let folder = tempdir()?;
    for listen in ["localhost:0", ":0"] {
        let mut command = wireproof(["serve", "--listen", listen, "--data-dir"]);
        command.arg(folder.path());
        let server = Server::launch(command).await?;
        ensure!(server.address().starts_with("127.0.0.1:"), "{listen}: {}", server.url);
        let token = token(folder.path(), "ada").await?;
        for url in [format!("WS://{}", server.address()), format!("ws://{}/", server.address())] {
            let mut command = wireproof(["chat", "What is 2+2?"]);
            command.env("WIREPROOF_URL", &url).env("WIREPROOF_TOKEN", &token);
            let ended = finish(command).await?;
            ensure!(ended.code == Some(0), "{url}: {}", ended.stderr);
        }
        server.kill().await?;
    }
    for (listen, why) in [
        ("127.0.0.1:70000", "65535"),
        ("127.0.0.1", "no port"),
        ("::1:80", "brackets"),
        ("*:80", "0.0.0.0:8787"),
    ] {
        let proxied = ["proxy", "--upstream", "127.0.0.1:1", "--listen", listen];
        let controlled = ["proxy", "--upstream", "127.0.0.1:1", "--control", listen];
        for arguments in [&["serve", "--listen", listen][..], &proxied, &controlled] {
            let ended = run(arguments).await?;
            ensure!(ended.code == Some(2) && ended.stderr.contains(why), "{arguments:?}: {}", ended.stderr);
        }
        let mut command = wireproof(["serve", "--data-dir"]);
        command.arg(folder.path()).env("WIREPROOF_LISTEN", listen);
        let ended = finish(command).await?;
        ensure!(ended.code == Some(2) && ended.stderr.contains(why), "{listen}: {}", ended.stderr);
    }
    Ok(())
}

/// A token with a carriage return at its end was answered with advice about addresses.
#[tokio::test]
async fn what_is_wrong_with_a_token_is_said_by_every_command_that_takes_one() -> Result<()> {
    let folder = tempdir()?;
    let tokens = folder.path().join("tokens");
    let tokens = tokens.to_str().unwrap_or_default();
    for (token, why) in [
        ("a.b.c\r", "carriage return"),
        ("a.b.c\n", "line break"),
        ("\"a.b.c\"", "quotes"),
        ("\u{feff}a.b.c", "byte order mark"),
        ("a b", "space"),
        ("Bearer a.b.c", "Bearer"),
        ("", "token"),
    ] {
        let mut tried: Vec<_> = [
            vec!["chat", "--url", "ws://127.0.0.1:1", "hi"],
            vec!["load", "--url", "ws://127.0.0.1:1", "-c", "1"],
            vec!["admin", "--url", "http://127.0.0.1:1", "connections"],
        ]
        .map(|arguments| {
            let mut command = wireproof(arguments);
            command.env("WIREPROOF_TOKEN", token);
            command
        })
        .into();
        tried.push(wireproof(["chat", "--url", "ws://127.0.0.1:1", "--token", token, "hi"]));
        // Lines of a file are cut at their ends.
        if !token.trim().is_empty() && token.trim() == token {
            std::fs::write(tokens, format!("ada {token}\n"))?;
            tried.push(wireproof(["check", "ws://127.0.0.1:1", "--token-file", tokens]));
        }
        for command in tried {
            let shown = format!("{:?}", command.as_std());
            let ended = finish(command).await?;
            ensure!(ended.code == Some(2), "{shown}: {:?} {}", ended.code, ended.stderr);
            ensure!(ended.stderr.contains(why), "{shown}: {why:?} is missing in {}", ended.stderr);
            ensure!(!ended.stderr.contains("an address looks like"), "{shown}: {}", ended.stderr);
        }
    }
    Ok(())
}
