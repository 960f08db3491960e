//! The deletion: a user deletes a thread of a gigabyte; what others' writes wait meanwhile, and whether the file shrinks.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Rows, histogram, micros, ms};
use crate::{
    server::{Kind, LIFTED, Process},
    wire::{Wire, contains},
};

/// Messages of the thread, and bytes of each: a gigabyte.
const MESSAGES: usize = 1024;
const BYTES: usize = 1 << 20;
const MEASURED: Duration = Duration::from_secs(6);
/// How long the file may take to become small.
const PATIENCE: Duration = Duration::from_secs(60);
/// A file of which no more is left than this has given the thread's space back.
const SMALL: u64 = 256 << 20;
const WRITE: &str = r#"{"type":"create_thread"}"#;

/// Another user's writes before the deletion, and from its request on until the file is small, or for some seconds.
pub async fn deletion() -> Result<Rows> {
    let settings = format!(
        "{LIFTED}message_bytes = 2000000\nmessage_hard_bytes = 2000000\nqueued_runs = 0\n\
         queue_hard_bytes = 1000000000\n[quota]\nbytes_per_user = 0\n\
         threads_per_user = 0\n[retention]\nbytes_per_user = 1000000\nevery_seconds = 1.0\n"
    );
    let server = Process::start_with(Kind::Probe, &settings).await?;
    let thread_id = fill(&server).await?;
    let mut other = Wire::connect(&server.address, &server.token("other")?, "", 1).await?;
    writes(&mut other, MEASURED, || false).await?;
    let without = writes(&mut other, MEASURED, || false).await?;
    let before = store_bytes(&server)?;
    let began = Instant::now();
    let answered = tokio::spawn(delete(server.address.clone(), server.token("ada")?, thread_id, began));
    let small = || store_bytes(&server).is_ok_and(|bytes| bytes < SMALL);
    let with = writes(&mut other, PATIENCE, small).await?;
    let gone_s = began.elapsed().as_secs_f64();
    let answered = answered.await??;
    let after = store_bytes(&server)?;
    let metrics = BTreeMap::from([
        ("write_p50_ms_without", ms(&without, 0.5)),
        ("write_p99_ms_without", ms(&without, 0.99)),
        ("write_p50_ms_with", ms(&with, 0.5)),
        ("write_p99_ms_with", ms(&with, 0.99)),
        ("write_max_ms_with", with.max() as f64 / 1e3),
        ("delete_answered_ms", answered.as_secs_f64() * 1e3),
        ("space_back_s", gone_s),
        ("file_mb_before", before as f64 / 1e6),
        ("file_mb_after", after as f64 / 1e6),
    ]);
    Ok(vec![("deletion", metrics)])
}

/// Makes the thread that is deleted; returns its id.
async fn fill(server: &Process) -> Result<String> {
    let mut wire = Wire::connect(&server.address, &server.token("ada")?, "", 0).await?;
    wire.send(r#"{"type":"create_thread","id":"t"}"#).await?;
    let (_, created) = wire.until(b"\"thread_created\"").await?;
    let created: serde_json::Value = serde_json::from_slice(&created)?;
    let thread_id = created["thread_id"].as_str().context("a thread has an id")?.to_owned();
    let text = "x".repeat(BYTES);
    let chat = format!(r#"{{"type":"chat","thread_id":"{thread_id}","content":"burst 0 {text}"}}"#);
    for _ in 0..MESSAGES {
        wire.send(&chat).await?;
        // The message comes back, and is long: whatever is short is looked into.
        while !contains(&short(wire.frame().await?), b"\"agent_completed\"") {}
    }
    Ok(thread_id)
}

/// A frame, or nothing in the place of a long one.
fn short(frame: Vec<u8>) -> Vec<u8> {
    if frame.len() < 4096 { frame } else { Vec::new() }
}

/// Writes one after the other, each until it is answered, every few milliseconds.
async fn writes(wire: &mut Wire, time: Duration, over: impl Fn() -> bool) -> Result<Histogram<u64>> {
    let (mut times, began) = (histogram()?, Instant::now());
    while began.elapsed() < time && !over() {
        let asked = Instant::now();
        wire.send(WRITE).await?;
        wire.until(b"\"thread_created\"").await?;
        times.record(micros(asked.elapsed()))?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(times)
}

/// Deletes over HTTP, which brings no event along; returns how long the answer took.
async fn delete(address: String, token: String, thread_id: String, began: Instant) -> Result<Duration> {
    let mut stream = tokio::net::TcpStream::connect(&address).await?;
    let request = format!(
        "DELETE /api/threads/{thread_id} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let head = String::from_utf8_lossy(&answer);
    ensure!(head.starts_with("HTTP/1.1 204"), "the thread was not deleted: {head}");
    Ok(began.elapsed())
}

/// What the store's file takes.
fn store_bytes(server: &Process) -> Result<u64> {
    Ok(std::fs::metadata(server.folder().join("data/wireproof.db"))?.len())
}
