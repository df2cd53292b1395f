//! A GGUF file in the pieces that it is made of, so that a change can hit one field and leave the rest whole.
//!
//! It is also a second reading of the format, written apart from the preflight's, to hold a verdict against.

use super::hostile::{Damage, damage, numbers};
use proptest::prelude::*;

const HEAD: usize = 24;
/// Of the head: magic, version, number of tensors, number of keys.
const HEAD_FIELDS: [(usize, usize); 4] = [(0, 4), (4, 4), (8, 8), (16, 8)];
/// Elements of a list that changes reach; the others are like them.
const REACHED: u64 = 12;

/// A key with its value, or the description of a tensor.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) name: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
    /// Numbers: lengths, counts, types, dimensions, offsets, values; place and width.
    fields: Vec<(usize, usize)>,
    /// Where a text's length stands.
    texts: Vec<usize>,
    /// Where the number of elements stands, and the bytes of one.
    list: Option<(usize, usize)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Pieces {
    version: u32,
    pub(crate) keys: Vec<Piece>,
    pub(crate) tensors: Vec<Piece>,
    pub(crate) data_start: usize,
    pub(crate) data: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Part {
    Keys,
    Tensors,
}

/// One change. Numbers that choose a piece or a field are taken modulo how many there are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// A field of the head gets another value.
    Head {
        field: usize,
        value: u64,
    },
    /// A field gets another value, or one more by it.
    Field {
        part: Part,
        piece: usize,
        field: usize,
        value: u64,
        add: bool,
    },
    /// Every single value of a type gets another one: whatever can be wrong is wrong at once.
    All {
        kind: u64,
        value: u64,
    },
    /// A text gets longer, and says so.
    Grow {
        part: Part,
        piece: usize,
        text: usize,
        by: usize,
        with: char,
    },
    /// A list gets more elements, and says so.
    Stretch {
        piece: usize,
        by: usize,
    },
    Remove {
        part: Part,
        piece: usize,
    },
    Repeat {
        part: Part,
        piece: usize,
    },
    Swap {
        part: Part,
        one: usize,
        other: usize,
    },
    /// A piece of another file, in front of one of these.
    Graft {
        part: Part,
        piece: usize,
        from: &'static str,
        theirs: usize,
    },
    /// What is spliced is of the other file.
    Bytes {
        damage: Damage,
        other: &'static str,
    },
}

/// Changes, some of which take pieces of these files.
pub(crate) fn changes(files: Vec<&'static str>) -> impl Strategy<Value = Vec<Change>> {
    let part = || prop_oneof![2 => Just(Part::Keys), 1 => Just(Part::Tensors)];
    let piece = 0_usize..40;
    // Of one byte and of several, some of which a terminal obeys and llama.cpp takes for an end.
    let with = prop::sample::select(&['x', ' ', '"', 'é', '▁', '\u{1b}', '\u{202e}', '\0'][..]);
    let by = prop_oneof![8 => 1_usize..100, 2 => 100_usize..6000, 1 => Just(70_000_usize)];
    let field = (part(), piece.clone(), 0_usize..16, numbers(), any::<bool>());
    let file = prop::sample::select(files);
    let change = prop_oneof![
        1 => (0_usize..4, numbers()).prop_map(|(field, value)| Change::Head { field, value }),
        8 => field.prop_map(|(part, piece, field, value, add)| Change::Field { part, piece, field, value, add }),
        1 => (prop::sample::select(&[4_u64, 6, 7][..]), numbers()).prop_map(|(kind, value)| Change::All { kind, value }),
        3 => (part(), piece.clone(), 0_usize..8, by.clone(), with)
            .prop_map(|(part, piece, text, by, with)| Change::Grow { part, piece, text, by, with }),
        2 => (piece.clone(), by).prop_map(|(piece, by)| Change::Stretch { piece, by }),
        1 => (part(), piece.clone()).prop_map(|(part, piece)| Change::Remove { part, piece }),
        1 => (part(), piece.clone()).prop_map(|(part, piece)| Change::Repeat { part, piece }),
        1 => (part(), piece.clone(), piece.clone())
            .prop_map(|(part, one, other)| Change::Swap { part, one, other }),
        2 => (part(), piece.clone(), file.clone(), piece)
            .prop_map(|(part, piece, from, theirs)| Change::Graft { part, piece, from, theirs }),
        3 => (damage(), file).prop_map(|(damage, other)| Change::Bytes { damage, other }),
    ];
    prop::collection::vec(change, 0..5)
}

