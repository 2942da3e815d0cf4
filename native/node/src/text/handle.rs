//! A model between JavaScript and the threads that work with it.
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use dynamo_text::TextModel;

use crate::error::NativeError;
use crate::job::guarded;

/// A model that can be closed and that no one uses any more after a panic.
pub struct Handle {
    model: RwLock<Option<Arc<TextModel>>>,
    poisoned: AtomicBool,
}

impl Handle {
    /// Owns `model`.
    pub fn new(model: TextModel) -> Self {
        Self {
            model: RwLock::new(Some(Arc::new(model))),
            poisoned: AtomicBool::new(false),
        }
    }

    /// Runs `work`; a panic in it poisons the handle.
    pub fn run<T>(
        &self,
        work: impl FnOnce(&TextModel) -> Result<T, NativeError>,
    ) -> Result<T, NativeError> {
        if self.poisoned.load(Ordering::Acquire) {
            let message = "the model cannot be used any more: an earlier call panicked";
            return Err(NativeError::new("runtime.poisoned", message));
        }
        let model = self
            .model
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let model =
            model.ok_or_else(|| NativeError::new("runtime.closed", "the text model is closed"))?;
        catch_unwind(AssertUnwindSafe(|| work(&model))).unwrap_or_else(|panic| {
            self.poisoned.store(true, Ordering::Release);
            guarded(|| std::panic::resume_unwind(panic))
        })
    }

    /// Lets go of the model; work already begun is finished.
    pub fn close(&self) {
        self.model
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}

#[cfg(test)]
mod tests {
    use dynamo_text::{FileRole, ModelFile};

    use super::*;

    fn handle() -> Handle {
        let files = [ModelFile {
            role: FileRole::Builtin,
            path: std::path::PathBuf::new(),
        }];
        Handle::new(TextModel::load(&files, 0).unwrap())
    }

    fn code<T>(result: Result<T, NativeError>) -> Option<&'static str> {
        result.err().map(|error| error.code())
    }

    #[test]
    fn a_panic_is_internal_and_poisons_the_handle() {
        let handle = handle();
        assert_eq!(code(handle.run(|_| Ok(()))), None);
        assert_eq!(
            code(handle.run::<()>(|_| panic!("on purpose"))),
            Some("runtime.internal")
        );
        assert_eq!(code(handle.run(|_| Ok(()))), Some("runtime.poisoned"));
    }

    #[test]
    fn a_closed_handle_refuses_work() {
        let handle = handle();
        handle.close();
        handle.close();
        assert_eq!(code(handle.run(|_| Ok(()))), Some("runtime.closed"));
    }
}
