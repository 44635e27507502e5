//! Clients who hear what is said in the rooms: their sessions stay while nodes come and go.

use std::sync::{Arc, Mutex};

use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;
use wasmverse_tests::{
    http::path_of,
    patience::eventually,
    sessions::{Connection, Mark, Surface, Told},
};

use super::{load::POSTER, site::Site, talk::Message};

/// What each of them comes in by.
pub(crate) const SURFACES: [Surface; 2] = [Surface::Sse, Surface::Ws];

/// A message that was pushed: to whom, and in which room.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) listener: usize,
    pub(crate) object: String,
    pub(crate) message: Message,
}

/// Those who listen in all rooms.
pub(crate) struct Listeners {
    heard: Arc<Mutex<Vec<Heard>>>,
    listening: Vec<AbortOnDropHandle<()>>,
}

impl Listeners {
    /// Lets the poster and the listeners join these rooms.
    pub(crate) async fn join(site: &Site, rooms: &[String]) -> Self {
        let heard = Arc::default();
        let mut listening = Vec::new();
        for (listener, surface) in SURFACES.into_iter().enumerate() {
            let (_, connection) = Connection::open(surface, site.at, &Mark::default()).await;
            for room in rooms {
                join(site, room, &format!("listener-{listener}"), &connection.mark.token).await;
            }
            let task = listen(listener, connection, Arc::clone(&heard));
            let tracker = tokio_util::task::TaskTracker::new();
            listening.push(AbortOnDropHandle::new(tracker.spawn(task)));
        }
        for room in rooms {
            join(site, room, POSTER, "").await;
        }
        Self { heard, listening }
    }

    /// What was heard since the last time.
    pub(crate) fn take(&self) -> Vec<Heard> {
        let ended = self.listening.iter().any(AbortOnDropHandle::is_finished);
        assert!(!ended, "a listener has lost its session");
        std::mem::take(&mut self.heard.lock().unwrap())
    }

    /// How many listeners have heard this since what was last taken.
    pub(crate) fn have_heard(&self, object: &str, message: &Message) -> usize {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter(|heard| heard.object == object && heard.message == *message).count()
    }
}

/// Who is in a room after that.
pub(crate) fn members() -> Value {
    let listeners = (0..SURFACES.len()).map(|listener| format!("listener-{listener}"));
    listeners.chain([POSTER.to_owned()]).collect()
}

/// Joins with a session, or (no token) without one.
async fn join(site: &Site, room: &str, user: &str, token: &str) {
    let path = format!("{}/join", path_of(room));
    let body = json!({ "user": user }).to_string();
    let session = [("wasmverse-session", token)];
    let headers = if token.is_empty() { &[][..] } else { &session };
    eventually("the room is joined", async || {
        let answer =
            site.http.try_request(Method::POST, &path, body.clone(), headers).await.ok()?;
        answer.status.is_success().then_some(())
    })
    .await;
}

async fn listen(listener: usize, mut connection: Connection, heard: Arc<Mutex<Vec<Heard>>>) {
    while let Some(told) = connection.next().await {
        if let Told::Push(event, data) = told
            && event == "message"
        {
            let text = |key: &str| data[key].as_str().unwrap().to_owned();
            let object = format!("ChatRoom/{}", text("room"));
            let message = (data["seq"].as_u64().unwrap(), text("text"));
            heard.lock().unwrap().push(Heard { listener, object, message });
        }
    }
}