impl Pieces {
    /// Takes a file apart; `None` where it is not sound enough for that.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let mut walk = Walk { bytes, at: 4, start: 4, fields: Vec::new(), texts: Vec::new(), list: None };
        let version = walk.u32()?;
        let (tensor_count, key_count) = (walk.u64()?, walk.u64()?);
        let keys = (0..key_count).map(|_| walk.key()).collect::<Option<Vec<_>>>()?;
        let tensors = (0..tensor_count).map(|_| walk.tensor()).collect::<Option<Vec<_>>>()?;
        let alignment = keys.iter().find(|key| key.name == b"general.alignment").map_or(32, Piece::value);
        let data_start = walk.at.checked_next_multiple_of(alignment)?;
        let data = bytes.get(data_start..).unwrap_or_default().to_vec();
        Some(Self { version, keys, tensors, data_start, data })
    }

    pub(crate) fn key(&self, name: &str) -> Option<&Piece> {
        self.keys.iter().find(|key| key.name == name.as_bytes())
    }

    fn part(&mut self, part: Part) -> &mut Vec<Piece> {
        if part == Part::Keys { &mut self.keys } else { &mut self.tensors }
    }

    fn build(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.keys.len() as u64).to_le_bytes());
        assert_eq!(out.len(), HEAD);
        for piece in self.keys.iter().chain(&self.tensors) {
            out.extend(&piece.bytes);
        }
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend(&self.data);
        out
    }

    /// The file after the changes: first those of pieces, then those of bytes. `of` finds a file by its name.
    pub(crate) fn changed<'a>(&self, changes: &[Change], of: impl Fn(&str) -> &'a Self) -> Vec<u8> {
        let mut pieces = self.clone();
        changes.iter().for_each(|change| pieces.apply(change, &of));
        let mut bytes = pieces.build();
        for change in changes {
            match change {
                Change::Head { field, value } => {
                    if let Some((at, width)) = HEAD_FIELDS.get(*field).filter(|(at, width)| at + width <= bytes.len()) {
                        bytes[*at..at + width].copy_from_slice(&value.to_le_bytes()[..*width]);
                    }
                }
                Change::Bytes { damage: splice @ Damage::Splice { .. }, other } => {
                    splice.apply(&mut bytes, &of(other).build());
                }
                Change::Bytes { damage, .. } => damage.apply(&mut bytes, &[]),
                _ => {}
            }
        }
        bytes
    }

    fn apply<'a>(&mut self, change: &Change, of: &impl Fn(&str) -> &'a Self) {
        let count = |list: &mut Vec<Piece>| list.len().max(1);
        match *change {
            Change::Field { part, piece, field, value, add } => {
                let list = self.part(part);
                let piece = piece % count(list);
                list.get_mut(piece).into_iter().for_each(|piece| piece.set(field, value, add));
            }
            Change::All { kind, value } => {
                let of_kind = |key: &&mut Piece| key.list.is_none() && key.number(key.fields[1].0, 4) == kind;
                self.keys.iter_mut().filter(of_kind).for_each(|key| key.set(key.fields.len() - 1, value, false));
            }
            Change::Grow { part, piece, text, by, with } => {
                let list = self.part(part);
                let piece = piece % count(list);
                list.get_mut(piece).into_iter().for_each(|piece| piece.grow(text, by, with));
            }
            Change::Stretch { piece, by } => {
                let mut lists: Vec<_> = self.keys.iter_mut().filter(|key| key.list.is_some()).collect();
                let piece = piece % lists.len().max(1);
                lists.get_mut(piece).into_iter().for_each(|piece| piece.stretch(by));
            }
            Change::Remove { part, piece } => {
                let list = self.part(part);
                let piece = piece % count(list);
                if piece < list.len() {
                    list.remove(piece);
                }
            }
            Change::Repeat { part, piece } => {
                let list = self.part(part);
                let piece = piece % count(list);
                list.extend(list.get(piece).cloned());
            }
            Change::Swap { part, one, other } => {
                let list = self.part(part);
                let (one, other) = (one % count(list), other % count(list));
                if one.max(other) < list.len() {
                    list.swap(one, other);
                }
            }
            Change::Graft { part, piece, from, theirs } => {
                let other = of(from);
                let other = if part == Part::Keys { &other.keys } else { &other.tensors };
                let theirs = other[theirs % other.len()].clone();
                let list = self.part(part);
                // A key that is there already would only be a duplicate.
                list.retain(|piece| part == Part::Tensors || piece.name != theirs.name);
                list.insert(piece % (list.len() + 1), theirs);
            }
            Change::Head { .. } | Change::Bytes { .. } => {}
        }
    }
}

