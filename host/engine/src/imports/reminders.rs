//! The import `reminders`: what a turn changes about them is collected, and committed with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use wasmverse_core::{CallError, Durability, Reminder, When};

use super::objects::method as check_method;
use crate::{
    bindings::{
        Failure,
        wasmverse::object::reminders::{self, Reminder as Shown},
    },
    host::{EFFECT_BYTES, Host, denied, invalid},
    journal::now_micros,
};

/// The longest name of a reminder, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// How many reminders an object may have.
const REMINDERS_MAX: usize = 1000;

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

impl reminders::Host for Host {
    async fn set(
        &mut self,
        name: String,
        when: String,
        method: String,
        payload: Vec<u8>,
    ) -> Answer<()> {
        self.count(1)?;
        let answer = self.remind(&name, &when, &method, payload).await;
        Ok(self.answer(answer))
    }

    fn cancel(&mut self, name: String) -> Answer<()> {
        self.count(1)?;
        let answer = self.cancel_reminder(&name);
        Ok(self.answer(answer))
    }

    async fn pending(&mut self) -> Answer<Vec<Shown>> {
        self.count(1)?;
        let answer = self.pending_reminders().await;
        Ok(self.answer(answer))
    }
}

impl Host {
    async fn remind(
        &mut self,
        name: &str,
        when: &str,
        method: &str,
        payload: Vec<u8>,
    ) -> Result<(), CallError> {
        self.write_turn("reminders.set")?;
        self.may_have_reminders()?;
        check_name(name)?;
        let method = check_method(method)?;
        self.check_payload(&payload)?;
        let due_micros = when.parse::<When>()?.first(now_micros());
        let due_micros =
            due_micros.ok_or_else(|| invalid(format!("the reminder `{name}` would never fire")))?;
        self.take_effect_bytes(EFFECT_BYTES + name.len() + when.len() + payload.len())?;
        self.check_room(name).await?;
        let payload = Bytes::from(payload);
        let reminder = Reminder { when: when.into(), method, payload, due_micros };
        self.effects.reminders.insert(name.into(), Some(reminder));
        Ok(())
    }

    fn cancel_reminder(&mut self, name: &str) -> Result<(), CallError> {
        self.write_turn("reminders.cancel")?;
        self.may_have_reminders()?;
        check_name(name)?;
        self.take_effect_bytes(EFFECT_BYTES + name.len())?;
        if let Some(names) = &mut self.reminders {
            names.remove(name);
        }
        self.effects.reminders.insert(name.into(), None);
        Ok(())
    }

    async fn pending_reminders(&mut self) -> Result<Vec<Shown>, CallError> {
        self.turn("reminders.pending")?;
        self.may_have_reminders()?;
        let mut reminders = self.stored_reminders().await?;
        for (name, change) in &self.effects.reminders {
            match change {
                Some(reminder) => drop(reminders.insert(Arc::clone(name), reminder.clone())),
                None => drop(reminders.remove(name)),
            }
        }
        let shown = reminders.into_iter().map(|(name, reminder)| Shown {
            name: name.to_string(),
            when: reminder.when.to_string(),
            method: reminder.method.to_string(),
            payload: reminder.payload.into(),
            due_micros: u64::try_from(reminder.due_micros).unwrap_or_default(),
        });
        Ok(shown.collect())
    }

    /// Whether there may be one of that name, too. The store is asked once in a turn.
    async fn check_room(&mut self, name: &str) -> Result<(), CallError> {
        if self.reminders.is_none() {
            let mut names: BTreeSet<Arc<str>> =
                self.stored_reminders().await?.into_keys().collect();
            for (name, change) in &self.effects.reminders {
                match change {
                    Some(_) => names.insert(Arc::clone(name)),
                    None => names.remove(name),
                };
            }
            self.reminders = Some(names);
        }
        let names = self.reminders.get_or_insert_default();
        if names.contains(name) || names.len() < REMINDERS_MAX {
            names.insert(name.into());
            return Ok(());
        }
        Err(invalid(format!(
            "an object has at most {REMINDERS_MAX} reminders: cancel one, or let one remind of more"
        )))
    }

    async fn stored_reminders(&mut self) -> Result<BTreeMap<Arc<str>, Reminder>, CallError> {
        match &self.writer {
            Some(writer) => writer.outbound.reminders(&writer.object).await,
            None => Ok(BTreeMap::new()),
        }
    }

    fn may_have_reminders(&self) -> Result<(), CallError> {
        match self.durability {
            Durability::Durable | Durability::Periodic => Ok(()),
            Durability::Volatile => Err(denied(
                "a volatile object has no reminders, because it does not outlive its node: declare \
                 `durability` as `durable` or `periodic` in the type's description",
            )),
        }
    }
}

fn check_name(name: &str) -> Result<(), CallError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(invalid(format!(
            "a reminder's name has 1 to {NAME_BYTES_MAX} bytes and no control characters"
        )));
    }
    Ok(())
}
