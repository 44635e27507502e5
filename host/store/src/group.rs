//! Group commit: what gathers while one group is under way becomes the next one.
//!
//! Nobody waits when nothing is under way: a group is whatever is there, within bounds.

use tokio::sync::mpsc;

/// The largest group, unless one command alone is larger.
const ROWS_MAX: usize = 1024;
const BYTES_MAX: usize = 16 << 20;

/// How much a command brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weight {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

/// Something that is written in a group.
pub(crate) trait Weighs {
    fn weight(&self) -> Weight;
}

/// Commands, as they come.
pub(crate) struct Gathering<T> {
    commands: mpsc::Receiver<T>,
    /// Taken, and too much for the group before.
    ahead: Option<T>,
}

impl<T: Weighs> Gathering<T> {
    pub(crate) fn new(commands: mpsc::Receiver<T>) -> Self {
        Self { commands, ahead: None }
    }

    /// The next group, in the order in which it came; none: nobody is left who could say anything.
    /// May be dropped while it waits, and nothing is lost.
    pub(crate) async fn next(&mut self) -> Option<Vec<T>> {
        let first = match self.ahead.take() {
            Some(first) => first,
            None => self.commands.recv().await?,
        };
        let Weight { mut rows, mut bytes } = first.weight();
        let mut group = vec![first];
        while let Ok(next) = self.commands.try_recv() {
            let weight = next.weight();
            rows += weight.rows;
            bytes += weight.bytes;
            if rows > ROWS_MAX || bytes > BYTES_MAX {
                self.ahead = Some(next);
                break;
            }
            group.push(next);
        }
        Some(group)
    }

    /// Lets nothing more in; what is there can still be taken.
    pub(crate) fn close(&mut self) {
        self.commands.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weighs for Weight {
        fn weight(&self) -> Weight {
            *self
        }
    }

    async fn groups(commands: &[(usize, usize)]) -> Vec<usize> {
        let (sender, receiver) = mpsc::channel(commands.len());
        for (rows, bytes) in commands {
            sender.send(Weight { rows: *rows, bytes: *bytes }).await.unwrap();
        }
        drop(sender);
        let mut gathering = Gathering::new(receiver);
        let mut lengths = Vec::new();
        while let Some(group) = gathering.next().await {
            lengths.push(group.len());
        }
        lengths
    }

    #[tokio::test]
    async fn a_group_is_what_is_there_within_bounds_and_never_empty() {
        assert_eq!(groups(&[(1, 10); 5]).await, [5]);
        assert_eq!(groups(&[(ROWS_MAX, 1), (1, 1), (ROWS_MAX - 1, 1), (1, 1)]).await, [1, 2, 1]);
        assert_eq!(groups(&[(1, BYTES_MAX + 1), (1, 1), (1, BYTES_MAX), (1, 0)]).await, [1, 1, 2]);
    }
}
