//! Two accounts and their node, which does with the pure parts what the real one does; and clients.

use std::{collections::VecDeque, sync::Arc, time::Duration, time::Instant};

use bytes::Bytes;
use wasmverse_core::{
    CallError, Durability, Effects, ErrorKind, ObjectId, Outcome, SendNumber, SendRequest, ShardId,
    TurnEnd, Version,
    commit::{self, Fate, Step, Write},
    due::{self, DueQueue, Fired, Firing, Waiting},
    ledger::{Known, Ledger},
    outbox::{self, Outbox, Pending, Tried},
};

use crate::store::{Account, Answer, Commit, Kept, Luck, Store};

/// What a client asks of account 0, once, by a key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// 10 come in.
    Deposit,
    /// 15 go out, if there are so many.
    Withdraw,
    /// 5 are sent to account 1.
    Transfer,
    /// 7 come in here, after 7 came in there by a call.
    Chain,
    /// More than account 1 can hold is sent to it: a dead letter.
    Overflow,
    /// Time passes, and the reminder is due.
    Tick,
}

/// What a driver does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    None,
    RetriesWithoutKey,
    DerivesNoKeys,
    ForgetsFailures,
    KeepsWhatThePlatformFailed,
    MarksSendsBeforeTheyAreCommitted,
    SendsBeforeTheCommit,
    AdvancesRemindersBeforeTheirTurn,
}

impl Bug {
    pub(crate) const PLANTED: [Self; 7] = [
        Self::RetriesWithoutKey,
        Self::DerivesNoKeys,
        Self::ForgetsFailures,
        Self::KeepsWhatThePlatformFailed,
        Self::MarksSendsBeforeTheyAreCommitted,
        Self::SendsBeforeTheCommit,
        Self::AdvancesRemindersBeforeTheirTurn,
    ];
}

/// What an account runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Method {
    Add(i64),
    Withdraw(i64),
    Send(i64),
    Chain(i64),
    Tick,
}

/// For what it runs it once.
#[derive(Clone, Debug)]
enum Once {
    No,
    Key(String),
    Send((usize, SendNumber)),
    Firing(Firing),
}

/// Why a turn brought no answer.
enum Failed {
    Error(CallError),
    Died,
}

const PERIOD: i64 = 10;
pub(crate) const TOO_MUCH: i64 = 1_000_000;

/// What is lost when the process dies.
struct Memory {
    awake: [Option<Awake>; 2],
    outbox: Outbox,
    due: DueQueue,
}

struct Awake {
    state: Account,
    ledger: Ledger,
}

pub(crate) struct World {
    bug: Bug,
    lucks: VecDeque<Luck>,
    pub(crate) store: Store,
    memory: Memory,
    pub(crate) clock: i64,
    instant: Instant,
    /// Sends that left too early.
    early: u64,
    /// What clients heard, by the numbers of their requests.
    pub(crate) heard: Vec<(usize, Method, Kept)>,
}

impl Memory {
    fn new() -> Self {
        let outbox = outbox::Bounds { bytes_max: 1 << 20, under_way_max: 4, tries_max: 3 };
        let ahead = Duration::from_secs(1);
        let due = due::Bounds { bytes_max: 1 << 20, ahead, under_way_max: 4, tries_max: 1000 };
        Self { awake: [None, None], outbox: Outbox::new(outbox), due: DueQueue::new(due) }
    }
}

fn object(account: usize) -> ObjectId {
    ObjectId::parse("Account", &account.to_string()).unwrap()
}

impl World {
    pub(crate) fn new(bug: Bug, lucks: &[Luck]) -> Self {
        Self {
            bug,
            lucks: lucks.iter().copied().collect(),
            store: Store { due: PERIOD, ..Store::default() },
            memory: Memory::new(),
            clock: 0,
            instant: Instant::now(),
            early: 0,
            heard: Vec::new(),
        }
    }

    fn commit(&mut self, commit: &Commit) -> Answer {
        let luck = self.lucks.pop_front().unwrap_or(Luck::Stores);
        self.store.commit(commit, luck)
    }

