//! Turns what LanceDB and the operating system report into coded errors that name the table or file.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Once;

use master_agent_core::ErrorCode;
use parking_lot::Mutex;

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

/// How many panics are remembered: those that happen at about the same time.
const PANICS: usize = 32;

/// What the last panics said, and in which file of source: what is caught of a panic does not tell where it was.
static LAST_PANICS: Mutex<VecDeque<(String, String)>> = Mutex::new(VecDeque::new());

/// Remembers where panics happen from now on.
pub(crate) fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if let Some(place) = panic.location() {
                let mut last = LAST_PANICS.lock();
                last.truncate(PANICS - 1);
                last.push_front((said(panic.payload()).to_owned(), place.file().to_owned()));
            }
            before(panic);
        }));
    });
}

fn said(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default()
}

/// What a caught panic tells of the table at `path`: LanceDB panics where a file does not hold what it should, and any other
/// panic is a defect of ours.
pub(crate) fn of_panic(path: &Path, panic: &(dyn Any + Send)) -> Error {
    let said = said(panic);
    let file = LAST_PANICS.lock().iter().find(|(message, _)| message == said).map(|(_, file)| file.clone());
    let message = first_line(said);
    if is_of_a_reader(file.as_deref().unwrap_or_default()) || said == "capacity overflow" {
        return Error::new(
            ErrorCode::StoreCorrupt,
            format!(
                "{}: LanceDB failed on a file of the table, which is damaged ({message}). Restore the folder from a copy, or remove it and add the documents again.",
                path.display()
            ),
        );
    }
    Error::new(
        ErrorCode::Internal,
        format!(
            "{}: the call failed by a defect of master-agent, not of the table ({message}{}). What was acknowledged is not touched; please report it.",
            path.display(),
            file.map(|file| format!(", in {}", from_package(&file))).unwrap_or_default()
        ),
    )
}

/// Whether a file of source is of a crate that takes the bytes of a table's files apart.
fn is_of_a_reader(file: &str) -> bool {
    // LanceDB is many crates: lance-file, lance-encoding, …
    const READERS: &[&str] = &["lance-", "lancedb-", "arrow-buffer-", "arrow-data-", "arrow-ipc-", "bytes-", "fsst-", "prost-"];
    let file = from_package(file);
    READERS.iter().any(|reader| file.starts_with(reader))
}

/// A file of source from the folder of its package on, which is the one above the last `src`.
fn from_package(file: &str) -> String {
    let parts: Vec<&str> = file.split(['/', '\\']).collect();
    let package = parts.iter().rposition(|part| *part == "src").and_then(|at| at.checked_sub(1));
    parts[package.unwrap_or(0)..].join("/")
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
    fn a_panic_of_ours_is_a_defect_and_one_of_a_reader_a_damaged_file() {
        watch_panics();
        let caught = |panic: fn()| of_panic(Path::new("t"), std::panic::catch_unwind(panic).expect_err("it panics").as_ref());
        let ours = caught(|| panic!("a slip of ours"));
        assert_eq!(ours.code(), ErrorCode::Internal);
        assert!(ours.to_string().contains("(a slip of ours, in memory/src/table/failure.rs)"), "{ours}");
        // As LanceDB does with a file that was cut: what is taken of its bytes is not there.
        let theirs = caught(|| drop(arrow_array::Int32Array::from(vec![1]).values().inner().slice(9)));
        assert_eq!(theirs.code(), ErrorCode::StoreCorrupt, "{theirs}");
        assert_eq!(of_panic(Path::new("t"), &"nobody said this".to_owned()).code(), ErrorCode::Internal);
    }

    #[test]
    fn readers_are_known_by_the_place_of_their_source() {
        let registry = "/home/b/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/";
        for package in ["lance-8.0.0", "lance-file-8.0.0", "lancedb-0.41.0", "arrow-buffer-58.0.0", "bytes-1.11.0"] {
            assert!(is_of_a_reader(&format!("{registry}{package}/src/a/b.rs")), "{package}");
        }
        assert!(is_of_a_reader(r"C:\Users\b\.cargo\registry\src\index\lance-io-8.0.0\src\lib.rs"));
        for file in
            ["crates/memory/src/table/rows.rs", "/rustc/1/library/core/src/slice/index.rs", "lancet-1.0.0/src/a.rs", "a.rs", ""]
        {
            assert!(!is_of_a_reader(file), "{file}");
        }
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
