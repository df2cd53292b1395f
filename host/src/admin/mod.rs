//! The client of a host's admin API: what `bobbin release ..` and `bobbin key ..` speak with.

mod client;
mod error;
mod events;
mod model;
mod sse;

pub(crate) use client::{Admin, Answer, Connection, Edit, EventStream, admin_url};
pub(crate) use error::{AdminError, Code, Problem};
pub(crate) use events::{ChangeEvent, Event, FileProgress, Step, VersionEvent};
pub(crate) use model::{Agreement, Change, Failure, History, Pending, Release, Releases, Version};
