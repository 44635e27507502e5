//! What is known of accounts between which money moves: what each must hold once all sends have
//! arrived, and until then may hold.

use super::{
    keyed::{Answered, Said, Wish},
    verdict::{Found, Violation},
};

/// What is known of all accounts.
#[derive(Clone, Debug)]
pub(crate) struct Bank(Vec<Account>);

#[derive(Clone, Debug, Default)]
struct Account {
    /// What all that was answered comes to, and what had arrived when it was last right.
    sure: i64,
    /// What was sent to it since, and has perhaps arrived.
    coming: i64,
    /// What was answered since.
    lately: Vec<Answered>,
}

impl Bank {
    /// Empty ones.
    pub(crate) fn new(accounts: usize) -> Self {
        Self(vec![Account::default(); accounts])
    }

    /// A wish that concerns accounts was answered.
    pub(crate) fn answered(&mut self, answered: &Answered, said: Said) {
        let done = matches!(said, Said::Done(_));
        match answered.request.wish {
            Wish::Deposit { account, amount } if done => self.at(account, answered).sure += amount,
            Wish::Withdraw { account, amount } if done => self.at(account, answered).sure -= amount,
            Wish::Transfer { from, to, amount } if done => {
                self.at(from, answered).sure -= amount;
                self.at(to, answered).coming += amount;
            }
            Wish::Deposit { account, .. }
            | Wish::Withdraw { account, .. }
            | Wish::Transfer { from: account, .. } => drop(self.at(account, answered)),
            Wish::Chain { .. } => {}
        }
    }

    fn at(&mut self, account: usize, answered: &Answered) -> &mut Account {
        let account = &mut self.0[account];
        account.lately.push(answered.clone());
        account
    }

    /// The accounts hold these, and no call is under way; sends may be. Answers whether all of them
    /// have arrived.
    pub(crate) fn held(&mut self, balances: &[i64]) -> Result<bool, Found> {
        for (number, (account, balance)) in self.0.iter().zip(balances).enumerate() {
            let most = account.sure + account.coming;
            if !(account.sure..=most).contains(balance) {
                let told = account.tells(number, *balance);
                return Err(Found::new(Violation::MoneyIsWrong, told));
            }
        }
        let right = self.0.iter().map(|account| account.sure + account.coming);
        let have_arrived = right.eq(balances.iter().copied());
        if have_arrived {
            for account in &mut self.0 {
                let sure = account.sure + account.coming;
                *account = Account { sure, ..Account::default() };
            }
        }
        Ok(have_arrived)
    }

    /// The accounts still hold these, and nothing more arrives, however long one waited.
    pub(crate) fn lost(&self, balances: &[i64]) -> Found {
        let lacks = self.0.iter().zip(balances).enumerate();
        let lacks =
            lacks.filter(|(_, (account, balance))| account.sure + account.coming != **balance);
        let told = lacks.map(|(number, (account, balance))| account.tells(number, *balance));
        let told = told.collect::<Vec<_>>().join("; ");
        Found::new(Violation::MoneyIsWrong, format!("money is lost on its way: {told}"))
    }
}

impl Account {
    fn tells(&self, number: usize, balance: i64) -> String {
        let Self { sure, coming, lately } = self;
        // Amounts are hardly ever the same: one that is missing, or there twice, is known by it.
        let apart = [balance - sure, balance - sure - coming].map(i64::abs);
        let suspects: Vec<_> = lately
            .iter()
            .filter(|answered| match answered.request.wish {
                Wish::Deposit { amount, .. }
                | Wish::Withdraw { amount, .. }
                | Wish::Transfer { amount, .. }
                | Wish::Chain { amount } => apart.contains(&amount),
            })
            .map(ToString::to_string)
            .collect();
        format!(
            "account {number} holds {balance}, not {sure} and up to {coming} that was sent to it \
             ({} answers since it was right; {suspects:?} would explain it)",
            lately.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{super::keyed::answered, *};

    /// A balance of 70 and of 10, and 30 on the way from the first to the second.
    fn bank() -> Bank {
        let mut bank = Bank::new(2);
        let mut done = |wish| bank.answered(&answered(wish, 200, "0"), Said::Done(0));
        done(Wish::Deposit { account: 0, amount: 110 });
        done(Wish::Withdraw { account: 0, amount: 10 });
        done(Wish::Deposit { account: 1, amount: 10 });
        done(Wish::Transfer { from: 0, to: 1, amount: 30 });
        let refused = Wish::Withdraw { account: 1, amount: 11 };
        bank.answered(&answered(refused, 422, ""), Said::TooLittle(10));
        bank
    }

    fn violation<T>(held: Result<T, Found>) -> Option<Violation> {
        held.err().map(|found| found.violation)
    }

    #[test]
    fn money_is_on_its_way_and_then_it_is_there() {
        let mut bank = bank();
        assert_eq!(bank.held(&[70, 10]), Ok(false));
        assert_eq!(bank.held(&[70, 40]), Ok(true));
        assert_eq!(bank.held(&[70, 40]), Ok(true));
    }

    #[test]
    fn what_is_missing_or_there_twice_is_found() {
        for held in [[180, 10], [60, 10], [100, 10], [40, 40], [70, 9], [70, 41], [70, 70]] {
            assert_eq!(violation(bank().held(&held)), Some(Violation::MoneyIsWrong), "{held:?}");
        }
        let mut later = bank();
        assert_eq!(later.held(&[70, 40]), Ok(true));
        assert_eq!(violation(later.held(&[70, 10])), Some(Violation::MoneyIsWrong));
    }

    #[test]
    fn money_that_does_not_arrive_is_found_and_the_transfer_named() {
        let found = bank().lost(&[70, 10]);
        assert_eq!(found.violation, Violation::MoneyIsWrong);
        assert!(found.told.contains("Transfer { from: 0, to: 1, amount: 30 }"), "{found}");
    }
}
