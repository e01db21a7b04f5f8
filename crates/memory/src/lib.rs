//! Memory: documents in, the right passages out.
//!
//! `memory` is the face; `request` what can be asked. `embed` turns texts into vectors, `chunk` splits documents, `filter` says which
//! documents are meant. `table` is a collection on disk, `search` finds passages in it, `documents` and `jsonl` are what users see of it.

pub mod chunk;
mod documents;
pub mod embed;
pub mod error;
pub mod filter;
mod jsonl;
mod memory;
mod request;
mod search;
mod table;
mod text;

pub use error::{Error, Result};
pub use memory::{Emit, Memory};
pub use request::{Model, Options, Reply};