    /// A client asks, and asks again under the same key until it hears how it ended.
    pub(crate) fn make(&mut self, request: Request, number: usize) -> Result<(), String> {
        let method = match request {
            Request::Deposit => Method::Add(10),
            Request::Withdraw => Method::Withdraw(15),
            Request::Transfer => Method::Send(5),
            Request::Chain => Method::Chain(7),
            Request::Overflow => Method::Send(TOO_MUCH),
            Request::Tick => {
                self.clock += PERIOD;
                return self.fire();
            }
        };
        let kept = self.ask(method, number)?;
        self.heard.push((number, method, kept));
        self.deliver(1)
    }

    pub(crate) fn ask(&mut self, method: Method, number: usize) -> Result<Kept, String> {
        for attempt in 0..20 {
            let keyless = self.bug == Bug::RetriesWithoutKey && attempt > 0;
            let once = if keyless { Once::No } else { Once::Key(number.to_string()) };
            match self.turn(0, method, &once) {
                Ok(kept) => return Ok(kept),
                Err(Failed::Died) => self.memory = Memory::new(),
                Err(Failed::Error(_)) => {}
            }
        }
        Err(format!("{method:?} is not answered"))
    }

    /// One turn of an account, and its commit.
    fn turn(&mut self, account: usize, method: Method, once: &Once) -> Result<Kept, Failed> {
        let before = self.wake(account);
        if let Once::Key(key) = once
            && let Some(awake) = &self.memory.awake[account]
            && awake.ledger.look("", key) == Known::Perhaps
            && let Some(kept) = self.store.results.get(&(account, key.clone()))
        {
            return Ok(kept.clone());
        }
        if let Once::Firing(firing) = once
            && !self.memory.due.is_current(firing)
        {
            return Ok(Ok(0));
        }
        let (end, after, sends, passed_on) = self.run(account, method, before, once)?;
        if let Some(awake) = &mut self.memory.awake[account] {
            awake.state = after;
        }
        let mut effects = Effects::default();
        for amount in &sends {
            let (method, payload) = ("add".into(), Bytes::from(amount.to_string()));
            effects.sends.push(SendRequest { to: object(1 - account), method, payload });
        }
        let mut outcome = Outcome::new(end.clone(), effects, false);
        if !matches!(once, Once::No) {
            let stored = self.bug == Bug::KeepsWhatThePlatformFailed;
            outcome = outcome.once(passed_on && !stored);
        }
        if self.bug == Bug::ForgetsFailures && matches!(end, TurnEnd::Failure(_)) {
            outcome.is_once = matches!(once, Once::Send(_)) && outcome.is_once;
        }
        self.carry_out(account, &outcome, before, after, once)?;
        match end {
            TurnEnd::Well(_) => Ok(Ok(after.balance)),
            TurnEnd::Failure(error) if error.kind() == ErrorKind::Application => {
                Ok(Err(error.code().to_owned()))
            }
            TurnEnd::Failure(error) | TurnEnd::Trap(error) => Err(Failed::Error(error)),
        }
    }

    fn wake(&mut self, account: usize) -> Account {
        let store = &self.store;
        let awake = self.memory.awake[account].get_or_insert_with(|| {
            let keys = store.results.keys().filter(|(whose, _)| *whose == account);
            let ledger = Ledger::new(keys.map(|(_, key)| ("", key.as_str())), true);
            Awake { state: store.accounts[account], ledger }
        });
        awake.state
    }

    fn run(
        &mut self,
        account: usize,
        method: Method,
        before: Account,
        once: &Once,
    ) -> Result<(TurnEnd, Account, Vec<i64>, bool), Failed> {
        let well = |after| (TurnEnd::Well(Bytes::new()), after, Vec::new(), false);
        let own = |code: &str| TurnEnd::Failure(CallError::application(code, "no", Bytes::new()));
        Ok(match method {
            Method::Add(amount) if amount >= TOO_MUCH => {
                (own("overflow"), before, Vec::new(), false)
            }
            Method::Add(amount) => well(Account { balance: before.balance + amount, ..before }),
            Method::Withdraw(amount) if amount > before.balance => {
                // What it changed before it failed is undone.
                let spoilt = Account { balance: before.balance - 1, ..before };
                (own("insufficient-funds"), spoilt, Vec::new(), false)
            }
            Method::Withdraw(amount) => {
                well(Account { balance: before.balance - amount, ..before })
            }
            Method::Send(amount) => {
                let after = Account { balance: before.balance - amount, ..before };
                (TurnEnd::Well(Bytes::new()), after, vec![amount], false)
            }
            Method::Tick => well(Account { ticks: before.ticks + 1, ..before }),
            Method::Chain(amount) => {
                let derived = match once {
                    Once::Key(key) if self.bug != Bug::DerivesNoKeys => {
                        Once::Key(format!("\u{1}{account} {key} {amount}"))
                    }
                    _ => Once::No,
                };
                match self.turn(1 - account, Method::Add(amount), &derived) {
                    Ok(_) => well(Account { balance: before.balance + amount, ..before }),
                    Err(Failed::Died) => return Err(Failed::Died),
                    Err(Failed::Error(error)) => {
                        (TurnEnd::Failure(error), before, Vec::new(), true)
                    }
                }
            }
        })
    }

