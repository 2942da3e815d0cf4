//! A placement between JavaScript and the threads that restore its index.
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use dynamo_kv::Placement;

use crate::error::NativeError;
use crate::job::guarded;

/// A placement that can be closed, that no one uses any more after a panic, and whose background work lets JavaScript
/// go first.
pub struct SharedPlacement {
    placement: Mutex<Option<Placement>>,
    /// Calls of JavaScript that wait for the lock.
    waiting: AtomicUsize,
    poisoned: AtomicBool,
}

impl SharedPlacement {
    /// Owns `placement`.
    pub fn new(placement: Placement) -> Self {
        Self {
            placement: Mutex::new(Some(placement)),
            waiting: AtomicUsize::new(0),
            poisoned: AtomicBool::new(false),
        }
    }

    /// A call of JavaScript.
    pub fn run<T>(
        &self,
        work: impl FnOnce(&mut Placement) -> Result<T, NativeError>,
    ) -> Result<T, NativeError> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        self.locked(|placement| {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            work(placement?)
        })
    }

    /// One step of background work. A lock is not fair: between steps it is left alone until JavaScript has had it.
    pub fn step<T>(
        &self,
        work: impl FnOnce(&mut Placement) -> Result<T, NativeError>,
    ) -> Result<T, NativeError> {
        while self.waiting.load(Ordering::Acquire) > 0 {
            std::thread::yield_now();
        }
        self.locked(|placement| work(placement?))
    }

    /// Lets go of the placement.
    pub fn close(&self) {
        self.placement
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    fn locked<T>(
        &self,
        work: impl FnOnce(Result<&mut Placement, NativeError>) -> Result<T, NativeError>,
    ) -> Result<T, NativeError> {
        let mut guard = self
            .placement
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.poisoned.load(Ordering::Acquire) {
            let message = "the placement cannot be used any more: an earlier call panicked";
            return work(Err(NativeError::new("runtime.poisoned", message)));
        }
        let placement = guard.as_mut().ok_or_else(closed);
        catch_unwind(AssertUnwindSafe(|| work(placement))).unwrap_or_else(|panic| {
            self.poisoned.store(true, Ordering::Release);
            guarded(|| std::panic::resume_unwind(panic))
        })
    }
}

fn closed() -> NativeError {
    NativeError::new("runtime.closed", "the placement is closed")
}
