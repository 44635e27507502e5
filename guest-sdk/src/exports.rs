//! The component's side of the contract: one object, entered by the host one step at a time.

use std::cell::RefCell;

use crate::{
    Context, Error, Link, Object, Result,
    generated::object::exports::wasmverse::object::guest::{Failure, ObjectRefResult, State},
};

/// The one object of an instance; nothing before `activate`.
pub type Slot<T> = RefCell<Option<Activation<T>>>;

/// An object and what it knows of itself.
#[derive(Debug)]
pub struct Activation<T> {
    object: T,
    context: Context,
}

/// Becomes `me`.
pub fn activate<T: Object>(
    slot: &Slot<T>,
    me: ObjectRefResult,
    state: Option<State>,
) -> Result<(), Failure> {
    report_panics();
    let context = Context::new(me.into(), Link::current());
    let state = state.map(|state| crate::State { schema: state.schema, data: state.data });
    let object = T::activate(&context, state)?;
    slot.replace(Some(Activation { object, context }));
    Ok(())
}

/// Runs one turn.
pub fn handle<T: Object>(
    slot: &Slot<T>,
    method: &str,
    payload: Vec<u8>,
) -> Result<Vec<u8>, Failure> {
    let mut slot = slot.borrow_mut();
    let activation = slot.as_mut().ok_or_else(not_active)?;
    Ok(activation.object.handle(&activation.context, method, payload)?)
}

/// The whole state now.
pub fn snapshot<T: Object>(slot: &Slot<T>) -> Result<State, Failure> {
    let slot = slot.borrow();
    let state = slot.as_ref().ok_or_else(not_active)?.object.snapshot()?;
    Ok(State { schema: state.schema, data: state.data })
}

/// The instance goes.
pub fn deactivate<T: Object>(slot: &Slot<T>, why: &str) {
    if let Some(mut activation) = slot.take() {
        activation.object.deactivate(&activation.context, why);
    }
}

fn not_active() -> Error {
    Error::new("not-active", "the instance was not activated")
}

/// A panic ends in a trap that knows nothing; its words go to the object's log before.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        Link::current().log(
            crate::Level::Error,
            &format!("panicked: {message}"),
            &[("location", &place)],
        );
    }));
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($object:ty) => {
        struct Exports;

        ::std::thread_local! {
            static SLOT: $crate::__private::exports::Slot<$object> =
                const { ::std::cell::RefCell::new(None) };
        }

        impl $crate::__private::bindings::exports::wasmverse::object::guest::Guest for Exports {
            fn describe() -> ::std::string::String {
                <$object as $crate::Object>::describe()
            }

            fn activate(
                me: $crate::__private::bindings::wasmverse::object::types::ObjectRefResult,
                state: ::std::option::Option<
                    $crate::__private::bindings::wasmverse::object::types::State,
                >,
            ) -> ::std::result::Result<
                (),
                $crate::__private::bindings::wasmverse::object::types::Failure,
            > {
                SLOT.with(|slot| $crate::__private::exports::activate(slot, me, state))
            }

            fn handle(
                method: ::std::string::String,
                payload: ::std::vec::Vec<u8>,
            ) -> ::std::result::Result<
                ::std::vec::Vec<u8>,
                $crate::__private::bindings::wasmverse::object::types::Failure,
            > {
                SLOT.with(|slot| $crate::__private::exports::handle(slot, &method, payload))
            }

            fn snapshot() -> ::std::result::Result<
                $crate::__private::bindings::wasmverse::object::types::State,
                $crate::__private::bindings::wasmverse::object::types::Failure,
            > {
                SLOT.with(|slot| $crate::__private::exports::snapshot(slot))
            }

            fn deactivate(why: ::std::string::String) {
                SLOT.with(|slot| $crate::__private::exports::deactivate(slot, &why));
            }
        }

        $crate::__private::bindings::__export_object!(
            Exports with_types_in $crate::__private::bindings
        );
    };
}
