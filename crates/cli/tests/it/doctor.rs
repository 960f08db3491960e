//! The doctor: each planted fault is found, alone, with its remedy; a sound set-up has none; and nothing is changed.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::{TempDir, tempdir};
use tokio::process::Command;

use crate::process::{Ended, Server, finish, wireproof};

const SECRET: &str = "changeme-changeme-changeme-changeme";

/// A sound set-up: a store that was used, its key, and a file of settings.
struct Place {
    folder: TempDir,
    settings: String,
    environment: Vec<(&'static str, String)>,
    flags: Vec<&'static str>,
    /// Held for as long as the doctor looks.
    port: Option<TcpListener>,
    /// What another program has locked.
    store: Option<rusqlite::Connection>,
    files: Option<u32>,
}

impl Place {
    async fn sound() -> Result<Self> {
        let folder = tempdir()?;
        let data = folder.path().join("data");
        let server = Server::start(&data).await?;
        server.terminate()?;
        server.ended().await?;
        crate::process::token(&data, "ada").await?;
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700))?;
        Ok(Self {
            folder,
            settings: "listen = \"127.0.0.1:0\"\n[limits]\nconnections = 100\n".to_owned(),
            environment: Vec::new(),
            flags: Vec::new(),
            port: None,
            store: None,
            files: None,
        })
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn add(&mut self, settings: &str) {
        self.settings.push_str(settings);
    }

    fn file(&self, name: &str, text: &str) -> Result<String> {
        let path = self.folder.path().join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(path.display().to_string())
    }

    fn certificate(
        &mut self,
        change: impl FnOnce(&mut rcgen::CertificateParams),
    ) -> Result<(String, String)> {
        let key = rcgen::KeyPair::generate()?;
        let mut parameters = rcgen::CertificateParams::new(vec!["wireproof.example".to_owned()])?;
        change(&mut parameters);
        let certificate = parameters.self_signed(&key)?;
        let files = (self.file("cert.pem", &certificate.pem())?, self.file("key.pem", &key.serialize_pem())?);
        Ok(files)
    }

    fn tls(&mut self, (cert, key): (String, String)) {
        self.add(&format!("[tls]\ncert_file = \"{cert}\"\nkey_file = \"{key}\"\n"));
    }

    async fn examine(&self, form: &[&str]) -> Result<Ended> {
        let config = self.folder.path().join("wireproof.toml");
        fs::write(&config, &self.settings)?;
        fs::set_permissions(&config, fs::Permissions::from_mode(0o600))?;
        let mut command = wireproof(["doctor", "--config"]);
        command.arg(&config).arg("--data-dir").arg(self.data()).args(&self.flags).args(form);
        command.env_remove("WIREPROOF_LOG");
        if let Some(files) = self.files {
            let mut limited = Command::new("sh");
            limited.arg("-c").arg(format!("ulimit -n {files} && exec \"$@\"")).arg("sh");
            limited.arg(command.as_std().get_program()).args(command.as_std().get_args());
            for (name, _) in command.as_std().get_envs() {
                limited.env_remove(name);
            }
            command = limited;
            command.kill_on_drop(true);
        }
        command.envs(self.environment.iter().map(|(name, value)| (*name, value)));
        finish(command).await
    }
}

fn contents(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        found.insert(entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?);
    }
    Ok(found)
}

/// The same without opening the files: their sizes in place of what they hold.
fn names(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let size = entry.metadata()?.len().to_be_bytes().to_vec();
        found.insert(entry.file_name().to_string_lossy().into_owned(), size);
    }
    Ok(found)
}

type Plant = fn(&mut Place) -> Result<()>;

