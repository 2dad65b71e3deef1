//! Empty: a package needs a library or a program. The benchmark is `main.rs`.
