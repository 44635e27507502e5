//! An object whose description and manners the tests set in its bytes, so that one build serves as
//! many revisions and types. Its methods make everything happen that an object can make happen.

mod acts;
mod firings;
mod settings;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use wasmverse_sdk::{Context, Error, Object, Result, State};

use settings::Settings;

/// The object. What is not `kept` is lost when it goes.
#[derive(Debug)]
pub struct Chameleon {
    kept: Kept,
    settings: Settings,
    /// Differs from activation to activation.
    born: u64,
    id: String,
}

/// Its state.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Kept {
    value: i64,
    entries: Vec<String>,
}

impl Object for Chameleon {
    const TYPE: &'static str = "Chameleon";
    const SCHEMA: u32 = 1;

    fn describe() -> String {
        let mut description = Settings::read().describe;
        if description.get("methods").is_none() {
            description["methods"] = acts::methods();
        }
        description.to_string()
    }

    fn activate(context: &Context, state: Option<State>) -> Result<Self> {
        let settings = Settings::read();
        if settings.concern(context.id()) {
            misbehave(&settings.activate)?;
        }
        let written = settings.schema.unwrap_or(Self::SCHEMA);
        let is_older = state.as_ref().is_some_and(|state| state.schema < written);
        let mut kept = match state {
            Some(state) if state.schema > written => {
                let message = format!("schema {} is later than {written}", state.schema);
                return Err(Error::new("unknown-schema", message));
            }
            Some(state) => read(&state.data)?,
            None => Kept::default(),
        };
        if settings.moves && is_older {
            context.storage().set("moved", &kept.value)?;
            kept.value = 0;
        }
        Ok(Self { kept, settings, born: context.random(), id: context.id().to_owned() })
    }

    fn handle(&mut self, context: &Context, method: &str, payload: Vec<u8>) -> Result<Vec<u8>> {
        let argument = if payload.is_empty() { Value::Null } else { read(&payload)? };
        let result = acts::run(self, context, method, argument)?;
        Ok(if result.is_null() { Vec::new() } else { result.to_string().into_bytes() })
    }

    fn snapshot(&self) -> Result<State> {
        if self.settings.concern(&self.id) {
            misbehave(&self.settings.snapshot)?;
        }
        let schema = self.settings.schema.unwrap_or(Self::SCHEMA);
        Ok(State { schema, data: json!(self.kept).to_string().into_bytes() })
    }

    fn deactivate(&mut self, context: &Context, why: &str) {
        context.info(&format!("leaving: {why}"));
    }
}

#[cfg(target_family = "wasm")]
wasmverse_sdk::__export!(Chameleon);

fn misbehave(how: &str) -> Result<()> {
    match how {
        "refuse" => Err(Error::new("unwilling", "the tests want me to refuse")),
        "trap" => panic!("the tests want me to trap"),
        "loop" => loop {
            std::hint::spin_loop();
        },
        _ => Ok(()),
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::invalid_argument(error.to_string()))
}
