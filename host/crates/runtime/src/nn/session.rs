//! Graphs and execution contexts: a pinned version, and one sequence on it.

use super::bindings::wasi::nn::graph::{ExecutionTarget, GraphEncoding, Host as GraphHost, HostGraph};
use super::bindings::wasi::nn::inference::{Host as InferenceHost, HostGraphExecutionContext};
use super::error::NnError;
use super::inputs::{self, Input, Request};
use super::outputs::{self, Named};
use super::tensor::Tensor;
use super::{NnView, over_account};
use bobbin_inference::{Charge, GraphInfo, InferenceError, Reason, Session};
use bobbin_release::Pinned;
use wasmtime::component::Resource;

/// wasi-nn's graph: a handle on the version that was pinned for the request.
pub struct Graph {
    pinned: Pinned,
    _charge: Charge,
}

/// wasi-nn's graph-execution-context: a session.
pub struct ExecutionContext {
    session: Box<dyn Session>,
    info: GraphInfo,
    _charge: Charge,
}

/// Named tensors as the guest gets them.
type Tensors = Vec<(String, Resource<Tensor>)>;

/// What a guest's call returns: a value, or an error to look at.
type Answer<T> = wasmtime::Result<Result<T, Resource<NnError>>>;

impl NnView<'_> {
    fn answer<T>(&mut self, result: Result<T, InferenceError>) -> Answer<T> {
        match result {
            Ok(value) => Ok(Ok(value)),
            Err(error) => Ok(Err(self.push_error(error)?)),
        }
    }

    /// Unknown and ungranted names look the same: the inventory stays hidden.
    fn find(&self, name: &str) -> Result<Graph, InferenceError> {
        let context = self.context;
        let Some(pinned) = self.pins.graph(name) else {
            self.pins.refuse(context, name);
            let message = match self.pins.is_restricted() {
                false => format!("no graph \"{name:.100}\" is available to this component; grant it in its ai_models"),
                true => format!("no graph \"{name:.100}\" is available to this component with the key of this request"),
            };
            return Err(InferenceError::new(Reason::ModelNotFound, message));
        };
        pinned.load()?;
        let charge = self.charge(0).map_err(over_account)?;
        Ok(Graph { pinned: pinned.clone(), _charge: charge })
    }

    fn open(&self, graph: &Resource<Graph>) -> wasmtime::Result<Result<ExecutionContext, InferenceError>> {
        let graph = self.table.get(graph)?;
        let open = || {
            let charge = self.charge(0).map_err(over_account)?;
            let (session, info) = graph.pinned.open(self.context)?;
            Ok(ExecutionContext { session, info, _charge: charge })
        };
        Ok(open())
    }

    /// Takes the tensors out of the table, whatever becomes of the call.
    fn take(&mut self, inputs: Tensors) -> wasmtime::Result<(Vec<Input>, Vec<Charge>)> {
        let mut taken = Vec::with_capacity(inputs.len());
        let mut charges = Vec::with_capacity(inputs.len());
        for (name, tensor) in inputs {
            let Tensor { dimensions, ty, data, charge } = self.table.delete(tensor)?;
            taken.push(Input { name, dimensions, ty, data });
            charges.push(charge);
        }
        Ok((taken, charges))
    }

    /// Hands the outputs to the guest; all of them or none.
    fn give(&mut self, outputs: Vec<Named>) -> wasmtime::Result<Result<Tensors, InferenceError>> {
        let charges: Result<Vec<Charge>, _> = outputs.iter().map(|named| self.charge(named.data.len())).collect();
        let charges = match charges {
            Ok(charges) => charges,
            Err(error) => return Ok(Err(over_account(error))),
        };
        let mut given = Vec::with_capacity(outputs.len());
        for (Named { name, dimensions, ty, data }, charge) in outputs.into_iter().zip(charges) {
            given.push((name.to_owned(), self.table.push(Tensor { dimensions, ty, data, charge })?));
        }
        Ok(Ok(given))
    }
}

impl GraphHost for NnView<'_> {
    /// A guest never brings weights: they would reach a parser that no preflight has seen.
    fn load(
        &mut self,
        _builders: Vec<Vec<u8>>,
        encoding: GraphEncoding,
        _target: ExecutionTarget,
    ) -> Answer<Resource<Graph>> {
        let refused = match encoding {
            GraphEncoding::Ggml | GraphEncoding::Autodetect => InferenceError::new(
                Reason::GuestBytesRefused,
                "graphs are not loaded from a component's bytes; use load-by-name with a name from ai_models",
            ),
            GraphEncoding::Openvino
            | GraphEncoding::Onnx
            | GraphEncoding::Tensorflow
            | GraphEncoding::Pytorch
            | GraphEncoding::Tensorflowlite => InferenceError::new(
                Reason::NoBackend,
                format!("this host has no backend for {encoding:?}; it runs ggml, through load-by-name"),
            ),
        };
        self.answer(Err(refused))
    }

    fn load_by_name(&mut self, name: String) -> Answer<Resource<Graph>> {
        match self.find(&name) {
            Ok(graph) => Ok(Ok(self.table.push(graph)?)),
            Err(error) => self.answer(Err(error)),
        }
    }
}

impl HostGraph for NnView<'_> {
    fn init_execution_context(&mut self, this: Resource<Graph>) -> Answer<Resource<ExecutionContext>> {
        match self.open(&this)? {
            Ok(context) => Ok(Ok(self.table.push(context)?)),
            Err(error) => self.answer(Err(error)),
        }
    }

    fn drop(&mut self, this: Resource<Graph>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl InferenceHost for NnView<'_> {}

impl HostGraphExecutionContext for NnView<'_> {
    async fn compute(&mut self, this: Resource<ExecutionContext>, inputs: Tensors) -> Answer<Tensors> {
        // The inputs stay charged until the answer is there: the worker's copy of the prompt lives as long.
        let (inputs, _charges) = self.take(inputs)?;
        let context = self.table.get_mut(&this)?;
        let result = match inputs::read(inputs, &context.info) {
            Ok(Request::Start(work)) => context.session.compute(*work).await,
            Ok(Request::Next) => context.session.next().await,
            Err(error) => Err(error),
        };
        match result {
            Ok(output) => match self.give(outputs::write(output))? {
                Ok(outputs) => Ok(Ok(outputs)),
                Err(error) => self.answer(Err(error)),
            },
            Err(error) => self.answer(Err(error)),
        }
    }

    fn drop(&mut self, this: Resource<ExecutionContext>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
