//! Records of one kind, to be written together.

use std::mem;

use super::{DeadLetterRecord, Record, ReminderRecord, ResultRecord, SendRecord, StorageRecord};

/// The most rows that are written at once, and their bytes unless one has more.
const ROWS_MAX: usize = 128;
const BYTES_MAX: usize = 1 << 20;

/// Records that wait to be written.
#[derive(Default)]
pub(crate) struct Batch {
    rows: Rows,
    length: usize,
    bytes: usize,
}

/// Records of one kind.
#[derive(Default)]
pub(crate) enum Rows {
    #[default]
    None,
    Storage(Vec<StorageRecord>),
    Results(Vec<ResultRecord>),
    Sends(Vec<SendRecord>),
    Reminders(Vec<ReminderRecord>),
    DeadLetters(Vec<DeadLetterRecord>),
}

impl Batch {
    /// Adds a record to those that wait; one that does not go with them is given back.
    pub(crate) fn push(&mut self, record: Record) -> Option<Record> {
        if self.length == ROWS_MAX || self.bytes >= BYTES_MAX {
            return Some(record);
        }
        let bytes = match (&mut self.rows, record) {
            (Rows::Storage(rows), Record::Storage(row)) => put(rows, row, |row| row.value.len()),
            (Rows::Results(rows), Record::Result(row)) => put(rows, row, |row| row.answer.len()),
            (Rows::Sends(rows), Record::Send(row)) => put(rows, row, |row| row.payload.len()),
            (Rows::Reminders(rows), Record::Reminder(row)) => {
                put(rows, row, |row| row.payload.len())
            }
            (Rows::DeadLetters(rows), Record::DeadLetter(row)) => {
                put(rows, row, |row| row.payload.len())
            }
            (Rows::None, record) => {
                self.rows = match record {
                    Record::Storage(_) => Rows::Storage(Vec::new()),
                    Record::Result(_) => Rows::Results(Vec::new()),
                    Record::Send(_) => Rows::Sends(Vec::new()),
                    Record::Reminder(_) => Rows::Reminders(Vec::new()),
                    Record::DeadLetter(_) => Rows::DeadLetters(Vec::new()),
                    other => return Some(other),
                };
                return self.push(record);
            }
            (_, other) => return Some(other),
        };
        self.length += 1;
        self.bytes += bytes;
        None
    }

    /// What waits, to be written; none waits then.
    pub(crate) fn take(&mut self) -> Rows {
        mem::take(self).rows
    }
}

fn put<T>(rows: &mut Vec<T>, row: T, bytes: impl Fn(&T) -> usize) -> usize {
    let bytes = bytes(&row);
    rows.push(row);
    bytes
}
