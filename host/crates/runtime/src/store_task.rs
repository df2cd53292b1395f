//! One piece of work in a store: make an instance, let it work, and end for one of a few reasons. What starts the work,
//! a request or a message, says what the instance does ([`Work`]); everything that bounds it is here.

use crate::answer::Ended;
use crate::application::Application;
use crate::call::Call;
use crate::component::Linked;
use crate::cpu::{self, Budgeted, CpuBudgetExceeded};
use crate::reuse::{Idle, Instance};
use crate::state::{NoState, State};
use bobbin_inference::{Cause, CpuBudget, RequestContext};
use bobbin_release::Pins;
use std::pin::pin;
use std::sync::Arc;
use wasmtime::{PoolConcurrencyLimitError, Store};

/// What an instance is made for.
pub(crate) trait Work: Send {
    /// Where instances wait for work of this kind, if they may do more than one piece of it.
    fn idle(_component: &Linked) -> Option<&Arc<Idle<Instance>>> {
        None
    }

    /// Has the component do it. Whoever asked hears of the end when the store is gone.
    fn drive(self, component: &Linked, instance: &mut Instance) -> impl Future<Output = Ended> + Send;
}

/// Has the work done. The store is gone, with all that the guest held, before anybody hears of the end, unless the deadline
/// was that (`background::late`); or it waits for the next piece. `cpu` is what the guest may spend.
pub(crate) async fn run<W: Work>(component: Arc<Linked>, call: Call<W>, cpu: Arc<CpuBudget>) -> Ended {
    let Call { request: work, context, pins, permit, application, chained } = call;
    let idle = W::idle(&component);
    let mut instance = match instance(&component, idle, (&context, &cpu), pins, (application, chained)) {
        Ok(instance) => instance,
        Err(reason) => return Ended::NoInstance(reason.to_string()),
    };

    let hard = tokio::time::Instant::from_std(context.deadlines.hard);
    let end = {
        let driven = pin!(work.drive(&component, &mut instance));
        tokio::select! {
            biased;
            () = context.cancel.cancelled() => {
                Ended::Broken(context.cause.get().cloned().unwrap_or(Cause::ClientGone))
            }
            end = Budgeted::new(driven, cpu) => match end {
                Ok(end) => end,
                Err(CpuBudgetExceeded) => Ended::Broken(Cause::CpuBudgetExceeded),
            },
            () = tokio::time::sleep_until(hard) => Ended::Broken(Cause::DeadlineExceeded),
        }
    };
    let end = explain(end, &instance.store);
    if let Ended::Broken(cause) = &end {
        // Before the store goes: its streams break then, and whoever sees that asks for the cause.
        context.end(cause.clone());
    }
    match (&end, idle) {
        (Ended::Whole, Some(idle)) if instance.answered() => idle.keep(instance),
        _ => drop(instance),
    }
    drop(permit);
    end
}

/// One that waits for a request, or a new one.
fn instance(
    component: &Linked,
    idle: Option<&Arc<Idle<Instance>>>,
    (context, cpu): (&Arc<RequestContext>, &Arc<CpuBudget>),
    pins: Pins,
    (application, chained): (Option<Arc<dyn Application>>, bool),
) -> Result<Instance, NoState> {
    if let Some(mut instance) = idle.and_then(|idle| idle.take()) {
        instance.store.data_mut().serve(context, cpu, pins, application)?;
        return Ok(instance);
    }
    let state = State::new(component, context, cpu, pins, (application, chained))?;
    let mut store = Store::new(component.engine(), state);
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(usize::try_from(context.account.limit()).unwrap_or(usize::MAX));
    cpu::yield_at_epochs(&mut store);
    Ok(Instance::new(store))
}

/// Why there is no instance.
pub(crate) fn not_made(error: &wasmtime::Error) -> Ended {
    if error.is::<PoolConcurrencyLimitError>() {
        return Ended::NoInstance(error.to_string());
    }
    let why = error.root_cause();
    Ended::Broken(Cause::GuestTrapped(format!("it could not be instantiated: {why}")))
}

/// Whoever handles the cause logs it; the guest's stack is for whoever debugs the component.
pub(crate) fn failed(component: &Linked, error: &wasmtime::Error) -> Ended {
    tracing::debug!(component = %component.spec.id, "the component trapped: {error:#}");
    Ended::Broken(Cause::GuestTrapped(error.root_cause().to_string()))
}

/// A trap after memory was refused says "unreachable"; what happened is that the guest had no more memory.
fn explain(end: Ended, store: &Store<State>) -> Ended {
    match end {
        Ended::Broken(Cause::GuestTrapped(message)) if store.data().memory.refused() => Ended::Broken(
            Cause::GuestTrapped(format!("it asked for more memory than guest_memory_bytes allows; then: {message}")),
        ),
        end => end,
    }
}
