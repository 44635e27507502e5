//! A real etcd, or three of them.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::{Etcd, EtcdConfig};

/// One member of etcd; killed when dropped.
pub(super) struct Server {
    pub(super) port: u16,
    arguments: Vec<String>,
    child: Option<Child>,
    folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Of a port that was free a moment ago.
pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    /// Runs, and answers soon.
    pub(super) async fn start() -> Self {
        let server = Self::start_as("http", &[]);
        server.answers().await;
        server
    }

    /// By itself, with more arguments. It may not be up yet.
    pub(super) fn start_as(scheme: &str, more: &[&str]) -> Self {
        let (port, peer) = (free_port(), free_port());
        let mut server = Self::new(scheme, port, peer);
        server.arguments.extend(more.iter().map(|&one| one.to_owned()));
        let alone = format!("--initial-cluster=m{port}=http://127.0.0.1:{peer}");
        server.arguments.push(alone);
        server.run();
        server
    }

    /// Three members of one etcd.
    pub(super) async fn three() -> Vec<Self> {
        let ports: Vec<_> = (0..3).map(|_| (free_port(), free_port())).collect();
        let member = |(port, peer): &(u16, u16)| format!("m{port}=http://127.0.0.1:{peer}");
        let all: Vec<_> = ports.iter().map(member).collect();
        let mut servers = Vec::new();
        for (port, peer) in ports {
            let mut server = Self::new("http", port, peer);
            server.arguments.push(format!("--initial-cluster={}", all.join(",")));
            server.run();
            servers.push(server);
        }
        for server in &servers {
            server.answers().await;
        }
        servers
    }

    fn new(scheme: &str, port: u16, peer: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let client = format!("{scheme}://127.0.0.1:{port}");
        let peers = format!("http://127.0.0.1:{peer}");
        let arguments = vec![
            format!("--name=m{port}"),
            format!("--data-dir={}", folder.path().join("data").display()),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peers}"),
            format!("--initial-advertise-peer-urls={peers}"),
            "--unsafe-no-fsync".to_owned(),
            "--log-level=error".to_owned(),
        ];
        Self { port, arguments, child: None, folder }
    }

    pub(super) fn run(&mut self) {
        let log = std::fs::File::create(self.log()).unwrap();
        let child = Command::new(etcd_bin_vendored::etcd_bin_path().ok().unwrap())
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.unwrap());
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(super) fn config(&self) -> EtcdConfig {
        EtcdConfig {
            endpoints: vec![format!("127.0.0.1:{}", self.port)],
            prefix: "/test".to_owned(),
            ..EtcdConfig::default()
        }
    }

    pub(super) async fn client(&self) -> Etcd {
        Etcd::connect(&self.config()).await.unwrap()
    }

    /// Waits until it serves.
    pub(super) async fn answers(&self) {
        for _ in 0..600 {
            if Etcd::connect(&self.config()).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("etcd does not start: {}", std::fs::read_to_string(self.log()).unwrap());
    }

    /// A client without anything of ours.
    pub(super) async fn plain(&self) -> etcd_client::Client {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        etcd_client::Client::connect([endpoint], None).await.unwrap()
    }
}
