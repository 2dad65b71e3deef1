//! Nothing: a package needs a target that is built without being asked for. The benchmark is `main.rs`.
