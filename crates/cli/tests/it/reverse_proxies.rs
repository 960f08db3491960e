//! The snippets of docs/operations.md for nginx and Caddy, run as they stand: only addresses and files are the test's own.

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use anyhow::{Context, Result, ensure};
use futures_util::{SinkExt, StreamExt};
use tempfile::{TempDir, tempdir};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    process::Command,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer},
};
use tokio_tungstenite::{
    client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::{
    foreign_servers::process::Foreign,
    process::{Server, WITHIN, finish, serve, token, wireproof},
};

const NAME: &str = "chat.example.com";
/// Where the client comes from: another address than the proxy's, on the same machine.
const CLIENT: &str = "127.0.0.2:0";

/// The block of the section in this language.
fn snippet(language: &str) -> Result<String> {
    let page = include_str!("../../../../docs/operations.md");
    let section = page.split_once("### Behind nginx or Caddy").context("the page has no such section")?.1;
    let block = section.split_once(&format!("```{language}\n")).and_then(|(_, rest)| rest.split_once("```"));
    Ok(block.with_context(|| format!("the section has no {language}"))?.0.to_owned())
}

/// A server as the page sets it up, and a certificate for its name.
struct Site {
    folder: TempDir,
    server: Server,
    certificate: CertificateDer<'static>,
}

impl Site {
    async fn start() -> Result<Self> {
        let folder = tempdir()?;
        let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()])?;
        fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem())?;
        fs::write(folder.path().join("cert.pem"), made.cert.pem())?;
        let settings = snippet("toml")?.replace("listen = ", "#listen = ");
        let file = folder.path().join("settings.toml");
        fs::write(&file, settings)?;
        let mut command = serve(&folder.path().join("data"));
        command.arg("--config").arg(file);
        let server = Server::launch(command).await?;
        Ok(Self { folder, server, certificate: made.cert.der().clone() })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The snippet with the addresses and files of this site.
    fn fitted(&self, language: &str) -> Result<String> {
        let file = |name: &str| self.path().join(name).display().to_string();
        let fitted = snippet(language)?
            .replace("127.0.0.1:8787", self.server.address())
            .replace("/etc/ssl/chat.example.com.pem", &file("cert.pem"))
            .replace("/etc/ssl/chat.example.com.key", &file("key.pem"));
        Ok(fitted)
    }

    /// A connection over TLS to the proxy, from the client's own address.
    async fn connect(&self, proxy: SocketAddr) -> Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let socket = TcpSocket::new_v4()?;
        socket.bind(CLIENT.parse()?)?;
        let stream = timeout(WITHIN, socket.connect(proxy)).await??;
        let connector = TlsConnector::from(Arc::new(config));
        Ok(timeout(WITHIN, connector.connect(NAME.try_into()?, stream)).await??)
    }

    /// What the page promises of a proxy.
    async fn is_served_by(&self, proxy: SocketAddr) -> Result<()> {
        let data = self.path().join("data");
        let mut request = format!("wss://{NAME}/ws").into_client_request()?;
        let bearer = format!("Bearer {}", token(&data, "ada").await?);
        request.headers_mut().insert("authorization", bearer.parse()?);
        let (mut socket, _) = timeout(WITHIN, client_async(request, self.connect(proxy).await?)).await??;
        let welcome = timeout(WITHIN, socket.next()).await?.context("no welcome came")??;
        ensure!(welcome.to_text()?.contains(r#""user_id":"ada""#), "{welcome}");
        socket.send(Message::text(r#"{"type":"ping","id":"p"}"#)).await?;
        let pong = timeout(WITHIN, socket.next()).await?.context("no pong came")??;
        ensure!(pong.to_text()?.contains("pong"), "{pong}");

        let mut command = wireproof(["admin", "connections", "--json", "--data-dir"]);
        command.arg(&data);
        let told = finish(command).await?;
        ensure!(told.stdout.contains("127.0.0.2"), "the server knows another address: {}", told.stdout);

        let mut stream = self.connect(proxy).await?;
        let asked = format!("GET /metrics HTTP/1.1\r\nhost: {NAME}\r\nconnection: close\r\n\r\n");
        stream.write_all(asked.as_bytes()).await?;
        let mut answer = Vec::new();
        // Some proxies end without the goodbye of TLS; what came before it counts.
        let _ = timeout(WITHIN, stream.read_to_end(&mut answer)).await?;
        let answer = String::from_utf8_lossy(&answer);
        ensure!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        Ok(())
    }
}

fn address(proxy: &Foreign) -> Result<SocketAddr> {
    Ok(proxy.url.trim_start_matches("ws://").trim_end_matches('/').parse()?)
}

#[tokio::test]
async fn nginx_with_the_snippet_of_the_page() -> Result<()> {
    let site = Site::start().await?;
    let (fitted, folder) = (site.fitted("nginx")?, site.path().display());
    let proxy = Foreign::on_a_free_port(|port| {
        let fitted = fitted.replace("listen 443", &format!("listen 127.0.0.1:{port}"));
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {folder}/{name};\n"))
            .concat();
        let all = format!(
            "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}{fitted}}}\n"
        );
        let file = format!("{folder}/nginx.conf");
        // A file that is not there is what nginx then speaks of.
        let _ = fs::write(&file, all);
        let mut command = Command::new("nginx");
        command.args(["-p", &folder.to_string(), "-c", &file]);
        command
    })
    .await?;
    site.is_served_by(address(&proxy)?).await
}

#[tokio::test]
async fn caddy_with_the_snippet_of_the_page() -> Result<()> {
    let site = Site::start().await?;
    let (fitted, folder) = (site.fitted("caddy")?, site.path().display());
    let proxy = Foreign::on_a_free_port(|port| {
        let fitted =
            fitted.replace(&format!("{NAME} {{"), &format!("https://{NAME}:{port} {{\n    bind 127.0.0.1"));
        let all = format!("{{\n    admin off\n    auto_https disable_redirects\n}}\n{fitted}");
        let file = format!("{folder}/Caddyfile");
        let _ = fs::write(&file, all);
        let mut command = Command::new("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config", &file]).env("HOME", folder.to_string());
        command.env("XDG_DATA_HOME", folder.to_string()).env("XDG_CONFIG_HOME", folder.to_string());
        command
    })
    .await?;
    site.is_served_by(address(&proxy)?).await
}
