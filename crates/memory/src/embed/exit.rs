//! The end of the process: ONNX Runtime takes itself down when the process calls `exit`, whichever threads are inside of it. They are
//! let out first, and nobody else in: by JavaScript before it calls `exit`, where it can (`leave`), and else by `guard`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A text takes milliseconds, a session to load tens of them; on a machine that has no time for the process, more.
const LONGEST: Duration = Duration::from_secs(2);

static ENDING: AtomicBool = AtomicBool::new(false);
static INSIDE: AtomicUsize = AtomicUsize::new(0);

/// While it lives, the process waits with its end.
pub(super) struct Inside(());

/// Goes into ONNX Runtime. Does not come back when the process is ending.
pub(super) fn enter() -> Inside {
    INSIDE.fetch_add(1, Ordering::SeqCst);
    let inside = Inside(());
    if ENDING.load(Ordering::SeqCst) {
        drop(inside);
        loop {
            std::thread::park();
        }
    }
    inside
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.fetch_sub(1, Ordering::SeqCst);
    }
}

/// To be called before the process calls `exit` with a status: waits until all threads are out. Those that are not in time would crash under
/// what is taken down, so that the process then ends here. Nobody goes in any more.
pub fn leave(status: i32) {
    if !wait() {
        end_here(status);
    }
}

/// Whether all are out in time.
fn wait() -> bool {
    ENDING.store(true, Ordering::SeqCst);
    let began = Instant::now();
    while INSIDE.load(Ordering::SeqCst) > 0 {
        if began.elapsed() >= LONGEST {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// Ends the process without its exit handlers, where there is such an end.
fn end_here(status: i32) {
    #[cfg(unix)]
    #[expect(unsafe_code, reason = "the one way to end without exit handlers")]
    // SAFETY: it ends the process and touches nothing of it.
    unsafe {
        libc::_exit(status)
    }
    #[cfg(not(unix))]
    let _ = status;
}

/// To be called after ONNX Runtime was loaded, has made a session and has run one: what was registered last runs first, and it registers
/// the end of parts of itself when it uses them for the first time.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the one way to be called before the destructors of a library, with the status of the process")]
pub(super) fn guard() {
    use std::ffi::{c_int, c_void};

    // SAFETY: as the C library declares it.
    unsafe extern "C" {
        fn on_exit(function: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
    }

    extern "C" fn end(status: c_int, _: *mut c_void) {
        ENDING.store(true, Ordering::SeqCst);
        if INSIDE.load(Ordering::SeqCst) > 0 {
            // Parts of the library may be taken down already.
            end_here(status);
        }
    }

    // SAFETY: `end` is a function of this library, which Node.js never unloads; it touches atomics alone and does not unwind.
    unsafe {
        on_exit(end, std::ptr::null_mut());
    }
}

/// As above; where the status is not told, the threads are waited for.
#[cfg(all(unix, not(all(target_os = "linux", target_env = "gnu"))))]
#[expect(unsafe_code, reason = "the one way to be called before the destructors of a library")]
pub(super) fn guard() {
    extern "C" fn end() {
        wait();
    }

    // SAFETY: as above.
    unsafe {
        libc::atexit(end);
    }
}

#[cfg(not(unix))]
pub(super) fn guard() {}
