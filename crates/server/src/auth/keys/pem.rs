//! Public keys from a PEM file: bare ones, and those in certificates.

use std::{fs::File, io::Read, path::Path};

use rustls_pki_types::{
    CertificateDer,
    pem::{PemObject, SectionKind},
};
use webpki::EndEntityCert;

use super::{KeyError, key::Key};

/// Largest file in bytes.
const FILE_BYTES: u64 = 64 << 10;
/// Most keys in a file: one in use, and some to change over.
const KEYS: usize = 16;
/// How the heads of all kinds of private keys end.
const MARK: &[u8] = b"PRIVATE KEY-----";

/// The public keys in a file, one or more. A private key in it is refused: it has no business on this machine.
pub fn load(path: &Path) -> Result<Vec<Key>, KeyError> {
    let io = |source| KeyError::Io { path: path.to_owned(), source };
    let mut text = Vec::new();
    File::open(path).map_err(io)?.take(FILE_BYTES + 1).read_to_end(&mut text).map_err(io)?;
    let unusable = |reason: &str| KeyError::PublicKey { path: path.to_owned(), reason: reason.to_owned() };
    if text.len() as u64 > FILE_BYTES {
        return Err(unusable("it is larger than 64 KiB"));
    }
    let keys = parse(&text).map_err(unusable)?;
    match keys.len() {
        0 => Err(unusable("it holds no public key and no certificate in PEM")),
        n if n > KEYS => Err(unusable("it holds more than 16 keys")),
        _ => Ok(keys),
    }
}

fn parse(text: &[u8]) -> Result<Vec<Key>, &'static str> {
    // Whatever kind of private key it is: some of them the reader below would pass over.
    if text.windows(MARK.len()).any(|window| window == MARK) {
        return Err("it holds a private key; give the public key, or the certificate, alone");
    }
    let mut keys = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        let (kind, der) = section.map_err(|_| "it is not PEM")?;
        match kind {
            SectionKind::PublicKey => keys.push(Key::of_public_key(&der)?),
            SectionKind::Certificate => {
                let der = CertificateDer::from(der);
                let certificate =
                    EndEntityCert::try_from(&der).map_err(|_| "its certificate cannot be read")?;
                keys.push(Key::of_public_key(&certificate.subject_public_key_info())?);
            }
            _ => {}
        }
    }
    Ok(keys)
}
