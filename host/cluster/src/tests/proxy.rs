//! A way to etcd that fails as it is told.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

#[derive(Clone, Copy, Default)]
struct Told {
    /// What etcd answers is held back.
    holds_answers: bool,
    /// Connections up to this one carry nothing any more, without a word.
    frozen: u32,
    /// Connections up to this one are cut.
    cut: u32,
}

/// Listens until it is dropped.
pub(super) struct Proxy {
    pub(super) port: u16,
    told: watch::Sender<Told>,
    count: watch::Receiver<u32>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(super) async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let told = watch::Sender::new(Told::default());
        let counting = watch::Sender::new(0);
        let count = counting.subscribe();
        let mut tasks = JoinSet::new();
        let ways = told.subscribe();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                counting.send_modify(|count| *count += 1);
                let number = *counting.borrow();
                let server = SocketAddr::from(([127, 0, 0, 1], server));
                let Ok(server) = TcpStream::connect(server).await else { continue };
                connections.spawn(carry(client, server, number, ways.clone()));
            }
        });
        Self { port, told, count, _tasks: tasks }
    }

    pub(super) fn hold_answers(&self, holds_answers: bool) {
        self.told.send_modify(|told| told.holds_answers = holds_answers);
    }

    /// All connections that are there.
    pub(super) fn cut(&self) {
        let count = *self.count.borrow();
        self.told.send_modify(|told| told.cut = count);
    }

    /// The same.
    pub(super) fn freeze(&self) {
        let count = *self.count.borrow();
        self.told.send_modify(|told| told.frozen = count);
    }
}

async fn carry(client: TcpStream, server: TcpStream, number: u32, told: watch::Receiver<Told>) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut requests_told = told.clone();
    let requests = async {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = from_client.read(&mut buffer).await?;
            let _ = requests_told.wait_for(|told| told.frozen < number).await;
            if length == 0 {
                return io::Result::Ok(());
            }
            to_server.write_all(&buffer[..length]).await?;
        }
    };
    let mut answers_told = told.clone();
    let answers = async {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = from_server.read(&mut buffer).await?;
            let passes = |told: &Told| told.frozen < number && !told.holds_answers;
            let _ = answers_told.wait_for(passes).await;
            if length == 0 {
                return io::Result::Ok(());
            }
            to_client.write_all(&buffer[..length]).await?;
        }
    };
    let mut cuts = told;
    tokio::select! {
        _ = requests => {}
        _ = answers => {}
        _ = cuts.wait_for(|told| told.cut >= number) => {}
    }
}
