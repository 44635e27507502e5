//! Who calls during a trial: some the same object all the time, some this one and that, some objects
//! that call others; beside them money moves, reminders fire and people talk.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wasmverse_tests::fleet::{
    LONG,
    doors::{Ask, Doors, Said},
};

use super::{
    balances::Accounts,
    calls::{Call, Client, Deed, Wish},
    clocks::Clocks,
    objects::{Kind, Objects, chain_to, sum_by_way},
    talk::Rooms,
};

/// Callers of each object that is called all the time.
const CALLERS: usize = 2;
/// Callers of this object and that, and of objects that call others.
const WANDERERS: usize = 4;
const GO_BETWEENS: usize = 3;
/// Between two calls of a caller, at most.
const PAUSE_MILLIS: u64 = 100;
/// One call in so many only reads.
const READS: u32 = 5;
/// Reads at once, in the end.
const READERS: usize = 16;

/// A load that goes on.
pub(crate) struct Load {
    pub(crate) began: Instant,
    pub(crate) objects: Arc<Objects>,
    end: CancellationToken,
    callers: JoinSet<Vec<Call>>,
    client: Client,
    accounts: Accounts,
    clocks: Clocks,
    rooms: Rooms,
}

/// All that is known of it in the end.
pub(crate) struct Known {
    pub(crate) calls: Vec<Call>,
    /// What each object has.
    pub(crate) last: Vec<(Kind, Arc<str>, Value)>,
    /// Pushes that were heard, and gaps that were told.
    pub(crate) heard: (usize, usize),
    /// Of reminders.
    pub(crate) firings: i64,
    /// What is wrong with money, reminders and talk.
    pub(crate) wrong: Vec<String>,
    /// What was not pushed to somebody who was there.
    pub(crate) holes: Vec<String>,
}

impl Load {
    /// Sets callers to work on the objects of that trial, in these shards, too.
    pub(crate) async fn begin(doors: &Arc<Doors>, trial: &str, shards: &[u16], seed: u64) -> Self {
        let began = Instant::now();
        let dice = StdRng::seed_from_u64(seed);
        let mut client = Client { doors: Arc::clone(doors), began, dice };
        let (objects, end) = (Arc::new(Objects::of(trial, shards)), CancellationToken::new());
        let mut callers = JoinSet::new();
        for (kind, object) in objects.hot() {
            for _ in 0..CALLERS {
                let work = stay(client.another(), kind, Arc::clone(object), end.clone());
                callers.spawn(work);
            }
        }
        for _ in 0..WANDERERS {
            callers.spawn(wander(client.another(), Arc::clone(&objects), end.clone()));
        }
        for _ in 0..GO_BETWEENS {
            callers.spawn(go_between(client.another(), Arc::clone(&objects), end.clone()));
        }
        let accounts = Accounts::open(&mut client, trial).await;
        callers.spawn(accounts.clone().work(client.another(), end.clone()));
        let clocks = Clocks::set(&mut client, trial).await;
        let rooms = Rooms::open(&mut client, trial, &end).await;
        Self { began, objects, end, callers, client, accounts, clocks, rooms }
    }

    /// No more calls; all that is known, once none is under way and all objects were read.
    pub(crate) async fn end(mut self) -> Known {
        self.end.cancel();
        let mut wrong = Vec::new();
        let mut calls = self.callers.join_all().await.concat();
        let (talk, heard) = self.rooms.end(&mut self.client).await;
        calls.extend(talk.calls);
        wrong.extend(talk.wrong);
        for (last, first) in &self.objects.chains {
            let [ended, begun] =
                [last, first].map(|it| read(&self.client.doors, it, "value", &Value::Null));
            let (ended, begun) = tokio::join!(ended, begun);
            if ended != begun {
                wrong.push(format!("{first} counted {begun} chains, {last} {ended}"));
            }
        }
        wrong.extend(self.accounts.wrong(&self.client.doors).await);
        let (firings, found) = self.clocks.stop(&mut self.client).await;
        wrong.extend(found);
        let all = self.objects.all().map(|(kind, object)| (kind, Arc::clone(object)));
        let doors = &self.client.doors;
        let reads = stream::iter(all.collect::<Vec<_>>()).map(async |(kind, object)| {
            let last = read(doors, &object, kind.reader(), &Value::Null).await;
            (kind, object, last)
        });
        let last = reads.buffer_unordered(READERS).collect().await;
        Known { calls, last, heard, firings, wrong, holes: talk.holes }
    }
}

/// What a read-only method answers, once it does.
pub(crate) async fn read(doors: &Doors, object: &str, method: &str, argument: &Value) -> Value {
    let (began, timeout) = (Instant::now(), Duration::from_secs(10));
    loop {
        let ask = Ask { object, method, argument, key: None, timeout };
        match doors.open_from(0).ask(ask).await {
            Said::Value(value) => return value,
            said => assert!(began.elapsed() < LONG, "{object} does not answer: {said:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn pause(client: &mut Client) {
    let millis = client.dice.random_range(0..PAUSE_MILLIS);
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// Writes or reads, as is done with such an object.
async fn once(client: &mut Client, kind: Kind, object: &Arc<str>) -> Call {
    if client.dice.random_ratio(1, READS) {
        let (method, argument) = (kind.reader(), Value::Null);
        let wish = Wish { object, method, argument, deed: Deed::Read, is_keyed: false };
        return client.make(wish).await;
    }
    if kind != Kind::List {
        let (method, argument, deed) = ("add", json!(1), Deed::Write(None));
        return client.make(Wish { object, method, argument, deed, is_keyed: false }).await;
    }
    let word = format!("{:016x}", client.dice.random::<u64>());
    let (method, argument, deed) = ("append", json!(word), Deed::Write(Some(word)));
    client.make(Wish { object, method, argument, deed, is_keyed: true }).await
}

async fn stay(
    mut client: Client,
    kind: Kind,
    object: Arc<str>,
    end: CancellationToken,
) -> Vec<Call> {
    let mut calls = Vec::new();
    while !end.is_cancelled() {
        calls.push(once(&mut client, kind, &object).await);
        pause(&mut client).await;
    }
    calls
}

async fn wander(mut client: Client, objects: Arc<Objects>, end: CancellationToken) -> Vec<Call> {
    let mut calls = Vec::new();
    while !end.is_cancelled() {
        let (kind, all) = match client.dice.random() {
            true => (Kind::Counter, &objects.counters),
            false => (Kind::List, &objects.lists),
        };
        let object = &all[client.dice.random_range(0..all.len())];
        calls.push(once(&mut client, kind, object).await);
        pause(&mut client).await;
    }
    calls
}

/// Has objects call others. What is kept is what became of the other.
async fn go_between(
    mut client: Client,
    objects: Arc<Objects>,
    end: CancellationToken,
) -> Vec<Call> {
    let mut calls = Vec::new();
    while !end.is_cancelled() {
        let is_keyed = client.dice.random();
        let pairs = if is_keyed { &objects.chains } else { &objects.sums };
        let (last, first) = &pairs[client.dice.random_range(0..pairs.len())];
        let (method, argument) = match is_keyed {
            true => ("relay_and_add", chain_to(last)),
            false => ("add_by_name", sum_by_way(last)),
        };
        let wish = Wish { object: first, method, argument, deed: Deed::Write(None), is_keyed };
        let call = client.make(wish).await;
        calls.push(Call { object: Arc::clone(last), ..call });
        pause(&mut client).await;
    }
    calls
}
