//! One HTTP request over a connection of its own, byte for byte as a test wants it.

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::process::WITHIN;

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Sends `first` (`GET /path`) with these header lines and this body.
pub(crate) async fn request(address: &str, first: &str, headers: &[&str], body: &str) -> Result<Answer> {
    exchange(address, address, first, headers, body).await
}

/// The same, addressed to another host than the one that is connected to.
pub(crate) async fn request_of_host(address: &str, host: &str, first: &str) -> Result<Answer> {
    exchange(address, host, first, &[], "").await
}

async fn exchange(address: &str, host: &str, first: &str, headers: &[&str], body: &str) -> Result<Answer> {
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let text = format!(
        "{first} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(text.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = String::from_utf8(timeout(WITHIN, exchange).await.context("no answer in time")??)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer has a head")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("a status")?;
    Ok(Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
}