    /// The commit of a turn, by the steps of `core::commit`.
    fn carry_out(
        &mut self,
        account: usize,
        outcome: &Outcome,
        before: Account,
        after: Account,
        once: &Once,
    ) -> Result<(), Failed> {
        let mut change = Commit { account, ..Commit::default() };
        let amounts = outcome.effects.sends.iter().map(|send| {
            (1 - account, std::str::from_utf8(&send.payload).unwrap().parse().unwrap())
        });
        change.sends = amounts.collect();
        if outcome.is_once {
            self.note_end(&mut change, outcome, after, once);
        }
        self.do_too_early(&mut change)?;
        let committed = (self.store.versions[account] > 0).then_some(before);
        let mut step = commit::begin(outcome, Durability::Durable, committed, Some(before));
        let mut died = false;
        let end = loop {
            step = match step {
                Step::Snapshot(waiting) => waiting.took(Ok(after)),
                Step::Write(write, waiting) => {
                    change.state = (write == Write::State).then_some(after);
                    change.touches = write == Write::Beside;
                    let answer = self.commit(&change);
                    died = matches!(answer, Answer::Died);
                    let version =
                        if let Answer::Done(version) = &answer { Some(*version) } else { None };
                    if let Some(version) = version {
                        self.committed(&change, version, once);
                    }
                    Step::End(waiting.answered(match answer {
                        Answer::Done(_) | Answer::Died => Ok(()),
                        Answer::Repeated => Err(CallError::new(ErrorKind::Internal, "repeated")),
                        Answer::Failed(error) => {
                            // What it would have set off may have to begin all the same.
                            self.memory.outbox.read_again();
                            self.memory.due.read_again();
                            Err(error)
                        }
                    }))
                }
                Step::Erase(_) => unreachable!("nobody deletes"),
                Step::End(end) => break end,
            };
        };
        if died {
            return Err(Failed::Died);
        }
        if end.instance == Fate::Dropped {
            self.memory.awake[account] = None;
        }
        end.released.map_err(Failed::Error)
    }

    fn note_end(&self, change: &mut Commit, outcome: &Outcome, after: Account, once: &Once) {
        let failure = match &outcome.end {
            TurnEnd::Failure(error) | TurnEnd::Trap(error) => Some(error.code().to_owned()),
            TurnEnd::Well(_) => None,
        };
        match once {
            Once::No => {}
            Once::Key(key) => {
                let kept = failure.map_or(Ok(after.balance), Err);
                change.result = Some((key.clone(), kept));
            }
            Once::Send(send) if failure.is_some() => change.dead = Some(*send),
            Once::Send(send) => change.arrived = Some(*send),
            Once::Firing(firing) => {
                change.fired = Some((firing.reminder.due, self.clock + PERIOD));
            }
        }
    }

    /// What some bugs commit, or let out, before the turn is committed.
    fn do_too_early(&mut self, change: &mut Commit) -> Result<(), Failed> {
        let mut early = Commit { account: change.account, ..Commit::default() };
        match self.bug {
            Bug::MarksSendsBeforeTheyAreCommitted => early.arrived = change.arrived.take(),
            Bug::AdvancesRemindersBeforeTheirTurn => early.fired = change.fired.take(),
            Bug::SendsBeforeTheCommit => {
                let version = Version(self.store.versions[change.account] + 1);
                for send in std::mem::take(&mut change.sends) {
                    self.early += 1;
                    let number = SendNumber { version, place: self.early };
                    self.store.outbox.insert((change.account, number), send);
                }
                self.memory.outbox.read_again();
                return Ok(());
            }
            _ => return Ok(()),
        }
        if early.arrived.is_none() && early.fired.is_none() {
            return Ok(());
        }
        match self.commit(&early) {
            Answer::Done(_) | Answer::Repeated => Ok(()),
            Answer::Failed(error) => Err(Failed::Error(error)),
            Answer::Died => Err(Failed::Died),
        }
    }

