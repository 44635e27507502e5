//! Rooms in which people talk, with sessions at every gate: what is posted is heard in its order, at
//! most once, and by all who did not lose their gate.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wasmverse_tests::{
    fleet::{
        LONG,
        doors::{Door, Doors},
    },
    http::path_of,
    sessions::{Connection, Mark, Surface, Told},
};

use super::calls::{Call, Client, Deed, Outcome, Wish};

const ROOMS: usize = 2;
const POSTER: &str = "poster";
const PAUSE: Duration = Duration::from_millis(50);
const BETWEEN_POSTS: Duration = Duration::from_millis(100);

/// Rooms, who posts and who listens.
pub(crate) struct Rooms {
    rooms: Vec<Arc<str>>,
    posters: JoinSet<Vec<Call>>,
    listeners: JoinSet<()>,
    heard: Vec<(Arc<str>, Arc<Mutex<Heard>>)>,
    leave: CancellationToken,
}

/// What was said of it in the end.
pub(crate) struct Talk {
    pub(crate) calls: Vec<Call>,
    pub(crate) wrong: Vec<String>,
    /// Messages that a listener did not hear although it was there.
    pub(crate) holes: Vec<String>,
}

/// What one listener heard.
#[derive(Debug, Default)]
struct Heard {
    /// The numbers of messages, anew after each gap: in one part none is to be missing.
    parts: Vec<Vec<u64>>,
    gaps: usize,
    is_in: bool,
}

impl Heard {
    fn part(&mut self) {
        self.parts.push(Vec::new());
    }

    fn message(&mut self, seq: u64) {
        match self.parts.last_mut() {
            Some(part) => part.push(seq),
            None => self.parts.push(vec![seq]),
        }
    }

    fn last(&self) -> Option<u64> {
        self.parts.iter().flatten().max().copied()
    }

    /// Something came twice, or before what it followed.
    fn disorder(&self) -> Option<String> {
        let is_wrong = |part: &&Vec<u64>| !part.is_sorted_by(|one, next| one < next);
        self.parts.iter().find(is_wrong).map(|part| format!("was told {part:?}"))
    }

    /// Something is missing between others.
    fn hole(&self) -> Option<String> {
        let mut pairs = self.parts.iter().flat_map(|part| part.windows(2));
        let hole = pairs.find(|pair| pair[1] > pair[0] + 1)?;
        Some(format!("was told {} after {}", hole[1], hole[0]))
    }
}

impl Rooms {
    /// Opens rooms; at every gate somebody listens in each, and somebody posts.
    pub(crate) async fn open(client: &mut Client, trial: &str, end: &CancellationToken) -> Self {
        let name = |number| Arc::from(format!("ChatRoom/{trial}-{number}"));
        let rooms: Vec<Arc<str>> = (0..ROOMS).map(name).collect();
        let (mut posters, mut listeners) = (JoinSet::new(), JoinSet::new());
        let (mut heard, leave) = (Vec::new(), CancellationToken::new());
        for room in &rooms {
            for gate in 0..client.doors.count() {
                let hears = Arc::<Mutex<Heard>>::default();
                let listener = Listener {
                    doors: Arc::clone(&client.doors),
                    room: Arc::clone(room),
                    user: format!("listener-{gate}"),
                    gate,
                    heard: Arc::clone(&hears),
                };
                let leave = leave.clone();
                listeners.spawn(async move {
                    leave.run_until_cancelled(listener.listen()).await;
                });
                heard.push((Arc::clone(room), hears));
            }
            until(|| heard.iter().all(|(_, it)| it.lock().unwrap().is_in), "all listen").await;
            posters.spawn(post(client.another(), Arc::clone(room), end.clone()));
        }
        Self { rooms, posters, listeners, heard, leave }
    }

