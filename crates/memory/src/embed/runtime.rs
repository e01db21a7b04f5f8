//! Finding and loading ONNX Runtime. A file that would bring the process down is refused before it is loaded.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use master_agent_core::ErrorCode;
use ort::environment::Environment;
use parking_lot::Mutex;

use crate::{Error, Result};

/// The name of the library beside the addon.
pub const FILE_NAME: &str = if cfg!(windows) {
    "onnxruntime.dll"
} else if cfg!(target_vendor = "apple") {
    "libonnxruntime.dylib"
} else {
    "libonnxruntime.so"
};

/// A process has one. It is never released: what ends with the process ends in no order that could be relied on.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// The environment of the process, made from the first library that can be loaded.
pub(super) fn environment(given: Option<&Path>) -> Result<Environment> {
    let mut place = ENVIRONMENT.lock();
    if let Some(environment) = &*place {
        return Ok(environment.clone());
    }
    let path = find(std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from), given)?;
    check(&path).map_err(|reason| failure(&path, &reason))?;
    keep_to_itself();
    // What is no ONNX Runtime, or too old a one, makes `ort` panic in places.
    let made = catch_unwind(AssertUnwindSafe(|| {
        let builder = ort::init_from(&path).map_err(|error| error.to_string())?;
        super::exit::guard();
        builder.with_name("master-agent").with_telemetry(false).build().map_err(|error| error.to_string())
    }));
    let environment = match made {
        Ok(Ok(environment)) => environment,
        Ok(Err(reason)) => return Err(failure(&path, &reason)),
        Err(_) => return Err(failure(&path, "it does not offer what ONNX Runtime offers")),
    };
    // Its warnings are about graphs that the user did not write.
    environment.set_log_level(ort::logging::LogLevel::Error);
    super::exit::guard();
    *place = Some(environment.clone());
    Ok(environment)
}

/// Keeps ONNX Runtime from sending what it is used for to its maker, and from keeping files for that in the user's folders: it begins with
/// both while the environment is made, before it can be told by a call.
fn keep_to_itself() {
    const VARIABLE: &str = "ORT_DISABLE_TELEMETRY";
    if std::env::var_os(VARIABLE).is_none() {
        #[expect(unsafe_code, reason = "the variable is all that it asks")]
        // SAFETY: done once at most, and in Rust under the lock that all of its readers of variables take. A reader in C has none, here as
        // when Node.js sets one: a new variable leaves those that it may be reading in their places.
        unsafe {
            std::env::set_var(VARIABLE, "1");
        }
    }
}

fn find(variable: Option<PathBuf>, given: Option<&Path>) -> Result<PathBuf> {
    let named = variable.filter(|path| !path.as_os_str().is_empty()).or_else(|| given.map(Path::to_path_buf));
    let beside = || process_path::get_dylib_path().and_then(|library| Some(library.parent()?.join(FILE_NAME)));
    let path = named.or_else(beside).unwrap_or_else(|| PathBuf::from(FILE_NAME));
    // `dlopen` looks for a name without a folder in places of its own.
    std::path::absolute(&path).map_err(|error| failure(&path, &error.to_string()))
}

fn failure(path: &Path, reason: &str) -> Error {
    let advice = if cfg!(target_env = "musl") {
        "There is no build of it for musl in this package: install one (`apk add onnxruntime`) and set ORT_DYLIB_PATH to its file, or give memory an embedding function of your own."
    } else {
        "Install the package anew, with its optional dependencies, or set ORT_DYLIB_PATH to the file of ONNX Runtime 1.24 or newer."
    };
    let text = format!(
        "ONNX Runtime, which runs the embedding model, could not be loaded from {}: {}. {advice}",
        path.display(),
        reason.trim_end_matches('.')
    );
    Error::new(ErrorCode::RuntimeLoad, text)
}

/// Refuses what is no library and what is cut short: a truncated file ends the process by a signal when it is loaded.
fn check(path: &Path) -> Result<(), String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a file".into());
    }
    if !cfg!(all(unix, not(target_vendor = "apple"))) {
        return Ok(());
    }
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let end = elf_end(&mut file).map_err(|error| error.to_string())?.ok_or("it is not a shared library")?;
    if end > metadata.len() {
        return Err(format!("it is damaged: it has {} bytes of at least {end}", metadata.len()));
    }
    Ok(())
}

/// Where the last byte that an ELF file speaks of lies; `None` for another kind of file.
fn elf_end(file: &mut File) -> std::io::Result<Option<u64>> {
    let mut header = Vec::new();
    file.take(64).read_to_end(&mut header)?;
    // 64 bits, least significant byte first: all that ONNX Runtime is built for.
    if header.len() < 64 || header[..6] != *b"\x7fELF\x02\x01" {
        return Ok(None);
    }
    let half = |bytes: &[u8], at: usize| u64::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let word = |bytes: &[u8], at: usize| (0..8).fold(0, |value, place| value | u64::from(bytes[at + place]) << (8 * place));
    let (segments, size, count) = (word(&header, 32), half(&header, 54), half(&header, 56));
    let sections = word(&header, 40).saturating_add(half(&header, 58) * half(&header, 60));
    if size != 56 {
        return Ok(None);
    }
    let mut table = Vec::new();
    file.seek(SeekFrom::Start(segments))?;
    file.take(size * count).read_to_end(&mut table)?;
    let ends = table.chunks_exact(56).map(|entry| word(entry, 8).saturating_add(word(entry, 32)));
    Ok(Some(ends.fold(sections.max(segments.saturating_add(size * count)), u64::max)))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by it")]
mod tests {
    use super::*;

    #[test]
    fn the_variable_goes_before_the_option_and_that_before_the_place_of_the_library() {
        let given = Path::new("/given/library");
        assert_eq!(find(Some("/variable".into()), Some(given)).unwrap(), Path::new("/variable"));
        assert_eq!(find(Some("".into()), Some(given)).unwrap(), given);
        let beside = find(None, None).unwrap();
        assert!(beside.is_absolute() && beside.ends_with(FILE_NAME));
        // A build folder may be a link.
        let folder = |path: &Path| path.parent().unwrap().canonicalize().unwrap();
        assert_eq!(folder(&beside), folder(&std::env::current_exe().unwrap()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_library_that_is_cut_short_is_refused_wherever_it_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(check(&path), Ok(()));
        for length in [0, 1, 63, 64, 100, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(check(&path).is_err(), "{length} bytes");
        }
    }
}
