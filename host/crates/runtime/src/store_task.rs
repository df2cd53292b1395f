//! One request in a store: instantiate, run the request, and end for one of a few reasons.

use crate::answer::{Ended, RequestBodyError};
use crate::application::Application;
use crate::call::Call;
use crate::component::Linked;
use crate::cpu::{self, Budgeted, CpuBudgetExceeded};
use crate::reuse::Instance;
use crate::state::{NoState, State};
use bobbin_inference::{Cause, CpuBudget, RequestContext};
use bobbin_release::Pins;
use futures::channel::oneshot::Sender as AnswerSender;
use http_body_util::BodyExt;
use std::sync::Arc;
use tokio::sync::oneshot;
use wasmtime::{AsContextMut, PoolConcurrencyLimitError, Store};
use wasmtime_wasi_http::handler::{Prepared, Request, Response};
use wasmtime_wasi_http::{Error as HttpError, WasiHttpView};

pub(crate) struct StoreTask {
    pub(crate) component: Arc<Linked>,
    pub(crate) call: Call,
    pub(crate) answer: AnswerSender<wasmtime::Result<Response>>,
    pub(crate) ended: oneshot::Sender<Ended>,
}

/// Runs the request to its end. The store is gone, with all that the guest held, before anybody hears of it; or it
/// waits for the next request.
pub(crate) async fn run(task: StoreTask) {
    let StoreTask { component, call, answer, ended } = task;
    let Call { request, context, pins, permit, application, chained } = call;
    let cpu = Arc::new(CpuBudget::new(component.guest_cpu));
    let mut instance = match instance(&component, &context, &cpu, pins, (application, chained)) {
        Ok(instance) => instance,
        Err(reason) => {
            let _ = ended.send(Ended::NoInstance(reason.to_string()));
            return;
        }
    };

    let hard = tokio::time::Instant::from_std(context.deadlines.hard);
    let end = tokio::select! {
        biased;
        () = context.cancel.cancelled() => {
            Ended::Broken(context.cause.get().cloned().unwrap_or(Cause::ClientGone))
        }
        () = tokio::time::sleep_until(hard) => Ended::Broken(Cause::DeadlineExceeded),
        end = Budgeted::new(drive(&component, &mut instance, request, answer), cpu) => match end {
            Ok(end) => end,
            Err(CpuBudgetExceeded) => Ended::Broken(Cause::CpuBudgetExceeded),
        },
    };
    let end = explain(end, &instance.store);
    if let Ended::Broken(cause) = &end {
        // Before the store goes: its streams break then, and whoever sees that asks for the cause.
        context.end(cause.clone());
    }
    match (&end, &component.idle) {
        (Ended::Whole, Some(idle)) if instance.answered() => idle.keep(instance),
        _ => drop(instance),
    }
    drop(permit);
    // Nobody listens where the client left before the answer began.
    let _ = ended.send(end);
}

/// One that waits for a request, or a new one.
fn instance(
    component: &Linked,
    context: &Arc<RequestContext>,
    cpu: &Arc<CpuBudget>,
    pins: Pins,
    (application, chained): (Option<Arc<dyn Application>>, bool),
) -> Result<Instance, NoState> {
    if let Some(mut instance) = component.idle.as_ref().and_then(|idle| idle.take()) {
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

/// Instantiates, runs the handler, and waits for what the guest still does after its answer.
async fn drive(
    component: &Linked,
    instance: &mut Instance,
    request: http::Request<crate::RequestBody>,
    answer: AnswerSender<wasmtime::Result<Response>>,
) -> Ended {
    let Instance { store, proxy, .. } = instance;
    let made = match proxy.take() {
        Some(proxy) => Ok(proxy),
        None => component.pre.instantiate_async(&mut *store).await,
    };
    let proxy = match made {
        Ok(made) => &*proxy.insert(made),
        Err(error) if error.is::<PoolConcurrencyLimitError>() => return Ended::NoInstance(error.to_string()),
        Err(error) => {
            let why = error.root_cause();
            return Ended::Broken(Cause::GuestTrapped(format!("it could not be instantiated: {why}")));
        }
    };
    let request = adapt(request);
    let outcome = store
        .run_concurrent(async |accessor| {
            let prepared = accessor.with(|mut store| {
                Prepared::new(store.as_context_mut(), proxy, request, <State as WasiHttpView>::http, answer)
            })?;
            prepared.run(accessor, std::future::pending()).await?;
            std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
            wasmtime::Result::Ok(())
        })
        .await;
    match outcome.and_then(std::convert::identity) {
        Ok(()) => Ended::Whole,
        Err(error) => {
            // Whoever handles the cause logs it; the guest's stack is for whoever debugs the component.
            tracing::debug!(component = %component.spec.id, "the component trapped: {error:#}");
            Ended::Broken(Cause::GuestTrapped(error.root_cause().to_string()))
        }
    }
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

/// To wasmtime's types. HTTP/1.0 knows no host, and WASI wants one.
fn adapt(request: http::Request<crate::RequestBody>) -> Request {
    let (mut head, body) = request.into_parts();
    if head.uri.authority().is_none() && !head.headers.contains_key(http::header::HOST) {
        head.headers.insert(http::header::HOST, http::HeaderValue::from_static("localhost"));
    }
    let body = body.map_err(|error| match error {
        RequestBodyError::TooLarge { limit } => HttpError::HttpRequestBodySize(Some(limit)),
        RequestBodyError::Connection(_) => HttpError::ConnectionTerminated,
    });
    http::Request::from_parts(head, body.boxed_unsync())
}
