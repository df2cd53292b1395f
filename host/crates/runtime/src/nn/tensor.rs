//! Tensors: bytes with a type and a shape, charged to the request's account.

use super::NnView;
use super::bindings::wasi::nn::tensor::{Host, HostTensor, TensorType};
use bobbin_inference::Charge;
use wasmtime::component::Resource;
use wasmtime::error::Context as _;

/// A tensor that the host holds for a guest.
#[derive(Debug)]
pub struct Tensor {
    pub(super) dimensions: Vec<u32>,
    pub(super) ty: TensorType,
    pub(super) data: Vec<u8>,
    pub(super) charge: Charge,
}

/// Bytes of one element.
pub(super) fn width(ty: TensorType) -> usize {
    match ty {
        TensorType::U8 => 1,
        TensorType::Fp16 | TensorType::Bf16 => 2,
        TensorType::Fp32 | TensorType::I32 => 4,
        TensorType::Fp64 | TensorType::I64 => 8,
    }
}

impl Host for NnView<'_> {}

impl HostTensor for NnView<'_> {
    /// The interface has no error here, so a full account traps.
    fn new(&mut self, dimensions: Vec<u32>, ty: TensorType, data: Vec<u8>) -> wasmtime::Result<Resource<Tensor>> {
        let held = dimensions.len().saturating_mul(4).saturating_add(data.len());
        let charge = self.charge(held).context("a tensor could not be made")?;
        Ok(self.table.push(Tensor { dimensions, ty, data, charge })?)
    }

    fn dimensions(&mut self, this: Resource<Tensor>) -> wasmtime::Result<Vec<u32>> {
        Ok(self.table.get(&this)?.dimensions.clone())
    }

    fn ty(&mut self, this: Resource<Tensor>) -> wasmtime::Result<TensorType> {
        Ok(self.table.get(&this)?.ty)
    }

    fn data(&mut self, this: Resource<Tensor>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.table.get(&this)?.data.clone())
    }

    fn drop(&mut self, this: Resource<Tensor>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
