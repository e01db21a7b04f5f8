//! An ONNX file without its large weights: they stay in the file, where ONNX Runtime maps them, so that they are neither read, nor
//! copied, nor there once for each session.
//!
//! The format is that of protocol buffers: <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>.

use std::fs::File;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result};
use std::path::Path;

/// Weights with so many bytes stay in the file.
const LARGE: u64 = 1 << 14;

/// An outline is to be small.
const MOST: u64 = 1 << 27;

// Fields of ModelProto, GraphProto, TensorProto and StringStringEntryProto.
const GRAPH: u64 = 7;
const INITIALIZER: u64 = 5;
const DATA_TYPE: u64 = 2;
const RAW_DATA: u64 = 9;
const EXTERNAL_DATA: u64 = 13;
const DATA_LOCATION: u64 = 14;
const KEY: u64 = 1;
const VALUE: u64 = 2;

/// Values of one byte, which can lie anywhere: `UINT8` and `INT8`.
const BYTES: [u64; 2] = [2, 3];
/// `DataLocation.EXTERNAL`.
const EXTERNAL: u64 = 1;

/// The model in the file `path` in which large weights of one byte each are named by their place in that file.
pub(super) fn outline(path: &Path) -> Result<Vec<u8>> {
    let name = path.file_name().and_then(|name| name.to_str()).ok_or(ErrorKind::InvalidFilename)?;
    let file = File::open(path)?;
    let mut input = Input { left: file.metadata()?.len(), place: 0, file: BufReader::with_capacity(1 << 16, file) };
    let mut model = Vec::new();
    while let Some((field, length)) = input.field(&mut model)? {
        if field == GRAPH {
            let mut graph = Vec::new();
            input.within(length, |input| copy_graph(input, name, &mut graph))?;
            put_bytes(&mut model, field, &graph);
        } else {
            input.copy(field, length, &mut model)?;
        }
    }
    Ok(model)
}

fn copy_graph(input: &mut Input, name: &str, graph: &mut Vec<u8>) -> Result<()> {
    while let Some((field, length)) = input.field(graph)? {
        if field == INITIALIZER {
            let mut tensor = Vec::new();
            input.within(length, |input| copy_tensor(input, name, &mut tensor))?;
            put_bytes(graph, field, &tensor);
        } else {
            input.copy(field, length, graph)?;
        }
    }
    Ok(())
}

/// A writer puts the type of a tensor before its data; where it does not, the data is copied.
fn copy_tensor(input: &mut Input, name: &str, tensor: &mut Vec<u8>) -> Result<()> {
    let mut kind = None;
    while let Some((field, length)) = input.field_seen(tensor, |field, value| {
        if field == DATA_TYPE {
            kind = Some(value);
        }
    })? {
        if field == RAW_DATA && length >= LARGE && kind.is_some_and(|kind| BYTES.contains(&kind)) {
            for (key, value) in [("location", name), ("offset", &input.place.to_string()), ("length", &length.to_string())] {
                let mut entry = Vec::new();
                put_bytes(&mut entry, KEY, key.as_bytes());
                put_bytes(&mut entry, VALUE, value.as_bytes());
                put_bytes(tensor, EXTERNAL_DATA, &entry);
            }
            put_number(tensor, DATA_LOCATION, EXTERNAL);
            input.skip(length)?;
        } else {
            input.copy(field, length, tensor)?;
        }
    }
    Ok(())
}

struct Input {
    file: BufReader<File>,
    place: u64,
    /// Of the message that is being read.
    left: u64,
}

impl Input {
    /// The next field that has bytes, and how many; those that are numbers are copied. `None` at the end of the message.
    fn field(&mut self, output: &mut Vec<u8>) -> Result<Option<(u64, u64)>> {
        self.field_seen(output, |_, _| ())
    }

    fn field_seen(&mut self, output: &mut Vec<u8>, mut number: impl FnMut(u64, u64)) -> Result<Option<(u64, u64)>> {
        while self.left > 0 {
            let tag = self.varint()?;
            let field = tag >> 3;
            match tag & 7 {
                0 => {
                    let value = self.varint()?;
                    number(field, value);
                    put_number(output, field, value);
                }
                2 => {
                    let length = self.varint()?;
                    return if length <= self.left { Ok(Some((field, length))) } else { Err(damaged()) };
                }
                kind @ (1 | 5) => {
                    put_varint(output, tag);
                    self.append(if kind == 1 { 8 } else { 4 }, output)?;
                }
                _ => return Err(damaged()),
            }
        }
        Ok(None)
    }

