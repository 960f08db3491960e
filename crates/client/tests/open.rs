//! What a client says when nobody answers as a wireproof server would: real sockets, no server behind them.

use std::{io, net::Ipv4Addr, time::Duration};

use tokio::net::TcpListener;
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
