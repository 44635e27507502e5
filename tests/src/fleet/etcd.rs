//! A real etcd of one member or of several, each on a folder and ports of its own, that can be
//! killed and started again.

use std::{net::SocketAddr, path::PathBuf, process::Command};

use reqwest::Method;

use crate::{
    http::Http,
    patience::eventually,
    programs::{Process, own_address},
};

/// An etcd that runs.
#[derive(Debug)]
pub struct Etcd {
    folder: PathBuf,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    name: String,
    client: SocketAddr,
    peer: SocketAddr,
    process: Option<Process>,
    starts: usize,
}

impl Etcd {
    /// Starts so many members on an empty folder, and waits until they answer.
    pub async fn start(count: usize, folder: PathBuf) -> Self {
        let member = |number| Member {
            name: format!("etcd-{number}"),
            client: own_address(),
            peer: own_address(),
            process: None,
            starts: 0,
        };
        let mut etcd = Self { folder, members: (0..count).map(member).collect() };
        (0..count).for_each(|number| etcd.begin(number));
        for number in 0..count {
            etcd.ready(number).await;
        }
        etcd
    }

    /// Where clients of each member come in.
    pub fn clients(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        self.members.iter().map(|member| (&*member.name, member.client))
    }

    /// How many members there are, running or not.
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// Ends a member without a word.
    pub fn kill(&mut self, number: usize) {
        if let Some(mut process) = self.members[number].process.take() {
            process.kill();
        }
    }

    /// Starts a member again that was killed, on its own data, and waits until it answers.
    pub async fn start_again(&mut self, number: usize) {
        self.begin(number);
        self.ready(number).await;
    }

    /// The member that leads the others now.
    ///
    /// # Panics
    /// If none does.
    pub async fn leader(&self) -> usize {
        let leads = |metrics: &str| metrics.lines().any(|line| line == "etcd_server_is_leader 1");
        eventually("a member of etcd leads", async || {
            for (number, member) in self.members.iter().enumerate() {
                let http = Http::new(format!("http://{}", member.client));
                let metrics = http.try_request(Method::GET, "/metrics", "", &[]).await;
                let metrics =
                    metrics.map(|answer| String::from_utf8_lossy(&answer.body).into_owned());
                if metrics.is_ok_and(|metrics| leads(&metrics)) {
                    return Some(number);
                }
            }
            None
        })
        .await
    }

    fn begin(&mut self, number: usize) {
        let url = |address: SocketAddr| format!("http://{address}");
        let all = self.members.iter().map(|it| format!("{}={}", it.name, url(it.peer)));
        let all = all.collect::<Vec<_>>().join(",");
        let folder = &self.folder;
        let member = &mut self.members[number];
        let (client, peer) = (url(member.client), url(member.peer));
        let program = etcd_bin_vendored::etcd_bin_path();
        let mut command = Command::new(program.expect("there is an etcd for this machine"));
        command.current_dir(folder).arg("--data-dir").arg(folder.join(&member.name));
        command.args(["--name", &member.name, "--initial-cluster", &all]);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        // Processes die here, machines do not.
        command.args(["--unsafe-no-fsync", "--log-level", "warn"]);
        member.starts += 1;
        let log = folder.join(format!("{}.{}.log", member.name, member.starts));
        member.process = Some(Process::start(&mut command, &log));
    }

    async fn ready(&self, number: usize) {
        let http = Http::new(format!("http://{}", self.members[number].client));
        eventually("etcd answers", async || {
            let answer = http.try_request(Method::GET, "/health", "", &[]).await.ok()?;
            String::from_utf8_lossy(&answer.body).contains("\"true\"").then_some(())
        })
        .await;
    }
}
