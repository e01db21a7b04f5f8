//! The end of the process: ONNX Runtime takes itself down when the process calls `exit`, whichever threads are inside of it.
//! They are let out first, and nobody else in.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A text takes milliseconds, a session to load tens of them.
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

extern "C" fn let_out() {
    ENDING.store(true, Ordering::SeqCst);
    let began = Instant::now();
    while INSIDE.load(Ordering::SeqCst) > 0 && began.elapsed() < LONGEST {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// To be called after ONNX Runtime was loaded, has made a session and has run one: what was registered last runs first, and it registers
/// the end of parts of itself when it uses them for the first time.
pub(super) fn guard() {
    #[cfg(unix)]
    #[expect(unsafe_code, reason = "the one way to be called before the destructors of a library")]
    // SAFETY: `let_out` is a function of this library, which Node.js never unloads; it touches atomics alone and does not unwind.
    unsafe {
        libc::atexit(let_out);
    }
    #[cfg(not(unix))]
    let _: extern "C" fn() = let_out;
}
