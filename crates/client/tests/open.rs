//! What a client says when nobody answers as a wireproof server would: real sockets, no server behind them.

use std::{io, net::Ipv4Addr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use wireproof_client::{Connect, OpenError};

async fn listener() -> io::Result<(TcpListener, String)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("ws://{}/ws", listener.local_addr()?);
    Ok((listener, url))
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let (listener, url) = listener().await.unwrap();
    drop(listener);
    let error = Connect::to(&url).open().await.unwrap_err();
    assert!(matches!(error, OpenError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("cannot reach 127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn silence_ends_with_the_deadline() {
    let (_listener, url) = listener().await.unwrap();
    let error = Connect::to(&url).within(Duration::from_millis(50)).open().await.unwrap_err();
    assert!(matches!(error, OpenError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn a_socket_that_closes_at_once_is_no_welcome() {
    let (listener, url) = listener().await.unwrap();
    let opening = Connect::to(&url);
    let (accepted, opened) =
        tokio::join!(async { listener.accept().await.map(drop) }, opening.open_welcomed());
    accepted.unwrap();
    let error = opened.unwrap_err();
    assert!(matches!(error, OpenError::Ended { .. } | OpenError::NotUnderstood { .. }), "{error}");
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_before_any_packet() {
    for (url, word) in [("http://localhost/ws", "ws://"), ("here", "ws://")] {
        let error = Connect::to(url).open().await.unwrap_err();
        assert!(matches!(error, OpenError::Url { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[cfg(not(feature = "tls"))]
#[tokio::test]
async fn an_encrypted_address_is_refused_where_tls_is_not_built_in() {
    let error = Connect::to("wss://localhost/ws").open().await.unwrap_err();
    assert!(matches!(error, OpenError::Url { .. }) && error.to_string().contains("TLS"), "{error}");
}

/// A peer that answers one handshake with these headers beside the proof, and with 101.
async fn selecting(headers: &'static str) -> io::Result<String> {
    let (listener, url) = listener().await?;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await? > 0 {}
        let request = String::from_utf8_lossy(&request).into_owned();
        let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
        let proof = derive_accept_key(key.unwrap_or_default().as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Yes\r\nUpgrade: WebSocket\r\nSec-WebSocket-Accept: {proof}\r\n{headers}\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).await?;
        // Until the client hangs up.
        stream.read_buf(&mut Vec::new()).await
    });
    Ok(url)
}

/// A server that selected none of the subprotocols was refused, though RFC 6455 leaves that to the server; so was one whose
/// `Connection` has more words than one.
#[tokio::test]
async fn a_server_may_select_no_subprotocol_and_none_that_was_not_offered() {
    let offer = |url: String| Connect::to(url).header("sec-websocket-protocol", "one, two");
    for taken in ["Connection: Upgrade", "Connection: keep-alive, upgrade\r\nSec-WebSocket-Protocol: two"] {
        let opened = offer(selecting(taken).await.unwrap()).open().await;
        assert!(opened.is_ok(), "{taken}: {opened:?}");
    }
    for (refused, word) in [
        ("Connection: Upgrade\r\nSec-WebSocket-Protocol: three", "\"three\""),
        ("Connection: Upgrade\r\nSec-WebSocket-Extensions: permessage-deflate", "permessage-deflate"),
        ("Connection: close", "connection"),
    ] {
        let error = offer(selecting(refused).await.unwrap()).open().await.unwrap_err();
        assert!(matches!(error, OpenError::NotUnderstood { .. }), "{refused}: {error}");
        assert!(error.to_string().contains(word), "{refused}: {error}");
    }
    let unoffered = selecting("Connection: Upgrade\r\nSec-WebSocket-Protocol: three").await.unwrap();
    assert!(offer(unoffered).any_subprotocol().open().await.is_ok());
}
