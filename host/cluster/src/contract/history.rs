//! Random histories: writers that race, and watches that come and go.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::{join_all, try_join};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::{Verdict, Violation, delete, ensure, next, put};
use crate::{Change, Coordination, Guard, Op, Snapshot};

const WRITERS: u64 = 4;
const KEYS: u64 = 6;

/// Keys, each with the revision that wrote it last and what it holds.
type State = BTreeMap<String, (u64, String)>;

/// Commits that were done: at which revision, resting on what, doing what.
type Done = Vec<(u64, Vec<Guard>, Vec<Op>)>;

pub(super) async fn play(service: Arc<dyn Coordination>, seed: u64, steps: usize) -> Verdict {
    let begin = service.snapshot().await?.revision;
    let writers = (0..WRITERS).map(|writer| write(&*service, seed * WRITERS + writer, steps));
    let writing = async {
        let mut done = Done::new();
        for answer in join_all(writers).await {
            done.extend(answer?);
        }
        let end = service.commit(vec![], vec![put("end", "")]).await?;
        done.push((end.unwrap_or_default(), vec![], vec![put("end", "")]));
        Ok(done)
    };
    let (mut done, watched) = try_join(writing, watch(&*service, seed, begin)).await?;
    done.sort_by_key(|(revision, ..)| *revision);
    let state = replay(&done)?;
    ensure!(watched == state, "watches told {watched:?}, but written was {state:?}");
    let found = read(&service.snapshot().await?);
    ensure!(found == state, "the snapshot holds {found:?}, but written was {state:?}");
    Ok(())
}

/// Commits that rest on what was just read, and so are refused now and then.
async fn write(service: &dyn Coordination, seed: u64, steps: usize) -> Result<Done, Violation> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut done = Done::new();
    for step in 0..steps {
        let key = format!("key/{}", random.random_range(0..KEYS));
        let other = format!("key/{}", random.random_range(0..KEYS));
        let (_, row) = service.get(&key).await?;
        let guard = match row {
            None => Guard::Absent(key.clone()),
            Some(row) => Guard::Revision(key.clone(), row.revision),
        };
        let mut ops = vec![match random.random_range(0..4) {
            0 => delete(&key),
            _ => put(&key, &format!("{seed}-{step}")),
        }];
        if other != key {
            ops.push(put(&other, &format!("{seed}-{step}-other")));
        }
        // So that every commit changes something, and has a revision of its own.
        ops.push(put(&format!("mark/{seed}"), &step.to_string()));
        let guards = if random.random_bool(0.8) { vec![guard] } else { vec![] };
        // Others have their turn in between, even where nothing ever waits.
        for _ in 0..random.random_range(0..3) {
            tokio::task::yield_now().await;
        }
        if let Some(revision) = service.commit(guards.clone(), ops.clone()).await? {
            done.push((revision, guards, ops));
        }
    }
    Ok(done)
}

/// What watches tell that break now and then, until they tell of the end.
async fn watch(service: &dyn Coordination, seed: u64, begin: u64) -> Result<State, Violation> {
    let mut random = StdRng::seed_from_u64(!seed);
    let (mut state, mut last) = (State::new(), begin);
    loop {
        let mut watch = service.watch(last).await?;
        for _ in 0..random.random_range(1..20) {
            let batch = next(&mut watch).await??;
            ensure!(batch.revision > last, "revision {} comes after {last}", batch.revision);
            for change in batch.changes {
                match change {
                    Change::Put(row) => {
                        let is_new = row.revision > last && row.revision <= batch.revision;
                        ensure!(is_new, "{row:?} is told after {last}, in {}", batch.revision);
                        let value = String::from_utf8_lossy(&row.value).into_owned();
                        state.insert(row.key, (row.revision, value));
                    }
                    Change::Deleted { key } => drop(state.remove(&key)),
                }
            }
            last = batch.revision;
            if state.contains_key("end") {
                return Ok(state);
            }
        }
    }
}

/// What follows from the commits, whose guards must have held.
fn replay(done: &Done) -> Result<State, Violation> {
    let mut state = State::new();
    let mut last = 0;
    for (revision, guards, ops) in done {
        ensure!(*revision > last, "two commits have the revision {revision}");
        last = *revision;
        for guard in guards {
            let held = match guard {
                Guard::Absent(key) => !state.contains_key(key),
                Guard::Revision(key, at) => state.get(key).is_some_and(|(was, _)| was == at),
            };
            ensure!(held, "the commit {revision} was done, but {guard:?} did not hold");
        }
        for op in ops {
            match op {
                Op::Put { key, value, .. } => {
                    let value = String::from_utf8_lossy(value).into_owned();
                    state.insert(key.clone(), (*revision, value));
                }
                Op::Delete(key) => drop(state.remove(key)),
            }
        }
    }
    Ok(state)
}

fn read(snapshot: &Snapshot) -> State {
    let row = |row: &crate::Row| {
        (row.key.clone(), (row.revision, String::from_utf8_lossy(&row.value).into_owned()))
    };
    snapshot.rows.iter().map(row).collect()
}
