//! Where tests find tokenizers that are too large to be committed.
use std::path::{Path, PathBuf};

/// Folder of a model that `scripts/test-models.mjs` fetched: below `DYN_TEST_TOKENIZERS`, else where the script puts it.
/// None, with a line that says so, when it is not there.
pub fn folder(name: &str) -> Option<PathBuf> {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../node_modules/.cache/dynamo-test-models");
    let root = std::env::var_os("DYN_TEST_TOKENIZERS").map_or(fetched, PathBuf::from);
    let folder = root.join(name);
    if folder.join("tokenizer.json").exists() {
        return Some(folder);
    }
    eprintln!(
        "skipped: {} is missing, run scripts/test-models.mjs",
        folder.display()
    );
    None
}
