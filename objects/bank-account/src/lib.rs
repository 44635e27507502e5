//! `BankAccount`: money that moves between objects. What leaves here arrives there, exactly once.
//!
//! A transfer takes the amount here and sends `deposit` to the other account. Both are durable, so
//! the message is committed together with the withdrawal, and counts once there, whatever crashes in
//! between: no money is made, and none is lost. Until it is there it is on its way, and in neither
//! balance.
//!
//! A deposit that the other account refuses (`overflow`) becomes a dead letter: an operator finds it
//! with `wasmverse dead-letters list`, and retries it or drops it. This account is not told.

use wasmverse_sdk::prelude::*;

/// An account.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct BankAccount {
    balance: i64,
}

/// Money that moves between objects. What a transfer takes here is put in there exactly once; what
/// the other account refuses is kept as a dead letter.
#[object(durability = "durable")]
impl BankAccount {
    /// Puts in a positive amount and answers the new balance. More than fits is the error `overflow`.
    fn deposit(&mut self, amount: i64) -> Result<i64> {
        positive(amount)?;
        let sum = self.balance.checked_add(amount);
        self.balance = sum.ok_or_else(|| Error::new("overflow", "the balance would not fit"))?;
        Ok(self.balance)
    }

    /// Takes out a positive amount and answers the new balance. More than there is is the error
    /// `insufficient-funds`, whose details are the balance and the amount.
    fn withdraw(&mut self, amount: i64) -> Result<i64> {
        self.afford(amount)?;
        self.balance -= amount;
        Ok(self.balance)
    }

    /// What there is.
    #[read_only]
    fn balance(&self) -> i64 {
        self.balance
    }

    /// Takes a positive amount, sends it to another account, and answers the balance left. The deposit
    /// arrives there exactly once, a moment later. To itself it moves nothing, if there is enough to
    /// move.
    fn transfer(&mut self, ctx: &Context, to: String, amount: i64) -> Result<i64> {
        self.afford(amount)?;
        if to != ctx.id() {
            // First the message, which may be refused: after that nothing fails.
            BankAccountRef::at(to).send().deposit(amount)?;
            self.balance -= amount;
        }
        Ok(self.balance)
    }

    #[internal]
    fn afford(&self, amount: i64) -> Result<()> {
        positive(amount)?;
        if amount > self.balance {
            let message = format!("the balance is {}, not {amount}", self.balance);
            let details = Shortfall { balance: self.balance, amount };
            return Err(Error::new("insufficient-funds", message).with_details(&details));
        }
        Ok(())
    }
}

/// The details of `insufficient-funds`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortfall {
    /// What there is.
    pub balance: i64,
    /// What was asked for.
    pub amount: i64,
}

fn positive(amount: i64) -> Result<()> {
    match amount > 0 {
        true => Ok(()),
        false => Err(Error::invalid_argument(format!("an amount is positive, not {amount}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmverse_sdk::{TestContext, What};

    fn account(balance: i64) -> BankAccount {
        BankAccount { balance }
    }

    #[test]
    fn money_goes_in_and_out() {
        let mut account = account(0);
        assert_eq!(account.deposit(50).unwrap(), 50);
        assert_eq!(account.withdraw(20).unwrap(), 30);
        assert_eq!(account.balance(), 30);
    }

    #[test]
    fn nobody_takes_more_than_there_is() {
        let mut account = account(10);
        let error = account.withdraw(11).unwrap_err();
        assert_eq!(error.code(), "insufficient-funds");
        assert_eq!(error.details(), Some(Shortfall { balance: 10, amount: 11 }));
        assert_eq!(account.balance(), 10);
    }

    #[test]
    fn amounts_are_positive_and_fit() {
        let ctx = TestContext::of::<BankAccount>("alice");
        let mut account = account(i64::MAX);
        for amount in [0, -1, i64::MIN] {
            let refused = [
                account.deposit(amount).unwrap_err(),
                account.withdraw(amount).unwrap_err(),
                account.transfer(&ctx, "bob".into(), amount).unwrap_err(),
            ];
            assert!(refused.iter().all(|error| error.kind() == ErrorKind::InvalidArgument));
        }
        assert_eq!(account.deposit(1).unwrap_err().code(), "overflow");
        assert_eq!(account.balance(), i64::MAX);
    }

    #[test]
    fn a_transfer_takes_here_and_sends_a_deposit_there() {
        let ctx = TestContext::of::<BankAccount>("alice");
        let mut account = account(100);
        assert_eq!(account.transfer(&ctx, "bob".into(), 30).unwrap(), 70);
        let asked = &ctx.asked()[0];
        assert_eq!((asked.what, asked.to.to_string()), (What::Send, "BankAccount/bob".into()));
        assert_eq!((asked.method.as_str(), &asked.argument), ("deposit", &30.into()));
    }

    #[test]
    fn a_transfer_that_cannot_be_sent_takes_nothing() {
        let ctx = TestContext::of::<BankAccount>("alice");
        ctx.answer_with(|_| Some(Err(Error::invalid_argument("no id"))));
        let mut account = account(100);
        assert!(account.transfer(&ctx, "".into(), 30).is_err());
        assert_eq!(account.balance(), 100);
    }

    #[test]
    fn a_transfer_to_itself_moves_nothing() {
        let ctx = TestContext::of::<BankAccount>("alice");
        let mut account = account(100);
        assert_eq!(account.transfer(&ctx, "alice".into(), 30).unwrap(), 100);
        assert_eq!(
            account.transfer(&ctx, "alice".into(), 101).unwrap_err().code(),
            "insufficient-funds"
        );
        assert!(ctx.asked().is_empty());
    }
}
