//! What refused functions answer, laid out in memory as the canonical ABI wants it.

use wit_parser::{Handle, Int, Resolve, SizeAlign, Type, TypeDefKind, TypeId};

/// The cases by which interfaces say no, the first that there is. Where there is none, the last case is taken: it is the
/// one for whatever else goes wrong.
const CASES: [&str; 8] = [
    "access-denied",
    "destination-not-allowed",
    "internal-error",
    "model-not-supported",
    "undefined",
    "other",
    "error",
    "not-found",
];

/// One answer in memory.
pub(crate) struct Answer {
    /// Where it begins.
    pub(crate) address: u32,
    /// Where handles of resources belong that are made at run time, each with the function that makes one.
    pub(crate) handles: Vec<(u32, u32)>,
}

/// All answers of a module.
pub(crate) struct Answers<'r> {
    resolve: &'r Resolve,
    sizes: SizeAlign,
    base: u32,
    data: Vec<u8>,
    /// The resources that can be made, each with the function that makes one.
    resources: Vec<(TypeId, u32)>,
}

/// The answer that is being laid out.
struct Draft {
    address: u32,
    bytes: Vec<u8>,
    handles: Vec<(u32, u32)>,
    /// Where strings say why: address and length.
    message: (u32, u32),
}

impl Draft {
    fn write(&mut self, at: usize, value: &[u8]) -> Option<()> {
        self.bytes.get_mut(at..at + value.len())?.copy_from_slice(value);
        Some(())
    }

    fn tag(&mut self, at: usize, tag: Int, case: usize) -> Option<()> {
        let case = u32::try_from(case).ok()?.to_le_bytes();
        let width = match tag {
            Int::U8 => 1,
            Int::U16 => 2,
            Int::U32 | Int::U64 => 4,
        };
        self.write(at, case.get(..width)?)
    }
}

impl<'r> Answers<'r> {
    /// `base` is where the first byte will be in memory.
    pub(crate) fn new(resolve: &'r Resolve, base: u32, resources: Vec<(TypeId, u32)>) -> Self {
        let mut sizes = SizeAlign::default();
        sizes.fill(resolve);
        Self { resolve, sizes, base, data: Vec::new(), resources }
    }

    /// The answer of a function with this result; none where no such value can be made up. `message` is what errors say.
    pub(crate) fn of(&mut self, result: Option<&Type>, message: &str) -> Option<Answer> {
        let text = self.place(message.as_bytes(), 1)?;
        let message = (text, u32::try_from(message.len()).ok()?);
        let Some(result) = result else { return Some(Answer { address: self.base, handles: Vec::new() }) };
        let size = self.sizes.size(result).size_wasm32();
        // A single small value is read by the word.
        let bytes = vec![0; size.max(8)];
        let address = self.place(&bytes, 8)?;
        let mut draft = Draft { address, bytes, handles: Vec::new(), message };
        self.value(result, 0, false, &mut draft)?;
        let start = usize::try_from(address - self.base).ok()?;
        self.data.get_mut(start..start + draft.bytes.len())?.copy_from_slice(&draft.bytes);
        Some(Answer { address, handles: draft.handles })
    }

    /// What belongs into memory at the base.
    pub(crate) fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// Adds bytes, and says where they are.
    fn place(&mut self, bytes: &[u8], align: usize) -> Option<u32> {
        let start = (usize::try_from(self.base).ok()? + self.data.len()).next_multiple_of(align);
        self.data.resize(start - usize::try_from(self.base).ok()?, 0);
        self.data.extend_from_slice(bytes);
        u32::try_from(start).ok()
    }

    /// Lays a value out. In an error (`failing`) what is optional is there, too: it says why.
    fn value(&self, ty: &Type, at: usize, failing: bool, draft: &mut Draft) -> Option<()> {
        match ty {
            Type::String => {
                let (address, length) = draft.message;
                draft.write(at, &address.to_le_bytes())?;
                draft.write(at + 4, &length.to_le_bytes())
            }
            Type::Id(id) => self.defined(*id, at, failing, draft),
            Type::ErrorContext => None,
            // Zeros.
            _ => Some(()),
        }
    }