    /// Once nobody posts any more, sees that a last message reaches all; what was found, and how many
    /// pushes and gaps there were.
    pub(crate) async fn end(mut self, client: &mut Client) -> (Talk, (usize, usize)) {
        let calls = self.posters.join_all().await.concat();
        let mut wrong = Vec::new();
        for room in &self.rooms {
            let Outcome::Done(seq, _) = say(client, room, "the last word").await.outcome else {
                wrong.push(format!("nothing can be said in {room}"));
                continue;
            };
            let here = || self.heard.iter().filter(|(other, _)| other == room);
            let last = |heard: &Mutex<Heard>| heard.lock().unwrap().last();
            let is_late = |heard: &Mutex<Heard>| last(heard) < u64::try_from(seq).ok();
            let began = Instant::now();
            while here().any(|(_, heard)| is_late(heard)) {
                if began.elapsed() > LONG / 3 {
                    wrong.push(format!("not all in {room} heard {seq}"));
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        self.leave.cancel();
        while self.listeners.join_next().await.is_some() {}
        let (mut holes, mut pushes, mut gaps) = (Vec::new(), 0, 0);
        for (room, heard) in &self.heard {
            let heard = heard.lock().unwrap();
            let named = |what: String| format!("a listener in {room} {what}");
            wrong.extend(heard.disorder().map(named));
            holes.extend(heard.hole().map(named));
            pushes += heard.parts.iter().map(Vec::len).sum::<usize>();
            gaps += heard.gaps;
        }
        (Talk { calls, wrong, holes }, (pushes, gaps))
    }
}

async fn until(mut is_so: impl FnMut() -> bool, what: &str) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LONG, "never: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Posts until it is told to end. The outcome of a post is the number of its message.
async fn post(mut client: Client, room: Arc<str>, end: CancellationToken) -> Vec<Call> {
    let (object, method, argument) = (&room, "join", json!({ "user": POSTER }));
    client.make(Wish { object, method, argument, deed: Deed::Other, is_keyed: true }).await;
    let mut calls = Vec::new();
    while !end.is_cancelled() {
        calls.push(say(&mut client, &room, "word").await);
        tokio::time::sleep(BETWEEN_POSTS).await;
    }
    calls
}

async fn say(client: &mut Client, room: &Arc<str>, text: &str) -> Call {
    let argument = json!({ "user": POSTER, "text": text });
    let (method, deed) = ("send_message", Deed::Other);
    client.make(Wish { object: room, method, argument, deed, is_keyed: true }).await
}

/// Somebody with a session, at this gate as long as there is one.
struct Listener {
    doors: Arc<Doors>,
    room: Arc<str>,
    user: String,
    gate: usize,
    heard: Arc<Mutex<Heard>>,
}

impl Listener {
    async fn listen(self) {
        let (mut mark, mut client) = (Mark::default(), String::new());
        loop {
            let door = self.doors.open_from(self.gate);
            if let Some(connection) = Connection::try_open(Surface::Sse, door.at, &mark).await {
                mark = self.follow(door, connection, &mut client).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Until the connection breaks; where to go on then.
    async fn follow(&self, door: &Door, mut told: Connection, client: &mut String) -> Mark {
        while let Some(event) = told.next().await {
            match event {
                Told::Opened(id) if id == *client => {}
                Told::Opened(id) => {
                    *client = id;
                    self.heard.lock().unwrap().part();
                    if !self.join(door, &told.mark.token).await {
                        // The gate goes away: with the next one all begins anew.
                        client.clear();
                        return Mark::default();
                    }
                    self.heard.lock().unwrap().is_in = true;
                }
                Told::Gap(_) => {
                    let mut heard = self.heard.lock().unwrap();
                    heard.gaps += 1;
                    heard.part();
                }
                Told::Push(name, data) if name == "message" => {
                    self.heard.lock().unwrap().message(data["seq"].as_u64().unwrap());
                }
                Told::Push(..) => {}
            }
        }
        told.mark
    }

    /// Joins the room with the session; none: there is no such session any more, or no gate.
    async fn join(&self, door: &Door, session: &str) -> bool {
        let path = format!("{}/join", path_of(&self.room));
        let (began, body) = (Instant::now(), json!({ "user": self.user }).to_string());
        while began.elapsed() < LONG {
            let headers = [("wasmverse-session", session)];
            let asked = door.http.try_request(reqwest::Method::POST, &path, body.clone(), &headers);
            let Ok(answer) = asked.await else { return false };
            if answer.status.is_success() {
                return true;
            }
            if answer.code() == "unauthenticated" {
                return false;
            }
            tokio::time::sleep(PAUSE).await;
        }
        false
    }
}

#[test]
fn what_came_twice_out_of_order_or_not_at_all_is_found() {
    let heard = |parts: &[&[u64]]| Heard {
        parts: parts.iter().map(|part| part.to_vec()).collect(),
        ..Heard::default()
    };
    let good = heard(&[&[1, 2, 3], &[7, 8]]);
    assert_eq!((good.disorder(), good.hole(), good.last()), (None, None, Some(8)));
    assert!(heard(&[&[1, 2, 2]]).disorder().is_some());
    assert!(heard(&[&[2, 1]]).disorder().is_some());
    assert!(heard(&[&[1, 3]]).hole().is_some());
}
