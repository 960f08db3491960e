//! What the idle fault proxy adds: round trips with and without it in turn, and messages a second through it. Proxy and
//! peer are processes on the server's core.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use wireproof_faultproxy::FaultProxy;

use super::{Rows, histogram, ms};

const ROUNDS: usize = 20_000;
/// How long messages are sent for one figure.
const SENDING: Duration = Duration::from_secs(2);
/// No read takes longer.
const PATIENCE: Duration = Duration::from_secs(20);
/// A masked text frame of 128 bytes.
const FRAME: usize = 4 + 4 + 128;
const PEER: &str = "proxy-peer";
const PROXY: &str = "proxy-serve";

/// Round trips direct and through the proxy, one after the other; then messages a second.
pub fn proxy() -> Result<Rows> {
    let peer = Process::start(PEER, &[])?;
    let proxy = Process::start(PROXY, &[&peer.address])?;
    let (mut direct, mut through) = (connect(&peer.address, "/echo")?, connect(&proxy.address, "/echo")?);
    let (mut of_direct, mut of_through) = (histogram()?, histogram()?);
    for round in 0..ROUNDS + 500 {
        // In turn, and each first as often as the other.
        let (first, second) =
            if round % 2 == 0 { (&mut direct, &mut through) } else { (&mut through, &mut direct) };
        let (first, second) = (round_trip(first)?, round_trip(second)?);
        let (alone, proxied) = if round % 2 == 0 { (first, second) } else { (second, first) };
        // The first ones warm up.
        if round >= 500 {
            of_direct.record(alone)?;
            of_through.record(proxied)?;
        }
    }
    let added = |quantile| ms(&of_through, quantile) - ms(&of_direct, quantile);
    let latency = BTreeMap::from([
        ("direct_p50_ms", ms(&of_direct, 0.5)),
        ("direct_p99_ms", ms(&of_direct, 0.99)),
        ("through_p50_ms", ms(&of_through, 0.5)),
        ("through_p99_ms", ms(&of_through, 0.99)),
        ("added_p50_ms", added(0.5)),
        ("added_p99_ms", added(0.99)),
    ]);
    let messages = BTreeMap::from([
        ("direct_per_s", send(&peer.address, 1)?),
        ("through_per_s", send(&proxy.address, 1)?),
        ("direct_64_a_write_per_s", send(&peer.address, 64)?),
        ("through_64_a_write_per_s", send(&proxy.address, 64)?),
    ]);
    Ok(vec![("proxy-latency", latency), ("proxy-messages", messages)])
}

/// Microseconds from sending a frame to having it back.
fn round_trip(stream: &mut TcpStream) -> Result<u64> {
    let (frame, mut back) = (frame(), [0; FRAME]);
    let began = Instant::now();
    stream.write_all(&frame)?;
    stream.read_exact(&mut back)?;
    Ok(super::micros(began.elapsed()))
}

/// Messages a second that arrive, so many in a write.
fn send(address: &str, together: usize) -> Result<f64> {
    let mut stream = connect(address, "/sink")?;
    let piece = frame().repeat(together);
    let (began, mut sent) = (Instant::now(), 0);
    while began.elapsed() < SENDING {
        stream.write_all(&piece)?;
        sent += together;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut counted = String::new();
    stream.read_to_string(&mut counted)?;
    let took = began.elapsed();
    ensure!(counted.parse() == Ok(sent * FRAME), "{counted} bytes came of {}", sent * FRAME);
    Ok(sent as f64 / took.as_secs_f64())
}

fn frame() -> [u8; FRAME] {
    let mut frame = [b'x'; FRAME];
    frame[..8].copy_from_slice(&[0x81, 0x80 | 126, 0, 128, 0, 0, 0, 0]);
    frame
}

fn connect(address: &str, path: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\n\r\n")?;
    read_head(&mut stream)?;
    Ok(stream)
}

/// The head of a request or an answer, byte for byte.
fn read_head(stream: &mut TcpStream) -> Result<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8(head)?)
}

/// `wireproof-bench proxy-peer`: sends back what it gets, or counts it and tells at the end.
pub fn peer() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        thread::spawn(move || serve(&mut stream));
    }
}

fn serve(stream: &mut TcpStream) -> Result<()> {
    let echoes = read_head(stream)?.starts_with("GET /echo");
    stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")?;
    let (mut piece, mut count) = (vec![0; 64 << 10], 0);
    loop {
        match stream.read(&mut piece)? {
            0 => break,
            length if echoes => stream.write_all(&piece[..length])?,
            length => count += length,
        }
    }
    Ok(write!(stream, "{count}")?)
}

/// `wireproof-bench proxy-serve UPSTREAM`: an idle proxy, until it is killed.
pub async fn serve_proxy(arguments: &[String]) -> Result<()> {
    let [upstream] = arguments else { bail!("proxy-serve takes the address of a server") };
    let proxy = FaultProxy::start(upstream.parse()?, 1).await?;
    println!("{}", proxy.address());
    std::future::pending().await
}

/// A process of this program on the server's core; killed when it is dropped.
struct Process {
    child: Child,
    address: String,
}

impl Process {
    fn start(name: &str, arguments: &[&str]) -> Result<Self> {
        let core = std::env::var("WIREPROOF_SERVER_CORE").unwrap_or_else(|_| "0".to_owned());
        let mut command = Command::new("taskset");
        command.args(["-c", &core]).arg(std::env::current_exe()?).arg(name).args(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("its output is piped")?).read_line(&mut line)?;
        ensure!(!line.is_empty(), "{name} ended before it said where it listens");
        Ok(Self { child, address: line.trim_end().to_owned() })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, and then has said why.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
