//! What must hold once all has come to rest: every effect is there once, and every repeat hears what the
//! first one heard.

use crate::world::{Method, TOO_MUCH, World};

impl World {
    pub(crate) fn check(&mut self) -> Result<(), String> {
        let (mut here, mut there, mut dead) = (0, 0, 0);
        for (_, method, kept) in &self.heard {
            let (left, right) = match (method, kept) {
                (Method::Add(amount), Ok(_)) => (*amount, 0),
                (Method::Withdraw(amount), Ok(_)) => (-amount, 0),
                (Method::Send(TOO_MUCH), Ok(_)) => {
                    dead += 1;
                    (-TOO_MUCH, 0)
                }
                (Method::Send(amount), Ok(_)) => (-amount, *amount),
                (Method::Chain(amount), Ok(_)) => (*amount, *amount),
                _ => (0, 0),
            };
            (here, there) = (here + left, there + right);
        }
        let [left, right] = self.store.accounts;
        if (left.balance, right.balance) != (here, there) {
            return Err(format!("{left:?} and {right:?}, not {here} and {there}"));
        }
        if self.store.dead.len() != dead {
            return Err(format!("{:?} are dead, not {dead}", self.store.dead));
        }
        let mut times = self.store.fired.clone();
        times.dedup();
        if left.ticks != self.store.fired.len() || times.len() != self.store.fired.len() {
            return Err(format!("{} turns for {:?}", left.ticks, self.store.fired));
        }
        if self.store.due <= self.clock {
            return Err(format!("what was due at {} has not fired", self.store.due));
        }
        let accounts = self.store.accounts;
        for (number, method, kept) in self.heard.clone() {
            let again = self.ask(method, number)?;
            if again != kept {
                return Err(format!("{method:?} is answered {kept:?}, and then {again:?}"));
            }
        }
        match self.store.accounts == accounts {
            true => Ok(()),
            false => Err("a repeat changes something".to_owned()),
        }
    }
}
