//! A component that takes messages: those of Redis' channels, in both interfaces that Spin has for them.

use crate::answer::{Ended, task_lost};
use crate::background::late;
use crate::call::{Call, Message};
use crate::component::Linked;
use crate::cpu::Brief;
use crate::reuse::Instance;
use crate::spin::redis::v3_types::Error;
use crate::state::State;
use crate::store_task::{self, Work, failed, not_made};
use bobbin_inference::{Cause, CpuBudget};
use bytes::Bytes;
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::sync::oneshot;
use wasmtime::component::InstancePre;

/// Of what a guest says of its failure, in characters.
const SHOWN: usize = 1000;

#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated code")]
mod bindings {
    pub(super) mod v1 {
        wasmtime::component::bindgen!({
            path: "../../wit/deps/fermyon-spin@unversioned",
            inline: "package bobbin:host; world listener { export fermyon:spin/inbound-redis; }",
            world: "bobbin:host/listener",
            exports: { default: async },
            with: { "fermyon:spin/redis-types": crate::spin::redis::v1_types },
        });
    }

    pub(super) mod v3 {
        wasmtime::component::bindgen!({
            path: "../../wit/deps/spin-redis@3.0.0",
            inline: "package bobbin:host; world listener { export spin:redis/inbound-redis@3.0.0; }",
            world: "bobbin:host/listener",
            exports: { default: async | store },
            with: { "spin:redis/redis": crate::spin::redis::v3_types },
        });
    }
}

/// The export that takes messages.
#[derive(Clone)]
pub(crate) enum Entry {
    /// Of `spin-sdk` 5 and before.
    V1(bindings::v1::ListenerPre<State>),
    /// Of `spin-sdk` 6 and later.
    V3(bindings::v3::ListenerPre<State>),
}

impl Entry {
    /// The newest that the component has.
    pub(crate) fn of(pre: &InstancePre<State>) -> wasmtime::Result<Self> {
        match bindings::v3::ListenerPre::new(pre.clone()) {
            Ok(entry) => Ok(Self::V3(entry)),
            Err(_older) => Ok(Self::V1(bindings::v1::ListenerPre::new(pre.clone())?)),
        }
    }
}

/// A message that no component has handled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unhandled {
    /// No instance could be made: the pool or the message's account is exhausted.
    #[error("no instance could be made: {0}")]
    NoInstance(String),
    /// The component did not come to a good end.
    #[error("{0}")]
    Failed(Cause),
}

/// A linked component that takes messages. Cheap to clone.
#[derive(Clone)]
pub struct Listener {
    component: Arc<Linked>,
    entry: Arc<Entry>,
}

/// A message for an instance.
struct Delivered {
    entry: Arc<Entry>,
    payload: Bytes,
}

impl Listener {
    pub(crate) fn new(component: Arc<Linked>, entry: Entry) -> Self {
        Self { component, entry: Arc::new(entry) }
    }

    /// Has an instance of its own handle the message, and returns when it is gone, or at its deadline. Dropping the future
    /// ends it.
    ///
    /// # Errors
    /// [`Unhandled`]
    pub async fn handle(&self, call: Call<Message>) -> Result<(), Unhandled> {
        let (bytes, context) = (call.request.0.len() as u64, Arc::clone(&call.context));
        // The message, and what of it is on its way into the guest.
        let charge = call.context.account.charge(2 * bytes);
        let charge = charge.map_err(|over| Unhandled::NoInstance(over.to_string()))?;
        let call = call.map(|Message(payload)| Delivered { entry: Arc::clone(&self.entry), payload });
        let cpu = Arc::new(CpuBudget::new(self.component.guest_cpu));
        let run = store_task::run(Arc::clone(&self.component), call, Arc::clone(&cpu));
        let end = match Brief::new(AssertUnwindSafe(run).catch_unwind(), cpu).await {
            Ok(end) => end,
            Err(rest) => {
                // It computes for long: on threads that wait for everybody else.
                let (ended_tx, ended) = oneshot::channel();
                let rest = async move {
                    // Nobody listens where the message's time was over before.
                    let _ = ended_tx.send(rest.await);
                    drop(charge);
                };
                self.component.background.take(rest, &context);
                tokio::select! {
                    ended = ended => ended.unwrap_or_else(|_lost| Ok(Ended::Broken(task_lost()))),
                    () = late(&context) => Ok(Ended::Broken(Cause::DeadlineExceeded)),
                }
            }
        };
        match end.unwrap_or_else(|_panic| Ended::Broken(task_lost())) {
            Ended::Whole => Ok(()),
            Ended::NoInstance(reason) => Err(Unhandled::NoInstance(reason)),
            Ended::Broken(cause) => Err(Unhandled::Failed(cause)),
        }
    }
}

impl Work for Delivered {
    async fn drive(self, component: &Linked, instance: &mut Instance) -> Ended {
        let (store, payload) = (&mut instance.store, self.payload.to_vec());
        drop(self.payload);
        let handled = match &*self.entry {
            Entry::V1(entry) => {
                let guest = match entry.instantiate_async(&mut *store).await {
                    Ok(guest) => guest,
                    Err(error) => return not_made(&error),
                };
                let handler = guest.fermyon_spin_inbound_redis();
                let handled = handler.call_handle_message(&mut *store, &payload).await;
                handled.map(|handled| handled.map_err(|_error| "it returned an error".to_owned()))
            }
            Entry::V3(entry) => {
                let guest = match entry.instantiate_async(&mut *store).await {
                    Ok(guest) => guest,
                    Err(error) => return not_made(&error),
                };
                let handled = store.run_concurrent(async |accessor| {
                    let handled = guest.spin_redis_inbound_redis().call_handle_message(accessor, payload).await?;
                    // What the guest still does after it has returned.
                    std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
                    wasmtime::Result::Ok(handled)
                });
                let handled = handled.await.and_then(std::convert::identity);
                handled.map(|handled| handled.map_err(|error| said(&error)))
            }
        };
        match handled {
            Ok(Ok(())) => Ended::Whole,
            Ok(Err(said)) => Ended::Broken(Cause::GuestFailed(said)),
            Err(error) => failed(component, &error),
        }
    }
}

/// A guest's error, as it is logged.
fn said(error: &Error) -> String {
    match error {
        Error::InvalidAddress => "it returned the error invalid-address".to_owned(),
        Error::TooManyConnections => "it returned the error too-many-connections".to_owned(),
        Error::TypeError => "it returned the error type-error".to_owned(),
        Error::Other(text) => format!("it returned an error: {:?}", text.chars().take(SHOWN).collect::<String>()),
    }
}
