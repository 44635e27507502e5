//! The store: what is committed, all of it or nothing.

use std::collections::BTreeMap;

use wasmverse_core::{CallError, ErrorKind, SendNumber, Version};

/// What the store does about a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Luck {
    Stores,
    Refuses,
    /// The acknowledgement is lost.
    StoresUnheard,
    RefusesUnheard,
    /// The process dies before the commit has arrived, or after it.
    DiesBefore,
    DiesAfter,
}

/// What an account holds: money, and how often its reminder fired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) balance: i64,
    pub(crate) ticks: usize,
}

/// What a call was answered: the balance, or the code of a failure of the account's own.
pub(crate) type Kept = Result<i64, String>;

#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    /// By account: 0 or 1.
    pub(crate) accounts: [Account; 2],
    pub(crate) versions: [u64; 2],
    /// By account and key.
    pub(crate) results: BTreeMap<(usize, String), Kept>,
    /// By sender and number: to whom, and how much.
    pub(crate) outbox: BTreeMap<(usize, SendNumber), (usize, i64)>,
    pub(crate) dead: Vec<(usize, i64)>,
    /// When the reminder of account 0 is due.
    pub(crate) due: i64,
    /// The due times for which it has fired.
    pub(crate) fired: Vec<i64>,
}

/// What one commit changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Commit {
    pub(crate) account: usize,
    /// None: it stays as it is.
    pub(crate) state: Option<Account>,
    /// The row gets another version.
    pub(crate) touches: bool,
    pub(crate) result: Option<(String, Kept)>,
    pub(crate) sends: Vec<(usize, i64)>,
    pub(crate) arrived: Option<(usize, SendNumber)>,
    pub(crate) dead: Option<(usize, SendNumber)>,
    /// When the reminder was due that fired, and when it is due next.
    pub(crate) fired: Option<(i64, i64)>,
}

/// How a commit ended.
pub(crate) enum Answer {
    Done(Version),
    /// It had been done before; nothing is.
    Repeated,
    Failed(CallError),
    /// The process is dead.
    Died,
}

impl Store {
    pub(crate) fn commit(&mut self, commit: &Commit, luck: Luck) -> Answer {
        let unavailable = CallError::new(ErrorKind::Unavailable, "no");
        match luck {
            Luck::Stores => match self.apply(commit) {
                Some(version) => Answer::Done(version),
                None => Answer::Repeated,
            },
            Luck::Refuses => Answer::Failed(unavailable),
            Luck::StoresUnheard => {
                self.apply(commit);
                Answer::Failed(unavailable.maybe_executed())
            }
            Luck::RefusesUnheard => Answer::Failed(unavailable.maybe_executed()),
            Luck::DiesBefore => Answer::Died,
            Luck::DiesAfter => {
                self.apply(commit);
                Answer::Died
            }
        }
    }

    fn apply(&mut self, commit: &Commit) -> Option<Version> {
        let gone = |send: &Option<(usize, SendNumber)>| {
            send.is_some_and(|send| !self.outbox.contains_key(&send))
        };
        if gone(&commit.arrived) || gone(&commit.dead) {
            return None;
        }
        if commit.fired.is_some_and(|(due, _)| due != self.due) {
            return None;
        }
        let version = &mut self.versions[commit.account];
        *version += u64::from(commit.touches || commit.state.is_some());
        let version = Version(*version);
        if let Some(state) = commit.state {
            self.accounts[commit.account] = state;
        }
        if let Some((key, kept)) = &commit.result {
            self.results.entry((commit.account, key.clone())).or_insert_with(|| kept.clone());
        }
        for (place, (to, amount)) in (0..).zip(&commit.sends) {
            self.outbox.insert((commit.account, SendNumber { version, place }), (*to, *amount));
        }
        if let Some(send) = &commit.arrived {
            self.outbox.remove(send);
        }
        if let Some(letter) = commit.dead.and_then(|send| self.outbox.remove(&send)) {
            self.dead.push(letter);
        }
        if let Some((due, next)) = commit.fired {
            self.fired.push(due);
            self.due = next;
        }
        Some(version)
    }
}
