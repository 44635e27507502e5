//! Who can go on: futures of the router and writers of links are woken through here, and what a router
//! hands to the node in its own process comes this way.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Wake, Waker},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use wasmverse_core::Call;

use crate::{Callee, WayBack, letter::Answer};

use super::{calls::closed, world::Who};

/// What can go on.
pub(super) enum Ready {
    /// The future of a call.
    Call(u64),
    /// The writer of a link.
    Link(u64),
    /// A call that is for this very process.
    Local(Who, Box<LocalCall>),
}

#[derive(Debug)]
pub(super) struct LocalCall {
    pub(super) call: Call,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// All that can go on, in order. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Bells(Arc<Mutex<VecDeque<Ready>>>);

struct Bell {
    bells: Bells,
    is_link: bool,
    id: u64,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let ready = if self.is_link { Ready::Link(self.id) } else { Ready::Call(self.id) };
        self.bells.ring(ready);
    }
}

impl Bells {
    pub(super) fn next(&self) -> Option<Ready> {
        self.0.lock().pop_front()
    }

    fn ring(&self, ready: Ready) {
        self.0.lock().push_back(ready);
    }

    /// Wakes the future of a call, or the writer of a link.
    pub(super) fn waker(&self, is_link: bool, id: u64) -> Waker {
        Waker::from(Arc::new(Bell { bells: self.clone(), is_link, id }))
    }
}

/// The node in the process of a router.
pub(super) struct Inside {
    pub(super) who: Who,
    pub(super) bells: Bells,
}

impl Inside {
    fn take(&self, call: Call) -> BoxFuture<'static, Answer> {
        let (answer, answered) = oneshot::channel();
        self.bells.ring(Ready::Local(self.who, Box::new(LocalCall { call, answer })));
        answered.map(|answer| answer.unwrap_or_else(|_| Err(closed()))).boxed()
    }
}

impl Callee for Inside {
    fn call(&self, call: Call) -> BoxFuture<'static, Answer> {
        self.take(call)
    }

    fn send(&self, _call: Call) {}

    fn call_within(&self, call: Call, back: WayBack) -> BoxFuture<'static, Answer> {
        let calling = self.take(call.clone());
        back.follow(call, calling)
    }
}
