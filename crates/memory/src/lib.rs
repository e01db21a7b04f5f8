//! Memory: documents in, the right passages out.
//!
//! `embed` turns texts into vectors, `chunk` splits documents, `filter` says which documents are meant.

pub mod error;
pub mod filter;

pub use error::{Error, Result};