/// What is planted, what it is called, a word of its remedy, and whether it is an error.
const PLANTS: &[(&str, &str, bool, Plant)] = &[
    ("settings.unusable", "correct the setting", true, |place| {
        place.add("qeued_runs = 3\n");
        Ok(())
    }),
    ("settings.unusable", "correct the setting", true, |place| {
        place.add("heartbeat_seconds = 90.0\n");
        Ok(())
    }),
    ("settings.unknown_variable", "unset WIREPROOF_LIMIT_CONNECTIONS", false, |place| {
        place.environment.push(("WIREPROOF_LIMIT_CONNECTIONS", "5".to_owned()));
        Ok(())
    }),
    ("keys.weak_secret", "openssl rand", true, |place| {
        place.environment.push(("WIREPROOF_JWT_SECRET", SECRET.to_owned()));
        Ok(())
    }),
    ("keys.file_mode", "chmod 600", true, |place| {
        Ok(fs::set_permissions(place.data().join("jwt.key"), fs::Permissions::from_mode(0o644))?)
    }),
    ("keys.damaged", "remove it", true, |place| Ok(fs::write(place.data().join("jwt.key"), "half a key")?)),
    ("keys.private", "openssl pkey", true, |place| {
        let key = place.file("issuer.pem", &rcgen::KeyPair::generate()?.serialize_pem())?;
        place.add(&format!("[jwt]\naudience = \"us\"\npublic_key_file = \"{key}\"\n"));
        Ok(())
    }),
    ("keys.jwks", "curl", true, |place| {
        place.add("[jwt]\naudience = \"us\"\njwks_url = \"http://127.0.0.1:1/keys\"\n");
        Ok(())
    }),
    ("clock.behind", "NTP", true, |place| {
        let key = fs::File::options().write(true).open(place.data().join("jwt.key"))?;
        Ok(key.set_modified(SystemTime::now() + Duration::from_secs(86_400))?)
    }),
    ("store.foreign", "another data_dir", true, |place| {
        Ok(fs::write(place.data().join("wireproof.db"), "no database".repeat(1000))?)
    }),
    ("store.damaged", "restore a backup", true, |place| {
        let path = place.data().join("wireproof.db");
        let bytes = fs::read(&path)?;
        Ok(fs::write(path, &bytes[..bytes.len() - 100])?)
    }),
    ("store.file_mode", "chmod 600", true, |place| {
        Ok(fs::set_permissions(place.data().join("wireproof.db"), fs::Permissions::from_mode(0o644))?)
    }),
    ("store.folder_open", "chmod 700", false, |place| {
        Ok(fs::set_permissions(place.data(), fs::Permissions::from_mode(0o755))?)
    }),
    ("store.locked", "close the other program", true, |place| {
        let store = rusqlite::Connection::open(place.data().join("wireproof.db"))?;
        store.execute_batch("PRAGMA locking_mode = EXCLUSIVE; UPDATE meta SET value = value")?;
        place.store = Some(store);
        Ok(())
    }),
    ("store.folder_refused", "chmod 700", true, |place| {
        fs::write(place.data().join("cert.pem"), "a certificate")?;
        Ok(fs::set_permissions(place.data(), fs::Permissions::from_mode(0o755))?)
    }),
    ("store.folder_refused", "chmod 700", true, |place| {
        Ok(fs::set_permissions(place.data(), fs::Permissions::from_mode(0o1777))?)
    }),
    ("store.folder_refused", "chmod 700", true, |place| {
        Ok(fs::set_permissions(place.data(), fs::Permissions::from_mode(0o777))?)
    }),
    ("listen.taken", "set another listen", true, |place| {
        let port = TcpListener::bind("127.0.0.1:0")?;
        place.environment.push(("WIREPROOF_LISTEN", port.local_addr()?.to_string()));
        place.port = Some(port);
        Ok(())
    }),
    ("limits.files", "ulimit -n", false, |place| {
        place.files = Some(100);
        Ok(())
    }),
    ("tls.half", "set both", true, |place| {
        let (cert, _) = place.certificate(|_| {})?;
        place.add(&format!("[tls]\ncert_file = \"{cert}\"\n"));
        Ok(())
    }),
    ("tls.pair", "the key there that", true, |place| {
        let (cert, _) = place.certificate(|_| {})?;
        let other = place.file("other.pem", &rcgen::KeyPair::generate()?.serialize_pem())?;
        place.tls((cert, other));
        Ok(())
    }),
    ("tls.expired", "renew it", true, |place| {
        let pair = place.certificate(|certificate| {
            (certificate.not_before, certificate.not_after) =
                (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
        })?;
        place.tls(pair);
        Ok(())
    }),
    ("tls.no_name", "subjectAltName", true, |place| {
        let pair = place.certificate(|certificate| certificate.subject_alt_names.clear())?;
        place.tls(pair);
        Ok(())
    }),
    ("tls.key_mode", "chmod 600", true, |place| {
        let pair = place.certificate(|_| {})?;
        fs::set_permissions(&pair.1, fs::Permissions::from_mode(0o644))?;
        place.tls(pair);
        Ok(())
    }),
    ("http.any_origin", "name the origins", false, |place| {
        place.add("[http]\nallowed_origins = [\"*\"]\n");
        Ok(())
    }),
    ("http.proxies_too_wide", "name the addresses", true, |place| {
        place.add("[http]\ntrusted_proxies = [\"0.0.0.0/0\"]\n");
        Ok(())
    }),
    ("accounts.registration", "wireproof user add", false, |place| {
        place.add("[accounts]\nregistration = true\n");
        Ok(())
    }),
    ("auth.query_token", "ticket", false, |place| {
        place.add("[auth]\nquery_token = true\n");
        Ok(())
    }),
    ("auth.insecure", "leave --insecure-no-auth out", true, |place| {
        place.flags.push("--insecure-no-auth");
        place.environment.push(("WIREPROOF_LISTEN", "0.0.0.0:0".to_owned()));
        place.add("[http]\nhosts = [\"chat.example.com\"]\n");
        let pair = place.certificate(|_| {})?;
        place.tls(pair);
        Ok(())
    }),
    ("http.no_hosts", "name the server", false, |place| {
        place.environment.push(("WIREPROOF_LISTEN", "0.0.0.0:0".to_owned()));
        let pair = place.certificate(|_| {})?;
        place.tls(pair);
        Ok(())
    }),
    ("tls.absent", "tls.cert_file", false, |place| {
        place.environment.push(("WIREPROOF_LISTEN", "0.0.0.0:0".to_owned()));
        place.add("[http]\nhosts = [\"chat.example.com\"]\n");
        Ok(())
    }),
];

#[tokio::test]
async fn each_planted_fault_is_found_alone_and_its_remedy_named() -> Result<()> {
    for (id, remedy, is_error, plant) in PLANTS {
        let mut place = Place::sound().await?;
        plant(&mut place)?;
        let locked = place.store.is_some();
        // Whoever closes a file gives up the locks that its process has on it.
        let contents = |folder: &Path| if locked { names(folder) } else { contents(folder) };
        let before = contents(&place.data())?;
        let ended = place.examine(&["--json"]).await?;
        let findings: Vec<Value> =
            serde_json::from_str(&ended.stdout).with_context(|| format!("{id}: {}", ended.stderr))?;
        let ids: Vec<_> = findings.iter().filter_map(|finding| finding["id"].as_str()).collect();
        ensure!(ids == [*id], "planted {id}, found {}", ended.stdout);
        let said = findings[0]["remedy"].as_str().unwrap_or_default();
        ensure!(said.contains(remedy), "{id}: the remedy is {said:?}");
        ensure!(
            findings[0]["severity"] == if *is_error { "error" } else { "warning" },
            "{id}: {}",
            ended.stdout
        );
        ensure!(ended.code == Some(i32::from(*is_error)), "{id} ended with {:?}", ended.code);
        ensure!(!ended.stdout.contains(SECRET) && !ended.stderr.contains(SECRET), "{id}: a secret is shown");
        ensure!(contents(&place.data())? == before, "{id}: the doctor changed the folder");
        let text = place.examine(&[]).await?.stdout;
        ensure!(text.contains(id) && text.contains("next: "), "{id}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_sound_place_has_no_finding_and_none_is_made_of_a_running_server() -> Result<()> {
    let mut place = Place::sound().await?;
    let pair = place.certificate(|_| {})?;
    place.tls(pair);
    let ended = place.examine(&[]).await?;
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("nothing found"), "{}", ended.stdout);

    // The port and the store are in use, by the server that they are for.
    let mut place = Place::sound().await?;
    let server = Server::start(&place.data()).await?;
    place.environment.push(("WIREPROOF_LISTEN", server.address().to_owned()));
    let ended = place.examine(&[]).await?;
    assert!(ended.stdout.contains("nothing found"), "{}", ended.stdout);
    server.kill().await
}

#[tokio::test]
async fn a_folder_that_is_not_there_yet_is_no_fault_and_is_not_made() -> Result<()> {
    let place = Place::sound().await?;
    fs::remove_dir_all(place.data())?;
    let ended = place.examine(&[]).await?;
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(!place.data().exists());
    Ok(())
}
