//! The servers under test, each alone on one core while it is asked.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::LINKS;
use crate::bench::{bin_dir, cpu, memory, metrics};
use crate::process::Process;
use crate::{fixture, port, wait};

/// Core of the server under test.
pub(super) const SERVER_CORE: &str = "0";
/// Core of the client, Redis and PostgreSQL.
pub(super) const CLIENT_CORE: &str = "1";
/// How long a server may take to come up.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long it may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// Stream of the clicks that nginx with Lua records.
const LUA_STREAM: &str = "lua:clicks";
/// Before the code in the keys that nginx with Lua reads.
const LUA_KEYS: &str = "lua:url:";
/// The name that the certificate of all servers is for.
pub(super) const CERTIFICATE_NAME: &str = "bench.example";

/// One that answers redirects.
pub(super) struct Server {
    pub(super) name: &'static str,
    pub(super) port: u16,
    tls_port: Option<u16>,
    /// Where our own tell their metrics.
    pub(super) admin_port: Option<u16>,
    /// The stream in Redis that it records clicks in.
    pub(super) stream: Option<&'static str>,
    process: Process,
}

/// Where our edge finds things.
pub(super) struct Backends<'a> {
    pub(super) database: &'a str,
    pub(super) redis: &'a str,
    pub(super) redis_port: u16,
}

impl Server {
    /// Returns the port for TLS.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub(super) fn tls_port(&self) -> u16 {
        self.tls_port.expect("the server has TLS")
    }

    /// Returns the CPU seconds used so far by all its processes and threads.
    pub(super) fn cpu(&self) -> f64 {
        let id = self.process.id();
        cpu::used(&std::iter::once(id).chain(cpu::children(id)).collect::<Vec<_>>())
    }

    /// Returns its process id.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Returns a figure that our own edge tells.
    ///
    /// # Panics
    ///
    /// When it is another server, or does not tell.
    pub(super) async fn metric(&self, name: &str) -> f64 {
        let port = self.admin_port.expect("it is our own");
        metrics::find(port, name).await.expect("our own edge tells it") as f64
    }

    /// Returns the bytes of memory that it has for itself.
    pub(super) fn memory(&self) -> f64 {
        memory::own(self.process.id())
    }

    /// Returns what it answers for the first link.
    pub(super) fn answer(&self) -> String {
        let url = format!("http://127.0.0.1:{}/{}", self.port, fixture::code(0));
        let output = Command::new("curl").args(["-si", &url]).output().expect("curl can be started");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    async fn start(name: &'static str, port: u16, tls_port: Option<u16>, command: &mut Command) -> Self {
        let process = Process::start(command);
        let server = Self { name, port, tls_port, admin_port: None, stream: None, process };
        let answers = async || server.answer().starts_with("HTTP/1.1 302").then_some(());
        wait::until(name, START_LIMIT, answers).await;
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Those that have children take them along when they are asked, not when they are killed.
        self.process.stop(Signal::SIGTERM, STOP_LIMIT);
    }
}

/// Lets a thread, or a process with all that it starts from now on, run on one core only; 0 is the calling thread.
///
/// # Panics
///
/// When the machine has no such core.
pub(super) fn pin(id: u32, core: &str) {
    let mut cores = CpuSet::new();
    cores.set(core.parse().expect("cores have numbers")).expect("the number of a core is small");
    let id = Pid::from_raw(id.try_into().expect("process ids are small"));
    sched_setaffinity(id, &cores).expect("the machine has two cores");
}

fn on_its_core(program: impl AsRef<std::ffi::OsStr>) -> Command {
    on_cores(SERVER_CORE, program)
}

/// Returns a command that runs `program` on cores such as `0` or `0,1`.
pub(super) fn on_cores(cores: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", cores]).arg(program);
    command
}

/// Makes a certificate that all servers use, `bench.pem` and `bench.key` in `dir`.
///
/// # Panics
///
/// When the folder cannot be written.
pub(super) fn write_certificate(dir: &Path) {
    // The clients ask by address, so that plain requests are not sent on to HTTPS.
    let names = vec![CERTIFICATE_NAME.to_owned()];
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(names).expect("a certificate can be made");
    for (name, text) in [("bench.pem", cert.pem()), ("bench.key", signing_key.serialize_pem())] {
        std::fs::write(dir.join(name), text).expect("the folder can be written");
    }
}

