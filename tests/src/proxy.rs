//! A TCP proxy that stands between a client and a server, and fails as it is told.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
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
}

/// What was told, and how often all connections were cut.
type Told = (Passage, u32);

/// A proxy that listens until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    passage: Arc<watch::Sender<Told>>,
    /// How many bytes of requests are held back.
    held: Arc<AtomicUsize>,
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
        let passage = Arc::new(watch::Sender::new(Told::default()));
        let held = Arc::new(AtomicUsize::new(0));
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
        self.passage.send_modify(|(now, _)| *now = passage);
    }

    /// Cuts all connections; what was held back is lost.
    pub fn cut(&self) {
        self.passage.send_modify(|(_, cuts)| *cuts += 1);
    }

    /// How many bytes of requests are held back now.
    pub fn held(&self) -> usize {
        self.held.load(Relaxed)
    }
}

async fn listen(
    listener: TcpListener,
    server: SocketAddr,
    passage: Arc<watch::Sender<Told>>,
    held: Arc<AtomicUsize>,
) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        if passage.borrow().0.refuse {
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
            let answers = pump(from_server, to_client, told, Arc::default(), all);
            // Whichever ends, both are cut.
            tokio::select! {
                _ = requests => {}
                _ = answers => {}
            }
        });
    }
}

/// Passes bytes on, and holds back as many of each piece as it is told.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut told: watch::Receiver<Told>,
    counted: Arc<AtomicUsize>,
    hold: impl Fn(&Passage) -> usize,
) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    let mut held: Vec<u8> = Vec::new();
    let cuts = told.borrow().1;
    loop {
        let before = held.len();
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
        let (passage, now) = *told.borrow_and_update();
        if now > cuts {
            counted.fetch_sub(before, Relaxed);
            return Ok(());
        }
        let back = hold(&passage).min(held.len());
        let pass = held.len() - back;
        to.write_all(&held[..pass]).await?;
        held.drain(..pass);
        counted.fetch_add(back, Relaxed);
        counted.fetch_sub(before, Relaxed);
    }
}
