//! A TCP proxy that stands between a client and a server, and fails as it is told.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// What becomes of what passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// Of each piece that the client sends, so many bytes at its end are held back; all of them, if
    /// it has no more.
    pub hold_requests: usize,
    /// What the server answers is held back.
    pub hold_answers: bool,
    /// Nobody is let in.
    pub refuse: bool,
    /// Counts how often all connections were cut.
    cuts: u32,
}

/// A proxy that listens until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    passage: Arc<watch::Sender<Passage>>,
    /// How many bytes were held back, until now.
    held: Arc<Mutex<usize>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Listens, and passes everything on.
    ///
    /// # Panics
    /// If it cannot listen.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let passage = Arc::new(watch::Sender::new(Passage::default()));
        let held = Arc::new(Mutex::new(0));
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(listener, server, Arc::clone(&passage), Arc::clone(&held)));
        Self { address, passage, held, _tasks: tasks }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, for connections that are there, too.
    pub fn pass(&self, passage: Passage) {
        self.passage.send_modify(|now| *now = Passage { cuts: now.cuts, ..passage });
    }

    /// Cuts all connections; what was held back is lost.
    pub fn cut(&self) {
        self.passage.send_modify(|now| now.cuts += 1);
    }

    /// How many bytes are held back now, or were when their connection was cut.
    pub fn held(&self) -> usize {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn listen(
    listener: TcpListener,
    server: SocketAddr,
    passage: Arc<watch::Sender<Passage>>,
    held: Arc<Mutex<usize>>,
) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        if passage.borrow().refuse {
            continue;
        }
        let Ok(server) = TcpStream::connect(server).await else { continue };
        let (told, held) = (passage.subscribe(), Arc::clone(&held));
        connections.spawn(async move {
            let _ = client.set_nodelay(true);
            let _ = server.set_nodelay(true);
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let requests = pump(from_client, to_server, told.clone(), held, |p| p.hold_requests);
            let all = |p: &Passage| if p.hold_answers { usize::MAX } else { 0 };
            let answers = pump(from_server, to_client, told.clone(), Arc::default(), all);
            let cuts = told.borrow().cuts;
            let mut told = told;
            tokio::select! {
                _ = requests => {}
                _ = answers => {}
                _ = told.wait_for(|now| now.cuts > cuts) => {}
            }
        });
    }
}

/// Passes bytes on, and holds back as many of each piece as it is told.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut told: watch::Receiver<Passage>,
    counted: Arc<Mutex<usize>>,
    hold: impl Fn(&Passage) -> usize,
) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    let mut held: Vec<u8> = Vec::new();
    loop {
        tokio::select! {
            read = from.read(&mut buffer) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                held.extend_from_slice(&buffer[..read]);
            }
            changed = told.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
            }
        }
        let back = hold(&told.borrow_and_update()).min(held.len());
        let pass = held.len() - back;
        to.write_all(&held[..pass]).await?;
        held.drain(..pass);
        *counted.lock().unwrap_or_else(PoisonError::into_inner) = held.len();
    }
}
