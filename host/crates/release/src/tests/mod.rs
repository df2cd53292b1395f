//! Behaviour of releases from the outside, over workers that do what they are told.

mod changes;
mod drains;
mod exact;
mod fake;
mod requests;
mod restarts;
mod shadows;
