//! The ways between the processes of a fleet: who dials whom is known, so that each way can be cut,
//! silenced or slowed by itself.
//!
//! All who dial a node dial the same address. Which process a connection comes from is what the
//! kernel says of the socket at its other end.

use std::{
    collections::HashMap,
    fs, io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};

/// Pieces of a connection that may be on their way, in each direction.
const PIECES: usize = 64;
const PIECE_BYTES: usize = 1 << 16;

/// What becomes of what passes between two processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// It arrives.
    #[default]
    Open,
    /// Nothing arrives and nobody is told, as in a network that is parted. When it is open again, all
    /// that was sent arrives late.
    Silent,
    /// Connections are closed, and new ones, too.
    Shut,
    /// All arrives so much later.
    Slow(Duration),
}

/// From whom, and to whom.
type Pair = (String, String);

#[derive(Clone, Debug, Default)]
struct Rules {
    all: Way,
    pairs: HashMap<Pair, Way>,
}

impl Rules {
    fn of(&self, pair: &Pair) -> Way {
        self.pairs.get(pair).copied().unwrap_or(self.all)
    }
}

/// All ways of a fleet; when they are dropped, all are shut.
#[derive(Debug, Default)]
pub struct Links {
    rules: Arc<watch::Sender<Rules>>,
    roster: Roster,
    fronts: Mutex<JoinSet<()>>,
}

/// The names of processes by their numbers.
#[derive(Clone, Debug, Default)]
pub struct Roster(Arc<Mutex<HashMap<u32, String>>>);

impl Roster {
    /// A process runs under this name.
    pub fn note(&self, process: u32, name: &str) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(process, name.to_owned());
    }

    /// Whose socket it is at the other end of a connection on this machine; empty: nobody's that is
    /// known.
    fn whose(&self, theirs: SocketAddr, ours: SocketAddr) -> String {
        let Some(socket) = socket_between(theirs, ours) else { return String::new() };
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = names.iter().find(|(process, _)| holds(**process, &socket));
        name.map(|(_, name)| name.clone()).unwrap_or_default()
    }
}

impl Links {
    /// The processes whose connections are told apart.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Listens for whoever dials `to`, which is at `server`; answers where. `from` is the only one
    /// that does; none: that is found out of each connection.
    ///
    /// # Panics
    /// If it cannot listen.
    pub async fn front(&self, from: Option<&str>, to: &str, server: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let (rules, roster) = (Arc::clone(&self.rules), self.roster.clone());
        let (from, to) = (from.map(ToOwned::to_owned), to.to_owned());
        let serving = async move {
            let mut connections = JoinSet::new();
            while let Ok((client, dialler)) = listener.accept().await {
                let from = from.clone().unwrap_or_else(|| roster.whose(dialler, address));
                let told = rules.subscribe();
                connections.spawn(carry(client, server, (from, to.clone()), told));
                while connections.try_join_next().is_some() {}
            }
        };
        self.fronts.lock().unwrap_or_else(PoisonError::into_inner).spawn(serving);
        address
    }

    /// From now on, for connections that are there, too.
    pub fn set(&self, from: &str, to: &str, way: Way) {
        let pair = (from.to_owned(), to.to_owned());
        self.rules.send_modify(|rules| {
            rules.pairs.insert(pair, way);
        });
    }

    /// The same for all ways that are not set one by one.
    pub fn set_all(&self, way: Way) {
        self.rules.send_modify(|rules| rules.all = way);
    }

    /// Opens all.
    pub fn heal(&self) {
        self.rules.send_modify(|rules| *rules = Rules::default());
    }
}

/// One connection.
async fn carry(
    client: TcpStream,
    server: SocketAddr,
    pair: Pair,
    mut told: watch::Receiver<Rules>,
) -> io::Result<()> {
    while told.borrow_and_update().of(&pair) == Way::Silent {
        told.changed().await.map_err(io::Error::other)?;
    }
    if told.borrow().of(&pair) == Way::Shut {
        return Ok(());
    }
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // Whichever ends, both are closed.
    tokio::select! {
        ended = pass(from_client, to_server, &pair, told.clone()) => ended,
        ended = pass(from_server, to_client, &pair, told.clone()) => ended,
    }
}

/// One direction of it.
async fn pass(
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    pair: &Pair,
    told: watch::Receiver<Rules>,
) -> io::Result<()> {
    let (pieces, arriving) = mpsc::channel(PIECES);
    let watched = told.clone();
    tokio::select! {
        ended = write(to, arriving, pair, told) => ended,
        ended = async { tokio::try_join!(read(from, pieces), until_shut(pair, watched)) } => ended.map(|_| ()),
    }
}

async fn read(mut from: OwnedReadHalf, pieces: mpsc::Sender<(Instant, Vec<u8>)>) -> io::Result<()> {
    loop {
        let mut piece = vec![0; PIECE_BYTES];
        let length = from.read(&mut piece).await?;
        piece.truncate(length);
        // The end comes in its turn, too.
        if length == 0 || pieces.send((Instant::now(), piece)).await.is_err() {
            return Ok(());
        }
    }
}

async fn write(
    mut to: OwnedWriteHalf,
    mut arriving: mpsc::Receiver<(Instant, Vec<u8>)>,
    pair: &Pair,
    mut told: watch::Receiver<Rules>,
) -> io::Result<()> {
    while let Some((sent, piece)) = arriving.recv().await {
        loop {
            let way = told.borrow_and_update().of(pair);
            match way {
                Way::Shut => return Ok(()),
                Way::Silent => told.changed().await.map_err(io::Error::other)?,
                Way::Slow(by) => {
                    tokio::time::sleep_until(sent + by).await;
                    break;
                }
                Way::Open => break,
            }
        }
        to.write_all(&piece).await?;
    }
    Ok(())
}

async fn until_shut(pair: &Pair, mut told: watch::Receiver<Rules>) -> io::Result<()> {
    let shut = told.wait_for(|rules| rules.of(pair) == Way::Shut).await;
    shut.map(|_| ()).map_err(io::Error::other)?;
    Err(io::ErrorKind::ConnectionAborted.into())
}

/// What the kernel calls the socket that is bound to `theirs` and connected to `ours`.
fn socket_between(theirs: SocketAddr, ours: SocketAddr) -> Option<String> {
    let (theirs, ours) = (written(theirs)?, written(ours)?);
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let is_it = words.next()? == theirs && words.next()? == ours;
        is_it.then(|| words.nth(6).map(|socket| format!("socket:[{socket}]")))?
    })
}

/// As the kernel writes an address.
fn written(address: SocketAddr) -> Option<String> {
    let IpAddr::V4(host) = address.ip() else { return None };
    Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(host.octets()), address.port()))
}

fn holds(process: u32, socket: &str) -> bool {
    let files = fs::read_dir(format!("/proc/{process}/fd"));
    let mut files = files.into_iter().flatten().flatten();
    files.any(|file| fs::read_link(file.path()).is_ok_and(|it| it.as_os_str() == socket))
}
