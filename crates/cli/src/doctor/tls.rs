//! The certificate of the listener: whether it fits its key, how long it lasts, and for whom it is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wireproof_server::{
    Config,
    tls::{Tls, certificates},
};
use x509_cert::{Certificate, der::Decode, ext::pkix::SubjectAltName};

use super::{Findings, open_to_others};

/// A certificate that ends sooner should have been renewed.
const SOON: Duration = Duration::from_secs(14 * 86_400);

pub(super) fn examine(config: &Config, findings: &mut Findings) {
    // What cannot be used at all is told by the start.
    let Ok(Some(_)) = Tls::from_config(&config.tls) else { return };
    let key = &config.tls.key_file;
    if let Some(mode) = open_to_others(key).filter(|mode| mode & 0o007 != 0) {
        findings.error(
            "tls.key_mode",
            format!("{} has mode {mode:03o}", key.display()),
            "who reads the key can pass for this server",
            format!("chmod 600 {}", key.display()),
        );
    }
    let first = certificates(&config.tls.cert_file).ok().and_then(|chain| chain.into_iter().next());
    if let Some(certificate) = first.and_then(|der| Certificate::from_der(&der).ok()) {
        dates(&certificate, config, findings);
        names(&certificate, config, findings);
    }
}

fn dates(certificate: &Certificate, config: &Config, findings: &mut Findings) {
    let validity = certificate.tbs_certificate().validity();
    let (from, to) = (validity.not_before.to_unix_duration(), validity.not_after.to_unix_duration());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let file = config.tls.cert_file.display();
    let remedy = "renew it; a running server takes the new files by itself";
    let day = |at: Duration| jiff::Timestamp::from_second(at.as_secs() as i64).unwrap_or_default();
    if now >= to {
        findings.error(
            "tls.expired",
            format!("the certificate in {file} ended {}", day(to)),
            "clients refuse to connect",
            remedy,
        );
    } else if now < from {
        findings.error(
            "tls.not_yet",
            format!("the certificate in {file} begins {}", day(from)),
            "clients refuse to connect; or this machine's clock is wrong",
            "check the clock (date -u) and the certificate",
        );
    } else if to - now < SOON {
        findings.warning(
            "tls.ends_soon",
            format!("the certificate in {file} ends {}", day(to)),
            "clients refuse to connect from then on",
            remedy,
        );
    }
}

fn names(certificate: &Certificate, config: &Config, findings: &mut Findings) {
    let names = certificate.tbs_certificate().get_extension::<SubjectAltName>().ok().flatten();
    if names.is_none_or(|(_, names)| names.0.is_empty()) {
        findings.error(
            "tls.no_name",
            format!("the certificate in {} names no host", config.tls.cert_file.display()),
            "clients look at its subjectAltName alone, and refuse it",
            "make one with the host's name in subjectAltName",
        );
    }
}
