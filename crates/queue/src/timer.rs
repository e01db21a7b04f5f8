//! The thread that does what is due, whatever the event loop of JavaScript does.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use master_agent_core::{Clock, Millis};
use parking_lot::{Condvar, Mutex};

use crate::engine::Engine;

#[derive(Default)]
struct State {
    poked: bool,
    stopped: bool,
}

/// The handle to the thread.
pub(crate) struct Timer {
    state: Mutex<State>,
    wake: Condvar,
    planned: AtomicI64,
}

impl Timer {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State::default()), wake: Condvar::new(), planned: AtomicI64::new(Millis::MAX) })
    }

    /// Starts the thread. It ends with the engine.
    pub(crate) fn start(self: &Arc<Self>, engine: Weak<Engine>, clock: Arc<dyn Clock>) -> std::io::Result<()> {
        let timer = Arc::clone(self);
        std::thread::Builder::new().name("master-agent-timer".into()).spawn(move || {
            loop {
                let Some(alive) = engine.upgrade() else { return };
                let next = alive.tick(clock.now());
                drop(alive);
                if !timer.sleep_until(next, clock.as_ref()) {
                    return;
                }
            }
        })?;
        Ok(())
    }

    /// Makes sure that the thread looks at `at` at the latest.
    pub(crate) fn at(&self, at: Millis) {
        if at < self.planned.load(Ordering::Acquire) {
            self.poke();
        }
    }

    pub(crate) fn poke(&self) {
        self.state.lock().poked = true;
        self.wake.notify_one();
    }

    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
        self.wake.notify_one();
    }

    /// Answers whether the thread goes on.
    fn sleep_until(&self, next: Millis, clock: &dyn Clock) -> bool {
        self.planned.store(next, Ordering::Release);
        let mut state = self.state.lock();
        while !state.poked && !state.stopped {
            let now = clock.now();
            if next == Millis::MAX {
                self.wake.wait(&mut state);
            } else if now >= next {
                break;
            } else {
                self.wake.wait_for(&mut state, Duration::from_millis((next - now) as u64));
            }
        }
        state.poked = false;
        // While the thread is at work, whatever is asked for makes it look once more.
        self.planned.store(Millis::MAX, Ordering::Release);
        !state.stopped
    }
}