    fn committed(&mut self, change: &Commit, version: Version, once: &Once) {
        if let (Once::Key(key), Some(awake), true) =
            (once, &mut self.memory.awake[change.account], change.result.is_some())
        {
            awake.ledger.keep("", key);
        }
        let sends = (0..).zip(&change.sends).map(|(place, (to, amount))| {
            pending((change.account, SendNumber { version, place }), *to, *amount)
        });
        self.memory.outbox.committed(sends.collect::<Vec<_>>());
        if let (Once::Firing(firing), Some((_, due))) = (once, change.fired) {
            self.memory.due.set(Waiting { due, ..firing.reminder.clone() }, self.clock);
        }
    }

    /// Lets sends be tried, so many rounds.
    fn deliver(&mut self, rounds: usize) -> Result<(), String> {
        for _ in 0..rounds {
            if let Some(after) = self.memory.outbox.next_page() {
                let after = after.map(|(_, from, number)| (number_of(&from), number));
                let page = self.store.outbox.iter().filter(|(send, _)| Some(**send) > after);
                let page = page.map(|(send, (to, amount))| pending(*send, *to, *amount));
                let page = page.take(1).collect();
                self.memory.outbox.page(page, |_| true);
            }
            while let Some(send) = self.memory.outbox.start(self.instant) {
                let amount = std::str::from_utf8(&send.payload).unwrap().parse().unwrap();
                let once = Once::Send((number_of(&send.from), send.number));
                let (to, method) = (number_of(&send.to), Method::Add(amount));
                match self.turn(to, method, &once) {
                    Ok(_) => self.memory.outbox.ended(&send, Tried::Gone, self.instant),
                    Err(Failed::Died) => {
                        self.memory = Memory::new();
                        break;
                    }
                    Err(Failed::Error(error)) => {
                        let repeated = error.kind() == ErrorKind::Internal;
                        let tried = if repeated { Tried::Gone } else { Tried::Unsure };
                        self.memory.outbox.ended(&send, tried, self.instant);
                    }
                }
            }
            self.instant += Duration::from_secs(60);
        }
        Ok(())
    }

    /// Lets the reminder fire if it is due.
    fn fire(&mut self) -> Result<(), String> {
        for _ in 0..3 {
            if let Some((until, after)) = self.memory.due.next_page(self.clock) {
                let is_new = after.is_none() && self.store.due <= until;
                let page = if is_new { vec![reminder(self.store.due)] } else { Vec::new() };
                self.memory.due.page(page, self.clock, |_| true);
            }
        }
        while let Some(firing) = self.memory.due.start(self.clock) {
            let fired = match self.turn(0, Method::Tick, &Once::Firing(firing.clone())) {
                Ok(_) => Fired::Done,
                Err(Failed::Died) => {
                    self.memory = Memory::new();
                    return Ok(());
                }
                Err(Failed::Error(error)) if error.kind() == ErrorKind::Internal => Fired::Done,
                Err(Failed::Error(_)) => Fired::Unsure,
            };
            // It is tried again at once.
            self.memory.due.ended(&firing, fired, self.clock - 1_000_000_000);
        }
        Ok(())
    }

    /// Lets all be done that is left.
    pub(crate) fn come_to_rest(&mut self) -> Result<(), String> {
        self.lucks.clear();
        for _ in 0..4 {
            self.fire()?;
            self.deliver(10)?;
        }
        match self.store.outbox.is_empty() {
            true => Ok(()),
            false => Err(format!("these do not arrive: {:?}", self.store.outbox)),
        }
    }
}

fn number_of(object: &ObjectId) -> usize {
    object.id().parse().unwrap()
}

fn pending((from, number): (usize, SendNumber), to: usize, amount: i64) -> Pending {
    Pending {
        from: object(from),
        shard: ShardId(0),
        number,
        to: object(to),
        method: "add".into(),
        payload: amount.to_string().into(),
    }
}

fn reminder(due: i64) -> Waiting {
    let (name, when): (Arc<str>, Arc<str>) = ("tick".into(), "every 10ms".into());
    let (method, payload) = (Arc::clone(&name), Bytes::new());
    Waiting { object: object(0), name, when, method, payload, due }
}