/// Our edge.
pub(super) async fn vayro(dir: &Path, backends: &Backends<'_>) -> Server {
    vayro_with(dir, backends, "vayro", &[]).await
}

/// Our edge with settings of its own.
pub(super) async fn vayro_with(
    dir: &Path,
    backends: &Backends<'_>,
    name: &'static str,
    settings: &[(&str, &str)],
) -> Server {
    vayro_on(SERVER_CORE, dir, backends, name, settings).await
}

/// Our edge on other cores.
pub(super) async fn vayro_on(
    cores: &str,
    dir: &Path,
    backends: &Backends<'_>,
    name: &'static str,
    settings: &[(&str, &str)],
) -> Server {
    let mut command = on_cores(cores, bin_dir().join("vayro-edge"));
    start_vayro(dir, backends, name, command.envs(settings.iter().copied())).await
}

/// The edge of another build, whose executables are in `bin_dir`.
pub(super) async fn vayro_of(
    bin_dir: &Path,
    dir: &Path,
    backends: &Backends<'_>,
    name: &'static str,
) -> Server {
    start_vayro(dir, backends, name, &mut on_its_core(bin_dir.join("vayro-edge"))).await
}

/// Our edge, counted by callgrind into a file per thread, `counted-…` in `dir`. Stop it to have them.
pub(super) async fn vayro_counted(dir: &Path, backends: &Backends<'_>) -> Server {
    let mut command = on_its_core("valgrind");
    command.args(["--quiet", "--tool=callgrind", "--separate-threads=yes"]);
    command.arg(format!("--callgrind-out-file={}/counted", dir.display())).arg(bin_dir().join("vayro-edge"));
    start_vayro(dir, backends, "vayro counted", &mut command).await
}

async fn start_vayro(
    dir: &Path,
    backends: &Backends<'_>,
    name: &'static str,
    command: &mut Command,
) -> Server {
    let (port, tls_port, admin_port) = (port::free(), port::free(), port::free());
    let certificates =
        format!("[{{ certificate = \"{0}/bench.pem\", key = \"{0}/bench.key\" }}]", dir.display());
    command
        .env("VAYRO_BACKEND__SET", "clustered")
        .env("VAYRO_BACKEND__DATA_DIR", dir.join(name))
        .env("VAYRO_POSTGRES__URL", backends.database)
        .env("VAYRO_REDIS__URL", backends.redis)
        .env("VAYRO_EDGE__LISTEN", format!("127.0.0.1:{port}"))
        .env("VAYRO_EDGE__TLS_LISTEN", format!("127.0.0.1:{tls_port}"))
        .env("VAYRO_EDGE__CERTIFICATES", certificates)
        .env("VAYRO_EDGE__ADMIN", format!("127.0.0.1:{admin_port}"))
        .env("VAYRO_EDGE__THREADS", "1")
        .env("VAYRO_LOG__LEVEL", "warn")
        .stdout(Stdio::null());
    let mut server = Server::start(name, port, Some(tls_port), command).await;
    (server.admin_port, server.stream) = (Some(admin_port), Some(fixture::CLICKS));
    server
}

/// A line per link: path, target and `end`.
fn map(end: &str) -> String {
    let mut map = String::with_capacity(LINKS as usize * 64);
    for number in 0..LINKS {
        writeln!(map, "/{} {}{end}", fixture::code(number), fixture::target(number))
            .expect("a string takes everything");
    }
    map
}

fn write(dir: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let file = dir.join(name);
    std::fs::write(&file, text).expect("the folder can be written");
    file
}

/// nginx with a map of all links and an access log that is written in pieces.
pub(super) async fn nginx_map(dir: &Path) -> Server {
    let http = r#"
        access_log access.log combined buffer=64k flush=1s;
        map_hash_max_size 262144; map_hash_bucket_size 128;
        map $uri $target { default ""; include map.conf; }"#;
    let location = r#"if ($target = "") { return 404; } return 302 $target;"#;
    let dir = dir.join("nginx-map");
    std::fs::create_dir_all(&dir).expect("the folder can be written");
    write(&dir, "map.conf", &map(";"));
    nginx(&dir, "nginx map + log", "", http, location).await
}