    fn defined(&self, id: TypeId, at: usize, failing: bool, draft: &mut Draft) -> Option<()> {
        match &self.resolve.types.get(id)?.kind {
            TypeDefKind::Type(ty) => self.value(ty, at, failing, draft),
            TypeDefKind::Record(record) => self.fields(record.fields.iter().map(|f| &f.ty), at, failing, draft),
            TypeDefKind::Tuple(tuple) => self.fields(tuple.types.iter(), at, failing, draft),
            TypeDefKind::Option(payload) if failing => {
                draft.tag(at, Int::U8, 1)?;
                self.payload(Int::U8, [Some(payload)].into_iter(), Some(payload), at, failing, draft)
            }
            TypeDefKind::Result(result) => {
                draft.tag(at, Int::U8, 1)?;
                let cases = [result.ok.as_ref(), result.err.as_ref()];
                self.payload(Int::U8, cases.into_iter(), result.err.as_ref(), at, true, draft)
            }
            TypeDefKind::Variant(variant) => {
                let case = refusing(variant.cases.iter().map(|case| case.name.as_str()))?;
                draft.tag(at, variant.tag(), case)?;
                let cases = variant.cases.iter().map(|case| case.ty.as_ref());
                let chosen = variant.cases.get(case)?.ty.as_ref();
                self.payload(variant.tag(), cases, chosen, at, failing, draft)
            }
            TypeDefKind::Enum(of) => draft.tag(at, of.tag(), refusing(of.cases.iter().map(|case| case.name.as_str()))?),
            TypeDefKind::Handle(Handle::Own(resource)) => {
                let make = self.maker(*resource)?;
                draft.handles.push((draft.address + u32::try_from(at).ok()?, make));
                Some(())
            }
            // Nothing, which is zeros.
            TypeDefKind::Option(_) | TypeDefKind::List(_) | TypeDefKind::Map(..) | TypeDefKind::Flags(_) => Some(()),
            TypeDefKind::Handle(Handle::Borrow(_))
            | TypeDefKind::FixedLengthList(..)
            | TypeDefKind::Future(_)
            | TypeDefKind::Stream(_)
            | TypeDefKind::Resource
            | TypeDefKind::Unknown => None,
        }
    }

    fn fields<'t>(
        &self,
        types: impl Iterator<Item = &'t Type>,
        at: usize,
        failing: bool,
        draft: &mut Draft,
    ) -> Option<()> {
        let fields = self.sizes.field_offsets(types);
        fields.into_iter().try_for_each(|(offset, ty)| self.value(ty, at + offset.size_wasm32(), failing, draft))
    }

    fn payload<'t>(
        &self,
        tag: Int,
        cases: impl Iterator<Item = Option<&'t Type>>,
        chosen: Option<&Type>,
        at: usize,
        failing: bool,
        draft: &mut Draft,
    ) -> Option<()> {
        let Some(ty) = chosen else { return Some(()) };
        self.value(ty, at + self.sizes.payload_offset(tag, cases).size_wasm32(), failing, draft)
    }

    /// The function that makes a resource, where it is one of ours.
    fn maker(&self, resource: TypeId) -> Option<u32> {
        let mut id = resource;
        while let TypeDefKind::Type(Type::Id(of)) = self.resolve.types.get(id)?.kind {
            id = of;
        }
        self.resources.iter().find(|(known, _)| *known == id).map(|(_, make)| *make)
    }
}

/// Which of these cases says no.
fn refusing<'n>(names: impl Iterator<Item = &'n str>) -> Option<usize> {
    let names: Vec<&str> = names.collect();
    let preferred = CASES.iter().find_map(|case| names.iter().position(|name| name == case));
    preferred.or(names.len().checked_sub(1))
}
