//! Debian's `docker-registry`, on a port and a folder of its own, for as long as the value lives.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;

use portway_images::{Access, OciRegistry, OciSettings};
use tempfile::TempDir;

use super::tokens::TokenServer;

pub(crate) const USER: &str = "robot";
pub(crate) const PASSWORD: &str = "open sesame";

/// What a registry asks of its callers.
pub(crate) enum Door<'a> {
    Open,
    /// [`USER`] and [`PASSWORD`], by basic authentication.
    Password,
    /// The same over TLS, with a certificate of an authority of its own.
    Tls,
    /// A token of that server.
    Tokens(&'a TokenServer),
}

pub(crate) struct DockerRegistry {
    /// Ends the registry when it closes: also if this process is killed.
    guard: Child,
    folder: TempDir,
    host: String,
    ca: Option<PathBuf>,
    open: bool,
}

impl DockerRegistry {
    /// `None`, and a line on standard error, where there is no `docker-registry`; under `PORTWAY_REQUIRE_SERVICES=1` a failure.
    pub(crate) fn start(door: &Door<'_>) -> Option<Self> {
        if !is_there("docker-registry") {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let ca = matches!(door, Door::Tls).then(|| certificates(folder.path()));
        let config = folder.path().join("config.yml");
        fs::write(&config, configuration(folder.path(), door)).unwrap();
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "sh"])
            .arg(&config)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let host = wait_for_port(&mut guard);
        Some(Self { guard, folder, host, ca, open: matches!(door, Door::Open) })
    }

    /// Its host and port.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Where its files are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The certificate of its authority.
    pub(crate) fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// The repository `path`, with the access that the registry asks for.
    pub(crate) fn settings(&self, path: &str) -> OciSettings {
        let settings = self.settings_as(path, Access::password(USER, PASSWORD));
        if self.open { settings.access(Access::anonymous()) } else { settings }
    }

    pub(crate) fn settings_as(&self, path: &str, access: Access) -> OciSettings {
        let settings = OciSettings::new(format!("{}/{path}", self.host).parse().unwrap()).access(access);
        match &self.ca {
            Some(ca) => settings.ca_file(ca),
            None => settings.plain_http(),
        }
    }

    pub(crate) fn repository(&self, path: &str) -> OciRegistry {
        OciRegistry::new(self.settings(path)).unwrap()
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// Whether the program is on this machine; says in one line that a test skips if not.
pub(crate) fn is_there(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()));
    if !found {
        let required = std::env::var_os("PORTWAY_REQUIRE_SERVICES").is_some_and(|value| value == "1");
        assert!(!required, "`{program}` is required and not there: apt-get install {program}");
        static SAID: Once = Once::new();
        SAID.call_once(|| {
            let _ = writeln!(
                std::io::stderr(),
                "skipped: no `{program}` on this machine: apt-get install {program}"
            );
        });
    }
    found
}

/// Port 0: the registry says which one it got. What it prints after that is read until it ends, so that it can go on.
fn wait_for_port(guard: &mut Child) -> String {
    let mut lines = BufReader::new(guard.stderr.take().unwrap()).lines();
    let mut said = String::new();
    let host = loop {
        let Some(Ok(line)) = lines.next() else { panic!("the registry ended: {said}") };
        if let Some((_, rest)) = line.split_once("listening on ") {
            break rest.split(['"', ',']).next().unwrap().to_owned();
        }
        writeln!(said, "{line}").unwrap();
    };
    std::thread::spawn(move || lines.for_each(drop));
    host
}

fn configuration(folder: &Path, door: &Door<'_>) -> String {
    let at = |name: &str| folder.join(name).display().to_string();
    let mut config = format!(
        "version: 0.1\nlog: {{level: info}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n\
         http:\n  addr: 127.0.0.1:0\n",
        at("data")
    );
    if matches!(door, Door::Tls) {
        writeln!(config, "  tls: {{certificate: {}, key: {}}}", at("server.pem"), at("server.key")).unwrap();
    }
    match door {
        Door::Open => {}
        Door::Password | Door::Tls => {
            fs::write(folder.join("htpasswd"), format!("{USER}:{PASSWORD_HASH}\n")).unwrap();
            writeln!(config, "auth: {{htpasswd: {{realm: test, path: {}}}}}", at("htpasswd")).unwrap();
        }
        Door::Tokens(server) => {
            fs::write(folder.join("tokens.pem"), server.certificate()).unwrap();
            writeln!(
                config,
                "auth: {{token: {{realm: \"{}\", service: {}, issuer: {}, rootcertbundle: {}}}}}",
                server.realm(),
                TokenServer::SERVICE,
                TokenServer::ISSUER,
                at("tokens.pem")
            )
            .unwrap();
        }
    }
    config
}

/// An authority, and a certificate of it for this machine's address.
fn certificates(folder: &Path) -> PathBuf {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).unwrap();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let server = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let server = server.signed_by(&key, &issuer).unwrap();
    fs::write(folder.join("server.pem"), server.pem()).unwrap();
    fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
    let path = folder.join("ca.pem");
    fs::write(&path, ca_certificate.pem()).unwrap();
    path
}

/// Runs the registry until standard input closes.
const GUARD: &str = r#"
docker-registry serve "$1" </dev/null &
registry=$!
trap 'kill $registry; wait $registry' EXIT
cat >/dev/null
"#;
/// What bcrypt makes of [`PASSWORD`], at its lowest cost.
const PASSWORD_HASH: &str = "$2y$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW";
