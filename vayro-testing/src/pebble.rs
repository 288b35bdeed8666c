//! Let's Encrypt's test server Pebble, with a DNS of its own in which every name leads to this machine.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Process, port, wait};

/// How long the servers may take to answer.
const READY_LIMIT: Duration = Duration::from_secs(20);

/// A running Pebble and its DNS; both end with this value.
#[derive(Debug)]
pub struct Pebble {
    dir: TempDir,
    port: u16,
    management: u16,
    dns: u16,
    dns_management: u16,
    http_port: u16,
    nonce_reject: u8,
    _dns: Process,
    server: Option<Process>,
    client: reqwest::Client,
}

impl Pebble {
    /// Starts one that asks names for proof on `http_port` of 127.0.0.1 and refuses `nonce_reject` percent of good
    /// nonces; 5 is its own default.
    ///
    /// # Panics
    ///
    /// When Debian's package `pebble` is not installed or a server does not answer.
    pub async fn start(http_port: u16, nonce_reject: u8) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let root = write_certificates(&dir);
        let (dns, dns_management) = (port::free(), port::free());
        let mut command = Command::new("pebble-challtestsrv");
        command
            .args([
                "-http01",
                "",
                "-https01",
                "",
                "-tlsalpn01",
                "",
                "-defaultIPv6",
                "",
                "-defaultIPv4",
                "127.0.0.1",
            ])
            .args(["-dns01", &format!("127.0.0.1:{dns}")])
            .args(["-management", &format!("127.0.0.1:{dns_management}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(root.as_bytes()).expect("a certificate")])
            .timeout(Duration::from_secs(10))
            .build()
            .expect("a client can be made");
        let mut pebble = Self {
            dir,
            port: port::free(),
            management: port::free(),
            dns,
            dns_management,
            http_port,
            nonce_reject,
            _dns: Process::start(&mut command),
            server: None,
            client,
        };
        pebble.start_again().await;
        pebble
    }

    /// Ends the server, which keeps nothing.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Starts the server anew at the same address, where it knows neither accounts nor orders and has another root.
    ///
    /// # Panics
    ///
    /// When it does not answer.
    pub async fn start_again(&mut self) {
        let settings = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{}", self.port),
            "managementListenAddress": format!("127.0.0.1:{}", self.management),
            "certificate": self.path("server.pem"),
            "privateKey": self.path("server.key"),
            "httpPort": self.http_port,
            "tlsPort": self.http_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        }});
        std::fs::write(self.path("pebble.json"), settings.to_string()).expect("the folder can be written to");
        let log = File::create(self.path("pebble.log")).expect("the folder can be written to");
        let mut command = Command::new("pebble");
        command
            .arg("-config")
            .arg(self.path("pebble.json"))
            .args(["-dnsserver", &format!("127.0.0.1:{}", self.dns)])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", self.nonce_reject.to_string())
            .stdout(log)
            .stderr(Stdio::null());
        self.server = Some(Process::start(&mut command));
        wait::until("Pebble answers", READY_LIMIT, async || {
            self.client.get(self.directory()).send().await.ok().map(drop)
        })
        .await;
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Returns the address of its directory.
    pub fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
    }

    /// Returns the file of the authority that vouches for the server itself.
    pub fn root_file(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// Returns what the server wrote to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("pebble.log")).unwrap_or_default()
    }

    /// Returns the authority of the certificates it issues.
    ///
    /// # Panics
    ///
    /// When it does not say.
    pub async fn issuing_root(&self) -> reqwest::Certificate {
        let url = format!("https://localhost:{}/roots/0", self.management);
        let answer = self.client.get(url).send().await.expect("Pebble answers");
        let pem = answer.bytes().await.expect("a certificate");
        reqwest::Certificate::from_pem(&pem).expect("a certificate")
    }

    /// Says in its DNS that `host` has no address any more, or 127.0.0.1 again.
    ///
    /// # Panics
    ///
    /// When the DNS does not do it.
    pub async fn set_reachable(&self, host: &str, is_reachable: bool) {
        let host = format!("{host}.");
        if is_reachable {
            self.tell_dns("clear-servfail", &json!({ "host": host })).await;
        } else {
            self.tell_dns("set-servfail", &json!({ "host": host })).await;
        }
    }

    /// Returns where the DNS is told about records: `set-txt` and `clear-txt`.
    pub fn dns_management(&self) -> String {
        format!("http://127.0.0.1:{}", self.dns_management)
    }

    async fn tell_dns(&self, verb: &str, what: &Value) {
        let url = format!("{}/{verb}", self.dns_management());
        let answer = self.client.post(url).json(what).send().await.expect("the DNS answers");
        assert!(answer.status().is_success(), "{}", answer.status());
    }
}

/// Writes an authority and a certificate for `localhost` that it vouches for: Debian's package has none.
fn write_certificates(dir: &TempDir) -> String {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority =
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed");
    let key = KeyPair::generate().expect("a key");
    let server = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let server = server.signed_by(&key, &authority).expect("signed");
    for (name, text) in
        [("ca.pem", authority.pem()), ("server.pem", server.pem()), ("server.key", key.serialize_pem())]
    {
        std::fs::write(dir.path().join(name), text).expect("the folder can be written to");
    }
    authority.pem()
}
