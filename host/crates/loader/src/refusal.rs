//! A core module that implements interfaces by refusing: every function returns at once, with the error that its
//! interface has for this, or with nothing (an empty list, no option) where it has none.
//!
//! What a function returns is laid out in memory when the module is made. Where a value cannot be made up (a stream, a
//! resource of somebody else), the function traps; such functions belong to resources that nobody can open here.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, EntityType, ExportKind, ExportSection, Function, FunctionSection,
    GlobalSection, GlobalType, ImportSection, InstructionSink, MemArg, MemorySection, MemoryType, Module, TypeSection,
    ValType,
};
use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{
    Function as WitFunction, LiftLowerAbi, ManglingAndAbi, Resolve, ResourceIntrinsic, TypeDefKind, TypeId, WasmExport,
    WasmExportKind, WasmImport, WorldId, WorldItem, WorldKey,
};

use crate::answers::{Answer, Answers};

const ABI: ManglingAndAbi = ManglingAndAbi::Legacy(LiftLowerAbi::Sync);
/// Where the answers begin in memory. Zero is no place for a pointer.
const BASE: u32 = 16;
const PAGE: u32 = 1 << 16;

/// The module, for a world that exports what is refused.
pub(crate) fn module(resolve: &Resolve, world: WorldId) -> Vec<u8> {
    let interfaces: Vec<(&WorldKey, Vec<&WitFunction>, Vec<TypeId>)> =
        resolve.worlds.get(world).map_or(Vec::new(), |world| {
            let interface = |(key, item)| match item {
                &WorldItem::Interface { id, .. } => {
                    let interface = resolve.interfaces.get(id)?;
                    let resources = interface.types.values().copied().filter(|id| is_resource(resolve, *id)).collect();
                    Some((key, interface.functions.values().collect(), resources))
                }
                WorldItem::Function(_) | WorldItem::Type { .. } => None,
            };
            world.exports.iter().filter_map(interface).collect()
        });
    let mut builder = Builder::default();
    for (key, _, resources) in &interfaces {
        for resource in resources {
            builder.import_new(resolve, key, *resource);
        }
    }
    let mut answers = Answers::new(resolve, BASE, builder.resources.clone());
    let mut planned = Vec::new();
    for (key, functions, _) in &interfaces {
        for function in functions {
            let message = format!("{:?} is not permitted", unversioned(&resolve.name_world_key(key)));
            planned.push((*key, *function, answers.of(function.result.as_ref(), &message)));
        }
    }
    let data = answers.into_data();
    let heap = (BASE + u32::try_from(data.len()).unwrap_or(u32::MAX)).next_multiple_of(16);
    for (key, function, answer) in &planned {
        builder.function(resolve, key, function, answer.as_ref(), heap);
    }
    builder.finish(&data, heap)
}

fn is_resource(resolve: &Resolve, id: TypeId) -> bool {
    resolve.types.get(id).is_some_and(|of| of.kind == TypeDefKind::Resource)
}

fn unversioned(interface: &str) -> &str {
    interface.split_once('@').map_or(interface, |(name, _version)| name)
}

/// The sections, while they are filled. Types and functions have the same numbers.
#[derive(Default)]
struct Builder {
    types: TypeSection,
    imports: ImportSection,
    functions: FunctionSection,
    exports: ExportSection,
    code: CodeSection,
    /// Functions so far, imported ones first.
    count: u32,
    /// The resources that can be made, each with the function that makes one.
    resources: Vec<(TypeId, u32)>,
}

impl Builder {
    fn signature(&mut self, params: Vec<ValType>, results: Vec<ValType>) -> u32 {
        self.types.ty().function(params, results);
        self.count += 1;
        self.count - 1
    }

    /// Imports what makes a handle of an exported resource.
    fn import_new(&mut self, resolve: &Resolve, interface: &WorldKey, resource: TypeId) {
        let intrinsic = ResourceIntrinsic::ExportedNew;
        let import = WasmImport::ResourceIntrinsic { interface: Some(interface), resource, intrinsic };
        let (module, name) = resolve.wasm_import_name(ABI, import);
        let index = self.signature(vec![ValType::I32], vec![ValType::I32]);
        self.imports.import(&module, &name, EntityType::Function(index));
        self.resources.push((resource, index));
    }

