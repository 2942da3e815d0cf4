//! BLAKE3 checksums for JavaScript: model files are named by them.
use napi::bindgen_prelude::{AsyncTask, Error, Result, Uint8Array};
use napi::{Env, Task};
use napi_derive::napi;

/// BLAKE3 of bytes in memory, lower hex.
#[napi]
#[allow(clippy::needless_pass_by_value)] // napi hands arguments over by value
#[must_use]
pub fn blake3_hash(bytes: Uint8Array) -> String {
    blake3::hash(&bytes).to_hex().to_string()
}

/// BLAKE3 of a file, lower hex, computed off the event loop.
#[napi(ts_return_type = "Promise<string>")]
#[must_use]
pub fn blake3_file(path: String) -> AsyncTask<FileChecksum> {
    AsyncTask::new(FileChecksum { path })
}

/// Reads and hashes one file.
pub struct FileChecksum {
    path: String,
}

impl Task for FileChecksum {
    type Output = String;
    type JsValue = String;

    fn compute(&mut self) -> Result<Self::Output> {
        let failed = |error: std::io::Error| {
            Error::from_reason(format!("cannot read {}: {error}", self.path))
        };
        let file = std::fs::File::open(&self.path).map_err(failed)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(file).map_err(failed)?;
        Ok(hasher.finalize().to_hex().to_string())
    }

    fn resolve(&mut self, _env: Env, output: Self::Output) -> Result<Self::JsValue> {
        Ok(output)
    }
}
