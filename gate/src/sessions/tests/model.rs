//! The whole engine, held against a model: whoever comes, goes, resumes, is taken over or stays
//! away too long, each client gets what it was pushed, once and in order, and nobody else does.

use proptest::prelude::*;

use super::*;

/// Clients that come and go.
const CLIENTS: usize = 4;
/// Within the window, and beyond it.
const SOON: Duration = Duration::from_secs(10);
const LATE: Duration = Duration::from_secs(100);

#[derive(Clone, Debug)]
enum Step {
    /// Opens a session anew, whatever it had.
    Open(usize),
    /// Is pushed to, together with those whose bits are set.
    Push(u8),
    Broadcast,
    /// Reads all.
    Read(usize),
    /// Its connection is lost, with so many of the last things that it was told.
    Cut(usize, usize),
    /// Comes back with its token, while its connection may still be thought to be there.
    Resume(usize),
    /// Comes back with a token that nobody has.
    Forge(usize),
    Sweep {
        late: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let client = || 0..CLIENTS;
    prop_oneof![
        2 => client().prop_map(Step::Open),
        6 => (1..1_u8 << CLIENTS).prop_map(Step::Push),
        1 => Just(Step::Broadcast),
        5 => client().prop_map(Step::Read),
        3 => (client(), 0..4_usize).prop_map(|(client, lost)| Step::Cut(client, lost)),
        4 => client().prop_map(Step::Resume),
        1 => client().prop_map(Step::Forge),
        1 => any::<bool>().prop_map(|late| Step::Sweep { late }),
    ]
}

/// One client, as the model has it.
#[derive(Default)]
struct Client {
    id: Option<Arc<str>>,
    token: Option<Token>,
    connection: Option<Attached>,
    /// Its session is swept away.
    is_over: bool,
    /// What was pushed to this session: numbers in order.
    pushed: Vec<u64>,
    /// What it has of that; the first event may be the gap that a new session begins with.
    received: Vec<u64>,
    /// So many of these it was told so long ago that they have arrived.
    arrived: usize,
    began_with_gap: bool,
}

impl Client {
    fn begin(&mut self, attached: Attached, with_gap: bool) {
        assert_ne!(Some(attached.client.id()), self.id.as_ref(), "nobody has its id again");
        *self = Self {
            id: Some(Arc::clone(attached.client.id())),
            token: Some(attached.token.clone()),
            connection: Some(attached),
            began_with_gap: with_gap,
            ..Self::default()
        };
        if with_gap {
            let attached = self.connection.as_mut().unwrap();
            assert_eq!(told(attached), [(1, Some(None))], "a gap that nobody knows the size of");
        }
    }

    /// The last event that it has.
    fn seq(&self) -> u64 {
        self.received.len() as u64 + u64::from(self.began_with_gap)
    }

    fn read(&mut self) {
        let Some(attached) = &mut self.connection else { return };
        let mut cx = std::task::Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(told)) = attached.poll_next(&mut cx) {
            let Told::Push { seq, event } = told else { panic!("a gap, and all had room") };
            let number = std::str::from_utf8(&event.payload).unwrap().parse().unwrap();
            self.received.push(number);
            assert_eq!(seq, self.received.len() as u64 + u64::from(self.began_with_gap));
        }
        assert_eq!(self.received, self.pushed);
    }
}

struct World {
    sessions: Arc<Sessions>,
    clients: [Client; CLIENTS],
    pushes: u64,
}

impl World {
    fn play(&mut self, step: &Step) {
        match *step {
            Step::Open(client) => {
                let attached = self.sessions.open().unwrap();
                self.clients[client].begin(attached, false);
            }
            Step::Push(mask) => {
                let chosen = (0..CLIENTS).filter(|client| mask & (1 << client) != 0);
                let known = chosen.filter(|client| self.clients[*client].id.is_some());
                self.push(&known.collect::<Vec<_>>(), false);
            }
            Step::Broadcast => {
                let known = (0..CLIENTS).filter(|client| self.clients[*client].id.is_some());
                self.push(&known.collect::<Vec<_>>(), true);
            }
            Step::Read(client) => self.clients[client].read(),
            Step::Cut(client, lost) => {
                let client = &mut self.clients[client];
                client.connection = None;
                let left = client.received.len().saturating_sub(lost);
                client.received.truncate(left.max(client.arrived));
            }
            Step::Resume(client) => self.resume(client),
            Step::Forge(client) => {
                let attached = self.sessions.resume("forged", 3).unwrap();
                self.clients[client].begin(attached, true);
            }
            Step::Sweep { late } => {
                let now = Instant::now() + if late { LATE } else { SOON };
                self.sessions.sweep(now, false);
                for client in &mut self.clients {
                    client.is_over |= late && client.connection.is_none();
                    if late {
                        client.arrived = client.received.len();
                    }
                }
            }
        }
    }

    fn push(&mut self, clients: &[usize], everyone: bool) {
        self.pushes += 1;
        let ids = clients.iter().filter_map(|client| self.clients[*client].id.clone());
        let to = if everyone { PushTo::Everyone } else { PushTo::Clients(ids.collect()) };
        let payload = self.pushes.to_string().into();
        let push = Push { to, event: "e".into(), payload };
        let gone = self.sessions.deliver(Delivery { from: "T/a".parse().unwrap(), push });
        let mut over = Vec::new();
        for client in clients {
            let client = &mut self.clients[*client];
            match client.is_over {
                true => over.extend(client.id.clone()),
                false => client.pushed.push(self.pushes),
            }
        }
        assert_eq!(gone, if everyone { Vec::new() } else { over }, "who is gone is told");
    }

    fn resume(&mut self, client: usize) {
        let client = &mut self.clients[client];
        let Some(token) = client.token.clone() else { return };
        let before = client.connection.take();
        let attached = self.sessions.resume(token.expose(), client.seq()).unwrap();
        if client.is_over {
            return client.begin(attached, true);
        }
        assert_eq!(Some(attached.client.id()), client.id.as_ref());
        client.connection = Some(attached);
        if let Some(mut before) = before {
            assert!(is_over(&mut before), "the latest connection counts");
            // That it ends now does not end the session.
            drop(before);
        }
    }
}

proptest! {
    #[test]
    fn each_client_gets_what_it_was_pushed_whatever_becomes_of_its_connections(
        steps in proptest::collection::vec(step(), 0..150),
    ) {
        let bounds = SessionBounds { buffer_length: 1000, sessions_max: 1000, ..bounds() };
        let clients = std::array::from_fn(|_| Client::default());
        let mut world = World { sessions: sessions(bounds), clients, pushes: 0 };
        for step in &steps {
            world.play(step);
        }
        for client in 0..CLIENTS {
            world.resume(client);
            world.clients[client].read();
        }
    }
}