impl Piece {
    /// The number that stands last: a single value, or the last dimension of nothing.
    pub(crate) fn value(&self) -> usize {
        self.fields.last().map_or(0, |(at, width)| self.number(*at, *width) as usize)
    }

    /// How many elements a list has.
    pub(crate) fn elements(&self) -> Option<u64> {
        self.list.map(|(at, _)| self.number(at, 8))
    }

    /// A tensor's dimensions, its type and its offset.
    pub(crate) fn tensor(&self) -> (Vec<u64>, u64, u64) {
        let numbers: Vec<_> = self.fields.iter().skip(2).map(|(at, width)| self.number(*at, *width)).collect();
        let (dims, rest) = numbers.split_at(numbers.len() - 2);
        (dims.to_vec(), rest[0], rest[1])
    }

    fn number(&self, at: usize, width: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(&self.bytes[at..at + width]);
        u64::from_le_bytes(bytes)
    }

    fn put(&mut self, at: usize, width: usize, value: u64) {
        self.bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
    }

    fn set(&mut self, field: usize, value: u64, add: bool) {
        let (at, width) = self.fields[field % self.fields.len()];
        let before = if add { self.number(at, width) } else { 0 };
        self.put(at, width, before.wrapping_add(value));
    }

    fn grow(&mut self, text: usize, by: usize, with: char) {
        let more = with.to_string().repeat(by);
        let by = more.len();
        let at = self.texts[text % self.texts.len()];
        let begin = at + 8;
        self.put(at, 8, self.number(at, 8).wrapping_add(by as u64));
        self.bytes.splice(begin..begin, more.into_bytes());
        let moved = |place: &mut usize| *place += if *place >= begin { by } else { 0 };
        self.fields.iter_mut().for_each(|(place, _)| moved(place));
        self.texts.iter_mut().for_each(moved);
        self.list.iter_mut().for_each(|(place, _)| moved(place));
    }

    fn stretch(&mut self, by: usize) {
        if let Some((at, width)) = self.list {
            self.put(at, 8, self.number(at, 8).wrapping_add(by as u64));
            self.bytes.resize(self.bytes.len() + by * width, 0);
        }
    }
}

/// Reads on and remembers, for the piece that it is in, what stands where.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    start: usize,
    fields: Vec<(usize, usize)>,
    texts: Vec<usize>,
    list: Option<(usize, usize)>,
}

impl Walk<'_> {
    fn take(&mut self, count: u64) -> Option<&[u8]> {
        let end = self.at.checked_add(usize::try_from(count).ok()?)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(*self.take(4)?.first_chunk()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(*self.take(8)?.first_chunk()?))
    }

    fn field(&mut self, width: usize) {
        self.fields.push((self.at - self.start, width));
    }

    fn text(&mut self, reached: bool) -> Option<Vec<u8>> {
        if reached {
            self.texts.push(self.at - self.start);
            self.field(8);
        }
        let length = self.u64()?;
        Some(self.take(length)?.to_vec())
    }

    fn piece(&mut self, name: Vec<u8>) -> Piece {
        let bytes = self.bytes[self.start..self.at].to_vec();
        let (fields, texts) = (std::mem::take(&mut self.fields), std::mem::take(&mut self.texts));
        Piece { name, bytes, fields, texts, list: self.list.take() }
    }

    fn key(&mut self) -> Option<Piece> {
        self.start = self.at;
        let name = self.text(true)?;
        self.field(4);
        let kind = self.u32()?;
        if kind != 9 {
            self.values(kind, 1)?;
            return Some(self.piece(name));
        }
        self.field(4);
        let kind = self.u32()?;
        self.list = Some((self.at - self.start, width(kind)?));
        self.field(8);
        let count = self.u64()?;
        self.values(kind, count)?;
        Some(self.piece(name))
    }

    fn values(&mut self, kind: u32, count: u64) -> Option<()> {
        let width = width(kind)?;
        for index in 0..count {
            if kind == 8 {
                self.text(index < REACHED)?;
                continue;
            }
            if index < REACHED {
                self.field(width);
            }
            self.take(width as u64)?;
        }
        Some(())
    }

    fn tensor(&mut self) -> Option<Piece> {
        self.start = self.at;
        let name = self.text(true)?;
        self.field(4);
        let dims = self.u32()?;
        for width in (0..dims).map(|_| 8).chain([4, 8]) {
            self.field(width);
            self.take(width as u64)?;
        }
        Some(self.piece(name))
    }
}

/// Bytes of a value, or of the length in front of it.
fn width(kind: u32) -> Option<usize> {
    [1, 1, 2, 2, 4, 4, 4, 1, 8, 0, 8, 8, 8].get(kind as usize).copied().filter(|width| *width > 0)
}