    fn function(
        &mut self,
        resolve: &Resolve,
        interface: &WorldKey,
        function: &WitFunction,
        answer: Option<&Answer>,
        heap: u32,
    ) {
        let signature = resolve.wasm_signature(AbiVariant::GuestExport, function);
        let core = |types: &[WasmType]| types.iter().map(|ty| core_type(*ty)).collect::<Vec<_>>();
        let index = self.signature(core(&signature.params), core(&signature.results));
        self.functions.function(index);
        let kind = WasmExportKind::Normal;
        let export = WasmExport::Func { interface: Some(interface), func: function, kind };
        self.exports.export(&resolve.wasm_export_name(ABI, export), ExportKind::Func, index);
        let mut body = Function::new([]);
        let mut sink = body.instructions();
        match answer {
            None => {
                sink.unreachable();
            }
            Some(answer) => {
                // Nobody reads the arguments: their memory is free again.
                sink.i32_const(signed(heap)).global_set(0);
                answer_body(&mut sink, answer, &signature.results, signature.retptr);
            }
        }
        sink.end();
        self.code.function(&body);
    }

    fn finish(mut self, data: &[u8], heap: u32) -> Vec<u8> {
        let realloc = self.signature(vec![ValType::I32; 4], vec![ValType::I32]);
        self.functions.function(realloc);
        self.code.function(&allocate());
        self.exports.export(&export_name(WasmExport::Realloc), ExportKind::Func, realloc);
        self.exports.export(&export_name(WasmExport::Memory), ExportKind::Memory, 0);
        let mut memories = MemorySection::new();
        let minimum = u64::from(heap.div_ceil(PAGE));
        memories.memory(MemoryType { minimum, maximum: None, memory64: false, shared: false, page_size_log2: None });
        let mut globals = GlobalSection::new();
        let mutable = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
        globals.global(mutable, &ConstExpr::i32_const(signed(heap)));
        let mut segments = DataSection::new();
        segments.active(0, &ConstExpr::i32_const(signed(BASE)), data.iter().copied());
        let mut module = Module::new();
        module.section(&self.types).section(&self.imports).section(&self.functions).section(&memories);
        module.section(&globals).section(&self.exports).section(&self.code).section(&segments);
        module.finish()
    }
}

/// Completes an answer in memory by the handles that only exist at run time, and returns it.
fn answer_body(sink: &mut InstructionSink<'_>, answer: &Answer, results: &[WasmType], by_pointer: bool) {
    let word = MemArg { offset: 0, align: 2, memory_index: 0 };
    for (address, make) in &answer.handles {
        // What a handle of ours stands for is never asked for.
        sink.i32_const(signed(*address)).i32_const(1).call(*make).i32_store(word);
    }
    let Some(result) = results.first() else { return };
    sink.i32_const(signed(answer.address));
    if by_pointer {
        return;
    }
    match core_type(*result) {
        ValType::I64 => sink.i64_load(MemArg { align: 3, ..word }),
        ValType::F32 => sink.f32_load(word),
        ValType::F64 => sink.f64_load(MemArg { align: 3, ..word }),
        _ => sink.i32_load(word),
    };
}

/// `cabi_realloc`: memory for arguments, one after the other.
fn allocate() -> Function {
    const OLD: u32 = 0;
    const OLD_SIZE: u32 = 1;
    const ALIGN: u32 = 2;
    const SIZE: u32 = 3;
    const AT: u32 = 4;
    let mut function = Function::new([(1, ValType::I32)]);
    let mut sink = function.instructions();
    // at = (heap + align - 1) & -align; heap = at + size
    sink.global_get(0).local_get(ALIGN).i32_add().i32_const(1).i32_sub();
    sink.i32_const(0).local_get(ALIGN).i32_sub().i32_and().local_tee(AT);
    sink.local_get(SIZE).i32_add().global_set(0);
    sink.global_get(0).local_get(AT).i32_lt_u().if_(BlockType::Empty).unreachable().end();
    // Grow until it fits: a page more than is missing does no harm.
    sink.block(BlockType::Empty).global_get(0).memory_size(0).i32_const(16).i32_shl().i32_le_u().br_if(0);
    sink.global_get(0)
        .memory_size(0)
        .i32_const(16)
        .i32_shl()
        .i32_sub()
        .i32_const(16)
        .i32_shr_u()
        .i32_const(1)
        .i32_add();
    sink.memory_grow(0).i32_const(-1).i32_eq().if_(BlockType::Empty).unreachable().end().end();
    // What was there moves along.
    sink.local_get(OLD).if_(BlockType::Empty).local_get(AT).local_get(OLD).local_get(OLD_SIZE).local_get(SIZE);
    sink.local_get(OLD_SIZE).local_get(SIZE).i32_lt_u().select().memory_copy(0, 0).end();
    sink.local_get(AT).end();
    function
}

fn export_name(export: WasmExport<'_>) -> String {
    Resolve::default().wasm_export_name(ABI, export)
}

fn core_type(ty: WasmType) -> ValType {
    match ty {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => ValType::I32,
        WasmType::I64 | WasmType::PointerOrI64 => ValType::I64,
        WasmType::F32 => ValType::F32,
        WasmType::F64 => ValType::F64,
    }
}

/// An address as WebAssembly's constants want it.
fn signed(address: u32) -> i32 {
    address.cast_signed()
}
