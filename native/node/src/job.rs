//! Work off the event loop: a closure that runs on libuv's pool and settles a promise.
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use napi::bindgen_prelude::{AsyncTask, ToNapiValue, TypeName};
use napi::{Env, Task};

use crate::error::NativeError;

/// What a [`Job`] runs.
type Work<T> = Box<dyn FnOnce() -> Result<T, NativeError> + Send>;

/// A closure whose result settles a promise.
pub struct Job<T: Send + 'static> {
    work: Option<Work<T>>,
}

/// Starts `work` off the event loop.
pub fn start<T>(work: impl FnOnce() -> Result<T, NativeError> + Send + 'static) -> AsyncTask<Job<T>>
where
    T: Send + 'static + ToNapiValue + TypeName,
{
    AsyncTask::new(Job {
        work: Some(Box::new(work)),
    })
}

impl<T: Send + 'static + ToNapiValue + TypeName> Task for Job<T> {
    type Output = Result<T, NativeError>;
    type JsValue = T;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        let closed = || NativeError::new("runtime.internal", "the work ran already");
        let Some(work) = self.work.take() else {
            return Ok(Err(closed()));
        };
        Ok(guarded(work))
    }

    fn resolve(&mut self, env: Env, output: Self::Output) -> napi::Result<T> {
        output.map_err(|error| error.into_rejection(env))
    }
}

/// Runs `work` and turns a panic into `runtime.internal`.
pub fn guarded<T>(work: impl FnOnce() -> Result<T, NativeError>) -> Result<T, NativeError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(NativeError::new("runtime.internal", panic_message(&*panic))))
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!(
        "native code panicked: {}",
        text.unwrap_or_else(|| "no message".to_owned())
    )
}
