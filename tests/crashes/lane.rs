//! One gate, and a node that is killed again and again under load; after each death the books are
//! compared with what is held.

use std::{sync::Arc, time::Duration};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use wasmverse_tests::{patience::eventually, programs::Process};

use super::{
    books::{Books, message},
    listeners::{Listeners, SURFACES},
    load::{Load, POSTER},
    once::Once,
    report::Report,
    site::{Shelf, Site},
    verdict::Verdict,
};

/// The load lasts so long at most until the node is killed.
const LOAD_MICROS_MAX: u64 = 250_000;
/// Of so many nodes one is killed while it starts, within so long.
const STARTS_ONE_OF: u32 = 10;
const START_MICROS_MAX: u64 = 200_000;
/// The turn that meets a step, at most.
const COUNT_MAX: u32 = 40;

/// A site in a campaign.
pub(crate) struct Lane {
    site: Arc<Site>,
    node: Process,
    books: Books,
    once: Once,
    listeners: Listeners,
    dice: StdRng,
    kills: usize,
    at_steps: usize,
}

impl Lane {
    /// Starts gate and node, lets the listeners join, and sets the reminders.
    pub(crate) async fn start(shelf: &Shelf, bug: Option<&'static str>, seed: u64) -> Self {
        let (site, node) = Site::start(shelf, bug).await;
        let books = Books::new();
        let listeners = Listeners::join(&site, &books.rooms()).await;
        let once = Once::begin(&site).await;
        let dice = StdRng::seed_from_u64(seed);
        Self { site: Arc::new(site), node, books, once, listeners, dice, kills: 0, at_steps: 0 }
    }

    /// Kills the node so often, or until there is a violation.
    pub(crate) async fn kill(&mut self, times: usize) -> Verdict {
        while self.kills < times {
            self.kills += 1;
            if self.dice.random_ratio(1, STARTS_ONE_OF) {
                self.kill_at_start().await;
            } else {
                self.kill_under_load().await?;
            }
        }
        Ok(())
    }

    /// Lets the node die at a named step.
    pub(crate) async fn die_at(&mut self, step: &str) -> Verdict {
        self.at_steps += 1;
        self.node.kill();
        let count = self.dice.random_range(1..=COUNT_MAX);
        self.node = self.site.node(Some(&format!("{step}:{count}")));
        let load = self.load();
        let node = &mut self.node;
        eventually("the node dies", async || (!node.runs()).then_some(())).await;
        self.restart(load).await
    }

    /// What it has come to. All is read once more from the beginning.
    pub(crate) async fn end(mut self, verdict: Verdict) -> Report {
        let verdict = match verdict {
            Ok(()) => self.check_all().await,
            found => found,
        };
        let (kills, at_steps) = (self.kills, self.at_steps);
        let counts = self.books.counts.and(self.once.counts);
        Report { kills, at_steps, counts, violations: verdict.err().into_iter().collect() }
    }

    async fn kill_under_load(&mut self) -> Verdict {
        let load = self.load();
        let moment = Duration::from_micros(self.dice.random_range(0..LOAD_MICROS_MAX));
        tokio::time::sleep(moment).await;
        self.node.kill();
        self.restart(load).await
    }

    /// Another node takes its place at once, and is killed before it is asked anything.
    async fn kill_at_start(&mut self) {
        self.node.kill();
        self.node = self.site.node(None);
        let moment = Duration::from_micros(self.dice.random_range(0..START_MICROS_MAX));
        tokio::time::sleep(moment).await;
        self.node.kill();
        self.node = self.site.node(None);
    }

    fn load(&mut self) -> Load {
        Load::begin(&self.site, &self.books.targets, &mut self.dice)
    }

    /// After a death: calls that wait at the gate are executed by the next node, and so are keyed
    /// requests that were under way.
    async fn restart(&mut self, load: Load) -> Verdict {
        load.end();
        self.node = self.site.node(None);
        let (asked, answers) = load.all().await;
        asked.into_iter().try_for_each(|asked| self.books.note(asked))?;
        self.hear()?;
        self.books.check(&self.site).await?;
        self.once.note(answers)?;
        self.once.check(&self.site, &mut self.dice).await
    }

    fn hear(&mut self) -> Verdict {
        let heard = self.listeners.take();
        heard.into_iter().try_for_each(|heard| self.books.hear(heard))
    }

    /// All that was pushed is heard once a last message of each room is.
    async fn check_all(&mut self) -> Verdict {
        self.site.ready().await;
        self.hear()?;
        for room in self.books.rooms() {
            let post = json!({ "user": POSTER, "text": "the last one" });
            let last = message(&self.site.http.ok(&room, "send_message", post).await);
            self.books.say(&room, &last)?;
            eventually("the last one is heard", async || {
                (self.listeners.have_heard(&room, &last) == SURFACES.len()).then_some(())
            })
            .await;
        }
        self.hear()?;
        self.books.check_all(&self.site).await?;
        self.once.check_all(&self.site).await
    }
}
