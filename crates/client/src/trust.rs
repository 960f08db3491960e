//! Which certificates a client of a `wss://` address takes: those that the system trusts, and more if asked to.

use std::{
    fmt, io,
    path::Path,
    sync::{Arc, OnceLock},
};

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
        client::{
            WebPkiServerVerifier,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
            verify_server_name,
        },
        crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
        server::ParsedCertificate,
    },
};

use crate::stream::Stream;

/// The roots of trust of a client; a clone shares what it has read.
#[derive(Clone, Default)]
pub struct Trust {
    more: Vec<CertificateDer<'static>>,
    /// The one certificate that is taken.
    pinned: Option<CertificateDer<'static>>,
    /// Every certificate is taken.
    insecure: bool,
    config: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("more", &self.more.len()).finish_non_exhaustive()
    }
}

impl Trust {
    /// The system's roots, and the certificates of a PEM file beside them: as roots, and as the server's own. One that is
    /// both a root and the server's own, as `openssl req -x509` makes it, is taken for the names that it bears.
    pub fn with_pem_file(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self { more: read(path.as_ref())?, ..Self::default() })
    }

    /// The first certificate of a PEM file and no other, whatever name it bears: for who knows the server's own file.
    pub fn pinned_to_pem_file(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self { pinned: read(path.as_ref())?.into_iter().next(), ..Self::default() })
    }

    /// Every certificate, whoever made it: for who says so on the command line.
    pub fn insecure() -> Self {
        Self { insecure: true, ..Self::default() }
    }

    /// Shakes hands with the server of this name or address.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<Stream> {
        // A zone names an interface of this machine, and is in no certificate.
        let name = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .split('%')
            .next()
            .unwrap_or_default()
            .to_owned();
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let connector = TlsConnector::from(self.config()?);
        Ok(Stream::Tls(Box::new(connector.connect(name, stream).await?)))
    }

    /// The settings for TLS; HTTP clients of the same server take them as well.
    pub fn config(&self) -> io::Result<Arc<ClientConfig>> {
        if let Some(config) = self.config.get() {
            return Ok(config.clone());
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier(provider)?)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(self.config.get_or_init(|| Arc::new(config)).clone())
    }

    fn verifier(&self, provider: Arc<CryptoProvider>) -> io::Result<Arc<dyn ServerCertVerifier>> {
        let rule = match &self.pinned {
            _ if self.insecure => Rule::Any,
            Some(certificate) => Rule::One(certificate.clone()),
            None => {
                let roots =
                    WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots()?), provider.clone());
                match roots.build() {
                    Ok(roots) => Rule::Known { roots, own: self.more.clone() },
                    // No root at all: nothing is trusted, and the handshake says so.
                    Err(_) => Rule::None,
                }
            }
        };
        Ok(Arc::new(Verifier { rule, provider }))
    }

    fn roots(&self) -> io::Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        // A system without roots has no certificate that is good by itself; one that was named may be.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for certificate in &self.more {
            roots.add(certificate.clone()).map_err(io::Error::other)?;
        }
        Ok(roots)
    }
}

fn read(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|e| io::Error::other(format!("{}: {e}", path.display())))?;
    if found.is_empty() {
        return Err(io::Error::other(format!("{} holds no certificate", path.display())));
    }
    Ok(found)
}

/// Decides which certificate is taken; that its owner is at the other end the handshake's signature proves as ever.
#[derive(Debug)]
struct Verifier {
    rule: Rule,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Rule {
    /// This one, whatever name it bears.
    One(CertificateDer<'static>),
    /// One that a root vouches for, and one of the server's own for its names.
    Known { roots: Arc<WebPkiServerVerifier>, own: Vec<CertificateDer<'static>> },
    /// Every one.
    Any,
    /// No one: there are no roots.
    None,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.rule {
            Rule::Any => Ok(ServerCertVerified::assertion()),
            Rule::One(certificate) if certificate == shown => Ok(ServerCertVerified::assertion()),
            Rule::One(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
            Rule::None => Err(CertificateError::UnknownIssuer.into()),
            Rule::Known { roots, own } => {
                let verified = roots.verify_server_cert(shown, between, name, ocsp, now);
                if verified.is_err() && own.contains(&shown.clone().into_owned()) {
                    verify_server_name(&ParsedCertificate::try_from(shown)?, name)?;
                    return Ok(ServerCertVerified::assertion());
                }
                verified
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
