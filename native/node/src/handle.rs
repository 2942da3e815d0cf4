//! A native object between JavaScript and the threads that work with it.
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::error::NativeError;
use crate::job::guarded;

/// An object that can be closed and that no one uses any more after a panic.
pub struct Handle<O> {
    /// What messages call the object.
    name: &'static str,
    object: RwLock<Option<Arc<O>>>,
    poisoned: AtomicBool,
}

impl<O> Handle<O> {
    /// Owns `object`.
    pub fn new(name: &'static str, object: O) -> Self {
        Self {
            name,
            object: RwLock::new(Some(Arc::new(object))),
            poisoned: AtomicBool::new(false),
        }
    }

    /// Runs `work`; a panic in it poisons the handle.
    pub fn run<T>(
        &self,
        work: impl FnOnce(&O) -> Result<T, NativeError>,
    ) -> Result<T, NativeError> {
        if self.poisoned.load(Ordering::Acquire) {
            let message = "cannot be used any more: an earlier call panicked";
            return Err(self.refuse("runtime.poisoned", message));
        }
        let object = self
            .object
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let object = object.ok_or_else(|| self.refuse("runtime.closed", "is closed"))?;
        catch_unwind(AssertUnwindSafe(|| work(&object))).unwrap_or_else(|panic| {
            self.poisoned.store(true, Ordering::Release);
            guarded(|| std::panic::resume_unwind(panic))
        })
    }

    /// Lets go of the object; work already begun is finished.
    pub fn close(&self) {
        self.object
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    fn refuse(&self, code: &'static str, state: &str) -> NativeError {
        NativeError::new(code, format!("the {} {state}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle() -> Handle<()> {
        Handle::new("thing", ())
    }

    fn code<T>(result: Result<T, NativeError>) -> Option<&'static str> {
        result.err().map(|error| error.code())
    }

    #[test]
    fn a_panic_is_internal_and_poisons_the_handle() {
        let handle = handle();
        assert_eq!(code(handle.run(|()| Ok(()))), None);
        assert_eq!(
            code(handle.run::<()>(|()| panic!("on purpose"))),
            Some("runtime.internal")
        );
        assert_eq!(code(handle.run(|()| Ok(()))), Some("runtime.poisoned"));
    }

    #[test]
    fn a_closed_handle_refuses_work() {
        let handle = handle();
        handle.close();
        handle.close();
        assert_eq!(code(handle.run(|()| Ok(()))), Some("runtime.closed"));
    }
}
