//! Peerloom server.
fn main() {}
