//! The fleet's own parts: an etcd that comes back with all it had, and ways that are cut for those
//! who are named and for nobody else. What fails as it is not told proves nothing.

use std::{
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};
use wasmverse_tests::{
    fleet::{
        etcd::Etcd,
        links::{Links, Way},
        status::{NodeStatus, ShardCounts, Status},
    },
    http::Http,
    patience::eventually,
    programs::Process,
};

async fn etcd(at: SocketAddr, what: &str, body: Value) -> Option<Value> {
    let (http, path) = (Http::new(format!("http://{at}")), format!("/v3/kv/{what}"));
    let asked = http.try_request(Method::POST, &path, body.to_string(), &[]);
    let answer = tokio::time::timeout(Duration::from_secs(3), asked).await.ok()?.ok()?;
    (answer.status == 200).then(|| answer.json())
}

#[tokio::test]
async fn an_etcd_that_was_killed_has_what_it_had() {
    let folder = TempDir::new().unwrap();
    for count in [1, 3] {
        let folder = folder.path().join(count.to_string());
        std::fs::create_dir(&folder).unwrap();
        let mut run = Etcd::start(count, folder).await;
        let clients: Vec<_> = run.clients().map(|(_, client)| client).collect();
        etcd(clients[0], "put", json!({ "key": "YQ==", "value": "Yg==" })).await.unwrap();
        let leader = run.leader().await;
        run.kill(leader);
        if count == 3 {
            // The others go on.
            let other = clients[(leader + 1) % count];
            eventually("another leads", async || {
                etcd(other, "put", json!({ "key": "Yw==", "value": "Yg==" })).await
            })
            .await;
        }
        run.start_again(leader).await;
        let held = etcd(clients[leader], "range", json!({ "key": "YQ==" })).await.unwrap();
        assert_eq!(held["kvs"][0]["value"], "Yg==", "{held}");
    }
}

/// Answers each byte with the same.
async fn echo() -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut client, _)) = listener.accept().await {
            connections.spawn(async move {
                let (mut read, mut write) = client.split();
                tokio::io::copy(&mut read, &mut write).await.ok();
            });
        }
    });
    (at, tasks)
}

/// A process that says a line again and again, and prints what it hears; it dials again when it hears
/// no more.
fn parrot(links: &Links, name: &str, at: SocketAddr, folder: &TempDir) -> Process {
    let script = "while true; do exec 3<>/dev/tcp/$0/$1; \
                  while echo word >&3 && read -r line <&3; do echo $line; sleep 0.02; done; \
                  sleep 0.02; done";
    let mut command = Command::new("bash");
    command.args(["-c", script, &at.ip().to_string(), &at.port().to_string()]);
    let process = Process::start(&mut command, &folder.path().join(name));
    links.roster().note(process.id(), name);
    process
}

fn heard(process: &Process) -> usize {
    process.printed().lines().filter(|line| *line == "word").count()
}

async fn hears_more(process: &Process) {
    let before = heard(process);
    eventually("more is heard", async || (heard(process) > before + 3).then_some(())).await;
}

#[tokio::test]
async fn a_way_is_cut_for_whom_it_is_told_and_for_nobody_else() {
    let ((server, _tasks), links, folder) =
        (echo().await, Links::default(), TempDir::new().unwrap());
    let at = links.front(None, "server", server).await;
    let [one, other] = ["one", "other"].map(|name| parrot(&links, name, at, &folder));
    for way in [Way::Silent, Way::Shut] {
        hears_more(&one).await;
        hears_more(&other).await;
        links.set("one", "server", way);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let before = heard(&one);
        hears_more(&other).await;
        assert_eq!(heard(&one), before, "{way:?}");
        links.heal();
    }
    hears_more(&one).await;
}

#[tokio::test]
async fn what_goes_a_slow_way_arrives_later_and_what_goes_a_silent_one_when_it_is_healed() {
    let ((server, _tasks), links) = (echo().await, Links::default());
    let at = links.front(Some("test"), "server", server).await;
    let mut connection = tokio::net::TcpStream::connect(at).await.unwrap();
    let mut asked = async || {
        let began = Instant::now();
        connection.write_all(b"x").await.unwrap();
        connection.read_exact(&mut [0]).await.unwrap();
        began.elapsed()
    };
    assert!(asked().await < Duration::from_millis(100));
    links.set_all(Way::Slow(Duration::from_millis(60)));
    assert!(asked().await >= Duration::from_millis(120), "there and back");
    links.set("test", "server", Way::Silent);
    let healing = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        links.heal();
    };
    let (took, ()) = tokio::join!(asked(), healing);
    assert!(took >= Duration::from_millis(200), "{took:?}");
}

#[test]
fn a_fleet_is_settled_when_all_is_served_evenly_and_nothing_moves() {
    let node = |id: &str, shards| NodeStatus {
        id: id.to_owned(),
        shards,
        targets: shards,
        ..NodeStatus::default()
    };
    let shards = ShardCounts { count: 7, served: 7, ..ShardCounts::default() };
    let nodes = vec![node("a", 4), node("b", 3)];
    let good = Status { nodes, shards, ..Status::default() };
    let ids = ["a", "b"].map(ToOwned::to_owned);
    assert!(good.is_settled(&ids));
    assert!(!good.is_settled(&ids[..1]), "one is there that should not be");
    let bad = |change: &dyn Fn(&mut Status)| {
        let mut status = good.clone();
        change(&mut status);
        assert!(!status.is_settled(&ids), "{status:?}");
    };
    bad(&|status| status.nodes[0].targets = 3);
    bad(&|status| status.shards.moving = 1);
    bad(&|status| (status.shards.served, status.shards.unserved) = (6, 1));
    bad(&|status| status.nodes = vec![node("a", 5), node("b", 2)]);
    bad(&|status| status.nodes[1].draining = true);
    let mut drained = good.clone();
    drained.nodes = vec![node("a", 7), NodeStatus { draining: true, ..node("b", 0) }];
    assert!(drained.is_settled(&ids));
    assert!(!Status::default().is_settled(&[]), "nothing at all");
}
