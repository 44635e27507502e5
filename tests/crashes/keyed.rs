//! Keyed requests: whoever makes one makes it again, under the same key, until it is answered; the
//! gate does the same until the deadline.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::{Rng as _, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};
use wasmverse_tests::{
    http::{Answer, path_of},
    patience::PATIENCE,
};

use super::{
    site::Site,
    verdict::{Found, Violation},
};

/// Accounts between which money moves.
pub(crate) const ACCOUNTS: usize = 3;
/// Each of them calls the next one and counts, but for the last one, which adds.
pub(crate) const CHAIN: [&str; 3] = ["chain-0", "chain-1", "chain-2"];

/// Until a request is made again.
const PAUSE: Duration = Duration::from_millis(5);

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Deposit {
        account: usize,
        amount: i64,
    },
    /// Mostly of more than there is.
    Withdraw {
        account: usize,
        amount: i64,
    },
    Transfer {
        from: usize,
        to: usize,
        amount: i64,
    },
    /// A chain of calls, at whose end the amount is added.
    Chain {
        amount: i64,
    },
}

/// A wish under a key that no other has.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) wish: Wish,
    pub(crate) key: String,
}

/// A request and what it was answered, byte for byte: what each repeat of it must hear.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) request: Request,
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// What an object says to a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It is done: the balance, or the sum, after it.
    Done(i64),
    /// There is less than was to be taken: the balance.
    TooLittle(i64),
}

/// The name of an account.
pub(crate) fn account(number: usize) -> String {
    format!("BankAccount/keyed-{number}")
}

/// The name of an object in the chain.
pub(crate) fn link(number: usize) -> String {
    format!("Chameleon/{}", CHAIN[number])
}

impl Wish {
    fn call(&self) -> (String, &'static str, Value) {
        match self {
            Self::Deposit { account: to, amount } => (account(*to), "deposit", json!(amount)),
            Self::Withdraw { account: of, amount } => (account(*of), "withdraw", json!(amount)),
            Self::Transfer { from, to, amount } => {
                let argument = json!({ "to": format!("keyed-{to}"), "amount": amount });
                (account(*from), "transfer", argument)
            }
            Self::Chain { amount } => {
                let errand = |id: &str, method: &str, argument: Value| json!({ "type": "Chameleon", "id": id, "method": method, "argument": argument });
                let last = errand(CHAIN[2], "add", json!(amount));
                (link(0), "relay_and_add", errand(CHAIN[1], "relay_and_add", last))
            }
        }
    }
}

impl Request {
    pub(crate) fn new(wish: Wish, dice: &mut StdRng) -> Self {
        Self { wish, key: format!("{:032x}", dice.random::<u128>()) }
    }

    /// Makes it until it is answered, at first with that timeout, then each time with twice as much;
    /// and how often it was made.
    pub(crate) async fn ask(self, site: &Site, mut timeout: Duration) -> (Answered, u64) {
        let (object, method, argument) = self.wish.call();
        let (began, mut times) = (Instant::now(), 1);
        let answer = loop {
            if let Some(answer) = site.ask(&object, method, &argument, &self.key, timeout).await {
                break answer;
            }
            assert!(began.elapsed() < PATIENCE, "not answered within {PATIENCE:?}: {self:?}");
            tokio::time::sleep(PAUSE).await;
            (times, timeout) = (times + 1, timeout * 2);
        };
        let (status, body) = (answer.status.as_u16(), answer.body);
        (Answered { request: self, status, body }, times)
    }
}

impl Site {
    /// Makes a keyed call once; none: it was not answered, and may be made again.
    pub(crate) async fn ask(
        &self,
        object: &str,
        method: &str,
        argument: &Value,
        key: &str,
        timeout: Duration,
    ) -> Option<Answer> {
        let timeout = format!("{}ms", timeout.as_millis());
        let path = format!("{}/{method}", path_of(object));
        let headers = [("idempotency-key", key), ("wasmverse-timeout", &timeout)];
        let asked = self.http.try_request(Method::POST, &path, argument.to_string(), &headers);
        let answer = asked.await.ok()?;
        let is_answer = !matches!(&*answer.code(), "unavailable" | "overloaded" | "timeout");
        is_answer.then_some(answer)
    }
}

impl Answered {
    /// What the object said, if it is something that it may say.
    pub(crate) fn said(&self) -> Result<Said, Found> {
        let value: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let error = &value["error"]["application"];
        let lacking = match (&self.request.wish, error["code"].as_str()) {
            (
                Wish::Withdraw { amount, .. } | Wish::Transfer { amount, .. },
                Some("insufficient-funds"),
            ) => error["details"]["balance"].as_i64().filter(|balance| balance < amount),
            _ => None,
        };
        match (self.status, value.as_i64(), lacking) {
            (200, Some(number), _) => Ok(Said::Done(number)),
            (_, _, Some(balance)) => Ok(Said::TooLittle(balance)),
            _ => Err(Found::new(Violation::Failed, self.to_string())),
        }
    }
}

impl std::fmt::Display for Answered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Request { wish, key } = &self.request;
        let body = String::from_utf8_lossy(&self.body);
        write!(f, "{wish:?} under the key {key} was answered {} {body}", self.status)
    }
}

#[cfg(test)]
pub(crate) fn answered(wish: Wish, status: u16, body: &str) -> Answered {
    let request = Request { wish, key: "k".to_owned() };
    Answered { request, status, body: body.to_owned().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_does_what_is_wished_or_says_why_not() {
        let withdraw = || Wish::Withdraw { account: 0, amount: 5 };
        assert_eq!(answered(withdraw(), 200, "7").said(), Ok(Said::Done(7)));
        let lacks = |balance: i64| {
            let application =
                json!({ "code": "insufficient-funds", "details": { "balance": balance } });
            json!({ "error": { "code": "application", "application": application } }).to_string()
        };
        assert_eq!(answered(withdraw(), 422, &lacks(4)).said(), Ok(Said::TooLittle(4)));
        let deposit = Wish::Deposit { account: 0, amount: 5 };
        for wrong in [
            answered(withdraw(), 422, &lacks(5)),
            answered(deposit, 422, &lacks(4)),
            answered(withdraw(), 200, ""),
            answered(withdraw(), 500, &json!({ "error": { "code": "internal" } }).to_string()),
        ] {
            let found = wrong.said().unwrap_err();
            assert_eq!(found.violation, Violation::Failed, "{wrong}");
        }
    }
}
