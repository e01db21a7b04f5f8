//! Turns what LanceDB and the operating system report into coded errors that name the table or file.

use std::io;
use std::path::Path;

use master_agent_core::ErrorCode;

use crate::error::Error;

/// An error of the operating system on `path`.
pub(crate) fn of_io(path: &Path, error: &io::Error) -> Error {
    let (code, advice) = advice(error);
    Error::new(code, format!("{}: {error}. {advice}", path.display()))
}

fn advice(error: &io::Error) -> (ErrorCode, &'static str) {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            (ErrorCode::StoreFull, "Free some space, or set LANCEDB_PATH to another disk; nothing was lost.")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            (ErrorCode::StoreReadOnly, "Give this user the right to write there, or set LANCEDB_PATH to another folder.")
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            (ErrorCode::StoreOpen, "A file is where the folder should be: set LANCEDB_PATH to another folder.")
        }
        _ => (ErrorCode::StoreFailed, "Check the disk and the folder."),
    }
}

/// An error of LanceDB on the table at `path`.
pub(crate) fn of_lance(path: &Path, error: &(dyn std::error::Error + 'static)) -> Error {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut damaged = false;
    // What LanceDB calls IO without an error of the operating system is what it could not make sense of.
    let (mut unreadable, mut refused) = (false, false);
    while let Some(one) = next {
        if let Some(io) = one.downcast_ref::<io::Error>() {
            refused |= io.raw_os_error().is_some();
            let (code, advice) = advice(io);
            if code != ErrorCode::StoreFailed {
                return Error::new(code, format!("{}: {io}. {advice}", path.display()));
            }
            damaged |= matches!(io.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData);
        }
        if let Some(lance) = one.downcast_ref::<lance::Error>() {
            unreadable |= matches!(lance, lance::Error::IO { .. });
            damaged |=
                matches!(lance, lance::Error::CorruptFile { .. } | lance::Error::NotFound { .. } | lance::Error::Internal { .. });
        }
        next = one.source();
    }
    // What was a source of the operating system's may have been turned into text on its way.
    let text = error.to_string();
    let says = |what: &[&str]| what.iter().any(|one| text.contains(one));
    if says(&["No space left", "os error 28", "Disk quota", "os error 122", "StorageFull"]) {
        return of_io(path, &io::Error::from(io::ErrorKind::StorageFull));
    }
    if says(&["Permission denied", "os error 13", "Read-only file system", "os error 30"]) {
        return of_io(path, &io::Error::from(io::ErrorKind::PermissionDenied));
    }
    let first = first_line(&text);
    if damaged
        || (unreadable && !refused)
        || says(&["corrupt", "Corrupt", "magic", "not found", "Not found", "No such file", "Invalid range", "object of size"])
    {
        return Error::new(
            ErrorCode::StoreCorrupt,
            format!(
                "{}: a file of the table is missing or damaged ({first}). Restore the folder from a copy, or remove it and add the documents again.",
                path.display()
            ),
        );
    }
    Error::new(ErrorCode::StoreFailed, format!("{}: {first}", path.display()))
}

/// The first line of a message, without the places in the source of a library that it may end with.
pub(crate) fn first_line(message: &str) -> &str {
    let line = message.lines().next().unwrap_or_default();
    let place = line.match_indices(", /").map(|(at, _)| at).find(|at| {
        let path = line[at + 2..].split([',', ')', ' ']).next().unwrap_or_default();
        path.contains(".rs:")
    });
    place.map_or(line, |at| &line[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_the_source_of_libraries_are_left_out() {
        let message =
            "Not found: /data/documents.lance/x, /home/b/.cargo/registry/src/reader.rs:335:56, /rustc/1/function.rs:2:5\nmore";
        assert_eq!(first_line(message), "Not found: /data/documents.lance/x");
        assert_eq!(first_line("plain, /data/a b"), "plain, /data/a b");
        assert_eq!(first_line(""), "");
    }

    #[test]
    fn a_full_disk_is_known_however_it_is_told() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(of_lance(Path::new("t"), &full).code(), ErrorCode::StoreFull);
        let told = io::Error::other("Generic LocalFileSystem error: No space left on device (os error 28)");
        assert_eq!(of_lance(Path::new("t"), &told).code(), ErrorCode::StoreFull);
        let other = io::Error::other("something else");
        assert_eq!(of_lance(Path::new("t"), &other).code(), ErrorCode::StoreFailed);
    }
}