    fn within(&mut self, length: u64, read: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let after = self.left - length;
        self.left = length;
        read(self)?;
        self.left = after;
        Ok(())
    }

    fn copy(&mut self, field: u64, length: u64, output: &mut Vec<u8>) -> Result<()> {
        put_varint(output, field << 3 | 2);
        put_varint(output, length);
        self.append(length, output)
    }

    fn append(&mut self, length: u64, output: &mut Vec<u8>) -> Result<()> {
        self.pass(length)?;
        let read = (&mut self.file).take(length.min(MOST)).read_to_end(output)?;
        if read as u64 == length { Ok(()) } else { Err(damaged()) }
    }

    fn skip(&mut self, length: u64) -> Result<()> {
        self.pass(length)?;
        self.file.seek_relative(length.try_into().map_err(|_| damaged())?)
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            self.pass(1)?;
            let byte = *self.file.fill_buf()?.first().ok_or_else(damaged)?;
            self.file.consume(1);
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(damaged())
    }

    /// Counts bytes that are read.
    fn pass(&mut self, bytes: u64) -> Result<()> {
        self.left = self.left.checked_sub(bytes).ok_or_else(damaged)?;
        self.place += bytes;
        Ok(())
    }
}

fn put_varint(output: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        output.push(value as u8 | 0x80);
        value >>= 7;
    }
    output.push(value as u8);
}

fn put_number(output: &mut Vec<u8>, field: u64, value: u64) {
    put_varint(output, field << 3);
    put_varint(output, value);
}

fn put_bytes(output: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(output, field << 3 | 2);
    put_varint(output, bytes.len() as u64);
    output.extend_from_slice(bytes);
}

fn damaged() -> Error {
    ErrorKind::InvalidData.into()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by it")]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::embed::tests::fixture;

    fn packaged() -> PathBuf {
        crate::embed::tests::packaged().join("model.onnx")
    }

    #[test]
    fn large_weights_are_left_in_the_file_and_named_by_their_place() {
        let (short, whole) = (outline(&packaged()).unwrap(), std::fs::read(packaged()).unwrap());
        assert!(short.len() < whole.len() / 20, "{} bytes of {}", short.len(), whole.len());
        // Each of them can be put back, which gives the file itself again but for the lengths around it.
        let left: Vec<usize> = short.windows(8).enumerate().filter(|(_, at)| at == b"location").map(|(at, _)| at).collect();
        let number = |from: usize, key: &str| {
            let at = from + short[from..].windows(key.len()).position(|found| found == key.as_bytes()).unwrap() + key.len();
            // A tag and a length go before the digits.
            std::str::from_utf8(&short[at + 2..at + 2 + usize::from(short[at + 1])]).unwrap().parse::<usize>().unwrap()
        };
        let mut bytes = 0;
        for at in left {
            let (offset, length) = (number(at, "offset"), number(at, "length"));
            assert!(length as u64 >= LARGE && offset + length <= whole.len());
            // A tag and the length of the data go before it in the file.
            let mut head = vec![];
            put_varint(&mut head, RAW_DATA << 3 | 2);
            put_varint(&mut head, length as u64);
            assert_eq!(whole[offset - head.len()..offset], head);
            bytes += length;
        }
        assert!(bytes > whole.len() / 20 * 19);
    }

    #[test]
    fn a_model_without_large_weights_stays_as_it_is() {
        let path = fixture("bundled").join("model.onnx");
        assert_eq!(outline(&path).unwrap(), std::fs::read(&path).unwrap());
    }

    #[test]
    fn a_file_that_is_cut_short_or_changed_is_no_reason_to_fall() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        let whole = std::fs::read(fixture("bundled").join("model.onnx")).unwrap();
        let mut refused = 0;
        for place in 0..whole.len() {
            std::fs::write(&path, &whole[..place]).unwrap();
            refused += usize::from(outline(&path).is_err());
            let mut changed = whole.clone();
            changed[place] = 0xff;
            std::fs::write(&path, &changed).unwrap();
            refused += usize::from(outline(&path).is_err());
        }
        assert!(refused > whole.len(), "{refused} of {}", 2 * whole.len());
    }
}