/// nginx that asks Redis for each link and records a click there, in one exchange over a kept connection.
pub(super) async fn nginx_lua(dir: &Path, backends: &Backends<'_>) -> Server {
    let modules = "load_module /usr/lib/nginx/modules/ndk_http_module.so;
        load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;";
    let http = r#"access_log off; lua_package_path "/usr/share/lua/5.1/?.lua;;";"#;
    let location = format!(
        r#"content_by_lua_block {{
            local redis = require "nginx.redis"
            local connection = redis:new()
            connection:set_timeout(1000)
            if not connection:connect("127.0.0.1", {port}) then return ngx.exit(503) end
            connection:init_pipeline(2)
            connection:get("{LUA_KEYS}" .. string.sub(ngx.var.uri, 2))
            connection:xadd("{LUA_STREAM}", "*", "code", ngx.var.uri, "timestamp", ngx.now(),
                "ip", ngx.var.remote_addr, "user_agent", ngx.var.http_user_agent or "",
                "referer", ngx.var.http_referer or "")
            local answers = connection:commit_pipeline()
            if not answers then return ngx.exit(503) end
            connection:set_keepalive(60000, 64)
            if answers[1] == ngx.null then return ngx.exit(404) end
            return ngx.redirect(answers[1], 302)
        }}"#,
        port = backends.redis_port
    );
    let mut keys = redis::pipe();
    for number in 0..LINKS {
        keys.set(format!("{LUA_KEYS}{}", fixture::code(number)), fixture::target(number)).ignore();
    }
    let mut connection = crate::redis::connection(backends.redis).await;
    let _: () = keys.query_async(&mut connection).await.expect("Redis takes the keys");
    let dir = dir.join("nginx-lua");
    std::fs::create_dir_all(&dir).expect("the folder can be written");
    let mut server = nginx(&dir, "nginx + Lua + Redis", modules, http, &location).await;
    server.stream = Some(LUA_STREAM);
    server
}

async fn nginx(dir: &Path, name: &'static str, modules: &str, http: &str, location: &str) -> Server {
    let (port, tls_port) = (port::free(), port::free());
    let config = format!(
        "daemon off; worker_processes 1; pid nginx.pid; error_log error.log; {modules}
        events {{ worker_connections 4096; }}
        http {{
            client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4;
            scgi_temp_path t5; keepalive_requests 100000000;
            ssl_certificate ../bench.pem; ssl_certificate_key ../bench.key; ssl_protocols TLSv1.3;
            {http}
            server {{
                listen 127.0.0.1:{port};
                listen 127.0.0.1:{tls_port} ssl http2;
                location / {{ {location} }}
            }}
        }}",
    );
    let file = write(dir, "nginx.conf", &config);
    let mut command = on_its_core("nginx");
    command.arg("-p").arg(dir).arg("-c").arg(&file).stderr(Stdio::null());
    Server::start(name, port, Some(tls_port), &mut command).await
}

/// HAProxy with a map of all links, without a log.
pub(super) async fn haproxy(dir: &Path) -> Server {
    let port = port::free();
    let map = write(dir, "haproxy.map", &map(""));
    let config = format!(
        "global
            nbthread 1
            maxconn 4096
        defaults
            mode http
            timeout client 60s
            timeout server 60s
            timeout connect 5s
        frontend links
            bind 127.0.0.1:{port}
            http-request set-var(txn.target) path,map_str({map})
            http-request redirect location %[var(txn.target)] code 302 if {{ var(txn.target) -m found }}
            http-request return status 404
",
        map = map.display()
    );
    let file = write(dir, "haproxy.cfg", &config);
    let mut command = on_its_core("haproxy");
    command.args(["-db", "-q", "-f"]).arg(file);
    Server::start("haproxy map", port, None, &mut command).await
}

/// The floor with an answer of `like`.
pub(super) async fn floor(like: &Server) -> Server {
    let port = port::free();
    let mut command = on_its_core(std::env::current_exe().expect("the benchmark is a file"));
    command.args(["floor", "--listen", &format!("127.0.0.1:{port}"), "--answer", &like.answer()]);
    Server::start("read and write", port, None, &mut command).await
}
