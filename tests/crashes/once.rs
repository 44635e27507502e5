//! What is to happen exactly once: keyed requests, what they set off, and reminders that fire. The
//! objects that tell of it are read after each restart.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use wasmverse_tests::patience::eventually;

use super::{
    bank::Bank,
    chain::Chain,
    customers::{Answers, PATIENT},
    firings::{Firing, Firings},
    keyed::{ACCOUNTS, Answered, CHAIN, Said, Wish, account, link},
    repeats::{Repeats, repeated},
    report::Counts,
    site::{Site, number},
    verdict::Verdict,
};

/// Objects with a reminder.
const REMINDED: usize = 2;
const PERIOD_MILLIS: i64 = 50;
/// What has yet to come may take so long: less than a listener waits for the next push.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// Between two looks: at first, and at most.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(320);

/// What is known of all that is to happen once.
pub(crate) struct Once {
    bank: Bank,
    chain: Chain,
    reminded: Vec<Firings>,
    repeats: Repeats,
    pub(crate) counts: Counts,
}

impl Once {
    /// Sets the reminders.
    pub(crate) async fn begin(site: &Site) -> Self {
        let when = json!(["soon", ["every", PERIOD_MILLIS], "note_firing", null]);
        for place in 0..REMINDED {
            eventually("the reminder is set", async || {
                let set = site.ask(&reminded(place), "remind", &when, "set", PATIENT).await?;
                set.status.is_success().then_some(())
            })
            .await;
        }
        let (bank, chain) = (Bank::new(ACCOUNTS), Chain::default());
        let reminded = vec![Firings::default(); REMINDED];
        Self { bank, chain, reminded, repeats: Repeats::default(), counts: Counts::default() }
    }

    /// Requests were answered.
    pub(crate) fn note(&mut self, answers: Answers) -> Verdict {
        self.counts.asked_again += answers.again;
        for answered in answers.answered {
            let said = answered.said()?;
            let wish = &answered.request.wish;
            self.counts.keyed += 1;
            self.counts.lacking += u64::from(matches!(said, Said::TooLittle(_)));
            match (wish, said) {
                (Wish::Chain { amount }, Said::Done(sum)) => {
                    let verdict = self.chain.answered(*amount, sum);
                    verdict.map_err(|found| found.about("the chain"))?;
                }
                (Wish::Transfer { .. }, Said::Done(_)) => self.counts.transfers += 1,
                _ => {}
            }
            self.bank.answered(&answered, said);
            self.repeats.keep(answered);
        }
        Ok(())
    }

    /// Reads all objects while no call is under way, and makes some requests again.
    pub(crate) async fn check(&mut self, site: &Site, dice: &mut StdRng) -> Verdict {
        let again = self.repeats.some(dice);
        self.compare(site, again).await
    }

    /// The same with all requests that are kept.
    pub(crate) async fn check_all(&mut self, site: &Site) -> Verdict {
        let again = self.repeats.all();
        self.compare(site, again).await
    }

    async fn compare(&mut self, site: &Site, again: Vec<Answered>) -> Verdict {
        self.read_firings(site).await?;
        let before: Vec<_> = self.reminded.iter().map(Firings::count).collect();
        self.read_all(site).await?;
        self.repeat(site, again).await?;
        // Repeats have changed nothing.
        self.read_all(site).await?;
        self.wait_for_firings(site, &before).await
    }

    /// Waits until all sends have arrived: then the money is right, and so is the chain.
    async fn read_all(&mut self, site: &Site) -> Verdict {
        let links = (0..CHAIN.len()).map(async |n| integer(site, &link(n), "value").await);
        let links = join_all(links).await.try_into().expect("one for each");
        self.chain.held(links).map_err(|found| found.about("the chain"))?;
        let mut looks = Looks::begin();
        loop {
            let balances = (0..ACCOUNTS).map(async |n| integer(site, &account(n), "balance").await);
            let balances = join_all(balances).await;
            if self.bank.held(&balances)? {
                return Ok(());
            }
            if !looks.wait().await {
                return Err(self.bank.lost(&balances));
            }
        }
    }

    async fn repeat(&mut self, site: &Site, again: Vec<Answered>) -> Verdict {
        let heard = again.iter().map(|before| before.request.clone().ask(site, PATIENT));
        for (before, (now, _)) in again.iter().zip(join_all(heard).await) {
            self.counts.repeats += 1;
            repeated(before, &now)?;
        }
        Ok(())
    }

    async fn read_firings(&mut self, site: &Site) -> Verdict {
        let read = self.reminded.iter().enumerate();
        let read = read.map(|(place, known)| fired(site, place, known.after()));
        for (place, fired) in join_all(read).await.into_iter().enumerate() {
            let known = &mut self.reminded[place];
            let before = known.count();
            let (count, firings) = fired;
            known.held(count, &firings).map_err(|found| found.about(&reminded(place)))?;
            self.counts.firings += known.count().abs_diff(before);
        }
        Ok(())
    }

    /// Each of them fires again, after so many times.
    async fn wait_for_firings(&mut self, site: &Site, before: &[i64]) -> Verdict {
        let mut looks = Looks::begin();
        loop {
            self.read_firings(site).await?;
            let mut all = self.reminded.iter().zip(before);
            match all.find(|(known, before)| known.count() <= **before) {
                None => return Ok(()),
                Some(_) if looks.wait().await => {}
                Some((still, _)) => return Err(still.stopped()),
            }
        }
    }
}

/// Looks at what has yet to come: fewer and fewer, and not for ever.
struct Looks {
    began: Instant,
    pause: Duration,
}

impl Looks {
    fn begin() -> Self {
        Self { began: Instant::now(), pause: PAUSE_MIN }
    }

    /// Waits for the next one; there may be none.
    async fn wait(&mut self) -> bool {
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        self.began.elapsed() < WAIT_MAX
    }
}

/// The name of an object with a reminder.
fn reminded(place: usize) -> String {
    format!("Chameleon/reminded-{place}")
}

async fn integer(site: &Site, object: &str, method: &str) -> i64 {
    number(&site.read(object, method, Value::Null).await)
}

/// How often the reminder of an object has fired, and the firings after that number.
async fn fired(site: &Site, place: usize, after: i64) -> (i64, Vec<Firing>) {
    let read = site.read(&reminded(place), "fired", json!(after)).await;
    let firing = |fired: &Value| Firing {
        number: number(&fired[0]),
        due: number(&fired[1]),
        next: number(&fired[2]),
    };
    let firings = read["fired"].as_array().map(|all| all.iter().map(firing).collect());
    (number(&read["count"]), firings.unwrap_or_default())
}
