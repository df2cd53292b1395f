//! How many core instances, memories and tables a component has: what the engine must hold room for.

use wasmparser::{Instance, Parser, Payload};

/// What one instance of a component takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Core instances.
    pub core_instances: u32,
    /// Linear memories.
    pub memories: u32,
    /// Tables.
    pub tables: u32,
}

impl Size {
    /// Counts what a component declares. What cannot be read counts for nothing: whoever compiles it says what is wrong.
    pub fn of(component: &[u8]) -> Self {
        let mut size = Self::default();
        for payload in Parser::new(0).parse_all(component).map_while(Result::ok) {
            match payload {
                Payload::InstanceSection(instances) => {
                    let made = instances.into_iter().filter(|each| matches!(each, Ok(Instance::Instantiate { .. })));
                    size.core_instances += count(made);
                }
                Payload::MemorySection(memories) => size.memories += memories.count(),
                Payload::TableSection(tables) => size.tables += tables.count(),
                _ => {}
            }
        }
        size
    }

    /// The greater of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            core_instances: self.core_instances.max(other.core_instances),
            memories: self.memories.max(other.memories),
            tables: self.tables.max(other.tables),
        }
    }
}

fn count(items: impl Iterator) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}
