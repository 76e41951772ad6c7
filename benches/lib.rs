//! Benchmarks of Portway. Each is one file beside this one; `cargo bench -p benches --bench NAME` runs it.
