//! Links the addon for Node.
fn main() {
    napi_build::setup();
}
